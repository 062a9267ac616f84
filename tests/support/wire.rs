//! A strict reader of what a server sends: it accepts exactly what the standards allow and panics
//! with the statement that is broken.

use super::{Kind, Prop, Props, Rule, TOPIC_ALIAS, Value, Version};

/// The control packet types by number. The will's properties follow rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketType {
    Connect = 1,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    Auth,
    Will,
}

/// A packet from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connack {
        session_present: bool,
        reason: u8,
        props: Props,
    },
    Publish(Delivery),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack {
        kind: PacketType,
        id: u16,
        reason: u8,
        props: Props,
    },
    Suback {
        id: u16,
        reasons: Vec<u8>,
        props: Props,
    },
    /// In 3.1.1 there are no reasons.
    Unsuback {
        id: u16,
        reasons: Vec<u8>,
        props: Props,
    },
    Pingresp,
    Disconnect {
        reason: u8,
        props: Props,
    },
    Auth {
        reason: u8,
        props: Props,
    },
}

/// A PUBLISH from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    /// 0 in a message of QoS 0.
    pub(crate) id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) props: Props,
}

impl Delivery {
    /// The payload of a message that a test published as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a payload of text")
    }
}

/// The length of the first packet in `bytes`, once its fixed header is there.
pub(crate) fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            assert!(
                index == 0 || *byte != 0,
                "MQTT-1.5.5-1: Remaining Length is not minimal"
            );
            return Some(1 + index + 1 + length);
        }
        assert!(
            index < 3,
            "MQTT-1.5.5-1: Remaining Length of more than four bytes"
        );
    }
    None
}

/// Reads one complete packet.
pub(crate) fn read_packet(version: Version, bytes: &[u8]) -> Packet {
    let first = bytes[0];
    let header = 1
        + bytes[1..]
            .iter()
            .take_while(|byte| **byte & 0x80 != 0)
            .count()
        + 1;
    let mut reader = Reader {
        version,
        all: bytes,
        rest: &bytes[header..],
    };
    let packet = match first {
        0x20 => reader.connack(),
        0x30..=0x3F => reader.publish(first),
        0x40 => reader.ack(PacketType::Puback),
        0x50 => reader.ack(PacketType::Pubrec),
        0x62 => reader.ack(PacketType::Pubrel),
        0x70 => reader.ack(PacketType::Pubcomp),
        0x90 => reader.suback(),
        0xB0 => reader.unsuback(),
        0xD0 => Packet::Pingresp,
        0xE0 => reader.disconnect(),
        0xF0 => reader.auth(),
        _ => panic!(
            "MQTT-2.1.3-1: first byte {first:#04x} is not for a server to send: {bytes:02x?}"
        ),
    };
    assert!(
        reader.rest.is_empty(),
        "bytes left after the last field: {bytes:02x?}"
    );
    packet
}

