//! Bodies: bounded in size and time, and charged while they are held. Those of JSON are declared as such, and
//! have nothing unknown in them.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
#[cfg(feature = "aws")]
use axum::http::header::AUTHORIZATION;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_path_to_error::{Path, Segment};

use crate::budget::{Charge, Kind};
use crate::objects::{Objects, in_words};

use super::Api;
use super::answer::no_room;
use super::error::ApiError;

/// For the arrival of a whole body, in idle limits of the connection.
const IDLE_LIMITS: u32 = 3;

/// For what a client still sends of a body that was refused: it reads the answer only afterwards, and a
/// connection that closes before is reset under it.
const DISCARD_TIME: Duration = Duration::from_secs(2);
const DISCARD_BYTES: u64 = 64 << 20;

/// What is charged for each byte of a body: as it comes, the byte and what moving it to a larger place
/// takes; once all have come, its place while escapes are resolved and in the value that is made of it.
const COPIES_COMING: usize = 2;
const COPIES: usize = 3;

/// A body that has all come, and that was declared as JSON unless it is taken as it is.
///
/// The content type is demanded because a page may send any other one across origins without asking.
pub(super) struct JsonBody {
    bytes: Vec<u8>,
    /// For as long as what is read from the body is held.
    charge: Charge,
}

impl FromRequest<Api> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let limit = super::body_limit(&api.engine.broker.config().limits);
        Self::read(request, api, limit).await
    }
}

impl JsonBody {
    /// The body of a request that may have none, of at most so many bytes. One that is declared as nothing
    /// may be JSON too.
    ///
    /// # Errors
    ///
    /// 415 for a body that is declared as something else, 413 for a longer one, 408 for a slow one, and 503
    /// while there is no room for it.
    #[cfg(feature = "aws")]
    pub(super) async fn read_optional(
        headers: &HeaderMap,
        body: Body,
        api: &Api,
        limit: usize,
    ) -> Result<Option<Self>, ApiError> {
        if body.is_end_stream() {
            return Ok(None);
        }
        // A page cannot sign without asking, and curl declares what it signs as a form.
        let is_signed = headers.contains_key(AUTHORIZATION);
        if !is_signed && headers.contains_key(CONTENT_TYPE) && !is_json(headers) {
            leave(body, api);
            return Err(not_json());
        }
        let body = Self::read_all(body, limit, api).await?;
        Ok((!body.bytes.is_empty()).then_some(body))
    }

    /// The body of a request, whatever it is declared as, of at most so many bytes: for what is taken as it
    /// is. One that is not there is empty.
    ///
    /// # Errors
    ///
    /// 413 for a longer one, 408 for a slow one, and 503 while there is no room for it.
    #[cfg(feature = "aws")]
    pub(super) async fn read_raw(body: Body, api: &Api, limit: usize) -> Result<Self, ApiError> {
        Self::read_all(body, limit, api).await
    }

    /// The body of a request, of at most so many bytes.
    ///
    /// # Errors
    ///
    /// 415 for one that is not declared as JSON, 413 for a longer one, 408 for a slow one, and 503 while there
    /// is no room for it.
    pub(super) async fn read(request: Request, api: &Api, limit: usize) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            leave(request.into_body(), api);
            return Err(not_json());
        }
        Self::read_all(request.into_body(), limit, api).await
    }

    async fn read_all(mut body: Body, limit: usize, api: &Api) -> Result<Self, ApiError> {
        let config = api.engine.broker.config();
        // Nor is one read that has no room even while nothing else is held.
        let limit = limit.min(config.limits.memory / 2 / COPIES);
        // What says its length is not read for nothing; what does not is cut when it is too long.
        let announced = body.size_hint().lower();
        let read = match announced > limit as u64 {
            true => Err(too_large(limit)),
            false => {
                let time = config.http_idle_timeout * IDLE_LIMITS;
                let reading = Self::read_up_to(&mut body, limit, api);
                tokio::time::timeout(time, reading).await.map_err(|_| {
                    let error = format!("the body took longer than {time:?}");
                    ApiError::new(StatusCode::REQUEST_TIMEOUT, error)
                })?
            }
        };
        if read.is_err() {
            leave(body, api);
        }
        read
    }

    async fn read_up_to(body: &mut Body, limit: usize, api: &Api) -> Result<Self, ApiError> {
        let upper = body.size_hint().upper();
        let most = upper.and_then(|upper| usize::try_from(upper).ok());
        let most = most.map_or(limit, |most| most.min(limit));
        let mut read = Self {
            bytes: Vec::new(),
            charge: Charge::none(api.engine.broker.budget(), Kind::Http),
        };
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            let frame = frame.map_err(|error| {
                ApiError::new(StatusCode::BAD_REQUEST, format!("the body ends: {error}"))
            })?;
            if let Some(bytes) = frame.data_ref() {
                read.add(bytes, most, limit)?;
            }
        }
        let copies = read.bytes.len() * (COPIES - COPIES_COMING);
        read.charge.grow(copies).map_err(no_room)?;
        Ok(read)
    }

    fn add(&mut self, bytes: &Bytes, most: usize, limit: usize) -> Result<(), ApiError> {
        let len = self.bytes.len() + bytes.len();
        if len > limit {
            return Err(too_large(limit));
        }
        if len > self.bytes.capacity() {
            // Twice as much as there is, or all: what is only announced is not held.
            let room = (2 * len).min(most.max(len));
            let more = room - self.bytes.capacity();
            self.charge.grow(more * COPIES_COMING).map_err(no_room)?;
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// As it came.
    #[cfg(feature = "aws")]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the body as a `T`, which may borrow from it.
    ///
    /// # Errors
    ///
    /// 400 with the field that is wrong.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        parse(&self.bytes)
    }

    /// Reads a body that is not there as a `T`, as if it were an object without members.
    ///
    /// # Errors
    ///
    /// 400 with the field that is missing.
    #[cfg(feature = "aws")]
    pub(super) fn parse_nothing<'a, T: Deserialize<'a>>() -> Result<T, ApiError> {
        parse(b"{}")
    }
}

