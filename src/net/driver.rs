//! The task behind one connection: hands the socket to the connection's [`Turn`], and sleeps until the
//! socket or a signal wants it.
//!
//! All of a turn happens inside one poll: bytes lie in a buffer of the thread, packets borrow from
//! it, and answers and deliveries leave before the task sleeps again. A lone message goes from one
//! socket to the other without waking anybody.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::auth::Source;
use crate::broker::{ConnectionFacts, Link, Written};
use crate::client::turn::READ_SIZE;
use crate::client::{Input, Inquiry, Io, Next, Turn, Verdict};
use crate::engine::BusyPlace;

use super::place::Place;
use super::socket::{Inbound, Socket};
use super::{Shared, passwords};
#[cfg(feature = "aws")]
use super::{authorizers, enrolments};

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

type Answer = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// What is done for a connection, until it ends. What opens one is large, and gone once it is open: it ends with what
/// goes on in its place, and so does what drives one, with nothing.
pub(super) struct Course(Pin<Box<dyn Future<Output = Option<Self>> + Send>>);

impl Course {
    pub(super) fn new(first: impl Future<Output = Option<Self>> + Send + 'static) -> Self {
        Self(Box::pin(first))
    }
}

impl Future for Course {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(next) = ready!(self.0.as_mut().poll(cx)) {
            *self = next;
        }
        Poll::Ready(())
    }
}

/// A connection being driven, from its first byte to its last.
///
/// A future of its own, and no function that waits: what that would keep between its turns is here, once.
struct Driver<I> {
    /// Given back when the connection is over.
    place: Place,
    inbound: I,
    turn: Turn,
    /// The last turn left something to do, and there is a place for the next one.
    busy: Option<BusyPlace>,
    /// Boxed, because an idle connection waits for its socket alone.
    waits: Option<Box<Waits>>,
}

/// What a connection waits for besides its socket.
#[derive(Default)]
struct Waits {
    /// What is found out for the client, away from the workers.
    answer: Option<Answer>,
    /// A place for its next turn.
    in_line: Option<InLine>,
}

type InLine = Pin<Box<dyn Future<Output = Option<BusyPlace>> + Send>>;

/// What ends a poll.
enum End {
    Yield,
    Done,
}

/// Drives a connection at its place, which waits for CONNECT since `since`.
pub(super) fn drive<I: Inbound>(
    place: Place,
    inbound: I,
    link: Arc<dyn Link>,
    facts: ConnectionFacts,
    since: Instant,
) -> Course {
    let turn = Turn::new(&place.shared.engine.broker, link, facts, since);
    Course::new(Driver {
        place,
        inbound,
        turn,
        busy: None,
        waits: None,
    })
}

impl<I: Inbound> Future for Driver<I> {
    type Output = Option<Course>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Course>> {
        let driver = &mut *self;
        loop {
            ready!(driver.wait_in_line(cx));
            // Turns are bounded by what they do. The runtime's own bound would make a socket look
            // empty that is not.
            let turns = tokio::task::coop::unconstrained(poll_fn(|cx| driver.poll_and_count(cx)));
            match ready!(pin!(turns).poll(cx)) {
                End::Yield => {
                    let turns = &driver.place.shared.turns;
                    driver.busy = turns.free_place();
                    match driver.busy {
                        Some(_) => ready!(let_others(cx)),
                        None => {
                            let in_line = Box::pin(turns.clone().place());
                            driver.waits.get_or_insert_default().in_line = Some(in_line);
                        }
                    }
                }
                End::Done => return Poll::Ready(None),
            }
        }
    }
}

impl<I: Inbound> Driver<I> {
    /// Waits for a place after a turn that left something to do, and then until others had their turn.
    fn wait_in_line(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(waits) = &mut self.waits
            && let Some(in_line) = &mut waits.in_line
        {
            self.busy = ready!(in_line.as_mut().poll(cx));
            waits.in_line = None;
            return let_others(cx);
        }
        Poll::Ready(())
    }

    fn poll_and_count(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let begun = Instant::now();
        let turns = &self.place.shared.turns;
        self.turn.begin(turns.share(self.busy.is_some()));
        let end = self.poll_turns(cx);
        self.busy = None;
        self.waits.take_if(|waits| waits.answer.is_none());
        self.place.shared.turns.count(begun.elapsed());
        end
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let shared = &self.place.shared;
        loop {
            if let Some(waits) = &mut self.waits
                && let Some(answer) = &mut waits.answer
                && let Poll::Ready(verdict) = answer.as_mut().poll(cx)
            {
                waits.answer = None;
                let now = shared.engine.clock.now();
                self.turn.answered(&shared.engine.broker, verdict, now);
            }
            let mut io = Ends {
                cx,
                inbound: &mut self.inbound,
            };
            let next = READ_BUFFER.with_borrow_mut(|buffer| {
                if buffer.is_empty() {
                    // As the system gives it: pages that nobody reads into take no memory.
                    *buffer = vec![0; READ_SIZE];
                }
                let clock = || shared.engine.clock.now();
                self.turn.run(&shared.engine.broker, clock, buffer, &mut io)
            });
            // Nobody waits for the word any more.
            if !self.turn.is_open() {
                self.waits = None;
            }
            match next {
                Next::Wait => return Poll::Pending,
                Next::Go => {}
                Next::Yield => return Poll::Ready(End::Yield),
                Next::Ask(inquiry) => {
                    let answer = answer(shared, self.turn.source(), inquiry);
                    self.waits.get_or_insert_default().answer = Some(answer);
                }
                Next::Done => return Poll::Ready(End::Done),
            }
        }
    }
}

/// Has the runtime poll the task again when others had their turn.
fn let_others(cx: &mut Context<'_>) -> Poll<()> {
    pin!(tokio::task::yield_now()).poll(cx)
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
struct Ends<'a, 'c, I> {
    cx: &'a mut Context<'c>,
    inbound: &'a mut I,
}

impl<I: Inbound> Io for Ends<'_, '_, I> {
    fn take_signal(&mut self) -> bool {
        self.inbound.socket().signal().take(self.cx.waker())
    }

    fn read(&mut self, buf: &mut [u8]) -> Input {
        self.inbound.read(self.cx, buf)
    }

    fn has_input(&self) -> bool {
        self.inbound.socket().has_input()
    }

    fn has_room(&mut self) -> bool {
        let socket = self.inbound.socket();
        while socket.poll_writable(self.cx).is_ready() {
            if !matches!(socket.try_write(&[]), Written::Full(_)) {
                return true;
            }
        }
        false
    }

    fn shut_down(&mut self) {
        self.inbound.shut_down();
    }

    fn half_close(&mut self) {
        self.inbound.half_close();
    }

    fn reset(&mut self) {
        self.inbound.socket().reset();
    }
}
