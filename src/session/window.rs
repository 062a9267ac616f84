//! What was sent at QoS 1 and 2 and is not yet acknowledged: packet identifiers, and the messages
//! behind them in the order they were sent.
//!
//! Identifiers are given out in rising order and mostly come back in that order, so the window is a
//! ring indexed by identifier. An exchange that stays open while thousands after it complete would
//! stretch the ring; it is moved aside to `stragglers`, and its identifier is skipped until it ends
//! (MQTT-2.2.1-4).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use crate::codec::PacketId;
use crate::session::delivery::Delivery;

/// An open exchange.
pub(crate) struct Entry {
    pub(crate) phase: Phase,
    /// The shared group that the message came from, and its number there.
    pub(crate) origin: Option<Origin>,
    /// Whole seconds on the broker's clock when it was opened.
    pub(crate) opened_at: u32,
    /// The connection that it was sent on last, by the number that its session gives it.
    pub(crate) sent_on: u32,
}

/// How far an exchange is.
pub(crate) enum Phase {
    /// PUBLISH sent; PUBACK or PUBREC is due.
    Published(Delivery),
    /// PUBREL sent; PUBCOMP is due. The message is gone (MQTT-4.3.3-8).
    Released,
}

/// Where a message of a shared group belongs if its receiver goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Index of the membership in the receiver's session.
    pub(crate) membership: u32,
    /// The message's number in its group.
    pub(crate) sequence: u64,
}

/// How far a walk through a window has come. It goes on behind the exchange that it saw last, even if
/// that one and others have ended since; what is opened meanwhile it may miss.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walk {
    /// The last straggler that was seen, by its place in their order.
    straggler: u64,
    /// The identifier in the ring that is next; 0 for its beginning.
    next: u16,
    /// The end of the ring was seen.
    is_over: bool,
}

/// The ring is tidied when it is longer than this and mostly holes.
const SPARSE: usize = 1024;

#[derive(Default)]
pub(crate) struct Window {
    /// Identifier of the first slot of the ring.
    first: u16,
    ring: VecDeque<Option<Entry>>,
    /// Boxed, because hardly a session has any.
    stragglers: Option<Box<Stragglers>>,
    open: usize,
    bytes: usize,
}

/// Open exchanges older than the ring.
#[derive(Default)]
struct Stragglers {
    /// In the order they were sent.
    entries: BTreeMap<u64, (u16, Entry)>,
    ids: HashMap<u16, u64, foldhash::fast::FixedState>,
    count: u64,
}

impl Stragglers {
    fn get(&mut self, id: u16) -> Option<&mut Entry> {
        let order = self.ids.get(&id)?;
        self.entries.get_mut(order).map(|(_, entry)| entry)
    }

    fn remove(&mut self, id: u16) -> Option<Entry> {
        let order = self.ids.remove(&id)?;
        self.entries.remove(&order).map(|(_, entry)| entry)
    }

    fn insert(&mut self, id: u16, entry: Entry) {
        self.count += 1;
        self.entries.insert(self.count, (id, entry));
        self.ids.insert(id, self.count);
    }
}

impl Window {
    /// Open exchanges.
    pub(crate) fn len(&self) -> usize {
        self.open
    }

    /// Bytes of the messages that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Opens an exchange and gives it an identifier that no open one has; `None` when all 65,535 are
    /// in use.
    pub(crate) fn open(&mut self, entry: Entry) -> Option<PacketId> {
        if self.open >= usize::from(u16::MAX) {
            return None;
        }
        if self.ring.len() > SPARSE && self.ring.len() > 4 * self.open {
            self.set_stragglers_aside();
        }
        loop {
            if self.ring.is_empty() && self.first == 0 {
                self.first = 1;
            }
            if self.ring.len() >= usize::from(u16::MAX) {
                self.set_stragglers_aside();
            }
            let id = advance(self.first, self.ring.len());
            if !self.is_straggler(id) {
                self.open += 1;
                self.bytes += footprint(&entry);
                self.ring.push_back(Some(entry));
                return PacketId::new(id);
            }
            self.ring.push_back(None);
            self.trim();
        }
    }

