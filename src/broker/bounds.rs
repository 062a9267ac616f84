//! The time, the bounds, and the budget: all that a receiver and a store need to know of a turn.

use std::time::Instant;

use crate::budget::Budget;
use crate::config::{AwsRules, Limits, Overflow};
use crate::tap::Tap;

use super::discard::{self, Discard, Rest};
use super::watch::Watch;

/// The circumstances of one call. The core reads no clock: `now` comes from the caller.
#[derive(Clone, Copy)]
pub(crate) struct Bounds<'a> {
    pub(crate) now: Instant,
    /// The time for what live connections are measured by.
    pub(crate) live: Instant,
    /// Whole seconds since the broker started.
    pub(super) seconds: u32,
    pub(crate) limits: &'a Limits,
    pub(super) aws: &'a AwsRules,
    pub(super) on_overflow: Overflow,
    pub(crate) budget: Budget,
    /// Who looks at packets on their way, while somebody does.
    pub(crate) tap: Option<&'a Tap>,
    /// Who drops what is left of something long.
    pub(super) rest: &'a dyn Rest,
    /// Told of what somebody may wait for.
    pub(super) watch: &'a Watch,
}

impl Bounds<'_> {
    /// Drops what may be long: a little now, much in turns.
    pub(super) fn discard(&self, what: impl Discard + 'static) {
        discard::discard(what, self.rest);
    }
}
