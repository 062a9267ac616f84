//! One connection as rules and the journal see it: what it carries in both directions, and what was done to
//! that.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;

use crate::codec::{
    Frame, Glance, MAX_PACKET_SIZE, PacketFields, PacketType, Split, Version, split,
};

use super::Tap;
use super::journal::{Deed, Entry};
use super::room::{Kept, Room, Store};
use super::rule::{Action, Changes, Direction, Injected, Seen, When};
use super::rules::Verdict;

/// Wakes the owner of a connection.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// One connection.
pub(crate) struct Line {
    /// Tells it from all others of the broker.
    pub(super) number: u64,
    pub(super) listener: &'static str,
    pub(super) peer: Arc<str>,
    pub(super) opened_at: Instant,
    /// Has its owner look at what is to be done.
    wake: Wake,
    state: Mutex<State>,
}

struct State {
    /// As far as it is known.
    client: Option<Arc<str>>,
    version: Version,
    /// By [`Direction`].
    ways: [Way; 2],
    ending: Option<Ending>,
    /// The broker's DISCONNECT, if it ends with one, and what the journal says of it.
    last_words: Option<(Vec<u8>, Deed)>,
    /// The rule for which nothing is read.
    deaf: Option<Deaf>,
    /// What is left of it concerns nobody: the broker was reset.
    is_over: bool,
    /// It has ended: nothing is held for it, and nothing arrives later.
    has_ended: bool,
    /// Rows and lengths of PUBLISH packets that arrive at the broker, until it asks for them.
    admitted: Vec<(u64, usize)>,
}

/// Nothing is read for as long as there is a rule.
struct Deaf {
    rule: u64,
    /// When its time is over.
    until: Option<Instant>,
}

/// What a connection carries in one direction.
#[derive(Default)]
struct Way {
    /// Packets that go on by themselves, past all rules.
    ready: VecDeque<Kept>,
    /// Packets that do so later.
    delayed: Vec<(Instant, Kept)>,
    /// One that goes behind the next.
    overtaken: Option<Kept>,
    /// Nothing goes this way any more.
    is_cut: bool,
    /// Topics for which an alias stands.
    aliases: HashMap<u16, (Arc<str>, Room)>,
    /// PUBLISH packets of this direction that are not acknowledged, by their identifiers.
    open: HashMap<u16, Exchange>,
}

struct Exchange {
    topic: Option<Arc<str>>,
    /// Its row in the journal.
    row: u64,
    #[expect(dead_code, reason = "it counts for as long as it is there")]
    room: Room,
}

/// Bytes that are counted for an exchange or an alias besides its topic.
const ENTRY: usize = 96;

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its bytes leave first, if there are any to leave.
    Close,
    /// By a reset. What has not left is lost.
    Reset,
    /// Only the broker's side.
    Half,
    /// By the broker, which says so with this reason where the version lets it.
    Disconnect(u8),
}

/// What the owner of a connection has to do for the tap.
#[derive(Default)]
pub(crate) struct Orders {
    /// Packets to handle as if they had been read.
    pub(crate) inbound: Vec<u8>,
    /// Packets to write.
    pub(crate) outbound: Vec<u8>,
    pub(crate) ending: Option<Ending>,
    /// When there is more to do.
    pub(crate) next: Option<Instant>,
    pub(crate) stops_reading: bool,
}

/// How far the input of a connection was looked at.
#[derive(Default)]
pub(crate) struct LookedAt {
    pub(crate) bytes: usize,
    /// The rest waits until the owner has done what there is to do, or for as long as nothing is read.
    pub(crate) waits: bool,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(
        number: u64,
        listener: &'static str,
        peer: String,
        opened_at: Instant,
        wake: Wake,
    ) -> Self {
        Self {
            number,
            listener,
            peer: peer.into(),
            opened_at,
            wake,
            state: Mutex::new(State {
                client: None,
                version: Version::V311,
                ways: [Way::default(), Way::default()],
                ending: None,
                last_words: None,
                deaf: None,
                is_over: false,
                has_ended: false,
                admitted: Vec::new(),
            }),
        }
    }

