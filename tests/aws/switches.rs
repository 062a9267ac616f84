//! Every deviation from the standard is a switch of its own: turned off, the standard is back.

use crate::script::*;
use crate::support::*;

/// AWS-MQTT-01 AWS-MQTT-02 AWS-MQTT-03 AWS-MQTT-04 AWS-CONN-22 AWS-M5-02
#[test]
fn refuse_qos2_off_brings_qos_2_back() {
    let own = without("refuse_qos2");
    both(|version| {
        let topic = fresh("qos2");
        let connect = Connect::new(fresh("qos2")).will(Will::new(&topic, "will").qos(2));
        let (mut client, _, props) = enter(&own, version, &connect);
        assert!(!props.has(MAXIMUM_QOS));
        let mut reader = guest(&own, version);
        assert_eq!(reader.subscribe(&topic, 2), 2);
        client.publish(&topic, "x", 2);
        client.vanish();
        for text in ["x", "will"] {
            let delivery = reader.receive();
            assert_eq!((delivery.text(), delivery.qos), (text, 2));
        }
    });
}

/// AWS-MQTT-26 AWS-M5-07
#[test]
fn refuse_subscription_identifiers_off_brings_them_back() {
    let own = without("refuse_subscription_identifiers");
    let (mut reader, _, props) = enter(&own, Version::V5, &Connect::new("reader"));
    assert_eq!(props.number(SUBSCRIPTION_IDENTIFIERS_AVAILABLE), Some(1));
    let subscribe = Subscribe::new(1)
        .filter("a", 1)
        .with(subscription_identifier(7));
    assert_eq!(reader.subscribe_with(&subscribe, 1), 1);
    guest(&own, Version::V3).publish("a", "x", 1);
    assert_eq!(reader.receive().props.subscription_identifiers(), [7]);
}

/// AWS-MQTT-16 AWS-FAIL-08 AWS-FAIL-09 AWS-RET-07
/// Retained messages there have a switch of their own.
#[test]
fn refuse_reserved_topics_off_opens_reserved_topics() {
    let own = without("refuse_reserved_topics");
    both(|version| {
        let topic = format!("$own/{}", fresh("topic"));
        let mut reader = guest(&own, version);
        assert_eq!(reader.subscribe("$own/+", 1), 1);
        guest(&own, version).publish(&topic, "x", 1);
        eventually("its message arrives", || reader.receive().topic == topic);
        let mut author = guest(&own, version);
        author.send(Publish::new(&topic, "kept").retain());
        author.expect_error(0x90);
    });
}

/// AWS-RET-07
#[test]
fn refuse_reserved_retain_off_retains_there() {
    let own = aws("[aws]\nrefuse_reserved_topics = false\nrefuse_reserved_retain = false\n");
    both(|version| {
        let topic = format!("$own/{}", fresh("topic"));
        guest(&own, version).retain(&topic, "kept", 1);
        let mut reader = guest(&own, version);
        reader.subscribe(&topic, 1);
        assert_eq!(reader.receive().text(), "kept");
    });
}

/// AWS-CONN-02 AWS-CONN-04
#[test]
fn refuse_reserved_client_ids_off_lets_them_in() {
    let own = without("refuse_reserved_client_ids");
    both(|version| {
        enter(&own, version, &Connect::new(fresh("$own")));
    });
    let (client, _, props) = enter(
        &own,
        Version::V5,
        &Connect::new("").with(session_expiry(60)),
    );
    let assigned = props
        .text(ASSIGNED_CLIENT_IDENTIFIER)
        .expect("an identifier");
    client.disconnect();
    let (_, session_present, _) = enter(&own, Version::V5, &Connect::new(assigned).resume());
    assert!(session_present);
}

/// AWS-RET-01
#[test]
fn retained_exact_only_off_serves_wildcards() {
    let own = without("retained_exact_only");
    both(|version| {
        let topic = fresh("retained");
        guest(&own, version).retain(&format!("{topic}/a"), "kept", 1);
        let mut reader = guest(&own, version);
        reader.subscribe(&format!("{topic}/+"), 1);
        assert_eq!(reader.receive().text(), "kept");
    });
}

