//! What holds for any policies and any request.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::super::{
    Action, Attachment, Context, Document, Policies, Request, Scope, Thing, Verdict,
};
use super::{PREFIX, of_statements};

/// A statement without its effect.
fn body() -> impl Strategy<Value = String> {
    let actions = subsequence(
        vec!["iot:Publish", "iot:Subscribe", "iot:*", "iot:R*"],
        1..3,
    );
    let resources = select(vec![
        "topic/a",
        "topic/*",
        "topic/${iot:ClientId}/*",
        "topicfilter/?/b",
        "topic/${a:b}",
        "*",
    ]);
    let conditions = select(vec![
        "",
        r#"{"StringEquals": {"iot:ClientId": ["a", "b"]}}"#,
        r#"{"StringNotLike": {"iot:ClientId": "a*"}}"#,
        r#"{"Bool": {"iot:Connection.Thing.IsAttached": true}}"#,
        r#"{"ForAllValues:StringEquals": {"iot:ConnectAttributes": []}}"#,
        r#"{"DateGreaterThan": {"aws:CurrentTime": 5}}"#,
        r#"{"NumericLessThanIfExists": {"aws:EpochTime": 8}}"#,
        r#"{"StringEquals": {"iot:Connection.Thing.Attributes[k]": "${iot:ClientId}"}}"#,
    ]);
    let negated = select(vec!["", "Not"]);
    (actions, negated.clone(), resources, negated, conditions).prop_map(
        |(actions, not_action, resource, not_resource, condition)| {
            let actions = actions.join("\", \"");
            let resource = if resource == "*" {
                resource.to_owned()
            } else {
                format!("{PREFIX}{resource}")
            };
            let mut text = format!(
                r#""{not_action}Action": ["{actions}"], "{not_resource}Resource": "{resource}""#
            );
            if !condition.is_empty() {
                text += ", \"Condition\": ";
                text += condition;
            }
            text
        },
    )
}

fn with_effect(effect: &str, body: &str) -> String {
    format!(r#"{{"Effect": "{effect}", {body}}}"#)
}

fn statement() -> impl Strategy<Value = String> {
    (select(vec!["Allow", "Deny"]), body()).prop_map(|(effect, body)| with_effect(effect, &body))
}

/// Documents as lists of statements.
fn documents() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(statement(), 1..4), 0..4)
}

#[derive(Clone, Debug)]
struct Asked {
    action: Action,
    resource: String,
    context: Context,
    time: Option<i64>,
}

impl Asked {
    fn request(&self) -> Request<'_> {
        let request = Request::new(self.action, &self.resource, &self.context);
        Request {
            time: self.time,
            ..request
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let thing = prop_oneof![
        Just(Attachment::Unknown),
        Just(Attachment::Detached),
        "[ab]".prop_map(|value| Attachment::Attached(Thing {
            name: "a".to_owned(),
            type_name: None,
            attributes: [("k".to_owned(), value)].into(),
        })),
    ];
    let resource = "(topic|topicfilter)/[ab*+]{1,2}(/[ab#])?|\\*";
    let client = prop::option::of("[ab*]{1,2}");
    let action = select(Action::ALL.to_vec());
    (action, resource, client, thing, prop::option::of(0..12i64)).prop_map(
        |(action, resource, client_id, thing, time)| Asked {
            action,
            resource,
            context: Context {
                client_id,
                thing,
                ..Context::default()
            },
            time,
        },
    )
}

fn read(documents: &[Vec<String>]) -> Policies {
    let documents = documents
        .iter()
        .map(|statements| Arc::new(of_statements(&statements.join(","))));
    Policies::new(documents, &Scope::default())
}

fn verdict(documents: &[Vec<String>], asked: &Asked) -> Verdict {
    read(documents).evaluate(&asked.request()).verdict
}

proptest! {
    #[test]
    fn what_is_allowed_more_denies_nothing(documents in documents(), body in body(), asked in asked()) {
        let before = verdict(&documents, &asked);
        let after = verdict(&[documents, vec![vec![with_effect("Allow", &body)]]].concat(), &asked);
        prop_assert!(after == before || (before == Verdict::ImplicitDeny && after == Verdict::Allowed));
    }

    #[test]
    fn what_is_denied_more_allows_nothing(documents in documents(), body in body(), asked in asked()) {
        let before = verdict(&documents, &asked);
        let after = verdict(&[documents, vec![vec![with_effect("Deny", &body)]]].concat(), &asked);
        prop_assert!(after == before || after == Verdict::ExplicitDeny);
    }

    /// However statements are ordered and divided into documents.
    #[test]
    fn order_makes_no_difference(
        documents in documents(),
        order in prop::collection::vec(any::<Index>(), 12),
        cut in any::<Index>(),
        asked in asked(),
    ) {
        let before = read(&documents).evaluate(&asked.request());
        let mut rest: Vec<String> = documents.concat();
        let mut shuffled = Vec::new();
        for index in order {
            if !rest.is_empty() {
                shuffled.push(rest.swap_remove(index.index(rest.len())));
            }
        }
        let mut parts = vec![shuffled.clone()];
        if shuffled.len() > 1 {
            let (first, second) = shuffled.split_at(1 + cut.index(shuffled.len() - 1));
            parts = vec![second.to_vec(), first.to_vec()];
        }
        parts.retain(|part| !part.is_empty());
        let after = read(&parts).evaluate(&asked.request());
        prop_assert_eq!((after.verdict, after.is_lasting), (before.verdict, before.is_lasting));
    }

    /// Whoever keeps a verdict that lasts is right at any other time.
    #[test]
    fn what_lasts_is_the_same_at_other_times(
        documents in documents(),
        asked in asked(),
        time in 0..12i64,
    ) {
        let policies = read(&documents);
        let first = policies.evaluate(&asked.request());
        if first.is_lasting && asked.time.is_some() {
            let later = policies.evaluate(&Request { time: Some(time), ..asked.request() });
            prop_assert_eq!(later.verdict, first.verdict);
        }
    }

    #[test]
    fn the_smallest_grant_is_enough(documents in documents(), asked in asked()) {
        let policies = read(&documents);
        let decision = policies.evaluate(&asked.request());
        let grant = vec![policies.smallest_grant(&asked.request())];
        let after = verdict(&[documents, vec![grant]].concat(), &asked);
        let is_denied = decision.verdict == Verdict::ExplicitDeny;
        prop_assert_eq!(after == Verdict::ExplicitDeny, is_denied);
        prop_assert_eq!(after == Verdict::Allowed, !is_denied);
    }

    #[test]
    fn any_text_is_a_document_or_none(text in ".{0,200}") {
        let _ = Document::parse(&text);
    }
}
