//! The members of a group in join order, and whose turn it is.
//!
//! The slot of a member that left stays empty until many are; then members move up to earlier slots, a
//! few whenever one leaves, and never past each other. The last slot is never empty. The cursor is a slot: the member there, or else the next one
//! behind it, has its turn, so that whoever comes or goes, nobody is skipped or served twice.
//!
//! `ready` says who may be able to take a message. A bit that is set is a guess, which the member's
//! outbox confirms. One that is not set is certain as long as the member is `present`: its outbox has
//! refused, and holds the mark that brings the bit back ([`Outbox`](super::super::outbox::Outbox)).
//! A member that is not present had no connection when it was looked at last, and its outbox
//! has noted that the group is to be told of the next one.
//!
//! `sizes` lets a search pass over members that a packet is too large for without asking them: the outbox
//! of a client with a Maximum Packet Size has noted that the group is to be told of the next connection.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::chunked::List;
use crate::codec::QoS;
use crate::table::Table;

use super::bits::Bits;
use super::members::Member;

/// Up to so many slots are searched one by one.
const FEW: usize = 16;

/// Empty slots that are never worth closing up for.
const GAPS: usize = 32;

/// Slots that are closed up at a time.
const CLOSED_AT_ONCE: usize = 16;

/// What a member may be able to take, by the QoS of the message as it was published: a member that was
/// granted QoS 0 takes a message of QoS 1 without a place in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AtMostOnce,
    /// QoS 1 and 2: messages that may wait.
    Lasting,
}

impl Kind {
    #[inline]
    pub(super) fn of(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Self::Lasting,
        }
    }
}

/// How far the members have moved up: the slots from `to` on are empty, and `from` is looked at next.
#[derive(Clone, Copy, Debug, Default)]
struct Closing {
    to: usize,
    from: usize,
}

/// Slots by session.
struct Places(Table<(u64, usize)>);

impl Places {
    fn get(&self, session: u64) -> Option<usize> {
        let found = self.0.find(hash(session), |place| place.0 == session);
        found.map(|place| place.1)
    }

    fn set(&mut self, session: u64, slot: usize) {
        let (is, rehash) = (|place: &_| is_of(place, session), rehash);
        let make = || (session, slot);
        let place = self.0.get_or_insert_with(hash(session), is, rehash, make);
        place.1 = slot;
    }

    fn remove(&mut self, session: u64) {
        let is = |place: &_| is_of(place, session);
        self.0.remove(hash(session), is, rehash);
    }
}

/// The largest of some sizes, and how many there are of it, with one size more.
fn add_size((largest, holders): (u32, usize), size: u32) -> (u32, usize) {
    match size.cmp(&largest) {
        Ordering::Less => (largest, holders),
        Ordering::Equal => (largest, holders + 1),
        Ordering::Greater => (size, 1),
    }
}

fn is_of(place: &(u64, usize), session: u64) -> bool {
    place.0 == session
}

fn hash(session: u64) -> u64 {
    FixedState::default().hash_one(session)
}

fn rehash(place: &(u64, usize)) -> u64 {
    hash(place.0)
}

#[derive(Default)]
pub(super) struct Ring {
    slots: List<Option<Member>>,
    /// Slots by session, once there are more than a few. Session ids are the broker's, not the client's.
    places: Option<Box<Places>>,
    live: usize,
    /// Where members move up, while they do.
    closing: Option<Closing>,
    /// Below the number of slots, or 0.
    cursor: usize,
    present: Bits,
    ready: [Bits; 2],
    /// The Maximum Packet Size of the connection that the group was told of last, by slot.
    sizes: Vec<u32>,
    /// Members that were granted QoS 1 or 2: for them messages wait even while they are away.
    keeping: usize,
    /// Those of them that are away.
    awaited: usize,
    /// The largest of the `sizes` of members that are present, and how many have it.
    largest: (u32, usize),
    /// Sessions of ready members that may not have looked at all messages that are blocked; each of
    /// them once.
    fresh: VecDeque<u64>,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Where the turn is, as an index among the members.
    pub(super) fn turn(&self) -> usize {
        if self.live == self.slots.len() {
            return self.cursor;
        }
        let in_front = self.slots.iter().take(self.cursor);
        in_front.filter(|slot| slot.is_some()).count()
    }

