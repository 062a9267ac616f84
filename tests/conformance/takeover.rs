//! One client identifier on two connections: what the older one sent before the newer came counts, in
//! its order, and what the newer one finds is the session after that. Through every door.

use std::{
    sync::{Barrier, OnceLock},
    thread,
    time::{Duration, Instant},
};

use crate::support::*;

/// How often each race is run through each door.
const ROUNDS: usize = 25;

/// The broker of these tests.
fn open_broker() -> &'static TestBroker {
    static SHARED: OnceLock<TestBroker> = OnceLock::new();
    SHARED.get_or_init(|| TestBroker::start(&Door::FLAGS))
}

/// Runs a test through every door at the same time.
fn all_doors(test: impl Fn(Door) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        let runs = Door::ALL.map(|door| (door, scope.spawn(move || test(door))));
        for (door, run) in runs {
            assert!(run.join().is_ok(), "the test fails over {door:?}");
        }
    });
}

/// A client on plain TCP that is subscribed to a filter at QoS 1.
fn observer(filter: &str) -> Client {
    let (mut client, _) =
        Door::Tcp.open(open_broker(), Version::V5, &Connect::new(fresh("observer")));
    assert_eq!(client.subscribe(filter, 1), 1);
    client
}

/// A device with a session that outlives its connections and with a will.
struct Device {
    door: Door,
    id: String,
    topic: String,
}

impl Device {
    fn new(door: Door) -> Self {
        Self {
            door,
            id: fresh("device"),
            topic: fresh("takeover"),
        }
    }

    fn connect(&self) -> Connect {
        Connect::new(&self.id)
            .resume()
            .with(session_expiry(300))
            .will(Will::new(format!("{}/will", self.topic), "will").qos(1))
    }

    fn open(&self) -> (Client, bool) {
        self.door.open(open_broker(), Version::V5, &self.connect())
    }

    /// Sends `bytes` and hangs up, then is there again at once, and says so on its topic. Returns whether
    /// its session was still there.
    fn leave_and_return(&self, mut client: Client, bytes: Vec<u8>) -> (Client, bool) {
        client.send(bytes);
        drop(client);
        let (mut client, session_present) = self.open();
        client.publish(&format!("{}/back", self.topic), "back", 1);
        (client, session_present)
    }

    fn message(&self, text: &str) -> Vec<u8> {
        Publish::new(format!("{}/last", self.topic), text).encode(Version::V5)
    }

    fn disconnect(&self, disconnect: Disconnect) -> Vec<u8> {
        disconnect.encode(Version::V5)
    }
}

/// MQTT-3.14.4-3: what DISCONNECT says holds however soon the client is back: no will, the end of the
/// session if its expiry is set to 0, and the QoS 0 message before it arrives.
#[test]
fn disconnect_before_a_takeover_counts() {
    all_doors(|door| {
        let device = Device::new(door);
        let mut observer = observer(&format!("{}/#", device.topic));
        let (mut client, _) = device.open();
        for round in 0..ROUNDS {
            let bye = Disconnect::default().with(session_expiry(0));
            let last = [device.message(&round.to_string()), device.disconnect(bye)].concat();
            let session_present;
            (client, session_present) = device.leave_and_return(client, last);
            assert!(!session_present, "round {round}: the session had ended");
            assert_eq!(
                observer.receive_texts(2),
                [round.to_string().as_str(), "back"],
                "the message, no will"
            );
        }
        client.disconnect();
        observer.expect_only_pingresp();
    });
}

/// MQTT-3.1.2-8: a DISCONNECT that asks for the will gets it, once; the session stays.
#[test]
fn disconnect_with_will_before_a_takeover_counts() {
    all_doors(|door| {
        let device = Device::new(door);
        let mut observer = observer(&format!("{}/#", device.topic));
        let (mut client, _) = device.open();
        for round in 0..ROUNDS {
            let bye = device.disconnect(Disconnect::reason(0x04));
            let session_present;
            (client, session_present) =
                device.leave_and_return(client, [device.message("last"), bye].concat());
            assert!(session_present, "round {round}");
            assert_eq!(observer.receive_texts(3), ["last", "will", "back"]);
        }
        client.disconnect();
        observer.expect_only_pingresp();
    });
}

