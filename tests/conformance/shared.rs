//! Shared subscriptions: section 4.8.2 of MQTT 5, and the stricter rules Roundel keeps.
//!
//! Roundel promises more than the standard: exact round robin in join order over the members that can
//! take a message, and QoS 1 that moves on when a member's connection ends before its PUBACK.

use std::{collections::HashMap, thread, time::Duration};

use crate::support::*;

/// Messages go round the members in the order in which they joined.
#[test]
fn members_take_turns_in_join_order() {
    both(|version| {
        for qos in [0, 1, 2] {
            let group = Group::new();
            let mut members = [(); 3].map(|()| group.join(version, 2));
            group.publish(version, 9, qos);
            for (at, member) in members.iter_mut().enumerate() {
                assert_eq!(
                    member.receive_texts(3),
                    [at, at + 3, at + 6].map(|n| n.to_string())
                );
                member.expect_only_pingresp();
            }
        }
    });
}

/// Any n consecutive messages go to n different members, however many publishers there are.
#[test]
fn concurrent_publishers_keep_the_shares_equal() {
    let group = Group::new();
    let mut members = [(); 3].map(|()| group.join(Version::V5, 1));
    let (publishers, messages) = (4, 150);
    thread::scope(|scope| {
        for _ in 0..publishers {
            scope.spawn(|| group.publish(Version::V5, messages, 1));
        }
    });
    for member in &mut members {
        member.receive_texts(publishers * messages / 3);
        member.expect_only_pingresp();
    }
}

/// The ShareName and the filter together name the group: other names and filters have turns of their
/// own, and plain subscribers get every message.
#[test]
fn every_group_and_every_plain_subscriber_gets_its_copy() {
    let group = Group::new();
    let other_name = Group {
        broker: broker(),
        name: fresh("other"),
        ..group.clone()
    };
    let other_filter = Group {
        broker: broker(),
        filter: format!("{}/#", group.filter),
        ..group.clone()
    };
    let mut plain = watcher(Version::V5, &group.filter);
    let mut pairs = [&group, &other_name, &other_filter]
        .map(|group| [group.join(Version::V5, 1), group.join(Version::V3, 1)]);
    group.publish(Version::V5, 4, 1);
    assert_eq!(plain.receive_texts(4), ["0", "1", "2", "3"]);
    for [first, second] in &mut pairs {
        assert_eq!(first.receive_texts(2), ["0", "2"]);
        assert_eq!(second.receive_texts(2), ["1", "3"]);
        first.expect_only_pingresp();
        second.expect_only_pingresp();
    }
}

/// A client gets its own copy through a plain subscription and its turn through a group.
#[test]
fn plain_and_shared_subscriptions_of_a_client_are_apart() {
    let group = Group::new();
    let mut both_ways = group.join(Version::V5, 1);
    both_ways.subscribe(&group.filter, 1);
    let mut second = group.join(Version::V5, 1);
    group.publish(Version::V5, 2, 1);
    let mut texts = both_ways.receive_texts(3);
    texts.sort();
    assert_eq!(texts, ["0", "0", "1"]);
    assert_eq!(second.receive_texts(1), ["1"]);
}

/// A publisher that is a member takes its turn.
#[test]
fn publisher_takes_its_turn() {
    let group = Group::new();
    let mut author = group.join(Version::V5, 1);
    let mut other = group.join(Version::V5, 1);
    for number in 0..4 {
        author.publish(&group.filter, number.to_string(), 1);
    }
    assert_eq!(author.receive_texts(2), ["0", "2"]);
    assert_eq!(other.receive_texts(2), ["1", "3"]);
}

/// Subscribing again changes the options of a member and not its place.
#[test]
fn subscribing_again_keeps_the_place() {
    let group = Group::new();
    let mut members = [(); 3].map(|()| group.join(Version::V5, 1));
    group.publish(Version::V5, 1, 1);
    assert_eq!(members[0].receive_texts(1), ["0"]);
    assert_eq!(members[1].subscribe(&group.subscription(), 0), 0);
    group.publish(Version::V5, 3, 1);
    for (member, (text, qos)) in [(1, ("0", 0)), (2, ("1", 1)), (0, ("2", 1))] {
        let delivery = members[member].receive();
        assert_eq!((delivery.text(), delivery.qos), (text, qos));
    }
}

/// Nobody is skipped or served twice when a member leaves, whether its place is before, at or behind
/// the cursor.
#[test]
fn leaving_member_moves_nobody() {
    for leaver in 0..4 {
        let group = Group::new();
        let mut members: Vec<Client> = (0..4).map(|_| group.join(Version::V5, 1)).collect();
        group.publish(Version::V5, 2, 1);
        members[0].receive();
        members[1].receive();
        assert_eq!(members[leaver].unsubscribe(&group.subscription()), 0);
        // The turn is the third member's; those that stay follow in order.
        let turns: Vec<usize> = [2, 3, 0, 1]
            .into_iter()
            .filter(|member| *member != leaver)
            .collect();
        group.publish(Version::V5, 3, 1);
        for (text, member) in turns.into_iter().enumerate() {
            assert_eq!(
                members[member].receive_texts(1),
                [text.to_string()],
                "{leaver} left"
            );
        }
    }
}

