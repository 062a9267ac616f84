//! QoS 1 and 2 in both directions, identifiers and order: sections 4.3, 4.4 and 4.6 of both standards.

use std::{collections::HashMap, thread, time::Duration};

use crate::support::*;

/// 5:MQTT-2.2.1-4 3:MQTT-2.3.1-4 3:MQTT-2.3.1-1 5:MQTT-4.3.2-1 5:MQTT-4.3.2-2 3:MQTT-4.3.2-1
/// 5:MQTT-4.3.3-1 5:MQTT-4.3.3-2 3:MQTT-4.3.3-1
/// Open deliveries have identifiers of their own, whatever their QoS, and DUP 0.
#[test]
fn open_deliveries_have_distinct_identifiers() {
    both(|version| {
        let topic = fresh("open");
        let mut reader = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        for number in 0..300_u16 {
            author.publish(&topic, "x", 1 + (number % 2) as u8);
        }
        // The reader refuses identifier 0 and one that is open already.
        for number in 0..300_u16 {
            let delivery = reader.expect_publish();
            assert_eq!(
                (delivery.qos, delivery.dup),
                (1 + (number % 2) as u8, false)
            );
        }
    });
}

/// 5:MQTT-2.2.1-4 3:MQTT-2.3.1-4
/// Identifiers wrap around and skip those that are still open.
#[test]
fn identifiers_wrap_around_open_ones() {
    let topic = fresh("wrap");
    let mut reader = connect3(&fresh("reader"));
    reader.subscribe(&topic, 1);
    let mut author = connect3(&fresh("author"));
    author.publish(&topic, "held", 1);
    let held = reader.expect_publish();
    let mut seen = 0;
    for _ in 0..66 {
        let burst: Vec<u8> = (1..=1000)
            .flat_map(|id| Publish::new(&topic, "x").qos(1, id).encode(Version::V3))
            .collect();
        author.send(burst);
        for _ in 0..1000 {
            // The reader refuses the identifier that is held open.
            reader.receive();
            seen += 1;
        }
        for id in 1..=1000 {
            author.expect_puback(id);
        }
    }
    assert!(seen > 65_535);
    reader.acknowledge(&held);
    reader.expect_only_pingresp();
}

