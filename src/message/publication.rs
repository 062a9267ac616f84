//! Application Messages: [`Publication`] while it stands in a read buffer, [`Message`] once it has
//! to outlive it.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use triomphe::ThinArc;

use crate::budget::{Budget, Charge, Kind};
use crate::codec::{
    Payload, Pieces, QoS, Version, variable_byte_integer, variable_byte_integer_len,
};

/// An Application Message on its way through the broker, borrowed from wherever it was read.
///
/// Most messages are forwarded from here without a copy. What must wait (QoS above 0, queues,
/// retained messages) takes [`Publication::message`], which copies once, however many ask.
pub(crate) struct Publication<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: Payload<'a>,
    /// Property bytes as they are forwarded: without Topic Alias and Message Expiry Interval.
    pub(crate) properties: &'a [u8],
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// When the Message Expiry Interval runs out.
    pub(crate) expires_at: Option<Instant>,
    /// The whole packet and its version where its bytes may be sent on: there is nothing in it that is the
    /// publisher's own (an alias) or changes (an expiry), but for DUP and the identifier above QoS 0.
    pub(crate) as_read: Option<(Version, &'a [u8])>,
    pub(crate) at_once: AtOnce,
    /// The row of its PUBLISH in the journal; 0 if that has none.
    pub(crate) row: u64,
    stored: OnceCell<Message>,
}

/// Whether a message is only for those who take it at once, because there is no room for it to wait, and
/// what came of that so far: flags, and how many do not get it. One word, because every publish makes one.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtOnce(Cell<u32>);

impl AtOnce {
    const IS_REQUIRED: u32 = 1 << 31;
    const IS_TAKEN: u32 = 1 << 30;
    const IS_WANTED: u32 = 1 << 29;
    const LOSSES: u32 = Self::IS_WANTED - 1;

    /// Nobody was asked yet.
    pub(crate) fn required() -> Self {
        Self(Cell::new(Self::IS_REQUIRED))
    }

    #[inline]
    fn has(&self, flag: u32) -> bool {
        self.0.get() & flag > 0
    }

    #[inline]
    fn set(&self, flag: u32) {
        self.0.set(self.0.get() | flag);
    }

    #[inline]
    pub(crate) fn is_required(&self) -> bool {
        self.has(Self::IS_REQUIRED)
    }

    /// Somebody took the message.
    #[inline]
    pub(crate) fn note_taken(&self) {
        self.set(Self::IS_TAKEN);
    }

    /// Somebody does not get it who would have had it later.
    pub(crate) fn note_refusal(&self) {
        self.set(Self::IS_WANTED);
        self.note_loss();
    }

    /// Somebody does not get it.
    pub(crate) fn note_loss(&self) {
        if self.0.get() & Self::LOSSES < Self::LOSSES {
            self.0.set(self.0.get() + 1);
        }
    }

    /// Whether it is to be refused to its publisher: nobody took it, and somebody would have had it later.
    pub(crate) fn is_refused(&self) -> bool {
        self.has(Self::IS_WANTED) && !self.has(Self::IS_TAKEN)
    }

    /// How many do not get it although its publisher is told that it was taken.
    pub(crate) fn losses(&self) -> u32 {
        match self.is_refused() {
            true => 0,
            false => self.0.get() & Self::LOSSES,
        }
    }
}

impl<'a> Publication<'a> {
    pub(crate) fn new(topic: &'a str, payload: impl Into<Payload<'a>>, qos: QoS) -> Self {
        Self {
            topic,
            payload: payload.into(),
            properties: &[],
            qos,
            retain: false,
            expires_at: None,
            as_read: None,
            at_once: AtOnce::default(),
            row: 0,
            stored: OnceCell::new(),
        }
    }

