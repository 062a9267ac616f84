//! What is random in a broker. The core reads no random source: whoever starts a broker hands it one.
//!
//! What clients get to see (identifiers, turns of a random group) and what they must not be able to
//! foretell (seeds of hash tables, whose keys they choose) come from sources that tell nothing of each
//! other.

use parking_lot::Mutex;

use crate::chance::SplitMix;

/// Where a broker takes its randomness from.
pub(crate) struct Randomness {
    /// Seeds of hash tables; none of them leaves the broker.
    hashing: Mutex<SplitMix>,
    /// Seeds of shared groups whose turns are random.
    turns: Mutex<SplitMix>,
    identifiers: Identifiers,
}

enum Identifiers {
    /// The operating system's, each one anew.
    System(fn() -> u128),
    /// The same ones in each run, for tests.
    Seeded(Mutex<SplitMix>),
}

impl Randomness {
    /// Randomness from `source`, which nobody can foretell.
    pub(crate) fn from_source(source: fn() -> u128) -> Self {
        Self {
            hashing: Mutex::new(SplitMix::new(low_half(source()))),
            turns: Mutex::new(SplitMix::new(low_half(source()))),
            identifiers: Identifiers::System(source),
        }
    }

    /// The same choices in each run.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut seeds = SplitMix::new(seed);
        let mut next = || Mutex::new(SplitMix::new(seeds.next()));
        Self {
            hashing: next(),
            turns: next(),
            identifiers: Identifiers::Seeded(next()),
        }
    }

    pub(super) fn hash_seed(&self) -> u64 {
        self.hashing.lock().next()
    }

    pub(super) fn turn_seed(&self) -> u64 {
        self.turns.lock().next()
    }

    pub(super) fn identifier(&self) -> u128 {
        match &self.identifiers {
            Identifiers::System(source) => source(),
            Identifiers::Seeded(seeded) => {
                let mut seeded = seeded.lock();
                u128::from(seeded.next()) << 64 | u128::from(seeded.next())
            }
        }
    }
}

fn low_half(bits: u128) -> u64 {
    // Truncation is what is wanted.
    bits as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inverts the finalizer of SplitMix64: what an attacker does with an output.
    fn state_behind(output: u64) -> u64 {
        let unshift = |value: u64, by: u32| {
            let mut known = value;
            for _ in 0..64 / by + 1 {
                known = value ^ (known >> by);
            }
            known
        };
        let inverse = |odd: u64| {
            (0..6).fold(odd, |inverse: u64, _| {
                inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)))
            })
        };
        let z = unshift(output, 31).wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
        unshift(
            unshift(z, 27).wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9)),
            30,
        )
    }

    #[test]
    fn an_identifier_foretells_neither_the_next_nor_a_seed() {
        let randomness = Randomness::from_seed(7);
        let identifier = randomness.identifier();
        // A seeded broker's identifiers do follow from each other, which shows that the attack works.
        let mut known = SplitMix::new(state_behind(low_half(identifier)));
        let foretold = u128::from(known.next()) << 64 | u128::from(known.next());
        assert_eq!(randomness.identifier(), foretold);
        let mut known = SplitMix::new(state_behind(low_half(identifier)));
        let seed = randomness.hash_seed();
        assert!((0..1000).all(|_| known.next() != seed));

        let system = Randomness::from_source(|| uuid::Uuid::new_v4().as_u128());
        let identifier = system.identifier();
        let mut known = SplitMix::new(state_behind(low_half(identifier)));
        let foretold = u128::from(known.next()) << 64 | u128::from(known.next());
        assert_ne!(system.identifier(), foretold);
    }
}
