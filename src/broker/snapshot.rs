//! The broker's state as the HTTP API and `$SYS` show it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::codec::{QoS, Version};

use super::Broker;
use super::facts::{ConnectionFacts, TrafficTotals};
use super::group::GroupSnapshot;
use super::lifecycle::NEVER;
use super::session::{Session, State};

/// A session, with its connection if it has one.
#[derive(Clone, Debug)]
pub(crate) struct ClientSnapshot {
    pub(crate) client_id: String,
    pub(crate) connected: bool,
    pub(crate) version: Version,
    pub(crate) facts: Option<Arc<ConnectionFacts>>,
    /// `None`: never.
    pub(crate) session_expiry: Option<Duration>,
    pub(crate) connected_for: Option<Duration>,
    pub(crate) subscriptions: Vec<SubscriptionSnapshot>,
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
    pub(crate) messages_sent: u64,
    pub(crate) dropped: u64,
    pub(crate) traffic: TrafficTotals,
}

/// A subscription of a session.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionSnapshot {
    pub(crate) filter: String,
    pub(crate) qos: QoS,
}

/// A filter and who is behind it.
#[derive(Clone, Debug)]
pub(crate) struct TopicSnapshot {
    pub(crate) filter: String,
    pub(crate) subscribers: usize,
    pub(crate) groups: usize,
}

/// A retained message.
#[derive(Clone, Debug)]
pub(crate) struct RetainedSnapshot {
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) payload: Vec<u8>,
}

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
    pub(crate) connections_opened: u64,
    pub(crate) connections_refused: u64,
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) dropped: u64,
    pub(crate) expired: u64,
    /// Bytes that queues hold, in steps.
    pub(crate) memory: usize,
}

impl Broker {
    /// Every session, ordered by client identifier.
    pub(crate) fn clients(&self, now: Instant) -> Vec<ClientSnapshot> {
        let mut clients: Vec<_> = self
            .all_sessions()
            .iter()
            .filter_map(|session| session.snapshot(now))
            .collect();
        clients.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        clients
    }

    pub(crate) fn client(&self, client_id: &str, now: Instant) -> Option<ClientSnapshot> {
        self.find(client_id)?.snapshot(now)
    }

    pub(crate) fn find(&self, client_id: &str) -> Option<Arc<Session>> {
        self.sessions
            .get(client_id)
            .map(|found| found.value().clone())
    }

    /// All sessions at this moment; the registry is not locked while they are looked at.
    pub(crate) fn all_sessions(&self) -> Vec<Arc<Session>> {
        let sessions = self.sessions.iter().map(|entry| entry.value().clone());
        let mut sessions: Vec<_> = sessions.collect();
        // In the order they were made, which a run with the same seed repeats.
        sessions.sort_unstable_by_key(|session| session.id);
        sessions
    }

    /// Every shared group, ordered by filter and share name.
    pub(crate) fn groups(&self) -> Vec<GroupSnapshot> {
        let mut groups = Vec::new();
        self.routing.read(|trie| {
            trie.visit_all(|_, leaf| groups.extend(leaf.groups().iter().cloned()));
        });
        let mut groups: Vec<_> = groups.iter().map(|group| group.snapshot()).collect();
        groups.sort_by(|a, b| (&a.filter, &a.share).cmp(&(&b.filter, &b.share)));
        groups
    }

    /// Every filter that somebody subscribes to.
    pub(crate) fn filters(&self) -> Vec<TopicSnapshot> {
        let mut filters = Vec::new();
        self.routing.read(|trie| {
            trie.visit_all(|filter, leaf| {
                filters.push(TopicSnapshot {
                    filter: filter.to_owned(),
                    subscribers: leaf.plain().len(),
                    groups: leaf.groups().len(),
                });
            });
        });
        filters.sort_by(|a, b| a.filter.cmp(&b.filter));
        filters
    }

    /// The first `limit` retained messages, by topic, whose topics match `filter`, a valid one; and
    /// how many match in all.
    pub(crate) fn retained_messages(
        &self,
        filter: Option<&str>,
        limit: usize,
        now: Instant,
    ) -> (Vec<RetainedSnapshot>, usize) {
        let mut found = match filter {
            Some(filter) => self.retained.matching(filter, &self.context(now)),
            None => {
                let mut all = Vec::new();
                self.retained
                    .read()
                    .visit(|_, message| all.push(message.clone()));
                all.retain(|message| !message.is_expired(now));
                all
            }
        };
        found.sort_by(|a, b| a.topic().cmp(b.topic()));
        let shown = found.iter().take(limit).map(|message| RetainedSnapshot {
            topic: message.topic().to_owned(),
            qos: message.qos(),
            payload: message.payload().to_vec(),
        });
        (shown.collect(), found.len())
    }

    pub(crate) fn stats(&self, now: Instant) -> Stats {
        let counters = &self.counters;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = Stats {
            uptime: now.saturating_duration_since(self.started),
            clients_connected: self.connected.load(Ordering::Relaxed),
            sessions: self.sessions.len(),
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            retained: self.retained.len(),
            connections_opened: load(&counters.connections_opened),
            connections_refused: load(&counters.connections_refused),
            packets_received: load(&counters.packets_received),
            bytes_received: load(&counters.bytes_received),
            messages_received: load(&counters.messages_received),
            messages_sent: load(&counters.messages_sent),
            bytes_sent: load(&counters.bytes_sent),
            dropped: load(&counters.dropped),
            expired: load(&counters.expired),
            memory: self.budget.used(),
            ..Stats::default()
        };
        for session in self.all_sessions() {
            session.add_to(&mut stats);
        }
        for group in self.groups() {
            stats.group_queued += group.queued;
            stats.dropped += group.dropped;
            stats.expired += group.expired;
        }
        stats
    }
}

impl Session {
    fn snapshot(&self, now: Instant) -> Option<ClientSnapshot> {
        let slot = self.slot();
        if !matches!(slot.state, State::Connected | State::Away) {
            return None;
        }
        let mut subscriptions: Vec<_> = slot
            .subscriptions
            .iter()
            .filter_map(|(filter, subscribed)| {
                let options = subscribed.subscription.options()?;
                Some(SubscriptionSnapshot {
                    filter: filter.to_string(),
                    qos: options.qos,
                })
            })
            .collect();
        subscriptions.sort_by(|a, b| a.filter.cmp(&b.filter));
        let outbox = self.outbox();
        Some(ClientSnapshot {
            client_id: self.client_id().to_owned(),
            connected: slot.state == State::Connected,
            version: slot.version,
            traffic: slot
                .facts
                .as_ref()
                .map(|facts| facts.traffic.totals())
                .unwrap_or_default(),
            facts: slot.facts.clone(),
            session_expiry: (slot.expiry != NEVER)
                .then(|| Duration::from_secs(u64::from(slot.expiry))),
            connected_for: slot
                .connected_at
                .map(|at| now.saturating_duration_since(at)),
            subscriptions,
            in_flight: outbox.window.len(),
            queued: outbox.queued(),
            messages_sent: outbox.sent.messages,
            dropped: outbox.sent.dropped,
        })
    }

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
