//! A connection as its owner has it, without a task: bytes that arrive, and what the owner waits for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::{Broker, ConnectionFacts, Link, PeerAddr};
use crate::client::turn::{Part, READ_SIZE};
use crate::client::{Credentials, Input, Inquiry, Io, Next, Turn, Verdict};
use crate::message::cause::Cause;

use super::wire::Wire;

/// Both directions of a connection.
pub(crate) struct End {
    pub(crate) wire: Arc<Wire>,
    /// Bytes on their way to the broker.
    pub(crate) uplink: VecDeque<u8>,
    /// Nothing follows them: the client has closed or reset the connection.
    pub(crate) is_closed: bool,
    /// How many bytes the next read may return.
    pub(crate) limit: usize,
    /// What was read in the last part of a turn.
    pub(crate) read: Vec<u8>,
    /// The owner found nothing to read, and is told when there is something.
    awaits_input: bool,
    /// The owner found the socket full, and is told when it is not.
    awaits_room: bool,
    /// How the last turn said to go on.
    next: Next,
}

impl End {
    pub(crate) fn new(wire: Arc<Wire>) -> Self {
        Self {
            wire,
            uplink: VecDeque::new(),
            is_closed: false,
            limit: usize::MAX,
            read: Vec::new(),
            awaits_input: false,
            awaits_room: false,
            // A task runs once before it waits for anything.
            next: Next::Go,
        }
    }

    /// A connection whose owner has not had a turn.
    pub(crate) fn open(
        broker: &Broker,
        wire: Arc<Wire>,
        listener: &'static str,
        now: Instant,
    ) -> (Self, Turn) {
        let link: Arc<dyn Link> = wire.clone();
        let facts = ConnectionFacts::new(listener, PeerAddr::Memory, None);
        (Self::new(wire), Turn::new(broker, link, facts, now))
    }

    /// The last bytes have been written.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.next, Next::Done)
    }

    /// Whether something would wake the owner's task.
    pub(crate) fn has_work(&self) -> bool {
        let has_input = !self.uplink.is_empty() || self.is_closed;
        match self.next {
            Next::Done => false,
            Next::Go | Next::Yield => true,
            Next::Wait | Next::Ask(_) => {
                self.wire.is_woken()
                    || (self.awaits_input && has_input)
                    || (self.awaits_room && self.wire.has_room())
            }
        }
    }

    /// Begins a turn of the owner.
    pub(crate) fn begin(&mut self, turn: &mut Turn, share: usize) {
        // Who is told is not told again.
        self.awaits_input &= self.uplink.is_empty() && !self.is_closed;
        self.awaits_room &= !self.wire.has_room();
        turn.begin(share);
        turn.look_for_signal(self);
    }

    /// One part of the turn.
    pub(crate) fn carry_out(&mut self, part: Part, turn: &mut Turn, broker: &Broker, now: Instant) {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
        }
        self.read.clear();
        SCRATCH.with_borrow_mut(|scratch| turn.carry_out(part, broker, now, scratch, self));
    }

    /// Ends the turn. Passwords are checked at once, by `verdict`.
    pub(crate) fn end(
        &mut self,
        turn: &mut Turn,
        broker: &Broker,
        now: Instant,
        verdict: impl FnOnce(&Credentials) -> Verdict,
    ) {
        self.next = turn.next(broker, now);
        if let Next::Ask(Inquiry::Credentials(credentials)) = &self.next {
            let verdict = verdict(credentials);
            turn.answered(broker, verdict, now);
            self.next = Next::Go;
        }
    }
}

impl Io for End {
    fn take_signal(&mut self) -> bool {
        self.wire.take_woken()
    }

    fn read(&mut self, buf: &mut [u8]) -> Input {
        self.awaits_input = false;
        let count = self.limit.min(self.uplink.len()).min(buf.len());
        if count > 0 {
            let start = self.read.len();
            self.read.extend(self.uplink.drain(..count));
            buf[..count].copy_from_slice(&self.read[start..]);
            return Input::plain(count);
        }
        if self.uplink.is_empty() && self.is_closed {
            return Input::Closed(Cause::Lost("the client closed".into()));
        }
        self.awaits_input = true;
        Input::Nothing
    }

    fn has_input(&self) -> bool {
        !self.uplink.is_empty() || self.is_closed
    }

    fn has_room(&mut self) -> bool {
        self.awaits_room = !self.wire.has_room();
        !self.awaits_room
    }

    fn shut_down(&mut self) {
        // The client sees the end of the stream, and closes its side.
        self.is_closed = true;
    }

    fn reset(&mut self) {
        self.is_closed = true;
    }
}
