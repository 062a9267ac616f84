//! Parts of the crate for this repository's own benches. No promise is kept about any of it.
//!
//! What the benches measure below the network they reach through [`Switchboard`]: a broker and clients
//! of it, in bytes, without sockets, tasks or a clock that moves. So what is measured is what a
//! server runs, and nothing else had to become visible.

use std::sync::Arc;
use std::time::Instant;

#[cfg(feature = "aws")]
use crate::aws::authority::Authority;
#[cfg(feature = "aws")]
use crate::aws::registry::{Means, Registry};
use crate::broker::doubles::{NoAlarm, Sink};
use crate::broker::{Broker, ConnectionFacts, Dirty, PeerAddr, Randomness};
use crate::client::{Connection, Flow};
use crate::codec::{self, OutgoingPublish, PacketId, QoS, Split, Version};
use crate::config::Config;
#[cfg(feature = "aws")]
use crate::policy::Scope;
use crate::time::Clock;

pub use crate::topic::{
    Changes, Filter, FilterFound, HashParent, MatchPosition, Named, Names, Position, TopicError,
    Trie, Walk, check_topic_name, levels, matches, slashes,
};

/// A broker without a network.
pub struct Switchboard {
    broker: Broker,
    now: Instant,
}

/// A client of a [`Switchboard`].
pub struct Caller {
    connection: Connection,
    sink: Arc<Sink>,
    dirty: Dirty,
}

impl Switchboard {
    /// A broker with nobody connected.
    pub fn new(config: Config) -> Self {
        let now = Clock::default().now().now;
        let seed = config.seed.unwrap_or_default();
        Self {
            broker: Broker::new(config, Randomness::from_seed(seed), now, Arc::new(NoAlarm)),
            now,
        }
    }

    /// The same, where a policy says what clients may do, or everything is allowed for want of one.
    ///
    /// # Panics
    ///
    /// If the policy is none.
    #[cfg(feature = "aws")]
    pub fn with_policy(mut config: Config, document: Option<&str>) -> Self {
        const NAME: &str = "clients";
        config.aws.anonymous_policy = Some(NAME.to_owned());
        let registry = Registry::in_memory(Scope::default());
        let means = Means {
            now: 0,
            random: &mut || 0,
        };
        let created = registry.change(means, |draft| match document {
            Some(document) => draft
                .create_policy(NAME, document, Default::default())
                .map(drop),
            None => Ok(()),
        });
        created.expect("a policy");
        let clock = Clock::default();
        let authority = Authority::new(Arc::new(registry), clock.calendar(), || 0, &config);
        let board = Self::new(config);
        Self {
            broker: board.broker.with_access(Arc::new(authority)),
            now: board.now,
        }
    }

    /// A connection that has sent nothing.
    pub fn dial(&self) -> Caller {
        let sink = Arc::new(Sink::default());
        let facts = ConnectionFacts::new("internals", PeerAddr::Memory, None);
        Caller {
            connection: Connection::new(&self.broker, sink.clone(), facts, self.now),
            sink,
            dirty: Dirty::default(),
        }
    }
}

impl Caller {
    /// Has the broker handle these whole packets, and write what comes of them to everybody.
    ///
    /// # Panics
    ///
    /// If the broker ends the connection.
    pub fn send(&mut self, switchboard: &Switchboard, packets: &[u8]) {
        let broker = &switchboard.broker;
        let context = broker.context(switchboard.now);
        let mut rest = packets;
        while !rest.is_empty() {
            self.dirty.begin_turn();
            let received = self
                .connection
                .receive(broker, rest, &context, &mut self.dirty);
            while !broker.flush_some(usize::MAX, &context, &mut self.dirty) {}
            assert!(
                matches!(received.flow, Flow::Continue | Flow::Yield),
                "the connection goes on: {:?}",
                received.flow
            );
            rest = rest.get(received.consumed..).unwrap_or_default();
        }
    }

    /// Looks at what the broker wrote since the last time, and forgets it.
    pub fn receive<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        self.sink.take(look)
    }
}

/// Decodes a PUBLISH from a client; the sizes of its topic and its payload, if it is one.
pub fn decode_publish(packet: &[u8], version: Version) -> Option<(usize, usize)> {
    let Ok(Split::Frame(frame)) = codec::split(packet, codec::MAX_PACKET_SIZE) else {
        return None;
    };
    let publish = codec::decode_publish(&frame, version).ok()?;
    Some((publish.topic.len(), publish.payload.len()))
}

/// Appends a PUBLISH to a receiver; with a packet identifier it is at QoS 1.
pub fn encode_publish(
    version: Version,
    topic: &str,
    payload: &[u8],
    packet_id: Option<u16>,
    out: &mut Vec<u8>,
) {
    let packet_id = packet_id.and_then(PacketId::new);
    let publish = OutgoingPublish {
        dup: false,
        qos: match packet_id {
            Some(_) => QoS::AtLeastOnce,
            None => QoS::AtMostOnce,
        },
        retain: false,
        topic: topic.as_bytes(),
        packet_id,
        topic_alias: None,
        message_expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: payload.into(),
    };
    publish.encode(version, out);
}
