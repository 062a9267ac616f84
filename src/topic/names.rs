//! Topics to values: the answer to "which topics does this filter match".
//!
//! The topics lie in order, level by level, so that everything below a level follows it directly. A
//! place in a walk is therefore just a text: everything in front of it was looked at, whatever came
//! and went since. A filter is answered by a scan that skips what it cannot match: from a topic that
//! differs it seeks the first text at which a match can be.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use super::filter::has_wildcard;
use super::levels::{common_prefix, first_level};
use super::matching::{starts_with_wildcard, wildcards_reach};
use super::walk::{Walk, spend};
use super::{HashParent, matches};

/// Topics that differ in a row before the scan seeks: a step to the next one is cheaper.
const IN_A_ROW: usize = 4;

/// Bytes of a topic and a filter that are compared in one step, where levels are short.
const COMPARED: usize = 16;

/// Bytes of two topics that are compared in one step, which ends at the first difference.
const ORDERED: usize = 256;

/// Steps of a seek besides its comparisons.
const SEEK: usize = 8;

/// What lies in [`Names`] under its topic.
pub trait Named {
    /// Its Topic Name, which never changes.
    fn topic(&self) -> &str;

    /// The same for a comparison, where it need not be shown to be text.
    fn topic_bytes(&self) -> &[u8] {
        self.topic().as_bytes()
    }
}

/// A set of things with a Topic Name, one for each, for retained messages.
///
/// It costs one pointer or so beside what it holds, and gives memory back. No call recurses,
/// whatever the topics, and none but [`visit_all`](Self::visit_all) and
/// [`visit_matches`](Self::visit_matches) takes longer than it is allowed to.
#[derive(Debug)]
pub struct Names<T> {
    entries: BTreeSet<Entry<T>>,
}

/// A place in a walk through [`Names`]; the default one is the beginning.
///
/// It holds across any change of the collection: what stays there during the whole walk is seen
/// exactly once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// What is not below this text is still to come.
    next: Option<Box<[u8]>>,
}

impl Position {
    /// The place behind a topic, whether there is such a topic or not.
    pub fn behind(topic: &str) -> Self {
        Self::at([topic.as_bytes(), b"/"].concat())
    }

    /// Bytes that it takes besides itself.
    pub fn size(&self) -> usize {
        self.next.as_ref().map_or(0, |next| next.len())
    }

    fn at(text: Vec<u8>) -> Self {
        let next = Some(text.into_boxed_slice());
        Self { next }
    }
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        let entries = BTreeSet::new();
        Self { entries }
    }
}

impl<T: Named> Names<T> {
    /// The number of topics.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no topics.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a value under its topic and returns the one that was there.
    pub fn insert(&mut self, value: T) -> Option<T> {
        self.entries.replace(Entry(value)).map(|Entry(old)| old)
    }

    /// The value of this topic.
    pub fn get(&self, topic: &str) -> Option<&T> {
        let key: &dyn Key = &topic.as_bytes();
        self.entries.get(key).map(|Entry(value)| value)
    }

    /// Removes a topic and returns its value.
    pub fn remove(&mut self, topic: &str) -> Option<T> {
        let key: &dyn Key = &topic.as_bytes();
        self.entries.take(key).map(|Entry(value)| value)
    }

    /// Calls `f` with every value whose topic `filter` matches, a legal Topic Filter without
    /// `$share`, in order. Agrees with [`matches()`].
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub fn visit_matches<'s>(&'s self, filter: &str, parent: HashParent, mut f: impl FnMut(&'s T)) {
        let (mut position, mut steps) = (Position::default(), usize::MAX);
        let mut walk = Walk::More;
        while walk == Walk::More {
            walk = self.visit_matches_from(filter, parent, &mut position, &mut steps, |value| {
                f(value);
                ControlFlow::Continue(())
            });
        }
    }

