//! A client that sends any bytes and checks whatever comes back.

use std::{
    collections::{HashMap, VecDeque},
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{
    Ack, Connect, Delivery, Disconnect, Encode, MAXIMUM_PACKET_SIZE, PINGREQ, Packet, PacketType,
    Props, Publish, RECEIVE_MAXIMUM, Subscribe, TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, Unsubscribe,
    Version, puback, pubcomp, pubrec, pubrel,
    wire::{packet_length, read_packet},
};

/// What carries a client's bytes: a TCP connection, or a layer over one.
pub(crate) trait Carrier: Read + Write + Send {
    /// The connection at the bottom, for its options and its end.
    fn socket(&self) -> &TcpStream;
}

impl Carrier for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// How long a test waits for something that has to come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How long a silence is listened to. On a loopback interface a message takes a hundredth of it.
const SILENCE: Duration = Duration::from_millis(30);

/// One connection, blocking, with a deadline on every wait.
///
/// Besides what a test asserts it checks on every packet what holds on any connection: the format,
/// CONNACK first and once, nothing after DISCONNECT, and the limits that its CONNECT announced.
pub(crate) struct Client {
    carrier: Box<dyn Carrier>,
    version: Version,
    /// Bytes that were read and not yet taken as packets.
    unread: Vec<u8>,
    /// Messages that came in the middle of a whole exchange; the next packets to take.
    passed: VecDeque<Delivery>,
    /// The packet identifier that was used last.
    last_id: u16,
    connack_seen: bool,
    disconnect_seen: bool,
    limits: Limits,
    aliases: HashMap<u32, String>,
    /// Identifiers of QoS 1 and 2 deliveries that have not been acknowledged in full.
    open: Vec<u16>,
}

/// What the CONNECT of this client announced.
struct Limits {
    packet_size: usize,
    topic_alias: u32,
    receive_maximum: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_size: usize::MAX,
            topic_alias: 0,
            receive_maximum: 65_535,
        }
    }
}

