//! Retained messages.

use crate::script::*;
use crate::support::*;

/// AWS-RET-01 AWS-RET-03
/// A retained message is sent to a filter that is its topic, with RETAIN 1, and to no wildcard.
#[test]
fn retained_messages_are_for_exact_filters() {
    both(|version| {
        let (root, leaf) = (fresh("root"), fresh("leaf"));
        let topic = format!("{root}/{leaf}");
        client(version).retain(&topic, "kept", 1);
        for wildcard in [
            format!("{root}/+"),
            format!("{root}/#"),
            format!("+/{leaf}"),
        ] {
            reader(version, &wildcard).expect_only_pingresp();
        }
        let mut reader = reader(version, &topic);
        let delivery = reader.receive();
        assert_eq!(
            (delivery.text(), delivery.retain, delivery.qos),
            ("kept", true, 1)
        );
        reader.expect_only_pingresp();
        // Once more for the same filter, as in the standard.
        reader.subscribe(&topic, 0);
        let delivery = reader.receive();
        assert_eq!(
            (delivery.text(), delivery.retain, delivery.qos),
            ("kept", true, 0)
        );
    });
}

/// AWS-RET-02 AWS-RET-04
/// A shared subscription gets no retained message when it is made; live ones reach the group with
/// RETAIN 0.
#[test]
fn groups_get_live_messages_only() {
    both(|version| {
        let topic = fresh("retained");
        let mut author = client(version);
        author.retain(&topic, "before", 1);
        let mut member = reader(version, &format!("$share/{}/{topic}", fresh("group")));
        member.expect_only_pingresp();
        author.retain(&topic, "live", 1);
        let delivery = member.receive();
        assert_eq!((delivery.text(), delivery.retain), ("live", false));
        member.expect_only_pingresp();
    });
}

/// AWS-RET-04 AWS-RET-05
/// A subscriber that is there gets RETAIN 0; a newer message replaces the older, one without RETAIN
/// does not.
#[test]
fn newer_retained_message_replaces_the_older() {
    both(|version| {
        let topic = fresh("retained");
        let mut early = reader(version, &topic);
        let mut author = client(version);
        author.retain(&topic, "old", 1);
        author.retain(&topic, "new", 0);
        author.publish(&topic, "passing", 1);
        for text in ["old", "new", "passing"] {
            let delivery = early.receive();
            assert_eq!((delivery.text(), delivery.retain), (text, false));
        }
        let mut late = reader(version, &topic);
        let delivery = late.receive();
        assert_eq!((delivery.text(), delivery.retain), ("new", true));
        late.expect_only_pingresp();
    });
}

/// AWS-RET-06
/// An empty payload deletes the retained message and is delivered like any other.
#[test]
fn empty_payload_deletes() {
    both(|version| {
        let topic = fresh("retained");
        let mut author = client(version);
        author.retain(&topic, "kept", 1);
        let mut early = reader(version, &topic);
        early.receive();
        author.retain(&topic, "", 1);
        let delivery = early.receive();
        assert_eq!((delivery.text(), delivery.retain), ("", false));
        reader(version, &topic).expect_only_pingresp();
    });
}

/// AWS-RET-08
/// A retained message lives as long as its Message Expiry Interval.
#[test]
fn retained_message_expires() {
    let own = aws("");
    let topic = fresh("retained");
    let message = Publish::new(&topic, "short")
        .retain()
        .with(message_expiry(1));
    guest(&own, Version::V5).publish_message(message, 1);
    own.advance(std::time::Duration::from_secs(2));
    both(|version| {
        let mut late = guest(&own, version);
        late.subscribe(&topic, 1);
        late.expect_only_pingresp();
    });
}

/// AWS-RET-09
/// Over the limit a message is delivered and not retained, with 0x97 in PUBACK; deleting and
/// replacing still work.
#[test]
fn full_store_refuses_new_topics() {
    let own = aws("[limits]\nretained = 1\n");
    let mut watcher = guest(&own, Version::V5);
    watcher.subscribe("#", 1);
    let mut author = guest(&own, Version::V5);
    let retain = |topic: &str, payload: &str| Publish::new(topic, payload).retain();
    assert_eq!(author.publish_message(retain("first", "1"), 1), 0);
    assert_eq!(author.publish_message(retain("second", "2"), 1), 0x97);
    assert_eq!(author.publish_message(retain("first", "3"), 1), 0);
    assert_eq!(author.publish_message(retain("first", ""), 1), 0);
    assert_eq!(author.publish_message(retain("second", "4"), 1), 0);
    assert_eq!(watcher.receive_texts(5), ["1", "2", "3", "", "4"]);
}

/// AWS-RET-12
/// A will with RETAIN is retained.
#[test]
fn retained_will_is_kept() {
    both(|version| {
        let topic = fresh("will");
        let will = Will::new(&topic, "gone").qos(1).retain();
        let (client, ..) = enter(
            aws_broker(),
            version,
            &Connect::new(fresh("will")).will(will),
        );
        client.vanish();
        let delivery = reader(version, &topic).receive();
        assert_eq!((delivery.text(), delivery.retain), ("gone", true));
    });
}
