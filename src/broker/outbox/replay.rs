//! Retained messages on their way to a new subscription: a walk through the store that goes on as the
//! receiver takes them, not a list of what it will get.
//!
//! A message that was retained after the SUBSCRIBE reached the subscription when it was published, so
//! the walk leaves it out: messages are numbered in the order in which they were stored, and a replay
//! knows the number that was the last one when it began.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::budget::{Charge, Full, Kind};
use crate::codec::QoS;
use crate::message::publication::Message;
use crate::message::subscription::{Options, Subscription};
use crate::topic::{HashParent, Position, Walk};

use super::line::Discard;
use super::{Grant, Outbox};
use crate::broker::Broker;
use crate::broker::context::Context;
use crate::broker::dirty::{Dirty, Later};
use crate::broker::retained::{Retained, Store};
use crate::broker::session::Session;

/// Steps that a replay takes while the stores and the outbox are locked: about 64 microseconds.
const SLICE: usize = 512;

/// What a message costs that is sent, in steps.
const SEND_STEPS: usize = 2;

/// The retained messages that one subscription is still due.
pub(in crate::broker) struct Replay {
    filter: Box<str>,
    /// The number of the last message that was there at the SUBSCRIBE, for each store that is still to
    /// be walked through; the first one is walked through now.
    stores: VecDeque<(Source, u64)>,
    position: Position,
    /// What the connection could not take yet.
    held: Option<Message>,
    subscription: Arc<Subscription>,
    /// Those of the SUBSCRIBE that it is for: a later one may have changed the subscription's.
    options: Options,
    /// The connection that subscribed: what it got at QoS 0 goes with it.
    epoch: u64,
    charge: Charge,
}

/// Where retained messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Clients,
    /// The broker's own topics.
    Own,
}

/// How far a replay came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Done,
    /// There is more, and the steps are used up.
    More,
    /// The connection takes no more for now.
    Blocked,
}

impl Replay {
    /// A replay to a subscription that a connection asked for; it begins with
    /// [`begin`](Self::begin). Fails where there is no room for another one.
    pub(in crate::broker) fn new(
        filter: &str,
        subscription: Arc<Subscription>,
        options: Options,
        epoch: u64,
        charge: Charge,
    ) -> Self {
        Self {
            filter: filter.into(),
            stores: VecDeque::new(),
            position: Position::default(),
            held: None,
            subscription,
            options,
            epoch,
            charge,
        }
    }

    /// An account for a replay.
    pub(in crate::broker) fn account(filter: &str, context: &Context<'_>) -> Result<Charge, Full> {
        let size = size_of::<Self>() + filter.len();
        Charge::new(context.budget, Kind::Sessions, size)
    }

    fn settle(&mut self) {
        let held = size_of::<Self>() + self.filter.len() + self.position.size();
        self.charge.set(held);
    }

    /// What the SUBSCRIBE makes of a message: RETAIN 1 (MQTT-3.3.1-8), at the QoS that its own answer
    /// granted (MQTT-3.8.4-5).
    fn grant(&self, message: &Message) -> Grant {
        Grant {
            retain: true,
            ..Grant::new(self.options, message.qos(), true)
        }
    }

    /// Whether nothing of it can be due any more: the subscription has ended, or the connection that
    /// all of it would have gone to at QoS 0.
    fn is_void(&self, outbox: &Outbox) -> bool {
        let is_late = !outbox.is_connected_as(self.epoch);
        self.subscription.options().is_none() || (is_late && self.options.qos == QoS::AtMostOnce)
    }

    /// Sends a message. Breaks off where the connection does not take it now; the message is held.
    fn send(&mut self, message: &Message, sending: &mut Sending<'_, '_>) -> ControlFlow<()> {
        let Sending {
            session,
            outbox,
            context,
            dirty,
        } = sending;
        let grant = self.grant(message);
        let is_late = !outbox.is_connected_as(self.epoch);
        if message.is_expired(context.now) || (is_late && grant.qos == QoS::AtMostOnce) {
            return ControlFlow::Continue(());
        }
        if !outbox.takes_replay(grant.qos, message.footprint(), context) {
            self.held = Some(message.clone());
            return ControlFlow::Break(());
        }
        let wake = outbox.offer_replay(&message.publication(), grant, context);
        dirty.charge(SEND_STEPS);
        dirty.delivered(session, wake);
        ControlFlow::Continue(())
    }

