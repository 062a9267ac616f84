//! Filters to values: the answer to "which filters match this topic".
//!
//! A filter without wildcards matches exactly one topic, so those lie in one flat table by their
//! whole text, text and value side by side: one probe, however many there are and however deep. Only
//! filters with wildcards form a tree, whose walk for a topic visits just the nodes that match a
//! beginning of it. The cost of a match at a million filters is that of its cache misses, and
//! this keeps them to about two per visited entry.

use smallvec::SmallVec;

use crate::table::Table;

use super::HashParent;
use super::filter::has_wildcard;
use super::hashing::Hashing;
use super::levels::is_same;
use super::match_walk::{Choices, FilterFound, MatchPosition, Matching};
use super::text::Text;
use super::tree::Tree;
use super::walk::Walk;

/// A map from legal Topic Filters (without `$share`) to one value each.
///
/// Memory follows what it holds, also downwards. No call recurses, whatever the filters, and none
/// moves more than some thousands of entries, however many there are.
#[derive(Debug)]
pub struct Trie<T> {
    exact: Table<Exact<T>>,
    hashing: Hashing,
    wild: Tree<T>,
}

/// A filter without wildcards.
#[derive(Debug)]
struct Exact<T> {
    /// With a value of 24 bytes the entry is as long as a cache line.
    filter: Text<38>,
    value: T,
}

impl<T> Trie<T> {
    /// An empty map. The seed keeps clients from choosing filters that collide: it must be random
    /// and secret wherever they are not trusted.
    pub fn new(seed: u64) -> Self {
        Self {
            exact: Table::new(),
            hashing: Hashing::new(seed),
            wild: Tree::new(seed),
        }
    }

    /// The number of filters.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wild.len()
    }

    /// Whether there are no filters.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of exactly this filter.
    pub fn get(&self, filter: &str) -> Option<&T> {
        let bytes = filter.as_bytes();
        if has_wildcard(filter) {
            return self.wild.get(bytes);
        }
        self.exact_value(bytes)
    }

    /// The value of exactly this filter, to change it.
    pub fn get_mut(&mut self, filter: &str) -> Option<&mut T> {
        let bytes = filter.as_bytes();
        if has_wildcard(filter) {
            return self.wild.get_mut(bytes);
        }
        let hash = self.hashing.text(bytes);
        self.exact
            .find_mut(hash, |exact| exact.is(bytes))
            .map(|exact| &mut exact.value)
    }

    /// The value of this filter, made by `make` if there is none.
    pub fn get_or_insert_with(&mut self, filter: &str, make: impl FnOnce() -> T) -> &mut T {
        let bytes = filter.as_bytes();
        if has_wildcard(filter) {
            return self.wild.get_or_insert_with(bytes, make);
        }
        let Self { exact, hashing, .. } = self;
        let entry = exact.get_or_insert_with(
            hashing.text(bytes),
            |exact| exact.is(bytes),
            |exact| hashing.text(exact.filter.as_bytes()),
            || Exact {
                filter: Text::new(bytes),
                value: make(),
            },
        );
        &mut entry.value
    }

    /// Removes a filter and returns its value.
    pub fn remove(&mut self, filter: &str) -> Option<T> {
        let bytes = filter.as_bytes();
        if has_wildcard(filter) {
            return self.wild.remove(bytes);
        }
        let Self { exact, hashing, .. } = self;
        let removed = exact.remove(
            hashing.text(bytes),
            |exact| exact.is(bytes),
            |exact| hashing.text(exact.filter.as_bytes()),
        )?;
        Some(removed.value)
    }

    /// Does at once what [`visit_matches_from`](Self::visit_matches_from) does in pieces. How long it
    /// takes is the filters' choice, so it is not for those that peers have chosen.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub fn visit_matches<'s>(&'s self, topic: &str, parent: HashParent, f: &mut impl FnMut(&'s T)) {
        if let Some(value) = self.exact_value(topic.as_bytes()) {
            f(value);
        }
        if self.wild.len() > 0 {
            self.visit_wild(topic, parent, f);
        }
    }

    // On its own: where all filters are exact nothing has to be put aside for its sake.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    #[inline(never)]
    fn visit_wild<'s>(&'s self, topic: &str, parent: HashParent, f: &mut impl FnMut(&'s T)) {
        let (mut choices, topic) = (Choices::default(), topic.as_bytes());
        let f = &mut |value, _: FilterFound<'s, T>| f(value);
        while self.walk_wild(&mut choices, topic, parent, &mut { usize::MAX }, f) == Walk::More {}
    }

    /// Calls `f` with the value of every filter that matches `topic`, a legal Topic Name, each
    /// once and in no order: goes on at `at`, which is a new position at first, for as long as there
    /// are `steps`.
    ///
    /// Agrees with [`matches`](super::matches), and allocates nothing unless the topic has more
    /// than a handful of ways through the tree.
    ///
    /// A node costs two steps, and so many bytes that are compared cost one; a step takes about
    /// 0.1 us at most. What was used is taken off. Without any steps a call still goes to one node,
    /// so that each gets on. Beyond its steps it compares one label at most, and looks again at the
    /// nodes above `at`, of which there is one per level of the topic at most.
    ///
    /// Between the calls filters may come and go. Those that stay from the first call to the last
    /// are visited once, others once or not at all. Topic and `parent` have to stay the same.
    pub fn visit_matches_from<'s>(
        &'s self,
        at: &mut MatchPosition,
        topic: &str,
        parent: HashParent,
        steps: &mut usize,
        f: &mut impl FnMut(&'s T, FilterFound<'s, T>),
    ) -> Walk {
        let topic = topic.as_bytes();
        if !at.exact_is_done {
            at.exact_is_done = true;
            if let Some(value) = self.exact_value(topic) {
                f(value, FilterFound { node: None });
            }
        }
        match self.wild.len() {
            0 => Walk::Done,
            _ => self.walk_wild(&mut at.choices, topic, parent, steps, f),
        }
    }

    #[inline]
    fn walk_wild<'s>(
        &'s self,
        choices: &mut Choices,
        topic: &[u8],
        parent: HashParent,
        steps: &mut usize,
        f: &mut impl FnMut(&'s T, FilterFound<'s, T>),
    ) -> Walk {
        let mut walk = Matching {
            tree: &self.wild,
            parent,
            f,
            steps: *steps,
            ways: SmallVec::new(),
        };
        let walked = walk.go_on(choices, topic);
        *steps = walk.steps;
        walked
    }

    /// Calls `f` with every filter and its value, in no order. Slow: it rebuilds texts.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub fn visit_all(&self, mut f: impl FnMut(&str, &T)) {
        for exact in self.exact.iter() {
            // A copy of a `str`, so nothing is ever lost here.
            f(
                &String::from_utf8_lossy(exact.filter.as_bytes()),
                &exact.value,
            );
        }
        self.wild.visit_all(f);
    }

    #[inline]
    fn exact_value(&self, filter: &[u8]) -> Option<&T> {
        match self.exact.len() {
            0 => None,
            _ => self.find_exact(filter),
        }
    }

    fn find_exact(&self, filter: &[u8]) -> Option<&T> {
        let hash = self.hashing.text(filter);
        self.exact
            .find(hash, |exact| exact.is(filter))
            .map(|exact| &exact.value)
    }
}

