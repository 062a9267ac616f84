//! Retained messages: the last one of each topic, and their replay to new subscriptions.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};

use crate::budget::{Charge, Kind};
use crate::session::message::{Message, Publication};
use crate::topic::{HashParent, Names, matches};

use super::context::Context;

/// The last retained message of each topic (MQTT-3.3.1-5).
pub(super) struct Retained {
    store: RwLock<Store>,
    parent: HashParent,
    count: AtomicUsize,
}

pub(super) struct Store {
    names: Names<Message>,
    charge: Option<Charge>,
}

/// What a topic takes besides its message.
const ENTRY: usize = 128;

/// There are as many retained messages as the limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Retained {
    pub(super) fn new(seed: u64, parent: HashParent) -> Self {
        let store = Store {
            names: Names::new(seed),
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
        context: &Context<'_>,
    ) -> Result<(), Full> {
        self.store_up_to(context.limits.retained, publication, context)
    }

    /// The same with a limit of its own.
    pub(super) fn store_up_to(
        &self,
        limit: usize,
        publication: &Publication<'_>,
        context: &Context<'_>,
    ) -> Result<(), Full> {
        let mut store = self.store.write();
        let removed = if publication.payload.is_empty() {
            store.names.remove(publication.topic)
        } else {
            let is_new = store.names.get(publication.topic).is_none();
            if is_new && store.names.len() >= limit {
                return Err(Full);
            }
            let size = publication.size() + ENTRY;
            if !context.budget.has_room(Kind::Retained, size) {
                return Err(Full);
            }
            let message = publication.message(context.budget).clone();
            message.charge_as(Kind::Retained);
            store.names.insert(publication.topic, message)
        };
        if let Some(removed) = removed {
            removed.charge_as(Kind::Queues);
        }
        store.settle(context);
        self.count.store(store.names.len(), Ordering::Relaxed);
        Ok(())
    }

    /// The messages whose topics match `filter`, expired ones left out.
    pub(super) fn matching(&self, filter: &str, context: &Context<'_>) -> Vec<Message> {
        let mut found = Vec::new();
        self.store
            .read()
            .names
            .visit_matches(filter, self.parent, |message| {
                if !message.is_expired(context.now) {
                    found.push(message.clone());
                }
            });
        found
    }

    /// Calls `visit` with the topic of every message that matches `filter`, or of all, and the
    /// message, in no order; expired ones are left out. The store is locked for a slice at a time.
    ///
    /// `begin` is called first, and again where so much was removed meanwhile that the walk has to
    /// begin again.
    pub(super) fn visit<T>(
        &self,
        filter: Option<&str>,
        context: &Context<'_>,
        begin: impl Fn() -> T,
        mut visit: impl FnMut(&mut T, &str, &Message),
    ) -> T {
        let (mut seen, mut place, mut places) = (begin(), 0, 0);
        loop {
            let store = self.store.read();
            if store.names.places() < places {
                (seen, place) = (begin(), 0);
            }
            places = store.names.places();
            let more = store.names.visit_some(&mut place, |topic, message| {
                let is_it = filter.is_none_or(|filter| matches(filter, topic, self.parent));
                if is_it && !message.is_expired(context.now) {
                    visit(&mut seen, topic, message);
                }
            });
            if !more {
                return seen;
            }
        }
    }

    /// Locks the store against changes, so that what is replayed is still the current message.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read()
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Removes what has expired; returns how many.
    pub(super) fn remove_expired(&self, context: &Context<'_>) -> usize {
        let mut expired = Vec::new();
        self.store.read().names.visit_all(|topic, message| {
            if message.is_expired(context.now) {
                expired.push(topic.to_owned());
            }
        });
        let mut store = self.store.write();
        let mut removed = 0;
        for topic in expired {
            let is_expired = store
                .names
                .get(&topic)
                .is_some_and(|message| message.is_expired(context.now));
            if is_expired && let Some(message) = store.names.remove(&topic) {
                message.charge_as(Kind::Queues);
                removed += 1;
            }
        }
        store.settle(context);
        self.count.store(store.names.len(), Ordering::Relaxed);
        removed
    }
}

impl Store {
    fn settle(&mut self, context: &Context<'_>) {
        let held = self.names.len() * ENTRY;
        self.charge
            .get_or_insert_with(|| Charge::none(context.budget, Kind::Retained))
            .settle(held);
    }

    /// Whether `message` is still the retained one of its topic.
    pub(super) fn is_current(&self, message: &Message) -> bool {
        self.names
            .get(message.topic())
            .is_some_and(|current| current.is_same(message))
    }
}
