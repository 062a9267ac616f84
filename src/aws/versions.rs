//! The version numbers of connections in lifecycle events: they go on over the ends of sessions, for an hour
//! (AWS-LIFE-10).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::broker::Context;
use crate::broker::events::Client;
use crate::budget::{Charge, Kind};

/// How long the number of a client that has no connection is kept, and longer while its session lasts.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Clients whose numbers are kept at most.
const MOST: usize = 16_384;

/// The part of `limits.memory` that they may take.
const PART: usize = 64;

/// What a client takes besides its identifier.
const SIZE: usize = 256;

/// Numbers the connections of clients.
#[derive(Default)]
pub(crate) struct Versions(Mutex<Numbers>);

#[derive(Default)]
struct Numbers {
    by_client: HashMap<Arc<str>, Number>,
    /// Those without a connection, in the order in which they lost it.
    away: BTreeMap<u64, Arc<str>>,
    ends: u64,
    charge: Option<Charge>,
}

/// What the connections of a client are numbered by.
struct Number {
    /// The session that it is about.
    session: Option<u64>,
    /// The number of the first connection of that session.
    first: u64,
    /// That of the next one.
    next: u64,
    /// When it is forgotten, and its place among those that are; none while the client has its connection.
    away: Option<(Instant, u64)>,
}

impl Versions {
    /// The number of a connection that begins.
    pub(super) fn begin(&self, client: &Client<'_>, now: Instant) -> u64 {
        let mut numbers = self.0.lock();
        numbers.forget_old(now);
        let Some(number) = numbers.by_client.get_mut(client.client_id) else {
            return client.connections;
        };
        let away = number.away.take();
        if number.session != client.session {
            number.session = client.session;
            number.first = match away {
                Some((until, _)) if until <= now => 0,
                Some(_) | None => number.next,
            };
        }
        let first = number.first;
        if let Some((_, place)) = away {
            numbers.away.remove(&place);
        }
        first + client.connections
    }

    /// The number of a connection that ends.
    pub(super) fn end(&self, client: &Client<'_>, context: &Context<'_>) -> u64 {
        let mut numbers = self.0.lock();
        numbers.forget_old(context.now);
        let known = numbers.by_client.get(client.client_id);
        let first = known
            .filter(|number| number.session == client.session)
            .map_or(0, |number| number.first);
        let version = first + client.connections;
        numbers.keep(client, first, version + 1, context);
        version
    }

    /// Forgets all numbers.
    #[cfg(feature = "http")]
    pub(super) fn clear(&self) {
        *self.0.lock() = Numbers::default();
    }
}

impl Numbers {
    /// Keeps the number of a client that loses its connection, while there is room; those that are away for
    /// longest give way to it.
    fn keep(&mut self, client: &Client<'_>, first: u64, next: u64, context: &Context<'_>) {
        self.remove(client.client_id);
        let size = SIZE + client.client_id.len();
        let most = context.limits.memory / PART;
        let held = |numbers: &Self| numbers.charge.as_ref().map_or(0, Charge::bytes);
        while self.by_client.len() >= MOST || held(self) + size > most {
            let Some(client_id) = self.away.values().next().cloned() else {
                return;
            };
            self.remove(&client_id);
        }
        let charge = self
            .charge
            .get_or_insert_with(|| Charge::none(context.budget, Kind::Sessions));
        if charge.grow(size).is_err() {
            return;
        }
        let client_id: Arc<str> = client.client_id.into();
        let session = Duration::from_secs(client.expiry.into());
        let until = context.now + KEPT.max(session);
        self.ends += 1;
        self.away.insert(self.ends, client_id.clone());
        let number = Number {
            session: client.session,
            first,
            next,
            away: Some((until, self.ends)),
        };
        self.by_client.insert(client_id, number);
    }

    fn remove(&mut self, client_id: &str) {
        let Some(number) = self.by_client.remove(client_id) else {
            return;
        };
        if let Some((_, place)) = number.away {
            self.away.remove(&place);
        }
        if let Some(charge) = &mut self.charge {
            charge.shrink(SIZE + client_id.len());
        }
    }

