//! `GET /v1/messages`: captures the next messages on a filter.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use std::fmt::Display;

use crate::broker::Subject;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::Parameters;
use super::super::waits::{self, Missed, Patience};
use super::message::{PAYLOADS, Shown};
use super::retained::check_filter;

/// Messages of one capture at most.
const MOST: usize = 1000;

/// The first `count` messages on `filter` from now on.
pub(super) async fn capture(
    State(api): State<Api>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["filter", "count", "wait"])?;
    let filter = parameters
        .text("filter")
        .ok_or_else(|| ApiError::invalid("filter", "missing parameter 'filter'"))?;
    check_filter(filter)?;
    let count = parameters.number("count", MOST)?.unwrap_or(1);
    let within = waits::demanded(&parameters)?;
    let capture = api.engine.broker.capture(filter, count);
    let what = format!("fewer than {count} messages");
    let subjects = [Subject::Captures];
    let is_done = |_: &_| capture.is_done();
    let waited = waits::until(&api, &patience, within, &what, &subjects, is_done).await?;
    let captured = capture.messages();
    drop(capture);
    let engine = api.engine.clone();
    let answer = move |missed: Option<&Missed>| {
        let now = engine.clock.now().now;
        let mut room = PAYLOADS;
        let messages = captured
            .iter()
            .map(|one| Shown::new(&one.message, one.left_out, &mut room, now));
        let total = captured.len();
        let numbers: [(_, &dyn Display); 1] = [("total", &total)];
        let budget = engine.broker.budget();
        Answer::list_of_wait(missed, "messages", messages, &numbers, budget)
    };
    waits::answer(&api, Some(waited), answer).await
}
