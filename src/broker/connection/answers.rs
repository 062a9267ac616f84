//! Answers to the client's own packets, in a form that it can take.

use crate::codec::{ReasonCode, Version};
use crate::conn::violation::Violation;

use super::{Active, Broker, Dirty};

impl Active {
    /// Moves the answers of this batch into the outbox. Returns how many bytes of answers, old ones
    /// included, have not left yet.
    pub(super) fn send_answers(&mut self, dirty: &mut Dirty) -> usize {
        let mut outbox = self.session.outbox();
        if !self.answers.is_empty() {
            let wake = outbox.answer(self.epoch, &self.answers);
            dirty.note(&self.session, wake);
        }
        let unsent = outbox.unsent_answers();
        drop(outbox);
        // An idle connection keeps no buffer.
        if self.answers.capacity() > 512 {
            self.answers = Vec::new();
        } else {
            self.answers.clear();
        }
        unsent
    }

    /// Composes an answer with a Reason String if the client takes one (MQTT-3.1.2-29) and it fits
    /// (MQTT-3.1.2-24), else without; an answer that does not fit at all ends the connection.
    pub(super) fn answer(
        &mut self,
        text: Option<&str>,
        encode: impl Fn(&mut Vec<u8>, Option<&str>),
    ) -> Result<(), Violation> {
        let start = self.answers.len();
        let text = text.filter(|_| self.problem_information && self.version == Version::V5);
        encode(&mut self.answers, text);
        if text.is_some() && self.answers.len() - start > self.packet_size {
            self.answers.truncate(start);
            encode(&mut self.answers, None);
        }
        if self.answers.len() - start > self.packet_size {
            self.answers.truncate(start);
            return Err(Violation::new(
                ReasonCode::PacketTooLarge,
                "MQTT-3.1.2-24",
                "the answer exceeds the client's maximum packet size",
            ));
        }
        Ok(())
    }
}

impl Broker {
    /// The Reason String for `text` in a `packet` (AWS-M5-12).
    pub(in crate::broker) fn reason_string(&self, packet: &str, text: &str) -> String {
        match self.config().aws.traced_reason_strings {
            true => format!("{packet}:{text}:{}", self.uuid()),
            false => text.to_owned(),
        }
    }
}