/// A member whose window is full is passed over until it has room.
#[test]
fn full_member_is_passed_over() {
    let group = Group::new();
    let mut small = group.join_with(Connect::new(fresh("small")).with(receive_maximum(1)), 1);
    let mut others = [(); 2].map(|()| group.join(Version::V5, 1));
    group.publish(Version::V5, 5, 1);
    let held = small.expect_publish();
    assert_eq!(held.text(), "0");
    small.expect_silence();
    assert_eq!(others[0].receive_texts(2), ["1", "3"]);
    assert_eq!(others[1].receive_texts(2), ["2", "4"]);
    small.acknowledge(&held);
    small.expect_silence();
    group.publish(Version::V5, 1, 1);
    assert_eq!(
        small.receive_texts(1),
        ["0"],
        "the first behind the one that took the last message"
    );
}

/// QoS 0 needs no place in the window.
#[test]
fn full_member_takes_qos_0() {
    let group = Group::new();
    let mut small = group.join_with(Connect::new(fresh("small")).with(receive_maximum(1)), 1);
    let mut other = group.join(Version::V5, 1);
    group.publish(Version::V5, 1, 1);
    small.expect_publish();
    other.expect_silence();
    group.publish(Version::V5, 2, 0);
    assert_eq!(other.receive_texts(1), ["0"]);
    assert_eq!(small.receive_texts(1), ["1"]);
}

/// A message too large for a member passes to the next.
#[test]
fn member_too_small_for_a_message_is_passed_over() {
    let group = Group::new();
    let mut small = group.join_with(
        Connect::new(fresh("small")).with(maximum_packet_size(200)),
        1,
    );
    let mut large = group.join(Version::V5, 1);
    let mut author = connect5(&fresh("author"));
    let long = "x".repeat(300);
    author.publish(&group.filter, &long, 1);
    author.publish(&group.filter, &long, 0);
    author.publish(&group.filter, "short", 1);
    assert_eq!(large.receive_texts(2), [long.clone(), long]);
    assert_eq!(small.receive_texts(1), ["short"]);
}

/// A message too large for every member is discarded and holds nothing up.
#[test]
fn message_too_large_for_every_member_is_discarded() {
    let group = Group::new();
    let mut small = group.join_with(
        Connect::new(fresh("small")).with(maximum_packet_size(200)),
        1,
    );
    let mut author = connect5(&fresh("author"));
    author.publish(&group.filter, "x".repeat(300), 1);
    author.publish(&group.filter, "short", 1);
    assert_eq!(small.receive_texts(1), ["short"]);
}

/// What is too large for all who are connected waits for a session that is away, which may take it when it
/// comes back; smaller messages go out meanwhile.
#[test]
fn message_too_large_for_all_who_are_there_waits_for_an_absent_session() {
    let group = Group::new();
    let id = fresh("large");
    group.join_with(Connect::new(&id).durable(), 1).disconnect();
    let long = |text: &str| text.repeat(300);
    let mut author = connect5(&fresh("author"));
    author.publish(&group.filter, long("1"), 1);
    let mut small = group.join_with(
        Connect::new(fresh("small")).with(maximum_packet_size(200)),
        1,
    );
    author.publish(&group.filter, long("2"), 1);
    author.publish(&group.filter, "short", 1);
    assert_eq!(small.receive_texts(1), ["short"]);
    let (mut large, _) = open(Version::V5, &Connect::new(&id).durable());
    assert_eq!(large.receive_texts(2), [long("1"), long("2")]);
}

/// 5:MQTT-4.4.0-1
/// A returned message that is too large for the others goes back to the session that had it, on takeover too.
#[test]
fn returned_message_too_large_for_the_others_goes_back_to_its_session() {
    for takes_over in [false, true] {
        let group = Group::new();
        let id = fresh("large");
        let mut large = group.join_with(Connect::new(&id).durable(), 1);
        let mut small = group.join_with(
            Connect::new(fresh("small")).with(maximum_packet_size(200)),
            1,
        );
        let mut author = connect5(&fresh("author"));
        author.publish(&group.filter, "x".repeat(300), 1);
        let first = large.expect_publish();
        if !takes_over {
            large.vanish();
        }
        let (mut resumed, _) = open(Version::V5, &Connect::new(&id).durable());
        let again = resumed.receive();
        assert_eq!((again.id, again.dup), (first.id, true));
        small.expect_only_pingresp();
    }
}

/// 5:MQTT-4.8.2-3
/// Each member gets messages at the QoS granted to it.
#[test]
fn members_have_their_own_qos() {
    let group = Group::new();
    let mut members = [0, 1, 2].map(|qos| group.join(Version::V5, qos));
    group.publish(Version::V5, 30, 2);
    for (qos, member) in (0..).zip(&mut members) {
        for _ in 0..10 {
            assert_eq!(member.receive().qos, qos);
        }
        member.expect_only_pingresp();
    }
}

