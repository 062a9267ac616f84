//! The broker's state as the HTTP API shows it.
//!
//! What is asked of many sessions or groups takes long where there are many: such calls are not for
//! a worker thread. None of them holds a lock for more than a slice of its way, so that publishers
//! and subscribers go on meanwhile; what changes under way is seen or not.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::auth::Principal;
use crate::budget::Kind;
use crate::codec::{QoS, Version};
use crate::protocol::handshake::NEVER;

use super::Broker;
use super::facts::{ConnectionFacts, TrafficTotals};
use super::last_end::LastEnd;
use super::part_bounds::PartBounds;
use super::retained::Kept;
use super::session::{Session, Slot, State, Subscribed};
use super::share::Group;
use super::stats::Stats;

/// Subscriptions of one session that are looked at per lock hold.
const SLICE: PartBounds = PartBounds {
    count: 256,
    bytes: 64 * 1024,
};

/// Names in one page: it ends early where they are long. The first one always fits.
const PAGE_BYTES: usize = 4 << 20;

/// The part of a list that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageOf<'a> {
    /// Entries behind this key only.
    pub(crate) after: Option<&'a str>,
    /// Entries whose key contains this only.
    pub(crate) containing: Option<&'a str>,
    /// Entries at most.
    pub(crate) limit: usize,
}

/// A part of a list, in the order of its keys.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<T>,
    /// Entries that were asked for, in front of the page and behind it too.
    pub(crate) total: usize,
}

/// The groups that are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupsOf<'a> {
    pub(crate) share: Option<&'a str>,
    pub(crate) filter: Option<&'a str>,
    /// Groups whose share name or filter contains this only.
    pub(crate) containing: Option<&'a str>,
    /// Groups behind this filter and share name only; with no share name, behind all of the filter.
    pub(crate) after: Option<(&'a str, Option<&'a str>)>,
    /// Groups at most.
    pub(crate) limit: usize,
}

/// The clients that are asked for. What is `None` is not asked for; all that is has to be so.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientsOf {
    pub(crate) connected: Option<bool>,
    /// Connected over TLS, or not.
    pub(crate) tls: Option<bool>,
    /// Connected at the listener of this name.
    pub(crate) listener: Option<String>,
    /// Connected with a certificate whose Common Name contains this.
    pub(crate) common_name: Option<String>,
    /// With a subscription that begins with this, as it was sent.
    pub(crate) filter: Option<String>,
}

impl ClientsOf {
    /// However many subscriptions there are, one of them is looked at.
    fn is_met(&self, slot: &Slot) -> bool {
        let facts = slot.facts.as_deref();
        let tls = facts.and_then(|facts| facts.tls());
        let name = tls.and_then(|tls| tls.details.common_name.as_deref());
        let begins = |start: &String| {
            let range = (Bound::Included(start.as_str()), Bound::Unbounded);
            let first = slot.subscriptions.range::<str, _>(range).next();
            first.is_some_and(|(filter, _)| filter.starts_with(start.as_str()))
        };
        (self.connected).is_none_or(|wanted| (slot.state == State::Connected) == wanted)
            && (self.tls).is_none_or(|wanted| facts.is_some() && tls.is_some() == wanted)
            && (self.listener.as_deref())
                .is_none_or(|wanted| facts.is_some_and(|facts| facts.listener() == wanted))
            && (self.common_name.as_deref())
                .is_none_or(|part| name.is_some_and(|name| name.contains(part)))
            && self.filter.as_ref().is_none_or(begins)
    }
}

/// A session, with its connection if it has one.
#[derive(Clone, Debug)]
pub(crate) struct ClientSnapshot {
    pub(crate) client_id: String,
    pub(crate) connected: bool,
    pub(crate) version: Version,
    pub(crate) principal: Principal,
    pub(crate) facts: Option<Arc<ConnectionFacts>>,
    /// How its last connection ended, and how long ago, while there is none.
    pub(crate) last_end: Option<(LastEnd, Duration)>,
    /// `None`: never.
    pub(crate) session_expiry: Option<Duration>,
    pub(crate) connected_for: Option<Duration>,
    /// The first ones, by filter.
    pub(crate) subscriptions: Vec<SubscriptionSnapshot>,
    /// All of them.
    pub(crate) subscriptions_total: usize,
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
    pub(crate) messages_sent: u64,
    pub(crate) dropped: u64,
    pub(crate) traffic: TrafficTotals,
}

