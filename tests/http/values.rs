//! `/v1/topics/values`, `/v1/topics/value`, `/v1/topics/levels`: the last values of topics.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Api;
use crate::support::{CONTENT_TYPE, Connect, Publish, Version, Will, bytes, eventually};

/// A query of one parameter.
fn query(name: &str, value: &str) -> String {
    let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("?{name}={value}")
}

fn value(api: &Api, topic: &str) -> Value {
    api.get(&format!("/v1/topics/value{}", query("topic", topic)))
        .json()
}

/// The levels below one as `level topics messages value`.
fn levels(api: &Api, query: &str) -> Vec<String> {
    let answer = api.get(&format!("/v1/topics/levels{query}")).json();
    let levels = answer["levels"].as_array().expect("a list").iter();
    let shown = levels.map(|level| {
        let value = level["value"]["beginning"].as_str().unwrap_or("-");
        let name = level["level"].as_str().expect("a name");
        format!("{name} {} {} {value}", level["topics"], level["messages"])
    });
    shown.collect()
}

fn advance(api: &Api, seconds: f64) {
    let body = json!({ "seconds": seconds }).to_string();
    api.post("/v1/clock/advance", &body).json();
}

fn held(api: &Api) -> u64 {
    let stats = api.get("/v1/stats").json();
    stats["memory_bytes_by_kind"]["http"]
        .as_u64()
        .expect("a number")
}

