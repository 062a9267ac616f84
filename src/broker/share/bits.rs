//! A set of slots in which the next member is found without looking at those that are not in it.
//!
//! A word has a bit for each of 64 slots; `summary` has a bit for each word behind the first that is not
//! empty. Up to 64 slots need no allocation and one look.

use std::iter::once;

const WORD: usize = u64::BITS as usize;

#[derive(Default)]
pub(super) struct Bits {
    first: u64,
    /// The words behind the first.
    rest: Vec<u64>,
    /// One bit for each word of `rest`.
    summary: Vec<u64>,
    count: usize,
}

impl Bits {
    /// How many slots are in the set.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn contains(&self, slot: usize) -> bool {
        self.word(slot / WORD) & bit(slot) != 0
    }

    pub(super) fn insert(&mut self, slot: usize) {
        if self.contains(slot) {
            return;
        }
        self.count += 1;
        let Some(index) = (slot / WORD).checked_sub(1) else {
            self.first |= bit(slot);
            return;
        };
        if index >= self.rest.len() {
            self.rest.resize(index + 1, 0);
            self.summary.resize(index / WORD + 1, 0);
        }
        if let (Some(word), Some(summary)) =
            (self.rest.get_mut(index), self.summary.get_mut(index / WORD))
        {
            *word |= bit(slot);
            *summary |= bit(index);
        }
    }

    pub(super) fn remove(&mut self, slot: usize) {
        if !self.contains(slot) {
            return;
        }
        self.count -= 1;
        let Some(index) = (slot / WORD).checked_sub(1) else {
            self.first &= !bit(slot);
            return;
        };
        if let (Some(word), Some(summary)) =
            (self.rest.get_mut(index), self.summary.get_mut(index / WORD))
        {
            *word &= !bit(slot);
            if *word == 0 {
                *summary &= !bit(index);
            }
        }
    }

    /// Gives back the room for slots from `len` on, none of which is in the set.
    pub(super) fn truncate(&mut self, len: usize) {
        let words = (len / WORD).min(self.rest.len());
        self.rest.truncate(words);
        self.rest.shrink_to_fit();
        self.summary.truncate(words.div_ceil(WORD));
        self.summary.shrink_to_fit();
    }

    /// The first slot of the set that is `from` or behind it.
    #[inline]
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let index = from / WORD;
        let word = self.word(index) & behind(from);
        if word != 0 {
            return Some(index * WORD + word.trailing_zeros() as usize);
        }
        // Word `index + 1` is in `rest` under `index`.
        self.next_in_rest(index)
    }

    fn next_in_rest(&self, from: usize) -> Option<usize> {
        let mut mask = behind(from);
        for (place, summary) in self.summary.iter().enumerate().skip(from / WORD) {
            let words = summary & mask;
            mask = u64::MAX;
            if words != 0 {
                let index = place * WORD + words.trailing_zeros() as usize;
                let word = self.rest.get(index)?;
                return Some((index + 1) * WORD + word.trailing_zeros() as usize);
            }
        }
        None
    }

    /// The first slot from `from` on that is in this set and not in `other`.
    pub(super) fn next_without(&self, other: &Self, from: usize) -> Option<usize> {
        let words = once(&self.first).chain(&self.rest).enumerate();
        let mut mask = behind(from);
        for (index, word) in words.skip(from / WORD) {
            let left = word & !other.word(index) & mask;
            mask = u64::MAX;
            if left != 0 {
                return Some(index * WORD + left.trailing_zeros() as usize);
            }
        }
        None
    }

    #[inline]
    fn word(&self, index: usize) -> u64 {
        match index.checked_sub(1) {
            None => self.first,
            Some(index) => self.rest.get(index).copied().unwrap_or(0),
        }
    }
}

/// The bit of a slot in its word.
fn bit(slot: usize) -> u64 {
    1 << (slot % WORD)
}

/// The bits of a slot and of those behind it in its word.
fn behind(slot: usize) -> u64 {
    u64::MAX << (slot % WORD)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_behave_as_a_set(
            steps in proptest::collection::vec((any::<bool>(), 0..9_000_usize), 1..400),
            others in proptest::collection::btree_set(0..9_000_usize, 0..100),
            from in 0..9_100_usize,
        ) {
            let (mut bits, mut model) = (Bits::default(), BTreeSet::new());
            for (is_new, slot) in steps {
                // Few are set, so that long stretches are empty; some are next to each other.
                let slot = if slot % 3 == 0 { slot } else { slot % 130 };
                match is_new {
                    true => {
                        bits.insert(slot);
                        model.insert(slot);
                    }
                    false => {
                        bits.remove(slot);
                        model.remove(&slot);
                    }
                }
                prop_assert_eq!(bits.count(), model.len());
            }
            let mut other = Bits::default();
            for slot in &others {
                other.insert(*slot);
            }
            for from in (0..300).chain([from]) {
                prop_assert_eq!(bits.next(from), model.range(from..).next().copied());
                prop_assert_eq!(bits.contains(from), model.contains(&from));
                let mut without = model.range(from..).filter(|slot| !others.contains(slot));
                prop_assert_eq!(bits.next_without(&other, from), without.next().copied());
            }
        }
    }
}
