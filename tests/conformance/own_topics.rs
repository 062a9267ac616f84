//! `$SYS/`, where the broker tells how it does: section 4.7.2 of MQTT 5, which advises to keep clients
//! from publishing there and gives that advice no number.

use crate::support::*;

/// Topics of the broker's own: below `$SYS/`, `$SYS` itself (which `$SYS/#` matches), and what only
/// looks like the state of a bridge.
const OWN: [&str; 6] = [
    "$SYS/broker/clients/total",
    "$SYS/forged",
    "$SYS/",
    "$SYS",
    "$SYS/broker/connection/a/b/state",
    "$SYS/broker/connection/a/state/x",
];

/// A PUBLISH to a topic of the broker's own reaches nobody and is not retained, whatever its QoS. MQTT 5
/// says so by 0x87 where there is an acknowledgement; otherwise the client is answered as usual and goes
/// on.
#[test]
fn own_topics_are_closed_to_clients() {
    both(|version| {
        let refused = if version == Version::V5 { 0x87 } else { 0 };
        let mut reader = connect(version, &fresh("reader"));
        reader.subscribe("$SYS/#", 2);
        let mut author = connect(version, &fresh("author"));
        for topic in OWN {
            for qos in 0..3 {
                let message = Publish::new(topic, "forged").retain();
                let reason = author.publish_message(message, qos);
                assert_eq!(
                    reason,
                    if qos > 0 { refused } else { 0 },
                    "{topic} at {qos}"
                );
            }
        }
        let mut late = connect(version, &fresh("late"));
        late.subscribe("$SYS/#", 2);
        // The one that may be published is the sign that those before it would have come.
        let state = format!("$SYS/broker/connection/{}/state", fresh("bridge"));
        author.publish(&state, "1", 1);
        for reader in [&mut reader, &mut late] {
            let forged = std::iter::repeat_with(|| reader.receive())
                .take_while(|delivery| delivery.topic != state)
                .find(|delivery| delivery.text() == "forged");
            assert_eq!(forged, None);
        }
    });
}

/// 5:MQTT-4.3.3-9
/// A refused QoS 2 message leaves its identifier free, and in 3.1.1 its exchange goes to its end.
#[test]
fn refused_identifier_is_free() {
    both(|version| {
        let topic = fresh("free");
        let mut reader = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        author.send(Publish::new("$SYS/forged", "x").qos(2, 7));
        let reason = author.expect_pubrec(7);
        if version == Version::V3 {
            author.send(pubrel(7));
            author.expect_pubcomp(7);
        } else {
            assert_eq!(reason, 0x87);
        }
        author.send(Publish::new(&topic, "y").qos(2, 7));
        assert_eq!(author.expect_pubrec(7), 0);
        author.send(pubrel(7));
        author.expect_pubcomp(7);
        assert_eq!(reader.receive().text(), "y");
    });
}

/// The same holds where an alias stands for the topic, and the alias is bound all the same.
#[test]
fn alias_opens_no_own_topic() {
    let mut reader = connect5(&fresh("reader"));
    reader.subscribe("$SYS/forged/#", 2);
    let mut author = connect5(&fresh("author"));
    let bind = Publish::new("$SYS/forged/alias", "x").with(topic_alias(1));
    assert_eq!(author.publish_message(bind, 1), 0x87);
    for qos in [1, 2] {
        let message = Publish::new("", "x").with(topic_alias(1));
        assert_eq!(author.publish_message(message, qos), 0x87);
    }
    author.publish_message(Publish::new("", "x").with(topic_alias(1)), 0);
    reader.expect_only_pingresp();
}

/// A CONNECT whose will goes there is refused: 0x87, in 3.1.1 return code 5.
#[test]
fn will_on_an_own_topic_is_refused() {
    both(|version| {
        for topic in OWN {
            let will = Will::new(topic, "forged").qos(1).retain();
            let mut client = Client::dial(broker().mqtt(), version);
            client.send_connect(&Connect::new(fresh("will")).will(will));
            let refused = if version == Version::V5 { 0x87 } else { 5 };
            assert_eq!(client.expect_connack().1, refused, "{topic}");
            client.expect_closed();
        }
    });
}

/// A bridge puts its state there, retained, and its will says when it is gone.
#[test]
fn state_of_a_bridge_is_open() {
    both(|version| {
        let state = format!("$SYS/broker/connection/{}/state", fresh("bridge"));
        let will = Will::new(&state, "0").qos(1).retain();
        let (mut bridge, _) = open(version, &Connect::new(fresh("bridge")).will(will));
        bridge.retain(&state, "1", 1);
        let mut reader = connect(version, &fresh("reader"));
        reader.subscribe("$SYS/broker/connection/+/state", 1);
        let mut next = || {
            std::iter::repeat_with(|| reader.receive())
                .find(|delivery| delivery.topic == state)
                .expect("repeats for ever")
        };
        assert_eq!(next().text(), "1");
        bridge.vanish();
        assert_eq!(next().text(), "0");
        connect(version, &fresh("author")).retain(&state, "", 1);
    });
}

/// What the broker says of itself takes nobody's place among the retained messages, and a new
/// subscriber gets it however small that number is.
#[test]
fn own_topics_do_not_count_as_retained_messages() {
    let own = TestBroker::start_with_config(
        &["--profile", "standard"],
        "sys_interval = \"50ms\"\n[limits]\nretained = 2\n",
    );
    let connect = || {
        let mut client = Client::dial(own.mqtt(), Version::V5);
        client.send_connect(&Connect::new(fresh("client")));
        assert_eq!(client.expect_connack().1, 0);
        client
    };
    let mut author = connect();
    for (topic, reason) in [("a", 0x10), ("b", 0x10), ("c", 0x97), ("b", 0x10)] {
        let message = Publish::new(topic, "kept").retain();
        assert_eq!(author.publish_message(message, 1), reason, "{topic}");
    }
    let count = "$SYS/broker/retained messages/count";
    eventually("the broker counts two messages", || {
        let mut reader = connect();
        reader.subscribe(count, 0);
        let delivery = reader.expect_publish();
        // Retained: it was there before the subscription.
        delivery.retain && delivery.text() == "2"
    });
    let mut reader = connect();
    reader.subscribe("$SYS/#", 0);
    let mut topics: Vec<String> = (0..15).map(|_| reader.expect_publish().topic).collect();
    topics.sort_unstable();
    topics.dedup();
    assert_eq!(topics.len(), 15);
}
