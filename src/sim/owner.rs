//! The broker's end of one connection: what the task behind a socket does, one turn at a time.
//!
//! This follows `net::driver` closely and knows no more than it does; a hole in the agreement
//! between the broker and its drivers shows up here as a connection that stands still.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::{
    Broker, Connection, ConnectionFacts, Context, Dirty, Flow, Link, OutputState, Traffic,
    UNSENT_ANSWERS,
};
use crate::codec::{MAX_PACKET_SIZE, PacketType, Split, Version, encode_disconnect, split};

use super::client::Peer;
use super::wire::Wire;
use super::world::World;

/// A connection with both of its ends.
pub(super) struct Pipe {
    /// Its place in the ledger.
    pub(super) at: usize,
    pub(super) client: usize,
    pub(super) peer: Peer,
    pub(super) wire: Arc<Wire>,
    /// Bytes on their way to the broker.
    pub(super) uplink: VecDeque<u8>,
    /// Nothing follows them: the client has closed or reset the connection.
    pub(super) is_closed: bool,
    pub(super) owner: Owner,
    pub(super) tap: Tap,
}

pub(super) struct Owner {
    pub(super) connection: Connection,
    /// CONNECT was handled.
    pub(super) is_established: bool,
    tail: Vec<u8>,
    /// The tail may hold whole packets.
    unhandled: bool,
    stalled: bool,
    full_since: Option<Instant>,
    dirty: Dirty,
    is_over: bool,
    /// The last bytes have been written.
    pub(super) is_done: bool,
}

/// How far the packets composed for a connection have been looked at.
#[derive(Default)]
pub(super) struct Tap {
    /// Bytes composed since the beginning that have been seen.
    pub(super) seen: usize,
    pub(super) has_ended: bool,
}

impl Owner {
    pub(super) fn new(world: &World, wire: &Arc<Wire>) -> Self {
        let link: Arc<dyn Link> = wire.clone();
        let facts = ConnectionFacts {
            listener: "sim",
            peer: None,
            tls: None,
            traffic: Traffic::default(),
        };
        Self {
            connection: Connection::new(&world.broker, link, facts, world.now),
            is_established: false,
            tail: Vec::new(),
            unhandled: false,
            stalled: false,
            full_since: None,
            dirty: Dirty::default(),
            is_over: false,
            is_done: false,
        }
    }
}

impl Pipe {
    /// Whether a turn would come to anything.
    pub(super) fn has_work(&self) -> bool {
        let owner = &self.owner;
        let has_input = owner.unhandled || !self.uplink.is_empty() || self.is_closed;
        !owner.is_done
            && (owner.is_over
                || (has_input && !owner.stalled)
                || !owner.dirty.is_empty()
                || self.wire.is_woken()
                || (owner.full_since.is_some() && self.wire.has_room()))
    }
}

impl World {
    /// One turn of a connection's owner.
    pub(super) fn turn(&mut self, index: usize) {
        if self.pipes[index].owner.is_over {
            self.finish(index);
            return;
        }
        self.pipes[index].owner.dirty.begin_turn();
        let woken = self.pipes[index].wire.take_woken();
        let mut is_over = self.turn_input(index);
        if !is_over && woken {
            is_over = self.turn_wake(index);
        }
        if is_over {
            self.pipes[index].owner.is_over = true;
        } else {
            self.turn_room(index);
        }
        let writes = self.dice.pick(&[1, 2, 64]);
        self.flush(index, writes, Broker::flush_due);
    }

    /// Reads and handles, as far as reading is allowed. Returns whether the connection is over.
    fn turn_input(&mut self, index: usize) -> bool {
        let limit = self.dice.pick(&[1, 20, 200, 65_536]);
        let pipe = &mut self.pipes[index];
        let owner = &mut pipe.owner;
        if owner.stalled {
            return false;
        }
        let mut input = std::mem::take(&mut owner.tail);
        if !std::mem::take(&mut owner.unhandled) {
            if pipe.uplink.is_empty() {
                owner.tail = input;
                return pipe.is_closed && self.close(index, "the client closed");
            }
            let count = limit.min(pipe.uplink.len());
            input.extend(pipe.uplink.drain(..count));
        }
        self.receive(index, &input)
    }

    fn receive(&mut self, index: usize, input: &[u8]) -> bool {
        let cut = cut(input, self.plan.one_by_one);
        let (batch, later) = input.split_at(cut);
        self.begin();
        let pipe = &mut self.pipes[index];
        let is_retired = pipe.wire.mailbox().is_retired();
        let is_connect = !pipe.owner.is_established;
        let owner = &mut pipe.owner;
        let context = self.broker.context(self.now);
        let received = owner
            .connection
            .receive(&self.broker, batch, &context, &mut owner.dirty);
        let (handled, rest) = batch.split_at(received.consumed);
        owner.tail = [rest, later].concat();
        // What was cut off for the ledger's sake is read in a turn of its own.
        owner.unhandled = !later.is_empty();
        let is_over = match received.flow {
            Flow::Continue => {
                owner.unhandled |= !rest.is_empty() && received.needed == 0;
                false
            }
            Flow::Yield => {
                owner.unhandled |= !rest.is_empty();
                false
            }
            Flow::Stall => {
                owner.stalled = true;
                owner.unhandled |= !rest.is_empty();
                false
            }
            Flow::Pause(_) | Flow::Authenticate(_) => panic!("not configured"),
            Flow::End => true,
        };
        if is_retired {
            self.account(&[], None);
        } else if is_connect {
            self.pipes[index].owner.is_established = !handled.is_empty();
            self.account(handled, (!handled.is_empty()).then_some(index));
        } else {
            self.account_packets(index, handled);
        }
        is_over
    }

