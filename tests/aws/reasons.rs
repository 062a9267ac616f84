//! Reason Strings.

use crate::connack::is_uuid;
use crate::script::*;
use crate::support::*;

/// AWS-M5-12 AWS-M5-26
/// A Reason String has the form `PACKET:text:trace id`.
#[test]
fn reason_strings_name_packet_text_and_trace() {
    for (packet, props) in refusals(&[]) {
        let text = props.text(REASON_STRING).expect(packet);
        let (name, rest) = text.split_once(':').expect("a packet name");
        let (words, trace) = rest.rsplit_once(':').expect("a trace id");
        assert_eq!(name, packet);
        assert!(!words.is_empty(), "{text}");
        assert!(is_uuid(trace), "{text}");
    }
}

/// AWS-M5-13
/// Request Problem Information 0 leaves them out of every packet.
#[test]
fn reason_strings_are_left_out_on_request() {
    for (packet, props) in refusals(&[byte(REQUEST_PROBLEM_INFORMATION, 0)]) {
        assert!(!props.has(REASON_STRING), "{packet}: {props:?}");
        assert!(!props.has(USER_PROPERTY), "{packet}: {props:?}");
    }
}

/// AWS-M5-12 AWS-M5-13
/// So it is when the broker ends a connection of its own accord.
#[test]
fn reason_strings_of_a_full_queue_have_the_same_form() {
    let own = aws("on_overflow = \"disconnect\"\n[limits]\nin_flight = 1\nsession_queue = 2\n");
    let last_words = |wanted| {
        let connect = Connect::new(fresh("slow")).with(byte(REQUEST_PROBLEM_INFORMATION, wanted));
        let (mut slow, ..) = enter(&own, Version::V5, &connect);
        let topic = fresh("full");
        slow.subscribe(&topic, 1);
        let mut author = enter(&own, Version::V5, &Connect::new(fresh("author"))).0;
        for _ in 0..4 {
            author.publish(&topic, "x", 1);
        }
        slow.expect_publish();
        slow.expect_disconnect(0x97).text(REASON_STRING)
    };
    let text = last_words(1).expect("a reason string");
    let trace = text.strip_prefix("DISCONNECT:session queue is full:");
    assert!(trace.is_some_and(is_uuid), "{text}");
    assert_eq!(last_words(0), None);
}

/// AWS-M5-11 AWS-RC-01
/// There is none where nothing failed.
#[test]
fn success_has_no_reason_string() {
    let (mut client, _, props) = enter(aws_broker(), Version::V5, &Connect::new(fresh("fine")));
    assert!(!props.has(REASON_STRING));
    client.send(Subscribe::new(1).filter(fresh("a"), 1));
    client.send(Publish::new(fresh("b"), "x").qos(1, 2));
    client.send(Unsubscribe::new(3).filter("a"));
    for _ in 0..3 {
        match client.next_packet() {
            Packet::Ack { props, .. }
            | Packet::Suback { props, .. }
            | Packet::Unsuback { props, .. } => assert!(!props.has(REASON_STRING)),
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// A refusing packet of each kind, from connections that announce these properties.
fn refusals(announced: &[Prop]) -> Vec<(&'static str, Props)> {
    let connect = |id: &str| {
        let mut connect = Connect::new(id);
        connect.props.0.extend_from_slice(announced);
        connect
    };
    let fine = || enter(aws_broker(), Version::V5, &connect(&fresh("fine"))).0;

    let mut refused = Client::dial(aws_broker().mqtt(), Version::V5);
    refused.send_connect(&connect("$refused"));
    let (_, reason, connack) = refused.expect_connack();
    assert_eq!(reason, 0x85);

    let mut client = fine();
    client.send(Subscribe::new(1).filter("$SYS/#", 1));
    let Packet::Suback { props: suback, .. } = client.next_packet() else {
        panic!("SUBACK is the answer");
    };
    client.send(Publish::new("$SYS/x", "x").qos(1, 2));
    let Packet::Ack { props: puback, .. } = client.next_packet() else {
        panic!("PUBACK is the answer");
    };
    client.send(Publish::new("a", "x").qos(2, 3));
    let disconnect = client.expect_disconnect(0x9B);
    vec![
        ("CONNACK", connack),
        ("SUBACK", suback),
        ("PUBACK", puback),
        ("DISCONNECT", disconnect),
    ]
}
