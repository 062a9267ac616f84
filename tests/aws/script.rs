//! The words that the tests of this profile share.

use crate::support::*;

/// A broker of profile `aws` with this configuration.
pub(crate) fn aws(config: &str) -> TestBroker {
    TestBroker::start_with_config(&["--profile", "aws", "--http-port", "0"], config)
}

/// Connects to `broker`, which has to accept; also returns Session Present and the properties of
/// CONNACK.
#[track_caller]
pub(crate) fn enter(
    broker: &TestBroker,
    version: Version,
    connect: &Connect,
) -> (Client, bool, Props) {
    let mut client = Client::dial(broker.mqtt(), version);
    client.send_connect(connect);
    let (session_present, reason, props) = client.expect_connack();
    assert_eq!(reason, 0, "reason of CONNACK, {reason:#04x}");
    (client, session_present, props)
}

/// A new client of `broker` with a clean session.
#[track_caller]
pub(crate) fn guest(broker: &TestBroker, version: Version) -> Client {
    enter(broker, version, &Connect::new(fresh("guest"))).0
}

/// A new client of the shared broker with a clean session.
#[track_caller]
pub(crate) fn client(version: Version) -> Client {
    guest(aws_broker(), version)
}

/// A new client of the shared broker that is subscribed to `filter` at QoS 1.
#[track_caller]
pub(crate) fn reader(version: Version, filter: &str) -> Client {
    let mut client = client(version);
    assert_eq!(client.subscribe(filter, 1), 1);
    client
}

/// Sends a CONNECT to the shared broker that it refuses: CONNACK with this reason in MQTT 5, just the
/// end of the stream in 3.1.1.
#[track_caller]
pub(crate) fn refused(version: Version, connect: &Connect, reason: u8) {
    let mut client = Client::dial(aws_broker().mqtt(), version);
    client.send_connect(connect);
    client.expect_refusal(reason);
}

/// A fresh topic of this many bytes.
pub(crate) fn topic_of(length: usize) -> String {
    let stem = fresh("topic-");
    assert!(stem.len() <= length, "{stem} is too long");
    format!("{stem}{}", "x".repeat(length - stem.len()))
}

/// A fresh topic with this many slashes.
pub(crate) fn topic_with_slashes(count: usize) -> String {
    format!("{}{}", fresh("levels"), "/x".repeat(count))
}

/// User properties of this many bytes, names and values together.
pub(crate) fn user_properties_of(length: usize) -> [Prop; 2] {
    [
        user_property("first", "1"),
        user_property("n", "x".repeat(length - 7)),
    ]
}

/// Publishes what the shared broker refuses: at QoS 1 an MQTT 5 client gets a PUBACK with this reason
/// and stays; at QoS 0 it gets a DISCONNECT; MQTT 3.1.1 connections are closed without a word.
#[track_caller]
pub(crate) fn publish_refused(version: Version, message: &Publish, reason: u8) {
    let mut author = client(version);
    author.send(message.clone().qos(1, 7));
    if version == Version::V5 {
        assert_eq!(author.expect_puback(7), reason, "reason of PUBACK");
        author.expect_only_pingresp();
    } else {
        author.expect_closed();
    }
    let mut author = client(version);
    author.send(message);
    author.expect_error(reason);
}

/// Publishes what the shared broker refuses with the end of the connection, whatever the QoS.
#[track_caller]
pub(crate) fn publish_ends_connection(version: Version, message: &Publish, reason: u8) {
    for message in [message.clone(), message.clone().qos(1, 7)] {
        let mut author = client(version);
        author.send(message);
        author.expect_error(reason);
    }
}

/// Subscribes to what the shared broker refuses: SUBACK with this reason in MQTT 5, which leaves the
/// connection alone; the end of the stream in 3.1.1.
#[track_caller]
pub(crate) fn subscribe_refused(version: Version, filter: &str, reason: u8) {
    let mut client = client(version);
    if version == Version::V5 {
        assert_eq!(client.subscribe(filter, 1), reason, "{filter}");
        client.expect_only_pingresp();
    } else {
        client.send(Subscribe::new(1).filter(filter, 1));
        client.expect_closed();
    }
}
