//! Bytes to packets and back, for MQTT 3.1.1 and MQTT 5.
//!
//! [`split`] finds whole packets in a read buffer, [`decode`] and [`connect::decode`] turn one into
//! a [`Packet`] that borrows from it, and the `encode_*` functions and [`OutgoingPublish`] append
//! packets to a write buffer. What a packet alone can show to be wrong is refused here, with the
//! Reason Code that the standard gives for it. What depends on the state of a connection, and the
//! syntax of topics, is checked by the callers.

mod ack;
mod auth;
mod connack;
pub(crate) mod connect;
mod cursor;
mod disconnect;
mod error;
mod fields;
mod frame;
mod large;
#[cfg(feature = "http")]
mod layout;
mod message_properties;
mod outgoing;
mod packet_id;
mod packet_type;
mod payload;
pub(crate) mod property;
mod publish;
mod qos;
mod reason;
mod section;
mod subscribe;
mod unsubscribe;
mod version;
mod write;

#[cfg(any(test, fuzzing))]
pub(crate) mod client;
#[cfg(test)]
pub(crate) mod tests;

pub use fields::{ConnectFields, FilterField, Packet as PacketFields, PropertyField, PropertyName};
pub use packet_type::PacketType;
pub use property::PropertyValue;
pub use qos::QoS;
pub use reason::ReasonCode;
pub use version::Version;

pub(crate) use ack::{Ack, AckKind, SHORT_ACK, encode_ack, encode_short_acks, split_short_ack};
pub(crate) use auth::Auth;
pub(crate) use connack::{Connack, encode_connack};
#[cfg(test)]
pub(crate) use connect::ConnectProperties;
pub(crate) use connect::{Connect, ConnectError, Will};
pub(crate) use cursor::split_properties;
pub(crate) use disconnect::{Disconnect, encode_disconnect};
pub(crate) use error::DecodeError;
pub(crate) use fields::Glance;
pub(crate) use frame::{Frame, MAX_PACKET_SIZE, Split, split};
pub(crate) use large::{frame_of_head, gather_publish_head};
#[cfg(feature = "http")]
pub(crate) use layout::{Part, layout};
pub(crate) use message_properties::MessageProperties;
pub(crate) use outgoing::{ForwardedPublish, OutgoingPublish, encode_forwarded_run};
pub(crate) use packet_id::PacketId;
pub(crate) use payload::{Payload, Pieces};
pub(crate) use property::UserProperties;
pub(crate) use publish::{BarePublish, Following, Publish, PublishProperties};
pub(crate) use section::check_sections;
pub(crate) use subscribe::{
    RetainHandling, Suback, Subscribe, SubscribeOptions, encode_suback, subscribe_filter_len,
};
pub(crate) use unsubscribe::{Unsuback, Unsubscribe, encode_unsuback, unsubscribe_filter_len};
#[cfg(feature = "http")]
pub(crate) use write::fits;
pub(crate) use write::{variable_byte_integer, variable_byte_integer_len};

/// A decoded packet; strings and bytes borrow from the buffer that it was split from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Connect(Box<Connect<'a>>),
    Connack(Box<Connack<'a>>),
    Publish(Publish<'a>),
    Puback(Ack<'a>),
    Pubrec(Ack<'a>),
    Pubrel(Ack<'a>),
    Pubcomp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    Suback(Suback<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Unsuback(Unsuback<'a>),
    Pingreq,
    Pingresp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

/// Who sent a packet. It matters for PUBLISH only, where Subscription Identifiers come from the
/// server (MQTT-3.3.4-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// Decodes a packet from a client whose connection speaks `version`. The first CONNECT, before the
/// version is known, goes through [`connect::decode`].
///
/// # Errors
///
/// Anything that breaks the format of the packet in that version.
#[inline]
pub(crate) fn decode<'a>(frame: &Frame<'a>, version: Version) -> Result<Packet<'a>, DecodeError> {
    decode_from(Sender::Client, frame, version)
}

/// Decodes a PUBLISH from a client, for a caller that looks at [`Frame::packet_type`] itself: on
/// the hot path this spares moving a [`Packet`], which is as much work again.
///
/// # Errors
///
/// As [`decode`].
#[inline(always)]
pub(crate) fn decode_publish<'a>(
    frame: &Frame<'a>,
    version: Version,
) -> Result<Publish<'a>, DecodeError> {
    Publish::decode(frame, version, Sender::Client)
}

/// Decodes a PUBLISH from a client to `topic`, which is that of a PUBLISH decoded before: bytes that
/// are the same need no second check. `None` if it goes to another topic.
///
/// # Errors
///
/// As [`decode`].
#[inline(always)]
pub(crate) fn decode_publish_to<'a>(
    frame: &Frame<'a>,
    topic: &'a str,
    version: Version,
) -> Result<Option<Publish<'a>>, DecodeError> {
    Publish::decode_to(frame, topic, version, Sender::Client)
}

/// The same for one that has the QoS and flags of the one before, and no properties: most that follow
/// another are such, and a fraction of the work.
#[inline(always)]
pub(crate) fn decode_following<'a>(
    frame: &Frame<'a>,
    topic: &str,
    qos: QoS,
    version: Version,
) -> Following<'a> {
    Following::decode(frame, topic, qos, version)
}