/// Retain As Published, Subscription Identifiers and version are the receiving member's.
#[test]
fn members_have_their_own_options() {
    let group = Group::new();
    let mut plain = group.join(Version::V5, 1);
    let mut special = connect5(&fresh("member"));
    let subscribe = Subscribe::new(9)
        .filter(group.subscription(), 1 | Subscribe::RETAIN_AS_PUBLISHED)
        .with(subscription_identifier(42));
    assert_eq!(special.subscribe_with(&subscribe, 9), 1);
    let mut old = group.join(Version::V3, 1);
    let mut author = connect5(&fresh("author"));
    for _ in 0..3 {
        author.publish_message(
            Publish::new(&group.filter, "x")
                .retain()
                .with(user_property("k", "v")),
            1,
        );
    }
    let delivery = plain.receive();
    assert!(!delivery.retain && delivery.props.subscription_identifiers().is_empty());
    assert_eq!(delivery.props.user_properties().len(), 1);
    let delivery = special.receive();
    assert!(delivery.retain);
    assert_eq!(delivery.props.subscription_identifiers(), [42]);
    assert!(!old.receive().retain);
}

/// Retained messages are not sent on a shared SUBSCRIBE.
#[test]
fn shared_subscribe_brings_no_retained_messages() {
    both(|version| {
        let group = Group::new();
        connect(version, &fresh("author")).retain(&group.filter, "x", 1);
        group.join(version, 1).expect_only_pingresp();
    });
}

/// 5:MQTT-3.8.4-1 3:MQTT-3.8.4-1
/// A member that joins while messages wait reads its SUBACK before them.
#[test]
fn suback_goes_ahead_of_what_waits_in_the_group() {
    both(|version| {
        let group = Group::new();
        let id = fresh("away");
        group.join_with(Connect::new(&id).durable(), 1).disconnect();
        group.publish(Version::V5, 3, 1);
        let mut member = connect(version, &fresh("member"));
        member.send(Subscribe::new(7).filter(group.subscription(), 1));
        let first = member.next_packet();
        assert!(
            matches!(&first, Packet::Suback { id: 7, reasons, .. } if *reasons == [1]),
            "{first:?}"
        );
        assert_eq!(member.receive_texts(3), ["0", "1", "2"]);
        member.expect_only_pingresp();
    });
}

/// However a member's connection ends, what it had not acknowledged at QoS 1 goes to the next members:
/// in its order, as new deliveries with DUP 0.
#[test]
fn unacknowledged_messages_move_to_the_next_members() {
    let endings: [fn(Client, &str); 6] = [
        |member, _| member.reset(),
        |member, _| member.vanish(),
        |member, _| member.disconnect(),
        |member, _| member.disconnect_with(Disconnect::reason(0x04)),
        |mut member, _| {
            member.send(frame(0x00, []));
            member.drain();
        },
        |_member, id| {
            connect5(id);
        },
    ];
    for durable in [false, true] {
        for end in endings {
            let group = Group::new();
            let id = fresh("failing");
            let connect = Connect::new(&id);
            let failing = if durable { connect.durable() } else { connect };
            let mut failing = group.join_with(failing, 1);
            let mut heir = group.join(Version::V5, 1);
            group.publish(Version::V5, 10, 1);
            for text in ["0", "2", "4", "6", "8"] {
                assert_eq!(failing.expect_publish().text(), text);
            }
            assert_eq!(heir.receive_texts(5), ["1", "3", "5", "7", "9"]);
            end(failing, &id);
            for text in ["0", "2", "4", "6", "8"] {
                let moved = heir.receive();
                assert_eq!((moved.text(), moved.dup, moved.qos), (text, false, 1));
            }
            group.publish(Version::V5, 1, 1);
            assert_eq!(heir.receive_texts(1), ["0"]);
            heir.expect_only_pingresp();
        }
    }
}

/// Keep-alive counts as such an end too.
#[test]
fn unacknowledged_messages_move_on_when_keep_alive_runs_out() {
    let own = clocked();
    let group = Group::at(&own);
    let mut silent = group.join_with(Connect::new(fresh("silent")).keep_alive(1), 1);
    let mut heir = group.join(Version::V5, 1);
    group.publish(Version::V5, 1, 1);
    silent.expect_publish();
    heir.expect_silence();
    own.advance_all(Duration::from_millis(1000));
    heir.expect_silence();
    own.advance_all(Duration::from_millis(700));
    assert_eq!(heir.receive_texts(1), ["0"]);
    silent.expect_disconnect(0x8D);
}

