//! A shared group: the ring of members, the cursor, and the messages that wait for somebody to take
//! them. One lock guards all of it, and a message gets its number, its member and its place in that
//! member's outbox under it; the order of locks is group, then outbox.
//!
//! ```text
//!            publish ──► number ──► pick: cursor, next, next … ──► outbox of the first that can
//!                                     │ nobody can
//!                                     ▼
//!  member gone ──► returned ──► line, ordered by number ──► drain, when somebody makes room
//!                                  │ only full members could     ▲ one of them makes room,
//!                                  ▼                             │ or all of them are gone
//!                               blocked: holds up nobody ────────┘
//! ```
//!
//! Nobody holds the lock for more than a bounded number of steps. What is left over then goes on the list
//! of the turn ([`Dirty`]): at rest a group is on such a list, or nobody can take anything that waits.

mod backlog;
mod bits;
mod home;
mod members;
mod pick;
mod ring;
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "the HTTP API shows more of it")
)]
mod snapshot;
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "it is watched over HTTP")
)]
mod trail;
mod waiting;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::budget::Charge;
use crate::chance::SplitMix;
use crate::codec::QoS;
use crate::config::ShareStrategy;
use crate::message::publication::Publication;
use crate::message::subscription::Subscription;

use super::outbox::Surrendered;
use super::outbox::memberships::{GroupHandle, IsHeld, Shared};
use super::session::Session;
use super::turn::{Context, Dirty, Drains, Later};
use super::watch::Subject;

use backlog::{Backlog, Looked, Returned};
use home::Home;
pub(super) use home::Leftovers;
use members::Member;
use pick::Pick;
use ring::Ring;
#[cfg(feature = "http")]
pub(crate) use snapshot::GroupHead;
pub(crate) use snapshot::{GroupSnapshot, MemberSnapshot};
#[cfg(feature = "http")]
pub(crate) use trail::{Seen, Standing, Step, Watching, What};
use trail::{Trail, What as Happened};
use waiting::Remaining;

/// The pair of ShareName and TopicFilter, for as long as it has a member (MQTT-4.8.2-1, AWS-SHARE-04).
pub(crate) struct Group {
    pub(super) share: Arc<str>,
    pub(super) filter: Arc<str>,
    strategy: ShareStrategy,
    /// The last member left, or its session ended; a new member makes a new group. Changes under the lock.
    ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those of the group, for whoever is told how it stands.
    share: Arc<str>,
    filter: Arc<str>,
    ring: Ring,
    backlog: Backlog,
    /// Blocked messages from this number on are to be looked at again: a full member that could take
    /// them may be gone.
    review: Option<u64>,
    /// The review takes all of them: what members may have has changed.
    reviews_all: bool,
    /// Messages with these numbers may be too large for all, since somebody is gone.
    sweep: Range<u64>,
    charge: Option<Charge>,
    /// The number of the last message.
    sequence: u64,
    dropped: u64,
    expired: u64,
    random: SplitMix,
    /// Members whose messages are on their way back to the group, or from it to them: meanwhile nothing
    /// of QoS 1 and 2 is handed out, because numbers are missing.
    held: u32,
    /// It is on the list of a turn, or of the timekeeper.
    is_listed: bool,
    /// What it did last, while somebody watches.
    trail: Option<Box<Trail>>,
}

/// Whether a call stopped before everything was done that could be done at once.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Yes,
    No,
}

/// What waits in a group, and what it lost so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupTotals {
    pub(super) queued: usize,
    pub(super) dropped: u64,
    pub(super) expired: u64,
}

