//! Signature Version 4 of AWS: whether a request was signed with a secret that is known here
//! (AWS-FLOW-40 to -48).
//!
//! A signature stands in the header `Authorization`, or in the query of a URL, which is how a WebSocket is
//! asked for. What was signed is worked out from the request as it was received, so that whatever
//! `SignedHeaders` lists counts. Neither clock nor secrets are here: the caller brings both.

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use hyper::HeaderMap;

use crate::config::AccessKey;

use super::hex;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A signature may be so old, or so far ahead, in seconds (AWS-FLOW-47).
const SKEW: i64 = 300;

/// The longest time that a signature in a URL may hold, in seconds: seven days.
const LONGEST: i64 = 604_800;

/// A request, as far as a signature is about it.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// As it was sent, with its escapes.
    pub(crate) path: &'a str,
    /// Without the question mark.
    pub(crate) query: &'a str,
    /// Names in small letters, in the order of the request.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// The headers of a request that a signature can be about.
pub(crate) fn as_text(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let headers = headers.iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    headers.collect()
}

/// Who says to have signed a request, and how.
struct Claim {
    access_key_id: String,
    /// `20261128/us-east-1/iot/aws4_request`
    scope: String,
    /// `20261128T203352Z`
    date: String,
    signed_headers: Vec<String>,
    signature: String,
    /// How long it holds, in seconds, if it says so itself.
    expires: Option<i64>,
    is_in_query: bool,
}

/// Why a request is not taken as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Missing,
    Incomplete,
    UnknownKey,
    Expired,
    Wrong,
}

impl Refused {
    /// What the service says of it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Missing => "Missing Authentication Token",
            Self::Incomplete => {
                "The signature is incomplete: credential, signed headers with the host, signature and date \
                 are needed."
            }
            Self::UnknownKey => "The security token included in the request is invalid.",
            Self::Expired => {
                "Signature expired: its date is more than five minutes, or X-Amz-Expires, away from the \
                 clock of this machine."
            }
            Self::Wrong => {
                "The request signature we calculated does not match the signature you provided. Check \
                 your secret access key and signing method."
            }
        }
    }
}

/// Checks that a request was signed with one of `keys` about now (seconds since 1970).
///
/// # Errors
///
/// What is wrong with the signature, if there is one.
pub(crate) fn verify<'k>(
    keys: &'k [AccessKey],
    request: &Request<'_>,
    now: i64,
) -> Result<&'k AccessKey, Refused> {
    let claim = Claim::of(request)?.ok_or(Refused::Missing)?;
    let key = keys.iter().find(|key| key.id == claim.access_key_id);
    let key = key.ok_or(Refused::UnknownKey)?;
    claim.verify(request, &key.secret, now)?;
    Ok(key)
}

impl Claim {
    /// The claim of a request; none if it is not signed.
    ///
    /// # Errors
    ///
    /// A signature that lacks a part.
    fn of(request: &Request<'_>) -> Result<Option<Self>, Refused> {
        if let Some(header) = request.header("authorization") {
            return Self::in_header(header, request).map(Some);
        }
        match request.parameter("X-Amz-Signature") {
            Some(signature) => Self::in_query(signature, request).map(Some),
            None => Ok(None),
        }
    }

    fn in_header(header: &str, request: &Request<'_>) -> Result<Self, Refused> {
        let parts = header.strip_prefix(ALGORITHM).ok_or(Refused::Incomplete)?;
        let part = |name: &str| {
            let mut parts = parts.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let (Some(credential), Some(headers), Some(signature)) =
            (part("Credential"), part("SignedHeaders"), part("Signature"))
        else {
            return Err(Refused::Incomplete);
        };
        let date = request.header("x-amz-date").ok_or(Refused::Incomplete)?;
        Self::new(credential, headers, signature, date, None, false)
    }

    fn in_query(signature: String, request: &Request<'_>) -> Result<Self, Refused> {
        let needed = |name| request.parameter(name).ok_or(Refused::Incomplete);
        if needed("X-Amz-Algorithm")? != ALGORITHM {
            return Err(Refused::Incomplete);
        }
        let expires = match request.parameter("X-Amz-Expires") {
            Some(text) => match text.parse() {
                Ok(seconds @ 1..=LONGEST) => Some(seconds),
                Ok(_) | Err(_) => return Err(Refused::Incomplete),
            },
            None => None,
        };
        Self::new(
            &needed("X-Amz-Credential")?,
            &needed("X-Amz-SignedHeaders")?,
            &signature,
            &needed("X-Amz-Date")?,
            expires,
            true,
        )
    }

    fn new(
        credential: &str,
        headers: &str,
        signature: &str,
        date: &str,
        expires: Option<i64>,
        is_in_query: bool,
    ) -> Result<Self, Refused> {
        let (access_key_id, scope) = credential.split_once('/').ok_or(Refused::Incomplete)?;
        let parts: Vec<_> = scope.split('/').collect();
        let is_scope = matches!(*parts, [day, _, _, "aws4_request"] if date.starts_with(day));
        if !is_scope || access_key_id.is_empty() {
            return Err(Refused::Incomplete);
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            scope: scope.to_owned(),
            date: date.to_owned(),
            signed_headers: headers.split(';').map(str::to_owned).collect(),
            signature: signature.to_owned(),
            expires,
            is_in_query,
        })
    }

