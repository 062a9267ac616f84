//! The two protocol versions that the broker speaks.

use std::fmt;

/// The bit of the Protocol Version byte by which a broker that connects as a client says what it is.
/// No standard has it; mosquitto's bridges of 3.1.1 set it unless `try_private` is off, and fall back
/// to the plain level when they get return code 1.
pub(crate) const BRIDGE: u8 = 0x80;

/// A version of the MQTT protocol, as named by the Protocol Version byte of CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5, protocol version 5.
    V5,
}

impl Version {
    /// The byte that CONNECT carries for this version.
    pub fn level(self) -> u8 {
        match self {
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }

    /// The version that a Protocol Version byte names, if the broker speaks it. [`BRIDGE`] says
    /// something else about the client and does not count.
    pub(crate) fn from_level(level: u8) -> Option<Self> {
        match level & !BRIDGE {
            4 => Some(Self::V311),
            5 => Some(Self::V5),
            _ => None,
        }
    }

    /// The version whose CONNACK the sender of a Protocol Version byte can read, whether that
    /// version is served or not. All versions up to 3.1.1 share one form.
    pub(crate) fn of_answer_to(level: u8) -> Self {
        match level & !BRIDGE {
            0..5 => Self::V311,
            _ => Self::V5,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        })
    }
}
