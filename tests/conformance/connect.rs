//! CONNECT and CONNACK: sections 3.1 and 3.2 of both standards.

use crate::support::*;

/// 5:MQTT-3.1.4-5 3:MQTT-3.1.4-4 5:MQTT-3.2.2-2 3:MQTT-3.2.2-1 5:MQTT-2.2.2-1
/// A valid CONNECT is answered by CONNACK 0x00 without Session Present.
#[test]
fn valid_connect_is_accepted() {
    both(|version| {
        let mut client = Client::dial(broker().mqtt(), version);
        client.send_connect(&Connect::new(fresh("valid")));
        let (session_present, reason, _) = client.expect_connack();
        assert_eq!((session_present, reason), (false, 0));
        client.expect_only_pingresp();
    });
}

/// 5:MQTT-3.1.0-1 3:MQTT-3.1.0-1 5:MQTT-3.14.0-1
/// A connection whose first packet is not CONNECT ends without any answer.
#[test]
fn first_packet_is_connect_or_the_connection_ends() {
    let firsts: [Vec<u8>; 6] = [
        PINGREQ.to_vec(),
        Subscribe::new(1).filter("a", 0).encode(Version::V3),
        Subscribe::new(1).filter("a", 0).encode(Version::V5),
        Publish::new("a", "x").encode(Version::V3),
        frame(0xE0, []),
        frame(0xF0, []),
    ];
    for first in firsts {
        let mut client = Client::dial(broker().mqtt(), Version::V5);
        client.try_send(&first);
        client.expect_closed();
    }
}

/// 5:MQTT-3.1.0-2 3:MQTT-3.1.0-2 5:MQTT-3.2.0-2
/// A second CONNECT, of the same or another client, is a protocol error and the will is published.
#[test]
fn second_connect_ends_the_connection() {
    both(|version| {
        for same_client in [true, false] {
            let (id, topic) = (fresh("twice"), fresh("will"));
            let mut watcher = watcher(version, &topic);
            let (mut client, _) = open(
                version,
                &Connect::new(&id).will(Will::new(&topic, "second connect")),
            );
            client.send(Connect::new(if same_client { id } else { fresh("other") }));
            client.expect_error(0x82);
            assert_eq!(watcher.receive().payload, b"second connect");
        }
    });
}

/// 5:MQTT-3.1.2-1 3:MQTT-3.1.2-1
/// Another protocol name is not served; a CONNACK may say so: 0x84 in MQTT 5, 1 in 3.1.1.
#[test]
fn other_protocol_names_are_not_served() {
    both(|version| {
        for name in ["MQTX", "mqtt", "", "MQTTT"] {
            let mut client = Client::dial(broker().mqtt(), version);
            client.send(connect_named(name, version.level(), &fresh("named")));
            match (version, client.next_or_end()) {
                (_, None) => {}
                (Version::V5, Some(Packet::Connack { reason: 0x84, .. }))
                | (Version::V3, Some(Packet::Connack { reason: 1, .. })) => client.expect_closed(),
                (_, other) => panic!("{name:?} is answered by {other:?}"),
            }
        }
    });
}

/// 3:MQTT-3.1.2-2 3:MQTT-3.2.2-5
/// Levels below 4, and MQIsdp at level 3, draw the CONNACK 0x01 of 3.1.1, also with the bit of a bridge.
#[test]
fn older_protocol_levels_are_refused_in_their_own_form() {
    let names = ["MQTT", "MQTT", "MQTT", "MQIsdp"].into_iter().cycle();
    for (name, level) in names.zip([0, 1, 3, 3, 0x80, 0x81, 0x83, 0x83]) {
        let mut client = Client::dial(broker().mqtt(), Version::V3);
        client.send(connect_named(name, level, &fresh("old")));
        let (_, code, _) = client.expect_connack();
        assert_eq!(code, 1, "{name} level {level}");
        client.expect_closed();
    }
}

/// 5:MQTT-3.1.2-2
/// Levels above 5 draw the CONNACK 0x84 of MQTT 5, also with the bit of a bridge.
#[test]
fn newer_protocol_levels_are_refused_with_0x84() {
    for level in [6, 127, 0x86, 255] {
        let mut client = Client::dial(broker().mqtt(), Version::V5);
        client.send(connect_named("MQTT", level, &fresh("new")));
        client.expect_refusal(0x84);
    }
}

