//! From a topic to its receivers: the subscription trie, and what a publisher remembers of it.
//!
//! A publisher that repeats a topic keeps its [`Listed`]. Each later message costs one atomic
//! load: while no subscription changed, they stand. When some did, the log of changed filters tells
//! whether one of them concerns this topic; an unrelated SUBSCRIBE costs a comparison.
//!
//! For a topic that is not kept, the message goes to what the trie holds while it is locked against
//! changes: with a million filters each receiver's counters would be a cache miss to count up and
//! down. Locks are taken in the order trie, group, outbox.

pub(super) mod leaf;

use std::collections::VecDeque;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, PoisonError};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard};
use smallvec::SmallVec;

use crate::budget::Charge;
use crate::config::Overlapping;
use crate::message::subscription::{Options, Subscription};
use crate::topic::{Changes, HashParent, Hashing, MatchPosition, Trie, Walk};

use self::leaf::{Leaf, Target};
use super::session::Session;
use super::share::Group;

/// Steps that finding the receivers of a topic may take in one go: about 0.2 ms.
const LOOK_STEPS: usize = 2048;

/// Steps that comparing a topic with the filters that changed may take before its receivers are looked
/// up anew instead: about 50 us.
const RENEW_STEPS: usize = 512;

/// Receivers and groups in a list, at most.
const LISTED: usize = 16 * 1024;

/// Copies that are handed out while the tables are locked, at most.
const AT_ONCE: usize = 2048;

/// Subscriptions that a message goes to in one copy; for so many more there is a further one, as
/// MQTT-3.3.4-2 allows.
const MERGED: usize = 16 * 1024;

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
    Listed(&'a Arc<Listed>),
    /// What the filters that match lead to: few enough to be served at once, and no session can be due
    /// one copy for two of them.
    Found(Leaves<'a>, Reach),
    /// So many filters match, or have to be looked at, that they are [gathered](Gathering) in slices.
    Many,
}

type Leaves<'a> = SmallVec<[&'a Leaf; 4]>;

/// Whom a message reaches, or would with room left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Clients with a plain subscription that matches.
    pub(crate) subscribers: usize,
    /// Shared groups that match; one member of each gets it.
    pub(crate) groups: usize,
}

impl Reach {
    #[inline]
    pub(crate) fn total(self) -> usize {
        self.subscribers + self.groups
    }

    #[inline]
    fn of(leaves: &[&Leaf]) -> Self {
        let mut reach = Self::default();
        for leaf in leaves {
            reach.subscribers += leaf.plain_len();
            reach.groups += leaf.groups().len();
        }
        reach
    }
}

/// The receivers of one topic, kept beyond the lock of the trie.
pub(super) struct Listed {
    /// Empty where nobody looks for it.
    topic: Box<str>,
    plain: Vec<PlainReceiver>,
    groups: Vec<Arc<Group>>,
}

pub(super) struct PlainReceiver {
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

impl PlainReceiver {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            session: target.session.clone(),
            subscriptions: SmallVec::from_elem(target.subscription.clone(), 1),
        }
    }

    /// Whether another subscription of the same session can join in.
    pub(super) fn can_merge(&self) -> bool {
        self.subscriptions.len() < MERGED
    }

    /// One receiver for the subscriptions of both, which are the same session's (MQTT-3.3.4-2).
    pub(super) fn merge(&mut self, other: &mut Self) {
        self.subscriptions.append(&mut other.subscriptions);
    }

    #[inline]
    pub(super) fn as_receiver(&self) -> Receiver<'_> {
        Receiver {
            session: &self.session,
            subscriptions: Subscriptions::Kept(&self.subscriptions),
        }
    }
}

impl<'a> From<&'a Target> for Receiver<'a> {
    #[inline]
    fn from(target: &'a Target) -> Self {
        Self {
            session: &target.session,
            subscriptions: Subscriptions::Current(target.options),
        }
    }
}

