//! Packets as one line of text, for the expectations in `tests/wire_cases`.

use std::fmt::{Display, Write};

use super::super::{
    Ack, Auth, Connack, Connect, Disconnect, Packet, Publish, ReasonCode, Suback, Subscribe,
    Unsuback, Unsubscribe, UserProperties, Will,
};

/// Type, then what is not absent or of the usual value, in the order of the packet.
pub(crate) fn summary(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(connect) => connect_summary(connect),
        Packet::Connack(connack) => connack_summary(connack),
        Packet::Publish(publish) => publish_summary(publish),
        Packet::Puback(ack) => ack_summary("puback", ack),
        Packet::Pubrec(ack) => ack_summary("pubrec", ack),
        Packet::Pubrel(ack) => ack_summary("pubrel", ack),
        Packet::Pubcomp(ack) => ack_summary("pubcomp", ack),
        Packet::Subscribe(subscribe) => subscribe_summary(subscribe),
        Packet::Suback(suback) => suback_summary(suback),
        Packet::Unsubscribe(unsubscribe) => unsubscribe_summary(unsubscribe),
        Packet::Unsuback(unsuback) => unsuback_summary(unsuback),
        Packet::Pingreq => "pingreq".into(),
        Packet::Pingresp => "pingresp".into(),
        Packet::Disconnect(disconnect) => disconnect_summary(disconnect),
        Packet::Auth(auth) => auth_summary(auth),
    }
}

/// A summary in the making.
struct Line(String);

impl Line {
    fn new(packet: &str) -> Self {
        Self(packet.into())
    }

    fn word(mut self, present: bool, word: &str) -> Self {
        if present {
            self.0 += " ";
            self.0 += word;
        }
        self
    }

    fn field(mut self, name: &str, value: impl Display) -> Self {
        write!(self.0, " {name}={value}").expect("a String takes everything");
        self
    }

