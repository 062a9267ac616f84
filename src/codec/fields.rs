//! Packets as fields: any packet of either side taken apart for whoever looks at it, and put together
//! from what somebody wants it to hold.
//!
//! It is more lenient than [`decode`](super::decode): what the standard does not allow but the format can
//! express is read, and written, as it is. A test of a client needs such packets.

use bytes::Bytes;

use super::cursor::Cursor;
use super::error::DecodeError;
use super::frame::{Frame, MAX_PACKET_SIZE};
use super::packet_type::PacketType;
use super::property::{Property, PropertyValue, read_value, skip_value};
use super::version::Version;
use super::write;

/// A packet of either side as its fields. Those that its type does not have are absent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// What it is.
    pub packet_type: PacketType,
    /// DUP of a PUBLISH.
    pub dup: bool,
    /// QoS of a PUBLISH: 0 to 2.
    pub qos: u8,
    /// RETAIN of a PUBLISH.
    pub retain: bool,
    /// The Packet Identifier; 0 is written as it is.
    pub packet_id: Option<u16>,
    /// Topic Name of a PUBLISH; empty where a Topic Alias stands for it.
    pub topic: Option<String>,
    /// Payload of a PUBLISH.
    pub payload: Bytes,
    /// Reason Code of CONNACK, DISCONNECT, AUTH and the four acknowledgements; in MQTT 3.1.1 the return
    /// code of CONNACK. Absent where the packet is short enough to mean Success by that.
    pub reason: Option<u8>,
    /// Reason Codes of SUBACK and UNSUBACK.
    pub reasons: Vec<u8>,
    /// Session Present of CONNACK.
    pub session_present: bool,
    /// Filters of SUBSCRIBE and UNSUBSCRIBE.
    pub filters: Vec<FilterField>,
    /// What is in a CONNECT.
    pub connect: Option<ConnectFields>,
    /// Its properties, in their order.
    pub properties: Vec<PropertyField>,
}

/// A filter of a SUBSCRIBE or an UNSUBSCRIBE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterField {
    /// The Topic Filter.
    pub filter: String,
    /// The byte of Subscription Options: the QoS in its two lowest bits. 0 in UNSUBSCRIBE.
    pub options: u8,
}

impl FilterField {
    /// A filter with the byte of its options.
    #[must_use]
    pub fn new(filter: String, options: u8) -> Self {
        Self { filter, options }
    }
}

/// What only a CONNECT has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectFields {
    /// The byte that names the protocol version: 4 or 5.
    pub level: u8,
    /// Connect Flags, as they came.
    pub flags: u8,
    /// Keep Alive, in seconds.
    pub keep_alive: u16,
    /// The Client Identifier.
    pub client_id: String,
    /// Topic of the will.
    pub will_topic: Option<String>,
    /// Payload of the will.
    pub will_payload: Option<Bytes>,
    /// Properties of the will.
    pub will_properties: Vec<PropertyField>,
    /// The User Name.
    pub username: Option<String>,
    /// How many bytes the password has; it is not kept.
    pub password_len: Option<usize>,
}

/// A property of MQTT 5 and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyField {
    /// Its name in the standard, in lower case with underscores: `receive_maximum`.
    pub name: PropertyName,
    /// Its value.
    pub value: PropertyValue,
}

/// The name of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyName(pub(super) Property);

