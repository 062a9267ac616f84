//! Who waits for something that few can have at a time.
//!
//! Sources take turns, and those of one source go in the order they came: whoever comes with a
//! thousand connections waits behind himself and not in front of everybody else.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::Source;

/// There is no room to wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Names a place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    source: Source,
    number: u64,
}

/// Those who wait.
pub(crate) struct Line<T> {
    /// How many may wait; those of one source have half of it.
    bound: usize,
    len: usize,
    /// Numbers that were given out, to places and to turns.
    count: u64,
    sources: HashMap<Source, Waiting<T>>,
    /// Whose turn it is: the lowest number.
    turns: BTreeMap<u64, Source>,
}

/// Those of one source; at least one.
struct Waiting<T> {
    turn: u64,
    items: BTreeMap<u64, T>,
}

impl<T> Line<T> {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound,
            len: 0,
            count: 0,
            sources: HashMap::new(),
            turns: BTreeMap::new(),
        }
    }

    /// Waits behind those of the same source.
    ///
    /// # Errors
    ///
    /// All places are taken, or half of them by this source.
    pub(crate) fn join(&mut self, source: Source, item: T) -> Result<Ticket, Full> {
        if self.len >= self.bound {
            return Err(Full);
        }
        let number = self.count;
        self.count += 2;
        match self.sources.entry(source) {
            Entry::Occupied(mut entry) => {
                let items = &mut entry.get_mut().items;
                if items.len() >= self.bound / 2 {
                    return Err(Full);
                }
                items.insert(number, item);
            }
            Entry::Vacant(entry) => {
                let turn = number + 1;
                self.turns.insert(turn, source);
                let items = BTreeMap::from([(number, item)]);
                entry.insert(Waiting { turn, items });
            }
        }
        self.len += 1;
        Ok(Ticket { source, number })
    }

    /// Takes whoever's turn it is; the next one of that source waits for those of the others.
    pub(crate) fn next(&mut self) -> Option<T> {
        let (_, source) = self.turns.pop_first()?;
        let Entry::Occupied(mut entry) = self.sources.entry(source) else {
            return None;
        };
        let waiting = entry.get_mut();
        let (_, item) = waiting.items.pop_first()?;
        self.len -= 1;
        if waiting.items.is_empty() {
            entry.remove();
        } else {
            waiting.turn = self.count;
            self.turns.insert(self.count, source);
            self.count += 1;
        }
        Some(item)
    }

    /// Waits no more. `None` if it was that one's turn already.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<T> {
        let Entry::Occupied(mut entry) = self.sources.entry(ticket.source) else {
            return None;
        };
        let waiting = entry.get_mut();
        let item = waiting.items.remove(&ticket.number)?;
        self.len -= 1;
        if waiting.items.is_empty() {
            self.turns.remove(&waiting.turn);
            entry.remove();
        }
        Some(item)
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(number: u8) -> Source {
        Source::from(std::net::IpAddr::from(Ipv4Addr::new(192, 0, 2, number)))
    }

    fn all(line: &mut Line<u32>) -> Vec<u32> {
        std::iter::from_fn(|| line.next()).collect()
    }

    #[test]
    fn those_of_one_source_go_in_order() {
        let mut line = Line::new(100);
        for number in 0..10 {
            line.join(source(1), number).unwrap();
        }
        assert_eq!(all(&mut line), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_source_with_many_waiting_does_not_hold_up_the_others() {
        let mut line = Line::new(100);
        for number in 0..4 {
            line.join(source(1), number).unwrap();
        }
        assert_eq!(line.next(), Some(0));
        line.join(source(2), 100).unwrap();
        line.join(source(2), 101).unwrap();
        line.join(source(3), 200).unwrap();
        assert_eq!(all(&mut line), [1, 100, 200, 2, 101, 3]);
    }

    #[test]
    fn coming_and_going_does_not_get_anybody_in_front() {
        let mut line = Line::new(100);
        let first = line.join(source(1), 1).unwrap();
        line.join(source(2), 2).unwrap();
        line.leave(first).unwrap();
        line.join(source(1), 3).unwrap();
        assert_eq!(all(&mut line), [2, 3]);
    }

    #[test]
    fn one_source_has_half_of_the_places_and_all_together_no_more_than_all() {
        let mut line = Line::new(4);
        line.join(source(1), 1).unwrap();
        line.join(source(1), 2).unwrap();
        assert_eq!(line.join(source(1), 3), Err(Full));
        line.join(source(2), 4).unwrap();
        line.join(source(3), 5).unwrap();
        assert_eq!(line.join(source(4), 6), Err(Full));
        assert_eq!(line.len(), 4);
        line.next().unwrap();
        line.join(source(4), 7).unwrap();
    }

    #[test]
    fn whoever_leaves_leaves_nothing_behind() {
        let mut line = Line::new(4);
        let ticket = line.join(source(1), 1).unwrap();
        assert_eq!(line.leave(ticket), Some(1));
        assert_eq!(line.leave(ticket), None);
        let taken = line.join(source(1), 2).unwrap();
        assert_eq!(line.next(), Some(2));
        assert_eq!(line.leave(taken), None, "its turn had come");
        assert_eq!(
            (line.len(), line.sources.len(), line.turns.len()),
            (0, 0, 0)
        );
    }
}
