//! `GET /v1/refused-calls`: operations of the service that somebody called and that are not implemented.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::NoParameters;

#[derive(Serialize)]
struct RefusedCall {
    service: String,
    operation: String,
    count: u64,
}

/// All of them, by name.
pub(super) async fn list(_: NoParameters, State(api): State<Api>) -> Result<Response, ApiError> {
    let calls = api.host.refused_calls.list();
    let total = calls.len();
    let calls = calls
        .into_iter()
        .map(|(service, operation, count)| RefusedCall {
            service,
            operation,
            count,
        });
    Answer::list("refused_calls", calls, total, api.engine.broker.budget())
}
