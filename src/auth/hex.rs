//! Bytes as text: what identifies a certificate, and what a signature is compared by.

use std::fmt::Write as _;

/// Hexadecimal digits, in small letters.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let text = String::with_capacity(2 * bytes.len());
    bytes.iter().fold(text, |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes whatever is written
        text
    })
}
