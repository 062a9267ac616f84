//! From the first byte to CONNACK: what a connection begins with, who may in, and whose session it gets.

use std::sync::Arc;
use std::time::Instant;

use crate::auth::Principal;
#[cfg(feature = "aws")]
use crate::broker::access::Authorization;
use crate::broker::access::{Claim, NotAdmitted, Permissions};
use crate::broker::{
    Attached, Broker, ConnectRequest, Context, Dirty, NotAttached, Outgoing, Peer, Takeover,
    TrafficTotals, compose,
};
use crate::budget::Kind;
use crate::codec::{
    self, Connect, ConnectError, DecodeError, PacketType, ReasonCode, Split, Version, connect,
};
use crate::config::Limits;
use crate::protocol::handshake::{self, Accepted};
use crate::protocol::rate::Rate;
use crate::protocol::violation::Violation;
use crate::protocol::wrong_door::Spoken;

use super::answers::Answers;
use super::frames;
use super::machine::{
    Active, Batch, Connection, Credentials, Flow, HANDOVER_LIMIT, Inquiry, Phase, Received,
    TakingOver, Verdict,
};
use super::refusing::Applicant;

/// What was found out about a client before it gets its session.
#[derive(Default)]
pub(super) struct Findings {
    /// See [`Claim`].
    pub(super) has_enrolled: bool,
    /// What an authorizer says of it.
    #[cfg(feature = "aws")]
    pub(super) authorization: Option<Arc<Authorization>>,
}

