//! The one door: every message enters the broker through [`Broker::deliver`], whoever it is from, and
//! reaches the retained store, all who subscribe to its topic, and the service that it may be a request to.
//!
//! | origin | who calls |
//! | --- | --- |
//! | a client's PUBLISH | `client::publishing` |
//! | a will | `lifecycle` |
//! | the HTTP API, the program around the broker | [`outside`] |
//! | the broker's own counters | `sys` |
//! | what happens to clients | `events` |
//!
//! What the service sends to one client alone ([`direct`]) enters here as well, and goes to that one.

#[cfg(all(feature = "http", feature = "aws"))]
pub(super) mod direct;
pub(super) mod fan_out;
pub(super) mod outside;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use crate::codec::{QoS, Version};
use crate::config::Overlapping;
use crate::message::delivery::{Retain, SubscriptionIds};
use crate::message::publication::{AsRead, AtOnce, Message, Publication};
use crate::message::subscription::Subscription;
use crate::protocol::rules;

use self::fan_out::FanOut;
use super::Broker;
use super::access::Permissions;
use super::outbox::{Grant, Offered, Outbox, Wake};
use super::requests::Service;
use super::retained::Full;
use super::routing::{Listed, Reach, Receiver, Route, RouteCache, Subscriptions};
use super::session::Session;
use super::share::Group;
use super::turn::{Context, Dirty, Later, STEPS_PER_TURN};

/// Payloads from this size on are large.
const LARGE: usize = 4 * 1024;

/// Packets of a run that are copied together, at most; longer ones gain nothing.
const TOGETHER: usize = 16 * 1024;

/// Messages that a receiver takes in one step where it takes them as a run.
const TAKEN_PER_STEP: usize = 2;

/// Subscriptions of one receiver that are looked at in one step.
const SUBSCRIPTIONS_PER_STEP: usize = 8;

/// Places by which a receiver's window grows for one step: what is in it moves.
const PLACES_PER_STEP: usize = 4;

/// Messages to one topic, in order.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    publications: &'a [Publication<'a>],
    /// The packets of all of them as they were read, where a receiver may get them unchanged.
    packets: Option<(Version, &'a [u8])>,
}

impl<'a> Run<'a> {
    pub(crate) fn one(publication: &'a Publication<'a>) -> Self {
        Self::new(std::slice::from_ref(publication))
    }

