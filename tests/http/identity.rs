//! What the console's pages of the registry ask: `/v1/refusals`, `/v1/identity`, `/v1/shadows`, and explanations.

use roundel::config::{AccessKey, RegistryPlace, User};
use roundel::{Authority, Config, KeyKind, PasswordHash};
use serde_json::{Value, json};

use crate::api::Api;
use crate::support::{Client, Connect, Publish, Version, Will};

const PREFIX: &str = "arn:aws:iot:us-east-1:123456789012:";

/// A broker whose guests have a policy.
fn start(change: impl FnOnce(&mut Config)) -> Api {
    let api = Api::start_with(|config| {
        config.registry = RegistryPlace::Memory;
        config.aws.anonymous_policy = Some("guests".to_owned());
        change(config);
    });
    put(
        &api,
        &json!({ "policies": { "guests": { "document": {
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Action": "iot:Connect", "Resource": format!("{PREFIX}client/guest*") },
                { "Sid": "own", "Effect": "Allow", "Action": "iot:Publish", "Resource": format!("{PREFIX}topic/${{iot:ClientId}}/*") },
                { "Effect": "Allow", "Action": "iot:Subscribe", "Resource": format!("{PREFIX}topicfilter/news/*") },
                { "Effect": "Allow", "Action": "iot:Receive", "Resource": format!("{PREFIX}topic/news/open") },
                { "Sid": "secret", "Effect": "Deny", "Action": "iot:Subscribe", "Resource": format!("{PREFIX}topicfilter/news/secret") },
            ],
        }}}}),
    );
    api
}

