//! One receiver's outbound half: window, queue and encoded bytes under one short lock.
//!
//! The session half (window, queue, memberships) survives the connection; the connection half
//! ([`Connected`]) does not. Callers hold the lock for as long as it takes to append a packet and tell
//! the writer afterwards: methods that make the connection need one return [`Wake::Writer`].

mod aliases;
pub(super) mod chunks;
pub(super) mod compose;
pub(super) mod line;
pub(super) mod link;
pub(super) mod memberships;
pub(crate) mod pool;
pub(super) mod replay;
mod resend;
mod row;
pub(super) mod signal;
mod sync;
pub(super) mod window;
pub(super) mod writer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::budget::{Charge, Kind};
use crate::codec::{AckKind, MAX_PACKET_SIZE, OutgoingPublish, PacketId, QoS, ReasonCode, Version};
use crate::message::cause::Cause;
use crate::message::delivery::{Delivery, SubscriptionIds};
use crate::message::publication::{Message, Publication, remaining_expiry};
use crate::message::subscription::Options;

use self::aliases::OutboundAliases;
use self::chunks::Chunks;
use self::compose::{Outgoing, compose};
use self::line::{Line, Waits};
use self::link::{Link, Words};
use self::memberships::{Errand, GroupHandle, Membership, Memberships, Room};
use self::replay::Replay;
use self::resend::Resend;
use self::window::{Entry, Origin, Phase, Walk, Window};
use self::writer::{Outcome, Reported, Write, Writer};
use super::bounds::Bounds;

/// Queued messages are encoded only while fewer bytes than this wait for the socket.
const PUMP_MARK: usize = 256 * 1024;

/// What a place in the window takes besides its message.
const ENTRY: usize = 64;

/// Queued messages that are looked at in one go: those that have expired cost nothing but time.
const LOOKED_AT: usize = 1024;

/// Payloads from this size on are not copied into outboxes: these refer to the message.
const SHARED: usize = 32 * 1024;

/// Bytes that may wait for a socket that takes them although the memory bound is reached.
const AT_ONCE: usize = 64 * 1024;

/// Whether an append made the connection need a writer.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The caller puts the session into its dirty set.
    Writer,
    Nobody,
}

/// What became of a message for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    Sent(Wake),
    Queued,
    /// Dropped and counted.
    Dropped,
    /// It may not wait, and would have to. Not counted.
    Refused,
    /// The session's queue is full and the configuration says to disconnect.
    Overflow,
}

/// What became of a message that a group offered to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOver {
    Taken(Wake),
    /// The member's mark is set: it tells the group when it has room.
    NoRoom,
    /// No memory to keep it until the socket takes it or, above QoS 0, until it is acknowledged.
    NoMemory,
    /// The packet exceeds the member's Maximum Packet Size (MQTT-3.1.2-24). Without room for another the
    /// mark is set as well.
    TooLarge {
        has_room: bool,
    },
    /// Not connected: the group is told of the next connection.
    Absent,
}

/// Whether a member could take a group's message if it had room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suits {
    Yes,
    TooLarge,
    /// Not connected: the group is told of the next connection.
    Absent,
}

/// A message of a member that goes away, by its number.
pub(super) struct Surrendered {
    pub(super) sequence: u64,
    pub(super) packet_id: PacketId,
    pub(super) delivery: Delivery,
}

/// What an acknowledgement was to the exchange that its identifier names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The step that was due, or PUBREC once more.
    Done,
    /// No exchange is open under it: the acknowledgement is late or repeated. Its message may have
    /// gone to another member of its group, or was given up.
    Unknown,
    /// The open exchange has another QoS, or is at another step.
    OutOfStep,
}

/// What the receiver's subscriptions make of a message.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) subscription_ids: SubscriptionIds,
}

impl Grant {
    /// What a subscription with `options` makes of a live message: the lower QoS (MQTT-3.8.4-8), and
    /// RETAIN as published only where it asks for that (MQTT-3.3.1-12, -13).
    #[inline]
    pub(super) fn new(options: Options, qos: QoS, retain: bool) -> Self {
        Self {
            qos: qos.min(options.qos),
            retain: retain && options.retain_as_published,
            subscription_ids: options.subscription_ids(),
        }
    }
}

/// What the client said about itself in CONNECT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) version: Version,
    /// Open QoS 1 and 2 exchanges that it allows: its Receive Maximum, at most ours.
    pub(crate) window: usize,
    /// Its Maximum Packet Size.
    pub(crate) packet_size: usize,
    /// Topic Alias Maximum that is used towards it.
    pub(crate) topic_aliases: u16,
    /// Whether it takes Reason Strings (MQTT-3.1.2-29, AWS-M5-13).
    pub(crate) problem_information: bool,
}

/// The half of an outbox that ends with the connection.
pub(super) struct Connected {
    pub(super) epoch: u64,
    pub(super) link: Arc<dyn Link>,
    pub(super) peer: Peer,
    pub(super) out: Writer<Chunks>,
    aliases: Option<Box<OutboundAliases>>,
    /// Tells it from the session's other connections in what it has sent.
    number: u32,
    /// Exchanges of an earlier connection that this one has not sent again yet.
    resend: Resend,
    /// Places of the window that new exchanges may take: none while some of an earlier connection are to
    /// be sent again or to go back to their groups, else as many as the client takes.
    places: usize,
    /// How far the search for exchanges that are overdue has come.
    overdue: Walk,
    /// Another connection waits for the session.
    is_wanted: bool,
    /// It ends: what its groups had handed over goes back to them, and nothing comes any more.
    is_leaving: bool,
}

/// How the outbound side of a connection stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OutputState {
    /// The socket takes no more.
    pub(crate) full: bool,
    /// A write failed.
    pub(crate) broken: bool,
    /// Bytes wait.
    pub(crate) waiting: bool,
    /// Bytes of answers to the client's own packets that have not left.
    pub(crate) unsent_answers: usize,
    /// Another connection waits for the session.
    pub(crate) is_wanted: bool,
}

