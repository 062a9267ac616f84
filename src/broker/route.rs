//! From a topic to its receivers: the subscription trie, and what a publisher remembers of it.
//!
//! A publisher that repeats a topic keeps its [`Receivers`]. Each later message costs one atomic
//! load: while no subscription changed, they stand. When some did, the log of changed filters tells
//! whether one of them concerns this topic; an unrelated SUBSCRIBE costs a comparison.
//!
//! For a topic that is not kept, the message goes to what the trie holds while it is locked against
//! changes: with a million filters each receiver's counters would be a cache miss to count up and
//! down. Locks are taken in the order trie, group, outbox.

use std::cmp::Ordering;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, PoisonError};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard};
use smallvec::SmallVec;

use crate::budget::Charge;
use crate::config::Overlapping;
use crate::session::subscription::{Options, Subscription};
use crate::topic::{Changes, HashParent, Hashing, Trie};

use super::ordered::{self, Keyed, Ordered};
use super::session::Session;
use super::share::Group;

/// What one filter leads to: mostly one plain subscriber, who lies in place.
#[derive(Default)]
pub(super) enum Leaf {
    #[default]
    Nobody,
    One(Target),
    Several(Box<Several>),
}

/// Subscribers of one filter.
#[derive(Default)]
pub(super) struct Several {
    /// By session.
    plain: Ordered<Target>,
    /// By share name.
    groups: Ordered<Arc<Group>>,
}

static NO_GROUPS: Ordered<Arc<Group>> = Ordered::Few(Vec::new());

impl Keyed for Target {
    type Key = u64;
    type Sought = u64;

    fn key(&self) -> u64 {
        self.session.id
    }

    fn compare(&self, session: &u64) -> Ordering {
        self.session.id.cmp(session)
    }
}

impl Keyed for Arc<Group> {
    type Key = Arc<str>;
    type Sought = str;

    fn key(&self) -> Arc<str> {
        self.share.clone()
    }

    fn compare(&self, share: &str) -> Ordering {
        (*self.share).cmp(share)
    }
}

/// A plain subscriber.
pub(super) struct Target {
    pub(super) session: Arc<Session>,
    pub(super) subscription: Arc<Subscription>,
    /// Those of the subscription, at hand where the session and the target are.
    pub(super) options: Options,
}

