//! Receive Maximum, Maximum Packet Size and Topic Alias: sections 3.1.2.11, 3.3.4 and 4.9 of MQTT 5.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::*;

/// 5:MQTT-3.3.4-9 5:MQTT-4.9.0-1 5:MQTT-4.9.0-2
/// No more messages are open than the Receive Maximum; each completed exchange releases one.
#[test]
fn open_messages_stay_within_the_receive_maximum() {
    for maximum in [1, 2, 3] {
        let topic = fresh("window");
        let connect = Connect::new(fresh("reader")).with(receive_maximum(maximum));
        // The client refuses one more than it announced.
        let (mut reader, _) = open(Version::V5, &connect);
        reader.subscribe(&topic, 2);
        let mut author = connect5(&fresh("author"));
        for number in 0..12 {
            author.publish(&topic, number.to_string(), 1 + number % 2);
        }
        let mut open: Vec<Delivery> = (0..maximum).map(|_| reader.expect_publish()).collect();
        reader.expect_silence();
        let mut texts: Vec<String> = open
            .iter()
            .map(|delivery| delivery.text().to_owned())
            .collect();
        while texts.len() < 12 {
            let delivery = open.remove(0);
            if delivery.qos == 2 {
                reader.send(pubrec(delivery.id));
                reader.expect_pubrel(delivery.id);
                reader.expect_only_pingresp();
                reader.send_ack(pubcomp(delivery.id), delivery.id);
            } else {
                reader.acknowledge(&delivery);
            }
            open.push(reader.expect_publish());
            texts.push(open[open.len() - 1].text().to_owned());
            reader.expect_only_pingresp();
        }
        assert_eq!(
            texts,
            (0..12).map(|number| number.to_string()).collect::<Vec<_>>()
        );
    }
}

/// 5:MQTT-3.3.4-9
/// A PUBREC of 0x80 or more releases its place in the window.
#[test]
fn refusing_pubrec_releases_the_window() {
    let topic = fresh("window");
    let (mut reader, _) = open(
        Version::V5,
        &Connect::new(fresh("reader")).with(receive_maximum(1)),
    );
    reader.subscribe(&topic, 2);
    let mut author = connect5(&fresh("author"));
    for text in ["one", "two"] {
        author.publish(&topic, text, 2);
    }
    let delivery = reader.expect_publish();
    reader.send_ack(pubrec(delivery.id).reason(0x83), delivery.id);
    assert_eq!(reader.receive().payload, b"two");
}

/// 5:MQTT-4.9.0-2
/// The window starts anew on a new connection, and QoS 0 passes a full one.
#[test]
fn window_is_of_the_connection_and_not_for_qos_0() {
    let (id, topic) = (fresh("reader"), fresh("window"));
    let connect = |maximum| Connect::new(&id).durable().with(receive_maximum(maximum));
    let (mut reader, _) = open(Version::V5, &connect(2));
    reader.subscribe(&topic, 2);
    let mut author = connect5(&fresh("author"));
    for number in 0..4 {
        author.publish(&topic, number.to_string(), 1);
    }
    let held = [reader.expect_publish(), reader.expect_publish()];
    author.post(&topic, "passing");
    assert_eq!(reader.expect_publish().text(), "passing");
    reader.expect_silence();
    reader.vanish();
    let (mut reader, _) = open(Version::V5, &connect(3));
    let again = [(); 3].map(|()| reader.expect_publish());
    assert_eq!([again[0].id, again[1].id], [held[0].id, held[1].id]);
    reader.expect_silence();
    reader.vanish();
    let (mut reader, _) = open(Version::V5, &connect(1));
    assert_eq!(reader.receive_texts(4), ["0", "1", "2", "3"]);
}

