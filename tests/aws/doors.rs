//! The ports 443 and 8443 of the service: TLS with several protocols on it.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use roundel::aws::registry::{NewAuthorizer, NewThing, PrincipalType, RegisterStatus, Resource};
use roundel::config::{AccessKey, Lambda, PolicyMode};
use roundel::{Config, IssuedPem};
use rustls::AlertDescription;
use serde_json::{Value, json};

use crate::stand::{Stand, Tls, allow, document, everything};
use crate::support::*;

const MQTT_CERTIFIED: &str = "x-amzn-mqtt-ca";
const HTTP_CERTIFIED: &str = "x-amzn-http-ca";

fn start() -> Stand {
    start_with(|_| {})
}

fn start_with(change: impl FnOnce(&mut Config)) -> Stand {
    Stand::with(|config| {
        config.listeners.alpn = Some(0);
        config.listeners.https = Some(0);
        config.listeners.http = Some(0);
        change(config);
    })
}

fn alpn(stand: &Stand) -> SocketAddr {
    stand.server.addrs().alpn.expect("a listener")
}

fn https(stand: &Stand) -> SocketAddr {
    stand.server.addrs().https.expect("a listener")
}

/// What came back for a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: Value,
}

impl Answer {
    /// AWS-HTTP-04
    #[track_caller]
    pub(crate) fn expect_forbidden(&self) {
        assert_eq!(self.status, 403, "{self:?}");
        let head = self.head.to_lowercase();
        assert!(
            head.contains("x-amzn-errortype: forbiddenexception"),
            "{self:?}"
        );
    }
}

