//! What a task does with its connection: reads, lets the broker handle what was read, sees to signals
//! and room in the socket, writes what came of it, and says farewell.
//!
//! The machine knows no socket, no task and no clock. TCP, TLS and WebSocket, the simulation and the
//! fuzz target drive it alike: each hands it an [`Io`] and calls [`Turn::run`] until it says
//! [`Next::Done`]. All it waits for (packets, room, a pause, an answer, a session that another
//! connection still has) it waits for here, and a signal is heard in each of these states.
//!
//! ```text
//!            ┌── Open: input → signals → room → outboxes ──┐
//!   new ────►│   reading may be held back: unsent answers, │──► Leaving: last bytes ──► Draining ──► Done
//!            │   requests, a pause, an answer, a takeover  │
//!            └─────────────────────────────────────────────┘
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::Source;
use crate::broker::{
    Broker, ConnectionFacts, Context, Dirty, Farewell, Link, Outcome, OutputState, STEPS_PER_TURN,
};
use crate::budget::Full;
use crate::codec::ReasonCode;
use crate::message::cause::Cause;
use crate::protocol::violation::Violation;
use crate::time::{Moment, Stamp};

use super::input::{Bytes, LargePacket, Pending, Space};
use super::machine::{Connection, Flow, Inquiry, Received, Verdict};
use super::tapping::Tapped;

#[cfg(any(test, fuzzing))]
use crate::broker::Session;

/// Bytes that one turn reads, at most and in a short turn.
pub(crate) const READ_SIZE: usize = 256 * 1024;
const LEAST_READ: usize = 32 * 1024;

/// What a pass costs for its system calls, in steps.
const PASS_STEPS: usize = 64;

/// Bytes read that count as one step.
const BYTES_PER_STEP: usize = READ_SIZE / STEPS_PER_TURN;

/// Bytes that are read while something is asked for a client. Whoever sent so much is not heard closing, until
/// the answer.
const READ_AHEAD: usize = 4 * 1024;

/// How long a packet may find no room before it is refused, and when to look again meanwhile.
const STARVE_LIMIT: Duration = Duration::from_secs(5);
const STARVE_PAUSE: Duration = Duration::from_millis(50);

/// A session goes to another connection once nothing has come for so long: what a client sent before
/// may lie in its own socket, and reaches this one as it is read. It goes at the latest when reading
/// has gone on for the longer time, which begins with the first turn that knows of the other one.
pub(crate) const QUIET: Duration = Duration::from_millis(2);
const HANDOVER_LIMIT: Duration = Duration::from_millis(100);

/// For everything that is left to write at the end.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);

/// For the client to close its side, and what it may still send meanwhile. A close under unread input
/// would reset the connection, and the client would lose what it has not read.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
const DRAIN_BYTES: usize = 1 << 20;

/// What came of reading.
#[derive(Debug)]
pub(crate) enum Input {
    /// So many bytes, maybe none, where the transport's own are between them. All of it cost as much as
    /// reading `cost` bytes.
    Bytes { count: usize, cost: usize },
    /// Nothing for now; whoever drives the turn is told when there is more.
    Nothing,
    /// The stream has ended, for this reason.
    Closed(Cause),
    /// The transport's own rules were broken.
    #[cfg(feature = "websocket")]
    Refused(Violation),
}

impl Input {
    /// So many bytes and nothing else.
    pub(crate) fn plain(count: usize) -> Self {
        Self::Bytes { count, cost: count }
    }
}

/// The connection as its owner has it.
pub(crate) trait Io {
    /// Whether the link was woken since the last call.
    fn take_signal(&mut self) -> bool;

    /// Reads into `buf`, which is not empty.
    fn read(&mut self, buf: &mut [u8]) -> Input;

    /// Whether bytes, or the end of the stream, have arrived that were not read, also if nobody has told
    /// [`read`](Self::read) of them yet.
    fn has_input(&self) -> bool;

    /// Whether the socket takes bytes again and the link holds none back, after it was full.
    fn has_room(&mut self) -> bool;

    /// Ends the outbound direction, so that the client reads to the end of what was sent.
    fn shut_down(&mut self);

