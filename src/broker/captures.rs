//! Captures: the next messages on a filter, kept for whoever asked for them. A capture is no client: it has
//! no session, takes no turn in a group, and no publisher is told that somebody subscribes.
//!
//! Each is bounded by a number of messages and by what it holds; the messages are charged as those in queues.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::budget::Budget;
use crate::message::publication::{Message, Publication};
use crate::tap::Tap;
use crate::tap::watch::Unseen;
use crate::topic::{HashParent, matches};

use super::gate::Gate;
#[cfg(feature = "http")]
use super::watch::Glimpse;
use super::watch::{Subject, Watch};

/// Bytes of payloads that a capture keeps. Of what is longer, only the size is known.
const PAYLOADS: usize = 1 << 20;

/// Bytes of everything else that it keeps: with this, it is over.
const HEADS: usize = 4 << 20;

/// All captures.
#[derive(Default)]
pub(super) struct Captures {
    list: Mutex<Vec<Arc<Capture>>>,
}

/// The next messages on a filter.
struct Capture {
    filter: Box<str>,
    parent: HashParent,
    wanted: usize,
    /// Messages of rows up to this one are not wanted.
    since: u64,
    caught: Mutex<Caught>,
}

#[derive(Default)]
struct Caught {
    messages: Vec<Captured>,
    /// Bytes of payloads.
    payloads: usize,
    /// Bytes of the rest.
    heads: usize,
    /// A message came for which there is no memory: those behind it would leave a gap.
    is_cut: bool,
    /// The last row of a message that was found in the journal.
    found_until: u64,
}

/// A message that was captured.
#[derive(Clone)]
pub(crate) struct Captured {
    /// Without its payload where there was no room for that.
    pub(crate) message: Message,
    /// The bytes of a payload that is not there.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "programs are told that it is empty then")
    )]
    pub(crate) left_out: Option<usize>,
}

impl Captures {
    /// Begins to capture the first `wanted` messages from now on whose topics match a valid filter, but for those of
    /// rows of the journal up to `since`.
    pub(super) fn begin<'a>(
        &'a self,
        filter: &str,
        wanted: usize,
        since: u64,
        parent: HashParent,
        gate: &'a Gate,
        watch: &'a Watch,
    ) -> Capturing<'a> {
        let capture = Arc::new(Capture {
            filter: filter.into(),
            parent,
            wanted,
            since,
            caught: Mutex::default(),
        });
        // Whoever is told of it publishes at once.
        gate.enter();
        let mut list = self.list.lock();
        list.push(capture.clone());
        #[cfg(feature = "http")]
        watch.show(Subject::Subscriptions, || {
            let count = count_on(&list, filter);
            Glimpse::Captures { filter, count }
        });
        drop(list);
        Capturing {
            capture,
            captures: self,
            gate,
            watch,
        }
    }

    /// How many there are on exactly this filter.
    #[cfg(feature = "http")]
    pub(super) fn count_on(&self, filter: &str) -> usize {
        count_on(&self.list.lock(), filter)
    }

    /// Shows messages to one topic to all captures.
    pub(super) fn offer(&self, run: &[Publication<'_>], budget: Budget, watch: &Watch) {
        let Some(topic) = run.first().map(|first| first.topic) else {
            return;
        };
        let list = self.list.lock();
        let mut concerned = list
            .iter()
            .filter(|one| matches(&one.filter, topic, one.parent))
            .peekable();
        if concerned.peek().is_some() {
            concerned.for_each(|one| one.take(run, budget));
            watch.note(Subject::Captures);
        }
    }
}

#[cfg(feature = "http")]
fn count_on(list: &[Arc<Capture>], filter: &str) -> usize {
    list.iter().filter(|one| *one.filter == *filter).count()
}

impl Capture {
    fn take(&self, run: &[Publication<'_>], budget: Budget) {
        let mut caught = self.caught.lock();
        for publication in run {
            if caught.is_done(self.wanted) {
                return;
            }
            let is_before = publication.row > 0 && publication.row <= self.since;
            if !is_before && !caught.has(publication.row) {
                caught.add(publication, None, budget);
            }
        }
    }
}

impl Caught {
    fn is_done(&self, wanted: usize) -> bool {
        self.messages.len() >= wanted || self.heads >= HEADS || self.is_cut
    }

    /// Keeps a message, whose payload may be `left_out` already.
    fn add(&mut self, publication: &Publication<'_>, left_out: Option<usize>, budget: Budget) {
        let payload = publication.payload.len();
        if !budget.admits_message(publication.size() - payload) {
            self.is_cut = true;
            return;
        }
        let fits = self.payloads + payload <= PAYLOADS && budget.admits_message(publication.size());
        let captured = match fits {
            true => Captured {
                message: publication.message(budget).clone(),
                left_out,
            },
            false => Captured {
                message: publication.without_payload().message(budget).clone(),
                left_out: left_out.or(Some(payload)),
            },
        };
        self.keep(captured);
    }

    fn keep(&mut self, captured: Captured) {
        let kept = captured.message.payload().len();
        self.payloads += kept;
        self.heads += captured.message.footprint().saturating_sub(kept);
        self.messages.push(captured);
    }

    /// Whether it has the message of a row that was found in the journal.
    fn has(&self, row: u64) -> bool {
        row > 0
            && row <= self.found_until
            && self.messages.iter().any(|one| one.message.row() == row)
    }

    /// Puts what was captured since behind this, but for what is here already.
    fn go_on(&mut self, since: Self, wanted: usize) {
        for captured in since.messages {
            if !self.is_done(wanted) && !self.has(captured.message.row()) {
                self.keep(captured);
            }
        }
        self.is_cut |= since.is_cut;
    }
}

/// A capture, until this is dropped.
pub(crate) struct Capturing<'a> {
    capture: Arc<Capture>,
    captures: &'a Captures,
    gate: &'a Gate,
    watch: &'a Watch,
}

impl Capturing<'_> {
    /// Whether it has all that it was to have, or holds as much as it may.
    pub(crate) fn is_done(&self) -> bool {
        self.capture.caught.lock().is_done(self.capture.wanted)
    }

    /// Puts messages in front that the journal has, by their rows.
    ///
    /// # Errors
    ///
    /// There may be others of which it knows nothing any more.
    pub(super) fn look_back(&self, tap: &Tap, budget: Budget) -> Result<(), Unseen> {
        let capture = &self.capture;
        let mut earlier = Caught::default();
        let is_meant = |topic: &str| matches(&capture.filter, topic, capture.parent);
        tap.each_message(capture.since, is_meant, |publication, left_out| {
            earlier.add(publication, left_out, budget);
            earlier.found_until = publication.row;
            !earlier.is_done(capture.wanted)
        })?;
        let mut caught = capture.caught.lock();
        let since = std::mem::replace(&mut *caught, earlier);
        caught.go_on(since, capture.wanted);
        Ok(())
    }

    /// What it has got so far, in order.
    pub(crate) fn messages(&self) -> Vec<Captured> {
        self.capture.caught.lock().messages.clone()
    }
}

impl Drop for Capturing<'_> {
    fn drop(&mut self) {
        let mut list = self.captures.list.lock();
        list.retain(|one| !Arc::ptr_eq(one, &self.capture));
        drop(list);
        self.gate.leave();
        self.watch.note(Subject::Subscriptions);
    }
}
