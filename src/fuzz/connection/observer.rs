//! A client's end of a connection: it takes what the broker sends and holds it against what this
//! client may get.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{
    AckKind, ConnectError, MAX_PACKET_SIZE, Packet, PacketId, Publish, QoS, ReasonCode, Sender,
    Split, Version, connect, decode_from, encode_ack, split,
};
use crate::topic::check_topic_name;

/// What one connection's client knows.
pub(super) struct Observer {
    /// What CONNECT said; `None` before it was sent.
    offer: Option<Offer>,
    /// Bytes from the broker that are no whole packet yet.
    unread: Vec<u8>,
    stage: Stage,
    /// Identifiers of the broker's messages that this client got and never acknowledged. The broker
    /// knows these as open, and possibly others.
    open: BTreeSet<PacketId>,
    /// Those that it acknowledged, whether or not it had read the message.
    acknowledged: BTreeSet<PacketId>,
    /// What the client owes.
    owed: Vec<(AckKind, PacketId)>,
    /// Topics by the broker's aliases.
    aliases: BTreeMap<u16, String>,
    /// Packets that were answered, less those to be answered.
    pings: usize,
    pub(super) messages: usize,
}

/// What the client said that it takes.
struct Offer {
    version: Version,
    receive_maximum: usize,
    packet_size: usize,
    alias_maximum: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Connected,
    /// DISCONNECT, or a CONNACK that refuses, was the last.
    Over,
}

impl Observer {
    pub(super) fn new() -> Self {
        Self {
            offer: None,
            unread: Vec::new(),
            stage: Stage::Connecting,
            open: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            owed: Vec::new(),
            aliases: BTreeMap::new(),
            pings: 0,
            messages: 0,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.stage == Stage::Connected
    }

    /// The broker is about to read these bytes, the first of which begin a packet.
    pub(super) fn sends(&mut self, mut bytes: &[u8]) {
        while let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) {
            bytes = &bytes[frame.len..];
            let Some(offer) = &self.offer else {
                self.offer = Some(match connect::decode(&frame) {
                    Ok(connect) => Offer {
                        version: connect.version,
                        receive_maximum: connect
                            .properties
                            .receive_maximum
                            .unwrap_or(u16::MAX)
                            .into(),
                        packet_size: connect
                            .properties
                            .maximum_packet_size
                            .map_or(usize::MAX, |size| size as usize),
                        alias_maximum: connect.properties.topic_alias_maximum.unwrap_or(0),
                    },
                    Err(error) => Offer::of_unknown(&error),
                });
                continue;
            };
            match decode_from(Sender::Client, &frame, offer.version) {
                Ok(Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack)) => {
                    self.open.remove(&ack.packet_id);
                    self.acknowledged.insert(ack.packet_id);
                }
                Ok(Packet::Pingreq) => self.pings += 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// The broker sent these bytes.
    pub(super) fn receives(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        while let Split::Frame(frame) = split(rest, MAX_PACKET_SIZE).expect("packets") {
            let offer = self.offer.as_ref().expect("nothing before CONNECT");
            assert!(
                frame.len <= offer.packet_size,
                "MQTT-3.1.2-24: {:02x?}",
                frame.bytes
            );
            let packet = decode_from(Sender::Server, &frame, offer.version);
            self.packet(&packet.expect("a valid packet"));
            rest = &rest[frame.len..];
        }
        self.unread = rest.to_vec();
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        match (packet, self.stage) {
            (Packet::Connack(connack), Stage::Connecting) => {
                self.stage = match connack.reason {
                    ReasonCode::Success => Stage::Connected,
                    _ => Stage::Over,
                };
            }
            (Packet::Disconnect(_), Stage::Connected) => self.stage = Stage::Over,
            (Packet::Publish(publish), Stage::Connected) => self.publish(publish),
            (Packet::Pubrel(ack), Stage::Connected) => {
                self.owed.push((AckKind::Pubcomp, ack.packet_id));
            }
            (Packet::Pingresp, Stage::Connected) => {
                self.pings = self.pings.checked_sub(1).expect("an answer to a PINGREQ");
            }
            (
                Packet::Puback(_)
                | Packet::Pubrec(_)
                | Packet::Pubcomp(_)
                | Packet::Suback(_)
                | Packet::Unsuback(_),
                Stage::Connected,
            ) => {}
            (packet, stage) => panic!("{stage:?}, but {packet:?}"),
        }
    }

    fn publish(&mut self, publish: &Publish<'_>) {
        self.messages += 1;
        let offer = self.offer.as_ref().expect("CONNECT was sent");
        if let Some(alias) = publish.properties.topic_alias {
            assert!(alias <= offer.alias_maximum, "MQTT-3.1.2-26: alias {alias}");
            if !publish.topic.is_empty() {
                self.aliases.insert(alias, publish.topic.to_owned());
            }
            assert!(
                self.aliases.contains_key(&alias),
                "MQTT-3.3.2-8: alias {alias}"
            );
        }
        if !publish.topic.is_empty() {
            check_topic_name(publish.topic).expect("MQTT-3.3.2-2");
        }
        let Some(id) = publish.packet_id else { return };
        let is_new = self.acknowledged.contains(&id) || self.open.insert(id);
        assert!(is_new || publish.dup, "MQTT-2.2.1-3: {id} is in use");
        assert!(
            offer.version == Version::V311 || self.open.len() <= offer.receive_maximum,
            "MQTT-3.3.4-9: {} messages are open",
            self.open.len()
        );
        self.owed.push(match publish.qos {
            QoS::ExactlyOnce => (AckKind::Pubrec, id),
            QoS::AtMostOnce | QoS::AtLeastOnce => (AckKind::Puback, id),
        });
    }

    /// The acknowledgements that the client owes.
    pub(super) fn acknowledge(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let version = self
            .offer
            .as_ref()
            .map_or(Version::V5, |offer| offer.version);
        for (kind, id) in self.owed.drain(..) {
            encode_ack(&mut out, version, kind, id, ReasonCode::Success, None);
        }
        out
    }
}

impl Offer {
    /// A client that cannot be understood is answered in the version that it seems to speak.
    fn of_unknown(error: &ConnectError) -> Self {
        let version = match error {
            ConnectError::UnsupportedVersion { level, .. } if *level & 0x7f >= 5 => Version::V5,
            ConnectError::UnsupportedVersion { .. } => Version::V311,
            ConnectError::Invalid { .. } => error.version().unwrap_or(Version::V5),
        };
        Self {
            version,
            receive_maximum: 0,
            packet_size: usize::MAX,
            alias_maximum: 0,
        }
    }
}