fn not_json() -> ApiError {
    let error = "the body is not declared as application/json";
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
}

fn too_large(limit: usize) -> ApiError {
    let error = format!("the body is larger than {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error)
}

/// Leaves a body, or the rest of one, unread: what is still coming is taken while the answer is on its way,
/// unless it is too long for that.
pub(super) fn leave(body: Body, api: &Api) {
    if !body.is_end_stream() && body.size_hint().lower() <= DISCARD_BYTES {
        api.tasks.spawn(discard(body));
    }
}

/// Takes the rest of a body while the answer is on its way.
async fn discard(body: Body) {
    let mut body = pin!(body);
    let read_all = poll_fn(|cx| {
        while let Some(Ok(_)) = ready!(body.as_mut().poll_frame(cx)) {}
        Poll::Ready(())
    });
    // Whether all came or not, the connection may close now.
    let _ = tokio::time::timeout(DISCARD_TIME, read_all).await;
}

fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = declared.and_then(|declared| declared.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(Objects(&mut reader)).map_err(|error| {
        let text = said(error.inner(), body);
        let refusal = ApiError::new(StatusCode::BAD_REQUEST, in_words(&text));
        match field(error.path(), &text) {
            Some(field) => refusal.at(field),
            None => refusal,
        }
    })?;
    reader
        .end()
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(value)
}

/// What is wrong with a body. Of what is no name where one of several is wanted, serde_json says only that there is no
/// value.
fn said(error: &serde_json::Error, body: &[u8]) -> String {
    let text = error.to_string();
    match text.strip_prefix("expected value") {
        Some(place) if serde_json::from_slice::<IgnoredAny>(body).is_ok() => {
            format!("invalid type, expected a string{place}")
        }
        _ => text,
    }
}

/// Where in the body an error is; `None` for the body as a whole.
fn field(path: &Path, text: &str) -> Option<String> {
    // A key that is not there, or there twice, is not part of the path, but of serde's text.
    let key = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| text.strip_prefix(start)?.split('`').next());
    let is_known = |segment: &&Segment| !matches!(segment, Segment::Unknown);
    let known: Vec<_> = path
        .iter()
        .take_while(is_known)
        .map(ToString::to_string)
        .collect();
    let mut field = String::new();
    for segment in known.iter().map(String::as_str).chain(key) {
        if !field.is_empty() && !segment.starts_with('[') {
            field.push('.');
        }
        field.push_str(segment);
    }
    (!field.is_empty()).then_some(field)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "read by serde only")]
        count: u8,
        #[serde(default)]
        #[expect(dead_code, reason = "read by serde only")]
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "read by serde only")]
        names: Option<Vec<String>>,
    }

    #[test]
    fn error_names_the_field_that_is_wrong() {
        for (body, expected) in [
            (r#"{"count":300}"#, Some("count")),
            (r#"{"count":"x"}"#, Some("count")),
            (r#"{}"#, Some("count")),
            (r#"{"count":1,"count":2}"#, Some("count")),
            (r#"{"count":1,"other":2}"#, Some("other")),
            (r#"{"count":1,"inner":{"other":2}}"#, Some("inner.other")),
            (
                r#"{"count":1,"inner":{"names":null,"names":null}}"#,
                Some("inner.names"),
            ),
            (
                r#"{"count":1,"inner":{"names":["a",2]}}"#,
                Some("inner.names[1]"),
            ),
            ("", None),
            ("[]", None),
            ("[1]", None),
            (r#"{"count":1,"inner":[null]}"#, Some("inner")),
            ("{", None),
            (r#"{"count":1} {}"#, None),
        ] {
            let error = format!("{:?}", parse::<Outer>(body.as_bytes()).expect_err(body));
            let expected = format!("field: {:?}", expected);
            assert!(
                error.contains(&expected),
                "{body}: {error}, expected {expected}"
            );
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        One,
    }

    #[test]
    fn error_speaks_of_json() {
        let said = |body: &str| match parse::<Outer>(body.as_bytes()) {
            Ok(_) => panic!("{body} is taken"),
            Err(error) => error.text().to_owned(),
        };
        for (body, expected) in [
            (
                "5",
                "invalid type: integer `5`, expected an object at line 1 column 1",
            ),
            (
                r#"{"count":300}"#,
                "invalid value: integer `300`, expected an integer from 0 to 255 at line 1 column 12",
            ),
            ("", "EOF while parsing a value at line 1 column 0"),
        ] {
            assert_eq!(said(body), expected);
        }
        for (body, expected) in [
            ("5", "invalid type, expected a string at line 1 column 1"),
            ("x", "expected value at line 1 column 1"),
        ] {
            let error = parse::<Choice>(body.as_bytes()).expect_err(body);
            assert_eq!(error.text(), expected);
        }
        assert!(matches!(parse(br#""one""#), Ok(Choice::One)));
    }

    #[test]
    fn only_json_is_json() {
        let declared =
            |text| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
        assert!(is_json(&declared("application/json")));
        assert!(is_json(&declared("Application/JSON; charset=utf-8")));
        assert!(!is_json(&declared("text/plain")));
        assert!(!is_json(&declared("application/json5")));
        assert!(!is_json(&HeaderMap::new()));
    }
}
