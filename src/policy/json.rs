//! JSON as a policy needs it: members in their order, doubles among them, and where each value stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Why a text is no policy, and where (AWS-API-15: what the service answers with MalformedPolicyException).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{reason}")]
pub struct Malformed {
    /// `Statement[1].Action: `, or nothing where the reason says where.
    place: String,
    reason: String,
}

impl Malformed {
    /// About the document as a whole.
    pub(super) fn whole(reason: impl Into<String>) -> Self {
        Self {
            place: String::new(),
            reason: reason.into(),
        }
    }

    /// About the value at a path.
    pub(super) fn at(path: &str, reason: impl Into<String>) -> Self {
        if path.is_empty() {
            return Self::whole(reason);
        }
        Self {
            place: format!("{path}: "),
            reason: reason.into(),
        }
    }
}

/// Any JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Flag(bool),
    /// As Rust writes it.
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Node {
    /// Reads a text that is one JSON value. Values may be 127 deep.
    ///
    /// # Errors
    ///
    /// When it is not; the message has line and column.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        serde_json::from_str(text).map_err(|error| Malformed::whole(format!("no JSON: {error}")))
    }

    /// What kind of value it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The members of an object, none of which comes twice.
    ///
    /// # Errors
    ///
    /// When it is no object, or a member comes twice.
    pub(super) fn members(&self, path: &str) -> Result<&[(String, Self)], Malformed> {
        let Self::Object(members) = self else {
            return Err(self.unexpected(path, "an object"));
        };
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Malformed::at(path, format!("`{}` comes twice", pair[0]))),
            None => Ok(members),
        }
    }

    /// # Errors
    ///
    /// When it is no string.
    pub(super) fn text(&self, path: &str) -> Result<&str, Malformed> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(other.unexpected(path, "a string")),
        }
    }

    /// The values of an array, each with its path, or the value itself where one stands without an array.
    pub(super) fn one_or_more<'a>(&'a self, path: &str) -> Vec<(String, &'a Self)> {
        match self {
            Self::List(list) => {
                let values = list.iter().enumerate();
                values
                    .map(|(index, value)| (format!("{path}[{index}]"), value))
                    .collect()
            }
            one => vec![(path.to_owned(), one)],
        }
    }

    pub(super) fn unexpected(&self, path: &str, wanted: &str) -> Malformed {
        Malformed::at(
            path,
            format!("{wanted} is wanted here, not {}", self.kind()),
        )
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Number(number.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Node, E> {
        if !number.is_finite() {
            return Err(E::custom("number out of range"));
        }
        Ok(Node::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}
