//! What was encoded decodes to what it was made from.

use proptest::prelude::*;

use super::super::client::{self, decode_all};
use super::super::{
    Ack, AckKind, Connack, Connect, ConnectProperties, MAX_PACKET_SIZE, OutgoingPublish, Packet,
    PacketId, QoS, ReasonCode, RetainHandling, Split, SubscribeOptions, UserProperties, Version,
    Will, connect, decode, encode_ack, encode_connack, encode_disconnect, encode_pingresp,
    encode_suback, encode_unsuback, split,
};

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("not zero")
}

/// The only packet in `bytes`, which a server sent.
fn only(bytes: &[u8], version: Version) -> Packet<'_> {
    let mut packets = decode_all(bytes, version);
    assert_eq!(packets.len(), 1);
    packets.remove(0)
}

/// The packet in `bytes`, which a client sent.
fn from_client(bytes: &[u8], version: Version) -> Packet<'_> {
    let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
        panic!("no frame in {bytes:02x?}");
    };
    assert_eq!(frame.len, bytes.len());
    decode(&frame, version).expect("a valid packet")
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé€😀/ ]{0,40}"
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

fn qos() -> impl Strategy<Value = QoS> {
    (0..3u8).prop_map(|bits| QoS::from_bits(bits).expect("0, 1 or 2"))
}

fn version() -> impl Strategy<Value = Version> {
    proptest::sample::select(&VERSIONS[..])
}

