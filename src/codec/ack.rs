//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7), which share one format.

use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::property::{Property, PropertyReader, Section, UserProperties};
use super::reason::ReasonCode;
use super::version::Version;
use super::write;

/// Which of the four packets that acknowledge a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckKind {
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
}

impl AckKind {
    /// The packet type of this kind.
    #[inline]
    pub(crate) const fn packet_type(self) -> PacketType {
        match self {
            Self::Puback => PacketType::Puback,
            Self::Pubrec => PacketType::Pubrec,
            Self::Pubrel => PacketType::Pubrel,
            Self::Pubcomp => PacketType::Pubcomp,
        }
    }

    const fn section(self) -> Section {
        match self {
            Self::Puback => Section::Puback,
            Self::Pubrec => Section::Pubrec,
            Self::Pubrel => Section::Pubrel,
            Self::Pubcomp => Section::Pubcomp,
        }
    }
}

/// One of the four packets that acknowledge a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack<'a> {
    pub(crate) packet_id: PacketId,
    /// A code that the standard tables for the packet; Success in MQTT 3.1.1.
    pub(crate) reason: ReasonCode,
    pub(crate) reason_string: Option<&'a str>,
    pub(crate) user_properties: UserProperties<'a>,
}

impl<'a> Ack<'a> {
    /// Decodes the body of a packet of this kind. Nearly all consist of a packet identifier only.
    #[inline]
    pub(super) fn decode(
        kind: AckKind,
        body: &'a [u8],
        version: Version,
    ) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        let mut ack = Self {
            packet_id: cursor.packet_id()?,
            reason: ReasonCode::Success,
            reason_string: None,
            user_properties: UserProperties::new(&[]),
        };
        if !cursor.is_empty() {
            ack.decode_reason(kind, cursor, version)?;
        }
        Ok(ack)
    }

    #[cold]
    fn decode_reason(
        &mut self,
        kind: AckKind,
        mut cursor: Cursor<'a>,
        version: Version,
    ) -> Result<(), DecodeError> {
        if version == Version::V311 {
            return cursor.finish(kind.packet_type());
        }
        self.reason = reason_code(&mut cursor, kind.packet_type())?;
        // A Remaining Length below 4 means that there is no Property Length.
        if cursor.is_empty() {
            return Ok(());
        }
        let mut reader = PropertyReader::open(&mut cursor, kind.section())?;
        self.user_properties = UserProperties::new(reader.raw());
        while let Some(property) = reader.next()? {
            match property {
                Property::ReasonString => self.reason_string = Some(reader.utf8(property)?),
                _ => reader.skip(property)?,
            }
        }
        cursor.finish(kind.packet_type())
    }
}

/// The size of an acknowledgement in its shortest form: Success, and nothing else.
pub(crate) const SHORT_ACK: usize = 4;

/// The identifier of the acknowledgement that `buf` begins with, if it is of this kind and in its shortest form,
/// as nearly all are. What it is otherwise, [`split`](super::split) says.
#[inline]
pub(crate) fn split_short_ack(buf: &[u8], kind: AckKind) -> Option<PacketId> {
    match *buf {
        [first, 2, high, low, ..] if first == kind.packet_type().first_byte() => {
            PacketId::new(u16::from_be_bytes([high, low]))
        }
        _ => None,
    }
}

/// Appends an acknowledgement in its shortest form, which is the same in both versions, for each identifier.
#[inline]
pub(crate) fn encode_short_acks(
    out: &mut Vec<u8>,
    kind: AckKind,
    ids: impl Iterator<Item = PacketId>,
) {
    let first = kind.packet_type().first_byte();
    for id in ids {
        let [high, low] = id.get().to_be_bytes();
        out.extend_from_slice(&[first, 2, high, low]);
    }
}

/// Reads a Reason Code that has to be one of those tabled for `packet`.
pub(super) fn reason_code(
    cursor: &mut Cursor<'_>,
    packet: PacketType,
) -> Result<ReasonCode, DecodeError> {
    let code = cursor.u8("reason code")?;
    ReasonCode::from_u8(code)
        .filter(|reason| reason.is_legal_in(packet))
        .ok_or(DecodeError::IllegalReasonCode { packet, code })
}

/// Appends an acknowledgement in its shortest form and returns its size in bytes. MQTT 3.1.1 has
/// no room for `reason` and `reason_string`; Success without a string is left out in MQTT 5 too.
#[inline]
pub(crate) fn encode_ack(
    out: &mut Vec<u8>,
    version: Version,
    kind: AckKind,
    packet_id: PacketId,
    reason: ReasonCode,
    reason_string: Option<&str>,
) -> usize {
    let first = kind.packet_type().first_byte();
    let [high, low] = packet_id.get().to_be_bytes();
    match (version, reason, reason_string) {
        (Version::V311, ..) | (Version::V5, ReasonCode::Success, None) => {
            encode_short_acks(out, kind, std::iter::once(packet_id));
            SHORT_ACK
        }
        (Version::V5, _, None) => {
            out.extend_from_slice(&[first, 3, high, low, reason as u8]);
            5
        }
        (Version::V5, _, Some(text)) => {
            let mut body = vec![high, low, reason as u8];
            write::properties(&mut body, |section| {
                write::utf8_property(section, Property::ReasonString, Some(text));
            });
            write::packet(out, first, &body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ack_is_one_of_its_kind_with_an_identifier_alone() {
        let id = PacketId::new(0x0107);
        let short = |bytes: &[u8], kind| split_short_ack(bytes, kind);
        assert_eq!(short(&[0x40, 2, 1, 7, 0x40], AckKind::Puback), id);
        assert_eq!(short(&[0x62, 2, 1, 7], AckKind::Pubrel), id);
        for other in [
            &[0x40, 2, 1][..],
            &[0x50, 2, 1, 7],
            &[0x41, 2, 1, 7],
            &[0x40, 3, 1, 7, 0],
            &[0x40, 2, 0, 0],
        ] {
            assert_eq!(short(other, AckKind::Puback), None, "{other:?}");
        }
        assert_eq!(short(&[0x60, 2, 1, 7], AckKind::Pubrel), None);
    }
}
