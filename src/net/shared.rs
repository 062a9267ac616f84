//! What every task of a server shares.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::time::Clock;

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
    /// Handshakes that compute at the same time.
    #[cfg(feature = "tls")]
    pub(crate) handshakes: Arc<tokio::sync::Semaphore>,
}
