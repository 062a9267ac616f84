//! The vectors of the service, step by step, and random updates against a model that is too simple to be
//! wrong.

use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::registry::{self, Asked, Changed, Means, NewThing, Page, Registry, State};
use super::name::{Deed, ShadowName};
use crate::policy::Scope;

/// In 2026, in milliseconds.
const NOW: u64 = 1_790_000_000_000;
const HOUR: u64 = 60 * 60 * 1000;
const ROOM: usize = 1 << 20;

/// A shadow of the thing `t`, and whatever was told of it.
struct Stand {
    registry: Registry,
    name: ShadowName,
    now: u64,
    told: Arc<Mutex<Vec<(String, Value)>>>,
    room: usize,
}

impl Stand {
    fn new(shadow: Option<&str>) -> Self {
        let registry = Registry::in_memory(Scope::default());
        let told = Arc::<Mutex<Vec<_>>>::default();
        let tell = told.clone();
        registry.on_change(move |changed| {
            for change in changed {
                let Changed::Event { topic, payload } = change else {
                    continue;
                };
                let payload = serde_json::from_slice(payload).expect("JSON");
                tell.lock().push((topic.clone(), payload));
            }
        });
        Self {
            registry,
            name: ShadowName::new("t", shadow).expect("a name"),
            now: NOW,
            told,
            room: ROOM,
        }
    }

    /// What is told after a request over MQTT, by the last levels of the topics.
    fn ask(&self, deed: Deed, payload: &[u8]) -> Vec<(String, Value)> {
        let asked = Asked {
            name: &self.name,
            deed,
            payload,
        };
        self.change(|draft| draft.answer_shadow(&asked, self.room));
        let start = self.name.topic("");
        let told = std::mem::take(&mut *self.told.lock()).into_iter();
        told.map(|(topic, payload)| {
            let rest = topic.strip_prefix(&start).expect("a topic of the shadow");
            (rest.to_owned(), payload)
        })
        .collect()
    }

