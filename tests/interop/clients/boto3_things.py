"""Things, types, groups, tags, events, the endpoint."""

import datetime
import uuid

from boto3_support import NOBODY, PREFIX, body, document, refused
from cases import check


def endpoint(aws):
    """AWS-API-01, AWS-OPS-43: the bare host of this broker, for each type."""
    iot = aws.iot
    hosts = {iot.describe_endpoint()["endpointAddress"]}
    for kind in ("iot:Data-ATS", "iot:Data", "iot:Jobs", "iot:CredentialProvider"):
        hosts.add(iot.describe_endpoint(endpointType=kind)["endpointAddress"])
    check("hosts", hosts, {"localhost"})
    refused(iot.exceptions.InvalidRequestException, iot.describe_endpoint, "iot:Nothing",
            endpointType="iot:Nothing")


def things(aws):
    """AWS-OPS-20, -22, -23, -24, AWS-API-02, -03: a thing from its creation to its end."""
    iot, errors = aws.iot, aws.iot.exceptions
    attributes = {"vin": "WVWZZZ1JZ3W386752", "color": "red"}
    wanted = {"thingName": "t:1_a-b", "attributePayload": {"attributes": attributes}}
    first = body(iot.create_thing(**wanted))
    check("ARN", first["thingArn"], f"{PREFIX}thing/t:1_a-b")
    check("id", str(uuid.UUID(first["thingId"])), first["thingId"])
    # AWS-OPS-20: the same again is the first one; AWS-API-42: another one says which there is.
    check("the same again", body(iot.create_thing(**wanted)), first)
    response = refused(errors.ResourceAlreadyExistsException, iot.create_thing, "t:1_a-b",
                       thingName="t:1_a-b")
    check("resourceId", response["resourceId"], "t:1_a-b")
    check("resourceArn", response["resourceArn"], first["thingArn"])
    described = body(iot.describe_thing(thingName="t:1_a-b"))
    check("description", described, {
        "defaultClientId": "t:1_a-b", **first, "attributes": attributes, "version": 1})

    # AWS-OPS-24
    def update(**more):
        iot.update_thing(thingName="t:1_a-b", **more)
        found = iot.describe_thing(thingName="t:1_a-b")
        return found["attributes"], found["version"]

    payload = {"attributes": {"color": "", "year": "2026"}, "merge": True}
    merged = {"vin": attributes["vin"], "year": "2026"}
    check("merged", update(attributePayload=payload), (merged, 2))
    check("replaced", update(attributePayload={"attributes": {"a": "b"}}, expectedVersion=2),
          ({"a": "b"}, 3))
    refused(errors.VersionConflictException, iot.update_thing, "3", thingName="t:1_a-b",
            expectedVersion=2)
    refused(errors.ResourceNotFoundException, iot.update_thing, "nobody", thingName="nobody")

    # AWS-OPS-22
    refused(errors.ResourceNotFoundException, iot.create_thing, "nothing", thingName="t2",
            thingTypeName="nothing")
    refused(errors.ResourceNotFoundException, iot.create_thing, "payers", thingName="t2",
            billingGroupName="payers")
    refused(errors.ResourceNotFoundException, iot.describe_thing, "t2", thingName="t2")

    # AWS-OPS-23
    refused(errors.VersionConflictException, iot.delete_thing, thingName="t:1_a-b",
            expectedVersion=1)
    check("deleted", body(iot.delete_thing(thingName="t:1_a-b", expectedVersion=3)), {})
    check("deleted again", body(iot.delete_thing(thingName="t:1_a-b")), {})
    again = body(iot.create_thing(**wanted))
    check("another id", again["thingId"] != first["thingId"], True)
    iot.delete_thing(thingName="t:1_a-b")


