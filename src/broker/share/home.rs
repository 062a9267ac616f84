//! Where a message goes that its group gives up, or whose session comes back and is no member any more: to the session
//! that had it, which has not acknowledged it (MQTT-3.10.4-3; design 3, rules 4 and 8).

use std::sync::{Arc, Weak};

use crate::codec::{PacketId, QoS};
use crate::message::delivery::{Delivery, Retain, SubscriptionIds};
use crate::message::publication::Message;

use super::super::outbox::Surrendered;
use super::super::session::Session;
use super::super::turn::{Context, Dirty, Later};
use super::Group;
use super::backlog::{Backlog, Waiting};

/// What it costs to send a message home, in steps.
const HOME_STEPS: usize = 4;

/// The session that a message came back from, and what its subscription made of it.
pub(super) struct Home {
    session: Weak<Session>,
    retain: Retain,
    subscription_ids: SubscriptionIds,
}

impl Home {
    /// The home of what `owner` had.
    pub(super) fn new(owner: &Arc<Session>, surrendered: &Surrendered) -> Self {
        Self {
            session: Arc::downgrade(owner),
            retain: surrendered.delivery.retain,
            subscription_ids: surrendered.delivery.subscription_ids.clone(),
        }
    }

    /// Makes a message its session's own, under the identifier that it had. Returns the session, unless that has ended.
    fn take(
        self,
        packet_id: PacketId,
        message: &Message,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Option<Arc<Session>> {
        dirty.charge(HOME_STEPS);
        let session = self.session.upgrade()?;
        let delivery = Delivery {
            message: message.clone(),
            qos: QoS::AtLeastOnce,
            retain: self.retain,
            subscription_ids: self.subscription_ids,
        };
        let is_taken = session.outbox().take_home(packet_id, delivery, context);
        is_taken.then_some(session)
    }
}

/// What waited in a group that nobody waits for any more, as far as it has a home.
pub(in crate::broker) struct Leftovers {
    backlog: Backlog,
    /// The group that counts what is lost, unless it has ended.
    group: Option<Arc<Group>>,
}

impl Leftovers {
    /// Sends a message home. Returns whether it is lost and nobody has counted that; `None` if none is left, and the others
    /// are dropped.
    pub(in crate::broker) fn send_one_home(
        &mut self,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Option<bool> {
        let Some((waiting, home)) = self.backlog.take_any_returned() else {
            discard(std::mem::take(&mut self.backlog), context);
            return None;
        };
        let is_lost = !send_home(&waiting, home, context, dirty);
        let group = self.group.as_ref().filter(|_| is_lost);
        Some(is_lost && !group.is_some_and(|group| group.count_lost()))
    }
}

/// Sends a message to its home. Returns whether it was taken there.
pub(super) fn send_home(
    waiting: &Waiting,
    home: Home,
    context: &Context<'_>,
    dirty: &mut Dirty,
) -> bool {
    let Some(session) = give_home(waiting, home, context, dirty) else {
        return false;
    };
    if session.outbox().is_reachable() {
        dirty.later(Later::MakeRoom(session), context);
    }
    true
}

/// The same for a session that is about to make room.
pub(super) fn give_home(
    waiting: &Waiting,
    home: Home,
    context: &Context<'_>,
    dirty: &mut Dirty,
) -> Option<Arc<Session>> {
    let packet_id = waiting.returned?.packet_id;
    home.take(packet_id, &waiting.message, context, dirty)
}

/// Throws away what waited in a group, but for what goes home. Returns how many messages are lost.
pub(super) fn give_up(
    backlog: Backlog,
    group: Option<Arc<Group>>,
    context: &Context<'_>,
    dirty: &mut Dirty,
) -> usize {
    let (all, homes) = (backlog.len(), backlog.homes());
    match homes {
        0 => discard(backlog, context),
        _ => {
            let leftovers = Leftovers { backlog, group };
            dirty.later(Later::Homecoming(Box::new(leftovers)), context);
        }
    }
    all.saturating_sub(homes)
}

fn discard(backlog: Backlog, context: &Context<'_>) {
    let (line, blocked, returned) = backlog.into_parts();
    context.discard(line);
    context.discard(blocked);
    context.discard(returned);
}
