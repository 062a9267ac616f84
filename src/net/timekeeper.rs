//! The one task that sleeps for the broker's deadlines.

use std::sync::Arc;
use std::time::Duration;

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
    let config = shared.broker.config();
    let mut next_sys = config.sys_interval.map(|_| shared.clock.now());
    let mut next_sweep = shared.clock.now() + SWEEP;
    loop {
        let now = shared.clock.now();
        let mut dirty = Dirty::default();
        shared.broker.handle_deadline(now, &mut dirty);
        if let (Some(at), Some(interval)) = (next_sys, config.sys_interval)
            && at <= now
        {
            shared.broker.publish_sys(now, &mut dirty);
            next_sys = Some(now + interval);
        }
        if next_sweep <= now {
            shared.broker.sweep(now);
            next_sweep = now + SWEEP;
        }
        shared.broker.flush_all(&shared.broker.context(now), dirty);
        let due = [shared.broker.next_deadline(), next_sys, Some(next_sweep)];
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
