//! The journal: what went over the connections lately, and what became of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::codec::{
    Frame, Glance, MAX_PACKET_SIZE, PacketFields, PacketType, Split, Version, split,
};
use crate::time::Calendar;

use super::bell::Bell;
use super::line::Line;
use super::rule::{Direction, Match, Seen};
use super::rules::Verdict;
use super::tls::{HandshakeFailure, TlsInfo};

/// Bytes that are kept of a packet.
const KEPT: usize = 64 * 1024;

/// Rows that are looked at under one lock hold.
const SLICE: usize = 1024;

/// Bytes of rows that one answer has.
const ANSWER: usize = 4 * 1024 * 1024;

/// What a row costs besides its bytes.
const ROW: usize = 256;

/// How much is kept: the oldest rows make room for new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalBounds {
    /// Rows.
    pub rows: usize,
    /// Bytes of memory.
    pub bytes: usize,
}

impl JournalBounds {
    /// What they may be at most.
    pub const MOST: Self = Self {
        rows: 1_000_000,
        bytes: 1024 * 1024 * 1024,
    };
}

impl Default for JournalBounds {
    fn default() -> Self {
        Self {
            rows: 10_000,
            bytes: 16 * 1024 * 1024,
        }
    }
}

/// The rows, and who waits for new ones.
#[derive(Default)]
pub(super) struct Journal {
    is_on: AtomicBool,
    ring: Mutex<Ring>,
    pub(super) bell: Bell,
}

#[derive(Default)]
struct Ring {
    entries: VecDeque<Entry>,
    bounds: JournalBounds,
    bytes: usize,
    /// The number of the row that was written last; the first one is 1.
    last: u64,
}

/// A row as it is kept.
pub(super) struct Entry {
    number: u64,
    at: Instant,
    connection: u64,
    listener: &'static str,
    peer: Arc<str>,
    client: Option<Arc<str>>,
    version: Version,
    what: Kept,
    /// The row that this one answers.
    pub(super) answers: Option<u64>,
    /// The row of the PUBLISH that brought the message, or 0.
    pub(super) caused_by: u64,
}

enum Kept {
    Packet {
        direction: Direction,
        bytes: Bytes,
        len: usize,
        deed: Option<Deed>,
    },
    Event(Box<Happened>),
}

/// What happened to a connection.
#[derive(Default)]
pub(crate) struct Happened {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) end: Option<RowEnd>,
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) failure: Option<HandshakeFailure>,
}

/// What a rule did with a packet.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    rule: Option<Arc<str>>,
    name: &'static str,
    is_on_wire: bool,
}

impl Deed {
    /// Of a packet as it came to the rule. What the client sends was on the wire whatever becomes of it.
    pub(super) fn of(verdict: &Verdict, direction: Direction) -> Self {
        let name = verdict.action.name();
        Self {
            rule: Some(verdict.name.clone()),
            name,
            is_on_wire: direction == Direction::In || verdict.action.lets_pass(),
        }
    }

    /// Of a packet that the rule has made.
    pub(super) fn made(verdict: &Verdict, direction: Direction) -> Self {
        Self {
            rule: Some(verdict.name.clone()),
            name: "made",
            is_on_wire: direction == Direction::Out,
        }
    }

    /// Of a packet that arrives after all, or from nowhere.
    pub(super) fn released(direction: Direction) -> Self {
        Self {
            rule: None,
            name: "released",
            is_on_wire: direction == Direction::Out,
        }
    }
}

impl Entry {
    pub(super) fn packet(
        line: &Line,
        client: Option<Arc<str>>,
        version: Version,
        direction: Direction,
        bytes: &[u8],
    ) -> Self {
        let kept = bytes.get(..KEPT).unwrap_or(bytes);
        let what = Kept::Packet {
            direction,
            bytes: Bytes::copy_from_slice(kept),
            len: bytes.len(),
            deed: None,
        };
        Self::new(line, client, version, what)
    }

    pub(super) fn event(
        line: &Line,
        client: Option<Arc<str>>,
        version: Version,
        what: Happened,
    ) -> Self {
        Self::new(line, client, version, Kept::Event(Box::new(what)))
    }

