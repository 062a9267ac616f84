//! What those look at who wait: short answers, each from behind the lock of what it is about, so that no
//! change is missed (see [`watch`](super::watch)).

#[cfg(feature = "http")]
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::topic::Filter;

use super::Broker;
use super::captures::Capturing;
#[cfg(feature = "http")]
use super::history::Happened;
use super::session::{ConnectionKey, LastEnd, State};
use super::share::Group;
use super::watch::{Subject, Watcher};

/// A group at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupCounts {
    /// 0: there is no such group.
    pub(crate) members: usize,
    /// Messages that wait in it.
    pub(crate) queued: usize,
}

/// The connections of a client at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    present: Option<ConnectionKey>,
    /// The last one that ended, as far as that is known.
    former: Option<ConnectionKey>,
}

impl Broker {
    /// Begins to watch. To be called before the first look.
    pub(crate) fn watcher(&self, subject: Subject) -> Watcher<'_> {
        self.watch.watcher(subject)
    }

    /// Whether a client has a connection, or has had one since the `first` look, which this may be: some
    /// clients are gone again before anybody can look.
    pub(crate) fn has_connected(&self, client_id: &str, first: &mut Option<Connections>) -> bool {
        let now = self.connections_of(client_id);
        let before = first.get_or_insert(now).former;
        // An end that is not known any more is none that came.
        now.present.is_some() || now.former.is_some_and(|end| before != Some(end))
    }

    /// Whether a client has no connection, or another one than at the `first` look, which this may be.
    pub(crate) fn has_disconnected(
        &self,
        client_id: &str,
        first: &mut Option<Connections>,
    ) -> bool {
        let now = self.connections_of(client_id);
        now.present.is_none() || now.present != first.get_or_insert(now).present
    }

    /// Whether a client has a connection.
    pub(crate) fn is_connected(&self, client_id: &str) -> bool {
        self.connections_of(client_id).present.is_some()
    }

    fn connections_of(&self, client_id: &str) -> Connections {
        let of_session = self.find(client_id).and_then(|session| {
            let slot = session.slot();
            let former = slot.last_end.as_ref().map(|end| end.connection);
            match slot.state {
                State::Connected => Some((Some(session.connection_in(slot.epoch)), former)),
                State::Away => Some((None, former)),
                State::New | State::Ended => None,
            }
        });
        let (present, former) = of_session.unwrap_or_default();
        Connections {
            present,
            former: former.or_else(|| self.history.last_end(client_id).map(|end| end.connection)),
        }
    }

    /// How the connection of a client ended that it had last, or before the one that it has; `None` where
    /// nothing is known of one, or it is too long ago.
    pub(crate) fn end_of(&self, client_id: &str) -> Option<LastEnd> {
        let session = self.find(client_id);
        let end = session.and_then(|session| session.slot().last_end.as_deref().cloned());
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
        let parent = self.retained.parent();
        self.observers.capture(filter, wanted, parent, &self.watch)
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