/// What a receiver got and did not get, for statistics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Messages dropped for want of room, because they were too large, or on overflow.
    pub(crate) dropped: u64,
    /// Messages whose expiry ran out in the queue.
    pub(crate) expired: u64,
}

#[derive(Default)]
pub(crate) struct Outbox {
    pub(super) window: Window,
    queue: Line<Delivery>,
    /// The number of the last message in the queue.
    queued: u64,
    charge: Option<Charge>,
    /// Boxed, because most sessions have none.
    memberships: Option<Box<Memberships>>,
    /// The session stays when the connection ends, so that messages are kept for it.
    pub(super) persistent: bool,
    /// Whose turn it is when own messages and a group wait for the same single place.
    group_turn: bool,
    /// Retained messages on their way to new subscriptions.
    replays: VecDeque<Replay>,
    pub(super) connected: Option<Connected>,
    pub(super) sent: Sent,
}

impl Outbox {
    /// Makes room for a run of messages of about `bytes`.
    #[inline]
    pub(super) fn reserve(&mut self, bytes: usize) {
        if let Some(connected) = &mut self.connected {
            connected.out.bytes().reserve(bytes);
        }
    }

    /// Takes a message for this receiver: sends it, queues it, or drops it.
    #[inline]
    pub(super) fn offer(
        &mut self,
        publication: &Publication<'_>,
        grant: Grant,
        context: &Bounds<'_>,
    ) -> Offered {
        if grant.qos == QoS::AtMostOnce {
            return self.offer_at_most_once(publication, &grant, context);
        }
        if publication.at_once.is_required() && !self.takes_at_once(publication, context) {
            return self.refuse_to_keep(publication, &grant, context);
        }
        let has_room = self.queue.is_empty() && self.has_room(context);
        let Some(connected) = &self.connected else {
            return self.enqueue(publication, grant, context);
        };
        if !fits(publication, &grant, connected, context) {
            return self.drop_new(publication);
        }
        if !has_room {
            return self.enqueue(publication, grant, context);
        }
        let delivery = Delivery {
            message: publication.message(context.budget).clone(),
            qos: grant.qos,
            retain: grant.retain,
            subscription_ids: grant.subscription_ids,
        };
        let wake = self.send(delivery, None, context);
        self.settle(context);
        Offered::Sent(wake)
    }

    /// What becomes of a message that would have to wait and may not.
    #[cold]
    fn refuse_to_keep(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        context: &Bounds<'_>,
    ) -> Offered {
        match &self.connected {
            None if self.persistent => Offered::Refused,
            None => Offered::Dropped,
            Some(connected) if fits(publication, grant, connected, context) => Offered::Refused,
            Some(_) => self.drop_new(publication),
        }
    }

    /// The client does not get a new message.
    fn drop_new(&mut self, publication: &Publication<'_>) -> Offered {
        match publication.at_once.is_required() {
            // It is counted by its publisher's side, unless it is refused there.
            true => publication.at_once.note_loss(),
            false => self.sent.dropped += 1,
        }
        Offered::Dropped
    }

    /// Takes the packets of `count` QoS 0 messages as they were read, all at once. `None` where they
    /// have to be looked at one by one: something in them would change, or one might not fit.
    #[inline]
    pub(super) fn offer_packets(
        &mut self,
        version: Version,
        packets: &[u8],
        count: usize,
        grant: &Grant,
        context: &Bounds<'_>,
    ) -> Option<Wake> {
        let connected = self.connected.as_mut()?;
        let is_unchanged = version == connected.peer.version
            && matches!(grant.subscription_ids, SubscriptionIds::None)
            && connected.aliases.is_none();
        let fits = packets.len() <= connected.peer.packet_size
            && connected.out.len() + packets.len() <= context.limits.outbox
            && connected.may_append(packets.len(), context);
        if !is_unchanged || !fits {
            return None;
        }
        let buffer = connected.out.bytes().buffer();
        compose(buffer, connected.peer.version, &Outgoing::Run(packets));
        self.sent.messages += count as u64;
        self.sent.bytes += packets.len() as u64;
        self.settle(context);
        Some(self.wake())
    }

    #[inline]
    fn offer_at_most_once(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        context: &Bounds<'_>,
    ) -> Offered {
        let Some(connected) = &self.connected else {
            return Offered::Dropped;
        };
        let has_room = connected.out.len() < context.limits.outbox
            && connected.may_append(publication.size(), context);
        let sent = has_room
            .then(|| self.send_at_most_once(publication, grant, context))
            .flatten();
        match sent {
            Some(wake) => Offered::Sent(wake),
            None if !has_room && publication.at_once.is_required() => Offered::Refused,
            None => self.drop_new(publication),
        }
    }

    /// Appends a QoS 0 message, unless the packet exceeds the client's Maximum Packet Size.
    #[inline]
    fn send_at_most_once(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        context: &Bounds<'_>,
    ) -> Option<Wake> {
        let connected = self.connected.as_mut()?;
        let bytes = connected.append_at_most_once(publication, grant, context)?;
        self.sent.messages += 1;
        self.sent.bytes += bytes as u64;
        self.settle(context);
        Some(self.wake())
    }

    /// A group's message, for a member that can take it now or not at all (design 3, rule 1).
    pub(super) fn hand_over(
        &mut self,
        publication: &Publication<'_>,
        grant: Grant,
        origin: Origin,
        context: &Bounds<'_>,
    ) -> HandOver {
        let Some(connected) = self.connected.as_ref().filter(|c| !c.is_leaving) else {
            self.memberships
                .get_or_insert_default()
                .note(origin.membership);
            return HandOver::Absent;
        };
        if connected.out.is_broken() {
            // It is about to end, and tells the group then.
            self.memberships
                .get_or_insert_default()
                .want(origin.membership, Room::Outbox);
            return HandOver::NoRoom;
        }
        if grant.qos == QoS::AtMostOnce && connected.out.len() < context.limits.outbox {
            return self.hand_over_at_most_once(publication, &grant, origin, context);
        }
        let fits = fits(publication, &grant, connected, context);
        let has_room = grant.qos > QoS::AtMostOnce && self.has_room(context);
        if !fits || !has_room {
            return self.refuse(fits, has_room, grant.qos, origin);
        }
        if publication.at_once.is_required() && !self.takes_at_once(publication, context) {
            return HandOver::NoMemory;
        }
        let delivery = Delivery {
            message: publication.message(context.budget).clone(),
            qos: grant.qos,
            retain: grant.retain,
            subscription_ids: grant.subscription_ids,
        };
        self.memberships
            .get_or_insert_default()
            .hand_over(origin.membership);
        let wake = self.send(delivery, Some(origin), context);
        self.settle(context);
        HandOver::Taken(wake)
    }