def names(aws):
    """AWS-API-45, AWS-OPS-06, -15: what boto3 lets through, the broker refuses as the service does."""
    iot, errors = aws.iot, aws.iot.exceptions
    pattern = ("1 validation error detected: Value at 'thingName' failed to satisfy constraint: "
               "Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+")
    for name in ("a b", "ü", "a/b", "a.b", "%41"):
        response = refused(errors.InvalidRequestException, iot.create_thing, thingName=name)
        check(f"message for {name}", response["message"], pattern)
    response = refused(errors.InvalidRequestException, iot.create_thing, thingName="ü" * 129)
    check("message", response["message"], pattern.replace("1 validation error ",
          "2 validation errors ") + "; Value at 'thingName' failed to satisfy constraint: "
          "Member must have length less than or equal to 128")
    iot.create_thing(thingName="n" * 128)
    iot.delete_thing(thingName="n" * 128)
    for attributes in ({"a b": "c"}, {"a" * 129: "c"}, {"a": "b c"}, {"a": "b" * 801}):
        refused(errors.InvalidRequestException, iot.create_thing, "validation error detected",
                thingName="t", attributePayload={"attributes": attributes})
    edge = {"a_.,@/:#-": "b_.,@/:#=[]-", "a" * 128: "b" * 800}
    iot.create_thing(thingName="edge", attributePayload={"attributes": edge})
    check("attributes", iot.describe_thing(thingName="edge")["attributes"], edge)
    iot.delete_thing(thingName="edge")
    refused(errors.InvalidRequestException, iot.list_things,
            "1 validation error detected: Value '251' at 'maxResults' failed to satisfy constraint: "
            "Member must have value less than or equal to 250", maxResults=251)
    refused(errors.InvalidRequestException, iot.list_policies, "validation error detected",
            "pageSize", pageSize=251)
    # Names that a path carries percent-encoded (AWS-OPS-04).
    iot.create_policy(policyName="p=+,.@-_", policyDocument=document())
    check("policy", iot.get_policy(policyName="p=+,.@-_")["policyArn"],
          f"{PREFIX}policy/p=+,.@-_")
    iot.delete_policy(policyName="p=+,.@-_")
    for name in ("p q", "p/q", "é"):
        refused(errors.InvalidRequestException, iot.create_policy, "'policyName'", r"[\w+=,.@-]+",
                policyName=name, policyDocument=document())


def lists_of_things(aws):
    """AWS-API-04: by type, by attribute, by the beginning of a value."""
    iot = aws.iot
    iot.create_thing_type(thingTypeName="listed")
    for name, color in (("l1", "red"), ("l2", "redder"), ("l3", "green")):
        iot.create_thing(thingName=name, attributePayload={"attributes": {"color": color}},
                         **({"thingTypeName": "listed"} if name != "l3" else {}))

    def listed(**filters):
        return [thing["thingName"] for thing in iot.list_things(**filters)["things"]]

    check("all", listed(), ["l1", "l2", "l3"])
    check("by type", listed(thingTypeName="listed"), ["l1", "l2"])
    check("by value", listed(attributeName="color", attributeValue="red"), ["l1"])
    check("by prefix", listed(attributeName="color", attributeValue="red",
                              usePrefixAttributeValue=True), ["l1", "l2"])
    check("in the list", iot.list_things(maxResults=1)["things"], [{
        "thingName": "l1", "thingTypeName": "listed", "thingArn": f"{PREFIX}thing/l1",
        "attributes": {"color": "red"}, "version": 1}])
    refused(iot.exceptions.InvalidRequestException, iot.list_things, "attributeName",
            attributeValue="red")
    iot.update_thing(thingName="l1", removeThingType=True)
    check("type", "thingTypeName" in iot.describe_thing(thingName="l1"), False)
    for name in ("l1", "l2", "l3"):
        iot.delete_thing(thingName=name)
    iot.deprecate_thing_type(thingTypeName="listed")
    iot.delete_thing_type(thingTypeName="listed")


def types(aws):
    """AWS-OPS-20, -22, -25, AWS-API-25: a type from its creation to its end."""
    iot, errors = aws.iot, aws.iot.exceptions
    propagating = [{"userPropertyKey": "vin", "thingAttribute": "vin"},
                   {"userPropertyKey": "id", "connectionAttribute": "iot:ClientId"}]
    properties = {"thingTypeDescription": "a car", "searchableAttributes": ["vin"],
                  "mqtt5Configuration": {"propagatingAttributes": propagating}}
    wanted = {"thingTypeName": "car", "thingTypeProperties": properties}
    first = body(iot.create_thing_type(**wanted, tags=[{"Key": "team", "Value": "a"}]))
    check("ARN", first["thingTypeArn"], f"{PREFIX}thingtype/car")
    # AWS-OPS-20
    same = iot.create_thing_type(**wanted, tags=[{"Key": "team", "Value": "a"}])
    check("the same again", body(same), first)
    response = refused(errors.ResourceAlreadyExistsException, iot.create_thing_type,
                       thingTypeName="car")
    check("resourceArn", response["resourceArn"], first["thingTypeArn"])
    found = body(iot.describe_thing_type(thingTypeName="car"))
    metadata = found.pop("thingTypeMetadata")
    check("description", found, {**first, "thingTypeProperties": properties})
    check("deprecated", metadata["deprecated"], False)
    # AWS-API-44: seconds.
    age = datetime.datetime.now(datetime.timezone.utc) - metadata["creationDate"]
    check("age", abs(age.total_seconds()) < 60, True)
    iot.update_thing_type(thingTypeName="car", thingTypeProperties={
        "mqtt5Configuration": {"propagatingAttributes": propagating[:1]}})
    changed = iot.describe_thing_type(thingTypeName="car")["thingTypeProperties"]
    check("changed", changed["mqtt5Configuration"]["propagatingAttributes"], propagating[:1])
    check("listed", [found["thingTypeName"] for found in
                     iot.list_thing_types(thingTypeName="car")["thingTypes"]], ["car"])
    # AWS-OPS-25
    refused(errors.InvalidRequestException, iot.delete_thing_type, "deprecated",
            thingTypeName="car")
    iot.create_thing(thingName="c1", thingTypeName="car")
    iot.deprecate_thing_type(thingTypeName="car")
    refused(errors.InvalidRequestException, iot.create_thing, "deprecated", thingName="c2",
            thingTypeName="car")
    metadata = iot.describe_thing_type(thingTypeName="car")["thingTypeMetadata"]
    check("deprecated", (metadata["deprecated"], "deprecationDate" in metadata), (True, True))
    refused(errors.InvalidRequestException, iot.delete_thing_type, "c1", thingTypeName="car")
    iot.deprecate_thing_type(thingTypeName="car", undoDeprecate=True)
    iot.create_thing(thingName="c2", thingTypeName="car")
    for name in ("c1", "c2"):
        iot.delete_thing(thingName=name)
    iot.deprecate_thing_type(thingTypeName="car")
    iot.delete_thing_type(thingTypeName="car")
    for call in (iot.describe_thing_type, iot.delete_thing_type, iot.deprecate_thing_type,
                 iot.update_thing_type):
        refused(errors.ResourceNotFoundException, call, "car", thingTypeName="car")


