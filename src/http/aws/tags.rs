//! Tags (AWS-OPS-58).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::registry::{Draft, Page, State};

use super::call::{Call, Tag, by_key, listed, with_token};
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 3] = [
    Operation::change("TagResource", "POST /tags", tag_resource),
    Operation::change("UntagResource", "POST /untag", untag_resource),
    Operation::read("ListTagsForResource", "GET /tags", list_tags_for_resource),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagBody {
    resource_arn: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UntagBody {
    resource_arn: String,
    tag_keys: Vec<String>,
}

fn tag_resource(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: TagBody = call.body()?;
    draft.tag_resource(&body.resource_arn, by_key(Some(body.tags)))?;
    Ok(Value::Null)
}

fn untag_resource(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: UntagBody = call.body()?;
    let keys: Vec<_> = body.tag_keys.iter().map(String::as_str).collect();
    draft.untag_resource(&body.resource_arn, &keys)?;
    Ok(Value::Null)
}

fn list_tags_for_resource(state: &State, call: &Call) -> Answered {
    let arn = call.text("resourceArn");
    let arn = arn.ok_or_else(|| Refusal::missing("resourceArn"))?;
    let page = Page {
        token: call.text("nextToken"),
        ..Page::default()
    };
    let tags = state.list_tags(arn, page)?;
    let tags = tags.map(|(key, value)| json!({ "Key": key, "Value": value }));
    Ok(listed(with_token("tags"), tags))
}
