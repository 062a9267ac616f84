//! An outage: the network is gone for a time on the broker's clock. Connections are lost without a word, new
//! ones are closed as soon as they are accepted, and what the broker keeps of clients is kept as after any
//! lost connection. Subscriptions of the program that the broker runs in are no connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::message::cause::Cause;

use super::Broker;
use super::facts::ConnectionFacts;
use super::lifecycle::Timer;
use super::schedule::TimerKey;
use super::session::Session;
use super::turn::{Context, Dirty};

/// Whether there is an outage, and until when.
#[derive(Default)]
pub(super) struct Outage {
    /// All that a connection looks at.
    is_on: AtomicBool,
    end: Mutex<Option<(Instant, TimerKey)>>,
}

impl Broker {
    /// Begins an outage, or has one end at another time. Those who are connected [lose](Self::lose) their
    /// connections then.
    pub(crate) fn begin_outage(&self, lasts: Duration, now: Instant) {
        let end = now + lasts;
        let mut kept = self.outage.end.lock();
        let timer = self.schedule.arm(end, Timer::EndOfOutage);
        if let Some((_, earlier)) = kept.replace((end, timer)) {
            self.schedule.cancel(earlier);
        }
        // The lock of each session orders this before the look of whoever connects to it.
        self.outage.is_on.store(true, Ordering::Release);
        drop(kept);
        // Those that have not sent CONNECT end, too.
        self.schedule.wake_owners();
    }

    /// Has a session lose its connection, unless it is the program's own. Returns whether it had one.
    pub(crate) fn lose(
        &self,
        session: &Arc<Session>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        let epoch = {
            let slot = session.slot();
            let facts = slot.facts.as_ref();
            facts
                .is_some_and(|facts| self.is_cut_off(facts))
                .then_some(slot.epoch)
        };
        if let Some(epoch) = epoch {
            self.detach(session, epoch, Cause::Outage, context, dirty);
        }
        epoch.is_some()
    }

    /// Ends the outage, if there is one.
    pub(crate) fn end_outage(&self) {
        let mut kept = self.outage.end.lock();
        if let Some((_, timer)) = kept.take() {
            self.schedule.cancel(timer);
        }
        self.outage.is_on.store(false, Ordering::Release);
    }

    /// A timer fired: the outage ends, unless another one has begun meanwhile.
    pub(super) fn see_outage_end(&self, now: Instant) {
        let mut kept = self.outage.end.lock();
        if kept.is_some_and(|(end, _)| end <= now) {
            *kept = None;
            self.outage.is_on.store(false, Ordering::Release);
        }
    }

    /// How long the outage lasts from now on, if there is one.
    #[cfg(feature = "http")]
    pub(crate) fn outage_left(&self, now: Instant) -> Option<Duration> {
        let kept = self.outage.end.lock();
        kept.map(|(end, _)| end.saturating_duration_since(now))
    }

    /// Whether there is an outage.
    #[inline]
    pub(crate) fn has_outage(&self) -> bool {
        self.outage.is_on.load(Ordering::Acquire)
    }

    /// Whether an outage keeps a connection from its session.
    pub(super) fn is_cut_off(&self, facts: &ConnectionFacts) -> bool {
        self.has_outage() && !facts.is_local()
    }
}
