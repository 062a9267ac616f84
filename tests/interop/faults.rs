//! Packet rules and the journal, with clients and tools that other people wrote.

use std::fs;
use std::process::Command;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::broker::{Broker, Profile, Transport, file, python};
use crate::process::Process;
use crate::script::{self, assert_passed};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::what_paho_does_about_them", paho),
        trial("faults::wireshark_reads_the_journal", wireshark),
    ]
}

fn paho() {
    let broker = Broker::start_with(Profile::Standard, &["--journal".as_ref()]);
    let mut command = python();
    command.arg(file("clients").join("faults.py"));
    command.args(["--http", &broker.http()]);
    command.args(["--port", &broker.port(Transport::Tcp).to_string()]);
    let cases = [
        "controls_of_esp_mqtt",
        "properties_of_connack",
        "puback_that_is_lost",
        "connection_that_is_reset",
        "pingresp_that_never_comes",
        "answers_that_refuse",
        "message_that_comes_twice",
    ];
    let outcomes = script::outcomes("paho", &mut command);
    assert_passed(&outcomes, &cases, &broker);
}

/// What was exchanged over TLS is MQTT in the capture, in its order.
fn wireshark() {
    let broker = Broker::start_with(Profile::Standard, &["--journal".as_ref()]);
    let endpoint = broker.endpoint(Transport::Tls);
    let mut publish = Command::new("mosquitto_pub");
    publish.args(["-h", "localhost", "-p", &endpoint.port.to_string()]);
    publish.arg("--cafile").arg(&endpoint.identity.ca);
    publish.arg("--cert").arg(&endpoint.identity.cert);
    publish.arg("--key").arg(&endpoint.identity.key);
    publish.args([
        "-V", "5", "-i", "shark", "-q", "1", "-t", "a/b", "-m", "hello",
    ]);
    publish.args(["-D", "publish", "user-property", "name", "value"]);
    Process::start("mosquitto_pub", &mut publish).finish();

    let folder = TempDir::new().expect("a temporary folder");
    let capture = folder.path().join("trace.pcapng");
    let mut fetch = Command::new("curl");
    fetch.args(["-sS", "--fail", "-o"]).arg(&capture);
    fetch.arg(format!("{}/v1/journal?format=pcapng", broker.http()));
    Process::start("curl", &mut fetch).finish();
    assert!(fs::metadata(&capture).is_ok_and(|file| file.len() > 0));

    let mut shark = Command::new("tshark");
    shark.arg("-r").arg(&capture);
    shark.args([
        "-T",
        "fields",
        "-E",
        "separator=|",
        "-o",
        "tcp.check_checksum:TRUE",
    ]);
    for field in [
        "mqtt.msgtype",
        "mqtt.topic",
        "mqtt.prop_key",
        "_ws.malformed",
        "tcp.checksum.status",
    ] {
        shark.args(["-e", field]);
    }
    let lines = Process::start("tshark", &mut shark).finish();
    let lines: Vec<_> = lines.iter().filter(|line| line.contains('|')).collect();
    // CONNECT, CONNACK, PUBLISH, PUBACK, DISCONNECT; a checksum that is good has status 1.
    let expected = ["1||||1", "2||||1", "3|a/b|name||1", "4||||1", "14||||1"];
    assert_eq!(lines, expected);
}
