//! Packets in JSON: as the journal shows them, and as rules are given them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::codec::{
    FilterField, PacketFields, PacketType, PropertyField, PropertyName, PropertyValue, fits,
};
use crate::tap::rule::{Direction, Injected};

use super::super::error::{ApiError, excerpt};

/// A packet as an object; what it does not have is left out.
pub(super) fn show(packet: &PacketFields) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        shown.insert(name.to_owned(), value);
    };
    put("type", packet.packet_type.name().into());
    if let Some(id) = packet.packet_id {
        put("packet_id", id.into());
    }
    if packet.packet_type == PacketType::Publish {
        put("dup", packet.dup.into());
        put("qos", packet.qos.into());
        put("retain", packet.retain.into());
        put("topic", packet.topic.as_deref().unwrap_or_default().into());
        let (name, value) = bytes("payload", &packet.payload);
        put(&name, value);
    }
    if packet.packet_type == PacketType::Connack {
        put("session_present", packet.session_present.into());
    }
    if let Some(reason) = packet.reason {
        put("reason", reason.into());
    }
    match packet.packet_type {
        PacketType::Suback | PacketType::Unsuback => {
            put("reasons", packet.reasons.as_slice().into())
        }
        PacketType::Subscribe => {
            let filters = packet.filters.iter().map(|own| {
                json!({
                    "filter": own.filter,
                    "qos": own.options & 3,
                    "no_local": own.options & 4 > 0,
                    "retain_as_published": own.options & 8 > 0,
                    "retain_handling": own.options >> 4 & 3,
                })
            });
            put("filters", filters.collect());
        }
        PacketType::Unsubscribe => {
            put(
                "filters",
                packet
                    .filters
                    .iter()
                    .map(|own| own.filter.as_str())
                    .collect(),
            );
        }
        _ => {}
    }
    if let Some(connect) = &packet.connect {
        put("protocol", connect.level.into());
        put("client_id", connect.client_id.as_str().into());
        put("clean_start", (connect.flags & 2 > 0).into());
        put("keep_alive", connect.keep_alive.into());
        if let Some(username) = &connect.username {
            put("username", username.as_str().into());
        }
        if let Some(length) = connect.password_len {
            put("password_bytes", length.into());
        }
        if let Some(topic) = &connect.will_topic {
            let mut will = Map::new();
            will.insert("topic".into(), topic.as_str().into());
            will.insert("qos".into(), (connect.flags >> 3 & 3).into());
            will.insert("retain".into(), (connect.flags & 0x20 > 0).into());
            let (name, value) = bytes(
                "payload",
                connect.will_payload.as_deref().unwrap_or_default(),
            );
            will.insert(name, value);
            if !connect.will_properties.is_empty() {
                will.insert("properties".into(), properties(&connect.will_properties));
            }
            put("will", will.into());
        }
    }
    if !packet.properties.is_empty() {
        put("properties", properties(&packet.properties));
    }
    shown
}

/// A packet in few words: what it is, and what it is about.
pub(super) fn in_words(packet: &PacketFields) -> (String, String) {
    let mut what = packet.packet_type.name().to_owned();
    if packet.packet_type == PacketType::Publish {
        what += &format!(" q{}", packet.qos);
        what += if packet.dup { " dup" } else { "" };
        what += if packet.retain { " retain" } else { "" };
    }
    let codes = packet.reason.iter().filter(|code| **code > 0);
    for code in codes.chain(&packet.reasons) {
        what += &format!(" {code:#04x}");
    }
    what += if packet.session_present {
        " session present"
    } else {
        ""
    };
    let about = match (&packet.topic, &packet.connect) {
        (Some(topic), _) => topic.clone(),
        (None, Some(connect)) => connect.client_id.clone(),
        (None, None) => {
            let filters = packet.filters.iter().map(|own| own.filter.as_str());
            filters.collect::<Vec<_>>().join(" ")
        }
    };
    (what, about)
}

