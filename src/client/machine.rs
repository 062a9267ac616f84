//! One client's connection, from its bytes to calls of the broker and back, without a socket.
//!
//! The driver that owns the socket feeds what it read to [`Connection::receive`], in order, and does
//! what the returned [`Flow`] says. Answers collect during a batch and enter the outbox at its end.
//!
//! ```text
//!   Connecting ──CONNECT──► Authenticating ──► Active ──► Ended
//!        └───────────────────────┴───────────────┴─────────┘  refusal, violation, DISCONNECT, close
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::{
    Attached, Broker, ConnectRequest, ConnectionFacts, Context, Dirty, FanOut, Farewell, Later,
    Link, NotAttached, Outgoing, Peer, RouteCache, Session, Takeover, TimerKey, TrafficTotals,
    compose, compose_within,
};
use crate::budget::{Charge, Kind};
use crate::codec::{
    self, Connect, ConnectError, DecodeError, PacketType, ReasonCode, Split, Version, connect,
};
use crate::config::Limits;
use crate::message::cause::Cause;
use crate::protocol::alias::InboundAliases;
use crate::protocol::handshake::{self, Accepted};
use crate::protocol::rate::Rate;
use crate::protocol::violation::Violation;

use super::answers::Answers;
use super::publishing::Unfinished;
use super::subscribing::FilterWork;

/// Unsent answers beyond this stop the reading of their cause.
pub(crate) const UNSENT_ANSWERS: usize = 64 * 1024;

/// How long the session of a connection is waited for: much longer than that one goes on reading
/// once it knows, so that this is for one whose task has no turn.
const HANDOVER_LIMIT: Duration = Duration::from_secs(1);

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
    /// Wait so long before reading on (AWS-LIM-11).
    Pause(Duration),
    /// Check these and call [`Connection::authenticated`].
    Authenticate(Credentials),
    /// The connection is over; its farewell is in the link's mailbox.
    End,
}

/// User name and password of a CONNECT.
pub(crate) struct Credentials {
    pub(crate) username: Option<Box<str>>,
    pub(crate) password: Option<Box<[u8]>>,
    /// Accounts for both.
    _charge: Charge,
}

impl Credentials {
    /// A copy of them, for which `charge` holds the bytes.
    pub(crate) fn new(username: Option<&str>, password: Option<&[u8]>, charge: Charge) -> Self {
        Self {
            username: username.map(Into::into),
            password: password.map(Into::into),
            _charge: charge,
        }
    }
}

/// The word on credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Valid,
    Invalid,
    /// They were not looked at: too many wait for that.
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
    link: Arc<dyn Link>,
    facts: Arc<ConnectionFacts>,
    phase: Phase,
    timer: Option<TimerKey>,
    /// The owner looks whether the socket is stuck.
    stall_watch: Option<TimerKey>,
    /// The owner looks at whatever it waits for besides.
    alarm: Option<TimerKey>,
    /// What the connection had published when it ended, and not all receivers have got.
    left: Option<Box<FanOut>>,
}

enum Phase {
    Connecting {
        deadline: Instant,
    },
    Authenticating(Box<Accepted>),
    /// Another connection has the session, and is asked to handle what has arrived on it first.
    TakingOver {
        accepted: Box<Accepted>,
        /// From then on it is not waited for.
        deadline: Instant,
    },
    Active(Box<Active>),
    Ended,
}

/// What a connection knows about its client after CONNECT.
pub(crate) struct Active {
    pub(super) session: Arc<Session>,
    pub(super) epoch: u64,
    pub(super) version: Version,
    pub(super) is_bridge: bool,
    keep_alive: Duration,
    /// When the last packet, or enough of one, came.
    heard_at: Instant,
    /// Bytes of an incomplete packet that came since then.
    heard_part: usize,
    /// The Session Expiry Interval in force is 0 and cannot become more (MQTT-3.14.2-2).
    pub(super) ends_with_connection: bool,
    pub(super) packet_size: usize,
    pub(super) problem_information: bool,
    pub(super) aliases: InboundAliases,
    pub(super) routes: RouteCache,
    /// A packet that was handled in part.
    pub(super) filter_work: Option<Box<FilterWork>>,
    /// What was published and has not reached all receivers.
    pub(super) unfinished: Option<Box<Unfinished>>,
    pub(super) answers: Answers,
    /// QoS 1 messages of this batch, whose PUBACK cannot have left yet.
    pub(super) unanswered: usize,
    pub(super) publish_rate: Option<Rate>,
    byte_rate: Option<Rate>,
    pub(super) batch: TrafficTotals,
}

