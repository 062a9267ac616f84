//! The messages of a group that wait for a member.
//!
//! A message is in `line` until somebody takes it, or in `blocked`: then every ready member was found
//! to be unable to take it, and one that is full could. Those that are blocked hold up nobody. A message
//! that a member had before is `returned`, and is found by its session.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::codec::PacketId;
use crate::message::publication::Message;

use crate::broker::discard::Discard;
use crate::broker::outbox::line::{Aside, Line, Waits};

use super::home::Home;

/// A message that waits for a member.
pub(super) struct Waiting {
    pub(super) message: Message,
    /// Who had it, if it was handed over before.
    pub(super) returned: Option<Returned>,
}

/// The session that had a message, 0 if it does not come back, and under which identifier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Returned {
    pub(super) session: u64,
    pub(super) packet_id: PacketId,
}

impl Waits for Waiting {
    fn message(&self) -> &Message {
        &self.message
    }
}

#[derive(Default)]
pub(super) struct Backlog {
    pub(super) line: Line<Waiting>,
    blocked: Aside<Waiting>,
    /// By session and number, what was returned by a session that may come back, and then gets it first.
    returned: BTreeMap<(u64, u64), Home>,
    /// No message that waits has a larger [`least_size`](Message::least_size).
    largest: u32,
    /// The highest number that was ever blocked.
    last_blocked: u64,
    /// Grows when a message is blocked in front of one that members may have looked at already: they
    /// have to begin again.
    generation: u64,
}

/// What was returned.
struct Index(BTreeMap<(u64, u64), Home>);

impl Discard for Index {
    fn discard(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.0.pop_first().is_some());
        self.0.is_empty()
    }
}

/// How far a member has looked through the messages that are blocked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    /// It cannot take those up to this number.
    up_to: u64,
    generation: u64,
}

