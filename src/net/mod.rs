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
mod turns;
mod users;
#[cfg(any(feature = "websocket", test, fuzzing))]
pub(crate) mod ws;

pub(crate) use shared::Shared;
pub(crate) use tasks::Tasks;
#[cfg(feature = "http")]
pub(crate) use turns::Histogram;
pub(crate) use turns::Turns;
