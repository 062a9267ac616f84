//! Places for things that name each other by number.
//!
//! They lie in chunks, so that no insertion moves what is there, and a chunk that nothing is left in
//! is given back. The lowest free place is always taken first; where few are taken, the owner moves
//! things from the end to free places a few at a time, with [`Slots::next_to_move`].

use std::collections::BTreeSet;

/// Places per chunk.
pub(super) const CHUNK: usize = 1024;

/// Bits of a word of [`Taken`].
const WORD: usize = u64::BITS as usize;

/// Numbered places. A free one holds a `T::default()`.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// Each with up to `CHUNK` places, or with none where all are free.
    chunks: Vec<Vec<T>>,
    /// Which places of a chunk are taken.
    taken: Vec<Taken>,
    /// The chunks in which a place is free.
    room: BTreeSet<usize>,
    /// Places that are taken.
    len: usize,
    /// Chunks that have places.
    held: usize,
    /// What lies behind was looked at by `next_to_move` in this round.
    sweep: usize,
}

#[derive(Debug, Clone, Default)]
struct Taken {
    bits: [u64; CHUNK / WORD],
    len: usize,
}

impl<T: Default> Slots<T> {
    pub(super) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            taken: Vec::new(),
            room: BTreeSet::new(),
            len: 0,
            held: 0,
            sweep: 0,
        }
    }

    /// The number of places that are taken.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of places that take memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }

    /// What is at a place. Panics if there has never been anything.
    #[inline]
    pub(super) fn at(&self, place: usize) -> &T {
        &self.chunks[place / CHUNK][place % CHUNK]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, place: usize) -> &mut T {
        &mut self.chunks[place / CHUNK][place % CHUNK]
    }

    /// All places, with the free ones of a chunk that is not empty.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Takes the lowest free place.
    pub(super) fn insert(&mut self, value: T) -> usize {
        let at = match self.room.first() {
            Some(&at) => at,
            None => self.add_chunk(),
        };
        let (chunk, taken) = (&mut self.chunks[at], &mut self.taken[at]);
        let place = taken.take_first();
        match chunk.get_mut(place) {
            Some(free) => *free = value,
            None => {
                if chunk.capacity() == 0 {
                    self.held += 1;
                    if at > 0 {
                        chunk.reserve_exact(CHUNK);
                    }
                }
                chunk.push(value);
            }
        }
        if taken.len == CHUNK {
            self.room.remove(&at);
        }
        self.len += 1;
        at * CHUNK + place
    }

    fn add_chunk(&mut self) -> usize {
        let at = self.chunks.len();
        self.chunks.push(Vec::new());
        self.taken.push(Taken::default());
        self.room.insert(at);
        at
    }

    /// Frees a place that is taken.
    pub(super) fn remove(&mut self, place: usize) -> T {
        let value = std::mem::take(self.at_mut(place));
        let at = place / CHUNK;
        let taken = &mut self.taken[at];
        taken.free(place % CHUNK);
        self.len -= 1;
        if taken.len == 0 {
            self.chunks[at] = Vec::new();
            self.held -= 1;
        }
        self.room.insert(at);
        while self.taken.last().is_some_and(|taken| taken.len == 0) {
            self.chunks.pop();
            self.taken.pop();
            self.room.remove(&self.taken.len());
        }
        value
    }

    /// Whether most places that take memory are free.
    pub(super) fn is_sparse(&self) -> bool {
        self.held > 1 && self.len < self.held * CHUNK / 2
    }

    /// Looks at one more place from the end on. Returns it if it is taken and what it holds might be
    /// moved to a lower chunk, by removing and inserting it.
    ///
    /// After a round it begins again at the end.
    pub(super) fn next_to_move(&mut self) -> Option<usize> {
        let lowest = self.room.first().copied().unwrap_or(self.chunks.len());
        let end = self.chunks.len() * CHUNK;
        if self.sweep > end || self.sweep <= (lowest + 1) * CHUNK {
            self.sweep = end;
        }
        let place = self.sweep.checked_sub(1)?;
        let at = place / CHUNK;
        let taken = self.taken.get(at)?;
        self.sweep = match taken.len {
            0 => at * CHUNK,
            _ => place,
        };
        (at > lowest && taken.has(place % CHUNK)).then_some(place)
    }
}

