//! `/v1/clients`: sessions with their connections, and how to end a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use crate::broker::{
    self, Broker, ClientSnapshot, ClientsOf, FilterAnswers, Glimpse, HistoryEvent, PartBounds,
    Removal, Session, SessionDetails, Subject, TlsDetails, TlsFacts,
};
use crate::codec::{PacketType, ReasonCode};
use crate::message::cause::Cause;
use crate::time::{Calendar, milliseconds};

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::{ApiError, excerpt};
use super::super::query::{OwnedPageOf, Parameters};
use super::super::turns;
use super::super::waits::{self, Missed, Patience, Waited};
use super::packets::Code;

/// What a client is told as Reason String.
const REASON_STRING: &str = "disconnected through the control API";

/// Subscriptions of each client in a list.
const LISTED: PartBounds = PartBounds {
    count: 100,
    bytes: 64 * 1024,
};

/// Subscriptions of a client that is asked for by itself.
const SHOWN: PartBounds = PartBounds {
    count: 10_000,
    bytes: 1 << 20,
};

#[derive(Serialize)]
struct Client {
    client_id: String,
    connected: bool,
    /// Protocol level: 4 is MQTT 3.1.1.
    protocol: u8,
    listener: Option<&'static str>,
    /// `None` in the same process, and without a connection.
    peer: Option<SocketAddr>,
    /// `None`: never.
    session_expiry_s: Option<u64>,
    /// The first ones, by filter.
    subscriptions: Vec<String>,
    in_flight: usize,
    queued: usize,
    connected_for_s: Option<u64>,
    /// On this connection.
    packets_received: u64,
    /// On this connection.
    bytes_received: u64,
    /// On this connection.
    messages_received: u64,
    /// In this session.
    messages_sent: u64,
    /// In this session.
    messages_dropped: u64,
    /// With those that are not in `subscriptions`.
    subscriptions_total: usize,
    tls: Option<Tls>,
    /// A certificate's id or a user's name; `None`: nobody in particular.
    principal: Option<String>,
    /// How the last connection ended, while there is none.
    last_end: Option<LastEnd>,
}

#[derive(Serialize)]
struct LastEnd {
    /// `client`, `library`, `network`, `broker`, `operator` or `policy`.
    by: &'static str,
    /// What kind of end it was, as `disconnect` or `taken_over`.
    cause: &'static str,
    /// The Reason Code of the DISCONNECT that ended it.
    code: Option<u8>,
    reason: String,
    ago_s: u64,
}

/// What the TLS handshake settled.
#[derive(Serialize)]
struct Tls {
    version: &'static str,
    cipher: &'static str,
    sni: Option<Box<str>>,
    alpn: Option<Box<str>>,
    certificate_id: Option<Arc<str>>,
    common_name: Option<Box<str>>,
}

/// One client, with more than fits a list.
#[derive(Serialize)]
struct ClientDetail {
    #[serde(flatten)]
    client: Client,
    /// By filter.
    granted_qos: BTreeMap<String, u8>,
    /// Of its last CONNECT.
    keep_alive_s: u16,
    /// The Receive Maximum of its connection.
    window: Option<usize>,
    will: Option<Will>,
}

#[derive(Serialize)]
struct Will {
    topic: String,
    qos: u8,
    retain: bool,
    delay_s: u64,
    payload_size: usize,
}

/// What a wait comes to.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Client(Box<ClientDetail>),
    /// It has no session any more.
    Gone {
        client_id: String,
        connected: bool,
        last_end: Option<LastEnd>,
    },
}

/// Something that happened to a client.
#[derive(Serialize)]
struct Happened {
    /// By the broker's clock, in milliseconds since 1970.
    at_ms: u64,
    #[serde(flatten)]
    what: What,
    /// The same in words.
    text: String,
}

/// What it was.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What {
    Connected {
        /// Protocol level: 4 is MQTT 3.1.1.
        protocol: u8,
        listener: &'static str,
        peer: Option<SocketAddr>,
        session_present: bool,
    },
    Disconnected {
        by: &'static str,
        cause: &'static str,
        code: Option<u8>,
        reason: String,
        /// Whether the session ended with the connection.
        session_ended: bool,
    },
    Subscribed(Answered),
    Unsubscribed(Answered),
    /// A CONNECT.
    Refused {
        listener: &'static str,
        code: u8,
        reason: String,
    },
    SessionEnded {
        /// `expired`, `clean_start` or `removed`.
        cause: &'static str,
    },
}

