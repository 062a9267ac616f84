//! The `roundel` program from outside: exit statuses, messages, files.

#![cfg(all(unix, feature = "cli", feature = "tls"))]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bad_tls;
#[cfg(feature = "aws")]
mod beside;
mod broker;
mod cert;
mod check_config;
#[cfg(feature = "aws")]
mod durability;
#[cfg(feature = "aws")]
mod env;
mod health;
mod key_log;
mod log;
mod manual;
mod mqtt;
mod passwd;
mod pki;
#[cfg(feature = "aws")]
mod policy;
#[cfg(feature = "aws")]
mod preset;
#[cfg(feature = "aws")]
mod registry;
mod reload;
mod serve;
mod stop;
#[path = "../support/store.rs"]
mod store;
mod trust;
mod unix_socket;

use std::path::Path;
use std::process::{Command, Stdio};

/// What a finished program left behind.
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// Asserts an exit status and one line on standard error that contains every word.
    #[track_caller]
    fn assert_failed(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        for word in words {
            assert!(
                self.stderr.contains(word),
                "no {word:?} in {:?}",
                self.stderr
            );
        }
    }

    /// The same of a program whose log stands before that line.
    #[cfg(feature = "aws")]
    #[track_caller]
    fn assert_ended(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{}", self.stderr);
        let last = self.stderr.lines().last().unwrap_or_default();
        for word in words {
            assert!(last.contains(word), "no {word:?} in {:?}", self.stderr);
        }
    }

    #[track_caller]
    fn assert_done(&self) {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        assert_eq!(self.stderr, "");
    }
}

/// Has `serve` listen for MQTT without TLS at a free port, and nothing else but HTTP.
const PLAIN_MQTT: [&str; 6] = [
    "--profile",
    "standard",
    "--mqtts-port",
    "off",
    "--mqtt-port",
    "0",
];

/// The program in a folder, without the variables of whoever runs the tests.
fn roundel(folder: &Path, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundel"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROUNDEL_") {
            command.env_remove(name);
        }
    }
    command.args(line).current_dir(folder).stdin(Stdio::null());
    command
}

fn finish(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(folder: &Path, line: &[&str]) -> Outcome {
    finish(&mut roundel(folder, line))
}
