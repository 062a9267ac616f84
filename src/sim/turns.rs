//! What one turn does at most, however much a packet asks for: counted in steps, over whole connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::broker::doubles::NoAlarm;
use crate::broker::requests::{Service, Unanswered};
use crate::broker::{Broker, Context, Dirty, Randomness, STEPS_PER_TURN, Session};
use crate::budget::Kind;
use crate::client::turn::Part;
use crate::client::{Credentials, Turn};
use crate::codec::client::decode_all;
use crate::codec::{Packet, Version};
use crate::config::{Config, Overlapping};
use crate::message::publication::Publication;

use super::end::End;
use super::wire::Wire;

/// No turn takes more steps than this: a piece of work that begins at the end of a turn has as many
/// again, and what comes of it is written.
const MOST: usize = 3 * STEPS_PER_TURN;

/// A broker, and clients of MQTT 3.1.1 whose sockets take everything.
struct Stand {
    broker: Broker,
    now: Instant,
    clients: Vec<(End, Turn)>,
    /// What each has been sent and nobody has looked at.
    unread: Vec<Vec<u8>>,
    /// The steps of the longest turn so far.
    longest: usize,
}

/// A message as a client gets it.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    topic: String,
    payload: String,
    retain: bool,
}

impl Stand {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let now = Instant::now();
        let mut config = Config::standard();
        change(&mut config);
        Self {
            broker: Broker::new(config, Randomness::from_seed(1), now, Arc::new(NoAlarm)),
            now,
            clients: Vec::new(),
            unread: Vec::new(),
            longest: 0,
        }
    }

    /// Opens a connection that says nothing yet.
    fn open(&mut self, room: usize) -> usize {
        let wire = Arc::new(Wire::new(room, Arc::default()));
        self.clients
            .push(End::open(&self.broker, wire, "test", self.now));
        self.unread.push(Vec::new());
        self.clients.len() - 1
    }

    /// Opens a connection whose socket takes `room` bytes more than were read, and connects.
    fn connect_with(&mut self, id: &str, clean: bool, room: usize) -> usize {
        let client = self.open(room);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, u8::from(clean) << 1, 0, 0];
        text(&mut body, id);
        self.send(client, &packet(0x10, &body));
        client
    }

    fn connect(&mut self, id: &str) -> usize {
        let client = self.connect_with(id, true, usize::MAX >> 1);
        self.run();
        client
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.clients[client].0.uplink.extend(bytes);
    }

    fn close(&mut self, client: usize) {
        self.clients[client].0.is_closed = true;
    }

    /// One turn of a client's owner.
    fn turn(&mut self, client: usize) {
        let (end, turn) = &mut self.clients[client];
        end.begin(turn, STEPS_PER_TURN);
        for part in Part::ALL {
            end.carry_out(part, turn, &self.broker, self.now);
        }
        let refuse = |_: &Credentials| panic!("not configured");
        end.end(turn, &self.broker, self.now, refuse);
        self.longest = self.longest.max(turn.steps());
    }

    /// A turn of everyone who has something to do. Returns whether anyone had.
    fn round(&mut self) -> bool {
        let mut is_busy = false;
        for client in 0..self.clients.len() {
            if self.clients[client].0.has_work() {
                is_busy = true;
                self.turn(client);
            }
        }
        if self.broker.has_work() {
            is_busy = true;
            let mut dirty = Dirty::default();
            self.broker.work(self.now, &mut dirty);
            self.longest = self.longest.max(dirty.steps());
            self.broker.flush_all(&self.broker.context(self.now), dirty);
        }
        is_busy
    }

    /// A turn of the timekeeper for what is due. Returns whether there may be more.
    fn keep_time(&mut self) -> bool {
        let mut dirty = Dirty::default();
        let more = self.broker.handle_deadline(self.now, &mut dirty);
        self.longest = self.longest.max(dirty.steps());
        self.broker.flush_all(&self.broker.context(self.now), dirty);
        more
    }

    /// Turns in turn until there is nothing to do. Returns how many rounds that took.
    fn run(&mut self) -> usize {
        (0..).take_while(|_| self.round()).count()
    }

    fn read(&mut self, client: usize, limit: usize) -> usize {
        let bytes = self.clients[client].0.wire.read(limit);
        self.unread[client].extend(&bytes);
        bytes.len()
    }

    /// The messages that a client has got since it was asked last.
    fn messages(&mut self, client: usize) -> Vec<Got> {
        self.read(client, usize::MAX);
        let bytes = std::mem::take(&mut self.unread[client]);
        let packets = decode_all(&bytes, Version::V311).into_iter();
        let messages = packets.filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(Got {
                topic: publish.topic.to_owned(),
                payload: String::from_utf8_lossy(publish.payload).into_owned(),
                retain: publish.retain,
            }),
            _ => None,
        });
        messages.collect()
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).expect("a short text");
    out.extend(len.to_be_bytes());
    out.extend(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).expect("seven bits");
        left /= 128;
        out.push(low | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            break;
        }
    }
    out.extend(body);
    out
}

