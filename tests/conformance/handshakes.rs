//! TLS handshakes that come to nothing: they hold up nobody, each ends in bounded time, is counted, and
//! the log has one line that says why.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use rustls::ClientConnection;

use crate::support::*;

/// How many of each kind there are at a time.
const EACH: usize = 50;

/// What the broker gives a client for its part of the handshake.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What a client sends that does not want a handshake to succeed.
struct Bad {
    bytes: Vec<u8>,
    /// It ends its side of the connection.
    leaves: bool,
    /// What the log says.
    reason: &'static str,
}

fn bad_clients(hello: &[u8]) -> [Bad; 7] {
    const SLOW: &str = "TLS handshake took longer than 3s";
    const MQTT: &str = "TLS handshake failed: the client sends an MQTT CONNECT without TLS: ";
    const HTTP: &str = "TLS handshake failed: the client sends an HTTP request without TLS";
    const NO_END: &str =
        "TLS handshake failed: the client closed the connection in the middle of it";
    let half = &hello[..hello.len() / 2];
    let bad = |bytes: &[u8], leaves, reason| Bad {
        bytes: bytes.to_vec(),
        leaves,
        reason,
    };
    // A record of the right kind, and nothing in it that is a message.
    let mut broken = hello.to_vec();
    broken[5..].fill(0xFF);
    [
        bad(b"", false, SLOW),
        bad(half, false, SLOW),
        bad(hello, false, SLOW),
        bad(half, true, NO_END),
        bad(&Connect::new("c").encode(Version::V5), false, MQTT),
        bad(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, HTTP),
        bad(&broken, false, "TLS handshake failed: "),
    ]
}

#[test]
fn handshakes_that_stop_or_are_none_end_with_a_line_each_and_hold_up_nobody() {
    let config = format!("[tls]\nhandshake_timeout = \"{}s\"", TIMEOUT.as_secs());
    let flags = [&Door::FLAGS[..], &["--http-port", "0"]].concat();
    let (broker, log) = TestBroker::start_with_log(&flags, &config);
    let address = broker.address("mqtts").expect("the TLS listener is on");
    let certs = broker.directory().expect("our own").join("certs");
    let kinds = bad_clients(&client_hello(&certs));
    let streams: Vec<_> = kinds
        .iter()
        .flat_map(|bad| (0..EACH).map(move |_| (begin(address, bad), bad.reason)))
        .collect();
    let begun = Instant::now();
    let (mut good, _) = Door::Tls.open(&broker, Version::V5, &Connect::new("good"));
    good.expect_only_pingresp();
    let peers: Vec<_> = streams
        .into_iter()
        .map(|(stream, reason)| (expect_end(stream), reason))
        .collect();
    let took = begun.elapsed();
    // And some of the machine's slowness.
    assert!(took < TIMEOUT + DEADLINE / 2, "{took:?}");
    good.expect_only_pingresp();
    let count = format!("\nroundel_connections_refused_total {}\n", peers.len());
    eventually("each is counted", || {
        broker.get("/metrics").contains(&count)
    });
    assert_eq!(broker.stop(), Some(0));
    let lines = log.rest();
    for (peer, reason) in peers {
        let peer = format!(" peer={peer} ");
        let mut about = lines.iter().filter(|line| line.contains(&peer));
        let line = about.next().expect("a line about each");
        assert!(line.contains(reason), "no {reason:?} in {line}");
        assert!(line.contains("listener=mqtts"), "{line}");
        assert_eq!(about.next(), None, "once");
    }
}

/// The first thing that a client sends, all of it in one record.
fn client_hello(certs: &Path) -> Vec<u8> {
    let name = "localhost".try_into().expect("a name");
    let mut client = ClientConnection::new(trust(certs), name).expect("a client");
    let mut hello = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut hello).expect("memory for a record");
    }
    hello
}

fn begin(broker: SocketAddr, bad: &Bad) -> TcpStream {
    let mut stream = TcpStream::connect(broker).expect("the broker accepts");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    stream.write_all(&bad.bytes).expect("the broker reads");
    if bad.leaves {
        stream.shutdown(Shutdown::Write).expect("it is open");
    }
    stream
}

/// Reads to the end, which the broker has to make. Returns the address of this side.
fn expect_end(mut stream: TcpStream) -> SocketAddr {
    let own = stream.local_addr().expect("an address");
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection does not end: {error}"),
    }
    own
}
