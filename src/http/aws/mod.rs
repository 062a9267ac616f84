//! The service's own API at its own paths: what the AWS CLI and the AWS SDKs call (`AWS-API`, `AWS-OPS`).
//!
//! Every request line of the service's three models is known. An operation that is answered stands in the
//! file of its resource, beside the function that answers it; the others stand in [`unanswered`] and are
//! refused by name. A request is told apart by its path, and where two services share one, by the service
//! that its signature names ([`caller`]).
//!
//! Handlers are plain functions of the registry, or of the broker, and a [`Call`]. They run on the few threads
//! for long work, so that neither a commit nor a key of RSA keeps a worker, and what they make is written and
//! dropped there. Those that deliver messages are futures, which take turns with the connections.

mod attachments;
mod authorities;
mod authorized;
mod authorizers;
mod call;
mod caller;
mod certificates;
mod connections;
mod endpoint;
mod evaluation;
mod events;
mod groups;
mod host;
mod messages;
mod operation;
mod permission;
mod policies;
mod refusal;
mod refused;
mod retained;
mod route;
mod shadows;
mod signature;
mod tags;
#[cfg(test)]
mod tests;
mod things;
mod types;
mod unanswered;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use uuid::Uuid;

use crate::budget::Budget;

use super::Api;
use super::answer::Answer;
use super::arrival::{Arrival, Entrance};
use super::body::leave;
use super::error::{ApiError, excerpt, no_path};

use call::Call;
use caller::Caller;
use host::Output;
use operation::{Operation, Run, Service};
use permission::Proof;
use refusal::Refusal;
use route::Found;

use host::without_nulls;

pub(super) use authorized::Kept;
pub(super) use host::Host;
pub(super) use refused::RefusedCalls;

/// Clients show it beside an error (AWS-OPS-11).
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Answers whatever is not one of the broker's own paths.
pub(super) async fn serve(State(api): State<Api>, request: Request) -> Response {
    let id = Uuid::new_v4();
    let answered = answer(&api, id, request).await;
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    stamp(&mut response, id);
    response
}

/// Gives an answer its request id.
fn stamp(response: &mut Response, id: Uuid) {
    // A UUID consists of what a header may have.
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

/// The answer to a request that may not come in. Whoever signs is a client of the service, whoever does not
/// may be a browser.
pub(super) fn refuse(error: ApiError, request: &Request) -> Response {
    if !Caller::of(request.headers(), request.uri()).is_signed() {
        return error.into_response();
    }
    let mut response = Refusal::from(error).into_response();
    stamp(&mut response, Uuid::new_v4());
    response
}

async fn answer(api: &Api, id: Uuid, request: Request) -> Result<Response, Refusal> {
    match find(api, id, &request) {
        Ok((found, proof)) => {
            let operation = found.operation;
            let uri = request.uri().clone();
            let arrival = request.extensions().get::<Arc<Arrival>>().cloned();
            let read = Call::read(id, found, proof, request, api).await;
            if let Err(refusal) = &read {
                let arrival = arrival.as_deref();
                permission::note_unproven(&api.host, operation, uri.path(), arrival, refusal);
            }
            let permitted = read.and_then(|call| {
                permission::check(&api.host, operation, &call)?;
                Ok(call)
            });
            let answered = match permitted {
                Ok(call) => run(api, operation, call).await,
                Err(refusal) => Err(refusal),
            };
            answered.map_err(|refusal| in_form_of(operation, refusal, id))
        }
        Err(refused) => {
            leave(request.into_body(), api);
            Ok(*refused)
        }
    }
}

/// The operation that a request asks for, if it can be carried out.
fn find(api: &Api, id: Uuid, request: &Request) -> Result<(Found, Proof), Box<Response>> {
    let (method, uri) = (request.method(), request.uri());
    let caller = Caller::of(request.headers(), uri);
    if let Some(service) = caller.foreign() {
        api.host.refused_calls.note(service, "any operation");
        return Err(caller::not_served(service, request.headers()).into());
    }
    let arrival = request.extensions().get::<Arc<Arrival>>();
    // Where nothing but the service is, whoever asks means it.
    let is_at_service = arrival.is_some_and(|arrival| arrival.entrance != Entrance::Own);
    let found = match route::find(method, uri.path(), &caller) {
        Some(found) => found,
        None if caller.is_signed() || is_at_service => {
            return Err(no_operation(request).into_response().into());
        }
        None => return Err(no_path(uri).into_response().into()),
    };
    let operation = found.operation;
    let proof = Proof::wanted(
        api.host.config(),
        &caller,
        arrival.map(|arrival| &**arrival),
        operation,
    );
    let proof = proof.map_err(|refusal| {
        let arrival = arrival.map(|arrival| &**arrival);
        permission::note_unproven(&api.host, operation, uri.path(), arrival, &refusal);
        in_form_of(operation, refusal, id).into_response()
    })?;
    if let Run::Refused = operation.run {
        let refusal = in_form_of(operation, not_answered(api, operation), id);
        return Err(refusal.into_response().into());
    }
    if operation.run.needs_registry() && api.host.registry().is_none() {
        let error = format!(
            "{} needs a registry, and this broker has none (`registry` is off).",
            operation.name
        );
        return Err(Refusal::invalid(error).into_response().into());
    }
    Ok((found, proof))
}

/// A refusal as the service of an operation writes it.
fn in_form_of(operation: &Operation, refusal: Refusal, id: Uuid) -> Refusal {
    match operation.service {
        Service::IotData => refusal.traced(id),
        Service::Iot | Service::IotJobsData => refusal,
    }
}

fn no_operation(request: &Request) -> Refusal {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!(
        "No operation of the service has the request line {} {}.",
        excerpt(method.as_str()),
        excerpt(path)
    );
    Refusal::new(StatusCode::NOT_FOUND, "UnknownOperationException", message)
}

/// A typed error that no client tries again (AWS-OPS-14).
fn not_answered(api: &Api, operation: &Operation) -> Refusal {
    let service = operation.service.name();
    api.host.refused_calls.note(service, operation.name);
    Refusal::invalid(format!(
        "{} ({service}, {}) is not implemented by this stand-in; GET /v1/refused-calls lists what was asked for.",
        operation.name, operation.line
    ))
}

async fn run(api: &Api, operation: &'static Operation, call: Call) -> Result<Response, Refusal> {
    let (host, budget) = (api.host.clone(), api.engine.broker.budget());
    let jobs = match operation.run {
        Run::Await(run) => {
            let value = run(api.clone(), call).await?;
            return respond(without_nulls(value), budget);
        }
        Run::Change(_) | Run::Payload(_) => &host.changes,
        Run::Issue(_) => &host.issuing,
        Run::Read(_) | Run::Work(_) | Run::Ask(_) | Run::Refused => &api.jobs,
    };
    let job = {
        let host = host.clone();
        move || match host.run(operation, &call)? {
            Output::Value(value) => respond(value, budget),
            Output::Payload(json) => {
                Answer::written(&json, "application/json", budget).map_err(Refusal::from)
            }
        }
    };
    jobs.run(job).await?
}

fn respond(value: Value, budget: Budget) -> Result<Response, Refusal> {
    match value {
        Value::Null => Ok(StatusCode::OK.into_response()),
        value => Answer::of(&value, budget).map_err(Refusal::from),
    }
}