/// What a session has besides.
#[cfg(feature = "http")]
pub(crate) struct SessionDetails {
    /// The Keep Alive of its last CONNECT in seconds.
    pub(crate) keep_alive: u16,
    /// The Receive Maximum of its connection.
    pub(crate) window: Option<usize>,
    pub(crate) will: Option<WillSnapshot>,
}

/// A will, without its payload.
#[cfg(feature = "http")]
pub(crate) struct WillSnapshot {
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) delay: Duration,
    pub(crate) payload_size: usize,
}

/// The connection of a session, or its last one.
#[cfg(feature = "aws")]
pub(crate) struct ConnectionSnapshot {
    /// `None`: it has none.
    pub(crate) connected_at: Option<Instant>,
    pub(crate) principal: Principal,
    /// While there is one.
    pub(crate) facts: Option<Arc<ConnectionFacts>>,
    /// The Keep Alive of its CONNECT in seconds.
    pub(crate) keep_alive: u16,
    /// The Session Expiry Interval in seconds.
    pub(crate) expiry: u32,
}

/// A subscription of a session.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionSnapshot {
    pub(crate) filter: String,
    pub(crate) qos: QoS,
}

/// The subscriptions that are asked for: those of a client, those to a filter as it was sent, or both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubscriptionsOf<'a> {
    pub(crate) client_id: Option<&'a str>,
    pub(crate) filter: Option<&'a str>,
}

/// A subscription and whose it is.
pub(crate) struct SubscriptionOf {
    pub(crate) session: Arc<Session>,
    pub(crate) is_connected: bool,
    pub(crate) subscription: SubscriptionSnapshot,
}

/// A filter and who is behind it.
#[derive(Clone, Debug)]
pub(crate) struct TopicSnapshot {
    pub(crate) filter: String,
    pub(crate) subscribers: usize,
    pub(crate) groups: usize,
}

/// What is counted and held in the whole broker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overview {
    pub(crate) stats: Stats,
    pub(crate) connections_opened: u64,
    pub(crate) connections_refused: u64,
    /// Bytes that queues hold, in steps.
    pub(crate) memory: usize,
    /// Those of each kind, in the order of [`Kind::ALL`].
    pub(crate) memory_by_kind: [usize; Kind::ALL.len()],
}

impl PageOf<'_> {
    fn is_asked_for(&self, key: &str) -> bool {
        self.containing.is_none_or(|part| key.contains(part))
    }
}

impl GroupsOf<'_> {
    fn is_asked_for(&self, group: &Group) -> bool {
        self.share.is_none_or(|share| *group.share == *share)
            && self.filter.is_none_or(|filter| *group.filter == *filter)
            && self
                .containing
                .is_none_or(|part| group.share.contains(part) || group.filter.contains(part))
    }

    fn is_behind(&self, group: &Group) -> bool {
        match self.after {
            None => true,
            Some((filter, None)) => *group.filter > *filter,
            Some((filter, Some(share))) => (&*group.filter, &*group.share) > (filter, share),
        }
    }
}

/// The first entries of a list that comes in no order.
struct First<T> {
    entries: BTreeSet<ByKey<T>>,
    /// Bytes of their keys.
    bytes: usize,
    limit: usize,
    /// The first entry that there was no room for: what is behind it is not among the first.
    cut: Option<T>,
}

/// What a list is ordered by.
trait Keyed {
    fn key(&self) -> &str;
}

struct ByKey<T>(T);

impl<T: Keyed> First<T> {
    fn new(limit: usize) -> Self {
        Self {
            entries: BTreeSet::new(),
            bytes: 0,
            limit,
            cut: None,
        }
    }

    /// Takes an entry that is behind `page.after`, unless there are enough in front of it.
    fn offer(&mut self, key: &str, page: &PageOf<'_>, entry: impl FnOnce() -> T) {
        let is_cut = self.cut.as_ref().is_some_and(|cut| cut.key() <= key);
        if self.limit == 0 || is_cut || page.after.is_some_and(|after| key <= after) {
            return;
        }
        if !self.entries.contains(key) {
            self.bytes += key.len();
            self.entries.insert(ByKey(entry()));
        }
        while self.entries.len() > self.limit || self.bytes > PAGE_BYTES {
            if self.entries.len() == 1 {
                break;
            }
            let Some(ByKey(last)) = self.entries.pop_last() else {
                break;
            };
            self.bytes -= last.key().len();
            self.cut = Some(last);
        }
    }

    fn into_page(self, total: usize) -> Page<T> {
        Page {
            entries: self.entries.into_iter().map(|entry| entry.0).collect(),
            total,
        }
    }
}

