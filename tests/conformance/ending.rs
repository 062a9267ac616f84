//! PINGREQ, Keep Alive and DISCONNECT: sections 3.1.2.10, 3.12 and 3.14 of both standards.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::*;

/// 5:MQTT-3.12.4-1 3:MQTT-3.12.4-1
/// Every PINGREQ is answered: alone, in a burst and between other packets.
#[test]
fn every_pingreq_is_answered() {
    both(|version| {
        let mut client = connect(version, &fresh("pinging"));
        client.expect_only_pingresp();
        let mut burst = Vec::new();
        for number in 1..=50 {
            burst.extend(PINGREQ);
            burst.extend(
                Publish::new(fresh("between"), "x")
                    .qos(1, number)
                    .encode(version),
            );
        }
        client.send(burst);
        for number in 1..=50 {
            assert_eq!(client.next_packet(), Packet::Pingresp);
            client.expect_puback(number);
        }
    });
}

/// 5:MQTT-3.1.2-22 3:MQTT-3.1.2-24 5:MQTT-3.2.2-22
/// A silent client is disconnected after one and a half times its Keep Alive, not before, and its will
/// is published.
#[test]
fn silent_client_is_disconnected_after_its_keep_alive() {
    both(|version| {
        let topic = fresh("will");
        let mut watcher = watcher(version, &topic);
        let connect = Connect::new(fresh("silent"))
            .keep_alive(1)
            .will(Will::new(&topic, "x"));
        // By the real time, as a client with nobody to move a clock sees it.
        let before = Instant::now();
        let (mut client, _) = open(version, &connect);
        client.expect_error(0x8D);
        let silence = before.elapsed();
        assert!(silence >= Duration::from_millis(1450), "after {silence:?}");
        assert!(silence < Duration::from_millis(5000), "after {silence:?}");
        assert_eq!(watcher.receive().text(), "x");
    });
}

/// 5:MQTT-3.1.2-22 3:MQTT-3.1.2-24
/// Any packet restarts the timer, whether it draws an answer or not, and Keep Alive 0 has none.
#[test]
fn any_packet_restarts_the_keep_alive() {
    both(|version| {
        let own = clocked();
        let (mut client, _) = own.open(version, &Connect::new(fresh("active")).keep_alive(1));
        let mut patient = own.connect(version, &fresh("patient"));
        for round in 0..4 {
            own.advance_all(Duration::from_millis(1000));
            if round % 2 == 0 {
                client.send(Publish::new(fresh("unanswered"), "x"));
            } else {
                client.expect_only_pingresp();
            }
        }
        client.expect_only_pingresp();
        patient.expect_only_pingresp();
    });
}

