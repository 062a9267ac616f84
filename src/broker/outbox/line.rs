//! Messages that wait, in the order of their numbers.
//!
//! Every message is in exactly one of two places: those that never expire and came in order are in
//! `tail`, all others in `aside`. So whatever has to be found by its number or its expiry is in a map,
//! and what is not costs no more than a place at the end. Nothing here looks at more than it returns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::broker::discard::Discard;
use crate::chunked::Queue;
use crate::message::publication::Message;

/// Bytes of a place at the end of a line, and of one aside, besides the message.
const IN_TAIL: usize = 64;
const ASIDE: usize = 128;

/// An empty line keeps room for so many.
const KEPT: usize = 64;

/// Something that waits with a message.
pub(in crate::broker) trait Waits {
    fn message(&self) -> &Message;
}

/// Messages in the order of their numbers, which are unique in it.
pub(in crate::broker) struct Line<T> {
    /// Ascending.
    tail: Queue<(u64, T)>,
    /// Boxed, because hardly a queue has any.
    aside: Option<Box<Aside<T>>>,
    /// Of the messages in `tail`.
    bytes: usize,
}

/// Messages that are found by their number, and by their expiry if they have one.
pub(in crate::broker) struct Aside<T> {
    entries: BTreeMap<u64, T>,
    expiries: BTreeSet<(Instant, u64)>,
    bytes: usize,
}

/// A line of its own numbering, which takes hardly any room as long as nothing has ever waited in it.
pub(in crate::broker) struct Numbered<T>(Option<Box<Counted<T>>>);

struct Counted<T> {
    line: Line<T>,
    /// The number of the last one.
    last: u64,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Waits> Numbered<T> {
    pub(in crate::broker) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |counted| counted.line.len())
    }

    #[inline]
    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|counted| counted.line.is_empty())
    }

    /// Bytes of the messages.
    pub(in crate::broker) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |counted| counted.line.bytes())
    }

    /// Bytes that it takes besides the messages.
    pub(in crate::broker) fn places(&self) -> usize {
        self.0.as_ref().map_or(0, |counted| counted.line.places())
    }

    /// Adds a message at the end.
    pub(in crate::broker) fn push(&mut self, entry: T) {
        let counted = self.0.get_or_insert_with(|| {
            let line = Line::default();
            Box::new(Counted { line, last: 0 })
        });
        counted.last += 1;
        counted.line.insert(counted.last, entry);
    }

    pub(in crate::broker) fn pop_first(&mut self) -> Option<(u64, T)> {
        self.0.as_mut()?.line.pop_first()
    }

    /// Removes a message that has expired, the one that did so first.
    pub(in crate::broker) fn pop_expired(&mut self, now: Instant) -> Option<(u64, T)> {
        self.0.as_mut()?.line.pop_expired(now)
    }

    /// What is in it; nothing is any more.
    pub(in crate::broker) fn take(&mut self) -> Option<Line<T>> {
        self.0.take().map(|counted| counted.line)
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            tail: Queue::default(),
            aside: None,
            bytes: 0,
        }
    }
}

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
        }
    }
}

impl<T: Waits> Line<T> {
    pub(in crate::broker) fn len(&self) -> usize {
        self.tail.len() + self.aside.as_ref().map_or(0, |aside| aside.len())
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.aside.as_ref().is_none_or(|aside| aside.is_empty())
    }

    /// Bytes of the messages.
    pub(in crate::broker) fn bytes(&self) -> usize {
        self.bytes + self.aside.as_ref().map_or(0, |aside| aside.bytes)
    }

    /// Bytes that it takes besides the messages.
    pub(in crate::broker) fn places(&self) -> usize {
        let aside = self.aside.as_ref().map_or(0, |aside| aside.places());
        self.tail.len() * IN_TAIL + aside
    }

    /// Adds a message, mostly at the end.
    pub(in crate::broker) fn insert(&mut self, number: u64, entry: T) {
        let is_last = self.tail.back().is_none_or(|(last, _)| *last < number);
        if is_last && entry.message().expires_at().is_none() {
            self.bytes += entry.message().footprint();
            self.tail.push_back((number, entry));
        } else {
            self.insert_aside(number, entry);
        }
    }