    /// The same where the client may go on and is heard: nobody waits for its own last words.
    fn half_close(&mut self) {
        self.shut_down();
    }

    /// Has the end of the connection be a reset.
    fn reset(&mut self);
}

/// How to go on after a turn.
#[derive(Debug)]
pub(crate) enum Next {
    /// When the link is woken, bytes arrive, or the socket has room again.
    Wait,
    /// At once.
    Go,
    /// Once others had their turn.
    Yield,
    /// Answer this, beside other turns, and call [`Turn::answered`].
    Ask(Inquiry),
    /// The connection is over.
    Done,
}

/// What a pass consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What has arrived, as far as reading is allowed.
    Input,
    /// The session left or is wanted, a timer fired, a writer cannot go on.
    Signals,
    /// The socket takes bytes again.
    Room,
    /// Outboxes that became dirty.
    Writes,
    /// The end of a connection.
    Farewell,
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [
        Self::Input,
        Self::Signals,
        Self::Room,
        Self::Writes,
        Self::Farewell,
    ];
}

/// A connection and how far it is.
pub(crate) struct Turn {
    pub(super) connection: Connection,
    pub(super) dirty: Dirty,
    /// Bytes that were read and not handled.
    pub(super) pending: Pending,
    /// What is boxed here, an idle connection has none of.
    pub(super) seldom: Option<Box<Seldom>>,
    /// The signal was set and is to be seen to.
    woken: bool,
    /// Reading waits until unsent answers have left.
    stalled: bool,
    /// Reading waits until fewer requests are unanswered.
    held: bool,
    /// What is read waits for an answer.
    asking: bool,
    /// When bytes came last.
    heard_at: Stamp,
    /// The outbound side failed: what is left is read, then the connection ends.
    broken: bool,
    /// Reading was held back, which does not count against the client.
    deaf: bool,
    /// What packet rules have left to do.
    pub(super) tapped: Tapped,
    /// How the pass went so far.
    pass: Pass,
    /// Reading was allowed in this pass.
    reads: bool,
    /// Steps since others had their turn last.
    spent: u32,
    /// Sockets that one turn writes to, at most.
    #[cfg(test)]
    writes: usize,
    /// Bytes of packets that were handled, in all.
    #[cfg(test)]
    handled: usize,
}

/// What there is now and then, most of which holds reading back.
#[derive(Default)]
pub(super) struct Seldom {
    /// How far it is; `None` while it is open.
    ending: Option<Box<Ending>>,
    /// When the signal was seen to last, until timers are settled.
    seen_to_at: Option<Moment>,
    /// The socket was full; since when.
    full_since: Option<Stamp>,
    /// Packets that go on, past all rules.
    pub(super) released: Vec<u8>,
    /// There is no room for the packet that is arriving.
    starved: Option<Starved>,
    /// Reading waits until then (AWS-LIM-11).
    paused_until: Option<Instant>,
    /// The stream ended while what is read waited for an answer, behind packets that wait.
    ended: Option<Cause>,
    /// Another connection wants the session: what had arrived is read first, whatever else would
    /// hold reading back. Since when that is known.
    handing_over: Option<Instant>,
    /// What is to be asked.
    inquiry: Option<Inquiry>,
}

impl Seldom {
    fn is_empty(&self) -> bool {
        self.ending.is_none()
            && self.seen_to_at.is_none()
            && self.full_since.is_none()
            && self.released.is_empty()
            && self.starved.is_none()
            && self.paused_until.is_none()
            && self.ended.is_none()
            && self.handing_over.is_none()
            && self.inquiry.is_none()
    }
}

/// Reading waits for memory.
struct Starved {
    since: Instant,
    /// When to look again.
    until: Instant,
}

/// How the end of a connection stands.
enum Ending {
    /// The last bytes leave.
    Leaving {
        farewell: Option<Farewell>,
        until: Instant,
    },
    /// The client reads them and closes.
    Draining {
        until: Instant,
        /// Bytes that came meanwhile.
        seen: usize,
    },
    Done,
}

/// What a part of a turn says about the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    /// There was nothing to do.
    Idle,
    /// There may be more.
    More,
    /// There is more, after others had their turn.
    Enough,
}

