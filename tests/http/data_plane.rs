//! The data plane of the service, as its clients call it, on a broker without a registry.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roundel::Config;
use roundel::config::RegistryPlace;
use serde_json::{Value, json};

use crate::{
    api::{Answer, Api},
    support::{
        CONTENT_TYPE, CORRELATION_DATA, Connect, Delivery, MESSAGE_EXPIRY_INTERVAL,
        PAYLOAD_FORMAT_INDICATOR, RESPONSE_TOPIC, Version, Will, eventually, maximum_packet_size,
        message_expiry, receive_maximum, session_expiry, user_property, will_delay,
    },
};

/// A broker of the profile `aws` that has no registry.
fn start() -> Api {
    Api::start_with(|config| {
        let aws = Config::aws();
        config.limits = aws.limits;
        config.aws = aws.aws;
        config.registry = RegistryPlace::Off;
    })
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("a date")
}

#[track_caller]
fn advance(api: &Api, seconds: u32) {
    let body = json!({ "seconds": seconds }).to_string();
    assert_eq!(api.post("/v1/clock/advance", &body).status, 200);
}

impl Answer {
    /// Checks that this is that exception of the service, with the id of its request (AWS-HTTP-04).
    #[track_caller]
    fn expect_exception(&self, status: u16, name: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let name = format!("{name}Exception");
        assert_eq!(self.header("x-amzn-errortype"), Some(&*name), "{self:?}");
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert!(body["message"].is_string(), "{self:?}");
        let id = self.header("x-amzn-requestid");
        assert!(id.is_some() && body["traceId"].as_str() == id, "{self:?}");
    }

    /// AWS-HTTP-06
    #[track_caller]
    fn expect_ok(&self) {
        let id = self.header("x-amzn-requestid").expect("an id");
        assert_eq!(self.json(), json!({ "message": "OK", "traceId": id }));
    }
}

const PROPERTIES: [(&str, &str); 3] = [
    // [{"b": "1"}, {"a": "2"}, {"b": "3"}]
    (
        "x-amz-mqtt5-user-properties",
        "W3siYiI6ICIxIn0sIHsiYSI6ICIyIn0sIHsiYiI6ICIzIn1d",
    ),
    ("x-amz-mqtt5-payload-format-indicator", "UTF8_DATA"),
    ("x-amz-mqtt5-correlation-data", "AAEC"),
];

#[track_caller]
fn assert_properties(delivery: &Delivery) {
    let props = &delivery.props;
    assert_eq!(props.number(PAYLOAD_FORMAT_INDICATOR), Some(1));
    assert_eq!(props.text(CONTENT_TYPE).as_deref(), Some("text/plain"));
    assert_eq!(props.text(RESPONSE_TOPIC).as_deref(), Some("an/answer"));
    let data = props.text(CORRELATION_DATA);
    assert_eq!(data.as_deref(), Some("\0\u{1}\u{2}"));
    let pairs = [("b", "1"), ("a", "2"), ("b", "3")];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(props.user_properties(), pairs, "in their order");
}

/// AWS-DATA-01, -02, AWS-HTTP-06, AWS-OPS-04, AWS-OPS-07
#[test]
fn message_is_published_with_all_that_mqtt_5_has() {
    let api = start();
    let mut client = api.connect("client");
    client.subscribe("a/b c/%", 1);
    let target = "/topics/a%2Fb%20c%2F%25?qos=1&contentType=text%2Fplain&responseTopic=an%2Fanswer\
                  &messageExpiry=60";
    api.send("POST", target, &PROPERTIES, "hello").expect_ok();
    let delivery = client.receive();
    assert_eq!((delivery.qos, delivery.retain), (1, false));
    assert_eq!((&*delivery.topic, delivery.text()), ("a/b c/%", "hello"));
    assert_properties(&delivery);
    assert_eq!(delivery.props.number(MESSAGE_EXPIRY_INTERVAL), Some(60));

    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    api.send("POST", "/topics/a%2Fb%20c%2F%25", &form, "a=b")
        .expect_ok();
    let delivery = client.receive();
    assert_eq!((delivery.qos, delivery.text()), (0, "a=b"));
    assert_eq!(delivery.props.0, [], "it has no properties");
    api.send("POST", "/topics/a%2Fb%20c%2F%25", &[], "")
        .expect_ok();
    assert_eq!(client.receive().payload, b"");
}

