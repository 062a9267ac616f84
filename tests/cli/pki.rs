//! Certificates that the broker did not make, and what is wrong with some.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::{Outcome, PLAIN_MQTT, finish, roundel, run};

/// A folder with an authority, a server's certificate and a client's, as `certs` has them.
struct Pki {
    folder: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        drop(Broker::start(folder.path(), &["--mqtts-port", "0"]));
        run(folder.path(), &["cert", "client"]).assert_done();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("certs").join(name)
    }

    /// Flags for a broker elsewhere that uses these files.
    fn flags(&self) -> Vec<String> {
        let file = |name| self.path(name).display().to_string();
        [
            ["--server-cert".to_owned(), file("server.pem")],
            ["--server-key".to_owned(), file("server.key")],
            ["--client-ca".to_owned(), file("ca.pem")],
        ]
        .concat()
    }

    /// The start of a broker that uses these files, which is refused.
    fn refused(&self) -> Outcome {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut command = roundel(
            elsewhere.path(),
            &["--http-port", "off", "--mqtts-port", "0"],
        );
        ended(command.args(self.flags()))
    }

    /// What is logged by a broker that uses these files.
    fn logged(&self) -> String {
        let elsewhere = tempfile::tempdir().unwrap();
        let log = elsewhere.path().join("log");
        let mut command = roundel(elsewhere.path(), &["serve", "--ready", "json"]);
        command.args(["--http-port", "off", "--mqtts-port", "0"]);
        command.args(self.flags());
        let broker = Broker::spawn(command.stderr(File::create(&log).unwrap()));
        broker.signal("-TERM");
        assert_eq!(broker.wait().code(), Some(0));
        fs::read_to_string(log).unwrap()
    }
}

