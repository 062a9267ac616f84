//! Why a packet was refused.

use super::packet_type::PacketType;
use super::property::{Property, Section};
use super::reason::ReasonCode;

/// A packet that breaks the format of MQTT. The text is fit for a Reason String; the code for
/// DISCONNECT or CONNACK comes from [`DecodeError::reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Type 0, or AUTH in MQTT 3.1.1.
    #[error("packet type {value} is reserved")]
    ReservedPacketType { value: u8 },
    /// MQTT-2.1.3-1, MQTT-3.3.1-2, MQTT-3.3.1-4.
    #[error("fixed header flags {flags:#06b} are not allowed in {packet}")]
    FixedHeaderFlags { packet: PacketType, flags: u8 },
    /// MQTT-3.2.2-15. The size counts the fixed header.
    #[error("packet of {size} bytes is larger than the maximum packet size")]
    PacketTooLarge { size: usize },
    /// More bytes of properties than `limits.properties` allows in one section.
    #[error("properties of {size} bytes, the limit is {limit}")]
    PropertiesTooLong { size: usize, limit: usize },
    /// MQTT-1.5.5-1, and the limit of four bytes.
    #[error("{field} is not a variable byte integer in its shortest form")]
    VariableByteInteger { field: &'static str },
    /// The packet, or its property section, ends before the field does.
    #[error("{field} is cut short")]
    Truncated { field: &'static str },
    /// Bytes after the last field of the packet.
    #[error("surplus bytes in {packet}: {count}")]
    SurplusBytes { packet: PacketType, count: usize },
    /// MQTT-1.5.4-1.
    #[error("{field} is not valid UTF-8")]
    Utf8 { field: &'static str },
    /// MQTT-1.5.4-2.
    #[error("{field} contains U+0000")]
    NulCharacter { field: &'static str },
    /// A CONNECT that is not the first names another version than those that are served.
    #[error("protocol version {level} is not supported")]
    ProtocolVersion { level: u8 },
    /// MQTT-3.1.2-3 and the rules that tie Connect Flags to one another.
    #[error("{rule}")]
    ConnectFlags { rule: &'static str },
    /// MQTT-3.2.2-1.
    #[error("connect acknowledge flags {flags:#010b} have a reserved bit set")]
    ConnackFlags { flags: u8 },
    /// MQTT-2.2.1-3.
    #[error("packet identifier is zero")]
    PacketIdZero,
    /// An identifier that the standard does not define.
    #[error("property {id:#04x} is not defined")]
    UnknownProperty { id: u8 },
    /// A property that belongs to other packets.
    #[error("{property} is not allowed in {section}")]
    IllegalProperty {
        property: Property,
        section: Section,
    },
    /// A property that may appear once.
    #[error("{property} appears more than once")]
    DuplicateProperty { property: Property },
    /// A value that the standard rules out, such as a Receive Maximum of 0.
    #[error("{property} may not be {value}")]
    PropertyValue { property: Property, value: u32 },
    /// MQTT-3.3.2-8.
    #[error("topic alias may not be 0")]
    TopicAliasInvalid,
    /// MQTT-3.3.4-6.
    #[error("subscription identifier is not allowed in PUBLISH from a client")]
    SubscriptionIdentifierFromClient,
    /// A zero-length Topic Name that no alias stands for (MQTT-4.7.3-1).
    #[error("topic name is empty")]
    EmptyTopicName,
    /// MQTT-3.8.3-2, MQTT-3.10.3-2.
    #[error("{packet} has no topic filter")]
    NoTopicFilter { packet: PacketType },
    /// MQTT-3.8.3-5.
    #[error("subscription options {options:#010b} have a reserved bit set")]
    SubscriptionOptions { options: u8 },
    /// A Maximum QoS of 3 in Subscription Options.
    #[error("subscription asks for qos 3")]
    SubscriptionQoS,
    /// A Retain Handling of 3 in Subscription Options.
    #[error("retain handling may not be 3")]
    RetainHandling,
    /// A code that the standard does not table for this packet.
    #[error("reason code {code:#04x} is not allowed in {packet}")]
    IllegalReasonCode { packet: PacketType, code: u8 },
    /// Authentication Data in a packet that names no method.
    #[error("authentication data without authentication method")]
    AuthenticationDataWithoutMethod,
    /// AUTH that continues or starts an exchange has to name its method.
    #[error("authentication method is missing")]
    AuthenticationMethodMissing,
}

impl DecodeError {
    /// The Reason Code that tells the peer about this error.
    pub(crate) const fn reason(&self) -> ReasonCode {
        match self {
            Self::ReservedPacketType { .. }
            | Self::FixedHeaderFlags { .. }
            | Self::VariableByteInteger { .. }
            | Self::Truncated { .. }
            | Self::SurplusBytes { .. }
            | Self::Utf8 { .. }
            | Self::NulCharacter { .. }
            | Self::ConnectFlags { .. }
            | Self::ConnackFlags { .. }
            | Self::UnknownProperty { .. }
            | Self::IllegalProperty { .. }
            | Self::SubscriptionOptions { .. } => ReasonCode::MalformedPacket,
            Self::ProtocolVersion { .. }
            | Self::PacketIdZero
            | Self::DuplicateProperty { .. }
            | Self::PropertyValue { .. }
            | Self::SubscriptionIdentifierFromClient
            | Self::EmptyTopicName
            | Self::NoTopicFilter { .. }
            | Self::SubscriptionQoS
            | Self::RetainHandling
            | Self::IllegalReasonCode { .. }
            | Self::AuthenticationDataWithoutMethod
            | Self::AuthenticationMethodMissing => ReasonCode::ProtocolError,
            Self::TopicAliasInvalid => ReasonCode::TopicAliasInvalid,
            Self::PacketTooLarge { .. } | Self::PropertiesTooLong { .. } => {
                ReasonCode::PacketTooLarge
            }
        }
    }
}