    /// Notes what a group has to be told, that offered a message in vain.
    #[cold]
    fn refuse(&mut self, fits: bool, has_room: bool, qos: QoS, origin: Origin) -> HandOver {
        let room = match qos {
            QoS::AtMostOnce => Room::Outbox,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Room::Window,
        };
        if !has_room {
            self.memberships
                .get_or_insert_default()
                .want(origin.membership, room);
        }
        if fits {
            return HandOver::NoRoom;
        }
        self.memberships
            .get_or_insert_default()
            .note(origin.membership);
        HandOver::TooLarge { has_room }
    }

    #[inline]
    fn hand_over_at_most_once(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        origin: Origin,
        context: &Bounds<'_>,
    ) -> HandOver {
        // A message that was accepted at QoS 1 or 2 is not held against the budget again.
        let may_wait = publication.qos > QoS::AtMostOnce && !publication.at_once.is_required();
        let lacks_memory = !may_wait
            && !self
                .connected
                .as_ref()
                .is_some_and(|connected| connected.may_append(publication.size(), context));
        if lacks_memory {
            return HandOver::NoMemory;
        }
        match self.send_at_most_once(publication, grant, context) {
            Some(wake) => HandOver::Taken(wake),
            None => {
                self.memberships
                    .get_or_insert_default()
                    .note(origin.membership);
                HandOver::TooLarge { has_room: true }
            }
        }
    }

    /// Whether a group's message could be handed over if there were room.
    pub(super) fn suits(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        membership: u32,
        context: &Bounds<'_>,
    ) -> Suits {
        let suits = match self.connected.as_ref().filter(|c| !c.is_leaving) {
            None => Suits::Absent,
            Some(connected) if connected.out.is_broken() => Suits::Yes,
            Some(connected) if fits(publication, grant, connected, context) => Suits::Yes,
            Some(_) => Suits::TooLarge,
        };
        if suits != Suits::Yes {
            self.memberships.get_or_insert_default().note(membership);
        }
        suits
    }

    /// Whether a new QoS 1 or 2 message can be sent now: one that was sent before goes first
    /// (MQTT-4.6.0-1).
    fn has_room(&self, context: &Bounds<'_>) -> bool {
        self.connected.as_ref().is_some_and(|connected| {
            self.window.len() < connected.places && connected.out.len() < context.limits.outbox
        })
    }

    /// Whether a message of QoS 1 or 2 that may not wait goes out now, to a client that has little of what
    /// there is for such messages.
    #[cold]
    fn takes_at_once(&self, publication: &Publication<'_>, context: &Bounds<'_>) -> bool {
        let connected = self.connected.as_ref();
        connected.is_some_and(|connected| connected.takes_at_once())
            && self.queue.is_empty()
            && self.has_room(context)
            && context.budget.admits_in_flight(
                publication.size(),
                self.window.len(),
                self.window.bytes(),
            )
    }

    /// Opens an exchange and appends its PUBLISH. The caller has seen that there is room.
    fn send(&mut self, delivery: Delivery, origin: Option<Origin>, context: &Bounds<'_>) -> Wake {
        let Some(connected) = &mut self.connected else {
            return Wake::Nobody;
        };
        let entry = Entry {
            phase: Phase::Published(delivery),
            origin,
            opened_at: context.seconds,
            sent_on: connected.number,
        };
        let Some((id, entry)) = self.window.open(entry) else {
            return Wake::Nobody;
        };
        if let Phase::Published(delivery) = &entry.phase {
            self.sent.messages += 1;
            self.sent.bytes += connected.append_delivery(delivery, id, false, context.now) as u64;
        }
        self.wake()
    }

    fn enqueue(
        &mut self,
        publication: &Publication<'_>,
        grant: Grant,
        context: &Bounds<'_>,
    ) -> Offered {
        if self.connected.is_none() && !self.persistent {
            return Offered::Dropped;
        }
        while self.is_full(context) && self.queue.pop_expired(context.now).is_some() {
            self.sent.expired += 1;
        }
        if self.is_full(context) {
            self.sent.dropped += 1;
            return match context.on_overflow {
                crate::config::Overflow::Disconnect if self.connected.is_some() => {
                    Offered::Overflow
                }
                _ => Offered::Dropped,
            };
        }
        let delivery = Delivery {
            message: publication.message(context.budget).clone(),
            qos: grant.qos,
            retain: grant.retain,
            subscription_ids: grant.subscription_ids,
        };
        self.queued += 1;
        self.queue.insert(self.queued, delivery);
        self.settle(context);
        Offered::Queued
    }

    fn is_full(&self, context: &Bounds<'_>) -> bool {
        self.queue.len() + self.window.len() >= context.limits.session_queue
            || self.queue.bytes() + self.window.bytes() >= context.limits.session_queue_bytes
    }

    /// Messages that wait in the session's own queue.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Sends what waits for room: first exchanges of an earlier connection, then the queue. At most
    /// `limit` new exchanges are opened.
    pub(super) fn pump(&mut self, limit: usize, context: &Bounds<'_>) -> Wake {
        let mut wake = self.pump_resend(context);
        let mut opened = 0;
        for _ in 0..LOOKED_AT.max(limit) {
            if opened == limit || !self.can_pump(context) {
                break;
            }
            let Some((_, delivery)) = self.queue.pop_first() else {
                break;
            };
            if delivery.message.is_expired(context.now) {
                self.sent.expired += 1;
                continue;
            }
            let fits = self
                .connected
                .as_ref()
                .is_some_and(|connected| delivery_fits(&delivery, connected, context));
            if !fits {
                self.sent.dropped += 1;
                continue;
            }
            opened += 1;
            if self.send(delivery, None, context) == Wake::Writer {
                wake = Wake::Writer;
            }
        }
        self.settle(context);
        wake
    }

