//! `/v1/subscribe`: a client whose messages come as server-sent events.

use serde_json::{Value, json};

use crate::api::Api;
use crate::stream::Stream;

fn open(api: &Api, query: &str) -> (Stream, String) {
    let mut stream = Stream::open(api, &format!("/v1/subscribe?{query}"));
    let hello = stream.next("hello");
    let client_id = hello["client_id"].as_str().expect("a client").to_owned();
    assert!(client_id.starts_with("console-"), "{hello}");
    (stream, client_id)
}

#[test]
fn message_comes_with_its_properties_and_the_subscriptions_it_came_for() {
    let api = Api::start();
    let (mut stream, client_id) = open(&api, "filter=$share/g/cars/%23&qos=1");
    let first = json!({ "id": 1, "filter": "$share/g/cars/#", "qos": 1 });
    assert_eq!(stream.next("subscribed"), first);
    let client = api.get(&format!("/v1/clients/{client_id}")).json();
    assert_eq!(
        (&client["listener"], &client["subscriptions"]),
        (&json!("console"), &json!(["$share/g/cars/#"]))
    );
    assert_eq!(
        api.get("/v1/groups/g/cars%2F%23").json()["members_total"],
        1
    );
    let further = format!("/v1/subscribe/{client_id}");
    let second = api.post(&further, r#"{"filter": "other/+", "qos": 2}"#);
    assert_eq!(
        second.json(),
        json!({ "id": 2, "filter": "other/+", "qos": 2 })
    );

    let properties = json!({
        "payload_format_indicator": 1,
        "message_expiry_interval": 60,
        "content_type": "application/json",
        "response_topic": "answers",
        "correlation_data": "AQI=",
        "user_properties": [["a", "1"], ["a", "2"]],
    });
    let message = json!({
        "topic": "cars/1", "payload": "{\"speed\":77}", "qos": 1, "properties": properties,
    });
    let published = api.post("/v1/publish", &message.to_string()).json();
    assert_eq!(
        published,
        json!({ "matched": true, "subscribers": 0, "groups": 1 })
    );
    let mut got = stream.next("message");
    let at = got.as_object_mut().and_then(|got| got.remove("at_ms"));
    assert!(
        at.and_then(|at| at.as_u64())
            .is_some_and(|at| at > 1_600_000_000_000)
    );
    assert_eq!(
        got,
        json!({
            "subscriptions": [1], "topic": "cars/1", "qos": 1, "retain": false, "dup": false,
            "payload": "{\"speed\":77}", "payload_size": 12, "properties": properties,
        })
    );
    // What was taken is acknowledged.
    let client = api.get(&format!("/v1/clients/{client_id}")).json();
    assert_eq!(
        (&client["in_flight"], &client["queued"]),
        (&json!(0), &json!(0))
    );

    let mut publisher = api.connect("publisher");
    publisher.publish("other/x", vec![0xff, 0x00], 2);
    let got = stream.next("message");
    assert_eq!(
        (&got["subscriptions"], &got["payload_base64"], &got["qos"]),
        (&json!([2]), &json!("/wA="), &json!(2))
    );
    publisher.publish("other/x", vec![b'x'; 40_000], 0);
    let got = stream.next("message");
    assert_eq!(
        (&got["payload_cut"], &got["payload_size"]),
        (&json!(32768), &json!(40_000))
    );
    assert_eq!(got["payload"].as_str().map(str::len), Some(32768));

    let ended = api.delete(&format!("{further}?filter=other/%2B")).json();
    assert_eq!(ended, json!({ "unsubscribed": "other/+" }));
    let again = api.delete(&format!("{further}?filter=other/%2B"));
    again.expect_error(404, Some("filter"));
    let client = api.get(&format!("/v1/clients/{client_id}")).json();
    assert_eq!(client["subscriptions_total"], 1);
}

/// MQTT-3.3.2-7 to -12: an alias is for the messages of one client, and stands for the topic it came with last.
#[test]
fn alias_stands_for_a_topic_of_its_client() {
    let api = Api::start_with(|config| config.limits.topic_alias_maximum = 8);
    let (mut stream, client_id) = open(&api, "filter=%23");
    let (_other, other) = open(&api, "filter=none");
    let message = |client_id: Option<&str>, topic: Option<&str>, alias: u32| {
        let properties = json!({ "topic_alias": alias });
        let mut message = json!({ "payload": "x", "properties": properties });
        message["client_id"] = client_id.into();
        if let Some(topic) = topic {
            message["topic"] = topic.into();
        }
        api.post("/v1/publish", &message.to_string())
    };
    let own = Some(&*client_id);
    for (topic, means) in [
        (Some("cars/1"), "cars/1"),
        (Some(""), "cars/1"),
        (Some("cars/2"), "cars/2"),
        (None, "cars/2"),
    ] {
        message(own, topic, 8).json();
        let got = stream.next("message");
        assert_eq!(got["topic"], means);
        assert_eq!(got["properties"], json!({}), "it is for one way only");
    }
    let alias = Some("properties.topic_alias");
    for (client_id, topic, number, rule) in [
        (own, Some(""), 1, "MQTT-3.3.2-12"),
        (Some(&*other), Some(""), 8, "MQTT-3.3.2-12"),
        (own, Some("a"), 9, "MQTT-3.3.2-9"),
        (own, Some("a"), 0, "MQTT-3.3.2-8"),
        (None, Some("a"), 1, "client_id is missing"),
    ] {
        let refused = message(client_id, topic, number);
        assert!(refused.body.contains(rule), "{rule}: {}", refused.body);
        refused.expect_error(400, alias);
    }
    message(own, Some("a/+"), 1).expect_error(400, Some("topic"));
    let none = json!({ "payload": "x", "client_id": client_id }).to_string();
    api.post("/v1/publish", &none)
        .expect_error(400, Some("topic"));
}

#[test]
fn no_local_and_retained_messages_are_as_the_subscription_asks() {
    let api = Api::start();
    let mut publisher = api.connect("publisher");
    publisher.retain("t/old", "kept", 1);
    let (mut stream, client_id) = open(&api, "filter=t/%23&no_local=true&retain_as_published=true");
    let got = stream.next("message");
    assert_eq!(
        (&got["payload"], &got["retain"]),
        (&json!("kept"), &json!(true))
    );
    let own = json!({ "topic": "t/own", "payload": "own", "client_id": client_id });
    let reached = api.post("/v1/publish", &own.to_string()).json();
    assert_eq!(reached["subscribers"], 1, "it matches");
    api.post("/v1/publish", r#"{"topic": "t/other", "payload": "other"}"#)
        .json();
    assert_eq!(
        stream.next("message")["payload"],
        "other",
        "its own does not come"
    );
    let further = format!("/v1/subscribe/{client_id}");
    let again = api.post(&further, r#"{"filter": "t/old"}"#);
    assert_eq!(stream.next("subscribed"), again.json());
    let got = stream.next("message");
    assert_eq!(
        (&got["payload"], &got["subscriptions"]),
        (&json!("kept"), &json!([2]))
    );
    let none = api.post(&further, r#"{"filter": "t/+", "retain_handling": 2}"#);
    none.json();
    publisher.publish("t/new", "new", 0);
    let got = stream.next("message");
    assert_eq!(
        got["payload"], "new",
        "nothing that was retained comes: {got}"
    );
}

#[test]
fn what_is_wrong_is_refused_by_its_name() {
    let api = Api::start();
    let get = |query: &str| api.get(&format!("/v1/subscribe{query}"));
    get("").expect_error(400, Some("filter"));
    get("?filter=a/%23/b").expect_error(400, Some("filter"));
    get("?filter=a&qos=3").expect_error(400, Some("qos"));
    get("?filter=a&retain_handling=3").expect_error(400, Some("retain_handling"));
    get("?filter=$share/g/a&no_local=true").expect_error(400, Some("no_local"));
    assert_eq!(
        api.get("/v1/clients").json()["total"],
        0,
        "no client is left of it"
    );
    let (_stream, client_id) = open(&api, "filter=a");
    let path = format!("/v1/subscribe/{client_id}");
    api.post(&path, r#"{"filter": "a/#/b"}"#)
        .expect_error(400, Some("filter"));
    api.post(&path, r#"{"filter": "b", "qos": 7}"#)
        .expect_error(400, Some("qos"));
    api.post("/v1/subscribe/nobody", r#"{"filter": "b"}"#)
        .expect_error(404, Some("client_id"));
    let by_nobody = r#"{"topic": "t", "payload": "", "client_id": "nobody"}"#;
    api.post("/v1/publish", by_nobody)
        .expect_error(404, Some("client_id"));
}

#[test]
fn stream_ends_with_its_reader_with_its_session_and_with_the_broker() {
    let mut api = Api::start();
    let (first, gone) = open(&api, "filter=$share/g/a");
    drop(first);
    let left = format!("/v1/clients/{gone}?wait=10s&connected=false");
    let left = api.get(&left);
    assert!([200, 404].contains(&left.status), "{left:?}");
    let none = api.get("/v1/groups/g/a?wait=10s&members=0");
    assert!([200, 404].contains(&none.status), "{none:?}");

    let (mut second, client_id) = open(&api, "filter=a");
    api.delete(&format!("/v1/clients/{client_id}"));
    second.expect_end();

    let mut all: Vec<_> = (0..16).map(|_| open(&api, "filter=a").0).collect();
    let crowded = api.get("/v1/subscribe?filter=a");
    crowded.expect_error(503, None);
    assert_eq!(crowded.header("retry-after"), Some("5"));
    api.stop();
    all.iter_mut().for_each(Stream::expect_end);
}

#[test]
fn journal_tells_of_what_it_gets_and_of_what_is_published() {
    let api = Api::start_with(|config| config.journal = true);
    let (mut stream, client_id) = open(&api, "filter=cars/%23&qos=1");
    let message = r#"{"topic": "cars/1", "payload": "x", "qos": 1}"#;
    let row = api.post("/v1/publish", message).json()["row"].clone();
    stream.next("message");
    let found = api.get(&format!("/v1/journal/{row}")).json();
    assert_eq!(
        (&found["event"], &found["topic"], &found["text"]),
        (
            &json!("published"),
            &json!("cars/1"),
            &json!("cars/1, QoS 1, 1 bytes")
        )
    );
    let delivery = &found["links"]["deliveries"][0];
    assert_eq!(
        (
            &delivery["client"],
            &delivery["caused_by"],
            &delivery["what"]
        ),
        (&Value::from(client_id), &row, &json!("PUBLISH q1"))
    );
    let of_it = api.get("/v1/journal?match=topic:cars/%2B").json();
    assert_eq!(of_it["rows"].as_array().map(Vec::len), Some(2), "{of_it}");
}
