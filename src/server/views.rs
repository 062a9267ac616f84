//! What there is in a broker at this moment, and what an operator does to it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::broker::{
    ClientSnapshot, ClientsOf, Dirty, GroupSnapshot, GroupsOf, MemberSnapshot, PageOf, PartBounds,
    PeerAddr, Removal,
};
use crate::codec::{QoS, ReasonCode, Version};
use crate::engine::operator;
use crate::message::cause::Cause;

use super::{ConnectionEnd, Handle};

/// Subscriptions of a client, and members of a group, that one look has; whoever changes them waits meanwhile.
const SHOWN: PartBounds = PartBounds {
    count: 10_000,
    bytes: 1024 * 1024,
};

/// Entries of a list at a time.
const PAGE: usize = 1000;

/// What a client is told that a program puts out.
const REASON_STRING: &str = "disconnected by the program";

/// A client: a session, with its connection if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its Client Identifier.
    pub client_id: String,
    /// Whether it has a connection.
    pub is_connected: bool,
    /// The version of its connection, or of its last one.
    pub version: Version,
    /// The listener that it came by, such as `mqtts`.
    pub listener: Option<&'static str>,
    /// Where it is, if it came over a network.
    pub peer: Option<SocketAddr>,
    /// How long its session outlives its connection; `None` for ever.
    pub session_expiry: Option<Duration>,
    /// Filters and granted QoS, by filter: 10,000 or 1 MiB of them at most.
    pub subscriptions: Vec<(String, QoS)>,
    /// QoS 1 and 2 messages to it that are not acknowledged.
    pub in_flight: usize,
    /// Messages that wait for it.
    pub queued: usize,
    /// Messages that were sent to it on all its connections.
    pub messages_sent: u64,
    /// Messages that it did not get, for want of room or for their size.
    pub dropped: u64,
    /// How its last connection ended, while there is none.
    pub last_end: Option<ConnectionEnd>,
    /// For how long it has had its connection, by the broker's clock.
    pub connected_for: Option<Duration>,
}

/// A shared group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// Its ShareName.
    pub share: String,
    /// Its Topic Filter.
    pub filter: String,
    /// The place in `members` whose turn is next.
    pub cursor: usize,
    /// In join order: 10,000 or 1 MiB of them at most.
    pub members: Vec<MemberInfo>,
    /// Messages that wait for a member who can take them.
    pub queued: usize,
    /// Messages that nobody got.
    pub dropped: u64,
}

impl GroupInfo {
    /// The member whose turn is next.
    #[must_use]
    pub fn next(&self) -> Option<&MemberInfo> {
        self.members.get(self.cursor)
    }
}

/// A member of a shared group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInfo {
    /// Its Client Identifier.
    pub client_id: String,
    /// Whether it has a connection.
    pub is_connected: bool,
    /// Messages of the group that it has and has not acknowledged.
    pub in_flight: u32,
    /// Messages that it was handed.
    pub delivered: u64,
    /// How many of them another member had before.
    pub redelivered: u64,
    /// The Receive Maximum of its connection.
    pub window: Option<usize>,
    /// What of it is taken, by this group, others, and plain subscriptions.
    pub window_taken: usize,
}

impl From<ClientSnapshot> for ClientInfo {
    fn from(client: ClientSnapshot) -> Self {
        let facts = client.facts.as_ref();
        let subscriptions = client.subscriptions.into_iter();
        Self {
            client_id: client.client_id,
            is_connected: client.connected,
            version: client.version,
            listener: facts.map(|facts| facts.listener()),
            peer: facts.and_then(|facts| match facts.peer() {
                PeerAddr::Ip(address) => Some(address),
                _ => None,
            }),
            session_expiry: client.session_expiry,
            subscriptions: subscriptions.map(|own| (own.filter, own.qos)).collect(),
            in_flight: client.in_flight,
            queued: client.queued,
            messages_sent: client.messages_sent,
            dropped: client.dropped,
            last_end: client.last_end.map(|(end, _)| end.into()),
            connected_for: client.connected_for,
        }
    }
}

impl From<GroupSnapshot> for GroupInfo {
    fn from(group: GroupSnapshot) -> Self {
        Self {
            share: group.share,
            filter: group.filter,
            cursor: group.cursor,
            members: group.members.into_iter().map(MemberInfo::from).collect(),
            queued: group.queued,
            dropped: group.dropped,
        }
    }
}

impl From<MemberSnapshot> for MemberInfo {
    fn from(member: MemberSnapshot) -> Self {
        Self {
            client_id: member.client_id,
            is_connected: member.connected,
            in_flight: member.in_flight,
            delivered: member.delivered,
            redelivered: member.redelivered,
            window: member.window,
            window_taken: member.window_taken,
        }
    }
}

