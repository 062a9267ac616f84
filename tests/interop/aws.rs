//! The control plane with clients of AWS: boto3, whose service model every answer is held against.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;

use crate::broker::{Broker, Profile, Transport, file, python};
use crate::process::Process;
use crate::script::{self, assert_passed};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("aws::boto3_calls_every_operation", every_operation),
        trial("aws::boto3_reads_lists_in_pages", pages),
    ]
}

/// What answers for the function of the authorizers in `boto3_authorizers.py`.
const FUNCTION: &str = r#"
profile = "aws"

[[lambda]]
arn = "arn:aws:lambda:us-east-1:123456789012:function:authorize"
result = '{"isAuthenticated": false}'

[lambda.results]
good = '''{"isAuthenticated": true, "principalId": "ann", "refreshAfterInSeconds": 300,
  "disconnectAfterInSeconds": 600, "policyDocuments": [{"Version": "2012-10-17",
  "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}]}'''
"#;

/// Every operation that `docs/aws-operations.md` lists, and the refusals of all others.
fn every_operation() {
    let broker = Broker::start_configured(Profile::Aws, FUNCTION, &["--mqtt-port", "0"]);
    let mut command = script("boto3_control_plane.py");
    let operations = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/aws-operations.md");
    command.args(["--endpoint", &broker.http()]);
    command.arg("--operations").arg(operations);
    command.args(["--mqtt-port", &broker.port(Transport::Tcp).to_string()]);
    let cases = [
        "messages",
        "retained",
        "connections",
        "direct_messages",
        "connectivity",
        "endpoint",
        "things",
        "names",
        "lists_of_things",
        "types",
        "groups",
        "tags",
        "events",
        "issued",
        "requests",
        "registered",
        "authorities",
        "principals",
        "policies",
        "targets",
        "decisions",
        "authorizers",
        "default_authorizer",
        "invoked",
        "shadows",
        "carriers",
        "malformed",
        "not_answered",
        "foreign_services",
        "refused_calls",
        "kept_connections",
        "nothing_is_left",
        "all_are_called",
        "answers_are_what_the_model_says",
    ];
    assert_passed(&script::outcomes("boto3", &mut command), &cases, &broker);
}

/// Lists of 600 items, from a registry that has them from the start.
fn pages() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fleet = folder.path().join("fleet.json");
    let mut command = script("boto3_pages.py");
    command.arg("--write-fleet").arg(&fleet);
    Process::start("boto3_pages.py --write-fleet", &mut command).finish();
    let flags = ["--registry".as_ref(), "memory".as_ref(), "--fleet".as_ref()];
    let flags = [&flags[..], &[fleet.as_os_str()]].concat();
    let broker = Broker::start_with(Profile::Aws, &flags);
    let mut command = script("boto3_pages.py");
    command.args(["--endpoint", &broker.http()]);
    let cases = [
        "every_page",
        "tokens",
        "changes",
        "answers_are_what_the_model_says",
    ];
    assert_passed(&script::outcomes("boto3", &mut command), &cases, &broker);
}

fn script(name: &str) -> Command {
    let mut command = python();
    command.arg(file("clients").join(name));
    command
}
