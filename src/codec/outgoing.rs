//! PUBLISH as it is sent: the packet that the broker writes most.

use super::frame::MAX_PACKET_SIZE;
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::payload::Payload;
use super::property::Property;
use super::qos::QoS;
use super::version::Version;
use super::write::{MAX_STRING_LEN, variable_byte_integer, variable_byte_integer_len};

/// A PUBLISH to one receiver. In MQTT 3.1.1 everything that is a property is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutgoingPublish<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// The Topic Name as UTF-8, of 65,535 bytes at most; empty if `topic_alias` stands for it. Bytes,
    /// because a message that waited is not checked again.
    pub(crate) topic: &'a [u8],
    /// There if and only if `qos` is 1 or 2.
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) topic_alias: Option<u16>,
    /// What is left of the Message Expiry Interval, in seconds.
    pub(crate) message_expiry: Option<u32>,
    /// Identifiers of the subscriptions that the message matched.
    pub(crate) subscription_ids: &'a [u32],
    /// Properties of the publisher in wire format, without the three above and without a length;
    /// see [`super::publish::PublishProperties::forward`].
    pub(crate) properties: &'a [u8],
    pub(crate) payload: Payload<'a>,
}

impl OutgoingPublish<'_> {
    /// Whether the packet may be sent to a receiver whose Maximum Packet Size is `maximum` bytes
    /// (MQTT-3.1.2-24). Whatever the receiver says, Remaining Length ends at 268,435,455: a message that
    /// came without properties, or at QoS 0, may be too long with those of its receiver.
    #[inline]
    pub(crate) fn fits(&self, version: Version, maximum: usize) -> bool {
        self.encoded_len(version) <= maximum.min(MAX_PACKET_SIZE as usize)
    }

    /// The size of the whole packet in bytes. Only one that [`fits`](Self::fits) may be encoded.
    #[inline]
    pub(crate) fn encoded_len(&self, version: Version) -> usize {
        let body_len = self.lengths(version).body;
        1 + variable_byte_integer_len(body_len) + body_len
    }

    /// Appends the packet.
    #[inline]
    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        self.encode_head(version, out, self.payload.len());
        self.payload.append_to(out);
    }

    /// Appends the packet up to its payload; `room` for more is reserved.
    #[inline]
    pub(crate) fn encode_head(&self, version: Version, out: &mut Vec<u8>, room: usize) {
        debug_assert_eq!(self.packet_id.is_some(), self.qos > QoS::AtMostOnce);
        debug_assert!(self.fits(version, usize::MAX), "remaining length overflows");
        let lengths = self.lengths(version);
        out.reserve(5 + lengths.body - self.payload.len() + room);
        self.encode_topic(lengths.body, out);
        if let Some(id) = self.packet_id {
            out.extend_from_slice(&id.get().to_be_bytes());
        }
        if version == Version::V5 {
            self.encode_properties(lengths.properties, out);
        }
    }

    /// The topic, no longer than its length field can say.
    #[inline]
    fn topic(&self) -> &[u8] {
        self.topic.get(..MAX_STRING_LEN).unwrap_or(self.topic)
    }

    /// Writes the fixed header and the Topic Name. The short forms of the header and the length of
    /// the topic go out in one piece.
    #[inline]
    fn encode_topic(&self, body_len: usize, out: &mut Vec<u8>) {
        let first = self.first_byte();
        let topic = self.topic();
        let [high, low] = (topic.len() as u16).to_be_bytes();
        match body_len {
            0..0x80 => out.extend_from_slice(&[first, body_len as u8, high, low]),
            0x80..0x4000 => {
                let digits = [body_len as u8 | 0x80, (body_len >> 7) as u8];
                out.extend_from_slice(&[first, digits[0], digits[1], high, low]);
            }
            _ => {
                out.push(first);
                variable_byte_integer(out, body_len);
                out.extend_from_slice(&[high, low]);
            }
        }
        out.extend_from_slice(topic);
    }

    #[inline]
    fn encode_properties(&self, len: usize, out: &mut Vec<u8>) {
        variable_byte_integer(out, len);
        if len > self.properties.len() {
            self.encode_own_properties(out);
        }
        if !self.properties.is_empty() {
            out.extend_from_slice(self.properties);
        }
    }

    #[inline]
    fn first_byte(&self) -> u8 {
        first_byte(self.dup, self.qos, self.retain)
    }

    /// Writes the properties that belong to this receiver rather than to the message.
    #[inline(never)]
    fn encode_own_properties(&self, out: &mut Vec<u8>) {
        if let Some(alias) = self.topic_alias {
            let [high, low] = alias.to_be_bytes();
            out.extend_from_slice(&[Property::TopicAlias as u8, high, low]);
        }
        if let Some(expiry) = self.message_expiry {
            out.push(Property::MessageExpiryInterval as u8);
            out.extend_from_slice(&expiry.to_be_bytes());
        }
        for &id in self.subscription_ids {
            out.push(Property::SubscriptionIdentifier as u8);
            variable_byte_integer(out, id as usize);
        }
    }

    #[inline]
    fn lengths(&self, version: Version) -> Lengths {
        let packet_id_len = if self.packet_id.is_some() { 2 } else { 0 };
        let common = 2 + self.topic().len() + packet_id_len + self.payload.len();
        if version == Version::V311 {
            return Lengths {
                properties: 0,
                body: common,
            };
        }
        let properties = self.own_properties_len() + self.properties.len();
        let body = common + variable_byte_integer_len(properties) + properties;
        Lengths { properties, body }
    }

    #[inline]
    fn own_properties_len(&self) -> usize {
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if self.message_expiry.is_some() { 5 } else { 0 };
        let ids: usize = self
            .subscription_ids
            .iter()
            .map(|&id| 1 + variable_byte_integer_len(id as usize))
            .sum();
        alias + expiry + ids
    }
}

