//! Clients that allocate nothing once they have started: every packet they send and every reply
//! they wait for has its place from the beginning.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::{Client, Connect, Encode, Publish, Version, fresh};

const PAYLOAD: [u8; 64] = [b'x'; 64];

/// Bytes of a PUBACK, PUBREC, PUBREL or PUBCOMP without a reason.
const ACK_LEN: usize = 4;

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

/// A connection with a session, which does nothing.
pub(crate) fn idle(address: SocketAddr) -> TcpStream {
    connect(address, Version::V5).into_stream()
}

/// A client that publishes the same messages again and again.
pub(crate) struct Publisher {
    stream: TcpStream,
    qos: u8,
    publishes: Vec<u8>,
    acks: Acks,
}

impl Publisher {
    pub(crate) fn start(address: SocketAddr, topic: &str, qos: u8, batch: usize) -> Self {
        let ids = 1..=u16::try_from(batch).expect("few messages");
        let publish = |id: u16| {
            let publish = Publish::new(topic, PAYLOAD);
            let publish = if qos == 0 {
                publish
            } else {
                publish.qos(qos, id)
            };
            publish.encode(Version::V5)
        };
        Self {
            stream: connect(address, Version::V5).into_stream(),
            qos,
            publishes: ids.flat_map(publish).collect(),
            acks: Acks::new(if qos == 0 { 0 } else { batch }),
        }
    }

    /// Sends the messages.
    pub(crate) fn publish(&mut self) {
        self.stream
            .write_all(&self.publishes)
            .expect("the broker reads");
    }

    /// Plays the exchanges of the messages to their end.
    pub(crate) fn complete(&mut self) {
        let (stream, acks) = (&mut self.stream, &mut self.acks);
        match self.qos {
            0 => {}
            1 => acks.expect(PUBACK, stream),
            _ => {
                acks.expect(PUBREC, stream);
                acks.send(PUBREL, stream);
                acks.expect(PUBCOMP, stream);
            }
        }
    }
}

/// A client with one subscription.
pub(crate) struct Subscriber {
    stream: TcpStream,
    qos: u8,
    deliveries: Vec<u8>,
    delivery_len: usize,
    acks: Acks,
}

impl Subscriber {
    /// Subscribes to the topics of the publishers. `batch` deliveries come at a time.
    pub(crate) fn start(
        address: SocketAddr,
        version: Version,
        filter: &str,
        qos: u8,
        batch: usize,
    ) -> Self {
        let mut client = connect(address, version);
        assert_eq!(client.subscribe(filter, qos), qos);
        let delivery = Publish::new("in/0", PAYLOAD).encode(version);
        let delivery_len = delivery.len() + if qos == 0 { 0 } else { 2 };
        Self {
            stream: client.into_stream(),
            qos,
            deliveries: vec![0; batch * delivery_len],
            delivery_len,
            acks: Acks::new(if qos == 0 { 0 } else { batch }),
        }
    }

    /// Takes a batch of deliveries and plays their exchanges to the end.
    pub(crate) fn receive(&mut self) {
        self.stream
            .read_exact(&mut self.deliveries)
            .expect("all deliveries");
        let (stream, acks) = (&mut self.stream, &mut self.acks);
        let packets = self.deliveries.chunks_exact(self.delivery_len);
        for (index, packet) in packets.enumerate() {
            assert_eq!(packet[0], 0x30 | self.qos << 1, "first byte of a PUBLISH");
            if self.qos > 0 {
                // Behind the fixed header and the topic `in/0`.
                acks.set_id(index, [packet[8], packet[9]]);
            }
        }
        match self.qos {
            0 => {}
            1 => acks.send(PUBACK, stream),
            _ => {
                acks.send(PUBREC, stream);
                acks.expect(PUBREL, stream);
                acks.send(PUBCOMP, stream);
            }
        }
    }
}

/// Acknowledgements of one kind at a time, for a batch of messages.
struct Acks(Vec<u8>);

impl Acks {
    fn new(count: usize) -> Self {
        Self([0, 2, 0, 0].repeat(count))
    }

    fn set_id(&mut self, index: usize, id: [u8; 2]) {
        self.0[index * ACK_LEN + 2..][..2].copy_from_slice(&id);
    }

    /// Sends one of each identifier.
    fn send(&mut self, first: u8, stream: &mut TcpStream) {
        for ack in self.0.chunks_exact_mut(ACK_LEN) {
            ack[0] = first;
        }
        stream.write_all(&self.0).expect("the broker reads");
    }

    /// Waits for as many.
    fn expect(&mut self, first: u8, stream: &mut TcpStream) {
        stream
            .read_exact(&mut self.0)
            .expect("all acknowledgements");
        for ack in self.0.chunks_exact(ACK_LEN) {
            assert_eq!(ack[..2], [first, 2], "an acknowledgement without a reason");
        }
    }
}

fn connect(address: SocketAddr, version: Version) -> Client {
    let mut client = Client::dial(address, version);
    client.send_connect(&Connect::new(fresh("client")));
    let (_, reason, _) = client.expect_connack();
    assert_eq!(reason, 0, "reason of CONNACK");
    client
}
