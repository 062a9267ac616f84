//! Topic Names and Topic Filters: section 4.7 of both standards.

use crate::support::*;

/// 5:MQTT-3.3.2-3 3:MQTT-3.3.2-3
/// Every topic of a grid reaches exactly the filters that match it by an independent matcher.
#[test]
fn topics_reach_exactly_the_filters_that_match() {
    let filters = [
        "#", "+/#", "a/#", "a/b/#", "/#", "+", "/+", "+/+", "+/+/+", "a/+", "a/+/c", "+/b/+",
        "a/+/#", "a", "a/", "/a", "/", "//", "a//b", "a/b", "a/b/c", "A", "b/#", "+//+", "a/b/c/+",
    ];
    let topics = [
        "a", "A", "b", "a/", "/a", "/", "//", "a//b", "a/b", "b/a", "a/b/c", "a/b/c/d", "a/x/c",
        "/a/b", "x/b/y", "a/b/", "ä", " ", "a b/c",
    ];
    both(|version| {
        let root = fresh("grid");
        let mut readers = filters.map(|filter| {
            let mut reader = connect(version, &fresh("reader"));
            assert_eq!(reader.subscribe(&format!("{root}/{filter}"), 0), 0);
            reader
        });
        let mut author = connect(version, &fresh("author"));
        for topic in topics {
            author.publish(&format!("{root}/{topic}"), topic, 0);
        }
        for (reader, filter) in readers.iter_mut().zip(filters) {
            for topic in topics.into_iter().filter(|topic| matches(filter, topic)) {
                let delivery = reader.receive();
                assert_eq!(delivery.text(), topic, "{filter} gets {topic}");
                assert_eq!(delivery.topic, format!("{root}/{topic}"));
            }
            reader.expect_only_pingresp();
        }
    });
}

/// 5:MQTT-4.7.1-1 3:MQTT-4.7.1-2
/// # stands alone or behind a separator, and at the end; it matches its parent too.
#[test]
fn number_sign_is_the_last_level() {
    both(|version| {
        for filter in ["#", "a/#", "/#", "a/b/#"] {
            assert!(is_granted(version, filter), "{filter} is granted");
        }
        for filter in ["a#", "a/#/b", "#/a", "a/b#", "##", "a/##", "#a"] {
            assert!(!is_granted(version, filter), "{filter} is refused");
        }
    });
}

/// 5:MQTT-4.7.1-2 3:MQTT-4.7.1-3
/// + fills a level.
#[test]
fn plus_sign_fills_a_level() {
    both(|version| {
        for filter in ["+", "+/a", "a/+/b", "a/+/#", "/+", "+/", "+/+"] {
            assert!(is_granted(version, filter), "{filter} is granted");
        }
        for filter in ["a+", "+a", "a/b+/c", "++", "a/+b"] {
            assert!(!is_granted(version, filter), "{filter} is refused");
        }
    });
}

/// 5:MQTT-4.7.2-1 3:MQTT-4.7.2-1
/// Filters that begin with a wildcard do not match topics that begin with $.
#[test]
fn leading_wildcards_do_not_match_dollar_topics() {
    both(|version| {
        let name = fresh("x");
        let mut wide = connect(version, &fresh("wide"));
        wide.subscribe(&format!("+/{name}"), 1);
        wide.subscribe(&format!("+/{name}/#"), 1);
        let mut all = connect(version, &fresh("all"));
        all.subscribe("#", 1);
        let mut exact = connect(version, &fresh("exact"));
        exact.subscribe(&format!("$test/{name}"), 1);
        let mut author = connect(version, &fresh("author"));
        author.publish(&format!("$test/{name}"), "dollar", 1);
        author.publish(&format!("test/{name}"), "plain", 1);
        assert_eq!(exact.receive().payload, b"dollar");
        assert_eq!(wide.receive().payload, b"plain");
        // Messages of other tests come here too.
        loop {
            let delivery = all.receive();
            assert!(
                !delivery.topic.starts_with('$'),
                "# gets {}",
                delivery.topic
            );
            if delivery.topic == format!("test/{name}") {
                break;
            }
        }
    });
}

/// 5:MQTT-4.7.3-1 3:MQTT-4.7.3-1
/// Topic Filters have at least one character.
#[test]
fn empty_filters_are_refused() {
    both(|version| {
        assert!(!is_granted(version, ""));
        let mut client = connect(version, &fresh("reader"));
        client.send(Unsubscribe::new(1).filter(""));
        match client.next_or_end() {
            None => {}
            Some(Packet::Unsuback { reasons, .. }) => assert_eq!(reasons, [0x8F], "{version:?}"),
            Some(Packet::Disconnect {
                reason: 0x81 | 0x82 | 0x8F,
                ..
            }) => client.expect_closed(),
            other => panic!("{other:?}"),
        }
    });
}

