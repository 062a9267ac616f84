//! The worked verdicts of policies, AWS-PEX-01 to -101: `table.txt` as data. What asks a policy whether
//! something is allowed, in whatever way, is held against it.

use std::fmt::Write as _;

const TABLE: &str = include_str!("table.txt");

/// What every ARN of the table begins with.
pub(crate) const PREFIX: &str = "arn:aws:iot:us-east-1:123456789012:";

/// Policies, and requests under them.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) policies: Vec<Policy>,
    pub(crate) requests: Vec<Request>,
}

#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) place: Place,
    /// JSON.
    pub(crate) document: String,
    /// What it said before, if it has changed.
    pub(crate) earlier: Option<String>,
}

/// What a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Certificate,
    /// A group that the group of the thing stands in.
    Group,
}

/// What a client asks for, and what the policies are asked because of that.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: u32,
    pub(crate) questions: Vec<Question>,
    /// Names with their values; empty where none was said.
    known: Vec<(&'static str, &'static str)>,
}

#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) verdict: Verdict,
    pub(crate) action: &'static str,
    pub(crate) resource: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    ExplicitDeny,
    ImplicitDeny,
}

impl Request {
    pub(crate) fn name(&self) -> String {
        let Question {
            action, resource, ..
        } = self.questions[0];
        format!("AWS-PEX-{:02}, {action} {resource}", self.id)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'static str> {
        let found = self.known.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Those that begin with `prefix`, without it.
    pub(crate) fn all(&self, prefix: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        let known = self.known.iter();
        known.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, *value)))
    }
}

/// All of the table.
pub(crate) fn blocks() -> Vec<Block> {
    let blocks = TABLE.split("\n\n").map(block);
    blocks.filter(|block| !block.requests.is_empty()).collect()
}

fn block(text: &'static str) -> Block {
    let mut block = Block::default();
    // Statements of the policy under way, and whether it is an earlier version of the one before.
    let mut statements: Vec<String> = Vec::new();
    let mut is_earlier = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let place = match line {
            "policy" => Some(Place::Certificate),
            "policy of a group" => Some(Place::Group),
            _ => None,
        };
        if let Some(place) = place {
            (statements, is_earlier) = (Vec::new(), false);
            block.policies.push(Policy {
                place,
                document: String::new(),
                earlier: None,
            });
        } else if line == "earlier version" {
            (statements, is_earlier) = (Vec::new(), true);
        } else if line.starts_with(['+', '-']) {
            statements.push(statement(line));
            let policy = block.policies.last_mut().expect("a policy");
            match is_earlier {
                false => policy.document = document(&statements),
                true => policy.earlier = Some(document(&statements)),
            }
        } else {
            ask(&mut block.requests, line);
        }
    }
    block
}

/// Adds the question in a line: a request, or one more of the last.
fn ask(requests: &mut Vec<Request>, line: &'static str) {
    let mut columns = line.split('|').map(str::trim);
    let mut next = || columns.next().unwrap_or_else(|| panic!("columns: {line}"));
    let (id, verdict) = (next(), next());
    let (action, resource) = next()
        .split_once(' ')
        .unwrap_or_else(|| panic!("an action and a resource: {line}"));
    let question = Question {
        verdict: match verdict {
            "A" => Verdict::Allowed,
            "E" => Verdict::ExplicitDeny,
            "I" => Verdict::ImplicitDeny,
            other => panic!("no verdict: {other}"),
        },
        action,
        resource,
    };
    if id == "&" {
        let last = requests.last_mut().expect("a request");
        return last.questions.push(question);
    }
    let known = next().split(", ");
    requests.push(Request {
        id: id.parse().expect("a number"),
        questions: vec![question],
        known: known
            .map(|item| item.split_once('=').unwrap_or((item, "")))
            .collect(),
    });
}

fn document(statements: &[String]) -> String {
    let statements = statements.join(", ");
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

/// The JSON of a line that begins with `+` or `-`.
fn statement(line: &str) -> String {
    let effect = match line.starts_with('+') {
        true => "Allow",
        false => "Deny",
    };
    let mut columns = line[1..].split('|').map(str::trim);
    let actions = quoted(columns.next().expect("actions"), "iot:");
    let resources = columns.next().expect("resources");
    let (element, resources) = match resources.strip_prefix("not ") {
        Some(resources) => ("NotResource", resources),
        None => ("Resource", resources),
    };
    let resources = quoted(resources, PREFIX);
    let conditions = columns.next().map(conditions).unwrap_or_default();
    format!(
        r#"{{"Effect": "{effect}", "Action": {actions}, "{element}": {resources}{conditions}}}"#
    )
}

/// The member that conditions are.
fn conditions(column: &str) -> String {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    for condition in column.split('&') {
        let (name, values) = condition.split_once('=').expect("a key and its values");
        let (operator, key) = name.trim().split_once(' ').expect("an operator and a key");
        let member = format!("\"{key}\": {}", quoted(values, ""));
        match blocks.iter_mut().find(|(found, _)| *found == operator) {
            Some((_, members)) => {
                write!(members, ", {member}").expect("a String takes everything");
            }
            None => blocks.push((operator, member)),
        }
    }
    let blocks = blocks.iter();
    let blocks = blocks.map(|(operator, members)| format!("\"{operator}\": {{{members}}}"));
    let blocks = blocks.collect::<Vec<_>>().join(", ");
    format!(", \"Condition\": {{{blocks}}}")
}

fn quoted(items: &str, prefix: &str) -> String {
    let items = items.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    let items = items.map(|item| match item {
        "*" => "\"*\"".to_owned(),
        arn if arn.starts_with("arn:") => format!("\"{arn}\""),
        item => format!("\"{prefix}{item}\""),
    });
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