pub(crate) fn request(method: &str, target: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request, and reads one answer.
pub(crate) fn exchange(stream: &mut Tls, request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let head = loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
        if bytes.ends_with(b"\r\n\r\n") {
            break String::from_utf8(bytes).expect("a head");
        }
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.parse().expect("a number"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let status = head.split(' ').nth(1).expect("a status");
    Ok(Answer {
        status: status.parse().expect("a number"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        head,
    })
}

impl Stand {
    #[track_caller]
    pub(crate) fn call_at(
        &self,
        address: SocketAddr,
        identity: Option<&IssuedPem>,
        line: &str,
        body: &str,
    ) -> Answer {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let mut stream = self
            .shake_hands(address, identity, &[])
            .expect("a handshake");
        exchange(&mut stream, &request(method, target, "", body)).expect("an answer")
    }

    fn mqtt_at(
        &self,
        address: SocketAddr,
        identity: Option<&IssuedPem>,
        alpn: &[&str],
        version: Version,
    ) -> Client {
        let stream = self.shake_hands(address, identity, alpn);
        Client::over(stream.expect("a handshake"), version)
    }
}

/// Reads to the end, which comes without an answer.
#[track_caller]
fn expect_end(mut stream: Tls) {
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{end:?}, {rest:?}");
    let is_late = |error: &io::Error| {
        [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind())
    };
    assert!(!end.as_ref().is_err_and(is_late), "it stays open");
}

/// AWS-ENDP-06, -07, -09, -10, AWS-FLOW-71
#[test]
fn alpn_says_what_is_spoken() {
    let stand = start();
    let device = stand.issue("device");
    let door = alpn(&stand);
    for (offered, agreed) in [
        (&[MQTT_CERTIFIED][..], MQTT_CERTIFIED),
        (&["mqtt"], "mqtt"),
        (&["http/1.1", "mqtt", MQTT_CERTIFIED], MQTT_CERTIFIED),
    ] {
        both(|version| {
            let mut client = stand.mqtt_at(door, Some(&device), offered, version);
            let client_id = fresh("client");
            client.send_connect(&Connect::new(&client_id));
            assert_eq!(client.expect_connack().1, 0);
            let shown = stand.ask("GET", &format!("/v1/clients/{client_id}"), "");
            assert_eq!(
                (&shown["listener"], &shown["tls"]["alpn"]),
                (&json!("alpn"), &json!(agreed))
            );
            assert_eq!(shown["tls"]["certificate_id"], device.certificate_id);
            client.disconnect();
        });
    }
    for offered in [
        &[HTTP_CERTIFIED][..],
        &["http/1.1"],
        &["h2", "http/1.1"],
        &["http/1.1", HTTP_CERTIFIED],
    ] {
        let mut stream = stand
            .shake_hands(door, Some(&device), offered)
            .expect("a handshake");
        let publish = request("POST", "/topics/t?qos=1", "", "hello");
        for _ in 0..2 {
            let answer = exchange(&mut stream, &publish).expect("an answer");
            assert_eq!(
                (answer.status, &answer.body["message"]),
                (200, &json!("OK"))
            );
        }
    }
}

/// AWS-ENDP-12
#[test]
fn first_byte_says_what_is_spoken_without_alpn() {
    let stand = start();
    let device = stand.issue("device");
    both(|version| {
        let mut client = stand.mqtt_at(alpn(&stand), Some(&device), &[], version);
        client.send_connect(&Connect::new(fresh("client")));
        assert_eq!(client.expect_connack().1, 0);
        client.publish("t", "x", 1);
        client.disconnect();
    });
    let answer = stand.call_at(alpn(&stand), Some(&device), "POST /topics/t", "hello");
    assert_eq!(answer.status, 200);
    for bytes in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"\x30\x00",
        b"get / ",
        b"\0",
        b"\r\n\r\n",
    ] {
        let stream = stand.shake_hands(alpn(&stand), Some(&device), &[]);
        let mut stream = stream.expect("a handshake");
        stream.write_all(bytes).expect("it reads");
        expect_end(stream);
    }
}

#[test]
fn handshake_without_a_protocol_in_common_fails() {
    let stand = start();
    for offered in [&["h2"][..], &["x-amzn-mqtt"], &["MQTT"]] {
        let error = stand.shake_hands(alpn(&stand), None, offered).unwrap_err();
        let cause = error.get_ref().expect("a cause");
        assert_eq!(
            cause.downcast_ref(),
            Some(&rustls::Error::AlertReceived(
                AlertDescription::NoApplicationProtocol
            ))
        );
    }
}

/// AWS-ENDP-06, -09: both are for clients with a certificate.
#[test]
fn protocols_for_certificates_need_one() {
    let stand = start();
    for offered in [MQTT_CERTIFIED, HTTP_CERTIFIED] {
        let stream = stand.shake_hands(alpn(&stand), None, &[offered]);
        expect_end(stream.expect("a handshake"));
    }
}

/// AWS-ENDP-07: with ALPN `mqtt` a client without a certificate has no principal, as at other listeners.
#[test]
fn client_without_a_certificate_is_nobody() {
    let stand = start();
    let enter = |id: &str| {
        let mut client = stand.mqtt_at(alpn(&stand), None, &["mqtt"], Version::V5);
        client.send_connect(&Connect::new(id));
        client
    };
    assert_eq!(enter("a").expect_connack().1, 0, "no policies hold yet");
    stand.device("device", &json!([everything()]));
    enter("b").expect_closed();
}

/// AWS-ENDP-07, -08: with ALPN `mqtt`, and over WebSocket.
#[test]
fn authorizer_says_who_comes_without_a_certificate() {
    const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:authorize";
    let stand = start_with(|config| {
        let mut lambda = Lambda::new(ARN);
        let policy = document(&json!([allow(&["Connect"], &["client/may*"])]));
        let result = json!({
            "isAuthenticated": true, "principalId": "ann", "policyDocuments": [policy],
            "disconnectAfterInSeconds": 300, "refreshAfterInSeconds": 300,
        });
        lambda.result = Some(result.to_string());
        config.lambda = vec![lambda];
        config.aws.policies = PolicyMode::Enforce;
    });
    stand.change(|draft| {
        let authorizer = NewAuthorizer {
            function_arn: ARN,
            signing_disabled: true,
            is_active: true,
            ..NewAuthorizer::default()
        };
        draft.create_authorizer("mine", authorizer).map(drop)
    });
    let enter = |client_id: &str, user: &str| {
        let mut client = stand.mqtt_at(alpn(&stand), None, &["mqtt"], Version::V5);
        client.send_connect(&Connect::new(client_id).user(user));
        client
    };
    let named = "?x-amz-customauthorizer-name=mine";
    assert_eq!(enter("may", named).expect_connack().1, 0);
    enter("not", named).expect_refusal(0x87);
    enter("may", "ann").expect_closed();
    let header = "x-amz-customauthorizer-name: mine\r\n";
    for (client_id, expected) in [("may-too", 0), ("not", 0x87)] {
        let (answer, stream) = websocket(&stand, None, header);
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(reason_in_frames(stream, client_id), expected);
    }
}

/// AWS-ENDP-05: the port for MQTT alone takes an offer, and agrees on nothing.
#[test]
fn offer_of_alpn_is_tolerated_at_the_other_listeners() {
    let stand = start();
    let device = stand.issue("device");
    let mqtts = stand.server.addrs().mqtts.expect("a listener");
    for offered in [MQTT_CERTIFIED, "mqtt", "something"] {
        let mut client = stand.mqtt_at(mqtts, Some(&device), &[offered], Version::V5);
        client.send_connect(&Connect::new("a"));
        assert_eq!(client.expect_connack().1, 0, "{offered}");
        client.disconnect();
    }
    let mut stream = stand
        .shake_hands(https(&stand), Some(&device), &[MQTT_CERTIFIED])
        .expect("a handshake");
    let publish = request("POST", "/topics/t", "", "x");
    let answer = exchange(&mut stream, &publish).expect("an answer");
    assert_eq!(answer.status, 200);
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
     Sec-WebSocket-Version: 13\r\n";

/// Asks for WebSocket, behind a request for something else, and sends the first frame.
fn websocket(stand: &Stand, identity: Option<&IssuedPem>, headers: &str) -> (Answer, Tls) {
    let mut stream = stand
        .shake_hands(alpn(stand), identity, &["http/1.1"])
        .expect("a handshake");
    let other = request("GET", "/nothing", "", "");
    let answer = exchange(&mut stream, &other).expect("an answer");
    assert_eq!(answer.status, 404);
    let upgrade = format!("GET /mqtt HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{headers}\r\n");
    let answer = exchange(&mut stream, &upgrade).expect("an answer");
    (answer, stream)
}

/// Sends CONNECT in a frame; the reason of the CONNACK that comes back in one.
fn reason_in_frames(mut stream: Tls, client_id: &str) -> u8 {
    let connect = Connect::new(client_id).encode(Version::V5);
    stream
        .write_all(&masked_frame(2, &connect, true))
        .expect("it reads");
    let mut bytes = Vec::new();
    let (opcode, payload) = loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a frame");
        bytes.extend(byte);
        if let Some(frame) = take_frame(&mut bytes) {
            break frame;
        }
    };
    let (connack, body) = payload.split_first().expect("a packet");
    assert_eq!((opcode, *connack), (2, 0x20));
    let is_last = |byte: &u8| byte & 0x80 == 0;
    let length = body.iter().position(is_last).expect("a length");
    body[length + 2]
}

/// AWS-ENDP-08
#[test]
fn websocket_carries_mqtt_with_the_principal_of_the_certificate() {
    let stand = start();
    let statements = json!([allow(&["Connect"], &["client/may"])]);
    let device = stand.device("device", &statements);
    for (client_id, expected) in [("may", 0), ("may-not", 0x87)] {
        let (answer, stream) = websocket(&stand, Some(&device), "");
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(reason_in_frames(stream, client_id), expected);
    }
    let (answer, _) = websocket(&stand, Some(&device), "Origin: https://example.com\r\n");
    assert_eq!(answer.status, 403);
    // It is at no other port for HTTP, and at no other path.
    let mut stream = stand
        .shake_hands(https(&stand), Some(&device), &[])
        .expect("a handshake");
    let upgrade = format!("GET /mqtt HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n");
    let answer = exchange(&mut stream, &upgrade).expect("an answer");
    assert_eq!(answer.status, 404);
}

/// AWS-ENDP-15, AWS-LIFE-12: and others do not end.
#[test]
fn connection_over_websocket_ends_after_its_time() {
    both(|version| {
        let stand = Stand::with(|config| {
            assert_eq!(
                config.aws.websocket_lifetime,
                Some(Duration::from_secs(86_400))
            );
            config.aws.websocket_lifetime = Some(Duration::from_secs(600));
            config.listeners.ws = Some(0);
        });
        let topic = "$aws/events/presence/disconnected/car";
        let mut events = stand.events(topic);
        let addrs = stand.server.addrs();
        let dial = |address: Option<SocketAddr>| {
            let stream = TcpStream::connect(address.expect("a listener")).expect("it accepts");
            let limit = Some(DEADLINE);
            stream.set_read_timeout(limit).expect("a socket option");
            stream
        };
        let mut client = Client::over(Frames::upgrade(dial(addrs.ws)), version);
        let mut other = Client::over(dial(addrs.mqtt), version);
        for (client, name) in [(&mut client, "car"), (&mut other, "other")] {
            client.send_connect(&Connect::new(name).keep_alive(1200));
            assert_eq!(client.expect_connack().1, 0);
        }
        stand.pass(590);
        client.publish("a", "x", 1);
        stand.pass(11);
        client.expect_error(0xA0);
        let told = stand.event(&mut events);
        assert_eq!(told["disconnectReason"], "WEBSOCKET_TTL_EXPIRATION");
        other.publish("a", "x", 1);
    });
}

/// AWS-HTTP-01, -02, -04, -06, AWS-ID-42, AWS-FLOW-71
#[test]
fn device_publishes_over_https_what_its_policies_allow() {
    let stand = start();
    let statements = json!([
        allow(&["Publish"], &["topic/may/*", "topic/${iot:ClientId}"]),
        allow(&["RetainPublish"], &["topic/may/keep"]),
    ]);
    let device = stand.device("device", &statements);
    let watcher = stand.device("watcher", &json!([everything()]));
    let mut client = stand.enter(&watcher, Version::V5, &Connect::new("watcher"));
    client.subscribe("#", 1);
    for door in [https(&stand), alpn(&stand)] {
        let publish = |target: &str| {
            let line = format!("POST /topics/{target}");
            stand.call_at(door, Some(&device), &line, "hello")
        };
        let answer = publish("may%2Fdo?qos=1");
        assert_eq!(
            (answer.status, &answer.body["message"]),
            (200, &json!("OK"))
        );
        assert!(answer.body["traceId"].is_string(), "{answer:?}");
        let delivery = client.receive();
        assert_eq!((&*delivery.topic, delivery.qos), ("may/do", 1));
        // The programs of the guide do not escape slashes.
        assert_eq!(publish("may/do/it?qos=1").status, 200);
        assert_eq!(client.receive().topic, "may/do/it");
        for target in [
            "else",
            "else/may/do",
            "may%2Fdo?retain=true",
            "",
            "%24%7Biot%3AClientId%7D",
            "$aws%2Fthings%2Ft%2Fshadow%2Fget",
        ] {
            let answer = publish(target);
            let is_refused = [403, 404].contains(&answer.status);
            assert!(is_refused, "{target}: {answer:?}");
        }
        let answer = publish("else");
        answer.expect_forbidden();
        assert!(answer.body["traceId"].is_string(), "{answer:?}");
        assert_eq!(publish("may%2Fkeep?retain=true").status, 200);
        assert_eq!(client.receive().topic, "may/keep");
        client.expect_silence();
    }
}

/// AWS-ID-43, -45, AWS-AUTH: the data plane for what the policies allow, and nothing of the control plane.
#[test]
fn device_has_the_data_plane_and_not_the_control_plane() {
    let stand = start();
    let device = stand.device(
        "device",
        &json!([allow(&["UpdateThingShadow"], &["thing/t"])]),
    );
    let statement = json!({ "Effect": "Allow", "Action": "iot:*", "Resource": "*" });
    let all = stand.device("all", &json!([statement]));
    for door in [https(&stand), alpn(&stand)] {
        let call = |identity, line: &str| stand.call_at(door, Some(identity), line, "");
        let update = |line: &str| {
            let body = r#"{"state":{"reported":{"a":1}}}"#;
            stand.call_at(door, Some(&device), line, body)
        };
        assert_eq!(update("POST /things/t/shadow").status, 200);
        update("POST /things/t/shadow?name=s").expect_forbidden();
        update("POST /things/u/shadow").expect_forbidden();
        for line in [
            "GET /things/t/shadow",
            "DELETE /things/t/shadow",
            "GET /api/things/shadow/ListNamedShadowsForThing/t",
            "GET /retainedMessage",
            "GET /retainedMessage/t",
            "GET /connections/c",
            "DELETE /connections/c",
            "GET /connections/c/subscriptions",
            "POST /connections/c/messages?topic=t",
        ] {
            call(&device, line).expect_forbidden();
            let status = call(&all, line).status;
            assert!([200, 404].contains(&status), "{line}: {status}");
        }
        for line in [
            "GET /things",
            "GET /endpoint",
            "GET /policies",
            "POST /things/x",
        ] {
            call(&all, line).expect_forbidden();
        }
        // What is the broker's own is not here.
        for line in [
            "GET /v1/clients",
            "GET /metrics",
            "GET /healthz",
            "GET /v1/openapi.json",
        ] {
            let status = call(&all, line).status;
            assert_eq!(status, 404, "{line}");
        }
        // Shadows are there again for the other door.
        stand.call("POST", "/things/t/shadow", r#"{"state":{}}"#);
    }
}

/// AWS-ID-42: no client identifier, and no thing either, though the certificate is attached to one.
#[test]
fn variables_of_a_thing_have_no_value_over_https() {
    let stand = start();
    for (thing, kind) in [
        ("shared", PrincipalType::NonExclusiveThing),
        ("alone", PrincipalType::ExclusiveThing),
    ] {
        let topics = ["topic/${iot:Connection.Thing.ThingName}", "topic/own"];
        let device = stand.device(thing, &json!([allow(&["Publish"], &topics)]));
        stand.change(|draft| {
            let certificate = draft.arn(&Resource::Certificate(device.certificate_id.clone()));
            draft.create_thing(thing, NewThing::default())?;
            draft.attach_thing_principal(thing, &certificate, kind)
        });
        let publish = |topic: &str| {
            let line = format!("POST /topics/{topic}");
            stand.call_at(https(&stand), Some(&device), &line, "x")
        };
        assert_eq!(publish("own").status, 200);
        publish(thing).expect_forbidden();
    }
}

/// AWS-HTTP-07, AWS-ID-02: the handshake is made, and the end is all that comes. One that changes while a
/// connection lasts gets 403.
#[test]
fn certificate_that_may_not_be_used_gets_no_answer() {
    let stand = start();
    let device = stand.device("device", &json!([everything()]));
    let stranger = stand.issue("stranger");
    let publish = request("POST", "/topics/t", "", "x");
    let doors = [
        (https(&stand), &[][..]),
        (alpn(&stand), &[]),
        (alpn(&stand), &[HTTP_CERTIFIED]),
    ];
    let set = |status| {
        stand.change(|draft| draft.update_certificate(&device.certificate_id, status));
    };
    for (door, offered) in doors {
        let open = |identity| {
            let stream = stand.shake_hands(door, Some(identity), offered);
            stream.expect("a handshake")
        };
        let mut kept = open(&device);
        let answer = exchange(&mut kept, &publish).expect("an answer");
        assert_eq!(answer.status, 200);
        set(RegisterStatus::Inactive);
        exchange(&mut kept, &publish)
            .expect("an answer")
            .expect_forbidden();
        for identity in [&device, &stranger] {
            let mut stream = open(identity);
            stream.write_all(publish.as_bytes()).expect("it reads");
            expect_end(stream);
        }
        set(RegisterStatus::Active);
    }
}

/// Until policies hold, whoever has a certificate of the broker's authority may do what devices do.
#[test]
fn everything_passes_until_policies_hold() {
    let stand = start();
    let device = stand.issue("device");
    let publish = |stand: &Stand| stand.call_at(https(stand), Some(&device), "POST /topics/t", "x");
    assert_eq!(publish(&stand).status, 200);
    let strict = start_with(|config| config.aws.policies = PolicyMode::Enforce);
    let device = strict.issue("device");
    let mut stream = strict
        .shake_hands(https(&strict), Some(&device), &[])
        .expect("a handshake");
    let publish = request("POST", "/topics/t", "", "x");
    stream.write_all(publish.as_bytes()).expect("it reads");
    expect_end(stream);
}

/// AWS-HTTP-01: there is no publishing here without a certificate.
#[test]
fn door_for_devices_asks_for_a_certificate() {
    let stand = start();
    let refused = stand
        .shake_hands(https(&stand), None, &[])
        .and_then(|mut stream| exchange(&mut stream, &request("POST", "/topics/t", "", "x")));
    refused.unwrap_err();
}

/// AWS-FLOW-63: `https://<endpointAddress>` works on this machine as the API's own port does.
#[test]
fn caller_on_this_machine_needs_no_credentials_unless_there_are_access_keys() {
    let stand = start();
    let call = |stand: &Stand, line| stand.call_at(alpn(stand), None, line, "");
    assert_eq!(call(&stand, "GET /things").body["things"], json!([]));
    assert_eq!(call(&stand, "POST /topics/t").status, 200);
    let with_keys = start_with(|config| config.access_keys = vec![access_key()]);
    call(&with_keys, "GET /things").expect_forbidden();
    call(&with_keys, "POST /topics/t").expect_forbidden();
    let device = with_keys.issue("device");
    let publish = "POST /topics/t";
    let answer = with_keys.call_at(https(&with_keys), Some(&device), publish, "");
    assert_eq!(answer.status, 200, "a certificate is as good");
}

fn access_key() -> AccessKey {
    AccessKey {
        id: "AKIDEXAMPLE".to_owned(),
        secret: "secret".to_owned(),
        policy: None,
    }
}

/// An address of this machine that is not a loopback one.
fn other_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system chooses an address to send from.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// AWS-ENDP-13
#[test]
fn doors_are_there_over_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("left out: this machine has no IPv6");
    }
    let stand = start_with(|config| config.listeners.host = "::1".parse().expect("it is one"));
    let device = stand.issue("device");
    for door in [alpn(&stand), https(&stand)] {
        assert!(door.is_ipv6(), "{door}");
        let answer = stand.call_at(door, Some(&device), "POST /topics/t", "x");
        assert_eq!(answer.status, 200);
    }
    let answer = stand.call_at(alpn(&stand), None, "GET /things", "");
    assert_eq!(answer.status, 200, "it is this machine");
    let mut client = stand.mqtt_at(alpn(&stand), Some(&device), &[MQTT_CERTIFIED], Version::V5);
    client.send_connect(&Connect::new("a"));
    assert_eq!(client.expect_connack().1, 0);
}

/// From other than loopback nothing goes without credentials, policies or not.
#[test]
fn caller_from_another_machine_needs_credentials() {
    let Some(address) = other_address() else {
        return eprintln!("left out: this machine has no address but loopback ones");
    };
    let stand = start_with(|config| config.listeners.host = "0.0.0.0".parse().expect("it is one"));
    let door = SocketAddr::new(address, alpn(&stand).port());
    for line in [
        "GET /things",
        "GET /endpoint",
        "POST /topics/t",
        "GET /retainedMessage",
    ] {
        stand.call_at(door, None, line, "").expect_forbidden();
    }
    let device = stand.issue("device");
    let answer = stand.call_at(door, Some(&device), "POST /topics/t", "x");
    assert_eq!(answer.status, 200);
    stand
        .call_at(door, Some(&device), "GET /things", "")
        .expect_forbidden();
    // Without an access key of the configuration, a signature is worth nothing.
    let mut stream = stand.shake_hands(door, None, &[]).expect("a handshake");
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=A/20261128/us-east-1/iot/aws4_request, \
                  SignedHeaders=host, Signature=00\r\n";
    let signed = request("GET", "/things", signed, "");
    exchange(&mut stream, &signed)
        .expect("an answer")
        .expect_forbidden();
}

/// Pages of browsers on this machine: TLS keeps out those with a name of their own, and their Origin the others.
#[test]
fn web_pages_from_elsewhere_are_kept_out() {
    let stand = start();
    for (headers, status) in [
        ("Origin: https://example.com\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Origin: http://localhost:3000\r\n", 200),
        ("", 200),
    ] {
        let mut stream = stand
            .shake_hands(alpn(&stand), None, &["http/1.1"])
            .expect("a handshake");
        let list = request("GET", "/things", headers, "");
        let answer = exchange(&mut stream, &list).expect("an answer");
        assert_eq!(answer.status, status, "{headers}");
    }
    // A device may know this machine by any name.
    let mut stream = stand
        .shake_hands(alpn(&stand), None, &[])
        .expect("a handshake");
    let list = "GET /things HTTP/1.1\r\nHost: broker.example.com\r\n\r\n";
    assert_eq!(exchange(&mut stream, list).expect("an answer").status, 200);
}

/// Requests that two programs would read differently are the last ones of their connections.
#[test]
fn smuggled_requests_are_not_carried_out() {
    let stand = start();
    let device = stand.issue("device");
    let mut client = stand.enter(&device, Version::V5, &Connect::new("watcher"));
    client.subscribe("#", 1);
    let inner = request("POST", "/topics/inner", "", "x");
    let start = "POST /topics/outer HTTP/1.1\r\nHost: localhost\r\n";
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "Content-Length: +5\r\n\r\nhello",
        "Content-Length: 5, 6\r\n\r\nhello",
        "Transfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5;\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "Content-Length : 5\r\n\r\nhello",
    ] {
        for door in [https(&stand), alpn(&stand)] {
            let stream = stand.shake_hands(door, Some(&device), &[]);
            let mut stream = stream.expect("a handshake");
            let bytes = format!("{start}{framing}{inner}");
            stream.write_all(bytes.as_bytes()).expect("it reads");
            let mut answer = Vec::new();
            // It may be reset, with so much unread.
            let _ = stream.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer);
            let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400");
            assert!(is_refused, "{framing:?}: {answer}");
        }
    }
    // Both at once: the chunks count, and no more comes of the connection (RFC 9112, section 6.1).
    let both =
        format!("{start}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}");
    let stream = stand.shake_hands(https(&stand), Some(&device), &[]);
    let mut stream = stream.expect("a handshake");
    stream.write_all(both.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    client.send(PINGREQ);
    let mut topics = Vec::new();
    while let Packet::Publish(delivery) = client.next_packet() {
        topics.push(delivery.topic);
    }
    assert!(topics.len() < 2, "{topics:?}");
}