/// Decodes the packet of `kind` in `frame`, for a caller that knows its type: as
/// [`decode_publish`], it spares moving a [`Packet`].
///
/// # Errors
///
/// As [`decode`].
#[inline(always)]
pub(crate) fn decode_ack<'a>(
    kind: AckKind,
    frame: &Frame<'a>,
    version: Version,
) -> Result<Ack<'a>, DecodeError> {
    Ack::decode(kind, frame.body, version)
}

/// Decodes a packet from either side.
///
/// # Errors
///
/// As [`decode`].
#[inline]
pub(crate) fn decode_from<'a>(
    sender: Sender,
    frame: &Frame<'a>,
    version: Version,
) -> Result<Packet<'a>, DecodeError> {
    match frame.packet_type {
        // The two that make up nearly all traffic are small enough for the caller to inline.
        PacketType::Publish => Ok(Packet::Publish(Publish::decode(frame, version, sender)?)),
        PacketType::Puback => Ok(Packet::Puback(Ack::decode(
            AckKind::Puback,
            frame.body,
            version,
        )?)),
        _ => decode_any(sender, frame, version),
    }
}

/// Decodes a packet of any type.
#[inline(never)]
fn decode_any<'a>(
    sender: Sender,
    frame: &Frame<'a>,
    version: Version,
) -> Result<Packet<'a>, DecodeError> {
    let body = frame.body;
    match frame.packet_type {
        PacketType::Connect => decode_connect(frame),
        PacketType::Connack => Ok(Packet::Connack(Box::new(Connack::decode(body, version)?))),
        PacketType::Publish => Ok(Packet::Publish(Publish::decode(frame, version, sender)?)),
        PacketType::Puback => Ok(Packet::Puback(Ack::decode(AckKind::Puback, body, version)?)),
        PacketType::Pubrec => Ok(Packet::Pubrec(Ack::decode(AckKind::Pubrec, body, version)?)),
        PacketType::Pubrel => Ok(Packet::Pubrel(Ack::decode(AckKind::Pubrel, body, version)?)),
        PacketType::Pubcomp => Ok(Packet::Pubcomp(Ack::decode(
            AckKind::Pubcomp,
            body,
            version,
        )?)),
        PacketType::Subscribe => Ok(Packet::Subscribe(Subscribe::decode(body, version)?)),
        PacketType::Suback => Ok(Packet::Suback(Suback::decode(body, version)?)),
        PacketType::Unsubscribe => Ok(Packet::Unsubscribe(Unsubscribe::decode(body, version)?)),
        PacketType::Unsuback => Ok(Packet::Unsuback(Unsuback::decode(body, version)?)),
        PacketType::Pingreq => decode_empty(frame, Packet::Pingreq),
        PacketType::Pingresp => decode_empty(frame, Packet::Pingresp),
        PacketType::Disconnect => Ok(Packet::Disconnect(Disconnect::decode(body, version)?)),
        PacketType::Auth => match version {
            Version::V311 => Err(DecodeError::ReservedPacketType { value: 15 }),
            Version::V5 => Ok(Packet::Auth(Auth::decode(body)?)),
        },
    }
}

/// A CONNECT on a connection that already had one.
fn decode_connect<'a>(frame: &Frame<'a>) -> Result<Packet<'a>, DecodeError> {
    match connect::decode(frame) {
        Ok(connect) => Ok(Packet::Connect(Box::new(connect))),
        Err(ConnectError::UnsupportedVersion { level, .. }) => {
            Err(DecodeError::ProtocolVersion { level })
        }
        Err(ConnectError::Invalid { error, .. }) => Err(error),
    }
}

/// PINGREQ and PINGRESP have a fixed header only.
fn decode_empty<'a>(frame: &Frame<'a>, packet: Packet<'a>) -> Result<Packet<'a>, DecodeError> {
    match frame.body.len() {
        0 => Ok(packet),
        count => Err(DecodeError::SurplusBytes {
            packet: frame.packet_type,
            count,
        }),
    }
}

/// Appends a PINGRESP and returns its size in bytes.
#[inline]
pub(crate) fn encode_pingresp(out: &mut Vec<u8>) -> usize {
    write::packet(out, PacketType::Pingresp.first_byte(), &[])
}