impl Listed {
    fn of(topic: &str, leaves: &[&Leaf], overlapping: Overlapping) -> Self {
        let plain = leaves.iter().flat_map(|leaf| leaf.plain());
        let mut listed = Self {
            topic: topic.into(),
            plain: plain.map(PlainReceiver::new).collect(),
            groups: leaves
                .iter()
                .flat_map(|leaf| leaf.groups().iter().cloned())
                .collect(),
        };
        if overlaps(leaves, overlapping) {
            listed.merge_overlapping();
        }
        listed
    }

    /// Makes one receiver of several for the same session.
    fn merge_overlapping(&mut self) {
        self.plain.sort_by_key(|receiver| receiver.session.id);
        self.plain.dedup_by(|later, kept| {
            let merges = later.session.id == kept.session.id && kept.can_merge();
            if merges {
                kept.merge(later);
            }
            merges
        });
    }

    /// Those who get a copy of their own.
    #[inline]
    pub(super) fn plain(&self) -> &[PlainReceiver] {
        &self.plain
    }

    #[inline]
    pub(super) fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    #[inline]
    pub(super) fn reach(&self) -> Reach {
        Reach {
            subscribers: self.plain.len(),
            groups: self.groups.len(),
        }
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        let spilled = |receiver: &PlainReceiver| match receiver.subscriptions.spilled() {
            true => receiver.subscriptions.capacity() * size_of::<Arc<Subscription>>(),
            false => 0,
        };
        size_of::<Self>()
            + self.topic.len()
            + self.plain.capacity() * size_of::<PlainReceiver>()
            + self.plain.iter().map(spilled).sum::<usize>()
            + self.groups.capacity() * size_of::<Arc<Group>>()
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

    /// Whether anybody subscribes to exactly this filter, otherwise than as a member of a group.
    pub(super) fn has_plain(&self, filter: &str) -> bool {
        self.read(|trie| trie.get(filter).is_some_and(|leaf| leaf.plain_len() > 0))
    }

    /// Looks at the trie.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Trie<Leaf>) -> R) -> R {
        read(&self.tables().trie)
    }

    /// Calls `publish` with the receivers of `topic`, who get so many `copies`, from the cache where they
    /// still hold, and with the steps that it took to find out whether they do.
    #[inline]
    pub(super) fn with_route<R>(
        &self,
        topic: &str,
        copies: usize,
        cache: &mut RouteCache,
        publish: impl FnOnce(&Route<'_>, usize) -> R,
    ) -> R {
        let mut steps = 0;
        let generation = self.generation.load(atomic::Ordering::Acquire);
        let hash = cache.hasher.text(topic.as_bytes());
        let slot = (hash as usize) % SLOTS;
        if let Some(Some(kept)) = cache.slots.get_mut(slot)
            && *kept.listed.topic == *topic
        {
            if kept.generation == generation || self.renew(kept, &mut cache.charge, &mut steps) {
                return publish(&Route::Listed(&kept.listed), steps);
            }
        } else if cache.comes_again(hash, slot)
            && let Some(kept) = cache.keep(slot, || self.list(topic))
        {
            return publish(&Route::Listed(&kept.listed), steps);
        }
        self.with_route_once(topic, copies, |route| publish(route, steps))
    }

    /// The same for a topic that may not come again.
    pub(super) fn with_route_once<R>(
        &self,
        topic: &str,
        copies: usize,
        publish: impl FnOnce(&Route<'_>) -> R,
    ) -> R {
        let tables = self.tables();
        let Some(leaves) = self.leaves(&tables, topic) else {
            drop(tables);
            return publish(&Route::Many);
        };
        let reach = Reach::of(&leaves);
        if overlaps(&leaves, self.overlapping) || reach.total().saturating_mul(copies) > AT_ONCE {
            let listed =
                (reach.total() <= LISTED).then(|| Listed::of("", &leaves, self.overlapping));
            drop(leaves);
            drop(tables);
            return match listed.map(Arc::new) {
                Some(listed) => publish(&Route::Listed(&listed)),
                None => publish(&Route::Many),
            };
        }
        publish(&Route::Found(leaves, reach))
    }

    /// Brings what is kept for a topic up to the current generation. Returns whether it is good: there
    /// may be too much by now. Adds up what comparing took.
    #[cold]
    fn renew(&self, kept: &mut Kept, charge: &mut Charge, steps: &mut usize) -> bool {
        let mut left = RENEW_STEPS;
        let tables = self.tables();
        let changes = &tables.changes;
        let topic = &kept.listed.topic;
        let told = changes.touches(kept.generation, topic, self.parent, &mut left);
        *steps += RENEW_STEPS - left;
        if told != Some(false) {
            let Some(listed) = self.list_in(&tables, topic) else {
                return false;
            };
            charge.shrink(kept.listed.size());
            charge.grow_forced(listed.size());
            kept.listed = Arc::new(listed);
        }
        kept.generation = changes.generation();
        true
    }

    #[cold]
    fn list(&self, topic: &str) -> Option<Kept> {
        let tables = self.tables();
        Some(Kept {
            generation: tables.changes.generation(),
            listed: Arc::new(self.list_in(&tables, topic)?),
        })
    }

    /// The receivers of a topic, unless there are too many for a list.
    fn list_in(&self, tables: &Tables, topic: &str) -> Option<Listed> {
        let leaves = self.leaves(tables, topic)?;
        (Reach::of(&leaves).total() <= LISTED).then(|| Listed::of(topic, &leaves, self.overlapping))
    }

    /// What the filters that match lead to, unless it takes too long to find them.
    #[inline]
    fn leaves<'t>(&self, tables: &'t Tables, topic: &str) -> Option<Leaves<'t>> {
        let (mut position, mut steps) = (MatchPosition::default(), LOOK_STEPS);
        let mut leaves = Leaves::new();
        let walk = tables.trie.visit_matches_from(
            &mut position,
            topic,
            self.parent,
            &mut steps,
            &mut |leaf, _| leaves.push(leaf),
        );
        (walk == Walk::Done).then_some(leaves)
    }
}

