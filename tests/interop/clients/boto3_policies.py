"""Policies, their versions, their targets, and what they would decide."""

import pki
from boto3_support import NOBODY, PREFIX, body, document, refused
from cases import check


def policies(aws):
    """AWS-OPS-34 to -37, AWS-API-15 to -18: a policy from its creation to its end."""
    iot, errors = aws.iot, aws.iot.exceptions
    texts = [document(resource=f"arn:{number}:*") for number in range(6)]
    # AWS-OPS-34
    made = body(iot.create_policy(policyName="v", policyDocument=texts[0]))
    arn = f"{PREFIX}policy/v"
    check("created", made, {"policyName": "v", "policyArn": arn, "policyDocument": texts[0],
                            "policyVersionId": "1"})
    response = refused(errors.ResourceAlreadyExistsException, iot.create_policy, "v",
                       policyName="v", policyDocument=texts[0])
    check("resourceArn", response["resourceArn"], arn)
    for text in ("nonsense", "{}", '{"Version": "2012-10-17", "Statement": [{"Effect": "Maybe"}]}'):
        for call in (iot.create_policy, iot.create_policy_version):
            refused(errors.MalformedPolicyException, call, policyName="v", policyDocument=text)
    found = body(iot.get_policy(policyName="v"))
    check("found", (found["policyDocument"], found["defaultVersionId"]), (texts[0], "1"))

    # AWS-OPS-35
    for number in (1, 2, 3, 4):
        version = body(iot.create_policy_version(policyName="v", policyDocument=texts[number],
                                                 setAsDefault=number == 2))
        check("version", (version["policyVersionId"], version["isDefaultVersion"]),
              (str(number + 1), number == 2))
    refused(errors.VersionsLimitExceededException, iot.create_policy_version, policyName="v",
            policyDocument=texts[5])

    def listed():
        versions = iot.list_policy_versions(policyName="v")["policyVersions"]
        return {each["versionId"]: each["isDefaultVersion"] for each in versions}

    check("versions", listed(), {"1": False, "2": False, "3": True, "4": False, "5": False})
    check("default", iot.get_policy(policyName="v")["policyDocument"], texts[2])
    check("one of them", iot.get_policy_version(policyName="v", policyVersionId="4")
          ["policyDocument"], texts[3])
    iot.set_default_policy_version(policyName="v", policyVersionId="4")
    check("default", iot.get_policy(policyName="v")["defaultVersionId"], "4")
    # AWS-OPS-37
    refused(errors.DeleteConflictException, iot.delete_policy_version, policyName="v",
            policyVersionId="4")
    iot.delete_policy_version(policyName="v", policyVersionId="5")
    for call in (iot.delete_policy_version, iot.get_policy_version, iot.set_default_policy_version):
        refused(errors.ResourceNotFoundException, call, policyName="v", policyVersionId="5")
    version = iot.create_policy_version(policyName="v", policyDocument=texts[5])
    check("no number comes back", version["policyVersionId"], "6")
    # AWS-OPS-36
    refused(errors.DeleteConflictException, iot.delete_policy, "DeletePolicyVersion",
            policyName="v")
    for number in ("1", "2", "3", "6"):
        iot.delete_policy_version(policyName="v", policyVersionId=number)
    iot.create_thing_group(thingGroupName="v")
    target = f"{PREFIX}thinggroup/v"
    iot.attach_policy(policyName="v", target=target)
    refused(errors.DeleteConflictException, iot.delete_policy, target, policyName="v")
    # AWS-API-46: at once.
    iot.detach_policy(policyName="v", target=target)
    iot.delete_policy(policyName="v")
    iot.delete_thing_group(thingGroupName="v")
    for call, more in ((iot.get_policy, {}), (iot.delete_policy, {}),
                       (iot.list_policy_versions, {}),
                       (iot.create_policy_version, {"policyDocument": texts[0]})):
        refused(errors.ResourceNotFoundException, call, "v", policyName="v", **more)


