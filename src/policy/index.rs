//! Many patterns at once: what they begin with in common is compared once.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::key::Key;
use super::template::{Part, Template};

/// Patterns, each for the number of a rule: a tree of their parts up to the first `*`.
#[derive(Debug)]
pub(super) struct Index {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Rules of patterns that end here.
    ends: Vec<usize>,
    /// Patterns that go on with a `*`, by the character that has to follow somewhere: a `:` where the `*` is the
    /// account.
    open: Vec<(Option<char>, Vec<Open>)>,
    /// How texts go on; no two begin with the same character.
    texts: Vec<(Box<str>, usize)>,
    /// `?` and variables, and where they lead.
    others: Vec<(Part, usize)>,
}

/// What is left of a pattern, with a `*` as its first part, and its rule.
type Open = (Template, usize);

impl Default for Index {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl Index {
    pub(super) fn insert(&mut self, pattern: &Template, rule: usize) {
        let mut node = 0;
        for (number, part) in pattern.parts().iter().enumerate() {
            match part {
                Part::Many => {
                    let wanted = match pattern.parts().get(number + 1) {
                        Some(Part::Text(text)) => text.chars().next(),
                        _ => None,
                    };
                    let open = &mut self.nodes[node].open;
                    let rest = (pattern.rest(number, 0), rule);
                    match open.iter_mut().find(|(other, _)| *other == wanted) {
                        Some((_, patterns)) => patterns.push(rest),
                        None => open.push((wanted, vec![rest])),
                    }
                    return;
                }
                Part::Text(text) => node = self.behind_text(node, text),
                part => node = self.behind_other(node, part),
            }
        }
        self.nodes[node].ends.push(rule);
    }

    /// Calls with the rule of each pattern that a text fits; with some rules more than once.
    pub(super) fn visit<'v>(
        &self,
        text: &str,
        value: impl Fn(&Key) -> Option<Cow<'v, str>>,
        mut found: impl FnMut(usize),
    ) {
        // Each node is reached once at most: it has one way to it.
        let mut stack: SmallVec<[(usize, &str); 8]> = smallvec![(0, text)];
        while let Some((node, rest)) = stack.pop() {
            let node = &self.nodes[node];
            if rest.is_empty() {
                node.ends.iter().for_each(|&rule| found(rule));
            }
            let open = node.open.iter();
            let open = open.filter(|(wanted, _)| wanted.is_none_or(|wanted| rest.contains(wanted)));
            for (pattern, rule) in open.flat_map(|(_, patterns)| patterns) {
                if pattern.fits(rest, &value) {
                    found(*rule);
                }
            }
            let mut texts = node.texts.iter();
            stack.extend(
                texts.find_map(|(label, next)| Some((*next, rest.strip_prefix(&**label)?))),
            );
            for (part, next) in &node.others {
                let behind = match part {
                    Part::Variable(key) => value(key).and_then(|value| rest.strip_prefix(&*value)),
                    _ => rest
                        .chars()
                        .next()
                        .map(|skipped| &rest[skipped.len_utf8()..]),
                };
                stack.extend(behind.map(|rest| (*next, rest)));
            }
        }
    }

    /// The node that a text leads to; what it shares with others becomes a node of its own.
    fn behind_text(&mut self, mut node: usize, text: &str) -> usize {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let new = self.nodes.len();
            let mut texts = self.nodes[node].texts.iter_mut();
            let Some((label, next)) = texts.find(|(label, _)| label.starts_with(first)) else {
                self.nodes[node].texts.push((rest.into(), new));
                self.nodes.push(Node::default());
                return new;
            };
            let shared = shared(label, rest);
            if shared < label.len() {
                let split = Node {
                    texts: vec![(label[shared..].into(), *next)],
                    ..Node::default()
                };
                (*label, *next) = (label[..shared].into(), new);
                node = new;
                self.nodes.push(split);
            } else {
                node = *next;
            }
            rest = &rest[shared..];
        }
        node
    }

    fn behind_other(&mut self, node: usize, part: &Part) -> usize {
        let mut others = self.nodes[node].others.iter();
        if let Some((_, next)) = others.find(|(other, _)| other == part) {
            return *next;
        }
        let new = self.nodes.len();
        self.nodes[node].others.push((part.clone(), new));
        self.nodes.push(Node::default());
        new
    }
}

/// The length of what two texts have in common at the beginning, in bytes.
fn shared(left: &str, right: &str) -> usize {
    let pairs = left.chars().zip(right.chars());
    pairs
        .take_while(|(left, right)| left == right)
        .map(|(one, _)| one.len_utf8())
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::template::Wildcards;
    use super::*;

    proptest! {
        /// It finds what asking each pattern finds.
        #[test]
        fn patterns_are_found_as_if_they_were_alone(
            texts in prop::collection::vec("([ab*?é/]|\\$\\{(iot:ClientId|a:b|\\*)\\}){0,8}", 0..12),
            text in "[abé/*]{0,8}",
            client in prop::option::of("[abé*]{0,3}"),
        ) {
            let parse = |text: &String| Template::parse(text, Wildcards::Special).unwrap();
            let patterns: Vec<_> = texts.iter().map(parse).collect();
            let value = |key: &Key| match key {
                Key::ClientId => client.as_deref().map(Cow::Borrowed),
                _ => None,
            };
            let mut index = Index::default();
            for (number, pattern) in patterns.iter().enumerate() {
                index.insert(pattern, number);
            }
            let mut found = Vec::new();
            index.visit(&text, value, |rule| found.push(rule));
            found.sort_unstable();
            let numbered = patterns.iter().enumerate();
            let alone: Vec<_> = numbered.filter(|(_, pattern)| pattern.fits(&text, value)).map(|(number, _)| number).collect();
            prop_assert_eq!(found, alone);
        }
    }
}
