//! The half of an outbox that ends with the connection, and the PUBLISH packets appended to it.

use std::sync::Arc;
use std::time::Instant;

use crate::codec::{
    AckKind, ForwardedPublish, MAX_PACKET_SIZE, OutgoingPublish, PacketId, QoS, ReasonCode, Version,
};
use crate::message::delivery::{Delivery, Retain, SubscriptionIds};
use crate::message::publication::{Message, Publication, Together, remaining_expiry};
use crate::tap::Tap;

use super::super::access::Permissions;
use super::super::bounds::Bounds;
use super::super::facts::ConnectionFacts;
use super::Grant;
use super::aliases::OutboundAliases;
use super::chunks::Chunks;
use super::compose::{Outgoing, compose, compose_forwarded};
use super::direct::Directs;
use super::link::{Link, waker};
use super::resend::Resend;
use super::window::{Entry, Origin, Phase, Walk, Window};
use super::writer::Writer;

/// Payloads from this size on are not copied into outboxes: these refer to the message.
const SHARED: usize = 32 * 1024;

/// Bytes that may wait for a socket that takes them although the memory bound is reached.
const AT_ONCE: usize = 64 * 1024;

/// What the client said about itself in CONNECT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) version: Version,
    /// Open QoS 1 and 2 exchanges that it allows: its Receive Maximum, at most ours.
    pub(crate) window: u16,
    /// Its Maximum Packet Size; the highest number where it has none.
    pub(crate) packet_size: u32,
    /// Topic Alias Maximum that is used towards it.
    pub(crate) topic_aliases: u16,
    /// Whether it takes Reason Strings (MQTT-3.1.2-29, AWS-M5-13).
    pub(crate) problem_information: bool,
    /// Whether live messages may have RETAIN 1 for it ([`Retain::AsPublished`]).
    pub(crate) retain_as_published: bool,
}

impl Peer {
    /// Bytes that a packet may have which it is sent.
    #[inline]
    pub(crate) fn packet_size(&self) -> usize {
        self.packet_size as usize
    }

    /// RETAIN in a packet for this client.
    #[inline]
    fn retain(&self, retain: Retain) -> bool {
        match retain {
            Retain::No => false,
            Retain::Retained => true,
            Retain::AsPublished => self.retain_as_published,
        }
    }
}

/// The half of an outbox that ends with the connection.
pub(in crate::broker) struct Connected {
    pub(in crate::broker) epoch: u64,
    pub(in crate::broker) link: Arc<dyn Link>,
    pub(super) facts: Arc<ConnectionFacts>,
    pub(in crate::broker) peer: Peer,
    /// What the client may get; everything, if nobody says so.
    pub(super) permissions: Option<Arc<dyn Permissions>>,
    pub(in crate::broker) out: Writer<Chunks>,
    /// Boxed, because most connections have none of it.
    pub(super) seldom: Option<Box<Seldom>>,
    /// Tells it from the session's other connections in what it has sent.
    pub(super) number: u32,
    /// Open exchanges whose PUBLISH was not sent on this connection. They take no place of the client's Receive
    /// Maximum, which is of the connection (MQTT-4.9.0-2), and so give none back at PUBCOMP.
    pub(super) earlier: u16,
    /// Open exchanges with which there is room for no other: none while some of an earlier connection are to
    /// be sent again or to go back to their groups, else as many as the client takes besides those.
    pub(super) places: u16,
    /// Exchanges that may be open with one client in all (`limits.in_flight`).
    pub(super) most: u16,
    /// Another connection waits for the session.
    pub(super) is_wanted: bool,
    /// It ends: what its groups had handed over goes back to them, and nothing comes any more.
    pub(super) is_leaving: bool,
}

/// What few connections have, or have for a moment.
#[derive(Default)]
pub(super) struct Seldom {
    pub(super) aliases: Option<Box<OutboundAliases>>,
    /// Exchanges of an earlier connection that this one has not sent again yet.
    pub(super) resend: Resend,
    /// How far the search for exchanges that are overdue has come.
    pub(super) overdue: Option<Walk>,
    /// Messages for this client alone that wait for their PUBACK.
    pub(super) direct: Option<Directs>,
}