/// 5:MQTT-3.1.2-3 3:MQTT-3.1.2-3
/// The reserved Connect Flag has to be 0.
#[test]
fn reserved_connect_flag_is_refused() {
    refuses(0x03, |_| utf8("reserved"));
}

/// 5:MQTT-3.1.2-9 3:MQTT-3.1.2-9
/// With the Will Flag every will field has to follow.
#[test]
fn will_flag_needs_all_will_fields() {
    refuses(0x06, |_| utf8("w"));
    refuses(0x06, |version| [utf8("w"), no_properties(version)].concat());
    refuses(0x06, |version| {
        [utf8("w"), no_properties(version), utf8("topic")].concat()
    });
}

/// 5:MQTT-3.1.2-11 3:MQTT-3.1.2-11 3:MQTT-3.1.2-13
/// Without the Will Flag the Will QoS is 0 and no will fields are there.
#[test]
fn will_qos_needs_the_will_flag() {
    for flags in [0x0A, 0x12, 0x1A] {
        refuses(flags, |_| utf8("w"));
    }
    refuses(0x02, |version| {
        [
            utf8("w"),
            no_properties(version),
            utf8("topic"),
            binary("payload"),
        ]
        .concat()
    });
}

/// 5:MQTT-3.1.2-12 3:MQTT-3.1.2-14
/// Will QoS 3 is malformed.
#[test]
fn will_qos_3_is_refused() {
    refuses(0x1E, |version| {
        [
            utf8("w"),
            no_properties(version),
            utf8("topic"),
            binary("payload"),
        ]
        .concat()
    });
}

/// 5:MQTT-3.1.2-13 3:MQTT-3.1.2-15 3:MQTT-3.1.2-11
/// Will Retain needs the Will Flag.
#[test]
fn will_retain_needs_the_will_flag() {
    refuses(0x22, |_| utf8("w"));
}

/// 5:MQTT-3.1.2-16 3:MQTT-3.1.2-18
/// Without the User Name Flag there is no user name.
#[test]
fn user_name_needs_its_flag() {
    refuses(0x02, |_| [utf8("u"), utf8("user")].concat());
}

/// 5:MQTT-3.1.2-17 3:MQTT-3.1.2-19
/// With the User Name Flag there is a user name.
#[test]
fn user_name_flag_needs_a_user_name() {
    refuses(0x82, |_| utf8("u"));
}

/// 5:MQTT-3.1.2-18 3:MQTT-3.1.2-20
/// Without the Password Flag there is no password.
#[test]
fn password_needs_its_flag() {
    refuses(0x82, |_| {
        [utf8("u"), utf8("user"), binary("password")].concat()
    });
}

/// 5:MQTT-3.1.2-19 3:MQTT-3.1.2-21
/// With the Password Flag there is a password.
#[test]
fn password_flag_needs_a_password() {
    refuses(0xC2, |_| [utf8("u"), utf8("user")].concat());
    refuses(0x42, |_| utf8("u"));
}

/// 3:MQTT-3.1.2-22
/// 3.1.1 refuses a password without a user name, which MQTT 5 allows.
#[test]
fn password_alone_is_for_mqtt_5() {
    let mut client = Client::dial(broker().mqtt(), Version::V3);
    client.send(Connect::new(fresh("password")).password("secret"));
    client.expect_closed();
    open(
        Version::V5,
        &Connect::new(fresh("password")).password("secret"),
    );
}

/// 5:MQTT-3.1.3-1 3:MQTT-3.1.3-1
/// The payload fields are read in the standard's order.
#[test]
fn payload_fields_are_read_in_order() {
    both(|version| {
        let topic = fresh("order/will");
        let mut watcher = watcher(version, &topic);
        let connect = Connect::new(fresh("order"))
            .will(
                Will::new(&topic, "the payload")
                    .qos(1)
                    .with(bytes(CONTENT_TYPE, "t")),
            )
            .user("the user")
            .password("the password");
        open(version, &connect).0.vanish();
        let will = watcher.receive();
        assert_eq!(
            (will.topic.as_str(), will.text()),
            (topic.as_str(), "the payload")
        );
        if version == Version::V5 {
            assert_eq!(will.props.text(CONTENT_TYPE).as_deref(), Some("t"));
        }
    });
}

/// 5:MQTT-3.1.3-3 3:MQTT-3.1.3-3
/// The client identifier has to be there.
#[test]
fn empty_payload_is_refused() {
    refuses(0x02, |_| Vec::new());
}

