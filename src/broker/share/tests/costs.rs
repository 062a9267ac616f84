//! What groups and queues cost where there is much of something: counted in steps and visits where the
//! code counts them, else compared with what the same work costs where there is little.

use std::cell::Cell;
use std::time::Duration;

use crate::codec::{Packet, PacketId, QoS, Version, client};
use crate::message::publication::Publication;

use super::super::super::Dirty;
use super::super::super::turn::STEPS_PER_TURN;
use super::Harness;
use crate::broker::deliver::{Origin, Run};

thread_local! {
    static VISITS: Cell<usize> = const { Cell::new(0) };
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// A group was visited for the sake of a member.
pub(in super::super) fn count_visit() {
    VISITS.set(VISITS.get() + 1);
}

/// A member was asked whether it takes a message.
pub(in super::super) fn count_asked() {
    ASKED.set(ASKED.get() + 1);
}

fn publish(harness: &Harness, topic: &str, payload: &[u8], expires: bool, dirty: &mut Dirty) {
    let mut publication = Publication::new(topic, payload, QoS::AtLeastOnce);
    publication.expires_at = expires.then(|| harness.now + Duration::from_secs(60));
    let run = Run::one(&publication);
    let context = harness.broker.context(harness.now);
    harness
        .broker
        .deliver_and_forget(Origin::Outside, run, &context, dirty);
}

/// The packet identifiers that a client got since it was asked last.
fn received(harness: &Harness, client: usize) -> Vec<PacketId> {
    let bytes = harness.links[client].take(<[u8]>::to_vec);
    let packets = client::decode_all(&bytes, Version::V5);
    packets
        .into_iter()
        .filter_map(|packet| match packet {
            Packet::Publish(publish) => publish.packet_id,
            _ => None,
        })
        .collect()
}

fn acknowledge(harness: &Harness, client: usize, ids: &[PacketId], dirty: &mut Dirty) {
    let (session, _) = harness.attached(client);
    for id in ids {
        let _ = session.outbox().acknowledge(*id, QoS::AtLeastOnce);
    }
    let context = harness.broker.context(harness.now);
    harness.broker.make_room(session, &context, dirty);
}

/// Members with a window of one place, all in one group and all full.
fn full_members(count: usize) -> Harness {
    let mut harness = Harness::with_clients(count, 256, 1000);
    let mut dirty = Dirty::default();
    for client in 0..count {
        harness.connect(client, true, false, 1, 2, &mut dirty);
        harness.subscribe(client, QoS::AtLeastOnce, &mut dirty);
    }
    for _ in 0..count {
        publish(&harness, "t", b"", false, &mut dirty);
    }
    harness.come_to_rest(dirty);
    harness
}

#[test]
fn members_that_are_known_to_be_full_are_not_asked() {
    let count = 2000;
    let harness = full_members(count);
    // Whoever is full is asked once.
    let mut dirty = Dirty::default();
    publish(&harness, "t", b"", false, &mut dirty);
    assert!(dirty.steps() >= count);
    harness.come_to_rest(dirty);
    let ids = received(&harness, 1500);
    for _ in 0..10 {
        let mut dirty = Dirty::default();
        publish(&harness, "t", b"", false, &mut dirty);
        acknowledge(&harness, 1500, &ids, &mut dirty);
        assert!(dirty.steps() < 20, "{} steps", dirty.steps());
        harness.come_to_rest(dirty);
    }
    assert_eq!(received(&harness, 1500).len(), 1);
}

#[test]
fn group_that_nobody_in_it_can_take_from_costs_a_publish_one_look() {
    let harness = full_members(2000);
    let mut dirty = Dirty::default();
    publish(&harness, "t", b"", false, &mut dirty);
    dirty.begin_turn();
    for _ in 0..10 {
        publish(&harness, "t", b"", false, &mut dirty);
    }
    assert!(dirty.steps() <= 10, "{} steps", dirty.steps());
}

#[test]
fn blocked_messages_are_looked_at_once_by_each_member() {
    let (blocked, rounds) = (300, 50);
    let mut harness = Harness::with_clients(3, 256, 1000);
    let mut dirty = Dirty::default();
    // The first takes everything and is full; the others take small packets only.
    for client in 0..3 {
        harness.connect(
            client,
            true,
            false,
            1,
            if client > 0 { 0 } else { 2 },
            &mut dirty,
        );
        harness.subscribe(client, QoS::AtLeastOnce, &mut dirty);
    }
    publish(&harness, "t", b"", false, &mut dirty);
    for _ in 0..blocked {
        publish(&harness, "t", &[0; 100], false, &mut dirty);
    }
    harness.come_to_rest(dirty);
    let mut steps = 0;
    for _ in 0..rounds {
        let mut dirty = Dirty::default();
        for _ in 0..3 {
            publish(&harness, "t", b"", false, &mut dirty);
        }
        for client in 1..3 {
            acknowledge(&harness, client, &received(&harness, client), &mut dirty);
        }
        steps += dirty.steps();
        harness.come_to_rest(dirty);
    }
    let most = 3 * blocked + 30 * rounds;
    assert!(steps < most, "{steps} steps");
    let group = harness.groups().remove(0);
    assert_eq!(group.queued, blocked + rounds * 3 - 2 * rounds);
}

#[test]
fn only_groups_that_wait_for_something_are_visited() {
    let groups = 500;
    let mut harness = Harness::with_clients(2, 256, 1000);
    let mut dirty = Dirty::default();
    harness.connect(0, true, true, 2, 2, &mut dirty);
    for number in 0..groups {
        let filter = format!("$share/g/t{number}");
        harness.subscribe_to(&filter, 0, QoS::AtLeastOnce, &mut dirty);
    }
    for _ in 0..3 {
        publish(&harness, "t7", b"", false, &mut dirty);
    }
    harness.come_to_rest(dirty);

    VISITS.set(0);
    let mut dirty = Dirty::default();
    let ids = received(&harness, 0);
    acknowledge(&harness, 0, &ids[..1], &mut dirty);
    assert_eq!(VISITS.get(), 1, "for an acknowledgement");
    publish(&harness, "t9", b"", false, &mut dirty);
    harness.come_to_rest(dirty);

    let mut dirty = Dirty::default();
    VISITS.set(0);
    harness.disconnect(0, &mut dirty);
    assert_eq!(VISITS.get(), 2, "when the connection ends");
    harness.come_to_rest(dirty);

    // A group that learns of the absence while it offers something is told of the return.
    let mut dirty = Dirty::default();
    publish(&harness, "t11", b"", false, &mut dirty);
    VISITS.set(0);
    harness.connect(0, false, true, 10, 2, &mut dirty);
    assert_eq!(VISITS.get(), 3, "when it resumes");
    harness.come_to_rest(dirty);
    assert_eq!(received(&harness, 0).len(), 4);
}

#[test]
fn work_of_a_turn_that_ends_is_done_by_the_timekeeper() {
    let mut harness = Harness::with_clients(2, 1, 1000);
    let mut dirty = Dirty::default();
    harness.connect(0, true, true, 1, 2, &mut dirty);
    harness.subscribe(0, QoS::AtLeastOnce, &mut dirty);
    for _ in 0..101 {
        publish(&harness, "t", b"", false, &mut dirty);
    }
    harness.come_to_rest(dirty);
    let mut dirty = Dirty::default();
    harness.connect(1, true, false, 1000, 2, &mut dirty);
    harness.subscribe(1, QoS::AtLeastOnce, &mut dirty);
    assert!(!harness.broker.has_work());
    drop(dirty);
    assert!(harness.broker.has_work());
    harness.come_to_rest(Dirty::default());
    assert!(!harness.broker.has_work());
    let group = harness.groups().remove(0);
    assert_eq!((group.queued, group.members[1].2), (0, 100));
}

#[test]
fn turn_that_is_spent_hands_out_what_waits_in_the_next() {
    let harness = full_members(2);
    let mut dirty = Dirty::default();
    publish(&harness, "t", b"", false, &mut dirty);
    dirty.charge(STEPS_PER_TURN);
    let ids = received(&harness, 0);
    acknowledge(&harness, 0, &ids, &mut dirty);
    assert!(received(&harness, 0).is_empty());
    assert!(!dirty.is_empty());
    dirty.begin_turn();
    harness.come_to_rest(dirty);
    assert_eq!(received(&harness, 0).len(), 1);
}

/// The CPU time of this thread so far: what the machine does besides is not in it.
#[cfg(unix)]
fn cpu_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it does not run backwards")
}