    /// Forgets what has been kept for long enough, a few at a time: each that comes makes room for itself and
    /// more.
    fn forget_old(&mut self, now: Instant) {
        const AT_ONCE: usize = 64;
        for _ in 0..AT_ONCE {
            let Some(client_id) = self.away.values().next().cloned() else {
                return;
            };
            let number = self.by_client.get(&client_id);
            match number.and_then(|number| number.away) {
                Some((until, _)) if until <= now => self.remove(&client_id),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;
    use crate::broker::doubles::NoAlarm;
    use crate::broker::{Broker, ConnectionFacts, PeerAddr, Randomness};
    use crate::codec::Version;
    use crate::config::Config;

    struct Stand {
        broker: Broker,
        start: Instant,
        versions: Versions,
        facts: ConnectionFacts,
    }

    impl Stand {
        fn new(memory: usize) -> Self {
            let mut config = Config::standard();
            config.limits.memory = memory;
            let (start, random) = (Instant::now(), Randomness::from_seed(1));
            Self {
                broker: Broker::new(config, random, start, Arc::new(NoAlarm)),
                start,
                versions: Versions::default(),
                facts: ConnectionFacts::new("test", PeerAddr::Memory, None),
            }
        }

        fn client<'a>(&'a self, client_id: &'a str, session: u64, connections: u64) -> Client<'a> {
            Client {
                client_id,
                principal: &Principal::Anonymous,
                facts: &self.facts,
                version: Version::V5,
                session: Some(session),
                connections,
                keep_alive: 60,
                expiry: 0,
            }
        }

        fn begin(&self, client: &Client<'_>, after: Duration) -> u64 {
            self.versions.begin(client, self.start + after)
        }

        fn end(&self, client: &Client<'_>, after: Duration) -> u64 {
            self.versions
                .end(client, &self.broker.context(self.start + after))
        }

        fn used(&self) -> usize {
            self.broker.budget().used()
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// AWS-LIFE-10
    #[test]
    fn numbers_go_on_over_sessions_until_an_hour_has_passed() {
        let stand = Stand::new(64 << 20);
        let mut now = Duration::ZERO;
        for session in 0..3 {
            let client = stand.client("a", session, 0);
            assert_eq!(stand.begin(&client, now), session);
            // However long the connection lasts.
            now += 90 * MINUTE;
            assert_eq!(stand.end(&client, now), session);
            now += 59 * MINUTE;
        }
        // A session that has two connections.
        for connection in 0..2 {
            let client = stand.client("a", 3, connection);
            assert_eq!(stand.begin(&client, now), 3 + connection);
            assert_eq!(stand.end(&client, now), 3 + connection);
        }
        let others = stand.client("b", 4, 0);
        assert_eq!(stand.begin(&others, now), 0, "each client has its own");
        let late = stand.client("a", 5, 0);
        assert_eq!(stand.begin(&late, now + 60 * MINUTE), 0);
        assert_eq!(stand.used(), 0);
    }

    #[test]
    fn number_of_a_session_that_lasts_longer_is_kept_as_long() {
        let stand = Stand::new(64 << 20);
        let first = stand.client("a", 1, 0);
        stand.begin(&first, Duration::ZERO);
        stand.end(&first, Duration::ZERO);
        for (connections, after) in [(0, MINUTE), (1, 100 * MINUTE)] {
            let client = Client {
                expiry: 7_200,
                ..stand.client("a", 2, connections)
            };
            assert_eq!(stand.begin(&client, after), 1 + connections);
            assert_eq!(stand.end(&client, after), 1 + connections);
        }
    }

    #[test]
    fn numbers_are_bounded_and_those_of_connected_clients_stay() {
        for (memory, most) in [(1 << 30, MOST), (4 << 20, (4 << 20) / PART / (SIZE + 5))] {
            let stand = Stand::new(memory);
            let name = |number: usize| format!("{number:05}");
            let come_and_go = |name: &str| {
                let client = stand.client(name, 1, 0);
                stand.begin(&client, Duration::ZERO);
                stand.end(&client, Duration::ZERO);
            };
            come_and_go(&name(0));
            let (stays, later) = (name(0), name(1));
            let stays = stand.client(&stays, 2, 0);
            assert_eq!(stand.begin(&stays, Duration::ZERO), 1);
            for number in 1..=most {
                come_and_go(&name(number));
            }
            assert_eq!(stand.used(), most * (SIZE + 5));
            assert_eq!(stand.end(&stays, Duration::ZERO), 1);
            let gone = stand.client(&later, 2, 0);
            assert_eq!(stand.begin(&gone, Duration::ZERO), 0);
        }
    }
}
