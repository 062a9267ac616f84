//! `/v1/identity`: things, certificates, policies, thing groups and authorizers, to look around in them.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;

use crate::aws::registry::Kind;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::{ApiError, excerpt};
use super::super::query::{LIST, Parameters};
use super::registry::required;

fn kind(name: &str) -> Result<Kind, ApiError> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| {
        let known = Kind::ALL.map(Kind::name).join(", ");
        let error = format!("'{}' is none of {known}", excerpt(name));
        ApiError::not_found(error).at("kind")
    })
}

/// A page of the resources of a kind, by name.
pub(super) async fn list(
    State(api): State<Api>,
    kind_name: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path(name) = kind_name?;
    let parameters = Parameters::parse(&uri, &LIST)?;
    let (kind, page) = (kind(&name)?, parameters.page()?);
    let job = {
        let api = api.clone();
        move || {
            let page = page.as_page();
            let state = required(&api)?.state();
            let (rows, total) = state.browse(kind, page.after, page.containing, page.limit);
            Answer::list("entries", rows, total, api.engine.broker.budget())
        }
    };
    api.jobs.run(job).await?
}

/// One resource, with what is attached to it and what it is attached to.
pub(super) async fn show(
    State(api): State<Api>,
    place: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path((kind_name, name)) = place?;
    Parameters::parse(&uri, &[])?;
    let kind = kind(&kind_name)?;
    let job = {
        let api = api.clone();
        move || {
            let state = required(&api)?.state();
            let found = state.look_at(kind, &name, api.host.now());
            let found = found.map_err(|error| ApiError::from(error).at("name"))?;
            Answer::of(&found, api.engine.broker.budget())
        }
    };
    api.jobs.run(job).await?
}
