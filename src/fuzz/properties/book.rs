//! Section 2.2.2.2 of the standard and the sections it points to, as a table and a slow reader.

use Place::*;

/// Where properties stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fuzz) enum Place {
    Connect,
    Will,
    Connack,
    PublishFromClient,
    PublishFromServer,
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

impl Place {
    pub(in crate::fuzz) const ALL: [Self; 15] = [
        Connect,
        Will,
        Connack,
        PublishFromClient,
        PublishFromServer,
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
    ];
}

/// A property that was read.
#[derive(Debug)]
pub(super) struct Property<'a> {
    pub(super) id: u8,
    /// Identifier and value.
    pub(super) bytes: &'a [u8],
    /// Of a User Property.
    pub(super) pair: Option<(&'a str, &'a str)>,
    pub(super) subscription_id: Option<u32>,
}

/// What a value looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One byte, 0 or 1.
    Flag,
    /// So many bytes.
    Number(usize),
    /// So many bytes, not all of them 0.
    Positive(usize),
    VariableByteInteger,
    Text,
    Pair,
    Binary,
}

use Form::*;

const PUBLISH: [Place; 3] = [Will, PublishFromClient, PublishFromServer];

/// Identifier, form, and the places that may have it.
const TABLE: [(u8, Form, &[Place]); 27] = [
    (0x01, Flag, &PUBLISH),
    (0x02, Number(4), &PUBLISH),
    (0x03, Text, &PUBLISH),
    (0x08, Text, &PUBLISH),
    (0x09, Binary, &PUBLISH),
    // MQTT-3.3.4-6.
    (0x0b, VariableByteInteger, &[PublishFromServer, Subscribe]),
    (0x11, Number(4), &[Connect, Connack, Disconnect]),
    (0x12, Text, &[Connack]),
    (0x13, Number(2), &[Connack]),
    (0x15, Text, &[Connect, Connack, Auth]),
    (0x16, Binary, &[Connect, Connack, Auth]),
    (0x17, Flag, &[Connect]),
    (0x18, Number(4), &[Will]),
    (0x19, Flag, &[Connect]),
    (0x1a, Text, &[Connack]),
    (0x1c, Text, &[Connack, Disconnect]),
    (
        0x1f,
        Text,
        &[
            Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth,
        ],
    ),
    (0x21, Positive(2), &[Connect, Connack]),
    (0x22, Number(2), &[Connect, Connack]),
    // MQTT-3.3.2-8.
    (0x23, Positive(2), &[PublishFromClient, PublishFromServer]),
    (0x24, Flag, &[Connack]),
    (0x25, Flag, &[Connack]),
    (0x26, Pair, &Place::ALL),
    (0x27, Positive(4), &[Connect, Connack]),
    (0x28, Flag, &[Connack]),
    (0x29, Flag, &[Connack]),
    (0x2a, Flag, &[Connack]),
];

/// What the section `raw` says, or `None` if it may not stand at `place`.
pub(super) fn read(place: Place, mut raw: &[u8]) -> Option<Vec<Property<'_>>> {
    let mut found: Vec<Property<'_>> = Vec::new();
    while let Some(&id) = raw.first() {
        let (_, form, places) = TABLE.iter().find(|(known, ..)| *known == id)?;
        if !places.contains(&place) {
            return None;
        }
        let repeats = id == 0x26 || (id == 0x0b && place == PublishFromServer);
        if !repeats && found.iter().any(|property| property.id == id) {
            return None;
        }
        let property = read_one(id, *form, raw)?;
        raw = &raw[property.bytes.len()..];
        found.push(property);
    }
    let has = |id| found.iter().any(|property| property.id == id);
    // Sections 3.1.2.11.10 and 3.15.2.2.2: data in CONNECT has a method, and AUTH always has one.
    let needs_method = place == Auth || (place == Connect && has(0x16));
    (has(0x15) || !needs_method).then_some(found)
}

fn read_one(id: u8, form: Form, raw: &[u8]) -> Option<Property<'_>> {
    let value = &raw[1..];
    let (mut pair, mut subscription_id) = (None, None);
    let len = match form {
        Flag => (*value.first()? <= 1).then_some(1)?,
        Number(len) => len,
        Positive(len) => value
            .get(..len)?
            .iter()
            .any(|byte| *byte > 0)
            .then_some(len)?,
        VariableByteInteger => {
            let (number, len) = variable_byte_integer(value)?;
            // Section 3.3.2.3.8: 1 to 268,435,455.
            subscription_id = Some((number > 0).then_some(number)?);
            len
        }
        Text => 2 + text(value)?.len(),
        Pair => {
            let name = text(value)?;
            let other = text(&value[2 + name.len()..])?;
            pair = Some((name, other));
            4 + name.len() + other.len()
        }
        Binary => 2 + binary(value)?.len(),
    };
    Some(Property {
        id,
        bytes: raw.get(..1 + len)?,
        pair,
        subscription_id,
    })
}

/// Section 1.5.5: at most four bytes, and no more than needed.
fn variable_byte_integer(value: &[u8]) -> Option<(u32, usize)> {
    let len = 1 + value.iter().take(4).position(|byte| *byte < 0x80)?;
    let number = value[..len]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 7 | u32::from(byte & 0x7f));
    let is_shortest = len == 1 || value[len - 1] > 0;
    is_shortest.then_some((number, len))
}

/// Section 1.5.4.
fn text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(binary(value)?).ok()?;
    (!text.contains('\0')).then_some(text)
}

/// Section 1.5.6.
fn binary(value: &[u8]) -> Option<&[u8]> {
    let len = usize::from(u16::from_be_bytes([*value.first()?, *value.get(1)?]));
    value.get(2..2 + len)
}
