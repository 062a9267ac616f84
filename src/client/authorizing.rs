//! Clients that an authorizer is asked about: at CONNECT, again from time to time, and no longer than it says
//! (AWS-AUTH-01 to -07). Nor does a connection over WebSocket last longer than others may say (AWS-ENDP-15).

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::auth::Principal;
use crate::broker::access::Authorization;
use crate::broker::{Broker, ConnectionFacts, Context, Dirty};
use crate::codec::{Connect, ReasonCode};
use crate::message::cause::Cause;
use crate::protocol::handshake::Accepted;
use crate::protocol::violation::Violation;

use super::connecting::Findings;
use super::machine::{Connection, Credentials, Flow, Inquiry, Phase, Verdict};

/// When an authorizer is asked again that nobody got to ask.
const PAUSE: Duration = Duration::from_secs(10);

/// What a client has presented to an authorizer. It is presented again whenever that is asked.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) credentials: Credentials,
    /// If it sent one.
    pub(crate) client_id: Option<Box<str>>,
    pub(crate) facts: Arc<ConnectionFacts>,
    /// What the authorizer knows the connection by. Whoever asks first gives it.
    pub(crate) id: OnceLock<Uuid>,
}

/// For how long a connection lasts, and goes by what its authorizer said.
#[derive(Default)]
pub(super) struct Lease {
    /// It is not kept where the authorizer is not asked again.
    application: Option<Arc<Application>>,
    /// The connection ends then; unknown before the first answer.
    ends_at: Option<Instant>,
    /// It does then as well, as it is one over WebSocket.
    websocket_ends_at: Option<Instant>,
    /// The authorizer is asked again then; it is not, or is being asked, without.
    refresh_at: Option<Instant>,
}

impl Lease {
    /// Has the authorizer asked again after so long, or never.
    fn ask_again(&mut self, after: Option<Duration>, now: Instant) {
        self.refresh_at = after.map(|after| now + after);
        if after.is_none() {
            self.application = None;
        }
    }

    /// When there is something to be done next.
    fn next(&self) -> Option<Instant> {
        let ends = [self.ends_at, self.websocket_ends_at, self.refresh_at];
        ends.into_iter().flatten().min()
    }
}

impl Connection {
    fn lease(&mut self) -> Option<&mut Lease> {
        self.seldom.as_mut()?.lease.as_deref_mut()
    }

    /// Asks the authorizer of a client that has no principal of its own, if it has one.
    pub(super) fn is_authorized_by_others(&self, broker: &Broker, connect: &Connect<'_>) -> bool {
        let access = broker.access();
        access.is_some_and(|access| access.is_authorized_by_others(connect.username, &self.facts))
    }

    /// Has an authorizer asked whom a client is.
    pub(super) fn apply(
        &mut self,
        accepted: Accepted,
        connect: &Connect<'_>,
        credentials: Credentials,
    ) -> Flow {
        let client_id = Some(connect.client_id).filter(|id| !id.is_empty());
        let application = Arc::new(Application {
            credentials,
            client_id: client_id.map(Into::into),
            facts: self.facts.clone(),
            id: OnceLock::new(),
        });
        let lease = Lease {
            application: Some(application.clone()),
            ..Lease::default()
        };
        self.seldom.get_or_insert_default().lease = Some(Box::new(lease));
        self.phase = Phase::Asking(Box::new(accepted));
        Flow::Ask(Inquiry::Authorization(application))
    }

    /// The client is whom its authorizer says it is.
    pub(super) fn authorized(
        &mut self,
        broker: &Broker,
        mut accepted: Accepted,
        authorization: Arc<Authorization>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        accepted.principal = Principal::Authorized(authorization.principal.clone());
        if let Some(lease) = self.lease() {
            lease.ends_at = Some(context.live + authorization.disconnect_after);
            lease.ask_again(authorization.refresh_after, context.live);
        }
        let findings = Findings {
            authorization: Some(authorization),
            ..Findings::default()
        };
        self.establish(broker, accepted, findings, context, dirty)
    }

    /// Has a connection over WebSocket end after as long as one may last.
    pub(super) fn limit_websocket(&mut self, broker: &Broker, now: Instant) {
        let lifetime = broker.config().aws.websocket_lifetime;
        if let Some(lifetime) = lifetime.filter(|_| self.facts.is_websocket) {
            let seldom = self.seldom.get_or_insert_default();
            let lease = seldom.lease.get_or_insert_default();
            lease.websocket_ends_at = now.checked_add(lifetime);
        }
    }

    /// Wakes the owner when there is something to be done about its lease, if it has one.
    pub(super) fn watch_lease(&mut self, broker: &Broker) {
        let next = self.lease().and_then(|lease| lease.next());
        if next.is_none() && self.seldom.is_none() {
            return;
        }
        let timer = next.map(|at| broker.wake_at(at, &self.link));
        let seldom = self.seldom.get_or_insert_default();
        seldom
            .done_with
            .extend(std::mem::replace(&mut seldom.lease_timer, timer));
    }

    /// Ends the connection of a client whose time is up, or has its authorizer asked again. Until the answer,
    /// what it said before holds.
    pub(super) fn see_to_lease(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= context.live);
        let Some(lease) = self.lease() else {
            return Flow::Continue;
        };
        if is_due(lease.ends_at) {
            self.depart(broker, Cause::AuthorizationExpired, context, dirty);
            return Flow::End;
        }
        if is_due(lease.websocket_ends_at) {
            self.depart(broker, Cause::WebSocketExpired, context, dirty);
            return Flow::End;
        }
        if !is_due(lease.refresh_at) {
            return Flow::Continue;
        }
        lease.refresh_at = None;
        let application = lease.application.clone();
        self.watch_lease(broker);
        application.map_or(Flow::Continue, |application| {
            Flow::Ask(Inquiry::Authorization(application))
        })
    }

    /// Goes on after the authorizer of a connected client was asked again.
    pub(super) fn renewed(
        &mut self,
        broker: &Broker,
        verdict: Verdict,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let Phase::Active(active) = &self.phase else {
            return Flow::Continue;
        };
        let after = match verdict {
            // Whom the session belongs to stays.
            Verdict::Authorized(authorization) => {
                if let Some(permissions) = &active.permissions {
                    permissions.renew(&authorization);
                    broker.review_access(context, dirty);
                }
                authorization.refresh_after
            }
            Verdict::Unauthorized(text) => {
                let violation = Violation::new(ReasonCode::NotAuthorized, "AWS-AUTH-06", text);
                self.refuse(broker, &violation, context, dirty);
                return Flow::End;
            }
            Verdict::Valid | Verdict::Invalid | Verdict::Enrolled | Verdict::Busy => Some(PAUSE),
        };
        if let Some(lease) = self.lease() {
            lease.ask_again(after, context.live);
        }
        self.watch_lease(broker);
        Flow::Continue
    }
}