fn publish_properties(user: &[(String, String)], content_type: Option<&str>) -> Vec<u8> {
    let mut raw = Vec::new();
    for (name, value) in user {
        super::super::write::user_property(&mut raw, name, value);
    }
    let content_type_property = super::super::property::Property::ContentType;
    super::super::write::utf8_property(&mut raw, content_type_property, content_type);
    raw
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn publish_round_trips(
        version in version(),
        (dup, retain, qos, packet_id) in (any::<bool>(), any::<bool>(), qos(), 1..=u16::MAX),
        topic in "[a-zé€/]{1,200}",
        topic_alias in proptest::option::of(1..=u16::MAX),
        message_expiry in any::<Option<u32>>(),
        subscription_ids in proptest::collection::vec(1..0x1000_0000u32, 0..4),
        user in proptest::collection::vec((text(), text()), 0..4),
        content_type in proptest::option::of(text()),
        payload in bytes(),
    ) {
        let properties = publish_properties(&user, content_type.as_deref());
        let outgoing = OutgoingPublish {
            dup: dup && qos > QoS::AtMostOnce,
            qos,
            retain,
            topic: topic.as_bytes(),
            packet_id: (qos > QoS::AtMostOnce).then(|| id(packet_id)),
            topic_alias,
            message_expiry,
            subscription_ids: &subscription_ids,
            properties: &properties,
            payload: (&payload).into(),
        };
        let mut out = Vec::new();
        outgoing.encode(version, &mut out);
        prop_assert_eq!(out.len(), outgoing.encoded_len(version));
        let Packet::Publish(publish) = only(&out, version) else {
            panic!("not PUBLISH");
        };
        prop_assert_eq!((publish.dup, publish.qos, publish.retain), (outgoing.dup, qos, retain));
        prop_assert_eq!((publish.topic, publish.packet_id), (&topic[..], outgoing.packet_id));
        prop_assert_eq!(publish.payload, &payload);
        if version == Version::V311 {
            prop_assert_eq!(publish.properties.raw, b"");
            return Ok(());
        }
        let received = &publish.properties;
        prop_assert_eq!(received.topic_alias, topic_alias);
        prop_assert_eq!(received.message_expiry, message_expiry);
        prop_assert_eq!(received.content_type, content_type.as_deref());
        prop_assert!(received.subscription_ids().eq(subscription_ids.iter().copied()));
        let pairs = user.iter().map(|(name, value)| (&name[..], &value[..]));
        prop_assert!(received.user_properties().iter().eq(pairs));
        let user_len: usize = user.iter().map(|(name, value)| name.len() + value.len()).sum();
        prop_assert_eq!(received.user_properties_len, user_len);
        if subscription_ids.is_empty() {
            let mut scratch = vec![1, 2, 3];
            prop_assert_eq!(received.forward(&mut scratch), properties);
        }
    }

    #[test]
    fn connect_round_trips(
        version in version(),
        (is_bridge, clean_start) in any::<(bool, bool)>(),
        (keep_alive, session_expiry) in any::<(u16, Option<u32>)>(),
        (client_id, username, password) in (text(), proptest::option::of(text()), bytes()),
        (topic, payload, qos, retain) in (text(), bytes(), qos(), any::<bool>()),
        (delay_secs, message_expiry, has_will) in any::<(u32, Option<u32>, bool)>(),
        user in proptest::collection::vec((text(), text()), 0..4),
    ) {
        let raw = publish_properties(&user, None);
        let properties = ConnectProperties {
            session_expiry,
            user_properties: UserProperties::new(&raw),
            ..ConnectProperties::default()
        };
        let will = Will {
            qos,
            retain,
            delay_secs,
            message_expiry,
            raw: &raw,
            ..client::will(&topic, &payload)
        };
        let sent = Connect {
            is_bridge,
            clean_start,
            keep_alive,
            username: username.as_deref(),
            password: username.as_ref().map(|_| &password[..]),
            will: has_will.then_some(will),
            properties,
            ..client::connect(version, &client_id)
        };
        let mut out = Vec::new();
        client::encode_connect(&mut out, &sent);
        let Ok(Split::Frame(frame)) = split(&out, MAX_PACKET_SIZE) else {
            panic!("no frame");
        };
        let received = connect::decode(&frame).expect("a valid CONNECT");
        prop_assert_eq!(received.client_id, &client_id);
        prop_assert_eq!((received.username, received.password), (sent.username, sent.password));
        prop_assert_eq!(received.will.is_some(), has_will);
        if let (Some(will), Version::V5) = (&received.will, version) {
            let mut scratch = Vec::new();
            prop_assert_eq!(will.forward(&mut scratch), &raw);
            prop_assert_eq!((will.delay_secs, will.message_expiry), (delay_secs, message_expiry));
        }
        let mut again = Vec::new();
        client::encode_connect(&mut again, &received);
        prop_assert_eq!(again, out);
    }

    #[test]
    fn subscribe_round_trips(
        version in version(),
        packet_id in 1..=u16::MAX,
        subscription_id in proptest::option::of(1..0x1000_0000u32),
        filters in proptest::collection::vec((text(), qos(), any::<bool>(), any::<bool>()), 1..5),
    ) {
        let is_v5 = version == Version::V5;
        let filters: Vec<(&str, SubscribeOptions)> = filters
            .iter()
            .map(|(filter, qos, no_local, retain_as_published)| {
                let options = SubscribeOptions {
                    qos: *qos,
                    no_local: is_v5 && *no_local,
                    retain_as_published: is_v5 && *retain_as_published,
                    retain_handling: match is_v5 && *no_local {
                        true => RetainHandling::DoNotSend,
                        false => RetainHandling::Send,
                    },
                };
                (&filter[..], options)
            })
            .collect();
        let mut out = Vec::new();
        client::encode_subscribe(&mut out, version, id(packet_id), subscription_id, &filters);
        let Packet::Subscribe(subscribe) = from_client(&out, version) else {
            panic!("not SUBSCRIBE");
        };
        prop_assert_eq!(subscribe.packet_id, id(packet_id));
        prop_assert_eq!(subscribe.subscription_id, subscription_id.filter(|_| is_v5));
        prop_assert!(subscribe.filters().eq(filters));
    }
}

#[test]
fn unsubscribe_round_trips() {
    for version in VERSIONS {
        let mut out = Vec::new();
        client::encode_unsubscribe(&mut out, version, id(300), &["a/+", "b"]);
        let Packet::Unsubscribe(unsubscribe) = from_client(&out, version) else {
            panic!("not UNSUBSCRIBE");
        };
        assert_eq!(unsubscribe.packet_id, id(300));
        assert!(unsubscribe.filters().eq(["a/+", "b"]));
    }
}

#[test]
fn disconnect_of_a_client_round_trips() {
    let mut out = Vec::new();
    client::encode_disconnect(
        &mut out,
        Version::V5,
        ReasonCode::DisconnectWithWillMessage,
        Some(60),
    );
    let Packet::Disconnect(disconnect) = from_client(&out, Version::V5) else {
        panic!("not DISCONNECT");
    };
    assert_eq!(disconnect.reason, ReasonCode::DisconnectWithWillMessage);
    assert_eq!(disconnect.session_expiry, Some(60));

    out.clear();
    client::encode_disconnect(&mut out, Version::V311, ReasonCode::Success, None);
    assert_eq!(out, [0xe0, 0]);
}

