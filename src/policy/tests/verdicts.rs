//! AWS-PEX-01 to -101: the table in `verdicts.txt`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::{
    Action, Attachment, Certificate, Context, Details, Document, Policies, Request, Scope, Thing,
    Verdict,
};
use super::{PREFIX, of_statements};

const TABLE: &str = include_str!("verdicts.txt");

/// Rows that have no request by MQTT with a certificate.
const OTHERWISE: [u32; 5] = [38, 76, 78, 100, 101];

/// A question of the table.
struct Question<'t> {
    id: u32,
    verdict: Verdict,
    action: Action,
    resource: &'t str,
    /// Names with their values; empty where none was said.
    known: Vec<(&'t str, &'t str)>,
}

impl<'t> Question<'t> {
    fn parse(line: &'t str) -> Self {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let [id, verdict, asked, known] = columns[..] else {
            panic!("four columns: {line}");
        };
        let (action, resource) = asked.split_once(' ').expect("an action and a resource");
        Self {
            id: id.parse().expect("a number"),
            verdict: match verdict {
                "A" => Verdict::Allowed,
                "E" => Verdict::ExplicitDeny,
                "I" => Verdict::ImplicitDeny,
                other => panic!("no verdict: {other}"),
            },
            action: action.parse().expect("an action"),
            resource,
            known: known
                .split(", ")
                .map(|item| item.split_once('=').unwrap_or((item, "")))
                .collect(),
        }
    }

    fn get(&self, name: &str) -> Option<&'t str> {
        let found = self.known.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    fn context(&self) -> Context {
        let mut certificate = Certificate::new(self.get("certificate").unwrap_or("c0"));
        let mut thing = Thing::default();
        for (name, value) in &self.known {
            match name.split_once('.') {
                Some(("attr", name)) => {
                    thing
                        .attributes
                        .insert(name.to_owned(), (*value).to_owned());
                }
                Some(_) => certificate = certificate.with(name, value).expect("a field"),
                None => {}
            }
        }
        let is_by_mqtt = matches!(self.get("over"), None | Some("authorizer"));
        Context {
            client_id: self.get("client").map(str::to_owned),
            thing: match self.get("thing") {
                Some(name) => Attachment::Attached(Thing {
                    name: name.to_owned(),
                    type_name: self.get("type").map(str::to_owned),
                    ..thing
                }),
                None if is_by_mqtt => Attachment::Detached,
                None => Attachment::Unknown,
            },
            certificate: Some(certificate),
            source_ip: self
                .get("from")
                .map(|address| address.parse().expect("an address")),
            domain_name: None,
        }
    }

    fn ask(&self, policies: &Policies) -> Verdict {
        let context = self.context();
        let details = Details {
            persistent: self.get("persistent").is_some(),
            will_topic: self.get("will"),
            topic: self.get("topic"),
            socket_information: None,
        };
        let request = Request::new(self.action, self.resource, &context);
        policies.evaluate(&Request { details, ..request }).verdict
    }
}

fn quoted(items: &str, prefix: &str) -> String {
    let items = items
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let items = items.map(|item| match item {
        "*" => "\"*\"".to_owned(),
        arn if arn.starts_with("arn:") => format!("\"{arn}\""),
        item => format!("\"{prefix}{item}\""),
    });
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// The JSON of a line that begins with `+` or `-`.
fn statement(line: &str) -> String {
    let effect = if line.starts_with('+') {
        "Allow"
    } else {
        "Deny"
    };
    let mut columns = line[1..].split('|').map(str::trim);
    let actions = quoted(columns.next().expect("actions"), "iot:");
    let resources = columns.next().expect("resources");
    let (element, resources) = match resources.strip_prefix("not ") {
        Some(resources) => ("NotResource", resources),
        None => ("Resource", resources),
    };
    let resources = quoted(resources, PREFIX);
    let mut text =
        format!(r#"{{"Effect": "{effect}", "Action": {actions}, "{element}": {resources}"#);
    if let Some(conditions) = columns.next() {
        let mut blocks: Vec<(&str, String)> = Vec::new();
        for condition in conditions.split('&') {
            let (name, values) = condition.split_once('=').expect("a key and its values");
            let (operator, key) = name.trim().split_once(' ').expect("an operator and a key");
            let member = format!("\"{key}\": {}", quoted(values, ""));
            match blocks.iter_mut().find(|(found, _)| *found == operator) {
                Some((_, members)) => {
                    write!(members, ", {member}").expect("a String takes everything")
                }
                None => blocks.push((operator, member)),
            }
        }
        let blocks = blocks
            .iter()
            .map(|(operator, members)| format!("\"{operator}\": {{{members}}}"));
        let blocks = blocks.collect::<Vec<_>>().join(", ");
        write!(text, ", \"Condition\": {{{blocks}}}").expect("a String takes everything");
    }
    text + "}"
}

/// The documents of a block, and the questions to them.
fn block(text: &str) -> (Vec<Arc<Document>>, Vec<Question<'_>>) {
    let mut documents: Vec<Vec<String>> = Vec::new();
    let mut questions = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line == "policy" {
            documents.push(Vec::new());
        } else if line.starts_with(['+', '-']) {
            documents
                .last_mut()
                .expect("a policy")
                .push(statement(line));
        } else {
            questions.push(Question::parse(line));
        }
    }
    let documents = documents
        .iter()
        .map(|statements| Arc::new(of_statements(&statements.join(", "))));
    (documents.collect(), questions)
}

/// AWS-PEX-01 to AWS-PEX-101.
#[test]
fn verdicts_are_those_of_the_service() {
    let mut ids = BTreeSet::new();
    let mut wrong = Vec::new();
    for text in TABLE.split("\n\n") {
        let (documents, questions) = block(text);
        let policies = Policies::new(documents.clone(), &Scope::default());
        let any = Policies::new(
            documents,
            &Scope {
                any: true,
                ..Scope::default()
            },
        );
        for question in questions {
            ids.insert(question.id);
            let verdict = question.ask(&policies);
            if verdict != question.verdict {
                wrong.push(format!(
                    "AWS-PEX-{:02}: {verdict:?} for {}",
                    question.id, question.resource
                ));
            }
            // Only where the account decides does it matter whether it is looked at.
            if question.id != 97 {
                assert_eq!(question.ask(&any), verdict, "AWS-PEX-{}", question.id);
            }
            let is_otherwise = question.get("over").is_some();
            assert_eq!(
                OTHERWISE.contains(&question.id),
                is_otherwise,
                "AWS-PEX-{}",
                question.id
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ids, (1..=101).collect());
}