impl Seldom {
    /// The same, if there is any.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        (!self.is_empty()).then(|| Box::new(self))
    }

    fn is_empty(&self) -> bool {
        self.aliases.is_none()
            && self.resend.is_empty()
            && self.overdue.is_none()
            && self.direct.is_none()
    }
}

/// What carries a connection, and what is known of it.
pub(in crate::broker) struct Carrier {
    pub(in crate::broker) link: Arc<dyn Link>,
    pub(in crate::broker) facts: Arc<ConnectionFacts>,
}

impl Connected {
    /// Lets go of what is seldom there, if it is not any more.
    pub(super) fn tidy(&mut self) {
        self.seldom.take_if(|seldom| seldom.is_empty());
    }

    /// Whether the client takes topic aliases.
    #[inline]
    pub(super) fn has_aliases(&self) -> bool {
        self.seldom
            .as_ref()
            .is_some_and(|seldom| seldom.aliases.is_some())
    }

    /// Exchanges of an earlier connection that this one has not sent again yet, if there are any.
    #[inline]
    pub(super) fn resend(&self) -> Option<&Resend> {
        let seldom = self.seldom.as_ref()?;
        (!seldom.resend.is_empty()).then_some(&seldom.resend)
    }

    /// Whether messages for this client alone wait for their PUBACK.
    #[inline]
    pub(super) fn has_direct(&self) -> bool {
        self.seldom
            .as_ref()
            .is_some_and(|seldom| seldom.direct.is_some())
    }

    /// An exchange of an earlier connection is over.
    #[cold]
    pub(super) fn forget_earlier(&mut self, entry: &mut Entry) {
        debug_assert!(self.earlier > 0);
        self.earlier = self.earlier.saturating_sub(1);
        self.forget_due(entry);
    }

    /// An exchange is over, or goes on: it need not be sent again. Returns whether it was to be.
    pub(super) fn forget_due(&mut self, entry: &mut Entry) -> bool {
        let is_due = *entry.last_sent_on() != self.number;
        if let Some(seldom) = self.seldom.as_mut().filter(|_| is_due) {
            seldom.resend.forget(entry);
        }
        is_due
    }

    /// Appends answers to the peer's own packets.
    pub(super) fn append_answers(&mut self, bytes: &[u8], bounds: &Bounds<'_>) {
        self.out.count_answers(bytes.len());
        self.append_with(0, bounds, |out, _| out.extend_from_slice(bytes));
    }

    /// Has whole packets appended, and lets rules and the journal look at them if there are any. Everything
    /// that a connection is sent but its last words comes by here. `row` is that of the PUBLISH which brought
    /// the message, if it is one.
    #[inline]
    pub(super) fn append_with<R>(
        &mut self,
        row: u64,
        bounds: &Bounds<'_>,
        append: impl FnOnce(&mut Vec<u8>, Version) -> R,
    ) -> R {
        let buffer = self.out.bytes().buffer();
        let before = buffer.len();
        let appended = append(buffer, self.peer.version);
        if let Some(tap) = bounds.tap {
            // The buffer is the one that was appended to: another call may give the next one.
            show(
                tap,
                &self.facts,
                &self.link,
                buffer,
                before,
                row,
                bounds.now,
            );
        }
        appended
    }

    /// Appends a QoS 0 PUBLISH; `None` when it exceeds the client's Maximum Packet Size.
    #[inline]
    pub(super) fn append_at_most_once(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        bounds: &Bounds<'_>,
    ) -> Option<usize> {
        let ids = grant.subscription_ids.as_slice();
        if let Some((version, frame)) = publication.verbatim()
            && frame.len() < SHARED
            && version == self.peer.version
            && self.peer.retain(grant.retain) == publication.retain
            && ids.is_empty()
            && !self.has_aliases()
        {
            if frame.len() > self.peer.packet_size() {
                return None;
            }
            return Some(self.append_with(publication.row, bounds, |out, version| {
                compose(out, version, &Outgoing::Run(frame))
            }));
        }
        let packet = outgoing(publication, grant, &self.peer, None, bounds.now);
        if !packet.fits(self.peer.version, self.peer.packet_size()) {
            return None;
        }
        let message = (packet.payload.len() >= SHARED).then(|| publication.message(bounds.budget));
        Some(self.append(packet, message.as_ref(), publication.row, bounds))
    }

