"""What the cases with boto3 share: who they ask, and how they look at refusals."""

import json
import os

from botocore.exceptions import ClientError

from aws_model import Recorder
from cases import check, report

# Settings and credentials of whoever runs this are none of ours.
for variable in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[variable]
os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
               "AWS_EC2_METADATA_DISABLED": "true"}

ACCOUNT = "123456789012"
PREFIX = f"arn:aws:iot:us-east-1:{ACCOUNT}:"
# A certificate id that no certificate has.
NOBODY = "0" * 64


class Aws:
    """The broker as boto3 sees it."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.recorder = Recorder()
        self.iot = self.recorder.client("iot", endpoint)
        # Operations that the documents list as answered, and what was called and refused.
        self.answered = set()
        self.refused = set()
        # Where clients connect without a certificate.
        self.mqtt_port = None

    def client(self, service):
        return self.recorder.client(service, self.endpoint)

    def foreign(self, service):
        """A client of a service that is none of these: only its requests are counted."""
        return self.recorder.counted(service, self.endpoint)

    def report(self):
        """The last case: every answer was what the model of its operation says."""
        wrong = self.recorder.wrong
        report("answers_are_what_the_model_says",
               "\n".join(wrong[:20]) if wrong or not self.recorder.answered else None)


def document(action="iot:*", resource="*", effect="Allow"):
    """The text of a policy."""
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def refused(exception, call, *words, **arguments):
    """Fails unless a call raises exactly this exception, whose message has the words."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        if type(error) is not exception:
            raise AssertionError(f"got {type(error).__name__}, want {exception.__name__}: "
                                 f"{error}") from error
        message = error.response["Error"]["Message"]
        for word in words:
            if word not in message:
                raise AssertionError(f"no {word!r} in {message!r}") from error
        check("message", error.response.get("message"), message)
        return error.response
    raise AssertionError(f"want {exception.__name__}, got {answer!r}")


def body(answer):
    """An answer without what boto3 adds."""
    check("status", answer["ResponseMetadata"]["HTTPStatusCode"], 200)
    check("attempts", answer["ResponseMetadata"]["RetryAttempts"], 0)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
