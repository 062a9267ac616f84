//! A session's places in shared groups, and what the groups want of it.
//!
//! A place is kept until the last message that was handed over for it is done with. Each is at most once
//! in each of three lists: two for want of room, which whoever makes room works off, and one of the
//! groups that are to be told of the next connection. So nobody who makes room, leaves or comes back
//! has to visit a group that waits for nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::share::Group;

/// What a member lacks to take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A place in the window, and room in the outbox.
    Window,
    /// Room in the outbox alone: QoS 0 needs no window.
    Outbox,
}

/// A place in a shared group.
pub(super) struct Membership {
    group: Arc<Group>,
    /// Messages of the group in this session's window.
    pub(super) in_flight: u32,
    /// Cleared by UNSUBSCRIBE.
    joined: bool,
    wants: [bool; 2],
    is_noted: bool,
}

#[derive(Default)]
pub(super) struct Memberships {
    places: Vec<Option<Membership>>,
    free: Vec<u32>,
    /// Places that were given up while messages were in flight, by the address of their group.
    lingering: HashMap<usize, u32, FixedState>,
    /// Places whose group wants room: of the one kind, and of the other. An entry whose place has no mark
    /// is void.
    wants: [VecDeque<u32>; 2],
    /// Places whose group is to be told of the next connection; void without a mark as well.
    noted: Vec<u32>,
    /// Messages in flight for all of them.
    in_flight: usize,
}

impl Memberships {
    pub(super) fn get(&self, index: u32) -> Option<&Membership> {
        self.places.get(index as usize)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Membership> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    /// Messages of groups in the window.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Gives the session a place in `group`, the old one if messages of it are still open.
    pub(super) fn join(&mut self, group: &Arc<Group>) -> u32 {
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
    pub(super) fn leave(&mut self, index: u32) {
        let Some(membership) = self.get_mut(index) else {
            return;
        };
        membership.joined = false;
        if membership.in_flight == 0 {
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
    pub(super) fn hand_over(&mut self, index: u32) {
        if let Some(membership) = self.get_mut(index) {
            membership.in_flight += 1;
            self.in_flight += 1;
        }
    }

    /// A message that was handed over is done with.
    #[inline]
    pub(super) fn finish(&mut self, index: u32) {
        let Some(membership) = self.get_mut(index) else {
            return;
        };
        if membership.in_flight > 0 {
            membership.in_flight -= 1;
            let is_over = !membership.joined && membership.in_flight == 0;
            self.in_flight -= 1;
            if is_over {
                self.forget(index);
            }
        }
    }

    /// What is in flight for a place is the session's own from now on.
    pub(super) fn finish_all(&mut self, index: u32) {
        if let Some(membership) = self.get_mut(index) {
            let in_flight = std::mem::take(&mut membership.in_flight);
            let is_over = !membership.joined;
            self.in_flight -= in_flight as usize;
            if is_over {
                self.forget(index);
            }
        }
    }

    /// Whether the group of a place has ended.
    pub(super) fn has_ended(&self, index: u32) -> bool {
        self.get(index)
            .is_none_or(|membership| membership.group.has_ended())
    }

    /// A group was refused for want of room.
    pub(super) fn want(&mut self, index: u32, room: Room) {
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

    pub(super) fn has_wants(&self) -> bool {
        self.wants.iter().any(|list| !list.is_empty())
    }

    /// Whether a group wants room of a kind.
    pub(super) fn is_wanted(&self, room: Room) -> bool {
        !self.wants[room as usize].is_empty()
    }

    /// Takes the mark of the group that has wanted room of a kind for longest.
    pub(super) fn take_want(&mut self, room: Room) -> Option<Arc<Group>> {
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
    pub(super) fn note(&mut self, index: u32) {
        if let Some(membership) = self.get_mut(index)
            && !std::mem::replace(&mut membership.is_noted, true)
        {
            self.noted.push(index);
        }
    }

    /// The groups that are to be told of this connection.
    pub(super) fn take_noted(&mut self) -> Vec<Arc<Group>> {
        let noted = std::mem::take(&mut self.noted);
        let groups = noted.into_iter().filter_map(|index| {
            let membership = self.get_mut(index)?;
            let is_told = std::mem::take(&mut membership.is_noted) && membership.joined;
            is_told.then(|| membership.group.clone())
        });
        groups.collect()
    }

    /// The connection ends. Returns the groups that wait for something or had messages in flight, by
    /// their place, and forgets what is in flight and who wants room. They are told of the next one.
    pub(super) fn depart(&mut self, in_flight: &[u32]) -> BTreeMap<u32, Arc<Group>> {
        let mut visited = BTreeMap::new();
        let wants = self.wants.iter_mut().flat_map(std::mem::take);
        let indexes: Vec<u32> = wants.chain(in_flight.iter().copied()).collect();
        for index in indexes {
            if let Some(membership) = self.get_mut(index)
                && !visited.contains_key(&index)
            {
                membership.wants = [false; 2];
                visited.insert(index, membership.group.clone());
                self.note(index);
            }
        }
        visited
    }
}

/// The address of a group, which holds for as long as a place names it.
fn address(group: &Arc<Group>) -> usize {
    Arc::as_ptr(group).addr()
}
