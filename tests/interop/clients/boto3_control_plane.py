"""Every operation that is answered, with boto3: its clients, its exceptions, its service model."""

import argparse
import re

import boto3_authorizers
import boto3_certificates
import boto3_data
import boto3_policies
import boto3_refusals
import boto3_shadows
import boto3_things
from boto3_support import Aws
from cases import check, report_all


def answered(document):
    """Service and name of the operations that the documents list as answered."""
    found = set()
    sections = re.split(r"^## .*, `([a-z-]+)`: (\d+) of \d+$", document, flags=re.MULTILINE)[1:]
    for service, count, rows in zip(sections[::3], sections[1::3], sections[2::3]):
        names = re.findall(r"^\| (\w+) \| `[A-Z]+ /", rows, re.MULTILINE)
        check(f"rows of {service}", len(names), int(count))
        found |= {(service, name) for name in names}
    check("services", set(sections[::3]), {"iot", "iot-data", "iot-jobs-data"})
    return found


def all_are_called(aws):
    """The test has called all that the documents list, and each was carried out at least once."""
    check("never called", aws.answered - aws.recorder.called, set())


def nothing_is_left(aws):
    """Each case has cleaned up what it made."""
    lists = {name: getattr(aws.iot, name)() for name in (
        "list_things", "list_thing_types", "list_thing_groups", "list_policies",
        "list_certificates", "list_ca_certificates", "list_authorizers")}
    left = {name: value for name, answer in lists.items() for value in answer.values()
            if isinstance(value, list) and value}
    check("left", left, {})


PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--endpoint", required=True)
PARSER.add_argument("--operations", required=True, help="docs/aws-operations.md")
PARSER.add_argument("--mqtt-port", required=True, type=int)
ARGS = PARSER.parse_args()

AWS = Aws(ARGS.endpoint)
AWS.mqtt_port = ARGS.mqtt_port
with open(ARGS.operations, encoding="utf-8") as file:
    AWS.answered = answered(file.read())
# Without a certificate clients may connect until there is a policy.
CASES = [*boto3_data.CASES, *boto3_things.CASES, *boto3_certificates.CASES, *boto3_policies.CASES,
         *boto3_authorizers.CASES, *boto3_shadows.CASES,
         *boto3_refusals.CASES, nothing_is_left, all_are_called]
report_all(CASES, AWS)
AWS.report()
