//! What is told of changes, where that is switched on (AWS-OPS-45, AWS-RSV-04, -05, -07).

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::names::Resource;
use super::record::{EventConfigurations, EventType, Thing, ThingGroup, ThingType};
use super::{Changed, Draft, State};

impl State {
    /// What is told of.
    pub fn describe_event_configurations(&self) -> EventConfigurations {
        let account = self.account();
        account.map_or_else(EventConfigurations::default, |account| {
            account.events.clone()
        })
    }

    fn tells_of(&self, kind: EventType) -> bool {
        let account = self.account();
        account.is_some_and(|account| account.events.enabled.contains(&kind))
    }

    /// The groups that a group stands in, from the root on.
    fn ancestors(&self, group: &ThingGroup) -> Vec<&Arc<ThingGroup>> {
        let above = |group: &ThingGroup| self.groups.get(group.parent.as_ref()?);
        let mut ancestors: Vec<_> =
            iter::successors(above(group), |ancestor| above(ancestor)).collect();
        ancestors.reverse();
        ancestors
    }
}

impl Draft<'_> {
    /// Switches on, or off, what is named; the rest stays as it is.
    pub fn update_event_configurations(
        &mut self,
        changes: impl IntoIterator<Item = (EventType, bool)>,
    ) {
        let now = self.now();
        self.update_account(|account| {
            let events = &mut account.events;
            events.created.get_or_insert(now);
            events.modified = Some(now);
            for (kind, is_on) in changes {
                match is_on {
                    true => events.enabled.insert(kind),
                    false => events.enabled.remove(&kind),
                };
            }
        });
    }

    /// Notes that something is told of, if it is to be.
    fn tell(&mut self, kind: EventType, subject: &str, operation: &'static str, members: Value) {
        if !self.tells_of(kind) {
            return;
        }
        let mut payload = match members {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        let (id, now) = (self.uuid(), self.now());
        let event_type = format!("{}_EVENT", kind.name());
        payload.insert("eventType".to_owned(), event_type.into());
        payload.insert("eventId".to_owned(), id.into());
        payload.insert("timestamp".to_owned(), now.into());
        payload.insert("operation".to_owned(), operation.into());
        let topic = format!("$aws/events/{subject}/{}", operation.to_ascii_lowercase());
        let payload = Value::Object(payload).to_string().into_bytes();
        self.batch.changed.push(Changed::Event { topic, payload });
    }
}

/// What became of a record, and what is said of it.
fn operation<'r, R>(
    old: Option<&'r R>,
    new: Option<&'r R>,
    is_other: impl FnOnce(&R, &R) -> bool,
) -> Option<(&'static str, &'r R)> {
    match (old, new) {
        (None, Some(new)) => Some(("CREATED", new)),
        (Some(old), None) => Some(("DELETED", old)),
        (Some(old), Some(new)) if is_other(old, new) => Some(("UPDATED", new)),
        _ => None,
    }
}

/// What was in the first set only, and what is in the second only.
fn moves<'s>(
    old: &'s BTreeSet<String>,
    new: &'s BTreeSet<String>,
) -> impl Iterator<Item = (&'s String, &'static str)> {
    let removed = old.difference(new).map(|name| (name, "REMOVED"));
    removed.chain(new.difference(old).map(|name| (name, "ADDED")))
}

pub(super) fn thing(old: Option<&Thing>, new: Option<&Thing>, draft: &mut Draft<'_>) {
    let Some(thing) = new.or(old) else {
        return;
    };
    let (name, id) = (&thing.name, &thing.id);
    let account = draft.scope().account.clone();
    if let Some((operation, _)) = operation(old, new, |old, new| old.version != new.version) {
        let members = json!({
            "accountId": account,
            "thingId": id,
            "thingName": name,
            "versionNumber": thing.version,
            "thingTypeName": thing.thing_type,
            "attributes": thing.attributes,
        });
        draft.tell(
            EventType::Thing,
            &format!("thing/{name}"),
            operation,
            members,
        );
    }
    let kind = |thing: Option<&Thing>| -> BTreeSet<String> {
        thing
            .and_then(|thing| thing.thing_type.clone())
            .into_iter()
            .collect()
    };
    for (kind, operation) in moves(&kind(old), &kind(new)) {
        let subject = format!("thingTypeAssociation/thing/{name}/thingType/{kind}");
        let members = json!({ "thingId": id, "thingName": name, "thingTypeName": kind });
        draft.tell(
            EventType::ThingTypeAssociation,
            &subject,
            operation,
            members,
        );
    }
    let none = BTreeSet::new();
    let groups =
        |thing: Option<&'_ Thing>| thing.map_or(none.clone(), |thing| thing.groups.clone());
    for (group, operation) in moves(&groups(old), &groups(new)) {
        let Some(group) = draft.groups.get(group).cloned() else {
            continue; // it went together with its members
        };
        let subject = format!(
            "thingGroupMembership/thingGroup/{}/thing/{name}",
            group.name
        );
        let members = json!({
            "accountId": account,
            "groupArn": draft.arn(&Resource::ThingGroup(group.name.clone())),
            "groupId": group.id,
            "thingArn": draft.arn(&Resource::Thing(name.clone())),
            "thingId": id,
            "membershipId": membership(id, &group.id),
        });
        draft.tell(
            EventType::ThingGroupMembership,
            &subject,
            operation,
            members,
        );
    }
}

