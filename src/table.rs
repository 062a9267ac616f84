//! A hash table that never moves many entries at once.
//!
//! A common table moves everything it holds to a larger place when it is full: 60 ms for a million
//! entries, and whoever needs the table waits. This one consists of many small ones. When there are
//! too many entries for their number, one part is split in two, the parts taking turns (linear
//! hashing): that moves a few hundred entries, however many there are.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Entries per part on average from which on a part is split.
///
/// A part that waits for its turn has up to twice as many: 1,660, which fit into 2,048 buckets with
/// three times their standard deviation to spare.
const FULL: usize = 830;

/// Below this capacity a part is not worth shrinking.
const SMALL: usize = 64;

/// The hash bit from which on those lie that choose the part. A part of the size above uses the 11
/// below and the topmost 7.
const PLACE: u32 = 11;

/// Entries and their hashes, which the caller computes: it also has to be able to compute them anew
/// for the entries that are moved, with `rehash`.
///
/// Memory follows what it holds, also downwards.
#[derive(Debug)]
pub(crate) struct Table<E> {
    /// None until something is inserted.
    parts: Vec<HashTable<E>>,
    /// The number of parts when each has had its turn, less one: a power of two less one.
    mask: usize,
    len: usize,
}

impl<E> Table<E> {
    /// An empty table, which takes no memory besides itself.
    pub(crate) const fn new() -> Self {
        Self {
            parts: Vec::new(),
            mask: 0,
            len: 0,
        }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entry of this hash for which `is` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl FnMut(&E) -> bool) -> Option<&E> {
        self.parts.get(self.part_of(hash))?.find(hash, is)
    }

    /// The entry of this hash for which `is` holds, to change what the hash does not depend on.
    pub(crate) fn find_mut(&mut self, hash: u64, is: impl FnMut(&E) -> bool) -> Option<&mut E> {
        let part = self.part_of(hash);
        self.parts.get_mut(part)?.find_mut(hash, is)
    }

    /// The entry of this hash for which `is` holds, made by `make` if there is none.
    pub(crate) fn get_or_insert_with(
        &mut self,
        hash: u64,
        is: impl FnMut(&E) -> bool,
        rehash: impl Fn(&E) -> u64,
        make: impl FnOnce() -> E,
    ) -> &mut E {
        let rehash = counted(rehash);
        if self.len >= self.parts.len() * FULL {
            self.split(&rehash);
        }
        let part = self.part_of(hash);
        match self.parts[part].entry(hash, is, rehash) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.len += 1;
                entry.insert(make()).into_mut()
            }
        }
    }

    /// Adds an entry that the table does not have.
    pub(crate) fn insert_unique(&mut self, hash: u64, entry: E, rehash: impl Fn(&E) -> u64) {
        self.get_or_insert_with(hash, |_| false, rehash, || entry);
    }

    /// Removes the entry of this hash for which `is` holds.
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        is: impl FnMut(&E) -> bool,
        rehash: impl Fn(&E) -> u64,
    ) -> Option<E> {
        let rehash = counted(rehash);
        let part = self.part_of(hash);
        let part = self.parts.get_mut(part)?;
        let (removed, _) = part.find_entry(hash, is).ok()?.remove();
        self.len -= 1;
        if part.capacity() > SMALL && part.len() < part.capacity() / 8 {
            part.shrink_to(part.len() * 2, &rehash);
        }
        if self.len < self.parts.len().saturating_sub(1) * FULL / 4 {
            self.merge(&rehash);
        }
        Some(removed)
    }

    /// All entries, in no order.
    #[cfg(any(test, fuzzing, feature = "internals"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> {
        self.parts.iter().flatten()
    }

    /// Entries for which there is room now.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.parts.iter().map(HashTable::capacity).sum()
    }

    #[inline]
    fn part_of(&self, hash: u64) -> usize {
        let part = (hash >> PLACE) as usize & self.mask;
        match part < self.parts.len() {
            true => part,
            false => part & (self.mask >> 1),
        }
    }

    /// Adds a part, which gets half of what another one has.
    #[cold]
    fn split(&mut self, rehash: &impl Fn(&E) -> u64) {
        let whole = self.partner_of(self.parts.len());
        let entries = self.parts.get_mut(whole).map(std::mem::take);
        let entries = entries.unwrap_or_default();
        let half = || HashTable::with_capacity(entries.len() / 2);
        if let Some(part) = self.parts.get_mut(whole) {
            *part = half();
        }
        self.parts.push(half());
        self.mask = self.parts.len().next_power_of_two() - 1;
        self.take_in(entries, rehash);
    }

    /// Gives the entries of the last part to the one that it was split from.
    #[cold]
    fn merge(&mut self, rehash: &impl Fn(&E) -> u64) {
        let entries = self.parts.pop().unwrap_or_default();
        self.mask = self.parts.len().next_power_of_two() - 1;
        if self.parts.len() < self.parts.capacity() / 4 {
            self.parts.shrink_to(self.parts.len() * 2);
        }
        self.take_in(entries, rehash);
    }

    /// Puts entries where they belong now.
    fn take_in(&mut self, entries: HashTable<E>, rehash: &impl Fn(&E) -> u64) {
        for entry in entries {
            let hash = rehash(&entry);
            let part = self.part_of(hash);
            self.parts[part].insert_unique(hash, entry, rehash);
        }
    }

    /// The part that `part` was or will be split from.
    fn partner_of(&self, part: usize) -> usize {
        part ^ (part.checked_ilog2().map_or(0, |bit| 1 << bit))
    }
}

