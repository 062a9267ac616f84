//! The packages of `fixtures/`, by their own tests.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;

use crate::broker::{binary, python};
use crate::process::Process;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("fixtures::package_for_python", package_for_python)]
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
