//! What is not MQTT: malformed packets and protocol errors of every kind, in both versions. Each ends
//! its own connection, with the right reason in MQTT 5, and no other: the broker goes on.

use crate::support::*;

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;

/// 5:MQTT-2.1.3-1 3:MQTT-2.2.2-2 5:MQTT-3.6.1-1 3:MQTT-3.6.1-1 5:MQTT-3.8.1-1 3:MQTT-3.8.1-1
/// 5:MQTT-3.10.1-1 3:MQTT-3.10.1-1 5:MQTT-3.15.1-1 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1
/// Every type but PUBLISH has fixed flags; any other value ends the connection.
#[test]
fn wrong_flags_end_the_connection() {
    both(|version| {
        let mut bystander = connect(version, &fresh("bystander"));
        for (kind, packet, _) in samples(version) {
            if kind == PacketType::Publish || kind == PacketType::Connect {
                continue;
            }
            for flags in (0..16).filter(|flags| packet[0] & 0x0F != *flags) {
                let mut wrong = packet.clone();
                wrong[0] = packet[0] & 0xF0 | flags;
                refuses(version, &wrong, &[MALFORMED]);
            }
        }
        bystander.expect_only_pingresp();
    });
}

/// 5:MQTT-2.1.3-1 3:MQTT-2.2.2-1
/// Every packet of the broker but PUBLISH has the flags of its type.
#[test]
fn packets_of_the_broker_have_their_flags() {
    both(|version| {
        let topic = fresh("flags");
        let mut client = connect(version, &fresh("client"));
        client.subscribe(&topic, 2);
        for qos in [1, 2] {
            // The reader knows each type by its whole first byte: SUBACK 0x90, PUBACK 0x40, PUBREC
            // 0x50, PUBREL 0x62, PUBCOMP 0x70, UNSUBACK 0xB0, PINGRESP 0xD0, DISCONNECT 0xE0.
            client.publish(&topic, "x", qos);
            client.receive();
        }
        client.unsubscribe(&topic);
        client.expect_only_pingresp();
        client.send(Subscribe::new(1));
        client.expect_error(PROTOCOL_ERROR);
    });
}

/// 5:MQTT-2.1.3-1 3:MQTT-2.2.2-2
/// A CONNECT with flags is refused.
#[test]
fn connect_with_wrong_flags_is_refused() {
    both(|version| {
        for first in 0x11..=0x1F {
            let mut bytes = Connect::new(fresh("flagged")).encode(version);
            bytes[0] = first;
            let mut client = Client::dial(broker().mqtt(), version);
            client.send(bytes);
            match client.next_or_end() {
                None => {}
                Some(Packet::Connack {
                    reason: MALFORMED, ..
                }) => client.expect_closed(),
                other => panic!("{other:?}"),
            }
        }
    });
}

/// 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1 3:MQTT-2.2.2-2
/// Types that only a server sends, and reserved ones, end the connection.
#[test]
fn packets_of_a_server_end_the_connection() {
    both(|version| {
        let mut packets = vec![
            frame(0x00, []),
            frame(
                0x20,
                version
                    .properties(&Props::default())
                    .into_iter()
                    .chain([0, 0])
                    .collect::<Vec<_>>(),
            ),
            frame(0x20, [0, 0]),
            frame(0x90, [0, 1, 0]),
            frame(0xB0, [0, 1]),
            frame(0xD0, []),
        ];
        if version == Version::V3 {
            packets.push(frame(0xF0, []));
        }
        for packet in packets {
            refuses(version, &packet, &[PROTOCOL_ERROR, MALFORMED]);
        }
    });
}

