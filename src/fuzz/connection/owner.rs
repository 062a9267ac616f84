//! The broker's end of a connection, as `net::driver` carries it out, without tasks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::{
    Broker, Connection, ConnectionFacts, Dirty, Flow, Link, Traffic, UNSENT_ANSWERS,
};
use crate::net::farewell::last_bytes;
use crate::sim::wire::Wire;

use super::observer::Observer;

/// Outboxes that one turn writes.
const WRITES_PER_TURN: usize = 64;

/// A connection with both of its ends.
pub(super) struct Pipe {
    pub(super) wire: Arc<Wire>,
    pub(super) observer: Observer,
    pub(super) connection: Connection,
    pub(super) is_reading: bool,
    /// The client acknowledges at once.
    pub(super) is_prompt: bool,
    /// Nothing follows the input: the client has gone.
    is_closed: bool,
    input: Vec<u8>,
    /// Bytes that the next packet takes in all, as far as known.
    needed: usize,
    stalled: bool,
    paused_until: Option<Instant>,
    full_since: Option<Instant>,
    dirty: Dirty,
    is_over: bool,
    /// The last bytes have been written.
    pub(super) is_done: bool,
}

impl Pipe {
    pub(super) fn new(broker: &Broker, room: usize, now: Instant) -> Self {
        let wire = Arc::new(Wire::new(room, Arc::default()));
        let link: Arc<dyn Link> = wire.clone();
        let facts = ConnectionFacts {
            listener: "fuzz",
            peer: None,
            tls: None,
            traffic: Traffic::default(),
        };
        Self {
            connection: Connection::new(broker, link, facts, now),
            wire,
            observer: Observer::new(),
            is_reading: true,
            is_prompt: false,
            is_closed: false,
            input: Vec::new(),
            needed: 0,
            stalled: false,
            paused_until: None,
            full_since: None,
            dirty: Dirty::default(),
            is_over: false,
            is_done: false,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        if !self.is_closed {
            self.input.extend_from_slice(bytes);
        }
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    fn has_input(&self) -> bool {
        !self.input.is_empty() && self.input.len() >= self.needed
    }

    fn may_read(&self, now: Instant) -> bool {
        !self.stalled && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Whether a turn would come to anything.
    pub(super) fn has_work(&self, now: Instant) -> bool {
        !self.is_done
            && (self.is_over
                || (self.may_read(now) && (self.has_input() || self.is_closed))
                || !self.dirty.is_empty()
                || self.wire.is_woken()
                || (self.full_since.is_some() && self.wire.has_room()))
    }

    /// Input, signals, room in the socket, then the outboxes that became dirty.
    pub(super) fn turn(&mut self, broker: &Broker, now: Instant) {
        if self.is_over {
            self.finish(broker, now);
            return;
        }
        self.dirty.begin_turn();
        let woken = self.wire.take_woken();
        let mut is_over = self.may_read(now) && self.turn_input(broker, now);
        if !is_over && woken {
            is_over = self.turn_wake(broker, now);
        }
        if is_over {
            self.is_over = true;
        } else {
            self.turn_room(broker, now);
        }
        let context = broker.context(now);
        broker.flush_due(WRITES_PER_TURN, &context, &mut self.dirty);
    }

    /// Handles what came. Returns whether the connection is over.
    fn turn_input(&mut self, broker: &Broker, now: Instant) -> bool {
        if !self.has_input() {
            return self.is_closed && self.lose(broker, now, "the client closed");
        }
        let context = broker.context(now);
        self.observer.sends(&self.input);
        let received = self
            .connection
            .receive(broker, &self.input, &context, &mut self.dirty);
        self.input.drain(..received.consumed);
        self.needed = received.needed;
        let is_moving = received.consumed > 0 || received.needed > self.input.len();
        match received.flow {
            Flow::Continue | Flow::Yield => assert!(is_moving, "{:02x?}", self.input),
            Flow::Stall => self.stalled = true,
            Flow::Pause(wait) => {
                assert!(wait > Duration::ZERO);
                self.paused_until = Some(now + wait);
            }
            Flow::Authenticate(credentials) => {
                let is_valid = credentials.password.as_deref() == Some(b"p");
                let connection = &mut self.connection;
                let flow = connection.authenticated(broker, is_valid, &context, &mut self.dirty);
                return matches!(flow, Flow::End);
            }
            Flow::End => return true,
        }
        false
    }

    /// The session left, a timer fired, or a writer found the socket full.
    fn turn_wake(&mut self, broker: &Broker, now: Instant) -> bool {
        let context = broker.context(now);
        let flow = self
            .connection
            .handle_wake(broker, &context, &mut self.dirty);
        if matches!(flow, Flow::End) {
            return true;
        }
        let Some(session) = self.connection.session().cloned() else {
            return false;
        };
        let state = broker.output_state(&session);
        if state.broken {
            return self.lose(broker, now, "connection broken");
        }
        self.note_output(broker, now);
        let limit = broker.config().limits.write_stall;
        if self.full_since.is_some_and(|since| now - since >= limit) {
            return self.lose(broker, now, "the client took no byte for too long");
        }
        if !state.full && state.waiting {
            broker.flush(&session, &context, &mut self.dirty);
        }
        false
    }

    /// Writes on once the socket has room again, and reads on once the answers have left.
    fn turn_room(&mut self, broker: &Broker, now: Instant) {
        let Some(session) = self.connection.session().cloned() else {
            return;
        };
        if self.full_since.is_some() && self.wire.has_room() {
            self.full_since = None;
            broker.socket_has_room(&session);
            broker.flush(&session, &broker.context(now), &mut self.dirty);
        }
        self.note_output(broker, now);
    }

    fn note_output(&mut self, broker: &Broker, now: Instant) {
        let Some(session) = self.connection.session() else {
            return;
        };
        let state = broker.output_state(session);
        if state.full && self.full_since.is_none() {
            self.full_since = Some(now);
        }
        if let Some(since) = self.full_since {
            self.connection.watch_stall(broker, since, now);
        }
        if self.stalled && state.unsent_answers <= UNSENT_ANSWERS {
            self.stalled = false;
        }
    }

    /// The connection is gone; everything that arrived was handled.
    fn lose(&mut self, broker: &Broker, now: Instant, why: &str) -> bool {
        let context = broker.context(now);
        self.connection
            .closed(broker, why, &context, &mut self.dirty);
        true
    }

    /// The last words.
    fn finish(&mut self, broker: &Broker, now: Instant) {
        let context = broker.context(now);
        if !broker.flush_some(WRITES_PER_TURN, &context, &mut self.dirty) {
            return;
        }
        self.is_done = true;
        let mut farewell = self.wire.mailbox().take().expect("the last words");
        self.wire.write_last(&last_bytes(&mut farewell));
    }

    /// The client takes what has arrived, and answers if that is its habit.
    pub(super) fn read(&mut self) {
        let bytes = self.wire.read(usize::MAX);
        self.observer.receives(&bytes);
        if self.is_prompt {
            let acks = self.observer.acknowledge();
            self.send(&acks);
        }
    }
}