/// What is returned goes out before newer messages, and in the order of all.
#[test]
fn returned_messages_go_before_newer_ones() {
    let group = Group::new();
    let mut failing = group.join(Version::V5, 1);
    let mut heir = group.join_with(Connect::new(fresh("heir")).with(receive_maximum(1)), 1);
    group.publish(Version::V5, 6, 1);
    // 0 went to the one, 1 to the other, which was full then.
    for text in ["0", "2", "3", "4", "5"] {
        assert_eq!(failing.expect_publish().text(), text);
    }
    let held = heir.expect_publish();
    assert_eq!(held.text(), "1");
    failing.vanish();
    connect5(&fresh("author")).publish(&group.filter, "newer", 1);
    heir.acknowledge(&held);
    assert_eq!(heir.receive_texts(6), ["0", "2", "3", "4", "5", "newer"]);
}

/// Several heirs share what is returned, in turn.
#[test]
fn returned_messages_go_round_the_heirs() {
    let group = Group::new();
    let mut failing = group.join(Version::V5, 1);
    let small = |receive| Connect::new(fresh("heir")).with(receive_maximum(receive));
    let mut heirs = [1, 1].map(|receive| group.join_with(small(receive), 1));
    group.publish(Version::V5, 7, 1);
    for text in ["0", "3", "4", "5", "6"] {
        assert_eq!(failing.expect_publish().text(), text);
    }
    let held = [heirs[0].expect_publish(), heirs[1].expect_publish()];
    failing.vanish();
    let mut texts = Vec::new();
    for (heir, held) in heirs.iter_mut().zip(&held) {
        heir.acknowledge(held);
        let delivery = heir.expect_publish();
        texts.push(delivery.text().to_owned());
    }
    assert_eq!(texts, ["0", "3"]);
}

/// Acknowledgements that had arrived count before the end of the connection does.
#[test]
fn acknowledged_messages_do_not_move() {
    for end in [Client::vanish, Client::reset, Client::disconnect] {
        let group = Group::new();
        let mut failing = group.join(Version::V5, 1);
        group.publish(Version::V5, 100, 1);
        let deliveries: Vec<Delivery> = (0..100).map(|_| failing.expect_publish()).collect();
        let mut heir = group.join(Version::V5, 1);
        let acks: Vec<u8> = deliveries[..99]
            .iter()
            .flat_map(|delivery| puback(delivery.id).encode(Version::V5))
            .collect();
        failing.send(acks);
        end(failing);
        assert_eq!(heir.receive_texts(1), ["99"]);
        heir.expect_only_pingresp();
    }
}

/// The member gets these once more, in their order and under their identifiers (MQTT-4.4.0-1), and acknowledges them.
#[track_caller]
fn expect_again(member: &mut Client, first: &[Delivery]) {
    for first in first {
        let again = member.receive();
        assert_eq!(
            (again.id, again.dup, &again.payload),
            (first.id, true, &first.payload)
        );
    }
}

/// A returned message that still waits when its session comes back is resent there, with its
/// identifier and DUP 1.
#[test]
fn returned_message_goes_back_to_the_session_that_resumes() {
    both(|version| {
        let group = Group::new();
        let id = fresh("member");
        let (mut member, _) = open(version, &Connect::new(&id).durable());
        member.subscribe(&group.subscription(), 1);
        group.publish(version, 3, 1);
        let first = [(); 3].map(|()| member.expect_publish());
        member.vanish();
        group.publish(version, 1, 1);
        let (mut member, session_present) = open(version, &Connect::new(&id).durable());
        assert!(session_present);
        expect_again(&mut member, &first);
        let newer = member.receive();
        assert_eq!((newer.text(), newer.dup), ("0", false));
        member.expect_only_pingresp();
    });
}

/// On takeover too, while nobody else can take the message.
#[test]
fn takeover_resends_to_the_session_where_nobody_else_has_room() {
    let group = Group::new();
    let id = fresh("member");
    let mut member = group.join_with(Connect::new(&id).durable(), 1);
    group.publish(Version::V5, 1, 1);
    let first = member.expect_publish();
    let (mut resumed, _) = open(Version::V5, &Connect::new(&id).durable());
    member.expect_disconnect(0x8E);
    let again = resumed.receive();
    assert_eq!((again.id, again.dup), (first.id, true));
    resumed.expect_silence();
}

/// Those for which the new connection has no room at first keep identifier and DUP, too (MQTT-4.4.0-1).
#[test]
fn returned_messages_that_come_one_by_one_keep_their_identifiers() {
    let group = Group::new();
    let id = fresh("member");
    let mut member = group.join_with(Connect::new(&id).durable(), 1);
    group.publish(Version::V5, 4, 1);
    let first = [(); 4].map(|()| member.expect_publish());
    member.vanish();
    let narrow = Connect::new(&id).durable().with(receive_maximum(1));
    let (mut member, _) = open(Version::V5, &narrow);
    expect_again(&mut member, &first);
    member.expect_only_pingresp();
}

