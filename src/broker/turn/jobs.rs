//! Work that is nobody's turn: what is left of sessions that have ended, and what a turn did not come to
//! do. The timekeeper carries it out, in turns of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::budget::Charge;
use crate::chunked::Queue;
use crate::time::Moment;
use crate::topic::Filter;

use super::context::Context;
use super::dirty::{Dirty, Later};
use crate::broker::Broker;
use crate::broker::discard::{self, Discard, Rest};
use crate::broker::schedule::Alarm;
use crate::broker::session::{Session, Subscribed};

/// Subscriptions that end together with their session; more of them are left to a job.
const AT_ONCE: usize = 64;

/// What it costs to end a subscription, in steps.
const SUBSCRIPTION_STEPS: usize = 16;

/// Something to be done in pieces.
pub(in crate::broker) enum Job {
    /// Ends the subscriptions of a session that has ended.
    EndSubscriptions {
        session: Arc<Session>,
        subscriptions: BTreeMap<Box<str>, Subscribed>,
        /// The session's account.
        charge: Charge,
    },
    /// Goes on with what a turn did not come to do.
    Later(Later),
    /// Drops messages that nobody will come for.
    Discard(Box<dyn Discard>),
}

/// Messages that are dropped in one piece, and what each costs, in steps.
const DROPPED: usize = 256;
const DROP_STEPS: usize = 1;

/// Jobs in the order they came up.
pub(in crate::broker) struct Jobs {
    waiting: Mutex<Queue<Job>>,
    /// Sessions that have ended and have subscriptions that are still to end.
    endings: AtomicUsize,
    alarm: Arc<dyn Alarm>,
}

impl Jobs {
    pub(in crate::broker) fn new(alarm: Arc<dyn Alarm>) -> Self {
        Self {
            waiting: Mutex::default(),
            endings: AtomicUsize::new(0),
            alarm,
        }
    }

    /// Leaves a job to the timekeeper.
    pub(in crate::broker) fn leave(&self, job: Job) {
        self.waiting.lock().push_back(job);
        self.alarm.deadline_moved();
    }

    /// Whether there are subscriptions whose session has ended.
    #[inline]
    pub(in crate::broker) fn has_endings(&self) -> bool {
        self.endings.load(Ordering::Acquire) > 0
    }

    fn pop(&self) -> Option<Job> {
        self.waiting.lock().pop_front()
    }

    fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}

impl Rest for Jobs {
    fn drop_later(&self, rest: Box<dyn Discard>) {
        self.leave(Job::Discard(rest));
    }
}

impl Broker {
    /// Whether there is work for [`work`](Self::work).
    pub(crate) fn has_work(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Drops what may be long: a little now, much in turns.
    pub(crate) fn discard(&self, what: impl Discard + 'static) {
        discard::discard(what, &*self.jobs);
    }

    /// Works off jobs for one turn. Returns whether there is more to do.
    pub(crate) fn work(&self, now: impl Into<Moment>, dirty: &mut Dirty) -> bool {
        let context = self.context(now);
        while !dirty.is_spent() {
            let Some(mut job) = self.jobs.pop() else {
                return false;
            };
            if !job.carry_out(self, &context, dirty) {
                // The others' turn comes first.
                self.jobs.waiting.lock().push_back(job);
            } else if let Job::EndSubscriptions { .. } = job {
                self.jobs.endings.fetch_sub(1, Ordering::Release);
            }
        }
        self.has_work()
    }

    /// Ends every subscription of a session that has ended: a few now, many in turns.
    pub(in crate::broker) fn end_subscriptions(
        &self,
        session: &Arc<Session>,
        subscriptions: BTreeMap<Box<str>, Subscribed>,
        charge: Charge,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let is_small = subscriptions.len() <= AT_ONCE;
        let mut job = Job::EndSubscriptions {
            session: session.clone(),
            subscriptions,
            charge,
        };
        match is_small {
            true => while !job.carry_out_some(self, context, dirty) {},
            false => {
                self.jobs.endings.fetch_add(1, Ordering::Release);
                self.jobs.leave(job);
            }
        }
    }
}

impl Job {
    /// Goes on until the turn is over. Returns whether the job is done.
    fn carry_out(&mut self, broker: &Broker, context: &Context<'_>, dirty: &mut Dirty) -> bool {
        while !dirty.is_spent() {
            if self.carry_out_some(broker, context, dirty) {
                return true;
            }
        }
        false
    }

    /// Does a piece. Returns whether the job is done.
    fn carry_out_some(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        match self {
            Self::EndSubscriptions {
                session,
                subscriptions,
                charge,
            } => {
                let Some((full, subscribed)) = subscriptions.pop_first() else {
                    charge.set(0);
                    return true;
                };
                dirty.charge(SUBSCRIPTION_STEPS);
                if let Ok(filter) = Filter::parse(&full) {
                    broker.end_subscription(session, filter.filter, &subscribed, context, dirty);
                }
                false
            }
            // What is left of it then is on the list of this turn.
            Self::Later(work) => broker.go_on(work, context, dirty),
            Self::Discard(messages) => {
                dirty.charge(DROPPED * DROP_STEPS);
                messages.discard(DROPPED)
            }
        }
    }
}
