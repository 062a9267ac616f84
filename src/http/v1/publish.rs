//! `POST /v1/publish`: a message from nobody.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::broker::{Dirty, OutsideMessage, Publishing};
use crate::codec::{MessageProperties, QoS, ReasonCode};
use crate::engine::Engine;
use crate::protocol::violation::Violation;

use super::super::Api;
use super::super::body::JsonBody;
use super::super::error::ApiError;
use super::super::query::NoParameters;
use super::super::subscribers::Subscription;
use super::super::turns;
use super::subscribe;

/// User properties of one message, in bytes of its packet: a short pair takes several times its
/// bytes while it waits to be sent.
const USER_PROPERTIES: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    /// Empty where a topic alias stands for it.
    #[serde(default)]
    topic: String,
    /// The payload: a text, or any other JSON value, which is published as it is written. Either this or the next.
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    payload_base64: Option<Text<'a>>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    properties: Properties,
    /// A client of `/v1/subscribe` that publishes it.
    client_id: Option<String>,
}

/// A text that lies in the body, unless it has escapes.
struct Text<'a>(Cow<'a, str>);

impl<'a, 'de: 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(text.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(text.to_owned().into()))
            }
        }

        deserializer.deserialize_str(Texts)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    /// 0 or 1: whether the payload is said to be UTF-8.
    payload_format_indicator: Option<u8>,
    /// In seconds.
    message_expiry_interval: Option<u32>,
    /// From 1 to `limits.topic_alias_maximum`.
    topic_alias: Option<u16>,
    content_type: Option<String>,
    response_topic: Option<String>,
    /// In base64.
    correlation_data: Option<String>,
    #[serde(default, deserialize_with = "user_properties")]
    user_properties: Vec<(String, String)>,
}

/// Names and values, as many as are allowed.
fn user_properties<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, String)>, D::Error> {
    struct Pairs;

    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of pairs of a name and a value")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let (mut pairs, mut size) = (Vec::new(), 0);
            while let Some((name, value)) = list.next_element::<(String, String)>()? {
                // The identifier and two lengths come with it (MQTT-3.3.2-18).
                size += 5 + name.len() + value.len();
                if size > USER_PROPERTIES {
                    let error = format!("more than {USER_PROPERTIES} bytes of user properties");
                    return Err(Error::custom(error));
                }
                pairs.push((name, value));
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_seq(Pairs)
}

#[derive(Serialize)]
pub(super) struct Published {
    /// Whether anybody subscribes to the topic.
    matched: bool,
    /// Clients with a plain subscription that matches.
    subscribers: usize,
    /// Shared groups that match.
    groups: usize,
    /// The row of the journal that says so, if it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
}

pub(super) async fn publish(
    State(api): State<Api>,
    _: NoParameters,
    body: JsonBody,
) -> Result<Json<Published>, ApiError> {
    let size = body.len();
    let row = Arc::new(OnceLock::new());
    let (own, asked) = (row.clone(), api.clone());
    let begin = move |engine: &Engine, dirty: &mut Dirty| {
        let publishing = publish_body(&body, &asked, engine, dirty)?;
        let _ = own.set(publishing.row());
        Ok(publishing)
    };
    let reach = turns::publish(&api, size, begin, refusal).await?;
    Ok(Json(Published {
        matched: reach.subscribers + reach.groups > 0,
        subscribers: reach.subscribers,
        groups: reach.groups,
        row: row.get().copied().flatten(),
    }))
}

fn publish_body(
    body: &JsonBody,
    api: &Api,
    engine: &Engine,
    dirty: &mut Dirty,
) -> Result<Publishing, ApiError> {
    let request: Request<'_> = body.parse()?;
    let publisher = match &request.client_id {
        Some(client_id) => Some(subscribe::find(api, client_id)?),
        None => None,
    };
    let correlation_data = request.properties.correlation_data()?;
    let mut message = OutsideMessage {
        topic: &request.topic,
        payload: &request.payload()?,
        qos: request.qos()?,
        retain: request.retain,
        properties: request.properties.as_message(correlation_data.as_deref())?,
    };
    let topic = match request.properties.topic_alias {
        Some(alias) => {
            let maximum = engine.broker.config().limits.topic_alias_maximum;
            resolve(message.topic, alias, maximum, publisher.as_deref())?.into()
        }
        None => Cow::from(message.topic),
    };
    message.topic = &topic;
    let publisher = publisher.as_ref().map(|own| &**own.session());
    let context = engine.broker.context(engine.clock.now());
    engine
        .broker
        .publish_message_by(publisher, &message, &context, dirty)
        .map_err(refusal)
}

/// The topic of a message with a topic alias, which holds for as long as its client does.
fn resolve(
    topic: &str,
    alias: u16,
    maximum: u16,
    publisher: Option<&Subscription>,
) -> Result<String, ApiError> {
    const FIELD: &str = "properties.topic_alias";
    let publisher = publisher.ok_or_else(|| {
        let error = "a topic alias needs a client to which it belongs: client_id is missing";
        ApiError::invalid(FIELD, error)
    })?;
    if alias == 0 {
        let error = "topic alias 0 is not allowed (MQTT-3.3.2-8)";
        return Err(ApiError::invalid(FIELD, error));
    }
    let resolved = publisher.resolve(topic, alias, maximum);
    resolved.map_err(|violation| match violation.reason {
        ReasonCode::QuotaExceeded => refusal(violation),
        _ => {
            let error = format!("{} ({})", violation.text, violation.rule);
            ApiError::invalid(FIELD, error)
        }
    })
}

impl Request<'_> {
    fn payload(&self) -> Result<Cow<'_, [u8]>, ApiError> {
        match (&self.payload, &self.payload_base64) {
            (Some(value), None) if !value.get().starts_with('"') => {
                Ok(value.get().as_bytes().into())
            }
            (Some(text), None) => match serde_json::from_str(text.get()) {
                Ok(Text(Cow::Borrowed(text))) => Ok(text.as_bytes().into()),
                Ok(Text(Cow::Owned(text))) => Ok(text.into_bytes().into()),
                Err(error) => Err(ApiError::invalid("payload", error.to_string())),
            },
            (None, Some(base64)) => decode_base64("payload_base64", &base64.0).map(Cow::from),
            (Some(_), Some(_)) => Err(ApiError::invalid(
                "payload_base64",
                "payload is given twice",
            )),
            (None, None) => Err(ApiError::invalid(
                "payload",
                "no payload and no payload_base64",
            )),
        }
    }

    fn qos(&self) -> Result<QoS, ApiError> {
        QoS::from_bits(self.qos)
            .ok_or_else(|| ApiError::invalid("qos", format!("qos {} is not 0, 1 or 2", self.qos)))
    }
}