/// Bytes as text where they are text, else in base64 under another name.
fn bytes(name: &str, bytes: &[u8]) -> (String, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text.into()),
        Err(_) => (format!("{name}_base64"), STANDARD.encode(bytes).into()),
    }
}

/// Properties by name; those that may repeat are lists.
fn properties(all: &[PropertyField]) -> Value {
    let mut shown = Map::new();
    for PropertyField { name, value } in all {
        let name = name.name();
        let value = match value {
            PropertyValue::Number(number) => Value::from(*number),
            PropertyValue::Text(text) => text.as_str().into(),
            PropertyValue::Binary(bytes) => STANDARD.encode(bytes).into(),
            PropertyValue::Pair(name, value) => json!([name, value]),
        };
        let may_repeat = matches!(name.as_str(), "user_property" | "subscription_identifier");
        match shown.entry(name).or_insert_with(|| json!([])) {
            Value::Array(list) if may_repeat => list.push(value),
            entry => *entry = value,
        }
    }
    shown.into()
}

/// What is wrong with a text that no packet can have.
pub(super) const TOO_LONG: &str = "has more than 65,535 bytes";

/// A packet that is to be made, by its fields.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PacketBody {
    #[serde(rename = "type")]
    packet_type: Option<TypeName>,
    dup: bool,
    qos: u8,
    retain: bool,
    packet_id: Option<u16>,
    topic: Option<String>,
    payload: Option<String>,
    payload_base64: Option<String>,
    reason: Option<Code>,
    reasons: Vec<u8>,
    session_present: bool,
    filters: Vec<FilterBody>,
    properties: Map<String, Value>,
}

/// A filter with its options, as [`show`] has it, or the filter alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterOptions {
    pub(super) filter: String,
    #[serde(default)]
    pub(super) qos: u8,
    #[serde(default)]
    pub(super) no_local: bool,
    #[serde(default)]
    pub(super) retain_as_published: bool,
    #[serde(default)]
    pub(super) retain_handling: u8,
}

struct FilterBody(FilterOptions);

