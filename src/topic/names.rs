//! Topics to values: the answer to "which topics does this filter match".

use smallvec::SmallVec;

use super::HashParent;
use super::levels::first_level;
use super::matching::{Compared, compare, ends_in_parent, wildcards_reach};
use super::tree::{NodeId, Tree};

/// Nodes, and bytes of topics, of a walk in one go.
const SLICE: (usize, usize) = (512, 64 * 1024);

/// A map from legal Topic Names to one value each, for retained messages.
///
/// Shared beginnings of topics are stored once. Memory follows what it holds, also downwards. No
/// call recurses, whatever the topics.
#[derive(Debug)]
pub struct Names<T> {
    tree: Tree<T>,
}

impl<T> Names<T> {
    /// An empty map. The seed keeps clients from choosing topics that collide: it must be random
    /// and secret wherever they are not trusted.
    pub fn new(seed: u64) -> Self {
        Self {
            tree: Tree::new(seed),
        }
    }

    /// The number of topics.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there are no topics.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the value of a topic and returns the one that it had.
    pub fn insert(&mut self, topic: &str, value: T) -> Option<T> {
        self.tree.insert(topic.as_bytes(), value)
    }

    /// The value of this topic.
    pub fn get(&self, topic: &str) -> Option<&T> {
        self.tree.get(topic.as_bytes())
    }

    /// Removes a topic and returns its value.
    pub fn remove(&mut self, topic: &str) -> Option<T> {
        self.tree.remove(topic.as_bytes())
    }

    /// Calls `f` with the value of every topic that `filter` matches, a legal Topic Filter without
    /// `$share`, each once and in no order. Agrees with [`matches`](super::matches).
    pub fn visit_matches<'s>(&'s self, filter: &str, parent: HashParent, mut f: impl FnMut(&'s T)) {
        let mut ways = Ways::new();
        self.enter(NodeId::ROOT, filter.as_bytes(), &mut ways);
        while let Some(Way {
            id,
            filter,
            siblings,
        }) = ways.pop()
        {
            let node = self.tree.node(id);
            if siblings == Siblings::Too {
                ways.extend(node.next().map(|id| Way {
                    id,
                    filter,
                    siblings,
                }));
                if node.parent() == Some(NodeId::ROOT) && !wildcards_reach(node.label()) {
                    continue;
                }
            }
            match compare(filter, node.label()) {
                Compared::Differ | Compared::Left { topic: Some(_), .. } => {}
                Compared::Everything => self.tree.values_from(id).for_each(&mut f),
                Compared::Left {
                    filter: left,
                    topic: None,
                } => {
                    if left.is_none_or(|left| ends_in_parent(left, parent)) {
                        self.tree.value(id).into_iter().for_each(&mut f);
                    }
                    if let Some(left) = left {
                        self.enter(id, left, &mut ways);
                    }
                }
            }
        }
    }

    /// Calls `f` with some topics and their values, in no order: those from `place` on, as far as a
    /// lock may be held for it. Returns whether there is more behind the place that it has come to.
    pub fn visit_some(&self, place: &mut usize, f: impl FnMut(&str, &T)) -> bool {
        self.tree.visit_some(place, SLICE, f)
    }

    /// The number of places for [`visit_some`](Self::visit_some). Where it became smaller, a walk may
    /// have missed something and begins again.
    pub fn places(&self) -> usize {
        self.tree.places()
    }

    /// Calls `f` with every topic and its value, in no order. Slow: it rebuilds texts.
    pub fn visit_all(&self, f: impl FnMut(&str, &T)) {
        self.tree.visit_all(f);
    }

    /// Adds the ways from `id` to its children.
    fn enter<'c>(&self, id: NodeId, filter: &'c [u8], ways: &mut Ways<'c>) {
        let (child, siblings) = match first_level(filter) {
            b"+" | b"#" => (self.tree.node(id).first(), Siblings::Too),
            level => (self.tree.named_child(id, level), Siblings::Apart),
        };
        ways.extend(child.map(|id| Way {
            id,
            filter,
            siblings,
        }));
    }
}

/// Ways still to go; holds one per level at most, since siblings wait in their chain.
type Ways<'c> = SmallVec<[Way<'c>; 16]>;

/// A node to compare with what is left of the filter.
struct Way<'c> {
    id: NodeId,
    filter: &'c [u8],
    siblings: Siblings,
}

