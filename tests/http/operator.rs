//! What an operator does to sessions, retained messages and the whole broker.

use std::io::Read;
use std::net::TcpStream;
use std::thread;

use serde_json::{Value, json};

use crate::{
    api::Api,
    support::{Client, Connect, DEADLINE, Version, Will, session_expiry, will_delay},
};

#[test]
fn session_ends_with_its_connection_where_that_is_asked_for() {
    let api = Api::start();
    let connect = Connect::new("a").with(session_expiry(3600));
    let mut client = api.open(Version::V5, &connect);
    client.subscribe("x", 1);
    let done = api.delete("/v1/clients/a?session=true").json();
    let expected =
        json!({"client_id": "a", "disconnected": true, "reason": 0x98, "session_ended": true});
    assert_eq!(done, expected);
    client.expect_disconnect(0x98);
    api.get("/v1/clients/a").expect_error(404, Some("id"));

    let away = api.open(Version::V5, &connect);
    away.disconnect();
    let left = "/v1/clients/a?connected=false&wait=30s";
    assert_eq!(api.get(left).json()["session_expiry_s"], 3600);
    let done = api.delete("/v1/clients/a?session=true").json();
    assert_eq!(
        (&done["disconnected"], &done["session_ended"]),
        (&json!(false), &json!(true))
    );
    api.delete("/v1/clients/a?session=true")
        .expect_error(404, Some("id"));
    api.delete("/v1/clients/a?session=1")
        .expect_error(400, Some("session"));
}

#[test]
fn retained_messages_are_deleted_by_filter_or_all() {
    let api = Api::start();
    let mut client = api.connect("a");
    for number in 0..600 {
        client.retain(&format!("a/{number}"), "x", 0);
    }
    for topic in ["b/1", "b/2", "c"] {
        client.retain(topic, "x", 1);
    }
    assert_eq!(
        api.delete("/v1/retained?filter=b/%2B").json(),
        json!({"deleted": 2})
    );
    assert_eq!(api.get("/v1/retained?limit=0").json()["total"], 601);
    assert_eq!(
        api.delete("/v1/retained?filter=b/%2B").json(),
        json!({"deleted": 0})
    );
    api.delete("/v1/retained?filter=%23x")
        .expect_error(400, Some("filter"));
    assert_eq!(api.delete("/v1/retained").json(), json!({"deleted": 601}));
    assert_eq!(api.get("/v1/stats").json()["retained"], 0);
}

#[test]
fn reset_leaves_an_empty_broker() {
    let api = Api::start();
    assert_eq!(
        api.post("/v1/clock/advance", r#"{"seconds": 60}"#).status,
        200
    );
    let will = Will::new("wills", "a is gone").retain();
    let mut a = api.open(Version::V5, &Connect::new("a").will(will));
    a.subscribe("$share/g/x", 1);
    let will = Will::new("wills", "b is gone")
        .with(will_delay(1000))
        .retain();
    let away = Connect::new("b").with(session_expiry(3600)).will(will);
    let mut b = api.open(Version::V5, &away);
    b.subscribe("y", 1);
    b.vanish();
    assert_eq!(
        api.get("/v1/clients/b?connected=false&wait=30s").status,
        200
    );
    let mut publisher = api.connect("publisher");
    publisher.publish("y", "waits", 1);
    publisher.retain("kept", "x", 1);
    let refused_calls = || api.get("/v1/refused-calls").json()["total"].clone();
    if cfg!(feature = "aws") {
        assert_eq!(api.get("/billing-groups/x").status, 400);
        assert_eq!(refused_calls(), 1);
    }
    let done = api.post("/v1/reset", "").json();
    assert_eq!(
        done,
        json!({"disconnected": 2, "sessions": 3, "retained": 1})
    );
    a.expect_disconnect(0x98);
    publisher.expect_disconnect(0x98);
    let stats = api.get("/v1/stats").json();
    for name in [
        "clients_connected",
        "sessions",
        "subscriptions",
        "groups",
        "retained",
        "queued",
        "group_queued",
        "connections_opened",
        "packets_received",
        "messages_received",
        "messages_sent",
        "messages_dropped",
    ] {
        assert_eq!(stats[name], 0, "{name}: {stats}");
    }
    if cfg!(feature = "aws") {
        assert_eq!(refused_calls(), 0);
    }
    assert!(api.get("/v1/clock").json()["ahead_seconds"].as_f64() >= Some(60.0));
    let deadlines = api.get("/v1/deadlines").body;
    assert!(
        !deadlines.contains("will") && !deadlines.contains("session"),
        "{deadlines}"
    );
    // Those who were there may come back at once, to nothing.
    let mut back = api.open(Version::V5, &away.resume());
    back.expect_only_pingresp();
}

/// The groups of a session with many of them are gone, with what waited in these, when the answer comes.
#[test]
fn reset_leaves_nothing_of_many_groups() {
    const GROUPS: usize = 2_000;
    let api = Api::start();
    let connect = Connect::new("a").with(session_expiry(3600));
    let mut a = api.open(Version::V5, &connect);
    for number in 0..GROUPS {
        a.subscribe(&format!("$share/g/x/{number}"), 1);
    }
    a.disconnect();
    let left = "/v1/clients/a?connected=false&wait=30s";
    assert_eq!(api.get(left).status, 200);
    let mut publisher = api.connect("publisher");
    for number in 0..GROUPS {
        publisher.publish(&format!("x/{number}"), "waits", 1);
    }
    api.post("/v1/reset", "").json();
    let stats = api.get("/v1/stats").json();
    assert_eq!(
        (&stats["groups"], &stats["group_queued"]),
        (&json!(0), &json!(0))
    );
}

/// A connection that is closed as soon as it is accepted, whatever it says.
fn is_refused(api: &Api) -> bool {
    let mut stream = TcpStream::connect(api.mqtt).expect("it is accepted");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_))
}