/// AWS-MQTT-12
#[test]
fn hash_excludes_parent_off_matches_the_parent() {
    let own = without("hash_excludes_parent");
    both(|version| {
        let topic = fresh("parent");
        let mut reader = guest(&own, version);
        reader.subscribe(&format!("{topic}/#"), 1);
        guest(&own, version).publish(&topic, "x", 1);
        assert_eq!(reader.receive().topic, topic);
    });
}

/// AWS-MQTT-06
#[test]
fn never_dup_off_sets_dup() {
    let own = without("never_dup");
    both(|version| {
        let topic = fresh("dup");
        let durable = Connect::new(fresh("durable")).durable();
        let (mut client, ..) = enter(&own, version, &durable);
        client.subscribe(&topic, 1);
        guest(&own, version).publish(&topic, "x", 1);
        assert!(!client.expect_publish().dup);
        client.vanish();
        assert!(enter(&own, version, &durable).0.expect_publish().dup);
    });
}

/// AWS-CONN-32
#[test]
fn protocol_change_ends_session_off_resumes_it() {
    let own = without("protocol_change_ends_session");
    let durable = Connect::new("changing").durable();
    enter(&own, Version::V3, &durable).0.disconnect();
    let (client, session_present, _) = enter(&own, Version::V5, &durable);
    assert!(session_present);
    client.disconnect();
    let (_, session_present, _) = enter(&own, Version::V3, &durable);
    assert!(session_present);
}

/// AWS-M5-03 AWS-M5-06 AWS-M5-08 AWS-M5-09
#[test]
fn announce_all_off_states_what_differs() {
    let own = without("announce_all");
    let connect = |keep_alive| Connect::new("asks").keep_alive(keep_alive);
    let (_, _, props) = enter(&own, Version::V5, &connect(60).with(session_expiry(60)));
    for id in [
        RETAIN_AVAILABLE,
        WILDCARD_SUBSCRIPTION_AVAILABLE,
        SHARED_SUBSCRIPTION_AVAILABLE,
        SESSION_EXPIRY_INTERVAL,
        SERVER_KEEP_ALIVE,
    ] {
        assert!(!props.has(id), "property {id:#04x}");
    }
    assert_eq!(props.number(RECEIVE_MAXIMUM), Some(100));
    let (_, _, props) = enter(&own, Version::V5, &connect(0).with(session_expiry(4000)));
    assert_eq!(props.number(SERVER_KEEP_ALIVE), Some(1200));
    assert_eq!(props.number(SESSION_EXPIRY_INTERVAL), Some(3600));
}

/// AWS-RC-05 AWS-RC-06
#[test]
fn plain_acks_off_tells_more() {
    let own = without("plain_acks");
    let mut client = guest(&own, Version::V5);
    assert_eq!(client.publish_message(Publish::new("nobody", "x"), 1), 0x10);
    assert_eq!(client.unsubscribe("nothing"), 0x11);
}

/// AWS-CONN-17 AWS-FAIL-07 AWS-FAIL-09
#[test]
fn close_on_refusal_v3_off_answers_mqtt_3() {
    let own = without("close_on_refusal_v3");
    let mut refused = Client::dial(own.mqtt(), Version::V3);
    refused.send_connect(&Connect::new("$refused"));
    assert_eq!(refused.expect_connack().1, 2);
    refused.expect_closed();
    let mut client = guest(&own, Version::V3);
    assert_eq!(client.subscribe("$SYS/#", 1), 0x80);
    assert_eq!(client.subscribe(&topic_with_slashes(8), 1), 0x80);
    client.expect_only_pingresp();
}

