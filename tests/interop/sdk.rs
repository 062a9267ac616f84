//! The AWS IoT Device SDKs for Python and JavaScript over mutual TLS against the `aws` profile.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::broker::{Broker, Endpoint, HOST, Profile, Transport, file, python};
use crate::process::Process;
use crate::script::{self, assert_passed};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "sdk::shared_subscription_sample",
            shared_subscription_sample,
        ),
        trial(
            "sdk::negotiates_what_the_service_does",
            negotiates_what_the_service_does,
        ),
        trial("sdk::shadow_program_in_python", shadow_program_in_python),
        trial("sdk::program_in_javascript", program_in_javascript),
    ]
}

/// The sample's logic with 10 messages (AWS-SDK-01 to -11).
fn shared_subscription_sample() {
    const COUNT: usize = 10;
    let broker = Broker::start(Profile::Aws);
    let mut command = script("aws_shared_sample.py", &broker.endpoint(Transport::Tls));
    command.args(["--count", &COUNT.to_string()]);
    let lines = Process::start("shared subscription sample", &mut command).finish();
    assert_eq!(lines.last().map(String::as_str), Some("Complete!"));
    let report: Value = serde_json::from_str(&lines[0]).expect("the report is JSON");

    assert_eq!(report["session_present"], json!([false, false, false]));
    assert_eq!(report["suback"], json!([[1], [1]]));
    assert_eq!(report["puback"], json!(vec![0; COUNT]));
    assert_eq!(report["unsuback"], json!([[0], [0]]));
    assert_eq!(report["disconnects"], json!([[], [], []]));
    assert_eq!(
        report["received"]["1"],
        json!([]),
        "the publisher is no subscriber"
    );
    // Subscriber One joined first, so it has the odd messages (round robin); a user property would
    // break the sample's callback (AWS-SDK-11).
    for (client, first) in [("2", 1), ("3", 2)] {
        let expected: Vec<_> = (first..=COUNT)
            .step_by(2)
            .map(|n| {
                json!({
                    "topic": "test/topic",
                    "payload": format!("\"Hello from mqtt5 sample [{n}]\""),
                    "qos": 1,
                    "user_properties": 0,
                })
            })
            .collect();
        assert_eq!(
            report["received"][client],
            json!(expected),
            "client {client}"
        );
    }
}

/// The settings that the tests of aws-crt-python assert against the service.
fn negotiates_what_the_service_does() {
    let broker = Broker::start(Profile::Aws);
    let mut command = script("aws_negotiation.py", &broker.endpoint(Transport::Tls));
    let outcomes = script::outcomes("awscrt", &mut command);
    let cases = [
        "default_settings",
        "limits_are_stated",
        "session_expiry_is_capped",
        "keep_alive_is_bounded",
        "second_client_takes_over",
        "session_is_rejoined",
        "unsubscribed_client_gets_nothing",
    ];
    assert_passed(&outcomes, &cases, &broker);
}

/// AWS-FLOW-30 AWS-FLOW-31 AWS-FLOW-34 AWS-FLOW-35 AWS-FLOW-36
fn shadow_program_in_python() {
    let broker = Broker::start(Profile::Aws);
    let endpoint = broker.endpoint(Transport::Tls);
    let mut command = script("aws_shadow_program.py", &endpoint);
    let cases = [
        "classic_over_mqtt5",
        "named_over_mqtt5",
        "classic_over_mqtt3",
        "named_over_mqtt3",
    ];
    let outcomes = script::outcomes("awsiotsdk", &mut command);
    assert_passed(&outcomes, &cases, &broker);
}

/// AWS-FLOW-30 AWS-FLOW-31 AWS-FLOW-34 AWS-FLOW-35 AWS-FLOW-36
fn program_in_javascript() {
    let broker = Broker::start(Profile::Aws);
    let endpoint = broker.endpoint(Transport::Tls);
    let mut command = Command::new("node");
    command.arg(file("clients").join("aws_program.mjs"));
    let mut command = with_identity(command, &endpoint);
    let cases = ["classic_shadow", "named_shadow", "shared_subscription"];
    let outcomes = script::outcomes("aws-iot-device-sdk-v2", &mut command);
    assert_passed(&outcomes, &cases, &broker);
}

/// A script with the SDK sample's arguments for mutual TLS.
fn script(name: &str, endpoint: &Endpoint) -> Command {
    let mut command = python();
    command.arg(file("clients").join(name));
    with_identity(command, endpoint)
}

fn with_identity(mut command: Command, endpoint: &Endpoint) -> Command {
    command.args(["--endpoint", HOST, "--port", &endpoint.port.to_string()]);
    command.arg("--ca_file").arg(&endpoint.identity.ca);
    command.arg("--cert").arg(&endpoint.identity.cert);
    command.arg("--key").arg(&endpoint.identity.key);
    command
}
