//! One subscription of one session: options that can change while messages pass.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::codec::QoS;

use super::delivery::SubscriptionIds;

/// The options of a subscription, as SUBSCRIBE gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Subscription Identifier, 1 to 268,435,455.
    pub(crate) id: Option<NonZeroU32>,
}

impl Options {
    /// The identifier as it goes with a delivery (MQTT-3.3.4-3).
    #[inline]
    pub(crate) fn subscription_ids(&self) -> SubscriptionIds {
        self.id
            .map_or(SubscriptionIds::None, |id| SubscriptionIds::One(id.get()))
    }
}

/// A subscription that routes, groups and its session share.
///
/// Options live in one atomic word, so that a repeated SUBSCRIBE changes them in place and no
/// message is lost between the old and the new ones (MQTT-3.8.4-3). They are written and read under
/// the receiver's outbox lock, which is what makes UNSUBSCRIBE final (MQTT-3.10.4-2); the atomic only
/// saves a lock of its own.
pub(crate) struct Subscription(AtomicU64);

const QOS: u64 = 0b11;
const NO_LOCAL: u64 = 1 << 2;
const RETAIN_AS_PUBLISHED: u64 = 1 << 3;
const ENDED: u64 = 1 << 4;
const ID_SHIFT: u32 = 32;

impl Subscription {
    pub(crate) fn new(options: Options) -> Self {
        Self(AtomicU64::new(pack(options)))
    }

    /// The options, or `None` once the subscription has ended.
    #[inline]
    pub(crate) fn options(&self) -> Option<Options> {
        let word = self.0.load(Ordering::Relaxed);
        if word & ENDED != 0 {
            return None;
        }
        Some(Options {
            qos: QoS::from_bits((word & QOS) as u8)?,
            no_local: word & NO_LOCAL != 0,
            retain_as_published: word & RETAIN_AS_PUBLISHED != 0,
            id: NonZeroU32::new((word >> ID_SHIFT) as u32),
        })
    }

    pub(crate) fn change(&self, options: Options) {
        self.0.store(pack(options), Ordering::Relaxed);
    }

    /// No message is handed over for it any more.
    pub(crate) fn end(&self) {
        self.0.fetch_or(ENDED, Ordering::Relaxed);
    }
}

fn pack(options: Options) -> u64 {
    u64::from(options.qos.bits())
        | if options.no_local { NO_LOCAL } else { 0 }
        | if options.retain_as_published {
            RETAIN_AS_PUBLISHED
        } else {
            0
        }
        | u64::from(options.id.map_or(0, NonZeroU32::get)) << ID_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_packing_until_the_end() {
        let options = Options {
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: false,
            id: NonZeroU32::new(268_435_455),
        };
        let subscription = Subscription::new(options);
        assert_eq!(subscription.options(), Some(options));
        let changed = Options {
            qos: QoS::AtMostOnce,
            id: None,
            ..options
        };
        subscription.change(changed);
        assert_eq!(subscription.options(), Some(changed));
        subscription.end();
        assert_eq!(subscription.options(), None);
    }
}