    /// Says who the client is and what it speaks.
    pub(crate) fn identify(&self, client_id: &str, version: Version) {
        let mut state = self.state.lock();
        if state.client.as_deref() != Some(client_id) {
            state.client = Some(client_id.into());
        }
        state.version = version;
    }

    pub(super) fn wake(&self) {
        (self.wake)();
    }

    /// The whole packets at the front of `bytes`, as rules let them arrive, appended to `out`. What was looked at
    /// ends before a packet that is not whole, or before one that has to wait; it is everything where what follows
    /// is none.
    pub(crate) fn receive(
        self: &Arc<Self>,
        tap: &Tap,
        bytes: &[u8],
        limit: u32,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> LookedAt {
        let mut at = 0;
        let looked_at = |bytes, waits| LookedAt { bytes, waits };
        loop {
            // What came in the same read is as late as what is read later.
            if self.state.lock().holds_back(now) {
                return looked_at(at, true);
            }
            let rest = bytes.get(at..).unwrap_or_default();
            match split(rest, limit) {
                Ok(Split::Frame(frame)) => {
                    at += frame.len;
                    self.pass(tap, Direction::In, &frame, 0, now, out);
                }
                Ok(Split::Partial { .. }) => return looked_at(at, false),
                // The broker refuses it in its own words.
                Err(_) => {
                    out.extend_from_slice(rest);
                    return looked_at(bytes.len(), false);
                }
            }
        }
    }

    /// Packets that were appended to `out` behind its first `before` bytes, as rules let them leave. `cause` is
    /// the row of the PUBLISH that brought the message, or 0.
    pub(crate) fn send(
        self: &Arc<Self>,
        tap: &Tap,
        out: &mut Vec<u8>,
        before: usize,
        cause: u64,
        now: Instant,
    ) {
        let bytes = out.split_off(before);
        let mut rest = bytes.as_slice();
        while let Ok(Split::Frame(frame)) = split(rest, MAX_PACKET_SIZE) {
            self.pass(tap, Direction::Out, &frame, cause, now, out);
            rest = rest.get(frame.len..).unwrap_or_default();
        }
        // The broker composes whole packets: there is nothing behind them.
        out.extend_from_slice(rest);
    }

    /// Writes rows for packets to a client of this process: no rule is for them.
    pub(crate) fn witness(&self, tap: &Tap, packets: &[u8], cause: u64, now: Instant) {
        let state = self.state.lock();
        let mut noter = self.noter(tap, now);
        noter.cause = cause;
        let mut rest = packets;
        while let Ok(Split::Frame(frame)) = split(rest, MAX_PACKET_SIZE) {
            noter.note(&state, Direction::Out, frame.bytes, None, |_| {});
            rest = rest.get(frame.len..).unwrap_or_default();
        }
    }

    /// Rows and lengths of the PUBLISH packets that went on to the broker since the last time, in their order.
    pub(crate) fn take_admitted(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut self.state.lock().admitted)
    }

    /// What the owner has to do. It is woken when there is something.
    pub(crate) fn take_orders(&self, tap: &Tap, now: Instant) -> Orders {
        let mut state = self.state.lock();
        let mut orders = Orders {
            ending: state.ending.take(),
            stops_reading: state.is_deaf(now),
            ..Orders::default()
        };
        orders.next = state.deaf.as_ref().and_then(|deaf| deaf.until);
        for direction in [Direction::In, Direction::Out] {
            let way = state.way(direction);
            way.ready_delayed(now);
            let bytes = match direction {
                Direction::In => &mut orders.inbound,
                Direction::Out => &mut orders.outbound,
            };
            let ready = std::mem::take(&mut way.ready);
            let next = way.delayed.iter().map(|(at, _)| *at).min();
            orders.next = orders.next.into_iter().chain(next).min();
            for Kept { bytes: packet, .. } in &ready {
                if !state.way(direction).is_cut {
                    state.note_arrival(direction, packet, &self.noter(tap, now));
                    bytes.extend_from_slice(packet);
                }
            }
        }
        if orders.ending == Some(Ending::Half) {
            // Nothing can be written any more.
            state.way(Direction::Out).is_cut = true;
        }
        if let Some((packet, deed)) = state.last_words.take() {
            let noter = self.noter(tap, now);
            noter.note(&state, Direction::Out, &packet, Some(deed), |_| {});
            orders.outbound.extend(packet);
        }
        orders
    }

