//! The broker's clock: the system's, moved forward as far as a test likes.
//!
//! Time runs on two lines. Expiries and delays (of sessions, wills, messages, retained messages, resends)
//! are on the broker's own; what a live connection is measured by (its keep-alive, its rates, the time
//! to its CONNECT) is on the *live* one. Both move when a test wants connections to notice; otherwise
//! only the first does, and nobody is cut off for hours in which he could not have sent anything.
//! For the same reason only the first is as many times as fast as a configuration says.

use std::future::Future;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

/// How far a clock can be moved in all: beyond it instants and dates may not be represented.
pub(crate) const FARTHEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How many times as fast as the system's time the broker's can run, at most. Timers of the machine have milliseconds,
/// which are ten seconds then.
pub(crate) const SCALE_MAX: f64 = 10_000.0;

/// One moment on both lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// For expiries and delays.
    pub(crate) now: Instant,
    /// For what live connections are measured by.
    pub(crate) live: Instant,
}

impl From<Instant> for Moment {
    fn from(now: Instant) -> Self {
        Self { now, live: now }
    }
}

/// An instant in half of its bytes, also where there may be none: what each connection keeps. It is as exact within
/// two hundred years of the start of the program, and at one end of them else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(NonZeroU64);

/// What stamps count from: nanoseconds from here, which is in their middle.
const MIDDLE: u64 = 1 << 63;

/// The instant in the middle of all stamps.
fn middle() -> Instant {
    static MIDDLE: OnceLock<Instant> = OnceLock::new();
    *MIDDLE.get_or_init(Instant::now)
}

impl From<Instant> for Stamp {
    #[inline]
    fn from(instant: Instant) -> Self {
        let middle = middle();
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let stamp = match instant.checked_duration_since(middle) {
            Some(after) => MIDDLE.saturating_add(nanoseconds(after)),
            None => MIDDLE.saturating_sub(nanoseconds(middle.duration_since(instant))),
        };
        Self(NonZeroU64::new(stamp).unwrap_or(NonZeroU64::MIN))
    }
}

impl From<Stamp> for Instant {
    #[inline]
    fn from(Stamp(stamp): Stamp) -> Self {
        let middle = middle();
        let instant = match stamp.get().checked_sub(MIDDLE) {
            Some(after) => middle.checked_add(Duration::from_nanos(after)),
            None => middle.checked_sub(Duration::from_nanos(MIDDLE - stamp.get())),
        };
        instant.unwrap_or(middle)
    }
}

/// Dates of instants of the broker's line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calendar {
    at: Instant,
    date: SystemTime,
}

impl Calendar {
    /// The date of `instant`, which is not before the calendar began.
    pub(crate) fn date(&self, instant: Instant) -> SystemTime {
        let since = instant.saturating_duration_since(self.at);
        self.date.checked_add(since).unwrap_or(self.date)
    }
}

/// Milliseconds since 1970; 0 for what was before.
#[cfg(any(feature = "aws", feature = "http"))]
pub(crate) fn milliseconds(date: SystemTime) -> u64 {
    let since = date.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Whole seconds of so many milliseconds since 1970, as policies and certificates count.
#[cfg(feature = "aws")]
pub(crate) fn whole_seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}

/// The machine's time, in seconds since 1970: what clients sign is dated by it, wherever a test has moved the broker's.
#[cfg(all(feature = "aws", any(feature = "http", feature = "websocket")))]
pub(crate) fn machine_seconds() -> i64 {
    whole_seconds(milliseconds(SystemTime::now()))
}

/// Where the broker takes the time from.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Nanoseconds that the broker's line is ahead of the system's.
    ahead: AtomicU64,
    /// The same of the live line.
    live_ahead: AtomicU64,
    /// Wakes those who sleep by the live line when it was moved.
    moved: Notify,
    /// How the broker's line runs; as the system's time without one.
    pace: Option<Pace>,
}

/// A line of time that runs faster than the system's.
#[derive(Clone, Copy, Debug)]
struct Pace {
    since: Instant,
    /// How many times as fast.
    scale: f64,
}

impl Pace {
    /// How far the line is ahead of the system's time by then.
    fn gained(self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        let gained = Duration::try_from_secs_f64(passed * (self.scale - 1.0));
        gained.unwrap_or(FARTHEST).min(FARTHEST)
    }
}

