//! What was sent at QoS 1 and 2 and is not yet acknowledged: packet identifiers, and the messages
//! behind them in the order they were sent.
//!
//! Identifiers are given out in rising order and mostly come back in that order, so the window is a
//! ring indexed by identifier. An exchange that stays open while thousands after it complete would
//! stretch the ring; it is moved aside to `others`, and its identifier is skipped until it ends
//! (MQTT-2.2.1-4).
//!
//! Where so many are open that the next free identifier is far, the exchanges behind the ring are in
//! `others` as well, and take identifiers in the order they became free. So no call takes long,
//! whatever a client acknowledges.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::ops::Bound;

use super::counted;
use crate::broker::discard::Discard;
use crate::codec::PacketId;
use crate::message::delivery::Delivery;

/// An open exchange.
pub(crate) struct Entry {
    pub(crate) phase: Phase,
    /// The shared group that the message came from, and its number there.
    pub(crate) origin: Option<Origin>,
    /// Whole seconds on the broker's clock when it was opened.
    pub(crate) opened_at: u32,
    /// The connection that PUBLISH was sent on last, by the number that its session gives it: the exchange
    /// takes a place of that one's Receive Maximum.
    pub(crate) sent_on: u32,
}

/// How far an exchange is.
pub(crate) enum Phase {
    /// PUBLISH sent; PUBACK or PUBREC is due.
    Published(Delivery),
    /// PUBREL sent; PUBCOMP is due. The message is gone (MQTT-4.3.3-8).
    Released {
        /// The connection that PUBREL was sent on last.
        sent_on: u32,
    },
}

impl Entry {
    /// Whether PUBCOMP is due.
    #[inline]
    pub(super) fn is_released(&self) -> bool {
        matches!(self.phase, Phase::Released { .. })
    }

    /// The connection that the packet which is open was sent on last.
    pub(super) fn last_sent_on(&mut self) -> &mut u32 {
        match &mut self.phase {
            Phase::Published(_) => &mut self.sent_on,
            Phase::Released { sent_on } => sent_on,
        }
    }
}

/// Where a message of a shared group belongs if its receiver goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// One more than the index of the membership, so that none at all takes no room.
    place: NonZeroU32,
    /// The message's number in its group.
    pub(crate) sequence: u64,
}

impl Origin {
    /// `membership` is the index of the membership in the receiver's session.
    pub(crate) fn new(membership: u32, sequence: u64) -> Self {
        Self {
            place: NonZeroU32::MIN.saturating_add(membership),
            sequence,
        }
    }

    /// Index of the membership in the receiver's session.
    pub(crate) fn membership(self) -> u32 {
        self.place.get() - 1
    }
}

/// How far a walk through a window has come. It goes on behind the exchange that it saw last, even if
/// that one and others have ended since; what is opened meanwhile it may miss.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walk {
    /// The last one that was seen of those that are not in the ring, by its place in their order.
    other: u64,
    /// The identifier in the ring that is next; 0 for its beginning.
    next: u16,
    /// The end of the ring was seen.
    is_over: bool,
}

/// The ring is tidied when it is longer than this and mostly holes.
const SPARSE: usize = 1024;

/// So many exchanges that end at once are taken out one by one.
const FEW: usize = 4;

/// Exchanges that are moved aside, and identifiers that are skipped, when one is opened.
const AT_ONCE: usize = 64;

/// With fewer open exchanges there need not be newer ones than those of the ring.
const UNCROWDED: usize = 16_384;

/// Places that are left in the order of exchanges for those that are moved out of the ring while there
/// are newer ones.
const IN_BETWEEN: u64 = 1 << 32;

#[derive(Default)]
pub(crate) struct Window {
    /// Identifier of the first slot of the ring.
    first: u16,
    ring: VecDeque<Option<Entry>>,
    /// Boxed, because hardly a session has any.
    others: Option<Box<Others>>,
    /// Open exchanges: no more than identifiers.
    open: u16,
    /// Those of them that wait for PUBCOMP.
    released: u16,
    bytes: usize,
}

