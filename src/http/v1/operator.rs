//! `POST /v1/reset` and `POST /v1/outage`: what an operator does to the whole broker.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::engine::operator;

use super::super::Api;
use super::super::body::JsonBody;
use super::super::error::ApiError;
use super::super::query::NoParameters;

/// The longest outage.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What there was before.
#[derive(Serialize)]
pub(super) struct Reset {
    disconnected: usize,
    sessions: usize,
    retained: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    seconds: f64,
}

#[derive(Serialize)]
pub(super) struct Outage {
    /// How long it lasts from now on; 0: there is none.
    seconds: f64,
    /// Connections that were lost.
    lost: usize,
}

/// Answers when all is done. It goes on to its end, whether or not somebody waits for the answer.
pub(super) async fn reset(
    State(api): State<Api>,
    _: NoParameters,
) -> Result<Json<Reset>, ApiError> {
    let (tell, done) = oneshot::channel();
    let tasks = api.tasks.clone();
    tasks.spawn(async move {
        let done = operator::reset(&api.engine).await;
        #[cfg(feature = "aws")]
        api.host.forget();
        tracing::info!(?done, "reset through the control API");
        // Whoever asked may be gone.
        let _ = tell.send(done);
    });
    let done = done.await.map_err(|_| {
        let error = "the broker is stopping";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error)
    })?;
    Ok(Json(Reset {
        disconnected: done.disconnected,
        sessions: done.sessions,
        retained: done.retained,
    }))
}

/// Answers when all connections are lost.
pub(super) async fn outage(
    State(api): State<Api>,
    _: NoParameters,
    body: JsonBody,
) -> Result<Json<Outage>, ApiError> {
    let Wanted { seconds } = body.parse()?;
    let lasts = Duration::try_from_secs_f64(seconds).ok();
    let lasts = lasts.filter(|lasts| *lasts <= LONGEST).ok_or_else(|| {
        let error = format!("{seconds} is not a time of up to {} s", LONGEST.as_secs());
        ApiError::invalid("seconds", error)
    })?;
    let lost = operator::outage(&api.engine, lasts).await;
    tracing::info!(seconds, lost, "outage through the control API");
    Ok(Json(Outage {
        seconds: lasts.as_secs_f64(),
        lost,
    }))
}