/// Whether the siblings after a node are to be compared as well: the filter has a wildcard there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Siblings {
    Too,
    Apart,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::matches;
    use super::super::strategies::{self, Step};
    use super::*;

    fn found(names: &Names<&'static str>, filter: &str, parent: HashParent) -> Vec<&'static str> {
        let mut found = Vec::new();
        names.visit_matches(filter, parent, |topic| found.push(*topic));
        found.sort_unstable();
        found
    }

    /// MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.2-1, AWS-MQTT-12
    #[test]
    fn filter_finds_the_topics_that_it_matches() {
        let mut names = Names::new(7);
        for topic in [
            "a", "a/", "a/b", "a/b/c", "a/x/c", "/b", "$SYS/b", "$SYS/a/c",
        ] {
            assert_eq!(names.insert(topic, topic), None);
        }
        let standard = |filter| found(&names, filter, HashParent::Matches);
        assert_eq!(standard("#"), ["/b", "a", "a/", "a/b", "a/b/c", "a/x/c"]);
        assert_eq!(standard("+/b"), ["/b", "a/b"]);
        assert_eq!(standard("a/+/c"), ["a/b/c", "a/x/c"]);
        assert_eq!(standard("a/b/#"), ["a/b", "a/b/c"]);
        assert_eq!(standard("$SYS/#"), ["$SYS/a/c", "$SYS/b"]);
        assert_eq!(standard("$SYS/+"), ["$SYS/b"]);
        assert_eq!(standard("a/b"), ["a/b"]);
        assert_eq!(found(&names, "a/b/#", HashParent::Excluded), ["a/b/c"]);
    }

    #[test]
    fn one_value_per_topic() {
        let mut names = Names::new(7);
        assert_eq!(names.insert("a/b", 1), None);
        assert_eq!(names.insert("a/b", 2), Some(1));
        assert_eq!(
            (names.get("a/b"), names.get("a"), names.len()),
            (Some(&2), None, 1)
        );
        assert_eq!((names.remove("a/b"), names.remove("a/b")), (Some(2), None));
        assert!(names.is_empty());
    }

    #[test]
    fn topic_of_32000_levels_is_inserted_found_removed_and_dropped() {
        let mut names = Names::new(7);
        let mut topics = vec!["/".repeat(32_000), "a/".repeat(32_000)];
        // Each of these ends at a node below that of the one before.
        topics.extend((1..2_000).map(|depth| "b/".repeat(depth)));
        for topic in &topics {
            names.insert(topic, topic.clone());
        }
        for (filter, expected) in [
            ("#".to_owned(), 2_001),
            ("+/".repeat(32_000), 2),
            ("b/#".to_owned(), 1_999),
        ] {
            let mut count = 0;
            names.visit_matches(&filter, HashParent::Matches, |_| count += 1);
            assert_eq!(count, expected);
        }
        names.visit_all(|topic, value| assert_eq!(topic, value));
        for topic in topics.iter().step_by(2) {
            assert_eq!(names.remove(topic).as_ref(), Some(topic));
        }
        drop(names);
    }

    #[test]
    fn topics_are_walked_in_slices() {
        let mut names = Names::new(7);
        for number in 0..2_000 {
            names.insert(&format!("a/{number}"), number);
        }
        let (mut place, mut found, mut slices) = (0, Vec::new(), 1);
        while names.visit_some(&mut place, |_, number| found.push(*number)) {
            slices += 1;
            // What comes and goes meanwhile moves nothing else.
            names.remove("a/0");
            names.insert(&format!("b/{slices}"), 2_000);
        }
        assert!(slices >= 4, "{slices}");
        found.retain(|number| (1..2_000).contains(number));
        found.sort_unstable();
        assert_eq!(found, (1..2_000).collect::<Vec<_>>());
        let long = "x".repeat(60_000);
        for number in 0..10 {
            names.insert(&format!("{number}/{long}"), number);
        }
        let places = names.places();
        for number in 0..2_000 {
            names.remove(&format!("a/{number}"));
        }
        assert!(names.places() < places, "it became smaller");
        let (mut place, mut most) = (0, 0);
        loop {
            let mut count = 0;
            let more = names.visit_some(&mut place, |topic, _| {
                count += usize::from(topic.len() > 60_000);
            });
            most = most.max(count);
            if !more {
                break;
            }
        }
        assert_eq!(most, 2, "long topics per slice");
    }

    proptest! {
        /// MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.2-1, AWS-MQTT-12
        #[test]
        fn names_agree_with_matching_one_by_one(
            steps in strategies::steps(strategies::topic()),
            filters in proptest::collection::vec(strategies::filter(), 8),
            parent in strategies::parent(),
            seed: u64,
        ) {
            let mut names = Names::new(seed);
            let mut model = BTreeMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(topic) => {
                        let old = model.insert(topic.clone(), number);
                        prop_assert_eq!(names.insert(&topic, number), old);
                    }
                    Step::Remove(topic) => {
                        prop_assert_eq!(names.remove(&topic), model.remove(&topic));
                    }
                }
                prop_assert_eq!(names.len(), model.len());
            }
            for filter in filters {
                let mut expected: Vec<usize> = model
                    .iter()
                    .filter(|(topic, _)| matches(&filter, topic, parent))
                    .map(|(_, &value)| value)
                    .collect();
                let mut found = Vec::new();
                names.visit_matches(&filter, parent, |&value| found.push(value));
                expected.sort_unstable();
                found.sort_unstable();
                prop_assert_eq!(found, expected, "filter {}", filter);
            }
            let mut all = BTreeMap::new();
            names.visit_all(|topic, &value| {
                all.insert(topic.to_owned(), value);
            });
            prop_assert_eq!(&all, &model);
            for (topic, value) in model {
                prop_assert_eq!(names.get(&topic), Some(&value));
                prop_assert_eq!(names.remove(&topic), Some(value));
            }
            prop_assert_eq!(names.tree.nodes_used(), 0);
        }
    }
}
