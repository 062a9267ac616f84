//! Shared groups: who is a member, what waits, and in which order it goes out.

use std::collections::BTreeMap;

use crate::codec::QoS;

use super::{Group, Ledger, Open, Source, Waiting};

impl Group {
    /// A message is due to one member.
    pub(super) fn expect(&mut self, order: u64, number: u64, qos: QoS, is_large: bool) {
        if qos == QoS::AtMostOnce {
            self.at_once.push(number);
        } else {
            let waiting = Waiting {
                number,
                handed: 0,
                is_large,
                returned: None,
                goes_home: false,
            };
            self.waiting.insert(order, waiting);
        }
    }

    pub(super) fn full_filter(&self) -> String {
        format!("$share/{}/{}", self.share, self.filter)
    }
}

impl Ledger {
    /// The session becomes a member of a group, which begins with its first one.
    pub(super) fn join(&mut self, session: usize, share: &str, filter: &str) -> usize {
        let known = self.groups.iter().position(|group| {
            !group.members.is_empty() && group.share == share && group.filter == filter
        });
        let index = known.unwrap_or_else(|| {
            self.groups.push(Group {
                share: share.to_owned(),
                filter: filter.to_owned(),
                members: Vec::new(),
                waiting: Default::default(),
                at_once: Vec::new(),
                last_first: 0,
            });
            self.groups.len() - 1
        });
        self.groups[index].members.push(session);
        index
    }

    /// Rule 8: with its last member a group ends, and what it handed over stays where it is.
    pub(super) fn leave(&mut self, group: usize, session: usize) {
        self.groups[group]
            .members
            .retain(|member| *member != session);
        if !self.groups[group].members.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.groups[group].waiting);
        self.give_up(waiting);
        for session in &mut self.sessions {
            for open in session.window.values_mut() {
                if open.source == Source::Group(group) {
                    open.source = Source::Own;
                }
            }
        }
    }

    /// Rule 7: a queue is kept for a member that is connected, or that comes back for QoS 1.
    fn may_wait(&self, group: &Group) -> bool {
        let full = group.full_filter();
        group.members.iter().any(|member| {
            let session = &self.sessions[*member];
            session.connection.is_some()
                || session
                    .subscriptions
                    .get(&full)
                    .is_some_and(|subscription| subscription.qos > QoS::AtMostOnce)
        })
    }

    /// Checks the hand-overs of a call, group by group.
    pub(super) fn close_groups(&mut self) {
        for index in 0..self.groups.len() {
            self.close_first_hand_overs(index);
            self.close_order(index);
            let group = &self.groups[index];
            let is_refused = !group.at_once.is_empty() && self.rules.is_exact && self.is_single();
            if is_refused {
                let can_take = |member: &usize| {
                    let connection = self.sessions[*member].connection;
                    connection.is_some_and(|at| !self.connections[at].is_broken)
                };
                assert!(
                    !group.members.iter().any(can_take),
                    "a message of qos 0 for {} went to nobody",
                    group.full_filter()
                );
            }
            let group = &mut self.groups[index];
            self.lost += std::mem::take(&mut group.at_once).len() as u64;
        }
        self.give_up_hopeless();
    }

    /// Nobody is there for a queue, and nobody comes back for it.
    pub(super) fn give_up_hopeless(&mut self) {
        for index in 0..self.groups.len() {
            if !self.may_wait(&self.groups[index]) {
                let waiting = std::mem::take(&mut self.groups[index].waiting);
                self.give_up(waiting);
            }
        }
    }

    /// Rules 4 and 8: what a session had that may have it again is its own; the rest is lost.
    fn give_up(&mut self, waiting: BTreeMap<u64, Waiting>) {
        for waiting in waiting.into_values() {
            let home = waiting.returned.filter(|(session, id)| {
                let session = &self.sessions[*session];
                let stays = session.connection.is_some() || session.expiry > 0;
                !session.has_ended && stays && !session.window.contains_key(id)
            });
            let Some((session, id)) = home else {
                self.lost += 1;
                continue;
            };
            let open = Open {
                number: waiting.number,
                qos: QoS::AtLeastOnce,
                source: Source::Own,
                is_released: false,
                is_on_wire: false,
                takes_place: false,
                handed: waiting.handed,
                stamp: 0,
            };
            self.sessions[session].window.insert(id, open);
        }
    }

    /// The session has a connection again: it gets what it had of groups that it has left.
    pub(super) fn call_home(&mut self, session: usize) {
        for group in &mut self.groups {
            if group.members.contains(&session) {
                continue;
            }
            for waiting in group.waiting.values_mut() {
                waiting.goes_home |= waiting.returned.is_some_and(|(had, _)| had == session);
            }
        }
    }

    /// All that goes to a session as its own is there.
    pub(super) fn come_home(&mut self) {
        for index in 0..self.groups.len() {
            let waiting = std::mem::take(&mut self.groups[index].waiting);
            let (home, rest) = (waiting.into_iter()).partition(|(_, waiting)| waiting.goes_home);
            self.groups[index].waiting = rest;
            self.give_up(home);
        }
    }

    /// First hand-overs ascend, over the whole group.
    fn close_first_hand_overs(&mut self, index: usize) {
        let firsts = self.call.firsts.remove(&index).unwrap_or_default();
        let group = &mut self.groups[index];
        for order in &firsts {
            assert!(
                *order > group.last_first,
                "message of order {order} for {} goes out after a newer one",
                group.full_filter()
            );
        }
        group.last_first = firsts.into_iter().fold(group.last_first, u64::max);
    }

    /// What goes out goes in order: whatever is older and still waits has been dropped.
    fn close_order(&mut self, index: usize) {
        let handed = self.call.handed.remove(&index).unwrap_or_default();
        let Some(newest) = handed.iter().max().filter(|_| self.is_single()) else {
            return;
        };
        let group = &mut self.groups[index];
        let mut kept = group.waiting.split_off(newest);
        let older = std::mem::take(&mut group.waiting).into_iter();
        let (large, passed): (BTreeMap<_, _>, BTreeMap<_, _>) =
            older.partition(|(_, waiting)| waiting.is_large);
        kept.extend(large);
        group.waiting = kept;
        assert!(
            passed.is_empty() || !(self.rules.is_lossless || self.rules.packet_sizes),
            "{} handed over order {newest} while older ones wait: {:?}",
            group.full_filter(),
            passed.keys().collect::<Vec<_>>()
        );
        self.lost += passed.len() as u64;
    }
}