    /// The slot whose turn it is.
    #[inline]
    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    /// A member that is picked at random; `below` gives a number below its argument.
    pub(super) fn any_slot(&self, mut below: impl FnMut(usize) -> usize) -> usize {
        loop {
            let slot = below(self.slots.len());
            if self.get(slot).is_some() || self.is_empty() {
                return slot;
            }
        }
    }

    /// The member that had its turn last, right after it had it.
    pub(super) fn last_served(&self) -> Option<&Member> {
        let slot = match self.cursor {
            0 => self.slots.len().checked_sub(1)?,
            cursor => cursor - 1,
        };
        self.get(slot)
    }

    /// The member in `slot` has had its turn.
    #[inline]
    pub(super) fn advance_behind(&mut self, slot: usize) {
        let next = slot + 1;
        self.cursor = if next < self.slots.len() { next } else { 0 };
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().flatten()
    }

    /// The slots from `from` on.
    pub(super) fn iter_from(&self, from: usize) -> impl Iterator<Item = &Option<Member>> {
        self.slots.iter().skip(from)
    }

    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<&Member> {
        self.slots.get(slot)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Member> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The slot of a session's member.
    pub(super) fn find(&self, session: u64) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(session),
            None => self.slots.iter().position(|slot| {
                let member = slot.as_ref();
                member.is_some_and(|member| member.session.id == session)
            }),
        }
    }

    /// Adds a member, connected and ready, behind all others. Its client takes packets of up to `size` bytes.
    pub(super) fn push(&mut self, member: Member, size: u32) {
        let slot = self.slots.len();
        self.live += 1;
        self.keeping += member.keeps();
        self.awaited += member.keeps();
        if let Some(places) = &mut self.places {
            places.set(member.session.id, slot);
        }
        self.slots.push(Some(member));
        if self.places.is_none() && self.slots.len() > FEW {
            self.places = Some(self.look_up_places());
        }
        self.appear(slot, size);
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Member> {
        self.disappear(slot);
        let member = self.slots.get_mut(slot)?.take()?;
        self.live -= 1;
        self.keeping -= member.keeps();
        self.awaited -= member.keeps();
        if let Some(places) = &mut self.places {
            places.remove(member.session.id);
        }
        if self.closing.is_none() && self.slots.len() - self.live > self.live.max(GAPS) {
            self.closing = Some(Closing::default());
        }
        if let Some(closing) = self.closing {
            self.closing = Some(self.close_up(closing));
        }
        while let Some(None) = self.slots.last() {
            self.slots.pop();
        }
        self.sizes.truncate(self.slots.len());
        if self.cursor >= self.slots.len() {
            self.cursor = 0;
        }
        if let Some(Closing { from, .. }) = self.closing
            && from >= self.slots.len()
        {
            self.end_closing();
        }
        Some(member)
    }

    /// Moves some members up.
    fn close_up(&mut self, Closing { mut to, from }: Closing) -> Closing {
        let end = self.slots.len().min(from + CLOSED_AT_ONCE);
        for from in from..end {
            if self.get(from).is_some() {
                self.move_up(from, to);
                to += 1;
            }
        }
        Closing {
            to,
            from: end.max(from),
        }
    }

    /// Moves the member in slot `from` to slot `to`. All slots from there on to its own are empty.
    fn move_up(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let Some(member) = self.slots.get_mut(from).and_then(Option::take) else {
            return;
        };
        if let Some(places) = &mut self.places {
            places.set(member.session.id, to);
        }
        if let Some(slot) = self.slots.get_mut(to) {
            *slot = Some(member);
        }
        let size = self.size(from);
        if let Some(known) = self.sizes.get_mut(to) {
            *known = size;
        }
        let [at_most_once, lasting] = &mut self.ready;
        for bits in [&mut self.present, at_most_once, lasting] {
            if bits.contains(from) {
                bits.remove(from);
                bits.insert(to);
            }
        }
        if (to..=from).contains(&self.cursor) {
            self.cursor = to;
        }
    }

    /// All members have moved up: gives back the room for more.
    fn end_closing(&mut self) {
        self.closing = None;
        let len = self.slots.len();
        if len <= FEW {
            self.places = None;
        }
        let [at_most_once, lasting] = &mut self.ready;
        for bits in [&mut self.present, at_most_once, lasting] {
            bits.truncate(len);
        }
        self.sizes.shrink_to(2 * len);
    }

    fn look_up_places(&self) -> Box<Places> {
        let mut places = Places(Table::new());
        for (slot, member) in self.slots.iter().enumerate() {
            if let Some(member) = member {
                places.set(member.session.id, slot);
            }
        }
        Box::new(places)
    }

    /// The member in `slot` has another grant.
    pub(super) fn regrant(&mut self, slot: usize, qos: QoS) {
        let is_away = !self.is_present(slot);
        if let Some(member) = self.get_mut(slot) {
            let before = member.keeps();
            member.qos = qos;
            let after = member.keeps();
            self.keeping = self.keeping - before + after;
            if is_away {
                self.awaited = self.awaited - before + after;
            }
        }
    }

    /// The member in `slot` has a connection that takes packets of up to `size` bytes.
    pub(super) fn appear(&mut self, slot: usize, size: u32) {
        self.resize(slot, size);
        self.make_ready(slot);
    }

    /// The member in `slot` may be able to take anything.
    pub(super) fn make_ready(&mut self, slot: usize) {
        for ready in &mut self.ready {
            ready.insert(slot);
        }
    }

    /// The member in `slot` has no connection.
    pub(super) fn disappear(&mut self, slot: usize) {
        self.withdraw(slot);
        for ready in &mut self.ready {
            ready.remove(slot);
        }
    }

    /// The member in `slot` has refused a message of this kind for want of room.
    pub(super) fn refuse(&mut self, slot: usize, kind: Kind) {
        self.ready(kind).remove(slot);
    }

    fn ready(&mut self, kind: Kind) -> &mut Bits {
        let [at_most_once, lasting] = &mut self.ready;
        match kind {
            Kind::AtMostOnce => at_most_once,
            Kind::Lasting => lasting,
        }
    }

    /// The first slot from `from` on whose member may take a message of this kind.
    #[inline]
    pub(super) fn next_ready(&self, kind: Kind, from: usize) -> Option<usize> {
        let [at_most_once, lasting] = &self.ready;
        match kind {
            Kind::AtMostOnce => at_most_once.next(from),
            Kind::Lasting => lasting.next(from),
        }
    }

    /// The member in `slot` is present no more.
    fn withdraw(&mut self, slot: usize) {
        if !self.is_present(slot) {
            return;
        }
        self.present.remove(slot);
        self.awaited += self.get(slot).map_or(0, Member::keeps);
        let (largest, holders) = self.largest;
        self.largest = match self.size(slot) == largest {
            true if holders == 1 => self.find_largest(),
            true => (largest, holders - 1),
            false => self.largest,
        };
    }

    /// The member in `slot` is present, and its client takes packets of up to `size` bytes.
    pub(super) fn resize(&mut self, slot: usize, size: u32) {
        self.withdraw(slot);
        if slot >= self.sizes.len() {
            self.sizes.resize(slot + 1, 0);
        }
        if let Some(known) = self.sizes.get_mut(slot) {
            *known = size;
        }
        self.awaited -= self.get(slot).map_or(0, Member::keeps);
        self.present.insert(slot);
        self.largest = add_size(self.largest, size);
    }

    /// A present member who takes packets of the [`largest`](Self::largest) size, unless one that is away may.
    pub(super) fn largest_slot(&self) -> Option<usize> {
        if self.awaits_one() {
            return None;
        }
        let mut at = 0;
        loop {
            let slot = self.present.next(at)?;
            if self.size(slot) == self.largest.0 {
                return Some(slot);
            }
            at = slot + 1;
        }
    }

    fn find_largest(&self) -> (u32, usize) {
        let (mut largest, mut at) = ((0, 0), 0);
        while let Some(slot) = self.present.next(at) {
            largest = add_size(largest, self.size(slot));
            at = slot + 1;
        }
        largest
    }

    /// The largest packet that somebody may take: if a member is away for which messages wait, any, because
    /// nobody knows what it will take when it is back.
    pub(super) fn largest(&self) -> u32 {
        match self.awaits_one() {
            true => u32::MAX,
            false => self.largest.0,
        }
    }

    /// What the client of the member in `slot` takes, in bytes.
    fn size(&self, slot: usize) -> u32 {
        self.sizes.get(slot).copied().unwrap_or(u32::MAX)
    }

    /// The first slot from `from` on whose member may take a packet of at least `size` bytes, of this kind.
    /// Counts those that it passes over.
    pub(super) fn next_ready_for(
        &self,
        kind: Kind,
        size: u32,
        from: usize,
        passed: &mut usize,
    ) -> Option<usize> {
        let mut at = from;
        loop {
            let slot = self.next_ready(kind, at)?;
            if self.size(slot) >= size {
                return Some(slot);
            }
            *passed += 1;
            at = slot + 1;
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        self.ready[Kind::Lasting as usize].count() > 0
    }

    pub(super) fn is_ready(&self, slot: usize) -> bool {
        self.ready[Kind::Lasting as usize].contains(slot)
    }

    pub(super) fn is_present(&self, slot: usize) -> bool {
        self.present.contains(slot)
    }

    pub(super) fn has_present(&self) -> bool {
        self.present.count() > 0
    }

    /// The first slot from `from` on whose member is present and full, and may take a packet of at least
    /// `size` bytes. Counts those that it passes over.
    pub(super) fn next_full(&self, size: u32, from: usize, passed: &mut usize) -> Option<usize> {
        let ready = &self.ready[Kind::Lasting as usize];
        if self.present.count() == ready.count() {
            return None;
        }
        let mut at = from;
        loop {
            let slot = self.present.next_without(ready, at)?;
            if self.size(slot) >= size {
                return Some(slot);
            }
            *passed += 1;
            at = slot + 1;
        }
    }

    /// Whether a member is connected, or will come back for QoS 1 (AWS-SHARE-17, AWS-SHARE-23): a member
    /// that is not connected has a session that outlived its connection, or it would have left.
    pub(super) fn lets_wait(&self) -> bool {
        self.has_present() || self.keeping > 0
    }

    /// Whether a member is away for which messages wait. Nobody knows what size of packets it will take.
    pub(super) fn awaits_one(&self) -> bool {
        self.awaited > 0
    }

    /// The member in `slot`, which is ready, is to look at the messages that are blocked.
    pub(super) fn refresh(&mut self, slot: usize) {
        if let Some(member) = self.get_mut(slot)
            && !std::mem::replace(&mut member.is_fresh, true)
        {
            let session = member.session.id;
            self.fresh.push_back(session);
        }
    }

    /// The next ready member that may not have looked at all messages that are blocked.
    pub(super) fn next_fresh(&mut self) -> Option<usize> {
        while let Some(session) = self.fresh.front() {
            match self.find(*session) {
                Some(slot) if self.is_ready(slot) => return Some(slot),
                Some(_) | None => self.end_fresh(),
            }
        }
        None
    }

    /// The first of the fresh members has looked at all, or can take nothing.
    pub(super) fn end_fresh(&mut self) {
        if let Some(session) = self.fresh.pop_front()
            && let Some(slot) = self.find(session)
            && let Some(member) = self.get_mut(slot)
        {
            member.is_fresh = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::backlog::Looked;
    use super::*;
    use crate::broker::session::Session;
    use crate::budget::{Charge, Kind as Account, Owned};
    use crate::message::subscription::{Options, Subscription};

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join(QoS, u32),
        Leave(prop::sample::Index),
        /// Whoever is next and ready takes a message.
        Take,
        /// Whoever is next and ready refuses one.
        Refuse,
        Disappear(prop::sample::Index),
        Appear(prop::sample::Index, u32),
        Resize(prop::sample::Index, u32),
        Regrant(prop::sample::Index, QoS),
    }

    fn step() -> impl Strategy<Value = Step> {
        let index = any::<prop::sample::Index>;
        let qos = || prop::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce]);
        let size = || prop::sample::select(vec![50, 1000, u32::MAX]);
        prop_oneof![
            6 => (qos(), size()).prop_map(|(qos, size)| Step::Join(qos, size)),
            5 => index().prop_map(Step::Leave),
            4 => Just(Step::Take),
            2 => Just(Step::Refuse),
            1 => index().prop_map(Step::Disappear),
            2 => (index(), size()).prop_map(|(index, size)| Step::Appear(index, size)),
            1 => (index(), size()).prop_map(|(index, size)| Step::Resize(index, size)),
            1 => (index(), qos()).prop_map(|(index, qos)| Step::Regrant(index, qos)),
        ]
    }

    struct Model {
        session: u64,
        qos: QoS,
        size: u32,
        is_present: bool,
        is_ready: bool,
    }

    fn member(id: u64, qos: QoS, budget: &Owned) -> Member {
        let options = Options {
            qos,
            no_local: false,
            retain_as_published: false,
            id: None,
        };
        Member {
            session: Session::new(id, "client", Charge::none(**budget, Account::Sessions)),
            subscription: Arc::new(Subscription::new(options)),
            membership: 0,
            qos,
            delivered: 0,
            redelivered: 0,
            looked: Looked::default(),
            is_fresh: false,
        }
    }

    proptest! {
        /// Hundreds of members come and go, so that slots are closed up now and then.
        #[test]
        fn turns_are_those_of_a_list(
            crowd in 0..200_u64,
            leavers in proptest::collection::vec(any::<prop::sample::Index>(), 0..200),
            steps in proptest::collection::vec(step(), 1..150),
        ) {
            let budget = Owned::new(1 << 30);
            let (mut ring, mut model, mut cursor) = (Ring::default(), Vec::<Model>::new(), 0);
            let joins = (0..crowd).map(|_| Step::Join(QoS::AtLeastOnce, u32::MAX));
            let takes = (0..crowd / 2).map(|_| Step::Take);
            let leaves = leavers.into_iter().map(Step::Leave);
            let mut ids = 0;
            for step in joins.chain(takes).chain(leaves).chain(steps) {
                let count = model.len();
                let next = (0..count)
                    .map(|offset| (cursor + offset) % count)
                    .find(|place| model[*place].is_ready);
                let found = ring
                    .next_ready(Kind::Lasting, ring.cursor())
                    .or_else(|| ring.next_ready(Kind::Lasting, 0));
                let session = found.and_then(|slot| Some(ring.get(slot)?.session.id));
                prop_assert_eq!(session, next.map(|place| model[place].session));
                match step {
                    Step::Join(qos, size) => {
                        ids += 1;
                        ring.push(member(ids, qos, &budget), size);
                        model.push(Model { session: ids, qos, size, is_present: true, is_ready: true });
                    }
                    Step::Leave(index) if count > 0 => {
                        let place = index.index(count);
                        let left = model.remove(place);
                        cursor -= usize::from(place < cursor);
                        cursor = if cursor < model.len() { cursor } else { 0 };
                        let slot = ring.find(left.session).unwrap();
                        prop_assert_eq!(ring.remove(slot).unwrap().session.id, left.session);
                        prop_assert_eq!(ring.find(left.session), None);
                    }
                    Step::Take => {
                        if let (Some(slot), Some(place)) = (found, next) {
                            ring.advance_behind(slot);
                            cursor = (place + 1) % count;
                        }
                    }
                    Step::Refuse => {
                        if let (Some(slot), Some(place)) = (found, next) {
                            ring.refuse(slot, Kind::Lasting);
                            model[place].is_ready = false;
                        }
                    }
                    Step::Disappear(index) if count > 0 => {
                        let member = &mut model[index.index(count)];
                        ring.disappear(ring.find(member.session).unwrap());
                        (member.is_present, member.is_ready) = (false, false);
                    }
                    Step::Appear(index, size) if count > 0 => {
                        let member = &mut model[index.index(count)];
                        ring.appear(ring.find(member.session).unwrap(), size);
                        (member.is_present, member.is_ready, member.size) = (true, true, size);
                    }
                    Step::Resize(index, size) if count > 0 => {
                        let member = &mut model[index.index(count)];
                        if member.is_present {
                            ring.resize(ring.find(member.session).unwrap(), size);
                            member.size = size;
                        }
                    }
                    Step::Regrant(index, qos) if count > 0 => {
                        let member = &mut model[index.index(count)];
                        ring.regrant(ring.find(member.session).unwrap(), qos);
                        member.qos = qos;
                    }
                    Step::Leave(_) | Step::Disappear(_) | Step::Appear(..) => {}
                    Step::Resize(..) | Step::Regrant(..) => {}
                }
                prop_assert_eq!(ring.turn(), cursor);
                prop_assert_eq!(ring.len(), model.len());
                // A few leave while the others move up.
                prop_assert!(ring.slots.len() <= 5 * model.len().max(GAPS) / 2 + 1);
                let sessions: Vec<u64> = ring.iter().map(|member| member.session.id).collect();
                let expected: Vec<u64> = model.iter().map(|member| member.session).collect();
                prop_assert_eq!(sessions, expected);
                let is_full = |member: &&Model| member.is_present && !member.is_ready;
                let full = ring.next_full(1, 0, &mut 0).and_then(|slot| Some(ring.get(slot)?.session.id));
                prop_assert_eq!(full, model.iter().find(is_full).map(|member| member.session));
                let lets_wait = |member: &Model| member.is_present || member.qos > QoS::AtMostOnce;
                prop_assert_eq!(ring.lets_wait(), model.iter().any(lets_wait));
                let is_awaited = |member: &Model| !member.is_present && member.qos > QoS::AtMostOnce;
                let sizes = model.iter().filter(|member| member.is_present).map(|member| member.size);
                let largest = match model.iter().any(is_awaited) {
                    true => u32::MAX,
                    false => sizes.max().unwrap_or(0),
                };
                prop_assert_eq!(ring.largest(), largest);
                let holder = ring.largest_slot().and_then(|slot| Some(ring.get(slot)?.session.id));
                let is_it = |member: &&Model| member.is_present && member.size == largest;
                let expected = model.iter().find(is_it).filter(|_| !model.iter().any(is_awaited));
                prop_assert_eq!(holder, expected.map(|member| member.session));
            }
        }
    }

    #[test]
    fn whoever_leaves_has_few_others_move_up() {
        let budget = Owned::new(1 << 30);
        let mut ring = Ring::default();
        for id in 0..3_000 {
            ring.push(member(id, QoS::AtLeastOnce, &budget), 1000);
        }
        let slots = |ring: &Ring| -> Vec<Option<u64>> {
            let sessions = ring.slots.iter();
            sessions
                .map(|slot| slot.as_ref().map(|member| member.session.id))
                .collect()
        };
        let mut before = slots(&ring);
        for id in (0..3_000).filter(|id| id % 10 > 0) {
            let slot = ring.find(id).unwrap();
            ring.remove(slot);
            let after = slots(&ring);
            let pairs = before.iter().zip(&after);
            let moved = pairs.filter(|(old, new)| new.is_some() && old != new);
            assert!(moved.count() <= CLOSED_AT_ONCE, "when {id} left");
            before = after;
        }
        assert!(ring.slots.len() < 1_000, "{} slots", ring.slots.len());
        let left: Vec<u64> = ring.iter().map(|member| member.session.id).collect();
        assert!(left.into_iter().eq((0..3_000).step_by(10)));
    }

    #[test]
    fn members_that_are_too_small_are_passed_over_wherever_they_move() {
        let budget = Owned::new(1 << 30);
        let mut ring = Ring::default();
        // Every tenth takes large packets.
        for id in 0..200 {
            let size = if id % 10 == 0 { 1000 } else { 50 };
            ring.push(member(id, QoS::AtLeastOnce, &budget), size);
        }
        // So many leave that the others move together.
        for id in 0..150 {
            let slot = ring.find(id).unwrap();
            ring.remove(slot);
        }
        let second = ring.find(151).unwrap();
        let next = |ring: &Ring, size, passed: &mut usize| {
            let slot = ring.next_ready_for(Kind::Lasting, size, second, passed)?;
            Some(ring.get(slot)?.session.id)
        };
        let mut passed = 0;
        assert_eq!(next(&ring, 51, &mut passed), Some(160));
        assert_eq!(passed, 9);
        assert_eq!(next(&ring, 50, &mut passed), Some(151));
        assert_eq!(next(&ring, 1001, &mut passed), None);
        for slot in 0..ring.slots.len() {
            ring.refuse(slot, Kind::Lasting);
        }
        let full = ring
            .next_full(51, second, &mut 0)
            .and_then(|slot| Some(ring.get(slot)?.session.id));
        assert_eq!(full, Some(160));
        ring.appear(second + 2, 60);
        assert_eq!(next(&ring, 60, &mut passed), Some(153));
    }
}