/// A client that just vanishes: the will comes once, behind what was sent before (MQTT-3.1.2-8).
#[test]
fn will_of_a_lost_connection_comes_once_before_a_takeover() {
    all_doors(|door| {
        let device = Device::new(door);
        let mut observer = observer(&format!("{}/#", device.topic));
        let (mut client, _) = device.open();
        for round in 0..ROUNDS {
            let session_present;
            (client, session_present) = device.leave_and_return(client, device.message("last"));
            assert!(session_present, "round {round}");
            assert_eq!(observer.receive_texts(3), ["last", "will", "back"]);
        }
        client.disconnect();
        observer.expect_only_pingresp();
    });
}

/// The older connection has a megabyte of messages on its way when the newer one comes.
#[test]
fn a_megabyte_before_a_takeover_counts() {
    const MESSAGES: usize = 200;
    const WHOLE: usize = 3;
    all_doors(|door| {
        let device = Device::new(door);
        let mut observer = observer(&format!("{}/#", device.topic));
        let (mut client, _) = device.open();
        let (mut whole, mut cut) = (0, 0);
        while whole < WHOLE {
            let round = whole + cut;
            let text = |number| format!("{number}-{}", "x".repeat(5000));
            let mut last: Vec<u8> = (0..MESSAGES)
                .flat_map(|number| device.message(&text(number)))
                .collect();
            let bye = Disconnect::default().with(session_expiry(0));
            last.extend(device.disconnect(bye));
            let session_present;
            (client, session_present) = device.leave_and_return(client, last);
            if session_present {
                // The older connection has 100 ms for it, which a busy machine may let pass.
                cut += 1;
                assert!(cut < 20, "{whole} whole rounds, {cut} that were cut");
                while observer.receive().text() != "back" {}
                continue;
            }
            whole += 1;
            for number in 0..MESSAGES {
                assert_eq!(observer.receive().text(), text(number), "round {round}");
            }
            assert_eq!(observer.receive().text(), "back", "round {round}");
        }
        client.disconnect();
        observer.expect_only_pingresp();
    });
}

/// MQTT-4.4.0-1: what the older connection acknowledged is not sent again to the newer one, and what it
/// did not is, first.
#[test]
fn acknowledgements_before_a_takeover_count() {
    all_doors(|door| {
        let device = Device::new(door);
        let (mut client, _) = device.open();
        client.subscribe(&format!("{}/in", device.topic), 2);
        let mut author = observer(&fresh("nothing"));
        for round in 0..ROUNDS {
            let topic = format!("{}/in", device.topic);
            for text in ["first", "second"] {
                author.publish(&topic, text, 1);
            }
            let first = client.expect_publish();
            let second = client.expect_publish();
            assert_eq!((first.text(), second.text()), ("first", "second"));
            let acknowledged = puback(first.id).encode(Version::V5);
            client.send(acknowledged);
            drop(client);
            let session_present;
            (client, session_present) = device.open();
            assert!(session_present, "round {round}");
            let again = client.receive();
            assert_eq!((again.text(), again.dup), ("second", true));
            client.expect_only_pingresp();
        }
    });
}

/// The same for QoS 2: PUBREL of the author and PUBREC of the receiver count, and every message comes
/// through exactly once (MQTT-4.3.3-1).
#[test]
fn steps_of_qos_2_before_a_takeover_count() {
    all_doors(|door| {
        let device = Device::new(door);
        let mut observer = observer(&format!("{}/out", device.topic));
        let (mut client, _) = device.open();
        for round in 0..ROUNDS {
            let id = u16::try_from(round + 1).expect("small");
            let topic = format!("{}/out", device.topic);
            let message = Publish::new(&topic, round.to_string()).qos(2, id);
            client.send(&message);
            assert_eq!(client.expect_pubrec(id), 0);
            client.send(pubrel(id));
            drop(client);
            let session_present;
            (client, session_present) = device.open();
            assert!(session_present, "round {round}");
            // The exchange had been completed, so this starts another with its identifier.
            let again = Publish::new(&topic, format!("{round} again")).qos(2, id);
            client.send(&again);
            assert_eq!(client.expect_pubrec(id), 0);
            client.send(pubrel(id));
            assert_eq!(client.expect_pubcomp(id), 0);
            assert_eq!(
                observer.receive_texts(2),
                [round.to_string(), format!("{round} again")]
            );
        }
    });
}

