//! The place of a connection among those that are served: counted, and charged for what it holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::budget::Kind as Held;

use super::Shared;

/// Why a connection is not served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    #[error("too many connections, `limits.connections` is {0}")]
    Connections(usize),
    #[error("no memory for another connection, `limits.memory` is {0}")]
    Memory(usize),
}

/// Counts a connection, and accounts for what it holds, for as long as it lives.
pub(super) struct Place {
    pub(super) shared: Arc<Shared>,
    /// Bytes that are charged for it.
    held: u32,
}

/// The place of a connection on which MQTT has not begun.
pub(super) struct OpeningPlace {
    place: Place,
    /// Bytes to account for once it has.
    open_bytes: u32,
}

impl OpeningPlace {
    /// A place for a connection that holds `opening` bytes until MQTT begins and `open` bytes from then on.
    pub(super) fn take(shared: &Arc<Shared>, opening: u32, open: u32) -> Result<Self, NoPlace> {
        let limits = &shared.engine.broker.config().limits;
        let budget = shared.engine.broker.budget();
        if !budget.has_room(Held::Connections, opening as usize) {
            return Err(NoPlace::Memory(limits.memory));
        }
        // It is counted and charged from here on, and no more when it is dropped.
        budget.charge(Held::Connections, opening as usize);
        let earlier = shared.connections.fetch_add(1, Ordering::Relaxed);
        let place = Self {
            place: Place {
                shared: shared.clone(),
                held: opening,
            },
            open_bytes: open,
        };
        match earlier < limits.connections {
            true => Ok(place),
            false => Err(NoPlace::Connections(limits.connections)),
        }
    }

    /// It has shown that it will hold so many bytes once MQTT has begun.
    #[cfg(feature = "websocket")]
    pub(super) fn will_hold(&mut self, open: u32) {
        self.open_bytes = open;
    }

    /// What came before MQTT, or before HTTP, is over, and what it held is given back.
    pub(super) fn begin(&mut self) {
        let budget = self.place.shared.engine.broker.budget();
        let before = std::mem::replace(&mut self.place.held, self.open_bytes);
        budget.charge(Held::Connections, self.open_bytes as usize);
        budget.discharge(Held::Connections, before as usize);
    }

    /// The same, with which MQTT has begun.
    pub(super) fn begin_mqtt(mut self) -> Place {
        self.begin();
        self.place
    }

    #[cfg(any(feature = "tls", feature = "websocket"))]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.place.shared
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let budget = self.shared.engine.broker.budget();
        budget.discharge(Held::Connections, self.held as usize);
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn shared(connections: usize, memory: usize) -> Arc<Shared> {
        let mut config = Config::standard();
        config.limits.connections = connections;
        config.limits.memory = memory;
        crate::server::share(
            config,
            Default::default(),
            #[cfg(feature = "aws")]
            None,
        )
    }

    const HELD: u32 = 4500;

    fn take(shared: &Arc<Shared>) -> Result<OpeningPlace, NoPlace> {
        OpeningPlace::take(shared, HELD, HELD)
    }

    #[tokio::test]
    async fn no_more_connections_are_served_than_the_limit_and_one_that_ends_makes_room() {
        let shared = shared(2, 1 << 30);
        let first = take(&shared).unwrap();
        let _second = take(&shared).unwrap();
        let refused = take(&shared).err();
        assert_eq!(refused, Some(NoPlace::Connections(2)));
        drop(first);
        take(&shared).unwrap();
    }

    #[tokio::test]
    async fn connections_are_charged_until_memory_is_used_up_and_give_all_back() {
        let memory = 1 << 20;
        let shared = shared(10_000, memory);
        let used = || shared.engine.broker.budget().used_by(Held::Connections);
        let before = used();
        let mut places = Vec::new();
        let refused = loop {
            match take(&shared) {
                Ok(place) => places.push(place),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, NoPlace::Memory(memory));
        assert_eq!(used() - before, places.len() * HELD as usize);
        assert!(used() > memory / 2 && used() < memory * 5 / 8, "{}", used());
        assert_eq!(shared.connections.load(Ordering::Relaxed), places.len());
        drop(places);
        assert_eq!(used(), before);
        assert_eq!(shared.connections.load(Ordering::Relaxed), 0);
    }
}