/// 5:MQTT-1.5.4-2 3:MQTT-1.5.3-2 5:MQTT-4.7.3-2 3:MQTT-4.7.3-2
/// U+0000 in a topic or filter ends the connection.
#[test]
fn null_characters_are_refused() {
    both(|version| {
        let packets = [
            Publish::new("a\0b", "x").encode(version),
            Publish::new("a\0b", "x").qos(1, 1).encode(version),
            Subscribe::new(1).filter("a\0b", 0).encode(version),
            Unsubscribe::new(1).filter("a\0b").encode(version),
        ];
        for packet in packets {
            let mut client = connect(version, &fresh("null"));
            client.send(packet);
            client.expect_error(0x81);
        }
    });
}

/// 5:MQTT-4.7.3-3 3:MQTT-4.7.3-3
/// Topics and filters of 65,535 bytes are served.
#[test]
fn longest_topics_are_served() {
    both(|version| {
        let stem = fresh("long");
        let topic = format!("{stem}/{}", "ä".repeat(40_000));
        let topic = &topic[..65_535 - usize::from(!topic.is_char_boundary(65_535))];
        let mut reader = connect(version, &fresh("reader"));
        reader.subscribe(topic, 1);
        connect(version, &fresh("author")).publish(topic, "x", 1);
        assert_eq!(reader.receive().topic, topic);
    });
}

/// 5:MQTT-4.7.3-4 3:MQTT-4.7.3-4
/// Topics are compared byte by byte: not normalized, not folded, not trimmed.
#[test]
fn topics_are_not_normalized() {
    both(|version| {
        let root = fresh("forms");
        let names = [
            "\u{e9}", "e\u{301}", "Abc", "abc", "a", "a/", "/a", "a//b", "a/b", " a", "a ", "%61",
            "a/./b",
        ];
        let mut readers = names.map(|name| watcher(version, &format!("{root}/{name}")));
        let mut author = connect(version, &fresh("author"));
        for name in names {
            author.publish(&format!("{root}/{name}"), name, 1);
        }
        for (reader, name) in readers.iter_mut().zip(names) {
            assert_eq!(reader.receive().text(), name);
            reader.expect_only_pingresp();
        }
    });
}

/// 5:MQTT-4.8.2-1
/// A shared filter needs a ShareName.
#[test]
fn shared_filters_need_a_share_name() {
    assert!(is_granted(Version::V5, "$share/g/t"));
    for filter in ["$share//t", "$share/", "$share//"] {
        assert!(!is_granted(Version::V5, filter), "{filter} is refused");
    }
}

/// 5:MQTT-4.8.2-2
/// A ShareName has no wildcards and is followed by a Topic Filter.
#[test]
fn share_names_are_followed_by_a_filter() {
    for filter in [
        "$share/g/a/+",
        "$share/g//a",
        "$share/g/#",
        "$share/g/$share/h/t",
    ] {
        assert!(is_granted(Version::V5, filter), "{filter} is granted");
    }
    for filter in [
        "$share/g",
        "$share/g/",
        "$share/g+/t",
        "$share/g#/t",
        "$share/+/t",
        "$share/g/a#",
    ] {
        assert!(!is_granted(Version::V5, filter), "{filter} is refused");
    }
}

/// Subscribes a client of its own to `filter`; a refusal is a reason in SUBACK (0x8F, in 3.1.1 0x80)
/// or the end of the connection.
fn is_granted(version: Version, filter: &str) -> bool {
    let mut client = connect(version, &fresh("reader"));
    client.send(Subscribe::new(1).filter(filter, 0));
    loop {
        match client.next_or_end() {
            Some(Packet::Suback { reasons, .. }) => {
                assert!(
                    matches!(reasons[..], [0x00 | 0x80 | 0x8F]),
                    "{filter}: {reasons:02x?}"
                );
                return reasons == [0];
            }
            Some(Packet::Disconnect {
                reason: 0x81 | 0x82 | 0x8F,
                ..
            })
            | None => return false,
            // Wide filters match what other tests publish or retain.
            Some(Packet::Publish(_)) => {}
            other => panic!("{filter}: {other:?}"),
        }
    }
}

/// The rules of section 4.7.1, level by level.
fn matches(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([level, filter @ ..], [name, topic @ ..]) => level == name && levels(filter, topic),
            ([], []) => true,
            _ => false,
        }
    }
    levels(
        &filter.split('/').collect::<Vec<_>>(),
        &topic.split('/').collect::<Vec<_>>(),
    )
}
