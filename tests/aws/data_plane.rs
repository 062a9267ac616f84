//! The data plane on a broker with a registry: policies of receivers, and the things that clients are.

use roundel::aws::registry::{NewThing, PrincipalType, Resource};
use serde_json::{Value, json};

use crate::stand::{Stand, allow, everything};
use crate::support::*;

fn start() -> Stand {
    Stand::with(|config| config.listeners.http = Some(0))
}

/// AWS-DATA-10: its policies have to allow `iot:Receive`, whether it subscribes or not.
#[test]
fn direct_message_needs_the_permission_of_its_receiver() {
    let stand = start();
    let statements = json!([
        allow(&["Connect"], &["client/*"]),
        allow(&["Receive"], &["topic/may/*"]),
    ]);
    let device = stand.device("device", &statements);
    let mut client = stand.enter(&device, Version::V5, &Connect::new("a"));
    let send = |topic: &str| {
        let target = format!("/connections/a/messages?topic={topic}");
        stand.call("POST", &target, "hello")
    };
    let (status, answer) = send("may%2Fhave");
    assert_eq!((status, &answer["message"]), (200, &json!("OK")));
    assert_eq!(client.receive().topic, "may/have");
    let (status, answer) = send("may-not");
    assert_eq!(status, 403, "{answer}");
    assert!(answer["traceId"].is_string(), "{answer}");
    let (status, _) = send("may-not&confirmation=true");
    assert_eq!(status, 403);
    client.expect_silence();
    // AWS-ID-15
    stand.set_policy("device", &json!([everything()]));
    assert_eq!(send("may-not").0, 200);
    assert_eq!(client.receive().topic, "may-not");
}

/// AWS-DATA-01: the operator publishes what no policy allows.
#[test]
fn policies_do_not_bind_who_calls() {
    let stand = start();
    let device = stand.device("device", &json!([everything()]));
    let mut client = stand.enter(&device, Version::V5, &Connect::new("a"));
    client.subscribe("t", 1);
    assert_eq!(stand.call("POST", "/topics/t?qos=1", "hello").0, 200);
    assert_eq!(client.receive().text(), "hello");
}

fn connectivity(stand: &Stand, thing: &str) -> Value {
    stand.ask("POST", &format!("/things/{thing}/connectivity-data"), "{}")
}

/// AWS-DATA-08, AWS-ID-07, AWS-LIFE-21: by its name, or by a certificate that is its alone.
#[test]
fn thing_is_told_of_by_its_client() {
    let stand = start();
    let [shared, own] = ["shared", "own"].map(|name| stand.device(name, &json!([everything()])));
    stand.change(|draft| {
        for (thing, identity, kind) in [
            ("car", &shared, PrincipalType::NonExclusiveThing),
            ("truck", &own, PrincipalType::ExclusiveThing),
        ] {
            draft.create_thing(thing, NewThing::default())?;
            let certificate = Resource::Certificate(identity.certificate_id.clone());
            let certificate = draft.arn(&certificate);
            draft.attach_thing_principal(thing, &certificate, kind)?;
        }
        Ok(())
    });
    let thing_of = |client_id: &str| {
        let found = stand.ask("GET", &format!("/connections/{client_id}"), "");
        found["thingName"].clone()
    };
    assert_eq!(
        connectivity(&stand, "truck"),
        json!({ "thingName": "truck", "connected": false })
    );
    let car = stand.enter(&shared, Version::V5, &Connect::new("car"));
    let other = stand.enter(&shared, Version::V5, &Connect::new("other"));
    let truck = stand.enter(&own, Version::V5, &Connect::new("any-name"));
    assert_eq!(thing_of("car"), "car");
    assert_eq!(thing_of("other"), json!(null));
    assert_eq!(thing_of("any-name"), "truck");
    let found = connectivity(&stand, "truck");
    assert_eq!(
        (&found["connected"], &found["clientId"], &found["thingName"]),
        (&json!(true), &json!("any-name"), &json!("truck"))
    );
    let since = found["timestamp"].as_f64().expect("seconds");
    truck.disconnect();
    car.vanish();
    for (thing, client_id, reason) in [
        ("truck", "any-name", "CLIENT_INITIATED_DISCONNECT"),
        ("car", "car", "CONNECTION_LOST"),
    ] {
        eventually("it is gone", || {
            connectivity(&stand, thing)["connected"] == false
        });
        let found = connectivity(&stand, thing);
        assert_eq!(
            (&found["clientId"], &found["disconnectReason"]),
            (&json!(client_id), &json!(reason))
        );
        assert!(found["timestamp"].as_f64() >= Some(since), "{found}");
    }
    drop(other);
    let (status, _) = stand.call("POST", "/things/nothing/connectivity-data", "{}");
    assert_eq!(status, 404);
}
