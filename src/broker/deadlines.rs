//! What the clock will fire next, for whoever moves it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::time::Moment;

use super::Broker;
use super::lifecycle::Timer;
use super::outbox::link::Link;
use super::schedule::Firsts;
use super::session::Session;

/// Something that is due at a time.
#[derive(Debug)]
pub(crate) struct Deadline {
    pub(crate) kind: DeadlineKind,
    /// Whom it is about; `None`: nobody, or a connection that has no session.
    pub(crate) client_id: Option<String>,
    /// On the time of its kind.
    pub(crate) left: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadlineKind {
    SessionExpiry,
    Will,
    Resend,
    EndOfOutage,
    /// The time of a packet rule is over.
    EndOfRule,
    #[cfg(feature = "http")]
    EndOfTopicValues,
    /// A packet goes on that a packet rule delays.
    DelayedPacket,
    /// A connection looks at its own timers: Keep Alive, the time to CONNECT, a socket that takes nothing. It
    /// is on the time of live connections.
    Connection,
}

impl DeadlineKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SessionExpiry => "session_expiry",
            Self::Will => "will",
            Self::Resend => "resend",
            Self::EndOfOutage => "end_of_outage",
            Self::EndOfRule => "end_of_rule",
            #[cfg(feature = "http")]
            Self::EndOfTopicValues => "end_of_topic_values",
            Self::DelayedPacket => "delayed_packet",
            Self::Connection => "connection",
        }
    }
}

impl Timer {
    fn kind(&self) -> DeadlineKind {
        match self {
            Self::SessionExpiry { .. } => DeadlineKind::SessionExpiry,
            Self::Will { .. } => DeadlineKind::Will,
            Self::Resend { .. } => DeadlineKind::Resend,
            Self::EndOfOutage => DeadlineKind::EndOfOutage,
            Self::EndOfRule => DeadlineKind::EndOfRule,
            #[cfg(feature = "http")]
            Self::EndOfTopicValues => DeadlineKind::EndOfTopicValues,
        }
    }

    /// The session that it is about, and the epoch for which it holds.
    fn session(&self) -> Option<(Weak<Session>, u64)> {
        match self {
            Self::SessionExpiry { session, epoch }
            | Self::Will { session, epoch }
            | Self::Resend { session, epoch } => Some((session.clone(), *epoch)),
            Self::EndOfOutage | Self::EndOfRule => None,
            #[cfg(feature = "http")]
            Self::EndOfTopicValues => None,
        }
    }
}

impl Broker {
    /// The first deadlines, the next one first, at most so many, and how many timers there are. Timers that
    /// will find nothing to do are left out. All sessions are looked at, for the names of connections.
    pub(crate) fn deadlines(&self, moment: Moment, limit: usize) -> (Vec<Deadline>, usize) {
        let Firsts {
            timers,
            owners,
            total,
        } = self.schedule.firsts(limit.saturating_add(1), |timer| {
            (timer.kind(), timer.session())
        });
        // There is one timer for all rules, and each of them is listed.
        let timers = timers.into_iter();
        let timers = timers.filter(|(_, (kind, _))| *kind != DeadlineKind::EndOfRule);
        let of_broker = timers.filter_map(|(at, (kind, session))| {
            let client_id = match session {
                None => None,
                Some((session, epoch)) => {
                    let session = session.upgrade()?;
                    let is_current = session.slot().epoch == epoch;
                    Some(is_current.then(|| session.client_id().to_owned())?)
                }
            };
            let left = at.saturating_duration_since(moment.now);
            Some(Deadline {
                kind,
                client_id,
                left,
            })
        });
        let names = self.names_of_links();
        let of_connections = owners.into_iter().filter_map(|(at, link)| {
            let link = link.upgrade()?;
            Some(Deadline {
                kind: DeadlineKind::Connection,
                client_id: names.get(&address(&link)).cloned(),
                left: at.saturating_duration_since(moment.live),
            })
        });
        let delayed = self.tap.delayed();
        let of_rules = self.tap.rule_ends(moment.now);
        let has_timer = usize::from(self.rules_end.lock().is_some());
        // It may be set meanwhile.
        let total = total.saturating_sub(has_timer) + delayed.len() + of_rules.len();
        let of_rules = of_rules.into_iter().map(|at| Deadline {
            kind: DeadlineKind::EndOfRule,
            client_id: None,
            left: at.saturating_duration_since(moment.now),
        });
        let of_packets = delayed.into_iter().map(|(at, client)| Deadline {
            kind: DeadlineKind::DelayedPacket,
            client_id: client.map(|client| (*client).to_owned()),
            left: at.saturating_duration_since(moment.now),
        });
        let all = of_broker.chain(of_connections).chain(of_packets);
        let all = all.chain(of_rules);
        let mut deadlines: Vec<_> = all.collect();
        deadlines.sort_by_key(|deadline| deadline.left);
        deadlines.truncate(limit);
        (deadlines, total)
    }

    /// The clients that have connections, by the addresses of their links.
    fn names_of_links(&self) -> HashMap<usize, String> {
        let connected = self.all_sessions().into_iter().filter_map(|session| {
            let outbox = session.outbox();
            let link = outbox.connected.as_ref().map(|connected| &connected.link);
            Some((address(link?), session.client_id().to_owned()))
        });
        connected.collect()
    }
}

fn address(link: &Arc<dyn Link>) -> usize {
    Arc::as_ptr(link).cast::<()>().addr()
}
