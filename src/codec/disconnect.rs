//! DISCONNECT (section 3.14).

use super::ack::reason_code;
use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_type::PacketType;
use super::property::{Property, PropertyReader, Section, UserProperties};
use super::reason::ReasonCode;
use super::version::Version;
use super::write;

/// A DISCONNECT. In MQTT 3.1.1 it is empty and means Success, normal disconnection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disconnect<'a> {
    pub(crate) reason: ReasonCode,
    /// Session Expiry Interval in seconds, in place of the one from CONNECT.
    pub(crate) session_expiry: Option<u32>,
    pub(crate) reason_string: Option<&'a str>,
    pub(crate) server_reference: Option<&'a str>,
    pub(crate) user_properties: UserProperties<'a>,
}

impl<'a> Disconnect<'a> {
    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        let mut disconnect = Self {
            reason: ReasonCode::Success,
            session_expiry: None,
            reason_string: None,
            server_reference: None,
            user_properties: UserProperties::default(),
        };
        if version == Version::V5 && !cursor.is_empty() {
            disconnect.reason = reason_code(&mut cursor, PacketType::Disconnect)?;
            // A Remaining Length below 2 means that there is no Property Length.
            if !cursor.is_empty() {
                disconnect.decode_properties(&mut cursor)?;
            }
        }
        cursor.finish(PacketType::Disconnect)?;
        Ok(disconnect)
    }

    fn decode_properties(&mut self, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
        let mut reader = PropertyReader::open(cursor, Section::Disconnect)?;
        self.user_properties = UserProperties::new(reader.raw());
        while let Some(property) = reader.next()? {
            match property {
                Property::SessionExpiryInterval => {
                    self.session_expiry = Some(reader.u32(property)?);
                }
                Property::ReasonString => self.reason_string = Some(reader.utf8(property)?),
                Property::ServerReference => self.server_reference = Some(reader.utf8(property)?),
                _ => reader.skip(property)?,
            }
        }
        Ok(())
    }
}

/// Appends the DISCONNECT of a server in its shortest form and returns its size in bytes. A server
/// of MQTT 3.1.1 closes without one: nothing is appended and the size is 0.
pub(crate) fn encode_disconnect(
    out: &mut Vec<u8>,
    version: Version,
    reason: ReasonCode,
    reason_string: Option<&str>,
) -> usize {
    let first = PacketType::Disconnect.first_byte();
    match (version, reason, reason_string) {
        (Version::V311, ..) => 0,
        (Version::V5, ReasonCode::Success, None) => write::packet(out, first, &[]),
        (Version::V5, _, None) => write::packet(out, first, &[reason as u8]),
        (Version::V5, _, Some(text)) => {
            let mut body = vec![reason as u8];
            write::properties(&mut body, |section| {
                write::utf8_property(section, Property::ReasonString, Some(text));
            });
            write::packet(out, first, &body)
        }
    }
}