def groups(aws):
    """AWS-OPS-21, -26, AWS-API-25: groups, what stands in them, and their versions."""
    iot, errors = aws.iot, aws.iot.exceptions
    properties = {"thingGroupDescription": "all of them", "attributePayload":
                  {"attributes": {"site": "a"}}}
    wanted = {"thingGroupName": "all", "thingGroupProperties": properties}
    first = body(iot.create_thing_group(**wanted))
    check("the same again", body(iot.create_thing_group(**wanted)), first)
    response = refused(errors.ResourceAlreadyExistsException, iot.create_thing_group,
                       thingGroupName="all")
    check("resource", (response["resourceId"], response["resourceArn"]),
          ("all", first["thingGroupArn"]))
    iot.create_thing_group(thingGroupName="cars", parentGroupName="all")
    iot.create_thing_group(thingGroupName="red", parentGroupName="cars")
    refused(errors.InvalidRequestException, iot.create_thing_group, "absent",
            thingGroupName="x", parentGroupName="absent")
    found = body(iot.describe_thing_group(thingGroupName="red"))
    metadata = found["thingGroupMetadata"]
    check("parent", metadata["parentGroupName"], "cars")
    check("lineage", [group["groupName"] for group in metadata["rootToParentThingGroups"]],
          ["all", "cars"])
    found = body(iot.describe_thing_group(thingGroupName="all"))
    check("properties", found["thingGroupProperties"], properties)
    check("version", found["version"], 1)

    answer = iot.update_thing_group(thingGroupName="all", expectedVersion=1, thingGroupProperties={
        "attributePayload": {"attributes": {"kind": "b"}, "merge": True}})
    check("version", answer["version"], 2)
    check("attributes", iot.describe_thing_group(thingGroupName="all")["thingGroupProperties"]
          ["attributePayload"]["attributes"], {"site": "a", "kind": "b"})
    refused(errors.VersionConflictException, iot.update_thing_group, thingGroupName="all",
            expectedVersion=1, thingGroupProperties={})

    iot.create_thing(thingName="g1")
    iot.create_thing(thingName="g2")
    iot.add_thing_to_thing_group(thingGroupName="red", thingName="g1")
    iot.add_thing_to_thing_group(thingGroupArn=f"{PREFIX}thinggroup/red",
                                 thingArn=f"{PREFIX}thing/g1")
    iot.update_thing_groups_for_thing(thingName="g2", thingGroupsToAdd=["cars"])
    refused(errors.ResourceNotFoundException, iot.add_thing_to_thing_group, "absent",
            thingGroupName="absent", thingName="g1")
    refused(errors.InvalidRequestException, iot.add_thing_to_thing_group, thingName="g1")

    def members(group, **more):
        return iot.list_things_in_thing_group(thingGroupName=group, **more)["things"]

    def listed(**filters):
        return {found["groupName"] for found in iot.list_thing_groups(**filters)["thingGroups"]}

    check("members", (members("red"), members("all"), members("all", recursive=True)),
          (["g1"], [], ["g1", "g2"]))
    check("groups", [found["groupName"] for found in
                     iot.list_thing_groups_for_thing(thingName="g1")["thingGroups"]], ["red"])
    check("all groups", listed(), {"all", "cars", "red"})
    check("by prefix", listed(namePrefixFilter="ca"), {"cars"})
    check("outermost", listed(recursive=False), {"all"})
    check("children", listed(parentGroup="all", recursive=False), {"cars"})
    check("below", listed(parentGroup="all"), {"cars", "red"})
    refused(errors.ResourceNotFoundException, iot.list_thing_groups, parentGroup="absent")

    iot.update_thing_groups_for_thing(thingName="g2", thingGroupsToAdd=["red"],
                                      thingGroupsToRemove=["cars"])
    check("moved", (members("cars"), members("red")), ([], ["g1", "g2"]))
    iot.remove_thing_from_thing_group(thingGroupName="red", thingName="g2")
    check("removed", members("red"), ["g1"])
    # AWS-OPS-26
    refused(errors.InvalidRequestException, iot.delete_thing_group, "cars", thingGroupName="all")
    refused(errors.VersionConflictException, iot.delete_thing_group, thingGroupName="red",
            expectedVersion=7)
    for name in ("red", "cars", "all", "all"):
        check("deleted", body(iot.delete_thing_group(thingGroupName=name)), {})
    for name in ("g1", "g2"):
        check("groups", iot.list_thing_groups_for_thing(thingName=name)["thingGroups"], [])
        iot.delete_thing(thingName=name)
    refused(errors.ResourceNotFoundException, iot.describe_thing_group, thingGroupName="all")