    /// Goes on with a walk at `position`: calls `f` with the values whose topics `filter` matches,
    /// until it returns `Break` or the steps are used up. Begin with the default position, and go
    /// on with the same filter only.
    ///
    /// A step is about 0.1 µs; what was used is taken off `steps`. At least one topic is looked at,
    /// and one topic and one seek may exceed the steps that there are.
    pub fn visit_matches_from<'s>(
        &'s self,
        filter: &str,
        parent: HashParent,
        position: &mut Position,
        steps: &mut usize,
        mut f: impl FnMut(&'s T) -> ControlFlow<()>,
    ) -> Walk {
        if !has_wildcard(filter) {
            if position.next.is_none() {
                spend(steps, self.seek_steps(filter.len()));
                let _ = self.get(filter).map(f);
            }
            return Walk::Done;
        }
        let mut bound = match position.next.take() {
            Some(next) => next.into_vec(),
            None => literal_beginning(filter.as_bytes()).to_vec(),
        };
        let mut entries = self.seek(&bound, steps);
        let mut in_a_row = 0;
        while let Some(Entry(value)) = entries.next() {
            let topic = value.topic();
            spend(steps, 1 + filter.len().min(topic.len()) / COMPARED);
            let mut flow = ControlFlow::Continue(());
            if matches(filter, topic, parent) {
                flow = f(value);
                in_a_row = 0;
            } else {
                in_a_row += 1;
            }
            if flow.is_break() || *steps == 0 {
                *position = Position::behind(topic);
                return Walk::More;
            }
            if in_a_row == IN_A_ROW {
                if !skip(filter.as_bytes(), topic.as_bytes(), &mut bound) {
                    return Walk::Done;
                }
                entries = self.seek(&bound, steps);
                in_a_row = 0;
            }
        }
        Walk::Done
    }

    /// Goes on with a walk through all topics, as [`visit_matches_from`](Self::visit_matches_from)
    /// does for those of a filter.
    pub fn visit_from<'s>(
        &'s self,
        position: &mut Position,
        steps: &mut usize,
        mut f: impl FnMut(&'s T) -> ControlFlow<()>,
    ) -> Walk {
        let start = position.next.take().unwrap_or_default();
        for Entry(value) in self.seek(&start, steps) {
            spend(steps, 1);
            if f(value).is_break() || *steps == 0 {
                *position = Position::behind(value.topic());
                return Walk::More;
            }
        }
        Walk::Done
    }

    /// Calls `f` with every value, in order.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub fn visit_all(&self, f: impl FnMut(&T)) {
        self.entries.iter().map(|Entry(value)| value).for_each(f);
    }

    /// What is not below `bound`.
    fn seek(
        &self,
        bound: &[u8],
        steps: &mut usize,
    ) -> std::collections::btree_set::Range<'_, Entry<T>> {
        spend(steps, self.seek_steps(bound.len()));
        let bound: &dyn Key = &bound;
        let range = (Bound::Included(bound), Bound::Unbounded);
        self.entries.range::<dyn Key, _>(range)
    }

    fn seek_steps(&self, len: usize) -> usize {
        let depth = self.entries.len().checked_ilog2().unwrap_or(0) as usize;
        SEEK + (1 + depth) * (1 + len / ORDERED)
    }
}

/// The levels in front of the first wildcard: no topic below this text is matched.
///
/// Without the separator behind them, as `a/#` may match `a`.
fn literal_beginning(filter: &[u8]) -> &[u8] {
    let wildcard = filter.iter().position(|byte| matches!(byte, b'+' | b'#'));
    let literal = &filter[..wildcard.unwrap_or(filter.len())];
    match wildcard {
        Some(_) => literal.strip_suffix(b"/").unwrap_or(literal),
        None => literal,
    }
}

/// Sets `bound` to a text behind `topic` so that nothing between them is matched by `filter`, which
/// does not match `topic` either. Returns whether there is one; if not, nothing behind matches.
fn skip(filter: &[u8], topic: &[u8], bound: &mut Vec<u8>) -> bool {
    bound.clear();
    if starts_with_wildcard(filter) && !wildcards_reach(topic) {
        // Topics that begin with `$` lie together; this is the character after it.
        bound.push(b'%');
        return true;
    }
    let (mut filter_at, mut topic_at) = (0, 0);
    // The end of the last level that `+` matched: only there can be other topics behind.
    let mut free = None;
    loop {
        let (pattern, level) = (
            first_level(&filter[filter_at..]),
            first_level(&topic[topic_at..]),
        );
        let end = topic_at + level.len();
        match (pattern, level.cmp(pattern)) {
            (b"+", _) => free = Some(end),
            (_, Ordering::Equal) => {}
            (b"#", _) => {
                // It would have matched.
                bound.extend_from_slice(topic);
                bound.push(b'/');
                return true;
            }
            (_, Ordering::Less) => {
                bound.extend_from_slice(&topic[..topic_at]);
                bound.extend_from_slice(literal_beginning(&filter[filter_at..]));
                return true;
            }
            (_, Ordering::Greater) => return skip_below(free, topic, bound),
        }
        filter_at += pattern.len();
        match (filter.get(filter_at), topic.get(end)) {
            (Some(_), Some(_)) => (filter_at, topic_at) = (filter_at + 1, end + 1),
            (Some(_), None) => {
                bound.extend_from_slice(topic);
                bound.push(b'/');
                bound.extend_from_slice(literal_beginning(&filter[filter_at + 1..]));
                return true;
            }
            (None, _) => return skip_below(free, topic, bound),
        }
    }
}