    /// Adds a packet that goes on past all rules. Whether there is room for it.
    fn push(&self, tap: &Tap, direction: Direction, packet: &[u8]) -> bool {
        let kept = tap.store.keep(packet);
        let has_room = kept.is_some();
        if let Some(kept) = kept {
            self.release(direction, kept);
        }
        has_room
    }

    /// Adds one that was kept.
    pub(super) fn release(&self, direction: Direction, packet: Kept) {
        self.state.lock().way(direction).ready.push_back(packet);
        self.wake();
    }

    /// Has a packet arrive that nobody sent, past all rules. Whether there is room for it.
    pub(crate) fn inject(&self, tap: &Tap, direction: Direction, packet: &Injected) -> bool {
        let version = self.state.lock().version;
        let bytes = write(packet, version, None);
        bytes.is_some_and(|bytes| self.push(tap, direction, &bytes))
    }

    /// Everything that a rule has left here ends: what was to arrive later is lost.
    pub(super) fn forget(&self) {
        {
            let mut state = self.state.lock();
            // Who has had no CONNECT yet is none of those who were put out.
            state.is_over = state.client.is_some();
            state.deaf = None;
            for way in &mut state.ways {
                way.ready.clear();
                way.delayed.clear();
                way.overtaken = None;
            }
        }
        self.wake();
    }