    /// Of a connection that never came so far as to have packets.
    pub(super) fn without_packets(
        connection: u64,
        listener: &'static str,
        peer: String,
        now: Instant,
        what: Happened,
    ) -> Self {
        Self {
            number: 0,
            at: now,
            connection,
            listener,
            peer: peer.into(),
            client: None,
            version: Version::V311,
            what: Kept::Event(Box::new(what)),
            answers: None,
            caused_by: 0,
        }
    }

    fn new(line: &Line, client: Option<Arc<str>>, version: Version, what: Kept) -> Self {
        Self {
            number: 0,
            // Both are set as it is written.
            at: line.opened_at,
            connection: line.number,
            listener: line.listener,
            peer: line.peer.clone(),
            client,
            version,
            what,
            answers: None,
            caused_by: 0,
        }
    }

    pub(super) fn set_deed(&mut self, new: Option<Deed>) {
        if let Kept::Packet { deed, .. } = &mut self.what {
            *deed = new;
        }
    }

    fn size(&self) -> usize {
        ROW + match &self.what {
            Kept::Packet { bytes, .. } => bytes.len(),
            Kept::Event(what) => {
                let tls = what.tls.as_ref().map_or(0, TlsInfo::size);
                let failure = what.failure.as_ref().map_or(0, HandshakeFailure::size);
                what.text.len() + tls + failure
            }
        }
    }
}

impl Journal {
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    pub(super) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
    }

    pub(super) fn set_bounds(&self, bounds: JournalBounds) {
        let mut ring = self.ring.lock();
        ring.bounds = bounds;
        ring.make_room();
    }

    pub(super) fn bounds(&self) -> JournalBounds {
        self.ring.lock().bounds
    }

    /// Writes a row, if the journal is on. Returns its number, else 0.
    pub(super) fn note(&self, now: Instant, entry: impl FnOnce() -> Entry) -> u64 {
        if !self.is_on() {
            return 0;
        }
        let mut entry = entry();
        entry.at = now;
        let number = self.ring.lock().push(entry);
        self.bell.ring();
        number
    }

    /// Forgets all rows; numbers go on. Returns how many there were.
    pub(super) fn clear(&self) -> usize {
        let entries = {
            let mut ring = self.ring.lock();
            ring.bytes = 0;
            std::mem::take(&mut ring.entries)
        };
        // They are dropped here, outside of the lock.
        entries.len()
    }

    pub(super) fn last(&self) -> u64 {
        self.ring.lock().last
    }

    /// Up to `limit` rows behind `since` that are as the query says, oldest first, and 4 MiB of packets at most.
    /// The number says how far was looked.
    pub(super) fn rows(
        &self,
        query: &JournalQuery,
        since: u64,
        limit: usize,
        calendar: &Calendar,
    ) -> (Vec<JournalRow>, u64) {
        let (mut found, mut bytes, mut at) = (Vec::new(), 0, since);
        loop {
            // Whoever writes a row waits for a part only.
            let ring = self.ring.lock();
            let from = ring.entries.partition_point(|entry| entry.number <= at);
            let mut part = ring.entries.iter().skip(from).take(SLICE).peekable();
            if part.peek().is_none() {
                return (found, at);
            }
            for entry in part {
                if found.len() >= limit || bytes > ANSWER {
                    return (found, at);
                }
                at = entry.number;
                if query.is_met(entry) {
                    bytes += entry.size();
                    found.push(entry.row(calendar));
                }
            }
        }
    }
}

impl Ring {
    fn push(&mut self, mut entry: Entry) -> u64 {
        self.last += 1;
        entry.number = self.last;
        self.bytes += entry.size();
        self.entries.push_back(entry);
        self.make_room();
        self.last
    }

    fn make_room(&mut self) {
        while self.entries.len() > self.bounds.rows || self.bytes > self.bounds.bytes {
            match self.entries.pop_front() {
                Some(entry) => self.bytes -= entry.size(),
                None => return,
            }
        }
    }
}

/// Which rows are meant. What is `None` is not asked for.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct JournalQuery {
    /// What the packet is like; its `nth`, `every` and `probability` do not count here. With anything but
    /// `client` and `listener` in it, events are not meant.
    pub matches: Match,
    /// The name of an event, such as `connected`; packets are not meant then.
    pub event: Option<String>,
    /// The number of a connection.
    pub connection: Option<u64>,
}

