//! Rows of the places in a list, linked by the places themselves: each is in a row at most once, and
//! leaves it wherever it stands, which costs the same however long the row is.

use crate::chunked::List;

/// No place.
const NONE: u32 = u32::MAX;

/// What a place is behind that is not in the row.
const OUT: u32 = u32::MAX - 1;

/// The neighbours of a place in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Link {
    before: u32,
    after: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            before: OUT,
            after: NONE,
        }
    }
}

impl Link {
    pub(in crate::broker) fn is_in(self) -> bool {
        self.before != OUT
    }
}

/// What stands in rows.
pub(in crate::broker) trait Linked {
    /// Its link in the row of this number.
    fn link(&mut self, row: usize) -> &mut Link;
}

/// Places in the order in which they were added.
#[derive(Debug)]
pub(in crate::broker) struct Row {
    /// Which of the links of a place belongs to it.
    number: usize,
    first: u32,
    last: u32,
}

impl Row {
    pub(in crate::broker) const fn new(number: usize) -> Self {
        Self {
            number,
            first: NONE,
            last: NONE,
        }
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(in crate::broker) fn first(&self) -> Option<u32> {
        (!self.is_empty()).then_some(self.first)
    }

    /// Adds a place at the end, unless it is in the row. Returns whether it was added.
    pub(in crate::broker) fn push(
        &mut self,
        places: &mut List<Option<impl Linked>>,
        index: u32,
    ) -> bool {
        let last = self.last;
        match self.link(places, index) {
            Some(link) if !link.is_in() => link.before = last,
            Some(_) | None => return false,
        }
        match self.link(places, last) {
            Some(link) => link.after = index,
            None => self.first = index,
        }
        self.last = index;
        true
    }

    /// Takes a place out of the row, if it is in it.
    pub(in crate::broker) fn remove(&mut self, places: &mut List<Option<impl Linked>>, index: u32) {
        let link = self.link(places, index).filter(|link| link.is_in());
        let Some(Link { before, after }) = link.map(std::mem::take) else {
            return;
        };
        match self.link(places, before) {
            Some(link) => link.after = after,
            None => self.first = after,
        }
        match self.link(places, after) {
            Some(link) => link.before = before,
            None => self.last = before,
        }
    }

    /// Takes the first place.
    pub(in crate::broker) fn pop(&mut self, places: &mut List<Option<impl Linked>>) -> Option<u32> {
        let first = self.first()?;
        self.remove(places, first);
        Some(first)
    }

    fn link<'a>(
        &self,
        places: &'a mut List<Option<impl Linked>>,
        index: u32,
    ) -> Option<&'a mut Link> {
        #[cfg(test)]
        count_look();
        let place = places.get_mut(index as usize)?.as_mut()?;
        Some(place.link(self.number))
    }
}

#[cfg(test)]
thread_local! {
    static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A place was looked at.
#[cfg(test)]
pub(in crate::broker) fn count_look() {
    LOOKS.set(LOOKS.get() + 1);
}

/// How often places were looked at since the last call.
#[cfg(test)]
pub(in crate::broker) fn take_looks() -> usize {
    LOOKS.take()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Place([Link; 2]);

    impl Linked for Place {
        fn link(&mut self, row: usize) -> &mut Link {
            &mut self.0[row]
        }
    }

    proptest! {
        #[test]
        fn row_agrees_with_a_queue(
            steps in proptest::collection::vec((0..3_u8, 0..2_usize, 0..12_u32), 1..200)
        ) {
            let mut places = List::default();
            (0..10).for_each(|_| places.push(Some(Place::default())));
            let mut rows = [Row::new(0), Row::new(1)];
            let mut queues = [VecDeque::new(), VecDeque::new()];
            for (step, number, index) in steps {
                let (row, queue) = (&mut rows[number], &mut queues[number]);
                match step {
                    0 => {
                        let is_new = index < 10 && !queue.contains(&index);
                        prop_assert_eq!(row.push(&mut places, index), is_new);
                        queue.extend(is_new.then_some(index));
                    }
                    1 => {
                        row.remove(&mut places, index);
                        queue.retain(|other| *other != index);
                    }
                    _ => prop_assert_eq!(row.pop(&mut places), queue.pop_front()),
                }
                prop_assert_eq!(row.first(), queue.front().copied());
                prop_assert_eq!(row.is_empty(), queue.is_empty());
            }
            for (row, queue) in rows.iter_mut().zip(&mut queues) {
                while let Some(index) = row.pop(&mut places) {
                    prop_assert_eq!(Some(index), queue.pop_front());
                }
                prop_assert!(queue.is_empty());
            }
        }
    }
}
