//! Device Shadow on the wire: requests over MQTT and HTTP, and who is told.

use std::time::Instant;

use roundel::Server;
use roundel::config::{Config, RegistryPlace};
use serde_json::{Value, json};

use crate::script::*;
use crate::stand::{Stand, allow};
use crate::support::*;

/// A topic of a thing's shadow.
fn topic(thing: &str, rest: &str) -> String {
    format!("$aws/things/{thing}/shadow/{rest}")
}

/// The next message: the last levels of its topic, and what it says.
#[track_caller]
fn told(client: &mut Client, thing: &str) -> (String, Value) {
    let delivery = client.receive();
    let start = topic(thing, "");
    let rest = delivery.topic.strip_prefix(&start).expect(&delivery.topic);
    let said = match &*delivery.payload {
        [] => Value::Null,
        payload => serde_json::from_slice(payload).expect("JSON"),
    };
    (rest.to_owned(), said)
}

/// The topics of the next messages, and the last message.
#[track_caller]
fn told_on<const N: usize>(client: &mut Client, thing: &str, topics: [&str; N]) -> Value {
    let mut last = Value::Null;
    for topic in topics {
        let (own, said) = told(client, thing);
        assert_eq!(own, topic, "{said}");
        last = said;
    }
    last
}

const UPDATED: [&str; 3] = ["update/accepted", "update/delta", "update/documents"];

