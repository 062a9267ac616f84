"""Calls and WebSockets that are signed with access keys, rightly and wrongly."""

import argparse
import json
from urllib.request import Request, urlopen

import boto3
from awscrt import auth, mqtt
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt_connection_builder
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

import sdk
from cases import DEADLINE_S, check

REGION = "us-east-1"
FREE = ("AKIDFREE", "free/+= secret")
BOUND = ("AKIDBOUND", "bound")
PREFIX = f"arn:aws:iot:{REGION}:123456789012"

PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--endpoint", required=True)
PARSER.add_argument("--wss-port", type=int, required=True)
PARSER.add_argument("--ca", required=True)
PARSER.add_argument("--control", required=True)
ARGS = PARSER.parse_args()


def iot(key, service="iot", **options):
    return boto3.client(service, endpoint_url=ARGS.endpoint, region_name=REGION, verify=ARGS.ca,
                        aws_access_key_id=key[0], aws_secret_access_key=key[1], **options)


def refusal(client):
    """The exception that a call gets."""
    try:
        client.list_things()
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


def calls_need_a_right_signature():
    check("right", refusal(iot(FREE)), None)
    check("right, of another key", refusal(iot(BOUND)), None)
    check("wrong secret", refusal(iot((FREE[0], BOUND[1]))), ("InvalidSignatureException", 403))
    check("unknown key", refusal(iot(("NOBODY", "x"))), ("UnrecognizedClientException", 403))
    unsigned = iot(FREE, config=Config(signature_version=UNSIGNED))
    check("unsigned", refusal(unsigned), ("ForbiddenException", 403))


def members_of_every_kind_are_signed():
    """Escapes in the path, a query, headers and a body are all part of what is signed."""
    client = iot(FREE)
    client.create_thing(thingName="a:b", attributePayload={"attributes": {"at": "x/y=z"}})
    found = client.list_things(attributeName="at", attributeValue="x/y=z", maxResults=1)
    check("things", [thing["thingName"] for thing in found["things"]], ["a:b"])
    issued = client.create_keys_and_certificate(setAsActive=True)
    arn = issued["certificateArn"]
    client.attach_thing_principal(thingName="a:b", principal=arn)
    check("principals", client.list_thing_principals(thingName="a:b")["principals"], [arn])
    check("policies", client.list_attached_policies(target=arn)["policies"], [])


def connection(key, client_id, token=None):
    credentials = auth.AwsCredentialsProvider.new_static(*key, token)
    return mqtt_connection_builder.websockets_with_default_aws_signing(
        endpoint="localhost", port=ARGS.wss_port, region=REGION, ca_filepath=ARGS.ca,
        credentials_provider=credentials, client_id=client_id, clean_session=True)


def enters(key, client_id, token=None):
    client = connection(key, client_id, token)
    try:
        client.connect().result(DEADLINE_S)
    except AwsCrtError:
        return False
    published, _ = client.publish("cars/1", "x", mqtt.QoS.AT_LEAST_ONCE)
    published.result(DEADLINE_S)
    client.disconnect().result(DEADLINE_S)
    return True


def websockets_need_a_right_signature():
    check("right", enters(FREE, "free-1"), True)
    check("right, with a token behind it", enters(FREE, "free-2", "tok/en+="), True)
    check("wrong secret", enters((FREE[0], BOUND[1]), "free-3"), False)
    check("unknown key", enters(("NOBODY", "x"), "nobody"), False)


def policy_of_the_key_binds():
    statements = [{"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{PREFIX}:client/bound-*"},
                  {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{PREFIX}:topic/cars/*"}]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iot(FREE).create_policy(policyName="dashboard", policyDocument=document)
    check("a key without a policy", enters(FREE, "free-4"), True)
    check("allowed", enters(BOUND, "bound-1"), True)
    check("not allowed", enters(BOUND, "other"), False)


def policy_of_the_key_binds_calls():
    """Those of the data plane, after the case before."""
    def refusal_of_publish(key, topic):
        try:
            iot(key, "iot-data").publish(topic=topic, qos=1, payload=b"x")
        except ClientError as error:
            return error.response["Error"]["Code"]
        return None

    check("a key without a policy", refusal_of_publish(FREE, "else"), None)
    check("allowed", refusal_of_publish(BOUND, "cars/1"), None)
    check("not allowed", refusal_of_publish(BOUND, "else"), "ForbiddenException")
    check("the control plane", refusal(iot(BOUND)), None)


def signatures_are_dated_by_the_machine():
    """Clients know nothing of the broker's clock, which tests move."""
    moved = Request(f"{ARGS.control}/v1/clock/advance", json.dumps({"seconds": 3601}).encode(),
                    {"Content-Type": "application/json"})
    urlopen(moved).close()
    check("a call", refusal(iot(FREE)), None)
    check("a WebSocket", enters(FREE, "free-5"), True)


sdk.report_and_exit([
    calls_need_a_right_signature,
    members_of_every_kind_are_signed,
    websockets_need_a_right_signature,
    policy_of_the_key_binds,
    policy_of_the_key_binds_calls,
    signatures_are_dated_by_the_machine,
])
