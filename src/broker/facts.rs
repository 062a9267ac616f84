//! What is known about a connection besides its MQTT state.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Facts of one connection, for logs and the HTTP API.
#[derive(Debug)]
pub(crate) struct ConnectionFacts {
    /// The listener: `mqtt`, `mqtts`, `ws`, `wss` or `local`.
    pub(crate) listener: &'static str,
    /// `None` for a client in the same process.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) tls: Option<Box<TlsFacts>>,
    pub(crate) traffic: Traffic,
}

impl ConnectionFacts {
    /// Where the client is, for people.
    pub(crate) fn peer_name(&self) -> String {
        self.peer
            .map_or_else(|| "this process".to_owned(), |peer| peer.to_string())
    }
}

/// What came in on one connection. Its owner adds to it once per batch, on a cache line that hardly
/// anybody else writes; summed up when somebody asks, and taken over by the broker when it ends.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    packets: AtomicU64,
    bytes: AtomicU64,
    messages: AtomicU64,
}

/// Sums of [`Traffic`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TrafficTotals {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
}

impl Traffic {
    pub(crate) fn add(&self, batch: TrafficTotals) {
        self.packets.fetch_add(batch.packets, Ordering::Relaxed);
        self.bytes.fetch_add(batch.bytes, Ordering::Relaxed);
        self.messages.fetch_add(batch.messages, Ordering::Relaxed);
    }

    /// Empties it. Whoever ends the connection does, perhaps while its owner adds.
    pub(super) fn take(&self) -> TrafficTotals {
        TrafficTotals {
            packets: self.packets.swap(0, Ordering::Relaxed),
            bytes: self.bytes.swap(0, Ordering::Relaxed),
            messages: self.messages.swap(0, Ordering::Relaxed),
        }
    }

    pub(super) fn totals(&self) -> TrafficTotals {
        TrafficTotals {
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
        }
    }
}

/// What the TLS handshake settled.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    /// SHA-256 of the client certificate, as the service's certificate id.
    pub(crate) certificate_id: Option<String>,
    #[cfg(feature = "http")]
    pub(crate) details: TlsDetails,
}

/// What the HTTP API shows of a TLS handshake besides.
#[cfg(feature = "http")]
#[derive(Clone, Debug)]
pub(crate) struct TlsDetails {
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The cipher suite, in IANA's spelling.
    pub(crate) cipher: String,
    /// The server name that the client asked for.
    pub(crate) sni: Option<String>,
    /// The application protocol agreed on.
    pub(crate) alpn: Option<String>,
    /// The first Common Name of the client certificate's subject.
    pub(crate) common_name: Option<String>,
}