    fn change(&self, change: impl FnOnce(&mut registry::Draft<'_>)) {
        let means = Means {
            now: self.now,
            random: &mut || 0,
        };
        let made = self.registry.change(means, |draft| {
            change(draft);
            Ok::<_, registry::Error>(())
        });
        made.expect("a change in memory");
    }

    fn update(&self, payload: &Value) -> Vec<(String, Value)> {
        self.ask(Deed::Update, payload.to_string().as_bytes())
    }

    /// The only answer.
    #[track_caller]
    fn one(&self, deed: Deed, payload: &[u8], topic: &str) -> Value {
        let told = self.ask(deed, payload);
        let [(own, answer)] = &*told else {
            panic!("not one answer: {told:?}");
        };
        assert_eq!(own, topic, "{answer}");
        answer.clone()
    }

    /// Code and text of a refusal.
    #[track_caller]
    fn refused(&self, deed: Deed, payload: &[u8]) -> (u64, String) {
        let answer = self.one(deed, payload, &format!("{}/rejected", deed.name()));
        assert_eq!(answer["timestamp"], json!(self.now / 1000));
        let message = answer["message"].as_str().expect("a text").to_owned();
        (answer["code"].as_u64().expect("a code"), message)
    }
}

/// One step of the vectors: a state that is accepted as it was sent, the delta, the version.
#[track_caller]
fn step(stand: &Stand, state: Value, delta: Option<Value>, version: u64) {
    let told = stand.update(&json!({ "state": state, "clientToken": "token" }));
    let topics: Vec<_> = told.iter().map(|(topic, _)| topic.as_str()).collect();
    match &delta {
        // AWS-SHADOW-18
        Some(_) => assert_eq!(
            topics,
            ["update/accepted", "update/delta", "update/documents"]
        ),
        None => assert_eq!(topics, ["update/accepted", "update/documents"]),
    }
    for (topic, payload) in &told {
        assert_eq!(payload["clientToken"], json!("token"), "{topic}");
        assert_eq!(payload["timestamp"], json!(stand.now / 1000), "{topic}");
    }
    assert_eq!(told[0].1["state"], state);
    assert_eq!(told[0].1["version"], json!(version));
    if let Some(delta) = delta {
        // AWS-SHADOW-26
        assert_eq!(told[1].1["version"], json!(version));
        assert_eq!(told[1].1["state"], delta);
    }
    let documents = &told.last().expect("a message").1;
    assert_eq!(documents["current"]["version"], json!(version));
    let got = stand.one(Deed::Get, b"", "get/accepted");
    let mut state = got["state"].clone();
    state.as_object_mut().expect("an object").remove("delta");
    assert_eq!(
        documents["current"]["state"], state,
        "the documents show what is kept"
    );
}

/// AWS-SHADOW-04 to -10, -20 to -30, -42
#[test]
fn steps_of_the_service_come_to_what_they_should() {
    for name in [None, Some("lights")] {
        let stand = Stand::new(name);
        let first =
            json!({"desired": {"c": "RED", "s": "STOP"}, "reported": {"c": "GREEN", "e": "ON"}});
        step(&stand, first, Some(json!({"c": "RED", "s": "STOP"})), 1);
        step(
            &stand,
            json!({"reported": {"c": "RED"}}),
            Some(json!({"s": "STOP"})),
            2,
        );
        let lights =
            json!({"desired": {"l": {"r": 255, "g": 255}}, "reported": {"l": {"r": 255, "g": 0}}});
        step(
            &stand,
            lights,
            Some(json!({"s": "STOP", "l": {"g": 255}})),
            3,
        );
        let arrays = json!({"desired": {"a": [1, 2]}, "reported": {"a": [1]}});
        let delta = json!({"s": "STOP", "l": {"g": 255}, "a": [1, 2]});
        step(&stand, arrays, Some(delta), 4);
        step(&stand, json!({"desired": null}), None, 5);
        step(&stand, json!({"desired": {"x": null}}), None, 6);
        let late = json!({"state": {"reported": {"q": 1}}, "version": 3}).to_string();
        let conflict = (409, "Version conflict".to_owned());
        assert_eq!(stand.refused(Deed::Update, late.as_bytes()), conflict);
        let null = br#"{"state":{"desired":{"a":[null]}}}"#;
        let invalid = (400, "State contains an invalid node".to_owned());
        assert_eq!(stand.refused(Deed::Update, null), invalid);
        let deleted = stand.one(Deed::Delete, b"", "delete/accepted");
        assert_eq!(deleted, json!({"version": 6, "timestamp": NOW / 1000}));
        assert_eq!(stand.refused(Deed::Get, b"").0, 404);
        step(&stand, json!({"reported": {"q": 1}}), None, 7);
    }
}

/// AWS-SHADOW-06, -25, -31, -39
#[test]
fn metadata_has_the_time_of_each_leaf() {
    let mut stand = Stand::new(None);
    stand.update(&json!({"state": {"desired": {"a": [1, {"b": 2}], "c": {"d": 1, "e": true}}}}));
    stand.now += 1000;
    let told = stand.update(&json!({"state": {"desired": {"c": {"d": 2}}}}));
    let (old, new) = (
        json!({"timestamp": NOW / 1000}),
        json!({"timestamp": NOW / 1000 + 1}),
    );
    assert_eq!(told[0].1["metadata"], json!({"desired": {"c": {"d": new}}}));
    let all = json!({"a": [old, {"b": old}], "c": {"d": new, "e": old}});
    assert_eq!(told[1].1["metadata"], all);
    let got = stand.one(Deed::Get, br#"{"clientToken":"x"}"#, "get/accepted");
    assert_eq!(got["metadata"], json!({"desired": all, "delta": all}));
    assert_eq!(got["clientToken"], json!("x"));
    assert_eq!(told[2].1["previous"]["metadata"]["desired"]["c"]["d"], old);
    assert_eq!(told[2].1["current"]["metadata"]["desired"]["c"]["d"], new);
}

/// AWS-SHADOW-21, -23, -40
#[test]
fn update_that_changes_nothing_has_a_version_and_no_delta() {
    let stand = Stand::new(None);
    let same = json!({"state": {"desired": {"a": 1}}});
    let told = stand.update(&same);
    assert_eq!(told.len(), 3);
    assert_eq!(told[2].1["previous"], Value::Null);
    let told = stand.update(&same);
    let topics: Vec<_> = told.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["update/accepted", "update/documents"]);
    assert_eq!(told[0].1["version"], json!(2));
    let empty = stand.update(&json!({"state": {}}));
    assert_eq!(empty[0].1["version"], json!(3));
}

/// AWS-SHADOW-12, -13, -27, -33 to -38, -44
#[test]
fn requests_that_are_none_are_refused_in_the_words_of_the_service() {
    let stand = Stand::new(None);
    let nested = |levels: usize| {
        let inner = (0..levels).fold("1".to_owned(), |inner, _| format!(r#"{{"a":{inner}}}"#));
        format!(r#"{{"state":{{"desired":{inner}}}}}"#)
    };
    let (deepest, too_deep, abyss) = (nested(8), nested(9), nested(1000));
    let large = format!(
        r#"{{"state":{{"desired":{{"a":"{}"}}}}}}"#,
        "x".repeat(8192)
    );
    for (payload, code, text) in [
        ("{", 400, "Payload contains invalid json"),
        ("7", 400, "Payload contains invalid json"),
        ("{}", 400, "Missing required node: state"),
        (r#"{"state":null}"#, 400, "State node must be an object"),
        (r#"{"state":1}"#, 400, "State node must be an object"),
        (
            r#"{"state":{"desired":1}}"#,
            400,
            "Desired node must be an object",
        ),
        (
            r#"{"state":{"reported":[]}}"#,
            400,
            "Reported node must be an object",
        ),
        (
            r#"{"state":{"else":{}}}"#,
            400,
            "State contains an invalid node",
        ),
        (r#"{"state":{},"version":-1}"#, 400, "Invalid version"),
        (r#"{"state":{},"version":"1"}"#, 400, "Invalid version"),
        (
            r#"{"state":{},"clientToken":1}"#,
            400,
            "Invalid clientToken",
        ),
        (
            too_deep.as_str(),
            400,
            "JSON contains too many levels of nesting; maximum is 8",
        ),
        (
            abyss.as_str(),
            400,
            "JSON contains too many levels of nesting; maximum is 8",
        ),
        (r#"{"state":{},"version":1}"#, 409, "Version conflict"),
        (
            large.as_str(),
            413,
            "The payload exceeds the maximum size allowed",
        ),
        (
            r#"{"state":{"desired":{"a":NaN}}}"#,
            400,
            "Payload contains invalid json",
        ),
    ] {
        let refused = stand.refused(Deed::Update, payload.as_bytes());
        assert_eq!(refused, (code, text.to_owned()), "{payload}");
    }
    let long = format!(r#"{{"state":{{}},"clientToken":"{}"}}"#, "x".repeat(65));
    assert_eq!(
        stand.refused(Deed::Update, long.as_bytes()).1,
        "Invalid clientToken"
    );
    assert_eq!(stand.refused(Deed::Update, b"\xff").0, 415);
    for deed in [Deed::Get, Deed::Delete] {
        assert_eq!(stand.refused(deed, b"{").0, 400);
        let none = (404, "No shadow exists with name: 't'".to_owned());
        assert_eq!(stand.refused(deed, b""), none);
    }
    assert_eq!(
        stand.ask(Deed::Update, deepest.as_bytes())[0].0,
        "update/accepted"
    );
    // Version 0 is that of a shadow that is not there.
    let stand = Stand::new(None);
    assert_eq!(stand.update(&json!({"state": {}, "version": 0})).len(), 2);
}

/// AWS-SHADOW-37, AWS-FLOW-35
#[test]
fn refusals_have_the_token_as_far_as_it_can_be_read() {
    let stand = Stand::new(None);
    let large = format!(r#"{{"state":"{}","clientToken":"x"}}"#, "x".repeat(9000));
    let (open, close) = ("[".repeat(1000), "]".repeat(1000));
    let deep = format!(r#"{{"state":{open}{close},"clientToken":"x"}}"#);
    for (deed, payload) in [
        (Deed::Update, r#"{"clientToken":"x"}"#),
        (Deed::Update, large.as_str()),
        (Deed::Update, deep.as_str()),
        (Deed::Get, deep.as_str()),
        (Deed::Get, r#"{"clientToken":"x"}"#),
        (Deed::Delete, r#"{"clientToken":"x"}"#),
    ] {
        let topic = format!("{}/rejected", deed.name());
        let answer = stand.one(deed, payload.as_bytes(), &topic);
        assert_eq!(answer["clientToken"], json!("x"), "{answer}");
    }
}

/// AWS-SHADOW-43: what comes together may be too much although each part is not.
#[test]
fn state_is_bounded_and_so_are_all_shadows_together() {
    let mut stand = Stand::new(None);
    let part = |name: &str| json!({"state": {"desired": {name: "x".repeat(5000)}}});
    assert_eq!(stand.update(&part("a")).len(), 3);
    let refused = stand.refused(Deed::Update, part("b").to_string().as_bytes());
    assert_eq!(refused.0, 413);
    let got = stand.one(Deed::Get, b"", "get/accepted");
    assert_eq!(got["version"], json!(1), "nothing has happened");
    stand.room = 8000;
    stand.name = ShadowName::new("other", None).expect("a name");
    let refused = stand.refused(Deed::Update, part("a").to_string().as_bytes());
    assert_eq!(refused.0, 429);
    stand.name = ShadowName::new("t", None).expect("a name");
    assert_eq!(stand.update(&json!({"state": {"desired": null}})).len(), 2);
    stand.name = ShadowName::new("other", None).expect("a name");
    assert_eq!(stand.update(&part("a")).len(), 3, "there is room again");
}

/// AWS-SHADOW-42
#[test]
fn version_goes_on_for_two_days_after_a_delete() {
    let mut stand = Stand::new(None);
    let some = json!({"state": {"reported": {"a": 1}}});
    stand.update(&some);
    stand.ask(Deed::Delete, b"");
    stand.now += 48 * HOUR;
    let told = stand.update(&some);
    assert_eq!(told[0].1["version"], json!(2));
    assert_eq!(told[1].1["previous"], Value::Null);
    stand.ask(Deed::Delete, b"");
    stand.now += 48 * HOUR + 1;
    assert_eq!(stand.update(&some)[0].1["version"], json!(1));
    // What is left of others goes with the next change.
    stand.ask(Deed::Delete, b"");
    stand.now += 49 * HOUR;
    stand.name = ShadowName::new("other", None).expect("a name");
    stand.update(&some);
    stand.name = ShadowName::new("t", None).expect("a name");
    let found = format!("{:?}", stand.registry.state());
    assert!(!found.contains("\"t\": Shadow"), "{found}");
}

/// AWS-SHADOW-47, -48
#[cfg(feature = "http")]
#[test]
fn names_are_listed_and_shadows_go_with_their_thing() {
    let mut stand = Stand::new(None);
    stand.change(|draft| {
        draft
            .create_thing("t", NewThing::default())
            .expect("a thing");
    });
    let names = [None, Some("b"), Some("a"), Some("$c")];
    for name in names {
        stand.name = ShadowName::new("t", name).expect("a name");
        stand.update(&json!({"state": {}}));
    }
    stand.name = ShadowName::new("t-2", Some("other")).expect("a name");
    stand.update(&json!({"state": {}}));
    let list = |thing: &str, limit, token: Option<&str>| {
        let page = Page {
            limit,
            token,
            ..Page::default()
        };
        stand.registry.state().list_named_shadows(thing, page)
    };
    let first = list("t", Some(2), None).expect("a page");
    assert_eq!(first.items, ["$c", "a"]);
    let rest = list("t", None, first.next.as_deref()).expect("a page");
    assert_eq!((rest.items, rest.next), (vec!["b".to_owned()], None));
    assert!(list("t", Some(101), None).is_err());
    assert!(list("a b", None, None).is_err());
    stand.change(|draft| draft.delete_thing("t", None).expect("it is alone"));
    let rest = |thing| list(thing, None, None).expect("a page").items;
    assert_eq!((rest("t"), rest("t-2")), (vec![], vec!["other".to_owned()]));
    let classic = ShadowName::new("t", None).expect("a name");
    assert!(
        stand
            .registry
            .state()
            .get_shadow(&classic, None, NOW)
            .is_err()
    );
    assert!(State::shadow_name("t", Some("")).is_err());
}

#[derive(Clone, Debug)]
enum Op {
    Update { state: Value, version: Option<u64> },
    Delete,
    Wait(u64),
}

/// Few names, so that they meet.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => Just(Value::Null),
        3 => (0..3u8).prop_map(Value::from),
        1 => Just(json!("text")),
        1 => Just(json!([1, {"a": 2}])),
        1 => Just(json!([])),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("[abc]", inner, 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn section() -> impl Strategy<Value = Value> {
    let members = prop::collection::btree_map("[abc]", value(), 0..4);
    prop_oneof![
        1 => Just(Value::Null),
        6 => members.prop_map(|members| Value::Object(members.into_iter().collect())),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let state = (prop::option::of(section()), prop::option::of(section()));
    let state = state.prop_map(|(desired, reported)| {
        let sections = [("desired", desired), ("reported", reported)].into_iter();
        let sections = sections.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(sections.collect())
    });
    let update = (state, prop::option::weighted(0.2, 0..6u64));
    let op = prop_oneof![
        8 => update.prop_map(|(state, version)| Op::Update { state, version }),
        1 => Just(Op::Delete),
        2 => prop_oneof![Just(1000), Just(50 * HOUR)].prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..30)
}

/// State and metadata apart, and everything by the book.
#[derive(Default)]
struct Model {
    state: Map<String, Value>,
    metadata: Map<String, Value>,
    version: u64,
    is_there: bool,
    deleted: u64,
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                members
                    .map(|(name, value)| (name.clone(), without_nulls(value)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

fn times(value: &Value, now: u64) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .map(|(name, value)| (name.clone(), times(value, now)))
                    .collect(),
            )
        }
        Value::Array(elements) => elements.iter().map(|value| times(value, now)).collect(),
        _ => json!({"timestamp": now}),
    }
}

fn merge(
    state: &mut Map<String, Value>,
    metadata: &mut Map<String, Value>,
    sent: &Value,
    now: u64,
) {
    for (name, value) in sent.as_object().expect("an object") {
        if value.is_null() {
            state.remove(name);
            metadata.remove(name);
        } else if let (Some(Value::Object(state)), Some(Value::Object(metadata)), true) = (
            state.get_mut(name),
            metadata.get_mut(name),
            value.is_object(),
        ) {
            merge(state, metadata, value, now);
        } else {
            let value = without_nulls(value);
            metadata.insert(name.clone(), times(&value, now));
            state.insert(name.clone(), value);
        }
    }
}

/// What of `desired` is not in `reported`, and the same parts of `metadata`.
fn difference(
    desired: &Value,
    reported: Option<&Value>,
    metadata: &Value,
) -> Option<(Value, Value)> {
    let (Value::Object(members), Some(Value::Object(others))) = (desired, reported) else {
        let is_same = reported == Some(desired);
        return (!is_same).then(|| (desired.clone(), metadata.clone()));
    };
    let (mut state, mut times) = (Map::new(), Map::new());
    for (name, value) in members {
        if let Some((value, time)) = difference(value, others.get(name), &metadata[name]) {
            state.insert(name.clone(), value);
            times.insert(name.clone(), time);
        }
    }
    (!state.is_empty()).then(|| (state.into(), times.into()))
}

impl Model {
    fn update(&mut self, sent: &Value, version: Option<u64>, now: u64) -> bool {
        let current = if self.is_there { self.version } else { 0 };
        if version.is_some_and(|version| version != current) {
            return false;
        }
        if !self.is_there && now - self.deleted > 48 * HOUR {
            self.version = 0;
        }
        for (name, section) in sent.as_object().expect("an object") {
            let take = |whole: &mut Map<String, Value>| match whole.remove(name) {
                Some(Value::Object(members)) => members,
                _ => Map::new(),
            };
            let (mut state, mut metadata) = (take(&mut self.state), take(&mut self.metadata));
            match section {
                Value::Null => state.clear(),
                section => merge(&mut state, &mut metadata, section, now / 1000),
            }
            if !state.is_empty() {
                self.state.insert(name.clone(), state.into());
                self.metadata.insert(name.clone(), metadata.into());
            }
        }
        (self.version, self.is_there) = (self.version + 1, true);
        true
    }

    fn got(&self, now: u64) -> Value {
        let (mut state, mut metadata) = (self.state.clone(), self.metadata.clone());
        let reported = state.get("reported").cloned().unwrap_or_else(|| json!({}));
        let desired = (state.get("desired"), metadata.get("desired"));
        if let (Some(desired), Some(times)) = desired
            && let Some((delta, times)) = difference(desired, Some(&reported), times)
        {
            state.insert("delta".to_owned(), delta);
            metadata.insert("delta".to_owned(), times);
        }
        json!({"state": state, "metadata": metadata, "version": self.version, "timestamp": now / 1000})
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_sequence_comes_to_what_the_model_says(ops in ops()) {
        let mut stand = Stand::new(None);
        let mut model = Model { deleted: NOW, ..Model::default() };
        for op in ops {
            match op {
                Op::Update { state, version } => {
                    let told = stand.update(&json!({"state": state, "version": version}));
                    let is_accepted = told[0].0 == "update/accepted";
                    prop_assert_eq!(is_accepted, model.update(&state, version, stand.now));
                }
                Op::Delete => {
                    stand.ask(Deed::Delete, b"");
                    if std::mem::take(&mut model.is_there) {
                        model = Model { version: model.version, deleted: stand.now, ..Model::default() };
                    }
                }
                Op::Wait(time) => stand.now += time,
            }
            let expected = match model.is_there {
                true => ("get/accepted".to_owned(), model.got(stand.now)),
                false => ("get/rejected".to_owned(), json!({
                    "code": 404,
                    "message": "No shadow exists with name: 't'",
                    "timestamp": stand.now / 1000,
                })),
            };
            prop_assert_eq!(stand.ask(Deed::Get, b""), [expected]);
        }
    }
}