    /// It ends: what was to arrive later is lost, and what is held from now on is lost at once.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        for way in &mut state.ways {
            way.delayed.clear();
        }
    }

    /// When each packet goes on that a rule delays, and whose connection this is, as far as it is known.
    pub(super) fn delayed(&self) -> (Option<Arc<str>>, Vec<Instant>) {
        let state = self.state.lock();
        let delayed = state.ways.iter().flat_map(|way| &way.delayed);
        (state.client.clone(), delayed.map(|(at, _)| *at).collect())
    }

    /// The rule is gone.
    pub(super) fn hear_again(&self, rule: Option<u64>) {
        let mut state = self.state.lock();
        let is_by = |deaf: &Deaf| rule.is_none_or(|rule| rule == deaf.rule);
        if state.deaf.as_ref().is_some_and(is_by) {
            state.deaf = None;
            drop(state);
            self.wake();
        }
    }

    fn noter<'a>(&'a self, tap: &'a Tap, now: Instant) -> Noter<'a> {
        Noter {
            line: self,
            tap,
            now,
            cause: 0,
            row: 0,
        }
    }

    /// Has one packet judged, and appends what arrives in its place.
    fn pass(
        self: &Arc<Self>,
        tap: &Tap,
        direction: Direction,
        frame: &Frame<'_>,
        cause: u64,
        now: Instant,
        out: &mut Vec<u8>,
    ) {
        let mut state = self.state.lock();
        if state.way(direction).is_cut {
            return;
        }
        if state.is_over {
            return out.extend_from_slice(frame.bytes);
        }
        let glance = state.look(direction, frame);
        let topic = state.topic_of(direction, frame.packet_type, &glance);
        let client = state.client.clone();
        let seen = Seen {
            packet_type: frame.packet_type,
            direction,
            client: client.as_deref(),
            topic: topic.as_deref(),
            first: frame.first,
            packet_id: glance.packet_id,
            reason: glance.reason,
            listener: self.listener,
            packet: Some((frame, state.version)),
        };
        let verdict = tap.judge(&seen, now);
        let mut noter = self.noter(tap, now);
        noter.cause = cause;
        if let Some(verdict) = &verdict
            && let Action::Inject {
                packet,
                before: true,
            } = &*verdict.action
        {
            // It goes first, and so does its row.
            let injected = write(packet, state.version, None).unwrap_or_default();
            state.arrive_changed(direction, &injected, verdict, &noter, out);
        }
        let deed = verdict.as_ref().map(|verdict| Deed::of(verdict, direction));
        let row = noter.note(&state, direction, frame.bytes, deed, |entry| {
            entry.answers = state.answered(direction, frame.packet_type, glance.packet_id);
            if glance.topic.is_none_or(str::is_empty) {
                entry.topic.clone_from(&topic);
            }
        });
        if tap.prints.load(Ordering::Relaxed) {
            log(&seen, &glance, frame.len, verdict.as_ref());
        }
        state.keep_book(&tap.store, direction, frame, &glance, topic, row);
        match verdict {
            None => state.arrive(direction, frame.bytes, row, &noter, out),
            Some(verdict) => {
                noter.row = row;
                self.carry_out(&mut state, &verdict, direction, frame, &noter, out);
            }
        }
        let wakes = state.ending.is_some()
            || state.deaf.is_some()
            || state.ways.iter().any(Way::is_pending);
        drop(state);
        if wakes {
            self.wake();
        }
    }

    fn carry_out(
        self: &Arc<Self>,
        state: &mut State,
        verdict: &Verdict,
        direction: Direction,
        frame: &Frame<'_>,
        noter: &Noter<'_>,
        out: &mut Vec<u8>,
    ) {
        let (bytes, tap) = (frame.bytes, noter.tap);
        match &*verdict.action {
            Action::Drop => {}
            Action::Hold if state.has_ended => {}
            Action::Delay(time) if state.has_ended && !time.is_zero() => {}
            Action::Hold => {
                let whose = (state.client.clone(), state.version);
                tap.hold(self, direction, bytes, whose, verdict);
            }
            Action::Delay(time) if time.is_zero() => {
                let row = noter.note_let_go(state, direction, bytes);
                state.arrive(direction, bytes, row, noter, out);
            }
            Action::Delay(time) => {
                if let Some(kept) = tap.store.keep(bytes) {
                    let at = noter.now + *time;
                    state.way(direction).delayed.push((at, kept));
                }
            }
            Action::Duplicate => {
                state.arrive(direction, bytes, noter.row, noter, out);
                state.arrive_changed(direction, bytes, verdict, noter, out);
            }
            Action::Reorder => {
                let kept = match &state.way(direction).overtaken {
                    Some(_) => None,
                    None => tap.store.keep(bytes),
                };
                match kept {
                    Some(kept) => state.way(direction).overtaken = Some(kept),
                    // One at a time is overtaken: this one goes on, and a row has to say so.
                    None => {
                        let row = noter.note_let_go(state, direction, bytes);
                        state.arrive(direction, bytes, row, noter, out);
                    }
                }
            }
            Action::Corrupt { offset, bits } => {
                let mut changed = bytes.to_vec();
                let at = (*offset).min(changed.len().saturating_sub(1));
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= *bits;
                }
                state.arrive_changed(direction, &changed, verdict, noter, out);
            }
            Action::Truncate(len) => {
                let rest = bytes.get(..*len).unwrap_or(bytes);
                state.arrive_changed(direction, rest, verdict, noter, out);
            }
            Action::Replace(changes) => {
                let changed = replaced(frame, changes, state.version);
                let changed = changed.as_deref().unwrap_or(bytes);
                state.arrive_changed(direction, changed, verdict, noter, out);
            }
            // What goes before it has gone.
            Action::Inject { before: true, .. } => {
                state.arrive(direction, bytes, noter.row, noter, out)
            }
            Action::Inject { packet, .. } => {
                let injected = write(packet, state.version, None).unwrap_or_default();
                state.arrive(direction, bytes, noter.row, noter, out);
                state.arrive_changed(direction, &injected, verdict, noter, out);
            }
            Action::Answer(packet) => {
                let answer = answer_to(frame, packet, state.version);
                if let Some(kept) = answer.and_then(|answer| tap.store.keep(&answer)) {
                    state.way(Direction::Out).ready.push_back(kept);
                }
            }
            Action::Close(when) => state.end(Ending::Close, *when, direction, bytes, noter, out),
            Action::Reset(when) => state.end(Ending::Reset, *when, direction, bytes, noter, out),
            Action::Disconnect(own) => {
                if own.when == When::After {
                    state.arrive(direction, bytes, noter.row, noter, out);
                }
                // What it had sent before arrives.
                state.way(Direction::In).is_cut = true;
                state.way(Direction::Out).is_cut |= direction == Direction::Out;
                state.ending = Some(Ending::Disconnect(own.reason));
                let packet = own.bytes(state.version);
                state.last_words =
                    packet.map(|packet| (packet, Deed::made(verdict, Direction::Out)));
            }
            Action::HalfClose(when) => state.end(Ending::Half, *when, direction, bytes, noter, out),
            Action::StopReading => {
                state.arrive(direction, bytes, noter.row, noter, out);
                state.deaf = Some(Deaf {
                    rule: verdict.rule,
                    until: verdict.until,
                });
            }
        }
    }
}