fn put(api: &Api, document: &Value) {
    let json = [("Content-Type", "application/json")];
    let answer = api.send("PUT", "/v1/registry", &json, &document.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn refusals(api: &Api) -> Vec<Value> {
    let answer = api.get("/v1/refusals").json();
    let all = answer["refusals"].as_array().expect("a list").clone();
    assert_eq!(answer["total"], all.len());
    all
}

fn explained(api: &Api, refusal: &Value) -> Value {
    let query = refusal["explain"].as_str().expect("an explanation");
    api.get(&format!("/v1/policy/explain?{query}")).json()
}

#[test]
fn every_refusal_is_kept_with_its_explanation_until_a_reset() {
    let api = start(|_| {});
    let mut guest = api.connect("guest1");
    guest.subscribe("news/#", 1);
    for _ in 0..3 {
        assert_eq!(guest.publish_message(Publish::new("other/1", "x"), 1), 0x87);
    }
    assert_eq!(guest.subscribe("news/secret", 1), 0x87);
    let publish = r#"{"topic": "news/closed", "payload": "x"}"#;
    assert_eq!(api.post("/v1/publish", publish).status, 200);
    let mut stranger = Client::dial(api.mqtt(), Version::V5);
    let will = Will::new("stranger/gone", "x").retain();
    stranger.send_connect(&Connect::new("stranger").will(will));
    stranger.expect_refusal(0x87);

    let found = refusals(&api);
    let told: Vec<_> = found
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or("-");
            format!(
                "{} {} {} {} {}",
                text("client_id"),
                text("action"),
                text("resource"),
                text("will_topic"),
                one["count"]
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "stranger connect stranger stranger/gone 1",
            "guest1 receive news/closed - 1",
            "guest1 subscribe news/secret - 1",
            "guest1 publish other/1 - 3",
        ]
    );
    for (refusal, verdict, near) in [
        (&found[0], "implicit_deny", 1),
        (&found[1], "implicit_deny", 1),
        (&found[2], "explicit_deny", 0),
        (&found[3], "implicit_deny", 1),
    ] {
        assert_eq!(refusal["source_ip"], "127.0.0.1");
        assert_eq!(refusal["principal_kind"], "none");
        let explained = explained(&api, refusal);
        assert_eq!(explained["allowed"], false, "{explained}");
        let check = &explained["checks"][0];
        assert_eq!(check["verdict"], verdict, "{explained}");
        let misses = check["near_misses"].as_array().expect("a list");
        assert_eq!(misses.len(), near, "{explained}");
    }
    let explained = explained(&api, &found[3]);
    let check = &explained["checks"][0];
    assert_eq!(check["variables"], json!({ "iot:ClientId": "guest1" }));
    let miss = &check["near_misses"][0];
    assert_eq!(miss["sid"], "own");
    assert_eq!(miss["text"]["Action"], "iot:Publish");
    let why = format!("Resource {PREFIX}topic/${{iot:ClientId}}/* does not fit");
    assert_eq!(miss["why"], why);
    assert_eq!(
        check["would_be_allowed_by"],
        json!({ "Effect": "Allow", "Action": "iot:Publish", "Resource": format!("{PREFIX}topic/other/1") })
    );
    let secret = api.get("/v1/policy/explain?client=guest1&action=subscribe&resource=news/secret");
    let decider = secret.json()["checks"][0]["decided_by"].clone();
    assert_eq!(decider["text"]["Sid"], "secret", "{decider}");

    let of = |query: &str| api.get(&format!("/v1/refusals?{query}")).json();
    assert_eq!(of("client=guest1&limit=1")["total"], 3);
    assert_eq!(of("limit=1")["refusals"].as_array().map(Vec::len), Some(1));
    assert_eq!(api.post("/v1/reset", "").status, 200);
    assert_eq!(of("client=guest1")["total"], 0);
    let gone = api.get("/v1/policy/explain?client=stranger&action=connect");
    gone.expect_error(404, Some("certificate"));
}

#[test]
fn calls_and_passwords_that_are_refused_are_kept_too() {
    let api = start(|config| {
        config.access_keys = vec![AccessKey {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "secret".to_owned(),
            policy: Some("guests".to_owned()),
        }];
        config.users = vec![User {
            name: "ann".to_owned(),
            password_hash: PasswordHash::new(b"secret", b"sixteen bytes ok").to_string(),
        }];
    });
    assert_eq!(api.get("/things/car1/shadow").status, 403);
    let mut ann = Client::dial(api.mqtt(), Version::V5);
    ann.send_connect(&Connect::new("car").user("ann").password("wrong"));
    ann.expect_refusal(0x86);
    let all = refusals(&api);
    let [password, refusal] = &*all else {
        panic!("one of each was refused: {all:?}");
    };
    assert_eq!(
        (&password["client_id"], &password["action"]),
        (&"car".into(), &"connect".into())
    );
    assert_eq!(password["why"], "bad user name or password");
    assert_eq!(password["explain"], Value::Null);
    assert_eq!(
        (&refusal["action"], &refusal["resource"]),
        (&"GetThingShadow".into(), &"/things/car1/shadow".into())
    );
    assert_eq!(refusal["explain"], Value::Null);
    assert!(refusal["why"].as_str().is_some_and(|why| !why.is_empty()));
    // What its policy says of a call.
    let explain = |rest: &str| {
        let key = "/v1/policy/explain?access_key=AKIDEXAMPLE";
        api.get(&format!("{key}&action=iot:GetThingShadow{rest}"))
    };
    let explained = explain("&resource=thing/car1").json();
    assert_eq!(
        (&explained["client"], &explained["allowed"]),
        (&Value::Null, &false.into())
    );
    assert_eq!(explained["checks"][0]["action"], "iot:GetThingShadow");
    explain("&resource=topic/a").expect_error(400, Some("resource"));
    explain("").expect_error(400, Some("resource"));
    explain("&resource=thing/a&certificate=c").expect_error(400, Some("access_key"));
    let nobody = api.get("/v1/policy/explain?action=iot:GetThingShadow&resource=thing/car1");
    nobody.expect_error(400, Some("client"));
}

fn certificate(name: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::open(folder.path()).expect("an authority");
    let issued = authority.issue_pem(name, KeyKind::Ecdsa);
    issued.expect("a certificate").certificate
}

#[test]
fn registry_is_looked_at_by_kind_and_by_name() {
    let api = start(|_| {});
    let document = json!({
        "thing_groups": { "cars": {}, "fast": { "parent": "cars", "policies": ["guests"] } },
        "things": { "car1": { "groups": ["fast"], "attributes": { "site": "north" } }, "car2": {} },
        "certificates": [
            { "pem": certificate("driver"), "things": ["car1"], "policies": ["guests"] },
            { "pem": certificate("other"), "status": "INACTIVE" },
        ],
    });
    put(&api, &document);
    let list = |target: &str| api.get(&format!("/v1/identity/{target}")).json();
    let things = list("things?limit=1");
    assert_eq!(things["total"], 2);
    assert_eq!(
        things["entries"],
        json!([{ "name": "car1", "type": null, "certificates": 1, "groups": 1, "attributes": "site=north" }])
    );
    assert_eq!(list("things?after=car1")["entries"][0]["name"], "car2");
    for q in ["drive", "car1"] {
        let found = list(&format!("certificates?q={q}"));
        assert_eq!(found["total"], 1, "{q}");
        assert_eq!(found["entries"][0]["common_name"], "driver");
    }
    let id = list("certificates?q=driver")["entries"][0]["id"].clone();
    let id = id.as_str().expect("an id");
    let thing = list("things/car1");
    assert_eq!(
        thing["certificates"],
        json!({ "entries": [{ "name": id, "title": "driver" }], "total": 1 })
    );
    let shown = list(&format!("certificates/{id}"));
    assert_eq!(shown["arn"], format!("{PREFIX}cert/{id}"));
    assert_eq!(shown["status"], "ACTIVE");
    assert_eq!(shown["is_valid_now"], true);
    assert!(
        shown["subject"]
            .as_str()
            .is_some_and(|name| name.contains("CN=driver"))
    );
    assert_eq!(shown["things"]["entries"][0]["name"], "car1");
    let policy = list("policies/guests");
    assert_eq!(policy["certificates"]["entries"][0]["title"], "driver");
    assert_eq!(policy["thing_groups"]["entries"][0]["name"], "fast");
    let version = &policy["versions"][0];
    assert_eq!(
        (&version["version"], &version["is_default"]),
        (&1.into(), &true.into())
    );
    assert!(
        version["document"]
            .as_str()
            .is_some_and(|text| text.contains("iot:Connect"))
    );
    let group = list("thing-groups/fast");
    assert_eq!(group["parents"]["entries"][0]["name"], "cars");
    assert_eq!(group["things"]["entries"][0]["name"], "car1");
    assert_eq!(list("authorizers")["total"], 0);
    api.get("/v1/identity/nothing")
        .expect_error(404, Some("kind"));
    api.get("/v1/identity/things/none")
        .expect_error(404, Some("name"));
    let standard = Api::start();
    for target in ["/v1/identity/things", "/v1/refusals", "/v1/shadows"] {
        standard.get(target).expect_error(409, None);
    }
}

#[test]
fn shadows_are_listed_and_shown_with_their_delta() {
    let api = start(|_| {});
    let update = |target: &str, state: &Value| {
        let answer = api.post(target, &json!({ "state": state }).to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    update(
        "/things/car1/shadow",
        &json!({ "desired": { "light": "on" }, "reported": { "light": "off" } }),
    );
    update(
        "/things/car1/shadow?name=door",
        &json!({ "reported": { "open": true } }),
    );
    update("/things/gone/shadow", &json!({ "reported": { "a": 1 } }));
    assert_eq!(api.delete("/things/gone/shadow").status, 200);
    let list = api.get("/v1/shadows").json();
    let rows: Vec<_> = list["shadows"].as_array().expect("a list").iter().collect();
    assert_eq!((rows.len(), &list["total"]), (2, &2.into()));
    assert_eq!(
        (&rows[0]["thing"], &rows[0]["name"], &rows[0]["has_delta"]),
        (&"car1".into(), &Value::Null, &true.into())
    );
    assert_eq!(
        (&rows[1]["name"], &rows[1]["has_delta"], &rows[1]["version"]),
        (&"door".into(), &false.into(), &1.into())
    );
    assert_eq!(api.get("/v1/shadows?after=car1&q=car").json()["total"], 2);
    let behind = api.get("/v1/shadows?after=car1").json();
    assert_eq!(behind["shadows"].as_array().map(Vec::len), Some(1));
    let classic = api.get("/v1/shadows/car1").json();
    assert_eq!(classic["state"]["delta"], json!({ "light": "on" }));
    assert!(classic["metadata"]["desired"]["light"]["timestamp"].is_u64());
    assert_eq!(api.get("/v1/shadows/car1/door").json()["version"], 1);
    for target in ["/v1/shadows/gone", "/v1/shadows/car1/none"] {
        api.get(target).expect_error(404, Some("thing"));
    }
    api.get("/v1/shadows/a%20b")
        .expect_error(400, Some("thing"));
}
