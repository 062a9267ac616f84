//! The broker: everything that connections share. Calls are synchronous and take the time from the
//! caller, so that a test can drive many clients through years in a second.
//!
//! # Locks
//!
//! From outer to inner: session slot → subscription tables → retained messages → group → outbox. A
//! task holds at most one outbox. The registry's shards, the list of groups, the schedule and the
//! budget are leaves: nothing is locked inside them. No lock is held across an await or a write to
//! a socket.

pub(crate) mod access;
mod bounds;
mod captures;
mod deadlines;
mod deliver;
mod discard;
#[cfg(any(test, fuzzing, feature = "internals"))]
pub(crate) mod doubles;
mod errand;
#[cfg_attr(
    not(feature = "aws"),
    expect(dead_code, reason = "nobody listens without it")
)]
pub(crate) mod events;
mod facts;
mod gate;
mod group_names;
mod history;
mod id_set;
mod last_end;
#[cfg(feature = "http")]
mod last_values;
mod lifecycle;
mod local;
mod looks;
mod observers;
mod ordered;
mod outage;
mod outbox;
mod part_bounds;
mod random;
mod replay;
pub(crate) mod requests;
mod retained;
mod routing;
mod schedule;
mod session;
mod share;
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "the HTTP API shows more of it")
)]
mod snapshot;
mod stats;
mod subscribe;
mod sys;
mod tapping;
#[cfg(feature = "http")]
mod topics;
mod turn;
mod watch;

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::budget;
use crate::codec::{Publish, ReasonCode};
use crate::config::Config;
use crate::message::cause::Cause;
use crate::protocol::rate::Rates;
use crate::protocol::violation::Violation;
use crate::tap::Tap;
use crate::time::Moment;
use crate::topic::{HashParent, Hashing};

pub(crate) use captures::Capturing;
pub(crate) use deadlines::Deadline;
#[cfg(all(feature = "http", feature = "aws"))]
pub(crate) use deliver::direct::NotSent;
pub(crate) use deliver::fan_out::FanOut;
pub(crate) use deliver::outside::OutsideMessage;
#[cfg(feature = "http")]
pub(crate) use deliver::outside::Publishing;
pub(crate) use deliver::{Origin, Published, Run, Sent};
#[cfg(feature = "http")]
pub(crate) use facts::CONSOLE;
#[cfg(feature = "aws")]
pub(crate) use facts::Upgrade;
pub(crate) use facts::{ConnectionFacts, LOCAL, PeerAddr, TrafficTotals};
#[cfg(any(feature = "tls", feature = "http"))]
pub(crate) use facts::{TlsDetails, TlsFacts};
#[cfg(feature = "http")]
pub(crate) use history::Happened;
pub(crate) use history::{FilterAnswers, HistoryEvent};
pub(crate) use last_end::LastEnd;
#[cfg(feature = "http")]
pub(crate) use last_values::Value;
pub(crate) use lifecycle::Removal;
pub(crate) use lifecycle::{Attached, ConnectRequest, NotAttached, Takeover};
pub(crate) use local::LocalSession;
pub(crate) use looks::GroupCounts;
pub(crate) use outbox::compose::{Outgoing, compose, compose_acks, compose_within};
#[cfg(all(feature = "http", feature = "aws"))]
pub(crate) use outbox::direct::{Confirmation, Undelivered};
pub(crate) use outbox::link::{Farewell, Link, Mailbox, Written, waker};
pub(crate) use outbox::signal::Signal;
pub(crate) use outbox::writer::Outcome;
pub(crate) use outbox::{Acknowledged, Outbox, OutputState, Peer, pool};
pub(crate) use part_bounds::PartBounds;
pub(crate) use random::Randomness;
#[cfg(all(feature = "http", feature = "aws"))]
pub(crate) use retained::Kept;
#[cfg(feature = "http")]
pub(crate) use routing::Reach;
pub(crate) use routing::RouteCache;
pub(crate) use schedule::{Alarm, TimerKey};
use session::Registered;
pub(crate) use session::{Opened, ReceivedIds, Session};
#[cfg(feature = "http")]
pub(crate) use share::{GroupHead, Seen, Standing, Step, Watching, What};
pub(crate) use share::{GroupSnapshot, MemberSnapshot};
#[cfg(feature = "http")]
pub(crate) use snapshot::SessionDetails;
#[cfg(all(feature = "http", feature = "aws"))]
pub(crate) use snapshot::SubscriptionSnapshot;
pub(crate) use snapshot::{ClientSnapshot, ClientsOf, GroupsOf, Overview, PageOf};
#[cfg(feature = "http")]
pub(crate) use snapshot::{Page, SubscriptionOf, SubscriptionsOf, TopicSnapshot};
#[cfg(test)]
pub(crate) use stats::Stats;
pub(crate) use subscribe::{Due, Request};
#[cfg(feature = "websocket")]
pub(crate) use tapping::NoMqtt;
#[cfg(feature = "http")]
pub(crate) use topics::ReceiverOf;
pub(crate) use turn::{Context, Dirty, Later, SHORT_TURN, STEPS_PER_TURN};
#[cfg(feature = "http")]
pub(crate) use watch::Watcher;
pub(crate) use watch::{Catch, Glimpse, Subject};