#[test]
fn pings_round_trip() {
    let mut out = Vec::new();
    assert_eq!(client::encode_pingreq(&mut out), 2);
    assert_eq!(encode_pingresp(&mut out), 2);
    assert_eq!(
        decode_all(&out, Version::V5),
        [Packet::Pingreq, Packet::Pingresp]
    );
}

#[test]
fn acknowledgement_takes_its_shortest_form() {
    let encode = |version, kind, reason, text| {
        let mut out = Vec::new();
        let len = encode_ack(&mut out, version, kind, id(0x0102), reason, text);
        assert_eq!(len, out.len());
        out
    };
    let not_authorized = ReasonCode::NotAuthorized;
    let not_found = ReasonCode::PacketIdentifierNotFound;
    let (v311, v5) = (Version::V311, Version::V5);
    assert_eq!(
        encode(v5, AckKind::Puback, ReasonCode::Success, None),
        [0x40, 2, 1, 2]
    );
    assert_eq!(
        encode(v5, AckKind::Pubrel, ReasonCode::Success, None),
        [0x62, 2, 1, 2]
    );
    assert_eq!(
        encode(v5, AckKind::Pubcomp, not_found, None),
        [0x70, 3, 1, 2, 0x92]
    );
    assert_eq!(
        encode(v311, AckKind::Pubrec, not_authorized, Some("no")),
        [0x50, 2, 1, 2]
    );
    assert_eq!(
        encode(v5, AckKind::Puback, not_authorized, Some("no")),
        [0x40, 9, 1, 2, 0x87, 5, 0x1f, 0, 2, b'n', b'o']
    );
}

#[test]
fn acknowledgement_round_trips() {
    for kind in [
        AckKind::Puback,
        AckKind::Pubrec,
        AckKind::Pubrel,
        AckKind::Pubcomp,
    ] {
        for reason in (0..=255).filter_map(ReasonCode::from_u8) {
            if !reason.is_legal_in(kind.packet_type()) {
                continue;
            }
            for reason_string in [None, Some("because")] {
                let mut out = Vec::new();
                encode_ack(&mut out, Version::V5, kind, id(7), reason, reason_string);
                let packet = only(&out, Version::V5);
                let (Packet::Puback(ack)
                | Packet::Pubrec(ack)
                | Packet::Pubrel(ack)
                | Packet::Pubcomp(ack)) = packet
                else {
                    panic!("not an acknowledgement: {packet:?}");
                };
                let user_properties = UserProperties::default();
                assert_eq!(
                    ack,
                    Ack {
                        packet_id: id(7),
                        reason,
                        reason_string,
                        user_properties
                    }
                );
            }
        }
    }
}

fn full_connack() -> Connack<'static> {
    Connack {
        session_present: true,
        session_expiry: Some(3600),
        receive_maximum: Some(100),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(true),
        maximum_packet_size: Some(149_504),
        assigned_client_id: Some("assigned"),
        topic_alias_maximum: Some(8),
        reason_string: Some("welcome"),
        user_properties: vec![("a", "1"), ("b", ""), ("a", "2")],
        wildcard_subscription_available: Some(true),
        subscription_ids_available: Some(false),
        shared_subscription_available: Some(true),
        server_keep_alive: Some(1200),
        response_information: Some("replies"),
        server_reference: Some("elsewhere"),
        authentication_method: Some("method"),
        authentication_data: Some(&[0, 255]),
        ..Connack::new(ReasonCode::Success)
    }
}

#[test]
fn connack_round_trips() {
    for connack in [Connack::new(ReasonCode::NotAuthorized), full_connack()] {
        let mut out = Vec::new();
        assert_eq!(encode_connack(&mut out, Version::V5, &connack), out.len());
        assert_eq!(only(&out, Version::V5), Packet::Connack(Box::new(connack)));
    }
}

/// MQTT-2.2.2-1.
#[test]
fn empty_property_section_states_its_length() {
    let mut out = Vec::new();
    encode_connack(&mut out, Version::V5, &Connack::new(ReasonCode::Success));
    encode_suback(&mut out, Version::V5, id(1), &[ReasonCode::Success], None);
    encode_unsuback(&mut out, Version::V5, id(1), &[ReasonCode::Success], None);
    assert_eq!(
        out,
        [0x20, 3, 0, 0, 0, 0x90, 4, 0, 1, 0, 0, 0xb0, 4, 0, 1, 0, 0]
    );
}