    pub(crate) fn new(publications: &'a [Publication<'a>]) -> Self {
        Self {
            publications,
            packets: None,
        }
    }

    /// The same, with `packets` being what was read: the packets of these messages and no others.
    pub(crate) fn read_as(self, version: Version, packets: &'a [u8]) -> Self {
        // They have the QoS and the RETAIN flag in common.
        let first = self.publications.first();
        let all_unchanged = self.publications.len() > 1
            && packets.len() <= TOGETHER
            && first.is_some_and(|first| first.qos == QoS::AtMostOnce && !first.retain)
            && self
                .publications
                .iter()
                .all(|publication| publication.verbatim().is_some());
        Self {
            packets: all_unchanged.then_some((version, packets)),
            ..self
        }
    }

    /// The number of messages.
    pub(super) fn len(&self) -> usize {
        self.publications.len()
    }

    /// Whether one of them is to be kept; such a one comes alone.
    #[inline]
    fn is_retained(&self) -> bool {
        self.publications.first().is_some_and(|first| first.retain)
    }

    /// Their topic.
    pub(super) fn topic(&self) -> &'a str {
        self.publications.first().map_or("", |first| first.topic)
    }

    /// What came of its message that may not wait; such a one comes alone.
    #[inline]
    pub(super) fn at_once(&self) -> Option<&'a AtOnce> {
        let first = self.publications.first();
        first
            .map(|first| &first.at_once)
            .filter(|at_once| at_once.is_required())
    }

    /// What goes to one receiver after the other, behind the first `done` messages: all of them, or one
    /// where a client gets a copy for each subscription. Its copies must not come in turns: a, b, a, b.
    #[inline]
    pub(super) fn part(self, overlapping: Overlapping, done: usize) -> Self {
        let rest = self.publications.get(done..).unwrap_or_default();
        match overlapping {
            Overlapping::OneCopy => Self {
                publications: rest,
                packets: self.packets.filter(|_| done == 0),
            },
            Overlapping::CopyEach => Self {
                publications: rest.get(..1).unwrap_or_default(),
                packets: self.packets.filter(|_| self.publications.len() == 1),
            },
        }
    }

    /// The messages and the packets, for as long as they are needed.
    pub(super) fn keep(self, context: &Context<'_>) -> OwnedRun {
        let packets = match self.publications {
            [only] => only.verbatim().filter(|(_, frame)| frame.len() <= TOGETHER),
            _ => self.packets,
        };
        let messages = self.publications.iter();
        OwnedRun {
            messages: messages
                .map(|publication| publication.message(context.budget))
                .collect(),
            at_once: self.at_once().cloned(),
            packets: packets.map(|(version, packets)| (version, packets.into())),
        }
    }

    /// Has a service take the messages. Returns whether they are requests to it.
    #[cold]
    fn ask(
        self,
        service: &dyn Service,
        author: Option<&Arc<Session>>,
        context: &Context<'_>,
    ) -> bool {
        let mut messages = self.publications.iter();
        // All have the same topic.
        messages.all(|message| service.take(message, author, context))
    }

    /// Hands the messages to a group.
    #[inline]
    pub(super) fn publish_to(self, group: &Arc<Group>, context: &Context<'_>, dirty: &mut Dirty) {
        group.publish(self.publications, context, dirty);
    }

    /// Bytes to make room for at once when it is appended: 0 for small messages, which may grow a
    /// buffer as they come.
    #[inline]
    pub(super) fn room(&self) -> usize {
        match self.publications {
            [first, ..] if first.payload.len() >= LARGE => {
                self.publications.iter().map(Publication::size).sum()
            }
            _ => 0,
        }
    }
}

/// A run that outlives the buffer it was read in.
pub(super) struct OwnedRun {
    messages: Vec<Message>,
    /// What came of the only one so far, if it may not wait.
    at_once: Option<AtOnce>,
    /// The packets of all of them as they were read.
    packets: Option<(Version, Box<[u8]>)>,
}

impl OwnedRun {
    /// Bytes that it takes besides the messages.
    pub(super) fn size(&self) -> usize {
        self.packets
            .as_ref()
            .map_or(0, |(_, packets)| packets.len())
    }

    fn packets(&self) -> Option<(Version, &[u8])> {
        let packets = self.packets.as_ref();
        packets.map(|(version, packets)| (*version, &**packets))
    }

    /// The messages, for [`run`](Self::run).
    pub(super) fn publications(&self) -> SmallVec<[Publication<'_>; 32]> {
        let mut publications: SmallVec<[Publication<'_>; 32]> =
            self.messages.iter().map(Message::publication).collect();
        if let [only] = &mut *publications {
            if let Some((version, packet)) = self.packets() {
                only.as_read = AsRead::Packet(version, packet);
            }
            only.at_once = self.at_once.clone().unwrap_or_default();
        }
        publications
    }

    /// What came of a message that may not wait.
    pub(super) fn at_once(&self) -> Option<&AtOnce> {
        self.at_once.as_ref()
    }

    /// Notes what came of [`publications`](Self::publications).
    pub(super) fn note(&mut self, at_once: Option<AtOnce>) {
        self.at_once = at_once;
    }

    pub(super) fn run<'a>(&'a self, publications: &'a [Publication<'a>]) -> Run<'a> {
        Run {
            publications,
            packets: self.packets().filter(|_| publications.len() > 1),
        }
    }
}

