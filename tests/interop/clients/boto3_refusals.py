"""What is not answered, and how every answer is carried."""

import http.client
import json
import socket
import urllib.error
import urllib.request

from botocore.exceptions import ClientError

from boto3_support import refused
from cases import DEADLINE_S, check

# Values that boto3 takes, by type.
EXAMPLES = {"map": {}, "boolean": True, "timestamp": 0, "blob": b"{}", "double": 1.0, "float": 1.0}


def example(shape):
    """The least that boto3 sends for a shape."""
    least = shape.metadata.get("min")
    if shape.type_name == "structure":
        names = list(shape.members)[:1] if shape.is_tagged_union else shape.required_members
        return {name: example(shape.members[name]) for name in names}
    if shape.type_name == "list":
        return [example(shape.member)] * (least or 0)
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "a" * (least or 1)
    if shape.type_name in ("integer", "long"):
        return least or 1
    return EXAMPLES[shape.type_name]


def not_answered(aws):
    """AWS-OPS-14: each operation that is not answered is refused by name, after one request."""
    for service in ("iot", "iot-data", "iot-jobs-data"):
        client = aws.client(service)
        model = client.meta.service_model
        methods = {operation: method for method, operation in
                   client.meta.method_to_api_mapping.items()}
        for name in model.operation_names:
            if (service, name) in aws.answered:
                continue
            shape = model.operation_model(name).input_shape
            arguments = example(shape) if shape else {}
            before = aws.recorder.sent
            try:
                getattr(client, methods[name])(**arguments)
            except ClientError as error:
                found = error.response
                check(name, found["Error"]["Code"], "InvalidRequestException")
                check(f"{name} is named", f"{name} ({service}, " in found["Error"]["Message"], True)
                check(name, found["ResponseMetadata"]["HTTPStatusCode"], 400)
                check(name, found["ResponseMetadata"]["RetryAttempts"], 0)
            else:
                raise AssertionError(f"{name} is answered, and the documents do not say so")
            check(f"{name}: requests", aws.recorder.sent - before, 1)
            aws.refused.add((service, name))


def foreign_services(aws):
    """Other services are named in the language of each: query, XML, JSON."""
    calls = [
        ("sts", lambda sts: sts.get_caller_identity()),
        ("s3", lambda s3: s3.list_buckets()),
        ("s3", lambda s3: s3.put_object(Bucket="b", Key="a/b", Body=b"c")),
        ("dynamodb", lambda dynamodb: dynamodb.list_tables()),
        ("iam", lambda iam: iam.list_roles()),
        ("lambda", lambda functions: functions.list_functions()),
        ("logs", lambda logs: logs.describe_log_groups()),
    ]
    for service, call in calls:
        client = aws.foreign(service)
        before = aws.recorder.sent
        try:
            call(client)
        except ClientError as error:
            found = error.response
            check(service, found["Error"]["Code"], "UnknownServiceException")
            check(f"{service} is named", f"`{service}`" in found["Error"]["Message"], True)
            check(service, found["ResponseMetadata"]["HTTPStatusCode"], 404)
        else:
            raise AssertionError(f"{service} was answered")
        check(f"{service}: requests", aws.recorder.sent - before, 1)
        aws.refused.add((service, "any operation"))


def refused_calls(aws):
    """Whatever was refused is listed, and how often."""
    with urllib.request.urlopen(f"{aws.endpoint}/v1/refused-calls") as answer:
        listed = json.load(answer)
    calls = next(value for value in listed.values() if isinstance(value, list))
    found = {(call["service"], call["operation"]): call["count"] for call in calls}
    check("refused", set(found), aws.refused)
    check("counts", (found["iot", "CreateJob"], found["s3", "any operation"]), (1, 2))


