//! `roundel cert`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
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

/// A folder that others get into.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    folder
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// The program, run by another one.
fn behind(folder: &Path, words: &[&str], line: &[&str]) -> Command {
    let own = roundel(folder, line);
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(own.get_program())
        .args(own.get_args());
    for (name, _) in own.get_envs() {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// A group that this process may give its files to: any for root, else its own.
fn some_group(folder: &Path) -> u32 {
    let own = fs::metadata(folder).unwrap();
    if own.uid() == 0 { 4242 } else { own.gid() }
}

#[test]
fn keys_of_clients_are_read_by_whom_it_is_said_and_by_nobody_else() {
    let folder = open_folder();
    let group = some_group(folder.path()).to_string();
    let certs = folder.path().join("certs");
    fs::create_dir(&certs).unwrap();
    set_mode(&certs, 0o755);
    for (name, flags, wanted) in [
        ("of-group", &["--key-group", &group][..], 0o640),
        (
            "of-group-alone",
            &["--key-group", &group, "--key-mode", "440"],
            0o440,
        ),
        ("of-all", &["--key-mode", "0644"], 0o644),
        ("of-owner", &["--key-mode", "0600"], 0o600),
    ] {
        // The mode is what is asked for, whatever the process would make.
        for umask in ["077", "000"] {
            let name = format!("{name}-{umask}");
            let line = [&["cert", &name], flags].concat();
            let shell = ["sh", "-c", "umask $0; exec \"$@\"", umask];
            super::finish(&mut behind(folder.path(), &shell, &line)).assert_done();
            let key = certs.join(format!("{name}.private.key"));
            assert_eq!(mode(&key), wanted, "{name}");
            if flags.contains(&"--key-group") {
                assert_eq!(fs::metadata(&key).unwrap().gid().to_string(), group);
            }
            let certificate = certs.join(format!("{name}.certificate.pem"));
            assert_eq!(mode(&certificate), 0o644, "{name}");
            assert_verifies(&certs.join("ca.pem"), &certificate, &key);
            assert_eq!(mode(&certs.join("ca.key")), 0o600);
        }
    }
}

#[test]
fn key_that_is_kept_keeps_its_mode_unless_another_is_asked_for() {
    let folder = open_folder();
    run(folder.path(), &["cert", "a"]).assert_done();
    let key = folder.path().join("certs/a.private.key");
    let content = fs::read(&key).unwrap();
    set_mode(&key, 0o440);
    let line = ["cert", "a", "--if-missing"];
    run(folder.path(), &line).assert_done();
    assert_eq!(mode(&key), 0o440);
    run(
        folder.path(),
        &[&line[..], &["--key-mode", "0644"]].concat(),
    )
    .assert_done();
    assert_eq!(mode(&key), 0o644);
    let group = some_group(folder.path()).to_string();
    run(
        folder.path(),
        &[&line[..], &["--key-group", &group]].concat(),
    )
    .assert_done();
    assert_eq!(mode(&key), 0o640);
    assert_eq!(fs::metadata(&key).unwrap().gid().to_string(), group);
    assert_eq!(fs::read(&key).unwrap(), content);
}

#[test]
fn who_may_not_have_a_key_is_said_by_its_flag() {
    let folder = open_folder();
    for (flag, value, word) in [
        ("--key-mode", "0755", "0640"),
        ("--key-mode", "rw-r-----", "0640"),
        ("--key-group", "no-such-group", "/etc/group"),
        ("--key-group", "4294967295", "/etc/group"),
    ] {
        let outcome = run(folder.path(), &["cert", "a", flag, value]);
        outcome.assert_failed(2, &[flag, value, word]);
    }
    assert!(!folder.path().join("certs").exists());

    // Who is neither root nor in the group cannot give it a file; root without that privilege is as anybody else.
    run(folder.path(), &["cert", "kept"]).assert_done();
    let kept = folder.path().join("certs/kept.private.key");
    set_mode(&kept, 0o400);
    let is_root = fs::metadata(&kept).unwrap().uid() == 0;
    let group = if is_root { "4242" } else { "0" };
    for line in [
        &["cert", "new", "--key-group", group][..],
        &["cert", "kept", "--if-missing", "--key-group", group],
    ] {
        let mut command = match is_root {
            true => behind(
                folder.path(),
                &["setpriv", "--bounding-set", "-chown"],
                line,
            ),
            false => roundel(folder.path(), line),
        };
        let words = [
            "--key-group",
            group,
            ".private.key",
            "a member of the group",
        ];
        super::finish(&mut command).assert_failed(1, &words);
    }
    assert_eq!(mode(&kept), 0o400);
    assert!(!folder.path().join("certs/new.private.key").exists());
    assert!(!folder.path().join("certs/new.certificate.pem").exists());
}

#[test]
fn folder_that_nobody_else_gets_into_is_warned_of() {
    let folder = open_folder();
    let path = folder.path().join("closed");
    fs::create_dir(&path).unwrap();
    set_mode(&path, 0o700);
    let line = ["cert", "a", "--out", "closed/keys", "--key-mode", "0644"];
    let outcome = run(folder.path(), &line);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let words = format!("folder={} mode=0700", path.display());
    for word in ["closed to others", &words, "--out"] {
        assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
    }
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    // Nobody else was to read it.
    let line = ["cert", "b", "--out", "closed/keys", "--key-mode", "0600"];
    run(folder.path(), &line).assert_done();
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

#[test]
fn name_that_is_none_is_refused_before_any_certificate_is_issued() {
    let folder = open_folder();
    for line in [
        &["cert", "three", "../bad"][..],
        &["cert", "three", "", "--if-missing"],
        &["cert", "../bad", "three"],
    ] {
        run(folder.path(), line).assert_failed(2, &["is no name for a certificate"]);
        assert!(!folder.path().join("certs").exists(), "{line:?}");
    }
    run(folder.path(), &["cert", "one", "two", "three"]).assert_done();
    for name in ["one", "two", "three"] {
        let file = format!("certs/{name}.certificate.pem");
        assert!(folder.path().join(file).exists(), "{name}");
    }
}
