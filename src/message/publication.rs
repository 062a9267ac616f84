//! Application Messages: [`Publication`] while it stands in a read buffer, [`Message`] once it has
//! to outlive it.

use std::cell::{Cell, OnceCell, RefCell};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use triomphe::ThinArc;

use crate::budget::{Budget, Charge, Kind};
use crate::codec::{
    self, Frame, MAX_PACKET_SIZE, PacketType, Payload, Pieces, QoS, Version, variable_byte_integer,
    variable_byte_integer_len,
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
    pub(crate) as_read: AsRead<'a>,
    pub(crate) at_once: AtOnce,
    /// The row of its PUBLISH in the journal; 0 if that has none.
    pub(crate) row: u64,
    stored: OnceCell<Message>,
}

/// What of a message may be sent on as it was read: there is nothing in it that is the publisher's own (an alias) or
/// changes (an expiry).
#[derive(Clone, Copy)]
pub(crate) enum AsRead<'a> {
    /// Nothing: it has to be composed.
    Nothing,
    /// At QoS 0 the whole packet, to receivers of its version.
    Packet(Version, &'a [u8]),
    /// Above QoS 0 what follows the fixed header, but for the identifier.
    Body(Body<'a>),
}

/// A packet above QoS 0 among those of its run.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    run: &'a RunAsRead<'a>,
    /// Where what follows its fixed header begins.
    at: u32,
    len: u32,
}

/// The packets of a run above QoS 0, as they were read. Their messages lie in one allocation, once the first of them
/// has to outlive the buffer: it lasts as long as any of them, so there is a bound on what is held besides one.
pub(crate) struct RunAsRead<'a> {
    version: Version,
    /// The first packet, and what was read behind it.
    read: &'a [u8],
    /// Where the last packet ends, if messages may lie together; else 0.
    end: Cell<usize>,
    block: OnceCell<ThinArc<Head, u8>>,
}

/// Bytes of a run that lie together, at most. Larger messages gain little by that.
const TOGETHER: usize = 8 * 1024;

impl<'a> RunAsRead<'a> {
    /// A run that begins where `read` does, in packets of that version.
    pub(crate) fn new(version: Version, read: &'a [u8]) -> Self {
        Self {
            version,
            read,
            end: Cell::new(0),
            block: OnceCell::new(),
        }
    }

    /// A packet of the run, which ends at `end`.
    #[inline]
    pub(crate) fn packet(&'a self, qos: QoS, frame: Frame<'a>, end: usize) -> AsRead<'a> {
        match qos {
            QoS::AtMostOnce => AsRead::Packet(self.version, frame.bytes),
            QoS::AtLeastOnce | QoS::ExactlyOnce => AsRead::Body(Body {
                run: self,
                at: (end - frame.body.len()) as u32,
                len: frame.body.len() as u32,
            }),
        }
    }

    /// The last packet ends at `end`, and messages may lie together. Without this each has an allocation of its own.
    pub(crate) fn end_at(&self, end: usize) {
        self.end.set(end);
    }

    /// The allocation of all messages. `None` if they are too large to have one.
    #[inline]
    fn block(&self, one: &Publication<'_>, budget: Budget) -> Option<&ThinArc<Head, u8>> {
        match self.block.get() {
            Some(block) => Some(block),
            None => self.begin(one, budget),
        }
    }

    #[cold]
    fn begin(&self, one: &Publication<'_>, budget: Budget) -> Option<&ThinArc<Head, u8>> {
        let packets = self.read.get(..self.end.get())?;
        if packets.is_empty() || packets.len() > TOGETHER {
            return None;
        }
        let head = Head::new(one, self.version, None, packets.len(), budget);
        let block = ThinArc::from_header_and_slice(head, packets);
        Some(self.block.get_or_init(|| block))
    }
}

