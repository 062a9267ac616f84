//! Deadlines of the whole broker in one ordered map: session expiry, delayed wills, keep-alives.
//!
//! Nobody sleeps here. The server's timekeeper asks for the next deadline, sleeps until then on the
//! clock that tests can move, and calls back; [`Alarm`] tells it when an earlier one was set.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use super::link::Link;
use super::session::Session;

/// Told when the next deadline moved forward.
pub(crate) trait Alarm: Send + Sync {
    fn deadline_moved(&self);
}

/// Something that is due.
pub(super) enum Timer {
    SessionExpiry {
        session: Weak<Session>,
        epoch: u64,
    },
    Will {
        session: Weak<Session>,
        epoch: u64,
    },
    Resend {
        session: Weak<Session>,
        epoch: u64,
    },
    /// The owner of a connection looks at its own timers.
    Owner(Weak<dyn Link>),
}

/// Names a timer, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey(Instant, u64);

impl TimerKey {
    pub(super) fn is_due(self, now: Instant) -> bool {
        self.0 <= now
    }
}

pub(super) struct Schedule {
    timers: Mutex<Timers>,
    alarm: Arc<dyn Alarm>,
}

#[derive(Default)]
struct Timers {
    map: BTreeMap<TimerKey, Timer>,
    count: u64,
}

impl Schedule {
    pub(super) fn new(alarm: Arc<dyn Alarm>) -> Self {
        Self {
            timers: Mutex::default(),
            alarm,
        }
    }

    pub(super) fn arm(&self, at: Instant, timer: Timer) -> TimerKey {
        let mut timers = self.timers.lock();
        timers.count += 1;
        let key = TimerKey(at, timers.count);
        let is_first = timers
            .map
            .first_key_value()
            .is_none_or(|(first, _)| key < *first);
        timers.map.insert(key, timer);
        drop(timers);
        if is_first {
            self.alarm.deadline_moved();
        }
        key
    }

    pub(super) fn cancel(&self, key: TimerKey) {
        self.timers.lock().map.remove(&key);
    }

    /// Tells every owner that waits for a timer to look now.
    pub(super) fn wake_owners(&self) {
        for timer in self.timers.lock().map.values() {
            if let Timer::Owner(link) = timer
                && let Some(link) = link.upgrade()
            {
                link.wake();
            }
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.timers
            .lock()
            .map
            .first_key_value()
            .map(|(key, _)| key.0)
    }

    /// Takes one timer that is due.
    pub(super) fn pop_due(&self, now: Instant) -> Option<Timer> {
        let mut timers = self.timers.lock();
        let entry = timers.map.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
