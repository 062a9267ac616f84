//! What groups hand over to a receiver, and what goes back to them (design 3).

use crate::codec::{MAX_PACKET_SIZE, PacketId, QoS};
use crate::message::delivery::Delivery;
use crate::message::publication::Publication;

use super::super::bounds::Bounds;
use super::connected::{delivery_fits, fits};
use super::memberships::{Errand, GroupHandle, Membership, Memberships, Room};
use super::window::{Entry, Origin, Phase, Walk};
use super::{Grant, Outbox, Wake};

/// What became of a message that a group offered to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum HandOver {
    Taken(Wake),
    /// The member's mark is set: it tells the group when it has room.
    NoRoom,
    /// No memory to keep it until the socket takes it or, above QoS 0, until it is acknowledged.
    NoMemory,
    /// The packet exceeds the member's Maximum Packet Size (MQTT-3.1.2-24). Without room for another the
    /// mark is set as well.
    TooLarge {
        has_room: bool,
    },
    /// The client may not get it: another may, or it waits (AWS-ID-39).
    Denied,
    /// Not connected: the group is told of the next connection.
    Absent,
}

/// Whether a member could take a group's message if it had room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Suits {
    Yes,
    TooLarge,
    /// Not connected: the group is told of the next connection.
    Absent,
}

/// What became of a message that comes back to the session that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum TakenBack {
    Taken(Wake),
    /// There is no room for this one, nor for others.
    NoRoom,
    /// The client takes others.
    Refused,
}

/// A message of a member that goes away, by its number.
pub(in crate::broker) struct Surrendered {
    pub(in crate::broker) sequence: u64,
    pub(in crate::broker) packet_id: PacketId,
    pub(in crate::broker) delivery: Delivery,
}

impl Outbox {
    /// A group's message, for a member that can take it now or not at all (design 3, rule 1). `again` is the
    /// identifier under which the session has it already (MQTT-4.4.0-1).
    pub(in crate::broker) fn hand_over(
        &mut self,
        publication: &Publication<'_>,
        grant: Grant,
        origin: Origin,
        again: Option<PacketId>,
        bounds: &Bounds<'_>,
    ) -> HandOver {
        let Some(connected) = self.connected.as_ref().filter(|c| !c.is_leaving) else {
            self.memberships
                .get_or_insert_default()
                .note(origin.membership());
            return HandOver::Absent;
        };
        if connected.out.is_broken() {
            // It is about to end, and tells the group then.
            self.memberships
                .get_or_insert_default()
                .want(origin.membership(), Room::Outbox);
            return HandOver::NoRoom;
        }
        if !self.may_share(publication.topic, origin, bounds) {
            // What waits for somebody who may have it is dropped once nobody is there, and this one has no mark.
            self.memberships.get_or_insert_default().tell_all_of_end();
            return HandOver::Denied;
        }
        // One that may not wait is held against the memory bound by itself.
        let may_compose = match publication.may_wait() {
            true => connected.may_compose(bounds.limits.outbox, bounds),
            false => connected.out.len() < bounds.limits.outbox,
        };
        if grant.qos == QoS::AtMostOnce && may_compose {
            return self.hand_over_at_most_once(publication, &grant, origin, bounds);
        }
        let fits = fits(publication, &grant, connected, bounds);
        let has_room = grant.qos > QoS::AtMostOnce && may_compose && self.has_room(bounds);
        if !fits || !has_room {
            return self.refuse(fits, has_room, grant.qos, origin);
        }
        if publication.at_once.is_required() && !self.takes_at_once(publication, bounds) {
            return HandOver::NoMemory;
        }
        self.memberships
            .get_or_insert_default()
            .hand_over(origin.membership());
        let wake = match again {
            None => match self.send_as_it_came(publication, &grant, origin, bounds) {
                Some(wake) => wake,
                None => self.send(grant.delivery(publication, bounds), Some(origin), bounds),
            },
            Some(id) => {
                self.send_again_if_free(id, grant.delivery(publication, bounds), origin, bounds)
            }
        };
        self.settle(bounds);
        HandOver::Taken(wake)
    }

    /// Sends what need not be composed, as nearly always. The caller has seen that there is room.
    #[inline]
    fn send_as_it_came(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        origin: Origin,
        bounds: &Bounds<'_>,
    ) -> Option<Wake> {
        let connected = self.connected.as_mut()?;
        if !connected.forwards(&grant.subscription_ids) || self.window.appendable() == 0 {
            return None;
        }
        let sent =
            connected.send_forwarded(&mut self.window, publication, grant, Some(origin), bounds)?;
        self.sent.messages += 1;
        self.sent.bytes += sent as u64;
        Some(self.wake())
    }

