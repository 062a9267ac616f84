//! Keeps web pages out: an address on the loopback interface is in reach of every page that a browser
//! on this machine shows.
//!
//! A page under a name of its own that resolves to 127.0.0.1 is known by its `Host`. Any other page
//! is known by its `Origin`, which browsers send along with everything that could change something,
//! or by `Sec-Fetch-Site`, which they send along with everything, images and links included.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::net::Shared;

use super::error::{ApiError, excerpt};

/// What a browser says about the page that a request is for (Fetch Metadata, section 2.3).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request through whose `Host` is this machine, or an allowed name, and that no page from
/// elsewhere sent.
pub(super) async fn admit(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    match check(headers, uri, &shared.broker.config().http_allowed_hosts) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            log(request.method().as_str(), headers, uri, &refusal);
            refusal.into_response()
        }
    }
}

/// What came from outside is written as Debug text, which no line break leaves.
fn log(method: &str, headers: &HeaderMap, uri: &Uri, refusal: &ApiError) {
    let text = |name| {
        let value = headers.get(name);
        value.map_or_else(String::new, |value| {
            excerpt(&String::from_utf8_lossy(value.as_bytes())).into_owned()
        })
    };
    tracing::info!(
        listener = "http",
        method = ?excerpt(method),
        path = ?excerpt(uri.path()),
        host = ?text(HOST),
        origin = ?text(ORIGIN),
        reason = ?refusal.text(),
        "request refused",
    );
}

fn check(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> Result<(), ApiError> {
    if !headers.contains_key(HOST) {
        return Err(ApiError::forbidden("no Host header"));
    }
    check_header(headers, HOST, |value| is_local(value, allowed))?;
    check_header(headers, ORIGIN, |value| is_local_origin(value, allowed))?;
    let is_known_page = headers.contains_key(ORIGIN) || has_loopback_host(headers);
    check_header(headers, SEC_FETCH_SITE, |value| {
        is_site_allowed(value, is_known_page)
    })?;
    match uri.authority() {
        Some(named) if !is_local(named.as_str(), allowed) => Err(ApiError::forbidden(format!(
            "host '{}' is not allowed",
            excerpt(named.as_str())
        ))),
        _ => Ok(()),
    }
}

/// Every value of the header has to be fine.
fn check_header(
    headers: &HeaderMap,
    name: HeaderName,
    is_fine: impl Fn(&str) -> bool,
) -> Result<(), ApiError> {
    for value in headers.get_all(&name) {
        if !value.to_str().is_ok_and(&is_fine) {
            let value = String::from_utf8_lossy(value.as_bytes());
            return Err(ApiError::forbidden(format!(
                "{name} '{}' is not allowed",
                excerpt(&value)
            )));
        }
    }
    Ok(())
}

/// Whether every `Host` is a loopback name or address, and not merely an allowed name.
fn has_loopback_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    hosts.all(|host| host.to_str().is_ok_and(|host| is_local(host, &[])))
}

/// Whether a page may send a request that a browser marks with `site`.
///
/// `cross-site` is a page from elsewhere, also where it only links to here or shows an image from
/// here. A `same-site` one is of this machine if the host is a loopback one: any port of it, as the
/// rule for `Origin` has it. Below an allowed name it may be a stranger, `other.example.com` beside
/// `broker.example.com`, which its Origin has to tell: `is_known_page` says that there is one that
/// passed, or that the host is a loopback one. `same-origin` and `none`, the user's own doing, pass,
/// and so does a value that nobody knows, as the specification asks.
fn is_site_allowed(site: &str, is_known_page: bool) -> bool {
    let is = |name| site.trim().eq_ignore_ascii_case(name);
    !is("cross-site") && (is_known_page || !is("same-site"))
}

fn is_local_origin(origin: &str, allowed: &[String]) -> bool {
    // The origin of a sandboxed page or a file is the word `null`, which has no authority.
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| is_local(authority, allowed))
}

/// Whether `authority`, a host with or without a port, is this machine or an allowed name.
fn is_local(authority: &str, allowed: &[String]) -> bool {
    let Some(host) = host_of(authority) else {
        return false;
    };
    is_loopback(host)
        || allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
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

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let lines = lines.iter().cloned();
        HeaderMap::from_iter(lines.map(|(name, value)| (name, value.parse().expect("a value"))))
    }

    #[test]
    fn page_from_elsewhere_is_kept_out_by_what_its_browser_says() {
        let allowed = ["broker.example.com".to_owned()];
        let is_admitted = |host, origin: Option<&'static str>, site| {
            let mut lines = vec![(HOST, host), (SEC_FETCH_SITE, site)];
            lines.extend(origin.map(|origin| (ORIGIN, origin)));
            check(&headers(&lines), &Uri::from_static("/"), &allowed).is_ok()
        };
        for host in ["localhost:9883", "127.0.0.1", "broker.example.com"] {
            for (site, expected) in [
                ("cross-site", false),
                ("Cross-Site", false),
                ("same-origin", true),
                ("none", true),
                ("something-new", true),
            ] {
                assert_eq!(is_admitted(host, None, site), expected, "{host} {site}");
                let local = Some("http://localhost:3000");
                assert_eq!(is_admitted(host, local, site), expected, "{host} {site}");
            }
        }
        assert!(is_admitted("localhost", None, "same-site"));
        assert!(!is_admitted("broker.example.com", None, "same-site"));
        let own = Some("http://broker.example.com:81");
        assert!(is_admitted("broker.example.com", own, "same-site"));
        let other = Some("http://other.example.com");
        assert!(!is_admitted("broker.example.com", other, "same-site"));
    }

    #[test]
    fn one_value_from_elsewhere_among_several_is_enough() {
        let lines = [
            (HOST, "localhost"),
            (SEC_FETCH_SITE, "none"),
            (SEC_FETCH_SITE, "cross-site"),
        ];
        let (name, value) = lines[2].clone();
        let mut all = headers(&lines[..2]);
        all.append(name, value.parse().expect("a value"));
        assert!(check(&all, &Uri::from_static("/"), &[]).is_err());
    }

    #[test]
    fn origin_is_judged_by_its_host() {
        assert!(is_local_origin("http://localhost:3000", &[]));
        assert!(!is_local_origin("http://example.com", &[]));
        assert!(!is_local_origin("null", &[]));
        assert!(!is_local_origin("localhost", &[]));
    }
}
