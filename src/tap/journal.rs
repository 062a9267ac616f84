//! The journal: what went over the connections lately, and what became of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::codec::{
    Frame, Glance, MAX_PACKET_SIZE, PacketFields, PacketType, Split, Version, split,
};
#[cfg(feature = "http")]
use crate::codec::{Part, layout};
use crate::time::Calendar;

use super::line::Line;
use super::messages::{Brought, Messages};
use super::rule::{Direction, Match, Seen};
use super::rules::Verdict;
use super::tls::{HandshakeFailure, TlsInfo};
use super::watch::Watch;

/// Bytes that are kept of a packet.
pub(super) const KEPT: usize = 64 * 1024;

/// Rows that are looked at under one lock hold.
pub(super) const SLICE: usize = 1024;

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
    pub(super) ring: Mutex<Ring>,
}

#[derive(Default)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    bounds: JournalBounds,
    pub(super) bytes: usize,
    /// The number of the row that was written last; the first one is 1.
    pub(super) last: u64,
    /// That of the last one that somebody wanted to be forgotten.
    pub(super) forgotten: u64,
    /// That of the last one before the journal was switched off the last time.
    last_before_off: u64,
    /// Who is shown each row.
    pub(super) watches: Vec<Arc<Watch>>,
    pub(super) messages: Messages,
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
    /// What it is about, where that is not in the packet: the topic of an alias, or of what is acknowledged.
    pub(super) topic: Option<Arc<str>>,
    /// The message that it brought, once that is published.
    pub(super) message: Option<Box<Brought>>,
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
            topic: None,
            message: None,
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
            topic: None,
            message: None,
        }
    }

    pub(super) fn set_publisher(&mut self, client: Option<&str>, topic: &str) {
        self.client = client.map(Arc::from);
        self.topic = Some(topic.into());
    }

    pub(super) fn set_deed(&mut self, new: Option<Deed>) {
        if let Kept::Packet { deed, .. } = &mut self.what {
            *deed = new;
        }
    }

    /// The last `len` bytes of its packet. `None` for an event, and where they are not kept.
    pub(super) fn packet_end(&self, len: usize) -> Option<&[u8]> {
        match &self.what {
            Kept::Packet {
                bytes, len: all, ..
            } => {
                let end = bytes.get(all.checked_sub(len)?..)?;
                (end.len() == len).then_some(end)
            }
            Kept::Event(_) => None,
        }
    }

    /// Whether it has no packet.
    pub(super) fn is_event(&self) -> bool {
        matches!(self.what, Kept::Event(_))
    }

    pub(super) fn size(&self) -> usize {
        let topic = self.topic.as_deref().map_or(0, str::len);
        let message = self.message.as_ref();
        ROW + topic
            + message.map_or(0, |message| message.size())
            + match &self.what {
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

    /// Has it written from now on, or no more. Whether it was otherwise before.
    pub(super) fn switch(&self, is_on: bool) -> bool {
        let wakers = {
            let mut ring = self.ring.lock();
            let was_on = self.is_on.swap(is_on, Ordering::Relaxed);
            if !was_on || is_on {
                return was_on != is_on;
            }
            ring.last_before_off = ring.last;
            ring.messages.tell_of_end();
            ring.tell_of_end()
        };
        wakers.into_iter().for_each(Waker::wake);
        true
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
        let (number, wakers) = self.ring.lock().push(entry);
        wakers.into_iter().for_each(Waker::wake);
        number
    }

    /// Forgets all rows; numbers go on. Returns how many there were.
    pub(super) fn clear(&self) -> usize {
        let entries = {
            let mut ring = self.ring.lock();
            ring.bytes = 0;
            ring.forgotten = ring.last;
            ring.messages.forget();
            std::mem::take(&mut ring.entries)
        };
        // They are dropped here, outside of the lock.
        entries.len()
    }

    pub(super) fn last(&self) -> u64 {
        self.ring.lock().last
    }

    /// Up to `limit` rows behind `since` that are as the query says, oldest first, and 4 MiB of packets at most.
    pub(super) fn rows(
        &self,
        query: &JournalQuery,
        since: u64,
        limit: usize,
        calendar: &Calendar,
    ) -> Vec<JournalRow> {
        let (mut found, mut bytes, mut at) = (Vec::new(), 0, since);
        loop {
            // Whoever writes a row waits for a part only.
            let ring = self.ring.lock();
            let from = ring.entries.partition_point(|entry| entry.number <= at);
            let mut part = ring.entries.iter().skip(from).take(SLICE).peekable();
            if part.peek().is_none() {
                return found;
            }
            for entry in part {
                if found.len() >= limit || bytes > ANSWER {
                    return found;
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

/// The last of the rows that a query finds.
#[cfg(feature = "http")]
pub(crate) struct Newest {
    /// Oldest first.
    pub(crate) rows: Vec<JournalRow>,
    /// How many it finds in all.
    pub(crate) matched: u64,
    /// Rows that made room before they were looked at, whatever they were.
    pub(crate) missed: u64,
    /// How far was looked.
    pub(crate) until: u64,
}

/// What came of a row.
#[cfg(feature = "http")]
pub(crate) struct Consequences {
    /// What answers it.
    pub(crate) answers: Vec<JournalRow>,
    /// The packets to clients that its message went out with, up to a number of them.
    pub(crate) deliveries: Vec<JournalRow>,
    /// How many there are in all.
    pub(crate) delivered: u64,
}

#[cfg(feature = "http")]
impl Journal {
    /// The last `limit` rows behind `since` that are as the query says, and 4 MiB of packets at most.
    pub(super) fn newest(
        &self,
        query: &JournalQuery,
        since: u64,
        limit: usize,
        calendar: &Calendar,
    ) -> Newest {
        let (mut found, mut at) = (VecDeque::new(), since);
        let (mut matched, mut missed) = (0, 0);
        self.each_behind(since, |entry| {
            missed += entry.number - at - 1;
            at = entry.number;
            if query.is_met(entry) {
                matched += 1;
                found.push_back(entry.number);
                if found.len() > limit {
                    found.pop_front();
                }
            }
        });
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let ring = self.ring.lock();
        for number in found.iter().rev() {
            if let Some(entry) = ring.find(*number)
                && bytes <= ANSWER
            {
                bytes += entry.size();
                rows.push(entry.row(calendar));
            }
        }
        drop(ring);
        rows.reverse();
        Newest {
            rows,
            matched,
            missed,
            until: at,
        }
    }

    /// The row of this number, if it is kept.
    pub(super) fn row(&self, number: u64, calendar: &Calendar) -> Option<JournalRow> {
        let ring = self.ring.lock();
        ring.find(number).map(|entry| entry.row(calendar))
    }

    /// What came of a row: up to `limit` rows of each kind.
    pub(super) fn consequences(
        &self,
        number: u64,
        limit: usize,
        calendar: &Calendar,
    ) -> Consequences {
        let mut found = Consequences {
            answers: Vec::new(),
            deliveries: Vec::new(),
            delivered: 0,
        };
        self.each_behind(number, |entry| {
            if entry.answers == Some(number) && found.answers.len() < limit {
                found.answers.push(entry.row(calendar));
            }
            if entry.caused_by == number {
                found.delivered += 1;
                if found.deliveries.len() < limit {
                    found.deliveries.push(entry.row(calendar));
                }
            }
        });
        found
    }

    /// Looks at all rows behind `since` that there are, a part at a time, so that whoever writes one waits for a part
    /// only.
    fn each_behind(&self, since: u64, mut look: impl FnMut(&Entry)) {
        let (mut at, until) = (since, self.last());
        while at < until {
            let ring = self.ring.lock();
            let from = ring.entries.partition_point(|entry| entry.number <= at);
            let before = at;
            for entry in ring.entries.iter().skip(from).take(SLICE) {
                at = entry.number;
                look(entry);
            }
            if at == before {
                return;
            }
        }
    }
}

impl Ring {
    fn place(&self, number: u64) -> Option<usize> {
        let number_of = |entry: &Entry| entry.number;
        (self.entries.binary_search_by_key(&number, number_of)).ok()
    }

    pub(super) fn find(&self, number: u64) -> Option<&Entry> {
        self.entries.get(self.place(number)?)
    }

    pub(super) fn find_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let place = self.place(number)?;
        self.entries.get_mut(place)
    }

    /// Writes a row. Returns its number, and who is to be woken.
    fn push(&mut self, mut entry: Entry) -> (u64, Vec<Waker>) {
        self.last += 1;
        entry.number = self.last;
        let wakers = self.show(&entry);
        self.bytes += entry.size();
        self.entries.push_back(entry);
        self.make_room();
        (self.last, wakers)
    }

    /// The rows behind `since` that are kept, and how many of them have made room. What was to be forgotten is no part
    /// of this.
    pub(super) fn behind(&self, since: u64) -> (u64, impl Iterator<Item = &Entry>) {
        let since = since.max(self.forgotten);
        let from = self.entries.partition_point(|entry| entry.number <= since);
        let first = self.entries.get(from).map_or(self.last + 1, Entry::number);
        // `since` may be a number that there is not yet.
        let lost = first.saturating_sub(since.saturating_add(1));
        (lost, self.entries.iter().skip(from))
    }

    /// Whether rows behind `since` are missing because the journal was off.
    pub(super) fn was_off_behind(&self, since: u64) -> bool {
        since.max(self.forgotten) < self.last_before_off
    }

    pub(super) fn make_room(&mut self) {
        while self.entries.len() > self.bounds.rows || self.bytes > self.bounds.bytes {
            match self.entries.pop_front() {
                Some(entry) => {
                    self.bytes -= entry.size();
                    let left = self.entries.front().map_or(entry.number + 1, Entry::number);
                    self.messages.lose(&entry, left);
                }
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
    /// The name of an event, such as `connected`, or `*` for all of them; packets are not meant then.
    pub event: Option<String>,
    /// The number of a connection.
    pub connection: Option<u64>,
    /// Of each of these lists, one has to be so besides.
    pub one_of: Vec<Vec<Self>>,
    /// None of these may be so.
    pub except: Vec<Self>,
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

    pub(super) fn is_met(&self, entry: &Entry) -> bool {
        let frame = match &entry.what {
            Kept::Packet { bytes, .. } => frame_of(bytes),
            Kept::Event(_) => None,
        };
        self.is_so(entry, frame.is_some(), &entry.seen(frame.as_ref()))
    }

    /// Whether it is so of a row of which this is seen.
    fn is_so(&self, entry: &Entry, is_frame: bool, seen: &Seen<'_>) -> bool {
        let is_so = |query: &Self| query.is_so(entry, is_frame, seen);
        self.is_alone_so(entry, is_frame, seen)
            && self.one_of.iter().all(|some| some.iter().any(is_so))
            && !self.except.iter().any(is_so)
    }

    /// The same without what is asked besides.
    fn is_alone_so(&self, entry: &Entry, is_frame: bool, seen: &Seen<'_>) -> bool {
        if self.connection.is_some_and(|own| own != entry.connection) {
            return false;
        }
        match &entry.what {
            Kept::Event(what) => {
                let event = self.event.as_deref();
                let is_named = event.is_none_or(|own| own == what.name || own == "*");
                is_named && self.matches.direction.is_none() && self.is_met_by_whom(entry, seen)
            }
            Kept::Packet { .. } if self.event.is_some() => false,
            Kept::Packet { .. } if is_frame => self.matches.is_met(seen),
            Kept::Packet { .. } => self.is_met_by_whom(entry, seen),
        }
    }

    /// Whether nothing of the packet is asked for but whose it is, which way it goes and, where that is known
    /// without it, what it is about; and that is so.
    fn is_met_by_whom(&self, entry: &Entry, seen: &Seen<'_>) -> bool {
        let topic = self.matches.topic.clone();
        let only_whom = Match {
            client: self.matches.client.clone(),
            listener: self.matches.listener.clone(),
            direction: self.matches.direction,
            topic: topic.filter(|_| entry.topic.is_some()),
            ..Match::default()
        };
        self.matches == only_whom && only_whom.is_met(seen)
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
            topic: glance
                .topic
                .filter(|topic| !topic.is_empty())
                .or(self.topic.as_deref()),
            first: frame.map_or(0, |frame| frame.first),
            packet_id: glance.packet_id,
            reason: glance.reason,
            listener: self.listener,
            packet: frame.map(|frame| (frame, self.version)),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn row(&self, calendar: &Calendar) -> JournalRow {
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
            topic: self.topic.as_deref().map(str::to_owned),
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
    /// The topic that it is about, where that is not in the packet itself: of a PUBLISH with an alias, of what
    /// acknowledges one, and of the event `published`.
    pub topic: Option<String>,
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
        /// `closed_before_connect`, `published` (by the program that the broker runs in, or over HTTP).
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
    /// Of a PUBLISH to a client: the row of the one that brought the message, or of the event `published`.
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

    /// Where its fields are in its bytes.
    #[cfg(feature = "http")]
    pub(crate) fn layout(&self) -> Vec<Part> {
        layout(&self.bytes, self.len, self.version)
    }
}
