//! What the broker counts towards `limits.memory` against what its process takes.
//!
//! Each trial makes the broker hold more and more of one kind until it refuses, and compares the growth
//! of resident memory with that of `memory_bytes` in `/v1/stats`: either may be 1.3 times the other
//! and 64 MiB more.

use std::any::Any;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::raw::{Manner, Raw, STALLED};
use crate::setting;
use crate::stats::{Stats, settled};
use crate::support::{
    Connect, Door, Encode as _, PINGREQ, Publish, Subscribe, TestBroker, Version, Will,
    masked_frame, session_expiry, topic_alias, topic_alias_maximum, user_property, utf8, varint,
    will_delay,
};

/// `limits.memory` in MiB.
const MEMORY_VARIABLE: &str = "ROUNDEL_PRESSURE_MEMORY";
const MEMORY: u64 = 256;

/// How far apart both figures may be.
const FACTOR: f64 = 1.3;
const SLACK: u64 = 64 << 20;

/// How far the broker's count may lie beyond its bound: each of its threads holds changes back, up to
/// 10 KiB for each of seven kinds, that bring it down again.
const HELD_BACK: u64 = 256 * 1024;

/// Rounds of filling without more being counted, after which the kind is bounded by another limit.
const ROUNDS_WITHOUT_GROWTH: usize = 3;

/// No kind takes longer to fill, in seconds.
const PATIENCE_VARIABLE: &str = "ROUNDEL_PRESSURE_PATIENCE";
const PATIENCE: u64 = 30;

/// How one kind is filled, a round at a time.
type Filler = fn(&mut Room, usize) -> io::Result<Outcome>;

/// What came of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    More,
    /// The broker took no more of it.
    Refused,
}

const KINDS: [(&str, Filler); 33] = [
    ("queued_small", queued_small),
    ("queued_large", queued_large),
    ("queued_few_in_each_of_many_sessions", queued_few_in_many),
    ("queued_once_for_many_sessions", queued_for_many),
    ("group_queue", group_queue),
    ("in_flight", in_flight),
    ("outboxes_of_stalled_readers", outboxes_small),
    ("one_large_payload_for_stalled_readers", outboxes_large),
    ("retained_small", retained_small),
    ("retained_large", retained_large),
    ("retained_long_topics", retained_long),
    ("retained_deep_topics", retained_deep),
    ("partial_packets", partial_packets),
    ("partial_packets_small", partial_packets_small),
    ("partial_connects", partial_connects),
    ("partial_websocket_packets", partial_frames),
    ("sessions", sessions),
    ("sessions_with_long_names", sessions_long),
    ("wills", wills),
    ("wills_with_properties", wills_with_properties),
    ("subscriptions_short", subscriptions_short),
    ("subscriptions_long", subscriptions_long),
    ("subscriptions_deep", subscriptions_deep),
    ("subscriptions_of_many_to_one_filter", subscriptions_same),
    ("groups", groups),
    ("group_members", group_members),
    ("inbound_aliases", inbound_aliases),
    ("outbound_aliases", outbound_aliases),
    ("qos_2_identifiers", qos_2_identifiers),
    ("routes", routes),
    ("http_bodies", http_bodies),
    ("shadows", shadows),
    ("shadows_of_small_values", shadows_small),
];

/// Kinds of connections, which take more with each layer.
const DOORS: [(&str, Filler); 3] = [
    ("connections_tcp", connections_tcp),
    ("connections_tls", connections_tls),
    ("connections_websocket", connections_websocket),
];

pub(crate) fn trials() -> Vec<Trial> {
    let kinds = KINDS.into_iter().chain(DOORS);
    kinds
        .map(|(name, filler)| {
            Trial::test(format!("memory::{name}"), move || {
                measure(name, filler);
                Ok(())
            })
        })
        .collect()
}

/// A broker that is filled, and the connections that must stay.
struct Room {
    broker: TestBroker,
    mqtt: SocketAddr,
    held: Vec<Box<dyn Any>>,
    author: Option<Raw>,
}