fn subscribe(filters: impl IntoIterator<Item = impl AsRef<str>>, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    for filter in filters {
        text(&mut body, filter.as_ref());
        body.push(qos);
    }
    packet(0x82, &body)
}

fn publish(topic: &str, payload: &str, flags: u8) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    if flags & 0x06 > 0 {
        body.extend([0, 1]);
    }
    body.extend(payload.as_bytes());
    packet(0x30 | flags, &body)
}

/// All filters of `levels` levels that are each `a` or `+`.
fn bush(levels: u32) -> impl Iterator<Item = String> {
    (0..1_u32 << levels).map(move |bits| {
        let level = |at| ["a", "+"][(bits >> at & 1) as usize];
        (0..levels).map(level).collect::<Vec<_>>().join("/")
    })
}

fn topic(levels: usize) -> String {
    vec!["a"; levels].join("/")
}

fn payloads(messages: &[Got]) -> Vec<&str> {
    messages.iter().map(|got| &*got.payload).collect()
}

#[test]
fn subscribe_and_unsubscribe_of_many_filters_take_many_turns() {
    let mut stand = Stand::new(|_| {});
    let client = stand.connect("one");
    let other = stand.connect("two");
    let filters: Vec<_> = (0..20_000).map(|number| format!("a/{number}/+")).collect();

    stand.send(client, &subscribe(&filters, 0));
    let rounds = stand.run();
    assert!(rounds > 20, "{rounds}");
    stand.send(other, &publish("a/19999/x", "1", 0));
    stand.run();
    assert_eq!(payloads(&stand.messages(client)), ["1"]);

    let mut body = vec![0, 2];
    filters.iter().for_each(|filter| text(&mut body, filter));
    stand.send(client, &packet(0xa2, &body));
    assert!(stand.run() > 20);
    stand.send(other, &publish("a/19999/x", "2", 0));
    stand.run();
    assert_eq!(payloads(&stand.messages(client)), [""; 0]);
    assert!(stand.longest <= MOST, "{}", stand.longest);
}

/// MQTT-3.3.4-2: one copy for all filters of a client, however many turns it takes to find them.
#[test]
fn message_that_many_filters_match_takes_many_turns_and_comes_once() {
    let mut stand = Stand::new(|_| {});
    let clients: Vec<_> = (0..4)
        .map(|number| stand.connect(&format!("subscriber {number}")))
        .collect();
    for filter in bush(13).collect::<Vec<_>>().chunks(1024) {
        for client in &clients {
            stand.send(*client, &subscribe(filter, 0));
        }
        stand.run();
    }
    let publisher = stand.connect("publisher");
    stand.longest = 0;
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    for payload in &expected {
        stand.send(publisher, &publish(&topic(13), payload, 0));
    }
    let rounds = stand.run();
    assert!(rounds > 20, "{rounds}");
    assert!(stand.longest <= MOST, "{}", stand.longest);
    for client in clients {
        assert_eq!(payloads(&stand.messages(client)), expected);
    }
}

