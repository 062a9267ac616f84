//! `roundel registry`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::broker::Broker;
use super::{roundel, run};

const FLEET: &str = r#"[policies.all]
document = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}'

[thing_groups.cars]
policies = ["all"]

[things.car1]
groups = ["cars"]

[[certificates]]
certificate_file = "certs/car1.certificate.pem"
things = ["car1"]
"#;

#[test]
fn a_document_is_imported_exported_and_imported_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |line: &str| run(folder.path(), &line.split(' ').collect::<Vec<_>>());
    at("cert car1").assert_done();
    fs::write(folder.path().join("fleet.toml"), FLEET).unwrap();
    let imported = at("registry import fleet.toml --registry r.redb");
    imported.assert_done();
    let said: Vec<_> = imported.stdout.lines().collect();
    assert_eq!(
        said[..3],
        [
            "created policy all",
            "created thing group cars",
            "created thing car1"
        ]
    );
    assert!(said[3].starts_with("created certificate "), "{said:?}");
    let again = at("registry import fleet.toml --registry r.redb");
    again.assert_done();
    assert_eq!(again.stdout, "");
    for (format, file) in [("json", "out.json"), ("toml", "out.toml")] {
        let export = format!("registry export --registry r.redb --format {format}");
        let first = at(&export);
        first.assert_done();
        fs::write(folder.path().join(file), &first.stdout).unwrap();
        at(&format!("registry import {file} --registry {format}.redb")).assert_done();
        let second = at(&format!(
            "registry export --registry {format}.redb --format {format}"
        ));
        assert_eq!(second.stdout, first.stdout);
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |line: &str| run(folder.path(), &line.split(' ').collect::<Vec<_>>());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    at("registry export --registry none.redb").assert_failed(1, &["none.redb"]);
    assert!(!folder.path().join("none.redb").exists());
    write("notes.txt", "mine");
    at("registry export --registry notes.txt").assert_failed(1, &["notes.txt", "no registry"]);
    write("f.toml", "[thing.car]");
    at("registry import f.toml --registry r.redb")
        .assert_failed(2, &["f.toml:1:2: thing: ", "did you mean `things`?"]);
    write("f.json", "{\n \"things\": {\"a\": {\"type\": \"t\"}}}");
    at("registry import f.json --registry r.redb")
        .assert_failed(2, &["f.json:2:", "things.a: ", "Thing type t not found"]);
    at("registry import absent.toml --registry r.redb").assert_failed(1, &["absent.toml"]);
}

#[test]
fn a_registry_that_somebody_has_open_is_said_to_be_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    let scope = roundel::policy::Scope::default();
    let held = roundel::aws::registry::Registry::open(&path, scope).unwrap();
    let line = ["registry", "export", "--registry", "r.redb"];
    run(folder.path(), &line).assert_failed(1, &["r.redb", "in use", "running broker"]);
    drop(held);
    run(folder.path(), &line).assert_done();
}

/// Killed at any moment, an import has happened or it has not.
#[test]
fn an_import_that_is_killed_leaves_all_of_it_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let export = |file: &str| run(folder.path(), &["registry", "export", "--registry", file]);
    let mut things = vec![0];
    for round in 1..=40u32 {
        // A machine that has much to do needs more time until the first one gets to its end.
        if round > 12 && things[things.len() - 1] > 0 {
            break;
        }
        let mut fleet = String::new();
        for number in 0..300 {
            writeln!(fleet, "[things.r{round}-{number}]").unwrap();
        }
        fs::write(folder.path().join("fleet.toml"), fleet).unwrap();
        let line = ["registry", "import", "fleet.toml", "--registry", "r.redb"];
        let mut command = roundel(folder.path(), &line);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // Sooner and later, from before the file is there until after the end.
        std::thread::sleep(Duration::from_millis(u64::from(round * round)));
        child.kill().unwrap();
        let answered = !child.wait_with_output().unwrap().stdout.is_empty();
        if !folder.path().join("r.redb").exists() {
            continue;
        }
        let exported = export("r.redb");
        exported.assert_done();
        let count = exported.stdout.matches("[things.").count();
        let before = things[things.len() - 1];
        let is_done = count == before + 300;
        assert!(
            is_done || (count == before && !answered),
            "{before}, {count}"
        );
        things.push(count);
    }
    assert!(things[things.len() - 1] > 0, "none got to its end");
}

/// A broker with nothing but defaults and free ports, and what it says on standard error.
fn serve(folder: &Path, flags: &[&str], log: &str) -> Broker {
    let mut command = roundel(folder, &["serve", "--ready", "json", "--http-port", "off"]);
    command.args(["--mqtts-port", "0"]).args(flags);
    Broker::spawn(command.stderr(File::create(folder.join(log)).unwrap()))
}

#[test]
fn a_broker_keeps_its_registry_beside_its_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let at = |line: &str| run(folder.path(), &line.split(' ').collect::<Vec<_>>());
    fs::write(folder.path().join("fleet.toml"), "[things.car1]").unwrap();
    let first = serve(folder.path(), &["--fleet", "fleet.toml"], "first");
    let path = folder.path().join("certs/registry.redb");
    assert!(path.exists());
    let second = serve(folder.path(), &[], "second");
    for broker in [second, first] {
        broker.signal("-TERM");
        assert_eq!(broker.wait().code(), Some(0));
    }
    let said = |log: &str| fs::read_to_string(folder.path().join(log)).unwrap();
    for (log, count) in [("first", 0), ("second", 1)] {
        let said = said(log);
        assert_eq!(said.matches("another broker has").count(), count, "{said}");
        assert_eq!(said.matches(" WARN ").count(), count, "{said}");
    }
    let kept = at("registry export --registry certs/registry.redb");
    assert!(kept.stdout.contains("[things.car1]"), "{}", kept.stdout);
    // One that is named is wanted.
    let held = roundel::aws::registry::Registry::open(&path, Default::default()).unwrap();
    at("serve --registry certs/registry.redb --mqtts-port 0 --http-port off")
        .assert_ended(1, &["--registry", "certs/registry.redb", "in use"]);
    drop(held);
}

#[test]
fn a_folder_that_takes_no_registry_is_named_with_the_flag_that_takes_another() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody can write there, whoever runs the tests.
    let own = "serve --mqtts-port off --mqtt-port 0 --http-port off --certs /proc";
    let line: Vec<_> = own.split(' ').collect();
    run(folder.path(), &line).assert_ended(1, &["/proc/registry.redb", "--registry"]);
}

/// AWS-ID-54
#[test]
fn a_policy_of_another_account_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = FLEET.split("[thing_groups").next().unwrap();
    let fleet = fleet.replace(r#""*"}}"#, r#""arn:aws:iot:eu-central-1:1:*"}}"#);
    fs::write(folder.path().join("fleet.toml"), fleet).unwrap();
    let config = "[aws]\nmatch_any_account = true\n";
    fs::write(folder.path().join("any.toml"), config).unwrap();
    for (flags, level) in [(&[][..], "WARN"), (&["--config", "any.toml"], "INFO")] {
        let flags = [&["--fleet", "fleet.toml", "--registry", "memory"], flags].concat();
        let broker = serve(folder.path(), &flags, "log");
        broker.signal("-TERM");
        broker.wait();
        let said = fs::read_to_string(folder.path().join("log")).unwrap();
        let lines: Vec<_> = said.lines().filter(|l| l.contains("account")).collect();
        assert_eq!(lines.len(), 1, "{said}");
        for word in [level, "policy=all", "arn:aws:iot:eu-central-1:1:*"] {
            assert!(lines[0].contains(word), "no {word} in {said}");
        }
    }
}