impl Connection {
    /// Handles the first packet, as far as it is there.
    pub(super) fn receive_connect(
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
                let spoken = Spoken::of(buf).filter(|spoken| *spoken != Spoken::Mqtt);
                let text = spoken.map_or(text, |spoken| {
                    spoken.at_mqtt(self.facts.tls().is_some(), &broker.config().listeners)
                });
                self.reject_unread(broker, ("no_connect", &text), context);
                return Received::end(buf.len());
            }
            Err(Unwelcome::Undecoded(error)) => {
                self.reject_undecoded(broker, &error, context);
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
                    principal: &Principal::Anonymous,
                    is_told: true,
                    packet_size: connect.properties.maximum_packet_size.unwrap_or(u32::MAX),
                    problem_information: connect.properties.request_problem_information,
                };
                self.reject(broker, &applicant, &violation, context, dirty)
            }
            Ok(mut accepted) if !self.asks_for_password(broker) => {
                accepted.principal = self.holder();
                #[cfg(feature = "aws")]
                if accepted.principal == Principal::Anonymous
                    && self.is_authorized_by_others(broker, &connect)
                {
                    let flow = match credentials(broker, &connect, Kind::Sessions) {
                        Some(credentials) => self.apply(accepted, &connect, credentials),
                        None => self.turn_away(broker, &accepted, context, dirty),
                    };
                    return Received {
                        consumed: len,
                        needed: 0,
                        flow,
                    };
                }
                self.establish(broker, accepted, Findings::default(), context, dirty)
            }
            Ok(accepted) => self.authenticate(broker, &connect, accepted, context, dirty),
        };
        Received {
            consumed: len,
            needed: 0,
            flow,
        }
    }

    /// Whether the client has to be one of the users: at the listeners that are for them, and at all where there are
    /// no such listeners.
    fn asks_for_password(&self, broker: &Broker) -> bool {
        let config = broker.config();
        match config.listeners.separate_users() {
            true => self.facts.wants_password,
            false => !config.users.is_empty(),
        }
    }

    /// Whom the connection's certificate was issued to, or who has signed its upgrade to WebSocket.
    fn holder(&self) -> Principal {
        let tls = self.facts.tls();
        if let Some(id) = tls.and_then(|tls| tls.certificate_id.as_ref()) {
            return Principal::Certificate(id.clone());
        }
        #[cfg(feature = "aws")]
        if let Some(id) = self.facts.access_key() {
            return Principal::AccessKey(id.clone());
        }
        Principal::Anonymous
    }

    /// Asks whether the client is whom it says it is.
    fn authenticate(
        &mut self,
        broker: &Broker,
        connect: &Connect<'_>,
        mut accepted: Accepted,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let Some(credentials) = credentials(broker, connect, Kind::Packets) else {
            return self.turn_away(broker, &accepted, context, dirty);
        };
        accepted.principal = match &credentials.username {
            Some(name) => Principal::User(name.clone()),
            None => self.holder(),
        };
        self.phase = Phase::Asking(Box::new(accepted));
        Flow::Ask(Inquiry::Credentials(Box::new(credentials)))
    }

    /// Refuses a client whom the broker cannot look into now.
    fn turn_away(
        &mut self,
        broker: &Broker,
        accepted: &Accepted,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        self.reject(broker, &Applicant::from(accepted), &busy(), context, dirty)
    }

    /// Goes on after [`Flow::Ask`].
    pub(crate) fn answered(
        &mut self,
        broker: &Broker,
        verdict: Verdict,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        #[cfg(feature = "aws")]
        if let Phase::Active(_) = self.phase {
            return self.renewed(broker, verdict, context, dirty);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Ended(None));
        let Phase::Asking(accepted) = phase else {
            return Flow::End;
        };
        let nothing = Findings::default();
        let violation = match verdict {
            _ if broker.is_stopping() => stopping(),
            Verdict::Valid => return self.establish(broker, *accepted, nothing, context, dirty),
            #[cfg(feature = "aws")]
            Verdict::Enrolled => {
                let findings = Findings {
                    has_enrolled: true,
                    ..nothing
                };
                return self.enter(broker, *accepted, findings, context, dirty);
            }
            #[cfg(feature = "aws")]
            Verdict::Authorized(authorization) => {
                return self.authorized(broker, *accepted, authorization, context, dirty);
            }
            #[cfg(feature = "aws")]
            Verdict::Unauthorized(text) => {
                Violation::new(ReasonCode::NotAuthorized, "AWS-AUTH-03", text)
            }
            Verdict::Invalid => Violation::new(
                ReasonCode::BadUserNameOrPassword,
                "MQTT-3.1.4-2",
                "bad user name or password",
            ),
            Verdict::Busy => busy(),
        };
        self.reject(
            broker,
            &Applicant::from(&*accepted),
            &violation,
            context,
            dirty,
        )
    }

    pub(super) fn establish(
        &mut self,
        broker: &Broker,
        accepted: Accepted,
        findings: Findings,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        if !broker.allows_connect(&accepted.client_id, context) {
            let violation = Violation::new(
                ReasonCode::QuotaExceeded,
                "AWS-CONN-15",
                "too many connects of this client identifier",
            );
            return self.reject(
                broker,
                &Applicant::from(&accepted),
                &violation,
                context,
                dirty,
            );
        }
        if connack(&accepted, false, broker).len() > accepted.packet_size as usize {
            let violation = Violation::new(
                ReasonCode::PacketTooLarge,
                "MQTT-3.1.2-24",
                "CONNACK exceeds the client's maximum packet size",
            );
            return self.reject(
                broker,
                &Applicant::from(&accepted),
                &violation,
                context,
                dirty,
            );
        }
        self.enter(broker, accepted, findings, context, dirty)
    }

    /// Takes the session, if the client may have it.
    fn enter(
        &mut self,
        broker: &Broker,
        accepted: Accepted,
        findings: Findings,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let asked = self.ask_for_permissions(broker, &accepted, &findings, context);
        let permissions = match asked {
            Ok(permissions) => permissions,
            Err(NotAdmitted::Refused { violation, is_told }) => {
                let applicant = Applicant {
                    is_told,
                    ..Applicant::from(&accepted)
                };
                return self.reject(broker, &applicant, &violation, context, dirty);
            }
            #[cfg(feature = "aws")]
            Err(NotAdmitted::Unregistered) => {
                self.phase = Phase::Asking(Box::new(accepted));
                return Flow::Ask(Inquiry::Enrolment(self.facts.clone()));
            }
        };
        let deadline = context.live + HANDOVER_LIMIT;
        self.attach(
            broker,
            Box::new(accepted),
            permissions,
            deadline,
            context,
            dirty,
        )
    }

    /// Whether the client may connect as it wants to, and what it may do then; everything, if nobody says
    /// so.
    fn ask_for_permissions(
        &self,
        broker: &Broker,
        accepted: &Accepted,
        findings: &Findings,
        context: &Context<'_>,
    ) -> Result<Option<Arc<dyn Permissions>>, NotAdmitted> {
        let Some(access) = broker.access() else {
            return Ok(None);
        };
        let claim = Claim {
            client_id: &accepted.client_id,
            principal: &accepted.principal,
            facts: &self.facts,
            will: accepted.will.as_deref(),
            is_persistent: !accepted.clean_start || accepted.session_expiry > 0,
            has_enrolled: findings.has_enrolled,
            #[cfg(feature = "aws")]
            authorization: findings.authorization.as_deref(),
            now: context.now,
            charge: broker.charge(Kind::Sessions),
        };
        access.admit(claim).map(Some)
    }

    /// Takes the session, or waits for the connection that has it.
    fn attach(
        &mut self,
        broker: &Broker,
        mut accepted: Box<Accepted>,
        permissions: Option<Arc<dyn Permissions>>,
        deadline: Instant,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let mut will = accepted.will.take();
        let request = ConnectRequest {
            client_id: &accepted.client_id,
            principal: accepted.principal.clone(),
            version: accepted.version,
            clean_start: accepted.clean_start,
            expiry: accepted.session_expiry,
            keep_alive: accepted.keep_alive_asked,
            will: &mut will,
            peer: Peer {
                version: accepted.version,
                window: accepted.window,
                packet_size: accepted.packet_size,
                topic_aliases: accepted.topic_aliases,
                problem_information: accepted.problem_information,
                retain_as_published: accepted.version == Version::V5 || accepted.is_bridge,
            },
            facts: self.facts.clone(),
            permissions: permissions.clone(),
            takeover: match deadline <= context.live {
                true => Takeover::AtOnce,
                false => Takeover::Asked,
            },
        };
        let connack = |session_present| connack(&accepted, session_present, broker);
        match broker.connect(request, &self.link, connack, context, dirty) {
            Ok(attached) => self.begin(broker, &accepted, permissions, attached, context),
            Err(NotAttached::Refused(reason)) => {
                let violation = Violation::new(reason, "limits.sessions", "too many sessions");
                self.reject(
                    broker,
                    &Applicant::from(&*accepted),
                    &violation,
                    context,
                    dirty,
                )
            }
            Err(NotAttached::Unreachable) => {
                self.reject_unread(broker, ("outage", "an outage"), context);
                Flow::End
            }
            Err(NotAttached::Awaited) => {
                accepted.will = will;
                self.phase = Phase::TakingOver(Box::new(TakingOver {
                    accepted,
                    permissions,
                    deadline,
                }));
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
        permissions: Option<Arc<dyn Permissions>>,
        attached: Attached,
        context: &Context<'_>,
    ) -> Flow {
        tracing::info!(
            client_id = %accepted.client_id,
            peer = %self.facts.peer(),
            listener = self.facts.listener(),
            protocol = accepted.version.level(),
            principal = accepted.principal.name(),
            clean_start = accepted.clean_start,
            session_present = attached.session_present,
            keep_alive = accepted.keep_alive,
            "connected"
        );
        let limits = &broker.config().limits;
        let bucket = |rate| Box::new(Rate::new(rate, context.live));
        self.phase = Phase::Active(Active {
            session: attached.session,
            epoch: attached.epoch,
            permissions,
            version: accepted.version,
            is_bridge: accepted.is_bridge,
            keep_alive: accepted.keep_alive,
            heard_at: context.live.into(),
            heard_part: 0,
            ends_with_connection: accepted.session_expiry == 0,
            packet_size: accepted.packet_size,
            problem_information: accepted.problem_information,
            aliases: None,
            routes: None,
            rows: None,
            filter_work: None,
            unfinished: None,
            answers: Answers::default(),
            unanswered: 0,
            asks: false,
            publish_rate: limits.publish_rate.map(bucket),
            byte_rate: limits.byte_rate.map(bucket),
            batch: Batch::default(),
        });
        self.take_rows();
        self.rearm(broker, context.live);
        #[cfg(feature = "aws")]
        {
            self.limit_websocket(broker, context.live);
            self.watch_lease(broker);
        }
        Flow::Continue
    }

    /// The session may be free, or has been waited for long enough.
    pub(super) fn try_to_attach(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended(None));
        let Phase::TakingOver(waits) = phase else {
            return Flow::End;
        };
        let TakingOver {
            accepted,
            permissions,
            deadline,
        } = *waits;
        if broker.is_stopping() {
            return self.reject(
                broker,
                &Applicant::from(&*accepted),
                &stopping(),
                context,
                dirty,
            );
        }
        self.attach(broker, accepted, permissions, deadline, context, dirty)
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

/// What a CONNECT presents, if there is memory for it: as long as it waits, or as long as its connection lasts.
fn credentials(broker: &Broker, connect: &Connect<'_>, kind: Kind) -> Option<Credentials> {
    let bytes = connect.username.map_or(0, str::len) + connect.password.map_or(0, <[u8]>::len);
    let mut charge = broker.charge(kind);
    charge.grow(bytes).ok()?;
    let username = connect.username.map(Arc::<str>::from);
    Some(Credentials::new(username, connect.password, charge))
}

/// Why a client is refused whom nobody can look into now.
fn busy() -> Violation {
    Violation::new(
        ReasonCode::ServerBusy,
        "MQTT-4.13.2-1",
        "too many clients wait for somebody to see who they are",
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
    let split = frames::split(buf, limits.packet_size.min(limits.connect_size)).map_err(unread)?;
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
