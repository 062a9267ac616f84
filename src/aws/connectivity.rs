//! How clients' connections ended, for half an hour each: what the service tells of clients that are not
//! connected (AWS-DATA-08, AWS-LIFE-21). Those that are tell of themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::auth::Principal;
use crate::broker::events::{Client, Event, Events, What};
use crate::broker::{Broker, Context, Dirty};
use crate::time::{Calendar, milliseconds};

use super::lifecycle::disconnect_reason;
use super::remembered::Remembered;
use super::versions::Versions;

/// How long an end is told of.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// What an end takes besides the client identifier.
const END: usize = 384;

/// Nobody can ask for a client identifier of more bytes: 128 characters.
const CLIENT_ID: usize = 512;

/// Keeps how connections ended.
pub(crate) struct Connectivity {
    calendar: Calendar,
    ends: Mutex<Remembered<End, END>>,
    /// What else is remembered of those that are away.
    versions: Arc<Versions>,
}

/// The end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) at: Instant,
    /// As lifecycle events have it.
    pub(crate) reason: &'static str,
    pub(crate) principal: Principal,
    pub(crate) peer: Option<SocketAddr>,
    /// The address that the client reached.
    pub(crate) local: Option<SocketAddr>,
    /// The Keep Alive of its CONNECT in seconds.
    pub(crate) keep_alive: u16,
    /// The Session Expiry Interval in seconds.
    pub(crate) expiry: u32,
}

impl End {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= KEPT
    }
}

impl Connectivity {
    pub(crate) fn new(calendar: Calendar, versions: Arc<Versions>) -> Self {
        Self {
            calendar,
            ends: Mutex::default(),
            versions,
        }
    }

    /// How the last connection of a client ended, if that is not long ago.
    pub(crate) fn end(&self, client_id: &str, now: Instant) -> Option<End> {
        let mut ends = self.ends.lock();
        ends.forget_old(|end| end.is_old(now));
        ends.get(client_id).cloned()
    }

    /// The client whose connection ended last, of those that `is_of` says so of by their principals.
    pub(crate) fn last_of(
        &self,
        now: Instant,
        is_of: impl Fn(&Principal) -> bool,
    ) -> Option<String> {
        let mut ends = self.ends.lock();
        ends.forget_old(|end| end.is_old(now));
        let found = ends.latest_first().find(|(_, end)| is_of(&end.principal));
        found.map(|(client_id, _)| client_id.to_string())
    }

    /// Forgets all ends, and the numbers of connections.
    #[cfg(feature = "http")]
    pub(crate) fn clear(&self) {
        *self.ends.lock() = Remembered::default();
        self.versions.clear();
    }

    /// Milliseconds since 1970 at an instant of the broker's clock.
    pub(crate) fn milliseconds(&self, instant: Instant) -> u64 {
        milliseconds(self.calendar.date(instant))
    }
}

impl Events for Connectivity {
    fn note(&self, event: &Event<'_>, _: &Broker, context: &Context<'_>, _: &mut Dirty) {
        let Event { client, what } = event;
        match what {
            What::Attached => self.ends.lock().remove(client.client_id),
            What::Detached(cause) if is_kept(client) => {
                let end = End {
                    at: context.now,
                    reason: disconnect_reason(cause, client.version),
                    principal: client.principal.clone(),
                    peer: client.facts.peer().socket_addr(),
                    local: client.facts.local(),
                    keep_alive: client.keep_alive,
                    expiry: client.expiry,
                };
                let mut ends = self.ends.lock();
                ends.forget_old(|end| end.is_old(context.now));
                ends.insert(client.client_id, end, context);
            }
            What::Detached(_) | What::Subscribed(_) | What::Unsubscribed(_) | What::Refused(_) => {}
        }
    }

    fn hears_of_subscriptions(&self) -> bool {
        false
    }
}

/// The program that the broker runs in is no client of the service.
fn is_kept(client: &Client<'_>) -> bool {
    client.client_id.len() <= CLIENT_ID && *client.principal != Principal::Program
}

#[cfg(test)]
mod tests {
    use super::super::remembered::{MOST, PART};
    use super::*;
    use crate::broker::doubles::NoAlarm;
    use crate::broker::{ConnectionFacts, PeerAddr, Randomness};
    use crate::codec::Version;
    use crate::config::Config;
    use crate::message::cause::Cause;
    use crate::time::Clock;

