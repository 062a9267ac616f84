//! Wrong passwords by where they came from, so that whoever guesses is told later each time.
//!
//! Only the refusal is put off: whoever has the right password is let in at once, also where he
//! shares the address with somebody who guesses, as all clients on one machine do.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::budget::Charge;

use super::Source;

/// How long the second refusal in a row is put off; each further one twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// No refusal is put off for longer. Clients wait some seconds for CONNACK.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// A source that did not fail for so long has not failed.
const FORGET: Duration = Duration::from_secs(60);

/// Sources that are remembered.
const SOURCES: usize = 1024;

/// Bytes that one of them takes in the table, which grows by doubling.
const SOURCE_BYTES: usize = 128;

/// The table of those who failed.
pub(crate) struct Failures {
    sources: HashMap<Source, Failed>,
    charge: Charge,
}

#[derive(Clone, Copy)]
struct Failed {
    /// Failures in a row.
    count: u32,
    last: Instant,
}

impl Failures {
    /// An empty table that is accounted for by `charge`.
    pub(crate) fn new(charge: Charge) -> Self {
        Self {
            sources: HashMap::new(),
            charge,
        }
    }

    /// Takes note of a failure. Returns how long the refusal is to be put off.
    pub(crate) fn failed(&mut self, source: Source, now: Instant) -> Duration {
        let count = match self.sources.get(&source) {
            Some(failed) if now.saturating_duration_since(failed.last) < FORGET => failed.count,
            Some(_) => 0,
            None => {
                self.make_room(now);
                0
            }
        };
        let failed = Failed {
            count: count.saturating_add(1),
            last: now,
        };
        self.sources.insert(source, failed);
        self.settle();
        delay(count)
    }

    /// The right password came from there.
    pub(crate) fn succeeded(&mut self, source: Source) {
        if self.sources.remove(&source).is_some() {
            self.settle();
        }
    }

    /// Forgets whoever has not failed for long, and if need be the one who has not for longest.
    fn make_room(&mut self, now: Instant) {
        if self.sources.len() < SOURCES && self.charge.has_room(SOURCE_BYTES) {
            return;
        }
        self.sources
            .retain(|_, failed| now.saturating_duration_since(failed.last) < FORGET);
        if self.sources.len() >= SOURCES {
            let oldest = self.sources.iter().min_by_key(|(_, failed)| failed.last);
            if let Some(source) = oldest.map(|(source, _)| *source) {
                self.sources.remove(&source);
            }
        }
    }

    fn settle(&mut self) {
        self.charge.set(self.sources.len() * SOURCE_BYTES);
    }
}

/// How long the refusal is put off that comes after `earlier` others in a row.
fn delay(earlier: u32) -> Duration {
    match earlier.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => {
            let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
            FIRST_DELAY.saturating_mul(factor).min(LONGEST_DELAY)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::budget::{Kind, Owned};

    fn source(number: u32) -> Source {
        IpAddr::from(Ipv4Addr::from_bits(number)).into()
    }

    fn failures(budget: &Owned) -> Failures {
        Failures::new(Charge::none(**budget, Kind::Connections))
    }

    #[test]
    fn each_refusal_is_put_off_twice_as_long_up_to_a_bound() {
        let budget = Owned::new(1 << 20);
        let (mut failures, now) = (failures(&budget), Instant::now());
        let delays: Vec<_> = (0..8)
            .map(|_| failures.failed(source(1), now).as_millis())
            .collect();
        assert_eq!(delays, [0, 50, 100, 200, 400, 800, 1600, 2000]);
        for _ in 0..100 {
            assert_eq!(failures.failed(source(1), now), LONGEST_DELAY);
        }
        assert_eq!(failures.failed(source(2), now), Duration::ZERO, "another's");
    }

    #[test]
    fn the_right_password_or_time_ends_the_delay() {
        let budget = Owned::new(1 << 20);
        let (mut failures, now) = (failures(&budget), Instant::now());
        for _ in 0..5 {
            failures.failed(source(1), now);
            failures.failed(source(2), now);
        }
        failures.succeeded(source(1));
        assert_eq!(failures.failed(source(1), now), Duration::ZERO);
        assert_eq!(failures.failed(source(2), now + FORGET), Duration::ZERO);
    }

    #[test]
    fn the_table_is_bounded_and_charged_and_forgets_the_oldest() {
        let budget = Owned::new(1 << 20);
        let (mut failures, now) = (failures(&budget), Instant::now());
        for number in 0..SOURCES as u32 + 10 {
            let now = now + Duration::from_millis(u64::from(number));
            failures.failed(source(number), now);
        }
        assert_eq!(failures.sources.len(), SOURCES);
        assert_eq!(budget.used_by(Kind::Connections), SOURCES * SOURCE_BYTES);
        let later = now + Duration::from_secs(2);
        assert!(failures.failed(source(SOURCES as u32), later) > Duration::ZERO);
        assert_eq!(failures.failed(source(0), later), Duration::ZERO);
        for number in 0..2 * SOURCES as u32 {
            failures.succeeded(source(number));
        }
        assert_eq!(budget.used(), 0, "all is given back");
    }
}
