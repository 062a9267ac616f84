//! The one task that sleeps for the broker's deadlines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::broker::{Alarm, Dirty};

use super::Shared;

/// Wakes the timekeeper when the next deadline moved forward.
#[derive(Default)]
pub(crate) struct Timekeeper {
    moved: Notify,
}

impl Alarm for Timekeeper {
    fn deadline_moved(&self) {
        self.moved.notify_one();
    }
}

/// Longest sleep in one go.
const LONGEST: Duration = Duration::from_secs(3600);

/// Between two looks for retained messages that have expired.
const SWEEP: Duration = Duration::from_secs(10);

/// Calls the broker whenever something is due.
pub(crate) async fn keep_time(shared: Arc<Shared>) {
    let mut next_sweep = shared.clock.now() + SWEEP;
    loop {
        let begun = Instant::now();
        let now = shared.clock.now();
        let mut dirty = Dirty::default();
        shared.broker.handle_deadline(now, &mut dirty);
        if next_sweep <= now {
            shared.broker.sweep(now);
            next_sweep = now + SWEEP;
        }
        shared.broker.work(now, &mut dirty);
        shared.broker.flush_all(&shared.broker.context(now), dirty);
        shared.turns.count(begun.elapsed());
        if shared.broker.has_work() {
            tokio::task::yield_now().await;
            continue;
        }
        let due = [shared.broker.next_deadline(), Some(next_sweep)];
        let sleep = due.into_iter().flatten().min().map_or(LONGEST, |at| {
            at.saturating_duration_since(shared.clock.now())
        });
        tokio::select! {
            () = shared.timekeeper.moved.notified() => {}
            () = tokio::time::sleep(sleep.min(LONGEST)) => {}
            () = shared.stopping.cancelled() => return,
        }
    }
}

/// Publishes the counters under `$SYS/` as often as the configuration says.
///
/// Summing up all sessions takes long where there are many, so a thread of its own does it, and no
/// deadline waits for that.
pub(crate) async fn publish_sys(shared: Arc<Shared>, interval: Duration) {
    loop {
        let summing = {
            let shared = shared.clone();
            tokio::task::spawn_blocking(move || shared.broker.stats(shared.clock.now()))
        };
        match summing.await {
            Ok(stats) => {
                let (now, mut dirty) = (shared.clock.now(), Dirty::default());
                shared.broker.publish_sys(&stats, now, &mut dirty);
                shared.broker.flush_all(&shared.broker.context(now), dirty);
            }
            Err(error) => tracing::error!("counters for $SYS: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(interval.min(LONGEST)) => {}
            () = shared.stopping.cancelled() => return,
        }
    }
}
