//! Lifecycle events: what is published under `$aws/events/` when clients come and go, subscribe and
//! unsubscribe.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roundel::aws::registry::{PrincipalType, Resource};
use serde_json::{Value, json};

use crate::script::*;
use crate::stand::{Stand, everything};
use crate::support::*;

/// A client that hears of everything that happens to others, one kind of event at a time.
struct Listener(Client);

impl Listener {
    /// Hears of `kind`, such as `presence/connected`.
    fn start(broker: &TestBroker, kind: &str) -> Self {
        Self::of(guest(broker, Version::V5), kind)
    }

    fn of(mut client: Client, kind: &str) -> Self {
        assert_eq!(client.subscribe(&format!("$aws/events/{kind}/#"), 1), 1);
        Self(client)
    }

    /// The next event of this client: its topic's last level is the client's identifier, and so says the
    /// payload.
    fn event_of(&mut self, client_id: &str) -> Value {
        loop {
            let delivery = self.0.receive();
            let event: Value = serde_json::from_str(delivery.text()).expect("JSON");
            let (_, named) = delivery.topic.rsplit_once('/').expect("levels");
            assert_eq!(event["clientId"], named);
            let kind = event["eventType"].as_str().expect("a kind").to_owned();
            assert!(delivery.topic.ends_with(&format!("/{kind}/{named}")));
            if named == client_id {
                return event;
            }
        }
    }
}

fn members(event: &Value) -> Vec<&str> {
    let object = event.as_object().expect("an object");
    let mut members: Vec<&str> = object.keys().map(String::as_str).collect();
    members.sort_unstable();
    members
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("a date")
}

/// AWS-LIFE-01 AWS-LIFE-04 AWS-LIFE-06 AWS-LIFE-07 AWS-LIFE-10 AWS-LIFE-11
#[test]
fn clients_that_come_and_go_are_told_of() {
    let own = aws("");
    both(|version| {
        let mut connected = Listener::start(&own, "presence/connected");
        let mut disconnected = Listener::start(&own, "presence/disconnected");
        let name = fresh("thing");
        let mut sessions = Vec::new();
        for round in 0..2 {
            let before = now_ms();
            let durable = Connect::new(&name).durable();
            let (client, ..) = enter(&own, version, &durable);
            let event = connected.event_of(&name);
            let expected = [
                "clientId",
                "eventType",
                "ipAddress",
                "sessionIdentifier",
                "timestamp",
                "versionNumber",
            ];
            assert_eq!(members(&event), expected);
            assert_eq!(event["ipAddress"], "127.0.0.1");
            assert_eq!(event["versionNumber"], round);
            let timestamp = event["timestamp"].as_u64().expect("milliseconds");
            assert!((before - 1000..now_ms() + 1000).contains(&timestamp));
            sessions.push(event["sessionIdentifier"].clone());

            client.disconnect();
            let event = disconnected.event_of(&name);
            assert_eq!(event["eventType"], "disconnected");
            assert_eq!(event["clientInitiatedDisconnect"], true);
            assert_eq!(event["disconnectReason"], "CLIENT_INITIATED_DISCONNECT");
            assert_eq!(event["versionNumber"], round);
            sessions.push(event["sessionIdentifier"].clone());
        }
        assert_eq!(sessions[0].as_str().map(str::len), Some(36));
        assert!(sessions.iter().all(|session| *session == sessions[0]));
    });
}

/// AWS-LIFE-10: over sessions, in both versions of the protocol, and from the beginning after an hour or a reset.
#[test]
fn version_numbers_go_on_when_a_session_has_ended() {
    let own = aws("");
    let mut connected = Listener::start(&own, "presence/connected");
    let mut disconnected = Listener::start(&own, "presence/disconnected");
    let mut visit = |version, name: &str| {
        let (client, ..) = enter(&own, version, &Connect::new(name));
        let begun = connected.event_of(name)["versionNumber"].clone();
        client.disconnect();
        let ended = disconnected.event_of(name)["versionNumber"].clone();
        assert_eq!(begun, ended);
        begun
    };
    for (round, version) in [Version::V5, Version::V3, Version::V5]
        .into_iter()
        .enumerate()
    {
        assert_eq!(visit(version, "thing"), round);
    }
    own.advance(Duration::from_secs(3_599));
    assert_eq!(visit(Version::V3, "thing"), 3);
    own.advance(Duration::from_secs(3_600));
    assert_eq!(visit(Version::V5, "thing"), 0);
    assert_eq!(visit(Version::V5, "thing"), 1);
    own.post("/v1/reset", "");
    let mut connected = Listener::start(&own, "presence/connected");
    drop(enter(&own, Version::V5, &Connect::new("thing")));
    assert_eq!(connected.event_of("thing")["versionNumber"], 0);
}