/// 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1 5:MQTT-2.2.2-1
/// A packet cut short at any byte, with a Remaining Length that agrees, is malformed unless what is
/// left is a packet.
#[test]
fn packets_cut_short_are_malformed() {
    both(|version| {
        for (kind, packet, legal) in samples(version) {
            let body = &packet[2..];
            for length in 0..body.len() {
                let cut = frame(packet[0], &body[..length]);
                if kind == PacketType::Connect {
                    let mut client = Client::dial(broker().mqtt(), version);
                    client.send(cut);
                    expect_refused_connect(&mut client, &format!("{kind:?} cut to {length}"));
                } else if legal(length) {
                    serves(version, &cut);
                } else {
                    // A list that ends before its first entry breaks a rule of its own.
                    refuses(version, &cut, &[MALFORMED, PROTOCOL_ERROR]);
                }
            }
        }
    });
}

/// 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1
/// A stream that ends within a packet is just the end.
#[test]
fn stream_may_end_within_a_packet() {
    both(|version| {
        let mut bystander = connect(version, &fresh("bystander"));
        for (kind, packet, _) in samples(version) {
            for length in 1..packet.len() {
                let mut client = if kind == PacketType::Connect {
                    Client::dial(broker().mqtt(), version)
                } else {
                    connect(version, &fresh("ending"))
                };
                client.send(packet[..length].to_vec());
                client.half_close();
                client.drain();
            }
        }
        bystander.expect_only_pingresp();
    });
}

/// 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1 3:MQTT-3.1.4-1 5:MQTT-3.1.4-1
/// Bytes behind the last field are malformed.
#[test]
fn surplus_bytes_are_malformed() {
    both(|version| {
        for (kind, packet, _) in samples(version) {
            let mut body = packet[2..].to_vec();
            body.push(0);
            let longer = frame(packet[0], body);
            match kind {
                // Payload.
                PacketType::Publish => serves(version, &longer),
                PacketType::Connect => {
                    let mut client = Client::dial(broker().mqtt(), version);
                    client.send(longer);
                    expect_refused_connect(&mut client, "surplus");
                }
                _ => refuses(version, &longer, &[MALFORMED, PROTOCOL_ERROR]),
            }
        }
    });
}

/// 5:MQTT-4.13.1-1
/// A property that does not belong into the packet is malformed.
#[test]
fn properties_of_other_packets_are_malformed() {
    for kind in CLIENT_PACKETS {
        for rule in RULES
            .iter()
            .filter(|rule| rules_of(kind).all(|legal| legal.id != rule.id))
        {
            refuses_properties(kind, &rule.sample().encode(), &[MALFORMED, PROTOCOL_ERROR]);
        }
    }
}

/// 5:MQTT-4.13.1-1
/// Identifiers that name no property are malformed.
#[test]
fn unknown_properties_are_malformed() {
    for kind in CLIENT_PACKETS {
        for unknown in [
            &[0x00, 0x00][..],
            &[0x04, 0x00],
            &[0x2B, 0x00],
            &[0x7F, 0x00],
            &[0x80, 0x01, 0x00],
        ] {
            refuses_properties(kind, unknown, &[MALFORMED]);
        }
    }
}

/// 5:MQTT-4.13.1-1 5:MQTT-3.1.4-1
/// A property that may stand once may not stand twice.
#[test]
fn repeated_properties_are_protocol_errors() {
    for kind in CLIENT_PACKETS {
        for rule in rules_of(kind).filter(|rule| rule.id != USER_PROPERTY) {
            let mut twice = [rule.sample().encode(), rule.sample().encode()].concat();
            if rule.id == AUTHENTICATION_DATA {
                twice.extend(bytes(AUTHENTICATION_METHOD, "m").encode());
            }
            refuses_properties(kind, &twice, &[PROTOCOL_ERROR]);
        }
    }
}

/// 5:MQTT-4.13.1-1
/// A property whose value runs past the Property Length, and a Property Length past the packet, are
/// malformed.
#[test]
fn properties_end_within_their_section() {
    for kind in CLIENT_PACKETS {
        for rule in rules_of(kind) {
            let whole = rule.sample().encode();
            for length in 1..whole.len() {
                refuses_properties(kind, &whole[..length], &[MALFORMED]);
            }
        }
        refuses_section(kind, &[0x7F], &[MALFORMED]);
        refuses_section(kind, &[0xFF, 0xFF, 0xFF, 0x7F], &[MALFORMED]);
    }
}