/// Finding the receivers of a topic in slices; what a filter leads to is looked at in the state that it
/// then has. Who is subscribed all the time is found.
#[derive(Default)]
pub(super) struct Gathering {
    position: MatchPosition,
    is_walked: bool,
    /// Filters that lead to more than a slice takes.
    crowded: VecDeque<Box<str>>,
    /// Bytes that they take.
    bytes: usize,
    /// The one that is looked at.
    within: Option<Within>,
}

/// A place among those that a filter leads to.
struct Within {
    filter: Box<str>,
    /// The session that was seen last.
    session: Option<u64>,
    plain_is_done: bool,
    /// The group that was seen last, by its share name.
    share: Option<Arc<str>>,
}

/// What a gathering finds.
pub(super) enum Gathered<'a> {
    Plain(&'a Target),
    Group(&'a Arc<Group>),
}

/// Steps of a slice of a gathering, in which the tables are locked, and what one receiver costs.
const SLICE: usize = 512;
const RECEIVER_STEPS: usize = 2;

impl Gathering {
    /// Bytes that it takes besides itself.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn put_off(&mut self, filter: String) {
        self.bytes += size_of::<Box<str>>() + filter.len();
        self.crowded.push_back(filter.into());
    }

    /// Turns to a filter that was put off, if there is one.
    fn enter(&mut self) {
        if let Some(filter) = self.crowded.pop_front() {
            self.bytes -= size_of::<Box<str>>() + filter.len();
            self.within = Some(Within::new(filter));
        }
    }
}

impl Routing {
    /// Goes on with a walk through what the filters that match `topic` lead to, for one slice.
    #[cfg(feature = "http")]
    pub(super) fn visit_matches(
        &self,
        topic: &str,
        position: &mut MatchPosition,
        mut visit: impl FnMut(&Leaf, String),
    ) -> Walk {
        let (tables, mut steps) = (self.tables(), SLICE);
        let trie = &tables.trie;
        trie.visit_matches_from(
            position,
            topic,
            self.parent,
            &mut steps,
            &mut |leaf, filter| {
                visit(leaf, filter.text(topic));
            },
        )
    }

