//! Limits of connections: filters, subscriptions, windows, aliases.

use crate::script::*;
use crate::support::*;

/// AWS-LIM-04 AWS-FAIL-07
/// A filter has up to 256 bytes.
#[test]
fn filters_have_up_to_256_bytes() {
    both(|version| {
        assert_eq!(client(version).subscribe(&topic_of(256), 1), 1);
        subscribe_refused(version, &topic_of(257), 0x8F);
    });
}

/// AWS-LIM-05 AWS-FAIL-07
/// A filter has up to 7 slashes.
#[test]
fn filters_have_up_to_7_slashes() {
    both(|version| {
        assert_eq!(client(version).subscribe(&topic_with_slashes(7), 1), 1);
        assert_eq!(client(version).subscribe("+/+/+/+/+/+/+/#", 1), 1);
        subscribe_refused(version, &topic_with_slashes(8), 0x8F);
        subscribe_refused(version, "+/+/+/+/+/+/+/+/#", 0x8F);
    });
}

/// AWS-LIM-06 AWS-SHARE-03
/// `$share/name/` is not counted.
#[test]
fn share_prefix_is_not_counted() {
    both(|version| {
        let share = format!("$share/{}/", fresh("group"));
        for filter in [topic_of(256), topic_with_slashes(7)] {
            assert_eq!(client(version).subscribe(&format!("{share}{filter}"), 1), 1);
        }
        for filter in [topic_of(257), topic_with_slashes(8)] {
            subscribe_refused(version, &format!("{share}{filter}"), 0x8F);
        }
    });
}

/// AWS-LIM-07 AWS-MQTT-20 AWS-MQTT-21 AWS-OPEN-05
/// SUBSCRIBE has up to 8 filters; with 9 it subscribes to none and ends the connection.
#[test]
fn subscribe_has_up_to_8_filters() {
    both(|version| {
        let topic = fresh("filters");
        let subscribe = |count: usize| {
            (0..count).fold(Subscribe::new(1), |subscribe, number| {
                subscribe.filter(format!("{topic}/{number}"), 1)
            })
        };
        let mut fine = client(version);
        fine.send(subscribe(8));
        assert_eq!(fine.expect_suback(1), [1; 8]);

        let durable = Connect::new(fresh("many")).durable();
        let (mut over, ..) = enter(aws_broker(), version, &durable);
        over.send(subscribe(9));
        over.expect_error(0x97);
        client(version).publish(&format!("{topic}/0"), "x", 1);
        fine.receive();
        let (mut over, session_present, _) = enter(aws_broker(), version, &durable);
        assert!(session_present);
        over.expect_only_pingresp();
    });
}

/// AWS-MQTT-22 AWS-LIM-07
/// UNSUBSCRIBE with 9 filters is not carried out. MQTT 3.1.1 gets no answer and keeps its connection.
#[test]
fn unsubscribe_with_9_filters_is_not_carried_out() {
    let unsubscribe = |topic: &str| {
        (0..8).fold(Unsubscribe::new(9).filter(topic), |packet, number| {
            packet.filter(format!("{topic}/{number}"))
        })
    };
    let topic = fresh("filters");
    let mut old = reader(Version::V3, &topic);
    old.send(unsubscribe(&topic));
    old.expect_only_pingresp();
    client(Version::V5).publish(&topic, "x", 1);
    assert_eq!(old.receive().text(), "x");

    let durable = Connect::new(fresh("many")).durable();
    let (mut new, ..) = enter(aws_broker(), Version::V5, &durable);
    new.subscribe(&topic, 1);
    new.send(unsubscribe(&topic));
    new.expect_disconnect(0x97);
    client(Version::V5).publish(&topic, "y", 1);
    let (mut new, ..) = enter(aws_broker(), Version::V5, &durable);
    assert_eq!(new.receive().text(), "y");
}

/// AWS-LIM-08 AWS-MQTT-23
/// A session has 50 subscriptions; the 51st is refused in SUBACK, and the others stay.
#[test]
fn session_has_up_to_50_subscriptions() {
    both(|version| {
        let topic = fresh("subscriptions");
        let mut reader = client(version);
        for number in 1..=50 {
            assert_eq!(reader.subscribe(&format!("{topic}/{number}"), 1), 1);
        }
        let refusal = if version == Version::V5 { 0x97 } else { 0x80 };
        let last = format!("{topic}/51");
        assert_eq!(reader.subscribe(&last, 1), refusal);
        assert_eq!(
            reader.subscribe(&format!("{topic}/50"), 0),
            0,
            "it is there already"
        );
        let mut author = client(version);
        author.publish(&last, "refused", 1);
        author.publish(&format!("{topic}/1"), "granted", 1);
        assert_eq!(reader.receive().text(), "granted");
        reader.unsubscribe(&format!("{topic}/1"));
        assert_eq!(reader.subscribe(&last, 1), 1);
    });
}

