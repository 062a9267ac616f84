//! `GET /v1/refusals`: what clients and callers were refused lately, for want of a right. Operations that are not
//! implemented are listed at `/v1/refused-calls`.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::auth::Principal;
use crate::aws::refusals::Refusal;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::Parameters;

#[derive(Serialize)]
struct Shown {
    /// Counted from 1 since the broker began.
    number: u64,
    at_ms: u64,
    /// When the same was refused to the same client first.
    first_at_ms: u64,
    count: u64,
    client_id: Option<String>,
    /// `certificate`, `access_key`, `authorizer`, `user`, `program` or `none`.
    principal_kind: &'static str,
    principal: Option<String>,
    source_ip: Option<IpAddr>,
    action: Box<str>,
    resource: Box<str>,
    retain: bool,
    persistent: bool,
    will_topic: Option<Box<str>>,
    why: Box<str>,
    /// The query of `/v1/policy/explain` that asks about it, if policies refused it.
    explain: Option<String>,
}

/// The last ones, the latest first.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["client", "limit", "q"])?;
    let limit = parameters.limit()?;
    super::registry::required(&api)?;
    let authority = api.host.authority();
    let (client, q) = (parameters.text("client"), parameters.text("q"));
    let found = authority.map(|one| one.refusals().list(client, q, limit));
    let (refusals, total) = found.unwrap_or_default();
    let shown = refusals.into_iter().map(Shown::from);
    Answer::list("refusals", shown, total, api.engine.broker.budget())
}

impl From<Refusal> for Shown {
    fn from(refusal: Refusal) -> Self {
        Self {
            number: refusal.number,
            at_ms: refusal.last,
            first_at_ms: refusal.first,
            count: refusal.count,
            explain: explain(&refusal),
            client_id: refusal.source.client_id,
            principal_kind: match &refusal.principal {
                Principal::Anonymous => "none",
                Principal::Certificate(_) => "certificate",
                Principal::AccessKey(_) => "access_key",
                Principal::Authorized(_) => "authorizer",
                Principal::User(_) => "user",
                Principal::Program => "program",
            },
            principal: refusal.principal.name().map(str::to_owned),
            source_ip: refusal.source.source_ip,
            action: refusal.action,
            resource: refusal.resource,
            retain: refusal.retain,
            persistent: refusal.persistent,
            will_topic: refusal.will_topic,
            why: refusal.why,
        }
    }
}

/// What asks about it. What an authorizer said is not known any more.
fn explain(refusal: &Refusal) -> Option<String> {
    let is_known = refusal.is_by_policy && refusal.is_whole;
    let (certificate, access_key) = match &refusal.principal {
        Principal::Authorized(_) => return None,
        Principal::Certificate(id) => (Some(&**id), None),
        Principal::AccessKey(id) => (None, Some(&**id)),
        _ => (None, None),
    };
    let flag = |is_set: bool| is_set.then_some("true");
    let all = [
        ("client", refusal.source.client_id.as_deref()),
        ("certificate", certificate),
        ("access_key", access_key),
        ("action", Some(&*refusal.action)),
        ("resource", Some(&*refusal.resource)),
        ("retain", flag(refusal.retain)),
        ("persistent", flag(refusal.persistent)),
        ("will_topic", refusal.will_topic.as_deref()),
    ];
    let given = all.into_iter().filter_map(|(name, value)| {
        let value = utf8_percent_encode(value?, NON_ALPHANUMERIC);
        Some(format!("{name}={value}"))
    });
    is_known.then(|| given.collect::<Vec<_>>().join("&"))
}