/// What a SUBSCRIBE or an UNSUBSCRIBE was answered.
#[derive(Serialize)]
struct Answered {
    /// The first of them.
    filters: Vec<AnsweredFilter>,
    filters_total: usize,
    /// How many of all were refused.
    filters_refused: usize,
}

#[derive(Serialize)]
struct AnsweredFilter {
    /// The beginning of it.
    filter: Box<str>,
    code: u8,
    #[serde(skip)]
    meaning: &'static str,
}

impl Answered {
    fn new(answers: &FilterAnswers) -> Self {
        let first = answers.first.iter();
        Self {
            filters: first
                .map(|(filter, reason)| AnsweredFilter {
                    filter: filter.clone(),
                    code: *reason as u8,
                    meaning: reason.name(),
                })
                .collect(),
            filters_total: answers.total,
            filters_refused: answers.refused,
        }
    }

    /// The packet, with what each filter was answered; `granted` is what Reason Code 0 says.
    fn describe(&self, packet: &str, granted: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(packet)?;
        for (place, one) in self.filters.iter().enumerate() {
            let before = if place > 0 { ", " } else { " " };
            let meaning = if one.code == 0 { granted } else { one.meaning };
            write!(f, "{before}{} ({meaning})", one.filter)?;
        }
        match self.filters_total - self.filters.len() {
            0 => Ok(()),
            more => write!(f, ", and {more} more; {} refused", self.filters_refused),
        }
    }
}

impl Happened {
    fn new(happened: &broker::Happened, calendar: &Calendar) -> Self {
        let what = match &happened.what {
            HistoryEvent::Connected {
                version,
                listener,
                peer,
                session_present,
            } => What::Connected {
                protocol: version.level(),
                listener,
                peer: peer.socket_addr(),
                session_present: *session_present,
            },
            HistoryEvent::Disconnected { end, session_ended } => What::Disconnected {
                by: end.by.name(),
                cause: end.cause,
                code: end.code.map(|code| code as u8),
                reason: (*end.reason).to_owned(),
                session_ended: *session_ended,
            },
            HistoryEvent::Subscribed(answers) => What::Subscribed(Answered::new(answers)),
            HistoryEvent::Unsubscribed(answers) => What::Unsubscribed(Answered::new(answers)),
            HistoryEvent::Refused {
                listener,
                code,
                reason,
            } => What::Refused {
                listener,
                code: *code as u8,
                reason: (**reason).to_owned(),
            },
            HistoryEvent::SessionEnded { cause, .. } => What::SessionEnded {
                cause: cause.name(),
            },
        };
        Self {
            at_ms: milliseconds(calendar.date(happened.at)),
            text: what.to_string(),
            what,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected {
                protocol,
                listener,
                peer,
                session_present,
            } => {
                let version = if *protocol == 5 { "5" } else { "3.1.1" };
                write!(f, "connected at {listener}, MQTT {version}")?;
                if let Some(peer) = peer {
                    write!(f, ", from {peer}")?;
                }
                f.write_str(match session_present {
                    true => ", session resumed",
                    false => "",
                })
            }
            Self::Disconnected {
                by,
                cause,
                code,
                reason,
                session_ended,
            } => {
                write!(f, "{} by {by}", cause.replace('_', " "))?;
                if let Some(code) = code {
                    write!(f, ", {code:#04x}")?;
                }
                f.write_str(if *session_ended {
                    ", with its session"
                } else {
                    ""
                })?;
                write!(f, ": {reason}")
            }
            Self::Subscribed(answered) => answered.describe("SUBSCRIBE", "Granted QoS 0", f),
            Self::Unsubscribed(answered) => answered.describe("UNSUBSCRIBE", "Success", f),
            Self::Refused {
                listener,
                code,
                reason,
            } => write!(f, "refused at {listener}, {code:#04x}: {reason}"),
            Self::SessionEnded { cause } => {
                write!(f, "session ended: {}", cause.replace('_', " "))
            }
        }
    }
}

#[derive(Serialize)]
pub(super) struct Disconnected {
    client_id: String,
    /// Whether there was a connection to end.
    disconnected: bool,
    reason: u8,
    /// Whether the session was ended, too.
    session_ended: bool,
}

