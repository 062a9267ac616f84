//! The service's doors: TLS ports on which several protocols come, told apart by what the handshake agreed on
//! (ALPN), or by the first byte (AWS-ENDP-06 to -10, -12).

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio_rustls::server::TlsStream;

use crate::broker::{ConnectionFacts, NoMqtt};

use super::Shared;
use super::listener::begins_http;
use super::tls::{Current, watched::Watched};

/// What the door for everything speaks, the best first.
pub(crate) const ALPN: [&str; 4] = [MQTT_CERTIFIED, "mqtt", HTTP_CERTIFIED, "http/1.1"];

/// MQTT with a certificate (AWS-ENDP-06).
const MQTT_CERTIFIED: &str = "x-amzn-mqtt-ca";

/// HTTP with a certificate (AWS-ENDP-09).
pub(crate) const HTTP_CERTIFIED: &str = "x-amzn-http-ca";

/// The first byte of CONNECT.
const CONNECT: u8 = 0x10;

/// What comes through a door once TLS is up.
pub(crate) type Stream = TlsStream<Watched>;

/// A port of the service.
pub(crate) struct Door {
    /// The name of its listener.
    pub(crate) name: &'static str,
    pub(crate) tls: Arc<Current>,
    /// MQTT comes here, too; otherwise it is HTTP whatever ALPN says.
    pub(crate) takes_mqtt: bool,
    pub(crate) web: Arc<dyn Web>,
}

/// Answers HTTP.
pub(crate) trait Web: Send + Sync {
    /// Answers the requests on a stream until either side ends it, or until it carries WebSocket: then it comes
    /// back, with what was read of it already. Who signed the upgrade is noted in the facts.
    fn serve<'a>(&'a self, stream: Stream, facts: &'a ConnectionFacts) -> Serving<'a>;
}

/// What [`Web::serve`] takes until it is done.
pub(crate) type Serving<'a> = Pin<Box<dyn Future<Output = Option<(Bytes, Stream)>> + Send + 'a>>;

/// What carries MQTT from here on.
pub(super) enum Opened {
    Mqtt(Stream),
    /// WebSocket, and what was read of it already.
    WebSocket(Bytes, Stream),
}

/// What a client speaks.
enum Spoken {
    Mqtt,
    Http,
    Refused(&'static str),
    /// It has said nothing.
    Nothing,
}

/// Goes on after the handshake, up to where MQTT begins; `None` where it does not.
pub(super) async fn open(
    shared: &Shared,
    door: &Door,
    mut stream: Stream,
    facts: &ConnectionFacts,
) -> Option<Opened> {
    let limit = shared.engine.broker.config().limits.connect_timeout;
    let finding_out = shared
        .engine
        .clock
        .timeout(limit, find_out(door, &mut stream, facts));
    let spoken = tokio::select! {
        spoken = finding_out => spoken,
        () = shared.engine.stopping.cancelled() => return None,
    };
    let (reason, end) = match spoken {
        Ok(Spoken::Mqtt) => return Some(Opened::Mqtt(stream)),
        Ok(Spoken::Http) => {
            let switched = door.web.serve(stream, facts).await;
            return switched.map(|(read, stream)| Opened::WebSocket(read, stream));
        }
        Ok(Spoken::Refused(reason)) => (reason, NoMqtt::Refused("protocol")),
        Ok(Spoken::Nothing) => ("closed by the client before its first byte", NoMqtt::Lost),
        Err(_) => ("nothing came in time", NoMqtt::Refused("timeout")),
    };
    let now = shared.engine.clock.now().now;
    shared
        .engine
        .broker
        .note_no_mqtt(facts, end, || reason.to_owned(), now);
    shared.engine.broker.count_refused();
    let (peer, listener) = (facts.peer(), facts.listener());
    tracing::info!(%peer, listener, reason, "connection closed before its protocol began");
    None
}

/// Finds out what a client speaks. To one that is refused, the end of TLS is said as well.
async fn find_out(door: &Door, stream: &mut Stream, facts: &ConnectionFacts) -> Spoken {
    let spoken = if door.takes_mqtt {
        let agreed = stream.get_ref().1.alpn_protocol();
        let has_certificate = facts.tls().is_some_and(|tls| tls.certificate_id.is_some());
        match agreed.map(|name| agreed_on(name, has_certificate)) {
            Some(spoken) => spoken,
            None => begun_with(stream.fill_buf().await.unwrap_or_default()),
        }
    } else {
        Spoken::Http
    };
    if let Spoken::Refused(_) = spoken {
        // It may have gone already.
        let _ = stream.shutdown().await;
    }
    spoken
}

/// What ALPN says.
fn agreed_on(name: &[u8], has_certificate: bool) -> Spoken {
    let is_certified = [MQTT_CERTIFIED, HTTP_CERTIFIED]
        .iter()
        .any(|certified| certified.as_bytes() == name);
    if is_certified && !has_certificate {
        return Spoken::Refused(
            "its ALPN is for clients with a certificate, and it has shown none",
        );
    }
    match name {
        b"x-amzn-mqtt-ca" | b"mqtt" => Spoken::Mqtt,
        _ => Spoken::Http,
    }
}

/// What the first bytes say.
fn begun_with(bytes: &[u8]) -> Spoken {
    match bytes.first() {
        Some(&CONNECT) => Spoken::Mqtt,
        Some(&first) if begins_http(first) => Spoken::Http,
        Some(_) => Spoken::Refused(
            "it begins with neither CONNECT nor HTTP, and ALPN does not say what it is",
        ),
        None => Spoken::Nothing,
    }
}
