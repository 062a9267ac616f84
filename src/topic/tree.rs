//! The radix tree of levels under the filters with wildcards.
//!
//! A node stands for a run of whole levels, its *label*; a path's text is the labels from the root
//! down, joined by `/`. Every node but the root has a value or at least two children, so there are
//! at most twice as many nodes as values, and a path of 32,000 levels costs its text and not 32,000
//! nodes. Nodes live in one vector and name each other by number: nothing recurses, also not drop.
//!
//! `+` and `#` children have their own links. All other children are found through one hash table
//! for the whole tree, keyed by parent and first level, which costs the same for a node with two
//! children and one with a million; they are also chained, so that the last ones are known.

use std::num::NonZeroU32;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::hashing::Hashing;
use super::levels::{after, begins_with, first_level, shared_levels};
use super::text::Text;

/// Below this many slots the vector is not worth shrinking.
const SMALL: usize = 64;

/// A tree from paths (topics or filters) to values.
#[derive(Debug)]
pub(super) struct Tree<V> {
    /// The root, then nodes and free slots in no order.
    nodes: Vec<Node<V>>,
    /// The first free slot; the others follow through `next`.
    free: Option<NodeId>,
    /// Nodes in use, without the root.
    used: usize,
    /// Nodes with a value.
    values: usize,
    /// Every child but the `+` and `#` ones.
    named: HashTable<Named>,
    hashing: Hashing,
}

/// A node's place in the vector, plus one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(NonZeroU32);

/// A run of levels, and what is under it.
#[derive(Debug)]
pub(super) struct Node<V> {
    label: Text<22>,
    /// `None` for the root and for free slots.
    parent: Option<NodeId>,
    /// The child whose label starts with the level `+`.
    plus: Option<NodeId>,
    /// The child with the label `#`.
    hash: Option<NodeId>,
    /// The first of the other children.
    first: Option<NodeId>,
    /// The siblings in the chain that begins at the parent's `first`.
    next: Option<NodeId>,
    previous: Option<NodeId>,
    value: Option<V>,
}

/// An entry of the table of named children.
#[derive(Debug)]
struct Named {
    /// Kept so that growing the table does not visit the nodes.
    hash: u32,
    node: NodeId,
}

