//! The secrets of TLS connections, for whoever is to read what went over them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::KeyLog;

use crate::auth::hex;

/// A file that gets a line for each secret, in the format that NSS began and Wireshark reads.
#[derive(Debug)]
pub(super) struct KeyLogFile {
    /// Opened for appending, so that each line is written behind all others, whoever writes them.
    file: File,
    has_failed: AtomicBool,
}

impl KeyLogFile {
    /// Opens a file, or makes it with its owner as its only reader.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        tracing::warn!(
            path = %path.display(),
            "whoever can read this file can read all that goes over TLS here (`keylog`)"
        );
        Ok(Self {
            file,
            has_failed: AtomicBool::new(false),
        })
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let written = (&self.file).write_all(line.as_bytes());
        if let Err(error) = written
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            tracing::error!("secrets of TLS are missing from the key log: {error}");
        }
    }
}
