//! The HTTP control API: what the broker looks like from inside, and the few things that an operator
//! or a test does to it. It holds no state of its own; every answer is read from the broker.
//!
//! A listener on the loopback interface is in reach of every web page that a browser on this machine
//! shows. [`guard`] stands in front of every handler and lets none of them in.

mod api;
mod body;
mod error;
mod guard;
mod metrics;
mod query;
mod serve;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::config::Limits;
use crate::net::Shared;

use error::ApiError;

pub(crate) use serve::serve;

/// What a request body may have beyond the largest payload, in bytes: names, quotes, properties.
const BODY_ALLOWANCE: usize = 1 << 20;

/// Every path that exists; `openapi.json` describes the same.
fn router(shared: &Arc<Shared>) -> Router {
    let registry = Arc::new(metrics::registry(shared.clone()));
    Router::new()
        .route("/healthz", get(api::health::healthz))
        .route("/readyz", get(api::health::readyz))
        .route(
            "/metrics",
            get(move |headers: HeaderMap| std::future::ready(metrics::scrape(&registry, &headers))),
        )
        .route("/v1/stats", get(api::stats::show))
        .route("/v1/clients", get(api::clients::list))
        .route(
            "/v1/clients/{id}",
            get(api::clients::show).delete(api::clients::disconnect),
        )
        .route("/v1/groups", get(api::groups::list))
        .route("/v1/topics", get(api::topics::list))
        .route("/v1/retained", get(api::retained::list))
        .route("/v1/publish", post(api::publish::publish))
        .route("/v1/openapi.json", get(api::openapi::show))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(body_limit(
            &shared.broker.config().limits,
        )))
        .layer(from_fn_with_state(shared.clone(), guard::admit))
        .with_state(shared.clone())
}

/// The largest request body, in bytes.
fn body_limit(limits: &Limits) -> usize {
    let payload = limits.payload_size.unwrap_or(limits.packet_size);
    payload as usize + BODY_ALLOWANCE
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("no path '{}'", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::wrong_method(format!("{method} is not for '{}'", uri.path()))
}
