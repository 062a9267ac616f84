//! QoS 1 and 2 exchanges with the client: opened, acknowledged, sent again.

use std::time::Duration;

use crate::codec::{AckKind, PacketId, QoS};
use crate::message::delivery::Delivery;

use super::super::bounds::Bounds;
use super::connected::Connected;
use super::resend::{Next, Resend};
use super::window::{Entry, Origin, Phase};
use super::{Outbox, PUMP_MARK, Wake};

/// Queued messages that are looked at in one go: those that have expired cost nothing but time.
const LOOKED_AT: usize = 1024;

/// What an acknowledgement was to the exchange that its identifier names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The step that was due, or PUBREC once more.
    Done,
    /// No exchange is open under it: the acknowledgement is late or repeated. Its message may have
    /// gone to another member of its group, or was given up.
    Unknown,
    /// The open exchange has another QoS, or is at another step.
    OutOfStep,
}

impl Outbox {
    /// Whether a new QoS 1 or 2 message can be sent now: one that was sent before goes first
    /// (MQTT-4.6.0-1).
    pub(super) fn has_room(&self, bounds: &Bounds<'_>) -> bool {
        self.connected.as_ref().is_some_and(|connected| {
            self.window.len() < usize::from(connected.places)
                && connected.out.len() < bounds.limits.outbox
        })
    }

    /// Opens an exchange and appends its PUBLISH. The caller has seen that there is room.
    pub(super) fn send(
        &mut self,
        delivery: Delivery,
        origin: Option<Origin>,
        bounds: &Bounds<'_>,
    ) -> Wake {
        match self.open(delivery, origin, bounds) {
            Some(_) => self.wake(),
            None => Wake::Nobody,
        }
    }

    /// The same without asking for a writer. Returns the identifier, unless none is free.
    #[inline]
    pub(super) fn open(
        &mut self,
        delivery: Delivery,
        origin: Option<Origin>,
        bounds: &Bounds<'_>,
    ) -> Option<PacketId> {
        let connected = self.connected.as_mut()?;
        let entry = Entry {
            phase: Phase::Published(delivery),
            origin,
            opened_at: bounds.seconds,
            sent_on: connected.number,
        };
        let (id, entry) = self.window.open(entry)?;
        if let Phase::Published(delivery) = &entry.phase {
            self.sent.messages += 1;
            self.sent.bytes += connected.append_delivery(delivery, id, false, bounds) as u64;
        }
        Some(id)
    }

    /// Sends what waits for room: first exchanges of an earlier connection, then the queue. At most
    /// `limit` new exchanges are opened.
    pub(in crate::broker) fn pump(&mut self, limit: usize, bounds: &Bounds<'_>) -> Wake {
        let mut wake = self.pump_resend(bounds);
        let mut opened = 0;
        for _ in 0..LOOKED_AT.max(limit) {
            if opened == limit || !self.can_pump(bounds) {
                break;
            }
            let Some((_, delivery)) = self.queue.pop_first() else {
                break;
            };
            if delivery.message.is_expired(bounds.now) {
                self.sent.expired += 1;
                continue;
            }
            let connected = self.connected.as_ref();
            if !connected.is_some_and(|connected| connected.takes(&delivery, bounds)) {
                self.sent.dropped += 1;
                continue;
            }
            opened += 1;
            if self.send(delivery, None, bounds) == Wake::Writer {
                wake = Wake::Writer;
            }
        }
        self.settle(bounds);
        wake
    }

    /// Whether something that waits could be sent at once.
    pub(in crate::broker) fn has_more(&self, bounds: &Bounds<'_>) -> bool {
        (!self.queue.is_empty() && self.can_pump(bounds)) || self.can_resend(bounds)
    }

    fn can_pump(&self, bounds: &Bounds<'_>) -> bool {
        self.has_room(bounds)
            && self
                .connected
                .as_ref()
                .is_some_and(|connected| connected.may_compose(PUMP_MARK, bounds))
    }

    /// Free places in the window.
    pub(in crate::broker) fn free_slots(&self) -> usize {
        self.connected.as_ref().map_or(0, |connected| {
            usize::from(connected.places).saturating_sub(self.window.len())
        })
    }

    /// New exchanges may be opened once nothing of an earlier connection is left to be done.
    pub(super) fn open_places(&mut self) {
        let surrenders = self.surrenders();
        if let Some(connected) = &mut self.connected {
            let places = connected.peer.window.saturating_add(connected.earlier);
            connected.places = match connected.resend().is_none() && !surrenders {
                true => places.min(connected.most),
                false => 0,
            };
            connected.tidy();
        }
    }

