//! Quality of Service levels.

/// The Quality of Service of a message or a subscription. Ordered: the lower of two levels is the
/// one that a delivery gets (MQTT-3.8.4-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0: sent once, never acknowledged.
    AtMostOnce = 0,
    /// QoS 1: sent until PUBACK arrives.
    AtLeastOnce = 1,
    /// QoS 2: delivered exactly once by PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

impl QoS {
    /// Reads a two-bit QoS field. `None` for 3, which no packet may carry, and above.
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The value of the two-bit field: 0, 1 or 2.
    #[inline]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
