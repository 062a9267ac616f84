//! `/v1/openapi.json` as something to hold requests and answers against: as much of OpenAPI and JSON Schema as it uses.
//! A keyword that nobody here knows fails the test, so that none of them is passed over.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex};

use regex::Regex;
use serde_json::{Map, Value};

use crate::api::Answer;

/// The description, as the broker has it.
pub(crate) static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| {
    let text = include_str!("../../src/http/openapi.json");
    Description(serde_json::from_str(text).expect("JSON"))
});

pub(crate) struct Description(pub(crate) Value);

/// Members of an object that its schema speaks of.
enum Seen {
    All,
    These(BTreeSet<String>),
}

impl Seen {
    fn none() -> Self {
        Self::These(BTreeSet::new())
    }

    fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::These(own), Self::These(others)) => own.extend(others),
            _ => *self = Self::All,
        }
    }
}

impl Description {
    /// What a reference leads to, or the value itself.
    pub(crate) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let found = self.0.pointer(reference.trim_start_matches('#'));
                found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
            }
            None => value,
        }
    }

    /// Path, method and operation of each.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths");
        paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("operations");
            let of_path = methods.iter();
            of_path.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
    }

    fn operation(&self, method: &str, target: &str) -> Option<&Value> {
        let path = target.split('?').next().unwrap_or(target);
        let fits = |template: &str| {
            let (own, others) = (template.split('/'), path.split('/'));
            let mut pairs = own.clone().zip(others.clone());
            own.count() == others.count()
                && pairs
                    .all(|(own, other)| own == other || own.starts_with('{') && !other.is_empty())
        };
        let found = self
            .operations()
            .filter(|(template, own, _)| own.eq_ignore_ascii_case(method) && fits(template));
        // What is written out goes before what is not, as in the router.
        let best = found.min_by_key(|(template, ..)| template.matches('{').count());
        best.map(|(.., operation)| operation)
    }

    /// Checks that an answer is one that the description has, if it has the operation at all.
    #[track_caller]
    pub(crate) fn check_answer(&self, method: &str, target: &str, answer: &Answer) {
        let Some(operation) = self.operation(method, target) else {
            return;
        };
        let status = answer.status.to_string();
        let declared = self.resolve(&operation["responses"][&status]);
        assert!(
            declared.is_object(),
            "{method} {target}: {status} is not described: {answer:?}"
        );
        let Some(contents) = declared.get("content") else {
            assert_eq!(answer.body, "", "{method} {target}: no body is described");
            return;
        };
        let kind = answer.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        let content = &contents[kind];
        assert!(
            content.is_object(),
            "{method} {target}: '{kind}' is not described"
        );
        if kind == "application/json" {
            let body: Value = serde_json::from_str(&answer.body).expect("JSON");
            if let Err(error) = self.check(&content["schema"], &body) {
                panic!("{method} {target}, {status}: {error}: {body}");
            }
        }
    }

    /// Holds a value against a schema, which has to speak of every member of it.
    ///
    /// # Errors
    ///
    /// Where it is not as the schema says, and what the schema says.
    pub(crate) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        self.check_at(schema, value, "$")
    }

    fn check_at(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let seen = self.apply(schema, value, at)?;
        let members = value.as_object().into_iter().flat_map(Map::keys);
        match seen {
            Seen::All => Ok(()),
            Seen::These(seen) => match members.into_iter().find(|name| !seen.contains(*name)) {
                Some(name) => Err(format!("{at}: nothing is said of '{name}'")),
                None => Ok(()),
            },
        }
    }

    fn apply(&self, schema: &Value, value: &Value, at: &str) -> Result<Seen, String> {
        let own = schema.as_object().expect("a schema");
        let mut seen = Seen::none();
        let speaks_of_members = ["$ref", "allOf", "anyOf", "oneOf", "properties"];
        if !speaks_of_members.iter().any(|key| own.contains_key(*key)) {
            seen = Seen::All;
        }
        for (keyword, wanted) in own {
            match keyword.as_str() {
                "$ref" => seen.join(self.apply(self.resolve(schema), value, at)?),
                "allOf" => {
                    for schema in wanted.as_array().expect("a list") {
                        seen.join(self.apply(schema, value, at)?);
                    }
                }
                "anyOf" | "oneOf" => {
                    let all = wanted.as_array().expect("a list").iter();
                    let all: Vec<_> = all.map(|schema| self.apply(schema, value, at)).collect();
                    let right = all.iter().filter(|found| found.is_ok()).count();
                    if right == 0 || keyword == "oneOf" && right > 1 {
                        let errors: Vec<_> = all.into_iter().filter_map(Result::err).collect();
                        return Err(format!("{at}: {right} of {keyword}: {}", errors.join("; ")));
                    }
                    all.into_iter().flatten().for_each(|found| seen.join(found));
                }
                "not" if self.apply(wanted, value, at).is_ok() => {
                    return Err(format!("{at}: is {wanted}"));
                }
                "not" => {}
                "additionalProperties" if wanted == false => {
                    let known = own.get("properties").and_then(Value::as_object);
                    let is_known =
                        |name: &&String| known.is_some_and(|own| own.contains_key(*name));
                    let mut names = value.as_object().into_iter().flat_map(Map::keys);
                    if let Some(name) = names.find(|name| !is_known(name)) {
                        return Err(format!("{at}: there is no '{name}'"));
                    }
                }
                "additionalProperties" => {
                    let known = own.get("properties").and_then(Value::as_object);
                    for (name, member) in value.as_object().into_iter().flatten() {
                        if wanted != true && !known.is_some_and(|own| own.contains_key(name)) {
                            self.check_at(wanted, member, &format!("{at}.{name}"))?;
                        }
                    }
                    seen = Seen::All;
                }
                "properties" => {
                    for (name, schema) in wanted.as_object().expect("an object") {
                        if let Some(member) = value.get(name) {
                            self.check_at(schema, member, &format!("{at}.{name}"))?;
                            seen.join(Seen::These([name.clone()].into()));
                        }
                    }
                }
                "propertyNames" => {
                    for name in value.as_object().into_iter().flat_map(Map::keys) {
                        self.check_at(wanted, &name.as_str().into(), &format!("{at}: '{name}'"))?;
                    }
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check_at(wanted, item, &format!("{at}[{number}]"))?;
                    }
                }
                _ if !is_as(keyword, wanted, value) => {
                    return Err(format!("{at}: {value} is not as {keyword} {wanted}"));
                }
                _ => {}
            }
        }
        Ok(seen)
    }
}