    /// What of the client's Receive Maximum is taken; where there is no connection, all that is open.
    pub(in crate::broker) fn window_taken(&self) -> usize {
        let connected = self.connected.as_ref();
        let earlier = connected.map_or(0, |connected| connected.earlier);
        self.window.len().saturating_sub(earlier.into())
    }

    /// Whether what an earlier connection left open could be sent at once: PUBRELs wait for no place of the
    /// window (MQTT-4.9.0-3).
    fn can_resend(&self, bounds: &Bounds<'_>) -> bool {
        let may_go = |connected: &Connected, resend: &Resend| {
            let has_place = self.window_taken() < usize::from(connected.peer.window);
            resend.has_releases() || (has_place && !self.surrenders())
        };
        self.connected.as_ref().is_some_and(|connected| {
            let resend = connected.resend();
            resend.is_some_and(|resend| may_go(connected, resend))
                && connected.may_compose(PUMP_MARK, bounds)
        })
    }

    /// Sends what an earlier connection left open, as far as this one takes it, and some at once.
    pub(in crate::broker) fn pump_resend(&mut self, bounds: &Bounds<'_>) -> Wake {
        let mut appended = false;
        for _ in 0..LOOKED_AT {
            if !self.can_resend(bounds) {
                break;
            }
            let Some(connected) = &mut self.connected else {
                break;
            };
            let Some(seldom) = &mut connected.seldom else {
                break;
            };
            let (id, entry) = match seldom.resend.next(&mut self.window, connected.number) {
                Next::Due(id, entry) => (id, entry),
                Next::Passed => continue,
                Next::None => break,
            };
            match &entry.phase {
                Phase::Published(delivery) if !connected.takes(delivery, bounds) => {
                    let origin = entry.origin;
                    connected.earlier = connected.earlier.saturating_sub(1);
                    self.window.close(id);
                    self.sent.dropped += 1;
                    self.forget_origin(origin);
                }
                Phase::Published(delivery) => {
                    let dup = !bounds.aws.never_dup;
                    connected.earlier = connected.earlier.saturating_sub(1);
                    connected.append_delivery(delivery, id, dup, bounds);
                    appended = true;
                }
                Phase::Released { .. } => {
                    connected.append_pubrel(id, bounds);
                    appended = true;
                }
            }
        }
        self.open_places();
        if appended { self.wake() } else { Wake::Nobody }
    }

    /// Goes on with exchanges that this connection opened, in the order in which it did, as acknowledgements
    /// without an error say that are all of one kind: most come so. Returns for how many of `ids` that was what
    /// was due; what the next one means is found out for itself.
    #[inline]
    pub(crate) fn step_in_order(
        &mut self,
        kind: AckKind,
        ids: impl Iterator<Item = PacketId> + Clone,
    ) -> usize {
        let connected = self.connected.as_ref();
        // Whoever waits for a PUBACK is told by itself.
        let connected = connected.filter(|connected| !connected.has_direct());
        let Some(number) = connected.map(|connected| connected.number) else {
            return 0;
        };
        let memberships = &mut self.memberships;
        let is_due = |entry: &Entry| {
            let is_due = entry.sent_on == number
                && match (&entry.phase, kind) {
                    (Phase::Published(delivery), AckKind::Puback) => {
                        delivery.qos == QoS::AtLeastOnce
                    }
                    (Phase::Published(delivery), AckKind::Pubrec) => {
                        delivery.qos == QoS::ExactlyOnce
                    }
                    (Phase::Released { sent_on }, AckKind::Pubcomp) => *sent_on == number,
                    _ => false,
                };
            if let (true, Some(origin), Some(memberships)) =
                (is_due, entry.origin, &mut *memberships)
            {
                memberships.finish(origin.membership());
            }
            is_due
        };
        match kind {
            AckKind::Puback | AckKind::Pubcomp => self.window.close_in_order(ids, is_due),
            AckKind::Pubrec => self.window.release_in_order(ids, number, is_due),
            // It ends an exchange of the other direction.
            AckKind::Pubrel => 0,
        }
    }

