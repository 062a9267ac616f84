//! Keeps web pages out: an address on the loopback interface is in reach of every page that a browser
//! on this machine shows.
//!
//! A page under a name of its own that resolves to 127.0.0.1 is known by its `Host`. Any other page
//! is known by its `Origin`, which browsers send along with everything that could change something,
//! or by `Sec-Fetch-Site`, which they send along with everything, images and links included.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderName, ORIGIN, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;

use crate::auth::origin::{is_local, is_local_host, is_local_origin};
use crate::engine::Engine;

use super::arrival::Entrance;
use super::error::{ApiError, excerpt};

/// What a browser says about the page that a request is for (Fetch Metadata, section 2.3).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request through whose `Host` is this machine, or an allowed name, and that no page from
/// elsewhere sent.
pub(super) async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    let allowed = &guard.engine.broker.config().http_allowed_hosts;
    let checked = check_framing(headers).and_then(|()| match guard.entrance {
        Entrance::Own => {
            check_host(headers, uri, allowed).and_then(|()| check_page(headers, allowed))
        }
        // No page gets here by a name of its own, which is none of the server certificate's (TLS); and devices
        // may know this machine by any name.
        #[cfg(feature = "doors")]
        Entrance::Door | Entrance::DeviceDoor => check_page(headers, allowed),
    });
    match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let listener = guard.entrance.listener();
            log(listener, request.method().as_str(), headers, uri, &refusal);
            (guard.refuse)(refusal, &request)
        }
    }
}

/// Nobody is to guess what an answer is: some of them repeat what clients have sent.
pub(super) async fn keep_kind(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What stands in front of a family of paths.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) engine: Arc<Engine>,
    pub(super) entrance: Entrance,
    /// The form of a refusal that those who call these paths read.
    pub(super) refuse: Refuse,
}

/// Makes an answer of a refusal, as whoever sent the request reads it.
pub(super) type Refuse = fn(ApiError, &Request) -> Response;

/// What came from outside is a string value: subscribers quote and escape those.
fn log(listener: &'static str, method: &str, headers: &HeaderMap, uri: &Uri, refusal: &ApiError) {
    let text = |name| {
        let value = headers.get(name);
        value.map_or_else(String::new, |value| {
            excerpt(&String::from_utf8_lossy(value.as_bytes())).into_owned()
        })
    };
    tracing::info!(
        listener,
        method = &*excerpt(method),
        path = &*excerpt(uri.path()),
        host = text(HOST),
        origin = text(ORIGIN),
        reason = refusal.text(),
        "request refused",
    );
}

/// Whether the request says once for whom it is (RFC 9112, 3.2), and its body comes as it is or in chunks (6.1).
fn check_framing(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.get_all(HOST).iter().count() > 1 {
        let error = "there is more than one Host header";
        return Err(ApiError::invalid("Host", error));
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match codings.find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        None => Ok(()),
        Some(coding) => {
            let coding = String::from_utf8_lossy(coding.as_bytes());
            let error = format!("Transfer-Encoding '{}' is not chunked", excerpt(&coding));
            Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, error).at("Transfer-Encoding"))
        }
    }
}

/// Whether the request is for this machine, or an allowed name.
fn check_host(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> Result<(), ApiError> {
    if !headers.contains_key(HOST) {
        return Err(ApiError::forbidden("no Host header"));
    }
    check_header(headers, HOST, |value| is_local_host(value, allowed))?;
    match uri.authority() {
        Some(named) if !is_local_host(named.as_str(), allowed) => Err(ApiError::forbidden(
            format!("host '{}' is not allowed", excerpt(named.as_str())),
        )),
        _ => Ok(()),
    }
}

/// Whether the request comes from no page, or from one of this machine or of an allowed name.
fn check_page(headers: &HeaderMap, allowed: &[String]) -> Result<(), ApiError> {
    check_header(headers, ORIGIN, |value| is_local_origin(value, allowed))?;
    let is_known_page = headers.contains_key(ORIGIN) || has_loopback_host(headers);
    check_header(headers, SEC_FETCH_SITE, |value| {
        is_site_allowed(value, is_known_page)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

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
            check_page(&headers(&lines), &allowed).is_ok()
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
        assert!(check_page(&all, &[]).is_err());
    }
}
