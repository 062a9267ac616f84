//! The ledger against the broker's own figures.

use crate::broker::Stats;
use crate::codec::QoS;

use super::{Due, Group, Ledger};

/// Sums over all that the ledger holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
    pub(crate) lost: u64,
}

impl Balance {
    fn of(stats: &Stats) -> Self {
        Self {
            queued: (stats.queued + stats.group_queued) as u64,
            in_flight: stats.in_flight as u64,
            lost: stats.dropped + stats.expired,
        }
    }
}

impl Balance {
    fn sum(&self) -> u64 {
        self.queued + self.in_flight + self.lost
    }
}

impl Ledger {
    /// The call is over, and the broker's figures are `stats`.
    pub(crate) fn close(&mut self, stats: &Stats) {
        self.close_at_once();
        for session in &mut self.sessions {
            let refused = std::mem::take(&mut session.at_once);
            assert!(
                refused.is_empty() || !self.rules.is_exact,
                "qos 0 did not go out: {refused:?}"
            );
            self.lost += refused.len() as u64;
        }
        self.close_groups();
        self.check_figures(stats);
    }

    /// Who has not got a message that may not wait does not get it: it is lost, or was refused and is
    /// nobody's.
    fn close_at_once(&mut self) {
        let Some(at_once) = self.call.at_once.take() else {
            return;
        };
        let order = at_once.order;
        let mut left = 0;
        for session in &mut self.sessions {
            let is_other = |due: &Due| due.order != order;
            if at_once.is_refused {
                session.at_once.retain(is_other);
            }
            let before = session.due.len();
            session.due.retain(is_other);
            left += before - session.due.len();
        }
        for group in &mut self.groups {
            left += usize::from(group.waiting.remove(&order).is_some());
        }
        let message = self.messages.get_mut(&at_once.number);
        match message.filter(|_| at_once.is_refused) {
            Some(refused) => refused.order = None,
            None => self.lost += left as u64,
        }
    }

    /// The broker counts no more than there is. Messages that are on their way, from a window to their
    /// group or out of a queue that has ended, it counts nowhere.
    fn check_figures(&self, stats: &Stats) {
        let (ours, theirs) = (self.balance(), Balance::of(stats));
        assert!(
            theirs.sum() <= ours.sum(),
            "ours {ours:?}, the broker's {theirs:?}"
        );
        let sessions = || self.sessions.iter().filter(|session| !session.has_ended);
        assert_eq!(sessions().count(), stats.sessions);
        let connected = sessions().filter(|session| session.connection.is_some());
        assert_eq!(connected.count(), stats.clients_connected);
        let subscriptions: usize = sessions().map(|session| session.subscriptions.len()).sum();
        assert_eq!(subscriptions, stats.subscriptions);
        let groups = self.groups.iter().filter(|group| !group.members.is_empty());
        assert_eq!(groups.count(), stats.groups);
    }

    pub(crate) fn balance(&self) -> Balance {
        let due: usize = self.sessions.iter().map(|session| session.due.len()).sum();
        let waiting: usize = self.groups.iter().map(|group| group.waiting.len()).sum();
        let open: usize = self
            .sessions
            .iter()
            .map(|session| session.window.len())
            .sum();
        Balance {
            queued: (due + waiting) as u64,
            in_flight: open as u64,
            lost: self.lost,
        }
    }

    /// Nothing moves any more: whatever still waits has to wait for a client. No message has vanished: each is
    /// queued, in flight, acknowledged, or counted as dropped or expired.
    pub(crate) fn check_idle(&mut self, stats: &Stats) {
        self.come_home();
        let (ours, theirs) = (self.balance(), Balance::of(stats));
        assert_eq!(
            ours.sum(),
            theirs.sum(),
            "ours {ours:?}, the broker's {theirs:?}"
        );
        if self.rules.is_lossless {
            assert_eq!(ours, theirs);
        }
        for (index, connection) in self.connections.iter().enumerate() {
            if self.session_of(index).is_some() {
                assert!(
                    connection.answers.is_empty(),
                    "answers are missing: {:?}",
                    connection.answers
                );
            }
        }
        if self.rules.is_lossless {
            self.check_idle_sessions();
        }
        if self.rules.is_lossless || self.rules.packet_sizes {
            self.check_idle_groups();
        }
    }

    fn check_idle_sessions(&self) {
        for session in &self.sessions {
            let owes_pubrel = session.connection.is_some() && session.owes_pubrel();
            assert!(
                !owes_pubrel,
                "PUBREL waits, to '{}' (MQTT-4.4.0-1, MQTT-4.9.0-3)",
                session.client
            );
            if session.connection.is_some() && !self.is_full(session) {
                assert!(
                    !session.is_resending(),
                    "not resent to '{}'",
                    session.client
                );
                assert!(
                    session.due.is_empty(),
                    "'{}' waits: {:?}",
                    session.client,
                    session.due
                );
                assert!(session.replays.is_empty(), "{:?}", session.replays);
            }
        }
    }

    /// Who has room has what fits all clients.
    fn check_idle_groups(&self) {
        let waits = |group: &&Group| group.waiting.values().any(|waiting| !waiting.is_large);
        for group in self.groups.iter().filter(waits) {
            for member in &group.members {
                let session = &self.sessions[*member];
                let granted = session.subscriptions[&group.full_filter()].qos;
                let can_take = session.connection.is_some()
                    && (granted == QoS::AtMostOnce || !self.is_full(session));
                assert!(
                    !can_take,
                    "'{}' has room, and {} waits with {:?}",
                    session.client,
                    group.full_filter(),
                    group.waiting.keys().collect::<Vec<_>>()
                );
            }
        }
    }

    fn is_full(&self, session: &super::Session) -> bool {
        let limit = session
            .connection
            .map_or(0, |at| self.connections[at].receive_maximum);
        session.places_taken() >= limit
    }

    /// Whether the session of a client is there to be resumed.
    pub(crate) fn has_session(&self, client: &str) -> bool {
        self.by_client.contains_key(client)
    }
}
