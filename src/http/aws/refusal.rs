//! What a call gets that is not carried out: an exception of the service, as its clients read it.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::aws::registry;
use crate::codec::ReasonCode;
use crate::excerpt::beginning;
use crate::protocol::violation::Violation;

use super::super::error::ApiError;

/// Characters of a message: a caller's own text may be in it, of any length.
const MESSAGE: usize = 4000;

/// Where clients look for the name of an exception (AWS-OPS-09).
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// An exception of the service.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    name: &'static str,
    message: String,
    /// Its other members (AWS-OPS-10).
    members: Vec<(&'static str, Value)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            name,
            message: beginning(&message.into(), MESSAGE).into_owned(),
            members: Vec::new(),
        }
    }

    /// 400.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        let name = "InvalidRequestException";
        Self::new(StatusCode::BAD_REQUEST, name, message)
    }

    /// A member that breaks a constraint, as the service puts it (AWS-OPS-15).
    pub(super) fn constraint(member: &str, value: Option<&str>, constraint: &str) -> Self {
        let value = value.map_or("null".to_owned(), |value| format!("'{value}'"));
        Self::invalid(format!(
            "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: \
             Member must {constraint}"
        ))
    }

    /// With its name in the body, too: the protocols of other services have it nowhere else.
    pub(super) fn naming_itself(mut self) -> Self {
        self.members.push(("__type", self.name.into()));
        self
    }

    /// 404.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        let name = "ResourceNotFoundException";
        Self::new(StatusCode::NOT_FOUND, name, message)
    }

    /// 403.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "ForbiddenException", message)
    }

    /// Whether it is 403.
    pub(super) fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// 429, as the data planes have it (AWS-OPS-13).
    pub(super) fn throttled(message: impl Into<String>) -> Self {
        let name = "ThrottlingException";
        Self::new(StatusCode::TOO_MANY_REQUESTS, name, message)
    }

    /// With the request's id, as the data plane has it in its errors (AWS-HTTP-04).
    pub(super) fn traced(mut self, id: Uuid) -> Self {
        self.members.push(("traceId", id.to_string().into()));
        self
    }

    /// The same with other members.
    pub(super) fn with(self, members: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self {
            members: members.into_iter().collect(),
            ..self
        }
    }

    /// A member that has to be there.
    pub(super) fn missing(member: &str) -> Self {
        Self::constraint(member, None, "not be null")
    }
}

impl From<registry::Error> for Refusal {
    fn from(error: registry::Error) -> Self {
        let status = StatusCode::from_u16(error.status());
        let message = error.to_string();
        let mut refusal = Self::new(
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error.name(),
            message,
        );
        match error {
            registry::Error::ResourceAlreadyExists { id, arn, .. } => {
                refusal.members = vec![("resourceId", id.into()), ("resourceArn", arn.into())];
            }
            registry::Error::InternalFailure(_) => {
                tracing::error!("the registry did not take a change: {}", refusal.message);
            }
            _ => {}
        }
        refusal
    }
}

/// What any request may be refused for: where it comes from, its body, what it would make the broker hold.
impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let status = error.status();
        let name = match status {
            StatusCode::FORBIDDEN => "ForbiddenException",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableException",
            StatusCode::INTERNAL_SERVER_ERROR => "InternalFailureException",
            StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLargeException",
            _ => "InvalidRequestException",
        };
        Self::new(status, name, error.text())
    }
}

/// Why a message is not taken.
impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        // Of the rules that are about how much there is, and not about the message itself.
        let is_limit = violation.rule.starts_with("limits.") || violation.rule == "AWS-LIM-19";
        let text = violation.text.into_owned();
        match violation.reason {
            ReasonCode::NotAuthorized => Self::forbidden(text),
            ReasonCode::PacketTooLarge => {
                let name = "RequestEntityTooLargeException";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, name, text)
            }
            ReasonCode::QuotaExceeded if is_limit => Self::throttled(text),
            _ => Self::invalid(text),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let members = self.members.into_iter();
        let mut body: Map<_, _> = members
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        body.insert("message".to_owned(), self.message.into());
        let header = [(ERROR_TYPE, HeaderValue::from_static(self.name))];
        (self.status, header, Json(Value::Object(body))).into_response()
    }
}