/// The one of two that has the lower number.
fn earlier<'a>(
    one: Option<(u64, &'a Waiting)>,
    other: Option<(u64, &'a Waiting)>,
) -> Option<(u64, &'a Waiting)> {
    let both = [one, other].into_iter().flatten();
    both.min_by_key(|(number, _)| *number)
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.line.len() + self.blocked.len()
    }

    /// The message that waits with the lowest number, and that number.
    pub(super) fn oldest(&self) -> Option<(u64, &Waiting)> {
        earlier(self.line.first(), self.blocked.next_from(0))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.blocked.is_empty()
    }

    pub(super) fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Bytes of the messages.
    pub(super) fn bytes(&self) -> usize {
        self.line.bytes() + self.blocked.bytes()
    }

    /// Bytes that it takes besides the messages.
    pub(super) fn places(&self) -> usize {
        self.line.places() + self.blocked.places()
    }

    /// Adds a message that was not handed over yet.
    pub(super) fn push(&mut self, number: u64, message: Message) {
        let waiting = self.waiting(message, None);
        self.line.insert(number, waiting);
    }

    /// Adds a message that comes back, from a session that may have it again if it has a home.
    pub(super) fn put_back(
        &mut self,
        number: u64,
        message: Message,
        returned: Returned,
        home: Option<Home>,
    ) {
        if let Some(home) = home {
            self.returned.insert((returned.session, number), home);
        }
        self.put_aside(number, message, returned);
    }

    /// Messages that have a home.
    pub(super) fn homes(&self) -> usize {
        self.returned.len()
    }

    /// Adds a message that its session did not take back: it may get it in its turn, as any other.
    pub(super) fn put_aside(&mut self, number: u64, message: Message, returned: Returned) {
        let waiting = self.waiting(message, Some(returned));
        self.line.insert_aside(number, waiting);
    }

    /// A message that is about to wait, whose size is noted.
    fn waiting(&mut self, message: Message, returned: Option<Returned>) -> Waiting {
        let before = match self.is_empty() {
            true => 0,
            false => self.largest,
        };
        self.largest = before.max(message.least_size());
        Waiting { message, returned }
    }

    /// Whether there may be messages that are larger than `largest`, all of which the caller is going to take.
    pub(super) fn begin_sweep(&mut self, largest: u32) -> bool {
        let is_due = !self.is_empty() && self.largest > largest;
        self.largest = self.largest.min(largest);
        is_due
    }

    /// The message with the lowest number from `from` on, and that number.
    pub(super) fn sweep_from(&mut self, from: u64) -> Option<(u64, &Waiting)> {
        earlier(self.line.sweep_from(from), self.blocked.next_from(from))
    }

    /// Takes a message that [`sweep_from`](Self::sweep_from) has shown, for good, with its home.
    pub(super) fn take(&mut self, number: u64) -> Option<(Waiting, Option<Home>)> {
        let waiting = self.remove(number)?;
        let home = self.take_home(number, &waiting);
        Some((waiting, home))
    }

    /// Removes a message of the line, of those that were put aside, or one that was blocked.
    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let in_line = self.line.remove(number);
        in_line.or_else(|| self.blocked.remove(number))
    }

    /// Takes the first message of the line, for good, with its home.
    pub(super) fn take_first(&mut self) -> Option<(Waiting, Option<Home>)> {
        let (number, waiting) = self.line.pop_first()?;
        let home = self.take_home(number, &waiting);
        Some((waiting, home))
    }

    /// Takes a message that was blocked, for good.
    pub(super) fn take_blocked(&mut self, number: u64) {
        if let Some(waiting) = self.blocked.remove(number) {
            self.take_home(number, &waiting);
        }
    }

    /// The first message of the line holds up nobody any more. All ready members have looked at it.
    pub(super) fn block_first(&mut self) {
        if let Some((number, waiting)) = self.line.pop_first() {
            self.block(number, waiting);
        }
    }

    /// Adds a new message that is blocked from the beginning.
    pub(super) fn push_blocked(&mut self, number: u64, message: Message) {
        let waiting = self.waiting(message, None);
        self.block(number, waiting);
    }

    fn block(&mut self, number: u64, waiting: Waiting) {
        if number <= self.last_blocked {
            self.generation += 1;
        }
        self.last_blocked = self.last_blocked.max(number);
        self.blocked.insert(number, waiting);
    }

    /// A message that was blocked gets in line again.
    pub(super) fn unblock(&mut self, number: u64) {
        if let Some(waiting) = self.blocked.remove(number) {
            self.line.insert_aside(number, waiting);
        }
    }

    /// The first blocked message whose number is `from` or higher.
    pub(super) fn blocked_from(&self, from: u64) -> Option<(u64, &Waiting)> {
        self.blocked.next_from(from)
    }

    /// The next blocked message that a member has not looked at.
    pub(super) fn next_for(&self, looked: Looked) -> Option<(u64, &Waiting)> {
        let from = match looked.generation == self.generation {
            true => looked.up_to + 1,
            false => 0,
        };
        self.blocked.next_from(from)
    }

    /// A member that has looked at all that is blocked up to `number`.
    pub(super) fn looked(&self, number: u64) -> Looked {
        Looked {
            up_to: number,
            generation: self.generation,
        }
    }

    /// Whether messages wait that a session had before and has not had again.
    pub(super) fn has_returned(&self, session: u64) -> bool {
        self.next_returned(session).is_some()
    }

    fn next_returned(&self, session: u64) -> Option<u64> {
        let of_session = (session, 0)..=(session, u64::MAX);
        let ((_, number), _) = self.returned.range(of_session).next()?;
        Some(*number)
    }

    /// Takes the first of the messages that a session had before and that still wait.
    pub(super) fn take_returned(&mut self, session: u64) -> Option<(u64, Waiting, Home)> {
        loop {
            let number = self.next_returned(session)?;
            let home = self.returned.remove(&(session, number))?;
            if let Some(waiting) = self.remove(number) {
                return Some((number, waiting, home));
            }
        }
    }

    /// Takes a message that some session had before and may have again.
    pub(super) fn take_any_returned(&mut self) -> Option<(Waiting, Home)> {
        loop {
            let ((_, number), home) = self.returned.pop_first()?;
            if let Some(waiting) = self.remove(number) {
                return Some((waiting, home));
            }
        }
    }

    /// Removes a message that has expired. Returns whether there was one.
    pub(super) fn drop_expired(&mut self, now: Instant) -> bool {
        let in_line = self.line.pop_expired(now);
        let Some((number, waiting)) = in_line.or_else(|| self.blocked.pop_expired(now)) else {
            return false;
        };
        self.take_home(number, &waiting);
        true
    }

    /// The home of a message that is taken.
    fn take_home(&mut self, number: u64, waiting: &Waiting) -> Option<Home> {
        let returned = waiting.returned?;
        self.returned.remove(&(returned.session, number))
    }

    /// What it consists of, to be thrown away.
    pub(super) fn into_parts(self) -> (Line<Waiting>, Aside<Waiting>, impl Discard) {
        (self.line, self.blocked, Index(self.returned))
    }
}
