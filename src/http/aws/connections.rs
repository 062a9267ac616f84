//! Connections of clients, and their subscriptions (AWS-DATA-07 to -09, AWS-LIFE-21).

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Principal;
use crate::aws::registry::PrincipalType;
use crate::broker::{PartBounds, Removal, Session, SubscriptionSnapshot};
use crate::codec::ReasonCode;
use crate::message::cause::Cause;

use super::super::Api;
use super::super::error::excerpt;
use super::super::turns;
use super::call::{Call, SHORT_PAGE, listed, seconds, with_token};
use super::host::Host;
use super::operation::{Answered, Operation, Service};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 4] = [
    Operation::ask(
        "GetConnection",
        "GET /connections/{clientId}",
        get_connection,
    )
    .of(Service::IotData)
    .differs(
        "A client whose session outlives the half hour is told of without `disconnectedSince` and \
             `disconnectReason` then. There are no VPC endpoints.",
    ),
    Operation::wait(
        "DeleteConnection",
        "DELETE /connections/{clientId}",
        |api, call| Box::pin(delete_connection(api, call)),
    )
    .of(Service::IotData),
    Operation::ask(
        "ListSubscriptions",
        "GET /connections/{clientId}/subscriptions",
        list_subscriptions,
    )
    .of(Service::IotData)
    .differs("By topic filter."),
    Operation::work(
        "GetThingConnectivityData",
        "POST /things/{thingName}/connectivity-data",
        get_thing_connectivity_data,
    )
    .differs("Of the client that is named like the thing or has a certificate that is the thing's alone, without fleet indexing; half an hour after the end there are no details any more."),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectivityBody {
    #[serde(default)]
    include_socket_information: bool,
}

/// What a client is told as Reason String.
const REASON_STRING: &str = "disconnected through DeleteConnection";

/// Subscriptions of a page unless it is said how many.
const SUBSCRIPTIONS: usize = 20;

/// Characters of a client identifier.
const CLIENT_ID: usize = 128;

/// What is known of a client's connection, or of its last one.
struct Connection {
    is_connected: bool,
    /// When that began, in milliseconds since 1970.
    since: Option<u64>,
    reason: Option<&'static str>,
    principal: Principal,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    keep_alive: u16,
    expiry: u32,
}

/// The client that a call is about.
pub(super) fn client_id(call: &Call) -> Result<&str, Refusal> {
    let name = "clientId";
    let client_id = call.path(name);
    let constraint = if client_id.starts_with('$') {
        "satisfy regular expression pattern: ^[^$].*"
    } else if client_id.chars().count() > CLIENT_ID {
        "have length less than or equal to 128"
    } else {
        return Ok(client_id);
    };
    Err(Refusal::constraint(name, Some(client_id), constraint))
}

/// The session of a client. Those of the program that the broker runs in are nobody's.
pub(super) fn session(
    broker: &crate::broker::Broker,
    client_id: &str,
) -> Result<Arc<Session>, Refusal> {
    let session = broker.find(client_id).filter(|session| {
        let connection = session.connection();
        connection.is_some_and(|connection| connection.principal != Principal::Program)
    });
    session.ok_or_else(|| unknown(client_id))
}

fn unknown(client_id: &str) -> Refusal {
    Refusal::not_found(format!("No connection of client {}.", excerpt(client_id)))
}

impl Connection {
    fn find(host: &Host, client_id: &str) -> Option<Self> {
        let engine = host.engine();
        let session = session(&engine.broker, client_id).ok();
        let found = session.and_then(|session| session.connection());
        if let Some(found) = &found
            && let Some(at) = found.connected_at
        {
            let facts = found.facts.as_ref();
            return Some(Self {
                is_connected: true,
                since: Some(host.connectivity.milliseconds(at)),
                reason: None,
                principal: found.principal.clone(),
                peer: facts.and_then(|facts| facts.peer().socket_addr()),
                local: facts.and_then(|facts| facts.local()),
                keep_alive: found.keep_alive,
                expiry: found.expiry,
            });
        }
        if let Some(end) = host.connectivity.end(client_id, engine.clock.now().now) {
            return Some(Self {
                is_connected: false,
                since: Some(host.connectivity.milliseconds(end.at)),
                reason: Some(end.reason),
                principal: end.principal,
                peer: end.peer,
                local: end.local,
                keep_alive: end.keep_alive,
                expiry: end.expiry,
            });
        }
        found.map(|found| Self {
            is_connected: false,
            since: None,
            reason: None,
            principal: found.principal,
            peer: None,
            local: None,
            keep_alive: found.keep_alive,
            expiry: found.expiry,
        })
    }

    /// The members that both planes name alike; addresses are asked for.
    fn members(&self, client_id: &str, with_addresses: bool) -> Value {
        let of = |address: Option<SocketAddr>| address.filter(|_| with_addresses);
        let (peer, local) = (of(self.peer), of(self.local));
        json!({
            "clientId": client_id,
            "connected": self.is_connected,
            "cleanSession": self.expiry == 0,
            "disconnectReason": self.reason,
            "keepAliveDuration": self.keep_alive,
            "sessionExpiry": self.expiry,
            "sourceIp": peer.map(|address| address.ip().to_string()),
            "sourcePort": peer.map(|address| address.port()),
            "targetIp": local.map(|address| address.ip().to_string()),
            "targetPort": local.map(|address| address.port()),
        })
    }
}

fn get_connection(host: &Host, call: &Call) -> Answered {
    let client_id = client_id(call)?;
    let with_addresses = call.flag("includeSocketInformation")?;
    let found = Connection::find(host, client_id).ok_or_else(|| unknown(client_id))?;
    let since = match found.is_connected {
        true => "connectedSince",
        false => "disconnectedSince",
    };
    let mut members = found.members(client_id, with_addresses);
    members[since] = json!(found.since);
    members["thingName"] = json!(thing_of(host, &found.principal, client_id));
    Ok(members)
}

/// The thing that a client with this principal is (AWS-ID-07).
fn thing_of(host: &Host, principal: &Principal, client_id: &str) -> Option<String> {
    let Principal::Certificate(id) = principal else {
        return None;
    };
    let state = host.registry()?.state();
    let thing = state.thing_of(id, client_id)?;
    Some(thing.name.clone())
}

async fn delete_connection(api: Api, call: Call) -> Answered {
    let client_id = client_id(&call)?;
    let removal = Removal {
        with_session: call.flag("cleanSession")?,
        without_will: call.flag("preventWillMessage")?,
    };
    let session = session(&api.engine.broker, client_id)?;
    // AWS-OPEN-10
    let cause = Cause::Kicked {
        reason: ReasonCode::AdministrativeAction,
        text: REASON_STRING,
    };
    let removed = turns::disconnect(&api.engine, &session, cause, removal).await;
    let disconnected = removed.ok_or_else(|| unknown(client_id))?;
    tracing::info!(
        client_id = &*excerpt(client_id),
        disconnected,
        "disconnected through DeleteConnection"
    );
    Ok(Value::Null)
}

fn list_subscriptions(host: &Host, call: &Call) -> Answered {
    let client_id = client_id(call)?;
    let page = call.short_page(SUBSCRIPTIONS)?;
    let session = session(&host.engine().broker, client_id)?;
    let list = format!("subscriptions of {client_id}");
    let after = page.after(&list)?;
    let bounds = PartBounds {
        // Whether there is another one says whether there is another page.
        count: page.limit.unwrap_or(SHORT_PAGE) + 1,
        bytes: usize::MAX,
    };
    let found = session.subscriptions_after(after.as_deref(), bounds);
    let filter = |found: &SubscriptionSnapshot| found.filter.clone();
    let found = page.gather(&list, found.into_iter(), filter);
    let summary = |found: SubscriptionSnapshot| json!({ "topicFilter": found.filter, "qos": found.qos.bits() });
    Ok(listed(with_token("subscriptions"), found.map(summary)))
}

fn get_thing_connectivity_data(host: &Host, call: &Call) -> Answered {
    let body: ConnectivityBody = call.body()?;
    let name = call.path("thingName");
    let thing = host.required()?.state().describe_thing(name)?;
    let holders: Vec<_> = thing
        .principals
        .iter()
        .filter(|(_, kind)| **kind == PrincipalType::ExclusiveThing)
        .map(|(principal, _)| principal.as_str())
        .collect();
    let client_id = client_of(host, name, &holders);
    let Some(found) = Connection::find(host, &client_id) else {
        return Ok(json!({ "thingName": name, "connected": false }));
    };
    let mut members = found.members(&client_id, body.include_socket_information);
    members["thingName"] = name.into();
    members["timestamp"] = json!(found.since.map(seconds));
    Ok(members)
}

/// The client that a thing is: who is named like it, unless only somebody else is connected, or was last, who
/// has one of the certificates that are the thing's alone.
fn client_of(host: &Host, thing: &str, holders: &[&str]) -> String {
    let broker = &host.engine().broker;
    let is_connected = |session: &Arc<Session>| {
        let connection = session.connection();
        connection.filter(|connection| connection.connected_at.is_some())
    };
    let namesake = broker.find(thing);
    if holders.is_empty() || namesake.is_some_and(|session| is_connected(&session).is_some()) {
        return thing.to_owned();
    }
    let is_holder = |principal: &Principal| match principal {
        Principal::Certificate(id) => holders.contains(&&**id),
        _ => false,
    };
    let mut sessions = broker.all_sessions().into_iter();
    let connected = sessions.find(|session| {
        is_connected(session).is_some_and(|connection| is_holder(&connection.principal))
    });
    let now = host.engine().clock.now().now;
    connected
        .map(|session| session.client_id().to_owned())
        .or_else(|| host.connectivity.last_of(now, is_holder))
        .unwrap_or_else(|| thing.to_owned())
}