/// A program that must come to its end soon: nothing that it opens keeps it waiting.
fn ended(command: &mut Command) -> Outcome {
    let streams = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn openssl(line: &[&str]) {
    let output = Command::new("openssl").args(line).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A client that trusts an authority and shows a certificate of it, and ends after the handshake.
fn client_of(pki: &Pki, broker: &Broker) -> Output {
    let (_, port) = broker.address("mqtts").rsplit_once(':').unwrap();
    Command::new("openssl")
        .args(["s_client", "-tls1_2"])
        .args(["-connect", &format!("localhost:{port}")])
        .arg("-CAfile")
        .arg(pki.path("ca.pem"))
        .arg("-cert")
        .arg(pki.path("client.certificate.pem"))
        .arg("-key")
        .arg(pki.path("client.private.key"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_authority_needs_its_key_only_to_issue() {
    let pki = Pki::new();
    fs::remove_file(pki.path("ca.key")).unwrap();
    drop(Broker::start(pki.folder.path(), &["--mqtts-port", "0"]));
    let words = ["certs/ca.key", "certs/ca.pem", "cannot issue"];
    run(pki.folder.path(), &["cert", "another"]).assert_failed(1, &words);
    for name in ["server.pem", "server.key"] {
        fs::remove_file(pki.path(name)).unwrap();
    }
    let line = ["--mqtts-port", "0", "--http-port", "off"];
    run(pki.folder.path(), &line).assert_failed(1, &words);
}

#[test]
fn a_pki_of_ones_own_takes_the_place_of_the_folder() {
    let pki = Pki::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let flags = pki.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let broker = Broker::start(
        elsewhere.path(),
        &[&["--mqtts-port", "0"], &flags[..]].concat(),
    );
    assert_eq!(
        fs::read_dir(elsewhere.path()).unwrap().count(),
        0,
        "a folder was made"
    );
    // The same authority issued the server's certificate, so clients can be told.
    assert_eq!(broker.ready["ca_file"], text(&pki.path("ca.pem")));
    let output = client_of(&pki, &broker);
    assert!(output.status.success(), "{output:?}");
    // One that is not its client is refused, and the log says why.
    let stranger = Pki::new();
    let log = elsewhere.path().join("log");
    let mut command = roundel(elsewhere.path(), &["serve", "--ready", "json"]);
    command
        .args(["--http-port", "off", "--mqtts-port", "0"])
        .args(flags);
    let broker = Broker::spawn(command.stderr(File::create(&log).unwrap()));
    assert!(!client_of(&stranger, &broker).status.success());
    broker.signal("-TERM");
    assert_eq!(broker.wait().code(), Some(0));
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("no authority that is trusted here issued it"),
        "{log}"
    );
}

#[test]
fn files_that_do_not_go_together_are_named_by_who_gave_them() {
    let folder = tempfile::tempdir().unwrap();
    for (line, words) in [
        (
            &["--server-cert", "a"][..],
            &["--server-cert", "`server_key`"][..],
        ),
        (&["--server-key", "a"], &["--server-key", "`server_cert`"]),
        (&["--client-ca", "a"], &["--client-ca", "`server_cert`"]),
        (
            &["--server-cert", "a", "--server-key", "b"],
            &["--server-cert", "`client_cert`", "`client_ca`"],
        ),
        (
            &[
                "--server-cert",
                "a",
                "--server-key",
                "b",
                "--client-ca",
                "c",
                "--certs",
                "d",
            ],
            &["--server-cert", "--certs"],
        ),
        (
            &[
                "--server-cert",
                "a",
                "--server-key",
                "b",
                "--client-ca",
                "c",
                "--client-cert",
                "none",
            ],
            &["--client-ca", "--client-cert"],
        ),
    ] {
        run(folder.path(), line).assert_failed(2, words);
    }
    let mut command = roundel(folder.path(), &["--server-cert", "a"]);
    command
        .env("ROUNDEL_SERVER_KEY", "b")
        .env("ROUNDEL_CLIENT_CA", "c");
    finish(command.env("ROUNDEL_CERTS", "d")).assert_failed(2, &["--server-cert", "ROUNDEL_CERTS"]);
}

#[test]
fn what_is_no_certificate_or_key_is_named_as_what_it_is() {
    let pki = Pki::new();
    let (cert, key, ca) = (
        pki.path("server.pem"),
        pki.path("server.key"),
        pki.path("ca.pem"),
    );
    let scratch = pki.folder.path().join("scratch");
    let encrypt = |line: &[&str]| {
        openssl(
            &[
                line,
                &[
                    "-in",
                    text(&pki.path("client.private.key")),
                    "-out",
                    text(&scratch),
                ],
            ]
            .concat(),
        );
        fs::read(&scratch).unwrap()
    };
    let encrypted = encrypt(&["pkey", "-aes256", "-passout", "pass:x"]);
    let old = encrypt(&["ec", "-aes256", "-passout", "pass:x"]);
    let der = encrypt(&["pkey", "-outform", "der"]);
    let foreign = fs::read(pki.path("client.private.key")).unwrap();
    let certificate = fs::read(&cert).unwrap();
    let private = fs::read(&key).unwrap();
    for (path, content, words) in [
        (
            &key,
            encrypted,
            &["server.key", "encrypted", "openssl pkey"][..],
        ),
        (&key, old, &["server.key", "encrypted"]),
        (
            &key,
            der,
            &["server.key", "binary", "openssl pkey -inform der"],
        ),
        (
            &key,
            certificate,
            &["server.key", "a certificate", "no private key"],
        ),
        (
            &key,
            b"secret".to_vec(),
            &["server.key", "BEGIN PRIVATE KEY"],
        ),
        (&key, Vec::new(), &["server.key", "empty"]),
        (
            &key,
            foreign,
            &["server.key", "not the private key of", "server.pem"],
        ),
        (
            &cert,
            private.clone(),
            &["server.pem", "a private key", "no certificate"],
        ),
        (
            &cert,
            b"\x1b[2J\nx".to_vec(),
            &["server.pem", "BEGIN CERTIFICATE"],
        ),
        (&ca, private, &["ca.pem", "a private key", "no certificate"]),
    ] {
        let kept = fs::read(path).unwrap();
        fs::write(path, content).unwrap();
        let outcome = pki.refused();
        outcome.assert_failed(1, words);
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
        fs::write(path, kept).unwrap();
    }
}

#[test]
fn what_is_no_file_is_named_and_not_waited_for() {
    let pki = Pki::new();
    for name in ["server.pem", "server.key", "ca.pem", ".lock"] {
        let path = pki.path(name);
        let kept = pki.folder.path().join("kept");
        for (kind, words) in [
            ("fifo", "FIFO"),
            ("folder", "a folder"),
            ("socket", "a socket"),
        ] {
            fs::rename(&path, &kept).unwrap();
            match kind {
                "fifo" => {
                    assert!(
                        Command::new("mkfifo")
                            .arg(&path)
                            .status()
                            .unwrap()
                            .success()
                    );
                }
                "folder" => fs::create_dir(&path).unwrap(),
                _ => drop(UnixListener::bind(&path).unwrap()),
            }
            let line = ["--mqtts-port", "0", "--http-port", "off"];
            let outcome = ended(&mut roundel(pki.folder.path(), &line));
            outcome.assert_failed(1, &[name, words]);
            if name != ".lock" {
                pki.refused().assert_failed(1, &[name, words]);
            }
            match kind {
                "folder" => fs::remove_dir(&path).unwrap(),
                _ => fs::remove_file(&path).unwrap(),
            }
            fs::rename(&kept, &path).unwrap();
        }
    }
}

#[test]
fn certificates_that_clients_refuse_are_warned_of() {
    let pki = Pki::new();
    assert!(!pki.logged().contains(" WARN "), "{}", pki.logged());
    let (cert, key) = (pki.path("server.pem"), pki.path("server.key"));
    let request = pki.folder.path().join("request");
    let rules = pki.folder.path().join("rules");
    let ca = (pki.path("ca.pem"), pki.path("ca.key"));
    let issue = |days: &str, purpose: &str| {
        fs::write(&rules, format!("extendedKeyUsage={purpose}\n")).unwrap();
        openssl(&[
            "req",
            "-new",
            "-key",
            text(&key),
            "-subj",
            "/CN=x",
            "-out",
            text(&request),
        ]);
        let start = &[
            "x509",
            "-req",
            "-in",
            text(&request),
            "-days",
            days,
            "-CAcreateserial",
        ][..];
        let issuer = &["-CA", text(&ca.0), "-CAkey", text(&ca.1)];
        let rest = &["-extfile", text(&rules), "-out", text(&cert)];
        openssl(&[start, issuer, rest].concat());
    };
    issue("-1", "serverAuth");
    let log = pki.logged();
    assert!(
        log.contains("it has expired") && log.contains("server.pem"),
        "{log}"
    );
    issue("10", "clientAuth");
    let log = pki.logged();
    assert!(
        log.contains("serverAuth") && log.contains("server.pem"),
        "{log}"
    );
    issue("10", "serverAuth");
    assert!(!pki.logged().contains(" WARN "), "{}", pki.logged());
    // A leaf as an authority, and a key for everybody.
    fs::copy(pki.path("client.certificate.pem"), pki.path("ca.pem")).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let log = pki.logged();
    assert!(log.contains("Basic Constraints"), "{log}");
    assert!(
        log.contains("mode=0644") && log.contains("chmod 600"),
        "{log}"
    );
}

#[test]
fn keys_that_others_can_read_are_warned_of() {
    let pki = Pki::new();
    let (server, ca) = (pki.path("server.key"), pki.path("ca.key"));
    for key in [&server, &ca] {
        fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let log = pki.folder.path().join("log");
    let mut command = roundel(pki.folder.path(), &["serve", "--ready", "json"]);
    command.args(["--http-port", "off", "--mqtts-port", "0"]);
    let broker = Broker::spawn(command.stderr(File::create(&log).unwrap()));
    broker.signal("-TERM");
    assert_eq!(broker.wait().code(), Some(0));
    let log = fs::read_to_string(log).unwrap();
    for key in [&server, &ca] {
        let line = log.lines().find(|line| line.contains(text(key)));
        assert!(line.is_some_and(|line| line.contains(" WARN ")), "{log}");
    }
    let outcome = run(pki.folder.path(), &["cert", "another"]);
    assert_eq!(outcome.status, Some(0));
    assert!(outcome.stderr.contains("ca.key"), "{}", outcome.stderr);
}

#[test]
fn a_folder_that_is_made_is_kept_out_of_repositories() {
    let pki = Pki::new();
    assert_eq!(fs::read_to_string(pki.path(".gitignore")).unwrap(), "*\n");
}

#[test]
fn addresses_beyond_this_machine_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    for (flags, words) in [
        (
            &["--host", "0.0.0.0", "--http-port", "off"][..],
            &["--host"][..],
        ),
        (
            &["--http-host", "::", "--http-port", "0"],
            &["--http-host", "passwords"],
        ),
        (
            &[
                "--host",
                "127.0.0.2",
                "--http-host",
                "::1",
                "--http-port",
                "0",
            ],
            &[],
        ),
    ] {
        let mut command = roundel(folder.path(), &["serve", "--ready", "json"]);
        command.args(PLAIN_MQTT);
        command.args(flags).stderr(File::create(&log).unwrap());
        let broker = Broker::spawn(&mut command);
        broker.signal("-TERM");
        assert_eq!(broker.wait().code(), Some(0));
        let log = fs::read_to_string(&log).unwrap();
        assert_eq!(log.contains(" WARN "), !words.is_empty(), "{log}");
        for word in words {
            assert!(log.contains(word), "{log}");
        }
    }
}

#[test]
fn an_unknown_variable_is_answered_with_the_nearest_one() {
    let folder = tempfile::tempdir().unwrap();
    for line in [&["serve"][..], &["cert", "a"]] {
        let mut command = roundel(folder.path(), line);
        let outcome = finish(command.env("ROUNDEL_MQTTS_PROT", "1"));
        outcome.assert_failed(2, &["ROUNDEL_MQTTS_PROT", "`ROUNDEL_MQTTS_PORT`"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let mut command = roundel(folder.path(), &["cert", "a"]);
    finish(command.env("ROUNDEL_TEST_LOG", "x").env("ROUNDEL_BIN", "y")).assert_done();
}
