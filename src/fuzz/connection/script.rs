//! What happens, as bytes say it. Every sequence of bytes is a script.

use crate::codec::{
    AckKind, Connect, OutgoingPublish, PacketId, PacketType, QoS, ReasonCode, RetainHandling,
    SubscribeOptions, Version, client, encode_ack,
};

/// Connections that are open at a time.
pub(super) const SLOTS: usize = 4;

const CLIENT_IDS: [&str; 4] = ["a", "b", "c", ""];

const TOPICS: [&str; 8] = ["t", "t/u", "t/u/v", "u", "/", "$SYS/x", "t/+", ""];

const FILTERS: [&str; 16] = [
    "t",
    "t/#",
    "t/+",
    "#",
    "+/+",
    "+/u",
    "u",
    "$SYS/#",
    "$share/g/t",
    "$share/g/t/#",
    "$share/g/#",
    "$share/h/t",
    "$share/h/+/u",
    "$share/h/u",
    "$share/g",
    "t/#/u",
];

/// One thing that happens, at one of the connections.
pub(super) struct Step {
    pub(super) slot: usize,
    pub(super) action: Action,
    /// Others do not get a turn at once.
    pub(super) hold: bool,
}

pub(super) enum Action {
    /// A connection opens whose socket takes so many bytes before it is full; the client sends these.
    Open {
        room: usize,
        bytes: Vec<u8>,
    },
    Send(Vec<u8>),
    /// The client begins or ceases to read.
    ToggleReading,
    /// The client acknowledges what it got, or will do so from now on.
    Acknowledge,
    /// The client closes the connection.
    Close,
    /// The connection breaks.
    Break,
    /// Somebody else is writing to the socket.
    Busy,
    /// An operator disconnects the client.
    Kick(Option<ReasonCode>),
    /// Milliseconds pass.
    Wait(u64),
}

/// The steps that `bytes` stand for, to the end of them.
pub(super) fn steps(bytes: &[u8]) -> impl Iterator<Item = Step> {
    let mut bytes = Bytes(bytes);
    std::iter::from_fn(move || {
        let head = bytes.next()?;
        Some(Step {
            slot: usize::from(head >> 4) % SLOTS,
            hold: head & 0x80 != 0,
            action: action(head & 0x0f, &mut bytes),
        })
    })
}

fn action(kind: u8, bytes: &mut Bytes<'_>) -> Action {
    match kind {
        0 | 1 => connect(bytes),
        2 => {
            let len = usize::from(bytes.number());
            Action::Send(bytes.take(len).to_vec())
        }
        3 => framed(bytes),
        4 | 5 => publish(bytes),
        6 => subscribe(bytes),
        7 => unsubscribe(bytes),
        8 => acknowledgement(bytes),
        9 => Action::Acknowledge,
        10 => Action::ToggleReading,
        11 => match bytes.number() % 3 {
            0 => Action::Close,
            1 => Action::Break,
            _ => Action::Busy,
        },
        12 => Action::Kick(
            ReasonCode::from_u8(bytes.number())
                .filter(|reason| reason.is_error() && reason.is_legal_in(PacketType::Disconnect)),
        ),
        13 => {
            let choice = usize::from(bytes.number());
            Action::Wait([1, 1_000, 6_000, 61_000, 10_000_000][choice % 5])
        }
        14 => disconnect(bytes),
        _ => {
            let mut out = Vec::new();
            client::encode_pingreq(&mut out);
            Action::Send(out)
        }
    }
}

fn version(bit: u8) -> Version {
    match bit & 1 {
        0 => Version::V5,
        _ => Version::V311,
    }
}

fn qos(bits: u8) -> QoS {
    QoS::from_bits(bits & 0b11).unwrap_or(QoS::AtLeastOnce)
}

/// A CONNECT that is likely to be accepted.
fn connect(bytes: &mut Bytes<'_>) -> Action {
    let (who, how, limits) = (bytes.number(), bytes.number(), bytes.number());
    let pick = |bits: u8, choices: [u32; 4]| Some(choices[usize::from(bits & 0b11)]);
    let id = CLIENT_IDS[usize::from(who & 0b11)];
    let version = version(who >> 2);
    let mut connect = Connect {
        clean_start: who & 0x08 != 0,
        keep_alive: if who & 0x10 != 0 { 2 } else { 0 },
        ..client::connect(version, id)
    };
    if who & 0x20 != 0 {
        (connect.username, connect.password) = (Some("u"), Some(b"p".as_slice()));
    }
    let payload = [b'w'; 20];
    if who & 0x40 != 0 {
        let mut will = client::will(TOPICS[usize::from(how & 0b111)], &payload);
        (will.qos, will.retain) = (qos(how >> 3), how & 0x20 != 0);
        if version == Version::V5 {
            will.delay_secs = u32::from(how >> 6) * 5;
        }
        connect.will = Some(will);
    }
    if version == Version::V5 {
        let properties = &mut connect.properties;
        properties.session_expiry = pick(limits, [0, 5, 4_000, u32::MAX]).filter(|secs| *secs > 0);
        properties.receive_maximum = pick(limits >> 2, [0, 1, 3, 65_535])
            .map(|maximum| maximum as u16)
            .filter(|maximum| *maximum > 0);
        properties.maximum_packet_size =
            pick(limits >> 4, [0, 20, 64, 600]).filter(|size| *size > 0);
        properties.topic_alias_maximum = pick(limits >> 6, [0, 1, 3, 65_535]).map(|max| max as u16);
    }
    let room = [1_000_000, 100, 2_000, 30_000][usize::from(who >> 7) + usize::from(how >> 7)];
    let mut out = Vec::new();
    client::encode_connect(&mut out, &connect);
    Action::Open { room, bytes: out }
}

