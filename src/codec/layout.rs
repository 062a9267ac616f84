//! Where the fields of a packet are in its bytes, for whoever shows both side by side.

use crate::excerpt::beginning;

use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_type::PacketType;
use super::property::{Property, PropertyValue, read_value};
use super::reason::ReasonCode;
use super::version::Version;

/// Characters of a value that are shown.
const SHOWN: usize = 1000;

/// A field of a packet, and the bytes that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// What the standard calls it.
    pub(crate) name: String,
    /// In words; empty where others stand below it.
    pub(crate) value: String,
    /// The place of its first byte, and the one behind its last.
    pub(crate) bytes: (usize, usize),
    /// How many fields it stands below.
    pub(crate) depth: u8,
    /// What it holds is nobody's business.
    pub(crate) is_secret: bool,
}

/// The fields of a packet in their order, as far as it can be read. `bytes` may be the first of `len` alone: then
/// the last part says so.
pub(crate) fn layout(bytes: &[u8], len: usize, version: Version) -> Vec<Part> {
    let mut walk = Walk {
        cursor: Cursor::new(bytes),
        total: bytes.len(),
        len,
        parts: Vec::new(),
        depth: 0,
    };
    let read = walk.packet(version);
    let (at, end) = (walk.at(), walk.total);
    walk.depth = 0;
    match read {
        _ if len > end => {
            let value = format!("{} of {len} bytes were not kept", len - end);
            walk.push("Cut", value, (at, end));
        }
        Err(error) => walk.push("Cannot be read", error.to_string(), (at, end)),
        Ok(()) if at < end => {
            let value = format!("{} bytes that do not belong to it", end - at);
            walk.push("Surplus", value, (at, end));
        }
        Ok(()) => {}
    }
    walk.parts
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    /// Bytes that there are.
    total: usize,
    /// Bytes that there were.
    len: usize,
    parts: Vec<Part>,
    depth: u8,
}

type Read<T> = Result<T, DecodeError>;

impl<'a> Walk<'a> {
    fn at(&self) -> usize {
        self.total - self.cursor.rest().len()
    }

    fn push(&mut self, name: impl Into<String>, value: impl Into<String>, bytes: (usize, usize)) {
        self.parts.push(Part {
            name: name.into(),
            value: beginning(&value.into(), SHOWN).into_owned(),
            bytes,
            depth: self.depth,
            is_secret: false,
        });
    }

