//! TLS in the journal: what a handshake settled, and why there was none.

#[cfg(unix)]
use std::process::{Command, Stdio};
use std::{
    cell::RefCell,
    collections::HashSet,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use roundel::{
    Authority, IssuedPem, KeyKind,
    config::{BadTls, ClientCert},
    journal::{HandshakeCause, JournalQuery, RowKind},
    rules::Direction,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    api::Api,
    support::{Connect, DEADLINE, Encode, Version},
};

/// A broker with a journal, what its clients trust, and a certificate for one of them.
struct Stand {
    api: Api,
    identity: IssuedPem,
    folder: TempDir,
    roots: RootCertStore,
    /// The numbers of rows that were asked for: a later connection may have the port of an earlier one.
    found: RefCell<HashSet<u64>>,
}

impl Stand {
    fn start(change: impl FnOnce(&mut roundel::Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::open(folder.path()).expect("an authority");
        let identity = authority.issue_pem("thing-1", KeyKind::Ecdsa);
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(authority.ca_file()).expect("a certificate");
        roots.add(ca).expect("a CA");
        let api = Api::start_with(|config| {
            config.journal = true;
            config.listeners.mqtts = Some(0);
            config.tls.client_cert = ClientCert::Required;
            config.tls.certs = folder.path().to_owned();
            change(config);
        });
        Self {
            api,
            identity: identity.expect("a certificate"),
            folder,
            roots,
            found: RefCell::default(),
        }
    }

    fn mqtts(&self) -> SocketAddr {
        self.api.server().addrs().mqtts.expect("the listener is on")
    }

    /// A client that speaks these versions, with a certificate or without one.
    fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        has_certificate: bool,
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions that the provider knows")
            .with_root_certificates(self.roots.clone());
        if !has_certificate {
            return builder.with_no_client_auth();
        }
        let certificate = CertificateDer::from_pem_slice(self.identity.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.identity.private_key.as_bytes());
        builder
            .with_client_auth_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
            .expect("a key that fits")
    }

    /// The row of the handshake that a client at this address did not make.
    #[track_caller]
    fn failure_of(&self, peer: SocketAddr) -> Value {
        self.row_of("handshake_failed", peer)
    }

    #[track_caller]
    fn row_of(&self, event: &str, peer: SocketAddr) -> Value {
        let peer = peer.to_string();
        let mut count = 1;
        loop {
            let target =
                format!("/v1/journal/wait?event={event}&since=0&count={count}&timeout=10s");
            let rows = self.api.get(&target).json()["rows"].clone();
            let mut rows = rows.as_array().expect("rows").iter();
            let mut found = self.found.borrow_mut();
            let mut is_new = |row: &Value| found.insert(row["number"].as_u64().expect("a number"));
            if let Some(row) = rows.find(|row| row["peer"] == *peer && is_new(row)) {
                return row.clone();
            }
            count += 1;
        }
    }
}

fn dial(address: SocketAddr) -> (TcpStream, SocketAddr) {
    let socket = TcpStream::connect(address).expect("the broker accepts");
    socket
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    let own = socket.local_addr().expect("an address");
    (socket, own)
}

/// Goes as far as it gets towards a first byte from the broker. Returns the address of this side.
fn attempt(address: SocketAddr, config: ClientConfig) -> SocketAddr {
    let (socket, own) = dial(address);
    let name = "localhost".try_into().expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = rustls::StreamOwned::new(tls, socket);
    // In TLS 1.3 the handshake is over before the server has seen the client's certificate.
    let error = stream.read_exact(&mut [0]);
    // An alert that it has for the server leaves with this.
    let _ = stream.conn.write_tls(&mut stream.sock);
    error.expect_err("there is no connection");
    own
}

#[track_caller]
fn assert_alert(row: &Value, cause: &str, direction: &str, name: &str, code: u8) {
    assert_eq!(row["cause"], cause, "{row}");
    let alert = json!({ "direction": direction, "name": name, "code": code });
    assert_eq!(row["alert"], alert, "{row}");
}

#[test]
fn client_without_a_certificate_is_refused_with_an_alert() {
    let stand = Stand::start(|_| {});
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let mut config = stand.client(&[version], false);
        config.alpn_protocols = vec![b"mqtt".to_vec(), b"other".to_vec()];
        let row = stand.failure_of(attempt(stand.mqtts(), config));
        assert_alert(&row, "alert_sent", "out", "certificate_required", 116);
        let text = row["text"].as_str().expect("words");
        assert!(
            text.starts_with("the client shows no certificate, "),
            "{row}"
        );
        assert_eq!(row["listener"], "mqtts");
        assert_eq!(row["client"], Value::Null);
        let mut tls = row["tls"].clone();
        let cipher = tls["cipher"].take();
        assert!(
            cipher.as_str().is_some_and(|own| own.starts_with("TLS_")),
            "{row}"
        );
        assert_eq!(
            tls,
            json!({
                "version": name,
                "cipher": null,
                "sni": "localhost",
                "alpn": null,
                "alpn_offered": ["mqtt", "other"],
                "versions_offered": [name],
                "certificate_id": null,
                "common_name": null,
            })
        );
    }
    // Nothing of that is a packet.
    let packets = stand.api.get("/v1/journal?type=CONNECT").json();
    assert_eq!(packets["rows"], json!([]));
}

