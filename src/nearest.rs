//! What somebody may have meant by a name that does not exist.

use strsim::levenshtein;

/// How many letters of a name may be wrong: one of so many.
const LETTERS: usize = 3;

/// The known name that differs least from the wanted one, if they differ by little: in every third letter at most.
/// In short words nearly any other word would be a few letters away.
pub(crate) fn nearest<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let differing = known
        .into_iter()
        .map(|name| (levenshtein(wanted, name), name));
    let (edits, name) = differing.min()?;
    let length = wanted.chars().count().max(name.chars().count());
    (edits <= length / LETTERS).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_by_little_is_meant() {
        let known = ["log", "http_port", "in_flight", "topic_length"];
        for (wanted, expected) in [
            ("foo", None),
            ("zzzzzzzzz", None),
            ("", None),
            ("lo", Some("log")),
            ("logs", Some("log")),
            ("http_prot", Some("http_port")),
            ("inflight", Some("in_flight")),
            ("topic_lenght", Some("topic_length")),
            ("topic", None),
        ] {
            assert_eq!(nearest(wanted, known), expected, "{wanted}");
        }
        assert_eq!(nearest("a", []), None);
    }
}
