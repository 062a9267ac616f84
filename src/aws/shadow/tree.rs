//! What a shadow holds: JSON without `null`, and at each leaf the time at which it was set last. One tree
//! is both the `state` and the `metadata` of a document, so that the two cannot differ.

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

/// Seconds since 1970.
pub(crate) type Seconds = u64;

/// A value in a shadow.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Object(Members),
    Array(Box<[Self]>),
    Leaf(Scalar, Seconds),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Flag(bool),
    Number(Number),
    Text(Box<str>),
}

/// The members of an object, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Members(Vec<(Box<str>, Node)>);

/// What a member takes besides its name and its texts: its place, and what allocations round up to.
const MEMBER: usize = size_of::<(Box<str>, Node)>() + 16;

impl Node {
    /// A value that is set now. Members that are `null` are left out, elements that are do not occur.
    fn new(value: &Value, now: Seconds) -> Option<Self> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(flag) => Self::Leaf(Scalar::Flag(*flag), now),
            Value::Number(number) => Self::Leaf(Scalar::Number(number.clone()), now),
            Value::String(text) => Self::Leaf(Scalar::Text(text.as_str().into()), now),
            Value::Array(elements) => {
                let elements = elements.iter();
                Self::Array(elements.filter_map(|value| Self::new(value, now)).collect())
            }
            Value::Object(members) => Self::Object(Members::new(members, now)),
        })
    }

    /// A value as it was kept: with its times beside it. None where they do not fit.
    fn with_times(value: &Value, times: &Value) -> Option<Self> {
        Some(match (value, times) {
            (Value::Object(members), Value::Object(times)) => {
                Self::Object(Members::with_times(members, times)?)
            }
            (Value::Array(elements), Value::Array(times)) if elements.len() == times.len() => {
                let elements = elements.iter().zip(times);
                let elements = elements.map(|(value, times)| Self::with_times(value, times));
                Self::Array(elements.collect::<Option<_>>()?)
            }
            (Value::Object(_) | Value::Array(_), _) => return None,
            (value, times) => Self::new(value, times.get(TIMESTAMP)?.as_u64()?)?,
        })
    }

    /// Whether both are the same value, whenever they were set.
    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(value, _), Self::Leaf(other, _)) => value == other,
            (Self::Object(members), Self::Object(others)) => members.equals(others),
            (Self::Array(elements), Self::Array(others)) => {
                let pairs = elements.iter().zip(others);
                elements.len() == others.len() && pairs.into_iter().all(|(a, b)| a.equals(b))
            }
            _ => false,
        }
    }

    /// Bytes that it takes beyond its own place.
    fn size(&self) -> usize {
        match self {
            Self::Leaf(Scalar::Text(text), _) => text.len() + 16,
            Self::Leaf(..) => 0,
            Self::Object(members) => members.size(),
            Self::Array(elements) => {
                let places = size_of_val(&**elements);
                places + elements.iter().map(Self::size).sum::<usize>()
            }
        }
    }
}

impl Members {
    pub(super) fn new(members: &Map<String, Value>, now: Seconds) -> Self {
        let members = members.iter().filter_map(|(name, value)| {
            let node = Node::new(value, now)?;
            Some((name.as_str().into(), node))
        });
        Self::sorted(members.collect())
    }

    /// Members as they were kept: with their times beside them. None where they do not fit.
    pub(super) fn with_times(
        members: &Map<String, Value>,
        times: &Map<String, Value>,
    ) -> Option<Self> {
        if members.len() != times.len() {
            return None;
        }
        let members = members.iter().map(|(name, value)| {
            let node = Node::with_times(value, times.get(name)?)?;
            Some((name.as_str().into(), node))
        });
        Some(Self::sorted(members.collect::<Option<_>>()?))
    }

