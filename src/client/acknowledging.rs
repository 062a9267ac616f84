//! Acknowledgements: exchanges that a client goes on with or ends.

use crate::broker::{
    Acknowledged, Broker, Context, Dirty, Outbox, Outgoing, compose, compose_acks,
};
use crate::codec::{self, AckKind, DecodeError, PacketId, QoS, ReasonCode, Split, Version};
use crate::protocol::violation::Violation;

use super::frames;
use super::machine::{Active, Stop};

/// Acknowledgements that are handled under one lock.
const ACKS: usize = 1024;

impl Active {
    pub(super) fn refuse_qos2_packets(&self, broker: &Broker) -> Result<(), Violation> {
        match broker.config().aws.refuse_qos2 {
            true => Err(Violation::protocol("AWS-MQTT-01", "qos 2 is not supported")),
            false => Ok(()),
        }
    }

    /// A run of PUBACKs, PUBRECs or PUBCOMPs, under one lock. Returns the bytes they took.
    pub(super) fn receive_acks(
        &mut self,
        broker: &Broker,
        kind: AckKind,
        buf: &[u8],
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<usize, Stop> {
        if kind != AckKind::Puback {
            self.refuse_qos2_packets(broker)?;
        }
        let (mut at, mut acks) = (0, 0);
        let mut out_of_step = None;
        {
            let mut outbox = self.session.outbox();
            if !outbox.is_connected_as(self.epoch) {
                return Err(Stop::Stale);
            }
            while acks < ACKS {
                let rest = buf.get(at..).unwrap_or_default();
                let ids = frames::split_short_acks(rest, kind).take(ACKS - acks);
                let stepped = outbox.step_in_order(kind, ids.clone());
                if kind == AckKind::Pubrec {
                    let answers = self.answers.buffer();
                    compose_acks(answers, AckKind::Pubrel, ids.take(stepped));
                }
                self.batch.packets += stepped as u32;
                acks += stepped;
                at += stepped * codec::SHORT_ACK;
                let Some((ack, len)) = next_ack(broker, kind, buf, at, self.version)? else {
                    break;
                };
                self.batch.packets += 1;
                acks += 1;
                let answers = self.answers.buffer();
                out_of_step = settle_exchange(&mut outbox, answers, self.version, kind, &ack).err();
                if out_of_step.is_some() {
                    break;
                }
                at += len;
            }
            outbox.settle(context);
        }
        dirty.charge(acks);
        // Those before it count, whatever it is.
        broker.make_room(&self.session, context, dirty);
        match out_of_step {
            Some(violation) => Err(violation.into()),
            None => Ok(at),
        }
    }

    /// A run of PUBRELs, under one lock: the client lets go of QoS 2 messages that it sent
    /// (MQTT-4.3.3-11, -12). Returns the bytes they took.
    pub(super) fn receive_releases(
        &mut self,
        broker: &Broker,
        buf: &[u8],
        dirty: &mut Dirty,
    ) -> Result<usize, Stop> {
        self.refuse_qos2_packets(broker)?;
        let (mut at, mut releases) = (0, 0);
        let mut received = self.session.received();
        while releases < ACKS {
            let rest = buf.get(at..).unwrap_or_default();
            let ids = frames::split_short_acks(rest, AckKind::Pubrel).take(ACKS - releases);
            let known = received.remove_each(ids.clone());
            let answers = self.answers.buffer();
            compose_acks(answers, AckKind::Pubcomp, ids.take(known));
            self.batch.packets += known as u32;
            releases += known;
            at += known * codec::SHORT_ACK;
            let Some((ack, len)) = next_ack(broker, AckKind::Pubrel, buf, at, self.version)? else {
                break;
            };
            self.batch.packets += 1;
            releases += 1;
            let known = received.remove(ack.id);
            let answers = self.answers.buffer();
            append_release(answers, self.version, AckKind::Pubcomp, ack.id, known);
            at += len;
        }
        drop(received);
        dirty.charge(releases);
        Ok(at)
    }
}

/// What an acknowledgement says.
struct Step {
    id: PacketId,
    /// It ends the exchange with an error.
    is_error: bool,
}

/// The acknowledgement of this kind at `at`, and its length; `None` at the end of a run of them.
#[inline]
fn next_ack(
    broker: &Broker,
    kind: AckKind,
    buf: &[u8],
    at: usize,
    version: Version,
) -> Result<Option<(Step, usize)>, DecodeError> {
    let rest = buf.get(at..).unwrap_or_default();
    match frames::split_short_ack(rest, kind) {
        Some(id) => Ok(Some((
            Step {
                id,
                is_error: false,
            },
            codec::SHORT_ACK,
        ))),
        None => next_long_ack(broker, kind, rest, at == 0, version),
    }
}

#[inline(never)]
fn next_long_ack(
    broker: &Broker,
    kind: AckKind,
    buf: &[u8],
    is_first: bool,
    version: Version,
) -> Result<Option<(Step, usize)>, DecodeError> {
    let limits = &broker.config().limits;
    let Ok(Split::Frame(frame)) = frames::split(buf, limits.packet_size) else {
        return Ok(None);
    };
    // One that is long enough to have too many properties is looked at by the caller first.
    if frame.packet_type != kind.packet_type() || (!is_first && frame.len > limits.properties) {
        return Ok(None);
    }
    let ack = codec::decode_ack(kind, &frame, version)?;
    let step = Step {
        id: ack.packet_id,
        is_error: ack.reason.is_error(),
    };
    Ok(Some((step, frame.len)))
}

/// What an acknowledgement means for the exchange that it belongs to. One for an unknown identifier
/// is a late or a repeated one: nothing is left to do.
///
/// # Errors
///
/// The exchange has another QoS or is at another step: both sides no longer mean the same message by
/// the identifier.
#[inline]
fn settle_exchange(
    outbox: &mut Outbox,
    answers: &mut Vec<u8>,
    version: Version,
    kind: AckKind,
    ack: &Step,
) -> Result<(), Violation> {
    let id = ack.id;
    let acknowledged = match kind {
        AckKind::Puback => outbox.acknowledge(id, QoS::AtLeastOnce),
        // The exchange is over, and the message goes to nobody else (MQTT-4.8.2-6).
        AckKind::Pubrec if ack.is_error => outbox.acknowledge(id, QoS::ExactlyOnce),
        AckKind::Pubrec => {
            let acknowledged = outbox.receive_pubrec(id);
            if acknowledged != Acknowledged::OutOfStep {
                let known = acknowledged == Acknowledged::Done;
                append_release(answers, version, AckKind::Pubrel, id, known);
            }
            acknowledged
        }
        AckKind::Pubcomp => outbox.receive_pubcomp(id),
        // It ends an exchange of the other direction.
        AckKind::Pubrel => Acknowledged::Done,
    };
    match acknowledged {
        Acknowledged::Done | Acknowledged::Unknown => Ok(()),
        Acknowledged::OutOfStep => Err(out_of_step(kind, id)),
    }
}

#[cold]
fn out_of_step(kind: AckKind, id: PacketId) -> Violation {
    let packet = kind.packet_type();
    Violation::protocol(
        "MQTT-4.13.1-1",
        format!("{packet} {} is not what its exchange waits for", id.get()),
    )
}

/// Appends PUBREL or PUBCOMP, with 0x92 for an identifier that is not `known`.
fn append_release(
    answers: &mut Vec<u8>,
    version: Version,
    kind: AckKind,
    id: PacketId,
    known: bool,
) {
    let reason = match known {
        true => ReasonCode::Success,
        false => ReasonCode::PacketIdentifierNotFound,
    };
    let packet = Outgoing::Ack {
        kind,
        id,
        reason,
        text: None,
    };
    compose(answers, version, &packet);
}
