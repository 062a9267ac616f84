"""Authorizers, and which of them is the default."""

import base64

import pki
from boto3_support import PREFIX, body, refused
from cases import check
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

# What answers for it, the configuration of the broker says: `ann` for the token `good`, nobody for others.
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:authorize"


def authorizers(aws):
    """AWS-OPS-46: an authorizer from its creation to its end."""
    iot, errors = aws.iot, aws.iot.exceptions
    key = pki.public_pem(pki.rsa_key(2048)).strip()
    keys = {"one": key}
    refused(errors.InvalidRequestException, iot.create_authorizer, "tokenKeyName",
            authorizerName="signed", authorizerFunctionArn=FUNCTION)
    refused(errors.InvalidRequestException, iot.create_authorizer, "one",
            authorizerName="signed", authorizerFunctionArn=FUNCTION, tokenKeyName="tok",
            tokenSigningPublicKeys={"one": "nonsense"})
    refused(errors.InvalidRequestException, iot.create_authorizer, authorizerName="a/b",
            authorizerFunctionArn=FUNCTION, signingDisabled=True)
    made = body(iot.create_authorizer(
        authorizerName="signed", authorizerFunctionArn=FUNCTION, tokenKeyName="tok",
        tokenSigningPublicKeys=keys, tags=[{"Key": "k", "Value": "v"}]))
    arn = f"{PREFIX}authorizer/signed"
    check("made", made, {"authorizerName": "signed", "authorizerArn": arn})
    response = refused(errors.ResourceAlreadyExistsException, iot.create_authorizer, "signed",
                       authorizerName="signed", authorizerFunctionArn=FUNCTION,
                       signingDisabled=True)
    check("resourceArn", response["resourceArn"], arn)
    check("tags", iot.list_tags_for_resource(resourceArn=arn)["tags"],
          [{"Key": "k", "Value": "v"}])
    found = iot.describe_authorizer(authorizerName="signed")["authorizerDescription"]
    dates = found.pop("creationDate"), found.pop("lastModifiedDate")
    check("dates", dates[0], dates[1])
    check("found", found, {
        "authorizerName": "signed", "authorizerArn": arn, "authorizerFunctionArn": FUNCTION,
        "tokenKeyName": "tok", "tokenSigningPublicKeys": keys, "status": "INACTIVE",
        "signingDisabled": False, "enableCachingForHttp": False})
    iot.create_authorizer(authorizerName="plain", authorizerFunctionArn=FUNCTION,
                          signingDisabled=True, status="ACTIVE", enableCachingForHttp=True)

    def listed(**arguments):
        return [each["authorizerName"] for each in iot.list_authorizers(**arguments)["authorizers"]]

    check("all", listed(ascendingOrder=True), ["signed", "plain"])
    check("the active ones", listed(status="ACTIVE"), ["plain"])
    first = iot.list_authorizers(pageSize=1, ascendingOrder=True)
    check("the second page", listed(pageSize=1, ascendingOrder=True, marker=first["nextMarker"]),
          ["plain"])
    changed = body(iot.update_authorizer(authorizerName="plain", status="INACTIVE",
                                         enableCachingForHttp=False))
    check("changed", changed["authorizerName"], "plain")
    found = iot.describe_authorizer(authorizerName="plain")["authorizerDescription"]
    check("changed", (found["status"], found["enableCachingForHttp"], found["signingDisabled"]),
          ("INACTIVE", False, True))
    for call in (iot.describe_authorizer, iot.update_authorizer, iot.delete_authorizer,
                 iot.set_default_authorizer):
        refused(errors.ResourceNotFoundException, call, "absent", authorizerName="absent")
    for name in ("signed", "plain"):
        iot.delete_authorizer(authorizerName=name)


def default_authorizer(aws):
    """The default is one or none, and is kept from being deleted."""
    iot, errors = aws.iot, aws.iot.exceptions
    for call in (iot.describe_default_authorizer, iot.clear_default_authorizer):
        refused(errors.ResourceNotFoundException, call)
    for name in ("one", "other"):
        iot.create_authorizer(authorizerName=name, authorizerFunctionArn=FUNCTION,
                              signingDisabled=True, status="ACTIVE")
    made = body(iot.set_default_authorizer(authorizerName="one"))
    check("made", made, {"authorizerName": "one", "authorizerArn": f"{PREFIX}authorizer/one"})
    refused(errors.ResourceAlreadyExistsException, iot.set_default_authorizer, "one",
            authorizerName="other")
    found = iot.describe_default_authorizer()["authorizerDescription"]
    check("found", found["authorizerName"], "one")
    for name in ("one", "other"):
        refused(errors.DeleteConflictException, iot.delete_authorizer, name, authorizerName=name)
        iot.update_authorizer(authorizerName=name, status="INACTIVE")
    refused(errors.DeleteConflictException, iot.delete_authorizer, "default",
            authorizerName="one")
    check("cleared", body(iot.clear_default_authorizer()), {})
    for name in ("one", "other"):
        iot.delete_authorizer(authorizerName=name)


def invoked(aws):
    """AWS-OPS-47: what a function answers, for a token that is signed or need not be."""
    iot, errors = aws.iot, aws.iot.exceptions
    key = pki.rsa_key(2048)
    iot.create_authorizer(authorizerName="signed", authorizerFunctionArn=FUNCTION,
                          tokenKeyName="tok", tokenSigningPublicKeys={"one": pki.public_pem(key)})
    iot.create_authorizer(authorizerName="plain", authorizerFunctionArn=FUNCTION,
                          signingDisabled=True)
    iot.create_authorizer(authorizerName="lost", authorizerFunctionArn="arn:of:nothing",
                          signingDisabled=True)

    def sign(token):
        signature = key.sign(token.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()

    said = body(iot.test_invoke_authorizer(authorizerName="signed", token="good",
                                           tokenSignature=sign("good")))
    check("who", (said["isAuthenticated"], said["principalId"]), (True, "ann"))
    check("times", (said["refreshAfterInSeconds"], said["disconnectAfterInSeconds"]), (300, 600))
    check("documents", len(said["policyDocuments"]), 1)
    refused(errors.InvalidRequestException, iot.test_invoke_authorizer, "signature",
            authorizerName="signed", token="good", tokenSignature=sign("other"))
    refused(errors.InvalidRequestException, iot.test_invoke_authorizer, "token",
            authorizerName="signed")
    said = body(iot.test_invoke_authorizer(
        authorizerName="plain", mqttContext={"username": "u", "password": b"p", "clientId": "c"},
        httpContext={"headers": {"a": "b"}, "queryString": "?c=d"},
        tlsContext={"serverName": "localhost"}))
    check("who", said["isAuthenticated"], False)
    refused(errors.InvalidResponseException, iot.test_invoke_authorizer, "arn:of:nothing",
            authorizerName="lost")
    refused(errors.ResourceNotFoundException, iot.test_invoke_authorizer, "absent",
            authorizerName="absent")
    for name in ("signed", "plain", "lost"):
        iot.delete_authorizer(authorizerName=name)


CASES = [authorizers, default_authorizer, invoked]