/// AWS-CONN-03
#[test]
fn generated_client_ids_off_assigns_plain_ones() {
    let own = without("generated_client_ids");
    let (client, _, props) = enter(
        &own,
        Version::V5,
        &Connect::new("").with(session_expiry(60)),
    );
    let assigned = props
        .text(ASSIGNED_CLIENT_IDENTIFIER)
        .expect("an identifier");
    assert!(!assigned.starts_with('$'), "{assigned}");
    client.disconnect();
    let (_, session_present, _) = enter(&own, Version::V5, &Connect::new(assigned).resume());
    assert!(session_present, "such an identifier can come back");
}

/// AWS-M5-12
#[test]
fn traced_reason_strings_off_leaves_the_words() {
    let own = without("traced_reason_strings");
    let mut client = guest(&own, Version::V5);
    client.send(Publish::new("a", "x").qos(2, 1));
    let text = client.expect_disconnect(0x9B).text(REASON_STRING);
    assert_eq!(text.as_deref(), Some("qos 2 is not supported"));
}

/// AWS-LIM-01 AWS-LIM-04 AWS-LIM-05 AWS-LIM-07 AWS-LIM-16 AWS-LIM-17 AWS-LIM-18 AWS-CONN-01
/// AWS-CONN-07 AWS-CONN-29 AWS-SESS-04
/// So are the limits.
#[test]
fn limits_can_be_turned_off() {
    let own = aws(concat!(
        "[limits]\n",
        "packet_size = \"1MiB\"\n",
        "topic_length = 65535\n",
        "payload_size = \"off\"\n",
        "topic_slashes = \"off\"\n",
        "filters_per_packet = \"off\"\n",
        "client_id_length = \"off\"\n",
        "user_properties_size = \"off\"\n",
        "content_type_length = \"off\"\n",
        "keep_alive = \"off\"\n",
        "session_expiry = \"off\"\n",
        "message_expiry = \"off\"\n",
        "client_packet_size_min = \"off\"\n",
    ));
    let asked = Connect::new("x".repeat(200))
        .with(session_expiry(100_000))
        .with(maximum_packet_size(300_000));
    let (mut client, _, props) = enter(&own, Version::V5, &asked);
    assert_eq!(props.number(SESSION_EXPIRY_INTERVAL), Some(100_000));
    assert_eq!(props.number(SERVER_KEEP_ALIVE), Some(0));
    let filters = (0..9).fold(Subscribe::new(1), |subscribe, number| {
        subscribe.filter(format!("{number}/2/3/4/5/6/7/8/9/#"), 1)
    });
    client.send(filters);
    assert_eq!(client.expect_suback(1), [1; 9]);
    let topic = format!("0/2/3/4/5/6/7/8/9/{}", "x".repeat(300));
    let [first, second] = user_properties_of(9000);
    let message = Publish::new(&topic, "x".repeat(200_000))
        .with(first)
        .with(second)
        .with(bytes(CONTENT_TYPE, "x".repeat(300)))
        .with(message_expiry(1_000_000));
    assert_eq!(client.publish_message(message, 1), 0);
    let delivery = client.receive();
    assert_eq!((delivery.topic, delivery.payload.len()), (topic, 200_000));
    assert_eq!(
        delivery.props.number(MESSAGE_EXPIRY_INTERVAL),
        Some(1_000_000)
    );
}

/// AWS-CONN-17
#[test]
fn refuse_bridge_levels_off_lets_bridges_in() {
    let own = without("refuse_bridge_levels");
    both(|version| {
        let topic = fresh("bridge");
        let mut client = Client::dial(own.mqtt(), version);
        let mut bytes = Connect::new(fresh("bridge")).encode(version);
        bytes[8] |= 0x80;
        client.send(bytes);
        assert_eq!(client.expect_connack().1, 0);
        client.subscribe(&topic, 1);
        client.publish(&topic, "own", 1);
        guest(&own, version).publish(&topic, "other", 1);
        assert_eq!(client.receive().text(), "other");
    });
}

/// A broker of profile `aws` with this switch of `[aws]` off.
fn without(switch: &str) -> TestBroker {
    aws(&format!("[aws]\n{switch} = false\n"))
}
