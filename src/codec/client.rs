//! What a client does, for tests: encoding the packets that only a client sends, and reading what
//! a server sent. A PUBLISH is an [`super::OutgoingPublish`] from either side.

use super::connect::{Connect, ConnectProperties, Will};
use super::packet_id::PacketId;
use super::packet_type::PacketType;
use super::property::{Property as P, UserProperties};
use super::qos::QoS;
use super::reason::ReasonCode;
use super::subscribe::SubscribeOptions;
use super::version::{BRIDGE, Version};
use super::write;
#[cfg(test)]
use super::{MAX_PACKET_SIZE, Packet, Sender, Split, decode_from, split};

/// A CONNECT with Clean Start, no Keep Alive, and nothing that is optional.
pub(crate) fn connect(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keep_alive: 0,
        client_id,
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties::default(),
    }
}

/// A will at QoS 0 without properties.
pub(crate) fn will<'a>(topic: &'a str, payload: &'a [u8]) -> Will<'a> {
    Will {
        qos: QoS::AtMostOnce,
        retain: false,
        topic,
        payload,
        delay_secs: 0,
        message_expiry: None,
        payload_format_is_utf8: false,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties_len: 0,
        raw: &[],
    }
}

/// Splits and decodes everything in `bytes`, which a server sent.
///
/// # Panics
///
/// If they are not whole, valid packets.
#[cfg(test)]
pub(crate) fn decode_all(mut bytes: &[u8], version: Version) -> Vec<Packet<'_>> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
            panic!("no whole packet at {bytes:02x?}");
        };
        packets.push(decode_from(Sender::Server, &frame, version).expect("a valid packet"));
        bytes = &bytes[frame.len..];
    }
    packets
}

pub(crate) fn encode_connect(out: &mut Vec<u8>, connect: &Connect<'_>) -> usize {
    let mut body = Vec::new();
    write::utf8(&mut body, "MQTT");
    let bridge = if connect.is_bridge { BRIDGE } else { 0 };
    body.extend_from_slice(&[connect.version.level() | bridge, connect_flags(connect)]);
    body.extend_from_slice(&connect.keep_alive.to_be_bytes());
    if connect.version == Version::V5 {
        write::properties(&mut body, |section| {
            connect_properties(section, &connect.properties)
        });
    }
    write::utf8(&mut body, connect.client_id);
    if let Some(will) = &connect.will {
        if connect.version == Version::V5 {
            write::properties(&mut body, |section| will_properties(section, will));
        }
        write::utf8(&mut body, will.topic);
        write::binary(&mut body, will.payload);
    }
    if let Some(username) = connect.username {
        write::utf8(&mut body, username);
    }
    if let Some(password) = connect.password {
        write::binary(&mut body, password);
    }
    write::packet(out, PacketType::Connect.first_byte(), &body)
}

fn connect_flags(connect: &Connect<'_>) -> u8 {
    let will = match &connect.will {
        Some(will) => 1 << 2 | will.qos.bits() << 3 | u8::from(will.retain) << 5,
        None => 0,
    };
    u8::from(connect.clean_start) << 1
        | will
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.username.is_some()) << 7
}

fn connect_properties(out: &mut Vec<u8>, properties: &ConnectProperties<'_>) {
    let response_information = properties.request_response_information.then_some(true);
    let problem_information = (!properties.request_problem_information).then_some(false);
    write::u32_property(out, P::SessionExpiryInterval, properties.session_expiry);
    write::u16_property(out, P::ReceiveMaximum, properties.receive_maximum);
    write::u32_property(out, P::MaximumPacketSize, properties.maximum_packet_size);
    write::u16_property(out, P::TopicAliasMaximum, properties.topic_alias_maximum);
    write::flag_property(out, P::RequestResponseInformation, response_information);
    write::flag_property(out, P::RequestProblemInformation, problem_information);
    write::utf8_property(
        out,
        P::AuthenticationMethod,
        properties.authentication_method,
    );
    write::binary_property(out, P::AuthenticationData, properties.authentication_data);
    user_properties(out, properties.user_properties);
}

fn will_properties(out: &mut Vec<u8>, will: &Will<'_>) {
    let delay_secs = (will.delay_secs > 0).then_some(will.delay_secs);
    let payload_format = will.payload_format_is_utf8.then_some(true);
    write::u32_property(out, P::WillDelayInterval, delay_secs);
    write::flag_property(out, P::PayloadFormatIndicator, payload_format);
    write::u32_property(out, P::MessageExpiryInterval, will.message_expiry);
    write::utf8_property(out, P::ContentType, will.content_type);
    write::utf8_property(out, P::ResponseTopic, will.response_topic);
    write::binary_property(out, P::CorrelationData, will.correlation_data);
    user_properties(out, will.user_properties());
}

fn user_properties(out: &mut Vec<u8>, properties: UserProperties<'_>) {
    for (name, value) in properties.iter() {
        write::user_property(out, name, value);
    }
}

pub(crate) fn encode_subscribe(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: PacketId,
    subscription_id: Option<u32>,
    filters: &[(&str, SubscribeOptions)],
) -> usize {
    let mut body = Vec::new();
    write::packet_id(&mut body, packet_id);
    if version == Version::V5 {
        write::properties(&mut body, |section| {
            if let Some(id) = subscription_id {
                section.push(P::SubscriptionIdentifier as u8);
                write::variable_byte_integer(section, id as usize);
            }
        });
    }
    for &(filter, options) in filters {
        write::utf8(&mut body, filter);
        body.push(options.to_byte());
    }
    write::packet(out, PacketType::Subscribe.first_byte(), &body)
}

pub(crate) fn encode_unsubscribe(
    out: &mut Vec<u8>,
    version: Version,
    packet_id: PacketId,
    filters: &[&str],
) -> usize {
    let mut body = Vec::new();
    write::packet_id(&mut body, packet_id);
    if version == Version::V5 {
        write::properties(&mut body, |_| ());
    }
    for filter in filters {
        write::utf8(&mut body, filter);
    }
    write::packet(out, PacketType::Unsubscribe.first_byte(), &body)
}

pub(crate) fn encode_pingreq(out: &mut Vec<u8>) -> usize {
    write::packet(out, PacketType::Pingreq.first_byte(), &[])
}

/// The DISCONNECT of a client; empty in MQTT 3.1.1.
pub(crate) fn encode_disconnect(
    out: &mut Vec<u8>,
    version: Version,
    reason: ReasonCode,
    session_expiry: Option<u32>,
) -> usize {
    let mut body = Vec::new();
    if version == Version::V5 {
        body.push(reason as u8);
        write::properties(&mut body, |section| {
            write::u32_property(section, P::SessionExpiryInterval, session_expiry);
        });
    }
    write::packet(out, PacketType::Disconnect.first_byte(), &body)
}
