//! The one entrance: every packet from a client leaves its bytes here, by [`split`].
//!
//! | packet | where it goes |
//! | --- | --- |
//! | the first | `connecting` |
//! | PUBLISH, and those behind it that form a run with it | `publishing` |
//! | PUBACK, PUBREC, PUBCOMP, PUBREL, as many as there are | `acknowledging` |
//! | SUBSCRIBE, UNSUBSCRIBE | `subscribing` |
//! | PINGREQ, DISCONNECT | here |

use crate::broker::{Broker, Context, Dirty, Outgoing, compose};
use crate::codec::{self, AckKind, DecodeError, Disconnect, Packet, PacketId, PacketType, Split};
use crate::message::cause::Cause;
use crate::protocol::handshake::clamp_session_expiry;
use crate::protocol::rules;
use crate::protocol::violation::Violation;

use super::machine::{Active, Flow, Received, Stop};
use super::subscribing::Handled;

/// The packet at the front of `buf`, which may have `limit` bytes.
///
/// # Errors
///
/// A length that is none, or is above the limit.
#[inline]
pub(super) fn split(buf: &[u8], limit: u32) -> Result<Split<'_>, DecodeError> {
    codec::split(buf, limit)
}

/// The identifier of an acknowledgement in its shortest form, if `buf` begins with one of this kind.
#[inline]
pub(super) fn split_short_ack(buf: &[u8], kind: AckKind) -> Option<PacketId> {
    codec::split_short_ack(buf, kind)
}

/// The identifiers of the acknowledgements of this kind that `buf` begins with, as long as they are in their shortest
/// form.
#[inline]
pub(super) fn split_short_acks(
    buf: &[u8],
    kind: AckKind,
) -> impl Iterator<Item = PacketId> + Clone {
    let packets = buf.chunks_exact(codec::SHORT_ACK);
    packets.map_while(move |packet| split_short_ack(packet, kind))
}

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
            if self.asks && self.session.has_many_requests() {
                return Ok(Received {
                    consumed: *at,
                    needed: 0,
                    flow: Flow::Hold,
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
            let frame = match split(rest, limit)? {
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
                PacketType::Pubrel => {
                    *at += self.receive_releases(broker, rest, dirty)?;
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
            | Packet::Pubrel(_)
            | Packet::Pubcomp(_) => {
                Err(Violation::protocol("MQTT-4.13.1-1", "packet that only a server sends").into())
            }
        }
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
