//! `roundel cert`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;

use super::broker::Broker;
use super::{roundel, run};

/// As a TLS server does it: the chain, the validity, the purpose, and whether the key fits.
pub(crate) fn assert_verifies(ca: &Path, certificate: &Path, key: &Path) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap()
        .verify_client_cert(&certificate, &[], UnixTime::now())
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let pair = CertifiedKey::from_der(vec![certificate], key, &provider).unwrap();
    pair.keys_match().unwrap();
}

/// As OpenSSL does it at its strictest; passes where the program is not installed.
pub(crate) fn assert_openssl_verifies(folder: &Path, line: &[&str]) {
    let strict = ["verify", "-x509_strict", "-CAfile", "certs/ca.pem"];
    match Command::new("openssl")
        .args(strict)
        .args(line)
        .current_dir(folder)
        .output()
    {
        Err(_) => eprintln!("no openssl"),
        Ok(output) => assert!(output.status.success(), "{output:?}"),
    }
}

#[test]
fn an_issued_certificate_verifies_with_either_kind_of_key() {
    let folder = tempfile::tempdir().unwrap();
    for (name, flag) in [("small", "--ecdsa"), ("large", "--rsa"), ("plain", "-")] {
        let line = ["cert", name, flag];
        run(folder.path(), if flag == "-" { &line[..2] } else { &line }).assert_done();
        let certs = folder.path().join("certs");
        let certificate = certs.join(format!("{name}.certificate.pem"));
        assert_verifies(
            &certs.join("ca.pem"),
            &certificate,
            &certs.join(format!("{name}.private.key")),
        );
        let file = format!("certs/{name}.certificate.pem");
        assert_openssl_verifies(folder.path(), &["-purpose", "sslclient", &file]);
    }
}

#[test]
fn the_server_certificate_verifies_for_every_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = roundel::Config::aws().tls;
    config.certs = folder.path().join("certs");
    config.san = vec!["broker.test".into()];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut whole = roundel::Config::aws();
    whole.tls = config;
    whole.listeners.mqtts = Some(0);
    whole.listeners.http = None;
    runtime.block_on(async { roundel::Server::start(whole).await.unwrap().stop().await });
    for check in [
        ["-verify_hostname", "localhost"],
        ["-verify_hostname", "broker.test"],
        ["-verify_ip", "127.0.0.1"],
        ["-verify_ip", "::1"],
    ] {
        let line = [
            &["-purpose", "sslserver"],
            &check[..],
            &["certs/server.pem"],
        ]
        .concat();
        assert_openssl_verifies(folder.path(), &line);
    }
}

#[test]
fn paths_and_a_command_to_copy_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(
        folder.path(),
        &["cert", "demo", "--certs", "my certs", "--out", "out"],
    );
    outcome.assert_done();
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(
        lines[..3],
        ["out/demo.certificate.pem", "out/demo.private.key", ""]
    );
    assert_eq!(
        lines[3],
        "mosquitto_sub -p 8883 --cafile 'my certs/ca.pem' --cert out/demo.certificate.pem \
         --key out/demo.private.key -t '#' -v"
    );
    assert!(folder.path().join(lines[0]).exists() && folder.path().join(lines[1]).exists());
}

#[test]
fn command_to_copy_has_the_port_of_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let command_of = |name: &str, port: Option<&str>| {
        let mut command = roundel(folder.path(), &["cert", name]);
        if let Some(port) = port {
            command.env("ROUNDEL_MQTTS_PORT", port);
        }
        let outcome = super::finish(&mut command);
        outcome.assert_done();
        outcome.stdout.lines().last().unwrap().to_owned()
    };
    let chosen = command_of("a", Some("8884"));
    assert!(chosen.starts_with("mosquitto_sub -p 8884 "), "{chosen}");
    let mut command = roundel(folder.path(), &["serve", "--ready", "json"]);
    let broker = Broker::spawn(command.args(["--mqtts-port", "0", "--http-port", "0"]));
    let (_, port) = broker.address("mqtts").rsplit_once(':').unwrap();
    let running = command_of("b", None);
    assert!(
        running.starts_with(&format!("mosquitto_sub -p {port} ")),
        "{running}"
    );
}

#[test]
fn private_keys_are_pkcs8_and_their_owners_only() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a", "--rsa"]).assert_done();
    for key in ["certs/ca.key", "certs/a.private.key"] {
        let path = folder.path().join(key);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{key}"
        );
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .starts_with("-----BEGIN PRIVATE KEY-----")
        );
    }
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "demo"]).assert_done();
    let read = |name| fs::read(folder.path().join("certs").join(name)).unwrap();
    let names = [
        "ca.pem",
        "ca.key",
        "demo.certificate.pem",
        "demo.private.key",
    ];
    let before = names.map(read);
    run(folder.path(), &["cert", "demo"]).assert_failed(1, &["certs/demo.certificate.pem"]);
    assert_eq!(names.map(read), before);
}

#[test]
fn a_name_that_leaves_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a/b"]).assert_failed(2, &["`a/b`", "path separator"]);
}

#[test]
fn half_an_authority_is_named() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["cert", "a"]).assert_done();
    fs::remove_file(folder.path().join("certs/ca.key")).unwrap();
    run(folder.path(), &["cert", "b"]).assert_failed(1, &["certs/ca.pem", "certs/ca.key"]);
}

#[test]
fn the_variable_names_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = roundel(folder.path(), &["cert", "a"]);
    super::finish(command.env("ROUNDEL_CERTS", "elsewhere")).assert_done();
    assert!(folder.path().join("elsewhere/a.certificate.pem").exists());
}

#[test]
fn programs_that_start_at_once_share_one_authority() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a", "b", "c", "d", "e", "f"];
    let children: Vec<_> = names
        .iter()
        .map(|name| {
            roundel(folder.path(), &["cert", name])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let certs = folder.path().join("certs");
    for name in names {
        let certificate = certs.join(format!("{name}.certificate.pem"));
        let key = certs.join(format!("{name}.private.key"));
        assert_verifies(&certs.join("ca.pem"), &certificate, &key);
    }
}
