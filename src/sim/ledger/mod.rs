//! What the broker owes to whom, kept from what it was told and what it composed.
//!
//! The ledger follows one call of the broker at a time: [`Ledger::begin`], then the packets that the
//! call handled, the connections that it ended, the packets that it composed, and [`Ledger::close`].
//! It decides nothing that the broker is free to decide (who of a group is next); it notes what was
//! decided and holds it against the rules. Anything wrong is a panic, which fails the seed.
//!
//! Every message of QoS 1 or 2 is, for each receiver and each group, in exactly one place: due, in a
//! window, done, or lost for a reason that the broker has to have counted.

mod balance;
mod group;
mod input;
mod output;
mod session;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::codec::{PacketId, QoS, ReasonCode, Version};

pub(super) use input::number_of;

use super::plan::Plan;

/// The bookkeeping of one simulation.
pub(super) struct Ledger {
    rules: Rules,
    now: Instant,
    messages: HashMap<u64, Message>,
    /// Messages published so far; each has its place in this order.
    published: u64,
    /// Every session there was; one that ended stays, empty.
    sessions: Vec<Session>,
    by_client: HashMap<String, usize>,
    groups: Vec<Group>,
    connections: Vec<Connection>,
    /// The number of the retained message of each topic.
    retained: BTreeMap<String, u64>,
    /// Which group a Subscription Identifier means; `None` is a plain subscription.
    subscription_ids: HashMap<u32, Option<usize>>,
    timers: BTreeMap<(Instant, u64), Timer>,
    timer_count: u64,
    /// Messages that nobody will get any more, for a reason that the broker counts.
    lost: u64,
    call: Call,
}

/// What a seed allows.
struct Rules {
    /// See [`Plan`].
    is_lossless: bool,
    is_exact: bool,
    copy_each: bool,
    /// See [`Plan`]. What fits all clients is lost as little as without.
    packet_sizes: bool,
    resends: bool,
}

/// What is known about the call that is being followed.
#[derive(Default)]
struct Call {
    /// Packets that it handled and connections that it ended.
    events: usize,
    /// The broker's memory bound is reached.
    is_exhausted: bool,
    /// The message that was published nevertheless.
    at_once: Option<AtOnce>,
    /// It handles a CONNECT: wills are published when the new connection has its session.
    is_connect: bool,
    wills: Vec<(usize, u64)>,
    /// The connection that it ended, while what was composed for it is looked at.
    ending: Option<usize>,
    /// Messages handed over for the first time, per group.
    firsts: BTreeMap<usize, Vec<u64>>,
    /// Messages handed over on connections that still stand, per group.
    handed: BTreeMap<usize, Vec<u64>>,
}

/// A message that may not wait: in this call it goes to all that are to have it, to some or to none.
struct AtOnce {
    /// The connection that it came on.
    at: usize,
    number: u64,
    /// Its place in the order of publishing.
    order: u64,
    /// Its publisher was told that nobody has it.
    is_refused: bool,
}

/// An Application Message, as its publisher made it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Message Expiry Interval in seconds.
    pub(super) expiry: Option<u32>,
    pub(super) length: usize,
    /// Its place in the order of publishing, once it is published.
    pub(super) order: Option<u64>,
    pub(super) expires_at: Option<Instant>,
}

/// A network connection, from the broker's side.
pub(super) struct Connection {
    version: Version,
    session: Option<usize>,
    receive_maximum: usize,
    packet_size: usize,
    alias_maximum: u16,
    aliases: HashMap<u16, String>,
    /// Answers that are due, in this order.
    answers: VecDeque<Answer>,
    /// A write failed: groups pass it by.
    is_broken: bool,
    /// DISCONNECT came.
    departure: Option<Departure>,
    /// The stamp of the last message sent again.
    resent: u64,
}

#[derive(Clone, Copy, Default)]
struct Departure {
    discard_will: bool,
    expiry: Option<u32>,
}

/// The broker's answer to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Connack { session_present: bool },
    Puback(PacketId, ReasonCode),
    Pubrec(PacketId, ReasonCode),
    Pubrel(PacketId, ReasonCode),
    Pubcomp(PacketId, ReasonCode),
    Suback(PacketId, Vec<ReasonCode>),
    Unsuback(PacketId, Vec<ReasonCode>),
    Pingresp,
}

/// A session, from CONNECT to its end.
struct Session {
    client: String,
    connection: Option<usize>,
    has_ended: bool,
    /// Session Expiry Interval in seconds; `u32::MAX` is never.
    expiry: u32,
    subscriptions: BTreeMap<String, Subscription>,
    /// Messages of plain subscriptions that were not sent yet.
    due: VecDeque<Due>,
    /// Those of QoS 0, which go out in the call that publishes them or never.
    at_once: Vec<Due>,
    replays: Vec<Replay>,
    /// Open exchanges by packet identifier.
    window: BTreeMap<PacketId, Open>,
    /// Identifiers of QoS 2 messages from the client that it has not released.
    received: BTreeSet<PacketId>,
    will: Option<Will>,
    timers: Vec<(Instant, u64)>,
    /// Counts the exchanges that were opened.
    stamps: u64,
}

