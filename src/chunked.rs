//! Lists and queues that grow chunk by chunk.
//!
//! A common one moves everything it holds to a larger place when it is full: up to 27 ms for a million
//! entries. These move up to [`CHUNK`] of them. Short ones consist of one piece and are as fast as
//! common ones.

pub(crate) mod sorted;

use std::collections::VecDeque;
use std::iter;

/// Entries of a chunk that is full.
const CHUNK: usize = 1024;

/// A list of which only the end is added to and removed.
#[derive(Debug)]
pub(crate) struct List<T> {
    first: Vec<T>,
    /// What does not fit in the first one. All but the last are full, and none is empty.
    #[expect(
        clippy::box_collection,
        reason = "those that are many are short: 8 bytes, not 24"
    )]
    rest: Option<Box<Vec<Vec<T>>>>,
    len: usize,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            rest: None,
            len: 0,
        }
    }
}

impl<T> List<T> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self.first.get(index) {
            Some(entry) => Some(entry),
            None => self.get_in_rest(index),
        }
    }

    fn get_in_rest(&self, index: usize) -> Option<&T> {
        let index = index.checked_sub(CHUNK)?;
        self.rest.as_ref()?.get(index / CHUNK)?.get(index % CHUNK)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index < self.first.len() {
            return self.first.get_mut(index);
        }
        self.get_in_rest_mut(index)
    }

    fn get_in_rest_mut(&mut self, index: usize) -> Option<&mut T> {
        let index = index.checked_sub(CHUNK)?;
        let chunk = self.rest.as_mut()?.get_mut(index / CHUNK)?;
        chunk.get_mut(index % CHUNK)
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.get(self.len.checked_sub(1)?)
    }

    pub(crate) fn push(&mut self, entry: T) {
        self.len += 1;
        if self.first.len() < CHUNK {
            if self.first.is_empty() {
                // Most lists that are many are short.
                self.first.reserve_exact(1);
            }
            return self.first.push(entry);
        }
        let rest = self.rest.get_or_insert_default();
        match rest.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(entry),
            Some(_) | None => rest.push(vec![entry]),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let Some(rest) = &mut self.rest else {
            let popped = self.first.pop()?;
            self.len -= 1;
            return Some(popped);
        };
        let last = rest.last_mut()?;
        let popped = last.pop()?;
        self.len -= 1;
        if last.is_empty() {
            rest.pop();
            if rest.is_empty() {
                self.rest = None;
            }
        }
        Some(popped)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let rest = self.rest.iter().flat_map(|rest| rest.iter());
        iter::once(&self.first).chain(rest).flatten()
    }
}

/// A queue: what was added first leaves first.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    first: VecDeque<T>,
    /// What comes behind the first chunk. All but the last are full, and none is empty.
    #[expect(
        clippy::box_collection,
        reason = "those that are many are short: 8 bytes, not 24"
    )]
    rest: Option<Box<VecDeque<VecDeque<T>>>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            first: VecDeque::new(),
            rest: None,
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn len(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| {
            let last = rest.back().map_or(0, VecDeque::len);
            rest.len().saturating_sub(1) * CHUNK + last
        });
        self.first.len() + rest
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&T> {
        self.first.front()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        match &self.rest {
            None => self.first.back(),
            Some(rest) => rest.back()?.back(),
        }
    }

    pub(crate) fn push_back(&mut self, entry: T) {
        if self.rest.is_none() && self.first.len() < CHUNK {
            return self.first.push_back(entry);
        }
        let rest = self.rest.get_or_insert_default();
        match rest.back_mut() {
            Some(last) if last.len() < CHUNK => last.push_back(entry),
            Some(_) | None => rest.push_back(VecDeque::from([entry])),
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let popped = self.first.pop_front()?;
        if self.first.is_empty()
            && let Some(rest) = &mut self.rest
        {
            self.first = rest.pop_front().unwrap_or_default();
            if rest.is_empty() {
                self.rest = None;
            }
        }
        Some(popped)
    }

    /// Gives back the room of a queue that is empty and had more than so many entries.
    pub(crate) fn tidy(&mut self, kept: usize) {
        if self.first.is_empty() && self.first.capacity() > kept {
            self.first = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn list_and_queue_agree_with_common_ones(
            steps in proptest::collection::vec((any::<bool>(), 1..3_000_usize), 1..12)
        ) {
            let (mut list, mut of_list) = (List::default(), Vec::new());
            let (mut queue, mut of_queue) = (Queue::default(), VecDeque::new());
            let mut next = 0;
            for (adds, count) in steps {
                for _ in 0..count {
                    if adds {
                        next += 1;
                        list.push(next);
                        of_list.push(next);
                        queue.push_back(next);
                        of_queue.push_back(next);
                    } else {
                        prop_assert_eq!(list.pop(), of_list.pop());
                        prop_assert_eq!(queue.pop_front(), of_queue.pop_front());
                    }
                    prop_assert_eq!((list.len(), list.last()), (of_list.len(), of_list.last()));
                    prop_assert_eq!((queue.len(), queue.is_empty()), (of_queue.len(), of_queue.is_empty()));
                    prop_assert_eq!((queue.front(), queue.back()), (of_queue.front(), of_queue.back()));
                }
                prop_assert!(list.iter().eq(&of_list));
                for index in 0..of_list.len() + 2 {
                    prop_assert_eq!(list.get(index), of_list.get(index));
                    prop_assert_eq!(list.get_mut(index), of_list.get_mut(index));
                }
            }
        }
    }

    #[test]
    fn no_piece_has_room_for_more_than_a_chunk() {
        let (mut list, mut queue) = (List::default(), Queue::default());
        for number in 0..100 * CHUNK {
            list.push(number);
            queue.push_back(number);
            if number % 3 == 0 {
                queue.pop_front();
            }
        }
        let of_list = list
            .rest
            .iter()
            .flat_map(|rest| rest.iter())
            .map(Vec::capacity);
        let of_queue = queue
            .rest
            .iter()
            .flat_map(|rest| rest.iter())
            .map(VecDeque::capacity);
        assert!(of_list.chain(of_queue).all(|capacity| capacity <= CHUNK));
        assert!(list.first.capacity().max(queue.first.capacity()) <= CHUNK);
    }

    #[test]
    fn an_empty_queue_gives_back_its_room() {
        let mut queue = Queue::default();
        (0..5_000).for_each(|number| queue.push_back(number));
        while queue.pop_front().is_some() {}
        queue.tidy(64);
        assert_eq!((queue.first.capacity(), queue.rest.is_none()), (0, true));
    }
}