/// How long `work` takes, the fastest of three: caches are shared with what else runs.
#[cfg(unix)]
fn fastest(mut work: impl FnMut() -> Duration) -> Duration {
    let runs = [work(), work(), work()];
    runs.into_iter().min().unwrap_or_default()
}

/// Filling a queue of `bound` messages takes so long, and publishing a fifth as many to the full one.
#[cfg(unix)]
fn fill_and_overflow(filter: &str, expires: bool) -> (Duration, Duration) {
    let bound = 20_000;
    let mut harness = Harness::with_queues(1, bound);
    let mut dirty = Dirty::default();
    harness.connect(0, true, true, 1, 2, &mut dirty);
    harness.subscribe_to(filter, 0, QoS::AtLeastOnce, &mut dirty);
    harness.disconnect(0, &mut dirty);
    let mut pump = |count| {
        let start = cpu_time();
        for _ in 0..count {
            publish(&harness, "t", b"", expires, &mut dirty);
        }
        cpu_time() - start
    };
    (pump(bound), pump(bound / 5))
}

#[cfg(unix)]
#[test]
fn full_queue_costs_a_publish_no_more_than_an_empty_one() {
    for filter in ["$share/g/t", "t"] {
        for expires in [false, true] {
            let (mut filling, mut full) = (Duration::ZERO, Duration::ZERO);
            fastest(|| {
                let (a, b) = fill_and_overflow(filter, expires);
                (filling, full) = (filling.max(a), if full.is_zero() { b } else { full.min(b) });
                b
            });
            // A fifth of the messages: five times as much for each is the mark.
            assert!(
                full < filling,
                "{filter}: {full:?} when full, {filling:?} before"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn many_groups_of_one_filter_are_found_as_fast_as_of_many() {
    let count = 10_000;
    let subscribe = |one_filter: bool| {
        let mut harness = Harness::with_clients(1, 256, 10);
        let mut dirty = Dirty::default();
        harness.connect(0, true, false, 1, 2, &mut dirty);
        let start = cpu_time();
        for number in 0..count {
            let filter = match one_filter {
                true => format!("$share/g{number}/t"),
                false => format!("$share/g/t{number}"),
            };
            harness.subscribe_to(&filter, 0, QoS::AtLeastOnce, &mut dirty);
        }
        cpu_time() - start
    };
    let (one, many) = (fastest(|| subscribe(true)), fastest(|| subscribe(false)));
    assert!(one < 4 * many, "{one:?} for one filter, {many:?} for many");
}

#[test]
fn expired_messages_make_room_before_an_overflow_is_declared() {
    for filter in ["$share/g/t", "t"] {
        let mut harness = Harness::with_queues(1, 3);
        let mut dirty = Dirty::default();
        harness.connect(0, true, true, 10, 2, &mut dirty);
        harness.subscribe_to(filter, 0, QoS::AtLeastOnce, &mut dirty);
        harness.disconnect(0, &mut dirty);
        for expires in [false, true, false] {
            publish(&harness, "t", b"", expires, &mut dirty);
        }
        harness.now += Duration::from_secs(60);
        for _ in 0..2 {
            publish(&harness, "t", b"", false, &mut dirty);
        }
        let stats = harness.broker.stats(harness.now);
        assert_eq!((stats.expired, stats.dropped), (1, 1), "{filter}");
        harness.connect(0, false, true, 10, 2, &mut dirty);
        harness.come_to_rest(dirty);
        assert_eq!(received(&harness, 0).len(), 3, "{filter}");
    }
}

/// What is left to be done is done in turns, none of which takes long. Returns how many there were.
fn rest_in_turns(harness: &Harness, mut dirty: Dirty) -> usize {
    let mut turns = 0;
    loop {
        dirty.begin_turn();
        ASKED.set(0);
        let context = harness.broker.context(harness.now);
        let is_done = harness.broker.flush_some(64, &context, &mut dirty);
        assert!(dirty.steps() < 2 * STEPS_PER_TURN, "{}", dirty.steps());
        assert!(ASKED.get() <= dirty.steps(), "{}", ASKED.get());
        turns += 1;
        if is_done {
            return turns;
        }
    }
}

/// Design rule 4, with everything in flight that can be.
#[test]
fn full_window_goes_back_to_its_group_in_turns_and_in_order() {
    let many = 65_535;
    let mut harness = Harness::with_clients(2, 256, 1_000_000);
    let mut dirty = Dirty::default();
    harness.connect(0, true, true, many, 2, &mut dirty);
    harness.subscribe(0, QoS::AtLeastOnce, &mut dirty);
    for number in 0..many as u32 {
        publish(&harness, "t", &number.to_be_bytes(), false, &mut dirty);
    }
    harness.connect(1, true, true, many, 2, &mut dirty);
    harness.subscribe(1, QoS::AtLeastOnce, &mut dirty);
    harness.come_to_rest(dirty);

    let mut dirty = Dirty::default();
    harness.disconnect(0, &mut dirty);
    assert!(dirty.steps() < 2 * STEPS_PER_TURN, "{}", dirty.steps());
    // What comes while they are on their way goes behind them.
    for number in many as u32..many as u32 + 100 {
        publish(&harness, "t", &number.to_be_bytes(), false, &mut dirty);
    }
    assert!(rest_in_turns(&harness, dirty) > 10);
    let bytes = harness.links[1].take(<[u8]>::to_vec);
    let packets = client::decode_all(&bytes, Version::V5);
    let numbers: Vec<u8> = packets
        .into_iter()
        .flat_map(|packet| match packet {
            Packet::Publish(publish) => publish.payload.to_vec(),
            _ => Vec::new(),
        })
        .collect();
    let expected: Vec<u8> = (0..many as u32).flat_map(u32::to_be_bytes).collect();
    assert!(numbers == expected, "another order");
    assert_eq!(harness.groups().remove(0).queued, 100);
}

/// MQTT-4.4.0-1, with everything in flight that can be.
#[test]
fn full_window_comes_back_to_its_session_in_turns() {
    let many = 65_535;
    let mut harness = Harness::with_clients(2, 256, 1_000_000);
    let mut dirty = Dirty::default();
    harness.connect(0, true, true, many, 2, &mut dirty);
    harness.subscribe(0, QoS::AtLeastOnce, &mut dirty);
    for _ in 0..many {
        publish(&harness, "t", b"", false, &mut dirty);
    }
    harness.come_to_rest(dirty);
    let sent = received(&harness, 0);
    // Once before all have gone back to the group, and once after.
    for waits in [false, true] {
        let mut dirty = Dirty::default();
        harness.disconnect(0, &mut dirty);
        if waits {
            rest_in_turns(&harness, std::mem::take(&mut dirty));
            assert_eq!(harness.groups().remove(0).queued, many);
        }
        dirty.begin_turn();
        harness.connect(0, false, true, many, 2, &mut dirty);
        assert!(dirty.steps() < 2 * STEPS_PER_TURN, "{}", dirty.steps());
        assert!(rest_in_turns(&harness, dirty) > 10);
        assert!(received(&harness, 0) == sent, "other identifiers");
        let group = harness.groups().remove(0);
        assert_eq!((group.queued, group.members[0].2), (0, many as u32));
    }
}

/// What the members of a session that ends had in flight is dropped with the last of them, in turns.
#[test]
fn full_window_of_a_session_that_ends_is_dropped_in_turns() {
    let many = 65_535;
    let mut harness = Harness::with_clients(1, 256, 1_000_000);
    let mut dirty = Dirty::default();
    harness.connect(0, true, false, many, 2, &mut dirty);
    harness.subscribe(0, QoS::AtLeastOnce, &mut dirty);
    harness.subscribe_to("own", 0, QoS::AtLeastOnce, &mut dirty);
    for number in 0..many {
        let topic = if number % 2 == 0 { "t" } else { "own" };
        publish(&harness, topic, b"", false, &mut dirty);
    }
    harness.come_to_rest(dirty);
    let mut dirty = Dirty::default();
    harness.disconnect(0, &mut dirty);
    assert!(dirty.steps() < 2 * STEPS_PER_TURN, "{}", dirty.steps());
    rest_in_turns(&harness, std::mem::take(&mut dirty));
    harness.come_to_rest(dirty);
    let stats = harness.broker.stats(harness.now);
    let memory = harness.broker.budget().used();
    assert_eq!((stats.dropped, memory), (many as u64, 0));
}

#[test]
fn members_that_a_message_is_too_large_for_are_not_asked() {
    let count = 2000;
    for fill in [false, true] {
        let mut harness = Harness::with_clients(count + 1, 256, 1000);
        let mut dirty = Dirty::default();
        // One takes large messages; all have one place.
        for client in 0..=count {
            let size = if client == count { 2 } else { 0 };
            harness.connect(client, true, true, 1, size, &mut dirty);
            harness.subscribe(client, QoS::AtLeastOnce, &mut dirty);
        }
        for _ in 0..if fill { count + 1 } else { 0 } {
            publish(&harness, "t", b"", false, &mut dirty);
        }
        harness.come_to_rest(dirty);
        for _ in 0..3 {
            let mut dirty = Dirty::default();
            ASKED.set(0);
            publish(&harness, "t", &[0; 100], false, &mut dirty);
            assert!(dirty.steps() < count / 10, "{} steps", dirty.steps());
            assert!(ASKED.get() < 5, "{}", ASKED.get());
            harness.come_to_rest(dirty);
        }
        // One of the small ones comes back as one that takes them.
        let queued = harness.groups().remove(0).queued;
        let mut dirty = Dirty::default();
        harness.disconnect(7, &mut dirty);
        harness.connect(7, false, true, 100, 2, &mut dirty);
        harness.come_to_rest(dirty);
        let left = harness.groups().remove(0).queued;
        assert_eq!((queued, left), (if fill { 3 } else { 2 }, 0));
    }
}

/// Blocked messages are looked at again when one leaves who could take them, once each.
#[test]
fn blocked_messages_are_reviewed_without_asking_all_who_come() {
    let (count, blocked) = (1000, 300);
    let mut harness = Harness::with_clients(count + 2, 256, 10_000);
    let mut dirty = Dirty::default();
    // Two that take them, full, and small ones with room.
    for client in 0..count + 2 {
        let (size, persistent) = if client < 2 { (2, false) } else { (0, true) };
        harness.connect(client, true, persistent, 1, size, &mut dirty);
        harness.subscribe(client, QoS::AtLeastOnce, &mut dirty);
        if client < 2 {
            publish(&harness, "t", b"", false, &mut dirty);
        }
    }
    for _ in 0..blocked {
        publish(&harness, "t", &[0; 100], false, &mut dirty);
    }
    harness.come_to_rest(dirty);
    // All small ones are to look at the messages when the review begins.
    let mut dirty = Dirty::default();
    dirty.charge(STEPS_PER_TURN);
    for client in 2..count + 2 {
        harness.subscribe(client, QoS::AtLeastOnce, &mut dirty);
    }
    harness.disconnect(0, &mut dirty);
    rest_in_turns(&harness, dirty);
    assert_eq!(harness.groups().remove(0).queued, blocked);
    let mut dirty = Dirty::default();
    harness.disconnect(1, &mut dirty);
    rest_in_turns(&harness, dirty);
    // They are too large for all who are connected.
    let group = harness.groups().remove(0);
    assert_eq!((group.queued, group.dropped), (0, blocked as u64));
}

/// What is too large for those who are left goes wherever it waits, in turns.
#[test]
fn queue_is_swept_in_turns_and_only_when_it_has_to_be() {
    let (small, pairs) = (50, 2000);
    let mut harness = Harness::with_clients(small + 2, 256, 10_000);
    let mut dirty = Dirty::default();
    for client in 0..small + 2 {
        let size = if client < 2 { 2 } else { 0 };
        harness.connect(client, true, false, 1, size, &mut dirty);
        harness.subscribe(client, QoS::AtLeastOnce, &mut dirty);
    }
    // All are full, so everything waits in line.
    for _ in 0..small + 2 {
        publish(&harness, "t", b"", false, &mut dirty);
    }
    for _ in 0..pairs {
        publish(&harness, "t", &[0; 100], false, &mut dirty);
        publish(&harness, "t", b"", false, &mut dirty);
    }
    harness.come_to_rest(dirty);
    let group = |harness: &Harness| {
        let group = harness.groups().remove(0);
        (group.queued, group.dropped)
    };
    assert_eq!(group(&harness), (2 * pairs, 0));
    // The message of who goes comes back.
    let mut dirty = Dirty::default();
    harness.disconnect(0, &mut dirty);
    let turns = rest_in_turns(&harness, dirty);
    assert_eq!(group(&harness), (2 * pairs + 1, 0));
    assert!(turns <= 2, "{turns} turns");
    let mut dirty = Dirty::default();
    harness.disconnect(1, &mut dirty);
    let turns = rest_in_turns(&harness, dirty);
    assert_eq!(group(&harness), (pairs + 2, pairs as u64));
    assert!(turns >= 2 * pairs / STEPS_PER_TURN, "{turns} turns");
}
