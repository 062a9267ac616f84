//! Whether a call was signed with an access key of the configuration (AWS-API-47).

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};

use crate::auth::sigv4::{Claim, Refused, Request};
use crate::config::Config;

use super::refusal::Refusal;

/// Checks the signature of a call, if there are access keys to check it by.
///
/// # Errors
///
/// 403 with the exception that the service has for it.
pub(super) fn check(config: &Config, parts: &Parts, body: &[u8], now: i64) -> Result<(), Refusal> {
    if config.access_keys.is_empty() {
        return Ok(());
    }
    let headers = parts.headers.iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let headers: Vec<_> = headers.collect();
    let request = Request {
        method: Method::as_str(&parts.method),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
        body,
    };
    verify(config, &request, now).map_err(refusal)
}

fn verify(config: &Config, request: &Request<'_>, now: i64) -> Result<(), Refused> {
    let claim = Claim::of(request)?.ok_or(Refused::Missing)?;
    let mut keys = config.access_keys.iter();
    let key = keys.find(|key| key.id == claim.access_key_id);
    claim.verify(request, &key.ok_or(Refused::UnknownKey)?.secret, now)
}

fn refusal(refused: Refused) -> Refusal {
    let name = match refused {
        Refused::Missing => "ForbiddenException",
        Refused::Incomplete => "IncompleteSignatureException",
        Refused::UnknownKey => "UnrecognizedClientException",
        Refused::Expired | Refused::Wrong => "InvalidSignatureException",
    };
    Refusal::new(StatusCode::FORBIDDEN, name, refused.to_string())
}
