//! The version numbers of connections in lifecycle events: they go on over the ends of sessions, for an hour
//! (AWS-LIFE-10).

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::broker::Context;
use crate::broker::events::Client;

use super::remembered::Remembered;

/// How long the number of a client that has no connection is kept, and longer while its session lasts.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// What a client takes besides its identifier.
const SIZE: usize = 256;

/// Numbers the connections of clients.
#[derive(Default)]
pub(crate) struct Versions(Mutex<Remembered<Number, SIZE>>);

/// What the connections of a client are numbered by.
struct Number {
    /// The session that it is about.
    session: Option<u64>,
    /// The number of the first connection of that session.
    first: u64,
    /// That of the next one.
    next: u64,
    /// When it is forgotten; none while the client has its connection.
    until: Option<Instant>,
}

impl Number {
    fn is_old(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Versions {
    /// The number of a connection that begins.
    pub(super) fn begin(&self, client: &Client<'_>, now: Instant) -> u64 {
        let mut numbers = self.0.lock();
        numbers.forget_old(|number| number.is_old(now));
        let Some(number) = numbers.hold(client.client_id) else {
            return client.connections;
        };
        if number.session != client.session {
            number.session = client.session;
            number.first = match number.is_old(now) {
                true => 0,
                false => number.next,
            };
        }
        number.until = None;
        number.first + client.connections
    }

    /// The number of a connection that ends.
    pub(super) fn end(&self, client: &Client<'_>, context: &Context<'_>) -> u64 {
        let mut numbers = self.0.lock();
        numbers.forget_old(|number| number.is_old(context.now));
        let known = numbers.get(client.client_id);
        let first = known
            .filter(|number| number.session == client.session)
            .map_or(0, |number| number.first);
        let version = first + client.connections;
        let session = Duration::from_secs(client.expiry.into());
        let number = Number {
            session: client.session,
            first,
            next: version + 1,
            until: Some(context.now + KEPT.max(session)),
        };
        numbers.insert(client.client_id, number, context);
        version
    }

    /// Forgets all numbers.
    #[cfg(feature = "http")]
    pub(super) fn clear(&self) {
        *self.0.lock() = Remembered::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::remembered::{MOST, PART};
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
