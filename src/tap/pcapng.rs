//! Rows of the journal as a capture file (pcapng) that Wireshark opens: what was on the wire, without TLS and
//! WebSocket, in TCP segments made up for it.
//!
//! The broker is 127.0.0.1:1883 in it, whatever listener it was, because that is the port at which Wireshark
//! looks for MQTT. A client has its own address if it is an IPv4 one, else one below 10.0.0.0/8.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::SystemTime;

use super::journal::{JournalRow, PacketRow, RowKind};
use super::rule::Direction;

const BROKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1883);

/// Packets begin with an IPv4 header.
const LINKTYPE_RAW: u16 = 101;

/// Bytes of a segment.
const SEGMENT: usize = 32 * 1024;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const COMMENT: u16 = 1;

/// How far a connection has come in both directions.
struct Stream {
    client: SocketAddrV4,
    /// Sequence numbers of the next byte from the client and from the broker.
    next: [u32; 2],
}

/// A capture file that is being written.
#[derive(Default)]
pub(crate) struct Capture {
    streams: HashMap<u64, Stream>,
}

/// The capture file of these rows.
pub(crate) fn write(rows: &[JournalRow]) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&mut out);
    Capture::default().go_on(&mut out, rows);
    out
}

/// Writes what stands in front of all rows.
pub(crate) fn begin(out: &mut Vec<u8>) {
    block(out, SECTION, |body| {
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        body.extend([1, 0, 0, 0]);
        // The length of the section is not said.
        body.extend(u64::MAX.to_le_bytes());
    });
    block(out, INTERFACE, |body| {
        body.extend(LINKTYPE_RAW.to_le_bytes());
        body.extend([0; 2]);
        // No packet is cut.
        body.extend([0; 4]);
    });
}

impl Capture {
    /// Writes further rows.
    pub(crate) fn go_on(&mut self, out: &mut Vec<u8>, rows: &[JournalRow]) {
        for row in rows {
            let RowKind::Packet(packet) = &row.what else {
                continue;
            };
            if packet.is_on_wire {
                let stream = self
                    .streams
                    .entry(row.connection)
                    .or_insert_with(|| Stream {
                        client: address(row),
                        next: [1, 1],
                    });
                segments(out, row, packet, stream);
            }
        }
    }
}

fn address(row: &JournalRow) -> SocketAddrV4 {
    match row.peer.parse() {
        Ok(SocketAddr::V4(own)) => own,
        own => {
            let [.., a, b, c] = row.connection.to_be_bytes();
            let port = own.map_or(50_000, |own| own.port());
            SocketAddrV4::new(Ipv4Addr::new(10, a, b, c), port)
        }
    }
}

fn segments(out: &mut Vec<u8>, row: &JournalRow, packet: &PacketRow, stream: &mut Stream) {
    let is_in = packet.direction == Direction::In;
    let (from, to) = match is_in {
        true => (stream.client, BROKER),
        false => (BROKER, stream.client),
    };
    let [client, broker] = &mut stream.next;
    let (own, other) = match is_in {
        true => (client, *broker),
        false => (broker, *client),
    };
    let begin = *own;
    for (place, bytes) in packet.bytes.chunks(SEGMENT).enumerate() {
        let seq = begin.wrapping_add((place * SEGMENT) as u32);
        let ip = datagram(from, to, seq, other, bytes);
        let comment = (place == 0).then(|| comment(row, packet));
        enhanced_packet(out, row.at, &ip, comment.as_deref());
    }
    // Of a long packet only the beginning was kept: what is missing is missing in the stream.
    *own = begin.wrapping_add(packet.len as u32);
}

/// Who it is, and what a rule has done.
fn comment(row: &JournalRow, packet: &PacketRow) -> String {
    let mut text = format!("row {}", row.number);
    if let Some(client) = &row.client {
        text += &format!(", client {client}");
    }
    text += &format!(", listener {}", row.listener);
    if let (Some(rule), Some(deed)) = (&packet.rule, packet.deed) {
        text += &format!(", rule {rule}: {deed}");
    }
    text
}

/// An IPv4 datagram with a TCP segment.
fn datagram(from: SocketAddrV4, to: SocketAddrV4, seq: u32, ack: u32, bytes: &[u8]) -> Vec<u8> {
    let mut ip = Vec::with_capacity(40 + bytes.len());
    // A segment is far below what 16 bits hold.
    let len = (40 + bytes.len()) as u16;
    ip.extend([0x45, 0]);
    ip.extend(len.to_be_bytes());
    // Identification, "don't fragment", hops, TCP, and a checksum that is filled in.
    ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    ip.extend(from.ip().octets());
    ip.extend(to.ip().octets());
    let header = sum(0, &ip);
    let tcp_at = ip.len();
    ip.extend(from.port().to_be_bytes());
    ip.extend(to.port().to_be_bytes());
    ip.extend(seq.to_be_bytes());
    ip.extend(ack.to_be_bytes());
    // Five words of header, PSH and ACK, a large window, and a checksum that is filled in.
    ip.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    ip.extend(bytes);
    let pseudo = sum(6 + u32::from(len - 20), ip.get(12..20).unwrap_or_default());
    let segment = sum(pseudo, ip.get(tcp_at..).unwrap_or_default());
    for (at, checksum) in [(10, header), (tcp_at + 16, segment)] {
        let checksum = !fold(checksum);
        if let Some(place) = ip.get_mut(at..at + 2) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
    }
    ip
}

/// The sum of 16-bit words that checksums are made from.
fn sum(start: u32, bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(start, |sum, pair| {
        let word = match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            [high] => u16::from_be_bytes([*high, 0]),
            _ => 0,
        };
        u32::from(fold(sum)) + u32::from(word)
    })
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn enhanced_packet(out: &mut Vec<u8>, at: SystemTime, ip: &[u8], comment: Option<&str>) {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    });
    block(out, PACKET, |body| {
        body.extend(0_u32.to_le_bytes());
        body.extend(((micros >> 32) as u32).to_le_bytes());
        body.extend((micros as u32).to_le_bytes());
        body.extend((ip.len() as u32).to_le_bytes());
        body.extend((ip.len() as u32).to_le_bytes());
        body.extend(ip);
        pad(body);
        if let Some(comment) = comment {
            let bytes = comment.as_bytes();
            let bytes = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
            body.extend(COMMENT.to_le_bytes());
            body.extend((bytes.len() as u16).to_le_bytes());
            body.extend(bytes);
            pad(body);
            body.extend([0; 4]);
        }
    });
}

/// A block: its type, its length, what `fill` writes, and its length again.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    pad(&mut body);
    let len = (12 + body.len()) as u32;
    out.extend(kind.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(body);
    out.extend(len.to_le_bytes());
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_a_datagram_are_right() {
        let client: SocketAddrV4 = "10.0.0.1:50000".parse().expect("an address");
        for payload in [&b""[..], b"odd", b"even"] {
            let ip = datagram(client, BROKER, 7, 9, payload);
            assert_eq!(fold(sum(0, &ip[..20])), 0xffff);
            let pseudo = sum(6 + (ip.len() - 20) as u32, &ip[12..20]);
            assert_eq!(fold(sum(pseudo, &ip[20..])), 0xffff);
        }
    }
}
