//! What policies would say: TestAuthorization and GetEffectivePolicies (AWS-API-24, AWS-POL-29).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::aws::registry::{PolicyFact, Resource, State, Timestamp};
use crate::aws::subject::Subject;
use crate::policy::{Action, Context, Policies, Request, Scope, Verdict};
use crate::time::whole_seconds;

use super::call::Call;
use super::host::Host;
use super::operation::{Answered, Operation};
use super::policies;
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 2] = [
    Operation::work(
        "TestAuthorization",
        "POST /test-authorization",
        test_authorization,
    )
    .differs("A principal is a certificate or a thing group; there are no Cognito identities."),
    Operation::work(
        "GetEffectivePolicies",
        "POST /effective-policies",
        get_effective_policies,
    )
    .differs("A principal is a certificate or a thing group; there are no Cognito identities."),
];

/// Questions of one call, and resources of each.
const QUESTIONS_MAX: usize = 10;
const RESOURCES_MAX: usize = 100;

/// Policies that are taken as attached.
const ADDED_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestBody {
    principal: Option<String>,
    cognito_identity_pool_id: Option<String>,
    auth_infos: Vec<AuthInfo>,
    #[serde(default)]
    policy_names_to_add: Vec<String>,
    #[serde(default)]
    policy_names_to_skip: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthInfo {
    action_type: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EffectiveBody {
    principal: Option<String>,
    cognito_identity_pool_id: Option<String>,
}

/// Whoever is asked about: its policies, and what is known of it.
fn subject(
    state: &State,
    principal: Option<&str>,
    client_id: Option<&str>,
    now: Timestamp,
) -> Result<(Vec<PolicyFact>, Context), Refusal> {
    let source = Context {
        client_id: client_id.map(str::to_owned),
        ..Context::default()
    };
    let Some(principal) = principal else {
        return Ok((Vec::new(), source));
    };
    match Resource::parse(principal, state.scope())? {
        Resource::Certificate(id) => {
            let subject = Subject::of_certificate(state, &id, source, now);
            let subject = subject
                .ok_or_else(|| Refusal::not_found(format!("Certificate {id} not found.")))?;
            Ok((subject.policies, subject.context))
        }
        Resource::ThingGroup(name) => {
            state.describe_thing_group(&name)?;
            let names: BTreeSet<_> = state
                .lineage(&name)
                .flat_map(|group| &group.policies)
                .collect();
            let policies = names.into_iter();
            let policies = policies.filter_map(|name| state.policy_in_force(name));
            Ok((policies.collect(), source))
        }
        _ => Err(Refusal::invalid(format!(
            "{principal} is no principal: certificates and thing groups are."
        ))),
    }
}

fn refuse_cognito(pool: Option<&str>) -> Result<(), Refusal> {
    match pool {
        None => Ok(()),
        Some(_) => Err(Refusal::invalid(
            "cognitoIdentityPoolId: there are no Cognito identities here.",
        )),
    }
}

fn get_effective_policies(host: &Host, call: &Call) -> Answered {
    let body: EffectiveBody = call.body()?;
    refuse_cognito(body.cognito_identity_pool_id.as_deref())?;
    let state = host.required()?.state();
    let thing = call.text("thingName");
    if let Some(name) = thing {
        state.describe_thing(name)?;
    }
    // A thing connects under its own name unless it says otherwise.
    let (facts, _) = subject(&state, body.principal.as_deref(), thing, host.now())?;
    let effective = facts.iter().map(|fact| {
        let policy = state.get_policy(&fact.name)?;
        let document = policy.versions.get(&fact.version);
        Ok::<_, Refusal>(json!({
            "policyName": fact.name,
            "policyArn": policies::arn(&state, &fact.name),
            "policyDocument": document.map(|version| &*version.document),
        }))
    });
    Ok(json!({ "effectivePolicies": effective.collect::<Result<Vec<_>, _>>()? }))
}

fn test_authorization(host: &Host, call: &Call) -> Answered {
    let body: TestBody = call.body()?;
    refuse_cognito(body.cognito_identity_pool_id.as_deref())?;
    if body.principal.is_none() && body.policy_names_to_add.is_empty() {
        return Err(Refusal::missing("principal"));
    }
    let constraint = format!("have length between 1 and {QUESTIONS_MAX}");
    if !(1..=QUESTIONS_MAX).contains(&body.auth_infos.len()) {
        return Err(Refusal::constraint("authInfos", None, &constraint));
    }
    if body.policy_names_to_add.len() > ADDED_MAX {
        let constraint = format!("have length less than or equal to {ADDED_MAX}");
        return Err(Refusal::constraint("policyNamesToAdd", None, &constraint));
    }
    let state = host.required()?.state();
    let client_id = call.text("clientId");
    let (mut facts, context) = subject(&state, body.principal.as_deref(), client_id, host.now())?;
    for name in &body.policy_names_to_add {
        let added = state.policy_in_force(name);
        let added = added.ok_or_else(|| Refusal::not_found(format!("Policy {name} not found.")))?;
        facts.push(added);
    }
    facts.retain(|fact| !body.policy_names_to_skip.contains(&fact.name));
    facts.sort_by(|one, other| one.name.cmp(&other.name));
    facts.dedup_by(|one, other| one.name == other.name);
    let test = Test::new(&state, &facts, &context, host.now());
    let results = body.auth_infos.into_iter();
    let results = results.map(|info| test.result(info, client_id));
    Ok(json!({ "authResults": results.collect::<Result<Vec<_>, _>>()? }))
}

/// Policies that are tested: all together, and each by itself to tell what it has to do with it.
struct Test<'a> {
    state: &'a State,
    context: &'a Context,
    seconds: i64,
    all: Policies,
    each: Vec<(&'a str, Policies)>,
}

/// What becomes of all resources of a question together: the worst that becomes of one.
fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Allowed => 0,
        Verdict::ImplicitDeny => 1,
        Verdict::ExplicitDeny => 2,
    };
    verdicts.max_by_key(rank).unwrap_or(Verdict::ImplicitDeny)
}

