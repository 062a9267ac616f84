//! Packet rules and the journal, as far as the broker has a part in them: what happens to clients is written down,
//! packets are sent to a client by its name, rules end by the broker's clock, and the journal has messages.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Instant;

use crate::message::cause::Initiator;
use crate::tap::journal::{Happened, RowEnd};
use crate::tap::line::Line;
use crate::tap::rule::{Direction, Injected, Rule};
use crate::tap::rules::RuleError;
use crate::tap::tls::TlsInfo;

use super::Broker;
use super::events::{Client, What};
use super::facts::{ConnectionFacts, TlsFacts};
use super::lifecycle::Timer;
use super::outbox::link::waker;
use super::session::{Session, Slot};
use super::turn::Context;
use super::watch::Subject;

impl Broker {
    /// Has the journal written from now on, or no more. What is in it stays.
    pub(crate) fn switch_journal(&self, is_on: bool) {
        if self.tap.switch_journal(is_on) {
            self.observers.note_journal(is_on);
            // Whoever reads its messages reads no more.
            self.watch.note(Subject::Captures);
        }
    }

    /// Sets a rule. Returns its number.
    pub(crate) fn add_rule(&self, rule: Rule, now: Instant) -> Result<u64, RuleError> {
        let added = self.tap.add_rule(rule, now);
        self.see_rules_end(now);
        added
    }

    /// Removes a rule, by its number or its name. What it holds stays held. Whether there was one.
    pub(crate) fn remove_rule(&self, key: &str, now: Instant) -> bool {
        let is_removed = self.tap.remove_rule(key, now);
        self.see_rules_end(now);
        is_removed
    }

    /// Removes all rules. What they hold stays held. Returns how many there were.
    pub(crate) fn clear_rules(&self, now: Instant) -> usize {
        let removed = self.tap.clear_rules();
        self.see_rules_end(now);
        removed
    }

    /// Rules, what they hold and the rows of the journal are gone.
    pub(crate) fn reset_tap(&self, now: Instant) {
        self.tap.reset();
        self.see_rules_end(now);
    }

    /// Ends rules whose time is over, and looks when the next one ends.
    pub(super) fn see_rules_end(&self, now: Instant) {
        // Behind the lock, so that whoever comes last sees all rules.
        let mut kept = self.rules_end.lock();
        let next = self.tap.expire_rules(now);
        if kept.map(|(at, _)| at) != next {
            let timer = next.map(|at| (at, self.schedule.arm(at, Timer::EndOfRule)));
            if let Some((_, earlier)) = std::mem::replace(&mut *kept, timer) {
                self.schedule.cancel(earlier);
            }
        }
    }

    /// Has a packet arrive at a client, or from it, that nobody sent. Whether the client is connected, and
    /// there is room for the packet.
    pub(crate) fn inject(
        &self,
        client_id: &str,
        direction: Direction,
        packet: &Injected,
        now: Instant,
    ) -> bool {
        let line = self.find(client_id).and_then(|session| {
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
        let line = line.or_else(|| facts?.witness(&self.tap, context.now).cloned());
        if let Some(line) = line {
            if matches!(what, What::Detached(_)) {
                // Whoever sees that it has ended finds nothing held for it.
                self.tap.end(&line);
            }
            let (client_id, version) = (session.client_id(), slot.version);
            let what = || happened(what, facts.map(|facts| &**facts));
            self.tap
                .note_event(&line, client_id, version, what, context.now);
        }
    }

    /// Writes that a client does not get in.
    #[cold]
    pub(super) fn note_refusal(&self, client: Client<'_>, what: &What<'_>, context: &Context<'_>) {
        if let Some(line) = client.facts.open_line() {
            let (client_id, version) = (client.client_id, client.version);
            let what = || happened(what, Some(client.facts));
            self.tap
                .note_event(line, client_id, version, what, context.now);
        }
    }
}

impl Broker {
    /// Writes that a connection is closed as soon as it was accepted.
    pub(crate) fn note_closed_at_once(
        &self,
        listener: &'static str,
        peer: &dyn Display,
        cause: &'static str,
        text: impl FnOnce() -> String,
        now: Instant,
    ) {
        let what = || Happened {
            name: "refused",
            text: text(),
            end: Some(RowEnd::new(Initiator::Broker.name(), cause, None)),
            ..Happened::default()
        };
        self.tap.note_early_end(listener, peer, what, now);
    }

    /// Writes that a connection ends before MQTT begins on it: the broker refuses it, or it is closed.
    #[cfg(feature = "websocket")]
    pub(crate) fn note_no_mqtt(
        &self,
        facts: &ConnectionFacts,
        end: NoMqtt,
        text: impl FnOnce() -> String,
        now: Instant,
    ) {
        let (name, by, cause) = match end {
            NoMqtt::Refused(cause) => ("refused", Initiator::Broker, cause),
            NoMqtt::Lost => ("closed_before_connect", Initiator::Network, "lost"),
        };
        let what = || Happened {
            name,
            text: text(),
            end: Some(RowEnd::new(by.name(), cause, None)),
            tls: facts.tls().map(TlsInfo::from),
            failure: None,
        };
        self.tap
            .note_early_end(facts.listener(), &facts.peer(), what, now);
    }
}

/// How a connection ends on which MQTT does not begin.
#[cfg(feature = "websocket")]
#[derive(Clone, Copy)]
pub(crate) enum NoMqtt {
    /// By the broker, for a cause of this name.
    Refused(&'static str),
    /// It was closed, or broke.
    Lost,
}

/// An event as the journal has it.
fn happened(what: &What<'_>, facts: Option<&ConnectionFacts>) -> Happened {
    let end = match what {
        What::Detached(cause) => {
            let code = cause.code().map(|code| code as u8);
            Some(RowEnd::new(cause.initiator().name(), cause.name(), code))
        }
        What::Refused(violation) => {
            let code = Some(violation.reason as u8);
            Some(RowEnd::new(Initiator::Broker.name(), "refused", code))
        }
        What::Attached | What::Subscribed(_) | What::Unsubscribed(_) => None,
    };
    let tls = match what {
        What::Attached | What::Refused(_) => facts.and_then(|facts| facts.tls()),
        What::Detached(_) | What::Subscribed(_) | What::Unsubscribed(_) => None,
    };
    Happened {
        name: name_of(what),
        text: in_words(what),
        end,
        tls: tls.map(TlsInfo::from),
        failure: None,
    }
}

impl From<&TlsFacts> for TlsInfo {
    fn from(facts: &TlsFacts) -> Self {
        let details = &facts.details;
        Self {
            version: Some(details.version),
            cipher: Some(details.cipher.to_owned()),
            sni: facts.sni.as_deref().map(str::to_owned),
            alpn: details.alpn.as_deref().map(str::to_owned),
            certificate_id: facts.certificate_id.as_deref().map(str::to_owned),
            common_name: details.common_name.as_deref().map(str::to_owned),
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
