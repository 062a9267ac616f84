//! The properties of MQTT 5 (section 2.2.2): what they are called, what type their value has, in
//! which packets they may appear, and how a property section is read.

use std::fmt;

use bytes::Bytes;

use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_type::PacketType;
use super::write;

macro_rules! properties {
    ($($id:literal $variant:ident $name:literal $value:ident [$($section:ident)+];)+) => {
        /// A property; the discriminant is its identifier.
        #[expect(clippy::enum_variant_names, reason = "the standard says User Property")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Property {
            $($variant = $id,)+
        }

        impl Property {
            /// Every property, in the order of the identifiers.
            pub(super) const ALL: [Self; [$($id),+].len()] = [$(Self::$variant),+];

            /// The property that an identifier stands for.
            #[inline]
            pub(super) const fn from_id(id: u8) -> Option<Self> {
                match id {
                    $($id => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The name in the standard, in lower case.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            #[inline]
            const fn value_type(self) -> ValueType {
                match self {
                    $(Self::$variant => ValueType::$value,)+
                }
            }

            /// One bit for each section that may hold the property.
            #[inline]
            const fn sections(self) -> u16 {
                match self {
                    $(Self::$variant => $(Section::$section.bit())|+,)+
                }
            }
        }
    };
}

properties! {
    0x01 PayloadFormatIndicator "payload format indicator" Flag [Publish Will];
    0x02 MessageExpiryInterval "message expiry interval" U32 [Publish Will];
    0x03 ContentType "content type" Utf8 [Publish Will];
    0x08 ResponseTopic "response topic" Utf8 [Publish Will];
    0x09 CorrelationData "correlation data" Binary [Publish Will];
    0x0b SubscriptionIdentifier "subscription identifier" VariableByteInteger [Publish Subscribe];
    0x11 SessionExpiryInterval "session expiry interval" U32 [Connect Connack Disconnect];
    0x12 AssignedClientIdentifier "assigned client identifier" Utf8 [Connack];
    0x13 ServerKeepAlive "server keep alive" U16 [Connack];
    0x15 AuthenticationMethod "authentication method" Utf8 [Connect Connack Auth];
    0x16 AuthenticationData "authentication data" Binary [Connect Connack Auth];
    0x17 RequestProblemInformation "request problem information" Flag [Connect];
    0x18 WillDelayInterval "will delay interval" U32 [Will];
    0x19 RequestResponseInformation "request response information" Flag [Connect];
    0x1a ResponseInformation "response information" Utf8 [Connack];
    0x1c ServerReference "server reference" Utf8 [Connack Disconnect];
    0x1f ReasonString "reason string" Utf8
        [Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth];
    0x21 ReceiveMaximum "receive maximum" U16 [Connect Connack];
    0x22 TopicAliasMaximum "topic alias maximum" U16 [Connect Connack];
    0x23 TopicAlias "topic alias" U16 [Publish];
    0x24 MaximumQoS "maximum qos" Flag [Connack];
    0x25 RetainAvailable "retain available" Flag [Connack];
    0x26 UserProperty "user property" Utf8Pair
        [Connect Will Connack Publish Puback Pubrec Pubrel Pubcomp
         Subscribe Suback Unsubscribe Unsuback Disconnect Auth];
    0x27 MaximumPacketSize "maximum packet size" U32 [Connect Connack];
    0x28 WildcardSubscriptionAvailable "wildcard subscription available" Flag [Connack];
    0x29 SubscriptionIdentifierAvailable "subscription identifier available" Flag [Connack];
    0x2a SharedSubscriptionAvailable "shared subscription available" Flag [Connack];
}

impl Property {
    /// The largest number that the property can hold; `None` where its value is none.
    pub(super) fn largest(self) -> Option<u32> {
        match self.value_type() {
            ValueType::Flag => Some(u8::MAX.into()),
            ValueType::U16 => Some(u16::MAX.into()),
            ValueType::U32 => Some(u32::MAX),
            ValueType::VariableByteInteger => Some(0x0fff_ffff),
            ValueType::Utf8 | ValueType::Utf8Pair | ValueType::Binary => None,
        }
    }

    pub(super) fn is_binary(self) -> bool {
        matches!(self.value_type(), ValueType::Binary)
    }

    /// Whether the format can hold the value there.
    pub(super) fn takes(self, value: &PropertyValue) -> bool {
        match value {
            PropertyValue::Number(number) => self.largest().is_some_and(|most| *number <= most),
            PropertyValue::Text(text) => {
                matches!(self.value_type(), ValueType::Utf8) && write::fits(text)
            }
            PropertyValue::Binary(bytes) => self.is_binary() && write::fits(bytes),
            PropertyValue::Pair(name, value) => {
                let is_pair = matches!(self.value_type(), ValueType::Utf8Pair);
                is_pair && write::fits(name) && write::fits(value)
            }
        }
    }

    /// Appends a number in the form that the property has.
    pub(super) fn write_number(self, out: &mut Vec<u8>, number: u32) {
        match self.value_type() {
            ValueType::Flag => out.push(number as u8),
            ValueType::U16 => out.extend_from_slice(&(number as u16).to_be_bytes()),
            ValueType::U32 => out.extend_from_slice(&number.to_be_bytes()),
            _ => write::variable_byte_integer(out, number as usize),
        }
    }

    /// User Properties repeat everywhere; a PUBLISH from the server has the identifiers of all
    /// subscriptions that it matched (MQTT-3.3.4-4).
    #[inline]
    const fn may_repeat_in(self, section: Section) -> bool {
        matches!(
            (self, section),
            (Self::UserProperty, _) | (Self::SubscriptionIdentifier, Section::Publish)
        )
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// A number, or a flag of 0 or 1.
    Number(u32),
    /// A string.
    Text(String),
    /// Binary data.
    Binary(Bytes),
    /// Name and value of a User Property.
    Pair(String, String),
}

impl From<u32> for PropertyValue {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for PropertyValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for PropertyValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for PropertyValue {
    fn from(data: Bytes) -> Self {
        Self::Binary(data)
    }
}

impl From<(&str, &str)> for PropertyValue {
    fn from((name, value): (&str, &str)) -> Self {
        Self::Pair(name.to_owned(), value.to_owned())
    }
}

/// Reads the value of a property, whatever packet it is in.
pub(super) fn read_value(
    cursor: &mut Cursor<'_>,
    property: Property,
) -> Result<PropertyValue, DecodeError> {
    let name = property.name();
    Ok(match property.value_type() {
        ValueType::Flag => PropertyValue::Number(cursor.u8(name)?.into()),
        ValueType::U16 => PropertyValue::Number(cursor.u16(name)?.into()),
        ValueType::U32 => PropertyValue::Number(cursor.u32(name)?),
        ValueType::VariableByteInteger => {
            PropertyValue::Number(cursor.variable_byte_integer(name)?)
        }
        ValueType::Utf8 => PropertyValue::Text(cursor.utf8(name)?.to_owned()),
        ValueType::Binary => PropertyValue::Binary(Bytes::copy_from_slice(cursor.binary(name)?)),
        ValueType::Utf8Pair => {
            let (name, value) = utf8_pair(cursor)?;
            PropertyValue::Pair(name.to_owned(), value.to_owned())
        }
    })
}

/// The types that a property value can have. `Flag` is a byte that is 0 or 1.
#[derive(Clone, Copy)]
enum ValueType {
    Flag,
    U16,
    U32,
    VariableByteInteger,
    Utf8,
    Utf8Pair,
    Binary,
}

/// A place for properties: the packets that have a property section, and the will in CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Section {
    Connect,
    Will,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Disconnect,
    Auth,
}

impl Section {
    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => PacketType::Connect.name(),
            Self::Will => "the will",
            Self::Connack => PacketType::Connack.name(),
            Self::Publish => PacketType::Publish.name(),
            Self::Puback => PacketType::Puback.name(),
            Self::Pubrec => PacketType::Pubrec.name(),
            Self::Pubrel => PacketType::Pubrel.name(),
            Self::Pubcomp => PacketType::Pubcomp.name(),
            Self::Subscribe => PacketType::Subscribe.name(),
            Self::Suback => PacketType::Suback.name(),
            Self::Unsubscribe => PacketType::Unsubscribe.name(),
            Self::Unsuback => PacketType::Unsuback.name(),
            Self::Disconnect => PacketType::Disconnect.name(),
            Self::Auth => PacketType::Auth.name(),
        })
    }
}

