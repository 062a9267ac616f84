//! The Will Message of a connection.

use std::time::{Duration, Instant};

use super::publication::{Publication, expiry_deadline};
use crate::budget::Charge;
use crate::codec::QoS;

/// A Will Message, kept from CONNECT until it is published or removed (MQTT-3.1.2-7, -10).
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) topic: Box<str>,
    pub(crate) payload: Box<[u8]>,
    /// Property bytes to forward.
    pub(crate) properties: Box<[u8]>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Will Delay Interval (MQTT-3.1.3.2.2).
    pub(crate) delay: Duration,
    /// Message Expiry Interval in seconds; it starts when the will is published.
    pub(crate) message_expiry: Option<u32>,
    /// Its bytes in the broker's budget.
    #[expect(dead_code, reason = "it counts for as long as it is there")]
    pub(crate) charge: Charge,
}

impl Will {
    /// The will as a message published `now`.
    pub(crate) fn publication(&self, now: Instant) -> Publication<'_> {
        let mut publication = Publication::new(&self.topic, &*self.payload, self.qos);
        publication.properties = &self.properties;
        publication.retain = self.retain;
        publication.expires_at = self
            .message_expiry
            .and_then(|secs| expiry_deadline(secs, now));
        publication
    }
}
