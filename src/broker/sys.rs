//! `$SYS` topics: the usual counters, as retained messages.

use crate::codec::QoS;
use crate::message::publication::Publication;
use crate::time::Moment;

use super::Broker;
use super::deliver::{Origin, Run};
use super::stats::Stats;
use super::turn::Dirty;

impl Broker {
    /// Publishes the counters under `$SYS/broker/`.
    pub(crate) fn publish_sys(&self, stats: &Stats, now: impl Into<Moment>, dirty: &mut Dirty) {
        let version = concat!("roundel ", env!("CARGO_PKG_VERSION")).to_owned();
        let values = [
            ("$SYS/broker/version", version),
            (
                "$SYS/broker/uptime",
                format!("{} seconds", stats.uptime.as_secs()),
            ),
            (
                "$SYS/broker/clients/connected",
                stats.clients_connected.to_string(),
            ),
            ("$SYS/broker/clients/total", stats.sessions.to_string()),
            (
                "$SYS/broker/clients/disconnected",
                stats
                    .sessions
                    .saturating_sub(stats.clients_connected)
                    .to_string(),
            ),
            (
                "$SYS/broker/subscriptions/count",
                stats.subscriptions.to_string(),
            ),
            (
                "$SYS/broker/shared_subscriptions/count",
                stats.groups.to_string(),
            ),
            (
                "$SYS/broker/retained messages/count",
                stats.retained.to_string(),
            ),
            (
                "$SYS/broker/messages/received",
                stats.messages_received.to_string(),
            ),
            ("$SYS/broker/messages/sent", stats.messages_sent.to_string()),
            ("$SYS/broker/messages/dropped", stats.dropped.to_string()),
            ("$SYS/broker/messages/inflight", stats.in_flight.to_string()),
            (
                "$SYS/broker/messages/stored",
                (stats.queued + stats.group_queued).to_string(),
            ),
            (
                "$SYS/broker/bytes/received",
                stats.bytes_received.to_string(),
            ),
            ("$SYS/broker/bytes/sent", stats.bytes_sent.to_string()),
        ];
        let context = self.context(now);
        for (topic, value) in &values {
            let mut publication = Publication::new(topic, value.as_bytes(), QoS::AtMostOnce);
            publication.retain = true;
            let run = Run::one(&publication);
            // Nobody waits for these: one that cannot be retained is seen by live subscribers only.
            self.deliver_and_forget(Origin::Own, run, &context, dirty);
        }
    }
}