    /// Checks that a request was signed as claimed, with this secret, about now (seconds since 1970).
    ///
    /// # Errors
    ///
    /// What is wrong; where a signature differs from what it should be cannot be told by the time it takes.
    fn verify(&self, request: &Request<'_>, secret: &str, now: i64) -> Result<(), Refused> {
        let date = seconds(&self.date).ok_or(Refused::Incomplete)?;
        let lifetime = self.expires.unwrap_or(SKEW);
        if now < date - SKEW || now > date + lifetime {
            return Err(Refused::Expired);
        }
        // A host that is not signed is anybody's.
        if !self.signed_headers.iter().any(|name| name == "host") {
            return Err(Refused::Incomplete);
        }
        let key = self.key(secret);
        // Clients of MQTT put the token behind what they signed, others into it (AWS-FLOW-45).
        let tokens: &[bool] = match self.is_in_query {
            true => &[false, true],
            false => &[true],
        };
        let is_right = tokens.iter().any(|&with_token| {
            let expected = hex(sign(&key, self.text(request, with_token).as_bytes()).as_ref());
            verify_slices_are_equal(expected.as_bytes(), self.signature.as_bytes()).is_ok()
        });
        match is_right {
            true => Ok(()),
            false => Err(Refused::Wrong),
        }
    }

    /// The key of the day, Region and service.
    fn key(&self, secret: &str) -> Key {
        let first = Key::new(HMAC_SHA256, format!("AWS4{secret}").as_bytes());
        self.scope.split('/').fold(first, |key, part| {
            Key::new(HMAC_SHA256, sign(&key, part.as_bytes()).as_ref())
        })
    }

    /// What is signed.
    fn text(&self, request: &Request<'_>, with_token: bool) -> String {
        let canonical = self.canonical(request, with_token);
        let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        format!("{ALGORITHM}\n{}\n{}\n{hash}", self.date, self.scope)
    }

    /// The request in the form that both sides can work out.
    fn canonical(&self, request: &Request<'_>, with_token: bool) -> String {
        let mut headers = String::new();
        for name in &self.signed_headers {
            let values: Vec<_> = request.values(name).map(without_gaps).collect();
            let _ = writeln!(headers, "{name}:{}", values.join(",")); // a String takes whatever is written
        }
        // `x-amz-content-sha256` says what it should be; only the body itself says what it is.
        let hash = hex(digest(&SHA256, request.body).as_ref());
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{hash}",
            request.method,
            escaped(request.path.as_bytes(), b"/"),
            self.canonical_query(request, with_token),
            self.signed_headers.join(";"),
        )
    }

    fn canonical_query(&self, request: &Request<'_>, with_token: bool) -> String {
        let is_signed = |name: &str| match name {
            "X-Amz-Signature" => !self.is_in_query,
            "X-Amz-Security-Token" => with_token,
            _ => true,
        };
        let parameters = request.parameters().filter(|(name, _)| is_signed(name));
        let mut parameters: Vec<_> = parameters
            .map(|(name, value)| {
                let escape = |text: &str| escaped(text.as_bytes(), b"");
                (escape(&name), escape(&value))
            })
            .collect();
        parameters.sort_unstable();
        let parameters = parameters
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        parameters.collect::<Vec<_>>().join("&")
    }
}