/// Reads a property section from front to back. After [`PropertyReader::next`] the caller reads
/// the value with the method for its type, or skips it.
pub(super) struct PropertyReader<'a> {
    cursor: Cursor<'a>,
    section: Section,
    /// One bit for each identifier that was met; the largest is 0x2a.
    seen: u64,
}

impl<'a> PropertyReader<'a> {
    /// Reads the Property Length and takes that many bytes from `packet`.
    #[inline]
    pub(super) fn open(packet: &mut Cursor<'a>, section: Section) -> Result<Self, DecodeError> {
        let len = packet.variable_byte_integer("property length")?;
        let raw = packet.take(len as usize, "property section")?;
        Ok(Self::over(raw, section))
    }

    /// Reads `raw`, a property section without its length.
    #[inline]
    pub(super) const fn over(raw: &'a [u8], section: Section) -> Self {
        Self {
            cursor: Cursor::new(raw),
            section,
            seen: 0,
        }
    }

    /// The bytes that were not read; right after `open` the whole section without its length.
    #[inline]
    pub(super) const fn raw(&self) -> &'a [u8] {
        self.cursor.rest()
    }

    /// The next property, or `None` at the end of the section. Checks that it may be here and,
    /// unless it may repeat, that it is the first of its kind.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Property>, DecodeError> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        // An identifier is a Variable Byte Integer, but all that are defined take one byte.
        let id = self.cursor.u8("property identifier")?;
        let property = Property::from_id(id).ok_or(DecodeError::UnknownProperty { id })?;
        if property.sections() & self.section.bit() == 0 {
            return Err(DecodeError::IllegalProperty {
                property,
                section: self.section,
            });
        }
        let bit = 1 << id;
        if self.seen & bit != 0 && !property.may_repeat_in(self.section) {
            return Err(DecodeError::DuplicateProperty { property });
        }
        self.seen |= bit;
        Ok(Some(property))
    }

    #[inline]
    pub(super) fn flag(&mut self, property: Property) -> Result<bool, DecodeError> {
        match self.cursor.u8(property.name())? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::PropertyValue {
                property,
                value: value.into(),
            }),
        }
    }

    #[inline]
    pub(super) fn u16(&mut self, property: Property) -> Result<u16, DecodeError> {
        self.cursor.u16(property.name())
    }

    /// A `u16` that the standard does not allow to be 0.
    pub(super) fn positive_u16(&mut self, property: Property) -> Result<u16, DecodeError> {
        match self.u16(property)? {
            0 => Err(DecodeError::PropertyValue { property, value: 0 }),
            value => Ok(value),
        }
    }

    #[inline]
    pub(super) fn u32(&mut self, property: Property) -> Result<u32, DecodeError> {
        self.cursor.u32(property.name())
    }

    /// A `u32` that the standard does not allow to be 0.
    pub(super) fn positive_u32(&mut self, property: Property) -> Result<u32, DecodeError> {
        match self.u32(property)? {
            0 => Err(DecodeError::PropertyValue { property, value: 0 }),
            value => Ok(value),
        }
    }

    /// A Variable Byte Integer that the standard does not allow to be 0.
    pub(super) fn positive_variable_byte_integer(
        &mut self,
        property: Property,
    ) -> Result<u32, DecodeError> {
        match self.cursor.variable_byte_integer(property.name())? {
            0 => Err(DecodeError::PropertyValue { property, value: 0 }),
            value => Ok(value),
        }
    }

    #[inline]
    pub(super) fn utf8(&mut self, property: Property) -> Result<&'a str, DecodeError> {
        self.cursor.utf8(property.name())
    }

    #[inline]
    pub(super) fn binary(&mut self, property: Property) -> Result<&'a [u8], DecodeError> {
        self.cursor.binary(property.name())
    }

    /// The name and value of a User Property (MQTT-1.5.7-1).
    #[inline]
    pub(super) fn user_property(&mut self) -> Result<(&'a str, &'a str), DecodeError> {
        utf8_pair(&mut self.cursor)
    }

    /// Reads a value for its format only.
    pub(super) fn skip(&mut self, property: Property) -> Result<(), DecodeError> {
        if let ValueType::Flag = property.value_type() {
            return self.flag(property).map(drop);
        }
        skip_value(&mut self.cursor, property)
    }
}

