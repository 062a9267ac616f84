//! MQTT over WebSocket: section 6 of both standards.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::OnceLock,
    thread,
    time::Duration,
};

use crate::support::*;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const PINGRESP: [u8; 2] = [0xD0, 0x00];

/// 5:MQTT-6.0.0-4 3:MQTT-6.0.0-4
/// The sub-protocol that the broker selects is mqtt, alone or after other names.
#[test]
fn selected_sub_protocol_is_mqtt() {
    for offer in ["mqtt", "soap, mqtt", "mqttv3.1, mqtt, other"] {
        let (response, _) = handshake(Some(offer));
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert_eq!(
            header(&response, "sec-websocket-protocol").as_deref(),
            Some("mqtt")
        );
        // RFC 6455, section 4.1: clients look for both.
        for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
            let found = header(&response, name).unwrap_or_default();
            assert_eq!(found.to_ascii_lowercase(), value, "{response}");
        }
        // The answer to the key that every handshake of these tests sends (RFC 6455, section 1.3).
        let accept = header(&response, "sec-websocket-accept");
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}

/// 5:MQTT-6.0.0-1 3:MQTT-6.0.0-1
/// MQTT travels in binary frames: a text frame, first or later, ends the connection, and the Close
/// frame says why (RFC 6455, section 7.4.1: 1003).
#[test]
fn text_frames_end_the_connection() {
    both(|version| {
        let mut client = WebSocket::open(version);
        client.send(TEXT, b"CONNECT");
        client.expect_close_frame(1003);
        let mut client = WebSocket::connect(version);
        client.send(TEXT, b"PINGREQ");
        if version == Version::V5 {
            let answer = client.next_packet();
            assert!(
                matches!(answer, Packet::Disconnect { reason: 0x82, .. }),
                "{answer:?}"
            );
        }
        client.expect_close_frame(1003);
    });
}

/// 5:MQTT-6.0.0-1 3:MQTT-6.0.0-1
/// What the broker sends is in binary frames.
#[test]
fn broker_sends_binary_frames() {
    both(|version| {
        let topic = fresh("binary");
        let mut client = WebSocket::connect(version);
        client.send(BINARY, &Subscribe::new(1).filter(&topic, 1).encode(version));
        client.send(BINARY, &Publish::new(&topic, "x").qos(1, 2).encode(version));
        client.send(BINARY, &PINGREQ);
        // The reader fails on any other frame.
        let answers: Vec<Packet> = (0..4).map(|_| client.next_packet()).collect();
        assert!(matches!(answers[0], Packet::Suback { .. }));
        assert!(
            answers
                .iter()
                .any(|packet| matches!(packet, Packet::Publish(got) if got.text() == "x"))
        );
        assert!(answers.contains(&Packet::Pingresp));
    });
}

/// With `ws_packet_frames` no frame has bytes of two packets, for clients that do not read on within one; a large packet
/// may take several.
#[test]
fn packets_have_frames_of_their_own_where_that_is_asked_for() {
    let flags = ["--profile", "standard", "--ws-port", "0"];
    let broker = TestBroker::start_with_config(&flags, "ws_packet_frames = true");
    let address = broker.address("ws").expect("the WebSocket listener is on");
    both(|version| {
        let mut client = WebSocket::open_at(address, version, &[]);
        let topic = fresh("frames");
        let large = "x".repeat(300_000);
        let packets = [
            Connect::new(fresh("web")).encode(version),
            Subscribe::new(1).filter(&topic, 1).encode(version),
            PINGREQ.repeat(20),
            Publish::new(&topic, &large).qos(1, 2).encode(version),
            PINGREQ.repeat(20),
        ];
        client.send(BINARY, &packets.concat());
        // CONNACK, SUBACK, the message and its PUBACK, and a PINGRESP for each.
        let (mut whole, mut part) = (0, Vec::new());
        while whole < 44 {
            let (opcode, payload) = client.next_frame().expect("a frame");
            assert_eq!(opcode, BINARY);
            part.extend(payload);
            let length = packet_length(&part).expect("a frame has the head of its packet");
            assert!(part.len() <= length, "a frame goes beyond its packet");
            if part.len() == length {
                read_packet(version, &part);
                whole += 1;
                part.clear();
            }
        }
    });
}

