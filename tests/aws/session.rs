//! Sessions that outlive their connections.

use std::time::Duration;

use crate::script::*;
use crate::support::*;

/// AWS-SESS-01 AWS-SESS-06 AWS-SESS-08
/// A session keeps its subscriptions and what arrives at QoS 1, not at QoS 0.
#[test]
fn session_keeps_qos_1() {
    both(|version| {
        let topic = fresh("kept");
        let durable = Connect::new(fresh("durable")).durable();
        let (mut client, ..) = enter(aws_broker(), version, &durable);
        client.subscribe(&topic, 1);
        client.disconnect();
        let mut author = self::client(version);
        author.publish(&topic, "0", 0);
        author.publish(&topic, "1", 1);
        let (mut client, session_present, _) = enter(aws_broker(), version, &durable);
        assert!(session_present);
        assert_eq!(client.receive_texts(1), ["1"]);
        client.expect_only_pingresp();
    });
}

/// AWS-SESS-01
/// An MQTT 3.1.1 session without CleanSession ends as late as any session may.
#[test]
fn mqtt_3_session_ends_with_the_longest_expiry() {
    let own = aws("[limits]\nsession_expiry = \"1s\"\n");
    let durable = Connect::new("durable").resume();
    enter(&own, Version::V3, &durable).0.disconnect();
    let (client, session_present, _) = enter(&own, Version::V3, &durable);
    assert!(session_present, "it outlives its connection");
    client.disconnect();
    own.advance(Duration::from_secs(2));
    let (_, session_present, _) = enter(&own, Version::V3, &durable);
    assert!(!session_present, "a second is over");
}

/// AWS-SESS-03
/// An MQTT 5 session without Session Expiry Interval ends with its connection.
#[test]
fn session_without_expiry_ends_with_its_connection() {
    let connect = Connect::new(fresh("short")).resume();
    enter(aws_broker(), Version::V5, &connect).0.disconnect();
    let (_, session_present, _) = enter(aws_broker(), Version::V5, &connect);
    assert!(!session_present);
}

/// AWS-MQTT-06 AWS-MQTT-07
/// What was not acknowledged comes again when the session is resumed, with the same identifier and
/// without DUP.
#[test]
fn dup_is_never_set() {
    both(|version| {
        let topic = fresh("dup");
        let durable = Connect::new(fresh("durable")).durable();
        let (mut client, ..) = enter(aws_broker(), version, &durable);
        client.subscribe(&topic, 1);
        self::client(version).publish(&topic, "x", 1);
        let first = client.expect_publish();
        client.vanish();
        for _ in 0..2 {
            let (mut client, ..) = enter(aws_broker(), version, &durable);
            let again = client.expect_publish();
            assert_eq!((again.text(), again.id, again.dup), ("x", first.id, false));
            client.vanish();
        }
    });
}

/// AWS-SESS-10
/// A full queue drops new messages and keeps the old.
#[test]
fn full_queue_drops_new_messages() {
    let own = aws("[limits]\nsession_queue = 2\n");
    let durable = Connect::new("durable").durable();
    let (mut client, ..) = enter(&own, Version::V5, &durable);
    client.subscribe("a", 1);
    client.disconnect();
    let mut author = guest(&own, Version::V3);
    for text in ["1", "2", "3"] {
        author.publish("a", text, 1);
    }
    let (mut client, ..) = enter(&own, Version::V5, &durable);
    assert_eq!(client.receive_texts(2), ["1", "2"]);
    client.expect_only_pingresp();
}