#[test]
fn filters_that_match_nothing_in_the_end_are_looked_through_in_turns() {
    let mut stand = Stand::new(|_| {});
    let client = stand.connect("subscriber");
    let filters: Vec<_> = bush(13).map(|filter| filter + "/z").collect();
    for filters in filters.chunks(1024) {
        stand.send(client, &subscribe(filters, 0));
        stand.run();
    }
    let publisher = stand.connect("publisher");
    stand.longest = 0;
    for number in 0..100 {
        let topic = format!("{}/{number}", topic(13));
        stand.send(publisher, &publish(&topic, "", 0));
    }
    stand.send(publisher, &publish(&(topic(13) + "/z"), "found", 0));
    assert!(stand.run() > 100);
    assert!(stand.longest <= MOST, "{}", stand.longest);
    assert_eq!(payloads(&stand.messages(client)), ["found"]);
}

/// A message that may not wait is for those who take it at once, also where there are more than a turn
/// serves, and it is refused only when all of them were asked.
#[test]
fn message_that_may_not_wait_finds_who_takes_it_among_thousands() {
    const ABSENT: u64 = 9000;
    for overlapping in [Overlapping::OneCopy, Overlapping::CopyEach] {
        let mut stand = Stand::new(|config| config.overlapping = overlapping);
        for number in 0..ABSENT {
            let client = stand.connect_with(&format!("s{number}"), false, usize::MAX >> 1);
            stand.send(client, &subscribe(["a"], 1));
        }
        stand.run();
        (0..stand.clients.len()).for_each(|client| stand.close(client));
        stand.run();
        let half = stand.broker.config().limits.memory / 2;
        stand.broker.budget().charge(Kind::Queues, half);

        let publisher = stand.connect("publisher");
        stand.send(publisher, &publish("a", "refused", 2));
        assert!(stand.run() > 2);
        assert!(stand.clients[publisher].0.is_done(), "{overlapping:?}");
        let stats = stand.broker.stats(stand.now);
        assert_eq!((stats.dropped, stats.queued), (0, 0), "{overlapping:?}");

        let present = stand.connect("present");
        stand.send(present, &subscribe(["a"], 1));
        let publisher = stand.connect("publisher");
        stand.send(publisher, &publish("a", "taken", 2));
        assert!(stand.run() > 2);
        assert_eq!(payloads(&stand.messages(present)), ["taken"]);
        let stats = stand.broker.stats(stand.now);
        assert_eq!((stats.dropped, stats.queued), (ABSENT, 0));
        stand.broker.budget().discharge(Kind::Queues, half);
    }
}

/// Each client gets its messages in order, and those of one group come to one member each, although
/// subscribers and groups of one filter are more than a turn serves.
#[test]
fn message_to_many_subscribers_of_one_filter_takes_many_turns() {
    for overlapping in [Overlapping::OneCopy, Overlapping::CopyEach] {
        let mut stand = Stand::new(|config| config.overlapping = overlapping);
        let clients: Vec<_> = (0..20_000)
            .map(|number| {
                let client = stand.connect_with(&format!("s{number}"), true, usize::MAX >> 1);
                let filters = ["a".to_owned(), format!("$share/{}/a", number % 9_000)];
                stand.send(client, &subscribe(filters, 0));
                client
            })
            .collect();
        stand.run();
        let publisher = stand.connect("publisher");
        stand.longest = 0;
        let expected: Vec<_> = (0..5).map(|number| number.to_string()).collect();
        for payload in &expected {
            stand.send(publisher, &publish("a", payload, 0));
        }
        assert!(stand.run() > 20);
        assert!(stand.longest <= MOST, "{}", stand.longest);

        let mut copies = BTreeMap::new();
        for client in clients {
            let messages = stand.messages(client);
            for payload in payloads(&messages) {
                *copies.entry(payload.to_owned()).or_insert(0) += 1;
            }
            let mut firsts = Vec::new();
            for payload in payloads(&messages) {
                if !firsts.contains(&payload) {
                    firsts.push(payload);
                }
            }
            assert_eq!(firsts, expected, "{overlapping:?}");
        }
        let all = copies.values().copied().collect::<Vec<_>>();
        assert_eq!(all, [20_000 + 9_000; 5], "{overlapping:?}");
    }
}

