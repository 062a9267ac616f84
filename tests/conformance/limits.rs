//! What a server may restrict, with brokers that are configured to: Maximum QoS, Receive Maximum,
//! Maximum Packet Size, Topic Alias Maximum, users, and bounds that refuse a message.

use crate::support::*;

/// 5:MQTT-3.2.2-15
/// A packet of just the Maximum Packet Size is served; one byte more is refused by 0x95 on its length
/// alone.
#[test]
fn packets_above_the_announced_size_are_refused() {
    let own = standard("[limits]\npacket_size = 1000\n");
    let topic = fresh("size");
    let overhead = 3 + 2 + topic.len();
    both(|version| {
        let (mut client, props) = connect_to(&own, version);
        let no_properties = usize::from(version == Version::V5);
        if version == Version::V5 {
            assert_eq!(props.number(MAXIMUM_PACKET_SIZE), Some(1000));
        }
        client.send(Publish::new(
            &topic,
            "x".repeat(1000 - overhead - no_properties),
        ));
        client.expect_only_pingresp();
        // 3 bytes of fixed header; the body is never sent.
        client.send([&[0x30][..], &varint(1000 - 3 + 1)].concat());
        client.expect_error(0x95);
    });
}

/// 5:MQTT-4.13.1-1
/// A property section above `limits.properties` is refused by 0x95 on its length alone, in every packet
/// of a client; one of just that length is read.
#[test]
fn long_property_sections_are_refused_unread() {
    const LIMIT: usize = 1000;
    let own = standard("[limits]\nproperties = 1000\n");
    let packets: [(u8, &[u8]); 7] = [
        (0x30, b"\0\x01t"),
        (0x32, b"\0\x01t\0\x01"),
        (0x40, b"\0\x01\0"),
        (0x62, b"\0\x01\0"),
        (0x82, b"\0\x01"),
        (0xA2, b"\0\x01"),
        (0xE0, b"\0"),
    ];
    for (first, head) in packets {
        let (mut client, _) = connect_to(&own, Version::V5);
        // All but the fixed header and the length of the section stays behind.
        let length = varint(LIMIT + 1);
        let body_length = head.len() + length.len() + LIMIT + 1;
        client.send([&[first][..], &varint(body_length), head, &length].concat());
        client.expect_disconnect(0x95);
    }
    let (mut client, _) = connect_to(&own, Version::V5);
    // 5 bytes of identifier and lengths for each.
    let name = "n".repeat(LIMIT - 5 - 10);
    let message = Publish::new("t", "x").with(user_property(&name, "0123456789"));
    assert_eq!(client.publish_message(message, 1), 0x10);
    // A run of messages, the last of which has one byte too many.
    let long = Publish::new("t", "x").with(user_property(&name, "0123456789+"));
    let short = Publish::new("t", "x").encode(Version::V5);
    client.send([short.clone(), short, long.encode(Version::V5)].concat());
    client.expect_disconnect(0x95);
}

/// 5:MQTT-3.1.4-1
/// The sections of CONNECT and of its will have the same bound; 3.1.1 has no properties to bound.
#[test]
fn long_property_sections_of_connect_are_refused() {
    let own = standard("[limits]\nproperties = 100\n");
    let long = || user_property("n".repeat(100), "v");
    let will = || Will::new("t", "x").with(long());
    for connect in [
        Connect::new(fresh("c")).with(long()),
        Connect::new(fresh("c")).will(will()),
    ] {
        let mut client = Client::dial(own.mqtt(), Version::V5);
        client.send_connect(&connect);
        client.expect_refusal(0x95);
        connect_as(&own, Version::V3, &connect);
    }
}

/// 5:MQTT-3.1.4-1 3:MQTT-3.1.4-1
/// A CONNECT above `limits.connect_size` is refused by its fixed header: nobody is known yet whom the
/// broker could answer. Another packet is refused by its first byte.
#[test]
fn large_connect_is_refused_on_its_length() {
    let own = standard("[limits]\nconnect_size = 300\n");
    both(|version| {
        let overhead = Connect::new("")
            .will(Will::new("t", ""))
            .encode(version)
            .len();
        // The Remaining Length takes two bytes.
        let connect = |size: usize| {
            let payload = "x".repeat(size - overhead - 1);
            Connect::new("").will(Will::new("t", payload))
        };
        assert_eq!(connect(300).encode(version).len(), 300);
        connect_as(&own, version, &connect(300));
        let mut client = Client::dial(own.mqtt(), version);
        client.send(connect(301).encode(version)[..3].to_vec());
        client.expect_closed();
        let mut client = Client::dial(own.mqtt(), version);
        client.send([0x30]);
        client.expect_closed();
    });
}

