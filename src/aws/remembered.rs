//! What is remembered of clients for a while, bounded in number and in bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::Context;
use crate::budget::{Charge, Kind};

/// Clients of whom something is remembered at most.
pub(super) const MOST: usize = 16_384;

/// The part of `limits.memory` that it may take.
pub(super) const PART: usize = 64;

/// Values by client; each is charged with `SIZE` bytes besides the client's identifier.
pub(super) struct Remembered<T, const SIZE: usize> {
    by_client: BTreeMap<Arc<str>, Entry<T>>,
    /// The clients of those that give way to new ones, in the order in which they came.
    order: BTreeMap<u64, Arc<str>>,
    last: u64,
    charge: Option<Charge>,
}

struct Entry<T> {
    /// Its place in the order, unless it gives way to nobody.
    place: Option<u64>,
    value: T,
}

impl<T, const SIZE: usize> Default for Remembered<T, SIZE> {
    fn default() -> Self {
        Self {
            by_client: BTreeMap::new(),
            order: BTreeMap::new(),
            last: 0,
            charge: None,
        }
    }
}

impl<T, const SIZE: usize> Remembered<T, SIZE> {
    pub(super) fn get(&self, client_id: &str) -> Option<&T> {
        self.by_client.get(client_id).map(|entry| &entry.value)
    }

    /// A value that gives way to nobody and does not grow old from now on, until another comes in its place.
    pub(super) fn hold(&mut self, client_id: &str) -> Option<&mut T> {
        let entry = self.by_client.get_mut(client_id)?;
        if let Some(place) = entry.place.take() {
            self.order.remove(&place);
        }
        Some(&mut entry.value)
    }

    /// Those that are not held, the latest first.
    #[cfg(feature = "http")]
    pub(super) fn latest_first(&self) -> impl Iterator<Item = (&Arc<str>, &T)> {
        let clients = self.order.values().rev();
        clients.filter_map(|client_id| Some((client_id, self.get(client_id)?)))
    }

    /// Remembers a value in place of the client's last one, while there is room; the oldest give way to it.
    pub(super) fn insert(&mut self, client_id: &str, value: T, context: &Context<'_>) {
        self.remove(client_id);
        let size = SIZE + client_id.len();
        let most = context.limits.memory / PART;
        while self.by_client.len() >= MOST || self.held() + size > most {
            let Some(first) = self.first() else {
                return;
            };
            self.remove(&first);
        }
        let charge = self
            .charge
            .get_or_insert_with(|| Charge::none(context.budget, Kind::Sessions));
        if charge.grow(size).is_err() {
            return;
        }
        let client_id: Arc<str> = client_id.into();
        self.last += 1;
        self.order.insert(self.last, client_id.clone());
        let place = Some(self.last);
        self.by_client.insert(client_id, Entry { place, value });
    }

    pub(super) fn remove(&mut self, client_id: &str) {
        let Some(entry) = self.by_client.remove(client_id) else {
            return;
        };
        if let Some(place) = entry.place {
            self.order.remove(&place);
        }
        if let Some(charge) = &mut self.charge {
            charge.shrink(SIZE + client_id.len());
        }
    }

    /// Forgets the oldest as long as they are old, a few at a time: each that comes makes room for itself and
    /// more.
    pub(super) fn forget_old(&mut self, is_old: impl Fn(&T) -> bool) {
        const AT_ONCE: usize = 64;
        for _ in 0..AT_ONCE {
            match self.first() {
                Some(first) if self.get(&first).is_some_and(&is_old) => self.remove(&first),
                _ => return,
            }
        }
    }

    /// The client that gives way first.
    fn first(&self) -> Option<Arc<str>> {
        self.order.values().next().cloned()
    }

    /// Bytes that are charged for all.
    fn held(&self) -> usize {
        self.charge.as_ref().map_or(0, Charge::bytes)
    }
}