/// 5:MQTT-3.1.2-22 3:MQTT-3.1.2-24
/// Part of a packet is not a packet: a client that never finishes one is disconnected like a silent one.
#[test]
fn parts_of_a_packet_do_not_restart_the_keep_alive() {
    both(|version| {
        let (mut client, _) = open(version, &Connect::new(fresh("slow")).keep_alive(1));
        let before = Instant::now();
        // Half a minute of it, on a machine that is busy with something else.
        for byte in Publish::new(fresh("slow"), "x".repeat(300)).encode(version) {
            client.try_send(vec![byte]);
            match client.next_within(Duration::from_millis(100)) {
                None => {}
                Some(Some(Packet::Disconnect { reason: 0x8D, .. }) | None) => {
                    assert!(before.elapsed() >= Duration::from_millis(1450));
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("{:?} without a packet", before.elapsed());
    });
}

/// 5:MQTT-3.1.2-22 3:MQTT-3.1.2-24
/// A packet that takes longer than one and a half keep-alives to arrive, and brings a kibibyte and more
/// in each, is no silence: it arrives, through every door.
#[test]
fn long_packet_that_keeps_coming_is_no_silence() {
    const PIECES: usize = 25;
    let own = TestBroker::start(&Door::FLAGS);
    thread::scope(|scope| {
        for door in Door::ALL {
            for version in [Version::V3, Version::V5] {
                let own = &own;
                scope.spawn(move || {
                    let topic = fresh("long");
                    let (mut watcher, _) = door.open(own, version, &Connect::new(fresh("watcher")));
                    watcher.subscribe(&topic, 0);
                    let connect = Connect::new(fresh("long")).keep_alive(1);
                    let (mut author, _) = door.open(own, version, &connect);
                    let packet = Publish::new(&topic, "x".repeat(50_000)).encode(version);
                    let before = Instant::now();
                    for piece in packet.chunks(packet.len() / PIECES + 1) {
                        author.send(piece.to_vec());
                        assert!(author.next_within(Duration::from_millis(100)).is_none());
                    }
                    assert!(before.elapsed() > Duration::from_millis(2000));
                    assert_eq!(watcher.receive().payload.len(), 50_000);
                    author.expect_only_pingresp();
                });
            }
        }
    });
}

/// 5:MQTT-3.1.2-22 3:MQTT-3.1.2-24
/// Deliveries to a client are not packets from it.
#[test]
fn deliveries_do_not_restart_the_keep_alive() {
    both(|version| {
        let own = clocked();
        let topic = fresh("busy");
        let (mut client, _) = own.open(version, &Connect::new(fresh("deaf")).keep_alive(1));
        client.subscribe(&topic, 0);
        let mut author = own.connect(version, &fresh("author"));
        let mut ended = false;
        for _ in 0..50 {
            author.publish(&topic, "x", 0);
            match client.next_within(Duration::from_millis(100)) {
                None | Some(Some(Packet::Publish(_))) => {
                    own.advance_all(Duration::from_millis(100))
                }
                Some(Some(Packet::Disconnect { reason: 0x8D, .. }) | None) => {
                    ended = true;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(ended, "a client that sends nothing is disconnected");
    });
}

/// 5:MQTT-3.14.4-1 5:MQTT-3.14.4-2 5:MQTT-4.13.2-1 3:MQTT-4.8.0-1
/// After a DISCONNECT of the broker nothing but the end of the stream follows, also while it is busy
/// delivering.
#[test]
fn nothing_follows_the_disconnect_of_the_broker() {
    both(|version| {
        let topic = fresh("busy");
        let mut client = connect(version, &fresh("client"));
        client.subscribe(&topic, 0);
        let stop = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut author = connect(version, &fresh("author"));
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    author.publish(&topic, "x".repeat(100), 1);
                }
            });
            client.expect_publish();
            client.send(Subscribe::new(1));
            // The client refuses anything behind DISCONNECT.
            let packets = client.drain();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            if version == Version::V5 {
                assert!(matches!(
                    packets.last(),
                    Some(Packet::Disconnect { reason: 0x82, .. })
                ));
            }
        });
    });
}

/// 5:MQTT-3.14.4-1
/// What a client sends behind its own DISCONNECT has no effect, and the broker closes.
#[test]
fn nothing_behind_a_disconnect_has_an_effect() {
    both(|version| {
        let topic = fresh("behind");
        let mut watcher = watcher(version, &topic);
        let mut client = connect(version, &fresh("client"));
        let mut burst = Disconnect::default().encode(version);
        burst.extend(Publish::new(&topic, "x").encode(version));
        burst.extend(PINGREQ);
        client.send(burst);
        client.expect_closed();
        watcher.expect_only_pingresp();
    });
}

/// 5:MQTT-3.14.1-1 3:MQTT-3.14.1-1
/// A DISCONNECT with reserved flags is malformed: the will is published.
#[test]
fn disconnect_with_wrong_flags_does_not_count() {
    both(|version| {
        for first in [0xE1, 0xE2, 0xE8] {
            let topic = fresh("will");
            let mut watcher = watcher(version, &topic);
            let connect = Connect::new(fresh("client")).will(Will::new(&topic, "x"));
            let (mut client, _) = open(version, &connect);
            client.send([first, 0]);
            client.expect_error(0x81);
            assert_eq!(watcher.receive().text(), "x");
        }
    });
}

/// 5:MQTT-3.14.2-1
/// A DISCONNECT with a reason outside the table is an error: the will is published.
#[test]
fn disconnect_with_an_unknown_reason_does_not_count() {
    for reason in [0x01, 0x03, 0x7F] {
        let topic = fresh("will");
        let mut watcher = watcher(Version::V5, &topic);
        let connect = Connect::new(fresh("client")).will(Will::new(&topic, "x"));
        let (mut client, _) = open(Version::V5, &connect);
        client.send(Disconnect::reason(reason));
        client.expect_error_among(&[0x81, 0x82]);
        assert_eq!(watcher.receive().text(), "x");
    }
}

/// 5:MQTT-3.14.2-1 5:MQTT-3.14.2-2 5:MQTT-3.14.4-2
/// A broker that shuts down says so by 0x8B, closes, and ends with exit code 0.
#[test]
fn shutdown_is_announced() {
    let mut own = TestBroker::start(&["--profile", "standard"]);
    let mut clients = [Version::V3, Version::V5].map(|version| {
        let mut client = Client::dial(own.mqtt(), version);
        client.send_connect(&Connect::new(fresh("client")).durable());
        client.expect_connack();
        client
    });
    own.begin_stop();
    for client in &mut clients {
        client.expect_error(0x8B);
    }
    assert_eq!(own.stop(), Some(0));
}

/// A client that the broker does not read from for the moment hears of a shutdown like any other.
#[test]
fn shutdown_reaches_a_client_that_is_held_back() {
    let flags = ["--profile", "standard"];
    let mut own = TestBroker::start_with_config(&flags, "[limits]\nbyte_rate = 10000\n");
    let mut client = Client::dial(own.mqtt(), Version::V5);
    client.send_connect(&Connect::new(fresh("held-back")));
    client.expect_connack();
    client.send(Publish::new(fresh("much"), "x".repeat(200_000)));
    let before = Instant::now();
    own.begin_stop();
    client.expect_error(0x8B);
    assert!(before.elapsed() < Duration::from_secs(3));
    assert_eq!(own.stop(), Some(0));
}