/// Every property of the standard (section 2.2.2.2).
impl PropertyName {
    /// Payload Format Indicator.
    pub const PAYLOAD_FORMAT_INDICATOR: Self = Self(Property::PayloadFormatIndicator);
    /// Message Expiry Interval.
    pub const MESSAGE_EXPIRY_INTERVAL: Self = Self(Property::MessageExpiryInterval);
    /// Content Type.
    pub const CONTENT_TYPE: Self = Self(Property::ContentType);
    /// Response Topic.
    pub const RESPONSE_TOPIC: Self = Self(Property::ResponseTopic);
    /// Correlation Data.
    pub const CORRELATION_DATA: Self = Self(Property::CorrelationData);
    /// Subscription Identifier.
    pub const SUBSCRIPTION_IDENTIFIER: Self = Self(Property::SubscriptionIdentifier);
    /// Session Expiry Interval.
    pub const SESSION_EXPIRY_INTERVAL: Self = Self(Property::SessionExpiryInterval);
    /// Assigned Client Identifier.
    pub const ASSIGNED_CLIENT_IDENTIFIER: Self = Self(Property::AssignedClientIdentifier);
    /// Server Keep Alive.
    pub const SERVER_KEEP_ALIVE: Self = Self(Property::ServerKeepAlive);
    /// Authentication Method.
    pub const AUTHENTICATION_METHOD: Self = Self(Property::AuthenticationMethod);
    /// Authentication Data.
    pub const AUTHENTICATION_DATA: Self = Self(Property::AuthenticationData);
    /// Request Problem Information.
    pub const REQUEST_PROBLEM_INFORMATION: Self = Self(Property::RequestProblemInformation);
    /// Will Delay Interval.
    pub const WILL_DELAY_INTERVAL: Self = Self(Property::WillDelayInterval);
    /// Request Response Information.
    pub const REQUEST_RESPONSE_INFORMATION: Self = Self(Property::RequestResponseInformation);
    /// Response Information.
    pub const RESPONSE_INFORMATION: Self = Self(Property::ResponseInformation);
    /// Server Reference.
    pub const SERVER_REFERENCE: Self = Self(Property::ServerReference);
    /// Reason String.
    pub const REASON_STRING: Self = Self(Property::ReasonString);
    /// Receive Maximum.
    pub const RECEIVE_MAXIMUM: Self = Self(Property::ReceiveMaximum);
    /// Topic Alias Maximum.
    pub const TOPIC_ALIAS_MAXIMUM: Self = Self(Property::TopicAliasMaximum);
    /// Topic Alias.
    pub const TOPIC_ALIAS: Self = Self(Property::TopicAlias);
    /// Maximum QoS.
    pub const MAXIMUM_QOS: Self = Self(Property::MaximumQoS);
    /// Retain Available.
    pub const RETAIN_AVAILABLE: Self = Self(Property::RetainAvailable);
    /// User Property.
    pub const USER_PROPERTY: Self = Self(Property::UserProperty);
    /// Maximum Packet Size.
    pub const MAXIMUM_PACKET_SIZE: Self = Self(Property::MaximumPacketSize);
    /// Wildcard Subscription Available.
    pub const WILDCARD_SUBSCRIPTION_AVAILABLE: Self = Self(Property::WildcardSubscriptionAvailable);
    /// Subscription Identifier Available.
    pub const SUBSCRIPTION_IDENTIFIER_AVAILABLE: Self =
        Self(Property::SubscriptionIdentifierAvailable);
    /// Shared Subscription Available.
    pub const SHARED_SUBSCRIPTION_AVAILABLE: Self = Self(Property::SharedSubscriptionAvailable);
}

impl PropertyName {
    /// The property of this name, such as `receive_maximum`; `None` if there is no such property.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Property::ALL
            .into_iter()
            .find(|property| {
                let own = property.name().bytes();
                own.map(|byte| if byte == b' ' { b'_' } else { byte })
                    .eq(name.bytes())
            })
            .map(Self)
    }

    /// How it is written.
    #[must_use]
    pub fn name(self) -> String {
        self.0.name().replace(' ', "_")
    }

    /// Whether a value of this kind is one of the property's.
    #[must_use]
    pub fn takes(self, value: &PropertyValue) -> bool {
        self.0.takes(value)
    }

    /// Whether its value is a number, and how large it may be.
    #[must_use]
    pub fn largest(self) -> Option<u32> {
        self.0.largest()
    }

    /// Whether its value is bytes.
    #[must_use]
    pub fn is_binary(self) -> bool {
        self.0.is_binary()
    }
}

/// What rules and the journal look at in every packet: little, and nothing is copied.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Glance<'a> {
    pub(crate) packet_id: Option<u16>,
    /// Topic Name of a PUBLISH; empty where an alias stands for it.
    pub(crate) topic: Option<&'a str>,
    pub(crate) topic_alias: Option<u16>,
    pub(crate) reason: Option<u8>,
    /// Client Identifier and protocol version of a CONNECT.
    pub(crate) client: Option<(&'a str, u8)>,
}

impl<'a> Glance<'a> {
    /// As much as can be read of the packet.
    pub(crate) fn at(frame: &Frame<'a>, version: Version) -> Self {
        let mut glance = Self::default();
        // What cannot be read is not there.
        let _ = glance.read(frame, version);
        glance
    }

