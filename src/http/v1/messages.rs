//! `GET /v1/messages`: captures the next messages on a filter, or those since a row of the journal.

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
use super::journal::{check_journal, unsaid};
use super::message::{PAYLOADS, Shown};
use super::retained::check_filter;

/// Messages of one capture at most.
const MOST: usize = 1000;

/// The first `count` messages on `filter` from now on, or behind the row `since` of the journal.
pub(super) async fn capture(
    State(api): State<Api>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["filter", "count", "since", "wait"])?;
    let filter = parameters
        .text("filter")
        .ok_or_else(|| ApiError::invalid("filter", "missing parameter 'filter'"))?;
    check_filter(filter)?;
    let count = parameters.number("count", MOST)?.unwrap_or(1);
    let since = parameters.number("since", usize::MAX)?;
    let within = waits::demanded(&parameters)?;
    let broker = &api.engine.broker;
    let capture = match since {
        Some(since) => {
            check_journal(broker)?;
            let capture = broker.capture_since(filter, since as u64, count);
            capture.map_err(|why| unsaid("which were the first", why))?
        }
        None => broker.capture(filter, count),
    };
    let what = format!("fewer than {count} messages");
    let (time, subjects) = ((within, what.as_str()), [Subject::Captures]);
    let is_done = |_: &_| capture.is_done().then_some(());
    let waited = waits::until(&api, &patience, time, &subjects, is_done, |_| None);
    let (waited, _) = waited.await?;
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
