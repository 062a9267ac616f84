//! The secrets that a broker writes down, beside those that openssl does.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::broker::Broker;
use super::{roundel, run};

/// The lines of a file, without what is not a secret.
fn secrets(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// Makes a handshake in one version, and returns what openssl has as its secrets.
fn shake_hands(folder: &Path, port: &str, version: &str) -> BTreeSet<String> {
    let file = folder.join(format!("openssl{version}"));
    let output = Command::new("openssl")
        .args([
            "s_client",
            version,
            "-connect",
            &format!("localhost:{port}"),
        ])
        .arg("-keylogfile")
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    secrets(&file)
}

#[test]
fn secrets_of_every_listener_are_those_of_the_client_and_nobody_else_can_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = roundel(
        folder.path(),
        &["serve", "--ready", "json", "--http-port=off"],
    );
    command
        .args(["--registry=off", "--client-cert=none", "--mqtts-port=0"])
        .args(["--bad-tls=self-signed=0", "--keylog=keys.txt"])
        .stderr(fs::File::create(&log).unwrap());
    let broker = Broker::spawn(&mut command);
    let keys = folder.path().join("keys.txt");
    let mode = fs::metadata(&keys).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let faults = &broker.ready["listeners"]["bad_tls"]["self-signed"];
    let mut all = BTreeSet::new();
    for address in [broker.address("mqtts"), faults.as_str().unwrap()] {
        let (_, port) = address.rsplit_once(':').unwrap();
        for (version, labels) in [
            ("-tls1_2", &["CLIENT_RANDOM"][..]),
            (
                "-tls1_3",
                &["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"],
            ),
        ] {
            let of_client = shake_hands(folder.path(), port, version);
            let written = secrets(&keys);
            for label in labels {
                let mut secrets = of_client.iter();
                let secret = secrets.find(|line| line.starts_with(label)).unwrap();
                assert!(written.contains(secret), "{secret}: {written:?}");
            }
            all.extend(written);
        }
    }
    broker.signal("-TERM");
    assert!(broker.wait().success());
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("WARN") && said.contains("`keylog`"), "{said}");

    // Another broker writes behind them.
    drop(Broker::start(
        folder.path(),
        &["--registry=off", "--mqtts-port=0", "--keylog=keys.txt"],
    ));
    assert_eq!(secrets(&keys), all);
}

#[test]
fn file_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let line = [
        "--registry=off",
        "--http-port=off",
        "--mqtts-port=0",
        "--keylog=no/keys",
    ];
    run(folder.path(), &line).assert_failed(1, &["--keylog", "no/keys", "No such file"]);
}
