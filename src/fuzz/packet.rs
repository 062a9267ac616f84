//! The decoder, on a stream of packets.

use crate::codec::{
    self, Ack, AckKind, Disconnect, Frame, MAX_PACKET_SIZE, OutgoingPublish, Packet, Publish,
    Sender, Split, UserProperties, Version, client, decode_from, split,
};

/// The first byte says who sent the others, and in which version; they are packets, one after the
/// other.
///
/// # Panics
///
/// If the decoder does, or a packet that it accepts is another one after encoding and decoding.
pub fn packet(data: &[u8]) {
    let Some((&choice, mut stream)) = data.split_first() else {
        return;
    };
    let version = match choice & 1 {
        0 => Version::V311,
        _ => Version::V5,
    };
    let sender = match choice & 2 {
        0 => Sender::Client,
        _ => Sender::Server,
    };
    let limit = match choice & 4 {
        0 => MAX_PACKET_SIZE,
        _ => 64,
    };
    while !stream.is_empty() {
        match split(stream, limit) {
            Ok(Split::Frame(frame)) => {
                check_frame(&frame, stream, limit);
                check_packet(&frame, sender, version);
                stream = &stream[frame.len..];
            }
            Ok(Split::Partial { needed }) => {
                assert!(stream.len() < needed && needed <= limit as usize);
                return;
            }
            Err(error) => {
                assert!(error.reason().is_error() && !error.to_string().is_empty());
                return;
            }
        }
    }
}

fn check_frame(frame: &Frame<'_>, stream: &[u8], limit: u32) {
    assert_eq!(frame.bytes, &stream[..frame.len]);
    assert!(frame.len <= limit as usize && frame.bytes.ends_with(frame.body));
    let cut = split(&stream[..frame.len - 1], limit);
    assert!(matches!(cut, Ok(Split::Partial { needed }) if needed <= frame.len));
}

fn check_packet(frame: &Frame<'_>, sender: Sender, version: Version) {
    let packet = match decode_from(sender, frame, version) {
        Ok(packet) => packet,
        Err(error) => {
            assert!(error.reason().is_error() && !error.to_string().is_empty());
            return;
        }
    };
    // A CONNECT says itself in which version it is.
    let version = match &packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };
    let Some(bytes) = encode(&packet, sender, version) else {
        return;
    };
    let Ok(Split::Frame(frame)) = split(&bytes, MAX_PACKET_SIZE) else {
        panic!("encoded to no packet: {packet:?} {bytes:02x?}");
    };
    assert_eq!(frame.len, bytes.len());
    let again = decode_from(sender, &frame, version).expect("what was encoded can be decoded");
    assert_eq!(repeated(&again), repeated(&packet));
    assert_eq!(without_raw(&again, sender), without_raw(&packet, sender));
    assert_eq!(encode(&again, sender, version), Some(bytes.clone()));
}

/// The packet in the form that this codec gives it; `None` if it has no encoder for it.
pub(super) fn encode(packet: &Packet<'_>, sender: Sender, version: Version) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match packet {
        Packet::Connect(connect) => client::encode_connect(&mut out, connect),
        // MQTT-3.2.2-6: who refuses has no session to speak of.
        Packet::Connack(connack) if connack.session_present && connack.reason.is_error() => {
            return None;
        }
        Packet::Connack(connack) => codec::encode_connack(&mut out, version, connack),
        Packet::Publish(publish) => encode_publish(&mut out, publish, version),
        Packet::Puback(ack) => encode_ack(&mut out, AckKind::Puback, ack, version),
        Packet::Pubrec(ack) => encode_ack(&mut out, AckKind::Pubrec, ack, version),
        Packet::Pubrel(ack) => encode_ack(&mut out, AckKind::Pubrel, ack, version),
        Packet::Pubcomp(ack) => encode_ack(&mut out, AckKind::Pubcomp, ack, version),
        Packet::Subscribe(subscribe) => {
            let filters: Vec<_> = subscribe.filters().collect();
            let id = subscribe.subscription_id;
            client::encode_subscribe(&mut out, version, subscribe.packet_id, id, &filters)
        }
        Packet::Suback(suback) => {
            let (id, text) = (suback.packet_id, suback.reason_string);
            codec::encode_suback(&mut out, version, id, &suback.reasons, text)
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<_> = unsubscribe.filters().collect();
            client::encode_unsubscribe(&mut out, version, unsubscribe.packet_id, &filters)
        }
        Packet::Unsuback(unsuback) => {
            let (id, text) = (unsuback.packet_id, unsuback.reason_string);
            codec::encode_unsuback(&mut out, version, id, &unsuback.reasons, text)
        }
        Packet::Pingreq => client::encode_pingreq(&mut out),
        Packet::Pingresp => codec::encode_pingresp(&mut out),
        Packet::Disconnect(disconnect) => match sender {
            Sender::Client => client::encode_disconnect(
                &mut out,
                version,
                disconnect.reason,
                disconnect.session_expiry,
            ),
            // A server of MQTT 3.1.1 sends none.
            Sender::Server if version == Version::V311 => return None,
            Sender::Server => codec::encode_disconnect(
                &mut out,
                version,
                disconnect.reason,
                disconnect.reason_string,
            ),
        },
        Packet::Auth(_) => return None,
    };
    Some(out)
}

