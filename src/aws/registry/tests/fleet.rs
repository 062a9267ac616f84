//! The fleet document.

use std::fs;
use std::io;

use super::super::fleet::{Applied, Document, Format, ImportError, Source, export, import};
use super::authorizers::PUBLIC_KEY;
use super::*;

const FORMATS: [Format; 2] = [Format::Json, Format::Toml];

impl Office {
    fn import_with(
        &self,
        text: &str,
        format: Format,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Vec<String>, ImportError> {
        let source = Source { text, format, read };
        let mut number = 0;
        let means = Means {
            now: self.now,
            random: &mut || {
                number += 1;
                number
            },
        };
        let applied = import(&self.registry, means, &source)?;
        Ok(applied.iter().map(Applied::to_string).collect())
    }

    pub(super) fn import(&self, text: &str, format: Format) -> Result<Vec<String>, ImportError> {
        self.import_with(text, format, &|_| Err(io::ErrorKind::NotFound.into()))
    }

    fn export(&self, format: Format) -> String {
        export(&self.registry, format).unwrap()
    }
}

/// A document with every member that there is.
fn everything() -> String {
    let pki = Pki::new("CA");
    let shared = pki.leaf("shared");
    let alone = Pki::new("elsewhere").leaf("alone");
    let (ca, ca_id) = (&pki.pem, x509::Read::pem(&pki.pem).unwrap().id);
    let deny = DENIAL.replace("\":", "\": ");
    format!(
        r#"
registration_code = "c0de"
default_authorizer = "signed"
events = ["THING", "JOB"]

[authorizers.signed]
function_arn = "arn:aws:lambda:us-east-1:123456789012:function:one"
token_key_name = "token"
token_signing_public_keys = {{ one = '''{PUBLIC_KEY}''' }}
tags = {{ k = "v" }}

[authorizers.plain]
status = "INACTIVE"
function_arn = "arn:aws:lambda:us-east-1:123456789012:function:two"
signing_disabled = true
caching_for_http = true

[policies.allow]
document = '''{deny}'''
tags = {{ team = "a b" }}

[policies.short.document]
Version = "2012-10-17"
Statement = [{{ Effect = "Allow", Action = "iot:*", Resource = "*" }}]

[policies.old]
default_version = 3

[policies.old.versions]
3 = '{DOCUMENT}'
4 = '{DENIAL}'

[thing_types.gone]
description = "not any more"
deprecated = true
searchable_attributes = ["vin"]
tags = {{ k = "v" }}
[[thing_types.gone.propagating_attributes]]
user_property_key = "k"
thing_attribute = "vin"

[thing_groups.a-leaf]
parent = "root"
description = "first by name, last by place"
policies = ["allow"]
attributes = {{ place = "here" }}
tags = {{ k = "v" }}

[thing_groups.root]

[things.car]
type = "gone"
groups = ["a-leaf"]
attributes = {{ vin = "1", colour = "red" }}

[things."b:2"]

[[ca_certificates]]
status = "INACTIVE"
auto_registration = true
pem = '''{ca}'''
registration = {{ template_body = "{{}}", role_arn = "r", template_name = "n" }}
tags = {{ k = "v" }}

[[certificates]]
status = "PENDING_ACTIVATION"
ca = "{ca_id}"
policies = ["old", "allow"]
things = ["car", "b:2"]
pem = '''{shared}'''

[[certificates]]
mode = "SNI_ONLY"
exclusive_thing = "car"
pem = '''{alone}'''
"#
    )
}

#[test]
fn what_is_exported_is_imported_as_the_same_in_both_formats() {
    let text = everything();
    let first = Office::in_memory();
    let applied = first.import(&text, Format::Toml).unwrap();
    assert_eq!(applied.len(), 16, "{applied:?}");
    assert!(applied.iter().all(|line| line.starts_with("created ")));
    for format in FORMATS {
        let document = first.export(format);
        let second = Office::in_memory();
        second.import(&document, format).unwrap();
        for again in FORMATS {
            assert_eq!(second.export(again), first.export(again));
        }
        assert_eq!(
            second.import(&document, format).unwrap(),
            Vec::<String>::new(),
            "once more changes nothing"
        );
        assert_eq!(
            first.import(&document, format).unwrap(),
            Vec::<String>::new()
        );
    }
    let once_more = first.import(&text, Format::Toml).unwrap();
    assert_eq!(once_more, Vec::<String>::new());
    let state = first.registry.state();
    assert_eq!(state.policies["old"].default_version, 3);
    assert_eq!(state.policies["old"].next_version, 5);
    assert!(state.types["gone"].deprecated.is_some());
}

#[test]
fn a_document_of_a_policy_is_written_as_an_object_where_that_loses_nothing() {
    let office = Office::in_memory();
    let plain = r#"{"Statement":[{"Action":"iot:*","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#;
    let spaced = plain.replace(':', ": ").replace("iot: *", "iot:*");
    office
        .change(|d| {
            d.create_policy("plain", plain, Attributes::new())?;
            d.create_policy("spaced", &spaced, Attributes::new())
        })
        .unwrap();
    let document: serde_json::Value = serde_json::from_str(&office.export(Format::Json)).unwrap();
    assert!(document["policies"]["plain"]["document"].is_object());
    assert_eq!(document["policies"]["spaced"]["document"], spaced);
    for format in FORMATS {
        let other = Office::in_memory();
        other.import(&office.export(format), format).unwrap();
        let text = |name: &str| {
            other.registry.state().policies[name].versions[&1]
                .document
                .clone()
        };
        assert_eq!((&*text("plain"), &*text("spaced")), (plain, &*spaced));
    }
}

#[test]
fn what_stands_in_a_document_is_made_so_and_the_rest_stays() {
    let office = Office::in_memory();
    office.thing("stays");
    office.import(&everything(), Format::Toml).unwrap();
    let applied = office
        .import(
            r#"{
              "policies": {"allow": {"document": {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iot:*", "Resource": "*"}}}},
              "thing_types": {"gone": {"searchable_attributes": ["vin"]}},
              "thing_groups": {"root": {"description": "now with one", "policies": ["short"]}},
              "things": {"b:2": {"groups": ["root"], "attributes": {"a": "1"}}}
            }"#,
            Format::Json,
        )
        .unwrap();
    assert_eq!(
        applied,
        [
            "changed policy allow",
            "changed thing type gone",
            "changed thing group root",
            "changed thing b:2"
        ]
    );
    let state = office.registry.state();
    let policy = &state.policies["allow"];
    let numbers: Vec<_> = policy.versions.keys().collect();
    assert_eq!((numbers, policy.default_version), (vec![&2], 2));
    assert!(policy.tags.is_empty());
    assert!(state.types["gone"].deprecated.is_none());
    assert!(state.groups["root"].policies.contains("short"));
    assert!(state.things["b:2"].groups.contains("root"));
    assert!(state.things.contains_key("stays") && state.things.contains_key("car"));
}

#[test]
fn attachments_of_a_certificate_become_what_the_document_says() {
    let office = Office::in_memory();
    let pem = Pki::new("CA").leaf("device");
    let id = x509::Read::pem(&pem).unwrap().id;
    let document = |rest: &str| {
        format!(
            "[things.a]\n[things.b]\n[policies.p]\ndocument = '{DOCUMENT}'\n\
             [policies.q]\ndocument = '{DOCUMENT}'\n[[certificates]]\npem = '''{pem}'''\n{rest}"
        )
    };
    let before = document("policies = ['p']\nthings = ['a', 'b']\n");
    let after = document("status = 'REVOKED'\npolicies = ['q']\nexclusive_thing = 'b'\n");
    office.import(&before, Format::Toml).unwrap();
    assert_eq!(
        office.import(&after, Format::Toml).unwrap(),
        [format!("changed certificate {id}")]
    );
    let state = office.registry.state();
    let certificate = &state.certificates[&id];
    assert_eq!(certificate.status, CertificateStatus::Revoked);
    assert!(certificate.policies.iter().eq(["q"]));
    let things = state
        .things_of(&id)
        .map(|(thing, kind)| (&*thing.name, kind));
    let things: Vec<_> = things.collect();
    assert_eq!(things, [("b", PrincipalType::ExclusiveThing)]);
}

/// Documents, where what is wrong with each is, which member it is, and what is said of it.
#[track_caller]
fn assert_refused(documents: &[(Format, &str, &str, &str)]) {
    let mut others = Vec::new();
    for (format, text, place, reason) in documents {
        let office = Office::in_memory();
        let said = match office.import(text, *format) {
            Err(ImportError::Document(error)) => error.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        if !said.starts_with(place) || !said.contains(reason) {
            others.push(format!("{place}{reason}\n{said}"));
        }
        let state = office.registry.state();
        assert!(state.things.is_empty() && state.policies.is_empty());
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn what_is_wrong_is_named_with_line_column_and_member() {
    use Format::{Json, Toml};
    assert_refused(&[
        (
            Json,
            "{\n  \"things\": [",
            "2:12: things: ",
            "invalid type: list, expected members by name",
        ),
        (Json, "{} x", "1:4: ", "trailing characters"),
        (
            Toml,
            "[things.car]\n  groups = 3",
            "2:12: things.car.groups: ",
            "invalid type",
        ),
        (Toml, "a =", "1:4: ", ""),
        (
            Json,
            "{\n \"things\": {\"car\": {\"atributes\": {}}}}",
            "2:31: things.car.atributes: ",
            "did you mean `attributes`?",
        ),
        (
            Toml,
            "[things.car]\n\nattribute = {}",
            "3:1: things.car.attribute: ",
            "did you mean `attributes`?",
        ),
        (
            Toml,
            "[[certificates]]\nstatus = \"active\"",
            "2:10: certificates[0].status: ",
            "unknown variant `active`, expected one of `ACTIVE`",
        ),
        (
            Toml,
            "wheels = 4",
            "1:1: wheels: ",
            "expected one of `registration_code`",
        ),
        (
            Json,
            "{\"things\": {\"a\": {},\n \"a\": {}}}",
            "2:9: things: ",
            "`a` is there already",
        ),
    ]);
}

#[test]
fn what_does_not_fit_the_registry_is_named_in_the_same_way() {
    use Format::{Json, Toml};
    assert_refused(&[
        (
            Json,
            "{\n \"things\": {\n  \"a car\": {}}}",
            "3:13: things.a car: ",
            "regular expression",
        ),
        (
            Toml,
            "[things.car]\n[policies.p]\ndocument = '{}'",
            "3:12: policies.p.document: ",
            "Version",
        ),
        (
            Toml,
            "[thing_groups.a]\nparent = 'b'\n[thing_groups.b]\nparent = 'a'",
            "2:10: thing_groups.a.parent: ",
            "stands in itself",
        ),
        (
            Toml,
            "[thing_groups.a]\nparent = 'z'\n[thing_groups.b]\nparent = 'a'",
            "2:10: thing_groups.a.parent: ",
            "z not found",
        ),
        (
            Toml,
            "[[certificates]]\nstatus = 'ACTIVE'",
            "1:1: certificates[0]: ",
            "either `pem` or `certificate_file`",
        ),
        (
            Toml,
            "[[certificates]]\n[[certificates]]\n",
            "1:1: certificates[0]: ",
            "either `pem`",
        ),
        (
            Toml,
            "[[certificates]]\ncertificate_file = 'x.pem'",
            "2:20: certificates[0].certificate_file: ",
            "cannot read `x.pem`",
        ),
        (
            Toml,
            "[policies.p]\ndefault_version = 2\nversions = { 1 = '{}' }",
            "3:18: policies.p.versions.1: ",
            "Version",
        ),
        (
            Json,
            "{\"policies\": {\"p\": {}}}",
            "1:21: policies.p.versions: ",
            "1 to 5 versions",
        ),
    ]);
}

#[test]
fn certificates_are_read_from_files_and_have_to_have_their_id() {
    let office = Office::in_memory();
    let pem = Pki::new("CA").leaf("device");
    let id = x509::Read::pem(&pem).unwrap().id;
    let read = |path: &Path| match path.to_str() {
        Some("certs/a.pem") => Ok(pem.clone()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let text = "[[certificates]]\ncertificate_file = 'certs/a.pem'\n";
    let applied = office.import_with(text, Format::Toml, &read).unwrap();
    assert_eq!(applied, [format!("created certificate {id}")]);
    assert!(office.export(Format::Toml).contains(&id));
    let wrong = format!("{text}id = '0'");
    let error = office.import_with(&wrong, Format::Toml, &read).unwrap_err();
    let said = error.to_string();
    assert_eq!(
        said,
        format!("3:6: certificates[0].id: the certificate has the id {id}")
    );
}

/// What is sent to somebody who has none of the files that a document names.
#[test]
fn a_document_that_names_files_becomes_one_that_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let pem = Pki::new("CA").leaf("device");
    fs::write(folder.path().join("a.pem"), &pem).unwrap();
    let path = folder.path().join("fleet.toml");
    let text = "[policies.'a.b']\ndocument = '{}'\n[things.car]\n\n\
        [[certificates]]\ncertificate_file = 'a.pem'\nthings = ['car']\n";
    fs::write(&path, text).unwrap();
    let document = Document::open(&path).unwrap();
    let whole = document.whole().unwrap();
    let json: serde_json::Value = serde_json::from_str(&whole.json()).unwrap();
    let certificate = serde_json::json!({ "pem": pem, "status": "ACTIVE", "things": ["car"] });
    assert_eq!(json["certificates"][0], certificate);
    // What is found wrong with it stands in the file.
    for (member, place) in [
        ("policies.a.b.document", "2:12"),
        ("certificates[0].things[0]", "7:11"),
        // Of what is not there, what it would stand in; of nothing, the beginning.
        ("certificates[0].pem", "5:1"),
        ("certificates[7]", "5:1"),
        ("nothing.at.all", "1:1"),
        ("", "1:1"),
    ] {
        let said = whole.wrong(member, "wrong".to_owned()).to_string();
        let start = format!("{}:{place}: ", path.display());
        assert!(
            said.starts_with(&start) && said.ends_with("wrong"),
            "{member}: {said}"
        );
    }
    fs::remove_file(folder.path().join("a.pem")).unwrap();
    let error = document.whole().err().unwrap().to_string();
    assert!(
        error.contains(":6:20: certificates[0].certificate_file: cannot read `a.pem`"),
        "{error}"
    );
}

#[test]
fn values_that_say_nothing_are_no_change() {
    let office = Office::in_memory();
    let text = "[things.car]\nattributes = { a = '' }\n[thing_groups.g]\ndescription = ''\n\
                attributes = { a = '' }";
    assert_eq!(office.import(text, Format::Toml).unwrap().len(), 2);
    let again = office.import(text, Format::Toml).unwrap();
    assert_eq!(again, Vec::<String>::new());
}

#[test]
fn a_certificate_names_the_authority_that_signed_it_or_none() {
    let office = Office::in_memory();
    let (pki, other) = (Pki::new("CA"), Pki::new("CA"));
    let leaf = pki.leaf("device");
    let ca = x509::Read::pem(&other.pem).unwrap().id;
    let text = format!(
        "[[ca_certificates]]\npem = '''{}'''\n[[certificates]]\npem = '''{leaf}'''\nca = '{ca}'",
        other.pem
    );
    let error = office.import(&text, Format::Toml).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("certificates[0].ca: this CA did not sign"),
        "{said}"
    );
    // One that was deleted is still named by what it signed.
    let text = format!("[[certificates]]\npem = '''{leaf}'''\nca = '{ca}'");
    office.import(&text, Format::Toml).unwrap();
    let error = office.import(&text.replace(&ca, "CA"), Format::Toml);
    let said = error.unwrap_err().to_string();
    assert!(said.contains("[0].ca: 1 validation error"), "{said}");
    let both = text.replace(
        &format!("ca = '{ca}'"),
        "things = ['a']\nexclusive_thing = 'a'",
    );
    let error = office.import(&both, Format::Toml).unwrap_err();
    assert!(
        error.to_string().contains("[0].exclusive_thing: "),
        "{error}"
    );
}

#[test]
fn the_example_of_the_documentation_can_be_imported() {
    let page = include_str!("../../../../docs/registry.md");
    let example = page.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let pem = Pki::new("CA").leaf("car1");
    let office = Office::in_memory();
    let applied = office.import_with(example, Format::Toml, &|_| Ok(pem.clone()));
    assert_eq!(applied.unwrap().len(), 6);
}