    /// Its bytes as they are sent, but for a few of the header.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len() + 8
    }

    /// The whole packet and its version where its bytes may be sent on unchanged.
    #[inline]
    pub(crate) fn verbatim(&self) -> Option<(Version, &'a [u8])> {
        self.as_read.filter(|_| self.qos == QoS::AtMostOnce)
    }

    /// The bytes that any packet of it has at least: MQTT 3.1.1 has no properties.
    pub(crate) fn least_size(&self) -> u32 {
        least_size(self.topic.len(), self.payload.len())
    }

    /// Whether it may wait for somebody who does not take it at once: a message above QoS 0 may, unless there
    /// was no memory for that when it came.
    #[inline]
    pub(crate) fn may_wait(&self) -> bool {
        self.qos > QoS::AtMostOnce && !self.at_once.is_required()
    }

    /// The same with nothing in it, for those who need not know what was.
    pub(crate) fn without_payload(&self) -> Self {
        Self {
            properties: self.properties,
            retain: self.retain,
            expires_at: self.expires_at,
            row: self.row,
            ..Self::new(self.topic, &[], self.qos)
        }
    }

    /// The message in an allocation of its own, made and charged at the first call.
    pub(crate) fn message(&self, budget: Budget) -> &Message {
        self.stored.get_or_init(|| Message::copy(self, budget))
    }
}

/// An Application Message in one shared allocation; a clone is a pointer. It is charged to the
/// broker's budget once, for as long as anybody has it.
///
/// Its bytes are those of a packet above QoS 0 behind the fixed header, with any identifier: most come as
/// one, and leave as one.
#[derive(Clone)]
pub(crate) struct Message(ThinArc<Head, u8>);

/// What lies in front of the bytes: as little as there can be, because there are many messages.
struct Head {
    /// What few messages have.
    rare: Option<Box<Rare>>,
    budget: Budget,
    /// What it is charged for, in bytes, and flags.
    word: AtomicU32,
    topic: u16,
    /// The length; [`LONG`] where `rare` has it, [`BARE`] where the bytes have no place for properties.
    properties: u16,
}

#[derive(Default)]
struct Rare {
    expires_at: Option<Instant>,
    /// The payload, where it was assembled from several reads and is not among the bytes.
    pieces: Option<Pieces>,
    properties: usize,
    /// The row of its PUBLISH in the journal.
    row: u64,
}

const LONG: u16 = u16::MAX;
const BARE: u16 = LONG - 1;

/// What the length of a topic takes in front of it, and an identifier behind it.
const TOPIC_LEN: usize = 2;
const PACKET_ID: usize = 2;

/// Of the word: the charge, which is no more than the largest packet and a little, the QoS, the RETAIN
/// flag, and whether it is charged as retained and not as queued.
const CHARGED: u32 = (1 << 28) - 1;
const QOS_SHIFT: u32 = 28;
const RETAIN: u32 = 1 << 30;
const KEPT: u32 = 1 << 31;

/// As what a message with such a word is charged.
fn kind_of(word: u32) -> Kind {
    match word & KEPT {
        0 => Kind::Queues,
        _ => Kind::Retained,
    }
}

/// What a message costs beyond its bytes, for the accounting of queues.
const OVERHEAD: usize = 72;

