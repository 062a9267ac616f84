//! A group as the HTTP API shows it.

use crate::broker::part_bounds::PartBounds;
use crate::message::publication::Message;

use super::Group;

/// A group and its first members.
#[derive(Clone, Debug)]
pub(crate) struct GroupSnapshot {
    pub(crate) share: String,
    pub(crate) filter: String,
    pub(crate) cursor: usize,
    /// The first ones, in join order.
    pub(crate) members: Vec<MemberSnapshot>,
    /// All of them.
    pub(crate) members_total: usize,
    pub(crate) queued: usize,
    pub(crate) dropped: u64,
}

impl GroupSnapshot {
    /// A group that nobody is a member of: there is none.
    pub(crate) fn none(share: String, filter: String) -> Self {
        Self {
            share,
            filter,
            cursor: 0,
            members: Vec::new(),
            members_total: 0,
            queued: 0,
            dropped: 0,
        }
    }
}

/// A member of a group.
#[derive(Clone, Debug)]
pub(crate) struct MemberSnapshot {
    pub(crate) client_id: String,
    pub(crate) connected: bool,
    pub(crate) in_flight: u32,
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    /// The Receive Maximum of its connection.
    pub(crate) window: Option<usize>,
    /// What of it is taken, by this group, others, and plain subscriptions.
    pub(crate) window_taken: usize,
}

/// The message of a group that waits and is to go out first.
#[derive(Clone)]
pub(crate) struct GroupHead {
    /// Its number in the group.
    pub(crate) number: u64,
    pub(crate) message: Message,
    /// A member had it, and did not acknowledge it.
    pub(crate) is_returned: bool,
}

impl Group {
    /// The message that waits and is to go out first.
    pub(crate) fn head(&self) -> Option<GroupHead> {
        let state = self.state.lock();
        let (number, waiting) = state.backlog.oldest()?;
        Some(GroupHead {
            number,
            message: waiting.message.clone(),
            is_returned: waiting.returned.is_some(),
        })
    }

    /// The group as it stands, with its first members as far as `bounds` go: publishers wait
    /// meanwhile.
    pub(crate) fn snapshot(&self, bounds: PartBounds) -> GroupSnapshot {
        let state = self.state.lock();
        let members = bounds.take(state.ring.iter(), |member| member.session.client_id());
        let members = members.map(|member| {
            let outbox = member.session.outbox();
            MemberSnapshot {
                client_id: member.session.client_id().to_owned(),
                connected: outbox.is_reachable(),
                in_flight: outbox
                    .membership(member.membership)
                    .map_or(0, |membership| membership.in_flight),
                delivered: member.delivered,
                redelivered: member.redelivered,
                window: (outbox.connected.as_ref()).map(|connected| connected.peer.window.into()),
                window_taken: outbox.window_taken(),
            }
        });
        GroupSnapshot {
            share: self.share.to_string(),
            filter: self.filter.to_string(),
            cursor: state.ring.turn(),
            members: members.collect(),
            members_total: state.ring.len(),
            queued: state.backlog.len(),
            dropped: state.dropped,
        }
    }
}
