//! Packet rules and the journal, as far as they are about sessions: what happens to clients is written down,
//! and packets are sent to a client by its name.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use crate::tap::line::Line;
use crate::tap::rule::{Direction, Injected};

use super::Broker;
use super::events::{Client, What};
use super::outbox::link::waker;
use super::session::{Session, Slot};
use super::turn::Context;

impl Broker {
    /// Has a packet arrive at a client, or from it, that nobody sent. Whether the client is connected, and
    /// there is room for the packet.
    pub(crate) fn inject(
        &self,
        client_id: &str,
        direction: Direction,
        packet: &Injected,
        now: Instant,
    ) -> bool {
        let session = self
            .sessions
            .get(client_id)
            .map(|found| found.value().clone());
        let line = session.and_then(|session| {
            let slot = session.slot();
            self.line_of(&session, &slot, now)
        });
        line.is_some_and(|line| line.inject(&self.tap, direction, packet))
    }

    /// The connection of a session, as rules and the journal see it.
    fn line_of(&self, session: &Session, slot: &Slot, now: Instant) -> Option<Arc<Line>> {
        let facts = slot.facts.as_ref()?;
        let link = session.outbox().link()?;
        facts.line(&self.tap, now, || waker(&link)).cloned()
    }

    /// Writes what happened to a session whose slot is locked.
    #[cold]
    pub(super) fn note_session(
        &self,
        session: &Session,
        slot: &Slot,
        what: &What<'_>,
        context: &Context<'_>,
    ) {
        let facts = slot.facts.as_ref();
        let line = facts.and_then(|facts| facts.open_line().cloned());
        let line = line.or_else(|| self.line_of(session, slot, context.now));
        if let Some(line) = line {
            let (client_id, version) = (session.client_id(), slot.version);
            let (name, text) = (name_of(what), || in_words(what));
            self.tap
                .note_event(&line, client_id, version, name, text, context.now);
        }
    }

    /// Writes that a client does not get in.
    #[cold]
    pub(super) fn note_refusal(&self, client: Client<'_>, what: &What<'_>, context: &Context<'_>) {
        if let Some(line) = client.facts.open_line() {
            let (name, text) = (name_of(what), || in_words(what));
            self.tap.note_event(
                line,
                client.client_id,
                client.version,
                name,
                text,
                context.now,
            );
        }
    }
}

/// What the event is called in the journal.
fn name_of(what: &What<'_>) -> &'static str {
    match what {
        What::Attached => "connected",
        What::Detached(_) => "disconnected",
        What::Subscribed(_) => "subscribed",
        What::Unsubscribed(_) => "unsubscribed",
        What::Refused(_) => "refused",
    }
}

/// What the journal says of an event besides.
fn in_words(what: &What<'_>) -> String {
    let mut text = String::new();
    // A String takes everything.
    let _ = match what {
        What::Attached => Ok(()),
        What::Detached(cause) => write!(text, "by {}: {cause}", cause.initiator().name()),
        What::Subscribed(filters) | What::Unsubscribed(filters) => {
            write!(text, "{}", filters.join(", "))
        }
        What::Refused(violation) => write!(text, "{} ({})", violation.text, violation.rule),
    };
    text
}