use access::Access;
use bounds::Bounds;
use events::Events;
use history::History;
use outbox::writer::Left;
use requests::Service;
use retained::Retained;
use schedule::Schedule;
use watch::Watch;

/// Parts of the registry of sessions that are locked by themselves and grow by themselves: with a
/// million sessions a walk locks one part for a quarter of a millisecond, and one that grows takes a
/// millisecond.
const SESSION_SHARDS: usize = 256;

/// Steps that a shared group takes before its lock is let go for others: about 64 microseconds.
const BATCH: usize = 512;

/// Bytes that sockets take in a turn; what one took in one go is not cut short.
const WRITTEN_AT_ONCE: usize = 1 << 20;

/// What it costs to remove a retained message, in steps.
const REMOVAL_STEPS: usize = 8;

/// Rounds of writes and of work that was put off, for callers who have no further turn.
const ROUNDS: usize = 16;

/// Counters that outlive the sessions and connections they were counted for.
#[derive(Default)]
pub(crate) struct Counters {
    pub(super) connections_opened: AtomicU64,
    pub(super) connections_refused: AtomicU64,
    pub(super) messages_received: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) packets_received: AtomicU64,
    /// Of sessions that ended.
    pub(super) messages_sent: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) expired: AtomicU64,
}

/// An MQTT broker without any IO.
pub(crate) struct Broker {
    config: Config,
    started: Instant,
    /// Clients choose its keys: hashed with the standard library's random state.
    sessions: DashMap<Registered, (), RandomState>,
    routing: routing::Routing,
    retained: Retained,
    /// What the broker itself says under `$SYS/`: nobody's retained messages, and so neither counted
    /// among them nor bounded with them.
    own_topics: Retained,
    schedule: Schedule<lifecycle::Timer>,
    jobs: Arc<turn::Jobs>,
    /// Steps that a shared group takes under one lock hold.
    batch: usize,
    access: Option<Arc<dyn Access>>,
    events: Vec<Arc<dyn Events>>,
    service: Option<Arc<dyn Service>>,
    /// Packet rules and the journal.
    tap: Arc<Tap>,
    /// When the next packet rule ends.
    rules_end: Mutex<Option<(Instant, TimerKey)>>,
    budget: budget::Owned,
    randomness: Randomness,
    hashing: Arc<Hashing>,
    watch: Watch,
    observers: observers::Observers,
    /// Of the last values of topics.
    #[cfg(feature = "http")]
    lease: topics::Lease,
    outage: outage::Outage,
    history: History,
    /// By client identifier.
    connect_rates: Mutex<Rates>,
    /// By topic.
    retained_rates: Mutex<Rates>,
    session_ids: AtomicU64,
    /// Subscriptions of all sessions.
    subscriptions: AtomicUsize,
    groups: AtomicUsize,
    group_names: group_names::GroupNames,
    /// Sessions with a connection.
    connected: AtomicUsize,
    pub(crate) counters: Counters,
    stopping: AtomicBool,
}

