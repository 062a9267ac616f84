//! How connections over TLS end, and what has to be handled before they do.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};

use crate::support::*;

/// The last message and close_notify arrive in one segment, while TCP stays open in the client's
/// direction: the message is handled, and the connection ends.
#[test]
fn data_and_close_notify_in_one_segment_are_both_handled() {
    for version in [&TLS12, &TLS13] {
        let (topic, mut watcher) = watched();
        let mut client = TlsClient::connect(version);
        client.write(&Publish::new(&topic, "last"));
        client.tls.send_close_notify();
        client.flush();
        client.expect_end();
        assert_eq!(watcher.receive().text(), "last");
    }
}

/// What comes behind close_notify is nothing, garbage as well (RFC 8446, section 6.1).
#[test]
fn close_notify_before_garbage_ends_the_connection() {
    for version in [&TLS12, &TLS13] {
        let (topic, mut watcher) = watched();
        let mut client = TlsClient::connect(version);
        client.write(&Publish::new(&topic, "last"));
        client.tls.send_close_notify();
        client.outgoing.extend([0xFF; 100]);
        client.flush();
        client.expect_end();
        assert_eq!(watcher.receive().text(), "last");
    }
}

/// The end of the handshake, all that the client has to say, and close_notify in one segment.
#[test]
fn a_whole_connection_behind_the_handshake_is_handled() {
    let (topic, mut watcher) = watched();
    let mut client = TlsClient::open(&TLS13);
    client.write(&Connect::new(fresh("tls")));
    client.write(&Publish::new(&topic, "all"));
    client.tls.send_close_notify();
    client.flush();
    client.expect_end();
    assert_eq!(watcher.receive().text(), "all");
}

/// A client that just closes its side, without close_notify.
#[test]
fn the_end_of_the_stream_without_close_notify_ends_the_connection() {
    let (topic, mut watcher) = watched();
    let mut client = TlsClient::connect(&TLS13);
    client.write(&Publish::new(&topic, "last"));
    client.flush();
    client
        .stream
        .shutdown(Shutdown::Write)
        .expect("the client closes its side");
    client.expect_end();
    assert_eq!(watcher.receive().text(), "last");
}

/// Bytes that had arrived are handled first, also if what follows in the same segment is no TLS.
#[test]
fn data_before_a_broken_record_is_handled() {
    let (topic, mut watcher) = watched();
    let mut client = TlsClient::connect(&TLS13);
    client.write(&Publish::new(&topic, "last"));
    client.outgoing.extend([0xFF; 100]);
    client.flush();
    client.expect_end();
    assert_eq!(watcher.receive().text(), "last");
}

/// The record with the end of a large packet holds another packet, too. That one is handled without
/// waiting for further records.
#[test]
fn a_packet_behind_a_large_one_in_the_same_record_is_handled() {
    for size in [300_000, 600_123] {
        let (topic, mut watcher) = watched();
        let mut client = TlsClient::connect(&TLS13);
        let large = Publish::new(&topic, "x".repeat(size)).encode(Version::V5);
        let small = Publish::new(&topic, "small").encode(Version::V5);
        client.write_bytes(&[large, small].concat());
        client.flush();
        assert_eq!(watcher.receive().payload.len(), size);
        assert_eq!(watcher.receive().text(), "small");
    }
}

/// A topic, and a client on plain TCP that subscribes to it.
fn watched() -> (String, Client) {
    let topic = fresh("tls");
    let mut watcher = Client::dial(tls_broker().mqtt(), Version::V5);
    watcher.send_connect(&Connect::new(fresh("watcher")));
    watcher.expect_connack();
    watcher.subscribe(&topic, 0);
    (topic, watcher)
}

fn tls_broker() -> &'static TestBroker {
    static SHARED: OnceLock<TestBroker> = OnceLock::new();
    SHARED.get_or_init(|| {
        TestBroker::start(&[
            "--profile",
            "standard",
            "--mqtts-port",
            "0",
            "--client-cert",
            "none",
        ])
    })
}

/// A client that decides which bytes make a segment.
struct TlsClient {
    tls: ClientConnection,
    stream: TcpStream,
    /// Bytes of the next segment.
    outgoing: Vec<u8>,
}

impl TlsClient {
    /// Makes the handshake; what ends it waits for the next segment.
    fn open(version: &'static SupportedProtocolVersion) -> Self {
        let broker = tls_broker();
        let address = broker.address("mqtts").expect("the TLS listener is on");
        let directory = broker.directory().expect("a broker of our own");
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(directory.join("certs/ca.pem"));
        roots
            .add(authority.expect("a certificate"))
            .expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        let mut client = Self {
            tls: ClientConnection::new(Arc::new(config), name).expect("a client"),
            stream: TcpStream::connect(address).expect("the broker accepts"),
            outgoing: Vec::new(),
        };
        client
            .stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        loop {
            client.take_records();
            if !client.tls.is_handshaking() {
                return client;
            }
            client.flush();
            client.read_records();
        }
    }

    /// Makes the handshake and connects.
    fn connect(version: &'static SupportedProtocolVersion) -> Self {
        let mut client = Self::open(version);
        client.write(&Connect::new(fresh("tls")));
        client.flush();
        let mut head = [0; 2];
        while client.tls.reader().read_exact(&mut head).is_err() {
            client.read_records();
        }
        assert_eq!(head[0], 0x20, "CONNACK");
        client
    }

    /// Puts a packet into a record of the next segment.
    fn write(&mut self, packet: &impl Encode) {
        self.write_bytes(&packet.encode(Version::V5));
    }

    fn write_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.tls.writer().write(bytes).expect("room for a record");
            bytes = &bytes[count..];
            self.take_records();
        }
    }

    fn take_records(&mut self) {
        while self.tls.wants_write() {
            self.tls
                .write_tls(&mut self.outgoing)
                .expect("memory for records");
        }
    }

    /// Sends the segment.
    fn flush(&mut self) {
        self.take_records();
        let segment = std::mem::take(&mut self.outgoing);
        self.stream.write_all(&segment).expect("the broker reads");
    }

    fn read_records(&mut self) {
        let count = self.tls.read_tls(&mut self.stream).expect("records");
        assert!(count > 0, "the broker closed the connection");
        self.tls.process_new_packets().expect("proper records");
    }

    /// Reads to the end of the stream, which has to come although this side stays open.
    fn expect_end(&mut self) {
        let mut rest = [0; 4096];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the connection does not end: {error}"),
            }
        }
    }
}
