//! What changed in a [`Trie`](super::Trie) lately, so that answers kept from earlier can be kept
//! longer.

use std::collections::VecDeque;

use super::{HashParent, matches};

/// How many changes are remembered.
const REMEMBERED: usize = 1024;

/// Filters longer than this are not remembered, but taken to match every topic: it bounds the
/// memory at `REMEMBERED` times this, in bytes.
const LONGEST_FILTER: usize = 256;

/// A bounded log of the filters that were added, changed or removed, in order.
///
/// A route cache stores the generation at which it asked the trie, and asks
/// [`touches`](Self::touches) before it uses the answer again. Thus a SUBSCRIBE invalidates only
/// the topics that its filter matches.
#[derive(Debug, Default)]
pub struct Changes {
    /// The number of changes so far.
    generation: u64,
    /// The filters of the last ones, newest at the back; `None` stands for any topic.
    last: VecDeque<Option<Box<str>>>,
}

impl Changes {
    /// An empty log at generation 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a change of the subscriptions to `filter` and returns the new generation.
    pub fn push(&mut self, filter: &str) -> u64 {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last
            .push_back((filter.len() <= LONGEST_FILTER).then(|| filter.into()));
        self.generation += 1;
        self.generation
    }

    /// The number of changes so far.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a filter that changed after generation `since` matches `topic`; `None` when the log
    /// does not reach back that far. Errs towards `true` for very long filters.
    pub fn touches(&self, since: u64, topic: &str, parent: HashParent) -> Option<bool> {
        let missed = usize::try_from(self.generation.saturating_sub(since)).ok()?;
        let oldest = self.last.len().checked_sub(missed)?;
        let touched = self.last.range(oldest..).any(|changed| match changed {
            Some(filter) => matches(filter, topic, parent),
            None => true,
        });
        Some(touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touches(changes: &Changes, since: u64, topic: &str) -> Option<bool> {
        changes.touches(since, topic, HashParent::Matches)
    }

    #[test]
    fn only_later_and_matching_changes_touch_a_topic() {
        let mut changes = Changes::new();
        assert_eq!(touches(&changes, 0, "a"), Some(false));
        let first = changes.push("a/+");
        let second = changes.push("b/#");
        assert_eq!((first, second, changes.generation()), (1, 2, 2));
        assert_eq!(touches(&changes, 0, "a/x"), Some(true));
        assert_eq!(touches(&changes, first, "a/x"), Some(false));
        assert_eq!(touches(&changes, first, "b"), Some(true));
        assert_eq!(touches(&changes, second, "b"), Some(false));
    }

    /// AWS-MQTT-12
    #[test]
    fn changes_follow_the_rule_for_the_parent_level() {
        let mut changes = Changes::new();
        changes.push("b/#");
        assert_eq!(changes.touches(0, "b", HashParent::Excluded), Some(false));
    }

    #[test]
    fn log_says_when_it_does_not_reach_back() {
        let mut changes = Changes::new();
        for _ in 0..=REMEMBERED {
            changes.push("a");
        }
        assert_eq!(touches(&changes, 0, "x"), None);
        assert_eq!(touches(&changes, 1, "x"), Some(false));
        assert_eq!(touches(&changes, 1, "a"), Some(true));
    }

    #[test]
    fn long_filter_touches_everything() {
        let mut changes = Changes::new();
        changes.push(&"x/".repeat(LONGEST_FILTER));
        assert_eq!(touches(&changes, 0, "a"), Some(true));
    }
}