/// A client that is refused.
struct Applicant<'a> {
    version: Version,
    client_id: &'a str,
    /// Its Maximum Packet Size.
    packet_size: usize,
    /// Whether it takes a Reason String (AWS-M5-13).
    problem_information: bool,
}

impl<'a> From<&'a Accepted> for Applicant<'a> {
    fn from(accepted: &'a Accepted) -> Self {
        Self {
            version: accepted.version,
            client_id: &accepted.client_id,
            packet_size: accepted.packet_size,
            problem_information: accepted.problem_information,
        }
    }
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
            phase: Phase::Connecting { deadline },
            timer: Some(timer),
            stall_watch: None,
            alarm: None,
            left: None,
        }
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
            Phase::Authenticating(_) | Phase::TakingOver { .. } => Received {
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
            Phase::Ended => Received::end(buf.len()),
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
        let Phase::Active(active) = &mut self.phase else {
            return Received::end(consumed);
        };
        active.batch.bytes += consumed as u64;
        self.facts.traffic.add(std::mem::take(&mut active.batch));
        active.unanswered = 0;
        let unsent = active.send_answers(dirty);
        match result {
            Ok(mut received) => {
                if unsent > UNSENT_ANSWERS && matches!(received.flow, Flow::Continue | Flow::Yield)
                {
                    received.flow = Flow::Stall;
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

    fn receive_connect(
        &mut self,
        broker: &Broker,
        buf: &[u8],
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Received {
        let (len, connect) = match read_connect(buf, &broker.config().limits) {
            Ok(Opening::Connect { len, connect }) => (len, connect),
            Ok(Opening::Partial { needed }) => {
                return Received {
                    consumed: 0,
                    needed,
                    flow: Flow::Continue,
                };
            }
            Err(Unwelcome::Unread(text)) => {
                self.reject_unread(broker, &text);
                return Received::end(buf.len());
            }
            Err(Unwelcome::Undecoded(error)) => {
                self.reject_undecoded(broker, &error);
                return Received::end(buf.len());
            }
        };
        self.facts.traffic.add(TrafficTotals {
            packets: 1,
            bytes: len as u64,
            messages: 0,
        });
        let accepted = handshake::accept(&connect, broker.config(), broker.budget(), || {
            broker.assign_client_id()
        });
        let flow = match accepted {
            Err(violation) => {
                let applicant = Applicant {
                    version: connect.version,
                    client_id: connect.client_id,
                    packet_size: connect
                        .properties
                        .maximum_packet_size
                        .map_or(usize::MAX, |size| size as usize),
                    problem_information: connect.properties.request_problem_information,
                };
                self.reject(broker, &applicant, &violation);
                Flow::End
            }
            Ok(accepted) if broker.config().users.is_empty() => {
                self.establish(broker, accepted, context, dirty)
            }
            Ok(accepted) => self.authenticate(broker, &connect, accepted),
        };
        Received {
            consumed: len,
            needed: 0,
            flow,
        }
    }

    /// Asks whether the client is whom it says it is.
    fn authenticate(&mut self, broker: &Broker, connect: &Connect<'_>, accepted: Accepted) -> Flow {
        let bytes = connect.username.map_or(0, str::len) + connect.password.map_or(0, <[u8]>::len);
        let mut charge = broker.charge(Kind::Packets);
        if charge.grow(bytes).is_err() {
            self.reject(broker, &Applicant::from(&accepted), &busy());
            return Flow::End;
        }
        self.phase = Phase::Authenticating(Box::new(accepted));
        Flow::Authenticate(Credentials::new(connect.username, connect.password, charge))
    }

    /// Goes on after [`Flow::Authenticate`].
    pub(crate) fn authenticated(
        &mut self,
        broker: &Broker,
        verdict: Verdict,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        let Phase::Authenticating(accepted) = phase else {
            return Flow::End;
        };
        let violation = match verdict {
            _ if broker.is_stopping() => stopping(),
            Verdict::Valid => return self.establish(broker, *accepted, context, dirty),
            Verdict::Invalid => Violation::new(
                ReasonCode::BadUserNameOrPassword,
                "MQTT-3.1.4-2",
                "bad user name or password",
            ),
            Verdict::Busy => busy(),
        };
        self.reject(broker, &Applicant::from(&*accepted), &violation);
        Flow::End
    }

    fn establish(
        &mut self,
        broker: &Broker,
        accepted: Accepted,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        if !broker.allows_connect(&accepted.client_id, context) {
            let violation = Violation::new(
                ReasonCode::QuotaExceeded,
                "AWS-CONN-15",
                "too many connects of this client identifier",
            );
            self.reject(broker, &Applicant::from(&accepted), &violation);
            return Flow::End;
        }
        if connack(&accepted, false, broker).len() > accepted.packet_size {
            let violation = Violation::new(
                ReasonCode::PacketTooLarge,
                "MQTT-3.1.2-24",
                "CONNACK exceeds the client's maximum packet size",
            );
            self.reject(broker, &Applicant::from(&accepted), &violation);
            return Flow::End;
        }
        let deadline = context.live + HANDOVER_LIMIT;
        self.attach(broker, Box::new(accepted), deadline, context, dirty)
    }

    /// Takes the session, or waits for the connection that has it.
    fn attach(
        &mut self,
        broker: &Broker,
        mut accepted: Box<Accepted>,
        deadline: Instant,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let mut will = accepted.will.take();
        let request = ConnectRequest {
            client_id: &accepted.client_id,
            version: accepted.version,
            clean_start: accepted.clean_start,
            expiry: accepted.session_expiry,
            will: &mut will,
            peer: Peer {
                version: accepted.version,
                window: accepted.window,
                packet_size: accepted.packet_size,
                topic_aliases: accepted.topic_aliases,
                problem_information: accepted.problem_information,
            },
            facts: self.facts.clone(),
            takeover: match deadline <= context.live {
                true => Takeover::AtOnce,
                false => Takeover::Asked,
            },
        };
        let connack = |session_present| connack(&accepted, session_present, broker);
        match broker.connect(request, &self.link, connack, context, dirty) {
            Ok(attached) => self.begin(broker, &accepted, attached, context),
            Err(NotAttached::Refused(reason)) => {
                let violation = Violation::new(reason, "limits.sessions", "too many sessions");
                self.reject(broker, &Applicant::from(&*accepted), &violation);
                Flow::End
            }
            Err(NotAttached::Awaited) => {
                accepted.will = will;
                self.phase = Phase::TakingOver { accepted, deadline };
                self.wake_at(broker, deadline);
                Flow::Continue
            }
        }
    }

    /// The connection has its session.
    fn begin(
        &mut self,
        broker: &Broker,
        accepted: &Accepted,
        attached: Attached,
        context: &Context<'_>,
    ) -> Flow {
        tracing::info!(
            client_id = %accepted.client_id,
            peer = %self.facts.peer_name(),
            listener = self.facts.listener,
            protocol = accepted.version.level(),
            clean_start = accepted.clean_start,
            session_present = attached.session_present,
            keep_alive = accepted.keep_alive,
            "connected"
        );
        let limits = &broker.config().limits;
        self.phase = Phase::Active(Box::new(Active {
            session: attached.session,
            epoch: attached.epoch,
            version: accepted.version,
            is_bridge: accepted.is_bridge,
            keep_alive: Duration::from_secs(u64::from(accepted.keep_alive)) * 3 / 2,
            heard_at: context.live,
            heard_part: 0,
            ends_with_connection: accepted.session_expiry == 0,
            packet_size: accepted.packet_size,
            problem_information: accepted.problem_information,
            aliases: InboundAliases::new(broker.charge(Kind::Sessions)),
            routes: RouteCache::new(broker.charge(Kind::Sessions), broker.hashing()),
            filter_work: None,
            unfinished: None,
            answers: Answers::default(),
            unanswered: 0,
            publish_rate: limits
                .publish_rate
                .map(|rate| Rate::new(rate, context.live)),
            byte_rate: limits.byte_rate.map(|rate| Rate::new(rate, context.live)),
            batch: TrafficTotals::default(),
        }));
        self.rearm(broker, context.live);
        Flow::Continue
    }

    /// Before a client is known there is nobody to answer.
    fn reject_unread(&mut self, broker: &Broker, text: &str) {
        tracing::debug!(peer = %self.facts.peer_name(), listener = self.facts.listener, "refused: {text}");
        self.retire(broker, Version::V311, Vec::new());
    }

    /// A CONNECT that cannot be decoded, or whose version is not served (MQTT-3.1.2-1, -2,
    /// MQTT-3.1.4-1; MQTT 3.1.1: MQTT-3.1.2-2).
    fn reject_undecoded(&mut self, broker: &Broker, error: &ConnectError) {
        tracing::info!(peer = %self.facts.peer_name(), listener = self.facts.listener, "refused: {error}");
        let version = error.version().filter(|version| match error {
            ConnectError::UnsupportedVersion { .. } => true,
            // MQTT 3.1.1 has no return code for a malformed packet: it closes.
            ConnectError::Invalid { .. } => *version == Version::V5,
        });
        let mut bytes = Vec::new();
        if let Some(version) = version {
            let reason = error.reason();
            compose(
                &mut bytes,
                version,
                &Outgoing::Refusal { reason, text: None },
            );
        }
        self.retire(broker, version.unwrap_or(Version::V311), bytes);
    }

    /// A CONNECT that is refused for what it asks.
    fn reject(&mut self, broker: &Broker, applicant: &Applicant<'_>, violation: &Violation) {
        let Applicant {
            version,
            client_id,
            packet_size,
            problem_information,
        } = *applicant;
        tracing::info!(
            client_id,
            peer = %self.facts.peer_name(),
            listener = self.facts.listener,
            protocol = version.level(),
            rule = violation.rule,
            "refused: {}", violation.text
        );
        let mut bytes = Vec::new();
        let text = broker.reason_string("CONNACK", &violation.text);
        // A client that is told of a version tries another one, so that is never kept from it.
        let closes = broker.config().aws.close_on_refusal_v3
            && violation.reason != ReasonCode::UnsupportedProtocolVersion;
        let silent = version == Version::V311 && (closes || !has_return_code(violation.reason));
        if !silent {
            let (text, reason) = (
                Some(&*text).filter(|_| problem_information),
                violation.reason,
            );
            // MQTT-3.2.2-19
            compose_within(&mut bytes, version, packet_size, text, |text| {
                Outgoing::Refusal { reason, text }
            });
        }
        self.retire(broker, version, bytes);
    }

    /// Ends a connection that never had a session.
    fn retire(&mut self, broker: &Broker, version: Version, bytes: Vec<u8>) {
        broker.count_refused();
        let (writer, words) = Farewell::bytes(version, &bytes, broker.budget());
        self.link.mailbox().retire(writer, words);
        self.end(broker);
    }

    /// A violation ends an established connection: DISCONNECT with its reason in MQTT 5
    /// (MQTT-4.13.1-1), just the end in MQTT 3.1.1 (MQTT-4.8.0-1).
    pub(crate) fn refuse(
        &mut self,
        broker: &Broker,
        violation: &Violation,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        self.depart(broker, violation.into(), context, dirty);
    }

    /// Ends the connection for this cause.
    pub(crate) fn depart(
        &mut self,
        broker: &Broker,
        cause: Cause,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        if let Phase::Active(active) = &self.phase {
            self.log_end(active, &cause);
            broker.detach(&active.session, active.epoch, cause, context, dirty);
        } else if !matches!(self.phase, Phase::Ended) {
            tracing::debug!(
                peer = %self.facts.peer_name(),
                listener = self.facts.listener,
                reason = %cause,
                "ended before CONNECT"
            );
            // Nobody to say farewell to; the owner still waits for the word that it is over.
            self.retire(broker, Version::V311, Vec::new());
        }
        self.end(broker);
    }

    fn log_end(&self, active: &Active, cause: &Cause) {
        tracing::info!(
            client_id = active.session.client_id(),
            peer = %self.facts.peer_name(),
            listener = self.facts.listener,
            protocol = active.version.level(),
            by = cause.initiator().name(),
            reason = %cause,
            "disconnected"
        );
    }

    /// Whether another connection still has the session.
    pub(crate) fn waits_for_session(&self) -> bool {
        matches!(self.phase, Phase::TakingOver { .. })
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
            active.heard_part += bytes;
            if active.heard_part >= context.limits.keep_alive_bytes {
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
        if matches!(self.phase, Phase::TakingOver { .. }) {
            return self.try_to_attach(broker, context, dirty);
        }
        match &self.phase {
            Phase::Connecting { .. } if broker.is_stopping() => {
                self.reject_unread(broker, "the broker is stopping");
                Flow::End
            }
            Phase::Connecting { deadline } if *deadline <= context.live => {
                self.reject_unread(broker, "no CONNECT in time");
                Flow::End
            }
            Phase::Active(active)
                if !active.keep_alive.is_zero()
                    && active.heard_at + active.keep_alive <= context.live =>
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
            Phase::Connecting { .. } | Phase::Authenticating(_) | Phase::TakingOver { .. } => {
                Flow::Continue
            }
            Phase::Ended => Flow::End,
        }
    }

    /// The session may be free, or has been waited for long enough.
    fn try_to_attach(&mut self, broker: &Broker, context: &Context<'_>, dirty: &mut Dirty) -> Flow {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        let Phase::TakingOver { accepted, deadline } = phase else {
            return Flow::End;
        };
        if broker.is_stopping() {
            self.reject(broker, &Applicant::from(&*accepted), &stopping());
            return Flow::End;
        }
        self.attach(broker, accepted, deadline, context, dirty)
    }

    /// Wakes the owner then; the time that was set before is forgotten.
    pub(crate) fn wake_at(&mut self, broker: &Broker, at: Instant) {
        if let Some(alarm) = self.alarm.take() {
            broker.cancel_timer(alarm);
        }
        self.alarm = Some(broker.wake_at(at, &self.link));
    }

    /// What came of the timers that fired is done.
    pub(crate) fn settle_timers(&mut self, broker: &Broker, now: Instant) {
        for timer in [&mut self.timer, &mut self.stall_watch, &mut self.alarm] {
            if let Some(fired) = timer.take_if(|timer| timer.is_due(now)) {
                broker.cancel_timer(fired);
            }
        }
    }

    /// Nobody waits for anything any more.
    pub(crate) fn forget_timers(&mut self, broker: &Broker) {
        let timers = [
            self.timer.take(),
            self.stall_watch.take(),
            self.alarm.take(),
        ];
        for timer in timers.into_iter().flatten() {
            broker.cancel_timer(timer);
        }
    }

    /// Looks again when a socket that is full since `since` would have been full for too long. One
    /// look is enough: while it is ahead no other is armed.
    pub(crate) fn watch_stall(&mut self, broker: &Broker, since: Instant, now: Instant) {
        if self.stall_watch.is_none_or(|timer| timer.is_due(now)) {
            if let Some(timer) = self.stall_watch.take() {
                broker.cancel_timer(timer);
            }
            let at = since + broker.config().limits.write_stall;
            self.stall_watch = Some(broker.wake_at(at, &self.link));
        }
    }

    /// Arms the keep-alive timer from the last packet on: it is moved only when it fires.
    fn rearm(&mut self, broker: &Broker, now: Instant) {
        if let Some(timer) = self.timer.take() {
            broker.cancel_timer(timer);
        }
        if let Phase::Active(active) = &self.phase
            && !active.keep_alive.is_zero()
        {
            let at = (active.heard_at + active.keep_alive).max(now);
            self.timer = Some(broker.wake_at(at, &self.link));
        }
    }

    fn end(&mut self, broker: &Broker) {
        self.forget_timers(broker);
        // What came in after the session had left.
        broker.keep_traffic(&self.facts);
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        if let Phase::Active(active) = phase {
            broker.discard(active.aliases);
            self.left = active.unfinished.map(|unfinished| unfinished.rest);
        }
    }

    /// Whether some receivers have not got what was published; [`receive`](Self::receive) goes on with
    /// that first.
    pub(crate) fn is_publishing(&self) -> bool {
        matches!(&self.phase, Phase::Active(active) if active.unfinished.is_some())
    }

    /// Leaves what has not reached all receivers to others, once the connection has ended.
    pub(crate) fn leave_work(&mut self, context: &Context<'_>, dirty: &mut Dirty) {
        if let Some(rest) = self.left.take() {
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
        self.heard_at = now;
        self.heard_part = 0;
    }
}

/// Why a client is refused while the broker stops.
fn stopping() -> Violation {
    Violation::new(
        ReasonCode::ServerShuttingDown,
        "MQTT-4.13.2-1",
        "the broker is stopping",
    )
}

/// Why a client is refused whose password cannot be checked now.
fn busy() -> Violation {
    Violation::new(
        ReasonCode::ServerBusy,
        "MQTT-4.13.2-1",
        "too many clients wait for the check of their password",
    )
}

/// CONNACK for a CONNECT that was accepted.
fn connack(accepted: &Accepted, session_present: bool, broker: &Broker) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packet = accepted.connack(session_present, broker.config());
    compose(&mut bytes, accepted.version, &Outgoing::Connack(&packet));
    bytes
}

/// What a connection begins with.
enum Opening<'a> {
    Connect {
        /// Bytes in the packet.
        len: usize,
        connect: Box<Connect<'a>>,
    },
    Partial {
        needed: usize,
    },
}

/// A beginning that is refused.
enum Unwelcome {
    /// Without a word: it is no CONNECT, or one that is too large to be read.
    Unread(String),
    /// As a CONNECT.
    Undecoded(ConnectError),
}

/// Reads the first packet of a connection. What refuses it does so as soon as it is there: another
/// packet with its first byte, a CONNECT with its length or that of its properties.
fn read_connect<'a>(buf: &'a [u8], limits: &Limits) -> Result<Opening<'a>, Unwelcome> {
    let unread = |error: DecodeError| Unwelcome::Unread(error.to_string());
    let split = codec::split(buf, limits.packet_size.min(limits.connect_size)).map_err(unread)?;
    if let Some(&first) = buf.first()
        && let packet_type = PacketType::from_first_byte(first).map_err(unread)?
        && packet_type != PacketType::Connect
    {
        let text = format!("{packet_type:?} before CONNECT");
        return Err(Unwelcome::Unread(text));
    }
    let needed = match &split {
        Split::Partial { needed } => *needed,
        Split::Frame(frame) => frame.len,
    };
    if needed > limits.properties {
        let version = Some(Version::V5);
        codec::check_sections(buf, Version::V5, limits.properties)
            .map_err(|error| Unwelcome::Undecoded(ConnectError::Invalid { version, error }))?;
    }
    let Split::Frame(frame) = split else {
        return Ok(Opening::Partial { needed });
    };
    let connect = connect::decode(&frame).map_err(Unwelcome::Undecoded)?;
    Ok(Opening::Connect {
        len: frame.len,
        connect: Box::new(connect),
    })
}

impl Received {
    fn end(consumed: usize) -> Self {
        Self {
            consumed,
            needed: 0,
            flow: Flow::End,
        }
    }
}

/// Whether MQTT 3.1.1 has a return code for it; otherwise it closes without CONNACK.
fn has_return_code(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::UnsupportedProtocolVersion
            | ReasonCode::ClientIdentifierNotValid
            | ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::QuotaExceeded
            | ReasonCode::BadUserNameOrPassword
            | ReasonCode::NotAuthorized
            | ReasonCode::Banned
    )
}
