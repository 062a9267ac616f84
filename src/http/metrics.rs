//! `GET /metrics`: the broker's counters as Prometheus text, or as OpenMetrics text for who asks for
//! that.
//!
//! Nothing is counted here: each scrape takes one [`Overview`] from the broker, which sums up all
//! sessions and groups for it, away from the worker threads.

use std::collections::HashMap;
use std::fmt;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::broker::Overview;
use crate::engine::Histogram;

use super::Api;
use super::error::ApiError;
use super::query::NoParameters;

const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer to a scrape.
pub(super) async fn scrape(
    State(api): State<Api>,
    _: NoParameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let accepted = headers.get_all(ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    let is_open = accepted.any(|value| value.contains("application/openmetrics-text"));
    let overview = api.overview().await?;
    let profile = api.engine.broker.config().profile.name();
    let turns = Turns(api.turns.histogram());
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry(overview, turns, profile))
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(match is_open {
        true => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        false => ([(CONTENT_TYPE, PLAIN)], plain(&text)).into_response(),
    })
}

/// The metrics of one scrape.
fn registry(overview: Overview, turns: Turns, profile: &'static str) -> Registry {
    let mut registry = Registry::with_prefix("roundel");
    let facts = [("version", env!("CARGO_PKG_VERSION")), ("profile", profile)];
    registry.register(
        "build",
        "Version and profile of the broker",
        Info::new(facts.to_vec()),
    );
    registry.register_collector(Box::new(BrokerMetrics(overview)));
    let help = "How long tasks kept a worker from other tasks";
    registry.register_with_unit("turn", help, Unit::Seconds, turns);
    registry
}

/// OpenMetrics text in Prometheus's own, older form: HELP and TYPE bear the names of the samples, and
/// there is neither UNIT nor EOF nor a type for what only informs.
fn plain(open_metrics: &str) -> String {
    let types: HashMap<&str, &str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let sample = |family| match types.get(family) {
        Some(&"counter") => format!("{family}_total"),
        Some(&"info") => format!("{family}_info"),
        _ => String::from(family),
    };
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match *words {
            ["#", "EOF"] | ["#", "UNIT", ..] => continue,
            ["#", "TYPE", family, "info"] => text += &format!("# TYPE {} gauge", sample(family)),
            ["#", keyword, family, rest] => {
                text += &format!("# {keyword} {} {rest}", sample(family));
            }
            _ => text += line,
        }
        text.push('\n');
    }
    text
}

#[derive(Debug)]
struct BrokerMetrics(Overview);

impl Collector for BrokerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(overview) = self;
        let uptime = ConstGauge::new(overview.stats.uptime.as_secs_f64());
        let help = "Time since the broker started, on its own clock";
        write(&mut encoder, "uptime", help, Some(&Unit::Seconds), &uptime)?;
        encode_gauges(overview, &mut encoder)?;
        encode_counters(overview, &mut encoder)
    }
}

/// The turns of all workers.
#[derive(Debug)]
struct Turns(Histogram);

impl EncodeMetric for Turns {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Self(Histogram { classes, time }) = self;
        let count = classes.iter().map(|class| class.1).sum();
        encoder.encode_histogram::<NoLabelSet>(time.as_secs_f64(), count, classes, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

fn encode_gauges(overview: &Overview, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let stats = &overview.stats;
    for (name, help, value) in [
        (
            "clients_connected",
            "Clients with a connection",
            stats.clients_connected,
        ),
        (
            "sessions",
            "Sessions, with or without a connection",
            stats.sessions,
        ),
        (
            "subscriptions",
            "Subscriptions of all sessions",
            stats.subscriptions,
        ),
        ("shared_groups", "Shared subscription groups", stats.groups),
        ("retained_messages", "Retained messages", stats.retained),
        (
            "queued_messages",
            "Messages that wait in sessions",
            stats.queued,
        ),
        (
            "in_flight_messages",
            "Messages sent and not acknowledged",
            stats.in_flight,
        ),
        (
            "shared_queued_messages",
            "Messages that wait in shared groups",
            stats.group_queued,
        ),
    ] {
        write(encoder, name, help, None, &ConstGauge::new(as_i64(value)))?;
    }
    let memory = ConstGauge::new(as_i64(overview.memory));
    let help = "What the broker holds for its peers, as it accounts for it";
    write(encoder, "memory", help, Some(&Unit::Bytes), &memory)
}

fn encode_counters(overview: &Overview, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let stats = &overview.stats;
    for (name, help, unit, value) in [
        (
            "connections_opened",
            "Connections accepted",
            None,
            overview.connections_opened,
        ),
        (
            "connections_refused",
            "Connections refused, or ended before a client was connected",
            None,
            overview.connections_refused,
        ),
        (
            "packets_received",
            "Packets from clients",
            None,
            stats.packets_received,
        ),
        (
            "received",
            "Data from clients",
            Some(&Unit::Bytes),
            stats.bytes_received,
        ),
        (
            "messages_received",
            "Messages from clients",
            None,
            stats.messages_received,
        ),
        (
            "messages_sent",
            "Messages to clients",
            None,
            stats.messages_sent,
        ),
        (
            "sent",
            "Data to clients",
            Some(&Unit::Bytes),
            stats.bytes_sent,
        ),
        (
            "messages_dropped",
            "Messages dropped for want of room or receiver",
            None,
            stats.dropped,
        ),
        (
            "messages_expired",
            "Messages whose expiry interval ran out",
            None,
            stats.expired,
        ),
    ] {
        write(encoder, name, help, unit, &ConstCounter::new(value))?;
    }
    Ok(())
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    // The registry ends the text of registered metrics with a full stop, not that of collected ones.
    let help = format!("{help}.");
    metric.encode(encoder.encode_descriptor(name, &help, unit, metric.metric_type())?)
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
