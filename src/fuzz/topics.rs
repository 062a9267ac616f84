//! Topic Names, Topic Filters and the collections of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::topic::{
    Changes, Filter, FilterFound, HashParent, MatchPosition, Named, Names, Position, Trie, Walk,
    book, check_topic_name, matches,
};

/// Lines that are looked at: comparing everything with everything else takes time.
const LINES: usize = 64;

/// The first byte chooses the rule for `a/#` and `a`, and the hash seed. The rest is lines of text;
/// the first character of each says what to do with the others.
///
/// # Panics
///
/// If a collection, or the check of a topic or filter, does not go by the book.
pub fn topics(data: &[u8]) {
    let Some((&choice, text)) = data.split_first() else {
        return;
    };
    let mut world = World::new(choice);
    for line in String::from_utf8_lossy(text).split('\n').take(LINES) {
        let mut characters = line.chars();
        let action = characters.next();
        world.carry_out(action, characters.as_str());
    }
    world.compare();
    world.change_under_walks();
    world.take_apart();
}

/// A topic and when it came.
struct Numbered(String, usize);

impl Named for Numbered {
    fn topic(&self) -> &str {
        &self.0
    }
}

/// The collections, and what should be in them.
struct World {
    parent: HashParent,
    trie: Trie<usize>,
    filters: BTreeMap<String, usize>,
    names: Names<Numbered>,
    topics: BTreeMap<String, usize>,
    /// Topics to ask the trie about.
    asked: BTreeSet<String>,
    changes: Changes,
    /// The filters in the order in which they changed.
    changed: Vec<String>,
    count: usize,
}

impl World {
    fn new(choice: u8) -> Self {
        Self {
            parent: match choice & 1 {
                0 => HashParent::Matches,
                _ => HashParent::Excluded,
            },
            trie: Trie::new(choice.into()),
            filters: BTreeMap::new(),
            names: Names::default(),
            topics: BTreeMap::new(),
            asked: BTreeSet::new(),
            changes: Changes::new(),
            changed: Vec::new(),
            count: 0,
        }
    }

    fn carry_out(&mut self, action: Option<char>, text: &str) {
        let filter = check_filter(text);
        let is_topic = check_topic_name(text).is_ok();
        assert_eq!(is_topic, book::is_topic_name(text), "{text:?}");
        self.count += 1;
        match (action, filter) {
            (Some('+'), Some(filter)) => {
                let value = self.trie.get_or_insert_with(filter, || self.count);
                let expected = self.filters.entry(filter.to_owned()).or_insert(self.count);
                assert_eq!(value, expected);
                self.changed(filter);
            }
            (Some('-'), Some(filter)) => {
                assert_eq!(self.trie.remove(filter), self.filters.remove(filter));
                self.changed(filter);
            }
            (Some('='), _) if is_topic => {
                let old = self.topics.insert(text.to_owned(), self.count);
                let numbered = Numbered(text.to_owned(), self.count);
                assert_eq!(self.names.insert(numbered).map(|former| former.1), old);
            }
            (Some('~'), _) if is_topic => {
                let old = self.names.remove(text).map(|former| former.1);
                assert_eq!(old, self.topics.remove(text));
            }
            _ if is_topic => {
                self.asked.insert(text.to_owned());
            }
            _ => {}
        }
        assert_eq!(self.trie.len(), self.filters.len());
        assert_eq!(self.names.len(), self.topics.len());
    }

    fn changed(&mut self, filter: &str) {
        self.changed.push(filter.to_owned());
        assert_eq!(self.changes.push(filter), self.changed.len() as u64);
    }

    /// Asks the collections everything there is to ask.
    fn compare(&self) {
        for topic in self.asked.iter().chain(self.topics.keys()) {
            let mut found = Vec::new();
            self.trie
                .visit_matches(topic, self.parent, &mut |value| found.push(*value));
            let expected = self
                .filters
                .iter()
                .filter(|(filter, _)| self.matches(filter, topic));
            assert_same(found, expected, topic);
            self.compare_changes(topic);
        }
        for filter in self.filters.keys() {
            let found = self.found_in_slices(filter);
            let expected = self
                .topics
                .iter()
                .filter(|(topic, _)| self.matches(filter, topic));
            assert_same(found, expected, filter);
        }
    }

