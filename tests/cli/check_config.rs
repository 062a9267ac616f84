//! `roundel check-config`.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Outcome, run};

fn check(text: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("r.toml"), text).unwrap();
    run(folder.path(), &["check-config", "r.toml"])
}

#[test]
fn a_valid_file_is_called_so() {
    let outcome = check("profile = \"standard\"\n[limits]\nin_flight = 10");
    outcome.assert_done();
    assert_eq!(outcome.stdout, "r.toml: valid, profile standard\n");
}

#[test]
fn what_is_wrong_is_named_by_line_and_key() {
    for (text, words) in [
        (
            "\nmqtss-port = 1",
            &["r.toml:2", "`mqtss_port`", "`mqtts_port`"][..],
        ),
        ("[limits]\nin_flight = 70000", &["r.toml:2", "`in_flight`"]),
        (
            "mqtts_port = 1\nmqtt_port = 1",
            &["r.toml:1", "r.toml:2", "port 1"],
        ),
        ("log = \"=\"", &["r.toml:1", "`log`"]),
        (
            "[[users]]\nname = \"a\"\npassword = \"b\"",
            &["r.toml:3", "roundel passwd"],
        ),
        (
            "\n[[rules]]\nmatch = { type = \"PUBAC\" }\ndo = \"drop\"",
            &["r.toml:2", "`rules.0`", "match.type", "'PUBAC'"],
        ),
        ("= 1", &["r.toml:1"]),
    ] {
        check(text).assert_failed(2, words);
    }
}

#[cfg(feature = "aws")]
#[test]
fn the_fleet_that_a_file_names_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("r.toml", "fleet = \"fleet.toml\"");
    let line = ["check-config", "r.toml"];
    write("fleet.toml", "[things.car]\ntype = \"car\"");
    run(folder.path(), &line).assert_failed(2, &["fleet.toml:1:", "Thing type car not found"]);
    write(
        "fleet.toml",
        "[thing_types.car]\n[things.car]\ntype = \"car\"",
    );
    run(folder.path(), &line).assert_done();
    fs::remove_file(folder.path().join("fleet.toml")).unwrap();
    run(folder.path(), &line).assert_failed(1, &["fleet.toml"]);
    assert!(!folder.path().join("certs").exists(), "nothing is made");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["check-config", "no.toml"]).assert_failed(2, &["`no.toml`"]);
}

#[test]
fn a_pipe_is_read_and_one_without_a_writer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let line = ["check-config", "pipe"];
    let start = Instant::now();
    run(folder.path(), &line).assert_failed(2, &["`pipe`", "it is no file"]);
    assert!(start.elapsed() < Duration::from_secs(10));

    let writer = std::thread::spawn(move || fs::write(pipe, "profile = \"standard\""));
    run(folder.path(), &line).assert_done();
    writer.join().unwrap().unwrap();

    run(folder.path(), &["check-config", "/dev/zero"]).assert_failed(2, &["`/dev/zero`", "16 MiB"]);
    run(folder.path(), &["check-config", "."]).assert_failed(2, &["`.`"]);
}