/// 5:MQTT-4.13.1-1
/// Values that a property may not have are errors.
#[test]
fn property_values_have_their_limits() {
    let wrong = [
        (PacketType::Connect, byte(REQUEST_PROBLEM_INFORMATION, 2)),
        (PacketType::Connect, byte(REQUEST_RESPONSE_INFORMATION, 2)),
        (PacketType::Connect, receive_maximum(0)),
        (PacketType::Connect, maximum_packet_size(0)),
        (PacketType::Connect, bytes(AUTHENTICATION_DATA, [1])),
        (PacketType::Will, byte(PAYLOAD_FORMAT_INDICATOR, 2)),
        (PacketType::Publish, byte(PAYLOAD_FORMAT_INDICATOR, 2)),
        (PacketType::Subscribe, subscription_identifier(0)),
    ];
    for (kind, prop) in wrong {
        refuses_properties(kind, &prop.encode(), &[PROTOCOL_ERROR, MALFORMED]);
    }
}

/// 5:MQTT-1.5.4-1 5:MQTT-1.5.4-2 5:MQTT-1.5.7-1
/// Strings in properties are UTF-8 without surrogates, over-long forms and U+0000, in every packet.
#[test]
fn strings_in_properties_are_utf_8() {
    for kind in CLIENT_PACKETS {
        for text in ILL_FORMED {
            for prop in [user_property(text, "v"), user_property("k", text)] {
                refuses_properties(kind, &prop.encode(), &[MALFORMED]);
            }
        }
    }
}

/// 5:MQTT-1.5.4-1 3:MQTT-1.5.3-1 3:MQTT-1.5.3-2 5:MQTT-1.5.4-2
/// Strings in packets are UTF-8 without surrogates, over-long forms and U+0000.
#[test]
fn strings_are_utf_8() {
    both(|version| {
        for text in ILL_FORMED {
            refuses(
                version,
                &Publish::new(text, "x").encode(version),
                &[MALFORMED],
            );
            refuses(
                version,
                &Subscribe::new(1).filter(text, 0).encode(version),
                &[MALFORMED],
            );
            refuses(
                version,
                &Unsubscribe::new(1).filter(text).encode(version),
                &[MALFORMED],
            );
            for connect in [
                Connect::new(text),
                Connect::new(fresh("bad")).user(text),
                Connect::new(fresh("bad")).will(Will::new(text, "x")),
            ] {
                let mut client = Client::dial(broker().mqtt(), version);
                client.send(&connect);
                client.expect_refusal(MALFORMED);
            }
        }
    });
}

/// 5:MQTT-1.5.5-1
/// Variable Byte Integers take as few bytes as they can.
#[test]
fn padded_variable_byte_integers_are_malformed() {
    for kind in CLIENT_PACKETS {
        refuses_section(kind, &[0x80, 0x00], &[MALFORMED]);
    }
    refuses_properties(
        PacketType::Subscribe,
        &[SUBSCRIPTION_IDENTIFIER, 0x81, 0x00],
        &[MALFORMED],
    );
    refuses(Version::V5, &[0xC0, 0x80, 0x00], &[MALFORMED]);
}

