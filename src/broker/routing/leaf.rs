//! What a filter leads to: its subscribers and its shared groups.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::broker::ordered::{self, Keyed, Ordered};
use crate::broker::session::Session;
use crate::broker::share::Group;
use crate::message::subscription::{Options, Subscription};

/// What one filter leads to: mostly one plain subscriber, who lies in place.
#[derive(Default)]
pub(in crate::broker) enum Leaf {
    #[default]
    Nobody,
    One(Target),
    Several(Box<Several>),
}

/// Subscribers of one filter.
#[derive(Default)]
pub(in crate::broker) struct Several {
    /// By session.
    plain: Ordered<Target>,
    /// By share name.
    groups: Ordered<Arc<Group>>,
}

static NO_GROUPS: Ordered<Arc<Group>> = Ordered::Few(Vec::new());

impl Keyed for Target {
    type Key = u64;
    type Sought = u64;

    fn key(&self) -> u64 {
        self.session.id
    }

    fn compare(&self, session: &u64) -> Ordering {
        self.session.id.cmp(session)
    }
}

impl Keyed for Arc<Group> {
    type Key = Arc<str>;
    type Sought = str;

    fn key(&self) -> Arc<str> {
        self.share.clone()
    }

    fn compare(&self, share: &str) -> Ordering {
        (*self.share).cmp(share)
    }
}

/// A plain subscriber.
pub(in crate::broker) struct Target {
    pub(in crate::broker) session: Arc<Session>,
    pub(in crate::broker) subscription: Arc<Subscription>,
    /// Those of the subscription, at hand where the session and the target are.
    pub(in crate::broker) options: Options,
}

impl Leaf {
    /// The plain subscribers, by session.
    #[inline]
    pub(in crate::broker) fn plain(&self) -> Plain<'_> {
        match self {
            Self::Nobody => Plain::One(None),
            Self::One(target) => Plain::One(Some(target)),
            Self::Several(several) => Plain::Several(several.plain.iter()),
        }
    }

    /// The plain subscribers behind a session.
    pub(in crate::broker) fn plain_behind(&self, session: Option<u64>) -> Plain<'_> {
        match self {
            Self::Several(several) => Plain::Several(several.plain.behind(session.as_ref())),
            Self::One(target) => {
                Plain::One(Some(target).filter(|target| Some(target.session.id) > session))
            }
            Self::Nobody => Plain::One(None),
        }
    }

    /// How many plain subscribers there are.
    #[inline]
    pub(in crate::broker) fn plain_len(&self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::One(_) => 1,
            Self::Several(several) => several.plain.len(),
        }
    }

    /// The groups, by share name.
    #[inline]
    pub(in crate::broker) fn groups(&self) -> &Ordered<Arc<Group>> {
        match self {
            Self::Nobody | Self::One(_) => &NO_GROUPS,
            Self::Several(several) => &several.groups,
        }
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    /// The target that stands for a session.
    pub(in crate::broker) fn target_mut(&mut self, session: u64) -> Option<&mut Target> {
        match self {
            Self::Nobody => None,
            Self::One(target) => Some(target).filter(|target| target.session.id == session),
            Self::Several(several) => several.plain.get_mut(&session),
        }
    }

    pub(in crate::broker) fn add(&mut self, target: Target) {
        match self {
            Self::Nobody => *self = Self::One(target),
            Self::One(_) | Self::Several(_) => self.change(|several| several.plain.insert(target)),
        }
    }

    pub(in crate::broker) fn add_group(&mut self, group: Arc<Group>) {
        self.change(|several| several.groups.insert(group));
    }

    /// Removes the target that stands for a session.
    pub(in crate::broker) fn remove(&mut self, session: u64) {
        match self {
            Self::One(target) if target.session.id == session => *self = Self::Nobody,
            Self::Nobody | Self::One(_) => {}
            Self::Several(_) => self.change(|several| {
                several.plain.remove(&session);
            }),
        }
    }

    pub(in crate::broker) fn remove_group(&mut self, group: &Arc<Group>) {
        self.change(|several| {
            several.groups.remove(&group.share);
        });
    }

    fn change(&mut self, change: impl FnOnce(&mut Several)) {
        let mut several = match std::mem::take(self) {
            Self::Nobody => Box::default(),
            Self::One(target) => Box::new(Several {
                plain: Ordered::Few(vec![target]),
                groups: Ordered::default(),
            }),
            Self::Several(several) => several,
        };
        change(&mut several);
        *self = match (several.plain.len(), several.groups.len()) {
            (0, 0) => Self::Nobody,
            (1, 0) => several.plain.take_single().map_or(Self::Nobody, Self::One),
            _ => Self::Several(several),
        };
    }
}

/// The plain subscribers of a leaf.
pub(in crate::broker) enum Plain<'a> {
    One(Option<&'a Target>),
    Several(ordered::Iter<'a, Target>),
}

impl<'a> Iterator for Plain<'a> {
    type Item = &'a Target;

    #[inline]
    fn next(&mut self) -> Option<&'a Target> {
        match self {
            Self::One(target) => target.take(),
            Self::Several(targets) => targets.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::budget::{Charge, Kind, Owned};
    use crate::codec::QoS;
    use crate::config::ShareStrategy;

    use super::*;

    #[test]
    fn a_leaf_takes_as_much_as_one_target() {
        assert_eq!(size_of::<Leaf>(), size_of::<Target>());
        assert_eq!(size_of::<Leaf>(), 24);
    }

    #[test]
    fn a_leaf_holds_whoever_was_added_and_not_removed() {
        let options = Options {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            id: None,
        };
        let budget = Owned::new(1 << 20);
        let mut leaf = Leaf::default();
        for id in 1..=3 {
            leaf.add(Target {
                session: Session::new(id, "client", Charge::none(*budget, Kind::Sessions)),
                subscription: Arc::new(Subscription::new(options)),
                options,
            });
        }
        let group = Arc::new(Group::new("share", "a", ShareStrategy::RoundRobin, 7));
        leaf.add_group(group.clone());
        assert_eq!((leaf.plain_len(), leaf.groups().len()), (3, 1));

        for (left, session) in [(2, 1), (1, 2), (0, 3)] {
            assert!(leaf.target_mut(session).is_some());
            leaf.remove(session);
            leaf.remove(session);
            assert!(leaf.target_mut(session).is_none());
            assert_eq!((leaf.plain_len(), leaf.groups().len()), (left, 1));
        }
        assert!(!leaf.is_empty());
        leaf.remove_group(&group);
        assert!(matches!(leaf, Leaf::Nobody) && leaf.is_empty());
    }
}