/// AWS-LIFE-12 AWS-LIFE-14 AWS-LIFE-16
#[test]
fn each_end_has_its_reason() {
    let own = aws("");
    both(|version| {
        let mut listener = Listener::start(&own, "presence/disconnected");
        let mut expect = |name: &str, reason: &str| {
            let event = listener.event_of(name);
            assert_eq!(event["disconnectReason"], reason);
            assert_eq!(event["clientInitiatedDisconnect"], false);
        };
        let name = fresh("lost");
        enter(&own, version, &Connect::new(&name)).0.vanish();
        expect(&name, "CONNECTION_LOST");

        let name = fresh("twin");
        let (mut first, ..) = enter(&own, version, &Connect::new(&name));
        let (second, ..) = enter(&own, version, &Connect::new(&name));
        first.expect_error(0x8e);
        expect(&name, "DUPLICATE_CLIENTID");
        drop(second);

        let name = fresh("clumsy");
        let (mut clumsy, ..) = enter(&own, version, &Connect::new(&name));
        clumsy.send(Publish::new("", "no topic"));
        expect(&name, "CLIENT_ERROR");

        let name = fresh("kicked");
        let (kicked, ..) = enter(&own, version, &Connect::new(&name));
        own.delete(&format!("/v1/clients/{name}"));
        expect(&name, "API_INITIATED_DISCONNECT");
        drop(kicked);

        let name = fresh("quiet");
        let (quiet, ..) = enter(&own, version, &Connect::new(&name).keep_alive(40));
        own.advance_all(Duration::from_secs(61));
        expect(&name, "MQTT_KEEP_ALIVE_TIMEOUT");
        drop(quiet);
    });
}

/// AWS-LIFE-01 AWS-LIFE-09
#[test]
fn subscriptions_are_told_of() {
    let own = aws("");
    both(|version| {
        let mut subscribed = Listener::start(&own, "subscriptions/subscribed");
        let mut unsubscribed = Listener::start(&own, "subscriptions/unsubscribed");
        let name = fresh("reader");
        let (mut client, ..) = enter(&own, version, &Connect::new(&name));
        let subscribe = Subscribe::new(7).filter("a/+", 1).filter("$share/g/b", 0);
        client.send(subscribe);
        client.expect_suback(7);
        let event = subscribed.event_of(&name);
        assert_eq!(event["topics"], json!(["a/+", "$share/g/b"]));
        let expected = [
            "clientId",
            "eventType",
            "sessionIdentifier",
            "timestamp",
            "topics",
        ];
        assert_eq!(members(&event), expected);
        client.unsubscribe("a/+");
        assert_eq!(unsubscribed.event_of(&name)["topics"], json!(["a/+"]));
    });
}

/// AWS-LIFE-08 AWS-LIFE-19
#[test]
fn a_client_that_is_not_authorized_is_told_of() {
    let config = "
[aws]
lifecycle_events = true
[[users]]
name = \"ann\"
password_hash = \"$pbkdf2-sha256$i=1000$c2l4dGVlbiBieXRlcyBvaw$Yic6xB2Azj4fBhKstNB7WLaiOcN8ifBRJ7emnjo3D3c\"
";
    // Passwords are the standard's.
    let own = TestBroker::start_with_config(&["--profile", "standard"], config);
    let ann = || {
        Connect::new(fresh("listener"))
            .user("ann")
            .password("secret")
    };
    let (mut listener, ..) = enter(&own, Version::V5, &ann());
    assert_eq!(
        listener.subscribe("$aws/events/presence/connect_failed/#", 1),
        1
    );
    let mut listener = Listener(listener);
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let name = fresh("stranger");
        let mut stranger = Client::dial(own.mqtt(), Version::V5);
        stranger.send_connect(&Connect::new(&name).user("ann").password("wrong"));
        stranger.expect_refusal(0x86);
        let event = listener.event_of(&name);
        assert_eq!(event["connectFailureReason"], "AUTHORIZATION_FAILED");
        assert_eq!(event["ipAddress"], "127.0.0.1");
        sessions.push(event["sessionIdentifier"].clone());
    }
    assert_ne!(sessions[0], sessions[1]);
}