/// 5:MQTT-1.5.5-1 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1
/// A Remaining Length of more than four bytes is malformed, before and after CONNACK.
#[test]
fn remaining_length_has_at_most_four_bytes() {
    both(|version| {
        for first in [0x30, 0x82, 0xC0] {
            refuses(
                version,
                &[first, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
                &[MALFORMED],
            );
            refuses(version, &[first, 0x80, 0x80, 0x80, 0x80], &[MALFORMED]);
        }
        let mut client = Client::dial(broker().mqtt(), version);
        client.send([0x10, 0xFF, 0xFF, 0xFF, 0xFF]);
        // Before the version is known there is nothing to say.
        match client.next_or_end() {
            None => {}
            Some(Packet::Connack {
                reason: MALFORMED, ..
            }) if version == Version::V5 => {
                client.expect_closed();
            }
            other => panic!("{other:?}"),
        }
    });
}

/// 5:MQTT-3.4.2-1 5:MQTT-3.5.2-1 5:MQTT-3.6.2-1 5:MQTT-3.7.2-1 5:MQTT-3.15.2-1
/// Reasons outside the table of their packet are errors.
#[test]
fn unknown_reasons_are_refused() {
    let wrong = [
        puback(1).reason(0x01),
        puback(1).reason(0x92),
        pubrec(1).reason(0x01),
        pubrec(1).reason(0xFF),
        pubrel(1).reason(0x80),
        pubrel(1).reason(0x10),
        pubcomp(1).reason(0x80),
        pubcomp(1).reason(0x01),
    ];
    for packet in wrong {
        refuses(
            Version::V5,
            &packet.encode(Version::V5),
            &[MALFORMED, PROTOCOL_ERROR],
        );
    }
    for reason in [0x01, 0x80] {
        let auth = Auth::reason(reason).encode(Version::V5);
        refuses(Version::V5, &auth, &[MALFORMED, PROTOCOL_ERROR]);
    }
}

/// 5:MQTT-4.12.0-7
/// AUTH from a client that named no method is a protocol error.
#[test]
fn auth_without_a_method_is_a_protocol_error() {
    for reason in [0x18, 0x19] {
        let auth = Auth::reason(reason).with(bytes(AUTHENTICATION_METHOD, "m"));
        refuses(Version::V5, &auth.encode(Version::V5), &[PROTOCOL_ERROR]);
    }
}

/// 5:MQTT-2.2.1-3 3:MQTT-2.3.1-1
/// No acknowledgement has the identifier zero either.
#[test]
fn acknowledgements_of_identifier_zero_are_refused() {
    both(|version| {
        for packet in [puback(0), pubrec(0), pubrel(0), pubcomp(0)] {
            refuses(
                version,
                &packet.encode(version),
                &[MALFORMED, PROTOCOL_ERROR],
            );
        }
    });
}

/// 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1
/// Bytes that are no MQTT at all end the connection without an answer.
#[test]
fn other_protocols_are_not_answered() {
    for greeting in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x00\x00\x00",
        b"\xFF\xFF\xFF\xFF",
    ] {
        let mut client = Client::dial(broker().mqtt(), Version::V5);
        client.send(greeting.to_vec());
        client.half_close();
        client.expect_closed();
    }
}

/// 5:MQTT-4.13.1-1 3:MQTT-4.8.0-1
/// Random bytes, alone and as the bodies of packets, end their connection at worst.
#[test]
fn random_bytes_do_no_harm() {
    both(|version| {
        let mut bystander = watcher(version, "random/bystander");
        // A linear congruential generator: the same bytes in every run.
        let mut state: u64 = 0x5DEE_CE66;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[1]
        };
        for round in 0..600 {
            let body: Vec<u8> = (0..random() % 64).map(|_| random()).collect();
            let bytes = if round % 3 == 0 {
                body
            } else {
                frame(random(), body)
            };
            let mut client = connect(version, &fresh("random"));
            client.try_send(bytes);
            client.try_send(PINGREQ);
            client.vanish();
        }
        connect(version, &fresh("author")).publish("random/bystander", "still here", 1);
        while bystander.receive().payload != b"still here" {}
    });
}

const ILL_FORMED: [&[u8]; 6] = [
    // A continuation byte is missing, a surrogate, over-long forms, beyond U+10FFFF, U+0000.
    b"a\xC3\x28",
    b"a\xED\xA0\x80",
    b"a\xC0\xAF",
    b"a\xE0\x80\xAF",
    b"a\xF4\x90\x80\x80",
    b"a\0b",
];

/// The packets of a client that have properties; the will's are in CONNECT.
const CLIENT_PACKETS: [PacketType; 11] = [
    PacketType::Connect,
    PacketType::Will,
    PacketType::Publish,
    PacketType::Puback,
    PacketType::Pubrec,
    PacketType::Pubrel,
    PacketType::Pubcomp,
    PacketType::Subscribe,
    PacketType::Unsubscribe,
    PacketType::Disconnect,
    PacketType::Auth,
];