    /// Goes on in the store that is next.
    fn go_on(
        &mut self,
        stores: &Stores<'_>,
        parent: HashParent,
        sending: &mut Sending<'_, '_>,
    ) -> Progress {
        if self.is_void(sending.outbox) {
            return Progress::Done;
        }
        if let Some(message) = self.held.take()
            && stores.have(&message)
            && self.send(&message, sending).is_break()
        {
            return Progress::Blocked;
        }
        let Some(&(source, last)) = self.stores.front() else {
            return Progress::Done;
        };
        let (mut position, filter) = (
            std::mem::take(&mut self.position),
            std::mem::take(&mut self.filter),
        );
        let mut steps = SLICE;
        let store = stores.get(source);
        let walk = store.walk(
            &filter,
            parent,
            &mut position,
            &mut steps,
            |message, number| match number <= last {
                true => self.send(message, sending),
                false => ControlFlow::Continue(()),
            },
        );
        sending.dirty.charge(SLICE - steps);
        (self.position, self.filter) = (position, filter);
        if walk == Walk::Done {
            self.stores.pop_front();
            self.position = Position::default();
        }
        self.settle();
        match (&self.held, self.stores.is_empty()) {
            (Some(_), _) => Progress::Blocked,
            (None, true) => Progress::Done,
            (None, false) => Progress::More,
        }
    }
}

/// The stores, locked against writers: a message that is still current cannot be overtaken by its
/// successor, which is delivered only after it was stored.
struct Stores<'a> {
    clients: parking_lot::RwLockReadGuard<'a, Store>,
    own: parking_lot::RwLockReadGuard<'a, Store>,
}

impl Stores<'_> {
    fn get(&self, source: Source) -> &Store {
        match source {
            Source::Clients => &self.clients,
            Source::Own => &self.own,
        }
    }

    /// Whether a message is still the retained one of its topic.
    fn have(&self, message: &Message) -> bool {
        self.clients.is_current(message) || self.own.is_current(message)
    }
}

/// Where a replay goes.
struct Sending<'a, 'b> {
    session: &'a Arc<Session>,
    outbox: &'a mut Outbox,
    context: &'a Context<'b>,
    dirty: &'a mut Dirty,
}

impl Broker {
    /// Where a filter may find retained messages.
    fn sources(&self, filter: &str) -> impl Iterator<Item = (Source, &Retained)> {
        // A wildcard in front matches no topic that starts with `$` (MQTT-4.7.2-1).
        let may_be_own = filter.starts_with("$SYS");
        let own = Some((Source::Own, &self.own_topics)).filter(|_| may_be_own);
        [Some((Source::Clients, &self.retained)), own]
            .into_iter()
            .flatten()
            .filter(|(_, store)| store.len() > 0)
    }

    /// Whether a filter may find anything.
    pub(in crate::broker) fn may_replay(&self, filter: &str) -> bool {
        self.sources(filter).next().is_some()
    }

    /// Notes what there is for a subscription that stands from now on.
    pub(in crate::broker) fn begin_replay(&self, replay: &mut Replay) {
        let sources = self.sources(&replay.filter);
        replay.stores = sources
            .map(|(source, store)| (source, store.last_number()))
            .collect();
    }

    /// Sends retained messages that are due, while there is room and the turn has time.
    pub(in crate::broker) fn replay(
        &self,
        session: &Arc<Session>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        loop {
            let stores = Stores {
                clients: self.retained.read(),
                own: self.own_topics.read(),
            };
            let mut outbox = session.outbox();
            let Some(mut replay) = outbox.take_replay() else {
                return;
            };
            dirty.charge(1);
            let mut sending = Sending {
                session,
                outbox: &mut outbox,
                context,
                dirty,
            };
            let progress = replay.go_on(&stores, self.retained.parent(), &mut sending);
            match progress {
                Progress::Done => {}
                Progress::More | Progress::Blocked => outbox.put_back_replay(replay),
            }
            if progress == Progress::Blocked || !outbox.has_replays() {
                return;
            }
            drop(outbox);
            if dirty.is_spent() {
                return dirty.later(Later::MakeRoom(session.clone()), context);
            }
        }
    }
}

impl Discard for VecDeque<Replay> {
    fn discard(&mut self, count: usize) -> bool {
        self.drain(..count.min(self.len()));
        self.is_empty()
    }
}
