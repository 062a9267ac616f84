//! The upgrade: an HTTP request that asks for WebSocket (RFC 6455, section 4.2), and its answer.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::auth::origin;
#[cfg(feature = "aws")]
use crate::aws::authorizer::headers_of;
#[cfg(feature = "aws")]
use crate::broker::{Broker, Upgrade};
use crate::broker::{ConnectionFacts, NoMqtt};
#[cfg(feature = "aws")]
use crate::budget::Kind;
use crate::config::{Config, Profile};
use crate::engine::Engine;
use crate::protocol::wrong_door::Spoken;
#[cfg(feature = "aws")]
use crate::time::machine_seconds;

use super::super::Shared;
use super::super::http1::{self, Bounds, Ended};
use super::super::socket;

/// The path that the service has (AWS-ENDP-08).
pub(crate) const PATH: &str = "/mqtt";

/// The subprotocol that client and server agree on (MQTT-6.0.0-3).
const SUBPROTOCOL: &str = "mqtt";

/// The version of the protocol (RFC 6455, section 4.2.2).
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Bytes of a request's head, at most.
const HEAD_SIZE: usize = 16 * 1024;

/// Bytes that are read first, to see whether it is a request: most heads are not longer.
const FRONT: usize = 512;

/// Characters of what a client sent that a log line shows.
const EXCERPT: usize = 100;

/// Why there is no WebSocket.
struct Refusal {
    status: StatusCode,
    /// For the client.
    text: &'static str,
    /// What the client sent in the place of what it should have.
    sent: Option<String>,
}

/// Answers the request and returns the stream with what was read from it already, once both sides
/// speak WebSocket. Notes who has signed the request, and says in the log why if they never do.
pub(in super::super) async fn upgrade<S>(
    shared: &Shared,
    stream: S,
    facts: &ConnectionFacts,
) -> Option<(Bytes, S)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let engine = &shared.engine;
    let limit = engine.broker.config().limits.connect_timeout;
    let exchange = exchange(engine, stream, facts);
    let exchange = engine.clock.timeout(limit, exchange);
    let outcome = tokio::select! {
        outcome = exchange => outcome,
        () = engine.stopping.cancelled() => return None,
    };
    let (reason, end) = match outcome {
        Ok(Ok(switched)) => return Some(switched),
        Ok(Err(Failure::Refused)) => return None,
        Ok(Err(Failure::WrongDoor(words))) => (words, NoMqtt::Refused("upgrade")),
        Ok(Err(Failure::Broken(error))) => {
            let end = match error.is_incomplete_message() {
                true => NoMqtt::Lost,
                false => NoMqtt::Refused("upgrade"),
            };
            (describe(&error), end)
        }
        Ok(Err(Failure::Silent)) => (
            "closed by the client before its request".to_owned(),
            NoMqtt::Lost,
        ),
        Err(_) => (
            format!("no request within {limit:?}"),
            NoMqtt::Refused("timeout"),
        ),
    };
    engine.broker.count_refused();
    let now = engine.clock.now().now;
    engine
        .broker
        .note_no_mqtt(facts, end, || reason.clone(), now);
    let (peer, listener) = (facts.peer(), facts.listener());
    tracing::info!(%peer, listener, reason, "no upgrade");
    None
}

/// Why an exchange ended without an upgrade.
enum Failure {
    /// The log says why.
    Refused,
    Broken(hyper::Error),
    /// No request came.
    Silent,
    /// What came is no HTTP, but this, in words.
    WrongDoor(String),
}

async fn exchange<S>(
    engine: &Engine,
    mut stream: S,
    facts: &ConnectionFacts,
) -> Result<(Bytes, S), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut front = BytesMut::with_capacity(FRONT);
    // An end or an error comes again where HTTP is read.
    let _ = stream.read_buf(&mut front).await;
    let spoken = Spoken::of(&front);
    let listeners = &engine.broker.config().listeners;
    if let Some(words) = spoken.and_then(|it| it.at_websocket(facts.tls().is_some(), listeners)) {
        return Err(Failure::WrongDoor(words));
    }
    let was_refused = AtomicBool::new(false);
    let answer = |request: Request<Incoming>| {
        let response = answer(engine, &request, facts);
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        was_refused.store(!switches, Ordering::Relaxed);
        ready(response)
    };
    let bounds = Bounds {
        buffer: HEAD_SIZE,
        head_timeout: None,
    };
    let never = pending::<Infallible>();
    let served = http1::serve(front.freeze(), stream, &bounds, answer, pending(), never).await;
    if was_refused.into_inner() {
        return Err(Failure::Refused);
    }
    match served {
        Err(error) => Err(Failure::Broken(error)),
        Ok(Ended::Switched { stream, read }) => Ok((read, stream)),
        Ok(Ended::Closed) => Err(Failure::Silent),
        Ok(Ended::GivenUp { why, .. }) => match why {},
    }
}

/// The answer to a request for WebSocket: 101 with its consequences for the stream, or a refusal, which is
/// counted and logged. Notes in the facts who has signed the request.
pub(crate) fn answer<B>(
    engine: &Engine,
    request: &Request<B>,
    facts: &ConnectionFacts,
) -> Response<String> {
    let config = engine.broker.config();
    let checked = check(config, request).and_then(|accept| {
        look_into(engine, request, facts)?;
        Ok(accept)
    });
    match checked {
        Ok(accept) => switch(accept),
        Err(refusal) => {
            engine.broker.count_refused();
            let (peer, listener) = (facts.peer(), facts.listener());
            let status = refusal.status.as_u16();
            // As Debug text, which no line break leaves.
            let sent = refusal.sent.as_deref();
            tracing::info!(%peer, listener, status, sent, reason = refusal.text, "upgrade refused");
            let text = || format!("{} (HTTP {status})", refusal.text);
            let end = NoMqtt::Refused("upgrade");
            engine
                .broker
                .note_no_mqtt(facts, end, text, engine.clock.now().now);
            refusal.response()
        }
    }
}

