//! Clients that came to the wrong listener: what their first bytes say they speak, and what they should do
//! instead, in words for the log and the journal.
//!
//! Listeners are named as the log names them, with their ports.

use std::fmt;

use crate::config::Listeners;

/// What somebody speaks who does not speak what is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Tls,
    Http,
    /// HTTP that asks for WebSocket.
    WebSocket,
    Mqtt,
    /// What a proxy says first of whom it speaks for.
    Proxy,
}

/// How the requests of HTTP begin, those of its second version included.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI * HTTP",
];

impl Spoken {
    /// What a connection begins with, if it is one of these.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        if METHODS.iter().any(|method| bytes.starts_with(method)) {
            return Some(match asks_for_websocket(bytes) {
                true => Self::WebSocket,
                false => Self::Http,
            });
        }
        match bytes {
            // A record with a part of a handshake.
            [0x16] | [0x16, 0x03, ..] => Some(Self::Tls),
            [0x10, ..] => Some(Self::Mqtt),
            [b'P', b'R', b'O', b'X', b'Y', b' ', ..]
            | [
                0x0d,
                0x0a,
                0x0d,
                0x0a,
                0x00,
                0x0d,
                0x0a,
                b'Q',
                b'U',
                b'I',
                b'T',
                ..,
            ] => Some(Self::Proxy),
            _ => None,
        }
    }

    /// At a listener of MQTT, of TCP or behind TLS.
    pub(crate) fn at_mqtt(self, is_tls: bool, listeners: &Listeners) -> String {
        match self {
            Self::Tls if is_tls => {
                "the client speaks TLS inside of TLS: turn one of the two off".to_owned()
            }
            Self::Tls => format!(
                "the client speaks TLS, and this listener does not: connect to {}, or turn TLS off in the client",
                At("mqtts", listeners.mqtts)
            ),
            Self::Http => format!(
                "the client sends an HTTP request, and this listener speaks MQTT: the control API is at {}",
                At("http", listeners.http)
            ),
            Self::WebSocket => {
                let there = match is_tls {
                    true => At("wss", listeners.wss),
                    false => At("ws", listeners.ws),
                };
                format!(
                    "the client asks for WebSocket, and this listener speaks MQTT without it: connect to {there}, \
                     or turn WebSocket off in the client"
                )
            }
            Self::Mqtt => "what the client sends is no CONNECT that can be read".to_owned(),
            Self::Proxy => PROXY.to_owned(),
        }
    }

    /// At the listener of TLS that has this name.
    #[cfg(feature = "tls")]
    pub(crate) fn at_tls(self, listener: &str, listeners: &Listeners) -> String {
        match self {
            Self::Mqtt => format!(
                "the client sends an MQTT CONNECT without TLS: turn TLS on in the client, or connect to {}",
                At("mqtt", listeners.mqtt)
            ),
            Self::Http | Self::WebSocket => match listener {
                "wss" | "alpn" | "https" => {
                    "the client sends an HTTP request without TLS: this listener is reached by https:// or wss://"
                        .to_owned()
                }
                _ => format!(
                    "the client sends an HTTP request without TLS, and this listener speaks MQTT over TLS: the \
                     control API is at {}",
                    At("http", listeners.http)
                ),
            },
            Self::Proxy => PROXY.to_owned(),
            Self::Tls => "what the client sends is no TLS that can be read".to_owned(),
        }
    }

    /// At a listener of WebSocket, of TCP or behind TLS; `None` for what may be right there.
    #[cfg(feature = "websocket")]
    pub(crate) fn at_websocket(self, is_tls: bool, listeners: &Listeners) -> Option<String> {
        match self {
            Self::Tls if is_tls => {
                Some("the client speaks TLS inside of TLS: turn one of the two off".to_owned())
            }
            Self::Tls => Some(format!(
                "the client speaks TLS, and this listener does not: connect to {}, or to this one by ws:// and not \
                 by wss://",
                At("wss", listeners.wss)
            )),
            Self::Mqtt => {
                let there = match is_tls {
                    true => At("mqtts", listeners.mqtts),
                    false => At("mqtt", listeners.mqtt),
                };
                Some(format!(
                    "the client speaks MQTT without WebSocket: connect to {there}, or turn WebSocket on in the client"
                ))
            }
            Self::Proxy => Some(PROXY.to_owned()),
            Self::Http | Self::WebSocket => None,
        }
    }

    /// At the control API; `None` for what may be right there.
    #[cfg(feature = "http")]
    pub(crate) fn at_http(self, listeners: &Listeners) -> Option<String> {
        match self {
            Self::Tls => Some(
                "the client speaks TLS, and this listener does not: it is reached by http:// and not by https://"
                    .to_owned(),
            ),
            Self::Mqtt => {
                let there = match listeners.mqtt {
                    Some(port) => At("mqtt", Some(port)),
                    None => At("mqtts", listeners.mqtts),
                };
                Some(format!(
                    "the client speaks MQTT, and this is the control API: connect to {there}"
                ))
            }
            Self::WebSocket => Some(format!(
                "the client asks for WebSocket, and this is the control API: connect to {}",
                At("ws", listeners.ws)
            )),
            Self::Proxy => Some(PROXY.to_owned()),
            Self::Http => None,
        }
    }
}

