//! What a request has the broker do, in turns with the connections.

use std::sync::Arc;

use crate::broker::{Dirty, Publishing, Reach, Removal, Session};
use crate::engine::Engine;
pub(super) use crate::engine::operator::flush;
use crate::message::cause::Cause;
use crate::protocol::violation::Violation;

use super::Api;
use super::error::ApiError;

/// A body up to this size, in bytes, is handled where it came in; a larger one takes too long for
/// that.
const SMALL: usize = 64 * 1024;

/// Publishes what `begin` makes of a request with a body of `size` bytes, and serves all receivers.
///
/// # Errors
///
/// Those of `begin`; what `refusal` makes of a message that could not be kept as it was to be; 503 where
/// too many wait already.
pub(super) async fn publish<E: From<ApiError> + Send + 'static>(
    api: &Api,
    size: usize,
    begin: impl FnOnce(&Engine, &mut Dirty) -> Result<Publishing, E> + Send + 'static,
    refusal: fn(Violation) -> E,
) -> Result<Reach, E> {
    let mut dirty = Dirty::default();
    let result = match size <= SMALL {
        true => begin(&api.engine, &mut dirty),
        false => {
            let engine = api.engine.clone();
            let job = move || {
                let mut dirty = Dirty::default();
                let result = begin(&engine, &mut dirty);
                (result, dirty)
            };
            let (result, touched) = api.jobs.run(job).await?;
            dirty = touched;
            result
        }
    };
    let published = match result {
        Ok(publishing) => Ok(finish(publishing, &api.engine, &mut dirty).await),
        Err(error) => Err(error),
    };
    flush(&api.engine, dirty).await;
    published?.map_err(refusal)
}

/// Serves all receivers, in turns with others.
async fn finish(
    mut publishing: Publishing,
    engine: &Engine,
    dirty: &mut Dirty,
) -> Result<Reach, Violation> {
    let broker = &engine.broker;
    loop {
        let context = broker.context(engine.clock.now());
        if broker.go_on_publishing(&mut publishing, &context, dirty) {
            break;
        }
        broker.flush_some(dirty.writes(), &context, dirty);
        tokio::task::yield_now().await;
        dirty.begin_turn();
    }
    publishing.reach(&broker.config().limits)
}

/// Ends a client's connection, and so much of its session as `removal` says. Returns whether it had a
/// connection; `None` if its session has ended.
pub(super) async fn disconnect(
    engine: &Engine,
    session: &Arc<Session>,
    cause: Cause,
    removal: Removal,
) -> Option<bool> {
    let mut dirty = Dirty::default();
    let context = engine.broker.context(engine.clock.now());
    let broker = &engine.broker;
    let had_connection = broker.remove(session, cause, removal, &context, &mut dirty);
    flush(engine, dirty).await;
    had_connection
}
