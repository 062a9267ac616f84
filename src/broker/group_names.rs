//! All shared groups by filter and share name, for whoever lists them or sums them up: the tables of
//! subscriptions stay unlocked meanwhile.
//!
//! A leaf lock, held for one change or for a slice of a walk. A walk goes on behind the group that
//! it saw last, whatever came or went.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::share::Group;

/// Groups that a walk takes along per lock hold.
const SLICE: usize = 256;

/// Every group that has a member.
#[derive(Default)]
pub(super) struct GroupNames(Mutex<BTreeSet<ByName>>);

impl GroupNames {
    pub(super) fn insert(&self, group: &Arc<Group>) {
        self.0.lock().insert(ByName(group.clone()));
    }

    pub(super) fn remove(&self, group: &Arc<Group>) {
        let key = (&*group.filter, &*group.share);
        self.0.lock().remove(&key as &dyn Named);
    }

    /// The group of a share name and a filter.
    pub(super) fn find(&self, share: &str, filter: &str) -> Option<Arc<Group>> {
        let key = (filter, share);
        let names = self.0.lock();
        names.get(&key as &dyn Named).map(|named| named.0.clone())
    }

    /// Calls `f` with every group behind the filter and share name `after`, in order, until it
    /// returns `false`. No lock is held meanwhile.
    pub(super) fn visit(&self, after: Option<(&str, &str)>, mut f: impl FnMut(Arc<Group>) -> bool) {
        let mut slice = self.slice(after);
        while let Some(last) = slice.last().cloned() {
            for group in slice {
                if !f(group) {
                    return;
                }
            }
            slice = self.slice(Some((&last.filter, &last.share)));
        }
    }

    fn slice(&self, after: Option<(&str, &str)>) -> Vec<Arc<Group>> {
        let names = self.0.lock();
        let from = match &after {
            Some(key) => Bound::Excluded(key as &dyn Named),
            None => Bound::Unbounded,
        };
        let slice = names.range::<dyn Named, _>((from, Bound::Unbounded));
        slice.take(SLICE).map(|named| named.0.clone()).collect()
    }
}

/// A group that is ordered by its names, which it holds itself.
struct ByName(Arc<Group>);

/// Something with a filter and a share name.
trait Named {
    fn names(&self) -> (&str, &str);
}

impl Named for ByName {
    fn names(&self) -> (&str, &str) {
        (&self.0.filter, &self.0.share)
    }
}

impl Named for (&str, &str) {
    fn names(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn Named + 'a> for ByName {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl Ord for dyn Named + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(&other.names())
    }
}

impl PartialOrd for dyn Named + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for dyn Named + '_ {}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(&other.names())
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for ByName {}

#[cfg(test)]
mod tests {
    use crate::config::ShareStrategy;

    use super::*;

    fn group(share: &str, filter: &str) -> Arc<Group> {
        Arc::new(Group::new(share, filter, ShareStrategy::RoundRobin, 7))
    }

    fn found(names: &GroupNames, after: Option<(&str, &str)>) -> Vec<String> {
        let mut found = Vec::new();
        names.visit(after, |group| {
            found.push(format!("{} {}", group.filter, group.share));
            true
        });
        found
    }

    #[test]
    fn groups_come_by_filter_and_share_name_from_any_place_on() {
        let names = GroupNames::default();
        let groups = [group("h", "a"), group("g", "b"), group("g", "a")];
        groups.iter().for_each(|group| names.insert(group));
        assert_eq!(found(&names, None), ["a g", "a h", "b g"]);
        assert_eq!(found(&names, Some(("a", "g"))), ["a h", "b g"]);
        assert_eq!(found(&names, Some(("a", "gg"))), ["a h", "b g"]);
        names.remove(&groups[0]);
        assert_eq!(found(&names, None), ["a g", "b g"]);
    }

    #[test]
    fn walk_goes_on_while_groups_come_and_go() {
        let names = GroupNames::default();
        let groups: Vec<_> = (0..3 * SLICE)
            .map(|number| group("g", &format!("{number:04}")))
            .collect();
        groups.iter().for_each(|group| names.insert(group));
        let mut count = 0;
        names.visit(None, |group| {
            // Each is gone as soon as it was seen, and a new one comes in front of it.
            names.remove(&group);
            names.insert(&self::group("g", &format!("!{count}")));
            count += 1;
            true
        });
        assert_eq!(count, 3 * SLICE);
    }
}
