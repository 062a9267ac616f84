//! The broker's clock: the system's, moved forward as far as a test likes.
//!
//! Time runs on two lines. Expiries and delays (of sessions, wills, messages, retained messages, resends)
//! are on the broker's own; what a live connection is measured by (its keep-alive, its rates, the time
//! to its CONNECT) is on the *live* one. Both move when a test wants connections to notice; otherwise
//! only the first does, and nobody is cut off for hours in which he could not have sent anything.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

/// How far a clock can be moved in all: beyond it instants and dates may not be represented.
pub(crate) const FARTHEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

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
#[cfg(feature = "aws")]
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

/// Where the broker takes the time from.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Nanoseconds that the broker's line is ahead of the system's.
    ahead: AtomicU64,
    /// The same of the live line.
    live_ahead: AtomicU64,
    /// Wakes those who sleep by the live line when it was moved.
    moved: Notify,
}

/// What was waited for did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

impl Clock {
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        // Tokio's is the system's, except in tests that stop it.
        let now = tokio::time::Instant::now().into_std();
        Moment {
            now: later(now, &self.ahead),
            live: later(now, &self.live_ahead),
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
        Duration::from_nanos(self.ahead.load(Ordering::Relaxed))
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
