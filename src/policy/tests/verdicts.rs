//! AWS-PEX-01 to -101: the table in `tests/verdicts`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::{
    Action, Attachment, Certificate, Context, Details, Policies, Request, Scope, Thing, Verdict,
};
use super::document;

#[path = "../../../tests/verdicts/mod.rs"]
mod table;

/// Whom a request of the table comes from.
fn context(request: &table::Request) -> Context {
    let mut certificate = Certificate::new(request.get("certificate").unwrap_or("c0"));
    for (field, value) in request.all("Subject.") {
        certificate = certificate
            .with(&format!("Subject.{field}"), value)
            .expect("a field");
    }
    let thing = |name: &str| Thing {
        name: name.to_owned(),
        type_name: request.get("type").map(str::to_owned),
        attributes: request
            .all("attr.")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    let is_by_mqtt = matches!(request.get("over"), None | Some("authorizer"));
    let address = request.get("from");
    Context {
        client_id: request.get("client").map(str::to_owned),
        thing: match request.get("thing") {
            Some(name) => Attachment::Attached(thing(name)),
            None if is_by_mqtt => Attachment::Detached,
            None => Attachment::Unknown,
        },
        certificate: Some(certificate),
        source_ip: address.map(|address| address.parse().expect("an address")),
        domain_name: None,
    }
}

/// The policies that hold for a client that is a thing or none.
fn policies(block: &table::Block, is_thing: bool, scope: &Scope) -> Policies {
    let policies = block.policies.iter();
    let hold = policies.filter(|policy| is_thing || policy.place != table::Place::Group);
    let documents = hold.map(|policy| Arc::new(document(&policy.document)));
    Policies::new(documents, scope)
}

fn ask(policies: &Policies, request: &table::Request, question: &table::Question) -> Verdict {
    let context = context(request);
    let action: Action = question.action.parse().expect("an action");
    let details = Details {
        persistent: request.has("persistent"),
        will_topic: request.get("will"),
        topic: request.get("topic"),
        socket_information: None,
    };
    let asked = Request::new(action, question.resource, &context);
    policies.evaluate(&Request { details, ..asked }).verdict
}

fn expected(question: &table::Question) -> Verdict {
    match question.verdict {
        table::Verdict::Allowed => Verdict::Allowed,
        table::Verdict::ExplicitDeny => Verdict::ExplicitDeny,
        table::Verdict::ImplicitDeny => Verdict::ImplicitDeny,
    }
}

/// AWS-PEX-01 to AWS-PEX-101.
#[test]
fn verdicts_are_those_of_the_service() {
    let mut ids = BTreeSet::new();
    let mut wrong = Vec::new();
    let any = Scope {
        any: true,
        ..Scope::default()
    };
    for block in table::blocks() {
        for request in &block.requests {
            ids.insert(request.id);
            let is_thing = request.has("thing");
            let own = policies(&block, is_thing, &Scope::default());
            let any = policies(&block, is_thing, &any);
            for question in &request.questions {
                let verdict = ask(&own, request, question);
                if verdict != expected(question) {
                    let resource = question.resource;
                    wrong.push(format!("{}: {verdict:?} for {resource}", request.name()));
                }
                // Only where the account decides does it matter whether it is looked at.
                if request.id != 97 {
                    assert_eq!(ask(&any, request, question), verdict, "{}", request.name());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ids, (1..=101).collect());
}
