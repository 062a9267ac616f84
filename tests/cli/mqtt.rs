//! As much MQTT as these tests need, in bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A client that the broker has accepted.
pub(crate) fn connected(address: &str, id: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client.write_all(&connect(5, id)).unwrap();
    let mut start = [0; 2];
    client.read_exact(&mut start).unwrap();
    assert_eq!(start[0], 0x20);
    client.read_exact(&mut vec![0; start[1].into()]).unwrap();
    client
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let digit = u8::try_from(rest % 128).unwrap();
        rest /= 128;
        bytes.push(if rest > 0 { digit | 128 } else { digit });
        if rest == 0 {
            bytes.extend_from_slice(body);
            return bytes;
        }
    }
}

/// CONNECT of MQTT 5 or 3.1.1 with Clean Start.
pub(crate) fn connect(level: u8, id: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend([level, 2, 0, 0]);
    if level == 5 {
        body.push(0);
    }
    body.extend(string(id));
    packet(0x10, &body)
}