    /// Whether the client may get a message of `topic` through a group.
    #[inline]
    fn may_share(&self, topic: &str, origin: Origin, bounds: &Bounds<'_>) -> bool {
        let connected = self.connected.as_ref();
        let permissions = connected.and_then(|connected| connected.permissions.as_deref());
        permissions.is_none_or(|permissions| {
            let membership = self.membership(origin.membership());
            let share = membership.map(|membership| membership.group().share());
            permissions.may_receive(topic, share, bounds.now)
        })
    }

    /// Notes what a group has to be told, that offered a message in vain.
    #[cold]
    fn refuse(&mut self, fits: bool, has_room: bool, qos: QoS, origin: Origin) -> HandOver {
        let room = match qos {
            QoS::AtMostOnce => Room::Outbox,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Room::Window,
        };
        if !has_room {
            self.memberships
                .get_or_insert_default()
                .want(origin.membership(), room);
        }
        if fits {
            return HandOver::NoRoom;
        }
        self.memberships
            .get_or_insert_default()
            .note(origin.membership());
        HandOver::TooLarge { has_room }
    }

    #[inline]
    fn hand_over_at_most_once(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        origin: Origin,
        bounds: &Bounds<'_>,
    ) -> HandOver {
        // A message that was accepted at QoS 1 or 2 is not held against the budget again.
        let lacks_memory = !publication.may_wait()
            && !self
                .connected
                .as_ref()
                .is_some_and(|connected| connected.may_append(publication.size(), bounds));
        if lacks_memory {
            return HandOver::NoMemory;
        }
        match self.send_at_most_once(publication, grant, bounds) {
            Some(wake) => HandOver::Taken(wake),
            None => {
                self.memberships
                    .get_or_insert_default()
                    .note(origin.membership());
                HandOver::TooLarge { has_room: true }
            }
        }
    }

    /// Whether a group's message could be handed over if there were room.
    pub(in crate::broker) fn suits(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        membership: u32,
        bounds: &Bounds<'_>,
    ) -> Suits {
        let suits = match self.connected.as_ref().filter(|c| !c.is_leaving) {
            None => Suits::Absent,
            Some(connected) if connected.out.is_broken() => Suits::Yes,
            Some(connected) if fits(publication, grant, connected, bounds) => Suits::Yes,
            Some(_) => Suits::TooLarge,
        };
        if suits != Suits::Yes {
            self.memberships.get_or_insert_default().note(membership);
        }
        suits
    }

    /// A message of a group comes back to the session that had it, under the identifier it had
    /// (design 3, rule 4). The new connection may take fewer or smaller packets than the old one.
    pub(in crate::broker) fn take_back(
        &mut self,
        id: PacketId,
        delivery: Delivery,
        origin: Origin,
        bounds: &Bounds<'_>,
    ) -> TakenBack {
        if !self.has_room(bounds) {
            return TakenBack::NoRoom;
        }
        let connected = self.connected.as_ref();
        let is_taken = connected.is_some_and(|connected| {
            delivery_fits(&delivery, connected, bounds)
                && self.may_share(delivery.message.topic(), origin, bounds)
        });
        if !is_taken {
            return TakenBack::Refused;
        }
        let Ok(wake) = self.send_again(id, delivery, origin, bounds) else {
            return TakenBack::Refused;
        };
        self.memberships
            .get_or_insert_default()
            .hand_over(origin.membership());
        TakenBack::Taken(wake)
    }

    /// The same for what the group hands over in its turn, and under a new identifier if that one is not free.
    #[cold]
    fn send_again_if_free(
        &mut self,
        id: PacketId,
        delivery: Delivery,
        origin: Origin,
        bounds: &Bounds<'_>,
    ) -> Wake {
        // Under its identifier it was sent at QoS 1.
        let sent = match delivery.qos {
            QoS::AtLeastOnce => self.send_again(id, delivery, origin, bounds),
            QoS::AtMostOnce | QoS::ExactlyOnce => Err(delivery),
        };
        sent.unwrap_or_else(|delivery| self.send(delivery, Some(origin), bounds))
    }

