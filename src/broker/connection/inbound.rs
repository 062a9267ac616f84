//! The packets of an established connection, one after the other.

use crate::codec::{
    self, AckKind, Disconnect, Packet, PacketId, PacketType, QoS, ReasonCode, Split, encode_ack,
    encode_pingresp,
};
use crate::conn::handshake::clamp_session_expiry;
use crate::conn::rules;
use crate::conn::violation::Violation;

use super::{Active, Broker, Context, DELIVERIES_PER_TURN, Departure, Dirty, Flow, Received, Stop};

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
        let limit = broker.config().limits.packet_size;
        loop {
            let rest = buf.get(*at..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(Received {
                    consumed: *at,
                    needed: 0,
                    flow: Flow::Continue,
                });
            }
            let frame = match codec::split(rest, limit)? {
                Split::Partial { needed } => {
                    return Ok(Received {
                        consumed: *at,
                        needed,
                        flow: Flow::Continue,
                    });
                }
                Split::Frame(frame) => frame,
            };
            if dirty.deliveries >= DELIVERIES_PER_TURN {
                return Ok(Received {
                    consumed: *at,
                    needed: 0,
                    flow: Flow::Yield,
                });
            }
            match frame.packet_type {
                PacketType::Publish => {
                    *at += self.receive_publishes(broker, rest, &frame, context, dirty)?;
                }
                PacketType::Puback => {
                    *at += self.receive_pubacks(broker, rest, context, dirty)?;
                }
                _ => {
                    self.batch.packets += 1;
                    let packet = codec::decode(&frame, self.version)?;
                    *at += frame.len;
                    self.handle(broker, &packet, context, dirty)?;
                }
            }
        }
    }

    fn handle(
        &mut self,
        broker: &Broker,
        packet: &Packet<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<(), Stop> {
        match packet {
            Packet::Pubrec(ack) => {
                self.refuse_qos2_packets(broker)?;
                self.receive_pubrec(broker, ack.packet_id, ack.reason, context, dirty);
                Ok(())
            }
            Packet::Pubrel(ack) => {
                self.refuse_qos2_packets(broker)?;
                self.receive_pubrel(ack.packet_id);
                Ok(())
            }
            Packet::Pubcomp(ack) => {
                self.refuse_qos2_packets(broker)?;
                self.session.outbox().receive_pubcomp(ack.packet_id);
                broker.make_room(&self.session, context, dirty);
                Ok(())
            }
            Packet::Subscribe(subscribe) => {
                self.receive_subscribe(broker, subscribe, context, dirty)
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.receive_unsubscribe(broker, unsubscribe, context, dirty)
            }
            Packet::Pingreq => {
                encode_pingresp(&mut self.answers);
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
            | Packet::Publish(_)
            | Packet::Puback(_) => {
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

    /// A run of PUBACKs, under one lock. Returns the bytes they took.
    fn receive_pubacks(
        &mut self,
        broker: &Broker,
        buf: &[u8],
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<usize, Stop> {
        let limit = broker.config().limits.packet_size;
        let mut at = 0;
        {
            let mut outbox = self.session.outbox();
            if !outbox.is_connected_as(self.epoch) {
                return Err(Stop::Stale);
            }
            while let Ok(Split::Frame(frame)) =
                codec::split(buf.get(at..).unwrap_or_default(), limit)
            {
                if frame.packet_type != PacketType::Puback {
                    break;
                }
                let Packet::Puback(ack) = codec::decode(&frame, self.version)? else {
                    break;
                };
                // One for an unknown identifier is a late or a repeated one: nothing is left to do.
                outbox.acknowledge(ack.packet_id, QoS::AtLeastOnce);
                self.batch.packets += 1;
                at += frame.len;
            }
            outbox.settle(context);
        }
        broker.make_room(&self.session, context, dirty);
        Ok(at)
    }

    fn receive_pubrec(
        &mut self,
        broker: &Broker,
        id: PacketId,
        reason: ReasonCode,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) {
        let known = {
            let mut outbox = self.session.outbox();
            if reason.is_error() {
                // The exchange is over, and the message goes to nobody else (MQTT-4.8.2-6).
                outbox.acknowledge(id, QoS::ExactlyOnce);
                drop(outbox);
                broker.make_room(&self.session, context, dirty);
                return;
            }
            outbox.receive_pubrec(id)
        };
        let answer = match known {
            true => ReasonCode::Success,
            false => ReasonCode::PacketIdentifierNotFound,
        };
        encode_ack(
            &mut self.answers,
            self.version,
            AckKind::Pubrel,
            id,
            answer,
            None,
        );
    }

    /// The client lets go of a QoS 2 message that it sent (MQTT-4.3.3-11, -12).
    fn receive_pubrel(&mut self, id: PacketId) {
        let known = self.session.received().remove(&id.get());
        let answer = match known {
            true => ReasonCode::Success,
            false => ReasonCode::PacketIdentifierNotFound,
        };
        encode_ack(
            &mut self.answers,
            self.version,
            AckKind::Pubcomp,
            id,
            answer,
            None,
        );
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
        Stop::Disconnect(Departure {
            discard_will: disconnect.reason == ReasonCode::Success,
            expiry: disconnect
                .session_expiry
                .map(|secs| clamp_session_expiry(secs, broker.config())),
            ..Departure::default()
        })
    }
}
