//! One message on its way to one receiver, as it waits in a queue or in flight.

use super::publication::Message;
use crate::codec::QoS;

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
    /// The RETAIN flag towards this receiver (MQTT-3.3.1-8, -9, -12, -13).
    pub(crate) retain: bool,
    pub(crate) subscription_ids: SubscriptionIds,
}