struct Reader<'a> {
    version: Version,
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn connack(&mut self) -> Packet {
        let flags = self.byte();
        assert!(
            flags <= 1,
            "MQTT-3.2.2-1: Connect Acknowledge Flags {flags:#04x}"
        );
        let reason = self.byte();
        match self.version {
            Version::V3 => assert!(reason <= 5, "MQTT-3.2.2-6: return code {reason}"),
            Version::V5 => self.check_reason(PacketType::Connack, reason),
        }
        let session_present = flags == 1;
        assert!(
            !session_present || reason == 0,
            "MQTT-3.2.2-6: Session Present with a refusal"
        );
        Packet::Connack {
            session_present,
            reason,
            props: self.props(PacketType::Connack),
        }
    }

    fn publish(&mut self, first: u8) -> Packet {
        let qos = (first >> 1) & 3;
        let dup = first & 0x08 != 0;
        assert!(qos < 3, "MQTT-3.3.1-4: QoS bits 11");
        assert!(!(dup && qos == 0), "MQTT-3.3.1-2: DUP 1 at QoS 0");
        let topic = self.text();
        assert!(!topic.contains(['+', '#']), "MQTT-3.3.2-2: topic {topic:?}");
        let id = if qos == 0 { 0 } else { self.id() };
        let props = self.props(PacketType::Publish);
        assert!(
            !topic.is_empty() || props.has(TOPIC_ALIAS),
            "MQTT-4.7.3-1: an empty topic without a Topic Alias"
        );
        let payload = std::mem::take(&mut self.rest).to_vec();
        Packet::Publish(Delivery {
            topic,
            payload,
            qos,
            id,
            dup,
            retain: first & 1 != 0,
            props,
        })
    }

    fn ack(&mut self, kind: PacketType) -> Packet {
        let id = self.id();
        let (reason, props) = self.optional_reason(kind);
        Packet::Ack {
            kind,
            id,
            reason,
            props,
        }
    }

    fn suback(&mut self) -> Packet {
        let id = self.id();
        let props = self.props(PacketType::Suback);
        let reasons = std::mem::take(&mut self.rest).to_vec();
        assert!(!reasons.is_empty(), "MQTT-3.8.4-6: SUBACK without a reason");
        for &reason in &reasons {
            match self.version {
                Version::V3 => assert!(
                    matches!(reason, 0..=2 | 0x80),
                    "3.1.1 MQTT-3.9.3-2: return code {reason:#04x}"
                ),
                Version::V5 => self.check_reason(PacketType::Suback, reason),
            }
        }
        Packet::Suback { id, reasons, props }
    }

    fn unsuback(&mut self) -> Packet {
        let id = self.id();
        let props = self.props(PacketType::Unsuback);
        let reasons = match self.version {
            Version::V3 => Vec::new(),
            Version::V5 => std::mem::take(&mut self.rest).to_vec(),
        };
        for &reason in &reasons {
            self.check_reason(PacketType::Unsuback, reason);
        }
        Packet::Unsuback { id, reasons, props }
    }

    fn disconnect(&mut self) -> Packet {
        assert_eq!(
            self.version,
            Version::V5,
            "a 3.1.1 server sends no DISCONNECT"
        );
        let (reason, props) = self.optional_reason(PacketType::Disconnect);
        Packet::Disconnect { reason, props }
    }

    fn auth(&mut self) -> Packet {
        assert_eq!(self.version, Version::V5, "3.1.1 has no AUTH");
        let (reason, props) = self.optional_reason(PacketType::Auth);
        Packet::Auth { reason, props }
    }

    /// Reason and properties that may be left out: both when the reason is 0x00 and there are no
    /// properties, the properties when there are none.
    fn optional_reason(&mut self, packet: PacketType) -> (u8, Props) {
        if self.version == Version::V3 || self.rest.is_empty() {
            return (0, Props::default());
        }
        let reason = self.byte();
        self.check_reason(packet, reason);
        if self.rest.is_empty() {
            return (reason, Props::default());
        }
        (reason, self.props(packet))
    }

    fn check_reason(&self, packet: PacketType, reason: u8) {
        assert!(
            reasons(packet).contains(&reason),
            "reason {reason:#04x} is not in the table for {packet:?}: {:02x?}",
            self.all
        );
    }

    fn props(&mut self, packet: PacketType) -> Props {
        if self.version == Version::V3 {
            return Props::default();
        }
        let length = self.variable();
        let mut section = Reader {
            version: self.version,
            all: self.all,
            rest: self.take(length),
        };
        let mut props = Props::default();
        while !section.rest.is_empty() {
            let id = section.byte();
            let rule = Rule::of(id).unwrap_or_else(|| panic!("no property {id:#04x}"));
            assert!(
                rule.packets.contains(&packet),
                "property {id:#04x} in {packet:?}"
            );
            assert!(
                rule.may_repeat(packet) || !props.has(id),
                "property {id:#04x} stands twice in {packet:?}"
            );
            let value = section.value(rule.kind);
            props.0.push(Prop { id, value });
        }
        check_values(packet, &props);
        props
    }

    fn value(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::Byte => Value::Byte(self.byte()),
            Kind::TwoByte => Value::TwoByte(self.two_bytes()),
            Kind::FourByte => {
                let bytes = self.take(4).try_into().expect("four bytes");
                Value::FourByte(u32::from_be_bytes(bytes))
            }
            Kind::Variable => Value::Variable(u32::try_from(self.variable()).expect("28 bits")),
            Kind::Utf8 => Value::Bytes(self.text().into_bytes()),
            Kind::Binary => Value::Bytes(self.binary().to_vec()),
            Kind::Pair => Value::Pair(self.text().into_bytes(), self.text().into_bytes()),
        }
    }

    fn id(&mut self) -> u16 {
        let id = self.two_bytes();
        assert_ne!(id, 0, "MQTT-2.2.1-4: packet identifier 0");
        id
    }

    fn text(&mut self) -> String {
        let text = std::str::from_utf8(self.binary())
            .unwrap_or_else(|error| panic!("MQTT-1.5.4-1: {error} in {:02x?}", self.all));
        assert!(!text.contains('\0'), "MQTT-1.5.4-2: U+0000 in {text:?}");
        text.to_owned()
    }

    fn binary(&mut self) -> &'a [u8] {
        let length = self.two_bytes();
        self.take(usize::from(length))
    }

    fn variable(&mut self) -> usize {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.byte();
            value |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                assert!(index == 0 || byte != 0, "MQTT-1.5.5-1: {:02x?}", self.all);
                return value;
            }
        }
        panic!(
            "a Variable Byte Integer of more than four bytes: {:02x?}",
            self.all
        );
    }

    fn two_bytes(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        assert!(
            length <= self.rest.len(),
            "a field runs past the end of {:02x?}",
            self.all
        );
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
}

/// What holds for values beyond their encoding, in packets from a server.
fn check_values(packet: PacketType, props: &Props) {
    use super::*;
    let within = |id, allowed: std::ops::RangeInclusive<u32>| {
        if let Some(value) = props.number(id) {
            assert!(
                allowed.contains(&value),
                "property {id:#04x} is {value} in {packet:?}"
            );
        }
    };
    within(TOPIC_ALIAS, 1..=65535);
    within(RECEIVE_MAXIMUM, 1..=65535);
    within(MAXIMUM_PACKET_SIZE, 1..=u32::MAX);
    for flag in [
        PAYLOAD_FORMAT_INDICATOR,
        MAXIMUM_QOS,
        RETAIN_AVAILABLE,
        WILDCARD_SUBSCRIPTION_AVAILABLE,
        SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
        SHARED_SUBSCRIPTION_AVAILABLE,
    ] {
        within(flag, 0..=1);
    }
    assert!(
        !props.subscription_identifiers().contains(&0),
        "a Subscription Identifier of 0 in {packet:?}"
    );
    assert!(
        !(packet == PacketType::Disconnect && props.has(SESSION_EXPIRY_INTERVAL)),
        "MQTT-3.14.2-2: Session Expiry Interval in a server's DISCONNECT"
    );
}

/// The MQTT 5 reason codes that a server may put into a packet of this type.
fn reasons(packet: PacketType) -> &'static [u8] {
    match packet {
        PacketType::Connack => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
            0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
        PacketType::Puback | PacketType::Pubrec => {
            &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
        }
        PacketType::Pubrel | PacketType::Pubcomp => &[0x00, 0x92],
        PacketType::Suback => &[
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ],
        PacketType::Unsuback => &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
        PacketType::Disconnect => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
            0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ],
        PacketType::Auth => &[0x00, 0x18],
        _ => &[],
    }
}
