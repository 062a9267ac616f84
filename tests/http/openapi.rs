//! `/v1/openapi.json` says what there is.

use crate::api::Api;

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
            // An unknown client has a field in its error, an unknown path has none.
            let answer = api.send(&method.to_uppercase(), path, &[], "");
            let exists = match answer.status {
                404 => answer.body.contains(r#""field":"id""#),
                status => status != 405,
            };
            assert!(exists, "{method} {path}: {answer:?}");
        }
    }
    assert_eq!((paths.len(), count), (11, 12), "as many as the router has");
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
