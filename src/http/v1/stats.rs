//! `GET /v1/stats`: the counters of the whole broker, and what it is to programs for AWS IoT Core.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::broker::Overview;
use crate::budget::Kind;
use crate::config::Config;

use super::super::Api;
use super::super::error::ApiError;
use super::super::query::NoParameters;

#[derive(Serialize)]
pub(in crate::http) struct Stats {
    uptime_s: u64,
    clients_connected: usize,
    sessions: usize,
    subscriptions: usize,
    groups: usize,
    retained: usize,
    queued: usize,
    in_flight: usize,
    group_queued: usize,
    memory_bytes: usize,
    /// What of it is held for what.
    memory_bytes_by_kind: BTreeMap<&'static str, usize>,
    connections_opened: u64,
    connections_refused: u64,
    packets_received: u64,
    bytes_received: u64,
    messages_received: u64,
    messages_sent: u64,
    bytes_sent: u64,
    messages_dropped: u64,
    messages_expired: u64,
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
        let stats = overview.stats;
        Self {
            uptime_s: stats.uptime.as_secs(),
            clients_connected: stats.clients_connected,
            sessions: stats.sessions,
            subscriptions: stats.subscriptions,
            groups: stats.groups,
            retained: stats.retained,
            queued: stats.queued,
            in_flight: stats.in_flight,
            group_queued: stats.group_queued,
            memory_bytes: overview.memory,
            memory_bytes_by_kind: Kind::ALL
                .iter()
                .map(|kind| kind.name())
                .zip(overview.memory_by_kind)
                .collect(),
            connections_opened: overview.connections_opened,
            connections_refused: overview.connections_refused,
            packets_received: stats.packets_received,
            bytes_received: stats.bytes_received,
            messages_received: stats.messages_received,
            messages_sent: stats.messages_sent,
            bytes_sent: stats.bytes_sent,
            messages_dropped: stats.dropped,
            messages_expired: stats.expired,
            aws: Service {
                account: config.aws.account.clone(),
                region: config.aws.region.clone(),
                endpoint_name: config.endpoint_name.clone(),
            },
        }
    }
}
