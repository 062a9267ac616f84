//! Packet rules do the same whatever carries the packets: TCP, TLS, WebSocket, and WebSocket over TLS.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use roundel::config::ClientCert;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    api::Api,
    support::{
        Client, Connect, DEADLINE, Encode, Frames, PINGREQ, Packet, Publish, RECEIVE_MAXIMUM,
        Subscribe, Tls, Version, handshake, masked_frame, take_frame,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Tls,
    WebSocket,
    WebSocketOverTls,
}

impl Transport {
    const ALL: [Self; 4] = [
        Self::Tcp,
        Self::Tls,
        Self::WebSocket,
        Self::WebSocketOverTls,
    ];

    fn listener(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
            Self::WebSocketOverTls => "wss",
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::WebSocketOverTls)
    }

    fn has_frames(self) -> bool {
        matches!(self, Self::WebSocket | Self::WebSocketOverTls)
    }
}

/// A broker with all of them.
struct Stand {
    api: Api,
    folder: TempDir,
}

impl Stand {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let api = Api::start_with(|config| {
            config.journal = true;
            config.listeners.mqtts = Some(0);
            config.listeners.ws = Some(0);
            config.listeners.wss = Some(0);
            config.tls.client_cert = ClientCert::None;
            config.tls.certs = folder.path().to_owned();
        });
        Self { api, folder }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        let addrs = self.api.server().addrs();
        let address = match transport {
            Transport::Tcp => addrs.mqtt,
            Transport::Tls => addrs.mqtts,
            Transport::WebSocket => addrs.ws,
            Transport::WebSocketOverTls => addrs.wss,
        };
        address.expect("the listener is on")
    }

    fn socket(&self, transport: Transport) -> TcpStream {
        let stream = TcpStream::connect(self.address(transport)).expect("the broker accepts");
        stream.set_nodelay(true).expect("a socket option");
        let deadline = Some(DEADLINE);
        stream.set_read_timeout(deadline).expect("a socket option");
        stream
    }

    fn tls(&self, transport: Transport) -> Tls {
        handshake(self.socket(transport), self.folder.path())
    }

    /// A connection that has sent nothing of MQTT.
    fn dial(&self, transport: Transport) -> Client {
        let version = Version::V5;
        match transport {
            Transport::Tcp => Client::over(self.socket(transport), version),
            Transport::Tls => Client::over(self.tls(transport), version),
            Transport::WebSocket => Client::over(Frames::upgrade(self.socket(transport)), version),
            Transport::WebSocketOverTls => {
                Client::over(Frames::upgrade(self.tls(transport)), version)
            }
        }
    }

    fn open(&self, transport: Transport, client_id: &str) -> Client {
        let mut client = self.dial(transport);
        client.send_connect(&Connect::new(client_id));
        assert_eq!(client.expect_connack().1, 0, "{transport:?}");
        client
    }

    #[track_caller]
    fn set(&self, rule: &Value) {
        self.api.post("/v1/rules", &rule.to_string()).json_with(201);
    }
}

#[test]
fn packets_are_dropped_held_replaced_and_injected_over_every_transport() {
    let stand = Stand::start();
    for transport in Transport::ALL {
        let listener = transport.listener();
        let matches =
            |kind: &str| json!({ "type": kind, "direction": "out", "listener": listener });
        stand.set(&json!({
            "match": matches("CONNACK"),
            "do": "replace",
            "set": { "properties": { "receive_maximum": 1 } },
        }));
        let mut client = stand.dial(transport);
        client.send_connect(&Connect::new(listener));
        let (_, reason, props) = client.expect_connack();
        assert_eq!((reason, props.number(RECEIVE_MAXIMUM)), (0, Some(1)));

        stand.set(&json!({ "match": matches("PUBACK"), "do": "drop", "times": 1 }));
        stand.set(&json!({ "match": matches("PUBACK"), "do": "hold", "times": 1 }));
        for id in 1..=3 {
            client.send(Publish::new("t", "x").qos(1, id));
            // Those that are read together are all in front of what answers them.
            let query = format!("type=PUBACK&listener={listener}&since=0&count={id}");
            let query = format!("/v1/journal/wait?{query}&timeout=10s");
            assert_eq!(stand.api.get(&query).status, 200, "{transport:?}");
        }
        assert_eq!(client.expect_puback(3), 0x10, "1 is lost, and 2 is held");
        let released = stand.api.post("/v1/held/release", "").json();
        assert_eq!(released, json!({ "released": 1 }), "{transport:?}");
        assert_eq!(client.expect_puback(2), 0x10);

        let made = json!({ "type": "PUBLISH", "topic": "made", "payload": "x".repeat(300) });
        stand.set(&json!({ "match": matches("PINGRESP"), "do": "inject", "packet": made }));
        client.send(PINGREQ);
        assert_eq!(client.next_packet(), Packet::Pingresp);
        assert_eq!(client.expect_publish().payload.len(), 300);
        client.disconnect();
    }
    // The rows are the same for all of them.
    let row = |row: &Value| json!([row["packet"], row["event"], row["did"], row["direction"]]);
    let rows = |transport: Transport| -> Vec<Value> {
        let query = "/v1/journal/wait?since=0&event=disconnected&count=4&timeout=10s";
        assert_eq!(stand.api.get(query).status, 200);
        let query = format!("/v1/journal?listener={}", transport.listener());
        let rows = stand.api.get(&query).json()["rows"].clone();
        let mut rows: Vec<Value> = rows.as_array().expect("rows").iter().map(row).collect();
        // But for the name.
        rows[0][0]["client_id"] = Value::Null;
        rows
    };
    let plain = rows(Transport::Tcp);
    assert!(plain.len() > 15, "{plain:?}");
    for transport in Transport::ALL {
        assert_eq!(rows(transport), plain, "{transport:?}");
    }
}