impl Group {
    pub(super) fn new(share: &str, filter: &str, strategy: ShareStrategy, seed: u64) -> Self {
        let (share, filter): (Arc<str>, Arc<str>) = (share.into(), filter.into());
        let state = State {
            share: share.clone(),
            filter: filter.clone(),
            random: SplitMix::new(seed),
            ..State::default()
        };
        Self {
            share,
            filter,
            strategy,
            ended: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// The group that a session's place names: nothing else is [`Shared`] (`tests/tidy.rs`).
    pub(super) fn of(handle: GroupHandle) -> Arc<Self> {
        let any: Arc<dyn Any + Send + Sync> = handle;
        any.downcast()
            .expect("invariant: only a group is named by a handle")
    }

    /// Hands messages, each to the member whose turn it is, or keeps or drops them by rule 7.
    pub(super) fn publish(
        self: &Arc<Self>,
        publications: &[Publication<'_>],
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut state = self.state.lock();
        if state.trail.is_some() {
            return self.publish_watched(state, publications, context, dirty);
        }
        let mut end = dirty.steps() + context.batch;
        for publication in publications {
            if dirty.steps() >= end {
                // Others wait for the lock.
                drop(state);
                state = self.state.lock();
                end = dirty.steps() + context.batch;
            }
            if self.has_ended() {
                return;
            }
            state.publish(publication, self.strategy, context, dirty);
        }
        if state.is_to_look() {
            self.list(&mut state, context, dirty);
        }
    }

    /// The same while somebody watches the turn.
    #[cold]
    fn publish_watched<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        publications: &[Publication<'_>],
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut end = dirty.steps() + context.batch;
        for publication in publications {
            if dirty.steps() >= end {
                drop(state);
                state = self.state.lock();
                end = dirty.steps() + context.batch;
            }
            if self.has_ended() {
                return;
            }
            let pick = state.publish(publication, self.strategy, context, dirty);
            if pick == Pick::Taken {
                let number = state.sequence;
                state.note_pick(context.now, number, false);
            }
        }
        if state.is_to_look() {
            self.list(&mut state, context, dirty);
        }
    }

    /// Adds a member at the end of the ring. Fails when the group has ended or is full. What waits is
    /// handed out once the subscription was answered: the caller calls [`drain`](Self::drain) then.
    pub(super) fn join(
        self: &Arc<Self>,
        session: &Arc<Session>,
        subscription: &Arc<Subscription>,
        context: &Context<'_>,
    ) -> Result<(), JoinError> {
        let mut state = self.state.lock();
        if self.has_ended() {
            return Err(JoinError::Ended);
        }
        let limit = context.limits.group_members;
        if limit.is_some_and(|limit| state.ring.len() >= limit) {
            return Err(JoinError::Full);
        }
        let mut outbox = session.outbox();
        let membership = outbox.join(self.clone());
        // Whoever leaves just now is asked in vain, and told of.
        let size = outbox.packet_size(membership).unwrap_or(u32::MAX);
        let options = subscription.options();
        drop(outbox);
        let member = Member {
            session: session.clone(),
            subscription: subscription.clone(),
            membership,
            qos: options.map_or(QoS::AtMostOnce, |options| options.qos),
            delivered: 0,
            redelivered: 0,
            looked: Looked::default(),
            is_fresh: false,
        };
        state.note(context.now, session, Happened::Join);
        state.ring.push(member, size);
        let slot = state.ring.find(session.id);
        slot.into_iter().for_each(|slot| state.begin_anew(slot));
        state.sweep_too_large(context.now);
        state.show(Subject::Subscriptions, context);
        Ok(())
    }

    /// Ends the group if the sessions of all members have ended: many subscriptions leave one after the other, in more
    /// than one turn, and whoever joins meanwhile gets nothing of what was theirs (MQTT-3.1.2-4; design 3, rule 8).
    /// Where others are left, drops what waited for those alone (rule 7).
    pub(super) fn end_with_sessions(
        self: &Arc<Self>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Option<Ended> {
        if !context.jobs.has_endings() {
            return None;
        }
        let mut state = self.state.lock();
        let remaining = state.remaining(dirty);
        if remaining == Remaining::ForMessages {
            return None;
        }
        if remaining == Remaining::WithoutMessages {
            state.drop_backlog(Some(self.clone()), context, dirty);
            return None;
        }
        state.drop_backlog(None, context, dirty);
        self.ended.store(true, Ordering::Release);
        Some(state.ended())
    }

    /// Whether something waits.
    pub(super) fn has_backlog(&self) -> bool {
        !self.state.lock().backlog.is_empty()
    }

    /// A member subscribed again: it keeps its place, and may take what waits, as with
    /// [`join`](Self::join).
    pub(super) fn renew(&self, session: &Session) {
        let mut state = self.state.lock();
        let Some(slot) = state.ring.find(session.id) else {
            return;
        };
        if let Some(member) = state.ring.get(slot) {
            let options = member.subscription.options();
            let qos = options.map_or(QoS::AtMostOnce, |options| options.qos);
            state.ring.regrant(slot, qos);
        }
        if state.ring.is_present(slot) {
            state.begin_anew(slot);
        }
        state.review_blocked();
    }

    /// UNSUBSCRIBE or the end of a session. Tells if the group ended with its last member.
    ///
    /// Messages that the leaver had and did not acknowledge stay with it for now: it may still
    /// acknowledge them (design 3, rule 8).
    pub(super) fn leave(
        self: &Arc<Self>,
        session: &Session,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Option<Ended> {
        let mut state = self.state.lock();
        let slot = state.ring.find(session.id)?;
        let member = state.ring.remove(slot)?;
        state.note(context.now, session, Happened::Leave);
        member.subscription.end();
        {
            let mut outbox = session.outbox();
            if state.backlog.has_returned(session.id) {
                outbox.owe(member.membership);
            }
            outbox.leave(member.membership);
        }
        if self.has_ended() {
            return None;
        }
        let ended = state.ring.is_empty();
        self.ended.store(ended, Ordering::Release);
        state.show(Subject::Subscriptions, context);
        if !ended {
            state.review_blocked();
            state.sweep_too_large(context.now);
            self.go_on(state, context, dirty);
            return None;
        }
        state.drop_backlog(None, context, dirty);
        Some(state.ended())
    }

    /// Messages of a member that is gone are about to come back: nothing goes out before all of them are
    /// here.
    pub(super) fn hold(&self) {
        self.state.lock().held += 1;
    }

    /// Messages come back, of the session `owner` if it may resume. Returns them if the group has
    /// ended: they stay with the session.
    #[must_use]
    pub(super) fn put_back(
        &self,
        surrendered: Vec<Surrendered>,
        owner: Option<&Arc<Session>>,
        context: &Context<'_>,
    ) -> Vec<Surrendered> {
        let mut state = self.state.lock();
        if self.has_ended() {
            return surrendered;
        }
        for one in surrendered {
            let returned = Returned {
                session: owner.map_or(0, |owner| owner.id),
                packet_id: one.packet_id,
            };
            let home = owner.map(|owner| Home::new(owner, &one));
            let message = one.delivery.message;
            let backlog = &mut state.backlog;
            backlog.put_back(one.sequence, message, returned, home);
        }
        state.sweep_too_large(context.now);
        state.settle(context);
        Vec::new()
    }

    /// A member's connection ended, and what it had not acknowledged is here: the member is absent from
    /// the ring, and the messages go to the next members (design 3, rule 4).
    pub(super) fn depart(
        self: &Arc<Self>,
        session: &Session,
        is_held: IsHeld,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut state = self.state.lock();
        state.release(is_held);
        if self.has_ended() {
            return;
        }
        if let Some(slot) = state.ring.find(session.id)
            && !session.outbox().is_reachable()
        {
            state.lose(slot, context.now);
        }
        self.go_on(state, context, dirty);
    }

    /// The session of a member, or of one that was, has a connection again: what it had and still waits comes first, then
    /// the queue drains. Returns whether there is more to give back; the group is held meanwhile.
    #[must_use]
    pub(super) fn resume(
        self: &Arc<Self>,
        session: &Session,
        is_held: IsHeld,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> IsHeld {
        let mut state = self.state.lock();
        state.release(is_held);
        let Some(slot) = state.ring.find(session.id) else {
            // It has unsubscribed.
            if state.give_home_to(session, context, dirty) == More::Yes {
                return state.hold_on(context);
            }
            self.go_on(state, context, dirty);
            return IsHeld::No;
        };
        if let Some(size) = state.reachable_size(slot) {
            if !state.ring.is_present(slot) {
                state.note(context.now, session, Happened::Back);
            }
            let awaited = state.ring.awaits_one();
            state.ring.appear(slot, size);
            state.begin_anew(slot);
            if awaited && !state.ring.awaits_one() {
                // What waited for somebody who is away does so no more, and may be too large for all.
                state.review_blocked();
            }
            state.sweep_too_large(context.now);
            if state.give_back(slot, session, context, dirty) == More::Yes {
                return state.hold_on(context);
            }
        }
        self.go_on(state, context, dirty);
        IsHeld::No
    }

    /// A member that was refused for want of room has some.
    pub(super) fn has_room(
        self: &Arc<Self>,
        session: &Session,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut state = self.state.lock();
        if let Some(slot) = state.ring.find(session.id)
            && state.ring.is_present(slot)
        {
            state.ring.make_ready(slot);
            if state.backlog.has_blocked() {
                state.ring.refresh(slot);
            }
        }
        self.go_on(state, context, dirty);
    }

    /// What members may have has changed: what waited for somebody who may have it is offered again.
    #[cfg(any(feature = "aws", test))]
    pub(super) fn review(self: &Arc<Self>, context: &Context<'_>, dirty: &mut Dirty) {
        let mut state = self.state.lock();
        if state.backlog.has_blocked() {
            state.review = Some(0);
            state.reviews_all = true;
        }
        self.go_on(state, context, dirty);
    }

    /// Hands out what waits.
    pub(super) fn drain(self: &Arc<Self>, context: &Context<'_>, dirty: &mut Dirty) {
        self.go_on(self.state.lock(), context, dirty);
    }

    /// Hands out what waits, if the turn has time for it.
    fn go_on(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        #[cfg(test)]
        tests::costs::count_visit();
        if state.backlog.is_empty() {
            return state.settle(context);
        }
        if dirty.is_spent() {
            state.settle(context);
            return self.list(&mut state, context, dirty);
        }
        self.take_slice(state, context, dirty);
    }

    /// Hands out what waits, as far as one lock hold goes; the rest goes on the list of the turn.
    fn take_slice(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        if state.drain_some(self.strategy, context, dirty) == More::Yes {
            self.list(&mut state, context, dirty);
        } else if state.is_forlorn(dirty) {
            state.drop_backlog(Some(self.clone()), context, dirty);
            state.settle(context);
        }
    }

    /// Counts a message that is lost. Returns whether the group still counts.
    fn count_lost(&self) -> bool {
        let mut state = self.state.lock();
        let counts = !self.has_ended();
        state.dropped += u64::from(counts);
        counts
    }

    /// Puts the group on the list of the turn, unless it is on one.
    fn list(self: &Arc<Self>, state: &mut State, context: &Context<'_>, dirty: &mut Dirty) {
        if !std::mem::replace(&mut state.is_listed, true) {
            dirty.later(Later::Drain(self.clone()), context);
        }
    }

    /// Its members, and the messages that wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.ring.len(), state.backlog.len())
    }

    /// What waits, and what was lost.
    pub(super) fn totals(&self) -> GroupTotals {
        let state = self.state.lock();
        GroupTotals {
            queued: state.backlog.len(),
            dropped: state.dropped,
            expired: state.expired,
        }
    }
}

impl Shared for Group {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn share(&self) -> &str {
        &self.share
    }
}

impl Drains for Group {
    fn drain_listed(self: Arc<Self>, context: &Context<'_>, dirty: &mut Dirty) {
        let mut state = self.state.lock();
        state.is_listed = false;
        self.take_slice(state, context, dirty);
    }
}

/// What a group that ended had not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) dropped: u64,
    pub(super) expired: u64,
}

/// Why a session did not become a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinError {
    /// The group ended between look-up and join; look it up again.
    Ended,
    /// It has as many members as the limit allows (AWS-LIM-22).
    Full,
}

#[cfg(test)]
mod tests;
