//! The part of a URL behind the question mark.

use std::borrow::Cow;

use axum::extract::Query;
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri};

use super::error::ApiError;

/// Parameters of a request: each is known and comes at most once.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the parameters of `uri`, of which `known` are allowed.
    ///
    /// # Errors
    ///
    /// 400 for any other, and for one that comes twice.
    pub(super) fn parse(uri: &Uri, known: &[&str]) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&with_plain_plus(uri))
            .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.body_text()))?;
        for (place, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let error = format!("unknown parameter '{name}'");
                return Err(ApiError::invalid(name.clone(), error));
            }
            if pairs.iter().take(place).any(|(earlier, _)| earlier == name) {
                let error = format!("parameter '{name}' comes twice");
                return Err(ApiError::invalid(name.clone(), error));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; an empty one counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())?;
        Some(value)
    }

    /// The value of a parameter that is a count.
    ///
    /// # Errors
    ///
    /// 400 if it is not a whole number.
    pub(super) fn count(&self, name: &'static str) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let count = text.parse().map_err(|_| {
            ApiError::invalid(name, format!("'{text}' is not a whole number from 0"))
        })?;
        Ok(Some(count))
    }
}

/// The query of `uri`, in which a `+` is a plus sign and not a space: filters are full of them.
fn with_plain_plus(uri: &Uri) -> Cow<'_, Uri> {
    let query = uri.query().filter(|query| query.contains('+'));
    let escaped = query.map(|query| format!("/?{}", query.replace('+', "%2B")));
    escaped
        .and_then(|text| PathAndQuery::try_from(text).ok())
        .map_or(Cow::Borrowed(uri), |query| Cow::Owned(query.into()))
}