impl Turn {
    /// A connection that waits for CONNECT.
    pub(crate) fn new(
        broker: &Broker,
        link: Arc<dyn Link>,
        facts: ConnectionFacts,
        since: Instant,
    ) -> Self {
        Self {
            connection: Connection::new(broker, link, facts, since),
            dirty: Dirty::default(),
            pending: Pending::default(),
            seldom: None,
            woken: false,
            stalled: false,
            held: false,
            asking: false,
            heard_at: since.into(),
            broken: false,
            deaf: false,
            tapped: Tapped::default(),
            pass: Pass::Idle,
            reads: false,
            spent: 0,
            #[cfg(test)]
            writes: usize::MAX,
            #[cfg(test)]
            handled: 0,
        }
    }

    /// One pass of a turn. `scratch` has [`READ_SIZE`] bytes that belong to nobody in between.
    pub(crate) fn run(
        &mut self,
        broker: &Broker,
        clock: impl FnOnce() -> Moment,
        scratch: &mut [u8],
        io: &mut impl Io,
    ) -> Next {
        self.look_for_signal(io);
        // Not before that: by this time, a timer whose signal was found is due.
        let now = clock();
        for part in Part::ALL {
            self.carry_out(part, broker, now, scratch, io);
        }
        self.next(broker, now)
    }

    /// Looks whether the signal was set.
    pub(crate) fn look_for_signal(&mut self, io: &mut impl Io) {
        self.woken |= io.take_signal();
    }

    /// Others had their turn. This one is over after `share` steps, [`STEPS_PER_TURN`] at most.
    pub(crate) fn begin(&mut self, share: usize) {
        self.spent = 0;
        self.dirty.set_share(share);
    }

    /// One part of a pass; they come in the order of [`Part::ALL`].
    pub(crate) fn carry_out(
        &mut self,
        part: Part,
        broker: &Broker,
        now: impl Into<Moment>,
        scratch: &mut [u8],
        io: &mut impl Io,
    ) {
        let moment = now.into();
        let context = &broker.context(moment);
        let now = context.live;
        match part {
            Part::Input => {
                self.dirty.begin_turn();
                self.pass = Pass::Idle;
                self.reads = self.may_read(now);
                if self.connection.is_publishing() {
                    // What was read already waits for nothing that holds reading back.
                    self.pass = self.finish_publishes(broker, context);
                } else if self.reads {
                    if std::mem::take(&mut self.deaf) {
                        self.connection.hear(now);
                    }
                    self.pass = self.input(broker, context, scratch, io);
                }
            }
            // Input may never end, so what else there is to do does not wait for that.
            Part::Signals => {
                if self.is_open() && std::mem::take(&mut self.woken) {
                    self.seldom.get_or_insert_default().seen_to_at = Some(moment);
                    self.handle_wake(broker, context);
                    self.obey(broker, context);
                    self.pass = self.pass.max(Pass::More);
                }
                if self.is_open() && self.pass == Pass::Idle && self.broken {
                    self.depart(broker, Cause::Lost("connection broken".into()), context);
                }
            }
            Part::Room => {
                if self.is_open() {
                    self.room(broker, context, io);
                }
                self.deaf |= !self.may_read(now);
            }
            Part::Writes => {
                let writes = self.dirty.writes();
                #[cfg(test)]
                let writes = writes.min(self.writes);
                if !broker.flush_due(writes, context, &mut self.dirty) {
                    self.pass = Pass::Enough;
                }
                if self.half_close(broker, context, io) {
                    self.pass = Pass::Enough;
                }
                self.spend(PASS_STEPS + self.dirty.steps());
            }
            Part::Farewell => match self.ending() {
                None | Some(Ending::Done) => {}
                _ if !self.dirty.is_empty() => self.pass = Pass::Enough,
                Some(Ending::Leaving { .. }) => self.pass = self.leave(broker, context, io),
                Some(Ending::Draining { .. }) => self.pass = self.drain(context, scratch, io),
            },
        }
    }

