//! What is told of changes.

use std::sync::mpsc;

use serde_json::{Value, json};

use super::*;

/// An office, and what it is told.
struct Desk {
    office: Office,
    told: mpsc::Receiver<Changed>,
}

impl Desk {
    fn new(on: &[EventType]) -> Self {
        let office = Office::in_memory();
        let (tell, told) = mpsc::channel();
        office.registry.on_change(move |changed| {
            for change in changed {
                tell.send(change.clone()).unwrap();
            }
        });
        let changes: Vec<_> = on.iter().map(|kind| (*kind, true)).collect();
        office
            .change(|d| {
                d.update_event_configurations(changes);
                Ok(())
            })
            .unwrap();
        Self { office, told }
    }

    fn change<T>(&self, operation: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>) -> T {
        self.office.change(operation).unwrap()
    }

    /// Topics below `$aws/events/` and payloads of what was told since the last look.
    fn events(&self) -> Vec<(String, Value)> {
        let events = self.told.try_iter().filter_map(|changed| match changed {
            Changed::Event { topic, payload } => {
                let topic = topic.strip_prefix("$aws/events/").unwrap().to_owned();
                Some((topic, serde_json::from_slice(&payload).unwrap()))
            }
            _ => None,
        });
        events.collect()
    }

    fn topics(&self) -> Vec<String> {
        self.events().into_iter().map(|(topic, _)| topic).collect()
    }
}

/// Takes the identifier out, which is another one each time.
fn without_id(mut payload: Value) -> Value {
    let id = payload.as_object_mut().unwrap().remove("eventId").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36);
    payload
}

/// AWS-RSV-05
#[test]
fn things_are_told_of_with_their_types_and_groups() {
    let desk = Desk::new(&EventType::ALL);
    desk.change(|d| d.create_thing_type("car", Default::default(), Attributes::new()));
    desk.office.group("all", None);
    desk.events();
    let thing = desk.change(|d| {
        let new = NewThing {
            thing_type: Some("car".to_owned()),
            attributes: [("vin".to_owned(), "1".to_owned())].into(),
        };
        d.create_thing("car1", new)
    });
    let created = desk.events();
    assert_eq!(created.len(), 2);
    assert_eq!(created[0].0, "thing/car1/created");
    assert_eq!(
        without_id(created[0].1.clone()),
        json!({
            "eventType": "THING_EVENT",
            "timestamp": desk.office.now,
            "operation": "CREATED",
            "accountId": "123456789012",
            "thingId": thing.id,
            "thingName": "car1",
            "versionNumber": 1,
            "thingTypeName": "car",
            "attributes": { "vin": "1" },
        })
    );
    assert_eq!(
        created[1].0,
        "thingTypeAssociation/thing/car1/thingType/car/added"
    );
    assert_eq!(
        without_id(created[1].1.clone()),
        json!({
            "eventType": "THING_TYPE_ASSOCIATION_EVENT",
            "timestamp": desk.office.now,
            "operation": "ADDED",
            "thingId": thing.id,
            "thingName": "car1",
            "thingTypeName": "car",
        })
    );
    desk.change(|d| d.add_thing_to_group("all", "car1"));
    let added = desk.events();
    assert_eq!(added.len(), 1);
    assert_eq!(
        added[0].0,
        "thingGroupMembership/thingGroup/all/thing/car1/added"
    );
    assert_eq!(
        added[0].1["thingArn"],
        "arn:aws:iot:us-east-1:123456789012:thing/car1"
    );
    assert_eq!(
        added[0].1["groupArn"],
        "arn:aws:iot:us-east-1:123456789012:thinggroup/all"
    );
    desk.change(|d| d.remove_thing_from_group("all", "car1"));
    let removed = desk.events();
    assert_eq!(removed[0].1["operation"], "REMOVED");
    assert_eq!(removed[0].1["membershipId"], added[0].1["membershipId"]);
    assert_ne!(removed[0].1["eventId"], added[0].1["eventId"]);
    desk.change(|d| d.delete_thing("car1", None));
    assert_eq!(
        desk.topics(),
        [
            "thing/car1/deleted",
            "thingTypeAssociation/thing/car1/thingType/car/removed"
        ]
    );
}