fn encode_publish(out: &mut Vec<u8>, publish: &Publish<'_>, version: Version) -> usize {
    let mut scratch = Vec::new();
    let outgoing = OutgoingPublish {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: publish.topic.as_bytes(),
        packet_id: publish.packet_id,
        topic_alias: publish.properties.topic_alias,
        message_expiry: publish.properties.message_expiry,
        // They are among the properties.
        subscription_ids: &[],
        properties: publish.properties.forward(&mut scratch),
        payload: publish.payload.into(),
    };
    outgoing.encode(version, out);
    let len = outgoing.encoded_len(version);
    assert_eq!(out.len(), len);
    len
}

fn encode_ack(out: &mut Vec<u8>, kind: AckKind, ack: &Ack<'_>, version: Version) -> usize {
    codec::encode_ack(
        out,
        version,
        kind,
        ack.packet_id,
        ack.reason,
        ack.reason_string,
    )
}

/// What of a packet may come more than once. User Properties of packets whose encoder knows none
/// are left out.
type Repeated<'a> = (Vec<(&'a str, &'a str)>, Vec<u32>);

fn repeated<'a>(packet: &'a Packet<'a>) -> Repeated<'a> {
    match packet {
        Packet::Publish(publish) => (
            publish.properties.user_properties().iter().collect(),
            publish.properties.subscription_ids().collect(),
        ),
        Packet::Connect(connect) => {
            let will = connect
                .will
                .iter()
                .flat_map(|will| will.user_properties().iter());
            let user_properties = connect.properties.user_properties.iter();
            (user_properties.chain(will).collect(), Vec::new())
        }
        _ => Repeated::default(),
    }
}

/// The packet without property sections as they were sent, whose order an encoder may change, and
/// without what encoders leave out.
fn without_raw<'a>(packet: &Packet<'a>, sender: Sender) -> Packet<'a> {
    let mut packet = packet.clone();
    match &mut packet {
        Packet::Publish(publish) => publish.properties.raw = &[],
        Packet::Connect(connect) => {
            if let Some(will) = &mut connect.will {
                will.raw = &[];
            }
        }
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            ack.user_properties = UserProperties::default();
        }
        Packet::Subscribe(subscribe) => subscribe.user_properties = UserProperties::default(),
        Packet::Suback(suback) => suback.user_properties = UserProperties::default(),
        Packet::Unsubscribe(unsubscribe) => {
            unsubscribe.user_properties = UserProperties::default();
        }
        Packet::Unsuback(unsuback) => unsuback.user_properties = UserProperties::default(),
        Packet::Disconnect(disconnect) => {
            *disconnect = Disconnect {
                user_properties: UserProperties::default(),
                server_reference: None,
                session_expiry: disconnect
                    .session_expiry
                    .filter(|_| sender == Sender::Client),
                reason_string: disconnect
                    .reason_string
                    .filter(|_| sender == Sender::Server),
                ..*disconnect
            };
        }
        Packet::Connack(_) | Packet::Pingreq | Packet::Pingresp | Packet::Auth(_) => {}
    }
    packet
}
