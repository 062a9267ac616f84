//! Exchanges of an earlier connection that the new one has not sent again yet.

use std::collections::{HashSet, VecDeque};

use foldhash::fast::FixedState;

use crate::codec::PacketId;

/// Packet identifiers in the order in which they were sent first (MQTT-4.6.0-1).
///
/// The client may end an exchange before its turn comes, tens of thousands of them in a row: one that
/// is forgotten stays in the order until it comes to the front.
#[derive(Default)]
pub(super) struct Resend {
    order: VecDeque<PacketId>,
    due: HashSet<PacketId, FixedState>,
}

impl Resend {
    pub(super) fn push(&mut self, id: PacketId) {
        self.order.push_back(id);
        self.due.insert(id);
    }

    pub(super) fn pop(&mut self) -> Option<PacketId> {
        loop {
            let id = self.order.pop_front()?;
            if self.due.remove(&id) {
                return Some(id);
            }
        }
    }

    /// The exchange is over, or went on.
    pub(super) fn forget(&mut self, id: PacketId) {
        if self.due.remove(&id) && self.due.is_empty() {
            self.order = VecDeque::new();
        }
    }

    pub(super) fn contains(&self, id: PacketId) -> bool {
        self.due.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_loses_its_turn_and_the_others_keep_theirs() {
        let id = |number| PacketId::new(number).expect("a number from 1");
        let mut resend = Resend::default();
        for number in [3, 1, 2, 4] {
            resend.push(id(number));
        }
        resend.forget(id(1));
        resend.forget(id(9));
        assert_eq!(resend.len(), 3);
        assert!(!resend.contains(id(1)) && resend.contains(id(2)));
        assert_eq!(resend.pop(), Some(id(3)));
        assert_eq!(resend.pop(), Some(id(2)));
        resend.forget(id(4));
        assert!(resend.is_empty());
        assert_eq!(resend.pop(), None);
    }
}
