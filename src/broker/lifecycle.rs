//! Sessions coming and going: CONNECT, resume, takeover, the end of connections, expiry, wills.
//!
//! ```text
//!            connect                     detach
//!   New ───────────────► Connected ───────────────► Away
//!                          ▲   │ expiry 0             │ expiry, clean start
//!                          │   ▼                      ▼
//!                          │  Ended ◄─────────────────┘
//!                          └── connect (resume) ── Away
//! ```

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dashmap::Entry;
use parking_lot::MutexGuard;

use crate::auth::Principal;
use crate::budget::{Charge, Full, Kind};
use crate::codec::{ReasonCode, Version};
use crate::message::cause::Cause;
use crate::message::will::Will;
use crate::protocol::handshake::NEVER;
use crate::time::Moment;

use super::Broker;
use super::access::Permissions;
use super::deliver::outside::Source;
use super::deliver::{Origin, Run};
use super::events::What;
use super::facts::ConnectionFacts;
use super::history::{HistoryEvent, SessionEnd};
use super::last_end::LastEnd;
use super::outbox::Carrier;
use super::outbox::Peer;
use super::outbox::link::Link;
use super::schedule::TimerKey;
use super::session::{Registered, Session, Slot, State, session_size};
use super::share::Group;
use super::turn::{Context, Dirty, Later};
use super::watch::{Glimpse, Subject};

/// Groups that are told in one go that a session has room for them.
const GROUPS_TOLD: usize = 64;

/// When the search for messages that are overdue goes on, which others had their turn in between.
const SOON: Duration = Duration::from_millis(1);

/// What it costs to end a connection, beside what is charged on the way, in steps.
const DEPARTURE_STEPS: usize = 64;

/// What it costs to carry out a timer, beside what that leads to, in steps.
const TIMER_STEPS: usize = 8;

/// A CONNECT that was found acceptable.
pub(crate) struct ConnectRequest<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) principal: Principal,
    pub(crate) version: Version,
    pub(crate) clean_start: bool,
    pub(crate) expiry: u32,
    /// The Keep Alive that it asks for, in seconds.
    pub(crate) keep_alive: u16,
    /// Taken when the session is had.
    pub(crate) will: &'a mut Option<Box<Will>>,
    pub(crate) peer: Peer,
    pub(crate) facts: Arc<ConnectionFacts>,
    /// What the client may do; everything, if nobody says so.
    pub(crate) permissions: Option<Arc<dyn Permissions>>,
    pub(crate) takeover: Takeover,
}

/// What happens to a connection that has the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takeover {
    /// It is asked to handle what has arrived, and then lets go.
    Asked,
    /// It loses the session now.
    AtOnce,
}

/// What goes with a connection that is ended from outside.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Removal {
    /// The session goes, too.
    pub(crate) with_session: bool,
    /// The will is not published.
    pub(crate) without_will: bool,
}

/// Why a CONNECT has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAttached {
    Refused(ReasonCode),
    /// There is an outage: it gets no answer at all.
    Unreachable,
    /// Another connection has it and was told; the link is woken when it is free.
    Awaited,
}

/// A session that has a connection, as that connection knows it.
pub(crate) struct Attached {
    pub(crate) session: Arc<Session>,
    pub(crate) epoch: u64,
    pub(crate) session_present: bool,
}

/// Something that is due.
pub(super) enum Timer {
    SessionExpiry {
        session: Weak<Session>,
        epoch: u64,
    },
    Will {
        session: Weak<Session>,
        epoch: u64,
    },
    Resend {
        session: Weak<Session>,
        epoch: u64,
    },
    EndOfOutage,
    EndOfRule,
    #[cfg(feature = "http")]
    EndOfTopicValues,
}

