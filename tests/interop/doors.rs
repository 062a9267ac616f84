//! Clients of the service at its ports 443 and 8443, which are free ones here.

use std::ffi::OsStr;
use std::process::Command;

use libtest_mimic::Trial;

use crate::broker::{Broker, Profile, file, python};
use crate::process::Process;
use crate::script::{self, assert_passed};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("doors::sdk_and_boto3", sdk_and_boto3),
        trial("doors::curl", curl),
    ]
}

fn broker() -> Broker {
    let flags = [
        "--alpn-port",
        "0",
        "--https-port",
        "0",
        "--registry",
        "memory",
    ];
    Broker::start_with(Profile::Aws, &flags.map(OsStr::new))
}

/// AWS-ENDP-06, -08, -09, -10, AWS-FLOW-63
fn sdk_and_boto3() {
    let broker = broker();
    let identity = broker.issue("device");
    let mut command = python();
    command.arg(file("clients").join("aws_doors.py"));
    for listener in ["alpn", "https"] {
        let port = broker.port_of(listener).to_string();
        command.args([format!("--{listener}-port"), port]);
    }
    command.arg("--ca").arg(&identity.ca);
    command.arg("--cert").arg(&identity.cert);
    command.arg("--key").arg(&identity.key);
    let cases = [
        "mqtt_by_alpn",
        "mqtt_with_the_port_of_the_builder",
        "websocket_with_the_builder",
        "devices_publish_over_https",
        "planes_over_https",
    ];
    let outcomes = script::outcomes("doors", &mut command);
    assert_passed(&outcomes, &cases, &broker);
}

/// AWS-FLOW-71
fn curl() {
    let broker = broker();
    let identity = broker.issue("device");
    for listener in ["https", "alpn"] {
        let port = broker.port_of(listener);
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--data", "hello"]);
        command.arg("--cacert").arg(&identity.ca);
        command.arg("--cert").arg(&identity.cert);
        command.arg("--key").arg(&identity.key);
        command.arg(format!("https://localhost:{port}/topics/a%2Fb?qos=1"));
        let lines = Process::start("curl", &mut command).finish();
        assert!(lines[0].starts_with(r#"{"message":"OK""#), "{lines:?}");
    }
}