/// 5:MQTT-6.0.0-2 3:MQTT-6.0.0-2
/// Frames and packets need not agree: a byte per frame, many packets in one, a packet over several, and
/// messages in fragments.
#[test]
fn frames_and_packets_need_not_agree() {
    both(|version| {
        let topic = fresh("frames");
        let mut client = WebSocket::open(version);
        for byte in Connect::new(fresh("frames")).encode(version) {
            client.send(BINARY, &[byte]);
        }
        assert!(matches!(
            client.next_packet(),
            Packet::Connack { reason: 0, .. }
        ));
        let subscribe = Subscribe::new(1).filter(&topic, 0).encode(version);
        let publish = Publish::new(&topic, "one").encode(version);
        client.send(BINARY, &[subscribe, publish].concat());
        assert!(matches!(client.next_packet(), Packet::Suback { .. }));
        assert!(matches!(client.next_packet(), Packet::Publish(got) if got.text() == "one"));
        let publish = Publish::new(&topic, "two").encode(version);
        let (start, end) = publish.split_at(5);
        client.send(BINARY, start);
        client.send(BINARY, &[end, &PINGREQ].concat());
        assert!(matches!(client.next_packet(), Packet::Publish(got) if got.text() == "two"));
        assert_eq!(client.next_packet(), Packet::Pingresp);
        let publish = Publish::new(&topic, "x".repeat(70_000)).encode(version);
        client.send_fragment(BINARY, &publish[..100], false);
        client.send_fragment(CONTINUATION, &publish[100..66_000], false);
        client.send(PING, b"between");
        client.send_fragment(CONTINUATION, &publish[66_000..], true);
        assert!(
            matches!(client.next_packet(), Packet::Publish(got) if got.payload.len() == 70_000)
        );
    });
}

/// A Close frame is answered in kind (RFC 6455, section 5.5.1), and the will is published: only
/// DISCONNECT discards it.
#[test]
fn close_frame_is_answered() {
    both(|version| {
        let topic = fresh("will");
        let mut watcher = WebSocket::connect(version);
        watcher.send(BINARY, &Subscribe::new(1).filter(&topic, 0).encode(version));
        watcher.next_packet();
        let mut client = WebSocket::open(version);
        let connect = Connect::new(fresh("closing")).will(Will::new(&topic, "x"));
        client.send(BINARY, &connect.encode(version));
        client.next_packet();
        client.send(CLOSE, &1000_u16.to_be_bytes());
        client.expect_close_frame(1000);
        assert!(matches!(watcher.next_packet(), Packet::Publish(got) if got.text() == "x"));
    });
}

/// A client that lets answers pile up is not read from. Once it reads them, reading goes on and all is
/// answered.
#[test]
fn reading_goes_on_when_piled_up_answers_have_left() {
    const PINGS: usize = 4096;

    let mut client = WebSocket::connect(Version::V5);
    let frame = masked_frame(BINARY, &PINGREQ.repeat(PINGS), true);
    client
        .stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a socket option");
    let mut frames = 0;
    let mut left = frame.as_slice();
    loop {
        match client.stream.write(left) {
            Ok(count) => left = &left[count..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => panic!("writing: {error}"),
        }
        if left.is_empty() {
            frames += 1;
            left = &frame;
        }
        assert!(frames < 10_000, "the broker stops reading");
    }
    let mut writer = client.stream.try_clone().expect("a second handle");
    writer.set_write_timeout(None).expect("a socket option");
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(left).expect("the broker reads on"));
        let mut answers = (frames + 1) * PINGS;
        while answers > 0 {
            let (opcode, payload) = client.next_frame().expect("all answers before the end");
            assert_eq!(opcode, BINARY);
            assert!(payload.chunks(2).all(|answer| answer == PINGRESP));
            answers -= payload.len() / PINGRESP.len();
        }
    });
}

