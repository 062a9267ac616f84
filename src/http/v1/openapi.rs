//! `GET /v1/openapi.json`: the description of this API.

use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;

use super::super::query::NoParameters;

const DOCUMENT: &str = include_str!("../openapi.json");

pub(super) async fn show(_: NoParameters) -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}
