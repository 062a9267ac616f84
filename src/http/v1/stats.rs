//! `GET /v1/stats`: the counters of the whole broker, and what it is to programs for AWS IoT Core.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::broker::Overview;
use crate::budget::Kind;
use crate::config::Config;
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
    Ok(Json(Stats::new(overview, api.engine.broker.config())))
}

impl Stats {
    pub(in crate::http) fn new(overview: Overview, config: &Config) -> Self {
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
        }
    }
}
