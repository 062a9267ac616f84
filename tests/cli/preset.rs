//! Listeners and variables of well-known suites of tests.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use super::broker::Broker;
use super::mqtt::{connected, packet, string};
use super::run;

#[test]
fn listeners_of_a_suite_are_open_and_each_port_may_be_another() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--preset=aiomqtt",
        "--mqtt-port=0",
        "--mqtts-port=0",
        "--ws-port=0",
        "--password-listener=mqtt=0",
    ];
    let broker = Broker::start(folder.path(), &flags);
    assert_eq!(broker.ready["profile"], "standard");
    for listener in ["mqtt", "mqtts", "ws", "mqtt-password"] {
        assert!(broker.address(listener).starts_with("127.0.0.1:"));
    }
    assert!(broker.ready["listeners"]["wss"].is_null());
}

#[test]
fn variables_of_a_suite_are_for_a_shell_with_the_files_that_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &["env", "aws-crt", "--certs", "my certs"]);
    outcome.assert_done();
    // As a shell reads it, comments and all.
    let script = format!(
        "{}\necho \"$AWS_TEST_MQTT5_WS_MQTT_PORT $AWS_TEST_MQTT311_DIRECT_MQTT_HOST\"\n\
         echo \"$AWS_TEST_MQTT5_KEY_FILE\"",
        outcome.stdout
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (values, file) = said.trim_end().split_once('\n').unwrap();
    assert_eq!(values, "8080 127.0.0.1");
    let file = Path::new(file);
    assert!(file.is_absolute() && file.ends_with("my certs/aws-crt.private.key"));
    assert!(file.exists());
    assert!(outcome.stdout.contains("# not there: an HTTP proxy"));
    // Once more, with the same files.
    let again = run(folder.path(), &["env", "aws-crt", "--certs", "my certs"]);
    assert_eq!(again.stdout, outcome.stdout);
}

/// What the tests of Paho C want besides ports: a topic that is refused, and a proxy that cuts who says so.
#[test]
fn rules_of_a_suite_are_there_and_what_is_to_be_run_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--preset=paho-c", "--listener=mqtt+ws=0", "--bad-tls=off"];
    let broker = Broker::start(folder.path(), &flags);
    let address = broker.ready["listeners"]["further"][0].as_str().unwrap();
    let mut client = connected(address, "a");
    let filter = [&[0, 9, 0][..], &string("nosubscribe"), &[1]].concat();
    client.write_all(&packet(0x82, &filter)).unwrap();
    let mut suback = [0; 6];
    client.read_exact(&mut suback).unwrap();
    assert_eq!(suback, [0x90, 4, 0, 9, 0, 0x80]);
    let publish = [&string("MQTTSAS topic")[..], &[0], b"TERMINATE"].concat();
    client.write_all(&packet(0x30, &publish)).unwrap();
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);

    for name in [
        "aws-crt",
        "paho-c",
        "paho-python",
        "aiomqtt",
        "mqttjs",
        "gmqtt",
    ] {
        std::fs::write(folder.path().join("r.toml"), format!("preset = '{name}'")).unwrap();
        run(folder.path(), &["check-config", "r.toml"]).assert_done();
    }
    let outcome = run(folder.path(), &["env", "paho-c"]);
    outcome.assert_done();
    for line in [
        "#   roundel serve --preset paho-c --server-cert chain.pem ",
        "\nexport MQTT_TEST_PROXY=tcp://localhost:1884\n",
    ] {
        assert!(outcome.stdout.contains(line), "{}", outcome.stdout);
    }
}

#[test]
fn suite_that_needs_no_files_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(folder.path(), &["env", "aiomqtt", "--shell", "fish"]);
    outcome.assert_done();
    let end = "\nset -gx AIOMQTT_TEST_HOSTNAME 'localhost'\n";
    assert!(outcome.stdout.ends_with(end), "{}", outcome.stdout);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn unknown_suite_is_answered_with_those_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    for line in [&["env", "paho"][..], &["serve", "--preset", "paho"]] {
        run(folder.path(), line).assert_failed(2, &["`paho`", "paho-c", "aiomqtt", "gmqtt"]);
    }
}
