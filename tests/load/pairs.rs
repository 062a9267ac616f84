//! Clients that keep the rules: an author and a reader of its topic, twenty times.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::link::{DOORS, Doors, Link, Manner};
use crate::support::{
    Connect, Delivery, Encode as _, Packet, PacketType, Publish, Subscribe, Version, puback,
};

const PAIRS: usize = 20;

/// Between two messages of an author. All of them together send one every two milliseconds.
const PERIOD: Duration = Duration::from_millis(40);

/// Besides its number, what a message carries.
const PAYLOAD: usize = 120;

/// The last messages have so long to arrive and to be acknowledged.
const GRACE: Duration = Duration::from_secs(30);

/// All pairs, connected.
pub(crate) struct Pairs(Vec<Pair>);

struct Pair {
    topic: String,
    version: Version,
    author: Link,
    reader: Link,
    /// Between the start of a run and the first message.
    offset: Duration,
    sent: u64,
    received: u64,
    acknowledged: u64,
    /// When the messages on their way were due to be sent.
    due: VecDeque<Instant>,
}

impl Pairs {
    /// Connects pairs through every door and in both versions.
    pub(crate) async fn connect(doors: &Doors) -> Self {
        let mut pairs = Vec::new();
        for index in 0..PAIRS {
            pairs.push(Pair::connect(doors, index).await);
        }
        Self(pairs)
    }

    /// Lets all authors publish for so long and waits until every message has arrived and every
    /// acknowledgement is there.
    pub(crate) async fn run(&mut self, duration: Duration) -> Latencies {
        let start = Instant::now();
        let mut runs = JoinSet::new();
        for mut pair in self.0.drain(..) {
            runs.spawn(async move {
                let latencies = pair.run(start, start + duration).await;
                (pair, latencies)
            });
        }
        let mut all = Vec::new();
        while let Some(run) = runs.join_next().await {
            let (pair, latencies) = run.unwrap_or_else(|error| panic!("a pair failed: {error}"));
            self.0.push(pair);
            all.extend(latencies);
        }
        Latencies::of(all)
    }

    pub(crate) async fn disconnect(self) {
        for pair in self.0 {
            for mut link in [pair.author, pair.reader] {
                link.send(&[0xE0, 0x00]).await.expect("the broker reads");
                link.drain().await;
            }
        }
    }
}

impl Pair {
    async fn connect(doors: &Doors, index: usize) -> Self {
        let version = if index.is_multiple_of(2) {
            Version::V5
        } else {
            Version::V3
        };
        let topic = format!("pairs/{index}");
        let mut author = doors
            .open(DOORS[index % DOORS.len()], Manner::default())
            .await
            .expect("the broker accepts");
        author
            .connect(version, &Connect::new(format!("author-{index}")))
            .await
            .expect("the broker lets it in");
        let mut reader = doors
            .open(DOORS[index / 2 % DOORS.len()], Manner::default())
            .await
            .expect("the broker accepts");
        reader
            .connect(version, &Connect::new(format!("reader-{index}")))
            .await
            .expect("the broker lets it in");
        let subscribe = Subscribe::new(1).filter(&topic, 1).encode(version);
        reader.send(&subscribe).await.expect("the broker reads");
        let answer = reader
            .next_packet(version)
            .await
            .expect("the broker answers");
        assert!(matches!(answer, Some(Packet::Suback { reasons, .. }) if reasons == [1]));
        Self {
            topic,
            version,
            author,
            reader,
            offset: PERIOD * u32::try_from(index).expect("small") / PAIRS as u32,
            sent: 0,
            received: 0,
            acknowledged: 0,
            due: VecDeque::new(),
        }
    }

    /// Publishes from `start` until `end`, at a rate that no delay slows down.
    async fn run(&mut self, start: Instant, end: Instant) -> Vec<Duration> {
        let mut latencies = Vec::new();
        let mut next = start + self.offset;
        while next < end || self.acknowledged < self.sent || self.received < self.sent {
            tokio::select! {
                () = sleep_until(next), if next < end => {
                    self.publish(next).await;
                    next += PERIOD;
                }
                packet = self.reader.next_packet(self.version) => {
                    latencies.push(self.receive(packet.expect("a connection")).await);
                }
                packet = self.author.next_packet(self.version) => {
                    self.take_ack(packet.expect("a connection"));
                }
                () = sleep_until(end + GRACE) => panic!(
                    "{}: of {} messages {} have arrived and {} are acknowledged",
                    self.topic, self.sent, self.received, self.acknowledged
                ),
            }
        }
        latencies
    }