/// The User Properties of a packet, in the order in which they were sent.
#[derive(Clone, Copy, Default)]
pub(crate) struct UserProperties<'a> {
    /// A property section that was checked.
    raw: &'a [u8],
}

impl<'a> UserProperties<'a> {
    /// `raw` is a property section that was read to its end without error.
    #[inline]
    pub(super) const fn new(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// Walks over names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        CheckedSection::new(self.raw)
            .filter(|&(property, _)| property == Property::UserProperty)
            .filter_map(|(_, value)| utf8_pair(&mut Cursor::new(value)).ok())
    }
}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

/// The Subscription Identifiers in the property section `raw` of a PUBLISH that was checked.
#[cfg(any(test, fuzzing, feature = "http"))]
pub(super) fn subscription_ids(raw: &[u8]) -> impl Iterator<Item = u32> + '_ {
    CheckedSection::new(raw)
        .filter(|&(property, _)| property == Property::SubscriptionIdentifier)
        .filter_map(|(property, value)| {
            Cursor::new(value)
                .variable_byte_integer(property.name())
                .ok()
        })
}

/// Copies the property section `raw`, which was checked, to `out` without the properties that
/// `dropped` picks. Order is kept (MQTT-3.3.2-18, MQTT-3.1.3-10).
pub(super) fn copy_without(raw: &[u8], out: &mut Vec<u8>, dropped: impl Fn(Property) -> bool) {
    out.reserve(raw.len());
    for (property, value) in CheckedSection::new(raw) {
        if !dropped(property) {
            out.push(property as u8);
            out.extend_from_slice(value);
        }
    }
}

