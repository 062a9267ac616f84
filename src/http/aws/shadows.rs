//! Shadows of things (AWS-DATA-05, -06). Errors have the shadow's own error document (AWS-OPS-56).

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::aws::registry::State;
use crate::aws::shadow::Refused;
use crate::aws::shadow::name::ShadowName;

use super::call::Call;
use super::host::Host;
use super::operation::{Answered, Operation, Service};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 4] = [
    Operation::payload("GetThingShadow", "GET /things/{thingName}/shadow", get)
        .of(Service::IotData)
        .differs("The thing need not be registered."),
    Operation::payload(
        "UpdateThingShadow",
        "POST /things/{thingName}/shadow",
        update,
    )
    .of(Service::IotData)
    .raw()
    .differs("The thing need not be registered."),
    Operation::payload(
        "DeleteThingShadow",
        "DELETE /things/{thingName}/shadow",
        delete,
    )
    .of(Service::IotData),
    Operation::work(
        "ListNamedShadowsForThing",
        "GET /api/things/shadow/ListNamedShadowsForThing/{thingName}",
        list,
    )
    .of(Service::IotData)
    .differs("A thing that is not registered has an empty list."),
];

/// The shadow that a call is about; a name that is empty is none that a shadow could have.
fn name(host: &Host, call: &Call) -> Result<ShadowName, Refusal> {
    let name = State::shadow_name(call.path("thingName"), call.given("name"));
    name.map_err(|error| refuse(host, Refused::from(error)))
}

/// An error with its document for members.
fn refuse(host: &Host, refused: Refused) -> Refusal {
    let Refused { error, token } = refused;
    let status = StatusCode::from_u16(error.code());
    let refusal = Refusal::new(
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        error.name(),
        error.to_string(),
    );
    let members = [
        ("code", json!(error.code())),
        ("timestamp", json!(host.now() / 1000)),
    ];
    let token = token.map(|token| ("clientToken", Value::from(token)));
    refusal.with(members.into_iter().chain(token))
}

fn get(host: &Host, call: &Call) -> Result<Vec<u8>, Refusal> {
    let (name, state) = (name(host, call)?, host.required()?.state());
    let got = state.get_shadow(&name, None, host.now());
    got.map_err(|error| refuse(host, error.into()))
}

fn update(host: &Host, call: &Call) -> Result<Vec<u8>, Refusal> {
    let (name, room) = (name(host, call)?, host.shadow_room());
    let updated = host.attempt(|draft| draft.update_shadow(&name, call.raw(), room))?;
    updated.map_err(|refused| refuse(host, refused))
}

fn delete(host: &Host, call: &Call) -> Result<Vec<u8>, Refusal> {
    let name = name(host, call)?;
    let deleted = host.attempt(|draft| draft.delete_shadow(&name, &[]))?;
    deleted.map_err(|refused| refuse(host, refused))
}

fn list(host: &Host, call: &Call) -> Answered {
    let state = host.required()?.state();
    let page = call.page_by("pageSize", "nextToken")?;
    let names = state.list_named_shadows(call.path("thingName"), page)?;
    Ok(json!({
        "results": names.items,
        "nextToken": names.next,
        "timestamp": host.now() / 1000,
    }))
}
