//! One client's session, shared by everybody who sends to it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use crate::auth::Principal;
use crate::budget::{Budget, Charge, Kind};
use crate::codec::{PacketId, Version};
use crate::message::subscription::Subscription;
use crate::message::will::Will;
#[cfg(any(test, fuzzing))]
use crate::protocol::handshake::NEVER;
use crate::time::Stamp;

use super::facts::ConnectionFacts;
use super::id_set::IdSet;
use super::last_end::LastEnd;
use super::outbox::Outbox;
use super::outbox::chunks::Chunks;
use super::outbox::link::Link;
use super::outbox::memberships::GroupHandle;
use super::outbox::writer::{self, Left, Outcome, Place, Reported, Write};
use super::schedule::TimerKey;

/// A session: what the broker remembers of a client, with or without a connection.
///
/// Three locks, taken in this order where more than one is needed: `slot` (who is connected,
/// subscriptions, will), then whatever groups are concerned, then `outbox` (everything outbound).
/// `received` is a leaf of its own.
pub(crate) struct Session {
    /// Unique in this broker, never 0.
    pub(crate) id: u64,
    client_id: Arc<str>,
    slot: Mutex<Slot>,
    outbox: Mutex<Outbox>,
    /// Identifiers of the client's QoS 2 messages that await PUBREL (MQTT-4.3.3-10).
    received: Mutex<ReceivedIds>,
    /// Requests of the client that nobody has answered yet.
    requests: AtomicUsize,
}

/// A session in the registry, found by its Client Identifier, which only the session holds.
pub(super) struct Registered(pub(super) Arc<Session>);

impl Borrow<str> for Registered {
    fn borrow(&self) -> &str {
        &self.0.client_id
    }
}

impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        self.0.client_id == other.0.client_id
    }
}

impl Eq for Registered {}

impl Hash for Registered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.client_id.hash(state);
    }
}

/// Packet identifiers of QoS 2 messages that a client has sent and not released.
#[derive(Default)]
pub(crate) struct ReceivedIds {
    /// There is one from the first message on. Boxed, because most clients send none.
    noted: Option<Box<NotedIds>>,
}

struct NotedIds {
    /// Those of messages that came on the connection of `epoch`, for the first time or again.
    ids: IdSet,
    /// Those that earlier connections have left.
    earlier: IdSet,
    epoch: u64,
    /// What of the Receive Maximum is taken. It is of the connection, and each PUBCOMP gives a place back:
    /// so does that of an exchange which an earlier connection has left (MQTT 5, section 4.9).
    taken: usize,
    charge: Charge,
    /// Bytes for which there was room when that was asked last.
    admitted: usize,
}

/// What a QoS 2 message is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    New,
    /// Sent again, and published when it came first: to be answered, not published (MQTT-4.3.3-10).
    Known,
    /// More than Receive Maximum on this connection (MQTT-3.3.4-7).
    TooMany,
    /// The memory bound is reached.
    NoMemory,
}

/// Memory for identifiers that is kept, in bytes.
const FEW_IDS: usize = 256;

/// What an identifier takes at most that has no neighbour.
const RECEIVED_ID: usize = 16;

/// How often it is asked whether there is room, in bytes.
const ASKED_EVERY: usize = 64 * RECEIVED_ID;

impl ReceivedIds {
    pub(crate) fn contains(&self, id: PacketId) -> bool {
        let noted = self.noted.as_ref();
        noted.is_some_and(|noted| noted.contains(id.get()))
    }

    /// Notes the identifier of a message that came on the connection of `epoch`, if `maximum` and memory
    /// allow.
    pub(crate) fn open(
        &mut self,
        id: PacketId,
        epoch: u64,
        maximum: usize,
        budget: Budget,
    ) -> Opened {
        let noted = self.noted.get_or_insert_with(|| {
            Box::new(NotedIds {
                ids: IdSet::default(),
                earlier: IdSet::default(),
                epoch,
                taken: 0,
                charge: Charge::none(budget, Kind::Sessions),
                admitted: 0,
            })
        });
        // One that was just taken over may still be at it.
        if epoch > noted.epoch {
            noted.begin(epoch);
        }
        noted.open(id.get(), maximum)
    }

