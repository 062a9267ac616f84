//! Clients: what they are, what they send, and how they answer.

use std::collections::{BTreeMap, VecDeque};

use crate::codec::{
    AckKind, MAX_PACKET_SIZE, Packet, PacketId, QoS, ReasonCode, Sender, Split, Version,
    decode_from, encode_ack, split,
};

/// A client, with or without a connection.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) role: Role,
    /// Its present connection.
    pub(super) connection: Option<usize>,
    /// Its own QoS 2 messages that are not done with, by identifier.
    pub(super) publishing: BTreeMap<PacketId, Publishing>,
    /// It has not seen the CONNACK of its last connection, and cannot know what became of its session.
    pub(super) is_unsure: bool,
    last_id: u16,
}

/// What a client subscribes to. Every delivery has to tell the ledger what it is for, by Subscription
/// Identifier or because there is only one possibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Plain and shared subscriptions, all with identifiers: MQTT 5 only.
    Mixed,
    /// Plain subscriptions.
    Plain,
    /// This shared one.
    Shared(&'static str),
}

/// A QoS 2 message on its way to the broker.
#[derive(Clone, Debug)]
pub(super) enum Publishing {
    /// PUBLISH sent, as these bytes.
    Published(Version, Vec<u8>),
    /// PUBREL sent.
    Released,
}

/// When a client acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// With what it read.
    Prompt,
    /// One by one, later.
    Late,
    /// One by one, in any order.
    Shuffled,
    Never,
}

/// The client's end of one connection.
pub(super) struct Peer {
    pub(super) version: Version,
    pub(super) habit: Habit,
    /// CONNACK came.
    pub(super) is_connected: bool,
    pub(super) session_expiry: u32,
    /// What it owes the broker.
    pub(super) acks: VecDeque<(AckKind, PacketId)>,
    /// Topics that the broker knows by an alias.
    pub(super) aliases: Vec<&'static str>,
    unread: Vec<u8>,
}

impl Client {
    pub(super) fn new(id: String, role: Role) -> Self {
        Self {
            id,
            role,
            connection: None,
            publishing: BTreeMap::new(),
            is_unsure: false,
            last_id: 0,
        }
    }

    /// An identifier that no message of its own has.
    pub(super) fn next_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            match PacketId::new(self.last_id) {
                Some(id) if !self.publishing.contains_key(&id) => return id,
                _ => {}
            }
        }
    }

    /// What to send once CONNACK came: MQTT-4.4.0-1, from the client's side.
    fn resume(&mut self, session_present: bool, version: Version) -> Vec<u8> {
        self.is_unsure = false;
        if !session_present {
            self.publishing.clear();
        }
        let mut out = Vec::new();
        for (id, message) in &self.publishing {
            match message {
                Publishing::Published(then, bytes) if *then == version => {
                    let start = out.len();
                    out.extend_from_slice(bytes);
                    out[start] |= 0b1000;
                }
                Publishing::Published(..) => {}
                Publishing::Released => ack(&mut out, version, AckKind::Pubrel, *id),
            }
        }
        out
    }
}

impl Peer {
    pub(super) fn new(version: Version, habit: Habit, session_expiry: u32) -> Self {
        Self {
            version,
            habit,
            is_connected: false,
            session_expiry,
            acks: VecDeque::new(),
            aliases: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// Reads what the broker sent. Returns what to send at once. `client` is there if this is its
    /// present connection.
    pub(super) fn read(&mut self, bytes: &[u8], mut client: Option<&mut Client>) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        let mut out = Vec::new();
        while let Ok(Split::Frame(frame)) = split(rest, MAX_PACKET_SIZE) {
            let packet = decode_from(Sender::Server, &frame, self.version);
            let client = client.as_deref_mut();
            self.handle(&packet.expect("a valid packet"), client, &mut out);
            rest = &rest[frame.len..];
        }
        self.unread = rest.to_vec();
        if self.habit == Habit::Prompt {
            while let Some((kind, id)) = self.acks.pop_front() {
                ack(&mut out, self.version, kind, id);
            }
        }
        out
    }

    fn handle(&mut self, packet: &Packet<'_>, mut client: Option<&mut Client>, out: &mut Vec<u8>) {
        let publishing = client.as_deref_mut().map(|client| &mut client.publishing);
        match (packet, publishing) {
            (Packet::Connack(connack), _) => {
                assert_eq!(connack.reason, ReasonCode::Success);
                self.is_connected = true;
                let resume =
                    |client: &mut Client| client.resume(connack.session_present, self.version);
                out.extend(client.map(resume).unwrap_or_default());
            }
            (Packet::Publish(publish), _) => {
                let kind = match publish.qos {
                    QoS::ExactlyOnce => AckKind::Pubrec,
                    QoS::AtMostOnce | QoS::AtLeastOnce => AckKind::Puback,
                };
                self.acks.extend(publish.packet_id.map(|id| (kind, id)));
            }
            (Packet::Pubrel(ack), _) => self.acks.push_back((AckKind::Pubcomp, ack.packet_id)),
            (Packet::Pubrec(ack), Some(publishing)) if ack.reason.is_error() => {
                publishing.remove(&ack.packet_id);
            }
            (Packet::Pubrec(ack), Some(publishing)) => {
                publishing.insert(ack.packet_id, Publishing::Released);
                self.acks.push_back((AckKind::Pubrel, ack.packet_id));
            }
            (Packet::Pubcomp(ack), Some(publishing)) => {
                publishing.remove(&ack.packet_id);
            }
            _ => {}
        }
    }
}

fn ack(out: &mut Vec<u8>, version: Version, kind: AckKind, id: PacketId) {
    encode_ack(out, version, kind, id, ReasonCode::Success, None);
}
