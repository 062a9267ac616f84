//! `/v1/clients`.

use std::time::{Duration, Instant};

use roundel::QoS;
use serde_json::json;

use crate::{
    api::Api,
    stream::Stream,
    support::{
        Connect, PINGREQ, Packet, Publish, Subscribe, Version, Will, eventually, receive_maximum,
        session_expiry,
    },
};

#[test]
fn list_has_the_shape_that_scripts_rely_on() {
    let api = Api::start();
    let mut client = api.open(Version::V5, &Connect::new("a").with(session_expiry(3600)));
    client.subscribe("cars/#", 1);
    let answer = api.get("/v1/clients");
    let start = format!(
        concat!(
            r#"{{"clients":[{{"client_id":"a","connected":true,"protocol":5,"listener":"mqtt","#,
            r#""peer":"{}","session_expiry_s":3600,"subscriptions":["cars/#"],"#,
            r#""in_flight":0,"queued":0,"#
        ),
        client.local_address()
    );
    assert!(answer.body.starts_with(&start), "{}", answer.body);
    answer.json();
}

#[test]
fn clients_are_listed_by_identifier_connected_or_not() {
    let api = Api::start();
    let _b = api.open(Version::V3, &Connect::new("b"));
    let mut a = api.open(
        Version::V5,
        &Connect::new("a").with(session_expiry(u32::MAX)),
    );
    a.subscribe("x", 1);
    a.vanish();
    api.connect("c").publish("x", "waits", 1);
    let mut list = json!(null);
    eventually("c is gone", || {
        list = api.get("/v1/clients").json();
        list["clients"]
            .as_array()
            .is_some_and(|clients| clients.len() == 2)
    });
    let [a, b] = [&list["clients"][0], &list["clients"][1]];
    assert_eq!(
        (&a["client_id"], &b["client_id"]),
        (&json!("a"), &json!("b"))
    );
    assert_eq!(a["connected"], false);
    assert_eq!(a["queued"], 1);
    for key in [
        "listener",
        "peer",
        "session_expiry_s",
        "connected_for_s",
        "tls",
    ] {
        assert!(a[key].is_null() && a.get(key).is_some(), "{key}: {a}");
    }
    assert_eq!(
        (&b["protocol"], &b["session_expiry_s"]),
        (&json!(4), &json!(0))
    );
}

#[test]
fn subscriber_in_the_same_process_has_a_listener_and_no_address() {
    let api = Api::start();
    let subscription = api.server().subscribe("x", QoS::AtLeastOnce);
    let _subscription = subscription.expect("a filter that is allowed");
    let list = api.get("/v1/clients").json();
    let client = &list["clients"][0];
    assert_eq!(client["listener"], "local", "{client}");
    assert_eq!(client.get("peer"), Some(&json!(null)), "{client}");
}

#[test]
fn client_is_shown_with_granted_qos() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.subscribe("x/+", 2);
    client.subscribe("$share/g/y", 1);
    client.publish("z", "hello", 1);
    let shown = api.get("/v1/clients/a").json();
    assert_eq!(shown["granted_qos"], json!({"x/+": 2, "$share/g/y": 1}));
    assert_eq!(shown["subscriptions"], json!(["$share/g/y", "x/+"]));
    assert_eq!(shown["messages_received"], 1);
}

