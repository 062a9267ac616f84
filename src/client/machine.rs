//! One client's connection, from its bytes to calls of the broker and back, without a socket.
//!
//! The driver that owns the socket feeds what it read to [`Connection::receive`], in order, and does
//! what the returned [`Flow`] says. Answers collect during a batch and enter the outbox at its end.
//!
//! ```text
//!   Connecting ──CONNECT──► Asking ──► Active ──► Ended
//!        └───────────────────┴───────────┴─────────┘  refusal, violation, DISCONNECT, close
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "aws")]
use crate::broker::access::Authorization;
use crate::broker::access::Permissions;
use crate::broker::{
    Broker, ConnectionFacts, Context, Dirty, FanOut, Later, Link, RouteCache, Session, TimerKey,
    TrafficTotals,
};
use crate::budget::Charge;
use crate::codec::{DecodeError, PacketType, Version};
use crate::message::cause::Cause;
use crate::protocol::alias::InboundAliases;
use crate::protocol::handshake::Accepted;
use crate::protocol::rate::Rate;
use crate::protocol::violation::Violation;
use crate::time::{Moment, Stamp};

use super::answers::Answers;
#[cfg(feature = "aws")]
use super::authorizing::{Application, Lease};
use super::publishing::Unfinished;
use super::subscribing::FilterWork;
use super::tapping::Rows;

/// Unsent answers beyond this stop the reading of their cause.
pub(crate) const UNSENT_ANSWERS: usize = 64 * 1024;

/// How long the session of a connection is waited for: much longer than that one goes on reading
/// once it knows, so that this is for one whose task has no turn.
pub(super) const HANDOVER_LIMIT: Duration = Duration::from_secs(1);

/// What a batch of bytes came to.
#[derive(Debug)]
pub(crate) struct Received {
    /// Bytes that were handled and can go.
    pub(crate) consumed: usize,
    /// Bytes that the next packet needs in all, as far as that is known.
    pub(crate) needed: usize,
    pub(crate) flow: Flow,
}

/// How to go on.
#[derive(Debug)]
pub(crate) enum Flow {
    /// Read more.
    Continue,
    /// The turn is over, but the buffer may hold more: flush, let others run, come back.
    Yield,
    /// Too many answers are unsent: read on when they have left.
    Stall,
    /// Too many requests of the client are unanswered: read on when they are fewer.
    Hold,
    /// Wait so long before reading on (AWS-LIM-11).
    Pause(Duration),
    /// Answer this and call [`Connection::answered`].
    Ask(Inquiry),
    /// The connection is over; its farewell is in the link's mailbox.
    End,
}

/// What others have to find out, or to do, before a CONNECT is answered.
#[derive(Debug)]
pub(crate) enum Inquiry {
    /// Whether these are right.
    Credentials(Box<Credentials>),
    /// The certificate of this connection is to be registered.
    #[cfg(feature = "aws")]
    Enrolment(Arc<ConnectionFacts>),
    /// Who an authorizer says that the client is.
    #[cfg(feature = "aws")]
    Authorization(Arc<Application>),
}

/// User name and password of a CONNECT.
pub(crate) struct Credentials {
    pub(crate) username: Option<Arc<str>>,
    pub(crate) password: Option<Box<[u8]>>,
    /// Accounts for both.
    _charge: Charge,
}

impl Credentials {
    /// Them, for which `charge` holds the bytes.
    pub(crate) fn new(username: Option<Arc<str>>, password: Option<&[u8]>, charge: Charge) -> Self {
        Self {
            username,
            password: password.map(Into::into),
            _charge: charge,
        }
    }
}

/// The answer to an inquiry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The credentials are right.
    Valid,
    /// They are wrong.
    Invalid,
    /// It was seen to whether the certificate can be registered.
    #[cfg(feature = "aws")]
    Enrolled,
    /// What the authorizer says of the client.
    #[cfg(feature = "aws")]
    Authorized(Arc<Authorization>),
    /// The client is not let in by it, for this reason.
    #[cfg(feature = "aws")]
    Unauthorized(String),
    /// Nobody got to it: too many wait for that.
    Busy,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A connection's inbound half. It belongs to one task and needs no lock.
pub(crate) struct Connection {
    pub(super) link: Arc<dyn Link>,
    pub(super) facts: Arc<ConnectionFacts>,
    pub(super) phase: Phase,
    pub(super) timer: Option<TimerKey>,
    /// Boxed, because an idle connection has none.
    pub(super) seldom: Option<Box<SeldomTimers>>,
    /// Reading waits while more bytes of answers than these have not left, instead of [`UNSENT_ANSWERS`].
    #[cfg(test)]
    unsent_answers: usize,
}

