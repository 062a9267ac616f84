//! What every step of the broker is handed: the time, the bounds, and the budget.

use std::sync::Arc;
use std::time::Instant;

use crate::budget::Budget;
use crate::config::{AwsRules, Limits, Overflow};

use super::jobs::Jobs;

/// The circumstances of one call. The core reads no clock: `now` comes from the caller.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    /// The time for what live connections are measured by.
    pub(crate) live: Instant,
    /// Whole seconds since the broker started.
    pub(super) seconds: u32,
    pub(crate) limits: &'a Limits,
    pub(super) aws: &'a AwsRules,
    pub(super) on_overflow: Overflow,
    pub(crate) budget: Budget,
    /// What is nobody's turn.
    pub(super) jobs: &'a Arc<Jobs>,
    /// Steps that a shared group takes under one lock hold, at least 1.
    pub(super) batch: usize,
}
