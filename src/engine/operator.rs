//! What an operator does to the whole broker, in turns with its connections.

use std::time::Duration;

use crate::broker::{Dirty, Removal};
use crate::codec::ReasonCode;
use crate::message::cause::Cause;

use super::{Engine, timekeeper};

/// What there was of a broker before it was reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reset {
    /// Connections that were ended.
    pub(crate) disconnected: usize,
    /// Sessions that went, with or without a connection.
    pub(crate) sessions: usize,
    pub(crate) retained: usize,
}

/// Ends every connection with DISCONNECT and every session without its will, deletes all retained messages,
/// ends an outage, and sets the counters to zero; queues and groups go with the sessions. What comes while it
/// is at work may be left. Registry, certificates and clock stay as they are.
pub(crate) async fn reset(engine: &Engine) -> Reset {
    let broker = &engine.broker;
    broker.end_outage();
    let mut reset = Reset::default();
    let cause = Cause::Kicked {
        reason: ReasonCode::AdministrativeAction,
        text: "the broker is reset",
    };
    let removal = Removal {
        with_session: true,
        without_will: true,
    };
    for session in broker.all_sessions() {
        let mut dirty = Dirty::default();
        let context = broker.context(engine.clock.now());
        let removed = broker.remove(&session, cause.clone(), removal, &context, &mut dirty);
        flush(engine, dirty).await;
        if let Some(had_connection) = removed {
            reset.sessions += 1;
            reset.disconnected += usize::from(had_connection);
        }
    }
    reset.retained = delete_retained(engine, None).await;
    // The subscriptions of large sessions, and with them groups and what waits in these.
    timekeeper::settle(engine).await;
    broker.reset_tap(engine.clock.now().now);
    // Last, so that what the above counts is gone, too. Whatever else is to begin anew is reset here.
    broker.reset_counters();
    reset
}

/// Deletes the retained messages whose topics match `filter`, a valid one, or all. Nobody is told. Returns how
/// many there were; what is retained meanwhile stays.
pub(crate) async fn delete_retained(engine: &Engine, filter: Option<&str>) -> usize {
    let broker = &engine.broker;
    let last = broker.last_retained();
    let mut count = 0;
    let mut dirty = Dirty::default();
    loop {
        let context = broker.context(engine.clock.now());
        let (deleted, has_more) = broker.delete_retained(filter, last, &context, &mut dirty);
        count += deleted;
        if !has_more {
            break;
        }
        tokio::task::yield_now().await;
        dirty.begin_turn();
    }
    flush(engine, dirty).await;
    count
}

/// Begins an outage that lasts so long on the broker's clock, and loses every connection; what is kept of
/// clients is kept. Nothing at all ends the outage that there is. Returns how many connections were lost.
pub(crate) async fn outage(engine: &Engine, lasts: Duration) -> usize {
    let broker = &engine.broker;
    if lasts.is_zero() {
        broker.end_outage();
        return 0;
    }
    broker.begin_outage(lasts, engine.clock.now().now);
    let mut lost = 0;
    for session in broker.all_sessions() {
        let mut dirty = Dirty::default();
        let context = broker.context(engine.clock.now());
        lost += usize::from(broker.lose(&session, &context, &mut dirty));
        flush(engine, dirty).await;
    }
    lost
}

/// Writes what a call into the broker composed. Given up half-way, the owners of the connections
/// write the rest.
pub(crate) async fn flush(engine: &Engine, mut dirty: Dirty) {
    let broker = &engine.broker;
    while !broker.flush_some(
        dirty.writes(),
        &broker.context(engine.clock.now()),
        &mut dirty,
    ) {
        tokio::task::yield_now().await;
        dirty.begin_turn();
    }
}
