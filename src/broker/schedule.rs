//! Deadlines of the whole broker: session expiry, delayed wills and resends on the broker's time, those
//! of connections (keep-alive, the time to CONNECT, a stalled socket) on the time of live ones.
//!
//! Nobody sleeps here. The server's timekeeper asks how long there is nothing to do, sleeps until then
//! on the clock that tests can move, and calls back; [`Alarm`] tells it when an earlier one was set.
//!
//! A connection that was woken is *settled* once it has done what came of that. Whoever moves the clock
//! step by step waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::chunked::sorted::Sorted;
use crate::time::{Moment, Stamp};

use super::outbox::link::Link;

/// Told what the timekeeper waits for.
pub(crate) trait Alarm: Send + Sync {
    /// The next deadline moved forward.
    fn deadline_moved(&self);

    /// All connections that were woken have done what came of that.
    fn owners_settled(&self) {}
}

/// Names a timer, to cancel it: when it is due, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey(Stamp, u64);

impl TimerKey {
    pub(crate) fn is_due(self, now: Instant) -> bool {
        self.at() <= now
    }

    fn at(self) -> Instant {
        self.0.into()
    }
}

/// What is due when: on the broker's time whatever `T` says, and owners of connections.
pub(super) struct Schedule<T> {
    timers: Mutex<Timers<T>>,
    alarm: Arc<dyn Alarm>,
}

/// What is due first, in order.
pub(super) struct Firsts<R> {
    /// On the broker's time.
    pub(super) timers: Vec<(Instant, R)>,
    /// On the time of live connections.
    pub(super) owners: Vec<(Instant, Weak<dyn Link>)>,
    /// All that are set, of both.
    pub(super) total: usize,
}

/// Connections by the time at which to wake them.
type Owners = Sorted<TimerKey, Weak<dyn Link>>;

struct Timers<T> {
    /// On the broker's time.
    map: Sorted<TimerKey, T>,
    /// On the time of live connections.
    owners: Owners,
    /// On the broker's time.
    own_time_owners: Owners,
    /// Connections that were woken and are not settled.
    woken: BTreeMap<TimerKey, Weak<dyn Link>>,
    count: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            map: Sorted::default(),
            owners: Sorted::default(),
            own_time_owners: Sorted::default(),
            woken: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<T> Timers<T> {
    fn key(&mut self, at: Instant) -> TimerKey {
        self.count += 1;
        TimerKey(at.into(), self.count)
    }
}

impl<T> Timers<T> {
    fn take_due_owner(&mut self, moment: Moment) -> Option<(TimerKey, Weak<dyn Link>)> {
        let both = [
            (&mut self.owners, moment.live),
            (&mut self.own_time_owners, moment.now),
        ];
        both.into_iter()
            .find_map(|(owners, now)| owners.pop_first_if(|key| key.is_due(now)))
    }
}

impl<T> Schedule<T> {
    pub(super) fn new(alarm: Arc<dyn Alarm>) -> Self {
        Self {
            timers: Mutex::default(),
            alarm,
        }
    }

    /// Sets a timer on the broker's time.
    pub(super) fn arm(&self, at: Instant, timer: T) -> TimerKey {
        let mut timers = self.timers.lock();
        let key = timers.key(at);
        timers.map.insert(key, timer);
        let is_first = first(&timers.map) == Some(key.at());
        drop(timers);
        if is_first {
            self.alarm.deadline_moved();
        }
        key
    }

    /// Lets the owner of a connection look at its own timers then, on the time of live connections.
    pub(crate) fn wake(&self, at: Instant, link: &Arc<dyn Link>) -> TimerKey {
        self.wake_in(|timers| &mut timers.owners, at, link)
    }

    /// The same on the broker's time.
    pub(crate) fn wake_on_own_time(&self, at: Instant, link: &Arc<dyn Link>) -> TimerKey {
        self.wake_in(|timers| &mut timers.own_time_owners, at, link)
    }