impl<'de> Deserialize<'de> for FilterBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = FilterBody;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a filter, or an object with one")
            }

            fn visit_str<E: serde::de::Error>(self, filter: &str) -> Result<FilterBody, E> {
                Ok(FilterBody(FilterOptions {
                    filter: filter.to_owned(),
                    qos: 0,
                    no_local: false,
                    retain_as_published: false,
                    retain_handling: 0,
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FilterBody, A::Error> {
                FilterOptions::deserialize(MapAccessDeserializer::new(map)).map(FilterBody)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl FilterOptions {
    /// The byte behind the filter. Two bits hold a QoS and a Retain Handling, and so what the standard forbids
    /// (MQTT-3.8.3-5).
    ///
    /// # Errors
    ///
    /// 400 for a number that takes more than its bits.
    fn bits(&self, at: &str) -> Result<u8, ApiError> {
        for (field, value) in [("qos", self.qos), ("retain_handling", self.retain_handling)] {
            if value > 3 {
                return Err(ApiError::invalid(format!("{at}.{field}"), "is not 0 to 3"));
            }
        }
        let flags = u8::from(self.no_local) << 2 | u8::from(self.retain_as_published) << 3;
        Ok(self.qos | flags | self.retain_handling << 4)
    }
}

impl PacketBody {
    /// The packet.
    ///
    /// # Errors
    ///
    /// 400 for a field that is wrong; `at` is where the packet stands in the body.
    pub(super) fn packet(&self, at: &str) -> Result<PacketFields, ApiError> {
        let wrong = |field: &str, error: &str| ApiError::invalid(format!("{at}.{field}"), error);
        let Some(TypeName(packet_type)) = self.packet_type else {
            return Err(wrong("type", "the packet has no type"));
        };
        if packet_type == PacketType::Connect {
            return Err(wrong("type", "a CONNECT can be given as bytes only"));
        }
        if self.qos > 2 {
            return Err(wrong("qos", "is not 0, 1 or 2"));
        }
        let mut packet = PacketFields::new(packet_type);
        packet.dup = self.dup;
        packet.qos = self.qos;
        packet.retain = self.retain;
        packet.packet_id = self.packet_id;
        if self.topic.as_ref().is_some_and(|topic| !fits(topic)) {
            return Err(wrong("topic", TOO_LONG));
        }
        packet.topic.clone_from(&self.topic);
        packet.reason = self.reason.map(|Code(code)| code);
        packet.reasons.clone_from(&self.reasons);
        packet.session_present = self.session_present;
        if let Some(payload) = payload(self.payload.as_deref(), self.payload_base64.as_deref(), at)?
        {
            packet.payload = payload;
        }
        for (number, FilterBody(own)) in self.filters.iter().enumerate() {
            let options = own.bits(&format!("{at}.filters[{number}]"))?;
            if !fits(&own.filter) {
                return Err(wrong(&format!("filters[{number}].filter"), TOO_LONG));
            }
            packet
                .filters
                .push(FilterField::new(own.filter.clone(), options));
        }
        for (name, value) in self.read_properties(at)? {
            packet.set_property(name, value);
        }
        Ok(packet)
    }

    fn read_properties(&self, at: &str) -> Result<Vec<(PropertyName, PropertyValue)>, ApiError> {
        read_values(&self.properties, &format!("{at}.properties"))
    }
}

/// A payload as text or in base64.
pub(super) fn payload(
    text: Option<&str>,
    base64: Option<&str>,
    at: &str,
) -> Result<Option<Bytes>, ApiError> {
    match (text, base64) {
        (Some(_), Some(_)) => {
            let field = format!("{at}.payload_base64");
            Err(ApiError::invalid(field, "payload is given twice"))
        }
        (Some(text), None) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        (None, Some(base64)) => from_base64(base64, &format!("{at}.payload_base64")).map(Some),
        (None, None) => Ok(None),
    }
}

fn from_base64(text: &str, field: &str) -> Result<Bytes, ApiError> {
    let decoded = STANDARD.decode(text);
    let invalid =
        |error: base64::DecodeError| ApiError::invalid(field.to_owned(), error.to_string());
    decoded.map(Bytes::from).map_err(invalid)
}

/// Properties with their values; `at` is where they stand.
///
/// # Errors
///
/// 400 for one that there is not, and for a value that is not one of the property's.
pub(super) fn read_values(
    given: &Map<String, Value>,
    at: &str,
) -> Result<Vec<(PropertyName, PropertyValue)>, ApiError> {
    let mut read = Vec::new();
    for (name, value) in read_properties(given, at)? {
        let Some(value) = value else {
            let field = format!("{at}.{}", name.name());
            return Err(ApiError::invalid(field, wanted(name)));
        };
        read.push((name, value));
    }
    Ok(read)
}

/// Properties with their values, or with null for those that are to go; `at` is where they stand.
///
/// # Errors
///
/// Those of [`read_values`], but for null.
pub(super) fn read_properties(
    given: &Map<String, Value>,
    at: &str,
) -> Result<Vec<(PropertyName, Option<PropertyValue>)>, ApiError> {
    let mut read = Vec::new();
    for (key, value) in given {
        let field = format!("{at}.{}", excerpt(key));
        let Some(name) = PropertyName::parse(key) else {
            return Err(ApiError::invalid(
                field,
                "there is no property of this name",
            ));
        };
        // Those that may repeat come as they are shown: in a list.
        let list = match (name, value) {
            (PropertyName::USER_PROPERTY, Value::Array(list)) => {
                Some(list).filter(|list| list.iter().all(Value::is_array))
            }
            (PropertyName::SUBSCRIPTION_IDENTIFIER, Value::Array(list)) => Some(list),
            _ => None,
        };
        let Some(list) = list else {
            read.push((name, read_value(name, value, &field)?));
            continue;
        };
        for value in list {
            let found = read_value(name, value, &field)?;
            let found = found.ok_or_else(|| ApiError::invalid(field.clone(), wanted(name)))?;
            read.push((name, Some(found)));
        }
    }
    Ok(read)
}

fn read_value(
    name: PropertyName,
    value: &Value,
    field: &str,
) -> Result<Option<PropertyValue>, ApiError> {
    let read = match value {
        Value::Null => return Ok(None),
        Value::Bool(flag) => {
            let is_flag = name.largest() == Some(u8::MAX.into());
            is_flag.then_some(PropertyValue::Number((*flag).into()))
        }
        Value::Number(number) => {
            let number = number
                .as_u64()
                .and_then(|number| u32::try_from(number).ok());
            number.map(PropertyValue::Number)
        }
        Value::String(text) if name.is_binary() => {
            Some(PropertyValue::Binary(from_base64(text, field)?))
        }
        Value::String(text) => Some(PropertyValue::Text(text.clone())),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(name), Value::String(value)] => {
                Some(PropertyValue::Pair(name.clone(), value.clone()))
            }
            _ => None,
        },
        Value::Object(_) => None,
    };
    match read.filter(|value| name.takes(value)) {
        Some(value) => Ok(Some(value)),
        None => Err(ApiError::invalid(field.to_owned(), wanted(name))),
    }
}

/// What the value of a property has to be.
fn wanted(name: PropertyName) -> String {
    match name.largest() {
        Some(most) => format!("is no number from 0 to {most}"),
        None if name.is_binary() => "is no text in base64 of 65,535 bytes at most".to_owned(),
        None if name.takes(&PropertyValue::Text(String::new())) => {
            "is no text of 65,535 bytes at most".to_owned()
        }
        None => "is no pair of a name and a value of 65,535 bytes at most each".to_owned(),
    }
}

/// The type of a packet, as the standard writes it.
#[derive(Clone, Copy)]
pub(super) struct TypeName(pub(super) PacketType);

impl TypeName {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut all = PacketType::ALL.into_iter();
        all.find(|own| own.name() == text).map(Self)
    }
}

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let text = excerpt(&text);
            serde::de::Error::custom(format!("'{text}' is no packet type, such as PUBLISH"))
        })
    }
}

