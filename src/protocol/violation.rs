//! A packet that is not acceptable, and why.

use std::borrow::Cow;

use crate::codec::{DecodeError, ReasonCode};
use crate::message::cause::Cause;

/// What a client did wrong, or may not do here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Violation {
    pub(crate) reason: ReasonCode,
    /// For the log and for Reason String.
    pub(crate) text: Cow<'static, str>,
    /// The statement or the AWS behaviour that it comes from.
    pub(crate) rule: &'static str,
}

impl Violation {
    pub(crate) fn new(
        reason: ReasonCode,
        rule: &'static str,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            reason,
            text: text.into(),
            rule,
        }
    }

    /// There is no memory for it (0x97).
    pub(crate) fn no_memory() -> Self {
        let text = "the broker's memory bound is reached";
        Self::new(ReasonCode::QuotaExceeded, "limits.memory", text)
    }

    /// Breaks the protocol itself (0x82).
    pub(crate) fn protocol(rule: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ReasonCode::ProtocolError, rule, text)
    }
}

impl From<&Violation> for Cause {
    fn from(violation: &Violation) -> Self {
        Self::Refused {
            reason: violation.reason,
            text: violation.text.clone(),
            rule: violation.rule,
        }
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self::new(error.reason(), "MQTT-4.13.1-1", error.to_string())
    }
}
