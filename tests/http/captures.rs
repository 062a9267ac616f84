//! `GET /v1/messages?since=`: the first messages on a filter behind a row of the journal.

use std::thread;
use std::time::Duration;

use roundel::{Message, QoS, WaitError};
use serde_json::{Value, json};

use crate::api::Api;
use crate::support::{
    Client, Connect, DEADLINE, Disconnect, Encode, Publish, Version, Will, topic_alias,
};

fn api() -> Api {
    Api::start_with(|config| config.journal = true)
}

/// The number of the row that was written last.
fn last(api: &Api) -> u64 {
    let answer = api.get("/v1/journal?limit=0").json();
    answer["last"].as_u64().expect("a number")
}

/// The first messages below `t/` behind a row, of which there have to be as many.
#[track_caller]
fn since(api: &Api, row: u64, count: usize) -> Vec<Value> {
    after(api, (row, 0), count)
}

/// The same behind a row and the message of a number.
#[track_caller]
fn after(api: &Api, (row, number): (u64, u64), count: usize) -> Vec<Value> {
    let behind = format!("since={row}&after={number}");
    let target = format!("/v1/messages?filter=t/%23&{behind}&count={count}&wait=10s");
    let shown = api.get(&target).json();
    let messages = shown["messages"].as_array().expect("a list").clone();
    assert_eq!((messages.len(), &shown["total"]), (count, &json!(count)));
    messages
}

fn texts(messages: &[Value]) -> Vec<&str> {
    let all = messages.iter();
    all.map(|message| message["payload"].as_str().expect("a payload"))
        .collect()
}