/// What wakes the owner of a connection now and then, and why.
#[derive(Default)]
pub(super) struct SeldomTimers {
    /// The owner looks whether the socket is stuck.
    stall_watch: Option<TimerKey>,
    /// The owner looks at whatever it waits for besides.
    alarm: Option<TimerKey>,
    /// The owner looks what packet rules let arrive later, on the broker's time.
    pub(super) release: Option<TimerKey>,
    /// There is one where an authorizer says who the client is.
    #[cfg(feature = "aws")]
    pub(super) lease: Option<Box<Lease>>,
    /// The owner looks at the lease.
    #[cfg(feature = "aws")]
    pub(super) lease_timer: Option<TimerKey>,
    /// Those that nothing is to come of any more, once this pass has ended.
    pub(super) done_with: Vec<TimerKey>,
}

impl SeldomTimers {
    /// Cancels those that fired when the owner was woken last, if it was, and those that nothing is to come of.
    /// Returns whether anything is left.
    fn settle(&mut self, broker: &Broker, woken_at: Option<Moment>) -> bool {
        let mut done_with = std::mem::take(&mut self.done_with);
        if let Some(Moment { now, live }) = woken_at {
            done_with.extend(self.release.take_if(|timer| timer.is_due(now)));
            done_with.extend(
                self.live()
                    .filter_map(|timer| timer.take_if(|timer| timer.is_due(live))),
            );
        }
        done_with
            .into_iter()
            .for_each(|timer| broker.cancel_timer(timer));
        #[cfg(feature = "aws")]
        if self.lease.is_some() {
            return true;
        }
        self.release.is_some() || self.live().any(|timer| timer.is_some())
    }

    /// Nothing is to come of any of them.
    fn forget(&mut self) {
        let mut done_with = std::mem::take(&mut self.done_with);
        done_with.extend(self.release.take());
        done_with.extend(self.live().filter_map(Option::take));
        self.done_with = done_with;
    }

    /// Those on the time of live connections.
    fn live(&mut self) -> impl Iterator<Item = &mut Option<TimerKey>> {
        [
            &mut self.stall_watch,
            &mut self.alarm,
            #[cfg(feature = "aws")]
            &mut self.lease_timer,
        ]
        .into_iter()
    }
}

/// All of a client that has its session lies here: nearly every connection has one, and together with what drives it
/// that takes one allocation.
pub(super) enum Phase {
    Connecting {
        deadline: Stamp,
    },
    /// An answer is waited for.
    Asking(Box<Accepted>),
    /// Another connection has the session, and is asked to handle what has arrived on it first.
    TakingOver(Box<TakingOver>),
    Active(Active),
    /// What the connection had published, and not all receivers have got.
    Ended(Option<Box<FanOut>>),
}

pub(super) struct TakingOver {
    pub(super) accepted: Box<Accepted>,
    pub(super) permissions: Option<Arc<dyn Permissions>>,
    /// From then on it is not waited for.
    pub(super) deadline: Instant,
}

/// What a connection knows about its client after CONNECT.
pub(crate) struct Active {
    pub(super) session: Arc<Session>,
    pub(super) epoch: u64,
    /// What the client may do; everything, if nobody says so.
    pub(super) permissions: Option<Arc<dyn Permissions>>,
    pub(super) version: Version,
    pub(super) is_bridge: bool,
    /// The Keep Alive in force, in seconds; 0 for none.
    pub(super) keep_alive: u16,
    /// When the last packet, or enough of one, came.
    pub(super) heard_at: Stamp,
    /// Bytes of an incomplete packet that came since then.
    pub(super) heard_part: u32,
    /// The Session Expiry Interval in force is 0 and cannot become more (MQTT-3.14.2-2).
    pub(super) ends_with_connection: bool,
    /// Its Maximum Packet Size; the highest number where it has none.
    pub(super) packet_size: u32,
    pub(super) problem_information: bool,
    /// Topic aliases that the client has set. Boxed, because hardly a client sets any.
    pub(super) aliases: Option<Box<InboundAliases>>,
    /// Where it publishes to, once it has. Boxed, because many clients only receive.
    pub(super) routes: Option<Box<RouteCache>>,
    /// Rows of the journal for what it publishes.
    pub(super) rows: Option<Box<Rows>>,
    /// A packet that was handled in part.
    pub(super) filter_work: Option<Box<FilterWork>>,
    /// What was published and has not reached all receivers.
    pub(super) unfinished: Option<Box<Unfinished>>,
    pub(super) answers: Answers,
    /// QoS 1 messages of this batch, whose PUBACK cannot have left yet.
    pub(super) unanswered: usize,
    /// The client made a request at some time, and may have many unanswered.
    pub(super) asks: bool,
    /// Boxed, like the next one: profile `standard` has neither.
    pub(super) publish_rate: Option<Box<Rate>>,
    pub(super) byte_rate: Option<Box<Rate>>,
    pub(super) batch: Batch,
}

