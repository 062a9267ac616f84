//! PUBLISH from the publisher to the subscribers: sections 3.3, 3.4, 3.5 and 2.2 of both standards.

use std::time::Duration;

use crate::support::*;

/// 5:MQTT-3.3.4-1 3:MQTT-3.3.4-1 5:MQTT-2.2.1-5 3:MQTT-2.3.1-6 5:MQTT-4.3.2-4 5:MQTT-4.3.3-8
/// QoS 0 draws no answer, QoS 1 a PUBACK and QoS 2 a PUBREC, with the identifier of the PUBLISH, with
/// and without a subscriber.
#[test]
fn publish_is_answered_as_its_qos_asks() {
    both(|version| {
        let topic = fresh("answered");
        let mut client = connect(version, &fresh("author"));
        for subscribed in [false, true] {
            let _subscriber = subscribed.then(|| watcher(version, &topic));
            client.send(Publish::new(&topic, "0"));
            client.expect_only_pingresp();
            for id in [1, 300, 65_535] {
                client.send(Publish::new(&topic, "1").qos(1, id));
                client.expect_puback(id);
                client.send(Publish::new(&topic, "2").qos(2, id));
                client.expect_pubrec(id);
                client.send(pubrel(id));
                assert_eq!(client.expect_pubcomp(id), 0);
            }
        }
    });
}

/// 5:MQTT-3.4.2-1 5:MQTT-3.5.2-1
/// PUBACK and PUBREC say with 0x10 that nobody has subscribed, and 0x00 otherwise.
#[test]
fn acknowledgements_tell_whether_anybody_subscribed() {
    let topic = fresh("anybody");
    let mut author = connect5(&fresh("author"));
    for qos in [1, 2] {
        assert_eq!(author.publish_message(Publish::new(&topic, "x"), qos), 0x10);
    }
    let _subscriber = watcher(Version::V5, &topic);
    for qos in [1, 2] {
        assert_eq!(author.publish_message(Publish::new(&topic, "x"), qos), 0x00);
    }
}

/// 5:MQTT-3.3.1-4 3:MQTT-3.3.1-4
/// QoS bits 11 are malformed.
#[test]
fn qos_3_ends_the_connection() {
    both(|version| {
        let topic = fresh("three");
        let mut watcher = watcher(version, &topic);
        let mut client = connect(version, &fresh("author"));
        client.send(Publish::new(&topic, "x").qos(3, 1));
        client.expect_error(0x81);
        watcher.expect_only_pingresp();
    });
}

/// 5:MQTT-3.3.1-2 3:MQTT-3.3.1-2
/// DUP at QoS 0 is refused, or forwarded without it.
#[test]
fn dup_does_not_travel_at_qos_0() {
    both(|version| {
        let topic = fresh("dup0");
        let mut watcher = watcher(version, &topic);
        let mut client = connect(version, &fresh("author"));
        client.send(Publish::new(&topic, "x").dup());
        client.send(PINGREQ);
        match client.next_or_end() {
            None => watcher.expect_only_pingresp(),
            Some(Packet::Disconnect {
                reason: 0x81 | 0x82,
                ..
            }) => {
                client.expect_closed();
                watcher.expect_only_pingresp();
            }
            // The reader fails on DUP at QoS 0.
            Some(Packet::Pingresp) => assert_eq!(watcher.receive().payload, b"x"),
            other => panic!("{other:?}"),
        }
    });
}

/// 5:MQTT-3.3.1-3 3:MQTT-3.3.1-3
/// DUP of the publisher says nothing about the delivery.
#[test]
fn dup_is_not_forwarded() {
    both(|version| {
        let topic = fresh("dup");
        let mut watcher = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        for qos in [1, 2] {
            author.publish_message(Publish::new(&topic, "x").dup(), qos);
            let delivery = watcher.receive();
            assert_eq!((delivery.qos, delivery.dup), (qos, false));
        }
    });
}