/// Whoever published them: clients of both versions, with an alias, at each QoS; the API, the program, a will.
#[test]
fn messages_are_found_that_were_published_before_the_request() {
    let api = api();
    let will = Will::new("t/will", "will").qos(1);
    let mut leaves = api.open(Version::V5, &Connect::new("leaves").will(will));
    let mut publisher = api.connect("publisher");
    publisher.publish("t/1", "before", 1);
    let row = last(&api);
    publisher.publish("t/1", "one", 1);
    publisher.publish("bikes", "none of them", 1);
    publisher.send(Publish::new("t/1", "two").with(topic_alias(1)));
    publisher.send(Publish::new("", "three").with(topic_alias(1)));
    publisher.publish("t/2", "four", 2);
    let mut old = api.open(Version::V3, &Connect::new("old"));
    old.retain("t/3", "five", 1);
    let body = json!({"topic": "t/4", "payload": "six", "qos": 2, "properties": {"content_type": "x", "message_expiry_interval": 1000}});
    let answer = api.post("/v1/publish", &body.to_string()).json();
    let message = Message::new("t/5", "seven").with_qos(QoS::AtLeastOnce);
    api.server().publish(&message).expect("a legal message");
    leaves.send(Disconnect::reason(0x04));
    leaves.expect_closed();
    let messages = since(&api, row, 8);
    let expected = [
        "one", "two", "three", "four", "five", "six", "seven", "will",
    ];
    assert_eq!(texts(&messages), expected);
    let all = |name: &str| {
        messages
            .iter()
            .map(|one| one[name].clone())
            .collect::<Vec<_>>()
    };
    let topics = ["t/1", "t/1", "t/1", "t/2", "t/3", "t/4", "t/5", "t/will"];
    assert_eq!(all("topic"), topics);
    assert_eq!(all("qos"), [1, 0, 0, 2, 1, 2, 1, 1]);
    assert_eq!(messages[4]["retain"], true);
    assert_eq!(messages[5]["row"], answer["row"]);
    let properties = &messages[5]["properties"];
    assert_eq!(properties["content_type"], "x");
    let expiry = properties["message_expiry_interval"].as_u64();
    assert!(
        (990..=1000).contains(&expiry.expect("seconds")),
        "{properties}"
    );
    let rows: Vec<_> = all("row").iter().filter_map(Value::as_u64).collect();
    assert!(
        rows.is_sorted() && rows.len() == 8 && rows[0] > row,
        "{rows:?}"
    );
    assert_eq!(texts(&since(&api, rows[1], 2)), ["three", "four"]);
    // Each says where to go on. One that is not asked for has a number, too.
    assert_eq!(all("number"), [2, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(texts(&after(&api, (row, 5), 2)), ["four", "five"]);
    let will = api.get(&format!("/v1/journal/{}", rows[7])).json();
    assert_eq!(
        (&will["event"], &will["client"]),
        (&json!("published"), &json!("leaves"))
    );
}

/// MQTT 5.0, 3.1.4: a client need not wait for CONNACK.
#[test]
fn message_that_comes_with_connect_is_found() {
    let api = api();
    let mut early = Client::dial(api.mqtt(), Version::V5);
    let connect = Connect::new("early").encode(Version::V5);
    let publish = Publish::new("t/1", "x").qos(1, 1).encode(Version::V5);
    early.send([connect, publish].concat());
    early.expect_connack();
    early.expect_puback(1);
    assert_eq!(texts(&since(&api, 0, 1)), ["x"]);
}

/// The same number of messages, a few at a time.
fn page_by_page(api: &Api, row: u64, count: usize) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    while found.len() < count {
        let number = found
            .last()
            .map_or(0, |last| last["number"].as_u64().expect("where to go on"));
        let size = usize::min(found.len() % 3 + 1, count - found.len());
        found.extend(after(api, (row, number), size));
    }
    found
}

/// What comes while it is asked for is there once, and what was there before comes first: of each publisher all up to
/// the last one that there is, in one go and page by page.
#[test]
fn what_is_there_and_what_comes_are_one_list() {
    const EACH: usize = 200;
    let api = &api();
    let row = last(api);
    thread::scope(|scope| {
        let at_once = [EACH, 2 * EACH - 50, 2 * EACH]
            .map(|count| scope.spawn(move || (count, since(api, row, count))));
        let in_pages = [EACH, 2 * EACH]
            .map(|count| scope.spawn(move || (count, page_by_page(api, row, count))));
        let asking: Vec<_> = at_once.into_iter().chain(in_pages).collect();
        for name in ["a", "b"] {
            scope.spawn(move || {
                let mut publisher = api.connect(name);
                for number in 0..EACH {
                    publisher.send(Publish::new(format!("t/{name}"), number.to_string()));
                }
                publisher.expect_only_pingresp();
            });
        }
        for one in asking {
            let (count, found) = one.join().expect("an answer");
            let of = |name: &str| {
                let all = found
                    .iter()
                    .filter(|one| one["topic"] == format!("t/{name}"));
                all.map(|one| {
                    one["payload"]
                        .as_str()
                        .expect("text")
                        .parse()
                        .expect("a number")
                })
                .collect::<Vec<usize>>()
            };
            let (first, second) = (of("a"), of("b"));
            assert_eq!(first, (0..first.len()).collect::<Vec<_>>());
            assert_eq!(second, (0..second.len()).collect::<Vec<_>>());
            assert_eq!(first.len() + second.len(), count);
        }
    });
}

/// MQTT-4.3.3-10: a PUBLISH of QoS 2 that comes again is no further message, and what a rule drops is none.
#[test]
fn what_is_no_message_is_not_found() {
    let api = api();
    let rule =
        json!({"match": {"type": "PUBLISH", "topic": "t/lost", "direction": "in"}, "do": "drop"});
    api.post("/v1/rules", &rule.to_string()).json_with(201);
    let mut publisher = api.connect("publisher");
    for dup in [false, true] {
        let publish = Publish::new("t/1", "once").qos(2, 7);
        publisher.send(if dup { publish.dup() } else { publish });
        publisher.expect_pubrec(7);
    }
    publisher.send(Publish::new("t/lost", "lost").qos(1, 8));
    publisher.publish("t/2", "last", 1);
    assert_eq!(texts(&since(&api, 0, 2)), ["once", "last"]);
}

#[test]
fn payload_that_the_journal_has_cut_is_left_out() {
    let api = api();
    let mut publisher = api.connect("publisher");
    publisher.publish("t/1", vec![b'x'; 70_000], 1);
    let body = json!({"topic": "t/2", "payload": "y".repeat(70_000)});
    api.post("/v1/publish", &body.to_string()).json();
    publisher.publish("t/3", vec![b'z'; 60_000], 1);
    let messages = since(&api, 0, 3);
    for (message, is_there) in messages.iter().zip([false, false, true]) {
        assert_eq!(
            message["payload"].is_string(),
            is_there,
            "{}",
            message["topic"]
        );
        let size = if is_there { json!(null) } else { json!(70_000) };
        assert_eq!(message["payload_size"], size);
    }
    // What it has is not charged as what waits: whoever looks changes nothing.
    let held = api.get("/v1/stats").json()["memory_bytes_by_kind"]["queues"].as_u64();
    assert!(held < Some(1024), "{held:?}");
}

#[test]
fn rows_that_are_missing_are_told_of() {
    let api = api();
    let target = "/v1/messages?filter=t/%23&since=0&wait=0";
    let error = |status: u16| {
        let answer = api.get(target);
        assert_eq!(answer.status, status, "{answer:?}");
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        body["error"].as_str().expect("an error").to_owned()
    };
    assert_eq!(error(408), "fewer than 1 messages within 0ns");
    let mut publisher = api.connect("publisher");
    publisher.publish("t/1", "x", 1);
    let put = |body: &str| {
        api.send(
            "PUT",
            "/v1/journal",
            &[("Content-Type", "application/json")],
            body,
        )
    };
    assert_eq!(put(r#"{"on": true, "rows": 1}"#).status, 200);
    let found = error(410);
    assert!(
        found.starts_with("nobody can say which were the first: "),
        "{found}"
    );
    assert_eq!(put(r#"{"on": false, "rows": 1000}"#).status, 200);
    let found = error(409);
    assert!(found.starts_with("the journal is off: "), "{found}");
    assert_eq!(put(r#"{"on": true}"#).status, 200);
    let found = error(409);
    assert!(
        found.ends_with("the journal is off, or was for a part of the time"),
        "{found}"
    );
    // Whoever waits is told at once.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| api.get("/v1/messages?filter=off&since=9999&wait=10s"));
        api.get("/v1/subscriptions?filter=off&captures=1&wait=10s")
            .json();
        assert_eq!(put(r#"{"on": false}"#).status, 200);
        assert_eq!(waiting.join().expect("an answer").status, 409);
    });
    assert_eq!(put(r#"{"on": true}"#).status, 200);
    let nowhere = api.get("/v1/messages?filter=t&after=1&wait=0");
    assert_eq!(nowhere.status, 400);
    assert!(nowhere.body.contains("'since'"), "{}", nowhere.body);
    // What was to be forgotten is none that is missed.
    api.delete("/v1/journal").json();
    publisher.publish("t/1", "y", 1);
    assert_eq!(texts(&since(&api, 0, 1)), ["y"]);
}

#[test]
fn program_has_the_same() {
    let api = api();
    let server = api.server();
    let publish = |text: &'static str| server.publish(&Message::new("t/1", text)).expect("legal");
    publish("one");
    publish("two");
    let asked = |since, count, within| {
        let asked = server.wait_for_messages_since("t/+", since, count, within);
        api.block_on(asked.expect("a legal filter"))
    };
    let found = asked(0, 2, DEADLINE).expect("they are there");
    assert_eq!(found[1].payload, "two");
    let none = asked(server.journal().last(), 1, Duration::ZERO);
    let error = none.expect_err("there is none");
    let text = "a message on 't/+' is to be published, but not within 0ns: 0 came";
    assert_eq!(error.to_string(), text);
    assert!(
        server
            .wait_for_messages_since("$share/g/t", 0, 1, DEADLINE)
            .is_err()
    );
    server.journal().switch(false);
    let error = asked(0, 1, DEADLINE).expect_err("the journal is off");
    assert!(matches!(error, WaitError::NotInJournal { .. }), "{error}");
}