/// Any body, with a fixed header that fits it.
fn framed(bytes: &mut Bytes<'_>) -> Action {
    let first = bytes.number();
    let body = bytes.next().map_or(0, usize::from).min(127);
    let body = bytes.take(body);
    let mut out = vec![first, body.len() as u8];
    out.extend_from_slice(body);
    Action::Send(out)
}

/// One or more PUBLISH of the same kind, with increasing packet identifiers.
fn publish(bytes: &mut Bytes<'_>) -> Action {
    let (how, what, count) = (bytes.number(), bytes.number(), bytes.number());
    let version = version(how >> 2);
    let payload = vec![b'p'; usize::from(bytes.number()) * 8];
    let qos = qos(how);
    let mut out = Vec::new();
    for number in 0..=u16::from(count >> 4) {
        let id = PacketId::new(u16::from(count & 0x0f) + number).unwrap_or(FIRST_ID);
        let publish = OutgoingPublish {
            dup: how & 0x08 != 0 && qos > QoS::AtMostOnce,
            qos,
            retain: how & 0x10 != 0,
            topic: TOPICS[usize::from(what & 0b111)].as_bytes(),
            packet_id: (qos > QoS::AtMostOnce).then_some(id),
            topic_alias: (what & 0x08 != 0).then_some(u16::from(what >> 4)),
            message_expiry: (how & 0x20 != 0).then_some(u32::from(how >> 6)),
            subscription_ids: &[],
            properties: &[],
            payload: (&payload).into(),
        };
        publish.encode(version, &mut out);
    }
    Action::Send(out)
}

const FIRST_ID: PacketId = PacketId::new(1).unwrap();

fn subscribe(bytes: &mut Bytes<'_>) -> Action {
    let (which, how) = (bytes.number(), bytes.number());
    let version = version(how);
    let is_v5 = version == Version::V5;
    let options = SubscribeOptions {
        qos: qos(how >> 1),
        no_local: is_v5 && how & 0x08 != 0,
        retain_as_published: is_v5 && how & 0x10 != 0,
        retain_handling: match how >> 5 & 0b11 {
            1 if is_v5 => RetainHandling::SendIfNew,
            2 if is_v5 => RetainHandling::DoNotSend,
            _ => RetainHandling::Send,
        },
    };
    let first = FILTERS[usize::from(which & 0x0f)];
    let second = FILTERS[usize::from(which >> 4)];
    let filters = [(first, options), (second, options)];
    let count = if first == second { 1 } else { 2 };
    let id = (is_v5 && how & 0x80 != 0).then_some(u32::from(which) + 1);
    let mut out = Vec::new();
    client::encode_subscribe(&mut out, version, FIRST_ID, id, &filters[..count]);
    Action::Send(out)
}

fn unsubscribe(bytes: &mut Bytes<'_>) -> Action {
    let which = bytes.number();
    let filter = FILTERS[usize::from(which & 0x0f)];
    let mut out = Vec::new();
    client::encode_unsubscribe(&mut out, version(which >> 4), FIRST_ID, &[filter]);
    Action::Send(out)
}

/// An acknowledgement, of something that was sent or not.
fn acknowledgement(bytes: &mut Bytes<'_>) -> Action {
    let (kind, id) = (bytes.number(), bytes.number());
    let id = PacketId::new(u16::from(id)).unwrap_or(FIRST_ID);
    let reason = match kind & 0x04 {
        0 => ReasonCode::Success,
        _ => ReasonCode::UnspecifiedError,
    };
    let kind = match kind & 0b11 {
        0 => AckKind::Puback,
        1 => AckKind::Pubrec,
        2 => AckKind::Pubrel,
        _ => AckKind::Pubcomp,
    };
    let mut out = Vec::new();
    encode_ack(&mut out, Version::V5, kind, id, reason, None);
    Action::Send(out)
}

fn disconnect(bytes: &mut Bytes<'_>) -> Action {
    let how = bytes.number();
    let reason = match how & 0x02 {
        0 => ReasonCode::Success,
        _ => ReasonCode::DisconnectWithWillMessage,
    };
    let expiry = [None, Some(0), Some(5), Some(u32::MAX)][usize::from(how >> 2 & 0b11)];
    let mut out = Vec::new();
    client::encode_disconnect(&mut out, version(how), reason, expiry);
    Action::Send(out)
}

/// What is left of the script.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next byte; 0 at the end.
    fn number(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// At most `len` bytes.
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