    /// Forgets an identifier, whose exchange is answered by PUBCOMP or by a PUBREC with an error. Returns
    /// whether it was noted.
    pub(crate) fn remove(&mut self, id: PacketId) -> bool {
        let Some(noted) = &mut self.noted else {
            return false;
        };
        let known = noted.ids.remove(id.get()) || noted.earlier.remove(id.get());
        self.give_back(1);
        known
    }

    /// The same for as many of a run as this connection's messages have brought. Returns how many it forgot.
    pub(crate) fn remove_each(&mut self, ids: impl Iterator<Item = PacketId>) -> usize {
        let Some(noted) = &mut self.noted else {
            return 0;
        };
        let removed = noted.ids.remove_each(ids.map(PacketId::get));
        self.give_back(removed);
        removed
    }

    /// So many exchanges are over.
    fn give_back(&mut self, exchanges: usize) {
        let Some(noted) = &mut self.noted else {
            return;
        };
        noted.taken = noted.taken.saturating_sub(exchanges);
        noted.admitted = noted.admitted.min(noted.held() + ASKED_EVERY);
        // Few are not worth an allocation the next time.
        if noted.len() == 0 && noted.held() > FEW_IDS {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl NotedIds {
    #[inline]
    fn len(&self) -> usize {
        self.ids.len() + self.earlier.len()
    }

    /// Bytes of memory.
    #[inline]
    fn held(&self) -> usize {
        self.ids.bytes() + self.earlier.bytes()
    }

    fn contains(&self, id: u16) -> bool {
        self.ids.contains(id) || self.earlier.contains(id)
    }

    /// A new connection has its whole Receive Maximum, whatever is left of those before.
    fn begin(&mut self, epoch: u64) {
        (self.epoch, self.taken) = (epoch, 0);
        self.earlier.extend(std::mem::take(&mut self.ids));
    }

    #[inline]
    fn open(&mut self, id: u16, maximum: usize) -> Opened {
        let held = self.held() + RECEIVED_ID;
        if self.taken >= maximum || self.earlier.len() > 0 || held > self.admitted {
            return self.open_another(id, maximum);
        }
        if !self.ids.insert(id) {
            return Opened::Known;
        }
        self.charge.settle(held);
        self.taken += 1;
        Opened::New
    }

    /// The same where there is more to look at.
    #[inline(never)]
    fn open_another(&mut self, id: u16, maximum: usize) -> Opened {
        if self.ids.contains(id) {
            return Opened::Known;
        }
        if self.taken >= maximum {
            return Opened::TooMany;
        }
        let is_known = self.earlier.remove(id);
        let held = self.held() + RECEIVED_ID;
        if !is_known && held > self.admitted && !self.admit(held) {
            return Opened::NoMemory;
        }
        self.charge.settle(held);
        self.ids.insert(id);
        self.taken += 1;
        match is_known {
            true => Opened::Known,
            false => Opened::New,
        }
    }

    /// Asks whether there is room for so many bytes, and for a few more identifiers then.
    #[cold]
    fn admit(&mut self, held: usize) -> bool {
        let has_room = held <= self.charge.bytes() || self.charge.has_room(held);
        if has_room {
            self.admitted = held + ASKED_EVERY;
        }
        has_room
    }
}

/// Unanswered requests of a client from which on no more of it are handled, and when it goes on.
const MANY_REQUESTS: usize = 64;
const FEW_REQUESTS: usize = 32;

/// What a session takes, as the broker accounts for it.
const SESSION: usize = 1024;

/// What a subscription takes besides its filter: in the session, in the trie, and for messages; a shared
/// one has a group as well.
const SUBSCRIPTION: usize = 256;
const GROUP: usize = 768;

/// Copies of a filter: in the session and in the trie.
const FILTER_COPIES: usize = 2;

/// Bytes of a session that has done nothing.
pub(super) fn session_size(client_id: &str) -> usize {
    SESSION + 2 * client_id.len()
}

/// Bytes of a subscription to `filter`, with its `$share/` and all.
pub(super) fn subscription_size(filter: &str, is_shared: bool) -> usize {
    let group = if is_shared { GROUP } else { 0 };
    SUBSCRIPTION + group + FILTER_COPIES * filter.len()
}

/// What of a session changes by its own packets only.
pub(super) struct Slot {
    /// Counts connections and disconnections: a task that knows an older one has lost the session.
    pub(super) epoch: u64,
    pub(super) state: State,
    pub(super) version: Version,
    /// By full filter, `$share/` included: in order, so that a walk can go on where it stopped.
    pub(super) subscriptions: BTreeMap<Box<str>, Subscribed>,
    /// Session Expiry Interval in seconds: 0 ends with the connection, `u32::MAX` never.
    pub(super) expiry: u32,
    /// Whom its present or last connection acts for, unless it is nobody in particular. Boxed, because nobody is most
    /// often.
    principal: Option<Box<Principal>>,
    pub(super) facts: Option<Arc<ConnectionFacts>>,
    pub(super) connected_at: Option<Stamp>,
    /// The Keep Alive of the last CONNECT in seconds.
    pub(super) keep_alive: u16,
    /// The session, its client identifier and its subscriptions in the broker's budget.
    pub(super) charge: Charge,
    /// Boxed, because most sessions have none of it.
    seldom: Option<Box<Seldom>>,
}

/// What a session has while something is to come of it, and what many have not.
#[derive(Default)]
pub(super) struct Seldom {
    will: Option<Box<Will>>,
    /// How the connection before ended, or the last one.
    last_end: Option<Box<LastEnd>>,
    pub(super) session_expiry: Option<TimerKey>,
    pub(super) delayed_will: Option<TimerKey>,
    /// Connections that wait for the session, in the order of their CONNECTs.
    pub(super) heirs: Vec<Weak<dyn Link>>,
}

impl Seldom {
    fn is_empty(&self) -> bool {
        self.will.is_none()
            && self.last_end.is_none()
            && self.session_expiry.is_none()
            && self.delayed_will.is_none()
            && self.heirs.is_empty()
    }
}

impl Slot {
    /// Changes what is seldom there.
    pub(super) fn change_seldom<R>(&mut self, change: impl FnOnce(&mut Seldom) -> R) -> R {
        let mut seldom = self.seldom.take().unwrap_or_default();
        let result = change(&mut seldom);
        self.seldom = (!seldom.is_empty()).then_some(seldom);
        result
    }

    /// Whom its present or last connection acts for.
    pub(super) fn principal(&self) -> &Principal {
        self.principal.as_deref().unwrap_or(&Principal::Anonymous)
    }

    pub(super) fn set_principal(&mut self, principal: Principal) {
        self.principal = (principal != Principal::Anonymous).then(|| Box::new(principal));
    }

    pub(super) fn will(&self) -> Option<&Will> {
        self.seldom.as_ref()?.will.as_deref()
    }

    pub(super) fn set_will(&mut self, will: Option<Box<Will>>) {
        if will.is_some() || self.will().is_some() {
            self.change_seldom(|seldom| seldom.will = will);
        }
    }

    /// Its will, which it has no more.
    pub(super) fn take_will(&mut self) -> Option<Box<Will>> {
        self.will()?;
        self.change_seldom(|seldom| seldom.will.take())
    }

    /// How the connection before ended, or the last one.
    pub(super) fn last_end(&self) -> Option<&LastEnd> {
        self.seldom.as_ref()?.last_end.as_deref()
    }

    pub(super) fn set_last_end(&mut self, end: LastEnd) {
        self.change_seldom(|seldom| seldom.last_end = Some(Box::new(end)));
    }

    /// The same, which nobody asks for any more.
    pub(super) fn take_last_end(&mut self) -> Option<LastEnd> {
        self.last_end()?;
        self.change_seldom(|seldom| seldom.last_end.take().map(|end| *end))
    }

    /// Its timers, which it has no more.
    pub(super) fn take_timers(&mut self) -> [Option<TimerKey>; 2] {
        if self.seldom.is_none() {
            return [None, None];
        }
        self.change_seldom(|seldom| [seldom.session_expiry.take(), seldom.delayed_will.take()])
    }

    /// Connections that wait for the session, in the order of their CONNECTs; some may have gone.
    fn heirs(&self) -> &[Weak<dyn Link>] {
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.heirs)
    }

    pub(super) fn has_heirs(&self) -> bool {
        !self.heirs().is_empty()
    }

    /// Whether the connection behind `link` has to wait for the session: another one has it, or was
    /// there before. It is entered as an heir then.
    pub(super) fn must_wait(&mut self, link: &Arc<dyn Link>) -> bool {
        let is_free = self.state != State::Connected;
        if is_free && !self.has_heirs() {
            return false;
        }
        self.change_seldom(|Seldom { heirs, .. }| {
            heirs.retain(|heir| heir.strong_count() > 0);
            let place = heirs.iter().position(|heir| is_of(heir, link));
            if is_free && (heirs.is_empty() || place == Some(0)) {
                return false;
            }
            if place.is_none() {
                heirs.push(Arc::downgrade(link));
            }
            true
        })
    }

    /// Tells the connection that has the session that another wants it, or, if it is free, the heir
    /// whose turn it is.
    pub(super) fn ask_for_handover(&self, session: &Session) {
        if self.state != State::Connected {
            return self.wake_an_heir();
        }
        let link = session.outbox().want_handover();
        if let Some(link) = link {
            link.wake();
        }
    }

    pub(super) fn leave_the_heirs(&mut self, link: &Arc<dyn Link>) {
        if self.has_heirs() {
            self.change_seldom(|seldom| seldom.heirs.retain(|heir| !is_of(heir, link)));
        }
    }

    /// The session is free: the first heir may have it.
    pub(super) fn wake_an_heir(&self) {
        if let Some(link) = self.heirs().iter().find_map(Weak::upgrade) {
            link.wake();
        }
    }

    /// The session has ended: those who are left and wanted it, in their order.
    pub(super) fn take_heirs(&mut self) -> Vec<Weak<dyn Link>> {
        if !self.has_heirs() {
            return Vec::new();
        }
        let mut heirs = self.change_seldom(|seldom| std::mem::take(&mut seldom.heirs));
        heirs.retain(|heir| heir.strong_count() > 0);
        heirs
    }
}

/// Whether both are the same link.
fn is_of(heir: &Weak<dyn Link>, link: &Arc<dyn Link>) -> bool {
    std::ptr::addr_eq(heir.as_ptr(), Arc::as_ptr(link))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Made for a CONNECT that is being handled.
    New,
    Connected,
    Away,
    /// Gone from the registry; whoever still finds it looks again.
    Ended,
}

/// A subscription as its session sees it.
#[derive(Clone)]
pub(super) struct Subscribed {
    pub(super) subscription: Arc<Subscription>,
    /// The group, if the filter was `$share/…`.
    pub(super) group: Option<GroupHandle>,
}

impl Session {
    pub(super) fn new(id: u64, client_id: &str, charge: Charge) -> Arc<Self> {
        Arc::new(Self {
            id,
            client_id: client_id.into(),
            slot: Mutex::new(Slot {
                epoch: 0,
                state: State::New,
                version: Version::V5,
                subscriptions: BTreeMap::new(),
                expiry: 0,
                principal: None,
                facts: None,
                connected_at: None,
                keep_alive: 0,
                charge,
                seldom: None,
            }),
            outbox: Mutex::default(),
            received: Mutex::default(),
            requests: AtomicUsize::new(0),
        })
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The same, to be kept elsewhere.
    pub(super) fn shared_client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    pub(super) fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock()
    }

    #[inline]
    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock()
    }

    pub(crate) fn received(&self) -> MutexGuard<'_, ReceivedIds> {
        self.received.lock()
    }