/// A takeover tells thousands of groups of two connections, in turns. No message is taken for a new one in between
/// (MQTT-4.4.0-1).
#[test]
fn messages_of_many_groups_keep_their_identifiers_at_a_takeover() {
    const GROUPS: usize = 1_500;
    let (id, share) = (fresh("member"), fresh("share"));
    let (mut member, _) = open(Version::V5, &Connect::new(&id).durable());
    let (mut publisher, _) = open(Version::V5, &Connect::new(fresh("publisher")));
    for number in 0..GROUPS {
        member.subscribe(&format!("$share/{share}/{share}/{number}"), 1);
    }
    let mut ids = HashMap::new();
    for number in 0..GROUPS {
        publisher.publish(&format!("{share}/{number}"), "x", 1);
        let first = member.expect_publish();
        ids.insert(first.topic, first.id);
    }
    let (mut resumed, _) = open(Version::V5, &Connect::new(&id).durable());
    for _ in 0..GROUPS {
        let again = resumed.receive();
        assert_eq!(
            (Some(again.id), again.dup),
            (ids.remove(&again.topic), true)
        );
    }
    resumed.expect_only_pingresp();
}

/// A message that another member took meanwhile does not come back, and a late PUBACK with its old
/// identifier does not hit a newer message.
#[test]
fn moved_message_does_not_come_back() {
    let group = Group::new();
    let id = fresh("member");
    let mut member = group.join_with(Connect::new(&id).durable(), 1);
    group.publish(Version::V5, 1, 1);
    let moved = member.expect_publish();
    member.vanish();
    let mut heir = group.join(Version::V5, 1);
    assert_eq!(heir.receive_texts(1), ["0"]);
    let (mut member, _) = open(Version::V5, &Connect::new(&id).durable());
    member.expect_silence();
    group.publish(Version::V5, 2, 1);
    let newer = member.expect_publish();
    assert_ne!(newer.id, moved.id, "identifiers run on across connections");
    heir.receive();
    member.send(puback(moved.id));
    member.expect_silence();
    member.vanish();
    assert_eq!(
        heir.receive().payload,
        newer.payload,
        "still unacknowledged"
    );
}

/// Messages wait in the group while a member is connected, however full, and go to whoever has room
/// first.
#[test]
fn messages_wait_while_every_member_is_full() {
    let group = Group::new();
    let mut small = group.join_with(Connect::new(fresh("small")).with(receive_maximum(1)), 1);
    group.publish(Version::V5, 4, 1);
    let held = small.expect_publish();
    small.expect_silence();
    let mut newcomer = group.join_with(Connect::new(fresh("newcomer")).with(receive_maximum(2)), 1);
    assert_eq!(
        [(); 2]
            .map(|()| newcomer.expect_publish())
            .map(|d| d.text().to_owned()),
        ["1", "2"]
    );
    newcomer.expect_silence();
    small.acknowledge(&held);
    assert_eq!(small.receive_texts(1), ["3"]);
}

/// A message that only a full member could take waits for that one, and those behind it do not wait
/// with it.
#[test]
fn message_that_only_a_full_member_could_take_holds_up_nobody() {
    let group = Group::new();
    let mut large = group.join_with(Connect::new(fresh("large")).with(receive_maximum(1)), 1);
    let mut small = group.join_with(
        Connect::new(fresh("small")).with(maximum_packet_size(200)),
        1,
    );
    let mut author = connect5(&fresh("author"));
    let long = "x".repeat(300);
    author.publish(&group.filter, "fills", 1);
    let held = large.expect_publish();
    author.publish(&group.filter, &long, 1);
    for number in 0..400 {
        author.publish(&group.filter, number.to_string(), 1);
    }
    let all: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    assert_eq!(small.receive_texts(400), all);
    large.acknowledge(&held);
    assert_eq!(large.receive_texts(1), [long]);
}

/// A message that was waiting for a full member, and is too large for those that are left, is dropped,
/// and what waits behind it goes out, however much it is.
#[test]
fn long_queue_drains_when_the_member_leaves_that_held_it_up() {
    let group = Group::new();
    let mut large = group.join_with(Connect::new(fresh("large")).with(receive_maximum(1)), 1);
    let mut small = group.join_with(
        Connect::new(fresh("small"))
            .with(maximum_packet_size(200))
            .with(receive_maximum(1)),
        1,
    );
    let mut author = connect5(&fresh("author"));
    for text in ["to the first", "to the second"] {
        author.publish(&group.filter, text, 1);
    }
    large.expect_publish();
    let held = small.expect_publish();
    author.publish(&group.filter, "x".repeat(300), 1);
    for number in 0..2000 {
        author.publish(&group.filter, number.to_string(), 1);
    }
    large.unsubscribe(&group.subscription());
    small.acknowledge(&held);
    let all: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    assert_eq!(small.receive_texts(2000), all);
}

/// What waits goes to a newcomer that takes all of it, without any further event.
#[test]
fn newcomer_takes_a_long_queue() {
    let group = Group::new();
    let id = fresh("absent");
    group.join_with(Connect::new(&id).durable(), 1).disconnect();
    group.publish(Version::V5, 5000, 1);
    let mut newcomer = group.join(Version::V5, 1);
    for number in 0..5000 {
        assert_eq!(newcomer.expect_publish().text(), number.to_string());
    }
}

