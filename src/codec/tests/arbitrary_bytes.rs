//! Whatever a peer sends, decoding ends with a packet or an error, and what was accepted can be
//! read in full.

use proptest::prelude::*;

use super::super::{
    Frame, MAX_PACKET_SIZE, Packet, PacketType, Sender, Split, Version, connect, decode_from, split,
};
use super::summary::summary;
use super::wire_cases::wire_cases;

/// Decodes `body` as each packet type, in both versions and from both sides.
fn decode_every_way(body: &[u8], publish_flags: u8) {
    for packet_type in PacketType::ALL {
        let first = match packet_type {
            PacketType::Publish => packet_type.first_byte() | publish_flags,
            _ => packet_type.first_byte(),
        };
        let frame = Frame {
            packet_type,
            first,
            body,
            len: body.len(),
            bytes: body,
        };
        let _ = connect::decode(&frame);
        for version in [Version::V311, Version::V5] {
            for sender in [Sender::Client, Sender::Server] {
                if let Ok(packet) = decode_from(sender, &frame, version) {
                    read_in_full(&packet);
                }
            }
        }
    }
}

/// Walks over everything that is read lazily.
fn read_in_full(packet: &Packet<'_>) {
    assert!(!summary(packet).is_empty());
    let mut scratch = Vec::new();
    match packet {
        Packet::Publish(publish) => {
            assert!(publish.properties.forward(&mut scratch).len() <= publish.properties.raw.len());
        }
        Packet::Connect(connect) => {
            if let Some(will) = &connect.will {
                assert!(will.forward(&mut scratch).len() <= will.raw.len());
            }
        }
        Packet::Subscribe(subscribe) => assert!(subscribe.filters().count() > 0),
        Packet::Unsubscribe(unsubscribe) => assert!(unsubscribe.filters().count() > 0),
        _ => (),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn splitting_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(Split::Frame(frame)) = split(&bytes, MAX_PACKET_SIZE) {
            prop_assert_eq!(frame.len, frame.bytes.len());
            prop_assert!(frame.bytes.ends_with(frame.body));
        }
    }

    #[test]
    fn decoding_arbitrary_bytes_never_panics(
        body in proptest::collection::vec(any::<u8>(), 0..64),
        flags in 0..16u8,
    ) {
        decode_every_way(&body, flags);
    }

    /// Changes one byte of a valid packet, which gets deeper than arbitrary bytes do.
    #[test]
    fn decoding_damaged_packets_never_panics(case in 0..1_000usize, at in 0..1_000usize, byte: u8) {
        let cases = wire_cases();
        let case = &cases[case % cases.len()];
        let mut bytes = case.bytes.clone();
        let at = at % bytes.len().max(1);
        if let Some(damaged) = bytes.get_mut(at) {
            *damaged = byte;
        }
        if let Ok(Split::Frame(frame)) = split(&bytes, MAX_PACKET_SIZE) {
            decode_every_way(frame.body, frame.first & 0x0f);
        }
    }
}
