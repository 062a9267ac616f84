//! Whoever looks at messages as they are published, behind one gate: a publish looks at that, and at nothing else
//! while nobody looks.

use crate::message::publication::Publication;
use crate::topic::HashParent;

use super::bounds::Bounds;
use super::captures::{Captures, Capturing};
use super::gate::Gate;
use super::watch::Watch;

#[derive(Default)]
pub(super) struct Observers {
    gate: Gate,
    captures: Captures,
}

impl Observers {
    /// Whether anybody looks.
    #[inline]
    pub(super) fn are_any(&self) -> bool {
        self.gate.is_open()
    }

    /// Shows messages to one topic to all who look.
    #[cold]
    pub(super) fn see(&self, run: &[Publication<'_>], bounds: &Bounds<'_>) {
        self.captures.offer(run, bounds.budget, bounds.watch);
    }

    /// Begins to capture the first `wanted` messages from now on whose topics match a valid filter.
    pub(super) fn capture<'a>(
        &'a self,
        filter: &str,
        wanted: usize,
        parent: HashParent,
        watch: &'a Watch,
    ) -> Capturing<'a> {
        (self.captures).begin(filter, wanted, parent, &self.gate, watch)
    }

    /// How many captures there are on exactly this filter.
    #[cfg(feature = "http")]
    pub(super) fn captures_on(&self, filter: &str) -> usize {
        self.captures.count_on(filter)
    }
}
