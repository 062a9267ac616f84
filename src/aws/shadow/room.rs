//! How much memory shadows may take.

use crate::budget::{Budget, Kind};
use crate::config::Config;

/// Shadows take no part of the bound that is kept for what is small: they would keep it. What one round of
/// requests adds is less than this.
const LARGE: usize = 64 * 1024;

/// The memory that all shadows may take: a quarter of the bound on everything, as long as others leave it.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    most: usize,
    budget: Budget,
}

impl Room {
    pub(crate) fn new(config: &Config, budget: Budget) -> Self {
        Self {
            most: config.limits.memory / 4,
            budget,
        }
    }

    /// The bytes at this moment; 0 where none of them may grow.
    pub(crate) fn bytes(self) -> usize {
        match self.budget.has_room(Kind::Shadows, LARGE) {
            true => self.most,
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Owned;

    #[test]
    fn shadows_grow_while_others_leave_memory_for_it() {
        let mut config = Config::aws();
        config.limits.memory = 1 << 24;
        let budget = Owned::new(config.limits.memory);
        let room = Room::new(&config, *budget);
        assert_eq!(room.bytes(), 1 << 22);
        let others = (1 << 24) - (1 << 20);
        budget.charge(Kind::Queues, others / 2);
        budget.charge(Kind::Sessions, others / 2);
        assert_eq!(room.bytes(), 0);
        budget.discharge(Kind::Sessions, others / 2);
        assert_eq!(room.bytes(), 1 << 22);
    }
}
