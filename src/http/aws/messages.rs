//! Messages that callers of the data plane publish, or send to one client (AWS-DATA-01, -02, -10).

use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use crate::broker::{Confirmation, Dirty, NotSent, OutsideMessage, Undelivered};
use crate::codec::{MessageProperties, QoS};
use crate::engine::Engine;

use super::super::Api;
use super::super::error::excerpt;
use super::super::turns;
use super::call::Call;
use super::connections::{client_id, session};
use super::operation::{Answered, Operation, Service};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 2] = [
    Operation::wait("Publish", "POST /topics/{topic}", |api, call| {
        Box::pin(publish(api, call))
    })
    .of(Service::IotData)
    .raw(),
    Operation::wait(
        "SendDirectMessage",
        "POST /connections/{clientId}/messages",
        |api, call| Box::pin(send_direct_message(api, call)),
    )
    .of(Service::IotData)
    .raw()
    .differs("A client that has too much to acknowledge or to read: 429."),
];

/// Seconds that PUBACK is waited for, unless it is said how many; and at most.
const TIMEOUT: u64 = 5;
const TIMEOUT_MAX: u64 = 15;

/// Properties of a message, as a request has them in its query and its headers.
#[derive(Default)]
struct Properties {
    payload_format_is_utf8: Option<bool>,
    message_expiry: Option<u32>,
    content_type: Option<String>,
    response_topic: Option<String>,
    correlation_data: Option<Vec<u8>>,
    user_properties: Vec<(String, String)>,
}

async fn publish(api: Api, call: Call) -> Answered {
    let (size, id) = (call.raw().len(), call.id);
    let begin = move |engine: &Engine, dirty: &mut Dirty| {
        let properties = Properties {
            message_expiry: message_expiry(&call)?,
            ..Properties::of(&call)?
        };
        let message = OutsideMessage {
            topic: call.path("topic"),
            payload: call.raw(),
            qos: qos(&call)?,
            retain: call.flag("retain")?,
            properties: properties.as_message(),
        };
        let context = engine.broker.context(engine.clock.now());
        let published = engine.broker.publish_message(&message, &context, dirty);
        published.map_err(Refusal::from)
    };
    turns::publish(&api, size, begin, Refusal::from).await?;
    Ok(accepted(id))
}

async fn send_direct_message(api: Api, call: Call) -> Answered {
    let timeout = timeout(&call)?;
    let _place = timeout.map(|_| api.host.place_to_wait()).transpose()?;
    let (confirm, confirmed) = oneshot::channel();
    let confirmation: Option<Confirmation> = timeout.map(|_| {
        let confirm: Confirmation = Box::new(move || {
            // Nobody waits any more.
            let _ = confirm.send(());
        });
        confirm
    });
    let mut dirty = Dirty::default();
    let sent = send(&api.engine, &call, confirmation, &mut dirty);
    turns::flush(&api.engine, dirty).await;
    sent?;
    if let Some(timeout) = timeout {
        let waited = api.engine.clock.timeout(timeout, confirmed).await;
        let text = match waited {
            Ok(Ok(())) => return Ok(accepted(call.id)),
            Ok(Err(_)) => "The connection ended before the client acknowledged the message.",
            Err(_) => "The client did not acknowledge the message in time.",
        };
        let name = "GatewayTimeoutException";
        return Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, name, text));
    }
    Ok(accepted(call.id))
}

fn send(
    engine: &Engine,
    call: &Call,
    confirmation: Option<Confirmation>,
    dirty: &mut Dirty,
) -> Result<(), Refusal> {
    let client_id = client_id(call)?;
    let session = session(&engine.broker, client_id)?;
    let properties = Properties::of(call)?;
    let message = OutsideMessage {
        topic: call
            .text("topic")
            .ok_or_else(|| Refusal::missing("topic"))?,
        payload: call.raw(),
        qos: match confirmation {
            Some(_) => QoS::AtLeastOnce,
            None => QoS::AtMostOnce,
        },
        retain: false,
        properties: properties.as_message(),
    };
    let context = engine.broker.context(engine.clock.now());
    let sent = engine
        .broker
        .send_directly(&session, &message, confirmation, &context, dirty);
    sent.map_err(|not_sent| match not_sent {
        NotSent::Refused(violation) => violation.into(),
        NotSent::Undelivered(why) => undelivered(why, client_id),
    })
}