/// `in` or `out`.
#[derive(Clone, Copy)]
pub(super) struct DirectionName(pub(super) Direction);

impl DirectionName {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "in" => Some(Self(Direction::In)),
            "out" => Some(Self(Direction::Out)),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for DirectionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let text = excerpt(&text);
            serde::de::Error::custom(format!("'{text}' is not in or out"))
        })
    }
}

/// A Reason Code: a number, or a text such as `0x97`, in one or two digits, or `151`.
#[derive(Clone, Copy)]
pub(super) struct Code(pub(super) u8);

impl Code {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let code = match hexadecimal {
            // A sign is none of the digits, and neither is a zero in front.
            Some(digits) if digits.len() > 2 || digits.starts_with('+') => return None,
            Some(digits) => u8::from_str_radix(digits, 16),
            None if text.starts_with('+') => return None,
            None if text.starts_with('0') && text.len() > 1 => return None,
            None => text.parse(),
        };
        code.ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u8),
            Text(String),
        }
        let code = match Form::deserialize(deserializer) {
            Ok(Form::Number(code)) => Some(Self(code)),
            Ok(Form::Text(text)) => Self::parse(&text),
            Err(_) => None,
        };
        let error = "a reason code is a number up to 255, or a text such as \"0x97\"";
        code.ok_or_else(|| serde::de::Error::custom(error))
    }
}

