//! What is known about a connection besides its MQTT state.

use std::net::SocketAddr;

/// Facts of one connection, for logs and the HTTP API.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionFacts {
    /// The listener: `mqtt`, `mqtts`, `ws`, `wss` or `local`.
    pub(crate) listener: &'static str,
    /// `None` for a client in the same process.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) tls: Option<TlsFacts>,
}

/// What the TLS handshake settled.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    pub(crate) version: &'static str,
    pub(crate) cipher: String,
    /// The server name that the client asked for.
    pub(crate) sni: Option<String>,
    pub(crate) alpn: Option<String>,
    /// SHA-256 of the client certificate, as the service's certificate id.
    pub(crate) certificate_id: Option<String>,
    pub(crate) common_name: Option<String>,
}
