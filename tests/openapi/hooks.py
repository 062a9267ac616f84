"""What the fuzz does besides what Schemathesis does of itself.

Requests that wait, or that move or stop the broker, are kept short without becoming valid or invalid by it; names that
there are take the place of some that there are not; and a check says which valid requests may be refused all the same.
"""

import os
import re
import zlib

import schemathesis

TIME = re.compile(r"0*(([0-9]|[1-5][0-9]|60)s?|([0-9]{1,4}|[1-5][0-9]{4}|60000)ms|[01]m)")

# Set by `fuzz`: of what there is at the broker.
NAMES = {
    "id": ["car1", "worker-1", "rule-1", "fuzz"],
    "client_id": [os.environ.get("FUZZ_STREAM", "nobody")],
    "share": ["workers"],
    "thing": ["car1"],
    "name": ["car1", "cars", "door"],
}

# Of valid requests, the errors that a description cannot promise not to come: what one member says has to go with
# another, a text has a grammar, or it is the state of the broker that is in the way.
UNPROMISED = [
    # Parameters that go together.
    r"says what to wait for, and there is no 'wait'",
    r"neither 'filter' nor 'client' says whose subscriptions",
    r"'captures' are of a filter, and there is no 'filter'",
    r"the turns of a group are asked for, and there is no",
    r"says whose turns, and 'topics' does not have them",
    r"rows in few words have no bytes",
    r"the last rows are asked for: that goes neither",
    r"is not a whole number up to 1000$",
    r"'after' is none of the levels that follow 'under'",
    r"certificate and access_key exclude each other",
    r"parameter '(client|resource)' is missing",
    r"is about `[a-z*]+`, not ",
    r"a shared subscription has no No Local",
    # The line of `match`.
    r"' has no key: write topic:|:' has no value$|^the quote of '.*' has no end$|^'.*' is none of the keys|more than 32 keys",
    r"^'-?[a-z]+:.*': is ",
    # Bytes where the description counts characters.
    r"bytes, the limit is|longer than 64 bytes|more than 65536 bytes of user properties|at most 65535 bytes|65,535 bytes",
    # The state of the broker.
    r"the clock cannot be more than a hundred years ahead",
    r"there are 1000 rules already",
]

# What stands in a fleet document has to be there, and certificates have to be certificates.
BY_CONTENT = {"importRegistry", "postRegistry", "addCertificate"}

# Limits of the service, of which the description says that it does not have them.
UNPROMISED_IN_AWS = [r"AWS-[A-Z]+-\d+", r"limit", r"not supported", r"slashes", r"reserved"]


def without_fractions(value):
    """JSON Schema takes 1.0 for an integer, the broker does not, and says so in its description."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 63:
        return int(value)
    if isinstance(value, dict):
        return {name: without_fractions(member) for name, member in value.items()}
    if isinstance(value, list):
        return [without_fractions(item) for item in value]
    return value


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Shortens what takes long. What was valid stays so, and so does what was not."""
    query = case.query if isinstance(case.query, dict) else {}
    mark = zlib.crc32(repr((case.path_parameters, query, case.body)).encode("utf-8", "replace"))
    for name in ("wait", "timeout"):
        value = query.get(name)
        if isinstance(value, str) and TIME.fullmatch(value):
            query[name] = f"{mark % 20}ms"
    if is_positive(case):
        case.body = without_fractions(case.body)
        # A space is sent as `+`, which is a wildcard here.
        for name in ("filter", "topic"):
            if isinstance(query.get(name), str):
                query[name] = query[name].replace(" ", "_")
    seconds = case.body.get("seconds") if isinstance(case.body, dict) else None
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
        if case.path == "/v1/outage" and 0 <= seconds <= 86400:
            case.body["seconds"] = min(seconds, 0.05)
        if case.path == "/v1/clock/advance" and 0 <= seconds <= 3_153_600_000:
            case.body["seconds"] = min(seconds, 20)
    if is_positive(case) and mark % 2:
        for name, known in NAMES.items():
            if name in (case.path_parameters or {}):
                case.path_parameters[name] = known[mark // 2 % len(known)]
        if case.path == "/v1/groups/{share}/{filter}":
            case.path_parameters["filter"] = "orders/#"


@schemathesis.check
def promised_data_acceptance(ctx, response, case):
    """A valid request is not refused as invalid, but for what a description cannot promise."""
    if not is_positive(case) or response.status_code not in (400, 413, 415, 422):
        return
    if case.operation.definition.raw.get("operationId") in BY_CONTENT:
        return
    try:
        error = response.json()["error"]
    except (ValueError, KeyError):
        error = ""
    allowed = UNPROMISED + (UNPROMISED_IN_AWS if os.environ.get("FUZZ_PROFILE") == "aws" else [])
    if not any(re.search(pattern, error, re.DOTALL) for pattern in allowed):
        raise AssertionError(f"a valid request was refused with {response.status_code}: {error}")
