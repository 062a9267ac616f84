//! What happened to clients lately: connections that came and ended, CONNECTs that were refused, sessions that
//! ended. It is always kept, so that whoever looks after a failure finds what led to it, and whoever waits for a
//! client to leave may come a moment after it; and it is as large for a million clients as for a thousand.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::codec::{ReasonCode, Version};

use super::facts::PeerAddr;
use super::session::LastEnd;

/// Events that are kept of all clients together, the last ones.
const MOST: usize = 1024;

/// What happens to a client with a longer name is not kept, in bytes: what is kept is not charged.
const CLIENT_ID: usize = 256;

/// Something that happened to a client.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "the HTTP API shows more of it")
)]
pub(crate) struct Happened {
    pub(crate) at: Instant,
    pub(crate) what: HistoryEvent,
}

/// What it was.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "the HTTP API shows more of it")
)]
pub(crate) enum HistoryEvent {
    /// The client has its session.
    Connected {
        version: Version,
        listener: &'static str,
        peer: PeerAddr,
        session_present: bool,
    },
    /// The connection ended, and maybe the session with it.
    Disconnected { end: LastEnd, session_ended: bool },
    /// The client did not get in.
    Refused {
        listener: &'static str,
        code: ReasonCode,
        /// In words.
        reason: Arc<str>,
    },
    /// The session ended without a connection; its last one had ended like this.
    SessionEnded {
        cause: SessionEnd,
        former: Option<LastEnd>,
    },
}

/// Why a session ended that had no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// Its time was over.
    Expired,
    /// The client began a new one.
    CleanStart,
    /// Somebody outside wanted it.
    Removed,
}

#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "the HTTP API shows it")
)]
impl SessionEnd {
    /// As the API has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::CleanStart => "clean_start",
            Self::Removed => "removed",
        }
    }
}

/// The last events of all clients, the oldest first.
#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<(Arc<str>, Happened)>>);

impl History {
    pub(super) fn keep(&self, client_id: &Arc<str>, at: Instant, what: HistoryEvent) {
        if client_id.is_empty() || client_id.len() > CLIENT_ID {
            return;
        }
        let kept = (client_id.clone(), Happened { at, what });
        let oldest = {
            let mut all = self.0.lock();
            let oldest = (all.len() >= MOST).then(|| all.pop_front());
            all.push_back(kept);
            oldest
        };
        // Others need not wait until its memory is given back.
        drop(oldest);
    }

    /// How the connection of a client ended that it had last.
    pub(super) fn last_end(&self, client_id: &str) -> Option<LastEnd> {
        let all = self.0.lock();
        let own = all.iter().rev().filter(|(kept, _)| **kept == *client_id);
        let mut ends = own.filter_map(|(_, happened)| match &happened.what {
            HistoryEvent::Disconnected { end, .. } => Some(end),
            HistoryEvent::SessionEnded { former, .. } => former.as_ref(),
            HistoryEvent::Connected { .. } | HistoryEvent::Refused { .. } => None,
        });
        ends.next().cloned()
    }

    /// What happened to a client, the last first: so many at most, and how many there are.
    #[cfg(any(test, feature = "http"))]
    pub(super) fn of(&self, client_id: &str, limit: usize) -> (Vec<Happened>, usize) {
        let all = self.0.lock();
        let own = all.iter().rev().filter(|(kept, _)| **kept == *client_id);
        let (mut found, mut total) = (Vec::new(), 0);
        for (_, happened) in own {
            total += 1;
            if found.len() < limit {
                found.push(happened.clone());
            }
        }
        (found, total)
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_events_are_kept_and_those_of_long_names_are_not() {
        let history = History::default();
        let now = Instant::now();
        let event = || HistoryEvent::SessionEnded {
            cause: SessionEnd::Expired,
            former: None,
        };
        let (first, other): (Arc<str>, Arc<str>) = ("first".into(), "other".into());
        history.keep(&first, now, event());
        for _ in 1..MOST {
            history.keep(&other, now, event());
        }
        assert_eq!(history.of("first", 10).1, 1);
        let (found, total) = history.of("other", 10);
        assert_eq!((found.len(), total), (10, MOST - 1));
        history.keep(&other, now, event());
        assert_eq!(history.of("first", 10).1, 0, "the oldest made room");
        let long: Arc<str> = "x".repeat(CLIENT_ID + 1).into();
        history.keep(&long, now, event());
        assert_eq!(history.of(&long, 10).1, 0);
        assert_eq!(history.of("other", 0).1, MOST);
    }
}
