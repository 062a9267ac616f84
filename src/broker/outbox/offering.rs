//! What a receiver gets for itself: sent, queued or dropped.

use std::time::Instant;

use crate::codec::{QoS, Version};
use crate::message::delivery::SubscriptionIds;
use crate::message::publication::Publication;

use super::super::bounds::Bounds;
use super::compose::{Outgoing, compose};
use super::connected::fits;
use super::{Grant, Outbox, PUMP_MARK, Wake};

/// What became of a message for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Offered {
    Sent(Wake),
    Queued,
    /// Dropped and counted.
    Dropped,
    /// It may not wait, and would have to. Not counted.
    Refused,
    /// The session's queue is full and the configuration says to disconnect.
    Overflow,
}

impl Outbox {
    /// Takes a message for this receiver: sends it, queues it, or drops it.
    #[inline]
    pub(in crate::broker) fn offer(
        &mut self,
        publication: &Publication<'_>,
        grant: Grant,
        bounds: &Bounds<'_>,
    ) -> Offered {
        if grant.qos == QoS::AtMostOnce {
            return self.offer_at_most_once(publication, &grant, bounds);
        }
        if publication.at_once.is_required() && !self.takes_at_once(publication, bounds) {
            return self.refuse_to_keep(publication, &grant, bounds);
        }
        let has_room = self.queue.is_empty() && self.has_room(bounds);
        let Some(connected) = &self.connected else {
            return self.enqueue(publication, grant, bounds);
        };
        if !fits(publication, &grant, connected, bounds) {
            return self.drop_new(publication);
        }
        if !has_room {
            return self.enqueue(publication, grant, bounds);
        }
        let wake = self.send(grant.delivery(publication, bounds), None, bounds);
        self.settle(bounds);
        Offered::Sent(wake)
    }

