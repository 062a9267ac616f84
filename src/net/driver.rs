//! The task behind one connection: hands the socket to the connection's [`Turn`], and sleeps until the
//! socket or a signal wants it.
//!
//! All of a turn happens inside one poll: bytes lie in a buffer of the thread, packets borrow from
//! it, and answers and deliveries leave before the task sleeps again. A lone message goes from one
//! socket to the other without waking anybody.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use crate::auth::Source;
use crate::broker::{ConnectionFacts, Link, Written};
use crate::client::turn::READ_SIZE;
use crate::client::{Input, Inquiry, Io, Next, Turn, Verdict};

use super::place::Place;
use super::socket::{Inbound, Socket};
use super::{Shared, passwords};
#[cfg(feature = "aws")]
use super::{authorizers, enrolments};

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

type Answer = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// A connection being driven.
pub(super) struct Driver<I, S> {
    /// Given back when the connection is over.
    place: Place,
    inbound: I,
    socket: Arc<S>,
    turn: Turn,
    /// What is found out for the client, away from the workers.
    answer: Option<Answer>,
    /// For the next turn, as the last one left something to do.
    permit: Option<OwnedSemaphorePermit>,
}

/// What ends a poll.
enum End {
    Yield,
    Done,
}

impl<I: Inbound, S: Socket> Driver<I, S> {
    /// A driver for a connection that waits for CONNECT since `since`. Boxed, so that the task's
    /// future holds it once.
    pub(super) fn new(
        place: Place,
        inbound: I,
        socket: Arc<S>,
        facts: ConnectionFacts,
        since: Instant,
    ) -> Box<Self> {
        let link: Arc<dyn Link> = socket.clone();
        let turn = Turn::new(&place.shared.engine.broker, link, facts, since);
        Box::new(Self {
            place,
            inbound,
            socket,
            turn,
            answer: None,
            permit: None,
        })
    }

    /// Drives the connection from its first byte to its last.
    pub(super) async fn drive(mut self: Box<Self>) {
        loop {
            // Turns are bounded by what they do. The runtime's own bound would make a socket look
            // empty that is not.
            let turns = tokio::task::coop::unconstrained(poll_fn(|cx| self.poll_and_count(cx)));
            match turns.await {
                End::Yield => {
                    self.permit = match self.place.shared.turns.free_place() {
                        Some(permit) => Some(permit),
                        // Boxed, because an idle connection would keep room for it.
                        None => Box::pin(self.place.shared.turns.place()).await,
                    };
                    tokio::task::yield_now().await;
                }
                End::Done => return,
            }
        }
    }

    fn poll_and_count(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let begun = Instant::now();
        let turns = &self.place.shared.turns;
        self.turn.begin(turns.share(self.permit.is_some()));
        let end = self.poll_turns(cx);
        self.permit = None;
        self.place.shared.turns.count(begun.elapsed());
        end
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let shared = &self.place.shared;
        loop {
            if let Some(answer) = &mut self.answer
                && let Poll::Ready(verdict) = answer.as_mut().poll(cx)
            {
                self.answer = None;
                let now = shared.engine.clock.now();
                self.turn.answered(&shared.engine.broker, verdict, now);
            }
            let mut io = Ends {
                cx,
                inbound: &mut self.inbound,
                socket: &*self.socket,
            };
            let next = READ_BUFFER.with_borrow_mut(|buffer| {
                if buffer.is_empty() {
                    buffer.resize(READ_SIZE, 0);
                }
                let clock = || shared.engine.clock.now();
                self.turn.run(&shared.engine.broker, clock, buffer, &mut io)
            });
            // Nobody waits for the word any more.
            if !self.turn.is_open() {
                self.answer = None;
            }
            match next {
                Next::Wait => return Poll::Pending,
                Next::Go => {}
                Next::Yield => return Poll::Ready(End::Yield),
                Next::Ask(inquiry) => {
                    self.answer = Some(answer(shared, self.turn.source(), inquiry))
                }
                Next::Done => return Poll::Ready(End::Done),
            }
        }
    }
}

/// Sees to what a client waits for.
fn answer(shared: &Arc<Shared>, source: Source, inquiry: Inquiry) -> Answer {
    let shared = shared.clone();
    match inquiry {
        Inquiry::Credentials(credentials) => {
            Box::pin(passwords::check(shared, source, *credentials))
        }
        #[cfg(feature = "aws")]
        Inquiry::Enrolment(facts) => Box::pin(enrolments::enrol(shared, source, facts)),
        #[cfg(feature = "aws")]
        Inquiry::Authorization(application) => {
            Box::pin(authorizers::authorize(shared, source, application))
        }
    }
}

/// Both directions of a connection, during one poll of its task.
struct Ends<'a, 'c, I, S> {
    cx: &'a mut Context<'c>,
    inbound: &'a mut I,
    socket: &'a S,
}

impl<I: Inbound, S: Socket> Io for Ends<'_, '_, I, S> {
    fn take_signal(&mut self) -> bool {
        self.socket.signal().take(self.cx.waker())
    }

    fn read(&mut self, buf: &mut [u8]) -> Input {
        self.inbound.read(self.cx, buf)
    }

    fn has_input(&self) -> bool {
        self.socket.has_input()
    }

    fn has_room(&mut self) -> bool {
        while self.socket.poll_writable(self.cx).is_ready() {
            if !matches!(self.socket.try_write(&[]), Written::Full(_)) {
                return true;
            }
        }
        false
    }

    fn shut_down(&mut self) {
        self.socket.shut_down();
    }

    fn half_close(&mut self) {
        self.socket.half_close();
    }

    fn reset(&mut self) {
        self.socket.reset();
    }
}
