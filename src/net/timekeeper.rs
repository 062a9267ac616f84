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
    let mut dirty = Dirty::default();
    loop {
        let begun = Instant::now();
        let has_more = turn(&shared, &mut next_sweep, &mut dirty);
        shared.turns.count(begun.elapsed());
        if has_more {
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

/// Does what is due, as much of it as one turn allows. Returns whether there is more.
fn turn(shared: &Shared, next_sweep: &mut Instant, dirty: &mut Dirty) -> bool {
    let (now, broker) = (shared.clock.now(), &shared.broker);
    dirty.begin_turn();
    let mut more = broker.handle_deadline(now, dirty);
    if *next_sweep <= now {
        match broker.sweep(now, dirty) {
            true => more = true,
            false => *next_sweep = now + SWEEP,
        }
    }
    more |= broker.work(now, dirty);
    more |= !broker.flush_some(dirty.writes(), &broker.context(now), dirty);
    more
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
