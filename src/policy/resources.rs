//! The resources of a statement, made ready for one account and Region.

use super::document::Statement;
use super::key::{Facts, Key};
use super::scope::Scope;
use super::template::Template;

/// What a statement is about.
#[derive(Debug)]
pub(super) struct Resources {
    /// Whether one of them is `*`.
    has_everything: bool,
    /// Patterns for what follows the account: what stands before it was compared already.
    local: Vec<Template>,
    /// Patterns with a variable in what stands before, which are compared with the whole ARN.
    whole: Vec<Template>,
    is_negated: bool,
}

impl Resources {
    pub(super) fn new(statement: &Statement, scope: &Scope) -> Self {
        let mut resources = Self {
            has_everything: false,
            local: Vec::new(),
            whole: Vec::new(),
            is_negated: statement.is_not_resource,
        };
        let prefix = scope.prefix();
        for template in &statement.resources {
            if template.is_everything() {
                resources.has_everything = true;
                continue;
            }
            let template = scope.localized(template);
            match template.behind(&prefix) {
                Some(rests) => resources.local.extend(rests),
                None => resources.whole.push(template),
            }
        }
        resources
    }

    /// Takes out the patterns for what follows the account, if they are all there is to it and mean the same at
    /// any time: it is about what fits one of them.
    pub(super) fn take_plain(&mut self) -> Option<Vec<Template>> {
        let is_plain = !self.has_everything && !self.is_negated && self.whole.is_empty();
        (is_plain && !self.is_timed()).then(|| std::mem::take(&mut self.local))
    }

    /// Whether the statement is about the resource of a request.
    pub(super) fn apply(&self, facts: &Facts<'_>) -> bool {
        if !self.is_negated {
            return self.has(facts);
        }
        // What has no value does not make a statement apply (AWS-POL-24).
        let is_resolved = self.variables().all(|key| key.substitute(facts).is_some());
        is_resolved && !self.has(facts)
    }

    fn has(&self, facts: &Facts<'_>) -> bool {
        if self.has_everything {
            return true;
        }
        let resource = facts.request.resource;
        // Where it is about no one thing, only that means it (AWS-ID-57).
        if resource == "*" {
            return false;
        }
        let substitute = |key: &Key| key.substitute(facts);
        if self
            .local
            .iter()
            .any(|template| template.fits(resource, substitute))
        {
            return true;
        }
        if self.whole.is_empty() {
            return false;
        }
        let arn = format!("{}{resource}", facts.prefix);
        self.whole
            .iter()
            .any(|template| template.fits(&arn, substitute))
    }

    /// Whether another time may make a difference.
    pub(super) fn is_timed(&self) -> bool {
        self.variables().any(Key::is_time)
    }

    fn variables(&self) -> impl Iterator<Item = &Key> {
        let templates = self.local.iter().chain(&self.whole);
        templates.flat_map(Template::variables)
    }
}
