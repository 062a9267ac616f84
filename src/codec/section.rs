//! Where a packet has its property sections and how long they are, found without reading them.
//!
//! A property takes two bytes at least, so a section is as many steps to decode as it is half bytes
//! long. A bound on its length is what bounds the work that one packet makes, and it has to hold
//! before the work is done.

use super::cursor::Cursor;
use super::error::DecodeError;
use super::packet_type::PacketType;
use super::version::Version;

/// The Will Flag in Connect Flags.
const WILL: u8 = 1 << 2;

/// Checks that no property section of the packet at the front of `buf` is longer than `limit` bytes.
/// The packet need not be whole: a section counts as soon as its length is there. A packet of at most
/// `limit` bytes need not be looked at. The version of a CONNECT is the one that it names.
///
/// # Errors
///
/// [`DecodeError::PropertiesTooLong`]. What is wrong in other ways is left to the decoder.
#[cold]
pub(crate) fn check_sections(
    buf: &[u8],
    version: Version,
    limit: usize,
) -> Result<(), DecodeError> {
    match find_longer(buf, version, limit) {
        Some(size) => Err(DecodeError::PropertiesTooLong { size, limit }),
        None => Ok(()),
    }
}

/// The length of the first section that is longer than `limit`; `None` as well where the bytes end or
/// make no sense.
fn find_longer(buf: &[u8], version: Version, limit: usize) -> Option<usize> {
    let (&first, rest) = buf.split_first()?;
    let packet_type = PacketType::from_first_byte(first).ok()?;
    let mut cursor = Cursor::new(rest);
    let body_len = cursor.variable_byte_integer("remaining length").ok()? as usize;
    let rest = cursor.rest();
    let cursor = &mut Cursor::new(rest.get(..body_len).unwrap_or(rest));
    if packet_type == PacketType::Connect {
        return find_longer_in_connect(cursor, limit);
    }
    if version == Version::V311 {
        return None;
    }
    match packet_type {
        PacketType::Publish => {
            cursor.binary("topic name").ok()?;
            if first & 0b0110 != 0 {
                cursor.u16("packet identifier").ok()?;
            }
        }
        PacketType::Subscribe | PacketType::Unsubscribe => {
            cursor.u16("packet identifier").ok()?;
        }
        PacketType::Puback | PacketType::Pubrec | PacketType::Pubrel | PacketType::Pubcomp => {
            cursor.u16("packet identifier").ok()?;
            cursor.u8("reason code").ok()?;
        }
        PacketType::Disconnect | PacketType::Auth => {
            cursor.u8("reason code").ok()?;
        }
        // No client sends them, or they have no properties.
        PacketType::Connect
        | PacketType::Connack
        | PacketType::Suback
        | PacketType::Unsuback
        | PacketType::Pingreq
        | PacketType::Pingresp => return None,
    }
    longer(cursor, limit)
}

/// The same for a CONNECT, which has a section of its own and one of its will.
fn find_longer_in_connect(cursor: &mut Cursor<'_>, limit: usize) -> Option<usize> {
    cursor.binary("protocol name").ok()?;
    let level = cursor.u8("protocol version").ok()?;
    if Version::from_level(level) != Some(Version::V5) {
        return None;
    }
    let flags = cursor.u8("connect flags").ok()?;
    cursor.u16("keep alive").ok()?;
    if let Some(size) = longer(&mut cursor.clone(), limit) {
        return Some(size);
    }
    if flags & WILL == 0 {
        return None;
    }
    let size = cursor.variable_byte_integer("property length").ok()?;
    cursor.take(size as usize, "property section").ok()?;
    cursor.binary("client identifier").ok()?;
    longer(cursor, limit)
}

/// The Property Length that is next, if it is above `limit`.
fn longer(cursor: &mut Cursor<'_>, limit: usize) -> Option<usize> {
    let size = cursor.variable_byte_integer("property length").ok()? as usize;
    (size > limit).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 200;

    fn packet(first: u8, head: &[u8], section: usize) -> Vec<u8> {
        let mut body = head.to_vec();
        body.extend([section as u8 | 0x80, (section >> 7) as u8]);
        body.resize(body.len() + section, 0);
        let mut out = Vec::new();
        crate::codec::write::packet(&mut out, first, &body);
        out
    }

    /// The packets of a client that have properties, up to Property Length.
    const HEADS: [(u8, &[u8]); 11] = [
        (0x10, b"\0\x04MQTT\x05\x02\0\0"),
        (0x30, b"\0\x01t"),
        (0x32, b"\0\x01t\0\x01"),
        (0x40, b"\0\x01\0"),
        (0x50, b"\0\x01\0"),
        (0x62, b"\0\x01\0"),
        (0x70, b"\0\x01\0"),
        (0x82, b"\0\x01"),
        (0xa2, b"\0\x01"),
        (0xe0, b"\0"),
        (0xf0, b"\x18"),
    ];

    #[test]
    fn section_above_the_limit_is_found_on_its_length_field() {
        for (first, head) in HEADS {
            let fits = packet(first, head, LIMIT);
            assert_eq!(
                check_sections(&fits, Version::V5, LIMIT),
                Ok(()),
                "{first:#04x}"
            );
            let long = packet(first, head, LIMIT + 1);
            let refusal = Err(DecodeError::PropertiesTooLong {
                size: LIMIT + 1,
                limit: LIMIT,
            });
            let begin = long.len() - (LIMIT + 1);
            for end in begin..long.len() {
                let found = check_sections(&long[..end], Version::V5, LIMIT);
                assert_eq!(found, refusal, "{first:#04x}, {end} bytes");
            }
            for end in 0..begin {
                let found = check_sections(&long[..end], Version::V5, LIMIT);
                assert_eq!(found, Ok(()), "{first:#04x}, {end} bytes");
            }
            if first != 0x10 {
                assert_eq!(
                    check_sections(&long, Version::V311, LIMIT),
                    Ok(()),
                    "{first:#04x}"
                );
            }
        }
    }

    #[test]
    fn section_of_the_will_counts_like_that_of_connect() {
        let head = b"\0\x04MQTT\x05\x06\0\0\x03\x22\0\x01\0\x01c";
        let long = packet(0x10, head, LIMIT + 1);
        assert!(check_sections(&long, Version::V311, LIMIT).is_err());
        let fits = packet(0x10, head, LIMIT);
        assert_eq!(check_sections(&fits, Version::V311, LIMIT), Ok(()));
        // Without a will, what stands there is no section.
        let mut without = long;
        without[10] &= !WILL;
        assert_eq!(check_sections(&without, Version::V311, LIMIT), Ok(()));
    }

    #[test]
    fn what_follows_a_short_packet_is_not_taken_for_its_properties() {
        let mut bytes = vec![0x40, 2, 0, 1];
        bytes.extend(packet(0x40, b"\0\x01\0", LIMIT + 1));
        assert_eq!(check_sections(&bytes, Version::V5, LIMIT), Ok(()));
    }
}