    /// The topics that `filter` matches, found in one walk and, the same, in many.
    fn found_in_slices(&self, filter: &str) -> Vec<usize> {
        let mut at_once = Vec::new();
        self.names
            .visit_matches(filter, self.parent, |value| at_once.push(value.1));
        let (mut found, mut position) = (Vec::new(), Position::default());
        for allowed in (0..).map(|number| number * 7 % 40) {
            let mut steps = allowed;
            let parent = self.parent;
            let see = |value: &Numbered| {
                found.push(value.1);
                ControlFlow::Continue(())
            };
            let names = &self.names;
            if names.visit_matches_from(filter, parent, &mut position, &mut steps, see)
                == Walk::Done
            {
                break;
            }
        }
        assert_eq!(found, at_once, "{filter:?}");
        found
    }

    /// Whether they match; both ways of telling have to agree.
    fn matches(&self, filter: &str, topic: &str) -> bool {
        let expected = book::matches(filter, topic, self.parent);
        assert_eq!(
            matches(filter, topic, self.parent),
            expected,
            "{filter:?} {topic:?}"
        );
        expected
    }

    /// What has not changed since a moment may not be called untouched if a filter that matches did.
    fn compare_changes(&self, topic: &str) {
        let len = self.changed.len();
        for since in (0..=len).step_by(1 + len / 3) {
            let touched = self.changed[since..]
                .iter()
                .any(|filter| book::matches(filter, topic, self.parent));
            let told = self
                .changes
                .touches(since as u64, topic, self.parent, &mut { usize::MAX });
            assert!(
                told.is_none_or(|told| told || !touched),
                "{topic:?} since {since}"
            );
        }
    }

    /// Walks through the filters of each topic step by step, and takes out or puts back one filter
    /// after each step. What stays is found once, and nothing twice.
    fn change_under_walks(&mut self) {
        let moved: Vec<(String, usize)> = self
            .filters
            .iter()
            .step_by(3)
            .map(|(filter, value)| (filter.clone(), *value))
            .collect();
        for topic in &self.asked {
            let (mut at, mut found) = (MatchPosition::default(), Vec::new());
            let mut changes = moved.iter().chain(&moved);
            let mut visit = |value: &usize, _: FilterFound<'_, usize>| found.push(*value);
            while self
                .trie
                .visit_matches_from(&mut at, topic, self.parent, &mut 1, &mut visit)
                == Walk::More
            {
                if let Some((filter, value)) = changes.next()
                    && self.trie.remove(filter).is_none()
                {
                    self.trie.get_or_insert_with(filter, || *value);
                }
            }
            for (filter, value) in &moved {
                self.trie.get_or_insert_with(filter, || *value);
            }
            found.sort_unstable();
            let all = found.len();
            found.dedup();
            assert_eq!(found.len(), all, "{topic:?}: nothing twice");
            for (filter, value) in &self.filters {
                let was_found = found.binary_search(value).is_ok();
                let is_due = self.matches(filter, topic);
                let moved = moved.iter().any(|(moved, _)| moved == filter);
                assert!(was_found <= is_due, "{filter:?} for {topic:?}");
                assert!(was_found >= is_due || moved, "{filter:?} for {topic:?}");
            }
        }
    }

    /// Takes everything out again, which leaves nothing.
    fn take_apart(&mut self) {
        let mut all = BTreeMap::new();
        self.trie.visit_all(|filter, value| {
            all.insert(filter.to_owned(), *value);
        });
        assert_eq!(all, self.filters);
        for (filter, value) in &self.filters {
            assert_eq!(self.trie.get(filter), Some(value));
            assert_eq!(self.trie.remove(filter), Some(*value));
            assert_eq!(self.trie.get(filter), None);
        }
        let mut all = BTreeMap::new();
        self.names.visit_all(|Numbered(topic, number)| {
            all.insert(topic.clone(), *number);
        });
        assert_eq!(all, self.topics);
        for (topic, number) in &self.topics {
            let removed = self.names.remove(topic).map(|former| former.1);
            assert_eq!(removed, Some(*number));
            assert!(self.names.get(topic).is_none());
        }
        assert!(self.trie.is_empty() && self.names.is_empty());
    }
}

/// The Topic Filter without its share, if it is legal.
fn check_filter(full: &str) -> Option<&str> {
    let parsed = Filter::parse(full).ok();
    let expected = book::parse_filter(full);
    assert_eq!(
        parsed.map(|parsed| (parsed.share, parsed.filter)),
        expected,
        "{full:?}"
    );
    if let Some(parsed) = parsed {
        assert_eq!(parsed.full, full);
        assert_eq!(parsed.has_wildcard(), parsed.filter.contains(['+', '#']));
    }
    expected.map(|(_, filter)| filter)
}

fn assert_same<'a>(
    mut found: Vec<usize>,
    expected: impl Iterator<Item = (&'a String, &'a usize)>,
    of: &str,
) {
    let mut expected: Vec<usize> = expected.map(|(_, value)| *value).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{of:?}");
}