#[test]
fn last_two_values_of_a_topic_are_there_with_who_gets_the_next_one() {
    let api = Api::start();
    let mut a = api.connect("a");
    let mut b = api.connect("b");
    b.subscribe("cars/+", 1);
    b.subscribe("cars/7", 0);
    b.subscribe("$share/workers/cars/#", 1);
    b.subscribe("boats/#", 1);
    // Before anybody looked: of these the retained one is there.
    a.publish("cars/7", "unseen", 1);
    a.retain("cars/8", "kept", 1);
    let before = value(&api, "cars/7");
    assert_eq!(
        (&before["last"], &before["count"]),
        (&Value::Null, &json!(0))
    );
    let kept = value(&api, "cars/8");
    assert_eq!(
        (&kept["last"]["payload"], &kept["count"]),
        (&json!("kept"), &json!(0))
    );
    assert_eq!(
        (&kept["retained"], &kept["last"]["client_id"]),
        (&json!(true), &Value::Null)
    );

    a.publish("cars/7", "1", 0);
    let with_kind = Publish::new("cars/7", [0xff, 0x00]).with(bytes(CONTENT_TYPE, "x/y"));
    a.publish_message(with_kind, 1);
    let seen = value(&api, "cars/7");
    assert_eq!(
        (&seen["count"], &seen["retained"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(api.get("/v1/topics/cars%2F7/last").json(), seen);
    api.get("/v1/topics/cars%2F%2B/last")
        .expect_error(400, Some("topic"));
    let mut last = seen["last"].clone();
    let at = last["at_ms"].take().as_u64().expect("a time");
    assert!(at >= seen["since_ms"].as_u64().expect("a time") && at > 1_600_000_000_000);
    assert_eq!(
        last,
        json!({"at_ms": null, "qos": 1, "retain": false, "client_id": "a", "payload_size": 2, "payload": null,
               "payload_base64": "/wA=", "properties": {"content_type": "x/y"}})
    );
    let previous = &seen["previous"];
    assert_eq!(
        (&previous["payload"], &previous["qos"]),
        (&json!("1"), &json!(0))
    );
    assert_eq!(
        seen["subscriptions"],
        json!([{"client_id": "b", "filter": "cars/+", "qos": 1}, {"client_id": "b", "filter": "cars/7", "qos": 0}])
    );
    assert_eq!(
        seen["groups"],
        json!([{"share": "workers", "filter": "cars/#"}])
    );
    assert_eq!(
        (&seen["subscriptions_total"], &seen["groups_total"]),
        (&json!(2), &json!(1))
    );

    // Nobody's messages, and a will.
    api.post("/v1/publish", r#"{"topic": "cars/7", "payload": "api"}"#)
        .json();
    assert_eq!(value(&api, "cars/7")["last"]["client_id"], Value::Null);
    let will = Connect::new("c").will(Will::new("cars/7", "gone"));
    api.open(Version::V5, &will).vanish();
    eventually("a will", || {
        value(&api, "cars/7")["last"]["payload"] == "gone"
    });
    assert_eq!(value(&api, "cars/7")["last"]["client_id"], "c");
}

#[test]
fn tree_has_every_level_once_whatever_topics_look_like() {
    let api = Api::start();
    assert_eq!(levels(&api, ""), [""; 0]);
    let mut client = api.connect("a");
    for (topic, payload) in [
        ("cars", "0"),
        ("cars/7/data", "1"),
        ("cars/7/data", "2"),
        ("cars/8", "3"),
        ("cars-x/1", "4"),
        ("/lead", "5"),
        ("trail/", "6"),
        ("a//b", "7"),
        ("/", "8"),
        ("100%2F/x", "9"),
        ("b c/\u{202e}", "10"),
        ("..", "11"),
    ] {
        client.publish(topic, payload, 1);
    }
    assert_eq!(
        levels(&api, ""),
        [
            " 2 2 -",
            ".. 1 1 11",
            "100%2F 1 1 -",
            "a 1 1 -",
            "b c 1 1 -",
            "cars 3 4 0",
            "cars-x 1 1 -",
            "trail 1 1 -"
        ]
    );
    assert_eq!(levels(&api, &query("under", "/")), [" 1 1 8", "lead 1 1 5"]);
    assert_eq!(levels(&api, &query("under", "a/")), [" 1 1 -"]);
    assert_eq!(levels(&api, &query("under", "a//")), ["b 1 1 7"]);
    assert_eq!(levels(&api, &query("under", "trail/")), [" 1 1 6"]);
    assert_eq!(
        levels(&api, &query("under", "cars/")),
        ["7 1 2 -", "8 1 1 3"]
    );
    assert_eq!(levels(&api, &query("under", "cars/7/")), ["data 1 2 2"]);
    assert_eq!(levels(&api, &query("under", "cars/7/data/")), [""; 0]);
    assert_eq!(levels(&api, &query("under", "100%2F/")), ["x 1 1 9"]);
    for topic in ["..", "/", "100%2F/x", "b c/\u{202e}"] {
        assert_eq!(value(&api, topic)["count"], 1, "{topic}");
    }
    // Page by page, each goes on where the one before ended.
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/topics/levels?limit=3{after}")).json();
        assert_eq!(page["total"], 8);
        let found = page["levels"].as_array().expect("a list");
        let Some(last) = found.last() else { break };
        after = query("after", last["under"].as_str().expect("a text")).replace('?', "&");
        names.extend(
            found
                .iter()
                .map(|level| level["level"].as_str().expect("a name").to_owned()),
        );
    }
    assert_eq!(
        names,
        ["", "..", "100%2F", "a", "b c", "cars", "cars-x", "trail"]
    );
    let found = api.get("/v1/topics/values?q=car&limit=2&after=cars").json();
    let topics: Vec<_> = found["values"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|value| &value["topic"])
        .collect();
    assert_eq!(
        (topics, &found["total"]),
        (vec![&json!("cars-x/1"), &json!("cars/7/data")], &json!(4))
    );
}

#[test]
fn long_payload_is_cut_and_says_so() {
    let api = Api::start();
    value(&api, "t");
    let mut client = api.connect("a");
    client.publish("t", "ü".repeat(150_000), 1);
    let seen = value(&api, "t");
    let last = &seen["last"];
    assert_eq!(
        (&last["payload_size"], &last["payload_is_cut"]),
        (&json!(300_000), &json!(true))
    );
    assert_eq!(last["payload"], "ü".repeat(131_072));
    assert_eq!(last["payload_base64"].as_str().map(str::len), Some(349_528));
    let level = &api.get("/v1/topics/levels").json()["levels"][0]["value"];
    assert_eq!(
        (&level["beginning"], &level["payload_size"]),
        (&json!("ü".repeat(80)), &json!(300_000))
    );
}

/// The table is dropped with its memory when the broker's clock is there, and not before.
#[test]
fn values_are_kept_for_thirty_seconds_after_the_last_look() {
    let api = Api::start();
    let mut client = api.connect("a");
    value(&api, "t");
    let nothing = held(&api);
    client.publish("t", vec![b'x'; 200_000], 1);
    // A connection that has just ended may have been counted among what was nothing.
    assert!(held(&api) > nothing + 100_000);
    advance(&api, 20.0);
    assert_eq!(value(&api, "t")["count"], 1);
    assert!(
        api.get("/v1/deadlines")
            .body
            .contains("end_of_topic_values")
    );
    advance(&api, 20.0);
    assert!(held(&api) > nothing + 100_000, "the look before counts");
    advance(&api, 11.0);
    eventually("the memory is given back", || held(&api) <= nothing);
    assert!(
        !api.get("/v1/deadlines")
            .body
            .contains("end_of_topic_values")
    );
    client.publish("t", "unseen", 1);
    assert_eq!(value(&api, "t")["count"], 0);
    client.publish("t", "seen", 1);
    assert_eq!(value(&api, "t")["count"], 1);
    api.send("POST", "/v1/reset", &[], "").json();
    assert_eq!(value(&api, "t")["count"], 0);
}

#[test]
fn stream_keeps_values_however_the_clock_is_moved_and_tells_of_new_ones() {
    let api = Api::start();
    let mut socket = TcpStream::connect(api.http).expect("the API accepts");
    let request = format!(
        "GET /v1/events?topics=topics HTTP/1.1\r\nHost: {}\r\n\r\n",
        api.http
    );
    socket.write_all(request.as_bytes()).expect("the API reads");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("an option");
    let mut generations = std::io::BufRead::lines(std::io::BufReader::new(&socket))
        .map_while(Result::ok)
        .scan(false, |is_ours, line| {
            let was_ours = std::mem::replace(is_ours, line == "event: topics");
            Some(
                line.strip_prefix("data: ")
                    .filter(|_| was_ours)
                    .map(str::to_owned),
            )
        })
        .flatten();
    let first = generations.next().expect("an event");
    let mut client = api.connect("a");
    client.publish("t", "1", 1);
    assert_ne!(generations.next().expect("an event"), first);
    advance(&api, 86_400.0);
    client.publish("t", "2", 1);
    assert_eq!(value(&api, "t")["count"], 2);
    drop(generations);
    drop(socket);
    // Nobody holds it any more: the lease runs.
    eventually("the lease has begun", || {
        api.get("/v1/deadlines")
            .body
            .contains("end_of_topic_values")
    });
    advance(&api, 31.0);
    assert_eq!(value(&api, "t")["count"], 0);
}

#[test]
fn there_are_ten_thousand_topics_and_the_longest_unused_make_room() {
    let api = Api::start();
    api.get("/v1/topics/levels").json();
    let mut client = api.connect("a");
    for number in 0..10_005 {
        client.post(&format!("t/{number:05}"), "x");
    }
    client.publish("t/00003", "again", 1);
    let answer = api.get("/v1/topics/values?limit=2").json();
    // The third comes back for the sixth.
    assert_eq!(
        (&answer["total"], &answer["dropped"]),
        (&json!(10_000), &json!(6))
    );
    let topics: Vec<_> = answer["values"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|value| &value["topic"])
        .collect();
    assert_eq!(topics, ["t/00003", "t/00006"]);
    assert_eq!(levels(&api, ""), ["t 10000 10000 -"]);
    assert_eq!(
        api.get("/v1/topics/levels?under=t/&limit=1").json()["total"],
        10_000
    );
    advance(&api, 31.0);
    eventually("all is given back", || held(&api) < 100_000);
}

#[test]
fn retained_messages_are_values_and_those_of_the_broker_are_there() {
    let api = Api::start_with(|config| config.sys_interval = Some(Duration::from_millis(20)));
    let mut client = api.connect("a");
    client.retain("kept", "1", 1);
    eventually("$SYS", || {
        levels(&api, "")
            .iter()
            .any(|level| level.starts_with("$SYS 15 "))
    });
    assert_eq!(
        value(&api, "$SYS/broker/clients/connected")["retained"],
        true
    );
    assert_eq!(value(&api, "kept")["retained"], true);
    assert_eq!(
        api.delete("/v1/retained?filter=kept").json(),
        json!({"deleted": 1})
    );
    let after = value(&api, "kept");
    assert_eq!(
        (&after["retained"], &after["last"]["payload"]),
        (&json!(false), &json!("1"))
    );
}

#[test]
fn request_that_makes_no_sense_is_refused_by_name() {
    let api = Api::start();
    for (path, field) in [
        ("/v1/topics/value", "topic"),
        ("/v1/topics/value?topic=a/%23", "topic"),
        ("/v1/topics/value?topic=a%00", "topic"),
        ("/v1/topics/levels?under=a", "under"),
        ("/v1/topics/levels?under=a/&after=b/", "after"),
        ("/v1/topics/levels?under=a/&after=a/b", "after"),
        ("/v1/topics/levels?under=a/&after=a/b/c/", "after"),
        ("/v1/topics/levels?limit=1001", "limit"),
        ("/v1/topics/values?topic=a", "topic"),
    ] {
        api.get(path).expect_error(400, Some(field));
    }
}