    /// A request of the client is to be answered.
    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// One was answered. The owner of the connection may be waiting for that.
    pub(super) fn answer_request(&self) {
        let left = self.requests.fetch_sub(1, Ordering::AcqRel) - 1;
        if left != FEW_REQUESTS {
            return;
        }
        let link = {
            let outbox = self.outbox();
            let connected = outbox.connected.as_ref();
            connected.map(|connected| connected.link.clone())
        };
        if let Some(link) = link {
            link.wake();
        }
    }

    /// Whether so many requests are unanswered that no more are to be handled.
    pub(crate) fn has_many_requests(&self) -> bool {
        self.requests.load(Ordering::Acquire) >= MANY_REQUESTS
    }

    /// Whether they are still too many for going on.
    pub(crate) fn is_held(&self) -> bool {
        self.requests.load(Ordering::Acquire) > FEW_REQUESTS
    }

    /// Messages that wait for the client, and those that are in flight.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn held(&self) -> (usize, usize) {
        let outbox = self.outbox();
        (outbox.queued(), outbox.window.len())
    }

    /// Whether it has no connection and stays until there is one again.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn waits_forever(&self) -> bool {
        let slot = self.slot();
        slot.state == State::Away && slot.expiry == NEVER
    }

    /// Writes what the outbox holds to the socket, unless another task is at it.
    pub(super) fn flush(&self, count: &mut usize) -> Left {
        writer::write(self, count)
    }

    /// Leaves what the outbox holds to the owner of the connection, if there is one.
    pub(super) fn leave_to_owner(&self) {
        let link = {
            let mut outbox = self.outbox();
            outbox.connected.as_mut().and_then(|connected| {
                let is_left = connected.out.leave_to_owner();
                is_left.then(|| connected.link.clone())
            })
        };
        if let Some(link) = link {
            link.wake();
        }
    }
}

