//! From a topic to its receivers: the subscription trie, and what a publisher remembers of it.
//!
//! A publisher looks a topic up once and keeps the [`Route`]. Each later message costs one atomic
//! load: while no subscription changed, the route stands. When some did, the log of changed filters
//! tells whether one of them concerns this topic; an unrelated SUBSCRIBE costs a comparison.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use smallvec::SmallVec;

use crate::config::Overlapping;
use crate::session::subscription::Subscription;
use crate::topic::{Changes, HashParent, Trie};

use super::group::Group;
use super::session::Session;

/// What one filter leads to.
#[derive(Default)]
pub(super) struct Leaf {
    pub(super) plain: SmallVec<[Target; 1]>,
    pub(super) groups: SmallVec<[Arc<Group>; 1]>,
}

/// A plain subscriber.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) session: Arc<Session>,
    pub(super) subscription: Arc<Subscription>,
}

/// All subscriptions, by filter.
pub(super) struct Routing {
    tables: RwLock<Tables>,
    generation: AtomicU64,
    parent: HashParent,
    overlapping: Overlapping,
}

pub(super) struct Tables {
    pub(super) trie: Trie<Leaf>,
    changes: Changes,
}

/// The receivers of one topic.
#[derive(Default)]
pub(super) struct Route {
    pub(super) plain: Vec<Receiver>,
    pub(super) groups: Vec<Arc<Group>>,
}

/// A session that gets one copy, and the subscriptions that it gets it for.
pub(super) struct Receiver {
    pub(super) session: Arc<Session>,
    pub(super) subscriptions: SmallVec<[Arc<Subscription>; 1]>,
}

impl Routing {
    pub(super) fn new(seed: u64, parent: HashParent, overlapping: Overlapping) -> Self {
        Self {
            tables: RwLock::new(Tables {
                trie: Trie::new(seed),
                changes: Changes::new(),
            }),
            generation: AtomicU64::new(0),
            parent,
            overlapping,
        }
    }

    /// Changes what the filters in `changed` lead to.
    pub(super) fn change<R>(&self, filter: &str, change: impl FnOnce(&mut Tables) -> R) -> R {
        let mut tables = self.tables.write();
        let result = change(&mut tables);
        let generation = tables.changes.push(filter);
        self.generation.store(generation, Ordering::Release);
        result
    }

    /// Looks at the trie.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Trie<Leaf>) -> R) -> R {
        read(&self.tables.read().trie)
    }

    /// The receivers of `topic`, from the cache where they still hold.
    #[inline]
    pub(super) fn route<'c>(&self, topic: &str, cache: &'c mut RouteCache) -> &'c Route {
        let generation = self.generation.load(Ordering::Acquire);
        let hash = cache.hasher.hash_one(topic);
        let slot = (hash as usize) % SLOTS;
        let remembered = match cache.slots.get_mut(slot) {
            Some(Some(cached)) if *cached.topic == *topic => {
                cached.generation == generation || self.renew(cached)
            }
            _ => false,
        };
        if !remembered {
            self.remember(topic, hash, slot, cache);
        }
        match cache.slots.get(slot) {
            Some(Some(cached)) if *cached.topic == *topic => &cached.route,
            _ => &cache.passing,
        }
    }

    /// Brings a remembered route up to the current generation.
    #[cold]
    fn renew(&self, cached: &mut Cached) -> bool {
        let tables = self.tables.read();
        let generation = tables.changes.generation();
        if tables
            .changes
            .touches(cached.generation, &cached.topic, self.parent)
            != Some(false)
        {
            self.collect(&tables.trie, &cached.topic, &mut cached.route);
        }
        cached.generation = generation;
        true
    }

    /// Finds a route. It takes a slot when the topic comes up twice in a row there: a publisher that
    /// never repeats a topic keeps nothing.
    #[cold]
    fn remember(&self, topic: &str, hash: u64, slot: usize, cache: &mut RouteCache) {
        if cache.slots.is_empty() {
            cache.slots.resize_with(SLOTS, || None);
            cache.seen = vec![0; SLOTS];
        }
        let tables = self.tables.read();
        let tag = (hash >> 32) as u32;
        let Some(seen) = cache.seen.get_mut(slot) else {
            return;
        };
        if std::mem::replace(seen, tag) == tag {
            let mut route = Route::default();
            self.collect(&tables.trie, topic, &mut route);
            let generation = tables.changes.generation();
            let cached = Box::new(Cached {
                topic: topic.into(),
                generation,
                route,
            });
            if let Some(place) = cache.slots.get_mut(slot) {
                *place = Some(cached);
            }
        } else {
            self.collect(&tables.trie, topic, &mut cache.passing);
        }
    }

    /// The receivers of `topic` for a single message.
    pub(super) fn route_once(&self, topic: &str) -> Route {
        let mut route = Route::default();
        self.collect(&self.tables.read().trie, topic, &mut route);
        route
    }

    fn collect(&self, trie: &Trie<Leaf>, topic: &str, route: &mut Route) {
        route.plain.clear();
        route.groups.clear();
        let mut leaves = 0;
        trie.visit_matches(topic, self.parent, &mut |leaf: &Leaf| {
            leaves += usize::from(!leaf.plain.is_empty());
            route.groups.extend(leaf.groups.iter().cloned());
            route.plain.extend(leaf.plain.iter().map(|target| Receiver {
                session: target.session.clone(),
                subscriptions: SmallVec::from_elem(target.subscription.clone(), 1),
            }));
        });
        if leaves > 1 && self.overlapping == Overlapping::OneCopy {
            merge_overlapping(&mut route.plain);
        }
    }
}

/// Makes one receiver of several for the same session (MQTT-3.3.4-2).
fn merge_overlapping(plain: &mut Vec<Receiver>) {
    plain.sort_by_key(|receiver| receiver.session.id);
    plain.dedup_by(|later, kept| {
        let same = later.session.id == kept.session.id;
        if same {
            kept.subscriptions.append(&mut later.subscriptions);
        }
        same
    });
}

const SLOTS: usize = 128;

/// The routes that one publisher remembers.
#[derive(Default)]
pub(super) struct RouteCache {
    hasher: foldhash::fast::RandomState,
    slots: Vec<Option<Box<Cached>>>,
    /// Tags of the topics that were looked up last, per slot.
    seen: Vec<u32>,
    /// The route of a topic that is not remembered.
    passing: Route,
}

struct Cached {
    topic: Box<str>,
    generation: u64,
    route: Route,
}
