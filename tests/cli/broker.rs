//! A broker as a child process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::roundel;

/// A running broker, killed when the test is over.
pub(crate) struct Broker {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) ready: Value,
}

impl Broker {
    pub(crate) fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut command = roundel(folder, &["serve", "--ready", "json", "--http-port", "off"]);
        Self::spawn(command.args(flags))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = streams.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line).unwrap();
        Self {
            input: child.stdin.take(),
            child,
            ready,
        }
    }

    pub(crate) fn address(&self, listener: &str) -> &str {
        self.ready["listeners"][listener].as_str().unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end, which must come within two seconds and some of the machine's slowness.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let start = Instant::now();
        let status = self.child.wait().unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{:?}",
            start.elapsed()
        );
        status
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
