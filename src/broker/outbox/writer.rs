//! The one writer: who takes the bytes of one connection, writes them, puts back what is left, and
//! tells the owner when nobody else will go on.
//!
//! Its state lies under one lock, that of the outbox, and under that of the [`Mailbox`] once the
//! session has left the connection. A write itself is outside any lock:
//!
//! ```text
//!   lock ─ take ─ unlock ─ write to the link ─ lock ─ report ─ unlock ─ wake the owner, if it must go on
//! ```
//!
//! What has to hold, and is checked over all interleavings by the workspace member `interleavings`:
//! bytes that were appended are written, in order, by somebody, without anything else having to
//! happen. So whoever finds bytes and nobody to write them takes that upon itself, and a writer that
//! cannot go on (the link is full, busy or broken) first reports that under the lock and only then
//! wakes the owner, who thus finds the outbox free.
//!
//! This file knows no socket and no packet, and uses no lock but through [`Place`] and `sync`.

use super::sync::Mutex;

/// Writes in a row, while others keep appending, before somebody else's turn.
const ROUNDS: usize = 8;

/// Bytes from which on a write is worth its system call at once.
const WORTH_A_WRITE: usize = 8 * 1024;

/// Bytes from which on a write that was put off falls to whoever appends.
const WELL_FILLED: usize = 32 * 1024;

/// Bytes in the order in which they are to be written.
pub(crate) trait Bytes: Default {
    fn len(&self) -> usize;

    /// Bytes of memory that are held for them alone.
    fn held(&self) -> usize {
        self.len()
    }

    /// Puts what a writer left in front of what was appended meanwhile.
    fn put_back(&mut self, front: Self);
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was taken.
    Done,
    /// The link would take more, but others are to have their turn.
    More,
    /// The link takes no more until it says so to its owner.
    Full,
    /// Somebody is busy with the link; the owner writes the rest.
    Deferred,
    /// The connection is broken.
    Broken,
}

/// Who has undertaken to write what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Awaited {
    #[default]
    Nobody,
    /// A turn, at its end.
    Turn,
    /// A turn that put the write off to the next one.
    NextTurn,
    /// The owner, who was woken for it.
    Owner,
}

/// Bytes composed and not yet written, and who is to write them.
#[derive(Default)]
pub(crate) struct Writer<B> {
    waiting: B,
    /// Bytes that a writer took away and has not reported on.
    taken: usize,
    /// Memory of those.
    taken_held: usize,
    /// Answers to the peer's own packets among the bytes, until all is written. Reading stops long before they are
    /// more than this can count.
    answers: u32,
    awaited: Awaited,
    /// Somebody is writing; others only append.
    is_writing: bool,
    /// The link takes no more; the owner writes when it does.
    is_full: bool,
    /// A write failed; the owner ends the connection when it has read what is left.
    is_broken: bool,
}

