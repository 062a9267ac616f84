//! Waiting for what clients do, without looking again and again.

use std::time::Duration;

use crate::broker::{self, Broker, Glimpse, GroupCounts, Subject};
use crate::codec::ReasonCode;
use crate::engine::Engine;
use crate::engine::wait::{self, NotSeen};

use super::Handle;

/// How a client's connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionEnd {
    /// Who ended it: `client`, `library` (this program), `network` (nobody said so), `broker`, `operator` or
    /// `policy`.
    pub by: &'static str,
    /// What kind of end it was: `disconnect`, `lost`, `taken_over`, `kicked`, `keep_alive_timeout`, `refused`
    /// and others, as `last_end.cause` over HTTP.
    pub cause: &'static str,
    /// The Reason Code of the DISCONNECT that ended it, from either side.
    pub code: Option<ReasonCode>,
    /// The same in words.
    pub reason: String,
}

impl From<broker::LastEnd> for ConnectionEnd {
    fn from(end: broker::LastEnd) -> Self {
        Self {
            by: end.by.name(),
            cause: end.cause,
            code: end.code,
            reason: (*end.reason).to_owned(),
        }
    }
}

/// Why a wait ended without what it was for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is up.
    #[error("{wanted}, but not within {within:?}: {found}")]
    TimedOut {
        /// What was waited for.
        wanted: String,
        /// How long.
        within: Duration,
        /// What there was instead when the time was up.
        found: String,
    },
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopped,
    /// Rows of the [journal](Handle::journal) that it depends on are not written or not kept.
    #[error("nobody can say {what}: {reason}")]
    NotInJournal {
        /// What cannot be said without them.
        what: &'static str,
        /// Why they are not there.
        reason: String,
    },
    /// There is no packet rule of this name or number.
    #[error("there is no packet rule '{key}'")]
    NoRule {
        /// What was asked for.
        key: String,
    },
}

impl WaitError {
    fn new(
        not_seen: NotSeen,
        wanted: impl FnOnce() -> String,
        within: Duration,
        found: impl FnOnce() -> String,
    ) -> Self {
        match not_seen {
            NotSeen::Stopped => Self::Stopped,
            NotSeen::TimedOut => Self::TimedOut {
                wanted: wanted(),
                within,
                found: found(),
            },
        }
    }
}

/// Waits for `future`, which is woken by what it waits for.
pub(super) async fn for_future<T>(
    engine: &Engine,
    within: Duration,
    future: impl Future<Output = T>,
    wanted: impl FnOnce() -> String,
    found: impl FnOnce() -> String,
) -> Result<T, WaitError> {
    let waited = wait::for_future(engine, within, future).await;
    waited.map_err(|not_seen| WaitError::new(not_seen, wanted, within, found))
}

/// Waits, each of which ends the moment that it is so, at once where it is so already. The time is that of
/// the machine, whatever the broker's [clock](Self::clock) says; dropping the future ends the wait.
///
/// ```
/// use std::time::Duration;
///
/// use roundel::{Config, QoS, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::start(Config::standard().ephemeral()).await?;
/// let worker = server.subscribe("$share/workers/orders/+", QoS::AtLeastOnce)?;
/// let within = Duration::from_secs(5);
/// server.wait_for_members("workers", "orders/+", 1, within).await?;
/// server.wait_for_idle_group("workers", "orders/+", within).await?;
/// let error = server.wait_for_client("sensor", Duration::ZERO).await.unwrap_err();
/// assert!(error.to_string().starts_with("client 'sensor' is to connect"), "{error}");
/// # drop(worker);
/// # Ok(())
/// # }
/// ```
impl Handle {
    /// Waits until a client is connected. One that comes and is gone again at once counts, too.
    ///
    /// # Errors
    ///
    /// The time is up, or the broker stops.
    pub async fn wait_for_client(
        &self,
        client_id: &str,
        within: Duration,
    ) -> Result<(), WaitError> {
        let own = client_id.to_owned();
        self.wait(
            within,
            &[Subject::Clients],
            |broker| broker.is_connected(client_id).then_some(()),
            move |glimpse| match *glimpse {
                Glimpse::Connected { client_id } if client_id == own => Some(()),
                _ => None,
            },
            || format!("client '{client_id}' is to connect"),
            |broker| match broker.end_of(client_id) {
                Some(end) => format!("its last connection ended: {}", end.reason),
                None => "it has not".to_owned(),
            },
        )
        .await
    }

    /// Waits until the connection that a client has is no more, and says how it ended: `None` where the
    /// client was never there, or left too long ago. A client that is back by then was away in between.
    ///
    /// # Errors
    ///
    /// The time is up, or the broker stops.
    pub async fn wait_for_disconnect(
        &self,
        client_id: &str,
        within: Duration,
    ) -> Result<Option<ConnectionEnd>, WaitError> {
        let own = client_id.to_owned();
        let ended = |end: Option<broker::LastEnd>| end.map(ConnectionEnd::from);
        self.wait(
            within,
            &[Subject::Clients],
            |broker| match broker.is_connected(client_id) {
                true => None,
                false => Some(ended(broker.end_of(client_id))),
            },
            move |glimpse| match *glimpse {
                Glimpse::Disconnected { client_id, end } if client_id == own => {
                    Some(ended(end.cloned()))
                }
                _ => None,
            },
            || format!("client '{client_id}' is to disconnect"),
            |_| "it is connected".to_owned(),
        )
        .await
    }

