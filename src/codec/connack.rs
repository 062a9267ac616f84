//! CONNACK (section 3.2).

use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_type::PacketType;
use super::property::{Property, PropertyReader, Section};
use super::qos::QoS;
use super::reason::{ReasonCode, connect_return_code};
use super::version::Version;
use super::write;

/// A CONNACK. What is `None` is left out of the packet, which then has the meaning that the
/// standard gives to its absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connack<'a> {
    pub(crate) session_present: bool,
    pub(crate) reason: ReasonCode,
    /// Session Expiry Interval in seconds, if it is not the one the client asked for.
    pub(crate) session_expiry: Option<u32>,
    pub(crate) receive_maximum: Option<u16>,
    /// Left out if it is QoS 2, which the packet cannot say (MQTT-3.2.2-9).
    pub(crate) maximum_qos: Option<QoS>,
    pub(crate) retain_available: Option<bool>,
    /// In bytes.
    pub(crate) maximum_packet_size: Option<u32>,
    pub(crate) assigned_client_id: Option<&'a str>,
    pub(crate) topic_alias_maximum: Option<u16>,
    pub(crate) reason_string: Option<&'a str>,
    pub(crate) user_properties: Vec<(&'a str, &'a str)>,
    pub(crate) wildcard_subscription_available: Option<bool>,
    pub(crate) subscription_ids_available: Option<bool>,
    pub(crate) shared_subscription_available: Option<bool>,
    /// In seconds.
    pub(crate) server_keep_alive: Option<u16>,
    pub(crate) response_information: Option<&'a str>,
    pub(crate) server_reference: Option<&'a str>,
    pub(crate) authentication_method: Option<&'a str>,
    pub(crate) authentication_data: Option<&'a [u8]>,
}

impl<'a> Connack<'a> {
    /// A CONNACK without properties. Session Present goes with Success only (MQTT-3.2.2-6).
    pub(crate) const fn new(reason: ReasonCode) -> Self {
        Self {
            session_present: false,
            reason,
            session_expiry: None,
            receive_maximum: None,
            maximum_qos: None,
            retain_available: None,
            maximum_packet_size: None,
            assigned_client_id: None,
            topic_alias_maximum: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: None,
            subscription_ids_available: None,
            shared_subscription_available: None,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }
    }

    pub(super) fn decode(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(body);
        let flags = cursor.u8("connect acknowledge flags")?;
        if flags > 1 {
            return Err(DecodeError::ConnackFlags { flags });
        }
        let code = cursor.u8("reason code")?;
        let reason = match version {
            Version::V311 => ReasonCode::from_return_code(code),
            Version::V5 => {
                ReasonCode::from_u8(code).filter(|reason| reason.is_legal_in(PacketType::Connack))
            }
        }
        .ok_or(DecodeError::IllegalReasonCode {
            packet: PacketType::Connack,
            code,
        })?;
        let mut connack = Self {
            session_present: flags == 1,
            ..Self::new(reason)
        };
        if version == Version::V5 {
            let mut reader = PropertyReader::open(&mut cursor, Section::Connack)?;
            while let Some(property) = reader.next()? {
                connack.read(property, &mut reader)?;
            }
        }
        cursor.finish(PacketType::Connack)?;
        Ok(connack)
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
            Property::MaximumQoS => {
                self.maximum_qos = QoS::from_bits(reader.flag(property)?.into());
            }
            Property::RetainAvailable => self.retain_available = Some(reader.flag(property)?),
            Property::MaximumPacketSize => {
                self.maximum_packet_size = Some(reader.positive_u32(property)?);
            }
            Property::AssignedClientIdentifier => {
                self.assigned_client_id = Some(reader.utf8(property)?);
            }
            Property::TopicAliasMaximum => self.topic_alias_maximum = Some(reader.u16(property)?),
            Property::ReasonString => self.reason_string = Some(reader.utf8(property)?),
            Property::UserProperty => self.user_properties.push(reader.user_property()?),
            Property::WildcardSubscriptionAvailable => {
                self.wildcard_subscription_available = Some(reader.flag(property)?);
            }
            Property::SubscriptionIdentifierAvailable => {
                self.subscription_ids_available = Some(reader.flag(property)?);
            }
            Property::SharedSubscriptionAvailable => {
                self.shared_subscription_available = Some(reader.flag(property)?);
            }
            Property::ServerKeepAlive => self.server_keep_alive = Some(reader.u16(property)?),
            Property::ResponseInformation => {
                self.response_information = Some(reader.utf8(property)?);
            }
            Property::ServerReference => self.server_reference = Some(reader.utf8(property)?),
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

    fn write_properties(&self, out: &mut Vec<u8>) {
        use Property as P;
        let maximum_qos = self.maximum_qos.filter(|&qos| qos < QoS::ExactlyOnce);
        write::u32_property(out, P::SessionExpiryInterval, self.session_expiry);
        write::u16_property(out, P::ReceiveMaximum, self.receive_maximum);
        write::flag_property(
            out,
            P::MaximumQoS,
            maximum_qos.map(|qos| qos == QoS::AtLeastOnce),
        );
        write::flag_property(out, P::RetainAvailable, self.retain_available);
        write::u32_property(out, P::MaximumPacketSize, self.maximum_packet_size);
        write::utf8_property(out, P::AssignedClientIdentifier, self.assigned_client_id);
        write::u16_property(out, P::TopicAliasMaximum, self.topic_alias_maximum);
        write::utf8_property(out, P::ReasonString, self.reason_string);
        for &(name, value) in &self.user_properties {
            write::user_property(out, name, value);
        }
        write::flag_property(
            out,
            P::WildcardSubscriptionAvailable,
            self.wildcard_subscription_available,
        );
        write::flag_property(
            out,
            P::SubscriptionIdentifierAvailable,
            self.subscription_ids_available,
        );
        write::flag_property(
            out,
            P::SharedSubscriptionAvailable,
            self.shared_subscription_available,
        );
        write::u16_property(out, P::ServerKeepAlive, self.server_keep_alive);
        write::utf8_property(out, P::ResponseInformation, self.response_information);
        write::utf8_property(out, P::ServerReference, self.server_reference);
        write::utf8_property(out, P::AuthenticationMethod, self.authentication_method);
        write::binary_property(out, P::AuthenticationData, self.authentication_data);
    }
}

/// Appends a CONNACK and returns its size in bytes. MQTT 3.1.1 has no properties; if it has no
/// return code for the reason either, nothing is appended and the size is 0, and the connection is
/// to be closed without CONNACK (MQTT-3.2.2-6 of 3.1.1).
pub(crate) fn encode_connack(out: &mut Vec<u8>, version: Version, connack: &Connack<'_>) -> usize {
    // MQTT-3.2.2-6
    let flags = u8::from(connack.session_present && connack.reason == ReasonCode::Success);
    let mut body = Vec::with_capacity(64);
    match version {
        Version::V311 => match connect_return_code(connack.reason) {
            Some(code) => body.extend_from_slice(&[flags, code]),
            None => return 0,
        },
        Version::V5 => {
            body.extend_from_slice(&[flags, connack.reason as u8]);
            write::properties(&mut body, |section| connack.write_properties(section));
        }
    }
    write::packet(out, PacketType::Connack.first_byte(), &body)
}