/// The properties that a client may put into a packet of this kind.
fn rules_of(kind: PacketType) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(move |rule| {
        let is_for_subscribers = kind == PacketType::Publish && rule.id == SUBSCRIPTION_IDENTIFIER;
        rule.packets.contains(&kind) && !is_for_subscribers
    })
}

type Sample = (PacketType, Vec<u8>, fn(usize) -> bool);

/// A packet of every kind a client sends, with every kind of field, and which lengths its body may be
/// cut to and still be legal.
fn samples(version: Version) -> Vec<Sample> {
    let connect = Connect::new(fresh("sample"))
        .will(Will::new("will/topic", "payload").with(will_delay(0)))
        .user("user")
        .password("password")
        .with(session_expiry(1))
        .with(user_property("k", "v"));
    let publish = Publish::new("topic", "payload")
        .qos(1, 1)
        .with(user_property("k", "v"));
    let subscribe = Subscribe::new(1)
        .filter("a/b", 0)
        .filter("c", 1)
        .with(user_property("k", "v"));
    let unsubscribe = Unsubscribe::new(1)
        .filter("a/b")
        .filter("c")
        .with(user_property("k", "v"));
    let reason = |ack: Ack| ack.with(bytes(REASON_STRING, "why"));
    let disconnect = Disconnect::reason(0x00).with(user_property("k", "v"));
    let mut samples: Vec<Sample> = match version {
        Version::V3 => vec![
            (PacketType::Connect, connect.encode(version), |_| false),
            (PacketType::Publish, publish.encode(version), |length| {
                length >= 2 + 5 + 2
            }),
            (PacketType::Puback, puback(1).encode(version), |_| false),
            (PacketType::Pubrec, pubrec(1).encode(version), |_| false),
            (PacketType::Pubrel, pubrel(1).encode(version), |_| false),
            (PacketType::Pubcomp, pubcomp(1).encode(version), |_| false),
            (PacketType::Subscribe, subscribe.encode(version), |length| {
                length == 2 + 6
            }),
            (
                PacketType::Unsubscribe,
                unsubscribe.encode(version),
                |length| length == 2 + 5,
            ),
            (PacketType::Disconnect, disconnect.encode(version), |_| {
                false
            }),
        ],
        Version::V5 => vec![
            (PacketType::Connect, connect.encode(version), |_| false),
            (PacketType::Publish, publish.encode(version), |length| {
                length >= 2 + 5 + 2 + 8
            }),
            (
                PacketType::Puback,
                reason(puback(1)).encode(version),
                |length| length == 2 || length == 3,
            ),
            (
                PacketType::Pubrec,
                reason(pubrec(1)).encode(version),
                |length| length == 2 || length == 3,
            ),
            (
                PacketType::Pubrel,
                reason(pubrel(1)).encode(version),
                |length| length == 2 || length == 3,
            ),
            (
                PacketType::Pubcomp,
                reason(pubcomp(1)).encode(version),
                |length| length == 2 || length == 3,
            ),
            (PacketType::Subscribe, subscribe.encode(version), |length| {
                length == 2 + 8 + 6
            }),
            (
                PacketType::Unsubscribe,
                unsubscribe.encode(version),
                |length| length == 2 + 8 + 5,
            ),
            (
                PacketType::Disconnect,
                disconnect.encode(version),
                |length| length <= 1,
            ),
            (
                PacketType::Auth,
                Auth::reason(0x18)
                    .with(bytes(AUTHENTICATION_METHOD, "m"))
                    .encode(version),
                |_| false,
            ),
        ],
    };
    samples.push((PacketType::Pingreq, PINGREQ.to_vec(), |_| true));
    samples
}

