//! Rates and resends: off by default, because they slow tests down, and there for whoever wants them.

use std::time::{Duration, Instant};

use crate::script::*;
use crate::support::*;

/// AWS-LIM-10 AWS-LIM-32
/// What exceeds `publish_rate` is discarded without an acknowledgement.
#[test]
fn messages_above_the_rate_are_discarded() {
    let own = aws("[limits]\npublish_rate = 3\n");
    both(|version| {
        let topic = fresh("rate");
        let mut reader = guest(&own, version);
        reader.subscribe(&topic, 1);
        let mut author = guest(&own, version);
        let burst = (1..=20).flat_map(|id| {
            Publish::new(&topic, id.to_string())
                .qos(1, id)
                .encode(version)
        });
        author.send(burst.collect::<Vec<u8>>());
        author.send(PINGREQ);
        let answers: Vec<Packet> = std::iter::repeat_with(|| author.next_packet())
            .take_while(|packet| !matches!(packet, Packet::Pingresp))
            .collect();
        // Three at once, and what a slow machine lets the rate refill meanwhile.
        assert!(
            (3..20).contains(&answers.len()),
            "{} are taken",
            answers.len()
        );
        assert_eq!(reader.receive_texts(3), ["1", "2", "3"]);
    });
}

/// AWS-LIM-10 AWS-M5-20
/// A discarded message has bound its topic alias all the same.
#[test]
fn message_above_the_rate_binds_its_topic_alias() {
    let own = aws("[limits]\npublish_rate = 1\n");
    let topic = fresh("rate");
    let mut author = guest(&own, Version::V5);
    let mut burst = Publish::new(fresh("first"), "x").encode(Version::V5);
    let bind = Publish::new(&topic, "x").with(topic_alias(1));
    burst.extend(bind.encode(Version::V5));
    author.send(burst);
    author.expect_only_pingresp();
    own.advance_all(Duration::from_secs(2));
    let repeat = Publish::new("", "x").with(topic_alias(1));
    assert_eq!(author.publish_message(repeat, 1), 0);
}

/// AWS-LIM-11
/// Above `byte_rate` reading waits, and nothing is lost.
#[test]
fn bytes_above_the_rate_wait() {
    let own = aws("[limits]\nbyte_rate = 20000\n");
    both(|version| {
        let mut author = guest(&own, version);
        let start = Instant::now();
        for _ in 0..4 {
            author.publish("a", "x".repeat(10_000), 1);
        }
        // A second's worth is free; the second half waits, but for the last message.
        assert!(
            start.elapsed() >= Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
    });
}

/// AWS-CONN-15
/// `connect_rate` is counted for each client identifier.
#[test]
fn connects_above_the_rate_are_refused() {
    both(|version| {
        let own = aws("[limits]\nconnect_rate = 1\n");
        let connect = Connect::new(fresh("hasty"));
        enter(&own, version, &connect).0.disconnect();
        let mut hasty = Client::dial(own.mqtt(), version);
        hasty.send_connect(&connect);
        hasty.expect_refusal(0x97);
        guest(&own, version).expect_only_pingresp();
        own.advance_all(Duration::from_secs(2));
        enter(&own, version, &connect);
    });
}

/// AWS-LIM-19
/// `retained_rate` is counted for each topic: what exceeds it is refused in the PUBACK of MQTT 5 and
/// discarded otherwise; it is neither kept nor delivered. Deleting is always possible.
#[test]
fn retained_messages_above_the_rate_are_refused() {
    both(|version| {
        let own = aws("[limits]\nretained_rate = 1\n");
        let topic = fresh("retained");
        let mut watcher = guest(&own, version);
        watcher.subscribe(&topic, 1);
        let mut author = guest(&own, version);
        author.retain(&topic, "first", 1);
        author.send(Publish::new(&topic, "second").retain().qos(1, 9));
        if version == Version::V5 {
            assert_eq!(author.expect_puback(9), 0x97);
        }
        author.retain(&topic, "third", 0);
        author.publish(&topic, "passing", 1);
        author.retain(&fresh("other"), "x", 1);
        assert_eq!(watcher.receive_texts(2), ["first", "passing"]);
        let mut late = guest(&own, version);
        late.subscribe(&topic, 1);
        assert_eq!(late.receive().text(), "first");
        author.retain(&topic, "", 1);
        assert_eq!(watcher.receive().text(), "");
        own.advance_all(Duration::from_secs(2));
        author.retain(&topic, "later", 1);
        assert_eq!(watcher.receive().text(), "later");
    });
}

/// AWS-LIM-19 AWS-M5-20
/// A topic that stands behind an alias counts as well.
#[test]
fn retained_rate_sees_through_aliases() {
    let own = aws("[limits]\nretained_rate = 1\n");
    let mut author = guest(&own, Version::V5);
    let message = |topic: &str| Publish::new(topic, "x").retain().with(topic_alias(1));
    assert_eq!(author.publish_message(message("a"), 1), 0);
    assert_eq!(author.publish_message(message(""), 1), 0x97);
}

/// AWS-MQTT-08 AWS-MQTT-06
/// With `resend_interval` an unacknowledged message comes again on the live connection, with the same
/// identifier and without DUP.
#[test]
fn unacknowledged_message_is_resent() {
    let own = aws("[limits]\nresend_interval = \"1s\"\n");
    both(|version| {
        let topic = fresh("resend");
        let mut reader = guest(&own, version);
        reader.subscribe(&topic, 1);
        guest(&own, version).publish(&topic, "x", 1);
        let first = reader.expect_publish();
        reader.expect_resend(&first);
        let again = reader.receive();
        assert_eq!(again, first);
        assert!(!again.dup);
        reader.expect_only_pingresp();
    });
}

/// AWS-MQTT-09
/// With `resend_period` the broker gives up, and the next message has the room.
#[test]
fn broker_gives_up_on_a_message() {
    let own = aws(
        "[limits]\nin_flight = 1\nresend_interval = \"1s\"\nresend_period = [\"1s\", \"1s\"]\n",
    );
    both(|version| {
        let topic = fresh("give-up");
        let mut reader = guest(&own, version);
        reader.subscribe(&topic, 1);
        let mut author = guest(&own, version);
        author.publish(&topic, "never acknowledged", 1);
        author.publish(&topic, "next", 1);
        let first = reader.expect_publish();
        reader.expect_resend(&first);
        assert_eq!(reader.receive().text(), "next");
    });
}
