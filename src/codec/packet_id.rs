//! Packet Identifiers.

use std::fmt;
use std::num::NonZeroU16;

/// A Packet Identifier; zero is no identifier (MQTT-2.2.1-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PacketId(NonZeroU16);

impl PacketId {
    /// `None` for zero.
    #[inline]
    pub(crate) const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number, 1 to 65535.
    #[inline]
    pub(crate) const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