impl From<Match> for JournalQuery {
    fn from(matches: Match) -> Self {
        Self {
            matches,
            ..Self::default()
        }
    }
}

impl JournalQuery {
    /// Every packet of this type.
    #[must_use]
    pub fn of(packet_type: PacketType) -> Self {
        Match::of(packet_type).into()
    }

    /// Every event of this name.
    #[must_use]
    pub fn event(name: impl Into<String>) -> Self {
        Self {
            event: Some(name.into()),
            ..Self::default()
        }
    }

    fn is_met(&self, entry: &Entry) -> bool {
        if self.connection.is_some_and(|own| own != entry.connection) {
            return false;
        }
        match &entry.what {
            Kept::Event(what) => {
                let is_named = self.event.as_deref().is_none_or(|own| own == what.name);
                is_named && self.matches.direction.is_none() && self.is_met_by_whom(entry)
            }
            Kept::Packet { .. } if self.event.is_some() => false,
            Kept::Packet { bytes, .. } => match frame_of(bytes) {
                Some(frame) => self.matches.is_met(&entry.seen(Some(&frame))),
                None => self.is_met_by_whom(entry),
            },
        }
    }

    /// Whether nothing of the packet is asked for but whose it is and which way it goes, and that is so.
    fn is_met_by_whom(&self, entry: &Entry) -> bool {
        let only_whom = Match {
            client: self.matches.client.clone(),
            listener: self.matches.listener.clone(),
            direction: self.matches.direction,
            ..Match::default()
        };
        self.matches == only_whom && only_whom.is_met(&entry.seen(None))
    }
}

/// The packet of which these are the bytes, or the first of them.
fn frame_of(bytes: &[u8]) -> Option<Frame<'_>> {
    match split(bytes, MAX_PACKET_SIZE) {
        Ok(Split::Frame(frame)) => Some(frame),
        // Only the beginning of a long one was kept.
        Ok(Split::Partial { .. }) => Some(Frame {
            packet_type: PacketType::from_first_byte(*bytes.first()?).ok()?,
            first: *bytes.first()?,
            body: bytes.get(header_len(bytes)..)?,
            len: bytes.len(),
            bytes,
        }),
        Err(_) => None,
    }
}

/// Bytes of the fixed header.
fn header_len(bytes: &[u8]) -> usize {
    let digits = bytes.iter().skip(1).take_while(|&&byte| byte >= 0x80);
    2 + digits.count().min(3)
}

impl Entry {
    fn seen<'a>(&'a self, frame: Option<&'a Frame<'a>>) -> Seen<'a> {
        let glance = frame.map(|frame| Glance::at(frame, self.version));
        let glance = glance.unwrap_or_default();
        let direction = match &self.what {
            Kept::Packet { direction, .. } => *direction,
            Kept::Event(_) => Direction::In,
        };
        Seen {
            packet_type: frame.map_or(PacketType::Auth, |frame| frame.packet_type),
            direction,
            client: self.client.as_deref(),
            topic: glance.topic,
            first: frame.map_or(0, |frame| frame.first),
            packet_id: glance.packet_id,
            reason: glance.reason,
            listener: self.listener,
            packet: frame.map(|frame| (frame, self.version)),
        }
    }

    fn row(&self, calendar: &Calendar) -> JournalRow {
        let what = match &self.what {
            Kept::Event(what) => RowKind::Event {
                name: what.name,
                text: what.text.clone(),
                end: what.end.clone(),
                tls: what.tls.clone().map(Box::new),
                failure: what.failure.clone().map(Box::new),
            },
            Kept::Packet {
                direction,
                bytes,
                len,
                deed,
            } => RowKind::Packet(PacketRow {
                direction: *direction,
                packet_type: frame_of(bytes).map(|frame| frame.packet_type),
                bytes: bytes.clone(),
                len: *len,
                version: self.version,
                answers: self.answers.filter(|row| *row > 0),
                caused_by: Some(self.caused_by).filter(|row| *row > 0),
                rule: deed
                    .as_ref()
                    .and_then(|deed| deed.rule.as_deref().map(str::to_owned)),
                deed: deed.as_ref().map(|deed| deed.name),
                is_on_wire: deed.as_ref().is_none_or(|deed| deed.is_on_wire),
            }),
        };
        JournalRow {
            number: self.number,
            at: calendar.date(self.at),
            connection: self.connection,
            listener: self.listener,
            peer: self.peer.to_string(),
            client: self.client.as_deref().map(str::to_owned),
            what,
        }
    }
}