/// What came in a batch, of whose bytes there are less than of packets that a number of 32 bits counts.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) packets: u32,
    pub(super) messages: u32,
}

/// Why a batch stopped before its end.
pub(crate) enum Stop {
    /// The client broke a rule.
    Violation(Violation),
    /// DISCONNECT came.
    Disconnect(Cause),
    /// Another connection has the session.
    Stale,
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Violation(error.into())
    }
}

impl Connection {
    /// A connection that waits for CONNECT.
    pub(crate) fn new(
        broker: &Broker,
        link: Arc<dyn Link>,
        facts: ConnectionFacts,
        now: Instant,
    ) -> Self {
        let deadline = now + broker.config().limits.connect_timeout;
        let timer = broker.wake_at(deadline, &link);
        Self {
            link,
            facts: Arc::new(facts),
            phase: Phase::Connecting {
                deadline: deadline.into(),
            },
            timer: Some(timer),
            seldom: None,
            #[cfg(test)]
            unsent_answers: UNSENT_ANSWERS,
        }
    }

    /// Bytes of answers above which reading waits until they have left.
    pub(crate) fn unsent_answers(&self) -> usize {
        #[cfg(test)]
        return self.unsent_answers;
        #[cfg(not(test))]
        UNSENT_ANSWERS
    }

    /// Sets them.
    #[cfg(test)]
    pub(crate) fn set_unsent_answers(&mut self, bytes: usize) {
        self.unsent_answers = bytes;
    }