    /// Whether something that waits could be sent at once.
    pub(super) fn has_more(&self, context: &Bounds<'_>) -> bool {
        (!self.queue.is_empty() && self.can_pump(context)) || self.can_resend()
    }

    fn can_pump(&self, context: &Bounds<'_>) -> bool {
        self.has_room(context)
            && self
                .connected
                .as_ref()
                .is_some_and(|connected| connected.out.len() < PUMP_MARK)
    }

    /// Free places in the window.
    pub(super) fn free_slots(&self) -> usize {
        self.connected.as_ref().map_or(0, |connected| {
            connected.places.saturating_sub(self.window.len())
        })
    }

    /// The room that some group wants and that there is.
    fn wanted_room(&self, context: &Bounds<'_>) -> Option<Room> {
        let connected = self.connected.as_ref()?;
        let has_bytes = connected.out.len() < context.limits.outbox;
        if !has_bytes || connected.is_leaving || connected.out.is_broken() {
            return None;
        }
        let memberships = self.memberships.as_ref()?;
        if memberships.is_wanted(Room::Window) && self.has_room(context) {
            return Some(Room::Window);
        }
        Some(Room::Outbox).filter(|room| memberships.is_wanted(*room))
    }

    /// Whether a group that was refused for want of room can have some.
    pub(super) fn is_wanted(&self, context: &Bounds<'_>) -> bool {
        self.wanted_room(context).is_some()
    }

    /// Takes the mark of the group that has wanted room for longest, if there is some. The caller tells
    /// it.
    pub(super) fn take_want(&mut self, context: &Bounds<'_>) -> Option<GroupHandle> {
        while let Some(room) = self.wanted_room(context) {
            let group = self.memberships.get_or_insert_default().take_want(room);
            if group.is_some() {
                return group;
            }
        }
        None
    }

    /// Whether anything waits for this session to make room.
    pub(super) fn is_waiting(&self) -> bool {
        self.memberships
            .as_ref()
            .is_some_and(|memberships| memberships.has_wants())
            || !self.queue.is_empty()
            || !self.replays.is_empty()
            || self
                .connected
                .as_ref()
                .is_some_and(|connected| !connected.resend.is_empty())
    }

    /// The part of the free places that own messages may take while a group waits too: half, and a
    /// single one in turn, so that neither starves.
    pub(super) fn own_share(&mut self, slots: usize) -> usize {
        if self.queue.is_empty() {
            return 0;
        }
        if slots % 2 == 1 {
            self.group_turn = !self.group_turn;
        }
        slots / 2 + usize::from(slots % 2 == 1 && !self.group_turn)
    }

    pub(super) fn enqueue_replays(&mut self, replays: Vec<Replay>) {
        self.replays.extend(replays);
    }

    pub(super) fn has_replays(&self) -> bool {
        !self.replays.is_empty()
    }

    /// The replay that is next, if there is a connection for it. What is left of it is put back.
    pub(super) fn take_replay(&mut self) -> Option<Replay> {
        self.connected.as_ref()?;
        self.replays.pop_front()
    }

    pub(super) fn put_back_replay(&mut self, replay: Replay) {
        self.replays.push_front(replay);
    }

    /// Whether the connection takes a retained message of so many bytes now.
    pub(super) fn takes_replay(&self, qos: QoS, bytes: usize, context: &Bounds<'_>) -> bool {
        let Some(connected) = &self.connected else {
            return false;
        };
        connected.out.len() < PUMP_MARK.min(context.limits.outbox)
            && match qos {
                QoS::AtMostOnce => connected.may_append(bytes, context),
                QoS::AtLeastOnce | QoS::ExactlyOnce => {
                    self.queue.is_empty() && self.has_room(context)
                }
            }
    }

    pub(super) fn offer_replay(
        &mut self,
        publication: &Publication<'_>,
        grant: Grant,
        context: &Bounds<'_>,
    ) -> Wake {
        match self.offer(publication, grant, context) {
            Offered::Sent(wake) => wake,
            Offered::Queued | Offered::Dropped | Offered::Refused | Offered::Overflow => {
                Wake::Nobody
            }
        }
    }

    /// Installs a new connection: CONNACK first, then what an earlier connection left open, in the
    /// order it was sent first (MQTT-4.4.0-1, MQTT-4.6.0-1).
    pub(super) fn attach(
        &mut self,
        epoch: u64,
        link: Arc<dyn Link>,
        peer: Peer,
        connack: &[u8],
        context: &Bounds<'_>,
    ) -> Wake {
        let mut out = Writer::default();
        append_answers(&mut out, connack);
        let aliases = OutboundAliases::new(
            peer.topic_aliases,
            Charge::none(context.budget, Kind::Sessions),
        );
        self.connected = Some(Connected {
            epoch,
            link,
            peer,
            out,
            aliases,
            // Two connections with the same number are four thousand million apart.
            number: epoch as u32,
            resend: Resend::new(&self.window),
            places: 0,
            overdue: Walk::default(),
            is_wanted: false,
            is_leaving: false,
        });
        self.open_places();
        // CONNACK needs a writer even if nothing follows it; only the first to ask gets to know.
        match self.pump_resend(context) {
            Wake::Writer => Wake::Writer,
            Wake::Nobody => self.wake(),
        }
    }

    /// New exchanges may be opened once nothing of an earlier connection is left to be done.
    fn open_places(&mut self) {
        let surrenders = self.surrenders();
        if let Some(connected) = &mut self.connected {
            connected.places = match connected.resend.is_empty() && !surrenders {
                true => connected.peer.window,
                false => 0,
            };
        }
    }

