//! Topic aliases towards one client (MQTT-3.1.2-26, -27): the first topics that are sent get one
//! each, for the life of the connection.

use std::collections::BTreeMap;

use crate::budget::Charge;
use crate::codec::{OutgoingPublish, Version};

use crate::broker::discard::Discard;

/// A shorter topic costs no more than the alias that would replace it.
const WORTHWHILE: usize = 4;

pub(in crate::broker) struct OutboundAliases {
    maximum: u16,
    by_topic: BTreeMap<Box<[u8]>, u16>,
    charge: Charge,
}

/// What an alias takes besides its topic.
const ALIAS: usize = 48;

impl OutboundAliases {
    /// `None` when the client takes no aliases.
    pub(in crate::broker) fn new(maximum: u16, charge: Charge) -> Option<Box<Self>> {
        (maximum > 0).then(|| {
            Box::new(Self {
                maximum,
                by_topic: BTreeMap::new(),
                charge,
            })
        })
    }

    /// Replaces a known topic by its alias, and binds an alias to a new one while there are some.
    pub(in crate::broker) fn apply(
        &mut self,
        packet: &mut OutgoingPublish<'_>,
        packet_size: usize,
    ) {
        if packet.topic.len() < WORTHWHILE {
            return;
        }
        if let Some(alias) = self.by_topic.get(packet.topic) {
            packet.topic_alias = Some(*alias);
            packet.topic = b"";
            return;
        }
        let Ok(used) = u16::try_from(self.by_topic.len()) else {
            return;
        };
        if used < self.maximum {
            packet.topic_alias = Some(used + 1);
            if !packet.fits(Version::V5, packet_size)
                || self.charge.grow(ALIAS + packet.topic.len()).is_err()
            {
                packet.topic_alias = None;
                return;
            }
            self.by_topic.insert(packet.topic.into(), used + 1);
        }
    }
}

impl Discard for Box<OutboundAliases> {
    fn discard(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.by_topic.pop_first().is_some());
        self.by_topic.is_empty()
    }
}