/// AWS-RSV-07
#[test]
fn groups_are_told_of_with_those_above_them() {
    let desk = Desk::new(&EventType::ALL);
    desk.office.group("root", None);
    desk.office.group("middle", Some("root"));
    desk.events();
    desk.office.group("leaf", Some("middle"));
    let created = desk.events();
    let state = desk.office.registry.state();
    let id = |name: &str| state.groups[name].id.clone();
    assert_eq!(created[0].0, "thingGroup/leaf/created");
    let above = ["root", "middle"].map(|name| {
        let arn = format!("arn:aws:iot:us-east-1:123456789012:thinggroup/{name}");
        json!({ "groupArn": arn, "groupId": id(name) })
    });
    assert_eq!(
        without_id(created[0].1.clone()),
        json!({
            "eventType": "THING_GROUP_EVENT",
            "timestamp": desk.office.now,
            "operation": "CREATED",
            "accountId": "123456789012",
            "thingGroupId": id("leaf"),
            "thingGroupName": "leaf",
            "versionNumber": 1,
            "parentGroupName": "middle",
            "parentGroupId": id("middle"),
            "description": null,
            "rootToParentThingGroups": above,
            "attributes": {},
            "dynamicGroupMappingId": null,
        })
    );
    assert_eq!(
        created[1].0,
        "thingGroupHierarchy/thingGroup/middle/childThingGroup/leaf/added"
    );
    assert_eq!(created[1].1["childGroupId"], id("leaf"));
    assert_eq!(created[1].1["thingGroupId"], id("middle"));
    desk.change(|d| d.delete_thing_group("leaf", None));
    assert_eq!(
        desk.topics(),
        [
            "thingGroup/leaf/deleted",
            "thingGroupHierarchy/thingGroup/middle/childThingGroup/leaf/removed"
        ]
    );
}

/// AWS-RSV-07
#[test]
fn types_are_told_of() {
    let desk = Desk::new(&[EventType::ThingType]);
    let properties = ThingTypeProperties {
        description: Some("cars".to_owned()),
        searchable_attributes: vec!["vin".to_owned()],
        propagating_attributes: vec![PropagatingAttribute {
            user_property_key: "v".to_owned(),
            thing_attribute: Some("vin".to_owned()),
            connection_attribute: None,
        }],
    };
    desk.change(|d| d.create_thing_type("car", properties, Attributes::new()));
    desk.change(|d| d.deprecate_thing_type("car", false));
    let events = desk.events();
    let topics: Vec<_> = events.iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["thingType/car/created", "thingType/car/updated"]);
    let kind = desk.office.registry.state().types["car"].clone();
    assert_eq!(
        without_id(events[1].1.clone()),
        json!({
            "eventType": "THING_TYPE_EVENT",
            "timestamp": desk.office.now,
            "operation": "UPDATED",
            "accountId": "123456789012",
            "thingTypeId": kind.id,
            "thingTypeName": "car",
            "isDeprecated": true,
            "deprecationDate": kind.deprecated,
            "searchableAttributes": ["vin"],
            "propagatingAttributes": [{ "userPropertyKey": "v", "thingAttribute": "vin" }],
            "description": "cars",
        })
    );
    desk.change(|d| d.delete_thing_type("car"));
    assert_eq!(desk.topics(), ["thingType/car/deleted"]);
}

/// AWS-OPS-45
#[test]
fn only_what_is_switched_on_is_told_of() {
    let desk = Desk::new(&[]);
    desk.office.thing("quiet");
    assert_eq!(desk.topics(), [""; 0]);
    let configurations = || desk.office.registry.state().describe_event_configurations();
    let first = configurations();
    assert_eq!(first.created, Some(desk.office.now));
    let on = |kind, is_on| {
        desk.change(|d| {
            d.update_event_configurations([(kind, is_on)]);
            Ok(())
        });
    };
    on(EventType::Thing, true);
    on(EventType::Job, true);
    desk.office.group("group", None);
    desk.office.thing("heard");
    assert_eq!(desk.topics(), ["thing/heard/created"]);
    // What does not happen is not told of.
    desk.office
        .change(|d| {
            d.create_thing("lost", NewThing::default())?;
            d.delete_policy("absent")
        })
        .unwrap_err();
    on(EventType::Thing, false);
    desk.office.thing("quiet-again");
    assert_eq!(desk.topics(), [""; 0]);
    assert_eq!(configurations().enabled, [EventType::Job].into());
}

#[test]
fn names_of_kinds_are_those_of_the_service() {
    for kind in EventType::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        assert_eq!(EventType::named(kind.name()), Some(kind));
    }
    assert_eq!(EventType::named("thing"), None);
}
