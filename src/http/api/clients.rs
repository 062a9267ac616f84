//! `/v1/clients`: sessions with their connections, and how to end a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::Serialize;

use crate::broker::{ClientSnapshot, Dirty, TlsFacts};
use crate::codec::{PacketType, ReasonCode};
use crate::net::Shared;

use super::super::error::ApiError;
use super::super::query::Parameters;

/// What a client is told as Reason String.
const REASON_STRING: &str = "disconnected through the control API";

#[derive(Serialize)]
pub(in crate::http) struct Clients {
    clients: Vec<Client>,
}

#[derive(Serialize)]
struct Client {
    client_id: String,
    connected: bool,
    /// Protocol level: 4 is MQTT 3.1.1.
    protocol: u8,
    listener: Option<&'static str>,
    peer: Option<SocketAddr>,
    /// `None`: never.
    session_expiry_s: Option<u64>,
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
    tls: Option<Tls>,
}

/// What the TLS handshake settled.
#[derive(Serialize)]
struct Tls {
    version: &'static str,
    cipher: String,
    sni: Option<String>,
    alpn: Option<String>,
    certificate_id: Option<String>,
    common_name: Option<String>,
}

/// One client, with more than fits a list.
#[derive(Serialize)]
pub(in crate::http) struct ClientDetail {
    #[serde(flatten)]
    client: Client,
    /// By filter.
    granted_qos: BTreeMap<String, u8>,
}

#[derive(Serialize)]
pub(in crate::http) struct Disconnected {
    client_id: String,
    /// Whether there was a connection to end.
    disconnected: bool,
    reason: u8,
}

/// All sessions, by client identifier.
pub(in crate::http) async fn list(State(shared): State<Arc<Shared>>) -> Json<Clients> {
    let clients = shared.broker.clients(shared.clock.now());
    Json(Clients {
        clients: clients.into_iter().map(Client::from).collect(),
    })
}

pub(in crate::http) async fn show(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ClientDetail>, ApiError> {
    let Path(id) = id?;
    let client = shared
        .broker
        .client(&id, shared.clock.now())
        .ok_or_else(|| unknown(&id))?;
    let granted = client
        .subscriptions
        .iter()
        .map(|granted| (granted.filter.clone(), granted.qos.bits()));
    Ok(Json(ClientDetail {
        granted_qos: granted.collect(),
        client: client.into(),
    }))
}

/// Ends a client's connection with DISCONNECT; its session goes on as after any lost connection.
pub(in crate::http) async fn disconnect(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Disconnected>, ApiError> {
    let Path(id) = id?;
    let parameters = Parameters::parse(&uri, &["reason"])?;
    let reason = match parameters.text("reason") {
        Some(text) => parse_reason(text)?,
        None => ReasonCode::AdministrativeAction,
    };
    let session = shared.broker.find(&id).ok_or_else(|| unknown(&id))?;
    let mut dirty = Dirty::default();
    let context = shared.broker.context(shared.clock.now());
    let disconnected =
        shared
            .broker
            .disconnect(&session, Some(reason), REASON_STRING, &context, &mut dirty);
    super::flush(&shared, dirty).await;
    tracing::info!(client_id = id, %reason, disconnected, "disconnected through the control API");
    Ok(Json(Disconnected {
        client_id: id,
        disconnected,
        reason: reason as u8,
    }))
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("no client '{id}'")).at("id")
}

/// A Reason Code that a server may send in DISCONNECT (MQTT-3.14.2-1), as `0x98` or `152`.
fn parse_reason(text: &str) -> Result<ReasonCode, ApiError> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let is_legal = |reason: &ReasonCode| {
        reason.is_legal_in(PacketType::Disconnect)
            && *reason != ReasonCode::DisconnectWithWillMessage
    };
    number
        .ok()
        .and_then(ReasonCode::from_u8)
        .filter(is_legal)
        .ok_or_else(|| {
            ApiError::invalid(
                "reason",
                format!("'{text}' is no reason for a server to disconnect"),
            )
        })
}

impl From<ClientSnapshot> for Client {
    fn from(client: ClientSnapshot) -> Self {
        let facts = client.facts.as_deref();
        Self {
            connected: client.connected,
            protocol: client.version.level(),
            listener: facts.map(|facts| facts.listener),
            peer: facts.and_then(|facts| facts.peer),
            session_expiry_s: client.session_expiry.map(|expiry| expiry.as_secs()),
            in_flight: client.in_flight,
            queued: client.queued,
            connected_for_s: client.connected_for.map(|time| time.as_secs()),
            packets_received: client.traffic.packets,
            bytes_received: client.traffic.bytes,
            messages_received: client.traffic.messages,
            messages_sent: client.messages_sent,
            messages_dropped: client.dropped,
            tls: facts.and_then(|facts| facts.tls.as_deref()).map(Tls::from),
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
            version,
            cipher,
            sni,
            alpn,
            certificate_id,
            common_name,
        } = facts.clone();
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
        for text in ["0x04", "0x92", "0xff", "98", "0x100", "x", "0x", "-1"] {
            assert!(parse_reason(text).is_err(), "{text}");
        }
    }
}