impl Client {
    /// Opens a connection and sends nothing.
    pub(crate) fn dial(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).expect("the broker accepts");
        stream.set_nodelay(true).expect("a socket option");
        Self::over(stream, version)
    }

    /// Speaks over a connection that stands.
    pub(crate) fn over(carrier: impl Carrier + 'static, version: Version) -> Self {
        Self {
            carrier: Box::new(carrier),
            version,
            unread: Vec::new(),
            passed: VecDeque::new(),
            last_id: 0,
            connack_seen: false,
            disconnect_seen: false,
            limits: Limits::default(),
            aliases: HashMap::new(),
            open: Vec::new(),
        }
    }

    /// The version this client speaks.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The address this client connects from.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.socket().local_addr().expect("a connected socket")
    }

    /// The bare connection, for a test that has its own way with bytes. Waits keep their deadline.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(
            self.unread.is_empty() && self.passed.is_empty(),
            "nothing is left unread"
        );
        let stream = self.socket().try_clone().expect("a further handle");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        stream
    }

    /// The TCP connection.
    fn socket(&self) -> &TcpStream {
        self.carrier.socket()
    }

    // Sending.

    /// Sends a packet, or bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, packet: impl Encode) {
        let bytes = packet.encode(self.version);
        self.carrier.write_all(&bytes).expect("the broker reads");
    }

    /// Sends bytes although the broker may have closed the connection already.
    pub(crate) fn try_send(&mut self, packet: impl Encode) {
        // The broker's reaction is read afterwards; a failed write is one of them.
        let _ = self.carrier.write_all(&packet.encode(self.version));
    }

    /// Sends CONNECT and remembers the limits it announces.
    #[track_caller]
    pub(crate) fn send_connect(&mut self, connect: &Connect) {
        if self.version == Version::V5 {
            let number = |id| connect.props.number(id).map(|value| value as usize);
            let default = Limits::default();
            self.limits = Limits {
                packet_size: number(MAXIMUM_PACKET_SIZE).unwrap_or(default.packet_size),
                topic_alias: connect.props.number(TOPIC_ALIAS_MAXIMUM).unwrap_or(0),
                receive_maximum: number(RECEIVE_MAXIMUM).unwrap_or(default.receive_maximum),
            };
        }
        self.send(connect);
    }

    /// An identifier for a packet of this client.
    pub(crate) fn fresh_id(&mut self) -> u16 {
        self.last_id = self.last_id % 65_535 + 1;
        self.last_id
    }

    // Reading.

    /// The next packet, or `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn next_or_end(&mut self) -> Option<Packet> {
        self.next_within(DEADLINE)
            .unwrap_or_else(|| panic!("nothing came within {DEADLINE:?}"))
    }

    /// The next packet.
    #[track_caller]
    pub(crate) fn next_packet(&mut self) -> Packet {
        self.next_or_end()
            .expect("a packet before the end of the stream")
    }

    /// The next packet or the end of the stream; `None` when `patience` ran out.
    pub(crate) fn next_within(&mut self, patience: Duration) -> Option<Option<Packet>> {
        if let Some(delivery) = self.passed.pop_front() {
            return Some(Some(Packet::Publish(delivery)));
        }
        let end = Instant::now() + patience;
        loop {
            if let Some(length) = packet_length(&self.unread)
                && self.unread.len() >= length
            {
                let bytes: Vec<u8> = self.unread.drain(..length).collect();
                let packet = read_packet(self.version, &bytes);
                return Some(Some(self.checked(packet, bytes.len())));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket()
                .set_read_timeout(Some(left))
                .expect("a socket option");
            let mut chunk = [0; 16 * 1024];
            match self.carrier.read(&mut chunk) {
                Ok(0) => {
                    assert!(
                        self.unread.is_empty(),
                        "end of stream in {:02x?}",
                        self.unread
                    );
                    return Some(None);
                }
                Ok(count) => self.unread.extend(&chunk[..count]),
                // The latter is an end of TCP that TLS did not announce.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
                    ) =>
                {
                    return Some(None);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("reading: {error}"),
            }
        }
    }

    /// Reads and forgets everything up to the end of the stream.
    #[track_caller]
    pub(crate) fn drain(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.next_or_end()).collect()
    }

    /// The next packet that is not a PUBLISH; messages before it stay to be taken.
    #[track_caller]
    fn next_answer(&mut self) -> Packet {
        let mut passed = VecDeque::new();
        loop {
            match self.next_packet() {
                Packet::Publish(delivery) => passed.push_back(delivery),
                answer => {
                    self.passed = passed;
                    return answer;
                }
            }
        }
    }

    // Expecting.

    /// Reads CONNACK and returns Session Present, reason and properties.
    #[track_caller]
    pub(crate) fn expect_connack(&mut self) -> (bool, u8, Props) {
        match self.next_packet() {
            Packet::Connack {
                session_present,
                reason,
                props,
            } => (session_present, reason, props),
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    /// Reads PUBLISH; the acknowledgement is left to the caller.
    #[track_caller]
    pub(crate) fn expect_publish(&mut self) -> Delivery {
        match self.next_packet() {
            Packet::Publish(delivery) => delivery,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// Reads PUBLISH and plays the exchange of its QoS to the end.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Delivery {
        let delivery = self.expect_publish();
        self.acknowledge(&delivery);
        delivery
    }

    /// Reads this many messages like [`receive`](Self::receive) and returns their payloads.
    #[track_caller]
    pub(crate) fn receive_texts(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| self.receive().text().to_owned())
            .collect()
    }

    /// Lets the broker send an unacknowledged PUBLISH again on this connection.
    pub(crate) fn expect_resend(&mut self, delivery: &Delivery) {
        self.open.retain(|open| *open != delivery.id);
    }

    /// Plays the exchange of a PUBLISH that was read to the end.
    #[track_caller]
    pub(crate) fn acknowledge(&mut self, delivery: &Delivery) {
        match delivery.qos {
            1 => self.send_ack(puback(delivery.id), delivery.id),
            2 => {
                self.send(pubrec(delivery.id));
                self.expect_pubrel(delivery.id);
                self.send_ack(pubcomp(delivery.id), delivery.id);
            }
            _ => {}
        }
    }

    /// Sends an acknowledgement that ends the exchange of this identifier: PUBACK, PUBCOMP, or PUBREC
    /// with a reason of 0x80 or more.
    pub(crate) fn send_ack(&mut self, ack: Ack, id: u16) {
        self.open.retain(|open| *open != id);
        self.send(ack);
    }

    /// Reads an acknowledgement of the given kind and identifier, past messages, and returns its
    /// reason.
    #[track_caller]
    pub(crate) fn expect_ack(&mut self, kind: PacketType, id: u16) -> u8 {
        match self.next_answer() {
            Packet::Ack {
                kind: got,
                id: its,
                reason,
                ..
            } if got == kind && its == id => reason,
            other => panic!("expected {kind:?} {id}, got {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_puback(&mut self, id: u16) -> u8 {
        self.expect_ack(PacketType::Puback, id)
    }

    #[track_caller]
    pub(crate) fn expect_pubrec(&mut self, id: u16) -> u8 {
        self.expect_ack(PacketType::Pubrec, id)
    }

    #[track_caller]
    pub(crate) fn expect_pubrel(&mut self, id: u16) -> u8 {
        self.expect_ack(PacketType::Pubrel, id)
    }

    #[track_caller]
    pub(crate) fn expect_pubcomp(&mut self, id: u16) -> u8 {
        self.expect_ack(PacketType::Pubcomp, id)
    }

    /// Reads the SUBACK of this identifier, past messages, and returns its reasons.
    #[track_caller]
    pub(crate) fn expect_suback(&mut self, id: u16) -> Vec<u8> {
        match self.next_answer() {
            Packet::Suback {
                id: its, reasons, ..
            } if its == id => reasons,
            other => panic!("expected SUBACK {id}, got {other:?}"),
        }
    }

    /// Reads the UNSUBACK of this identifier, past messages, and returns its reasons; in 3.1.1 there are
    /// none.
    #[track_caller]
    pub(crate) fn expect_unsuback(&mut self, id: u16) -> Vec<u8> {
        match self.next_answer() {
            Packet::Unsuback {
                id: its, reasons, ..
            } if its == id => reasons,
            other => panic!("expected UNSUBACK {id}, got {other:?}"),
        }
    }

    /// Listens for a moment and hears nothing. Nothing is sent: a message that the broker has and fails
    /// to send stays where it is, and a later wait for it fails, as it should.
    ///
    /// The other form, [`expect_only_pingresp`](Self::expect_only_pingresp), proves more about what was
    /// sent, because the broker answers in order, and costs no time. But the PINGREQ gives the broker
    /// another turn with this client, in which it sends whatever it should have sent before. So this
    /// form is for a connection that has to stay quiet, and for a client that waits for something which
    /// has to come by itself; the other one is for the end of a test, and where the question is what the
    /// broker has sent already.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        if let Some(heard) = self.next_within(SILENCE) {
            panic!("expected nothing, got {heard:?}");
        }
    }

    /// Proves that nothing is on its way: the answer to a PINGREQ is the next packet. See
    /// [`expect_silence`](Self::expect_silence) for what this form must not be used for.
    #[track_caller]
    pub(crate) fn expect_only_pingresp(&mut self) {
        self.send(PINGREQ);
        match self.next_packet() {
            Packet::Pingresp => {}
            other => panic!("expected nothing before PINGRESP, got {other:?}"),
        }
    }

    /// Reads the end of the stream.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        if let Some(packet) = self.next_or_end() {
            panic!("expected the end of the stream, got {packet:?}");
        }
    }

    /// Reads a DISCONNECT with this reason and the end of the stream; MQTT 5 only.
    #[track_caller]
    pub(crate) fn expect_disconnect(&mut self, reason: u8) -> Props {
        match self.next_or_end() {
            Some(Packet::Disconnect { reason: its, props }) if its == reason => {
                self.expect_closed();
                props
            }
            other => panic!("expected DISCONNECT {reason:#04x}, got {other:02x?}"),
        }
    }

    /// Reads what the broker does about an error after CONNACK: DISCONNECT with this reason and the
    /// end of the stream in MQTT 5, the end of the stream in 3.1.1.
    #[track_caller]
    pub(crate) fn expect_error(&mut self, reason: u8) {
        match self.version {
            Version::V3 => self.expect_closed(),
            Version::V5 => {
                self.expect_disconnect(reason);
            }
        }
    }

    /// Like [`expect_error`](Self::expect_error) where the standard leaves the choice of the reason.
    #[track_caller]
    pub(crate) fn expect_error_among(&mut self, reasons: &[u8]) {
        match (self.version, self.next_or_end()) {
            (Version::V3, None) => {}
            (Version::V5, Some(Packet::Disconnect { reason, .. })) if reasons.contains(&reason) => {
                self.expect_closed();
            }
            (_, other) => panic!("expected an error among {reasons:02x?}, got {other:02x?}"),
        }
    }

    /// Reads what the broker does about a malformed CONNECT: CONNACK with this reason and the end of
    /// the stream in MQTT 5, the end of the stream in 3.1.1.
    #[track_caller]
    pub(crate) fn expect_refusal(&mut self, reason: u8) {
        if self.version == Version::V5 {
            let (_, got, _) = self.expect_connack();
            assert_eq!(got, reason, "reason of the refusing CONNACK, {got:#04x}");
        }
        self.expect_closed();
    }

    // Whole exchanges.

    /// Subscribes to one filter and returns the granted QoS or the reason of the refusal.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str, options: u8) -> u8 {
        let id = self.fresh_id();
        self.subscribe_with(&Subscribe::new(id).filter(filter, options), id)
    }

    /// Sends a SUBSCRIBE of one filter and returns the reason.
    #[track_caller]
    pub(crate) fn subscribe_with(&mut self, subscribe: &Subscribe, id: u16) -> u8 {
        self.send(subscribe);
        let reasons = self.expect_suback(id);
        assert_eq!(reasons.len(), 1, "one filter, one reason");
        reasons[0]
    }

    /// Unsubscribes from one filter and returns the reason; 0 in 3.1.1.
    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, filter: &str) -> u8 {
        let id = self.fresh_id();
        self.send(Unsubscribe::new(id).filter(filter));
        self.expect_unsuback(id).first().copied().unwrap_or(0)
    }

    /// Publishes at QoS 0 and does nothing more: what becomes of the message is up to the broker. For
    /// receivers that have to get it without any help from this client; see
    /// [`publish`](Self::publish).
    #[track_caller]
    pub(crate) fn post(&mut self, topic: &str, payload: impl AsRef<[u8]>) {
        self.send(Publish::new(topic, payload));
    }

    /// Publishes and waits until the broker has taken the message. At QoS 0 a PINGREQ finds that out,
    /// which is another turn for the broker to send to receivers in; [`post`](Self::post) grants none.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>, qos: u8) {
        self.publish_message(Publish::new(topic, payload), qos);
    }

    /// Publishes a retained message and waits until the broker has taken it.
    #[track_caller]
    pub(crate) fn retain(&mut self, topic: &str, payload: impl AsRef<[u8]>, qos: u8) {
        self.publish_message(Publish::new(topic, payload).retain(), qos);
    }

    /// Publishes `message` at this QoS, waits until the broker has taken it, and returns the reason of
    /// PUBACK or PUBREC.
    #[track_caller]
    pub(crate) fn publish_message(&mut self, message: Publish, qos: u8) -> u8 {
        if qos == 0 {
            self.send(message);
            self.expect_only_pingresp();
            return 0;
        }
        let id = self.fresh_id();
        self.send(message.qos(qos, id));
        if qos == 1 {
            return self.expect_puback(id);
        }
        let reason = self.expect_pubrec(id);
        if reason < 0x80 {
            self.send(pubrel(id));
            assert_eq!(self.expect_pubcomp(id), 0, "reason of PUBCOMP");
        }
        reason
    }

    // Ending.

    /// Sends DISCONNECT and waits until the broker has closed.
    #[track_caller]
    pub(crate) fn disconnect(self) {
        self.disconnect_with(Disconnect::default());
    }

    /// Sends this DISCONNECT and waits until the broker has closed.
    #[track_caller]
    pub(crate) fn disconnect_with(mut self, disconnect: Disconnect) {
        self.send(disconnect);
        self.drain();
    }

    /// Ends like a network that fails: closes without DISCONNECT and waits until the broker has
    /// noticed. What was on its way is read and forgotten.
    #[track_caller]
    pub(crate) fn vanish(mut self) {
        self.half_close();
        self.drain();
    }

    /// Closes the sending half (FIN).
    pub(crate) fn half_close(&mut self) {
        self.socket()
            .shutdown(Shutdown::Write)
            .expect("a connected socket");
    }

    /// Resets the connection (RST).
    pub(crate) fn reset(self) {
        socket2::SockRef::from(self.socket())
            .set_linger(Some(Duration::ZERO))
            .expect("a socket option");
    }

    // Invariants.

    /// Checks what holds on every connection.
    fn checked(&mut self, mut packet: Packet, length: usize) -> Packet {
        assert!(
            !self.disconnect_seen,
            "MQTT-3.14.4-1: {packet:?} after DISCONNECT"
        );
        assert!(
            length <= self.limits.packet_size,
            "MQTT-3.1.2-24: {length} bytes exceed the Maximum Packet Size: {packet:?}"
        );
        match &mut packet {
            Packet::Connack { .. } => {
                assert!(!self.connack_seen, "MQTT-3.2.0-2: a second CONNACK");
                self.connack_seen = true;
            }
            Packet::Auth { .. } => {}
            other => assert!(self.connack_seen, "MQTT-3.2.0-1: {other:?} before CONNACK"),
        }
        match &mut packet {
            Packet::Disconnect { .. } => self.disconnect_seen = true,
            Packet::Publish(delivery) => {
                self.resolve_alias(delivery);
                self.count_open(delivery);
            }
            _ => {}
        }
        packet
    }

    /// Fills in the topic that a Topic Alias stands for.
    fn resolve_alias(&mut self, delivery: &mut Delivery) {
        let Some(alias) = delivery.props.number(TOPIC_ALIAS) else {
            return;
        };
        assert!(
            alias <= self.limits.topic_alias,
            "MQTT-3.3.2-11: Topic Alias {alias} of at most {}",
            self.limits.topic_alias
        );
        if delivery.topic.is_empty() {
            let topic = self.aliases.get(&alias);
            delivery.topic = topic
                .expect("MQTT-3.3.2-7: the alias was set before")
                .clone();
        } else {
            self.aliases.insert(alias, delivery.topic.clone());
        }
    }

    /// Keeps account of the window.
    fn count_open(&mut self, delivery: &Delivery) {
        if delivery.qos == 0 {
            return;
        }
        assert!(
            !self.open.contains(&delivery.id),
            "MQTT-2.2.1-4: identifier {} is in use",
            delivery.id
        );
        self.open.push(delivery.id);
        assert!(
            self.open.len() <= self.limits.receive_maximum,
            "MQTT-3.3.4-9: {} messages are open",
            self.open.len()
        );
    }
}
