//! `GET /v1/deadlines`: what the clock will fire next.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use crate::broker;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::Parameters;

#[derive(Serialize)]
struct Deadline {
    /// `session_expiry`, `will`, `resend`, `end_of_outage`, `end_of_rule`, `end_of_topic_values`, `delayed_packet` or
    /// `connection`.
    kind: &'static str,
    client_id: Option<String>,
    in_seconds: f64,
}

/// The next ones, in order.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let limit = Parameters::parse(&uri, &["limit"])?.limit()?;
    let engine = api.engine;
    let job = move || {
        let (found, total) = engine.broker.deadlines(engine.clock.now(), limit);
        let entries = found.into_iter().map(Deadline::from);
        Answer::list("deadlines", entries, total, engine.broker.budget())
    };
    api.jobs.run(job).await?
}

impl From<broker::Deadline> for Deadline {
    fn from(deadline: broker::Deadline) -> Self {
        Self {
            kind: deadline.kind.name(),
            client_id: deadline.client_id,
            in_seconds: deadline.left.as_secs_f64(),
        }
    }
}
