//! Shared groups as the service describes them.

use crate::script::*;
use crate::support::*;

/// AWS-SHARE-01 AWS-CONN-30
/// Members of both versions share a group, and so do publishers.
#[test]
fn versions_share_a_group() {
    let group = Group::new();
    let mut old = group.join(Version::V3, 1);
    let mut new = group.join(Version::V5, 1);
    for (number, version) in [Version::V3, Version::V5, Version::V5, Version::V3]
        .into_iter()
        .enumerate()
    {
        client(version).publish(&group.topic, number.to_string(), 1);
    }
    assert_eq!(old.receive_texts(2), ["0", "2"]);
    assert_eq!(new.receive_texts(2), ["1", "3"]);
    old.expect_only_pingresp();
    new.expect_only_pingresp();
}

/// AWS-SHARE-02
/// A share name has 1 to 128 characters.
#[test]
fn share_names_have_up_to_128_characters() {
    both(|version| {
        for name in ["x".repeat(128), "ä".repeat(128)] {
            assert_eq!(client(version).subscribe(&format!("$share/{name}/a"), 1), 1);
        }
        for name in ["x".repeat(129), "ä".repeat(129)] {
            subscribe_refused(version, &format!("$share/{name}/a"), 0x8F);
        }
    });
}

/// AWS-SHARE-04 AWS-SHARE-05 AWS-SHARE-10
/// Each group that matches gets a copy, and so does each ordinary subscriber.
#[test]
fn every_matching_group_gets_a_copy() {
    both(|version| {
        let sports = fresh("sports");
        let topic = format!("{sports}/tennis");
        let (one, other) = (fresh("one"), fresh("other"));
        let filters = [
            format!("$share/{one}/{topic}"),
            format!("$share/{one}/{topic}/#"),
            format!("$share/{other}/{topic}"),
            format!("$share/{one}/{sports}/+"),
            topic.clone(),
        ];
        let mut readers = filters.map(|filter| reader(version, &filter));
        client(version).publish(&topic, "x", 1);
        for (at, reader) in readers.iter_mut().enumerate() {
            if at != 1 {
                assert_eq!(reader.receive().text(), "x");
            }
            reader.expect_only_pingresp();
        }
    });
}

/// AWS-SHARE-11 AWS-SHARE-16
/// A member that is offline is passed over and takes its turns again when it comes back.
#[test]
fn offline_member_is_passed_over() {
    both(|version| {
        let group = Group::new();
        let (durable, mut away) = group.join_durable(version);
        let mut online = group.join(version, 1);
        group.publish(0..2);
        assert_eq!(away.receive_texts(1), ["0"]);
        assert_eq!(online.receive_texts(1), ["1"]);
        away.disconnect();
        group.publish(2..5);
        assert_eq!(online.receive_texts(3), ["2", "3", "4"]);
        let (mut back, session_present, _) = enter(aws_broker(), version, &durable);
        assert!(session_present);
        back.expect_silence();
        group.publish(5..9);
        let got = (back.receive_texts(2), online.receive_texts(2));
        assert_eq!([got.0, got.1].concat().len(), 4);
        back.expect_silence();
        online.expect_only_pingresp();
    });
}

/// AWS-SHARE-12
/// Each member gets its own QoS.
#[test]
fn members_have_their_own_qos() {
    both(|version| {
        let group = Group::new();
        let mut members = [0, 1].map(|qos| group.join(version, qos));
        group.publish(0..4);
        for (qos, member) in (0..).zip(&mut members) {
            for _ in 0..2 {
                assert_eq!(member.receive().qos, qos);
            }
        }
    });
}

/// AWS-SHARE-13 AWS-SHARE-14 AWS-MQTT-06
/// What a member had not acknowledged when it dropped goes to another, without DUP; QoS 0 does not.
#[test]
fn unacknowledged_message_goes_to_another_member() {
    both(|version| {
        let group = Group::new();
        let mut dropping = group.join(version, 1);
        let mut other = group.join(version, 1);
        group.publish(0..2);
        client(version).publish(&group.topic, "qos 0", 0);
        assert_eq!(dropping.expect_publish().text(), "0");
        assert_eq!(other.receive_texts(1), ["1"]);
        dropping.vanish();
        let delivery = other.receive();
        assert_eq!((delivery.text(), delivery.dup), ("0", false));
        other.expect_only_pingresp();
    });
}

/// AWS-SHARE-24 AWS-OPEN-12
/// The same holds for a member whose session lives on.
#[test]
fn unacknowledged_message_of_a_persistent_member_moves_at_once() {
    both(|version| {
        let group = Group::new();
        let (durable, mut dropping) = group.join_durable(version);
        let mut other = group.join(version, 1);
        group.publish(0..1);
        dropping.expect_publish();
        dropping.vanish();
        assert_eq!(other.receive_texts(1), ["0"]);
        let (mut back, ..) = enter(aws_broker(), version, &durable);
        back.expect_only_pingresp();
    });
}

/// AWS-SHARE-15 AWS-SHARE-23
/// A group of clean sessions ends with them: nothing waits for the next member.
#[test]
fn group_without_persistent_members_keeps_nothing() {
    both(|version| {
        let group = Group::new();
        group.join(version, 1).disconnect();
        group.publish(0..2);
        group.join(version, 1).expect_only_pingresp();
    });
}

