//! Captures: the next messages on a filter, kept for whoever asked for them. A capture is no client: it has
//! no session, takes no turn in a group, and no publisher is told that somebody subscribes.
//!
//! Each is bounded by a number of messages and by what it holds; the messages are charged as those in queues.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::budget::Budget;
use crate::message::publication::{Message, Publication};
use crate::tap::Tap;
use crate::tap::messages::{MessageReader, Reading};
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
pub(super) struct Capture {
    filter: Box<str>,
    parent: HashParent,
    wanted: usize,
    origin: Origin,
    /// What messages are charged to.
    budget: Budget,
    caught: Mutex<Caught>,
}

/// Which messages are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Those from now on.
    Now,
    /// Those of the journal whose rows are behind `since` and whose numbers are behind `after`.
    Journal { since: u64, after: u64 },
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
    /// They were to come from the journal, which is off.
    is_off: bool,
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
    /// Of one from the journal: its number in the order in which they were published.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "programs have all at once")
    )]
    pub(crate) number: Option<u64>,
}

impl Captures {
    /// Begins to capture messages. Those of the journal are to be [read](Capturing::read_journal) besides.
    pub(super) fn begin<'a>(
        &'a self,
        capture: Capture,
        gate: &'a Gate,
        watch: &'a Watch,
    ) -> Capturing<'a> {
        let capture = Arc::new(capture);
        // Whoever is told of it publishes at once.
        gate.enter();
        let mut list = self.list.lock();
        list.push(capture.clone());
        #[cfg(feature = "http")]
        watch.show(Subject::Subscriptions, || {
            let filter = &*capture.filter;
            let count = count_on(&list, filter);
            Glimpse::Captures { filter, count }
        });
        drop(list);
        Capturing {
            capture,
            captures: self,
            gate,
            watch,
            reading: None,
        }
    }

    /// How many there are on exactly this filter.
    #[cfg(feature = "http")]
    pub(super) fn count_on(&self, filter: &str) -> usize {
        count_on(&self.list.lock(), filter)
    }

    /// Shows messages to one topic to all captures of what comes from now on.
    pub(super) fn offer(&self, run: &[Publication<'_>], watch: &Watch) {
        let Some(topic) = run.first().map(|first| first.topic) else {
            return;
        };
        let list = self.list.lock();
        let mut concerned = list
            .iter()
            .filter(|one| one.origin == Origin::Now && one.is_meant(topic))
            .peekable();
        if concerned.peek().is_some() {
            concerned.for_each(|one| one.take(run));
            watch.note(Subject::Captures);
        }
    }
}

#[cfg(feature = "http")]
fn count_on(list: &[Arc<Capture>], filter: &str) -> usize {
    list.iter().filter(|one| *one.filter == *filter).count()
}

impl Capture {
    /// Of the first `wanted` messages whose topics match a valid filter. What it keeps is charged.
    pub(super) fn new(
        filter: &str,
        parent: HashParent,
        wanted: usize,
        origin: Origin,
        budget: Budget,
    ) -> Self {
        Self {
            filter: filter.into(),
            parent,
            wanted,
            origin,
            budget,
            caught: Mutex::default(),
        }
    }

    fn is_meant(&self, topic: &str) -> bool {
        matches(&self.filter, topic, self.parent)
    }

    fn take(&self, run: &[Publication<'_>]) {
        let mut caught = self.caught.lock();
        for publication in run {
            if caught.is_done(self.wanted) {
                return;
            }
            caught.add(publication, None, None, self.budget);
        }
    }
}

impl MessageReader for Capture {
    fn read(&self, publication: &Publication<'_>, number: u64, left_out: Option<usize>) -> bool {
        let mut caught = self.caught.lock();
        let is_behind = match self.origin {
            Origin::Journal { since, after } => publication.row > since && number > after,
            Origin::Now => false,
        };
        if is_behind && self.is_meant(publication.topic) && !caught.is_done(self.wanted) {
            caught.add(publication, Some(number), left_out, self.budget);
        }
        !caught.is_done(self.wanted)
    }

    fn end(&self) {
        self.caught.lock().is_off = true;
    }
}

impl Caught {
    fn is_done(&self, wanted: usize) -> bool {
        self.messages.len() >= wanted || self.heads >= HEADS || self.is_cut || self.is_off
    }

    /// Keeps a message, whose payload may be `left_out` already.
    fn add(
        &mut self,
        publication: &Publication<'_>,
        number: Option<u64>,
        left_out: Option<usize>,
        budget: Budget,
    ) {
        let payload = publication.payload.len();
        if !budget.admits_message(publication.size() - payload) {
            self.is_cut = true;
            return;
        }
        let fits = self.payloads + payload <= PAYLOADS && budget.admits_message(publication.size());
        let (message, left_out) = match fits {
            true => (publication.message_alone(budget), left_out),
            false => {
                let message = publication.without_payload().message_alone(budget);
                (message, left_out.or(Some(payload)))
            }
        };
        let kept = message.payload().len();
        self.payloads += kept;
        self.heads += message.footprint().saturating_sub(kept);
        self.messages.push(Captured {
            message,
            left_out,
            number,
        });
    }
}

/// A capture, until this is dropped.
pub(crate) struct Capturing<'a> {
    capture: Arc<Capture>,
    captures: &'a Captures,
    gate: &'a Gate,
    watch: &'a Watch,
    /// Of the journal.
    reading: Option<Reading<'a>>,
}

impl<'a> Capturing<'a> {
    /// Whether it has all that it was to have, holds as much as it may, or gets no more.
    pub(crate) fn is_done(&self) -> bool {
        self.capture.caught.lock().is_done(self.capture.wanted)
    }

    /// Takes the messages that the journal has, and those that come to it.
    ///
    /// # Errors
    ///
    /// There may be others of which it knows nothing any more.
    pub(super) fn read_journal(&mut self, tap: &'a Tap) -> Result<(), Unseen> {
        if let Origin::Journal { since, after } = self.capture.origin {
            let reading = tap.read_messages(since, after, self.capture.clone())?;
            self.reading = Some(reading);
        }
        Ok(())
    }

    /// What it has got so far, in order.
    ///
    /// # Errors
    ///
    /// It gets no more, for the journal is off.
    pub(crate) fn messages(&self) -> Result<Vec<Captured>, Unseen> {
        let caught = self.capture.caught.lock();
        match caught.is_off && caught.messages.len() < self.capture.wanted {
            true => Err(Unseen::Off),
            false => Ok(caught.messages.clone()),
        }
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
