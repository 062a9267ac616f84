//! `/v1/groups`: shared groups with their cursor, members and queue.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use crate::broker::{
    Broker, Glimpse, GroupCounts, GroupHead, GroupSnapshot, GroupsOf, MemberSnapshot, PartBounds,
    Subject,
};
use crate::topic::Filter;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::{ApiError, excerpt};
use super::super::query::Parameters;
use super::super::waits::{self, Missed, Patience};
use super::retained::check_filter;

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
    /// With `members_total`, where the request says how many members it wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    members_connected: Option<usize>,
    /// The number of its last message, as with `members_connected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
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
    let known = ["share", "filter", "after", "limit", "q", "members"];
    let parameters = Parameters::parse(&uri, &known)?;
    let limit = parameters.limit()?;
    let members = parameters.number("members", MEMBERS.count)?;
    check_names(parameters.text("share"), parameters.text("filter"))?;
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
        let entries = entries.map(|group| {
            let Some(count) = members else {
                return Group::from(group.snapshot(MEMBERS));
            };
            let bounds = PartBounds { count, ..MEMBERS };
            let standing = group.standing();
            Group {
                members_total: Some(standing.members),
                members_connected: Some(group.connected()),
                number: Some(standing.number),
                ..group.snapshot(bounds).into()
            }
        });
        Answer::list("groups", entries, found.total, engine.broker.budget())
    };
    api.jobs.run(job).await?
}

/// One group, with more than fits a list.
#[derive(Serialize)]
struct GroupDetail {
    share: String,
    filter: String,
    cursor: usize,
    members: Vec<MemberDetail>,
    members_total: usize,
    members_connected: usize,
    queued: usize,
    dropped: u64,
    /// The number of its last message.
    number: u64,
    /// `None`: nothing waits.
    head: Option<Head>,
}

#[derive(Serialize)]
struct MemberDetail {
    #[serde(flatten)]
    member: Member,
    /// The Receive Maximum of its connection.
    window: Option<usize>,
    /// What of it is taken by whatever it subscribes to.
    window_taken: usize,
}

/// The message that waits and goes out first.
#[derive(Serialize)]
struct Head {
    /// Counts the messages of the group.
    number: u64,
    topic: String,
    qos: u8,
    payload_size: usize,
    /// A member had it and did not acknowledge it.
    returned: bool,
}

/// A group that there can be.
///
/// # Errors
///
/// 400 for a share name or a filter that no subscription has.
pub(super) fn check_names(share: Option<&str>, filter: Option<&str>) -> Result<(), ApiError> {
    if let Some(filter) = filter {
        check_filter(filter)?;
    }
    let full = share.map(|share| format!("$share/{share}/x"));
    let parsed = full.as_deref().map(Filter::parse).transpose();
    match parsed.map_err(|error| error.to_string()) {
        Ok(parsed) if parsed.is_none_or(|own| own.share == share) => Ok(()),
        Ok(_) => Err(ApiError::invalid(
            "share",
            "there is a slash in the share name",
        )),
        Err(error) => Err(ApiError::invalid("share", error)),
    }
}

/// The group of a share name and a filter, at once or when it has so many members and so much waits in it.
pub(super) async fn show(
    State(api): State<Api>,
    names: Result<Path<(String, String)>, PathRejection>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path((share, filter)) = names?;
    let parameters = Parameters::parse(&uri, &["members", "queued", "wait"])?;
    check_names(Some(&share), Some(&filter))?;
    let wanted = Wanted {
        members: parameters.number("members", usize::MAX)?,
        queued: parameters.number("queued", usize::MAX)?,
    };
    let wait = waits::asked(&parameters)?;
    let waited = match wait {
        None => {
            waits::refuse_conditions(&parameters, &["members", "queued"])?;
            None
        }
        Some(within) => {
            let subjects = [Subject::Subscriptions, Subject::GroupQueues];
            let look = |broker: &Broker| {
                let counts = broker.group_counts(&share, &filter);
                wanted.is(counts).then_some(())
            };
            let names = (share.clone(), filter.clone());
            let catch = move |glimpse: &Glimpse<'_>| {
                let counts = glimpse.group_counts(&names.0, &names.1)?;
                wanted.is(counts).then_some(())
            };
            let what = wanted.missed();
            let time = (within, what.as_str());
            let waited = waits::until(&api, &patience, time, &subjects, look, catch);
            Some(waited.await?.0)
        }
    };
    let engine = api.engine.clone();
    let answer = move |missed: Option<&Missed>| {
        let group = engine.broker.group(&share, &filter);
        if group.is_none() && wait.is_none() {
            let (share, filter) = (excerpt(&share), excerpt(&filter));
            let error = format!("no group '$share/{share}/{filter}'");
            return Err(ApiError::not_found(error).at("filter"));
        }
        let head = group.as_ref().and_then(|group| group.head());
        let connected = group.as_ref().map_or(0, |group| group.connected());
        let number = group.as_ref().map_or(0, |group| group.standing().number);
        let group = group.map(|group| group.snapshot(MEMBERS));
        let group = group.unwrap_or_else(|| GroupSnapshot::none(share, filter));
        let detail = GroupDetail::new(group, head, connected, number);
        Answer::of_wait(missed, &detail, engine.broker.budget())
    };
    waits::answer(&api, waited, answer).await
}

/// What a group is waited for to have.
#[derive(Clone, Copy)]
struct Wanted {
    /// Exactly so many; `None`: any.
    members: Option<usize>,
    /// At least so many messages, or none at all for 0.
    queued: Option<usize>,
}

impl Wanted {
    /// What there is not.
    fn missed(&self) -> String {
        let members = match self.members {
            Some(members) => format!("{members} members"),
            None => "a member".to_owned(),
        };
        match self.queued {
            Some(queued) => format!("no group with {members} and {queued} messages that wait"),
            None => format!("no group with {members}"),
        }
    }

    /// A group that is not there has no members, and nothing else that could be asked for.
    fn is(&self, group: GroupCounts) -> bool {
        let has_members = match self.members {
            Some(wanted) => group.members == wanted,
            None => group.members > 0,
        };
        let has_queued = match self.queued {
            Some(0) => group.queued == 0,
            Some(wanted) => group.queued >= wanted,
            None => true,
        };
        has_members && has_queued
    }
}

impl GroupDetail {
    fn new(
        group: GroupSnapshot,
        head: Option<GroupHead>,
        members_connected: usize,
        number: u64,
    ) -> Self {
        let members = group.members.into_iter().map(|member| MemberDetail {
            window: member.window,
            window_taken: member.window_taken,
            member: member.into(),
        });
        Self {
            share: group.share,
            filter: group.filter,
            cursor: group.cursor,
            members: members.collect(),
            members_total: group.members_total,
            members_connected,
            queued: group.queued,
            dropped: group.dropped,
            number,
            head: head.map(|head| Head {
                number: head.number,
                topic: head.message.topic().to_owned(),
                qos: head.message.qos().bits(),
                payload_size: head.message.payload().len(),
                returned: head.is_returned,
            }),
        }
    }
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
            members_connected: None,
            number: None,
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
