//! What touches sockets and certificates: listeners, transports, TLS, and the task that drives each
//! connection.

#[cfg(feature = "tls")]
pub(crate) mod ca;
mod driver;
pub(crate) mod listener;
mod shared;
mod socket;
mod tasks;
mod tcp;
pub(crate) mod timekeeper;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "tls")]
mod tls_link;
mod users;
#[cfg(feature = "websocket")]
mod ws;

pub(crate) use shared::Shared;
pub(crate) use tasks::Tasks;