/// 5:MQTT-4.4.0-1 5:MQTT-4.9.0-1 5:MQTT-4.9.0-2 5:MQTT-4.9.0-3
/// On resume PUBRELs come at once, however small the Receive Maximum is by then. They take nothing of it, and
/// their PUBCOMPs give nothing back: PUBLISHes, old and new, come within it.
#[test]
fn pubrels_pass_a_window_that_is_smaller_after_a_resume() {
    let (id, topic) = (fresh("reader"), fresh("window"));
    let connect = |maximum| Connect::new(&id).durable().with(receive_maximum(maximum));
    let (mut reader, _) = open(Version::V5, &connect(10));
    reader.subscribe(&topic, 2);
    let mut author = connect5(&fresh("author"));
    for number in 0..5 {
        author.publish(&topic, number.to_string(), 2);
    }
    let open_ones = [(); 5].map(|()| reader.expect_publish());
    let released = [open_ones[1].id, open_ones[3].id, open_ones[4].id];
    for id in released {
        reader.send(pubrec(id));
        reader.expect_pubrel(id);
    }
    reader.vanish();
    let (mut reader, session_present) = open(Version::V5, &connect(1));
    assert!(session_present);
    for id in released {
        assert_eq!(reader.expect_pubrel(id), 0);
    }
    author.publish(&topic, "new", 2);
    for (text, is_again) in [("0", true), ("2", true), ("new", false), ("newer", false)] {
        let delivery = reader.expect_publish();
        assert_eq!((delivery.text(), delivery.dup), (text, is_again));
        reader.expect_silence();
        match text {
            "0" => reader.send_ack(pubcomp(released[0]), released[0]),
            "2" => reader.send_ack(pubcomp(released[1]), released[1]),
            "new" => author.publish(&topic, "newer", 1),
            _ => {}
        }
        reader.expect_silence();
        reader.acknowledge(&delivery);
    }
    reader.send_ack(pubcomp(released[2]), released[2]);
    reader.expect_silence();
}

/// 5:MQTT-3.3.4-10 5:MQTT-4.9.0-3
/// A full window holds nothing else back.
#[test]
fn full_window_holds_nothing_else_back() {
    let (topic, own) = (fresh("window"), fresh("own"));
    let (mut reader, _) = open(
        Version::V5,
        &Connect::new(fresh("reader")).with(receive_maximum(2)),
    );
    reader.subscribe(&topic, 2);
    let mut author = connect5(&fresh("author"));
    for _ in 0..5 {
        author.publish(&topic, "x", 2);
    }
    let [first, _] = [(); 2].map(|()| reader.expect_publish());
    reader.expect_silence();
    assert_eq!(reader.subscribe(&own, 0), 0);
    reader.send(Publish::new(&own, "0"));
    assert_eq!(reader.receive().payload, b"0");
    assert_eq!(reader.unsubscribe(&own), 0);
    reader.publish(&own, "1", 1);
    reader.publish(&own, "2", 2);
    reader.send(pubrec(first.id));
    reader.expect_pubrel(first.id);
    reader.disconnect();
}

/// 5:MQTT-3.1.2-24
/// No packet is larger than the Maximum Packet Size of the client; one of just that size comes.
#[test]
fn packets_stay_within_the_maximum_packet_size() {
    let topic = fresh("size");
    let mut author = connect5(&fresh("author"));
    for qos in [0, 1] {
        let (mut reader, _) = open(
            Version::V5,
            &Connect::new(fresh("reader")).with(maximum_packet_size(100)),
        );
        reader.subscribe(&topic, qos);
        let overhead = 2 + 2 + topic.len() + 2 * usize::from(qos) + 1;
        for total in [99, 100, 101] {
            author.publish(&topic, "x".repeat(total - overhead), qos);
        }
        for total in [99, 100] {
            assert_eq!(reader.receive().payload.len(), total - overhead);
        }
        reader.expect_only_pingresp();
    }
}

