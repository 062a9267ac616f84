//! A set in the order of its keys: in one piece as long as that is cheap to shift, and in a tree beyond.
//! So it is found, changed and walked as fast as there are few, and no call takes long where there
//! are many. A walk can go on behind the key that it saw last.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::slice;

/// Entries that are kept in one piece.
const FEW: usize = 256;

/// Something with a key that no other in the set has.
pub(super) trait Keyed {
    type Key: Ord + Clone + Borrow<Self::Sought>;
    type Sought: Ord + ?Sized;

    fn key(&self) -> Self::Key;

    /// How its key compares with another one.
    fn compare(&self, key: &Self::Sought) -> Ordering;
}

pub(super) enum Ordered<T: Keyed> {
    /// Ascending.
    Few(Vec<T>),
    Many(BTreeMap<T::Key, T>),
}

pub(super) enum Iter<'a, T: Keyed> {
    Few(slice::Iter<'a, T>),
    Many(btree_map::Values<'a, T::Key, T>),
    Behind(btree_map::Range<'a, T::Key, T>),
}

impl<T: Keyed> Default for Ordered<T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<T: Keyed> Ordered<T> {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len(),
        }
    }

    /// All of them, in order.
    #[inline]
    pub(super) fn iter(&self) -> Iter<'_, T> {
        match self {
            Self::Few(few) => Iter::Few(few.iter()),
            Self::Many(many) => Iter::Many(many.values()),
        }
    }

    /// Those behind a key, in order; without one, all.
    pub(super) fn behind(&self, key: Option<&T::Sought>) -> Iter<'_, T> {
        let Some(key) = key else {
            return self.iter();
        };
        match self {
            Self::Few(few) => {
                let start = few.partition_point(|entry| entry.compare(key).is_le());
                Iter::Few(few.get(start..).unwrap_or_default().iter())
            }
            Self::Many(many) => {
                Iter::Behind(many.range::<T::Sought, _>((Bound::Excluded(key), Bound::Unbounded)))
            }
        }
    }

    pub(super) fn get(&self, key: &T::Sought) -> Option<&T> {
        match self {
            Self::Few(few) => few.get(find(few, key).ok()?),
            Self::Many(many) => many.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &T::Sought) -> Option<&mut T> {
        match self {
            Self::Few(few) => {
                let place = find(few, key).ok()?;
                few.get_mut(place)
            }
            Self::Many(many) => many.get_mut(key),
        }
    }

    /// Adds one, in place of the one that has the same key.
    pub(super) fn insert(&mut self, new: T) {
        let key = new.key();
        match self {
            Self::Many(many) => {
                many.insert(key, new);
            }
            Self::Few(few) => match find(few, key.borrow()) {
                Ok(place) => few.splice(place..=place, [new]).for_each(drop),
                Err(place) => {
                    few.insert(place, new);
                    if few.len() > FEW {
                        let all = std::mem::take(few).into_iter();
                        *self = Self::Many(all.map(|entry| (entry.key(), entry)).collect());
                    }
                }
            },
        }
    }

    pub(super) fn remove(&mut self, key: &T::Sought) -> Option<T> {
        match self {
            Self::Few(few) => {
                let place = find(few, key).ok()?;
                Some(few.remove(place))
            }
            Self::Many(many) => {
                let removed = many.remove(key);
                if many.len() <= FEW / 2 {
                    *self = Self::Few(std::mem::take(many).into_values().collect());
                }
                removed
            }
        }
    }

    /// The only one there is.
    pub(super) fn take_single(&mut self) -> Option<T> {
        match self {
            Self::Few(few) if few.len() == 1 => few.pop(),
            Self::Few(_) | Self::Many(_) => None,
        }
    }
}

fn find<T: Keyed>(few: &[T], key: &T::Sought) -> Result<usize, usize> {
    few.binary_search_by(|entry| entry.compare(key))
}

impl<'a, T: Keyed> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        match self {
            Self::Few(few) => few.next(),
            Self::Many(many) => many.next(),
            Self::Behind(rest) => rest.next().map(|(_, entry)| entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Entry {
        key: u16,
        value: usize,
    }

    impl Keyed for Entry {
        type Key = u16;
        type Sought = u16;

        fn key(&self) -> u16 {
            self.key
        }

        fn compare(&self, key: &u16) -> Ordering {
            self.key.cmp(key)
        }
    }

    proptest! {
        #[test]
        fn few_and_many_behave_alike(
            steps in proptest::collection::vec((0..10_u8, 0..2_000_u16), 0..3_000)
        ) {
            let mut set = Ordered::default();
            let mut model = BTreeMap::new();
            for (value, (kind, key)) in steps.into_iter().enumerate() {
                if kind < 7 {
                    set.insert(Entry { key, value });
                    model.insert(key, value);
                } else {
                    // Down to few again, now and then.
                    let keys = if kind == 9 { key / 2..key } else { key..key + 1 };
                    for key in keys {
                        let removed = set.remove(&key).map(|entry| entry.value);
                        prop_assert_eq!(removed, model.remove(&key));
                    }
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.get(&key).map(|entry| entry.value), model.get(&key).copied());
                prop_assert_eq!(set.get_mut(&key).is_some(), model.contains_key(&key));
            }
            for key in [0, 1, 700, 1_999] {
                let behind = set.behind(Some(&key)).map(|entry| entry.key);
                let expected = model.keys().copied().filter(|one| *one > key);
                prop_assert!(behind.eq(expected));
            }
            let all: Vec<_> = set.iter().map(|entry| (entry.key, entry.value)).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }
}