#[inline]
fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    PacketType::Publish.first_byte() | u8::from(dup) << 3 | qos.bits() << 1 | u8::from(retain)
}

/// A PUBLISH of QoS 1 or 2 that goes on as it came, but for its flags and its Packet Identifier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardedPublish<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) packet_id: PacketId,
    /// The packet as it came, in the version of the receiver.
    pub(crate) packet: &'a [u8],
    /// Where in it the identifier is.
    pub(crate) id_at: usize,
}

impl ForwardedPublish<'_> {
    /// Appends the packet, which is no longer than the format allows.
    #[inline]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(self.packet);
        let first = first_byte(self.dup, self.qos, self.retain);
        readdress(out, at, first, at + self.id_at, self.packet_id);
    }
}

/// Appends the packets of a run, each as [`ForwardedPublish`] does. `places` says where each begins in `packets` and where
/// its identifier is, and `ids` which they get.
#[inline]
pub(crate) fn encode_forwarded_run(
    out: &mut Vec<u8>,
    packets: &[u8],
    qos: QoS,
    retain: bool,
    places: impl Iterator<Item = (usize, usize)>,
    ids: impl Iterator<Item = PacketId>,
) {
    let start = out.len();
    out.extend_from_slice(packets);
    let first = first_byte(false, qos, retain);
    for ((at, id_at), id) in places.zip(ids) {
        readdress(out, start + at, first, start + id_at, id);
    }
}

/// Gives a packet the flags and the identifier that are the receiver's own.
#[inline]
fn readdress(out: &mut [u8], at: usize, first: u8, id_at: usize, id: PacketId) {
    if let Some(byte) = out.get_mut(at) {
        *byte = first;
    }
    if let Some(place) = out.get_mut(id_at..id_at + 2) {
        place.copy_from_slice(&id.get().to_be_bytes());
    }
}

/// Lengths of parts of the packet, in bytes.
struct Lengths {
    /// All properties, without their length.
    properties: usize,
    /// Everything behind the fixed header.
    body: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> OutgoingPublish<'_> {
        OutgoingPublish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: b"big",
            packet_id: None,
            topic_alias: None,
            message_expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload: payload.into(),
        }
    }

    /// MQTT-1.5.5-1: whatever makes a packet longer than its publisher sent it ends before the
    /// Remaining Length has a fifth byte.
    #[test]
    fn largest_packet_of_one_version_does_not_fit_with_what_the_other_adds() {
        let zeroes = vec![0; 268_435_455];
        let largest = packet(&zeroes[5..]);
        assert!(largest.fits(Version::V311, usize::MAX));
        assert_eq!(largest.encoded_len(Version::V311), MAX_PACKET_SIZE as usize);
        assert!(!largest.fits(Version::V5, usize::MAX), "property length");
        assert!(
            !largest.fits(Version::V5, u32::MAX as usize),
            "property length"
        );

        let with_properties = packet(&zeroes[6..]);
        assert!(with_properties.fits(Version::V5, usize::MAX));
        let id = PacketId::new(1);
        let ids = [1, 268_435_455];
        for longer in [
            OutgoingPublish {
                packet_id: id,
                ..with_properties
            },
            OutgoingPublish {
                topic_alias: Some(1),
                ..with_properties
            },
            OutgoingPublish {
                message_expiry: Some(1),
                ..with_properties
            },
            OutgoingPublish {
                subscription_ids: &ids,
                ..with_properties
            },
        ] {
            assert!(
                !longer.fits(Version::V5, usize::MAX),
                "{:?}",
                longer.packet_id
            );
        }
    }

    #[test]
    fn forwarded_packet_is_the_one_that_would_be_composed() {
        let payload = vec![7; 20_000];
        for version in [Version::V311, Version::V5] {
            for len in [
                0, 1, 117, 118, 119, 120, 16_372, 16_373, 16_374, 16_375, 20_000,
            ] {
                let mut packet = packet(&payload[..len]);
                (packet.qos, packet.packet_id) = (QoS::AtLeastOnce, PacketId::new(0x1234));
                let mut read = Vec::new();
                packet.encode(version, &mut read);
                let header = read.len() - (packet.topic.len() + 4 + len);
                let header = header - usize::from(version == Version::V5);
                let forwarded = ForwardedPublish {
                    dup: true,
                    qos: QoS::ExactlyOnce,
                    retain: true,
                    packet_id: PacketId::new(0x5678).unwrap(),
                    packet: &read,
                    id_at: header + 2 + packet.topic.len(),
                };
                let changed = OutgoingPublish {
                    dup: true,
                    qos: QoS::ExactlyOnce,
                    retain: true,
                    packet_id: PacketId::new(0x5678),
                    ..packet
                };
                let (mut out, mut composed) = (vec![1], vec![1]);
                forwarded.encode(&mut out);
                changed.encode(version, &mut composed);
                assert_eq!(out, composed, "{len} bytes in {version:?}");
            }
        }
    }
}
