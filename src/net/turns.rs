//! How long tasks keep a worker from other tasks.
//!
//! A turn is one poll of a connection's task, or one round of the timekeeper: reading, handling and
//! writing until it waits or lets others go on. While it lasts, nobody else is served by that worker, so the
//! longest turn times the number of busy connections is what a client may wait.

#[cfg(feature = "http")]
use std::iter;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Upper bounds of the counted classes, in microseconds. Longer turns are in a last class.
const BOUNDS: [u64; 10] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000,
];

/// Threads beyond so many share their counters.
const SHARDS: usize = 16;

thread_local! {
    /// Where this thread counts.
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// Turns by how long they took. Each thread writes to cache lines of its own.
#[derive(Default)]
pub(crate) struct Turns([Shard; SHARDS]);

#[derive(Default)]
#[repr(align(128))]
struct Shard {
    /// By class; the last one has no bound.
    classes: [AtomicU64; BOUNDS.len() + 1],
    /// The time of all, in nanoseconds.
    time: AtomicU64,
}

impl Turns {
    /// Counts a turn.
    pub(crate) fn count(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let class = BOUNDS
            .iter()
            .position(|bound| nanoseconds <= bound * 1000)
            .unwrap_or(BOUNDS.len());
        let Some(shard) = self.0.get(SHARD.with(|shard| *shard)) else {
            return;
        };
        if let Some(class) = shard.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        shard.time.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// All turns so far. Those that end meanwhile may be in one of its numbers and not in another.
    #[cfg(feature = "http")]
    pub(crate) fn histogram(&self) -> Histogram {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6);
        let mut classes: Vec<(f64, u64)> =
            bounds.chain([f64::INFINITY]).zip(iter::repeat(0)).collect();
        let mut time = 0;
        for shard in &self.0 {
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
    use super::*;

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
