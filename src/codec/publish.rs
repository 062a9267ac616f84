//! PUBLISH as it is received (section 3.3). For sending see [`super::outgoing`].

use super::Sender;
use super::cursor::Cursor;
use super::error::DecodeError;
use super::frame::Frame;
use super::packet_id::PacketId;
use super::property::{self, Property, PropertyReader, Section, UserProperties};
use super::qos::QoS;
use super::version::Version;

const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

/// A PUBLISH. Whether the topic has wildcards is not checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Empty only if a Topic Alias stands for it.
    pub(crate) topic: &'a str,
    /// There for QoS 1 and 2 (MQTT-2.2.1-2).
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) properties: PublishProperties<'a>,
    pub(crate) payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Inlined so that the packet is composed where the caller wants it: a copy of its 128 bytes
    /// would cost as much as finding its fields.
    #[inline(always)]
    pub(super) fn decode(
        frame: &Frame<'a>,
        version: Version,
        sender: Sender,
    ) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(frame.body);
        let topic = cursor.utf8("topic name")?;
        Self::decode_rest(frame, topic, cursor, version, sender)
    }

    /// Decodes a PUBLISH to `topic`, which was checked before; `None` if this one has another.
    #[inline(always)]
    pub(super) fn decode_to(
        frame: &Frame<'a>,
        topic: &'a str,
        version: Version,
        sender: Sender,
    ) -> Result<Option<Self>, DecodeError> {
        let mut cursor = Cursor::new(frame.body);
        if cursor.binary("topic name")? != topic.as_bytes() {
            return Ok(None);
        }
        Self::decode_rest(frame, topic, cursor, version, sender).map(Some)
    }

    /// What follows the topic.
    #[inline(always)]
    fn decode_rest(
        frame: &Frame<'a>,
        topic: &'a str,
        mut cursor: Cursor<'a>,
        version: Version,
        sender: Sender,
    ) -> Result<Self, DecodeError> {
        let flags = frame.first & 0x0f;
        let qos = QoS::from_bits(flags >> 1 & 0b11).ok_or(DecodeError::FixedHeaderFlags {
            packet: frame.packet_type,
            flags,
        })?;
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(cursor.packet_id()?),
        };
        let mut publish = Self {
            dup: flags & DUP != 0,
            qos,
            retain: flags & RETAIN != 0,
            topic,
            packet_id,
            properties: PublishProperties::EMPTY,
            payload: &[],
        };
        if version == Version::V5 {
            let reader = PropertyReader::open(&mut cursor, Section::Publish)?;
            if !reader.raw().is_empty() {
                publish.properties.read(reader, sender)?;
            }
        }
        if topic.is_empty() && publish.properties.topic_alias.is_none() {
            return Err(DecodeError::EmptyTopicName);
        }
        publish.payload = cursor.rest();
        Ok(publish)
    }
}

/// What distinguishes a PUBLISH without properties from others of its topic, QoS and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BarePublish<'a> {
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) payload: &'a [u8],
}

/// How a PUBLISH goes on after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Following<'a> {
    Bare(BarePublish<'a>),
    /// It is to another topic.
    OtherTopic,
    /// It has properties, or is malformed: decoding it as a whole says what it is.
    NotBare,
}

impl<'a> Following<'a> {
    /// Looks at a PUBLISH behind one to `topic`, which was checked and is not empty.
    #[inline(always)]
    pub(super) fn decode(frame: &Frame<'a>, topic: &str, qos: QoS, version: Version) -> Self {
        let mut cursor = Cursor::new(frame.body);
        match cursor.binary("topic name") {
            Ok(found) if found == topic.as_bytes() => {}
            Ok(_) => return Self::OtherTopic,
            Err(_) => return Self::NotBare,
        }
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => match cursor.packet_id() {
                Ok(id) => Some(id),
                Err(_) => return Self::NotBare,
            },
        };
        let payload = match (version, cursor.rest()) {
            (Version::V5, [0, payload @ ..]) => payload,
            (Version::V5, _) => return Self::NotBare,
            (Version::V311, payload) => payload,
        };
        Self::Bare(BarePublish { packet_id, payload })
    }
}

/// The properties of a PUBLISH; all are absent in MQTT 3.1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishProperties<'a> {
    /// Payload Format Indicator: whether the sender says that the payload is UTF-8.
    pub(crate) payload_format_is_utf8: bool,
    /// Message Expiry Interval in seconds.
    pub(crate) message_expiry: Option<u32>,
    /// Topic Alias, not 0 (MQTT-3.3.2-8).
    pub(crate) topic_alias: Option<u16>,
    /// Response Topic; whether it has wildcards is not checked here.
    pub(crate) response_topic: Option<&'a str>,
    pub(crate) correlation_data: Option<&'a [u8]>,
    pub(crate) content_type: Option<&'a str>,
    /// Bytes in all names and values of User Properties.
    pub(crate) user_properties_len: usize,
    /// The property section as received, without its length.
    pub(crate) raw: &'a [u8],
}