/// What came over a connection below everything else, up to its end or its reset.
fn raw_end(client: Client) -> (Vec<u8>, Option<ErrorKind>) {
    let (mut stream, mut bytes) = (client.into_stream(), Vec::new());
    let end = stream.read_to_end(&mut bytes).err();
    (bytes, end.map(|error| error.kind()))
}

/// Without close_notify, without a Close frame.
#[test]
fn connections_of_every_transport_are_reset() {
    let stand = Stand::start();
    for transport in Transport::ALL {
        for when in ["before", "after"] {
            let mut client = stand.open(transport, "a");
            stand.set(&json!({
                "match": { "type": "PINGREQ" }, "do": "reset", "when": when, "times": 1,
            }));
            client.send(PINGREQ);
            if when == "after" {
                assert_eq!(client.next_packet(), Packet::Pingresp, "{transport:?}");
            }
            let (bytes, end) = raw_end(client);
            assert_eq!(
                end,
                Some(ErrorKind::ConnectionReset),
                "{transport:?} {when}"
            );
            assert!(bytes.is_empty(), "{transport:?} {when}: {bytes:02x?}");
        }
    }
}

/// The bytes that are below TLS where there is TLS, and how the stream ended: with close_notify, that is.
fn opened(tls: &mut Tls) -> Vec<u8> {
    let mut bytes = Vec::new();
    // It is an error without.
    tls.read_to_end(&mut bytes).expect("close_notify");
    assert_eq!(tls.sock.read(&mut [0]).expect("the end"), 0, "and TCP ends");
    bytes
}

/// Something that speaks MQTT by hand, to see what is below.
enum Hand {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

impl Hand {
    fn connect(stand: &Stand, transport: Transport) -> Self {
        let mut hand = match transport.has_tls() {
            true => Self::Tls(Box::new(stand.tls(transport))),
            false => Self::Plain(stand.socket(transport)),
        };
        if transport.has_frames() {
            let request = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n";
            hand.write(request.as_bytes());
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.extend(hand.read(1));
            }
        }
        hand.send(transport, &Connect::new("hand").encode(Version::V5));
        hand.read_packet(transport, 0x20);
        hand
    }

    fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        }
        .expect("the broker reads");
    }

    fn send(&mut self, transport: Transport, packet: &[u8]) {
        match transport.has_frames() {
            true => self.write(&masked_frame(2, packet, true)),
            false => self.write(packet),
        }
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        match self {
            Self::Plain(stream) => stream.read_exact(&mut bytes),
            Self::Tls(stream) => stream.read_exact(&mut bytes),
        }
        .expect("the broker writes");
        bytes
    }

    /// Reads a short packet with this first byte, in a frame of its own where there are frames.
    fn read_packet(&mut self, transport: Transport, first: u8) {
        if transport.has_frames() {
            assert_eq!(self.read(1), [0x82]);
            let length = self.read(1)[0];
            let packet = self.read(length.into());
            assert_eq!(packet[0], first, "{transport:?}");
        } else {
            assert_eq!(self.read(1), [first], "{transport:?}");
            let length = self.read(1)[0];
            self.read(length.into());
        }
    }

    /// Reads to the end, which every layer has to announce. Returns what came before of MQTT.
    fn read_end(&mut self, transport: Transport) -> Vec<u8> {
        let mut bytes = match self {
            Self::Tls(stream) => opened(stream),
            Self::Plain(stream) => {
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).expect("no reset");
                bytes
            }
        };
        if !transport.has_frames() {
            return bytes;
        }
        let mut packets = Vec::new();
        loop {
            match take_frame(&mut bytes) {
                Some((8, _)) => break,
                Some((_, payload)) => packets.extend(payload),
                None => panic!("no Close frame: {bytes:02x?}"),
            }
        }
        assert!(bytes.is_empty(), "behind the Close frame: {bytes:02x?}");
        packets
    }
}

