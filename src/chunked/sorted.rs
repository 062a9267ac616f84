//! A map in the order of its keys whose pieces are full where keys come in ascending order, as deadlines do.
//!
//! A common tree splits a leaf that is full in the middle, so that its leaves stay half full then: it takes
//! twice as much. Here an entry is found in a tree of pieces, and in its piece, which it may shift.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Entries of a piece that is full.
const PIECE: usize = 64;

/// Keys come in ascending order but for a few: one behind so many begins another piece.
const NEARLY_ALL: usize = PIECE * 3 / 4;

/// A piece of fewer entries is joined to a neighbour that has few as well, or gives memory back.
const FEW: usize = PIECE / 4;

/// Entries by keys of which no two are the same.
///
/// Memory follows what it holds, also downwards.
pub(crate) struct Sorted<K, V> {
    /// Each by a key that none of its own is below, nor any of the one before above. None is empty.
    pieces: BTreeMap<K, Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self {
            pieces: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<K: Ord + Copy, V> Sorted<K, V> {
    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry whose key no other one has.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.len += 1;
        let piece = match self.pieces.range_mut(..=key).next_back() {
            Some((_, piece)) => piece,
            None => self.extend_downwards(key),
        };
        let place = piece.partition_point(|(other, _)| *other < key);
        if piece.len() < PIECE {
            return piece.insert(place, (key, value));
        }
        // What comes behind all of a piece, or behind nearly all, leaves it as full as it is.
        let start = match place {
            NEARLY_ALL.. => place,
            _ => PIECE / 2,
        };
        let mut behind = piece.split_off(start);
        match place.checked_sub(start) {
            Some(place) => behind.insert(place, (key, value)),
            None => piece.insert(place, (key, value)),
        }
        let first = behind.first().map_or(key, |(first, _)| *first);
        self.pieces.insert(first, behind);
    }

    /// A piece with room for a key that is below all others.
    fn extend_downwards(&mut self, key: K) -> &mut Vec<(K, V)> {
        let first = self.pieces.first_entry();
        let first = first.filter(|first| first.get().len() < PIECE);
        let piece = first.map_or_else(Vec::new, |first| first.remove());
        self.pieces.entry(key).or_insert(piece)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (bound, piece) = self.pieces.range_mut(..=key).next_back()?;
        let place = piece.binary_search_by_key(key, |(other, _)| *other).ok()?;
        let (_, value) = piece.remove(place);
        self.len -= 1;
        if piece.len() < FEW {
            let bound = *bound;
            self.tidy(bound);
        }
        Some(value)
    }

    /// The entry with the lowest key.
    pub(crate) fn first(&self) -> Option<(K, &V)> {
        let (_, piece) = self.pieces.first_key_value()?;
        piece.first().map(|(key, value)| (*key, value))
    }

    /// Removes the entry with the lowest key, if `is_due` says so of that.
    pub(crate) fn pop_first_if(&mut self, is_due: impl FnOnce(K) -> bool) -> Option<(K, V)> {
        let (key, _) = self.first().filter(|(key, _)| is_due(*key))?;
        self.remove(&key).map(|value| (key, value))
    }

    /// All entries, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let entries = self.pieces.values().flatten();
        entries.map(|(key, value)| (*key, value))
    }

    /// Sees to a piece that has become short.
    fn tidy(&mut self, bound: K) {
        let Some(piece) = self.pieces.get_mut(&bound) else {
            return;
        };
        let len = piece.len();
        if len == 0 {
            self.pieces.remove(&bound);
            return;
        }
        if piece.capacity() > 4 * len {
            piece.shrink_to(2 * len);
        }
        let is_short = |(_, other): &(&K, &Vec<_>)| other.len() + len <= PIECE / 2;
        let before = self.pieces.range(..bound).next_back().filter(is_short);
        let behind = (Bound::Excluded(bound), Bound::Unbounded);
        let behind = self.pieces.range(behind).next().filter(is_short);
        let (to, from) = match (before, behind) {
            (Some((before, _)), _) => (*before, bound),
            (None, Some((behind, _))) => (bound, *behind),
            (None, None) => return,
        };
        if let Some(moved) = self.pieces.remove(&from)
            && let Some(piece) = self.pieces.get_mut(&to)
        {
            piece.extend(moved);
        }
    }

    /// Entries for which there is room now.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.pieces.values().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// Keys from one on, so far apart, upwards or downwards.
        Insert {
            from: u32,
            apart: u32,
            falls: bool,
        },
        /// Every so many keys from one on.
        Remove {
            from: u32,
            apart: u32,
        },
        Pop {
            below: u32,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = || 0..4_000_u32;
        prop_oneof![
            3 => (key(), 1..40_u32, any::<bool>())
                .prop_map(|(from, apart, falls)| Step::Insert { from, apart, falls }),
            2 => (key(), 1..8_u32).prop_map(|(from, apart)| Step::Remove { from, apart }),
            1 => key().prop_map(|below| Step::Pop { below }),
        ]
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_common_map(steps in proptest::collection::vec(step(), 1..40)) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeMap::new());
            for (value, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert { from, apart, falls } => {
                        let mut keys: Vec<_> = (from..).step_by(apart as usize).take(200).collect();
                        if falls {
                            keys.reverse();
                        }
                        for key in keys {
                            if let std::collections::btree_map::Entry::Vacant(place) = model.entry(key) {
                                place.insert(value);
                                sorted.insert(key, value);
                            }
                        }
                    }
                    Step::Remove { from, apart } => {
                        for key in (from..from + 1_000).step_by(apart as usize) {
                            prop_assert_eq!(sorted.remove(&key), model.remove(&key));
                        }
                    }
                    Step::Pop { below } => {
                        while let Some((key, value)) = sorted.pop_first_if(|key| key < below) {
                            prop_assert_eq!(model.pop_first(), Some((key, value)));
                        }
                        let is_behind = |(key, _): (&u32, _)| *key >= below;
                        prop_assert!(model.first_key_value().is_none_or(is_behind));
                    }
                }
                prop_assert_eq!(sorted.len(), model.len());
                prop_assert!(sorted.iter().eq(model.iter().map(|(key, value)| (*key, value))));
                prop_assert_eq!(
                    sorted.first(),
                    model.first_key_value().map(|(key, value)| (*key, value))
                );
                prop_assert!(sorted.pieces.values().all(|piece| (1..=PIECE).contains(&piece.len())));
            }
        }
    }

    #[test]
    fn keys_that_ascend_leave_no_room_unused() {
        let mut sorted = Sorted::default();
        for key in 0..10_000 {
            sorted.insert(key, ());
        }
        assert!(sorted.capacity() < 10_000 + PIECE, "{}", sorted.capacity());
    }

    #[test]
    fn memory_follows_removals_in_whatever_order() {
        let count = 10_000_u32;
        let orders: [fn(u32) -> u32; 3] =
            [|n| n, |n| 9_999 - n, |n| n.wrapping_mul(7_919) % 10_000];
        for order in orders {
            let mut sorted = Sorted::default();
            for key in 0..count {
                sorted.insert(key, ());
            }
            for n in 0..count {
                assert!(sorted.remove(&order(n)).is_some());
                let (len, pieces) = (sorted.len(), sorted.pieces.len());
                let capacity = sorted.capacity();
                assert!(capacity <= 4 * len + PIECE, "room for {capacity} of {len}");
                assert!(pieces <= len / FEW * 2 + 1, "{pieces} pieces of {len}");
            }
            assert_eq!((sorted.len(), sorted.pieces.len()), (0, 0));
        }
    }
}