impl Body<'_> {
    #[inline]
    fn message(&self, publication: &Publication<'_>, budget: Budget) -> Option<Message> {
        Some(self.message_in(self.run.block(publication, budget)?))
    }

    #[inline]
    fn message_in(&self, block: &ThinArc<Head, u8>) -> Message {
        Message {
            block: block.clone(),
            at: self.at,
            len: self.len,
        }
    }

    /// Where the whole packet is.
    #[inline]
    fn range(&self) -> Range<usize> {
        let (at, len) = (self.at as usize, self.len as usize);
        at.saturating_sub(header_len(len))..at + len
    }

    /// The whole packet.
    fn packet(&self) -> Option<&[u8]> {
        self.run.read.get(self.range())
    }
}

/// Messages of a run that lie together, one behind the other.
pub(crate) struct Together<'a> {
    run: &'a [Publication<'a>],
    block: &'a ThinArc<Head, u8>,
    packets: Range<usize>,
}

impl<'a> Together<'a> {
    /// The messages of this part of a run, as packets of that version. `None` where they do not lie together, or have
    /// to be composed.
    #[inline]
    pub(crate) fn of(run: &'a [Publication<'a>], version: Version, budget: Budget) -> Option<Self> {
        let one = run.first()?;
        let AsRead::Body(first) = &one.as_read else {
            return None;
        };
        if first.run.version != version {
            return None;
        }
        let mut packets = first.range().start..first.range().start;
        for one in run {
            let range = match &one.as_read {
                AsRead::Body(body) if std::ptr::eq(body.run, first.run) => body.range(),
                _ => return None,
            };
            if range.start != packets.end {
                return None;
            }
            packets.end = range.end;
        }
        Some(Self {
            run,
            block: first.run.block(one, budget)?,
            packets,
        })
    }

    /// The packets of all, with any flags and any identifiers.
    #[inline]
    pub(crate) fn packets(&self) -> &[u8] {
        let packets = self.block.slice.get(self.packets.clone());
        packets.unwrap_or_default()
    }

    /// Where the packet of each begins in those, and where its Packet Identifier is.
    #[inline]
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let (start, topic) = (self.packets.start, self.block.header.header.topic);
        self.bodies().map(move |body| {
            let id_at = body.at as usize + TOPIC_LEN + usize::from(topic);
            (body.range().start - start, id_at - start)
        })
    }

    #[inline]
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message> {
        self.bodies().map(|body| body.message_in(self.block))
    }

    #[inline]
    fn bodies(&self) -> impl Iterator<Item = &Body<'a>> {
        self.run.iter().filter_map(|one| match &one.as_read {
            AsRead::Body(body) => Some(body),
            AsRead::Nothing | AsRead::Packet(..) => None,
        })
    }
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
        Self::following(topic, payload, qos, &[], AsRead::Nothing, 0)
    }

    /// Its bytes as they are sent, but for a few of the header.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size_of_parts(self.payload) + 8
    }

    /// The whole packet and its version where its bytes may be sent on unchanged.
    #[inline]
    pub(crate) fn verbatim(&self) -> Option<(Version, &'a [u8])> {
        match self.as_read {
            AsRead::Packet(version, packet) => Some((version, packet)),
            AsRead::Nothing | AsRead::Body(_) => None,
        }
    }

    /// One behind the first of a run, in one go: to set its fields one by one would be to write it twice.
    #[inline(always)]
    pub(crate) fn following(
        topic: &'a str,
        payload: impl Into<Payload<'a>>,
        qos: QoS,
        properties: &'a [u8],
        as_read: AsRead<'a>,
        row: u64,
    ) -> Self {
        Self {
            topic,
            payload: payload.into(),
            properties,
            qos,
            retain: false,
            expires_at: None,
            as_read,
            at_once: AtOnce::default(),
            row,
            stored: OnceCell::new(),
        }
    }

    /// Bytes of its topic and properties, and of a payload.
    fn size_of_parts(&self, payload: Payload<'_>) -> usize {
        self.topic.len() + self.properties.len() + payload.len()
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

    /// The message as what may outlive what was read. Its allocation is made and charged at the first call; those of a run
    /// may have one together.
    #[inline]
    pub(crate) fn message(&self, budget: Budget) -> Message {
        if let AsRead::Body(body) = &self.as_read
            && let Some(message) = body.message(self, budget)
        {
            return message;
        }
        self.message_alone(budget)
    }

    /// The same in an allocation of its own, for whoever keeps it and does not keep the others of its run.
    pub(crate) fn message_alone(&self, budget: Budget) -> Message {
        self.stored
            .get_or_init(|| Message::copy(self, budget))
            .clone()
    }
}

