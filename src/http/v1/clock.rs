//! `/v1/clock`: the time on which every expiry and delay runs, and its jump forward.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::Engine;
use crate::engine::timekeeper::{self, AdvanceError};

use super::super::Api;
use super::super::body::JsonBody;
use super::super::error::ApiError;
use super::super::query::NoParameters;

#[derive(Serialize)]
pub(super) struct Clock {
    /// RFC 3339, in UTC.
    now: String,
    /// How far it is ahead of the system's time.
    ahead_seconds: f64,
    /// How many times as fast it runs.
    scale: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: f64,
    /// Whether live connections notice.
    #[serde(default)]
    keep_alive: bool,
}

pub(super) async fn show(State(api): State<Api>, _: NoParameters) -> Json<Clock> {
    Json(clock(&api.engine))
}

/// Returns when all that was due by then is done.
pub(super) async fn advance(
    State(api): State<Api>,
    _: NoParameters,
    body: JsonBody,
) -> Result<Json<Clock>, ApiError> {
    let Advance {
        seconds,
        keep_alive,
    } = body.parse()?;
    let by = Duration::try_from_secs_f64(seconds).map_err(|_| {
        ApiError::invalid(
            "seconds",
            format!("{seconds} is no time to move forward by"),
        )
    })?;
    timekeeper::advance(&api.engine, by, keep_alive)
        .await
        .map_err(|error| match error {
            AdvanceError::TooFar => ApiError::invalid("seconds", error.to_string()),
            AdvanceError::Stopped => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        })?;
    tracing::info!(
        seconds,
        keep_alive,
        "clock advanced through the control API"
    );
    Ok(Json(clock(&api.engine)))
}

fn clock(engine: &Engine) -> Clock {
    let now = OffsetDateTime::from(engine.clock.date());
    Clock {
        // It fails only for years beyond 9999.
        now: now.format(&Rfc3339).unwrap_or_default(),
        ahead_seconds: engine.clock.ahead().as_secs_f64(),
        scale: engine.clock.scale(),
    }
}
