//! How a connection ends: a CONNECT that is refused, and each cause that ends an established one.

use crate::auth::Principal;
use crate::broker::events::Client;
use crate::broker::{Broker, Context, Dirty, Farewell, Outgoing, compose, compose_within};
use crate::codec::{ConnectError, ReasonCode, Version};
use crate::message::cause::Cause;
use crate::protocol::handshake::Accepted;
use crate::protocol::violation::Violation;

use super::machine::{Active, Connection, Flow, Phase};

/// A client that is refused.
pub(super) struct Applicant<'a> {
    pub(super) version: Version,
    pub(super) client_id: &'a str,
    /// Whom it acts for, as far as that is known.
    pub(super) principal: &'a Principal,
    /// Whether it is told at all.
    pub(super) is_told: bool,
    /// Its Maximum Packet Size.
    pub(super) packet_size: u32,
    /// Whether it takes a Reason String (AWS-M5-13).
    pub(super) problem_information: bool,
}

impl<'a> From<&'a Accepted> for Applicant<'a> {
    fn from(accepted: &'a Accepted) -> Self {
        Self {
            version: accepted.version,
            client_id: &accepted.client_id,
            principal: &accepted.principal,
            is_told: true,
            packet_size: accepted.packet_size,
            problem_information: accepted.problem_information,
        }
    }
}

impl Connection {
    /// Before a client is known there is nobody to answer.
    pub(super) fn reject_unread(
        &mut self,
        broker: &Broker,
        (cause, text): (&'static str, &str),
        context: &Context<'_>,
    ) {
        let (peer, listener) = (self.facts.peer(), self.facts.listener());
        match cause {
            // What the client did, and not what the broker is at.
            "no_connect" => tracing::info!(%peer, listener, "refused: {text}"),
            _ => tracing::debug!(%peer, listener, "refused: {text}"),
        }
        self.note_refusal(text, cause, None, context);
        self.retire(broker, Version::V311, Vec::new());
    }

    /// A CONNECT that cannot be decoded, or whose version is not served (MQTT-3.1.2-1, -2,
    /// MQTT-3.1.4-1; MQTT 3.1.1: MQTT-3.1.2-2).
    pub(super) fn reject_undecoded(
        &mut self,
        broker: &Broker,
        error: &ConnectError,
        context: &Context<'_>,
    ) {
        tracing::info!(peer = %self.facts.peer(), listener = self.facts.listener(), "refused: {error}");
        let code = Some(error.reason() as u8);
        self.note_refusal(&error.to_string(), "refused", code, context);
        let version = error.version().filter(|version| match error {
            ConnectError::UnsupportedVersion { .. } => true,
            // MQTT 3.1.1 has no return code for a malformed packet: it closes.
            ConnectError::Invalid { .. } => *version == Version::V5,
        });
        let mut bytes = Vec::new();
        if let Some(version) = version {
            let reason = error.reason();
            compose(
                &mut bytes,
                version,
                &Outgoing::Refusal { reason, text: None },
            );
        }
        self.retire(broker, version.unwrap_or(Version::V311), bytes);
    }

    /// A CONNECT that is refused for what it asks: the connection is over.
    pub(super) fn reject(
        &mut self,
        broker: &Broker,
        applicant: &Applicant<'_>,
        violation: &Violation,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Flow {
        let Applicant {
            version,
            client_id,
            principal,
            is_told,
            packet_size,
            problem_information,
        } = *applicant;
        tracing::info!(
            client_id,
            peer = %self.facts.peer(),
            listener = self.facts.listener(),
            protocol = version.level(),
            rule = violation.rule,
            "refused: {}", violation.text
        );
        let client = Client {
            client_id,
            principal,
            facts: &self.facts,
            version,
            session: None,
            connections: 0,
            keep_alive: 0,
            expiry: 0,
        };
        broker.tell_of_refusal(client, violation, context, dirty);
        let mut bytes = Vec::new();
        let text = broker.reason_string("CONNACK", &violation.text);
        // A client that is told of a version tries another one, so that is never kept from it. Passwords of users
        // are none of the service's, and refused as the standard has it.
        let is_ever_told = matches!(
            violation.reason,
            ReasonCode::UnsupportedProtocolVersion | ReasonCode::BadUserNameOrPassword
        );
        let closes = broker.config().aws.close_on_refusal_v3 && !is_ever_told;
        let silent = version == Version::V311 && (closes || !has_return_code(violation.reason));
        if is_told && !silent {
            let (text, reason) = (
                Some(&*text).filter(|_| problem_information),
                violation.reason,
            );
            // MQTT-3.2.2-19
            compose_within(&mut bytes, version, packet_size as usize, text, |text| {
                Outgoing::Refusal { reason, text }
            });
        }
        self.retire(broker, version, bytes);
        Flow::End
    }

    /// Ends a connection that never had a session.
    pub(super) fn retire(&mut self, broker: &Broker, version: Version, bytes: Vec<u8>) {
        broker.count_refused();
        let (writer, words) = Farewell::bytes(version, &bytes, broker.budget());
        self.link.mailbox().retire(writer, words);
        self.end(broker);
    }

    /// A violation ends an established connection: DISCONNECT with its reason in MQTT 5
    /// (MQTT-4.13.1-1), just the end in MQTT 3.1.1 (MQTT-4.8.0-1).
    pub(super) fn refuse(
        &mut self,
        broker: &Broker,
        violation: &Violation,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        self.depart(broker, violation.into(), context, dirty);
    }

    /// Ends the connection for this cause.
    pub(crate) fn depart(
        &mut self,
        broker: &Broker,
        cause: Cause,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        if let Phase::Active(active) = &self.phase {
            self.log_end(active, &cause);
            broker.detach(&active.session, active.epoch, cause, context, dirty);
        } else if !matches!(self.phase, Phase::Ended(_)) {
            tracing::debug!(
                peer = %self.facts.peer(),
                listener = self.facts.listener(),
                reason = %cause,
                "ended before CONNECT"
            );
            self.note_early_end(&cause, context);
            // Nobody to say farewell to; the owner still waits for the word that it is over.
            self.retire(broker, Version::V311, Vec::new());
        }
        self.end(broker);
    }

    pub(super) fn log_end(&self, active: &Active, cause: &Cause) {
        tracing::info!(
            client_id = active.session.client_id(),
            peer = %self.facts.peer(),
            listener = self.facts.listener(),
            protocol = active.version.level(),
            by = cause.initiator().name(),
            rule = cause.rule(),
            reason = %cause,
            "disconnected"
        );
    }
}

/// Whether MQTT 3.1.1 has a return code for it; otherwise it closes without CONNACK.
fn has_return_code(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::UnsupportedProtocolVersion
            | ReasonCode::ClientIdentifierNotValid
            | ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::QuotaExceeded
            | ReasonCode::BadUserNameOrPassword
            | ReasonCode::NotAuthorized
            | ReasonCode::Banned
    )
}