impl<T> Exact<T> {
    #[inline]
    fn is(&self, filter: &[u8]) -> bool {
        is_same(self.filter.as_bytes(), filter)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::matches;
    use super::super::strategies::{self, Step};
    use super::*;

    fn trie_of(filters: &[&'static str]) -> Trie<&'static str> {
        let mut trie = Trie::new(7);
        for &filter in filters {
            trie.get_or_insert_with(filter, || filter);
        }
        trie
    }

    fn found(trie: &Trie<&'static str>, topic: &str, parent: HashParent) -> Vec<&'static str> {
        let mut found = Vec::new();
        trie.visit_matches(topic, parent, &mut |filter| found.push(*filter));
        found.sort_unstable();
        found
    }

    #[test]
    fn one_value_per_filter() {
        let mut trie = Trie::new(7);
        for filter in ["a/b", "a/+"] {
            assert_eq!(*trie.get_or_insert_with(filter, || 1), 1);
            assert_eq!(*trie.get_or_insert_with(filter, || 2), 1);
            *trie.get_mut(filter).expect("present") = 3;
            assert_eq!(trie.get(filter), Some(&3));
        }
        assert_eq!(trie.len(), 2);
        assert_eq!(trie.get("a"), None);
        assert_eq!(trie.remove("a"), None);
        assert_eq!((trie.remove("a/b"), trie.remove("a/+")), (Some(3), Some(3)));
        assert!(trie.is_empty());
    }

    /// MQTT-4.7.1-1, MQTT-4.7.1-2, AWS-MQTT-12
    #[test]
    fn wildcards_match_their_levels() {
        let trie = trie_of(&[
            "a/b", "a/+", "a/#", "a/b/#", "+/b", "#", "a/+/#", "/b", "+", "b/#",
        ]);
        let with_parent = ["#", "+/b", "a/#", "a/+", "a/+/#", "a/b", "a/b/#"];
        assert_eq!(found(&trie, "a/b", HashParent::Matches), with_parent);
        let without_parent = ["#", "+/b", "a/#", "a/+", "a/b"];
        assert_eq!(found(&trie, "a/b", HashParent::Excluded), without_parent);
        assert_eq!(found(&trie, "/b", HashParent::Matches), ["#", "+/b", "/b"]);
        assert_eq!(found(&trie, "a", HashParent::Excluded), ["#", "+"]);
    }

    /// MQTT-4.7.2-1
    #[test]
    fn leading_wildcards_do_not_match_dollar_topics() {
        let trie = trie_of(&["#", "+/x", "+/#", "$SYS/#", "$SYS/+", "$SYS/x"]);
        assert_eq!(
            found(&trie, "$SYS/x", HashParent::Matches),
            ["$SYS/#", "$SYS/+", "$SYS/x"]
        );
    }

    #[test]
    fn filter_of_32000_levels_is_inserted_matched_removed_and_dropped() {
        let deep = |last: &str| format!("{}{last}", "/".repeat(32_000));
        let alternating = format!("{}#", "+/a/".repeat(16_000));
        let mut trie = Trie::new(7);
        let mut filters = vec![deep(""), deep("a"), deep("+"), deep("#"), alternating];
        // Each of these ends at a node below that of the one before.
        filters.extend((1..2_000).map(|depth| format!("{}+", "+/".repeat(depth))));
        for filter in &filters {
            trie.get_or_insert_with(filter, || filter.clone());
        }
        let mut count = 0;
        trie.visit_matches(&deep("a"), HashParent::Matches, &mut |_| count += 1);
        assert_eq!(count, 3);
        trie.visit_matches(&"x/".repeat(1_999), HashParent::Matches, &mut |_| {
            count += 1
        });
        assert_eq!(count, 4);
        trie.visit_all(|filter, value| assert_eq!(filter, value));
        for filter in filters.iter().step_by(2) {
            assert_eq!(trie.remove(filter).as_ref(), Some(filter));
        }
        drop(trie);
    }

    #[test]
    fn an_exact_filter_with_its_value_fills_a_cache_line() {
        assert_eq!(size_of::<Exact<[u64; 3]>>(), 64);
    }

    #[test]
    fn memory_follows_removals() {
        let mut trie = Trie::new(7);
        let filter = |number: usize| match number % 3 {
            0 => format!("dev/{number}/#"),
            1 => format!("+/{number}/a/b"),
            _ => format!("dev/{number}/state"),
        };
        for number in 0..3_000 {
            trie.get_or_insert_with(&filter(number), || number);
        }
        for number in 0..3_000 {
            assert_eq!(trie.remove(&filter(number)), Some(number));
        }
        assert_eq!((trie.len(), trie.wild.nodes_used()), (0, 0));
        assert!(trie.exact.capacity() <= 64);
    }

    proptest! {
        /// MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.2-1, AWS-MQTT-12
        #[test]
        fn trie_agrees_with_matching_one_by_one(
            steps in strategies::steps(strategies::filter()),
            topics in proptest::collection::vec(strategies::topic(), 8),
            parent in strategies::parent(),
            seed: u64,
        ) {
            let mut trie = Trie::new(seed);
            let mut model = BTreeMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(filter) => {
                        let expected = *model.entry(filter.clone()).or_insert(number);
                        prop_assert_eq!(*trie.get_or_insert_with(&filter, || number), expected);
                    }
                    Step::Remove(filter) => {
                        prop_assert_eq!(trie.remove(&filter), model.remove(&filter));
                    }
                }
                prop_assert_eq!(trie.len(), model.len());
            }
            for topic in topics {
                let mut expected: Vec<usize> = model
                    .iter()
                    .filter(|(filter, _)| matches(filter, &topic, parent))
                    .map(|(_, &value)| value)
                    .collect();
                let mut found = Vec::new();
                trie.visit_matches(&topic, parent, &mut |&value| found.push(value));
                expected.sort_unstable();
                found.sort_unstable();
                prop_assert_eq!(found, expected, "topic {}", topic);
            }
            let mut all = BTreeMap::new();
            trie.visit_all(|filter, &value| {
                all.insert(filter.to_owned(), value);
            });
            prop_assert_eq!(&all, &model);
            for (filter, value) in model {
                prop_assert_eq!(trie.get(&filter), Some(&value));
                prop_assert_eq!(trie.remove(&filter), Some(value));
            }
            prop_assert_eq!(trie.wild.nodes_used(), 0);
        }
    }
}