impl Keyed for Arc<Session> {
    fn key(&self) -> &str {
        self.client_id()
    }
}

impl Keyed for SubscriptionOf {
    fn key(&self) -> &str {
        self.session.client_id()
    }
}

impl Keyed for Kept {
    fn key(&self) -> &str {
        self.message.topic()
    }
}

impl Keyed for Box<str> {
    fn key(&self) -> &str {
        self
    }
}

impl<T: Keyed> Borrow<str> for ByKey<T> {
    fn borrow(&self) -> &str {
        self.0.key()
    }
}

impl<T: Keyed> Ord for ByKey<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.key().cmp(other.0.key())
    }
}

impl<T: Keyed> PartialOrd for ByKey<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Keyed> PartialEq for ByKey<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl<T: Keyed> Eq for ByKey<T> {}

impl Broker {
    /// A page of the sessions that are as `of` says, by client identifier.
    pub(crate) fn client_page(&self, page: &PageOf<'_>, of: &ClientsOf) -> Page<Arc<Session>> {
        let (mut first, mut total) = (First::new(page.limit), 0);
        for session in self.all_sessions() {
            if page.is_asked_for(session.client_id()) && of.is_met(&session.slot()) {
                total += 1;
                first.offer(session.client_id(), page, || session.clone());
            }
        }
        first.into_page(total)
    }

    /// A page of the subscriptions of a client, by filter, or else of those to a filter, by client.
    pub(crate) fn subscription_page(
        &self,
        of: &SubscriptionsOf<'_>,
        page: &PageOf<'_>,
    ) -> Page<SubscriptionOf> {
        match (of.client_id, of.filter) {
            (Some(client_id), filter) => self.subscriptions_of(client_id, filter, page),
            (None, Some(filter)) => self.subscriptions_to(filter, page),
            (None, None) => Page {
                entries: Vec::new(),
                total: 0,
            },
        }
    }

    fn subscriptions_of(
        &self,
        client_id: &str,
        filter: Option<&str>,
        page: &PageOf<'_>,
    ) -> Page<SubscriptionOf> {
        let (mut entries, mut total) = (Vec::new(), 0);
        let mut seen: Option<String> = None;
        while let Some(session) = self.find(client_id) {
            let is_connected = session.slot().state == State::Connected;
            let slice = session.subscriptions_after(seen.as_deref(), SLICE);
            let Some(last) = slice.last() else { break };
            seen = Some(last.filter.clone());
            for subscription in slice {
                let key = &*subscription.filter;
                if filter.is_some_and(|filter| *filter != *key) || !page.is_asked_for(key) {
                    continue;
                }
                total += 1;
                if entries.len() < page.limit && page.after.is_none_or(|after| key > after) {
                    entries.push(SubscriptionOf {
                        session: session.clone(),
                        is_connected,
                        subscription,
                    });
                }
            }
        }
        Page { entries, total }
    }

    fn subscriptions_to(&self, filter: &str, page: &PageOf<'_>) -> Page<SubscriptionOf> {
        let (mut first, mut total) = (First::new(page.limit), 0);
        for session in self.all_sessions() {
            let slot = session.slot();
            let is_connected = slot.state == State::Connected;
            let found = slot.subscriptions.get(filter);
            let Some(options) = found.and_then(|found| found.subscription.options()) else {
                continue;
            };
            drop(slot);
            if page.is_asked_for(session.client_id()) {
                total += 1;
                first.offer(session.client_id(), page, || SubscriptionOf {
                    session: session.clone(),
                    is_connected,
                    subscription: SubscriptionSnapshot {
                        filter: filter.to_owned(),
                        qos: options.qos,
                    },
                });
            }
        }
        first.into_page(total)
    }

    /// A page of the shared groups, by filter and share name.
    pub(crate) fn group_page(&self, groups: &GroupsOf<'_>) -> Page<Arc<Group>> {
        let (mut entries, mut total) = (Vec::new(), 0);
        // No share name is empty, so this is in front of all groups of the filter.
        let start = groups.filter.map(|filter| (filter, ""));
        self.group_names.visit(start, |group| {
            if groups.filter.is_some_and(|filter| *group.filter != *filter) {
                return false;
            }
            if groups.is_asked_for(&group) {
                total += 1;
                if entries.len() < groups.limit && groups.is_behind(&group) {
                    entries.push(group);
                }
            }
            true
        });
        Page { entries, total }
    }

