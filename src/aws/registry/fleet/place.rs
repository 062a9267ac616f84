//! Reading a document, and finding in it what is wrong.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::nearest::nearest;
use crate::objects::{Objects, in_words};

use super::{Fleet, FleetError, Format};

/// A step from a value to one of its members.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Name(String),
    Number(usize),
}

/// Reads a document, of which every member has to be known and of the right kind.
pub(super) fn parse(text: &str, format: Format) -> Result<Fleet, FleetError> {
    match format {
        Format::Json => {
            let mut json = serde_json::Deserializer::from_str(text);
            let fleet = serde_path_to_error::deserialize(Objects(&mut json)).map_err(|error| {
                let path = path_of(error.path());
                json_error(path, error.inner())
            })?;
            json.end()
                .map_err(|error| json_error(String::new(), &error))?;
            Ok(fleet)
        }
        Format::Toml => {
            let toml = toml::Deserializer::parse(text)
                .map_err(|error| toml_error(text, String::new(), &error))?;
            serde_path_to_error::deserialize(Objects(toml)).map_err(|error| {
                let path = path_of(error.path());
                toml_error(text, path, error.inner())
            })
        }
    }
}

/// A path as it is read best; that of the whole is empty.
fn path_of(path: &serde_path_to_error::Path) -> String {
    let steps = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Step::Number(*index)),
        Segment::Map { key } => Some(Step::Name(key.clone())),
        _ => None,
    });
    written(steps)
}

fn written(steps: impl Iterator<Item = Step>) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Number(index) => path.push_str(&format!("[{index}]")),
            Step::Name(name) if path.is_empty() => path = name,
            Step::Name(name) => path.push_str(&format!(".{name}")),
        }
    }
    path
}

fn json_error(path: String, error: &serde_json::Error) -> FleetError {
    let text = error.to_string();
    // It ends with the place, which has members of its own here.
    let reason = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(reason, _)| reason);
    FleetError {
        line: error.line().max(1),
        column: error.column().max(1),
        path,
        reason: with_nearest(reason),
    }
}

fn toml_error(text: &str, path: String, error: &toml::de::Error) -> FleetError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    FleetError {
        line: before.matches('\n').count() + 1,
        column: before.len() - line_start + 1,
        path,
        reason: with_nearest(error.message()),
    }
}

/// What is said of a member that does not exist, with the one that may have been meant.
fn with_nearest(reason: &str) -> String {
    let Some(rest) = reason.strip_prefix("unknown field `") else {
        return in_words(reason).into_owned();
    };
    // What serde says: the field, and all that there are, between backquotes.
    let mut names = rest.split('`').step_by(2);
    let wanted = names.next().unwrap_or_default();
    let known = names.filter(|name| !name.is_empty());
    match nearest(wanted, known) {
        Some(nearest) => format!("there is no such member: did you mean `{nearest}`?"),
        None => format!("unknown field `{rest}"),
    }
}

/// The steps of a path that was [`written`] of this document. Names may hold what stands between steps.
pub(super) fn steps(path: &str, document: &Value) -> Vec<Step> {
    let (mut rest, mut value) = (path, document);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let found = match value {
            Value::Object(members) => {
                let wanted = rest.strip_prefix('.').unwrap_or(rest);
                let ends = |left: &str| left.is_empty() || left.starts_with(['.', '[']);
                let mut members = members.iter().filter_map(|(name, member)| {
                    let left = wanted
                        .strip_prefix(name.as_str())
                        .filter(|left| ends(left))?;
                    Some((Step::Name(name.clone()), member, left))
                });
                members.next()
            }
            Value::Array(members) => rest
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .and_then(|(number, left)| {
                    let number = number.parse().ok()?;
                    Some((Step::Number(number), members.get(number)?, left))
                }),
            _ => None,
        };
        let Some((step, member, left)) = found else {
            break; // what is there is near enough
        };
        steps.push(step);
        (value, rest) = (member, left);
    }
    steps
}

/// Says where in a document the member of a path is.
pub(super) fn locate(text: &str, format: Format, path: &[Step], reason: String) -> FleetError {
    let at = At(path);
    let written = written(path.iter().cloned());
    let found = match format {
        Format::Json => {
            let mut json = serde_json::Deserializer::from_str(text);
            let error = at.deserialize(&mut json).err();
            error.map(|error| json_error(String::new(), &error))
        }
        Format::Toml => {
            let error = match toml::Deserializer::parse(text) {
                Ok(toml) => at.deserialize(toml).err(),
                Err(error) => Some(error),
            };
            error.map(|error| toml_error(text, String::new(), &error))
        }
    };
    // The walk fails where the path ends: both formats know the place of an error.
    let (line, column) = found.map_or((1, 1), |found| (found.line, found.column));
    FleetError {
        line,
        column,
        path: written,
        reason,
    }
}

/// Walks along a path, and fails at its end.
struct At<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    // Whatever else there is than what the path leads through is the end.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the end of the path")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Name(wanted), rest)) = self.0.split_first() else {
            return Err(A::Error::custom("here"));
        };
        while let Some(name) = map.next_key::<String>()? {
            if name == *wanted {
                return map.next_value_seed(At(rest));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(A::Error::custom("here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::Number(wanted), rest)) = self.0.split_first() else {
            return Err(A::Error::custom("here"));
        };
        for _ in 0..*wanted {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(At(rest))?;
        Err(A::Error::custom("here"))
    }
}
