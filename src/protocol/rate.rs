//! Rates per second, for the quotas of the service that are counted that way.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use crate::chunked::Queue;
use crate::table::Table;

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

    /// A bucket that is full says nothing that a new one would not.
    fn is_full(&self, now: Instant) -> bool {
        let mut later = self.clone();
        later.refill(now);
        later.tokens >= later.per_second
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second);
        self.at = self.at.max(now);
    }
}

/// Names that are kept before those with full buckets are looked for.
const FEW: usize = 1024;

/// Names that are looked at then for each new one. More than one, so that their number follows use.
const LOOKED_AT: usize = 2;

/// A rate for each of many names. They are kept as hashes with a random seed: clients choose them, as
/// long as they like.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: Option<u32>,
    hashing: RandomState,
    buckets: Table<(u64, Rate)>,
    /// All names; the one that was not looked at for longest comes first.
    names: Queue<u64>,
}

impl Rates {
    /// Rates of so many per second and name; `None` allows everything.
    pub(crate) fn new(per_second: Option<u32>) -> Self {
        Self {
            per_second,
            hashing: RandomState::new(),
            buckets: Table::new(),
            names: Queue::default(),
        }
    }

    /// Takes one of `name` if its rate allows it now.
    pub(crate) fn allows(&mut self, name: &str, now: Instant) -> bool {
        let Some(per_second) = self.per_second else {
            return true;
        };
        let hash = self.hashing.hash_one(name);
        let is = |bucket: &(u64, Rate)| bucket.0 == hash;
        if let Some((_, rate)) = self.buckets.find_mut(hash, is) {
            return rate.allows(1.0, now);
        }
        self.forget_some(now);
        let mut rate = Rate::new(per_second, now);
        let allowed = rate.allows(1.0, now);
        self.buckets
            .insert_unique(hash, (hash, rate), |bucket| bucket.0);
        self.names.push_back(hash);
        allowed
    }

    /// Forgets names whose buckets are full, if there are many.
    fn forget_some(&mut self, now: Instant) {
        for _ in 0..LOOKED_AT {
            if self.buckets.len() < FEW {
                return;
            }
            let Some(hash) = self.names.pop_front() else {
                return;
            };
            let is = |bucket: &(u64, Rate)| bucket.0 == hash;
            let found = self.buckets.find(hash, is);
            if found.is_some_and(|(_, rate)| rate.is_full(now)) {
                self.buckets.remove(hash, is, |bucket| bucket.0);
            } else {
                self.names.push_back(hash);
            }
        }
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

    #[test]
    fn every_name_has_a_rate_of_its_own() {
        let start = Instant::now();
        let mut rates = Rates::new(Some(1));
        assert!(rates.allows("a", start) && !rates.allows("a", start));
        assert!(rates.allows("b", start));
        assert!(rates.allows("a", start + Duration::from_secs(1)));
        let mut unlimited = Rates::new(None);
        assert!(unlimited.allows("a", start) && unlimited.allows("a", start));
    }

    #[test]
    fn names_are_forgotten_once_they_say_nothing() {
        let start = Instant::now();
        let mut rates = Rates::new(Some(1));
        for name in 0..8 * FEW {
            rates.allows(&name.to_string(), start);
        }
        assert_eq!(rates.buckets.len(), 8 * FEW);
        let later = start + Duration::from_secs(1);
        rates.allows("0", later);
        for name in 0..8 * FEW {
            rates.allows(&format!("new{name}"), later);
        }
        // The old ones are gone, but for the one that was used again.
        assert_eq!(rates.buckets.len(), 8 * FEW + 1);
        assert_eq!(rates.names.len(), rates.buckets.len());
        assert!(!rates.allows("0", later), "it was used again");
        assert!(!rates.allows("new0", later), "it is new");
    }

    #[test]
    fn a_new_name_moves_no_more_than_a_part_of_them() {
        let start = Instant::now();
        let mut rates = Rates::new(Some(1));
        let longest = (0..100_000).map(|name: u32| {
            let at = start + Duration::from_micros(u64::from(name) * 20);
            crate::table::moved_by(|| rates.allows(&name.to_string(), at)).1
        });
        assert!(longest.max() < Some(10_000));
        assert!(
            rates.buckets.len() < 75_000,
            "those of the last second or so"
        );
    }
}
