//! A hash table that never moves many entries at once.
//!
//! A common table moves everything it holds to a larger place when it is full: 60 ms for a million
//! entries, and whoever needs the table waits. This one consists of 256 tables as soon as it holds
//! some thousands of entries, and each of those grows by itself: at 2,000,000 entries that moves some
//! 8,000 of them. Their number is fixed, so that finding the right one takes no comparison.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Parts of a table that is split.
const PARTS: usize = 256;

/// Entries from which on a table is split, and below which it is put together again.
const MANY: usize = 4096;
const FEW: usize = 1024;

/// Up to this capacity a part is not worth shrinking.
const SMALL: usize = 14;

/// The lowest of the hash bits that choose the part. A part uses those below it, and the topmost 7.
const PLACE: u32 = 17;

/// Entries and their hashes, which the caller computes: it also has to be able to compute them anew
/// for the entries that are moved, with `rehash`.
///
/// Memory follows what it holds, also downwards.
#[derive(Debug)]
pub(crate) struct Table<E> {
    /// None until something is inserted, then one, or `PARTS`.
    parts: Vec<HashTable<E>>,
    /// The bits of a part's number.
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
        if self.parts.is_empty() {
            self.parts.push(HashTable::new());
        } else if self.len >= MANY && self.parts.len() == 1 {
            self.distribute(PARTS, &rehash);
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
        if self.len < FEW && self.parts.len() > 1 {
            self.distribute(1, &rehash);
        }
        Some(removed)
    }

    /// All entries, in no order.
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
        (hash >> PLACE) as usize & self.mask
    }

    /// Moves all entries to so many new parts, a power of two.
    #[cold]
    fn distribute(&mut self, parts: usize, rehash: &impl Fn(&E) -> u64) {
        let new = || HashTable::with_capacity(self.len / parts);
        let new = std::iter::repeat_with(new).take(parts).collect();
        let old = std::mem::replace(&mut self.parts, new);
        self.mask = parts - 1;
        for entry in old.into_iter().flatten() {
            let hash = rehash(&entry);
            let part = self.part_of(hash);
            self.parts[part].insert_unique(hash, entry, rehash);
        }
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
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whole ranges come and go, so that parts are split and merged again and again.
        #[test]
        fn table_agrees_with_a_map(
            steps in proptest::collection::vec(
                (any::<bool>(), 0..12_000_u32, 1..6_000_u32),
                1..8
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
        let (mut table, count) = (Table::new(), 200_000);
        let (mut longest, mut all) = (0, 0);
        let mut note = |moved: usize| {
            longest = longest.max(moved);
            all += moved;
        };
        for key in 0..count {
            note(moved_by(|| insert(&mut table, key, 0)).1);
        }
        let capacity = table.capacity();
        for key in 0..count {
            note(moved_by(|| remove(&mut table, key)).1);
        }
        assert!(capacity < 3 * count as usize, "room for {capacity}");
        // All of a table that is split, and a few parts that have got more than the average.
        assert!(longest < 2 * MANY, "{longest} at once");
        assert!(all < 10 * count as usize, "{all} in all");
    }

    #[test]
    fn largest_part_holds_its_share_of_the_entries() {
        let (mut table, count) = (Table::new(), 200_000);
        for key in 0..count {
            insert(&mut table, key, 0);
        }
        let largest = table.parts.iter().map(HashTable::len).max();
        assert_eq!(table.parts.len(), PARTS);
        assert!(largest < Some(count as usize / PARTS * 5 / 4));
    }

    #[test]
    fn memory_follows_removals() {
        let mut table = Table::new();
        for key in 0..100_000 {
            insert(&mut table, key, 0);
        }
        for key in 1_000..100_000 {
            remove(&mut table, key);
            let (len, capacity) = (table.len(), table.capacity());
            assert!(capacity <= 16 * len, "{capacity} for {len}");
        }
        for key in 0..1_000 {
            assert_eq!(remove(&mut table, key), Some(0));
        }
        assert_eq!((table.len(), table.parts.len()), (0, 1));
        assert!(table.capacity() <= SMALL);
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