thread_local! {
    /// Where a message is put together before its one allocation is made.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A scratch buffer that grew beyond this is given back.
const SCRATCH_KEEP: usize = 64 * 1024;

impl Message {
    fn copy(from: &Publication<'_>, budget: Budget) -> Self {
        Self::new(from, from.payload, None, budget)
    }

    /// A message whose payload was read in `chunks`, of which it begins at `start`. `charge` is what
    /// they were charged as until now. `from` has the rest, and no payload.
    pub(crate) fn assembled(
        from: &Publication<'_>,
        chunks: Vec<Vec<u8>>,
        start: usize,
        charge: Charge,
        budget: Budget,
    ) -> Self {
        let pieces = Some(Pieces::new(chunks, start));
        let message = Self::new(from, Payload::from(&[]), pieces, budget);
        drop(charge);
        message
    }

    fn new(
        from: &Publication<'_>,
        inline: Payload<'_>,
        pieces: Option<Pieces>,
        budget: Budget,
    ) -> Self {
        let properties = from.properties.len();
        let payload = pieces.as_ref().map_or(inline.len(), Pieces::len);
        let mut size = from.topic.len() + properties + payload + OVERHEAD;
        let is_rare = from.expires_at.is_some()
            || pieces.is_some()
            || properties >= usize::from(BARE)
            || from.row > 0;
        let rare = is_rare.then(|| {
            size += size_of::<Rare>();
            Box::new(Rare {
                expires_at: from.expires_at,
                pieces,
                properties,
                row: from.row,
            })
        });
        let charged = u32::try_from(size).unwrap_or(CHARGED).min(CHARGED);
        budget.charge(Kind::Queues, charged as usize);
        let retain = if from.retain { RETAIN } else { 0 };
        let qos = u32::from(from.qos.bits()) << QOS_SHIFT;
        let mut head = Head {
            rare,
            budget,
            word: AtomicU32::new(charged | qos | retain),
            topic: u16::try_from(from.topic.len()).unwrap_or(u16::MAX),
            properties: match u16::try_from(properties) {
                Ok(properties) if properties < BARE => properties,
                _ => LONG,
            },
        };
        if let Some((version, packet)) = from.as_read.filter(|_| from.qos > QoS::AtMostOnce) {
            let properties = head.properties;
            if version == Version::V311 {
                head.properties = BARE;
            }
            let body = head.payload_at() + payload;
            // Each length has one form (MQTT-1.5.5-1), so where things are in it is known.
            let header = 1 + variable_byte_integer_len(body);
            if packet.len() == header + body
                && let Some(body) = packet.get(header..)
            {
                return Self(ThinArc::from_header_and_slice(head, body));
            }
            head.properties = properties;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(&head.topic.to_be_bytes());
            scratch.extend_from_slice(from.topic.as_bytes());
            scratch.extend_from_slice(&[0; PACKET_ID]);
            variable_byte_integer(scratch, properties);
            scratch.extend_from_slice(from.properties);
            inline.append_to(scratch);
            let message = Self(ThinArc::from_header_and_slice(head, scratch));
            if scratch.capacity() > SCRATCH_KEEP {
                *scratch = Vec::new();
            }
            message
        })
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    pub(crate) fn topic(&self) -> &str {
        // The bytes were a str when they were copied.
        std::str::from_utf8(self.topic_bytes()).unwrap_or_default()
    }

    /// The topic, for those who need not know that it is text: that costs a look at each byte.
    pub(crate) fn topic_bytes(&self) -> &[u8] {
        let end = TOPIC_LEN + usize::from(self.head().topic);
        self.0.slice.get(TOPIC_LEN..end).unwrap_or_default()
    }

    /// Property bytes to forward, Message Expiry Interval left out.
    pub(crate) fn properties(&self) -> &[u8] {
        let end = self.head().payload_at();
        let start = end - self.head().properties();
        self.0.slice.get(start..end).unwrap_or_default()
    }

    /// What follows the fixed header in a packet above QoS 0 of that version, and where in it the identifier
    /// is. `None` where that has to be composed.
    #[inline]
    pub(crate) fn body(&self, version: Version) -> Option<(&[u8], usize)> {
        let head = self.head();
        let has_properties = head.properties != BARE;
        let is_as_sent = has_properties == (version == Version::V5) && head.rare.is_none();
        is_as_sent.then(|| (&self.0.slice, TOPIC_LEN + usize::from(head.topic)))
    }

    /// As [`Publication::least_size`].
    pub(crate) fn least_size(&self) -> u32 {
        least_size(usize::from(self.head().topic), self.payload().len())
    }

    pub(crate) fn payload(&self) -> Payload<'_> {
        let head = self.head();
        if let Some(pieces) = head.rare.as_ref().and_then(|rare| rare.pieces.as_ref()) {
            return pieces.payload();
        }
        self.0
            .slice
            .get(head.payload_at()..)
            .unwrap_or_default()
            .into()
    }

    /// The QoS it was published at.
    pub(crate) fn qos(&self) -> QoS {
        let qos = (self.head().word() >> QOS_SHIFT) as u8 & 0x03;
        QoS::from_bits(qos).unwrap_or(QoS::AtMostOnce)
    }

    /// The RETAIN flag it was published with.
    pub(crate) fn retain(&self) -> bool {
        self.head().word() & RETAIN > 0
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.head().rare.as_ref()?.expires_at
    }

    /// The row of its PUBLISH in the journal; 0 if that has none.
    pub(crate) fn row(&self) -> u64 {
        self.head().rare.as_ref().map_or(0, |rare| rare.row)
    }

    /// Whether the Message Expiry Interval has run out (MQTT-3.3.2-5).
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// Bytes that this message holds, for the bounds of queues.
    pub(crate) fn footprint(&self) -> usize {
        (self.head().word() & CHARGED) as usize
    }

    /// Charges it as something else from now on.
    pub(crate) fn charge_as(&self, kind: Kind) {
        let head = self.head();
        let before = match kind {
            Kind::Retained => head.word.fetch_or(KEPT, Ordering::Relaxed),
            _ => head.word.fetch_and(!KEPT, Ordering::Relaxed),
        };
        let (before, size) = (kind_of(before), self.footprint());
        if before != kind {
            head.budget.charge(kind, size);
            head.budget.discharge(before, size);
        }
    }

    /// Whether both are the same publication, not merely equal.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.head(), other.head())
    }

    /// The message as a publication of its own, as a retained or queued one goes out again.
    pub(crate) fn publication(&self) -> Publication<'_> {
        Publication {
            topic: self.topic(),
            payload: self.payload(),
            properties: self.properties(),
            qos: self.qos(),
            retain: self.retain(),
            expires_at: self.expires_at(),
            as_read: None,
            // It was let in.
            at_once: AtOnce::default(),
            row: self.row(),
            stored: OnceCell::from(self.clone()),
        }
    }
}