    /// Adds one that [`remove`](Self::remove) is to find.
    pub(in crate::broker) fn insert_aside(&mut self, number: u64, entry: T) {
        self.aside.get_or_insert_default().insert(number, entry);
    }

    /// Removes one of those that were put aside.
    pub(in crate::broker) fn remove(&mut self, number: u64) -> Option<T> {
        let aside = self.aside.as_mut()?;
        let entry = aside.remove(number)?;
        if aside.is_empty() {
            self.aside = None;
        }
        Some(entry)
    }

    /// The first one whose number is `from` or higher, and which [`remove`](Self::remove) finds then.
    pub(in crate::broker) fn sweep_from(&mut self, from: u64) -> Option<(u64, &T)> {
        loop {
            let aside = self.aside.as_ref().and_then(|aside| aside.next_from(from));
            let aside = aside.map(|(number, _)| number);
            let in_tail = self.tail.front().map(|(number, _)| *number);
            if in_tail.is_none_or(|in_tail| aside.is_some_and(|aside| aside < in_tail)) {
                break;
            }
            let (number, entry) = self.tail.pop_front()?;
            self.bytes -= entry.message().footprint();
            self.insert_aside(number, entry);
        }
        self.aside.as_ref()?.next_from(from)
    }

    /// The message with the lowest number.
    pub(in crate::broker) fn first(&self) -> Option<(u64, &T)> {
        let in_tail = self.tail.front().map(|(number, entry)| (*number, entry));
        let aside = self.aside.as_ref().and_then(|aside| aside.next_from(0));
        match (in_tail, aside) {
            (Some(in_tail), Some(aside)) if aside.0 < in_tail.0 => Some(aside),
            (None, aside) => aside,
            (in_tail, _) => in_tail,
        }
    }

    pub(in crate::broker) fn pop_first(&mut self) -> Option<(u64, T)> {
        let (number, _) = self.first()?;
        if self.tail.front().is_none_or(|(first, _)| *first != number) {
            return self.remove(number).map(|entry| (number, entry));
        }
        let (number, entry) = self.tail.pop_front()?;
        self.bytes -= entry.message().footprint();
        self.tail.tidy(KEPT);
        Some((number, entry))
    }

    /// Removes a message that has expired, the one that did so first.
    pub(in crate::broker) fn pop_expired(&mut self, now: Instant) -> Option<(u64, T)> {
        let number = self.aside.as_ref()?.first_expired(now)?;
        self.remove(number).map(|entry| (number, entry))
    }
}

impl<T: Waits> Aside<T> {
    pub(in crate::broker) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(in crate::broker) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::broker) fn places(&self) -> usize {
        self.entries.len() * ASIDE
    }

    pub(in crate::broker) fn insert(&mut self, number: u64, entry: T) {
        self.bytes += entry.message().footprint();
        if let Some(at) = entry.message().expires_at() {
            self.expiries.insert((at, number));
        }
        self.entries.insert(number, entry);
    }

    pub(in crate::broker) fn remove(&mut self, number: u64) -> Option<T> {
        let entry = self.entries.remove(&number)?;
        self.bytes -= entry.message().footprint();
        if let Some(at) = entry.message().expires_at() {
            self.expiries.remove(&(at, number));
        }
        Some(entry)
    }

    /// The first one whose number is `from` or higher.
    pub(in crate::broker) fn next_from(&self, from: u64) -> Option<(u64, &T)> {
        let (number, entry) = match from {
            0 => self.entries.first_key_value(),
            _ => self.entries.range(from..).next(),
        }?;
        Some((*number, entry))
    }

    /// The one that expired first, if any did.
    fn first_expired(&self, now: Instant) -> Option<u64> {
        let (at, number) = self.expiries.first()?;
        (*at <= now).then_some(*number)
    }

    pub(in crate::broker) fn pop_expired(&mut self, now: Instant) -> Option<(u64, T)> {
        let number = self.first_expired(now)?;
        self.remove(number).map(|entry| (number, entry))
    }
}

