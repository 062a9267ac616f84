//! Wills: sections 3.1.2.5 to 3.1.2.7, 3.1.3.2 and 3.14.4 of both standards.

use std::time::Duration;

use crate::support::*;

/// 5:MQTT-3.1.2-7 5:MQTT-3.1.3-10
/// The will is kept with its topic, payload, QoS and properties, in their order.
#[test]
fn will_is_published_as_it_was_set() {
    let topic = fresh("will");
    let mut watcher = watcher(Version::V5, &topic);
    let will = Will::new(&topic, [0, 1, 0xFF])
        .qos(2)
        .with(byte(PAYLOAD_FORMAT_INDICATOR, 0))
        .with(message_expiry(100))
        .with(bytes(CONTENT_TYPE, "type"))
        .with(bytes(RESPONSE_TOPIC, "answer/here"))
        .with(bytes(CORRELATION_DATA, [1, 2]))
        .with(user_property("a", "1"))
        .with(user_property("b", "2"))
        .with(user_property("a", "3"));
    open(Version::V5, &Connect::new(fresh("author")).will(will))
        .0
        .vanish();
    let delivery = watcher.receive();
    assert_eq!(
        (&delivery.payload[..], delivery.qos),
        (&[0, 1, 0xFF][..], 2)
    );
    assert_eq!(delivery.props.number(PAYLOAD_FORMAT_INDICATOR), Some(0));
    assert!(
        delivery
            .props
            .number(MESSAGE_EXPIRY_INTERVAL)
            .is_some_and(|left| left >= 90)
    );
    assert_eq!(delivery.props.text(CONTENT_TYPE).as_deref(), Some("type"));
    assert_eq!(
        delivery.props.text(RESPONSE_TOPIC).as_deref(),
        Some("answer/here")
    );
    assert_eq!(
        delivery.props.get(CORRELATION_DATA),
        Some(&Value::Bytes(vec![1, 2]))
    );
    let pairs = [("a", "1"), ("b", "2"), ("a", "3")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(delivery.props.user_properties(), pairs);
    assert!(!delivery.props.has(WILL_DELAY_INTERVAL));
}

/// 5:MQTT-3.1.2-8 3:MQTT-3.1.2-8 5:MQTT-4.13.2-1
/// The will is published when the connection ends without a normal DISCONNECT: by FIN, RST, a
/// protocol error, takeover, or in MQTT 5 a DISCONNECT with another reason.
#[test]
fn will_is_published_however_the_connection_ends() {
    both(|version| {
        let endings: [fn(Client, &str); 6] = [
            |client, _| client.vanish(),
            |client, _| client.reset(),
            |mut client, _| {
                client.send(Subscribe::new(1));
                client.drain();
            },
            |client, id| {
                connect(client.version(), id);
            },
            |client, _| match client.version() {
                Version::V3 => client.vanish(),
                Version::V5 => client.disconnect_with(Disconnect::reason(0x04)),
            },
            |client, _| match client.version() {
                Version::V3 => client.vanish(),
                Version::V5 => client.disconnect_with(Disconnect::reason(0x80)),
            },
        ];
        for end in endings {
            let (id, topic) = (fresh("mortal"), fresh("will"));
            let mut watcher = watcher(version, &topic);
            let (client, _) = open(version, &Connect::new(&id).will(Will::new(&topic, "x")));
            watcher.expect_only_pingresp();
            end(client, &id);
            assert_eq!(watcher.receive().text(), "x");
            watcher.expect_only_pingresp();
        }
    });
}

/// 5:MQTT-3.1.2-10 3:MQTT-3.1.2-10 5:MQTT-3.14.4-3 3:MQTT-3.14.4-3 5:MQTT-3.1.2-8
/// A normal DISCONNECT discards the will, in its short and its long form.
#[test]
fn normal_disconnect_discards_the_will() {
    let own = clocked();
    both(|version| {
        let topic = fresh("will");
        let mut watcher = own.watcher(version, &topic);
        let forms = match version {
            Version::V3 => vec![vec![0xE0, 0]],
            Version::V5 => vec![vec![0xE0, 0], vec![0xE0, 1, 0], vec![0xE0, 2, 0, 0]],
        };
        for form in forms {
            for delay in [0, 1] {
                let will = Will::new(&topic, "x").with(will_delay(delay));
                let connect = Connect::new(fresh("polite"))
                    .will(will)
                    .with(session_expiry(2));
                let (mut client, _) = own.open(version, &connect);
                client.send(&form);
                client.drain();
                watcher.expect_only_pingresp();
            }
        }
        own.advance(Duration::from_secs(3));
        watcher.expect_only_pingresp();
    });
}

/// 5:MQTT-3.1.2-10 3:MQTT-3.1.2-10 3:MQTT-3.1.2-12
/// A will is published once: the next connection without a will has none.
#[test]
fn will_is_published_once() {
    both(|version| {
        let (id, topic) = (fresh("mortal"), fresh("will"));
        let mut watcher = watcher(version, &topic);
        open(
            version,
            &Connect::new(&id).durable().will(Will::new(&topic, "x")),
        )
        .0
        .vanish();
        assert_eq!(watcher.receive().text(), "x");
        open(version, &Connect::new(&id).durable()).0.vanish();
        open(version, &Connect::new(&id)).0.reset();
        // It has the session once the reset was noticed.
        connect(version, &id);
        watcher.expect_only_pingresp();
    });
}

/// 5:MQTT-3.1.2-12 3:MQTT-3.1.2-14
/// The will has the QoS that was asked for.
#[test]
fn will_has_its_qos() {
    both(|version| {
        for qos in [0, 1, 2] {
            let topic = fresh("will");
            let mut watcher = watcher(version, &topic);
            let will = Will::new(&topic, "x").qos(qos);
            open(version, &Connect::new(fresh("mortal")).will(will))
                .0
                .vanish();
            assert_eq!(watcher.receive().qos, qos);
        }
    });
}

/// 5:MQTT-3.1.2-14 3:MQTT-3.1.2-16
/// Without Will Retain the will is not kept.
#[test]
fn plain_will_is_not_kept() {
    both(|version| {
        let topic = fresh("will");
        let mut live = connect(version, &fresh("watcher"));
        let rap = if version == Version::V5 {
            Subscribe::RETAIN_AS_PUBLISHED
        } else {
            0
        };
        live.subscribe(&topic, 1 | rap);
        open(
            version,
            &Connect::new(fresh("mortal")).will(Will::new(&topic, "x")),
        )
        .0
        .vanish();
        assert!(!live.receive().retain);
        watcher(version, &topic).expect_only_pingresp();
    });
}

/// 5:MQTT-3.1.2-15 3:MQTT-3.1.2-17
/// With Will Retain it is.
#[test]
fn retained_will_is_kept() {
    both(|version| {
        let topic = fresh("will");
        let mut live = watcher(version, &topic);
        let will = Will::new(&topic, "x").qos(1).retain();
        open(version, &Connect::new(fresh("mortal")).will(will))
            .0
            .vanish();
        assert!(!live.receive().retain);
        let delivery = watcher(version, &topic).receive();
        assert_eq!(
            (delivery.text(), delivery.qos, delivery.retain),
            ("x", 1, true)
        );
    });
}

/// 5:MQTT-3.1.2-8
/// The will waits for its delay, and no longer than its session.
#[test]
fn will_waits_for_its_delay_or_the_end_of_the_session() {
    let own = clocked();
    let topics = [fresh("delayed"), fresh("short")];
    let mut watchers = [0, 1].map(|at: usize| own.watcher(Version::V5, &topics[at]));
    let [delayed, short] = [(60, 300), (300, 60)].map(|(delay, expiry)| {
        Connect::new(fresh("mortal"))
            .with(session_expiry(expiry))
            .will(Will::new(&topics[usize::from(delay == 300)], "x").with(will_delay(delay)))
    });
    for connect in [delayed, short] {
        own.open(Version::V5, &connect).0.vanish();
    }
    own.advance(Duration::from_secs(58));
    watchers.iter_mut().for_each(Client::expect_only_pingresp);
    own.advance(Duration::from_secs(3));
    for watcher in &mut watchers {
        assert_eq!(watcher.receive().text(), "x");
    }
}

/// 5:MQTT-3.1.2-8
/// A delay does not outlast a session that ends with its connection.
#[test]
fn will_delay_ends_with_the_session() {
    let topic = fresh("will");
    let mut watcher = watcher(Version::V5, &topic);
    let will = Will::new(&topic, "x").with(will_delay(300));
    open(Version::V5, &Connect::new(fresh("mortal")).will(will))
        .0
        .vanish();
    assert_eq!(watcher.receive().text(), "x");
}

/// 5:MQTT-3.1.3-9 5:MQTT-3.1.2-8
/// A client that returns before the delay has passed stops its will; one that starts clean ends the
/// session and sets it off.
#[test]
fn returning_client_stops_its_delayed_will() {
    let own = clocked();
    let (id, topic) = (fresh("returning"), fresh("will"));
    let mut watcher = own.watcher(Version::V5, &topic);
    let will = Will::new(&topic, "x").with(will_delay(1));
    own.open(Version::V5, &Connect::new(&id).durable().will(will))
        .0
        .vanish();
    let (client, session_present) = own.open(Version::V5, &Connect::new(&id).durable());
    assert!(session_present);
    own.advance(Duration::from_secs(2));
    watcher.expect_only_pingresp();
    client.vanish();
    let far = Will::new(&topic, "clean start").with(will_delay(300));
    own.open(Version::V5, &Connect::new(&id).durable().will(far))
        .0
        .vanish();
    watcher.expect_only_pingresp();
    own.connect5(&id);
    assert_eq!(watcher.receive().text(), "clean start");
}

/// 5:MQTT-3.1.3-9
/// A takeover without Clean Start stops a delayed will as well.
#[test]
fn takeover_stops_a_delayed_will() {
    let own = clocked();
    let (id, topic) = (fresh("taken"), fresh("will"));
    let mut watcher = own.watcher(Version::V5, &topic);
    let will = Will::new(&topic, "x").with(will_delay(1));
    let (mut older, _) = own.open(Version::V5, &Connect::new(&id).durable().will(will));
    let (mut newer, _) = own.open(Version::V5, &Connect::new(&id).durable());
    older.expect_disconnect(0x8E);
    own.advance(Duration::from_secs(2));
    watcher.expect_only_pingresp();
    newer.expect_only_pingresp();
}

/// 3:MQTT-3.1.2-12
/// Without the Will Flag nothing is published when the connection ends.
#[test]
fn no_will_no_message() {
    both(|version| {
        let (id, topic) = (fresh("plain"), fresh("will"));
        let mut watcher = watcher(version, &topic);
        let (client, _) = open(version, &Connect::new(&id).will(Will::new(&topic, "x")));
        client.disconnect();
        connect(version, &id).vanish();
        watcher.expect_only_pingresp();
    });
}

/// 5:MQTT-4.7.0-1 3:MQTT-4.7.1-1 5:MQTT-4.7.3-1 3:MQTT-4.7.3-1
/// A Will Topic is a Topic Name: without wildcards and not empty.
#[test]
fn will_topic_is_a_topic_name() {
    both(|version| {
        for topic in ["a/#", "a/+", "+", ""] {
            let mut client = Client::dial(broker().mqtt(), version);
            client.send_connect(&Connect::new(fresh("wild")).will(Will::new(topic, "x")));
            if version == Version::V5 {
                let (_, reason, _) = client.expect_connack();
                assert!(
                    matches!(reason, 0x81 | 0x82 | 0x90),
                    "{topic:?}: {reason:#04x}"
                );
            }
            client.expect_closed();
        }
    });
}
