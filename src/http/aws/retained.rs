//! Retained messages (AWS-DATA-03, -04, AWS-RET-13).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::broker::{Kept, PageOf};
use crate::codec::PublishProperties;
use crate::message::publication::Message;

use super::call::{Call, SHORT_PAGE, listed, with_token};
use super::host::Host;
use super::operation::{Answered, Operation, Service};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 2] = [
    Operation::ask(
        "GetRetainedMessage",
        "GET /retainedMessage/{topic}",
        get_retained_message,
    )
    .of(Service::IotData),
    Operation::ask(
        "ListRetainedMessages",
        "GET /retainedMessage",
        list_retained_messages,
    )
    .of(Service::IotData)
    .differs("By topic; 200 of them unless `maxResults` says otherwise."),
];

/// What tokens of the list are told by.
const LIST: &str = "retained messages";

fn get_retained_message(host: &Host, call: &Call) -> Answered {
    let (engine, topic) = (host.engine(), call.path("topic"));
    let now = engine.clock.now().now;
    let kept = engine.broker.retained_message(topic, now);
    let Some(kept) = kept else {
        let text = format!("No retained message for topic {topic}.");
        return Err(Refusal::not_found(text));
    };
    Ok(json!({
        "topic": topic,
        "payload": STANDARD.encode(kept.message.payload().to_vec()),
        "qos": kept.message.qos().bits(),
        "lastModifiedTime": host.connectivity.milliseconds(kept.at),
        "userProperties": user_properties(&kept.message),
    }))
}

/// A list of objects with one member each, in JSON and then in Base64; `null` if there are none.
fn user_properties(message: &Message) -> Value {
    // What is kept was read before.
    let Ok(properties) = PublishProperties::parse(message.properties()) else {
        return Value::Null;
    };
    let pairs = properties.user_properties();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| json!({ name: value }))
        .collect();
    match pairs.is_empty() {
        true => Value::Null,
        false => STANDARD.encode(Value::from(pairs).to_string()).into(),
    }
}

fn list_retained_messages(host: &Host, call: &Call) -> Answered {
    let page = call.short_page(SHORT_PAGE)?;
    let engine = host.engine();
    let after = page.after(LIST)?;
    let wanted = PageOf {
        after: after.as_deref(),
        containing: None,
        // Whether there is another one says whether there is another page.
        limit: page.limit.unwrap_or(SHORT_PAGE) + 1,
    };
    let found = engine
        .broker
        .retained_page(None, &wanted, engine.clock.now().now);
    let topic = |kept: &Kept| kept.message.topic().to_owned();
    let found = page.gather(LIST, found.entries.into_iter(), topic);
    let summary = |kept: Kept| {
        json!({
            "topic": kept.message.topic(),
            "payloadSize": kept.message.payload().len(),
            "qos": kept.message.qos().bits(),
            "lastModifiedTime": host.connectivity.milliseconds(kept.at),
        })
    };
    Ok(listed(with_token("retainedTopics"), found.map(summary)))
}