/// 5:MQTT-2.2.1-2 3:MQTT-2.3.1-5 5:MQTT-4.3.1-1 3:MQTT-4.3.1-1
/// A delivery at QoS 0 has neither identifier nor DUP, whether the publisher or the grant made it so,
/// and comes once.
#[test]
fn qos_0_has_no_packet_identifier() {
    both(|version| {
        let topic = fresh("plain");
        let id = fresh("reader");
        let (mut reader, _) = open(version, &Connect::new(&id).durable());
        reader.subscribe(&topic, 0);
        let mut author = connect(version, &fresh("author"));
        for qos in [0, 1, 2] {
            author.publish(&topic, [0, 1, 2, 0xFF], qos);
            let delivery = reader.receive();
            // An identifier would stand at the start of the payload.
            assert_eq!((delivery.qos, delivery.dup), (0, false));
            assert_eq!(delivery.payload, [0, 1, 2, 0xFF]);
        }
        reader.vanish();
        let (mut reader, _) = open(version, &Connect::new(&id).durable());
        reader.expect_only_pingresp();
    });
}

/// 5:MQTT-3.3.2-1 3:MQTT-3.3.2-1
/// A Topic Name has to be there, end within the packet and be UTF-8.
#[test]
fn topic_name_is_a_string_within_the_packet() {
    let bodies: [&[u8]; 5] = [
        b"",
        b"\x00",
        b"\x00\x05ab\x00",
        b"\x00\x02\xC3\x28\x00x",
        b"\x00\x03\xED\xA0\x80\x00x",
    ];
    both(|version| {
        for body in bodies {
            let mut client = connect(version, &fresh("author"));
            client.send(frame(0x30, body));
            client.expect_error(0x81);
        }
    });
}

/// 5:MQTT-3.3.2-2 3:MQTT-3.3.2-2 5:MQTT-4.7.0-1 3:MQTT-4.7.1-1
/// Nothing is published to a topic with wildcard characters.
#[test]
fn wildcards_are_not_for_topic_names() {
    both(|version| {
        let root = fresh("wild");
        let mut watcher = watcher(version, &format!("{root}/#"));
        for topic in ["+", "#", "a+b", "a/#", "a#"] {
            for qos in [0, 1] {
                let mut client = connect(version, &fresh("author"));
                let message = Publish::new(format!("{root}/{topic}"), "x");
                client.send(if qos == 0 { message } else { message.qos(1, 1) });
                client.expect_error_among(&[0x90, 0x81, 0x82]);
            }
        }
        watcher.expect_only_pingresp();
    });
}

/// 5:MQTT-4.7.3-1 3:MQTT-4.7.3-1
/// A Topic Name has at least one character, unless a Topic Alias stands for it.
#[test]
fn empty_topic_name_ends_the_connection() {
    both(|version| {
        let mut client = connect(version, &fresh("author"));
        client.send(Publish::new("", "x"));
        client.expect_error_among(&[0x82, 0x81, 0x90]);
    });
}

/// 5:MQTT-1.5.4-3 3:MQTT-1.5.3-3
/// U+FEFF at the start of a string is a character like any other.
#[test]
fn byte_order_mark_is_kept() {
    both(|version| {
        let plain = fresh("mark");
        let marked = format!("\u{FEFF}{plain}");
        let (mut with, mut without) = (watcher(version, &marked), watcher(version, &plain));
        let mut author = connect(version, &fresh("author"));
        author.publish_message(
            Publish::new(&marked, "x").with(user_property("\u{FEFF}k", "\u{FEFF}v")),
            1,
        );
        let delivery = with.receive();
        assert_eq!(delivery.topic, marked);
        if version == Version::V5 {
            let expected = ("\u{FEFF}k".to_owned(), "\u{FEFF}v".to_owned());
            assert_eq!(delivery.props.user_properties(), [expected]);
        }
        without.expect_only_pingresp();
    });
}