    /// Waits until somebody subscribes to exactly this filter, `$share/NAME/` included where there is one.
    ///
    /// # Errors
    ///
    /// The time is up, or the broker stops.
    pub async fn wait_for_subscription(
        &self,
        filter: &str,
        within: Duration,
    ) -> Result<(), WaitError> {
        let own = filter.to_owned();
        self.wait(
            within,
            &[Subject::Subscriptions],
            |broker| broker.is_subscribed(filter).then_some(()),
            move |glimpse| match *glimpse {
                Glimpse::Subscribed { filter, .. } if filter == own => Some(()),
                _ => None,
            },
            || format!("somebody is to subscribe to '{filter}'"),
            |_| "nobody does".to_owned(),
        )
        .await
    }

    /// Waits until a client subscribes to exactly this filter, `$share/NAME/` included where there is one.
    ///
    /// # Errors
    ///
    /// The time is up, or the broker stops.
    pub async fn wait_for_subscription_of(
        &self,
        client_id: &str,
        filter: &str,
        within: Duration,
    ) -> Result<(), WaitError> {
        let found = |broker: &Broker| match broker.is_connected(client_id) {
            true => "it is connected and has not",
            false => "it is not connected",
        };
        let own = (client_id.to_owned(), filter.to_owned());
        self.wait(
            within,
            &[Subject::Subscriptions],
            |broker| {
                let has_one = broker.subscribes(client_id, Some(filter));
                has_one.then_some(())
            },
            move |glimpse| match *glimpse {
                Glimpse::Subscribed { client_id, filter }
                    if (client_id, filter) == (&*own.0, &*own.1) =>
                {
                    Some(())
                }
                _ => None,
            },
            || format!("client '{client_id}' is to subscribe to '{filter}'"),
            |broker| found(broker).to_owned(),
        )
        .await
    }

    /// Waits until the group of a share name and a filter has exactly so many members, connected or not. A
    /// group without members is none.
    ///
    /// # Errors
    ///
    /// The time is up, or the broker stops.
    pub async fn wait_for_members(
        &self,
        share: &str,
        filter: &str,
        members: usize,
        within: Duration,
    ) -> Result<(), WaitError> {
        self.wait_for_group(
            (share, filter),
            within,
            move |group| group.members == members,
            || format!("group '$share/{share}/{filter}' is to have {members} members"),
        )
        .await
    }

    /// Waits until the group of a share name and a filter has a member, and no message waits for one: all
    /// have been handed over.
    ///
    /// # Errors
    ///
    /// The time is up, or the broker stops.
    pub async fn wait_for_idle_group(
        &self,
        share: &str,
        filter: &str,
        within: Duration,
    ) -> Result<(), WaitError> {
        self.wait_for_group(
            (share, filter),
            within,
            |group| group.members > 0 && group.queued == 0,
            || format!("nothing is to wait in group '$share/{share}/{filter}'"),
        )
        .await
    }

    /// Waits until a group is so, if only for a moment.
    async fn wait_for_group(
        &self,
        (share, filter): (&str, &str),
        within: Duration,
        is_so: impl Fn(GroupCounts) -> bool + Copy + Send + Sync + 'static,
        wanted: impl FnOnce() -> String,
    ) -> Result<(), WaitError> {
        let own = (share.to_owned(), filter.to_owned());
        self.wait(
            within,
            &[Subject::Subscriptions, Subject::GroupQueues],
            |broker| is_so(broker.group_counts(share, filter)).then_some(()),
            move |glimpse| is_so(glimpse.group_counts(&own.0, &own.1)?).then_some(()),
            wanted,
            |broker| broker.group_counts(share, filter).to_string(),
        )
        .await
    }

    /// Waits until `look` finds something, or `catch` does in what is so for a moment.
    pub(super) async fn wait<T: Send + 'static>(
        &self,
        within: Duration,
        subjects: &[Subject],
        look: impl FnMut(&Broker) -> Option<T>,
        catch: impl Fn(&Glimpse<'_>) -> Option<T> + Send + Sync + 'static,
        wanted: impl FnOnce() -> String,
        found: impl FnOnce(&Broker) -> String,
    ) -> Result<T, WaitError> {
        let engine = &self.shared.engine;
        let waited = wait::until(engine, subjects, within, look, catch).await;
        waited
            .map_err(|not_seen| WaitError::new(not_seen, wanted, within, || found(&engine.broker)))
    }
}

impl std::fmt::Display for GroupCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.members {
            0 => f.write_str("there is no such group"),
            members => write!(f, "{members} members, and {} messages wait", self.queued),
        }
    }
}
