//! Seeded hashing, since clients choose the keys.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

/// Hashes topics and levels with a seed that the peers do not know.
///
/// The shared seed of `foldhash` is made from the same secret: with its published default, keys
/// that collide under every seed could be computed beforehand.
#[derive(Debug)]
pub(crate) struct Hashing {
    seed: u64,
    shared: SharedSeed,
    /// Odd, so that each parent has its own product with it.
    parents: u64,
}

impl Hashing {
    pub(crate) fn new(seed: u64) -> Self {
        let mut hashing = Self {
            seed,
            shared: SharedSeed::from_u64(seed),
            parents: 1,
        };
        hashing.parents |= hashing.text(b"parents");
        hashing
    }

    /// Hash of a whole topic or filter.
    pub(crate) fn text(&self, text: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(text);
        hasher.finish()
    }

    /// Hash of one level under a parent.
    pub(super) fn level(&self, parent: u32, level: &[u8]) -> u64 {
        // The parents' seeds differ by what nobody knows who does not know `parents`.
        let seed = self.seed ^ self.parents.wrapping_mul(parent.into());
        let mut hasher = FoldHasher::with_seed(seed, &self.shared);
        hasher.write(level);
        hasher.finish()
    }
}