    /// Sends a message with DUP, under an identifier that is free.
    fn send_again(
        &mut self,
        id: PacketId,
        delivery: Delivery,
        origin: Origin,
        bounds: &Bounds<'_>,
    ) -> Result<Wake, Delivery> {
        let entry = Entry {
            phase: Phase::Published(delivery),
            origin: Some(origin),
            opened_at: bounds.seconds,
            sent_on: self.connected.as_ref().map_or(0, |c| c.number),
        };
        if let Err(entry) = self.window.reopen(id, entry) {
            return match entry.phase {
                Phase::Published(delivery) => Err(delivery),
                Phase::Released { .. } => Ok(Wake::Nobody),
            };
        }
        if let (Some(connected), Some(entry)) = (&mut self.connected, self.window.get(id))
            && let Phase::Published(delivery) = &entry.phase
        {
            connected.append_delivery(delivery, id, !bounds.aws.never_dup, bounds);
        }
        Ok(self.wake())
    }

    /// The room that some group wants and that there is.
    fn wanted_room(&self, bounds: &Bounds<'_>) -> Option<Room> {
        let connected = self.connected.as_ref()?;
        let may_compose = connected.may_compose(bounds.limits.outbox, bounds);
        if !may_compose || connected.is_leaving || connected.out.is_broken() {
            return None;
        }
        let memberships = self.memberships.as_ref()?;
        if memberships.is_wanted(Room::Window) && self.has_room(bounds) {
            return Some(Room::Window);
        }
        Some(Room::Outbox).filter(|room| memberships.is_wanted(*room))
    }

    /// Whether a group that was refused for want of room can have some.
    pub(in crate::broker) fn is_wanted(&self, bounds: &Bounds<'_>) -> bool {
        self.wanted_room(bounds).is_some()
    }

    /// Takes the mark of the group that has wanted room for longest, if there is some. The caller tells
    /// it.
    pub(in crate::broker) fn take_want(&mut self, bounds: &Bounds<'_>) -> Option<GroupHandle> {
        while let Some(room) = self.wanted_room(bounds) {
            let group = self.memberships.get_or_insert_default().take_want(room);
            if group.is_some() {
                return group;
            }
        }
        None
    }

    /// The part of the free places that own messages may take while a group waits too: half, and a
    /// single one in turn, so that neither starves.
    pub(in crate::broker) fn own_share(&mut self, slots: usize) -> usize {
        if self.queue.is_empty() {
            return 0;
        }
        if slots % 2 == 1 {
            self.group_turn = !self.group_turn;
        }
        slots / 2 + usize::from(slots % 2 == 1 && !self.group_turn)
    }

    /// The connection is about to end: nothing is handed over any more. What the groups have to know is an
    /// [`Errand`] from now on.
    pub(in crate::broker) fn leave_groups(&mut self) {
        let mut has_packet_size = false;
        if let Some(connected) = &mut self.connected {
            connected.is_leaving = true;
            has_packet_size = connected.peer.packet_size() < MAX_PACKET_SIZE as usize;
        }
        if let Some(memberships) = &mut self.memberships {
            if has_packet_size {
                // Groups pass over it without asking, by that size.
                memberships.tell_all_of_end();
            }
            memberships.depart();
        }
    }

    /// Whether messages are still to go back to their groups that an earlier connection had in flight.
    pub(super) fn surrenders(&self) -> bool {
        let memberships = self.memberships.as_ref();
        memberships.is_some_and(|memberships| memberships.errand().surrenders())
    }

    /// The session's dealings with its groups.
    pub(in crate::broker) fn memberships(&mut self) -> Option<&mut Memberships> {
        self.memberships.as_deref_mut()
    }

    /// Takes up to `count` messages of groups out of the window, each with its membership, and makes what
    /// stays there the session's own. Returns whether there are more.
    ///
    /// QoS 2 stays: once PUBLISH was sent it belongs to this session (MQTT-4.8.2-4, -5). So does what a
    /// group that has ended had sent.
    pub(in crate::broker) fn surrender(
        &mut self,
        walk: &mut Walk,
        count: usize,
        surrendered: &mut Vec<(u32, Surrendered)>,
    ) -> bool {
        let is_owner = self.persistent;
        let Some(memberships) = &mut self.memberships else {
            return false;
        };
        for _ in 0..count {
            if memberships.in_flight() == 0 {
                return false;
            }
            let Some((packet_id, entry)) = self.window.walk(walk) else {
                return false;
            };
            let Some(origin) = entry.origin.take() else {
                continue;
            };
            let is_published = matches!(&entry.phase,
                Phase::Published(delivery) if delivery.qos == QoS::AtLeastOnce);
            let goes_back = is_published && !memberships.has_ended(origin.membership());
            if goes_back && is_owner {
                memberships.owe(origin.membership());
            }
            memberships.finish(origin.membership());
            if !goes_back {
                continue;
            }
            let Some(mut entry) = self.window.close(packet_id) else {
                continue;
            };
            if let Some(connected) = &mut self.connected
                && connected.number != entry.sent_on
            {
                connected.forget_earlier(&mut entry);
            }
            if let Phase::Published(delivery) = entry.phase {
                let sequence = origin.sequence;
                let one = Surrendered {
                    sequence,
                    packet_id,
                    delivery,
                };
                surrendered.push((origin.membership(), one));
            }
        }
        true
    }

