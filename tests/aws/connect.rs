//! Who is let in, and whom a connection pushes out.

use crate::script::*;
use crate::support::*;

/// AWS-CONN-01 AWS-CONN-17 AWS-CONN-18
/// Client identifiers have up to 128 bytes, not characters.
#[test]
fn client_identifiers_have_up_to_128_bytes() {
    both(|version| {
        let stem = fresh("id-");
        let longest = format!("{stem}{}", "x".repeat(128 - stem.len()));
        enter(aws_broker(), version, &Connect::new(&longest));
        refused(version, &Connect::new(format!("{longest}x")), 0x85);
        refused(version, &Connect::new("ä".repeat(65)), 0x85);
    });
}

/// AWS-CONN-02
/// No client identifier starts with `$`.
#[test]
fn reserved_client_identifiers_are_refused() {
    both(|version| {
        refused(version, &Connect::new(fresh("$")), 0x85);
        enter(aws_broker(), version, &Connect::new(fresh("dollar$")));
    });
}

/// AWS-CONN-04
/// An assigned identifier cannot be used to connect again.
#[test]
fn assigned_client_identifiers_do_not_come_back() {
    let (first, _, props) = enter(
        aws_broker(),
        Version::V5,
        &Connect::new("").with(session_expiry(60)),
    );
    let assigned = props
        .text(ASSIGNED_CLIENT_IDENTIFIER)
        .expect("an identifier");
    first.disconnect();
    refused(Version::V5, &Connect::new(&assigned).resume(), 0x85);
    refused(Version::V3, &Connect::new(&assigned), 0x85);
}

/// AWS-CONN-31
/// A wildcard is a legal client identifier.
#[test]
fn wildcards_may_be_client_identifiers() {
    both(|version| {
        enter(aws_broker(), version, &Connect::new(fresh("+/#")));
    });
}

/// AWS-CONN-17
/// The level of a bridge is refused as an unknown version in the form that the client reads, MQTT 3.1.1
/// included, so that mosquitto goes on to the plain level.
#[test]
fn levels_of_a_bridge_are_refused_in_their_form() {
    both(|version| {
        let mut client = Client::dial(aws_broker().mqtt(), version);
        let mut bytes = Connect::new(fresh("bridge")).encode(version);
        bytes[8] |= 0x80;
        client.send(bytes);
        let refused = if version == Version::V5 { 0x84 } else { 1 };
        assert_eq!(client.expect_connack().1, refused);
        client.expect_closed();
        enter(aws_broker(), version, &Connect::new(fresh("bridge")));
    });
}

/// AWS-CONN-22 AWS-FAIL-11 AWS-CONN-17
/// A will has QoS 0 or 1.
#[test]
fn will_with_qos_2_is_refused() {
    both(|version| {
        let will = |qos| Connect::new(fresh("will")).will(Will::new("a", "x").qos(qos));
        refused(version, &will(2), 0x9B);
        enter(aws_broker(), version, &will(1));
    });
}

/// AWS-CONN-23
/// A will goes to a topic that the client could publish to.
#[test]
fn will_on_an_unacceptable_topic_is_refused() {
    let topics = [
        "$SYS/x".to_owned(),
        "$aws/unknown".to_owned(),
        "$share/group/a".to_owned(),
        topic_of(257),
        topic_with_slashes(8),
    ];
    both(|version| {
        for topic in &topics {
            let will = Will::new(topic, "x").qos(1);
            refused(version, &Connect::new(fresh("will")).will(will), 0x90);
        }
    });
}

/// AWS-CONN-29
/// A client takes packets of 512 bytes at least.
#[test]
fn clients_that_take_too_little_are_refused() {
    let connect = |size| Connect::new(fresh("small")).with(maximum_packet_size(size));
    refused(Version::V5, &connect(511), 0x97);
    enter(aws_broker(), Version::V5, &connect(512));
}

/// AWS-CONN-33
/// A CONNECT over the packet limit is dropped on its length alone, without CONNACK.
#[test]
fn oversized_connect_is_dropped() {
    both(|version| {
        let mut client = Client::dial(aws_broker().mqtt(), version);
        client.send([&[0x10][..], &varint(149_504 - 4 + 1)].concat());
        client.expect_closed();
    });
}

/// AWS-CONN-32
/// A session of one protocol version is not resumed with the other: the change ends it.
#[test]
fn protocol_change_ends_the_session() {
    for (first, second) in [(Version::V3, Version::V5), (Version::V5, Version::V3)] {
        let connect = Connect::new(fresh("changing")).durable();
        let topic = fresh("changing");
        let (mut client, ..) = enter(aws_broker(), first, &connect);
        client.subscribe(&topic, 1);
        client.disconnect();
        let (mut other, session_present, _) = enter(aws_broker(), second, &connect);
        assert!(!session_present);
        self::client(Version::V5).publish(&topic, "x", 1);
        other.expect_only_pingresp();
        other.disconnect();
        let (mut back, session_present, _) = enter(aws_broker(), first, &connect);
        assert!(!session_present);
        back.expect_only_pingresp();
    }
}

/// AWS-CONN-05 AWS-CONN-06 AWS-FAIL-14
/// The newer connection of a client wins; the older one is told 0x8E, and its will is published.
#[test]
fn newer_connection_takes_over() {
    for newer in [Version::V3, Version::V5] {
        both(|older| {
            let topic = fresh("will");
            let mut witness = reader(Version::V5, &topic);
            let id = fresh("twice");
            let connect = Connect::new(&id).will(Will::new(&topic, "gone").qos(1));
            let (mut first, ..) = enter(aws_broker(), older, &connect);
            let (mut second, ..) = enter(aws_broker(), newer, &Connect::new(&id));
            first.expect_error(0x8E);
            assert_eq!(witness.receive().text(), "gone");
            second.expect_only_pingresp();
        });
    }
}