impl<T: Waits + Send> Discard for Line<T> {
    fn discard(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.pop_first().is_some());
        self.is_empty()
    }
}

impl<T: Waits + Send> Discard for Aside<T> {
    fn discard(&mut self, count: usize) -> bool {
        for _ in 0..count {
            self.expiries.pop_first();
            self.entries.pop_first();
        }
        // There are no more expiries than entries.
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::budget::Owned;
    use crate::codec::QoS;
    use crate::message::publication::Publication;

    impl Waits for Message {
        fn message(&self) -> &Message {
            self
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push {
            expiry: Option<u64>,
        },
        Return {
            expiry: Option<u64>,
        },
        Pop,
        Expire,
        /// Every second one is taken out, from a number on.
        Sweep {
            from: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        let expiry = || prop::option::weighted(0.3, 0..20_u64);
        prop_oneof![
            5 => expiry().prop_map(|expiry| Step::Push { expiry }),
            2 => expiry().prop_map(|expiry| Step::Return { expiry }),
            4 => Just(Step::Pop),
            2 => Just(Step::Expire),
            1 => (900..1200_u64).prop_map(|from| Step::Sweep { from }),
        ]
    }

    proptest! {
        #[test]
        fn a_line_is_a_sorted_list_whose_expired_members_are_found(
            steps in proptest::collection::vec(step(), 1..200)
        ) {
            let budget = Owned::new(1 << 30);
            let start = Instant::now();
            let mut line = Line::default();
            let mut model: BTreeMap<u64, Option<u64>> = BTreeMap::new();
            let mut popped = Vec::new();
            let (mut next, mut clock) = (1000_u64, 0_u64);
            for step in steps {
                match step {
                    Step::Push { expiry } | Step::Return { expiry } => {
                        let number = match step {
                            Step::Return { .. } => match popped.pop() {
                                Some(number) => number,
                                None => continue,
                            },
                            _ => next,
                        };
                        next += 1;
                        let mut publication = Publication::new("t", b"", QoS::AtLeastOnce);
                        publication.expires_at =
                            expiry.map(|secs| start + Duration::from_secs(clock + secs));
                        let message = publication.message(*budget);
                        line.insert(number, message);
                        model.insert(number, expiry.map(|secs| clock + secs));
                    }
                    Step::Pop => {
                        let first = model.pop_first().map(|(number, _)| number);
                        prop_assert_eq!(line.pop_first().map(|(number, _)| number), first);
                        popped.extend(first);
                    }
                    Step::Expire => {
                        clock += 3;
                        let now = start + Duration::from_secs(clock);
                        while let Some((number, _)) = line.pop_expired(now) {
                            let at = model.remove(&number);
                            prop_assert!(at.flatten().is_some_and(|at| at <= clock));
                        }
                        let is_due = |at: &Option<u64>| at.is_some_and(|at| at <= clock);
                        prop_assert!(!model.values().any(is_due));
                    }
                    Step::Sweep { mut from } => {
                        let expected: Vec<u64> = model.range(from..).map(|(number, _)| *number).collect();
                        let mut seen = Vec::new();
                        while let Some((number, _)) = line.sweep_from(from) {
                            from = number + 1;
                            seen.push(number);
                            if seen.len() % 2 == 0 {
                                prop_assert!(line.remove(number).is_some());
                                model.remove(&number);
                            }
                        }
                        prop_assert_eq!(seen, expected);
                    }
                }
                prop_assert_eq!(line.len(), model.len());
                prop_assert_eq!(line.first().map(|(number, _)| number), model.keys().next().copied());
                prop_assert_eq!(line.is_empty(), line.bytes() == 0);
            }
            prop_assert_eq!(line.discard(model.len() / 2), model.len() / 2 == model.len());
            prop_assert!(line.discard(model.len()));
        }
    }
}
