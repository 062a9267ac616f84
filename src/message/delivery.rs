//! One message on its way to one receiver, as it waits in a queue or in flight.

use super::publication::Message;
use crate::codec::QoS;

/// The RETAIN flag of a delivery, before it is known which connection carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retain {
    /// 0 (MQTT-3.3.1-12).
    No,
    /// 1: a message that was retained, for a new subscription (MQTT-3.3.1-8).
    Retained,
    /// 1, as its publisher has set it, for a subscription that asks for that (MQTT-3.3.1-13). Over MQTT 3.1.1, where none
    /// can, it is 0 (MQTT-3.3.1-9 there), but to bridges.
    AsPublished,
}

impl Retain {
    /// That of a live message for a subscription with or without Retain As Published.
    #[inline]
    pub(crate) fn live(published: bool, retain_as_published: bool) -> Self {
        match published && retain_as_published {
            true => Self::AsPublished,
            false => Self::No,
        }
    }
}

/// The subscription identifiers that go with one delivery (MQTT-3.3.4-3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SubscriptionIds {
    #[default]
    None,
    One(u32),
    Many(Box<SeveralIds>),
}

/// Behind a pointer of its own: what few deliveries have makes none of them larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeveralIds(Box<[u32]>);

impl SubscriptionIds {
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => &ids.0,
        }
    }

    pub(crate) fn from_slice(ids: &[u32]) -> Self {
        match ids {
            [] => Self::None,
            [id] => Self::One(*id),
            many => Self::Many(Box::new(SeveralIds(many.into()))),
        }
    }
}

/// A message with what the receiver's subscriptions make of it.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    /// The QoS delivered: the lower one of publish and grant (MQTT-3.8.4-8).
    pub(crate) qos: QoS,
    pub(crate) retain: Retain,
    pub(crate) subscription_ids: SubscriptionIds,
}