/// Messages wait for a session that outlives its connection and was granted QoS 1, in order; QoS 0 is
/// dropped.
#[test]
fn messages_wait_for_an_absent_session() {
    both(|version| {
        let group = Group::new();
        let id = fresh("absent");
        let (mut member, _) = open(version, &Connect::new(&id).durable());
        member.subscribe(&group.subscription(), 2);
        member.disconnect();
        let mut author = connect(version, &fresh("author"));
        for (text, qos) in [("0", 1), ("1", 0), ("2", 2), ("3", 1)] {
            author.publish(&group.filter, text, qos);
        }
        let (mut member, _) = open(version, &Connect::new(&id).durable());
        assert_eq!(member.receive_texts(3), ["0", "2", "3"]);
        member.expect_only_pingresp();
    });
}

/// What waits for an absent session goes to any member that joins.
#[test]
fn newcomer_takes_what_waits_for_an_absent_session() {
    let group = Group::new();
    let id = fresh("absent");
    group.join_with(Connect::new(&id).durable(), 1).disconnect();
    group.publish(Version::V5, 3, 1);
    assert_eq!(group.join(Version::V5, 1).receive_texts(3), ["0", "1", "2"]);
    let (mut member, _) = open(Version::V5, &Connect::new(&id).durable());
    member.expect_only_pingresp();
}

/// Nothing waits for a member that is away with QoS 0 granted.
#[test]
fn nothing_waits_for_an_absent_qos_0_member() {
    let group = Group::new();
    let id = fresh("absent");
    group.join_with(Connect::new(&id).durable(), 0).disconnect();
    group.publish(Version::V5, 3, 1);
    let (mut member, _) = open(Version::V5, &Connect::new(&id).durable());
    member.expect_only_pingresp();
    group.join(Version::V5, 1).expect_only_pingresp();
}

/// A message that expires while it waits in the group is not delivered.
#[test]
fn waiting_message_expires() {
    let own = clocked();
    let group = Group::at(&own);
    let id = fresh("absent");
    group.join_with(Connect::new(&id).durable(), 1).disconnect();
    let mut author = own.connect5(&fresh("author"));
    author.publish_message(
        Publish::new(&group.filter, "short").with(message_expiry(1)),
        1,
    );
    author.publish_message(
        Publish::new(&group.filter, "long").with(message_expiry(100)),
        1,
    );
    own.advance(Duration::from_secs(2));
    let (mut member, _) = own.open(Version::V5, &Connect::new(&id).durable());
    let delivery = member.receive();
    assert_eq!(delivery.text(), "long");
    assert!(
        delivery
            .props
            .number(MESSAGE_EXPIRY_INTERVAL)
            .is_some_and(|left| left < 100)
    );
    member.expect_only_pingresp();
}

/// 5:MQTT-4.8.2-4
/// A QoS 2 delivery that was cut off is completed to the same client, and nobody else gets it.
#[test]
fn cut_off_qos_2_delivery_is_completed_to_the_same_client() {
    let group = Group::new();
    let id = fresh("member");
    let mut member = group.join_with(Connect::new(&id).durable(), 2);
    let mut other = group.join(Version::V5, 2);
    group.publish(Version::V5, 4, 2);
    let [sent, received] = [(); 2].map(|()| member.expect_publish());
    member.send(pubrec(received.id));
    member.expect_pubrel(received.id);
    assert_eq!(other.receive_texts(2), ["1", "3"]);
    member.vanish();
    other.expect_silence();
    let (mut member, _) = open(Version::V5, &Connect::new(&id).durable());
    member.expect_pubrel(received.id);
    let again = member.expect_publish();
    assert_eq!((again.id, again.dup, again.text()), (sent.id, true, "0"));
    member.acknowledge(&again);
    member.send(pubcomp(received.id));
    member.expect_only_pingresp();
    other.expect_only_pingresp();
}

/// 5:MQTT-4.8.2-5
/// If the session ends first, its QoS 2 message goes to nobody else.
#[test]
fn cut_off_qos_2_delivery_ends_with_its_session() {
    let own = clocked();
    for expiry in [0, 1] {
        let group = Group::at(&own);
        let connect = Connect::new(fresh("member")).with(session_expiry(expiry));
        let mut member = group.join_with(connect, 2);
        let mut other = group.join(Version::V5, 2);
        group.publish(Version::V5, 1, 2);
        member.expect_publish();
        member.vanish();
        own.advance(Duration::from_secs(2));
        other.expect_only_pingresp();
        group.publish(Version::V5, 1, 2);
        assert_eq!(other.receive_texts(1), ["0"]);
        other.expect_only_pingresp();
    }
}