impl Broker {
    /// Connects a client: finds or makes its session, takes it over if it is connected, and puts
    /// CONNACK, then what is due to it, into its outbox.
    pub(crate) fn connect(
        &self,
        request: ConnectRequest<'_>,
        link: &Arc<dyn Link>,
        connack: impl FnOnce(bool) -> Vec<u8>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Attached, NotAttached> {
        let mut wills = Vec::new();
        let attached = loop {
            let session = self
                .find_or_create(request.client_id)
                .map_err(NotAttached::Refused)?;
            let mut slot = session.slot();
            if slot.state == State::Ended {
                drop(slot);
                self.forget(&session);
                continue;
            }
            if self.is_cut_off(&request.facts) {
                self.leave_unused(&session, &mut slot, link);
                return Err(NotAttached::Unreachable);
            }
            if request.takeover == Takeover::Asked && slot.must_wait(link) {
                slot.ask_for_handover(&session);
                return Err(NotAttached::Awaited);
            }
            if slot.state == State::Connected {
                let cause = Cause::TakenOver;
                wills.extend(self.detach_locked(&session, &mut slot, cause, context, dirty));
            }
            let other_version = slot.version != request.version && slot.state == State::Away;
            let fresh =
                request.clean_start || (other_version && context.aws.protocol_change_ends_session);
            if fresh && slot.state == State::Away {
                let cause = Some(SessionEnd::CleanStart);
                wills.extend(self.end_locked(&session, &mut slot, cause, context, dirty));
            }
            // It may also have ended with the connection that was taken over.
            if slot.state == State::Ended {
                continue;
            }
            break self.attach(&session, slot, request, link, connack, context, dirty);
        };
        for (session, will) in wills {
            self.publish_will(&session, &will, context, dirty);
        }
        Ok(attached)
    }

    fn find_or_create(&self, client_id: &str) -> Result<Arc<Session>, ReasonCode> {
        if let Some(session) = self.find(client_id) {
            return Ok(session);
        }
        if self.sessions.len() >= self.config.limits.sessions {
            return Err(ReasonCode::QuotaExceeded);
        }
        let charge = Charge::new(*self.budget, Kind::Sessions, session_size(client_id))
            .map_err(|Full| ReasonCode::QuotaExceeded)?;
        let id = self.session_ids.fetch_add(1, Ordering::Relaxed);
        let made = Session::new(id, client_id, charge);
        Ok(self
            .sessions
            .entry(Registered(made))
            .or_default()
            .key()
            .0
            .clone())
    }

    /// A connection that waits for the session of a client ends.
    pub(crate) fn forgo(&self, client_id: &str, link: &Arc<dyn Link>) {
        let Some(session) = self.find(client_id) else {
            return;
        };
        let mut slot = session.slot();
        self.leave_unused(&session, &mut slot, link);
    }

    /// The connection behind `link` does not take a session that was found or made. Whoever waits for it next may;
    /// if there is nobody, one that is new goes.
    fn leave_unused(&self, session: &Arc<Session>, slot: &mut Slot, link: &Arc<dyn Link>) {
        slot.leave_the_heirs(link);
        if slot.state == State::New && !slot.has_heirs() {
            slot.state = State::Ended;
            self.forget(session);
        } else if slot.state != State::Connected {
            slot.wake_an_heir();
        }
    }

    /// Removes a session from the registry, unless another took its place.
    fn forget(&self, session: &Arc<Session>) {
        self.sessions.remove_if(session.client_id(), |found, ()| {
            Arc::ptr_eq(&found.0, session)
        });
    }

    /// Puts a new session in the place of one that has ended, for those who waited for it: in the order of
    /// their CONNECTs, and before anybody who comes now.
    fn succeed(&self, session: &Arc<Session>, heirs: Vec<Weak<dyn Link>>) {
        let client_id = session.client_id();
        let charge = Charge::forced(*self.budget, Kind::Sessions, session_size(client_id));
        let id = self.session_ids.fetch_add(1, Ordering::Relaxed);
        let successor = Session::new(id, client_id, charge);
        {
            let mut slot = successor.slot();
            slot.change_seldom(|seldom| seldom.heirs = heirs);
            slot.wake_an_heir();
        }
        match self.sessions.entry(Registered(successor)) {
            Entry::Occupied(former) => {
                former.replace_entry(());
            }
            Entry::Vacant(place) => {
                place.insert(());
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the second half of connect")]
    fn attach(
        &self,
        session: &Arc<Session>,
        mut slot: MutexGuard<'_, Slot>,
        request: ConnectRequest<'_>,
        link: &Arc<dyn Link>,
        connack: impl FnOnce(bool) -> Vec<u8>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Attached {
        let session_present = slot.state == State::Away;
        self.cancel_timers(&mut slot);
        slot.epoch += 1;
        slot.state = State::Connected;
        slot.version = request.version;
        slot.expiry = request.expiry;
        slot.set_will(request.will.take());
        request
            .facts
            .identify(session.shared_client_id(), request.version);
        slot.facts = Some(request.facts.clone());
        slot.set_principal(request.principal);
        slot.connected_at = Some(context.now.into());
        slot.keep_alive = request.keep_alive;
        self.connected.fetch_add(1, Ordering::Relaxed);
        Self::count(&self.counters.connections_opened, 1);
        let epoch = slot.epoch;
        let connack = connack(session_present);
        {
            let mut outbox = session.outbox();
            outbox.persistent = request.expiry > 0;
            let wake = outbox.attach(
                epoch,
                Carrier {
                    link: link.clone(),
                    facts: request.facts,
                },
                request.peer,
                request.permissions,
                &connack,
                context,
            );
            dirty.note(session, wake);
            slot.leave_the_heirs(link);
            if slot.has_heirs() {
                outbox.want_handover();
                link.wake();
            }
            let wake = outbox.begin_resuming(context);
            dirty.note(session, wake);
        }
        self.run_errand(session, context, dirty);
        if let Some(interval) = context.limits.resend_interval {
            self.arm_resend(session, epoch, interval, context);
        }
        let client_id = session.client_id();
        self.watch
            .show(Subject::Clients, || Glimpse::Connected { client_id });
        if let Some(facts) = &slot.facts {
            let connected = HistoryEvent::Connected {
                version: slot.version,
                listener: facts.listener(),
                peer: facts.peer(),
                session_present,
            };
            self.note_history(session, connected, context);
        }
        self.tell_of(session, &slot, What::Attached, context, dirty);
        drop(slot);
        self.make_room(session, context, dirty);
        Attached {
            session: session.clone(),
            epoch,
            session_present,
        }
    }

    /// Ends a connection's hold on its session, if it still has it.
    pub(crate) fn detach(
        &self,
        session: &Arc<Session>,
        epoch: u64,
        cause: Cause,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut slot = session.slot();
        if slot.epoch != epoch {
            return;
        }
        let will = self.detach_locked(session, &mut slot, cause, context, dirty);
        drop(slot);
        if let Some((session, will)) = will {
            self.publish_will(&session, &will, context, dirty);
        }
    }

    /// Disconnects a client from outside.
    pub(crate) fn disconnect(
        &self,
        session: &Arc<Session>,
        cause: Cause,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        let epoch = session.slot().epoch;
        let connected = session.outbox().connected.is_some();
        self.detach(session, epoch, cause, context, dirty);
        connected
    }

    /// Ends a client's connection from outside, and so much of its session as `removal` says. Returns
    /// whether it had a connection; `None` if there is no session.
    pub(crate) fn remove(
        &self,
        session: &Arc<Session>,
        cause: Cause,
        removal: Removal,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Option<bool> {
        let mut slot = session.slot();
        let had_connection = match slot.state {
            State::Connected => true,
            State::Away => false,
            State::New | State::Ended => return None,
        };
        if removal.without_will {
            slot.set_will(None);
        }
        let mut wills = Vec::new();
        wills.extend(self.detach_locked(session, &mut slot, cause, context, dirty));
        if removal.with_session && slot.state == State::Away {
            let cause = Some(SessionEnd::Removed);
            wills.extend(self.end_locked(session, &mut slot, cause, context, dirty));
        }
        drop(slot);
        for (session, will) in wills {
            self.publish_will(&session, &will, context, dirty);
        }
        Some(had_connection)
    }

    /// Disconnects a client whose queue is full, unless that connection has ended meanwhile.
    pub(super) fn end_overflowed(
        &self,
        session: &Arc<Session>,
        epoch: u64,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        dirty.charge(DEPARTURE_STEPS);
        self.detach(session, epoch, Cause::QueueFull, context, dirty);
    }

    /// Ends the connection under the slot's lock. Returns a will that is due now.
    fn detach_locked(
        &self,
        session: &Arc<Session>,
        slot: &mut Slot,
        cause: Cause,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Option<(Arc<Session>, Box<Will>)> {
        if slot.state != State::Connected {
            return None;
        }
        // MQTT-3.14.2-2: zero cannot become more; the connection has refused that already.
        if let Some(expiry) = cause.session_expiry() {
            slot.expiry = expiry;
        }
        let is_resumable = slot.expiry > 0;
        {
            let mut outbox = session.outbox();
            outbox.persistent = is_resumable;
            outbox.leave_groups();
        }
        self.run_errand(session, context, dirty);
        let discards_will = cause.discards_will();
        self.tell_of(session, slot, What::Detached(&cause), context, dirty);
        let end = LastEnd::new(&cause, context.now);
        slot.set_last_end(end.clone());
        let session_ended = slot.expiry == 0;
        let disconnected = HistoryEvent::Disconnected { end, session_ended };
        self.note_history(session, disconnected, context);
        let explanation = cause.explanation();
        let reason_string = explanation.map(|text| self.reason_string("DISCONNECT", text));
        {
            let mut outbox = session.outbox();
            outbox.detach(cause, reason_string, context);
            outbox.settle(context);
        }
        slot.epoch += 1;
        slot.state = State::Away;
        let (client_id, end) = (session.client_id(), slot.last_end());
        self.watch.show(Subject::Clients, || Glimpse::Disconnected {
            client_id,
            end,
        });
        if let Some(facts) = slot.facts.take() {
            self.keep_traffic(&facts);
        }
        slot.connected_at = None;
        self.connected.fetch_sub(1, Ordering::Relaxed);
        self.cancel_timers(slot);
        if discards_will {
            slot.set_will(None);
        }
        slot.wake_an_heir();
        if session_ended {
            return self.end_locked(session, slot, None, context, dirty);
        }
        if slot.expiry != NEVER {
            let at = deadline(context.now, slot.expiry);
            let timer = Timer::SessionExpiry {
                session: Arc::downgrade(session),
                epoch: slot.epoch,
            };
            let timer = self.schedule.arm(at, timer);
            slot.change_seldom(|seldom| seldom.session_expiry = Some(timer));
        }
        let will = slot.take_will()?;
        if will.delay.is_zero() {
            return Some((session.clone(), will));
        }
        let delay = u32::try_from(will.delay.as_secs()).unwrap_or(NEVER);
        let timer = Timer::Will {
            session: Arc::downgrade(session),
            epoch: slot.epoch,
        };
        slot.set_will(Some(will));
        let timer = self.schedule.arm(deadline(context.now, delay), timer);
        slot.change_seldom(|seldom| seldom.delayed_will = Some(timer));
        None
    }

    /// Ends a session: its subscriptions, queue and place in the registry go. Returns its will, which
    /// is due at the latest now (MQTT-3.1.2-8). Without a cause it ends with its connection.
    fn end_locked(
        &self,
        session: &Arc<Session>,
        slot: &mut Slot,
        cause: Option<SessionEnd>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Option<(Arc<Session>, Box<Will>)> {
        self.cancel_timers(slot);
        let former = slot.take_last_end();
        if let Some(cause) = cause {
            let ended = HistoryEvent::SessionEnded { cause, former };
            self.note_history(session, ended, context);
        }
        slot.state = State::Ended;
        self.watch.note(Subject::Clients);
        let client_id = session.client_id();
        self.watch
            .show(Subject::Subscriptions, || Glimpse::SessionEnded {
                client_id,
            });
        slot.epoch += 1;
        let subscriptions = std::mem::take(&mut slot.subscriptions);
        let charge = slot.charge.take();
        // Groups that it leaves give it nothing back.
        session.outbox().persistent = false;
        self.end_subscriptions(session, subscriptions, charge, context, dirty);
        let sent = {
            let mut outbox = session.outbox();
            let lost = outbox.end(context) as u64;
            outbox.sent.dropped += lost;
            outbox.sent
        };
        session.received().clear();
        Self::count(&self.counters.messages_sent, sent.messages);
        Self::count(&self.counters.bytes_sent, sent.bytes);
        Self::count(&self.counters.dropped, sent.dropped);
        Self::count(&self.counters.expired, sent.expired);
        match slot.take_heirs() {
            heirs if heirs.is_empty() => self.forget(session),
            heirs => self.succeed(session, heirs),
        }
        slot.take_will().map(|will| (session.clone(), will))
    }

    /// Keeps what happened to a client, for whoever asks after it later.
    pub(crate) fn note_history(
        &self,
        session: &Session,
        what: HistoryEvent,
        context: &Context<'_>,
    ) {
        let client_id = session.shared_client_id();
        self.history.keep(client_id, context.now, what);
    }

    fn cancel_timers(&self, slot: &mut Slot) {
        for timer in slot.take_timers().into_iter().flatten() {
            self.schedule.cancel(timer);
        }
    }

    fn publish_will(
        &self,
        session: &Session,
        will: &Will,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut publication = will.publication(context.now);
        Source::Will(session.client_id()).note(&mut publication, context);
        let run = Run::one(&publication);
        // A will that cannot be retained for want of room is still delivered.
        self.deliver_and_forget(Origin::Will { session }, run, context, dirty);
    }

    /// Carries out what is due, as much of it as the turn allows. Returns whether there may be more.
    pub(crate) fn handle_deadline(&self, now: impl Into<Moment>, dirty: &mut Dirty) -> bool {
        let context = self.context(now);
        while !dirty.is_spent() {
            let moment = Moment {
                now: context.now,
                live: context.live,
            };
            if !self.schedule.wake_due_owner(moment) {
                let Some(timer) = self.schedule.pop_due(context.now) else {
                    return false;
                };
                self.handle_timer(&timer, &context, dirty);
            }
            dirty.charge(TIMER_STEPS);
        }
        true
    }

    /// Lets the owner of a connection look at its own timers then, on the time of live connections.
    pub(crate) fn wake_at(&self, at: Instant, link: &Arc<dyn Link>) -> TimerKey {
        self.schedule.wake(at, link)
    }

    /// The same on the broker's time.
    pub(crate) fn wake_on_own_time(&self, at: Instant, link: &Arc<dyn Link>) -> TimerKey {
        self.schedule.wake_on_own_time(at, link)
    }

    /// Forgets a timer, and notes that the owner that was woken for it has done its part.
    pub(crate) fn cancel_timer(&self, timer: TimerKey) {
        self.schedule.cancel(timer);
    }

    fn handle_timer(&self, timer: &Timer, context: &Context<'_>, dirty: &mut Dirty) {
        match timer {
            Timer::SessionExpiry { session, epoch } => {
                let Some(session) = session.upgrade() else {
                    return;
                };
                let mut slot = session.slot();
                if slot.epoch != *epoch {
                    return;
                }
                slot.change_seldom(|seldom| seldom.session_expiry = None);
                let cause = Some(SessionEnd::Expired);
                let will = self.end_locked(&session, &mut slot, cause, context, dirty);
                drop(slot);
                if let Some((session, will)) = will {
                    self.publish_will(&session, &will, context, dirty);
                }
            }
            Timer::Will { session, epoch } => {
                let Some(session) = session.upgrade() else {
                    return;
                };
                let mut slot = session.slot();
                if slot.epoch != *epoch {
                    return;
                }
                slot.change_seldom(|seldom| seldom.delayed_will = None);
                let will = slot.take_will();
                drop(slot);
                if let Some(will) = will {
                    self.publish_will(&session, &will, context, dirty);
                }
            }
            Timer::Resend { session, epoch } => {
                let Some(session) = session.upgrade() else {
                    return;
                };
                self.resend(&session, *epoch, context, dirty);
            }
            Timer::EndOfOutage => self.see_outage_end(context.now),
            Timer::EndOfRule => self.see_rules_end(context.now),
            #[cfg(feature = "http")]
            Timer::EndOfTopicValues => self.see_lease_end(context.now),
        }
    }

    /// One timer per session resends what a live client does not acknowledge (AWS-MQTT-08).
    fn arm_resend(
        &self,
        session: &Arc<Session>,
        epoch: u64,
        after: Duration,
        context: &Context<'_>,
    ) {
        let timer = Timer::Resend {
            session: Arc::downgrade(session),
            epoch,
        };
        self.schedule.arm(context.now + after, timer);
    }

    fn resend(&self, session: &Arc<Session>, epoch: u64, context: &Context<'_>, dirty: &mut Dirty) {
        let Some(interval) = context.limits.resend_interval else {
            return;
        };
        let version = {
            let slot = session.slot();
            if slot.epoch != epoch {
                return;
            }
            slot.version
        };
        let period = context
            .limits
            .resend_period
            .map(|(v311, v5)| match version {
                Version::V311 => v311,
                Version::V5 => v5,
            });
        let (wake, has_more) = session.outbox().resend_overdue(interval, period, context);
        dirty.note(session, wake);
        self.make_room(session, context, dirty);
        let after = if has_more { SOON } else { interval };
        self.arm_resend(session, epoch, after, context);
    }

    /// Sends what waited for the room that an acknowledgement, a write or a resume made: the session's
    /// own queue and the groups that wanted it, half and half.
    pub(crate) fn make_room(
        &self,
        session: &Arc<Session>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let mut group = {
            let mut outbox = session.outbox();
            // Bytes that were written, or messages that were acknowledged, are off the account.
            outbox.settle(context);
            if !outbox.is_waiting() {
                return;
            }
            let wake = outbox.pump_resend(context);
            dirty.note(session, wake);
            let slots = outbox.free_slots();
            let own = match outbox.is_wanted(context) {
                // The rest is for groups that will be told of this connection.
                _ if outbox.is_resuming() => 0,
                true => outbox.own_share(slots),
                false => slots,
            };
            let wake = outbox.pump(own, context);
            dirty.note(session, wake);
            outbox.take_want(context)
        };
        let mut told = 0;
        while let Some(wanting) = group.take() {
            Group::of(wanting).has_room(session, context, dirty);
            told += 1;
            if told < GROUPS_TOLD {
                group = session.outbox().take_want(context);
            }
        }
        let (more, replays) = {
            let mut outbox = session.outbox();
            if outbox.is_resuming() {
                // Whoever is done with that makes room again.
                (false, outbox.has_replays())
            } else if outbox.is_wanted(context) {
                (true, outbox.has_replays())
            } else {
                let slots = outbox.free_slots();
                let wake = outbox.pump(slots, context);
                dirty.note(session, wake);
                (outbox.has_more(context), outbox.has_replays())
            }
        };
        if more {
            dirty.charge(1);
            dirty.later(Later::MakeRoom(session.clone()), context);
        }
        if replays {
            self.replay(session, context, dirty);
        }
    }
}

/// What follows from a change of what clients may do.
#[cfg(any(feature = "aws", test))]
impl Broker {
    /// Ends the connections of a principal who may have none any more (AWS-ID-16).
    #[cfg(feature = "aws")]
    pub(crate) fn cut_off(
        &self,
        principal: &Principal,
        why: &'static str,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        for session in self.all_sessions() {
            let epoch = {
                let slot = session.slot();
                (slot.principal() == principal).then_some(slot.epoch)
            };
            if let Some(epoch) = epoch {
                self.detach(&session, epoch, Cause::Forbidden(why), context, dirty);
            }
        }
    }

    /// Offers again what waited in groups for somebody who may have it: what clients may do has changed.
    pub(crate) fn review_access(&self, context: &Context<'_>, dirty: &mut Dirty) {
        self.group_names.visit(None, |group| {
            group.review(context, dirty);
            true
        });
    }
}

fn deadline(now: Instant, secs: u32) -> Instant {
    now + Duration::from_secs(u64::from(secs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Randomness;
    use crate::broker::deliver::{Origin, Run};
    use crate::broker::doubles::{NoAlarm, Sink, connect_request};
    use crate::broker::outbox::Wake;
    use crate::broker::subscribe::{Due, Request};
    use crate::budget::Kind;
    use crate::codec::{QoS, ReasonCode, RetainHandling, SubscribeOptions};
    use crate::config::Config;
    use crate::message::publication::Publication;
    use crate::topic::Filter;

    fn broker(config: Config, now: Instant) -> Broker {
        Broker::new(config, Randomness::from_seed(1), now, Arc::new(NoAlarm))
    }

    #[test]
    fn bytes_that_a_connection_left_count_until_they_are_gone() {
        const LEFT: usize = 100_000;

        let now = Instant::now();
        let broker = broker(Config::standard(), now);
        let context = broker.context(now);
        let link: Arc<dyn Link> = Arc::new(Sink::full());
        let mut dirty = Dirty::default();
        let connack = |_| vec![0; LEFT];
        let attached = broker.connect(
            connect_request("a", &mut None),
            &link,
            connack,
            &context,
            &mut dirty,
        );
        let Attached { session, epoch, .. } = attached.expect("a session");
        broker.detach(&session, epoch, Cause::Dropped, &context, &mut dirty);
        broker.flush_all(&context, dirty);
        assert_eq!(broker.budget().used(), LEFT, "nothing was written");
        drop(link.mailbox().take());
        assert_eq!(broker.budget().used(), 0);
    }

    /// How a connection that waits for a session comes to have no use for it.
    enum Loss {
        /// It ends.
        End,
        /// There is an outage.
        Outage,
    }

    /// Two connections wait for a session that ends with the connection that has it. Then the first of them
    /// has no use for it: the second is woken, and if it has none either, nothing of the session is left.
    #[test]
    fn session_that_nobody_takes_any_more_is_gone() {
        for loss in [Loss::End, Loss::Outage] {
            let now = Instant::now();
            let broker = broker(Config::standard(), now);
            let context = broker.context(now);
            let mut dirty = Dirty::default();
            let links: Vec<_> = (0..3).map(|_| Arc::new(Sink::default())).collect();
            let connect = |number: usize, dirty: &mut Dirty| {
                let link: Arc<dyn Link> = links[number].clone();
                let mut will = None;
                let request = connect_request("a", &mut will);
                broker.connect(request, &link, |_| Vec::new(), &context, dirty)
            };
            let attached = connect(0, &mut dirty);
            let Attached { session, epoch, .. } = attached.expect("a session");
            for number in [1, 2] {
                let refused = connect(number, &mut dirty).err();
                assert_eq!(refused, Some(NotAttached::Awaited));
            }
            broker.detach(&session, epoch, Cause::Dropped, &context, &mut dirty);
            assert_eq!(broker.sessions.len(), 1, "it waits for the first");
            if let Loss::Outage = loss {
                broker.begin_outage(Duration::from_secs(5), now);
            }
            let woken = links[2].wakes();
            for number in [1, 2] {
                let link: Arc<dyn Link> = links[number].clone();
                match loss {
                    Loss::End => broker.forgo("a", &link),
                    Loss::Outage => {
                        let refused = connect(number, &mut dirty).err();
                        assert_eq!(refused, Some(NotAttached::Unreachable));
                    }
                }
            }
            assert_eq!(links[2].wakes(), woken + 1, "it was the next");
            assert_eq!(broker.sessions.len(), 0);
            broker.flush_all(&context, dirty);
            drop(session);
            assert_eq!(broker.budget().used(), 0);
        }
    }

    /// Receivers with messages that wait: for their own subscriptions or, each of a group, for those.
    struct Waiting {
        broker: Broker,
        now: Instant,
        receivers: Vec<Attached>,
        links: Vec<Arc<Sink>>,
    }

    impl Waiting {
        const RECEIVERS: usize = 20;
        const MESSAGES: u16 = 200;
        const LENGTH: usize = 1000;

        fn new(memory: usize, share: bool) -> Self {
            let now = Instant::now();
            let mut config = Config::standard();
            config.limits.memory = memory;
            let broker = broker(config, now);
            let mut waiting = Self {
                broker,
                now,
                receivers: Vec::new(),
                links: Vec::new(),
            };
            waiting.connect(Sink::default);
            waiting.subscribe(share);
            let mut dirty = Dirty::default();
            let context = waiting.broker.context(now);
            for Attached { session, epoch, .. } in &waiting.receivers {
                let cause = Cause::Dropped;
                waiting
                    .broker
                    .detach(session, *epoch, cause, &context, &mut dirty);
            }
            waiting.publish(&mut dirty);
            waiting.finish(dirty);
            waiting
        }

        /// Connects everybody, whoever was connected before.
        fn connect(&mut self, link: fn() -> Sink) {
            let mut dirty = Dirty::default();
            let context = self.broker.context(self.now);
            self.links = (0..Self::RECEIVERS).map(|_| Arc::new(link())).collect();
            let attach = |(number, link): (usize, &Arc<Sink>)| {
                let (client_id, mut will) = (number.to_string(), None);
                let request = connect_request(&client_id, &mut will);
                let peer = Peer {
                    window: Self::MESSAGES,
                    ..request.peer
                };
                let request = ConnectRequest {
                    clean_start: false,
                    expiry: 3600,
                    takeover: Takeover::AtOnce,
                    peer,
                    ..request
                };
                let link: Arc<dyn Link> = link.clone();
                let connack = |_| Vec::new();
                let attached = self
                    .broker
                    .connect(request, &link, connack, &context, &mut dirty);
                attached.expect("a session")
            };
            self.receivers = self.links.iter().enumerate().map(attach).collect();
            self.finish(dirty);
        }

        fn subscribe(&self, share: bool) {
            let context = self.broker.context(self.now);
            let mut dirty = Dirty::default();
            for (number, Attached { session, epoch, .. }) in self.receivers.iter().enumerate() {
                let filter = match share {
                    true => format!("$share/{number}/t"),
                    false => "t".to_owned(),
                };
                let request = Request {
                    filter: Filter::parse(&filter).unwrap(),
                    options: SubscribeOptions {
                        qos: QoS::AtLeastOnce,
                        no_local: false,
                        retain_as_published: false,
                        retain_handling: RetainHandling::DoNotSend,
                    },
                    id: None,
                };
                let mut due = Due::default();
                let reason = self
                    .broker
                    .subscribe(session, *epoch, &request, &mut due, &context, &mut dirty);
                assert_eq!(reason, ReasonCode::GrantedQoS1);
            }
        }

        fn publish(&self, dirty: &mut Dirty) {
            let context = self.broker.context(self.now);
            for _ in 0..Self::MESSAGES {
                let payload = [0; Self::LENGTH];
                let publication = Publication::new("t", &payload[..], QoS::AtLeastOnce);
                let run = Run::one(&publication);
                self.broker
                    .deliver_and_forget(Origin::Outside, run, &context, dirty);
            }
        }

        /// Does all there is to do.
        fn finish(&self, mut dirty: Dirty) {
            let context = self.broker.context(self.now);
            loop {
                while !self.broker.flush_some(usize::MAX, &context, &mut dirty) {
                    dirty.begin_turn();
                }
                if !self.broker.has_work() {
                    return;
                }
                self.broker.work(self.now, &mut dirty);
            }
        }
    }

    /// What waits is held already: its packets are composed besides as far as there is memory, and else as
    /// sockets take them. So receivers that resume and do not read leave room for others, and those that
    /// read get everything.
    #[test]
    fn packets_of_those_who_resume_and_do_not_read_stay_within_the_bound() {
        const MEMORY: usize = 1 << 20;
        for share in [false, true] {
            let mut waiting = Waiting::new(MEMORY, share);
            let all = usize::from(Waiting::MESSAGES) * Waiting::LENGTH;
            let before = waiting.broker.budget().used_by(Kind::Queues);
            assert!((all..MEMORY / 2).contains(&before), "{before} bytes wait");

            waiting.connect(Sink::full);
            let used = waiting.broker.budget().used_by(Kind::Queues);
            let each = 2 * 1024 + 2 * Waiting::LENGTH;
            let most = MEMORY / 2 + Waiting::RECEIVERS * each;
            assert!(
                (before..most).contains(&used),
                "{used} bytes, share {share}"
            );

            waiting.connect(Sink::default);
            for link in &waiting.links {
                let taken = link.take(<[u8]>::len);
                assert!(taken > all, "{taken} bytes came, share {share}");
            }
        }
    }

    /// AWS-MQTT-08: what waits for its PUBACK is sent again, but not behind itself to a socket that is full.
    #[test]
    fn nothing_is_sent_again_to_a_socket_that_takes_nothing() {
        const INTERVAL: Duration = Duration::from_secs(7);
        let cases: [(fn() -> Sink, Wake); 2] =
            [(Sink::default, Wake::Writer), (Sink::full, Wake::Nobody)];
        for (link, expected) in cases {
            let mut waiting = Waiting::new(16 << 20, false);
            waiting.connect(link);
            let context = waiting.broker.context(waiting.now + INTERVAL);
            for Attached { session, .. } in &waiting.receivers {
                let mut outbox = session.outbox();
                let (wake, _) = outbox.resend_overdue(INTERVAL, None, &context);
                assert_eq!(wake, expected);
            }
        }
    }
}