/// HTTP clients that take such steps out of a path find these by other calls: docs/control.md.
#[test]
fn client_whose_identifier_is_a_step_of_a_path_is_found() {
    let api = Api::start();
    let mut clients = ["..", ".", "a/b"].map(|id| api.connect(id));
    for (path, id) in [
        ("..", ".."),
        ("%2E%2E", ".."),
        (".", "."),
        ("%2e", "."),
        ("a%2Fb", "a/b"),
    ] {
        let shown = api.get(&format!("/v1/clients/{path}")).json();
        assert_eq!(shown["client_id"], id, "{path}");
        let history = api.get(&format!("/v1/clients/{path}/history")).json();
        assert_eq!(history["events"][0]["event"], "connected", "{path}");
    }
    let [step, ..] = &mut clients;
    step.subscribe("x", 0);
    let listed = api.get("/v1/clients?q=..").json();
    assert_eq!(
        (&listed["total"], &listed["clients"][0]["client_id"]),
        (&json!(1), &json!(".."))
    );
    let subscriptions = api.get("/v1/subscriptions?client=..").json();
    assert_eq!(subscriptions["subscriptions"][0]["filter"], "x");
    let rule = json!({ "match": { "client": "..", "direction": "in" }, "do": "close" });
    api.post("/v1/rules", &rule.to_string()).json_with(201);
    step.send(PINGREQ);
    step.expect_closed();
    let gone = api.delete("/v1/clients/%2E").json();
    assert_eq!(gone["disconnected"], true);
}

#[test]
fn identifier_in_a_path_is_percent_decoded() {
    let api = Api::start();
    let _client = api.connect("$GEN/ü +1%");
    let shown = api.get("/v1/clients/%24GEN%2F%C3%BC%20+1%25").json();
    assert_eq!(shown["client_id"], "$GEN/ü +1%");
    api.get("/v1/clients/%FF").expect_error(400, Some("id"));
}

#[test]
fn unknown_client_is_not_found() {
    let api = Api::start();
    api.get("/v1/clients/nobody").expect_error(404, Some("id"));
    api.delete("/v1/clients/nobody")
        .expect_error(404, Some("id"));
}

/// MQTT-3.14.2-1.
#[test]
fn disconnected_client_is_told_the_reason() {
    let api = Api::start();
    for (query, reason) in [("", 0x98), ("?reason=0x9C", 0x9c), ("?reason=151", 0x97)] {
        let mut client = api.connect("a");
        let answer = api.delete(&format!("/v1/clients/a{query}")).json();
        assert_eq!(
            answer,
            json!({"client_id": "a", "disconnected": true, "reason": reason, "session_ended": false})
        );
        client.expect_disconnect(reason);
    }
    let mut old = api.open(Version::V3, &Connect::new("a"));
    assert_eq!(api.delete("/v1/clients/a").status, 200);
    old.expect_closed();
}

/// A client is ended although the broker does not read from it for the moment: because it sent more than
/// it may, or because it does not read its answers.
#[test]
fn client_that_is_held_back_is_disconnected_at_once() {
    let api = Api::start_with(|config| config.limits.byte_rate = Some(10_000));
    for version in [Version::V3, Version::V5] {
        let mut client = api.open(version, &Connect::new("a"));
        client.send(Publish::new("much", "x".repeat(200_000)));
        eventually("the rate is exceeded", || {
            let shown = api.get("/v1/clients/a").json();
            shown["bytes_received"].as_u64() > Some(10_000)
        });
        let before = Instant::now();
        assert_eq!(api.delete("/v1/clients/a").json()["disconnected"], true);
        client.expect_error(0x98);
        assert!(before.elapsed() < Duration::from_secs(3));
    }
    let api = Api::start();
    let mut client = api.connect("a");
    client.send(PINGREQ.repeat(200_000));
    assert_eq!(api.delete("/v1/clients/a").json()["disconnected"], true);
    let last = client.drain().pop();
    assert!(matches!(
        last,
        Some(Packet::Disconnect { reason: 0x98, .. })
    ));
}

#[test]
fn session_outlives_the_disconnect() {
    let api = Api::start();
    let mut client = api.open(Version::V5, &Connect::new("a").durable());
    assert_eq!(api.delete("/v1/clients/a").json()["disconnected"], true);
    client.expect_disconnect(0x98);
    assert_eq!(api.get("/v1/clients/a").json()["connected"], false);
    assert_eq!(api.delete("/v1/clients/a").json()["disconnected"], false);
}