impl Leaf {
    /// The plain subscribers, by session.
    #[inline]
    pub(super) fn plain(&self) -> Plain<'_> {
        match self {
            Self::Nobody => Plain::One(None),
            Self::One(target) => Plain::One(Some(target)),
            Self::Several(several) => Plain::Several(several.plain.iter()),
        }
    }

    /// How many plain subscribers there are.
    #[inline]
    pub(super) fn plain_len(&self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::One(_) => 1,
            Self::Several(several) => several.plain.len(),
        }
    }

    /// The groups, by share name.
    #[inline]
    pub(super) fn groups(&self) -> &Ordered<Arc<Group>> {
        match self {
            Self::Nobody | Self::One(_) => &NO_GROUPS,
            Self::Several(several) => &several.groups,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    /// The target that stands for a session.
    pub(super) fn target_mut(&mut self, session: u64) -> Option<&mut Target> {
        match self {
            Self::Nobody => None,
            Self::One(target) => Some(target).filter(|target| target.session.id == session),
            Self::Several(several) => several.plain.get_mut(&session),
        }
    }

    pub(super) fn add(&mut self, target: Target) {
        match self {
            Self::Nobody => *self = Self::One(target),
            Self::One(_) | Self::Several(_) => self.change(|several| several.plain.insert(target)),
        }
    }

    pub(super) fn add_group(&mut self, group: Arc<Group>) {
        self.change(|several| several.groups.insert(group));
    }

    /// Removes the target that stands for a session.
    pub(super) fn remove(&mut self, session: u64) {
        match self {
            Self::One(target) if target.session.id == session => *self = Self::Nobody,
            Self::Nobody | Self::One(_) => {}
            Self::Several(_) => self.change(|several| {
                several.plain.remove(&session);
            }),
        }
    }

    pub(super) fn remove_group(&mut self, group: &Arc<Group>) {
        self.change(|several| {
            several.groups.remove(&group.share);
        });
    }

    fn change(&mut self, change: impl FnOnce(&mut Several)) {
        let mut several = match std::mem::take(self) {
            Self::Nobody => Box::default(),
            Self::One(target) => Box::new(Several {
                plain: Ordered::Few(vec![target]),
                groups: Ordered::default(),
            }),
            Self::Several(several) => several,
        };
        change(&mut several);
        *self = match (several.plain.len(), several.groups.len()) {
            (0, 0) => Self::Nobody,
            (1, 0) => several.plain.take_single().map_or(Self::Nobody, Self::One),
            _ => Self::Several(several),
        };
    }
}

/// The plain subscribers of a leaf.
pub(super) enum Plain<'a> {
    One(Option<&'a Target>),
    Several(ordered::Iter<'a, Target>),
}

impl<'a> Iterator for Plain<'a> {
    type Item = &'a Target;

    #[inline]
    fn next(&mut self) -> Option<&'a Target> {
        match self {
            Self::One(target) => target.take(),
            Self::Several(targets) => targets.next(),
        }
    }
}

/// All subscriptions, by filter.
pub(super) struct Routing {
    /// Sharded, so that publishers on different cores do not write to one cache line to read.
    tables: ShardedLock<Tables>,
    generation: AtomicU64,
    parent: HashParent,
    overlapping: Overlapping,
}

pub(super) struct Tables {
    pub(super) trie: Trie<Leaf>,
    changes: Changes,
}

/// Who gets the messages to one topic.
pub(super) enum Route<'a> {
    Kept(&'a Receivers),
    /// What the filters that match lead to, where no session can be due one copy for two of them.
    Found(Leaves<'a>),
}

type Leaves<'a> = SmallVec<[&'a Leaf; 4]>;

/// The receivers of one topic, kept beyond the lock of the trie.
pub(super) struct Receivers {
    plain: Vec<PlainReceiver>,
    groups: Vec<Arc<Group>>,
}

struct PlainReceiver {
    session: Arc<Session>,
    subscriptions: SmallVec<[Arc<Subscription>; 1]>,
}

/// A session that gets one copy, and the subscriptions that it gets it for.
#[derive(Clone, Copy)]
pub(super) struct Receiver<'a> {
    pub(super) session: &'a Arc<Session>,
    pub(super) subscriptions: Subscriptions<'a>,
}

/// What a receiver wants a message for.
#[derive(Clone, Copy)]
pub(super) enum Subscriptions<'a> {
    /// One subscription, which stands as long as the trie is locked.
    Current(Options),
    /// Those that stood when they were looked up.
    Kept(&'a [Arc<Subscription>]),
}

impl Route<'_> {
    /// Calls `f` with everyone who gets a copy of their own.
    #[inline]
    pub(super) fn for_each_receiver(&self, mut f: impl FnMut(Receiver<'_>)) {
        match self {
            Self::Kept(receivers) => receivers.plain.iter().for_each(|kept| {
                f(Receiver {
                    session: &kept.session,
                    subscriptions: Subscriptions::Kept(&kept.subscriptions),
                });
            }),
            Self::Found(leaves) => leaves
                .iter()
                .flat_map(|leaf| leaf.plain())
                .for_each(|target| {
                    f(Receiver {
                        session: &target.session,
                        subscriptions: Subscriptions::Current(target.options),
                    });
                }),
        }
    }

    /// Calls `f` with every group.
    #[inline]
    pub(super) fn for_each_group(&self, f: impl FnMut(&Arc<Group>)) {
        match self {
            Self::Kept(receivers) => receivers.groups.iter().for_each(f),
            Self::Found(leaves) => leaves
                .iter()
                .flat_map(|leaf| leaf.groups().iter())
                .for_each(f),
        }
    }

    /// The number of those who get a copy of their own.
    pub(super) fn receivers(&self) -> usize {
        match self {
            Self::Kept(receivers) => receivers.plain.len(),
            Self::Found(leaves) => leaves.iter().map(|leaf| leaf.plain_len()).sum(),
        }
    }

    /// The number of groups.
    pub(super) fn groups(&self) -> usize {
        match self {
            Self::Kept(receivers) => receivers.groups.len(),
            Self::Found(leaves) => leaves.iter().map(|leaf| leaf.groups().len()).sum(),
        }
    }

    /// Whether there is nobody.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Kept(receivers) => receivers.plain.is_empty() && receivers.groups.is_empty(),
            Self::Found(leaves) => leaves.is_empty(),
        }
    }
}

