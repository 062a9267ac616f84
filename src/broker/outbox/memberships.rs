//! A session's places in shared groups, and what the groups want of it.
//!
//! A place is kept until the last message that was handed over for it is done with. Each is at most once
//! in each of three lists: two for want of room, which whoever makes room works off, and one of the
//! groups that are to be told of the next connection. So nobody who makes room, leaves or comes back
//! has to visit a group that waits for nothing.
//!
//! A connection that ends may leave tens of thousands of messages, and as many groups that have to know.
//! They are worked off one after the other, as an [`Errand`] of the session.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::window::Walk;
use crate::chunked::List;

use crate::broker::share::Group;

/// Places that are looked at in a step.
const PLACES_IN_STEP: usize = 32;

/// What is being done for the groups of a session whose connection has ended, or began.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::broker) enum Errand {
    #[default]
    None,
    /// The groups that get messages back are told to hand out nothing until they have all of them: those
    /// from this place of the list on.
    Announcing(usize),
    /// Messages go from the window to their groups.
    Surrendering(Walk),
    /// The groups are told that the member is gone, and go on.
    Concluding,
    /// The groups are told of the new connection, and give back what it had before.
    Resuming,
}

impl Errand {
    /// Whether messages in the window are still to go back to their groups.
    pub(in crate::broker) fn surrenders(self) -> bool {
        matches!(self, Self::Announcing(_) | Self::Surrendering(_))
    }
}

/// What is next in an errand.
pub(in crate::broker) enum Task {
    Announce(Arc<Group>),
    Surrender(Walk),
    /// Of the group whether it holds back what waits for the sake of this member.
    Conclude(Arc<Group>, IsHeld),
    Resume(u32, Arc<Group>, IsHeld),
    /// All groups know that the connection is gone.
    Departed,
    /// The session has ended and so has the errand.
    End,
    Nothing,
}

/// Whether a group hands out nothing of QoS 1 and 2 for the time being, because messages of a member are
/// on their way to it or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum IsHeld {
    Yes,
    No,
}

/// What a member lacks to take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Room {
    /// A place in the window, and room in the outbox.
    Window,
    /// Room in the outbox alone: QoS 0 needs no window.
    Outbox,
}

/// A place in a shared group.
pub(in crate::broker) struct Membership {
    group: Arc<Group>,
    /// Messages of the group in this session's window.
    pub(in crate::broker) in_flight: u32,
    /// Cleared by UNSUBSCRIBE.
    joined: bool,
    wants: [bool; 2],
    is_noted: bool,
    /// It is on the list of those that are told of the end of a connection.
    is_leaving: bool,
    /// Its group hands out nothing for its sake.
    is_held: bool,
}

impl Membership {
    pub(in crate::broker) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Whether nobody needs it any more.
    fn is_over(&self) -> bool {
        !self.joined && self.in_flight == 0 && !self.is_leaving && !self.is_held
    }
}

#[derive(Default)]
pub(in crate::broker) struct Memberships {
    places: List<Option<Membership>>,
    free: Vec<u32>,
    /// Places that were given up while messages were in flight, by the address of their group.
    lingering: HashMap<usize, u32, FixedState>,
    /// Places whose group wants room: of the one kind, and of the other. An entry whose place has no mark
    /// is void.
    wants: [VecDeque<u32>; 2],
    /// Places whose group is to be told of the next connection; void without a mark as well.
    noted: Vec<u32>,
    /// Those of them that are told of the present one.
    resuming: VecDeque<u32>,
    /// Messages in flight for all of them.
    in_flight: usize,
    errand: Errand,
    /// Somebody carries it out, or has it on a list.
    has_owner: bool,
    /// Places whose group is told of the end of a connection.
    leaving: VecDeque<u32>,
    /// The session has ended: all is forgotten once the errand is done.
    has_ended: bool,
}

