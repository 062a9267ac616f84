//! `POST /v1/publish`: a message from nobody.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::broker::{Dirty, OutsideMessage};
use crate::codec::{MessageProperties, QoS, ReasonCode};
use crate::conn::violation::Violation;
use crate::net::Shared;

use super::super::body::JsonBody;
use super::super::error::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Request {
    topic: String,
    /// The payload as text; either this or the next.
    payload: Option<String>,
    payload_base64: Option<String>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    /// 0 or 1: whether the payload is said to be UTF-8.
    payload_format_indicator: Option<u8>,
    /// In seconds.
    message_expiry_interval: Option<u32>,
    content_type: Option<String>,
    response_topic: Option<String>,
    /// In base64.
    correlation_data: Option<String>,
    #[serde(default)]
    user_properties: Vec<(String, String)>,
}

#[derive(Serialize)]
pub(in crate::http) struct Published {
    /// Whether anybody subscribes to the topic.
    matched: bool,
    /// Clients with a plain subscription that matches.
    subscribers: usize,
    /// Shared groups that match.
    groups: usize,
}

pub(in crate::http) async fn publish(
    State(shared): State<Arc<Shared>>,
    JsonBody(request): JsonBody<Request>,
) -> Result<Json<Published>, ApiError> {
    let correlation_data = request.properties.correlation_data()?;
    let message = OutsideMessage {
        topic: &request.topic,
        payload: &request.payload()?,
        qos: request.qos()?,
        retain: request.retain,
        properties: request.properties.as_message(correlation_data.as_deref())?,
    };
    let mut dirty = Dirty::default();
    let context = shared.broker.context(shared.clock.now());
    let published = shared
        .broker
        .publish_message(&message, &context, &mut dirty);
    super::flush(&shared, dirty).await;
    let reach = published.map_err(refusal)?;
    Ok(Json(Published {
        matched: reach.subscribers + reach.groups > 0,
        subscribers: reach.subscribers,
        groups: reach.groups,
    }))
}

impl Request {
    fn payload(&self) -> Result<Cow<'_, [u8]>, ApiError> {
        match (&self.payload, &self.payload_base64) {
            (Some(text), None) => Ok(text.as_bytes().into()),
            (None, Some(base64)) => decode_base64("payload_base64", base64).map(Cow::from),
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