/// 5:MQTT-1.5.5-1 5:MQTT-2.2.2-1
/// Lengths around the limits of their encodings are written in the fewest bytes.
#[test]
fn lengths_are_encoded_minimally() {
    both(|version| {
        let topic = fresh("length");
        let mut reader = connect(version, &fresh("reader"));
        reader.subscribe(&topic, 0);
        let mut author = connect(version, &fresh("author"));
        let overhead = 2 + topic.len() + if version == Version::V5 { 1 } else { 0 };
        for remaining in [127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let payload: Vec<u8> = (0..remaining - overhead).map(|at| at as u8).collect();
            author.post(&topic, &payload);
            // The reader checks the encoding.
            assert!(
                reader.receive().payload == payload,
                "payload of {} bytes",
                payload.len()
            );
        }
    });
}

/// 5:MQTT-1.5.5-1
/// Property Lengths around the limits of their encodings too.
#[test]
fn property_lengths_are_encoded_minimally() {
    let topic = fresh("length");
    let mut reader = watcher(Version::V5, &topic);
    let mut author = connect5(&fresh("author"));
    for section in [127, 128, 16_383, 16_384] {
        let value = "v".repeat(section - 5);
        author.publish_message(Publish::new(&topic, "x").with(user_property("", &value)), 1);
        assert_eq!(
            reader.receive().props.user_properties(),
            [(String::new(), value)]
        );
    }
}

/// 5:MQTT-3.3.2-4
/// The Payload Format Indicator arrives as it was sent, also when there was none.
#[test]
fn payload_format_indicator_is_forwarded() {
    for value in [Some(0), Some(1), None] {
        let prop = value.map(|value| byte(PAYLOAD_FORMAT_INDICATOR, value));
        for delivery in deliveries_of("format", prop.into_iter().collect()) {
            assert_eq!(
                delivery.props.number(PAYLOAD_FORMAT_INDICATOR),
                value.map(u32::from)
            );
        }
    }
}

/// 5:MQTT-3.3.2-15
/// The Response Topic arrives as it was sent.
#[test]
fn response_topic_is_forwarded() {
    for delivery in deliveries_of("response", vec![bytes(RESPONSE_TOPIC, "answers/ö/here")]) {
        assert_eq!(
            delivery.props.text(RESPONSE_TOPIC).as_deref(),
            Some("answers/ö/here")
        );
    }
}

/// 5:MQTT-3.3.2-16
/// Correlation Data of any length and content arrives as it was sent.
#[test]
fn correlation_data_is_forwarded() {
    let data: Vec<u8> = (0..1000).map(|at| at as u8).collect();
    for data in [&data[..0], &data[..1], &data] {
        for delivery in deliveries_of("correlation", vec![bytes(CORRELATION_DATA, data)]) {
            let got = delivery.props.get(CORRELATION_DATA);
            assert_eq!(got, Some(&Value::Bytes(data.to_vec())));
        }
    }
}

/// 5:MQTT-3.3.2-20
/// The Content Type arrives as it was sent, even an empty one.
#[test]
fn content_type_is_forwarded() {
    for content_type in ["", "application/json; charset=utf-8"] {
        for delivery in deliveries_of("content", vec![bytes(CONTENT_TYPE, content_type)]) {
            assert_eq!(
                delivery.props.text(CONTENT_TYPE).as_deref(),
                Some(content_type)
            );
        }
    }
}