/// Open exchanges older than the ring, and newer ones.
#[derive(Default)]
struct Others {
    /// In the order they were sent.
    entries: BTreeMap<u64, (u16, Entry)>,
    ids: HashMap<u16, u64, foldhash::fast::FixedState>,
    /// The last place that was given to an older one.
    older: u64,
    /// The same for a newer one.
    newer: u64,
    /// The places of newer ones are behind this; 0 if there are none.
    border: u64,
    /// Identifiers that became free while there are newer ones. Some may be in use again.
    free: VecDeque<u16>,
    /// The identifier that was tried last, once none of those is left.
    tried: u16,
}

impl Others {
    fn get(&mut self, id: u16) -> Option<&mut Entry> {
        let order = self.ids.get(&id)?;
        self.entries.get_mut(order).map(|(_, entry)| entry)
    }

    fn remove(&mut self, id: u16) -> Option<Entry> {
        let order = self.ids.remove(&id)?;
        self.entries.remove(&order).map(|(_, entry)| entry)
    }

    fn insert_older(&mut self, id: u16, entry: Entry) {
        self.older += 1;
        self.insert(self.older, id, entry);
    }

    fn insert_newer(&mut self, id: u16, entry: Entry) {
        if !self.has_newer() {
            self.border = self.older + IN_BETWEEN;
            self.newer = self.border;
        }
        self.newer += 1;
        self.insert(self.newer, id, entry);
    }

    fn insert(&mut self, order: u64, id: u16, entry: Entry) {
        self.entries.insert(order, (id, entry));
        self.ids.insert(id, order);
    }

    fn has_newer(&self) -> bool {
        self.border > 0
    }

    /// There are no newer ones any more: they have ended, or nothing is in the ring.
    fn age(&mut self) {
        if self.has_newer() {
            self.older = self.older.max(self.newer);
            self.border = 0;
            self.free = VecDeque::new();
        }
    }
}

impl Window {
    /// Open exchanges.
    pub(crate) fn len(&self) -> usize {
        self.open.into()
    }

    /// Open exchanges that wait for PUBCOMP.
    pub(super) fn released(&self) -> usize {
        self.released.into()
    }

    /// Bytes of the messages that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Opens an exchange and gives it an identifier that no open one has; `None` when all 65,535 are
    /// in use.
    #[inline]
    pub(crate) fn open(&mut self, entry: Entry) -> Option<(PacketId, &mut Entry)> {
        if self.open == u16::MAX {
            return None;
        }
        let (size, is_released) = (footprint(&entry), entry.is_released());
        let (id, opened) = match self.next_in_ring() {
            Some(id) => {
                self.ring.push_back(Some(entry));
                (id, self.ring.back_mut()?.as_mut())
            }
            None => {
                let id = self.next_free()?;
                let others = self.others.get_or_insert_default();
                others.insert_newer(id, entry);
                (id, others.get(id))
            }
        };
        self.open += 1;
        self.released += u16::from(is_released);
        self.bytes += size;
        Some((PacketId::new(id)?, opened?))
    }

    /// How many exchanges [`append`](Self::append) may open one after the other. None where identifiers have to be
    /// looked for: [`open`](Self::open) does that.
    #[inline]
    pub(super) fn appendable(&self) -> usize {
        match self.others.is_none() && !self.is_sparse() {
            true => usize::from(u16::MAX) - self.ring.len(),
            false => 0,
        }
    }

    /// The identifier of the exchange that is appended next.
    #[inline]
    pub(super) fn next_id(&self) -> Option<PacketId> {
        self.next_ids().next()
    }

    /// The identifiers of those behind it, too.
    #[inline]
    pub(super) fn next_ids(&self) -> impl Iterator<Item = PacketId> + use<> {
        let (first, open) = (self.first, self.ring.len());
        (open..).map_while(move |at| PacketId::new(advance(first, at)))
    }

    /// Opens an exchange with the identifier that is next. The caller has seen that it may.
    #[inline]
    pub(super) fn append(&mut self, entry: Entry) {
        debug_assert!(self.others.is_none() && self.ring.len() < usize::from(u16::MAX));
        self.first = self.first.max(1);
        self.open += 1;
        self.released += u16::from(entry.is_released());
        self.bytes += footprint(&entry);
        self.ring.push_back(Some(entry));
    }

