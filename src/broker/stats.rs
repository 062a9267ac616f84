//! The broker's counters, as `$SYS` shows them.
//!
//! Summing up many sessions and groups takes long: that is not for a worker thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Broker;
use super::session::Session;

/// Counters of the whole broker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) uptime: Duration,
    pub(crate) clients_connected: usize,
    pub(crate) sessions: usize,
    pub(crate) subscriptions: usize,
    pub(crate) groups: usize,
    pub(crate) retained: usize,
    pub(crate) queued: usize,
    pub(crate) in_flight: usize,
    /// Messages that wait in shared groups.
    pub(crate) group_queued: usize,
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) dropped: u64,
    pub(crate) expired: u64,
}

impl Broker {
    /// The counters, and sums over all sessions and groups, each of which is locked by itself.
    pub(crate) fn stats(&self, now: Instant) -> Stats {
        let counters = &self.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = Stats {
            uptime: now.saturating_duration_since(self.started),
            clients_connected: self.connected.load(Ordering::Relaxed),
            sessions: self.sessions.len(),
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            retained: self.retained.len(),
            packets_received: load(&counters.packets_received),
            bytes_received: load(&counters.bytes_received),
            messages_received: load(&counters.messages_received),
            messages_sent: load(&counters.messages_sent),
            bytes_sent: load(&counters.bytes_sent),
            dropped: load(&counters.dropped),
            expired: load(&counters.expired),
            ..Stats::default()
        };
        for session in self.all_sessions() {
            session.add_to(&mut stats);
        }
        self.group_names.visit(None, |group| {
            let totals = group.totals();
            stats.group_queued += totals.queued;
            stats.dropped += totals.dropped;
            stats.expired += totals.expired;
            true
        });
        stats
    }
}

impl Session {
    fn add_to(&self, stats: &mut Stats) {
        let traffic = {
            let slot = self.slot();
            slot.facts
                .as_ref()
                .map(|facts| facts.traffic.totals())
                .unwrap_or_default()
        };
        stats.packets_received += traffic.packets;
        stats.bytes_received += traffic.bytes;
        stats.messages_received += traffic.messages;
        let outbox = self.outbox();
        stats.queued += outbox.queued();
        stats.in_flight += outbox.window.len();
        stats.messages_sent += outbox.sent.messages;
        stats.bytes_sent += outbox.sent.bytes;
        stats.dropped += outbox.sent.dropped;
        stats.expired += outbox.sent.expired;
    }
}