fn measure(name: &str, filler: Filler) {
    let memory = setting(MEMORY_VARIABLE, MEMORY);
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let mut room = Room::new(memory);
    let (counted_before, measured_before) =
        (Stats::of(&room.broker).memory(), settled(&room.broker));
    let patience = Duration::from_secs(setting(PATIENCE_VARIABLE, PATIENCE));
    let begun = Instant::now();
    let mut ended = "refused";
    let (mut last, mut idle) = (counted_before, 0);
    for round in 0.. {
        match filler(&mut room, round) {
            Ok(Outcome::More) => {}
            Ok(Outcome::Refused) => break,
            Err(error) => {
                // Closing is a way to refuse.
                ended = if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) {
                    "not read"
                } else {
                    "closed"
                };
                break;
            }
        }
        let counted = Stats::of(&room.broker).memory();
        idle = if counted > last + (last >> 10) {
            0
        } else {
            idle + 1
        };
        last = counted.max(last);
        if idle == ROUNDS_WITHOUT_GROWTH {
            ended = "no more is counted";
            break;
        }
        if begun.elapsed() > patience {
            ended = "out of time";
            break;
        }
    }
    let stats = Stats::of(&room.broker);
    let measured = settled(&room.broker).saturating_sub(measured_before);
    let counted = Stats::of(&room.broker)
        .memory()
        .saturating_sub(counted_before);
    eprintln!(
        "{name}: counted {} MiB ({}), measured {} MiB, {:.2} times; {ended} after {:.1?}",
        counted >> 20,
        stats.kinds(),
        measured >> 20,
        measured as f64 / counted.max(1) as f64,
        begun.elapsed(),
    );
    let may_be = |other: u64| (other as f64 * FACTOR) as u64 + SLACK;
    assert!(
        measured <= may_be(counted),
        "{name}: {measured} bytes taken, {counted} counted"
    );
    assert!(
        counted <= may_be(measured),
        "{name}: {counted} bytes counted, {measured} taken"
    );
    assert!(
        counted + counted_before <= (memory << 20) + HELD_BACK,
        "{name}: {counted} bytes of {memory} MiB"
    );
}

impl Room {
    fn new(memory: u64) -> Self {
        let flags = [
            &Door::FLAGS[..],
            &["--http-port", "0", "--registry", "memory"],
        ];
        let flags = flags.concat();
        let config = format!(
            "sys_interval = \"off\"\nhttp_idle_timeout = \"1h\"\n[limits]\nmemory = \"{memory}MiB\"\nwrite_stall = \"1h\"\n\
             connect_timeout = \"1h\"\nsession_queue = 10_000_000\nretained = 10_000_000\n\
             subscriptions_per_session = 10_000_000\n\
             group_queue = 10_000_000\ntopic_alias_outbound = 65_535\n\
             [aws]\nshadows = true\n"
        );
        let broker = TestBroker::start_with_config(&flags, &config);
        let mqtt = broker.mqtt();
        let mut room = Self {
            broker,
            mqtt,
            held: Vec::new(),
            author: None,
        };
        // What is there once, such as buffers of threads, is there before.
        room.author()
            .send(&PINGREQ.repeat(100_000))
            .expect("the broker reads");
        for _ in 0..100_000 {
            room.author().next().expect("an answer");
        }
        room
    }

    /// A client that publishes.
    fn author(&mut self) -> &mut Raw {
        let mqtt = self.mqtt;
        self.author.get_or_insert_with(|| {
            Raw::open(mqtt, Manner::default(), &Connect::new("author")).expect("a session")
        })
    }

    fn open(&self, connect: &Connect) -> io::Result<Raw> {
        Raw::open(self.mqtt, Manner::default(), connect)
    }

