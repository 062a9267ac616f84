//! Packet rules and the journal, with clients and tools that other people wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::broker::{Broker, Profile, Transport, binary, file, python};
use crate::process::Process;
use crate::script::{self, assert_passed};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::controls_of_esp_mqtt", controls_of_esp_mqtt),
        trial("faults::what_paho_does_about_them", || {
            what_it_does("faults_paho.py", 54);
        }),
        trial("faults::what_awscrt_does_about_them", || {
            what_it_does("faults_awscrt.py", 48);
        }),
        trial("faults::what_mqttjs_does_about_them", || {
            what_it_does("faults_mqttjs.py", 54);
        }),
        trial("faults::wireshark_reads_the_journal", wireshark),
        trial(
            "faults::wireshark_reads_what_the_packages_capture",
            captures_of_packages,
        ),
    ]
}

fn controls_of_esp_mqtt() {
    let broker = Broker::start_with(Profile::Standard, &["--journal".as_ref()]);
    let mut command = python();
    command.arg(file("clients").join("faults.py"));
    command.args(["--http", &broker.http()]);
    command.args(["--port", &broker.port(Transport::Tcp).to_string()]);
    let cases = ["controls_of_esp_mqtt", "properties_of_connack"];
    let outcomes = script::outcomes("paho", &mut command);
    assert_passed(&outcomes, &cases, &broker);
}

/// Runs so many cases with the client library of a program, which starts its own broker.
fn what_it_does(program: &str, cases: usize) {
    let mut command = python();
    command.arg(file("clients").join(program));
    command.env("PYTHONPATH", fixtures().join("python/src"));
    command.env("ROUNDEL_BINARY", binary());
    let outcomes = script::outcomes(program, &mut command);
    let wrong: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| Some(format!("{}: {}", outcome.case, outcome.error.as_ref()?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(outcomes.len(), cases);
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
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

/// A capture of more rows than one answer of the broker has is one stream of MQTT all through.
fn captures_of_packages() {
    const COUNT: usize = 1200;
    let broker = Broker::start_with(Profile::Standard, &["--journal".as_ref()]);
    let mut publish = Command::new("mosquitto_pub");
    publish.args(["-h", "localhost", "-V", "5", "-i", "shark", "-t", "a/b"]);
    publish.args(["-p", &broker.port(Transport::Tcp).to_string()]);
    publish.args(["-q", "1", "-m", "hello"]);
    publish.args(["--repeat", &COUNT.to_string()]);
    Process::start("mosquitto_pub", &mut publish).finish();

    let folder = TempDir::new().expect("a temporary folder");
    let mut in_python = python();
    in_python.env("PYTHONPATH", fixtures().join("python/src"));
    in_python.args(["-c", IN_PYTHON]);
    let mut in_node = Command::new("node");
    let index = fixtures().join("node/index.js");
    in_node
        .args(["--input-type=module", "-e", IN_NODE])
        .arg(index);
    for (name, mut command) in [("python", in_python), ("node", in_node)] {
        let capture = folder.path().join(name);
        command.arg(broker.http()).arg(&capture);
        Process::start(name, &mut command).finish();
        let mut shark = Command::new("tshark");
        shark.arg("-r").arg(&capture);
        shark.args(["-T", "fields", "-o", "tcp.check_checksum:TRUE"]);
        shark.args(["-Y", "mqtt.msgtype == 3 && mqtt.topic == \"a/b\""]);
        shark.args(["-e", "tcp.checksum.status"]);
        let lines = Process::start("tshark", &mut shark).finish();
        assert_eq!(lines, vec!["1"; COUNT], "{name}");
    }
}

const IN_PYTHON: &str = "import roundel, sys
open(sys.argv[2], 'wb').write(roundel.Api(sys.argv[1]).pcapng())";

const IN_NODE: &str = "import { writeFileSync } from 'node:fs';
const [, index, http, file] = process.argv;
const { Api } = await import(index);
writeFileSync(file, await new Api(http).pcapng());";
