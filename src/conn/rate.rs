//! Rates per second, for the quotas of the service that are counted that way.

use std::time::{Duration, Instant};

/// A bucket that refills continuously and holds one second's worth.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            tokens: per_second,
            at: now,
        }
    }

    /// Takes `amount` if the rate allows it now.
    pub(crate) fn allows(&mut self, amount: f64, now: Instant) -> bool {
        self.refill(now);
        let allowed = self.tokens >= amount;
        if allowed {
            self.tokens -= amount;
        }
        allowed
    }

    /// Takes `amount` in any case and says how long to wait until the rate is met again.
    pub(crate) fn charge(&mut self, amount: f64, now: Instant) -> Duration {
        self.refill(now);
        self.tokens -= amount;
        Duration::from_secs_f64((-self.tokens / self.per_second).max(0.0))
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_refills_with_time_and_not_beyond_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(2, start);
        assert!(rate.allows(1.0, start) && rate.allows(1.0, start) && !rate.allows(1.0, start));
        assert!(rate.allows(1.0, start + Duration::from_millis(500)));
        let later = start + Duration::from_secs(60);
        assert!(rate.allows(2.0, later) && !rate.allows(1.0, later));
        assert_eq!(rate.charge(1.0, later), Duration::from_millis(500));
    }
}
