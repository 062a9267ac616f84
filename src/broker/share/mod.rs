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
mod members;
mod ring;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::budget::{Charge, Kind as Account};
use crate::codec::QoS;
use crate::config::ShareStrategy;
use crate::message::publication::Publication;
use crate::message::subscription::Subscription;

use super::outbox::memberships::{GroupHandle, IsHeld, Shared};
use super::outbox::{HandOver, Suits, Surrendered};
use super::part_bounds::PartBounds;
use super::random::SplitMix;
use super::session::Session;
use super::turn::{Context, Dirty, Drains, Later};

use backlog::{Backlog, Looked, Returned};
use members::Member;
use ring::{Kind, Ring};

/// Members that are asked in vain for a message while there is no memory for it: it would have to find
/// one that takes it at once.
const ASKED_IN_NEED: usize = 64;

/// Members that are passed over in a step, because a packet is too large for them.
const PASSED_IN_STEP: usize = 32;

/// Messages that a member gets back under one lock hold, and what each costs besides its delivery, in
/// steps.
const GIVEN_BACK: usize = 64;
const GIVE_BACK_STEPS: usize = 4;

/// The pair of ShareName and TopicFilter, for as long as it has a member (MQTT-4.8.2-1, AWS-SHARE-04).
pub(crate) struct Group {
    pub(super) share: Arc<str>,
    pub(super) filter: Box<str>,
    strategy: ShareStrategy,
    /// The last member left; a new member makes a new group. Changes under the lock.
    ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ring: Ring,
    backlog: Backlog,
    /// Blocked messages from this number on are to be looked at again: a full member that could take
    /// them may be gone.
    review: Option<u64>,
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
}

/// How a pick ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pick {
    Taken,
    /// A member could take it if it had room, and its mark is set; or if there were memory.
    NoRoom,
    /// No member is connected.
    Nobody,
    /// It exceeds the Maximum Packet Size of every connected member.
    TooLarge,
}

/// Whether a call stopped before everything was done that could be done at once.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Yes,
    No,
}

/// What one step of a drain came to.
enum Step {
    /// Something was done.
    Went,
    /// Nobody can take anything.
    Rest,
}

/// A group as the HTTP API shows it.
#[derive(Clone, Debug)]
pub(crate) struct GroupSnapshot {
    pub(crate) share: String,
    pub(crate) filter: String,
    pub(crate) cursor: usize,
    /// The first ones, in join order.
    pub(crate) members: Vec<MemberSnapshot>,
    /// All of them.
    pub(crate) members_total: usize,
    pub(crate) queued: usize,
    pub(crate) dropped: u64,
}

/// What waits in a group, and what it lost so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupTotals {
    pub(super) queued: usize,
    pub(super) dropped: u64,
    pub(super) expired: u64,
}

/// A member as the HTTP API shows it.
#[derive(Clone, Debug)]
pub(crate) struct MemberSnapshot {
    pub(crate) client_id: String,
    pub(crate) connected: bool,
    pub(crate) in_flight: u32,
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
}

