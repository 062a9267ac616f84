//! The broker's clock, as a program moves it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::engine::Engine;
use crate::engine::timekeeper::{self, AdvanceError};

/// The clock that every expiry and delay of a broker runs on: the system's, ahead of it by as much as it
/// was advanced, and faster where the configuration says so.
///
/// ```
/// use std::time::Duration;
///
/// use roundel::{Config, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::start(Config::standard().ephemeral()).await?;
/// let hour = Duration::from_secs(3600);
/// server.clock().advance(hour).await?;
/// assert!(server.clock().ahead() >= hour);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BrokerClock {
    engine: Arc<Engine>,
}

impl std::fmt::Debug for BrokerClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerClock")
            .field("ahead", &self.ahead())
            .finish_non_exhaustive()
    }
}

impl BrokerClock {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// The broker's date and time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.engine.clock.date()
    }

    /// How far it is ahead of the system's time.
    #[must_use]
    pub fn ahead(&self) -> Duration {
        self.engine.clock.ahead()
    }

    /// How many times as fast as the system's time it runs: [`Config::time_scale`](crate::Config::time_scale).
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.engine.clock.scale()
    }

    /// Moves it, from one deadline to the next in their order. When this returns, what was due has
    /// happened: sessions and messages have expired, wills are published, and what came of that was
    /// written to every socket that takes it. Connections keep their keep-alive.
    ///
    /// # Errors
    ///
    /// A broker that is stopping, and a time more than a hundred years ahead of the system's.
    pub async fn advance(&self, by: Duration) -> Result<(), AdvanceError> {
        timekeeper::advance(&self.engine, by, false).await
    }

    /// The same, and live connections notice: a client that would have had to send something by then
    /// is disconnected, as are those that have not sent CONNECT in time.
    ///
    /// # Errors
    ///
    /// Those of [`advance`](Self::advance).
    pub async fn advance_with_keep_alive(&self, by: Duration) -> Result<(), AdvanceError> {
        timekeeper::advance(&self.engine, by, true).await
    }
}
