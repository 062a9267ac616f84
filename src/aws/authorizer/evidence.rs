//! What a client presents to an authorizer, and the event that its function gets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
#[cfg(any(feature = "http", feature = "websocket"))]
use hyper::HeaderMap;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::broker::Upgrade;

/// What a client presents, on each of the ways that it has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence<'a> {
    /// The server's name that it asked for, where there is TLS.
    pub(crate) server_name: Option<Option<&'a str>>,
    pub(crate) http: Option<Http<'a>>,
    pub(crate) mqtt: Option<Mqtt<'a>>,
    /// For logs: a UUID of the connection.
    pub(crate) connection: String,
}

/// A request for an upgrade, or for something else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http<'a> {
    pub(crate) headers: &'a [(String, String)],
    /// As it was sent.
    pub(crate) query: &'a str,
}

/// A CONNECT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mqtt<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a [u8]>,
    /// If it sent one.
    pub(crate) client_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    signature_verified: bool,
    protocols: Vec<&'static str>,
    protocol_data: ProtocolData<'a>,
    connection_metadata: ConnectionMetadata<'a>,
}

#[derive(Serialize)]
struct ProtocolData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<HttpData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt: Option<MqttData<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TlsData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpData<'a> {
    headers: BTreeMap<&'a str, String>,
    query_string: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MqttData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    /// In Base64 (AWS-AUTH-07).
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
}

#[derive(Serialize)]
struct ConnectionMetadata<'a> {
    id: &'a str,
}

impl<'a> Evidence<'a> {
    /// What was presented under a name: with the user name (AWS-FLOW-22), in a header, or in a query.
    pub(super) fn find(&self, name: &str) -> Option<Cow<'a, str>> {
        let username = self.mqtt.and_then(|mqtt| mqtt.username);
        let parameters = username.and_then(|username| Some(username.split_once('?')?.1));
        let in_username = parameters.and_then(|parameters| parameter(parameters, name));
        in_username.or_else(|| self.http?.find(name))
    }

    /// The user name without parameters, if there is anything of it.
    pub(super) fn user(&self) -> Option<&'a str> {
        let username = self.mqtt?.username?;
        let user = username.split('?').next().unwrap_or_default();
        (!user.is_empty()).then_some(user)
    }

    /// The event, in JSON. The user name is in it as it came.
    pub(super) fn event(&self, token: Option<&str>, is_verified: bool) -> String {
        let ways = [
            ("tls", self.server_name.is_some()),
            ("http", self.http.is_some()),
            ("mqtt", self.mqtt.is_some()),
        ];
        let event = Event {
            token,
            signature_verified: is_verified,
            protocols: ways
                .into_iter()
                .filter_map(|(name, is_used)| is_used.then_some(name))
                .collect(),
            protocol_data: ProtocolData {
                tls: self.server_name.map(|server_name| TlsData { server_name }),
                http: self.http.map(Http::data),
                mqtt: self.mqtt.map(|mqtt| MqttData {
                    username: mqtt.username,
                    password: mqtt.password.map(|password| STANDARD.encode(password)),
                    client_id: mqtt.client_id,
                }),
            },
            connection_metadata: ConnectionMetadata {
                id: &self.connection,
            },
        };
        // Text and lists of it, of which JSON can say everything.
        serde_json::to_string(&event).unwrap_or_default()
    }
}

/// Headers as an authorizer may see them, whatever bytes they have.
#[cfg(any(feature = "http", feature = "websocket"))]
pub(crate) fn headers_of(map: &HeaderMap) -> Vec<(String, String)> {
    let headers = map.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), value.into_owned())
    });
    headers.collect()
}

impl<'a> From<&'a Upgrade> for Http<'a> {
    fn from(upgrade: &'a Upgrade) -> Self {
        Self {
            headers: &upgrade.headers,
            query: &upgrade.query,
        }
    }
}

impl<'a> Http<'a> {
    fn find(self, name: &str) -> Option<Cow<'a, str>> {
        let is_named = |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        let header = self.headers.iter().find(is_named);
        let header = header.map(|(_, value)| Cow::from(value.as_str()));
        header.or_else(|| parameter(self.query, name))
    }

    /// A header that is there several times is one list.
    fn data(self) -> HttpData<'a> {
        let mut headers: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in self.headers {
            let known = headers.entry(name).or_default();
            if !known.is_empty() {
                known.push_str(", ");
            }
            known.push_str(value);
        }
        HttpData {
            headers,
            query_string: match self.query {
                "" => String::new(),
                query => format!("?{query}"),
            },
        }
    }
}

/// The value of a parameter: `+` is itself, for signatures have it.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = parameters
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(own, _)| *own == name)?;
    percent_decode_str(value).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS-FLOW-21 to -23
    #[test]
    fn parameters_of_a_user_name_are_those_of_the_sdks() {
        let evidence = Evidence {
            mqtt: Some(Mqtt {
                username: Some(
                    "u?x-amz-customauthorizer-name=MyAuth&x-amz-customauthorizer-signature=ab%2B/%3D&tok=t=v?&bad=%ff&SDK=X",
                ),
                password: None,
                client_id: None,
            }),
            ..Evidence::default()
        };
        let find = |name| evidence.find(name).map(Cow::into_owned);
        let found = |name| find(name).unwrap();
        assert_eq!(found("x-amz-customauthorizer-name"), "MyAuth");
        assert_eq!(found("x-amz-customauthorizer-signature"), "ab+/=");
        assert_eq!(found("tok"), "t=v?");
        assert_eq!((find("bad"), find("to"), find("u")), (None, None, None));
        assert_eq!(evidence.user(), Some("u"));
    }

    #[test]
    fn user_name_goes_before_headers_and_those_before_the_query() {
        let headers = [("A".to_owned(), "header".to_owned())];
        let with = |username| Evidence {
            http: Some(Http {
                headers: &headers,
                query: "a=query&b=query+",
            }),
            mqtt: Some(Mqtt {
                username: Some(username),
                password: None,
                client_id: None,
            }),
            ..Evidence::default()
        };
        assert_eq!(with("?a=name").find("a").unwrap(), "name");
        assert_eq!(with("a=name").find("a").unwrap(), "header");
        assert_eq!(with("").find("b").unwrap(), "query+");
        assert_eq!(with("?a=name").user(), None);
    }
}
