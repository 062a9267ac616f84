//! Retained messages: the last one of each topic.

use std::cmp::Ordering as Order;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::budget::{Charge, Kind};
use crate::message::publication::{Message, Publication};
use crate::topic::{HashParent, Named, Names, Position, Walk};

use super::bounds::Bounds;

/// The last retained message of each topic (MQTT-3.3.1-5).
pub(super) struct Retained {
    store: RwLock<Store>,
    parent: HashParent,
    count: AtomicUsize,
}

pub(super) struct Store {
    names: Names<Kept>,
    /// Of the message that was stored last.
    last_number: u64,
    /// Those that expire, so that nothing else is looked at when some have.
    expiring: BTreeSet<Expiring>,
    charge: Option<Charge>,
}

/// A message, and its number in the order of storing.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) message: Message,
    number: u64,
    /// When it was stored.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "only the HTTP API tells of it")
    )]
    pub(crate) at: Instant,
}

/// A message that expires; the first to do so comes first.
struct Expiring(Message);

/// What a place among the topics takes besides the message.
const PLACE: usize = 56;

/// What one among those that expire takes.
const EXPIRY: usize = 40;

/// Expired messages that are removed while the store is locked.
pub(super) const SWEEP: usize = 256;

/// There are as many retained messages as the limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Retained {
    pub(super) fn new(parent: HashParent) -> Self {
        let store = Store {
            names: Names::default(),
            last_number: 0,
            expiring: BTreeSet::new(),
            charge: None,
        };
        Self {
            store: RwLock::new(store),
            parent,
            count: AtomicUsize::new(0),
        }
    }

    /// Keeps a message in place of the one before, or removes that if the payload is empty
    /// (MQTT-3.3.1-6, -7).
    pub(super) fn store(
        &self,
        publication: &Publication<'_>,
        bounds: &Bounds<'_>,
    ) -> Result<(), Full> {
        self.store_up_to(bounds.limits.retained, publication, bounds)
    }

    /// The same with a limit of its own.
    pub(super) fn store_up_to(
        &self,
        limit: usize,
        publication: &Publication<'_>,
        bounds: &Bounds<'_>,
    ) -> Result<(), Full> {
        let mut store = self.store.write();
        let removed = if publication.payload.is_empty() {
            store.remove(publication.topic)
        } else {
            let is_at_limit = store.names.len() >= limit;
            if is_at_limit && store.names.get(publication.topic).is_none() {
                return Err(Full);
            }
            let size = publication.size() + PLACE + EXPIRY;
            if !bounds.budget.has_room(Kind::Retained, size) {
                return Err(Full);
            }
            let message = publication.message_alone(bounds.budget);
            message.charge_as(Kind::Retained);
            store.insert(message, bounds.now)
        };
        if let Some(removed) = removed {
            removed.charge_as(Kind::Queues);
        }
        store.settle(bounds);
        self.count.store(store.names.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Locks the store against changes, so that what is replayed is still the current message.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read()
    }

    pub(super) fn parent(&self) -> HashParent {
        self.parent
    }

    /// The number of the message that was stored last.
    pub(super) fn last_number(&self) -> u64 {
        self.store.read().last_number
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Removes what has expired, at most [`SWEEP`] messages; returns how many.
    pub(super) fn remove_expired(&self, bounds: &Bounds<'_>) -> usize {
        let mut store = self.store.write();
        let removed = store.remove_expired(SWEEP, bounds);
        if removed > 0 {
            store.settle(bounds);
            self.count.store(store.names.len(), Ordering::Relaxed);
        }
        removed
    }
}

impl Retained {
    /// Steps through the topics while the store is locked: about 0.2 ms.
    const SLICE: usize = 2_000;

    /// The message of a topic, unless it has expired.
    #[cfg(any(feature = "aws", feature = "http"))]
    pub(super) fn get(&self, topic: &str, bounds: &Bounds<'_>) -> Option<Kept> {
        let store = self.store.read();
        let kept = store.names.get(topic)?;
        (!kept.message.is_expired(bounds.now)).then(|| kept.clone())
    }

    /// Removes messages whose topics match `filter`, or any, as far as they were stored up to number `last`:
    /// at most [`SWEEP`] of them. Returns how many.
    pub(super) fn remove_some(
        &self,
        filter: Option<&str>,
        last: u64,
        bounds: &Bounds<'_>,
    ) -> usize {
        let mut topics = Vec::new();
        let mut position = Position::default();
        let mut walk = Walk::More;
        while walk == Walk::More && topics.len() < SWEEP {
            let mut steps = Self::SLICE;
            let see = |kept: &Kept| {
                if kept.number <= last {
                    topics.push(kept.message.clone());
                }
                match topics.len() < SWEEP {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            let names = &self.store.read().names;
            walk = match filter {
                Some(filter) => {
                    names.visit_matches_from(filter, self.parent, &mut position, &mut steps, see)
                }
                None => names.visit_from(&mut position, &mut steps, see),
            };
        }
        let mut store = self.store.write();
        let mut removed = 0;
        for message in topics {
            // One that was replaced meanwhile is another one.
            if store.is_current(&message) {
                store.remove(message.topic());
                message.charge_as(Kind::Queues);
                removed += 1;
            }
        }
        store.settle(bounds);
        self.count.store(store.names.len(), Ordering::Relaxed);
        removed
    }

    /// Calls `visit` with every message whose topic matches `filter`, or with all; expired ones are
    /// left out. The store is locked for a slice at a time.
    pub(super) fn visit(
        &self,
        filter: Option<&str>,
        bounds: &Bounds<'_>,
        mut visit: impl FnMut(&Kept),
    ) {
        let mut position = Position::default();
        let mut walk = Walk::More;
        while walk == Walk::More {
            let mut steps = Self::SLICE;
            let see = |kept: &Kept| {
                if !kept.message.is_expired(bounds.now) {
                    visit(kept);
                }
                ControlFlow::Continue(())
            };
            let names = &self.store.read().names;
            walk = match filter {
                Some(filter) => {
                    names.visit_matches_from(filter, self.parent, &mut position, &mut steps, see)
                }
                None => names.visit_from(&mut position, &mut steps, see),
            };
        }
    }
}

impl Store {
    /// Keeps a message and returns the one that had its topic.
    fn insert(&mut self, message: Message, now: Instant) -> Option<Message> {
        self.last_number += 1;
        let kept = Kept {
            message: message.clone(),
            number: self.last_number,
            at: now,
        };
        let former = self.names.insert(kept).map(|kept| kept.message);
        self.forget_expiry(former.as_ref());
        if message.expires_at().is_some() {
            self.expiring.insert(Expiring(message));
        }
        former
    }

    fn remove(&mut self, topic: &str) -> Option<Message> {
        let former = self.names.remove(topic).map(|kept| kept.message);
        self.forget_expiry(former.as_ref());
        former
    }

    fn forget_expiry(&mut self, message: Option<&Message>) {
        if let Some(message) = message
            && message.expires_at().is_some()
        {
            self.expiring.remove(&Expiring(message.clone()));
        }
    }

    /// Removes what has expired, at most `limit` messages; returns how many.
    fn remove_expired(&mut self, limit: usize, bounds: &Bounds<'_>) -> usize {
        let mut removed = 0;
        while removed < limit
            && let Some(Expiring(message)) = self.expiring.first()
            && message.is_expired(bounds.now)
        {
            message.charge_as(Kind::Queues);
            self.names.remove(message.topic());
            self.expiring.pop_first();
            removed += 1;
        }
        removed
    }

    fn settle(&mut self, bounds: &Bounds<'_>) {
        let held = self.names.len() * PLACE + self.expiring.len() * EXPIRY;
        self.charge
            .get_or_insert_with(|| Charge::none(bounds.budget, Kind::Retained))
            .settle(held);
    }

    /// Whether `message` is still the retained one of its topic.
    pub(super) fn is_current(&self, message: &Message) -> bool {
        self.names
            .get(message.topic())
            .is_some_and(|current| current.message.is_same(message))
    }

    /// Goes on with a walk through the messages whose topics match `filter`: calls `f` with each and its
    /// number, until it breaks off or the steps are used up. The walk begins at the default position.
    pub(super) fn walk(
        &self,
        filter: &str,
        parent: HashParent,
        position: &mut Position,
        steps: &mut usize,
        mut f: impl FnMut(&Message, u64) -> ControlFlow<()>,
    ) -> Walk {
        self.names
            .visit_matches_from(filter, parent, position, steps, |kept| {
                f(&kept.message, kept.number)
            })
    }
}

impl Named for Kept {
    fn topic(&self) -> &str {
        self.message.topic()
    }

    fn topic_bytes(&self) -> &[u8] {
        self.message.topic_bytes()
    }
}

/// No two that are kept have one topic.
impl Ord for Expiring {
    fn cmp(&self, other: &Self) -> Order {
        let key = |Self(message): &Self| message.expires_at();
        let by_topic = || self.0.topic_bytes().cmp(other.0.topic_bytes());
        key(self).cmp(&key(other)).then_with(by_topic)
    }
}

impl PartialOrd for Expiring {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Expiring {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Expiring {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::broker::doubles::NoAlarm;
    use crate::broker::{Broker, Randomness};
    use crate::codec::QoS;
    use crate::config::Config;

    /// A broker, of which only the retained messages are used.
    struct World {
        broker: Broker,
        start: Instant,
    }

    impl World {
        fn new() -> Self {
            let (config, start) = (Config::standard(), Instant::now());
            let randomness = Randomness::from_seed(7);
            Self {
                broker: Broker::new(config, randomness, start, Arc::new(NoAlarm)),
                start,
            }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// Keeps a message that expires so many seconds after the start, or removes the one there.
        fn store(&self, topic: &str, payload: &str, expires: Option<u64>) {
            let mut publication = Publication::new(topic, payload.as_bytes(), QoS::AtLeastOnce);
            publication.expires_at = expires.map(|seconds| self.at(seconds));
            let bounds = self.broker.context(self.start);
            let stored = self.broker.retained.store(&publication, &bounds);
            assert_eq!(stored, Ok(()));
        }

        fn sweep(&self, seconds: u64) -> usize {
            let bounds = self.broker.context(self.at(seconds));
            let mut removed = 0;
            loop {
                let slice = self.broker.retained.remove_expired(&bounds);
                removed += slice;
                if slice < SWEEP {
                    return removed;
                }
            }
        }

        /// The topics that are kept, expired or not.
        fn topics(&self) -> Vec<String> {
            let mut topics = Vec::new();
            let see = |kept: &Kept| topics.push(kept.message.topic().into());
            self.broker.retained.read().names.visit_all(see);
            assert_eq!(topics.len(), self.broker.retained.len());
            topics
        }

        fn expiring(&self) -> usize {
            self.broker.retained.read().expiring.len()
        }
    }

    /// MQTT-3.3.2-5
    #[test]
    fn sweep_removes_what_has_expired_and_nothing_else() {
        let world = World::new();
        for number in 0..3 * SWEEP {
            world.store(&format!("a/{number}"), "x", Some(5));
        }
        world.store("later", "x", Some(6));
        world.store("never", "x", None);
        assert_eq!((world.sweep(4), world.topics().len()), (0, 3 * SWEEP + 2));
        assert_eq!(world.sweep(5), 3 * SWEEP, "in several slices");
        assert_eq!(world.topics(), ["later", "never"]);
        assert_eq!((world.sweep(5), world.sweep(6)), (0, 1));
        assert_eq!(
            (world.topics(), world.expiring()),
            (vec!["never".into()], 0)
        );
    }

    #[test]
    fn expiry_of_a_message_that_was_replaced_or_removed_is_forgotten() {
        let world = World::new();
        for topic in ["for-good", "for-longer", "removed", "again"] {
            world.store(topic, "old", Some(5));
        }
        world.store("for-good", "new", None);
        world.store("for-longer", "new", Some(7));
        world.store("removed", "", None);
        world.store("again", "", None);
        world.store("again", "new", None);
        assert_eq!(world.expiring(), 1);
        assert_eq!(world.sweep(6), 0);
        assert_eq!(world.topics(), ["again", "for-good", "for-longer"]);
        assert_eq!((world.sweep(7), world.expiring()), (1, 0));
        assert_eq!(world.topics(), ["again", "for-good"]);
    }
}
