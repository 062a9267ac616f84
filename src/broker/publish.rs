//! The hot path: a message from one client to all that subscribe to its topic.

use std::num::NonZeroU32;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::codec::QoS;
use crate::config::Overlapping;
use crate::session::delivery::SubscriptionIds;
use crate::session::message::Publication;
use crate::session::subscription::Subscription;

use super::Broker;
use super::context::Context;
use super::dirty::Dirty;
use super::outbox::{Grant, Offered, Wake};
use super::retained::Full;
use super::route::{Receiver, Route, Subscriptions};

/// Payloads from this size on are large.
const LARGE: usize = 4 * 1024;

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
    /// Publishes messages to one topic, in order, on behalf of session `publisher` (0: nobody).
    ///
    /// Consecutive messages to one topic come as a run, so that each receiver's lock is taken once.
    pub(super) fn publish(
        &self,
        route: &Route<'_>,
        run: &[Publication<'_>],
        publisher: u64,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Published {
        let mut result = match route.is_empty() {
            true => Published::Unmatched,
            false => Published::Matched,
        };
        for publication in run.iter().filter(|publication| publication.retain) {
            if self.retained.store(publication, context) == Err(Full) {
                result = Published::NotRetained;
            }
        }
        // Copies for several subscriptions of one client must not come in turns: a, b, a, b.
        let together = match self.config.overlapping {
            Overlapping::OneCopy => run.len(),
            Overlapping::CopyEach => 1,
        };
        for part in run.chunks(together.max(1)) {
            let room = room_for(part);
            route.for_each_receiver(|receiver| {
                deliver(receiver, part, room, publisher, context, dirty);
            });
        }
        route.for_each_group(|group| {
            for publication in run {
                group.publish(publication, context, dirty);
            }
        });
        result
    }
}

/// Bytes to make room for at once when a run is appended: 0 for small messages, which may grow a
/// buffer as they come.
#[inline]
fn room_for(run: &[Publication<'_>]) -> usize {
    match run {
        [first, ..] if first.payload.len() >= LARGE => run.iter().map(Publication::size).sum(),
        _ => 0,
    }
}

/// Offers a run of messages to one receiver under one lock, in an output buffer with `room`.
#[inline]
fn deliver(
    receiver: Receiver<'_>,
    run: &[Publication<'_>],
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
    for publication in run {
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
    dirty.deliveries += run.len();
    dirty.note(receiver.session, wake);
    if overflowed {
        dirty.note_overflow(receiver.session);
    }
}

impl Receiver<'_> {
    /// What this receiver's standing subscriptions make of a message; `None` if none wants it.
    #[inline]
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
