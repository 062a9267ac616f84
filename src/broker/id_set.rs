//! A set of packet identifiers, of which a client takes one after the other.
//!
//! Each word has 64 neighbours, and only words that are not empty are there, in order: identifiers that
//! rise, and are let go in about their order, take few words, and the one that is looked for is the first
//! or the last. All 65,535 take 1,024.

use std::collections::VecDeque;

/// Identifiers of a word.
const WORD: u16 = u64::BITS as u16;

#[derive(Default)]
pub(super) struct IdSet {
    words: VecDeque<Word>,
    len: usize,
}

/// Identifiers from 64 times `number` on, one for each bit; one at least.
struct Word {
    number: u16,
    bits: u64,
}

/// The word of an identifier, and its bit there.
#[inline]
fn place(id: u16) -> (u16, u64) {
    (id / WORD, 1 << (id % WORD))
}

impl IdSet {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<Word>()
    }

    #[inline]
    pub(super) fn contains(&self, id: u16) -> bool {
        let (number, bit) = place(id);
        let word = self.find(number).ok().and_then(|at| self.words.get(at));
        word.is_some_and(|word| word.bits & bit > 0)
    }

    /// Adds an identifier. Returns whether it was not there.
    #[inline]
    pub(super) fn insert(&mut self, id: u16) -> bool {
        let (number, bit) = place(id);
        // Nearly always it is behind the others.
        match self.words.back_mut() {
            Some(word) if word.number == number => {
                let is_new = word.bits & bit == 0;
                word.bits |= bit;
                self.len += usize::from(is_new);
                is_new
            }
            _ => self.add(number, bit) & bit == 0,
        }
    }

    /// Takes an identifier out. Returns whether it was there.
    #[inline]
    pub(super) fn remove(&mut self, id: u16) -> bool {
        self.remove_each(std::iter::once(id)) == 1
    }

    /// Takes identifiers out until one is not there. Returns how many were.
    #[inline]
    pub(super) fn remove_each(&mut self, ids: impl Iterator<Item = u16>) -> usize {
        let mut ids = ids.peekable();
        let mut removed = 0;
        while let Some(id) = ids.peek() {
            let (number, _) = place(*id);
            let found = self.find(number).ok();
            let Some((at, word)) = found.and_then(|at| Some((at, self.words.get_mut(at)?))) else {
                break;
            };
            let mut left = word.bits;
            let is_there = |left: u64, id: u16| place(id).0 == number && left & place(id).1 > 0;
            while let Some(id) = ids.next_if(|id| is_there(left, *id)) {
                left &= !place(id).1;
            }
            let gone = (word.bits ^ left).count_ones() as usize;
            word.bits = left;
            if left == 0 {
                self.words.remove(at);
            }
            removed += gone;
            if gone == 0 {
                break;
            }
        }
        self.len -= removed;
        removed
    }

    /// Adds all of `other`.
    pub(super) fn extend(&mut self, other: Self) {
        if self.len == 0 {
            *self = other;
            return;
        }
        let mut merged = Self::default();
        let mut own = std::mem::take(&mut self.words).into_iter().peekable();
        for word in other.words {
            while let Some(before) = own.next_if(|before| before.number <= word.number) {
                merged.add(before.number, before.bits);
            }
            merged.add(word.number, word.bits);
        }
        own.for_each(|word| {
            merged.add(word.number, word.bits);
        });
        *self = merged;
    }

    /// Adds `bits` to a word. Returns what it was.
    fn add(&mut self, number: u16, bits: u64) -> u64 {
        let before = match self.find(number) {
            Ok(at) => match self.words.get_mut(at) {
                Some(word) => {
                    let before = word.bits;
                    word.bits |= bits;
                    before
                }
                None => 0,
            },
            Err(at) => {
                self.words.insert(at, Word { number, bits });
                0
            }
        };
        self.len += (bits & !before).count_ones() as usize;
        before
    }

    /// Where a word is, or where it would be: nearly always it is the first, or behind the others.
    #[inline]
    fn find(&self, number: u16) -> Result<usize, usize> {
        match (self.words.front(), self.words.back()) {
            (Some(first), _) if first.number == number => Ok(0),
            (_, Some(last)) if last.number < number => Err(self.words.len()),
            _ => self.words.binary_search_by_key(&number, |word| word.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_identifiers_take_a_bit_each() {
        let mut set = IdSet::default();
        for id in 1..=u16::MAX {
            assert!(set.insert(id) && !set.insert(id));
        }
        assert_eq!(set.len(), usize::from(u16::MAX));
        assert!(set.bytes() <= 2 * 1024 * size_of::<Word>());
        for id in (1..=u16::MAX).rev() {
            assert!(set.remove(id) && !set.remove(id));
        }
        assert_eq!((set.len(), set.words.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn set_behaves_as_one(
            steps in proptest::collection::vec((0u8..6, 0u16..300), 1..500),
            more in proptest::collection::vec(0u16..2_000, 0..200),
        ) {
            let (mut set, mut model) = (IdSet::default(), BTreeSet::new());
            for (kind, id) in steps {
                match kind {
                    0..3 => prop_assert_eq!(set.insert(id), model.insert(id)),
                    3 => prop_assert_eq!(set.remove(id), model.remove(&id)),
                    // From there on, and one that may be far.
                    _ => {
                        let ids = (id..id + 80).chain([id / 2, id]);
                        let removed = set.remove_each(ids.clone());
                        let known = ids.take_while(|id| model.remove(id)).count();
                        prop_assert_eq!(removed, known);
                    }
                }
                prop_assert_eq!(set.len(), model.len());
            }
            let mut other = IdSet::default();
            for id in more {
                other.insert(id);
                model.insert(id);
            }
            set.extend(other);
            prop_assert_eq!(set.len(), model.len());
            prop_assert!((0..2_000).all(|id| set.contains(id) == model.contains(&id)));
        }
    }
}