    /// All that goes back to groups has gone: what is left in the window is the session's own.
    pub(in crate::broker) fn end_surrender(&mut self) {
        self.open_places();
    }

    /// Takes back what a group does not want, because it ended meanwhile.
    pub(in crate::broker) fn keep_surrendered(
        &mut self,
        surrendered: Vec<Surrendered>,
        bounds: &Bounds<'_>,
    ) {
        for one in surrendered {
            // No message was sent under it since.
            self.keep(one.packet_id, one.delivery, bounds);
        }
    }

    /// Makes a message that was sent before the session's own, to be sent again. Returns whether its identifier was
    /// free.
    fn keep(&mut self, id: PacketId, delivery: Delivery, bounds: &Bounds<'_>) -> bool {
        let entry = Entry {
            phase: Phase::Published(delivery),
            origin: None,
            opened_at: bounds.seconds,
            sent_on: 0,
        };
        let is_kept = self.window.reopen(id, entry).is_ok();
        if is_kept && let Some(connected) = &mut self.connected {
            connected.earlier += 1;
            let seldom = connected.seldom.get_or_insert_default();
            seldom.resend.remember();
        }
        is_kept
    }

    /// A message that a group does not keep is the session's own from now on, which had it (design 3, rule 8). Returns
    /// whether it is: the session may have ended, or have sent another one under that identifier. Whoever makes room for
    /// the session sends it.
    pub(in crate::broker) fn take_home(
        &mut self,
        id: PacketId,
        delivery: Delivery,
        bounds: &Bounds<'_>,
    ) -> bool {
        let is_there = self.persistent || self.is_reachable();
        let is_kept = is_there && self.keep(id, delivery, bounds);
        if is_kept {
            self.open_places();
            self.settle(bounds);
        }
        is_kept
    }

    /// A group that the session leaves has messages which it had, and is to be told of the next connection.
    pub(in crate::broker) fn owe(&mut self, index: u32) {
        if let Some(memberships) = &mut self.memberships {
            memberships.owe(index);
            memberships.note(index);
        }
    }

    /// A new connection: the groups that wait for it are told next. Half of the window is left to them.
    pub(in crate::broker) fn begin_resuming(&mut self, bounds: &Bounds<'_>) -> Wake {
        let slots = self.free_slots();
        let awaited = self
            .memberships
            .as_mut()
            .is_some_and(|memberships| memberships.begin_resuming());
        let own = if awaited { slots.div_ceil(2) } else { slots };
        self.pump(own, bounds)
    }

    /// Whether groups are still to be told of this connection: own messages leave them their places.
    pub(in crate::broker) fn is_resuming(&self) -> bool {
        let memberships = self.memberships.as_ref();
        memberships.is_some_and(|memberships| matches!(memberships.errand(), Errand::Resuming))
    }

    #[inline]
    pub(super) fn forget_origin(&mut self, origin: Option<Origin>) {
        if let Some(origin) = origin {
            self.memberships
                .get_or_insert_default()
                .finish(origin.membership());
        }
    }

    /// The group of a membership.
    pub(in crate::broker) fn group_of(&self, index: u32) -> Option<GroupHandle> {
        Some(self.membership(index)?.group().clone())
    }

    pub(in crate::broker) fn membership(&self, index: u32) -> Option<&Membership> {
        self.memberships.as_ref()?.get(index)
    }

    /// Gives the session a place in `group`, the old one if messages of it are still open.
    pub(in crate::broker) fn join(&mut self, group: GroupHandle) -> u32 {
        self.memberships.get_or_insert_default().join(group)
    }

    /// What the client takes at most, in bytes, if it is connected. The group is to be told of the next
    /// connection if it is not, or if there is such a bound: the next may have another.
    pub(in crate::broker) fn packet_size(&mut self, membership: u32) -> Option<u32> {
        let connected = self.connected.as_ref().filter(|c| !c.is_leaving);
        let size = connected.map(|connected| connected.peer.packet_size);
        if size.is_none_or(|size| size < MAX_PACKET_SIZE) {
            self.memberships.get_or_insert_default().note(membership);
        }
        size
    }

    /// The place is given up; it is forgotten once nothing of it is in flight.
    pub(in crate::broker) fn leave(&mut self, index: u32) {
        if let Some(memberships) = &mut self.memberships {
            memberships.leave(index);
        }
    }
}
