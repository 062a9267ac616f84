//! `/v1/shadows`: shadows of things, to be looked at. What changes them is the service's own API.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use crate::aws::registry;
use crate::aws::shadow::Error;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::{LIST, Parameters};
use super::registry::required;

/// A page of all shadows, by thing and name.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let page = Parameters::parse(&uri, &LIST)?.page()?;
    let job = {
        let api = api.clone();
        move || {
            let page = page.as_page();
            let state = required(&api)?.state();
            let (rows, total) = state.browse_shadows(page.after, page.containing, page.limit);
            Answer::list("shadows", rows, total, api.engine.broker.budget())
        }
    };
    api.jobs.run(job).await?
}

/// The classic shadow of a thing.
pub(super) async fn show_classic(
    State(api): State<Api>,
    thing: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path(thing) = thing?;
    show(api, thing, None, &uri).await
}

/// A shadow with a name.
pub(super) async fn show_named(
    State(api): State<Api>,
    place: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path((thing, name)) = place?;
    show(api, thing, Some(name), &uri).await
}

/// The document, as GetThingShadow answers it.
async fn show(
    api: Api,
    thing: String,
    name: Option<String>,
    uri: &Uri,
) -> Result<Response, ApiError> {
    Parameters::parse(uri, &[])?;
    let job = {
        let api = api.clone();
        move || {
            let state = required(&api)?.state();
            let name = registry::State::shadow_name(&thing, name.as_deref());
            let name = name.map_err(|error| ApiError::from(error).at("thing"))?;
            let document = state.get_shadow(&name, None, api.host.now());
            let document = document.map_err(|error: Error| {
                let status = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::NOT_FOUND);
                ApiError::new(status, error.to_string()).at("thing")
            })?;
            Answer::written(&document, "application/json", api.engine.broker.budget())
        }
    };
    api.jobs.run(job).await?
}