    /// The signal was set: the session left, a timer fired, or a writer found the socket full.
    fn turn_wake(&mut self, index: usize) -> bool {
        self.begin();
        let owner = &mut self.pipes[index].owner;
        let context = self.broker.context(self.now);
        let flow = owner
            .connection
            .handle_wake(&self.broker, &context, &mut owner.dirty);
        self.account(&[], None);
        if matches!(flow, Flow::End) {
            return true;
        }
        let owner = &self.pipes[index].owner;
        let Some(session) = owner.connection.session().cloned() else {
            return false;
        };
        let state = self.broker.output_state(&session);
        self.note_output(index, &state);
        let limit = self.broker.config().limits.write_stall;
        let full_since = self.pipes[index].owner.full_since;
        if full_since.is_some_and(|since| self.now.duration_since(since) >= limit) {
            return self.close(index, "the client took no byte for too long");
        }
        if !state.full && state.waiting {
            self.write(index);
        }
        false
    }

    /// Writes on once the socket has room again, and reads on once the answers have left.
    fn turn_room(&mut self, index: usize) {
        let pipe = &mut self.pipes[index];
        let Some(session) = pipe.owner.connection.session().cloned() else {
            return;
        };
        if pipe.owner.full_since.is_some() && pipe.wire.has_room() {
            pipe.owner.full_since = None;
            self.broker.socket_has_room(&session);
            self.write(index);
        }
        let state = self.broker.output_state(&session);
        self.note_output(index, &state);
    }

    fn note_output(&mut self, index: usize, state: &OutputState) {
        let owner = &mut self.pipes[index].owner;
        if state.full && owner.full_since.is_none() {
            owner.full_since = Some(self.now);
            owner
                .connection
                .watch_stall(&self.broker, self.now, self.now);
        }
        if owner.stalled && state.unsent_answers <= UNSENT_ANSWERS {
            owner.stalled = false;
        }
    }

    /// Writes the connection's own outbox.
    fn write(&mut self, index: usize) {
        let Some(session) = self.pipes[index].owner.connection.session().cloned() else {
            return;
        };
        self.begin();
        let context = self.broker.context(self.now);
        let dirty = &mut self.pipes[index].owner.dirty;
        self.broker.flush(&session, &context, dirty);
        self.account(&[], None);
    }

    /// Writes what the connection's turns have made dirty, at most `limit` outboxes, one at a time.
    fn flush(
        &mut self,
        index: usize,
        limit: usize,
        flush: impl Fn(&Broker, usize, &Context<'_>, &mut Dirty) -> bool,
    ) {
        for _ in 0..limit {
            if self.pipes[index].owner.dirty.is_empty() {
                return;
            }
            self.begin();
            let context = self.broker.context(self.now);
            let dirty = &mut self.pipes[index].owner.dirty;
            flush(&self.broker, 1, &context, dirty);
            self.account(&[], None);
        }
    }

    /// The connection is gone; everything that arrived was handled.
    fn close(&mut self, index: usize, why: &str) -> bool {
        self.begin();
        let owner = &mut self.pipes[index].owner;
        let context = self.broker.context(self.now);
        owner
            .connection
            .closed(&self.broker, why, &context, &mut owner.dirty);
        self.account(&[], None);
        true
    }

    /// The last words: what is left, and DISCONNECT where there is a reason.
    fn finish(&mut self, index: usize) {
        self.flush(index, 64, Broker::flush_some);
        let pipe = &mut self.pipes[index];
        if !pipe.owner.dirty.is_empty() {
            return;
        }
        pipe.owner.is_done = true;
        if let Some(farewell) = pipe.wire.mailbox().take() {
            let mut bytes = farewell.bytes;
            if let Some(reason) = farewell.reason.filter(|_| farewell.version == Version::V5) {
                encode_disconnect(&mut bytes, Version::V5, reason, None);
            }
            pipe.wire.write_last(&bytes);
        }
    }
}

/// How much of `input` is handled in one call. SUBSCRIBE and UNSUBSCRIBE stand alone, so that the
/// ledger knows what was composed before and after them.
fn cut(input: &[u8], one_by_one: bool) -> usize {
    let mut at = 0;
    while let Ok(Split::Frame(frame)) = split(&input[at..], MAX_PACKET_SIZE) {
        let stands_alone = one_by_one
            || matches!(
                frame.packet_type,
                PacketType::Subscribe | PacketType::Unsubscribe
            );
        if stands_alone {
            return if at == 0 { frame.len } else { at };
        }
        at += frame.len;
    }
    input.len()
}
