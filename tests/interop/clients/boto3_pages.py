"""Lists in pages, by boto3's paginators (AWS-API-43, AWS-OPS-16, -17).

With --write-fleet it writes the document of the registry that the lists are about; the broker starts
with that, and the cases run with --endpoint.
"""

import argparse
import base64
import json

import pki
from boto3_support import Aws, PREFIX, document, refused
from cases import check, report_all

COUNT = 600
SIZES = (1, 7, 250)
# Lists that are walked through item by item; the others only by 7 and by 250.
SINGLE = ("list_things", "list_policies")
# Older names of a list, whose tokens it takes.
OLDER = {
    "list_thing_principals": "list_thing_principals_v2",
    "list_principal_things": "list_principal_things_v2",
    "list_policy_principals": "list_targets_for_policy",
    "list_principal_policies": "list_attached_policies",
}


def fleet():
    """600 of each, and one of each kind that has 600 of another."""
    maker = pki.Authority("maker")
    maker_id = pki.fingerprint(maker.certificate)
    many = [f"n{number:03}" for number in range(COUNT)]
    certificates = [
        {"pem": maker.issue(name), "ca": maker_id, "policies": ["wide"], "things": ["hub"]}
        for name in many]
    first = certificates[0]
    first["things"] = ["hub", *many]
    first["policies"] = ["wide", *many[:9]]
    authorities = [pki.Authority(name).certificate for name in many[1:]] + [maker.certificate]
    text = document()
    return {
        "policies": {name: {"document": text} for name in [*many, "wide"]},
        "thing_types": {name: {} for name in many},
        "thing_groups": {name: {} for name in many},
        "things": {"hub": {"groups": many[:10]}} | {
            name: {"groups": ["n000"], "attributes": {"a": "b"}} for name in many},
        "ca_certificates": [{"pem": each, "mode": "SNI_ONLY", "status": "ACTIVE"}
                            for each in authorities],
        "certificates": certificates,
    }


def lists(aws):
    """Each list: its operation, its arguments, the member with the items, and how many there are."""
    iot = aws.iot
    maker = next(each["caCertificateId"] for each in (
        iot.describe_certificate(certificateId=found["certificateId"])["certificateDescription"]
        for found in iot.list_certificates(pageSize=1)["certificates"]))
    first = next(page["principals"][0] for page in
                 iot.get_paginator("list_thing_principals").paginate(thingName="n000"))
    token, marker = ("nextToken", "maxResults"), ("marker", "pageSize")
    return [
        ("list_things", {}, "things", COUNT + 1, token),
        ("list_things", {"attributeName": "a", "attributeValue": "b"}, "things", COUNT, token),
        ("list_thing_types", {}, "thingTypes", COUNT, token),
        ("list_thing_groups", {}, "thingGroups", COUNT, token),
        ("list_things_in_thing_group", {"thingGroupName": "n000"}, "things", COUNT + 1, token),
        ("list_thing_groups_for_thing", {"thingName": "hub"}, "thingGroups", 10, token),
        ("list_thing_principals", {"thingName": "hub"}, "principals", COUNT, token),
        ("list_thing_principals_v2", {"thingName": "hub"}, "thingPrincipalObjects", COUNT, token),
        ("list_principal_things", {"principal": first}, "things", COUNT + 1, token),
        ("list_principal_things_v2", {"principal": first}, "principalThingObjects", COUNT + 1,
         token),
        ("list_policies", {}, "policies", COUNT + 1, marker),
        ("list_certificates", {}, "certificates", COUNT, marker),
        ("list_certificates_by_ca", {"caCertificateId": maker}, "certificates", COUNT, marker),
        ("list_ca_certificates", {}, "certificates", COUNT, marker),
        ("list_targets_for_policy", {"policyName": "wide"}, "targets", COUNT, marker),
        ("list_policy_principals", {"policyName": "wide"}, "principals", COUNT, marker),
        ("list_attached_policies", {"target": first}, "policies", 10, marker),
        ("list_principal_policies", {"principal": first}, "policies", 10, marker),
    ]


