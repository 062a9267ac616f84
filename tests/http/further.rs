//! Listeners of `--listener`: second ones of a kind, and MQTT and WebSocket at one port.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use roundel::config::{ClientCert, FurtherListener, ListenerKind};
use tempfile::TempDir;

use crate::{
    api::Api,
    support::{Client, Connect, DEADLINE, Frames, Publish, Version, handshake},
};

/// A broker with these, and the folder of its certificates.
fn start(further: &[FurtherListener]) -> (Api, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let api = Api::start_with(|config| {
        config.journal = true;
        config.limits.connect_timeout = Duration::from_millis(300);
        config.tls.certs = folder.path().to_owned();
        config.listeners.further = further.to_vec();
    });
    (api, folder)
}

fn socket(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the broker accepts");
    let deadline = Some(DEADLINE);
    stream.set_read_timeout(deadline).expect("a socket option");
    stream
}

#[test]
fn mqtt_and_websocket_are_taken_at_one_port_with_and_without_tls() {
    let none =
        FurtherListener::new(ListenerKind::MqttsAndWss, 0).with_client_cert(ClientCert::None);
    let (api, folder) = start(&[FurtherListener::new(ListenerKind::MqttAndWs, 0), none]);
    let addrs = api.server().addrs().further.clone();
    let version = Version::V5;
    let tls = || handshake(socket(addrs[1]), folder.path());
    let clients = [
        ("a", "mqtt+ws", Client::over(socket(addrs[0]), version)),
        (
            "b",
            "mqtt+ws",
            Client::over(Frames::upgrade(socket(addrs[0])), version),
        ),
        ("c", "mqtts+wss", Client::over(tls(), version)),
        (
            "d",
            "mqtts+wss",
            Client::over(Frames::upgrade(tls()), version),
        ),
    ];
    for (id, listener, mut client) in clients {
        client.send_connect(&Connect::new(id));
        assert_eq!(client.expect_connack().1, 0, "{id}");
        client.subscribe("t", 1);
        client.send(Publish::new("t", id));
        assert_eq!(client.expect_publish().payload, id.as_bytes());
        let info = api.get(&format!("/v1/clients/{id}")).json();
        assert_eq!(info["listener"], listener);
        client.disconnect();
    }
}

/// Whoever sends nothing, and whoever sends neither, is a client of MQTT that does not speak it.
#[test]
fn silence_and_what_is_neither_end_where_both_are_taken() {
    let (api, _folder) = start(&[FurtherListener::new(ListenerKind::MqttAndWs, 0)]);
    let addr = api.server().addrs().further[0];
    for (count, sent, cause) in [(1, &b""[..], "timeout"), (2, b"\xc0\x00", "no_connect")] {
        let mut stream = socket(addr);
        stream.write_all(sent).expect("the broker reads");
        assert_eq!(stream.read(&mut [0; 64]).unwrap_or(0), 0, "{cause}");
        let query = format!("since=0&event=refused&listener=mqtt%2Bws&count={count}&timeout=10s");
        let rows = api.get(&format!("/v1/journal/wait?{query}")).json();
        assert_eq!(rows["rows"][count - 1]["cause"], cause, "{rows}");
    }
}

/// Each listener over TLS has its own rule for client certificates.
#[test]
fn second_listener_of_a_kind_asks_for_certificates_by_itself() {
    let mqtts = |rule| FurtherListener::new(ListenerKind::Mqtts, 0).with_client_cert(rule);
    let (api, folder) = start(&[mqtts(ClientCert::Required), mqtts(ClientCert::None)]);
    let addrs = api.server().addrs().further.clone();
    let mut open = Client::over(handshake(socket(addrs[1]), folder.path()), Version::V5);
    open.send_connect(&Connect::new("open"));
    assert_eq!(open.expect_connack().1, 0);
    // In TLS 1.3 the alert comes behind the handshake.
    let mut refused = handshake(socket(addrs[0]), folder.path());
    let error = refused.read(&mut [0; 64]).expect_err("an alert");
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}