#[test]
fn reason_that_no_server_sends_is_refused() {
    let api = Api::start();
    let mut client = api.connect("a");
    for reason in ["0x04", "0x92", "0x11", "0xFF", "98", "256", "x"] {
        let target = format!("/v1/clients/a?reason={reason}");
        api.delete(&target).expect_error(400, Some("reason"));
    }
    api.delete("/v1/clients/a?resaon=0x98")
        .expect_error(400, Some("resaon"));
    api.delete("/v1/clients/a?reason=1&reason=2")
        .expect_error(400, Some("reason"));
    client.expect_only_pingresp();
}

#[test]
fn session_tells_who_ended_its_last_connection_and_why() {
    let api = Api::start_with(|config| config.limits.keep_alive = Some((1, 1)));
    let connect = |id: &str| api.open(Version::V5, &Connect::new(id).with(session_expiry(3600)));
    let last_end = |id: &str| {
        let mut end = json!(null);
        eventually("the connection has ended", || {
            end = api.get(&format!("/v1/clients/{id}")).json()["last_end"].take();
            !end.is_null()
        });
        (
            end["by"].as_str().expect("who").to_owned(),
            end["reason"].as_str().expect("why").to_owned(),
        )
    };
    let pair = |by: &str, reason: &str| (by.to_owned(), reason.to_owned());

    let client = connect("leaves");
    let open = api.get("/v1/clients/leaves").json();
    assert_eq!(
        (&open["last_end"], &open["principal"]),
        (&json!(null), &json!(null))
    );
    client.disconnect();
    assert_eq!(last_end("leaves"), pair("client", "client disconnected"));

    connect("vanishes").vanish();
    assert_eq!(last_end("vanishes").0, "network");

    let mut kicked = connect("kicked");
    assert_eq!(api.delete("/v1/clients/kicked?reason=0x98").status, 200);
    kicked.expect_disconnect(0x98);
    assert_eq!(last_end("kicked").0, "operator");

    let mut errs = connect("errs");
    errs.send(Publish::new("a/#", "x"));
    errs.expect_disconnect(0x90);
    let (by, reason) = last_end("errs");
    assert!(
        by == "broker" && reason.contains("MQTT-3.3.2-2"),
        "{by}: {reason}"
    );

    let _silent = connect("silent");
    let jump = r#"{"seconds": 2, "keep_alive": true}"#;
    assert_eq!(api.post("/v1/clock/advance", jump).status, 200);
    assert_eq!(
        last_end("silent"),
        pair("broker", "keep alive timeout (MQTT-3.1.2-22)")
    );
}

/// The client identifiers in the list of a query, with blanks between them.
fn found(api: &Api, query: &str) -> String {
    let list = api.get(&format!("/v1/clients{query}")).json();
    let all = list["clients"].as_array().expect("a list").clone();
    assert_eq!(list["total"], all.len());
    let ids = all
        .iter()
        .map(|one| one["client_id"].as_str().unwrap_or("?").to_owned());
    ids.collect::<Vec<_>>().join(" ")
}

#[test]
fn clients_are_chosen_by_whether_they_are_connected() {
    let api = Api::start();
    let _here = api.connect("here");
    let away = api.open(Version::V5, &Connect::new("away").durable());
    away.vanish();
    api.get("/v1/clients/away?wait=5s&connected=false").json();
    let found = |query| found(&api, query);
    assert_eq!(found(""), "away here");
    assert_eq!(found("?connected=true"), "here");
    assert_eq!(found("?connected=false"), "away");
    assert_eq!(found("?connected=false&q=h"), "");
    api.get("/v1/clients?connected=yes")
        .expect_error(400, Some("connected"));
}

