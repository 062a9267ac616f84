//! What a broker counts, and what its clock will fire.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::broker;

use super::Handle;

/// Counters of the whole broker, and sums over what there is in it. They are written as in `/v1/stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Since its start, by its clock.
    #[serde(rename = "uptime_s", serialize_with = "whole_seconds")]
    pub uptime: Duration,
    /// Clients that have a connection.
    pub clients_connected: usize,
    /// Clients, connected or with a session that is kept.
    pub sessions: usize,
    /// Subscriptions of all of them.
    pub subscriptions: usize,
    /// Shared groups.
    pub groups: usize,
    /// Retained messages.
    pub retained: usize,
    /// Messages that wait for clients.
    pub queued: usize,
    /// Messages of QoS 1 and 2 to clients that are not acknowledged.
    pub in_flight: usize,
    /// Messages that wait in shared groups.
    pub group_queued: usize,
    /// Bytes that are held for clients, as they are charged to `limits.memory`.
    pub memory_bytes: usize,
    /// Connections that were taken.
    pub connections_opened: u64,
    /// Connections that were not, or that ended before they were accepted.
    pub connections_refused: u64,
    /// Packets from clients.
    pub packets_received: u64,
    /// Bytes from clients.
    pub bytes_received: u64,
    /// PUBLISH packets from clients.
    pub messages_received: u64,
    /// PUBLISH packets to clients.
    pub messages_sent: u64,
    /// Bytes to clients.
    pub bytes_sent: u64,
    /// Messages that somebody did not get, for want of room or for their size.
    pub messages_dropped: u64,
    /// Messages that somebody did not get because they expired.
    pub messages_expired: u64,
}

fn whole_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}

impl From<broker::Overview> for Stats {
    fn from(overview: broker::Overview) -> Self {
        let stats = overview.stats;
        Self {
            uptime: stats.uptime,
            clients_connected: stats.clients_connected,
            sessions: stats.sessions,
            subscriptions: stats.subscriptions,
            groups: stats.groups,
            retained: stats.retained,
            queued: stats.queued,
            in_flight: stats.in_flight,
            group_queued: stats.group_queued,
            memory_bytes: overview.memory,
            connections_opened: overview.connections_opened,
            connections_refused: overview.connections_refused,
            packets_received: stats.packets_received,
            bytes_received: stats.bytes_received,
            messages_received: stats.messages_received,
            messages_sent: stats.messages_sent,
            bytes_sent: stats.bytes_sent,
            messages_dropped: stats.dropped,
            messages_expired: stats.expired,
        }
    }
}

/// Something that a broker does when its time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadline {
    /// `session_expiry`, `will`, `resend`, `end_of_outage`, `end_of_rule`, `end_of_topic_values`, `delayed_packet`, which goes on
    /// then; or `connection`, which looks at its own timers then: Keep Alive, the time to CONNECT, a socket that takes
    /// nothing.
    pub kind: &'static str,
    /// Whom it is about, if it is about a client.
    pub client_id: Option<String>,
    /// When, from now on: by the time of live connections for a `connection`, by the broker's clock for all others.
    pub within: Duration,
}

impl From<broker::Deadline> for Deadline {
    fn from(deadline: broker::Deadline) -> Self {
        Self {
            kind: deadline.kind.name(),
            client_id: deadline.client_id,
            within: deadline.left,
        }
    }
}

/// What it counts. Both look at every session; where there are very many, they belong on a
/// thread that may block.
impl Handle {
    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let engine = &self.shared.engine;
        engine.broker.overview(engine.clock.now().now).into()
    }

    /// What the clock will fire, the next first. [`BrokerClock::advance`](super::BrokerClock::advance) gets there at
    /// once. Messages have no deadlines: those that have expired are found when they are to go out.
    #[must_use]
    pub fn deadlines(&self) -> Vec<Deadline> {
        let engine = &self.shared.engine;
        let (deadlines, _) = engine.broker.deadlines(engine.clock.now(), usize::MAX);
        deadlines.into_iter().map(Deadline::from).collect()
    }
}