/// RFC 6455, section 5: what breaks a rule of the framing gets a Close frame that says so, before
/// CONNECT and after, and in MQTT 5 a DISCONNECT before it.
#[test]
fn frames_that_break_a_rule_end_the_connection_with_their_code() {
    let unmasked = [&[0x82, 2][..], &PINGREQ].concat();
    let mut reserved = masked_frame(BINARY, &PINGREQ, true);
    reserved[0] |= 0x40;
    // Two bytes in a length of two, which one holds.
    let long_form = [&[0x82, 0xFE, 0, 2, 0, 0, 0, 0][..], &PINGREQ].concat();
    let close = |code: u16, reason: &[u8]| {
        masked_frame(CLOSE, &[&code.to_be_bytes(), reason].concat(), true)
    };
    let cases = [
        (1002, unmasked),
        (1002, reserved),
        (1002, long_form),
        (1002, masked_frame(3, b"", true)),
        (1002, masked_frame(PING, b"", false)),
        (1002, masked_frame(PING, &[0; 126], true)),
        (1002, masked_frame(CONTINUATION, &PINGREQ, true)),
        (
            1002,
            [
                masked_frame(BINARY, b"", false),
                masked_frame(BINARY, b"", true),
            ]
            .concat(),
        ),
        (1002, close(1005, b"")),
        (1002, masked_frame(CLOSE, b"\x03", true)),
        (1007, close(1000, b"\xFF")),
        (1003, masked_frame(TEXT, b"x", true)),
    ];
    both(|version| {
        for (code, frames) in &cases {
            let mut client = WebSocket::open(version);
            client.stream.write_all(frames).expect("the broker reads");
            client.expect_close_frame(*code);
            let mut client = WebSocket::connect(version);
            client.stream.write_all(frames).expect("the broker reads");
            if version == Version::V5 {
                let answer = client.next_packet();
                assert!(
                    matches!(answer, Packet::Disconnect { reason: 0x82, .. }),
                    "{answer:?}"
                );
            }
            client.expect_close_frame(*code);
        }
    });
}

/// What came before the end of the stream of frames, in the same segment, is handled first.
#[test]
fn packets_before_a_close_frame_or_a_fault_are_handled() {
    let ends = [
        masked_frame(CLOSE, &1000_u16.to_be_bytes(), true),
        masked_frame(3, b"", true),
    ];
    both(|version| {
        for end in &ends {
            let topic = fresh("before");
            let mut watcher = WebSocket::connect(version);
            watcher.send(BINARY, &Subscribe::new(1).filter(&topic, 0).encode(version));
            watcher.next_packet();
            let mut client = WebSocket::connect(version);
            let publish = Publish::new(&topic, "last").encode(version);
            let segment = [masked_frame(BINARY, &publish, true), end.clone()].concat();
            client.stream.write_all(&segment).expect("the broker reads");
            assert!(matches!(watcher.next_packet(), Packet::Publish(got) if got.text() == "last"));
            client.expect_closed();
        }
    });
}

/// RFC 6455, section 5.5.3: a ping is answered although there is nothing else to send, and one answer
/// to the last of many is enough.
#[test]
fn pings_are_answered() {
    let mut client = WebSocket::connect(Version::V5);
    client.send(PING, b"");
    assert_eq!(client.next_frame(), Some((PONG, Vec::new())));
    client.send(PONG, b"unasked");
    let pings = (0..1000_u16).flat_map(|n| masked_frame(PING, &n.to_be_bytes(), true));
    let pings: Vec<u8> = pings.collect();
    client.stream.write_all(&pings).expect("the broker reads");
    let mut pongs = Vec::new();
    while pongs.last() != Some(&999) {
        let (opcode, payload) = client.next_frame().expect("a pong");
        assert_eq!(opcode, PONG);
        pongs.push(u16::from_be_bytes(payload.try_into().expect("a number")));
    }
    assert!(pongs.is_sorted() && pongs.len() <= 1000, "{pongs:?}");
}