    /// A page of the filters that somebody subscribes to.
    pub(crate) fn filter_page(&self, page: &PageOf<'_>) -> Page<Box<str>> {
        let mut first = First::new(page.limit);
        // Filters come once per subscriber. Two that have one hash count as one, which is as good
        // as never.
        let (hasher, mut different) = (foldhash::fast::RandomState::default(), HashSet::new());
        self.visit_filters(|filter| {
            if page.is_asked_for(filter) {
                if page.containing.is_some() {
                    different.insert(hasher.hash_one(filter));
                }
                first.offer(filter, page, || filter.into());
            }
        });
        let total = match page.containing {
            Some(_) => different.len(),
            None => self.routing.read(|trie| trie.len()),
        };
        first.into_page(total)
    }

    /// Who is behind a filter; `None` once nobody is.
    pub(crate) fn filter(&self, filter: &str) -> Option<TopicSnapshot> {
        self.routing.read(|trie| {
            trie.get(filter).map(|leaf| TopicSnapshot {
                filter: filter.to_owned(),
                subscribers: leaf.plain_len(),
                groups: leaf.groups().len(),
            })
        })
    }

    /// Calls `f` with the filter of every subscription, without `$share/…/`, in no order. Only the
    /// session that is looked at is locked, and not for longer than a slice takes.
    fn visit_filters(&self, mut f: impl FnMut(&str)) {
        for session in self.all_sessions() {
            let mut seen: Option<Box<str>> = None;
            loop {
                let slot = session.slot();
                let mut last = None;
                for (full, subscribed) in slot.subscriptions_after(seen.as_deref(), SLICE) {
                    let group = subscribed.group.clone().map(Group::of);
                    f(group.as_ref().map_or(full, |group| &group.filter));
                    last = Some(full);
                }
                let Some(last) = last else { break };
                seen = Some(last.into());
            }
        }
    }

    /// A page of the retained messages, by topic, whose topics match `filter`, a valid one.
    pub(crate) fn retained_page(
        &self,
        filter: Option<&str>,
        page: &PageOf<'_>,
        now: Instant,
    ) -> Page<Kept> {
        let (mut first, mut total) = (First::new(page.limit), 0);
        self.retained.visit(filter, &self.context(now), |kept| {
            let topic = kept.message.topic();
            if page.is_asked_for(topic) {
                total += 1;
                first.offer(topic, page, || kept.clone());
            }
        });
        first.into_page(total)
    }

    /// The retained message of a topic.
    #[cfg(feature = "aws")]
    pub(crate) fn retained_message(&self, topic: &str, now: Instant) -> Option<Kept> {
        self.retained.get(topic, &self.context(now))
    }

    /// Counters and memory. All sessions and groups are summed up for it.
    pub(crate) fn overview(&self, now: Instant) -> Overview {
        let counters = &self.counters;
        let memory_by_kind = Kind::ALL.map(|kind| self.budget.held_by(kind));
        Overview {
            stats: self.stats(now),
            connections_opened: counters.connections_opened.load(Ordering::Relaxed),
            connections_refused: counters.connections_refused.load(Ordering::Relaxed),
            memory: memory_by_kind.iter().sum(),
            memory_by_kind,
        }
    }
}

impl Session {
    /// The session as it stands, with its first subscriptions as far as `bounds` go; `None` if it
    /// has ended or never began.
    pub(crate) fn snapshot(&self, bounds: PartBounds, now: Instant) -> Option<ClientSnapshot> {
        let subscriptions = self.subscriptions_after(None, bounds);
        let slot = self.slot();
        if !matches!(slot.state, State::Connected | State::Away) {
            return None;
        }
        let outbox = self.outbox();
        Some(ClientSnapshot {
            client_id: self.client_id().to_owned(),
            connected: slot.state == State::Connected,
            version: slot.version,
            traffic: slot
                .facts
                .as_ref()
                .map(|facts| facts.traffic.totals())
                .unwrap_or_default(),
            principal: slot.principal().clone(),
            facts: slot.facts.clone(),
            last_end: slot
                .last_end()
                .filter(|_| slot.state == State::Away)
                .map(|end| (end.clone(), now.saturating_duration_since(end.at))),
            session_expiry: (slot.expiry != NEVER)
                .then(|| Duration::from_secs(u64::from(slot.expiry))),
            connected_for: slot
                .connected_at
                .map(|at| now.saturating_duration_since(at.into())),
            subscriptions,
            subscriptions_total: slot.subscriptions.len(),
            in_flight: outbox.window.len(),
            queued: outbox.queued(),
            messages_sent: outbox.sent.messages,
            dropped: outbox.sent.dropped,
        })
    }

