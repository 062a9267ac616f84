//! Whoever looks at messages as they are published, behind one gate: a publish looks at that, and at nothing else
//! while nobody looks.

#[cfg(feature = "http")]
use std::time::Instant;

#[cfg(feature = "http")]
use crate::budget::Budget;
use crate::message::publication::Publication;

use super::bounds::Bounds;
use super::captures::{Capture, Captures, Capturing};
use super::gate::Gate;
#[cfg(feature = "http")]
use super::last_values::LastValues;
use super::session::Session;
use super::watch::{Subject, Watch};

#[derive(Default)]
pub(super) struct Observers {
    gate: Gate,
    captures: Captures,
    #[cfg(feature = "http")]
    values: LastValues,
}

impl Observers {
    /// With a journal that is written, or not.
    pub(super) fn new(has_journal: bool) -> Self {
        let observers = Self::default();
        if has_journal {
            observers.note_journal(true);
        }
        observers
    }

    /// Whether the journal is written: it has messages, too.
    pub(super) fn note_journal(&self, is_on: bool) {
        match is_on {
            true => self.gate.enter(),
            false => self.gate.leave(),
        }
    }

    /// Whether anybody looks.
    #[inline]
    pub(super) fn are_any(&self) -> bool {
        self.gate.is_open()
    }

    /// Shows messages to one topic to all who look.
    #[cold]
    pub(super) fn see(&self, run: &[Publication<'_>], from: Option<&Session>, bounds: &Bounds<'_>) {
        if bounds.tap.is_some_and(|tap| tap.note_messages(run)) {
            bounds.watch.note(Subject::Captures);
        }
        self.captures.offer(run, bounds.watch);
        #[cfg(feature = "http")]
        self.values.see(run, from, bounds);
        #[cfg(not(feature = "http"))]
        let _ = from;
    }

    /// Begins to capture messages. Those of the journal are to be read besides.
    pub(super) fn capture<'a>(&'a self, capture: Capture, watch: &'a Watch) -> Capturing<'a> {
        self.captures.begin(capture, &self.gate, watch)
    }

    /// How many captures there are on exactly this filter.
    #[cfg(feature = "http")]
    pub(super) fn captures_on(&self, filter: &str) -> usize {
        self.captures.count_on(filter)
    }
}

#[cfg(feature = "http")]
impl Observers {
    pub(super) fn values(&self) -> &LastValues {
        &self.values
    }

    /// Begins to keep the last values of topics, unless that has begun; `fill` adds what there was before.
    pub(super) fn begin_values(&self, budget: Budget, now: Instant, fill: impl FnOnce()) {
        self.values.begin(&self.gate, budget, now, fill);
    }

    /// Keeps none any more.
    pub(super) fn end_values(&self) {
        self.values.end(&self.gate);
    }
}
