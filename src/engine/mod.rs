//! A broker with its clock: what everything asynchronous works on.

pub(crate) mod operator;
pub(crate) mod timekeeper;
mod turns;
pub(crate) mod wait;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::time::Clock;

use timekeeper::Timekeeper;
#[cfg(feature = "http")]
pub(crate) use turns::Histogram;
pub(crate) use turns::{Place as BusyPlace, Turns};

/// The broker, its clock and what moves it, and the sign that both stop.
pub(crate) struct Engine {
    pub(crate) broker: Broker,
    pub(crate) clock: Clock,
    pub(crate) timekeeper: Arc<Timekeeper>,
    /// Listeners close; connections are being disconnected.
    pub(crate) stopping: CancellationToken,
}
