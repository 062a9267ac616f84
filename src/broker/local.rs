//! A subscriber in the same process: a session like any other, whose link is not a socket.

use std::iter;
use std::sync::Arc;

use crate::auth::Principal;
use crate::codec::{PacketId, QoS, ReasonCode, SubscribeOptions, Version};
use crate::message::cause::Cause;
use crate::protocol::rules;
use crate::protocol::violation::Violation;

use super::Broker;
use super::facts::{ConnectionFacts, PeerAddr};
use super::history::{FilterAnswers, HistoryEvent};
use super::lifecycle::{ConnectRequest, NotAttached, Takeover};
use super::outbox::Peer;
use super::outbox::link::Link;
use super::session::Session;
use super::subscribe::{Due, Request};
use super::turn::{Context, Dirty};

/// A session without a network connection. It ends with [`Broker::close_local`].
pub(crate) struct LocalSession {
    pub(crate) session: Arc<Session>,
    epoch: u64,
}

fn refused(reason: ReasonCode) -> Violation {
    Violation::new(reason, "limits", reason.name())
}

impl Broker {
    /// Opens a session. `listener` is what stands for its listener.
    pub(crate) fn open_local(
        &self,
        client_id: &str,
        listener: &'static str,
        link: &Arc<dyn Link>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<LocalSession, Violation> {
        let request = ConnectRequest {
            client_id,
            principal: Principal::Program,
            version: Version::V5,
            clean_start: true,
            expiry: 0,
            keep_alive: 0,
            will: &mut None,
            peer: Peer {
                version: Version::V5,
                window: self.config.limits.in_flight,
                packet_size: u32::MAX,
                topic_aliases: 0,
                problem_information: true,
                retain_as_published: true,
            },
            facts: Arc::new(ConnectionFacts::new(listener, PeerAddr::Memory, None)),
            permissions: None,
            takeover: Takeover::AtOnce,
        };
        let attached = self
            .connect(request, link, |_| Vec::new(), context, dirty)
            .map_err(|error| match error {
                NotAttached::Refused(reason) => refused(reason),
                NotAttached::Awaited => refused(ReasonCode::ServerBusy),
                NotAttached::Unreachable => refused(ReasonCode::ServerUnavailable),
            })?;
        Ok(LocalSession {
            session: attached.session,
            epoch: attached.epoch,
        })
    }

    /// Subscribes it, or changes the options of what it subscribes to already. `id` is the Subscription Identifier.
    pub(crate) fn subscribe_local(
        &self,
        local: &LocalSession,
        filter: &str,
        options: SubscribeOptions,
        id: Option<u32>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<(), Violation> {
        let filter = rules::check_filter(filter, &self.config)?;
        let request = Request {
            filter,
            options,
            id,
        };
        let mut due = Due::default();
        let reason = self.subscribe(
            &local.session,
            local.epoch,
            &request,
            &mut due,
            context,
            dirty,
        );
        let answers = FilterAnswers::new(iter::once(request.filter.full), &[reason]);
        self.note_history(&local.session, HistoryEvent::Subscribed(answers), context);
        if reason.is_error() {
            return Err(refused(reason));
        }
        self.hand_out(&local.session, due, context, dirty);
        Ok(())
    }

    /// Ends one of its subscriptions. Whether there was one.
    #[cfg(feature = "http")]
    pub(crate) fn unsubscribe_local(
        &self,
        local: &LocalSession,
        filter: &str,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<bool, Violation> {
        let filter = rules::check_filter(filter, &self.config)?;
        let reason = self.unsubscribe(&local.session, local.epoch, &filter, context, dirty);
        let answers = FilterAnswers::new(iter::once(filter.full), &[reason]);
        self.note_history(&local.session, HistoryEvent::Unsubscribed(answers), context);
        Ok(reason == ReasonCode::Success)
    }

    /// The subscriber has taken a message of QoS 1 or 2.
    pub(crate) fn acknowledge_local(
        &self,
        local: &LocalSession,
        id: PacketId,
        qos: QoS,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        {
            let mut outbox = local.session.outbox();
            if qos == QoS::ExactlyOnce {
                outbox.receive_pubrec(id);
                outbox.receive_pubcomp(id);
            } else {
                outbox.acknowledge(id, qos);
            }
        }
        self.make_room(&local.session, context, dirty);
    }

    /// Ends the session.
    pub(crate) fn close_local(
        &self,
        local: &LocalSession,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        self.detach(&local.session, local.epoch, Cause::Dropped, context, dirty);
    }
}
