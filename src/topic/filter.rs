//! The checks that every Topic Name and Topic Filter passes before anything else sees it.

use super::TopicError;

/// Longest topic or filter, in bytes as UTF-8 (MQTT-4.7.3-3).
const MAX_BYTES: usize = 65_535;

/// Checks a Topic Name: of a PUBLISH, a will, or a Response Topic.
///
/// # Errors
///
/// When it is empty or too long, or has a wildcard or U+0000 in it (MQTT-4.7.0-1, MQTT-4.7.3-1 to
/// -3).
pub fn check_topic_name(topic: &str) -> Result<(), TopicError> {
    check_length(topic)?;
    if !has_any(topic, |byte| (byte == 0) | (byte == b'+') | (byte == b'#')) {
        return Ok(());
    }
    match topic
        .char_indices()
        .find(|(_, character)| matches!(character, '\0' | '+' | '#'))
    {
        Some((at, '\0')) => Err(TopicError::Nul { at }),
        Some((at, wildcard)) => Err(TopicError::WildcardInName { wildcard, at }),
        None => Ok(()),
    }
}

/// A legal subscription filter, split into its share and its Topic Filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter<'a> {
    /// The ShareName, when the subscription is shared.
    pub share: Option<&'a str>,
    /// The Topic Filter: what follows `$share/{ShareName}/`, or else the whole.
    pub filter: &'a str,
    /// The whole, as the client sent it.
    pub full: &'a str,
}

impl<'a> Filter<'a> {
    /// Checks and splits the filter of a SUBSCRIBE or UNSUBSCRIBE.
    ///
    /// # Errors
    ///
    /// When it is empty or too long, has U+0000 in it, a wildcard stands at a wrong place
    /// (MQTT-4.7.1-1, -2, MQTT-4.7.3-1 to -3), or what begins with `$share` is not
    /// `$share/{ShareName}/{filter}` (MQTT-4.8.2-1, -2).
    pub fn parse(full: &'a str) -> Result<Self, TopicError> {
        check_length(full)?;
        let (share, filter) = split_share(full)?;
        check_wildcards(filter, full.len() - filter.len())?;
        Ok(Self {
            share,
            filter,
            full,
        })
    }

    /// Whether the Topic Filter has a `+` or `#`, so that it may match several topics.
    pub fn has_wildcard(&self) -> bool {
        has_wildcard(self.filter)
    }
}

/// Whether the bytes `+` or `#` occur; in a legal filter they are wildcards wherever they do.
pub(super) fn has_wildcard(filter: &str) -> bool {
    has_any(filter, |byte| (byte == b'+') | (byte == b'#'))
}

/// Whether any byte is one of those wanted.
///
/// Looks at 16 bytes at a time and without an early exit among them, which the compiler turns into
/// vector instructions; nearly all texts have none of the bytes anyway.
fn has_any(text: &str, wanted: impl Fn(u8) -> bool) -> bool {
    let found = |chunk: &[u8; 16]| {
        chunk
            .iter()
            .fold(0, |found, &byte| found | u8::from(wanted(byte)))
    };
    let bytes = text.as_bytes();
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().any(|&byte| wanted(byte));
    };
    let (chunks, _) = bytes.as_chunks();
    found(last) != 0 || chunks.iter().any(|chunk| found(chunk) != 0)
}

fn check_length(topic: &str) -> Result<(), TopicError> {
    match topic.len() {
        0 => Err(TopicError::Empty),
        bytes if bytes > MAX_BYTES => Err(TopicError::TooLong { bytes }),
        _ => Ok(()),
    }
}

/// The ShareName, if the first level is `$share`, and the Topic Filter.
fn split_share(full: &str) -> Result<(Option<&str>, &str), TopicError> {
    let Some(shared) = full.strip_prefix("$share") else {
        return Ok((None, full));
    };
    if shared.is_empty() {
        return Err(TopicError::ShareNameEmpty);
    }
    let Some(rest) = shared.strip_prefix('/') else {
        return Ok((None, full));
    };
    let (name, filter) = rest.split_once('/').unwrap_or((rest, ""));
    let name_at = full.len() - rest.len();
    if name.is_empty() {
        return Err(TopicError::ShareNameEmpty);
    }
    match name
        .char_indices()
        .find(|(_, character)| matches!(character, '\0' | '+' | '#'))
    {
        Some((at, '\0')) => return Err(TopicError::Nul { at: name_at + at }),
        Some((at, character)) => {
            return Err(TopicError::ShareNameCharacter {
                character,
                at: name_at + at,
            });
        }
        None => {}
    }
    if filter.is_empty() {
        return Err(TopicError::ShareFilterMissing);
    }
    Ok((Some(name), filter))
}

