//! A shared group: the ring of members, the cursor, and the messages that wait for somebody to take
//! them. One lock guards all of it, and a message gets its number, its member and its place in that
//! member's outbox under it; the order of locks is group, then outbox.
//!
//! ```text
//!            publish ──► number ──► pick: cursor, next, next … ──► outbox of the first that can
//!                                     │ nobody can
//!                                     ▼
//!  member gone ──► returned ──► queue, ordered by number ──► drain, when somebody makes room
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::budget::{Charge, Kind};
use crate::codec::{PacketId, QoS};
use crate::config::ShareStrategy;
use crate::session::delivery::Delivery;
use crate::session::message::{Message, Publication};
use crate::session::subscription::Subscription;
use crate::session::window::Origin;

use super::context::Context;
use super::dirty::Dirty;
use super::outbox::{Grant, HandOver};
use super::random::SplitMix;
use super::session::Session;
use super::snapshot::PartBounds;

/// What a place in the queue takes besides its message.
const WAITING: usize = 64;

/// Messages handed over before the lock is let go for others.
const DRAIN_BATCH: usize = 256;

/// The pair of ShareName and TopicFilter, for as long as it has a member (MQTT-4.8.2-1, AWS-SHARE-04).
pub(crate) struct Group {
    pub(super) share: Box<str>,
    pub(super) filter: Box<str>,
    strategy: ShareStrategy,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The ring, in join order.
    members: Vec<Member>,
    /// Whose turn it is.
    cursor: usize,
    /// Ordered by sequence number.
    queue: VecDeque<Waiting>,
    queue_bytes: usize,
    charge: Option<Charge>,
    /// The number of the last message.
    sequence: u64,
    dropped: u64,
    expired: u64,
    random: SplitMix,
    /// The last member left; a new member makes a new group.
    ended: bool,
}

struct Member {
    session: Arc<Session>,
    subscription: Arc<Subscription>,
    membership: u32,
    connected: bool,
    delivered: u64,
    redelivered: u64,
}

