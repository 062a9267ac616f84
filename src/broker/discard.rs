//! What may be too long to be dropped in one go.

use crate::protocol::alias::InboundAliases;

/// Messages that are dropped at once; more of them are left to others.
const DROPPED_AT_ONCE: usize = 256;

/// What is thrown away in pieces: dropping half a million messages, or places in groups, takes long.
pub(crate) trait Discard: Send {
    /// Drops up to `count` messages, or what else it consists of. Returns whether nothing is left.
    fn discard(&mut self, count: usize) -> bool;
}

/// Whoever drops what is left.
pub(super) trait Rest: Send + Sync {
    fn drop_later(&self, rest: Box<dyn Discard>);
}

/// Drops what may be long: a little now, much in turns of others.
pub(super) fn discard(mut what: impl Discard + 'static, rest: &dyn Rest) {
    if !what.discard(DROPPED_AT_ONCE) {
        rest.drop_later(Box::new(what));
    }
}

impl Discard for InboundAliases {
    fn discard(&mut self, count: usize) -> bool {
        self.discard(count)
    }
}