    fn wake_in(
        &self,
        owners: impl FnOnce(&mut Timers<T>) -> &mut Owners,
        at: Instant,
        link: &Arc<dyn Link>,
    ) -> TimerKey {
        let mut timers = self.timers.lock();
        let key = timers.key(at);
        let owners = owners(&mut timers);
        owners.insert(key, Arc::downgrade(link));
        let is_first = first(owners) == Some(key.at());
        drop(timers);
        if is_first {
            self.alarm.deadline_moved();
        }
        key
    }

    /// Forgets a timer, also one of an owner that was woken for it and is settled.
    pub(crate) fn cancel(&self, key: TimerKey) {
        let mut timers = self.timers.lock();
        let is_ahead = timers.owners.remove(&key).is_some()
            || timers.map.remove(&key).is_some()
            || timers.own_time_owners.remove(&key).is_some();
        if is_ahead {
            return;
        }
        let is_settled = timers.woken.remove(&key).is_some() && timers.woken.is_empty();
        drop(timers);
        if is_settled {
            self.alarm.owners_settled();
        }
    }

    /// Tells every owner that waits for a timer to look now.
    pub(super) fn wake_owners(&self) {
        let timers = self.timers.lock();
        let all = timers.owners.iter().chain(timers.own_time_owners.iter());
        for (_, link) in all {
            if let Some(link) = link.upgrade() {
                link.wake();
            }
        }
    }

    /// How long nothing is due, on the broker's time and on that of live connections.
    pub(super) fn idle_times(&self, moment: Moment) -> [Option<Duration>; 2] {
        let timers = self.timers.lock();
        let own = [first(&timers.map), first(&timers.own_time_owners)];
        let (now, live) = (own.into_iter().flatten().min(), first(&timers.owners));
        [
            now.map(|at| at.saturating_duration_since(moment.now)),
            live.map(|at| at.saturating_duration_since(moment.live)),
        ]
    }

    /// The next deadline, where both times are one.
    #[cfg(any(test, fuzzing))]
    pub(super) fn next(&self) -> Option<Instant> {
        let timers = self.timers.lock();
        let firsts = [
            first(&timers.map),
            first(&timers.owners),
            first(&timers.own_time_owners),
        ];
        firsts.into_iter().flatten().min()
    }

    /// Takes one timer that is due.
    pub(super) fn pop_due(&self, now: Instant) -> Option<T> {
        let mut timers = self.timers.lock();
        let due = timers.map.pop_first_if(|key| key.is_due(now));
        due.map(|(_, timer)| timer)
    }

    /// Wakes one owner that is due. Returns whether there was one.
    pub(super) fn wake_due_owner(&self, moment: Moment) -> bool {
        let mut timers = self.timers.lock();
        let Some((key, link)) = timers.take_due_owner(moment) else {
            return false;
        };
        if let Some(owner) = link.upgrade() {
            timers.woken.insert(key, link);
            drop(timers);
            owner.wake();
        }
        true
    }

    /// What is due first: at most so many timers, and as many owners.
    pub(super) fn firsts<R>(&self, limit: usize, mut see: impl FnMut(&T) -> R) -> Firsts<R> {
        let timers = self.timers.lock();
        let map = timers.map.iter().take(limit);
        let owners = timers.owners.iter().take(limit);
        Firsts {
            timers: map.map(|(key, timer)| (key.at(), see(timer))).collect(),
            owners: owners.map(|(key, link)| (key.at(), link.clone())).collect(),
            total: timers.map.len() + timers.owners.len(),
        }
    }

    /// Whether all owners that were woken are settled, or gone.
    pub(super) fn is_settled(&self) -> bool {
        let mut timers = self.timers.lock();
        timers.woken.retain(|_, link| link.strong_count() > 0);
        timers.woken.is_empty()
    }
}

fn first<T>(timers: &Sorted<TimerKey, T>) -> Option<Instant> {
    timers.first().map(|(key, _)| key.at())
}