impl<'a> PublishProperties<'a> {
    /// No properties.
    pub(crate) const EMPTY: Self = Self {
        payload_format_is_utf8: false,
        message_expiry: None,
        topic_alias: None,
        response_topic: None,
        correlation_data: None,
        content_type: None,
        user_properties_len: 0,
        raw: &[],
    };

    /// Reads `raw`, a property section without its length, as if a client had sent it.
    ///
    /// # Errors
    ///
    /// As for a PUBLISH that arrives with it.
    pub(crate) fn parse(raw: &'a [u8]) -> Result<Self, DecodeError> {
        let mut properties = Self::EMPTY;
        properties.read(PropertyReader::over(raw, Section::Publish), Sender::Client)?;
        Ok(properties)
    }

    /// The User Properties in the order in which they were sent.
    pub(crate) fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::new(self.raw)
    }

    /// The Subscription Identifiers; a PUBLISH from a client has none.
    #[cfg(any(test, fuzzing, feature = "http"))]
    pub(crate) fn subscription_ids(&self) -> impl Iterator<Item = u32> + '_ {
        property::subscription_ids(self.raw)
    }

    /// The properties to pass on to subscribers unchanged: all but Topic Alias, which belongs to
    /// one connection (MQTT-3.3.2-7), and Message Expiry Interval, which counts down
    /// (MQTT-3.3.2-6). Without these two, as usual, this is the section as received; otherwise it
    /// is composed in `scratch`, whose former content is lost.
    #[inline]
    pub(crate) fn forward<'s>(&'s self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        if self.message_expiry.is_none() && self.topic_alias.is_none() {
            return self.raw;
        }
        scratch.clear();
        property::copy_without(self.raw, scratch, |property| {
            matches!(
                property,
                Property::TopicAlias | Property::MessageExpiryInterval
            )
        });
        scratch
    }

    /// Kept out of line, so that a PUBLISH without properties does not pay for those with.
    #[inline(never)]
    fn read(&mut self, mut reader: PropertyReader<'a>, sender: Sender) -> Result<(), DecodeError> {
        self.raw = reader.raw();
        while let Some(property) = reader.next()? {
            match property {
                Property::PayloadFormatIndicator => {
                    self.payload_format_is_utf8 = reader.flag(property)?;
                }
                Property::MessageExpiryInterval => {
                    self.message_expiry = Some(reader.u32(property)?);
                }
                Property::TopicAlias => match reader.u16(property)? {
                    0 => return Err(DecodeError::TopicAliasInvalid),
                    alias => self.topic_alias = Some(alias),
                },
                Property::ResponseTopic => {
                    self.response_topic = Some(reader.utf8(property)?);
                }
                Property::CorrelationData => {
                    self.correlation_data = Some(reader.binary(property)?);
                }
                Property::ContentType => self.content_type = Some(reader.utf8(property)?),
                Property::UserProperty => {
                    let (name, value) = reader.user_property()?;
                    self.user_properties_len += name.len() + value.len();
                }
                Property::SubscriptionIdentifier if sender == Sender::Client => {
                    return Err(DecodeError::SubscriptionIdentifierFromClient);
                }
                Property::SubscriptionIdentifier => {
                    reader.positive_variable_byte_integer(property)?;
                }
                _ => reader.skip(property)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Split, split};

    /// Each byte that differs is one that the whole packet is decoded for, or the same comes of both.
    #[test]
    fn bare_packet_is_what_it_is_decoded_as_otherwise() {
        for (version, qos, whole) in [
            (Version::V5, QoS::AtMostOnce, &b"\x30\x07\0\x01a\0xyz"[..]),
            (Version::V5, QoS::AtLeastOnce, b"\x32\x09\0\x01a\0\x07\0xyz"),
            (Version::V311, QoS::AtMostOnce, b"\x30\x06\0\x01axyz"),
            (Version::V311, QoS::ExactlyOnce, b"\x34\x08\0\x01a\0\x07xyz"),
        ] {
            let (mut bare, mut not) = (0, 0);
            for at in 2..whole.len() {
                for byte in 0..=255 {
                    let mut packet = whole.to_vec();
                    packet[at] = byte;
                    let Ok(Split::Frame(frame)) = split(&packet, 100) else {
                        panic!("no frame");
                    };
                    let decoded = Publish::decode_to(&frame, "a", version, Sender::Client);
                    let is_bare = version == Version::V311 || packet[whole.len() - 4] == 0;
                    let expected = match decoded {
                        Ok(Some(publish)) if is_bare => Following::Bare(BarePublish {
                            packet_id: publish.packet_id,
                            payload: publish.payload,
                        }),
                        Ok(None) => Following::OtherTopic,
                        Ok(Some(_)) | Err(_) => Following::NotBare,
                    };
                    let found = Following::decode(&frame, "a", qos, version);
                    assert_eq!(found, expected, "{packet:?} in {version:?}");
                    bare += usize::from(matches!(found, Following::Bare(_)));
                    not += usize::from(!matches!(found, Following::Bare(_)));
                }
            }
            assert!(bare > 3 * 256 && not > 2 * 255, "{bare} {not}");
        }
    }
}
