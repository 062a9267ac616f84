//! What is no error in a policy and hardly meant.

use super::document::{Document, Statement};
use super::key::Key;
use super::scope::Scope;
use super::template::Template;

impl Document {
    /// What in it can have no effect, each with its place: actions, variables and keys that are unknown, and
    /// resources that no request can have (AWS-ID-54, -56, -87).
    pub fn remarks(&self, scope: &Scope) -> Vec<String> {
        let statements = self.statements().iter().enumerate();
        statements
            .flat_map(|(index, statement)| {
                let place = format!("Statement[{index}]");
                let mut remarks = unknown_names(statement, &place);
                remarks.extend(idle_resources(statement, scope, &place));
                remarks
            })
            .collect()
    }
}

impl Document {
    /// Its resources that are of another account or Region, or not of this service (AWS-ID-54), whether
    /// those are to be ignored or not.
    pub fn foreign_resources(&self, scope: &Scope) -> Vec<String> {
        let prefix = scope.prefix();
        let templates = self.statements().iter().flat_map(|s| &s.resources);
        let foreign = templates.filter(|template| is_none_of(template, &prefix));
        foreign.map(ToString::to_string).collect()
    }
}

/// Whether no text with this beginning matches.
fn is_none_of(template: &Template, prefix: &str) -> bool {
    template
        .behind(prefix)
        .is_some_and(|rests| rests.is_empty())
}

fn unknown_names(statement: &Statement, place: &str) -> Vec<String> {
    let actions = statement.idle_actions.iter();
    let mut remarks: Vec<_> = actions
        .map(|(path, text)| format!("{path}: `{text}` is no action of a client"))
        .collect();
    for key in statement.keys() {
        if let Key::Unknown(name) = key {
            remarks.push(format!("{place}: `{name}` never has a value"));
        }
    }
    remarks
}

fn idle_resources(statement: &Statement, scope: &Scope, place: &str) -> Vec<String> {
    let prefix = scope.prefix();
    let mut remarks = Vec::new();
    for template in &statement.resources {
        let local = scope.localized(template);
        if is_none_of(&local, &prefix) {
            remarks.push(format!("{place}: `{template}` is none of {prefix}*"));
        } else if !is_of_type(&local, statement) {
            remarks.push(format!(
                "{place}: none of the actions is about a `{template}`"
            ));
        }
    }
    remarks
}

/// Whether one of the actions is about resources of the type that a pattern names.
fn is_of_type(template: &Template, statement: &Statement) -> bool {
    let pieces = template.split(6);
    let Some((named, _)) = pieces.get(5).and_then(|name| name.head().split_once('/')) else {
        return true; // it may be any
    };
    let mut actions = statement.actions.iter();
    statement.actions.is_empty() || actions.any(|action| action.resource_type() == named)
}