def carriers(aws):
    """AWS-API-40 to -42, AWS-OPS-09 to -12: where the parts of an answer stand."""
    iot, errors = aws.iot, aws.iot.exceptions
    response = refused(errors.ResourceNotFoundException, iot.describe_thing, thingName="absent")
    metadata = response["ResponseMetadata"]
    headers = metadata["HTTPHeaders"]
    check("header", headers["x-amzn-errortype"], "ResourceNotFoundException")
    check("request id", metadata["RequestId"], headers["x-amzn-requestid"])
    ids = {iot.list_things()["ResponseMetadata"]["RequestId"] for _ in range(3)}
    check("request ids", len(ids | {metadata["RequestId"]}), 4)
    check("status", metadata["HTTPStatusCode"], 404)
    statuses = {
        400: (errors.InvalidRequestException, iot.create_thing, {"thingName": "a b"}),
        404: (errors.ResourceNotFoundException, iot.get_policy, {"policyName": "absent"}),
    }
    # AWS-API-41; the other exceptions are in the cases of their operations, and each is held
    # against the status of its shape.
    for status, (exception, call, arguments) in statuses.items():
        response = refused(exception, call, **arguments)
        check("status", response["ResponseMetadata"]["HTTPStatusCode"], status)


def signed(service):
    """The header of a signature, which nobody verifies."""
    credential = f"A/20261128/us-east-1/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, "
                             "Signature=0"}


def kept_connections(aws):
    """A refusal leaves its connection open, also if it is told before the body has come: on one that
    closes, a client would send its next request twice."""
    host, port = aws.endpoint.removeprefix("http://").split(":")
    for service, path in (("iot", "/jobs/j"), ("iot", "/nothing/at/all"), ("sts", "/")):
        connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_S)
        connection.connect()
        own = connection.sock
        for _ in range(2):
            connection.putrequest("PUT", path)
            for name, value in {**signed(service), "Content-Length": "2"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            check(f"status of {path}", answer.status, 400 if path == "/jobs/j" else 404)
            own.sendall(b"{}")
            answer.read()
            check(f"connection of {path}", connection.sock is own, True)
        connection.close()


def raw(aws, method, path, body=b""):
    """A request that boto3 would not make: status, exception, message."""
    request = urllib.request.Request(f"{aws.endpoint}{path}", data=body or None, method=method,
                                     headers=signed("iot"))
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, None, answer.read().decode()
    except urllib.error.HTTPError as error:
        text = json.loads(error.read())["message"]
        return error.code, error.headers["x-amzn-ErrorType"], text


def malformed(aws):
    """AWS-OPS-15: requests that no client of the service makes."""
    invalid = (400, "InvalidRequestException")
    for method, path, text, words in (
        ("POST", "/policies/p", b"{}", "Value null at 'policyDocument'"),
        ("POST", "/policies/p", b"", "Value null at 'policyDocument'"),
        ("POST", "/policies/p", b"{", "The body cannot be read"),
        ("POST", "/policies/p", b'{"policyDocument": 1}', "'policyDocument'"),
        ("PUT", "/certificates/" + "0" * 64, b"", "Value null at 'newStatus'"),
        ("GET", "/things?maxResults=many", b"", "'maxResults'"),
        ("GET", "/things?maxResults=0", b"", "'maxResults'"),
        ("GET", "/policies?pageSize=0", b"", "'pageSize'"),
        ("GET", "/certificates?isAscendingOrder=maybe", b"", "'isAscendingOrder'"),
        ("DELETE", "/things/a?expectedVersion=-1", b"", "'expectedVersion'"),
        ("PUT", "/things/a/principals", b"", "Value null at 'principal'"),
        ("POST", "/things/a", b'{"attributePayload": []}', "'attributePayload'"),
        ("POST", "/things/" + "a" * 129, b"", "less than or equal to 128"),
    ):
        *found, message = raw(aws, method, path, text)
        check(f"{method} {path} {text}: {message}", (*found, words in message), (*invalid, True))
    check("unknown path", raw(aws, "GET", "/nothing/at/all")[:2],
          (404, "UnknownOperationException"))
    check("a wrong method", raw(aws, "PATCH", "/certificates")[:2],
          (404, "UnknownOperationException"))
    check("unknown members are ignored", raw(aws, "POST", "/things/raw", b'{"x": 1}')[0], 200)
    check("an empty member is none", raw(aws, "GET", "/things?nextToken=&maxResults=1")[0], 200)
    check("deleted", raw(aws, "DELETE", "/things/raw"), (200, None, ""))
    # Half of a request, then nothing: the others are answered.
    host, port = aws.endpoint.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half:
        half.sendall(b"POST /things/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        aws.iot.list_things()
    refused(aws.iot.exceptions.ResourceNotFoundException, aws.iot.describe_thing,
            thingName="half")


CASES = [carriers, malformed, not_answered, foreign_services, refused_calls,
         kept_connections]