    #[inline]
    fn is_sparse(&self) -> bool {
        self.ring.len() > SPARSE && self.ring.len() > 4 * self.len()
    }

    /// The identifier of the next slot of the ring, if it is near and the ring may grow.
    #[inline]
    fn next_in_ring(&mut self) -> Option<u16> {
        if self.first == 0 {
            self.first = 1;
        }
        if self.is_sparse() || self.ring.len() >= usize::from(u16::MAX) {
            self.set_some_aside();
        }
        if self.others.is_none() {
            return Some(advance(self.first, self.ring.len()));
        }
        self.skip_others()
    }

    /// The identifier of the next slot of the ring that none of the others has.
    #[cold]
    fn skip_others(&mut self) -> Option<u16> {
        if self.has_newer() {
            if self.len() < UNCROWDED {
                self.set_some_aside();
            }
            if self.has_newer() {
                return None;
            }
        }
        for _ in 0..AT_ONCE {
            if self.ring.len() >= usize::from(u16::MAX) {
                return None;
            }
            let id = advance(self.first, self.ring.len());
            if !self.is_other(id) {
                return Some(id);
            }
            count_moved();
            self.ring.push_back(None);
            self.trim();
        }
        None
    }

    fn has_newer(&self) -> bool {
        let others = self.others.as_ref();
        others.is_some_and(|others| others.has_newer())
    }

    /// An identifier that no open exchange has.
    #[cold]
    fn next_free(&mut self) -> Option<u16> {
        let mut others = self.others.take()?;
        let mut found = None;
        while let Some(id) = others.free.pop_front() {
            if !others.ids.contains_key(&id) && !self.is_in_ring(id) {
                found = Some(id);
                break;
            }
        }
        if found.is_none() {
            let all = (1..=usize::from(u16::MAX)).map(|step| advance(others.tried, step));
            let mut free = all.filter(|id| !others.ids.contains_key(id) && !self.is_in_ring(*id));
            found = free.next();
            others.tried = found.unwrap_or(others.tried);
        }
        self.others = Some(others);
        found
    }

    /// Ends an exchange.
    pub(crate) fn close(&mut self, id: PacketId) -> Option<Entry> {
        self.close_if(id, |_| true)?
    }

    /// Ends the oldest exchanges, as many as `ids` names in their order and `may_end` agrees to. Returns how many.
    pub(super) fn close_in_order(
        &mut self,
        ids: impl Iterator<Item = PacketId>,
        mut may_end: impl FnMut(&Entry) -> bool,
    ) -> usize {
        if self.others.is_some() {
            return 0;
        }
        let (mut ended, mut next) = (0, self.first);
        let (mut bytes, mut released) = (0, 0);
        for (slot, id) in self.ring.iter().zip(ids) {
            let Some(entry) = slot else { break };
            if id.get() != next || !may_end(entry) {
                break;
            }
            match &entry.phase {
                Phase::Published(delivery) => bytes += delivery.message.footprint(),
                Phase::Released { .. } => released += 1,
            }
            next = advance(next, 1);
            ended += 1;
        }
        if ended > 0 {
            match ended {
                // To drain a ring costs as much as to take out some.
                ..FEW => (0..ended).for_each(|_| drop(self.ring.pop_front())),
                _ => drop(self.ring.drain(..ended)),
            }
            self.first = next;
            self.open -= counted(ended);
            self.released -= released;
            self.bytes -= bytes;
            self.trim();
        }
        ended
    }

    /// Lets go of messages that were sent one after the other, as many as `ids` names in their order and
    /// `may_go` agrees to: PUBREL was sent on a connection for each. Returns how many.
    pub(super) fn release_in_order(
        &mut self,
        ids: impl Iterator<Item = PacketId> + Clone,
        connection: u32,
        mut may_go: impl FnMut(&Entry) -> bool,
    ) -> usize {
        let first = ids.clone().next();
        let start = first.and_then(|id| distance(self.first, id.get()));
        let Some(start) = start.filter(|start| *start < self.ring.len() && self.others.is_none())
        else {
            return 0;
        };
        let (mut gone, mut next) = (0, advance(self.first, start));
        for (slot, id) in self.ring.range_mut(start..).zip(ids) {
            let Some(entry) = slot else { break };
            if id.get() != next || entry.is_released() || !may_go(entry) {
                break;
            }
            let released = Phase::Released {
                sent_on: connection,
            };
            if let Phase::Published(delivery) = std::mem::replace(&mut entry.phase, released) {
                self.bytes -= delivery.message.footprint();
            }
            entry.origin = None;
            next = advance(next, 1);
            gone += 1;
        }
        self.released += counted(gone);
        gone
    }