/// 5:MQTT-4.8.2-6
/// A PUBACK or PUBREC of 0x80 or more ends the message: nobody else gets it, nor the same member
/// again.
#[test]
fn refused_message_goes_to_nobody_else() {
    let group = Group::new();
    let id = fresh("member");
    let mut member = group.join_with(Connect::new(&id).durable(), 2);
    let mut other = group.join(Version::V5, 2);
    let mut author = connect5(&fresh("author"));
    for qos in [1, 2] {
        author.publish(&group.filter, "refused", qos);
        author.publish(&group.filter, "other", qos);
        let delivery = member.expect_publish();
        let refusal = if qos == 1 {
            puback(delivery.id).reason(0x80)
        } else {
            pubrec(delivery.id).reason(0x83)
        };
        member.send_ack(refusal, delivery.id);
        member.expect_only_pingresp();
        assert_eq!(other.receive_texts(1), ["other"]);
    }
    member.vanish();
    other.expect_only_pingresp();
    let (mut member, _) = open(Version::V5, &Connect::new(&id).durable());
    member.expect_only_pingresp();
}

/// What was handed over may still be acknowledged after UNSUBSCRIBE; if the connection ends before
/// that it moves on.
#[test]
fn handed_over_messages_move_on_after_unsubscribe() {
    let group = Group::new();
    let mut leaver = group.join(Version::V5, 1);
    let mut other = group.join(Version::V5, 1);
    group.publish(Version::V5, 4, 1);
    let [first, _second] = [(); 2].map(|()| leaver.expect_publish());
    other.receive_texts(2);
    assert_eq!(leaver.unsubscribe(&group.subscription()), 0);
    leaver.acknowledge(&first);
    leaver.expect_silence();
    other.expect_silence();
    leaver.vanish();
    assert_eq!(other.receive_texts(1), ["2"]);
    other.expect_silence();
}

/// 5:MQTT-3.10.4-3 3:MQTT-3.10.4-3
/// The messages of the last member stay with its session when it unsubscribes and are resent on
/// resume; the group ends with its queue.
#[test]
fn last_member_keeps_what_it_was_handed() {
    both(|version| {
        let group = Group::new();
        let id = fresh("last");
        let connect_member = Connect::new(&id).durable().with(receive_maximum(2));
        let (mut member, _) = open(version, &connect_member);
        member.subscribe(&group.subscription(), 1);
        group.publish(version, 2, 1);
        let first = [(); 2].map(|()| member.expect_publish());
        if version == Version::V5 {
            connect5(&fresh("author")).publish(&group.filter, "queued", 1);
        }
        member.unsubscribe(&group.subscription());
        member.vanish();
        let (mut member, _) = open(version, &connect_member);
        expect_again(&mut member, &first);
        member.expect_only_pingresp();
        group.join(version, 1).expect_only_pingresp();
    });
}

/// 5:MQTT-3.10.4-3 3:MQTT-3.10.4-3
/// What a member was handed before it unsubscribed, and nobody else has taken since its connection ended, comes again when
/// its session resumes: while it still waits in the group, and after the group has ended.
#[test]
fn session_that_unsubscribed_gets_again_what_nobody_else_took() {
    both(|version| {
        for ends in [false, true] {
            let group = Group::new();
            let connect_leaver = Connect::new(fresh("leaver")).durable();
            let (mut leaver, _) = open(version, &connect_leaver);
            leaver.subscribe(&group.subscription(), 1);
            let connect_full = Connect::new(fresh("full")).with(receive_maximum(1));
            let mut full = group.join_with(connect_full, 1);
            group.publish(version, 2, 1);
            let first = leaver.expect_publish();
            let taken = full.expect_publish();
            leaver.unsubscribe(&group.subscription());
            leaver.vanish();
            if ends {
                full.unsubscribe(&group.subscription());
            }
            // It is the session's own from then on.
            for _ in 0..2 {
                let (mut leaver, _) = open(version, &connect_leaver);
                let again = leaver.expect_publish();
                assert_eq!((again.id, again.dup), (first.id, true));
                leaver.expect_only_pingresp();
            }
            full.acknowledge(&taken);
            full.expect_only_pingresp();
            let (mut leaver, _) = open(version, &connect_leaver);
            expect_again(&mut leaver, &[first]);
            leaver.expect_only_pingresp();
        }
    });
}

/// The messages of a group go with its last member when that member had no session to keep.
#[test]
fn group_ends_with_its_last_member() {
    let group = Group::new();
    let mut member = group.join_with(Connect::new(fresh("last")).with(receive_maximum(1)), 1);
    group.publish(Version::V5, 3, 1);
    member.expect_publish();
    member.vanish();
    group.join(Version::V5, 1).expect_only_pingresp();
}

/// A session whose expiry passes leaves its group: what waited for it is gone, what others hold stays.
#[test]
fn expired_session_leaves_its_group() {
    let own = clocked();
    let group = Group::at(&own);
    let mut member = group.join_with(Connect::new(fresh("expiring")).with(session_expiry(1)), 1);
    group.publish(Version::V5, 2, 1);
    member.expect_publish();
    member.vanish();
    own.advance(Duration::from_secs(2));
    group.join(Version::V5, 1).expect_only_pingresp();
}

