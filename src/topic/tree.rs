//! The radix tree of levels under the filters with wildcards.
//!
//! A node stands for a run of whole levels, its *label*; a path's text is the labels from the root
//! down, joined by `/`. Every node but the root has a value or at least two children, so there are
//! at most twice as many nodes as values, and a path of 32,000 levels costs its text and not 32,000
//! nodes. Nodes live in numbered slots and name each other by number: nothing recurses, also not drop.
//!
//! `+` and `#` children have their own links. All other children are found through one hash table
//! for the whole tree, keyed by parent and first level, which costs the same for a node with two
//! children and one with a million; they are also chained, so that the last ones are known.

use std::num::NonZeroU32;

use smallvec::SmallVec;

use crate::table::Table;

use super::hashing::Hashing;
use super::levels::{after, begins_with, first_level, shared_levels};
use super::slots::Slots;
use super::text::Text;
use super::walk::spend;

/// Slots that a removal looks at, and children that it moves, to let the nodes of a tree that became
/// small move together: a round is over long before half of the nodes that are left are removed.
const MOVED: usize = 64;

/// Children up to which a node is moved. There are so few nodes with more that a chunk of slots for
/// the sake of each is not too much.
const MOVABLE: usize = 256;

/// A tree from paths (topics or filters) to values.
#[derive(Debug)]
pub(super) struct Tree<V> {
    /// The root, then nodes in no order.
    nodes: Slots<Node<V>>,
    /// Nodes with a value.
    values: usize,
    /// Every child but the `+` and `#` ones.
    named: Table<Named>,
    hashing: Hashing,
}

/// A node's slot, plus one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(NonZeroU32);

/// A run of levels, and what is under it.
#[derive(Debug)]
pub(super) struct Node<V> {
    label: Text<22>,
    /// `None` for the root, and while it is detached.
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
        let mut nodes = Slots::new();
        nodes.insert(Node::default());
        Self {
            nodes,
            values: 0,
            named: Table::new(),
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
        self.nodes.len() - 1
    }

