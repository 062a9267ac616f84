//! `GET /healthz` and `GET /readyz`, for whoever started the broker.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Api;
use super::error::ApiError;
use super::query::NoParameters;

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

/// The process answers.
pub(super) async fn healthz(_: NoParameters) -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Every listener accepts: they are all bound before the first request is read, so this is so until
/// the broker stops, or has an outage.
pub(super) async fn readyz(
    State(api): State<Api>,
    _: NoParameters,
) -> Result<Json<Health>, ApiError> {
    if api.engine.broker.is_stopping() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the broker is stopping",
        ));
    }
    if let Some(left) = api.engine.broker.outage_left(api.engine.clock.now().now) {
        let error = format!("there is an outage for another {:.1} s", left.as_secs_f64());
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error));
    }
    Ok(Json(Health { status: "ready" }))
}