/// `rehash`, which is called for every entry that is moved.
fn counted<E>(rehash: impl Fn(&E) -> u64) -> impl Fn(&E) -> u64 {
    move |entry| {
        #[cfg(test)]
        MOVED.set(MOVED.get() + 1);
        rehash(entry)
    }
}

#[cfg(test)]
thread_local! {
    /// Entries of any table that were moved.
    static MOVED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The entries of tables that `work` moves.
#[cfg(test)]
pub(crate) fn moved_by<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = MOVED.get();
    (work(), MOVED.get() - before)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::BuildHasher;

    use foldhash::fast::FixedState;
    use proptest::prelude::*;

    use super::*;

    type Pairs = Table<(u32, usize)>;

    fn hash(key: u32) -> u64 {
        FixedState::with_seed(7).hash_one(key)
    }

    fn insert(table: &mut Pairs, key: u32, value: usize) -> usize {
        let rehash = |pair: &(u32, usize)| hash(pair.0);
        let make = || (key, value);
        table
            .get_or_insert_with(hash(key), |pair| pair.0 == key, rehash, make)
            .1
    }

    fn remove(table: &mut Pairs, key: u32) -> Option<usize> {
        let removed = table.remove(hash(key), |pair| pair.0 == key, |pair| hash(pair.0));
        removed.map(|(_, value)| value)
    }

    fn get(table: &Pairs, key: u32) -> Option<usize> {
        let found = table.find(hash(key), |pair| pair.0 == key);
        found.map(|&(_, value)| value)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whole ranges come and go, so that parts are split and merged again and again.
        #[test]
        fn table_agrees_with_a_map(
            steps in proptest::collection::vec(
                (any::<bool>(), 0..20_000_u32, 1..8_000_u32),
                1..12
            )
        ) {
            let (mut table, mut model) = (Table::new(), BTreeMap::new());
            for (value, (adds, first, count)) in steps.into_iter().enumerate() {
                for key in first..first + count {
                    if adds {
                        let expected = *model.entry(key).or_insert(value);
                        prop_assert_eq!(insert(&mut table, key, value), expected);
                    } else {
                        prop_assert_eq!(remove(&mut table, key), model.remove(&key));
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                for key in first.saturating_sub(5)..first + count + 5 {
                    prop_assert_eq!(get(&table, key), model.get(&key).copied());
                }
                let all: BTreeMap<u32, usize> = table.iter().copied().collect();
                prop_assert_eq!(&all, &model);
            }
        }
    }

    #[test]
    fn no_call_moves_more_than_a_part_however_many_entries_there_are() {
        let (mut table, count) = (Table::new(), 300_000);
        let (mut longest, mut all) = (0, 0);
        let mut note = |moved: usize| {
            longest = longest.max(moved);
            all += moved;
        };
        for key in 0..count {
            note(moved_by(|| insert(&mut table, key, 0)).1);
        }
        let (parts, capacity) = (table.parts.len(), table.capacity());
        for key in 0..count {
            note(moved_by(|| remove(&mut table, key)).1);
        }
        assert!(parts > 256, "{parts} parts");
        assert!(capacity < 3 * count as usize, "room for {capacity}");
        // A part that is split, and one of the halves that grows in the same call.
        assert!(longest < 3 * FULL, "{longest} at once");
        assert!(all < 10 * count as usize, "{all} in all");
    }

    #[test]
    fn memory_follows_removals() {
        let mut table = Table::new();
        for key in 0..100_000 {
            insert(&mut table, key, 0);
        }
        for key in 1_000..100_000 {
            remove(&mut table, key);
            let bound = 16 * table.len() + 2 * FULL;
            assert!(
                table.capacity() <= bound,
                "{} for {}",
                table.capacity(),
                table.len()
            );
        }
        for key in 0..1_000 {
            assert_eq!(remove(&mut table, key), Some(0));
        }
        assert_eq!((table.len(), table.parts.len()), (0, 1));
        assert!(table.capacity() <= SMALL && table.parts.capacity() < 16);
    }

    #[test]
    fn few_entries_take_one_part() {
        let mut table = Table::new();
        assert_eq!(remove(&mut table, 1), None);
        assert_eq!((get(&table, 1), table.parts.capacity()), (None, 0));
        for key in 0..3 {
            insert(&mut table, key, 0);
        }
        assert_eq!((table.parts.len(), table.capacity()), (1, 3));
    }
}
