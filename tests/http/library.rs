//! What HTTP can do, from Rust.

use std::time::{Duration, Instant};

use roundel::config::Listeners;
use roundel::{Config, Message, QoS, ReasonCode, Server};

use crate::{
    api::Api,
    support::{Connect, Version},
};

const WITHIN: Duration = Duration::from_secs(10);

#[test]
fn message_has_the_properties_of_mqtt_5_and_tells_whom_it_reached() {
    let api = Api::start();
    let server = api.server();
    let mut own = server.subscribe("a/+", QoS::AtLeastOnce).expect("a filter");
    let mut client = api.connect("client");
    client.subscribe("a/#", 1);
    client.subscribe("$share/g/a/b", 1);
    let message = Message::new("a/b", "x")
        .with_qos(QoS::AtLeastOnce)
        .with_expiry(Duration::from_millis(59_001))
        .as_utf8()
        .with_content_type("text/plain")
        .with_response("answers", Some("id".into()))
        .with_user_property("name", "value");
    let reached = server.publish(&message).expect("a topic");
    assert_eq!((reached.subscribers, reached.groups), (2, 1));
    let received = api.block_on(own.next()).expect("a message");
    assert_eq!(
        received.expiry,
        Some(Duration::from_secs(60)),
        "a part is a second"
    );
    let same = Message::clone(&message).with_expiry(Duration::from_secs(60));
    assert_eq!(received, same);
    let nobody = server.publish(&Message::new("b", "x")).expect("a topic");
    assert_eq!((nobody.subscribers, nobody.groups), (0, 0));
}

#[test]
fn clients_and_groups_are_seen_and_ended() {
    let api = Api::start();
    let server = api.server();
    let mut durable = api.open(Version::V5, &Connect::new("durable").durable());
    durable.subscribe("$share/g/t", 1);
    let mut plain = api.connect("plain");
    plain.subscribe("t", 1);
    let clients = server.clients();
    let names: Vec<_> = clients.iter().map(|client| &*client.client_id).collect();
    assert_eq!(names, ["durable", "plain"]);
    let seen = server.client("plain").expect("it is there");
    assert!(seen.is_connected && seen.peer.is_some());
    assert_eq!(
        (seen.listener, seen.version),
        (Some("mqtt"), roundel::Version::V5)
    );
    assert_eq!(seen.subscriptions, [("t".to_owned(), QoS::AtLeastOnce)]);
    let group = server.group("g", "t").expect("it has a member");
    assert_eq!(
        group.next().map(|member| &*member.client_id),
        Some("durable")
    );
    assert_eq!(server.groups(), [group]);
    assert_eq!(server.group("g", "other"), None);

    assert!(api.block_on(server.disconnect("durable", ReasonCode::ServerBusy)));
    durable.expect_disconnect(0x89);
    assert!(!api.block_on(server.disconnect("durable", ReasonCode::ServerBusy)));
    let away = server.client("durable").expect("its session is kept");
    assert!(!away.is_connected);
    assert!(api.block_on(server.end_session("durable")));
    assert_eq!(server.client("durable"), None);
    assert!(!api.block_on(server.end_session("durable")));

    for topic in ["kept/1", "kept/2", "other"] {
        server
            .publish(&Message::new(topic, "x").retained())
            .expect("a topic");
    }
    assert_eq!(api.block_on(server.delete_retained(Some("kept/+"))), 2);
    assert_eq!(api.block_on(server.outage(Duration::from_secs(60))), 1);
    plain.expect_closed();
    assert_eq!(api.block_on(server.outage(Duration::ZERO)), 0);
    let _again = api.connect("again");
    api.block_on(server.wait_for_client("again", WITHIN))
        .expect("it is back");
    api.block_on(server.reset());
    assert_eq!(server.clients(), []);
    assert_eq!(api.block_on(server.delete_retained(None)), 0);
}

#[test]
fn long_lists_of_clients_are_whole() {
    let api = Api::start();
    let clients: Vec<_> = (0..1_203)
        .map(|n| api.connect(&format!("{n:05}")))
        .collect();
    let found = api.server().clients();
    assert_eq!(found.len(), clients.len());
    assert!(found.is_sorted_by_key(|client| client.client_id.clone()));
}

/// Figures of `benches/README.md`: `cargo test --release --all-features --test http -- --ignored hundred_brokers
/// --nocapture`.
#[test]
#[ignore = "prints figures"]
fn hundred_brokers_run_in_one_process() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut in_memory = Config::standard();
    in_memory.listeners = Listeners::none();
    let mut plain = Config::standard().ephemeral();
    plain.listeners.mqtts = None;
    let kinds = [
        ("no listener", in_memory),
        ("MQTT and HTTP", plain),
        ("MQTT, TLS and HTTP", Config::standard().ephemeral()),
    ];
    for (name, config) in kinds {
        let (before, begun) = (resident(), Instant::now());
        let brokers: Vec<_> = (0..100)
            .map(|_| {
                runtime
                    .block_on(Server::start(config.clone()))
                    .expect("free ports")
            })
            .collect();
        let (started, after) = (begun.elapsed(), resident());
        for broker in &brokers {
            broker.publish(&Message::new("t", "x")).expect("a topic");
        }
        let begun = Instant::now();
        for broker in brokers {
            runtime.block_on(broker.stop());
        }
        println!(
            "{name}: 100 started in {started:?}, {} KiB each, stopped in {:?}",
            after.saturating_sub(before) / 100,
            begun.elapsed()
        );
    }
}

/// KiB of memory that the process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
