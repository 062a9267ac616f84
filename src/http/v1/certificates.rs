//! `/v1/certificates`: certificates of clients, issued or only registered.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::aws::registry::{Certificate, CertificateStatus, Error, Resource};

use super::super::Api;
use super::super::answer::Answer;
use super::super::body::{JsonBody, leave};
use super::super::error::ApiError;
use super::super::query::Parameters;
use super::registry::{check_meant, required};

/// Bytes of a body: more than the longest certificate.
const BODY_MAX: usize = 128 << 10;

/// One of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// One with this Common Name is issued.
    name: Option<String>,
    /// With this kind of key.
    key: Option<Key>,
    /// This one was issued elsewhere.
    certificate_pem: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Ecdsa,
    Rsa,
}

#[derive(Serialize)]
struct Added {
    certificate_id: String,
    /// `None` without a registry, as what follows.
    certificate_arn: Option<String>,
    status: Option<CertificateStatus>,
    /// Whether it was not there before.
    created: bool,
    certificate_pem: String,
    /// Of one that was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
}

/// Issues a certificate and registers it, or registers one.
pub(super) async fn add(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let checked =
        Parameters::parse(request.uri(), &[]).and_then(|_| check_meant(&api, request.headers()));
    if let Err(error) = checked {
        leave(request.into_body(), &api);
        return Err(error);
    }
    let body = JsonBody::read(request, &api, BODY_MAX).await?;
    let wanted: Wanted = body.parse()?;
    let (jobs, work) = match wanted {
        Wanted {
            name: Some(name),
            key,
            certificate_pem: None,
        } => {
            let key = key.unwrap_or(Key::Ecdsa);
            (&api.host.issuing, Work::Issue { name, key })
        }
        Wanted {
            name: None,
            key: None,
            certificate_pem: Some(pem),
        } => (&api.host.changes, Work::Register { pem }),
        _ => {
            let error = "either `name`, with or without `key`, or `certificate_pem` is wanted";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, error));
        }
    };
    let job = {
        let api = api.clone();
        move || {
            let added = match work {
                Work::Issue { name, key } => issue(&api, &name, key),
                Work::Register { pem } => register(&api, &pem).map(|known| known.shown(None)),
            };
            drop(body);
            Answer::of(&added?, api.engine.broker.budget())
        }
    };
    jobs.run(job).await?
}

enum Work {
    Issue { name: String, key: Key },
    Register { pem: String },
}

/// What the registry has of a certificate.
struct Known {
    certificate: Arc<Certificate>,
    arn: String,
    is_new: bool,
}

impl Known {
    fn shown(self, private_key: Option<String>) -> Added {
        Added {
            certificate_id: self.certificate.id.clone(),
            certificate_arn: Some(self.arn),
            status: Some(self.certificate.status),
            created: self.is_new,
            certificate_pem: self.certificate.pem.to_string(),
            private_key,
        }
    }
}

/// Sees to it that a certificate is registered; one that is stays as it is.
fn register(api: &Api, pem: &str) -> Result<Known, ApiError> {
    let registry = required(api)?;
    let known = api.host.with_means(|means| {
        registry.change(means, |draft| {
            let (certificate, is_new) = draft.ensure_certificate(pem)?;
            let arn = draft.arn(&Resource::Certificate(certificate.id.clone()));
            Ok::<_, Error>(Known {
                certificate,
                arn,
                is_new,
            })
        })
    });
    known.map_err(|error| match error {
        Error::CertificateValidation(_) => ApiError::from(error).at("certificate_pem"),
        error => error.into(),
    })
}

/// What `roundel cert` makes. Without a registry there is only the certificate.
#[cfg(feature = "tls")]
fn issue(api: &Api, name: &str, key: Key) -> Result<Added, ApiError> {
    use crate::net::ca::{CertError, KeyKind};

    let kind = match key {
        Key::Ecdsa => KeyKind::Ecdsa,
        Key::Rsa => KeyKind::Rsa,
    };
    let signer = api.host.signer().ok_or(CertError::NoAuthority);
    let issued = signer.and_then(|signer| signer.issue_pem(name, kind));
    let issued = issued.map_err(|error| match error {
        CertError::Name { .. } => ApiError::invalid("name", error.to_string()),
        CertError::NoAuthority | CertError::NoKey { .. } => {
            ApiError::new(StatusCode::CONFLICT, error.to_string())
        }
        _ => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    })?;
    if api.host.registry().is_some() {
        let known = register(api, &issued.certificate)?;
        return Ok(known.shown(Some(issued.private_key)));
    }
    Ok(Added {
        certificate_id: issued.certificate_id,
        certificate_arn: None,
        status: None,
        created: false,
        certificate_pem: issued.certificate,
        private_key: Some(issued.private_key),
    })
}

#[cfg(not(feature = "tls"))]
fn issue(_: &Api, _: &str, _: Key) -> Result<Added, ApiError> {
    let error = "this broker issues no certificates: it was built without TLS";
    Err(ApiError::new(StatusCode::CONFLICT, error))
}