fn least_size(topic: usize, payload: usize) -> u32 {
    let body = 2 + topic + payload;
    // A byte for each seven bits of the length, after the first of the packet.
    let length = body.ilog2() as usize / 7 + 1;
    u32::try_from(1 + length + body).unwrap_or(u32::MAX)
}

impl Head {
    #[inline]
    fn word(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
    }

    #[inline]
    fn properties(&self) -> usize {
        match (self.properties, &self.rare) {
            (LONG, Some(rare)) => rare.properties,
            (BARE, _) => 0,
            (properties, _) => usize::from(properties),
        }
    }

    /// Where the payload begins among the bytes.
    #[inline]
    fn payload_at(&self) -> usize {
        let properties = match self.properties {
            BARE => 0,
            _ => {
                let properties = self.properties();
                variable_byte_integer_len(properties) + properties
            }
        };
        TOPIC_LEN + usize::from(self.topic) + PACKET_ID + properties
    }
}

impl Drop for Head {
    #[inline]
    fn drop(&mut self) {
        let word = *self.word.get_mut();
        self.budget
            .discharge(kind_of(word), (word & CHARGED) as usize);
    }
}

/// The Message Expiry Interval to send: what is left, in seconds, rounded up, so that a message
/// that did not wait keeps its full interval (MQTT-3.3.2-6).
pub(crate) fn remaining_expiry(expires_at: Option<Instant>, now: Instant) -> Option<u32> {
    let left = expires_at?.saturating_duration_since(now);
    let secs = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    Some(u32::try_from(secs).unwrap_or(u32::MAX))
}

