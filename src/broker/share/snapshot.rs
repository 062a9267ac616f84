//! A group as the HTTP API shows it.

use crate::broker::part_bounds::PartBounds;

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

/// A member of a group.
#[derive(Clone, Debug)]
pub(crate) struct MemberSnapshot {
    pub(crate) client_id: String,
    pub(crate) connected: bool,
    pub(crate) in_flight: u32,
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
}

impl Group {
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
