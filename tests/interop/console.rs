//! The console in a real browser: Debian's Chromium, driven by playwright-core.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::broker::{binary, file, without_settings};
use crate::process::Process;
use crate::report;
use crate::trial;

/// For all cases, each of which has bounds of its own, on a machine that does much else.
const WITHIN: Duration = Duration::from_secs(240);

/// Cases that the program reports.
const CASES: [&str; 22] = [
    "axe",
    "empty",
    "hidden",
    "hostile",
    "keys",
    "restart",
    "group",
    "clients",
    "topics",
    "messages",
    "messagesFlood",
    "testClient",
    "certificates",
    "identity",
    "quickStart",
    "clock",
    "faults",
    "crowded",
    "fleet",
    "places",
    "flood",
    "stop",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("console::in_chromium", in_chromium),
        trial("console::types_and_lint", types_and_lint),
    ]
}

/// The files have the types that they say, and nothing that a linter stops at.
fn types_and_lint() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = file("node_modules/.bin");
    let run = |tool: &str, words: &[&str]| {
        let mut command = Command::new(tools.join(tool));
        command.current_dir(root).args(words);
        Process::start(tool, &mut command).finish()
    };
    let own = ["", "pages", "parts"].map(|folder| root.join("console").join(folder));
    let own = own
        .iter()
        .flat_map(|folder| folder.read_dir().expect("a folder"));
    let own = own.map(|entry| entry.expect("an entry").path());
    let own: Vec<_> = own
        .filter(|path| path.extension().is_some_and(|end| end == "js"))
        .collect();
    assert!(own.len() > 15, "{own:?}");
    for path in &own {
        let text = std::fs::read_to_string(path).expect("a script");
        let lines = text.lines().count();
        assert!(lines < 250, "{path:?} has {lines} lines");
        assert!(!text.contains("@ts-nocheck"), "{path:?} is not checked");
    }
    let checked = run("tsc", &["-p", "tests/console", "--listFiles"]);
    for path in own {
        assert!(
            checked.iter().any(|line| Path::new(line) == path),
            "{path:?} is not checked"
        );
    }
    let lint = ["lint", "--config-path=tests/console", "--error-on-warnings"];
    let files = [
        "console/pages",
        "console/parts",
        "console/app.css",
        "console/app.js",
    ];
    let more = [
        "console/api.js",
        "console/store.js",
        "tests/interop/clients/console",
        "tests/interop/clients/console.mjs",
        "benches/console",
    ];
    run("biome", &[&lint[..], &files, &more].concat());
}

fn in_chromium() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("node");
    without_settings(&mut command);
    command
        .arg(file("clients").join("console.mjs"))
        .arg(binary())
        .arg(folder.path());
    let lines = Process::start("console.mjs", &mut command).finish_within(WITHIN);
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