impl Receivers {
    fn of(leaves: &[&Leaf], overlapping: Overlapping) -> Self {
        let plain = leaves.iter().flat_map(|leaf| leaf.plain());
        let mut receivers = Self {
            plain: plain
                .map(|target| PlainReceiver {
                    session: target.session.clone(),
                    subscriptions: SmallVec::from_elem(target.subscription.clone(), 1),
                })
                .collect(),
            groups: leaves
                .iter()
                .flat_map(|leaf| leaf.groups().iter().cloned())
                .collect(),
        };
        if overlaps(leaves, overlapping) {
            receivers.merge_overlapping();
        }
        receivers
    }

    /// Makes one receiver of several for the same session (MQTT-3.3.4-2).
    fn merge_overlapping(&mut self) {
        self.plain.sort_by_key(|receiver| receiver.session.id);
        self.plain.dedup_by(|later, kept| {
            let same = later.session.id == kept.session.id;
            if same {
                kept.subscriptions.append(&mut later.subscriptions);
            }
            same
        });
    }
}

/// Whether a session may stand in several of these and is to get one copy.
fn overlaps(leaves: &[&Leaf], overlapping: Overlapping) -> bool {
    let plain = leaves.iter().filter(|leaf| leaf.plain_len() > 0);
    overlapping == Overlapping::OneCopy && plain.count() > 1
}

impl Routing {
    pub(super) fn new(seed: u64, parent: HashParent, overlapping: Overlapping) -> Self {
        Self {
            tables: ShardedLock::new(Tables {
                trie: Trie::new(seed),
                changes: Changes::new(),
            }),
            generation: AtomicU64::new(0),
            parent,
            overlapping,
        }
    }

    fn tables(&self) -> ShardedLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what `filter` leads to.
    pub(super) fn change<R>(&self, filter: &str, change: impl FnOnce(&mut Tables) -> R) -> R {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut tables);
        let generation = tables.changes.push(filter);
        self.generation.store(generation, atomic::Ordering::Release);
        result
    }

    /// Looks at the trie.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Trie<Leaf>) -> R) -> R {
        read(&self.tables().trie)
    }

    /// Calls `publish` with the receivers of `topic`, from the cache where they still hold.
    #[inline]
    pub(super) fn with_route<R>(
        &self,
        topic: &str,
        cache: &mut RouteCache,
        publish: impl FnOnce(&Route<'_>) -> R,
    ) -> R {
        let generation = self.generation.load(atomic::Ordering::Acquire);
        let hash = cache.hasher.text(topic.as_bytes());
        let slot = (hash as usize) % SLOTS;
        if let Some(Some(kept)) = cache.slots.get_mut(slot)
            && *kept.topic == *topic
        {
            if kept.generation != generation {
                cache.charge.shrink(kept.size());
                self.renew(kept);
                cache.charge.grow_forced(kept.size());
            }
            return publish(&Route::Kept(&kept.receivers));
        }
        if cache.comes_again(hash, slot)
            && let Some(kept) = cache.keep(slot, || self.keep(topic))
        {
            return publish(&Route::Kept(&kept.receivers));
        }
        self.with_route_once(topic, publish)
    }

    /// Calls `publish` with the receivers of `topic`, for a topic that may not come again.
    pub(super) fn with_route_once<R>(
        &self,
        topic: &str,
        publish: impl FnOnce(&Route<'_>) -> R,
    ) -> R {
        let tables = self.tables();
        let leaves = self.leaves(&tables, topic);
        if !overlaps(&leaves, self.overlapping) {
            return publish(&Route::Found(leaves));
        }
        let receivers = Receivers::of(&leaves, self.overlapping);
        publish(&Route::Kept(&receivers))
    }

    /// Brings what is kept for a topic up to the current generation.
    #[cold]
    fn renew(&self, kept: &mut Kept) {
        let tables = self.tables();
        let changes = &tables.changes;
        if changes.touches(kept.generation, &kept.topic, self.parent) != Some(false) {
            kept.receivers = Receivers::of(&self.leaves(&tables, &kept.topic), self.overlapping);
        }
        kept.generation = changes.generation();
    }

    #[cold]
    fn keep(&self, topic: &str) -> Box<Kept> {
        let tables = self.tables();
        Box::new(Kept {
            topic: topic.into(),
            generation: tables.changes.generation(),
            receivers: Receivers::of(&self.leaves(&tables, topic), self.overlapping),
        })
    }

    fn leaves<'t>(&self, tables: &'t Tables, topic: &str) -> Leaves<'t> {
        let mut leaves = Leaves::new();
        tables
            .trie
            .visit_matches(topic, self.parent, &mut |leaf| leaves.push(leaf));
        leaves
    }
}