def tags(aws):
    """AWS-OPS-58: types, groups, policies and CA certificates have tags, things and certificates none."""
    iot, errors = aws.iot, aws.iot.exceptions
    iot.create_thing_group(thingGroupName="tagged", tags=[{"Key": "a", "Value": "1"}])
    iot.create_thing_type(thingTypeName="tagged", tags=[{"Key": "a", "Value": "1"}])
    iot.create_policy(policyName="tagged", policyDocument=document(),
                      tags=[{"Key": "a", "Value": "1"}])
    for kind in ("thinggroup", "thingtype", "policy"):
        arn = f"{PREFIX}{kind}/tagged"
        iot.tag_resource(resourceArn=arn, tags=[{"Key": "b ü", "Value": "2"},
                                                {"Key": "a", "Value": "3"}])
        listed = iot.get_paginator("list_tags_for_resource").paginate(resourceArn=arn)
        check(f"tags of {kind}", sorted((tag["Key"], tag["Value"]) for page in listed
                                        for tag in page["tags"]), [("a", "3"), ("b ü", "2")])
        iot.untag_resource(resourceArn=arn, tagKeys=["a", "none"])
        check("left", iot.list_tags_for_resource(resourceArn=arn)["tags"],
              [{"Key": "b ü", "Value": "2"}])
    arn = f"{PREFIX}policy/tagged"
    refused(errors.InvalidRequestException, iot.tag_resource, "aws:", resourceArn=arn,
            tags=[{"Key": "aws:x", "Value": ""}])
    refused(errors.LimitExceededException, iot.tag_resource, resourceArn=arn,
            tags=[{"Key": f"k{number}", "Value": ""} for number in range(51)])
    refused(errors.ResourceNotFoundException, iot.list_tags_for_resource,
            resourceArn=f"{PREFIX}policy/absent")
    iot.create_thing(thingName="untagged")
    for arn in (f"{PREFIX}thing/untagged", f"{PREFIX}cert/{NOBODY}", "nonsense"):
        for call, more in ((iot.tag_resource, {"tags": [{"Key": "a", "Value": "b"}]}),
                           (iot.untag_resource, {"tagKeys": ["a"]}),
                           (iot.list_tags_for_resource, {})):
            refused(errors.InvalidRequestException, call, resourceArn=arn, **more)
    iot.delete_thing(thingName="untagged")
    iot.delete_policy(policyName="tagged")
    iot.delete_thing_group(thingGroupName="tagged")
    iot.deprecate_thing_type(thingTypeName="tagged")
    iot.delete_thing_type(thingTypeName="tagged")


def events(aws):
    """AWS-OPS-45: only what is named changes, and all is described."""
    iot = aws.iot
    before = iot.describe_event_configurations()["eventConfigurations"]
    check("types", {"THING", "THING_TYPE", "THING_GROUP"} <= set(before), True)
    check("all off", {each["Enabled"] for each in before.values()}, {False})
    iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": True}})
    found = body(iot.describe_event_configurations())
    check("one is on", found["eventConfigurations"], {**before, "THING": {"Enabled": True}})
    check("dates", (type(found["creationDate"]), type(found["lastModifiedDate"])),
          (datetime.datetime, datetime.datetime))
    refused(iot.exceptions.InvalidRequestException, iot.update_event_configurations,
            eventConfigurations={"NOTHING": {"Enabled": True}})
    iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": False}})
    check("all off", iot.describe_event_configurations()["eventConfigurations"], before)


CASES = [endpoint, things, names, lists_of_things, types, groups, tags, events]
