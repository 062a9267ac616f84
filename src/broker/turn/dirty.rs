//! The receivers that a turn has composed packets for and that nobody has written yet.

use std::collections::VecDeque;
use std::sync::Arc;

use super::context::Context;
use super::jobs::{Job, Jobs};
use crate::broker::Broker;
use crate::broker::outbox::Wake;
use crate::broker::session::Session;

/// What a turn does before others get theirs, in steps. One is what it takes to hand a small message to
/// a receiver, or two of a run, or to decode one: about an eighth of a microsecond.
pub(crate) const STEPS_PER_TURN: usize = 4096;

/// What a turn does of one who comes without having waited, while many wait.
pub(crate) const SHORT_TURN: usize = 512;

/// A turn writes to one socket for so many of its steps.
const STEPS_PER_WRITE: usize = 64;

/// A turn that delivered fewer messages than this writes all of them at once: a lone message waits
/// for nobody.
const FEW_DELIVERIES: usize = 8;

/// Work that a call began and did not finish: it had its share of the turn.
pub(crate) enum Later {
    /// Messages that wait in a group.
    Drain(Arc<dyn Drains>),
    /// Groups and messages that wait for a session, which has room.
    MakeRoom(Arc<Session>),
    /// Messages on their way from a session to its groups or back.
    Errand(Arc<Session>),
    /// A connection whose session's queue is full, to be ended.
    Overflow { session: Arc<Session>, epoch: u64 },
    /// Receivers of a message that nobody waits for.
    FanOut(Box<dyn GoesOn>),
    /// Messages of a group on their way to the sessions that had them.
    Homecoming(Box<dyn GoesOn>),
}

/// Somebody with whom messages wait, and who is on the list of a turn.
pub(crate) trait Drains: Send + Sync {
    /// Hands out what waits, as far as one lock hold goes.
    fn drain_listed(self: Arc<Self>, context: &Context<'_>, dirty: &mut Dirty);
}

/// Something that is done in pieces.
pub(crate) trait GoesOn: Send {
    /// Goes on until the turn is over, for a piece at least. Returns whether it is done.
    fn go_on(&mut self, broker: &Broker, context: &Context<'_>, dirty: &mut Dirty) -> bool;
}

/// What turns did not come to do. There is some, or it is not there.
struct LeftOver {
    /// Whoever has waited longest comes first.
    work: VecDeque<Later>,
    /// Where it goes if it is dropped.
    jobs: Arc<Jobs>,
}

/// Outboxes to be written at the end of a turn, and what is left to be done then. Every call that may
/// compose packets fills one. Of what is still in it when it is dropped, outboxes are left to the owners
/// of the connections, and work to the timekeeper.
#[must_use]
#[derive(Default)]
pub(crate) struct Dirty {
    sessions: Sessions,
    /// How many of them, from the front, have been there since before this turn.
    waited: u32,
    /// Boxed, because hardly a turn leaves any.
    later: Option<Box<LeftOver>>,
    /// Messages handed to receivers in this turn.
    deliveries: u32,
    /// What that took, by which a turn is bounded: a step for each message, for two of a run that was taken as such, or
    /// for each run that was copied in one piece.
    steps: u32,
    /// By how much this turn is shorter than [`STEPS_PER_TURN`].
    cut: u32,
}

/// The one that has waited longest comes first, and so takes along what came for it meanwhile.
///
/// Many a turn has only its own client to write to, and many a connection never another one.
#[derive(Default)]
struct Sessions {
    first: Option<Arc<Session>>,
    /// Those behind it.
    #[expect(
        clippy::box_collection,
        reason = "an idle connection would keep room for it: 8 bytes, not 32"
    )]
    others: Option<Box<VecDeque<Arc<Session>>>>,
}

impl Sessions {
    #[inline]
    fn len(&self) -> usize {
        let others = self.others.as_ref().map_or(0, |others| others.len());
        usize::from(self.first.is_some()) + others
    }

    #[inline]
    fn is_empty(&self) -> bool {
        // Whoever is popped gives his place to the next.
        self.first.is_none()
    }

    #[inline]
    fn push_back(&mut self, session: Arc<Session>) {
        match self.first {
            None => self.first = Some(session),
            Some(_) => self.others.get_or_insert_default().push_back(session),
        }
    }

    #[inline]
    fn pop_front(&mut self) -> Option<Arc<Session>> {
        let others = self.others.as_mut();
        let next = others.and_then(|others| others.pop_front());
        std::mem::replace(&mut self.first, next)
    }
}

