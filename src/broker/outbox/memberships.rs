//! A session's places in shared groups, and what the groups want of it.
//!
//! A place is kept until the last message that was handed over for it is done with. Each is at most once
//! in each of four rows: two for want of room, which whoever makes room works off, one of the groups that
//! are to be told of the next connection, and one of those that are told of the end of the last. So nobody
//! who makes room or comes back has to visit a group that waits for nothing.
//!
//! A connection that ends may leave tens of thousands of messages, and as many groups that have to know.
//! They are found and worked off one after the other, as an [`Errand`] of the session.

use std::any::Any;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::broker::discard::Discard;
use crate::chunked::List;
use crate::table::Table;

use super::row::{Link, Linked, Row};
use super::window::Walk;

/// A shared group as far as its members' sessions have to know it.
pub(in crate::broker) trait Shared: Any + Send + Sync {
    /// Whether the last member has left.
    fn has_ended(&self) -> bool;

    /// Its ShareName.
    fn share(&self) -> &str;
}

/// Names a shared group. Who does something with it is told what it is by the groups themselves.
pub(in crate::broker) type GroupHandle = Arc<dyn Shared>;

/// Places that are looked at in a step, one behind the other.
const PLACES_IN_STEP: usize = 32;

/// Places that are moved from row to row in a step.
const MOVES_IN_STEP: usize = 4;

/// What is being done for the groups of a session whose connection has ended, or began.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::broker) enum Errand {
    #[default]
    None,
    /// The groups that have to know are found, and those that get messages back are told to hand out nothing
    /// until they have all of them: those from this place on.
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
    Announce(GroupHandle),
    Surrender(Walk),
    /// Of the group whether it holds back what waits for the sake of this member.
    Conclude(GroupHandle, IsHeld),
    Resume(u32, GroupHandle, IsHeld),
    /// All groups know that the connection is gone.
    Departed,
    /// There may be more, after this step.
    GoOn,
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

/// The rows that places stand in, besides those of [`Room`].
const NOTED: usize = 2;
const LEAVING: usize = 3;

/// A place in a shared group.
pub(in crate::broker) struct Membership {
    group: GroupHandle,
    /// Messages of the group in this session's window.
    pub(in crate::broker) in_flight: u32,
    /// How many connections the groups had been told of when this one was noted.
    noted: u32,
    rows: [Link; 4],
    /// Cleared by UNSUBSCRIBE.
    joined: bool,
    /// Its group hands out nothing for its sake.
    is_held: bool,
    /// Its group may have messages that this session had: it is told of the next connection, though the place was given
    /// up.
    is_owed: bool,
}

impl Linked for Membership {
    fn link(&mut self, row: usize) -> &mut Link {
        &mut self.rows[row]
    }
}

impl Membership {
    pub(in crate::broker) fn group(&self) -> &GroupHandle {
        &self.group
    }

    /// Whether nobody needs it any more.
    fn is_over(&self) -> bool {
        let is_done = self.in_flight == 0 && !self.is_owed;
        !self.joined && is_done && !self.rows[LEAVING].is_in() && !self.is_held
    }
}

pub(in crate::broker) struct Memberships {
    places: List<Option<Membership>>,
    free: List<u32>,
    /// Places that were given up while messages were in flight, by the address of their group.
    lingering: Table<(usize, u32)>,
    /// Places whose group wants room: of the one kind, and of the other.
    wants: [Row; 2],
    /// Places whose group is to be told of the next connection, behind those that are told of the present
    /// one.
    noted: Row,
    /// Connections that groups were told of.
    connections: u32,
    /// The place whose group is told of the present one and has more to give back.
    resuming: Option<u32>,
    /// Messages in flight for all of them.
    in_flight: usize,
    errand: Errand,
    /// Somebody carries it out, or has it on a list.
    has_owner: bool,
    /// Places whose group is told of the end of a connection.
    leaving: Row,
    /// All groups are told of the end of a connection.
    tells_all: bool,
    /// The session has ended: all is forgotten once the errand is done.
    has_ended: bool,
}

impl Default for Memberships {
    fn default() -> Self {
        Self {
            places: List::default(),
            free: List::default(),
            lingering: Table::new(),
            wants: [Room::Window, Room::Outbox].map(|room| Row::new(room as usize)),
            noted: Row::new(NOTED),
            connections: 0,
            resuming: None,
            in_flight: 0,
            errand: Errand::None,
            has_owner: false,
            leaving: Row::new(LEAVING),
            tells_all: false,
            has_ended: false,
        }
    }
}

