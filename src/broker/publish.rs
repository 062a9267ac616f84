//! The hot path: a message from one client to all that subscribe to its topic.

use std::num::NonZeroU32;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::codec::{QoS, Version};
use crate::config::Overlapping;
use crate::conn::rules;
use crate::session::delivery::SubscriptionIds;
use crate::session::message::Publication;
use crate::session::subscription::Subscription;

use super::Broker;
use super::context::Context;
use super::dirty::Dirty;
use super::outbox::{Grant, Offered, Outbox, Wake};
use super::retained::Full;
use super::route::{Receiver, Route, Subscriptions};

/// Payloads from this size on are large.
const LARGE: usize = 4 * 1024;

/// Packets of a run that are copied together, at most; longer ones gain nothing.
const TOGETHER: usize = 16 * 1024;

/// Messages to one topic, in order.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    publications: &'a [Publication<'a>],
    /// The packets of all of them as they were read, where a receiver may get them unchanged.
    packets: Option<(Version, &'a [u8])>,
}

impl<'a> Run<'a> {
    pub(super) fn one(publication: &'a Publication<'a>) -> Self {
        Self::new(std::slice::from_ref(publication))
    }

    pub(super) fn new(publications: &'a [Publication<'a>]) -> Self {
        Self {
            publications,
            packets: None,
        }
    }

    /// The same, with `packets` being what was read: the packets of these messages and no others.
    pub(super) fn read_as(self, version: Version, packets: &'a [u8]) -> Self {
        let all_unchanged = self.publications.len() > 1
            && packets.len() <= TOGETHER
            && self
                .publications
                .iter()
                .all(|publication| publication.verbatim.is_some() && !publication.retain);
        Self {
            packets: all_unchanged.then_some((version, packets)),
            ..self
        }
    }

    /// Parts of `size` messages; all of it is one part.
    fn chunks(self, size: usize) -> impl Iterator<Item = Self> {
        let all = self.publications.len();
        let packets = self.packets.filter(|_| size == all);
        self.publications
            .chunks(size.max(1))
            .map(move |publications| Self {
                publications,
                packets,
            })
    }

    /// Bytes to make room for at once when it is appended: 0 for small messages, which may grow a
    /// buffer as they come.
    #[inline]
    fn room(&self) -> usize {
        match self.publications {
            [first, ..] if first.payload.len() >= LARGE => {
                self.publications.iter().map(Publication::size).sum()
            }
            _ => 0,
        }
    }
}

/// What became of a publish as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// Somebody subscribes to it.
    Matched,
    /// Nobody does (0x10).
    Unmatched,
    /// It was delivered but could not be retained: the limit is reached (0x97).
    NotRetained,
}

impl Broker {
    /// Publishes messages on behalf of session `publisher` (0: nobody).
    ///
    /// Consecutive messages to one topic come as a run, so that each receiver's lock is taken once.
    pub(super) fn publish(
        &self,
        route: &Route<'_>,
        run: Run<'_>,
        publisher: u64,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Published {
        let mut result = match route.is_empty() {
            true => Published::Unmatched,
            false => Published::Matched,
        };
        let retained = run.publications.iter().filter(|message| message.retain);
        for publication in retained {
            if self.retain(publication, context) == Err(Full) {
                result = Published::NotRetained;
            }
        }
        // Copies for several subscriptions of one client must not come in turns: a, b, a, b.
        let together = match self.config.overlapping {
            Overlapping::OneCopy => run.publications.len(),
            Overlapping::CopyEach => 1,
        };
        for part in run.chunks(together) {
            let room = part.room();
            route.for_each_receiver(|receiver| {
                deliver(receiver, part, room, publisher, context, dirty);
            });
        }
        route.for_each_group(|group| {
            for publication in run.publications {
                group.publish(publication, context, dirty);
            }
        });
        result
    }
}

impl Broker {
    /// Keeps a message for later subscriptions. Nobody but the broker publishes to its own topics, so
    /// those need no limit.
    fn retain(&self, publication: &Publication<'_>, context: &Context<'_>) -> Result<(), Full> {
        match rules::is_own_topic(publication.topic) {
            true => self
                .own_topics
                .store_up_to(usize::MAX, publication, context),
            false => self.retained.store(publication, context),
        }
    }
}

/// Offers a run of messages to one receiver under one lock, in an output buffer with `room`.
#[inline]
fn deliver(
    receiver: Receiver<'_>,
    run: Run<'_>,
    room: usize,
    publisher: u64,
    context: &Context<'_>,
    dirty: &mut Dirty,
) {
    let mut outbox = receiver.session.outbox();
    if room > 0 {
        outbox.reserve(room);
    }
    let (mut wake, mut overflowed) = (Wake::Nobody, false);
    let mut rest = run.publications;
    if run.packets.is_some()
        && let Some(sent) = deliver_packets(receiver, run, &mut outbox, publisher, context)
    {
        wake = sent;
        rest = &[];
    }
    for publication in rest {
        let Some(grant) = receiver.grant(publication, publisher) else {
            continue;
        };
        match outbox.offer(publication, grant, context) {
            Offered::Sent(Wake::Writer) => wake = Wake::Writer,
            Offered::Overflow => overflowed = true,
            Offered::Sent(Wake::Nobody) | Offered::Queued | Offered::Dropped => {}
        }
    }
    drop(outbox);
    dirty.offered(run.publications.len(), rest.len().max(1));
    dirty.note(receiver.session, wake);
    if overflowed {
        dirty.note_overflow(receiver.session);
    }
}

/// Offers a run as the packets that were read, if the receiver can have them so.
///
/// A function of its own: the loop over messages is better off alone.
#[inline(never)]
fn deliver_packets(
    receiver: Receiver<'_>,
    run: Run<'_>,
    outbox: &mut Outbox,
    publisher: u64,
    context: &Context<'_>,
) -> Option<Wake> {
    let (version, packets) = run.packets?;
    let grant = receiver.grant(run.publications.first()?, publisher)?;
    outbox.offer_packets(version, packets, run.publications.len(), &grant, context)
}

impl Receiver<'_> {
    /// What this receiver's standing subscriptions make of a message; `None` if none wants it.
    #[inline(always)]
    fn grant(&self, publication: &Publication<'_>, publisher: u64) -> Option<Grant> {
        let own = self.session.id == publisher;
        let options = match self.subscriptions {
            Subscriptions::Current(options) => options,
            Subscriptions::Kept([subscription]) => subscription.options()?,
            Subscriptions::Kept(several) => return grant_overlapping(several, publication, own),
        };
        if own && options.no_local {
            return None;
        }
        Some(Grant::new(options, publication.qos, publication.retain))
    }
}

/// One copy for several subscriptions: the highest QoS and all identifiers (MQTT-3.3.4-2, -4).
fn grant_overlapping(
    subscriptions: &[Arc<Subscription>],
    publication: &Publication<'_>,
    own: bool,
) -> Option<Grant> {
    let standing = subscriptions
        .iter()
        .filter_map(|subscription| subscription.options());
    let mut qos: Option<QoS> = None;
    let mut retain = false;
    let mut ids: SmallVec<[u32; 8]> = SmallVec::new();
    for options in standing.filter(|options| !(own && options.no_local)) {
        qos = qos.max(Some(options.qos));
        retain |= options.retain_as_published;
        ids.extend(options.id.map(NonZeroU32::get));
    }
    Some(Grant {
        qos: publication.qos.min(qos?),
        retain: retain && publication.retain,
        subscription_ids: SubscriptionIds::from_slice(&ids),
    })
}
