//! The upgrade of an HTTP connection to WebSocket: who is let in, and what a refusal leaves behind.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::support::*;

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const PROTOCOL: &str = "Sec-WebSocket-Protocol: mqtt\r\n";

/// Pages of this machine pass on any port, and so do programs, which send no Origin. Others do not,
/// unless the configuration lists them.
#[test]
fn a_page_from_elsewhere_gets_403_unless_it_is_listed() {
    let broker = TestBroker::start_with_config(
        &["--profile", "standard", "--ws-port", "0"],
        "ws_allowed_origins = [\"https://app.example.com\"]",
    );
    let address = ws(&broker);
    for origin in [
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://[::1]:8443",
        "https://app.example.com",
    ] {
        let headers = format!("Origin: {origin}\r\n");
        assert_eq!(
            status(&upgrade(address, "/mqtt", &headers).0),
            101,
            "{origin}"
        );
    }
    assert_eq!(status(&upgrade(address, "/mqtt", "").0), 101);
    for headers in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost.evil.example\r\n",
        "Origin: https://app.example.com:8443\r\n",
        "Origin: \r\n",
        "Origin: http://localhost\r\nOrigin: http://evil.example\r\n",
    ] {
        assert_eq!(
            status(&upgrade(address, "/mqtt", headers).0),
            403,
            "{headers}"
        );
    }
}

/// AWS-ENDP-08: the service has one path. The standard has none.
#[test]
fn the_path_is_mqtt_in_aws_and_any_in_standard() {
    for (profile, other) in [("aws", 404), ("standard", 101)] {
        let broker = TestBroker::start(&["--profile", profile, "--ws-port", "0"]);
        let address = ws(&broker);
        for path in ["/mqtt", "/mqtt?x=y"] {
            assert_eq!(status(&upgrade(address, path, "").0), 101, "{profile}");
        }
        for path in ["/", "/ws", "/mqtt/"] {
            assert_eq!(status(&upgrade(address, path, "").0), other, "{profile}");
        }
    }
}

/// RFC 6455, section 4.4, and RFC 9110, section 15.5.22: the answer says what would be right.
#[test]
fn upgrade_required_names_protocol_and_version() {
    let broker = TestBroker::start(&["--profile", "standard", "--ws-port", "0"]);
    let old = "Sec-WebSocket-Version: 8\r\n";
    for headers in [
        format!("{UPGRADE}{old}{KEY}{PROTOCOL}"),
        format!("{UPGRADE}{KEY}{PROTOCOL}"),
        format!("{VERSION}{KEY}{PROTOCOL}"),
        String::new(),
    ] {
        let (head, mut stream) = ask(ws(&broker), &request("GET", "/mqtt", &headers));
        assert_eq!(status(&head), 426, "{headers}");
        // No further request is waited for.
        stream
            .read_to_end(&mut Vec::new())
            .expect("the end of the stream");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("\r\nsec-websocket-version: 13\r\n"), "{head}");
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    }
}

/// RFC 6455, section 4.2.1.
#[test]
fn requests_that_are_no_proper_upgrade_are_refused() {
    let broker = TestBroker::start(&["--profile", "standard", "--ws-port", "0"]);
    let short = "Sec-WebSocket-Key: AAAA\r\n";
    for (expected, method, headers) in [
        (101, "GET", format!("{UPGRADE}{VERSION}{KEY}{PROTOCOL}")),
        (426, "HEAD", format!("{UPGRADE}{VERSION}{KEY}{PROTOCOL}")),
        (400, "GET", format!("{UPGRADE}{VERSION}{KEY}")),
        (400, "GET", format!("{UPGRADE}{VERSION}{PROTOCOL}")),
        (400, "GET", format!("{UPGRADE}{VERSION}{short}{PROTOCOL}")),
        (
            431,
            "GET",
            format!(
                "{UPGRADE}{VERSION}{KEY}{PROTOCOL}X: {}\r\n",
                "x".repeat(100_000)
            ),
        ),
    ] {
        let (head, _) = ask(ws(&broker), &request(method, "/mqtt", &headers));
        let excerpt = headers.get(..200).unwrap_or(&headers);
        assert_eq!(status(&head), expected, "{method} {excerpt}");
    }
}

/// Requests that are refused, and connections that end before their request, make room at once.
#[test]
fn a_refused_or_aborted_upgrade_frees_its_place() {
    let refused = |address| Some(ask(address, &request("GET", "/", "")).1);
    let silent = |address| {
        drop(dial(address));
        None
    };
    let aborted = |address| {
        drop(send(address, "GET /mqtt HTTP/1.1\r\nHost: "));
        None
    };
    let attempts: [&dyn Fn(SocketAddr) -> Option<TcpStream>; 3] = [&refused, &silent, &aborted];
    for attempt in attempts {
        let broker = TestBroker::start_with_config(
            &["--profile", "standard", "--ws-port", "0"],
            "[limits]\nconnections = 3\nconnect_timeout = \"60s\"",
        );
        // The broker closes what it refused, whatever the client does.
        let _streams: Vec<_> = (0..3).map(|_| attempt(ws(&broker))).collect();
        let start = Instant::now();
        while !can_connect(broker.mqtt()) {
            assert!(start.elapsed() < DEADLINE, "the places stay taken");
        }
    }
}

