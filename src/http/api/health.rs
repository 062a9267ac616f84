//! `GET /healthz` and `GET /readyz`, for whoever started the broker.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::net::Shared;

use super::super::error::ApiError;

#[derive(Serialize)]
pub(in crate::http) struct Health {
    status: &'static str,
}

/// The process answers.
pub(in crate::http) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Every listener accepts: they are all bound before the first request is read, so this is so until
/// the broker stops.
pub(in crate::http) async fn readyz(
    State(shared): State<Arc<Shared>>,
) -> Result<Json<Health>, ApiError> {
    if shared.broker.is_stopping() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the broker is stopping",
        ));
    }
    Ok(Json(Health { status: "ready" }))
}
