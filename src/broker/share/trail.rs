//! What a group did last, for those who watch its turn. There is a trail while somebody does; without one
//! a message costs a look at nothing.

use std::collections::VecDeque;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use std::time::Instant;

use crate::budget::{Budget, Charge, Kind};

use super::super::session::Session;
use super::Group;

/// Steps that are kept.
const STEPS: usize = 512;

/// Bytes of client identifiers that are kept; a step with one that is longer stands alone.
const NAMES: usize = 64 * 1024;

/// Members that are asked under one lock hold.
const LOOKED_AT: usize = 1000;

/// What those who watch are charged, whatever is there to be seen.
const CHARGED: usize = STEPS * size_of::<Step>() + NAMES;

/// One thing that happened in a group.
#[derive(Clone)]
pub(crate) struct Step {
    /// By the broker's clock.
    pub(crate) at: Instant,
    pub(crate) client_id: Arc<str>,
    pub(crate) what: What,
}

/// What happened to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It was handed a message.
    Pick(u64),
    /// It was handed a message that another member, or itself, had and did not acknowledge; `None`: who had it
    /// is forgotten.
    Redelivery(u64, Option<Arc<str>>),
    Join,
    /// It unsubscribed, or its session ended.
    Leave,
    /// It was found to have no connection.
    Away,
    /// It has a connection again.
    Back,
}

impl Step {
    fn names(&self) -> usize {
        let from = match &self.what {
            What::Redelivery(_, Some(from)) => from.len(),
            What::Pick(_)
            | What::Redelivery(_, None)
            | What::Join
            | What::Leave
            | What::Away
            | What::Back => 0,
        };
        self.client_id.len() + from
    }
}

pub(super) struct Trail {
    steps: VecDeque<Step>,
    /// Steps so far: the number of the next one.
    count: u64,
    names: usize,
    watchers: usize,
    _charge: Charge,
}

impl Trail {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            steps: VecDeque::new(),
            count: 0,
            names: 0,
            watchers: 0,
            // Few can watch at a time, and whoever looks for what takes the memory may be one of them.
            _charge: Charge::forced(budget, Kind::Http, CHARGED),
        }
    }

    #[cold]
    pub(super) fn pick(&mut self, at: Instant, session: &Session, number: u64, is_again: bool) {
        let what = match is_again {
            true => What::Redelivery(number, self.holder(number)),
            false => What::Pick(number),
        };
        self.note(at, session, what);
    }

    /// Who was handed a message last.
    fn holder(&self, number: u64) -> Option<Arc<str>> {
        let mut steps = self.steps.iter().rev();
        let found = steps.find(|step| match step.what {
            What::Pick(known) | What::Redelivery(known, _) => known == number,
            What::Join | What::Leave | What::Away | What::Back => false,
        });
        found.map(|step| step.client_id.clone())
    }

    #[cold]
    pub(super) fn note(&mut self, at: Instant, session: &Session, what: What) {
        let step = Step {
            at,
            client_id: session.shared_client_id().clone(),
            what,
        };
        self.names += step.names();
        self.steps.push_back(step);
        self.count += 1;
        while self.steps.len() > STEPS || (self.names > NAMES && self.steps.len() > 1) {
            if let Some(first) = self.steps.pop_front() {
                self.names -= first.names();
            }
        }
    }

    /// The last steps since number `from`, `most` at most, and how many there were in front of them.
    fn since(&self, from: u64, most: usize) -> (Vec<Step>, u64) {
        let new = usize::try_from(self.count - from).unwrap_or(usize::MAX);
        let shown = new.min(most).min(self.steps.len());
        let steps = self.steps.iter().skip(self.steps.len() - shown).cloned();
        (steps.collect(), self.count - from - shown as u64)
    }
}

/// How a group stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The number of its last message.
    pub(crate) number: u64,
    /// The place of the member that is next.
    pub(crate) cursor: usize,
    pub(crate) members: usize,
    pub(crate) queued: usize,
    pub(crate) dropped: u64,
}

