//! What a session has to do with its shared groups when its connection ends and when the next one begins
//! (design 3, rule 4): nothing of it takes longer than a turn, however much there is.
//!
//! Of a connection that ends, the messages that were handed over go back to their groups. A group hands
//! out nothing of QoS 1 and 2 from the first of them until the last is there, so that all go out in the
//! order of their numbers. A new connection first waits until all have gone back; then each group gives
//! back to it what nobody else has got meanwhile, and hands out nothing while it does. Whoever begins an
//! errand goes on with it until his turn is over. The rest is on the list of the turn.

use std::sync::Arc;

use super::outbox::window::Walk;

use super::Broker;
use super::outbox::Surrendered;
use super::outbox::memberships::Task;
use super::session::Session;
use super::share::{Group, More};
use super::turn::{Context, Dirty, Later};

/// Messages that leave a window in one piece, and what each costs until it is back in its group, in
/// steps.
const SURRENDERED: usize = 64;
const SURRENDER_STEPS: usize = 4;

impl Broker {
    /// Begins an errand of a session, if there is one that nobody carries out.
    pub(super) fn run_errand(
        &self,
        session: &Arc<Session>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let is_owner = session.outbox().memberships().is_some_and(|m| m.own());
        if is_owner {
            let _ = self.go_on_with_errand(session, context, dirty);
        }
    }

    /// Goes on with an errand that was on a list.
    pub(super) fn run_listed_errand(
        &self,
        session: &Arc<Session>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        if self.go_on_with_errand(session, context, dirty) == More::No {
            // A connection that began meanwhile has waited for this.
            self.make_room(session, context, dirty);
        }
    }

    fn go_on_with_errand(
        &self,
        session: &Arc<Session>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> More {
        while self.carry_out_task(session, context, dirty) == More::Yes {
            if dirty.is_spent() {
                dirty.later(Later::Errand(session.clone()), context);
                return More::Yes;
            }
        }
        More::No
    }

    fn carry_out_task(
        &self,
        session: &Arc<Session>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> More {
        let task = {
            let mut outbox = session.outbox();
            outbox
                .memberships()
                .map_or(Task::Nothing, |m| m.next_task())
        };
        dirty.charge(1);
        match task {
            Task::Announce(handle) => Group::of(handle).hold(),
            Task::Surrender(walk) => self.surrender_some(session, walk, context, dirty),
            Task::Conclude(handle, is_held) => {
                Group::of(handle).depart(session, is_held, context, dirty);
            }
            Task::Resume(index, handle, is_held) => {
                let is_held = Group::of(handle).resume(session, is_held, context, dirty);
                if let Some(memberships) = session.outbox().memberships() {
                    memberships.resumed(index, is_held);
                }
            }
            Task::Departed => {
                let mut outbox = session.outbox();
                if outbox.is_reachable() {
                    let wake = outbox.begin_resuming(context);
                    dirty.note(session, wake);
                }
            }
            Task::GoOn => {}
            Task::End => {
                let lost = session.outbox().end_window(context);
                Self::count(&self.counters.dropped, lost as u64);
                return More::No;
            }
            Task::Nothing => return More::No,
        }
        More::Yes
    }

    /// Takes some messages out of the window and puts them back into their groups.
    fn surrender_some(
        &self,
        session: &Arc<Session>,
        mut walk: Walk,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut surrendered = Vec::new();
        let (has_more, owner) = {
            let mut outbox = session.outbox();
            let has_more = outbox.surrender(&mut walk, SURRENDERED, &mut surrendered);
            let owner = outbox.persistent.then_some(session);
            (has_more, owner)
        };
        dirty.charge(SURRENDERED / 8 + surrendered.len() * SURRENDER_STEPS);
        surrendered.sort_by_key(|(membership, _)| *membership);
        let mut rest = surrendered.into_iter().peekable();
        while let Some((membership, first)) = rest.next() {
            let mut of_group = vec![first];
            while let Some((_, one)) = rest.next_if(|(other, _)| *other == membership) {
                of_group.push(one);
            }
            self.put_back(session, membership, of_group, owner, context);
        }
        let mut outbox = session.outbox();
        if let Some(memberships) = outbox.memberships() {
            memberships.surrendered(has_more.then_some(walk));
        }
        if !has_more {
            outbox.end_surrender();
        }
        outbox.settle(context);
    }

    fn put_back(
        &self,
        session: &Arc<Session>,
        membership: u32,
        surrendered: Vec<Surrendered>,
        owner: Option<&Arc<Session>>,
        context: &Context<'_>,
    ) {
        let handle = session.outbox().group_of(membership);
        let kept = match handle.map(Group::of) {
            Some(group) => group.put_back(surrendered, owner, context),
            None => surrendered,
        };
        if !kept.is_empty() {
            session.outbox().keep_surrendered(kept, context);
        }
    }
}
