//! What every task of a server shares.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::time::Clock;

use super::timekeeper::Timekeeper;

/// The broker, its clock, and the means to stop.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) timekeeper: Arc<Timekeeper>,
    pub(crate) tasks: TaskTracker,
    /// Listeners close; connections are being disconnected.
    pub(crate) stopping: CancellationToken,
    /// Whatever still runs is dropped.
    pub(crate) killed: CancellationToken,
    /// Network connections, before and after CONNECT.
    pub(crate) connections: AtomicUsize,
    /// Handshakes that compute at the same time.
    #[cfg(feature = "tls")]
    pub(crate) handshakes: Arc<tokio::sync::Semaphore>,
}

impl Shared {
    /// Runs a task until it ends or everything is dropped.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let killed = self.killed.clone();
        self.tasks.spawn(async move {
            killed.run_until_cancelled(task).await;
        });
    }
}