/// One `connect_timeout` from the first byte to CONNECT, the upgrade included.
#[test]
fn a_slow_upgrade_leaves_less_time_for_connect() {
    let broker = TestBroker::start_with_config(
        &["--profile", "standard", "--ws-port", "0"],
        "[limits]\nconnect_timeout = \"2s\"",
    );
    let headers = format!("{UPGRADE}{VERSION}{KEY}{PROTOCOL}");
    let request = request("GET", "/mqtt", &headers);
    let start = Instant::now();
    let mut stream = dial(ws(&broker));
    for part in request.as_bytes().chunks(request.len() / 11) {
        stream.write_all(part).expect("the broker reads");
        // A client that is slow.
        thread::sleep(Duration::from_millis(150));
    }
    assert_eq!(status(&read_head(&mut stream)), 101);
    let upgraded = start.elapsed();
    let mut rest = Vec::new();
    // Whether it resets or closes, it is over.
    let _ = stream.read_to_end(&mut rest);
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(1900), "{elapsed:?}");
    let anew = upgraded + Duration::from_secs(2);
    assert!(elapsed < anew - Duration::from_millis(200), "{elapsed:?}");
}

/// Every refusal is counted, and a line with its reason, the listener and the peer, and nothing that a
/// client sent begins a line.
#[test]
fn each_refusal_is_logged_with_its_reason() {
    let flags = ["--ws-port", "0", "--http-port", "0"];
    let (broker, log) = TestBroker::start_with_log(&flags, "");
    let address = ws(&broker);
    let evil = "Origin: http://evil.example\r\n";
    for (path, headers, words) in [
        (
            "/mqtt",
            evil,
            ["this Origin is not allowed", "evil.example"],
        ),
        ("/a%0Ab", "", ["MQTT over WebSocket is at /mqtt", "/a%0Ab"]),
    ] {
        let (_, stream) = upgrade(address, path, headers);
        expect_line(&log, &stream, &words);
    }
    let stream = dial(address);
    stream.shutdown(Shutdown::Write).expect("it is open");
    expect_line(
        &log,
        &stream,
        &["no upgrade", "closed by the client before its request"],
    );
    let stream = send(address, "GET /mqtt HTTP/1.1\r\nHost: ");
    stream.shutdown(Shutdown::Write).expect("it is open");
    expect_line(
        &log,
        &stream,
        &["no upgrade", "closed before message completed"],
    );
    let stream = send(address, "\x10\x0cMQTT on the wrong port\r\n\r\n");
    expect_line(
        &log,
        &stream,
        &["no upgrade", "the client speaks MQTT without WebSocket"],
    );
    let metrics = broker.get("/metrics");
    let count = "\nroundel_connections_refused_total 5\n";
    assert!(metrics.contains(count), "{metrics}");
}

/// The next line that names the peer, and its words.
#[track_caller]
fn expect_line(log: &Log, stream: &TcpStream, words: &[&str]) {
    let peer = format!("peer={} ", stream.local_addr().expect("an address"));
    let line = log.line_with(&[&peer]);
    for word in words.iter().chain(&["listener=ws"]) {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
}

fn ws(broker: &TestBroker) -> SocketAddr {
    broker.address("ws").expect("the WebSocket listener is on")
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// Asks for an upgrade as it should be, with further headers.
fn upgrade(address: SocketAddr, path: &str, headers: &str) -> (String, TcpStream) {
    let headers = format!("{UPGRADE}{VERSION}{KEY}{PROTOCOL}{headers}");
    ask(address, &request("GET", path, &headers))
}

/// Sends a request and returns the head of the response.
fn ask(address: SocketAddr, request: &str) -> (String, TcpStream) {
    let mut stream = send(address, request);
    (read_head(&mut stream), stream)
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the broker accepts");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    stream
}

fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = dial(address);
    // Of a request that is too large the end is not read.
    let _ = stream.write_all(request.as_bytes());
    stream
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a response");
        head.extend(byte);
    }
    String::from_utf8(head).expect("a head of text")
}

fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {head:?}"))
}

/// Whether an MQTT client gets a CONNACK.
fn can_connect(address: SocketAddr) -> bool {
    let mut stream = dial(address);
    let connect = Connect::new(fresh("place")).encode(Version::V5);
    let mut head = [0];
    stream.write_all(&connect).is_ok() && stream.read_exact(&mut head).is_ok() && head[0] == 0x20
}