    /// PUBACK, or PUBREC with an error: the exchange is over (MQTT-4.3.2-3, MQTT-4.8.2-6).
    pub(crate) fn acknowledge(&mut self, id: PacketId, expected: QoS) -> Acknowledged {
        self.close_if(
            id,
            |phase| matches!(phase, Phase::Published(delivery) if delivery.qos == expected),
        )
    }

    /// Ends an exchange that is at the step at which it may.
    #[inline]
    pub(super) fn close_if(
        &mut self,
        id: PacketId,
        may_end: impl FnOnce(&Phase) -> bool,
    ) -> Acknowledged {
        match self.window.close_if(id, |entry| may_end(&entry.phase)) {
            Some(Some(mut entry)) => {
                self.forget_origin(entry.origin);
                self.forget_earlier(&mut entry);
                self.confirm(id);
                Acknowledged::Done
            }
            Some(None) => Acknowledged::OutOfStep,
            None => Acknowledged::Unknown,
        }
    }

    /// PUBREC: the message has arrived; PUBREL follows (MQTT-4.3.3-4), once more if PUBREC comes once
    /// more. Unknown identifiers get a PUBREL with 0x92, so that a peer that remembers more than we do
    /// comes to an end.
    pub(crate) fn receive_pubrec(&mut self, id: PacketId) -> Acknowledged {
        let Some(entry) = self.window.get(id) else {
            return Acknowledged::Unknown;
        };
        if matches!(&entry.phase, Phase::Published(delivery) if delivery.qos != QoS::ExactlyOnce) {
            return Acknowledged::OutOfStep;
        }
        let origin = entry.origin;
        let mut was_due = false;
        if let Some(connected) = &mut self.connected {
            was_due = connected.forget_due(entry);
            self.window.release(id, connected.number);
        }
        self.forget_origin(origin);
        if was_due {
            self.open_places();
        }
        Acknowledged::Done
    }

    /// PUBCOMP: the exchange is over.
    pub(crate) fn receive_pubcomp(&mut self, id: PacketId) -> Acknowledged {
        self.close_if(id, |phase| matches!(phase, Phase::Released { .. }))
    }

    /// An exchange is over, which may be one of an earlier connection.
    #[inline]
    fn forget_earlier(&mut self, entry: &mut Entry) {
        if let Some(connected) = &mut self.connected
            && connected.number != entry.sent_on
        {
            connected.forget_earlier(entry);
            self.open_places();
        }
    }

    /// Sends again what has waited for its PUBACK for `interval` on a live connection, as far as that takes
    /// it, and gives up on what has waited for `period` in all (AWS-MQTT-08, -09): some in one go. Returns
    /// whether there is more to look at.
    pub(in crate::broker) fn resend_overdue(
        &mut self,
        interval: Duration,
        period: Option<Duration>,
        bounds: &Bounds<'_>,
    ) -> (Wake, bool) {
        let Some(connected) = &mut self.connected else {
            return (Wake::Nobody, false);
        };
        // A socket that takes nothing has not had the packets that were sent before.
        let may_append = !connected.out.is_full();
        let mut given_up = Vec::new();
        let (mut appended, mut is_over) = (false, false);
        for _ in 0..LOOKED_AT {
            let seldom = connected.seldom.get_or_insert_default();
            let walk = seldom.overdue.get_or_insert_default();
            let Some((id, entry)) = self.window.walk(walk) else {
                is_over = true;
                break;
            };
            let Phase::Published(delivery) = &entry.phase else {
                continue;
            };
            let age = bounds.seconds.saturating_sub(entry.opened_at);
            let age = Duration::from_secs(u64::from(age));
            if period.is_some_and(|period| age >= period) {
                given_up.push(id);
            } else if age >= interval
                && entry.sent_on == connected.number
                && may_append
                && connected.may_compose(PUMP_MARK, bounds)
            {
                // What this connection has not sent yet waits for its place in the window.
                connected.append_delivery(delivery, id, !bounds.aws.never_dup, bounds);
                appended = true;
            }
        }
        if let Some(seldom) = connected.seldom.as_mut().filter(|_| is_over) {
            seldom.overdue = None;
            connected.tidy();
        }
        self.sent.dropped += given_up.len() as u64;
        for id in given_up {
            self.give_up(id);
            self.close_if(id, |_| true);
        }
        let wake = if appended { self.wake() } else { Wake::Nobody };
        (wake, !is_over)
    }

    /// Open exchanges that the window has memory for. All of them move when it grows.
    #[inline]
    pub(in crate::broker) fn window_places(&self) -> usize {
        self.window.places()
    }
}