    /// Ends an exchange if `may_end` says so; `None` if none is open under this identifier.
    #[inline]
    pub(crate) fn close_if(
        &mut self,
        id: PacketId,
        may_end: impl FnOnce(&Entry) -> bool,
    ) -> Option<Option<Entry>> {
        let place = distance(self.first, id.get());
        let slot = place.and_then(|place| self.ring.get_mut(place));
        let Some(slot) = slot.filter(|slot| slot.is_some()) else {
            return self.close_other(id, may_end);
        };
        if !slot.as_ref().is_some_and(may_end) {
            return Some(None);
        }
        // Nearly always it is the first.
        let entry = match place {
            Some(0) => {
                self.first = advance(self.first, 1);
                self.ring.pop_front().flatten()
            }
            _ => slot.take(),
        }?;
        self.count_out(id, &entry);
        if let None | Some(None) = self.ring.front() {
            self.trim();
        }
        Some(Some(entry))
    }

    #[cold]
    fn close_other(
        &mut self,
        id: PacketId,
        may_end: impl FnOnce(&Entry) -> bool,
    ) -> Option<Option<Entry>> {
        let other = self.others.as_mut()?.get(id.get())?;
        if !may_end(other) {
            return Some(None);
        }
        let entry = self.remove_other(id.get())?;
        self.count_out(id, &entry);
        self.trim();
        Some(Some(entry))
    }

    /// Accounts for an exchange that has ended, whose identifier may be had again.
    #[inline]
    fn count_out(&mut self, id: PacketId, entry: &Entry) {
        self.open -= 1;
        match &entry.phase {
            Phase::Published(delivery) => self.bytes -= delivery.message.footprint(),
            Phase::Released { .. } => self.released -= 1,
        }
        if let Some(others) = &mut self.others
            && others.has_newer()
            && others.free.len() < usize::from(u16::MAX)
        {
            others.free.push_back(id.get());
        }
    }

    /// Open exchanges that there is memory for.
    #[inline]
    pub(crate) fn places(&self) -> usize {
        self.ring.capacity()
    }

    #[inline]
    pub(crate) fn get(&mut self, id: PacketId) -> Option<&mut Entry> {
        if self.is_other(id.get()) {
            return self.others.as_mut()?.get(id.get());
        }
        self.slot(id.get())?.as_mut()
    }

    /// PUBREC came on a connection, which PUBREL is sent on: the message is let go and the exchange waits
    /// for PUBCOMP (MQTT-4.3.3-4). Returns the delivery that ended, `None` if it had been released already.
    pub(crate) fn release(&mut self, id: PacketId, connection: u32) -> Option<Delivery> {
        let entry = self.get(id)?;
        let sent_on = connection;
        let released = Phase::Released { sent_on };
        let Phase::Published(delivery) = std::mem::replace(&mut entry.phase, released) else {
            return None;
        };
        entry.origin = None;
        self.released += 1;
        self.bytes -= delivery.message.footprint();
        Some(delivery)
    }

    /// Every open exchange in the order it was sent.
    pub(crate) fn visit(&mut self, mut f: impl FnMut(PacketId, &mut Entry)) {
        let mut walk = Walk::default();
        while let Some((id, entry)) = self.walk(&mut walk) {
            f(id, entry);
        }
    }

