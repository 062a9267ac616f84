//! A broker that is full of one kind of thing, and the clients that go on with small packets.

use serde_json::Value;

use crate::support::*;

/// `limits.memory` of these brokers: no kind takes more than half of it.
const MEMORY: u64 = 4 << 20;

/// What is kept for small things.
const KEPT: u64 = MEMORY / 16;

/// Messages that each pair exchanges.
const EXCHANGED: usize = 1000;

/// 5:MQTT-3.4.2-1 5:MQTT-3.5.2-1
/// When queues have their half of the memory, messages that would have to wait are refused by 0x97, and
/// those who take them at once still get theirs.
#[test]
fn small_messages_go_on_while_queues_are_full() {
    let full = Full::of_queues();
    let mut author = full.client();
    for qos in [1, 2] {
        assert_eq!(author.publish_message(Publish::new("away", "x"), qos), 0x97);
        let nobody = Publish::new("nobody", "x");
        assert_eq!(author.publish_message(nobody, qos), 0x10);
    }
    full.serves_good_clients();
    // Nothing of what was refused is kept.
    let (mut away, session_present) = full.resume("away", Version::V5);
    assert!(session_present);
    let mut count = 0;
    while away.receive().payload.len() > 1 {
        count += 1;
        if count == full.queued {
            break;
        }
    }
    assert_eq!(count, full.queued);
    away.expect_only_pingresp();
}

/// 5:MQTT-4.3.3-9
/// A message goes to those who take it at once; that others did not get it is counted. One that nobody took is
/// nobody's, and its identifier is free.
#[test]
fn message_that_some_take_is_lost_to_those_who_would_have_to_wait() {
    let full = Full::of_queues();
    let mut reader = full.client();
    reader.subscribe("+", 2);
    let mut author = full.client();
    let dropped = full.number("messages_dropped");
    for qos in [1, 2] {
        assert_eq!(author.publish_message(Publish::new("away", "x"), qos), 0);
        assert_eq!(reader.receive().text(), "x");
    }
    assert_eq!(full.number("messages_dropped"), dropped + 2);
    assert_eq!(reader.unsubscribe("+"), 0);
    author.send(Publish::new("away", "y").qos(2, 77));
    assert_eq!(author.expect_pubrec(77), 0x97);
    assert_eq!(full.number("messages_dropped"), dropped + 2);
    author.send(Publish::new("nobody", "z").qos(2, 77));
    assert_eq!(author.expect_pubrec(77), 0x10);
}

/// 3:MQTT-4.8.0-2 3:MQTT-4.3.3-1
/// MQTT 3.1.1 has no word for it: the connection ends, and the identifier of the message is free.
#[test]
fn refused_message_ends_an_old_connection() {
    let full = Full::of_queues();
    for qos in [1, 2] {
        let (mut old, _) = full.resume("old", Version::V3);
        old.send(Publish::new("away", "x").qos(qos, 7));
        old.expect_closed();
    }
    let mut reader = full.client();
    reader.subscribe("other", 2);
    let (mut old, session_present) = full.resume("old", Version::V3);
    assert!(session_present);
    old.send(Publish::new("other", "y").qos(2, 7));
    assert_eq!(old.expect_pubrec(7), 0);
    assert_eq!(reader.receive().text(), "y");
}