    /// What else there is to know of it.
    #[cfg(feature = "http")]
    pub(crate) fn details(&self) -> SessionDetails {
        let slot = self.slot();
        let outbox = self.outbox();
        SessionDetails {
            keep_alive: slot.keep_alive,
            window: (outbox.connected.as_ref()).map(|connected| connected.peer.window.into()),
            will: slot.will().map(|will| WillSnapshot {
                topic: will.topic.to_string(),
                qos: will.qos,
                retain: will.retain,
                delay: will.delay,
                payload_size: will.payload.len(),
            }),
        }
    }

    /// What the connection of a session is, or was; `None` if the session has ended or never began.
    #[cfg(feature = "aws")]
    pub(crate) fn connection(&self) -> Option<ConnectionSnapshot> {
        let slot = self.slot();
        matches!(slot.state, State::Connected | State::Away).then(|| ConnectionSnapshot {
            connected_at: slot.connected_at.map(Instant::from),
            principal: slot.principal().clone(),
            facts: slot.facts.clone(),
            keep_alive: slot.keep_alive,
            expiry: slot.expiry,
        })
    }

    /// The subscriptions behind the full filter `after`, or the first, by filter.
    pub(crate) fn subscriptions_after(
        &self,
        after: Option<&str>,
        bounds: PartBounds,
    ) -> Vec<SubscriptionSnapshot> {
        let (mut found, mut bytes) = (Vec::<SubscriptionSnapshot>::new(), 0);
        while found.len() < bounds.count && bytes < bounds.bytes {
            let slot = self.slot();
            let before = found.len();
            let last = found.last().map(|last| last.filter.clone());
            let seen = last.as_deref().or(after);
            let slice = PartBounds {
                count: SLICE.count.min(bounds.count - before),
                bytes: SLICE.bytes.min(bounds.bytes - bytes),
            };
            for (filter, subscribed) in slot.subscriptions_after(seen, slice) {
                bytes += filter.len();
                // One that ended is about to leave the list.
                let options = subscribed.subscription.options();
                found.push(SubscriptionSnapshot {
                    filter: filter.to_owned(),
                    qos: options.map_or(QoS::AtMostOnce, |options| options.qos),
                });
            }
            if found.len() == before {
                break;
            }
        }
        found
    }
}

impl Slot {
    /// The subscriptions behind the full filter `after`, in order, as far as `bounds` go.
    fn subscriptions_after(
        &self,
        after: Option<&str>,
        bounds: PartBounds,
    ) -> impl Iterator<Item = (&str, &Subscribed)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.subscriptions.range::<str, _>((from, Bound::Unbounded));
        bounds.take(
            rest.map(|(full, subscribed)| (&**full, subscribed)),
            |entry| entry.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use crate::codec::{RetainHandling, SubscribeOptions};
    use crate::config::Config;

    use super::super::doubles::{NoAlarm, Sink};
    use super::super::facts::LOCAL;
    use super::super::local::LocalSession;
    use super::super::outbox::link::Link;
    use super::super::{Dirty, Randomness};
    use super::*;

    fn broker() -> (Arc<Broker>, Instant) {
        let now = Instant::now();
        let broker = Broker::new(
            Config::standard(),
            Randomness::from_seed(7),
            now,
            Arc::new(NoAlarm),
        );
        (Arc::new(broker), now)
    }

    fn subscribe(broker: &Broker, filter: &str, now: Instant) -> LocalSession {
        let link: Arc<dyn Link> = Arc::new(Sink::default());
        let (context, mut dirty) = (broker.context(now), Dirty::default());
        let id = format!("local-{}", broker.uuid());
        let local = broker.open_local(&id, LOCAL, &link, &context, &mut dirty);
        let local = local.expect("a session");
        let options = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: true,
            retain_handling: RetainHandling::Send,
        };
        let subscribed =
            broker.subscribe_local(&local, filter, options, None, &context, &mut dirty);
        broker.flush_all(&context, dirty);
        subscribed.expect("a subscription");
        local
    }

    /// Does `work` on a thread of its own, which must not have to wait for this one.
    fn while_walking(work: impl FnOnce() + Send + 'static) {
        let (done, end) = mpsc::channel();
        std::thread::spawn(move || {
            work();
            let _ = done.send(());
        });
        let patience = Duration::from_secs(10);
        end.recv_timeout(patience).expect("it waits for the walk");
    }