/// Sets `bound` to the text behind everything that begins with the levels of `topic` up to `end`.
fn skip_below(end: Option<usize>, topic: &[u8], bound: &mut Vec<u8>) -> bool {
    let Some(end) = end else {
        return false;
    };
    bound.extend_from_slice(&topic[..end]);
    // No topic has it (MQTT-4.7.3-2), and it comes after the separator.
    bound.push(0);
    true
}

/// A value in the order of its topic.
#[derive(Debug)]
struct Entry<T>(T);

/// What entries are looked up by.
trait Key {
    fn text(&self) -> &[u8];
}

impl<T: Named> Key for Entry<T> {
    fn text(&self) -> &[u8] {
        self.0.topic_bytes()
    }
}

impl Key for &[u8] {
    fn text(&self) -> &[u8] {
        self
    }
}

impl<'k, T: Named + 'k> Borrow<dyn Key + 'k> for Entry<T> {
    fn borrow(&self) -> &(dyn Key + 'k) {
        self
    }
}

impl Ord for dyn Key + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        by_level(self.text(), other.text())
    }
}

impl PartialOrd for dyn Key + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Key + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Key + '_ {}

impl<T: Named> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        by_level(self.text(), other.text())
    }
}

impl<T: Named> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Named> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Named> Eq for Entry<T> {}