    struct Stand {
        broker: Broker,
        start: Instant,
        connectivity: Connectivity,
    }

    impl Stand {
        fn new(memory: usize) -> Self {
            let mut config = Config::standard();
            config.limits.memory = memory;
            let (start, random) = (Instant::now(), Randomness::from_seed(1));
            Self {
                broker: Broker::new(config, random, start, Arc::new(NoAlarm)),
                start,
                connectivity: Connectivity::new(Clock::default().calendar(), Arc::default()),
            }
        }

        fn note(&self, client_id: &str, principal: &Principal, what: What<'_>, after: Duration) {
            let facts = ConnectionFacts::new("test", PeerAddr::Memory, None);
            let client = Client {
                client_id,
                principal,
                facts: &facts,
                version: Version::V5,
                session: Some(1),
                connections: 0,
                keep_alive: 60,
                expiry: 0,
            };
            let context = self.broker.context(self.start + after);
            let event = Event { client, what };
            self.connectivity
                .note(&event, &self.broker, &context, &mut Dirty::default());
        }

        fn end(&self, client_id: &str, after: Duration) {
            let what = What::Detached(&Cause::KeepAliveTimeout);
            self.note(client_id, &Principal::Anonymous, what, after);
        }

        fn has(&self, client_id: &str, after: Duration) -> bool {
            self.connectivity
                .end(client_id, self.start + after)
                .is_some()
        }

        fn used(&self) -> usize {
            self.broker.budget().used()
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// AWS-DATA-08
    #[test]
    fn end_is_kept_for_half_an_hour_or_until_the_client_is_back() {
        let stand = Stand::new(64 << 20);
        stand.end("a", Duration::ZERO);
        stand.end("b", MINUTE);
        stand.end("b", 2 * MINUTE);
        let found = stand.connectivity.end("b", stand.start + 3 * MINUTE);
        let found = found.expect("an end");
        assert_eq!(
            (found.at, found.reason),
            (stand.start + 2 * MINUTE, "MQTT_KEEP_ALIVE_TIMEOUT")
        );
        assert!(stand.has("a", 30 * MINUTE - Duration::from_millis(1)));
        assert!(!stand.has("a", 30 * MINUTE) && stand.has("b", 30 * MINUTE));
        stand.note("b", &Principal::Anonymous, What::Attached, 31 * MINUTE);
        assert!(!stand.has("b", 31 * MINUTE));
        assert_eq!(stand.used(), 0);
        stand.end(&"x".repeat(CLIENT_ID + 1), 31 * MINUTE);
        let what = What::Detached(&Cause::Dropped);
        stand.note("local", &Principal::Program, what, 31 * MINUTE);
        assert_eq!(stand.used(), 0, "nobody can ask for these");
    }

    #[test]
    fn ends_are_bounded_in_number_and_in_bytes() {
        for (memory, kept) in [(1 << 30, MOST), (4 << 20, (4 << 20) / PART / (END + 5))] {
            let stand = Stand::new(memory);
            let name = |number: usize| format!("{number:05}");
            let all = MOST + 100;
            for number in 0..all {
                stand.end(&name(number), Duration::ZERO);
            }
            let found = (0..all).filter(|number| stand.has(&name(*number), MINUTE));
            let expected: Vec<_> = (all - kept..all).collect();
            assert_eq!(found.collect::<Vec<_>>(), expected, "the last ones");
            assert_eq!(stand.used(), kept * (END + 5));
        }
    }

    #[test]
    fn last_client_of_a_principal_is_found() {
        let stand = Stand::new(64 << 20);
        let principal = Principal::Certificate("c".into());
        let what = What::Detached(&Cause::KeepAliveTimeout);
        stand.note("first", &principal, what, Duration::ZERO);
        stand.note("last", &principal, what, MINUTE);
        stand.end("other", 2 * MINUTE);
        let last = |now: Duration| {
            stand
                .connectivity
                .last_of(stand.start + now, |found| *found == principal)
        };
        assert_eq!(last(3 * MINUTE).as_deref(), Some("last"));
        assert_eq!(last(31 * MINUTE), None);
    }
}