#[derive(Clone)]
struct Subscription {
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    id: Option<u32>,
    group: Option<usize>,
}

/// A message that a session is to get for its plain subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Due {
    order: u64,
    number: u64,
    qos: QoS,
    retain: bool,
    ids: Vec<u32>,
}

/// A retained message that a session is to get for a new subscription.
#[derive(Clone, Debug)]
struct Replay {
    number: u64,
    filter: String,
    /// What the SUBSCRIBE that it is for was granted; a later one may have changed the subscription's.
    granted: QoS,
}

/// An open exchange.
#[derive(Clone, Debug)]
struct Open {
    number: u64,
    qos: QoS,
    source: Source,
    /// PUBREC came.
    is_released: bool,
    /// It was sent on the present connection.
    is_on_wire: bool,
    /// Its PUBLISH was: it counts for the Receive Maximum, which is of the connection.
    takes_place: bool,
    /// How often the group has handed the message over.
    handed: u32,
    /// Counts the exchanges of the session; 0 for one that came back to it.
    stamp: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The session's own: a plain subscription, or a group that has no claim any more.
    Own,
    Group(usize),
}

#[derive(Clone)]
struct Will {
    number: u64,
    delay: Duration,
}

/// A shared group, from its first member to its last.
struct Group {
    share: String,
    filter: String,
    /// Sessions in join order; empty once the group has ended.
    members: Vec<usize>,
    /// By order of publishing.
    waiting: BTreeMap<u64, Waiting>,
    /// Messages of QoS 0 of this call.
    at_once: Vec<u64>,
    /// The order of the last message that was handed over for the first time, large ones aside.
    last_first: u64,
}

struct Waiting {
    number: u64,
    handed: u32,
    /// Some members may be unable to take it: it may be overtaken, and dropped.
    is_large: bool,
    /// The session that had it, and under which identifier.
    returned: Option<(usize, PacketId)>,
    /// That one has a connection again and is no member any more: the message becomes its own.
    goes_home: bool,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    SessionExpiry(usize),
    Will(usize),
}

/// Payloads of this size fit the smallest Maximum Packet Size, whatever else is in the packet.
const FITS_ALL: usize = 20;

impl Rules {
    /// Whether the packet of a message may be too large for a client.
    fn is_large(&self, message: &Message) -> bool {
        self.packet_sizes && message.length > FITS_ALL
    }
}

impl Ledger {
    pub(super) fn new(plan: &Plan, now: Instant) -> Self {
        use crate::config::Overlapping;
        Self {
            rules: Rules {
                is_lossless: plan.is_lossless,
                is_exact: plan.is_exact,
                packet_sizes: plan.packet_sizes,
                copy_each: plan.config.overlapping == Overlapping::CopyEach,
                resends: plan.config.limits.resend_interval.is_some(),
            },
            now,
            messages: HashMap::new(),
            published: 0,
            sessions: Vec::new(),
            by_client: HashMap::new(),
            groups: Vec::new(),
            connections: Vec::new(),
            retained: BTreeMap::new(),
            subscription_ids: HashMap::new(),
            timers: BTreeMap::new(),
            timer_count: 0,
            lost: 0,
            call: Call::default(),
        }
    }

    /// A client has made a message, which it may or may not get to publish.
    pub(super) fn register(&mut self, number: u64, message: Message) {
        self.messages.insert(number, message);
    }

    /// A client has connected its socket.
    pub(super) fn accept(&mut self, version: Version) -> usize {
        self.connections.push(Connection {
            version,
            session: None,
            receive_maximum: usize::from(u16::MAX),
            packet_size: usize::MAX,
            alias_maximum: 0,
            aliases: HashMap::new(),
            answers: VecDeque::new(),
            is_broken: false,
            departure: None,
            resent: 0,
        });
        self.connections.len() - 1
    }

    /// The broker found out that a connection is broken.
    pub(super) fn broken(&mut self, at: usize) {
        self.connections[at].is_broken = true;
    }

    /// The broker is about to be called.
    pub(super) fn begin(&mut self, now: Instant, is_exhausted: bool) {
        self.now = now;
        self.call = Call {
            is_exhausted,
            ..Call::default()
        };
    }

    /// The call is about a CONNECT.
    pub(super) fn begin_connect(&mut self) {
        self.call.is_connect = true;
    }

    /// What follows was composed for a connection that the call ended.
    pub(super) fn begin_end(&mut self, at: usize) {
        self.call.ending = Some(at);
    }

    pub(super) fn version(&self, at: usize) -> Version {
        self.connections[at].version
    }

    /// Whether the order of events inside the call is known: there was one at most.
    fn is_single(&self) -> bool {
        self.call.events <= 1
    }

    fn message(&self, number: u64) -> &Message {
        self.messages
            .get(&number)
            .unwrap_or_else(|| panic!("message {number} was never made"))
    }

    /// The present session of a connection, if it still has it.
    fn session_of(&self, connection: usize) -> Option<usize> {
        let session = self.connections[connection].session?;
        (self.sessions[session].connection == Some(connection)).then_some(session)
    }
}
