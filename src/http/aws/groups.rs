//! Static thing groups (AWS-API-25).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::registry::{
    Draft, GroupFilter, GroupUpdate, NewGroup, Resource, State, ThingGroup,
};

use super::call::{AttributePayload, Call, Tag, by_key, listed, seconds, with_token};
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 10] = [
    Operation::change(
        "CreateThingGroup",
        "POST /thing-groups/{thingGroupName}",
        create_thing_group,
    ),
    Operation::read(
        "DescribeThingGroup",
        "GET /thing-groups/{thingGroupName}",
        describe_thing_group,
    ),
    Operation::read("ListThingGroups", "GET /thing-groups", list_thing_groups),
    Operation::change(
        "UpdateThingGroup",
        "PATCH /thing-groups/{thingGroupName}",
        update_thing_group,
    ),
    Operation::change(
        "DeleteThingGroup",
        "DELETE /thing-groups/{thingGroupName}",
        delete_thing_group,
    ),
    Operation::change(
        "AddThingToThingGroup",
        "PUT /thing-groups/addThingToThingGroup",
        add_thing_to_thing_group,
    ),
    Operation::change(
        "RemoveThingFromThingGroup",
        "PUT /thing-groups/removeThingFromThingGroup",
        remove_thing_from_thing_group,
    ),
    Operation::change(
        "UpdateThingGroupsForThing",
        "PUT /thing-groups/updateThingGroupsForThing",
        update_thing_groups_for_thing,
    ),
    Operation::read(
        "ListThingsInThingGroup",
        "GET /thing-groups/{thingGroupName}/things",
        list_things_in_thing_group,
    ),
    Operation::read(
        "ListThingGroupsForThing",
        "GET /things/{thingName}/thing-groups",
        list_thing_groups_for_thing,
    ),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewGroupBody {
    parent_group_name: Option<String>,
    #[serde(default)]
    thing_group_properties: Properties,
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupUpdateBody {
    thing_group_properties: Properties,
    expected_version: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    thing_group_description: Option<String>,
    attribute_payload: Option<AttributePayload>,
}

/// A thing and a group, each by its name or its ARN.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    thing_group_name: Option<String>,
    thing_group_arn: Option<String>,
    thing_name: Option<String>,
    thing_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memberships {
    thing_name: String,
    #[serde(default)]
    thing_groups_to_add: Vec<String>,
    #[serde(default)]
    thing_groups_to_remove: Vec<String>,
}

fn create_thing_group(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: NewGroupBody = call.body()?;
    let properties = body.thing_group_properties;
    let payload = properties.attribute_payload.unwrap_or_default();
    let new = NewGroup {
        parent: body.parent_group_name,
        description: properties.thing_group_description,
        attributes: payload.attributes.unwrap_or_default(),
        tags: by_key(body.tags),
    };
    let group = draft.create_thing_group(call.path("thingGroupName"), new)?;
    Ok(json!({
        "thingGroupName": group.name,
        "thingGroupArn": arn(draft, &group.name),
        "thingGroupId": group.id,
    }))
}

fn arn(state: &State, name: &str) -> String {
    state.arn(&Resource::ThingGroup(name.to_owned()))
}

/// A group as lists and lineages name it.
fn named(state: &State, name: &str) -> Value {
    json!({ "groupName": name, "groupArn": arn(state, name) })
}

fn describe_thing_group(state: &State, call: &Call) -> Answered {
    let group = state.describe_thing_group(call.path("thingGroupName"))?;
    Ok(json!({
        "thingGroupName": group.name,
        "thingGroupId": group.id,
        "thingGroupArn": arn(state, &group.name),
        "version": group.version,
        "thingGroupProperties": {
            "thingGroupDescription": group.description,
            "attributePayload": { "attributes": group.attributes },
        },
        "thingGroupMetadata": {
            "parentGroupName": group.parent,
            "rootToParentThingGroups": root_to_parent(state, &group),
            "creationDate": seconds(group.created),
        },
    }))
}

/// The groups that a group stands in, from the outermost on; nothing for one that stands in none.
fn root_to_parent(state: &State, group: &ThingGroup) -> Option<Vec<Value>> {
    group.parent.as_ref()?;
    let lineage = state.lineage(&group.name).skip(1);
    let mut names: Vec<_> = lineage.map(|group| named(state, &group.name)).collect();
    names.reverse();
    Some(names)
}

fn list_thing_groups(state: &State, call: &Call) -> Answered {
    let filter = GroupFilter {
        parent: call.text("parentGroup"),
        prefix: call.text("namePrefixFilter"),
        is_recursive: call
            .parsed("recursive", "be true or false")?
            .unwrap_or(true),
    };
    let groups = state.list_thing_groups(&filter, call.page()?)?;
    let groups = groups.map(|group| named(state, &group.name));
    Ok(listed(with_token("thingGroups"), groups))
}

fn update_thing_group(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: GroupUpdateBody = call.body()?;
    let properties = body.thing_group_properties;
    let payload = properties.attribute_payload.unwrap_or_default();
    let update = GroupUpdate {
        description: properties.thing_group_description,
        attributes: payload.attributes,
        merge: payload.merge,
        expected_version: body.expected_version,
    };
    let group = draft.update_thing_group(call.path("thingGroupName"), update)?;
    Ok(json!({ "version": group.version }))
}

fn delete_thing_group(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.delete_thing_group(call.path("thingGroupName"), call.expected_version()?)?;
    Ok(Value::Null)
}

impl Membership {
    /// The names of group and thing.
    fn names(self, state: &State) -> Result<(String, String), Refusal> {
        let group = named_by(
            self.thing_group_name,
            self.thing_group_arn,
            state,
            "thingGroup",
        )?;
        let thing = named_by(self.thing_name, self.thing_arn, state, "thing")?;
        Ok((group, thing))
    }
}

/// The name that is given, or that of an ARN; where both are, they have to say the same.
fn named_by(
    name: Option<String>,
    arn: Option<String>,
    state: &State,
    member: &str,
) -> Result<String, Refusal> {
    let by_arn = match arn {
        None => None,
        Some(arn) => match (Resource::parse(&arn, state.scope())?, member) {
            (Resource::Thing(name), "thing") | (Resource::ThingGroup(name), "thingGroup") => {
                Some(name)
            }
            _ => return Err(Refusal::invalid(format!("{arn} is no {member}Arn."))),
        },
    };
    match (name, by_arn) {
        (Some(name), Some(other)) if name != other => Err(Refusal::invalid(format!(
            "{member}Name {name} and {member}Arn name different ones."
        ))),
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => Err(Refusal::invalid(format!(
            "One of {member}Name and {member}Arn is required."
        ))),
    }
}

fn add_thing_to_thing_group(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Membership = call.body()?;
    let (group, thing) = body.names(draft)?;
    draft.add_thing_to_group(&group, &thing)?;
    Ok(Value::Null)
}

fn remove_thing_from_thing_group(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Membership = call.body()?;
    let (group, thing) = body.names(draft)?;
    draft.remove_thing_from_group(&group, &thing)?;
    Ok(Value::Null)
}

fn update_thing_groups_for_thing(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Memberships = call.body()?;
    for group in &body.thing_groups_to_remove {
        draft.remove_thing_from_group(group, &body.thing_name)?;
    }
    for group in &body.thing_groups_to_add {
        draft.add_thing_to_group(group, &body.thing_name)?;
    }
    Ok(Value::Null)
}

fn list_things_in_thing_group(state: &State, call: &Call) -> Answered {
    let name = call.path("thingGroupName");
    let things = state.list_things_in_group(name, call.flag("recursive")?, call.page()?)?;
    Ok(listed(with_token("things"), things))
}

fn list_thing_groups_for_thing(state: &State, call: &Call) -> Answered {
    let groups = state.list_groups_of_thing(call.path("thingName"), call.page()?)?;
    let groups = groups.map(|name| named(state, &name));
    Ok(listed(with_token("thingGroups"), groups))
}