    fn number(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    fn text(self, name: &str, value: Option<&str>) -> Self {
        self.number(name, value.map(|value| format!("'{value}'")))
    }

    fn bytes(self, name: &str, value: Option<&[u8]>) -> Self {
        self.number(name, value.map(hex))
    }

    fn reason(self, reason: ReasonCode) -> Self {
        self.field("reason", format_args!("{:02x}", reason as u8))
    }

    fn reasons(self, reasons: &[ReasonCode]) -> Self {
        let codes: Vec<u8> = reasons.iter().map(|&reason| reason as u8).collect();
        self.field("reasons", hex(&codes))
    }

    fn user(mut self, properties: UserProperties<'_>) -> Self {
        for (name, value) in properties.iter() {
            self = self.field("user", format_args!("'{name}':'{value}'"));
        }
        self
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn connect_summary(connect: &Connect<'_>) -> String {
    let properties = &connect.properties;
    let line = Line::new("connect")
        .field("version", connect.version)
        .word(connect.is_bridge, "bridge")
        .word(connect.clean_start, "clean")
        .field("keep_alive", connect.keep_alive)
        .number("session_expiry", properties.session_expiry)
        .number("receive_maximum", properties.receive_maximum)
        .number("maximum_packet_size", properties.maximum_packet_size)
        .number("topic_alias_maximum", properties.topic_alias_maximum)
        .word(
            properties.request_response_information,
            "response_information",
        )
        .word(
            !properties.request_problem_information,
            "no_problem_information",
        )
        .text("method", properties.authentication_method)
        .bytes("data", properties.authentication_data)
        .user(properties.user_properties)
        .text("client_id", Some(connect.client_id));
    match &connect.will {
        Some(will) => will_summary(line, will),
        None => line,
    }
    .text("username", connect.username)
    .bytes("password", connect.password)
    .0
}

fn will_summary(line: Line, will: &Will<'_>) -> Line {
    line.field("will_qos", will.qos.bits())
        .word(will.retain, "will_retain")
        .field("delay", will.delay_secs)
        .word(will.payload_format_is_utf8, "utf8")
        .number("expiry", will.message_expiry)
        .text("content_type", will.content_type)
        .text("response_topic", will.response_topic)
        .bytes("correlation", will.correlation_data)
        .user(will.user_properties())
        .text("topic", Some(will.topic))
        .bytes("payload", Some(will.payload))
}

fn connack_summary(connack: &Connack<'_>) -> String {
    let mut line = Line::new("connack")
        .word(connack.session_present, "session_present")
        .reason(connack.reason)
        .number("session_expiry", connack.session_expiry)
        .number("receive_maximum", connack.receive_maximum)
        .number("maximum_qos", connack.maximum_qos.map(|qos| qos.bits()))
        .number("retain", connack.retain_available)
        .number("maximum_packet_size", connack.maximum_packet_size)
        .text("assigned", connack.assigned_client_id)
        .number("topic_alias_maximum", connack.topic_alias_maximum)
        .text("reason_string", connack.reason_string);
    for (name, value) in &connack.user_properties {
        line = line.field("user", format_args!("'{name}':'{value}'"));
    }
    line.number("wildcards", connack.wildcard_subscription_available)
        .number("subscription_ids", connack.subscription_ids_available)
        .number("shared", connack.shared_subscription_available)
        .number("server_keep_alive", connack.server_keep_alive)
        .text("response_information", connack.response_information)
        .text("server_reference", connack.server_reference)
        .text("method", connack.authentication_method)
        .bytes("data", connack.authentication_data)
        .0
}

fn publish_summary(publish: &Publish<'_>) -> String {
    let properties = &publish.properties;
    let mut line = Line::new("publish")
        .word(publish.dup, "dup")
        .field("qos", publish.qos.bits())
        .word(publish.retain, "retain")
        .text("topic", Some(publish.topic))
        .number("id", publish.packet_id)
        .word(properties.payload_format_is_utf8, "utf8")
        .number("expiry", properties.message_expiry)
        .number("alias", properties.topic_alias)
        .text("response_topic", properties.response_topic)
        .bytes("correlation", properties.correlation_data);
    for id in properties.subscription_ids() {
        line = line.field("subscription_id", id);
    }
    line.text("content_type", properties.content_type)
        .user(properties.user_properties())
        .bytes("payload", Some(publish.payload))
        .0
}

fn ack_summary(name: &str, ack: &Ack<'_>) -> String {
    Line::new(name)
        .field("id", ack.packet_id)
        .reason(ack.reason)
        .text("reason_string", ack.reason_string)
        .user(ack.user_properties)
        .0
}

fn subscribe_summary(subscribe: &Subscribe<'_>) -> String {
    let mut line = Line::new("subscribe")
        .field("id", subscribe.packet_id)
        .number("subscription_id", subscribe.subscription_id)
        .user(subscribe.user_properties);
    for (filter, options) in subscribe.filters() {
        line = line
            .text("filter", Some(filter))
            .field("qos", options.qos.bits())
            .word(options.no_local, "no_local")
            .word(options.retain_as_published, "retain_as_published")
            .field("retain_handling", options.retain_handling as u8);
    }
    line.0
}

fn suback_summary(suback: &Suback<'_>) -> String {
    Line::new("suback")
        .field("id", suback.packet_id)
        .text("reason_string", suback.reason_string)
        .user(suback.user_properties)
        .reasons(&suback.reasons)
        .0
}

fn unsubscribe_summary(unsubscribe: &Unsubscribe<'_>) -> String {
    let mut line = Line::new("unsubscribe")
        .field("id", unsubscribe.packet_id)
        .user(unsubscribe.user_properties);
    for filter in unsubscribe.filters() {
        line = line.text("filter", Some(filter));
    }
    line.0
}

fn unsuback_summary(unsuback: &Unsuback<'_>) -> String {
    Line::new("unsuback")
        .field("id", unsuback.packet_id)
        .text("reason_string", unsuback.reason_string)
        .user(unsuback.user_properties)
        .reasons(&unsuback.reasons)
        .0
}

fn disconnect_summary(disconnect: &Disconnect<'_>) -> String {
    Line::new("disconnect")
        .reason(disconnect.reason)
        .number("session_expiry", disconnect.session_expiry)
        .text("reason_string", disconnect.reason_string)
        .text("server_reference", disconnect.server_reference)
        .user(disconnect.user_properties)
        .0
}

fn auth_summary(auth: &Auth<'_>) -> String {
    Line::new("auth")
        .reason(auth.reason)
        .text("method", auth.authentication_method)
        .bytes("data", auth.authentication_data)
        .text("reason_string", auth.reason_string)
        .user(auth.user_properties)
        .0
}
