//! `POST /v1/publish`.

use roundel::Config;
use serde_json::json;

use crate::{
    api::Api,
    support::{
        CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY_INTERVAL, PAYLOAD_FORMAT_INDICATOR,
        RESPONSE_TOPIC, Value,
    },
};

#[test]
fn message_reaches_plain_subscribers_and_one_member_of_each_group() {
    let api = Api::start();
    let (mut a, mut b, mut c) = (api.connect("a"), api.connect("b"), api.connect("c"));
    a.subscribe("x/+", 2);
    b.subscribe("$share/g/x/y", 1);
    c.subscribe("$share/g/x/y", 1);
    let answer = api.post(
        "/v1/publish",
        r#"{"topic":"x/y","payload":"hello","qos":2}"#,
    );
    assert_eq!(
        answer.json(),
        json!({"matched": true, "subscribers": 1, "groups": 1})
    );
    let plain = a.receive();
    assert_eq!((plain.text(), plain.qos, plain.retain), ("hello", 2, false));
    assert_eq!(b.receive().qos, 1);
    c.expect_only_pingresp();
}

/// What is no text is published as it is written.
#[test]
fn payload_may_be_any_json_value() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.subscribe("x", 0);
    for (value, payload) in [
        (
            r#"{ "b": [1, {}],  "a": null }"#,
            r#"{ "b": [1, {}],  "a": null }"#,
        ),
        ("[]", "[]"),
        ("5.0", "5.0"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("true", "true"),
        (r#""a \"b\" \u00e9""#, "a \"b\" é"),
        (r#""""#, ""),
    ] {
        let body = format!(r#"{{"topic": "x", "payload": {value} }}"#);
        assert_eq!(api.post("/v1/publish", &body).json()["subscribers"], 1);
        assert_eq!(client.receive().text(), payload);
    }
    for (value, field) in [("null", "payload"), (r#""\ud800""#, "payload")] {
        let body = format!(r#"{{"topic": "x", "payload": {value}}}"#);
        api.post("/v1/publish", &body)
            .expect_error(400, Some(field));
    }
    let twice = r#"{"topic": "x", "payload": {}, "payload_base64": ""}"#;
    api.post("/v1/publish", twice)
        .expect_error(400, Some("payload_base64"));
}

#[test]
fn message_that_nobody_subscribes_to_is_published_all_the_same() {
    let api = Api::start();
    let answer = api.post(
        "/v1/publish",
        r#"{"topic":"x","payload":"kept","retain":true}"#,
    );
    assert_eq!(
        answer.json(),
        json!({"matched": false, "subscribers": 0, "groups": 0})
    );
    let mut client = api.connect("a");
    client.subscribe("x", 0);
    let replayed = client.receive();
    assert_eq!((replayed.text(), replayed.retain), ("kept", true));
    // MQTT-3.3.1-6.
    api.post("/v1/publish", r#"{"topic":"x","payload":"","retain":true}"#)
        .json();
    assert_eq!(api.get("/v1/retained").json()["total"], 0);
}

/// `$SYS/` is the broker's own, and the state of a bridge there is not.
#[test]
fn nothing_is_published_to_a_topic_of_the_broker() {
    let api = Api::start();
    let mut reader = api.connect("a");
    reader.subscribe("$SYS/#", 1);
    for topic in ["$SYS/broker/uptime", "$SYS/x", "$SYS"] {
        let request = json!({"topic": topic, "payload": "forged", "retain": true});
        api.post("/v1/publish", &request.to_string())
            .expect_error(403, Some("topic"));
        let message = roundel::Message::new(topic, "forged").retained();
        let refused = api.server().publish(&message).expect_err("it is refused");
        assert_eq!(refused.reason, roundel::ReasonCode::NotAuthorized);
    }
    let state = "$SYS/broker/connection/bridge/state";
    api.post(
        "/v1/publish",
        &json!({"topic": state, "payload": "1", "retain": true}).to_string(),
    )
    .json();
    assert_eq!(reader.receive().topic, state);
    reader.expect_only_pingresp();
    assert_eq!(api.get("/v1/retained").json()["total"], 1);
}

#[test]
fn properties_arrive_as_given() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.subscribe("x", 0);
    let body = json!({
        "topic": "x",
        "payload_base64": "AP8=",
        "properties": {
            "payload_format_indicator": 0,
            "message_expiry_interval": 600,
            "content_type": "application/cbor",
            "response_topic": "re/ply",
            "correlation_data": "AQID",
            "user_properties": [["k", "1"], ["k", "2"]],
        },
    });
    api.post("/v1/publish", &body.to_string()).json();
    let message = client.receive();
    assert_eq!(message.payload, [0, 255]);
    let props = &message.props;
    assert_eq!(props.number(PAYLOAD_FORMAT_INDICATOR), Some(0));
    assert_eq!(props.number(MESSAGE_EXPIRY_INTERVAL), Some(600));
    assert_eq!(
        props.text(CONTENT_TYPE).as_deref(),
        Some("application/cbor")
    );
    assert_eq!(props.text(RESPONSE_TOPIC).as_deref(), Some("re/ply"));
    assert_eq!(
        props.get(CORRELATION_DATA),
        Some(&Value::Bytes(vec![1, 2, 3]))
    );
    let pairs = [("k", "1"), ("k", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(props.user_properties(), pairs);
}

#[test]
fn wrong_body_is_refused_with_the_field_that_is_wrong() {
    let api = Api::start();
    let long =
        json!({"topic": "x", "payload": "", "properties": {"content_type": "x".repeat(65_536)}});
    for (body, field) in [
        ("", None),
        ("{", None),
        ("[]", None),
        (r#"{"topic":"x","payload":""}{}"#, None),
        (r#"{"payload":""}"#, Some("topic")),
        (r#"{"topic":7,"payload":""}"#, Some("topic")),
        (r#"{"topic":"","payload":""}"#, Some("topic")),
        (r#"{"topic":"x/+","payload":""}"#, Some("topic")),
        (r#"{"topic":"x"}"#, Some("payload")),
        (
            r#"{"topic":"x","payload":"","payload_base64":""}"#,
            Some("payload_base64"),
        ),
        (
            r#"{"topic":"x","payload_base64":"?"}"#,
            Some("payload_base64"),
        ),
        (r#"{"topic":"x","payload":"","qos":3}"#, Some("qos")),
        (r#"{"topic":"x","payload":"","qos":"1"}"#, Some("qos")),
        (r#"{"topic":"x","payload":"","retain":1}"#, Some("retain")),
        (r#"{"topic":"x","payload":"","Qos":1}"#, Some("Qos")),
        (
            r#"{"topic":"x","payload":"","properties":{"type":""}}"#,
            Some("properties.type"),
        ),
        (
            r#"{"topic":"x","payload":"","properties":{"payload_format_indicator":2}}"#,
            Some("properties.payload_format_indicator"),
        ),
        (
            r#"{"topic":"x","payload":"","properties":{"correlation_data":"?"}}"#,
            Some("properties.correlation_data"),
        ),
        (
            r#"{"topic":"x","payload":"","properties":{"user_properties":[["k"]]}}"#,
            Some("properties.user_properties[0]"),
        ),
        (
            r#"{"topic":"x","payload":"","properties":{"response_topic":"x/#"}}"#,
            Some("properties"),
        ),
        (
            r#"{"topic":"x","payload":"","properties":{"content_type":"\u0000"}}"#,
            Some("properties"),
        ),
        (&long.to_string(), Some("properties")),
    ] {
        api.post("/v1/publish", body).expect_error(400, field);
    }
}

/// AWS-FAIL-08, AWS-LIM-01, AWS-LIM-05, AWS-MQTT-03.
#[test]
fn rules_for_clients_hold_here_as_well() {
    let api = Api::start_with(|config| {
        let aws = Config::aws();
        config.limits = aws.limits;
        config.aws = aws.aws;
    });
    let publish = |body: serde_json::Value| api.post("/v1/publish", &body.to_string());
    publish(json!({"topic": "$x", "payload": ""})).expect_error(400, Some("topic"));
    publish(json!({"topic": "1/2/3/4/5/6/7/8/9", "payload": ""})).expect_error(400, Some("topic"));
    publish(json!({"topic": "x", "payload": "", "qos": 2})).expect_error(400, Some("qos"));
    let large = "x".repeat(131_073);
    publish(json!({"topic": "x", "payload": large})).expect_error(413, Some("payload"));
}

#[test]
fn message_that_cannot_be_retained_is_delivered_and_reported() {
    let api = Api::start_with(|config| config.limits.retained = 0);
    let mut client = api.connect("a");
    client.subscribe("x", 0);
    let body = r#"{"topic":"x","payload":"hello","retain":true}"#;
    api.post("/v1/publish", body).expect_error(507, None);
    assert_eq!(client.receive().text(), "hello");
}
