//! What waits in a group, and who takes it once there is room.

use std::sync::Arc;
use std::time::Instant;

use crate::budget::{Charge, Kind as Account};
use crate::config::ShareStrategy;
use crate::message::publication::Publication;

use super::super::outbox::memberships::IsHeld;
use super::super::outbox::{HandOver, TakenBack};
use super::super::session::Session;
use super::super::turn::{Context, Dirty};
use super::super::watch::{Glimpse, Subject};
use super::backlog::{Looked, Waiting};
use super::home::{Home, give_home, give_up, send_home};
use super::pick::Pick;
use super::{Ended, Group, More, State};

/// Messages that a member gets back under one lock hold, and what each costs besides its delivery, in
/// steps.
const GIVEN_BACK: usize = 64;
const GIVE_BACK_STEPS: usize = 4;

/// What one step of a drain came to.
enum Step {
    /// Something was done.
    Went,
    /// Nobody can take anything.
    Rest,
}

/// Who is left of the members of a group, as their sessions stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remaining {
    /// Nobody: all sessions have ended.
    Nobody,
    /// Some, but none that lets messages wait (rule 7).
    WithoutMessages,
    /// One that lets messages wait.
    ForMessages,
}

impl State {
    /// Keeps a message that nobody can take, if rule 7 and memory let it wait and there is room.
    pub(super) fn keep(
        &mut self,
        publication: &Publication<'_>,
        sequence: u64,
        context: &Context<'_>,
    ) {
        if !self.ring.lets_wait() {
            return self.drop_new(publication);
        }
        if publication.at_once.is_required() {
            return publication.at_once.note_refusal();
        }
        while self.is_full(context) {
            if !self.backlog.drop_expired(context.now) {
                self.dropped += 1;
                return;
            }
            self.expired += 1;
        }
        let message = publication.message(context.budget);
        match !self.has_queue() && self.ring.has_ready() {
            true => self.backlog.push_blocked(sequence, message),
            false => self.backlog.push(sequence, message),
        }
        self.settle(context);
    }

    /// Whether a new message has to wait for others.
    #[inline]
    pub(super) fn has_queue(&self) -> bool {
        !self.backlog.line.is_empty() || self.held > 0
    }

    pub(super) fn release(&mut self, is_held: IsHeld) {
        if is_held == IsHeld::Yes {
            self.held = self.held.saturating_sub(1);
        }
    }

    /// There is more to give back to a session: nothing is handed out meanwhile.
    pub(super) fn hold_on(&mut self, context: &Context<'_>) -> IsHeld {
        self.settle(context);
        self.held += 1;
        IsHeld::Yes
    }

    pub(super) fn is_full(&self, context: &Context<'_>) -> bool {
        self.backlog.len() >= context.limits.group_queue
            || self.backlog.bytes() >= context.limits.group_queue_bytes
    }

