//! A message as the API shows it.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::codec::PublishProperties;
use crate::message::publication::{Message, remaining_expiry};

/// Bytes of payloads in one answer. A payload that does not fit any more is left out.
pub(super) const PAYLOADS: usize = 1 << 20;

#[derive(Serialize)]
pub(super) struct Shown<'a> {
    topic: &'a str,
    /// It was published at.
    qos: u8,
    /// It was published with.
    retain: bool,
    properties: Properties<'a>,
    /// `None` if it is not UTF-8, or left out.
    payload: Option<String>,
    /// `None` if it is left out.
    payload_base64: Option<String>,
    /// Where it is in the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    /// Of one from the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(flatten)]
    left_out: Option<LeftOut>,
}

/// What there is of a payload that there is no room for.
#[derive(Serialize)]
struct LeftOut {
    payload_left_out: bool,
    /// In bytes.
    payload_size: usize,
}

/// Under the names that they are published under.
#[derive(Default, Serialize)]
pub(super) struct Properties<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_format_indicator: Option<u8>,
    /// What is left of it, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_expiry_interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<&'a str>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_data: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    user_properties: Vec<(&'a str, &'a str)>,
}

impl<'a> Shown<'a> {
    /// With its payload if there is `room` for it, of which it takes that, and unless so many bytes of it
    /// were `left_out` already.
    pub(super) fn new(
        message: &'a Message,
        left_out: Option<usize>,
        room: &mut usize,
        now: Instant,
    ) -> Self {
        let payload = message.payload();
        let left = room.checked_sub(payload.len());
        let shown = left.filter(|_| left_out.is_none()).map(|left| {
            *room = left;
            payload.to_vec()
        });
        Self {
            topic: message.topic(),
            qos: message.qos().bits(),
            retain: message.retain(),
            properties: Properties::of(message.properties(), message.expires_at(), now),
            row: Some(message.row()).filter(|row| *row > 0),
            number: None,
            payload_base64: shown.as_ref().map(|payload| STANDARD.encode(payload)),
            left_out: shown.is_none().then_some(LeftOut {
                payload_left_out: true,
                payload_size: left_out.unwrap_or(payload.len()),
            }),
            payload: shown.and_then(|payload| String::from_utf8(payload).ok()),
        }
    }

    /// With its number in the order in which messages were published, where that is known.
    pub(super) fn of_number(self, number: Option<u64>) -> Self {
        Self { number, ..self }
    }
}

impl<'a> Properties<'a> {
    /// Of a section as messages keep it, without the interval, which runs out then.
    pub(super) fn of(section: &'a [u8], expires_at: Option<Instant>, now: Instant) -> Self {
        // What is kept was read before.
        let Ok(properties) = PublishProperties::parse(section) else {
            return Self::default();
        };
        Self {
            payload_format_indicator: properties.payload_format_is_utf8.then_some(1),
            message_expiry_interval: remaining_expiry(expires_at, now),
            content_type: properties.content_type,
            response_topic: properties.response_topic,
            correlation_data: properties
                .correlation_data
                .map(|data| STANDARD.encode(data)),
            user_properties: properties.user_properties().iter().collect(),
        }
    }
}