impl<'a> Request<'a> {
    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let headers = self.headers.iter();
        headers.filter_map(move |(own, value)| (*own == name).then_some(*value))
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Names and values of the query, decoded.
    fn parameters(&self) -> impl Iterator<Item = (String, String)> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescaped(name), unescaped(value))
        })
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let mut parameters = self.parameters();
        parameters.find_map(|(own, value)| (own == name).then_some(value))
    }
}

/// Spaces around a value are left out, and several are one.
fn without_gaps(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Everything but unreserved characters (RFC 3986, section 2.3) and `kept` escaped.
fn escaped(bytes: &[u8], kept: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            text.push(byte.into());
        } else {
            let _ = write!(text, "%{byte:02X}"); // a String takes whatever is written
        }
    }
    text
}

fn unescaped(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// Seconds since 1970 of a date as `20261128T203352Z`.
fn seconds(date: &str) -> Option<i64> {
    let format = time::macros::format_description!(
        version = 2,
        "[year][month][day]T[hour][minute][second]Z"
    );
    let date = time::PrimitiveDateTime::parse(date, format).ok()?;
    Some(date.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const NOW: i64 = 1_767_225_600; // 2026-01-01T00:00:00Z

    fn query(signature: &str, token: &str) -> String {
        format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={KEY}%2F20260101%2Fus-east-1%2Fiotdevicegateway%2Faws4_request\
             &X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=connection%3Bhost{token}\
             &X-Amz-Signature={signature}"
        )
    }

    const SIGNATURE: &str = "6af114b24cb3c2642863d04ff7c6ad6573307579993335a5bdbf4ee8496048eb";
    const HEADERS: &[(&str, &str)] = &[("host", "localhost"), ("connection", "Upgrade")];

    fn upgrade<'a>(query: &'a str, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
        Request {
            method: "GET",
            path: "/mqtt",
            query,
            headers,
            body: b"",
        }
    }

    fn check(request: &Request<'_>, secret: &str, now: i64) -> Result<String, Refused> {
        let key = |id: &str, secret: &str| AccessKey {
            id: id.to_owned(),
            secret: secret.to_owned(),
            policy: None,
        };
        let keys = [key("ANOTHER", "x"), key(KEY, secret)];
        verify(&keys, request, now).map(|key| key.id.clone())
    }

    /// AWS-FLOW-48 AWS-FLOW-45
    #[test]
    fn signature_of_the_sdk_is_right_with_a_token_behind_it_and_without() {
        for token in ["", "&X-Amz-Security-Token=abc%2F%3D"] {
            let query = query(SIGNATURE, token);
            let request = upgrade(&query, HEADERS);
            assert_eq!(check(&request, SECRET, NOW).as_deref(), Ok(KEY));
        }
    }

    #[test]
    fn each_part_that_is_altered_makes_it_wrong() {
        let right = query(SIGNATURE, "");
        let altered = |from: &str, to: &str| right.replace(from, to);
        for wrong in [
            altered("us-east-1", "us-east-2"),
            altered("iotdevicegateway", "iot"),
            altered("20260101T000000Z", "20260101T000001Z"),
            altered("connection%3Bhost", "host"),
            altered("6af114", "6af115"),
            altered("48eb", "48ec"),
            altered("48eb", "48"),
            format!("{right}&a=b"),
        ] {
            let refused = check(&upgrade(&wrong, HEADERS), SECRET, NOW);
            assert_eq!(refused, Err(Refused::Wrong), "{wrong}");
        }
        for headers in [
            &[("host", "localhost:443"), ("connection", "Upgrade")],
            &[("host", "localhost"), ("connection", "upgrade")],
        ] {
            let refused = check(&upgrade(&right, headers), SECRET, NOW);
            assert_eq!(refused, Err(Refused::Wrong), "{headers:?}");
        }
        for (method, path) in [("POST", "/mqtt"), ("GET", "/mqtt2")] {
            let request = Request {
                method,
                path,
                ..upgrade(&right, HEADERS)
            };
            assert_eq!(check(&request, SECRET, NOW), Err(Refused::Wrong));
        }
        let request = upgrade(&right, HEADERS);
        assert_eq!(check(&request, "another", NOW), Err(Refused::Wrong));
        for now in [NOW - SKEW - 1, NOW + SKEW + 1] {
            assert_eq!(check(&request, SECRET, now), Err(Refused::Expired));
        }
    }

    #[test]
    fn half_a_signature_is_none() {
        let right = query(SIGNATURE, "");
        for part in ["Algorithm", "Credential", "Date", "SignedHeaders"] {
            let wrong = right.replace(&format!("X-Amz-{part}"), "X-Amz-Other");
            let refused = check(&upgrade(&wrong, HEADERS), SECRET, NOW);
            assert_eq!(refused, Err(Refused::Incomplete), "{part}");
        }
        let unsigned = upgrade("a=b", HEADERS);
        assert_eq!(check(&unsigned, SECRET, NOW), Err(Refused::Missing));
        for header in [
            "Basic YTpi",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a",
            "AWS4-HMAC-SHA256 Credential=A/20260101/r/iot/aws4_request, SignedHeaders=host",
        ] {
            let headers = [
                ("authorization", header),
                ("x-amz-date", "20260101T000000Z"),
            ];
            let refused = check(&upgrade("", &headers), SECRET, NOW);
            assert_eq!(refused, Err(Refused::Incomplete), "{header}");
        }
    }

    #[test]
    fn key_that_nobody_has_is_named_as_such() {
        let query = query(SIGNATURE, "");
        let refused = verify(&[], &upgrade(&query, HEADERS), NOW);
        assert_eq!(refused.err(), Some(Refused::UnknownKey));
    }

    /// What signs a request that claims to be signed.
    fn signature(request: &Request<'_>) -> String {
        let claim = Claim::of(request).ok().flatten().expect("a claim");
        let text = claim.text(request, false);
        hex(sign(&claim.key(SECRET), text.as_bytes()).as_ref())
    }

    #[test]
    fn url_holds_as_long_as_it_says_itself() {
        let signed = |expires: i64| {
            let expires = format!("&X-Amz-Expires={expires}");
            let unsigned = query("-", &expires);
            let signature = signature(&upgrade(&unsigned, HEADERS));
            query(&signature, &expires)
        };
        for expires in [1, 60, 3_600, LONGEST] {
            let query = signed(expires);
            let request = upgrade(&query, HEADERS);
            for now in [NOW - SKEW, NOW + expires] {
                assert_eq!(check(&request, SECRET, now).as_deref(), Ok(KEY));
            }
            for now in [NOW - SKEW - 1, NOW + expires + 1] {
                assert_eq!(check(&request, SECRET, now), Err(Refused::Expired));
            }
        }
        for expires in ["0", "-1", "604801", "1.5", "x", ""] {
            let query = query(SIGNATURE, &format!("&X-Amz-Expires={expires}"));
            let refused = check(&upgrade(&query, HEADERS), SECRET, NOW);
            assert_eq!(refused, Err(Refused::Incomplete), "{expires}");
        }
    }

    #[test]
    fn body_is_signed_whatever_a_header_says_of_it() {
        let hash = hex(digest(&SHA256, b"{}").as_ref());
        for stated in [Some(&*hash), Some("UNSIGNED-PAYLOAD"), None] {
            let signed = |signature: &str, body| {
                let authorization = format!(
                    "AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/iot/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={signature}"
                );
                let mut headers = vec![
                    ("host", "localhost"),
                    ("x-amz-date", "20260101T000000Z"),
                    ("authorization", &*authorization),
                ];
                headers.extend(stated.map(|hash| ("x-amz-content-sha256", hash)));
                let request = Request {
                    method: "POST",
                    path: "/things/a",
                    query: "",
                    headers: &headers,
                    body,
                };
                (
                    self::signature(&request),
                    check(&request, SECRET, NOW).map(drop),
                )
            };
            let (signature, _) = signed("-", b"{}");
            assert_eq!(signed(&signature, b"{}").1, Ok(()));
            let (_, altered) = signed(&signature, b"{\"thingTypeName\":\"b\"}");
            assert_eq!(altered, Err(Refused::Wrong), "{stated:?}");
        }
    }

    /// The suite of AWS for the signature: `get-vanilla-query-order-key-case`.
    #[test]
    fn parameters_are_put_in_order() {
        let authorization = "AWS4-HMAC-SHA256 \
             Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        let headers = [
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
            ("authorization", authorization),
        ];
        let request = Request {
            method: "GET",
            path: "/",
            query: "Param2=value2&Param1=value1",
            headers: &headers,
            body: b"",
        };
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let now = 1_440_938_160; // 2015-08-30T12:36:00Z
        assert_eq!(check(&request, secret, now).as_deref(), Ok("AKIDEXAMPLE"));
    }
}