#[test]
fn message_reaches_every_group_of_a_list_that_takes_several_turns() {
    const MEMBERS: usize = 9;
    const GROUPS: usize = 1_000;

    let mut stand = Stand::new(|_| {});
    let members: Vec<_> = (0..MEMBERS)
        .map(|member| {
            let client = stand.connect(&format!("m{member}"));
            let groups = (0..GROUPS).map(|group| format!("$share/{member}-{group}/a"));
            stand.send(client, &subscribe(groups, 0));
            client
        })
        .collect();
    stand.run();
    let publisher = stand.connect("publisher");
    stand.send(publisher, &publish("a", "x", 0));
    assert!(stand.run() > 1);
    for member in members {
        assert_eq!(stand.messages(member).len(), GROUPS);
    }
}

#[test]
fn sessions_that_expire_together_end_in_many_turns() {
    const SESSIONS: usize = 5_000;
    const EXPIRY: Duration = Duration::from_secs(60);

    let mut stand = Stand::new(|config| config.limits.session_expiry = Some(EXPIRY));
    for number in 0..SESSIONS {
        let client = stand.connect_with(&format!("s{number}"), false, usize::MAX >> 1);
        stand.send(
            client,
            &subscribe(["a".to_owned(), format!("b/{number}")], 1),
        );
        stand.close(client);
    }
    stand.run();
    assert_eq!(stand.broker.stats(stand.now).sessions, SESSIONS);
    stand.longest = 0;

    stand.now += EXPIRY;
    let mut turns = 1;
    while stand.keep_time() {
        turns += 1;
    }
    assert!(turns > 20, "{turns}");
    assert!(stand.longest <= MOST, "{}", stand.longest);
    assert_eq!(stand.broker.stats(stand.now).sessions, 0);
}

/// Topic aliases of both directions, each as many as there can be.
#[test]
fn aliases_of_a_connection_that_ends_are_dropped_in_turns() {
    const ALIASES: u16 = u16::MAX;

    let mut stand = Stand::new(|config| {
        config.limits.topic_alias_maximum = ALIASES;
        config.limits.topic_alias_outbound = ALIASES;
    });
    let client = stand.open(usize::MAX >> 1);
    let mut connect = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0];
    connect.extend([3, 0x22, 0xff, 0xff]);
    text(&mut connect, "own");
    stand.send(client, &packet(0x10, &connect));
    let mut own = vec![0, 1, 0];
    text(&mut own, "alias/#");
    own.push(0);
    stand.send(client, &packet(0x82, &own));
    for alias in 1..=ALIASES {
        let mut message = Vec::new();
        text(&mut message, &format!("alias/{alias}"));
        message.extend([3, 0x23]);
        message.extend(alias.to_be_bytes());
        stand.send(client, &packet(0x30, &message));
    }
    stand.run();
    assert!(stand.read(client, usize::MAX) > usize::from(ALIASES));
    stand.close(client);
    stand.turn(client);
    assert_eq!(stand.broker.stats(stand.now).sessions, 0);
    let held = stand.broker.budget().used();
    let both = (48 + 32) * usize::from(ALIASES);
    assert!(held > both, "{held}");
    assert!(stand.run() > 20);
    assert!(stand.longest <= MOST, "{}", stand.longest);
    assert_eq!(stand.broker.budget().used(), 0);
}

/// What a client published before it left comes to everyone, also what its last turn did not get to.
#[test]
fn message_reaches_everyone_although_its_publisher_has_left() {
    let mut stand = Stand::new(|_| {});
    let client = stand.connect("subscriber");
    stand.send(client, &subscribe(bush(13), 0));
    stand.run();
    let publisher = stand.connect("publisher");
    stand.send(publisher, &publish(&topic(13), "first", 0));
    stand.send(publisher, &publish(&topic(13), "last", 0));
    stand.close(publisher);
    stand.turn(publisher);
    let taken = stand.connect("publisher");
    stand.run();
    assert_eq!(payloads(&stand.messages(client)), ["first", "last"]);
    assert!(!stand.clients[taken].0.is_done());
}

