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

/// What nobody can say where the journal has gaps.
const FIRST: &str = "which were the first";

/// The first `count` messages on `filter` from now on, or behind the row `since` of the journal and the message `after`
/// in it.
pub(super) async fn capture(
    State(api): State<Api>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["filter", "count", "since", "after", "wait"])?;
    let filter = parameters
        .text("filter")
        .ok_or_else(|| ApiError::invalid("filter", "missing parameter 'filter'"))?;
    check_filter(filter)?;
    let count = parameters.number("count", MOST)?.unwrap_or(1);
    let since = parameters.number("since", usize::MAX)?;
    let after = parameters.number("after", usize::MAX)?;
    if after.is_some() && since.is_none() {
        let reason =
            "parameter 'after' goes on where messages behind 'since' end, which is missing";
        return Err(ApiError::invalid("after", reason));
    }
    let within = waits::demanded(&parameters)?;
    let broker = &api.engine.broker;
    let capture = match since {
        Some(since) => {
            check_journal(broker)?;
            let place = (since as u64, after.unwrap_or(0) as u64);
            let capture = broker.capture_since(filter, place, count);
            capture.map_err(|why| unsaid(FIRST, why))?
        }
        None => broker.capture(filter, count),
    };
    let what = format!("fewer than {count} messages");
    let (time, subjects) = ((within, what.as_str()), [Subject::Captures]);
    let is_done = |_: &_| capture.is_done().then_some(());
    let waited = waits::until(&api, &patience, time, &subjects, is_done, |_| None);
    let (waited, _) = waited.await?;
    let captured = capture.messages().map_err(|why| unsaid(FIRST, why))?;
    drop(capture);
    let engine = api.engine.clone();
    let answer = move |missed: Option<&Missed>| {
        let now = engine.clock.now().now;
        let mut room = PAYLOADS;
        let messages = captured.iter().map(|one| {
            Shown::new(&one.message, one.left_out, &mut room, now).of_number(one.number)
        });
        let total = captured.len();
        let numbers: [(_, &dyn Display); 1] = [("total", &total)];
        let budget = engine.broker.budget();
        Answer::list_of_wait(missed, "messages", messages, &numbers, budget)
    };
    waits::answer(&api, Some(waited), answer).await
}
