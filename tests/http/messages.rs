//! `/v1/retained`.

use serde_json::json;

use crate::api::Api;

#[test]
fn retained_messages_are_listed_with_payload_as_text_and_base64() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.retain("b/text", "grüß", 1);
    client.retain("a/bytes", [0xff, 0x00], 2);
    assert_eq!(
        api.get("/v1/retained").json(),
        json!({"retained": [
            {"topic": "a/bytes", "qos": 2, "retain": true, "properties": {}, "payload": null, "payload_base64": "/wA="},
            {"topic": "b/text", "qos": 1, "retain": true, "properties": {}, "payload": "grüß", "payload_base64": "Z3LDvMOf"},
        ], "total": 2})
    );
}

#[test]
fn retained_messages_are_chosen_by_filter_and_limit() {
    let api = Api::start();
    let mut client = api.connect("a");
    for topic in ["a", "a/b", "a/c", "$x/y"] {
        client.retain(topic, "kept", 1);
    }
    let found = |query: &str| {
        let list = api.get(&format!("/v1/retained{query}")).json();
        let topics = list["retained"].as_array().expect("a list").clone();
        let topics: Vec<_> = topics
            .iter()
            .filter_map(|message| message["topic"].as_str())
            .collect();
        format!("{} of {}", topics.join(" "), list["total"])
    };
    assert_eq!(found(""), "$x/y a a/b a/c of 4");
    assert_eq!(found("?limit=2"), "$x/y a of 4");
    assert_eq!(found("?filter=a/%2B"), "a/b a/c of 2");
    // MQTT-4.7.2-1.
    assert_eq!(found("?filter=%23&limit=1"), "a of 3");
    assert_eq!(found("?limit=0"), " of 4");
}

/// What the broker publishes of itself is no retained message of anybody.
#[test]
fn topics_of_the_broker_are_not_listed() {
    let api = Api::start_with(|config| {
        config.sys_interval = Some(std::time::Duration::from_millis(20));
    });
    let mut reader = api.connect("a");
    reader.subscribe("$SYS/broker/uptime", 0);
    assert_eq!(reader.receive().topic, "$SYS/broker/uptime");
    api.connect("b").retain("a", "kept", 1);
    for query in ["", "?filter=$SYS/%23", "?filter=%23"] {
        let list = api.get(&format!("/v1/retained{query}")).json();
        assert_eq!(
            list["total"],
            u32::from(query != "?filter=$SYS/%23"),
            "{query}"
        );
    }
    assert_eq!(api.get("/v1/stats").json()["retained"], 1);
}

#[test]
fn filter_or_limit_that_makes_no_sense_is_refused() {
    let api = Api::start();
    api.get("/v1/retained?filter=a%2F%23%2Fb")
        .expect_error(400, Some("filter"));
    api.get("/v1/retained?filter=$share/g/a")
        .expect_error(400, Some("filter"));
    api.get("/v1/retained?limit=-1")
        .expect_error(400, Some("limit"));
    api.get("/v1/retained?limit=many")
        .expect_error(400, Some("limit"));
    api.get("/v1/retained?topic=a")
        .expect_error(400, Some("topic"));
}