    /// Whether what an earlier connection left open could be sent at once.
    fn can_resend(&self) -> bool {
        let has_room = |connected: &Connected| {
            let on_wire = self.window.len().saturating_sub(connected.resend.len());
            on_wire < connected.peer.window && connected.out.len() < PUMP_MARK
        };
        let connected = self.connected.as_ref();
        !self.surrenders() && connected.is_some_and(|c| !c.resend.is_empty() && has_room(c))
    }

    /// Sends what an earlier connection left open, as far as this one takes it, and some at once.
    pub(super) fn pump_resend(&mut self, context: &Bounds<'_>) -> Wake {
        let mut appended = false;
        for _ in 0..LOOKED_AT {
            if !self.can_resend() {
                break;
            }
            let Some(connected) = &mut self.connected else {
                break;
            };
            let Some((id, entry)) = connected.resend.next(&mut self.window, connected.number)
            else {
                break;
            };
            match &entry.phase {
                Phase::Published(delivery) if !delivery_fits(delivery, connected, context) => {
                    let origin = entry.origin;
                    self.window.close(id);
                    self.sent.dropped += 1;
                    self.forget_origin(origin);
                }
                Phase::Published(delivery) => {
                    let dup = !context.aws.never_dup;
                    connected.append_delivery(delivery, id, dup, context.now);
                    appended = true;
                }
                Phase::Released => {
                    connected.append_pubrel(id);
                    appended = true;
                }
            }
        }
        self.open_places();
        if appended { self.wake() } else { Wake::Nobody }
    }

    /// A message of a group comes back to the session that had it, under the identifier it had
    /// (design 3, rule 4). The new connection may take fewer or smaller packets than the old one.
    pub(super) fn take_back(
        &mut self,
        id: PacketId,
        delivery: Delivery,
        origin: Origin,
        context: &Bounds<'_>,
    ) -> Result<Wake, Delivery> {
        let fits = self
            .connected
            .as_ref()
            .is_some_and(|connected| delivery_fits(&delivery, connected, context));
        if !fits || !self.has_room(context) {
            return Err(delivery);
        }
        let entry = Entry {
            phase: Phase::Published(delivery),
            origin: Some(origin),
            opened_at: context.seconds,
            sent_on: self.connected.as_ref().map_or(0, |c| c.number),
        };
        if let Err(entry) = self.window.reopen(id, entry) {
            return match entry.phase {
                Phase::Published(delivery) => Err(delivery),
                Phase::Released => Ok(Wake::Nobody),
            };
        }
        self.memberships
            .get_or_insert_default()
            .hand_over(origin.membership);
        if let (Some(connected), Some(entry)) = (&mut self.connected, self.window.get(id))
            && let Phase::Published(delivery) = &entry.phase
        {
            connected.append_delivery(delivery, id, !context.aws.never_dup, context.now);
        }
        Ok(self.wake())
    }

    /// PUBACK, or PUBREC with an error: the exchange is over (MQTT-4.3.2-3, MQTT-4.8.2-6).
    pub(crate) fn acknowledge(&mut self, id: PacketId, expected: QoS) -> Acknowledged {
        self.close_if(
            id,
            |phase| matches!(phase, Phase::Published(delivery) if delivery.qos == expected),
        )
    }

    /// Ends an exchange that is at the step at which it may.
    #[inline]
    fn close_if(&mut self, id: PacketId, may_end: impl FnOnce(&Phase) -> bool) -> Acknowledged {
        match self.window.close_if(id, |entry| may_end(&entry.phase)) {
            Some(Some(entry)) => {
                self.forget_origin(entry.origin);
                self.forget_resend(entry.sent_on);
                Acknowledged::Done
            }
            Some(None) => Acknowledged::OutOfStep,
            None => Acknowledged::Unknown,
        }
    }

    /// PUBREC: the message has arrived; PUBREL follows (MQTT-4.3.3-4), once more if PUBREC comes once
    /// more. Unknown identifiers get a PUBREL with 0x92, so that a peer that remembers more than we do
    /// comes to an end.
    pub(crate) fn receive_pubrec(&mut self, id: PacketId) -> Acknowledged {
        let Some(entry) = self.window.get(id) else {
            return Acknowledged::Unknown;
        };
        if matches!(&entry.phase, Phase::Published(delivery) if delivery.qos != QoS::ExactlyOnce) {
            return Acknowledged::OutOfStep;
        }
        let origin = entry.origin;
        let number = self.connected.as_ref().map_or(0, |c| c.number);
        // PUBREL is sent on this connection.
        let sent_on = std::mem::replace(&mut entry.sent_on, number);
        self.window.release(id);
        self.forget_origin(origin);
        self.forget_resend(sent_on);
        Acknowledged::Done
    }

    /// PUBCOMP: the exchange is over.
    pub(crate) fn receive_pubcomp(&mut self, id: PacketId) -> Acknowledged {
        self.close_if(id, |phase| matches!(phase, Phase::Released))
    }

    /// An exchange that was sent last on the connection `sent_on` is over, or went on.
    #[inline]
    fn forget_resend(&mut self, sent_on: u32) {
        if let Some(connected) = &mut self.connected
            && connected.number != sent_on
        {
            connected.resend.forget();
            self.open_places();
        }
    }

    /// Sends again what has waited for its PUBACK for `interval` on a live connection, and gives up
    /// on what has waited for `period` in all (AWS-MQTT-08, -09): some in one go. Returns whether there
    /// is more to look at.
    pub(super) fn resend_overdue(
        &mut self,
        interval: Duration,
        period: Option<Duration>,
        context: &Bounds<'_>,
    ) -> (Wake, bool) {
        let Some(connected) = &mut self.connected else {
            return (Wake::Nobody, false);
        };
        let mut given_up = Vec::new();
        let (mut appended, mut is_over) = (false, false);
        for _ in 0..LOOKED_AT {
            let Some((id, entry)) = self.window.walk(&mut connected.overdue) else {
                is_over = true;
                break;
            };
            let Phase::Published(delivery) = &entry.phase else {
                continue;
            };
            let age = context.seconds.saturating_sub(entry.opened_at);
            let age = Duration::from_secs(u64::from(age));
            if period.is_some_and(|period| age >= period) {
                given_up.push(id);
            } else if age >= interval && entry.sent_on == connected.number {
                // What this connection has not sent yet waits for its place in the window.
                connected.append_delivery(delivery, id, !context.aws.never_dup, context.now);
                appended = true;
            }
        }
        if is_over {
            connected.overdue = Walk::default();
        }
        self.sent.dropped += given_up.len() as u64;
        for id in given_up {
            self.close_if(id, |_| true);
        }
        let wake = if appended { self.wake() } else { Wake::Nobody };
        (wake, !is_over)
    }