/// An Application Message in a shared allocation, alone or with others of its run; a clone is a pointer. That is charged
/// to the broker's budget once, for as long as anybody has a message in it.
///
/// Its bytes are those of a packet above QoS 0 behind the fixed header, with any identifier: most come as
/// one, and leave as one.
#[derive(Clone)]
pub(crate) struct Message {
    block: ThinArc<Head, u8>,
    /// Where its bytes are in it. In front of them is the fixed header, but of one that exceeds the format.
    at: u32,
    len: u32,
}

/// What lies in front of the bytes: as little as there can be, because there are many messages. Those of a run have all
/// of it in common.
struct Head {
    /// What few messages have, and none that is together with others.
    rare: Option<Box<Rare>>,
    budget: Budget,
    /// What is charged for all, in bytes, and flags.
    word: AtomicU32,
    topic: u16,
    /// The bytes have a place for properties.
    has_properties: bool,
}

#[derive(Default)]
struct Rare {
    expires_at: Option<Instant>,
    /// The payload, where it was assembled from several reads and is not among the bytes.
    pieces: Option<Pieces>,
    /// The row of its PUBLISH in the journal.
    row: u64,
}

/// What the length of a topic takes in front of it, and an identifier behind it.
const TOPIC_LEN: usize = 2;
const PACKET_ID: usize = 2;

/// The Remaining Length that a packet has at most.
const MAX_BODY: usize = MAX_PACKET_SIZE as usize - 5;

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
const OVERHEAD: usize = 68;

