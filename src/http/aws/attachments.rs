//! What is attached to what, by the calls of today and by those that came before (AWS-API-19 to -23).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::registry::{Draft, PrincipalType, Resource, State};

use super::call::{Call, listed, with_marker, with_token};
use super::operation::{Answered, Operation};
use super::policies::named;
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 14] = [
    Operation::change(
        "AttachPolicy",
        "PUT /target-policies/{policyName}",
        attach_policy,
    )
    .differs("Cognito identities are no targets."),
    Operation::change(
        "DetachPolicy",
        "POST /target-policies/{policyName}",
        detach_policy,
    ),
    Operation::read(
        "ListAttachedPolicies",
        "POST /attached-policies/{target}",
        list_attached_policies,
    ),
    Operation::read(
        "ListTargetsForPolicy",
        "POST /policy-targets/{policyName}",
        list_targets_for_policy,
    ),
    Operation::change(
        "AttachPrincipalPolicy",
        "PUT /principal-policies/{policyName}",
        attach_principal_policy,
    ),
    Operation::change(
        "DetachPrincipalPolicy",
        "DELETE /principal-policies/{policyName}",
        detach_principal_policy,
    ),
    Operation::read(
        "ListPrincipalPolicies",
        "GET /principal-policies",
        list_principal_policies,
    )
    .differs("The order is that of the names, whatever `isAscendingOrder` says."),
    Operation::read(
        "ListPolicyPrincipals",
        "GET /policy-principals",
        list_policy_principals,
    )
    .differs("The order is that of the ARNs, whatever `isAscendingOrder` says."),
    Operation::change(
        "AttachThingPrincipal",
        "PUT /things/{thingName}/principals",
        attach_thing_principal,
    ),
    Operation::change(
        "DetachThingPrincipal",
        "DELETE /things/{thingName}/principals",
        detach_thing_principal,
    )
    .differs("It has happened when it is answered."),
    Operation::read(
        "ListThingPrincipals",
        "GET /things/{thingName}/principals",
        list_thing_principals,
    ),
    Operation::read(
        "ListThingPrincipalsV2",
        "GET /things/{thingName}/principals-v2",
        list_thing_principals_v2,
    ),
    Operation::read(
        "ListPrincipalThings",
        "GET /principals/things",
        list_principal_things,
    ),
    Operation::read(
        "ListPrincipalThingsV2",
        "GET /principals/things-v2",
        list_principal_things_v2,
    ),
];

/// Where the calls about things name a principal (AWS-OPS-19).
const PRINCIPAL: &str = "x-amzn-principal";

/// Where the older calls about policies do.
const POLICY_PRINCIPAL: &str = "x-amzn-iot-principal";

/// Where one of those names a policy.
const POLICY: &str = "x-amzn-iot-policy";

#[derive(Deserialize)]
struct Body {
    target: String,
}

fn attach_policy(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Body = call.body()?;
    draft.attach_policy(call.path("policyName"), &body.target)?;
    Ok(Value::Null)
}

fn detach_policy(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Body = call.body()?;
    draft.detach_policy(call.path("policyName"), &body.target)?;
    Ok(Value::Null)
}

fn list_attached_policies(state: &State, call: &Call) -> Answered {
    let (target, is_recursive) = (call.path("target"), call.flag("recursive")?);
    let policies = state.list_attached_policies(target, is_recursive, call.marked_page()?)?;
    let policies = policies.map(|policy| named(state, &policy));
    Ok(listed(with_marker("policies"), policies))
}

fn list_targets_for_policy(state: &State, call: &Call) -> Answered {
    let targets = state.list_targets_for_policy(call.path("policyName"), call.marked_page()?)?;
    let targets = targets.map(|target| state.arn(&target));
    Ok(listed(with_marker("targets"), targets))
}