    /// Appends answers to the peer's own packets, if it is still the same connection.
    pub(crate) fn answer(&mut self, epoch: u64, bytes: &[u8]) -> Wake {
        match &mut self.connected {
            Some(connected) if connected.epoch == epoch => {
                append_answers(&mut connected.out, bytes);
                self.wake()
            }
            _ => Wake::Nobody,
        }
    }

    /// Answers to the peer's own packets that have not left yet, in bytes.
    pub(crate) fn unsent_answers(&self) -> usize {
        self.connected
            .as_ref()
            .map_or(0, |connected| connected.out.unsent_answers())
    }

    /// How the outbound side stands, for the connection's owner.
    pub(super) fn state(&self) -> OutputState {
        self.connected
            .as_ref()
            .map_or_else(OutputState::default, |connected| OutputState {
                full: connected.out.is_full(),
                broken: connected.out.is_broken(),
                waiting: connected.out.len() > 0,
                unsent_answers: connected.out.unsent_answers(),
                is_wanted: connected.is_wanted,
            })
    }

    /// Notes that another connection waits for the session. Returns the link of the one that has it.
    pub(super) fn want_handover(&mut self) -> Option<Arc<dyn Link>> {
        let connected = self.connected.as_mut()?;
        connected.is_wanted = true;
        Some(connected.link.clone())
    }

    /// Open exchanges that the window has memory for. All of them move when it grows.
    #[inline]
    pub(super) fn window_places(&self) -> usize {
        self.window.places()
    }

