//! What the tests measured and which client passed what, printed once at the end.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// The cases of the matrix, in the order of its columns.
pub(crate) const CASES: [&str; 7] = [
    "qos0", "qos1", "qos2", "shared", "will", "retained", "resume",
];

static FIGURES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static MATRIX: Mutex<BTreeMap<String, Vec<(String, bool)>>> = Mutex::new(BTreeMap::new());

/// Adds a line that says what a test measured.
pub(crate) fn figure(line: String) {
    FIGURES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(line);
}

/// Adds the results of one client over one transport to the matrix.
pub(crate) fn row(name: &str, results: Vec<(String, bool)>) {
    MATRIX
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.to_owned(), results);
}

/// Prints the matrix and the figures.
///
/// # Errors
///
/// Standard output is closed.
pub(crate) fn print() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let matrix = MATRIX.lock().unwrap_or_else(PoisonError::into_inner);
    if !matrix.is_empty() {
        write!(out, "\n{:36}", "client")?;
        for case in CASES {
            write!(out, "{case:>9}")?;
        }
        writeln!(out)?;
    }
    for (name, results) in matrix.iter() {
        write!(out, "{name:36}")?;
        for case in CASES {
            let result = results.iter().find(|(name, _)| name == case);
            let cell = match result {
                Some((_, true)) => "ok",
                Some((_, false)) => "FAILED",
                None => "-",
            };
            write!(out, "{cell:>9}")?;
        }
        writeln!(out)?;
    }
    let figures = FIGURES.lock().unwrap_or_else(PoisonError::into_inner);
    if !figures.is_empty() {
        writeln!(out)?;
    }
    for line in figures.iter() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
