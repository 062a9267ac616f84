//! `/v1/openapi.json` is as strict as the broker: what a schema takes, the broker takes, and nothing else. This is the
//! quick part of what `tests/openapi/fuzz` does for minutes: each kind of thing that it has found is here.

use serde_json::{Value, json};

use crate::api::Api;
use crate::description::DESCRIPTION;

fn encoded(text: &str) -> String {
    let bytes = text.bytes();
    bytes.map(|byte| format!("%{byte:02X}")).collect()
}

/// Where a text that a schema is about goes in a request: `{}` stands for it.
#[test]
fn schemas_of_texts_say_what_the_broker_takes() {
    let api = Api::start();
    api.server().journal().switch(true);
    let filters = [
        "a",
        "/",
        "//",
        "a/+/b",
        "+",
        "#",
        "+/#",
        "/#",
        "$SYS/#",
        "$sharex/a",
        "a b",
        "",
        "a+",
        "a/#/b",
        "a#",
        "#/",
        "++",
        "a/b+/c",
        "\0",
        "a\0",
        "$share",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/g/a",
        "$share/g//",
        "$share/g/+/#",
        "$share/g/a+",
        "$share/+/a",
        "$share/g#/a",
        "$share/g/#/a",
        "\n",
        "a\n",
    ];
    let times = [
        "0", "5", "59", "60", "61", "007", "5s", "60s", "61s", "500ms", "9999ms", "60000ms",
        "60001ms", "1m", "2m", "0m", "1h", "1s5ms", "5 s", " 5s", "5s ", "+5", "-5", "5x", "s",
        "ms", "", "1e1", "5S", "5s\n",
    ];
    let codes = [
        "0", "0x0", "0x00", "0x98", "0X98", "0x9F", "152", "0x04", "4", "0x92", "146", "0xa2",
        "0xa3", "162", "163", "0x100", "256", "0x098", "0152", "+152", "0x+9", "-1", "x", "0x", "",
        "152 ", "0x1", "17",
    ];
    let events = [
        "*",
        "connected",
        "handshake_failed",
        "Connected",
        "made",
        "x",
        "",
    ];
    let topics = ["a", "/", "a/b", "$x", "", "+", "a/#", "a\0", "a b", "\n"];
    let shares = ["g", "a b", "$", "", "g/h", "+", "g#", "\0"];
    let streams = [
        "stats",
        "stats,groups",
        "stats,stats",
        "",
        "stats,",
        ",stats",
        "Stats",
        "stats groups",
    ];
    let levels = ["/", "a/", "a//", "a", "", "a/b"];
    let kinds = ["PUBLISH", "AUTH", "publish", "PUBLSH", ""];
    let numbers = [
        "0", "1", "65535", "65536", "-1", "+1", "1.0", "", "x", "1e2",
    ];
    let flags = ["true", "false", "True", "1", "0", "yes", ""];
    let mut wrong = Vec::new();
    let mut compare = |method: &str, target: &str, texts: &[&str]| {
        let path = target.split('?').next().expect("a path");
        let schema = schema_of(method, path, target);
        for text in texts {
            let value = match (schema["type"].as_str(), text.parse::<u64>(), *text) {
                (Some("integer"), Ok(number), text) if !text.starts_with('+') => json!(number),
                (Some("boolean"), _, "true" | "false") => json!(*text == "true"),
                _ => json!(text),
            };
            // No parameter is empty.
            let expected = !text.is_empty() && DESCRIPTION.check(schema, &value).is_ok();
            let answer = api.send(method, &target.replace("{}", &encoded(text)), &[], "");
            if expected == (answer.status == 400) {
                wrong.push(format!("{method} {target} '{text}': {answer:?}"));
            }
        }
    };
    compare("GET", "/v1/retained?filter={}", &filters);
    compare("DELETE", "/v1/retained?filter={}", &filters);
    compare("GET", "/v1/groups?filter={}", &filters);
    compare("GET", "/v1/groups?share={}", &shares);
    compare("GET", "/v1/subscriptions?filter={}", &filters);
    compare("GET", "/v1/messages?wait=0&filter={}", &filters);
    compare("GET", "/v1/journal?topic={}", &filters);
    compare("GET", "/v1/journal?event={}", &events);
    compare("GET", "/v1/journal?reason={}", &codes);
    compare("GET", "/v1/journal?type={}", &kinds);
    compare("GET", "/v1/journal?packet_id={}", &numbers);
    compare("GET", "/v1/journal?qos={}", &["0", "2", "3", "+1", "x", ""]);
    compare("GET", "/v1/journal?dup={}", &flags);
    compare("DELETE", "/v1/clients/nobody?reason={}", &codes);
    compare("GET", "/v1/topics/value?topic={}", &topics);
    compare("GET", "/v1/topics/levels?under={}", &levels);
    let short = times.map(|time| {
        if [
            "5", "59", "60", "007", "5s", "60s", "9999ms", "60000ms", "1m",
        ]
        .contains(&time)
        {
            "1ms"
        } else {
            time
        }
    });
    compare("GET", "/v1/clients/nobody?wait={}", &short);
    compare("GET", "/v1/journal/wait?timeout={}", &short);
    compare("GET", "/v1/rules/1?wait={}", &times);
    compare(
        "GET",
        "/v1/events?topics={}",
        &streams.map(|text| {
            if text.starts_with("stats") && !text.ends_with(',') && !text.contains(' ') {
                ""
            } else {
                text
            }
        }),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The schema of the parameter that `{}` stands for.
fn schema_of<'a>(method: &str, path: &str, target: &str) -> &'a Value {
    let path = path
        .replace("/nobody", "/{id}")
        .replace("/rules/1", "/rules/{id}");
    let (before, _) = target.split_once("={}").expect("a place");
    let name = before.rsplit(['?', '&']).next().expect("a name");
    let operation = &DESCRIPTION.0["paths"][&path][method.to_lowercase()];
    let all = operation["parameters"].as_array().into_iter().flatten();
    let found = all
        .map(|own| DESCRIPTION.resolve(own))
        .find(|own| own["name"] == name);
    let mut schema = &found.unwrap_or_else(|| panic!("{target}: no parameter {name}"))["schema"];
    if schema.get("type").is_none() && schema.get("$ref").is_some() {
        schema = DESCRIPTION.resolve(schema);
    }
    schema
}

/// Each body goes to the broker and is held against the schema: both take it, or neither does. Those of one line are
/// there twice because null is a member that is left out.
#[test]
fn schemas_of_bodies_say_what_the_broker_takes() {
    let api = Api::start();
    let mut wrong = Vec::new();
    let mut compare = |method: &str, path: &str, bodies: &[Value]| {
        let operation = &DESCRIPTION.0["paths"][path][method.to_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        for body in bodies {
            let json = [("Content-Type", "application/json")];
            let answer = api.send(method, path, &json, &body.to_string());
            let expected = DESCRIPTION.check(schema, body);
            if expected.is_ok() == (answer.status == 400) {
                wrong.push(format!("{method} {path} {body}: {expected:?}, {answer:?}"));
            }
            if answer.status == 400 && body.is_object() {
                let error: Value = serde_json::from_str(&answer.body).expect("JSON");
                assert!(
                    error["field"].is_string(),
                    "{method} {path} {body}: {error}"
                );
            }
        }
    };
    let message = |more: Value| {
        let mut body = json!({ "topic": "a" });
        let members = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        body
    };
    let properties =
        |properties: Value| message(json!({ "payload": "", "properties": properties }));
    compare(
        "POST",
        "/v1/publish",
        &[
            message(json!({ "payload": "x" })),
            message(json!({ "payload": "x", "payload_base64": null })),
            message(json!({ "payload": null, "payload_base64": "eA==" })),
            message(json!({ "payload_base64": "" })),
            message(json!({})),
            message(json!({ "payload": null })),
            message(json!({ "payload": null, "payload_base64": null })),
            message(json!({ "payload": "x", "payload_base64": "eA==" })),
            message(json!({ "payload": 7 })),
            message(json!({ "payload": { "a": 1 } })),
            message(json!({ "payload_base64": "eA" })),
            message(json!({ "payload_base64": "eB==" })),
            message(json!({ "payload_base64": "e A=" })),
            message(json!({ "payload_base64": "-_-_" })),
            message(json!({ "payload": "x", "topic": "" })),
            json!(["a", "x"]),
            message(json!({ "payload": "x", "properties": [] })),
            message(json!({ "payload": "x", "properties": { "topic_alias": 0 } })),
            message(json!({ "payload": "x", "properties": { "topic_alias": 1 } })),
            message(json!({ "payload": "x", "topic": "a/+" })),
            message(json!({ "payload": "x", "topic": "\0" })),
            message(json!({ "payload": "x", "qos": 2 })),
            message(json!({ "payload": "x", "qos": 3 })),
            message(json!({ "payload": "x", "qos": -1 })),
            message(json!({ "payload": "x", "qos": 1.5 })),
            message(json!({ "payload": "x", "qos": null })),
            message(json!({ "payload": "x", "retain": "yes" })),
            message(json!({ "payload": "x", "Qos": 1 })),
            properties(
                json!({ "content_type": "a", "response_topic": "b", "correlation_data": "AQI=" }),
            ),
            properties(json!({ "content_type": null, "message_expiry_interval": null })),
            properties(json!({ "content_type": "a\0" })),
            properties(json!({ "response_topic": "" })),
            properties(json!({ "response_topic": "a/#" })),
            properties(json!({ "correlation_data": "?" })),
            properties(json!({ "payload_format_indicator": 2 })),
            properties(json!({ "message_expiry_interval": 4294967295_u64 })),
            properties(json!({ "message_expiry_interval": 4294967296_u64 })),
            properties(json!({ "user_properties": [["a", "b"], ["a", ""]] })),
            properties(json!({ "user_properties": [["a"]] })),
            properties(json!({ "user_properties": [["a", "b", "c"]] })),
            properties(json!({ "user_properties": [["a\0", "b"]] })),
            properties(json!({ "user_properties": null })),
            properties(json!({ "topic_alias": 1 })),
            json!({ "payload": "x" }),
            json!([]),
        ],
    );
    let delay = |seconds: Value| json!({ "do": "delay", "delay_seconds": seconds });
    let matches = |matches: Value| json!({ "do": "drop", "match": matches });
    let answer = |packet: Value| json!({ "do": "answer", "packet": packet });
    let replace = |set: Value| json!({ "do": "replace", "set": set });
    compare(
        "POST",
        "/v1/rules",
        &[
            json!({ "do": "drop" }),
            json!({ "do": "drop", "name": null, "times": null, "seed": 7, "delay_seconds": null, "packet": null }),
            json!({ "do": "drop", "name": "" }),
            json!({ "do": "drop", "delay_seconds": 1 }),
            json!({ "do": "drop", "seed": null }),
            json!({ "do": "drop", "match": null }),
            json!({ "do": "drop", "expires_after_seconds": 0 }),
            json!({ "do": "drop", "expires_after_seconds": 1e19 }),
            json!({ "do": "drop", "expires_after_seconds": 1e20 }),
            json!({ "do": "drop", "expires_after_seconds": -1 }),
            json!({ "do": "Drop" }),
            json!({}),
            json!({ "do": "mute_pings" }),
            json!({ "do": "mute_pings", "match": { "client": "a", "type": null } }),
            json!({ "do": "mute_pings", "match": { "direction": "out" } }),
            delay(json!(0.5)),
            delay(Value::Null),
            delay(json!(-0.5)),
            delay(json!("5s")),
            json!({ "do": "delay" }),
            json!({ "do": "corrupt", "bits": 255, "offset": 3 }),
            json!({ "do": "corrupt", "bits": 0 }),
            json!({ "do": "corrupt", "bits": 256 }),
            json!({ "do": "corrupt", "length": 1 }),
            json!({ "do": "truncate", "length": 0 }),
            json!({ "do": "truncate" }),
            json!({ "do": "inject", "packet": { "type": "PINGRESP" }, "when": "before" }),
            json!({ "do": "inject", "packet_base64": "0AA=", "packet": null, "when": null }),
            json!({ "do": "inject", "packet": { "type": "PINGRESP" }, "packet_base64": "0AA=" }),
            json!({ "do": "inject" }),
            json!({ "do": "inject", "packet": { "type": "PINGRESP" }, "when": "later" }),
            json!({ "do": "close", "when": "after" }),
            json!({ "do": "close", "reason": "0x98" }),
            json!({ "do": "disconnect", "reason": 152, "properties": { "reason_string": "x" } }),
            json!({ "do": "disconnect", "reason": "0x98" }),
            json!({ "do": "disconnect", "reason": 256 }),
            json!({ "do": "disconnect", "reason": "152 " }),
            json!({ "do": "disconnect", "reason": 1.5 }),
            json!({ "do": "disconnect", "properties": { "reason_string": null } }),
            json!({ "do": "disconnect", "properties": { "reason_string": [] } }),
            json!({ "do": "disconnect", "properties": { "reason": "x" } }),
            answer(json!({ "type": "CONNACK", "reason": "0x97" })),
            answer(json!({ "type": "CONNECT" })),
            answer(json!({})),
            json!({ "do": "answer", "packet": { "type": "CONNACK" }, "match": { "direction": "in" } }),
            json!({ "do": "answer", "packet": { "type": "CONNACK" }, "match": { "direction": "out" } }),
            answer(
                json!({ "type": "SUBSCRIBE", "filters": ["a", { "filter": "b", "qos": 3, "no_local": true }] }),
            ),
            answer(json!({ "type": "SUBSCRIBE", "filters": [{ "filter": "b", "qos": 4 }] })),
            answer(json!({ "type": "SUBSCRIBE", "filters": [{ "filter": "b", "Qos": 1 }] })),
            answer(json!({ "type": "SUBSCRIBE", "filters": [{ "qos": 1 }] })),
            answer(json!({ "type": "SUBSCRIBE", "filters": [7] })),
            answer(json!({ "type": "PUBLISH", "payload": "a", "payload_base64": null })),
            answer(json!({ "type": "PUBLISH", "payload": "a", "payload_base64": "YQ==" })),
            answer(json!({ "type": "PUBLISH", "qos": 3 })),
            answer(
                json!({ "type": "PUBLISH", "properties": { "user_property": [["a", "b"]], "topic_alias": 1 } }),
            ),
            answer(json!({ "type": "PUBLISH", "properties": { "user_property": ["a", "b"] } })),
            answer(json!({ "type": "PUBLISH", "properties": { "user_property": ["a"] } })),
            answer(
                json!({ "type": "PUBLISH", "properties": { "subscription_identifier": [1, 2] } }),
            ),
            answer(
                json!({ "type": "PUBLISH", "properties": { "subscription_identifier": 268435456 } }),
            ),
            answer(json!({ "type": "PUBLISH", "properties": { "maximum_qos": true } })),
            answer(json!({ "type": "PUBLISH", "properties": { "topic_alias": true } })),
            answer(json!({ "type": "PUBLISH", "properties": { "correlation_data": "AQI" } })),
            answer(json!({ "type": "PUBLISH", "reasons": [256] })),
            replace(json!({})),
            replace(json!({ "qos": 3, "reason": null, "properties": { "topic_alias": null } })),
            replace(json!({ "qos": 4 })),
            replace(json!({ "payload": "a", "payload_base64": "YQ==" })),
            replace(Value::Null),
            matches(
                json!({ "type": "PUBLISH", "topic": "a/#", "nth": 1, "probability": 0.5, "reason": "0x0" }),
            ),
            matches(json!([])),
            matches(json!([null, null])),
            matches(json!({ "topic": "$share/g/a" })),
            matches(json!({ "topic": "a#" })),
            matches(json!({ "topic": "" })),
            matches(json!({ "nth": 0 })),
            matches(json!({ "every": 0 })),
            matches(json!({ "probability": 1.5 })),
            matches(json!({ "qos": 3 })),
            matches(json!({ "packet_id": 65536 })),
            matches(json!({ "direction": "up" })),
            matches(json!({ "type": "publish" })),
            matches(json!({ "topics": "a" })),
        ],
    );
    compare(
        "POST",
        "/v1/inject",
        &[
            json!({ "client": "a", "packet": { "type": "PINGRESP" } }),
            json!({ "client": "a", "packet_base64": "0AA=", "direction": null }),
            json!({ "client": "a" }),
            json!({ "client": "a", "packet": null, "packet_base64": null }),
            json!({ "client": "a", "packet_base64": "0A" }),
            json!({ "packet_base64": "0AA=" }),
        ],
    );
    compare(
        "PUT",
        "/v1/journal",
        &[
            json!({ "on": true, "rows": 1, "bytes": null }),
            json!({ "on": false, "rows": 1_000_000 }),
            json!({ "on": true, "rows": 0 }),
            json!({ "on": true, "rows": 1_000_001 }),
            json!({ "on": true, "bytes": 1_073_741_825 }),
            json!({ "on": null }),
            json!({ "rows": 1 }),
        ],
    );
    compare(
        "POST",
        "/v1/clock/advance",
        &[
            json!({ "seconds": 0.5, "keep_alive": false }),
            json!({ "seconds": -1 }),
            json!({ "seconds": 3_153_600_001_u64 }),
            json!({ "seconds": null }),
            json!({}),
        ],
    );
    compare(
        "POST",
        "/v1/outage",
        &[
            json!({ "seconds": 0 }),
            json!({ "seconds": 86_400.5 }),
            json!({ "seconds": -0.5 }),
            json!({ "second": 1 }),
        ],
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// axum's own refusal of a path would be plain text.
#[test]
fn path_that_is_no_text_is_refused_like_everything_else() {
    let api = Api::start();
    for (path, _, operation) in DESCRIPTION.operations() {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let mut parameters = parameters.map(|own| DESCRIPTION.resolve(own));
        if parameters.any(|own| own["in"] == "path") {
            let parts = path
                .split('/')
                .map(|part| if part.starts_with('{') { "%FF" } else { part });
            let path = parts.collect::<Vec<_>>().join("/");
            let answer = api.get(&path);
            if answer.status != 405 {
                answer.expect_error(400, Some("id"));
            }
        }
    }
}

/// MQTT-4.7.3-3, MQTT-1.5.4-2: what is too long for the fuzz to make. A query has no room for as much: hyper refuses it
/// with a status of its own.
#[test]
fn texts_of_packets_take_as_many_bytes_as_the_schema_has_characters() {
    let api = Api::start();
    let schema = &DESCRIPTION.0["components"]["schemas"]["Message"];
    for (length, status) in [(65_535, 200), (65_536, 400)] {
        let long = "x".repeat(length);
        for body in [
            json!({ "topic": long, "payload": "" }),
            json!({ "topic": "a", "payload": "", "properties": { "content_type": long } }),
            json!({ "topic": "a", "payload": "", "properties": { "response_topic": long } }),
        ] {
            let is_described = DESCRIPTION.check(schema, &body).is_ok();
            assert_eq!(is_described, status == 200, "{length}");
            let answer = api.post("/v1/publish", &body.to_string());
            assert_eq!(answer.status, status, "{length}");
        }
        let target = format!("/v1/retained?filter={long}");
        assert!(matches!(api.get(&target).status, 414 | 431), "{length}");
    }
}
