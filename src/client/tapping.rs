//! Packet rules at a connection: what its client sends goes by them before it is handled, and what they leave
//! to do is done here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::{Broker, Context, Dirty, waker};
use crate::codec::{Glance, MAX_PACKET_SIZE, Split, Version, split};
use crate::message::cause::{Cause, Initiator};
use crate::tap::Tap;
use crate::tap::journal::{Happened, RowEnd};
use crate::tap::line::{Ending, Line, LookedAt};
use crate::tap::tls::TlsInfo;

use super::input::Bytes;
use super::machine::{Connection, Phase};
use super::turn::{Io, Turn};

/// The Reason Code of the packet at the front, if it has one.
fn reason_of(packets: &[u8]) -> Option<u8> {
    match split(packets, MAX_PACKET_SIZE) {
        Ok(Split::Frame(frame)) => Glance::at(&frame, Version::V5).reason,
        _ => None,
    }
}

/// What packet rules have left to do.
#[derive(Default)]
pub(super) struct Tapped {
    /// Nothing is read.
    pub(super) stops_reading: bool,
    /// The connection ends by a reset.
    pub(super) resets: bool,
    /// The broker's side of it ends once everything has left.
    half_closes: bool,
    /// Rules and the journal have seen its last words.
    pub(super) is_shown: bool,
}

/// Rows of the journal for the PUBLISH packets that a client has sent and that are not handled.
#[derive(Default)]
pub(super) struct Rows {
    /// Rows and lengths, in the order of the packets.
    waiting: VecDeque<(u64, usize)>,
    /// That of the packet which is being handled.
    current: u64,
}

impl Rows {
    /// The row of a PUBLISH of `len` bytes, which is handled now.
    #[cold]
    pub(super) fn take(rows: &mut Option<Box<Self>>, len: usize) -> u64 {
        Self::begin(rows, len);
        Self::current(rows)
    }

    /// A PUBLISH of `len` bytes is handled from now on.
    #[inline]
    pub(super) fn begin(rows: &mut Option<Box<Self>>, len: usize) {
        if let Some(rows) = rows {
            rows.advance(len);
        }
    }

    /// A rule may have made something else of a packet, which has no row then.
    #[cold]
    fn advance(&mut self, len: usize) {
        let place = self.waiting.iter().position(|(_, own)| *own == len);
        let mut passed = self.waiting.drain(..place.map_or(0, |place| place + 1));
        self.current = passed.next_back().map_or(0, |(row, _)| row);
    }

    #[inline]
    pub(super) fn current(rows: &Option<Box<Self>>) -> u64 {
        rows.as_ref().map_or(0, |rows| rows.current)
    }
}

impl Turn {
    /// Whether rules or the journal look at what the client sends.
    #[inline]
    pub(super) fn is_tapped(&self, context: &Context<'_>) -> bool {
        let seldom = self.seldom.as_ref();
        context.tap.is_some() || seldom.is_some_and(|seldom| !seldom.released.is_empty())
    }

    /// What is to be handled instead of what was read, and whether what rules have not let pass of it has to wait,
    /// although there may be whole packets in it.
    pub(super) fn show_input(
        &mut self,
        broker: &Broker,
        input: Bytes<'_>,
        context: &Context<'_>,
    ) -> (Bytes<'static>, bool) {
        let seldom = self.seldom.as_mut();
        let released = seldom.map_or_else(Vec::new, |seldom| std::mem::take(&mut seldom.released));
        let (connection, tap) = (&self.connection, broker.tap());
        let line = connection.line(tap, context);
        let mut looked_at = LookedAt::default();
        let budget = broker.budget();
        let admitted = (self.pending).admit(&input, &released, budget, |bytes, out| {
            if let Some(line) = line {
                let limit = context.limits.packet_size;
                looked_at = line.receive(tap, bytes, limit, context.now, out);
            }
            looked_at.bytes
        });
        self.connection.take_rows();
        (Bytes::Owned(admitted), looked_at.waits)
    }

    /// Does what rules have left to do.
    pub(super) fn obey(&mut self, broker: &Broker, context: &Context<'_>) {
        let Some(line) = self.connection.facts.open_line().filter(|_| self.is_open()) else {
            return;
        };
        let orders = line.take_orders(broker.tap(), context.now);
        if !orders.inbound.is_empty() {
            let seldom = self.seldom.get_or_insert_default();
            seldom.released.extend(orders.inbound);
            self.pending.prompt(broker.budget());
        }
        if !orders.outbound.is_empty() {
            let reason = match orders.ending {
                Some(Ending::Disconnect(reason)) => Some(reason),
                _ => reason_of(&orders.outbound),
            };
            if !self
                .connection
                .write_released(broker, orders.outbound, &mut self.dirty)
            {
                let cause = Cause::PacketRule(reason.unwrap_or_default());
                self.connection.note_early_end(&cause, context);
                self.tapped.is_shown = true;
                return self.begin_to_leave(broker, context);
            }
        }
        if let Some(at) = orders.next {
            self.connection.look_at_releases(broker, at);
        }
        self.tapped.stops_reading = orders.stops_reading;
        match orders.ending {
            None => {}
            Some(Ending::Half) => self.tapped.half_closes = true,
            Some(Ending::Reset) => {
                self.tapped.resets = true;
                let cause = Cause::Lost("reset by a packet rule".into());
                self.depart(broker, cause, context);
            }
            Some(Ending::Close) => {
                let cause = Cause::Lost("closed by a packet rule".into());
                self.depart(broker, cause, context);
            }
            Some(Ending::Disconnect(reason)) => {
                self.depart(broker, Cause::PacketRule(reason), context);
            }
        }
    }
}

