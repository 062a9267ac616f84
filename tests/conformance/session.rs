//! Sessions: Clean Start (CleanSession), resume, expiry; sections 3.1.2 and 4.1 of both standards.

use std::time::Duration;

use crate::support::*;

/// 5:MQTT-3.1.2-4 3:MQTT-3.1.2-6 5:MQTT-3.2.2-2 3:MQTT-3.2.2-1 5:MQTT-3.1.4-4 3:MQTT-3.1.4-3
/// A clean start throws away a stored session: subscriptions and messages.
#[test]
fn clean_start_discards_the_session() {
    both(|version| {
        let (id, topic) = (fresh("cleaned"), fresh("old"));
        let (mut client, _) = open(version, &Connect::new(&id).durable());
        client.subscribe(&topic, 1);
        client.disconnect();
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "queued", 1);
        let mut client = connect(version, &id);
        author.publish(&topic, "live", 1);
        client.expect_only_pingresp();
    });
}

/// 3:MQTT-3.1.2-6
/// The state of a clean session is never used again.
#[test]
fn clean_session_leaves_nothing_behind() {
    both(|version| {
        let (id, topic) = (fresh("clean"), fresh("over"));
        let mut client = connect(version, &id);
        client.subscribe(&topic, 1);
        client.vanish();
        connect(version, &fresh("author")).publish(&topic, "x", 1);
        let (mut client, session_present) = open(version, &Connect::new(&id).durable());
        assert!(!session_present);
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.1.2-5 3:MQTT-3.1.2-4 5:MQTT-3.2.2-3 3:MQTT-3.2.2-2 3:MQTT-3.1.2-5
/// A stored session is resumed: its subscriptions stand and its messages come.
#[test]
fn stored_session_is_resumed() {
    both(|version| {
        let (id, topic) = (fresh("stored"), fresh("kept"));
        let (mut client, _) = open(version, &Connect::new(&id).durable());
        client.subscribe(&topic, 2);
        client.vanish();
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "one", 1);
        author.publish(&topic, "two", 2);
        let (mut client, session_present) = open(version, &Connect::new(&id).durable());
        assert!(session_present);
        assert_eq!(client.receive_texts(2), ["one", "two"]);
        author.publish(&topic, "three", 1);
        assert_eq!(client.receive().payload, b"three");
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.1.2-6 3:MQTT-3.2.2-3 5:MQTT-3.2.2-3 3:MQTT-3.1.2-4
/// Where no session is stored one is made and kept.
#[test]
fn missing_session_is_made() {
    both(|version| {
        let id = fresh("new");
        let (client, session_present) = open(version, &Connect::new(&id).durable());
        assert!(!session_present);
        client.vanish();
        let (_, session_present) = open(version, &Connect::new(&id).durable());
        assert!(session_present);
    });
}

/// 5:MQTT-3.1.2-23 5:MQTT-4.1.0-1 3:MQTT-4.1.0-1
/// A session keeps its subscriptions and open exchanges of both directions.
#[test]
fn session_keeps_subscriptions_and_open_exchanges() {
    both(|version| {
        let (id, topic, own) = (fresh("whole"), fresh("kept"), fresh("own"));
        let (mut client, _) = open(version, &Connect::new(&id).durable());
        client.subscribe(&topic, 2);
        let mut watcher = watcher(version, &own);
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "one", 1);
        author.publish(&topic, "two", 2);
        let deliveries = [client.expect_publish(), client.expect_publish()];
        client.send(Publish::new(&own, "own").qos(2, 77));
        client.expect_pubrec(77);
        client.vanish();
        let (mut client, session_present) = open(version, &Connect::new(&id).durable());
        assert!(session_present);
        for open in deliveries {
            let again = client.expect_publish();
            assert_eq!((again.id, &again.payload), (open.id, &open.payload));
            client.acknowledge(&again);
        }
        client.send(pubrel(77));
        assert_eq!(client.expect_pubcomp(77), 0);
        assert_eq!(watcher.receive().payload, b"own");
        author.publish(&topic, "three", 1);
        assert_eq!(client.receive().payload, b"three");
    });
}

/// 5:MQTT-3.1.4-4 3:MQTT-3.1.4-3
/// Clean Start and resume work during a takeover as well.
#[test]
fn takeover_resumes_or_cleans_the_session() {
    both(|version| {
        let (id, topic) = (fresh("taken"), fresh("kept"));
        let (mut first, _) = open(version, &Connect::new(&id).durable());
        first.subscribe(&topic, 1);
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "open", 1);
        let delivery = first.expect_publish();
        let (mut second, session_present) = open(version, &Connect::new(&id).durable());
        assert!(session_present);
        first.expect_error(0x8E);
        let again = second.receive();
        assert_eq!((again.id, again.dup), (delivery.id, true));
        // `connect` asserts Session Present 0.
        let mut third = connect(version, &id);
        second.expect_error(0x8E);
        author.publish(&topic, "gone", 1);
        third.expect_only_pingresp();
    });
}

/// 5:MQTT-4.1.0-2
/// A session ends as soon as its Session Expiry Interval has passed.
#[test]
fn session_ends_when_its_expiry_has_passed() {
    let own = clocked();
    let (id, topic) = (fresh("expiring"), fresh("gone"));
    let (mut client, _) = own.open(Version::V5, &Connect::new(&id).with(session_expiry(1)));
    client.subscribe(&topic, 1);
    client.vanish();
    own.connect5(&fresh("author")).publish(&topic, "x", 1);
    let kept = fresh("kept");
    own.open(
        Version::V5,
        &Connect::new(&kept).with(session_expiry(u32::MAX)),
    )
    .0
    .vanish();
    own.advance(Duration::from_secs(2));
    let (mut client, session_present) = own.open(Version::V5, &Connect::new(&id).resume());
    assert!(!session_present);
    client.expect_only_pingresp();
    let (_, session_present) = own.open(Version::V5, &Connect::new(&kept).resume());
    assert!(session_present, "0xFFFFFFFF never ends");
}

/// 5:MQTT-4.1.0-2
/// Without a Session Expiry Interval the session ends with its connection.
#[test]
fn session_without_expiry_ends_with_its_connection() {
    for connect in [
        Connect::new(fresh("short")),
        Connect::new(fresh("zero")).with(session_expiry(0)),
    ] {
        let connect = connect.resume();
        for _ in 0..2 {
            let (client, session_present) = open(Version::V5, &connect);
            assert!(!session_present);
            client.vanish();
        }
    }
}

/// 5:MQTT-4.1.0-2
/// A Session Expiry Interval in DISCONNECT stands in place of the one in CONNECT.
#[test]
fn disconnect_changes_the_session_expiry() {
    let id = fresh("changed");
    let connect = Connect::new(&id).resume().with(session_expiry(300));
    let (client, _) = open(Version::V5, &connect);
    client.disconnect_with(Disconnect::reason(0).with(session_expiry(0)));
    let (client, session_present) = open(Version::V5, &connect);
    assert!(!session_present, "shortened to nothing");
    client.disconnect_with(Disconnect::reason(4).with(session_expiry(400)));
    let (_, session_present) = open(Version::V5, &connect);
    assert!(session_present);
}

/// A Session Expiry Interval in DISCONNECT cannot give a session to a client that had none.
#[test]
fn disconnect_cannot_start_a_session_expiry() {
    let mut client = connect5(&fresh("late"));
    client.send(Disconnect::reason(0).with(session_expiry(10)));
    client.expect_disconnect(0x82);
}

/// 5:MQTT-4.1.0-1 3:MQTT-4.1.0-2
/// A session lasts while its connection is open, however short its expiry.
#[test]
fn session_lasts_as_long_as_its_connection() {
    let own = clocked();
    both(|version| {
        for expiry in [0, 1] {
            let topic = fresh("lasting");
            let connect_client = Connect::new(fresh("lasting")).with(session_expiry(expiry));
            let (mut client, _) = own.open(version, &connect_client);
            client.subscribe(&topic, 2);
            client.send(Publish::new(&topic, "own").qos(2, 9));
            client.expect_pubrec(9);
            own.advance(Duration::from_secs(2));
            client.send(pubrel(9));
            assert_eq!(client.expect_pubcomp(9), 0);
            assert_eq!(client.receive().payload, b"own");
            own.connect(version, &fresh("author"))
                .publish(&topic, "live", 1);
            assert_eq!(client.receive().payload, b"live");
        }
    });
}

/// 3:MQTT-3.1.2-7
/// Retained messages are not part of a session and survive it.
#[test]
fn retained_messages_survive_the_session() {
    both(|version| {
        let topic = fresh("retained");
        let mut author = connect(version, &fresh("author"));
        author.retain(&topic, "x", 1);
        author.disconnect();
        assert_eq!(watcher(version, &topic).receive().payload, b"x");
    });
}

/// 5:MQTT-3.1.2-4
/// A 3.1.1 session is resumed in MQTT 5, and the other way round.
#[test]
fn sessions_cross_versions() {
    let (id, topic) = (fresh("crossing"), fresh("kept"));
    let (mut client, _) = open(Version::V3, &Connect::new(&id).durable());
    client.subscribe(&topic, 1);
    client.disconnect();
    let mut author = connect5(&fresh("author"));
    author.publish(&topic, "one", 1);
    let (mut client, session_present) = open(Version::V5, &Connect::new(&id).durable());
    assert!(session_present);
    assert_eq!(client.receive().payload, b"one");
    client.disconnect();
    author.publish(&topic, "two", 1);
    let (mut client, session_present) = open(Version::V3, &Connect::new(&id).durable());
    assert!(session_present);
    assert_eq!(client.receive().payload, b"two");
}
