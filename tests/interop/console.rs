//! The console in a real browser: Debian's Chromium, driven by playwright-core.

use std::process::Command;

use libtest_mimic::Trial;

use crate::broker::{binary, file, without_settings};
use crate::process::Process;
use crate::report;
use crate::trial;

/// Cases that the program reports.
const CASES: [&str; 12] = [
    "axe", "empty", "hidden", "hostile", "keys", "restart", "group", "clients", "crowded", "places",
    "flood", "stop",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("console::in_chromium", in_chromium)]
}

fn in_chromium() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("node");
    without_settings(&mut command);
    command
        .arg(file("clients").join("console.mjs"))
        .arg(binary())
        .arg(folder.path());
    let lines = Process::start("console.mjs", &mut command).finish();
    for line in &lines {
        if let Some(figure) = line.strip_prefix("figure: ") {
            report::figure(format!("console: {figure}"));
        }
    }
    let outcomes: Vec<serde_json::Value> = lines
        .iter()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("an outcome is JSON"))
        .collect();
    for outcome in &outcomes {
        assert_eq!(outcome["ok"], true, "{outcome:#}");
    }
    let cases: Vec<_> = outcomes.iter().map(|outcome| &outcome["case"]).collect();
    assert_eq!(cases, CASES, "the program reports other cases");
}
