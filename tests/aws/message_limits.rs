//! Limits of a message: topic, payload, properties, expiry.

use crate::script::*;
use crate::support::*;

/// AWS-LIM-04 AWS-FAIL-06 AWS-OPEN-04
/// A topic has up to 256 bytes, not characters.
#[test]
fn topics_have_up_to_256_bytes() {
    both(|version| {
        let longest = topic_of(256);
        let mut reader = reader(version, &longest);
        client(version).publish(&longest, "x", 1);
        assert_eq!(reader.receive().topic, longest);
        publish_refused(version, &Publish::new(topic_of(257), "x"), 0x90);
        publish_refused(version, &Publish::new("ä".repeat(129), "x"), 0x90);
    });
}

/// AWS-LIM-05 AWS-FAIL-06
/// A topic has up to 7 slashes.
#[test]
fn topics_have_up_to_7_slashes() {
    both(|version| {
        let deepest = topic_with_slashes(7);
        let mut reader = reader(version, &deepest);
        client(version).publish(&deepest, "x", 1);
        assert_eq!(reader.receive().topic, deepest);
        publish_refused(version, &Publish::new(topic_with_slashes(8), "x"), 0x90);
    });
}

/// AWS-LIM-01 AWS-LIM-03 AWS-FAIL-12 AWS-OPEN-10
/// A payload has up to 128 KiB; a longer one ends the connection.
#[test]
fn payloads_have_up_to_131072_bytes() {
    both(|version| {
        let topic = fresh("payload");
        let mut reader = reader(version, &topic);
        let largest = "x".repeat(131_072);
        client(version).publish(&topic, &largest, 1);
        assert_eq!(reader.receive().payload.len(), 131_072);
        publish_ends_connection(version, &Publish::new(&topic, largest + "x"), 0x95);
        reader.expect_only_pingresp();
    });
}

/// AWS-LIM-02
/// A packet over 149,504 bytes is refused on its length alone.
#[test]
fn packets_have_up_to_149504_bytes() {
    both(|version| {
        let mut author = client(version);
        author.send([&[0x30][..], &varint(149_504 - 4 + 1)].concat());
        author.expect_error(0x95);
    });
}

/// AWS-LIM-16 AWS-M5-15
/// The user properties of a message have up to 8 KiB, names and values together, and keep their order.
#[test]
fn user_properties_of_a_message_have_up_to_8_kib() {
    let topic = fresh("user");
    let with = |properties: [Prop; 2]| {
        (properties.into_iter()).fold(Publish::new(&topic, "x"), Publish::with)
    };
    let mut reader = reader(Version::V5, &topic);
    assert_eq!(
        client(Version::V5).publish_message(with(user_properties_of(8192)), 1),
        0
    );
    let got = reader.receive().props.user_properties();
    let names: Vec<&str> = got.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["first", "n"]);
    publish_refused(Version::V5, &with(user_properties_of(8193)), 0x97);
    reader.expect_only_pingresp();
}

/// AWS-LIM-16 AWS-M5-16
/// The user properties of the client's other packets have up to 8 KiB as well.
#[test]
fn user_properties_of_other_packets_have_up_to_8_kib() {
    let (fine, over) = (user_properties_of(8192), user_properties_of(8193));

    let connect = |props: &[Prop]| {
        let mut connect = Connect::new(fresh("user"));
        connect.props.0.extend_from_slice(props);
        connect
    };
    let (mut granted, ..) = enter(aws_broker(), Version::V5, &connect(&fine));
    refused(Version::V5, &connect(&over), 0x97);

    let will = |props: [Prop; 2]| {
        let will = props.into_iter().fold(Will::new("a", "x"), Will::with);
        Connect::new(fresh("user")).will(will)
    };
    enter(aws_broker(), Version::V5, &will(fine.clone()));
    refused(Version::V5, &will(over.clone()), 0x97);

    let with = |props: &[Prop]| {
        let subscribe = Subscribe::new(8).filter(fresh("user"), 1);
        props.iter().cloned().fold(subscribe, Subscribe::with)
    };
    assert_eq!(granted.subscribe_with(&with(&fine), 8), 1);
    granted.send(with(&over));
    granted.expect_disconnect(0x97);

    let with = |props: &[Prop]| {
        let unsubscribe = Unsubscribe::new(9).filter(fresh("user"));
        props.iter().cloned().fold(unsubscribe, Unsubscribe::with)
    };
    let mut granted = client(Version::V5);
    granted.send(with(&fine));
    assert_eq!(granted.expect_unsuback(9), [0]);
    granted.send(with(&over));
    granted.expect_disconnect(0x97);
}