/// A client that pings and does not read costs no memory, and is served when it reads.
#[cfg(target_os = "linux")]
#[test]
fn pongs_do_not_pile_up() {
    let broker = TestBroker::start(&["--profile", "standard", "--ws-port", "0"]);
    let address = broker.address("ws").expect("the WebSocket listener is on");
    let mut client = WebSocket::open_at(address, Version::V5, &[]);
    client.send(BINARY, &Connect::new(fresh("pinging")).encode(Version::V5));
    client.next_packet();
    let pings = masked_frame(PING, &[b'p'; 125], true).repeat(1000);
    let before = broker.resident();
    // 50 MB of pings, whose answers would be as much.
    for _ in 0..400 {
        client
            .stream
            .write_all(&pings)
            .expect("the broker reads on");
    }
    client.send(PING, b"last");
    client.send(BINARY, &PINGREQ);
    let (mut is_answered, mut bytes) = (false, 0);
    loop {
        match client.next_frame().expect("an answer") {
            (PONG, payload) => {
                bytes += payload.len();
                is_answered = payload == b"last";
            }
            (BINARY, payload) if payload == PINGRESP => break,
            other => panic!("{other:?}"),
        }
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    assert!(bytes < 16 << 20, "{bytes} bytes of pongs");
    if !is_answered {
        assert_eq!(client.next_frame(), Some((PONG, b"last".to_vec())));
    }
}

/// A frame may announce more than there is memory: it is not put together, and packets in it are
/// handled as they come.
#[test]
fn an_announced_frame_is_not_held() {
    both(|version| {
        let topic = fresh("endless");
        let mut client = WebSocket::open(version);
        let mask = [7, 8, 9, 10];
        let length = (i64::MAX as u64).to_be_bytes();
        let mut bytes = [&[0x82, 0xFF][..], &length, &mask].concat();
        let connect = Connect::new(fresh("endless")).encode(version);
        let subscribe = Subscribe::new(1).filter(&topic, 0).encode(version);
        let publish = Publish::new(&topic, "x".repeat(5000)).encode(version);
        let packets = [connect, subscribe, publish, PINGREQ.to_vec()].concat();
        let masked = packets.iter().zip(mask.iter().cycle());
        bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        client.stream.write_all(&bytes).expect("the broker reads");
        assert!(matches!(
            client.next_packet(),
            Packet::Connack { reason: 0, .. }
        ));
        assert!(matches!(client.next_packet(), Packet::Suback { .. }));
        assert!(matches!(client.next_packet(), Packet::Publish(got) if got.payload.len() == 5000));
        assert_eq!(client.next_packet(), Packet::Pingresp);
    });
}

/// 5:MQTT-6.0.0-2 3:MQTT-6.0.0-2
/// A stream of frames means the same wherever segments end, and however small the frames are.
#[test]
fn segments_and_frames_need_not_agree() {
    both(|version| {
        let topic = fresh("segments");
        let mut client = WebSocket::connect(version);
        let subscribe = Subscribe::new(1).filter(&topic, 0).encode(version);
        let publish = Publish::new(&topic, "x".repeat(200)).encode(version);
        let large = Publish::new(&topic, "y".repeat(300_000)).encode(version);
        let packets = [subscribe, publish, PINGREQ.to_vec(), large].concat();
        // One message in fragments of three bytes at most, some of them empty.
        let mut bytes = masked_frame(BINARY, b"", false);
        for part in packets.chunks(3) {
            bytes.extend(masked_frame(CONTINUATION, part, false));
        }
        bytes.extend(masked_frame(CONTINUATION, b"", true));
        for part in bytes.chunks(1009) {
            client.stream.write_all(part).expect("the broker reads");
        }
        assert!(matches!(client.next_packet(), Packet::Suback { .. }));
        assert!(matches!(client.next_packet(), Packet::Publish(got) if got.payload.len() == 200));
        assert_eq!(client.next_packet(), Packet::Pingresp);
        assert!(
            matches!(client.next_packet(), Packet::Publish(got) if got.payload.len() == 300_000)
        );
    });
}

/// A client need not wait for the answer before it sends frames.
#[test]
fn frames_in_the_segment_of_the_request_are_handled() {
    both(|version| {
        let connect = Connect::new(fresh("early")).encode(version);
        // More than one read of the request takes.
        let topic = fresh("early");
        let subscribe = Subscribe::new(1).filter(&topic, 0).encode(version);
        let publish = Publish::new(&topic, "x".repeat(20_000)).encode(version);
        let frames =
            [connect, subscribe, publish].map(|packet| masked_frame(BINARY, &packet, true));
        let mut client = WebSocket::open_with(version, &frames.concat());
        assert!(matches!(
            client.next_packet(),
            Packet::Connack { reason: 0, .. }
        ));
        assert!(matches!(client.next_packet(), Packet::Suback { .. }));
        assert!(
            matches!(client.next_packet(), Packet::Publish(got) if got.payload.len() == 20_000)
        );
    });
}

/// Any task writes to a WebSocket client, whatever its own is doing: a message arrives although its
/// receiver sends and nothing else happens that would make the broker look again.
#[test]
fn no_message_waits_for_another_reason_to_write() {
    const MESSAGES: usize = 3000;

    let topic = fresh("wake");
    let mut receiver = WebSocket::connect(Version::V5);
    receiver.send(
        BINARY,
        &Subscribe::new(1).filter(&topic, 0).encode(Version::V5),
    );
    receiver.next_packet();
    let mut sender = WebSocket::connect(Version::V5);
    let noise = masked_frame(
        BINARY,
        &Publish::new(fresh("noise"), "x").encode(Version::V5),
        true,
    );
    for number in 0..MESSAGES {
        receiver.stream.write_all(&noise).expect("the broker reads");
        let message = Publish::new(&topic, number.to_string()).encode(Version::V5);
        sender.send(BINARY, &message);
        let packet = receiver.next_packet();
        assert!(matches!(packet, Packet::Publish(got) if got.text() == number.to_string()));
    }
}

/// The broker of these tests.
fn web_broker() -> &'static TestBroker {
    static SHARED: OnceLock<TestBroker> = OnceLock::new();
    SHARED.get_or_init(|| TestBroker::start(&["--profile", "standard", "--ws-port", "0"]))
}