/// 5:MQTT-2.2.1-5 3:MQTT-2.3.1-6
/// The broker's PUBREL has the identifier of its PUBLISH, whatever order the PUBRECs come in.
#[test]
fn pubrel_has_the_identifier_of_its_publish() {
    both(|version| {
        let topic = fresh("released");
        let mut reader = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        for _ in 0..3 {
            author.publish(&topic, "x", 2);
        }
        let ids = [(); 3].map(|()| reader.expect_publish().id);
        for id in [ids[2], ids[0], ids[1]] {
            reader.send(pubrec(id));
            assert_eq!(reader.expect_pubrel(id), 0);
            reader.send_ack(pubcomp(id), id);
        }
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.2-3 3:MQTT-4.3.2-1 5:MQTT-3.3.1-1 3:MQTT-3.3.1-1 3:MQTT-2.3.1-4
/// A QoS 1 delivery is open until PUBACK: it comes again on resume with its identifier and DUP 1, and
/// after PUBACK never again.
#[test]
fn qos_1_delivery_is_repeated_until_puback() {
    both(|version| {
        let (id, topic) = (fresh("reader"), fresh("repeated"));
        let (mut reader, _) = open(version, &Connect::new(&id).durable());
        reader.subscribe(&topic, 1);
        connect(version, &fresh("author")).publish(&topic, "x", 1);
        let first = reader.expect_publish();
        assert!(!first.dup);
        for _ in 0..2 {
            reader.vanish();
            (reader, _) = open(version, &Connect::new(&id).durable());
            let again = reader.expect_publish();
            assert_eq!((again.id, again.dup, again.text()), (first.id, true, "x"));
        }
        reader.send_ack(puback(first.id), first.id);
        reader.expect_only_pingresp();
        reader.vanish();
        (reader, _) = open(version, &Connect::new(&id).durable());
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.2-5 3:MQTT-4.3.2-2
/// After PUBACK the same identifier is a new message, whatever its DUP says.
#[test]
fn acknowledged_identifier_is_a_new_message() {
    both(|version| {
        let topic = fresh("reused");
        let mut reader = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        author.send(Publish::new(&topic, "one").qos(1, 7));
        author.expect_puback(7);
        author.send(Publish::new(&topic, "two").qos(1, 7).dup());
        author.expect_puback(7);
        assert_eq!(reader.receive_texts(2), ["one", "two"]);
    });
}

/// 5:MQTT-4.3.3-3 5:MQTT-3.3.1-1 3:MQTT-3.3.1-1 3:MQTT-4.3.3-1
/// A QoS 2 PUBLISH is open until PUBREC: it comes again on resume with its identifier and DUP 1.
#[test]
fn qos_2_delivery_is_repeated_until_pubrec() {
    both(|version| {
        let (id, topic) = (fresh("reader"), fresh("repeated"));
        let (mut reader, _) = open(version, &Connect::new(&id).durable());
        reader.subscribe(&topic, 2);
        connect(version, &fresh("author")).publish(&topic, "x", 2);
        let first = reader.expect_publish();
        reader.vanish();
        (reader, _) = open(version, &Connect::new(&id).durable());
        let again = reader.receive();
        assert_eq!((again.id, again.dup, again.text()), (first.id, true, "x"));
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.3-4 3:MQTT-4.3.3-1 5:MQTT-3.6.2-1
/// PUBREC is answered by PUBREL of the same identifier.
#[test]
fn pubrec_is_answered_by_pubrel() {
    both(|version| {
        let topic = fresh("received");
        let mut reader = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        for reason in [0x00, 0x10] {
            author.publish(&topic, "x", 2);
            let delivery = reader.expect_publish();
            reader.send(pubrec(delivery.id).reason(reason));
            assert_eq!(reader.expect_pubrel(delivery.id), 0);
            reader.send_ack(pubcomp(delivery.id), delivery.id);
        }
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.3-4 5:MQTT-4.4.0-2
/// A PUBACK or PUBREC of 0x80 or more ends the exchange: no PUBREL, and nothing on resume.
#[test]
fn refused_delivery_is_not_repeated() {
    let (id, topic) = (fresh("reader"), fresh("refused"));
    let connect = Connect::new(&id).durable().with(receive_maximum(2));
    let (mut reader, _) = open(Version::V5, &connect);
    reader.subscribe(&topic, 2);
    let mut author = connect5(&fresh("author"));
    for round in 0..3 {
        author.publish(&topic, format!("one {round}"), 1);
        author.publish(&topic, format!("two {round}"), 2);
        let (one, two) = (reader.expect_publish(), reader.expect_publish());
        reader.send_ack(puback(one.id).reason(0x80), one.id);
        reader.send_ack(pubrec(two.id).reason(0x83), two.id);
        reader.expect_only_pingresp();
    }
    reader.vanish();
    let (mut reader, _) = open(Version::V5, &connect);
    reader.expect_only_pingresp();
}

/// 5:MQTT-4.3.3-5 5:MQTT-4.3.3-6 3:MQTT-4.3.3-1
/// A PUBREL is open until PUBCOMP: on resume it comes again and the PUBLISH does not.
#[test]
fn pubrel_is_repeated_until_pubcomp() {
    both(|version| {
        let (id, topic) = (fresh("reader"), fresh("released"));
        let (mut reader, _) = open(version, &Connect::new(&id).durable());
        reader.subscribe(&topic, 2);
        connect(version, &fresh("author")).publish(&topic, "x", 2);
        let delivery = reader.expect_publish();
        reader.send(pubrec(delivery.id));
        reader.expect_pubrel(delivery.id);
        for _ in 0..2 {
            reader.vanish();
            (reader, _) = open(version, &Connect::new(&id).durable());
            let answer = reader.next_packet();
            assert!(
                matches!(answer, Packet::Ack { kind: PacketType::Pubrel, id, .. } if id == delivery.id),
                "only PUBREL comes again, not {answer:?}"
            );
        }
        reader.send(pubcomp(delivery.id));
        reader.expect_only_pingresp();
        reader.vanish();
        (reader, _) = open(version, &Connect::new(&id).durable());
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.3-7
/// A QoS 2 message whose PUBLISH was sent does not expire.
#[test]
fn sent_qos_2_message_does_not_expire() {
    let own = clocked();
    let (id, topic) = (fresh("reader"), fresh("expiring"));
    let (mut reader, _) = own.open(Version::V5, &Connect::new(&id).durable());
    reader.subscribe(&topic, 2);
    let mut author = own.connect5(&fresh("author"));
    author.publish_message(Publish::new(&topic, "x").with(message_expiry(1)), 2);
    let first = reader.expect_publish();
    reader.vanish();
    own.advance(Duration::from_secs(2));
    let (mut reader, _) = own.open(Version::V5, &Connect::new(&id).durable());
    assert_eq!(reader.receive().id, first.id);
    reader.expect_only_pingresp();
}

/// 5:MQTT-4.3.3-10 3:MQTT-4.3.3-2
/// Until PUBREL a repeated PUBLISH gets PUBREC again, also after a resume, and is delivered once.
#[test]
fn repeated_qos_2_publish_is_delivered_once() {
    both(|version| {
        let (id, topic) = (fresh("author"), fresh("once"));
        let mut reader = watcher(version, &topic);
        let (mut author, _) = open(version, &Connect::new(&id).durable());
        author.send(Publish::new(&topic, "x").qos(2, 5));
        author.expect_pubrec(5);
        author.send(Publish::new(&topic, "x").qos(2, 5).dup());
        author.expect_pubrec(5);
        author.vanish();
        let (mut author, _) = open(version, &Connect::new(&id).durable());
        author.send(Publish::new(&topic, "x").qos(2, 5).dup());
        author.expect_pubrec(5);
        author.send(pubrel(5));
        assert_eq!(author.expect_pubcomp(5), 0);
        assert_eq!(reader.receive().payload, b"x");
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.3-11 5:MQTT-3.7.2-1
/// PUBREL is answered by PUBCOMP of the same identifier, a repeated or unknown one by 0x92.
#[test]
fn pubrel_is_answered_by_pubcomp() {
    both(|version| {
        let mut author = connect(version, &fresh("author"));
        author.send(Publish::new(fresh("released"), "x").qos(2, 300));
        author.expect_pubrec(300);
        author.send(pubrel(300));
        assert_eq!(author.expect_pubcomp(300), 0);
        let unknown = if version == Version::V5 { 0x92 } else { 0 };
        for id in [300, 301] {
            author.send(pubrel(id));
            assert_eq!(author.expect_pubcomp(id), unknown);
        }
    });
}

/// 5:MQTT-3.6.2-1
/// A PUBREC of an unknown identifier is answered by PUBREL 0x92.
#[test]
fn unknown_pubrec_is_answered_by_0x92() {
    let mut reader = connect5(&fresh("reader"));
    reader.send(pubrec(4711));
    assert_eq!(reader.expect_pubrel(4711), 0x92);
    reader.expect_only_pingresp();
}

/// Acknowledgements of unknown identifiers end a delivery for nobody and disturb nothing.
#[test]
fn unknown_acknowledgements_are_harmless() {
    both(|version| {
        let topic = fresh("unknown");
        let mut reader = watcher(version, &topic);
        connect(version, &fresh("author")).publish(&topic, "x", 1);
        let delivery = reader.expect_publish();
        let other = delivery.id.wrapping_add(100).max(1);
        reader.send(puback(other));
        reader.send(pubcomp(other));
        reader.expect_only_pingresp();
        reader.acknowledge(&delivery);
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1
/// An acknowledgement of the wrong kind for an open delivery is a protocol error: another QoS, or
/// another step.
#[test]
fn acknowledgement_that_is_out_of_step_is_an_error() {
    type Case = (u8, fn(u16) -> Ack, bool);
    let cases: [Case; 7] = [
        (1, pubrec, false),
        (1, |id| pubrec(id).reason(0x80), false),
        (1, pubcomp, false),
        (2, puback, false),
        (2, pubcomp, false),
        // Behind PUBREC and PUBREL.
        (2, puback, true),
        (2, |id| pubrec(id).reason(0x80), true),
    ];
    both(|version| {
        for (number, (qos, wrong, is_released)) in cases.into_iter().enumerate() {
            let has_reason = matches!(number, 1 | 6);
            if has_reason && version == Version::V3 {
                continue;
            }
            let topic = fresh("step");
            let mut reader = watcher(version, &topic);
            let mut author = connect(version, &fresh("author"));
            author.publish(&topic, "x", qos);
            let delivery = reader.expect_publish();
            if is_released {
                reader.send(pubrec(delivery.id));
                reader.expect_pubrel(delivery.id);
            }
            reader.send(wrong(delivery.id));
            reader.expect_error(0x82);
        }
    });
}

/// 5:MQTT-4.3.3-4 3:MQTT-4.3.3-1
/// A PUBREC that comes once more is answered by PUBREL once more.
#[test]
fn repeated_pubrec_is_answered_again() {
    both(|version| {
        let topic = fresh("repeated");
        let mut reader = watcher(version, &topic);
        connect(version, &fresh("author")).publish(&topic, "x", 2);
        let delivery = reader.expect_publish();
        for _ in 0..3 {
            reader.send(pubrec(delivery.id));
            assert_eq!(reader.expect_pubrel(delivery.id), 0);
        }
        reader.send_ack(pubcomp(delivery.id), delivery.id);
        // It is unknown from here on, and nothing happens.
        reader.send(pubcomp(delivery.id));
        reader.send(puback(delivery.id));
        reader.expect_only_pingresp();
    });
}

/// What was right before a wrong acknowledgement counts, although they came together.
#[test]
fn acknowledgements_before_a_wrong_one_count() {
    both(|version| {
        let (id, topic) = (fresh("reader"), fresh("step"));
        let (mut reader, _) = open(version, &Connect::new(&id).durable());
        reader.subscribe(&topic, 1);
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "one", 1);
        author.publish(&topic, "two", 1);
        let [one, two] = [(); 2].map(|()| reader.expect_publish());
        let both = [
            puback(one.id).encode(version),
            pubcomp(two.id).encode(version),
        ];
        reader.send(both.concat());
        reader.expect_error(0x82);
        let (mut reader, _) = open(version, &Connect::new(&id).durable());
        assert_eq!(reader.receive().text(), "two");
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.3-12 3:MQTT-4.3.3-2
/// After PUBCOMP the identifier is a new message.
#[test]
fn completed_identifier_is_a_new_message() {
    both(|version| {
        let topic = fresh("again");
        let mut reader = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        for text in ["one", "two"] {
            author.send(Publish::new(&topic, text).qos(2, 5));
            author.expect_pubrec(5);
            author.send(pubrel(5));
            author.expect_pubcomp(5);
        }
        assert_eq!(reader.receive_texts(2), ["one", "two"]);
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.3-13
/// The exchange of a message that has expired meanwhile is completed all the same.
#[test]
fn exchange_of_an_expired_message_is_completed() {
    let own = clocked();
    let mut author = own.connect5(&fresh("author"));
    let message = Publish::new(fresh("expired"), "x").with(message_expiry(1));
    author.send(message.qos(2, 9));
    author.expect_pubrec(9);
    own.advance(Duration::from_secs(2));
    author.send(pubrel(9));
    assert_eq!(author.expect_pubcomp(9), 0);
}

/// 5:MQTT-4.4.0-1 3:MQTT-4.4.0-1 3:MQTT-4.6.0-1
/// On resume, and at no other time, all that is open comes again: with its identifiers and in order.
#[test]
fn everything_open_is_repeated_on_resume_only() {
    let own = clocked();
    both(|version| {
        let (id, topic) = (fresh("reader"), fresh("open"));
        let (mut reader, _) = own.open(version, &Connect::new(&id).durable());
        reader.subscribe(&topic, 2);
        let mut author = own.connect(version, &fresh("author"));
        for number in 0..10 {
            author.publish(&topic, number.to_string(), 1 + number % 2);
        }
        let first: Vec<Delivery> = (0..10).map(|_| reader.expect_publish()).collect();
        let released = &first[1];
        reader.send(pubrec(released.id));
        reader.expect_pubrel(released.id);
        own.advance(Duration::from_secs(60));
        reader.expect_only_pingresp();
        reader.vanish();
        let (mut reader, _) = own.open(version, &Connect::new(&id).durable());
        let again: Vec<Packet> = (0..10).map(|_| reader.next_packet()).collect();
        let messages: Vec<(u16, bool)> = (again.iter())
            .filter_map(|packet| match packet {
                Packet::Publish(delivery) => Some((delivery.id, delivery.dup)),
                _ => None,
            })
            .collect();
        let expected: Vec<(u16, bool)> = (first.iter())
            .filter(|delivery| delivery.id != released.id)
            .map(|delivery| (delivery.id, true))
            .collect();
        assert_eq!(messages, expected);
        assert!(again.iter().any(|packet| matches!(
            packet,
            Packet::Ack { kind: PacketType::Pubrel, id, .. } if *id == released.id
        )));
        reader.expect_only_pingresp();
    });
}

/// 3:MQTT-4.6.0-2 3:MQTT-4.6.0-3
/// Acknowledgements of pipelined messages come in the order of the messages.
#[test]
fn acknowledgements_keep_the_order_of_the_messages() {
    both(|version| {
        for qos in [1, 2] {
            let topic = fresh("ordered");
            let _subscriber = watcher(version, &topic);
            let mut author = connect(version, &fresh("author"));
            let ids: Vec<u16> = (0..100).map(|at| 1 + at * 37 % 101).collect();
            let burst: Vec<u8> = (ids.iter())
                .flat_map(|id| Publish::new(&topic, "x").qos(qos, *id).encode(version))
                .collect();
            author.send(burst);
            for id in ids {
                if qos == 1 {
                    author.expect_puback(id)
                } else {
                    author.expect_pubrec(id)
                };
            }
        }
    });
}

/// 3:MQTT-4.6.0-4
/// PUBRELs come in the order of the PUBRECs.
#[test]
fn pubrels_keep_the_order_of_the_pubrecs() {
    both(|version| {
        let topic = fresh("ordered");
        let mut reader = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        for _ in 0..10 {
            author.publish(&topic, "x", 2);
        }
        let ids: Vec<u16> = (0..10).map(|_| reader.expect_publish().id).collect();
        let mixed: Vec<u16> = (0..10).map(|at| ids[at * 7 % 10]).collect();
        let burst: Vec<u8> = mixed
            .iter()
            .flat_map(|id| pubrec(*id).encode(version))
            .collect();
        reader.send(burst);
        for id in mixed {
            reader.expect_pubrel(id);
        }
    });
}

/// 5:MQTT-4.6.0-5 3:MQTT-4.6.0-6 5:MQTT-4.6.0-6 3:MQTT-4.6.0-5
/// Each publisher's messages of one topic and QoS arrive in order, through plain, wildcard and
/// overlapping subscriptions, a small window, a spell offline and a resume.
#[test]
fn order_survives_a_small_window_and_a_spell_offline() {
    both(|version| {
        let root = fresh("order");
        let id = fresh("reader");
        let connect_reader = Connect::new(&id).durable().with(receive_maximum(10));
        let (mut reader, _) = open(version, &connect_reader);
        for filter in ["a", "+", "#"] {
            reader.subscribe(&format!("{root}/{filter}"), 2);
        }
        let count = 1000;
        thread::scope(|scope| {
            for author in ["one", "two"] {
                let root = &root;
                scope.spawn(move || publish_numbered(version, &format!("{root}/a"), author, count));
            }
            let mut last: HashMap<(String, u8), usize> = HashMap::new();
            let mut spell_offline = count;
            while last.len() < 4 || last.values().any(|number| number + 1 < count) {
                spell_offline = spell_offline.wrapping_sub(1);
                if spell_offline == 0 {
                    reader.vanish();
                    (reader, _) = open(version, &connect_reader);
                }
                let delivery = reader.receive();
                let (author, number) = delivery.text().split_once(' ').expect("author and number");
                let number: usize = number.parse().expect("a number");
                let before = last.get(&(author.to_owned(), delivery.qos)).copied();
                // What was open when the connection ended comes once more.
                if !delivery.dup || before.is_none_or(|before| before < number) {
                    assert!(
                        before.is_none_or(|before| before < number),
                        "{before:?}, then {number}"
                    );
                    last.insert((author.to_owned(), delivery.qos), number);
                }
            }
        });
    });
}

/// 5:MQTT-2.2.1-3 3:MQTT-2.3.1-1
/// Identifier zero is not one.
#[test]
fn identifier_zero_ends_the_connection() {
    both(|version| {
        let packets = [
            Publish::new("a", "x").qos(1, 0).encode(version),
            Publish::new("a", "x").qos(2, 0).encode(version),
            Subscribe::new(0).filter("a", 0).encode(version),
            Unsubscribe::new(0).filter("a").encode(version),
        ];
        for packet in packets {
            let mut client = connect(version, &fresh("zero"));
            client.send(packet);
            client.expect_error_among(&[0x82, 0x81]);
        }
    });
}

/// 5:MQTT-2.2.1-3
/// A SUBSCRIBE with the identifier of an open QoS 2 exchange does not damage that exchange.
#[test]
fn identifier_in_use_does_no_damage() {
    let topic = fresh("shared-id");
    let mut reader = watcher(Version::V5, &topic);
    let mut author = connect5(&fresh("author"));
    author.send(Publish::new(&topic, "x").qos(2, 5));
    author.expect_pubrec(5);
    author.send(Subscribe::new(5).filter(fresh("other"), 0));
    let reasons = author.expect_suback(5);
    assert!(matches!(reasons[..], [0x00 | 0x91]), "{reasons:02x?}");
    author.send(Publish::new(&topic, "x").qos(2, 5).dup());
    author.expect_pubrec(5);
    author.send(pubrel(5));
    assert_eq!(author.expect_pubcomp(5), 0);
    assert_eq!(reader.receive().payload, b"x");
    reader.expect_only_pingresp();
}

/// Publishes `count` numbers at QoS 1 and as many at QoS 2, in turns.
fn publish_numbered(version: Version, topic: &str, author: &str, count: usize) {
    let mut client = connect(version, &fresh("author"));
    for number in 0..count {
        for qos in [1, 2] {
            client.publish(topic, format!("{author} {number}"), qos);
        }
    }
}