const PROXY: &str = "what comes first is a header of the PROXY protocol, which is not spoken here: turn it off in \
     the proxy or load balancer";

/// Where a client finds what it speaks.
struct At(&'static str, Option<u16>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, port) = self;
        match port {
            None => write!(f, "the listener {name}, which is off here"),
            // Any free one, and nobody has noted which.
            Some(0) => write!(f, "the listener {name}"),
            Some(port) => write!(f, "the listener {name} (port {port})"),
        }
    }
}

/// Whether the head of a request has the line that asks for it, as far as it came.
fn asks_for_websocket(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let line = line.trim_ascii().to_ascii_lowercase();
        let value = line.strip_prefix(b"upgrade:");
        value.is_some_and(|value| value.trim_ascii() == b"websocket")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_say_what_is_spoken() {
        let upgrade = b"GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\r\n";
        for (bytes, spoken) in [
            (&b"\x16\x03\x01\x02"[..], Some(Spoken::Tls)),
            (b"\x16", Some(Spoken::Tls)),
            (b"\x16\x04", None),
            (b"GET / HTTP/1.1\r\n", Some(Spoken::Http)),
            (b"PRI * HTTP/2.0\r\n", Some(Spoken::Http)),
            (b"CONNECT a:1 HTTP/1.1\r\n", Some(Spoken::Http)),
            (upgrade, Some(Spoken::WebSocket)),
            (b"\x10\x0c\0\x04MQTT", Some(Spoken::Mqtt)),
            (b"PROXY TCP4 ", Some(Spoken::Proxy)),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", Some(Spoken::Proxy)),
            // A PUBREC, and what is nothing.
            (b"PO", None),
            (b"GETX", None),
            (b"SSH-2.0-x", None),
            (b"", None),
        ] {
            assert_eq!(Spoken::of(bytes), spoken, "{bytes:?}");
        }
    }

    #[test]
    fn clients_are_sent_where_there_is_what_they_speak() {
        let mut listeners = Listeners::none();
        let words = Spoken::Tls.at_mqtt(false, &listeners);
        assert!(words.contains("mqtts, which is off here"), "{words}");
        listeners.mqtts = Some(0);
        let words = Spoken::Tls.at_mqtt(false, &listeners);
        assert!(
            words.contains("connect to the listener mqtts, or"),
            "{words}"
        );
        listeners.mqtts = Some(8883);
        let words = Spoken::Tls.at_mqtt(false, &listeners);
        assert!(words.contains("mqtts (port 8883)"), "{words}");
    }
}