/// 5:MQTT-3.1.2-24
/// The limit holds for SUBACK too: what cannot be answered ends the connection.
#[test]
fn suback_stays_within_the_maximum_packet_size() {
    let (mut reader, _) = open(
        Version::V5,
        &Connect::new(fresh("reader")).with(maximum_packet_size(30)),
    );
    let stem = fresh("f");
    let many = (0..100).fold(Subscribe::new(1), |packet, at| {
        packet.filter(format!("{stem}/{at}"), 0)
    });
    reader.send(many);
    // The client refuses anything larger.
    match reader.next_or_end() {
        None | Some(Packet::Disconnect { .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// 5:MQTT-3.1.2-25
/// A message too large for a client counts as delivered: it takes no place in the window, does not
/// come back, and others get it.
#[test]
fn message_too_large_for_a_client_counts_as_delivered() {
    let (id, topic) = (fresh("reader"), fresh("large"));
    let connect = Connect::new(&id)
        .durable()
        .with(receive_maximum(1))
        .with(maximum_packet_size(100));
    let (mut reader, _) = open(Version::V5, &connect);
    reader.subscribe(&topic, 2);
    let mut other = watcher(Version::V5, &topic);
    let mut author = connect5(&fresh("author"));
    let large = "x".repeat(200);
    for qos in [1, 2] {
        for _ in 0..3 {
            author.publish(&topic, &large, qos);
        }
    }
    author.publish(&topic, "small", 1);
    assert_eq!(reader.receive().payload, b"small");
    reader.vanish();
    author.publish(&topic, &large, 1);
    author.publish(&topic, "queued", 2);
    let (mut reader, _) = open(Version::V5, &connect);
    assert_eq!(reader.receive().payload, b"queued");
    reader.expect_only_pingresp();
    assert_eq!(
        other
            .receive_texts(9)
            .iter()
            .filter(|text| **text == large)
            .count(),
        7
    );
}

/// 5:MQTT-3.2.2-19 5:MQTT-3.2.2-20
/// A refusing CONNACK fits the Maximum Packet Size of the client.
#[test]
fn refusing_connack_fits_a_small_client() {
    let mut client = Client::dial(broker().mqtt(), Version::V5);
    client.send_connect(
        &Connect::new(fresh("small"))
            .with(maximum_packet_size(5))
            .with(bytes(AUTHENTICATION_METHOD, "none")),
    );
    let (_, reason, props) = client.expect_connack();
    assert_eq!((reason, props), (0x8C, Props::default()));
    client.expect_closed();
}

/// 5:MQTT-3.4.2-2 5:MQTT-3.4.2-3 5:MQTT-3.5.2-2 5:MQTT-3.5.2-3
/// PUBACK and PUBREC with a reason fit the Maximum Packet Size of the client.
#[test]
fn acknowledgements_fit_a_small_client() {
    let mut client = connect_small();
    let topic = fresh("n");
    assert_eq!(client.publish_message(Publish::new(&topic, "x"), 1), 0x10);
    assert_eq!(client.publish_message(Publish::new(&topic, "x"), 2), 0x10);
}

/// 5:MQTT-3.6.2-2 5:MQTT-3.6.2-3 5:MQTT-3.7.2-2 5:MQTT-3.7.2-3
/// PUBREL and PUBCOMP with a reason fit the Maximum Packet Size of the client.
#[test]
fn release_and_completion_fit_a_small_client() {
    let mut client = connect_small();
    client.send(pubrec(7));
    assert_eq!(client.expect_pubrel(7), 0x92);
    client.send(pubrel(8));
    assert_eq!(client.expect_pubcomp(8), 0x92);
}

/// 5:MQTT-3.9.2-1 5:MQTT-3.9.2-2
/// A refusing SUBACK fits the Maximum Packet Size of the client.
#[test]
fn suback_fits_a_small_client() {
    let mut client = connect_small();
    client.send(Subscribe::new(1).filter("$share/g", 0));
    match client.next_or_end() {
        Some(Packet::Suback { reasons, .. }) => assert_eq!(reasons, [0x8F]),
        Some(Packet::Disconnect { .. }) => client.expect_closed(),
        other => panic!("{other:?}"),
    }
}

/// 5:MQTT-3.11.2-1 5:MQTT-3.11.2-2
/// UNSUBACK fits the Maximum Packet Size of the client.
#[test]
fn unsuback_fits_a_small_client() {
    assert_eq!(connect_small().unsubscribe("unknown"), 0x11);
}

/// 5:MQTT-3.14.2-3 5:MQTT-3.14.2-4
/// DISCONNECT fits the Maximum Packet Size of the client.
#[test]
fn disconnect_fits_a_small_client() {
    let mut client = connect_small();
    client.send(Subscribe::new(1));
    client.expect_disconnect(0x82);
}

/// 5:MQTT-3.1.2-26 5:MQTT-3.3.2-11
/// Topic Aliases of the broker stay within the client's maximum and stand for the right topics.
#[test]
fn aliases_of_the_broker_stay_within_the_maximum() {
    for maximum in [1, 2, 5] {
        let root = fresh("aliases");
        let connect = Connect::new(fresh("reader")).with(topic_alias_maximum(maximum));
        let (mut reader, _) = open(Version::V5, &connect);
        reader.subscribe(&format!("{root}/+"), 1);
        let mut author = connect5(&fresh("author"));
        for round in 0..30 {
            let topic = format!("{root}/{}", round % 10);
            author.publish(&topic, round.to_string(), round % 2);
            // The client resolves aliases and refuses those above the maximum.
            let delivery = reader.receive();
            assert_eq!(
                (delivery.topic, delivery.payload),
                (topic, round.to_string().into_bytes())
            );
        }
    }
}

/// 5:MQTT-3.1.2-27
/// Without a Topic Alias Maximum, or with 0, no alias comes.
#[test]
fn no_alias_for_clients_without_a_maximum() {
    for connect in [
        Connect::new(fresh("reader")),
        Connect::new(fresh("reader")).with(topic_alias_maximum(0)),
    ] {
        let topic = fresh("full");
        let (mut reader, _) = open(Version::V5, &connect);
        reader.subscribe(&topic, 1);
        let mut author = connect5(&fresh("author"));
        for _ in 0..10 {
            author.publish(&topic, "x", 1);
            let delivery = reader.receive();
            assert!(!delivery.props.has(TOPIC_ALIAS));
            assert_eq!(delivery.topic, topic);
        }
    }
}

/// 5:MQTT-3.3.2-12 5:MQTT-3.2.2-17
/// Every alias up to the maximum of CONNACK works, can be set anew, and is nobody else's business.
#[test]
fn aliases_up_to_the_maximum_are_accepted() {
    let root = fresh("aliases");
    let mut watcher = watcher(Version::V5, &format!("{root}/+"));
    let (mut author, maximum) = connect_with_aliases();
    for alias in [1, maximum / 2 + 1, maximum] {
        for name in ["a", "b"] {
            let topic = format!("{root}/{name}");
            for topic_name in [topic.as_str(), "", ""] {
                author.send(
                    Publish::new(topic_name, name)
                        .with(topic_alias(alias))
                        .qos(1, 1),
                );
                author.expect_puback(1);
                let delivery = watcher.receive();
                assert_eq!(
                    (delivery.topic.as_str(), delivery.text()),
                    (topic.as_str(), name)
                );
                assert!(!delivery.props.has(TOPIC_ALIAS));
            }
        }
    }
}

/// 5:MQTT-3.3.2-8
/// Alias 0 is not one.
#[test]
fn alias_zero_is_refused() {
    let mut author = connect5(&fresh("author"));
    author.send(Publish::new("a", "x").with(topic_alias(0)));
    author.expect_disconnect(0x94);
}

/// 5:MQTT-3.3.2-9 5:MQTT-3.2.2-17 5:MQTT-3.2.2-18
/// An alias above the maximum of CONNACK is refused.
#[test]
fn alias_above_the_maximum_is_refused() {
    let (_, maximum) = connect_with_aliases();
    for alias in [maximum.checked_add(1), Some(u16::MAX)]
        .into_iter()
        .flatten()
    {
        if alias > maximum {
            let (mut author, _) = connect_with_aliases();
            author.send(Publish::new("a", "x").with(topic_alias(alias)));
            author.expect_disconnect(0x94);
        }
    }
}

/// 5:MQTT-3.3.2-7
/// Aliases end with the connection, on both sides.
#[test]
fn aliases_end_with_the_connection() {
    let (id, topic) = (fresh("aliased"), fresh("alias"));
    let connect = Connect::new(&id).durable().with(topic_alias_maximum(5));
    let (mut client, _) = open(Version::V5, &connect);
    client.subscribe(&topic, 1);
    client.send(Publish::new(&topic, "x").with(topic_alias(1)).qos(1, 1));
    client.expect_puback(1);
    client.receive();
    client.vanish();
    let (mut client, _) = open(Version::V5, &connect);
    connect5(&fresh("author")).publish(&topic, "y", 1);
    // The client refuses an alias that this connection has not set.
    assert_eq!(client.receive().topic, topic);
    client.send(Publish::new("", "z").with(topic_alias(1)));
    client.expect_error_among(&[0x82, 0x94]);
}

/// A client that takes packets of 12 bytes: enough for CONNACK and for answers with a reason, too
/// little for a Reason String.
fn connect_small() -> Client {
    open(
        Version::V5,
        &Connect::new(fresh("small")).with(maximum_packet_size(12)),
    )
    .0
}

/// A client and the Topic Alias Maximum it may use, which has to be above zero.
fn connect_with_aliases() -> (Client, u16) {
    let mut client = Client::dial(broker().mqtt(), Version::V5);
    client.send_connect(&Connect::new(fresh("author")));
    let (_, reason, props) = client.expect_connack();
    assert_eq!(reason, 0);
    let maximum = props
        .number(TOPIC_ALIAS_MAXIMUM)
        .expect("a Topic Alias Maximum");
    (client, u16::try_from(maximum).expect("two bytes"))
}

/// 5:MQTT-4.2-1
/// A client that sends without reading gets everything once it reads, however much it is: what is due
/// to it does not hold up its own packets, nor the other way round.
#[test]
fn client_that_is_busy_sending_misses_nothing() {
    both(|version| {
        for qos in [0, 1] {
            let topic = fresh("busy");
            let mut client = connect(version, &fresh("busy"));
            client.subscribe(&topic, qos);
            // More than the buffers of both sockets hold.
            let payload = "x".repeat(100_000);
            for id in 1..=200 {
                let message = Publish::new(&topic, &payload);
                client.send(if qos == 0 {
                    message
                } else {
                    message.qos(qos, id)
                });
            }
            let (mut messages, mut acknowledged) = (0, 0);
            while messages < 200 || acknowledged < 200 * usize::from(qos) {
                match client.next_packet() {
                    Packet::Publish(delivery) => {
                        assert_eq!(delivery.payload.len(), payload.len());
                        messages += 1;
                    }
                    Packet::Ack { .. } => acknowledged += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    });
}

/// 5:MQTT-3.12.4-1 3:MQTT-3.12.4-1
/// A client whose answers pile up is not read from for a while, and is once it has read them.
#[test]
fn client_that_left_its_answers_unread_is_answered_to_the_end() {
    both(|version| {
        let mut stream = TcpStream::connect(broker().mqtt()).expect("the broker accepts");
        let (patience, deadline) = (Duration::from_millis(300), DEADLINE);
        stream.set_write_timeout(Some(patience)).expect("an option");
        stream.set_read_timeout(Some(deadline)).expect("an option");
        let connect = Connect::new(fresh("deaf")).encode(version);
        stream.write_all(&connect).expect("the broker reads");
        let mut head = [0; 2];
        stream.read_exact(&mut head).expect("CONNACK");
        let mut rest = vec![0; usize::from(head[1])];
        stream.read_exact(&mut rest).expect("the rest of CONNACK");
        // Until the broker reads no more, which it does not tell.
        let burst = PINGREQ.repeat(10_000);
        let mut sent = 0;
        while let Ok(count) = stream.write(&burst[sent % 2..]) {
            sent += count;
            assert!(sent < 100_000_000, "the broker reads on and on");
        }
        let mut unread = sent / 2 * 2;
        let mut chunk = vec![0; 64 * 1024];
        while unread > 0 {
            match stream.read(&mut chunk) {
                Ok(count @ 1..) => unread -= count,
                other => panic!("{other:?} with {unread} of {sent} bytes to come"),
            }
        }
    });
}