/// Why the client does not get a message.
fn undelivered(why: Undelivered, client_id: &str) -> Refusal {
    let client_id = excerpt(client_id);
    match why {
        Undelivered::Offline => Refusal::not_found(format!("Client {client_id} is not connected.")),
        Undelivered::Forbidden => Refusal::forbidden(format!(
            "Client {client_id} may not receive messages of the topic (iot:Receive)."
        )),
        Undelivered::TooLarge => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            format!("Client {client_id} takes no packet of that size."),
        ),
        Undelivered::Full => Refusal::throttled(format!(
            "Client {client_id} has too much to acknowledge or to read."
        )),
    }
}

/// How long PUBACK is waited for; not at all, unless it is asked for.
fn timeout(call: &Call) -> Result<Option<Duration>, Refusal> {
    if !call.flag("confirmation")? {
        return Ok(None);
    }
    let name = "timeout";
    let seconds = call.parsed(name, "be a whole number")?;
    match seconds.unwrap_or(TIMEOUT) {
        seconds @ 1..=TIMEOUT_MAX => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(Refusal::constraint(
            name,
            call.text(name),
            "be between 1 and 15",
        )),
    }
}

/// A message was accepted (AWS-HTTP-06).
fn accepted(id: uuid::Uuid) -> Value {
    json!({ "message": "OK", "traceId": id.to_string() })
}

/// AWS-HTTP-03
fn qos(call: &Call) -> Result<QoS, Refusal> {
    match call.text("qos") {
        None | Some("0") => Ok(QoS::AtMostOnce),
        Some("1") => Ok(QoS::AtLeastOnce),
        other => Err(Refusal::constraint("qos", other, "be 0 or 1")),
    }
}

/// Seconds; as many as a packet can say at most.
fn message_expiry(call: &Call) -> Result<Option<u32>, Refusal> {
    let seconds: Option<u64> = call.parsed("messageExpiry", "be a whole number")?;
    Ok(seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)))
}

impl Properties {
    /// Those that a message to a topic and one to a client have in common.
    fn of(call: &Call) -> Result<Self, Refusal> {
        let owned = |name: &str| call.text(name).map(str::to_owned);
        Ok(Self {
            payload_format_is_utf8: payload_format(call)?,
            message_expiry: None,
            content_type: owned("contentType"),
            response_topic: owned("responseTopic"),
            correlation_data: in_base64(call, "x-amz-mqtt5-correlation-data", "correlationData")?,
            user_properties: user_properties(call)?,
        })
    }

    fn as_message(&self) -> MessageProperties<'_> {
        MessageProperties {
            payload_format_is_utf8: self.payload_format_is_utf8,
            message_expiry: self.message_expiry,
            content_type: self.content_type.as_deref(),
            response_topic: self.response_topic.as_deref(),
            correlation_data: self.correlation_data.as_deref(),
            user_properties: &self.user_properties,
        }
    }
}

fn payload_format(call: &Call) -> Result<Option<bool>, Refusal> {
    let name = "payloadFormatIndicator";
    match call.given_header("x-amz-mqtt5-payload-format-indicator", name)? {
        None => Ok(None),
        Some("UNSPECIFIED_BYTES") => Ok(Some(false)),
        Some("UTF8_DATA") => Ok(Some(true)),
        other => {
            let constraint = "satisfy enum value set: [UNSPECIFIED_BYTES, UTF8_DATA]";
            Err(Refusal::constraint(name, other, constraint))
        }
    }
}

/// A member that stands in a header in Base64.
fn in_base64(call: &Call, header: &str, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let decode = |text: &str| {
        let decoded = STANDARD.decode(text);
        decoded.map_err(|error| Refusal::invalid(format!("Value at '{name}': {error}")))
    };
    call.given_header(header, name)?.map(decode).transpose()
}

/// A list of objects with one member each, or such a list as a text in JSON: who hands a text to boto3 has it
/// written as one (AWS-OPS-08).
fn user_properties(call: &Call) -> Result<Vec<(String, String)>, Refusal> {
    let name = "userProperties";
    let malformed = || {
        Refusal::invalid(format!(
            "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must be a \
             list of objects of one text each"
        ))
    };
    let Some(bytes) = in_base64(call, "x-amz-mqtt5-user-properties", name)? else {
        return Ok(Vec::new());
    };
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|_| malformed());
    let list = match read(&bytes)? {
        Value::String(text) => read(text.as_bytes())?,
        list => list,
    };
    let Value::Array(list) = list else {
        return Err(malformed());
    };
    let pairs = list.into_iter().map(|pair| match pair {
        Value::Object(members) => one_pair(members),
        _ => None,
    });
    pairs.collect::<Option<Vec<_>>>().ok_or_else(malformed)
}

fn one_pair(members: Map<String, Value>) -> Option<(String, String)> {
    let mut members = members.into_iter();
    let (Some((name, Value::String(value))), None) = (members.next(), members.next()) else {
        return None;
    };
    Some((name, value))
}
