//! `GET /v1/groups`: shared groups with their cursor, members and queue.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use crate::broker::{GroupSnapshot, GroupsOf, MemberSnapshot, PartBounds};
use crate::topic::Filter;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::Parameters;

/// Members of one group in an answer: publishers to the group wait while they are looked at.
const MEMBERS: PartBounds = PartBounds {
    count: 1000,
    bytes: 64 * 1024,
};

#[derive(Serialize)]
struct Group {
    share: String,
    filter: String,
    /// The place in `members` that is next.
    cursor: usize,
    /// In join order.
    members: Vec<Member>,
    /// If not all of them are in `members`.
    #[serde(skip_serializing_if = "Option::is_none")]
    members_total: Option<usize>,
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

/// A page of the groups, or of those of one `share` name, one `filter`, or both.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let known = ["share", "filter", "after", "limit", "q"];
    let parameters = Parameters::parse(&uri, &known)?;
    let limit = parameters.limit()?;
    let engine = api.engine;
    let job = move || {
        let groups = GroupsOf {
            share: parameters.text("share"),
            filter: parameters.text("filter"),
            containing: parameters.text("q"),
            after: parameters.text("after").map(names),
            limit,
        };
        let found = engine.broker.group_page(&groups);
        let entries = found.entries.iter();
        let entries = entries.map(|group| Group::from(group.snapshot(MEMBERS)));
        Answer::list("groups", entries, found.total, engine.broker.budget())
    };
    api.jobs.run(job).await?
}

/// The filter and share name of `$share/NAME/FILTER`, as a client subscribes to it; anything else is
/// a filter and stands behind all groups of it.
fn names(full: &str) -> (&str, Option<&str>) {
    match Filter::parse(full) {
        Ok(parsed) => (parsed.filter, parsed.share),
        Err(_) => (full, None),
    }
}

impl From<GroupSnapshot> for Group {
    fn from(group: GroupSnapshot) -> Self {
        Self {
            share: group.share,
            filter: group.filter,
            cursor: group.cursor,
            members_total: (group.members.len() < group.members_total)
                .then_some(group.members_total),
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
