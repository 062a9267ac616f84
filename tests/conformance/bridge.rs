//! Brokers that connect as clients: bit 0x80 of the protocol level, as mosquitto's bridges of 3.1.1 set
//! it. No statement of the standards is about it; the levels without it are in [`super::connect`].

use crate::support::*;

/// A bridge gets none of its own messages back, and live ones with the RETAIN they were published with.
#[test]
fn bridge_gets_no_message_of_its_own_and_retain_as_published() {
    both(|version| {
        let topic = fresh("bridge");
        let mut bridge = bridge(version, &fresh("bridge"));
        assert_eq!(bridge.subscribe(&topic, 1), 1);
        bridge.publish(&topic, "own", 1);
        connect(version, &fresh("author")).retain(&topic, "kept", 1);
        connect(version, &fresh("author")).publish(&topic, "passing", 1);
        for (text, retain) in [("kept", true), ("passing", false)] {
            let delivery = bridge.receive();
            assert_eq!((delivery.text(), delivery.retain), (text, retain));
        }
        bridge.expect_only_pingresp();
    });
}

/// The options belong to its subscriptions, so they outlast the connection and a repeated SUBSCRIBE.
#[test]
fn options_of_a_bridge_outlast_its_connection() {
    let (id, topic) = (fresh("bridge"), fresh("bridge"));
    let mut client = dial_at(0x84, &id, 0x00);
    for _ in 0..2 {
        client.subscribe(&topic, 1);
    }
    client.vanish();
    connect3(&fresh("author")).retain(&topic, "kept", 1);
    let mut client = dial_at(0x84, &id, 0x00);
    client.publish(&topic, "own", 1);
    let delivery = client.receive();
    assert_eq!((delivery.text(), delivery.retain), ("kept", true));
    client.expect_only_pingresp();
}

/// A shared subscription is never No Local: a bridge takes its turn for its own messages too.
#[test]
fn bridge_takes_its_turn_in_a_group() {
    both(|version| {
        let topic = fresh("bridge");
        let filter = format!("$share/group/{topic}");
        let mut bridge = bridge(version, &fresh("bridge"));
        bridge.subscribe(&filter, 1);
        let mut other = connect(version, &fresh("other"));
        other.subscribe(&filter, 1);
        for number in 0..4 {
            other.publish(&topic, number.to_string(), 1);
        }
        assert_eq!(bridge.receive_texts(2), ["0", "2"]);
        assert_eq!(other.receive_texts(2), ["1", "3"]);
        bridge.publish(&topic, "own", 1);
        assert_eq!(bridge.receive().text(), "own");
    });
}

/// A client that is no bridge has neither: the bit is what makes it one.
#[test]
fn ordinary_client_gets_its_own_messages() {
    both(|version| {
        let topic = fresh("bridge");
        let mut client = connect(version, &fresh("client"));
        client.subscribe(&topic, 1);
        client.retain(&topic, "own", 1);
        let delivery = client.receive();
        assert_eq!((delivery.text(), delivery.retain), ("own", false));
    });
}

/// Connects with the bit of a bridge and a clean session.
fn bridge(version: Version, client_id: &str) -> Client {
    dial_at(version.level() | 0x80, client_id, 0x02)
}

fn dial_at(level: u8, client_id: &str, flags: u8) -> Client {
    let version = if level & 0x7F == 5 {
        Version::V5
    } else {
        Version::V3
    };
    let mut body = utf8("MQTT");
    body.extend([level, flags, 0, 0]);
    body.extend(version.properties(&Props::default()));
    body.extend(utf8(client_id));
    let mut client = Client::dial(broker().mqtt(), version);
    client.send(frame(0x10, body));
    let (_, reason, _) = client.expect_connack();
    assert_eq!(reason, 0, "level {level:#04x}");
    client
}