/// AWS-LIFE-17 AWS-FAIL-08: the events are the service's own.
#[test]
fn events_are_published_by_nobody_else_and_matched_by_no_leading_wildcard() {
    let own = aws("");
    let mut all = guest(&own, Version::V5);
    assert_eq!(all.subscribe("#", 1), 1);
    assert_eq!(all.subscribe("+/events/#", 1), 1);
    let name = fresh("thing");
    let mut listener = Listener::start(&own, "presence/connected");
    drop(enter(&own, Version::V5, &Connect::new(&name)));
    listener.event_of(&name);
    let topic = "$aws/events/presence/connected/forged";
    let mut forger = guest(&own, Version::V5);
    assert_eq!(forger.publish_message(Publish::new(topic, "{}"), 1), 0x90);
    forger.publish("seen", "x", 1);
    assert_eq!(all.receive().topic, "seen");
}

/// AWS-LIFE-03
#[test]
fn identifiers_with_wildcards_have_no_events() {
    let own = aws("");
    let mut listener = Listener::start(&own, "presence/connected");
    for name in ["with+plus", "with#hash", "without"] {
        drop(enter(&own, Version::V5, &Connect::new(name)));
    }
    assert_eq!(
        listener.0.receive().topic,
        "$aws/events/presence/connected/without"
    );
}

/// A session hears of what happened while it was away, as of any message.
#[test]
fn events_are_queued_for_a_session() {
    let own = aws("");
    let name = fresh("absent");
    let durable = Connect::new(&name).durable();
    let (mut absent, ..) = enter(&own, Version::V5, &durable);
    let other = fresh("other");
    let filter = format!("$aws/events/presence/connected/{other}");
    assert_eq!(absent.subscribe(&filter, 1), 1);
    absent.disconnect();
    drop(enter(&own, Version::V5, &Connect::new(&other)));
    let (absent, ..) = enter(&own, Version::V5, &durable);
    assert_eq!(Listener(absent).event_of(&other)["eventType"], "connected");
}

/// AWS-LIFE-05
#[test]
fn a_thing_that_alone_has_the_certificate_is_named() {
    both(|version| {
        let stand = Stand::start();
        let everything = json!([everything()]);
        let observer = stand.device("observer", &everything);
        let device = stand.device("device", &everything);
        let listen = |kind| {
            let connect = Connect::new(fresh("observer"));
            Listener::of(stand.enter(&observer, Version::V5, &connect), kind)
        };
        let (mut presence, mut subscriptions) = (listen("presence"), listen("subscriptions"));
        let mut things = || {
            let name = fresh("client");
            let mut client = stand.enter(&device, version, &Connect::new(&name));
            client.subscribe("a", 0);
            client.disconnect();
            let events = [
                presence.event_of(&name),
                presence.event_of(&name),
                subscriptions.event_of(&name),
            ];
            events.map(|event| event.get("thingName").cloned())
        };
        let attach = |thing: &str, kind| {
            stand.change(|draft| {
                draft.create_thing(thing, Default::default())?;
                let certificate = draft.arn(&Resource::Certificate(device.certificate_id.clone()));
                draft.attach_thing_principal(thing, &certificate, kind)
            });
        };
        assert_eq!(things(), [None, None, None]);
        attach("shared", PrincipalType::NonExclusiveThing);
        assert_eq!(things(), [None, None, None]);
        stand.change(|draft| {
            let certificate = draft.arn(&Resource::Certificate(device.certificate_id.clone()));
            draft.detach_thing_principal("shared", &certificate)
        });
        attach("alone", PrincipalType::ExclusiveThing);
        let named = Some(json!("alone"));
        assert_eq!(things(), [named.clone(), named.clone(), named]);
    });
}
