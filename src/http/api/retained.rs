//! `GET /v1/retained`: retained messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::broker::RetainedSnapshot;
use crate::net::Shared;
use crate::topic::Filter;

use super::super::error::ApiError;
use super::super::query::Parameters;

/// Messages in an answer unless the request says otherwise.
const DEFAULT_LIMIT: usize = 1000;

#[derive(Serialize)]
pub(in crate::http) struct RetainedMessages {
    retained: Vec<Retained>,
    /// Messages that match, shown or not.
    total: usize,
}

#[derive(Serialize)]
struct Retained {
    topic: String,
    qos: u8,
    /// `None` if it is not UTF-8.
    payload: Option<String>,
    payload_base64: String,
}

/// The first `limit` messages, by topic, of those that match `filter`.
pub(in crate::http) async fn list(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Json<RetainedMessages>, ApiError> {
    let parameters = Parameters::parse(&uri, &["filter", "limit"])?;
    let filter = parameters.text("filter");
    if let Some(filter) = filter {
        check_filter(filter)?;
    }
    let limit = parameters.count("limit")?.unwrap_or(DEFAULT_LIMIT);
    let now = shared.clock.now();
    let (retained, total) = shared.broker.retained_messages(filter, limit, now);
    let retained = retained.into_iter().map(Retained::from).collect();
    Ok(Json(RetainedMessages { retained, total }))
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

impl From<RetainedSnapshot> for Retained {
    fn from(message: RetainedSnapshot) -> Self {
        Self {
            topic: message.topic,
            qos: message.qos.bits(),
            payload_base64: STANDARD.encode(&message.payload),
            payload: String::from_utf8(message.payload).ok(),
        }
    }
}