/// Messages keep coming while connections of one session take over from each other: each arrives, in
/// its order, whichever connection is there to take it.
#[test]
fn messages_survive_takeovers_under_way() {
    const MESSAGES: usize = 1500;
    all_doors(|door| {
        let device = Device::new(door);
        let topic = format!("{}/in", device.topic);
        let (mut client, _) = device.open();
        client.subscribe(&topic, 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut author = observer(&fresh("nothing"));
                for number in 0..MESSAGES {
                    author.publish(&topic, number.to_string(), 1);
                }
            });
            // Every connection takes a few messages and acknowledges all of them but the last.
            let mut next = 0;
            while next < MESSAGES {
                let mut taken = 0;
                while taken < 40 && next < MESSAGES {
                    let delivery = client.expect_publish();
                    let number: usize = delivery.text().parse().expect("a number");
                    // A repeated message is one whose acknowledgement did not arrive.
                    assert!(
                        number == next || (delivery.dup && number < next),
                        "{number} instead of {next}"
                    );
                    next = next.max(number + 1);
                    taken += 1;
                    if taken < 40 {
                        client.acknowledge(&delivery);
                    }
                }
                if next < MESSAGES {
                    let (newer, session_present) = device.open();
                    assert!(session_present, "after {next} messages");
                    client = newer;
                }
            }
        });
    });
}

/// MQTT-3.1.4-3: of many that connect under one identifier at the same moment one stays, the others are
/// ended, and the session goes on with that one.
#[test]
fn of_concurrent_connects_one_stays() {
    const CLIENTS: usize = 8;
    all_doors(|door| {
        let device = Device::new(door);
        let topic = format!("{}/in", device.topic);
        let (mut first, _) = device.open();
        first.subscribe(&topic, 1);
        let mut author = observer(&fresh("nothing"));
        for round in 0..ROUNDS {
            let start = Barrier::new(CLIENTS);
            let clients: Vec<Client> = thread::scope(|scope| {
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut client = door.dial(open_broker(), Version::V5);
                            start.wait();
                            client.send_connect(&device.connect());
                            client
                        })
                    })
                    .collect();
                let joined = clients.into_iter().map(|client| client.join());
                joined.map(|client| client.expect("a client")).collect()
            });
            // Each is let in, and all but one are told of a successor. Whoever is sees that by itself.
            let mut rest: Vec<Client> = Vec::new();
            for mut client in clients {
                let (session_present, reason, _) = client.expect_connack();
                assert_eq!((session_present, reason), (true, 0), "round {round}");
                rest.push(client);
            }
            author.publish(&topic, round.to_string(), 1);
            let mut holders = 0;
            for mut client in rest {
                match client.next_packet() {
                    Packet::Publish(delivery) => {
                        assert_eq!(delivery.text(), round.to_string());
                        client.acknowledge(&delivery);
                        client.expect_only_pingresp();
                        holders += 1;
                        // It stays until the next round takes it over.
                        first = client;
                    }
                    Packet::Disconnect { reason: 0x8E, .. } => client.expect_closed(),
                    other => panic!("round {round}: {other:?}"),
                }
            }
            assert_eq!(holders, 1, "round {round}");
        }
        first.disconnect();
    });
}

/// A connection that the broker does not read from for the moment, because it sent more than it may or
/// does not read its answers, gives up its session as soon as any other.
#[test]
fn connection_that_is_held_back_gives_up_its_session() {
    let own = TestBroker::start_with_config(&Door::FLAGS, "[limits]\nbyte_rate = 10000\n");
    thread::scope(|scope| {
        for door in Door::ALL {
            let own = &own;
            scope.spawn(move || {
                let connect = Connect::new(fresh("held-back")).durable();
                let (mut older, _) = door.open(own, Version::V5, &connect);
                older.send(Publish::new(fresh("much"), "x".repeat(150_000)));
                let before = Instant::now();
                let (mut newer, session_present) = door.open(own, Version::V5, &connect);
                assert!(session_present);
                assert!(before.elapsed() < Duration::from_secs(3), "{door:?}");
                older.expect_disconnect(0x8E);
                newer.expect_only_pingresp();
            });
        }
    });
    stalled_connection_gives_up_its_session();
}

fn stalled_connection_gives_up_its_session() {
    const PINGS: usize = 200_000;
    all_doors(|door| {
        let connect = Connect::new(fresh("stalled")).durable();
        let (mut older, _) = door.open(open_broker(), Version::V5, &connect);
        // More answers than the broker keeps for a client, none of which is read.
        older.send(PINGREQ.repeat(PINGS));
        let before = Instant::now();
        let (mut newer, session_present) = door.open(open_broker(), Version::V5, &connect);
        assert!(session_present);
        assert!(before.elapsed() < Duration::from_secs(3), "{door:?}");
        newer.expect_only_pingresp();
        let last = older.drain().pop();
        assert!(matches!(
            last,
            Some(Packet::Disconnect { reason: 0x8E, .. })
        ));
    });
}
