//! `roundel registry`.

use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

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
    for round in 1..=12u32 {
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
