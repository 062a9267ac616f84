//! CONNECT (section 3.1), the packet that says which version the rest is in.

use std::fmt;

use super::cursor::Cursor;
use super::error::DecodeError;
use super::frame::Frame;
use super::packet_type::PacketType;
use super::property::{self, Property, PropertyReader, Section, UserProperties};
use super::qos::QoS;
use super::reason::ReasonCode;
use super::version::{BRIDGE, Version};

/// A CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Connect<'a> {
    pub(crate) version: Version,
    /// The client is a broker, as its Protocol Version byte says.
    pub(crate) is_bridge: bool,
    /// Clean Start; Clean Session in MQTT 3.1.1.
    pub(crate) clean_start: bool,
    /// Keep Alive in seconds, 0 for none.
    pub(crate) keep_alive: u16,
    /// May be empty.
    pub(crate) client_id: &'a str,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a [u8]>,
    pub(crate) will: Option<Will<'a>>,
    pub(crate) properties: ConnectProperties<'a>,
}

/// Without the password.
impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("is_bridge", &self.is_bridge)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("will", &self.will)
            .field("properties", &self.properties)
            .finish_non_exhaustive()
    }
}

/// The properties of a CONNECT; in MQTT 3.1.1 what a client of MQTT 5 gets that sends none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConnectProperties<'a> {
    /// Session Expiry Interval in seconds; `u32::MAX` means never.
    pub(crate) session_expiry: Option<u32>,
    /// Not 0.
    pub(crate) receive_maximum: Option<u16>,
    /// In bytes, not 0.
    pub(crate) maximum_packet_size: Option<u32>,
    pub(crate) topic_alias_maximum: Option<u16>,
    /// False if absent (MQTT-3.1.2-28).
    pub(crate) request_response_information: bool,
    /// True if absent (MQTT-3.1.2-29).
    pub(crate) request_problem_information: bool,
    pub(crate) user_properties: UserProperties<'a>,
    pub(crate) authentication_method: Option<&'a str>,
    pub(crate) authentication_data: Option<&'a [u8]>,
}

impl Default for ConnectProperties<'_> {
    fn default() -> Self {
        Self {
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: None,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::default(),
            authentication_method: None,
            authentication_data: None,
        }
    }
}

/// Without the authentication data.
impl fmt::Debug for ConnectProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectProperties")
            .field("session_expiry", &self.session_expiry)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field(
                "request_response_information",
                &self.request_response_information,
            )
            .field(
                "request_problem_information",
                &self.request_problem_information,
            )
            .field("user_properties", &self.user_properties)
            .field("authentication_method", &self.authentication_method)
            .finish_non_exhaustive()
    }
}

/// The will in a CONNECT. Whether its topic is empty or has wildcards is not checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Will<'a> {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    /// Will Delay Interval in seconds, 0 if absent.
    pub(crate) delay_secs: u32,
    /// Message Expiry Interval in seconds, counted from the publication of the will.
    pub(crate) message_expiry: Option<u32>,
    /// Payload Format Indicator: whether the client says that the payload is UTF-8.
    pub(crate) payload_format_is_utf8: bool,
    pub(crate) content_type: Option<&'a str>,
    /// Whether it has wildcards is not checked here.
    pub(crate) response_topic: Option<&'a str>,
    pub(crate) correlation_data: Option<&'a [u8]>,
    /// Bytes in all names and values of User Properties.
    pub(crate) user_properties_len: usize,
    /// The property section as received, without its length.
    pub(crate) raw: &'a [u8],
}

/// A CONNECT that cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    /// MQTT-3.1.2-1, MQTT-3.1.2-2: another protocol name, or a version that is not served.
    #[error("protocol version {level} is not supported")]
    UnsupportedVersion {
        /// Whether the Protocol Name is `MQTT`; it is `MQIsdp` in MQTT 3.1, level 3.
        name_ok: bool,
        level: u8,
    },
    /// The packet breaks the format.
    #[error("{error}")]
    Invalid {
        /// The version, if the packet got as far: an answer has to be in its format.
        version: Option<Version>,
        error: DecodeError,
    },
}