impl Group {
    pub(super) fn new(share: &str, filter: &str, strategy: ShareStrategy, seed: u64) -> Self {
        let state = State {
            random: SplitMix::new(seed),
            ..State::default()
        };
        Self {
            share: share.into(),
            filter: filter.into(),
            strategy,
            ended: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// The group that a session's place names.
    pub(super) fn of(handle: GroupHandle) -> Option<Arc<Self>> {
        let any: Arc<dyn Any + Send + Sync> = handle;
        any.downcast().ok()
    }

    /// Hands messages, each to the member whose turn it is, or keeps or drops them by rule 7.
    pub(super) fn publish(
        self: &Arc<Self>,
        publications: &[Publication<'_>],
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut state = self.state.lock();
        let mut end = dirty.steps() + context.batch;
        for publication in publications {
            if dirty.steps() >= end {
                // Others wait for the lock.
                drop(state);
                state = self.state.lock();
                end = dirty.steps() + context.batch;
            }
            if state.ring.is_empty() {
                return;
            }
            state.publish(publication, self.strategy, context, dirty);
        }
        if state.review.is_some() {
            self.list(&mut state, context, dirty);
        }
    }

    /// Adds a member at the end of the ring. Fails when the group has ended or is full. What waits is
    /// handed out once the subscription was answered: the caller calls [`drain`](Self::drain) then.
    pub(super) fn join(
        self: &Arc<Self>,
        session: &Arc<Session>,
        subscription: &Arc<Subscription>,
        limit: Option<usize>,
    ) -> Result<(), JoinError> {
        let mut state = self.state.lock();
        if self.has_ended() {
            return Err(JoinError::Ended);
        }
        if limit.is_some_and(|limit| state.ring.len() >= limit) {
            return Err(JoinError::Full);
        }
        let mut outbox = session.outbox();
        let membership = outbox.join(self.clone());
        let size = outbox.packet_size(membership);
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
        state.ring.push(member, size);
        let slot = state.ring.find(session.id);
        slot.into_iter().for_each(|slot| state.begin_anew(slot));
        Ok(())
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
        let ended = state.ring.is_empty();
        self.ended.store(ended, Ordering::Release);
        member.subscription.end();
        session.outbox().leave(member.membership);
        if !ended {
            state.review_blocked();
            self.go_on(state, context, dirty);
            return None;
        }
        state.drop_backlog(context);
        Some(Ended {
            dropped: state.dropped,
            expired: state.expired,
        })
    }

    /// Messages of a member that is gone are about to come back: nothing goes out before all of them are
    /// here.
    pub(super) fn hold(&self) {
        self.state.lock().held += 1;
    }

    /// Messages come back of the session `owner`, 0 if it will not resume. Returns them if the group has
    /// ended: they stay with the session.
    #[must_use]
    pub(super) fn put_back(
        &self,
        surrendered: Vec<Surrendered>,
        owner: u64,
        context: &Context<'_>,
    ) -> Vec<Surrendered> {
        let mut state = self.state.lock();
        if self.has_ended() {
            return surrendered;
        }
        for one in surrendered {
            let returned = Returned {
                session: owner,
                packet_id: one.packet_id,
            };
            let message = one.delivery.message;
            state.backlog.put_back(one.sequence, message, returned);
        }
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
            state.lose(slot);
        }
        self.go_on(state, context, dirty);
    }

    /// A member's session has a connection again: what it had and still waits comes first, then the
    /// queue drains. Returns whether there is more to give back; the group is held meanwhile.
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
        if let Some(slot) = state.ring.find(session.id)
            && let Some(size) = state.reachable_size(slot)
        {
            state.ring.appear(slot, size);
            state.begin_anew(slot);
            if state.give_back(slot, session, context, dirty) == More::Yes {
                state.settle(context);
                state.held += 1;
                return IsHeld::Yes;
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
        }
    }

    /// Puts the group on the list of the turn, unless it is on one.
    fn list(self: &Arc<Self>, state: &mut State, context: &Context<'_>, dirty: &mut Dirty) {
        if !std::mem::replace(&mut state.is_listed, true) {
            dirty.later(Later::Drain(self.clone()), context);
        }
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

    /// The group as it stands, with its first members as far as `bounds` go: publishers wait
    /// meanwhile.
    pub(crate) fn snapshot(&self, bounds: PartBounds) -> GroupSnapshot {
        let state = self.state.lock();
        let members = bounds.take(state.ring.iter(), |member| member.session.client_id());
        let members = members.map(|member| {
            let outbox = member.session.outbox();
            MemberSnapshot {
                client_id: member.session.client_id().to_owned(),
                connected: outbox.is_reachable(),
                in_flight: outbox
                    .membership(member.membership)
                    .map_or(0, |membership| membership.in_flight),
                delivered: member.delivered,
                redelivered: member.redelivered,
            }
        });
        GroupSnapshot {
            share: self.share.to_string(),
            filter: self.filter.to_string(),
            cursor: state.ring.turn(),
            members: members.collect(),
            members_total: state.ring.len(),
            queued: state.backlog.len(),
            dropped: state.dropped,
        }
    }
}

impl Shared for Group {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
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

/// Who gets a message.
impl State {
    fn publish(
        &mut self,
        publication: &Publication<'_>,
        strategy: ShareStrategy,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        self.sequence += 1;
        let sequence = self.sequence;
        let lasts = publication.qos > QoS::AtMostOnce;
        let pick = match lasts && self.has_queue() {
            true => self.get_in_line(publication, context, dirty),
            false => self.pick(publication, sequence, false, strategy, context, dirty),
        };
        match pick {
            Pick::Taken => publication.at_once.note_taken(),
            Pick::NoRoom | Pick::Nobody if lasts => self.keep(publication, sequence, context),
            Pick::NoRoom | Pick::Nobody | Pick::TooLarge => self.drop_new(publication),
        }
    }

    /// Offers a message around the ring, from the cursor on, until somebody takes it. Only ready
    /// members are asked; if none of them takes it, those that are left ready cannot.
    #[inline(always)]
    fn pick(
        &mut self,
        publication: &Publication<'_>,
        sequence: u64,
        redelivery: bool,
        strategy: ShareStrategy,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        let start = match strategy {
            ShareStrategy::RoundRobin => self.ring.cursor(),
            ShareStrategy::Random => self.ring.any_slot(|bound| self.random.below(bound)),
        };
        // Nearly always it is the next.
        let first = self.ring.next_ready(Kind::of(publication.qos), start);
        let refused = match first {
            None => None,
            Some(slot) => {
                match self.offer(slot, publication, sequence, redelivery, context, dirty) {
                    HandOver::Taken(_) => return Pick::Taken,
                    refused => Some((slot, refused)),
                }
            }
        };
        self.pick_another(
            publication,
            sequence,
            redelivery,
            start,
            refused,
            context,
            dirty,
        )
    }

    /// Offers a message on around the ring, after the first that was ready has refused it.
    #[cold]
    #[expect(clippy::too_many_arguments, reason = "the second half of `pick`")]
    fn pick_another(
        &mut self,
        publication: &Publication<'_>,
        sequence: u64,
        redelivery: bool,
        start: usize,
        mut refused: Option<(usize, HandOver)>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        let kind = Kind::of(publication.qos);
        let (mut pick, mut refusals) = (Pick::Nobody, 0);
        let (mut at, mut end) = (start, usize::MAX);
        // Known once a member was found to be too small for it: that is rare.
        let (mut size, mut passed) = (0, 0);
        loop {
            let (slot, result) = match refused.take() {
                Some(first) => first,
                None => {
                    let next = match size {
                        0 => self.ring.next_ready(kind, at),
                        _ => self.ring.next_ready_for(kind, size, at, &mut passed),
                    };
                    let slot = match next {
                        Some(slot) if slot < end => slot,
                        _ if end == usize::MAX => {
                            (at, end) = (0, start);
                            continue;
                        }
                        _ => break,
                    };
                    let result =
                        self.offer(slot, publication, sequence, redelivery, context, dirty);
                    (slot, result)
                }
            };
            at = slot + 1;
            match result {
                HandOver::Taken(_) => {
                    dirty.charge(passed / PASSED_IN_STEP);
                    return Pick::Taken;
                }
                HandOver::NoRoom => pick = Pick::NoRoom,
                HandOver::NoMemory => {
                    pick = Pick::NoRoom;
                    refusals += 1;
                    if refusals == ASKED_IN_NEED {
                        return Pick::NoRoom;
                    }
                }
                HandOver::TooLarge { .. } => {
                    size = least_size(publication);
                    if pick == Pick::Nobody {
                        pick = Pick::TooLarge;
                    }
                }
                HandOver::Absent => {}
            }
        }
        dirty.charge(passed / PASSED_IN_STEP);
        if kind == Kind::AtMostOnce || pick == Pick::NoRoom {
            return pick;
        }
        match self.find_full(publication, context, dirty) {
            Pick::Nobody => pick,
            found => found,
        }
    }

    /// The Maximum Packet Size of the member in `slot`, if it has a connection.
    fn reachable_size(&self, slot: usize) -> Option<u32> {
        let member = self.ring.get(slot)?;
        let mut outbox = member.session.outbox();
        outbox
            .is_reachable()
            .then(|| outbox.packet_size(member.membership))
    }

    /// Offers a message to the member in `slot`.
    fn offer(
        &mut self,
        slot: usize,
        publication: &Publication<'_>,
        sequence: u64,
        redelivery: bool,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> HandOver {
        let Some(member) = self.ring.get_mut(slot) else {
            return HandOver::Absent;
        };
        let result = member.offer(publication, sequence, context, dirty);
        if let HandOver::Taken(_) = result {
            member.delivered += 1;
            member.redelivered += u64::from(redelivery);
            self.ring.advance_behind(slot);
            return result;
        }
        self.note_refusal(slot, publication.qos, result);
        dirty.charge(1);
        result
    }

    #[cold]
    fn note_refusal(&mut self, slot: usize, qos: QoS, result: HandOver) {
        match result {
            HandOver::NoRoom | HandOver::TooLarge { has_room: false } => {
                self.ring.refuse(slot, Kind::of(qos));
            }
            HandOver::Absent => self.lose(slot),
            HandOver::Taken(_) | HandOver::NoMemory | HandOver::TooLarge { has_room: true } => {}
        }
    }

    /// Whether a full member could take a message if it had room, it is too large for all of them, or
    /// there is none.
    fn find_full(
        &mut self,
        publication: &Publication<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        let (mut found, mut at, mut passed) = (Pick::Nobody, 0, 0);
        let size = least_size(publication);
        while let Some(slot) = self.ring.next_full(size, at, &mut passed) {
            at = slot + 1;
            dirty.charge(1);
            let suits = self.ring.get(slot).map(|m| m.suits(publication, context));
            match suits {
                Some(Suits::Yes) => {
                    found = Pick::NoRoom;
                    break;
                }
                Some(Suits::TooLarge) => found = Pick::TooLarge,
                Some(Suits::Absent) | None => self.lose(slot),
            }
        }
        dirty.charge(passed / PASSED_IN_STEP);
        match found {
            Pick::Nobody if passed > 0 => Pick::TooLarge,
            found => found,
        }
    }

    /// What becomes of a new message while others wait in front of it.
    fn get_in_line(
        &mut self,
        publication: &Publication<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        match self.ring.has_ready() || self.held > 0 {
            // It is being drained, or will be.
            true => Pick::NoRoom,
            false => self.find_full(publication, context, dirty),
        }
    }

    /// Keeps a message that nobody can take, if rule 7 and memory let it wait and there is room.
    fn keep(&mut self, publication: &Publication<'_>, sequence: u64, context: &Context<'_>) {
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
        let message = publication.message(context.budget).clone();
        match !self.has_queue() && self.ring.has_ready() {
            true => self.backlog.push_blocked(sequence, message),
            false => self.backlog.push(sequence, message),
        }
        self.settle(context);
    }

    /// Nobody gets a new message.
    fn drop_new(&mut self, publication: &Publication<'_>) {
        match publication.at_once.is_required() {
            // It is counted by its publisher's side, unless it is refused there.
            true => publication.at_once.note_loss(),
            false => self.dropped += 1,
        }
    }

    /// Whether a new message has to wait for others.
    #[inline]
    fn has_queue(&self) -> bool {
        !self.backlog.line.is_empty() || self.held > 0
    }

    fn release(&mut self, is_held: IsHeld) {
        if is_held == IsHeld::Yes {
            self.held = self.held.saturating_sub(1);
        }
    }

    fn is_full(&self, context: &Context<'_>) -> bool {
        self.backlog.len() >= context.limits.group_queue
            || self.backlog.bytes() >= context.limits.group_queue_bytes
    }
}

/// What waits, and who takes it.
impl State {
    /// Hands over what waits, in so many steps as one lock hold may have.
    fn drain_some(
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
        if more == More::No && !self.ring.lets_wait() {
            self.drop_backlog(context);
        }
        self.settle(context);
        more
    }

    fn step(&mut self, strategy: ShareStrategy, context: &Context<'_>, dirty: &mut Dirty) -> Step {
        if self.backlog.drop_expired(context.now) {
            self.expired += 1;
            return Step::Went;
        }
        if self.held > 0 {
            return Step::Rest;
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
        let redelivery = waiting.returned.is_some();
        let publication = message.publication();
        match self.pick(&publication, number, redelivery, strategy, context, dirty) {
            Pick::Taken => {
                self.backlog.take_first();
            }
            Pick::TooLarge => {
                self.backlog.take_first();
                self.dropped += 1;
            }
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
                self.backlog.take_first();
                self.dropped += 1;
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
        let redelivery = waiting.returned.is_some();
        let publication = message.publication();
        match self.offer(slot, &publication, number, redelivery, context, dirty) {
            HandOver::Taken(_) => {
                self.backlog.take_blocked(number);
            }
            HandOver::TooLarge { .. } => {
                let looked = self.backlog.looked(number);
                if let Some(member) = self.ring.get_mut(slot) {
                    member.looked = looked;
                }
            }
            // It is not ready any more, and so not looked at again.
            HandOver::NoRoom | HandOver::NoMemory | HandOver::Absent => {}
        }
    }

    /// Blocked messages are looked at again: a full member that could take them may be gone.
    fn review_blocked(&mut self) {
        if self.backlog.has_blocked() {
            self.review = Some(0);
        }
    }

    fn review_one(&mut self, from: u64, context: &Context<'_>, dirty: &mut Dirty) {
        let Some((number, waiting)) = self.backlog.blocked_from(from) else {
            self.review = None;
            return;
        };
        self.review = Some(number + 1);
        let message = waiting.message.clone();
        let publication = message.publication();
        // Those that are ready were found to be unable to take it.
        if self.find_full(&publication, context, dirty) != Pick::NoRoom {
            self.backlog.unblock(number);
        }
    }

    /// The member in `slot` has no connection.
    fn lose(&mut self, slot: usize) {
        if self.ring.is_present(slot) {
            self.ring.disappear(slot);
            self.review_blocked();
        }
    }

    /// The member in `slot`, which is present, may take what it could not take before.
    fn begin_anew(&mut self, slot: usize) {
        self.ring.make_ready(slot);
        if let Some(member) = self.ring.get_mut(slot) {
            member.looked = Looked::default();
        }
        if self.backlog.has_blocked() {
            self.ring.refresh(slot);
        }
    }

    /// Sends a resumed member the messages it had before, as far as they still wait: some in one go.
    fn give_back(
        &mut self,
        slot: usize,
        session: &Session,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> More {
        for _ in 0..GIVEN_BACK {
            let Some((number, waiting)) = self.backlog.take_returned(session.id) else {
                return More::No;
            };
            dirty.charge(GIVE_BACK_STEPS);
            let (Some(returned), Some(member)) = (waiting.returned, self.ring.get_mut(slot)) else {
                continue;
            };
            if waiting.message.is_expired(context.now)
                || !member.take_back(number, &waiting, returned, context, dirty)
            {
                let returned = Returned {
                    session: 0,
                    ..returned
                };
                self.backlog.put_back(number, waiting.message, returned);
            }
        }
        More::Yes
    }

    /// Nobody will come for what waits.
    fn drop_backlog(&mut self, context: &Context<'_>) {
        self.review = None;
        if self.backlog.is_empty() {
            return;
        }
        self.dropped += self.backlog.len() as u64;
        let (line, blocked, returned) = std::mem::take(&mut self.backlog).into_parts();
        context.discard(line);
        context.discard(blocked);
        context.discard(returned);
        self.charge = None;
    }

    fn settle(&mut self, context: &Context<'_>) {
        let held = self.backlog.places();
        if held == 0 && self.charge.is_none() {
            return;
        }
        self.charge
            .get_or_insert_with(|| Charge::none(context.budget, Account::Queues))
            .settle(held);
    }
}

/// The bytes that any packet of a publication has at least.
fn least_size(publication: &Publication<'_>) -> u32 {
    let body = 2 + publication.topic.len() + publication.payload.len();
    // A byte for each seven bits of the length, after the first of the packet.
    let length = body.ilog2() as usize / 7 + 1;
    u32::try_from(1 + length + body).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