/// Checks a request. Returns what proves that it was understood.
fn check<B>(config: &Config, request: &Request<B>) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    for origin in headers.get_all(header::ORIGIN) {
        let is_allowed = |origin| origin::is_allowed_origin(origin, &config.ws_allowed_origins);
        if !origin.to_str().is_ok_and(is_allowed) {
            let refusal = Refusal::new(StatusCode::FORBIDDEN, "this Origin is not allowed");
            return Err(refusal.sent(origin.as_bytes()));
        }
    }
    let path = request.uri().path();
    if config.profile == Profile::Aws && path != PATH {
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "MQTT over WebSocket is at /mqtt");
        return Err(refusal.sent(path.as_bytes()));
    }
    let upgrade_required = |text| Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, text));
    if request.method() != Method::GET
        || request.version() < Version::HTTP_11
        || !has_token(headers, &header::UPGRADE, "websocket")
        || !has_token(headers, &header::CONNECTION, "upgrade")
    {
        return upgrade_required(
            "this is a WebSocket endpoint, and the request does not ask for WebSocket",
        );
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return upgrade_required("the WebSocket version must be 13");
    }
    if !has_token(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "the subprotocol must be mqtt");
        let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
        return Err(refusal.sent(offered.map_or(b"", HeaderValue::as_bytes)));
    }
    let bad_key = "Sec-WebSocket-Key must be 16 bytes in base64";
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .and_then(|key| accept_key(key.as_bytes()))
        .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, bad_key))
}

/// Notes who has signed a request, or what it brings an authorizer.
#[cfg(feature = "aws")]
fn look_into<B>(
    engine: &Engine,
    request: &Request<B>,
    facts: &ConnectionFacts,
) -> Result<(), Refusal> {
    check_signature(engine, request, facts)?;
    if facts.access_key().is_none() {
        keep(&engine.broker, request, facts);
    }
    Ok(())
}

#[cfg(not(feature = "aws"))]
fn look_into<B>(_: &Engine, _: &Request<B>, _: &ConnectionFacts) -> Result<(), Refusal> {
    Ok(())
}

/// Checks the signature of a request that has one, if there are access keys to check it by. An authorizer may
/// yet let in who has none.
#[cfg(feature = "aws")]
fn check_signature<B>(
    engine: &Engine,
    request: &Request<B>,
    facts: &ConnectionFacts,
) -> Result<(), Refusal> {
    use crate::auth::sigv4::{self, Refused, as_text, verify};

    let keys = &engine.broker.config().access_keys;
    if keys.is_empty() {
        return Ok(());
    }
    let headers = as_text(request.headers());
    let signed = sigv4::Request {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: &headers,
        body: b"",
    };
    match verify(keys, &signed, machine_seconds()) {
        Ok(key) => {
            facts.note_access_key(&key.id);
            Ok(())
        }
        Err(Refused::Missing) => Ok(()),
        Err(refused) => Err(Refusal::new(StatusCode::FORBIDDEN, refused.text())),
    }
}

/// Notes what came with a request, if an authorizer may want to see it and there is memory for it.
#[cfg(feature = "aws")]
fn keep<B>(broker: &Broker, request: &Request<B>, facts: &ConnectionFacts) {
    let Some(access) = broker.access() else {
        return;
    };
    let headers = headers_of(request.headers());
    let query = request.uri().query().unwrap_or_default().to_owned();
    if let Ok(upgrade) = Upgrade::new(headers, query, broker.charge(Kind::Connections))
        && access.looks_at(&upgrade)
    {
        facts.note_upgrade(upgrade);
    }
}

fn switch(accept: HeaderValue) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend([
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        ),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ]);
    response
}

impl Refusal {
    fn new(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            text,
            sent: None,
        }
    }

    /// Shows in the log what the client sent.
    fn sent(mut self, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        self.sent = Some(text.chars().take(EXCERPT).collect());
        self
    }

    /// A 426 names what would do (RFC 6455, section 4.4; RFC 9110, section 15.5.22).
    fn response(&self) -> Response<String> {
        let mut response = Response::new(format!("{}\n", self.text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if self.status == StatusCode::UPGRADE_REQUIRED {
            let both = HeaderValue::from_static("close, upgrade");
            headers.insert(header::CONNECTION, both);
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
        }
        response
    }
}

/// Whether a comma-separated header has a token, in whatever case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// Sec-WebSocket-Accept for a key (RFC 6455, section 4.2.2), if it is one.
fn accept_key(key: &[u8]) -> Option<HeaderValue> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha1::Digest as _;

    let is_key = STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    let mut digest = sha1::Sha1::new();
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = HeaderValue::from_str(&STANDARD.encode(digest.finalize()));
    accept.ok().filter(|_| is_key)
}

/// What went wrong, down to the cause.
fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = match cause.downcast_ref() {
            Some(error) => socket::describe(error),
            None => cause.to_string(),
        };
        text = format!("{text}: {cause_text}");
        source = cause.source();
    }
    text
}