/// A message that waits for a member.
struct Waiting {
    sequence: u64,
    message: Message,
    /// The session that had it, and under which identifier, if it was handed over before.
    returned: Option<Returned>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Returned {
    session: u64,
    packet_id: PacketId,
}

/// How a pick ended.
enum Pick {
    Taken,
    /// Somebody connected has no room; the marks are set.
    NoRoom,
    /// No member is connected.
    Nobody,
    /// It exceeds the Maximum Packet Size of every connected member.
    TooLarge,
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
            state: Mutex::new(state),
        }
    }

    /// Hands a message to the member whose turn it is, or keeps or drops it by rule 7.
    pub(super) fn publish(
        &self,
        publication: &Publication<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut state = self.state.lock();
        if state.members.is_empty() {
            return;
        }
        state.sequence += 1;
        let sequence = state.sequence;
        let waits_its_turn = publication.qos > QoS::AtMostOnce && !state.queue.is_empty();
        if waits_its_turn {
            state.enqueue(publication, sequence, context);
            return;
        }
        match state.pick(publication, sequence, false, self.strategy, context, dirty) {
            Pick::Taken => {}
            Pick::NoRoom | Pick::Nobody if publication.qos > QoS::AtMostOnce => {
                state.enqueue(publication, sequence, context);
            }
            Pick::NoRoom | Pick::Nobody | Pick::TooLarge => state.dropped += 1,
        }
    }

    /// Adds a member at the end of the ring, or changes nothing if it is one (re-subscribing keeps
    /// the place). Fails when the group has ended or is full.
    pub(super) fn join(
        self: &Arc<Self>,
        session: &Arc<Session>,
        subscription: &Arc<Subscription>,
        limit: Option<usize>,
    ) -> Result<u32, JoinError> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(JoinError::Ended);
        }
        if limit.is_some_and(|limit| state.members.len() >= limit) {
            return Err(JoinError::Full);
        }
        let membership = session.outbox().join(self);
        state.members.push(Member {
            session: session.clone(),
            subscription: subscription.clone(),
            membership,
            connected: true,
            delivered: 0,
            redelivered: 0,
        });
        Ok(membership)
    }

    /// UNSUBSCRIBE or the end of a session. Tells if the group ended with its last member.
    ///
    /// Messages that the leaver had and did not acknowledge stay with it for now: it may still
    /// acknowledge them (design 3, rule 8).
    pub(super) fn leave(
        &self,
        session: &Session,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Option<Ended> {
        let mut state = self.state.lock();
        let place = state.place(session)?;
        let member = state.members.remove(place);
        if place < state.cursor {
            state.cursor -= 1;
        }
        if state.cursor >= state.members.len() {
            state.cursor = 0;
        }
        let ended = state.members.is_empty();
        let mut outbox = session.outbox();
        member.subscription.end();
        if ended {
            state.ended = true;
            outbox.keep(member.membership);
        }
        outbox.leave(member.membership);
        drop(outbox);
        if ended {
            state.drop_queue();
        } else {
            state.drain_some(DRAIN_BATCH, self.strategy, context, dirty);
            state.drop_queue_if_hopeless();
        }
        ended.then_some(Ended {
            dropped: state.dropped,
            expired: state.expired,
        })
    }

    /// A member's connection ended: it is absent from the ring, and what it had not acknowledged goes
    /// to the next members at once (design 3, rule 4).
    pub(super) fn depart(
        &self,
        session: &Session,
        membership: u32,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut state = self.state.lock();
        if let Some(place) = state.place(session)
            && let Some(member) = state.members.get_mut(place)
        {
            member.connected = false;
        }
        let mut outbox = session.outbox();
        if state.ended {
            outbox.keep(membership);
            return;
        }
        let resumable = outbox.persistent;
        let surrendered = outbox.surrender(membership);
        drop(outbox);
        let returned = surrendered
            .into_iter()
            .map(|(packet_id, sequence, delivery)| Waiting {
                sequence,
                message: delivery.message,
                returned: Some(Returned {
                    session: if resumable { session.id } else { 0 },
                    packet_id,
                }),
            });
        state.merge(returned.collect());
        state.settle(context);
        drop(state);
        while self.drain(context, dirty) {}
        self.state.lock().drop_queue_if_hopeless();
    }

    /// A member's session has a connection again: what it had and still waits comes first, then the
    /// queue drains.
    pub(super) fn resume(&self, session: &Arc<Session>, context: &Context<'_>, dirty: &mut Dirty) {
        let mut state = self.state.lock();
        let Some(place) = state.place(session) else {
            return;
        };
        if let Some(member) = state.members.get_mut(place) {
            member.connected = true;
        }
        state.give_back(place, context, dirty);
        drop(state);
        while self.drain(context, dirty) {}
    }

    /// Hands waiting messages to whoever can take them. Returns whether more could go at once.
    pub(super) fn drain(&self, context: &Context<'_>, dirty: &mut Dirty) -> bool {
        self.state
            .lock()
            .drain_some(DRAIN_BATCH, self.strategy, context, dirty)
    }

    /// What waits, and what was lost.
    pub(super) fn totals(&self) -> GroupTotals {
        let state = self.state.lock();
        GroupTotals {
            queued: state.queue.len(),
            dropped: state.dropped,
            expired: state.expired,
        }
    }

    /// The group as it stands, with its first members as far as `bounds` go: publishers wait
    /// meanwhile.
    pub(crate) fn snapshot(&self, bounds: PartBounds) -> GroupSnapshot {
        let state = self.state.lock();
        let members = bounds.take(&state.members, |member| member.session.client_id());
        let members = members.map(|member| MemberSnapshot {
            client_id: member.session.client_id().to_owned(),
            connected: member.connected,
            in_flight: member
                .session
                .outbox()
                .membership(member.membership)
                .map_or(0, |membership| membership.in_flight),
            delivered: member.delivered,
            redelivered: member.redelivered,
        });
        GroupSnapshot {
            share: self.share.to_string(),
            filter: self.filter.to_string(),
            cursor: state.cursor,
            members: members.collect(),
            members_total: state.members.len(),
            queued: state.queue.len(),
            dropped: state.dropped,
        }
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

impl State {
    fn place(&self, session: &Session) -> Option<usize> {
        self.members
            .iter()
            .position(|member| member.session.id == session.id)
    }

    /// Offers a message around the ring, from the cursor on, until somebody takes it.
    fn pick(
        &mut self,
        publication: &Publication<'_>,
        sequence: u64,
        redelivery: bool,
        strategy: ShareStrategy,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        let count = self.members.len();
        let start = match strategy {
            ShareStrategy::RoundRobin => self.cursor,
            ShareStrategy::Random => self.random.below(count),
        };
        let (mut full, mut too_large) = (false, false);
        for step in 0..count {
            let place = if start + step < count {
                start + step
            } else {
                start + step - count
            };
            let Some(member) = self.members.get_mut(place) else {
                break;
            };
            match member.offer(publication, sequence, context, dirty) {
                HandOver::Taken(_) => {
                    member.delivered += 1;
                    member.redelivered += u64::from(redelivery);
                    self.cursor = if place + 1 < count { place + 1 } else { 0 };
                    return Pick::Taken;
                }
                HandOver::NoRoom => full = true,
                HandOver::TooLarge => too_large = true,
                HandOver::Absent => {}
            }
        }
        if full {
            Pick::NoRoom
        } else if too_large {
            Pick::TooLarge
        } else {
            Pick::Nobody
        }
    }

    /// Keeps a message that nobody can take, if rule 7 lets it wait and there is room.
    fn enqueue(&mut self, publication: &Publication<'_>, sequence: u64, context: &Context<'_>) {
        if !self.may_wait() {
            self.dropped += 1;
            return;
        }
        if self.is_full(context) {
            self.remove_expired(context);
        }
        if self.is_full(context) {
            self.dropped += 1;
            return;
        }
        let message = publication.message(context.budget).clone();
        self.queue_bytes += message.footprint();
        self.queue.push_back(Waiting {
            sequence,
            message,
            returned: None,
        });
        self.settle(context);
    }

    fn is_full(&self, context: &Context<'_>) -> bool {
        self.queue.len() >= context.limits.group_queue
            || self.queue_bytes >= context.limits.group_queue_bytes
    }

    /// A member is connected, or will come back for QoS 1 (AWS-SHARE-17, AWS-SHARE-23). A member that
    /// is not connected has a session that outlived its connection, or it would have left.
    fn may_wait(&self) -> bool {
        self.members.iter().any(|member| {
            member.connected
                || member
                    .subscription
                    .options()
                    .is_some_and(|o| o.qos > QoS::AtMostOnce)
        })
    }

    fn drop_queue_if_hopeless(&mut self) {
        if !self.queue.is_empty() && !self.may_wait() {
            self.drop_queue();
        }
    }

    fn drop_queue(&mut self) {
        self.dropped += self.queue.len() as u64;
        self.queue = VecDeque::new();
        self.queue_bytes = 0;
        self.charge = None;
    }

    fn remove_expired(&mut self, context: &Context<'_>) {
        let before = self.queue.len();
        self.queue
            .retain(|waiting| !waiting.message.is_expired(context.now));
        self.expired += (before - self.queue.len()) as u64;
        self.queue_bytes = self
            .queue
            .iter()
            .map(|waiting| waiting.message.footprint())
            .sum();
    }

    fn settle(&mut self, context: &Context<'_>) {
        let held = self.queue.len() * WAITING;
        self.charge
            .get_or_insert_with(|| Charge::none(context.budget, Kind::Queues))
            .settle(held);
    }

    /// Merges returned messages, themselves in order, into the queue by number. They always enter.
    fn merge(&mut self, returned: Vec<Waiting>) {
        let Some(last) = returned.iter().map(|waiting| waiting.sequence).max() else {
            return;
        };
        let mut merged: Vec<Waiting> = returned;
        self.queue_bytes += merged
            .iter()
            .map(|waiting| waiting.message.footprint())
            .sum::<usize>();
        while self
            .queue
            .front()
            .is_some_and(|waiting| waiting.sequence < last)
        {
            merged.extend(self.queue.pop_front());
        }
        merged.sort_by_key(|waiting| waiting.sequence);
        for waiting in merged.into_iter().rev() {
            self.queue.push_front(waiting);
        }
    }

    /// Hands over at most `limit` waiting messages. Returns whether it stopped at the limit.
    fn drain_some(
        &mut self,
        limit: usize,
        strategy: ShareStrategy,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        for _ in 0..limit {
            let Some(waiting) = self.queue.pop_front() else {
                break;
            };
            if waiting.message.is_expired(context.now) {
                self.expired += 1;
                self.queue_bytes -= waiting.message.footprint();
                continue;
            }
            let publication = waiting.message.publication();
            let redelivery = waiting.returned.is_some();
            match self.pick(
                &publication,
                waiting.sequence,
                redelivery,
                strategy,
                context,
                dirty,
            ) {
                Pick::Taken => {}
                Pick::TooLarge => self.dropped += 1,
                Pick::NoRoom | Pick::Nobody => {
                    drop(publication);
                    self.queue.push_front(waiting);
                    self.settle(context);
                    return false;
                }
            }
            self.queue_bytes -= waiting.message.footprint();
        }
        if self.queue.is_empty() && self.queue.capacity() > DRAIN_BATCH {
            self.queue = VecDeque::new();
        }
        self.settle(context);
        !self.queue.is_empty()
    }

    /// Sends a resumed member the messages it had before, as far as they still wait.
    fn give_back(&mut self, place: usize, context: &Context<'_>, dirty: &mut Dirty) {
        let Some(member) = self.members.get_mut(place) else {
            return;
        };
        let mine = |waiting: &Waiting| {
            waiting
                .returned
                .is_some_and(|returned| returned.session == member.session.id)
        };
        if !self.queue.iter().any(mine) {
            return;
        }
        let queue = std::mem::take(&mut self.queue);
        for mut waiting in queue {
            let packet_id = waiting
                .returned
                .filter(|returned| returned.session == member.session.id)
                .map(|returned| returned.packet_id);
            if let Some(packet_id) = packet_id {
                waiting.returned = Some(Returned {
                    session: 0,
                    packet_id,
                });
                if !waiting.message.is_expired(context.now)
                    && member.take_back(&waiting, packet_id, context, dirty)
                {
                    self.queue_bytes -= waiting.message.footprint();
                    continue;
                }
            }
            self.queue.push_back(waiting);
        }
        self.settle(context);
    }
}

impl Member {
    fn offer(
        &self,
        publication: &Publication<'_>,
        sequence: u64,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> HandOver {
        if !self.connected {
            return HandOver::Absent;
        }
        let mut outbox = self.session.outbox();
        let Some(options) = self.subscription.options() else {
            return HandOver::Absent;
        };
        let grant = Grant::new(options, publication.qos, publication.retain);
        let origin = Origin {
            membership: self.membership,
            sequence,
        };
        let result = outbox.hand_over(publication, grant, origin, context);
        drop(outbox);
        if let HandOver::Taken(wake) = result {
            dirty.delivered(&self.session, wake);
        }
        result
    }

    fn take_back(
        &mut self,
        waiting: &Waiting,
        packet_id: PacketId,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        let mut outbox = self.session.outbox();
        let Some(options) = self.subscription.options() else {
            return false;
        };
        let Grant {
            retain,
            subscription_ids,
            ..
        } = Grant::new(options, waiting.message.qos(), waiting.message.retain());
        let delivery = Delivery {
            message: waiting.message.clone(),
            qos: QoS::AtLeastOnce,
            retain,
            subscription_ids,
        };
        let origin = Origin {
            membership: self.membership,
            sequence: waiting.sequence,
        };
        let Ok(wake) = outbox.take_back(packet_id, delivery, origin, context) else {
            return false;
        };
        drop(outbox);
        self.delivered += 1;
        self.redelivered += 1;
        dirty.delivered(&self.session, wake);
        true
    }
}

#[cfg(test)]
mod tests;
