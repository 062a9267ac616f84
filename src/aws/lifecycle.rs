//! Lifecycle events: clients that come and go, subscribe and unsubscribe, published under
//! `$aws/events/` (AWS-LIFE-01 to -22).

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use uuid::Uuid;

use crate::auth::Principal;
use crate::broker::events::{Client, Event, Events, What};
use crate::broker::{Broker, Context, Dirty};
use crate::codec::{ReasonCode, Version};
use crate::message::cause::Cause;
use crate::time::{Calendar, milliseconds};

use super::registry::Registry;
use super::versions::Versions;

/// What it costs to compose and publish an event, besides its deliveries, in steps.
const STEPS: usize = 32;

/// Publishes what happens to clients.
pub(crate) struct Lifecycle {
    calendar: Calendar,
    /// What session identifiers are made from; nobody can foretell them.
    secret: u128,
    /// Clients that did not get in: each has a session identifier of its own (AWS-LIFE-19).
    refused: AtomicU64,
    /// What knows the things of clients, if anything does.
    registry: Option<Arc<Registry>>,
    versions: Arc<Versions>,
}

/// The payload of an event (AWS-LIFE-04 to -09).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    client_id: &'a str,
    /// Only where one alone has the client's certificate (AWS-LIFE-05).
    #[serde(skip_serializing_if = "Option::is_none")]
    thing_name: Option<String>,
    /// Milliseconds since 1970.
    timestamp: u64,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_initiated_disconnect: Option<bool>,
    session_identifier: String,
    /// Absent where nobody in particular is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_identifier: Option<&'a str>,
    /// Absent where the client has no address.
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_failure_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<&'a [&'a str]>,
    /// Connections of the client before this one (AWS-LIFE-10).
    #[serde(skip_serializing_if = "Option::is_none")]
    version_number: Option<u64>,
}

impl Lifecycle {
    pub(crate) fn new(
        calendar: Calendar,
        secret: u128,
        registry: Option<Arc<Registry>>,
        versions: &Arc<Versions>,
    ) -> Self {
        Self {
            calendar,
            secret,
            refused: AtomicU64::new(0),
            registry,
            versions: versions.clone(),
        }
    }

    /// The thing that alone has the certificate of a client.
    fn thing_name(&self, principal: &Principal) -> Option<String> {
        let Principal::Certificate(id) = principal else {
            return None;
        };
        let state = self.registry.as_ref()?.state();
        Some(state.exclusive_thing_of(id)?.name.clone())
    }

    /// The identifier of a session for as long as it lives, or of a refusal.
    fn session_identifier(&self, session: Option<u64>) -> Uuid {
        let (kind, number) = match session {
            Some(session) => (0, session),
            None => (1, self.refused.fetch_add(1, Ordering::Relaxed)),
        };
        let half = |which: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u128(self.secret);
            hasher.write_u8(which);
            hasher.write_u8(kind);
            hasher.write_u64(number);
            u128::from(hasher.finish())
        };
        let bits = half(0) << 64 | half(1);
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    fn payload<'a>(&self, event: &Event<'a>, context: &Context<'_>) -> Option<Payload<'a>> {
        let Event { client, what } = event;
        let mut payload = Payload {
            client_id: client.client_id,
            thing_name: self.thing_name(client.principal),
            timestamp: milliseconds(self.calendar.date(context.now)),
            event_type: "",
            client_initiated_disconnect: None,
            session_identifier: String::new(),
            principal_identifier: client.principal.name(),
            ip_address: None,
            disconnect_reason: None,
            connect_failure_reason: None,
            topics: None,
            version_number: None,
        };
        let ip_address = || Some(client.facts.peer().socket_addr()?.ip().to_string());
        match *what {
            What::Attached => {
                payload.event_type = "connected";
                payload.ip_address = ip_address();
                payload.version_number = Some(self.versions.begin(client, context.now));
            }
            What::Detached(cause) => {
                payload.event_type = "disconnected";
                let reason = disconnect_reason(cause, client.version);
                payload.client_initiated_disconnect = Some(reason == CLIENT_INITIATED);
                payload.disconnect_reason = Some(reason);
                payload.version_number = Some(self.versions.end(client, context));
            }
            What::Subscribed(filters) => {
                payload.event_type = "subscribed";
                payload.topics = Some(filters);
            }
            What::Unsubscribed(filters) => {
                payload.event_type = "unsubscribed";
                payload.topics = Some(filters);
            }
            What::Refused(violation) if is_unauthorized(violation.reason) => {
                payload.event_type = "connect_failed";
                payload.ip_address = ip_address();
                payload.connect_failure_reason = Some("AUTHORIZATION_FAILED");
            }
            What::Refused(_) => return None,
        }
        payload.session_identifier = self.session_identifier(client.session).to_string();
        Some(payload)
    }
}

impl Events for Lifecycle {
    fn note(&self, event: &Event<'_>, broker: &Broker, context: &Context<'_>, dirty: &mut Dirty) {
        if !is_told_of(&event.client) {
            return;
        }
        let Some(payload) = self.payload(event, context) else {
            return;
        };
        let family = match event.what {
            What::Attached | What::Detached(_) | What::Refused(_) => "presence",
            What::Subscribed(_) | What::Unsubscribed(_) => "subscriptions",
        };
        let topic = format!(
            "$aws/events/{family}/{}/{}",
            payload.event_type, payload.client_id
        );
        let Ok(json) = serde_json::to_vec(&payload) else {
            return;
        };
        dirty.charge(STEPS);
        broker.publish_event(&topic, &json, context, dirty);
    }

    fn hears_of_subscriptions(&self) -> bool {
        true
    }
}

/// AWS-LIFE-03. The program that the broker runs in is no client of the service.
fn is_told_of(client: &Client<'_>) -> bool {
    !client.client_id.contains(['+', '#']) && *client.principal != Principal::Program
}

fn is_unauthorized(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword
    )
}

const CLIENT_INITIATED: &str = "CLIENT_INITIATED_DISCONNECT";

/// AWS-LIFE-11 to -14, -20.
pub(super) fn disconnect_reason(cause: &Cause, version: Version) -> &'static str {
    match cause {
        Cause::Disconnect { .. } | Cause::Dropped => CLIENT_INITIATED,
        #[cfg(feature = "websocket")]
        Cause::WebSocketClose(_) => CLIENT_INITIATED,
        Cause::Lost(_) | Cause::Stalled => "CONNECTION_LOST",
        Cause::KeepAliveTimeout => "MQTT_KEEP_ALIVE_TIMEOUT",
        Cause::Refused { reason, .. } => match version {
            Version::V5 if is_unauthorized(*reason) => "AUTH_ERROR",
            Version::V5 | Version::V311 => "CLIENT_ERROR",
        },
        Cause::Forbidden(_) => "FORBIDDEN_ACCESS",
        Cause::AuthorizationExpired => "CUSTOMAUTH_TTL_EXPIRATION",
        Cause::WebSocketExpired => "WEBSOCKET_TTL_EXPIRATION",
        Cause::TakenOver => "DUPLICATE_CLIENTID",
        Cause::QueueFull => "THROTTLED",
        Cause::Stopping | Cause::PacketRule(_) => "SERVER_INITIATED_DISCONNECT",
        Cause::Kicked { .. } => "API_INITIATED_DISCONNECT",
        Cause::Outage => "CONNECTION_LOST",
    }
}