/// 5:MQTT-4.8.2-4
/// A shared group finds the member that takes a message at once, and lets none wait.
#[test]
fn group_hands_over_while_queues_are_full() {
    let full = Full::of_queues();
    for version in [Version::V5, Version::V3] {
        let (mut absent, _) = full.resume(&fresh("absent"), version);
        assert_eq!(absent.subscribe("$share/g/shared", 1), 1);
        absent.vanish();
    }
    let mut author = full.client();
    assert_eq!(author.publish_message(Publish::new("shared", "x"), 1), 0x97);
    let mut stalled = full.client();
    assert_eq!(stalled.subscribe("$share/g/shared", 1), 1);
    let mut taken = 0;
    while author.publish_message(Publish::new("shared", "held"), 1) == 0 {
        taken += 1;
        assert!(taken < 100, "a member holds no more than its share");
    }
    assert!(taken > 0);
    let mut member = full.client();
    assert_eq!(member.subscribe("$share/g/shared", 2), 2);
    for number in 0..EXCHANGED {
        let text = number.to_string();
        assert_eq!(author.publish_message(Publish::new("shared", &text), 2), 0);
        assert_eq!(member.receive().text(), text);
    }
    // What was taken is not lost with the member that had it.
    stalled.vanish();
    let mut moved = member.receive_texts(taken);
    moved.dedup();
    assert_eq!(moved, ["held"]);
    assert!(full.number("memory_bytes") <= MEMORY);
}

/// 5:MQTT-4.9.0-1
/// Clients that never acknowledge take what is kept for small things, and no message from those that do.
#[test]
fn receivers_that_never_acknowledge_stop_nobody() {
    const SILENT: usize = 60;
    let full = Full::of_queues();
    let mut author = full.client();
    let mut silent = Vec::new();
    for size in [15_000, 500] {
        for number in 0..SILENT {
            let mut client = full.client();
            let topic = format!("silent/{size}/{number}");
            client.subscribe(&topic, 1);
            let mut taken = 0;
            while author.publish_message(Publish::new(&topic, "x".repeat(size)), 1) != 0x97 {
                taken += 1;
                assert!(taken <= 16, "no more than a few are in flight");
            }
            silent.push(client);
        }
    }
    let queues = full.kind("queues");
    assert!(queues > (MEMORY / 2 + KEPT) * 9 / 10, "{queues} bytes");
    full.serves_good_clients();
}

/// 5:MQTT-4.9.0-3
/// Clients that read nothing fill the queues, and stop nobody.
#[test]
fn receivers_that_read_nothing_stop_nobody() {
    const STALLED: usize = 24;
    let full = Full::start();
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut client = full.client();
        client.subscribe("flood", 0);
        stalled.push(client);
    }
    let mut author = full.client();
    let mut sent = 0;
    while full.kind("queues") < MEMORY / 2 - KEPT / 2 {
        for _ in 0..20 {
            author.send(Publish::new("flood", "x".repeat(30_000)));
        }
        author.expect_only_pingresp();
        sent += 20;
        assert!(sent < 5000, "the bound is reached");
    }
    for _ in 0..100 {
        author.send(Publish::new("flood", "x".repeat(10_000)));
    }
    author.expect_only_pingresp();
    full.serves_good_clients();
}

/// 5:MQTT-3.9.3-2
/// Sessions have their half: SUBSCRIBE is refused by 0x97, and messages go on.
#[test]
fn messages_go_on_while_sessions_are_full() {
    let full = Full::start();
    let (mut reader, mut author) = (full.client(), full.client());
    reader.subscribe("pair/#", 2);
    let mut greedy = full.client();
    let mut taken = 0;
    while greedy.subscribe(&format!("{taken}/{}", "f".repeat(20_000)), 0) == 0 {
        taken += 1;
        assert!(taken < 1000, "the bound is reached");
    }
    assert!(full.kind("sessions") > MEMORY * 4 / 10);
    full.exchange(&mut reader, &mut author);
    full.serves_good_clients();
}

/// 5:MQTT-3.4.2-1
/// Retained messages have their half: 0x97, and others go on.
#[test]
fn messages_go_on_while_retained_messages_are_full() {
    let full = Full::start();
    let mut author = full.client();
    let mut kept = 0;
    let retain =
        |number: usize| Publish::new(format!("kept/{number}"), "x".repeat(20_000)).retain();
    while author.publish_message(retain(kept), 1) != 0x97 {
        kept += 1;
        assert!(kept < 1000, "the bound is reached");
    }
    assert!(full.kind("retained") > MEMORY * 4 / 10);
    full.serves_good_clients();
}

