//! Writing the data types of MQTT (section 1.5) and whole packets.

use super::packet_id::PacketId;
use super::property::Property;

/// The longest string or binary value that two bytes of length can announce.
pub(super) const MAX_STRING_LEN: usize = u16::MAX as usize;

/// Appends a whole packet and returns its size in bytes.
pub(super) fn packet(out: &mut Vec<u8>, first: u8, body: &[u8]) -> usize {
    let start = out.len();
    out.reserve(5 + body.len());
    out.push(first);
    variable_byte_integer(out, body.len());
    out.extend_from_slice(body);
    out.len() - start
}

/// Appends a property section: its length, then what `fill` writes (MQTT-2.2.2-1).
pub(super) fn properties(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut section = Vec::new();
    fill(&mut section);
    variable_byte_integer(out, section.len());
    out.extend_from_slice(&section);
}

pub(super) fn flag_property(out: &mut Vec<u8>, property: Property, value: Option<bool>) {
    if let Some(value) = value {
        out.extend_from_slice(&[property as u8, u8::from(value)]);
    }
}

pub(super) fn u16_property(out: &mut Vec<u8>, property: Property, value: Option<u16>) {
    if let Some(value) = value {
        out.push(property as u8);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn u32_property(out: &mut Vec<u8>, property: Property, value: Option<u32>) {
    if let Some(value) = value {
        out.push(property as u8);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn utf8_property(out: &mut Vec<u8>, property: Property, value: Option<&str>) {
    if let Some(value) = value {
        out.push(property as u8);
        utf8(out, value);
    }
}

pub(super) fn binary_property(out: &mut Vec<u8>, property: Property, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.push(property as u8);
        binary(out, value);
    }
}

pub(super) fn user_property(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(Property::UserProperty as u8);
    utf8(out, name);
    utf8(out, value);
}

#[inline]
pub(super) fn packet_id(out: &mut Vec<u8>, id: PacketId) {
    out.extend_from_slice(&id.get().to_be_bytes());
}

/// Appends a UTF-8 Encoded String, cut after the last character that fits into 65,535 bytes.
pub(super) fn utf8(out: &mut Vec<u8>, text: &str) {
    binary(out, shorten(text).as_bytes());
}

/// Whether two bytes can announce the length of a string or of binary data.
pub(crate) fn fits(value: impl AsRef<[u8]>) -> bool {
    value.as_ref().len() <= MAX_STRING_LEN
}

/// Appends Binary Data, cut to 65,535 bytes.
pub(super) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = bytes.len().min(MAX_STRING_LEN);
    out.extend_from_slice(&(len as u16).to_be_bytes());
    out.extend_from_slice(bytes.get(..len).unwrap_or(bytes));
}

/// The longest prefix of `text` that a UTF-8 Encoded String can hold (MQTT-4.7.3-3).
#[inline]
pub(super) fn shorten(text: &str) -> &str {
    if text.len() <= MAX_STRING_LEN {
        return text;
    }
    // A character takes at most four bytes, so one of these is a boundary.
    (MAX_STRING_LEN - 3..=MAX_STRING_LEN)
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or_default()
}

/// Appends a Variable Byte Integer in its shortest form (MQTT-1.5.5-1).
#[inline]
pub(crate) fn variable_byte_integer(out: &mut Vec<u8>, mut value: usize) {
    debug_assert!(
        value < 1 << 28,
        "{value} does not fit a variable byte integer"
    );
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number of bytes that a value takes as a Variable Byte Integer: 1 to 4.
#[inline]
pub(crate) const fn variable_byte_integer_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MQTT-1.5.5-1.
    #[test]
    fn variable_byte_integer_is_written_in_its_shortest_form() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = Vec::new();
            variable_byte_integer(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(variable_byte_integer_len(value), bytes.len());
        }
    }

    /// MQTT-4.7.3-3.
    #[test]
    fn string_is_cut_between_characters_at_65535_bytes() {
        let long = "€".repeat(30_000);
        let mut out = Vec::new();
        utf8(&mut out, &long);
        assert_eq!(out.len(), 2 + 65_535);
        assert_eq!(shorten(&format!("a{long}")).len(), 1 + 65_532);
        assert_eq!(shorten("short"), "short");
    }
}
