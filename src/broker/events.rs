//! What happens to clients, told to whoever listens, as it happens. A broker without a listener tells
//! nobody and composes nothing.
//!
//! | event | who tells of it |
//! | --- | --- |
//! | a session has a connection, has none any more | [`lifecycle`](super::lifecycle) |
//! | SUBSCRIBE, UNSUBSCRIBE | `client::subscribing` |
//! | a CONNECT is refused | `client::refusing` |

use std::sync::Arc;

use crate::auth::Principal;
use crate::codec::{QoS, Version};
use crate::message::cause::Cause;
use crate::message::publication::Publication;
use crate::protocol::violation::Violation;

use super::Broker;
use super::deliver::outside::Source;
use super::deliver::{Origin, Run};
use super::facts::ConnectionFacts;
use super::history::HistoryEvent;
use super::last_end::kept_reason;
use super::session::{Session, Slot};
use super::turn::{Context, Dirty};

/// Listens to what happens to clients.
pub(crate) trait Events: Send + Sync {
    /// Something happened. The client's session is locked meanwhile, so that events of one client come in
    /// their order: nothing may be asked of sessions here, but messages may be delivered.
    fn note(&self, event: &Event<'_>, broker: &Broker, context: &Context<'_>, dirty: &mut Dirty);

    /// Whether it is to be told of SUBSCRIBE and UNSUBSCRIBE.
    fn hears_of_subscriptions(&self) -> bool;
}

/// Something that happened to a client.
pub(crate) struct Event<'a> {
    pub(crate) client: Client<'a>,
    pub(crate) what: What<'a>,
}

/// Whom it happened to.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) principal: &'a Principal,
    pub(crate) facts: &'a ConnectionFacts,
    pub(crate) version: Version,
    /// Tells the session from all others of this broker; `None` where there is none.
    pub(crate) session: Option<u64>,
    /// Connections that the session had before.
    pub(crate) connections: u64,
    /// The Keep Alive that it asked for, in seconds.
    #[cfg_attr(
        all(feature = "aws", not(feature = "http")),
        expect(dead_code, reason = "told over HTTP")
    )]
    pub(crate) keep_alive: u16,
    /// How long its session outlives the connection, in seconds.
    pub(crate) expiry: u32,
}

/// What happened.
#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    /// The client has its session.
    Attached,
    /// The connection ended, for this cause.
    Detached(&'a Cause),
    /// The client subscribed to these filters, with their `$share/` and all.
    Subscribed(&'a [&'a str]),
    Unsubscribed(&'a [&'a str]),
    /// The client does not get in.
    Refused(&'a Violation),
}

impl Broker {
    /// Has `events` told what happens, too.
    #[must_use]
    pub(crate) fn with_events(mut self, events: Arc<dyn Events>) -> Self {
        self.events.push(events);
        self
    }

    /// Whether somebody is to be told of SUBSCRIBE and UNSUBSCRIBE.
    pub(crate) fn tells_of_subscriptions(&self) -> bool {
        self.tap.active().is_some()
            || self
                .events
                .iter()
                .any(|events| events.hears_of_subscriptions())
    }

    /// Tells of something that happens to a session whose slot is locked, while it has its connection.
    pub(super) fn tell_of(
        &self,
        session: &Session,
        slot: &Slot,
        what: What<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        if context.tap.is_some() {
            self.note_session(session, slot, &what, context);
        }
        let Some(facts) = slot.facts.as_ref().filter(|_| !self.events.is_empty()) else {
            return;
        };
        let client = Client {
            client_id: session.client_id(),
            principal: slot.principal(),
            facts,
            version: slot.version,
            session: Some(session.id),
            // The epoch counts both ends of a connection.
            connections: slot.epoch / 2,
            keep_alive: slot.keep_alive,
            expiry: slot.expiry,
        };
        for events in &self.events {
            events.note(&Event { client, what }, self, context, dirty);
        }
    }

    /// Tells of something that a client did on the connection of `epoch`.
    pub(crate) fn tell_of_packet(
        &self,
        session: &Session,
        epoch: u64,
        what: What<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let slot = session.slot();
        if slot.epoch == epoch {
            self.tell_of(session, &slot, what, context, dirty);
        }
    }

    /// Publishes a message of the broker itself about an event, at QoS 1 while there is memory for it to
    /// wait.
    pub(crate) fn publish_event(
        &self,
        topic: &str,
        payload: &[u8],
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let size = topic.len() + payload.len();
        let qos = match context.budget.admits_message(size) {
            true => QoS::AtLeastOnce,
            false => QoS::AtMostOnce,
        };
        let mut publication = Publication::new(topic, payload, qos);
        Source::Local.note(&mut publication, context);
        self.deliver_and_forget(Origin::Own, Run::one(&publication), context, dirty);
    }

    /// Tells of a client that does not get in.
    pub(crate) fn tell_of_refusal(
        &self,
        client: Client<'_>,
        violation: &Violation,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        if context.tap.is_some() {
            self.note_refusal(client, &What::Refused(violation), context);
        }
        let refused = HistoryEvent::Refused {
            listener: client.facts.listener(),
            code: violation.reason,
            reason: kept_reason(&violation.text),
        };
        let client_id = Arc::from(client.client_id);
        self.history.keep(&client_id, context.now, refused);
        for events in &self.events {
            let what = What::Refused(violation);
            events.note(&Event { client, what }, self, context, dirty);
        }
    }
}
