//! The beginning of a text that somebody sent, for where all of it would be too much. What was left out is shown
//! by `…`.

use std::borrow::Cow;

const MORE: char = '…';

/// At most so many characters of a text, besides the sign that there are more.
#[cfg(any(test, feature = "http"))]
pub(crate) fn beginning(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}{MORE}", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// At most so many bytes of a text, with the sign that there are more.
pub(crate) fn within(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return text.into();
    }
    let room = bytes.saturating_sub(MORE.len_utf8());
    let ends = text.char_indices().map(|(at, _)| at);
    let end = ends.take_while(|at| *at <= room).last().unwrap_or_default();
    format!("{}{MORE}", text.get(..end).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        assert_eq!(beginning("üüü", 3), "üüü");
        assert_eq!(beginning("üüü", 2), "üü…");
        assert_eq!(within("üüü", 6), "üüü");
        assert_eq!(within("üüüx", 6), "ü…");
        assert_eq!(within("xüüü", 6), "xü…");
        assert_eq!(within(&"x".repeat(9), 8).len(), 8);
    }
}
