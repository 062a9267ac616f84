//! The receivers that a turn has composed packets for and that nobody has written yet.

use std::sync::Arc;

use super::outbox::Wake;
use super::session::Session;

/// Fewer receivers than this are written at once: nothing is gained by waiting.
const FEW_RECEIVERS: usize = 8;

/// Messages per receiver from which on a write is worth its system call.
const FULL_BATCH: usize = 8;

/// Outboxes to be written at the end of a turn. Every call that may compose packets fills one;
/// whatever is still in it when it is dropped is left to the owners of the connections.
#[must_use]
#[derive(Default)]
pub(crate) struct Dirty {
    sessions: Vec<Arc<Session>>,
    /// Sessions whose queue is full, to be disconnected.
    overflowed: Vec<Arc<Session>>,
    /// Messages handed to receivers, by which a turn is bounded.
    pub(crate) deliveries: usize,
}

impl Dirty {
    /// Notes a delivery, and the receiver if it needs a writer.
    #[inline]
    pub(super) fn delivered(&mut self, session: &Arc<Session>, wake: Wake) {
        self.deliveries += 1;
        self.note(session, wake);
    }

    #[inline]
    pub(super) fn note(&mut self, session: &Arc<Session>, wake: Wake) {
        if wake == Wake::Writer {
            self.sessions.push(session.clone());
        }
    }

    #[cold]
    pub(super) fn note_overflow(&mut self, session: &Arc<Session>) {
        self.overflowed.push(session.clone());
    }

    pub(super) fn pop_overflowed(&mut self) -> Option<Arc<Session>> {
        self.overflowed.pop()
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Session>> {
        self.sessions.pop()
    }

    /// Whether many receivers got few messages each. Such a set is written after the other tasks that
    /// are ready have had a turn: they may have more for the same receivers, and a write costs the
    /// system call and hardly its bytes.
    pub(crate) fn is_thin(&self) -> bool {
        let receivers = self.sessions.len();
        receivers >= FEW_RECEIVERS && self.deliveries < FULL_BATCH * receivers
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.overflowed.is_empty()
    }
}

impl Drop for Dirty {
    fn drop(&mut self) {
        for session in self.sessions.drain(..) {
            session.wake_owner();
        }
    }
}