/// Asks for an upgrade and returns the head of the response.
fn handshake(protocols: Option<&str>) -> (String, TcpStream) {
    let address = web_broker().address("ws");
    handshake_at(
        address.expect("the WebSocket listener is on"),
        protocols,
        &[],
    )
}

/// Sends `early` in one go with the request.
fn handshake_at(address: SocketAddr, protocols: Option<&str>, early: &[u8]) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(address).expect("the broker accepts");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    let protocols = protocols.map_or(String::new(), |names| {
        format!("Sec-WebSocket-Protocol: {names}\r\n")
    });
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocols}\r\n"
    );
    stream
        .write_all(&[request.as_bytes(), early].concat())
        .expect("the broker reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a response");
        head.extend(byte);
    }
    (String::from_utf8(head).expect("a head of text"), stream)
}

/// The value of a header, whose name is given in lower case.
fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (its_name, value) = line.split_once(':')?;
        (its_name.to_ascii_lowercase() == name).then(|| value.trim().to_owned())
    })
}

/// A client that speaks in frames.
struct WebSocket {
    stream: TcpStream,
    version: Version,
    /// Payload of binary frames that was not yet taken as packets.
    unread: Vec<u8>,
}

impl WebSocket {
    /// Upgrades a connection and sends no packet.
    fn open(version: Version) -> Self {
        Self::open_with(version, &[])
    }

