//! The walk of one topic through the filters with wildcards, in slices.
//!
//! A filter that matches a topic is told by one choice for each level: `#`, the level itself, or
//! `+`. The walk goes through them depth first, in this order. It stands in front of a subtree, so
//! the choices that lead there say all that is done: whatever comes before them in this order. They
//! do not name a node, so they stay good whatever becomes of the nodes meanwhile.

use smallvec::SmallVec;

use super::HashParent;
use super::levels::{after, first_level};
use super::matching::{Compared, compare, ends_in_parent, wildcards_reach};
use super::tree::{Node, NodeId, Tree};
use super::walk::{Walk, spend};

/// Steps for a node: its place in the table of children and itself, neither of them in a cache.
const NODE: usize = 2;

/// Bytes of a label that are compared for one step, where each second one may be a `+`.
pub(super) const COMPARED: usize = 16;

/// Bytes of a level that are hashed for one step.
const HASHED: usize = 128;

/// Where a walk through the filters that match a topic goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchPosition {
    /// Whether the filter that is the topic itself has had its visit.
    pub(super) exact_is_done: bool,
    /// What leads to the first subtree that has not been visited.
    pub(super) choices: Choices,
}

/// What a way through the filters chose for each of the topic's first levels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choices {
    /// One bit per level from the lowest of the first on: 1 for `+`, 0 for the level itself.
    bits: SmallVec<[u64; 2]>,
    len: usize,
}

impl Choices {
    fn push(&mut self, is_plus: bool) {
        let (word, bit) = (self.len / 64, self.len % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        self.bits[word] |= u64::from(is_plus) << bit;
        self.len += 1;
    }

    /// Whether level `at` has a `+`; `None` where nothing is chosen.
    fn get(&self, at: usize) -> Option<bool> {
        (at < self.len).then(|| self.bits[at / 64] >> (at % 64) & 1 == 1)
    }

    /// How what lies below a node with this `label`, whose first level is level `at`, stands to the
    /// place in front of what these choices lead to.
    fn place_of(&self, label: &[u8], at: usize) -> Place {
        let mut at = at;
        for level in label.split(|&byte| byte == b'/') {
            let Some(is_plus) = self.get(at) else {
                return Place::Ahead;
            };
            match (level, is_plus) {
                (b"#", _) => return Place::Behind,
                (b"+", false) => return Place::Ahead,
                (b"+", true) => {}
                (_, true) => return Place::Behind,
                (_, false) => {}
            }
            at += 1;
        }
        match at < self.len {
            true => Place::Above { levels: at },
            false => Place::Ahead,
        }
    }
}

/// How a subtree stands to a position.
enum Place {
    /// It has been visited.
    Behind,
    /// The position is in it, below its topmost node, which ends after so many levels.
    Above { levels: usize },
    /// It has not been visited.
    Ahead,
}

/// The filter that a walk has found.
pub struct FilterFound<'s, T> {
    /// Its node in the tree; the filter that is the topic itself has none.
    pub(super) node: Option<(&'s Tree<T>, &'s Node<T>)>,
}

impl<T> FilterFound<'_, T> {
    /// Its text, which is rebuilt, where it was found for this topic.
    pub fn text(&self, topic: &str) -> String {
        match self.node {
            Some((tree, node)) => tree.path(node),
            None => topic.to_owned(),
        }
    }
}

/// One topic's walk.
pub(super) struct Matching<'s, 'c, T, F> {
    pub(super) tree: &'s Tree<T>,
    pub(super) parent: HashParent,
    pub(super) f: &'c mut F,
    pub(super) steps: usize,
    /// Ways still to go, the next one at the end.
    pub(super) ways: SmallVec<[Way<'c>; 16]>,
}

/// A node, the length of its label's first level, which matches the topic's, and what the topic has
/// behind that.
type Way<'c> = (NodeId, usize, Option<&'c [u8]>);

