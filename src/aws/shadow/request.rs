//! What a request says (AWS-SHADOW-04, -22, -27, -33, -44).

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::objects::from_json;

use super::super::registry;
use super::error::Error;
use super::{LEVELS_MAX, SIZE_MAX, TOKEN_MAX};

/// A request to update a shadow.
#[derive(Debug)]
pub(crate) struct Update {
    /// `state` as it was sent.
    pub(super) state: Map<String, Value>,
    /// The version that the shadow must have.
    pub(super) version: Option<u64>,
    pub(crate) token: Option<String>,
}

/// What an update does to one half of a shadow.
pub(super) enum Section<'a> {
    Merge(&'a Map<String, Value>),
    Remove,
}

/// A refusal, and the token of the request as far as it could be read.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: Error,
    pub(crate) token: Option<String>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, token: None }
    }
}

/// What the registry says of a change.
impl From<registry::Error> for Refused {
    fn from(error: registry::Error) -> Self {
        Error::from(error).into()
    }
}

impl Update {
    /// Reads the payload of a request.
    ///
    /// # Errors
    ///
    /// All of the service's that concern the request alone.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Refused> {
        let mut members = members(payload)?;
        let token = token(&members)?;
        match Self::checked(&mut members) {
            Ok((state, version)) => Ok(Self {
                state,
                version,
                token,
            }),
            Err(error) => Err(Refused { error, token }),
        }
    }

    fn checked(
        members: &mut Map<String, Value>,
    ) -> Result<(Map<String, Value>, Option<u64>), Error> {
        let version = match members.get("version") {
            None | Some(Value::Null) => None,
            Some(version) => Some(version.as_u64().ok_or(Error::Version)?),
        };
        let state = match members.remove("state") {
            None => return Err(Error::NoState),
            Some(Value::Object(state)) => state,
            Some(_) => return Err(Error::State),
        };
        for (name, section) in &state {
            let error = match name.as_str() {
                "desired" => Error::Desired,
                "reported" => Error::Reported,
                _ => return Err(Error::InvalidNode),
            };
            match section {
                Value::Null => {}
                Value::Object(members) => check_members(members, LEVELS_MAX)?,
                _ => return Err(error),
            }
        }
        Ok((state, version))
    }

    /// Whether it is for a shadow of this version; that of one that is not there is 0 (AWS-SHADOW-22).
    pub(crate) fn is_for(&self, version: u64) -> bool {
        self.version.is_none_or(|expected| expected == version)
    }

    pub(super) fn section(&self, name: &str) -> Option<Section<'_>> {
        match self.state.get(name)? {
            Value::Object(members) => Some(Section::Merge(members)),
            _ => Some(Section::Remove),
        }
    }
}

/// The token of a request to get or to delete a shadow, whose payload may be empty (AWS-SHADOW-38).
///
/// # Errors
///
/// A payload that is something else.
pub(crate) fn parse_token(payload: &[u8]) -> Result<Option<String>, Refused> {
    match payload {
        [] => Ok(None),
        payload => token(&members(payload)?),
    }
}

fn members(payload: &[u8]) -> Result<Map<String, Value>, Refused> {
    if payload.len() > SIZE_MAX {
        return Err(Refused {
            error: Error::TooLarge,
            token: token_alone(payload),
        });
    }
    let text = str::from_utf8(payload).map_err(|_| Error::Encoding)?;
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Err(error) if is_too_deep(&error) => Err(Refused {
            error: Error::TooDeep,
            token: token_alone(payload),
        }),
        Ok(_) | Err(_) => Err(Error::InvalidJson.into()),
    }
}

/// Whether a text has more levels than the reader goes down.
fn is_too_deep(error: &serde_json::Error) -> bool {
    // The only sign of it that the library gives.
    error.to_string().starts_with("recursion limit exceeded")
}

/// The token of a payload of which nothing else is kept: who waits for an answer knows it by the token
/// (AWS-FLOW-35).
fn token_alone(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Tokened {
        #[serde(rename = "clientToken")]
        token: Option<String>,
    }
    let tokened: Tokened = from_json(payload).ok()?;
    tokened.token.filter(|token| token.len() <= TOKEN_MAX)
}

fn token(members: &Map<String, Value>) -> Result<Option<String>, Refused> {
    match members.get("clientToken") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) if token.len() <= TOKEN_MAX => Ok(Some(token.clone())),
        Some(_) => Err(Error::Token.into()),
    }
}

/// Members that have so many levels at most, their own among them.
fn check_members(members: &Map<String, Value>, levels: usize) -> Result<(), Error> {
    let below = levels.checked_sub(1).ok_or(Error::TooDeep)?;
    members
        .values()
        .try_for_each(|value| check(value, below, true))
}

/// A value that has so many levels at most; `null` only removes, so it stands in no array (AWS-SHADOW-33).
fn check(value: &Value, levels: usize, may_be_null: bool) -> Result<(), Error> {
    match value {
        Value::Null if !may_be_null => Err(Error::InvalidNode),
        Value::Object(members) => {
            let below = levels.checked_sub(1).ok_or(Error::TooDeep)?;
            let mut members = members.values();
            members.try_for_each(|value| check(value, below, may_be_null))
        }
        Value::Array(elements) => {
            let below = levels.checked_sub(1).ok_or(Error::TooDeep)?;
            elements
                .iter()
                .try_for_each(|value| check(value, below, false))
        }
        _ => Ok(()),
    }
}