impl Way {
    fn is_pending(&self) -> bool {
        !self.ready.is_empty() || !self.delayed.is_empty()
    }

    /// What was to arrive later and is due goes on, in the order in which it was due.
    fn ready_delayed(&mut self, now: Instant) {
        self.delayed.sort_by_key(|(at, _)| *at);
        let due = self.delayed.partition_point(|(at, _)| *at <= now);
        self.ready
            .extend(self.delayed.drain(..due).map(|(_, packet)| packet));
    }
}

impl State {
    fn way(&mut self, direction: Direction) -> &mut Way {
        let [inbound, outbound] = &mut self.ways;
        match direction {
            Direction::In => inbound,
            Direction::Out => outbound,
        }
    }

    /// Whether nothing is read.
    fn is_deaf(&mut self, now: Instant) -> bool {
        let is_over = |deaf: &mut Deaf| deaf.until.is_some_and(|until| until <= now);
        self.deaf.take_if(is_over);
        self.deaf.is_some()
    }

    /// Whether what the client sends is not to be looked at now: nothing is read, or an answer goes first, before the
    /// broker answers what came behind.
    fn holds_back(&mut self, now: Instant) -> bool {
        self.is_deaf(now) || !self.way(Direction::Out).ready.is_empty()
    }

    /// Reads what matters of a packet, and who the client is if this one says so.
    fn look<'a>(&mut self, direction: Direction, frame: &Frame<'a>) -> Glance<'a> {
        let glance = Glance::at(frame, self.version);
        if let Some((client_id, level)) = glance.client
            && direction == Direction::In
        {
            self.client = Some(client_id.into());
            self.version = Version::of_answer_to(level);
        }
        glance
    }

    /// The topic of a PUBLISH, or of the one that the packet acknowledges.
    fn topic_of(
        &mut self,
        direction: Direction,
        packet_type: PacketType,
        glance: &Glance<'_>,
    ) -> Option<Arc<str>> {
        match (packet_type, glance.topic) {
            (PacketType::Publish, Some("")) => {
                let alias = glance.topic_alias?;
                let known = self.way(direction).aliases.get(&alias);
                known.map(|(topic, _)| topic.clone())
            }
            (PacketType::Publish, topic) => topic.map(Arc::from),
            _ => {
                let open = self.open(direction, packet_type, glance.packet_id);
                open.and_then(|exchange| exchange.topic.clone())
            }
        }
    }

    /// The exchange to which an acknowledgement belongs.
    fn open(
        &mut self,
        direction: Direction,
        packet_type: PacketType,
        packet_id: Option<u16>,
    ) -> Option<&mut Exchange> {
        let of = match (packet_type, direction) {
            (PacketType::Puback | PacketType::Pubrec | PacketType::Pubcomp, Direction::In)
            | (PacketType::Pubrel, Direction::Out) => Direction::Out,
            (PacketType::Puback | PacketType::Pubrec | PacketType::Pubcomp, Direction::Out)
            | (PacketType::Pubrel, Direction::In) => Direction::In,
            _ => return None,
        };
        self.way(of).open.get_mut(&packet_id?)
    }

    /// The row of what a packet answers.
    fn answered(
        &self,
        direction: Direction,
        packet_type: PacketType,
        packet_id: Option<u16>,
    ) -> Option<u64> {
        let of = match (packet_type, direction) {
            (PacketType::Puback | PacketType::Pubrec | PacketType::Pubcomp, Direction::In)
            | (PacketType::Pubrel, Direction::Out) => 1,
            (PacketType::Puback | PacketType::Pubrec | PacketType::Pubcomp, Direction::Out)
            | (PacketType::Pubrel | PacketType::Suback | PacketType::Unsuback, _) => 0,
            _ => return None,
        };
        let open = &self.ways.get(of)?.open;
        open.get(&packet_id?).map(|exchange| exchange.row)
    }

    /// Remembers what later packets refer to, as far as there is room.
    fn keep_book(
        &mut self,
        store: &Store,
        direction: Direction,
        frame: &Frame<'_>,
        glance: &Glance<'_>,
        topic: Option<Arc<str>>,
        row: u64,
    ) {
        let other = match direction {
            Direction::In => Direction::Out,
            Direction::Out => Direction::In,
        };
        let room = || store.room(ENTRY + topic.as_deref().map_or(0, str::len));
        if let (Some(alias), Some(topic)) = (glance.topic_alias, &topic)
            && let Some(room) = room()
        {
            let aliases = &mut self.way(direction).aliases;
            aliases.insert(alias, (topic.clone(), room));
        }
        let Some(id) = glance.packet_id else {
            return;
        };
        let fails = glance.reason.is_some_and(|reason| reason >= 0x80);
        match frame.packet_type {
            PacketType::Publish | PacketType::Subscribe | PacketType::Unsubscribe => {
                if let Some(room) = room() {
                    let exchange = Exchange { topic, row, room };
                    self.way(direction).open.insert(id, exchange);
                }
            }
            PacketType::Pubrec if !fails => {}
            PacketType::Puback
            | PacketType::Pubrec
            | PacketType::Pubcomp
            | PacketType::Suback
            | PacketType::Unsuback => {
                self.way(other).open.remove(&id);
            }
            _ => {}
        }
    }

    /// A packet goes on, and behind it the one that it has overtaken.
    fn arrive(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        row: u64,
        noter: &Noter<'_>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(bytes);
        self.admit(direction, bytes, row);
        if let Some(Kept { bytes, .. }) = self.way(direction).overtaken.take() {
            self.note_arrival(direction, &bytes, noter);
            out.extend_from_slice(&bytes);
        }
    }

    /// Remembers the row of a PUBLISH for the messages that come of it.
    fn admit(&mut self, direction: Direction, bytes: &[u8], row: u64) {
        let is_publish = bytes.first().is_some_and(|first| first >> 4 == 3);
        if direction == Direction::In && row > 0 && is_publish {
            self.admitted.push((row, bytes.len()));
        }
    }

    fn arrive_changed(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        verdict: &Verdict,
        noter: &Noter<'_>,
        out: &mut Vec<u8>,
    ) {
        let row = noter.note_made(self, direction, bytes, verdict);
        self.arrive(direction, bytes, row, noter, out);
    }

    fn note_arrival(&mut self, direction: Direction, bytes: &[u8], noter: &Noter<'_>) {
        let row = noter.note_let_go(self, direction, bytes);
        self.admit(direction, bytes, row);
    }

    fn end(
        &mut self,
        ending: Ending,
        when: When,
        direction: Direction,
        bytes: &[u8],
        noter: &Noter<'_>,
        out: &mut Vec<u8>,
    ) {
        if when == When::After {
            self.arrive(direction, bytes, noter.row, noter, out);
        }
        self.way(Direction::Out).is_cut = when == When::Before || direction == Direction::Out;
        self.way(Direction::In).is_cut = ending != Ending::Half;
        self.ending = Some(ending);
    }
}

