//! Authorities that may sign for the names of one machine only: Name Constraints (RFC 5280, section
//! 4.2.1.10).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::CertError;
use super::certificate::{host_name, is_name};

/// The names and addresses that an authority may sign for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Host names, each with all names below it.
    names: Vec<String>,
    networks: Vec<Network>,
}

/// A network of IP addresses, in the form of the extension.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    address: Vec<u8>,
    mask: Vec<u8>,
}

impl Limits {
    /// Those of this machine: `localhost` and the names below it, the name of the host, the loopback
    /// addresses, and what is named besides.
    ///
    /// # Errors
    ///
    /// What is neither a host name nor an address.
    pub(super) fn local(further: &[String]) -> Result<Self, CertError> {
        let mut limits = Self::default();
        limits.add_name("localhost");
        if let Some(host) = host_name() {
            limits.add_name(&host);
        }
        limits.add_network(Ipv4Addr::LOCALHOST.into(), 8);
        limits.add_network(Ipv6Addr::LOCALHOST.into(), 128);
        for name in further {
            match name.parse::<IpAddr>() {
                Ok(address) if address.is_ipv4() => limits.add_network(address, 32),
                Ok(address) => limits.add_network(address, 128),
                Err(_) if is_name(name) => limits.add_name(base(name)),
                Err(_) => return Err(CertError::San { name: name.clone() }),
            }
        }
        Ok(limits)
    }

    /// Those of an authority; none where it may sign for whatever host name, or whatever address.
    pub(super) fn of(authority: &X509Certificate<'_>) -> Option<Self> {
        let constraints = authority.name_constraints().ok()??.value;
        let mut limits = Self::default();
        for subtree in constraints.permitted_subtrees.iter().flatten() {
            match &subtree.base {
                GeneralName::DNSName(name) => limits.names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => limits.networks.push(Network::of(bytes)),
                _ => {}
            }
        }
        // The empty name stands for every one.
        let limits_names = !limits.names.is_empty() && !limits.names.iter().any(String::is_empty);
        (limits_names && !limits.networks.is_empty()).then_some(limits)
    }

    /// Whether the authority may sign for a host name, also one with a wildcard, or an address.
    pub(super) fn permit(&self, name: &str) -> bool {
        match name.parse::<IpAddr>() {
            Ok(address) => {
                let bytes = bytes(address);
                self.networks.iter().any(|network| network.has(&bytes))
            }
            Err(_) => {
                let name = base(name).to_ascii_lowercase();
                self.names.iter().any(|allowed| is_below(&name, allowed))
            }
        }
    }

    /// The extension that says so.
    pub(super) fn extension(&self) -> NameConstraints {
        let names = self.names.iter().cloned().map(GeneralSubtree::DnsName);
        let networks = self.networks.iter().filter_map(Network::subnet);
        NameConstraints {
            permitted_subtrees: names
                .chain(networks.map(GeneralSubtree::IpAddress))
                .collect(),
            excluded_subtrees: Vec::new(),
        }
    }

    fn add_name(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if !self.names.iter().any(|allowed| is_below(&name, allowed)) {
            self.names.push(name);
        }
    }

    fn add_network(&mut self, address: IpAddr, prefix: u8) {
        let mut network = match CidrSubnet::from_addr_prefix(address, prefix) {
            CidrSubnet::V4(address, mask) => Network {
                address: address.to_vec(),
                mask: mask.to_vec(),
            },
            CidrSubnet::V6(address, mask) => Network {
                address: address.to_vec(),
                mask: mask.to_vec(),
            },
        };
        for (byte, mask) in network.address.iter_mut().zip(&network.mask) {
            *byte &= mask;
        }
        if !self
            .networks
            .iter()
            .any(|known| known.has(&network.address))
        {
            self.networks.push(network);
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks = self.networks.iter().map(Network::to_string);
        let all: Vec<_> = self.names.iter().cloned().chain(networks).collect();
        f.write_str(&all.join(", "))
    }
}

impl Network {
    /// An address and a mask, one behind the other; nothing that could not be one has an address.
    fn of(both: &[u8]) -> Self {
        let (address, mask) = both.split_at(both.len() / 2);
        Self {
            address: address.to_vec(),
            mask: mask.to_vec(),
        }
    }

    fn has(&self, address: &[u8]) -> bool {
        let bytes = self.address.iter().zip(&self.mask).zip(address);
        self.address.len() == address.len()
            && bytes
                .into_iter()
                .all(|((own, mask), byte)| own & mask == byte & mask)
    }

    fn subnet(&self) -> Option<CidrSubnet> {
        let (address, mask) = (&*self.address, &*self.mask);
        match address.len() {
            4 => Some(CidrSubnet::V4(
                address.try_into().ok()?,
                mask.try_into().ok()?,
            )),
            _ => Some(CidrSubnet::V6(
                address.try_into().ok()?,
                mask.try_into().ok()?,
            )),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match self.subnet() {
            Some(CidrSubnet::V4(address, _)) => IpAddr::from(address),
            Some(CidrSubnet::V6(address, _)) => IpAddr::from(address),
            None => return f.write_str("an address that is none"),
        };
        let ones: u32 = self.mask.iter().map(|byte| byte.count_ones()).sum();
        write!(f, "{address}/{ones}")
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// What a wildcard stands below, or the name itself.
fn base(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

/// Whether a name in small letters is another one, or has labels in front of it.
fn is_below(name: &str, allowed: &str) -> bool {
    let allowed = allowed.trim_start_matches('.').to_ascii_lowercase();
    match name.strip_suffix(&allowed) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(further: &[&str]) -> Limits {
        let further: Vec<_> = further.iter().map(|&name| name.to_owned()).collect();
        Limits::local(&further).unwrap()
    }

    #[test]
    fn names_of_this_machine_are_permitted_and_no_others() {
        let limits = local(&["broker.test", "*.devices.test", "192.0.2.7", "2001:db8::1"]);
        for name in [
            "localhost",
            "LocalHost",
            "iot.localhost",
            "*.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "broker.test",
            "a.broker.test",
            "*.devices.test",
            "a.devices.test",
            "192.0.2.7",
            "2001:db8::1",
        ] {
            assert!(limits.permit(name), "{name}");
        }
        for name in [
            "amazonaws.com",
            "notlocalhost",
            "localhost.evil.test",
            "notbroker.test",
            "128.0.0.1",
            "192.0.2.8",
            "::2",
            "::ffff:127.0.0.1",
            "2001:db8::2",
            "",
        ] {
            assert!(!limits.permit(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let error = Limits::local(&["a b".to_owned()]).unwrap_err();
        assert!(matches!(error, CertError::San { name } if name == "a b"));
    }

    #[test]
    fn limits_are_written_as_names_and_networks() {
        let text = local(&["192.0.2.7"]).to_string();
        assert!(text.starts_with("localhost, "), "{text}");
        assert!(
            text.ends_with("127.0.0.0/8, ::1/128, 192.0.2.7/32"),
            "{text}"
        );
    }

    #[test]
    fn a_name_that_is_permitted_already_is_not_added() {
        let further = ["a.localhost", "LOCALHOST", "127.0.0.1", "::1"];
        let text = local(&further).to_string();
        assert_eq!(text.matches("localhost").count(), 1, "{text}");
    }
}
