//! WebSocket frames, held against a second reading of RFC 6455.

mod book;

use crate::net::ws::frame::{Control, Decoder, Encoder, End};

/// The first byte chooses how the rest is read: as the bytes of a stream, as frames that are put
/// together from it, or as what a server writes. The second is the size of the pieces that a stream
/// is read in.
///
/// # Panics
///
/// If a stream comes to something else than the standard says, or if what was written is not what
/// a client reads.
pub fn frames(data: &[u8]) {
    let [choice, size, rest @ ..] = data else {
        return;
    };
    match choice % 3 {
        0 => decode(rest, usize::from(*size) + 1),
        1 => decode(&composed(rest), usize::from(*size) + 1),
        _ => encode(rest),
    }
}

/// Reads a stream in pieces of `size` bytes, and as the standard says.
fn decode(stream: &[u8], size: usize) {
    let mut decoder = Decoder::default();
    let (mut bytes, mut end, mut ping) = (Vec::new(), None, None);
    for part in stream.chunks(size) {
        let mut part = part.to_vec();
        let decoded = decoder.decode(&mut part);
        if end.is_some() {
            assert_eq!((decoded.bytes, decoded.end), (0, None), "behind the end");
        }
        bytes.extend_from_slice(&part[..decoded.bytes]);
        end = end.or(decoded.end);
        ping = decoder.take_ping().or(ping);
    }
    let expected = book::read(stream);
    let end = end.map(|end| match end {
        End::Closed(code) => book::End::Closed(code),
        End::Fault(fault) => book::End::Fault(fault.code),
    });
    assert_eq!((bytes, end), (expected.bytes, expected.end));
    // A ping in front of the end needs no answer any more.
    if end.is_none() {
        let ping = ping.map(|ping: Control| ping.payload().to_vec());
        assert_eq!(ping, expected.pings.last().cloned());
    }
}

/// Frames that are proper unless their first byte or their length says otherwise.
fn composed(mut script: &[u8]) -> Vec<u8> {
    const FIRST: [u8; 7] = [0x82, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88];
    let mut stream = Vec::new();
    while let [first, length, rest @ ..] = script {
        let first = FIRST.get(usize::from(*first)).unwrap_or(first);
        let (form, length) = (length >> 6, usize::from(length & 0x3F));
        let (payload, rest) = rest.split_at(length.min(rest.len()));
        script = rest;
        stream.push(*first);
        let payload = match form {
            // A length of two bytes, then of eight.
            1 => payload.repeat(8),
            2 => payload.repeat(2000),
            _ => payload.to_vec(),
        };
        match (form, payload.len()) {
            (3, length) => stream.extend([[0xFE, 0].as_slice(), &[0, length as u8][1..]].concat()),
            (_, length @ ..126) => stream.push(0x80 | length as u8),
            (_, length @ ..0x10000) => {
                stream.push(0xFE);
                stream.extend((length as u16).to_be_bytes());
            }
            (_, length) => {
                stream.push(0xFF);
                stream.extend((length as u64).to_be_bytes());
            }
        }
        let mask = [*first, 0x5A, length as u8, 0xC3];
        stream.extend(mask);
        stream.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    }
    stream
}

/// Carries out a script of writes, of which each takes as much as there is room for.
fn encode(script: &[u8]) {
    let mut encoder = Encoder::default();
    let (mut out, mut waiting, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    let mut last_pong = None;
    for step in script.chunks_exact(3) {
        let (appended, room) = (usize::from(step[0]) * usize::from(step[2] >> 4), step[1]);
        waiting.extend((sent.len()..sent.len() + appended).map(|byte| byte as u8));
        if step[2] & 0x08 != 0 {
            let ping = [&[0x89, 0x81][..], &[0; 4], &[step[0]]].concat();
            let mut decoder = Decoder::default();
            decoder.decode(&mut ping.clone());
            encoder.pong(decoder.take_ping().expect("a ping"));
            last_pong = Some(step[0]);
        }
        write(
            &mut encoder,
            &mut waiting,
            usize::from(room),
            &mut out,
            &mut sent,
        );
    }
    encoder.close();
    while !encoder.has_closed() || !waiting.is_empty() || !encoder.next(0).is_empty() {
        write(&mut encoder, &mut waiting, 100, &mut out, &mut sent);
    }
    let read = book::read_unmasked(&out);
    assert_eq!(read.bytes, sent, "bytes in order");
    assert_eq!(read.end, Some(book::End::Closed(Some(1000))));
    let pong = read.pongs.last().map(Vec::as_slice);
    assert_eq!(pong, last_pong.as_ref().map(std::slice::from_ref));
}

fn write(
    encoder: &mut Encoder,
    waiting: &mut Vec<u8>,
    room: usize,
    out: &mut Vec<u8>,
    sent: &mut Vec<u8>,
) {
    let next = encoder.next(waiting.len());
    assert!(next.payload() <= waiting.len());
    let all = [next.head(), &waiting[..next.payload()]].concat();
    let count = all.len().min(room);
    out.extend_from_slice(&all[..count]);
    let taken = encoder.advance(&next, count);
    sent.extend(waiting.drain(..taken));
}