impl<'s, 'c, T, F: FnMut(&'s T, FilterFound<'s, T>)> Matching<'s, 'c, T, F> {
    /// Goes on behind `choices` until nothing or no step is left, and leaves there where it came to.
    pub(super) fn go_on(&mut self, choices: &mut Choices, topic: &'c [u8]) -> Walk {
        let steps = self.steps;
        let mut way = match choices.len {
            0 => self.begin(topic),
            _ => self.find(choices, topic),
        };
        // The way back to the place is paid for at the end, or it might eat the steps each time.
        let way_back = steps - std::mem::replace(&mut self.steps, steps);
        let walked = loop {
            let Some((id, len, left)) = way else {
                break Walk::Done;
            };
            let node = self.tree.node(id);
            way = self
                .follow(node, len, left)
                .and_then(|rest| self.visit(id, node, rest))
                .or_else(|| self.ways.pop());
            if self.steps == 0
                && let Some((id, ..)) = way
            {
                *choices = self.choices_to(self.tree.node(id));
                break Walk::More;
            }
        };
        spend(&mut self.steps, way_back);
        walked
    }

    /// The way to the first node: the root, unless only those below it that have a name match.
    fn begin(&self, topic: &'c [u8]) -> Option<Way<'c>> {
        match wildcards_reach(topic) {
            true => Some((NodeId::ROOT, 0, Some(topic))),
            false => self.named(NodeId::ROOT, self.tree.node(NodeId::ROOT), topic),
        }
    }

    /// Takes what matches at a node to which the topic leads with `rest` left, and returns the way to
    /// its named child; that to the `+` child waits in `ways`.
    #[inline]
    fn visit(&mut self, id: NodeId, node: &'s Node<T>, rest: Option<&'c [u8]>) -> Option<Way<'c>> {
        let Some(rest) = rest else {
            self.take(node);
            if self.parent == HashParent::Matches {
                self.take_hash(node);
            }
            return None;
        };
        self.take_hash(node);
        let level = first_level(rest);
        let left = after(rest, level.len());
        if let Some(plus) = node.plus() {
            self.ways.push((plus, b"+".len(), left));
        }
        spend(&mut self.steps, level.len() / HASHED);
        let child = self.tree.named_child(id, node, level)?;
        Some((child, level.len(), left))
    }

    fn named(&self, id: NodeId, node: &Node<T>, rest: &'c [u8]) -> Option<Way<'c>> {
        let level = first_level(rest);
        let child = self.tree.named_child(id, node, level)?;
        Some((child, level.len(), after(rest, level.len())))
    }

    /// Goes along the label of a node. Returns what is left of the topic at the label's end, if it
    /// leads there.
    #[inline]
    fn follow(
        &mut self,
        node: &'s Node<T>,
        len: usize,
        left: Option<&'c [u8]>,
    ) -> Option<Option<&'c [u8]>> {
        let label = after(node.label(), len);
        let compared = match (label, left) {
            (Some(label), Some(left)) => {
                spend(
                    &mut self.steps,
                    NODE + label.len().min(left.len()) / COMPARED,
                );
                compare(label, left)
            }
            (filter, topic) => {
                spend(&mut self.steps, NODE);
                Compared::Left { filter, topic }
            }
        };
        match compared {
            Compared::Differ => {}
            Compared::Everything => self.take(node),
            Compared::Left {
                filter: None,
                topic,
            } => return Some(topic),
            Compared::Left {
                filter: Some(label),
                ..
            } => {
                if ends_in_parent(label, self.parent) {
                    self.take(node);
                }
            }
        }
        None
    }

    #[inline]
    fn take(&mut self, node: &'s Node<T>) {
        if let Some(value) = node.value() {
            let node = Some((self.tree, node));
            (self.f)(value, FilterFound { node });
        }
    }

    #[inline]
    fn take_hash(&mut self, node: &Node<T>) {
        if let Some(hash) = node.hash() {
            self.take(self.tree.node(hash));
        }
    }

    /// What leads to the first level of a node's label.
    fn choices_to(&self, node: &Node<T>) -> Choices {
        let mut choices = Choices::default();
        for above in self.tree.labels_above(node).iter().rev() {
            for level in above.split(|&byte| byte == b'/') {
                choices.push(level == b"+");
            }
        }
        choices.push(first_level(node.label()) == b"+");
        choices
    }