thread_local! {
    /// Where a message is put together before its one allocation is made.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A scratch buffer that grew beyond this is given back.
const SCRATCH_KEEP: usize = 64 * 1024;

impl Message {
    fn copy(from: &Publication<'_>, budget: Budget) -> Self {
        if let AsRead::Body(body) = &from.as_read
            && from.row == 0
            && let Some(packet) = body.packet()
        {
            let head = Head::new(from, body.run.version, None, body.len as usize, budget);
            return Self::alone(head, packet, body.len as usize);
        }
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
        let is_rare = from.expires_at.is_some() || pieces.is_some() || from.row > 0;
        let rare = is_rare.then(|| {
            Box::new(Rare {
                expires_at: from.expires_at,
                pieces,
                row: from.row,
            })
        });
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            let properties = variable_byte_integer_len(from.properties.len());
            let len = TOPIC_LEN + PACKET_ID + properties + from.size_of_parts(inline);
            if len <= MAX_BODY {
                scratch.push(PacketType::Publish.first_byte());
                variable_byte_integer(scratch, len);
            }
            let topic = u16::try_from(from.topic.len()).unwrap_or(u16::MAX);
            scratch.extend_from_slice(&topic.to_be_bytes());
            scratch.extend_from_slice(from.topic.as_bytes());
            scratch.extend_from_slice(&[0; PACKET_ID]);
            variable_byte_integer(scratch, from.properties.len());
            scratch.extend_from_slice(from.properties);
            inline.append_to(scratch);
            let head = Head::new(from, Version::V5, rare, len, budget);
            let message = Self::alone(head, scratch, len);
            if scratch.capacity() > SCRATCH_KEEP {
                *scratch = Vec::new();
            }
            message
        })
    }

    /// A message that has all of an allocation. Its bytes are the last `len` of `packet`.
    fn alone(head: Head, packet: &[u8], len: usize) -> Self {
        Self {
            block: ThinArc::from_header_and_slice(head, packet),
            at: (packet.len() - len) as u32,
            len: len as u32,
        }
    }

    #[inline]
    fn head(&self) -> &Head {
        &self.block.header.header
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        let (at, len) = (self.at as usize, self.len as usize);
        self.block.slice.get(at..at + len).unwrap_or_default()
    }

    pub(crate) fn topic(&self) -> &str {
        // The bytes were a str when they were copied.
        std::str::from_utf8(self.topic_bytes()).unwrap_or_default()
    }

    /// The topic, for those who need not know that it is text: that costs a look at each byte.
    pub(crate) fn topic_bytes(&self) -> &[u8] {
        let end = TOPIC_LEN + usize::from(self.head().topic);
        self.bytes().get(TOPIC_LEN..end).unwrap_or_default()
    }

    /// Property bytes to forward, Message Expiry Interval left out.
    pub(crate) fn properties(&self) -> &[u8] {
        self.parts().0
    }

    /// Its properties, and what follows them.
    fn parts(&self) -> (&[u8], &[u8]) {
        let start = TOPIC_LEN + usize::from(self.head().topic) + PACKET_ID;
        let rest = self.bytes().get(start..).unwrap_or_default();
        match self.head().has_properties {
            true => codec::split_properties(rest),
            false => (&[], rest),
        }
    }

    /// A packet above QoS 0 of that version, with any flags and any identifier, and where that is. `None` where it
    /// has to be composed.
    #[inline]
    pub(crate) fn packet(&self, version: Version) -> Option<(&[u8], usize)> {
        let head = self.head();
        if head.has_properties != (version == Version::V5) || head.rare.is_some() {
            return None;
        }
        let (at, len) = (self.at as usize, self.len as usize);
        let header = header_len(len);
        let packet = self.block.slice.get(at.checked_sub(header)?..at + len)?;
        Some((packet, header + TOPIC_LEN + usize::from(head.topic)))
    }

    /// As [`Publication::least_size`].
    pub(crate) fn least_size(&self) -> u32 {
        least_size(usize::from(self.head().topic), self.payload().len())
    }

    pub(crate) fn payload(&self) -> Payload<'_> {
        let rare = self.head().rare.as_ref();
        match rare.and_then(|rare| rare.pieces.as_ref()) {
            Some(pieces) => pieces.payload(),
            None => self.parts().1.into(),
        }
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
    #[inline]
    pub(crate) fn footprint(&self) -> usize {
        footprint(self.len as usize, self.head().rare.as_deref())
    }

    /// Charges it as something else from now on. It is alone.
    pub(crate) fn charge_as(&self, kind: Kind) {
        let head = self.head();
        let before = match kind {
            Kind::Retained => head.word.fetch_or(KEPT, Ordering::Relaxed),
            _ => head.word.fetch_and(!KEPT, Ordering::Relaxed),
        };
        let (before, size) = (kind_of(before), (before & CHARGED) as usize);
        if before != kind {
            head.budget.charge(kind, size);
            head.budget.discharge(before, size);
        }
    }

    /// Whether both are the same publication, not merely equal.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.head(), other.head()) && self.at == other.at
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
            as_read: AsRead::Nothing,
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

/// The length of the fixed header in front of so many bytes.
#[inline]
fn header_len(body: usize) -> usize {
    1 + variable_byte_integer_len(body)
}

/// What a message of so many bytes holds.
#[inline]
fn footprint(bytes: usize, rare: Option<&Rare>) -> usize {
    let more = match rare {
        Some(rare) => size_of::<Rare>() + rare.pieces.as_ref().map_or(0, Pieces::len),
        None => 0,
    };
    bytes + OVERHEAD + more
}

