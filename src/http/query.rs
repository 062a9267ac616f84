//! The part of a URL behind the question mark.

use std::borrow::Cow;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri};

use crate::broker::PageOf;

use super::error::{ApiError, excerpt};

/// Entries of a list unless the request says otherwise.
const DEFAULT_LIMIT: usize = 100;

/// Entries of a list at most.
const LIMIT: usize = 1000;

/// What every list knows.
pub(super) const LIST: [&str; 3] = ["after", "limit", "q"];

/// A request that has no parameters.
pub(super) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Parameters::parse(&parts.uri, &[]).map(|_| Self)
    }
}

/// Parameters of a request: each is known, comes at most once and has a value.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the parameters of `uri`, of which `known` are allowed.
    ///
    /// # Errors
    ///
    /// 400 for any other, for one that comes twice, and for one without a value.
    pub(super) fn parse(uri: &Uri, known: &[&str]) -> Result<Self, ApiError> {
        let pairs = pairs(uri)?;
        for (place, (name, value)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let error = format!("unknown parameter '{}'", excerpt(name));
                return Err(ApiError::invalid(name.clone(), error));
            }
            if pairs.iter().take(place).any(|(earlier, _)| earlier == name) {
                let error = format!("parameter '{name}' comes twice");
                return Err(ApiError::invalid(name.clone(), error));
            }
            if value.is_empty() {
                let error = format!("parameter '{name}' has no value");
                return Err(ApiError::invalid(name.clone(), error));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The value of a parameter, to be kept for longer than the request is looked at.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A whole number.
    ///
    /// # Errors
    ///
    /// 400 if it is none, or larger than `most`.
    pub(super) fn number(
        &self,
        name: &'static str,
        most: usize,
    ) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| *number <= most);
        match number.filter(|_| is_number) {
            Some(number) => Ok(Some(number)),
            None => {
                let error = format!("'{}' is not a whole number up to {most}", excerpt(text));
                Err(ApiError::invalid(name, error))
            }
        }
    }

    /// A yes or no.
    ///
    /// # Errors
    ///
    /// 400 if it is neither `true` nor `false`.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(text) => {
                let error = format!("'{}' is neither true nor false", excerpt(text));
                Err(ApiError::invalid(name, error))
            }
        }
    }

    /// How many entries of a list are asked for.
    ///
    /// # Errors
    ///
    /// 400 if it is not a whole number, or too large a one.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        Ok(self.number("limit", LIMIT)?.unwrap_or(DEFAULT_LIMIT))
    }

    /// The part of a list that is asked for.
    ///
    /// # Errors
    ///
    /// 400 if the limit is no such number.
    pub(super) fn page(&self) -> Result<OwnedPageOf, ApiError> {
        Ok(OwnedPageOf {
            after: self.owned("after"),
            containing: self.owned("q"),
            limit: self.limit()?,
        })
    }
}

/// A [`PageOf`] for a job, which outlives the request.
pub(super) struct OwnedPageOf {
    after: Option<String>,
    containing: Option<String>,
    limit: usize,
}

impl OwnedPageOf {
    #[cfg(test)]
    pub(super) fn first(limit: usize) -> Self {
        Self {
            after: None,
            containing: None,
            limit,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The same list from behind `after` on.
    pub(super) fn behind(&self, after: &str, limit: usize) -> Self {
        Self {
            after: Some(after.to_owned()),
            containing: self.containing.clone(),
            limit,
        }
    }

    pub(super) fn as_page(&self) -> PageOf<'_> {
        PageOf {
            after: self.after.as_deref(),
            containing: self.containing.as_deref(),
            limit: self.limit,
        }
    }
}

/// The names and values of a query, in their order.
///
/// # Errors
///
/// 400 for what cannot be decoded.
pub(super) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, ApiError> {
    let Query(pairs) = Query::try_from_uri(&with_plain_plus(uri))
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    Ok(pairs)
}

/// The query of `uri`, in which a `+` is a plus sign and not a space: filters are full of them.
fn with_plain_plus(uri: &Uri) -> Cow<'_, Uri> {
    let query = uri.query().filter(|query| query.contains('+'));
    let escaped = query.map(|query| format!("/?{}", query.replace('+', "%2B")));
    escaped
        .and_then(|text| PathAndQuery::try_from(text).ok())
        .map_or(Cow::Borrowed(uri), |query| Cow::Owned(query.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Parameters, ApiError> {
        let uri = format!("/v1/list?{query}").parse().expect("a URI");
        Parameters::parse(&uri, &LIST)
    }

    #[test]
    fn parameter_is_known_comes_once_and_has_a_value() {
        for (query, error) in [
            ("x", "unknown parameter 'x'"),
            ("q=1&x=2", "unknown parameter 'x'"),
            ("=1", "unknown parameter ''"),
            ("Q=1", "unknown parameter 'Q'"),
            ("q=1&q=1", "parameter 'q' comes twice"),
            ("q=1&%71=2", "parameter 'q' comes twice"),
            ("q", "parameter 'q' has no value"),
            ("limit=1&q=", "parameter 'q' has no value"),
        ] {
            let found = parse(query).expect_err(query);
            assert_eq!(found.text(), error, "{query}");
        }
        for query in ["", "&", "q=1", "q=%20", "after=a&limit=1&q=b"] {
            assert!(parse(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn plus_is_a_plus_sign() {
        let parameters = parse("after=a/+/b%2B%20c").expect("it is fine");
        assert_eq!(parameters.text("after"), Some("a/+/b+ c"));
    }

    #[test]
    fn limit_is_a_whole_number_up_to_a_thousand() {
        let limit = |text: &str| parse(&format!("limit={text}")).and_then(|all| all.limit());
        for (text, expected) in [("0", 0), ("7", 7), ("1000", 1000), ("007", 7)] {
            assert_eq!(limit(text).ok(), Some(expected), "{text}");
        }
        for text in [
            "1001",
            "-1",
            "+1",
            "1.0",
            "1e2",
            "x",
            "%20",
            "99999999999999999999",
        ] {
            assert!(limit(text).is_err(), "{text}");
        }
        assert_eq!(parse("").and_then(|all| all.limit()).ok(), Some(100));
    }
}
