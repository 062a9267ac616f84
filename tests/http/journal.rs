//! `/v1/journal`: what went over the connections, and what came of what.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use roundel::PacketType;
use roundel::journal::{AbsenceError, JournalBounds, JournalQuery};
use serde_json::{Value, json};

use crate::{
    api::Api,
    support::{Client, Connect, DEADLINE, Encode, PINGREQ, Packet, Publish, Version, Will},
};

fn api() -> Api {
    Api::start_with(|config| config.journal = true)
}

/// The rows that a query finds.
#[track_caller]
fn rows(api: &Api, query: &str) -> Vec<Value> {
    let answer = api.get(&format!("/v1/journal?{query}")).json();
    answer["rows"].as_array().expect("rows").clone()
}

/// The first rows that a query finds, once they are there.
#[track_caller]
fn wait(api: &Api, query: &str, count: usize) -> Vec<Value> {
    let target = format!("/v1/journal/wait?since=0&{query}&count={count}&timeout=10s");
    api.get(&target).json()["rows"]
        .as_array()
        .expect("rows")
        .clone()
}

fn column<'a>(rows: &'a [Value], pointer: &str) -> Vec<&'a Value> {
    rows.iter()
        .map(|row| row.pointer(pointer).unwrap_or(&Value::Null))
        .collect()
}