impl Taken {
    fn has(&self, place: usize) -> bool {
        self.bits[place / WORD] >> (place % WORD) & 1 == 1
    }

    /// Takes the first free place; there has to be one.
    fn take_first(&mut self) -> usize {
        let word = self.bits.iter().position(|&word| word != u64::MAX);
        let word = word.expect("invariant: a chunk with room has a free place");
        let bit = self.bits[word].trailing_ones() as usize;
        self.bits[word] |= 1 << bit;
        self.len += 1;
        word * WORD + bit
    }

    fn free(&mut self, place: usize) {
        self.bits[place / WORD] &= !(1 << (place % WORD));
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn slots_agree_with_a_map(
            steps in proptest::collection::vec((any::<bool>(), 1..3_000_usize, any::<usize>()), 1..20)
        ) {
            let (mut slots, mut model) = (Slots::new(), BTreeMap::new());
            for (number, (adds, count, first)) in steps.into_iter().enumerate() {
                for index in 0..count {
                    if adds {
                        // Looking for it takes long.
                        let lowest = (index == 0).then(|| (0..).find(|at| !model.contains_key(at)));
                        let place = slots.insert(number);
                        prop_assert_eq!(model.insert(place, number), None);
                        prop_assert!(lowest.is_none_or(|lowest| lowest == Some(place)));
                        continue;
                    }
                    let Some(last) = model.last_key_value().map(|(&place, _)| place) else { break };
                    // Around in one stretch, or anywhere.
                    let near = first.wrapping_add(index) % (last + 1);
                    let place = model.range(near..).next().map_or(last, |(&place, _)| place);
                    prop_assert_eq!(Some(slots.remove(place)), model.remove(&place));
                }
                prop_assert_eq!(slots.len(), model.len());
                prop_assert!(model.iter().all(|(&place, value)| slots.at(place) == value));
                let chunks = model.last_key_value().map_or(0, |(place, _)| place / CHUNK + 1);
                prop_assert_eq!(slots.chunks.len(), chunks);
                let mut held: Vec<usize> = model.keys().map(|place| place / CHUNK).collect();
                held.dedup();
                prop_assert_eq!(slots.held, held.len());
            }
        }
    }

    #[test]
    fn what_is_there_stays_where_it_is_while_others_come() {
        let mut slots = Slots::new();
        for number in 0..2 * CHUNK {
            slots.insert(number);
        }
        let places: Vec<*const usize> = (0..2 * CHUNK)
            .map(|place| &raw const *slots.at(place))
            .collect();
        for number in 0..20 * CHUNK {
            slots.insert(number);
        }
        for (place, &before) in places.iter().enumerate() {
            assert!(std::ptr::eq(slots.at(place), before));
        }
    }

    #[test]
    fn moving_the_last_ones_gives_chunks_back() {
        let mut slots = Slots::new();
        for number in 0..10 * CHUNK {
            slots.insert(number);
        }
        for place in (0..10 * CHUNK).filter(|place| place % 16 != 5) {
            slots.remove(place);
        }
        assert_eq!((slots.held, slots.is_sparse()), (10, true));
        let (mut looks, mut moves) = (0, 0);
        while slots.is_sparse() {
            looks += 1;
            if let Some(place) = slots.next_to_move() {
                moves += 1;
                let value = slots.remove(place);
                assert!(slots.insert(value) < place);
            }
        }
        assert!(slots.held <= 2 && slots.len() == 10 * CHUNK / 16);
        assert!(
            looks < 10 * CHUNK && moves <= slots.len(),
            "{looks} looks, {moves} moves"
        );
    }
}
