//! `/v1/events`: streams, what they tell, and what becomes of them.

use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::Api;
use crate::stream::Stream;
use crate::support::{Connect, DEADLINE, Version, receive_maximum, session_expiry};

/// A stream of `/v1/events`, behind its first event.
#[track_caller]
fn open(api: &Api, query: &str) -> Stream {
    let mut stream = Stream::open(api, &format!("/v1/events?{query}"));
    let hello = stream.next("hello");
    assert_eq!(hello["instance"], api.get("/v1/info").json()["instance"]);
    stream
}

#[test]
fn stream_tells_what_has_changed() {
    let api = Api::start();
    let mut stream = open(&api, "topics=stats,clients,groups");
    assert_eq!(stream.next("stats")["clients_connected"], 0);
    let before = stream.next("groups");
    assert_eq!(before["total"], 0);
    let mut client = api.connect("a");
    stream.next("clients");
    client.subscribe("$share/g/x", 1);
    let after = stream.until("groups", |groups| groups["total"] == 1);
    assert_ne!(after["generation"], before["generation"]);
    client.publish("x", "1", 1);
    let later = stream.next("groups");
    assert_ne!(later["generation"], after["generation"]);
    let stats = stream.until("stats", |stats| stats["messages_received"] == 1);
    assert_eq!(stats["clients_connected"], 1);
    assert!(stats["at_ms"].is_u64());
}

/// The steps, without their times.
fn steps(turns: &Value) -> Vec<Value> {
    let steps = turns["steps"].as_array().expect("a list").iter();
    let steps = steps.map(|step| {
        assert!(
            step["at_ms"]
                .as_u64()
                .is_some_and(|at| at > 1_600_000_000_000),
            "{step}"
        );
        let mut step = step.clone();
        step.as_object_mut().expect("an object").remove("at_ms");
        step
    });
    steps.collect()
}

#[test]
fn stream_tells_whose_turn_it_was_and_who_gets_what_a_member_had_that_is_gone() {
    let api = Api::start();
    let mut stream = open(&api, "topics=turns&share=g&filter=x/%23");
    let none = stream.next("turns");
    assert_eq!(
        (&none["exists"], &none["members"]),
        (&json!(false), &json!(0))
    );

    let mut a = api.open(Version::V5, &Connect::new("a").with(receive_maximum(2)));
    a.subscribe("$share/g/x/#", 1);
    // A group is watched from the moment at which the stream has seen it.
    stream.until("turns", |turns| turns["exists"] == true);
    let mut b = api.connect("b");
    b.subscribe("$share/g/x/#", 1);
    let mut publisher = api.connect("publisher");
    for number in ["1", "2", "3"] {
        publisher.publish("x/y", number, 1);
    }
    a.expect_publish();
    b.receive();
    a.expect_publish();
    let mut seen = Vec::new();
    let mut last = Value::Null;
    while seen.len() < 4 {
        last = stream.next("turns");
        seen.extend(steps(&last));
    }
    let pick = |number, to: &str| json!({"event": "pick", "number": number, "client_id": to});
    let join = json!({"event": "join", "client_id": "b"});
    assert_eq!(seen, [join, pick(1, "a"), pick(2, "b"), pick(3, "a")]);
    assert_eq!((&last["number"], &last["cursor"]), (&json!(3), &json!(1)));

    a.vanish();
    let again =
        |number| json!({"event": "redelivery", "number": number, "client_id": "b", "from": "a"});
    seen.clear();
    while seen.len() < 3 {
        seen.extend(steps(&stream.next("turns")));
    }
    // Its session ends with its connection: it leaves.
    for step in [again(1), again(3)] {
        assert!(seen.contains(&step), "{step} in {seen:?}");
    }
    let gone = |step: &Value| step["client_id"] == "a" && step["from"].is_null();
    assert!(seen.iter().any(gone), "{seen:?}");
    let has = |name: &str| seen.iter().any(|step| step["event"] == name);
    assert!(has("away") || has("leave"), "{seen:?}");
}

/// Whoever comes back misses as little as can be: nothing between the answer and the next look.
#[test]
fn stream_tells_what_its_group_does_from_its_beginning() {
    let api = Api::start();
    let mut member = api.connect("a");
    member.subscribe("$share/g/x", 0);
    let mut publisher = api.connect("publisher");
    // The sampler is between two looks.
    let mut other = open(&api, "topics=clients");
    other.next("clients");
    for number in 1..=5 {
        let mut stream = open(&api, "topics=turns&share=g&filter=x");
        publisher.publish("x", "1", 0);
        let turns = stream.until("turns", |turns| turns["number"] == number);
        let pick = json!({"event": "pick", "number": number, "client_id": "a"});
        assert_eq!(steps(&turns), [pick]);
    }
}