def targets(aws):
    """AWS-OPS-38, -39, AWS-API-19 to -21: what policies are attached to."""
    iot, errors = aws.iot, aws.iot.exceptions
    names = [f"a{number:02}" for number in range(11)]
    for name in names:
        iot.create_policy(policyName=name, policyDocument=document())
    pem = pki.Authority("nobody's").issue("target")
    made = iot.register_certificate_without_ca(certificatePem=pem)
    arn = made["certificateArn"]
    for name in names[:10]:
        check("attached", body(iot.attach_policy(policyName=name, target=arn)), {})
    iot.attach_policy(policyName=names[0], target=arn)
    refused(errors.LimitExceededException, iot.attach_policy, policyName=names[10], target=arn)
    refused(errors.LimitExceededException, iot.attach_principal_policy, policyName=names[10],
            principal=arn)
    for _ in range(2):
        check("detached", body(iot.detach_policy(policyName=names[9], target=arn)), {})
    iot.attach_principal_policy(policyName=names[10], principal=arn)
    check("of the principal", [each["policyName"] for each in
                               iot.list_principal_policies(principal=arn)["policies"]],
          names[:9] + names[10:])
    check("of the policy", iot.list_policy_principals(policyName=names[10])["principals"], [arn])
    iot.detach_principal_policy(policyName=names[10], principal=arn)
    check("attached", [each["policyName"] for each in
                       iot.list_attached_policies(target=arn)["policies"]], names[:9])
    check("targets", iot.list_targets_for_policy(policyName=names[0])["targets"], [arn])

    # AWS-OPS-38
    for call in (iot.attach_policy, iot.detach_policy):
        for name, target in (("absent", arn), (names[0], f"{PREFIX}cert/{NOBODY}"),
                             (names[0], f"{PREFIX}thinggroup/absent")):
            expected = errors.ResourceNotFoundException
            refused(expected, call, policyName=name, target=target)
        for target in ("nonsense", f"{PREFIX}thing/x", "arn:aws:iot:eu-west-1:1:cert/x"):
            refused(errors.InvalidRequestException, call, target, policyName=names[0],
                    target=target)
    refused(errors.ResourceNotFoundException, iot.list_attached_policies,
            target=f"{PREFIX}cert/{NOBODY}")
    refused(errors.ResourceNotFoundException, iot.list_targets_for_policy, policyName="absent")
    refused(errors.ResourceNotFoundException, iot.list_policy_principals, policyName="absent")

    # AWS-OPS-39
    iot.create_thing_group(thingGroupName="outer")
    iot.create_thing_group(thingGroupName="inner", parentGroupName="outer")
    for name, group in zip(names, ("outer", "inner")):
        iot.attach_policy(policyName=name, target=f"{PREFIX}thinggroup/{group}")
    inner = f"{PREFIX}thinggroup/inner"
    for recursive, want in ((False, names[1:2]), (True, names[:2])):
        found = iot.list_attached_policies(target=inner, recursive=recursive)["policies"]
        check(f"recursive={recursive}", [each["policyName"] for each in found], want)

    for name, group in zip(names, ("outer", "inner")):
        iot.detach_policy(policyName=name, target=f"{PREFIX}thinggroup/{group}")
    for group in ("inner", "outer"):
        iot.delete_thing_group(thingGroupName=group)
    iot.delete_certificate(certificateId=made["certificateId"], forceDelete=True)
    for name in names:
        iot.delete_policy(policyName=name)


def decisions(aws):
    """AWS-OPS-57, AWS-API-24: what the policies of a principal decide, and which they are."""
    iot, errors = aws.iot, aws.iot.exceptions
    pem = pki.Authority("nobody's").issue("asked")
    made = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    arn = made["certificateArn"]
    iot.create_thing(thingName="asked")
    iot.attach_thing_principal(thingName="asked", principal=arn)
    statements = {
        "publish": document(["iot:Publish", "iot:Connect"],
                            [f"{PREFIX}topic/cars/*", f"{PREFIX}client/${{iot:Connection.Thing."
                                                      f"ThingName}}"]),
        "secret": document("iot:*", f"{PREFIX}topic/cars/secret", "Deny"),
        "added": document("iot:Subscribe", f"{PREFIX}topicfilter/cars/*"),
    }
    for name, text in statements.items():
        iot.create_policy(policyName=name, policyDocument=text)
    for name in ("publish", "secret"):
        iot.attach_policy(policyName=name, target=arn)
    found = iot.get_effective_policies(principal=arn, thingName="asked")["effectivePolicies"]
    check("effective", {each["policyName"]: each["policyDocument"] for each in found},
          {name: statements[name] for name in ("publish", "secret")})

    def decided(action, resource, **more):
        info = {"actionType": action, "resources": [PREFIX + resource]}
        result, = iot.test_authorization(principal=arn, authInfos=[info], **more)["authResults"]
        check("asked", result["authInfo"], info)
        return result

    check("allowed", decided("PUBLISH", "topic/cars/a")["authDecision"], "ALLOWED")
    found = decided("PUBLISH", "topic/cars/secret")
    check("denied", found["authDecision"], "EXPLICIT_DENY")
    check("by whom", [each["policyName"] for each in
                      found["denied"]["explicitDeny"]["policies"]], ["secret"])
    check("not denied", decided("PUBLISH", "topic/cars/secret", policyNamesToSkip=["secret"])
          ["authDecision"], "ALLOWED")
    check("nothing", decided("SUBSCRIBE", "topicfilter/cars/a")["authDecision"], "IMPLICIT_DENY")
    check("added", decided("SUBSCRIBE", "topicfilter/cars/a", policyNamesToAdd=["added"])
          ["authDecision"], "ALLOWED")
    check("receive", decided("RECEIVE", "topic/cars/a")["authDecision"], "IMPLICIT_DENY")
    check("connect", decided("CONNECT", "client/asked", clientId="asked")["authDecision"],
          "ALLOWED")
    check("missing", decided("CONNECT", "client/asked")["missingContextValues"],
          ["iot:Connection.Thing.ThingName"])
    info = {"actionType": "PUBLISH", "resources": [f"{PREFIX}topic/cars/a"]}
    refused(errors.ResourceNotFoundException, iot.test_authorization,
            principal=f"{PREFIX}cert/{NOBODY}", authInfos=[info])
    refused(errors.ResourceNotFoundException, iot.test_authorization, "absent", principal=arn,
            authInfos=[info], policyNamesToAdd=["absent"])
    refused(errors.InvalidRequestException, iot.test_authorization, principal=arn,
            authInfos=[info | {"actionType": "EAT"}])
    refused(errors.ResourceNotFoundException, iot.get_effective_policies,
            principal=f"{PREFIX}cert/{NOBODY}")
    refused(errors.ResourceNotFoundException, iot.get_effective_policies, "absent",
            principal=arn, thingName="absent")
    iot.detach_thing_principal(thingName="asked", principal=arn)
    iot.delete_thing(thingName="asked")
    iot.update_certificate(certificateId=made["certificateId"], newStatus="INACTIVE")
    iot.delete_certificate(certificateId=made["certificateId"], forceDelete=True)
    for name in statements:
        iot.delete_policy(policyName=name)


CASES = [policies, targets, decisions]
