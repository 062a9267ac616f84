//! What callers of the data plane may do: each call is a request of its own, and of no connection.

use std::time::Instant;

use crate::auth::Principal;
use crate::aws::refusals::Deed;
use crate::broker::access::Authorization;
use crate::policy::{Action, Attachment, Context, Details};

use super::Authority;
use super::explanation::Client;
use super::grants::{Grants, Who};

/// What policies are asked about a call.
pub(crate) struct Asked<'a> {
    pub(crate) action: Action,
    /// `topic/a/b`
    pub(crate) resource: String,
    pub(crate) details: Details<'a>,
}

impl Authority {
    /// Why a certificate may not be used at all: it is not registered where it has to be, not active, or outside
    /// its validity (AWS-ID-02).
    #[cfg(feature = "doors")]
    pub(crate) fn turned_away(&self, certificate_id: &str, now: Instant) -> Option<&'static str> {
        let who = Who {
            principal: Principal::Certificate(certificate_id.into()),
            source: Context::default(),
        };
        match self.inner.grants(&who, None, now) {
            Grants::Nothing(why) => Some(why),
            Grants::Everything | Grants::Policies(_) => None,
        }
    }

    /// Keeps the refusal of a call: by the policies of whoever makes it, or because that is not known.
    pub(crate) fn note_call(
        &self,
        principal: Option<&Principal>,
        source: Context,
        (action, resource): (&str, &str),
        why: &str,
        now: Instant,
    ) {
        let who = Who {
            principal: principal.cloned().unwrap_or_default(),
            source,
        };
        let deed = Deed {
            action,
            resource,
            is_by_policy: principal.is_some(),
            ..Deed::default()
        };
        self.inner.note(&who, deed, why, now);
    }

    /// Whether a caller may have all that is asked for, by what its authorizer says if one was asked.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn permit(
        &self,
        caller: Client,
        authorization: Option<&Authorization>,
        asked: &[Asked<'_>],
        now: Instant,
    ) -> Result<(), String> {
        let who = Who {
            principal: caller.principal,
            source: caller.source,
        };
        let grants = match authorization {
            Some(authorization) => self.inner.authorized(&who, authorization),
            None => self.inner.grants(&who, None, now),
        };
        let mut bound = match grants {
            Grants::Everything => return Ok(()),
            Grants::Nothing(why) => return Err(why.to_owned()),
            Grants::Policies(bound) => bound,
        };
        // AWS-ID-42
        bound.context.thing = Attachment::Unknown;
        let time = self.inner.seconds(now);
        asked.iter().try_for_each(|asked| {
            let mut request = bound.request(asked.action, &asked.resource, time);
            request.details = asked.details;
            bound.check(&request)
        })
    }
}
