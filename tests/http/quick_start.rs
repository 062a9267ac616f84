//! `/v1/quick-start`: lines that make clients of this very broker.

use crate::api::Api;

fn languages(api: &Api) -> Vec<(String, String)> {
    let answer = api.get("/v1/quick-start").json();
    let all = answer["languages"].as_array().expect("a list");
    let texts = |one: &serde_json::Value| one["steps"].to_string();
    let all = all.iter();
    all.map(|one| (one["name"].as_str().expect("a name").to_owned(), texts(one)))
        .collect()
}

#[test]
fn every_language_has_the_port_of_this_broker() {
    let api = Api::start();
    let all = languages(&api);
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["mosquitto", "Python", "Node", "Rust"]);
    let port = api.mqtt.port().to_string();
    for (name, texts) in &all {
        assert!(texts.contains(&port), "{name}: {texts}");
        for other in ["roundel cert", "PASSWORD", ".pem"] {
            assert!(!texts.contains(other), "{name}: {texts}");
        }
    }
}

#[cfg(feature = "aws")]
#[test]
fn with_a_registry_there_is_the_aws_cli() {
    let api = Api::start_with(|config| config.registry = roundel::config::RegistryPlace::Memory);
    let all = languages(&api);
    let (name, texts) = all.last().expect("it is there");
    assert_eq!((all.len(), name.as_str()), (5, "AWS CLI"));
    let endpoint = format!("roundel env --http localhost:{})", api.http.port());
    assert!(texts.contains(&endpoint), "{texts}");
}
