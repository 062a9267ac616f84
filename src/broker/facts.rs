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

/// What came in on one connection. Written by its owner only, once per batch, on a cache line that
/// nobody else writes; summed up when somebody asks, and taken over by the broker when it ends.
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
    /// Only the owner adds, so a load and a store do.
    pub(super) fn add(&self, batch: TrafficTotals) {
        let add = |sum: &AtomicU64, by: u64| {
            sum.store(sum.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        };
        add(&self.packets, batch.packets);
        add(&self.bytes, batch.bytes);
        add(&self.messages, batch.messages);
    }

    /// Empties it.
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
    pub(crate) version: &'static str,
    pub(crate) cipher: String,
    /// The server name that the client asked for.
    pub(crate) sni: Option<String>,
    pub(crate) alpn: Option<String>,
    /// SHA-256 of the client certificate, as the service's certificate id.
    pub(crate) certificate_id: Option<String>,
    pub(crate) common_name: Option<String>,
}