/// 5:MQTT-3.3.2-17 5:MQTT-3.3.2-18
/// User Properties arrive all, unchanged and in their order.
#[test]
fn user_properties_are_forwarded_in_order() {
    let mut pairs: Vec<(String, String)> =
        [("k", "1"), ("a", "2"), ("k", "3"), ("b", "4"), ("k", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
    pairs.extend((0..100).map(|number| (format!("n{}", number % 7), number.to_string())));
    let props = pairs
        .iter()
        .map(|(name, value)| user_property(name, value))
        .collect();
    for delivery in deliveries_of("pairs", props) {
        assert_eq!(delivery.props.user_properties(), pairs);
    }
}

/// Properties are for MQTT 5: a 3.1.1 subscriber gets topic and payload, and a message of a 3.1.1
/// publisher has none.
#[test]
fn messages_cross_versions() {
    let topic = fresh("crossing");
    let (mut old, mut new) = (watcher(Version::V3, &topic), watcher(Version::V5, &topic));
    connect5(&fresh("author"))
        .publish_message(Publish::new(&topic, "x").with(user_property("k", "v")), 2);
    connect3(&fresh("author")).publish(&topic, "y", 2);
    assert_eq!(old.receive_texts(2), ["x", "y"]);
    assert_eq!(new.receive().props.user_properties().len(), 1);
    assert_eq!(new.receive().props, Props::default());
}

/// 5:MQTT-3.3.2-13 5:MQTT-3.3.2-19
/// Response Topic and Content Type are strings, in a message and in a will.
#[test]
fn response_topic_and_content_type_are_strings() {
    for property in [RESPONSE_TOPIC, CONTENT_TYPE] {
        for text in [&b"a\xC3\x28"[..], b"a\xED\xA0\x80", b"a\xC0\xAF", b"a\0b"] {
            let mut client = connect5(&fresh("author"));
            client.send(Publish::new("a", "x").with(bytes(property, text)));
            client.expect_error(0x81);
            let mut client = Client::dial(broker().mqtt(), Version::V5);
            let will = Will::new("a", "x").with(bytes(property, text));
            client.send_connect(&Connect::new(fresh("author")).will(will));
            client.expect_refusal(0x81);
        }
    }
}

/// 5:MQTT-3.3.2-14 5:MQTT-4.7.0-1
/// A Response Topic has no wildcard characters.
#[test]
fn wildcards_are_not_for_response_topics() {
    let topic = fresh("response");
    let mut watcher = watcher(Version::V5, &topic);
    for response in ["a/#", "a/+", "+"] {
        let mut client = connect5(&fresh("author"));
        client.send(
            Publish::new(&topic, "x")
                .qos(1, 1)
                .with(bytes(RESPONSE_TOPIC, response)),
        );
        client.expect_error_among(&[0x82, 0x81, 0x90]);
    }
    watcher.expect_only_pingresp();
}

/// 5:MQTT-1.5.7-1
/// Name and value of a User Property are strings.
#[test]
fn user_property_names_and_values_are_strings() {
    for text in [&b"a\xC3\x28"[..], b"a\xED\xA0\x80", b"a\xC0\xAF", b"a\0b"] {
        for prop in [user_property(text, "v"), user_property("k", text)] {
            let mut client = connect5(&fresh("author"));
            client.send(Publish::new("a", "x").with(prop));
            client.expect_error(0x81);
        }
    }
}

/// 5:MQTT-3.3.4-6
/// A Subscription Identifier is not for a publisher to send.
#[test]
fn subscription_identifier_from_a_publisher_is_refused() {
    let topic = fresh("identifier");
    let mut watcher = watcher(Version::V5, &topic);
    let mut client = connect5(&fresh("author"));
    client.send(Publish::new(&topic, "x").with(subscription_identifier(1)));
    client.expect_error(0x82);
    watcher.expect_only_pingresp();
}

/// 5:MQTT-3.3.4-2 3:MQTT-3.3.5-1
/// Overlapping plain subscriptions give one copy at the highest granted QoS.
#[test]
fn overlapping_subscriptions_give_one_copy_at_the_highest_qos() {
    both(|version| {
        let root = fresh("overlap");
        let mut reader = connect(version, &fresh("reader"));
        for (filter, qos) in [("#", 0), ("+", 2), ("b", 1)] {
            assert_eq!(reader.subscribe(&format!("{root}/{filter}"), qos), qos);
        }
        let mut author = connect(version, &fresh("author"));
        for qos in [2, 1, 0] {
            author.publish(&format!("{root}/b"), "x", qos);
            assert_eq!(reader.receive().qos, qos);
            reader.expect_only_pingresp();
        }
    });
}

/// 5:MQTT-3.3.4-3 5:MQTT-3.3.4-4
/// The one copy has the identifiers of all matching subscriptions that have one.
#[test]
fn one_copy_has_the_identifiers_of_all_matching_subscriptions() {
    let root = fresh("identifiers");
    let mut reader = connect5(&fresh("reader"));
    for (filter, identifier) in [
        ("#", Some(1)),
        ("+", Some(268_435_455)),
        ("b", None),
        ("c", Some(3)),
    ] {
        let id = reader.fresh_id();
        let mut subscribe = Subscribe::new(id).filter(format!("{root}/{filter}"), 1);
        if let Some(identifier) = identifier {
            subscribe = subscribe.with(subscription_identifier(identifier));
        }
        assert_eq!(reader.subscribe_with(&subscribe, id), 1);
    }
    let mut author = connect5(&fresh("author"));
    for qos in [0, 1] {
        author.publish(&format!("{root}/b"), "x", qos);
        assert_eq!(
            reader.receive().props.subscription_identifiers(),
            [1, 268_435_455]
        );
        reader.expect_only_pingresp();
    }
}

/// 5:MQTT-3.8.3-3
/// No Local keeps a client's own messages from it, also after it came back; others still arrive.
#[test]
fn no_local_keeps_own_messages_away() {
    let (id, topic) = (fresh("local"), fresh("local"));
    let (mut client, _) = open(Version::V5, &Connect::new(&id).durable());
    client.subscribe(&topic, 1 | Subscribe::NO_LOCAL);
    client.publish(&topic, "own", 1);
    client.expect_only_pingresp();
    let mut other = connect5(&fresh("other"));
    other.publish(&topic, "other", 1);
    assert_eq!(client.receive().payload, b"other");
    client.disconnect();
    let (mut client, _) = open(Version::V5, &Connect::new(&id).durable());
    client.publish(&topic, "own", 1);
    client.expect_only_pingresp();
    client.subscribe(&topic, 1);
    client.send(Publish::new(&topic, "own").qos(1, 1000));
    let answers = [client.next_packet(), client.next_packet()];
    assert!(
        answers
            .iter()
            .any(|packet| matches!(packet, Packet::Publish(got) if got.text() == "own"))
    );
}

/// 5:MQTT-4.5.0-1 3:MQTT-4.5.0-1 3:MQTT-3.1.2-5
/// A message goes to every matching session, now or on return, and to no other.
#[test]
fn message_reaches_every_matching_session() {
    both(|version| {
        let topic = fresh("matching");
        let (away, other) = (fresh("away"), fresh("other"));
        let (mut client, _) = open(version, &Connect::new(&away).durable());
        client.subscribe(&topic, 2);
        client.disconnect();
        let (mut unmatched, _) = open(version, &Connect::new(&other).durable());
        unmatched.subscribe(&fresh("unmatched"), 2);
        let mut online = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "one", 1);
        author.publish(&topic, "two", 2);
        assert_eq!(online.receive_texts(2), ["one", "two"]);
        unmatched.expect_only_pingresp();
        let (mut client, _) = open(version, &Connect::new(&away).durable());
        let first = client.receive();
        assert_eq!((first.text(), first.qos, first.dup), ("one", 1, false));
        let second = client.receive();
        assert_eq!((second.text(), second.qos, second.dup), ("two", 2, false));
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-4.3.2-4
/// What was acknowledged is delivered even if the publisher is gone at once.
#[test]
fn acknowledged_message_outlives_its_publisher() {
    both(|version| {
        let topic = fresh("outlives");
        let mut watcher = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        author.send(Publish::new(&topic, "x").qos(1, 1));
        author.expect_puback(1);
        author.reset();
        assert_eq!(watcher.receive().payload, b"x");
    });
}

/// 5:MQTT-3.1.2-29
/// Request Problem Information 0 keeps Reason Strings and User Properties out of acknowledgements,
/// and lets the publisher's User Properties through.
#[test]
fn problem_information_is_left_out_on_request() {
    let topic = fresh("problem");
    let connect = Connect::new(fresh("quiet")).with(byte(REQUEST_PROBLEM_INFORMATION, 0));
    let (mut client, _) = open(Version::V5, &connect);
    client.send(Subscribe::new(1).filter(&topic, 1).filter("$share/g", 1));
    client.send(Unsubscribe::new(2).filter("never/subscribed"));
    client.send(Publish::new(fresh("nobody"), "x").qos(1, 3));
    client.send(Publish::new(fresh("nobody"), "x").qos(2, 4));
    client.send(pubrel(999));
    client.send(pubrec(999));
    for _ in 0..6 {
        let props = match client.next_packet() {
            Packet::Suback { props, .. } | Packet::Unsuback { props, .. } => props,
            Packet::Ack { props, .. } => props,
            other => panic!("{other:?}"),
        };
        assert!(
            !props.has(REASON_STRING) && !props.has(USER_PROPERTY),
            "{props:?}"
        );
    }
    connect5(&fresh("author"))
        .publish_message(Publish::new(&topic, "x").with(user_property("k", "v")), 1);
    assert_eq!(client.receive().props.user_properties().len(), 1);
}

/// 5:MQTT-3.3.2-5
/// A message whose expiry has passed before its delivery began is not delivered.
#[test]
fn expired_message_is_not_delivered() {
    let (id, topic) = (fresh("late"), fresh("expiring"));
    let (mut reader, _) = open(Version::V5, &Connect::new(&id).durable());
    reader.subscribe(&topic, 1);
    reader.disconnect();
    let mut author = connect5(&fresh("author"));
    author.publish_message(Publish::new(&topic, "short").with(message_expiry(1)), 1);
    author.publish(&topic, "long", 1);
    let kept = format!("{topic}/kept");
    author.publish_message(
        Publish::new(&kept, "short")
            .retain()
            .with(message_expiry(1)),
        1,
    );
    eventually("the retained message has expired", || {
        let mut late = connect5(&fresh("late"));
        late.subscribe(&kept, 1);
        late.send(PINGREQ);
        late.next_packet() == Packet::Pingresp
    });
    let (mut reader, _) = open(Version::V5, &Connect::new(&id).durable());
    assert_eq!(reader.receive().payload, b"long");
    reader.expect_only_pingresp();
}

/// 5:MQTT-3.3.2-6
/// The Message Expiry Interval that arrives is the rest that is left.
#[test]
fn message_expiry_counts_down_while_the_message_waits() {
    let own = clocked();
    let (id, topic) = (fresh("waiting"), fresh("expiring"));
    let (mut reader, _) = own.open(Version::V5, &Connect::new(&id).durable());
    reader.subscribe(&topic, 1);
    let mut author = own.connect5(&fresh("author"));
    let message = Publish::new(&topic, "x").retain().with(message_expiry(100));
    author.publish_message(message.clone(), 1);
    let at_once = reader.receive().props.number(MESSAGE_EXPIRY_INTERVAL);
    assert!(matches!(at_once, Some(99 | 100)), "{at_once:?} at once");
    reader.disconnect();
    author.publish_message(message, 1);
    own.advance(Duration::from_secs(50));
    let mut late = own.connect5(&fresh("late"));
    late.subscribe(&topic, 1);
    let left = late.receive().props.number(MESSAGE_EXPIRY_INTERVAL);
    assert!(matches!(left, Some(45..=50)), "{left:?} s retained");
    let (mut reader, _) = own.open(Version::V5, &Connect::new(&id).durable());
    let queued = reader.receive().props.number(MESSAGE_EXPIRY_INTERVAL);
    assert!(matches!(queued, Some(45..=50)), "{queued:?} s in the queue");
}

/// Publishes one message with these properties and returns what an online, an absent, a shared and a
/// later subscriber get.
fn deliveries_of(stem: &str, props: Vec<Prop>) -> [Delivery; 4] {
    let topic = fresh(stem);
    let away = fresh("away");
    let (mut client, _) = open(Version::V5, &Connect::new(&away).durable());
    client.subscribe(&topic, 1);
    client.disconnect();
    let mut online = watcher(Version::V5, &topic);
    let mut shared = watcher(Version::V5, &format!("$share/{}/{topic}", fresh("group")));
    let message = props
        .into_iter()
        .fold(Publish::new(&topic, "payload"), Publish::with);
    connect5(&fresh("author")).publish_message(message.retain(), 1);
    let (mut client, _) = open(Version::V5, &Connect::new(&away).durable());
    let mut later = watcher(Version::V5, &topic);
    [&mut online, &mut client, &mut shared, &mut later].map(|client| {
        let delivery = client.receive();
        assert_eq!(
            (delivery.topic.as_str(), delivery.text()),
            (topic.as_str(), "payload")
        );
        delivery
    })
}

/// 5:MQTT-3.3.4-3 5:MQTT-3.1.2-24 5:MQTT-3.8.3-3 5:MQTT-3.3.2-11 5:MQTT-4.6.0-5
/// Messages that arrive together reach each subscriber in the form that it is due: with its
/// identifiers, in its version, within its packet size, with its aliases, or not at all.
#[test]
fn messages_that_arrive_together_take_each_subscribers_form() {
    both(|author_version| {
        let topic = fresh("together");
        let mut author = connect(author_version, &fresh("author"));
        let mut plain = [Version::V5, Version::V3].map(|version| {
            let mut client = connect(version, &fresh("plain"));
            client.subscribe(&topic, 0);
            client
        });
        let mut identified = connect5(&fresh("identified"));
        for (number, filter) in [topic.clone(), format!("{topic}/#")].iter().enumerate() {
            let subscribe = Subscribe::new(1)
                .filter(filter, 0)
                .with(subscription_identifier(number as u32 + 1));
            identified.subscribe_with(&subscribe, 1);
        }
        let connect_aliased = Connect::new(fresh("aliased")).with(topic_alias_maximum(1));
        let (mut aliased, _) = open(Version::V5, &connect_aliased);
        aliased.subscribe(&topic, 0);
        let connect_small = Connect::new(fresh("small")).with(maximum_packet_size(100));
        let (mut small, _) = open(Version::V5, &connect_small);
        small.subscribe(&topic, 0);
        if author_version == Version::V5 {
            author.subscribe(&topic, Subscribe::NO_LOCAL);
        }

        let texts = ["first".to_owned(), "x".repeat(200), "last".to_owned()];
        let batch = || {
            let packets = texts.iter().map(|text| Publish::new(&topic, text));
            packets.flat_map(|packet| packet.encode(author_version))
        };
        // The broker looks the topic up at first and remembers it later.
        for round in 0..4 {
            author.send(batch().collect::<Vec<u8>>());
            for client in plain.iter_mut().chain([&mut aliased]) {
                for text in &texts {
                    let delivery = client.receive();
                    assert_eq!((&delivery.topic, delivery.qos), (&topic, 0));
                    assert_eq!(delivery.payload, text.as_bytes());
                }
            }
            for text in &texts {
                let delivery = identified.receive();
                assert_eq!(delivery.payload, text.as_bytes());
                let mut ids = delivery.props.subscription_identifiers();
                ids.sort_unstable();
                assert_eq!(ids, [1, 2], "round {round}");
            }
            for text in [&texts[0], &texts[2]] {
                assert_eq!(small.receive().payload, text.as_bytes());
            }
        }
        for client in plain.iter_mut().chain([&mut identified, &mut small]) {
            client.expect_only_pingresp();
        }
        if author_version == Version::V5 {
            author.expect_only_pingresp();
        }
    });
}
