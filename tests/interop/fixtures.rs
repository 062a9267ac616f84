//! The packages of `fixtures/`, by their own tests.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;

use crate::broker::{binary, file, python};
use crate::process::Process;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("fixtures::package_for_python", package_for_python),
        trial("fixtures::package_for_node", package_for_node),
    ]
}

fn package_for_node() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/node");
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter", "tap", "test/"]);
    command.env("ROUNDEL_BINARY", binary());
    let mqttjs = file("node_modules").join("mqtt/build/index.js");
    command.env("ROUNDEL_TEST_MQTTJS", mqttjs);
    command.current_dir(&folder);
    let lines = Process::start("node --test", &mut command).finish();
    for summary in ["# fail 0", "# skipped 0", "# todo 0"] {
        assert!(lines.iter().any(|line| line == summary), "{lines:#?}");
    }
}

fn package_for_python() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/python");
    let mut command: Command = python();
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    command.env("PYTHONPATH", folder.join("src"));
    command.env("ROUNDEL_BINARY", binary());
    command.current_dir(&folder);
    let lines = Process::start("pytest", &mut command).finish();
    let last = lines.last().expect("a summary");
    assert!(last.contains(" passed"), "{last}");
    assert!(!last.contains("skipped"), "{last}");
}