    /// Hands over what waits, in so many steps as one lock hold may have.
    pub(super) fn drain_some(
        &mut self,
        strategy: ShareStrategy,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> More {
        let end = dirty.steps() + context.batch;
        let mut more = More::Yes;
        loop {
            if let Step::Rest = self.step(strategy, context, dirty) {
                more = More::No;
                break;
            }
            dirty.charge(1);
            if dirty.steps() >= end {
                break;
            }
        }
        self.settle(context);
        more
    }

    /// Whether nobody will come for what waits.
    pub(super) fn is_forlorn(&self, dirty: &mut Dirty) -> bool {
        !self.ring.lets_wait() && !self.has_reachable(dirty)
    }

    /// No member takes a message: it goes home, if it has one, or is dropped.
    fn send_home_or_drop(
        &mut self,
        waiting: &Waiting,
        home: Option<Home>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let is_home = home.is_some_and(|home| send_home(waiting, home, context, dirty));
        self.dropped += u64::from(!is_home);
    }

    fn send_first_home_or_drop(&mut self, context: &Context<'_>, dirty: &mut Dirty) {
        if let Some((waiting, home)) = self.backlog.take_first() {
            self.send_home_or_drop(&waiting, home, context, dirty);
        }
    }

    /// Whether something waits and a member has a connection of which the ring is still to be told (rule 7): the groups of a
    /// session hear of one after the other, in more than one turn.
    fn has_reachable(&self, dirty: &mut Dirty) -> bool {
        if self.backlog.is_empty() {
            return false;
        }
        dirty.charge(self.ring.len());
        let mut members = self.ring.iter();
        members.any(|member| member.session.outbox().is_reachable())
    }

    /// Who is left of the members, and for what. The ring may know of some whose session has ended.
    pub(super) fn remaining(&self, dirty: &mut Dirty) -> Remaining {
        let mut remaining = Remaining::Nobody;
        for member in self.ring.iter() {
            dirty.charge(1);
            let outbox = member.session.outbox();
            if outbox.is_reachable() || (outbox.persistent && member.keeps() > 0) {
                return Remaining::ForMessages;
            }
            if outbox.persistent {
                remaining = Remaining::WithoutMessages;
            }
        }
        remaining
    }

    /// What the group, which has ended, had not delivered.
    pub(super) fn ended(&self) -> Ended {
        Ended {
            dropped: self.dropped,
            expired: self.expired,
        }
    }

    fn step(&mut self, strategy: ShareStrategy, context: &Context<'_>, dirty: &mut Dirty) -> Step {
        if self.backlog.drop_expired(context.now) {
            self.expired += 1;
            return Step::Went;
        }
        if self.held > 0 {
            return Step::Rest;
        }
        if !self.sweep.is_empty() {
            self.sweep_one(context, dirty);
            return Step::Went;
        }
        let first = self.backlog.line.first().map(|(number, _)| number);
        if let Some(slot) = self.ring.next_fresh() {
            let member = self.ring.get(slot);
            let looked = member.map_or_else(Looked::default, |member| member.looked);
            match self.backlog.next_for(looked).map(|(number, _)| number) {
                None => {
                    self.ring.end_fresh();
                    return Step::Went;
                }
                Some(number) if first.is_none_or(|first| number < first) => {
                    self.unblock_for(slot, number, context, dirty);
                    return Step::Went;
                }
                // Those in front of it come first.
                Some(_) => {}
            }
        } else if let Some(from) = self.review {
            // All that are ready have looked at all that is blocked.
            self.review_one(from, context, dirty);
            return Step::Went;
        }
        match first {
            Some(_) if self.ring.has_ready() => self.hand_over_first(strategy, context, dirty),
            Some(_) => self.look_at_first(context, dirty),
            None => Step::Rest,
        }
    }

    /// Offers the first message of the line to those that are ready.
    fn hand_over_first(
        &mut self,
        strategy: ShareStrategy,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Step {
        let Some((number, waiting)) = self.backlog.line.first() else {
            return Step::Rest;
        };
        let message = waiting.message.clone();
        let returned = waiting.returned;
        let publication = message.publication();
        match self.pick(&publication, number, returned, strategy, context, dirty) {
            Pick::Taken => {
                self.backlog.take_first();
                self.note_pick(context.now, number, returned.is_some());
            }
            Pick::TooLarge => self.send_first_home_or_drop(context, dirty),
            Pick::NoRoom if self.ring.has_ready() => self.backlog.block_first(),
            // The next step looks at it, and comes to rest.
            Pick::NoRoom | Pick::Nobody => {}
        }
        Step::Went
    }

    /// Nobody is ready. A message that is too large for all who are connected does not wait.
    fn look_at_first(&mut self, context: &Context<'_>, dirty: &mut Dirty) -> Step {
        let Some((_, waiting)) = self.backlog.line.first() else {
            return Step::Rest;
        };
        let message = waiting.message.clone();
        match self.find_full(&message.publication(), context, dirty) {
            Pick::TooLarge => {
                self.send_first_home_or_drop(context, dirty);
                Step::Went
            }
            Pick::Taken | Pick::NoRoom | Pick::Nobody if self.review.is_some() => Step::Went,
            Pick::Taken | Pick::NoRoom | Pick::Nobody => Step::Rest,
        }
    }

    /// Offers a blocked message to a member that has not looked at it.
    fn unblock_for(&mut self, slot: usize, number: u64, context: &Context<'_>, dirty: &mut Dirty) {
        let Some((_, waiting)) = self.backlog.blocked_from(number) else {
            return;
        };
        let message = waiting.message.clone();
        let returned = waiting.returned;
        let publication = message.publication();
        match self.offer(slot, &publication, number, returned, context, dirty) {
            HandOver::Taken(_) => {
                self.backlog.take_blocked(number);
                self.note_pick(context.now, number, returned.is_some());
            }
            HandOver::TooLarge { .. } | HandOver::Denied => {
                let looked = self.backlog.looked(number);
                if let Some(member) = self.ring.get_mut(slot) {
                    member.looked = looked;
                }
            }
            // It is not ready any more, and so not looked at again.
            HandOver::NoRoom | HandOver::NoMemory | HandOver::Absent => {}
        }
    }

    /// Whether what waits is to be looked at, whoever is ready.
    pub(super) fn is_to_look(&self) -> bool {
        self.review.is_some() || !self.sweep.is_empty()
    }

    /// Blocked messages are looked at again: a full member that could take them may be gone.
    pub(super) fn review_blocked(&mut self) {
        if self.backlog.has_blocked() {
            self.review = Some(0);
        }
    }

    /// Who is there has changed, or what waits: what is too large for all is to be found (rule 7).
    pub(super) fn sweep_too_large(&mut self, now: Instant) {
        if self.backlog.is_empty() {
            return;
        }
        let largest = self.confirm_largest(now);
        if self.ring.has_present() && self.backlog.begin_sweep(largest) {
            // New ones are looked at when they come.
            self.sweep = 0..self.sequence + 1;
        }
    }

    /// The largest packet that somebody may take. The group may not have been told of the connection of
    /// who takes it.
    fn confirm_largest(&mut self, now: Instant) -> u32 {
        loop {
            let largest = self.ring.largest();
            let Some(slot) = self.ring.largest_slot() else {
                return largest;
            };
            match self.reachable_size(slot) {
                Some(size) if size == largest => return largest,
                Some(size) => self.ring.resize(slot, size),
                None => self.note_loss(slot, now),
            }
        }
    }

    fn sweep_one(&mut self, context: &Context<'_>, dirty: &mut Dirty) {
        match self.backlog.sweep_from(self.sweep.start) {
            Some((number, waiting)) => {
                self.sweep.start = number + 1;
                if waiting.message.least_size() > self.ring.largest()
                    && let Some((waiting, home)) = self.backlog.take(number)
                {
                    self.send_home_or_drop(&waiting, home, context, dirty);
                }
            }
            None => self.sweep = 0..0,
        }
    }

    fn review_one(&mut self, from: u64, context: &Context<'_>, dirty: &mut Dirty) {
        let Some((number, waiting)) = self.backlog.blocked_from(from) else {
            self.review = None;
            self.reviews_all = false;
            return;
        };
        self.review = Some(number + 1);
        let message = waiting.message.clone();
        let publication = message.publication();
        // Those that are ready were found to be unable to take it.
        if self.reviews_all || self.find_full(&publication, context, dirty) != Pick::NoRoom {
            self.backlog.unblock(number);
        }
    }

    /// The member in `slot` has no connection.
    pub(super) fn lose(&mut self, slot: usize, now: Instant) {
        if self.ring.is_present(slot) {
            self.note_loss(slot, now);
            self.sweep_too_large(now);
        }
    }

    fn note_loss(&mut self, slot: usize, now: Instant) {
        self.note_away(slot, now);
        self.ring.disappear(slot);
        self.review_blocked();
    }

    /// The member in `slot`, which is present, may take what it could not take before.
    pub(super) fn begin_anew(&mut self, slot: usize) {
        self.ring.make_ready(slot);
        if let Some(member) = self.ring.get_mut(slot) {
            member.looked = Looked::default();
        }
        if self.backlog.has_blocked() {
            self.ring.refresh(slot);
        }
    }

    /// Sends a resumed member the messages it had before, as far as they still wait: some in one go.
    pub(super) fn give_back(
        &mut self,
        slot: usize,
        session: &Session,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> More {
        for _ in 0..GIVEN_BACK {
            let Some((number, waiting, home)) = self.backlog.take_returned(session.id) else {
                return More::No;
            };
            dirty.charge(GIVE_BACK_STEPS);
            let (Some(returned), Some(member)) = (waiting.returned, self.ring.get_mut(slot)) else {
                continue;
            };
            if waiting.message.is_expired(context.now) {
                self.backlog.put_aside(number, waiting.message, returned);
                continue;
            }
            match member.take_back(number, &waiting, returned, context, dirty) {
                TakenBack::Taken(_) => {
                    if let Some(trail) = &mut self.trail {
                        trail.pick(context.now, session, number, true);
                    }
                }
                TakenBack::Refused => self.backlog.put_aside(number, waiting.message, returned),
                TakenBack::NoRoom => {
                    let message = waiting.message;
                    self.backlog.put_back(number, message, returned, Some(home));
                    return More::No;
                }
            }
        }
        More::Yes
    }

    /// Gives a session that resumes and is no member any more what it had before, as far as that still waits: some in
    /// one go. It is the session's own from then on.
    pub(super) fn give_home_to(
        &mut self,
        session: &Session,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> More {
        for _ in 0..GIVEN_BACK {
            let Some((number, waiting, home)) = self.backlog.take_returned(session.id) else {
                return More::No;
            };
            let is_home = !waiting.message.is_expired(context.now)
                && give_home(&waiting, home, context, dirty).is_some();
            if !is_home && let Some(returned) = waiting.returned {
                self.backlog.put_aside(number, waiting.message, returned);
            }
        }
        More::Yes
    }

    /// Nobody will come for what waits, but for what goes home; the group, if it does not end, counts what does not.
    pub(super) fn drop_backlog(
        &mut self,
        group: Option<Arc<Group>>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        (self.review, self.sweep) = (None, 0..0);
        if self.backlog.is_empty() {
            return;
        }
        let backlog = std::mem::take(&mut self.backlog);
        self.dropped += give_up(backlog, group, context, dirty) as u64;
        self.charge = None;
        self.show(Subject::GroupQueues, context);
    }

    /// Shows how the group stands to whoever waits for that.
    #[inline]
    pub(super) fn show(&self, subject: Subject, context: &Context<'_>) {
        context.watch.show(subject, || Glimpse::Group {
            share: &self.share,
            filter: &self.filter,
            members: self.ring.len(),
            queued: self.backlog.len(),
        });
    }

    pub(super) fn settle(&mut self, context: &Context<'_>) {
        self.show(Subject::GroupQueues, context);
        let held = self.backlog.places();
        if held == 0 && self.charge.is_none() {
            return;
        }
        self.charge
            .get_or_insert_with(|| Charge::none(context.budget, Account::Queues))
            .settle(held);
    }
}