/// A packet from its fields or its bytes, of which one is given.
pub(super) fn injected(
    packet: Option<&PacketBody>,
    base64: Option<&str>,
    at: &'static str,
) -> Result<Injected, ApiError> {
    match (packet, base64) {
        (Some(packet), None) => {
            let packet = packet.packet(at)?;
            Ok(Injected::Fields(Box::new(packet)))
        }
        (None, Some(base64)) => from_base64(base64, "packet_base64").map(Injected::Bytes),
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "packet_base64",
            "the packet is given twice",
        )),
        (None, None) => Err(ApiError::invalid(at, "no packet and no packet_base64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_written_in_one_way_or_the_other() {
        let code = |text| Code::parse(text).map(|Code(code)| code);
        for (text, expected) in [
            ("0x97", 0x97),
            ("0X9F", 0x9f),
            ("0x0", 0),
            ("151", 151),
            ("0", 0),
        ] {
            assert_eq!(code(text), Some(expected), "{text}");
        }
        for text in [
            "", "0x", "0x100", "0x097", "0x+9", "+9", "-1", "09", "256", "97 ", "x",
        ] {
            assert_eq!(code(text), None, "{text}");
        }
    }

    fn properties_of(given: Value) -> Result<usize, (Option<String>, String)> {
        let given = given.as_object().expect("an object");
        let read = read_values(given, "properties").map(|read| read.len());
        read.map_err(|error| (error.field().map(str::to_owned), error.text().to_owned()))
    }

    #[test]
    fn properties_are_read_as_they_are_shown_and_in_no_other_form() {
        for (given, count) in [
            (json!({ "user_property": ["a", "b"] }), 1),
            (json!({ "user_property": [["a", "b"], ["a", "c"]] }), 2),
            (json!({ "user_property": [] }), 0),
            (json!({ "subscription_identifier": [1, 2] }), 2),
            (
                json!({ "subscription_identifier": 7, "maximum_qos": true }),
                2,
            ),
        ] {
            assert_eq!(properties_of(given.clone()), Ok(count), "{given}");
        }
        for (name, value, error) in [
            (
                "reason_string",
                json!([]),
                "is no text of 65,535 bytes at most",
            ),
            (
                "reason_string",
                Value::Null,
                "is no text of 65,535 bytes at most",
            ),
            (
                "user_property",
                json!([["a"]]),
                "is no pair of a name and a value of 65,535 bytes at most each",
            ),
            (
                "user_property",
                json!([["a", "b"], null]),
                "is no pair of a name and a value of 65,535 bytes at most each",
            ),
            (
                "subscription_identifier",
                json!([null]),
                "is no number from 0 to 268435455",
            ),
            (
                "session_expiry_interval",
                json!(true),
                "is no number from 0 to 4294967295",
            ),
            (
                "session_expiry_interval",
                json!([1]),
                "is no number from 0 to 4294967295",
            ),
        ] {
            let expected = (Some(format!("properties.{name}")), error.to_owned());
            assert_eq!(
                properties_of(json!({ name: value })),
                Err(expected),
                "{name}"
            );
        }
    }

    #[test]
    fn filters_of_a_packet_have_the_options_that_they_are_shown_with() {
        let bits = |filter: Value| {
            let packet = json!({ "type": "SUBSCRIBE", "filters": [filter] });
            let body: PacketBody =
                serde_json::from_value(packet).map_err(|error| error.to_string())?;
            let packet = body.packet("packet");
            let packet = packet.map_err(|error| error.field().unwrap_or_default().to_owned())?;
            Ok::<_, String>(packet.filters.iter().map(|own| own.options).sum::<u8>())
        };
        assert_eq!(bits(json!("a/#")), Ok(0));
        let all = json!({
            "filter": "a", "qos": 3, "no_local": true, "retain_as_published": true, "retain_handling": 3
        });
        assert_eq!(bits(all), Ok(0x3f));
        assert_eq!(
            bits(json!({ "filter": "a", "qos": 4 })),
            Err("packet.filters[0].qos".to_owned())
        );
        let unknown = bits(json!({ "filter": "a", "Qos": 1 })).expect_err("an error");
        assert!(unknown.starts_with("unknown field `Qos`"), "{unknown}");
    }
}
