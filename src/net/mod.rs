//! What touches sockets and certificates: listeners, transports, TLS.

#[cfg(feature = "tls")]
pub(crate) mod ca;
#[cfg(feature = "tls")]
pub(crate) mod tls;
