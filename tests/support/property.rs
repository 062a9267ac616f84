//! MQTT 5 properties: one table of what each is and where it may stand, used to build packets, to
//! read them, and to try every illegal combination.

use super::{PacketType, binary, varint};

/// How the value of a property is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Byte,
    TwoByte,
    FourByte,
    Variable,
    Utf8,
    Binary,
    Pair,
}

/// One line of table 2-4 of the standard. The will's properties count as a packet type of their own.
pub(crate) struct Rule {
    pub(crate) id: u8,
    pub(crate) kind: Kind,
    pub(crate) packets: &'static [PacketType],
}

impl Rule {
    /// The rule for `id`, if there is such a property.
    pub(crate) fn of(id: u8) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.id == id)
    }

    /// Tells whether the property may stand more than once in a packet of this type.
    pub(crate) fn may_repeat(&self, packet: PacketType) -> bool {
        self.id == USER_PROPERTY
            || (self.id == SUBSCRIPTION_IDENTIFIER && packet == PacketType::Publish)
    }

    /// A value that is fine for this property.
    pub(crate) fn sample(&self) -> Prop {
        let value = match self.kind {
            Kind::Byte => Value::Byte(1),
            Kind::TwoByte => Value::TwoByte(1),
            Kind::FourByte => Value::FourByte(200),
            Kind::Variable => Value::Variable(1),
            Kind::Utf8 => Value::Bytes(b"x".to_vec()),
            Kind::Binary => Value::Bytes(vec![1]),
            Kind::Pair => Value::Pair(b"k".to_vec(), b"v".to_vec()),
        };
        Prop { id: self.id, value }
    }
}

macro_rules! rules {
    ($($name:ident = $id:literal $kind:ident [$($packet:ident)*])*) => {
        $(pub(crate) const $name: u8 = $id;)*
        /// Every property of the standard, by identifier.
        pub(crate) const RULES: &[Rule] = &[
            $(Rule { id: $id, kind: Kind::$kind, packets: &[$(PacketType::$packet),*] }),*
        ];
    };
}

rules! {
    PAYLOAD_FORMAT_INDICATOR = 0x01 Byte [Publish Will]
    MESSAGE_EXPIRY_INTERVAL = 0x02 FourByte [Publish Will]
    CONTENT_TYPE = 0x03 Utf8 [Publish Will]
    RESPONSE_TOPIC = 0x08 Utf8 [Publish Will]
    CORRELATION_DATA = 0x09 Binary [Publish Will]
    SUBSCRIPTION_IDENTIFIER = 0x0B Variable [Publish Subscribe]
    SESSION_EXPIRY_INTERVAL = 0x11 FourByte [Connect Connack Disconnect]
    ASSIGNED_CLIENT_IDENTIFIER = 0x12 Utf8 [Connack]
    SERVER_KEEP_ALIVE = 0x13 TwoByte [Connack]
    AUTHENTICATION_METHOD = 0x15 Utf8 [Connect Connack Auth]
    AUTHENTICATION_DATA = 0x16 Binary [Connect Connack Auth]
    REQUEST_PROBLEM_INFORMATION = 0x17 Byte [Connect]
    WILL_DELAY_INTERVAL = 0x18 FourByte [Will]
    REQUEST_RESPONSE_INFORMATION = 0x19 Byte [Connect]
    RESPONSE_INFORMATION = 0x1A Utf8 [Connack]
    SERVER_REFERENCE = 0x1C Utf8 [Connack Disconnect]
    REASON_STRING = 0x1F Utf8 [Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth]
    RECEIVE_MAXIMUM = 0x21 TwoByte [Connect Connack]
    TOPIC_ALIAS_MAXIMUM = 0x22 TwoByte [Connect Connack]
    TOPIC_ALIAS = 0x23 TwoByte [Publish]
    MAXIMUM_QOS = 0x24 Byte [Connack]
    RETAIN_AVAILABLE = 0x25 Byte [Connack]
    USER_PROPERTY = 0x26 Pair [
        Connect Connack Publish Will Puback Pubrec Pubrel Pubcomp Subscribe Suback Unsubscribe
        Unsuback Disconnect Auth
    ]
    MAXIMUM_PACKET_SIZE = 0x27 FourByte [Connect Connack]
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28 Byte [Connack]
    SUBSCRIPTION_IDENTIFIERS_AVAILABLE = 0x29 Byte [Connack]
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A Byte [Connack]
}

/// A property value as it stands on the wire; strings are bytes so that illegal ones can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Byte(u8),
    TwoByte(u16),
    FourByte(u32),
    Variable(u32),
    Bytes(Vec<u8>),
    Pair(Vec<u8>, Vec<u8>),
}

/// One property with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prop {
    pub(crate) id: u8,
    pub(crate) value: Value,
}