/// 5:MQTT-4.9.0-3
/// Packets that do not end have their half, and others go on.
#[test]
fn messages_go_on_while_packets_are_full() {
    let full = Full::start();
    let head = [&[0x30][..], &varint(1 << 20), b"\0\x01a\0"].concat();
    let mut slow = Vec::new();
    // Packets of which all but a piece has come.
    while full.kind("packets") < MEMORY * 4 / 10 {
        let mut client = full.client();
        client.send([head.as_slice(), &[b'x'; 100_000]].concat());
        slow.push(client);
        assert!(slow.len() < 1000, "the bound is reached");
    }
    full.serves_good_clients();
}

/// A broker, and what it holds.
struct Full {
    broker: TestBroker,
    /// Messages in the queue of the client that is away.
    queued: usize,
}

impl Full {
    fn start() -> Self {
        let config = format!(
            "sys_interval = \"off\"\n[limits]\nmemory = {MEMORY}\nsession_queue = 1_000_000\n"
        );
        let flags = ["--profile", "standard", "--http-port", "0"];
        Self {
            broker: TestBroker::start_with_config(&flags, &config),
            queued: 0,
        }
    }

    /// Full of messages for a client that is away.
    fn of_queues() -> Self {
        let mut full = Self::start();
        let (mut away, _) = full.resume("away", Version::V5);
        assert_eq!(away.subscribe("away", 2), 2);
        away.disconnect();
        let mut author = full.client();
        for size in [20_000, 2_000, 100] {
            while author.publish_message(Publish::new("away", "x".repeat(size)), 1) != 0x97 {
                full.queued += 1;
                assert!(full.queued < 10_000, "the bound is reached");
            }
        }
        let queues = full.kind("queues");
        assert!(queues > MEMORY / 2 - KEPT / 2, "{queues} bytes");
        full
    }

    /// A new client with a clean session.
    fn client(&self) -> Client {
        self.connect(Version::V5, &Connect::new(fresh("c"))).0
    }

    /// A client whose session stays.
    fn resume(&self, name: &str, version: Version) -> (Client, bool) {
        self.connect(version, &Connect::new(name).durable())
    }

    fn connect(&self, version: Version, connect: &Connect) -> (Client, bool) {
        let mut client = Client::dial(self.broker.mqtt(), version);
        client.send_connect(connect);
        let (session_present, reason, _) = client.expect_connack();
        assert_eq!(reason, 0, "a session");
        (client, session_present)
    }

    fn stats(&self) -> Value {
        let body = self.broker.get("/v1/stats");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    fn number(&self, name: &str) -> u64 {
        self.stats()[name].as_u64().expect("a number")
    }

    fn kind(&self, name: &str) -> u64 {
        let stats = self.stats();
        stats["memory_bytes_by_kind"][name].as_u64().expect("bytes")
    }

    /// New clients connect, subscribe, and exchange messages of each QoS.
    fn serves_good_clients(&self) {
        let (mut reader, mut author) = (self.client(), self.client());
        assert_eq!(reader.subscribe("pair/#", 2), 2);
        self.exchange(&mut reader, &mut author);
        assert_eq!(reader.unsubscribe("pair/#"), 0);
        reader.disconnect();
    }

    fn exchange(&self, reader: &mut Client, author: &mut Client) {
        for qos in [0, 1, 2] {
            let topic = format!("pair/{qos}");
            for number in 0..EXCHANGED {
                let text = number.to_string();
                let reason = author.publish_message(Publish::new(&topic, &text), qos);
                assert_eq!(reason, 0, "message {number} at QoS {qos}");
                assert_eq!(reader.receive().text(), text);
            }
        }
        reader.expect_only_pingresp();
        let memory = self.number("memory_bytes");
        assert!(memory <= MEMORY, "{memory} bytes");
    }
}