/// The identifier of a thing's place in a group: the same when it leaves as when it came.
fn membership(thing: &str, group: &str) -> String {
    let digest = digest(&SHA256, format!("{thing} {group}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

pub(super) fn thing_type(old: Option<&ThingType>, new: Option<&ThingType>, draft: &mut Draft<'_>) {
    let is_other = |old: &ThingType, new: &ThingType| {
        old.properties != new.properties || old.deprecated != new.deprecated
    };
    let Some((operation, kind)) = operation(old, new, is_other) else {
        return;
    };
    let propagating = kind.properties.propagating_attributes.iter();
    let propagating = propagating.map(|attribute| {
        let (source, value) = match (&attribute.thing_attribute, &attribute.connection_attribute) {
            (Some(attribute), _) => ("thingAttribute", Some(attribute)),
            (None, attribute) => ("connectionAttribute", attribute.as_ref()),
        };
        json!({ "userPropertyKey": attribute.user_property_key, source: value })
    });
    let members = json!({
        "accountId": draft.scope().account,
        "thingTypeId": kind.id,
        "thingTypeName": kind.name,
        "isDeprecated": kind.deprecated.is_some(),
        "deprecationDate": kind.deprecated,
        "searchableAttributes": kind.properties.searchable_attributes,
        "propagatingAttributes": propagating.collect::<Vec<_>>(),
        "description": kind.properties.description,
    });
    let subject = format!("thingType/{}", kind.name);
    draft.tell(EventType::ThingType, &subject, operation, members);
}

pub(super) fn thing_group(
    old: Option<&ThingGroup>,
    new: Option<&ThingGroup>,
    draft: &mut Draft<'_>,
) {
    let is_other = |old: &ThingGroup, new: &ThingGroup| old.version != new.version;
    let Some((operation, group)) = operation(old, new, is_other) else {
        return;
    };
    let account = draft.scope().account.clone();
    let ancestors = draft.ancestors(group);
    let parent = ancestors.last().map(|parent| Arc::clone(parent));
    let above = ancestors.iter().map(|ancestor| {
        let arn = draft.arn(&Resource::ThingGroup(ancestor.name.clone()));
        json!({ "groupArn": arn, "groupId": ancestor.id })
    });
    let members = json!({
        "accountId": account,
        "thingGroupId": group.id,
        "thingGroupName": group.name,
        "versionNumber": group.version,
        "parentGroupName": parent.as_ref().map(|parent| &parent.name),
        "parentGroupId": parent.as_ref().map(|parent| &parent.id),
        "description": group.description,
        "rootToParentThingGroups": above.collect::<Vec<_>>(),
        "attributes": group.attributes,
        "dynamicGroupMappingId": null,
    });
    let subject = format!("thingGroup/{}", group.name);
    draft.tell(EventType::ThingGroup, &subject, operation, members);
    let moved = match operation {
        "CREATED" => "ADDED",
        "DELETED" => "REMOVED",
        _ => return, // a group stays where it is
    };
    let Some(parent) = parent else {
        return;
    };
    let members = json!({
        "accountId": account,
        "thingGroupId": parent.id,
        "thingGroupName": parent.name,
        "childGroupId": group.id,
        "childGroupName": group.name,
    });
    let (above, below) = (&parent.name, &group.name);
    let subject = format!("thingGroupHierarchy/thingGroup/{above}/childThingGroup/{below}");
    draft.tell(EventType::ThingGroupHierarchy, &subject, moved, members);
}