    /// Handles the packets at the front of `buf`.
    pub(crate) fn receive(
        &mut self,
        broker: &Broker,
        buf: &[u8],
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Received {
        match &mut self.phase {
            Phase::Connecting { .. } => self.receive_connect(broker, buf, context, dirty),
            Phase::Asking(_) | Phase::TakingOver(_) => Received {
                consumed: 0,
                needed: buf.len() + 1,
                flow: Flow::Stall,
            },
            Phase::Active(active) => {
                if self.link.mailbox().is_retired() {
                    self.end(broker);
                    return Received::end(buf.len());
                }
                let mut at = 0;
                let result = active.receive(broker, buf, &mut at, context, dirty);
                // Keep Alive counts packets: a part of one is no sign of life.
                if at > 0 {
                    active.hear(context.live);
                }
                self.finish_batch(broker, at, result, context, dirty)
            }
            Phase::Ended(_) => Received::end(buf.len()),
        }
    }

    /// Handles a packet that was read in `pieces`, which `charge` accounts for. Those of anything but a
    /// PUBLISH on an established connection come back.
    pub(crate) fn receive_large(
        &mut self,
        broker: &Broker,
        pieces: Vec<Vec<u8>>,
        charge: Charge,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Received, Vec<Vec<u8>>> {
        let is_publish = pieces
            .first()
            .and_then(|piece| piece.first())
            .is_some_and(|first| first >> 4 == PacketType::Publish.first_byte() >> 4);
        let Phase::Active(active) = &mut self.phase else {
            return Err(pieces);
        };
        if !is_publish || self.link.mailbox().is_retired() {
            return Err(pieces);
        }
        let len = pieces.iter().map(Vec::len).sum();
        active.hear(context.live);
        let result = active
            .receive_large_publish(broker, pieces, charge, context, dirty)
            .map(|()| Received {
                consumed: len,
                needed: 0,
                flow: Flow::Continue,
            });
        Ok(self.finish_batch(broker, len, result, context, dirty))
    }

    /// Accounts for a batch, sends its answers, and carries out what stopped it.
    fn finish_batch(
        &mut self,
        broker: &Broker,
        consumed: usize,
        result: Result<Received, Stop>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Received {
        let most_unsent = self.unsent_answers();
        let Phase::Active(active) = &mut self.phase else {
            return Received::end(consumed);
        };
        let batch = std::mem::take(&mut active.batch);
        self.facts.traffic.add(TrafficTotals {
            packets: batch.packets.into(),
            bytes: consumed as u64,
            messages: batch.messages.into(),
        });
        active.unanswered = 0;
        let unsent = active.send_answers(context, dirty);
        match result {
            Ok(mut received) => {
                let is_stalled = unsent > most_unsent;
                if matches!(received.flow, Flow::Continue | Flow::Yield) {
                    if is_stalled {
                        received.flow = Flow::Stall;
                    } else if active.asks && active.session.has_many_requests() {
                        received.flow = Flow::Hold;
                    }
                }
                if let Some(rate) = &mut active.byte_rate {
                    let wait = rate.charge(consumed as f64, context.live);
                    if !wait.is_zero() {
                        received.flow = Flow::Pause(wait);
                    }
                }
                received
            }
            Err(Stop::Violation(violation)) => {
                self.refuse(broker, &violation, context, dirty);
                Received::end(consumed)
            }
            Err(Stop::Disconnect(cause)) => {
                self.depart(broker, cause, context, dirty);
                Received::end(consumed)
            }
            Err(Stop::Stale) => {
                self.end(broker);
                Received::end(consumed)
            }
        }
    }

    /// Whether so many requests of the client are unanswered that nothing more is read from it yet.
    pub(crate) fn is_held(&self) -> bool {
        matches!(&self.phase, Phase::Active(active) if active.session.is_held())
    }

    /// Whether CONNECT waits for an answer.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.phase, Phase::Asking(_))
    }

    /// Whether another connection still has the session.
    pub(crate) fn waits_for_session(&self) -> bool {
        matches!(self.phase, Phase::TakingOver(_))
    }

    /// The client is there, or was not listened to.
    pub(crate) fn hear(&mut self, now: Instant) {
        if let Phase::Active(active) = &mut self.phase {
            active.hear(now);
        }
    }

    /// So many bytes of an incomplete packet came. A packet counts as arriving while it brings enough
    /// of them in each keep-alive interval; slower is silence.
    pub(crate) fn hear_part(&mut self, bytes: usize, context: &Context<'_>) {
        if let Phase::Active(active) = &mut self.phase {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            active.heard_part = active.heard_part.saturating_add(bytes);
            if active.heard_part as usize >= context.limits.keep_alive_bytes {
                active.hear(context.live);
            }
        }
    }

    /// The owner was woken: by its timer, or because the session left or is to be had. `deaf` tells
    /// that it did not read, so that silence is not the client's.
    pub(crate) fn handle_wake(
        &mut self,
        broker: &Broker,
        deaf: bool,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let cause = self
            .link
            .mailbox()
            .peek(|farewell| farewell.words.cause.clone());
        if let Some(cause) = cause {
            if let (Phase::Active(active), Some(cause)) = (&self.phase, cause) {
                self.log_end(active, &cause);
            }
            self.end(broker);
            return Flow::End;
        }
        if let Phase::Active(active) = &mut self.phase
            && deaf
        {
            active.hear(context.live);
        }
        if matches!(self.phase, Phase::TakingOver(_)) {
            return self.try_to_attach(broker, context, dirty);
        }
        #[cfg(feature = "aws")]
        if let Phase::Active(_) = self.phase
            && let flow @ (Flow::Ask(_) | Flow::End) = self.see_to_lease(broker, context, dirty)
        {
            return flow;
        }
        match &self.phase {
            Phase::Connecting { .. } if broker.is_stopping() => {
                self.reject_unread(broker, ("stopping", "the broker is stopping"), context);
                Flow::End
            }
            Phase::Connecting { .. } if broker.has_outage() => {
                self.reject_unread(broker, ("outage", "an outage"), context);
                Flow::End
            }
            Phase::Connecting { deadline } if Instant::from(*deadline) <= context.live => {
                self.reject_unread(broker, ("timeout", "no CONNECT in time"), context);
                Flow::End
            }
            Phase::Active(active)
                if active
                    .silent_at()
                    .is_some_and(|silent_at| silent_at <= context.live) =>
            {
                self.depart(broker, Cause::KeepAliveTimeout, context, dirty);
                Flow::End
            }
            Phase::Active(_) => {
                if self.timer.is_some_and(|timer| timer.is_due(context.live)) {
                    self.rearm(broker, context.live);
                }
                Flow::Continue
            }
            Phase::Connecting { .. } | Phase::Asking(_) | Phase::TakingOver(_) => Flow::Continue,
            Phase::Ended(_) => Flow::End,
        }
    }

    /// Wakes the owner then; the time that was set before is forgotten.
    pub(crate) fn wake_at(&mut self, broker: &Broker, at: Instant) {
        let timer = broker.wake_at(at, &self.link);
        let seldom = self.seldom.get_or_insert_default();
        seldom.done_with.extend(seldom.alarm.replace(timer));
    }

    /// What came of the timers is done that were due when the owner was woken last, if it was. Until then they
    /// stand for it, whatever took their place.
    pub(crate) fn settle_timers(&mut self, broker: &Broker, woken_at: Option<Moment>) {
        if let Some(moment) = woken_at {
            let fired = self.timer.take_if(|timer| timer.is_due(moment.live));
            fired
                .into_iter()
                .for_each(|timer| broker.cancel_timer(timer));
        }
        self.seldom
            .take_if(|seldom| !seldom.settle(broker, woken_at));
    }

    /// Nobody waits for anything any more.
    pub(crate) fn forget_timers(&mut self) {
        let timer = self.timer.take();
        self.done_with(timer);
        if let Some(seldom) = &mut self.seldom {
            seldom.forget();
        }
    }

    /// Nothing is to come of this timer any more.
    fn done_with(&mut self, timer: Option<TimerKey>) {
        if let Some(timer) = timer {
            self.seldom.get_or_insert_default().done_with.push(timer);
        }
    }

    /// Looks again when a socket that is full since `since` would have been full for too long. One
    /// look is enough: while it is ahead no other is armed.
    pub(crate) fn watch_stall(&mut self, broker: &Broker, since: Instant, now: Instant) {
        let seldom = self.seldom.get_or_insert_default();
        if seldom.stall_watch.is_none_or(|timer| timer.is_due(now)) {
            let at = since + broker.config().limits.write_stall;
            let timer = broker.wake_at(at, &self.link);
            seldom.done_with.extend(seldom.stall_watch.replace(timer));
        }
    }

    /// Arms the keep-alive timer from the last packet on: it is moved only when it fires.
    pub(crate) fn rearm(&mut self, broker: &Broker, now: Instant) {
        let timer = self.timer.take();
        self.done_with(timer);
        if let Phase::Active(active) = &self.phase
            && let Some(silent_at) = active.silent_at()
        {
            let at = silent_at.max(now);
            self.timer = Some(broker.wake_at(at, &self.link));
        }
    }

    pub(crate) fn end(&mut self, broker: &Broker) {
        self.forget_timers();
        // What came in after the session had left.
        broker.keep_traffic(&self.facts);
        #[cfg(feature = "aws")]
        if let Some(seldom) = &mut self.seldom {
            seldom.lease = None;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Ended(None));
        match phase {
            Phase::Active(active) => {
                if let Some(aliases) = active.aliases {
                    broker.discard(*aliases);
                }
                self.phase = Phase::Ended(active.unfinished.map(|unfinished| unfinished.rest));
            }
            Phase::TakingOver(waits) => broker.forgo(&waits.accepted.client_id, &self.link),
            Phase::Ended(left) => self.phase = Phase::Ended(left),
            Phase::Connecting { .. } | Phase::Asking(_) => {}
        }
    }

    /// Whether some receivers have not got what was published; [`receive`](Self::receive) goes on with
    /// that first.
    pub(crate) fn is_publishing(&self) -> bool {
        matches!(&self.phase, Phase::Active(active) if active.unfinished.is_some())
    }

    /// Leaves what has not reached all receivers to others, once the connection has ended.
    pub(crate) fn leave_work(&mut self, context: &Context<'_>, dirty: &mut Dirty) {
        if let Phase::Ended(left) = &mut self.phase
            && let Some(rest) = left.take()
        {
            dirty.later(Later::FanOut(rest), context);
        }
    }

    /// The session, once there is one.
    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        match &self.phase {
            Phase::Active(active) => Some(&active.session),
            _ => None,
        }
    }
}

impl Active {
    /// A sign of life.
    fn hear(&mut self, now: Instant) {
        self.heard_at = now.into();
        self.heard_part = 0;
    }

    /// When the client will have been silent for one and a half times its Keep Alive (MQTT-3.1.2-22), if it has one.
    fn silent_at(&self) -> Option<Instant> {
        let keep_alive = Duration::from_secs(self.keep_alive.into()) * 3 / 2;
        (!keep_alive.is_zero()).then(|| Instant::from(self.heard_at) + keep_alive)
    }
}

impl Received {
    pub(crate) fn end(consumed: usize) -> Self {
        Self {
            consumed,
            needed: 0,
            flow: Flow::End,
        }
    }
}