    /// Takes messages of QoS 1 or 2 from the front of a run: those that go out now, and as they came. Returns how
    /// many. What becomes of the others is found out one by one ([`offer`](Self::offer)).
    #[inline]
    pub(in crate::broker) fn offer_run(
        &mut self,
        run: &[Publication<'_>],
        grant: &Grant,
        bounds: &Bounds<'_>,
    ) -> (usize, Wake) {
        let places = self.free_slots().min(self.window.appendable());
        let Some(connected) = &mut self.connected else {
            return (0, Wake::Nobody);
        };
        let is_plain = grant.qos > QoS::AtMostOnce && connected.forwards(&grant.subscription_ids);
        if !is_plain || !self.queue.is_empty() {
            return (0, Wake::Nobody);
        }
        let run = run.get(..places).unwrap_or(run);
        let window = &mut self.window;
        let (taken, bytes) = match connected.send_together(window, run, grant, bounds) {
            Some(bytes) => (run.len(), bytes),
            None => connected.send_each(window, run, grant, bounds),
        };
        if taken == 0 {
            return (0, Wake::Nobody);
        }
        self.sent.messages += taken as u64;
        self.sent.bytes += bytes as u64;
        self.settle(bounds);
        (taken, self.wake())
    }

    /// Whether the client may get messages of `topic`. Without a connection they are kept: the next one
    /// is asked about when they are sent.
    #[inline]
    pub(in crate::broker) fn may_receive(&self, topic: &str, now: Instant) -> bool {
        let connected = self.connected.as_ref();
        connected.is_none_or(|connected| connected.may_receive(topic, now))
    }

    /// What becomes of a message that would have to wait and may not.
    #[cold]
    fn refuse_to_keep(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        bounds: &Bounds<'_>,
    ) -> Offered {
        match &self.connected {
            None if self.persistent => Offered::Refused,
            None => Offered::Dropped,
            Some(connected) if fits(publication, grant, connected, bounds) => Offered::Refused,
            Some(_) => self.drop_new(publication),
        }
    }

    /// The client does not get a new message.
    fn drop_new(&mut self, publication: &Publication<'_>) -> Offered {
        match publication.at_once.is_required() {
            // It is counted by its publisher's side, unless it is refused there.
            true => publication.at_once.note_loss(),
            false => self.sent.dropped += 1,
        }
        Offered::Dropped
    }

    /// Takes the packets of `count` QoS 0 messages as they were read, all at once. `None` where they
    /// have to be looked at one by one: something in them would change, or one might not fit.
    #[inline]
    pub(in crate::broker) fn offer_packets(
        &mut self,
        version: Version,
        packets: &[u8],
        count: usize,
        grant: &Grant,
        bounds: &Bounds<'_>,
    ) -> Option<Wake> {
        let connected = self.connected.as_mut()?;
        // Each has a row of its own while there is a journal.
        let is_unchanged = bounds.tap.is_none()
            && version == connected.peer.version
            && matches!(grant.subscription_ids, SubscriptionIds::None)
            && !connected.has_aliases();
        let fits = packets.len() <= connected.peer.packet_size()
            && connected.out.len() + packets.len() <= bounds.limits.outbox
            && connected.may_append(packets.len(), bounds);
        if !is_unchanged || !fits {
            return None;
        }
        let buffer = connected.out.bytes().buffer();
        compose(buffer, connected.peer.version, &Outgoing::Run(packets));
        self.sent.messages += count as u64;
        self.sent.bytes += packets.len() as u64;
        self.settle(bounds);
        Some(self.wake())
    }

    #[inline]
    fn offer_at_most_once(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        bounds: &Bounds<'_>,
    ) -> Offered {
        let Some(connected) = &self.connected else {
            return Offered::Dropped;
        };
        let has_room = connected.out.len() < bounds.limits.outbox
            && connected.may_append(publication.size(), bounds);
        let sent = has_room
            .then(|| self.send_at_most_once(publication, grant, bounds))
            .flatten();
        match sent {
            Some(wake) => Offered::Sent(wake),
            None if !has_room && publication.at_once.is_required() => Offered::Refused,
            None => self.drop_new(publication),
        }
    }

    /// Appends a QoS 0 message, unless the packet exceeds the client's Maximum Packet Size.
    #[inline]
    pub(super) fn send_at_most_once(
        &mut self,
        publication: &Publication<'_>,
        grant: &Grant,
        bounds: &Bounds<'_>,
    ) -> Option<Wake> {
        let connected = self.connected.as_mut()?;
        let bytes = connected.append_at_most_once(publication, grant, bounds)?;
        self.sent.messages += 1;
        self.sent.bytes += bytes as u64;
        self.settle(bounds);
        Some(self.wake())
    }

    /// Whether a message of QoS 1 or 2 that may not wait goes out now, to a client that has little of what
    /// there is for such messages.
    #[cold]
    pub(super) fn takes_at_once(&self, publication: &Publication<'_>, bounds: &Bounds<'_>) -> bool {
        let connected = self.connected.as_ref();
        connected.is_some_and(|connected| connected.takes_at_once())
            && self.queue.is_empty()
            && self.has_room(bounds)
            && bounds.budget.admits_in_flight(
                publication.size(),
                self.window.len(),
                self.window.bytes(),
            )
    }

    fn enqueue(
        &mut self,
        publication: &Publication<'_>,
        grant: Grant,
        bounds: &Bounds<'_>,
    ) -> Offered {
        if self.connected.is_none() && !self.persistent {
            return Offered::Dropped;
        }
        while self.is_full(bounds) && self.queue.pop_expired(bounds.now).is_some() {
            self.sent.expired += 1;
        }
        if self.is_full(bounds) {
            self.sent.dropped += 1;
            return match bounds.on_overflow {
                crate::config::Overflow::Disconnect if self.connected.is_some() => {
                    Offered::Overflow
                }
                _ => Offered::Dropped,
            };
        }
        self.queue.push(grant.delivery(publication, bounds));
        self.settle(bounds);
        Offered::Queued
    }

    pub(super) fn is_full(&self, bounds: &Bounds<'_>) -> bool {
        self.queue.len() + self.window.len() >= bounds.limits.session_queue
            || self.queue.bytes() + self.window.bytes() >= bounds.limits.session_queue_bytes
    }

    /// Whether the connection takes a retained message of so many bytes now.
    pub(in crate::broker) fn takes_replay(
        &self,
        qos: QoS,
        bytes: usize,
        bounds: &Bounds<'_>,
    ) -> bool {
        let Some(connected) = &self.connected else {
            return false;
        };
        connected.out.len() < PUMP_MARK.min(bounds.limits.outbox)
            && match qos {
                QoS::AtMostOnce => connected.may_append(bytes, bounds),
                QoS::AtLeastOnce | QoS::ExactlyOnce => {
                    self.queue.is_empty() && self.has_room(bounds)
                }
            }
    }

    pub(in crate::broker) fn offer_replay(
        &mut self,
        publication: &Publication<'_>,
        grant: Grant,
        bounds: &Bounds<'_>,
    ) -> Wake {
        if !self.may_receive(publication.topic, bounds.now) {
            return Wake::Nobody;
        }
        match self.offer(publication, grant, bounds) {
            Offered::Sent(wake) => wake,
            Offered::Queued | Offered::Dropped | Offered::Refused | Offered::Overflow => {
                Wake::Nobody
            }
        }
    }
}