/// 5:MQTT-3.1.2-4 3:MQTT-3.1.2-6
/// A session that ends leaves all its groups at once, however many: the next session of the client joins them without
/// what waited for the last one.
#[test]
fn clean_start_joins_none_of_the_groups_that_ended() {
    const GROUPS: usize = 1_000;
    both(|version| {
        let (id, share) = (fresh("member"), fresh("share"));
        let groups = (0..GROUPS).map(|number| format!("$share/{share}/{share}/{number}"));
        let subscribe = groups.fold(Subscribe::new(1), |all, group| all.filter(group, 1));
        let (mut member, _) = open(version, &Connect::new(&id).durable());
        member.send(&subscribe);
        member.expect_suback(1);
        member.disconnect();
        let mut publisher = connect(version, &fresh("publisher"));
        for number in 0..GROUPS {
            publisher.publish(&format!("{share}/{number}"), "waits", 1);
        }
        let mut heir = Client::dial(broker().mqtt(), version);
        heir.send_connect(&Connect::new(&id));
        heir.send(&subscribe);
        let (session_present, reason, _) = heir.expect_connack();
        assert_eq!((session_present, reason), (false, 0));
        heir.expect_suback(1);
        heir.expect_only_pingresp();
        publisher.publish(&format!("{share}/{}", GROUPS - 1), "new", 1);
        assert_eq!(heir.receive().text(), "new");
    });
}

/// A member granted QoS 0 takes a QoS 1 message as QoS 0, and that is the end of it.
#[test]
fn qos_0_member_ends_the_message_by_its_turn() {
    let group = Group::new();
    let mut casual = group.join(Version::V5, 0);
    let mut careful = group.join(Version::V5, 1);
    group.publish(Version::V5, 2, 1);
    assert_eq!(casual.receive().qos, 0);
    assert_eq!(careful.receive().qos, 1);
    casual.vanish();
    careful.expect_silence();
}

/// 3.1.1 clients are members like any other, also with wildcards.
#[test]
fn members_of_both_versions_share_a_group() {
    let group = Group {
        broker: broker(),
        filter: format!("{}/+", fresh("shared")),
        ..Group::new()
    };
    let mut new = group.join(Version::V5, 1);
    let mut old = group.join(Version::V3, 1);
    let topic = group.filter.replace('+', "x");
    let mut author = connect3(&fresh("author"));
    for number in 0..4 {
        author.publish(&topic, number.to_string(), 1);
    }
    assert_eq!(new.receive_texts(2), ["0", "2"]);
    assert_eq!(
        [(); 2]
            .map(|()| old.expect_publish())
            .map(|d| d.text().to_owned()),
        ["1", "3"]
    );
    old.reset();
    let moved = [new.receive(), new.receive()];
    assert_eq!(
        moved.map(|delivery| (delivery.text().to_owned(), delivery.dup)),
        [("1".to_owned(), false), ("3".to_owned(), false),]
    );
}

/// A message goes round a long chain of failing members and is never lost.
#[test]
fn message_survives_a_chain_of_failing_members() {
    let group = Group::new();
    let mut members: Vec<Client> = (0..10).map(|_| group.join(Version::V5, 1)).collect();
    group.publish(Version::V5, 1, 1);
    while members.len() > 1 {
        let mut holder = members.remove(0);
        assert_eq!(holder.expect_publish().text(), "0");
        holder.reset();
    }
    assert_eq!(members[0].receive_texts(1), ["0"]);
    members[0].expect_only_pingresp();
}

/// A shared subscription of a fresh name to a fresh filter.
#[derive(Clone)]
struct Group<'a> {
    broker: &'a TestBroker,
    name: String,
    /// The Topic Filter; also the topic that the tests publish to.
    filter: String,
}

impl Group<'static> {
    /// On the shared broker.
    fn new() -> Self {
        Self::at(broker())
    }
}

impl<'a> Group<'a> {
    fn at(broker: &'a TestBroker) -> Self {
        Self {
            broker,
            name: fresh("group"),
            filter: fresh("shared"),
        }
    }

    /// The filter that SUBSCRIBE carries.
    fn subscription(&self) -> String {
        format!("$share/{}/{}", self.name, self.filter)
    }

    /// A new member with a clean session.
    fn join(&self, version: Version, qos: u8) -> Client {
        let mut member = self.broker.connect(version, &fresh("member"));
        assert_eq!(member.subscribe(&self.subscription(), qos), qos);
        member
    }

    /// A new MQTT 5 member that connects so.
    fn join_with(&self, connect: Connect, qos: u8) -> Client {
        let (mut member, _) = self.broker.open(Version::V5, &connect);
        assert_eq!(member.subscribe(&self.subscription(), qos), qos);
        member
    }

    /// Publishes the numbers from 0 at this QoS.
    fn publish(&self, version: Version, count: usize, qos: u8) {
        let mut author = self.broker.connect(version, &fresh("author"));
        for number in 0..count {
            author.publish(&self.filter, number.to_string(), qos);
        }
    }
}
