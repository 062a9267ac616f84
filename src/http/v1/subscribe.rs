//! `/v1/subscribe`: subscriptions of a client of this process, whose messages come as server-sent events.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::broker::CONSOLE;
use crate::codec::{QoS, ReasonCode, RetainHandling, SubscribeOptions};
use crate::local::{Arrived, Message, Refused, Subscriber};
use crate::time::Calendar;
use crate::topic::Filter;

use super::super::Api;
use super::super::body::JsonBody;
use super::super::error::{ApiError, excerpt};
use super::super::query::{NoParameters, Parameters};
use super::super::sampler::quiet;
use super::super::streams::named;
use super::super::subscribers::Subscription;
use super::super::waits::Patience;
use super::events::{LONGEST, answer, refuse};
use super::packets::FilterOptions;

/// Bytes that are shown of a payload.
const PAYLOAD: usize = 32 * 1024;

/// Characters that are shown of a text besides.
const TEXT: usize = 4096;

/// User Properties that are shown of a message.
const PAIRS: usize = 100;

/// A subscription that there is.
#[derive(Serialize)]
pub(super) struct Subscribed {
    /// What its messages come with.
    id: u32,
    filter: String,
    qos: u8,
}

impl FilterOptions {
    fn of(parameters: &Parameters) -> Result<Self, ApiError> {
        let filter = parameters
            .owned("filter")
            .ok_or_else(|| ApiError::invalid("filter", "missing parameter 'filter'"))?;
        let number = |name| {
            let given = parameters.number(name, 2)?.unwrap_or_default();
            // It fits.
            Ok::<_, ApiError>(u8::try_from(given).unwrap_or_default())
        };
        Ok(Self {
            filter,
            qos: number("qos")?,
            no_local: parameters.flag("no_local")?.unwrap_or_default(),
            retain_as_published: parameters.flag("retain_as_published")?.unwrap_or_default(),
            retain_handling: number("retain_handling")?,
        })
    }

    fn options(&self) -> Result<SubscribeOptions, ApiError> {
        let wrong = |field, value| ApiError::invalid(field, format!("{value} is not 0, 1 or 2"));
        if self.no_local && self.filter.starts_with("$share/") {
            let error = "a shared subscription has no No Local (MQTT-3.8.3-4)";
            return Err(ApiError::invalid("no_local", error));
        }
        Ok(SubscribeOptions {
            qos: QoS::from_bits(self.qos).ok_or_else(|| wrong("qos", self.qos))?,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            retain_handling: match self.retain_handling {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                other => return Err(wrong("retain_handling", other)),
            },
        })
    }

    fn subscribe(self, to: &Subscription) -> Result<Subscribed, ApiError> {
        let options = self.options()?;
        let Self { filter, qos, .. } = self;
        let show = |id| Subscribed {
            id,
            filter: filter.clone(),
            qos,
        };
        to.subscribe(&filter, options, show).map_err(refusal)
    }
}

fn refusal(refused: Refused) -> ApiError {
    match refused.reason {
        ReasonCode::QuotaExceeded | ReasonCode::ServerBusy | ReasonCode::ServerUnavailable => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, refused.text)
        }
        _ => ApiError::invalid("filter", refused.text),
    }
}

/// A client with one subscription, and its messages until the client, the broker or somebody else ends it.
pub(super) async fn stream(
    State(api): State<Api>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let known = [
        "filter",
        "qos",
        "no_local",
        "retain_as_published",
        "retain_handling",
    ];
    let wanted = FilterOptions::of(&Parameters::parse(&uri, &known)?)?;
    wanted.options()?;
    let broker = &api.engine.broker;
    let mut number = broker.uuid().simple().to_string();
    number.truncate(8);
    let client_id = format!("console-{number}");
    let hello = named(
        "hello",
        &json!({ "client_id": client_id, "instance": &*api.instance }),
    );
    let subscriber = Subscriber::open(api.engine.clone(), &client_id, CONSOLE).map_err(refusal)?;
    let quiet = quiet(broker.config());
    let opened = api
        .subscribers
        .open(subscriber, client_id, hello, quiet, broker.budget());
    let (subscription, events) = match opened {
        Ok(opened) => opened,
        Err(refused) => return Ok(refuse(&refused)),
    };
    wanted.subscribe(&subscription)?;
    patience.grant(LONGEST);
    api.tasks.spawn(take(api.clone(), subscription));
    Ok(answer(Body::new(events)))
}

/// Takes the messages, until the broker stops if nobody ends it before.
async fn take(api: Api, subscription: Arc<Subscription>) {
    let calendar = api.calendar;
    let show = |arrived: &Arrived| show(arrived, &calendar, api.engine.clock.now().now);
    tokio::select! {
        biased;
        () = api.engine.stopping.cancelled() => subscription.close(),
        () = subscription.run(show) => {}
    }
}