#[test]
fn journal_is_off_until_it_is_switched_on() {
    let api = Api::start();
    let off = api.connect("before");
    assert_eq!(
        api.get("/v1/journal").json(),
        json!({ "on": false, "last": 0, "rows": [] })
    );
    let answer = api.get("/v1/journal/wait");
    answer.expect_error(409, None);
    let on = api.send(
        "PUT",
        "/v1/journal",
        &[("Content-Type", "application/json")],
        r#"{"on": true, "rows": 3}"#,
    );
    assert_eq!(on.json()["bounds"], json!({ "rows": 3, "bytes": 16 << 20 }));
    off.disconnect();
    // Whoever was there before is known by its name.
    let end = wait(&api, "event=disconnected", 1);
    assert_eq!(end[0]["client"], "before");
    let mut client = api.connect("after");
    client.expect_only_pingresp();
    let kept = rows(&api, "");
    assert_eq!(kept.len(), 3, "the oldest make room: {kept:?}");
    assert_eq!(column(&kept, "/packet/type")[1..], ["PINGREQ", "PINGRESP"]);
    assert_eq!(api.delete("/v1/journal").json(), json!({ "cleared": 3 }));
    let answer = api.get("/v1/journal").json();
    assert_eq!(answer["last"], kept[2]["number"], "numbers go on");
    for (body, field) in [
        ("{}", "on"),
        (r#"{"on": 1}"#, "on"),
        (r#"{"on": true, "rows": 0}"#, "rows"),
        (r#"{"on": true, "bytes": 2000000000}"#, "bytes"),
    ] {
        let answer = api.send(
            "PUT",
            "/v1/journal",
            &[("Content-Type", "application/json")],
            body,
        );
        answer.expect_error(400, Some(field));
    }
}

#[test]
fn packets_of_both_directions_have_their_fields() {
    let api = api();
    let will = Will::new("will", "gone").qos(1);
    let connect = Connect::new("a")
        .durable()
        .keep_alive(60)
        .user("ann")
        .password("secret")
        .will(will);
    let mut client = api.open(Version::V5, &connect);
    client.subscribe("t/+", 1);
    client.publish("t/1", [0xff, 0], 1);
    let delivery = client.expect_publish();
    client.acknowledge(&delivery);
    client.disconnect();
    wait(&api, "event=disconnected", 1);
    let found = rows(&api, "client=a");
    let kinds: Vec<_> = found
        .iter()
        .map(|row| {
            let kind = row["packet"]["type"].as_str().or(row["event"].as_str());
            (
                row["direction"].as_str().unwrap_or("-"),
                kind.expect("either"),
            )
        })
        .collect();
    let mut sorted = kinds.clone();
    // PUBACK and PUBLISH may leave in either order.
    sorted[7..9].sort_unstable();
    assert_eq!(
        sorted,
        [
            ("in", "CONNECT"),
            ("out", "CONNACK"),
            ("-", "connected"),
            ("in", "SUBSCRIBE"),
            ("out", "SUBACK"),
            ("-", "subscribed"),
            ("in", "PUBLISH"),
            ("out", "PUBACK"),
            ("out", "PUBLISH"),
            ("in", "PUBACK"),
            ("in", "DISCONNECT"),
            ("-", "disconnected"),
        ]
    );
    let connect = &found[0]["packet"];
    assert_eq!(connect["username"], "ann");
    assert_eq!(connect["password_bytes"], 6);
    assert!(!found[0].to_string().contains("secret"));
    assert_eq!(connect["will"]["topic"], "will");
    let publish = found
        .iter()
        .find(|row| row["packet"]["type"] == "PUBLISH")
        .expect("one");
    assert_eq!(publish["packet"]["payload_base64"], "/wA=");
    let end = found.last().expect("the end");
    assert_eq!(end["text"], "by client: client disconnected");
    let raw = rows(&api, "client=a&type=PUBACK&raw=true&direction=in");
    assert!(raw[0]["raw_base64"].is_string());
    assert_eq!(
        rows(&api, "type=PUBLISH&topic=t/%23&direction=out").len(),
        1
    );
    assert_eq!(rows(&api, "type=PUBLISH&topic=u").len(), 0);
    assert_eq!(rows(&api, "type=CONNACK&reason=0x00").len(), 1);
    let lines = api.get("/v1/journal?format=jsonl&limit=2");
    assert_eq!(lines.body.lines().count(), 2);
}

/// Each delivery says which PUBLISH it came of: at once, by a group, after it waited, and again.
#[test]
fn deliveries_are_linked_to_what_they_came_of() {
    let api = api();
    let mut plain = api.connect("plain");
    plain.subscribe("t", 1);
    let mut member = api.connect("member-1");
    member.subscribe("$share/g/t", 1);
    let durable = || Connect::new("away").durable();
    let mut away = api.open(Version::V5, &durable());
    away.subscribe("t", 1);
    away.vanish();
    let mut publisher = api.connect("pub");
    for payload in ["one", "two"] {
        publisher.publish("t", payload, 1);
    }
    for payload in ["three", "four"] {
        publisher.send(Publish::new("t", payload));
    }
    let published = wait(&api, "type=PUBLISH&client=pub", 4);
    let numbers = column(&published, "/number");
    for client in ["plain", "member-1"] {
        let delivered = wait(&api, &format!("type=PUBLISH&client={client}"), 4);
        assert_eq!(column(&delivered, "/caused_by"), numbers, "{client}");
    }
    // What the member has not acknowledged goes to the next one, and is still what it was.
    let mut second = api.connect("member-2");
    second.subscribe("$share/g/t", 1);
    member.vanish();
    let again = wait(&api, "type=PUBLISH&client=member-2", 2);
    assert_eq!(column(&again, "/caused_by"), numbers[..2]);
    let mut away = api.open(Version::V5, &durable().resume());
    let first = away.expect_publish();
    away.acknowledge(&first);
    let late = wait(&api, "type=PUBLISH&client=away", 2);
    assert_eq!(column(&late, "/caused_by"), numbers[..2]);
    let acks = wait(&api, "type=PUBACK&client=away", 1);
    assert_eq!(acks[0]["answers"], late[0]["number"]);
    let acks = wait(&api, "type=PUBACK&client=pub", 2);
    assert_eq!(column(&acks, "/answers"), numbers[..2]);
}

/// Rows, and what Wireshark makes of them, are in the order of the wire.
#[test]
fn packet_that_is_injected_before_another_has_its_row_before_it() {
    let api = api();
    let mut client = api.connect("a");
    for (when, order) in [
        ("before", ["PUBLISH", "PINGRESP"]),
        ("after", ["PINGRESP", "PUBLISH"]),
    ] {
        let since = api.get("/v1/journal?limit=0").json()["last"].clone();
        let rule = json!({
            "match": { "type": "PINGRESP" },
            "do": "inject",
            "when": when,
            "packet": { "type": "PUBLISH", "topic": "t", "payload": when },
            "times": 1,
        });
        api.post("/v1/rules", &rule.to_string()).json_with(201);
        client.send(PINGREQ);
        let received = [client.next_packet(), client.next_packet()];
        let is_first = matches!(received[0], Packet::Publish(_));
        assert_eq!(is_first, when == "before", "{received:?}");
        let found = rows(&api, &format!("client=a&direction=out&since={since}"));
        assert_eq!(column(&found, "/packet/type"), order);
    }
}

/// One packet at a time is overtaken. What a rule wants to have overtaken besides goes on at once, and the
/// journal has it on the wire, in the order of the wire.
#[test]
fn packets_that_are_reordered_are_on_the_wire_once_each() {
    let api = api();
    let mut sub = api.connect("sub");
    sub.subscribe("t", 0);
    let rule = json!({
        "match": { "type": "PUBLISH", "direction": "out", "client": "sub" },
        "do": "reorder",
    });
    api.post("/v1/rules", &rule.to_string()).json_with(201);
    let mut publisher = api.connect("pub");
    for payload in ["one", "two", "three", "four"] {
        publisher.publish("t", payload, 0);
    }
    let received = sub.receive_texts(4);
    let found = wait(&api, "type=PUBLISH&client=sub", 8);
    let on_wire: Vec<_> = found.iter().filter(|row| row["on_wire"] == true).collect();
    let payloads = on_wire.iter().map(|row| row["packet"]["payload"].as_str());
    let payloads: Vec<_> = payloads.flatten().collect();
    assert_eq!(payloads, received);
}

#[test]
fn wait_ends_when_it_is_true_and_absence_when_it_is_not() {
    let api = api();
    let mut client = api.connect("a");
    let begun = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let answer = api.get("/v1/journal/wait?type=PINGREQ&client=a&timeout=20s");
            (answer.json(), begun.elapsed())
        });
        let absent = scope.spawn(|| api.get("/v1/journal/wait?type=PINGRESP&count=0&timeout=20s"));
        // Both wait from now on: this is sent until they have seen it.
        while !(waiting.is_finished() && absent.is_finished()) {
            client.expect_only_pingresp();
        }
        let (found, took) = waiting.join().expect("it ends");
        assert_eq!(found["rows"][0]["packet"]["type"], "PINGREQ");
        assert!(took < Duration::from_secs(10), "{took:?}");
        let absent = absent.join().expect("it ends").json_with(409);
        assert_eq!(absent["rows"][0]["packet"]["type"], "PINGRESP");
    });
    let nothing = api.get("/v1/journal/wait?type=AUTH&count=0&timeout=20ms");
    assert_eq!(nothing.json()["rows"], json!([]));
    let too_few = api.get("/v1/journal/wait?type=CONNECT&since=0&count=2&timeout=20ms");
    assert_eq!(
        too_few.json_with(408)["rows"].as_array().map(Vec::len),
        Some(1)
    );
    for (query, field) in [
        ("type=PING", "type"),
        ("direction=up", "direction"),
        ("since=-1", "since"),
        ("timeout=2m", "timeout"),
        ("timeout=61s", "timeout"),
        ("count=many", "count"),
        ("qos=3", "qos"),
    ] {
        api.get(&format!("/v1/journal/wait?{query}"))
            .expect_error(400, Some(field));
    }
}