impl ConnectError {
    /// The version whose format an answer has to have, if the packet got as far as to name one.
    pub(crate) fn version(&self) -> Option<Version> {
        match self {
            Self::UnsupportedVersion { level, .. } => Some(Version::of_answer_to(*level)),
            Self::Invalid { version, .. } => *version,
        }
    }

    /// The Reason Code for CONNACK.
    pub(crate) const fn reason(&self) -> ReasonCode {
        match self {
            Self::UnsupportedVersion { .. } => ReasonCode::UnsupportedProtocolVersion,
            Self::Invalid { error, .. } => error.reason(),
        }
    }
}

/// Decodes the body of a CONNECT.
///
/// # Errors
///
/// `UnsupportedVersion` if the name is not `MQTT` or the level, without the bit of a bridge, is
/// neither 4 nor 5, whatever follows; otherwise `Invalid` if anything breaks the format of the version named.
pub(crate) fn decode<'a>(frame: &Frame<'a>) -> Result<Connect<'a>, ConnectError> {
    let mut cursor = Cursor::new(frame.body);
    let unversioned = |error| ConnectError::Invalid {
        version: None,
        error,
    };
    if frame.packet_type != PacketType::Connect {
        let (packet, flags) = (frame.packet_type, frame.first & 0x0f);
        return Err(unversioned(DecodeError::FixedHeaderFlags { packet, flags }));
    }
    let name = cursor.binary("protocol name").map_err(unversioned)?;
    let level = cursor.u8("protocol version").map_err(unversioned)?;
    let name_ok = name == b"MQTT";
    match Version::from_level(level) {
        Some(version) if name_ok => {
            let is_bridge = level & BRIDGE != 0;
            Connect::decode(cursor, version, is_bridge).map_err(|error| ConnectError::Invalid {
                version: Some(version),
                error,
            })
        }
        _ => Err(ConnectError::UnsupportedVersion { name_ok, level }),
    }
}

impl<'a> Connect<'a> {
    /// Decodes what follows the Protocol Version.
    fn decode(
        mut cursor: Cursor<'a>,
        version: Version,
        is_bridge: bool,
    ) -> Result<Self, DecodeError> {
        let flags = ConnectFlags::check(cursor.u8("connect flags")?, version)?;
        let keep_alive = cursor.u16("keep alive")?;
        let properties = match version {
            Version::V311 => ConnectProperties::default(),
            Version::V5 => ConnectProperties::decode(&mut cursor)?,
        };
        let client_id = cursor.utf8("client identifier")?;
        let will = match flags.will {
            Some((qos, retain)) => Some(Will::decode(&mut cursor, version, qos, retain)?),
            None => None,
        };
        let username = match flags.username {
            true => Some(cursor.utf8("user name")?),
            false => None,
        };
        let password = match flags.password {
            true => Some(cursor.binary("password")?),
            false => None,
        };
        cursor.finish(PacketType::Connect)?;
        let clean_start = flags.clean_start;
        Ok(Self {
            version,
            is_bridge,
            clean_start,
            keep_alive,
            client_id,
            username,
            password,
            will,
            properties,
        })
    }
}

/// Connect Flags whose bits do not contradict one another.
struct ConnectFlags {
    clean_start: bool,
    /// Will QoS and Will Retain, if the Will Flag is set.
    will: Option<(QoS, bool)>,
    username: bool,
    password: bool,
}

impl ConnectFlags {
    fn check(flags: u8, version: Version) -> Result<Self, DecodeError> {
        let broken = |rule| Err(DecodeError::ConnectFlags { rule });
        let has = |bit: u8| flags >> bit & 1 == 1;
        let (will_qos, will_retain) = (flags >> 3 & 0b11, has(5));
        // MQTT-3.1.2-3
        if has(0) {
            return broken("reserved connect flag is set");
        }
        let will = match (has(2), QoS::from_bits(will_qos)) {
            (true, Some(qos)) => Some((qos, will_retain)),
            // MQTT-3.1.2-12
            (true, None) => return broken("will qos is 3"),
            // MQTT-3.1.2-11
            (false, _) if will_qos != 0 => return broken("will qos without will flag"),
            // MQTT-3.1.2-13
            (false, _) if will_retain => return broken("will retain without will flag"),
            (false, _) => None,
        };
        let (username, password) = (has(7), has(6));
        // MQTT-3.1.2-22 of 3.1.1; MQTT 5 allows it
        if version == Version::V311 && password && !username {
            return broken("password flag without user name flag");
        }
        Ok(Self {
            clean_start: has(1),
            will,
            username,
            password,
        })
    }
}

