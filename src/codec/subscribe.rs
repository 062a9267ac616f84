//! SUBSCRIBE and SUBACK (sections 3.8 and 3.9).

use super::ack::reason_code;
use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::property::{Property, PropertyReader, Section, UserProperties};
use super::qos::QoS;
use super::reason::ReasonCode;
use super::version::Version;
use super::write;

/// A SUBSCRIBE with at least one filter. Whether filters are well formed beyond being UTF-8
/// strings is not checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscribe<'a> {
    pub(crate) packet_id: PacketId,
    /// Subscription Identifier, 1 to 268,435,455.
    pub(crate) subscription_id: Option<u32>,
    pub(crate) user_properties: UserProperties<'a>,
    /// Filters with options, checked.
    payload: &'a [u8],
}

impl<'a> Subscribe<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let subscribe = Self::open(body, version)?;
        subscribe
            .filters_from(0, version)
            .try_for_each(|filter| filter.map(|_| ()))?;
        Ok(subscribe)
    }

    /// Decodes everything but the filters, of which a packet may have millions:
    /// [`filters_from`](Self::filters_from) checks them one by one.
    pub(crate) fn open(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        let mut subscribe = Self {
            packet_id: cursor.packet_id()?,
            subscription_id: None,
            user_properties: UserProperties::default(),
            payload: &[],
        };
        if version == Version::V5 {
            subscribe.decode_properties(&mut cursor)?;
        }
        subscribe.payload = cursor.rest();
        if cursor.is_empty() {
            return Err(DecodeError::NoTopicFilter {
                packet: PacketType::Subscribe,
            });
        }
        Ok(subscribe)
    }

    /// Topic Filters with their options, in the order of the packet, and what is wrong with the first
    /// that is malformed. Begins `at` so many bytes of the list.
    pub(crate) fn filters_from(&self, at: usize, version: Version) -> SubscribeFilters<'a> {
        SubscribeFilters {
            cursor: Cursor::new(self.payload.get(at..).unwrap_or_default()),
            version,
        }
    }

    /// Topic Filters with their options, in the order of the packet.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn filters(&self) -> impl Iterator<Item = (&'a str, SubscribeOptions)> + use<'a> {
        self.filters_from(0, Version::V5).map_while(Result::ok)
    }

    fn decode_properties(&mut self, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
        let mut reader = PropertyReader::open(cursor, Section::Subscribe)?;
        self.user_properties = UserProperties::new(reader.raw());
        while let Some(property) = reader.next()? {
            match property {
                Property::SubscriptionIdentifier => {
                    self.subscription_id = Some(reader.positive_variable_byte_integer(property)?);
                }
                _ => reader.skip(property)?,
            }
        }
        Ok(())
    }
}

/// The list of filters of a SUBSCRIBE.
pub(crate) struct SubscribeFilters<'a> {
    cursor: Cursor<'a>,
    version: Version,
}

impl<'a> Iterator for SubscribeFilters<'a> {
    type Item = Result<(&'a str, SubscribeOptions), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let (filter, options) = match filter_and_options(&mut self.cursor) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        if let Err(error) = SubscribeOptions::check(options, self.version) {
            return Some(Err(error));
        }
        let options = SubscribeOptions::from_byte(options)?;
        Some(Ok((filter, options)))
    }
}

/// Bytes of a filter with its options in the list.
pub(crate) fn subscribe_filter_len(filter: &str) -> usize {
    2 + filter.len() + 1
}

fn filter_and_options<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, u8), DecodeError> {
    Ok((
        cursor.utf8("topic filter")?,
        cursor.u8("subscription options")?,
    ))
}

/// Subscription Options (section 3.8.3.1). In MQTT 3.1.1 all but `qos` are as if 0 had been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubscribeOptions {
    /// Maximum QoS at which the server may send.
    pub(crate) qos: QoS,
    /// The client does not want its own messages back.
    pub(crate) no_local: bool,
    /// Forwarded messages keep the RETAIN flag of the publisher.
    pub(crate) retain_as_published: bool,
    pub(crate) retain_handling: RetainHandling,
}

/// When a subscription gets the retained messages that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RetainHandling {
    /// With every SUBSCRIBE (MQTT-3.3.1-9).
    Send = 0,
    /// If the subscription did not exist (MQTT-3.3.1-10).
    SendIfNew = 1,
    /// Never (MQTT-3.3.1-11).
    DoNotSend = 2,
}

impl RetainHandling {
    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}

impl SubscribeOptions {
    const NO_LOCAL: u8 = 0b0000_0100;
    const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;

