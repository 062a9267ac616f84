//! Which changes of the registry are told of (AWS-OPS-45).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::registry::{Draft, EventType, State};

use super::call::{Call, seconds};
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 2] = [
    Operation::read(
        "DescribeEventConfigurations",
        "GET /event-configurations",
        describe_event_configurations,
    ),
    Operation::change(
        "UpdateEventConfigurations",
        "PATCH /event-configurations",
        update_event_configurations,
    ),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    event_configurations: BTreeMap<String, Configuration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    #[serde(default)]
    enabled: bool,
}

fn describe_event_configurations(state: &State, _: &Call) -> Answered {
    let found = state.describe_event_configurations();
    let all = EventType::ALL.into_iter().map(|kind| {
        let is_on = found.enabled.contains(&kind);
        (kind.name().to_owned(), json!({ "Enabled": is_on }))
    });
    Ok(json!({
        "eventConfigurations": all.collect::<serde_json::Map<_, _>>(),
        "creationDate": found.created.map(seconds),
        "lastModifiedDate": found.modified.map(seconds),
    }))
}

fn update_event_configurations(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: Body = call.body()?;
    let changes = body.event_configurations.into_iter();
    let changes = changes.map(|(name, configuration)| {
        let known = EventType::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = known.ok_or_else(|| {
            let names = EventType::ALL.map(EventType::name).join(", ");
            let constraint = format!("satisfy enum value set: [{names}]");
            Refusal::constraint("eventConfigurations", Some(&name), &constraint)
        })?;
        Ok((kind, configuration.enabled))
    });
    let changes = changes.collect::<Result<Vec<_>, Refusal>>()?;
    draft.update_event_configurations(changes);
    Ok(Value::Null)
}