impl Broker {
    /// A broker with nobody connected. `alarm` is told when
    /// [`idle_times`](Self::idle_times) became shorter.
    pub(crate) fn new(
        config: Config,
        randomness: Randomness,
        now: Instant,
        alarm: Arc<dyn Alarm>,
    ) -> Self {
        let parent = match config.aws.hash_excludes_parent {
            true => HashParent::Excluded,
            false => HashParent::Matches,
        };
        Self {
            routing: routing::Routing::new(randomness.hash_seed(), parent, config.overlapping),
            hashing: Arc::new(Hashing::new(randomness.hash_seed())),
            retained: Retained::new(parent),
            own_topics: Retained::new(parent),
            tap: Arc::new(Tap::new(config.journal, config.packets)),
            rules_end: Mutex::new(None),
            budget: budget::Owned::new(config.limits.memory),
            schedule: Schedule::new(alarm.clone()),
            jobs: Arc::new(turn::Jobs::new(alarm)),
            batch: BATCH,
            access: None,
            events: Vec::new(),
            service: None,
            sessions: DashMap::with_hasher_and_shard_amount(Default::default(), SESSION_SHARDS),
            randomness,
            watch: Watch::default(),
            observers: observers::Observers::new(config.journal),
            #[cfg(feature = "http")]
            lease: topics::Lease::default(),
            outage: outage::Outage::default(),
            history: History::default(),
            connect_rates: Mutex::new(Rates::new(config.limits.connect_rate)),
            retained_rates: Mutex::new(Rates::new(config.limits.retained_rate)),
            session_ids: AtomicU64::new(1),
            subscriptions: AtomicUsize::new(0),
            groups: AtomicUsize::new(0),
            group_names: group_names::GroupNames::default(),
            connected: AtomicUsize::new(0),
            counters: Counters::default(),
            stopping: AtomicBool::new(false),
            started: now,
            config,
        }
    }

    /// Has `access` asked what clients may do.
    #[cfg(feature = "aws")]
    pub(crate) fn with_access(mut self, access: Arc<dyn Access>) -> Self {
        self.access = Some(access);
        self
    }

    /// Has `service` take requests.
    #[cfg(any(feature = "aws", test))]
    pub(crate) fn with_service(mut self, service: Arc<dyn Service>) -> Self {
        self.service = Some(service);
        self
    }

    /// Who knows what clients may do, if anybody does.
    pub(crate) fn access(&self) -> Option<&dyn Access> {
        self.access.as_deref()
    }

