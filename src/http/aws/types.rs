//! Thing types (AWS-API-25).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::registry::{
    Draft, PropagatingAttribute, Resource, State, ThingType, ThingTypeProperties,
};

use super::call::{Call, Tag, by_key, listed, seconds, with_token};
use super::operation::{Answered, Operation};

pub(super) const OPERATIONS: [Operation; 6] = [
    Operation::change(
        "CreateThingType",
        "POST /thing-types/{thingTypeName}",
        create_thing_type,
    ),
    Operation::read(
        "DescribeThingType",
        "GET /thing-types/{thingTypeName}",
        describe_thing_type,
    ),
    Operation::read("ListThingTypes", "GET /thing-types", list_thing_types),
    Operation::change(
        "UpdateThingType",
        "PATCH /thing-types/{thingTypeName}",
        update_thing_type,
    ),
    Operation::change(
        "DeprecateThingType",
        "POST /thing-types/{thingTypeName}/deprecate",
        deprecate_thing_type,
    ),
    Operation::change(
        "DeleteThingType",
        "DELETE /thing-types/{thingTypeName}",
        delete_thing_type,
    )
    .differs("Five minutes need not pass after the deprecation."),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    thing_type_properties: Properties,
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeprecationBody {
    #[serde(default)]
    undo_deprecate: bool,
}

/// `thingTypeProperties`
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    thing_type_description: Option<String>,
    searchable_attributes: Option<Vec<String>>,
    mqtt5_configuration: Option<Mqtt5Configuration>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mqtt5Configuration {
    propagating_attributes: Option<Vec<Propagating>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Propagating {
    user_property_key: String,
    thing_attribute: Option<String>,
    connection_attribute: Option<String>,
}

impl From<Properties> for ThingTypeProperties {
    fn from(properties: Properties) -> Self {
        let propagating = properties
            .mqtt5_configuration
            .and_then(|configuration| configuration.propagating_attributes);
        let propagating = propagating.unwrap_or_default().into_iter();
        Self {
            description: properties.thing_type_description,
            searchable_attributes: properties.searchable_attributes.unwrap_or_default(),
            propagating_attributes: propagating
                .map(|attribute| PropagatingAttribute {
                    user_property_key: attribute.user_property_key,
                    thing_attribute: attribute.thing_attribute,
                    connection_attribute: attribute.connection_attribute,
                })
                .collect(),
        }
    }
}

impl From<&ThingTypeProperties> for Properties {
    fn from(properties: &ThingTypeProperties) -> Self {
        let propagating = properties.propagating_attributes.iter();
        let propagating: Vec<_> = propagating
            .map(|attribute| Propagating {
                user_property_key: attribute.user_property_key.clone(),
                thing_attribute: attribute.thing_attribute.clone(),
                connection_attribute: attribute.connection_attribute.clone(),
            })
            .collect();
        let searchable = &properties.searchable_attributes;
        Self {
            thing_type_description: properties.description.clone(),
            searchable_attributes: (!searchable.is_empty()).then(|| searchable.clone()),
            mqtt5_configuration: (!propagating.is_empty()).then_some(Mqtt5Configuration {
                propagating_attributes: Some(propagating),
            }),
        }
    }
}

fn create_thing_type(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Body = call.body()?;
    let (name, properties) = (
        call.path("thingTypeName"),
        body.thing_type_properties.into(),
    );
    let created = draft.create_thing_type(name, properties, by_key(body.tags))?;
    Ok(json!({
        "thingTypeName": created.name,
        "thingTypeArn": arn(draft, &created),
        "thingTypeId": created.id,
    }))
}

fn arn(state: &State, thing_type: &ThingType) -> String {
    state.arn(&Resource::ThingType(thing_type.name.clone()))
}

/// What both a description and a list tell.
fn described(state: &State, thing_type: &ThingType) -> Value {
    json!({
        "thingTypeName": thing_type.name,
        "thingTypeArn": arn(state, thing_type),
        "thingTypeProperties": Properties::from(&thing_type.properties),
        "thingTypeMetadata": {
            "deprecated": thing_type.deprecated.is_some(),
            "deprecationDate": thing_type.deprecated.map(seconds),
            "creationDate": seconds(thing_type.created),
        },
    })
}

fn describe_thing_type(state: &State, call: &Call) -> Answered {
    let thing_type = state.describe_thing_type(call.path("thingTypeName"))?;
    let mut members = described(state, &thing_type);
    members["thingTypeId"] = json!(thing_type.id);
    Ok(members)
}

fn list_thing_types(state: &State, call: &Call) -> Answered {
    let types = state.list_thing_types(call.text("thingTypeName"), call.page()?)?;
    let types = types.map(|thing_type| described(state, &thing_type));
    Ok(listed(with_token("thingTypes"), types))
}

fn update_thing_type(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Body = call.body()?;
    draft.update_thing_type(
        call.path("thingTypeName"),
        body.thing_type_properties.into(),
    )?;
    Ok(Value::Null)
}

fn deprecate_thing_type(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: DeprecationBody = call.body()?;
    draft.deprecate_thing_type(call.path("thingTypeName"), body.undo_deprecate)?;
    Ok(Value::Null)
}

fn delete_thing_type(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.delete_thing_type(call.path("thingTypeName"))?;
    Ok(Value::Null)
}
