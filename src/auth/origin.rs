//! Which hosts and web pages are of this machine: an address on the loopback interface is in reach of
//! every page that a browser on this machine shows.

use std::net::{IpAddr, Ipv6Addr};

/// Whether `authority`, a host with or without a port, is this machine or an allowed name.
pub(crate) fn is_local(authority: &str, allowed: &[String]) -> bool {
    let Some(host) = host_of(authority) else {
        return false;
    };
    is_loopback(host)
        || allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
}

/// Whether a request may be for `authority`: the same, or what Docker calls this machine inside of containers. A page
/// cannot have that name: nobody can register one below `internal`.
#[cfg(any(feature = "http", test))]
pub(crate) fn is_local_host(authority: &str, allowed: &[String]) -> bool {
    is_local(authority, allowed)
        || host_of(authority).is_some_and(|host| host.eq_ignore_ascii_case("host.docker.internal"))
}

/// Whether a page of this `origin` is of this machine, whatever its port, or of an allowed host.
pub(crate) fn is_local_origin(origin: &str, allowed: &[String]) -> bool {
    // The origin of a sandboxed page or a file is the word `null`, which has no authority.
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| is_local(authority, allowed))
}

/// Whether a page of this `origin` is of this machine or listed: as an origin, such as
/// `https://app.example.com`, or as a host, whatever scheme and port.
#[cfg(any(feature = "websocket", test))]
pub(crate) fn is_allowed_origin(origin: &str, listed: &[String]) -> bool {
    is_local_origin(origin, listed)
        || listed
            .iter()
            .any(|listed| listed.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// The host without its port; an IPv6 address keeps its brackets. `None` if the rest is no port.
fn host_of(authority: &str) -> Option<&str> {
    let end = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    let is_port = match rest.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()),
        None => rest.is_empty(),
    };
    is_port.then_some(host)
}

fn is_loopback(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address
            .parse::<Ipv6Addr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback());
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    // Names below localhost never leave the machine either (RFC 6761, section 6.3).
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_and_addresses_are_local_with_any_port() {
        for host in [
            "localhost",
            "LOCALHOST:9883",
            "console.localhost:1",
            "127.0.0.1",
            "127.255.1.2:9883",
            "[::1]",
            "[::1]:9883",
            "[::ffff:127.0.0.1]:9883",
        ] {
            assert!(is_local(host, &[]), "{host}");
        }
    }

    #[test]
    fn other_hosts_are_foreign() {
        for host in [
            "",
            "example.com",
            "example.com:9883",
            "localhost.example.com",
            "notlocalhost",
            "127.0.0.1.example.com",
            "127.1",
            "128.0.0.1",
            "0.0.0.0",
            "[::2]",
            "[::1]x",
            "::1",
            "localhost:x",
            "user@localhost",
            "localhost:1@example.com",
            "localhost/",
        ] {
            assert!(!is_local(host, &[]), "{host}");
        }
    }

    #[test]
    fn allowed_name_is_local_with_any_port_and_in_any_case() {
        let allowed = ["broker.test".to_owned()];
        assert!(is_local("Broker.Test:80", &allowed));
        assert!(!is_local("x.broker.test", &allowed));
        assert!(is_local_origin("https://broker.test", &allowed));
    }

    #[test]
    fn name_that_containers_have_for_this_machine_is_one_for_requests_and_none_for_pages() {
        for host in ["host.docker.internal:9883", "Host.Docker.Internal"] {
            assert!(is_local_host(host, &[]), "{host}");
            assert!(!is_local(host, &[]), "{host}");
        }
        for host in [
            "x.host.docker.internal",
            "docker.internal",
            "host.docker.internal.evil.test",
        ] {
            assert!(!is_local_host(host, &[]), "{host}");
        }
        assert!(!is_local_origin("http://host.docker.internal", &[]));
    }

    #[test]
    fn origin_is_judged_by_its_host() {
        assert!(is_local_origin("http://localhost:3000", &[]));
        assert!(!is_local_origin("http://example.com", &[]));
        assert!(!is_local_origin("null", &[]));
        assert!(!is_local_origin("localhost", &[]));
    }

    #[test]
    fn listed_origin_passes_as_a_whole_or_by_its_host() {
        let listed = [
            "https://app.example.com".to_owned(),
            "other.test".to_owned(),
        ];
        for origin in [
            "https://app.example.com",
            "HTTPS://App.Example.Com",
            "http://other.test:81",
            "http://localhost:3000",
        ] {
            assert!(is_allowed_origin(origin, &listed), "{origin}");
        }
        for origin in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "null",
            "",
        ] {
            assert!(!is_allowed_origin(origin, &listed), "{origin}");
        }
        assert!(is_allowed_origin("null", &["null".to_owned()]));
    }
}
