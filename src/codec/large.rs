//! A PUBLISH that is larger than a read buffer and lies in pieces: its head is brought together, its
//! payload stays where it is.

use super::cursor::{VariableByteInteger, variable_byte_integer};
use super::error::DecodeError;
use super::frame::Frame;
use super::packet_type::PacketType;
use super::version::Version;

/// Bits of the fixed header that hold the QoS.
const QOS: u8 = 0b110;

/// Sees to it that the first of `pieces`, which are a whole PUBLISH, holds everything before the
/// payload. Returns where the payload begins.
///
/// # Errors
///
/// A head that is longer than the packet, or a length field that is malformed.
pub(crate) fn gather_publish_head(
    pieces: &mut Vec<Vec<u8>>,
    version: Version,
) -> Result<usize, DecodeError> {
    loop {
        let first = pieces.first().map(Vec::as_slice).unwrap_or_default();
        let needed = match head_len(first, version)? {
            Head::Ends(len) if len <= first.len() => return Ok(len),
            Head::Ends(needed) | Head::Needs(needed) => needed,
        };
        let mut rest = std::mem::take(pieces).into_iter();
        let mut whole = rest.next().unwrap_or_default();
        while whole.len() < needed {
            let Some(piece) = rest.next() else {
                return Err(DecodeError::Truncated {
                    field: "variable header",
                });
            };
            whole.extend_from_slice(&piece);
        }
        pieces.push(whole);
        pieces.extend(rest);
    }
}

/// The packet of `total` bytes that begins with `head`, as if its payload were empty.
///
/// # Errors
///
/// As [`split`](super::split).
pub(crate) fn frame_of_head(head: &[u8], total: usize) -> Result<Frame<'_>, DecodeError> {
    let first = head.first().copied().unwrap_or_default();
    let fixed = 1 + remaining_length_len(head)?.unwrap_or_default();
    Ok(Frame {
        packet_type: PacketType::from_first_byte(first)?,
        first,
        body: head.get(fixed..).unwrap_or_default(),
        len: total,
        bytes: head,
    })
}

enum Head {
    /// It has so many bytes, whether or not all of them are there.
    Ends(usize),
    /// So many bytes are needed to know.
    Needs(usize),
}

/// The length of everything before the payload.
fn head_len(bytes: &[u8], version: Version) -> Result<Head, DecodeError> {
    let Some(fixed) = remaining_length_len(bytes)? else {
        return Ok(Head::Needs(bytes.len() + 1));
    };
    let topic = 1 + fixed;
    let Some(&[high, low]) = bytes.get(topic..topic + 2) else {
        return Ok(Head::Needs(topic + 2));
    };
    let mut at = topic + 2 + usize::from(u16::from_be_bytes([high, low]));
    if bytes.first().is_some_and(|first| first & QOS != 0) {
        at += 2;
    }
    if version == Version::V311 {
        return Ok(Head::Ends(at));
    }
    let Some(properties) = bytes.get(at..) else {
        return Ok(Head::Needs(at + 1));
    };
    match variable_byte_integer(properties) {
        VariableByteInteger::Whole { value, len } => Ok(Head::Ends(at + len + value as usize)),
        VariableByteInteger::Partial => Ok(Head::Needs(bytes.len() + 1)),
        VariableByteInteger::Invalid => Err(DecodeError::VariableByteInteger {
            field: "property length",
        }),
    }
}

/// Bytes of the Remaining Length, once all of them are there.
fn remaining_length_len(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    match variable_byte_integer(bytes.get(1..).unwrap_or_default()) {
        VariableByteInteger::Whole { len, .. } => Ok(Some(len)),
        VariableByteInteger::Partial => Ok(None),
        VariableByteInteger::Invalid => Err(DecodeError::VariableByteInteger {
            field: "remaining length",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OutgoingPublish, Packet, PacketId, QoS, Sender, Split, decode_from, split};
    use super::*;

    fn packet(version: Version) -> Vec<u8> {
        let mut bytes = Vec::new();
        let publish = OutgoingPublish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: "a/long/topic".as_bytes(),
            packet_id: PacketId::new(7),
            topic_alias: None,
            message_expiry: Some(9),
            subscription_ids: &[],
            properties: &[],
            payload: (&[b'x'; 300]).into(),
        };
        publish.encode(version, &mut bytes);
        bytes
    }

    /// However the packet is cut, its head is found and its payload is what it was.
    #[test]
    fn a_head_is_gathered_from_any_pieces() {
        for version in [Version::V311, Version::V5] {
            let whole = packet(version);
            for size in 1..40 {
                let mut pieces: Vec<Vec<u8>> = whole.chunks(size).map(<[u8]>::to_vec).collect();
                let start = gather_publish_head(&mut pieces, version).unwrap();
                assert_eq!(pieces.concat(), whole);
                assert!(start <= pieces[0].len());
                assert_eq!(whole[start..], [b'x'; 300]);
                let frame = frame_of_head(&whole[..start], whole.len()).unwrap();
                assert_eq!(frame.len, whole.len());
                let Packet::Publish(head) = decode_from(Sender::Client, &frame, version).unwrap()
                else {
                    panic!("a PUBLISH");
                };
                let Ok(Split::Frame(frame)) = split(&whole, u32::MAX) else {
                    panic!("a packet");
                };
                let Packet::Publish(publish) =
                    decode_from(Sender::Client, &frame, version).unwrap()
                else {
                    panic!("a PUBLISH");
                };
                assert!(head.payload.is_empty());
                assert_eq!(
                    (head.topic, head.packet_id),
                    (publish.topic, publish.packet_id)
                );
                assert_eq!(head.properties, publish.properties);
            }
        }
    }

    #[test]
    fn a_head_beyond_the_packet_is_malformed() {
        for bytes in [
            vec![0x30, 4, 0, 9, b'a', b'b'],
            vec![0x30, 4, 0, 1, b'a', 100],
            vec![0x32, 3, 0, 1, b'a'],
        ] {
            let mut pieces: Vec<Vec<u8>> = bytes.chunks(2).map(<[u8]>::to_vec).collect();
            assert!(
                gather_publish_head(&mut pieces, Version::V5).is_err(),
                "{bytes:?}"
            );
        }
    }
}
