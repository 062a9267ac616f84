//! What requests make the broker hold: bodies that arrive and answers on their way are charged here
//! before they are held, and refused where there is no room.
//!
//! Not charged, and bounded by a constant per connection: the buffers of [`serve`](super::serve) and
//! answers that are short whatever is asked (an error, health, counters).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all requests may hold together.
pub(super) const CEILING: usize = 64 << 20;

/// The account of all requests.
#[derive(Clone)]
pub(super) struct Account(Arc<Inner>);

struct Inner {
    ceiling: usize,
    used: AtomicUsize,
}

/// There is no room for what was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Bytes that are accounted for until this is dropped.
pub(super) struct Charge {
    bytes: usize,
    account: Account,
}

impl Account {
    pub(super) fn new(ceiling: usize) -> Self {
        Self(Arc::new(Inner {
            ceiling,
            used: AtomicUsize::new(0),
        }))
    }

    /// The most that can be charged.
    pub(super) fn ceiling(&self) -> usize {
        self.0.ceiling
    }

    /// Accounts for `bytes` that are about to be held.
    pub(super) fn charge(&self, bytes: usize) -> Result<Charge, Full> {
        self.add(bytes)?;
        Ok(Charge {
            bytes,
            account: self.clone(),
        })
    }

    fn add(&self, bytes: usize) -> Result<(), Full> {
        let with_more = |used: usize| {
            used.checked_add(bytes)
                .filter(|used| *used <= self.0.ceiling)
        };
        self.0
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_more)
            .map(|_| ())
            .map_err(|_| Full)
    }
}

impl Charge {
    /// Accounts for more of the same.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        self.account.add(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back a part that is no longer held.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.account.0.used.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(account: &Account) -> usize {
        account.0.used.load(Ordering::Relaxed)
    }

    #[test]
    fn what_was_charged_comes_back_when_it_is_dropped() {
        let account = Account::new(100);
        let mut charge = account.charge(40).expect("room");
        charge.grow(50).expect("room");
        assert_eq!(used(&account), 90);
        charge.shrink(30);
        assert_eq!(used(&account), 60);
        drop(charge);
        assert_eq!(used(&account), 0);
    }

    #[test]
    fn what_has_no_room_is_refused_and_changes_nothing() {
        let account = Account::new(100);
        let mut charge = account.charge(100).expect("room");
        assert_eq!(account.charge(1).err(), Some(Full));
        assert_eq!(charge.grow(usize::MAX), Err(Full));
        assert_eq!(used(&account), 100);
    }
}