    #[test]
    fn others_subscribe_and_connect_while_filters_are_walked() {
        let (broker, now) = broker();
        subscribe(&broker, "$share/g/a/+", now);
        let mut found = Vec::new();
        broker.visit_filters(|filter| {
            found.push(filter.to_owned());
            if found.len() == 1 {
                let broker = broker.clone();
                while_walking(move || {
                    subscribe(&broker, "a/+", now);
                    subscribe(&broker, "$share/g/a/+", now);
                });
            }
        });
        assert_eq!(found, ["a/+"], "what came later is not seen");
    }

    #[test]
    fn others_subscribe_and_leave_while_groups_are_walked() {
        let (broker, now) = broker();
        let member = subscribe(&broker, "$share/g/a", now);
        subscribe(&broker, "$share/g/b", now);
        let mut member = Some(member);
        let mut found = Vec::new();
        broker.group_names.visit(None, |group| {
            found.push(group.filter.clone());
            if let Some(member) = member.take() {
                let broker = broker.clone();
                while_walking(move || {
                    let (context, mut dirty) = (broker.context(now), Dirty::default());
                    broker.close_local(&member, &context, &mut dirty);
                    broker.flush_all(&context, dirty);
                    subscribe(&broker, "$share/h/a", now);
                });
            }
            true
        });
        assert_eq!(found.concat(), "ab");
        let mut names = Vec::new();
        broker.group_names.visit(None, |group| {
            names.push(group.share.to_string());
            true
        });
        assert_eq!(names, ["h", "g"]);
    }

    #[test]
    fn session_is_left_unlocked_between_slices_of_its_subscriptions() {
        let (broker, now) = broker();
        let local = subscribe(&broker, "0", now);
        let mut slot = local.session.slot();
        let one = slot.subscriptions.values().next().cloned().expect("one");
        for number in 1..1_000 {
            let full = format!("{number:03}");
            slot.subscriptions.insert(full.into(), one.clone());
        }
        let slice = slot.subscriptions_after(None, SLICE).count();
        assert_eq!(slice, SLICE.count);
        drop(slot);
        let mut count = 0;
        broker.visit_filters(|_| count += 1);
        assert_eq!(count, 1_000);
        let shown = local.session.subscriptions_after(
            Some("000"),
            PartBounds {
                count: 700,
                bytes: usize::MAX,
            },
        );
        assert_eq!(shown.len(), 700);
        assert_eq!(shown[0].filter, "001");
        assert!(shown.is_sorted_by_key(|shown| shown.filter.clone()));
    }

    #[test]
    fn first_entries_are_the_smallest_whatever_the_order_they_come_in() {
        let page = |limit| PageOf {
            after: Some("b"),
            containing: None,
            limit,
        };
        let keys = ["e", "a", "c", "e", "g", "d", "c", "b", "f", "g"];
        for (limit, expected) in [(0, ""), (1, "c"), (3, "cde"), (9, "cdefg")] {
            let mut first = First::<Box<str>>::new(limit);
            for key in keys {
                first.offer(key, &page(limit), || key.into());
            }
            assert_eq!(first.into_page(0).entries.concat(), expected);
        }
    }

    #[test]
    fn first_entries_have_no_gap_where_their_names_are_long() {
        let page = PageOf {
            after: None,
            containing: None,
            limit: 10,
        };
        let long = |start| format!("{start}{}", "x".repeat(PAGE_BYTES / 2));
        // The third does not fit beside the first two, and the last one must not take its place.
        let keys = [long("c"), long("a"), long("b"), "d".to_owned()];
        let mut first = First::<Box<str>>::new(10);
        for key in &keys {
            first.offer(key, &page, || key.as_str().into());
        }
        let found = first.into_page(0).entries;
        assert_eq!(found.len(), 1);
        assert_eq!(*found[0], *long("a"));
    }

    #[test]
    fn part_of_a_list_ends_at_its_bounds() {
        let names = ["aaaa", "bb", "cc", "d"];
        let part = |count, bytes| {
            let bounds = PartBounds { count, bytes };
            bounds.take(names, |name| name).count()
        };
        assert_eq!(part(2, 100), 2);
        assert_eq!(part(4, 6), 2);
        assert_eq!(part(4, 7), 2);
        assert_eq!(part(4, 1), 1, "the first one always fits");
        assert_eq!(part(0, 100), 0);
        assert_eq!(part(9, 9), 4);
    }
}