impl Dirty {
    /// Notes a delivery, and the receiver if it needs a writer.
    #[inline]
    pub(in crate::broker) fn delivered(&mut self, session: &Arc<Session>, wake: Wake) {
        self.deliveries += 1;
        self.steps += 1;
        self.note(session, wake);
    }

    /// Notes that one receiver was offered `messages` in so many steps.
    #[inline]
    pub(in crate::broker) fn offered(&mut self, messages: usize, steps: usize) {
        self.deliveries += counted(messages);
        self.charge(steps);
    }

    /// Starts counting for another turn. Receivers that wait for a writer stay, and have waited.
    pub(crate) fn begin_turn(&mut self) {
        self.deliveries = 0;
        self.steps = 0;
        self.waited = counted(self.sessions.len());
    }

    /// Sets after how many steps turns are over, from now on.
    pub(crate) fn set_share(&mut self, steps: usize) {
        self.cut = counted(STEPS_PER_TURN.saturating_sub(steps));
    }

    /// The steps after which a turn is over.
    #[inline]
    pub(crate) fn share(&self) -> usize {
        STEPS_PER_TURN - self.cut as usize
    }

    /// The sockets that a turn writes to, one at least.
    #[inline]
    pub(crate) fn writes(&self) -> usize {
        (self.share() / STEPS_PER_WRITE).max(1)
    }

    /// Notes work that took about as long as so many deliveries.
    #[inline]
    pub(crate) fn charge(&mut self, steps: usize) {
        self.steps += counted(steps);
    }

    /// Whether the turn has done its share.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.steps() >= self.share()
    }

    /// The steps at which the turn is over; one is always left.
    #[inline]
    pub(in crate::broker) fn end_of_turn(&self) -> usize {
        self.share().max(self.steps() + 1)
    }

    /// What has been done in this turn.
    #[inline]
    pub(crate) fn steps(&self) -> usize {
        self.steps as usize
    }

    #[inline]
    pub(crate) fn note(&mut self, session: &Arc<Session>, wake: Wake) {
        if wake == Wake::Writer {
            self.sessions.push_back(session.clone());
        }
    }

    /// There is more to write to a receiver whose turn is over.
    pub(in crate::broker) fn come_back(&mut self, session: &Arc<Session>) {
        self.sessions.push_back(session.clone());
    }

    /// Notes work that is to be done after others had their turn.
    #[cold]
    pub(crate) fn later(&mut self, work: Later, context: &Context<'_>) {
        let later = self.later.get_or_insert_with(|| {
            Box::new(LeftOver {
                work: VecDeque::new(),
                jobs: context.jobs.clone(),
            })
        });
        later.work.push_back(work);
    }

    pub(in crate::broker) fn pop_later(&mut self) -> Option<Later> {
        let later = self.later.as_mut()?;
        let work = later.work.pop_front();
        if later.work.is_empty() {
            self.later = None;
        }
        work
    }

    pub(in crate::broker) fn pop(&mut self) -> Option<Arc<Session>> {
        self.waited = self.waited.saturating_sub(1);
        self.sessions.pop_front()
    }

    /// The next of the first `count` that is to be written to in this turn; counts down what it looks
    /// at.
    ///
    /// The write to one of several receivers that got little in a turn that delivered much is put off,
    /// once, until the other tasks that are ready have had a turn: they may have more for it, and a
    /// write costs the system call and hardly its bytes.
    pub(in crate::broker) fn pop_due(&mut self, count: &mut usize) -> Option<Arc<Session>> {
        while *count > 0 {
            *count -= 1;
            let is_alone = self.sessions.len() == 1;
            let may_wait =
                self.waited == 0 && self.deliveries as usize >= FEW_DELIVERIES && !is_alone;
            let session = self.pop()?;
            if !(may_wait && session.outbox().put_off()) {
                return Some(session);
            }
            self.sessions.push_back(session);
        }
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.later.is_none()
    }
}

/// So many in the half of a word: a turn ends long before there are more.
#[inline]
fn counted(count: usize) -> u32 {
    debug_assert!(count <= u32::MAX as usize, "{count}");
    count as u32
}

impl Drop for Dirty {
    fn drop(&mut self) {
        while let Some(session) = self.sessions.pop_front() {
            session.leave_to_owner();
        }
        if let Some(later) = self.later.take() {
            let LeftOver { work, jobs } = *later;
            work.into_iter()
                .for_each(|work| jobs.leave(Job::Later(work)));
        }
    }
}
