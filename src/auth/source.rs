//! Where connections come from, as far as somebody can choose it.

use std::net::{IpAddr, Ipv6Addr};

/// What one host is known by: its IPv4 address, or the first 64 bits of its IPv6 address, because a
/// host picks the rest as it likes (RFC 4291, section 2.5.1). What this process opens to itself is one
/// source beside them, and those at a Unix socket are another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Process,
    #[cfg(unix)]
    Unix,
    Host(IpAddr),
}

impl Source {
    /// This process.
    pub(crate) const PROCESS: Self = Self(Place::Process);
    /// Processes at a Unix socket, who are of one user.
    #[cfg(unix)]
    pub(crate) const UNIX: Self = Self(Place::Unix);
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(Place::Host(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address @ IpAddr::V4(_) => address,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }
}
