//! Policies of AWS IoT: the grammar, and what follows from documents.

use std::sync::Arc;

use crate::policy::{
    Action, Attachment, Certificate, Context, Decision, Details, Document, Policies, Request,
    Scope, Thing, Verdict,
};

/// Documents that are looked at: each is asked about with each of the others.
const DOCUMENTS: usize = 4;

/// The first byte chooses the action, the second what is known of the client. Then come a resource and
/// documents, divided by zero bytes.
///
/// # Panics
///
/// If a verdict depends on the order of documents, an Allow denies, a Deny allows, a verdict that lasts does
/// not, or the smallest statement that would allow a request does not.
pub fn policy(data: &[u8]) {
    let [action, known, text @ ..] = data else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let mut texts = text.split('\0');
    let resource = texts.next().unwrap_or_default();
    let documents: Vec<_> = texts
        .take(DOCUMENTS)
        .filter_map(|text| Document::parse(text).ok())
        .map(Arc::new)
        .collect();
    let context = context(*known);
    let request = Request {
        action: Action::ALL[usize::from(*action) % Action::ALL.len()],
        resource,
        context: &context,
        details: Details {
            persistent: known & 0x10 != 0,
            will_topic: (known & 0x20 != 0).then_some(resource),
            topic: (known & 0x20 != 0).then_some("a/b"),
            socket_information: Some(known & 0x10 != 0),
        },
        time: (known & 0x40 != 0).then_some(1_795_887_491),
    };
    let scope = Scope {
        any: known & 0x80 != 0,
        ..Scope::default()
    };
    check(&documents, &request, &scope);
}

/// A client of which some is known.
fn context(known: u8) -> Context {
    let certificate = Certificate::new("c0ffee").with("Subject.CommonName", "a,b");
    let thing = Thing {
        name: "a".to_owned(),
        type_name: Some("b".to_owned()),
        attributes: [("a".to_owned(), "b".to_owned())].into(),
    };
    Context {
        client_id: (known & 0x01 != 0).then(|| "a*".to_owned()),
        thing: match known & 0x06 {
            0x00 => Attachment::Unknown,
            0x02 => Attachment::Detached,
            _ => Attachment::Attached(thing),
        },
        certificate: certificate.ok().filter(|_| known & 0x08 != 0),
        source_ip: (known & 0x08 != 0).then(|| [10, 0, 0, 1].into()),
        domain_name: (known & 0x08 != 0).then(|| "a.b".to_owned()),
    }
}

fn check(documents: &[Arc<Document>], request: &Request<'_>, scope: &Scope) {
    let decide = |documents: &[Arc<Document>]| {
        let policies = Policies::new(documents.iter().cloned(), scope);
        policies.evaluate(request)
    };
    let all = decide(documents);
    let mut reversed = documents.to_vec();
    reversed.reverse();
    assert_eq!(facts(decide(&reversed)), facts(all), "order decides");
    for number in 0..documents.len() {
        // A document says the same of a request whatever stands beside it.
        let alone = decide(&documents[number..=number]);
        let mut others = documents.to_vec();
        others.remove(number);
        let rest = decide(&others);
        let strongest = match (alone.verdict, rest.verdict) {
            (Verdict::ExplicitDeny, _) | (_, Verdict::ExplicitDeny) => Verdict::ExplicitDeny,
            (Verdict::Allowed, _) | (_, Verdict::Allowed) => Verdict::Allowed,
            _ => Verdict::ImplicitDeny,
        };
        assert_eq!(all.verdict, strongest, "one document and the others");
        let _ = documents[number].remarks(scope);
    }
    let policies = Policies::new(documents.iter().cloned(), scope);
    assert_eq!(
        all.decided_by.is_none(),
        all.verdict == Verdict::ImplicitDeny
    );
    assert!(
        all.decided_by
            .is_none_or(|place| policies.statement(place).is_some())
    );
    let _ = policies.variables(request);
    if all.is_lasting && request.time.is_some() {
        for time in [0, 1_795_887_492, i64::MAX] {
            let later = policies.evaluate(&Request {
                time: Some(time),
                ..*request
            });
            assert_eq!(later.verdict, all.verdict, "at {time}");
        }
    }
    check_grant(documents, request, scope, all);
}

/// What allows and what denies a request, put beside documents.
fn check_grant(documents: &[Arc<Document>], request: &Request<'_>, scope: &Scope, all: Decision) {
    let with = |text: &str| {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": {text}}}"#);
        // A long resource does not fit into a document.
        let more = Document::parse(&text).ok().map(Arc::new)?;
        let documents = documents.iter().cloned().chain([more]);
        Some(Policies::new(documents, scope).evaluate(request).verdict)
    };
    let grant = Policies::new([], scope).smallest_grant(request);
    let expected = match all.verdict {
        Verdict::ExplicitDeny => Verdict::ExplicitDeny,
        Verdict::Allowed | Verdict::ImplicitDeny => Verdict::Allowed,
    };
    assert!(
        with(&grant).is_none_or(|verdict| verdict == expected),
        "{grant}"
    );
    let denial = grant.replacen("Allow", "Deny", 1);
    assert!(
        with(&denial).is_none_or(|verdict| verdict == Verdict::ExplicitDeny),
        "{denial}"
    );
}

/// What order makes no difference to.
fn facts(decision: Decision) -> (Verdict, bool) {
    (decision.verdict, decision.is_lasting)
}