    /// The epoch of the connection that has the session.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.connected.as_ref().map(|connected| connected.epoch)
    }

    /// Whether the connection of `epoch` still has the session.
    pub(crate) fn is_connected_as(&self, epoch: u64) -> bool {
        self.connected
            .as_ref()
            .is_some_and(|connected| connected.epoch == epoch)
    }

    /// Marks the outbox dirty, if nobody is about to write it.
    pub(super) fn wake(&mut self) -> Wake {
        let connected = self.connected.as_mut();
        match connected.is_some_and(|connected| connected.out.undertake()) {
            true => Wake::Writer,
            false => Wake::Nobody,
        }
    }

    /// The connection half leaves; what it had not written goes to the link's owner.
    pub(super) fn detach(
        &mut self,
        cause: Cause,
        reason_string: Option<String>,
        context: &Bounds<'_>,
    ) {
        if let Some(connected) = self.connected.take() {
            let Connected {
                link,
                peer,
                out,
                aliases,
                ..
            } = connected;
            if let Some(aliases) = aliases {
                context.discard(aliases);
            }
            let words = Words {
                version: peer.version,
                held: Charge::forced(context.budget, Kind::Queues, out.held()),
                cause: Some(cause),
                reason_string: reason_string.filter(|_| peer.problem_information),
                packet_size: peer.packet_size,
            };
            link.mailbox().retire(out, words);
            link.wake();
        }
    }

    /// The connection is about to end: nothing is handed over any more. What the groups have to know is an
    /// [`Errand`] from now on.
    pub(super) fn leave_groups(&mut self) {
        if let Some(connected) = &mut self.connected {
            connected.is_leaving = true;
        }
        if let Some(memberships) = &mut self.memberships {
            memberships.depart();
        }
    }

    /// Whether messages are still to go back to their groups that an earlier connection had in flight.
    fn surrenders(&self) -> bool {
        let memberships = self.memberships.as_ref();
        memberships.is_some_and(|memberships| memberships.errand().surrenders())
    }

    /// The session's dealings with its groups.
    pub(super) fn memberships(&mut self) -> Option<&mut Memberships> {
        self.memberships.as_deref_mut()
    }

    /// Takes up to `count` messages of groups out of the window, each with its membership, and makes what
    /// stays there the session's own. Returns whether there are more.
    ///
    /// QoS 2 stays: once PUBLISH was sent it belongs to this session (MQTT-4.8.2-4, -5). So does what a
    /// group that has ended had sent.
    pub(super) fn surrender(
        &mut self,
        walk: &mut Walk,
        count: usize,
        surrendered: &mut Vec<(u32, Surrendered)>,
    ) -> bool {
        let Some(memberships) = &mut self.memberships else {
            return false;
        };
        for _ in 0..count {
            if memberships.in_flight() == 0 {
                return false;
            }
            let Some((packet_id, entry)) = self.window.walk(walk) else {
                return false;
            };
            let Some(origin) = entry.origin.take() else {
                continue;
            };
            let is_published = matches!(&entry.phase,
                Phase::Published(delivery) if delivery.qos == QoS::AtLeastOnce);
            let goes_back = is_published && !memberships.has_ended(origin.membership);
            memberships.finish(origin.membership);
            if !goes_back {
                continue;
            }
            let Some(entry) = self.window.close(packet_id) else {
                continue;
            };
            if let Phase::Published(delivery) = entry.phase {
                let sequence = origin.sequence;
                let one = Surrendered {
                    sequence,
                    packet_id,
                    delivery,
                };
                surrendered.push((origin.membership, one));
            }
            if let Some(connected) = &mut self.connected
                && connected.number != entry.sent_on
            {
                connected.resend.forget();
            }
        }
        true
    }

    /// All that goes back to groups has gone: what is left in the window is the session's own.
    pub(super) fn end_surrender(&mut self) {
        self.open_places();
    }

    /// Takes back what a group does not want, because it ended meanwhile.
    pub(super) fn keep_surrendered(&mut self, surrendered: Vec<Surrendered>, context: &Bounds<'_>) {
        for one in surrendered {
            let entry = Entry {
                phase: Phase::Published(one.delivery),
                origin: None,
                opened_at: context.seconds,
                sent_on: 0,
            };
            // No message was sent under it since.
            if self.window.reopen(one.packet_id, entry).is_ok()
                && let Some(connected) = &mut self.connected
            {
                connected.resend.remember();
            }
        }
    }

    /// A new connection: the groups that wait for it are told next. Half of the window is left to them.
    pub(super) fn begin_resuming(&mut self, context: &Bounds<'_>) -> Wake {
        let slots = self.free_slots();
        let awaited = self
            .memberships
            .as_mut()
            .is_some_and(|memberships| memberships.begin_resuming());
        let own = if awaited { slots.div_ceil(2) } else { slots };
        self.pump(own, context)
    }

    /// Whether groups are still to be told of this connection: own messages leave them their places.
    pub(super) fn is_resuming(&self) -> bool {
        let memberships = self.memberships.as_ref();
        memberships.is_some_and(|memberships| matches!(memberships.errand(), Errand::Resuming))
    }

    #[inline]
    fn forget_origin(&mut self, origin: Option<Origin>) {
        if let Some(origin) = origin {
            self.memberships
                .get_or_insert_default()
                .finish(origin.membership);
        }
    }

    /// The group of a membership.
    pub(super) fn group_of(&self, index: u32) -> Option<GroupHandle> {
        Some(self.membership(index)?.group().clone())
    }

    pub(super) fn membership(&self, index: u32) -> Option<&Membership> {
        self.memberships.as_ref()?.get(index)
    }

    /// Whether a connection has the session, and is not about to end.
    pub(super) fn is_reachable(&self) -> bool {
        self.connected
            .as_ref()
            .is_some_and(|connected| !connected.is_leaving)
    }

    /// Gives the session a place in `group`, the old one if messages of it are still open.
    pub(super) fn join(&mut self, group: GroupHandle) -> u32 {
        self.memberships.get_or_insert_default().join(group)
    }

    /// What the client takes at most, in bytes. If there is such a bound, the group is to be told of the
    /// next connection, which may have another.
    pub(super) fn packet_size(&mut self, membership: u32) -> u32 {
        let connected = self.connected.as_ref();
        let size = connected.map_or(0, |connected| connected.peer.packet_size);
        if size < MAX_PACKET_SIZE as usize {
            self.memberships.get_or_insert_default().note(membership);
        }
        u32::try_from(size).unwrap_or(u32::MAX)
    }

    /// The place is given up; it is forgotten once nothing of it is in flight.
    pub(super) fn leave(&mut self, index: u32) {
        if let Some(memberships) = &mut self.memberships {
            memberships.leave(index);
        }
    }

    /// Forgets everything; returns how many QoS 1 and 2 messages were lost with it. What is still to go
    /// back to groups is left to their errand, which ends with [`end_window`](Self::end_window).
    pub(super) fn end(&mut self, context: &Bounds<'_>) -> usize {
        let lost = self.queue.len();
        context.discard(std::mem::take(&mut self.queue));
        context.discard(std::mem::take(&mut self.replays));
        self.persistent = false;
        self.charge = None;
        match &mut self.memberships {
            Some(memberships) if memberships.is_busy() => {
                memberships.end_with_errand();
                lost
            }
            _ => lost + self.end_window(context),
        }
    }

    /// Forgets what is in the window, and the groups; returns how many messages were lost. One that waits
    /// for PUBCOMP has arrived.
    pub(super) fn end_window(&mut self, context: &Bounds<'_>) -> usize {
        let mut lost = 0;
        self.window.visit(|_, entry| {
            lost += usize::from(matches!(entry.phase, Phase::Published(_)));
        });
        context.discard(std::mem::take(&mut self.window));
        if let Some(memberships) = self.memberships.take() {
            context.discard(memberships);
        }
        lost
    }

    /// Bytes that this receiver makes the broker hold besides messages, which are charged in their own
    /// allocation.
    fn footprint(&self) -> usize {
        let connected = self.connected.as_ref();
        self.queue.places()
            + self.window.len() * ENTRY
            + connected.map_or(0, |connected| connected.out.held())
    }

    /// Brings the account with the budget up to date.
    #[inline]
    pub(crate) fn settle(&mut self, context: &Bounds<'_>) {
        let held = self.footprint();
        self.charge
            .get_or_insert_with(|| Charge::none(context.budget, Kind::Queues))
            .settle(held);
    }

    /// Puts the write off to the next turn of the caller, who holds this outbox as dirty, if it is
    /// hardly worth its system call yet. Returns whether it did.
    pub(super) fn put_off(&mut self) -> bool {
        let connected = self.connected.as_mut();
        connected.is_some_and(|connected| connected.out.put_off())
    }

    /// Takes the bytes for a write, with the link to write them to.
    pub(super) fn take_output(&mut self) -> Option<Write<Arc<dyn Link>, Chunks>> {
        let connected = self.connected.as_mut()?;
        Some(Write {
            bytes: connected.out.take()?,
            link: connected.link.clone(),
            epoch: connected.epoch,
        })
    }

    /// Reports a write; bytes of a connection that is gone are returned to its owner.
    pub(super) fn report_write(
        &mut self,
        write: Write<Arc<dyn Link>, Chunks>,
        outcome: Outcome,
    ) -> Reported {
        let Write { link, epoch, bytes } = write;
        match &mut self.connected {
            Some(connected) if connected.epoch == epoch => {
                connected.out.report(bytes, outcome);
                Reported::Here
            }
            _ => {
                link.mailbox().report(bytes, outcome);
                Reported::Retired
            }
        }
    }
}

impl Waits for Delivery {
    fn message(&self) -> &Message {
        &self.message
    }
}

