//! How long tasks keep a worker from other tasks, and how many of them may do so in a row.
//!
//! A turn is one poll of a connection's task, or one round of the timekeeper: reading, handling and
//! writing until it waits or lets others go on. While it lasts, nobody else is served by that worker.
//!
//! A connection whose turn left something to do is *busy*, and takes one of a few places for the next
//! one; who finds none waits in line. So a client that asks for little, and is served in the turn in
//! which its packet is read, waits for so many turns at most, however many connections are busy. While
//! all places are taken, such a turn is a short one.

#[cfg(feature = "http")]
use std::iter;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::broker::{SHORT_TURN, STEPS_PER_TURN};

/// Upper bounds of the counted classes, in microseconds. Longer turns are in a last class.
const BOUNDS: [u64; 10] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000,
];

/// Busy connections that the runtime has in its queues at a time, for each core and at least.
const PLACES_PER_CORE: usize = 4;
const LEAST_PLACES: usize = 16;

/// Threads beyond so many share their counters.
const SHARDS: usize = 16;

thread_local! {
    /// Where this thread counts.
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// Turns by how long they took, and who may take the next ones. Each thread counts on cache lines of its
/// own.
pub(crate) struct Turns {
    shards: [Shard; SHARDS],
    /// Of busy connections.
    places: Semaphore,
}

/// The place of a busy connection, given back when it is dropped.
pub(crate) struct Place(Arc<Turns>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.add_permits(1);
    }
}

#[derive(Default)]
#[repr(align(128))]
struct Shard {
    /// By class; the last one has no bound.
    classes: [AtomicU64; BOUNDS.len() + 1],
    /// The time of all, in nanoseconds.
    time: AtomicU64,
}

impl Default for Turns {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let places = LEAST_PLACES.max(cores * PLACES_PER_CORE);
        Self {
            shards: <[Shard; SHARDS]>::default(),
            places: Semaphore::new(places),
        }
    }
}

impl Turns {
    /// Counts a turn.
    pub(crate) fn count(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let class = BOUNDS
            .iter()
            .position(|bound| nanoseconds <= bound * 1000)
            .unwrap_or(BOUNDS.len());
        let Some(shard) = self.shards.get(SHARD.with(|shard| *shard)) else {
            return;
        };
        if let Some(class) = shard.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        shard.time.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// A place for the next turn of a busy connection, if there is one that nobody waits for.
    pub(crate) fn free_place(self: &Arc<Self>) -> Option<Place> {
        self.places.try_acquire().ok()?.forget();
        Some(Place(self.clone()))
    }

    /// A place for the next turn of a busy connection: first come, first served.
    pub(crate) async fn place(self: Arc<Self>) -> Option<Place> {
        // It is never closed.
        self.places.acquire().await.ok()?.forget();
        Some(Place(self))
    }

    /// The steps that a turn may take, with a place or without one.
    pub(crate) fn share(&self, has_place: bool) -> usize {
        match has_place || self.places.available_permits() > 0 {
            true => STEPS_PER_TURN,
            false => SHORT_TURN,
        }
    }

    /// All turns so far. Those that end meanwhile may be in one of its numbers and not in another.
    #[cfg(feature = "http")]
    pub(crate) fn histogram(&self) -> Histogram {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6);
        let mut classes: Vec<(f64, u64)> =
            bounds.chain([f64::INFINITY]).zip(iter::repeat(0)).collect();
        let mut time = 0;
        for shard in &self.shards {
            for (class, count) in classes.iter_mut().zip(&shard.classes) {
                class.1 += count.load(Ordering::Relaxed);
            }
            time += shard.time.load(Ordering::Relaxed);
        }
        let time = Duration::from_nanos(time);
        Histogram { classes, time }
    }
}

/// Turns by their length, at a moment.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(crate) struct Histogram {
    /// The longest turn of each class, in seconds, and how many there were; that of the last class is
    /// [`f64::INFINITY`].
    pub(crate) classes: Vec<(f64, u64)>,
    /// The time of all of them.
    pub(crate) time: Duration,
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn turns_without_a_place_are_short_once_all_places_are_taken() {
        let turns = Arc::new(Turns::default());
        let mut places = Vec::new();
        while turns.places.available_permits() > 0 {
            assert_eq!(turns.share(false), STEPS_PER_TURN);
            places.extend(turns.clone().place().await);
        }
        assert!(places.len() >= LEAST_PLACES);
        assert_eq!(turns.share(false), SHORT_TURN);
        assert_eq!(turns.share(true), STEPS_PER_TURN);
        places.pop();
        assert_eq!(turns.share(false), STEPS_PER_TURN);
    }

    #[tokio::test]
    async fn a_place_that_somebody_waits_for_is_not_free() {
        let turns = Arc::new(Turns::default());
        let mut places: Vec<_> = iter::from_fn(|| turns.free_place()).collect();
        assert!(places.len() >= LEAST_PLACES);
        let mut waiting = std::pin::pin!(turns.clone().place());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        places.pop();
        assert!(turns.free_place().is_none());
        assert!(waiting.await.is_some());
        assert!(turns.free_place().is_some());
    }

    #[test]
    fn turn_counts_in_the_first_class_that_holds_it() {
        let turns = Turns::default();
        for micros in [0, 100, 101, 100_000, 100_001, 60_000_000] {
            turns.count(Duration::from_micros(micros));
        }
        let histogram = turns.histogram();
        let counts: Vec<u64> = histogram.classes.iter().map(|class| class.1).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(histogram.time, Duration::from_micros(60_200_202));
    }
}
