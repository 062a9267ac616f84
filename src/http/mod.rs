//! The HTTP control API: what the broker looks like from inside, and the few things that an operator
//! or a test does to it. It holds no state of its own; every answer is read from the broker.
//!
//! A listener on the loopback interface is in reach of every web page that a browser on this machine
//! shows. [`guard`] stands in front of every handler and lets none of them in.
//!
//! What a caller can make the broker hold, bodies and answers, is charged to the broker's budget before
//! it is held. Not charged, and bounded by a constant per connection, are the buffers of [`mod@serve`] and
//! answers that are short whatever is asked: an error, health, counters. What takes long runs as one of few [`jobs`](jobs::Jobs), or is shared by all who ask for it; and a connection that does nothing
//! is closed ([`activity`]).

mod activity;
mod answer;
mod api;
mod body;
mod error;
mod guard;
mod jobs;
mod metrics;
mod query;
mod serve;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::broker::Overview;
use crate::config::Limits;
use crate::engine::{Engine, Turns};
use crate::net::{Seldom, Tasks};

use error::{ApiError, excerpt};
use jobs::{Jobs, SharedJob};

pub(crate) use serve::serve;

/// What a request body may have beyond the largest payload, in bytes: names, quotes, properties.
const BODY_ALLOWANCE: usize = 1 << 20;

/// What a server hands to its API.
pub(crate) struct Parts {
    pub(crate) engine: Arc<Engine>,
    /// Connections are spawned on them.
    pub(crate) tasks: Tasks,
    /// Shown as a metric.
    pub(crate) turns: Arc<Turns>,
    /// The log line on listeners that cannot accept.
    pub(crate) cannot_accept: Arc<Seldom>,
}

/// What every handler works with.
#[derive(Clone)]
struct Api {
    engine: Arc<Engine>,
    tasks: Tasks,
    turns: Arc<Turns>,
    jobs: Jobs,
    overview: Arc<SharedJob<Overview>>,
}

impl Api {
    /// The broker's counters at this moment. All sessions are summed up for them.
    async fn overview(&self) -> Result<Overview, ApiError> {
        let engine = self.engine.clone();
        let job = move || engine.broker.overview(engine.clock.now().now);
        self.overview.run(job).await
    }
}

/// Every path that exists; `openapi.json` describes the same.
fn router(parts: &Parts) -> Router {
    let api = Api {
        engine: parts.engine.clone(),
        tasks: parts.tasks.clone(),
        turns: parts.turns.clone(),
        jobs: Jobs::new(),
        overview: Arc::new(SharedJob::new()),
    };
    Router::new()
        .route("/healthz", get(api::health::healthz))
        .route("/readyz", get(api::health::readyz))
        .route("/metrics", get(metrics::scrape))
        .route("/v1/stats", get(api::stats::show))
        .route("/v1/clients", get(api::clients::list))
        .route(
            "/v1/clients/{id}",
            get(api::clients::show).delete(api::clients::disconnect),
        )
        .route("/v1/groups", get(api::groups::list))
        .route("/v1/topics", get(api::topics::list))
        .route("/v1/retained", get(api::retained::list))
        .route("/v1/clock", get(api::clock::show))
        .route("/v1/clock/advance", post(api::clock::advance))
        .route("/v1/publish", post(api::publish::publish))
        .route("/v1/openapi.json", get(api::openapi::show))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(parts.engine.clone(), guard::admit))
        .with_state(api)
}

/// The largest request body, in bytes.
fn body_limit(limits: &Limits) -> usize {
    let payload = limits.payload_size.unwrap_or(limits.packet_size);
    payload as usize + BODY_ALLOWANCE
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("no path '{}'", excerpt(uri.path())))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let (method, path) = (excerpt(method.as_str()), excerpt(uri.path()));
    ApiError::wrong_method(format!("{method} is not for '{path}'"))
}