/// Compares level by level: the end comes first, then the separator, then all other bytes.
fn by_level(one: &[u8], other: &[u8]) -> Ordering {
    let same = common_prefix(one, other);
    let rank = |text: &[u8]| match text.get(same) {
        None => 0,
        Some(b'/') => 1,
        Some(&byte) => u16::from(byte) + 2,
    };
    rank(one).cmp(&rank(other))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::super::strategies::{self, Step};
    use super::super::walk::spent_by;
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    struct Value(String, usize);

    impl Named for Value {
        fn topic(&self) -> &str {
            &self.0
        }
    }

    fn value(topic: &str) -> Value {
        Value(topic.to_owned(), 0)
    }

    fn names_of(topics: impl IntoIterator<Item = String>) -> Names<Value> {
        let mut names = Names::default();
        for topic in topics {
            assert_eq!(names.insert(Value(topic, 0)), None);
        }
        names
    }

    fn found(names: &Names<Value>, filter: &str, parent: HashParent) -> Vec<String> {
        let mut found = Vec::new();
        names.visit_matches(filter, parent, |value| found.push(value.0.clone()));
        found
    }

    /// One slice of a walk; returns it and what it took.
    fn slice(
        names: &Names<Value>,
        filter: Option<&str>,
        position: &mut Position,
        allowed: usize,
        found: &mut Vec<String>,
    ) -> (Walk, usize) {
        let mut steps = allowed;
        let see = |value: &Value| {
            found.push(value.0.clone());
            ControlFlow::Continue(())
        };
        spent_by(|| match filter {
            Some(filter) => {
                names.visit_matches_from(filter, HashParent::Matches, position, &mut steps, see)
            }
            None => names.visit_from(position, &mut steps, see),
        })
    }

    /// MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.2-1, AWS-MQTT-12
    #[test]
    fn filter_finds_the_topics_that_it_matches_in_order() {
        let topics = [
            "a", "a/", "a/b", "a/b/c", "a/x/c", "a-b", "/b", "$SYS/b", "$SYS/a/c",
        ];
        let names = names_of(topics.map(str::to_owned));
        let standard = |filter| found(&names, filter, HashParent::Matches);
        assert_eq!(
            standard("#"),
            ["/b", "a", "a/", "a/b", "a/b/c", "a/x/c", "a-b"]
        );
        assert_eq!(standard("+/b"), ["/b", "a/b"]);
        assert_eq!(standard("a/+/c"), ["a/b/c", "a/x/c"]);
        assert_eq!(standard("a/b/#"), ["a/b", "a/b/c"]);
        assert_eq!(standard("$SYS/#"), ["$SYS/a/c", "$SYS/b"]);
        assert_eq!(standard("$SYS/+"), ["$SYS/b"]);
        assert_eq!(standard("a/b"), ["a/b"]);
        assert_eq!(standard("a/c"), [""; 0]);
        assert_eq!(found(&names, "a/b/#", HashParent::Excluded), ["a/b/c"]);
    }

    #[test]
    fn one_value_per_topic() {
        let mut names = Names::default();
        let of = |number| Value("a/b".to_owned(), number);
        assert_eq!(names.insert(of(1)), None);
        assert_eq!(names.insert(of(2)), Some(of(1)));
        assert_eq!(
            (names.get("a/b"), names.get("a"), names.len()),
            (Some(&of(2)), None, 1)
        );
        assert_eq!(
            (names.remove("a/b"), names.remove("a/b")),
            (Some(of(2)), None)
        );
        assert!(names.is_empty());
    }

    #[test]
    fn topic_of_32000_levels_is_inserted_found_removed_and_dropped() {
        let mut topics = vec!["/".repeat(32_000), "a/".repeat(32_000)];
        topics.extend((1..2_000).map(|depth| "b/".repeat(depth)));
        let mut names = names_of(topics.iter().cloned());
        for (filter, expected) in [
            ("#".to_owned(), 2_001),
            ("+/".repeat(32_000), 2),
            ("b/#".to_owned(), 1_999),
        ] {
            let count = found(&names, &filter, HashParent::Matches).len();
            assert_eq!(count, expected);
        }
        for topic in topics.iter().step_by(2) {
            assert_eq!(names.remove(topic), Some(value(topic)));
        }
        drop(names);
    }

    #[test]
    fn what_a_filter_cannot_match_is_skipped() {
        let levels = |number: usize| format!("{}/{}/{}", number / 100, number % 100, number % 7);
        let mut topics: Vec<String> = (0..10_000).map(levels).collect();
        topics.extend((0..10_000).map(|number| format!("$hidden/{number}")));
        let names = names_of(topics);
        for (filter, bound) in [
            ("7/+/x", 2_000),
            ("7/5/#", 50),
            ("+/x/+", 6_000),
            ("+/50/+", 8_000),
            ("8/+/#", 500),
            ("nothing/+/+/#", 50),
            ("x/#", 50),
        ] {
            let (mut position, mut steps) = (Position::default(), 1_000_000);
            let go_on = |_: &Value| ControlFlow::Continue(());
            let parent = HashParent::Matches;
            let walk = names.visit_matches_from(filter, parent, &mut position, &mut steps, go_on);
            assert_eq!(walk, Walk::Done);
            let used = 1_000_000 - steps;
            assert!(used < bound, "{filter}: {used} steps");
        }
    }

    /// The worst filters and topics there are: comparing them takes long, and nothing matches.
    #[test]
    fn a_slice_ends_soon_after_its_steps_whatever_the_filter() {
        let long = |last: &str, number: usize| format!("{}{number}{last}", "a/".repeat(32_000));
        let mut topics: Vec<String> = (0..20).map(|number| long("", number)).collect();
        topics.extend((0..20).map(|number| format!("b/{number}/{}", "x".repeat(65_000))));
        topics.extend((0..2_000).map(|number| format!("c/{number}")));
        let names = names_of(topics);
        let filters = [
            Some(format!("{}+", "+/".repeat(32_000))),
            Some(format!("{}x", "+/".repeat(32_000))),
            Some(format!("{}b/#", "+/".repeat(16_000))),
            Some("+/+/y".to_owned()),
            Some("#".to_owned()),
            None,
        ];
        for filter in filters {
            let (mut position, mut found, mut slices) = (Position::default(), Vec::new(), 0);
            loop {
                let filter = filter.as_deref();
                let (walk, used) = slice(&names, filter, &mut position, 500, &mut found);
                // One topic of 64 KiB with a filter of the same length, and a seek for one.
                assert!(used < 500 + 65_536 / COMPARED + 5_000, "{used} steps");
                slices += 1;
                if walk == Walk::Done {
                    break;
                }
            }
            assert!(slices > 2, "{slices} slices");
        }
    }

    #[test]
    fn a_walk_that_may_take_no_step_comes_to_its_end_nevertheless() {
        let names = names_of((0..50).map(|number| format!("a/{number}")));
        let (mut position, mut found) = (Position::default(), Vec::new());
        while slice(&names, Some("+/+"), &mut position, 0, &mut found).0 == Walk::More {}
        assert_eq!(found.len(), 50);
        let (mut position, mut found) = (Position::behind("a/47"), Vec::new());
        while slice(&names, None, &mut position, 0, &mut found).0 == Walk::More {}
        assert_eq!(found, ["a/48", "a/49", "a/5", "a/6", "a/7", "a/8", "a/9"]);
    }

    #[test]
    fn a_walk_stops_where_it_is_told_to() {
        let names = names_of((0..5).map(|number| format!("a/{number}")));
        let (mut position, mut steps) = (Position::default(), 1_000);
        for expected in 0..5 {
            let mut topic = String::new();
            let parent = HashParent::Matches;
            let walk =
                names.visit_matches_from("a/#", parent, &mut position, &mut steps, |value| {
                    topic.clone_from(&value.0);
                    ControlFlow::Break(())
                });
            assert_eq!((walk, topic), (Walk::More, format!("a/{expected}")));
        }
    }

    /// A topic with a separator or with any character that comes before or after it.
    fn close_topic() -> impl Strategy<Value = String> {
        proptest::string::string_regex("[$a/\\-0\u{e9}]{1,6}").expect("a legal expression")
    }

    fn any_topic() -> impl Strategy<Value = String> {
        prop_oneof![strategies::topic(), close_topic()]
    }

    proptest! {
        /// MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.2-1, AWS-MQTT-12
        #[test]
        fn names_agree_with_matching_one_by_one(
            steps in strategies::steps(any_topic()),
            filters in proptest::collection::vec(strategies::filter(), 8),
            parent in strategies::parent(),
        ) {
            let mut names = Names::default();
            let mut model = BTreeMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(topic) => {
                        let old = model.insert(topic.clone(), number);
                        let old = old.map(|old| Value(topic.clone(), old));
                        prop_assert_eq!(names.insert(Value(topic, number)), old);
                    }
                    Step::Remove(topic) => {
                        let old = model.remove(&topic).map(|old| Value(topic.clone(), old));
                        prop_assert_eq!(names.remove(&topic), old);
                    }
                }
                prop_assert_eq!(names.len(), model.len());
            }
            for filter in filters {
                let expected: BTreeSet<&String> = model
                    .keys()
                    .filter(|topic| matches(&filter, topic, parent))
                    .collect();
                let found = found(&names, &filter, parent);
                prop_assert_eq!(found.len(), expected.len(), "filter {}", filter);
                prop_assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected);
            }
            let mut all = BTreeMap::new();
            names.visit_all(|Value(topic, number)| {
                all.insert(topic.clone(), *number);
            });
            prop_assert_eq!(&all, &model);
            for (topic, number) in model {
                prop_assert_eq!(names.get(&topic), Some(&Value(topic.clone(), number)));
                prop_assert_eq!(names.remove(&topic), Some(Value(topic, number)));
            }
            prop_assert!(names.is_empty());
        }

        #[test]
        fn what_stays_put_is_seen_once_by_a_walk_in_slices(
            first in proptest::collection::vec(any_topic(), 0..60),
            changes in strategies::steps(any_topic()),
            filter in proptest::option::of(strategies::filter()),
            allowed in 0_usize..60,
        ) {
            let mut names = Names::default();
            for topic in &first {
                names.insert(value(topic));
            }
            let (mut stays, mut ever): (BTreeSet<String>, BTreeSet<String>) =
                (first.iter().cloned().collect(), first.iter().cloned().collect());
            let (mut position, mut found) = (Position::default(), Vec::new());
            let mut changes = changes.into_iter();
            while slice(&names, filter.as_deref(), &mut position, allowed, &mut found).0
                == Walk::More
            {
                match changes.next() {
                    Some(Step::Insert(topic)) => {
                        names.insert(value(&topic));
                        ever.insert(topic);
                    }
                    Some(Step::Remove(topic)) => {
                        names.remove(&topic);
                        stays.remove(&topic);
                    }
                    None => {}
                }
            }
            let is_it = |topic: &&String| match &filter {
                Some(filter) => matches(filter, topic, HashParent::Matches),
                None => true,
            };
            let seen: BTreeSet<&String> = found.iter().collect();
            prop_assert_eq!(seen.len(), found.len(), "none twice: {:?}", found);
            for topic in stays.iter().filter(is_it) {
                prop_assert!(seen.contains(topic), "{} is missing", topic);
            }
            prop_assert!(seen.iter().all(|topic| ever.contains(*topic) && is_it(topic)));
        }
    }
}
