//! Which service a request is for, as its signature says (AWS-OPS-01 to -03).

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::aws::authorizer;

use super::super::error::excerpt;
use super::super::query::pairs;
use super::operation::Service;
use super::refusal::Refusal;

/// Where a signature stands in a URL: the credential of it.
const CREDENTIAL: &str = "X-Amz-Credential=";

/// Who asks, as far as it says so. Nothing of it is proven.
pub(super) struct Caller {
    /// The service that the credential's scope names, `AKID/DATE/REGION/SERVICE/aws4_request`.
    service: Option<String>,
    is_signed: bool,
    names_authorizer: bool,
}

impl Caller {
    pub(super) fn of(headers: &HeaderMap, uri: &Uri) -> Self {
        let header = headers.get(AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        let in_header = header.and_then(|value| value.split_once("Credential="));
        let in_query = uri.query().and_then(|query| query.split_once(CREDENTIAL));
        let credential = in_header.or(in_query).map(|(_, rest)| {
            let end = rest.find([',', '&', ' ']).unwrap_or(rest.len());
            rest.get(..end).unwrap_or_default().replace("%2F", "/")
        });
        Self {
            service: credential.and_then(|credential| {
                let service = credential.split('/').nth(3)?;
                Some(excerpt(service).into_owned())
            }),
            is_signed: header.is_some() || in_query.is_some(),
            names_authorizer: headers.contains_key(authorizer::NAME)
                || pairs(uri)
                    .is_ok_and(|pairs| pairs.iter().any(|(name, _)| name == authorizer::NAME)),
        }
    }

    /// Whether it names an authorizer, and no credential.
    pub(super) fn names_authorizer(&self) -> bool {
        self.names_authorizer && self.service.is_none()
    }

    pub(super) fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// The name of a service that is none of these.
    pub(super) fn foreign(&self) -> Option<&str> {
        let service = self.service.as_deref()?;
        let is_known = self.service().is_some();
        (!is_known).then_some(service)
    }

    /// The service that it names.
    pub(super) fn service(&self) -> Option<Service> {
        match self.service.as_deref()? {
            "iot" => Some(Service::Iot),
            // The guide has callers sign for the gateway of devices.
            "iotdata" | "iotdevicegateway" => Some(Service::IotData),
            "iot-jobs-data" => Some(Service::IotJobsData),
            _ => None,
        }
    }
}

/// The answer to a call of another service, in the language that its clients read.
pub(super) fn not_served(service: &str, headers: &HeaderMap) -> Response {
    let message = format!("This is a stand-in for AWS IoT Core: it has no service `{service}`.");
    let content = headers.get(CONTENT_TYPE);
    let is_form = content.is_some_and(|content| {
        content
            .as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    let name = "UnknownServiceException";
    if !is_form && service != "s3" {
        let refusal = Refusal::new(StatusCode::NOT_FOUND, name, message);
        return refusal.naming_itself().into_response();
    }
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    let error = format!("<Error><Code>{name}</Code><Message>{message}</Message></Error>");
    let xml = match is_form {
        true => format!("<ErrorResponse>{error}</ErrorResponse>"),
        false => error,
    };
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/xml")], xml).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(service: &str) -> HeaderMap {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/20261128/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=00"
        );
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))])
    }

    #[test]
    fn scope_of_the_signature_names_the_service() {
        let plain = Uri::from_static("/things/a/jobs");
        for (service, expected) in [
            ("iot", Some(Service::Iot)),
            ("iotdata", Some(Service::IotData)),
            ("iotdevicegateway", Some(Service::IotData)),
            ("iot-jobs-data", Some(Service::IotJobsData)),
            ("sts", None),
        ] {
            let caller = Caller::of(&signed(service), &plain);
            assert_eq!(caller.service(), expected, "{service}");
            assert_eq!(caller.foreign().is_some(), expected.is_none(), "{service}");
            assert!(caller.is_signed());
        }
        let query = Uri::from_static(
            "/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261128%2Fr%2Fiot%2Faws4_request&a=b",
        );
        let caller = Caller::of(&HeaderMap::new(), &query);
        assert_eq!(caller.service(), Some(Service::Iot));
        let nobody = Caller::of(&HeaderMap::new(), &plain);
        assert!(!nobody.is_signed() && nobody.foreign().is_none());
    }
}