/// Whether a value is as a keyword without schemas of its own asks.
fn is_as(keyword: &str, wanted: &Value, value: &Value) -> bool {
    let bound = || wanted.as_f64().expect("a number");
    let (number, text) = (value.as_f64(), value.as_str());
    let length = |len: usize| len as f64;
    match keyword {
        "type" => match wanted {
            Value::Array(all) => all.iter().any(|one| is_of(one, value)),
            one => is_of(one, value),
        },
        "enum" => wanted.as_array().expect("a list").contains(value),
        "const" => wanted == value,
        "required" => {
            let names = wanted.as_array().expect("a list");
            let has = |name: &Value| value.get(name.as_str().expect("a name")).is_some();
            !value.is_object() || names.iter().all(has)
        }
        "minimum" => number.is_none_or(|number| number >= bound()),
        "maximum" => number.is_none_or(|number| number <= bound()),
        "exclusiveMaximum" => number.is_none_or(|number| number < bound()),
        "minLength" => text.is_none_or(|text| length(text.chars().count()) >= bound()),
        "maxLength" => text.is_none_or(|text| length(text.chars().count()) <= bound()),
        "pattern" => {
            let pattern = wanted.as_str().expect("a pattern");
            text.is_none_or(|text| is_match(pattern, text))
        }
        "minItems" => (value.as_array()).is_none_or(|list| length(list.len()) >= bound()),
        "maxItems" => (value.as_array()).is_none_or(|list| length(list.len()) <= bound()),
        // What people read.
        "contentEncoding" | "default" | "description" | "examples" | "format" => true,
        other => panic!("'{other}' is no keyword that is known here"),
    }
}

/// Patterns are compiled once.
fn is_match(pattern: &str, text: &str) -> bool {
    static PATTERNS: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let compiled = {
        let mut patterns = PATTERNS.lock().expect("nobody panics meanwhile");
        let compiled = patterns.entry(pattern.to_owned());
        compiled
            .or_insert_with(|| Regex::new(pattern).expect("a pattern"))
            .clone()
    };
    compiled.is_match(text)
}

fn is_of(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("'{other}' is no type"),
    }
}