    /// Whether bytes that need not be sent may be held for this client: there is room for them, or
    /// the socket takes them at once.
    #[inline]
    pub(super) fn may_append(&self, bytes: usize, bounds: &Bounds<'_>) -> bool {
        self.takes_at_once() || bounds.budget.admits_message(bytes)
    }

    /// Whether what waits may be composed: fewer bytes than `mark` are, and there is memory for more.
    #[inline]
    pub(super) fn may_compose(&self, mark: usize, bounds: &Bounds<'_>) -> bool {
        let composed = self.out.len();
        composed < mark && bounds.budget.admits_output(composed)
    }

    /// Whether the client may get a message of `topic`.
    #[inline]
    pub(super) fn may_receive(&self, topic: &str, now: Instant) -> bool {
        let permissions = self.permissions.as_ref();
        permissions.is_none_or(|permissions| permissions.may_receive(topic, None, now))
    }

    /// Whether the client gets a message that waited: it fits and may be had.
    pub(super) fn takes(&self, delivery: &Delivery, bounds: &Bounds<'_>) -> bool {
        delivery_fits(delivery, self, bounds)
            && (self.permissions.is_none()
                || self.may_receive(delivery.message.topic(), bounds.now))
    }

    /// Whether the socket takes what is appended at once, as far as that is known.
    #[inline]
    pub(super) fn takes_at_once(&self) -> bool {
        !self.out.is_full() && self.out.len() < AT_ONCE
    }

    /// Whether what the client gets with these identifiers may have the bytes that its publisher sent.
    #[inline]
    pub(super) fn forwards(&self, subscription_ids: &SubscriptionIds) -> bool {
        !self.has_aliases() && matches!(subscription_ids, SubscriptionIds::None)
    }