impl<B: Bytes> Writer<B> {
    /// Where packets are appended.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut B {
        &mut self.waiting
    }

    /// Notes that `bytes` of what was appended are answers to the peer's own packets.
    pub(crate) fn count_answers(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.answers = self.answers.saturating_add(bytes);
    }

    /// Bytes that wait for the socket.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.taken
    }

    /// Bytes of memory that are held for this connection alone.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        self.waiting.held() + self.taken_held
    }

    /// Bytes of unsent answers, at most.
    pub(crate) fn unsent_answers(&self) -> usize {
        self.answers as usize
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether another is in the middle of a write and will report.
    pub(crate) fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// The link takes bytes again.
    pub(crate) fn has_room(&mut self) {
        self.is_full = false;
    }

    /// Whether somebody has to be found who writes; the caller undertakes to if so.
    #[inline]
    pub(crate) fn undertake(&mut self) -> bool {
        let is_awaited = match self.awaited {
            Awaited::Nobody => false,
            Awaited::Turn | Awaited::Owner => true,
            Awaited::NextTurn => self.len() < WELL_FILLED,
        };
        let is_needed = !is_awaited && !self.is_writing && !self.is_full && !self.is_broken;
        if is_needed {
            self.awaited = Awaited::Turn;
        }
        is_needed
    }

    /// Puts the write off to the next turn of the task that undertook it, if it is hardly worth its
    /// system call yet. Answers to the peer's own packets do not wait. Returns whether it did.
    pub(crate) fn put_off(&mut self) -> bool {
        let may_wait = self.len() < WORTH_A_WRITE && self.answers == 0;
        if may_wait {
            self.awaited = Awaited::NextTurn;
        }
        may_wait
    }

    /// Whoever undertook to write leaves it to the owner. Returns whether the owner is to be woken:
    /// somebody who writes goes on by himself, and of a link that is full or broken it knows.
    pub(crate) fn leave_to_owner(&mut self) -> bool {
        let is_left =
            !self.is_writing && !self.is_full && !self.is_broken && self.waiting.len() > 0;
        self.awaited = match is_left {
            true => Awaited::Owner,
            false => Awaited::Nobody,
        };
        is_left
    }

    /// Takes the bytes for a write, if there are any and nobody else writes. `None` also when the
    /// link is full: then its owner comes back.
    pub(crate) fn take(&mut self) -> Option<B> {
        self.awaited = Awaited::Nobody;
        if self.is_writing || self.is_full || self.is_broken || self.waiting.len() == 0 {
            return None;
        }
        self.is_writing = true;
        self.taken = self.waiting.len();
        self.taken_held = self.waiting.held();
        Some(std::mem::take(&mut self.waiting))
    }

    /// Ends a write that [`take`](Self::take) began.
    pub(crate) fn report(&mut self, rest: B, outcome: Outcome) {
        self.is_writing = false;
        self.taken = 0;
        self.taken_held = 0;
        match outcome {
            Outcome::Done | Outcome::More => {}
            Outcome::Full => self.is_full = true,
            Outcome::Deferred => self.awaited = Awaited::Owner,
            // Nobody takes them any more; they go with the connection.
            Outcome::Broken => self.is_broken = true,
        }
        self.waiting.put_back(rest);
        if self.waiting.len() == 0 {
            self.answers = 0;
        }
    }

    /// The bytes that nobody has begun to write.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn waiting(&self) -> &B {
        &self.waiting
    }
}

/// Where a connection's writer lies, and the link that it writes to.
pub(crate) trait Place {
    type Bytes: Bytes;
    type Link: Clone;

    /// Takes bytes under the lock.
    fn take(&self) -> Option<Write<Self::Link, Self::Bytes>>;

    /// Writes to the link, holding no lock of the place.
    fn write(link: &Self::Link, bytes: &mut Self::Bytes) -> Outcome;

    /// Reports under the lock: that of the place or, if the session has left the connection
    /// meanwhile, that of the link's mailbox.
    fn report(&self, write: Write<Self::Link, Self::Bytes>, outcome: Outcome) -> Reported;

    /// Tells the owner to look at the outbox and the mailbox.
    fn wake(link: &Self::Link);
}

/// A write under way.
pub(crate) struct Write<L, B> {
    pub(crate) link: L,
    /// The connection that the bytes belong to.
    pub(crate) epoch: u64,
    pub(crate) bytes: B,
}

/// Where a report went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    Here,
    /// To the mailbox: the owner waits for it.
    Retired,
}

/// What [`write()`] left.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing that is the caller's to do.
    Nothing,
    /// Bytes that the link would take; the caller comes back to them.
    More,
}

/// Writes what waits at `place`, unless somebody else is at it, and counts the bytes.
pub(crate) fn write<P: Place>(place: &P, count: &mut usize) -> Left {
    for _ in 0..ROUNDS {
        let Some(mut write) = place.take() else {
            return Left::Nothing;
        };
        // The lock is free while the kernel copies: others go on appending.
        let waiting = write.bytes.len();
        let outcome = P::write(&write.link, &mut write.bytes);
        *count += waiting.saturating_sub(write.bytes.len());
        let owner = write.link.clone();
        let reported = place.report(write, outcome);
        match (reported, outcome) {
            (Reported::Here, Outcome::Done) => {}
            (Reported::Here, Outcome::More) => return Left::More,
            // Only after the report, so that the owner finds what it is woken for.
            (Reported::Retired, _)
            | (Reported::Here, Outcome::Full | Outcome::Deferred | Outcome::Broken) => {
                P::wake(&owner);
                return Left::Nothing;
            }
        }
    }
    Left::More
}