/// Writes rows of one connection.
struct Noter<'a> {
    line: &'a Line,
    tap: &'a Tap,
    now: Instant,
    /// The row of the PUBLISH that brought the message.
    cause: u64,
    /// The row of the packet that is looked at.
    row: u64,
}

impl Noter<'_> {
    /// Writes a row, if there is a journal; its number, else 0.
    fn note(
        &self,
        state: &State,
        direction: Direction,
        bytes: &[u8],
        deed: Option<Deed>,
        fill: impl FnOnce(&mut Entry),
    ) -> u64 {
        self.tap.journal.note(self.now, || {
            let mut entry = Entry::packet(
                self.line,
                state.client.clone(),
                state.version,
                direction,
                bytes,
            );
            entry.set_deed(deed);
            entry.caused_by = self.cause;
            fill(&mut entry);
            entry
        })
    }

    /// Writes a row for a packet that goes on after all.
    fn note_let_go(&self, state: &State, direction: Direction, bytes: &[u8]) -> u64 {
        let deed = Deed::released(direction);
        self.note(state, direction, bytes, Some(deed), |_| {})
    }

    /// Writes a row for a packet that a rule has made.
    fn note_made(
        &self,
        state: &State,
        direction: Direction,
        bytes: &[u8],
        verdict: &Verdict,
    ) -> u64 {
        let deed = Deed::made(verdict, direction);
        self.note(state, direction, bytes, Some(deed), |_| {})
    }
}

