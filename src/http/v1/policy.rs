//! `GET /v1/policy/explain`: what a client may do, and why.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::auth::Principal;
use crate::aws::authority::{self, Check, Client, Deed, Explanation};
use crate::broker::{ClientSnapshot, PartBounds};
use crate::policy::{Action, Context, Verdict};

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::{ApiError, excerpt};
use super::super::query::Parameters;

const KNOWN: [&str; 8] = [
    "client",
    "certificate",
    "access_key",
    "action",
    "resource",
    "retain",
    "persistent",
    "will_topic",
];

const NO_SUBSCRIPTIONS: PartBounds = PartBounds { count: 0, bytes: 0 };

#[derive(Serialize)]
struct Explained {
    /// None for a call that a client has nothing to do with.
    client: Option<String>,
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
    /// Statements that almost allow what none allows.
    near_misses: Vec<NearMiss>,
    would_be_allowed_by: Option<Statement>,
}

#[derive(Serialize)]
struct Decider {
    policy: String,
    statement: usize,
    sid: Option<String>,
    /// The statement itself, if the policy is in the registry.
    text: Option<Statement>,
}

/// A statement in the order in which people write one.
struct Statement(Map<String, Value>);

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const ORDER: [&str; 7] = [
            "Sid",
            "Effect",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        let members = ORDER
            .into_iter()
            .filter_map(|name| Some((name, self.0.get(name)?)));
        serializer.collect_map(members)
    }
}

#[derive(Serialize)]
struct NearMiss {
    #[serde(flatten)]
    statement: Decider,
    why: String,
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
    let id = parameters.text("client");
    let named = named(parameters)?;
    if named.is_none() || !is_call(parameters) {
        required(parameters, "client")?;
    }
    let deed = deed(parameters, id.unwrap_or_default())?;
    let now = api.engine.clock.now().now;
    let authority = api.host.authority();
    let session = id.and_then(|id| api.engine.broker.find(id));
    let session = session.and_then(|session| session.snapshot(NO_SUBSCRIPTIONS, now));
    let connected = session
        .as_ref()
        .map(|session| (session.principal.clone(), source(id, Some(session))));
    let refused = id.and_then(|id| authority?.refusals().last_of(id));
    let (principal, mut source) = match named {
        None => connected.or(refused).ok_or_else(|| {
            let error = format!(
                "client '{}' has no session, and nothing was refused to it lately: its certificate has to be named",
                excerpt(id.unwrap_or_default())
            );
            ApiError::not_found(error).at("certificate")
        })?,
        Some(named) => {
            let known = [connected, refused].into_iter().flatten();
            let found = known.into_iter().find(|(principal, _)| *principal == named);
            found.unwrap_or_else(|| (named, source(id, session.as_ref())))
        }
    };
    if let Deed::Call { .. } = deed {
        source.client_id = None;
    }
    let client = Client {
        principal: principal.clone(),
        source,
    };
    let explanation = match authority {
        Some(authority) => authority.explain(client, deed, now),
        None => Explanation::settled(true, "this broker has no registry, and so no policies"),
    };
    Ok(Explained::new(api, id, &principal, explanation))
}

/// Whom the request names.
fn named(parameters: &Parameters) -> Result<Option<Principal>, ApiError> {
    match (
        parameters.text("certificate"),
        parameters.text("access_key"),
    ) {
        (Some(_), Some(_)) => {
            let error = "certificate and access_key exclude each other";
            Err(ApiError::invalid("access_key", error))
        }
        // An ARN ends with the id.
        (Some(text), None) => {
            let id = text.rsplit('/').next().unwrap_or(text);
            Ok(Some(Principal::Certificate(id.into())))
        }
        (None, Some(id)) => Ok(Some(Principal::AccessKey(id.into()))),
        (None, None) => Ok(None),
    }
}

/// Whether it is asked about a call of the data plane.
fn is_call(parameters: &Parameters) -> bool {
    let action = parameters.text("action");
    action.is_some_and(|action| action.contains(':'))
}

/// Where the client comes from, as far as it is connected.
fn source(id: Option<&str>, session: Option<&ClientSnapshot>) -> Context {
    let facts = session.and_then(|session| session.facts.as_ref());
    let tls = facts.and_then(|facts| facts.tls());
    Context {
        client_id: id.map(str::to_owned),
        source_ip: facts
            .and_then(|facts| facts.peer().socket_addr())
            .map(|peer| peer.ip()),
        domain_name: tls.and_then(|tls| tls.sni.as_deref().map(str::to_owned)),
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
        other => call(other, parameters),
    }
}

/// A call of the data plane: an action of a policy, and what follows the account in an ARN.
fn call<'a>(action: &str, parameters: &'a Parameters) -> Result<Deed<'a>, ApiError> {
    let found: Option<Action> = action.parse().ok();
    let found = found.filter(|_| action.contains(':')).ok_or_else(|| {
        let error = format!(
            "'{}' is none of connect, publish, subscribe and receive, nor an action as iot:GetThingShadow",
            excerpt(action)
        );
        ApiError::invalid("action", error)
    })?;
    let (resource, wanted) = (required(parameters, "resource")?, found.resource_type());
    let named = resource.split_once('/').map_or(resource, |(kind, _)| kind);
    match named == wanted {
        true => Ok(Deed::Call {
            action: found,
            resource,
        }),
        false => {
            let error = format!("{found} is about `{wanted}`, not '{}'", excerpt(resource));
            Err(ApiError::invalid("resource", error))
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
    fn new(
        api: &Api,
        client: Option<&str>,
        principal: &Principal,
        explanation: Explanation,
    ) -> Self {
        Self {
            client: client.map(str::to_owned),
            principal: principal.name().map(str::to_owned),
            allowed: explanation.is_allowed,
            reason: explanation.reason,
            policies: explanation.policies,
            checks: (explanation.checks.into_iter())
                .map(|check| Step::new(api, check))
                .collect(),
        }
    }
}

impl Decider {
    fn new(api: &Api, found: authority::Decider) -> Self {
        let text = api.host.registry().and_then(|registry| {
            let policy = registry.state().get_policy(&found.policy).ok()?;
            let version = policy.versions.get(&policy.default_version)?;
            let mut document: Value = serde_json::from_str(&version.document).ok()?;
            let statement = match document.get_mut("Statement")?.take() {
                Value::Array(mut all) => all.get_mut(found.statement)?.take(),
                only => only,
            };
            match statement {
                Value::Object(members) => Some(Statement(members)),
                _ => None,
            }
        });
        Self {
            policy: found.policy,
            statement: found.statement,
            sid: found.sid,
            text,
        }
    }
}

impl Step {
    fn new(api: &Api, check: Check) -> Self {
        let grant = check.smallest_grant;
        let near = check.near_misses.into_iter();
        Self {
            action: check.action.name(),
            resource: check.resource,
            verdict: match check.verdict {
                Verdict::Allowed => "allowed",
                Verdict::ExplicitDeny => "explicit_deny",
                Verdict::ImplicitDeny => "implicit_deny",
            },
            decided_by: check.decided_by.map(|found| Decider::new(api, found)),
            near_misses: near
                .map(|(found, why)| NearMiss {
                    statement: Decider::new(api, found),
                    why,
                })
                .collect(),
            lasting: check.is_lasting,
            variables: check.variables.into_iter().collect(),
            would_be_allowed_by: grant
                .and_then(|grant| serde_json::from_str(&grant).ok())
                .map(Statement),
        }
    }
}