    fn read(&mut self, frame: &Frame<'a>, version: Version) -> Result<(), DecodeError> {
        let mut cursor = Cursor::new(frame.body);
        match frame.packet_type {
            PacketType::Connect => {
                cursor.utf8("protocol name")?;
                let level = cursor.u8("protocol version")? & 0x7f;
                cursor.take(3, "connect flags and keep alive")?;
                if level == Version::V5.level() {
                    let len = cursor.variable_byte_integer("property length")?;
                    cursor.take(len as usize, "property section")?;
                }
                self.client = Some((cursor.utf8("client identifier")?, level));
            }
            PacketType::Connack => {
                cursor.u8("connect acknowledge flags")?;
                self.reason = Some(cursor.u8("reason code")?);
            }
            PacketType::Publish => {
                self.topic = Some(cursor.utf8("topic name")?);
                if frame.first >> 1 & 3 > 0 {
                    self.packet_id = Some(cursor.u16("packet identifier")?);
                }
                if version == Version::V5 {
                    self.topic_alias = read_topic_alias(&mut cursor)?;
                }
            }
            PacketType::Puback | PacketType::Pubrec | PacketType::Pubrel | PacketType::Pubcomp => {
                self.packet_id = Some(cursor.u16("packet identifier")?);
                self.reason = Some(match cursor.is_empty() {
                    true => 0,
                    false => cursor.u8("reason code")?,
                });
            }
            PacketType::Subscribe
            | PacketType::Suback
            | PacketType::Unsubscribe
            | PacketType::Unsuback => self.packet_id = Some(cursor.u16("packet identifier")?),
            PacketType::Disconnect | PacketType::Auth => {
                self.reason = Some(match cursor.is_empty() {
                    true => 0,
                    false => cursor.u8("reason code")?,
                });
            }
            PacketType::Pingreq | PacketType::Pingresp => {}
        }
        Ok(())
    }
}

fn read_topic_alias(cursor: &mut Cursor<'_>) -> Result<Option<u16>, DecodeError> {
    let len = cursor.variable_byte_integer("property length")?;
    let mut section = Cursor::new(cursor.take(len as usize, "property section")?);
    while !section.is_empty() {
        let id = section.u8("property identifier")?;
        let property = Property::from_id(id).ok_or(DecodeError::UnknownProperty { id })?;
        if property == Property::TopicAlias {
            return section.u16(property.name()).map(Some);
        }
        skip_value(&mut section, property)?;
    }
    Ok(None)
}

impl Packet {
    /// A packet of this type with nothing in it.
    #[must_use]
    pub fn new(packet_type: PacketType) -> Self {
        Self {
            packet_type,
            dup: false,
            qos: 0,
            retain: false,
            packet_id: None,
            topic: None,
            payload: Bytes::new(),
            reason: None,
            reasons: Vec::new(),
            session_present: false,
            filters: Vec::new(),
            connect: None,
            properties: Vec::new(),
        }
    }

    /// The same packet with this Packet Identifier.
    #[must_use]
    pub fn with_packet_id(mut self, packet_id: u16) -> Self {
        self.packet_id = Some(packet_id);
        self
    }

    /// The same packet with this Reason Code.
    #[must_use]
    pub fn with_reason(mut self, reason: u8) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The same packet with this topic, payload and QoS.
    #[must_use]
    pub fn with_message(
        mut self,
        topic: impl Into<String>,
        payload: impl Into<Bytes>,
        qos: u8,
    ) -> Self {
        self.topic = Some(topic.into());
        self.payload = payload.into();
        self.qos = qos;
        self
    }

    /// The same packet with a property, in place of those of its name; a User Property is added to them.
    #[must_use]
    pub fn with_property(mut self, name: PropertyName, value: impl Into<PropertyValue>) -> Self {
        self.set_property(name, value.into());
        self
    }

    /// Sets the property, in place of those of its name; a User Property is added to them.
    pub fn set_property(&mut self, name: PropertyName, value: PropertyValue) {
        if name.0 != Property::UserProperty {
            self.remove_property(name);
        }
        self.properties.push(PropertyField { name, value });
    }

    /// Takes the properties of this name out.
    pub fn remove_property(&mut self, name: PropertyName) {
        self.properties.retain(|property| property.name != name);
    }