/// A further subscription of such a client.
pub(super) async fn add(
    State(api): State<Api>,
    client_id: Result<Path<String>, PathRejection>,
    _: NoParameters,
    body: JsonBody,
) -> Result<Json<Subscribed>, ApiError> {
    let Path(client_id) = client_id?;
    let wanted: FilterOptions = body.parse()?;
    let subscription = find(&api, &client_id)?;
    wanted.subscribe(&subscription).map(Json)
}

/// Ends a subscription of such a client.
pub(super) async fn remove(
    State(api): State<Api>,
    client_id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let Path(client_id) = client_id?;
    let parameters = Parameters::parse(&uri, &["filter"])?;
    let filter = parameters
        .text("filter")
        .ok_or_else(|| ApiError::invalid("filter", "missing parameter 'filter'"))?;
    Filter::parse(filter).map_err(|error| ApiError::invalid("filter", error.to_string()))?;
    match find(&api, &client_id)?
        .unsubscribe(filter)
        .map_err(refusal)?
    {
        true => Ok(Json(json!({ "unsubscribed": filter }))),
        false => {
            let error = format!("it does not subscribe to '{}'", excerpt(filter));
            Err(ApiError::not_found(error).at("filter"))
        }
    }
}

/// The client of this name that such a stream is open for.
///
/// # Errors
///
/// 404 if there is none.
pub(super) fn find(api: &Api, client_id: &str) -> Result<Arc<Subscription>, ApiError> {
    api.subscribers.find(client_id).ok_or_else(|| {
        let error = format!(
            "no stream of /v1/subscribe has a client '{}'",
            excerpt(client_id)
        );
        ApiError::not_found(error).at("client_id")
    })
}

/// A message as an event.
fn show(arrived: &Arrived, calendar: &Calendar, now: std::time::Instant) -> Bytes {
    let Arrived {
        message,
        dup,
        subscription_ids,
        ..
    } = arrived;
    let at = calendar.date(now).duration_since(UNIX_EPOCH);
    let at_ms = u64::try_from(at.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let (size, payload) = (message.payload.len(), beginning(&message.payload));
    let mut shown = json!({
        "at_ms": at_ms,
        "subscriptions": subscription_ids,
        "topic": message.topic,
        "qos": message.qos.bits(),
        "retain": message.retain,
        "dup": dup,
        "payload_size": size,
        "properties": properties(message),
    });
    let (name, value) = match std::str::from_utf8(payload) {
        Ok(text) => ("payload", text.into()),
        Err(_) => ("payload_base64", STANDARD.encode(payload).into()),
    };
    if let Some(shown) = shown.as_object_mut() {
        shown.insert(name.to_owned(), value);
        if payload.len() < size {
            shown.insert("payload_cut".to_owned(), payload.len().into());
        }
    }
    named("message", &shown)
}

/// As much of a payload as is shown; a character of UTF-8 stays whole.
fn beginning(payload: &[u8]) -> &[u8] {
    let Some(first) = payload.get(..PAYLOAD).filter(|_| payload.len() > PAYLOAD) else {
        return payload;
    };
    match std::str::from_utf8(first) {
        Err(error) if error.error_len().is_none() => {
            first.get(..error.valid_up_to()).unwrap_or(first)
        }
        _ => first,
    }
}

/// Under the names that they are published under.
fn properties(message: &Message) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        shown.insert(name.to_owned(), value);
    };
    let text = |text: &str| Value::from(crate::excerpt::beginning(text, TEXT).as_ref());
    if message.is_utf8 {
        put("payload_format_indicator", 1.into());
    }
    if let Some(expiry) = message.expiry {
        put("message_expiry_interval", expiry.as_secs().into());
    }
    if let Some(kind) = &message.content_type {
        put("content_type", text(kind));
    }
    if let Some(topic) = &message.response_topic {
        put("response_topic", text(topic));
    }
    if let Some(data) = &message.correlation_data {
        let first = data.get(..TEXT).unwrap_or(data);
        put("correlation_data", STANDARD.encode(first).into());
    }
    if !message.user_properties.is_empty() {
        let pairs = message.user_properties.iter().take(PAIRS);
        let pairs = pairs.map(|(name, value)| json!([text(name), text(value)]));
        put("user_properties", pairs.collect());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_cut_between_characters() {
        let text = "ü".repeat(PAYLOAD);
        let odd = format!("x{text}");
        assert_eq!(beginning(text.as_bytes()).len(), PAYLOAD);
        assert_eq!(beginning(odd.as_bytes()).len(), PAYLOAD - 1);
        assert_eq!(beginning(&[0xff; PAYLOAD + 1]).len(), PAYLOAD);
        assert_eq!(beginning(b"short"), b"short");
    }
}
