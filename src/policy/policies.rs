//! Several policies at once, and what follows from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::action::ActionSet;
use super::condition::Condition;
use super::context::Request;
use super::document::{Document, Effect, Statement};
use super::index::Index;
use super::key::{Facts, Key};
use super::resources::Resources;
use super::scope::Scope;
use super::template::Template;

/// Policies that hold together: those of a certificate and those of the groups of its thing (AWS-ID-06, -08).
/// All that can be worked out before a request comes has been.
#[derive(Debug)]
pub struct Policies {
    documents: Vec<Arc<Document>>,
    pub(super) scope: Scope,
    /// What every ARN begins with.
    prefix: String,
    allowing: Rules,
    denying: Rules,
}

/// Rules of one effect.
#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    /// Those whose resources are plain patterns, by these.
    index: Index,
    /// The others.
    direct: Vec<usize>,
}

/// A statement, made ready.
#[derive(Debug)]
struct Rule {
    place: Place,
    actions: ActionSet,
    resources: Resources,
    /// Those to which another time makes no difference, and those to which it may.
    lasting: Vec<Condition>,
    timed: Vec<Condition>,
    are_resources_timed: bool,
    /// Whether its resources are in an index.
    is_plain: bool,
}

/// A statement among those of several documents; both count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which document.
    pub document: usize,
    /// Which statement of it.
    pub statement: usize,
}

/// What becomes of a request (AWS-ID-12, AWS-POL-29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A statement allows it, and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// No statement is about it.
    ImplicitDeny,
}

/// A verdict, and what it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the request.
    pub verdict: Verdict,
    /// The statement that decided; none for an implicit deny.
    pub decided_by: Option<Place>,
    /// Whether the same request gets the same verdict at any other time, so that a connection may keep it for as
    /// long as neither policies nor context change.
    pub is_lasting: bool,
}

/// What rules of one effect say of a request.
#[derive(Clone, Copy, Default)]
struct Found {
    /// The first rule that applies; one that applies at any time goes before others.
    place: Option<Place>,
    /// Whether the place stays at any other time.
    is_lasting: bool,
    /// Whether a rule that does not apply may do so at another time.
    may_come: bool,
}

impl Policies {
    /// Makes documents ready for an account and a Region.
    pub fn new(documents: impl IntoIterator<Item = Arc<Document>>, scope: &Scope) -> Self {
        let mut policies = Self {
            documents: documents.into_iter().collect(),
            scope: scope.clone(),
            prefix: scope.prefix(),
            allowing: Rules::default(),
            denying: Rules::default(),
        };
        for (document, policy) in policies.documents.iter().enumerate() {
            for (number, statement) in policy.statements().iter().enumerate() {
                let place = Place {
                    document,
                    statement: number,
                };
                let rule = Rule::new(place, statement, scope);
                match statement.effect() {
                    Effect::Allow => policies.allowing.push(rule),
                    Effect::Deny => policies.denying.push(rule),
                }
            }
        }
        policies
    }

    /// Says what becomes of a request. The order of documents and statements makes no difference to that.
    pub fn evaluate(&self, request: &Request<'_>) -> Decision {
        let facts = self.facts(request);
        let denied = self.denying.find(&facts);
        if denied.place.is_some() {
            return Decision {
                verdict: Verdict::ExplicitDeny,
                decided_by: denied.place,
                is_lasting: denied.is_lasting,
            };
        }
        let allowed = self.allowing.find(&facts);
        let is_lasting = match allowed.place {
            Some(_) => allowed.is_lasting,
            None => !allowed.may_come,
        };
        Decision {
            verdict: match allowed.place {
                Some(_) => Verdict::Allowed,
                None => Verdict::ImplicitDeny,
            },
            decided_by: allowed.place,
            is_lasting: is_lasting && !denied.may_come,
        }
    }

    /// The statement at a place that this has named.
    pub fn statement(&self, place: Place) -> Option<&Statement> {
        let document = self.documents.get(place.document)?;
        document.statements().get(place.statement)
    }