    /// Takes a packet apart.
    pub(crate) fn read(frame: &Frame<'_>, version: Version) -> Result<Self, DecodeError> {
        let mut packet = Self::new(frame.packet_type);
        let mut cursor = Cursor::new(frame.body);
        packet.read_body(frame.first, &mut cursor, version)?;
        Ok(packet)
    }

    fn read_body(
        &mut self,
        first: u8,
        cursor: &mut Cursor<'_>,
        version: Version,
    ) -> Result<(), DecodeError> {
        let has_properties = version == Version::V5;
        match self.packet_type {
            PacketType::Connect => self.connect = Some(self.read_connect(cursor)?),
            PacketType::Connack => {
                self.session_present = cursor.u8("connect acknowledge flags")? & 1 > 0;
                self.reason = Some(cursor.u8("reason code")?);
                self.read_properties(cursor, has_properties && !cursor.is_empty())?;
            }
            PacketType::Publish => {
                self.dup = first & 8 > 0;
                self.qos = first >> 1 & 3;
                self.retain = first & 1 > 0;
                self.topic = Some(cursor.utf8("topic name")?.to_owned());
                if self.qos > 0 {
                    self.packet_id = Some(cursor.u16("packet identifier")?);
                }
                self.read_properties(cursor, has_properties)?;
                self.payload = Bytes::copy_from_slice(cursor.rest());
            }
            PacketType::Puback | PacketType::Pubrec | PacketType::Pubrel | PacketType::Pubcomp => {
                self.packet_id = Some(cursor.u16("packet identifier")?);
                self.read_reason(cursor)?;
            }
            PacketType::Subscribe | PacketType::Unsubscribe => {
                self.packet_id = Some(cursor.u16("packet identifier")?);
                self.read_properties(cursor, has_properties)?;
                while !cursor.is_empty() {
                    let filter = cursor.utf8("topic filter")?.to_owned();
                    let options = match self.packet_type {
                        PacketType::Subscribe => cursor.u8("subscription options")?,
                        _ => 0,
                    };
                    self.filters.push(FilterField { filter, options });
                }
            }
            PacketType::Suback | PacketType::Unsuback => {
                self.packet_id = Some(cursor.u16("packet identifier")?);
                self.read_properties(cursor, has_properties)?;
                self.reasons = cursor.rest().to_vec();
            }
            PacketType::Disconnect | PacketType::Auth => self.read_reason(cursor)?,
            PacketType::Pingreq | PacketType::Pingresp => {}
        }
        Ok(())
    }

    /// A Reason Code and properties, either of which may be left out at the end.
    fn read_reason(&mut self, cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
        if !cursor.is_empty() {
            self.reason = Some(cursor.u8("reason code")?);
            self.read_properties(cursor, !cursor.is_empty())?;
        }
        Ok(())
    }

    fn read_properties(
        &mut self,
        cursor: &mut Cursor<'_>,
        are_there: bool,
    ) -> Result<(), DecodeError> {
        if are_there {
            self.properties = read_properties(cursor)?;
        }
        Ok(())
    }

    fn read_connect(&mut self, cursor: &mut Cursor<'_>) -> Result<ConnectFields, DecodeError> {
        cursor.utf8("protocol name")?;
        let mut connect = ConnectFields {
            level: cursor.u8("protocol version")?,
            flags: cursor.u8("connect flags")?,
            keep_alive: cursor.u16("keep alive")?,
            ..ConnectFields::default()
        };
        // Bridges set the highest bit.
        let has_properties = connect.level & 0x7f == Version::V5.level();
        self.read_properties(cursor, has_properties)?;
        connect.client_id = cursor.utf8("client identifier")?.to_owned();
        if connect.flags & 0x04 > 0 {
            if has_properties {
                connect.will_properties = read_properties(cursor)?;
            }
            connect.will_topic = Some(cursor.utf8("will topic")?.to_owned());
            connect.will_payload = Some(Bytes::copy_from_slice(cursor.binary("will payload")?));
        }
        if connect.flags & 0x80 > 0 {
            connect.username = Some(cursor.utf8("user name")?.to_owned());
        }
        if connect.flags & 0x40 > 0 {
            connect.password_len = Some(cursor.binary("password")?.len());
        }
        Ok(connect)
    }