/// A page of the sessions that are as the request says, by client identifier.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let known = [
        "after",
        "limit",
        "q",
        "connected",
        "tls",
        "listener",
        "cn",
        "filter",
    ];
    let parameters = Parameters::parse(&uri, &known)?;
    let page = parameters.page()?;
    let of = ClientsOf {
        connected: parameters.flag("connected")?,
        tls: parameters.flag("tls")?,
        listener: parameters.owned("listener"),
        common_name: parameters.owned("cn"),
        filter: parameters.owned("filter"),
    };
    let engine = api.engine;
    let job = move || {
        let now = engine.clock.now().now;
        let next_page = |page: &OwnedPageOf| engine.broker.client_page(&page.as_page(), &of);
        let found = next_page(&page);
        let show = |session: &Arc<Session>| session.snapshot(LISTED, now).map(Client::from);
        let clients = super::shown(found.entries, &page, next_page, name, show);
        Answer::list("clients", clients, found.total, engine.broker.budget())
    };
    api.jobs.run(job).await?
}

fn name(session: &Arc<Session>) -> &str {
    session.client_id()
}

pub(super) async fn show(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let parameters = Parameters::parse(&uri, &["wait", "connected"])?;
    let wanted = parameters.flag("connected")?;
    let wait = waits::asked(&parameters)?;
    let (waited, seen_end) = match wait {
        None => {
            waits::refuse_conditions(&parameters, &["connected"])?;
            (None, None)
        }
        Some(within) => {
            let wanted = wanted.unwrap_or(true);
            let (waited, end) = wait_for(&api, &patience, &id, wanted, within).await?;
            (Some(waited), end)
        }
    };
    let engine = api.engine.clone();
    let answer = move |missed: Option<&Missed>| {
        let (broker, now) = (&engine.broker, engine.clock.now().now);
        let session = broker.find(&id);
        let client = session.and_then(|session| {
            let client = session.snapshot(SHOWN, now)?;
            Some(ClientDetail::new(client, session.details()))
        });
        if client.is_none() && wait.is_none() {
            return Err(unknown(&id));
        }
        // Whoever waited for an end is told how it came, whether or not the client is back, and all is forgotten.
        let is_back = client.is_some() && wanted != Some(false);
        let last_end = seen_end.or_else(|| broker.end_of(&id).filter(|_| !is_back));
        let last_end =
            last_end.map(|end| LastEnd::new(&end, now.saturating_duration_since(end.at)));
        let shown = match client {
            Some(mut detail) => {
                detail.client.last_end = last_end.or(detail.client.last_end);
                Shown::Client(Box::new(detail))
            }
            None => Shown::Gone {
                client_id: id,
                connected: false,
                last_end,
            },
        };
        Answer::of_wait(missed, &shown, broker.budget())
    };
    waits::answer(&api, waited, answer).await
}

/// What happened to a client lately, the last first, whether or not it has a session.
pub(super) async fn history(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let limit = Parameters::parse(&uri, &["limit"])?.limit()?;
    let broker = &api.engine.broker;
    let (found, total) = broker.history_of(&id, limit);
    let events = found.iter().map(|one| Happened::new(one, &api.calendar));
    Answer::list("events", events, total, broker.budget())
}

/// Waits until a client is connected, or was, or until the connection that it has is no more, and how that ended.
async fn wait_for(
    api: &Api,
    patience: &Patience,
    id: &str,
    wanted: bool,
    within: Duration,
) -> Result<(Waited, Option<broker::LastEnd>), ApiError> {
    let what = match wanted {
        true => "not connected",
        false => "not disconnected",
    };
    let look = |broker: &Broker| match (broker.is_connected(id), wanted) {
        (true, true) => Some(None),
        (false, false) => Some(broker.end_of(id)),
        _ => None,
    };
    let own = id.to_owned();
    let catch = move |glimpse: &Glimpse<'_>| match (*glimpse, wanted) {
        (Glimpse::Connected { client_id }, true) if client_id == own => Some(None),
        (Glimpse::Disconnected { client_id, end }, false) if client_id == own => Some(end.cloned()),
        _ => None,
    };
    let (time, subjects) = ((within, what), [Subject::Clients]);
    let (waited, end) = waits::until(api, patience, time, &subjects, look, catch).await?;
    Ok((waited, end.flatten()))
}

/// Ends a client's connection with DISCONNECT; its session goes on as after any lost connection, or ends too.
pub(super) async fn disconnect(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Disconnected>, ApiError> {
    let Path(id) = id?;
    let parameters = Parameters::parse(&uri, &["reason", "session"])?;
    let with_session = parameters.flag("session")?.unwrap_or(false);
    let engine = &api.engine;
    let reason = match parameters.text("reason") {
        Some(text) => parse_reason(text)?,
        None => ReasonCode::AdministrativeAction,
    };
    let session = engine.broker.find(&id).ok_or_else(|| unknown(&id))?;
    let cause = Cause::Kicked {
        reason,
        text: REASON_STRING,
    };
    let removal = Removal {
        with_session,
        ..Removal::default()
    };
    let disconnected = turns::disconnect(engine, &session, cause, removal).await;
    let disconnected = disconnected.ok_or_else(|| unknown(&id))?;
    tracing::info!(client_id = &*excerpt(&id), %reason, disconnected, with_session, "disconnected through the control API");
    Ok(Json(Disconnected {
        client_id: id,
        disconnected,
        reason: reason as u8,
        session_ended: with_session,
    }))
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("no client '{}'", excerpt(id))).at("id")
}