    /// The smallest statement that allows a request, unless another one denies it: JSON, on one line.
    pub fn smallest_grant(&self, request: &Request<'_>) -> String {
        let resource = match request.resource {
            "*" => "*".to_owned(),
            resource => format!("{}{}", self.prefix, escaped(resource)),
        };
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            r#"{{"Effect": "Allow", "Action": {}, "Resource": {}}}"#,
            quoted(request.action.name()),
            quoted(&resource)
        )
    }

    /// The variables and keys in statements about the action of a request, by name, with what they stand for;
    /// `None` for those that the request has no value for.
    pub fn variables(&self, request: &Request<'_>) -> Vec<(String, Option<String>)> {
        let facts = self.facts(request);
        let mut found = BTreeMap::new();
        let statements = self.all_statements().map(|(_, statement)| statement);
        for statement in statements.filter(|s| s.actions.contains(request.action)) {
            for key in statement.keys() {
                let values = key.values(&facts);
                let texts: Vec<_> = values.iter().map(|value| value.text()).collect();
                let value = (!texts.is_empty()).then(|| texts.join(", "));
                found.insert(key.to_string(), value);
            }
        }
        found.into_iter().collect()
    }

    /// All of them, with their places.
    pub(super) fn all_statements(&self) -> impl Iterator<Item = (Place, &Statement)> {
        let documents = self.documents.iter().enumerate();
        documents.flat_map(|(document, policy)| {
            let statements = policy.statements().iter().enumerate();
            statements.map(move |(statement, found)| {
                let place = Place {
                    document,
                    statement,
                };
                (place, found)
            })
        })
    }

    pub(super) fn facts<'a>(&'a self, request: &'a Request<'a>) -> Facts<'a> {
        Facts {
            request,
            prefix: &self.prefix,
        }
    }
}

impl Statement {
    /// The names in it that a request may have values for.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let of_resources = self.resources.iter().flat_map(Template::variables);
        let of_conditions = self.conditions.iter();
        let of_conditions =
            of_conditions.flat_map(|condition| condition.variables().chain([&condition.key]));
        of_resources.chain(of_conditions)
    }
}

impl Rules {
    fn push(&mut self, mut rule: Rule) {
        let number = self.rules.len();
        if let Some(patterns) = rule.resources.take_plain() {
            rule.is_plain = true;
            for pattern in &patterns {
                self.index.insert(pattern, number);
            }
        } else {
            self.direct.push(number);
        }
        self.rules.push(rule);
    }

    fn find(&self, facts: &Facts<'_>) -> Found {
        let mut found = Found::default();
        let mut numbers = SmallVec::<[usize; 16]>::from_slice(&self.direct);
        // Only a `*` is about no one thing, and that is no plain pattern (AWS-ID-57).
        if facts.request.resource != "*" {
            let substitute = |key: &Key| key.substitute(facts);
            self.index
                .visit(facts.request.resource, substitute, |number| {
                    numbers.push(number)
                });
        }
        numbers.sort_unstable();
        numbers.dedup();
        for rule in numbers.iter().map(|&number| &self.rules[number]) {
            match rule.applies(facts) {
                (true, true) => {
                    return Found {
                        place: Some(rule.place),
                        is_lasting: true,
                        may_come: false,
                    };
                }
                (true, false) => {
                    found.place.get_or_insert(rule.place);
                }
                (false, is_lasting) => found.may_come |= !is_lasting,
            }
        }
        found
    }
}

impl Rule {
    fn new(place: Place, statement: &Statement, scope: &Scope) -> Self {
        let resources = Resources::new(statement, scope);
        let conditions = statement.conditions.iter();
        let conditions = conditions.map(|condition| condition.localized(scope));
        let (timed, lasting): (Vec<_>, Vec<_>) = conditions.partition(Condition::is_timed);
        Self {
            place,
            actions: statement.actions,
            are_resources_timed: resources.is_timed(),
            is_plain: false,
            resources,
            lasting,
            timed,
        }
    }

    /// Whether it applies to a request whose resource fits, if it has plain patterns, and whether it does or does not at any other time.
    fn applies(&self, facts: &Facts<'_>) -> (bool, bool) {
        if !self.actions.contains(facts.request.action) {
            return (false, true);
        }
        let is_about = self.is_plain || self.resources.apply(facts);
        if !is_about && !self.are_resources_timed {
            return (false, true);
        }
        if !self.lasting.iter().all(|condition| condition.holds(facts)) {
            return (false, true);
        }
        let holds = self.timed.iter().all(|condition| condition.holds(facts));
        let is_lasting = self.timed.is_empty() && !self.are_resources_timed;
        (is_about && holds, is_lasting)
    }
}

/// A text that a resource of a policy takes literally (AWS-ID-61).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' => escaped.push_str("${*}"),
            '?' => escaped.push_str("${?}"),
            '$' if characters.peek() == Some(&'{') => escaped.push_str("${$}"),
            other => escaped.push(other),
        }
    }
    escaped
}