impl Turn {
    /// Ends the broker's side where a rule says so, once what was composed before has left. Returns whether
    /// that is to be tried again in the next turn.
    #[inline]
    pub(super) fn half_close(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        io: &mut impl Io,
    ) -> bool {
        self.tapped.half_closes && self.is_open() && self.try_to_half_close(broker, context, io)
    }

    #[cold]
    fn try_to_half_close(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        io: &mut impl Io,
    ) -> bool {
        if let Some(session) = self.connection.session().cloned() {
            broker.flush(&session, context, &mut self.dirty);
            let state = broker.output_state(&session);
            if (state.waiting || state.full) && !state.broken {
                // The socket says when it has room; somebody else who is in the middle of a write does not.
                return !state.full;
            }
        }
        self.tapped.half_closes = false;
        io.half_close();
        false
    }
}

impl Connection {
    /// Takes the rows of what is to be handled, once it is: a client need not wait for CONNACK (MQTT 5.0, 3.1.4).
    pub(super) fn take_rows(&mut self) {
        if let Phase::Active(active) = &mut self.phase
            && let Some(line) = self.facts.open_line()
        {
            let rows = line.take_admitted();
            if !rows.is_empty() {
                active.rows.get_or_insert_default().waiting.extend(rows);
            }
        }
    }

    /// The connection as rules and the journal see it.
    fn line(&self, tap: &Tap, context: &Context<'_>) -> Option<&Arc<Line>> {
        self.facts.line(tap, context.now, || waker(&self.link))
    }

    /// Nothing is held for it any more.
    pub(super) fn end_line(&self, broker: &Broker) {
        if let Some(line) = self.facts.open_line() {
            broker.tap().end(line);
        }
    }

    /// Has rules look at the last words of the connection.
    pub(super) fn show_output(&self, out: &mut Vec<u8>, before: usize, context: &Context<'_>) {
        if let Some(tap) = context.tap
            && let Some(line) = self.line(tap, context)
        {
            line.send(tap, out, before, 0, context.now);
        }
    }

    /// Writes that the connection is refused before there is a client.
    pub(super) fn note_refusal(
        &self,
        text: &str,
        cause: &'static str,
        code: Option<u8>,
        context: &Context<'_>,
    ) {
        if let Some(tap) = context.tap {
            let end = RowEnd::new(Initiator::Broker.name(), cause, code);
            self.note_before_session(tap, "refused", text, end, context);
        }
    }

    /// Writes that it ends before there is a client.
    pub(super) fn note_early_end(&self, cause: &Cause, context: &Context<'_>) {
        if let Some(tap) = context.tap {
            let code = cause.code().map(|code| code as u8);
            let end = RowEnd::new(cause.initiator().name(), cause.name(), code);
            let text = cause.to_string();
            self.note_before_session(tap, "closed_before_connect", &text, end, context);
        }
    }

    #[cold]
    fn note_before_session(
        &self,
        tap: &Tap,
        name: &'static str,
        text: &str,
        end: RowEnd,
        context: &Context<'_>,
    ) {
        if let Some(line) = self.line(tap, context) {
            let what = || Happened {
                name,
                text: text.to_owned(),
                end: Some(end),
                tls: self.facts.tls().map(TlsInfo::from),
                failure: None,
            };
            tap.note_event(line, "", Version::V311, what, context.now);
        }
    }

    /// Writes packets that are past all rules. A connection that has no session ends with them. Whether it
    /// goes on.
    fn write_released(&mut self, broker: &Broker, packets: Vec<u8>, dirty: &mut Dirty) -> bool {
        match &self.phase {
            Phase::Active(active) => {
                let mut outbox = active.session.outbox();
                let wake = outbox.append_released(active.epoch, &packets);
                drop(outbox);
                dirty.note(&active.session, wake);
                true
            }
            Phase::Ended(_) => true,
            Phase::Connecting { .. } | Phase::Asking(_) | Phase::TakingOver(_) => {
                self.retire(broker, Version::V5, packets);
                false
            }
        }
    }

    /// Wakes the owner when something else is to arrive.
    fn look_at_releases(&mut self, broker: &Broker, at: Instant) {
        let timer = broker.wake_on_own_time(at, &self.link);
        let seldom = self.seldom.get_or_insert_default();
        seldom.done_with.extend(seldom.release.replace(timer));
    }
}
