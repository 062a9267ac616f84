//! How the connection of a client ended that it had last.

use std::sync::Arc;
use std::time::Instant;

use crate::codec::ReasonCode;
use crate::message::cause::{Cause, Initiator};

/// How a connection ended.
#[derive(Clone, Debug)]
pub(crate) struct LastEnd {
    pub(crate) by: Initiator,
    /// What kind of end it was ([`Cause::name`]).
    pub(crate) cause: &'static str,
    /// Of the DISCONNECT that ended it, from either side.
    pub(crate) code: Option<ReasonCode>,
    /// In words.
    pub(crate) reason: Arc<str>,
    pub(crate) at: Instant,
}

impl LastEnd {
    pub(super) fn new(cause: &Cause, at: Instant) -> Self {
        Self {
            by: cause.initiator(),
            cause: cause.name(),
            code: cause.code(),
            reason: kept_reason(&cause.to_string()),
            at,
        }
    }
}

/// The beginning of a reason in words, as it is kept: 200 characters.
pub(super) fn kept_reason(text: &str) -> Arc<str> {
    let end = text.char_indices().nth(200).map(|(end, _)| end);
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or_default()
        .into()
}
