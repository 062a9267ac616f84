//! SUBSCRIBE and UNSUBSCRIBE: sections 3.8 to 3.11 of both standards.

use crate::support::*;

/// 5:MQTT-3.8.4-1 3:MQTT-3.8.4-1 5:MQTT-3.8.4-2 3:MQTT-3.8.4-2 5:MQTT-2.2.1-6 3:MQTT-2.3.1-7
/// Every SUBSCRIBE, also a repeated one, is answered by one SUBACK with its identifier.
#[test]
fn every_subscribe_is_answered() {
    both(|version| {
        let topic = fresh("answered");
        let mut client = connect(version, &fresh("reader"));
        for id in [1, 300, 65_535] {
            client.send(Subscribe::new(id).filter(&topic, 1));
        }
        for id in [1, 300, 65_535] {
            assert_eq!(client.expect_suback(id), [1]);
        }
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.8.4-5 3:MQTT-3.8.4-4
/// So do retained messages: each of equal filters brings them, at its own QoS, and a SUBSCRIBE behind it
/// does not change what is still on its way.
#[test]
fn equal_filters_bring_retained_messages_at_their_own_qos() {
    both(|version| {
        let topic = fresh("equal");
        connect(version, &fresh("author")).retain(&topic, "kept", 2);
        for options in [[0, 1], [1, 0], [2, 0]] {
            let mut client = connect(version, &fresh("reader"));
            let subscribe =
                (options.iter()).fold(Subscribe::new(1), |packet, qos| packet.filter(&topic, *qos));
            client.send(subscribe);
            assert_eq!(client.expect_suback(1), options);
            assert_eq!([(); 2].map(|()| client.receive().qos), options);
            client.expect_only_pingresp();
        }

        let mut client = connect(version, &fresh("reader"));
        let packets: Vec<u8> = [(1, 2), (2, 0), (3, 1)]
            .into_iter()
            .flat_map(|(id, qos)| Subscribe::new(id).filter(&topic, qos).encode(version))
            .collect();
        client.send(packets);
        let granted = [(1, 2), (2, 0), (3, 1)].map(|(id, qos)| {
            assert_eq!(client.expect_suback(id), [qos]);
            qos
        });
        assert_eq!([(); 3].map(|()| client.receive().qos), granted);
    });
}

/// 5:MQTT-3.8.4-6 3:MQTT-3.8.4-5 5:MQTT-3.8.4-7 5:MQTT-3.9.3-1 3:MQTT-3.9.3-1 5:MQTT-3.9.3-2
/// 3:MQTT-3.9.3-2
/// SUBACK has one reason per filter, in the order of the filters, and it is the granted QoS.
#[test]
fn suback_has_one_reason_per_filter() {
    both(|version| {
        let mut client = connect(version, &fresh("reader"));
        for count in [1, 2, 100] {
            let options: Vec<u8> = (0..count).map(|at| [2, 0, 1, 1, 0][at % 5]).collect();
            let stem = fresh("filter");
            let subscribe = (options.iter().enumerate()).fold(
                Subscribe::new(9),
                // Every tenth filter repeats the one before.
                |packet, (at, qos)| {
                    packet.filter(format!("{stem}/{}", at - usize::from(at % 10 == 9)), *qos)
                },
            );
            client.send(subscribe);
            assert_eq!(client.expect_suback(9), options);
        }
    });
}

/// 5:MQTT-3.8.4-5 3:MQTT-3.8.4-4
/// A SUBSCRIBE of several filters does what single ones in sequence do.
#[test]
fn several_filters_work_like_single_ones() {
    both(|version| {
        let root = fresh("several");
        let mut client = connect(version, &fresh("reader"));
        let filters = [("a", 0), ("b", 1), ("a", 2), ("c", 2), ("c", 0)];
        let subscribe = (filters.iter()).fold(Subscribe::new(1), |packet, (name, qos)| {
            packet.filter(format!("{root}/{name}"), *qos)
        });
        client.send(subscribe);
        assert_eq!(client.expect_suback(1), [0, 1, 2, 2, 0]);
        let mut author = connect(version, &fresh("author"));
        for (name, qos) in [("a", 2), ("b", 1), ("c", 0)] {
            author.publish(&format!("{root}/{name}"), "x", 2);
            assert_eq!(
                client.receive().qos,
                qos,
                "the last of equal filters counts"
            );
        }
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.8.3-2 3:MQTT-3.8.3-3
/// A SUBSCRIBE without a filter, or with a filter and no options, is an error.
#[test]
fn subscribe_needs_a_filter_with_options() {
    both(|version| {
        let mut client = connect(version, &fresh("reader"));
        client.send(Subscribe::new(1));
        client.expect_error(0x82);
        let mut client = connect(version, &fresh("reader"));
        let mut body = Subscribe::new(1).encode(version)[2..].to_vec();
        body.extend(utf8("a/b"));
        client.send(frame(0x82, body));
        client.expect_error(0x81);
    });
}

/// 5:MQTT-3.8.3-5 3:MQTT-3.8.3-4
/// Reserved bits, QoS 3 and Retain Handling 3 in the options are errors.
#[test]
fn reserved_subscription_options_are_refused() {
    both(|version| {
        let wrong: &[u8] = match version {
            Version::V3 => &[0x03, 0x04, 0x08, 0x10, 0x80],
            Version::V5 => &[0x40, 0x80, 0xC1],
        };
        for options in wrong {
            let mut client = connect(version, &fresh("reader"));
            client.send(Subscribe::new(1).filter("a/b", *options));
            client.expect_error(0x81);
        }
    });
    // In MQTT 5 these are protocol errors by sections 3.8.3.1 and 3.3.1.3.
    for options in [0x03, 0x30] {
        let mut client = connect5(&fresh("reader"));
        client.send(Subscribe::new(1).filter("a/b", options));
        client.expect_disconnect(0x82);
    }
}

/// 5:MQTT-3.8.3-4
/// No Local on a shared subscription is a protocol error.
#[test]
fn no_local_is_not_for_shared_subscriptions() {
    let mut client = connect5(&fresh("reader"));
    client.send(Subscribe::new(1).filter("$share/g/t", 1 | Subscribe::NO_LOCAL));
    client.expect_disconnect(0x82);
}

/// A Subscription Identifier of zero is a protocol error.
#[test]
fn subscription_identifier_zero_is_refused() {
    let mut client = connect5(&fresh("reader"));
    client.send(
        Subscribe::new(1)
            .filter("a/b", 0)
            .with(subscription_identifier(0)),
    );
    client.expect_disconnect(0x82);
}

/// 5:MQTT-3.8.3-1 3:MQTT-3.8.3-1 5:MQTT-3.10.3-1 3:MQTT-3.10.3-1
/// Topic Filters are strings within the packet.
#[test]
fn topic_filters_are_strings_within_the_packet() {
    both(|version| {
        for filter in [
            &b"\x00\x02\xC3\x28"[..],
            b"\x00\x03\xED\xA0\x80",
            b"\x00\x02\xC0\xAF",
            b"\x00\x03a\0b",
            b"\x00\x09ab",
        ] {
            let mut client = connect(version, &fresh("reader"));
            let mut body = Subscribe::new(1).encode(version)[2..].to_vec();
            body.extend(filter);
            body.push(0);
            client.send(frame(0x82, &body));
            client.expect_error(0x81);
            let mut client = connect(version, &fresh("reader"));
            body.pop();
            client.send(frame(0xA2, &body));
            client.expect_error(0x81);
        }
    });
}

/// 5:MQTT-3.8.4-3 3:MQTT-3.8.4-3
/// Subscribing again to the same filter replaces the subscription.
#[test]
fn subscribing_again_replaces_the_subscription() {
    both(|version| {
        let topic = fresh("again");
        let mut client = connect(version, &fresh("reader"));
        client.send(
            Subscribe::new(1)
                .filter(&topic, 2)
                .with(subscription_identifier(1)),
        );
        assert_eq!(client.expect_suback(1), [2]);
        client.send(
            Subscribe::new(2)
                .filter(&topic, 0)
                .with(subscription_identifier(2)),
        );
        assert_eq!(client.expect_suback(2), [0]);
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "x", 2);
        let delivery = client.receive();
        assert_eq!(delivery.qos, 0);
        if version == Version::V5 {
            assert_eq!(delivery.props.subscription_identifiers(), [2]);
        }
        client.unsubscribe(&topic);
        author.publish(&topic, "y", 2);
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.8.4-4 3:MQTT-3.8.4-3
/// No message is lost while a subscription is replaced, and retained ones come again each time.
#[test]
fn replacing_a_subscription_loses_nothing() {
    both(|version| {
        let topic = fresh("stream");
        let mut author = connect(version, &fresh("author"));
        author.retain(&topic, "retained", 1);
        let mut client = connect(version, &fresh("reader"));
        client.subscribe(&topic, 1);
        let count = 200;
        let stream: Vec<u8> = (0..count)
            .flat_map(|number: u16| {
                Publish::new(&topic, number.to_string())
                    .qos(1, number + 1)
                    .encode(version)
            })
            .collect();
        author.send(stream);
        for id in 1..=20 {
            client.send(Subscribe::new(id).filter(&topic, [1, 2][usize::from(id % 2)]));
        }
        let (mut live, mut retained, mut subacks) = (Vec::new(), 0, 0);
        while live.len() < usize::from(count) || retained < 21 || subacks < 20 {
            match client.next_packet() {
                Packet::Publish(delivery) if delivery.retain => {
                    retained += 1;
                    client.acknowledge(&delivery);
                }
                Packet::Publish(delivery) => {
                    client.acknowledge(&delivery);
                    live.push(delivery.text().parse::<u16>().expect("a number"));
                }
                Packet::Suback { .. } => subacks += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(live, (0..count).collect::<Vec<_>>());
        author.expect_puback(1);
    });
}

/// 5:MQTT-3.8.4-8 3:MQTT-3.8.4-6
/// Delivery has the lower of the published and the granted QoS: live, queued and retained.
#[test]
fn delivery_has_the_lower_of_both_qos() {
    both(|version| {
        for granted in [0, 1, 2] {
            let topic = fresh("lower");
            let id = fresh("away");
            let (mut client, _) = open(version, &Connect::new(&id).durable());
            assert_eq!(client.subscribe(&topic, granted), granted);
            client.disconnect();
            let mut online = connect(version, &fresh("online"));
            online.subscribe(&topic, granted);
            let mut author = connect(version, &fresh("author"));
            for published in [0, 1, 2] {
                author.retain(&topic, "x", published);
                assert_eq!(online.receive().qos, published.min(granted), "live");
                let mut later = connect(version, &fresh("later"));
                later.subscribe(&topic, granted);
                assert_eq!(later.receive().qos, published.min(granted), "retained");
            }
            if granted == 0 {
                continue;
            }
            author.publish(&topic, "end", 2);
            let (mut client, _) = open(version, &Connect::new(&id).durable());
            // Whether QoS 0 is kept for an absent client is the broker's choice.
            let queued = std::iter::from_fn(|| Some(client.receive()))
                .take_while(|delivery| delivery.text() != "end")
                .map(|delivery| delivery.qos)
                .filter(|qos| *qos > 0);
            assert_eq!(
                queued.collect::<Vec<_>>(),
                [1.min(granted), 2.min(granted)],
                "queued"
            );
        }
    });
}

/// 3:MQTT-3.8.3-2
/// Filters with wildcards are granted and match.
#[test]
fn wildcard_filters_are_served() {
    both(|version| {
        let root = fresh("wildcards");
        for filter in ["+/x", "#", "a/+"] {
            let mut client = connect(version, &fresh("reader"));
            assert_eq!(client.subscribe(&format!("{root}/{filter}"), 1), 1);
            connect(version, &fresh("author")).publish(&format!("{root}/a/x"), "x", 1);
            assert_eq!(client.receive().topic, format!("{root}/a/x"));
        }
    });
}

/// 5:MQTT-3.10.4-4 3:MQTT-3.10.4-4 5:MQTT-3.10.4-5 3:MQTT-3.10.4-5 5:MQTT-2.2.1-6 3:MQTT-2.3.1-7
/// Every UNSUBSCRIBE is answered by UNSUBACK with its identifier, even if nothing was deleted.
#[test]
fn every_unsubscribe_is_answered() {
    both(|version| {
        let topic = fresh("answered");
        let mut client = connect(version, &fresh("reader"));
        client.subscribe(&topic, 1);
        for id in [1, 300, 65_535] {
            client.send(Unsubscribe::new(id).filter(&topic));
        }
        for (id, reason) in [(1, 0x00), (300, 0x11), (65_535, 0x11)] {
            let reasons = client.expect_unsuback(id);
            if version == Version::V5 {
                assert_eq!(reasons, [reason]);
            }
        }
    });
}

/// 5:MQTT-3.10.4-6 3:MQTT-3.10.4-6 5:MQTT-3.11.3-1 5:MQTT-3.11.3-2 3:MQTT-3.10.3-1
/// An UNSUBSCRIBE of several filters does what single ones in sequence do, with one UNSUBACK.
#[test]
fn several_filters_are_unsubscribed_in_one_packet() {
    both(|version| {
        let root = fresh("several");
        let mut client = connect(version, &fresh("reader"));
        for name in ["a", "b", "c", "d"] {
            client.subscribe(&format!("{root}/{name}"), 1);
        }
        let names = ["absent", "a", "b", "a", "c"];
        let unsubscribe = names.iter().fold(Unsubscribe::new(77), |packet, name| {
            packet.filter(format!("{root}/{name}"))
        });
        client.send(unsubscribe);
        let reasons = client.expect_unsuback(77);
        if version == Version::V5 {
            assert_eq!(reasons, [0x11, 0x00, 0x00, 0x11, 0x00]);
        }
        let mut author = connect(version, &fresh("author"));
        for name in ["a", "b", "c", "d"] {
            author.publish(&format!("{root}/{name}"), name, 1);
        }
        assert_eq!(client.receive().payload, b"d");
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.10.3-2 3:MQTT-3.10.3-2
/// An UNSUBSCRIBE without a filter is an error.
#[test]
fn unsubscribe_needs_a_filter() {
    both(|version| {
        let mut client = connect(version, &fresh("reader"));
        client.send(Unsubscribe::new(1));
        client.expect_error(0x82);
    });
}

/// 5:MQTT-3.10.4-1 3:MQTT-3.10.4-1
/// Only the filter that is the same character by character is deleted.
#[test]
fn unsubscribe_compares_character_by_character() {
    both(|version| {
        let root = fresh("exact");
        let mut client = connect(version, &fresh("reader"));
        let mut author = connect(version, &fresh("author"));
        let (plus, plain, topic) = (
            format!("{root}/a/+"),
            format!("{root}/a/b"),
            format!("{root}/a/b"),
        );
        client.subscribe(&plus, 1);
        client.subscribe(&plain, 1);
        for (filter, still) in [
            (plain, true),
            (format!("{root}/A/+"), true),
            (format!("{root}/a/#"), true),
            (format!("{root}/a/b"), true),
            (plus, false),
        ] {
            client.unsubscribe(&filter);
            author.publish(&topic, "x", 1);
            if still {
                client.receive();
            }
            client.expect_only_pingresp();
        }
    });
}

/// 5:MQTT-3.10.4-2 3:MQTT-3.10.4-2
/// After UNSUBACK nothing new comes, neither now nor after a resume.
#[test]
fn nothing_new_comes_after_unsuback() {
    both(|version| {
        let (id, topic) = (fresh("reader"), fresh("over"));
        let (mut client, _) = open(version, &Connect::new(&id).durable());
        client.subscribe(&topic, 1);
        client.unsubscribe(&topic);
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "x", 1);
        client.expect_only_pingresp();
        client.vanish();
        author.publish(&topic, "y", 1);
        let (mut client, session_present) = open(version, &Connect::new(&id).durable());
        assert!(session_present);
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.10.4-3 3:MQTT-3.10.4-3
/// Deliveries that had begun are completed after UNSUBSCRIBE, also across a resume.
#[test]
fn begun_deliveries_are_completed_after_unsubscribe() {
    both(|version| {
        let (id, topic) = (fresh("reader"), fresh("begun"));
        let (mut client, _) = open(version, &Connect::new(&id).durable());
        client.subscribe(&topic, 2);
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "one", 1);
        author.publish(&topic, "two", 2);
        author.publish(&topic, "released", 2);
        let [one, two, released] = [(); 3].map(|()| client.expect_publish());
        client.unsubscribe(&topic);
        client.send(pubrec(released.id));
        client.expect_pubrel(released.id);
        client.vanish();
        let (mut client, _) = open(version, &Connect::new(&id).durable());
        client.expect_pubrel(released.id);
        for begun in [one, two] {
            let again = client.expect_publish();
            assert_eq!(
                (again.id, again.dup, again.payload),
                (begun.id, true, begun.payload)
            );
        }
        client.send(pubcomp(released.id));
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.10.1-1 3:MQTT-3.10.1-1
/// An UNSUBSCRIBE with wrong flags ends the connection and deletes nothing.
#[test]
fn unsubscribe_with_wrong_flags_deletes_nothing() {
    both(|version| {
        for first in [0xA0, 0xA3, 0xAA] {
            let (id, topic) = (fresh("reader"), fresh("kept"));
            let (mut client, _) = open(version, &Connect::new(&id).durable());
            client.subscribe(&topic, 1);
            let mut bytes = Unsubscribe::new(2).filter(&topic).encode(version);
            bytes[0] = first;
            client.send(bytes);
            client.expect_error(0x81);
            let (mut client, _) = open(version, &Connect::new(&id).durable());
            connect(version, &fresh("author")).publish(&topic, "x", 1);
            assert_eq!(client.receive().payload, b"x");
        }
    });
}

/// 5:MQTT-3.8.1-1 3:MQTT-3.8.1-1
/// A SUBSCRIBE with wrong flags ends the connection without SUBACK.
#[test]
fn subscribe_with_wrong_flags_is_refused() {
    both(|version| {
        for first in [0x80, 0x83, 0x8A] {
            let mut client = connect(version, &fresh("reader"));
            let mut bytes = Subscribe::new(2).filter("a/b", 0).encode(version);
            bytes[0] = first;
            client.send(bytes);
            client.expect_error(0x81);
        }
    });
}
