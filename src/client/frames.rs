//! The packets of an established connection, one after the other.

use crate::broker::{Acknowledged, Broker, Context, Dirty, Outbox, Outgoing, compose};
use crate::codec::{
    self, Ack, AckKind, Disconnect, Packet, PacketId, PacketType, QoS, ReasonCode, Split, Version,
};
use crate::message::cause::Cause;
use crate::protocol::handshake::clamp_session_expiry;
use crate::protocol::rules;
use crate::protocol::violation::Violation;

use super::machine::{Active, Flow, Received, Stop};
use super::subscribing::Handled;

/// Acknowledgements that are handled under one lock.
const ACKS: usize = 1024;

impl Active {
    /// Handles packets until the buffer ends, the turn is over, or something stops it. `at` counts
    /// the bytes that are done with, in every case.
    pub(super) fn receive(
        &mut self,
        broker: &Broker,
        buf: &[u8],
        at: &mut usize,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Received, Stop> {
        let limits = &broker.config().limits;
        let properties = limits.properties;
        loop {
            if self.unfinished.is_some() && !self.finish_publishes(broker, context, dirty)? {
                return Ok(Received {
                    consumed: *at,
                    needed: 0,
                    flow: Flow::Yield,
                });
            }
            let rest = buf.get(*at..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(Received {
                    consumed: *at,
                    needed: 0,
                    flow: Flow::Continue,
                });
            }
            let limit = match rest.first() {
                Some(first) if first >> 4 == PacketType::Publish.first_byte() >> 4 => {
                    limits.packet_size
                }
                _ => limits.packet_size.min(limits.control_packet_size),
            };
            let frame = match codec::split(rest, limit)? {
                Split::Partial { needed } => {
                    if needed > properties {
                        codec::check_sections(rest, self.version, properties)?;
                    }
                    return Ok(Received {
                        consumed: *at,
                        needed,
                        flow: Flow::Continue,
                    });
                }
                Split::Frame(frame) => frame,
            };
            if frame.len > properties {
                codec::check_sections(frame.bytes, self.version, properties)?;
            }
            let over = Received {
                consumed: *at,
                needed: 0,
                flow: Flow::Yield,
            };
            if dirty.is_spent() {
                return Ok(over);
            }
            match frame.packet_type {
                PacketType::Publish => {
                    *at += self.receive_publishes(broker, rest, &frame, context, dirty)?;
                }
                PacketType::Puback => {
                    *at += self.receive_acks(broker, AckKind::Puback, rest, context, dirty)?;
                }
                PacketType::Pubrec => {
                    *at += self.receive_acks(broker, AckKind::Pubrec, rest, context, dirty)?;
                }
                PacketType::Pubcomp => {
                    *at += self.receive_acks(broker, AckKind::Pubcomp, rest, context, dirty)?;
                }
                PacketType::Subscribe => {
                    match self.receive_subscribe(broker, &frame, context, dirty)? {
                        Handled::InPart => return Ok(over),
                        Handled::Whole => self.batch.packets += 1,
                    }
                    *at += frame.len;
                }
                PacketType::Unsubscribe => {
                    match self.receive_unsubscribe(broker, &frame, context, dirty)? {
                        Handled::InPart => return Ok(over),
                        Handled::Whole => self.batch.packets += 1,
                    }
                    *at += frame.len;
                }
                _ => {
                    self.batch.packets += 1;
                    dirty.charge(1);
                    let packet = codec::decode(&frame, self.version)?;
                    *at += frame.len;
                    self.handle(broker, &packet)?;
                }
            }
        }
    }

    fn handle(&mut self, broker: &Broker, packet: &Packet<'_>) -> Result<(), Stop> {
        match packet {
            Packet::Pubrel(ack) => {
                self.refuse_qos2_packets(broker)?;
                self.receive_pubrel(ack.packet_id);
                Ok(())
            }
            Packet::Pingreq => {
                compose(self.answers.buffer(), self.version, &Outgoing::Pingresp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.receive_disconnect(broker, disconnect)),
            Packet::Connect(_) => Err(Violation::protocol("MQTT-3.1.0-2", "second CONNECT").into()),
            // Enhanced authentication is not offered, so no AUTH can be due (MQTT-4.12.0-1).
            Packet::Auth(_) => Err(Violation::protocol("MQTT-4.12.0-6", "unexpected AUTH").into()),
            Packet::Connack(_)
            | Packet::Suback(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Publish(_)
            | Packet::Puback(_)
            | Packet::Pubrec(_)
            | Packet::Pubcomp(_) => {
                Err(Violation::protocol("MQTT-4.13.1-1", "packet that only a server sends").into())
            }
        }
    }

    fn refuse_qos2_packets(&self, broker: &Broker) -> Result<(), Violation> {
        match broker.config().aws.refuse_qos2 {
            true => Err(Violation::protocol("AWS-MQTT-01", "qos 2 is not supported")),
            false => Ok(()),
        }
    }

    /// A run of PUBACKs, PUBRECs or PUBCOMPs, under one lock. Returns the bytes they took.
    fn receive_acks(
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
        let limit = broker.config().limits.packet_size;
        let properties = broker.config().limits.properties;
        let (mut at, mut acks) = (0, 0);
        let mut out_of_step = None;
        {
            let mut outbox = self.session.outbox();
            if !outbox.is_connected_as(self.epoch) {
                return Err(Stop::Stale);
            }
            while acks < ACKS
                && let Ok(Split::Frame(frame)) =
                    codec::split(buf.get(at..).unwrap_or_default(), limit)
            {
                // One that is long enough to have too many properties is looked at by the caller first.
                if frame.packet_type != kind.packet_type() || (at > 0 && frame.len > properties) {
                    break;
                }
                let ack = codec::decode_ack(kind, &frame, self.version)?;
                self.batch.packets += 1;
                acks += 1;
                let answers = self.answers.buffer();
                out_of_step = settle_exchange(&mut outbox, answers, self.version, kind, &ack).err();
                if out_of_step.is_some() {
                    break;
                }
                at += frame.len;
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

    /// The client lets go of a QoS 2 message that it sent (MQTT-4.3.3-11, -12).
    fn receive_pubrel(&mut self, id: PacketId) {
        let known = self.session.received().remove(id);
        let answers = self.answers.buffer();
        append_release(answers, self.version, AckKind::Pubcomp, id, known);
    }

    /// DISCONNECT, with or without will and a new Session Expiry Interval (MQTT-3.14.4-3).
    fn receive_disconnect(&self, broker: &Broker, disconnect: &Disconnect<'_>) -> Stop {
        let length: usize = disconnect
            .user_properties
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if let Err(violation) = rules::check_user_properties(length, &broker.config().limits) {
            return violation.into();
        }
        if disconnect.server_reference.is_some() {
            return Violation::protocol("MQTT-3.14.2-1", "server reference from a client").into();
        }
        if self.ends_with_connection && disconnect.session_expiry.is_some_and(|secs| secs > 0) {
            return Violation::protocol(
                "MQTT-3.14.2-2",
                "session expiry interval cannot be raised from 0",
            )
            .into();
        }
        Stop::Disconnect(Cause::Disconnect {
            reason: disconnect.reason,
            session_expiry: disconnect
                .session_expiry
                .map(|secs| clamp_session_expiry(secs, broker.config())),
        })
    }
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
    ack: &Ack<'_>,
) -> Result<(), Violation> {
    let id = ack.packet_id;
    let acknowledged = match kind {
        AckKind::Puback => outbox.acknowledge(id, QoS::AtLeastOnce),
        // The exchange is over, and the message goes to nobody else (MQTT-4.8.2-6).
        AckKind::Pubrec if ack.reason.is_error() => outbox.acknowledge(id, QoS::ExactlyOnce),
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