impl Head {
    /// The head of `bytes` that hold `one` message, or it and others with which it has all in common; charged.
    fn new(
        one: &Publication<'_>,
        version: Version,
        rare: Option<Box<Rare>>,
        bytes: usize,
        budget: Budget,
    ) -> Self {
        let charged = footprint(bytes, rare.as_deref()).min(CHARGED as usize);
        budget.charge(Kind::Queues, charged);
        let retain = if one.retain { RETAIN } else { 0 };
        let qos = u32::from(one.qos.bits()) << QOS_SHIFT;
        Self {
            rare,
            budget,
            word: AtomicU32::new(charged as u32 | qos | retain),
            topic: u16::try_from(one.topic.len()).unwrap_or(u16::MAX),
            has_properties: version == Version::V5,
        }
    }

    #[inline]
    fn word(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
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
    use crate::codec::{OutgoingPublish, PacketId, Split, split};

    #[test]
    fn a_copy_keeps_topic_properties_and_payload_apart() {
        let budget = Owned::new(1 << 20);
        let mut publication = Publication::new("a/b", b"payload", QoS::AtLeastOnce);
        publication.properties = b"props";
        let message = publication.message(*budget);
        assert_eq!(message.topic(), "a/b");
        assert_eq!(message.properties(), b"props");
        assert_eq!(message.payload().to_vec(), b"payload");
        assert!(message.is_same(&publication.message(*budget)));
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
            let new = || {
                let mut publication = Publication::new("a/b", b"payload", QoS::AtLeastOnce);
                publication.properties = properties;
                publication
            };
            let Ok(Split::Frame(frame)) = split(&packet, u32::MAX) else {
                panic!("no frame");
            };
            let run = RunAsRead::new(version, &packet);
            run.end_at(packet.len());
            let mut read = new();
            read.as_read = run.packet(QoS::AtLeastOnce, frame, packet.len());
            let message = read.message(*budget);
            assert_eq!(message.packet(version), Some((&*packet, 7)));
            assert_eq!(message.packet(other), None);
            let (put_together, mut expiring) = (new(), new());
            let again = put_together.message(*budget);
            if version == Version::V5 {
                let (bytes, id) = again.packet(version).unwrap();
                assert_eq!(id, 7);
                assert_eq!(
                    (&bytes[1..id], &bytes[id + 2..]),
                    (&packet[1..7], &packet[9..])
                );
            }
            expiring.expires_at = Some(Instant::now());
            assert_eq!(
                expiring.message(*budget).packet(version),
                None,
                "it counts down"
            );
            let alone = read.message_alone(*budget);
            assert_eq!(alone.packet(version), Some((&*packet, 7)));
            for message in [message, again, expiring.message(*budget)] {
                assert_eq!((message.topic(), message.properties()), ("a/b", properties));
                assert_eq!(message.payload().to_vec(), b"payload");
            }
        }
    }

    /// Packets of QoS 1 to one topic, and where each ends.
    fn run_of(payloads: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let (mut packets, mut ends) = (Vec::new(), Vec::new());
        for (number, payload) in payloads.iter().enumerate() {
            let outgoing = OutgoingPublish {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: b"a/b",
                packet_id: PacketId::new(number as u16 + 1),
                topic_alias: None,
                message_expiry: None,
                subscription_ids: &[],
                properties: &[],
                payload: (*payload).into(),
            };
            outgoing.encode(Version::V5, &mut packets);
            ends.push(packets.len());
        }
        (packets, ends)
    }

