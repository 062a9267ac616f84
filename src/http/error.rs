//! What a request gets that is not served: a status and a JSON object that says why.

use std::borrow::Cow;

use axum::Json;
use axum::extract::OriginalUri;
use axum::extract::rejection::PathRejection;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::excerpt::beginning;

/// Characters of a caller's own text that an answer or a log line repeats.
const EXCERPT: usize = 200;

/// Characters of an error.
const ERROR: usize = 1000;

/// The beginning of a text that a caller sent.
pub(super) fn excerpt(text: &str) -> Cow<'_, str> {
    beginning(text, EXCERPT)
}

/// `{"error": "...", "field": "..."}` with a fitting status.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    error: String,
    /// The part of the request that is wrong, if it is one.
    field: Option<Cow<'static, str>>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            status,
            error: match beginning(&error, ERROR) {
                Cow::Owned(beginning) => beginning,
                Cow::Borrowed(_) => error,
            },
            field: None,
        }
    }

    #[cfg(any(feature = "aws", test))]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn text(&self) -> &str {
        &self.error
    }

    /// The part of the request that is wrong, if it is one.
    pub(super) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The part of the body that has to be there and is not, if that is what is wrong.
    #[cfg(feature = "aws")]
    pub(super) fn missing(&self) -> Option<&str> {
        self.error.strip_prefix("missing field `")?;
        self.field()
    }

    /// 400, because of one part of the request.
    pub(super) fn invalid(field: impl Into<Cow<'static, str>>, error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error).at(field)
    }

    pub(super) fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn wrong_method(error: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error)
    }

    /// Names the part of the request that is wrong.
    pub(super) fn at(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        let field = field.into();
        self.field = match beginning(&field, EXCERPT) {
            Cow::Owned(beginning) => Some(beginning.into()),
            Cow::Borrowed(_) => Some(field),
        };
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body {
            error: &self.error,
            field: self.field.as_deref(),
        };
        (self.status, Json(body)).into_response()
    }
}

/// The answer to a request for a path that nothing has.
pub(super) async fn unknown_path(OriginalUri(uri): OriginalUri) -> ApiError {
    no_path(&uri)
}

/// The error for a path that nothing has.
pub(super) fn no_path(uri: &Uri) -> ApiError {
    let path = excerpt(uri.path());
    ApiError::not_found(format!(
        "no path '{path}': /v1/openapi.json has those that there are"
    ))
}

/// The answer to a method that a path does not have.
pub(super) async fn wrong_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let (method, path) = (excerpt(method.as_str()), excerpt(uri.path()));
    ApiError::wrong_method(format!("{method} is not for '{path}'"))
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid("id", rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_repeats_only_the_beginning_of_what_it_is_about() {
        let long = "ü".repeat(1_000_000);
        let error = ApiError::invalid(long.clone(), format!("unknown '{long}'"));
        assert_eq!(error.text().chars().count(), ERROR + 1);
        let field = error.field.expect("a field");
        assert_eq!(field, format!("{}…", "ü".repeat(EXCERPT)));
        assert_eq!(excerpt("short"), "short");
    }
}
