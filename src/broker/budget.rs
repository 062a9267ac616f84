//! The bound on everything that queues hold together.
//!
//! Holders account in whole steps, so that the shared counter is written when a queue grows by a step
//! and not for every message; less than a step is not counted, so that ten thousand idle outboxes
//! weigh nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const STEP: usize = 8 * 1024;

/// Bytes that all queues may hold together.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Inner>);

struct Inner {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            limit,
            used: AtomicUsize::new(0),
        }))
    }

    /// Whether the bound is reached: QoS 0 is dropped and QoS 1 and 2 are refused.
    #[inline]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.0.used.load(Ordering::Relaxed) >= self.0.limit
    }

    /// Whether the bound will not be reached by `bytes` more.
    #[inline]
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.0.used.load(Ordering::Relaxed) + bytes < self.0.limit
    }

    /// Accounts for bytes that no queue has any more, for as long as the result lives.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        Held {
            bytes,
            budget: self.clone(),
        }
    }

    /// Bytes accounted for, in steps of 8 KiB per queue.
    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }
}

/// Bytes outside of all queues: given back when they are dropped.
pub(crate) struct Held {
    bytes: usize,
    budget: Budget,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Held").field(&self.bytes).finish()
    }
}

/// One queue's part of the budget.
#[derive(Default)]
pub(crate) struct Charge(usize);

impl Charge {
    /// Brings the account to `held` bytes, if it moved by a step.
    #[inline]
    pub(crate) fn settle(&mut self, held: usize, budget: &Budget) {
        if held >= self.0 + STEP || held + 2 * STEP <= self.0 {
            self.adjust(held, budget);
        }
    }

    #[cold]
    fn adjust(&mut self, held: usize, budget: &Budget) {
        let target = held / STEP * STEP;
        if target > self.0 {
            budget.0.used.fetch_add(target - self.0, Ordering::Relaxed);
        } else {
            budget.0.used.fetch_sub(self.0 - target, Ordering::Relaxed);
        }
        self.0 = target;
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self, budget: &Budget) {
        budget.0.used.fetch_sub(self.0, Ordering::Relaxed);
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_move_in_steps_and_come_back() {
        let budget = Budget::new(STEP * 2);
        let mut charge = Charge::default();
        charge.settle(STEP - 1, &budget);
        assert_eq!(budget.used(), 0);
        charge.settle(2 * STEP + 1, &budget);
        assert!(budget.is_exhausted());
        charge.settle(STEP, &budget);
        assert!(
            budget.is_exhausted(),
            "a step of slack keeps the counter still"
        );
        charge.settle(0, &budget);
        assert_eq!(budget.used(), 0);
        charge.settle(STEP, &budget);
        charge.clear(&budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn held_bytes_count_until_they_are_dropped() {
        let budget = Budget::new(100);
        let held = budget.hold(100);
        assert!(budget.is_exhausted());
        drop(held);
        assert_eq!(budget.used(), 0);
    }
}
