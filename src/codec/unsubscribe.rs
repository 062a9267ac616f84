//! UNSUBSCRIBE and UNSUBACK (sections 3.10 and 3.11).

use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::property::{Property, PropertyReader, Section, UserProperties};
use super::reason::ReasonCode;
use super::subscribe::{answer_properties, reason_codes};
use super::version::Version;
use super::write;

/// An UNSUBSCRIBE with at least one filter. Whether filters are well formed beyond being UTF-8
/// strings is not checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsubscribe<'a> {
    pub(crate) packet_id: PacketId,
    pub(crate) user_properties: UserProperties<'a>,
    /// Filters, checked.
    payload: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let unsubscribe = Self::open(body, version)?;
        unsubscribe
            .filters_from(0)
            .try_for_each(|filter| filter.map(|_| ()))?;
        Ok(unsubscribe)
    }

    /// Decodes everything but the filters: [`filters_from`](Self::filters_from) checks them one by one.
    pub(crate) fn open(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        let packet_id = cursor.packet_id()?;
        let mut user_properties = UserProperties::default();
        if version == Version::V5 {
            let mut reader = PropertyReader::open(&mut cursor, Section::Unsubscribe)?;
            user_properties = UserProperties::new(reader.raw());
            while let Some(property) = reader.next()? {
                reader.skip(property)?;
            }
        }
        let payload = cursor.rest();
        if cursor.is_empty() {
            return Err(DecodeError::NoTopicFilter {
                packet: PacketType::Unsubscribe,
            });
        }
        Ok(Self {
            packet_id,
            user_properties,
            payload,
        })
    }

    /// Topic Filters, in the order of the packet, and what is wrong with the first that is malformed.
    /// Begins `at` so many bytes of the list.
    pub(crate) fn filters_from(
        &self,
        at: usize,
    ) -> impl Iterator<Item = Result<&'a str, DecodeError>> + use<'a> {
        let mut cursor = Cursor::new(self.payload.get(at..).unwrap_or_default());
        std::iter::from_fn(move || (!cursor.is_empty()).then(|| cursor.utf8("topic filter")))
    }

    /// Topic Filters, in the order of the packet.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn filters(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.filters_from(0).map_while(Result::ok)
    }
}

/// Bytes of a filter in the list.
pub(crate) fn unsubscribe_filter_len(filter: &str) -> usize {
    2 + filter.len()
}

/// An UNSUBACK, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsuback<'a> {
    pub(crate) packet_id: PacketId,
    pub(crate) reason_string: Option<&'a str>,
    pub(crate) user_properties: UserProperties<'a>,
    /// One for each filter, in the order of the UNSUBSCRIBE; none in MQTT 3.1.1.
    pub(crate) reasons: Vec<ReasonCode>,
}

impl<'a> Unsuback<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        let packet_id = cursor.packet_id()?;
        let (reason_string, user_properties) =
            answer_properties(&mut cursor, version, Section::Unsuback)?;
        let reasons = match version {
            Version::V311 => {
                cursor.finish(PacketType::Unsuback)?;
                Vec::new()
            }
            Version::V5 => reason_codes(cursor, PacketType::Unsuback)?,
        };
        Ok(Self {
            packet_id,
            reason_string,
            user_properties,
            reasons,
        })
    }
}

/// Appends an UNSUBACK with one reason for each filter (MQTT-3.11.3-1) and returns its size in
/// bytes. MQTT 3.1.1 has no room for reasons and Reason String.
pub(crate) fn encode_unsuback(
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
        body.extend(reasons.iter().map(|&reason| reason as u8));
    }
    write::packet(out, PacketType::Unsuback.first_byte(), &body)
}
