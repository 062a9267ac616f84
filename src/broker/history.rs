//! What happened to clients lately: connections that came and ended, CONNECTs that were refused, sessions that
//! ended, what they subscribed to. It is always kept, so that whoever looks after a failure finds what led to it, and
//! whoever waits for a client to leave may come a moment after it; and it is as large for a million clients as for a
//! thousand.

#[cfg(any(test, feature = "http"))]
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::codec::{ReasonCode, Version};
use crate::excerpt::within;

use super::facts::PeerAddr;
use super::last_end::LastEnd;

/// Events that are kept of all clients together, the last ones; and as many of them besides that are about
/// subscriptions.
const MOST: usize = 1024;

/// Topic Filters that are kept of one packet, the first, and bytes of each.
const FILTERS: usize = 4;
const FILTER: usize = 128;

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
    /// The client's SUBSCRIBE was carried out.
    Subscribed(FilterAnswers),
    /// Its UNSUBSCRIBE was.
    Unsubscribed(FilterAnswers),
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

/// What the filters of a packet were answered, the beginning of it.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "the HTTP API shows it")
)]
pub(crate) struct FilterAnswers {
    pub(crate) first: Vec<(Box<str>, ReasonCode)>,
    /// How many filters there were, and how many of them were refused.
    pub(crate) total: usize,
    pub(crate) refused: usize,
}

impl FilterAnswers {
    /// The Reason Code for each of these filters, which come with their `$share/` and all.
    pub(crate) fn new<'a>(filters: impl Iterator<Item = &'a str>, reasons: &[ReasonCode]) -> Self {
        let first = filters.zip(reasons).take(FILTERS);
        Self {
            first: first
                .map(|(filter, reason)| (within(filter, FILTER).into(), *reason))
                .collect(),
            total: reasons.len(),
            refused: reasons.iter().filter(|reason| reason.is_error()).count(),
        }
    }
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

/// The last events of all clients.
#[derive(Default)]
pub(super) struct History(Mutex<Kept>);

/// Whoever subscribes and unsubscribes all day makes nobody forget how a connection ended: that is kept apart.
#[derive(Default)]
struct Kept {
    lives: Ring,
    subscriptions: Ring,
    /// Events so far.
    count: u64,
}

/// The oldest first.
type Ring = VecDeque<Event>;

struct Event {
    /// Tells which of two came first.
    #[cfg_attr(
        not(any(test, feature = "http")),
        expect(dead_code, reason = "the HTTP API shows them in order")
    )]
    number: u64,
    client_id: Arc<str>,
    happened: Happened,
}

/// The events of a client in a ring, the last first.
fn of<'a>(ring: &'a Ring, client_id: &'a str) -> impl Iterator<Item = &'a Event> {
    let is_own = move |event: &&Event| *event.client_id == *client_id;
    ring.iter().rev().filter(is_own)
}

impl History {
    pub(super) fn keep(&self, client_id: &Arc<str>, at: Instant, what: HistoryEvent) {
        if client_id.is_empty() || client_id.len() > CLIENT_ID {
            return;
        }
        let oldest = {
            let mut kept = self.0.lock();
            kept.count += 1;
            let event = Event {
                number: kept.count,
                client_id: client_id.clone(),
                happened: Happened { at, what },
            };
            let ring = match event.happened.what {
                HistoryEvent::Subscribed(_) | HistoryEvent::Unsubscribed(_) => {
                    &mut kept.subscriptions
                }
                HistoryEvent::Connected { .. }
                | HistoryEvent::Disconnected { .. }
                | HistoryEvent::Refused { .. }
                | HistoryEvent::SessionEnded { .. } => &mut kept.lives,
            };
            let oldest = (ring.len() >= MOST).then(|| ring.pop_front());
            ring.push_back(event);
            oldest
        };
        // Others need not wait until its memory is given back.
        drop(oldest);
    }

    /// How the connection of a client ended that it had last.
    pub(super) fn last_end(&self, client_id: &str) -> Option<LastEnd> {
        let kept = self.0.lock();
        let mut ends = of(&kept.lives, client_id).filter_map(|event| match &event.happened.what {
            HistoryEvent::Disconnected { end, .. } => Some(end),
            HistoryEvent::SessionEnded { former, .. } => former.as_ref(),
            _ => None,
        });
        ends.next().cloned()
    }

    /// What happened to a client, the last first: so many at most, and how many there are.
    #[cfg(any(test, feature = "http"))]
    pub(super) fn of(&self, client_id: &str, limit: usize) -> (Vec<Happened>, usize) {
        let kept = self.0.lock();
        let (mut found, mut total) = (Vec::new(), 0);
        for ring in [&kept.lives, &kept.subscriptions] {
            for (place, event) in of(ring, client_id).enumerate() {
                total += 1;
                if place < limit {
                    found.push(event);
                }
            }
        }
        found.sort_unstable_by_key(|event| Reverse(event.number));
        let found = found.into_iter().take(limit);
        (found.map(|event| event.happened.clone()).collect(), total)
    }

    pub(super) fn clear(&self) {
        *self.0.lock() = Kept::default();
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

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

    #[test]
    fn subscriptions_stand_in_order_and_make_others_forget_nothing() {
        let history = History::default();
        let (now, client): (_, Arc<str>) = (Instant::now(), "client".into());
        let ended = || HistoryEvent::SessionEnded {
            cause: SessionEnd::Expired,
            former: None,
        };
        let subscribed = |filter: &str| {
            let reasons = [ReasonCode::NotAuthorized; FILTERS + 1];
            HistoryEvent::Subscribed(FilterAnswers::new(iter::repeat(filter), &reasons))
        };
        history.keep(&client, now, ended());
        history.keep(&client, now, subscribed("a"));
        history.keep(&client, now, ended());
        let is_subscribed =
            |happened: &Happened| matches!(happened.what, HistoryEvent::Subscribed(_));
        let (found, total) = history.of("client", 2);
        assert_eq!(total, 3);
        assert_eq!(
            found.iter().map(is_subscribed).collect::<Vec<_>>(),
            [false, true]
        );
        for _ in 0..MOST {
            history.keep(&client, now, subscribed(&"ä".repeat(FILTER)));
        }
        assert_eq!(history.of("client", 0).1, 2 + MOST);
        let (found, _) = history.of("client", 1);
        let [
            Happened {
                what: HistoryEvent::Subscribed(answers),
                ..
            },
        ] = found.as_slice()
        else {
            panic!("{found:?}");
        };
        assert_eq!((answers.total, answers.refused), (FILTERS + 1, FILTERS + 1));
        assert_eq!(answers.first.len(), FILTERS);
        assert!(
            answers
                .first
                .iter()
                .all(|(filter, _)| filter.len() <= FILTER)
        );
    }
}
