//! What changed in a [`Trie`](super::Trie) lately, so that answers kept from earlier can be kept
//! longer.

use std::collections::VecDeque;

use super::match_walk::COMPARED;
use super::walk::spend;
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
    /// does not reach back that far, or the steps do not suffice to tell. Errs towards `true` for very
    /// long filters.
    ///
    /// Each filter that changed since is compared with the topic, for a step and one more for so many
    /// bytes, of the same length as those of
    /// [`visit_matches_from`](super::Trie::visit_matches_from). What was used is taken off. Where more
    /// filters changed than there are steps, none is looked at.
    pub fn touches(
        &self,
        since: u64,
        topic: &str,
        parent: HashParent,
        steps: &mut usize,
    ) -> Option<bool> {
        let missed = usize::try_from(self.generation.saturating_sub(since)).ok()?;
        let oldest = self.last.len().checked_sub(missed)?;
        if missed > *steps {
            return None;
        }
        for changed in self.last.range(oldest..) {
            let Some(filter) = changed else {
                return Some(true);
            };
            if *steps == 0 {
                return None;
            }
            spend(steps, 1 + filter.len().min(topic.len()) / COMPARED);
            if matches(filter, topic, parent) {
                return Some(true);
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::walk::spent_by;
    use super::*;

    fn touches(changes: &Changes, since: u64, topic: &str) -> Option<bool> {
        changes.touches(since, topic, HashParent::Matches, &mut { usize::MAX })
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
        let told = changes.touches(0, "b", HashParent::Excluded, &mut 10);
        assert_eq!(told, Some(false));
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
    /// Compares with `number` changed filters, none of which matches. Returns the answer and the steps.
    fn compared(number: usize, filter: &str, topic: &str, allowed: usize) -> (Option<bool>, usize) {
        let mut changes = Changes::new();
        for _ in 0..number {
            changes.push(filter);
        }
        let mut left = allowed;
        let ask = || changes.touches(0, topic, HashParent::Matches, &mut left);
        let (told, spent) = spent_by(ask);
        assert_eq!(allowed.saturating_sub(spent), left);
        (told, spent)
    }

    #[test]
    fn comparisons_cost_steps_by_number_and_length_and_end_with_them() {
        assert_eq!(compared(0, "a", "b", 0), (Some(false), 0));
        assert_eq!(compared(100, "a", "b", 100), (Some(false), 100));
        assert_eq!(compared(100, "a", "b", 99), (None, 0));
        let (filter, topic) = ("x".repeat(LONGEST_FILTER), "x".repeat(1_000));
        let each = 1 + LONGEST_FILTER / COMPARED;
        let all = REMEMBERED * each;
        assert_eq!(
            compared(REMEMBERED, &filter, &topic, all),
            (Some(false), all)
        );
        let (told, spent) = compared(REMEMBERED, &filter, &topic, REMEMBERED);
        assert_eq!(told, None);
        assert!(spent < REMEMBERED + each, "{spent} steps");
    }
}