/// The broker's side ends, in the words of each layer, and the client's goes on.
#[test]
fn connections_of_every_transport_are_closed_on_one_side() {
    let stand = Stand::start();
    let mut sub = stand.api.connect("sub");
    sub.subscribe("t", 1);
    for transport in Transport::ALL {
        for (packet, when, rest) in [
            ("PINGREQ", "before", &[][..]),
            ("PINGREQ", "after", &[0xd0, 0]),
            ("PINGRESP", "before", &[]),
            ("PINGRESP", "after", &[0xd0, 0]),
        ] {
            let mut hand = Hand::connect(&stand, transport);
            stand.set(&json!({
                "match": { "type": packet }, "do": "half_close", "when": when, "times": 1,
            }));
            hand.send(transport, &PINGREQ.encode(Version::V5));
            let text = format!("{transport:?} {packet} {when}");
            assert_eq!(hand.read_end(transport), rest, "{text}");
            for id in 1..=2 {
                let publish = Publish::new("t", &*text).qos(1, id);
                hand.send(transport, &publish.encode(Version::V5));
                // The broker acknowledges it, and that is lost.
                let delivery = sub.expect_publish();
                assert_eq!(delivery.payload, text.as_bytes());
                sub.acknowledge(&delivery);
            }
            let client = stand.api.get("/v1/clients/hand").json();
            assert_eq!(client["connected"], true, "{text}");
        }
    }
}

/// More than a socket holds, composed by the task of somebody else.
#[test]
fn side_that_is_closed_behind_a_packet_has_sent_all_of_it() {
    let stand = Stand::start();
    let mut publisher = stand.api.connect("pub");
    for transport in Transport::ALL {
        for size in [10, 8 << 20] {
            let mut hand = Hand::connect(&stand, transport);
            let subscribe = Subscribe::new(1).filter("large", 0);
            hand.send(transport, &subscribe.encode(Version::V5));
            hand.read_packet(transport, 0x90);
            stand.set(&json!({
                "match": { "type": "PUBLISH", "direction": "out" },
                "do": "half_close",
                "when": "after",
                "times": 1,
            }));
            publisher.publish("large", "x".repeat(size), 1);
            // The broker has tried to write all of it before any is read.
            let packet = hand.read_end(transport);
            let payload = packet.iter().rev().take_while(|byte| **byte == b'x');
            assert_eq!(payload.count(), size, "{transport:?}");
        }
    }
}

#[test]
fn connections_of_every_transport_are_closed_disconnected_and_not_read() {
    let stand = Stand::start();
    let mut sub = stand.api.connect("sub");
    sub.subscribe("t", 1);
    for transport in Transport::ALL {
        let rule = |what: &str| json!({ "match": { "type": "PINGREQ" }, "do": what, "times": 1 });
        let mut hand = Hand::connect(&stand, transport);
        stand.set(&rule("close"));
        hand.send(transport, &PINGREQ.encode(Version::V5));
        if transport.has_frames() {
            // The client's Close frame, which is waited for; TLS and TCP end then.
            let mut close = hand.read(2);
            let length = close[1];
            close.extend(hand.read(length.into()));
            assert_eq!(take_frame(&mut close).expect("a frame").0, 8);
            hand.write(&masked_frame(8, &[], true));
            let rest = match &mut hand {
                Hand::Tls(stream) => opened(stream),
                Hand::Plain(stream) => {
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes).expect("no reset");
                    bytes
                }
            };
            assert!(rest.is_empty(), "{rest:02x?}");
        } else {
            assert!(hand.read_end(transport).is_empty());
        }

        let mut client = stand.open(transport, "b");
        stand.set(&rule("disconnect"));
        client.send(PINGREQ);
        client.expect_disconnect(0x98);

        let mut client = stand.open(transport, "c");
        let mut deaf = rule("stop_reading");
        deaf["name"] = "deaf".into();
        stand.set(&deaf);
        client.send(PINGREQ);
        assert_eq!(client.next_packet(), Packet::Pingresp, "{transport:?}");
        client.send(Publish::new("t", "heard in the end"));
        sub.expect_only_pingresp();
        assert_eq!(stand.api.delete("/v1/rules/deaf").status, 200);
        assert_eq!(sub.receive_texts(1), ["heard in the end"]);
    }
}