impl Place for Session {
    type Bytes = Chunks;
    type Link = Arc<dyn Link>;

    fn take(&self) -> Option<Write<Self::Link, Chunks>> {
        self.outbox().take_output()
    }

    fn write(link: &Self::Link, bytes: &mut Chunks) -> Outcome {
        bytes.write_to(&**link)
    }

    fn report(&self, write: Write<Self::Link, Chunks>, outcome: Outcome) -> Reported {
        self.outbox().report_write(write, outcome)
    }

    fn wake(link: &Self::Link) {
        link.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Owned;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    /// MQTT-3.3.4-7, MQTT-4.9.0-1.
    #[test]
    fn each_connection_has_its_own_receive_maximum() {
        let budget = Owned::new(1 << 20);
        let mut received = ReceivedIds::default();
        let open = |received: &mut ReceivedIds, number, epoch| {
            received.open(id(number), epoch, 2, *budget)
        };
        for epoch in 1..=3 {
            for number in [2 * epoch as u16 - 1, 2 * epoch as u16] {
                assert_eq!(open(&mut received, number, epoch), Opened::New);
                assert_eq!(open(&mut received, number, epoch), Opened::Known);
            }
            assert_eq!(open(&mut received, 99, epoch), Opened::TooMany);
        }
        // What comes again takes a place, once.
        for _ in 0..2 {
            assert_eq!(open(&mut received, 1, 5), Opened::Known);
        }
        assert_eq!(open(&mut received, 7, 5), Opened::New);
        assert_eq!(open(&mut received, 2, 5), Opened::TooMany);
        // PUBCOMP gives one back, whatever exchange it ends; there are never more than at first.
        assert!(received.remove(id(3)) && received.remove(id(4)) && !received.remove(id(4)));
        assert_eq!(open(&mut received, 8, 5), Opened::New);
        assert_eq!(open(&mut received, 9, 5), Opened::New);
        assert_eq!(open(&mut received, 10, 5), Opened::TooMany);
        // The connection before may still be at a message.
        assert_eq!(open(&mut received, 10, 4), Opened::TooMany);
        for number in [1, 2, 5, 6, 7, 8, 9] {
            assert!(received.contains(id(number)) && received.remove(id(number)));
        }
        assert!(!received.remove(id(1)));
    }

    #[test]
    fn identifiers_that_connections_leave_are_charged_and_bounded() {
        let budget = Owned::new(1 << 22);
        let mut received = ReceivedIds::default();
        let mut held = 0;
        for epoch in 1..=70_u64 {
            for number in 0..1_000 {
                let number = ((epoch - 1) * 1_000 + number) % 65_535 + 1;
                received.open(id(number as u16), epoch, 1_000, *budget);
            }
            held = budget.used();
            // 64 neighbours take what one takes. A charge follows in steps of 8 KiB.
            let noted = usize::min(1_000 * epoch as usize, 65_535);
            assert!(held + 8 * 1024 >= RECEIVED_ID * noted / 64);
        }
        let noted = RECEIVED_ID * 1024;
        assert!((noted / 2..5 * noted).contains(&held));
        let small = Owned::new(RECEIVED_ID * 500);
        let mut received = ReceivedIds::default();
        // None is a neighbour of another.
        let mut opened = (1..=1_000).map(|number| {
            let epoch = u64::from(number / 100);
            received.open(id(64 * number), epoch, 1_000, *small)
        });
        assert!(opened.any(|opened| opened == Opened::NoMemory));
    }
}
