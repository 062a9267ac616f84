//! `GET /v1/groups`: shared groups with their cursor, members and queue.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;

use crate::broker::{GroupSnapshot, MemberSnapshot};
use crate::net::Shared;

use super::super::error::ApiError;
use super::super::query::Parameters;

#[derive(Serialize)]
pub(in crate::http) struct Groups {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    share: String,
    filter: String,
    /// The place in `members` that is next.
    cursor: usize,
    /// In join order.
    members: Vec<Member>,
    queued: usize,
    dropped: u64,
}

#[derive(Serialize)]
struct Member {
    client_id: String,
    connected: bool,
    in_flight: u32,
    delivered: u64,
    redelivered: u64,
}

/// All groups, or those of one `share` name, one `filter`, or both.
pub(in crate::http) async fn list(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Json<Groups>, ApiError> {
    let parameters = Parameters::parse(&uri, &["share", "filter"])?;
    let mut groups = shared.broker.groups();
    if let Some(share) = parameters.text("share") {
        groups.retain(|group| group.share == share);
    }
    if let Some(filter) = parameters.text("filter") {
        groups.retain(|group| group.filter == filter);
    }
    Ok(Json(Groups {
        groups: groups.into_iter().map(Group::from).collect(),
    }))
}

impl From<GroupSnapshot> for Group {
    fn from(group: GroupSnapshot) -> Self {
        Self {
            share: group.share,
            filter: group.filter,
            cursor: group.cursor,
            members: group.members.into_iter().map(Member::from).collect(),
            queued: group.queued,
            dropped: group.dropped,
        }
    }
}

impl From<MemberSnapshot> for Member {
    fn from(member: MemberSnapshot) -> Self {
        Self {
            client_id: member.client_id,
            connected: member.connected,
            in_flight: member.in_flight,
            delivered: member.delivered,
            redelivered: member.redelivered,
        }
    }
}