/// Walks over the properties of a section that was checked: each with the bytes of its value.
/// Ends at what it cannot read, which a checked section does not hold.
struct CheckedSection<'a> {
    cursor: Cursor<'a>,
}

impl<'a> CheckedSection<'a> {
    const fn new(raw: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(raw),
        }
    }
}

impl<'a> Iterator for CheckedSection<'a> {
    type Item = (Property, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.cursor.u8("property identifier").ok()?;
        let property = Property::from_id(id)?;
        let start = self.cursor.rest();
        skip_value(&mut self.cursor, property).ok()?;
        let len = start.len() - self.cursor.rest().len();
        Some((property, start.get(..len)?))
    }
}

pub(super) fn skip_value(cursor: &mut Cursor<'_>, property: Property) -> Result<(), DecodeError> {
    let name = property.name();
    match property.value_type() {
        ValueType::Flag => cursor.u8(name).map(drop),
        ValueType::U16 => cursor.u16(name).map(drop),
        ValueType::U32 => cursor.u32(name).map(drop),
        ValueType::VariableByteInteger => cursor.variable_byte_integer(name).map(drop),
        ValueType::Utf8 => cursor.utf8(name).map(drop),
        ValueType::Utf8Pair => utf8_pair(cursor).map(drop),
        ValueType::Binary => cursor.binary(name).map(drop),
    }
}

#[inline]
fn utf8_pair<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, &'a str), DecodeError> {
    Ok((
        cursor.utf8("user property name")?,
        cursor.utf8("user property value")?,
    ))
}