def walked(aws, name, arguments, member, size):
    """All items of a list, page after page; each page but the last one is full."""
    config = {"PageSize": size}
    pages = [page[member] for page in aws.iot.get_paginator(name).paginate(
        **arguments, PaginationConfig=config)]
    check(f"{name}: full pages of {size}", {len(page) for page in pages[:-1]} - {size}, set())
    return [json.dumps(item, default=str) for page in pages for item in page]


def every_page(aws):
    """Whatever its size, the pages of a list have all items, each once, in one order."""
    for name, arguments, member, count, _ in lists(aws):
        whole = walked(aws, name, arguments, member, 250)
        check(f"{name}: items", (len(whole), len(set(whole))), (count, count))
        for size in SIZES[:-1]:
            if size > 1 or (name in SINGLE and not arguments) or count <= 10:
                check(f"{name} by {size}", walked(aws, name, arguments, member, size) == whole,
                      True)
        if name in ("list_policies", "list_certificates", "list_ca_certificates"):
            turned = walked(aws, name, arguments | {"ascendingOrder": True}, member, 7)
            check(f"{name}: the other order", turned == whole[::-1], True)


def tokens(aws):
    """A list takes its own tokens, whole; boto3's paginator goes on where it stopped."""
    wrong = aws.iot.exceptions.InvalidRequestException
    made = {}
    for number, (name, arguments, member, _, (token, limit)) in enumerate(lists(aws)):
        answer = getattr(aws.iot, name)(**arguments, **{limit: 3})
        made[number] = (name, arguments, token, answer[token.replace("marker", "nextMarker")])
    for number, (name, arguments, token, own) in made.items():
        call = getattr(aws.iot, name)
        foreign = {each for other, _, _, each in made.values()
                   if OLDER.get(other, other) != OLDER.get(name, name)}
        changed = base64.b64encode(b"x" + base64.b64decode(own)).decode()
        for damaged in ("!", "AAAA", own[1:], own[:-4], own + "AAAA" * 300, changed,
                        base64.b64encode(b"\xff\n\xff").decode(), *sorted(foreign)):
            refused(wrong, call, **arguments, **{token: damaged})
    paginator = aws.iot.get_paginator("list_things")
    seen, start = [], None
    while True:
        config = {"MaxItems": 130, "PageSize": 50, "StartingToken": start}
        found = paginator.paginate(PaginationConfig=config).build_full_result()
        seen += [thing["thingName"] for thing in found["things"]]
        start = found.get("NextToken")
        if start is None:
            break
    check("in parts", seen, ["hub"] + [f"n{number:03}" for number in range(COUNT)])


def changes(aws):
    """What comes and goes while a list is read does not shift it: the rest comes, each once."""
    iot = aws.iot
    seen = []
    for page in iot.get_paginator("list_policies").paginate(PaginationConfig={"PageSize": 7}):
        seen += [each["policyName"] for each in page["policies"]]
        last = seen[-1]
        if last not in ("wide", "n000") and last > "n010":
            iot.delete_policy(policyName=last)
            iot.create_policy(policyName=f"m{last}", policyDocument=document())
    check("each once", len(seen), len(set(seen)))
    wanted = {f"n{number:03}" for number in range(COUNT)} | {"wide"}
    check("those that were there", wanted - set(seen), set())


CASES = [every_page, tokens, changes]

if __name__ == "__main__":
    PARSER = argparse.ArgumentParser(description=__doc__)
    PARSER.add_argument("--write-fleet", metavar="FILE")
    PARSER.add_argument("--endpoint")
    ARGS = PARSER.parse_args()
    if ARGS.write_fleet:
        with open(ARGS.write_fleet, "w", encoding="utf-8") as file:
            json.dump(fleet(), file)
    else:
        AWS = Aws(ARGS.endpoint)
        report_all(CASES, AWS)
        AWS.report()
