//! The broker's clock: the system's, moved forward as far as a test likes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where the broker takes the time from. Every expiry, keep-alive and delay runs on it.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Nanoseconds that the clock is ahead of the system's.
    ahead: AtomicU64,
}

impl Clock {
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        let now = Instant::now();
        match self.ahead.load(Ordering::Relaxed) {
            0 => now,
            ahead => now.checked_add(Duration::from_nanos(ahead)).unwrap_or(now),
        }
    }
}