/// Whatever is sent, and whenever it stops: it ends in time, and others notice nothing.
#[test]
fn clients_that_are_slow_or_wrong_are_closed_and_others_are_served() {
    let stand = start_with(|config| {
        config.limits.connect_timeout = Duration::from_millis(500);
        config.tls.handshake_timeout = Duration::from_millis(500);
        config.http_idle_timeout = Duration::from_millis(500);
    });
    let device = stand.issue("device");
    let begun = Instant::now();
    let mut wrong: Vec<Box<dyn io::Read>> = Vec::new();
    for door in [alpn(&stand), https(&stand)] {
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x10\x10",
            &[0xff; 500],
            // The beginning of a handshake.
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ] {
            let mut stream = TcpStream::connect(door).expect("it accepts");
            let limit = Some(DEADLINE);
            stream.set_read_timeout(limit).expect("a socket option");
            stream.write_all(bytes).expect("it reads");
            wrong.push(Box::new(stream));
        }
        for (offered, bytes) in [
            (&[][..], &b""[..]),
            (&[], b"G"),
            (
                &[],
                b"POST /topics/t HTTP/1.1\r\nContent-Length: 9\r\n\r\nx",
            ),
            (&[], b"\x10"),
            (&[MQTT_CERTIFIED], b""),
            (&[MQTT_CERTIFIED], b"GET / HTTP/1.1\r\n\r\n"),
            (&["mqtt"], b"\x10\xff\xff\xff\xff\xff"),
            (&["http/1.1"], b""),
            (&["http/1.1"], b"\x10\x20"),
            (&[HTTP_CERTIFIED], b"\0\0\0"),
        ] {
            let stream = stand.shake_hands(door, Some(&device), offered);
            let mut stream = stream.expect("a handshake");
            stream.write_all(bytes).expect("it reads");
            stream.flush().expect("it reads");
            wrong.push(Box::new(stream));
        }
    }
    for door in [alpn(&stand), https(&stand)] {
        let answer = stand.call_at(door, Some(&device), "POST /topics/t", "x");
        assert_eq!(answer.status, 200);
    }
    for mut stream in wrong {
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        let is_late = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        assert!(!end.as_ref().is_err_and(is_late), "it stays open");
    }
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
}

/// Those of HTTP, too.
#[test]
fn connections_at_the_doors_are_counted() {
    let stand = start_with(|config| config.limits.connections = 2);
    let device = stand.issue("device");
    let publish = request("POST", "/topics/t", "", "x");
    let open = |door| stand.shake_hands(door, Some(&device), &[]);
    let mut kept: Vec<_> = [alpn(&stand), https(&stand)]
        .map(|door| open(door).expect("a handshake"))
        .into();
    for stream in &mut kept {
        assert_eq!(exchange(stream, &publish).expect("an answer").status, 200);
    }
    open(https(&stand)).unwrap_err();
    kept.pop();
    eventually("there is room again", || {
        open(https(&stand)).is_ok_and(|mut stream| exchange(&mut stream, &publish).is_ok())
    });
}
