//! Calls of whom an authorizer lets in (AWS-AUTH-02).

use std::sync::Arc;
use std::time::Instant;

use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::aws::authorizer::{Evidence, Http, Question, headers_of, question};
use crate::broker::access::Authorization;
use crate::net::ask_authorizer;

use super::super::Api;
use super::super::arrival::Arrival;
use super::refusal::Refusal;

/// Bytes of headers beyond which nothing is kept: nobody accounts for them.
const KEPT_MAX: usize = 16 * 1024;

/// What an authorizer said of a request, for those behind it on the same connection that present the same.
pub(in crate::http) struct Kept {
    shown: Shown,
    authorization: Arc<Authorization>,
    until: Instant,
}

/// What a request has presented.
#[derive(Clone, PartialEq)]
struct Shown {
    authorizer: String,
    /// The token, if there was one.
    keys: Vec<String>,
    headers: Vec<(String, String)>,
}

impl Shown {
    fn size(&self) -> usize {
        let headers = self.headers.iter();
        headers.map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// What the authorizer of a request says of who makes it.
///
/// # Errors
///
/// 403 if that is not let in, whatever the reason.
pub(super) async fn authorize(
    api: &Api,
    id: Uuid,
    parts: &Parts,
    arrival: Option<&Arrival>,
) -> Result<Arc<Authorization>, Refusal> {
    let headers = headers(parts);
    let asked = ask(api, id, parts, &headers, arrival)?;
    let keeper = arrival.filter(|_| asked.is_kept);
    let shown = Shown {
        authorizer: asked.authorizer.clone(),
        keys: asked.keys.clone(),
        headers,
    };
    let now = api.engine.clock.now().live;
    if let Some(kept) = keeper.and_then(|arrival| arrival.kept(&shown, now)) {
        return Ok(kept);
    }
    let _place = api.host.place_to_wait()?;
    let said = ask_authorizer(&api.engine, &api.host.functions, asked).await;
    let authorization = Arc::new(said.map_err(|why| refuse(arrival, &why))?);
    if let (Some(arrival), Some(lasts)) = (keeper, authorization.refresh_after)
        && shown.size() <= KEPT_MAX
    {
        *arrival.kept.lock() = Some(Kept {
            shown,
            authorization: authorization.clone(),
            until: now + lasts,
        });
    }
    Ok(authorization)
}

impl Arrival {
    /// What was said of an earlier request that had presented the same, while that holds.
    fn kept(&self, shown: &Shown, now: Instant) -> Option<Arc<Authorization>> {
        let kept = self.kept.lock();
        let kept = kept.as_ref();
        let kept = kept.filter(|kept| kept.until > now && kept.shown == *shown)?;
        Some(kept.authorization.clone())
    }
}

/// The question that a request raises.
fn ask(
    api: &Api,
    id: Uuid,
    parts: &Parts,
    headers: &[(String, String)],
    arrival: Option<&Arrival>,
) -> Result<Question, Refusal> {
    let tls = arrival.filter(|arrival| arrival.is_tls());
    let evidence = Evidence {
        server_name: tls.map(|arrival| arrival.sni.as_deref()),
        http: Some(Http {
            headers,
            query: parts.uri.query().unwrap_or_default(),
        }),
        mqtt: None,
        connection: id.to_string(),
    };
    let state = api.host.required()?.state();
    question(&state, &evidence).map_err(|why| refuse(arrival, &why))
}

/// All headers but the length, which is another one with each body.
fn headers(parts: &Parts) -> Vec<(String, String)> {
    let mut headers = headers_of(&parts.headers);
    headers.retain(|(name, _)| *name != CONTENT_LENGTH.as_str());
    headers
}

/// Refuses a call, and says so in the log.
fn refuse(arrival: Option<&Arrival>, why: &str) -> Refusal {
    if let Some(arrival) = arrival {
        let (listener, peer) = (arrival.entrance.listener(), arrival.peer);
        tracing::info!(listener, %peer, "call refused: {why}");
    }
    Refusal::forbidden(why)
}
