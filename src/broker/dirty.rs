//! The receivers that a turn has composed packets for and that nobody has written yet.

use std::collections::VecDeque;
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
    /// The one that has waited longest comes first, and so takes along what came for it meanwhile.
    sessions: VecDeque<Arc<Session>>,
    /// Sessions whose queue is full, to be disconnected.
    overflowed: Vec<Arc<Session>>,
    /// Messages handed to receivers in this turn.
    deliveries: usize,
    /// What that took, by which a turn is bounded: a step for each message, or for each run that was
    /// copied in one piece.
    steps: usize,
}

impl Dirty {
    /// Notes a delivery, and the receiver if it needs a writer.
    #[inline]
    pub(super) fn delivered(&mut self, session: &Arc<Session>, wake: Wake) {
        self.deliveries += 1;
        self.steps += 1;
        self.note(session, wake);
    }

    /// Notes that one receiver was offered `messages` in so many steps.
    #[inline]
    pub(super) fn offered(&mut self, messages: usize, steps: usize) {
        self.deliveries += messages;
        self.steps += steps;
    }

    /// Starts counting for another turn; receivers that wait for a writer stay.
    pub(crate) fn begin_turn(&mut self) {
        self.deliveries = 0;
        self.steps = 0;
    }

    /// What has been done for receivers in this turn.
    #[inline]
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    #[inline]
    pub(super) fn note(&mut self, session: &Arc<Session>, wake: Wake) {
        if wake == Wake::Writer {
            self.sessions.push_back(session.clone());
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
        self.sessions.pop_front()
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