#[test]
fn outage_loses_connections_and_keeps_state() {
    let api = Api::start();
    let connect = Connect::new("a").with(session_expiry(3600));
    let mut client = api.open(Version::V5, &connect);
    client.subscribe("x", 1);
    let mut early = Client::dial(api.mqtt, Version::V5);
    let own = api
        .server()
        .subscribe("x", roundel::QoS::AtMostOnce)
        .expect("a filter");
    let done = api.post("/v1/outage", r#"{"seconds": 30.5}"#).json();
    assert_eq!(done, json!({"seconds": 30.5, "lost": 1}));
    client.expect_closed();
    early.expect_closed();
    assert!(is_refused(&api));
    let ready = api.get("/readyz");
    ready.expect_error(503, None);
    assert!(ready.body.contains("outage"), "{}", ready.body);
    let shown = api.get("/v1/clients/a").json();
    assert_eq!(
        (&shown["connected"], &shown["subscriptions"]),
        (&json!(false), &json!(["x"]))
    );
    let end = &shown["last_end"];
    assert_eq!(
        (&end["by"], &end["cause"]),
        (&json!("operator"), &json!("outage"))
    );
    assert_eq!(
        api.post("/v1/publish", r#"{"topic":"x","payload":"1","qos":1}"#)
            .status,
        200
    );
    assert!(api.get("/v1/deadlines").body.contains("end_of_outage"));

    // On the broker's clock.
    assert_eq!(
        api.post("/v1/clock/advance", r#"{"seconds": 30}"#).status,
        200
    );
    assert!(is_refused(&api));
    assert_eq!(
        api.post("/v1/clock/advance", r#"{"seconds": 1}"#).status,
        200
    );
    assert_eq!(api.get("/readyz").status, 200);
    let mut client = api.open(Version::V5, &connect.resume());
    assert_eq!(client.receive().text(), "1");

    assert_eq!(
        api.post("/v1/outage", r#"{"seconds": 3600}"#).json()["lost"],
        1
    );
    assert_eq!(
        api.post("/v1/outage", r#"{"seconds": 0}"#).json(),
        json!({"seconds": 0.0, "lost": 0})
    );
    assert_eq!(api.get("/readyz").status, 200);
    assert!(!api.get("/v1/deadlines").body.contains("end_of_outage"));
    for body in [
        r#"{"seconds": -1}"#,
        r#"{"seconds": 86401}"#,
        r#"{"seconds": "5"}"#,
    ] {
        api.post("/v1/outage", body)
            .expect_error(400, Some("seconds"));
    }
    drop(own);
}

/// Whoever connects while an outage begins is lost or refused, and never left.
#[test]
fn nobody_slips_through_an_outage() {
    let api = Api::start();
    thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            for number in 0..200 {
                let mut client = Client::dial(api.mqtt, Version::V5);
                client.send_connect(&Connect::new(format!("c{number}")).with(session_expiry(60)));
                // CONNACK, or the end.
                let _ = client.next_or_end();
            }
        });
        while !connecting.is_finished() {
            assert_eq!(api.post("/v1/outage", r#"{"seconds": 60}"#).status, 200);
            assert_eq!(api.get("/v1/stats").json()["clients_connected"], 0);
            assert_eq!(api.post("/v1/outage", r#"{"seconds": 0}"#).status, 200);
        }
    });
}

#[test]
fn deadlines_come_in_order_and_say_whom_they_are_about() {
    let api = Api::start();
    let will = Will::new("w", "x").with(will_delay(100));
    let away = Connect::new("a").with(session_expiry(3600)).will(will);
    api.open(Version::V5, &away).vanish();
    assert_eq!(
        api.get("/v1/clients/a?connected=false&wait=30s").status,
        200
    );
    let mut b = api.open(Version::V5, &Connect::new("b").keep_alive(1000));
    // Its timers are set by the end of the turn that answered CONNECT.
    b.expect_only_pingresp();
    let found = api.get("/v1/deadlines").json();
    let list = found["deadlines"].as_array().expect("a list");
    let left = |one: &Value| one["in_seconds"].as_f64().expect("a time");
    assert!(list.is_sorted_by_key(left), "{found}");
    // A connection may have further timers, and the socket of the client that has gone be closing.
    for (kind, client_id, seconds) in [
        ("will", "a", 100.0),
        ("connection", "b", 1500.0),
        ("session_expiry", "a", 3600.0),
    ] {
        let is_it = |one: &&Value| {
            one["kind"] == kind
                && one["client_id"] == client_id
                && (seconds - 10.0..=seconds).contains(&left(one))
        };
        assert_eq!(list.iter().filter(is_it).count(), 1, "{kind}: {found}");
    }
    assert_eq!(
        api.get("/v1/deadlines?limit=1").json()["deadlines"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}
