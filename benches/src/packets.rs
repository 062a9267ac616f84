//! MQTT 5 packets of a client.

use roundel::Version;
use roundel::internals::encode_publish;

/// As long as a typical reading of a sensor.
pub const PAYLOAD: [u8; 64] = [b'x'; 64];

const RETAIN: u8 = 1;

fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = u8::try_from(body.len()).expect("a short packet");
    assert!(length < 0x80, "a Remaining Length of one byte");
    [&[first, length], body.as_slice()].concat()
}

fn utf8(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// CONNECT with Clean Start and a session that outlives the connection.
pub fn connect(client_id: &str) -> Vec<u8> {
    let session_expiry = [5, 0x11, 0, 0, 0, 60];
    let head = [5, 0x02, 0, 0];
    packet(
        0x10,
        &[&utf8("MQTT"), &head, &session_expiry, &utf8(client_id)],
    )
}

/// SUBSCRIBE of one filter.
pub fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1, 0], &utf8(filter), &[qos]])
}

/// PUBLISH, at QoS 1 if it has an identifier.
pub fn publish(topic: &str, packet_id: Option<u16>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_publish(Version::V5, topic, &PAYLOAD, packet_id, &mut out);
    out
}

/// PUBLISH with RETAIN.
pub fn retained(topic: &str) -> Vec<u8> {
    let mut out = publish(topic, None);
    out[0] |= RETAIN;
    out
}

/// PUBACK for each PUBLISH at QoS 1 in `deliveries`, which are as long as one another.
pub fn puback(deliveries: &[u8], topic: &str) -> Vec<u8> {
    let length = publish(topic, Some(1)).len();
    let id_at = 4 + topic.len();
    let packets = deliveries.chunks_exact(length);
    packets
        .flat_map(|packet| [0x40, 2, packet[id_at], packet[id_at + 1]])
        .collect()
}