    /// Puts the packet together; `None` for a CONNECT, whose password is not known, and for one that the
    /// format has no room for.
    pub(crate) fn write(&self, version: Version) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        let mut first = self.packet_type.first_byte();
        match self.packet_type {
            PacketType::Connect => return None,
            PacketType::Connack => {
                body.push(u8::from(self.session_present));
                body.push(self.reason.unwrap_or_default());
                self.write_properties(&mut body, version);
            }
            PacketType::Publish => {
                first |= u8::from(self.dup) << 3 | (self.qos & 3) << 1 | u8::from(self.retain);
                write::utf8(&mut body, self.topic.as_deref().unwrap_or_default());
                if self.qos > 0 {
                    self.write_packet_id(&mut body);
                }
                self.write_properties(&mut body, version);
                body.extend_from_slice(&self.payload);
            }
            PacketType::Puback | PacketType::Pubrec | PacketType::Pubrel | PacketType::Pubcomp => {
                self.write_packet_id(&mut body);
                self.write_reason(&mut body, version);
            }
            PacketType::Subscribe | PacketType::Unsubscribe => {
                self.write_packet_id(&mut body);
                self.write_properties(&mut body, version);
                for FilterField { filter, options } in &self.filters {
                    write::utf8(&mut body, filter);
                    if self.packet_type == PacketType::Subscribe {
                        body.push(*options);
                    }
                }
            }
            PacketType::Suback | PacketType::Unsuback => {
                self.write_packet_id(&mut body);
                self.write_properties(&mut body, version);
                if self.packet_type == PacketType::Suback || version == Version::V5 {
                    body.extend_from_slice(&self.reasons);
                }
            }
            PacketType::Disconnect | PacketType::Auth => self.write_reason(&mut body, version),
            PacketType::Pingreq | PacketType::Pingresp => {}
        }
        if body.len() > MAX_PACKET_SIZE as usize - 5 {
            return None;
        }
        let mut out = Vec::new();
        write::packet(&mut out, first, &body);
        Some(out)
    }

    fn write_packet_id(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.packet_id.unwrap_or_default().to_be_bytes());
    }

    /// What is left out means Success, and MQTT 3.1.1 has neither of them.
    fn write_reason(&self, out: &mut Vec<u8>, version: Version) {
        let is_short = self.reason.is_none() && self.properties.is_empty();
        if version == Version::V5 && !is_short {
            out.push(self.reason.unwrap_or_default());
            // Of AUTH, both are left out or none (section 3.15.2.1).
            if !self.properties.is_empty() || self.packet_type == PacketType::Auth {
                self.write_properties(out, version);
            }
        }
    }

    fn write_properties(&self, out: &mut Vec<u8>, version: Version) {
        if version == Version::V5 {
            write::properties(out, |section| {
                for PropertyField { name, value } in &self.properties {
                    write_property(section, name.0, value);
                }
            });
        }
    }
}

fn read_properties(cursor: &mut Cursor<'_>) -> Result<Vec<PropertyField>, DecodeError> {
    let len = cursor.variable_byte_integer("property length")?;
    let mut section = Cursor::new(cursor.take(len as usize, "property section")?);
    let mut properties = Vec::new();
    while !section.is_empty() {
        let id = section.u8("property identifier")?;
        let property = Property::from_id(id).ok_or(DecodeError::UnknownProperty { id })?;
        properties.push(PropertyField {
            name: PropertyName(property),
            value: read_value(&mut section, property)?,
        });
    }
    Ok(properties)
}

