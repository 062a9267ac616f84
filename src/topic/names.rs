//! Topics to values: the answer to "which topics does this filter match".

use smallvec::SmallVec;

use super::HashParent;
use super::levels::first_level;
use super::matching::{Compared, compare, ends_in_parent, wildcards_reach};
use super::tree::{NodeId, Tree};

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
