//! `roundel serve`: ready, stop, and what keeps it from starting.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::broker::Broker;
use super::{finish, roundel, run};

#[test]
fn the_ready_line_tells_where_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--mqtts-port", "0", "--alpn-port", "0", "--https-port", "0"];
    let broker = Broker::start(folder.path(), &flags);
    assert_eq!(broker.ready["event"], "ready");
    assert_eq!(broker.ready["pid"], broker.child.id());
    assert_eq!(broker.ready["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(broker.ready["profile"], "aws");
    assert_eq!(broker.ready["listeners"]["mqtt"], Value::Null);
    let ca_file = Path::new(broker.ready["ca_file"].as_str().unwrap());
    assert!(ca_file.is_absolute() && ca_file.ends_with("certs/ca.pem") && ca_file.exists());
    for listener in ["mqtts", "alpn", "https"] {
        TcpStream::connect(broker.address(listener)).unwrap();
    }
}

#[test]
fn standard_error_that_nobody_reads_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    for is_open in [true, false] {
        let mut command = roundel(folder.path(), &["serve", "--ready", "json"]);
        command.args(["--profile", "standard", "--http-port", "off"]);
        command.args(["--mqtts-port", "off", "--mqtt-port", "0"]);
        let mut broker = Broker::spawn(command.stderr(Stdio::piped()));
        let unread = broker.child.stderr.take().filter(|_| is_open);
        // Each connection is two lines; a pipe holds less than these.
        let id = "x".repeat(1000);
        let connect = [b"\x10\xF4\x07\0\x04MQTT\x04\x02\0\0\x03\xE8", id.as_bytes()].concat();
        for _ in 0..100 {
            let mut client = TcpStream::connect(broker.address("mqtt")).unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            client.write_all(&connect).unwrap();
            let mut connack = [0; 4];
            client.read_exact(&mut connack).unwrap();
            assert_eq!(connack, [0x20, 2, 0, 0]);
        }
        broker.signal("-TERM");
        assert_eq!(broker.wait().code(), Some(0));
        drop(unread);
    }
}

#[test]
fn a_taken_port_is_named_by_whoever_chose_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let line = ["--profile", "standard", "--mqtts-port", "off"];

    let flags = [&line[..], &["--mqtt-port", port.as_str()]].concat();
    run(folder.path(), &flags).assert_failed(1, &["--mqtt-port: ", &port]);

    let further = format!("mqtt={port}");
    let flags = [&line[..], &["--mqtt-port=0", "--listener", &further]].concat();
    run(folder.path(), &flags).assert_failed(1, &["--listener: ", &port]);

    let mut command = roundel(folder.path(), &line);
    finish(command.env("ROUNDEL_MQTT_PORT", &port)).assert_failed(1, &["ROUNDEL_MQTT_PORT: "]);

    fs::write(
        folder.path().join("r.toml"),
        format!("\nmqtt_port = {port}\n"),
    )
    .unwrap();
    let flags = [&line[..], &["--config", "r.toml"]].concat();
    run(folder.path(), &flags).assert_failed(1, &["r.toml:2: `mqtt_port`: ", &port]);
}

#[test]
fn an_unusable_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(Broker::start(folder.path(), &["--mqtts-port", "0"]));
    fs::write(folder.path().join("certs/server.key"), "nothing").unwrap();
    let outcome = run(folder.path(), &["--mqtts-port", "0", "--http-port", "off"]);
    outcome.assert_failed(1, &["certs/server.key"]);
}

#[test]
fn a_name_that_the_server_certificate_lacks_is_named_by_flag_and_file() {
    let folder = tempfile::tempdir().unwrap();
    drop(Broker::start(
        folder.path(),
        &["--mqtts-port", "0", "--san", "a.test"],
    ));
    drop(Broker::start(
        folder.path(),
        &["--mqtts-port", "0", "--san", "a.test"],
    ));
    let line = ["--mqtts-port", "0", "--http-port", "off", "--san", "b.test"];
    run(folder.path(), &line).assert_failed(1, &["--san", "`b.test`", "certs/server.pem"]);
}

