//! Control packet types and the fixed-header flags that go with them.

use std::fmt;

use super::error::DecodeError;

/// The packet type for each first byte that is legal: one load for every packet that arrives.
static FIRST_BYTES: [Option<PacketType>; 256] = {
    let mut table = [None; 256];
    let mut first = 0;
    while first < table.len() {
        table[first] = PacketType::of_first_byte(first as u8);
        first += 1;
    }
    table
};

/// The type of a control packet; the discriminant is the high nibble of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// CONNECT.
    Connect = 1,
    /// CONNACK.
    Connack = 2,
    /// PUBLISH.
    Publish = 3,
    /// PUBACK.
    Puback = 4,
    /// PUBREC.
    Pubrec = 5,
    /// PUBREL.
    Pubrel = 6,
    /// PUBCOMP.
    Pubcomp = 7,
    /// SUBSCRIBE.
    Subscribe = 8,
    /// SUBACK.
    Suback = 9,
    /// UNSUBSCRIBE.
    Unsubscribe = 10,
    /// UNSUBACK.
    Unsuback = 11,
    /// PINGREQ.
    Pingreq = 12,
    /// PINGRESP.
    Pingresp = 13,
    /// DISCONNECT.
    Disconnect = 14,
    /// AUTH.
    Auth = 15,
}

impl PacketType {
    /// Every type, in the order of the standard.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Connack,
        Self::Publish,
        Self::Puback,
        Self::Pubrec,
        Self::Pubrel,
        Self::Pubcomp,
        Self::Subscribe,
        Self::Suback,
        Self::Unsubscribe,
        Self::Unsuback,
        Self::Pingreq,
        Self::Pingresp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// Reads the first byte of a packet and checks the flags in its low nibble.
    ///
    /// # Errors
    ///
    /// Type 0, reserved flags with another value than the standard tables (MQTT-2.1.3-1), QoS 3
    /// (MQTT-3.3.1-4), and DUP with QoS 0 (MQTT-3.3.1-2).
    #[inline]
    pub(crate) fn from_first_byte(first: u8) -> Result<Self, DecodeError> {
        match FIRST_BYTES[usize::from(first)] {
            Some(packet) => Ok(packet),
            None => Err(Self::illegal_first_byte(first)),
        }
    }

    /// The rule behind [`FIRST_BYTES`].
    const fn of_first_byte(first: u8) -> Option<Self> {
        match first {
            0x10 => Some(Self::Connect),
            0x20 => Some(Self::Connack),
            0x30..=0x35 | 0x3a..=0x3d => Some(Self::Publish),
            0x40 => Some(Self::Puback),
            0x50 => Some(Self::Pubrec),
            0x62 => Some(Self::Pubrel),
            0x70 => Some(Self::Pubcomp),
            0x82 => Some(Self::Subscribe),
            0x90 => Some(Self::Suback),
            0xa2 => Some(Self::Unsubscribe),
            0xb0 => Some(Self::Unsuback),
            0xc0 => Some(Self::Pingreq),
            0xd0 => Some(Self::Pingresp),
            0xe0 => Some(Self::Disconnect),
            0xf0 => Some(Self::Auth),
            _ => None,
        }
    }

    /// The first byte of a packet of this type, without the flags of PUBLISH.
    #[inline]
    pub(crate) const fn first_byte(self) -> u8 {
        let reserved_flags = match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        (self as u8) << 4 | reserved_flags
    }

    /// The name in the standard's spelling, such as `PUBLISH`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Connack => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::Puback => "PUBACK",
            Self::Pubrec => "PUBREC",
            Self::Pubrel => "PUBREL",
            Self::Pubcomp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Suback => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Unsuback => "UNSUBACK",
            Self::Pingreq => "PINGREQ",
            Self::Pingresp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }

    #[cold]
    fn illegal_first_byte(first: u8) -> DecodeError {
        let flags = first & 0x0f;
        match Self::ALL
            .into_iter()
            .find(|&packet| packet as u8 == first >> 4)
        {
            Some(packet) => DecodeError::FixedHeaderFlags { packet, flags },
            None => DecodeError::ReservedPacketType { value: first >> 4 },
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MQTT-2.1.3-1, MQTT-3.3.1-2, MQTT-3.3.1-4: exactly these 24 first bytes are legal.
    #[test]
    fn first_byte_is_legal_only_with_the_flags_of_its_type() {
        let legal: Vec<u8> = (0..=255)
            .filter(|&b| PacketType::from_first_byte(b).is_ok())
            .collect();
        let expected = [
            0x10, 0x20, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3a, 0x3b, 0x3c, 0x3d, 0x40, 0x50,
            0x62, 0x70, 0x82, 0x90, 0xa2, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0,
        ];
        assert_eq!(legal, expected);
    }

    #[test]
    fn first_byte_round_trips() {
        for packet in PacketType::ALL {
            assert_eq!(PacketType::from_first_byte(packet.first_byte()), Ok(packet));
        }
    }

    #[test]
    fn illegal_first_byte_names_the_packet_and_its_flags() {
        let text = |byte| {
            PacketType::from_first_byte(byte)
                .expect_err("illegal")
                .to_string()
        };
        assert_eq!(
            text(0x80),
            "fixed header flags 0b0000 are not allowed in SUBSCRIBE"
        );
        assert_eq!(
            text(0x36),
            "fixed header flags 0b0110 are not allowed in PUBLISH"
        );
        assert_eq!(text(0x0f), "packet type 0 is reserved");
    }
}
