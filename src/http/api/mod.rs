//! The resources of the API, one file each.

pub(super) mod clients;
pub(super) mod groups;
pub(super) mod health;
pub(super) mod openapi;
pub(super) mod publish;
pub(super) mod retained;
pub(super) mod stats;
pub(super) mod topics;

use crate::broker::Dirty;
use crate::net::Shared;

/// Sockets that are written before others get their turn.
const WRITES_PER_TURN: usize = 64;

/// Writes what a call into the broker composed. Given up half-way, the owners of the connections
/// write the rest.
async fn flush(shared: &Shared, mut dirty: Dirty) {
    let broker = &shared.broker;
    while !broker.flush_some(
        WRITES_PER_TURN,
        &broker.context(shared.clock.now()),
        &mut dirty,
    ) {
        tokio::task::yield_now().await;
    }
}