impl Memberships {
    pub(in crate::broker) fn get(&self, index: u32) -> Option<&Membership> {
        #[cfg(test)]
        super::row::count_look();
        self.places.get(index as usize)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Membership> {
        #[cfg(test)]
        super::row::count_look();
        self.places.get_mut(index as usize)?.as_mut()
    }

    /// Messages of groups in the window.
    pub(in crate::broker) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Gives the session a place in `group`, the old one if messages of it are still open.
    pub(in crate::broker) fn join(&mut self, group: GroupHandle) -> u32 {
        if let Some(index) = self.take_lingering(address(&group))
            && let Some(membership) = self.get_mut(index)
        {
            membership.joined = true;
            return index;
        }
        let membership = Some(Membership {
            group,
            in_flight: 0,
            noted: 0,
            rows: [Link::default(); 4],
            joined: true,
            is_held: false,
            is_owed: false,
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
        for wants in &mut self.wants {
            wants.remove(&mut self.places, index);
        }
        self.lingering
            .insert_unique(hash(group), (group, index), |(group, _)| hash(*group));
    }

    fn forget(&mut self, index: u32) {
        for row in self.wants.iter_mut().chain([&mut self.noted]) {
            row.remove(&mut self.places, index);
        }
        let place = self.places.get_mut(index as usize);
        let Some(membership) = place.and_then(Option::take) else {
            return;
        };
        self.take_lingering(address(&membership.group));
        self.free.push(index);
    }

    fn take_lingering(&mut self, group: usize) -> Option<u32> {
        let is_it = |(other, _): &(usize, u32)| *other == group;
        let rehash = |(group, _): &(usize, u32)| hash(*group);
        let (_, index) = self.lingering.remove(hash(group), is_it, rehash)?;
        Some(index)
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

    /// The group of a place has messages back that the session may get again.
    pub(in crate::broker) fn owe(&mut self, index: u32) {
        if let Some(membership) = self.get_mut(index) {
            membership.is_owed = true;
        }
    }

    /// Whether the group of a place has ended.
    pub(in crate::broker) fn has_ended(&self, index: u32) -> bool {
        self.get(index)
            .is_none_or(|membership| membership.group.has_ended())
    }

    /// A group was refused for want of room.
    pub(in crate::broker) fn want(&mut self, index: u32, room: Room) {
        self.wants[room as usize].push(&mut self.places, index);
    }

    pub(in crate::broker) fn has_wants(&self) -> bool {
        self.wants.iter().any(|row| !row.is_empty())
    }

    /// Whether a group wants room of a kind.
    pub(in crate::broker) fn is_wanted(&self, room: Room) -> bool {
        !self.wants[room as usize].is_empty()
    }

    /// Takes the mark of the group that has wanted room of a kind for longest.
    pub(in crate::broker) fn take_want(&mut self, room: Room) -> Option<GroupHandle> {
        let index = self.wants[room as usize].pop(&mut self.places)?;
        Some(self.get(index)?.group.clone())
    }

    /// The group of a place is to be told of the next connection.
    pub(in crate::broker) fn note(&mut self, index: u32) {
        let connections = self.connections;
        if self.noted.push(&mut self.places, index)
            && let Some(membership) = self.get_mut(index)
        {
            membership.noted = connections;
        }
    }

    /// When the connection ends, all groups are told, also those that wait for nothing of it.
    pub(in crate::broker) fn tell_all_of_end(&mut self) {
        self.tells_all = true;
    }

    /// The connection ends: the groups that wait for something or had messages in flight have to know,
    /// and are to be told of the next one. That is an errand from now on.
    pub(in crate::broker) fn depart(&mut self) {
        let from = match self.errand {
            _ if self.tells_all => 0,
            // Nothing is handed over before the groups know of the last one.
            Errand::Announcing(place) => place,
            Errand::Resuming => 0,
            _ if self.in_flight > 0 => 0,
            _ => self.places.len(),
        };
        self.resuming = None;
        let is_known = from == self.places.len() && !self.has_wants() && self.leaving.is_empty();
        self.errand = match is_known {
            true => Errand::None,
            false => Errand::Announcing(from),
        };
    }

    fn tell_of_end(&mut self, index: u32) {
        for wants in &mut self.wants {
            wants.remove(&mut self.places, index);
        }
        self.leaving.push(&mut self.places, index);
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
            self.connections = self.connections.wrapping_add(1);
            self.errand = Errand::Resuming;
        }
        matches!(self.errand, Errand::Resuming)
    }

    /// What its owner does next, found in a step.
    pub(in crate::broker) fn next_task(&mut self) -> Task {
        match self.errand {
            Errand::Announcing(from) => self.announce(from),
            Errand::Surrendering(walk) => Task::Surrender(walk),
            Errand::Concluding => match self.leaving.pop(&mut self.places) {
                Some(index) => self.conclude(index),
                None => {
                    self.errand = Errand::None;
                    Task::Departed
                }
            },
            Errand::Resuming => match self.next_to_resume() {
                Some(index) => self.resume(index),
                None => {
                    self.errand = Errand::None;
                    Task::GoOn
                }
            },
            Errand::None if self.has_ended => Task::End,
            Errand::None => {
                self.has_owner = false;
                Task::Nothing
            }
        }
    }

    /// Finds some of the groups that have to know of the end of a connection.
    fn announce(&mut self, from: usize) -> Task {
        for _ in 0..MOVES_IN_STEP {
            match self.wants.iter().find_map(Row::first) {
                Some(index) => self.tell_of_end(index),
                None => break,
            }
        }
        if self.has_wants() {
            return Task::GoOn;
        }
        // Each that is told of it takes as long as a move.
        let count = match self.tells_all {
            true => MOVES_IN_STEP,
            false => PLACES_IN_STEP,
        };
        let end = self.places.len().min(from + count);
        for place in from..end {
            self.errand = Errand::Announcing(place + 1);
            let index = place as u32;
            let tells_all = self.tells_all;
            let has_to_know =
                |m: &Membership| m.in_flight > 0 || m.is_held || (tells_all && m.joined);
            if !self.get(index).is_some_and(has_to_know) {
                continue;
            }
            self.tell_of_end(index);
            if let Some(membership) = self.get_mut(index)
                && membership.in_flight > 0
                && !std::mem::replace(&mut membership.is_held, true)
            {
                return Task::Announce(membership.group.clone());
            }
        }
        if end == self.places.len() {
            self.tells_all = false;
            self.errand = Errand::Surrendering(Walk::default());
        }
        Task::GoOn
    }

    fn conclude(&mut self, index: u32) -> Task {
        let Some(membership) = self.get_mut(index) else {
            return Task::GoOn;
        };
        let group = membership.group.clone();
        let is_held = take_hold(membership);
        if membership.is_over() {
            self.forget(index);
        }
        Task::Conclude(group, is_held)
    }

    /// The place whose group is told of the present connection next.
    fn next_to_resume(&mut self) -> Option<u32> {
        if let Some(index) = self.resuming.take() {
            return Some(index);
        }
        let first = self.noted.first()?;
        if self.get(first)?.noted == self.connections {
            return None;
        }
        self.noted.pop(&mut self.places)
    }

    fn resume(&mut self, index: u32) -> Task {
        let Some(membership) = self.get_mut(index) else {
            return Task::GoOn;
        };
        let group = membership.group.clone();
        let is_held = take_hold(membership);
        if membership.joined || membership.is_owed {
            membership.is_held = true;
            return Task::Resume(index, group, is_held);
        }
        if membership.is_over() {
            self.forget(index);
        }
        match is_held {
            IsHeld::Yes => Task::Conclude(group, is_held),
            IsHeld::No => Task::GoOn,
        }
    }

    /// A group was told of the connection. It goes on with that if it holds back what waits.
    pub(in crate::broker) fn resumed(&mut self, index: u32, is_held: IsHeld) {
        let is_resuming = matches!(self.errand, Errand::Resuming);
        let Some(membership) = self.get_mut(index) else {
            return;
        };
        membership.is_held = is_held == IsHeld::Yes;
        membership.is_owed &= membership.is_held;
        if membership.is_held && is_resuming {
            self.resuming = Some(index);
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
fn address(group: &GroupHandle) -> usize {
    Arc::as_ptr(group).cast::<()>().addr()
}

fn hash(address: usize) -> u64 {
    FixedState::default().hash_one(address)
}

/// Groups may end with the last place that names them.
impl Discard for Box<Memberships> {
    fn discard(&mut self, count: usize) -> bool {
        for _ in 0..count {
            self.places.pop();
        }
        self.places.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::outbox::row::take_looks;

    const PLACES: u32 = 200_000;

    /// What a step may look at.
    const LOOKS: usize = 3 * PLACES_IN_STEP;

    fn member_of_many(group: &GroupHandle) -> Memberships {
        let mut memberships = Memberships::default();
        for index in 0..PLACES {
            assert_eq!(memberships.join(group.clone()), index);
        }
        memberships
    }

    struct Lasting;

    impl Shared for Lasting {
        fn has_ended(&self) -> bool {
            false
        }

        fn share(&self) -> &str {
            "lasting"
        }
    }

    fn group() -> GroupHandle {
        Arc::new(Lasting)
    }

    /// Carries out an errand. Returns how many groups were held, were told of the end, and were told of
    /// the next connection.
    fn carry_out(memberships: &mut Memberships) -> [usize; 3] {
        let mut told = [0; 3];
        take_looks();
        if memberships.own() {
            loop {
                match memberships.next_task() {
                    Task::Announce(_) => told[0] += 1,
                    Task::Surrender(_) => memberships.surrendered(None),
                    Task::Conclude(..) => told[1] += 1,
                    Task::Resume(index, ..) => {
                        told[2] += 1;
                        memberships.resumed(index, IsHeld::No);
                    }
                    Task::GoOn | Task::Departed => {}
                    Task::End | Task::Nothing => break,
                }
                assert!(take_looks() <= LOOKS);
            }
        }
        assert!(!memberships.is_busy());
        told
    }

    #[test]
    fn end_of_a_connection_is_told_to_many_groups_step_by_step() {
        let group = group();
        let mut memberships = member_of_many(&group);
        let open = [0, 77_777, PLACES - 1];
        open.iter().for_each(|index| memberships.hand_over(*index));
        (0..PLACES).for_each(|index| memberships.want(index, Room::Window));
        (0..PLACES).for_each(|index| memberships.want(index, Room::Outbox));
        take_looks();
        memberships.depart();
        assert!(take_looks() <= LOOKS);
        assert_eq!(carry_out(&mut memberships), [3, PLACES as usize, 0]);
        assert!(!memberships.has_wants());
        // Nobody has to be found who waits for nothing.
        memberships.depart();
        assert_eq!(carry_out(&mut memberships), [3, 3, 0]);
        // Unless all are to be told.
        memberships.tell_all_of_end();
        memberships.depart();
        assert_eq!(carry_out(&mut memberships), [3, PLACES as usize, 0]);
        memberships.depart();
        assert_eq!(carry_out(&mut memberships), [3, 3, 0]);
    }

    #[test]
    fn next_connection_is_told_to_many_groups_step_by_step() {
        let group = group();
        let mut memberships = member_of_many(&group);
        (0..PLACES).for_each(|index| memberships.note(index));
        // The connection ends before more than some know of it.
        assert!(memberships.begin_resuming() && memberships.own());
        for _ in 0..10 {
            let Task::Resume(index, _, is_held) = memberships.next_task() else {
                panic!("another task");
            };
            assert_eq!(is_held, IsHeld::No);
            // It is to know of the one after that as well.
            memberships.note(index);
            memberships.resumed(index, IsHeld::No);
        }
        take_looks();
        memberships.depart();
        assert!(take_looks() <= LOOKS);
        memberships.has_owner = false;
        assert_eq!(carry_out(&mut memberships), [0, 0, 0]);
        assert!(memberships.begin_resuming());
        assert_eq!(carry_out(&mut memberships), [0, 0, PLACES as usize]);
        assert!(!memberships.begin_resuming());
    }

    #[test]
    fn places_that_are_given_up_leave_nothing_behind() {
        let group = group();
        let mut memberships = member_of_many(&group);
        for index in 0..PLACES {
            memberships.note(index);
            memberships.want(index, Room::Window);
            take_looks();
            memberships.leave(index);
            assert!(take_looks() <= LOOKS);
        }
        assert!(!memberships.has_wants() && !memberships.begin_resuming());
        memberships.depart();
        assert_eq!(carry_out(&mut memberships), [0, 0, 0]);
        assert_eq!(memberships.join(group), PLACES - 1);
    }
}
