//! The one exit: every packet towards a client is composed here, from a value that says what it is.
//!
//! | packet | composed for |
//! | --- | --- |
//! | CONNACK | `client::machine`, before there is a session or as its first packet |
//! | PUBLISH, one or a run as it was read | the outbox |
//! | PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK, PINGRESP | `client::answers`, for the packets of a batch |
//! | PUBREL | the outbox; `client::frames`, for a PUBREC |
//! | DISCONNECT | `broker::outbox::link`, as the last words of a connection |
//!
//! It needs neither outbox nor lock, and what looks at packets on their way out looks here.

use crate::codec::{
    AckKind, Connack, ForwardedPublish, OutgoingPublish, PacketId, ReasonCode, Version, encode_ack,
    encode_connack, encode_disconnect, encode_pingresp, encode_suback, encode_unsuback,
};
/// Packets of which there are many at once have functions of their own: acknowledgements that say Success, and PUBLISH
/// packets that go on as they came.
pub(crate) use crate::codec::{
    encode_forwarded_run as compose_forwarded, encode_short_acks as compose_acks,
};

/// A packet towards a client. What its version does not have is left out.
pub(crate) enum Outgoing<'a> {
    Connack(&'a Connack<'a>),
    /// A CONNACK that refuses.
    Refusal {
        reason: ReasonCode,
        text: Option<&'a str>,
    },
    Publish(&'a OutgoingPublish<'a>),
    /// A PUBLISH as it came, with flags and an identifier of its own.
    Forwarded(&'a ForwardedPublish<'a>),
    /// A PUBLISH up to its payload, which follows from where it is.
    PublishHead(&'a OutgoingPublish<'a>),
    /// Whole PUBLISH packets of QoS 0 as they were read, in one piece.
    Run(&'a [u8]),
    Ack {
        kind: AckKind,
        id: PacketId,
        reason: ReasonCode,
        text: Option<&'a str>,
    },
    Suback {
        id: PacketId,
        reasons: &'a [ReasonCode],
        text: Option<&'a str>,
    },
    Unsuback {
        id: PacketId,
        reasons: &'a [ReasonCode],
    },
    Pingresp,
    Disconnect {
        reason: ReasonCode,
        text: Option<&'a str>,
    },
}

/// Appends a packet. Returns how many bytes it has; 0 for one that the version does not have.
// Each caller knows which packet it is: nothing is left of the choice.
#[inline(always)]
pub(crate) fn compose(out: &mut Vec<u8>, version: Version, packet: &Outgoing<'_>) -> usize {
    match *packet {
        Outgoing::Publish(publish) => {
            let before = out.len();
            publish.encode(version, out);
            out.len() - before
        }
        Outgoing::Forwarded(publish) => {
            let before = out.len();
            publish.encode(out);
            out.len() - before
        }
        Outgoing::Run(packets) => {
            out.extend_from_slice(packets);
            packets.len()
        }
        Outgoing::PublishHead(publish) => {
            let before = out.len();
            publish.encode_head(version, out, 0);
            out.len() - before
        }
        Outgoing::Ack {
            kind,
            id,
            reason,
            text,
        } => encode_ack(out, version, kind, id, reason, text),
        Outgoing::Suback { id, reasons, text } => encode_suback(out, version, id, reasons, text),
        Outgoing::Unsuback { id, reasons } => encode_unsuback(out, version, id, reasons, None),
        Outgoing::Pingresp => encode_pingresp(out),
        Outgoing::Connack(connack) => encode_connack(out, version, connack),
        Outgoing::Refusal { reason, text } => {
            let connack = Connack {
                reason_string: text,
                ..Connack::new(reason)
            };
            encode_connack(out, version, &connack)
        }
        Outgoing::Disconnect { reason, text } => encode_disconnect(out, version, reason, text),
    }
}

/// The same within the receiver's Maximum Packet Size (MQTT-3.1.2-24): with its words if they fit, else
/// without them. Returns `None` and appends nothing where it does not fit at all.
#[inline]
pub(crate) fn compose_within<'a>(
    out: &mut Vec<u8>,
    version: Version,
    packet_size: usize,
    text: Option<&'a str>,
    packet: impl Fn(Option<&'a str>) -> Outgoing<'a>,
) -> Option<usize> {
    let before = out.len();
    let size = compose(out, version, &packet(text));
    if size <= packet_size {
        return Some(size);
    }
    out.truncate(before);
    // Without words it would be the same again.
    let size = text.map(|_| compose(out, version, &packet(None)))?;
    if size > packet_size {
        out.truncate(before);
        return None;
    }
    Some(size)
}