#[test]
fn alert_of_a_client_that_does_not_trust_the_server_is_shown() {
    let faults = [
        (BadTls::UnknownCa, "unknown_ca", 48),
        (BadTls::Expired, "certificate_expired", 45),
        (BadTls::WrongHost, "bad_certificate", 42),
    ];
    let stand = Stand::start(|config| {
        let ports = faults.iter().map(|(kind, ..)| (*kind, 0));
        config.listeners.bad_tls.extend(ports);
    });
    for (kind, alert, code) in faults {
        let address = stand.api.server().addrs().bad_tls[&kind];
        for version in [&TLS12, &TLS13] {
            let row = stand.failure_of(attempt(address, stand.client(&[version], true)));
            assert_alert(&row, "alert_received", "in", alert, code);
            let listener = row["listener"].as_str().expect("a name");
            assert!(listener.starts_with("bad-tls:"), "{row}");
            assert!(row["tls"]["version"].is_string(), "{row}");
        }
    }
}

/// The certificate is shown encrypted in TLS 1.3, and so is the alert.
#[test]
fn certificate_that_is_refused_is_named() {
    let stand = Stand::start(|config| {
        config.listeners.bad_tls.insert(BadTls::RejectClient, 0);
    });
    let address = stand.api.server().addrs().bad_tls[&BadTls::RejectClient];
    for version in [&TLS12, &TLS13] {
        let row = stand.failure_of(attempt(address, stand.client(&[version], true)));
        assert_alert(&row, "alert_sent", "out", "certificate_revoked", 44);
        assert_eq!(row["tls"]["certificate_id"], stand.identity.certificate_id);
        assert_eq!(row["tls"]["common_name"], "thing-1");
    }
}

#[test]
fn versions_that_do_not_meet_are_shown() {
    let stand = Stand::start(|config| {
        config.listeners.bad_tls.insert(BadTls::Tls12Only, 0);
        config.listeners.bad_tls.insert(BadTls::Tls13Only, 0);
    });
    for (kind, version, name) in [
        (BadTls::Tls12Only, &TLS13, "TLSv1.3"),
        (BadTls::Tls13Only, &TLS12, "TLSv1.2"),
    ] {
        let address = stand.api.server().addrs().bad_tls[&kind];
        let row = stand.failure_of(attempt(address, stand.client(&[version], true)));
        assert_alert(&row, "alert_sent", "out", "protocol_version", 70);
        let words = format!(
            "no version of TLS that the client offers is spoken here: {} is",
            if kind == BadTls::Tls12Only {
                "TLS 1.2"
            } else {
                "TLS 1.3"
            }
        );
        assert_eq!(row["text"], words);
        assert_eq!(row["tls"]["versions_offered"], json!([name]));
        assert_eq!(row["tls"]["version"], Value::Null);
    }
}