/// Appends answers to the peer's own packets.
fn append_answers(out: &mut Writer<Chunks>, bytes: &[u8]) {
    out.count_answers(bytes.len());
    out.bytes().buffer().extend_from_slice(bytes);
}

impl Connected {
    /// Appends a QoS 0 PUBLISH; `None` when it exceeds the client's Maximum Packet Size.
    #[inline]
    fn append_at_most_once(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        context: &Bounds<'_>,
    ) -> Option<usize> {
        let ids = grant.subscription_ids.as_slice();
        if let Some((version, frame)) = publication.verbatim
            && frame.len() < SHARED
            && version == self.peer.version
            && grant.retain == publication.retain
            && ids.is_empty()
            && self.aliases.is_none()
        {
            if frame.len() > self.peer.packet_size {
                return None;
            }
            let buffer = self.out.bytes().buffer();
            return Some(compose(buffer, version, &Outgoing::Run(frame)));
        }
        let packet = outgoing(publication, grant, None, false, context.now);
        if !packet.fits(self.peer.version, self.peer.packet_size) {
            return None;
        }
        let message = (packet.payload.len() >= SHARED).then(|| publication.message(context.budget));
        Some(self.append(packet, message))
    }

    /// Whether bytes that need not be sent may be held for this client: there is room for them, or
    /// the socket takes them at once.
    #[inline]
    fn may_append(&self, bytes: usize, context: &Bounds<'_>) -> bool {
        self.takes_at_once() || context.budget.admits_message(bytes)
    }

    /// Whether the socket takes what is appended at once, as far as that is known.
    #[inline]
    fn takes_at_once(&self) -> bool {
        !self.out.is_full() && self.out.len() < AT_ONCE
    }

    fn append_delivery(
        &mut self,
        delivery: &Delivery,
        id: PacketId,
        dup: bool,
        now: Instant,
    ) -> usize {
        let packet = outgoing_delivery(delivery, Some(id), dup, now);
        self.append(packet, Some(&delivery.message))
    }

    /// Appends a PUBLISH, with a topic alias where the client takes them. A large payload stays where
    /// it is, in `message`, which all receivers share.
    fn append(&mut self, mut packet: OutgoingPublish<'_>, message: Option<&Message>) -> usize {
        if let Some(aliases) = &mut self.aliases {
            aliases.apply(&mut packet, self.peer.packet_size);
        }
        let chunks = self.out.bytes();
        let (buffer, version) = (chunks.buffer(), self.peer.version);
        let payload = packet.payload.len();
        match message.filter(|_| payload >= SHARED) {
            Some(message) => {
                let head = compose(buffer, version, &Outgoing::PublishHead(&packet));
                chunks.refer_to(message.clone());
                head + payload
            }
            None => compose(buffer, version, &Outgoing::Publish(&packet)),
        }
    }

    fn append_pubrel(&mut self, id: PacketId) {
        let packet = Outgoing::Ack {
            kind: AckKind::Pubrel,
            id,
            reason: ReasonCode::Success,
            text: None,
        };
        compose(self.out.bytes().buffer(), self.peer.version, &packet);
    }
}

/// Whether a PUBLISH of `publication` stays within the client's Maximum Packet Size (MQTT-3.1.2-24)
/// and the format's.
#[inline]
fn fits(
    publication: &Publication<'_>,
    grant: &Grant,
    connected: &Connected,
    context: &Bounds<'_>,
) -> bool {
    // Nearly every packet is far below: the bound is computed only when it might matter.
    let rough = publication.topic.len()
        + publication.properties.len()
        + publication.payload.len()
        + 5 * grant.subscription_ids.as_slice().len()
        + 32;
    if rough <= connected.peer.packet_size.min(MAX_PACKET_SIZE as usize) {
        return true;
    }
    fits_exactly(publication, grant, connected, context)
}

#[cold]
fn fits_exactly(
    publication: &Publication<'_>,
    grant: &Grant,
    connected: &Connected,
    context: &Bounds<'_>,
) -> bool {
    let id = PacketId::new(1).filter(|_| grant.qos > QoS::AtMostOnce);
    let packet = outgoing(publication, grant, id, false, context.now);
    packet.fits(connected.peer.version, connected.peer.packet_size)
}

/// The same for a message that waited.
fn delivery_fits(delivery: &Delivery, connected: &Connected, context: &Bounds<'_>) -> bool {
    let ids = delivery.subscription_ids.as_slice();
    // A message is charged for more than its bytes.
    let rough = delivery.message.footprint() + 5 * ids.len();
    if rough <= connected.peer.packet_size.min(MAX_PACKET_SIZE as usize) {
        return true;
    }
    let id = PacketId::new(1).filter(|_| delivery.qos > QoS::AtMostOnce);
    let packet = outgoing_delivery(delivery, id, false, context.now);
    packet.fits(connected.peer.version, connected.peer.packet_size)
}

/// The packet of a message that waited.
#[inline]
fn outgoing_delivery(
    delivery: &Delivery,
    packet_id: Option<PacketId>,
    dup: bool,
    now: Instant,
) -> OutgoingPublish<'_> {
    let message = &delivery.message;
    OutgoingPublish {
        dup,
        qos: delivery.qos,
        retain: delivery.retain,
        topic: message.topic_bytes(),
        packet_id,
        topic_alias: None,
        message_expiry: remaining_expiry(message.expires_at(), now),
        subscription_ids: delivery.subscription_ids.as_slice(),
        properties: message.properties(),
        payload: message.payload(),
    }
}

fn outgoing<'a>(
    publication: &'a Publication<'_>,
    grant: &'a Grant,
    packet_id: Option<PacketId>,
    dup: bool,
    now: Instant,
) -> OutgoingPublish<'a> {
    OutgoingPublish {
        dup,
        qos: grant.qos,
        retain: grant.retain,
        topic: publication.topic.as_bytes(),
        packet_id,
        topic_alias: None,
        message_expiry: remaining_expiry(publication.expires_at, now),
        subscription_ids: grant.subscription_ids.as_slice(),
        properties: publication.properties,
        payload: publication.payload,
    }
}