/// What became of a publish as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// Somebody subscribes to it.
    Matched,
    /// Nobody does (0x10).
    Unmatched,
    /// It was delivered but could not be retained: the limit is reached (0x97).
    NotRetained,
    /// There is no memory for it to wait, and nobody took it at once (0x97).
    Refused,
}

impl Published {
    pub(super) fn new(reach: Reach, lacks_room: bool, is_refused: bool) -> Self {
        match (is_refused, lacks_room, reach.total()) {
            (true, _, _) => Self::Refused,
            (false, true, _) => Self::NotRetained,
            (false, false, 0) => Self::Unmatched,
            (false, false, _) => Self::Matched,
        }
    }
}

/// What a publish came to in this turn.
pub(crate) struct Sent {
    pub(crate) published: Published,
    pub(super) reach: Reach,
    /// Receivers that are still to be served. What the others say is known only after them.
    pub(crate) rest: Option<Box<FanOut>>,
    /// The client may not publish it (AWS-ID-32): nobody gets it.
    pub(crate) is_denied: bool,
    /// It was a request, and is to be answered.
    pub(crate) is_request: bool,
}

impl Sent {
    /// Nobody gets it.
    fn denied() -> Self {
        Self {
            published: Published::Unmatched,
            reach: Reach::default(),
            rest: None,
            is_denied: true,
            is_request: false,
        }
    }
}

/// How far a list of receivers was gone through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Messages that all of them have got.
    done: usize,
    /// Receivers that have got the next part.
    at: usize,
}

/// Who a message is from.
pub(crate) enum Origin<'a> {
    /// The connection of a client, which repeats topics.
    Client {
        session: &'a Arc<Session>,
        routes: &'a mut RouteCache,
        /// What the client may do; everything, if nobody says so.
        permissions: Option<&'a dyn Permissions>,
    },
    /// The will of a client.
    Will { session: &'a Session },
    /// A session of the program that the broker runs in.
    Program { session: &'a Session },
    /// Somebody outside: the HTTP API, the program that the broker runs in.
    Outside,
    /// The broker itself.
    Own,
}

impl<'a> Origin<'a> {
    /// The session that published it, for No Local (MQTT-3.8.3-3) among others; its number is not 0, which is
    /// nobody's.
    #[inline]
    fn session(&self) -> Option<&'a Session> {
        match self {
            Self::Client { session, .. } => Some(session),
            Self::Will { session } | Self::Program { session } => Some(session),
            Self::Outside | Self::Own => None,
        }
    }

    /// Whether it may publish a run (AWS-ID-32, -33). A will was asked about at CONNECT (AWS-ID-31).
    #[inline]
    fn may_publish(&self, run: Run<'_>, now: Instant) -> bool {
        match self {
            Self::Client {
                permissions: Some(permissions),
                ..
            } => permissions.may_publish(run.topic(), run.is_retained(), now),
            Self::Client { .. }
            | Self::Will { .. }
            | Self::Program { .. }
            | Self::Outside
            | Self::Own => true,
        }
    }

    /// The session of the client that may be held up for it.
    fn author(&self) -> Option<&'a Arc<Session>> {
        match self {
            Self::Client { session, .. } => Some(session),
            Self::Will { .. } | Self::Program { .. } | Self::Outside | Self::Own => None,
        }
    }

    fn routes(self) -> Option<&'a mut RouteCache> {
        match self {
            Self::Client { routes, .. } => Some(routes),
            Self::Will { .. } | Self::Program { .. } | Self::Outside | Self::Own => None,
        }
    }
}

/// Whether a run may be one of requests: they are on topics of the broker, and not by itself.
#[inline]
fn may_be_request(origin: &Origin<'_>, run: Run<'_>) -> bool {
    run.topic().starts_with('$') && !matches!(origin, Origin::Own)
}

