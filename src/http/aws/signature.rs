//! Whether a call was signed with an access key of the configuration (AWS-API-47).

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};

use crate::auth::sigv4::{Refused, Request, as_text, verify};
use crate::config::Config;

use super::refusal::Refusal;

/// Checks the signature of a call. Returns the id of the access key.
///
/// # Errors
///
/// 403 with the exception that the service has for it.
pub(super) fn check(
    config: &Config,
    parts: &Parts,
    body: &[u8],
    now: i64,
) -> Result<Arc<str>, Refusal> {
    let headers = as_text(&parts.headers);
    let request = Request {
        method: Method::as_str(&parts.method),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
        body,
    };
    match verify(&config.access_keys, &request, now) {
        Ok(key) => Ok(key.id.as_str().into()),
        Err(refused) => Err(refusal(refused)),
    }
}

fn refusal(refused: Refused) -> Refusal {
    let name = match refused {
        Refused::Missing => "ForbiddenException",
        Refused::Incomplete => "IncompleteSignatureException",
        Refused::UnknownKey => "UnrecognizedClientException",
        Refused::Expired | Refused::Wrong => "InvalidSignatureException",
    };
    Refusal::new(StatusCode::FORBIDDEN, name, refused.text())
}