impl Prop {
    /// The identifier and the value, encoded.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.id];
        match &self.value {
            Value::Byte(value) => bytes.push(*value),
            Value::TwoByte(value) => bytes.extend(value.to_be_bytes()),
            Value::FourByte(value) => bytes.extend(value.to_be_bytes()),
            Value::Variable(value) => bytes.extend(varint(*value as usize)),
            Value::Bytes(value) => bytes.extend(binary(value)),
            Value::Pair(name, value) => {
                bytes.extend(binary(name));
                bytes.extend(binary(value));
            }
        }
        bytes
    }
}

/// The properties of one packet, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Props(pub(crate) Vec<Prop>);

impl Props {
    /// Property Length and properties, encoded.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let body: Vec<u8> = self.0.iter().flat_map(Prop::encode).collect();
        let mut bytes = varint(body.len());
        bytes.extend(body);
        bytes
    }

    /// The value of the first property with this identifier.
    pub(crate) fn get(&self, id: u8) -> Option<&Value> {
        self.0
            .iter()
            .find(|prop| prop.id == id)
            .map(|prop| &prop.value)
    }

    /// Tells whether there is such a property.
    pub(crate) fn has(&self, id: u8) -> bool {
        self.get(id).is_some()
    }

    /// The value of a numeric property of any width.
    pub(crate) fn number(&self, id: u8) -> Option<u32> {
        self.get(id).map(|value| match value {
            Value::Byte(value) => u32::from(*value),
            Value::TwoByte(value) => u32::from(*value),
            Value::FourByte(value) | Value::Variable(value) => *value,
            other => panic!("property {id:#04x} is {other:?}, not a number"),
        })
    }

    /// The value of a string property.
    pub(crate) fn text(&self, id: u8) -> Option<String> {
        self.get(id).map(|value| match value {
            Value::Bytes(bytes) => {
                String::from_utf8(bytes.clone()).expect("the reader checks UTF-8")
            }
            other => panic!("property {id:#04x} is {other:?}, not a string"),
        })
    }

    /// All Subscription Identifiers, sorted.
    pub(crate) fn subscription_identifiers(&self) -> Vec<u32> {
        let mut identifiers: Vec<u32> = (self.0.iter())
            .filter(|prop| prop.id == SUBSCRIPTION_IDENTIFIER)
            .map(|prop| match prop.value {
                Value::Variable(value) => value,
                ref other => panic!("a subscription identifier of {other:?}"),
            })
            .collect();
        identifiers.sort_unstable();
        identifiers
    }

    /// All User Properties in their order.
    pub(crate) fn user_properties(&self) -> Vec<(String, String)> {
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the reader checks UTF-8");
        (self.0.iter())
            .filter_map(|prop| match &prop.value {
                Value::Pair(name, value) => Some((text(name), text(value))),
                _ => None,
            })
            .collect()
    }
}

/// Session Expiry Interval in seconds.
pub(crate) fn session_expiry(seconds: u32) -> Prop {
    Prop {
        id: SESSION_EXPIRY_INTERVAL,
        value: Value::FourByte(seconds),
    }
}

/// Receive Maximum.
pub(crate) fn receive_maximum(packets: u16) -> Prop {
    Prop {
        id: RECEIVE_MAXIMUM,
        value: Value::TwoByte(packets),
    }
}

/// Maximum Packet Size in bytes.
pub(crate) fn maximum_packet_size(bytes: u32) -> Prop {
    Prop {
        id: MAXIMUM_PACKET_SIZE,
        value: Value::FourByte(bytes),
    }
}

/// Topic Alias Maximum.
pub(crate) fn topic_alias_maximum(maximum: u16) -> Prop {
    Prop {
        id: TOPIC_ALIAS_MAXIMUM,
        value: Value::TwoByte(maximum),
    }
}

/// Topic Alias.
pub(crate) fn topic_alias(alias: u16) -> Prop {
    Prop {
        id: TOPIC_ALIAS,
        value: Value::TwoByte(alias),
    }
}

/// Subscription Identifier.
pub(crate) fn subscription_identifier(identifier: u32) -> Prop {
    Prop {
        id: SUBSCRIPTION_IDENTIFIER,
        value: Value::Variable(identifier),
    }
}

/// Message Expiry Interval in seconds.
pub(crate) fn message_expiry(seconds: u32) -> Prop {
    Prop {
        id: MESSAGE_EXPIRY_INTERVAL,
        value: Value::FourByte(seconds),
    }
}

/// Will Delay Interval in seconds.
pub(crate) fn will_delay(seconds: u32) -> Prop {
    Prop {
        id: WILL_DELAY_INTERVAL,
        value: Value::FourByte(seconds),
    }
}

/// A property of one byte: a flag or an indicator.
pub(crate) fn byte(id: u8, value: u8) -> Prop {
    Prop {
        id,
        value: Value::Byte(value),
    }
}

/// A property that is a string or binary data.
pub(crate) fn bytes(id: u8, value: impl AsRef<[u8]>) -> Prop {
    Prop {
        id,
        value: Value::Bytes(value.as_ref().to_vec()),
    }
}

/// A User Property.
pub(crate) fn user_property(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Prop {
    let value = Value::Pair(name.as_ref().to_vec(), value.as_ref().to_vec());
    Prop {
        id: USER_PROPERTY,
        value,
    }
}