impl Memberships {
    pub(in crate::broker) fn get(&self, index: u32) -> Option<&Membership> {
        self.places.get(index as usize)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Membership> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    /// Messages of groups in the window.
    pub(in crate::broker) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Gives the session a place in `group`, the old one if messages of it are still open.
    pub(in crate::broker) fn join(&mut self, group: &Arc<Group>) -> u32 {
        if let Some(index) = self.lingering.remove(&address(group))
            && let Some(membership) = self.get_mut(index)
        {
            membership.joined = true;
            return index;
        }
        let membership = Some(Membership {
            group: group.clone(),
            in_flight: 0,
            joined: true,
            wants: [false; 2],
            is_noted: false,
            is_leaving: false,
            is_held: false,
        });
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index as usize)
        {
            *place = membership;
            return index;
        }
        self.places.push(membership);
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    /// The place is given up; it is forgotten once nothing of it is in flight.
    pub(in crate::broker) fn leave(&mut self, index: u32) {
        let Some(membership) = self.get_mut(index) else {
            return;
        };
        membership.joined = false;
        if membership.is_over() {
            return self.forget(index);
        }
        let group = address(&membership.group);
        self.lingering.insert(group, index);
    }

    fn forget(&mut self, index: u32) {
        let place = self.places.get_mut(index as usize);
        let Some(membership) = place.and_then(Option::take) else {
            return;
        };
        self.lingering.remove(&address(&membership.group));
        self.free.push(index);
        self.tidy();
    }

    /// Removes void entries from lists that consist of them.
    fn tidy(&mut self) {
        let most = 2 * (self.places.len() - self.free.len()) + 64;
        let places = &self.places;
        let find = |index: u32| places.get(index as usize).and_then(Option::as_ref);
        for (room, list) in [Room::Window, Room::Outbox]
            .into_iter()
            .zip(&mut self.wants)
        {
            if list.len() > most {
                list.retain(|index| find(*index).is_some_and(|m| m.wants[room as usize]));
            }
        }
        if self.noted.len() > most {
            self.noted
                .retain(|index| find(*index).is_some_and(|m| m.is_noted));
        }
    }

    /// A message was handed over.
    #[inline]
    pub(in crate::broker) fn hand_over(&mut self, index: u32) {
        if let Some(membership) = self.get_mut(index) {
            membership.in_flight += 1;
            self.in_flight += 1;
        }
    }

    /// A message that was handed over is done with.
    #[inline]
    pub(in crate::broker) fn finish(&mut self, index: u32) {
        let Some(membership) = self.get_mut(index) else {
            return;
        };
        if membership.in_flight > 0 {
            membership.in_flight -= 1;
            let is_over = membership.is_over();
            self.in_flight -= 1;
            if is_over {
                self.forget(index);
            }
        }
    }

    /// Whether the group of a place has ended.
    pub(in crate::broker) fn has_ended(&self, index: u32) -> bool {
        self.get(index)
            .is_none_or(|membership| membership.group.has_ended())
    }

    /// A group was refused for want of room.
    pub(in crate::broker) fn want(&mut self, index: u32, room: Room) {
        let [window, outbox] = &mut self.wants;
        let list = match room {
            Room::Window => window,
            Room::Outbox => outbox,
        };
        if let Some(Some(membership)) = self.places.get_mut(index as usize)
            && !std::mem::replace(&mut membership.wants[room as usize], true)
        {
            list.push_back(index);
        }
    }

    pub(in crate::broker) fn has_wants(&self) -> bool {
        self.wants.iter().any(|list| !list.is_empty())
    }

    /// Whether a group wants room of a kind.
    pub(in crate::broker) fn is_wanted(&self, room: Room) -> bool {
        !self.wants[room as usize].is_empty()
    }

    /// Takes the mark of the group that has wanted room of a kind for longest.
    pub(in crate::broker) fn take_want(&mut self, room: Room) -> Option<Arc<Group>> {
        while let Some(index) = self.wants[room as usize].pop_front() {
            if let Some(membership) = self.get_mut(index)
                && std::mem::take(&mut membership.wants[room as usize])
                && membership.joined
            {
                return Some(membership.group.clone());
            }
        }
        None
    }

    /// The group of a place is to be told of the next connection.
    pub(in crate::broker) fn note(&mut self, index: u32) {
        if let Some(membership) = self.get_mut(index)
            && !std::mem::replace(&mut membership.is_noted, true)
        {
            self.noted.push(index);
        }
    }

    /// The connection ends: the groups that wait for something or had messages in flight have to know,
    /// and are to be told of the next one. Returns what that took, in steps.
    pub(in crate::broker) fn depart(&mut self) -> usize {
        let mut steps = 0;
        if self.in_flight > 0 || matches!(self.errand, Errand::Resuming) {
            steps += self.places.len() / PLACES_IN_STEP;
            for index in 0..self.places.len() {
                let place = self.places.get(index).and_then(Option::as_ref);
                if place.is_some_and(|m| m.in_flight > 0 || m.is_held) {
                    self.tell_of_end(index as u32);
                }
            }
        }
        for room in 0..self.wants.len() {
            let list = self.wants.get_mut(room).map(std::mem::take);
            for index in list.unwrap_or_default() {
                if self
                    .get(index)
                    .is_some_and(|m| m.wants.iter().any(|wants| *wants))
                {
                    self.tell_of_end(index);
                }
            }
        }
        let untold = std::mem::take(&mut self.resuming);
        steps += untold.len() / PLACES_IN_STEP;
        self.noted.extend(untold);
        self.errand = match self.leaving.is_empty() {
            true => Errand::None,
            false => Errand::Announcing(0),
        };
        steps + self.leaving.len() / PLACES_IN_STEP
    }

    fn tell_of_end(&mut self, index: u32) {
        let Some(membership) = self.get_mut(index) else {
            return;
        };
        membership.wants = [false; 2];
        if !std::mem::replace(&mut membership.is_leaving, true) {
            self.leaving.push_back(index);
        }
        self.note(index);
    }

    pub(in crate::broker) fn errand(&self) -> Errand {
        self.errand
    }

    /// Whether an errand is not done.
    pub(in crate::broker) fn is_busy(&self) -> bool {
        self.has_owner || !matches!(self.errand, Errand::None)
    }

    /// Whoever gets `true` carries out the errand until nothing is left of it.
    pub(in crate::broker) fn own(&mut self) -> bool {
        let is_free = !self.has_owner && !matches!(self.errand, Errand::None);
        self.has_owner |= is_free;
        is_free
    }

    /// The session has ended with an errand that is not done.
    pub(in crate::broker) fn end_with_errand(&mut self) {
        self.has_ended = true;
    }

    /// A connection began: the groups that are noted are told, once those that are told of the end of the
    /// last one know. Returns whether there are any.
    pub(in crate::broker) fn begin_resuming(&mut self) -> bool {
        if matches!(self.errand, Errand::None) && !self.noted.is_empty() {
            // What they note from now on is for the next one.
            self.resuming = std::mem::take(&mut self.noted).into();
            self.errand = Errand::Resuming;
        }
        matches!(self.errand, Errand::Resuming)
    }

    /// What its owner does next.
    pub(in crate::broker) fn next_task(&mut self) -> Task {
        loop {
            match self.errand {
                Errand::Announcing(place) => match self.leaving.get(place).copied() {
                    None => self.errand = Errand::Surrendering(Walk::default()),
                    Some(index) => {
                        self.errand = Errand::Announcing(place + 1);
                        if let Some(membership) = self.get_mut(index)
                            && membership.in_flight > 0
                            && !std::mem::replace(&mut membership.is_held, true)
                        {
                            return Task::Announce(membership.group.clone());
                        }
                    }
                },
                Errand::Surrendering(walk) => return Task::Surrender(walk),
                Errand::Concluding => match self.leaving.pop_front() {
                    Some(index) => {
                        if let Some((group, is_held)) = self.conclude(index) {
                            return Task::Conclude(group, is_held);
                        }
                    }
                    None => {
                        self.errand = Errand::None;
                        return Task::Departed;
                    }
                },
                Errand::Resuming => match self.resuming.pop_front() {
                    Some(index) => {
                        if let Some(task) = self.resume(index) {
                            return task;
                        }
                    }
                    None => self.errand = Errand::None,
                },
                Errand::None if self.has_ended => return Task::End,
                Errand::None => {
                    self.has_owner = false;
                    return Task::Nothing;
                }
            }
        }
    }

    fn conclude(&mut self, index: u32) -> Option<(Arc<Group>, IsHeld)> {
        let membership = self.get_mut(index)?;
        membership.is_leaving = false;
        let group = membership.group.clone();
        let is_held = take_hold(membership);
        if membership.is_over() {
            self.forget(index);
        }
        Some((group, is_held))
    }

    fn resume(&mut self, index: u32) -> Option<Task> {
        let membership = self.get_mut(index)?;
        membership.is_noted = false;
        let group = membership.group.clone();
        let is_held = take_hold(membership);
        if membership.joined {
            membership.is_held = true;
            return Some(Task::Resume(index, group, is_held));
        }
        if membership.is_over() {
            self.forget(index);
        }
        (is_held == IsHeld::Yes).then(|| Task::Conclude(group, is_held))
    }

    /// A group was told of the connection. It goes on with that if it holds back what waits.
    pub(in crate::broker) fn resumed(&mut self, index: u32, is_held: IsHeld) {
        let is_resuming = matches!(self.errand, Errand::Resuming);
        let Some(membership) = self.get_mut(index) else {
            return;
        };
        membership.is_held = is_held == IsHeld::Yes;
        if membership.is_held && is_resuming {
            self.resuming.push_front(index);
        } else if membership.is_over() {
            self.forget(index);
        }
    }

    /// A walk through the window has come so far, or to its end.
    pub(in crate::broker) fn surrendered(&mut self, walk: Option<Walk>) {
        // Unless another connection has ended meanwhile.
        if let Errand::Surrendering(_) = self.errand {
            self.errand = walk.map_or(Errand::Concluding, Errand::Surrendering);
        }
    }
}

fn take_hold(membership: &mut Membership) -> IsHeld {
    match std::mem::take(&mut membership.is_held) {
        true => IsHeld::Yes,
        false => IsHeld::No,
    }
}

/// The address of a group, which holds for as long as a place names it.
fn address(group: &Arc<Group>) -> usize {
    Arc::as_ptr(group).addr()
}