fn write_property(out: &mut Vec<u8>, property: Property, value: &PropertyValue) {
    out.push(property as u8);
    match value {
        PropertyValue::Number(number) => property.write_number(out, *number),
        PropertyValue::Text(text) => write::utf8(out, text),
        PropertyValue::Binary(bytes) => write::binary(out, bytes),
        PropertyValue::Pair(name, value) => {
            write::utf8(out, name);
            write::utf8(out, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Split, split};
    use super::*;

    fn read(bytes: &[u8], version: Version) -> Packet {
        let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
            panic!("no packet in {bytes:02x?}");
        };
        Packet::read(&frame, version).expect("a packet")
    }

    fn property(name: &str, value: PropertyValue) -> PropertyField {
        let name = PropertyName::parse(name).expect("a property");
        PropertyField { name, value }
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let cases: [(&[u8], Version); 12] = [
            (b"\x20\x02\x01\x05", Version::V311),
            (b"\x20\x08\x01\x00\x05\x21\x00\x14\x24\x01", Version::V5),
            (b"\x3d\x06\x00\x01a\x00\x07x", Version::V311),
            (
                b"\x32\x0d\x00\x01a\x00\x07\x07\x26\x00\x01n\x00\x01v",
                Version::V5,
            ),
            (b"\x40\x02\x00\x07", Version::V5),
            (b"\x40\x03\x00\x07\x97", Version::V5),
            (b"\x62\x02\x00\x07", Version::V311),
            (b"\x82\x08\x00\x01\x02\x0b\x05\x00\x00\x01", Version::V5),
            (b"\x90\x05\x00\x01\x00\x01\x80", Version::V5),
            (b"\xb0\x02\x00\x01", Version::V311),
            (b"\xd0\x00", Version::V5),
            (b"\xe0\x07\x8b\x05\x1f\x00\x02no", Version::V5),
        ];
        for (bytes, version) in cases {
            assert_eq!(read(bytes, version).write(version).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn fields_of_a_connack_are_named() {
        let packet = read(b"\x20\x08\x01\x00\x05\x21\x00\x14\x24\x01", Version::V5);
        assert!(packet.session_present);
        assert_eq!(packet.reason, Some(0));
        assert_eq!(
            packet.properties,
            [
                property("receive_maximum", PropertyValue::Number(20)),
                property("maximum_qos", PropertyValue::Number(1)),
            ]
        );
    }

    #[test]
    fn connect_keeps_its_password_to_itself() {
        let bytes = b"\x10\x18\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x01c\x00\x04user\x00\x02pw";
        let packet = read(bytes, Version::V5);
        let connect = packet.connect.as_ref().expect("fields of CONNECT");
        assert_eq!((connect.level, connect.keep_alive), (5, 60));
        assert_eq!(connect.client_id, "c");
        assert_eq!(connect.username.as_deref(), Some("user"));
        assert_eq!(connect.password_len, Some(2));
        assert_eq!(packet.write(Version::V5), None);
    }

    #[test]
    fn property_that_is_set_takes_the_place_of_the_one_before() {
        let mut packet = Packet::new(PacketType::Connack);
        let name = PropertyName::parse("receive_maximum").expect("a property");
        packet.set_property(name, PropertyValue::Number(20));
        packet.set_property(name, PropertyValue::Number(1));
        let pair = |n: &str| PropertyValue::Pair(n.to_owned(), String::new());
        let user = PropertyName::parse("user_property").expect("a property");
        packet.set_property(user, pair("a"));
        packet.set_property(user, pair("b"));
        assert_eq!(packet.properties.len(), 3);
        let bytes = packet.write(Version::V5).expect("a packet");
        assert_eq!(read(&bytes, Version::V5), {
            let mut same = packet.clone();
            same.reason = Some(0);
            same
        });
        assert_eq!(packet.write(Version::V311), Some(vec![0x20, 2, 0, 0]));
    }

    #[test]
    fn values_fit_their_properties() {
        let takes = |name: &str, value| PropertyName::parse(name).expect("known").takes(&value);
        assert!(takes("receive_maximum", PropertyValue::Number(65_535)));
        assert!(!takes("receive_maximum", PropertyValue::Number(65_536)));
        assert!(!takes(
            "receive_maximum",
            PropertyValue::Text(String::new())
        ));
        assert!(
            takes("maximum_qos", PropertyValue::Number(255)),
            "wrong on purpose"
        );
        assert!(takes("reason_string", PropertyValue::Text("why".into())));
        for (len, fits) in [(65_535, true), (65_536, false)] {
            let text = "x".repeat(len);
            assert_eq!(
                takes(
                    "correlation_data",
                    PropertyValue::Binary(text.clone().into())
                ),
                fits
            );
            assert_eq!(
                takes(
                    "user_property",
                    PropertyValue::Pair(String::new(), text.clone())
                ),
                fits
            );
            assert_eq!(
                takes(
                    "user_property",
                    PropertyValue::Pair(text.clone(), String::new())
                ),
                fits
            );
            assert_eq!(takes("reason_string", PropertyValue::Text(text)), fits);
        }
        assert!(PropertyName::parse("Reason String").is_none());
    }
}