impl<'a> Test<'a> {
    fn new(
        state: &'a State,
        facts: &'a [PolicyFact],
        context: &'a Context,
        now: Timestamp,
    ) -> Self {
        let scope = state.scope();
        let documents = facts.iter().map(|fact| Arc::clone(&fact.document));
        let each = facts.iter().map(|fact| {
            let alone = Policies::new([Arc::clone(&fact.document)], scope);
            (&*fact.name, alone)
        });
        Self {
            state,
            context,
            seconds: whole_seconds(now),
            all: Policies::new(documents, scope),
            each: each.collect(),
        }
    }

    fn result(&self, info: AuthInfo, client_id: Option<&str>) -> Answered {
        let (action, resources) = question(&info, client_id, self.state.scope())?;
        let requests = resources.iter().map(|resource| Request {
            time: Some(self.seconds),
            ..Request::new(action, resource, self.context)
        });
        let requests: Vec<_> = requests.collect();
        let verdict = |policies: &Policies| {
            worst(
                requests
                    .iter()
                    .map(|request| policies.evaluate(request).verdict),
            )
        };
        let mut by_verdict =
            BTreeMap::from([("allow", vec![]), ("deny", vec![]), ("none", vec![])]);
        for (name, alone) in &self.each {
            // One that allows something has a part in it, even if not all.
            let mut verdicts = requests
                .iter()
                .map(|request| alone.evaluate(request).verdict);
            let kind = match verdict(alone) {
                Verdict::ExplicitDeny => "deny",
                _ if verdicts.any(|one| one == Verdict::Allowed) => "allow",
                _ => "none",
            };
            let named = json!({ "policyName": name, "policyArn": policies::arn(self.state, name) });
            by_verdict.entry(kind).or_default().push(named);
        }
        let decision = match verdict(&self.all) {
            Verdict::Allowed => "ALLOWED",
            Verdict::ExplicitDeny => "EXPLICIT_DENY",
            Verdict::ImplicitDeny => "IMPLICIT_DENY",
        };
        let variables = requests
            .iter()
            .flat_map(|request| self.all.variables(request));
        let missing = variables.filter(|(_, value)| value.is_none());
        let missing: BTreeSet<_> = missing.map(|(name, _)| name).collect();
        Ok(json!({
            "authInfo": info,
            "allowed": { "policies": by_verdict["allow"] },
            "denied": {
                "implicitDeny": { "policies": by_verdict["none"] },
                "explicitDeny": { "policies": by_verdict["deny"] },
            },
            "authDecision": decision,
            "missingContextValues": missing,
        }))
    }
}

/// What is asked: the action, and its resources without what an ARN has before them.
fn question(
    info: &AuthInfo,
    client_id: Option<&str>,
    scope: &Scope,
) -> Result<(Action, Vec<String>), Refusal> {
    let action = match info.action_type.as_deref() {
        Some("PUBLISH") => Action::Publish,
        Some("SUBSCRIBE") => Action::Subscribe,
        Some("RECEIVE") => Action::Receive,
        Some("CONNECT") => Action::Connect,
        other => {
            return Err(Refusal::constraint(
                "authInfos.member.actionType",
                other,
                "satisfy enum value set: [PUBLISH, SUBSCRIBE, RECEIVE, CONNECT]",
            ));
        }
    };
    let member = "authInfos.member.resources";
    let mut resources = Vec::new();
    for arn in &info.resources {
        resources.push(resource(arn, action, scope)?);
    }
    if let (Action::Connect, Some(client_id), []) = (action, client_id, &*resources) {
        resources.push(format!("client/{client_id}"));
    }
    match resources.len() {
        1..=RESOURCES_MAX => Ok((action, resources)),
        0 => Err(Refusal::missing(member)),
        _ => {
            let constraint = format!("have length less than or equal to {RESOURCES_MAX}");
            Err(Refusal::constraint(member, None, &constraint))
        }
    }
}

/// The resource of an ARN that an action can be about.
fn resource(arn: &str, action: Action, scope: &Scope) -> Result<String, Refusal> {
    let (prefix, wanted) = (scope.prefix(), action.resource_type());
    let own = arn.strip_prefix(&prefix);
    let is_fitting = own.is_some_and(|own| {
        let name = own
            .strip_prefix(wanted)
            .and_then(|rest| rest.strip_prefix('/'));
        name.is_some_and(|name| !name.is_empty())
    });
    match own {
        Some(own) if is_fitting => Ok(own.to_owned()),
        _ => Err(Refusal::invalid(format!(
            "{arn} is nothing that {action} is about: {prefix}{wanted}/.."
        ))),
    }
}
