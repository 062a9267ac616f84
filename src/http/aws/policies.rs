//! Policies and their versions (AWS-API-15 to -18).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::registry::{Draft, Policy, Resource, State};

use super::call::{Call, Tag, by_key, listed, seconds, with_marker};
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 9] = [
    Operation::change("CreatePolicy", "POST /policies/{policyName}", create_policy),
    Operation::read("GetPolicy", "GET /policies/{policyName}", get_policy),
    Operation::change(
        "DeletePolicy",
        "DELETE /policies/{policyName}",
        delete_policy,
    )
    .differs("A policy that was detached can be deleted at once."),
    Operation::read("ListPolicies", "GET /policies", list_policies),
    Operation::change(
        "CreatePolicyVersion",
        "POST /policies/{policyName}/version",
        create_policy_version,
    ),
    Operation::read(
        "GetPolicyVersion",
        "GET /policies/{policyName}/version/{policyVersionId}",
        get_policy_version,
    ),
    Operation::read(
        "ListPolicyVersions",
        "GET /policies/{policyName}/version",
        list_policy_versions,
    ),
    Operation::change(
        "SetDefaultPolicyVersion",
        "PATCH /policies/{policyName}/version/{policyVersionId}",
        set_default_policy_version,
    ),
    Operation::change(
        "DeletePolicyVersion",
        "DELETE /policies/{policyName}/version/{policyVersionId}",
        delete_policy_version,
    ),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    policy_document: String,
    tags: Option<Vec<Tag>>,
}

/// A policy as lists name it.
pub(super) fn named(state: &State, policy: &Policy) -> Value {
    json!({ "policyName": policy.name, "policyArn": arn(state, &policy.name) })
}

/// The ARN of a policy.
pub(super) fn arn(state: &State, name: &str) -> String {
    state.arn(&Resource::Policy(name.to_owned()))
}

fn create_policy(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Body = call.body()?;
    let document = body.policy_document;
    let policy = draft.create_policy(call.path("policyName"), &document, by_key(body.tags))?;
    Ok(json!({
        "policyName": policy.name,
        "policyArn": arn(draft, &policy.name),
        "policyDocument": document,
        "policyVersionId": policy.default_version.to_string(),
    }))
}

fn get_policy(state: &State, call: &Call) -> Answered {
    let policy = state.get_policy(call.path("policyName"))?;
    let version = policy.versions.get(&policy.default_version);
    Ok(json!({
        "policyName": policy.name,
        "policyArn": arn(state, &policy.name),
        "policyDocument": version.map(|version| &*version.document),
        "defaultVersionId": policy.default_version.to_string(),
        "creationDate": seconds(policy.created),
        "lastModifiedDate": seconds(policy.modified),
        "generationId": policy.generation,
    }))
}

fn delete_policy(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.delete_policy(call.path("policyName"))?;
    Ok(Value::Null)
}

fn list_policies(state: &State, call: &Call) -> Answered {
    let policies = state.list_policies(call.dated_page()?)?;
    let policies = policies.map(|policy| named(state, &policy));
    Ok(listed(with_marker("policies"), policies))
}

fn create_policy_version(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Body = call.body()?;
    let (name, is_default) = (call.path("policyName"), call.flag("setAsDefault")?);
    let number = draft.create_policy_version(name, &body.policy_document, is_default)?;
    Ok(json!({
        "policyArn": arn(draft, name),
        "policyDocument": body.policy_document,
        "policyVersionId": number.to_string(),
        "isDefaultVersion": is_default,
    }))
}

/// The number of the version that a call is about.
fn version_id(call: &Call) -> Result<u64, Refusal> {
    let text = call.path("policyVersionId");
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        let constraint = "satisfy regular expression pattern: [0-9]+";
        return Err(Refusal::constraint(
            "policyVersionId",
            Some(text),
            constraint,
        ));
    }
    // None has a number as large as that.
    Ok(text.parse().unwrap_or(u64::MAX))
}

fn get_policy_version(state: &State, call: &Call) -> Answered {
    let (name, number) = (call.path("policyName"), version_id(call)?);
    let policy = state.get_policy(name)?;
    let version = policy.versions.get(&number).ok_or_else(|| {
        Refusal::not_found(format!("Version {number} of policy {name} not found."))
    })?;
    Ok(json!({
        "policyArn": arn(state, name),
        "policyName": name,
        "policyDocument": &*version.document,
        "policyVersionId": number.to_string(),
        "isDefaultVersion": policy.default_version == number,
        "creationDate": seconds(version.created),
        "lastModifiedDate": seconds(version.created),
        "generationId": policy.generation,
    }))
}

fn list_policy_versions(state: &State, call: &Call) -> Answered {
    let policy = state.get_policy(call.path("policyName"))?;
    // The newest first.
    let versions = policy.versions.iter().rev().map(|(number, version)| {
        json!({
            "versionId": number.to_string(),
            "isDefaultVersion": policy.default_version == *number,
            "createDate": seconds(version.created),
        })
    });
    Ok(json!({ "policyVersions": versions.collect::<Vec<_>>() }))
}

fn set_default_policy_version(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.set_default_policy_version(call.path("policyName"), version_id(call)?)?;
    Ok(Value::Null)
}

fn delete_policy_version(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.delete_policy_version(call.path("policyName"), version_id(call)?)?;
    Ok(Value::Null)
}