#[test]
fn what_is_no_tls_stops_or_says_nothing_has_its_cause() {
    let stand = Stand::start(|config| {
        config.tls.handshake_timeout = Duration::from_millis(200);
        #[cfg(feature = "websocket")]
        {
            config.listeners.wss = Some(0);
        }
    });
    let connect = Connect::new("c").encode(Version::V5);
    let name = "localhost".try_into().expect("a name");
    let config = Arc::new(stand.client(&[&TLS13], true));
    let mut client = ClientConnection::new(config, name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory");
    let half = &hello[..hello.len() / 2];
    for (bytes, leaves, cause, words) in [
        (
            &connect[..],
            false,
            "not_tls",
            "an MQTT CONNECT without TLS",
        ),
        (b"GET / HTTP/1.1\r\n\r\n", false, "not_tls", "HTTP"),
        (b"\0\0\0\0\0\0\0", false, "not_tls", "no TLS"),
        (half, true, "closed", "closed the connection"),
        (b"", true, "closed", "closed the connection"),
        (half, false, "timeout", "longer than 200ms"),
        (b"", false, "timeout", "the client has sent nothing"),
    ] {
        let (mut socket, own) = dial(stand.mqtts());
        socket.write_all(bytes).expect("the broker reads");
        if leaves {
            socket.shutdown(Shutdown::Write).expect("it is open");
        }
        let row = stand.failure_of(own);
        assert_eq!(row["cause"], cause, "{row}");
        let text = row["text"].as_str().expect("words");
        assert!(text.contains(words), "{row}");
        let has_alert = row["alert"]["direction"] == "out";
        assert_eq!(has_alert, cause == "not_tls", "{row}");
        assert_eq!(row["tls"]["version"], Value::Null);
    }
    #[cfg(feature = "websocket")]
    {
        let address = stand.api.server().addrs().wss.expect("the listener is on");
        let (mut socket, own) = dial(address);
        socket
            .write_all(b"GET /mqtt HTTP/1.1\r\n")
            .expect("the broker reads");
        let row = stand.failure_of(own);
        assert_eq!(
            (&row["cause"], &row["listener"]),
            (&json!("not_tls"), &json!("wss"))
        );
    }
}

#[test]
#[cfg(feature = "doors")]
fn handshakes_at_the_doors_are_shown() {
    let stand = Stand::start(|config| {
        config.listeners.alpn = Some(0);
        config.listeners.https = Some(0);
    });
    let addrs = stand.api.server().addrs();
    let mut config = stand.client(&[&TLS13], true);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let row = stand.failure_of(attempt(addrs.alpn.expect("it is on"), config));
    assert_alert(&row, "alert_sent", "out", "no_application_protocol", 120);
    assert_eq!(row["tls"]["alpn_offered"], json!(["h2"]));
    assert_eq!(row["listener"], "alpn");
    let (mut socket, own) = dial(addrs.https.expect("it is on"));
    socket
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("the broker reads");
    let row = stand.failure_of(own);
    assert_alert(&row, "not_tls", "out", "decode_error", 50);
    assert_eq!(row["listener"], "https");
    // Behind the handshake it is neither MQTT nor HTTP.
    let (socket, own) = dial(addrs.alpn.expect("it is on"));
    let name = "localhost".try_into().expect("a name");
    let config = Arc::new(stand.client(&[&TLS13], true));
    let tls = ClientConnection::new(config, name).expect("a client");
    let mut stream = rustls::StreamOwned::new(tls, socket);
    stream.write_all(&[0xff; 9]).expect("the broker reads");
    let row = stand.row_of("refused", own);
    assert_eq!(
        (&row["cause"], &row["by"]),
        (&json!("protocol"), &json!("broker"))
    );
    assert_eq!(row["tls"]["common_name"], "thing-1");
}

#[test]
fn connection_has_what_its_handshake_settled_and_its_end_who_made_it() {
    let stand = Stand::start(|_| {});
    let open = |packet: &[u8]| {
        let (socket, own) = dial(stand.mqtts());
        let name = "localhost".try_into().expect("a name");
        let config = Arc::new(stand.client(&[&TLS13], true));
        let tls = ClientConnection::new(config, name).expect("a client");
        let mut stream = rustls::StreamOwned::new(tls, socket);
        stream.write_all(packet).expect("the broker reads");
        stream.read_exact(&mut [0]).expect("CONNACK");
        (stream, own)
    };
    let (mut stream, own) = open(&Connect::new("a").encode(Version::V5));
    let client = stand.api.get("/v1/clients/a").json();
    let row = stand.row_of("connected", own);
    assert_eq!(row["tls"], client["tls"]);
    assert_eq!(row["tls"]["common_name"], "thing-1");
    stream.write_all(&[0xe0, 0]).expect("the broker reads");
    let row = stand.row_of("disconnected", own);
    let end = json!([row["by"], row["cause"], row["code"], row["tls"]]);
    assert_eq!(end, json!(["client", "disconnect", 0, null]));
    // MQTT 3.1.1, MQTT-3.1.3-8.
    let (_stream, own) = open(&Connect::new("").durable().encode(Version::V3));
    let row = stand.row_of("refused", own);
    let end = json!([row["by"], row["cause"], row["code"]]);
    assert_eq!(end, json!(["broker", "refused", 133]));
    assert_eq!(row["tls"], client["tls"]);
    let plain = stand.api.connect("plain");
    let row = stand.row_of("connected", plain.local_address());
    assert_eq!(row.get("tls"), None, "{row}");
}

/// What openssl is told, and what it tells.
#[test]
#[cfg(unix)]
fn alerts_of_openssl_are_shown() {
    let cases = [
        (BadTls::UnknownCa, "-tls1_3", "alert_received", "unknown_ca"),
        (
            BadTls::Expired,
            "-tls1_2",
            "alert_received",
            "certificate_expired",
        ),
        (
            BadTls::RejectClient,
            "-tls1_3",
            "alert_sent",
            "certificate_revoked",
        ),
        (
            BadTls::Tls13Only,
            "-tls1_2",
            "alert_sent",
            "protocol_version",
        ),
    ];
    let stand = Stand::start(|config| {
        let ports = cases.iter().map(|(kind, ..)| (*kind, 0));
        config.listeners.bad_tls.extend(ports);
    });
    let file = |name: &str, text: &str| {
        let path = stand.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let certificate = file("own.pem", &stand.identity.certificate);
    let key = file("own.key", &stand.identity.private_key);
    for (count, (kind, version, cause, alert)) in cases.into_iter().enumerate() {
        let address = stand.api.server().addrs().bad_tls[&kind];
        let mut openssl = Command::new("openssl")
            .args(["s_client", "-verify_return_error", "-alpn", "mqtt", version])
            .args(["-connect", &format!("localhost:{}", address.port())])
            .args(["-servername", "localhost"])
            .arg("-CAfile")
            .arg(stand.folder.path().join("ca.pem"))
            .arg("-cert")
            .arg(&certificate)
            .arg("-key")
            .arg(&key)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let count = count + 1;
        let target =
            format!("/v1/journal/wait?event=handshake_failed&since=0&count={count}&timeout=10s");
        let rows = stand.api.get(&target).json();
        // It reads on until it sees the alert, or its own input ends.
        drop(openssl.stdin.take());
        openssl.wait().expect("it ends");
        let row = &rows["rows"][count - 1];
        assert_eq!(row["cause"], cause, "{row}");
        assert_eq!(row["alert"]["name"], alert, "{row}");
        assert_eq!(row["tls"]["alpn_offered"], json!(["mqtt"]), "{row}");
        assert_eq!(row["tls"]["sni"], "localhost", "{row}");
    }
}

#[test]
fn failed_handshake_is_read_from_rust_and_as_lines() {
    let stand = Stand::start(|_| {});
    let own = attempt(stand.mqtts(), stand.client(&[&TLS13], false));
    let row = stand.failure_of(own);
    let lines = stand
        .api
        .get("/v1/journal?format=jsonl&event=handshake_failed");
    let line: Value = serde_json::from_str(lines.body.trim()).expect("one line");
    assert_eq!(line, row);
    let query = JournalQuery::event("handshake_failed");
    let rows = stand.api.server().journal().rows(&query, 0, 10);
    let [row] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!((row.listener, &*row.peer), ("mqtts", &*own.to_string()));
    let RowKind::Event { failure, tls, .. } = &row.what else {
        panic!("{row:?}");
    };
    let failure = failure.as_ref().expect("a cause");
    assert_eq!(failure.cause, HandshakeCause::AlertSent);
    let alert = failure.alert.expect("an alert");
    assert_eq!(alert.direction, Direction::Out);
    assert_eq!(alert.to_string(), "certificate_required (116)");
    assert_eq!(tls.as_ref().and_then(|tls| tls.version), Some("TLSv1.3"));
}