/// What was composed for a connection that its session has left, and the last words.
pub(crate) struct Retired<B, W> {
    pub(crate) writer: Writer<B>,
    pub(crate) words: W,
}

/// Holds what a connection leaves until its owner takes it. It is boxed, because nothing is in there as long as
/// the connection lives.
pub(crate) struct Mailbox<B, W>(Mutex<Option<Box<Retired<B, W>>>>);

impl<B: Bytes, W> Default for Mailbox<B, W> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<B: Bytes, W> Mailbox<B, W> {
    /// The session leaves the connection. The caller holds the lock of the place that the writer is
    /// taken from, because a report that came in between would find neither; the owner is woken
    /// afterwards.
    pub(crate) fn retire(&self, writer: Writer<B>, words: W) {
        *self.0.lock() = Some(Box::new(Retired { writer, words }));
    }

    /// A write that was under way when the connection retired has ended.
    pub(crate) fn report(&self, rest: B, outcome: Outcome) {
        if let Some(retired) = &mut *self.0.lock() {
            retired.writer.report(rest, outcome);
        }
    }

    /// What is left, once nobody else writes any more.
    pub(crate) fn take(&self) -> Option<Retired<B, W>> {
        let mut retired = self.0.lock();
        let taken = retired.take_if(|retired| !retired.writer.is_writing());
        taken.map(|retired| *retired)
    }

    /// Whether the session has left this connection.
    pub(crate) fn is_retired(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Looks at what is left.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&Retired<B, W>) -> R) -> Option<R> {
        self.0.lock().as_deref().map(look)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Text(String);

    impl Bytes for Text {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn put_back(&mut self, front: Self) {
            self.0.insert_str(0, &front.0);
        }
    }

    fn writer(text: &str) -> Writer<Text> {
        let mut writer = Writer::<Text>::default();
        writer.bytes().0.push_str(text);
        writer
    }

    #[test]
    fn bytes_appended_during_a_write_follow_what_it_left() {
        let mut writer = writer("abcdef");
        let mut taken = writer.take().unwrap();
        assert!(writer.take().is_none(), "one writes at a time");
        writer.bytes().0.push_str("gh");
        assert!(!writer.undertake(), "whoever writes comes back for it");
        assert_eq!(writer.len(), 8);
        taken.0.drain(..2);
        writer.report(taken, Outcome::Full);
        assert_eq!(writer.len(), 6);
        assert!(writer.take().is_none() && !writer.undertake());
        writer.has_room();
        assert_eq!(writer.take().unwrap().0, "cdefgh");
    }

    #[test]
    fn a_write_is_put_off_while_there_is_little_to_write() {
        let mut little = writer("abc");
        assert!(little.undertake() && !little.undertake());
        assert!(little.put_off() && !little.undertake());
        little.bytes().0.push_str(&"x".repeat(WELL_FILLED));
        assert!(little.undertake(), "whoever appends so much writes");
        assert!(!little.put_off() && !little.undertake());

        let mut answer = writer("abc");
        answer.count_answers(3);
        assert!(!answer.put_off(), "answers do not wait");
    }

    #[test]
    fn a_failed_write_leaves_nothing_to_write() {
        let mut writer = writer("abc");
        let taken = writer.take().unwrap();
        writer.report(taken, Outcome::Broken);
        writer.bytes().0.push_str("def");
        assert!(writer.take().is_none());
        assert!(!writer.undertake());
    }

    #[test]
    fn the_owner_is_asked_only_for_what_nobody_else_does() {
        assert!(!writer("").leave_to_owner());
        let mut left = writer("abc");
        assert!(left.undertake() && left.leave_to_owner());
        assert!(!left.undertake(), "the owner was woken for it");
        let taken = left.take().unwrap();
        assert!(!left.leave_to_owner());
        left.report(taken, Outcome::Deferred);
        assert!(!left.undertake(), "the owner is woken for it");
        assert_eq!(left.take().unwrap().0, "abc");
    }
}