    /// Ends an exchange.
    pub(crate) fn close(&mut self, id: PacketId) -> Option<Entry> {
        let entry = match self.slot(id.get()) {
            Some(slot) if slot.is_some() => slot.take(),
            _ => self.remove_straggler(id.get()),
        }?;
        self.open -= 1;
        self.bytes -= footprint(&entry);
        self.trim();
        Some(entry)
    }

    pub(crate) fn get(&mut self, id: PacketId) -> Option<&mut Entry> {
        if self.is_straggler(id.get()) {
            return self.stragglers.as_mut()?.get(id.get());
        }
        self.slot(id.get())?.as_mut()
    }

    /// PUBREC came: the message is let go and the exchange waits for PUBCOMP (MQTT-4.3.3-4).
    /// Returns the delivery that ended, `None` if it had been released already.
    pub(crate) fn release(&mut self, id: PacketId) -> Option<Delivery> {
        let entry = self.get(id)?;
        let Phase::Published(delivery) = std::mem::replace(&mut entry.phase, Phase::Released)
        else {
            return None;
        };
        entry.origin = None;
        self.bytes -= delivery.message.footprint();
        Some(delivery)
    }

    /// Every open exchange in the order it was sent.
    pub(crate) fn visit(&mut self, mut f: impl FnMut(PacketId, &mut Entry)) {
        if let Some(stragglers) = &mut self.stragglers {
            for (id, entry) in stragglers.entries.values_mut() {
                if let Some(id) = PacketId::new(*id) {
                    f(id, entry);
                }
            }
        }
        let first = self.first;
        for (index, slot) in self.ring.iter_mut().enumerate() {
            if let (Some(entry), Some(id)) = (slot, PacketId::new(advance(first, index))) {
                f(id, entry);
            }
        }
    }

    /// The next open exchange of a walk, in the order they were sent.
    pub(crate) fn walk(&mut self, walk: &mut Walk) -> Option<(PacketId, &mut Entry)> {
        if let Some(stragglers) = &mut self.stragglers {
            let rest = (Bound::Excluded(walk.straggler), Bound::Unbounded);
            if let Some((order, (id, entry))) = stragglers.entries.range_mut(rest).next() {
                walk.straggler = *order;
                return Some((PacketId::new(*id)?, entry));
            }
        }
        if walk.is_over {
            return None;
        }
        // The front of the ring may have moved on beyond what is next.
        let start = distance(self.first, walk.next).filter(|start| *start < self.ring.len());
        let (first, end) = (self.first, self.ring.len());
        let slots = self.ring.iter_mut().enumerate().skip(start.unwrap_or(0));
        for (index, slot) in slots {
            if let Some(entry) = slot {
                walk.next = advance(first, index + 1);
                walk.is_over = index + 1 == end;
                return Some((PacketId::new(advance(first, index))?, entry));
            }
        }
        walk.is_over = true;
        None
    }