#[test]
fn brokers_that_start_at_once_share_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Broker::start(folder.path(), &["--mqtts-port", "0"])))
            .collect();
        let brokers: Vec<_> = starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect();
        assert!(
            brokers
                .iter()
                .all(|broker| broker.ready["ca_file"] == brokers[0].ready["ca_file"])
        );
    });
}

#[test]
fn wrong_flags_and_variables_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (line, words) in [
        (&["--mqtts-port", "x"][..], &["--mqtts-port", "`x`"][..]),
        (
            &["serve", "--client-cert", "maybe"],
            &["--client-cert", "`maybe`", "optional"],
        ),
        (&["--mqtts-port", "off"], &["mqtts_port"]),
        (
            &["--mqtt-port", "8883"],
            &["--mqtt-port", "mqtts_port", "8883"],
        ),
        (&["--config", "no.toml"], &["`no.toml`"]),
        (&["--log", "="], &["--log"]),
        (&["--ws-port", "-1"], &["--ws-port", "`-1`"]),
        (&["--san", ""], &["--san"]),
    ] {
        run(folder.path(), line).assert_failed(2, words);
    }
    let mut command = roundel(folder.path(), &[]);
    let outcome = finish(command.env("ROUNDEL_MQTTS_PORT", "x"));
    outcome.assert_failed(2, &["ROUNDEL_MQTTS_PORT", "`x`"]);
    let mut command = roundel(folder.path(), &[]);
    finish(command.env("ROUNDEL_CONFIG", "no.toml")).assert_failed(2, &["`no.toml`"]);
}

#[test]
fn any_key_of_the_file_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--profile", "standard", "--mqtts-port", "off"];
    let sets = ["--set", "mqtt_port=0", "--set", "limits.connections=1"];
    let broker = Broker::start(folder.path(), &[flags, sets].concat());
    let address = broker.address("mqtt");
    let _first = TcpStream::connect(address).unwrap();
    let mut second = TcpStream::connect(address).unwrap();
    second
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(second.read(&mut [0]).unwrap_or(0), 0, "there is no place");
    for (line, words) in [
        (
            &["--set", "limits.inflight=1"][..],
            &["--set limits.inflight", "in_flight"][..],
        ),
        (&["--set", "mqtt_port=x"], &["--set mqtt_port", "`x`"]),
        (&["--set", "mqtt_port"], &["--set mqtt_port", "KEY=VALUE"]),
        (
            &["--mqtt-port", "1", "--set", "mqtt_port=2"],
            &["--mqtt-port and --set mqtt_port"],
        ),
    ] {
        run(folder.path(), line).assert_failed(2, words);
    }
}

#[test]
fn what_the_command_line_does_not_know_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for (line, word) in [
        (&["--data-dir", "x"][..], "'--data-dir'"),
        (&["serve", "--htp-port", "off"], "'--htp-port'"),
        (&["--mqtt-port"], "--mqtt-port"),
        (&["--host", "::1", "--host", "::1"], "--host"),
        (&["--die-with-parent=x"], "--die-with-parent"),
        (&["bogus"], "'bogus'"),
        (&["cert"], "<NAME>"),
        (&["cert", "a", "--rsa", "--ecdsa"], "--rsa"),
        (&["check-config"], "<FILE>"),
    ] {
        run(folder.path(), line).assert_failed(2, &[word]);
    }
    run(folder.path(), &["serve", "--help"]).assert_done();
    run(folder.path(), &["--version"]).assert_done();
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("r.toml"),
        "profile = 'standard'\nmqtts_port = 'off'\nmqtt_port = 'off'\nready = 'text'",
    )
    .unwrap();
    let mut command = roundel(folder.path(), &["--config", "r.toml", "--ready", "json"]);
    let mut child = command
        .env("ROUNDEL_MQTT_PORT", "0")
        .env("ROUNDEL_HTTP_PORT", "off")
        .env("ROUNDEL_READY", "text")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let broker = Broker {
        input: None,
        child,
        ready,
    };
    assert_eq!(broker.ready["profile"], "standard");
    assert_eq!(broker.ready["ca_file"], Value::Null);
    TcpStream::connect(broker.address("mqtt")).unwrap();
}
