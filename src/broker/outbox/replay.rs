//! Retained messages that a new subscription is still due, as its outbox keeps them: how far a walk
//! through the stores has come, not a list of what it will get.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::broker::bounds::Bounds;
use crate::broker::discard::Discard;
use crate::budget::{Charge, Full, Kind};
use crate::codec::QoS;
use crate::message::delivery::Retain;
use crate::message::publication::Message;
use crate::message::subscription::{Options, Subscription};
use crate::topic::Position;

use super::{Grant, Outbox};

/// The retained messages that one subscription is still due.
pub(in crate::broker) struct Replay {
    pub(in crate::broker) filter: Box<str>,
    /// The number of the last message that was there at the SUBSCRIBE, for each store that is still to
    /// be walked through; the first one is walked through now.
    pub(in crate::broker) stores: VecDeque<(Source, u64)>,
    pub(in crate::broker) position: Position,
    /// What the connection could not take yet.
    pub(in crate::broker) held: Option<Message>,
    subscription: Arc<Subscription>,
    /// Those of the SUBSCRIBE that it is for: a later one may have changed the subscription's.
    pub(in crate::broker) options: Options,
    /// The connection that subscribed: what it got at QoS 0 goes with it.
    pub(in crate::broker) epoch: u64,
    charge: Charge,
}

/// Where retained messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Source {
    Clients,
    /// The broker's own topics.
    Own,
}

impl Replay {
    /// A replay to a subscription that a connection asked for; `Broker::begin_replay`
    /// notes what there is for it.
    pub(in crate::broker) fn new(
        filter: &str,
        subscription: Arc<Subscription>,
        options: Options,
        epoch: u64,
        charge: Charge,
    ) -> Self {
        Self {
            filter: filter.into(),
            stores: VecDeque::new(),
            position: Position::default(),
            held: None,
            subscription,
            options,
            epoch,
            charge,
        }
    }

    /// An account for a replay.
    pub(in crate::broker) fn account(filter: &str, bounds: &Bounds<'_>) -> Result<Charge, Full> {
        let size = size_of::<Self>() + filter.len();
        Charge::new(bounds.budget, Kind::Sessions, size)
    }

    pub(in crate::broker) fn settle(&mut self) {
        let held = size_of::<Self>() + self.filter.len() + self.position.size();
        self.charge.set(held);
    }

    /// What the SUBSCRIBE makes of a message: RETAIN 1 (MQTT-3.3.1-8), at the QoS that its own answer
    /// granted (MQTT-3.8.4-5).
    pub(in crate::broker) fn grant(&self, message: &Message) -> Grant {
        Grant {
            retain: Retain::Retained,
            ..Grant::new(self.options, message.qos(), true)
        }
    }

    /// Whether nothing of it can be due any more: the subscription has ended, or the connection that
    /// all of it would have gone to at QoS 0.
    pub(in crate::broker) fn is_void(&self, outbox: &Outbox) -> bool {
        let is_late = !outbox.is_connected_as(self.epoch);
        self.subscription.options().is_none() || (is_late && self.options.qos == QoS::AtMostOnce)
    }
}

impl Discard for VecDeque<Replay> {
    fn discard(&mut self, count: usize) -> bool {
        self.drain(..count.min(self.len()));
        self.is_empty()
    }
}