    /// A packet of QoS 1 or 2 that has the bytes which the publisher sent, and where in it the identifier is. `None` where
    /// it has to be composed, or is so large that it is not copied.
    #[inline]
    pub(super) fn forwarded<'m>(&self, message: &'m Message) -> Option<(&'m [u8], usize)> {
        let packet = message.packet(self.peer.version);
        packet.filter(|(packet, _)| packet.len() < SHARED)
    }

    /// Opens the exchange of a message whose packet goes to the client as it came, and appends that. Returns how
    /// many bytes it has; `None` where it has to be composed, or might be too large, or no exchange can be opened. The
    /// caller has seen that there is room, and that messages go on so ([`forwards`](Self::forwards)).
    // A call would cost each message a third of what this does.
    #[inline(always)]
    pub(super) fn send_forwarded(
        &mut self,
        window: &mut Window,
        publication: &Publication<'_>,
        grant: &Grant,
        origin: Option<Origin>,
        bounds: &Bounds<'_>,
    ) -> Option<usize> {
        let message = publication.message(bounds.budget);
        let packet = self.forwarded(&message)?;
        if packet.0.len() > self.peer.packet_size() {
            return None;
        }
        let id = window.next_id()?;
        let sent = self.append_forwarded(packet, grant.qos, grant.retain, id, false, bounds);
        window.append(self.exchange(message, grant, origin, bounds));
        Some(sent)
    }

    /// The exchange of a message that was sent as it came.
    #[inline]
    fn exchange(
        &self,
        message: Message,
        grant: &Grant,
        origin: Option<Origin>,
        bounds: &Bounds<'_>,
    ) -> Entry {
        Entry {
            phase: Phase::Published(Delivery {
                message,
                qos: grant.qos,
                retain: grant.retain,
                subscription_ids: SubscriptionIds::None,
            }),
            origin,
            opened_at: bounds.seconds,
            sent_on: self.number,
        }
    }

    /// Sends a part of a run message by message, as long as they go out as they came and the outbox takes more. Returns how
    /// many, and the bytes of their packets.
    pub(super) fn send_each(
        &mut self,
        window: &mut Window,
        run: &[Publication<'_>],
        grant: &Grant,
        bounds: &Bounds<'_>,
    ) -> (usize, usize) {
        if let [first, _, ..] = run {
            self.out.bytes().reserve(run.len() * first.size());
        }
        let (mut sent, mut bytes) = (0, 0);
        for publication in run {
            if self.out.len() >= bounds.limits.outbox || publication.at_once.is_required() {
                break;
            }
            match self.send_forwarded(window, publication, grant, None, bounds) {
                Some(size) => bytes += size,
                None => break,
            }
            sent += 1;
        }
        (sent, bytes)
    }

    /// Sends a part of a run by one copy, and opens an exchange for each message. Returns the bytes of the packets; `None`
    /// where that cannot be, or more would wait for the socket than may: then it is done one by one.
    #[inline]
    pub(super) fn send_together(
        &mut self,
        window: &mut Window,
        run: &[Publication<'_>],
        grant: &Grant,
        bounds: &Bounds<'_>,
    ) -> Option<usize> {
        let is_plain = matches!(run, [first, _, ..] if !first.at_once.is_required());
        // Who looks at packets is shown each.
        if !is_plain || bounds.tap.is_some() {
            return None;
        }
        let together = Together::of(run, self.peer.version, bounds.budget)?;
        let packets = together.packets();
        if packets.len() > self.peer.packet_size()
            || self.out.len() + packets.len() > bounds.limits.outbox
        {
            return None;
        }
        let (places, ids) = (together.places(), window.next_ids());
        let retain = self.peer.retain(grant.retain);
        let buffer = self.out.bytes().buffer();
        compose_forwarded(buffer, packets, grant.qos, retain, places, ids);
        for message in together.messages() {
            window.append(self.exchange(message, grant, None, bounds));
        }
        Some(packets.len())
    }

    /// Appends such a packet.
    #[inline]
    pub(super) fn append_forwarded(
        &mut self,
        (packet, id_at): (&[u8], usize),
        qos: QoS,
        retain: Retain,
        packet_id: PacketId,
        dup: bool,
        bounds: &Bounds<'_>,
    ) -> usize {
        let packet = ForwardedPublish {
            dup,
            qos,
            retain: self.peer.retain(retain),
            packet_id,
            packet,
            id_at,
        };
        self.append_with(0, bounds, |out, version| {
            compose(out, version, &Outgoing::Forwarded(&packet))
        })
    }

    pub(super) fn append_delivery(
        &mut self,
        delivery: &Delivery,
        id: PacketId,
        dup: bool,
        bounds: &Bounds<'_>,
    ) -> usize {
        if self.forwards(&delivery.subscription_ids)
            && let Some(packet) = self.forwarded(&delivery.message)
        {
            return self.append_forwarded(packet, delivery.qos, delivery.retain, id, dup, bounds);
        }
        let packet = outgoing_delivery(delivery, &self.peer, Some(id), dup, bounds.now);
        let row = bounds.tap.map_or(0, |_| delivery.message.row());
        self.append(packet, Some(&delivery.message), row, bounds)
    }

    /// Appends a PUBLISH, with a topic alias where the client takes them. A large payload stays where
    /// it is, in `message`, which all receivers share.
    pub(super) fn append(
        &mut self,
        mut packet: OutgoingPublish<'_>,
        message: Option<&Message>,
        row: u64,
        bounds: &Bounds<'_>,
    ) -> usize {
        if let Some(seldom) = &mut self.seldom
            && let Some(aliases) = &mut seldom.aliases
        {
            aliases.apply(&mut packet, self.peer.packet_size());
        }
        let payload = packet.payload.len();
        // Whoever looks at packets wants them whole.
        match message.filter(|_| payload >= SHARED && bounds.tap.is_none()) {
            Some(message) => {
                let chunks = self.out.bytes();
                let head = Outgoing::PublishHead(&packet);
                let head = compose(chunks.buffer(), self.peer.version, &head);
                chunks.refer_to(message.clone());
                head + payload
            }
            None => self.append_with(row, bounds, |out, version| {
                compose(out, version, &Outgoing::Publish(&packet))
            }),
        }
    }

    pub(super) fn append_pubrel(&mut self, id: PacketId, bounds: &Bounds<'_>) {
        let packet = Outgoing::Ack {
            kind: AckKind::Pubrel,
            id,
            reason: ReasonCode::Success,
            text: None,
        };
        self.append_with(0, bounds, |out, version| compose(out, version, &packet));
    }
}

/// What was appended to a buffer behind its first `before` bytes leaves as rules have it.
#[cold]
fn show(
    tap: &Tap,
    facts: &ConnectionFacts,
    link: &Arc<dyn Link>,
    out: &mut Vec<u8>,
    before: usize,
    row: u64,
    now: Instant,
) {
    if let Some(line) = facts.line(tap, now, || waker(link)) {
        line.send(tap, out, before, row, now);
    } else if let Some(line) = facts.witness(tap, now) {
        line.witness(tap, out.get(before..).unwrap_or_default(), row, now);
    }
}

/// Whether a PUBLISH of `publication` stays within the client's Maximum Packet Size (MQTT-3.1.2-24)
/// and the format's.
#[inline]
pub(super) fn fits(
    publication: &Publication<'_>,
    grant: &Grant,
    connected: &Connected,
    bounds: &Bounds<'_>,
) -> bool {
    // Nearly every packet is far below: the bound is computed only when it might matter.
    let rough = publication.topic.len()
        + publication.properties.len()
        + publication.payload.len()
        + 5 * grant.subscription_ids.as_slice().len()
        + 32;
    if rough <= connected.peer.packet_size().min(MAX_PACKET_SIZE as usize) {
        return true;
    }
    fits_exactly(publication, grant, connected, bounds)
}

#[cold]
fn fits_exactly(
    publication: &Publication<'_>,
    grant: &Grant,
    connected: &Connected,
    bounds: &Bounds<'_>,
) -> bool {
    let id = PacketId::new(1).filter(|_| grant.qos > QoS::AtMostOnce);
    let packet = outgoing(publication, grant, &connected.peer, id, bounds.now);
    packet.fits(connected.peer.version, connected.peer.packet_size())
}

/// The same for a message that waited.
pub(super) fn delivery_fits(
    delivery: &Delivery,
    connected: &Connected,
    bounds: &Bounds<'_>,
) -> bool {
    let ids = delivery.subscription_ids.as_slice();
    // A message is charged for more than its bytes.
    let rough = delivery.message.footprint() + 5 * ids.len();
    if rough <= connected.peer.packet_size().min(MAX_PACKET_SIZE as usize) {
        return true;
    }
    let id = PacketId::new(1).filter(|_| delivery.qos > QoS::AtMostOnce);
    let packet = outgoing_delivery(delivery, &connected.peer, id, false, bounds.now);
    packet.fits(connected.peer.version, connected.peer.packet_size())
}

/// The packet of a message that waited.
#[inline]
fn outgoing_delivery<'a>(
    delivery: &'a Delivery,
    peer: &Peer,
    packet_id: Option<PacketId>,
    dup: bool,
    now: Instant,
) -> OutgoingPublish<'a> {
    let message = &delivery.message;
    OutgoingPublish {
        dup,
        qos: delivery.qos,
        retain: peer.retain(delivery.retain),
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
    peer: &Peer,
    packet_id: Option<PacketId>,
    now: Instant,
) -> OutgoingPublish<'a> {
    OutgoingPublish {
        dup: false,
        qos: grant.qos,
        retain: peer.retain(grant.retain),
        topic: publication.topic.as_bytes(),
        packet_id,
        topic_alias: None,
        message_expiry: remaining_expiry(publication.expires_at, now),
        subscription_ids: grant.subscription_ids.as_slice(),
        properties: publication.properties,
        payload: publication.payload,
    }
}
