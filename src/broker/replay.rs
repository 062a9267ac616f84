//! Retained messages on their way to a new subscription: a walk through the store that goes on as the
//! receiver takes them, not a list of what it will get.
//!
//! A message that was retained after the SUBSCRIBE reached the subscription when it was published, so
//! the walk leaves it out: messages are numbered in the order in which they were stored, and a replay
//! knows the number that was the last one when it began.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::codec::QoS;
use crate::message::publication::Message;
use crate::topic::{HashParent, Position, Walk};

use super::Broker;
use super::outbox::Outbox;
use super::outbox::replay::{Replay, Source};
use super::retained::{Retained, Store};
use super::session::Session;
use super::turn::{Context, Dirty, Later};

/// Steps that a replay takes while the stores and the outbox are locked: about 64 microseconds.
const SLICE: usize = 512;

/// What a message costs that is sent, in steps.
const SEND_STEPS: usize = 2;

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
    pub(super) fn may_replay(&self, filter: &str) -> bool {
        self.sources(filter).next().is_some()
    }

    /// Notes what there is for a subscription that stands from now on.
    pub(super) fn begin_replay(&self, replay: &mut Replay) {
        let sources = self.sources(&replay.filter);
        replay.stores = sources
            .map(|(source, store)| (source, store.last_number()))
            .collect();
    }

    /// Sends retained messages that are due, while there is room and the turn has time.
    pub(super) fn replay(&self, session: &Arc<Session>, context: &Context<'_>, dirty: &mut Dirty) {
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
