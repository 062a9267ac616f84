//! `/v1/registry`: things, certificates and policies as a fleet document.
//!
//! A program that cannot open the file of a registry, because this broker has it, says with
//! [`REGISTRY`] which broker it takes this one for; `aws::registry::Holder` is how it knows.

use std::io;

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, HeaderName};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;

use crate::aws::registry::fleet::{self, Applied, Format, ImportError, Source};
use crate::aws::registry::{Error, Registry};

use super::super::Api;
use super::super::answer::Answer;
use super::super::body::{JsonBody, leave};
use super::super::error::ApiError;
use super::super::query::Parameters;

/// The token of the broker that a request is for.
pub(super) const REGISTRY: HeaderName = HeaderName::from_static("roundel-registry");

/// Bytes of a document: some ten thousand certificates.
const DOCUMENT_MAX: usize = 16 << 20;

const JSON: &str = "application/json";
const TOML: &str = "application/toml";

#[derive(Serialize)]
struct Imported {
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    kind: &'static str,
    name: String,
    created: bool,
}

impl From<Applied> for Change {
    fn from(applied: Applied) -> Self {
        Self {
            kind: applied.kind,
            name: applied.name,
            created: applied.is_new,
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        if let Error::InternalFailure(cause) = &error {
            tracing::error!("the registry did not take a change: {cause}");
        }
        let status = StatusCode::from_u16(error.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, error.to_string())
    }
}

/// Refuses a request that is for another broker.
pub(super) fn check_meant(api: &Api, headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(REGISTRY) {
        None => Ok(()),
        Some(token) if api.host.registry_token().map(str::as_bytes) == Some(token.as_bytes()) => {
            Ok(())
        }
        Some(_) => {
            let error = "this broker has not the registry that the request is about";
            Err(ApiError::new(StatusCode::CONFLICT, error).at(REGISTRY.as_str().to_owned()))
        }
    }
}

/// The registry of this broker.
pub(super) fn required(api: &Api) -> Result<&Registry, ApiError> {
    let registry = api.host.registry().map(AsRef::as_ref);
    registry.ok_or_else(|| {
        let error = "this broker has no registry (`registry` is off)";
        ApiError::new(StatusCode::CONFLICT, error)
    })
}

/// The whole registry, in JSON or, for who accepts only that, in TOML.
pub(super) async fn export(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Parameters::parse(&uri, &[])?;
    check_meant(&api, &headers)?;
    let (format, kind) = accepted(&headers);
    let job = {
        let api = api.clone();
        move || {
            let document = fleet::export(required(&api)?, format);
            let document = document
                .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
            Answer::written(document.as_bytes(), kind, api.engine.broker.budget())
        }
    };
    api.jobs.run(job).await?
}

fn accepted(headers: &HeaderMap) -> (Format, &'static str) {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    match accepted.is_some_and(|accepted| accepted.trim().eq_ignore_ascii_case(TOML)) {
        true => (Format::Toml, TOML),
        false => (Format::Json, JSON),
    }
}

/// Makes the registry what a document says.
pub(super) async fn import(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let checked = Parameters::parse(request.uri(), &[])
        .and_then(|_| check_meant(&api, request.headers()))
        .and_then(|()| required(&api).map(drop));
    if let Err(error) = checked {
        leave(request.into_body(), &api);
        return Err(error);
    }
    let body = JsonBody::read(request, &api, DOCUMENT_MAX).await?;
    let job = {
        let api = api.clone();
        move || {
            let changes = apply(&api, &body)?;
            Answer::of(&Imported { changes }, api.engine.broker.budget())
        }
    };
    api.host.changes.run(job).await?
}

fn apply(api: &Api, body: &JsonBody) -> Result<Vec<Change>, ApiError> {
    let text = std::str::from_utf8(body.bytes())
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let source = Source {
        text,
        format: Format::Json,
        // Whoever sends a document need not be allowed to read this machine's files.
        read: &|_| {
            Err(io::Error::other(
                "files are not read over HTTP (`pem` has the content)",
            ))
        },
    };
    let registry = required(api)?;
    let applied = api
        .host
        .with_means(|means| fleet::import(registry, means, &source));
    match applied {
        Ok(applied) => Ok(applied.into_iter().map(Change::from).collect()),
        Err(ImportError::Registry(error)) => Err(error.into()),
        Err(ImportError::Document(wrong)) if wrong.path.is_empty() => {
            Err(ApiError::new(StatusCode::BAD_REQUEST, wrong.to_string()))
        }
        Err(ImportError::Document(wrong)) => Err(ApiError::invalid(wrong.path, wrong.reason)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn toml_is_for_who_accepts_nothing_else() {
        let accepted = |text| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(text))]);
            accepted(&headers).0
        };
        assert_eq!(accepted("application/toml"), Format::Toml);
        assert_eq!(accepted("*/*"), Format::Json);
        assert_eq!(accepted("application/json, application/toml"), Format::Json);
        assert_eq!(super::accepted(&HeaderMap::new()).0, Format::Json);
    }
}
