//! Retained messages: section 3.3.1.3 and the Retain options of section 3.8.3.1.

use crate::support::*;

/// 5:MQTT-3.3.1-5 3:MQTT-3.3.1-5 3:MQTT-3.3.1-8
/// A retained message is kept with its QoS and comes to new subscribers with RETAIN 1.
#[test]
fn retained_message_is_kept_with_its_qos() {
    both(|version| {
        for qos in [0, 1, 2] {
            let topic = fresh("kept");
            connect(version, &fresh("author")).retain(&topic, "x", qos);
            let delivery = watcher(version, &topic).receive();
            assert_eq!(
                (delivery.text(), delivery.qos, delivery.retain),
                ("x", qos, true)
            );
        }
    });
}

/// 5:MQTT-3.3.1-5 3:MQTT-3.3.1-6 3:MQTT-3.3.1-7
/// The last retained message of a topic is the one that counts, whatever its QoS.
#[test]
fn newer_retained_message_replaces_the_older() {
    both(|version| {
        let root = fresh("replaced");
        let mut author = connect(version, &fresh("author"));
        author.retain(&format!("{root}/1"), "A", 1);
        author.retain(&format!("{root}/1"), "B", 0);
        author.retain(&format!("{root}/2"), "C", 2);
        let mut watcher = watcher(version, &format!("{root}/+"));
        let mut texts = watcher.receive_texts(2);
        texts.sort();
        assert_eq!(texts, ["B", "C"]);
        watcher.expect_only_pingresp();
    });
}

/// 5:MQTT-3.3.1-6 3:MQTT-3.3.1-10
/// An empty retained message is delivered as usual and removes what was kept.
#[test]
fn empty_retained_message_removes_the_kept_one() {
    both(|version| {
        let topic = fresh("removed");
        let mut author = connect(version, &fresh("author"));
        author.retain(&topic, "x", 1);
        let mut live = watcher(version, &topic);
        assert_eq!(live.receive().text(), "x");
        author.retain(&topic, "", 1);
        let delivery = live.receive();
        assert_eq!((delivery.text(), delivery.retain), ("", false));
        watcher(version, &topic).expect_only_pingresp();
    });
}

/// 5:MQTT-3.3.1-7 3:MQTT-3.3.1-11
/// An empty message is not kept.
#[test]
fn empty_message_is_not_kept() {
    both(|version| {
        let topic = fresh("empty");
        connect(version, &fresh("author")).retain(&topic, "", 1);
        watcher(version, &topic).expect_only_pingresp();
    });
}

/// 5:MQTT-3.3.1-8 3:MQTT-3.3.1-12
/// Messages without RETAIN are not kept and change nothing that is.
#[test]
fn plain_messages_do_not_touch_the_kept_one() {
    both(|version| {
        let topic = fresh("untouched");
        let mut author = connect(version, &fresh("author"));
        author.publish(&topic, "before", 1);
        watcher(version, &topic).expect_only_pingresp();
        author.retain(&topic, "kept", 1);
        author.publish(&topic, "after", 1);
        author.publish(&topic, "", 1);
        let mut watcher = watcher(version, &topic);
        assert_eq!(watcher.receive().text(), "kept");
        watcher.expect_only_pingresp();
    });
}

/// 5:MQTT-3.3.1-9 3:MQTT-3.8.4-3
/// With Retain Handling 0 every SUBSCRIBE brings the retained messages.
#[test]
fn every_subscribe_brings_retained_messages() {
    both(|version| {
        let root = fresh("every");
        let mut author = connect(version, &fresh("author"));
        author.retain(&format!("{root}/1"), "1", 1);
        author.retain(&format!("{root}/2"), "2", 1);
        let mut reader = connect(version, &fresh("reader"));
        for filter in [
            format!("{root}/1"),
            format!("{root}/1"),
            format!("{root}/#"),
        ] {
            reader.subscribe(&filter, 1);
            let mut texts = vec![reader.receive().text().to_owned()];
            if filter.ends_with('#') {
                texts.push(reader.receive().text().to_owned());
                texts.sort();
                assert_eq!(texts, ["1", "2"]);
            } else {
                assert_eq!(texts, ["1"]);
            }
            reader.expect_only_pingresp();
        }
    });
}

/// 5:MQTT-3.3.1-10
/// With Retain Handling 1 they come only if the subscription is new.
#[test]
fn retain_handling_1_is_for_new_subscriptions() {
    let (id, topic) = (fresh("reader"), fresh("new"));
    connect5(&fresh("author")).retain(&topic, "x", 1);
    let (mut reader, _) = open(Version::V5, &Connect::new(&id).durable());
    let options = 1 | Subscribe::RETAIN_IF_NEW;
    reader.subscribe(&topic, options);
    assert_eq!(reader.receive().text(), "x");
    reader.subscribe(&topic, options);
    reader.expect_only_pingresp();
    reader.vanish();
    let (mut reader, _) = open(Version::V5, &Connect::new(&id).durable());
    reader.subscribe(&topic, options);
    reader.expect_only_pingresp();
    reader.unsubscribe(&topic);
    reader.subscribe(&topic, options);
    assert_eq!(reader.receive().text(), "x");
}