    /// Reads a field, and shows it.
    fn field<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Cursor<'a>) -> Read<T>,
        show: impl FnOnce(&T) -> String,
    ) -> Read<T> {
        let from = self.at();
        let value = read(&mut self.cursor)?;
        let to = self.at();
        self.push(name, show(&value), (from, to));
        Ok(value)
    }

    fn text(&mut self, name: &'static str) -> Read<&'a str> {
        self.field(name, |cursor| cursor.utf8(name), |text| (*text).into())
    }

    fn u8(&mut self, name: &str, show: impl FnOnce(u8) -> String) -> Read<u8> {
        self.field(name, |cursor| cursor.u8("byte"), |value| show(*value))
    }

    fn u16(&mut self, name: &str) -> Read<u16> {
        self.field(name, |cursor| cursor.u16("number"), u16::to_string)
    }

    fn packet(&mut self, version: Version) -> Read<()> {
        let first = *self.cursor.rest().first().ok_or(DecodeError::Truncated {
            field: "fixed header",
        })?;
        let packet_type = PacketType::from_first_byte(first);
        let shown = match packet_type {
            Ok(PacketType::Publish) => format!(
                "PUBLISH, DUP {}, QoS {}, RETAIN {}",
                first >> 3 & 1,
                first >> 1 & 3,
                first & 1
            ),
            Ok(other) => other.name().to_owned(),
            Err(_) => format!("{first:#04x}"),
        };
        self.u8("Packet type", |_| shown)?;
        let packet_type = packet_type?;
        self.field(
            "Remaining Length",
            |cursor| cursor.variable_byte_integer("remaining length"),
            u32::to_string,
        )?;
        self.body(packet_type, first, version == Version::V5)
    }

    fn body(&mut self, packet_type: PacketType, first: u8, is_v5: bool) -> Read<()> {
        match packet_type {
            PacketType::Connect => self.connect(),
            PacketType::Connack => {
                self.u8("Acknowledge Flags", |flags| match flags & 1 {
                    0 => "no session".to_owned(),
                    _ => "Session Present".to_owned(),
                })?;
                match is_v5 {
                    true => self.reason()?,
                    false => drop(self.u8("Return Code", |code| code.to_string())?),
                }
                self.properties("Properties", is_v5 && !self.cursor.is_empty())
            }
            PacketType::Publish => {
                self.text("Topic Name")?;
                if first >> 1 & 3 > 0 {
                    self.u16("Packet Identifier")?;
                }
                self.properties("Properties", is_v5)?;
                self.payload();
                Ok(())
            }
            PacketType::Puback | PacketType::Pubrec | PacketType::Pubrel | PacketType::Pubcomp => {
                self.u16("Packet Identifier")?;
                self.reason_at_the_end()
            }
            PacketType::Disconnect | PacketType::Auth => self.reason_at_the_end(),
            PacketType::Subscribe | PacketType::Unsubscribe => {
                self.u16("Packet Identifier")?;
                self.properties("Properties", is_v5)?;
                while !self.cursor.is_empty() {
                    self.text("Topic Filter")?;
                    if packet_type == PacketType::Subscribe {
                        self.u8("Subscription Options", |own| options(own, is_v5))?;
                    }
                }
                Ok(())
            }
            PacketType::Suback | PacketType::Unsuback => {
                self.u16("Packet Identifier")?;
                self.properties("Properties", is_v5)?;
                while !self.cursor.is_empty() {
                    self.reason()?;
                }
                Ok(())
            }
            PacketType::Pingreq | PacketType::Pingresp => Ok(()),
        }
    }

    fn connect(&mut self) -> Read<()> {
        self.text("Protocol Name")?;
        let level = self.u8("Protocol Version", |level| level.to_string())? & 0x7f;
        let flags = self.u8("Connect Flags", connect_flags)?;
        self.field(
            "Keep Alive",
            |cursor| cursor.u16("keep alive"),
            |seconds| format!("{seconds} s"),
        )?;
        let is_v5 = level == Version::V5.level();
        self.properties("Properties", is_v5)?;
        self.text("Client Identifier")?;
        if flags & 0x04 > 0 {
            self.properties("Will Properties", is_v5)?;
            self.text("Will Topic")?;
            self.binary("Will Payload")?;
        }
        if flags & 0x80 > 0 {
            self.text("User Name")?;
        }
        if flags & 0x40 > 0 {
            self.binary("Password")?;
            if let Some(part) = self.parts.last_mut() {
                part.is_secret = true;
            }
        }
        Ok(())
    }

    fn binary(&mut self, name: &'static str) -> Read<()> {
        let read = |cursor: &mut Cursor<'a>| cursor.binary(name);
        self.field(name, read, |bytes| format!("{} bytes", bytes.len()))?;
        Ok(())
    }

    fn payload(&mut self) {
        let (from, rest) = (self.at(), self.cursor.rest());
        if rest.is_empty() {
            return;
        }
        let value = match self.len > self.total {
            true => format!("{} bytes", self.len - from),
            false => format!("{} bytes", rest.len()),
        };
        self.cursor = Cursor::new(&[]);
        self.push("Payload", value, (from, self.total));
    }

    fn reason(&mut self) -> Read<()> {
        self.u8("Reason Code", |code| {
            let name = ReasonCode::from_u8(code).map_or("unknown", ReasonCode::name);
            format!("{code:#04x} {name}")
        })?;
        Ok(())
    }

    /// A Reason Code and properties, either of which may be left out.
    fn reason_at_the_end(&mut self) -> Read<()> {
        if !self.cursor.is_empty() {
            self.reason()?;
            self.properties("Properties", !self.cursor.is_empty())?;
        }
        Ok(())
    }

    /// A section of properties, each below it.
    fn properties(&mut self, name: &str, are_there: bool) -> Read<()> {
        if !are_there {
            return Ok(());
        }
        let from = self.at();
        let len = self.cursor.variable_byte_integer("property length")? as usize;
        let begin = self.at();
        let missing = DecodeError::Truncated {
            field: "property section",
        };
        if self.cursor.rest().len() < len {
            self.push(name, format!("{len} bytes"), (from, self.total));
            return Err(missing);
        }
        let end = begin + len;
        self.push(name, format!("{len} bytes"), (from, end));
        self.depth += 1;
        while self.at() < end {
            let at = self.at();
            let id = self.cursor.u8("property identifier")?;
            let property = Property::from_id(id).ok_or(DecodeError::UnknownProperty { id })?;
            let value = read_value(&mut self.cursor, property)?;
            self.push(titled(property.name()), in_words(&value), (at, self.at()));
        }
        self.depth -= 1;
        match self.at() == end {
            true => Ok(()),
            false => Err(missing),
        }
    }
}

