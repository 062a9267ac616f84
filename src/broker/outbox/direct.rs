//! Messages for one client alone: it gets them now or not at all, whatever it subscribes to, and they are
//! forgotten with its connection.

use crate::codec::{PacketId, QoS};
use crate::message::delivery::{Delivery, Retain, SubscriptionIds};
use crate::message::publication::Publication;

use super::super::bounds::Bounds;
use super::connected::{Connected, fits};
use super::{Grant, Offered, Outbox, Wake};

/// Such messages that may wait for their PUBACK on one connection, which forgets all of them at its end.
const OPEN: usize = 64;

/// Called when the client has acknowledged a message; dropped when it will not do so any more. It may not
/// wait: the outbox is locked.
pub(crate) type Confirmation = Box<dyn FnOnce() + Send>;

/// Why a client does not get a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// It has no connection.
    Offline,
    /// It may not receive messages of the topic.
    Forbidden,
    /// The packet exceeds its Maximum Packet Size.
    TooLarge,
    /// It has as much to acknowledge or to read as it may.
    Full,
}

/// A message that waits for its PUBACK.
pub(super) struct Direct {
    id: PacketId,
    confirmation: Confirmation,
}

/// Messages that wait for their PUBACK on one connection, one at least.
#[derive(Default)]
pub(super) struct Directs(Vec<Direct>);

impl Outbox {
    /// Sends a message: with a confirmation at QoS 1, without one at QoS 0.
    pub(in crate::broker) fn offer_directly(
        &mut self,
        publication: &Publication<'_>,
        confirmation: Option<Confirmation>,
        bounds: &Bounds<'_>,
    ) -> Result<Wake, Undelivered> {
        let grant = Grant {
            qos: match confirmation {
                Some(_) => QoS::AtLeastOnce,
                None => QoS::AtMostOnce,
            },
            retain: Retain::No,
            subscription_ids: SubscriptionIds::None,
        };
        let connected = self.connected.as_ref().filter(|own| !own.is_leaving);
        let connected = connected.ok_or(Undelivered::Offline)?;
        if !connected.may_receive(publication.topic, bounds.now) {
            return Err(Undelivered::Forbidden);
        }
        if !fits(publication, &grant, connected, bounds) {
            return Err(Undelivered::TooLarge);
        }
        match confirmation {
            Some(confirmation) => self.send_directly(publication, confirmation, bounds),
            None => match self.offer(publication, grant, bounds) {
                Offered::Sent(wake) => Ok(wake),
                _ => Err(Undelivered::Full),
            },
        }
    }

    fn send_directly(
        &mut self,
        publication: &Publication<'_>,
        confirmation: Confirmation,
        bounds: &Bounds<'_>,
    ) -> Result<Wake, Undelivered> {
        let connected = self.connected.as_ref();
        let seldom = connected.and_then(|own| own.seldom.as_ref());
        let direct = seldom.and_then(|seldom| seldom.direct.as_ref());
        let open = direct.map_or(0, |direct| direct.0.len());
        let has_room = self.has_room(bounds) && bounds.budget.admits_message(publication.size());
        if open >= OPEN || !has_room {
            return Err(Undelivered::Full);
        }
        let delivery = Delivery {
            message: publication.message(bounds.budget),
            qos: QoS::AtLeastOnce,
            retain: Retain::No,
            subscription_ids: SubscriptionIds::None,
        };
        let id = self.open(delivery, None, bounds).ok_or(Undelivered::Full)?;
        if let Some(connected) = &mut self.connected {
            let seldom = connected.seldom.get_or_insert_default();
            let direct = seldom.direct.get_or_insert_default();
            direct.0.push(Direct { id, confirmation });
        }
        self.settle(bounds);
        Ok(self.wake())
    }

    /// The exchange of this identifier is over, as it was to be.
    #[inline]
    pub(super) fn confirm(&mut self, id: PacketId) {
        if let Some(connected) = &mut self.connected
            && connected.has_direct()
            && let Some(confirmation) = connected.take_direct(id)
        {
            confirmation();
        }
    }

    /// The exchange of this identifier will not come to its end.
    pub(super) fn give_up(&mut self, id: PacketId) {
        if let Some(connected) = &mut self.connected {
            connected.take_direct(id);
        }
    }

    /// Forgets what waits on a connection that has ended.
    pub(super) fn forget_direct(&mut self, direct: Directs) {
        for Direct { id, .. } in direct.0 {
            self.window.close(id);
            self.sent.dropped += 1;
        }
    }
}

impl Connected {
    #[cold]
    fn take_direct(&mut self, id: PacketId) -> Option<Confirmation> {
        let seldom = self.seldom.as_mut()?;
        let direct = &mut seldom.direct.as_mut()?.0;
        let place = direct.iter().position(|direct| direct.id == id)?;
        let Direct { confirmation, .. } = direct.swap_remove(place);
        if direct.is_empty() {
            seldom.direct = None;
            self.tidy();
        }
        Some(confirmation)
    }
}