#[test]
fn client_is_shown_with_its_keep_alive_its_window_and_its_will() {
    let api = Api::start();
    let will = Will::new("gone/a", "bye").qos(1);
    let connect = Connect::new("a").keep_alive(30).will(will);
    let _a = api.open(Version::V5, &connect.with(receive_maximum(7)));
    let shown = api.get("/v1/clients/a").json();
    assert_eq!(
        (&shown["keep_alive_s"], &shown["window"]),
        (&json!(30), &json!(7))
    );
    let will =
        json!({"topic": "gone/a", "qos": 1, "retain": false, "delay_s": 0, "payload_size": 3});
    assert_eq!(shown["will"], will);
}

/// Whoever asks after the client is gone learns what led to that.
#[test]
fn history_of_a_client_outlives_its_session() {
    let api = Api::start();
    let history = |id: &str| {
        let answer = api.get(&format!("/v1/clients/{id}/history")).json();
        let mut events = answer["events"].as_array().expect("a list").clone();
        assert_eq!(answer["total"], events.len());
        let times = events.iter().map(|event| event["at_ms"].as_u64());
        assert!(times.is_sorted_by(|later, earlier| later >= earlier));
        for event in &mut events {
            let event = event.as_object_mut().expect("an object");
            assert!(event.remove("at_ms").is_some());
            event.remove("peer");
            let text = event.remove("text");
            assert!(text.is_some_and(|text| text.as_str().is_some_and(|text| text.contains(' '))));
        }
        events
    };
    let ended = |id: &str| {
        let target = format!("/v1/clients/{id}?connected=false&wait=30s");
        assert_eq!(api.get(&target).status, 200);
    };
    assert_eq!(history("a"), Vec::<serde_json::Value>::new());
    let durable = Connect::new("a").with(session_expiry(60));
    api.open(Version::V5, &durable).vanish();
    ended("a");
    let mut back = api.open(Version::V5, &durable.resume());
    api.delete("/v1/clients/a?reason=0x97").json();
    back.expect_disconnect(0x97);
    api.post("/v1/clock/advance", r#"{"seconds": 60}"#).json();
    let connected = |version: u8, present: bool| json!({"event": "connected", "protocol": version, "listener": "mqtt", "session_present": present});
    let disconnected = |by: &str, cause: &str, code: Option<u8>, reason: &str, ended: bool| json!({"event": "disconnected", "by": by, "cause": cause, "code": code, "reason": reason, "session_ended": ended});
    let all = history("a");
    let lost = all.get(3).map(|event| event["reason"].clone());
    let lost = lost.as_ref().and_then(serde_json::Value::as_str);
    assert_eq!(
        all,
        [
            json!({"event": "session_ended", "cause": "expired"}),
            disconnected(
                "operator",
                "kicked",
                Some(0x97),
                "disconnected through the control API (Quota exceeded)",
                false
            ),
            connected(5, true),
            disconnected("network", "lost", None, lost.expect("why"), false),
            connected(5, false),
        ]
    );
    let first = api.get("/v1/clients/a/history?limit=1").json();
    assert_eq!(
        (&first["events"][0]["cause"], &first["total"]),
        (&json!("expired"), &json!(5))
    );
    // The end that is waited for is still the last one.
    let gone = api.get("/v1/clients/a?connected=false&wait=1s").json();
    assert_eq!(gone["last_end"]["cause"], "kicked");

    api.open(Version::V3, &Connect::new("b")).disconnect();
    ended("b");
    assert_eq!(
        history("b"),
        [
            disconnected("client", "disconnect", Some(0), "client disconnected", true),
            connected(4, false),
        ]
    );
    api.post("/v1/reset", "").json();
    assert_eq!(history("a").len() + history("b").len(), 0);
    api.get("/v1/clients/a/history?limit=x")
        .expect_error(400, Some("limit"));
}

#[test]
fn history_has_what_a_client_subscribed_to() {
    let api = Api::start_with(|config| config.limits.subscriptions_per_session = 4);
    let mut client = api.connect("a");
    client.subscribe("$share/g/cars/+", 2);
    let filters = ["a/0", "b/1", "c/2", "d/refused", "e/refused"];
    let packet = filters
        .iter()
        .fold(Subscribe::new(7), |packet, filter| packet.filter(filter, 0));
    client.send(packet);
    client.expect_suback(7);
    client.unsubscribe(filters[0]);
    client.unsubscribe(&"ü".repeat(100));
    let mut stream = Stream::open(&api, "/v1/subscribe?filter=x&qos=1");
    let hello = stream.next("hello");
    let own = hello["client_id"].as_str().expect("a client");
    api.delete(&format!("/v1/subscribe/{own}?filter=x")).json();

    let history = |id: &str| {
        let events = api.get(&format!("/v1/clients/{id}/history")).json()["events"].take();
        let texts = events.as_array().expect("a list").iter();
        let texts = texts.map(|event| event["text"].as_str().expect("a text").to_owned());
        (texts.collect::<Vec<_>>(), events)
    };
    let (texts, events) = history("a");
    let long = format!("UNSUBSCRIBE {}… (No subscription existed)", "ü".repeat(62));
    assert_eq!(
        texts[..4],
        [
            long.as_str(),
            "UNSUBSCRIBE a/0 (Success)",
            "SUBSCRIBE a/0 (Granted QoS 0), b/1 (Granted QoS 0), c/2 (Granted QoS 0), d/refused (Quota exceeded), \
             and 1 more; 2 refused",
            "SUBSCRIBE $share/g/cars/+ (Granted QoS 2)",
        ]
    );
    assert_eq!(
        (
            &events[2]["event"],
            &events[2]["filters"][3],
            &events[2]["filters_total"]
        ),
        (
            &json!("subscribed"),
            &json!({"filter": "d/refused", "code": 0x97}),
            &json!(5)
        )
    );
    assert_eq!(events[4]["event"], "connected");
    let (texts, _) = history(own);
    assert_eq!(
        texts[..2],
        ["UNSUBSCRIBE x (Success)", "SUBSCRIBE x (Granted QoS 1)"]
    );
}

#[test]
fn history_has_connects_that_were_refused() {
    let api = Api::start_with(|config| config.limits.sessions = 1);
    let _first = api.connect("first");
    let mut client = crate::support::Client::dial(api.mqtt(), Version::V5);
    client.send_connect(&Connect::new("second"));
    assert_eq!(client.expect_connack().1, 0x97);
    let events = api.get("/v1/clients/second/history").json()["events"].take();
    assert_eq!(
        (
            &events[0]["event"],
            &events[0]["code"],
            &events[0]["listener"]
        ),
        (&json!("refused"), &json!(0x97), &json!("mqtt"))
    );
}

#[test]
fn clients_are_found_by_listener_and_subscription() {
    let api = Api::start_with(|config| config.listeners.ws = Some(0));
    let mut a = api.connect("a");
    for filter in ["b/x", "cars/1", "$share/g/cars/#"] {
        a.subscribe(filter, 1);
    }
    let mut b = api.open(Version::V5, &Connect::new("b").durable());
    b.subscribe("cars/#", 1);
    b.vanish();
    api.get("/v1/clients/b?wait=30s&connected=false").json();
    let found = |query: &str| found(&api, &format!("?{query}"));
    for (query, expected) in [
        ("filter=cars/", "a b"),
        ("filter=cars/1", "a"),
        ("filter=cars/%23", "b"),
        ("filter=$share/g/", "a"),
        ("filter=c&connected=false", "b"),
        ("filter=ars", ""),
        ("filter=d", ""),
        ("listener=mqtt", "a"),
        ("listener=mqt", ""),
        ("listener=ws", ""),
        ("tls=false", "a"),
        ("tls=true", ""),
        ("cn=a", ""),
        ("listener=mqtt&q=b", ""),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
    api.get("/v1/clients?tls=1").expect_error(400, Some("tls"));
    api.get("/v1/clients?cn=").expect_error(400, Some("cn"));
}