/// A row of the journal.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JournalRow {
    /// Its number, from 1 on, in the order in which things happened.
    pub number: u64,
    /// When, by the broker's clock.
    pub at: SystemTime,
    /// Tells the connection from all others.
    pub connection: u64,
    /// The listener that the client came by.
    pub listener: &'static str,
    /// Where the client is.
    pub peer: String,
    /// Its Client Identifier, as far as it is known.
    pub client: Option<String>,
    /// What happened.
    pub what: RowKind,
}

impl JournalRow {
    /// The fields of its packet; `None` for an event, and where the packet cannot be read or only its beginning was
    /// kept.
    #[must_use]
    pub fn packet(&self) -> Option<PacketFields> {
        match &self.what {
            RowKind::Packet(row) => row.packet(),
            RowKind::Event { .. } => None,
        }
    }

    /// The name of its event, such as `connected`; `None` for a packet.
    #[must_use]
    pub fn event(&self) -> Option<&'static str> {
        match &self.what {
            RowKind::Packet(_) => None,
            RowKind::Event { name, .. } => Some(name),
        }
    }
}

/// What a row tells of.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RowKind {
    /// A packet.
    Packet(PacketRow),
    /// Something that happened to the connection.
    #[non_exhaustive]
    Event {
        /// `connected`, `disconnected`, `refused`, `subscribed`, `unsubscribed`, `handshake_failed`,
        /// `closed_before_connect`.
        name: &'static str,
        /// The same in words, with its cause.
        text: String,
        /// Of `disconnected`, `refused` and `closed_before_connect`: who ended the connection, and why.
        end: Option<RowEnd>,
        /// What is known of its TLS, but for `disconnected`, `subscribed` and `unsubscribed`. `None` without TLS.
        tls: Option<Box<TlsInfo>>,
        /// Of `handshake_failed`: why there was no TLS.
        failure: Option<Box<HandshakeFailure>>,
    },
}

/// Who ended a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowEnd {
    /// `client`, `library` (the program that the broker runs in), `network` (nobody said so), `broker`,
    /// `operator` or `policy`.
    pub by: &'static str,
    /// `disconnect`, `lost`, `taken_over`, `kicked`, `keep_alive_timeout`, `packet_rule` and others, as
    /// `last_end.cause` over HTTP. Of `refused` it is `refused` where a CONNECT was, else `timeout`, `no_connect`,
    /// `upgrade`, `protocol`, `no_place`, `outage` or `stopping`.
    pub cause: &'static str,
    /// The Reason Code of the DISCONNECT that ended it, from either side, or of the CONNACK that refused it.
    pub code: Option<u8>,
}

impl RowEnd {
    pub(crate) fn new(by: &'static str, cause: &'static str, code: Option<u8>) -> Self {
        Self { by, cause, code }
    }
}

/// A packet in the journal.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PacketRow {
    /// Which way it went.
    pub direction: Direction,
    /// What it is, if that can be told.
    pub packet_type: Option<PacketType>,
    /// Its bytes, 64 KiB at most.
    pub bytes: Bytes,
    /// How many there are in all.
    pub len: usize,
    /// The version in which it is.
    pub version: Version,
    /// The row of the packet that it answers.
    pub answers: Option<u64>,
    /// Of a PUBLISH to a client: the row of the one that brought the message.
    pub caused_by: Option<u64>,
    /// The rule that has acted on it.
    pub rule: Option<String>,
    /// What a rule did with it: the name of its action, `made` for a packet that the rule has made, and
    /// `released` for one that was held.
    pub deed: Option<&'static str>,
    /// Whether it was on the wire: a packet that a rule keeps from a client was not, nor was one that the
    /// broker alone got.
    pub is_on_wire: bool,
}

impl PacketRow {
    /// Its fields; `None` where it cannot be read, or only its beginning was kept.
    #[must_use]
    pub fn packet(&self) -> Option<PacketFields> {
        let Ok(Split::Frame(frame)) = split(&self.bytes, MAX_PACKET_SIZE) else {
            return None;
        };
        PacketFields::read(&frame, self.version).ok()
    }
}