impl Broker {
    /// Delivers messages to one topic: to the retained store if they are to be kept, then to all who
    /// subscribe.
    ///
    /// Consecutive messages to one topic come as a run, so that each receiver's lock is taken once.
    #[inline]
    pub(crate) fn deliver(
        &self,
        origin: Origin<'_>,
        run: Run<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Sent {
        if !origin.may_publish(run, context.now) {
            return Sent::denied();
        }
        let (from, author) = (origin.session(), origin.author());
        let publisher = from.map_or(0, |session| session.id);
        let service = self.service.as_deref();
        let service = service.filter(|_| may_be_request(&origin, run));
        let mut lacks_room = false;
        // Before the receivers are looked for: who subscribes meanwhile gets them one way or the other.
        let retained = run.publications.iter().filter(|message| message.retain);
        for publication in retained {
            lacks_room |= self.retain(publication, context) == Err(Full);
        }
        let (topic, copies) = (run.topic(), run.len());
        let mut hand_out = |route: &Route<'_>, steps: usize| {
            dirty.charge(steps);
            self.hand_out_to(route, run, publisher, context, dirty)
        };
        let (reach, mut rest) = match origin.routes() {
            Some(routes) => self.routing.with_route(topic, copies, routes, hand_out),
            None => (self.routing).with_route_once(topic, copies, |route| hand_out(route, 0)),
        };
        let at_once = run.at_once();
        match &mut rest {
            Some(rest) => rest.lacks_room(lacks_room),
            None => self.count_losses(at_once),
        }
        let is_refused = at_once.is_some_and(AtOnce::is_refused);
        let published = Published::new(reach, lacks_room, is_refused);
        if self.observers.are_any() && published != Published::Refused {
            self.observers.see(run.publications, from, context);
        }
        // Who subscribes to requests gets them before their answers. What is refused may come again.
        let service = service.filter(|_| published != Published::Refused);
        let is_request = service.is_some_and(|service| run.ask(service, author, context));
        Sent {
            published,
            reach,
            rest,
            is_denied: false,
            is_request,
        }
    }

    /// All who are to have a message that may not wait were asked.
    pub(super) fn count_losses(&self, at_once: Option<&AtOnce>) {
        if let Some(at_once) = at_once {
            Self::count(&self.counters.dropped, u64::from(at_once.losses()));
        }
    }

    /// The same for callers who do not wait for what is left.
    pub(super) fn deliver_and_forget(
        &self,
        origin: Origin<'_>,
        run: Run<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let sent = self.deliver(origin, run, context, dirty);
        if let Some(rest) = sent.rest {
            dirty.later(Later::FanOut(rest), context);
        }
    }