impl<'a> ConnectProperties<'a> {
    fn decode(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut reader = PropertyReader::open(cursor, Section::Connect)?;
        let mut properties = Self {
            user_properties: UserProperties::new(reader.raw()),
            ..Self::default()
        };
        while let Some(property) = reader.next()? {
            properties.read(property, &mut reader)?;
        }
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationDataWithoutMethod);
        }
        Ok(properties)
    }

    fn read(
        &mut self,
        property: Property,
        reader: &mut PropertyReader<'a>,
    ) -> Result<(), DecodeError> {
        match property {
            Property::SessionExpiryInterval => self.session_expiry = Some(reader.u32(property)?),
            Property::ReceiveMaximum => {
                self.receive_maximum = Some(reader.positive_u16(property)?);
            }
            Property::MaximumPacketSize => {
                self.maximum_packet_size = Some(reader.positive_u32(property)?);
            }
            Property::TopicAliasMaximum => self.topic_alias_maximum = Some(reader.u16(property)?),
            Property::RequestResponseInformation => {
                self.request_response_information = reader.flag(property)?;
            }
            Property::RequestProblemInformation => {
                self.request_problem_information = reader.flag(property)?;
            }
            Property::AuthenticationMethod => {
                self.authentication_method = Some(reader.utf8(property)?);
            }
            Property::AuthenticationData => {
                self.authentication_data = Some(reader.binary(property)?);
            }
            _ => reader.skip(property)?,
        }
        Ok(())
    }
}

impl<'a> Will<'a> {
    /// The User Properties in the order in which they were sent.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::new(self.raw)
    }

    /// The properties to publish with the will: all but Will Delay Interval and Message Expiry
    /// Interval, User Properties in their order (MQTT-3.1.3-10). They are composed in `scratch`,
    /// whose former content is lost.
    pub(crate) fn forward<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        scratch.clear();
        property::copy_without(self.raw, scratch, |property| {
            matches!(
                property,
                Property::WillDelayInterval | Property::MessageExpiryInterval
            )
        });
        scratch
    }

    /// Decodes Will Properties, Will Topic and Will Payload.
    fn decode(
        cursor: &mut Cursor<'a>,
        version: Version,
        qos: QoS,
        retain: bool,
    ) -> Result<Self, DecodeError> {
        let mut will = Self {
            qos,
            retain,
            topic: "",
            payload: &[],
            delay_secs: 0,
            message_expiry: None,
            payload_format_is_utf8: false,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties_len: 0,
            raw: &[],
        };
        if version == Version::V5 {
            will.decode_properties(cursor)?;
        }
        will.topic = cursor.utf8("will topic")?;
        will.payload = cursor.binary("will payload")?;
        Ok(will)
    }

    fn decode_properties(&mut self, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
        let mut reader = PropertyReader::open(cursor, Section::Will)?;
        self.raw = reader.raw();
        while let Some(property) = reader.next()? {
            match property {
                Property::WillDelayInterval => self.delay_secs = reader.u32(property)?,
                Property::PayloadFormatIndicator => {
                    self.payload_format_is_utf8 = reader.flag(property)?;
                }
                Property::MessageExpiryInterval => {
                    self.message_expiry = Some(reader.u32(property)?);
                }
                Property::ContentType => self.content_type = Some(reader.utf8(property)?),
                Property::ResponseTopic => self.response_topic = Some(reader.utf8(property)?),
                Property::CorrelationData => {
                    self.correlation_data = Some(reader.binary(property)?);
                }
                Property::UserProperty => {
                    let (name, value) = reader.user_property()?;
                    self.user_properties_len += name.len() + value.len();
                }
                _ => reader.skip(property)?,
            }
        }
        Ok(())
    }
}
