//! Topics that start with `$`, and what wildcards match.

use crate::script::*;
use crate::support::*;

/// AWS-MQTT-16 AWS-MQTT-18 AWS-FAIL-08
/// Nobody publishes to a topic that starts with `$` and means nothing.
#[test]
fn publishing_to_reserved_topics_is_refused() {
    both(|version| {
        for topic in [
            "$SYS/x",
            "$share/group/a",
            "$aws/unknown",
            "$",
            "$any/thing",
        ] {
            publish_refused(version, &Publish::new(topic, "x"), 0x90);
        }
    });
}

/// AWS-RET-07
/// Nothing is retained there.
#[test]
fn retaining_on_reserved_topics_is_refused() {
    both(|version| publish_refused(version, &Publish::new("$any/thing", "x").retain(), 0x90));
}

/// AWS-MQTT-16 AWS-MQTT-17 AWS-FAIL-09
/// Nobody subscribes there: MQTT 3.1.1 is cut off, MQTT 5 is told 0x8F.
#[test]
fn subscribing_to_reserved_topics_is_refused() {
    both(|version| {
        for filter in [
            "$SYS/#",
            "$SYS/broker/load",
            "$aws/unknown",
            "$share/g/$SYS/#",
            "$/+",
        ] {
            subscribe_refused(version, filter, 0x8F);
        }
    });
}

/// AWS-MQTT-19
/// One bad filter of several is refused alone, in MQTT 5.
#[test]
fn bad_filter_does_not_harm_the_others() {
    let (first, last) = (fresh("first"), fresh("last"));
    let mut reader = client(Version::V5);
    let subscribe = Subscribe::new(4)
        .filter(&first, 1)
        .filter("$SYS/#", 1)
        .filter(topic_of(257), 0)
        .filter(&last, 0);
    reader.send(subscribe);
    assert_eq!(reader.expect_suback(4), [1, 0x8F, 0x8F, 0]);
    let mut author = client(Version::V5);
    author.publish(&first, "1", 1);
    author.publish(&last, "2", 1);
    assert_eq!(reader.receive_texts(2), ["1", "2"]);
}

/// AWS-FAIL-09 AWS-MQTT-16
/// In MQTT 3.1.1 it ends the connection before any of the others has an effect.
#[test]
fn bad_filter_ends_an_mqtt_3_connection_before_it_subscribes() {
    let topic = fresh("first");
    let durable = Connect::new(fresh("durable")).durable();
    let (mut reader, ..) = enter(aws_broker(), Version::V3, &durable);
    reader.send(Subscribe::new(1).filter(&topic, 1).filter("$SYS/#", 1));
    reader.expect_closed();
    client(Version::V3).publish(&topic, "x", 1);
    let (mut reader, session_present, _) = enter(aws_broker(), Version::V3, &durable);
    assert!(session_present);
    reader.expect_only_pingresp();
}

/// AWS-MQTT-12
/// `a/#` matches `a/` and what is below, not `a`, in shared subscriptions too.
#[test]
fn multi_level_wildcard_excludes_its_parent() {
    both(|version| {
        let topic = fresh("parent");
        let mut plain = reader(version, &format!("{topic}/#"));
        let mut shared = reader(version, &format!("$share/{}/{topic}/#", fresh("group")));
        let mut author = client(version);
        for (below, text) in [
            ("", "parent"),
            ("/", "slash"),
            ("/a", "child"),
            ("/a/b", "deep"),
        ] {
            author.publish(&format!("{topic}{below}"), text, 1);
        }
        for reader in [&mut plain, &mut shared] {
            assert_eq!(reader.receive_texts(3), ["slash", "child", "deep"]);
            reader.expect_only_pingresp();
        }
    });
}

/// AWS-MQTT-15
/// Topics are case-sensitive.
#[test]
fn topics_are_case_sensitive() {
    both(|version| {
        let topic = fresh("case");
        let mut reader = reader(version, &topic);
        let mut author = client(version);
        author.publish(&topic.to_uppercase(), "x", 1);
        author.publish(&topic, "y", 1);
        assert_eq!(reader.receive_texts(1), ["y"]);
    });
}