    /// Says what is wrong with an options byte. MQTT 3.1.1 reserves all but the QoS bits
    /// (MQTT-3.8.3-4 of 3.1.1), MQTT 5 the upper two (MQTT-3.8.3-5).
    fn check(options: u8, version: Version) -> Result<(), DecodeError> {
        let reserved = match version {
            Version::V311 => 0b1111_1100,
            Version::V5 => 0b1100_0000,
        };
        if options & reserved != 0 {
            return Err(DecodeError::SubscriptionOptions { options });
        }
        QoS::from_bits(options & 0b11).ok_or(DecodeError::SubscriptionQoS)?;
        RetainHandling::from_bits(options >> 4 & 0b11).ok_or(DecodeError::RetainHandling)?;
        Ok(())
    }

    fn from_byte(options: u8) -> Option<Self> {
        Some(Self {
            qos: QoS::from_bits(options & 0b11)?,
            no_local: options & Self::NO_LOCAL != 0,
            retain_as_published: options & Self::RETAIN_AS_PUBLISHED != 0,
            retain_handling: RetainHandling::from_bits(options >> 4 & 0b11)?,
        })
    }

    /// The byte on the wire.
    #[cfg(any(test, fuzzing))]
    pub(crate) const fn to_byte(self) -> u8 {
        let mut options = self.qos.bits() | (self.retain_handling as u8) << 4;
        if self.no_local {
            options |= Self::NO_LOCAL;
        }
        if self.retain_as_published {
            options |= Self::RETAIN_AS_PUBLISHED;
        }
        options
    }
}

/// A SUBACK, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suback<'a> {
    pub(crate) packet_id: PacketId,
    pub(crate) reason_string: Option<&'a str>,
    pub(crate) user_properties: UserProperties<'a>,
    /// One for each filter, in the order of the SUBSCRIBE.
    pub(crate) reasons: Vec<ReasonCode>,
}

impl<'a> Suback<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        let packet_id = cursor.packet_id()?;
        let (reason_string, user_properties) =
            answer_properties(&mut cursor, version, Section::Suback)?;
        let reasons = reason_codes(cursor, PacketType::Suback)?;
        let is_legal = |reason: ReasonCode| match version {
            Version::V311 => !reason.is_error() || reason == ReasonCode::UnspecifiedError,
            Version::V5 => true,
        };
        match reasons.iter().find(|&&reason| !is_legal(reason)) {
            Some(&reason) => Err(DecodeError::IllegalReasonCode {
                packet: PacketType::Suback,
                code: reason as u8,
            }),
            None => Ok(Self {
                packet_id,
                reason_string,
                user_properties,
                reasons,
            }),
        }
    }
}

/// The properties that SUBACK and UNSUBACK have: Reason String and User Properties.
pub(super) fn answer_properties<'a>(
    cursor: &mut Cursor<'a>,
    version: Version,
    section: Section,
) -> Result<(Option<&'a str>, UserProperties<'a>), DecodeError> {
    if version == Version::V311 {
        return Ok((None, UserProperties::default()));
    }
    let mut reader = PropertyReader::open(cursor, section)?;
    let user_properties = UserProperties::new(reader.raw());
    let mut reason_string = None;
    while let Some(property) = reader.next()? {
        match property {
            Property::ReasonString => reason_string = Some(reader.utf8(property)?),
            _ => reader.skip(property)?,
        }
    }
    Ok((reason_string, user_properties))
}

/// Reads what is left of a SUBACK or UNSUBACK: its Reason Codes, one at least.
pub(super) fn reason_codes(
    mut cursor: Cursor<'_>,
    packet: PacketType,
) -> Result<Vec<ReasonCode>, DecodeError> {
    let mut reasons = vec![reason_code(&mut cursor, packet)?];
    while !cursor.is_empty() {
        reasons.push(reason_code(&mut cursor, packet)?);
    }
    Ok(reasons)
}

/// Appends a SUBACK with one reason for each filter (MQTT-3.8.4-6) and returns its size in bytes.
/// MQTT 3.1.1 knows one failure, 0x80, and no Reason String.
pub(crate) fn encode_suback(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: PacketId,
    reasons: &[ReasonCode],
    reason_string: Option<&str>,
) -> usize {
    let mut body = Vec::with_capacity(3 + reasons.len());
    write::packet_id(&mut body, packet_id);
    if version == Version::V5 {
        write::properties(&mut body, |section| {
            write::utf8_property(section, Property::ReasonString, reason_string);
        });
    }
    body.extend(reasons.iter().map(|&reason| match version {
        Version::V311 if reason.is_error() => ReasonCode::UnspecifiedError as u8,
        _ => reason as u8,
    }));
    write::packet(out, PacketType::Suback.first_byte(), &body)
}
