"""Shadows over the data plane, which carries documents as they are."""

import json

from boto3_support import refused
from cases import check


def shadows(aws):
    """AWS-OPS-55, -56: a classic and a named shadow, from the first document to the end."""
    data = aws.client("iot-data")
    errors = data.exceptions

    def update(document, **more):
        payload = json.dumps(document).encode()
        answer = data.update_thing_shadow(thingName="s1", payload=payload, **more)
        return json.loads(answer["payload"].read())

    def get(**more):
        return json.loads(data.get_thing_shadow(thingName="s1", **more)["payload"].read())

    refused(errors.ResourceNotFoundException, data.get_thing_shadow, "s1", thingName="s1")
    made = update({"state": {"desired": {"a": 1}, "reported": {"a": 0}}, "clientToken": "t"})
    check("made", (made["version"], made["clientToken"]), (1, "t"))
    found = get()
    check("found", (found["state"]["desired"], found["state"]["delta"], found["version"]),
          ({"a": 1}, {"a": 1}, 1))
    refused(errors.ConflictException, update, document={"state": {"desired": {"a": 2}},
                                                        "version": 7})
    refused(errors.InvalidRequestException, update, document={"state": 1})
    refused(errors.RequestEntityTooLargeException, update,
            document={"state": {"desired": {"a": "b" * 9000}}})
    for name in ("one", "two"):
        update({"state": {"reported": {"b": 1}}}, shadowName=name)
    first = data.list_named_shadows_for_thing(thingName="s1", pageSize=1)
    rest = data.list_named_shadows_for_thing(thingName="s1", nextToken=first["nextToken"])
    check("named", first["results"] + rest["results"], ["one", "two"])
    check("the last page", "nextToken" in rest, False)
    for more in ({}, {"shadowName": "one"}, {"shadowName": "two"}):
        gone = data.delete_thing_shadow(thingName="s1", **more)
        check("deleted", json.loads(gone["payload"].read())["version"], 1)
        refused(errors.ResourceNotFoundException, data.delete_thing_shadow, thingName="s1", **more)


CASES = [shadows]