/// Sends `packet` on a new connection and expects it to end with one of these reasons.
#[track_caller]
fn refuses(version: Version, packet: &[u8], reasons: &[u8]) {
    let mut client = connect(version, &fresh("wrong"));
    client.send(packet.to_vec());
    let answer = client.next_or_end();
    match (version, &answer) {
        (Version::V3, None) => {}
        (Version::V5, Some(Packet::Disconnect { reason, .. })) if reasons.contains(reason) => {
            client.expect_closed();
        }
        _ => panic!("{version:?}: {packet:02x?} is answered by {answer:02x?}"),
    }
}

/// Sends `packet` on a new connection and expects no error.
#[track_caller]
fn serves(version: Version, packet: &[u8]) {
    let mut client = connect(version, &fresh("right"));
    client.send(packet.to_vec());
    if packet[0] == 0xE0 {
        return client.expect_closed();
    }
    client.send(PINGREQ);
    loop {
        match client.next_or_end() {
            Some(Packet::Pingresp) => return,
            Some(Packet::Disconnect { .. }) | None => {
                panic!("{version:?}: {packet:02x?} ends the connection");
            }
            Some(_) => {}
        }
    }
}

/// Reads the refusal of a CONNECT: in MQTT 5 a CONNACK may say so, unless the packet ended before its
/// version.
#[track_caller]
fn expect_refused_connect(client: &mut Client, what: &str) {
    match (client.version(), client.next_or_end()) {
        (_, None) => {}
        (
            Version::V5,
            Some(Packet::Connack {
                reason: MALFORMED | PROTOCOL_ERROR,
                ..
            }),
        ) => {
            client.expect_closed();
        }
        (version, other) => panic!("{version:?}: {what} is answered by {other:02x?}"),
    }
}

/// Sends a packet of this kind with these bytes as its properties and expects it to be refused.
#[track_caller]
fn refuses_properties(kind: PacketType, properties: &[u8], reasons: &[u8]) {
    let section = [varint(properties.len()), properties.to_vec()].concat();
    refuses_section(kind, &section, reasons);
}

/// Sends a packet of this kind with these bytes as Property Length and properties and expects it to be
/// refused.
#[track_caller]
fn refuses_section(kind: PacketType, section: &[u8], reasons: &[u8]) {
    let around = |before: &[u8], after: &[u8]| [before, section, after].concat();
    let id = [0, 1];
    let packet = match kind {
        PacketType::Connect => frame(0x10, around(b"\x00\x04MQTT\x05\x02\x00\x00", b"\x00\x01c")),
        PacketType::Will => frame(
            0x10,
            around(
                b"\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01c",
                b"\x00\x01t\x00\x00",
            ),
        ),
        PacketType::Publish => frame(0x30, around(b"\x00\x01t", b"")),
        PacketType::Puback => frame(0x40, around(&[0, 1, 0], b"")),
        PacketType::Pubrec => frame(0x50, around(&[0, 1, 0], b"")),
        PacketType::Pubrel => frame(0x62, around(&[0, 1, 0], b"")),
        PacketType::Pubcomp => frame(0x70, around(&[0, 1, 0], b"")),
        PacketType::Subscribe => frame(0x82, around(&id, b"\x00\x01f\x00")),
        PacketType::Unsubscribe => frame(0xA2, around(&id, b"\x00\x01f")),
        PacketType::Disconnect => frame(0xE0, around(&[0], b"")),
        PacketType::Auth => frame(0xF0, around(&[0x18], b"")),
        other => panic!("{other:?} has no properties"),
    };
    if !matches!(kind, PacketType::Connect | PacketType::Will) {
        // Without a method every AUTH is a protocol error as well.
        let either = [MALFORMED, PROTOCOL_ERROR];
        return refuses(
            Version::V5,
            &packet,
            if kind == PacketType::Auth {
                &either
            } else {
                reasons
            },
        );
    }
    let mut client = Client::dial(broker().mqtt(), Version::V5);
    client.send(&packet);
    let (_, reason, _) = client.expect_connack();
    assert!(
        reasons.contains(&reason),
        "{packet:02x?} is refused by {reason:#04x}"
    );
    client.expect_closed();
}
