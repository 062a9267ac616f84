//! What is answered and told (AWS-SHADOW-05 to -08, -11, -37, -41).

use serde::Serialize;
use serde_json::{Map, Value};

use super::document::{Document, Sections};
use super::error::Error;
use super::request::Update;
use super::tree::{Seconds, Times, Values};

/// Writes an answer: of text and numbers, of which JSON can say everything.
fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}

#[derive(Serialize)]
struct Full<S, M> {
    state: S,
    metadata: M,
    version: u64,
    timestamp: Seconds,
    #[serde(rename = "clientToken", skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// `update/accepted`: what was sent.
pub(crate) fn accepted(update: &Update, version: u64, now: Seconds) -> Vec<u8> {
    let sent = Sections::sent(update, now);
    json(&Full::<&Map<String, Value>, _> {
        state: &update.state,
        metadata: sent.metadata(),
        version,
        timestamp: now,
        token: update.token.clone(),
    })
}

/// `get/accepted`: everything.
pub(crate) fn got(document: &Document, token: Option<String>, now: Seconds) -> Vec<u8> {
    let sections = document.with_delta();
    json(&Full {
        state: sections.state(),
        metadata: sections.metadata(),
        version: document.version,
        timestamp: now,
        token,
    })
}

/// `update/delta`: what differs, if anything.
pub(crate) fn delta(document: &Document, token: Option<String>, now: Seconds) -> Option<Vec<u8>> {
    let delta = document.delta();
    let answer = || {
        json(&Full {
            state: Values(&delta),
            metadata: Times(&delta),
            version: document.version,
            timestamp: now,
            token,
        })
    };
    (!delta.is_empty()).then(answer)
}

/// `update/documents`: before and after.
pub(crate) fn documents(
    previous: Option<&Document>,
    current: &Document,
    token: Option<String>,
    now: Seconds,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Kept<S, M> {
        state: S,
        metadata: M,
        version: u64,
    }
    #[derive(Serialize)]
    struct Documents<P, C> {
        previous: Option<P>,
        current: C,
        timestamp: Seconds,
        #[serde(rename = "clientToken", skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    }
    let kept = |document: &'_ Document| Kept {
        state: serde_json::to_value(document.sections.state()).ok(),
        metadata: serde_json::to_value(document.sections.metadata()).ok(),
        version: document.version,
    };
    json(&Documents {
        previous: previous.map(kept),
        current: kept(current),
        timestamp: now,
        token,
    })
}

#[derive(Serialize)]
struct Short<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    timestamp: Seconds,
    #[serde(rename = "clientToken", skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// `delete/accepted`: what the version was.
pub(crate) fn deleted(version: u64, token: Option<&str>, now: Seconds) -> Vec<u8> {
    json(&Short {
        code: None,
        message: None,
        version: Some(version),
        timestamp: now,
        token,
    })
}

/// `rejected`, and the body of an error over HTTP.
pub(crate) fn rejected(error: &Error, token: Option<&str>, now: Seconds) -> Vec<u8> {
    json(&Short {
        code: Some(error.code()),
        message: Some(error.to_string()),
        version: None,
        timestamp: now,
        token,
    })
}