    /// The next open exchange of a walk, in the order they were sent.
    pub(crate) fn walk(&mut self, walk: &mut Walk) -> Option<(PacketId, &mut Entry)> {
        let border = self
            .others
            .as_ref()
            .map_or(u64::MAX, |others| match others.border {
                0 => u64::MAX,
                border => border,
            });
        let mut from = walk.other;
        if from < border && self.next_other(from).is_none_or(|next| next > border) {
            if let Some((index, id)) = self.next_slot(walk) {
                walk.next = advance(id, 1);
                walk.is_over = index + 1 == self.ring.len();
                let entry = self.ring.get_mut(index)?.as_mut()?;
                return Some((PacketId::new(id)?, entry));
            }
            walk.is_over = true;
            from = border;
        }
        let next = self.next_other(from)?;
        walk.other = next;
        let (id, entry) = self.others.as_mut()?.entries.get_mut(&next)?;
        Some((PacketId::new(*id)?, entry))
    }
    /// The place of the next one behind `order` that is not in the ring.
    fn next_other(&self, order: u64) -> Option<u64> {
        let behind = (Bound::Excluded(order), Bound::Unbounded);
        let (order, _) = self.others.as_ref()?.entries.range(behind).next()?;
        Some(*order)
    }

    /// The next slot of a walk that is not empty, and its identifier.
    fn next_slot(&self, walk: &Walk) -> Option<(usize, u16)> {
        if walk.is_over {
            return None;
        }
        // The front of the ring may have moved on beyond what is next.
        let start = distance(self.first, walk.next).filter(|start| *start < self.ring.len());
        let start = start.unwrap_or(0);
        let mut slots = self.ring.range(start..);
        let index = start + slots.position(Option::is_some)?;
        Some((index, advance(self.first, index)))
    }

    /// Puts a message back under the identifier it had, when its receiver resumes (MQTT-4.4.0-1).
    /// Fails when the identifier is in use again.
    pub(crate) fn reopen(&mut self, id: PacketId, entry: Entry) -> Result<(), Entry> {
        if self.is_other(id.get()) {
            return Err(entry);
        }
        match self.slot(id.get()) {
            Some(slot) if slot.is_some() => return Err(entry),
            Some(_) | None => {}
        }
        self.open += 1;
        self.released += u16::from(entry.is_released());
        self.bytes += footprint(&entry);
        if let Some(slot) = self.slot(id.get()) {
            *slot = Some(entry);
        } else {
            self.set_aside(id.get(), entry);
        }
        Ok(())
    }

    /// Ends up to `count` exchanges, whichever they are. Returns whether none is left.
    pub(crate) fn discard(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let other = self
                .others
                .as_mut()
                .and_then(|others| others.entries.pop_first());
            if other.is_none() && self.ring.pop_front().is_none() {
                break;
            }
        }
        self.ring.is_empty()
            && self
                .others
                .as_ref()
                .is_none_or(|others| others.entries.is_empty())
    }

    #[inline]
    fn slot(&mut self, id: u16) -> Option<&mut Option<Entry>> {
        self.ring.get_mut(distance(self.first, id)?)
    }

    /// Drops holes at the front; the next identifier goes on from where it was.
    fn trim(&mut self) {
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.first = advance(self.first, 1);
        }
        if self.ring.is_empty() && self.ring.capacity() > SPARSE {
            self.ring = VecDeque::new();
        }
    }

    /// Moves some of what is open at the front of the ring aside.
    #[cold]
    fn set_some_aside(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(slot) = self.ring.pop_front() else {
                break;
            };
            let id = self.first;
            self.first = advance(self.first, 1);
            if let Some(entry) = slot {
                count_moved();
                self.set_aside(id, entry);
            }
        }
        self.trim();
        if self.ring.is_empty()
            && let Some(others) = &mut self.others
        {
            others.age();
        }
    }

    fn set_aside(&mut self, id: u16, entry: Entry) {
        self.others.get_or_insert_default().insert_older(id, entry);
    }

    #[inline]
    fn is_other(&self, id: u16) -> bool {
        let others = self.others.as_ref();
        others.is_some_and(|others| others.ids.contains_key(&id))
    }

    fn is_in_ring(&self, id: u16) -> bool {
        let slot = distance(self.first, id).and_then(|index| self.ring.get(index));
        slot.is_some_and(Option::is_some)
    }

    #[cold]
    fn remove_other(&mut self, id: u16) -> Option<Entry> {
        let others = self.others.as_mut()?;
        let removed = others.remove(id);
        let last = others.entries.last_key_value().map(|(order, _)| *order);
        if last.is_none() {
            self.others = None;
        } else if last < Some(others.border) {
            others.age();
        }
        removed
    }
}

