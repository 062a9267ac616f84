//! What every task of a server shares.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::time::Clock;

use super::passwords::Passwords;
use super::seldom::Seldom;
use super::tasks::Tasks;
use super::timekeeper::Timekeeper;
use super::turns::Turns;

/// The broker, its clock, and the means to stop.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) timekeeper: Arc<Timekeeper>,
    pub(crate) tasks: Tasks,
    pub(crate) turns: Turns,
    /// Listeners close; connections are being disconnected.
    pub(crate) stopping: CancellationToken,
    /// Network connections, before and after CONNECT.
    pub(crate) connections: AtomicUsize,
    pub(crate) passwords: Passwords,
    /// Steps of handshakes that compute at the same time.
    #[cfg(feature = "tls")]
    pub(crate) handshakes: super::Gate,
    pub(crate) notices: Notices,
}

/// Log lines on matters of all connections.
#[derive(Default)]
pub(crate) struct Notices {
    /// Connections cannot be accepted.
    pub(crate) cannot_accept: Seldom,
    /// Connections are refused for want of a place or of memory.
    pub(crate) no_place: Seldom,
    /// Too many TLS handshakes wait.
    #[cfg(feature = "tls")]
    pub(crate) crowded: Seldom,
}