/// AWS-SHADOW-15 AWS-SHADOW-16 AWS-SHADOW-18 AWS-SHADOW-19 AWS-SHADOW-38 AWS-SHADOW-41 AWS-FLOW-30
/// AWS-FLOW-31: a client asks with a token and hears by filters with `+`; somebody else sees all of it.
#[test]
fn requests_are_answered_to_all_who_subscribe_and_seen_by_them() {
    both(|version| {
        for prefix in ["", "name/lights/"] {
            let thing = fresh("thing");
            let on = |rest: &str| topic(&thing, &format!("{prefix}{rest}"));
            let mut device = client(version);
            for filter in ["get/+", "delete/+", "update/accepted", "update/rejected"] {
                assert_eq!(device.subscribe(&on(filter), 1), 1, "{filter}");
            }
            let mut watcher = client(version);
            assert_eq!(watcher.subscribe(&on("#"), 0), 0);
            let mut heard = |device: &mut Client, deed: &str, outcome: &str, payload: &str| {
                device.publish(&on(deed), payload, 1);
                let own = device.receive();
                assert_eq!(own.topic, on(&format!("{deed}/{outcome}")));
                assert_eq!(own.qos, 1);
                assert_eq!(watcher.receive().text(), payload, "the request itself");
                let seen = watcher.receive();
                assert_eq!((&seen.topic, &seen.payload), (&own.topic, &own.payload));
                assert_eq!(seen.qos, 0);
                let said: Value = serde_json::from_slice(&own.payload).expect("JSON");
                assert_eq!(said["clientToken"], json!("t1"), "{said}");
                if (deed, outcome) == ("update", "accepted") {
                    for last in ["delta", "documents"] {
                        assert_eq!(watcher.receive().topic, on(&format!("update/{last}")));
                    }
                }
                said
            };
            let said = heard(&mut device, "get", "rejected", r#"{"clientToken":"t1"}"#);
            assert_eq!(said["code"], json!(404));
            let update = r#"{"state":{"desired":{"on":true}},"clientToken":"t1"}"#;
            let said = heard(&mut device, "update", "accepted", update);
            assert_eq!(said["version"], json!(1));
            let said = heard(&mut device, "get", "accepted", r#"{"clientToken":"t1"}"#);
            assert_eq!(said["state"]["delta"], json!({"on": true}));
            let said = heard(&mut device, "update", "rejected", r#"{"clientToken":"t1"}"#);
            assert_eq!(said["message"], json!("Missing required node: state"));
            let said = heard(&mut device, "delete", "accepted", r#"{"clientToken":"t1"}"#);
            assert_eq!(said["version"], json!(1));
        }
    });
}

/// What is asked, the state of an update, that of the delta, and the version or the code.
type Step = (&'static str, &'static str, Option<Value>, u64);

/// AWS-SHADOW-04 AWS-SHADOW-20 AWS-SHADOW-22 AWS-SHADOW-24 AWS-SHADOW-27 AWS-SHADOW-33 AWS-SHADOW-41
/// AWS-SHADOW-42
#[test]
fn steps_of_the_service_pass_over_mqtt_and_http() {
    let update = "update";
    let first = r#"{"desired":{"c":"RED","s":"STOP"},"reported":{"c":"GREEN","e":"ON"}}"#;
    let lights = r#"{"desired":{"l":{"r":255,"g":255}},"reported":{"l":{"r":255,"g":0}}}"#;
    let all = json!({"s": "STOP", "l": {"g": 255}, "a": [1, 2]});
    let steps: [Step; 10] = [
        (update, first, Some(json!({"c": "RED", "s": "STOP"})), 1),
        (
            update,
            r#"{"reported":{"c":"RED"}}"#,
            Some(json!({"s": "STOP"})),
            2,
        ),
        (
            update,
            lights,
            Some(json!({"s": "STOP", "l": {"g": 255}})),
            3,
        ),
        (
            update,
            r#"{"desired":{"a":[1,2]},"reported":{"a":[1]}}"#,
            Some(all),
            4,
        ),
        (update, r#"{"desired":null}"#, None, 5),
        (update, r#"{"desired":{"x":null}}"#, None, 6),
        (update, r#"{"desired":{"a":[null]}}"#, None, 400),
        ("delete", "", None, 6),
        ("get", "", None, 404),
        (update, r#"{"reported":{"q":1}}"#, None, 7),
    ];
    let broker = aws("");
    for by_http in [false, true] {
        let thing = fresh("thing");
        let path = format!("/things/{thing}/shadow");
        let mut device = guest(&broker, Version::V5);
        for filter in ["update/+", "delete/+", "get/+"] {
            device.subscribe(&topic(&thing, filter), 1);
        }
        for (deed, state, delta, number) in &steps {
            let request = match *deed {
                "update" => format!(r#"{{"state":{state}}}"#),
                _ => String::new(),
            };
            let is_refused = *number >= 400;
            let over_http = match *deed {
                _ if !by_http => None,
                "update" => Some(broker.post(&path, &request)),
                "delete" => Some(broker.delete(&path)),
                _ => Some(broker.get(&path)),
            };
            let over_http: Option<Value> =
                over_http.map(|answer| serde_json::from_str(&answer).expect(&answer));
            if !by_http {
                device.publish(&topic(&thing, deed), &request, 1);
            }
            // What is refused over HTTP is told nobody, and what is got neither.
            let outcome = if is_refused { "rejected" } else { "accepted" };
            let said = match over_http {
                Some(answer) if is_refused => answer,
                over_http => {
                    let said = told_on(&mut device, &thing, [&*format!("{deed}/{outcome}")]);
                    assert!(over_http.is_none_or(|answer| answer == said), "{said}");
                    said
                }
            };
            let key = if is_refused { "code" } else { "version" };
            assert_eq!(said[key], json!(number), "{deed} {state}: {said}");
            if is_refused || *deed != "update" {
                continue;
            }
            assert_eq!(said["state"].to_string(), sorted(state));
            if let Some(delta) = delta {
                let said = told_on(&mut device, &thing, ["update/delta"]);
                assert_eq!((&said["state"], &said["version"]), (delta, &json!(number)));
            }
            let said = told_on(&mut device, &thing, ["update/documents"]);
            assert_eq!(said["current"]["version"], json!(number));
        }
        device.expect_only_pingresp();
    }
}

/// JSON with its members in order.
fn sorted(json: &str) -> String {
    let value: Value = serde_json::from_str(json).expect(json);
    value.to_string()
}

/// AWS-DATA-05 AWS-DATA-06 AWS-OPS-56 AWS-SHADOW-14 AWS-SHADOW-17
#[test]
fn http_answers_the_same_and_tells_of_changes_only() {
    let thing = fresh("thing");
    let broker = aws("");
    let mut watcher = guest(&broker, Version::V5);
    assert_eq!(watcher.subscribe(&topic(&thing, "#"), 1), 1);
    let path = format!("/things/{thing}/shadow");
    let json = |answer: String| -> Value { serde_json::from_str(&answer).expect(&answer) };
    let update = r#"{"state":{"desired":{"a":null,"b":1}},"clientToken":"t1"}"#;
    let answer = json(broker.post(&path, update));
    assert_eq!(
        answer["state"],
        json!({"desired": {"a": null, "b": 1}}),
        "as it was sent"
    );
    let (first, said) = told(&mut watcher, &thing);
    assert_eq!((first.as_str(), &said), ("update/accepted", &answer));
    told_on(&mut watcher, &thing, ["update/delta", "update/documents"]);
    let answer = json(broker.get(&path));
    assert_eq!(
        answer["state"],
        json!({"desired": {"b": 1}, "delta": {"b": 1}})
    );
    let answer = json(broker.post(&path, r#"{"state":{},"version":7,"clientToken":"t1"}"#));
    assert_eq!(answer["code"], json!(409));
    assert_eq!(answer["message"], json!("Version conflict"));
    assert_eq!(answer["clientToken"], json!("t1"));
    assert!(answer["timestamp"].is_u64(), "{answer}");
    let named = |name: &str| format!("{path}?name={name}");
    for name in ["b", "%24a"] {
        broker.post(&named(name), r#"{"state":{}}"#);
        let (topic, _) = told(&mut watcher, &thing);
        assert!(topic.starts_with("name/"), "{topic}");
        watcher.receive();
    }
    let list = format!("/api/things/shadow/ListNamedShadowsForThing/{thing}");
    let answer = json(broker.get(&format!("{list}?pageSize=1")));
    assert_eq!(answer["results"], json!(["$a"]));
    let token = answer["nextToken"].as_str().expect("a token");
    let answer = json(broker.get(&format!("{list}?nextToken={token}")));
    assert_eq!(answer["results"], json!(["b"]));
    let answer = json(broker.get(&named("")));
    assert_eq!(answer["code"], json!(400));
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|text| text.contains("shadowName")),
        "{answer}"
    );
    let answer = json(broker.delete(&path));
    assert_eq!(answer["version"], json!(1));
    told_on(&mut watcher, &thing, ["delete/accepted"]);
    assert_eq!(json(broker.get(&path))["code"], json!(404));
    watcher.expect_only_pingresp();
}

/// AWS-SHADOW-22: each of two devices reads the counter and raises it, and none is lost.
#[test]
fn devices_that_race_with_versions_lose_nothing() {
    let thing = fresh("thing");
    let (rounds, broker) = (40, aws(""));
    let first = r#"{"state":{"reported":{"n":0}}}"#;
    guest(&broker, Version::V5).publish(&topic(&thing, "update"), first, 1);
    let race = &|token: &'static str, version| {
        let mut device = guest(&broker, version);
        for filter in ["get/+", "update/accepted", "update/rejected"] {
            device.subscribe(&topic(&thing, filter), 1);
        }
        // Answers to the other one come as well.
        let mut ask = |deed: &str, mut request: Value| {
            request["clientToken"] = token.into();
            device.publish(&topic(&thing, deed), request.to_string(), 1);
            loop {
                let (topic, said) = told(&mut device, &thing);
                if said["clientToken"] == token && topic.starts_with(deed) {
                    return said;
                }
            }
        };
        let (mut won, mut lost) = (0, 0);
        while won < rounds {
            let got = ask("get", json!({}));
            let next = got["state"]["reported"]["n"].as_u64().expect("a number") + 1;
            let state = json!({"reported": {"n": next}});
            let said = ask("update", json!({"state": state, "version": got["version"]}));
            match said["code"].as_u64() {
                None => won += 1,
                Some(code) => {
                    assert_eq!(code, 409, "{said}");
                    lost += 1;
                }
            }
        }
        lost
    };
    let lost = std::thread::scope(|scope| {
        let racers = [("a", Version::V5), ("b", Version::V3)];
        let racers = racers.map(|(token, version)| scope.spawn(move || race(token, version)));
        racers.map(|racer| racer.join().expect("a racer"))
    });
    let answer = broker.get(&format!("/things/{thing}/shadow"));
    let shadow: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(
        shadow["state"]["reported"]["n"],
        json!(2 * rounds),
        "lost races: {lost:?}"
    );
    assert_eq!(shadow["version"], json!(2 * rounds + 1));
}

/// A client that floods its shadow is answered in its order, and is not in the way of others.
#[test]
fn flood_of_requests_is_answered_in_order() {
    const COUNT: u64 = 3000;
    let thing = fresh("thing");
    let mut watcher = client(Version::V5);
    watcher.subscribe(&topic(&thing, "update/accepted"), 0);
    let mut device = client(Version::V5);
    let mut requests = Vec::new();
    for n in 1..=COUNT {
        let update = json!({"state": {"reported": {"n": n}}, "version": n - 1}).to_string();
        let update = Publish::new(topic(&thing, "update"), update);
        requests.extend(update.encode(Version::V5));
    }
    let mut other = client(Version::V5);
    device.send(requests);
    let asked = Instant::now();
    other.expect_only_pingresp();
    assert!(asked.elapsed() < DEADLINE / 4, "{:?}", asked.elapsed());
    for n in 1..=COUNT {
        let (_, said) = told(&mut watcher, &thing);
        assert_eq!(said["version"], json!(n));
        assert_eq!(said["state"]["reported"]["n"], json!(n));
    }
    device.expect_only_pingresp();
}

/// What is asked as the connection ends is done too: by what was read, and by a will.
#[test]
fn last_words_reach_the_shadow() {
    both(|version| {
        let thing = fresh("thing");
        let mut watcher = client(version);
        watcher.subscribe(&topic(&thing, "update/documents"), 1);
        let will = Will::new(
            topic(&thing, "update"),
            r#"{"state":{"reported":{"on":false}}}"#,
        );
        let connect = Connect::new(fresh("device")).will(will);
        let (mut device, ..) = enter(aws_broker(), version, &connect);
        device.post(
            &topic(&thing, "update"),
            r#"{"state":{"reported":{"on":true}}}"#,
        );
        device.vanish();
        for on in [true, false] {
            let said = told_on(&mut watcher, &thing, ["update/documents"]);
            assert_eq!(said["current"]["state"], json!({"reported": {"on": on}}));
        }
    });
}

/// AWS-SHADOW-49 AWS-SHADOW-51 AWS-RSV-01 AWS-RSV-10: what is no topic of shadows is refused.
#[test]
fn topics_beside_those_of_shadows_are_refused() {
    both(|version| {
        for rest in [
            "shadow/foo",
            "shadow",
            "shadow/get/x",
            "shadow/name//get",
            "jobs/get",
        ] {
            let topic = format!("$aws/things/t/{rest}");
            publish_refused(version, &Publish::new(topic, "x"), 0x90);
        }
        let retained = Publish::new(topic("t", "update"), "{}").retain();
        publish_refused(version, &retained, 0x90);
        for filter in [
            "$aws/#",
            "$aws/things/t/jobs/#",
            "$aws/rules/#",
            "$aws/things/t/shadow/foo",
        ] {
            subscribe_refused(version, filter, 0x8F);
        }
        // Answers may be published by clients, and go the way of any message.
        let thing = fresh("thing");
        let mut watcher = client(version);
        watcher.subscribe(&topic(&thing, "#"), 1);
        client(version).publish(&topic(&thing, "update/accepted"), r#"{"a":1}"#, 1);
        assert_eq!(
            told_on(&mut watcher, &thing, ["update/accepted"]),
            json!({"a": 1})
        );
        watcher.expect_only_pingresp();
    });
}

/// AWS-ID-41 AWS-PEX-79 AWS-PEX-80 AWS-PEX-81
#[test]
fn policies_hold_for_requests_and_answers() {
    both(|version| {
        let stand = Stand::start();
        let request = "topic/$aws/things/t1/shadow/update";
        let statements = [
            allow(&["Connect"], &["*"]),
            allow(&["Publish"], &[request, "topic/$aws/things/t1/shadow/get"]),
            allow(&["Subscribe"], &["topicfilter/$aws/things/t1/shadow/*"]),
            allow(&["Receive"], &["topic/$aws/things/t1/shadow/update/*"]),
        ];
        let device = stand.device("device", &json!(statements));
        let mut client = stand.enter(&device, version, &Connect::new("t1"));
        for filter in ["get/+", "update/accepted", "update/delta"] {
            assert_eq!(client.subscribe(&topic("t1", filter), 1), 1);
        }
        client.publish(
            &topic("t1", "update"),
            r#"{"state":{"desired":{"a":1}}}"#,
            1,
        );
        told_on(&mut client, "t1", ["update/accepted", "update/delta"]);
        // It may ask, and may not hear.
        client.publish(&topic("t1", "get"), "", 1);
        client.publish(&topic("t1", "update"), r#"{"state":{}}"#, 1);
        told_on(&mut client, "t1", ["update/accepted"]);
        client.send(Publish::new(topic("t2", "update"), r#"{"state":{}}"#).qos(1, 9));
        match version {
            Version::V5 => assert_eq!(client.expect_puback(9), 0x87),
            Version::V3 => client.expect_closed(),
        }
        let registry = stand.server.registry().expect("a registry");
        assert!(!format!("{:?}", registry.state()).contains("\"t2\""));
    });
}

/// AWS-SHADOW-28 AWS-SHADOW-42: what was answered is there after a restart, with its version.
#[test]
fn shadows_outlive_the_broker() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = RegistryPlace::File(folder.path().join("registry.redb"));
    let open = || {
        Stand::with(|config| {
            config.registry = file.clone();
        })
    };
    let update = |stand: &Stand, payload: &str| -> Value {
        let address = stand.server.addrs().mqtt.expect("a listener");
        let mut device = Client::dial(address, Version::V5);
        device.send_connect(&Connect::new("device"));
        assert_eq!(device.expect_connack().1, 0);
        for (filter, qos) in [("update/documents", 1), ("get/accepted", 1)] {
            device.subscribe(&topic("t", filter), qos);
        }
        device.publish(&topic("t", "update"), payload, 1);
        let said = told_on(&mut device, "t", ["update/documents"]);
        device.disconnect();
        said["current"].clone()
    };
    let stand = open();
    update(&stand, r#"{"state":{"desired":{"a":[1,"x"]}}}"#);
    let before = update(&stand, r#"{"state":{"reported":{"b":{"c":1.5}}}}"#);
    drop(stand);
    let after = update(&open(), r#"{"state":{}}"#);
    assert_eq!(
        (&after["state"], &after["metadata"]),
        (&before["state"], &before["metadata"])
    );
    assert_eq!(after["version"], json!(3));
}

/// Without the switch or a registry the topics are closed, or topics like any other.
#[test]
fn shadows_can_be_switched_off() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (is_on, is_reserved) in [(false, true), (false, false), (true, false)] {
        let mut config = Config::aws().ephemeral();
        config.listeners.mqtt = Some(0);
        config.aws.shadows = is_on;
        config.aws.refuse_reserved_topics = is_reserved;
        let server = runtime.block_on(Server::start(config)).expect("a server");
        let mut device = Client::dial(server.addrs().mqtt.expect("a listener"), Version::V5);
        device.send_connect(&Connect::new("device"));
        assert_eq!(device.expect_connack().1, 0);
        let granted = device.subscribe(&topic("t", "#"), 1);
        if is_reserved {
            assert_eq!(granted, 0x8F);
            continue;
        }
        device.publish(&topic("t", "get"), "{}", 1);
        let topics: &[_] = if is_on {
            &["get", "get/rejected"]
        } else {
            &["get"]
        };
        for topic in topics {
            assert_eq!(told(&mut device, "t").0, *topic);
        }
        device.expect_only_pingresp();
    }
}

/// AWS-SHADOW-02: all of an update comes, whoever asks.
#[test]
fn programs_and_the_control_api_ask_as_well() {
    let stand = Stand::start();
    let address = stand.server.addrs().mqtt.expect("a listener");
    let mut watcher = Client::dial(address, Version::V5);
    watcher.send_connect(&Connect::new("watcher"));
    assert_eq!(watcher.expect_connack().1, 0);
    watcher.subscribe(&topic("t", "update/+"), 1);
    let update = r#"{"state":{"desired":{"a":1}}}"#;
    let message = roundel::Message::new(topic("t", "update"), update);
    stand.server.publish(&message).expect("it may");
    told_on(&mut watcher, "t", UPDATED);
}