/// Notes that an exchange was moved aside, or an identifier skipped.
fn count_moved() {
    #[cfg(test)]
    MOVED.set(MOVED.get() + 1);
}

#[cfg(test)]
thread_local! {
    static MOVED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn footprint(entry: &Entry) -> usize {
    match &entry.phase {
        Phase::Published(delivery) => delivery.message.footprint(),
        Phase::Released { .. } => 0,
    }
}

/// The identifier `steps` after `id`, at most once around; 0 is no identifier and is jumped over.
#[inline]
fn advance(id: u16, steps: usize) -> u16 {
    let next = usize::from(id.max(1)) + steps;
    let span = usize::from(u16::MAX);
    (if next > span { next - span } else { next }) as u16
}

/// Steps from `from` to `to`.
#[inline]
fn distance(from: u16, to: u16) -> Option<usize> {
    if from == 0 || to == 0 {
        return None;
    }
    // Wrapping goes by 65,536, and there are 65,535 identifiers.
    Some(usize::from(to.wrapping_sub(from)) - usize::from(to < from))
}

impl Discard for Window {
    fn discard(&mut self, count: usize) -> bool {
        self.discard(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Each message that is under way moves one, and a window of 65,535 holds as many.
    #[test]
    fn entry_is_a_cache_line_at_most() {
        assert_eq!(size_of::<Option<Entry>>(), 64);
    }

    fn entry() -> Entry {
        Entry {
            phase: Phase::Released { sent_on: 0 },
            origin: None,
            opened_at: 0,
            sent_on: 0,
        }
    }

    /// MQTT-2.2.1-4.
    #[test]
    fn identifiers_wrap_and_skip_those_in_use() {
        let mut window = Window::default();
        let held = window.open(entry()).unwrap().0;
        assert_eq!(held.get(), 1);
        let mut last = 1;
        for _ in 0..200_000u32 {
            let id = window.open(entry()).unwrap().0;
            assert_ne!(id, held);
            last = id.get();
            assert!(window.close(id).is_some());
        }
        assert!(last > 1);
        assert_eq!(window.len(), 1);
        assert!(window.close(held).is_some());
        assert!(window.close(held).is_none());
    }

    /// MQTT-2.2.1-4. A run that is sent makes the ring no shorter; what is sent after it does.
    #[test]
    fn run_is_sent_while_one_is_held_open() {
        let mut window = Window::default();
        let held = window.open(entry()).unwrap().0;
        for _ in 0..5_000 {
            let mut ids = Vec::new();
            for _ in 0..window.appendable().min(32) {
                ids.push(window.next_id().unwrap());
                window.append(entry());
            }
            ids.extend(open_one(&mut window));
            for id in &ids {
                assert_ne!(*id, held);
                assert!(window.close(*id).is_some());
            }
        }
        assert!(window.ring.len() <= SPARSE + 32 && window.len() == 1);
    }

    #[test]
    fn all_identifiers_can_be_open_and_not_one_more() {
        let mut window = Window::default();
        for _ in 0..65_535 {
            assert!(window.open(entry()).is_some());
        }
        assert!(window.open(entry()).is_none());
        let id = PacketId::new(40_000).unwrap();
        assert!(window.close(id).is_some());
        assert_eq!(window.open(entry()).map(|(id, _)| id), Some(id));
    }

    fn open_one(window: &mut Window) -> Option<PacketId> {
        window.open(entry()).map(|(id, _)| id)
    }

    /// Whatever is acknowledged, and in whichever order: from the end, the middle, every other one.
    #[test]
    fn no_open_moves_many_exchanges_however_crowded_it_is() {
        let mut window = Window::default();
        let mut model: BTreeMap<u64, u16> = BTreeMap::new();
        let (mut next, mut random) = (0, 1_u64);
        let mut longest = 0;
        for (opens, closes) in [
            (65_535, 300),
            (200, 40_000),
            (39_000, 2_000),
            (50, 60_000),
            (500, 1_500),
            (65_000, 30_000),
        ] {
            let mut open = |model: &mut BTreeMap<u64, u16>, window: &mut Window| {
                let before = MOVED.get();
                let Some(id) = open_one(window) else {
                    assert_eq!(model.len(), 65_535);
                    return;
                };
                longest = longest.max(MOVED.get() - before);
                next += 1;
                model.insert(next, id.get());
            };
            for _ in 0..opens {
                open(&mut model, &mut window);
            }
            for count in 0..closes {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let last = model.last_key_value().map_or(1, |(last, _)| *last);
                let at = (random >> 33) % last + 1;
                let Some((&at, &id)) = model.range(at..).next() else {
                    continue;
                };
                model.remove(&at);
                assert!(window.close(PacketId::new(id).unwrap()).is_some(), "{id}");
                if count % 3 == 0 {
                    open(&mut model, &mut window);
                }
            }
            let mut seen = Vec::new();
            window.visit(|id, _| seen.push(id.get()));
            assert!(seen.iter().eq(model.values()));
            assert_eq!(window.len(), model.len());
        }
        assert!(longest <= 3 * AT_ONCE, "{longest} at once");
    }

    /// MQTT-2.2.1-4.
    #[test]
    fn window_is_a_ring_again_once_it_is_not_crowded() {
        let mut window = Window::default();
        let ids: Vec<_> = (0..65_535).filter_map(|_| open_one(&mut window)).collect();
        for id in ids.iter().skip(500).step_by(1_000) {
            window.close(*id);
        }
        let newest = open_one(&mut window).unwrap();
        assert!(window.has_newer());
        for id in ids {
            if id != newest {
                window.close(id);
            }
        }
        for _ in 0..10_000 {
            let id = open_one(&mut window).unwrap();
            assert_ne!(id, newest);
            assert!(window.close(id).is_some());
        }
        assert!(!window.has_newer());
        assert!(window.close(newest).is_some() && window.len() == 0);
    }

    /// Whether identifiers do not follow one another: some in between have ended.
    fn has_gap(ids: &[u16]) -> bool {
        ids.windows(2).any(|pair| advance(pair[0], 1) != pair[1])
    }

    proptest! {
        #[test]
        fn window_behaves_as_a_map_in_sending_order(
            steps in proptest::collection::vec((0u8..10, any::<prop::sample::Index>()), 1..3000)
        ) {
            let mut window = Window::default();
            let mut model: Vec<u16> = Vec::new();
            let mut stamps: HashMap<u16, u32> = HashMap::new();
            for (stamp, (kind, index)) in steps.into_iter().enumerate() {
                let mut new = entry();
                new.opened_at = stamp as u32;
                match kind {
                    // As a run is sent, and as a run of acknowledgements comes.
                    0..3 if window.appendable() > 0 => {
                        let id = window.next_id().unwrap().get();
                        window.append(new);
                        prop_assert!(!model.contains(&id));
                        model.push(id);
                        stamps.insert(id, stamp as u32);
                    }
                    3 => {
                        let count = index.index(20);
                        let ids: Vec<_> = model.iter().take(count).copied().collect();
                        let mut seen = Vec::new();
                        let acks = ids.iter().filter_map(|id| PacketId::new(*id));
                        let ended = window.close_in_order(acks, |entry| {
                            seen.push(entry.opened_at);
                            true
                        });
                        prop_assert!(ended == ids.len() || window.others.is_some() || has_gap(&ids));
                        let expected = ids.iter().take(ended).map(|id| stamps[id]);
                        prop_assert!(seen.into_iter().eq(expected));
                        model.drain(..ended);
                    }
                    0..7 => {
                        let id = window.open(new).unwrap().0.get();
                        prop_assert!(!model.contains(&id));
                        model.push(id);
                        stamps.insert(id, stamp as u32);
                    }
                    _ if model.is_empty() => {}
                    _ => {
                        let id = model.remove(index.index(model.len()));
                        let closed = window.close(PacketId::new(id).unwrap()).unwrap();
                        prop_assert_eq!(closed.opened_at, stamps[&id]);
                    }
                }
                prop_assert_eq!(window.len(), model.len());
            }
            let mut seen = Vec::new();
            window.visit(|id, _| seen.push(id.get()));
            prop_assert_eq!(seen, model);
        }
    }
}
