//! A socket that never was: it takes as many bytes as it has room for, holds them until the client
//! reads, and is full, busy or broken when the simulation wants it to be.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::broker::{Link, Mailbox, Written};

/// The broker's way to one client.
pub(crate) struct Wire {
    state: Mutex<State>,
    mailbox: Mailbox,
    /// Counts retirements in the whole simulation.
    retirements: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    /// Bytes that it takes before it is full.
    room: usize,
    /// Written and not yet read by the client.
    sent: VecDeque<u8>,
    /// Bytes taken since the beginning, and the last of them.
    taken: usize,
    latest: Vec<u8>,
    /// A write has failed since the simulation asked last.
    failed: bool,
    woken: bool,
    /// The next write finds somebody else at it.
    busy: bool,
    broken: bool,
    retired_at: Option<u64>,
    /// Done in the middle of the next write, when no lock is held.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

impl Wire {
    pub(crate) fn new(room: usize, retirements: Arc<AtomicU64>) -> Self {
        let state = State {
            room,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            mailbox: Mailbox::default(),
            retirements,
        }
    }

    /// Whether a write comes to anything, if only to an error.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.room > 0 || state.broken
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.state.lock().woken
    }

    pub(crate) fn take_woken(&self) -> bool {
        std::mem::take(&mut self.state.lock().woken)
    }

    pub(crate) fn make_busy(&self) {
        self.state.lock().busy = true;
    }

    pub(crate) fn break_off(&self) {
        let mut state = self.state.lock();
        state.broken = true;
        state.sent.clear();
    }

    /// The client reads at most `limit` bytes, which makes room for as many.
    pub(crate) fn read(&self, limit: usize) -> Vec<u8> {
        let mut state = self.state.lock();
        let count = limit.min(state.sent.len());
        state.room += count;
        state.sent.drain(..count).collect()
    }

    pub(crate) fn has_unread(&self) -> bool {
        !self.state.lock().sent.is_empty()
    }
}

/// What the simulation sees and does beyond what fuzzing does.
#[cfg(test)]
impl Wire {
    /// Bytes that the socket took since the beginning, and those since the last call.
    pub(crate) fn take_latest(&self) -> (usize, Vec<u8>) {
        let mut state = self.state.lock();
        (state.taken, std::mem::take(&mut state.latest))
    }

    /// Whether a write has failed since the last call.
    pub(crate) fn take_failed(&self) -> bool {
        std::mem::take(&mut self.state.lock().failed)
    }

    /// When the session left this connection, compared with others.
    pub(crate) fn retired_at(&self) -> Option<u64> {
        self.state.lock().retired_at
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state.lock().broken
    }

    /// Whether something happens in the middle of the next write.
    pub(crate) fn has_meanwhile(&self) -> bool {
        self.state.lock().meanwhile.is_some()
    }

    /// Sets what happens in the middle of the next write, or that nothing does.
    pub(crate) fn set_meanwhile(&self, action: Option<Box<dyn FnOnce() + Send>>) {
        self.state.lock().meanwhile = action;
    }
}

impl Link for Wire {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        let bytes = slices.concat();
        let meanwhile = self.state.lock().meanwhile.take();
        if let Some(action) = meanwhile {
            action();
        }
        let mut state = self.state.lock();
        if state.broken {
            state.failed = true;
            return Written::Broken;
        }
        if std::mem::take(&mut state.busy) {
            return Written::Deferred;
        }
        let count = bytes.len().min(state.room);
        state.room -= count;
        state.taken += count;
        state.sent.extend(&bytes[..count]);
        state.latest.extend(&bytes[..count]);
        if count < bytes.len() {
            Written::Full(count)
        } else {
            Written::Bytes(count)
        }
    }

    fn wake(&self) {
        let mut state = self.state.lock();
        state.woken = true;
        if state.retired_at.is_none() && self.mailbox.is_retired() {
            state.retired_at = Some(self.retirements.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}
