//! Property sections, held against a second reading of the standard.

pub(super) mod book;

use crate::codec::{Frame, Packet, PacketType, Sender, Version, decode_from};

use book::Place;

/// The first byte chooses a packet, and thus a place for properties. The rest is the section that it
/// gets there, without its length.
///
/// # Panics
///
/// If a section is accepted that the standard forbids or the other way round, or if User Properties,
/// Subscription Identifiers or the properties to pass on are not those that were sent.
pub fn properties(data: &[u8]) {
    let Some((&choice, raw)) = data.split_first() else {
        return;
    };
    let place = Place::ALL[usize::from(choice) % Place::ALL.len()];
    let (packet_type, body) = packet_with(place, raw);
    let frame = Frame {
        packet_type,
        first: packet_type.first_byte(),
        body: &body,
        len: body.len(),
        bytes: &body,
    };
    let sender = match place {
        Place::PublishFromServer => Sender::Server,
        _ => Sender::Client,
    };
    let decoded = decode_from(sender, &frame, Version::V5);
    match (book::read(place, raw), decoded) {
        (Some(expected), Ok(packet)) => compare(&packet, place, &expected),
        (None, Err(error)) => assert!(error.reason().is_error()),
        (expected, decoded) => panic!("{place:?} {raw:02x?}: {expected:?}, but {decoded:?}"),
    }
}

/// A packet whose properties at `place` are `raw`, and which is legal if these are.
pub(super) fn packet_with(place: Place, raw: &[u8]) -> (PacketType, Vec<u8>) {
    let (packet_type, before, after): (_, &[u8], &[u8]) = match place {
        Place::Connect => (PacketType::Connect, b"\0\x04MQTT\x05\x02\0\0", b"\0\x01c"),
        Place::Will => (
            PacketType::Connect,
            b"\0\x04MQTT\x05\x06\0\0\0\0\x01c",
            b"\0\x01w\0\0",
        ),
        Place::Connack => (PacketType::Connack, b"\0\0", b""),
        Place::PublishFromClient | Place::PublishFromServer => {
            (PacketType::Publish, b"\0\x01t", b"x")
        }
        Place::Puback => (PacketType::Puback, b"\0\x01\0", b""),
        Place::Pubrec => (PacketType::Pubrec, b"\0\x01\0", b""),
        Place::Pubrel => (PacketType::Pubrel, b"\0\x01\0", b""),
        Place::Pubcomp => (PacketType::Pubcomp, b"\0\x01\0", b""),
        Place::Subscribe => (PacketType::Subscribe, b"\0\x01", b"\0\x01t\0"),
        Place::Suback => (PacketType::Suback, b"\0\x01", b"\0"),
        Place::Unsubscribe => (PacketType::Unsubscribe, b"\0\x01", b"\0\x01t"),
        Place::Unsuback => (PacketType::Unsuback, b"\0\x01", b"\0"),
        Place::Disconnect => (PacketType::Disconnect, b"\0", b""),
        Place::Auth => (PacketType::Auth, b"\x18", b""),
    };
    let mut body = before.to_vec();
    let mut len = raw.len();
    while len >= 0x80 {
        body.push(len as u8 | 0x80);
        len >>= 7;
    }
    body.push(len as u8);
    body.extend_from_slice(raw);
    body.extend_from_slice(after);
    (packet_type, body)
}

fn compare(packet: &Packet<'_>, place: Place, expected: &[book::Property<'_>]) {
    let pairs: Vec<(&str, &str)> = expected
        .iter()
        .filter_map(|property| property.pair)
        .collect();
    let user_length: usize = pairs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let mut scratch = Vec::new();
    match packet {
        Packet::Connect(connect) => match &connect.will {
            Some(will) => {
                assert!(will.user_properties().iter().eq(pairs));
                assert_eq!(will.user_properties_len, user_length);
                assert_eq!(will.forward(&mut scratch), without(expected, &[0x18, 0x02]));
            }
            None => assert!(connect.properties.user_properties.iter().eq(pairs)),
        },
        Packet::Publish(publish) => {
            let properties = &publish.properties;
            assert!(properties.user_properties().iter().eq(pairs));
            assert_eq!(properties.user_properties_len, user_length);
            assert_eq!(
                properties.forward(&mut scratch),
                without(expected, &[0x23, 0x02])
            );
            let ids = expected
                .iter()
                .filter_map(|property| property.subscription_id);
            assert!(properties.subscription_ids().eq(ids));
        }
        Packet::Connack(connack) => assert_eq!(connack.user_properties, pairs),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            assert!(ack.user_properties.iter().eq(pairs));
        }
        Packet::Subscribe(subscribe) => {
            assert!(subscribe.user_properties.iter().eq(pairs));
            let id = expected
                .iter()
                .find_map(|property| property.subscription_id);
            assert_eq!(subscribe.subscription_id, id);
        }
        Packet::Suback(suback) => assert!(suback.user_properties.iter().eq(pairs)),
        Packet::Unsubscribe(unsubscribe) => assert!(unsubscribe.user_properties.iter().eq(pairs)),
        Packet::Unsuback(unsuback) => assert!(unsuback.user_properties.iter().eq(pairs)),
        Packet::Disconnect(disconnect) => assert!(disconnect.user_properties.iter().eq(pairs)),
        Packet::Auth(auth) => assert!(auth.user_properties.iter().eq(pairs)),
        Packet::Pingreq | Packet::Pingresp => panic!("{place:?} is in neither"),
    }
}

/// The section without some of its properties, in its order.
fn without(properties: &[book::Property<'_>], ids: &[u8]) -> Vec<u8> {
    let kept = properties
        .iter()
        .filter(|property| !ids.contains(&property.id));
    kept.flat_map(|property| property.bytes).copied().collect()
}