    /// Puts a message back under the identifier it had, when its receiver resumes (MQTT-4.4.0-1).
    /// Fails when the identifier is in use again.
    pub(crate) fn reopen(&mut self, id: PacketId, entry: Entry) -> Result<(), Entry> {
        if self.is_straggler(id.get()) {
            return Err(entry);
        }
        match self.slot(id.get()) {
            Some(slot) if slot.is_some() => return Err(entry),
            Some(_) | None => {}
        }
        self.open += 1;
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
            let straggler = self.stragglers.as_mut().and_then(|s| s.entries.pop_first());
            if straggler.is_none() && self.ring.pop_front().is_none() {
                break;
            }
        }
        self.ring.is_empty()
            && self
                .stragglers
                .as_ref()
                .is_none_or(|s| s.entries.is_empty())
    }

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

    /// Moves what is open at the front of the ring aside, up to the first long stretch of holes.
    fn set_stragglers_aside(&mut self) {
        let target = self.ring.len() / 2;
        while self.ring.len() > target {
            let Some(slot) = self.ring.pop_front() else {
                break;
            };
            let id = self.first;
            self.first = advance(self.first, 1);
            if let Some(entry) = slot {
                self.set_aside(id, entry);
            }
        }
        self.trim();
    }

    fn set_aside(&mut self, id: u16, entry: Entry) {
        self.stragglers.get_or_insert_default().insert(id, entry);
    }

    #[inline]
    fn is_straggler(&self, id: u16) -> bool {
        let stragglers = self.stragglers.as_ref();
        stragglers.is_some_and(|stragglers| stragglers.ids.contains_key(&id))
    }

    #[cold]
    fn remove_straggler(&mut self, id: u16) -> Option<Entry> {
        let stragglers = self.stragglers.as_mut()?;
        let removed = stragglers.remove(id);
        if stragglers.ids.is_empty() {
            self.stragglers = None;
        }
        removed
    }
}

fn footprint(entry: &Entry) -> usize {
    match &entry.phase {
        Phase::Published(delivery) => delivery.message.footprint(),
        Phase::Released => 0,
    }
}

/// The identifier `steps` after `id`; 0 is no identifier and is jumped over.
fn advance(id: u16, steps: usize) -> u16 {
    let zero_based = (usize::from(id.max(1)) - 1 + steps) % usize::from(u16::MAX);
    zero_based as u16 + 1
}

/// Steps from `from` to `to`.
fn distance(from: u16, to: u16) -> Option<usize> {
    let (from, to) = (
        usize::from(from).checked_sub(1)?,
        usize::from(to).checked_sub(1)?,
    );
    let span = usize::from(u16::MAX);
    Some((to + span - from) % span)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn entry() -> Entry {
        Entry {
            phase: Phase::Released,
            origin: None,
            opened_at: 0,
            sent_on: 0,
        }
    }

    /// MQTT-2.2.1-4.
    #[test]
    fn identifiers_wrap_and_skip_those_in_use() {
        let mut window = Window::default();
        let held = window.open(entry()).unwrap();
        assert_eq!(held.get(), 1);
        let mut last = 1;
        for _ in 0..200_000u32 {
            let id = window.open(entry()).unwrap();
            assert_ne!(id, held);
            last = id.get();
            assert!(window.close(id).is_some());
        }
        assert!(last > 1);
        assert_eq!(window.len(), 1);
        assert!(window.close(held).is_some());
        assert!(window.close(held).is_none());
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
        assert_eq!(window.open(entry()), Some(id));
    }

    proptest! {
        #[test]
        fn window_behaves_as_a_map_in_sending_order(
            steps in proptest::collection::vec((0u8..4, any::<prop::sample::Index>()), 1..3000)
        ) {
            let mut window = Window::default();
            let mut model: Vec<u16> = Vec::new();
            let mut stamps: HashMap<u16, u32> = HashMap::new();
            for (stamp, (kind, index)) in steps.into_iter().enumerate() {
                if kind > 0 || model.is_empty() {
                    let mut new = entry();
                    new.opened_at = stamp as u32;
                    let id = window.open(new).unwrap().get();
                    prop_assert!(!model.contains(&id));
                    model.push(id);
                    stamps.insert(id, stamp as u32);
                } else {
                    let id = model.remove(index.index(model.len()));
                    let closed = window.close(PacketId::new(id).unwrap()).unwrap();
                    prop_assert_eq!(closed.opened_at, stamps[&id]);
                }
                prop_assert_eq!(window.len(), model.len());
            }
            let mut seen = Vec::new();
            window.visit(|id, _| seen.push(id.get()));
            prop_assert_eq!(seen, model);
        }
    }
}
