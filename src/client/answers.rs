//! Answers to the client's own packets, in a form that it can take.

use crate::broker::{Broker, Context, Dirty, Outgoing, compose_acks, compose_within, pool};
use crate::codec::{AckKind, PacketId, ReasonCode, SHORT_ACK, Version};
use crate::protocol::violation::Violation;

use super::machine::Active;

/// Encoded answers of the batch that is being handled.
#[derive(Default)]
pub(super) struct Answers(Vec<u8>);

impl Answers {
    /// Where to append one.
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.0.capacity() == 0 {
            self.begin();
        }
        &mut self.0
    }

    /// Once in a batch, and so kept out of what each answer costs.
    #[cold]
    fn begin(&mut self) {
        self.0 = pool::take();
    }
}

impl Active {
    /// Moves the answers of this batch into the outbox. Returns how many bytes of answers, old ones
    /// included, have not left yet.
    pub(super) fn send_answers(&mut self, context: &Context<'_>, dirty: &mut Dirty) -> usize {
        let mut outbox = self.session.outbox();
        if !self.answers.0.is_empty() {
            let wake = outbox.answer(self.epoch, &self.answers.0, context);
            dirty.note(&self.session, wake);
        }
        let unsent = outbox.unsent_answers();
        drop(outbox);
        // An idle connection keeps no buffer.
        pool::keep(std::mem::take(&mut self.answers.0));
        unsent
    }

    /// Composes an answer with a Reason String if the client takes one (MQTT-3.1.2-29) and it fits
    /// (MQTT-3.1.2-24), else without; an answer that does not fit at all ends the connection.
    #[inline]
    pub(super) fn answer<'a>(
        &mut self,
        text: Option<&'a str>,
        packet: impl Fn(Option<&'a str>) -> Outgoing<'a>,
    ) -> Result<(), Violation> {
        let text = text.filter(|_| self.problem_information && self.version == Version::V5);
        let answers = self.answers.buffer();
        let packet_size = self.packet_size as usize;
        match compose_within(answers, self.version, packet_size, text, packet) {
            Some(_) => Ok(()),
            None => Err(answer_is_too_large()),
        }
    }

    /// Acknowledges each of some packets without words.
    #[inline]
    pub(super) fn answer_all(
        &mut self,
        kind: AckKind,
        ids: &[PacketId],
        reason: ReasonCode,
    ) -> Result<(), Violation> {
        if reason == ReasonCode::Success && self.packet_size as usize >= SHORT_ACK {
            compose_acks(self.answers.buffer(), kind, ids.iter().copied());
            return Ok(());
        }
        ids.iter().try_for_each(|&id| {
            self.answer(None, |text| Outgoing::Ack {
                kind,
                id,
                reason,
                text,
            })
        })
    }
}

#[cold]
fn answer_is_too_large() -> Violation {
    Violation::new(
        ReasonCode::PacketTooLarge,
        "MQTT-3.1.2-24",
        "the answer exceeds the client's maximum packet size",
    )
}

impl Broker {
    /// The Reason String for `text` in a `packet` (AWS-M5-12).
    pub(crate) fn reason_string(&self, packet: &str, text: &str) -> String {
        match self.config().aws.traced_reason_strings {
            true => format!("{packet}:{text}:{}", self.uuid()),
            false => text.to_owned(),
        }
    }
}
