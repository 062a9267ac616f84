//! `roundel env`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;

use super::broker::Broker;
use super::{Outcome, finish, roundel, run};

/// A broker with a control API, whatever its port.
fn broker(folder: &Path, flags: &[&str]) -> Broker {
    let mut command = roundel(folder, &["serve", "--ready", "json", "--mqtts-port", "0"]);
    Broker::spawn(command.args(["--http-port", "0"]).args(flags))
}

/// The program without the variables of whoever runs the tests, and with these.
fn env(folder: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = roundel(folder, &[&["env"], flags].concat());
    finish(clean(&mut command).envs(variables.iter().copied()))
}

fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
}

#[test]
fn a_shell_gets_the_variables_of_the_broker_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("roundel.toml");
    std::fs::write(&config, "[aws]\nregion = 'eu-central-1'\n").unwrap();
    let broker = broker(folder.path(), &["--config", "roundel.toml"]);
    let http = broker.address("http");
    let script = r#"eval "$("$0" env)" && env"#;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_roundel")])
        .current_dir(folder.path());
    // It finds the broker by the registry in this folder.
    let outcome = finish(clean(&mut shell));
    outcome.assert_done();
    let lines: Vec<_> = outcome.stdout.lines().collect();
    let url = format!("http://{http}");
    for (name, value) in [
        ("AWS_ENDPOINT_URL_IOT", &*url),
        ("AWS_ENDPOINT_URL_IOT_DATA_PLANE", &url),
        ("AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE", &url),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ] {
        let line = format!("{name}={value}");
        assert!(lines.contains(&line.as_str()), "{line}: {lines:?}");
    }
    // That would be the address of every other service as well.
    assert!(!outcome.stdout.contains("AWS_ENDPOINT_URL="));
}

#[test]
fn credentials_that_are_there_stay() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path(), &["--registry", "memory"]);
    let http = broker.address("http");
    for own in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        let outcome = env(folder.path(), &["--http", http], &[(own, "mine")]);
        outcome.assert_done();
        assert!(!outcome.stdout.contains("KEY"), "{}", outcome.stdout);
    }
    let outcome = env(folder.path(), &["--http", http], &[("AWS_PROFILE", "")]);
    assert!(outcome.stdout.contains("AWS_ACCESS_KEY_ID=test\n"));
}

#[test]
fn other_shells_get_their_own_syntax() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path(), &["--registry", "memory"]);
    let http = broker.address("http");
    for (shell, line) in [
        ("sh", "export AWS_REGION=us-east-1\n"),
        ("fish", "set -gx AWS_REGION 'us-east-1'\n"),
        ("powershell", "$env:AWS_REGION = 'us-east-1'\n"),
    ] {
        let outcome = env(folder.path(), &["--http", http, "--shell", shell], &[]);
        outcome.assert_done();
        assert!(outcome.stdout.contains(line), "{}", outcome.stdout);
    }
    run(folder.path(), &["env", "--shell", "csh"]).assert_failed(2, &["csh", "--shell"]);
}

#[test]
fn without_a_broker_there_is_nothing_to_evaluate() {
    let folder = tempfile::tempdir().unwrap();
    // Its port is nobody's when it has gone, and what it left behind says nothing.
    let mut broker = broker(folder.path(), &[]);
    let http = broker.address("http").to_owned();
    broker.child.kill().unwrap();
    broker.child.wait().unwrap();
    let outcome = env(folder.path(), &["--http", &http], &[]);
    outcome.assert_failed(1, &["--http", &http]);
    assert_eq!(outcome.stdout, "");
}

/// Somebody else's server, with one answer.
fn stranger(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    });
    addr
}

#[test]
fn what_is_no_broker_gives_a_shell_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for body in [
        "",
        "{}",
        r#"{"aws": {"region": ""}}"#,
        r#"{"aws": {"region": "$(touch x)"}}"#,
        r#"{"aws": {"region": "a\nb"}}"#,
    ] {
        let http = stranger(body).to_string();
        let outcome = env(folder.path(), &["--http", &http], &[]);
        outcome.assert_failed(1, &[&http, "none of a broker"]);
        assert_eq!(outcome.stdout, "");
    }
}
