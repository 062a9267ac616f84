//! AUTH (section 3.15), which MQTT 3.1.1 does not have.

use super::ack::reason_code;
use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_type::PacketType;
use super::property::{Property, PropertyReader, Section, UserProperties};
use super::reason::ReasonCode;

/// An AUTH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Auth<'a> {
    /// Success, Continue authentication or Re-authenticate (MQTT-3.15.2-1).
    pub(crate) reason: ReasonCode,
    /// There unless the packet is the two-byte form, which means Success.
    pub(crate) authentication_method: Option<&'a str>,
    pub(crate) authentication_data: Option<&'a [u8]>,
    pub(crate) reason_string: Option<&'a str>,
    pub(crate) user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    pub(super) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        let mut auth = Self {
            reason: ReasonCode::Success,
            authentication_method: None,
            authentication_data: None,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        if cursor.is_empty() {
            return Ok(auth);
        }
        auth.reason = reason_code(&mut cursor, PacketType::Auth)?;
        auth.decode_properties(&mut cursor)?;
        cursor.finish(PacketType::Auth)?;
        match auth.authentication_method {
            Some(_) => Ok(auth),
            None => Err(DecodeError::AuthenticationMethodMissing),
        }
    }

    fn decode_properties(&mut self, cursor: &mut Cursor<'a>) -> Result<(), DecodeError> {
        let mut reader = PropertyReader::open(cursor, Section::Auth)?;
        self.user_properties = UserProperties::new(reader.raw());
        while let Some(property) = reader.next()? {
            match property {
                Property::AuthenticationMethod => {
                    self.authentication_method = Some(reader.utf8(property)?);
                }
                Property::AuthenticationData => {
                    self.authentication_data = Some(reader.binary(property)?);
                }
                Property::ReasonString => self.reason_string = Some(reader.utf8(property)?),
                _ => reader.skip(property)?,
            }
        }
        Ok(())
    }
}
