//! How a task is told that its connection needs it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use atomic_waker::AtomicWaker;

/// A flag that wakes the task that waits for it.
#[derive(Default)]
pub(super) struct Signal {
    set: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    pub(super) fn set(&self) {
        if !self.set.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Registers the task, then looks: a signal set in between is not missed.
    pub(super) fn take(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.set.load(Ordering::Relaxed) && self.set.swap(false, Ordering::AcqRel)
    }
}
