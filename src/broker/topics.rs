//! The last values of topics as the HTTP API shows them, for how long they are kept, and who gets what is
//! published to a topic.
//!
//! A look keeps the table for some time of the broker's clock; who looks all the time [holds](Broker::hold_values)
//! it, however the clock is moved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::codec::QoS;
use crate::topic::{MatchPosition, Walk};

use super::Broker;
use super::last_values::{Glimpse, Kept, Valued};
use super::lifecycle::Timer;
use super::schedule::TimerKey;
use super::session::Session;
use super::snapshot::{Page, PageOf};

/// For so long on the broker's clock values are kept after somebody has looked at them.
const LEASE: Duration = Duration::from_secs(30);

/// For how long the table is kept.
#[derive(Default)]
pub(super) struct Lease(Mutex<Ends>);

#[derive(Default)]
struct Ends {
    /// When it ends, unless somebody holds it.
    end: Option<(Instant, TimerKey)>,
    holders: usize,
}

/// A level of a topic below others, and what is below it.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) name: Box<str>,
    /// Topics that have a value: the one that ends with this level, and those below.
    pub(crate) topics: usize,
    /// Messages that these had.
    pub(crate) messages: u64,
}

/// Who gets what is published to a topic.
#[derive(Default)]
pub(crate) struct Receivers {
    /// The first plain subscriptions that were found.
    pub(crate) subscriptions: Vec<ReceiverOf>,
    pub(crate) subscriptions_total: usize,
    /// The first groups that were found: share name and filter.
    pub(crate) groups: Vec<(String, String)>,
    pub(crate) groups_total: usize,
}

/// A plain subscription that gets it.
pub(crate) struct ReceiverOf {
    pub(crate) session: Arc<Session>,
    pub(crate) filter: String,
    pub(crate) qos: QoS,
}

impl Broker {
    /// Keeps the last values of topics from now on, for some time at least.
    pub(crate) fn look_at_values(&self, now: Instant) {
        self.keep_values(now);
        let mut ends = self.lease.0.lock();
        self.set_end(&mut ends, now);
    }

    /// Keeps them until they are released, and for some time after that.
    pub(crate) fn hold_values(&self, now: Instant) {
        self.keep_values(now);
        let mut ends = self.lease.0.lock();
        ends.holders += 1;
        self.set_end(&mut ends, now);
    }

    /// Ends one [hold](Self::hold_values).
    pub(crate) fn release_values(&self, now: Instant) {
        let mut ends = self.lease.0.lock();
        ends.holders = ends.holders.saturating_sub(1);
        self.set_end(&mut ends, now);
    }

    /// Drops what is kept. Whoever holds it begins anew with the next look.
    pub(crate) fn forget_values(&self) {
        self.observers.end_values();
    }

    fn set_end(&self, ends: &mut Ends, now: Instant) {
        let end = (ends.holders == 0).then(|| {
            let end = now + LEASE;
            (end, self.schedule.arm(end, Timer::EndOfTopicValues))
        });
        if let Some((_, earlier)) = std::mem::replace(&mut ends.end, end) {
            self.schedule.cancel(earlier);
        }
    }

    /// A timer fired: the table is dropped, unless somebody has looked meanwhile.
    pub(super) fn see_lease_end(&self, now: Instant) {
        let mut ends = self.lease.0.lock();
        if ends.end.is_some_and(|(end, _)| end <= now) {
            ends.end = None;
            self.observers.end_values();
        }
    }

    /// Begins to keep values unless that has begun, with the messages that are retained.
    fn keep_values(&self, now: Instant) {
        let values = self.observers.values();
        self.observers.begin_values(*self.budget, now, || {
            let context = self.context(now);
            for store in [&self.retained, &self.own_topics] {
                store.visit(None, &context, |kept| {
                    values.offer(&kept.message.publication(), kept.at);
                });
            }
        });
    }

    /// A number that is another one once a value has changed.
    pub(crate) fn values_generation(&self) -> u64 {
        self.observers.values().generation()
    }

    /// What there is of the values as a whole; `None` while none are kept.
    pub(crate) fn values_kept(&self) -> Option<Kept> {
        self.observers.values().kept()
    }

    /// The values of a topic.
    pub(crate) fn value_of(&self, topic: &str) -> Option<Valued> {
        self.observers.values().get(topic)
    }

    /// A part of what is known of a topic.
    pub(crate) fn glimpse_of(&self, topic: &str) -> Option<Glimpse> {
        self.observers.values().glimpse(topic)
    }

    /// Whether there is a retained message of a topic now, be it the broker's own.
    pub(crate) fn is_retained(&self, topic: &str, now: Instant) -> bool {
        let context = self.context(now);
        let mut stores = [&self.retained, &self.own_topics].into_iter();
        stores.any(|store| store.get(topic, &context).is_some())
    }

    /// A page of the topics that have a value, by topic.
    pub(crate) fn value_page(&self, page: &PageOf<'_>) -> Page<Arc<str>> {
        let (mut entries, mut total) = (Vec::new(), 0);
        self.observers.values().visit("", |topic, _| {
            if page.containing.is_none_or(|part| topic.contains(part)) {
                total += 1;
                if entries.len() < page.limit && page.after.is_none_or(|after| &**topic > after) {
                    entries.push(topic.clone());
                }
            }
        });
        Page { entries, total }
    }

    /// The levels that follow `under` in topics that have a value, by name: those behind `after`, at most so
    /// many, and how many there are. `under` is empty or ends with a slash.
    pub(crate) fn levels(&self, under: &str, after: Option<&str>, limit: usize) -> Page<Level> {
        let mut levels: BTreeMap<Box<str>, Level> = BTreeMap::new();
        self.observers.values().visit(under, |topic, messages| {
            let rest = topic.get(under.len()..).unwrap_or_default();
            let name = rest.split('/').next().unwrap_or_default();
            let level = match levels.get_mut(name) {
                Some(level) => level,
                None => levels.entry(name.into()).or_insert_with(|| Level {
                    name: name.into(),
                    topics: 0,
                    messages: 0,
                }),
            };
            level.topics += 1;
            level.messages += messages;
        });
        let total = levels.len();
        let behind = |name: &str| after.is_none_or(|after| name > after);
        let entries = levels.into_values().filter(|level| behind(&level.name));
        Page {
            entries: entries.take(limit).collect(),
            total,
        }
    }

    /// Who gets what is published to a topic, at most so many of each kind by name. The tables are locked for a
    /// slice at a time.
    pub(crate) fn receivers(&self, topic: &str, limit: usize) -> Receivers {
        let mut receivers = Receivers::default();
        let mut position = MatchPosition::default();
        let mut walk = Walk::More;
        while walk == Walk::More {
            walk = (self.routing).visit_matches(topic, &mut position, |leaf, filter| {
                receivers.subscriptions_total += leaf.plain_len();
                receivers.groups_total += leaf.groups().len();
                let room = limit - receivers.subscriptions.len();
                let targets = leaf.plain().take(room).map(|target| ReceiverOf {
                    session: target.session.clone(),
                    filter: filter.clone(),
                    qos: target.options.qos,
                });
                receivers.subscriptions.extend(targets);
                let room = limit - receivers.groups.len();
                let groups = leaf.groups().iter().take(room);
                let names = groups.map(|group| (group.share.to_string(), filter.clone()));
                receivers.groups.extend(names);
            });
        }
        (receivers.subscriptions).sort_by(|a, b| {
            let by_client = a.session.client_id().cmp(b.session.client_id());
            by_client.then_with(|| a.filter.cmp(&b.filter))
        });
        receivers.groups.sort();
        receivers
    }
}