    /// Sets how many steps a shared group takes under one lock hold.
    #[cfg(test)]
    pub(crate) fn set_batch(&mut self, steps: usize) {
        self.batch = steps.max(1);
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Packet rules and the journal.
    pub(crate) fn tap(&self) -> &Arc<Tap> {
        &self.tap
    }

    pub(crate) fn context(&self, moment: impl Into<Moment>) -> Context<'_> {
        let Moment { now, live } = moment.into();
        let elapsed = now.saturating_duration_since(self.started);
        let bounds = Bounds {
            now,
            live,
            seconds: u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX),
            limits: &self.config.limits,
            aws: &self.config.aws,
            on_overflow: self.config.on_overflow,
            budget: *self.budget,
            tap: self.tap.active(),
            rest: &*self.jobs,
            watch: &self.watch,
        };
        Context {
            bounds,
            jobs: &self.jobs,
            batch: self.batch,
        }
    }

    /// An account of its own with the budget.
    pub(crate) fn charge(&self, kind: budget::Kind) -> budget::Charge {
        budget::Charge::none(*self.budget, kind)
    }

    /// Seeded hashing for topics, which all connections share.
    pub(crate) fn hashing(&self) -> Arc<Hashing> {
        self.hashing.clone()
    }

    /// Whether messages that would have to wait are refused for want of memory.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_exhausted(&self) -> bool {
        !self.budget.admits_message(0)
    }

    /// The bound on what peers make the broker hold.
    pub(crate) fn budget(&self) -> budget::Budget {
        *self.budget
    }

    /// How long [`handle_deadline`](Self::handle_deadline) has nothing to do: on the broker's time, and on
    /// that of live connections. `None` where nothing is set.
    pub(crate) fn idle_times(&self, moment: Moment) -> [Option<Duration>; 2] {
        self.schedule.idle_times(moment)
    }

    /// Whether all connections that [`handle_deadline`](Self::handle_deadline) woke have done what came of
    /// that.
    pub(crate) fn is_settled(&self) -> bool {
        self.schedule.is_settled()
    }

    /// When [`handle_deadline`](Self::handle_deadline) is due next, where both times are one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// How the outbound side of a session's connection stands.
    pub(crate) fn output_state(&self, session: &Session) -> OutputState {
        session.outbox().state()
    }

    /// The socket that was full takes bytes again.
    pub(crate) fn socket_has_room(&self, session: &Session) {
        if let Some(connected) = &mut session.outbox().connected {
            connected.out.has_room();
        }
    }

    /// What was composed for a session's connection and not written yet, without the first `skip`
    /// bytes, and how much it is with them.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn unwritten(&self, session: &Session, skip: usize) -> (Vec<u8>, usize) {
        let outbox = session.outbox();
        let connected = outbox.connected.as_ref();
        connected.map_or_else(Default::default, |connected| {
            (connected.out.waiting().copy(skip), connected.out.len())
        })
    }

    /// All sessions at this moment; the registry is not locked while they are looked at.
    pub(crate) fn all_sessions(&self) -> Vec<Arc<Session>> {
        let sessions = self.sessions.iter().map(|entry| entry.key().0.clone());
        let mut sessions: Vec<_> = sessions.collect();
        // In the order they were made, which a run with the same seed repeats.
        sessions.sort_unstable_by_key(|session| session.id);
        sessions
    }

    /// The session of a client, with or without a connection.
    pub(crate) fn find(&self, client_id: &str) -> Option<Arc<Session>> {
        self.sessions
            .get(client_id)
            .map(|found| found.key().0.clone())
    }

    /// Disconnects everybody with 0x8B and lets nobody in any more.
    pub(crate) fn stop(&self, now: impl Into<Moment>, dirty: &mut Dirty) {
        self.stopping.store(true, Ordering::Release);
        let context = self.context(now);
        for session in self.all_sessions() {
            self.disconnect(&session, Cause::Stopping, &context, dirty);
        }
        self.schedule.wake_owners();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Removes retained messages whose expiry ran out, as many as the turn allows. Returns whether
    /// there may be more.
    pub(crate) fn sweep(&self, now: impl Into<Moment>, dirty: &mut Dirty) -> bool {
        let context = self.context(now);
        while !dirty.is_spent() {
            let removed = self.retained.remove_expired(&context);
            Self::count(&self.counters.expired, removed as u64);
            dirty.charge(removed * REMOVAL_STEPS);
            if removed < retained::SWEEP {
                return false;
            }
        }
        true
    }

    /// Removes retained messages whose topics match `filter`, a valid one, or all, as many as the turn allows
    /// of those that were stored up to number `last` ([`last_retained`](Self::last_retained)). Returns how
    /// many, and whether there may be more.
    pub(crate) fn delete_retained(
        &self,
        filter: Option<&str>,
        last: u64,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> (usize, bool) {
        let mut count = 0;
        while !dirty.is_spent() {
            let removed = self.retained.remove_some(filter, last, context);
            dirty.charge((removed + 1) * REMOVAL_STEPS);
            if removed == 0 {
                return (count, false);
            }
            count += removed;
        }
        (count, true)
    }

    /// The number of the message that was retained last.
    pub(crate) fn last_retained(&self) -> u64 {
        self.retained.last_number()
    }

    /// Sets all counters to zero, and forgets what happened to clients, the last values of topics, and how often
    /// clients did what is limited in time.
    pub(crate) fn reset_counters(&self) {
        let Counters {
            connections_opened,
            connections_refused,
            messages_received,
            bytes_received,
            packets_received,
            messages_sent,
            bytes_sent,
            dropped,
            expired,
        } = &self.counters;
        for counter in [
            connections_opened,
            connections_refused,
            messages_received,
            bytes_received,
            packets_received,
            messages_sent,
            bytes_sent,
            dropped,
            expired,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        self.history.clear();
        #[cfg(feature = "http")]
        self.forget_values();
        *self.connect_rates.lock() = Rates::new(self.config.limits.connect_rate);
        *self.retained_rates.lock() = Rates::new(self.config.limits.retained_rate);
    }

    /// Writes one session's outbox and then whatever the room that this made lets through.
    /// Returns how many bytes the socket took.
    pub(crate) fn flush(
        &self,
        session: &Arc<Session>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> usize {
        let mut written = 0;
        if session.flush(&mut written) == Left::More {
            dirty.come_back(session);
        }
        self.make_room(session, context, dirty);
        written
    }

    /// Writes the outboxes of `dirty`, at most `limit` of them, and goes on with what was put off. Returns
    /// whether all is done.
    pub(crate) fn flush_some(
        &self,
        limit: usize,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        self.flush_each(limit, Dirty::pop, context, dirty)
    }

    /// The same at the end of a turn of a task that takes another unless all is done: writes that are
    /// hardly worth it yet are put off to that one.
    pub(crate) fn flush_due(&self, limit: usize, context: &Context<'_>, dirty: &mut Dirty) -> bool {
        let mut count = dirty.len();
        self.flush_each(limit, |dirty| dirty.pop_due(&mut count), context, dirty)
    }

    fn flush_each(
        &self,
        limit: usize,
        mut next: impl FnMut(&mut Dirty) -> Option<Arc<Session>>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        let mut written = 0;
        for _ in 0..limit {
            let Some(session) = next(dirty) else { break };
            written += self.flush(&session, context, dirty);
            if written >= WRITTEN_AT_ONCE {
                break;
            }
        }
        // One at least, so that there is an end to it, and more while the turn has time.
        while let Some(mut work) = dirty.pop_later() {
            if !self.go_on(&mut work, context, dirty) {
                dirty.later(work, context);
            }
            if dirty.is_spent() {
                break;
            }
        }
        dirty.is_empty()
    }

    /// Goes on with work that was put off. Returns whether it is done; what is left of it may be on the
    /// list of the turn as something else.
    fn go_on(&self, work: &mut Later, context: &Context<'_>, dirty: &mut Dirty) -> bool {
        match work {
            Later::Drain(group) => Arc::clone(group).drain_listed(context, dirty),
            Later::MakeRoom(session) => self.make_room(session, context, dirty),
            Later::Errand(session) => self.run_listed_errand(session, context, dirty),
            Later::Overflow { session, epoch } => {
                self.end_overflowed(session, *epoch, context, dirty)
            }
            Later::FanOut(rest) | Later::Homecoming(rest) => {
                return rest.go_on(self, context, dirty);
            }
        }
        true
    }

    /// Writes all outboxes of `dirty`, for callers who have no further turn. What is not done after some
    /// rounds is left to the timekeeper and to the owners of the connections.
    pub(crate) fn flush_all(&self, context: &Context<'_>, mut dirty: Dirty) {
        for _ in 0..ROUNDS {
            if self.flush_some(usize::MAX, context, &mut dirty) {
                return;
            }
        }
    }

    /// A client identifier for a client that sent none (MQTT-3.1.3-6, AWS-CONN-03).
    pub(crate) fn assign_client_id(&self) -> Box<str> {
        let prefix = if self.config.aws.generated_client_ids {
            "$GEN/"
        } else {
            "auto-"
        };
        format!("{prefix}{}", self.uuid()).into()
    }

    /// A random identifier.
    pub(crate) fn uuid(&self) -> uuid::Uuid {
        let bytes = self.randomness.identifier().to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// AWS-CONN-15: how often one client identifier may connect.
    pub(crate) fn allows_connect(&self, client_id: &str, context: &Context<'_>) -> bool {
        context.limits.connect_rate.is_none()
            || self.connect_rates.lock().allows(client_id, context.now)
    }

    /// AWS-LIM-19: how often a retained message may come for one topic. Deleting it is always possible
    /// (AWS-RET-09).
    pub(crate) fn check_retained_rate(
        &self,
        topic: &str,
        publish: &Publish<'_>,
        context: &Context<'_>,
    ) -> Result<(), Violation> {
        if context.limits.retained_rate.is_none()
            || !publish.retain
            || publish.payload.is_empty()
            || self.retained_rates.lock().allows(topic, context.now)
        {
            return Ok(());
        }
        Err(Violation::new(
            ReasonCode::QuotaExceeded,
            "AWS-LIM-19",
            "too many retained messages of this topic",
        ))
    }

    /// Keeps what came in on a connection that ends.
    pub(crate) fn keep_traffic(&self, facts: &ConnectionFacts) {
        let traffic = facts.traffic.take();
        Self::count(&self.counters.packets_received, traffic.packets);
        Self::count(&self.counters.bytes_received, traffic.bytes);
        Self::count(&self.counters.messages_received, traffic.messages);
    }

    /// Counts a connection that ended without a CONNECT that was accepted.
    pub(crate) fn count_refused(&self) {
        Self::count(&self.counters.connections_refused, 1);
    }

    fn count(counter: &AtomicU64, by: u64) {
        if by > 0 {
            counter.fetch_add(by, Ordering::Relaxed);
        }
    }
}