/// PUBACK says that every receiver has the message or that it is kept for them.
#[test]
fn puback_comes_when_all_receivers_have_been_served() {
    let mut stand = Stand::new(|_| {});
    let client = stand.connect("subscriber");
    stand.send(client, &subscribe(bush(13), 0));
    stand.run();
    let publisher = stand.connect("publisher");
    stand.read(publisher, usize::MAX);
    stand.unread[publisher].clear();
    stand.send(publisher, &publish(&topic(13), "1", 2));
    while stand.messages(client).is_empty() {
        assert_eq!(stand.read(publisher, usize::MAX), 0, "PUBACK came first");
        // The subscriber's owner has no turn of its own: the message is written by the publisher's.
        stand.turn(publisher);
    }
    stand.run();
    stand.read(publisher, usize::MAX);
    assert_eq!(stand.unread[publisher], [0x40, 2, 0, 1]);
}

fn retain_many(stand: &mut Stand, count: usize, qos: u8) {
    let publisher = stand.connect("publisher");
    for number in 0..count {
        let topic = format!("r/{}/{number:06}", number % 100);
        stand.send(publisher, &publish(&topic, "old", 1 | qos << 1));
        stand.run();
    }
    stand.read(publisher, usize::MAX);
    stand.close(publisher);
    stand.run();
}

/// However often a client subscribes without reading, the messages that it is due stay where they are.
#[test]
fn retained_messages_come_in_turns_and_are_not_listed_for_a_slow_client() {
    let mut stand = Stand::new(|_| {});
    retain_many(&mut stand, 20_000, 0);
    let before = stand.broker.budget().used();
    let client = stand.connect_with("subscriber", true, 1000);
    stand.longest = 0;
    for _ in 0..20 {
        stand.send(client, &subscribe(["#"], 0));
    }
    stand.run();
    let held = stand.broker.budget().used() - before;
    assert!(held < 700_000, "{held}");
    while stand.read(client, 200_000) > 0 {
        stand.run();
    }
    assert!(stand.longest <= MOST, "{}", stand.longest);
    let messages = stand.messages(client);
    assert_eq!(messages.len(), 20 * 20_000);
    assert!(messages.iter().all(|message| message.retain));
}

/// What replaced a retained message went to the subscription when it was published; what was removed is
/// not sent any more.
#[test]
fn retained_message_that_was_replaced_on_the_way_does_not_come_any_more() {
    let mut stand = Stand::new(|_| {});
    retain_many(&mut stand, 20_000, 0);
    let client = stand.connect_with("subscriber", true, 1000);
    stand.send(client, &subscribe(["r/#"], 0));
    stand.run();
    let publisher = stand.connect("replacing");
    stand.send(publisher, &publish("r/99/019999", "new", 1));
    stand.send(publisher, &publish("r/99/019899", "", 1));
    stand.run();
    while stand.read(client, 200_000) > 0 {
        stand.run();
    }
    let messages = stand.messages(client);
    let of = |topic: &str| {
        let of_topic = messages.iter().filter(|message| message.topic == topic);
        of_topic
            .map(|message| (&*message.payload, message.retain))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("r/99/019999"), [("new", false)]);
    assert_eq!(of("r/99/019899"), [("", false)]);
    assert_eq!(messages.len(), 20_000);
}

/// MQTT-3.1.2-5: what a session is due at QoS 1 it gets on its next connection; QoS 0 went with the
/// connection that subscribed.
#[test]
fn replay_goes_on_after_a_reconnect_with_what_lasts() {
    for qos in [0, 1] {
        let mut stand = Stand::new(|_| {});
        retain_many(&mut stand, 3_000, 1);
        let client = stand.connect_with("subscriber", false, 1000);
        stand.send(client, &subscribe(["r/#"], qos));
        stand.run();
        stand.close(client);
        stand.run();
        let again = stand.connect_with("subscriber", false, usize::MAX >> 1);
        stand.run();
        let mut topics: Vec<_> = stand
            .messages(again)
            .into_iter()
            .map(|got| got.topic)
            .collect();
        topics.sort_unstable();
        topics.dedup();
        assert_eq!(topics.len(), if qos == 0 { 0 } else { 3_000 });
    }
}

