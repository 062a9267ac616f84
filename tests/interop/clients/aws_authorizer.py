"""Custom authorizers as the AWS IoT Device SDK names them, over TLS and WebSocket."""

import argparse
import base64

import boto3
from awsiot import mqtt5_client_builder
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import pki
import sdk
from cases import check

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:authorize"

PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--endpoint", required=True)
PARSER.add_argument("--mqtts-port", type=int, required=True)
PARSER.add_argument("--wss-port", type=int, required=True)
PARSER.add_argument("--ca", required=True)
ARGS = PARSER.parse_args()

KEY = pki.rsa_key(2048)
IOT = boto3.client("iot", endpoint_url=ARGS.endpoint, region_name="us-east-1",
                   aws_access_key_id="any", aws_secret_access_key="any")
IOT.create_authorizer(authorizerName="unsigned", authorizerFunctionArn=FUNCTION,
                      signingDisabled=True, status="ACTIVE")
IOT.create_authorizer(authorizerName="signed", authorizerFunctionArn=FUNCTION, status="ACTIVE",
                      tokenKeyName="tok", tokenSigningPublicKeys={"one": pki.public_pem(KEY)})


def sign(token):
    signature = KEY.sign(token.encode(), padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signature).decode()


def enters(builder, port, name, **arguments):
    """Whether a client of MQTT 5 is let in."""
    with sdk.Entrant(lambda **callbacks: builder(
            endpoint="localhost", port=port, ca_filepath=ARGS.ca, auth_authorizer_name=name,
            client_id=f"car-{name}", **callbacks, **arguments)) as entrant:
        return entrant.is_connected


WAYS = [
    (mqtt5_client_builder.direct_with_custom_authorizer, ARGS.mqtts_port),
    (mqtt5_client_builder.websockets_with_custom_authorizer, ARGS.wss_port),
]


def unsigned():
    """A user name and a password are all that the function goes by."""
    for builder, port in WAYS:
        check("known", enters(builder, port, "unsigned", auth_username="ann",
                              auth_password="pw"), True)
        check("not known", enters(builder, port, "unsigned", auth_username="bob",
                                  auth_password="pw"), False)
        check("no authorizer", enters(builder, port, "absent", auth_username="ann"), False)


def signed():
    """AWS-FLOW-21 to -23: the token and its signature, in Base64 or escaped already."""
    for builder, port in WAYS:
        def comes(token, signature):
            return enters(builder, port, "signed", auth_token_key_name="tok",
                          auth_token_value=token, auth_authorizer_signature=signature)

        check("right", comes("good", sign("good")), True)
        escaped = sign("good").replace("+", "%2B").replace("=", "%3D").replace("/", "%2F")
        check("escaped", comes("good", escaped), True)
        check("of another token", comes("good", sign("other")), False)
        check("a token that nobody knows", comes("other", sign("other")), False)


sdk.report_and_exit([unsigned, signed])
