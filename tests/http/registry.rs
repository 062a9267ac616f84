//! `/v1/registry` and `/v1/certificates`.

use roundel::{Authority, Config, KeyKind};
use serde_json::{Value, json};

use crate::api::{Answer, Api};

/// A broker with a registry in memory.
fn start() -> Api {
    Api::start_with(with_registry)
}

fn with_registry(config: &mut Config) {
    config.registry = roundel::config::RegistryPlace::Memory;
}

fn put(api: &Api, document: &Value) -> Answer {
    let json = [("Content-Type", "application/json")];
    api.send("PUT", "/v1/registry", &json, &document.to_string())
}

fn pem(name: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::open(folder.path()).expect("an authority");
    let issued = authority.issue_pem(name, KeyKind::Ecdsa);
    issued.expect("a certificate").certificate
}

#[test]
fn document_is_applied_and_comes_back() {
    let api = start();
    assert_eq!(api.get("/v1/registry").json(), json!({}));
    let document = json!({
        "thing_groups": { "cars": {} },
        "things": { "car1": { "groups": ["cars"] } },
        "certificates": [{ "pem": pem("car1"), "things": ["car1"] }],
    });
    let changes = put(&api, &document).json();
    let certificate = api.get("/v1/registry").json()["certificates"][0]["id"].clone();
    assert_eq!(
        changes,
        json!({ "changes": [
            { "kind": "thing group", "name": "cars", "created": true },
            { "kind": "thing", "name": "car1", "created": true },
            { "kind": "certificate", "name": certificate, "created": true },
        ]})
    );
    let kept = api.get("/v1/registry").json();
    let again = api.post("/v1/registry", &kept.to_string());
    assert_eq!(again.json(), json!({ "changes": [] }));
    let toml = api.send("GET", "/v1/registry", &[("Accept", "application/toml")], "");
    assert!(toml.body.contains("[things.car1]\n"), "{}", toml.body);
    assert_eq!(toml.header("content-type"), Some("application/toml"));
}

#[test]
fn document_that_is_wrong_is_refused_by_member_and_changes_nothing() {
    let api = start();
    for (document, field) in [
        (
            json!({ "things": { "a": {}, "car1": { "type": "van" } } }),
            Some("things.car1"),
        ),
        (json!({ "thing": {} }), Some("thing")),
        (json!("things"), None),
        (
            // A file of this machine is nobody's business.
            json!({ "certificates": [{ "certificate_file": "/etc/hostname" }] }),
            Some("certificates[0].certificate_file"),
        ),
    ] {
        put(&api, &document).expect_error(400, field);
    }
    assert_eq!(api.send("PUT", "/v1/registry", &[], "{}").status, 415);
    assert_eq!(api.get("/v1/registry").json(), json!({}));
}

#[test]
fn request_for_another_registry_is_refused() {
    let api = start();
    let headers = [
        ("Content-Type", "application/json"),
        ("Roundel-Registry", "another"),
    ];
    for (method, path, body) in [
        ("GET", "/v1/registry", ""),
        ("PUT", "/v1/registry", r#"{"things": {"a": {}}}"#),
        ("POST", "/v1/certificates", r#"{"name": "a"}"#),
    ] {
        let answer = api.send(method, path, &headers, body);
        answer.expect_error(409, Some("roundel-registry"));
    }
    assert_eq!(api.get("/v1/registry").json(), json!({}));
}

#[test]
fn broker_without_registry_says_so() {
    let api = Api::start();
    api.get("/v1/registry").expect_error(409, None);
    put(&api, &json!({})).expect_error(409, None);
    let body = json!({ "certificate_pem": pem("a") }).to_string();
    api.post("/v1/certificates", &body).expect_error(409, None);
}

#[test]
fn certificate_is_issued_with_its_key_and_registered() {
    let api = Api::start_with(|config| {
        with_registry(config);
        config.tls.in_memory = true;
        config.listeners.mqtts = Some(0);
    });
    for (body, kind) in [
        (json!({ "name": "car1" }), "P-256"),
        (json!({ "name": "car1", "key": "rsa" }), "RSA"),
    ] {
        let added = api.post("/v1/certificates", &body.to_string()).json();
        let id = added["certificate_id"].as_str().expect("an id");
        let arn = format!("arn:aws:iot:us-east-1:123456789012:cert/{id}");
        assert_eq!(added["certificate_arn"], arn);
        assert_eq!(
            (&added["status"], &added["created"]),
            (&"ACTIVE".into(), &true.into())
        );
        let text = |name: &str| added[name].as_str().expect("a text").to_owned();
        assert!(text("certificate_pem").starts_with("-----BEGIN CERTIFICATE-----\n"));
        let key = text("private_key");
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        // One of RSA is several times as long.
        assert_eq!(key.len() > 1000, kind == "RSA", "{kind}");
        let kept = api.get("/v1/registry").json();
        assert!(kept["certificates"].to_string().contains(id), "{kept}");
    }
}

#[test]
fn certificate_that_was_issued_elsewhere_is_registered_once() {
    let api = start();
    let body = json!({ "certificate_pem": pem("car1") }).to_string();
    let first = api.post("/v1/certificates", &body).json();
    assert_eq!(
        (&first["created"], &first["private_key"]),
        (&true.into(), &Value::Null)
    );
    let second = api.post("/v1/certificates", &body).json();
    assert_eq!(second["created"], false);
    assert_eq!(second["certificate_arn"], first["certificate_arn"]);
    let id = &first["certificate_id"];
    put(&api, &json!({ "certificates": [{ "pem": pem("b") }] })).json();
    let revoked = json!({ "pem": first["certificate_pem"], "status": "REVOKED" });
    put(&api, &json!({ "certificates": [revoked] })).json();
    let third = api.post("/v1/certificates", &body).json();
    assert_eq!(
        (&third["status"], &third["certificate_id"]),
        (&"REVOKED".into(), id)
    );
}

#[test]
fn certificate_that_nobody_can_have_is_refused() {
    let api = start();
    for (body, field) in [
        (json!({}), None),
        (json!({ "name": "a", "certificate_pem": "x" }), None),
        (json!({ "certificate_pem": "x", "key": "rsa" }), None),
        (json!({ "certificate_pem": "x" }), Some("certificate_pem")),
        (json!({ "name": "a", "key": "dsa" }), Some("key")),
        (json!({ "nam": "a" }), Some("nam")),
    ] {
        api.post("/v1/certificates", &body.to_string())
            .expect_error(400, field);
    }
    // It has no listener with TLS, and so no authority.
    api.post("/v1/certificates", r#"{"name": "a"}"#)
        .expect_error(409, None);
    let long = json!({ "certificate_pem": "x".repeat(200_000) }).to_string();
    assert_eq!(api.post("/v1/certificates", &long).status, 413);
    let api = Api::start_with(|config| {
        config.tls.in_memory = true;
        config.listeners.mqtts = Some(0);
    });
    api.post("/v1/certificates", r#"{"name": "a/b"}"#)
        .expect_error(400, Some("name"));
    // Without a registry there is the certificate alone.
    let alone = api.post("/v1/certificates", r#"{"name": "a"}"#).json();
    assert_eq!(
        (&alone["certificate_arn"], &alone["created"]),
        (&Value::Null, &false.into())
    );
    assert!(alone["private_key"].is_string());
}