/// A Reason Code that a server may send in DISCONNECT (MQTT-3.14.2-1), as `0x98` or `152`.
fn parse_reason(text: &str) -> Result<ReasonCode, ApiError> {
    let is_legal = |reason: &ReasonCode| {
        reason.is_legal_in(PacketType::Disconnect)
            && *reason != ReasonCode::DisconnectWithWillMessage
    };
    Code::parse(text)
        .and_then(|Code(code)| ReasonCode::from_u8(code))
        .filter(is_legal)
        .ok_or_else(|| {
            ApiError::invalid(
                "reason",
                format!(
                    "'{}' is no reason for a server to disconnect",
                    excerpt(text)
                ),
            )
        })
}

impl LastEnd {
    fn new(end: &broker::LastEnd, ago: Duration) -> Self {
        Self {
            by: end.by.name(),
            cause: end.cause,
            code: end.code.map(|code| code as u8),
            reason: (*end.reason).to_owned(),
            ago_s: ago.as_secs(),
        }
    }
}

impl ClientDetail {
    fn new(client: ClientSnapshot, details: SessionDetails) -> Self {
        let granted = client
            .subscriptions
            .iter()
            .map(|granted| (granted.filter.clone(), granted.qos.bits()));
        Self {
            granted_qos: granted.collect(),
            keep_alive_s: details.keep_alive,
            window: details.window,
            will: details.will.map(|will| Will {
                topic: will.topic,
                qos: will.qos.bits(),
                retain: will.retain,
                delay_s: will.delay.as_secs(),
                payload_size: will.payload_size,
            }),
            client: client.into(),
        }
    }
}

impl From<ClientSnapshot> for Client {
    fn from(client: ClientSnapshot) -> Self {
        let facts = client.facts.as_deref();
        Self {
            connected: client.connected,
            protocol: client.version.level(),
            listener: facts.map(|facts| facts.listener()),
            peer: facts.and_then(|facts| facts.peer().socket_addr()),
            session_expiry_s: client.session_expiry.map(|expiry| expiry.as_secs()),
            in_flight: client.in_flight,
            queued: client.queued,
            connected_for_s: client.connected_for.map(|time| time.as_secs()),
            packets_received: client.traffic.packets,
            bytes_received: client.traffic.bytes,
            messages_received: client.traffic.messages,
            messages_sent: client.messages_sent,
            messages_dropped: client.dropped,
            subscriptions_total: client.subscriptions_total,
            tls: facts.and_then(|facts| facts.tls()).map(Tls::from),
            principal: client.principal.name().map(str::to_owned),
            last_end: (client.last_end).map(|(end, ago)| LastEnd::new(&end, ago)),
            subscriptions: client
                .subscriptions
                .into_iter()
                .map(|found| found.filter)
                .collect(),
            client_id: client.client_id,
        }
    }
}

impl From<&TlsFacts> for Tls {
    fn from(facts: &TlsFacts) -> Self {
        let TlsFacts {
            certificate_id,
            sni,
            details,
            ..
        } = facts.clone();
        let TlsDetails {
            version,
            cipher,
            alpn,
            common_name,
        } = details;
        Self {
            version,
            cipher,
            sni,
            alpn,
            certificate_id,
            common_name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MQTT-3.14.2-1.
    #[test]
    fn reason_is_hexadecimal_or_decimal_and_one_that_servers_send() {
        for text in ["0x98", "0X98", "152"] {
            let reason = parse_reason(text).expect("a reason");
            assert_eq!(reason, ReasonCode::AdministrativeAction);
        }
        assert_eq!(parse_reason("0").ok(), Some(ReasonCode::Success));
        // With a will is the client's to say, 0x92 is not for DISCONNECT, 0xff does not exist.
        for text in [
            "0x04", "0x92", "0xff", "98", "0x100", "x", "0x", "-1", "+152", "0152",
        ] {
            assert!(parse_reason(text).is_err(), "{text}");
        }
    }
}
