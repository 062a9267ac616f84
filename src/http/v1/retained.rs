//! `GET /v1/retained`: retained messages.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::message::publication::Message;
use crate::topic::Filter;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::Parameters;

/// Bytes of payloads in one answer. A payload that does not fit any more is left out.
const PAYLOADS: usize = 1 << 20;

#[derive(Serialize)]
struct Retained<'a> {
    topic: &'a str,
    qos: u8,
    /// `None` if it is not UTF-8, or left out.
    payload: Option<String>,
    /// `None` if it is left out.
    payload_base64: Option<String>,
    #[serde(flatten)]
    left_out: Option<LeftOut>,
}

/// What there is of a payload that the answer has no room for.
#[derive(Serialize)]
struct LeftOut {
    payload_left_out: bool,
    /// In bytes.
    payload_size: usize,
}

/// A page of the messages that match `filter`, by topic.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["filter", "after", "limit", "q"])?;
    let filter = parameters.owned("filter");
    if let Some(filter) = &filter {
        check_filter(filter)?;
    }
    let page = parameters.page()?;
    let engine = api.engine;
    let job = move || {
        let now = engine.clock.now().now;
        let found = engine
            .broker
            .retained_page(filter.as_deref(), &page.as_page(), now);
        let mut room = PAYLOADS;
        let messages = found.entries.iter();
        let messages = messages.map(|kept| Retained::of(&kept.message, &mut room));
        Answer::list("retained", messages, found.total, engine.broker.budget())
    };
    api.jobs.run(job).await?
}

fn check_filter(filter: &str) -> Result<(), ApiError> {
    match Filter::parse(filter) {
        Ok(parsed) if parsed.share.is_none() => Ok(()),
        Ok(_) => Err(ApiError::invalid(
            "filter",
            format!("filter '{filter}' is shared"),
        )),
        Err(error) => Err(ApiError::invalid("filter", error.to_string())),
    }
}

impl<'a> Retained<'a> {
    /// With its payload if there is `room` for it, of which it takes that.
    fn of(message: &'a Message, room: &mut usize) -> Self {
        let payload = message.payload();
        let shown = room.checked_sub(payload.len()).map(|left| {
            *room = left;
            payload.to_vec()
        });
        Self {
            topic: message.topic(),
            qos: message.qos().bits(),
            payload_base64: shown.as_ref().map(|payload| STANDARD.encode(payload)),
            left_out: shown.is_none().then_some(LeftOut {
                payload_left_out: true,
                payload_size: payload.len(),
            }),
            payload: shown.and_then(|payload| String::from_utf8(payload).ok()),
        }
    }
}
