//! Certificates that register themselves at the first CONNECT of a client. The file of the registry takes as
//! long as a disk does, so that is done away from the workers: few at a time, and those of each address in
//! turn.

use std::sync::Arc;

use crate::auth::Source;
use crate::broker::{ConnectionFacts, Dirty};
use crate::client::Verdict;

use super::Shared;
use super::gate::{Gate, Place};

/// Registrations at the same time: what is committed together costs little more than one alone.
const AT_ONCE: usize = 16;

/// Those that may wait. Half of them are for one address.
const WAITING: usize = 1024;

/// The gate before them.
pub(crate) fn gate() -> Gate {
    Gate::new(AT_ONCE, WAITING)
}

/// Registers the certificate of a connection. Whether it succeeds is for whoever asks the registry then.
pub(super) async fn enrol(
    shared: Arc<Shared>,
    source: Source,
    facts: Arc<ConnectionFacts>,
) -> Verdict {
    let limit = shared.engine.broker.config().limits.connect_timeout;
    let entering = shared.enrolments.enter(source);
    let entered = tokio::select! {
        entered = shared.engine.clock.timeout(limit, entering) => entered,
        () = shared.engine.stopping.cancelled() => return Verdict::Busy,
    };
    let Ok(Ok(place)) = entered else {
        return Verdict::Busy;
    };
    let done = tokio::task::spawn_blocking(move || enrol_here(&shared, &facts, &place));
    match done.await {
        Ok(()) => Verdict::Enrolled,
        Err(_) => Verdict::Busy, // the runtime ends
    }
}

fn enrol_here(shared: &Shared, facts: &ConnectionFacts, _place: &Place) {
    let engine = &shared.engine;
    let context = engine.broker.context(engine.clock.now());
    let mut dirty = Dirty::default();
    let access = engine.broker.access();
    let event = access.and_then(|access| access.enrol(facts, context.now));
    if let Some((topic, payload)) = event {
        engine
            .broker
            .publish_event(&topic, &payload, &context, &mut dirty);
    }
    engine.broker.flush_all(&context, dirty);
}