const SLOTS: usize = 128;

/// Bytes of routes that one publisher keeps, at most.
const ROUTES: usize = 1 << 20;

/// The topics that one publisher repeats.
pub(super) struct RouteCache {
    hasher: Hashing,
    /// What is kept, in the broker's budget.
    charge: Charge,
    slots: Vec<Option<Box<Kept>>>,
    /// Tags of the topics that were looked up last, per slot.
    seen: Vec<u32>,
}

struct Kept {
    topic: Box<str>,
    generation: u64,
    receivers: Receivers,
}

impl Kept {
    /// Bytes that it takes.
    fn size(&self) -> usize {
        let receivers = &self.receivers;
        let spilled = |receiver: &PlainReceiver| match receiver.subscriptions.spilled() {
            true => receiver.subscriptions.capacity() * size_of::<Arc<Subscription>>(),
            false => 0,
        };
        size_of::<Self>()
            + self.topic.len()
            + receivers.plain.capacity() * size_of::<PlainReceiver>()
            + receivers.plain.iter().map(spilled).sum::<usize>()
            + receivers.groups.capacity() * size_of::<Arc<Group>>()
    }
}

impl RouteCache {
    /// Keeps a route in place of the one in `slot`, if there is room for it.
    fn keep(&mut self, slot: usize, make: impl FnOnce() -> Box<Kept>) -> Option<&Kept> {
        let place = self.slots.get_mut(slot)?;
        if let Some(old) = place.take() {
            self.charge.shrink(old.size());
        }
        let kept = make();
        let size = kept.size();
        if self.charge.bytes() + size > ROUTES || self.charge.grow(size).is_err() {
            return None;
        }
        Some(place.insert(kept))
    }

    /// Nothing is kept yet. The seed is the broker's secret: a publisher chooses its topics.
    pub(super) fn new(charge: Charge, hasher: Hashing) -> Self {
        Self {
            hasher,
            charge,
            slots: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Whether the topic comes up twice in a row in its slot: a publisher that never repeats a topic
    /// keeps nothing.
    fn comes_again(&mut self, hash: u64, slot: usize) -> bool {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
            self.seen = vec![0; SLOTS];
        }
        let tag = (hash >> 32) as u32;
        let seen = self.seen.get_mut(slot);
        seen.is_some_and(|seen| std::mem::replace(seen, tag) == tag)
    }
}

#[cfg(test)]
mod tests {
    use crate::budget::{Kind, Owned};
    use crate::codec::QoS;
    use crate::config::ShareStrategy;

    use super::*;

    #[test]
    fn a_leaf_takes_as_much_as_one_target() {
        assert_eq!(size_of::<Leaf>(), size_of::<Target>());
        assert_eq!(size_of::<Leaf>(), 24);
    }

    #[test]
    fn a_leaf_holds_whoever_was_added_and_not_removed() {
        let options = Options {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            id: None,
        };
        let budget = Owned::new(1 << 20);
        let mut leaf = Leaf::default();
        for id in 1..=3 {
            leaf.add(Target {
                session: Session::new(id, "client", Charge::none(*budget, Kind::Sessions)),
                subscription: Arc::new(Subscription::new(options)),
                options,
            });
        }
        let group = Arc::new(Group::new("share", "a", ShareStrategy::RoundRobin, 7));
        leaf.add_group(group.clone());
        assert_eq!((leaf.plain_len(), leaf.groups().len()), (3, 1));

        for (left, session) in [(2, 1), (1, 2), (0, 3)] {
            assert!(leaf.target_mut(session).is_some());
            leaf.remove(session);
            leaf.remove(session);
            assert!(leaf.target_mut(session).is_none());
            assert_eq!((leaf.plain_len(), leaf.groups().len()), (left, 1));
        }
        assert!(!leaf.is_empty());
        leaf.remove_group(&group);
        assert!(matches!(leaf, Leaf::Nobody) && leaf.is_empty());
    }
}