    #[inline]
    pub(super) fn node(&self, id: NodeId) -> &Node<V> {
        self.nodes.at(id.index())
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&V> {
        self.node(self.find(path)?).value()
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
        self.move_together();
        Some(value)
    }

    /// The child of `parent` whose label starts with `level`.
    fn child(&self, parent: NodeId, level: &[u8]) -> Option<NodeId> {
        let node = self.node(parent);
        match level {
            b"+" => node.plus,
            b"#" => node.hash,
            _ => self.named_child(parent, node, level),
        }
    }

    /// The child of `parent` whose label starts with `level`, which is not a wildcard. `node` is the
    /// parent itself.
    #[inline]
    pub(super) fn named_child(
        &self,
        parent: NodeId,
        node: &Node<V>,
        level: &[u8],
    ) -> Option<NodeId> {
        node.first?;
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
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub(super) fn visit_all(&self, mut f: impl FnMut(&str, &V)) {
        let mut path = Vec::new();
        for node in self.nodes.iter() {
            if let Some(value) = &node.value {
                self.write_path(node, &mut path);
                // Labels are cut from `str`s at separators, so nothing is ever lost here.
                f(&String::from_utf8_lossy(&path), value);
            }
        }
    }

    /// Rebuilds the text of the path that ends at `node`.
    pub(super) fn path(&self, node: &Node<V>) -> String {
        let mut path = Vec::new();
        self.write_path(node, &mut path);
        String::from_utf8_lossy(&path).into_owned()
    }

    /// The same, into a buffer.
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

    /// The labels between a node and the root, without both, the lowest first.
    pub(super) fn labels_above(&self, node: &Node<V>) -> SmallVec<[&[u8]; 16]> {
        let mut labels = SmallVec::new();
        let mut above = node.parent;
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
        let id = NodeId::at(self.nodes.insert(node));
        self.attach(parent, id);
        id
    }

    /// Frees the slot of a detached node.
    fn release(&mut self, id: NodeId) {
        self.nodes.remove(id.index());
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
        self.named.insert_unique(spread(hash), named, Named::spread);
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
                let is_it = |named: &Named| named.node == id;
                self.named.remove(spread(hash), is_it, Named::spread);
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

    /// Moves some of the last nodes to free slots, if there are many.
    fn move_together(&mut self) {
        let mut steps = MOVED;
        while steps > 0 && self.nodes.is_sparse() {
            let place = self.nodes.next_to_move();
            let children = place.map_or(0, |place| self.move_node(NodeId::at(place)));
            spend(&mut steps, 1 + children);
        }
    }

    /// Moves a node to another slot, unless it has too many children. Returns how many it has.
    fn move_node(&mut self, id: NodeId) -> usize {
        let node = self.node(id);
        let first = std::iter::successors(node.first, |&child| self.node(child).next);
        let children = [node.plus, node.hash].into_iter().flatten().chain(first);
        let children: SmallVec<[NodeId; 8]> = children.take(MOVABLE + 1).collect();
        if children.len() > MOVABLE {
            return children.len();
        }
        let parent = self.detach(id);
        for &child in &children {
            self.detach(child);
        }
        let node = self.nodes.remove(id.index());
        let id = self.add_node(parent, node);
        for &child in &children {
            self.attach(id, child);
        }
        children.len()
    }

    fn named_hash(&self, parent: NodeId, level: &[u8]) -> u32 {
        (self.hashing.level(parent.0.get(), level) >> 32) as u32
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<V> {
        self.nodes.at_mut(id.index())
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self::new(b"")
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

    pub(super) fn value(&self) -> Option<&V> {
        self.value.as_ref()
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

impl Named {
    fn spread(&self) -> u64 {
        spread(self.hash)
    }
}

/// The table takes its place from the low bits and its tag from the top ones.
fn spread(hash: u32) -> u64 {
    (u64::from(hash) << 32) | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use crate::table;

    use super::super::slots::CHUNK;
    use super::super::walk::spent_by;
    use super::*;

    #[test]
    fn nodes_are_at_most_twice_the_values() {
        let mut tree = Tree::new(1);
        let paths = [
            "a/b/c/d", "a/b/x", "a/b/c", "a", "", "/", "/x", "a/+/c", "a/+/d/#", "a/#",
        ];
        for (index, path) in paths.iter().enumerate() {
            assert_eq!(tree.insert(path.as_bytes(), index), None);
            assert!(tree.nodes_used() < 2 * tree.len());
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
            assert!(tree.nodes_used() == 0 || tree.nodes_used() < 2 * tree.len());
        }
        assert_eq!((tree.nodes_used(), tree.named.len()), (0, 0));
    }

    /// A third of them below one node, the others below many.
    fn path(number: usize) -> String {
        match number % 3 {
            0 => format!("wide/{number}/+"),
            _ => format!("{}/{}/+/{number}/#", number % 7, number % 200),
        }
    }

    #[test]
    fn nodes_that_are_left_move_together_and_keep_their_paths() {
        let mut tree = Tree::new(1);
        for number in 0..20_000 {
            tree.insert(path(number).as_bytes(), number);
        }
        let most = tree.nodes.capacity();
        for number in (0..20_000).filter(|number| number % 20 != 7) {
            assert_eq!(tree.remove(path(number).as_bytes()), Some(number));
            let bound = 4 * tree.nodes_used() + 2 * CHUNK;
            assert!(tree.nodes.capacity() <= bound.min(most));
        }
        assert!(tree.nodes.capacity() < most / 4);
        for number in (0..20_000).filter(|number| number % 20 == 7) {
            assert_eq!(tree.get(path(number).as_bytes()), Some(&number));
            assert_eq!(tree.remove(path(number).as_bytes()), Some(number));
        }
        assert_eq!((tree.nodes_used(), tree.named.len()), (0, 0));
        assert!(tree.nodes.capacity() <= CHUNK && tree.named.capacity() <= 64);
    }

    /// Chunks hold one node each that is not moved.
    #[test]
    fn nodes_with_too_many_children_stay_and_cost_at_most_a_chunk() {
        let mut tree = Tree::new(1);
        let child = |parent: usize, number: usize| format!("{parent}/{number}/+");
        for parent in 0..20 {
            for number in 0..3 * CHUNK {
                tree.insert(child(parent, number).as_bytes(), number);
            }
        }
        for number in 0..3 * CHUNK - 2 * MOVABLE {
            for parent in 0..20 {
                assert!(tree.remove(child(parent, number).as_bytes()).is_some());
                let bound = 4 * tree.nodes_used() + 2 * CHUNK;
                assert!(tree.nodes.capacity() <= bound);
            }
        }
        for number in 3 * CHUNK - 2 * MOVABLE..3 * CHUNK {
            for parent in 0..20 {
                let path = child(parent, number);
                assert_eq!(tree.remove(path.as_bytes()), Some(number));
            }
        }
        assert_eq!((tree.nodes_used(), tree.named.len()), (0, 0));
        assert!(tree.nodes.capacity() <= CHUNK);
    }

    #[test]
    fn no_removal_moves_more_than_a_few_hundred_nodes() {
        let (mut tree, count) = (Tree::new(1), 100_000);
        let mut longest = 0;
        for number in 0..count {
            let insert = || tree.insert(path(number).as_bytes(), number);
            longest = longest.max(table::moved_by(insert).1);
        }
        // Scattered, so that no chunk gets empty by itself.
        for number in (0..count).map(|index| index * 7_919 % count) {
            let remove = || tree.remove(path(number).as_bytes());
            let ((removed, in_tables), nodes) = spent_by(|| table::moved_by(remove));
            assert_eq!(removed, Some(number));
            longest = longest.max(in_tables);
            assert!(nodes <= MOVED + MOVABLE, "{nodes} nodes moved at once");
        }
        assert!(longest < 6_000, "{longest} entries moved at once");
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