    async fn publish(&mut self, due: Instant) {
        self.due.push_back(due);
        self.sent += 1;
        let mut payload = self.sent.to_be_bytes().to_vec();
        payload.resize(PAYLOAD, b'.');
        let publish = Publish::new(&self.topic, payload).qos(1, identifier(self.sent));
        let bytes = publish.encode(self.version);
        self.author.send(&bytes).await.expect("the broker reads");
    }

    /// Takes the next message, exactly that one, and returns how long after it was due.
    async fn receive(&mut self, packet: Option<Packet>) -> Duration {
        let Some(Packet::Publish(Delivery {
            topic,
            payload,
            qos: 1,
            id,
            dup: false,
            ..
        })) = packet
        else {
            panic!("{}: the reader got {packet:?}", self.topic);
        };
        let due = self.due.pop_front();
        let latency = due.map(|due| due.elapsed());
        self.received += 1;
        assert_eq!(topic, self.topic);
        assert_eq!(
            payload.get(..8),
            Some(self.received.to_be_bytes().as_slice()),
            "{topic}: every message once and in order",
        );
        let ack = puback(id).encode(self.version);
        self.reader.send(&ack).await.expect("the broker reads");
        latency.unwrap_or_else(|| panic!("{topic}: a message that was not sent"))
    }

    fn take_ack(&mut self, packet: Option<Packet>) {
        self.acknowledged += 1;
        let Some(Packet::Ack {
            kind: PacketType::Puback,
            id,
            reason: 0,
            ..
        }) = packet
        else {
            panic!("{}: the author got {packet:?}", self.topic);
        };
        assert_eq!(id, identifier(self.acknowledged), "{}", self.topic);
    }
}

/// The packet identifier of the message with this number.
fn identifier(number: u64) -> u16 {
    u16::try_from(number % 65_535 + 1).expect("in range")
}

/// From when a message was due to be sent to its arrival, over many messages.
#[derive(Clone, Copy)]
pub(crate) struct Latencies {
    count: usize,
    median: Duration,
    p99: Duration,
    p999: Duration,
    max: Duration,
}

impl Latencies {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |thousandth: usize| all[(all.len() * thousandth / 1000).min(all.len() - 1)];
        Self {
            count: all.len(),
            median: at(500),
            p99: at(990),
            p999: at(999),
            max: at(1000),
        }
    }

    /// Of each figure, the median over several runs; of the longest, the longest.
    pub(crate) fn median<'a>(runs: impl Iterator<Item = &'a Self>) -> Self {
        let runs: Vec<&Self> = runs.collect();
        let of = |figure: fn(&Self) -> Duration| {
            let mut all: Vec<Duration> = runs.iter().map(|run| figure(run)).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        Self {
            count: runs.iter().map(|run| run.count).sum(),
            median: of(|run| run.median),
            p99: of(|run| run.p99),
            p999: of(|run| run.p999),
            max: runs.iter().map(|run| run.max).max().expect("a run"),
        }
    }

    /// The errors of others hold nobody up. A machine that does other things as well makes everything
    /// `slowdown` times slower.
    pub(crate) fn check_beside(&self, baseline: &Self, slowdown: f64, is_strict: bool) {
        if is_strict {
            let bound = (baseline.p99.mul_f64(1.5)).max(baseline.p99 + Duration::from_millis(2));
            assert!(
                self.p99 <= bound,
                "99th percentile of the latency: {:?} without errors, {:?} with them, {bound:?} is the bound",
                baseline.p99,
                self.p99
            );
        }
        for (what, now, then, floor) in [
            ("median", self.median, baseline.median, MEDIAN_FLOOR),
            ("99th percentile", self.p99, baseline.p99, P99_FLOOR),
        ] {
            let bound = (then * FACTOR).max(floor.mul_f64(slowdown));
            assert!(
                now <= bound,
                "{what} of the latency: {then:?} without errors, {now:?} with them, \
                 on a machine that is {slowdown:.1} times slower than an idle one"
            );
        }
    }
}

/// Latencies may grow by this factor, or up to these: what the load takes of two cores shows, also in a
/// build without optimisation. Nobody waits as long as the broker waits for a client in error.
const FACTOR: u32 = 3;
const MEDIAN_FLOOR: Duration = Duration::from_millis(100);
const P99_FLOOR: Duration = Duration::from_millis(500);

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages, none lost; latency {:.1?}, p99 {:.1?}, p99.9 {:.1?}, max {:.1?}",
            self.count, self.median, self.p99, self.p999, self.max
        )
    }
}
