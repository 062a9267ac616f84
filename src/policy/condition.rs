//! Conditions of a statement: an operator, a key, and the values that it is compared with.

use super::key::{Facts, Key, Value};
use super::operator::{Expected, Operator, Quantifier, Relation};
use super::scope::Scope;
use super::template::Template;

/// One key under one operator; a statement applies if all of its conditions hold (AWS-ID-80).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) operator: Operator,
    pub(super) key: Key,
    pub(super) expected: Vec<Expected>,
}

impl Condition {
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        let operator = self.operator;
        if operator.relation == Relation::Null {
            let is_missing = Value::Flag(self.key.values(facts).is_empty());
            let mut expected = self.expected.iter();
            return expected.any(|one| one.accepts(Relation::Null, &is_missing, facts));
        }
        // What has no value does not make a statement apply (AWS-POL-24).
        if operator.is_negated && !self.is_resolved(facts) {
            return false;
        }
        let values = match operator.quantifier {
            None if self.key.is_for_sets() => Default::default(),
            _ => self.key.values(facts),
        };
        if values.is_empty() {
            return match operator.quantifier {
                Some(Quantifier::All) => true,
                Some(Quantifier::Any) => operator.if_exists,
                None => operator.is_negated || operator.if_exists,
            };
        }
        let mut fit = values.iter().map(|value| {
            let mut expected = self.expected.iter();
            expected.any(|one| one.accepts(operator.relation, value, facts)) != operator.is_negated
        });
        match operator.quantifier {
            Some(Quantifier::All) => fit.all(|fits| fits),
            None if operator.is_negated => fit.all(|fits| fits),
            Some(Quantifier::Any) | None => fit.any(|fits| fits),
        }
    }

    /// Whether another time may make a difference to it.
    pub(super) fn is_timed(&self) -> bool {
        self.key.is_time() || self.variables().any(Key::is_time)
    }

    /// The variables in the values that it compares with.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Key> {
        let templates = self.expected.iter().flat_map(Expected::templates);
        templates.flat_map(Template::variables)
    }

    /// The same for this account and Region.
    pub(super) fn localized(&self, scope: &Scope) -> Self {
        let expected = self.expected.iter().map(|one| one.localized(scope));
        Self {
            operator: self.operator,
            key: self.key.clone(),
            expected: expected.collect(),
        }
    }

    fn is_resolved(&self, facts: &Facts<'_>) -> bool {
        self.variables().all(|key| key.substitute(facts).is_some())
    }
}
