//! A member of a group, as the group knows it. What it can take is known to its outbox, which is asked
//! for each message under its lock, while the group's is held.

use std::sync::Arc;

use crate::broker::outbox::window::Origin;
use crate::codec::QoS;
use crate::message::delivery::Delivery;
use crate::message::publication::Publication;
use crate::message::subscription::Subscription;

use super::super::outbox::{Grant, HandOver, Suits, TakenBack};
use super::super::session::Session;
use super::super::turn::{Context, Dirty};
use super::backlog::{Looked, Returned, Waiting};

pub(super) struct Member {
    pub(super) session: Arc<Session>,
    pub(super) subscription: Arc<Subscription>,
    /// Its place in the session's outbox.
    pub(super) membership: u32,
    /// The granted QoS.
    pub(super) qos: QoS,
    pub(super) delivered: u64,
    pub(super) redelivered: u64,
    /// Which of the blocked messages it cannot take.
    pub(super) looked: Looked,
    /// It is among those that may not have looked at all of them.
    pub(super) is_fresh: bool,
}

impl Member {
    /// 1 if messages wait for it while it is away (rule 7), or 0.
    pub(super) fn keeps(&self) -> usize {
        usize::from(self.qos > QoS::AtMostOnce)
    }

    /// Hands a message over, if the member can take it now. One that it had before keeps its identifier.
    pub(super) fn offer(
        &self,
        publication: &Publication<'_>,
        sequence: u64,
        returned: Option<Returned>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> HandOver {
        #[cfg(test)]
        super::tests::costs::count_asked();
        let mut outbox = self.session.outbox();
        let Some(options) = self.subscription.options() else {
            return HandOver::Absent;
        };
        let grant = Grant::new(options, publication.qos, publication.retain);
        let origin = Origin::new(self.membership, sequence);
        let own = returned.filter(|returned| returned.session == self.session.id);
        let again = own.map(|returned| returned.packet_id);
        let result = outbox.hand_over(publication, grant, origin, again, context);
        drop(outbox);
        if let HandOver::Taken(wake) = result {
            dirty.delivered(&self.session, wake);
        }
        result
    }

    /// Whether the member could take a message if it had room.
    pub(super) fn suits(&self, publication: &Publication<'_>, context: &Context<'_>) -> Suits {
        #[cfg(test)]
        super::tests::costs::count_asked();
        let mut outbox = self.session.outbox();
        let Some(options) = self.subscription.options() else {
            return Suits::Absent;
        };
        let grant = Grant::new(options, publication.qos, publication.retain);
        outbox.suits(publication, &grant, self.membership, context)
    }

    /// Sends a message again that the member had before its connection ended.
    pub(super) fn take_back(
        &mut self,
        number: u64,
        waiting: &Waiting,
        returned: Returned,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> TakenBack {
        let mut outbox = self.session.outbox();
        let Some(options) = self.subscription.options() else {
            return TakenBack::Refused;
        };
        let message = &waiting.message;
        let grant = Grant::new(options, message.qos(), message.retain());
        let delivery = Delivery {
            message: message.clone(),
            qos: QoS::AtLeastOnce,
            retain: grant.retain,
            subscription_ids: grant.subscription_ids,
        };
        let origin = Origin::new(self.membership, number);
        let result = outbox.take_back(returned.packet_id, delivery, origin, context);
        drop(outbox);
        if let TakenBack::Taken(wake) = result {
            self.delivered += 1;
            self.redelivered += 1;
            dirty.delivered(&self.session, wake);
        }
        result
    }
}