/// 5:MQTT-3.1.3-4 3:MQTT-3.1.3-4
/// A client identifier is a string within the packet.
#[test]
fn client_identifier_is_a_string_within_the_packet() {
    refuses(0x02, |_| utf8([0xC3, 0x28]));
    refuses(0x02, |_| utf8("a\0b"));
    refuses(0x02, |_| vec![0x00, 0x05, b'a', b'b']);
}

/// 5:MQTT-3.1.3-5 3:MQTT-3.1.3-5
/// Client identifiers of 1 to 23 letters and digits are accepted.
#[test]
fn letters_and_digits_are_accepted_as_client_identifiers() {
    let alphabet: Vec<char> = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
    both(|version| {
        for chunk in alphabet.chunks(23).chain(alphabet.rchunks(23)) {
            let mut id: String = chunk.iter().collect();
            id.replace_range(..1, if version == Version::V5 { "5" } else { "3" });
            connect(version, &id);
        }
        connect(version, if version == Version::V5 { "v" } else { "t" });
    });
}

/// 5:MQTT-3.1.3-6 5:MQTT-3.2.2-16
/// Clients without an identifier are assigned one that nobody else has.
#[test]
fn empty_client_identifiers_are_replaced_by_unique_ones() {
    let mut clients: Vec<(Client, String)> = (0..20).map(|_| connect_nameless()).collect();
    let mut assigned: Vec<String> = clients.iter().map(|(_, id)| id.clone()).collect();
    assigned.sort();
    assigned.dedup();
    assert_eq!(assigned.len(), 20, "all different");
    assert!(!assigned.contains(&String::new()));
    for (client, _) in &mut clients {
        client.expect_only_pingresp();
    }
}

/// 5:MQTT-3.1.3-7
/// An assigned identifier names the session from then on.
#[test]
fn assigned_client_identifier_resumes_the_session() {
    let (mut client, id) = connect_nameless();
    let topic = fresh("assigned");
    client.subscribe(&topic, 1);
    client.vanish();
    let (mut client, session_present) = open(Version::V5, &Connect::new(id).durable());
    assert!(session_present);
    connect5(&fresh("author")).publish(&topic, "again", 1);
    assert_eq!(client.receive().payload, b"again");
}

/// 3:MQTT-3.1.3-6 3:MQTT-3.1.3-7
/// 3.1.1 clients without an identifier are clients of their own.
#[test]
fn nameless_3_1_1_clients_do_not_disturb_each_other() {
    let (mut first, mut second) = (connect3(""), connect3(""));
    let (one, two) = (fresh("one"), fresh("two"));
    first.subscribe(&one, 1);
    second.subscribe(&two, 1);
    let mut author = connect3("");
    author.publish(&one, "1", 1);
    author.publish(&two, "2", 1);
    assert_eq!(first.receive().payload, b"1");
    assert_eq!(second.receive().payload, b"2");
    first.expect_only_pingresp();
}

/// 3:MQTT-3.1.3-8 3:MQTT-3.1.3-9 3:MQTT-3.2.2-5 3:MQTT-3.1.3-7
/// 3.1.1 refuses an empty identifier with CleanSession 0 by code 2.
#[test]
fn nameless_client_with_a_session_is_refused_in_3_1_1() {
    let mut client = Client::dial(broker().mqtt(), Version::V3);
    client.send(Connect::new("").resume());
    let (session_present, code, _) = client.expect_connack();
    assert_eq!((session_present, code), (false, 2));
    client.expect_closed();
}

/// 5:MQTT-3.1.3-11 3:MQTT-3.1.3-10
/// The Will Topic is a string.
#[test]
fn will_topic_is_a_string() {
    for topic in [&b"a\xED\xA0\x80"[..], b"a\xC0\xAF", b"a\0b"] {
        refuses(0x06, |version| {
            [utf8("w"), no_properties(version), utf8(topic), binary("x")].concat()
        });
    }
}

/// 5:MQTT-3.1.3-12 3:MQTT-3.1.3-11
/// The user name is a string; the password may be any bytes.
#[test]
fn user_name_is_a_string_and_password_is_not() {
    for user in [&b"a\xED\xA0\x80"[..], b"a\xC0\xAF", b"a\0b"] {
        refuses(0x82, |_| [utf8("u"), utf8(user)].concat());
    }
    both(|version| {
        open(
            version,
            &Connect::new(fresh("bytes"))
                .user("u")
                .password([0xFF, 0x00, 0xC0]),
        );
    });
}