/// A line for a packet. It says nothing of what is in a payload.
#[cold]
fn log(seen: &Seen<'_>, glance: &Glance<'_>, bytes: usize, verdict: Option<&Verdict>) {
    let is_publish = seen.packet_type == PacketType::Publish;
    tracing::info!(
        target: "roundel::packets",
        client_id = seen.client,
        direction = seen.direction.name(),
        topic = seen.topic.filter(|_| is_publish),
        qos = is_publish.then_some(seen.first >> 1 & 3),
        dup = (is_publish && seen.first & 8 > 0).then_some(true),
        retain = (is_publish && seen.first & 1 > 0).then_some(true),
        packet_id = glance.packet_id,
        reason = glance.reason,
        bytes,
        rule = verdict.map(|verdict| &*verdict.name),
        r#do = verdict.map(|verdict| verdict.action.name()),
        "{}",
        seen.packet_type
    );
}

/// The packet with other fields; `None` if it cannot be read, or is a CONNECT.
fn replaced(frame: &Frame<'_>, changes: &Changes, version: Version) -> Option<Vec<u8>> {
    let mut packet = PacketFields::read(frame, version).ok()?;
    changes.apply(&mut packet);
    packet.write(version)
}

/// The bytes of an answer to a packet. What it leaves out is as the packet has it: the identifier, and one Reason Code is
/// given for each filter.
fn answer_to(frame: &Frame<'_>, answer: &Injected, version: Version) -> Option<Vec<u8>> {
    let id = Glance::at(frame, version).packet_id;
    if let Injected::Fields(fields) = answer
        && let [reason] = fields.reasons.as_slice()
        && let Ok(asked) = PacketFields::read(frame, version)
        && asked.filters.len() > 1
    {
        let mut fields = fields.clone();
        fields.reasons = vec![*reason; asked.filters.len()];
        return write(&Injected::Fields(fields), version, id);
    }
    write(answer, version, id)
}

/// The bytes of a packet that nobody sent.
fn write(packet: &Injected, version: Version, packet_id: Option<u16>) -> Option<Vec<u8>> {
    match packet {
        Injected::Bytes(bytes) => Some(bytes.to_vec()),
        Injected::Fields(fields) if fields.packet_id.is_none() && packet_id.is_some() => {
            let mut fields = PacketFields::clone(fields);
            fields.packet_id = packet_id;
            fields.write(version)
        }
        Injected::Fields(fields) => fields.write(version),
    }
}