    /// Upgrades a connection and sends `early` with the request.
    fn open_with(version: Version, early: &[u8]) -> Self {
        let address = web_broker().address("ws");
        Self::open_at(
            address.expect("the WebSocket listener is on"),
            version,
            early,
        )
    }

    fn open_at(address: SocketAddr, version: Version, early: &[u8]) -> Self {
        let (response, stream) = handshake_at(address, Some("mqtt"), early);
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        Self {
            stream,
            version,
            unread: Vec::new(),
        }
    }

    /// Upgrades a connection and connects with a clean session.
    fn connect(version: Version) -> Self {
        let mut client = Self::open(version);
        client.send(BINARY, &Connect::new(fresh("web")).encode(version));
        let answer = client.next_packet();
        assert!(
            matches!(answer, Packet::Connack { reason: 0, .. }),
            "{answer:?}"
        );
        client
    }

    /// Sends one whole message.
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_fragment(opcode, payload, true);
    }

    /// Sends one frame, masked as clients have to.
    fn send_fragment(&mut self, opcode: u8, payload: &[u8], last: bool) {
        self.try_send_fragment(opcode, payload, last)
            .expect("the broker reads");
    }

    fn try_send_fragment(&mut self, opcode: u8, payload: &[u8], last: bool) -> std::io::Result<()> {
        self.stream.write_all(&masked_frame(opcode, payload, last))
    }

    /// The next frame as opcode and payload, or `None` at the end of the stream.
    fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        assert_eq!(head[0] & 0x70, 0, "reserved bits are 0");
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.read_array())),
            127 => u64::from_be_bytes(self.read_array()),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length in memory")];
        self.stream
            .read_exact(&mut payload)
            .expect("the payload of the frame");
        Some((head[0] & 0x0F, payload))
    }

    /// The next packet; PONG frames before it are passed over.
    fn next_packet(&mut self) -> Packet {
        loop {
            if let Some(length) = packet_length(&self.unread)
                && self.unread.len() >= length
            {
                let bytes: Vec<u8> = self.unread.drain(..length).collect();
                return read_packet(self.version, &bytes);
            }
            match self
                .next_frame()
                .expect("a frame before the end of the stream")
            {
                (BINARY | CONTINUATION, payload) => self.unread.extend(payload),
                (PONG, _) => {}
                (opcode, payload) => panic!("frame of opcode {opcode}: {payload:02x?}"),
            }
        }
    }

    /// Reads the end of the stream; a DISCONNECT and a Close frame may come first.
    fn expect_closed(&mut self) {
        while let Some((opcode, payload)) = self.next_frame() {
            match opcode {
                CLOSE => {}
                BINARY => {
                    let packet = read_packet(self.version, &payload);
                    assert!(matches!(packet, Packet::Disconnect { .. }), "{packet:?}");
                }
                other => panic!("frame of opcode {other}: {payload:02x?}"),
            }
        }
    }

    /// Reads a Close frame of this code, answers it if it is not an answer itself, and reads the end
    /// of the stream.
    #[track_caller]
    fn expect_close_frame(&mut self, code: u16) {
        let expected = code.to_be_bytes().to_vec();
        assert_eq!(self.next_frame(), Some((CLOSE, expected)));
        // Answering a second time is in vain, and does no harm.
        let _ = self.try_send_fragment(CLOSE, &code.to_be_bytes(), true);
        self.expect_closed();
    }

    fn read_array<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        self.stream
            .read_exact(&mut bytes)
            .expect("the length of the frame");
        bytes
    }
}