/// 5:MQTT-3.1.4-1 3:MQTT-3.1.4-1 3:MQTT-3.2.2-6
/// A CONNECT with bytes behind its last field is refused and makes no session.
#[test]
fn surplus_bytes_are_refused() {
    both(|version| {
        let id = fresh("surplus");
        let mut body = Connect::new(&id).durable().encode(version)[2..].to_vec();
        body.push(0);
        let mut client = Client::dial(broker().mqtt(), version);
        client.send(frame(0x10, body));
        client.expect_refusal(0x81);
        let (_, session_present) = open(version, &Connect::new(id).durable());
        assert!(!session_present);
    });
}

/// 5:MQTT-3.1.4-3 3:MQTT-3.1.4-2
/// A second connection takes the client identifier over: the first reads DISCONNECT 0x8E, in 3.1.1
/// just the end, and its will is published.
#[test]
fn takeover_ends_the_older_connection() {
    both(|version| {
        let (id, topic) = (fresh("taken"), fresh("will"));
        let mut watcher = watcher(version, &topic);
        let (mut older, _) = open(
            version,
            &Connect::new(&id).will(Will::new(&topic, "taken over")),
        );
        let mut newer = connect(version, &id);
        older.expect_error(0x8E);
        assert_eq!(watcher.receive().payload, b"taken over");
        newer.expect_only_pingresp();
    });
}

/// 5:MQTT-3.1.4-3 3:MQTT-3.1.4-2
/// The identifier is one for both versions: a takeover crosses them.
#[test]
fn takeover_crosses_versions() {
    let id = fresh("crossed");
    let mut first = connect5(&id);
    let mut second = connect3(&id);
    first.expect_disconnect(0x8E);
    let mut third = connect5(&id);
    second.expect_closed();
    third.expect_only_pingresp();
}

/// 5:MQTT-3.2.0-1 3:MQTT-3.2.0-1 5:MQTT-3.2.0-2
/// CONNACK comes first and once, whatever waits in the session or was pipelined.
#[test]
fn connack_comes_first() {
    both(|version| {
        let (id, topic) = (fresh("first"), fresh("queued"));
        let (mut client, _) = open(version, &Connect::new(&id).durable());
        client.subscribe(&topic, 1);
        client.disconnect();
        let mut author = connect(version, &fresh("author"));
        for number in 0..10 {
            author.publish(&topic, number.to_string(), 1);
        }
        let mut client = Client::dial(broker().mqtt(), version);
        let mut burst = Connect::new(&id).durable().encode(version);
        burst.extend(Subscribe::new(7).filter(fresh("more"), 1).encode(version));
        burst.extend(PINGREQ);
        client.send(burst);
        let (session_present, reason, _) = client.expect_connack();
        assert_eq!((session_present, reason), (true, 0));
        // The reader fails on a second CONNACK.
        let rest: Vec<Packet> = (0..12).map(|_| client.next_packet()).collect();
        assert_eq!(
            rest.iter()
                .filter(|packet| matches!(packet, Packet::Publish(_)))
                .count(),
            10
        );
    });
}

/// 5:MQTT-3.2.2-1 5:MQTT-3.2.2-6 5:MQTT-3.2.2-7 5:MQTT-3.2.2-8 5:MQTT-3.14.0-1
/// Every refusal is a CONNACK of the table without Session Present, then the end of the stream, and
/// a session that was stored stays as it is.
#[test]
fn refusals_are_connacks_of_the_table() {
    let id = fresh("stored");
    open(Version::V5, &Connect::new(&id).durable())
        .0
        .disconnect();
    let refused = [
        connect_named("MQTT", 6, &id),
        Connect::new(&id)
            .durable()
            .with(session_expiry(1))
            .encode(Version::V5),
        Connect::new(&id)
            .durable()
            .with(bytes(AUTHENTICATION_METHOD, "none"))
            .encode(Version::V5),
        Connect::new(&id)
            .durable()
            .will(Will::new("a/#", "x"))
            .encode(Version::V5),
    ];
    for packet in refused {
        let mut client = Client::dial(broker().mqtt(), Version::V5);
        client.send(&packet);
        // The reader checks the flags and the table.
        let (session_present, reason, _) = client.expect_connack();
        assert!(!session_present && reason >= 0x80, "{packet:02x?}");
        client.expect_closed();
    }
    let (_, session_present) = open(Version::V5, &Connect::new(&id).durable());
    assert!(session_present);
}