    /// A run that was read as `packets`.
    fn publications_of<'r>(
        run: &'r RunAsRead<'r>,
        packets: &'r [u8],
        ends: &[usize],
        qos: QoS,
    ) -> Vec<Publication<'r>> {
        let mut start = 0;
        let each = ends.iter().map(|&end| {
            let Ok(Split::Frame(frame)) = split(&packets[start..], u32::MAX) else {
                panic!("no frame");
            };
            start = end;
            let payload = &frame.body[8..];
            let mut publication = Publication::new("a/b", payload, qos);
            publication.as_read = run.packet(qos, frame, end);
            publication
        });
        each.collect()
    }

    /// The messages of a run that was read as `packets`.
    fn messages_of(packets: &[u8], ends: &[usize], is_whole: bool, budget: Budget) -> Vec<Message> {
        let run = RunAsRead::new(Version::V5, packets);
        if is_whole {
            run.end_at(packets.len());
        }
        let each = publications_of(&run, packets, ends, QoS::AtLeastOnce);
        each.iter().map(|one| one.message(budget)).collect()
    }

    #[test]
    fn part_of_a_run_is_copied_in_one_piece_where_its_messages_lie_together() {
        let budget = Owned::new(1 << 20);
        let (packets, ends) = run_of(&[b"one", b"", &[7; 300], b"four"]);
        let (part, expected) = (1..4, &packets[ends[0]..]);
        for (end, qos, is_together) in [
            (packets.len(), QoS::AtLeastOnce, true),
            (0, QoS::AtLeastOnce, false),
            (packets.len(), QoS::AtMostOnce, false),
        ] {
            let read = RunAsRead::new(Version::V5, &packets);
            read.end_at(end);
            let run = publications_of(&read, &packets, &ends, qos);
            let of = |version| Together::of(&run[part.clone()], version, *budget);
            assert_eq!(of(Version::V5).is_some(), is_together);
            assert!(of(Version::V311).is_none(), "they have properties");
            let Some(together) = of(Version::V5) else {
                continue;
            };
            assert_eq!(together.packets(), expected);
            // As each has them for itself.
            let messages: Vec<_> = together.messages().collect();
            let places: Vec<_> = together.places().collect();
            assert_eq!((messages.len(), places.len()), (3, 3));
            for ((message, (at, id_at)), one) in messages.iter().zip(places).zip(&run[part.clone()])
            {
                assert!(message.is_same(&one.message(*budget)));
                let (packet, own_id_at) = message.packet(Version::V5).expect("a packet");
                assert_eq!(&expected[at..at + packet.len()], packet);
                assert_eq!(id_at, at + own_id_at);
            }
            let mut apart = publications_of(&read, &packets, &ends, qos);
            apart.remove(1);
            assert!(
                Together::of(&apart, Version::V5, *budget).is_none(),
                "there is one between"
            );
        }
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn messages_of_a_run_lie_together_and_are_charged_until_the_last_is_gone() {
        let budget = Owned::new(1 << 20);
        let payloads = [&b"one"[..], b"", &[7; 300]];
        let (packets, ends) = run_of(&payloads);
        let messages = messages_of(&packets, &ends, true, *budget);
        assert_eq!(budget.used(), packets.len() + OVERHEAD, "one allocation");
        for (message, payload) in messages.iter().zip(payloads) {
            assert_eq!((message.topic(), message.properties()), ("a/b", &[][..]));
            assert_eq!(message.payload().to_vec(), payload);
            assert_eq!(message.footprint(), 8 + payload.len() + OVERHEAD);
            let same = messages.iter().filter(|other| other.is_same(message));
            assert_eq!(same.count(), 1);
        }
        let last = messages.into_iter().next_back();
        assert_eq!(budget.used(), packets.len() + OVERHEAD);
        drop(last);
        assert_eq!(budget.used(), 0);
    }

    /// What one of them holds besides itself is bounded.
    #[test]
    fn messages_of_a_long_run_lie_alone_and_so_do_those_that_are_to() {
        let budget = Owned::new(1 << 20);
        let (packets, ends) = run_of(&[&[1; TOGETHER / 2], &[2; TOGETHER / 2]]);
        for is_whole in [true, false] {
            let messages = messages_of(&packets, &ends, is_whole, *budget);
            let held: usize = messages.iter().map(Message::footprint).sum();
            assert_eq!(budget.used(), held);
            assert_eq!(messages[1].payload().to_vec(), [2; TOGETHER / 2]);
            drop(messages);
            assert_eq!(budget.used(), 0);
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
        let message = publication.message(*budget);
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
