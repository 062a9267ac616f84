//! The task behind one connection: reads, lets the broker handle what was read, writes what came of
//! it, and sleeps until the socket or a signal wants it.
//!
//! All of a turn happens inside one poll: bytes lie in a buffer of the thread, packets borrow from
//! it, and answers and deliveries leave before the task sleeps again. A lone message goes from one
//! socket to the other without waking anybody.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::broker::{
    Connection, ConnectionFacts, Credentials, Dirty, Flow, Link, OutputState, UNSENT_ANSWERS,
    Written,
};

use super::socket::{Inbound, Socket};
use super::{Shared, farewell, users};

/// Bytes that one turn reads.
const READ_SIZE: usize = 256 * 1024;

/// A tail up to this size is read on behind; a longer one grows by itself.
const SHORT_TAIL: usize = 16 * 1024;

/// Sockets that one turn writes to.
const WRITES_PER_TURN: usize = 64;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How a turn ended.
enum Step {
    /// More is to be done, after others had their turn.
    Yield,
    Authenticate(Credentials),
    Pause(Duration),
    End,
}

/// A connection being driven.
pub(super) struct Driver<I, S> {
    shared: Arc<Shared>,
    inbound: I,
    socket: Arc<S>,
    connection: Connection,
    dirty: Dirty,
    /// Bytes that were read and not handled: an incomplete packet, or what a turn left.
    tail: Vec<u8>,
    /// Bytes that the packet at the front of the tail needs in all.
    needed: usize,
    /// The tail may hold whole packets.
    unhandled: bool,
    /// The signal was set and is to be seen to.
    woken: bool,
    /// Reading stops until unsent answers have left.
    stalled: bool,
    /// The socket was full; since when, and at how many bytes written in all.
    full_since: Option<Instant>,
    /// The outbound side failed: read what is left, then end.
    broken: bool,
    /// The client took no byte for too long, and will take no farewell either.
    stuck: bool,
}

impl<I: Inbound, S: Socket> Driver<I, S> {
    /// A driver for a connection that waits for CONNECT. Boxed, so that the task's future holds it
    /// once.
    pub(super) fn new(
        shared: Arc<Shared>,
        inbound: I,
        socket: Arc<S>,
        facts: ConnectionFacts,
    ) -> Box<Self> {
        let link: Arc<dyn Link> = socket.clone();
        let connection = Connection::new(&shared.broker, link, facts, shared.clock.now());
        Box::new(Self {
            shared,
            inbound,
            socket,
            connection,
            dirty: Dirty::default(),
            tail: Vec::new(),
            needed: 0,
            unhandled: false,
            woken: false,
            stalled: false,
            full_since: None,
            broken: false,
            stuck: false,
        })
    }

    /// Drives the connection from its first byte to its last.
    pub(super) async fn drive(mut self: Box<Self>) {
        loop {
            match poll_fn(|cx| self.poll_turn(cx)).await {
                Step::Yield => tokio::task::yield_now().await,
                Step::Pause(wait) => {
                    // What this task has not written by now is its receivers' own to write.
                    self.dirty = Dirty::default();
                    Box::pin(tokio::time::sleep(wait)).await;
                }
                Step::Authenticate(credentials) => Box::pin(self.authenticate(credentials)).await,
                Step::End => break,
            }
        }
        Box::pin(self.finish()).await;
    }

