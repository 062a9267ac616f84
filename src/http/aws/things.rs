//! Things (AWS-API-02 to -04).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::registry::{Draft, NewThing, Resource, State, Thing, ThingFilter, ThingUpdate};

use super::call::{AttributePayload, Call, listed, with_token};
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 5] = [
    Operation::change("CreateThing", "POST /things/{thingName}", create_thing)
        .differs("There are no billing groups: one that is named is not found."),
    Operation::read("DescribeThing", "GET /things/{thingName}", describe_thing),
    Operation::change("UpdateThing", "PATCH /things/{thingName}", update_thing),
    Operation::change("DeleteThing", "DELETE /things/{thingName}", delete_thing),
    Operation::read("ListThings", "GET /things", list_things),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewThingBody {
    thing_type_name: Option<String>,
    attribute_payload: Option<AttributePayload>,
    billing_group_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThingUpdateBody {
    thing_type_name: Option<String>,
    attribute_payload: Option<AttributePayload>,
    expected_version: Option<u64>,
    #[serde(default)]
    remove_thing_type: bool,
}

fn create_thing(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: NewThingBody = call.body()?;
    if let Some(group) = body.billing_group_name {
        let error = format!("Billing group {group} not found.");
        return Err(Refusal::not_found(error));
    }
    let attributes = body.attribute_payload.unwrap_or_default().attributes;
    let new = NewThing {
        thing_type: body.thing_type_name,
        attributes: attributes.unwrap_or_default(),
    };
    let thing = draft.create_thing(call.path("thingName"), new)?;
    Ok(json!({
        "thingName": thing.name,
        "thingArn": thing_arn(draft, &thing.name),
        "thingId": thing.id,
    }))
}

/// The ARN of a thing.
pub(super) fn thing_arn(state: &State, name: &str) -> String {
    state.arn(&Resource::Thing(name.to_owned()))
}

fn describe_thing(state: &State, call: &Call) -> Answered {
    let thing = state.describe_thing(call.path("thingName"))?;
    Ok(json!({
        "defaultClientId": thing.name,
        "thingName": thing.name,
        "thingId": thing.id,
        "thingArn": thing_arn(state, &thing.name),
        "thingTypeName": thing.thing_type,
        "attributes": thing.attributes,
        "version": thing.version,
    }))
}

fn update_thing(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: ThingUpdateBody = call.body()?;
    let payload = body.attribute_payload.unwrap_or_default();
    let update = ThingUpdate {
        thing_type: body.thing_type_name,
        remove_type: body.remove_thing_type,
        attributes: payload.attributes,
        merge: payload.merge,
        expected_version: body.expected_version,
    };
    draft.update_thing(call.path("thingName"), update)?;
    Ok(Value::Null)
}

fn delete_thing(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.delete_thing(call.path("thingName"), call.expected_version()?)?;
    Ok(Value::Null)
}

fn list_things(state: &State, call: &Call) -> Answered {
    let filter = ThingFilter {
        thing_type: call.text("thingTypeName"),
        attribute: call.text("attributeName"),
        value: call.text("attributeValue"),
        is_prefix: call.flag("usePrefixAttributeValue")?,
    };
    if filter.value.is_some() && filter.attribute.is_none() {
        return Err(Refusal::missing("attributeName"));
    }
    let things = state.list_things(&filter, call.page()?)?;
    let things = things.map(|thing| in_list(state, &thing));
    Ok(listed(with_token("things"), things))
}

fn in_list(state: &State, thing: &Thing) -> Value {
    json!({
        "thingName": thing.name,
        "thingTypeName": thing.thing_type,
        "thingArn": thing_arn(state, &thing.name),
        "attributes": thing.attributes,
        "version": thing.version,
    })
}
