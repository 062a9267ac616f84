"""Certificates, authorities, and what certificates are attached to."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import pki
from boto3_support import ACCOUNT, NOBODY, PREFIX, body, document, refused
from cases import check


def issued(aws):
    """AWS-API-05, -11, -13, -14, AWS-OPS-27, -28, -30: keys and a certificate, to their end."""
    iot, errors = aws.iot, aws.iot.exceptions
    made = body(iot.create_keys_and_certificate(setAsActive=True))
    number, arn = made["certificateId"], made["certificateArn"]
    check("id", number, pki.fingerprint(made["certificatePem"]))
    check("ARN", arn, f"{PREFIX}cert/{number}")
    # AWS-OPS-30
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    check("subject", certificate.subject.rfc4514_string(), "CN=AWS IoT Certificate")
    check("end", certificate.not_valid_after_utc.strftime("%F"), "2049-12-31")
    private = serialization.load_pem_private_key(made["keyPair"]["PrivateKey"].encode(), None)
    check("key", private.key_size, 2048)
    check("public key", pki.public_pem(private).strip(), made["keyPair"]["PublicKey"].strip())
    check("same key", certificate.public_key().public_numbers(),
          private.public_key().public_numbers())
    found = body(iot.describe_certificate(certificateId=number))["certificateDescription"]
    check("description", (found["status"], found["ownedBy"], found["certificatePem"],
                          found["certificateMode"]),
          ("ACTIVE", ACCOUNT, made["certificatePem"], "DEFAULT"))
    # AWS-API-44
    age = datetime.datetime.now(datetime.timezone.utc) - found["creationDate"]
    check("age", abs(age.total_seconds()) < 60, True)
    check("end", found["validity"]["notAfter"].timestamp(),
          certificate.not_valid_after_utc.timestamp())
    check("listed", [each["certificateId"] for each in iot.list_certificates()["certificates"]],
          [number])

    # AWS-OPS-28: ACTIVE, then what is attached, then force.
    refused(errors.CertificateStateException, iot.delete_certificate, number,
            certificateId=number, forceDelete=True)
    iot.create_thing(thingName="i1")
    iot.create_policy(policyName="issued", policyDocument=document())
    iot.attach_thing_principal(thingName="i1", principal=arn)
    iot.attach_policy(policyName="issued", target=arn)
    # AWS-OPS-27
    for _ in range(2):
        iot.update_certificate(certificateId=number, newStatus="INACTIVE")
    check("status", iot.describe_certificate(certificateId=number)["certificateDescription"]
          ["status"], "INACTIVE")
    refused(errors.DeleteConflictException, iot.delete_certificate, "i1", certificateId=number)
    refused(errors.DeleteConflictException, iot.delete_certificate, "i1", certificateId=number,
            forceDelete=True)
    # AWS-OPS-23
    refused(errors.InvalidRequestException, iot.delete_thing,
            "Cannot delete. Thing i1 is still attached to one or more principals", thingName="i1")
    iot.detach_thing_principal(thingName="i1", principal=arn)
    refused(errors.DeleteConflictException, iot.delete_certificate, "issued",
            certificateId=number)
    iot.delete_certificate(certificateId=number, forceDelete=True)
    check("targets", iot.list_targets_for_policy(policyName="issued")["targets"], [])
    for call, more in ((iot.describe_certificate, {}), (iot.delete_certificate, {}),
                       (iot.update_certificate, {"newStatus": "ACTIVE"})):
        refused(errors.ResourceNotFoundException, call, number, certificateId=number, **more)
    refused(errors.InvalidRequestException, iot.describe_certificate, "'certificateId'",
            certificateId="z" * 64)
    iot.delete_thing(thingName="i1")
    iot.delete_policy(policyName="issued")


def requests(aws):
    """AWS-OPS-29, AWS-API-06: a request is signed as often as it comes, if its key is strong enough."""
    iot, errors = aws.iot, aws.iot.exceptions
    for key in (pki.key(), pki.key(ec.SECP384R1), pki.key(ec.SECP521R1), pki.rsa_key(2048)):
        text = pki.request(key)
        made = [body(iot.create_certificate_from_csr(certificateSigningRequest=text))
                for _ in range(2)]
        check("two certificates", made[0]["certificateId"] != made[1]["certificateId"], True)
        for each in made:
            certificate = x509.load_pem_x509_certificate(each["certificatePem"].encode())
            check("key", certificate.public_key().public_numbers(),
                  key.public_key().public_numbers())
            check("subject", certificate.subject.rfc4514_string(), "CN=AWS IoT Certificate")
            found = iot.describe_certificate(certificateId=each["certificateId"])
            check("status", found["certificateDescription"]["status"], "INACTIVE")
            iot.delete_certificate(certificateId=each["certificateId"])
    for text in (pki.request(pki.rsa_key(1024)), pki.request(pki.key(ec.SECP256K1)), "nonsense"):
        refused(errors.InvalidRequestException, iot.create_certificate_from_csr,
                certificateSigningRequest=text)


def registered(aws):
    """AWS-OPS-32, AWS-API-08, -13: certificates of others, without their authority."""
    iot, errors = aws.iot, aws.iot.exceptions
    text = pki.Authority("nobody's").issue("theirs")
    made = body(iot.register_certificate_without_ca(certificatePem=text, status="ACTIVE"))
    number = made["certificateId"]
    check("id", number, pki.fingerprint(text))
    # AWS-OPS-32, AWS-API-42
    response = refused(errors.ResourceAlreadyExistsException,
                       iot.register_certificate_without_ca, certificatePem=text)
    check("resource", (response["resourceId"], response["resourceArn"]),
          (number, made["certificateArn"]))
    check("mode", iot.describe_certificate(certificateId=number)["certificateDescription"]
          ["certificateMode"], "SNI_ONLY")
    for status in ("PENDING_TRANSFER", "PENDING_ACTIVATION", "REGISTER_INACTIVE", "GONE"):
        refused(errors.InvalidRequestException, iot.update_certificate, status,
                certificateId=number, newStatus=status)
    iot.update_certificate(certificateId=number, newStatus="REVOKED")
    iot.delete_certificate(certificateId=number)
    refused(errors.CertificateValidationException, iot.register_certificate_without_ca,
            certificatePem="nonsense")


def authorities(aws):
    """AWS-OPS-31, -33, -44, AWS-API-07, -09, -10: CA certificates and what they signed."""
    iot, errors = aws.iot, aws.iot.exceptions
    # AWS-OPS-44
    code = iot.get_registration_code()["registrationCode"]
    check("registration code", (len(code), iot.get_registration_code()["registrationCode"]),
          (64, code))
    iot.delete_registration_code()
    refused(errors.ResourceNotFoundException, iot.delete_registration_code)
    other = iot.get_registration_code()["registrationCode"]
    check("another code", other != code, True)

    first = pki.Authority("maker")
    text = first.issue("device")
    # AWS-OPS-31
    refused(errors.CertificateValidationException, iot.register_certificate, certificatePem=text)
    # AWS-OPS-33
    refused(errors.RegistrationCodeValidationException, iot.register_ca_certificate,
            caCertificate=first.certificate, verificationCertificate=first.issue(code))
    refused(errors.CertificateValidationException, iot.register_ca_certificate,
            caCertificate=first.certificate,
            verificationCertificate=pki.Authority("maker").issue(other))
    refused(errors.InvalidRequestException, iot.register_ca_certificate,
            caCertificate=first.certificate)
    refused(errors.CertificateValidationException, iot.register_ca_certificate,
            caCertificate=text, certificateMode="SNI_ONLY")
    config = {"templateBody": "{}", "roleArn": "arn:aws:iam::123456789012:role/a"}
    made = body(iot.register_ca_certificate(
        caCertificate=first.certificate, verificationCertificate=first.issue(other),
        setAsActive=True, allowAutoRegistration=True, registrationConfig=config,
        tags=[{"Key": "a", "Value": "b"}]))
    number = made["certificateId"]
    check("ARN", made["certificateArn"], f"{PREFIX}cacert/{number}")
    check("tags", iot.list_tags_for_resource(resourceArn=made["certificateArn"])["tags"],
          [{"Key": "a", "Value": "b"}])
    found = body(iot.describe_ca_certificate(certificateId=number))
    description = found["certificateDescription"]
    check("description", (description["status"], description["autoRegistrationStatus"],
                          description["certificatePem"], description["certificateMode"],
                          found["registrationConfig"]),
          ("ACTIVE", "ENABLE", first.certificate, "DEFAULT", config))
    response = refused(errors.ResourceAlreadyExistsException, iot.register_ca_certificate,
                       caCertificate=first.certificate, certificateMode="SNI_ONLY")
    check("resourceArn", response["resourceArn"], made["certificateArn"])

    # AWS-API-07, AWS-OPS-32
    device = body(iot.register_certificate(certificatePem=text, setAsActive=True))
    response = refused(errors.ResourceAlreadyExistsException, iot.register_certificate,
                       certificatePem=text)
    check("resource", (response["resourceId"], response["resourceArn"]),
          (device["certificateId"], device["certificateArn"]))
    found = iot.describe_certificate(certificateId=device["certificateId"])
    check("CA", (found["certificateDescription"]["caCertificateId"],
                 found["certificateDescription"]["status"]), (number, "ACTIVE"))
    listed = iot.list_certificates_by_ca(caCertificateId=number)["certificates"]
    check("by CA", [each["certificateId"] for each in listed], [device["certificateId"]])

    # AWS-OPS-31: two authorities of one subject; -33: ten of them at most.
    others = [pki.Authority("maker") for _ in range(10)]
    numbers = [iot.register_ca_certificate(caCertificate=each.certificate, setAsActive=True,
                                           certificateMode="SNI_ONLY")["certificateId"]
               for each in others[:9]]
    refused(errors.LimitExceededException, iot.register_ca_certificate,
            caCertificate=others[9].certificate, certificateMode="SNI_ONLY")
    text = others[0].issue("device")
    refused(errors.CertificateConflictException, iot.register_certificate, certificatePem=text)
    second = iot.register_certificate(certificatePem=text, status="INACTIVE",
                                      caCertificatePem=others[0].certificate)
    listed = iot.list_ca_certificates()["certificates"]
    check("CAs", {each["certificateId"] for each in listed}, {number, *numbers})

    iot.update_ca_certificate(certificateId=number, newAutoRegistrationStatus="DISABLE")
    iot.update_ca_certificate(certificateId=numbers[0], removeAutoRegistration=True,
                              newStatus="INACTIVE")
    refused(errors.CertificateStateException, iot.delete_ca_certificate, number,
            certificateId=number)
    iot.update_certificate(certificateId=device["certificateId"], newStatus="INACTIVE")
    for each in (device, second):
        iot.delete_certificate(certificateId=each["certificateId"])
    for each in (number, *numbers):
        iot.update_ca_certificate(certificateId=each, newStatus="INACTIVE")
        iot.delete_ca_certificate(certificateId=each)
    refused(errors.ResourceNotFoundException, iot.describe_ca_certificate, number,
            certificateId=number)
    refused(errors.ResourceNotFoundException, iot.delete_ca_certificate, certificateId=number)


def principals(aws):
    """AWS-OPS-40, -41, AWS-API-22, -23: things and certificates, shared and exclusive."""
    iot, errors = aws.iot, aws.iot.exceptions
    maker = pki.Authority("nobody's")
    made = [iot.register_certificate_without_ca(certificatePem=maker.issue(f"p{number}"))
            for number in range(2)]
    first, second = (each["certificateArn"] for each in made)
    for name in ("p1", "p2"):
        iot.create_thing(thingName=name)

    def attach(thing, principal, **more):
        return body(iot.attach_thing_principal(thingName=thing, principal=principal, **more))

    for _ in range(2):
        check("attached", attach("p1", first), {})
    attach("p2", first)
    exclusive = {"thingPrincipalType": "EXCLUSIVE_THING"}
    refused(errors.InvalidRequestException, attach, "exclusive", thing="p1", principal=first,
            **exclusive)
    attach("p2", second, **exclusive)
    refused(errors.InvalidRequestException, attach, "exclusive", thing="p1", principal=second)
    refused(errors.InvalidRequestException, attach, thing="p1", principal=second,
            thingPrincipalType="SOME")
    for thing, principal in (("absent", first), ("p1", f"{PREFIX}cert/{NOBODY}")):
        refused(errors.ResourceNotFoundException, attach, thing=thing, principal=principal)
    refused(errors.InvalidRequestException, attach, thing="p1", principal="nonsense")
    check("principals", sorted(iot.list_thing_principals(thingName="p2")["principals"]),
          sorted((first, second)))
    check("things", iot.list_principal_things(principal=first)["things"], ["p1", "p2"])
    found = iot.list_thing_principals_v2(thingName="p2", **exclusive)["thingPrincipalObjects"]
    check("exclusive", found, [{"principal": second, "thingPrincipalType": "EXCLUSIVE_THING"}])
    found = iot.list_principal_things_v2(principal=first)["principalThingObjects"]
    check("shared", found, [{"thingName": name, "thingPrincipalType": "NON_EXCLUSIVE_THING"}
                            for name in ("p1", "p2")])
    # AWS-OPS-41
    iot.detach_thing_principal(thingName="p1", principal=first)
    check("at once", iot.list_thing_principals(thingName="p1")["principals"], [])
    refused(errors.ResourceNotFoundException, iot.detach_thing_principal, "not attached",
            thingName="p1", principal=first)
    for call in (iot.list_thing_principals, iot.list_thing_principals_v2):
        refused(errors.ResourceNotFoundException, call, thingName="absent")
    for call in (iot.list_principal_things, iot.list_principal_things_v2):
        refused(errors.ResourceNotFoundException, call, principal=f"{PREFIX}cert/{NOBODY}")
    for principal in (first, second):
        iot.detach_thing_principal(thingName="p2", principal=principal)
    for each in made:
        iot.delete_certificate(certificateId=each["certificateId"])
    for name in ("p1", "p2"):
        iot.delete_thing(thingName=name)


CASES = [issued, requests, registered, authorities, principals]