/// The name of a property as the standard writes it.
fn titled(name: &str) -> String {
    let words = name.split(' ').map(|word| match word {
        "qos" => "QoS".to_owned(),
        _ => {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            first.to_uppercase() + rest
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn in_words(value: &PropertyValue) -> String {
    match value {
        PropertyValue::Number(number) => number.to_string(),
        PropertyValue::Text(text) => text.clone(),
        PropertyValue::Binary(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("{} bytes: {text}", bytes.len()),
            Err(_) => format!("{} bytes", bytes.len()),
        },
        PropertyValue::Pair(name, value) => format!("{name} = {value}"),
    }
}

fn options(options: u8, is_v5: bool) -> String {
    let mut shown = format!("QoS {}", options & 3);
    if is_v5 {
        for (bit, name) in [(4, ", No Local"), (8, ", Retain As Published")] {
            shown += if options & bit > 0 { name } else { "" };
        }
        shown += &format!(", Retain Handling {}", options >> 4 & 3);
    }
    shown
}

fn connect_flags(flags: u8) -> String {
    let mut names = Vec::new();
    for (bit, name) in [(0x80, "User Name"), (0x40, "Password"), (2, "Clean Start")] {
        if flags & bit > 0 {
            names.push(name.to_owned());
        }
    }
    if flags & 4 > 0 {
        let retain = if flags & 0x20 > 0 { ", retained" } else { "" };
        names.push(format!("Will of QoS {}{retain}", flags >> 3 & 3));
    }
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8], version: Version) -> Vec<(String, String, (usize, usize))> {
        let parts = layout(bytes, bytes.len(), version);
        parts
            .into_iter()
            .map(|part| (part.name, part.value, part.bytes))
            .collect()
    }

    fn own(name: &str, value: &str, from: usize, to: usize) -> (String, String, (usize, usize)) {
        (name.to_owned(), value.to_owned(), (from, to))
    }

    const PUBLISH: &[u8] =
        b"\x32\x15\x00\x03a/b\x00\x05\x0b\x23\x00\x02\x26\x00\x01n\x00\x02vw\x68\x69";

    #[test]
    fn every_byte_of_a_packet_belongs_to_a_field() {
        assert_eq!(
            shown(PUBLISH, Version::V5),
            [
                own("Packet type", "PUBLISH, DUP 0, QoS 1, RETAIN 0", 0, 1),
                own("Remaining Length", "21", 1, 2),
                own("Topic Name", "a/b", 2, 7),
                own("Packet Identifier", "5", 7, 9),
                own("Properties", "11 bytes", 9, 21),
                own("Topic Alias", "2", 10, 13),
                own("User Property", "n = vw", 13, 21),
                own("Payload", "2 bytes", 21, 23),
            ]
        );
        let connect = b"\x10\x1c\x00\x04MQTT\x05\xc6\x00\x3c\x00\x00\x01a\x00\x00\x01w\x00\x01x\x00\x01u\x00\x02pw";
        let parts = layout(connect, connect.len(), Version::V311);
        let secret: Vec<_> = parts.iter().filter(|part| part.is_secret).collect();
        assert_eq!(secret.len(), 1);
        assert_eq!(
            (&*secret[0].name, secret[0].bytes.1),
            ("Password", connect.len())
        );
        let flags = parts.iter().find(|part| part.name == "Connect Flags");
        assert_eq!(
            flags.expect("flags").value,
            "User Name, Password, Clean Start, Will of QoS 0"
        );
        let mut at = 0;
        for part in parts.iter().filter(|part| part.depth == 0) {
            assert_eq!(part.bytes.0, at, "{part:?}");
            at = part.bytes.1;
        }
        assert_eq!(at, connect.len());
    }

    #[test]
    fn what_cannot_be_read_or_was_not_kept_is_said() {
        for len in 0..PUBLISH.len() {
            let parts = layout(&PUBLISH[..len], PUBLISH.len(), Version::V5);
            let last = parts.last().expect("a part");
            let left = PUBLISH.len() - len;
            assert_eq!(last.value, format!("{left} of 23 bytes were not kept"));
            assert_eq!(last.bytes.1, len);
        }
        let odd = shown(b"\x40\x03\x00\x07\x00\x01", Version::V5);
        let last = odd.last().expect("a part");
        assert_eq!((&*last.0, last.2.1), ("Cannot be read", 6), "{last:?}");
        let code = shown(b"\xe0\x01\x8e", Version::V5);
        assert_eq!(
            code.last(),
            Some(&own("Reason Code", "0x8e Session taken over", 2, 3))
        );
    }
}