/// Sets whether the journal is on, and how many rows it keeps.
#[track_caller]
fn switch(api: &Api, is_on: bool, rows: usize) {
    let body = json!({ "on": is_on, "rows": rows }).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = api.send("PUT", "/v1/journal", &headers, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// That nothing was there is said only where every row was seen.
#[test]
fn absence_is_confirmed_only_where_every_row_was_seen() {
    let api = api();
    switch(&api, true, 3);
    let absent = |query: &str| {
        let target = format!("/v1/journal/wait?count=0&timeout=20ms&{query}");
        api.get(&target)
    };
    let first = api.connect("first");
    first.disconnect();
    wait(&api, "event=disconnected", 1);
    let mut client = api.connect("a");
    client.expect_only_pingresp();
    client.expect_only_pingresp();
    // The DISCONNECT has made room, as have those before it.
    let lost = absent("since=0&type=DISCONNECT");
    lost.expect_error(410, None);
    assert!(lost.body.contains("rows have made room"), "{lost:?}");
    let too_few = api.get("/v1/journal/wait?since=0&type=DISCONNECT&timeout=20ms");
    assert!(
        too_few.json_with(408)["error"]
            .as_str()
            .is_some_and(|text| text.contains("made room"))
    );
    // A row that is there is there, whatever else was.
    assert_eq!(
        absent("since=0&type=PINGREQ").json_with(409)["rows"][0]["packet"]["type"],
        "PINGREQ"
    );
    let last = api.get("/v1/journal?limit=1").json()["last"].clone();
    for query in [
        format!("since={last}&type=DISCONNECT"),
        "type=DISCONNECT".to_owned(),
    ] {
        assert_eq!(absent(&query).json()["rows"], json!([]), "{query}");
    }
    // What somebody wants to be forgotten is not asked for.
    assert_eq!(api.delete("/v1/journal").status, 200);
    assert_eq!(absent("since=0&type=DISCONNECT").status, 200);
    client.expect_only_pingresp();
    switch(&api, false, 3);
    switch(&api, true, 3);
    let was_off = absent("since=0&type=DISCONNECT");
    was_off.expect_error(409, None);
    assert!(was_off.body.contains("off"), "{was_off:?}");
    assert_eq!(absent("type=DISCONNECT").status, 200);
}

/// A wait sees each row as it is written, although hardly any is kept.
#[test]
fn wait_misses_no_row_however_many_come_at_once() {
    let api = api();
    switch(&api, true, 1);
    let mut client = api.connect("a");
    let rows: Vec<u8> = [PINGREQ.encode(Version::V5)]
        .into_iter()
        .chain((0..500).map(|_| Publish::new("t", "x").encode(Version::V5)))
        .flatten()
        .collect();
    thread::scope(|scope| {
        let wait = |count: usize| {
            let target = format!("/v1/journal/wait?type=PINGREQ&count={count}&timeout=20s");
            api.get(&target)
        };
        let present = scope.spawn(move || wait(1));
        let absent = scope.spawn(move || wait(0));
        // Both wait from now on: this is sent until they have seen it.
        while !(present.is_finished() && absent.is_finished()) {
            client.send(rows.clone());
            assert_eq!(client.next_packet(), Packet::Pingresp);
        }
        for (waited, status) in [(present, 200), (absent, 409)] {
            let waited = waited.join().expect("it ends").json_with(status);
            assert_eq!(waited["rows"][0]["packet"]["type"], "PINGREQ");
        }
    });
}

/// The same for a program that the broker runs in.
#[test]
fn program_is_told_why_nobody_can_say_that_there_was_none() {
    let api = api();
    let journal = api.server().journal();
    let absence = |since| {
        let query = JournalQuery::of(PacketType::Disconnect);
        api.block_on(journal.wait_for_none(&query, since, Duration::from_millis(20)))
    };
    let mut client = api.connect("a");
    client.expect_only_pingresp();
    assert_eq!(absence(0), Ok(()));
    journal.set_bounds(JournalBounds {
        rows: 1,
        bytes: 1 << 20,
    });
    let lost = absence(0).expect_err("rows are lost");
    assert_eq!(
        lost,
        AbsenceError::Lost {
            rows: journal.last() - 1
        }
    );
    assert_eq!(absence(journal.last()), Ok(()));
    let query = JournalQuery::of(PacketType::Disconnect);
    let (waited, ()) = api.block_on(async {
        let wait = journal.wait_for_none(&query, journal.last(), DEADLINE);
        tokio::join!(wait, async { journal.switch(false) })
    });
    assert_eq!(waited, Err(AbsenceError::Off), "switched off in the middle");
    assert_eq!(absence(journal.last()), Err(AbsenceError::Off));
}

/// What came of connections that never had a client.
#[test]
fn connection_without_a_client_has_a_row_that_says_why() {
    let api = Api::start_with(|config| {
        config.journal = true;
        config.limits.connect_timeout = Duration::from_millis(300);
        #[cfg(feature = "websocket")]
        {
            config.listeners.ws = Some(0);
        }
    });
    let begin = |address: SocketAddr, bytes: &[u8], leaves: bool| {
        let mut stream = TcpStream::connect(address).expect("the broker accepts");
        stream.write_all(bytes).expect("the broker reads");
        if leaves {
            stream.shutdown(Shutdown::Write).expect("it is open");
        }
        stream
    };
    let mut all = Vec::new();
    let mut malformed = Connect::new("a").encode(Version::V5);
    // The reserved flag, MQTT-3.1.2-3.
    malformed[9] |= 1;
    for (bytes, leaves, event, by, cause, code) in [
        (
            &malformed[..],
            false,
            "refused",
            "broker",
            "refused",
            0x81.into(),
        ),
        (
            b"\xc0\0",
            false,
            "refused",
            "broker",
            "no_connect",
            Value::Null,
        ),
        (
            b"GET / HTTP/1.1\r\n\r\n",
            false,
            "refused",
            "broker",
            "no_connect",
            Value::Null,
        ),
        (b"", false, "refused", "broker", "timeout", Value::Null),
        (
            &malformed[..5],
            false,
            "refused",
            "broker",
            "timeout",
            Value::Null,
        ),
        (
            b"",
            true,
            "closed_before_connect",
            "network",
            "lost",
            Value::Null,
        ),
        (
            &malformed[..5],
            true,
            "closed_before_connect",
            "network",
            "lost",
            Value::Null,
        ),
    ] {
        let stream = begin(api.mqtt(), bytes, leaves);
        all.push((stream, "mqtt", event, json!([by, cause, code])));
    }
    #[cfg(feature = "websocket")]
    {
        let ws = api.server().addrs().ws.expect("it is on");
        let request = b"GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n";
        for (bytes, leaves, event, by, cause) in [
            (&request[..], false, "refused", "broker", "upgrade"),
            (b"\x10\x20\0\x04MQTT", false, "refused", "broker", "upgrade"),
            (
                &request[..9],
                true,
                "closed_before_connect",
                "network",
                "lost",
            ),
            (b"", true, "closed_before_connect", "network", "lost"),
            (b"", false, "refused", "broker", "timeout"),
        ] {
            let stream = begin(ws, bytes, leaves);
            all.push((stream, "ws", event, json!([by, cause, null])));
        }
    }
    for (stream, listener, event, end) in all {
        let peer = stream.local_addr().expect("an address").to_string();
        let row = (1..)
            .find_map(|count| {
                let found = wait(&api, &format!("event={event}&listener={listener}"), count);
                found.into_iter().find(|row| row["peer"] == *peer)
            })
            .expect("a row");
        let found = json!([row["by"], row["cause"], row["code"]]);
        assert_eq!(found, end, "{row}");
        assert_eq!(row["client"], Value::Null);
        assert!(
            row["text"].as_str().is_some_and(|text| text.len() > 5),
            "{row}"
        );
    }
    assert_eq!(rows(&api, "event=disconnected"), [] as [Value; 0]);
}

/// A rule that ends a connection at its CONNECT leaves a row, whatever it does to that end.
#[test]
fn connection_that_a_rule_ends_before_it_has_a_client_has_a_row() {
    let api = api();
    for (count, rule, end) in [
        (
            1,
            json!({ "do": "answer", "packet": { "type": "CONNACK", "reason": "0x8a" } }),
            json!(["broker", "packet_rule", 0x8a]),
        ),
        (
            2,
            json!({ "do": "disconnect", "reason": "0x8b" }),
            json!(["broker", "packet_rule", 0x8b]),
        ),
        (
            3,
            json!({ "do": "close" }),
            json!(["network", "lost", null]),
        ),
    ] {
        let mut rule = rule;
        rule["name"] = "at connect".into();
        rule["match"] = json!({ "type": "CONNECT" });
        assert_eq!(api.post("/v1/rules", &rule.to_string()).status, 201);
        let mut client = Client::dial(api.mqtt(), Version::V5);
        client.send_connect(&Connect::new("a"));
        let peer = client.local_address().to_string();
        // It may be any packet, of which a client knows only some before CONNACK.
        let mut stream = client.into_stream();
        while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
        let found = wait(&api, "event=closed_before_connect", count);
        let row = found.last().expect("a row");
        assert_eq!(row["peer"], peer, "{rule}");
        assert_eq!(json!([row["by"], row["cause"], row["code"]]), end, "{row}");
    }
}

#[test]
fn connection_that_has_no_place_has_a_row() {
    let api = Api::start_with(|config| {
        config.journal = true;
        config.limits.connections = 1;
    });
    let first = api.connect("a");
    let mut second = Client::dial(api.mqtt(), Version::V5);
    second.expect_closed();
    let row = &wait(&api, "event=refused", 1)[0];
    let peer = second.local_address().to_string();
    assert_eq!(row["peer"], peer);
    assert_eq!(row["cause"], "no_place");
    assert_eq!(
        row["text"],
        "too many connections, `limits.connections` is 1"
    );
    assert_eq!(api.post("/v1/outage", r#"{"seconds": 60}"#).status, 200);
    wait(&api, "event=disconnected&client=a", 1);
    drop(first);
    let mut third = Client::dial(api.mqtt(), Version::V5);
    third.expect_closed();
    assert_eq!(wait(&api, "event=refused", 2)[1]["cause"], "outage");
}

/// How long after an event the answer comes.
#[test]
fn answer_comes_at_once() {
    let api = api();
    let mut client = api.connect("a");
    let mut times = Vec::new();
    for _ in 0..200 {
        let since = api.get("/v1/journal?limit=0").json()["last"].clone();
        let target = format!("/v1/journal/wait?type=PINGREQ&since={since}&timeout=10s");
        let begun = Instant::now();
        client.send(PINGREQ);
        assert_eq!(api.get(&target).status, 200);
        times.push(begun.elapsed());
        assert_eq!(client.next_packet(), Packet::Pingresp);
    }
    times.sort_unstable();
    println!("median {:?}, p99 {:?}", times[100], times[197]);
    // On a machine that does nothing else it takes less than a millisecond, its connection included.
    assert!(times[100] < Duration::from_millis(50), "{:?}", times[100]);
}

#[test]
fn line_says_what_rows_are_like_and_what_not() {
    let api = api();
    let mut subscriber = api.connect("car 1");
    subscriber.subscribe("cars/#", 1);
    let mut publisher = api.connect("publisher");
    publisher.publish("cars/1", "x", 1);
    publisher.publish("other", "x", 0);
    subscriber.receive();
    wait(&api, "type=PUBACK&direction=in", 1);
    let numbers = |line: &str| {
        let line = line
            .replace('#', "%23")
            .replace('"', "%22")
            .replace(' ', "%20");
        let found = rows(&api, &format!("match={line}"));
        let numbers = found.iter().map(|row| row["number"].as_u64());
        numbers
            .map(|number| number.expect("a number"))
            .collect::<Vec<_>>()
    };
    let both = numbers("type:publish topic:cars/#");
    assert_eq!(both.len(), 2);
    assert_eq!(numbers("type:PUBLISH dir:out client:\"car 1\""), both[1..]);
    // What acknowledges a message is about its topic.
    assert_eq!(numbers("topic:cars/+").len(), 4);
    assert_eq!(numbers("topic:cars/+ -type:puback"), both);
    assert_eq!(
        numbers("topic:cars/+ type:puback type:publish -dir:in").len(),
        2
    );
    let all = rows(&api, "").len();
    let events = numbers("event:*").len();
    assert!(events >= 3 && numbers("-event:*").len() == all - events);
    assert_eq!(numbers("event:subscribed").len(), 1);
    assert_eq!(numbers("qos:0 retain:0 dup:0").len(), 1);
    let text = api
        .get("/v1/journal?format=jsonl&match=type:PUBLISH%20topic:cars/%23")
        .body;
    assert_eq!(text.lines().count(), 2);
    for line in ["cars", "qos:3", "size:1"] {
        let answer = api.get(&format!("/v1/journal?match={line}"));
        answer.expect_error(400, Some("match"));
    }
}

#[test]
fn newest_rows_come_with_the_count_of_the_others() {
    let api = api();
    let mut client = api.connect("a");
    for number in 0..20 {
        client.post("t", number.to_string());
    }
    client.expect_only_pingresp();
    let query = "/v1/journal?match=type:PUBLISH&newest=3&brief=true";
    let first = api.get(query).json();
    assert_eq!(
        (&first["matched"], &first["missed"]),
        (&json!(20), &json!(0))
    );
    let shown = first["rows"].as_array().expect("rows");
    assert_eq!(column(shown, "/what"), ["PUBLISH q0"; 3]);
    assert_eq!(column(shown, "/about"), ["t"; 3]);
    assert_eq!(column(shown, "/packet"), [&Value::Null; 3]);
    assert_eq!(first["until"], first["last"]);
    client.post("t", "last");
    client.expect_only_pingresp();
    let until = &first["until"];
    let next = api.get(&format!("{query}&since={until}")).json();
    assert_eq!((&next["matched"], &next["missed"]), (&json!(1), &json!(0)));
    api.delete("/v1/journal").json();
    client.post("t", "later");
    client.expect_only_pingresp();
    let later = api.get(&format!("{query}&since={until}")).json();
    assert_eq!(later["matched"], 1);
    let missed = later["missed"].as_u64().expect("a number");
    assert_eq!(
        missed,
        next["until"].as_u64().expect("a number") - until.as_u64().expect("a number")
    );
    api.get(&format!("{query}&raw=true"))
        .expect_error(400, Some("raw"));
    for other in ["&limit=3", "&format=jsonl"] {
        api.get(&format!("{query}{other}"))
            .expect_error(400, Some("newest"));
    }
}

#[test]
fn row_has_its_fields_in_its_bytes_and_its_links_both_ways() {
    let api = api();
    let mut subscriber = api.connect("b");
    subscriber.subscribe("cars/#", 1);
    subscriber.subscribe("$share/g/other/#", 1);
    subscriber.subscribe("$share/g/cars/+", 1);
    let mut publisher = api.connect("a");
    publisher.publish("cars/1", "hello", 1);
    subscriber.receive();
    subscriber.receive();
    wait(&api, "type=PUBACK&direction=in", 2);
    let number = |query: &str| rows(&api, query)[0]["number"].clone();
    let one = |number: &Value| api.get(&format!("/v1/journal/{number}")).json();
    let brought = one(&number("type=PUBLISH&direction=in"));
    let names: Vec<_> = column(brought["layout"].as_array().expect("fields"), "/name");
    assert_eq!(
        names,
        [
            "Packet type",
            "Remaining Length",
            "Topic Name",
            "Packet Identifier",
            "Properties",
            "Payload"
        ]
    );
    assert_eq!(
        brought["layout"][2],
        json!({ "name": "Topic Name", "value": "cars/1", "from": 2, "to": 10, "depth": 0 })
    );
    assert!(brought["raw_base64"].is_string());
    let links = &brought["links"];
    assert_eq!(links["deliveries_total"], 2);
    assert_eq!(links["groups"], json!([]));
    assert_eq!(links["answered_by"][0]["what"], "PUBACK");
    let delivery = one(&links["deliveries"][0]["number"]);
    assert_eq!(delivery["links"]["cause"]["number"], brought["number"]);
    let groups = json!([{ "share": "g", "filter": "cars/+" }]);
    assert_eq!(delivery["links"]["groups"], groups);
    let answer = one(&delivery["links"]["answered_by"][0]["number"]);
    assert_eq!(answer["topic"], "cars/1", "of what it acknowledges");
    assert_eq!(answer["links"]["groups"], groups);
    assert_eq!(answer["links"]["answers"]["number"], delivery["number"]);
    for (path, status) in [("0", 404), ("999", 404), ("x", 400)] {
        let answer = api.get(&format!("/v1/journal/{path}"));
        answer.expect_error(status, Some("number"));
    }
}