/// Checks the bytes of a Topic Filter that begins at byte `base` of the whole.
fn check_wildcards(filter: &str, base: usize) -> Result<(), TopicError> {
    let bytes = filter.as_bytes();
    let level_begins = |at: usize| at == 0 || bytes.get(at - 1) == Some(&b'/');
    for (index, byte) in bytes.iter().enumerate() {
        let next = bytes.get(index + 1);
        let at = base + index;
        match byte {
            0 => return Err(TopicError::Nul { at }),
            b'#' if !level_begins(index) || next.is_some() => {
                return Err(TopicError::MultiLevelPlace { at });
            }
            b'+' if !level_begins(index) || !matches!(next, None | Some(b'/')) => {
                return Err(TopicError::SingleLevelPlace { at });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(filter: &str) -> TopicError {
        Filter::parse(filter).expect_err(filter)
    }

    /// MQTT-4.7.0-1, MQTT-4.7.3-1, MQTT-4.7.3-2
    #[test]
    fn topic_name_has_no_wildcard_no_nul_and_is_not_empty() {
        for legal in [
            "a",
            "/",
            "//",
            "a b/é/$x",
            "$share/g/t",
            "$aws/things/t/shadow/update",
        ] {
            assert_eq!(check_topic_name(legal), Ok(()), "{legal}");
        }
        assert_eq!(check_topic_name(""), Err(TopicError::Empty));
        assert_eq!(check_topic_name("é/\0"), Err(TopicError::Nul { at: 3 }));
        for (illegal, wildcard) in [("ab+", '+'), ("+/a", '+'), ("a/#", '#'), ("a#b", '#')] {
            let at = illegal.find(wildcard).expect("wildcard");
            let expected = Err(TopicError::WildcardInName { wildcard, at });
            assert_eq!(check_topic_name(illegal), expected, "{illegal}");
        }
    }

    /// MQTT-4.7.3-3
    #[test]
    fn topics_and_filters_take_up_to_65535_bytes() {
        let longest = "x".repeat(MAX_BYTES);
        assert_eq!(check_topic_name(&longest), Ok(()));
        assert!(Filter::parse(&longest).is_ok());
        let longer = "x".repeat(MAX_BYTES + 1);
        assert_eq!(
            check_topic_name(&longer),
            Err(TopicError::TooLong { bytes: 65_536 })
        );
        assert_eq!(refusal(&longer), TopicError::TooLong { bytes: 65_536 });
    }

    /// MQTT-4.7.1-1
    #[test]
    fn hash_stands_alone_in_the_last_level() {
        for legal in ["#", "/#", "a/#", "+/#"] {
            assert!(Filter::parse(legal).expect(legal).has_wildcard(), "{legal}");
        }
        for (illegal, at) in [("a#", 1), ("a/#/b", 2), ("#/a", 0), ("a/b#", 3), ("##", 0)] {
            assert_eq!(
                refusal(illegal),
                TopicError::MultiLevelPlace { at },
                "{illegal}"
            );
        }
    }

    /// MQTT-4.7.1-2
    #[test]
    fn plus_fills_its_level() {
        for legal in ["+", "+/a", "a/+/b", "a/+/#", "/+", "+/+/+"] {
            assert!(Filter::parse(legal).expect(legal).has_wildcard(), "{legal}");
        }
        for (illegal, at) in [("a+", 1), ("+a", 0), ("a/b+/c", 3), ("++", 0)] {
            assert_eq!(
                refusal(illegal),
                TopicError::SingleLevelPlace { at },
                "{illegal}"
            );
        }
    }

    /// MQTT-4.7.3-1, MQTT-4.7.3-2
    #[test]
    fn filter_is_not_empty_and_has_no_nul() {
        assert_eq!(refusal(""), TopicError::Empty);
        assert_eq!(refusal("a/\0"), TopicError::Nul { at: 2 });
        assert_eq!(refusal("$share/g/a\0"), TopicError::Nul { at: 10 });
        assert_eq!(refusal("$share/\0/a"), TopicError::Nul { at: 7 });
    }

    /// MQTT-4.8.2-1
    #[test]
    fn shared_filter_is_split_into_share_name_and_filter() {
        for (full, share, filter) in [
            ("$share/g/t", Some("g"), "t"),
            ("$share/g/a/+", Some("g"), "a/+"),
            ("$share/g//a", Some("g"), "/a"),
            ("$share/g/$aws/#", Some("g"), "$aws/#"),
            ("$shared/g/t", None, "$shared/g/t"),
            ("a/$share/g", None, "a/$share/g"),
        ] {
            assert_eq!(
                Filter::parse(full),
                Ok(Filter {
                    share,
                    filter,
                    full
                }),
                "{full}"
            );
        }
        assert!(!Filter::parse("$share/g/t").expect("legal").has_wildcard());
    }

    /// MQTT-4.8.2-1, MQTT-4.8.2-2
    #[test]
    fn malformed_shared_filters_are_refused() {
        for illegal in ["$share", "$share/", "$share//t"] {
            assert_eq!(refusal(illegal), TopicError::ShareNameEmpty, "{illegal}");
        }
        for illegal in ["$share/g", "$share/g/"] {
            assert_eq!(
                refusal(illegal),
                TopicError::ShareFilterMissing,
                "{illegal}"
            );
        }
        for (illegal, character) in [("$share/g+/t", '+'), ("$share/g#/t", '#')] {
            let expected = TopicError::ShareNameCharacter { character, at: 8 };
            assert_eq!(refusal(illegal), expected, "{illegal}");
        }
        assert_eq!(
            refusal("$share/g/a/#/b"),
            TopicError::MultiLevelPlace { at: 11 }
        );
    }
}
