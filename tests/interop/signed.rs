//! Signatures of AWS (SigV4), made by boto3 and by the AWS Common Runtime.

use libtest_mimic::Trial;

use crate::broker::{Broker, Profile, file, python};
use crate::script::{self, assert_passed};
use crate::trial;

/// Two access keys: the second one has a policy.
const KEYS: &str = r#"
[[access_keys]]
id = "AKIDFREE"
secret = "free/+= secret"

[[access_keys]]
id = "AKIDBOUND"
secret = "bound"
policy = "dashboard"
"#;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("signed::calls_and_websockets", || {
            calls_and_websockets("wss", Broker::http)
        }),
        // The service's port for both.
        trial("signed::calls_and_websockets_at_one_port", || {
            calls_and_websockets("alpn", |broker| {
                format!("https://localhost:{}", broker.port_of("alpn"))
            })
        }),
    ]
}

/// With WebSocket at `listener`, and calls at `endpoint`.
///
/// AWS-API-47 AWS-FLOW-40 to AWS-FLOW-46 AWS-ID-10
fn calls_and_websockets(listener: &str, endpoint: fn(&Broker) -> String) {
    let flags = [
        "--wss-port",
        "0",
        "--alpn-port",
        "0",
        "--client-cert",
        "optional",
    ];
    let broker = Broker::start_configured(Profile::Aws, KEYS, &flags);
    let mut command = python();
    command.arg(file("clients").join("aws_signed.py"));
    command.args(["--endpoint", &endpoint(&broker)]);
    let port = broker.port_of(listener);
    command.args(["--wss-port", &port.to_string()]);
    command.arg("--ca").arg(broker.ca_file());
    command.args(["--control", &broker.http()]);
    let cases = [
        "calls_need_a_right_signature",
        "members_of_every_kind_are_signed",
        "websockets_need_a_right_signature",
        "policy_of_the_key_binds",
        "policy_of_the_key_binds_calls",
        "signatures_are_dated_by_the_machine",
    ];
    let outcomes = script::outcomes("signed", &mut command);
    assert_passed(&outcomes, &cases, &broker);
}
