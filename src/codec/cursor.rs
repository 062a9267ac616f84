//! A bounds-checked reader of the data types of MQTT (section 1.5).

use super::error::DecodeError;
use super::packet_id::PacketId;
use super::packet_type::PacketType;

/// What is left to read of a packet, or of one section of it. Reads borrow from the packet; a
/// `field` is what an error calls the thing that could not be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that was not read.
    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left of `packet`.
    #[inline]
    pub(super) const fn finish(&self, packet: PacketType) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::SurplusBytes { packet, count }),
        }
    }

    #[inline]
    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array(field)?;
        Ok(byte)
    }

    #[inline]
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    #[inline]
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16("packet identifier")?).ok_or(DecodeError::PacketIdZero)
    }

    /// A Variable Byte Integer; nearly all of them take one byte.
    #[inline]
    pub(super) fn variable_byte_integer(
        &mut self,
        field: &'static str,
    ) -> Result<u32, DecodeError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(byte))
            }
            _ => self.long_variable_byte_integer(field),
        }
    }

    /// Takes `len` bytes.
    #[inline]
    pub(super) fn take(
        &mut self,
        len: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Binary Data: two bytes of length, then the bytes.
    #[inline]
    pub(super) fn binary(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.u16(field)?;
        self.take(usize::from(len), field)
    }

    /// A UTF-8 Encoded String: well formed (MQTT-1.5.4-1), without U+0000 (MQTT-1.5.4-2), and with
    /// a leading U+FEFF left in place (MQTT-1.5.4-3).
    #[inline]
    pub(super) fn utf8(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.binary(field)?;
        match std::str::from_utf8(bytes) {
            Ok(_) if has_nul(bytes) => Err(DecodeError::NulCharacter { field }),
            Ok(text) => Ok(text),
            Err(_) => Err(DecodeError::Utf8 { field }),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(*taken)
    }

    #[cold]
    fn long_variable_byte_integer(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        match variable_byte_integer(self.rest) {
            VariableByteInteger::Whole { value, len } => {
                self.take(len, field)?;
                Ok(value)
            }
            VariableByteInteger::Partial => Err(DecodeError::Truncated { field }),
            VariableByteInteger::Invalid => Err(DecodeError::VariableByteInteger { field }),
        }
    }
}

/// What the start of a buffer holds, read as a Variable Byte Integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VariableByteInteger {
    /// A value and the number of bytes it took, 1 to 4.
    Whole { value: u32, len: usize },
    /// The buffer ends before the integer does.
    Partial,
    /// More than four bytes, or more bytes than the value needs (MQTT-1.5.5-1).
    Invalid,
}

/// Reads a Variable Byte Integer of any length.
pub(super) fn variable_byte_integer(bytes: &[u8]) -> VariableByteInteger {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            let is_shortest = byte != 0 || at == 0;
            return match is_shortest {
                true => VariableByteInteger::Whole { value, len: at + 1 },
                false => VariableByteInteger::Invalid,
            };
        }
    }
    match bytes.len() {
        0..4 => VariableByteInteger::Partial,
        _ => VariableByteInteger::Invalid,
    }
}

/// The properties that `bytes` begin with, without the length in front of them, and what follows; nothing of both where that
/// length is none.
#[inline]
pub(crate) fn split_properties(bytes: &[u8]) -> (&[u8], &[u8]) {
    let VariableByteInteger::Whole { value, len } = variable_byte_integer(bytes) else {
        return (&[], &[]);
    };
    let rest = bytes.get(len..);
    rest.and_then(|rest| rest.split_at_checked(value as usize))
        .unwrap_or_default()
}

/// Whether a zero byte is among `bytes`. Looks at eight at a time, the last eight overlapping those
/// before, which beats a search for strings as short as topic names.
#[inline]
fn has_nul(bytes: &[u8]) -> bool {
    match bytes.last_chunk() {
        Some(&last) => {
            let (chunks, _) = bytes.as_chunks();
            chunks.iter().any(|&chunk| word_has_nul(chunk)) || word_has_nul(last)
        }
        None => bytes.contains(&0),
    }
}

/// Subtracting 1 from each byte sets a top bit that was clear only if a byte was zero.
#[inline]
const fn word_has_nul(bytes: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_ne_bytes(bytes);
    word.wrapping_sub(ONES) & !word & TOPS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(value: u32, len: usize) -> VariableByteInteger {
        VariableByteInteger::Whole { value, len }
    }

    /// MQTT-1.5.5-1.
    #[test]
    fn variable_byte_integer_is_read_up_to_four_bytes_in_its_shortest_form() {
        assert_eq!(variable_byte_integer(&[0x00]), whole(0, 1));
        assert_eq!(variable_byte_integer(&[0x7f]), whole(127, 1));
        assert_eq!(variable_byte_integer(&[0x80, 0x01]), whole(128, 2));
        assert_eq!(variable_byte_integer(&[0xff, 0x7f]), whole(16_383, 2));
        assert_eq!(variable_byte_integer(&[0x80, 0x80, 0x01]), whole(16_384, 3));
        assert_eq!(
            variable_byte_integer(&[0xff, 0xff, 0x7f]),
            whole(2_097_151, 3)
        );
        assert_eq!(
            variable_byte_integer(&[0x80, 0x80, 0x80, 0x01]),
            whole(2_097_152, 4)
        );
        assert_eq!(
            variable_byte_integer(&[0xff, 0xff, 0xff, 0x7f]),
            whole(268_435_455, 4)
        );
        for invalid in [
            &[0x80, 0x00][..],
            &[0x81, 0x00],
            &[0x80, 0x80, 0x00],
            &[0xff; 4],
        ] {
            assert_eq!(variable_byte_integer(invalid), VariableByteInteger::Invalid);
        }
        for partial in [&[][..], &[0x80], &[0xff, 0xff], &[0x80, 0x80, 0x80]] {
            assert_eq!(variable_byte_integer(partial), VariableByteInteger::Partial);
        }
    }

    #[test]
    fn failed_read_consumes_nothing_past_the_end() {
        let mut cursor = Cursor::new(&[0, 3, b'a', b'b']);
        assert_eq!(
            cursor.utf8("name"),
            Err(DecodeError::Truncated { field: "name" })
        );
        assert_eq!(cursor.rest(), b"ab");
    }

    /// MQTT-1.5.4-2.
    #[test]
    fn nul_is_found_at_every_place_of_strings_of_every_length() {
        for len in 0..40 {
            assert!(!has_nul(&vec![1; len]) && !has_nul(&vec![0xff; len]));
            for at in 0..len {
                let mut bytes = vec![0x80; len];
                bytes[at] = 0;
                assert!(has_nul(&bytes), "{at} of {len}");
            }
        }
    }

    /// MQTT-1.5.4-3.
    #[test]
    fn byte_order_mark_is_kept() {
        let mut cursor = Cursor::new(&[0, 4, 0xef, 0xbb, 0xbf, b'a']);
        assert_eq!(cursor.utf8("name"), Ok("\u{feff}a"));
    }
}