impl Properties {
    fn correlation_data(&self) -> Result<Option<Vec<u8>>, ApiError> {
        let decode = |base64| decode_base64("properties.correlation_data", base64);
        self.correlation_data.as_deref().map(decode).transpose()
    }

    fn as_message<'a>(
        &'a self,
        correlation_data: Option<&'a [u8]>,
    ) -> Result<MessageProperties<'a>, ApiError> {
        let payload_format_is_utf8 = match self.payload_format_indicator {
            None => None,
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(other) => {
                let error = format!("payload format indicator {other} is not 0 or 1");
                return Err(ApiError::invalid(
                    "properties.payload_format_indicator",
                    error,
                ));
            }
        };
        Ok(MessageProperties {
            payload_format_is_utf8,
            message_expiry: self.message_expiry_interval,
            content_type: self.content_type.as_deref(),
            response_topic: self.response_topic.as_deref(),
            correlation_data,
            user_properties: &self.user_properties,
        })
    }
}

fn decode_base64(field: &'static str, text: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD
        .decode(text)
        .map_err(|error| ApiError::invalid(field, error.to_string()))
}

/// What the broker's refusal is in HTTP.
fn refusal(violation: Violation) -> ApiError {
    let error = violation.text.into_owned();
    match violation.reason {
        ReasonCode::TopicNameInvalid => ApiError::invalid("topic", error),
        ReasonCode::NotAuthorized => ApiError::forbidden(error).at("topic"),
        ReasonCode::QoSNotSupported => ApiError::invalid("qos", error),
        ReasonCode::PacketTooLarge => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error).at("payload")
        }
        ReasonCode::QuotaExceeded if violation.rule.starts_with("limits.") => {
            ApiError::new(StatusCode::INSUFFICIENT_STORAGE, error)
        }
        _ => ApiError::invalid("properties", error),
    }
}