/// What there is, and what an operator does. The lists look at every session or group;
/// where there are very many, they belong on a thread that may block.
///
/// ```
/// use roundel::{Config, QoS, ReasonCode, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::start(Config::standard().ephemeral()).await?;
/// let worker = server.subscribe("$share/workers/orders/+", QoS::AtLeastOnce)?;
/// let group = server.group("workers", "orders/+").expect("it has a member");
/// assert_eq!(group.next().map(|member| member.is_connected), Some(true));
/// assert!(server.client("sensor").is_none());
/// assert!(!server.disconnect("sensor", ReasonCode::ServerBusy).await);
/// # drop(worker);
/// # Ok(())
/// # }
/// ```
impl Handle {
    /// All clients, by Client Identifier.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientInfo> {
        let engine = &self.shared.engine;
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = engine.broker.client_page(
                &PageOf {
                    after: after.as_deref(),
                    containing: None,
                    limit: PAGE,
                },
                &ClientsOf::default(),
            );
            let Some(last) = page.entries.last() else {
                return found;
            };
            after = Some(last.client_id().to_owned());
            let now = engine.clock.now().now;
            let clients = page.entries.iter();
            found.extend(clients.filter_map(|one| one.snapshot(SHOWN, now).map(ClientInfo::from)));
        }
    }

    /// One client.
    #[must_use]
    pub fn client(&self, client_id: &str) -> Option<ClientInfo> {
        let engine = &self.shared.engine;
        let session = engine.broker.find(client_id)?;
        let client = session.snapshot(SHOWN, engine.clock.now().now);
        client.map(ClientInfo::from)
    }

    /// All shared groups, by filter and share name.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupInfo> {
        let all = GroupsOf {
            share: None,
            filter: None,
            containing: None,
            after: None,
            limit: usize::MAX,
        };
        self.groups_of(&all)
    }

    /// One shared group.
    #[must_use]
    pub fn group(&self, share: &str, filter: &str) -> Option<GroupInfo> {
        let one = GroupsOf {
            share: Some(share),
            filter: Some(filter),
            containing: None,
            after: None,
            limit: 1,
        };
        self.groups_of(&one).pop()
    }

    fn groups_of(&self, groups: &GroupsOf<'_>) -> Vec<GroupInfo> {
        let page = self.shared.engine.broker.group_page(groups);
        let groups = page.entries.iter();
        groups.map(|group| group.snapshot(SHOWN).into()).collect()
    }

    /// Ends the connection of a client with DISCONNECT and this reason; its session goes on as after any lost
    /// connection. Whether it had a connection.
    pub async fn disconnect(&self, client_id: &str, reason: ReasonCode) -> bool {
        self.remove(client_id, reason, Removal::default()).await
    }

    /// Ends the connection of a client, if it has one, and its session. Whether there was such a client.
    pub async fn end_session(&self, client_id: &str) -> bool {
        let is_there = self.client(client_id).is_some();
        let removal = Removal {
            with_session: true,
            ..Removal::default()
        };
        self.remove(client_id, ReasonCode::AdministrativeAction, removal)
            .await;
        is_there
    }

    async fn remove(&self, client_id: &str, reason: ReasonCode, removal: Removal) -> bool {
        let engine = &self.shared.engine;
        let Some(session) = engine.broker.find(client_id) else {
            return false;
        };
        let cause = Cause::Kicked {
            reason,
            text: REASON_STRING,
        };
        let mut dirty = Dirty::default();
        let context = engine.broker.context(engine.clock.now());
        let removed = engine
            .broker
            .remove(&session, cause, removal, &context, &mut dirty);
        operator::flush(engine, dirty).await;
        removed.unwrap_or(false)
    }

    /// Deletes the retained messages whose topics the filter matches, or all of them. Returns how many there were.
    pub async fn delete_retained(&self, filter: Option<&str>) -> usize {
        operator::delete_retained(&self.shared.engine, filter).await
    }

    /// Puts everybody out and begins anew: sessions, retained messages, queues, packet rules, journal and
    /// counters are gone. Registry, certificates and clock stay.
    pub async fn reset(&self) {
        operator::reset(&self.shared.engine).await;
    }

    /// Loses all connections, as a network does that is gone, and refuses new ones for so long by the broker's
    /// clock; no time ends an outage. Returns how many were lost.
    pub async fn outage(&self, lasts: Duration) -> usize {
        operator::outage(&self.shared.engine, lasts).await
    }
}
