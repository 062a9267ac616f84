//! Statements that would allow a request if something was otherwise.

use super::context::Request;
use super::document::{Effect, Statement};
use super::policies::{Place, Policies};
use super::resources::Resources;

/// Statements that are named, the nearest ones.
const MOST: usize = 8;

/// Resources of a statement that are named.
const NAMED: usize = 3;

/// A statement that allows the action of a request, and is kept from the request by something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// Which one.
    pub place: Place,
    /// What keeps it from the request, in words.
    pub why: String,
}

impl Policies {
    /// The statements that allow the action of a request but not the request, eight at most: those first that are
    /// kept from it by one thing alone, their resources or one condition.
    pub fn near_misses(&self, request: &Request<'_>) -> Vec<NearMiss> {
        let facts = self.facts(request);
        let mut found = Vec::new();
        for (place, statement) in self.all_statements() {
            if statement.effect() != Effect::Allow || !statement.actions.contains(request.action) {
                continue;
            }
            let is_about = Resources::new(statement, &self.scope).apply(&facts);
            let conditions = statement.conditions.iter();
            let failing = conditions.filter(|one| !one.localized(&self.scope).holds(&facts));
            let failing = failing.map(|one| format!("its condition on {} does not hold", one.key));
            let resources = (!is_about).then(|| resources_of(statement));
            let whys: Vec<_> = resources.into_iter().chain(failing).collect();
            if !whys.is_empty() {
                found.push((place, whys));
            }
        }
        found.sort_by_key(|(_, whys)| whys.len());
        let found = found.into_iter().take(MOST);
        found
            .map(|(place, whys)| NearMiss {
                place,
                why: whys.join(", and "),
            })
            .collect()
    }
}

/// That they are about something else, as the policy has them.
fn resources_of(statement: &Statement) -> String {
    let all = &statement.resources;
    let named: Vec<_> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match all.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (name, fits) = match statement.is_not_resource {
        true => ("NotResource", "excepts it"),
        false => ("Resource", "does not fit"),
    };
    format!("{name} {}{more} {fits}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PREFIX, policies};
    use super::super::{Action, Context};
    use super::*;

    #[test]
    fn statements_that_almost_allow_a_request_are_named_the_nearest_first() {
        let statements = [
            format!(r#"{{"Effect": "Allow", "Action": "iot:*", "Resource": "{PREFIX}topic/b", "Condition": {{"StringEquals": {{"iot:ClientId": "b"}}}}}}"#),
            format!(r#"{{"Effect": "Allow", "Action": "iot:Connect", "Resource": "{PREFIX}topic/a"}}"#),
            format!(r#"{{"Effect": "Deny", "Action": "iot:Publish", "Resource": "{PREFIX}topic/c"}}"#),
            format!(r#"{{"Effect": "Allow", "Action": "iot:Publish", "Resource": ["{PREFIX}topic/${{iot:ClientId}}/*", "{PREFIX}x"]}}"#),
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"iot:DomainName": "d"}}}"#.to_owned(),
            format!(r#"{{"Effect": "Allow", "Action": "*", "NotResource": "{PREFIX}topic/a"}}"#),
        ];
        let policies = policies(&statements.each_ref().map(String::as_str));
        let context = Context {
            client_id: Some("c".to_owned()),
            ..Context::default()
        };
        let misses = policies.near_misses(&Request::new(Action::Publish, "topic/a", &context));
        let found: Vec<_> = misses
            .iter()
            .map(|miss| (miss.place.document, miss.why.as_str()))
            .collect();
        let own = format!("Resource {PREFIX}topic/${{iot:ClientId}}/*, {PREFIX}x does not fit");
        let other = format!(
            "Resource {PREFIX}topic/b does not fit, and its condition on iot:ClientId does not hold"
        );
        let except = format!("NotResource {PREFIX}topic/a excepts it");
        assert_eq!(
            found,
            [
                (3, own.as_str()),
                (4, "its condition on iot:DomainName does not hold"),
                (5, except.as_str()),
                (0, other.as_str()),
            ]
        );
        let fits = Request::new(Action::Publish, "topic/c/d", &context);
        let fits = policies.near_misses(&fits);
        let found: Vec<_> = fits.iter().map(|miss| miss.place.document).collect();
        assert_eq!(found, [4, 0], "those that allow it are none");
    }
}