/// When a Message Expiry Interval of `secs` that starts `now` runs out.
pub(crate) fn expiry_deadline(secs: u32, now: Instant) -> Option<Instant> {
    now.checked_add(Duration::from_secs(u64::from(secs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Owned;
    use crate::codec::{OutgoingPublish, PacketId};

    #[test]
    fn a_copy_keeps_topic_properties_and_payload_apart() {
        let budget = Owned::new(1 << 20);
        let mut publication = Publication::new("a/b", b"payload", QoS::AtLeastOnce);
        publication.properties = b"props";
        let message = publication.message(*budget);
        assert_eq!(message.topic(), "a/b");
        assert_eq!(message.properties(), b"props");
        assert_eq!(message.payload().to_vec(), b"payload");
        assert!(message.is_same(publication.message(*budget)));
    }

    #[test]
    fn head_is_small_and_keeps_what_it_was_given() {
        assert_eq!(size_of::<Head>(), 24);
        let budget = Owned::new(1 << 20);
        for (length, qos) in [
            (0, QoS::AtMostOnce),
            (65_535, QoS::ExactlyOnce),
            (70_000, QoS::AtLeastOnce),
        ] {
            let properties = vec![7; length];
            let mut publication = Publication::new("a/b", b"payload", qos);
            publication.properties = &properties;
            publication.retain = length > 0;
            let message = publication.message(*budget);
            assert_eq!(message.properties().len(), length);
            assert_eq!(message.payload().to_vec(), b"payload");
            assert_eq!((message.qos(), message.retain()), (qos, length > 0));
            assert!(message.footprint() > length + 10);
            assert_eq!(budget.used(), message.footprint());
        }
    }

    #[test]
    fn message_has_the_body_of_the_packet_that_it_came_as_and_can_be() {
        let budget = Owned::new(1 << 20);
        let property = [0x01, 0x01];
        for (version, other) in [(Version::V5, Version::V311), (Version::V311, Version::V5)] {
            let properties = match version {
                Version::V5 => &property[..],
                Version::V311 => &[],
            };
            let mut packet = Vec::new();
            let outgoing = OutgoingPublish {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: b"a/b",
                packet_id: PacketId::new(7),
                topic_alias: None,
                message_expiry: None,
                subscription_ids: &[],
                properties,
                payload: b"payload".into(),
            };
            outgoing.encode(version, &mut packet);
            let body = &packet[2..];
            let new = || {
                let mut publication = Publication::new("a/b", b"payload", QoS::AtLeastOnce);
                publication.properties = properties;
                publication
            };
            let mut read = new();
            read.as_read = Some((version, &packet));
            let message = read.message(*budget);
            assert_eq!(message.body(version), Some((body, 5)));
            assert_eq!(message.body(other), None);
            let (put_together, mut expiring) = (new(), new());
            let again = put_together.message(*budget);
            if version == Version::V5 {
                let (bytes, id) = again.body(version).unwrap();
                assert_eq!((&bytes[..id], &bytes[id + 2..]), (&body[..5], &body[7..]));
            }
            expiring.expires_at = Some(Instant::now());
            assert_eq!(
                expiring.message(*budget).body(version),
                None,
                "it counts down"
            );
            for message in [message, again, expiring.message(*budget)] {
                assert_eq!((message.topic(), message.properties()), ("a/b", properties));
                assert_eq!(message.payload().to_vec(), b"payload");
            }
        }
    }

    #[test]
    fn a_payload_that_was_read_in_pieces_is_not_copied() {
        let budget = Owned::new(1 << 20);
        let publication = Publication::new("a/b", &[], QoS::AtLeastOnce);
        let chunks = vec![b"head, pay".to_vec(), b"lo".to_vec(), b"ad".to_vec()];
        let place = chunks[1].as_ptr();
        let charge = Charge::new(*budget, Kind::Packets, 13).unwrap();
        let message = Message::assembled(&publication, chunks, 6, charge, *budget);
        assert_eq!(message.payload().to_vec(), b"payload");
        assert!(
            message
                .payload()
                .pieces()
                .any(|piece| piece.as_ptr() == place)
        );
        assert_eq!(budget.used_by(Kind::Packets), 0);
        assert_eq!(budget.used(), message.footprint());
    }

    #[test]
    fn a_message_is_charged_once_and_as_what_it_is_last() {
        let budget = Owned::new(1 << 20);
        let publication = Publication::new("a/b", b"payload", QoS::AtLeastOnce);
        let message = publication.message(*budget).clone();
        let other = message.clone();
        let size = message.footprint();
        assert_eq!(budget.used_by(Kind::Queues), size);
        message.charge_as(Kind::Retained);
        other.charge_as(Kind::Retained);
        let used = |kind| budget.used_by(kind);
        assert_eq!((used(Kind::Queues), used(Kind::Retained)), (0, size));
        drop((message, publication));
        assert_eq!(budget.used(), size);
        drop(other);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn message_that_may_not_wait_is_refused_if_it_is_wanted_and_nobody_took_it() {
        let at_once = AtOnce::required();
        at_once.note_loss();
        assert_eq!((at_once.is_refused(), at_once.losses()), (false, 1));
        at_once.note_refusal();
        assert_eq!((at_once.is_refused(), at_once.losses()), (true, 0));
        at_once.note_taken();
        assert_eq!((at_once.is_refused(), at_once.losses()), (false, 2));
        assert!(at_once.is_required() && !AtOnce::default().is_required());
    }

    #[test]
    fn expiry_counts_whole_seconds_that_passed() {
        let now = Instant::now();
        let at = expiry_deadline(10, now);
        assert_eq!(remaining_expiry(at, now), Some(10));
        assert_eq!(
            remaining_expiry(at, now + Duration::from_millis(2500)),
            Some(8)
        );
        assert_eq!(remaining_expiry(at, now + Duration::from_secs(11)), Some(0));
        assert_eq!(remaining_expiry(None, now), None);
    }
}
