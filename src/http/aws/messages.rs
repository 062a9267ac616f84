//! Messages that callers of the data plane publish (AWS-DATA-01, -02).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::broker::{Dirty, OutsideMessage};
use crate::codec::{MessageProperties, QoS};
use crate::engine::Engine;

use super::super::Api;
use super::super::turns;
use super::call::Call;
use super::operation::{Answered, Operation, Service};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 1] =
    [
        Operation::wait("Publish", "POST /topics/{topic}", |api, call| {
            Box::pin(publish(api, call))
        })
        .of(Service::IotData)
        .raw(),
    ];

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
