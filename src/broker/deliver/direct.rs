//! Messages that go to one client and nowhere else.

use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::outbox::direct::{Confirmation, Undelivered};
use crate::broker::session::Session;
use crate::broker::turn::{Context, Dirty};
use crate::message::publication::Publication;
use crate::protocol::violation::Violation;

use super::outside::OutsideMessage;

/// Why a message was not sent.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// What a client would be told that published it.
    Refused(Violation),
    Undelivered(Undelivered),
}

impl Broker {
    /// Sends a message to a client that is connected, under the rules that hold for messages: with a
    /// confirmation at QoS 1, without one at QoS 0. It is neither queued nor retained.
    pub(crate) fn send_directly(
        &self,
        session: &Arc<Session>,
        message: &OutsideMessage<'_>,
        confirmation: Option<Confirmation>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<(), NotSent> {
        let refused = NotSent::Refused;
        let section = message.section().map_err(refused)?;
        let publish = self.check_outside(message, &section).map_err(refused)?;
        let mut scratch = Vec::new();
        let mut publication = Publication::new(publish.topic, publish.payload, publish.qos);
        publication.properties = publish.properties.forward(&mut scratch);
        let sent = session
            .outbox()
            .offer_directly(&publication, confirmation, context);
        dirty.note(session, sent.map_err(NotSent::Undelivered)?);
        Ok(())
    }
}
