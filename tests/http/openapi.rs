//! `/v1/openapi.json` says what there is.

use std::collections::BTreeSet;

use roundel::config::RegistryPlace;
use serde_json::{Value, json};

use crate::api::Api;
use crate::description::DESCRIPTION;

#[test]
fn every_operation_of_the_document_exists() {
    let api = Api::start();
    let document = api.get("/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    let mut count = 0;
    for (path, operations) in paths {
        for method in operations.as_object().expect("operations").keys() {
            count += 1;
            // An unknown client or group has a field in its error, an unknown path has none.
            let answer = api.send(&method.to_uppercase(), path, &[], "");
            let exists = match answer.status {
                404 => answer.body.contains(r#""field":"#),
                status => status != 405,
            };
            assert!(exists, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!((paths.len(), count), (48, 58), "as many as the router has");
}

/// The members of a body of this schema, each with its own.
fn members_of(schema: &'static Value) -> Vec<(&'static String, &'static Value)> {
    let schema = DESCRIPTION.resolve(schema);
    let parts = ["allOf", "oneOf", "anyOf"];
    let parts = parts
        .iter()
        .filter_map(|name| schema[*name].as_array())
        .flatten();
    let own = schema["properties"].as_object().into_iter().flatten();
    own.chain(parts.flat_map(members_of)).collect()
}

/// Whether nothing of an error is in words of Rust.
fn is_plain(error: &str) -> bool {
    let mut words = error.split(|c: char| !c.is_ascii_alphanumeric());
    !words.any(|word| {
        let is_camel_case = word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.contains(|c: char| c.is_ascii_lowercase())
            && word.matches(|c: char| c.is_ascii_uppercase()).count() > 1;
        let is_number_type = word.len() < 6
            && word.starts_with(['u', 'i', 'f'])
            && (word[1..].parse::<u8>().is_ok() || word.ends_with("size"));
        let is_of_serde = [
            "struct",
            "enum",
            "tuple",
            "sequence",
            "map",
            "unit",
            "newtype",
            "identifier",
        ];
        is_camel_case || is_number_type || is_of_serde.contains(&word)
    })
}

#[test]
fn body_of_the_wrong_type_is_refused_in_words_of_json() {
    let api = Api::start_with(|config| config.registry = RegistryPlace::Memory);
    let wrong = [
        json!("x"),
        json!([]),
        json!([1]),
        json!([[]]),
        json!(5.5),
        json!(-1),
        json!(1_u64 << 63),
        json!(true),
        json!(null),
        json!({}),
        json!({ "x": [] }),
    ];
    let (mut bodies, mut members) = (0, 0);
    for (path, method, operation) in DESCRIPTION.operations() {
        let schema = &DESCRIPTION.resolve(&operation["requestBody"])["content"]["application/json"]
            ["schema"];
        if schema.is_null() {
            continue;
        }
        let send = |body: &Value| {
            let json = [("Content-Type", "application/json")];
            let answer = api.send(&method.to_uppercase(), path, &json, &body.to_string());
            (answer.status == 400).then(|| {
                let body = answer.json_with(400);
                let error = body["error"].as_str().expect("an error").to_owned();
                (error, body["field"].as_str().map(str::to_owned))
            })
        };
        for body in &wrong {
            if body.is_object() || DESCRIPTION.check(schema, body).is_ok() {
                continue;
            }
            let of = format!("{method} {path}: {body}");
            let (error, field) = send(body).unwrap_or_else(|| panic!("{of} is served"));
            assert!(error.contains(", expected an object"), "{of}: {error}");
            assert!(field.is_none() && is_plain(&error), "{of}: {error}");
            bodies += 1;
        }
        for (name, schema) in members_of(schema) {
            // Null is as good as not there.
            let is_wrong =
                |value: &&Value| !value.is_null() && DESCRIPTION.check(schema, value).is_err();
            for value in wrong.iter().filter(is_wrong) {
                let of = format!("{method} {path}: {name}: {value}");
                let Some((error, field)) = send(&json!({ name: value })) else {
                    continue;
                };
                assert!(is_plain(&error), "{of}: {error}");
                assert!(field.is_some(), "{of}: {error}");
                members += 1;
            }
        }
    }
    assert!(bodies > 80 && members > 1_000, "{bodies}, {members}");
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let api = Api::start();
    let document = api.get("/v1/openapi.json").json();
    let text = document.to_string();
    let references: Vec<_> = text
        .split(r##""$ref":"#"##)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(references.len() > 20, "{references:?}");
    for pointer in references {
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

/// The names of an operation's parameters behind the question mark.
fn query_parameters(document: &Value, operation: &Value) -> BTreeSet<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let resolved = parameters.map(|parameter| match parameter["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .expect("it leads somewhere"),
        None => parameter,
    });
    resolved
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn operations_know_the_parameters_of_the_document_and_no_others() {
    let api = Api::start();
    let _client = api.connect("{id}");
    let document = api.get("/v1/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("operations");
        operations
            .iter()
            .map(move |(method, operation)| (path, method, operation))
    });
    let all: BTreeSet<String> = operations
        .clone()
        .flat_map(|(.., operation)| query_parameters(&document, operation))
        .collect();
    assert!(all.len() > 5, "{all:?}");
    for (path, method, operation) in operations {
        let known = query_parameters(&document, operation);
        let path = path.replace('{', "%7B").replace('}', "%7D");
        for name in &all {
            let target = format!("{path}?{name}");
            let answer = api.send(&method.to_uppercase(), &target, &[], "");
            answer.expect_error(400, Some(name));
            let is_known = !answer.body.contains("unknown parameter");
            assert_eq!(
                is_known,
                known.contains(name),
                "{method} {target}: {answer:?}"
            );
        }
    }
}

#[test]
fn entries_of_lists_have_the_properties_of_the_document() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.subscribe("x/+", 1);
    client.subscribe("$share/g/x", 1);
    client.retain("t", "kept", 1);
    client.retain("u", vec![0; 2 << 20], 1);
    let document = api.get("/v1/openapi.json").json();
    for (path, name, schema) in [
        ("/v1/clients", "clients", "Client"),
        ("/v1/clients/a/history", "events", "ClientEvent"),
        ("/v1/groups", "groups", "Group"),
        ("/v1/topics", "topics", "Topic"),
        ("/v1/retained", "retained", "Retained"),
        ("/v1/topics/values", "values", "TopicGlimpse"),
        ("/v1/topics/levels", "levels", "TopicLevel"),
    ] {
        let schema = &document["components"]["schemas"][schema];
        let properties = schema["properties"].as_object().expect("properties");
        let required = schema["required"].as_array().expect("a list");
        let answer = api.get(path).json();
        assert!(answer["total"].is_u64(), "{answer}");
        for entry in answer[name].as_array().expect("a list") {
            let entry = entry.as_object().expect("an object");
            for key in entry.keys() {
                assert!(properties.contains_key(key), "{path}: {key}");
            }
            for key in required.iter().filter_map(Value::as_str) {
                assert!(entry.contains_key(key), "{path}: {key}");
            }
        }
    }
}

/// `openapi.json` is held against the answers of every other test here too, by `Api::send`.
#[test]
fn every_operation_has_what_a_reader_and_a_generator_of_clients_need() {
    let document = &DESCRIPTION.0;
    assert_eq!(document["servers"][0]["url"], "/", "wherever it was asked");
    let tags = document["tags"].as_array().expect("tags").iter();
    let tags: BTreeSet<_> = tags
        .map(|tag| &tag["name"])
        .filter_map(Value::as_str)
        .collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in DESCRIPTION.operations() {
        let of = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{of}: {id} is there twice");
        let summary = operation["summary"].as_str().expect("a summary");
        assert!(
            !summary.is_empty() && !summary.ends_with('.'),
            "{of}: {summary}"
        );
        let own = operation["tags"].as_array().expect("tags");
        let is_known = |tag: &Value| tag.as_str().is_some_and(|tag| tags.contains(tag));
        assert!(own.len() == 1 && own.iter().all(is_known), "{of}: {own:?}");
        // What each request can get.
        for status in ["400", "403"] {
            assert!(operation["responses"][status].is_object(), "{of}: {status}");
        }
        // What each request with a body can.
        for status in ["408", "413", "415", "503"] {
            let is_there = operation["responses"][status].is_object();
            assert!(
                is_there || operation["requestBody"].is_null(),
                "{of}: {status}"
            );
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = DESCRIPTION.resolve(parameter);
            let described = parameter["description"].as_str();
            assert!(
                described.is_some_and(|text| !text.is_empty()),
                "{of}: {parameter}"
            );
            let has_example = parameter["required"] != true || !parameter["example"].is_null();
            assert!(has_example, "{of}: no example of {}", parameter["name"]);
        }
    }
}

#[test]
fn every_body_and_answer_has_an_example_that_fits_its_schema() {
    let mut count = 0;
    let mut fits = |of: &str, schema: &Value, example: &Value| {
        count += 1;
        assert!(!example.is_null(), "{of}: no example");
        if let Err(error) = DESCRIPTION.check(schema, example) {
            panic!("{of}: {error}: {example}");
        }
    };
    for (path, method, operation) in DESCRIPTION.operations() {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = DESCRIPTION.resolve(parameter);
            if let Some(example) = parameter.get("example") {
                fits(
                    &format!("{method} {path}: {}", parameter["name"]),
                    &parameter["schema"],
                    example,
                );
            }
        }
        let answers = operation["responses"].as_object().expect("answers");
        let answers = answers
            .iter()
            .map(|(status, answer)| (status.as_str(), answer));
        let bodies = operation.get("requestBody").map(|body| ("body", body));
        for (what, body) in answers.chain(bodies) {
            let body = DESCRIPTION.resolve(body);
            for (kind, content) in body["content"].as_object().into_iter().flatten() {
                // It is no text.
                if kind != "application/x-pcapng" {
                    let of = format!("{method} {path}: {what}, {kind}");
                    fits(&of, &content["schema"], &content["example"]);
                }
            }
        }
    }
    let schemas = DESCRIPTION.0["components"]["schemas"]
        .as_object()
        .expect("schemas");
    for (name, schema) in schemas {
        for example in schema["examples"].as_array().into_iter().flatten() {
            fits(name, schema, example);
        }
        if let Some(default) = schema.get("default") {
            fits(name, schema, default);
        }
    }
    assert!(count > 300, "{count}");
}