/// 5:MQTT-4.12.0-1 5:MQTT-3.1.2-30
/// An authentication method that the broker does not have is refused by 0x8C, and what was pipelined
/// behind has no effect.
#[test]
fn unknown_authentication_method_is_refused() {
    let topic = fresh("unauthenticated");
    let mut watcher = watcher(Version::V5, &topic);
    let mut client = Client::dial(broker().mqtt(), Version::V5);
    let mut burst = Connect::new(fresh("method"))
        .with(bytes(AUTHENTICATION_METHOD, "no-such-method"))
        .with(bytes(AUTHENTICATION_DATA, [1, 2, 3]))
        .encode(Version::V5);
    burst.extend(Publish::new(&topic, "x").encode(Version::V5));
    client.send(burst);
    client.expect_refusal(0x8C);
    watcher.expect_only_pingresp();
}

/// 5:MQTT-3.1.4-6 3:MQTT-3.1.4-5
/// What follows a refused CONNECT is not processed.
#[test]
fn packets_behind_a_refused_connect_have_no_effect() {
    both(|version| {
        let topic = fresh("refused");
        let mut watcher = watcher(version, &topic);
        let mut burst = match version {
            Version::V3 => Connect::new("").resume().encode(version),
            Version::V5 => Connect::new(fresh("refused"))
                .with(bytes(AUTHENTICATION_METHOD, "none"))
                .encode(version),
        };
        burst.extend(Publish::new(&topic, "x").retain().encode(version));
        burst.extend(Subscribe::new(1).filter("#", 0).encode(version));
        let mut client = Client::dial(broker().mqtt(), version);
        client.send(burst);
        let (_, reason, _) = client.expect_connack();
        assert_ne!(reason, 0);
        client.expect_closed();
        watcher.expect_only_pingresp();
        let mut later = connect(version, &fresh("later"));
        later.subscribe(&topic, 1);
        later.expect_only_pingresp();
    });
}

/// 5:MQTT-4.12.0-6
/// A client that named no method reads no AUTH and no Authentication Method.
#[test]
fn no_method_no_authentication() {
    let id = fresh("plain");
    for _ in 0..2 {
        let mut client = Client::dial(broker().mqtt(), Version::V5);
        client.send_connect(&Connect::new(&id).durable());
        let (_, _, props) = client.expect_connack();
        assert!(!props.has(AUTHENTICATION_METHOD));
        client.disconnect();
    }
}

/// 5:MQTT-3.1.2-28
/// Response Information comes only to those who ask for it.
#[test]
fn response_information_is_not_sent_unasked() {
    for connect in [
        Connect::new(fresh("unasked")),
        Connect::new(fresh("declined")).with(byte(REQUEST_RESPONSE_INFORMATION, 0)),
    ] {
        assert!(!connack_properties(&connect).has(RESPONSE_INFORMATION));
    }
    connack_properties(&Connect::new(fresh("asked")).with(byte(REQUEST_RESPONSE_INFORMATION, 1)));
}

/// 5:MQTT-3.2.2-9
/// A broker that serves QoS 2 announces no Maximum QoS.
#[test]
fn full_qos_is_not_announced() {
    assert!(!connack_properties(&Connect::new(fresh("full"))).has(MAXIMUM_QOS));
}

/// 5:MQTT-3.2.2-22
/// The broker keeps the Keep Alive of the client unless it announces another.
#[test]
fn keep_alive_of_the_client_stands() {
    assert!(
        !connack_properties(&Connect::new(fresh("kept")).keep_alive(10)).has(SERVER_KEEP_ALIVE)
    );
}

/// 5:MQTT-3.1.3-2 3:MQTT-3.1.3-2
/// Sessions belong to client identifiers, not to addresses.
#[test]
fn client_identifier_names_the_session() {
    both(|version| {
        let (one, two) = (fresh("one"), fresh("two"));
        let (mut client, _) = open(version, &Connect::new(&one).durable());
        let first_address = client.local_address();
        client.subscribe(&fresh("mine"), 1);
        client.disconnect();
        let (_, session_present) = open(version, &Connect::new(&two).durable());
        assert!(!session_present, "another client has another session");
        let (client, session_present) = open(version, &Connect::new(&one).durable());
        assert!(session_present, "the same client has its session");
        assert_ne!(client.local_address(), first_address);
    });
}