    #[inline]
    fn hand_out_to(
        &self,
        route: &Route<'_>,
        run: Run<'_>,
        publisher: u64,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> (Reach, Option<Box<FanOut>>) {
        let overlapping = self.config.overlapping;
        match route {
            Route::Found(leaves, reach) => {
                let mut done = 0;
                while done < run.len() {
                    let part = run.part(overlapping, done);
                    let room = part.room();
                    for target in leaves.iter().flat_map(|leaf| leaf.plain()) {
                        serve_receiver(target.into(), part, room, publisher, context, dirty);
                    }
                    done += part.len();
                }
                let groups = leaves.iter().flat_map(|leaf| leaf.groups().iter());
                groups.for_each(|group| run.publish_to(group, context, dirty));
                (*reach, None)
            }
            Route::Listed(listed) => {
                let (mut place, limit) = (Place::default(), dirty.steps() + STEPS_PER_TURN);
                let is_done = serve(
                    listed,
                    run,
                    overlapping,
                    &mut place,
                    publisher,
                    limit,
                    context,
                    dirty,
                );
                let rest = (!is_done)
                    .then(|| FanOut::listed(run, Arc::clone(listed), place, publisher, context));
                (listed.reach(), rest.map(Box::new))
            }
            Route::Many => {
                let rest = FanOut::crowd(run, publisher, context);
                (Reach::default(), Some(Box::new(rest)))
            }
        }
    }
}

/// Serves the receivers of a list from `place` on, until so many steps were taken. Returns whether all
/// have got all.
#[expect(
    clippy::too_many_arguments,
    reason = "a run, its receivers and how far they are"
)]
#[inline]
pub(super) fn serve(
    listed: &Listed,
    run: Run<'_>,
    overlapping: Overlapping,
    place: &mut Place,
    publisher: u64,
    limit: usize,
    context: &Context<'_>,
    dirty: &mut Dirty,
) -> bool {
    while place.done < run.len() {
        let part = run.part(overlapping, place.done);
        let room = part.room();
        let (plain, groups) = (listed.plain(), listed.groups());
        for receiver in plain.get(place.at..).unwrap_or_default() {
            if dirty.steps() >= limit {
                return false;
            }
            serve_receiver(
                receiver.as_receiver(),
                part,
                room,
                publisher,
                context,
                dirty,
            );
            place.at += 1;
        }
        for group in groups.get(place.at - plain.len()..).unwrap_or_default() {
            if dirty.steps() >= limit {
                return false;
            }
            part.publish_to(group, context, dirty);
            place.at += 1;
        }
        *place = Place {
            done: place.done + part.len(),
            at: 0,
        };
    }
    true
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
pub(super) fn serve_receiver(
    receiver: Receiver<'_>,
    run: Run<'_>,
    room: usize,
    publisher: u64,
    context: &Context<'_>,
    dirty: &mut Dirty,
) {
    let mut outbox = receiver.session.outbox();
    if !outbox.may_receive(run.topic(), context.now) {
        return;
    }
    if room > 0 {
        outbox.reserve(room);
    }
    let places = outbox.window_places();
    let (mut wake, mut overflowed) = (Wake::Nobody, None);
    let mut rest = run.publications;
    if run.packets.is_some()
        && let Some(sent) = serve_packets(receiver, run, &mut outbox, publisher, context)
    {
        wake = sent;
        rest = &[];
    }
    let grant = receiver.grant_of_run(rest, publisher, dirty);
    let mut steps = 0;
    if let Some(grant) = &grant {
        let (taken, sent) = outbox.offer_run(rest, grant, context);
        wake = sent;
        rest = rest.get(taken..).unwrap_or_default();
        steps = taken / TAKEN_PER_STEP;
    }
    for publication in rest {
        let Some(grant) = grant.clone() else { break };
        match outbox.offer(publication, grant, context) {
            Offered::Sent(sent) => {
                publication.at_once.note_taken();
                if sent == Wake::Writer {
                    wake = sent;
                }
            }
            Offered::Overflow => overflowed = outbox.epoch(),
            Offered::Refused => publication.at_once.note_refusal(),
            Offered::Queued | Offered::Dropped => {}
        }
    }
    let grown = outbox.window_places().saturating_sub(places);
    drop(outbox);
    dirty.offered(
        run.publications.len(),
        (steps + rest.len()).max(1) + grown / PLACES_PER_STEP,
    );
    dirty.note(receiver.session, wake);
    if let Some(epoch) = overflowed {
        let session = receiver.session.clone();
        dirty.later(Later::Overflow { session, epoch }, context);
    }
}

/// Offers a run as the packets that were read, if the receiver can have them so.
///
/// A function of its own: the loop over messages is better off alone.
#[inline(never)]
fn serve_packets(
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

    /// The same for each message of a run, which share QoS and RETAIN.
    #[inline]
    fn grant_of_run(
        &self,
        run: &[Publication<'_>],
        publisher: u64,
        dirty: &mut Dirty,
    ) -> Option<Grant> {
        if let Subscriptions::Kept(several @ [_, _, ..]) = self.subscriptions {
            dirty.charge(several.len() / SUBSCRIPTIONS_PER_STEP);
        }
        self.grant(run.first()?, publisher)
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
        retain: Retain::live(publication.retain, retain),
        subscription_ids: SubscriptionIds::from_slice(&ids),
    })
}
