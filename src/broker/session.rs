//! One client's session, shared by everybody who sends to it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::codec::Version;
use crate::session::subscription::Subscription;
use crate::session::will::Will;

use super::facts::ConnectionFacts;
use super::group::Group;
use super::outbox::Outbox;
use super::output::{Held, Outcome};
use super::schedule::TimerKey;

/// Writes per flush before others get their turn; more comes only while somebody keeps appending.
const FLUSH_ROUNDS: usize = 8;

/// A session: what the broker remembers of a client, with or without a connection.
///
/// Three locks, taken in this order where more than one is needed: `slot` (who is connected,
/// subscriptions, will), then whatever groups are concerned, then `outbox` (everything outbound).
/// `received` is a leaf of its own.
pub(crate) struct Session {
    /// Unique in this broker, never 0.
    pub(super) id: u64,
    client_id: Box<str>,
    slot: Mutex<Slot>,
    outbox: Mutex<Outbox>,
    /// Identifiers of the client's QoS 2 messages that await PUBREL (MQTT-4.3.3-10).
    received: Mutex<ReceivedIds>,
}

/// Packet identifiers of QoS 2 messages that a client has sent and not released.
pub(super) type ReceivedIds = HashSet<u16, foldhash::fast::FixedState>;

/// What of a session changes by its own packets only.
pub(super) struct Slot {
    /// Counts connections and disconnections: a task that knows an older one has lost the session.
    pub(super) epoch: u64,
    pub(super) state: State,
    pub(super) version: Version,
    /// By full filter, `$share/` included: in order, so that a walk can go on where it stopped.
    pub(super) subscriptions: BTreeMap<Box<str>, Subscribed>,
    pub(super) will: Option<Box<Will>>,
    /// Session Expiry Interval in seconds: 0 ends with the connection, `u32::MAX` never.
    pub(super) expiry: u32,
    pub(super) facts: Option<Arc<ConnectionFacts>>,
    pub(super) connected_at: Option<Instant>,
    /// Session expiry or delayed will.
    pub(super) timers: [Option<TimerKey>; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Made for a CONNECT that is being handled.
    New,
    Connected,
    Away,
    /// Gone from the registry; whoever still finds it looks again.
    Ended,
}

/// A subscription as its session sees it.
#[derive(Clone)]
pub(super) struct Subscribed {
    pub(super) subscription: Arc<Subscription>,
    /// The group, if the filter was `$share/…`.
    pub(super) group: Option<Arc<Group>>,
}

impl Session {
    pub(super) fn new(id: u64, client_id: &str) -> Arc<Self> {
        Arc::new(Self {
            id,
            client_id: client_id.into(),
            slot: Mutex::new(Slot {
                epoch: 0,
                state: State::New,
                version: Version::V5,
                subscriptions: BTreeMap::new(),
                will: None,
                expiry: 0,
                facts: None,
                connected_at: None,
                timers: [None, None],
            }),
            outbox: Mutex::default(),
            received: Mutex::default(),
        })
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(super) fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock()
    }

    #[inline]
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock()
    }

    pub(super) fn received(&self) -> MutexGuard<'_, ReceivedIds> {
        self.received.lock()
    }

    /// Writes what the outbox holds to the socket, unless another task is at it.
    pub(super) fn flush(&self) {
        for _ in 0..FLUSH_ROUNDS {
            let Some(mut writing) = self.outbox().take_output() else {
                return;
            };
            let link = writing.link.clone();
            // The lock is free while the kernel copies: others go on appending.
            let outcome = writing.batch.write(|bytes| link.try_write(bytes));
            self.outbox().report_write(writing, outcome);
            match outcome {
                Outcome::Done => {}
                Outcome::Full | Outcome::Broken => return link.wake(),
                Outcome::Deferred => return,
            }
        }
        self.wake_owner();
    }

    /// Tells the owner of the connection, if there is one, to look at the outbox.
    pub(super) fn wake_owner(&self) {
        let link = {
            let mut outbox = self.outbox();
            outbox.connected.as_mut().map(|connected| {
                connected.out.held = Held::Nowhere;
                connected.link.clone()
            })
        };
        if let Some(link) = link {
            link.wake();
        }
    }
}
