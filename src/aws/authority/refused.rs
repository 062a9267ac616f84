//! Clients that are refused before policies are asked: by an authorizer, or for their user name and password.

use crate::broker::Broker;
use crate::broker::events::{Event, Events, What};
use crate::broker::{Context as Turn, Dirty};
use crate::codec::ReasonCode;
use crate::policy::Context;

use super::super::refusals::Deed;
use super::Authority;
use super::grants::{CONNECT_REFUSED, Who};

impl Events for Authority {
    fn note(&self, event: &Event<'_>, _: &Broker, context: &Turn<'_>, _: &mut Dirty) {
        let What::Refused(violation) = event.what else {
            return;
        };
        let is_about_rights = matches!(
            violation.reason,
            ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword | ReasonCode::Banned
        );
        // What policies refuse is kept where they are asked, with what they were asked.
        if !is_about_rights || violation.rule == CONNECT_REFUSED {
            return;
        }
        let client = event.client;
        let tls = client.facts.tls();
        let who = Who {
            principal: client.principal.clone(),
            source: Context {
                client_id: Some(client.client_id.to_owned()),
                source_ip: client.facts.peer().socket_addr().map(|peer| peer.ip()),
                domain_name: tls.and_then(|tls| tls.sni.as_deref().map(str::to_owned)),
                ..Context::default()
            },
        };
        let deed = Deed {
            action: "connect",
            resource: client.client_id,
            ..Deed::default()
        };
        self.inner.note(&who, deed, &violation.text, context.now);
    }

    fn hears_of_subscriptions(&self) -> bool {
        false
    }
}
