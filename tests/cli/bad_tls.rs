//! Listeners of TLS with something wrong about them, and what openssl says of each.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::broker::Broker;
use super::run;

const KINDS: [&str; 10] = [
    "expired",
    "not-yet-valid",
    "wrong-host",
    "unknown-ca",
    "self-signed",
    "large-chain",
    "tls1.2-only",
    "tls1.3-only",
    "reject-client",
    "no-close-notify",
];

/// A broker with one of each, and a certificate for a client.
fn broker(folder: &Path) -> Broker {
    let wanted = KINDS.map(|kind| format!("{kind}=0")).join(",");
    let line = [
        "--registry",
        "off",
        "--mqtts-port",
        "0",
        "--bad-tls",
        &wanted,
    ];
    let broker = Broker::start(folder, &line);
    run(folder, &["cert", "client"]).assert_done();
    broker
}

fn port<'a>(broker: &'a Broker, kind: &str) -> &'a str {
    let address = broker.ready["listeners"]["bad_tls"][kind].as_str();
    let (_, port) = address.unwrap().rsplit_once(':').unwrap();
    port
}

/// All that openssl says of a listener, and whether it made the handshake. It checks the server's certificate.
fn openssl(folder: &Path, port: &str, line: &[&str]) -> (bool, String) {
    let certs = folder.join("certs");
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
        ])
        .args(["-connect", &format!("localhost:{port}")])
        .arg("-CAfile")
        .arg(certs.join("ca.pem"))
        .arg("-cert")
        .arg(certs.join("client.certificate.pem"))
        .arg("-key")
        .arg(certs.join("client.private.key"))
        .args(line)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn openssl_names_what_is_wrong_with_each_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    for (kind, words) in [
        ("expired", "certificate has expired"),
        ("not-yet-valid", "certificate is not yet valid"),
        ("wrong-host", "hostname mismatch"),
        ("unknown-ca", "unable to get local issuer certificate"),
        ("self-signed", "self-signed certificate"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let (made, said) = openssl(folder.path(), port(&broker, kind), &[version]);
            assert!(!made && said.contains(words), "{kind} {version}: {said}");
        }
    }
    // The same listeners, and a client that does not look.
    let port = port(&broker, "wrong-host");
    let (made, said) = openssl(
        folder.path(),
        port,
        &["-verify_hostname", "wrong-host.localhost"],
    );
    assert!(
        made && said.contains("Verify return code: 0 (ok)"),
        "{said}"
    );
}

#[test]
fn sound_certificate_may_be_larger_than_two_records() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let (made, said) = openssl(folder.path(), port(&broker, "large-chain"), &["-tls1_2"]);
    assert!(
        made && said.contains("Verify return code: 0 (ok)"),
        "{said}"
    );
    let read = said.lines().find_map(|line| {
        let rest = line.strip_prefix("SSL handshake has read ")?;
        rest.split(' ').next()?.parse::<usize>().ok()
    });
    assert!(read.unwrap() > 40 * 1024, "{said}");
}

#[test]
fn listener_of_one_version_refuses_the_other_with_its_alert() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    for (kind, good, bad) in [
        ("tls1.2-only", "-tls1_2", "-tls1_3"),
        ("tls1.3-only", "-tls1_3", "-tls1_2"),
    ] {
        let (made, said) = openssl(folder.path(), port(&broker, kind), &[good]);
        assert!(made, "{said}");
        let (made, said) = openssl(folder.path(), port(&broker, kind), &[bad]);
        assert!(!made && said.contains("alert protocol version"), "{said}");
    }
}

#[test]
fn client_certificate_is_refused_with_an_alert_of_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path());
    let port = port(&broker, "reject-client");
    let (made, said) = openssl(folder.path(), port, &["-tls1_2"]);
    assert!(
        !made && said.contains("alert certificate revoked"),
        "{said}"
    );
    // In TLS 1.3 the client's handshake is over before the server has seen its certificate.
    let (_, said) = openssl(folder.path(), port, &["-tls1_3", "-ign_eof"]);
    assert!(said.contains("alert certificate revoked"), "{said}");
}

#[test]
fn fault_that_takes_an_authority_is_refused_without_one_and_the_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    drop(broker(folder.path()));
    let file = |name: &str| folder.path().join("certs").join(name).display().to_string();
    let own = [
        "--http-port=off".to_owned(),
        "--mqtts-port=0".to_owned(),
        format!("--server-cert={}", file("server.pem")),
        format!("--server-key={}", file("server.key")),
        format!("--client-ca={}", file("ca.pem")),
        "--registry=off".to_owned(),
    ];
    let elsewhere = tempfile::tempdir().unwrap();
    let mut line: Vec<&str> = own.iter().map(String::as_str).collect();
    line.extend(["--bad-tls", "expired=0"]);
    run(elsewhere.path(), &line).assert_failed(2, &["--bad-tls", "--server-cert", "self-signed"]);
    line.pop();
    line.push("self-signed=0,tls1.2-only=0");
    let broker = Broker::start(elsewhere.path(), &line[1..]);
    let faults = &broker.ready["listeners"]["bad_tls"];
    assert_eq!(faults.as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(faults["expired"], Value::Null);
}

#[test]
fn port_that_is_taken_is_named_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted = format!("expired={}", taken.local_addr().unwrap().port());
    let line = [
        "--mqtts-port=0",
        "--http-port=off",
        "--registry=off",
        "--bad-tls",
        &wanted,
    ];
    run(folder.path(), &line).assert_failed(1, &["--bad-tls", "bad-tls:expired"]);
}