    /// Subscribes at this QoS, in a session that stays if `connect` says so.
    fn subscriber(
        &self,
        manner: Manner,
        connect: &Connect,
        filter: &str,
        qos: u8,
    ) -> io::Result<Raw> {
        match Raw::subscriber(self.mqtt, manner, connect, filter, qos)? {
            (raw, false) => Ok(raw),
            _ => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// Publishes so many messages at QoS 1, of which `message` makes the topic and payload.
    fn publish(&mut self, count: usize, message: impl Fn(usize) -> Publish) -> io::Result<Outcome> {
        let mut bytes = Vec::new();
        for number in 0..count {
            let id = u16::try_from(number + 1).expect("a packet identifier");
            bytes.extend(message(number).qos(1, id).encode(Version::V5));
        }
        let author = self.author();
        author.send(&bytes)?;
        Ok(match author.acknowledged(count)? {
            0 => Outcome::More,
            _ => Outcome::Refused,
        })
    }

    fn hold(&mut self, held: impl Any) {
        self.held.push(Box::new(held));
    }
}

fn absent(name: String) -> Connect {
    Connect::new(name).with(session_expiry(u32::MAX))
}

// Messages.

/// Small messages for a few clients that are away.
fn queued_small(room: &mut Room, round: usize) -> io::Result<Outcome> {
    if round == 0 {
        subscribe_absent(room, "q/")?;
    }
    publish_small(room)
}

/// Subscribes eight clients that are away, each to this and its number.
fn subscribe_absent(room: &Room, filter: &str) -> io::Result<()> {
    for index in 0..8 {
        let connect = absent(format!("away-{index}"));
        drop(room.subscriber(Manner::default(), &connect, &format!("{filter}{index}"), 1)?);
    }
    Ok(())
}

/// Publishes 20,000 small messages to eight topics, or fewer if they are refused.
fn publish_small(room: &mut Room) -> io::Result<Outcome> {
    for _ in 0..20 {
        if room.publish(1000, |number| {
            Publish::new(format!("q/{}", number % 8), [b'x'; 64])
        })? == Outcome::Refused
        {
            return Ok(Outcome::Refused);
        }
    }
    Ok(Outcome::More)
}

fn queued_large(room: &mut Room, round: usize) -> io::Result<Outcome> {
    if round == 0 {
        subscribe_absent(room, "q/")?;
    }
    room.publish(40, |number| {
        Publish::new(format!("q/{}", number % 8), vec![b'x'; 100_000])
    })
}

/// Ten small messages for each of many clients that are away.
fn queued_few_in_many(room: &mut Room, round: usize) -> io::Result<Outcome> {
    const CLIENTS: usize = 500;
    for index in 0..CLIENTS {
        let name = format!("away-{round}-{index}");
        drop(room.subscriber(Manner::default(), &absent(name.clone()), &name, 1)?);
    }
    room.publish(10 * CLIENTS, |number| {
        Publish::new(format!("away-{round}-{}", number % CLIENTS), [b'x'; 64])
    })
}

/// Messages that lie once, and in the queues of many.
fn queued_for_many(room: &mut Room, round: usize) -> io::Result<Outcome> {
    if round == 0 {
        for index in 0..500 {
            drop(room.subscriber(
                Manner::default(),
                &absent(format!("away-{index}")),
                "all",
                1,
            )?);
        }
    }
    room.publish(100, |_| Publish::new("all", [b'x'; 64]))
}

fn group_queue(room: &mut Room, round: usize) -> io::Result<Outcome> {
    if round == 0 {
        subscribe_absent(room, "$share/g/q/")?;
    }
    publish_small(room)
}

/// Clients that read and do not acknowledge.
fn in_flight(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let filter = format!("f/{round}");
    let reader = room.subscriber(
        Manner::default(),
        &Connect::new(format!("silent-{round}")),
        &filter,
        1,
    )?;
    let mut stream = reader.stream.try_clone()?;
    std::thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
    room.hold(reader);
    for _ in 0..60 {
        if room.publish(1000, |_| Publish::new(&filter, [b'x'; 64]))? == Outcome::Refused {
            return Ok(Outcome::Refused);
        }
    }
    Ok(Outcome::More)
}

/// Encoded bytes that wait for sockets, once the system's own buffers are full.
fn outboxes_small(room: &mut Room, round: usize) -> io::Result<Outcome> {
    if round == 0 {
        for index in 0..50 {
            let connect = Connect::new(format!("stalled-{index}"));
            let reader = room.subscriber(STALLED, &connect, "stalled", 0)?;
            room.hold(reader);
        }
    }
    // A socket takes up to 4 MiB.
    for _ in 0..60 {
        if room.publish(1000, |_| Publish::new("stalled", [b'x'; 64]))? == Outcome::Refused {
            return Ok(Outcome::Refused);
        }
    }
    Ok(Outcome::More)
}

fn outboxes_large(room: &mut Room, round: usize) -> io::Result<Outcome> {
    if round == 0 {
        for index in 0..50 {
            let connect = Connect::new(format!("stalled-{index}"));
            let reader = room.subscriber(STALLED, &connect, "stalled", 1)?;
            room.hold(reader);
        }
    }
    room.publish(4, |_| Publish::new("stalled", vec![b'x'; 4 << 20]))
}

// Retained messages.

fn retained_small(room: &mut Room, round: usize) -> io::Result<Outcome> {
    for part in 0..20 {
        let outcome = room.publish(1000, |number| {
            Publish::new(format!("retained/{round}/{part}/{number}"), [b'x'; 64]).retain()
        })?;
        if outcome == Outcome::Refused {
            return Ok(Outcome::Refused);
        }
    }
    Ok(Outcome::More)
}

fn retained_large(room: &mut Room, round: usize) -> io::Result<Outcome> {
    room.publish(40, |number| {
        Publish::new(format!("retained/{round}/{number}"), vec![b'x'; 100_000]).retain()
    })
}

fn retained_long(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let long = "t".repeat(60_000);
    room.publish(40, |number| {
        Publish::new(format!("{round}/{number}/{long}"), "x").retain()
    })
}

fn retained_deep(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let deep = "/a".repeat(15_000);
    room.publish(40, |number| {
        Publish::new(format!("{round}/{number}{deep}"), "x").retain()
    })
}

// Packets on their way.

fn partial_packets(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let mut raw = room.open(&Connect::new(format!("partial-{round}")))?;
    raw.stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut start = vec![0x30];
    start.extend(varint(100 << 20));
    start.extend(utf8("partial"));
    start.push(0);
    raw.send(&start)?;
    for _ in 0..10 {
        raw.send(&vec![b'x'; 1 << 20])?;
    }
    room.hold(raw);
    Ok(Outcome::More)
}

fn partial_packets_small(room: &mut Room, round: usize) -> io::Result<Outcome> {
    for index in 0..500 {
        let mut raw = room.open(&Connect::new(format!("partial-{round}-{index}")))?;
        let whole = Publish::new("partial", [b'x'; 100_000]).encode(Version::V5);
        raw.send(&whole[..60_000])?;
        room.hold(raw);
    }
    Ok(Outcome::More)
}

fn partial_connects(room: &mut Room, _round: usize) -> io::Result<Outcome> {
    for _ in 0..50 {
        let mut raw = Raw::dial(room.mqtt, Manner::default())?;
        raw.stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        let whole = Connect::new("partial").user("u").password([b'x'; 60_000]);
        let whole = (0..7).fold(whole, |connect, _| {
            connect.with(user_property("k", "v".repeat(60_000)))
        });
        let bytes = whole.encode(Version::V5);
        raw.send(&bytes[..bytes.len() - 1])?;
        room.hold(raw);
    }
    Ok(Outcome::More)
}

/// The same in frames, one of which ends in the middle as well.
fn partial_frames(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let address = room.broker.address("ws").expect("the door is open");
    let stream = TcpStream::connect(address)?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut raw = stream.try_clone()?;
    let mut client = crate::support::Frames::try_upgrade(stream)?;
    client.write_all(&Connect::new(format!("partial-{round}")).encode(Version::V5))?;
    io::Read::read(&mut client, &mut [0; 100])?;
    let whole = Publish::new("partial", vec![b'x'; 8 << 20]).encode(Version::V5);
    for piece in whole[..whole.len() - 1000].chunks(100_000) {
        raw.write_all(&masked_frame(2, piece, true))?;
    }
    let last = masked_frame(2, &[b'x'; 900], true);
    raw.write_all(&last[..last.len() / 2])?;
    room.hold((client, raw));
    Ok(Outcome::More)
}

// Sessions.

/// Connects, disconnects and leaves a session behind, many at a time.
fn leave(room: &Room, connects: impl Iterator<Item = Connect>) -> io::Result<Outcome> {
    let mut open = Vec::new();
    for connect in connects {
        let mut raw = Raw::dial(room.mqtt, Manner::default())?;
        raw.send(&connect.encode(Version::V5))?;
        open.push(raw);
    }
    for raw in &mut open {
        match raw.next()? {
            (0x20, body) if body.get(1) == Some(&0) => {}
            _ => return Ok(Outcome::Refused),
        }
    }
    Ok(Outcome::More)
}

fn sessions(room: &mut Room, round: usize) -> io::Result<Outcome> {
    for part in 0..20 {
        let connects = (0..200).map(|index| absent(format!("s{round}-{part}-{index}")));
        if leave(room, connects)? == Outcome::Refused {
            return Ok(Outcome::Refused);
        }
    }
    Ok(Outcome::More)
}

fn sessions_long(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let long = "s".repeat(60_000);
    leave(
        room,
        (0..40).map(|index| absent(format!("{round}-{index}-{long}"))),
    )
}

fn wills(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let will = |_: usize| Will::new("will", [b'x'; 60_000]).with(will_delay(1_000_000));
    leave(
        room,
        (0..40).map(|index| absent(format!("w{round}-{index}")).will(will(index))),
    )
}

fn wills_with_properties(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let will = || {
        let will = Will::new("will", "x").with(will_delay(1_000_000));
        (0..100).fold(will, |will, _| will.with(user_property("key", "value")))
    };
    leave(
        room,
        (0..200).map(|index| absent(format!("w{round}-{index}")).will(will())),
    )
}

// Subscriptions.

fn subscribe(
    room: &mut Room,
    count: usize,
    filter: impl Fn(usize) -> String,
) -> io::Result<Outcome> {
    let mut subscribe = Subscribe::new(1);
    for index in 0..count {
        subscribe = subscribe.filter(filter(index), 1);
    }
    let author = room.author();
    author.send(&subscribe.encode(Version::V5))?;
    Ok(match author.acknowledged(1)? {
        0 => Outcome::More,
        _ => Outcome::Refused,
    })
}

fn subscriptions_short(room: &mut Room, round: usize) -> io::Result<Outcome> {
    subscribe(room, 20_000, |index| format!("s/{round}/{index}"))
}

fn subscriptions_long(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let long = "f".repeat(60_000);
    subscribe(room, 20, |index| format!("{round}/{index}/{long}"))
}

fn subscriptions_deep(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let deep = "/+".repeat(15_000);
    subscribe(room, 20, |index| format!("{round}/{index}{deep}"))
}

fn subscriptions_same(room: &mut Room, round: usize) -> io::Result<Outcome> {
    for index in 0..1000 {
        let name = format!("same-{round}-{index}");
        drop(room.subscriber(Manner::default(), &absent(name), "same/filter", 1)?);
    }
    Ok(Outcome::More)
}

fn groups(room: &mut Room, round: usize) -> io::Result<Outcome> {
    subscribe(room, 10_000, |index| format!("$share/g-{round}-{index}/x"))
}

fn group_members(room: &mut Room, round: usize) -> io::Result<Outcome> {
    for index in 0..1000 {
        let name = format!("member-{round}-{index}");
        drop(room.subscriber(Manner::default(), &absent(name), "$share/g/x", 1)?);
    }
    Ok(Outcome::More)
}

// What a client's packets leave.

fn inbound_aliases(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let mut raw =
        room.open(&Connect::new(format!("aliases-{round}")).with(topic_alias_maximum(100)))?;
    for start in (0..65_000).step_by(1000) {
        let mut bytes = Vec::new();
        for alias in start..start + 1000 {
            let message = Publish::new(format!("alias/{alias}"), "").with(topic_alias(alias + 1));
            bytes.extend(message.encode(Version::V5));
        }
        raw.send(&bytes)?;
    }
    raw.send(&PINGREQ)?;
    raw.next()?;
    room.hold(raw);
    Ok(Outcome::More)
}

fn qos_2_identifiers(room: &mut Room, round: usize) -> io::Result<Outcome> {
    for index in 0..10 {
        let mut raw = room.open(&Connect::new(format!("two-{round}-{index}")))?;
        // None is a neighbour of another: so they take most.
        let ids = (1..65_000).step_by(64);
        let count = ids.len();
        let bytes: Vec<u8> = ids
            .flat_map(|id| Publish::new("two", "").qos(2, id).encode(Version::V5))
            .collect();
        raw.send(&bytes)?;
        if raw.acknowledged(count)? > 0 {
            room.hold(raw);
            return Ok(Outcome::Refused);
        }
        room.hold(raw);
    }
    Ok(Outcome::More)
}

/// Readers that an alias is bound to for each of many topics.
fn outbound_aliases(room: &mut Room, round: usize) -> io::Result<Outcome> {
    for index in 0..5 {
        let name = format!("reader-{round}-{index}");
        let connect = Connect::new(name).with(topic_alias_maximum(u16::MAX));
        let filter = format!("alias/{round}/#");
        let reader = room.subscriber(Manner::default(), &connect, &filter, 0)?;
        let mut stream = reader.stream.try_clone()?;
        std::thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
        room.hold(reader);
    }
    for part in 0..65 {
        let topic = |number| format!("alias/{round}/{part}/{number}");
        if room.publish(1000, |number| Publish::new(topic(number), ""))? == Outcome::Refused {
            return Ok(Outcome::Refused);
        }
    }
    Ok(Outcome::More)
}

/// Publishers that remember where their topics lead: many topics each, with many subscribers each.
fn routes(room: &mut Room, round: usize) -> io::Result<Outcome> {
    if round == 0 {
        // They are away, so that they get nothing.
        for index in 0..400 {
            let connect = absent(format!("reader-{index}"));
            drop(room.subscriber(Manner::default(), &connect, "routes/#", 0)?);
        }
    }
    for index in 0..20 {
        let mut raw = room.open(&Connect::new(format!("routes-{round}-{index}")))?;
        // What comes once is not remembered, and what comes twice in a row is looked up once.
        let topic = |topic| {
            let message = Publish::new(format!("routes/{round}/{index}/{topic}"), "");
            message.encode(Version::V5)
        };
        let bytes: Vec<u8> = (0..100)
            .flat_map(|pair| [topic(2 * pair), topic(2 * pair + 1)].concat().repeat(2))
            .collect();
        raw.send(&bytes)?;
        raw.send(&PINGREQ)?;
        raw.next()?;
        room.hold(raw);
    }
    Ok(Outcome::More)
}

fn http_bodies(room: &mut Room, _round: usize) -> io::Result<Outcome> {
    let http = room.broker.address("http").expect("the API is on");
    for _ in 0..20 {
        let mut stream = TcpStream::connect(http)?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        let head = format!(
            "POST /v1/publish HTTP/1.1\r\nHost: {http}\r\nContent-Type: application/json\r\n\
             Content-Length: 2000000\r\n\r\n{{\"topic\":\"t\",\"payload\":\""
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&vec![b'x'; 1_900_000])?;
        room.hold(stream);
    }
    Ok(Outcome::More)
}

// Shadows.

/// Shadows of one long text.
fn shadows(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let text = "x".repeat(4000);
    update_shadows(room, round, &format!(r#"{{"text":"{text}"}}"#))
}

/// Shadows of many numbers in objects.
fn shadows_small(room: &mut Room, round: usize) -> io::Result<Outcome> {
    let parts: Vec<_> = (0..40)
        .map(|part| format!(r#""part{part}":{{"a":1,"b":2,"c":3}}"#))
        .collect();
    update_shadows(room, round, &format!("{{{}}}", parts.join(",")))
}

/// Makes 500 shadows.
fn update_shadows(room: &mut Room, round: usize, reported: &str) -> io::Result<Outcome> {
    const COUNT: usize = 500;
    let filter = "$aws/things/+/shadow/update/accepted";
    let connect = Connect::new("observer");
    let mut observer = room.subscriber(Manner::default(), &connect, filter, 0)?;
    let rejected = "$aws/things/+/shadow/update/rejected";
    observer.send(&Subscribe::new(2).filter(rejected, 0).encode(Version::V5))?;
    observer.acknowledged(1)?;
    let payload = format!(r#"{{"state":{{"reported":{reported}}}}}"#);
    for number in 0..COUNT {
        let topic = format!("$aws/things/thing-{round}-{number}/shadow/update");
        let update = Publish::new(topic, payload.as_bytes());
        room.author().send(&update.encode(Version::V5))?;
    }
    let mut outcome = Outcome::More;
    for _ in 0..COUNT {
        let (_, body) = observer.next()?;
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        if body[2..2 + length].ends_with(b"rejected") {
            outcome = Outcome::Refused;
        }
    }
    Ok(outcome)
}

// Connections.

fn connections(
    room: &mut Room,
    listener: &str,
    layer: fn(&Room, TcpStream, String) -> io::Result<Box<dyn Any>>,
    round: usize,
) -> io::Result<Outcome> {
    let address = room.broker.address(listener).expect("the door is open");
    for index in 0..500 {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_nodelay(true)?;
        let held = layer(room, stream, format!("c-{round}-{index}"))?;
        room.held.push(held);
    }
    Ok(match round {
        // More than that and the test runs out of ports and files.
        15.. => Outcome::Refused,
        _ => Outcome::More,
    })
}

fn enter(client: &mut (impl io::Read + Write), name: String) -> io::Result<()> {
    client.write_all(&Connect::new(name).encode(Version::V5))?;
    client.flush()?;
    match client.read(&mut [0; 100])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn connections_tcp(room: &mut Room, round: usize) -> io::Result<Outcome> {
    connections(
        room,
        "mqtt",
        |_, mut stream, name| {
            enter(&mut stream, name)?;
            Ok(Box::new(stream))
        },
        round,
    )
}

fn connections_tls(room: &mut Room, round: usize) -> io::Result<Outcome> {
    connections(
        room,
        "mqtts",
        |room, stream, name| {
            let certs = room
                .broker
                .directory()
                .expect("a broker of our own")
                .join("certs");
            let server = "localhost".try_into().expect("a name");
            let tls = rustls::ClientConnection::new(crate::support::trust(&certs), server);
            let mut client = rustls::StreamOwned::new(tls.expect("a client"), stream);
            enter(&mut client, name)?;
            Ok(Box::new(client))
        },
        round,
    )
}

fn connections_websocket(room: &mut Room, round: usize) -> io::Result<Outcome> {
    connections(
        room,
        "ws",
        |_, stream, name| {
            let mut client = crate::support::Frames::try_upgrade(stream)?;
            enter(&mut client, name)?;
            Ok(Box::new(client))
        },
        round,
    )
}
