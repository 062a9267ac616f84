//! Text that others chose, made harmless: it neither ends a line nor looks like something else.

use std::fmt::{self, Write};

/// Bytes of a value that a line shows; a peer may send 65,535 in one name.
pub(super) const SHOWN: usize = 1024;

/// Takes text of any length and keeps its start.
#[derive(Debug, Default)]
pub(super) struct Cut {
    kept: String,
    /// Bytes of the whole text.
    length: usize,
}

impl Cut {
    pub(super) fn of(value: impl fmt::Display) -> Self {
        let mut cut = Self::default();
        // A value whose own formatting fails shows what it had written.
        let _ = write!(cut, "{value}");
        cut
    }

    /// The text, or its start with an ellipsis and the length of the whole.
    pub(super) fn into_text(mut self) -> String {
        if self.length > self.kept.len() {
            let _ = write!(self.kept, "… ({} bytes)", self.length); // a String takes all
        }
        self.kept
    }
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_whole = self.length == self.kept.len();
        self.length += text.len();
        if is_whole {
            let room = SHOWN.saturating_sub(self.kept.len()).min(text.len());
            let start = (0..=room).rev().find_map(|end| text.get(..end));
            self.kept.push_str(start.unwrap_or_default());
        }
        Ok(())
    }
}

/// Appends the value of a `key=value` pair: as it is where that is clear, else between quotes with the
/// escapes of JSON.
pub(super) fn push_value(line: &mut String, text: &str) {
    let is_plain = |c: char| !matches!(c, ' ' | '=' | '"' | '\\') && is_printing(c);
    push(line, text, !text.is_empty() && text.chars().all(is_plain));
}

/// Appends a message: the same, but spaces need no quotes. So the pairs behind it begin with the
/// first `=` of the line, or it has quotes.
pub(super) fn push_message(line: &mut String, text: &str) {
    let is_plain = |c: char| !matches!(c, '=' | '"' | '\\') && is_printing(c);
    push(line, text, !text.is_empty() && text.chars().all(is_plain));
}

fn push(line: &mut String, text: &str, is_plain: bool) {
    if is_plain {
        line.push_str(text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            _ => push_printing(line, c),
        }
    }
    line.push('"');
}

/// Appends a character, or the escape that JSON has for it.
pub(super) fn push_printing(line: &mut String, c: char) {
    match c {
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        c if is_printing(c) => line.push(c),
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}"); // a String takes all
            }
        }
    }
}

/// A text in which nothing but spaces and what shows itself is left as it is.
pub(in crate::cli) fn printing(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        push_printing(&mut line, c);
    }
    line
}

/// Whether a character shows itself and changes nothing else: no controls, no marks that turn the
/// direction of writing, no invisible ones, no spaces but the usual one.
pub(super) fn is_printing(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library knows what is printable, and says so by leaving it as it is. Behind a
    // letter, so that marks which belong to the letter before them count as printable.
    let mut bytes = [b'a'; 5];
    let length = bytes
        .get_mut(1..)
        .map_or(0, |rest| c.encode_utf8(rest).len());
    let pair = bytes.get(..=length).unwrap_or_default();
    std::str::from_utf8(pair).is_ok_and(|pair| pair.escape_debug().eq(pair.chars()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        let mut line = String::new();
        push_value(&mut line, text);
        line
    }

    #[test]
    fn a_value_stands_as_it_is_where_that_is_clear() {
        for text in [
            "car1",
            "127.0.0.1:8883",
            "$share/g/a/#",
            "größe",
            "हिन्दी",
            "{}",
            "it's",
        ] {
            assert_eq!(value(text), text);
        }
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_quoted() {
        for (text, written) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a=b", r#""a=b""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("a\r\n\tb", r#""a\r\n\tb""#),
            ("\u{1b}[31m", r#""\u001b[31m""#),
            ("\0\u{7f}\u{9b}", r#""\u0000\u007f\u009b""#),
            // Marks of direction, separators of lines, what nobody sees.
            ("\u{202e}\u{2066}\u{200f}", r#""\u202e\u2066\u200f""#),
            (
                "\u{2028}\u{2029}\u{85}\u{a0}",
                r#""\u2028\u2029\u0085\u00a0""#,
            ),
            ("\u{200b}\u{feff}\u{ad}", r#""\u200b\ufeff\u00ad""#),
            // One of the tags, beyond the first plane.
            ("\u{e0041}", r#""\udb40\udc41""#),
        ] {
            assert_eq!(value(text), written, "{text:?}");
        }
    }

    #[test]
    fn a_quoted_value_reads_back_as_json() {
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let text = format!("{c} ");
            let line = value(&text);
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
            assert!(line.chars().all(is_printing), "{line:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_how_long_it_was() {
        let whole = "x".repeat(SHOWN);
        assert_eq!(Cut::of(&whole).into_text(), whole);
        let long = "x".repeat(65_535);
        assert_eq!(
            Cut::of(&long).into_text(),
            format!("{whole}… (65535 bytes)")
        );
        // Not in the middle of a character, and in many parts.
        let mut cut = Cut::default();
        for _ in 0..1000 {
            cut.write_str("größe").unwrap();
        }
        let text = cut.into_text();
        assert!(text.ends_with("… (7000 bytes)"), "{text}");
        assert!(text.len() < SHOWN + 20);
    }
}
