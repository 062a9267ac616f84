//! Filters to values: the answer to "which filters match this topic".
//!
//! A filter without wildcards matches exactly one topic, so those lie in one flat table by their
//! whole text, text and value side by side: one probe, however many there are and however deep. Only
//! filters with wildcards form a tree, whose walk for a topic visits just the nodes that match a
//! beginning of it. The cost of a match at a million filters is that of its cache misses, and
//! this keeps them to about two per visited entry.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use super::HashParent;
use super::filter::has_wildcard;
use super::hashing::Hashing;
use super::levels::first_level;
use super::matching::{Compared, compare, ends_in_parent, wildcards_reach};
use super::text::Text;
use super::tree::{NodeId, Tree};

/// Below this capacity the table is not worth shrinking.
const SMALL: usize = 64;

/// A map from legal Topic Filters (without `$share`) to one value each.
///
/// Memory follows what it holds, also downwards. No call recurses, whatever the filters.
#[derive(Debug)]
pub struct Trie<T> {
    exact: HashTable<Exact<T>>,
    hashing: Hashing,
    wild: Tree<T>,
}

/// A filter without wildcards.
#[derive(Debug)]
struct Exact<T> {
    filter: Text<30>,
    value: T,
}

impl<T> Trie<T> {
    /// An empty map. The seed keeps clients from choosing filters that collide: it must be random
    /// and secret wherever they are not trusted.
    pub fn new(seed: u64) -> Self {
        Self {
            exact: HashTable::new(),
            hashing: Hashing::new(seed),
            wild: Tree::new(seed),
        }
    }

    /// The number of filters.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wild.len()
    }

    /// Whether there are no filters.
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
        let rehash = |exact: &Exact<T>| hashing.text(exact.filter.as_bytes());
        let entry = match exact.entry(hashing.text(bytes), |exact| exact.is(bytes), rehash) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert(Exact {
                filter: Text::new(bytes),
                value: make(),
            }),
        };
        &mut entry.into_mut().value
    }

    /// Removes a filter and returns its value.
    pub fn remove(&mut self, filter: &str) -> Option<T> {
        let bytes = filter.as_bytes();
        if has_wildcard(filter) {
            return self.wild.remove(bytes);
        }
        let Self { exact, hashing, .. } = self;
        let entry = exact
            .find_entry(hashing.text(bytes), |exact| exact.is(bytes))
            .ok()?;
        let (removed, _) = entry.remove();
        if exact.capacity() > SMALL && exact.len() < exact.capacity() / 8 {
            exact.shrink_to(exact.len() * 2, |exact| {
                hashing.text(exact.filter.as_bytes())
            });
        }
        Some(removed.value)
    }

    /// Calls `f` with the value of every filter that matches `topic`, a legal Topic Name, each
    /// once and in no order.
    ///
    /// Agrees with [`matches`](super::matches), and allocates nothing unless the topic has more
    /// than a handful of ways through the tree.
    pub fn visit_matches<'s>(&'s self, topic: &str, parent: HashParent, f: &mut impl FnMut(&'s T)) {
        if let Some(value) = self.exact_value(topic.as_bytes()) {
            f(value);
        }
        if self.wild.len() > 0 {
            self.visit_wild(topic.as_bytes(), parent, f);
        }
    }

    /// Calls `f` with every filter and its value, in no order. Slow: it rebuilds texts.
    pub fn visit_all(&self, mut f: impl FnMut(&str, &T)) {
        for exact in &self.exact {
            // A copy of a `str`, so nothing is ever lost here.
            f(
                &String::from_utf8_lossy(exact.filter.as_bytes()),
                &exact.value,
            );
        }
        self.wild.visit_all(f);
    }

    fn exact_value(&self, filter: &[u8]) -> Option<&T> {
        let hash = self.hashing.text(filter);
        self.exact
            .find(hash, |exact| exact.is(filter))
            .map(|exact| &exact.value)
    }

    fn visit_wild<'s>(&'s self, topic: &[u8], parent: HashParent, f: &mut impl FnMut(&'s T)) {
        let mut walk = Walk {
            tree: &self.wild,
            parent,
            f,
            ways: SmallVec::new(),
        };
        if wildcards_reach(topic) {
            walk.ways.push((NodeId::ROOT, Some(topic)));
        } else {
            walk.follow_named(NodeId::ROOT, topic);
        }
        while let Some((node, rest)) = walk.ways.pop() {
            walk.visit(node, rest);
        }
    }
}

impl<T> Exact<T> {
    fn is(&self, filter: &[u8]) -> bool {
        self.filter.as_bytes() == filter
    }
}

/// One topic's walk through the filters with wildcards.
struct Walk<'s, 'c, T, F> {
    tree: &'s Tree<T>,
    parent: HashParent,
    f: &'c mut F,
    /// Ways still to go.
    ways: SmallVec<[Way<'c>; 16]>,
}

/// A node reached, and what is left of the topic.
type Way<'c> = (NodeId, Option<&'c [u8]>);

impl<'s, 'c, T, F: FnMut(&'s T)> Walk<'s, 'c, T, F> {
    /// Takes what matches at `id` and goes on to the children.
    fn visit(&mut self, id: NodeId, rest: Option<&'c [u8]>) {
        let node = self.tree.node(id);
        let Some(rest) = rest else {
            self.take(id);
            if let Some(hash) = node.hash()
                && self.parent == HashParent::Matches
            {
                self.take(hash);
            }
            return;
        };
        if let Some(hash) = node.hash() {
            self.take(hash);
        }
        if let Some(plus) = node.plus() {
            self.follow(plus, rest);
        }
        self.follow_named(id, rest);
    }

    fn follow_named(&mut self, id: NodeId, rest: &'c [u8]) {
        if let Some(child) = self.tree.named_child(id, first_level(rest)) {
            self.follow(child, rest);
        }
    }

    /// Goes along the label of `id`, as far as the topic matches it.
    fn follow(&mut self, id: NodeId, topic: &'c [u8]) {
        match compare(self.tree.node(id).label(), topic) {
            Compared::Differ => {}
            Compared::Everything => self.take(id),
            Compared::Left {
                filter: None,
                topic,
            } => self.ways.push((id, topic)),
            Compared::Left {
                filter: Some(left), ..
            } => {
                if ends_in_parent(left, self.parent) {
                    self.take(id);
                }
            }
        }
    }

    fn take(&mut self, id: NodeId) {
        if let Some(value) = self.tree.value(id) {
            (self.f)(value);
        }
    }
}