/// The principal of an older call: groups are none.
fn policy_principal<'a>(state: &State, call: &'a Call) -> Result<&'a str, Refusal> {
    let principal = call.header(POLICY_PRINCIPAL, "principal")?;
    match Resource::parse(principal, state.scope())? {
        Resource::Certificate(_) => Ok(principal),
        _ => Err(Refusal::invalid(format!(
            "{principal} is no principal: certificates are."
        ))),
    }
}

fn attach_principal_policy(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let principal = policy_principal(draft, call)?;
    draft.attach_policy(call.path("policyName"), principal)?;
    Ok(Value::Null)
}

fn detach_principal_policy(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let principal = policy_principal(draft, call)?;
    draft.detach_policy(call.path("policyName"), principal)?;
    Ok(Value::Null)
}

fn list_principal_policies(state: &State, call: &Call) -> Answered {
    let principal = policy_principal(state, call)?;
    let policies = state.list_attached_policies(principal, false, call.marked_page()?)?;
    let policies = policies.map(|policy| named(state, &policy));
    Ok(listed(with_marker("policies"), policies))
}

fn list_policy_principals(state: &State, call: &Call) -> Answered {
    let policy = call.header(POLICY, "policyName")?;
    let targets = state.list_targets_for_policy(policy, call.marked_page()?)?;
    let targets = targets.map(|target| state.arn(&target));
    Ok(listed(with_marker("principals"), targets))
}

/// `thingPrincipalType`
fn principal_type(call: &Call) -> Result<Option<PrincipalType>, Refusal> {
    match call.text("thingPrincipalType") {
        None => Ok(None),
        Some("EXCLUSIVE_THING") => Ok(Some(PrincipalType::ExclusiveThing)),
        Some("NON_EXCLUSIVE_THING") => Ok(Some(PrincipalType::NonExclusiveThing)),
        Some(other) => Err(Refusal::constraint(
            "thingPrincipalType",
            Some(other),
            "satisfy enum value set: [EXCLUSIVE_THING, NON_EXCLUSIVE_THING]",
        )),
    }
}

fn attach_thing_principal(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let principal = call.header(PRINCIPAL, "principal")?;
    let kind = principal_type(call)?.unwrap_or(PrincipalType::NonExclusiveThing);
    draft.attach_thing_principal(call.path("thingName"), principal, kind)?;
    Ok(Value::Null)
}

fn detach_thing_principal(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let principal = call.header(PRINCIPAL, "principal")?;
    draft.detach_thing_principal(call.path("thingName"), principal)?;
    Ok(Value::Null)
}

fn list_thing_principals(state: &State, call: &Call) -> Answered {
    let principals = state.list_thing_principals(call.path("thingName"), None, call.page()?)?;
    let principals = principals.map(|(arn, _)| arn);
    Ok(listed(with_token("principals"), principals))
}

fn list_thing_principals_v2(state: &State, call: &Call) -> Answered {
    let (thing, kind) = (call.path("thingName"), principal_type(call)?);
    let principals = state.list_thing_principals(thing, kind, call.page()?)?;
    let principals =
        principals.map(|(arn, kind)| json!({ "principal": arn, "thingPrincipalType": kind }));
    Ok(listed(with_token("thingPrincipalObjects"), principals))
}

fn list_principal_things(state: &State, call: &Call) -> Answered {
    let principal = call.header(PRINCIPAL, "principal")?;
    let things = state.list_principal_things(principal, None, call.page()?)?;
    Ok(listed(with_token("things"), things.map(|(name, _)| name)))
}

fn list_principal_things_v2(state: &State, call: &Call) -> Answered {
    let (principal, kind) = (call.header(PRINCIPAL, "principal")?, principal_type(call)?);
    let things = state.list_principal_things(principal, kind, call.page()?)?;
    let things =
        things.map(|(name, kind)| json!({ "thingName": name, "thingPrincipalType": kind }));
    Ok(listed(with_token("principalThingObjects"), things))
}