    /// Goes on with a gathering for one slice: calls `found` with receivers. Returns the steps that it
    /// took, and whether there is more.
    pub(super) fn gather(
        &self,
        topic: &str,
        gathering: &mut Gathering,
        mut found: impl FnMut(Gathered<'_>),
    ) -> (usize, Walk) {
        let tables = self.tables();
        let mut steps = SLICE;
        if gathering.within.is_none() {
            gathering.enter();
        }
        if let Some(within) = &mut gathering.within {
            let leaf = tables.trie.get(&within.filter);
            if leaf.is_none_or(|leaf| within.go_on(leaf, &mut steps, &mut found)) {
                gathering.within = None;
            }
        } else {
            let mut crowded = Vec::new();
            let mut taken = 0;
            let walk = tables.trie.visit_matches_from(
                &mut gathering.position,
                topic,
                self.parent,
                &mut steps,
                &mut |leaf, filter| match leaf.plain_len() + leaf.groups().len() {
                    few @ ..=FEW => {
                        taken += few * RECEIVER_STEPS;
                        leaf.plain()
                            .for_each(|target| found(Gathered::Plain(target)));
                        let groups = leaf.groups().iter();
                        groups.for_each(|group| found(Gathered::Group(group)));
                    }
                    _ => crowded.push(filter.text(topic)),
                },
            );
            steps = steps.saturating_sub(taken);
            crowded
                .into_iter()
                .for_each(|filter| gathering.put_off(filter));
            gathering.is_walked = walk == Walk::Done;
        }
        let is_done =
            gathering.is_walked && gathering.within.is_none() && gathering.crowded.is_empty();
        let walk = if is_done { Walk::Done } else { Walk::More };
        (SLICE - steps, walk)
    }
}

/// Receivers of one filter that are taken in one go.
const FEW: usize = 8;

impl Within {
    fn new(filter: Box<str>) -> Self {
        Self {
            filter,
            session: None,
            plain_is_done: false,
            share: None,
        }
    }

    /// Takes as many as the steps allow, one at least. Returns whether that was all.
    fn go_on(
        &mut self,
        leaf: &Leaf,
        steps: &mut usize,
        found: &mut impl FnMut(Gathered<'_>),
    ) -> bool {
        let mut spend = || {
            *steps = steps.saturating_sub(RECEIVER_STEPS);
            *steps == 0
        };
        if !self.plain_is_done {
            for target in leaf.plain_behind(self.session) {
                found(Gathered::Plain(target));
                self.session = Some(target.session.id);
                if spend() {
                    return false;
                }
            }
            self.plain_is_done = true;
        }
        for group in leaf.groups().behind(self.share.as_deref()) {
            found(Gathered::Group(group));
            self.share = Some(group.share.clone());
            if spend() {
                return false;
            }
        }
        true
    }
}

const SLOTS: usize = 128;

/// Bytes of routes that one publisher keeps, at most.
const ROUTES: usize = 1 << 20;

/// The topics that one publisher repeats.
pub(crate) struct RouteCache {
    hasher: Arc<Hashing>,
    /// What is kept, in the broker's budget.
    charge: Charge,
    slots: Vec<Option<Kept>>,
    /// Tags of the topics that were looked up last, per slot.
    seen: Vec<u32>,
}

struct Kept {
    generation: u64,
    listed: Arc<Listed>,
}

impl RouteCache {
    /// Keeps a route in place of the one in `slot`, if there is room for it.
    fn keep(&mut self, slot: usize, make: impl FnOnce() -> Option<Kept>) -> Option<&Kept> {
        let place = self.slots.get_mut(slot)?;
        if let Some(old) = place.take() {
            self.charge.shrink(old.listed.size());
        }
        let kept = make()?;
        let size = kept.listed.size();
        if self.charge.bytes() + size > ROUTES || self.charge.grow(size).is_err() {
            return None;
        }
        Some(place.insert(kept))
    }

    /// Nothing is kept yet. The seed is the broker's secret: a publisher chooses its topics.
    pub(crate) fn new(charge: Charge, hasher: Arc<Hashing>) -> Self {
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