#[test]
fn groups_change_with_the_connections_of_their_members() {
    let api = Api::start();
    let lasting = Connect::new("a").with(session_expiry(60));
    let mut member = api.open(Version::V5, &lasting);
    member.subscribe("$share/g/x", 1);
    let mut stream = open(&api, "topics=groups");
    let before = stream.until("groups", |groups| groups["total"] == 1);
    member.vanish();
    let after = stream.next("groups");
    assert_ne!(after["generation"], before["generation"]);
    assert_eq!(api.get("/v1/groups/g/x").json()["members_connected"], 0);
}

#[test]
fn fast_group_is_told_by_its_last_steps_and_a_count_of_the_others() {
    let api = Api::start();
    let mut member = api.connect("a");
    member.subscribe("$share/g/x", 0);
    let mut stream = open(&api, "topics=turns&share=g&filter=x");
    stream.next("turns");
    let mut publisher = api.connect("publisher");
    for _ in 0..1500 {
        publisher.post("x", "1");
    }
    let (mut told, mut skipped, mut number) = (0, 0, 0);
    while number < 1500 {
        let turns = stream.next("turns");
        let steps = steps(&turns);
        assert!(steps.len() <= 100, "{}", steps.len());
        told += steps.len() as u64;
        skipped += turns["skipped"].as_u64().expect("a number");
        number = turns["number"].as_u64().expect("a number");
    }
    assert_eq!(told + skipped, 1500);
    assert!(skipped > 0, "the test was too slow to overtake anything");
}

#[test]
fn there_are_16_streams_and_then_a_place_once_one_has_gone() {
    let api = Api::start();
    let mut streams: Vec<_> = (0..16).map(|_| open(&api, "topics=clients")).collect();
    let refused = api.get("/v1/events?topics=clients");
    refused.expect_error(503, None);
    assert_eq!(refused.header("retry-after"), Some("5"));
    api.get("/healthz").json_with(200);
    drop(streams.pop());
    let end = Instant::now() + DEADLINE;
    loop {
        let mut stream = Stream::ask(&api, "/v1/events?topics=clients");
        if stream.line().starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(Instant::now() < end, "no place");
    }
    let used = || api.get("/v1/stats").json()["memory_bytes_by_kind"]["http"].as_u64();
    drop(streams);
    // Nothing is left of them: what remains is the connection that asks, and its answer.
    while used().expect("a number") > 64 * 1024 {
        assert!(Instant::now() < end, "{:?}", used());
    }
}

#[test]
fn streams_do_not_hold_up_a_stop() {
    let mut api = Api::start();
    let mut streams: Vec<_> = (0..10)
        .map(|_| open(&api, "topics=stats,turns&share=g&filter=x"))
        .collect();
    let begin = Instant::now();
    api.stop();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    for stream in &mut streams {
        let mut rest = Vec::new();
        stream
            .socket()
            .read_to_end(&mut rest)
            .expect("the end of the stream");
        assert!(rest.ends_with(b"0\r\n\r\n"), "it was cut off");
    }
}

/// An idle connection is closed, and a stream is none, though nothing happens.
#[test]
fn stream_lives_longer_than_an_idle_connection() {
    let api = Api::start_with(|config| config.http_idle_timeout = Duration::from_millis(700));
    let mut stream = open(&api, "topics=clients");
    stream.next("clients");
    let begin = Instant::now();
    // More than a whole request may take, which is three times as long.
    let mut comments = 0;
    while begin.elapsed() < Duration::from_millis(2200) {
        comments += usize::from(stream.line() == ":");
    }
    assert!(comments > 3, "{comments}");
    let _client = api.connect("a");
    stream.next("clients");
}

#[test]
fn stream_tells_how_far_the_journal_is() {
    let api = Api::start();
    let mut stream = open(&api, "topics=journal");
    assert_eq!(stream.next("journal"), json!({ "on": false, "last": 0 }));
    api.server().journal().switch(true);
    assert_eq!(stream.next("journal")["on"], true);
    let mut client = api.connect("a");
    client.expect_only_pingresp();
    stream.until("journal", |journal| journal["last"].as_u64() >= Some(5));
}

#[test]
fn request_for_a_stream_says_what_it_is_about() {
    let api = Api::start();
    for (query, field) in [
        ("", "topics"),
        ("?topics=all", "topics"),
        ("?topics=stats,", "topics"),
        ("?topics=turns", "share"),
        ("?topics=turns&share=g", "filter"),
        ("?topics=stats&filter=x", "filter"),
        ("?topics=stats&since=1", "since"),
    ] {
        let answer = api.get(&format!("/v1/events{query}"));
        answer.expect_error(400, Some(field));
    }
}
