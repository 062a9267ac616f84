//! MQTT over a Unix socket, and the file that it is.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::broker::Broker;
use super::{mqtt, roundel, run};

/// Flags of a broker with nothing but a Unix socket in the folder where it runs.
const FLAGS: [&str; 4] = [
    "--registry=off",
    "--mqtts-port=off",
    "--profile=standard",
    "--unix-socket=mqtt.socket",
];

fn connected(path: &Path, id: &str) -> UnixStream {
    let mut client = UnixStream::connect(path).unwrap();
    let deadline = Some(Duration::from_secs(20));
    client.set_read_timeout(deadline).unwrap();
    client.write_all(&mqtt::connect(4, id)).unwrap();
    let mut connack = [0; 4];
    client.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    client
}

#[test]
fn mqtt_is_spoken_and_the_file_goes_with_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mqtt.socket");
    let flags = [&FLAGS[..], &["--mqtt-port=off"]].concat();
    let broker = Broker::start(folder.path(), &flags);
    let told = Path::new(broker.address("unix_socket"));
    assert!(told.is_absolute());
    assert_eq!(told.canonicalize().unwrap(), path.canonicalize().unwrap());
    let file = fs::metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);

    let mut client = connected(&path, "a");
    client.write_all(&mqtt::packet(0xC0, &[])).unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0xD0, 0]);

    broker.signal("-TERM");
    assert!(broker.wait().success());
    assert!(!path.exists());
}

#[test]
fn client_is_logged_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = roundel(folder.path(), &["serve", "--ready", "json"]);
    let flags = [&FLAGS[..], &["--mqtt-port=off", "--http-port=off"]].concat();
    command.args(flags).stderr(fs::File::create(&log).unwrap());
    let broker = Broker::spawn(&mut command);
    drop(connected(&folder.path().join("mqtt.socket"), "a"));
    broker.signal("-TERM");
    assert!(broker.wait().success());
    let log = fs::read_to_string(&log).unwrap();
    let peer = match cfg!(target_os = "linux") {
        true => format!("peer=\"process {}\" listener=unix", std::process::id()),
        false => "listener=unix".to_owned(),
    };
    assert!(log.contains(&peer), "{log}");
}

#[test]
fn socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mqtt.socket");
    let flags = [&FLAGS[..], &["--mqtt-port=off"]].concat();
    let killed = Broker::start(folder.path(), &flags);
    let line = [&flags[..], &["--http-port=off"]].concat();
    run(folder.path(), &line)
        .assert_failed(1, &["--unix-socket", "mqtt.socket", "another process"]);
    killed.signal("-KILL");
    drop(killed);
    assert!(path.exists());
    let _broker = Broker::start(folder.path(), &flags);
    connected(&path, "a");
}

#[test]
fn what_is_no_socket_stays_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mqtt.socket"), "mine").unwrap();
    let line = [&FLAGS[..], &["--mqtt-port=off", "--http-port=off"]].concat();
    run(folder.path(), &line).assert_failed(1, &["--unix-socket", "mqtt.socket", "no socket"]);
    let long = format!("--unix-socket={}", "x".repeat(200));
    let line = [
        "--registry=off",
        "--http-port=off",
        "--mqtts-port=off",
        &long,
    ];
    run(folder.path(), &line).assert_failed(1, &["--unix-socket", "xxx"]);
}
