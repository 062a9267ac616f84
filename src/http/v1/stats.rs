//! `GET /v1/stats`: the counters of the whole broker, and what it is to programs for AWS IoT Core.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::broker::Overview;
use crate::budget::Kind;
use crate::engine::Engine;
use crate::server;

use super::super::Api;
use super::super::error::ApiError;
use super::super::query::NoParameters;

#[derive(Serialize)]
pub(in crate::http) struct Stats {
    #[serde(flatten)]
    counters: server::Stats,
    /// What of the memory is held for what.
    memory_bytes_by_kind: BTreeMap<&'static str, usize>,
    aws: Service,
    faults: Faults,
}

/// What is made to go wrong on purpose.
#[derive(Serialize)]
struct Faults {
    /// Packet rules that are set and may still act.
    rules: usize,
    /// Packets that they hold.
    held: usize,
    /// How long an outage lasts from now on; `None`: there is none.
    outage_s: Option<f64>,
    /// How far the broker's clock is ahead of the system's time.
    clock_ahead_s: f64,
    /// How many times as fast it runs.
    clock_scale: f64,
}

impl Faults {
    fn new(engine: &Engine) -> Self {
        let now = engine.clock.now().now;
        let (rules, held) = engine.broker.tap().counts(now);
        Self {
            rules,
            held,
            outage_s: (engine.broker.outage_left(now)).map(|left| left.as_secs_f64()),
            clock_ahead_s: engine.clock.ahead().as_secs_f64(),
            clock_scale: engine.clock.scale(),
        }
    }
}

/// What programs for AWS IoT Core have to know.
#[derive(Serialize)]
struct Service {
    account: String,
    region: String,
    /// What DescribeEndpoint answers.
    endpoint_name: String,
}

pub(super) async fn show(State(api): State<Api>, _: NoParameters) -> Result<Json<Stats>, ApiError> {
    let overview = api.overview().await?;
    Ok(Json(Stats::new(overview, &api.engine)))
}

impl Stats {
    pub(in crate::http) fn new(overview: Overview, engine: &Engine) -> Self {
        let config = engine.broker.config();
        Self {
            counters: overview.into(),
            memory_bytes_by_kind: Kind::ALL
                .iter()
                .map(|kind| kind.name())
                .zip(overview.memory_by_kind)
                .collect(),
            aws: Service {
                account: config.aws.account.clone(),
                region: config.aws.region.clone(),
                endpoint_name: config.endpoint_name.clone(),
            },
            faults: Faults::new(engine),
        }
    }
}