/// MQTT-3.2.2-9: the property can say 0 and 1, its absence means 2.
#[test]
fn connack_leaves_out_a_maximum_qos_of_2() {
    let connack = Connack {
        maximum_qos: Some(QoS::ExactlyOnce),
        ..Connack::new(ReasonCode::Success)
    };
    let mut out = Vec::new();
    encode_connack(&mut out, Version::V5, &connack);
    assert_eq!(out, [0x20, 3, 0, 0, 0]);
}

/// MQTT-3.2.2-6.
#[test]
fn connack_that_refuses_has_no_session_present() {
    for version in VERSIONS {
        let connack = Connack {
            session_present: true,
            ..Connack::new(ReasonCode::NotAuthorized)
        };
        let mut out = Vec::new();
        encode_connack(&mut out, version, &connack);
        assert_eq!(out[2], 0);
    }
}

/// MQTT-3.2.2-6 of 3.1.1.
#[test]
fn old_connack_has_a_return_code_or_is_not_sent() {
    let encode = |reason| {
        let mut out = Vec::new();
        encode_connack(
            &mut out,
            Version::V311,
            &Connack {
                reason,
                ..full_connack()
            },
        );
        out
    };
    assert_eq!(encode(ReasonCode::Success), [0x20, 2, 1, 0]);
    assert_eq!(
        encode(ReasonCode::UnsupportedProtocolVersion),
        [0x20, 2, 0, 1]
    );
    assert_eq!(
        encode(ReasonCode::ClientIdentifierNotValid),
        [0x20, 2, 0, 2]
    );
    assert!(encode(ReasonCode::MalformedPacket).is_empty());
}

#[test]
fn suback_and_unsuback_round_trip() {
    let granted = [
        ReasonCode::granted(QoS::ExactlyOnce),
        ReasonCode::QuotaExceeded,
    ];
    let mut out = Vec::new();
    encode_suback(&mut out, Version::V5, id(9), &granted, Some("too many"));
    let Packet::Suback(suback) = only(&out, Version::V5) else {
        panic!("not SUBACK");
    };
    assert_eq!(
        (suback.packet_id, suback.reason_string),
        (id(9), Some("too many"))
    );
    assert_eq!(suback.reasons, granted);

    let removed = [ReasonCode::NoSubscriptionExisted, ReasonCode::Success];
    out.clear();
    encode_unsuback(&mut out, Version::V5, id(10), &removed, Some("none"));
    let Packet::Unsuback(unsuback) = only(&out, Version::V5) else {
        panic!("not UNSUBACK");
    };
    assert_eq!(
        (unsuback.packet_id, unsuback.reason_string),
        (id(10), Some("none"))
    );
    assert_eq!(unsuback.reasons, removed);
}

/// MQTT-3.9.3-2 of 3.1.1, whose UNSUBACK has no payload.
#[test]
fn old_suback_knows_one_failure_and_old_unsuback_no_payload() {
    let reasons = [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized];
    let mut out = Vec::new();
    encode_suback(&mut out, Version::V311, id(1), &reasons, Some("no"));
    assert_eq!(out, [0x90, 4, 0, 1, 1, 0x80]);
    out.clear();
    encode_unsuback(&mut out, Version::V311, id(1), &reasons, Some("no"));
    assert_eq!(out, [0xb0, 2, 0, 1]);
}

#[test]
fn disconnect_of_the_server_takes_its_shortest_form() {
    let encode = |version, reason, text| {
        let mut out = Vec::new();
        assert_eq!(
            encode_disconnect(&mut out, version, reason, text),
            out.len()
        );
        out
    };
    let refusal = encode(Version::V311, ReasonCode::SessionTakenOver, Some("x"));
    assert!(refusal.is_empty());
    assert_eq!(encode(Version::V5, ReasonCode::Success, None), [0xe0, 0]);
    assert_eq!(
        encode(Version::V5, ReasonCode::SessionTakenOver, None),
        [0xe0, 1, 0x8e]
    );
    assert_eq!(
        encode(Version::V5, ReasonCode::SessionTakenOver, Some("x")),
        [0xe0, 6, 0x8e, 4, 0x1f, 0, 1, b'x']
    );
}