/// Many connections do not make a turn longer either.
#[test]
fn many_attackers_together_take_no_longer_turns() {
    let mut stand = Stand::new(|_| {});
    retain_many(&mut stand, 5_000, 0);
    let mut attackers = Vec::new();
    for number in 0..8 {
        let client = stand.connect(&format!("attacker {number}"));
        let filters: Vec<_> = (0..2_000).map(|at| format!("{number}/{at}")).collect();
        stand.send(client, &subscribe(&filters, 0));
        stand.send(client, &subscribe(["#", "r/+/+", "+/+/+"], 0));
        for at in 0..500 {
            stand.send(client, &publish(&format!("{number}/{at}"), "x", 0));
        }
        attackers.push(client);
    }
    stand.longest = 0;
    stand.run();
    assert!(stand.longest <= MOST, "{}", stand.longest);
    for (before, client) in attackers.into_iter().enumerate() {
        let live = (8 - before) * 500;
        assert_eq!(stand.messages(client).len(), 3 * 5_000 + live);
    }
}

/// A publisher's kept route is compared with every filter that changed since.
#[test]
fn renewing_a_route_counts_towards_the_turn_of_its_publisher() {
    const CHANGES: usize = 200;

    let mut stand = Stand::new(|_| {});
    let publisher = stand.connect("publisher");
    let other = stand.connect("other");
    let mut steps_of_a_message = |changes: usize| {
        let filters = (0..changes).map(|number| format!("b/{number}"));
        if changes > 0 {
            stand.send(other, &subscribe(filters, 0));
            stand.run();
        }
        stand.longest = 0;
        stand.send(publisher, &publish("a", "1", 0));
        stand.run();
        stand.longest
    };
    for _ in 0..3 {
        steps_of_a_message(0);
    }
    let kept = steps_of_a_message(0);
    let renewed = steps_of_a_message(CHANGES);
    assert!(renewed >= kept + CHANGES, "{renewed} steps after {kept}");
    assert_eq!(steps_of_a_message(0), kept, "it is as new");
}

/// Keeps requests to the topic `$ask` unanswered.
#[derive(Default)]
struct Keeper(Mutex<Vec<Unanswered>>);

impl Service for Keeper {
    fn take(
        &self,
        message: &Publication<'_>,
        author: Option<&Arc<Session>>,
        _: &Context<'_>,
    ) -> bool {
        let is_request = message.topic == "$ask";
        if is_request {
            self.0.lock().push(Unanswered::new(author));
        }
        is_request
    }
}

