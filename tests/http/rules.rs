//! `/v1/rules`, `/v1/held`, `/v1/inject`: what goes wrong on the way, and in what state that leaves both
//! sides.

use std::io::{ErrorKind, Read, Write};

use roundel::WaitError;
use roundel::rules::{Action, Injected, Match, Rule};
use serde_json::{Value, json};

use crate::{
    api::Api,
    support::{
        Client, Connect, DEADLINE, Encode, PINGREQ, Packet, Publish, REASON_STRING,
        RECEIVE_MAXIMUM, SERVER_REFERENCE, Subscribe, TOPIC_ALIAS_MAXIMUM, Unsubscribe, Version,
        Will, eventually,
    },
};

/// Sets a rule.
#[track_caller]
fn set(api: &Api, rule: &Value) -> Value {
    let answer = api.post("/v1/rules", &rule.to_string());
    answer.json_with(201)
}

fn hits(api: &Api, rule: &str) -> Value {
    api.get(&format!("/v1/rules/{rule}")).json()["hits"].clone()
}

/// Waits until the rule has acted.
#[track_caller]
fn hit(api: &Api, rule: &str) {
    let answer = api.get(&format!("/v1/rules/{rule}?hits=1&wait=10s"));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A client that gets everything below `t/`.
fn reader(api: &Api, client_id: &str) -> Client {
    let mut reader = api.connect(client_id);
    reader.subscribe("t/#", 1);
    reader
}

#[track_caller]
fn send_publish(client: &mut Client, topic: &str, payload: &str, id: u16) {
    client.send(Publish::new(topic, payload).qos(1, id));
}

/// MQTT-4.4.0-1: what was lost is sent again when the client comes back, by both sides.
#[test]
fn acknowledgement_that_is_dropped_is_as_if_it_was_lost() {
    let api = Api::start();
    let mut sub = reader(&api, "sub");
    let connect = || Connect::new("pub").durable();
    let mut publisher = api.open(Version::V5, &connect());
    let rule = json!({ "name": "lost", "match": { "type": "PUBACK", "client": "pub" }, "do": "drop", "times": 1 });
    set(&api, &rule);
    send_publish(&mut publisher, "t/1", "x", 7);
    hit(&api, "lost");
    let first = sub.expect_publish();
    sub.acknowledge(&first);
    publisher.vanish();
    // The broker had taken it: it is a second message, as after any PUBACK that was lost.
    let mut publisher = api.open(Version::V5, &connect().resume());
    publisher.send(Publish::new("t/1", "x").qos(1, 7).dup());
    assert_eq!(publisher.expect_puback(7), 0);
    let second = sub.expect_publish();
    assert_eq!((&first.payload, first.dup), (&second.payload, second.dup));
    assert_eq!(hits(&api, "lost"), 1, "it acts as often as it says");
}

#[test]
fn publish_that_is_dropped_on_its_way_to_a_client_is_sent_again_when_it_comes_back() {
    let api = Api::start();
    let connect = || Connect::new("sub").durable();
    let mut sub = api.open(Version::V5, &connect());
    sub.subscribe("t/#", 1);
    set(
        &api,
        &json!({ "name": "lost", "match": { "type": "PUBLISH", "direction": "out" }, "do": "drop", "times": 1 }),
    );
    api.connect("pub").publish("t/1", "x", 1);
    hit(&api, "lost");
    let client = api.get("/v1/clients/sub").json();
    assert_eq!(client["in_flight"], 1, "the broker has sent it: {client}");
    sub.vanish();
    let mut sub = api.open(Version::V5, &connect().resume());
    let again = sub.expect_publish();
    assert!(again.dup, "MQTT-3.3.1-1");
    sub.acknowledge(&again);
    eventually("nothing is in flight", || {
        api.get("/v1/clients/sub").json()["in_flight"] == 0
    });
}

/// The control that client authors ask for: hold, release some, discard the rest.
#[test]
fn packets_are_held_until_they_are_released_or_discarded() {
    let api = Api::start();
    let mut publisher = api.connect("pub");
    set(
        &api,
        &json!({ "name": "h", "match": { "type": "PUBACK", "direction": "out" }, "do": "hold" }),
    );
    for id in 1..=3 {
        send_publish(&mut publisher, "t", "x", id);
    }
    let held = api.get("/v1/held?count=3&wait=10s");
    assert_eq!(held.status, 200, "{held:?}");
    let held = held.json();
    let first = &held["held"][0];
    assert_eq!(first["client"], "pub");
    assert_eq!(first["rule"], "h");
    assert_eq!(
        first["packet"],
        json!({ "type": "PUBACK", "packet_id": 1 , "reason": 16 })
    );
    publisher.expect_silence();
    assert_eq!(
        api.post("/v1/held/release?n=1", "").json(),
        json!({ "released": 1 })
    );
    assert_eq!(publisher.expect_puback(1), 0x10);
    assert_eq!(
        api.post("/v1/held/discard?n=1&client=pub", "").json(),
        json!({ "discarded": 1 })
    );
    assert_eq!(
        api.post("/v1/held/release?rule=other", "").json(),
        json!({ "released": 0 })
    );
    // Without its rule a packet is held all the same, and those behind it are not.
    assert_eq!(api.delete("/v1/rules/h").json(), json!({ "removed": 1 }));
    send_publish(&mut publisher, "t", "x", 4);
    assert_eq!(publisher.expect_puback(4), 0x10);
    assert_eq!(
        api.post("/v1/held/release", "").json(),
        json!({ "released": 1 })
    );
    assert_eq!(publisher.expect_puback(3), 0x10);
    let none = api.get("/v1/held?count=1&wait=10ms");
    assert_eq!(none.json_with(408)["held"], json!([]));
}

/// An answer is not longer than some megabytes, however much is held.
#[test]
fn what_is_held_is_shown_in_pages() {
    let api = Api::start();
    let mut publisher = api.connect("pub");
    set(
        &api,
        &json!({ "match": { "type": "PUBLISH", "direction": "in" }, "do": "hold" }),
    );
    let payload = "x".repeat(900_000);
    let ids: Vec<u16> = (1..=8).collect();
    for id in &ids {
        send_publish(&mut publisher, "t", &payload, *id);
    }
    let mut page = api.get("/v1/held?count=8&wait=10s").json();
    let mut found = Vec::new();
    while let Some(last) = page["held"].as_array().and_then(|held| held.last()) {
        assert_eq!(page["total"], 8);
        let held = page["held"].as_array().expect("a list");
        found.extend(held.iter().map(|one| one["packet"]["packet_id"].clone()));
        page = api.get(&format!("/v1/held?after={}", last["id"])).json();
    }
    assert_eq!(found, ids);
    let second = api.get("/v1/held?after=1&limit=1").json();
    let packet = &second["held"][0]["packet"];
    assert_eq!(
        (&packet["packet_id"], &second["total"]),
        (&json!(2), &json!(8))
    );
    assert_eq!(second["held"].as_array().map(Vec::len), Some(1));
    api.get("/v1/held?after=x").expect_error(400, Some("after"));
}

/// What is held for a connection is gone with it: it is neither counted nor released in the place of what is held for
/// the next.
#[test]
fn packets_that_are_held_for_a_connection_are_gone_with_it() {
    let api = Api::start();
    let connect = || Connect::new("pub").durable();
    let mut first = api.open(Version::V5, &connect());
    set(
        &api,
        &json!({ "name": "h", "match": { "type": "PUBACK", "direction": "out" }, "do": "hold" }),
    );
    let hold = |client: &mut Client, id| {
        send_publish(client, "t", "x", id);
        let held = api.get("/v1/held?count=1&wait=10s").json();
        assert_eq!(
            (&held["total"], &held["held"][0]["packet"]["packet_id"]),
            (&json!(1), &json!(id)),
            "{held}"
        );
    };
    hold(&mut first, 1);
    first.vanish();
    api.get("/v1/clients/pub?connected=false&wait=10s").json();
    assert_eq!(api.get("/v1/held").json()["total"], 0);
    assert_eq!(api.get("/v1/stats").json()["faults"]["held"], 0);
    let mut second = api.open(Version::V5, &connect().resume());
    hold(&mut second, 2);
    // Another connection takes the session over.
    let mut third = api.open(Version::V5, &connect().resume());
    hold(&mut third, 3);
    assert_eq!(
        api.post("/v1/held/release?n=1", "").json(),
        json!({ "released": 1 })
    );
    assert_eq!(third.expect_puback(3), 0x10);
    // So is what was to arrive later.
    set(
        &api,
        &json!({ "name": "h", "match": { "type": "PUBACK" }, "do": "delay", "delay_seconds": 60 }),
    );
    send_publish(&mut third, "t", "x", 4);
    hit(&api, "h");
    third.vanish();
    api.get("/v1/clients/pub?connected=false&wait=10s").json();
    let deadlines = api.get("/v1/deadlines").body;
    assert!(!deadlines.contains("delayed_packet"), "{deadlines}");
}

/// Whoever waits for a rule to act is told when it is removed.
#[test]
fn wait_for_a_rule_ends_when_it_is_removed() {
    let api = Api::start();
    let rules = api.server().rules();
    set(
        &api,
        &json!({ "name": "r", "match": { "client": "never" }, "do": "drop" }),
    );
    let (waited, was_there) = api.block_on(async {
        let wait = rules.wait_for_hits("r", 1, DEADLINE);
        tokio::join!(wait, async { rules.remove("r") })
    });
    assert!(was_there);
    let key = "r".to_owned();
    assert_eq!(waited, Err(WaitError::NoRule { key }));
}

/// A window that is full of held acknowledgements is full to the broker, too.
#[test]
fn acknowledgement_from_a_client_that_is_held_keeps_its_place_in_the_window() {
    let api = Api::start();
    set(
        &api,
        &json!({ "match": { "type": "CONNECT", "client": "never" }, "do": "drop" }),
    );
    let mut sub = reader(&api, "sub");
    set(
        &api,
        &json!({ "name": "h", "match": { "type": "PUBACK", "direction": "in", "client": "s?b" }, "do": "hold" }),
    );
    let mut publisher = api.connect("pub");
    publisher.publish("t/1", "x", 1);
    let delivery = sub.expect_publish();
    sub.acknowledge(&delivery);
    hit(&api, "h");
    assert_eq!(api.get("/v1/clients/sub").json()["in_flight"], 1);
    api.post("/v1/held/release", "");
    eventually("nothing is in flight", || {
        api.get("/v1/clients/sub").json()["in_flight"] == 0
    });
}

/// MQTT-3.3.4-9: what a CONNACK says after a rule is what the client goes by.
#[test]
fn connack_is_replaced_for_one_client() {
    let api = Api::start();
    set(
        &api,
        &json!({
            "match": { "type": "CONNACK", "client": "a" },
            "do": "replace",
            "set": {
                "session_present": true,
                "properties": {
                    "receive_maximum": 1,
                    "topic_alias_maximum": null,
                    "reason_string": "as you like",
                    "user_property": [["a", "1"], ["b", "2"]],
                },
            },
            "times": 1,
        }),
    );
    let mut other = Client::dial(api.mqtt(), Version::V5);
    other.send_connect(&Connect::new("other"));
    let (_, _, unchanged) = other.expect_connack();
    assert!(!unchanged.has(RECEIVE_MAXIMUM));
    let mut client = Client::dial(api.mqtt(), Version::V5);
    client.send_connect(&Connect::new("a"));
    let (session_present, reason, props) = client.expect_connack();
    assert_eq!((session_present, reason), (true, 0));
    assert_eq!(props.number(RECEIVE_MAXIMUM), Some(1));
    assert!(!props.has(TOPIC_ALIAS_MAXIMUM));
    assert_eq!(props.user_properties().len(), 2);
    // MQTT 3.1.1 has no properties: its return code is replaced.
    set(
        &api,
        &json!({ "match": { "type": "CONNACK" }, "do": "replace", "set": { "reason": 3 }, "times": 1 }),
    );
    let mut old = Client::dial(api.mqtt(), Version::V3);
    old.send_connect(&Connect::new("old"));
    assert_eq!(old.expect_connack().1, 3);
}

#[test]
fn packets_are_duplicated_reordered_delayed_and_injected() {
    let api = Api::start();
    let mut sub = reader(&api, "sub");
    let mut publisher = api.connect("pub");
    let towards = json!({ "type": "PUBLISH", "direction": "out", "client": "sub" });
    set(
        &api,
        &json!({ "match": towards, "do": "duplicate", "times": 1 }),
    );
    publisher.publish("t/1", "twice", 0);
    assert_eq!(sub.receive_texts(2), ["twice", "twice"]);

    set(
        &api,
        &json!({ "match": towards, "do": "reorder", "times": 1 }),
    );
    publisher.publish("t/1", "first", 0);
    publisher.publish("t/1", "second", 0);
    assert_eq!(sub.receive_texts(2), ["second", "first"]);

    set(
        &api,
        &json!({ "match": towards, "do": "delay", "delay_seconds": 3600, "times": 1 }),
    );
    publisher.publish("t/1", "late", 0);
    publisher.publish("t/1", "soon", 0);
    assert_eq!(sub.receive_texts(1), ["soon"]);
    // It is the broker's clock that a delay goes by.
    let deadlines = api.get("/v1/deadlines").json();
    let of_packets = deadlines["deadlines"].as_array().expect("a list").iter();
    let mut of_packets = of_packets.filter(|deadline| deadline["kind"] == "delayed_packet");
    let late = of_packets.next().expect("the one that is late");
    assert_eq!(
        (&late["client_id"], of_packets.next()),
        (&json!("sub"), None)
    );
    assert!(late["in_seconds"].as_f64() > Some(3000.0), "{late}");
    assert_eq!(
        api.post("/v1/clock/advance", r#"{"seconds":3600}"#).status,
        200
    );
    assert_eq!(sub.receive_texts(1), ["late"]);
    let deadlines = api.get("/v1/deadlines").body;
    assert!(!deadlines.contains("delayed_packet"), "{deadlines}");

    set(
        &api,
        &json!({
            "match": { "type": "PINGRESP" },
            "do": "inject",
            "when": "before",
            "packet": { "type": "PUBLISH", "topic": "t/made", "payload_base64": "AP8=" },
            "times": 1,
        }),
    );
    sub.send(PINGREQ);
    let made = sub.expect_publish();
    assert_eq!(
        (made.topic.as_str(), made.payload.as_slice()),
        ("t/made", &[0, 255][..])
    );
    assert_eq!(sub.next_packet(), Packet::Pingresp);

    let to_broker = json!({
        "client": "pub",
        "direction": "in",
        "packet": { "type": "PUBLISH", "topic": "t/from", "payload": "nobody" },
    });
    assert_eq!(api.post("/v1/inject", &to_broker.to_string()).status, 200);
    assert_eq!(sub.receive_texts(1), ["nobody"]);
    let to_client = json!({ "client": "sub", "packet_base64": "0AA=" });
    assert_eq!(api.post("/v1/inject", &to_client.to_string()).status, 200);
    assert_eq!(sub.next_packet(), Packet::Pingresp);
    let nobody = json!({ "client": "nobody", "direction": "out", "packet_base64": "0AA=" });
    api.post("/v1/inject", &nobody.to_string())
        .expect_error(404, Some("client"));
}

#[test]
fn client_is_answered_instead_of_the_broker() {
    let api = Api::start();
    let mut client = api.connect("a");
    set(
        &api,
        &json!({
            "match": { "type": "SUBSCRIBE" },
            "do": "answer",
            "packet": { "type": "SUBACK", "reasons": [0x87] },
            "times": 1,
        }),
    );
    client.send(Subscribe::new(9).filter("t", 0));
    assert_eq!(
        client.expect_suback(9),
        [0x87],
        "the identifier is that of the SUBSCRIBE"
    );
    assert_eq!(
        api.get("/v1/topics").json()["total"],
        0,
        "the broker knows nothing of it"
    );
    assert_eq!(client.subscribe("t", 0), 0, "once");
    // A CONNECT may be answered, too; then there is no session and the connection ends.
    set(
        &api,
        &json!({
            "match": { "type": "CONNECT", "direction": "in", "client": "b" },
            "do": "answer",
            "packet": { "type": "CONNACK", "reason": "0x89" },
        }),
    );
    let mut refused = Client::dial(api.mqtt(), Version::V5);
    refused.send_connect(&Connect::new("b"));
    assert_eq!(refused.expect_connack().1, 0x89);
    refused.expect_closed();
}

/// Rules of the configuration are there before the first client, and SUBSCRIBE is told by its filters.
#[test]
fn subscriptions_to_a_filter_are_refused_from_the_start() {
    let refused = json!({
        "name": "no",
        "match": { "type": "SUBSCRIBE", "topic": "no/+" },
        "do": "answer",
        "packet": { "type": "SUBACK", "reasons": [0x80] },
    });
    let left = json!({ "match": { "type": "UNSUBSCRIBE", "topic": "left" }, "do": "drop" });
    let api = Api::start_with(|config| config.rules = vec![refused.to_string(), left.to_string()]);
    for (version, id) in [(Version::V5, "five"), (Version::V3, "three")] {
        let mut client = api.open(version, &Connect::new(id));
        assert_eq!(client.subscribe("no/way", 1), 0x80);
        client.send(Subscribe::new(3).filter("no/1", 1).filter("other", 0));
        assert_eq!(client.expect_suback(3), [0x80; 2], "all of the packet");
        assert_eq!(client.subscribe("yes", 1), 1);
        assert_eq!(client.subscribe("no", 1), 1, "the filter has a level more");
        let known = api.get(&format!("/v1/subscriptions?client={id}")).json();
        assert_eq!(
            known["total"], 2,
            "the broker knows nothing of the one: {known}"
        );
    }
    assert_eq!(hits(&api, "no"), 4);
    let mut client = api.connect("a");
    client.send(Unsubscribe::new(5).filter("left"));
    client.send(Unsubscribe::new(6).filter("right"));
    let answer = client.next_packet();
    assert!(
        matches!(answer, Packet::Unsuback { id: 6, .. }),
        "{answer:?}"
    );
}

/// A connection that a rule closes is lost to the broker: its will is published, and its session stays.
#[test]
fn connection_is_closed_before_or_after_a_packet() {
    let api = Api::start();
    let mut sub = reader(&api, "sub");
    for (when, is_answered) in [("before", false), ("after", true)] {
        let will = Will::new("t/will", when);
        let mut client = api.open(Version::V5, &Connect::new("dev-1").durable().will(will));
        set(
            &api,
            &json!({
                "match": { "type": "PUBLISH", "direction": "in", "client": "dev-*" },
                "do": "close",
                "when": when,
                "times": 1,
            }),
        );
        send_publish(&mut client, "t/1", "x", 1);
        if is_answered {
            assert_eq!(client.expect_puback(1), 0);
            assert_eq!(sub.receive_texts(1), ["x"]);
        }
        client.expect_closed();
        assert_eq!(sub.receive_texts(1), [when]);
        let known = api.get("/v1/clients/dev-1").json();
        assert_eq!(known["connected"], false);
        assert_eq!(known["last_end"]["by"], "network", "{known}");
    }
}

/// The broker ends it itself: it says why in MQTT 5, publishes the will, and keeps the session.
#[test]
fn broker_disconnects_before_or_after_a_packet_for_the_reason_of_a_rule() {
    let api = Api::start_with(|config| config.journal = true);
    let mut sub = reader(&api, "sub");
    for (version, name) in [(Version::V5, "new"), (Version::V3, "old")] {
        for (when, reason) in [("before", 0x9c), ("after", 0x8b)] {
            let will = Will::new("t/will", when);
            let connect = Connect::new(name).durable().will(will);
            let mut client = api.open(version, &connect);
            set(
                &api,
                &json!({
                    "name": "ended",
                    "match": { "type": "PUBLISH", "direction": "in", "client": name, "topic": "t/1" },
                    "do": "disconnect",
                    "reason": reason,
                    "when": when,
                    "properties": {
                        "reason_string": "go away",
                        "server_reference": "other:1883",
                        "user_property": [["a", "1"], ["a", "2"]],
                    },
                    "times": 1,
                }),
            );
            // What comes before is answered, what comes behind is lost.
            let mut packets = Publish::new("t/0", "first").qos(1, 1).encode(version);
            packets.extend(Publish::new("t/1", "x").qos(1, 2).encode(version));
            packets.extend(Publish::new("t/2", "lost").qos(1, 3).encode(version));
            client.send(packets);
            client.expect_puback(1);
            assert_eq!(sub.receive_texts(1), ["first"]);
            if when == "after" {
                client.expect_puback(2);
                assert_eq!(sub.receive_texts(1), ["x"]);
            }
            match version {
                Version::V3 => client.expect_closed(),
                Version::V5 => {
                    let props = client.expect_disconnect(reason);
                    assert_eq!(props.text(REASON_STRING).as_deref(), Some("go away"));
                    let reference = props.text(SERVER_REFERENCE);
                    assert_eq!(reference.as_deref(), Some("other:1883"));
                    assert_eq!(props.user_properties().len(), 2);
                }
            }
            assert_eq!(sub.receive_texts(1), [when], "the will");
            let known = api.get(&format!("/v1/clients/{name}")).json();
            assert_eq!(known["connected"], false);
            let end = &known["last_end"];
            assert_eq!(
                json!([end["by"], end["cause"], end["code"]]),
                json!(["broker", "packet_rule", reason])
            );
        }
    }
    let target = "/v1/journal?type=DISCONNECT&direction=out";
    let rows = api.get(target).json()["rows"].clone();
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 2, "of MQTT 5: {rows:?}");
    for row in rows {
        assert_eq!(row["client"], "new");
        assert_eq!(
            (&row["rule"], &row["did"]),
            (&json!("ended"), &json!("made"))
        );
        assert_eq!(row["on_wire"], true);
    }
    let info = api.get("/v1/rules").json();
    assert_eq!(info["rules"][0]["do"], "disconnect");
}

#[test]
fn broker_disconnects_in_the_place_of_what_it_would_send() {
    let api = Api::start();
    let connect = || Connect::new("a").durable();
    let mut client = api.open(Version::V5, &connect());
    client.subscribe("t", 1);
    set(
        &api,
        &json!({ "match": { "type": "PUBLISH", "direction": "out" }, "do": "disconnect", "times": 1 }),
    );
    api.connect("pub").publish("t", "x", 1);
    // As with DELETE, for a reason of the operator.
    client.expect_disconnect(0x98);
    let mut client = api.open(Version::V5, &connect().resume());
    let again = client.expect_publish();
    assert!(again.dup, "the broker had sent it");
    client.acknowledge(&again);
    // Behind CONNACK, and in its place.
    for when in ["after", "before"] {
        set(
            &api,
            &json!({ "match": { "type": "CONNACK" }, "do": "disconnect", "reason": "0x89", "when": when, "times": 1 }),
        );
        let mut client = Client::dial(api.mqtt(), Version::V5);
        client.send_connect(&Connect::new("b"));
        if when == "after" {
            assert_eq!(client.expect_connack().1, 0);
            client.expect_disconnect(0x89);
        } else {
            let mut bytes = Vec::new();
            client
                .into_stream()
                .read_to_end(&mut bytes)
                .expect("the end");
            assert_eq!(bytes, [0xe0, 1, 0x89]);
        }
    }
    // In the place of CONNECT there is nobody yet.
    set(
        &api,
        &json!({ "match": { "type": "CONNECT" }, "do": "disconnect", "reason": 255, "times": 1 }),
    );
    let mut client = Client::dial(api.mqtt(), Version::V5);
    client.send_connect(&Connect::new("b"));
    let mut bytes = Vec::new();
    client
        .into_stream()
        .read_to_end(&mut bytes)
        .expect("the end");
    assert_eq!(bytes, [0xe0, 1, 255]);
    let disconnect = roundel::rules::ServerDisconnect::new(0x8b)
        .after()
        .property(roundel::PropertyName::REASON_STRING, "bye");
    let pings = Match::of(roundel::PacketType::Pingreq);
    let rule = Rule::new(pings, disconnect);
    api.server().rules().add(rule).expect("a rule");
    let mut client = api.connect("c");
    client.send(PINGREQ);
    assert_eq!(client.next_packet(), Packet::Pingresp);
    let props = client.expect_disconnect(0x8b);
    assert_eq!(props.text(REASON_STRING).as_deref(), Some("bye"));
}

#[test]
fn connection_is_reset_or_closed_on_one_side_or_not_read() {
    let api = Api::start();
    let mut client = api.connect("a");
    set(
        &api,
        &json!({ "match": { "type": "PINGREQ" }, "do": "reset", "times": 1 }),
    );
    client.send(PINGREQ);
    let error = client.into_stream().read(&mut [0]).expect_err("no end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let mut sub = reader(&api, "sub");
    let mut client = api.connect("b");
    set(
        &api,
        &json!({ "match": { "type": "PINGREQ" }, "do": "half_close", "times": 1 }),
    );
    client.send(PINGREQ);
    client.expect_closed();
    client.send(Publish::new("t/half", "still heard"));
    assert_eq!(sub.receive_texts(1), ["still heard"]);

    let mut client = api.connect("c");
    set(
        &api,
        &json!({ "name": "deaf", "match": { "type": "PINGREQ" }, "do": "stop_reading", "times": 1 }),
    );
    client.send(PINGREQ);
    assert_eq!(client.next_packet(), Packet::Pingresp);
    client.send(Publish::new("t/deaf", "heard in the end"));
    sub.expect_only_pingresp();
    assert_eq!(api.delete("/v1/rules/deaf").status, 200);
    assert_eq!(sub.receive_texts(1), ["heard in the end"]);
}

/// Sends PUBLISH packets with these payloads in one write, so that the broker reads them at once.
fn send_at_once(client: &mut Client, topic: &str, payloads: &[&str]) {
    let packets = payloads.iter().map(|payload| Publish::new(topic, *payload));
    let packets: Vec<u8> = packets
        .flat_map(|packet| packet.encode(Version::V5))
        .collect();
    client.send(packets);
}

/// Whatever ends the rule, and wherever a read of the socket ended.
#[test]
fn reading_stops_behind_the_packet_and_goes_on_when_the_rule_is_gone() {
    let api = Api::start();
    let mut sub = reader(&api, "sub");
    let rule = json!({
        "name": "deaf",
        "match": { "type": "PUBLISH", "direction": "in", "client": "c*", "nth": 2 },
        "do": "stop_reading",
        "expires_after_seconds": 60,
    });
    let advance = |seconds: u64| {
        let body = json!({ "seconds": seconds }).to_string();
        assert_eq!(api.post("/v1/clock/advance", &body).status, 200);
    };
    for end in ["replaced", "removed", "expired", "expired and listed"] {
        set(&api, &rule);
        let mut client = api.connect(&format!("c {end}"));
        send_at_once(&mut client, "t/x", &["1", "2", "3", "4"]);
        hit(&api, "deaf");
        assert_eq!(sub.receive_texts(2), ["1", "2"], "{end}");
        sub.expect_only_pingresp();
        match end {
            "replaced" => {
                let other = json!({ "name": "deaf", "match": { "client": "x" }, "do": "drop" });
                set(&api, &other);
            }
            "removed" => assert_eq!(api.delete("/v1/rules/deaf").status, 200),
            "expired" => advance(60),
            _ => {
                advance(59);
                sub.expect_only_pingresp();
                advance(1);
                assert_eq!(api.get("/v1/rules").json(), json!({ "rules": [] }));
            }
        }
        assert_eq!(sub.receive_texts(2), ["3", "4"], "{end}");
    }
}

/// Without a direction, a rule is for what the broker sends, too.
#[test]
fn packet_to_a_client_may_stop_reading_from_it() {
    let api = Api::start();
    let mut sub = reader(&api, "sub");
    let mut client = api.connect("c");
    set(
        &api,
        &json!({ "name": "deaf", "match": { "type": "PINGRESP", "client": "c" }, "do": "stop_reading", "times": 1 }),
    );
    client.send(PINGREQ);
    assert_eq!(client.next_packet(), Packet::Pingresp);
    send_at_once(&mut client, "t/x", &["1", "2"]);
    sub.expect_only_pingresp();
    assert_eq!(api.delete("/v1/rules/deaf").status, 200);
    assert_eq!(sub.receive_texts(2), ["1", "2"]);
}

/// What a rule does is the same however TCP cuts the stream.
#[test]
fn packets_of_one_read_keep_the_order_that_a_rule_gives_them() {
    let api = Api::start();
    let mut sub = reader(&api, "sub");
    for (client, direction) in [("in", "in"), ("sub", "out")] {
        for (what, more, order) in [
            ("reorder", json!({}), ["1", "3", "2", "4", "5"]),
            (
                "delay",
                json!({ "delay_seconds": 0 }),
                ["1", "2", "3", "4", "5"],
            ),
        ] {
            let mut rule = json!({
                "name": "order",
                "match": { "type": "PUBLISH", "direction": direction, "client": client, "nth": 2 },
                "do": what,
            });
            for (name, value) in more.as_object().expect("fields") {
                rule[name] = value.clone();
            }
            set(&api, &rule);
            let mut publisher = api.connect("in");
            send_at_once(&mut publisher, "t/x", &["1", "2", "3", "4", "5"]);
            assert_eq!(sub.receive_texts(5), order, "{what} {direction}");
        }
    }
    set(
        &api,
        &json!({
            "name": "order",
            "match": { "type": "PUBLISH", "nth": 2 },
            "do": "answer",
            "packet": { "type": "PUBACK", "reason": 0x97 },
        }),
    );
    let mut publisher = api.connect("in");
    let packets = (1..=3).map(|id| Publish::new("nobody", "x").qos(1, id));
    let packets: Vec<u8> = packets
        .flat_map(|packet| packet.encode(Version::V5))
        .collect();
    publisher.send(packets);
    for (id, reason) in [(1, 0x10), (2, 0x97), (3, 0x10)] {
        assert_eq!(publisher.expect_puback(id), reason);
    }
}

#[test]
fn pings_are_muted_and_bytes_are_changed() {
    let api = Api::start();
    let mut client = api.connect("a");
    set(
        &api,
        &json!({ "name": "mute", "match": { "client": "a" }, "do": "mute_pings" }),
    );
    client.send(PINGREQ);
    hit(&api, "mute");
    client.expect_silence();
    assert_eq!(api.delete("/v1/rules").json(), json!({ "removed": 1 }));
    set(
        &api,
        &json!({ "match": { "type": "PINGRESP" }, "do": "corrupt", "offset": 0, "bits": 0x10, "times": 1 }),
    );
    let mut stream = client.into_stream();
    stream
        .write_all(&PINGREQ.encode(Version::V5))
        .expect("it is read");
    let mut bytes = [0; 2];
    stream.read_exact(&mut bytes).expect("two bytes");
    assert_eq!(bytes, [0xc0, 0], "PINGREQ, which only a client sends");

    set(
        &api,
        &json!({ "match": { "type": "PUBLISH", "direction": "in" }, "do": "truncate", "length": 3, "times": 1 }),
    );
    let mut client = api.connect("b");
    client.send(Publish::new("t", "x"));
    // What comes next is taken for the rest of it, and makes no sense.
    client.send(PINGREQ);
    client.send(PINGREQ);
    client.expect_error_among(&[0x81, 0x82]);
}

/// A line of `docs/rules.md`: rules that change nothing let so many pass.
#[test]
fn so_many_pings_are_answered_and_no_more() {
    let api = Api::start();
    for (name, what) in [("some", "replace"), ("no more", "drop")] {
        let mut rule = json!({ "name": name, "match": { "type": "PINGRESP" }, "do": what });
        if what == "replace" {
            rule["set"] = json!({});
            rule["times"] = 3.into();
        }
        set(&api, &rule);
    }
    let mut client = api.connect("a");
    for _ in 0..3 {
        client.send(PINGREQ);
        assert_eq!(client.next_packet(), Packet::Pingresp);
    }
    client.send(PINGREQ);
    hit(&api, "no%20more");
    send_publish(&mut client, "t", "x", 1);
    assert_eq!(client.expect_puback(1), 0x10, "no PINGRESP before it");
}

/// Numbers, chances and acknowledgements by the topic of what they acknowledge.
#[test]
fn rules_count_draw_and_know_topics() {
    let api = Api::start();
    let mut client = api.connect("a");
    let rule = |name: &str, matches: Value| json!({ "name": name, "match": matches, "do": "drop" });
    set(
        &api,
        &rule(
            "nth",
            json!({ "type": "PUBACK", "topic": "nth/#", "nth": 2 }),
        ),
    );
    set(
        &api,
        &rule(
            "every",
            json!({ "type": "PUBACK", "topic": "every", "every": 3 }),
        ),
    );
    for id in 1..=3 {
        send_publish(&mut client, "nth/x", "x", id);
    }
    for id in 11..=16 {
        send_publish(&mut client, "every", "x", id);
    }
    for id in [1, 3, 11, 12, 14, 15] {
        assert_eq!(client.expect_puback(id), 0x10);
    }
    let mut seeded = || {
        let mut rule = rule(
            "chance",
            json!({ "type": "PUBLISH", "direction": "in", "probability": 0.5 }),
        );
        rule["seed"] = 7.into();
        set(&api, &rule);
        for _ in 0..64 {
            client.send(Publish::new("chance", "x"));
        }
        client.send(PINGREQ);
        assert_eq!(client.next_packet(), Packet::Pingresp);
        let rule = api.get("/v1/rules/chance").json();
        assert_eq!(rule["seen"], 64);
        rule["hits"].as_u64().expect("a number")
    };
    let first = seeded();
    assert!((16..48).contains(&first), "{first}");
    assert_eq!(first, seeded(), "the same seed draws the same");
}

/// With `POST /v1/reset` nothing of it is left, held packets and rows included.
#[test]
fn reset_leaves_no_rule() {
    let api = Api::start_with(|config| config.journal = true);
    let mut client = api.connect("a");
    set(
        &api,
        &json!({ "name": "h", "match": { "type": "PUBACK" }, "do": "hold" }),
    );
    send_publish(&mut client, "t", "x", 1);
    hit(&api, "h");
    assert_eq!(api.post("/v1/reset", "").status, 200);
    assert_eq!(api.get("/v1/rules").json(), json!({ "rules": [] }));
    assert_eq!(api.get("/v1/held").json()["total"], 0);
    assert_eq!(api.get("/v1/journal").json()["rows"], json!([]));
    let mut client = api.connect("a");
    send_publish(&mut client, "t", "x", 1);
    assert_eq!(client.expect_puback(1), 0x10);
}

#[test]
fn rule_that_expires_is_gone() {
    let api = Api::start();
    set(
        &api,
        &json!({ "name": "short", "do": "drop", "match": { "type": "PINGREQ" }, "expires_after_seconds": 60 }),
    );
    assert_eq!(
        api.post("/v1/clock/advance", r#"{"seconds":61}"#).status,
        200
    );
    api.get("/v1/rules/short").expect_error(404, Some("id"));
    api.delete("/v1/rules/short").expect_error(404, Some("id"));
    let mut client = api.connect("a");
    client.send(PINGREQ);
    assert_eq!(client.next_packet(), Packet::Pingresp);
    assert_eq!(api.get("/v1/rules").json(), json!({ "rules": [] }));
    let rule =
        json!({ "name": "for ever", "do": "drop", "expires_after_seconds": 1e19, "times": 0 });
    set(&api, &rule);
    assert_eq!(api.get("/v1/rules/for%20ever").json()["spent"], true);
}

/// Rules and what they hold have a bound together.
#[test]
fn rule_for_which_there_is_no_room_is_refused() {
    let api = Api::start();
    let rules = api.server().rules();
    let rule = |name: &str| {
        let packet = Injected::Bytes(vec![0; 33 * 1024 * 1024].into());
        let before = false;
        Rule::new(
            Match::default().client("x"),
            Action::Inject { packet, before },
        )
        .named(name)
    };
    rules.add(rule("first")).expect("there is room");
    let error = rules.add(rule("second")).expect_err("there is none");
    assert!(error.to_string().contains("64 MiB"), "{error}");
    assert!(rules.remove("first"));
    rules.add(rule("second")).expect("there is room again");
}

#[test]
fn what_is_wrong_with_a_rule_is_named() {
    let api = Api::start();
    for (rule, field) in [
        (json!({}), "do"),
        (json!({ "do": "explode" }), "do"),
        (json!({ "do": "drop", "mach": {} }), "mach"),
        (
            json!({ "do": "drop", "match": { "typ": "PUBLISH" } }),
            "match.typ",
        ),
        (
            json!({ "do": "drop", "match": { "type": "PUBLISHED" } }),
            "match.type",
        ),
        (
            json!({ "do": "drop", "match": { "direction": "up" } }),
            "match.direction",
        ),
        (
            json!({ "do": "drop", "match": { "topic": "a/#/b" } }),
            "match.topic",
        ),
        // No topic is in a group.
        (
            json!({ "do": "drop", "match": { "type": "PUBLISH", "topic": "$share/g/a" } }),
            "match.topic",
        ),
        (
            json!({ "do": "drop", "match": { "topic": "$share/g/a" } }),
            "match.topic",
        ),
        (json!({ "do": "drop", "match": { "nth": 0 } }), "match.nth"),
        (
            json!({ "do": "drop", "match": { "every": 0 } }),
            "match.every",
        ),
        (
            json!({ "do": "drop", "match": { "probability": 1.5 } }),
            "match.probability",
        ),
        (json!({ "do": "drop", "match": { "qos": 3 } }), "match.qos"),
        (json!({ "do": "drop", "length": 3 }), "length"),
        (json!({ "do": "drop", "name": "" }), "name"),
        (json!({ "do": "delay" }), "delay_seconds"),
        (
            json!({ "do": "delay", "delay_seconds": -1 }),
            "delay_seconds",
        ),
        (
            json!({ "do": "delay", "delay_seconds": 86401 }),
            "delay_seconds",
        ),
        (json!({ "do": "truncate" }), "length"),
        (json!({ "do": "corrupt", "bits": 0 }), "bits"),
        (json!({ "do": "replace" }), "set"),
        (
            json!({ "do": "replace", "set": { "properties": { "no": 1 } } }),
            "set.properties.no",
        ),
        (
            json!({ "do": "replace", "set": { "properties": { "receive_maximum": 65536 } } }),
            "set.properties.receive_maximum",
        ),
        // What is longer than its packet can say.
        (
            json!({ "do": "replace", "set": { "topic": "x".repeat(65_536) } }),
            "set.topic",
        ),
        (
            json!({ "do": "replace", "set": { "properties": { "reason_string": "x".repeat(65_536) } } }),
            "set.properties.reason_string",
        ),
        (
            json!({ "do": "inject", "packet": { "type": "PUBLISH", "topic": "é".repeat(40_000) } }),
            "packet.topic",
        ),
        (
            json!({ "do": "inject", "packet": { "type": "SUBSCRIBE", "filters": ["x", "x".repeat(65_536)] } }),
            "packet.filters[1].filter",
        ),
        (json!({ "do": "inject" }), "packet"),
        (json!({ "do": "inject", "packet": {} }), "packet.type"),
        (
            json!({ "do": "inject", "packet_base64": "-" }),
            "packet_base64",
        ),
        (
            json!({
                "do": "answer", "match": { "direction": "out" }, "packet": { "type": "PUBACK" },
            }),
            "match.direction",
        ),
        (json!({ "do": "close", "when": "later" }), "when"),
        (json!({ "do": "close", "reason": 0 }), "reason"),
        (json!({ "do": "drop", "properties": {} }), "properties"),
        (json!({ "do": "disconnect", "reason": 256 }), "reason"),
        (
            json!({ "do": "disconnect", "properties": { "reason_string": 1 } }),
            "properties.reason_string",
        ),
        (
            json!({ "do": "mute_pings", "match": { "type": "PINGREQ" } }),
            "match.type",
        ),
    ] {
        let answer = api.post("/v1/rules", &rule.to_string());
        assert_eq!(answer.status, 400, "{rule}: {answer:?}");
        answer.expect_error(400, Some(field));
    }
    api.delete("/v1/rules/none").expect_error(404, Some("id"));
    api.get("/v1/rules/none").expect_error(404, Some("id"));
    api.get("/v1/rules/none?wait=1h")
        .expect_error(400, Some("wait"));
    let late = set(
        &api,
        &json!({ "name": "late", "do": "drop", "match": { "client": "x" } }),
    );
    assert_eq!(late["hits"], 0);
    let answer = api.get("/v1/rules/late?hits=1&wait=20ms");
    assert_eq!(answer.json_with(408)["hits"], 0);
}

/// What goes over a connection is the same with a rule that acts on nothing: whole and in pieces, small and
/// large, and the rule may come and go in the middle.
#[test]
fn rule_that_is_for_nothing_changes_nothing() {
    let api = Api::start();
    let mut sub = api.connect("sub");
    sub.subscribe("t/#", 1);
    let mut publisher = api.connect("pub");
    let large = "x".repeat(700_000);
    for round in 0..3 {
        if round == 1 {
            set(
                &api,
                &json!({ "name": "none", "do": "drop", "match": { "client": "nobody" } }),
            );
        } else if round == 2 {
            api.delete("/v1/rules");
        }
        let mut packets = Vec::new();
        for number in 0..200_u16 {
            let publish = Publish::new(format!("t/{number}"), format!("{round} {number}"));
            packets.extend(publish.qos(1, number + 1).encode(Version::V5));
        }
        for piece in packets.chunks(777) {
            publisher.send(piece.to_vec());
        }
        for number in 0..200_u16 {
            assert_eq!(publisher.expect_puback(number + 1), 0);
            let delivery = sub.expect_publish();
            assert_eq!(delivery.payload, format!("{round} {number}").into_bytes());
            sub.acknowledge(&delivery);
        }
        publisher.publish("t/large", &large, 1);
        let delivery = sub.expect_publish();
        assert_eq!(delivery.payload.len(), large.len());
        sub.acknowledge(&delivery);
    }
}

/// Whoever looks sees what is armed, in words, and until when.
#[test]
fn rules_say_what_they_do_and_stats_what_is_armed() {
    let api = Api::start();
    let faults = || api.get("/v1/stats").json()["faults"].take();
    let none = json!({ "rules": 0, "held": 0, "outage_s": null, "clock_ahead_s": 0.0, "clock_scale": 1.0 });
    assert_eq!(faults(), none);
    for (rule, text) in [
        (json!({ "do": "hold" }), "is held until it is released"),
        (
            json!({ "do": "delay", "delay_seconds": 2.5 }),
            "arrives 2.5s later",
        ),
        (
            json!({ "do": "corrupt", "bits": 1 }),
            "arrives with bits 0x01 of byte 0 turned",
        ),
        (
            json!({ "do": "replace", "set": { "reason": "0x88", "properties": { "receive_maximum": 1, "reason_string": null } } }),
            "arrives with reason 0x88, no reason_string, receive_maximum 1",
        ),
        (
            json!({ "do": "inject", "packet": { "type": "PUBACK", "packet_id": 1 }, "when": "before" }),
            "arrives behind a PUBACK that nobody sent",
        ),
        (
            json!({ "do": "reset", "when": "after" }),
            "the connection is reset behind it",
        ),
        (
            json!({ "do": "disconnect", "reason": 0x9c }),
            "DISCONNECT with 0x9c is sent in its place",
        ),
        (json!({ "do": "mute_pings" }), "is lost"),
    ] {
        // None of them is for a packet that there is.
        let mut rule = rule;
        if rule["do"] != "mute_pings" {
            rule["match"] = json!({ "client": "nobody" });
        }
        let set = set(&api, &rule);
        assert_eq!(
            (&set["text"], &set["expires_in_s"]),
            (
                &json!(format!(
                    "{}{text}",
                    if rule["do"] == "mute_pings" {
                        "PINGRESP to clients: "
                    } else {
                        "a packet, client nobody: "
                    }
                )),
                &json!(null)
            )
        );
    }
    set(&api, &json!({ "do": "drop", "times": 0 }));
    let timed = set(
        &api,
        &json!({ "name": "timed", "do": "drop", "match": { "client": "nobody" }, "expires_after_seconds": 600 }),
    );
    assert_eq!(timed["expires_in_s"], 600.0);
    assert_eq!(faults()["rules"], 9, "one is spent");
    assert_eq!(api.post("/v1/outage", r#"{"seconds": 7200}"#).status, 200);
    api.post("/v1/clock/advance", r#"{"seconds": 600}"#).json();
    let after = faults();
    assert_eq!(after["rules"], 8, "the time of one is over");
    assert!(after["clock_ahead_s"].as_f64() >= Some(600.0), "{after}");
    let left = after["outage_s"].as_f64().expect("an outage");
    assert!((5000.0..=6600.0).contains(&left), "{left}");
    api.post("/v1/reset", "").json();
    let reset = faults();
    assert_eq!(
        (&reset["rules"], &reset["outage_s"]),
        (&json!(0), &json!(null))
    );
}