/// 5:MQTT-1.5.5-1 5:MQTT-3.1.2-24
/// The largest PUBLISH of 3.1.1 does not fit Remaining Length with the properties of MQTT 5: it is
/// dropped for a receiver of that version and reaches one of its own.
#[test]
fn largest_packet_of_3_1_1_is_dropped_for_mqtt_5() {
    let own = standard("[limits]\noutbox = \"512MiB\"\n");
    let (mut five, _) = connect_to(&own, Version::V5);
    let (mut four, _) = connect_to(&own, Version::V3);
    assert_eq!((five.subscribe("big", 0), four.subscribe("big", 0)), (0, 0));
    let (mut author, _) = connect_to(&own, Version::V3);
    author.send([&[0x30][..], &varint(268_435_455), &utf8("big")].concat());
    author.send(vec![0; 268_435_455 - 5]);
    author.post("big", "after");
    assert_eq!(five.receive().text(), "after");
    let mut large = four.into_stream();
    let mut head = [0; 10];
    std::io::Read::read_exact(&mut large, &mut head).expect("the message as it was sent");
    assert_eq!(head[..5], [0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
}

/// 5:MQTT-3.3.4-7
/// More open QoS 2 exchanges than the Receive Maximum of CONNACK are refused by 0x93.
#[test]
fn exchanges_above_the_receive_maximum_are_refused() {
    let own = standard("[limits]\nreceive_maximum = 3\n");
    let (mut client, props) = connect_to(&own, Version::V5);
    assert_eq!(props.number(RECEIVE_MAXIMUM), Some(3));
    for round in 0..3 {
        for id in 1..=3 {
            client.send(Publish::new("a", "x").qos(2, id));
            client.expect_pubrec(id);
        }
        for id in 1..=3 {
            if round < 2 {
                client.send(pubrel(id));
                client.expect_pubcomp(id);
            }
        }
    }
    client.send(Publish::new("a", "x").qos(2, 4));
    client.expect_disconnect(0x93);
}

/// 5:MQTT-3.3.4-7 5:MQTT-4.9.0-1
/// The Receive Maximum is of the connection: what earlier ones have left open does not count, unless it comes
/// again, and each PUBCOMP gives a place back.
#[test]
fn exchanges_of_earlier_connections_are_not_above_the_receive_maximum() {
    let own = standard("[limits]\nreceive_maximum = 3\n");
    let connect = Connect::new("author").durable();
    let publish = |client: &mut Client, id: u16, is_again: bool| {
        let mut publish = Publish::new("a", "x").qos(2, id);
        if is_again {
            publish = publish.dup();
        }
        client.send(publish);
        client.expect_pubrec(id);
    };
    for round in 0..3 {
        let (mut client, session_present) = own.open(Version::V5, &connect);
        assert_eq!(session_present, round > 0);
        (1..=3).for_each(|id| publish(&mut client, 3 * round + id, false));
        client.vanish();
    }
    let (mut client, _) = own.open(Version::V5, &connect);
    publish(&mut client, 1, true);
    publish(&mut client, 10, false);
    publish(&mut client, 11, false);
    client.send(pubrel(9));
    assert_eq!(client.expect_pubcomp(9), 0);
    publish(&mut client, 12, false);
    client.send(Publish::new("a", "x").qos(2, 13));
    client.expect_disconnect(0x93);
}

/// 5:MQTT-3.2.2-18
/// Without a Topic Alias Maximum in CONNACK any alias is refused by 0x94.
#[test]
fn aliases_are_refused_where_they_are_off() {
    let own = standard("[limits]\ntopic_alias_maximum = 0\n");
    let (mut client, props) = connect_to(&own, Version::V5);
    assert_eq!(props.number(TOPIC_ALIAS_MAXIMUM).unwrap_or(0), 0);
    client.send(Publish::new("a", "x").with(topic_alias(1)));
    client.expect_disconnect(0x94);
}

/// 5:MQTT-3.1.3-8 3:MQTT-3.1.3-9
/// A client identifier that is too long is refused by 0x85, in 3.1.1 by code 2.
#[test]
fn long_client_identifiers_are_refused() {
    let own = standard("[limits]\nclient_id_length = 10\n");
    both(|version| {
        let mut client = Client::dial(own.mqtt(), version);
        client.send_connect(&Connect::new("eleven byte"));
        let (session_present, reason, _) = client.expect_connack();
        assert_eq!(
            (session_present, reason),
            (false, if version == Version::V5 { 0x85 } else { 2 })
        );
        client.expect_closed();
    });
}

/// 5:MQTT-3.3.4-5
/// Where the broker is told to send a copy for each overlapping subscription, each copy has the
/// identifier and the QoS of its own.
#[test]
fn copies_have_the_identifier_of_their_own_subscription() {
    let own = standard("overlapping = \"copy-each\"\n");
    let (mut reader, _) = connect_to(&own, Version::V5);
    for (id, filter, qos) in [(1, "a/#", 0), (2, "a/+", 2), (3, "a/b", 1)] {
        let mut subscribe = Subscribe::new(id).filter(filter, qos);
        if id < 3 {
            subscribe = subscribe.with(subscription_identifier(u32::from(id)));
        }
        assert_eq!(reader.subscribe_with(&subscribe, id), qos);
    }
    connect_to(&own, Version::V5).0.publish("a/b", "x", 2);
    let mut copies: Vec<(Vec<u32>, u8)> = (0..3)
        .map(|_| {
            let copy = reader.receive();
            (copy.props.subscription_identifiers(), copy.qos)
        })
        .collect();
    copies.sort();
    assert_eq!(copies, [(vec![], 1), (vec![1], 0), (vec![2], 2)]);
    reader.expect_only_pingresp();
}

/// 5:MQTT-4.3.3-9
/// After a PUBREC of 0x80 or more the identifier is a new message.
#[test]
fn identifier_of_a_refused_message_is_free() {
    let own = standard("[limits]\ntopic_length = 10\n");
    let (mut reader, _) = connect_to(&own, Version::V5);
    reader.subscribe("#", 2);
    let (mut author, _) = connect_to(&own, Version::V5);
    author.send(Publish::new("longer than ten", "refused").qos(2, 5));
    assert_eq!(author.expect_pubrec(5), 0x90);
    author.send(Publish::new("short", "taken").qos(2, 5));
    assert_eq!(author.expect_pubrec(5), 0);
    author.send(pubrel(5));
    assert_eq!(author.expect_pubcomp(5), 0);
    assert_eq!(reader.receive().text(), "taken");
    reader.expect_only_pingresp();
}

/// 3:MQTT-3.3.5-2 5:MQTT-3.4.2-1 5:MQTT-3.5.2-1
/// A PUBLISH that is refused is never delivered: MQTT 5 says why, 3.1.1 ends the connection.
#[test]
fn refused_publish_is_never_delivered() {
    let own = standard("[limits]\ntopic_length = 10\n");
    both(|version| {
        let (mut reader, _) = connect_to(&own, version);
        reader.subscribe("#", 2);
        for qos in [0, 1, 2] {
            let (mut author, _) = connect_to(&own, version);
            let message = Publish::new("longer than ten", "x");
            author.send(if qos == 0 {
                message
            } else {
                message.qos(qos, 7)
            });
            match (version, qos) {
                (Version::V5, 1) => assert_eq!(author.expect_puback(7), 0x90),
                (Version::V5, 2) => assert_eq!(author.expect_pubrec(7), 0x90),
                _ => author.expect_error(0x90),
            }
        }
        reader.expect_only_pingresp();
    });
}

/// 3:MQTT-4.8.0-2
/// A PUBLISH that the broker cannot keep ends the 3.1.1 connection it came on, unacknowledged; MQTT 5
/// says 0x97; others stay.
#[test]
fn message_without_room_ends_its_connection_only() {
    let own = standard("[limits]\nmemory = 60000\n");
    let (mut absent, _) = connect_as(&own, Version::V5, &Connect::new("absent").durable());
    absent.subscribe("a", 1);
    absent.disconnect();
    let (mut bystander, _) = connect_to(&own, Version::V3);
    let (mut author, _) = connect_to(&own, Version::V5);
    let mut taken = 0;
    while author.publish_message(Publish::new("a", "x".repeat(1000)), 1) != 0x97 {
        taken += 1;
        assert!(taken < 100, "the bound is reached");
    }
    let (mut old, _) = connect_to(&own, Version::V3);
    old.send(Publish::new("a", "x").qos(1, 1));
    old.expect_closed();
    bystander.expect_only_pingresp();
    author.expect_only_pingresp();
}

/// 5:MQTT-4.3.3-10 3:MQTT-4.3.3-2
/// A QoS 2 PUBLISH that was taken before there was no room is acknowledged again when it is sent again.
#[test]
fn message_that_was_taken_needs_no_room_when_it_is_sent_again() {
    let own = standard("[limits]\nmemory = 60000\n");
    let (mut absent, _) = connect_as(&own, Version::V5, &Connect::new("absent").durable());
    absent.subscribe("a", 1);
    absent.disconnect();
    let (mut author, _) = connect_to(&own, Version::V5);
    author.send(Publish::new("a", "taken").qos(2, 500));
    assert_eq!(author.expect_pubrec(500), 0);
    let mut taken = 0;
    while author.publish_message(Publish::new("a", "x".repeat(1000)), 1) != 0x97 {
        taken += 1;
        assert!(taken < 100, "the bound is reached");
    }
    author.send(Publish::new("a", "taken").qos(2, 500).dup());
    assert_eq!(author.expect_pubrec(500), 0);
    author.send(pubrel(500));
    assert_eq!(author.expect_pubcomp(500), 0);
}

/// 5:MQTT-3.1.4-2 3:MQTT-3.2.2-4 3:MQTT-3.2.2-5 5:MQTT-3.2.2-6 5:MQTT-3.1.3-1 3:MQTT-3.1.3-1
/// Wrong user names and passwords are refused by 0x86, in 3.1.1 by code 4, without Session Present and
/// without harm to a stored session.
#[test]
fn wrong_passwords_are_refused() {
    let own = standard(&format!(
        "[[users]]\nname = \"ann\"\npassword_hash = \"{HASH_OF_SECRET}\"\n"
    ));
    both(|version| {
        let id = fresh("stored");
        let right = Connect::new(&id).durable().user("ann").password("secret");
        connect_as(&own, version, &right).0.disconnect();
        let wrong = [
            Connect::new(&id).durable(),
            Connect::new(&id).durable().user("ann"),
            Connect::new(&id).durable().user("ann").password("Secret"),
            Connect::new(&id).durable().user("bob").password("secret"),
            Connect::new(&id).durable().user("secret").password("ann"),
        ];
        for connect in wrong {
            let mut client = Client::dial(own.mqtt(), version);
            client.send_connect(&connect);
            let (session_present, reason, _) = client.expect_connack();
            assert!(!session_present);
            assert_eq!(reason, if version == Version::V5 { 0x86 } else { 4 });
            client.expect_closed();
        }
        let (_, session_present) = connect_as(&own, version, &right);
        assert!(session_present);
    });
}

/// 5:MQTT-3.14.0-1
/// A connection without a CONNECT is closed after the connect timeout, without a word.
#[test]
fn connection_without_connect_is_closed_without_a_word() {
    let own = standard("[limits]\nconnect_timeout = \"1s\"\n");
    let mut silent = Client::dial(own.mqtt(), Version::V5);
    let mut slow = Client::dial(own.mqtt(), Version::V5);
    slow.send(Connect::new(fresh("slow")).encode(Version::V5)[..10].to_vec());
    let (mut served, _) = connect_to(&own, Version::V5);
    silent.expect_closed();
    slow.expect_closed();
    served.expect_only_pingresp();
}

/// 5:MQTT-3.2.2-9
/// A broker without QoS 2 says so in CONNACK.
#[test]
fn maximum_qos_is_announced() {
    let (_, props) = connect_to(aws_broker(), Version::V5);
    assert_eq!(props.number(MAXIMUM_QOS), Some(1));
}

/// 5:MQTT-3.2.2-11
/// A PUBLISH above the Maximum QoS is refused by 0x9B and not delivered.
#[test]
fn publish_above_the_maximum_qos_is_refused() {
    let topic = fresh("above");
    let (mut watcher, _) = connect_to(aws_broker(), Version::V5);
    watcher.subscribe(&topic, 1);
    let (mut author, _) = connect_to(aws_broker(), Version::V5);
    author.send(Publish::new(&topic, "x").qos(2, 1));
    author.expect_disconnect(0x9B);
    watcher.expect_only_pingresp();
}

/// 5:MQTT-3.2.2-12
/// A will above the Maximum QoS is refused by 0x9B.
#[test]
fn will_above_the_maximum_qos_is_refused() {
    let mut client = Client::dial(aws_broker().mqtt(), Version::V5);
    client.send_connect(&Connect::new(fresh("will")).will(Will::new("a", "x").qos(2)));
    client.expect_refusal(0x9B);
}

/// The hash of `secret` as a configuration file has it: PBKDF2 with a thousand iterations.
const HASH_OF_SECRET: &str =
    "$pbkdf2-sha256$i=1000$c2l4dGVlbiBieXRlcyBvaw$Yic6xB2Azj4fBhKstNB7WLaiOcN8ifBRJ7emnjo3D3c";

/// A broker of profile `standard` with this configuration.
fn standard(config: &str) -> TestBroker {
    TestBroker::start_with_config(&["--profile", "standard"], config)
}

/// A new client of this broker, with the properties of CONNACK.
fn connect_to(broker: &TestBroker, version: Version) -> (Client, Props) {
    let mut client = Client::dial(broker.mqtt(), version);
    client.send_connect(&Connect::new(fresh("c")));
    let (_, reason, props) = client.expect_connack();
    assert_eq!(reason, 0);
    (client, props)
}

/// Connects to this broker; also tells whether a session was present.
fn connect_as(broker: &TestBroker, version: Version, connect: &Connect) -> (Client, bool) {
    let mut client = Client::dial(broker.mqtt(), version);
    client.send_connect(connect);
    let (session_present, reason, _) = client.expect_connack();
    assert_eq!(reason, 0);
    (client, session_present)
}
