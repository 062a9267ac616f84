//! Which topics a filter matches: the one place that knows the rules.

use super::levels::{after, common_prefix, first_level};

/// Whether a filter that ends in `/#` also matches the level before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashParent {
    /// `a/#` matches `a`, `a/` and `a/b`, as MQTT 5 section 4.7.1.2 has it.
    Matches,
    /// `a/#` matches `a/` and `a/b` but not `a` (AWS-MQTT-12).
    Excluded,
}

/// Whether a legal Topic Filter (without `$share`) matches a legal Topic Name.
pub fn matches(filter: &str, topic: &str, parent: HashParent) -> bool {
    if !wildcards_reach(topic.as_bytes()) && starts_with_wildcard(filter.as_bytes()) {
        return false;
    }
    match compare(filter.as_bytes(), topic.as_bytes()) {
        Compared::Differ => false,
        Compared::Everything => true,
        Compared::Left {
            filter: None,
            topic,
        } => topic.is_none(),
        Compared::Left {
            filter: Some(filter),
            ..
        } => ends_in_parent(filter, parent),
    }
}

/// Whether filters that start with a wildcard may match this topic: not if it starts with `$`
/// (MQTT-4.7.2-1).
pub(super) fn wildcards_reach(topic: &[u8]) -> bool {
    topic.first() != Some(&b'$')
}

/// Whether the first level of a filter is `+` or `#`.
pub(super) fn starts_with_wildcard(filter: &[u8]) -> bool {
    matches!(filter.first(), Some(b'+' | b'#'))
}

/// Whether a topic that ended where `filter` goes on is matched nevertheless, as its parent.
pub(super) fn ends_in_parent(filter: &[u8], parent: HashParent) -> bool {
    filter == b"#" && parent == HashParent::Matches
}

/// How far a filter and a topic, or pieces of them, go together.
pub(super) enum Compared<'f, 't> {
    /// A level differs.
    Differ,
    /// The filter reached `#` while the topic had a level for it: it matches whatever follows.
    Everything,
    /// All levels match up to the end of one or both; this is left of each.
    Left {
        filter: Option<&'f [u8]>,
        topic: Option<&'t [u8]>,
    },
}

/// Compares a filter and a topic, or pieces of them, level by level. Knows `+` and `#`, not `$`.
///
/// A wildcard differs from anything that a legal topic has at its place, and in a legal filter it
/// begins a level; so the first difference decides, without looking at single levels before it.
pub(super) fn compare<'f, 't>(filter: &'f [u8], topic: &'t [u8]) -> Compared<'f, 't> {
    let (mut filter_at, mut topic_at) = (0, 0);
    loop {
        let (filter_left, topic_left) = (&filter[filter_at..], &topic[topic_at..]);
        let same = common_prefix(filter_left, topic_left);
        filter_at += same;
        topic_at += same;
        match (filter.get(filter_at), topic.get(topic_at)) {
            (Some(b'#'), _) => return Compared::Everything,
            (Some(b'+'), _) => {
                filter_at += 1;
                topic_at += first_level(&topic[topic_at..]).len();
            }
            (None | Some(b'/'), None | Some(b'/')) => {
                let filter = after(filter, filter_at);
                return Compared::Left {
                    filter,
                    topic: after(topic, topic_at),
                };
            }
            _ => return Compared::Differ,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{book, strategies};
    use super::*;

    proptest! {
        /// MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.2-1, AWS-MQTT-12
        #[test]
        fn matching_goes_by_the_book(
            filter in strategies::filter(),
            topic in strategies::topic(),
            parent in strategies::parent(),
        ) {
            let expected = book::matches(&filter, &topic, parent);
            prop_assert_eq!(matches(&filter, &topic, parent), expected);
        }
    }

    fn assert_matches(filter: &str, topics: &[&str]) {
        for topic in topics {
            assert!(
                matches(filter, topic, HashParent::Matches),
                "{filter} matches {topic}"
            );
        }
    }

    fn assert_differs(filter: &str, topics: &[&str]) {
        for topic in topics {
            assert!(
                !matches(filter, topic, HashParent::Matches),
                "{filter} differs from {topic}"
            );
        }
    }

    /// MQTT-4.7.1-1
    #[test]
    fn hash_matches_any_number_of_levels() {
        assert_matches("#", &["a", "/", "/a", "a/b/c"]);
        assert_matches("a/#", &["a", "a/", "a/b", "a/b/c"]);
        assert_differs("a/#", &["b", "ab", "/a", "ab/c"]);
        assert_matches("/#", &["/", "/a", "/a/b"]);
    }

    /// MQTT-4.7.1-2
    #[test]
    fn plus_matches_one_level_and_an_empty_one() {
        assert_matches("+", &["a"]);
        assert_differs("+", &["/", "/a", "a/"]);
        assert_matches("+/+", &["/a", "/", "a/b"]);
        assert_matches("a/+", &["a/", "a/b"]);
        assert_differs("a/+", &["a", "a/b/c"]);
        assert_matches("a/+/c", &["a//c", "a/b/c"]);
        assert_matches("+/#", &["a", "a/", "/", "a/b/c"]);
    }

    /// MQTT-4.7.2-1
    #[test]
    fn leading_wildcard_does_not_match_dollar_topics() {
        assert_differs("#", &["$SYS", "$SYS/x", "$"]);
        assert_differs("+/x", &["$SYS/x"]);
        assert_differs("+/#", &["$SYS/x"]);
        assert_matches("$SYS/#", &["$SYS", "$SYS/x"]);
        assert_matches("$SYS/+", &["$SYS/x"]);
        assert_matches("a/+", &["a/$x"]);
        assert_matches("+/$x", &["a/$x"]);
    }

    /// MQTT-4.7.3-4
    #[test]
    fn matching_compares_bytes_without_normalising() {
        assert_differs("\u{e9}", &["e\u{301}"]);
        assert_differs("Abc", &["abc"]);
        assert_differs("a", &["a/", "/a"]);
        assert_differs("a/b", &["a//b", "a/b/"]);
        assert_matches("e\u{301}/a//b", &["e\u{301}/a//b"]);
    }

    /// AWS-MQTT-12
    #[test]
    fn hash_excludes_its_parent_when_told_to() {
        let excluded = |filter, topic| matches(filter, topic, HashParent::Excluded);
        assert!(!excluded("sensor/#", "sensor"));
        assert!(excluded("sensor/#", "sensor/"));
        assert!(excluded("sensor/#", "sensor/a/b"));
        assert!(excluded("#", "sensor"));
        assert!(!excluded("+/#", "sensor"));
    }
}