    /// One turn: input, signals, room in the socket, then the outboxes that became dirty.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            self.dirty.begin_turn();
            self.woken |= self.socket.signal().take(cx.waker());
            let was_stalled = self.stalled;
            let mut step = self.poll_input(cx);
            // Input may never end, so what else there is to do does not wait for that.
            let goes_on = matches!(step, None | Some(Turn::Again | Turn::Over(Step::Yield)));
            let woken = goes_on && std::mem::take(&mut self.woken);
            if woken && let Some(turn) = self.handle_wake() {
                step = Some(turn);
            }
            if step.is_none() && self.broken {
                step = Some(self.lost("connection broken"));
            }
            self.poll_room(cx);
            let broker = &self.shared.broker;
            let context = broker.context(self.shared.clock.now());
            let flushed = broker.flush_due(WRITES_PER_TURN, &context, &mut self.dirty);
            match step {
                Some(Turn::Over(step)) => return Poll::Ready(step),
                _ if !flushed => return Poll::Ready(Step::Yield),
                Some(Turn::Again) => {}
                None if woken => {}
                // Input that waited is known to nobody else.
                None if was_stalled && !self.stalled => {}
                None => return Poll::Pending,
            }
        }
    }

    /// Reads and handles, as far as reading is allowed.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Option<Turn> {
        if self.stalled {
            return None;
        }
        READ_BUFFER.with_borrow_mut(|buffer| {
            if buffer.is_empty() {
                buffer.resize(READ_SIZE, 0);
            }
            if self.unhandled {
                self.unhandled = false;
                let input = std::mem::take(&mut self.tail);
                return Some(self.handle(&input));
            }
            self.poll_read(buffer, cx)
        })
    }

    fn poll_read(&mut self, buffer: &mut [u8], cx: &mut Context<'_>) -> Option<Turn> {
        // A short tail goes in front of what is read; a long packet grows in a buffer of its own.
        let front = if self.tail.len() <= SHORT_TAIL && self.needed <= READ_SIZE {
            self.tail.len()
        } else {
            0
        };
        let (head, space) = buffer.split_at_mut_checked(front)?;
        let n = match self.inbound.poll_read(cx, space) {
            Poll::Pending => return None,
            Poll::Ready(Ok(0)) => return Some(self.lost("connection closed by the client")),
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(error)) => return Some(self.lost(&describe(&error))),
        };
        let whole_turn = n == space.len();
        let turn = if front == self.tail.len() {
            head.copy_from_slice(&self.tail);
            self.tail.clear();
            let input = buffer.get(..front + n)?;
            self.handle(input)
        } else {
            self.tail.extend_from_slice(space.get(..n)?);
            if self.tail.len() < self.needed {
                return Some(Turn::Again);
            }
            let input = std::mem::take(&mut self.tail);
            self.handle(&input)
        };
        match turn {
            Turn::Again if whole_turn => Some(Turn::Over(Step::Yield)),
            turn => Some(turn),
        }
    }

    /// Lets the broker handle `input` and keeps what it leaves.
    fn handle(&mut self, input: &[u8]) -> Turn {
        let broker = &self.shared.broker;
        let context = broker.context(self.shared.clock.now());
        let received = self
            .connection
            .receive(broker, input, &context, &mut self.dirty);
        let rest = input.get(received.consumed..).unwrap_or_default();
        self.needed = received.needed;
        // An idle connection keeps no buffer.
        if rest.is_empty() {
            self.tail = Vec::new();
        } else {
            self.tail.clear();
            self.tail.extend_from_slice(rest);
        }
        match received.flow {
            Flow::Continue => {
                // Packets behind CONNECT wait for the session that it made.
                self.unhandled = !rest.is_empty() && received.needed == 0;
                Turn::Again
            }
            Flow::Yield => {
                self.unhandled = !rest.is_empty();
                Turn::Over(Step::Yield)
            }
            Flow::Stall => {
                self.stalled = true;
                self.unhandled = !rest.is_empty();
                Turn::Again
            }
            Flow::Pause(wait) => {
                self.unhandled = !rest.is_empty();
                Turn::Over(Step::Pause(wait))
            }
            Flow::Authenticate(credentials) => {
                self.unhandled = !rest.is_empty();
                Turn::Over(Step::Authenticate(credentials))
            }
            Flow::End => Turn::Over(Step::End),
        }
    }

    /// The signal was set: the session left, a timer fired, or a writer found the socket full.
    fn handle_wake(&mut self) -> Option<Turn> {
        let broker = &self.shared.broker;
        let now = self.shared.clock.now();
        let context = broker.context(now);
        if let Flow::End = self
            .connection
            .handle_wake(broker, &context, &mut self.dirty)
        {
            return Some(Turn::Over(Step::End));
        }
        let session = self.connection.session()?.clone();
        let state = broker.output_state(&session);
        if state.broken && !self.broken {
            // Bytes that had arrived are read first; the end of the stream is at hand.
            self.broken = true;
            self.stalled = false;
            return Some(Turn::Again);
        }
        self.note_output(&state, now);
        if self.is_stuck(now) {
            self.stuck = true;
            return Some(self.lost("the client took no byte for too long"));
        }
        if !state.full && state.waiting {
            let broker = &self.shared.broker;
            broker.flush(&session, &broker.context(now), &mut self.dirty);
        }
        None
    }

    /// Writes on once the socket has room again, and reads on once the answers have left.
    fn poll_room(&mut self, cx: &mut Context<'_>) {
        if self.full_since.is_none() && !self.stalled {
            return;
        }
        let Some(session) = self.connection.session().cloned() else {
            return;
        };
        let broker = &self.shared.broker;
        if self.full_since.is_some() && self.poll_drained(cx) {
            self.full_since = None;
            let context = broker.context(self.shared.clock.now());
            broker.socket_has_room(&session);
            broker.flush(&session, &context, &mut self.dirty);
        }
        let state = broker.output_state(&session);
        self.note_output(&state, self.shared.clock.now());
    }

    /// Whether the socket has room and the link holds nothing back any more.
    fn poll_drained(&self, cx: &mut Context<'_>) -> bool {
        while self.socket.poll_writable(cx).is_ready() {
            if !matches!(self.socket.try_write(&[]), Written::Full(_)) {
                return true;
            }
        }
        false
    }

    fn note_output(&mut self, state: &OutputState, now: Instant) {
        if state.full && self.full_since.is_none() {
            self.full_since = Some(now);
        }
        if let Some(since) = self.full_since {
            self.connection.watch_stall(&self.shared.broker, since, now);
        }
        if self.stalled && state.unsent_answers <= UNSENT_ANSWERS {
            self.stalled = false;
        }
    }

    fn is_stuck(&self, now: Instant) -> bool {
        let limit = self.shared.broker.config().limits.write_stall;
        self.full_since
            .is_some_and(|since| now.saturating_duration_since(since) >= limit)
    }

    /// The connection is gone; everything that arrived was handled.
    fn lost(&mut self, why: &str) -> Turn {
        let broker = &self.shared.broker;
        let context = broker.context(self.shared.clock.now());
        self.connection
            .closed(broker, why, &context, &mut self.dirty);
        Turn::Over(Step::End)
    }

    /// Checks user name and password away from the workers: it takes milliseconds by design.
    async fn authenticate(&mut self, credentials: Credentials) {
        let shared = self.shared.clone();
        let check = tokio::task::spawn_blocking(move || {
            users::verify(&shared.broker.config().users, &credentials)
        });
        let is_valid = check.await.unwrap_or(false);
        let broker = &self.shared.broker;
        let context = broker.context(self.shared.clock.now());
        let flow = self
            .connection
            .authenticated(broker, is_valid, &context, &mut self.dirty);
        if let Flow::End = flow {
            self.socket.signal().set();
        }
    }

    async fn finish(mut self: Box<Self>) {
        let context_of = |shared: &Arc<Shared>| shared.clock.now();
        loop {
            let broker = &self.shared.broker;
            let context = broker.context(context_of(&self.shared));
            if broker.flush_some(WRITES_PER_TURN, &context, &mut self.dirty) {
                break;
            }
            tokio::task::yield_now().await;
        }
        if !self.stuck {
            farewell::say(&mut self.inbound, &*self.socket).await;
        }
    }
}

/// What a part of a turn says about the rest of it.
enum Turn {
    /// Go round again: there may be more.
    Again,
    Over(Step),
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "connection reset by the client".to_owned(),
        _ => error.to_string(),
    }
}