/// AWS-SHARE-15
/// A persistent member leaves by UNSUBSCRIBE.
#[test]
fn persistent_member_leaves_by_unsubscribe() {
    both(|version| {
        let group = Group::new();
        let (_, mut member) = group.join_durable(version);
        assert_eq!(member.unsubscribe(&group.subscription()), 0);
        member.disconnect();
        group.publish(0..2);
        group.join(version, 1).expect_only_pingresp();
    });
}

/// AWS-SHARE-16 AWS-SHARE-17 AWS-SHARE-14
/// With a persistent member QoS 1 waits while nobody is online, QoS 0 does not, and comes when it is
/// back.
#[test]
fn group_queues_for_a_persistent_member() {
    both(|version| {
        let group = Group::new();
        let (durable, member) = group.join_durable(version);
        member.disconnect();
        client(version).publish(&group.topic, "qos 0", 0);
        group.publish(0..3);
        let (mut member, ..) = enter(aws_broker(), version, &durable);
        assert_eq!(member.receive_texts(3), ["0", "1", "2"]);
        member.expect_only_pingresp();
    });
}

/// AWS-SHARE-19
/// What waits goes to whoever comes first: a new member with a clean session is enough.
#[test]
fn queue_drains_to_a_new_member() {
    both(|version| {
        let group = Group::new();
        let (durable, member) = group.join_durable(version);
        member.disconnect();
        group.publish(0..3);
        let mut new = group.join(version, 1);
        assert_eq!(new.receive_texts(3), ["0", "1", "2"]);
        let (mut member, ..) = enter(aws_broker(), version, &durable);
        member.expect_only_pingresp();
    });
}

/// AWS-SHARE-21 AWS-SESS-16
/// What waits expires by its Message Expiry Interval.
#[test]
fn waiting_messages_expire() {
    let own = aws("");
    both(|version| {
        let group = Group::at(&own);
        let (durable, member) = group.join_durable(version);
        member.disconnect();
        let message = Publish::new(&group.topic, "short").with(message_expiry(1));
        guest(&own, Version::V5).publish_message(message, 1);
        group.publish(0..1);
        own.advance(std::time::Duration::from_secs(2));
        let (mut member, ..) = enter(&own, version, &durable);
        assert_eq!(member.receive_texts(1), ["0"]);
        member.expect_only_pingresp();
    });
}

/// AWS-SHARE-21 AWS-SHARE-16
/// A persistent member whose session expires leaves the group; what waited for it is gone with it.
#[test]
fn expired_session_leaves_the_group() {
    let own = aws("");
    let group = Group::at(&own);
    let short = Connect::new(fresh("short"))
        .resume()
        .with(session_expiry(1));
    let (mut member, ..) = enter(&own, Version::V5, &short);
    member.subscribe(&group.subscription(), 1);
    member.disconnect();
    group.publish(0..1);
    own.advance(std::time::Duration::from_secs(2));
    group.join(Version::V5, 1).expect_only_pingresp();
}

/// AWS-SHARE-22 AWS-LIM-23
/// A full queue drops new messages and keeps the old.
#[test]
fn full_group_queue_drops_new_messages() {
    let own = aws("[limits]\ngroup_queue = 2\n");
    let durable = Connect::new("member").durable();
    let (mut member, ..) = enter(&own, Version::V5, &durable);
    member.subscribe("$share/g/a", 1);
    member.disconnect();
    let mut author = guest(&own, Version::V3);
    for text in ["1", "2", "3"] {
        author.publish("a", text, 1);
    }
    let (mut member, ..) = enter(&own, Version::V5, &durable);
    assert_eq!(member.receive_texts(2), ["1", "2"]);
    member.expect_only_pingresp();
}

/// A shared subscription of a fresh name to a fresh topic of the shared broker.
struct Group<'a> {
    broker: &'a TestBroker,
    name: String,
    topic: String,
}

impl Group<'static> {
    /// On the shared broker.
    fn new() -> Self {
        Self::at(aws_broker())
    }
}

impl<'a> Group<'a> {
    fn at(broker: &'a TestBroker) -> Self {
        Self {
            broker,
            name: fresh("group"),
            topic: fresh("shared"),
        }
    }

    fn subscription(&self) -> String {
        format!("$share/{}/{}", self.name, self.topic)
    }

    /// A new member with a clean session.
    fn join(&self, version: Version, qos: u8) -> Client {
        let mut member = guest(self.broker, version);
        assert_eq!(member.subscribe(&self.subscription(), qos), qos);
        member
    }

    /// A new member whose session outlives its connection, with the CONNECT that resumes it.
    fn join_durable(&self, version: Version) -> (Connect, Client) {
        let durable = Connect::new(fresh("durable")).durable();
        let (mut member, ..) = enter(self.broker, version, &durable);
        assert_eq!(member.subscribe(&self.subscription(), 1), 1);
        (durable, member)
    }

    /// Publishes these numbers at QoS 1.
    fn publish(&self, numbers: std::ops::Range<u32>) {
        let mut author = guest(self.broker, Version::V5);
        for number in numbers {
            author.publish(&self.topic, number.to_string(), 1);
        }
    }
}
