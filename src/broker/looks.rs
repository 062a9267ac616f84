//! What those look at who wait: short answers, each from behind the lock of what it is about, so that no
//! change is missed (see [`watch`](super::watch)).

#[cfg(feature = "http")]
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::tap::watch::Unseen;
use crate::topic::Filter;

use super::Broker;
use super::captures::{Capture, Capturing, Origin};
#[cfg(feature = "http")]
use super::history::Happened;
use super::last_end::LastEnd;
use super::session::State;
use super::share::Group;
use super::watch::{Catch, Glimpse, Subject, Watcher};

/// A group at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupCounts {
    /// 0: there is no such group.
    pub(crate) members: usize,
    /// Messages that wait in it.
    pub(crate) queued: usize,
}

impl Glimpse<'_> {
    /// How a group stands, if it is about that.
    pub(crate) fn group_counts(&self, of_share: &str, of_filter: &str) -> Option<GroupCounts> {
        match *self {
            Self::Group {
                share,
                filter,
                members,
                queued,
            } if share == of_share && filter == of_filter => Some(GroupCounts { members, queued }),
            _ => None,
        }
    }
}

impl Broker {
    /// Begins to watch. To be called before the first look.
    pub(crate) fn watcher(&self, subject: Subject, catch: Option<Catch>) -> Watcher<'_> {
        self.watch.watcher(subject, catch)
    }

    /// Whether a client has a connection.
    pub(crate) fn is_connected(&self, client_id: &str) -> bool {
        let session = self.find(client_id);
        session.is_some_and(|session| session.slot().state == State::Connected)
    }

    /// How the connection of a client ended that it had last, or before the one that it has; `None` where
    /// nothing is known of one, or it is too long ago.
    pub(crate) fn end_of(&self, client_id: &str) -> Option<LastEnd> {
        let session = self.find(client_id);
        let end = session.and_then(|session| session.slot().last_end().cloned());
        end.or_else(|| self.history.last_end(client_id))
    }

    /// What happened to a client lately, the last first: so many events at most, and how many are kept of it.
    #[cfg(feature = "http")]
    pub(crate) fn history_of(&self, client_id: &str, limit: usize) -> (Vec<Happened>, usize) {
        self.history.of(client_id, limit)
    }

    /// Whether a client subscribes to a filter as it was sent, or to anything.
    pub(crate) fn subscribes(&self, client_id: &str, filter: Option<&str>) -> bool {
        self.find(client_id).is_some_and(|session| {
            let subscriptions = &session.slot().subscriptions;
            match filter {
                Some(filter) => subscriptions.contains_key(filter),
                None => !subscriptions.is_empty(),
            }
        })
    }

    /// Whether anybody subscribes to a filter as it was sent.
    pub(crate) fn is_subscribed(&self, full: &str) -> bool {
        match Filter::parse(full) {
            Ok(Filter {
                share: Some(share),
                filter,
                ..
            }) => self.group(share, filter).is_some(),
            Ok(Filter { filter, .. }) => self.routing.has_plain(filter),
            Err(_) => false,
        }
    }

    /// The group of a share name and a filter.
    pub(crate) fn group(&self, share: &str, filter: &str) -> Option<Arc<Group>> {
        self.group_names.find(share, filter)
    }

    /// How many members a group has, and how many messages wait in it.
    pub(crate) fn group_counts(&self, share: &str, filter: &str) -> GroupCounts {
        let counts = self.group(share, filter).map(|group| group.counts());
        let (members, queued) = counts.unwrap_or_default();
        GroupCounts { members, queued }
    }
}

impl Broker {
    /// Begins to capture the first `wanted` messages on a valid filter from now on.
    pub(crate) fn capture(&self, filter: &str, wanted: usize) -> Capturing<'_> {
        self.capture_from(Origin::Now, filter, wanted)
    }

    /// Captures the first `wanted` messages on a valid filter of the journal, in the order in which they were published:
    /// those whose rows are behind `since` and whose numbers are behind `after`, that are there and that come.
    ///
    /// # Errors
    ///
    /// There may be others of which the journal knows nothing any more.
    pub(crate) fn capture_since(
        &self,
        filter: &str,
        (since, after): (u64, u64),
        wanted: usize,
    ) -> Result<Capturing<'_>, Unseen> {
        let mut capturing = self.capture_from(Origin::Journal { since, after }, filter, wanted);
        capturing.read_journal(&self.tap)?;
        Ok(capturing)
    }

    fn capture_from(&self, origin: Origin, filter: &str, wanted: usize) -> Capturing<'_> {
        let parent = self.retained.parent();
        let capture = Capture::new(filter, parent, wanted, origin, self.budget());
        self.observers.capture(capture, &self.watch)
    }

    /// How many groups there are, and a number that is another one when any of them stands otherwise, or
    /// `generation` is another: clients that come and go change groups, too.
    #[cfg(feature = "http")]
    pub(crate) fn groups_mark(&self, generation: u64) -> (usize, u64) {
        let (mut count, mut hasher) = (0, foldhash::fast::FixedState::default().build_hasher());
        generation.hash(&mut hasher);
        self.group_names.visit(None, |group| {
            count += 1;
            (&*group.share, &*group.filter).hash(&mut hasher);
            group.mark(&mut hasher);
            true
        });
        (count, hasher.finish())
    }

    #[cfg(feature = "http")]
    /// How many captures there are on exactly this filter.
    pub(crate) fn captures_on(&self, filter: &str) -> usize {
        self.observers.captures_on(filter)
    }
}
