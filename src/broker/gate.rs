//! How many look at messages as they are published: all that a publish looks at while nobody does.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Open while somebody looks.
#[derive(Default)]
pub(super) struct Gate(AtomicUsize);

impl Gate {
    /// Somebody begins to look.
    pub(super) fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody who has entered looks no more.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether anybody looks.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}
