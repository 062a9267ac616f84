//! SIGHUP: certificates and users are read again.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::mqtt::{packet, string};
use super::{roundel, run};

/// The `[[users]]` entry of `roundel passwd`.
fn user(folder: &Path, name: &str, password: &str) -> String {
    use std::process::Stdio;

    let mut command = roundel(folder, &["passwd", name]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// The return code of a CONNECT of MQTT 3.1.1.
fn connect(address: &str, name: &str, password: &str) -> u8 {
    let mut client = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(20));
    client.set_read_timeout(limit).unwrap();
    let head = b"\0\x04MQTT\x04\xC2\0\0";
    let body = [&head[..], &string("c"), &string(name), &string(password)].concat();
    client.write_all(&packet(0x10, &body)).unwrap();
    let mut connack = [0; 4];
    client.read_exact(&mut connack).unwrap();
    connack[3]
}

/// The fingerprint of the certificate that a listener shows.
fn fingerprint(folder: &Path, address: &str) -> String {
    let shown = "openssl s_client -connect \"$1\" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256";
    let mut command = Command::new("bash");
    let output = command
        .args(["-c", shown, "bash", address])
        .current_dir(folder)
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(text.contains("ingerprint="), "{text}");
    text
}

/// Waits for a line of the log that has these words.
#[track_caller]
fn wait_for_line(log: &Path, count: usize, words: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let text = fs::read_to_string(log).unwrap();
        if text.lines().filter(|line| line.contains(words)).count() >= count {
            return;
        }
        assert!(Instant::now() < until, "no {words:?} in\n{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn certificates_and_users_are_those_of_the_files_and_what_needs_a_restart_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path(), folder.path().join("r.toml"));
    let log = path.join("log");
    let head = "profile = 'standard'\nclient_cert = 'none'\nmqtts_port = 0\nmqtt_port = 0\nhttp_port = 'off'\n";
    fs::write(&file, format!("{head}{}", user(path, "ann", "first"))).unwrap();
    let mut command = roundel(path, &["serve", "--ready", "json", "--config", "r.toml"]);
    let broker = Broker::spawn(command.stderr(File::create(&log).unwrap()));
    let (mqtt, mqtts) = (broker.address("mqtt"), broker.address("mqtts"));
    assert_eq!(connect(mqtt, "ann", "first"), 0);
    let before = fingerprint(path, mqtts);

    // Another certificate, another user, and something that cannot change.
    fs::remove_file(path.join("certs/server.pem")).unwrap();
    fs::remove_file(path.join("certs/server.key")).unwrap();
    let users = user(path, "bob", "second");
    fs::write(
        &file,
        format!("{head}seed = 7\n{users}[limits]\nin_flight = 20\n"),
    )
    .unwrap();
    broker.signal("-HUP");
    wait_for_line(&log, 1, "needs a restart");
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("keys=limits.in_flight,seed"), "{text}");
    assert!(text.contains("certificates are read again"), "{text}");
    assert_ne!(fingerprint(path, mqtts), before);
    assert_eq!(connect(mqtt, "bob", "second"), 0);
    assert_ne!(connect(mqtt, "ann", "first"), 0);

    // What cannot be read leaves all as it is.
    fs::write(&file, "nonsense").unwrap();
    broker.signal("-HUP");
    wait_for_line(&log, 1, "nothing is changed");
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("r.toml:1: "), "{text}");
    assert_eq!(connect(mqtt, "bob", "second"), 0);

    fs::write(&file, format!("{head}{users}")).unwrap();
    fs::write(path.join("certs/server.key"), "no key").unwrap();
    broker.signal("-HUP");
    wait_for_line(&log, 1, "certificates stay as they were");
    let still = fingerprint(path, mqtts);
    assert_ne!(still, before);
    assert_eq!(connect(mqtt, "bob", "second"), 0);
    broker.signal("-TERM");
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn broker_without_a_file_survives_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = roundel(
        folder.path(),
        &["serve", "--ready", "json", "--http-port", "off"],
    );
    command.args(["--registry", "off", "--mqtts-port", "0"]);
    let broker = Broker::spawn(command.stderr(File::create(&log).unwrap()));
    broker.signal("-HUP");
    wait_for_line(&log, 1, "certificates are read again");
    broker.signal("-HUP");
    wait_for_line(&log, 2, "certificates are read again");
    assert!(
        !fs::read_to_string(&log)
            .unwrap()
            .contains("needs a restart")
    );
    run(folder.path(), &["cert", "a"]).assert_done();
    broker.signal("-TERM");
    assert_eq!(broker.wait().code(), Some(0));
}