    /// Finds the first way that is not behind `choices`, and puts those after it into `ways`.
    fn find(&mut self, choices: &Choices, topic: &'c [u8]) -> Option<Way<'c>> {
        let (mut id, mut rest, mut levels) = (NodeId::ROOT, topic, 0);
        let mut node = self.tree.node(id);
        while let Some(is_plus) = choices.get(levels) {
            let level = first_level(rest);
            let plus = node.plus();
            let plus = plus.map(|plus| (plus, b"+".len(), after(rest, level.len())));
            let way = if is_plus {
                plus
            } else {
                if id != NodeId::ROOT || wildcards_reach(topic) {
                    self.ways.extend(plus);
                }
                self.named(id, node, rest)
            };
            let Some((child, len, left)) = way else { break };
            (id, node) = (child, self.tree.node(child));
            match choices.place_of(node.label(), levels) {
                Place::Behind => break,
                Place::Ahead => return way,
                Place::Above { levels: end } => {
                    // The choices go on, so the label has no `#` and the topic has more levels.
                    let Some(Some(left)) = self.follow(node, len, left) else {
                        break;
                    };
                    (rest, levels) = (left, end);
                }
            }
        }
        self.ways.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::strategies::{self, Step};
    use super::super::{Trie, matches};
    use super::*;

    /// Visits with this many steps per call and changes the trie between the calls.
    fn visit_in_slices(
        trie: &mut Trie<String>,
        topic: &str,
        parent: HashParent,
        steps: usize,
        mut change: impl FnMut(&mut Trie<String>),
    ) -> Vec<String> {
        let (mut at, mut found) = (MatchPosition::default(), Vec::new());
        loop {
            let mut visit = |filter: &String, place: FilterFound<'_, String>| {
                assert_eq!(*filter, place.text(topic));
                found.push(filter.clone());
            };
            let walked =
                trie.visit_matches_from(&mut at, topic, parent, &mut { steps }, &mut visit);
            if walked == Walk::Done {
                return found;
            }
            change(trie);
        }
    }

    fn carry_out(trie: &mut Trie<String>, step: Step) {
        match step {
            Step::Insert(filter) => {
                trie.get_or_insert_with(&filter.clone(), || filter);
            }
            Step::Remove(filter) => {
                trie.remove(&filter);
            }
        }
    }

    fn trie_of(filters: impl IntoIterator<Item = String>) -> Trie<String> {
        let mut trie = Trie::new(7);
        for filter in filters {
            trie.get_or_insert_with(&filter.clone(), || filter);
        }
        trie
    }

    /// All filters of `levels` levels that are each `a` or `+`, with `last` behind them.
    fn bushy(levels: u32, last: &str) -> Vec<String> {
        (0..1_u32 << levels)
            .map(|bits| {
                let level = |at| ["a/", "+/"][(bits >> at & 1) as usize];
                (0..levels).map(level).collect::<String>() + last
            })
            .collect()
    }

    proptest! {
        #[test]
        fn filters_that_stay_are_visited_once_whatever_changes_between_the_slices(
            before in strategies::steps(strategies::filter()),
            between in strategies::steps(strategies::filter()),
            topics in vec(strategies::topic(), 4),
            parent in strategies::parent(),
            (steps, changes) in (0_usize..4, 1_usize..4),
        ) {
            for topic in topics {
                let mut trie = Trie::new(7);
                for step in before.clone() {
                    carry_out(&mut trie, step);
                }
                let mut stayed = BTreeSet::new();
                trie.visit_all(|filter, _| {
                    stayed.insert(filter.to_owned());
                });
                let mut waiting = between.clone().into_iter();
                let found = visit_in_slices(&mut trie, &topic, parent, steps, |trie| {
                    for step in waiting.by_ref().take(changes) {
                        if let Step::Remove(filter) = &step {
                            stayed.remove(filter);
                        }
                        carry_out(trie, step);
                    }
                });
                let once: BTreeSet<_> = found.iter().cloned().collect();
                prop_assert_eq!(once.len(), found.len(), "{:?} twice", found);
                for filter in &found {
                    prop_assert!(matches(filter, &topic, parent), "{} for {}", filter, topic);
                }
                for filter in stayed {
                    prop_assert_eq!(
                        once.contains(&filter),
                        matches(&filter, &topic, parent),
                        "{} for {}", filter, topic
                    );
                }
            }
        }
    }

    proptest! {
        /// Filters of one bush have most ways in common, which random ones rarely do: what comes and
        /// goes lies above, beside and below the place where the walk stands.
        #[test]
        fn filters_of_a_bush_that_stay_are_visited_once_whatever_changes_between_the_slices(
            before: u128,
            between in vec((any::<prop::sample::Index>(), any::<bool>()), 0..200),
            parent in strategies::parent(),
            (steps, changes) in (0_usize..12, 1_usize..4),
        ) {
            let filters = ["z", "#", "a", "+"].map(|last| bushy(5, last)).concat();
            let topic = "a/".repeat(5) + "a";
            let is_before = |number: &usize| before >> number & 1 == 1;
            let mut stayed: BTreeSet<String> = (0..filters.len())
                .filter(is_before)
                .map(|number| filters[number].clone())
                .collect();
            let mut trie = trie_of(stayed.iter().cloned());
            let mut waiting = between.into_iter();
            let found = visit_in_slices(&mut trie, &topic, parent, steps, |trie| {
                for (index, comes) in waiting.by_ref().take(changes) {
                    let filter = index.get(&filters).clone();
                    if !comes {
                        stayed.remove(&filter);
                    }
                    carry_out(trie, match comes {
                        true => Step::Insert(filter),
                        false => Step::Remove(filter),
                    });
                }
            });
            let once: BTreeSet<_> = found.iter().cloned().collect();
            prop_assert_eq!(once.len(), found.len(), "{:?} twice", found);
            for filter in stayed {
                let is_match = matches(&filter, &topic, parent);
                prop_assert_eq!(once.contains(&filter), is_match, "{}", filter);
            }
        }
    }

    #[test]
    fn slices_find_what_one_walk_finds_in_a_bush_of_filters() {
        let filters = bushy(10, "z");
        let mut trie = trie_of(filters.clone());
        let topic = "a/".repeat(10) + "z";
        for steps in [0, 1, 7, 1_000, 1_000_000] {
            let mut found = visit_in_slices(&mut trie, &topic, HashParent::Matches, steps, |_| {});
            found.sort_unstable();
            let mut expected = filters.clone();
            expected.sort_unstable();
            assert_eq!(found, expected, "{steps} steps");
        }
    }

    #[test]
    fn walk_that_matches_nothing_stops_after_its_steps() {
        let mut trie = trie_of(bushy(13, "z"));
        let topic = "a/".repeat(13) + "y";
        let mut slices = 0;
        let found = visit_in_slices(&mut trie, &topic, HashParent::Matches, 100, |_| slices += 1);
        assert!(found.is_empty());
        // There are 2^14 nodes or so, and no slice looks at more than 50 of them.
        assert!((320..=600).contains(&slices), "{slices} slices");
    }

    #[test]
    fn position_takes_a_bit_for_each_level_and_stays_good_at_any_depth() {
        let depth = 20_000;
        let filters = [
            "+/".repeat(depth) + "a",
            "+/".repeat(depth / 2) + &"a/".repeat(depth / 2) + "+",
            "+/".repeat(depth) + "#",
            "a/".repeat(depth) + "+",
        ];
        let mut trie = trie_of(filters.clone());
        let topic = "a/".repeat(depth) + "a";
        let deeper = "a/".repeat(depth / 3) + "+/#";
        let found = visit_in_slices(&mut trie, &topic, HashParent::Matches, 1, |trie| {
            if trie.remove(&deeper).is_none() {
                trie.get_or_insert_with(&deeper, || deeper.clone());
            }
        });
        let stayed: BTreeSet<_> = found.into_iter().filter(|found| *found != deeper).collect();
        assert_eq!(stayed, filters.into());
    }

    #[test]
    fn long_levels_and_labels_cost_steps() {
        let long = "x".repeat(60_000);
        let filters = bushy(8, &(long.clone() + "y/+"));
        let trie = trie_of(filters);
        let topic = "a/".repeat(8) + &long;
        let (mut at, mut steps) = (MatchPosition::default(), 1_000_000);
        let walked = trie.visit_matches_from(
            &mut at,
            &topic,
            HashParent::Matches,
            &mut steps,
            &mut |_, _| {},
        );
        assert_eq!(walked, Walk::Done);
        assert!(1_000_000 - steps > 256 * long.len() / HASHED);
    }
}
