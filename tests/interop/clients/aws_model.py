"""boto3 clients that hold every answer against the service's own model, which botocore carries.

botocore itself takes whatever comes: it ignores members that it does not know and checks no pattern.
"""

import base64
import json
import re

import boto3

# What every operation may be refused with, whether or not its model lists it.
COMMON = {"ForbiddenException": 403, "InvalidRequestException": 400}

# What the model leaves out, and the service does all the same (AWS-OPS-38).
UNLISTED = {("DetachPolicy", "ResourceNotFoundException"): 404}

# Operations whose answers have a body that the model leaves out (AWS-HTTP-06).
UNTYPED = {"Publish"}

# Java's classes that Python's `re` lacks, as far as the shapes of answers have them.
CLASSES = {r"\p{Graph}": "!-~\u00a1-\U0010ffff", r"\p{L}\p{Z}\p{N}": r"\w\s"}


class Recorder:
    """What was called, how often it was sent, and what was wrong with the answers."""

    def __init__(self):
        self.called = set()
        self.answered = 0
        self.sent = 0
        self.wrong = []

    def client(self, service, endpoint):
        """A client with the defaults of boto3, retries among them."""
        client = self.counted(service, endpoint)
        client.meta.events.register("after-call", self._on_answer)
        return client

    def counted(self, service, endpoint):
        """A client whose answers nobody looks at."""
        client = boto3.client(service, endpoint_url=endpoint, region_name="us-east-1",
                              aws_access_key_id="any", aws_secret_access_key="any")
        client.meta.events.register("before-send", self._on_send)
        return client

    def _on_send(self, **_):
        self.sent += 1

    def _on_answer(self, http_response, model, **_):
        self.answered += 1
        if http_response.status_code < 300:
            self.called.add((model.service_model.service_name, model.name))
        for problem in problems(http_response, model):
            self.wrong.append(f"{model.name}: {problem}")


def problems(response, operation):
    """What the model of an operation does not allow an answer to be."""
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
                        response.headers.get("x-amzn-RequestId", "")):
        yield "no request id"
    shape = operation.output_shape
    if response.status_code >= 300:
        shape = error_shape(response, operation)
        if isinstance(shape, str):
            yield shape
            return
    elif operation.has_streaming_output:
        # A document, which the model says nothing of; whoever called reads it.
        return
    body = response.content
    if shape is None or not shape.members:
        if body not in (b"", b"{}") and operation.name not in UNTYPED:
            yield "a body where the model has none"
        return
    if not response.headers.get("content-type", "").startswith("application/json"):
        yield "the body does not say that it is JSON"
    value = json.loads(body)
    if response.status_code >= 300 and operation.service_model.service_name == "iot-data":
        # Errors of shadows are documents with more members (AWS-OPS-56), others name the request (AWS-HTTP-04).
        if value.get("code", response.status_code) != response.status_code:
            yield "the code is not the status"
        if "code" not in value and "traceId" not in value:
            yield "the error does not name its request"
        value = {"message": value["message"]}
    yield from (f"{problem}: {body!r}" for problem in mismatches(shape, value, shape.name))


def error_shape(response, operation):
    """The shape of an exception, or what is wrong with it."""
    name = response.headers.get("x-amzn-ErrorType")
    if name is None:
        return "an error without a type"
    shapes = {shape.name: shape for shape in operation.error_shapes}
    shape = shapes.get(name)
    if shape is None:
        if response.status_code in (COMMON.get(name), UNLISTED.get((operation.name, name))):
            return next(iter(shapes.values()))
        return f"{name} ({response.status_code}) is no exception of it"
    status = shape.metadata["error"]["httpStatusCode"]
    if status != response.status_code:
        return f"{name} has status {response.status_code} instead of {status}"
    return shape


def mismatches(shape, value, where):
    """The places where a value is not what its shape says."""
    check = CHECKS[shape.type_name]
    yield from (f"{where}: {text}" if not text.startswith("/") else where + text
                for text in check(shape, value))


def _structure(shape, value):
    if not isinstance(value, dict):
        yield f"{value!r} is no structure"
        return
    for name in shape.required_members:
        if name not in value:
            yield f"{name} is required"
    wire = {member.serialization.get("name", name): member for name, member in
            shape.members.items()}
    for name, item in value.items():
        if name not in wire:
            yield f"there is no member {name}"
        else:
            yield from mismatches(wire[name], item, f"/{name}")


def _list(shape, value):
    if not isinstance(value, list):
        yield f"{value!r} is no list"
        return
    yield from _bounds(shape, len(value))
    for number, item in enumerate(value):
        yield from mismatches(shape.member, item, f"/{number}")


def _map(shape, value):
    if not isinstance(value, dict):
        yield f"{value!r} is no map"
        return
    yield from _bounds(shape, len(value))
    for key, item in value.items():
        yield from mismatches(shape.key, key, f"/{key}")
        yield from mismatches(shape.value, item, f"/{key}")


def _string(shape, value):
    if not isinstance(value, str):
        yield f"{value!r} is no string"
        return
    yield from _bounds(shape, len(value))
    if shape.enum and value not in shape.enum:
        yield f"{value!r} is not one of {shape.enum}"
    pattern = shape.metadata.get("pattern")
    if pattern is not None and not re.fullmatch(_python(pattern), value):
        yield f"{value!r} does not match {pattern}"


def _python(pattern):
    for theirs, ours in CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    if r"\p" in pattern:
        raise AssertionError(f"no translation of {pattern}")
    return pattern


def _number(*kinds):
    def check(shape, value):
        if isinstance(value, bool) or not isinstance(value, kinds):
            yield f"{value!r} is no {shape.type_name}"
        else:
            yield from _bounds(shape, value)
    return check


def _boolean(_, value):
    if not isinstance(value, bool):
        yield f"{value!r} is no boolean"


def _blob(_, value):
    if not isinstance(value, str) or not base64.b64decode(value, validate=True):
        yield f"{value!r} is no blob"


def _bounds(shape, size):
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"{size} is less than {least}"
    if most is not None and size > most:
        yield f"{size} is more than {most}"


CHECKS = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number(int),
    "long": _number(int),
    "float": _number(int, float),
    "double": _number(int, float),
    # Seconds since 1970 in every JSON body of these services (AWS-API-44).
    "timestamp": _number(int, float),
    "boolean": _boolean,
    "blob": _blob,
}