/// 5:MQTT-4.2-1 3:MQTT-7.1.1-1
/// TCP is a stream of bytes: packets may come byte by byte or many at once.
#[test]
fn packets_may_be_cut_anywhere() {
    both(|version| {
        let topic = fresh("cut");
        let mut client = Client::dial(broker().mqtt(), version);
        let mut script = Connect::new(fresh("cut")).encode(version);
        script.extend(Subscribe::new(1).filter(&topic, 1).encode(version));
        script.extend(
            Publish::new(&topic, "x".repeat(200))
                .qos(1, 2)
                .encode(version),
        );
        for byte in &script {
            client.send([*byte]);
        }
        client.expect_connack();
        client.expect_suback(1);
        let mut answers = [client.next_packet(), client.next_packet()];
        answers.sort_by_key(|packet| !matches!(packet, Packet::Publish(_)));
        assert!(matches!(&answers[0], Packet::Publish(got) if got.payload.len() == 200));
        assert!(matches!(answers[1], Packet::Ack { id: 2, .. }));
        client.send([PINGREQ; 100].concat());
        for _ in 0..100 {
            assert_eq!(client.next_packet(), Packet::Pingresp);
        }
    });
}

/// 3:MQTT-7.0.0-2
/// A client that knows nothing but 3.1.1 is served in full under default settings.
#[test]
fn plain_3_1_1_client_is_served_in_full() {
    let (id, topic) = (fresh("plain"), fresh("plain"));
    let will = Will::new(format!("{topic}/will"), "will").qos(1);
    let (mut client, _) = open(
        Version::V3,
        &Connect::new(&id).resume().keep_alive(60).will(will),
    );
    assert_eq!(client.subscribe(&format!("{topic}/#"), 2), 2);
    let mut author = connect3(&fresh("author"));
    for qos in [0, 1, 2] {
        author.retain(&topic, format!("at {qos}"), qos);
        assert_eq!(client.receive().text(), format!("at {qos}"));
    }
    assert_eq!(watcher(Version::V3, &topic).receive().text(), "at 2");
    client.vanish();
    author.publish(&topic, "queued", 1);
    let (mut client, session_present) = open(Version::V3, &Connect::new(&id).resume());
    assert!(session_present);
    assert_eq!(client.receive_texts(2), ["will", "queued"]);
    client.unsubscribe(&format!("{topic}/#"));
    client.disconnect();
}

/// A CONNECT with any protocol name and level and nothing else special.
fn connect_named(name: &str, level: u8, client_id: &str) -> Vec<u8> {
    let mut body = utf8(name);
    body.extend([level, 0x02, 0x00, 0x00]);
    if level & 0x7F >= 5 {
        body.push(0);
    }
    body.extend(utf8(client_id));
    frame(0x10, body)
}

/// Sends CONNECT with these flags and payload in both versions and expects it to be refused as
/// malformed.
fn refuses(flags: u8, payload: impl Fn(Version) -> Vec<u8> + Sync) {
    both(|version| {
        let mut body = utf8("MQTT");
        body.extend([version.level(), flags, 0x00, 0x3C]);
        body.extend(no_properties(version));
        body.extend(payload(version));
        let mut client = Client::dial(broker().mqtt(), version);
        client.send(frame(0x10, body));
        client.expect_refusal(0x81);
    });
}

/// The Property Length of zero that MQTT 5 wants where there are no properties.
fn no_properties(version: Version) -> Vec<u8> {
    version.properties(&Props::default())
}

fn connect_nameless() -> (Client, String) {
    let mut client = Client::dial(broker().mqtt(), Version::V5);
    client.send_connect(&Connect::new("").with(session_expiry(300)));
    let (_, reason, props) = client.expect_connack();
    assert_eq!(reason, 0);
    let id = props
        .text(ASSIGNED_CLIENT_IDENTIFIER)
        .expect("an Assigned Client Identifier");
    (client, id)
}

/// The properties of the CONNACK that accepts `connect`.
fn connack_properties(connect: &Connect) -> Props {
    let mut client = Client::dial(broker().mqtt(), Version::V5);
    client.send_connect(connect);
    let (_, reason, props) = client.expect_connack();
    assert_eq!(reason, 0);
    props
}