    /// How to go on after a pass.
    pub(crate) fn next(&mut self, broker: &Broker, now: impl Into<Moment>) -> Next {
        let moment = now.into();
        let now = moment.live;
        let is_done = matches!(self.ending(), Some(Ending::Done));
        if self.pass == Pass::Idle || is_done {
            // A timer whose signal is still to come is due, and nothing has come of it.
            let seen_to_at = match self.is_open() {
                true => (self.seldom.as_mut()).and_then(|seldom| seldom.seen_to_at.take()),
                false => Some(moment),
            };
            self.connection.settle_timers(broker, seen_to_at);
            self.seldom.take_if(|seldom| seldom.is_empty());
        }
        if is_done {
            return Next::Done;
        }
        let seldom = self.seldom.as_mut();
        if let Some(inquiry) = seldom.and_then(|seldom| seldom.inquiry.take()) {
            // Who has its session is heard meanwhile.
            self.asking = self.connection.is_asking();
            return Next::Ask(inquiry);
        }
        match self.pass {
            Pass::Enough => Next::Yield,
            Pass::More if self.spent as usize >= self.dirty.share() => Next::Yield,
            Pass::More => Next::Go,
            // Input that waited is known to nobody else.
            Pass::Idle if !self.reads && self.may_read(now) => Next::Go,
            Pass::Idle => Next::Wait,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.ending().is_none()
    }

    fn ending(&self) -> Option<&Ending> {
        self.seldom.as_ref()?.ending.as_deref()
    }

    /// Since when the socket is full.
    fn full_since(&self) -> Option<Stamp> {
        self.seldom.as_ref()?.full_since
    }

    /// Has this asked when the pass is over.
    fn ask(&mut self, inquiry: Inquiry) {
        self.seldom.get_or_insert_default().inquiry = Some(inquiry);
    }

    /// Notes what a part of the turn took, in steps.
    fn spend(&mut self, steps: usize) {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.spent = self.spent.saturating_add(steps);
    }

    /// Since when another connection wants the session.
    fn handing_over(&self) -> Option<Instant> {
        self.seldom.as_ref()?.handing_over
    }

    /// Where the client is.
    pub(crate) fn source(&self) -> Source {
        self.connection.facts.peer().into()
    }

    /// Whether nothing holds reading back.
    fn may_read(&self, now: Instant) -> bool {
        if !self.is_open() || self.connection.waits_for_session() {
            return false;
        }
        let seldom = self.seldom.as_ref();
        if self.asking {
            let has_ended = seldom.is_some_and(|seldom| seldom.ended.is_some());
            return !has_ended && self.pending.waiting() < READ_AHEAD;
        }
        if self.held || self.tapped.stops_reading {
            return false;
        }
        let Some(seldom) = seldom else {
            return !self.stalled;
        };
        let starved = seldom.starved.as_ref();
        if starved.is_some_and(|starved| starved.until > now) {
            return false;
        }
        let is_paused = seldom.paused_until.is_some_and(|until| until > now);
        seldom.handing_over.is_some() || !(self.stalled || is_paused)
    }

    /// Reads once, or takes what an earlier turn left, and lets the broker handle it.
    fn input(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        scratch: &mut [u8],
        io: &mut impl Io,
    ) -> Pass {
        if let Some(seldom) = &mut self.seldom {
            seldom.paused_until = None;
        }
        if self.has_handed_over_for(HANDOVER_LIMIT, context.live) {
            return self.hand_over(broker, context);
        }
        if self.asking {
            return self.read_ahead(broker, context, scratch, io);
        }
        if let Some(input) = self.pending.take_packets() {
            return self.handle(broker, input, context);
        }
        let seldom = self.seldom.as_mut();
        if let Some(cause) = seldom.and_then(|seldom| seldom.ended.take()) {
            self.depart(broker, cause, context);
            return Pass::More;
        }
        let limit = LEAST_READ.max(self.dirty.share() * BYTES_PER_STEP);
        let limit = limit.min(scratch.len());
        let scratch = scratch.get_mut(..limit).unwrap_or_default();
        let (read, size, is_piece) = match self.pending.space(scratch, broker.budget()) {
            Ok(Space::Scratch(space)) => (io.read(space), space.len(), false),
            Ok(Space::Piece(space)) => (io.read(space), space.len(), true),
            Err(Full) => return self.starve(broker, context),
        };
        if let Some(seldom) = &mut self.seldom {
            seldom.starved = None;
        }
        let (count, cost) = match read {
            Input::Bytes { count, cost } => (count, cost),
            Input::Nothing => return self.input_is_used_up(broker, io, context),
            Input::Closed(cause) => {
                self.depart(broker, cause, context);
                return Pass::More;
            }
            #[cfg(feature = "websocket")]
            Input::Refused(violation) => {
                self.refuse(broker, &violation, context);
                return Pass::More;
            }
        };
        self.heard_at = context.live.into();
        self.spend(cost / BYTES_PER_STEP);
        let pass = match is_piece {
            _ if count == 0 => Pass::More,
            true => match self.pending.extend_large(count) {
                Some(packet) => self.handle_large(broker, packet, context),
                None => Pass::More,
            },
            false => match self.pending.input(scratch, count) {
                Some(input) => self.handle(broker, input, context),
                None => Pass::More,
            },
        };
        if count > 0 && self.pending.is_partial() {
            self.connection.hear_part(count, context);
        }
        match pass {
            Pass::More if cost >= size => Pass::Enough,
            pass => pass,
        }
    }

    /// Reads a little while something is asked, so that it is seen when the client goes. What it
    /// sends is handled after the answer.
    fn read_ahead(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        scratch: &mut [u8],
        io: &mut impl Io,
    ) -> Pass {
        let Ok(Space::Scratch(space)) = self.pending.space(scratch, broker.budget()) else {
            return Pass::Idle;
        };
        let room = space.len().min(READ_AHEAD);
        match io.read(space.get_mut(..room).unwrap_or_default()) {
            Input::Bytes { count: 0, .. } => {}
            Input::Bytes { count, .. } => {
                if let Some(input) = self.pending.input(scratch, count) {
                    self.pending.keep(input, 0, 0, broker.budget());
                }
            }
            Input::Nothing => return Pass::Idle,
            Input::Closed(cause) if self.pending.waiting() > 0 => {
                self.seldom.get_or_insert_default().ended = Some(cause);
            }
            Input::Closed(cause) => self.depart(broker, cause, context),
            #[cfg(feature = "websocket")]
            Input::Refused(violation) => self.refuse(broker, &violation, context),
        }
        Pass::More
    }

    /// There is no room for what the client sends. It is looked for again soon; if there is none for
    /// long, the packet is refused.
    fn starve(&mut self, broker: &Broker, context: &Context<'_>) -> Pass {
        let now = context.live;
        let starved = self.seldom.as_ref();
        let starved = starved.and_then(|seldom| seldom.starved.as_ref());
        let since = starved.map_or(now, |starved| starved.since);
        if now.saturating_duration_since(since) >= STARVE_LIMIT {
            let violation = Violation::new(
                ReasonCode::QuotaExceeded,
                "limits.memory",
                "no memory for a packet of this size",
            );
            self.refuse(broker, &violation, context);
            return Pass::More;
        }
        let until = now + STARVE_PAUSE;
        self.seldom.get_or_insert_default().starved = Some(Starved { since, until });
        self.connection.wake_at(broker, until);
        match self.handing_over() {
            Some(_) => self.hand_over(broker, context),
            None => Pass::Idle,
        }
    }

    fn refuse(&mut self, broker: &Broker, violation: &Violation, context: &Context<'_>) {
        self.depart(broker, violation.into(), context);
    }

    /// Everything that had arrived was handled: a session that another connection wants may go, unless
    /// more may be on its way.
    fn input_is_used_up(&mut self, broker: &Broker, io: &impl Io, context: &Context<'_>) -> Pass {
        if self.handing_over().is_none() {
            return Pass::Idle;
        }
        if io.has_input() {
            self.heard_at = context.live.into();
        }
        let quiet_at = Instant::from(self.heard_at) + QUIET;
        if quiet_at > context.live {
            self.connection.wake_at(broker, quiet_at);
            return Pass::Idle;
        }
        self.hand_over(broker, context)
    }

    /// Another connection that wants the session does not wait for all that is unanswered.
    fn limit_hold(&mut self, broker: &Broker) {
        if let Some(since) = self.handing_over() {
            self.connection.wake_at(broker, since + HANDOVER_LIMIT);
        }
    }

    fn has_handed_over_for(&self, time: Duration, now: Instant) -> bool {
        let since = self.handing_over();
        since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }

    /// What the client sent before its next connection was handled, which may have the session.
    fn hand_over(&mut self, broker: &Broker, context: &Context<'_>) -> Pass {
        self.depart(broker, Cause::TakenOver, context);
        Pass::More
    }

    /// Lets the broker go on with what not all receivers have got.
    fn finish_publishes(&mut self, broker: &Broker, context: &Context<'_>) -> Pass {
        let received = self
            .connection
            .receive(broker, &[], context, &mut self.dirty);
        self.go_on(broker, received, context)
    }

    /// Lets the broker handle `input` and keeps what it leaves.
    fn handle(&mut self, broker: &Broker, input: Bytes<'_>, context: &Context<'_>) -> Pass {
        if self.is_tapped(context) {
            return self.handle_tapped(broker, input, context);
        }
        let received = self
            .connection
            .receive(broker, &input, context, &mut self.dirty);
        self.pending
            .keep(input, received.consumed, received.needed, broker.budget());
        self.go_on(broker, received, context)
    }

    /// Lets the broker handle a packet that was read in pieces.
    fn handle_large(
        &mut self,
        broker: &Broker,
        packet: LargePacket,
        context: &Context<'_>,
    ) -> Pass {
        let LargePacket { pieces, charge } = packet;
        if self.is_tapped(context) {
            return self.handle(broker, Bytes::Owned(pieces.concat()), context);
        }
        let received =
            self.connection
                .receive_large(broker, pieces, charge, context, &mut self.dirty);
        match received {
            Ok(received) => self.go_on(broker, received, context),
            // Only the payload of a message stays in pieces.
            Err(pieces) => self.handle(broker, Bytes::Owned(pieces.concat()), context),
        }
    }

    /// The same where rules or the journal look at it first. What has to wait for them stays as it was read.
    #[cold]
    fn handle_tapped(&mut self, broker: &Broker, input: Bytes<'_>, context: &Context<'_>) -> Pass {
        let (input, waits) = self.show_input(broker, input, context);
        let shown = match waits {
            true => input.get(..self.pending.passed()).unwrap_or_default(),
            false => &input,
        };
        let received = self
            .connection
            .receive(broker, shown, context, &mut self.dirty);
        self.pending
            .keep(input, received.consumed, received.needed, broker.budget());
        let pass = self.go_on(broker, received, context);
        if waits {
            self.pending.prompt(broker.budget());
            // Before anything else is handled.
            self.obey(broker, context);
        }
        pass
    }

    /// Does what the broker said after a batch.
    fn go_on(&mut self, broker: &Broker, received: Received, context: &Context<'_>) -> Pass {
        #[cfg(test)]
        {
            self.handled += received.consumed;
        }
        match received.flow {
            Flow::Continue => Pass::More,
            Flow::Yield => Pass::Enough,
            Flow::Stall => {
                self.stalled = true;
                Pass::More
            }
            Flow::Hold => {
                self.held = true;
                self.limit_hold(broker);
                Pass::More
            }
            Flow::Pause(wait) => {
                let until = context.live + wait;
                self.seldom.get_or_insert_default().paused_until = Some(until);
                self.connection.wake_at(broker, until);
                Pass::More
            }
            Flow::Ask(inquiry) => {
                self.ask(inquiry);
                Pass::More
            }
            Flow::End => {
                self.begin_to_leave(broker, context);
                Pass::More
            }
        }
    }

    /// The answer to [`Next::Ask`].
    pub(crate) fn answered(&mut self, broker: &Broker, verdict: Verdict, now: impl Into<Moment>) {
        self.asking = false;
        self.woken = true;
        if !self.is_open() {
            return;
        }
        let context = broker.context(now);
        let flow = self
            .connection
            .answered(broker, verdict, &context, &mut self.dirty);
        match flow {
            Flow::End => self.begin_to_leave(broker, &context),
            // One answer may lead to another question.
            Flow::Ask(inquiry) => self.ask(inquiry),
            Flow::Continue | Flow::Yield | Flow::Stall | Flow::Hold | Flow::Pause(_) => {}
        }
    }

    /// The signal was set: the session left or is wanted, a timer fired, or a writer cannot go on.
    fn handle_wake(&mut self, broker: &Broker, context: &Context<'_>) {
        let flow = self
            .connection
            .handle_wake(broker, self.deaf, context, &mut self.dirty);
        match flow {
            Flow::End => return self.begin_to_leave(broker, context),
            Flow::Ask(inquiry) => self.ask(inquiry),
            Flow::Continue | Flow::Yield | Flow::Stall | Flow::Hold | Flow::Pause(_) => {}
        }
        let Some(session) = self.connection.session().cloned() else {
            return;
        };
        let state = broker.output_state(&session);
        if state.is_wanted {
            let seldom = self.seldom.get_or_insert_default();
            seldom.handing_over.get_or_insert(context.live);
        }
        self.held &= self.connection.is_held();
        if self.held {
            if self.has_handed_over_for(HANDOVER_LIMIT, context.live) {
                self.hand_over(broker, context);
                return;
            }
            self.limit_hold(broker);
        }
        if state.broken && !self.broken {
            // Bytes that had arrived are read first; the end of the stream is at hand.
            self.broken = true;
            self.stalled = false;
            self.held = false;
            if let Some(seldom) = &mut self.seldom {
                (seldom.paused_until, seldom.starved) = (None, None);
            }
            return;
        }
        self.note_output(broker, &state, context.live);
        if self.is_stuck(broker, context.live) {
            self.depart(broker, Cause::Stalled, context);
            // It will take no farewell either.
            self.leave_until(context.live);
            return;
        }
        if !state.full && state.waiting {
            broker.flush(&session, context, &mut self.dirty);
        }
    }

    /// Writes on once the socket has room again, and reads on once the answers have left.
    fn room(&mut self, broker: &Broker, context: &Context<'_>, io: &mut impl Io) {
        if self.full_since().is_none() && !self.stalled {
            return;
        }
        let Some(session) = self.connection.session().cloned() else {
            return;
        };
        if let Some(seldom) = &mut self.seldom
            && seldom.full_since.is_some()
            && io.has_room()
        {
            seldom.full_since = None;
            broker.socket_has_room(&session);
            broker.flush(&session, context, &mut self.dirty);
        }
        let mut state = broker.output_state(&session);
        if self.stalled && state.waiting && !state.full {
            // Somebody else may have undertaken to write them, and tells nobody when they have left.
            broker.flush(&session, context, &mut self.dirty);
            state = broker.output_state(&session);
        }
        self.note_output(broker, &state, context.live);
        if self.stalled && !state.full && !state.broken {
            // Somebody else is in the middle of a write.
            self.pass = Pass::Enough;
        }
    }

    fn note_output(&mut self, broker: &Broker, state: &OutputState, now: Instant) {
        if state.full {
            let seldom = self.seldom.get_or_insert_default();
            seldom.full_since.get_or_insert(now.into());
        }
        if let Some(since) = self.full_since() {
            self.connection.watch_stall(broker, since.into(), now);
        }
        if state.unsent_answers <= self.connection.unsent_answers() {
            self.stalled = false;
        }
    }

    fn is_stuck(&self, broker: &Broker, now: Instant) -> bool {
        let limit = broker.config().limits.write_stall;
        self.full_since()
            .is_some_and(|since| now.saturating_duration_since(since.into()) >= limit)
    }

    /// The connection ends; everything that arrived was handled.
    pub(super) fn depart(&mut self, broker: &Broker, cause: Cause, context: &Context<'_>) {
        self.connection
            .depart(broker, cause, context, &mut self.dirty);
        self.begin_to_leave(broker, context);
    }

    pub(super) fn begin_to_leave(&mut self, broker: &Broker, context: &Context<'_>) {
        let until = context.live + FAREWELL_LIMIT;
        self.connection.end_line(broker);
        self.connection.wake_at(broker, until);
        self.connection.leave_work(context, &mut self.dirty);
        self.pending.clear();
        self.leave_until(until);
    }

    /// Nothing but the last bytes is left to do.
    fn leave_until(&mut self, until: Instant) {
        let farewell = None;
        self.go_on_ending(Ending::Leaving { farewell, until });
    }

    fn go_on_ending(&mut self, ending: Ending) {
        self.seldom.get_or_insert_default().ending = Some(Box::new(ending));
    }

    /// Writes the last bytes. Another task may be in the middle of a write: it returns what is left.
    fn leave(&mut self, broker: &Broker, context: &Context<'_>, io: &mut impl Io) -> Pass {
        let seldom = self.seldom.as_mut();
        let ending = seldom.and_then(|seldom| seldom.ending.as_deref_mut());
        let Some(Ending::Leaving { farewell, until }) = ending else {
            return Pass::Idle;
        };
        if *until <= context.live {
            return self.finish();
        }
        if farewell.is_none() {
            *farewell = self.connection.link.mailbox().take();
            if let Some(farewell) = farewell {
                let (connection, tapped) = (&self.connection, &self.tapped);
                farewell.compose(|out, before| {
                    if !tapped.is_shown {
                        connection.show_output(out, before, context);
                    }
                });
            }
        }
        let Some(farewell) = farewell else {
            return Pass::Idle;
        };
        match farewell.write_to(&*self.connection.link) {
            // Whoever drives the turn is told of room only after there was none.
            Outcome::Done | Outcome::Full if !io.has_room() => Pass::Idle,
            Outcome::Full => {
                farewell.writer.has_room();
                Pass::More
            }
            Outcome::Done if self.tapped.resets => {
                io.reset();
                self.finish()
            }
            Outcome::Done => {
                io.shut_down();
                let until = context.live + DRAIN_LIMIT;
                self.connection.wake_at(broker, until);
                self.go_on_ending(Ending::Draining { until, seen: 0 });
                Pass::More
            }
            Outcome::More | Outcome::Deferred => Pass::Enough,
            Outcome::Broken => self.finish(),
        }
    }

    /// Reads and forgets what the client still sends.
    fn drain(&mut self, context: &Context<'_>, scratch: &mut [u8], io: &mut impl Io) -> Pass {
        let seldom = self.seldom.as_mut();
        let ending = seldom.and_then(|seldom| seldom.ending.as_deref_mut());
        let Some(Ending::Draining { until, seen }) = ending else {
            return Pass::Idle;
        };
        // The time is up or the client is gone: either way the connection closes now.
        if *until <= context.live {
            return self.finish();
        }
        match io.read(scratch) {
            Input::Bytes { cost, .. } => {
                *seen += cost;
                match *seen >= DRAIN_BYTES {
                    true => self.finish(),
                    false => Pass::More,
                }
            }
            Input::Nothing => Pass::Idle,
            Input::Closed(_) => self.finish(),
            #[cfg(feature = "websocket")]
            Input::Refused(_) => self.finish(),
        }
    }

    fn finish(&mut self) -> Pass {
        self.connection.forget_timers();
        self.go_on_ending(Ending::Done);
        Pass::Idle
    }

    /// The session, once there is one and as long as the connection is open.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        self.connection.session()
    }

    /// Whether another connection still has its session.
    #[cfg(test)]
    pub(crate) fn waits_for_session(&self) -> bool {
        self.connection.waits_for_session()
    }

    /// Bytes of packets that were handled, in all.
    #[cfg(test)]
    pub(crate) fn handled(&self) -> usize {
        self.handled
    }

    /// What the last pass took, in steps.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> usize {
        self.dirty.steps()
    }

    /// Whether reading waits for a time to come, or waited and has not gone on.
    #[cfg(test)]
    pub(crate) fn is_paused(&self) -> bool {
        let seldom = self.seldom.as_ref();
        self.is_open() && seldom.is_some_and(|seldom| seldom.paused_until.is_some())
    }

    /// Sets above how many bytes of unsent answers reading waits.
    #[cfg(test)]
    pub(crate) fn set_unsent_answers(&mut self, bytes: usize) {
        self.connection.set_unsent_answers(bytes);
    }

    /// Sets how many sockets a turn writes to.
    #[cfg(test)]
    pub(crate) fn set_writes(&mut self, writes: usize) {
        self.writes = writes;
    }
}
