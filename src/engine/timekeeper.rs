//! The one task that sleeps for the broker's deadlines, and moves its clock when a test asks for that.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::broker::{Alarm, Dirty};
use crate::time::FARTHEST;

use super::{Engine, Turns};

/// Wakes the timekeeper.
#[derive(Default)]
pub(crate) struct Timekeeper {
    /// The next deadline moved forward, or there is something to do.
    moved: Notify,
    /// Connections that were woken have done what came of that.
    settled: Notify,
    advances: Mutex<VecDeque<Advance>>,
}

impl Alarm for Timekeeper {
    fn deadline_moved(&self) {
        self.moved.notify_one();
    }

    fn owners_settled(&self) {
        self.settled.notify_one();
    }
}

/// The clock is to be moved.
struct Advance {
    by: Duration,
    with_live: bool,
    done: oneshot::Sender<Result<(), AdvanceError>>,
}

/// Why the clock was not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// It would be too far ahead of the system's time.
    #[error("the clock cannot be more than a hundred years ahead of the system's time")]
    TooFar,
    /// The broker is stopping, and its clock with it.
    #[error("the broker is stopping")]
    Stopped,
}

/// Moves the clock, from one deadline to the next, and returns when all that came of them is done:
/// expired, published, written to the sockets that take it. Live connections notice the time only if
/// `with_live` says so.
pub(crate) async fn advance(
    engine: &Engine,
    by: Duration,
    with_live: bool,
) -> Result<(), AdvanceError> {
    let (done, is_done) = oneshot::channel();
    let advance = Advance {
        by,
        with_live,
        done,
    };
    engine.timekeeper.advances.lock().push_back(advance);
    engine.timekeeper.moved.notify_one();
    tokio::select! {
        done = is_done => done.unwrap_or(Err(AdvanceError::Stopped)),
        () = engine.stopping.cancelled() => Err(AdvanceError::Stopped),
    }
}

/// Returns when all that is left to be done is done, as far as it was there before: subscriptions of sessions that
/// have ended, messages that nobody comes for, connections that were woken.
pub(crate) async fn settle(engine: &Engine) {
    // A broker that stops leaves it undone.
    let _ = advance(engine, Duration::ZERO, false).await;
}

/// Longest sleep in one go.
const LONGEST: Duration = Duration::from_secs(3600);

/// Between two looks for retained messages that have expired.
const SWEEP: Duration = Duration::from_secs(10);

/// While the clock is moved, connections that were woken have so long to do what came of that.
const PATIENCE: Duration = Duration::from_secs(2);

/// Deadlines that the clock moves to before others have their turn.
const STEPS: usize = 32;

/// Calls the broker whenever something is due.
pub(crate) async fn keep_time(engine: Arc<Engine>, turns: Arc<Turns>) {
    let mut task = Task {
        next_sweep: engine.clock.now().now + SWEEP,
        dirty: Dirty::default(),
        engine: &engine,
        turns: &turns,
    };
    tokio::select! {
        never = task.run() => match never {},
        () = engine.stopping.cancelled() => {}
    }
}

struct Task<'a> {
    engine: &'a Engine,
    turns: &'a Turns,
    next_sweep: Instant,
    dirty: Dirty,
}

impl Task<'_> {
    async fn run(&mut self) -> Infallible {
        loop {
            self.work().await;
            let advance = self.engine.timekeeper.advances.lock().pop_front();
            if let Some(advance) = advance {
                let advanced = self.advance(advance.by, advance.with_live).await;
                // Whoever asked may be gone.
                let _ = advance.done.send(advanced);
                continue;
            }
            let moment = self.engine.clock.now();
            let sweep = self.next_sweep.saturating_duration_since(moment.now);
            let [own, live] = self.engine.broker.idle_times(moment);
            let own = own.map_or(sweep, |own| own.min(sweep));
            let sleep = self.engine.clock.until(own).min(LONGEST);
            let sleep = live.map_or(sleep, |live| live.min(sleep));
            tokio::select! {
                () = self.engine.timekeeper.moved.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Does all that is due.
    async fn work(&mut self) {
        loop {
            let begun = Instant::now();
            let has_more = self.turn();
            self.turns.count(begun.elapsed());
            if !has_more {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Does what is due, as much of it as one turn allows. Returns whether there is more.
    fn turn(&mut self) -> bool {
        let (now, broker, dirty) = (
            self.engine.clock.now(),
            &self.engine.broker,
            &mut self.dirty,
        );
        dirty.begin_turn();
        let mut more = broker.handle_deadline(now, dirty);
        if self.next_sweep <= now.now {
            match broker.sweep(now, dirty) {
                true => more = true,
                false => self.next_sweep = now.now + SWEEP,
            }
        }
        more |= broker.work(now, dirty);
        more |= !broker.flush_some(dirty.writes(), &broker.context(now), dirty);
        more
    }

    /// Moves the clock to each deadline on the way.
    async fn advance(&mut self, by: Duration, with_live: bool) -> Result<(), AdvanceError> {
        let clock = &self.engine.clock;
        if by > FARTHEST.saturating_sub(clock.ahead()) {
            return Err(AdvanceError::TooFar);
        }
        let (mut left, mut patience) = (by, PATIENCE);
        for steps in 1_usize.. {
            let [own, live] = self.engine.broker.idle_times(clock.now());
            let idle = [own, live.filter(|_| with_live)];
            let step = idle.into_iter().flatten().fold(left, Duration::min);
            clock.advance(step, with_live);
            left -= step;
            let is_settled = self.settle(patience).await;
            if !is_settled && !patience.is_zero() {
                tracing::warn!("the clock moves on although a connection has not noticed");
                // It is waited for once.
                patience = Duration::ZERO;
            }
            if left.is_zero() {
                break;
            }
            if steps.is_multiple_of(STEPS) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Does all that is due, and waits so long until the connections that were woken have done their part
    /// of it. Returns whether they have.
    async fn settle(&mut self, patience: Duration) -> bool {
        let give_up_at = tokio::time::Instant::now() + patience;
        loop {
            // What they leave to this task comes before they are settled.
            let is_settled = self.engine.broker.is_settled();
            self.work().await;
            if is_settled && self.engine.broker.is_settled() {
                return true;
            }
            tokio::select! {
                () = self.engine.timekeeper.settled.notified() => {}
                () = self.engine.timekeeper.moved.notified() => {}
                () = tokio::time::sleep_until(give_up_at) => return false,
            }
        }
    }
}

/// Publishes the counters under `$SYS/` as often as the configuration says.
///
/// Summing up all sessions takes long where there are many, so a thread of its own does it, and no
/// deadline waits for that.
pub(crate) async fn publish_sys(engine: Arc<Engine>, interval: Duration) {
    loop {
        let summing = {
            let engine = engine.clone();
            tokio::task::spawn_blocking(move || engine.broker.stats(engine.clock.now().now))
        };
        match summing.await {
            Ok(stats) => {
                let (now, mut dirty) = (engine.clock.now(), Dirty::default());
                engine.broker.publish_sys(&stats, now, &mut dirty);
                engine.broker.flush_all(&engine.broker.context(now), dirty);
            }
            Err(error) => tracing::error!("counters for $SYS: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(interval.min(LONGEST)) => {}
            () = engine.stopping.cancelled() => return,
        }
    }
}
