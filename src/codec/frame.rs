//! Finding packets in a stream of bytes: fixed header, Remaining Length, and the size limit.

use super::cursor::{VariableByteInteger, variable_byte_integer};
use super::error::DecodeError;
use super::packet_type::PacketType;

/// The largest packet that the format allows: first byte, four bytes of Remaining Length, and a
/// Remaining Length of 268,435,455.
pub(crate) const MAX_PACKET_SIZE: u32 = 5 + 268_435_455;

/// One whole packet, not yet decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The type that the first byte names, its flags being legal.
    pub(crate) packet_type: PacketType,
    /// Packet type and flags.
    pub(crate) first: u8,
    /// Variable header and payload.
    pub(crate) body: &'a [u8],
    /// Bytes in the whole packet, fixed header included: how far to go on in the buffer.
    pub(crate) len: usize,
    /// The whole packet.
    pub(crate) bytes: &'a [u8],
}

/// What the start of a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split<'a> {
    /// A whole packet.
    Frame(Frame<'a>),
    /// The start of one.
    Partial {
        /// How many bytes the buffer has to hold, counted from the start of this packet, before
        /// another call can say more. Once the Remaining Length is there this is the packet's size.
        needed: usize,
    },
}

/// Finds the packet that `buf` starts with.
///
/// # Errors
///
/// An illegal first byte is reported as soon as it is there, a packet of more than
/// `max_packet_size` bytes as soon as its Remaining Length is, and a Remaining Length that is not
/// in its shortest form or longer than four bytes as malformed.
#[inline]
pub(crate) fn split(buf: &[u8], max_packet_size: u32) -> Result<Split<'_>, DecodeError> {
    let Some(&first) = buf.first() else {
        return Ok(Split::Partial { needed: 2 });
    };
    let packet_type = PacketType::from_first_byte(first)?;
    let (header_len, body_len) = match buf.get(1) {
        Some(&byte) if byte < 0x80 => (2, usize::from(byte)),
        Some(_) => match long_remaining_length(buf)? {
            Some(lengths) => lengths,
            None => {
                return Ok(Split::Partial {
                    needed: buf.len() + 1,
                });
            }
        },
        None => return Ok(Split::Partial { needed: 2 }),
    };
    let len = header_len + body_len;
    if len > max_packet_size as usize {
        return Err(DecodeError::PacketTooLarge { size: len });
    }
    match buf
        .get(..len)
        .and_then(|bytes| Some((bytes, bytes.get(header_len..)?)))
    {
        Some((bytes, body)) => Ok(Split::Frame(Frame {
            packet_type,
            first,
            body,
            len,
            bytes,
        })),
        None => Ok(Split::Partial { needed: len }),
    }
}

/// Lengths of fixed header and body, once all bytes of the Remaining Length are in `buf`.
fn long_remaining_length(buf: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    match variable_byte_integer(buf.get(1..).unwrap_or_default()) {
        VariableByteInteger::Whole { value, len } => Ok(Some((1 + len, value as usize))),
        VariableByteInteger::Partial => Ok(None),
        VariableByteInteger::Invalid => Err(DecodeError::VariableByteInteger {
            field: "remaining length",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(needed: usize) -> Result<Split<'static>, DecodeError> {
        Ok(Split::Partial { needed })
    }

    #[test]
    fn whole_packet_is_split_from_what_follows() {
        let Ok(Split::Frame(frame)) = split(&[0x40, 2, 0, 7, 0xc0], 100) else {
            panic!("no frame");
        };
        assert_eq!(frame.packet_type, PacketType::Puback);
        assert_eq!((frame.first, frame.len), (0x40, 4));
        assert_eq!(frame.body, [0, 7]);
        assert_eq!(frame.bytes, [0x40, 2, 0, 7]);
    }

    #[test]
    fn partial_packet_says_how_many_bytes_it_takes() {
        assert_eq!(split(&[], 100), partial(2));
        assert_eq!(split(&[0x30], 100), partial(2));
        assert_eq!(split(&[0x30, 9], 100), partial(11));
        assert_eq!(split(&[0x30, 0x80], 1000), partial(3));
        assert_eq!(split(&[0x30, 0x80, 0x01, b'x'], 1000), partial(131));
    }

    #[test]
    fn illegal_first_byte_fails_before_the_length_is_there() {
        assert!(matches!(
            split(&[0x80], 100),
            Err(DecodeError::FixedHeaderFlags { .. })
        ));
        assert!(matches!(
            split(&[0x00], 100),
            Err(DecodeError::ReservedPacketType { .. })
        ));
    }

    /// MQTT-3.2.2-15.
    #[test]
    fn packet_above_the_limit_fails_on_its_length_field() {
        assert_eq!(split(&[0x30, 98], 100), partial(100));
        assert_eq!(
            split(&[0x30, 99], 100),
            Err(DecodeError::PacketTooLarge { size: 101 })
        );
        assert_eq!(
            split(&[0x30, 0xff, 0xff, 0xff, 0x7f], 1 << 20),
            Err(DecodeError::PacketTooLarge {
                size: MAX_PACKET_SIZE as usize
            })
        );
    }

    /// MQTT-1.5.5-1.
    #[test]
    fn remaining_length_that_is_padded_or_too_long_is_malformed() {
        let malformed = Err(DecodeError::VariableByteInteger {
            field: "remaining length",
        });
        assert_eq!(split(&[0xc0, 0x80, 0x00], 100), malformed);
        assert_eq!(split(&[0x30, 0xff, 0xff, 0xff, 0xff], 100), malformed);
    }
}
