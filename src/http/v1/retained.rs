//! `/v1/retained`: retained messages, and how to delete them.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use crate::engine::operator;
use crate::topic::Filter;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::Parameters;
use super::message::{PAYLOADS, Shown};

#[derive(Serialize)]
pub(super) struct Deleted {
    deleted: usize,
}

/// A page of the messages that match `filter`, by topic.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["filter", "after", "limit", "q"])?;
    let filter = parameters.owned("filter");
    if let Some(filter) = &filter {
        check_filter(filter)?;
    }
    let page = parameters.page()?;
    let engine = api.engine;
    let job = move || {
        let now = engine.clock.now().now;
        let found = engine
            .broker
            .retained_page(filter.as_deref(), &page.as_page(), now);
        let mut room = PAYLOADS;
        let messages = found.entries.iter();
        let messages = messages.map(|kept| Shown::new(&kept.message, None, &mut room, now));
        Answer::list("retained", messages, found.total, engine.broker.budget())
    };
    api.jobs.run(job).await?
}

/// Deletes the messages that match `filter`, or all.
pub(super) async fn delete(State(api): State<Api>, uri: Uri) -> Result<Json<Deleted>, ApiError> {
    let parameters = Parameters::parse(&uri, &["filter"])?;
    let filter = parameters.text("filter");
    if let Some(filter) = filter {
        check_filter(filter)?;
    }
    let deleted = operator::delete_retained(&api.engine, filter).await;
    tracing::info!(deleted, "retained messages deleted through the control API");
    Ok(Json(Deleted { deleted }))
}

/// A filter that may be held against topics.
///
/// # Errors
///
/// 400 for one that is not valid, and for a shared one.
pub(super) fn check_filter(filter: &str) -> Result<(), ApiError> {
    check_filter_at("filter", filter)
}

/// The same of another parameter.
pub(super) fn check_filter_at(name: &'static str, filter: &str) -> Result<(), ApiError> {
    match Filter::parse(filter) {
        Ok(parsed) if parsed.share.is_none() => Ok(()),
        Ok(_) => Err(ApiError::invalid(
            name,
            format!("filter '{filter}' is shared"),
        )),
        Err(error) => Err(ApiError::invalid(name, error.to_string())),
    }
}