/// 5:MQTT-3.3.1-11
/// With Retain Handling 2 they do not come.
#[test]
fn retain_handling_2_brings_none() {
    let topic = fresh("none");
    let mut author = connect5(&fresh("author"));
    author.retain(&topic, "x", 1);
    let mut reader = connect5(&fresh("reader"));
    for _ in 0..2 {
        reader.subscribe(&topic, 1 | Subscribe::RETAIN_NEVER);
        reader.expect_only_pingresp();
    }
    author.publish(&topic, "live", 1);
    assert_eq!(reader.receive().text(), "live");
}

/// 5:MQTT-3.3.1-12 3:MQTT-3.3.1-9
/// Without Retain As Published live messages come with RETAIN 0.
#[test]
fn live_messages_have_retain_0() {
    both(|version| {
        let topic = fresh("live");
        let mut reader = watcher(version, &topic);
        let mut author = connect(version, &fresh("author"));
        for qos in [0, 1, 2] {
            author.retain(&topic, "x", qos);
            assert!(!reader.receive().retain);
        }
        reader.subscribe(&topic, 2);
        assert!(reader.receive().retain, "what was kept still has RETAIN 1");
    });
}

/// 5:MQTT-3.3.1-13
/// With Retain As Published live messages keep their RETAIN flag.
#[test]
fn retain_as_published_keeps_the_flag() {
    let topic = fresh("flag");
    let mut reader = connect5(&fresh("reader"));
    reader.subscribe(&topic, 2 | Subscribe::RETAIN_AS_PUBLISHED);
    let mut author = connect5(&fresh("author"));
    for qos in [0, 1, 2] {
        author.retain(&topic, "x", qos);
        assert!(reader.receive().retain);
        author.publish(&topic, "x", qos);
        assert!(!reader.receive().retain);
    }
}

/// 3:MQTT-3.3.1-9 5:MQTT-3.3.1-13
/// A subscription that was made with Retain As Published in MQTT 5 brings live messages with RETAIN 0 over MQTT 3.1.1, and
/// with 1 again over MQTT 5; those that waited too. What was retained has 1.
#[test]
fn retain_as_published_is_for_mqtt_5() {
    for share in ["", "$share/group/"] {
        let (id, topic) = (fresh("reader"), fresh("flag"));
        let (mut reader, _) = open(Version::V5, &Connect::new(&id).durable());
        let filter = format!("{share}{topic}");
        reader.subscribe(&filter, 2 | Subscribe::RETAIN_AS_PUBLISHED);
        reader.disconnect();
        let mut author = connect5(&fresh("author"));
        let kept = fresh("kept");
        author.retain(&kept, "x", 1);
        for (version, expected) in [(Version::V3, false), (Version::V5, true)] {
            author.retain(&topic, "waited", 1);
            let (mut reader, _) = open(version, &Connect::new(&id).durable());
            for qos in [0, 1, 2] {
                author.retain(&topic, "live", qos);
            }
            for text in ["waited", "live", "live", "live"] {
                let delivery = reader.receive();
                assert_eq!((delivery.text(), delivery.retain), (text, expected));
            }
            reader.subscribe(&kept, 1);
            assert!(reader.receive().retain, "{version:?}");
            reader.disconnect();
        }
    }
}

/// Retained messages carry the identifier of the subscription that brought them.
#[test]
fn retained_messages_carry_the_subscription_identifier() {
    let topic = fresh("identified");
    connect5(&fresh("author")).retain(&topic, "x", 1);
    let mut reader = connect5(&fresh("reader"));
    reader.subscribe(&topic, 1);
    reader.receive();
    let subscribe = Subscribe::new(5)
        .filter(format!("{topic}/#"), 1)
        .with(subscription_identifier(7));
    assert_eq!(reader.subscribe_with(&subscribe, 5), 1);
    assert_eq!(reader.receive().props.subscription_identifiers(), [7]);
}

/// 5:MQTT-4.7.2-1 3:MQTT-4.7.2-1
/// Leading wildcards do not bring retained messages of topics that begin with $.
#[test]
fn leading_wildcards_bring_no_retained_dollar_topics() {
    both(|version| {
        let name = fresh("dollar");
        let mut author = connect(version, &fresh("author"));
        author.retain(&format!("$kept/{name}"), "x", 1);
        let mut reader = connect(version, &fresh("reader"));
        reader.subscribe(&format!("+/{name}"), 1);
        reader.expect_only_pingresp();
        reader.subscribe(&format!("$kept/{name}"), 1);
        assert_eq!(reader.receive().text(), "x");
        author.retain(&format!("$kept/{name}"), "", 1);
    });
}

/// Many retained messages all come, through a small window too.
#[test]
fn many_retained_messages_come_through_a_small_window() {
    let root = fresh("many");
    let mut author = connect5(&fresh("author"));
    for number in 0..300_u16 {
        let message = Publish::new(format!("{root}/{number}"), number.to_string()).retain();
        author.send(message.qos(1, number + 1));
    }
    for number in 0..300 {
        author.expect_puback(number + 1);
    }
    let (mut reader, _) = open(
        Version::V5,
        &Connect::new(fresh("reader")).with(receive_maximum(3)),
    );
    reader.subscribe(&format!("{root}/#"), 1);
    let mut numbers: Vec<u16> = reader
        .receive_texts(300)
        .iter()
        .map(|text| text.parse().expect("a number"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    reader.expect_only_pingresp();
}
