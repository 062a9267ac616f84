//! The end that nobody wished for: one line on standard error and an exit status.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

/// Why the program ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// Flags or configuration that cannot be taken: status 2.
    pub(crate) fn misuse(error: impl Error) -> Self {
        Self {
            status: 2,
            message: chain(&error),
        }
    }

    /// What the machine refused: status 1.
    pub(crate) fn machine(error: impl Error) -> Self {
        Self::refused(chain(&error))
    }

    /// The same, where there is no error but a sentence.
    pub(crate) fn refused(message: String) -> Self {
        Self { status: 1, message }
    }

    /// The same as [`Self::misuse`], where there is no error but a sentence.
    pub(crate) fn misused(message: String) -> Self {
        Self { status: 2, message }
    }

    /// With what to do about it.
    #[cfg(any(feature = "tls", feature = "aws"))]
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.message = format!("{} ({hint})", self.message);
        self
    }

    /// With what it is about in front.
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What is wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Says it, and turns into the exit status.
    pub(crate) fn report(self) -> ExitCode {
        // The status says it too, should nobody read this.
        let line = super::log::printing(&self.message);
        let _ = writeln!(std::io::stderr(), "roundel: {line}");
        ExitCode::from(self.status)
    }
}

/// An error with its causes, on one line. Some messages state their cause themselves.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}