/// What was waited for did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// The system's, except in tests that stop Tokio's.
#[inline]
fn system() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Clock {
    /// One whose broker's line is so many times as fast as the system's time, from now on: 1 to [`SCALE_MAX`], and the
    /// nearer of the two for what is outside.
    pub(crate) fn at_scale(scale: f64) -> Self {
        let pace = (scale > 1.0).then(|| Pace {
            since: system(),
            scale: scale.min(SCALE_MAX),
        });
        Self {
            pace,
            ..Self::default()
        }
    }

    /// How many times as fast as the system's time the broker's line is.
    pub(crate) fn scale(&self) -> f64 {
        self.pace.map_or(1.0, |pace| pace.scale)
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        let system = system();
        let mut now = later(system, &self.ahead);
        if let Some(pace) = self.pace {
            now = now.checked_add(pace.gained(system)).unwrap_or(now);
        }
        Moment {
            now,
            live: later(system, &self.live_ahead),
        }
    }

    /// How long so much of the broker's line takes.
    pub(crate) fn until(&self, time: Duration) -> Duration {
        match self.pace {
            Some(pace) => time.div_f64(pace.scale),
            None => time,
        }
    }

    /// The broker's date and time.
    pub(crate) fn date(&self) -> SystemTime {
        let now = SystemTime::now();
        now.checked_add(self.ahead()).unwrap_or(now)
    }

    /// A calendar that begins now.
    pub(crate) fn calendar(&self) -> Calendar {
        Calendar {
            at: self.now().now,
            date: self.date(),
        }
    }

    /// How far the broker's line is ahead of the system's time.
    pub(crate) fn ahead(&self) -> Duration {
        let advanced = Duration::from_nanos(self.ahead.load(Ordering::Relaxed));
        match self.pace {
            Some(pace) => advanced.saturating_add(pace.gained(system())),
            None => advanced,
        }
    }

    /// Moves the broker's line, and the live one too where `with_live` says so.
    pub(crate) fn advance(&self, by: Duration, with_live: bool) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.ahead.fetch_add(nanos, Ordering::Relaxed);
        if with_live {
            self.live_ahead.fetch_add(nanos, Ordering::Relaxed);
            self.moved.notify_waiters();
        }
    }

    /// Sleeps for so long on the live line.
    pub(crate) async fn sleep(&self, time: Duration) {
        let begun = self.now().live;
        loop {
            let mut moved = pin!(self.moved.notified());
            // From here on no move is missed.
            moved.as_mut().enable();
            let passed = self.now().live.saturating_duration_since(begun);
            let left = time.saturating_sub(passed);
            if left.is_zero() {
                return;
            }
            // Whichever comes first.
            let _ = tokio::time::timeout(left, moved).await;
        }
    }

    /// Waits for `future`, for so long on the live line.
    pub(crate) async fn timeout<F: Future>(
        &self,
        time: Duration,
        future: F,
    ) -> Result<F::Output, TimedOut> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(time) => Err(TimedOut),
        }
    }
}

#[inline]
fn later(now: Instant, by: &AtomicU64) -> Instant {
    match by.load(Ordering::Relaxed) {
        0 => now,
        nanos => now.checked_add(Duration::from_nanos(nanos)).unwrap_or(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_as_exact_as_instants_and_in_their_order() {
        let now = Instant::now();
        let steps =
            [0, 1, 999_999_999, 1_000_000_001, u64::from(u32::MAX)].map(Duration::from_nanos);
        let mut instants: Vec<_> = steps.iter().map(|step| now + *step).collect();
        instants.extend(steps.iter().filter_map(|step| now.checked_sub(*step)));
        instants.push(now + 2 * FARTHEST);
        for one in &instants {
            assert_eq!(Instant::from(Stamp::from(*one)), *one);
            for other in &instants {
                assert_eq!(Stamp::from(*one).cmp(&Stamp::from(*other)), one.cmp(other));
            }
        }
        assert_eq!(size_of::<Option<Stamp>>(), 8);
    }

    #[test]
    fn live_connections_keep_their_time_unless_they_are_to_notice() {
        let clock = Clock::default();
        let before = clock.now();
        clock.advance(Duration::from_secs(3600), false);
        let spared = clock.now();
        assert!(spared.now >= before.now + Duration::from_secs(3600));
        assert!(spared.live < before.live + Duration::from_secs(3600));
        clock.advance(Duration::from_secs(60), true);
        let noticed = clock.now();
        assert!(noticed.live >= before.live + Duration::from_secs(60));
        assert_eq!(clock.ahead(), Duration::from_secs(3660));
        assert!(clock.date() > SystemTime::now() + Duration::from_secs(3650));
    }

    #[tokio::test(start_paused = true)]
    async fn broker_s_line_runs_as_fast_as_it_is_told_and_the_live_one_as_ever() {
        let clock = Clock::at_scale(60.0);
        let (before, minute) = (clock.now(), Duration::from_secs(60));
        tokio::time::advance(minute).await;
        let after = clock.now();
        assert_eq!(after.now - before.now, minute * 60);
        assert_eq!(after.live - before.live, minute);
        assert_eq!(clock.ahead(), minute * 59);
        assert_eq!(clock.until(minute), Duration::from_secs(1));
        clock.advance(minute, false);
        assert_eq!(clock.now().now - after.now, minute);
        assert_eq!(clock.ahead(), minute * 60);
    }

    #[tokio::test(start_paused = true)]
    async fn fast_clock_gets_no_farther_ahead_than_can_be_told() {
        let clock = Clock::at_scale(f64::INFINITY);
        let before = clock.now().now;
        tokio::time::advance(FARTHEST / 10).await;
        assert_eq!(clock.scale(), SCALE_MAX);
        assert_eq!(clock.ahead(), FARTHEST);
        assert_eq!(clock.now().now - before, FARTHEST + FARTHEST / 10);
        for scale in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(Clock::at_scale(scale).scale(), 1.0, "{scale}");
        }
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_live_line_was_moved() {
        let clock = std::sync::Arc::new(Clock::default());
        let own = clock.clone();
        let hour = Duration::from_secs(3600);
        let sleeper =
            tokio::spawn(async move { own.timeout(hour, std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        clock.advance(hour, false);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(hour / 2, true);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(hour / 2, true);
        assert_eq!(sleeper.await.expect("no panic"), Err(TimedOut));
        assert_eq!(clock.timeout(hour, std::future::ready(7)).await, Ok(7));
    }

    #[test]
    fn dates_go_with_the_broker_s_line() {
        let clock = Clock::default();
        let calendar = clock.calendar();
        clock.advance(Duration::from_secs(3600), false);
        let date = calendar.date(clock.now().now);
        let apart = clock
            .date()
            .duration_since(date)
            .unwrap_or_else(|error| error.duration());
        assert!(apart < Duration::from_secs(60), "{apart:?}");
    }
}