/// Somebody who watches a group, until this is dropped.
pub(crate) struct Watching {
    group: Arc<Group>,
    /// The step to be seen next.
    from: u64,
}

/// What there is to be seen since the last look.
pub(crate) struct Seen {
    pub(crate) standing: Standing,
    pub(crate) steps: Vec<Step>,
    /// Steps in front of them that are not shown.
    pub(crate) skipped: u64,
}

impl Seen {
    /// Whether anything has happened.
    pub(crate) fn has_steps(&self) -> bool {
        self.skipped > 0 || !self.steps.is_empty()
    }
}

impl Watching {
    /// Whether this is the group that is watched: one that ended is another than the one with its names that
    /// follows.
    pub(crate) fn is_of(&self, group: &Arc<Group>) -> bool {
        Arc::ptr_eq(&self.group, group)
    }

    /// The last steps that were not seen, `most` at most: whoever is slower than the group sees how it goes on,
    /// not how it went. Publishers to the group wait while they are copied.
    pub(crate) fn look(&mut self, most: usize) -> Seen {
        let state = self.group.state.lock();
        let trail = state.trail.as_ref();
        let (steps, skipped) =
            trail.map_or_else(Default::default, |trail| trail.since(self.from, most));
        self.from += skipped + steps.len() as u64;
        Seen {
            standing: state.standing(),
            steps,
            skipped,
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut state = self.group.state.lock();
        if let Some(trail) = &mut state.trail {
            trail.watchers -= 1;
            if trail.watchers == 0 {
                state.trail = None;
            }
        }
    }
}

impl super::State {
    /// Something happened to a member.
    #[inline]
    pub(super) fn note(&mut self, at: Instant, session: &Session, what: What) {
        if let Some(trail) = &mut self.trail {
            trail.note(at, session, what);
        }
    }

    /// The member in `slot` has no connection.
    #[inline]
    pub(super) fn note_away(&mut self, slot: usize, at: Instant) {
        if let Some(trail) = &mut self.trail
            && let Some(member) = self.ring.get(slot)
        {
            trail.note(at, &member.session, What::Away);
        }
    }

    /// The member that had its turn last was handed a message.
    #[inline]
    pub(super) fn note_pick(&mut self, at: Instant, number: u64, is_again: bool) {
        if let Some(trail) = &mut self.trail
            && let Some(member) = self.ring.last_served()
        {
            trail.pick(at, &member.session, number, is_again);
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            number: self.sequence,
            cursor: self.ring.turn(),
            members: self.ring.len(),
            queued: self.backlog.len(),
            dropped: self.dropped,
        }
    }
}

impl Group {
    /// Begins to watch: what it does from now on is seen.
    pub(crate) fn watch(self: &Arc<Self>, budget: Budget) -> Watching {
        let mut state = self.state.lock();
        let trail = state
            .trail
            .get_or_insert_with(|| Box::new(Trail::new(budget)));
        trail.watchers += 1;
        Watching {
            group: self.clone(),
            from: trail.count,
        }
    }

    /// How many of its members have a connection. Publishers wait for some members at a time.
    pub(crate) fn connected(&self) -> usize {
        let (mut connected, mut from) = (0, 0);
        loop {
            let state = self.state.lock();
            let members = state.ring.iter_from(from);
            let some = members.take(LOOKED_AT);
            let mut count = 0;
            for slot in some {
                count += 1;
                let is_here = slot
                    .as_ref()
                    .is_some_and(|m| m.session.outbox().is_reachable());
                connected += usize::from(is_here);
            }
            if count < LOOKED_AT {
                return connected;
            }
            from += count;
        }
    }

    /// A number that is another one where messages were handed out, came to wait, or were lost, or members
    /// came or left. No more than a look under its lock.
    pub(crate) fn mark(&self, hasher: &mut impl Hasher) {
        let state = self.state.lock();
        let members = (state.ring.cursor(), state.ring.len());
        (state.sequence, members, state.backlog.len(), state.dropped).hash(hasher);
    }

    /// How it stands. Publishers to it wait meanwhile.
    pub(crate) fn standing(&self) -> Standing {
        self.state.lock().standing()
    }
}