/// AWS-LIM-13 AWS-M5-22
/// A client has up to 100 unacknowledged messages; the 101st ends the connection with 0x93.
#[test]
fn client_sends_up_to_100_messages_ahead() {
    let messages = |count: u16| -> Vec<u8> {
        (1..=count)
            .flat_map(|id| Publish::new("ahead", "").qos(1, id).encode(Version::V5))
            .collect()
    };
    let mut fine = client(Version::V5);
    fine.send(messages(100));
    for id in 1..=100 {
        assert_eq!(fine.expect_puback(id), 0);
    }
    fine.expect_only_pingresp();

    let mut over = client(Version::V5);
    over.send(messages(101));
    let last = over.drain().pop();
    assert!(
        matches!(last, Some(Packet::Disconnect { reason: 0x93, .. })),
        "{last:?}"
    );
}

/// AWS-LIM-14
/// A client has up to 100 messages unacknowledged, or as many as it says if that is less.
#[test]
fn broker_sends_up_to_100_messages_ahead() {
    for (version, own, window) in [
        (Version::V3, None, 100),
        (Version::V5, None, 100),
        (Version::V5, Some(1000), 100),
        (Version::V5, Some(3), 3),
    ] {
        let topic = fresh("window");
        let mut connect = Connect::new(fresh("window"));
        connect.props.0.extend(own.map(receive_maximum));
        let (mut reader, ..) = enter(aws_broker(), version, &connect);
        reader.subscribe(&topic, 1);
        let mut author = client(version);
        for number in 0..window + 2 {
            author.publish(&topic, number.to_string(), 1);
        }
        let open: Vec<Delivery> = (0..window).map(|_| reader.expect_publish()).collect();
        reader.expect_only_pingresp();
        for (at, delivery) in open.iter().take(2).enumerate() {
            reader.acknowledge(delivery);
            assert_eq!(reader.expect_publish().text(), (window + at).to_string());
            reader.expect_only_pingresp();
        }
    }
}

/// AWS-M5-20 AWS-FAIL-06 AWS-FAIL-08
/// A refused PUBLISH has bound its alias all the same, for the client will use it, and what the alias
/// stands for is refused again.
#[test]
fn refused_message_binds_its_topic_alias() {
    for topic in ["$any/thing".to_owned(), topic_of(257)] {
        let mut author = client(Version::V5);
        let bind = Publish::new(topic, "x").with(topic_alias(3));
        assert_eq!(author.publish_message(bind, 1), 0x90);
        let repeat = Publish::new("", "x").with(topic_alias(3));
        assert_eq!(author.publish_message(repeat.clone(), 1), 0x90);
        author.send(repeat);
        author.expect_error(0x90);
    }
}

/// AWS-LIM-15 AWS-M5-19 AWS-M5-20
/// A client may use the topic aliases 1 to 8.
#[test]
fn client_uses_up_to_8_topic_aliases() {
    let topic = fresh("alias");
    let mut reader = reader(Version::V5, &format!("{topic}/+"));
    let mut author = client(Version::V5);
    for alias in 1..=8 {
        author.publish_message(
            Publish::new(format!("{topic}/{alias}"), "bound").with(topic_alias(alias)),
            1,
        );
        assert_eq!(reader.receive().topic, format!("{topic}/{alias}"));
    }
    author.publish_message(Publish::new("", "by alias").with(topic_alias(2)), 1);
    let delivery = reader.receive();
    assert_eq!(
        (delivery.topic, delivery.payload),
        (format!("{topic}/2"), b"by alias".to_vec())
    );
    for alias in [0, 9] {
        let message = Publish::new(&topic, "x").with(topic_alias(alias));
        publish_ends_connection(Version::V5, &message, 0x94);
    }
}

/// AWS-LIM-22
/// There are 100 groups.
#[test]
fn broker_has_up_to_100_groups() {
    let own = aws("");
    let _first = [Version::V3, Version::V5].map(|version| {
        let mut client = guest(&own, version);
        for number in 0..25 {
            let share = format!("$share/{}/a/{number}", fresh("group"));
            assert_eq!(client.subscribe(&share, 1), 1);
        }
        client
    });
    let mut second = guest(&own, Version::V5);
    for number in 0..50 {
        assert_eq!(second.subscribe(&format!("$share/second/b/{number}"), 1), 1);
    }
    assert_eq!(
        guest(&own, Version::V5).subscribe("$share/one/more", 1),
        0x97
    );
    assert_eq!(
        guest(&own, Version::V3).subscribe("$share/one/more", 1),
        0x80
    );
    assert_eq!(
        guest(&own, Version::V5).subscribe("$share/second/b/0", 1),
        1
    );
    second.unsubscribe("$share/second/b/1");
    assert_eq!(guest(&own, Version::V3).subscribe("$share/one/more", 1), 1);
}

/// AWS-LIM-22
/// A group has 100 members.
#[test]
fn group_has_up_to_100_members() {
    let share = format!("$share/{}/full", fresh("group"));
    let mut members: Vec<Client> = (0..100)
        .map(|number| reader([Version::V3, Version::V5][number % 2], &share))
        .collect();
    assert_eq!(client(Version::V5).subscribe(&share, 1), 0x97);
    assert_eq!(client(Version::V3).subscribe(&share, 1), 0x80);
    members[0].unsubscribe(&share);
    assert_eq!(client(Version::V5).subscribe(&share, 1), 1);
}