/// AWS-LIM-17 AWS-M5-14
/// Content Type has up to 256 bytes, Correlation Data up to 8 KiB, Response Topic up to 256 bytes.
#[test]
fn properties_of_a_message_are_bounded() {
    for (id, limit) in [
        (CONTENT_TYPE, 256),
        (CORRELATION_DATA, 8192),
        (RESPONSE_TOPIC, 256),
    ] {
        let topic = fresh("property");
        let with = |length: usize| Publish::new(&topic, "x").with(bytes(id, "x".repeat(length)));
        let mut reader = reader(Version::V5, &topic);
        assert_eq!(client(Version::V5).publish_message(with(limit), 1), 0);
        assert_eq!(reader.receive().props.text(id), Some("x".repeat(limit)));
        publish_refused(Version::V5, &with(limit + 1), 0x97);
        reader.expect_only_pingresp();

        let will = |length: usize| {
            let will = Will::new(&topic, "x").with(bytes(id, "x".repeat(length)));
            Connect::new(fresh("will")).will(will)
        };
        enter(aws_broker(), Version::V5, &will(limit))
            .0
            .disconnect();
        refused(Version::V5, &will(limit + 1), 0x97);
    }
}

/// AWS-M5-17
/// A Response Topic has no wildcards.
#[test]
fn response_topic_has_no_wildcards() {
    for topic in ["a/+", "#"] {
        let message = Publish::new("a", "x").with(bytes(RESPONSE_TOPIC, topic));
        publish_ends_connection(Version::V5, &message, 0x82);
    }
}

/// AWS-LIM-18 AWS-SESS-15
/// Message Expiry Interval is brought into a second to a week.
#[test]
fn message_expiry_is_clamped() {
    let topic = fresh("expiry");
    let mut reader = reader(Version::V5, &topic);
    let mut author = client(Version::V5);
    for (asked, got) in [
        (0, 1),
        (1, 1),
        (604_800, 604_800),
        (604_801, 604_800),
        (u32::MAX, 604_800),
    ] {
        author.publish_message(Publish::new(&topic, "x").with(message_expiry(asked)), 1);
        let delivery = reader.receive();
        assert_eq!(
            delivery.props.number(MESSAGE_EXPIRY_INTERVAL),
            Some(got),
            "{asked}"
        );
    }
    author.publish(&topic, "x", 1);
    assert!(!reader.receive().props.has(MESSAGE_EXPIRY_INTERVAL));
}

/// AWS-SESS-12 AWS-SESS-16 AWS-LIM-18
/// A message of interval 0 lives for a second: long enough to be delivered, too short to be waited
/// for, by an MQTT 3.1.1 receiver too.
#[test]
fn message_of_interval_0_expires_after_a_second() {
    let own = aws("");
    both(|version| {
        let topic = fresh("expiry");
        let durable = Connect::new(fresh("away")).durable();
        let (mut away, ..) = enter(&own, version, &durable);
        away.subscribe(&topic, 1);
        away.disconnect();
        let mut author = guest(&own, Version::V5);
        author.publish_message(Publish::new(&topic, "short").with(message_expiry(0)), 1);
        author.publish(&topic, "long", 1);
        own.advance(std::time::Duration::from_secs(2));
        let (mut away, ..) = enter(&own, version, &durable);
        assert_eq!(away.receive().text(), "long");
        away.expect_only_pingresp();
    });
}
