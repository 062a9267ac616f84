//! Listeners besides those that have a setting of their own.

use super::ClientCert;
use super::value::{Named, items, parse_listener, parse_word};

/// A listener besides those that have a field of their own in [`Listeners`](super::Listeners): a second one of a kind,
/// or one that takes MQTT and MQTT over WebSocket at the same port.
///
/// ```
/// use roundel::config::{FurtherListener, ListenerKind};
/// use roundel::{Config, Server};
///
/// # #[cfg(feature = "websocket")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::standard().ephemeral();
/// config.listeners.further.push(FurtherListener::new(ListenerKind::MqttAndWs, 0));
/// let server = Server::start(config).await?;
/// let addr = server.addrs().further[0];
/// // mqtt://{addr} and ws://{addr} both lead to the broker.
/// # assert_ne!(addr.port(), 0);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "websocket"))]
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FurtherListener {
    /// What it speaks.
    pub kind: ListenerKind,
    /// Whether its clients show a certificate, over TLS; `None` is what [`Tls::client_cert`](super::Tls::client_cert)
    /// says.
    pub client_cert: Option<ClientCert>,
    /// Its port; 0 is any free one.
    pub port: u16,
}

impl FurtherListener {
    /// One whose clients show a certificate as those of other listeners do.
    #[must_use]
    pub fn new(kind: ListenerKind, port: u16) -> Self {
        Self {
            kind,
            client_cert: None,
            port,
        }
    }

    /// Whether its clients show a certificate, if it is one over TLS.
    #[must_use]
    pub fn with_client_cert(self, client_cert: ClientCert) -> Self {
        let client_cert = Some(client_cert);
        Self {
            client_cert,
            ..self
        }
    }
}

/// What a [`FurtherListener`] speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ListenerKind {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    Ws,
    /// MQTT over WebSocket over TLS.
    Wss,
    /// MQTT over TCP and over WebSocket, told apart by the first byte.
    MqttAndWs,
    /// Both over TLS, told apart by the first byte.
    MqttsAndWss,
}

impl Named for ListenerKind {
    const NAMES: &[(&str, Self)] = &[
        ("mqtt", Self::Mqtt),
        ("mqtts", Self::Mqtts),
        ("ws", Self::Ws),
        ("wss", Self::Wss),
        ("mqtt+ws", Self::MqttAndWs),
        ("mqtts+wss", Self::MqttsAndWss),
    ];
}

impl ListenerKind {
    /// The name used on the command line, in files, and where connections are told of: `mqtt+ws`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::MqttAndWs => "mqtt+ws",
            Self::MqttsAndWss => "mqtts+wss",
        }
    }

    /// Whether it is over TLS.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss | Self::MqttsAndWss)
    }

    /// Whether it takes MQTT without WebSocket.
    #[must_use]
    pub fn takes_mqtt(self) -> bool {
        !matches!(self, Self::Ws | Self::Wss)
    }

    /// Whether it takes MQTT over WebSocket.
    #[must_use]
    pub fn takes_websocket(self) -> bool {
        !matches!(self, Self::Mqtt | Self::Mqtts)
    }
}

/// Reads listeners as `mqtt+ws=1883,mqtts:none=18885`, or `off`.
pub(super) fn parse(text: &str) -> Result<Vec<FurtherListener>, String> {
    items(text).map(parse_one).collect()
}

fn parse_one(item: &str) -> Result<FurtherListener, String> {
    let (kind, port) = parse_listener(item)?;
    let (kind, client_cert) = match kind.split_once(':') {
        Some((kind, client_cert)) => (kind, Some(parse_word::<ClientCert>(client_cert)?)),
        None => (kind, None),
    };
    let kind = parse_word::<ListenerKind>(kind)?;
    if client_cert.is_some() && !kind.is_tls() {
        let kind = kind.name();
        return Err(format!(
            "`{item}`: a listener `{kind}` has no client certificates, it is without TLS"
        ));
    }
    Ok(FurtherListener {
        kind,
        client_cert,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_same_name_everywhere() {
        for (name, kind) in ListenerKind::NAMES {
            assert_eq!(kind.name(), *name);
        }
    }
}
