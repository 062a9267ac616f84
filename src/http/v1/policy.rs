//! `GET /v1/policy/explain`: what a client may do, and why.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use crate::auth::Principal;
use crate::aws::authority::{Check, Client, Deed, Explanation};
use crate::broker::{ClientSnapshot, PartBounds};
use crate::policy::{Context, Verdict};

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::{ApiError, excerpt};
use super::super::query::Parameters;

const KNOWN: [&str; 7] = [
    "client",
    "certificate",
    "action",
    "resource",
    "retain",
    "persistent",
    "will_topic",
];

const NO_SUBSCRIPTIONS: PartBounds = PartBounds { count: 0, bytes: 0 };

#[derive(Serialize)]
struct Explained {
    client: String,
    /// A certificate's or an access key's id, or a user's name; `None`: nobody in particular.
    principal: Option<String>,
    allowed: bool,
    /// Why, where no policy was asked.
    reason: Option<&'static str>,
    /// The names of those that bind the client.
    policies: Vec<String>,
    /// What the policies were asked, step by step.
    checks: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    action: &'static str,
    resource: String,
    verdict: &'static str,
    decided_by: Option<Decider>,
    /// Whether there is the same verdict at any other time.
    lasting: bool,
    /// `null` for what has no value.
    variables: BTreeMap<String, Option<String>>,
    would_be_allowed_by: Option<Value>,
}

#[derive(Serialize)]
struct Decider {
    policy: String,
    statement: usize,
    sid: Option<String>,
}

/// What would become of something that a client does now.
pub(super) async fn explain(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &KNOWN)?;
    let job = {
        let api = api.clone();
        move || {
            let explained = look_into(&api, &parameters)?;
            Answer::of(&explained, api.engine.broker.budget())
        }
    };
    api.jobs.run(job).await?
}

fn look_into(api: &Api, parameters: &Parameters) -> Result<Explained, ApiError> {
    let id = required(parameters, "client")?;
    let now = api.engine.clock.now().now;
    let session = api.engine.broker.find(id);
    let session = session.and_then(|session| session.snapshot(NO_SUBSCRIPTIONS, now));
    let certificate = parameters.text("certificate");
    // An ARN ends with the id.
    let certificate = certificate.map(|text| text.rsplit('/').next().unwrap_or(text));
    let principal = match (certificate, &session) {
        (Some(given), _) => Principal::Certificate(given.into()),
        (None, Some(session)) => session.principal.clone(),
        (None, None) => {
            let error = format!(
                "client '{}' has no session: its certificate has to be named",
                excerpt(id)
            );
            return Err(ApiError::not_found(error).at("certificate"));
        }
    };
    let client = Client {
        principal: principal.clone(),
        source: source(id, session.as_ref()),
    };
    let deed = deed(parameters, id)?;
    let explanation = match api.host.authority() {
        Some(authority) => authority.explain(client, deed, now),
        None => Explanation::settled(true, "this broker has no registry, and so no policies"),
    };
    Ok(Explained::new(id, &principal, explanation))
}

/// Where the client comes from, as far as it is connected.
fn source(id: &str, session: Option<&ClientSnapshot>) -> Context {
    let facts = session.and_then(|session| session.facts.as_ref());
    let tls = facts.and_then(|facts| facts.tls.as_ref());
    Context {
        client_id: Some(id.to_owned()),
        source_ip: facts
            .and_then(|facts| facts.peer.socket_addr())
            .map(|peer| peer.ip()),
        domain_name: tls.and_then(|tls| tls.sni.clone()),
        ..Context::default()
    }
}

fn required<'a>(parameters: &'a Parameters, name: &'static str) -> Result<&'a str, ApiError> {
    let text = parameters.text(name);
    text.ok_or_else(|| ApiError::invalid(name, format!("parameter '{name}' is missing")))
}

fn flag(parameters: &Parameters, name: &'static str) -> Result<bool, ApiError> {
    match parameters.text(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let error = format!("'{}' is neither true nor false", excerpt(other));
            Err(ApiError::invalid(name, error))
        }
    }
}

/// What is asked about.
fn deed<'a>(parameters: &'a Parameters, client_id: &'a str) -> Result<Deed<'a>, ApiError> {
    let retain = flag(parameters, "retain")?;
    match required(parameters, "action")? {
        "connect" => Ok(Deed::Connect {
            client_id: parameters.text("resource").unwrap_or(client_id),
            persistent: flag(parameters, "persistent")?,
            will: parameters.text("will_topic").map(|topic| (topic, retain)),
        }),
        "publish" => Ok(Deed::Publish {
            topic: required(parameters, "resource")?,
            retain,
        }),
        "subscribe" => Ok(Deed::Subscribe {
            filter: required(parameters, "resource")?,
        }),
        "receive" => Ok(receive(required(parameters, "resource")?)),
        other => {
            let error = format!(
                "'{}' is none of connect, publish, subscribe and receive",
                excerpt(other)
            );
            Err(ApiError::invalid("action", error))
        }
    }
}

/// A topic, or one through a group: `$share/NAME/TOPIC`.
fn receive(resource: &str) -> Deed<'_> {
    let shared = resource.strip_prefix("$share/");
    match shared.and_then(|shared| shared.split_once('/')) {
        Some((share, topic)) => Deed::Receive {
            topic,
            share: Some(share),
        },
        None => Deed::Receive {
            topic: resource,
            share: None,
        },
    }
}

impl Explained {
    fn new(client: &str, principal: &Principal, explanation: Explanation) -> Self {
        Self {
            client: client.to_owned(),
            principal: principal.name().map(str::to_owned),
            allowed: explanation.is_allowed,
            reason: explanation.reason,
            policies: explanation.policies,
            checks: explanation.checks.into_iter().map(Step::from).collect(),
        }
    }
}

impl From<Check> for Step {
    fn from(check: Check) -> Self {
        let grant = check.smallest_grant;
        Self {
            action: check.action.name(),
            resource: check.resource,
            verdict: match check.verdict {
                Verdict::Allowed => "allowed",
                Verdict::ExplicitDeny => "explicit_deny",
                Verdict::ImplicitDeny => "implicit_deny",
            },
            decided_by: check.decided_by.map(|decider| Decider {
                policy: decider.policy,
                statement: decider.statement,
                sid: decider.sid,
            }),
            lasting: check.is_lasting,
            variables: check.variables.into_iter().collect(),
            would_be_allowed_by: grant.and_then(|grant| serde_json::from_str(&grant).ok()),
        }
    }
}