    /// The order of maps is a matter of the features that they were built with.
    fn sorted(mut members: Vec<(Box<str>, Node)>) -> Self {
        members.sort_unstable_by(|(name, _), (other, _)| name.cmp(other));
        members.shrink_to_fit();
        Self(members)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(name))
    }

    fn get(&self, name: &str) -> Option<&Node> {
        let place = self.find(name).ok()?;
        self.0.get(place).map(|(_, node)| node)
    }

    fn equals(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len()
            && pairs
                .into_iter()
                .all(|((name, node), (other_name, other))| name == other_name && node.equals(other))
    }

    /// Merges what was sent: objects member by member, everything else as a whole; `null` removes
    /// (AWS-SHADOW-09, -27, -29). Returns whether any value is another one now.
    pub(super) fn merge(&mut self, sent: &Map<String, Value>, now: Seconds) -> bool {
        let mut is_other = false;
        for (name, value) in sent {
            is_other |= self.merge_one(name, value, now);
        }
        is_other
    }

    fn merge_one(&mut self, name: &str, value: &Value, now: Seconds) -> bool {
        let place = self.find(name);
        let old = place.ok().and_then(|place| self.0.get_mut(place));
        if let (Some((_, Node::Object(old))), Value::Object(value)) = (old, value) {
            return old.merge(value, now);
        }
        match (place, Node::new(value, now)) {
            (Err(_), None) => false,
            (Ok(place), None) => {
                self.0.remove(place);
                true
            }
            (Err(place), Some(node)) => {
                self.0.insert(place, (name.into(), node));
                true
            }
            (Ok(place), Some(node)) => {
                let Some((_, old)) = self.0.get_mut(place) else {
                    return false;
                };
                let is_other = !old.equals(&node);
                *old = node;
                is_other
            }
        }
    }

    /// What of these is not so in `reported`: members that are absent there or other values, with arrays as
    /// one value (AWS-SHADOW-24).
    pub(super) fn differing_from(&self, reported: &Self) -> Self {
        let differing = self.0.iter().filter_map(|(name, node)| {
            let node = match (node, reported.get(name)) {
                (Node::Object(members), Some(Node::Object(others))) => {
                    let members = members.differing_from(others);
                    (!members.is_empty()).then_some(Node::Object(members))
                }
                (node, Some(other)) if node.equals(other) => None,
                (node, _) => Some(node.clone()),
            };
            Some((name.clone(), node?))
        });
        Self(differing.collect())
    }

    /// Bytes that they take.
    pub(super) fn size(&self) -> usize {
        let members = self.0.iter();
        members
            .map(|(name, node)| MEMBER + name.len() + node.size())
            .sum()
    }
}

/// The member of `metadata` at each leaf.
const TIMESTAMP: &str = "timestamp";

/// Writes the values of a tree: its `state`.
pub(super) struct Values<'a, T>(pub(super) &'a T);

/// Writes the times of a tree: its `metadata`.
pub(super) struct Times<'a, T>(pub(super) &'a T);

impl Serialize for Values<'_, Members> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.0.0.iter();
        serializer.collect_map(members.map(|(name, node)| (name, Values(node))))
    }
}

impl Serialize for Values<'_, Node> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Object(members) => Values(members).serialize(serializer),
            Node::Array(elements) => serializer.collect_seq(elements.iter().map(Values)),
            Node::Leaf(Scalar::Flag(flag), _) => serializer.serialize_bool(*flag),
            Node::Leaf(Scalar::Number(number), _) => number.serialize(serializer),
            Node::Leaf(Scalar::Text(text), _) => serializer.serialize_str(text),
        }
    }
}

impl Serialize for Times<'_, Members> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.0.len()))?;
        for (name, node) in &self.0.0 {
            map.serialize_entry(name, &Times(node))?;
        }
        map.end()
    }
}

impl Serialize for Times<'_, Node> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Object(members) => Times(members).serialize(serializer),
            Node::Array(elements) => {
                let mut list = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    list.serialize_element(&Times(element))?;
                }
                list.end()
            }
            Node::Leaf(_, at) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(TIMESTAMP, at)?;
                map.end()
            }
        }
    }
}