impl<V> Tree<V> {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            nodes: vec![Node::new(b"")],
            free: None,
            used: 0,
            values: 0,
            named: HashTable::new(),
            hashing: Hashing::new(seed),
        }
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.values
    }

    /// The number of nodes without the root.
    #[cfg(test)]
    pub(super) fn nodes_used(&self) -> usize {
        self.used
    }

    pub(super) fn node(&self, id: NodeId) -> &Node<V> {
        &self.nodes[id.index()]
    }

    pub(super) fn value(&self, id: NodeId) -> Option<&V> {
        self.node(id).value.as_ref()
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&V> {
        self.value(self.find(path)?)
    }

    pub(super) fn get_mut(&mut self, path: &[u8]) -> Option<&mut V> {
        let id = self.find(path)?;
        self.node_mut(id).value.as_mut()
    }

    pub(super) fn get_or_insert_with(&mut self, path: &[u8], make: impl FnOnce() -> V) -> &mut V {
        let id = self.place(path);
        if self.node(id).value.is_none() {
            self.values += 1;
        }
        self.node_mut(id).value.get_or_insert_with(make)
    }

    /// Sets the value of `path` and returns the one that it had.
    #[cfg(test)]
    pub(super) fn insert(&mut self, path: &[u8], value: V) -> Option<V> {
        let id = self.place(path);
        let old = self.node_mut(id).value.replace(value);
        self.values += usize::from(old.is_none());
        old
    }

    pub(super) fn remove(&mut self, path: &[u8]) -> Option<V> {
        let id = self.find(path)?;
        let value = self.node_mut(id).value.take()?;
        self.values -= 1;
        self.prune(id);
        if self.nodes.len() > SMALL && self.used < self.nodes.len() / 4 {
            self.compact();
        }
        Some(value)
    }

    /// The child of `parent` whose label starts with `level`.
    pub(super) fn child(&self, parent: NodeId, level: &[u8]) -> Option<NodeId> {
        match level {
            b"+" => self.node(parent).plus,
            b"#" => self.node(parent).hash,
            _ => self.named_child(parent, level),
        }
    }

    /// The child of `parent` whose label starts with `level`, which is not a wildcard.
    pub(super) fn named_child(&self, parent: NodeId, level: &[u8]) -> Option<NodeId> {
        self.node(parent).first?;
        let hash = self.named_hash(parent, level);
        let is_it = |named: &Named| {
            named.hash == hash && {
                let node = self.node(named.node);
                node.parent == Some(parent) && begins_with(node.label(), level)
            }
        };
        self.named.find(spread(hash), is_it).map(|named| named.node)
    }

    /// Calls `f` with the text and value of every path, in no order.
    pub(super) fn visit_all(&self, mut f: impl FnMut(&str, &V)) {
        let mut path = Vec::new();
        for node in &self.nodes {
            if let Some(value) = &node.value {
                self.write_path(node, &mut path);
                // Labels are cut from `str`s at separators, so nothing is ever lost here.
                f(&String::from_utf8_lossy(&path), value);
            }
        }
    }

    /// Rebuilds the text of the path that ends at `id`.
    pub(super) fn path(&self, id: NodeId) -> String {
        let mut path = Vec::new();
        self.write_path(self.node(id), &mut path);
        String::from_utf8_lossy(&path).into_owned()
    }

    /// Rebuilds the text of the path that ends at `node`.
    fn write_path(&self, node: &Node<V>, path: &mut Vec<u8>) {
        let mut labels: SmallVec<[&[u8]; 16]> = SmallVec::new();
        let mut at = node;
        while let Some(parent) = at.parent {
            labels.push(at.label());
            at = self.node(parent);
        }
        path.clear();
        for (depth, label) in labels.iter().rev().enumerate() {
            if depth > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(label);
        }
    }

    /// The labels between `id` and the root, without both, the lowest first.
    pub(super) fn labels_above(&self, id: NodeId) -> SmallVec<[&[u8]; 16]> {
        let mut labels = SmallVec::new();
        let mut above = self.node(id).parent;
        while let Some(id) = above
            && id != NodeId::ROOT
        {
            let node = self.node(id);
            labels.push(node.label());
            above = node.parent;
        }
        labels
    }

    fn find(&self, path: &[u8]) -> Option<NodeId> {
        let mut at = NodeId::ROOT;
        let mut rest = Some(path);
        while let Some(path) = rest {
            at = self.child(at, first_level(path))?;
            let label = self.node(at).label();
            if !begins_with(path, label) {
                return None;
            }
            rest = after(path, label.len());
        }
        Some(at)
    }

    /// The node of `path`, made if need be.
    fn place(&mut self, path: &[u8]) -> NodeId {
        let mut at = NodeId::ROOT;
        let mut rest = Some(path);
        while let Some(path) = rest {
            let Some(child) = self.child(at, first_level(path)) else {
                return self.add(at, path);
            };
            let label = self.node(child).label();
            let shared = shared_levels(label, path);
            at = if shared == label.len() {
                child
            } else {
                self.split(child, shared)
            };
            rest = after(path, shared);
        }
        at
    }

    /// Puts a new node that has the first `len` bytes of `id`'s label above `id`.
    fn split(&mut self, id: NodeId, len: usize) -> NodeId {
        let parent = self.detach(id);
        let label = self.node(id).label();
        let upper = Node::new(&label[..len]);
        let lower = Text::new(&label[len + 1..]);
        let upper = self.add_node(parent, upper);
        self.node_mut(id).label = lower;
        self.attach(upper, id);
        upper
    }

    /// Removes `id` if it is of no more use, and what was there only for its sake.
    fn prune(&mut self, mut id: NodeId) {
        while id != NodeId::ROOT && self.node(id).value.is_none() {
            let node = self.node(id);
            let second = node.first.and_then(|first| self.node(first).next);
            let mut children = [node.plus, node.hash, node.first, second]
                .into_iter()
                .flatten();
            match (children.next(), children.next()) {
                (None, _) => {
                    let parent = self.detach(id);
                    self.release(id);
                    id = parent;
                }
                (Some(child), None) => return self.join(id, child),
                (Some(_), Some(_)) => return,
            }
        }
    }

    /// Lets the only child of `id` take its place.
    fn join(&mut self, id: NodeId, child: NodeId) {
        self.detach(child);
        let parent = self.detach(id);
        let label = [self.node(id).label(), self.node(child).label()].join(&b'/');
        self.node_mut(child).label = Text::new(&label);
        self.attach(parent, child);
        self.release(id);
    }

    fn add(&mut self, parent: NodeId, label: &[u8]) -> NodeId {
        self.add_node(parent, Node::new(label))
    }

    fn add_node(&mut self, parent: NodeId, node: Node<V>) -> NodeId {
        let id = match self.free {
            Some(id) => {
                self.free = self.node(id).next;
                *self.node_mut(id) = node;
                id
            }
            None => {
                self.nodes.push(node);
                NodeId::at(self.nodes.len() - 1)
            }
        };
        self.used += 1;
        self.attach(parent, id);
        id
    }

    /// Frees the slot of a detached node.
    fn release(&mut self, id: NodeId) {
        *self.node_mut(id) = Node {
            next: self.free,
            ..Node::new(b"")
        };
        self.free = Some(id);
        self.used -= 1;
    }

    /// Links `id` as a child of `parent`.
    fn attach(&mut self, parent: NodeId, id: NodeId) {
        self.node_mut(id).parent = Some(parent);
        match first_level(self.node(id).label()) {
            b"+" => self.node_mut(parent).plus = Some(id),
            b"#" => self.node_mut(parent).hash = Some(id),
            _ => {
                let next = self.node_mut(parent).first.replace(id);
                self.node_mut(id).next = next;
                if let Some(next) = next {
                    self.node_mut(next).previous = Some(id);
                }
                self.index(parent, id);
            }
        }
    }

    /// Enters `id` in the table of named children.
    fn index(&mut self, parent: NodeId, id: NodeId) {
        let hash = self.named_hash(parent, first_level(self.node(id).label()));
        let named = Named { hash, node: id };
        self.named
            .insert_unique(spread(hash), named, |named| spread(named.hash));
    }

    /// Takes `id` and what is below it out of its parent, which is returned.
    fn detach(&mut self, id: NodeId) -> NodeId {
        let node = self.node_mut(id);
        let (next, previous) = (node.next.take(), node.previous.take());
        let parent = node.parent.take().unwrap_or(NodeId::ROOT);
        match first_level(self.node(id).label()) {
            b"+" => self.node_mut(parent).plus = None,
            b"#" => self.node_mut(parent).hash = None,
            level => {
                let hash = self.named_hash(parent, level);
                if let Ok(entry) = self
                    .named
                    .find_entry(spread(hash), |named| named.node == id)
                {
                    entry.remove();
                }
                if let Some(next) = next {
                    self.node_mut(next).previous = previous;
                }
                match previous {
                    Some(previous) => self.node_mut(previous).next = next,
                    None => self.node_mut(parent).first = next,
                }
            }
        }
        parent
    }

    /// Renumbers the nodes without the free slots, and gives the memory back.
    fn compact(&mut self) {
        let in_use = |(index, node): &(usize, Node<V>)| *index == 0 || node.parent.is_some();
        let mut moved = vec![None; self.nodes.len()];
        let nodes = std::mem::take(&mut self.nodes)
            .into_iter()
            .enumerate()
            .filter(in_use);
        for (from, node) in nodes {
            moved[from] = Some(NodeId::at(self.nodes.len()));
            self.nodes.push(node);
        }
        self.nodes.shrink_to_fit();
        for node in &mut self.nodes {
            let moved = |id: Option<NodeId>| id.and_then(|id| moved[id.index()]);
            node.parent = moved(node.parent);
            node.plus = moved(node.plus);
            node.hash = moved(node.hash);
            node.first = moved(node.first);
            node.next = moved(node.next);
            node.previous = moved(node.previous);
        }
        self.free = None;
        self.named = HashTable::with_capacity(self.used);
        for id in (0..self.nodes.len()).map(NodeId::at) {
            let node = self.node(id);
            if let Some(parent) = node.parent
                && !matches!(first_level(node.label()), b"+" | b"#")
            {
                self.index(parent, id);
            }
        }
    }

    fn named_hash(&self, parent: NodeId, level: &[u8]) -> u32 {
        (self.hashing.level(parent.0.get(), level) >> 32) as u32
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<V> {
        &mut self.nodes[id.index()]
    }
}

impl<V> Node<V> {
    fn new(label: &[u8]) -> Self {
        Self {
            label: Text::new(label),
            parent: None,
            plus: None,
            hash: None,
            first: None,
            next: None,
            previous: None,
            value: None,
        }
    }

    pub(super) fn label(&self) -> &[u8] {
        self.label.as_bytes()
    }

    /// The child whose label starts with the level `+`.
    pub(super) fn plus(&self) -> Option<NodeId> {
        self.plus
    }

    /// The child with the label `#`.
    pub(super) fn hash(&self) -> Option<NodeId> {
        self.hash
    }
}

impl NodeId {
    /// The node above all levels.
    pub(super) const ROOT: Self = Self(NonZeroU32::MIN);

    fn at(index: usize) -> Self {
        let number = u32::try_from(index)
            .ok()
            .and_then(|index| Self::ROOT.0.checked_add(index));
        Self(number.expect("invariant: 4 billion nodes of 50 bytes or more do not fit in memory"))
    }

    fn index(self) -> usize {
        (self.0.get() - 1) as usize
    }
}

/// The table takes its place from the low bits and its tag from the top ones.
fn spread(hash: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_at_most_twice_the_values() {
        let mut tree = Tree::new(1);
        let paths = [
            "a/b/c/d", "a/b/x", "a/b/c", "a", "", "/", "/x", "a/+/c", "a/+/d/#", "a/#",
        ];
        for (index, path) in paths.iter().enumerate() {
            assert_eq!(tree.insert(path.as_bytes(), index), None);
            assert!(tree.used < 2 * tree.len());
        }
        for (index, path) in paths.iter().enumerate() {
            assert_eq!(tree.insert(path.as_bytes(), index + 100), Some(index));
            assert_eq!(tree.get(path.as_bytes()), Some(&(index + 100)));
        }
        for path in ["a/b", "a/+", "b", "a/b/c/d/e", "#", "a/b/c/", "//"] {
            assert_eq!(tree.get(path.as_bytes()), None, "{path}");
        }
        for (index, path) in paths.iter().enumerate() {
            assert_eq!(tree.remove(path.as_bytes()), Some(index + 100));
            assert_eq!(tree.remove(path.as_bytes()), None);
            assert!(tree.used == 0 || tree.used < 2 * tree.len());
        }
        assert_eq!((tree.used, tree.named.len()), (0, 0));
    }

    #[test]
    fn compaction_keeps_every_path_and_gives_slots_back() {
        let mut tree = Tree::new(1);
        let path = |number: usize| format!("{}/{}/+/{}/#", number % 7, number % 50, number);
        for number in 0..1000 {
            tree.insert(path(number).as_bytes(), number);
        }
        for number in (0..1000).filter(|number| number % 10 != 0) {
            assert_eq!(tree.remove(path(number).as_bytes()), Some(number));
        }
        assert!(tree.nodes.len() < 1000);
        for number in (0..1000).step_by(10) {
            assert_eq!(tree.get(path(number).as_bytes()), Some(&number));
            assert_eq!(tree.remove(path(number).as_bytes()), Some(number));
        }
        assert_eq!((tree.used, tree.named.len()), (0, 0));
        assert!(tree.nodes.len() <= SMALL && tree.nodes.capacity() <= 2 * SMALL);
    }

    #[test]
    fn visit_all_rebuilds_each_path() {
        let mut tree = Tree::new(1);
        let mut paths = vec!["", "/", "a", "a/b", "a/é/c", "a/+", "a/+/#", "#", "//x/"];
        for path in &paths {
            tree.insert(path.as_bytes(), path.len());
        }
        let mut found = Vec::new();
        tree.visit_all(|path, &length| {
            assert_eq!(path.len(), length);
            found.push(path.to_owned());
        });
        found.sort();
        paths.sort_unstable();
        assert_eq!(found, paths);
    }
}
