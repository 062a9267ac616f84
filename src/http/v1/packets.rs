//! Packets in JSON: as the journal shows them, and as rules are given them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::codec::{
    FilterField, PacketFields, PacketType, PropertyField, PropertyName, PropertyValue,
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

#[derive(Deserialize)]
#[serde(untagged)]
enum FilterBody {
    Name(String),
    Subscription {
        filter: String,
        #[serde(default)]
        qos: u8,
    },
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
        packet.topic.clone_from(&self.topic);
        packet.reason = self.reason.map(|Code(code)| code);
        packet.reasons.clone_from(&self.reasons);
        packet.session_present = self.session_present;
        if let Some(payload) = payload(self.payload.as_deref(), self.payload_base64.as_deref(), at)?
        {
            packet.payload = payload;
        }
        for filter in &self.filters {
            let (filter, options) = match filter {
                FilterBody::Name(filter) => (filter, 0),
                FilterBody::Subscription { filter, qos } => (filter, qos & 3),
            };
            packet
                .filters
                .push(FilterField::new(filter.clone(), options));
        }
        for (name, value) in self.read_properties(at)? {
            packet.set_property(name, value);
        }
        Ok(packet)
    }

    fn read_properties(&self, at: &str) -> Result<Vec<(PropertyName, PropertyValue)>, ApiError> {
        let given = read_properties(&self.properties, &format!("{at}.properties"))?;
        let values = given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        Ok(values.collect())
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

/// Properties with their values, or with null for those that are to go; `at` is where they stand.
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
        let pairs: Vec<&Value> = match value {
            Value::Array(list) if list.iter().all(Value::is_array) => list.iter().collect(),
            other => vec![other],
        };
        for value in pairs {
            read.push((name, read_value(name, value, &field)?));
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
        Value::Bool(flag) => Some(PropertyValue::Number((*flag).into())),
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
        None if name.is_binary() => "is no text in base64".to_owned(),
        None if name.takes(&PropertyValue::Text(String::new())) => "is no text".to_owned(),
        None => "is no pair of a name and a value".to_owned(),
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

/// A Reason Code: a number, or a text such as `0x97`.
#[derive(Clone, Copy)]
pub(super) struct Code(pub(super) u8);

impl Code {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let code = match text.strip_prefix("0x") {
            Some(digits) => u8::from_str_radix(digits, 16),
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