impl Keeper {
    fn answer(&self, count: usize) {
        let mut kept = self.0.lock();
        let answered: Vec<_> = kept.drain(..count).collect();
        drop(kept);
        drop(answered);
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Stand {
    /// A stand whose broker has its requests kept, and who keeps them.
    fn keeping() -> (Self, Arc<Keeper>) {
        let keeper = Arc::<Keeper>::default();
        let mut stand = Self::new(|_| {});
        let config = stand.broker.config().clone();
        let broker = Broker::new(
            config,
            Randomness::from_seed(1),
            stand.now,
            Arc::new(NoAlarm),
        );
        stand.broker = broker.with_service(keeper.clone());
        (stand, keeper)
    }
}

/// Requests beyond what may be unanswered, with a run of them at most.
const HELD: std::ops::Range<usize> = 64..96;

#[test]
fn client_with_many_unanswered_requests_is_not_read_from_until_they_are_fewer() {
    let (mut stand, keeper) = Stand::keeping();
    let client = stand.connect("client");
    let other = stand.connect("other");
    stand.send(other, &subscribe(["$ask", "a"], 0));
    stand.run();
    let asks = publish("$ask", "1", 0).repeat(150);
    stand.send(client, &asks);
    stand.send(client, &publish("a", "behind", 0));
    stand.run();
    let first = keeper.len();
    assert!(HELD.contains(&first), "{first}");
    assert_eq!(
        stand.messages(other).len(),
        first,
        "who subscribes sees them"
    );
    // Others are not held.
    stand.send(other, &publish("$ask", "1", 0));
    stand.run();
    assert_eq!(keeper.len(), first + 1);
    keeper.answer(first - 33);
    stand.run();
    assert_eq!(keeper.len(), 34, "still too many");
    keeper.answer(1);
    stand.run();
    let second = keeper.len();
    assert!(HELD.contains(&(second - 1)), "{second}");
    keeper.answer(second);
    stand.run();
    let got = stand.messages(other);
    assert_eq!(got.len(), 150 - first + 1 + 1);
    assert_eq!(got.last().map(|last| &*last.payload), Some("behind"));
}

/// Also where each request is so large that it is read in pieces.
#[test]
fn client_with_large_requests_is_held_as_well() {
    let (mut stand, keeper) = Stand::keeping();
    let client = stand.connect("client");
    let large = publish("$ask", &"x".repeat(300_000), 0);
    for _ in 0..80 {
        stand.send(client, &large);
    }
    stand.run();
    assert_eq!(keeper.len(), 64);
    keeper.answer(40);
    stand.run();
    assert_eq!(keeper.len(), 24 + 16);
}

/// What was sent before the CONNECT of the next connection is older, but not waited for without end.
#[test]
fn session_of_a_client_that_is_held_goes_over_in_time() {
    let (mut stand, keeper) = Stand::keeping();
    let client = stand.connect("client");
    let asks = publish("$ask", "1", 0).repeat(150);
    stand.send(client, &asks);
    stand.run();
    let first = keeper.len();
    assert!(HELD.contains(&first), "{first}");
    let next = stand.connect_with("client", true, usize::MAX >> 1);
    stand.run();
    assert_eq!(stand.read(next, 4), 0, "the other one has the session");
    stand.now += Duration::from_millis(100);
    while stand.keep_time() {}
    stand.run();
    assert_eq!(stand.read(next, 4), 4, "CONNACK");
    assert_eq!(keeper.len(), first);
    // A new session owes nothing, whatever is still unanswered of the one before.
    stand.send(next, &publish("$ask", "1", 0).repeat(10));
    stand.run();
    assert_eq!(keeper.len(), first + 10);
}

/// A client that leaves is noticed although nothing is read from it, and what it had asked stays asked.
#[test]
fn client_that_is_held_and_leaves_is_seen_to_once_it_is_eased() {
    let (mut stand, keeper) = Stand::keeping();
    let client = stand.connect("client");
    stand.send(client, &publish("$ask", "1", 0).repeat(150));
    stand.close(client);
    stand.run();
    assert!(HELD.contains(&keeper.len()));
    let mut answered = 0;
    while keeper.len() > 0 {
        answered += keeper.len();
        keeper.answer(keeper.len());
        stand.run();
    }
    assert_eq!(answered, 150);
    assert!(stand.clients[client].0.is_done());
}

/// MQTT-3.1.2-22 (MQTT 5), MQTT-3.1.2-24 (3.1.1). A turn that comes between the time of a timer and its signal leaves
/// the timer alone.
#[test]
fn keep_alive_holds_although_a_turn_comes_before_the_signal_of_its_timer() {
    let mut stand = Stand::new(|_| {});
    let client = stand.open(usize::MAX);
    let mut connect = Vec::new();
    text(&mut connect, "MQTT");
    connect.extend([4, 2, 0, 10]);
    text(&mut connect, "silent");
    stand.send(client, &packet(0x10, &connect));
    stand.run();
    // Heard late in the interval, and then in just the moment at which the timer is due.
    for seconds in [14, 1] {
        stand.now += Duration::from_secs(seconds);
        stand.send(client, &packet(0xc0, &[]));
        stand.run();
    }
    // A byte of a packet is not heard, and does nothing but bring a turn.
    for _ in 0..20 {
        stand.now += Duration::from_millis(750);
        stand.send(client, &[0x30]);
        stand.run();
        stand.keep_time();
        stand.run();
    }
    assert!(stand.clients[client].0.is_done(), "it is silent for 15 s");
}