/// AWS-OPS-08: a list that was handed over as a text is a text in JSON.
#[test]
fn user_properties_may_be_a_text_in_json() {
    let api = start();
    let mut client = api.connect("client");
    client.subscribe("t", 0);
    let text = STANDARD.encode(json!(r#"[{"a":"1"}]"#).to_string());
    let header = [("x-amz-mqtt5-user-properties", &*text)];
    api.send("POST", "/topics/t", &header, "x").expect_ok();
    let properties = client.receive().props.user_properties();
    assert_eq!(properties, [("a".to_owned(), "1".to_owned())]);
}

/// AWS-HTTP-03, AWS-LIM-01, AWS-LIM-17, AWS-FAIL-08
#[test]
fn message_that_is_not_acceptable_is_refused_and_reaches_nobody() {
    let api = start();
    let mut client = api.connect("client");
    client.subscribe("#", 1);
    let long = "x".repeat(131_073);
    let (indicator, data, pairs) = (
        "x-amz-mqtt5-payload-format-indicator",
        "x-amz-mqtt5-correlation-data",
        "x-amz-mqtt5-user-properties",
    );
    for (target, headers, body, status, name) in [
        ("/topics/t?qos=2", &[][..], "x", 400, "InvalidRequest"),
        ("/topics/t?qos=x", &[], "x", 400, "InvalidRequest"),
        ("/topics/t?retain=1", &[], "x", 400, "InvalidRequest"),
        (
            "/topics/t?messageExpiry=-1",
            &[],
            "x",
            400,
            "InvalidRequest",
        ),
        (
            "/topics/t?responseTopic=%23",
            &[],
            "x",
            400,
            "InvalidRequest",
        ),
        ("/topics/a%2F%23", &[], "x", 400, "InvalidRequest"),
        ("/topics/%24aws%2Fx", &[], "x", 400, "InvalidRequest"),
        ("/topics/%24SYS%2Fx", &[], "x", 400, "InvalidRequest"),
        (
            "/topics/t",
            &[(indicator, "UTF8")],
            "x",
            400,
            "InvalidRequest",
        ),
        ("/topics/t", &[(data, "=")], "x", 400, "InvalidRequest"),
        // {}, [1], [{"a": 1}], [{"a": "1", "b": "2"}], [{}]
        ("/topics/t", &[(pairs, "e30=")], "x", 400, "InvalidRequest"),
        ("/topics/t", &[(pairs, "WzFd")], "x", 400, "InvalidRequest"),
        (
            "/topics/t",
            &[(pairs, "W3siYSI6IDF9XQ==")],
            "x",
            400,
            "InvalidRequest",
        ),
        (
            "/topics/t",
            &[(pairs, "W3siYSI6ICIxIiwgImIiOiAiMiJ9XQ==")],
            "x",
            400,
            "InvalidRequest",
        ),
        (
            "/topics/t",
            &[(pairs, "W3t9XQ==")],
            "x",
            400,
            "InvalidRequest",
        ),
        ("/topics/t", &[], &long, 413, "RequestEntityTooLarge"),
    ] {
        let answer = api.send("POST", target, headers, body);
        answer.expect_exception(status, name);
    }
    client.expect_silence();
}

/// AWS-DATA-03, AWS-RET-06, -13
#[test]
fn retained_message_is_read_and_deleted() {
    let api = start();
    api.get("/retainedMessage/a%2Fb")
        .expect_exception(404, "ResourceNotFound");
    let before = now();
    let target = "/topics/a%2Fb?qos=1&retain=true";
    api.send("POST", target, &PROPERTIES, "kept").expect_ok();
    let found = api.get("/retainedMessage/a%2Fb").json();
    let at = found["lastModifiedTime"].as_u64().expect("a time");
    assert!((before..=now()).contains(&at), "{at}");
    let properties = found["userProperties"].as_str().expect("a text");
    let properties = STANDARD.decode(properties).expect("Base64");
    let properties: Value = serde_json::from_slice(&properties).expect("JSON");
    assert_eq!(
        properties,
        json!([{ "b": "1" }, { "a": "2" }, { "b": "3" }])
    );
    assert_eq!(
        (&found["topic"], &found["payload"], &found["qos"]),
        (&json!("a/b"), &json!("a2VwdA=="), &json!(1))
    );
    api.send("POST", "/topics/a%2Fb?retain=true", &[], "new")
        .expect_ok();
    let found = api.get("/retainedMessage/a%2Fb").json();
    assert_eq!(found.get("userProperties"), None, "{found}");
    assert_eq!(
        (&found["payload"], &found["qos"]),
        (&json!("bmV3"), &json!(0))
    );
    assert!(found["lastModifiedTime"].as_u64() >= Some(at));
    api.send("POST", "/topics/a%2Fb?retain=true", &[], "")
        .expect_ok();
    api.get("/retainedMessage/a%2Fb")
        .expect_exception(404, "ResourceNotFound");
}

/// AWS-DATA-04, AWS-OPS-17: 205 in pages, whose times are of the broker's clock.
#[test]
fn retained_messages_are_listed_in_pages() {
    let api = start();
    assert_eq!(
        api.get("/retainedMessage").json(),
        json!({ "retainedTopics": [] })
    );
    advance(&api, 3600);
    let mut client = api.connect("client");
    for number in 0..205 {
        client.retain(&format!("t/{number:03}"), "four", 1);
    }
    let first = api.get("/retainedMessage").json();
    let topics = first["retainedTopics"].as_array().expect("a list");
    assert_eq!(topics.len(), 200);
    let one = &topics[7];
    assert_eq!(
        (&one["topic"], &one["payloadSize"], &one["qos"]),
        (&json!("t/007"), &json!(4), &json!(1))
    );
    let at = one["lastModifiedTime"].as_u64().expect("a time");
    assert!((3_590_000..3_610_000).contains(&(at - now())), "{at}");
    let mut topics = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let page = api
            .get(&format!("/retainedMessage?maxResults=41&nextToken={token}"))
            .json();
        let found = page["retainedTopics"].as_array().expect("a list");
        topics.extend(
            found
                .iter()
                .map(|found| found["topic"].as_str().expect("a text").to_owned()),
        );
        pages += 1;
        match page["nextToken"].as_str() {
            Some(next) => token = next.replace('+', "%2B"),
            None => break,
        }
    }
    let all: Vec<_> = (0..205).map(|number| format!("t/{number:03}")).collect();
    assert_eq!(
        (pages, topics),
        (5, all),
        "the last page is full and has no token"
    );
    for query in [
        "maxResults=0",
        "maxResults=201",
        "maxResults=x",
        "nextToken=x",
    ] {
        let answer = api.get(&format!("/retainedMessage?{query}"));
        answer.expect_exception(400, "InvalidRequest");
    }
}

/// AWS-DATA-08, AWS-DATA-11, AWS-LIM-24
#[test]
fn connection_is_told_of_while_it_lasts() {
    let api = start();
    let before = now();
    let connect = Connect::new("a/b").keep_alive(77).with(session_expiry(600));
    let client = api.open(Version::V5, &connect);
    let found = api.get("/connections/a%2Fb").json();
    let since = found["connectedSince"].as_u64().expect("a time");
    assert!((before..=now()).contains(&since), "{since}");
    let expected = json!({
        "clientId": "a/b",
        "connected": true,
        "cleanSession": false,
        "connectedSince": since,
        "keepAliveDuration": 77,
        "sessionExpiry": 600,
    });
    assert_eq!(found, expected);
    let found = api
        .get("/connections/a%2Fb?includeSocketInformation=true")
        .json();
    let address = client.local_address();
    assert_eq!(found["sourceIp"], address.ip().to_string());
    assert_eq!(found["sourcePort"], address.port());
    assert_eq!(found["targetIp"], "127.0.0.1");
    let port = api.server().addrs().mqtt.expect("a listener").port();
    assert_eq!(found["targetPort"], port);
    api.open(Version::V3, &Connect::new("c"));
    let found = api.get("/connections/c").json();
    assert_eq!(found["cleanSession"], true);
}

/// AWS-DATA-08, AWS-LIFE-11 to -14: for half an hour by the broker's clock.
#[test]
fn end_of_a_connection_is_told_of_for_half_an_hour() {
    let api = start();
    advance(&api, 7200);
    let clean = api.connect("clean");
    let durable = api.open(
        Version::V5,
        &Connect::new("durable").with(session_expiry(3600)),
    );
    let begun = now() + 7_200_000;
    clean.disconnect();
    durable.vanish();
    let connection = |client_id: &str| api.get(&format!("/connections/{client_id}"));
    let is_over = |client_id: &str| connection(client_id).json()["connected"] == false;
    eventually("both are gone", || is_over("clean") && is_over("durable"));
    let found = connection("clean").json();
    let since = found["disconnectedSince"].as_u64().expect("a time");
    assert!((begun - 1000..begun + 10_000).contains(&since), "{since}");
    assert_eq!(found["disconnectReason"], "CLIENT_INITIATED_DISCONNECT");
    assert_eq!(found["cleanSession"], true);
    assert_eq!(found.get("connectedSince"), None);
    let found = api
        .get("/connections/durable?includeSocketInformation=true")
        .json();
    assert_eq!(found["disconnectReason"], "CONNECTION_LOST");
    assert_eq!(
        (&found["cleanSession"], &found["sessionExpiry"]),
        (&json!(false), &json!(3600))
    );
    assert_eq!(found["sourceIp"], "127.0.0.1");

    advance(&api, 1790);
    assert!(is_over("clean"));
    advance(&api, 20);
    connection("clean").expect_exception(404, "ResourceNotFound");
    let found = connection("durable").json();
    assert_eq!(found["connected"], false, "its session is still there");
    assert_eq!(found.get("disconnectedSince"), None);
    assert_eq!(found.get("disconnectReason"), None);
    advance(&api, 3600);
    connection("durable").expect_exception(404, "ResourceNotFound");
}

/// Who comes back is not told of as one who has gone.
#[test]
fn client_that_comes_back_is_connected_again() {
    let api = start();
    api.connect("a").disconnect();
    let connection = || api.get("/connections/a").json();
    eventually("it is gone", || connection()["connected"] == false);
    let _client = api.connect("a");
    let found = connection();
    assert_eq!(found["connected"], true);
    assert_eq!(found.get("disconnectReason"), None);
}

/// AWS-DATA-07, AWS-LIFE-14, AWS-OPEN-10
#[test]
fn connection_is_deleted_and_its_session_stays() {
    let api = start();
    let mut watcher = api.connect("watcher");
    watcher.subscribe("will", 0);
    let will = Will::new("will", "last words");
    let connect = Connect::new("a/b")
        .with(session_expiry(3600))
        .will(will.clone());
    let mut client = api.open(Version::V5, &connect);
    client.subscribe("t", 1);
    let answer = api.delete("/connections/a%2Fb");
    assert_eq!((answer.status, &*answer.body), (200, ""));
    client.expect_disconnect(0x98);
    assert_eq!(watcher.receive().text(), "last words");
    let found = api.get("/connections/a%2Fb").json();
    assert_eq!(found["disconnectReason"], "API_INITIATED_DISCONNECT");
    let client = api.open(Version::V5, &connect.resume());
    // With its subscription.
    let list = api.get("/connections/a%2Fb/subscriptions").json();
    assert_eq!(list["subscriptions"].as_array().map(Vec::len), Some(1));
    client.disconnect();
    let mut old = api.open(Version::V3, &Connect::new("old").will(will));
    api.delete("/connections/old?preventWillMessage=true");
    old.expect_closed();
    watcher.expect_silence();
}

/// AWS-DATA-07
#[test]
fn session_is_deleted_with_its_connection_or_without() {
    let api = start();
    let mut watcher = api.connect("watcher");
    watcher.subscribe("will", 0);
    let will = || Will::new("will", "last words").with(will_delay(600));
    let connect = Connect::new("a").with(session_expiry(3600)).will(will());
    for (query, is_connected, words) in [
        ("cleanSession=true", true, true),
        ("cleanSession=true", false, true),
        ("cleanSession=true&preventWillMessage=true", true, false),
        ("cleanSession=true&preventWillMessage=true", false, false),
    ] {
        let mut client = api.open(Version::V5, &connect);
        client.subscribe("t", 1);
        match is_connected {
            true => {
                assert_eq!(api.delete(&format!("/connections/a?{query}")).status, 200);
                client.expect_disconnect(0x98);
            }
            false => {
                client.vanish();
                let is_over = || api.get("/connections/a").json()["connected"] == false;
                eventually("it is gone", is_over);
                assert_eq!(api.delete(&format!("/connections/a?{query}")).status, 200);
            }
        }
        match words {
            true => assert_eq!(watcher.receive().text(), "last words", "{query}"),
            false => watcher.expect_silence(),
        }
        let answer = api.get("/connections/a/subscriptions");
        answer.expect_exception(404, "ResourceNotFound");
        let answer = api.delete("/connections/a");
        answer.expect_exception(404, "ResourceNotFound");
    }
}

/// AWS-DATA-09, AWS-SHARE-29
#[test]
fn subscriptions_are_listed_in_pages_with_a_connection_or_without() {
    let api = start();
    let connect = Connect::new("a").with(session_expiry(3600));
    let mut client = api.open(Version::V5, &connect);
    let list = |query: &str| api.get(&format!("/connections/a/subscriptions?{query}"));
    assert_eq!(list("").json(), json!({ "subscriptions": [] }));
    for number in 0..40 {
        client.subscribe(&format!("t/{number:02}/+"), number % 2);
    }
    client.subscribe("$share/g/t/#", 1);
    client.vanish();
    let first = list("").json();
    assert_eq!(first["subscriptions"].as_array().map(Vec::len), Some(20));
    assert_eq!(
        (&first["subscriptions"][0], &first["subscriptions"][2]),
        (
            &json!({ "topicFilter": "$share/g/t/#", "qos": 1 }),
            &json!({ "topicFilter": "t/01/+", "qos": 1 })
        )
    );
    let token = first["nextToken"]
        .as_str()
        .expect("a token")
        .replace('+', "%2B");
    let rest = list(&format!("maxResults=21&nextToken={token}")).json();
    assert_eq!(rest["subscriptions"].as_array().map(Vec::len), Some(21));
    assert_eq!(rest["subscriptions"][20]["topicFilter"], "t/39/+");
    assert_eq!(rest.get("nextToken"), None);
    let _other = api.connect("b");
    let other = api.get(&format!("/connections/b/subscriptions?nextToken={token}"));
    other.expect_exception(400, "InvalidRequest");
    list("maxResults=201").expect_exception(400, "InvalidRequest");
}

/// AWS-DATA-07 to -11: the model's pattern of client identifiers.
#[test]
fn calls_about_no_client_are_refused() {
    let api = start();
    let long = "x".repeat(129);
    for (method, path) in [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/subscriptions"),
        ("POST", "/messages?topic=t"),
    ] {
        let call =
            |client_id: &str| api.send(method, &format!("/connections/{client_id}{path}"), &[], "");
        call("%24x").expect_exception(400, "InvalidRequest");
        call(&long).expect_exception(400, "InvalidRequest");
        call(&long[1..]).expect_exception(404, "ResourceNotFound");
    }
}

/// AWS-DATA-10: whether it subscribes or not, and nobody else gets it.
#[test]
fn direct_message_goes_to_one_client() {
    let api = start();
    let mut client = api.connect("a/b");
    let mut other = api.connect("other");
    other.subscribe("#", 1);
    let target = "/connections/a%2Fb/messages?topic=t%2F1&contentType=text%2Fplain&responseTopic=an%2Fanswer";
    api.send("POST", target, &PROPERTIES, "hello").expect_ok();
    let delivery = client.receive();
    assert_eq!((&*delivery.topic, delivery.text()), ("t/1", "hello"));
    assert_eq!((delivery.qos, delivery.retain), (0, false));
    assert_properties(&delivery);
    let mut old = api.open(Version::V3, &Connect::new("old"));
    api.send("POST", "/connections/old/messages?topic=t", &PROPERTIES, "")
        .expect_ok();
    assert_eq!(old.receive().payload, b"");
    other.expect_silence();
}

/// AWS-DATA-10: at QoS 1, answered when PUBACK has come.
#[test]
fn direct_message_with_confirmation_waits_for_its_puback() {
    let api = start();
    let mut client = api.connect("a");
    client.subscribe("own", 1);
    thread::scope(|scope| {
        let target = "/connections/a/messages?topic=t&confirmation=true&timeout=15";
        let call = scope.spawn(|| api.send("POST", target, &[], "hello"));
        let delivery = client.expect_publish();
        assert_eq!((delivery.qos, delivery.text()), (1, "hello"));
        // The acknowledgement of another message is not the one that is waited for.
        api.send("POST", "/topics/own?qos=1", &[], "x").expect_ok();
        let own = client.expect_publish();
        assert_ne!(own.id, delivery.id);
        client.acknowledge(&own);
        thread::sleep(Duration::from_millis(50));
        assert!(!call.is_finished());
        client.acknowledge(&delivery);
        call.join().expect("an answer").expect_ok();
    });
}

/// AWS-DATA-10: 504 when PUBACK does not come; the identifier is free again when it does.
#[test]
fn direct_message_that_is_not_acknowledged_times_out() {
    let api = start();
    let mut client = api.connect("a");
    let target = "/connections/a/messages?topic=t&confirmation=true&timeout=1";
    let begun = Instant::now();
    let answer = api.send("POST", target, &[], "hello");
    answer.expect_exception(504, "GatewayTimeout");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let delivery = client.expect_publish();
    let stats = || api.get("/v1/clients/a").json()["in_flight"].clone();
    assert_eq!(stats(), 1);
    client.acknowledge(&delivery);
    eventually("it is acknowledged", || stats() == 0);
    for query in ["timeout=0", "timeout=16", "timeout=x"] {
        let target = format!("/connections/a/messages?topic=t&confirmation=true&{query}");
        let answer = api.send("POST", &target, &[], "");
        answer.expect_exception(400, "InvalidRequest");
    }
    // Without confirmation it is not looked at.
    let target = "/connections/a/messages?topic=t&timeout=99";
    api.send("POST", target, &[], "x").expect_ok();
}

/// AWS-DATA-10: it ends with its connection, is not queued, and is not sent again.
#[test]
fn direct_message_is_forgotten_with_its_connection() {
    let api = start();
    let connect = Connect::new("a").with(session_expiry(3600));
    let mut client = api.open(Version::V5, &connect);
    client.subscribe("own", 1);
    thread::scope(|scope| {
        let target = "/connections/a/messages?topic=t&confirmation=true&timeout=15";
        let begun = Instant::now();
        let call = scope.spawn(|| api.send("POST", target, &[], "hello"));
        assert_eq!(client.expect_publish().text(), "hello");
        api.send("POST", "/topics/own?qos=1", &[], "own")
            .expect_ok();
        assert_eq!(client.expect_publish().text(), "own");
        client.vanish();
        let answer = call.join().expect("an answer");
        answer.expect_exception(504, "GatewayTimeout");
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
    let target = "/connections/a/messages?topic=t";
    let answer = api.send("POST", target, &[], "x");
    answer.expect_exception(404, "ResourceNotFound");
    let mut client = api.open(Version::V5, &connect.resume());
    let again = client.receive();
    assert_eq!(again.text(), "own", "and nothing else");
    client.expect_silence();
}

/// AWS-DATA-10, AWS-M5-23, AWS-LIM-14
#[test]
fn direct_message_needs_room_with_its_client() {
    let api = start();
    let connect = Connect::new("a")
        .with(receive_maximum(1))
        .with(maximum_packet_size(600));
    let mut client = api.open(Version::V5, &connect);
    client.subscribe("own", 1);
    let target = "/connections/a/messages?topic=t";
    let long = "x".repeat(600);
    for query in ["", "&confirmation=true"] {
        let answer = api.send("POST", &format!("{target}{query}"), &[], &long);
        answer.expect_exception(413, "RequestEntityTooLarge");
    }
    api.send("POST", "/topics/own?qos=1", &[], "own")
        .expect_ok();
    let own = client.expect_publish();
    let answer = api.send("POST", &format!("{target}&confirmation=true"), &[], "x");
    answer.expect_exception(429, "Throttling");
    client.acknowledge(&own);
    for target in [
        "/connections/a/messages",
        "/connections/a/messages?topic=%23",
    ] {
        let answer = api.send("POST", target, &[], "x");
        answer.expect_exception(400, "InvalidRequest");
    }
    client.expect_silence();
}

/// Operations of the registry say what they miss, and the endpoint is told without one.
#[test]
fn what_needs_a_registry_says_so() {
    let api = start();
    let answer = api.post("/things/a/connectivity-data", "{}");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("needs a registry"), "{answer:?}");
    assert!(api.get("/endpoint").json()["endpointAddress"].is_string());
}

/// AWS-RET-08: one that has expired is not there any more.
#[test]
fn retained_message_that_has_expired_is_gone() {
    let api = start();
    let mut client = api.connect("client");
    let message = crate::support::Publish::new("t", "x")
        .retain()
        .with(message_expiry(60));
    client.publish_message(message.with(user_property("a", "b")), 1);
    assert_eq!(api.get("/retainedMessage/t").json()["payload"], "eA==");
    advance(&api, 61);
    api.get("/retainedMessage/t")
        .expect_exception(404, "ResourceNotFound");
    assert_eq!(
        api.get("/retainedMessage").json(),
        json!({ "retainedTopics": [] })
    );
}
