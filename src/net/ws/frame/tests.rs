use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// A frame of a client, whose length has the shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(MASKED | length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(MASKED | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(MASKED | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What a stream comes to when it is read in pieces of these sizes, over and over.
fn decode(stream: &[u8], sizes: &[usize]) -> (Vec<u8>, Option<End>, Vec<Vec<u8>>) {
    let mut decoder = Decoder::default();
    let (mut bytes, mut end, mut pings) = (Vec::new(), None, Vec::new());
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (part, behind) = rest.split_at((*size).clamp(1, rest.len()));
        rest = behind;
        let mut part = part.to_vec();
        let decoded = decoder.decode(&mut part);
        assert!(decoded.bytes <= part.len());
        assert!(end.is_none() || decoded.bytes == 0 && decoded.end.is_none());
        bytes.extend_from_slice(&part[..decoded.bytes]);
        end = end.or(decoded.end);
        pings.extend(decoder.take_ping().map(|ping| ping.payload().to_vec()));
    }
    (bytes, end, pings)
}

fn fault_of(stream: &[u8]) -> Fault {
    let (bytes, end, _) = decode(stream, &[usize::MAX]);
    assert!(bytes.is_empty(), "{bytes:02x?}");
    match end {
        Some(End::Fault(fault)) => fault,
        other => panic!("{stream:02x?} comes to {other:?}"),
    }
}

fn codes(streams: &[Vec<u8>]) -> Vec<u16> {
    streams.iter().map(|stream| fault_of(stream).code).collect()
}

#[test]
fn frames_of_every_length_form_carry_their_payload() {
    for length in [0, 1, 7, 8, 9, 125, 126, 127, 0xFFFF, 0x10000, 100_000] {
        let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let stream = frame(FIN | BINARY, &payload);
        assert_eq!(decode(&stream, &[usize::MAX]), (payload, None, vec![]));
    }
}

#[test]
fn fragments_are_one_stream_with_control_frames_between() {
    let stream = [
        frame(BINARY, b"ab"),
        frame(FIN | PING, b"one"),
        frame(CONTINUATION, b""),
        frame(CONTINUATION, b"c"),
        frame(FIN | PONG, b"unasked"),
        frame(FIN | CONTINUATION, b"d"),
        frame(FIN | BINARY, b"e"),
    ]
    .concat();
    let (bytes, end, pings) = decode(&stream, &[usize::MAX]);
    assert_eq!(
        (bytes, end, pings),
        (b"abcde".to_vec(), None, vec![b"one".to_vec()])
    );
}

/// RFC 6455, section 5.5.3: the answer to the last ping is enough.
#[test]
fn of_many_pings_the_last_is_kept() {
    let stream = [frame(FIN | PING, b"1"), frame(FIN | PING, b"2")].concat();
    let (_, _, pings) = decode(&stream, &[usize::MAX]);
    assert_eq!(pings, [b"2"]);
}

/// RFC 6455, section 5.
#[test]
fn what_the_framing_forbids_is_a_protocol_error() {
    let mut unmasked = frame(FIN | BINARY, b"");
    unmasked[1] &= !MASKED;
    let streams = [
        unmasked,
        frame(FIN | 0x40 | BINARY, b"x"),
        frame(FIN | 0x20 | BINARY, b"x"),
        frame(FIN | 0x10 | PING, b"x"),
        frame(FIN | 0x3, b""),
        frame(FIN | 0x7, b""),
        frame(FIN | 0xB, b""),
        frame(FIN | 0xF, b""),
        frame(PING, b""),
        frame(CLOSE, b""),
        frame(FIN | PING, &[0; 126]),
        frame(FIN | CLOSE, &[0; 70_000]),
        frame(FIN | CONTINUATION, b"x"),
        [frame(BINARY, b""), frame(FIN | BINARY, b"x")].concat(),
        // Lengths that a shorter form holds, and one beyond all.
        [&[0x82, 0xFE, 0, 125][..], &MASK].concat(),
        [&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF][..], &MASK].concat(),
        [&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &MASK].concat(),
    ];
    let found = codes(&streams);
    assert_eq!(found, vec![1002; streams.len()]);
}

/// MQTT-6.0.0-1.
#[test]
fn text_is_not_supported_data() {
    for stream in [frame(FIN | TEXT, b"x"), frame(TEXT, b"")] {
        let fault = fault_of(&stream);
        assert_eq!((fault.code, fault.rule), (1003, "MQTT-6.0.0-1"));
    }
}

/// RFC 6455, sections 5.5.1, 7.4 and 8.1.
#[test]
fn close_frames_are_checked() {
    let close =
        |code: u16, reason: &[u8]| frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat());
    for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
        let (_, end, _) = decode(&close(code, "größer".as_bytes()), &[usize::MAX]);
        assert_eq!(end, Some(End::Closed(Some(code))));
    }
    let (_, end, _) = decode(&frame(FIN | CLOSE, b""), &[usize::MAX]);
    assert_eq!(end, Some(End::Closed(None)));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 0xFFFF] {
        assert_eq!(fault_of(&close(code, b"")).code, 1002, "{code}");
    }
    assert_eq!(fault_of(&frame(FIN | CLOSE, b"\x03")).code, 1002);
    assert_eq!(fault_of(&close(1000, b"\xff")).code, 1007);
}

#[test]
fn what_came_before_the_end_counts_and_what_follows_does_not() {
    let stream = [
        frame(FIN | BINARY, b"before"),
        frame(FIN | CLOSE, b""),
        frame(FIN | BINARY, b"behind"),
        frame(FIN | PING, b""),
    ]
    .concat();
    let (bytes, end, pings) = decode(&stream, &[usize::MAX]);
    assert_eq!(
        (bytes, end, pings),
        (b"before".to_vec(), Some(End::Closed(None)), vec![])
    );
}

/// A frame may announce what it likes.
#[test]
fn an_announced_length_is_not_held() {
    let mut stream = [&[0x82, 0xFF, 0x7F][..], &[0xFF; 7], &MASK].concat();
    stream.extend([0x11; 1000]);
    let (bytes, end, _) = decode(&stream, &[7]);
    assert_eq!((bytes.len(), end), (1000, None));
    assert!(size_of::<Decoder>() < 512);
}

/// Binary frames' payload, and the other frames, of a stream that a server sends.
fn read(mut stream: &[u8]) -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
    let (mut data, mut control) = (Vec::new(), Vec::new());
    while let [first, second, rest @ ..] = stream {
        assert_eq!(first & FIN, FIN);
        let (length, rest) = match second {
            126 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            127 => {
                let length = u64::from_be_bytes(rest[..8].try_into().unwrap());
                (length as usize, &rest[8..])
            }
            short => (usize::from(*short), rest),
        };
        let (payload, rest) = rest.split_at(length);
        match first & OPCODE {
            BINARY => data.extend_from_slice(payload),
            other => control.push((other, payload.to_vec())),
        }
        stream = rest;
    }
    assert!(stream.is_empty());
    (data, control)
}

/// Writes as a link does: `room` bytes at a time.
fn write(encoder: &mut Encoder, bytes: &[u8], room: usize, out: &mut Vec<u8>) -> usize {
    let next = encoder.next(bytes.len());
    let all = [next.head(), &bytes[..next.payload()]].concat();
    let count = all.len().min(room);
    out.extend_from_slice(&all[..count]);
    encoder.advance(&next, count)
}

fn ping(payload: &[u8]) -> Control {
    let mut control = Control::EMPTY;
    control.extend(payload);
    control
}

#[test]
fn a_pong_leaves_at_a_frame_boundary() {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    assert_eq!(write(&mut encoder, b"abcdef", 4, &mut out), 2);
    encoder.pong(ping(b"1"));
    encoder.pong(ping(b"2"));
    assert_eq!(write(&mut encoder, b"", 100, &mut out), 0);
    assert_eq!(write(&mut encoder, b"cdefXYZ", 100, &mut out), 4);
    assert_eq!(write(&mut encoder, b"XYZ", 100, &mut out), 3);
    assert_eq!(
        read(&out),
        (b"abcdefXYZ".to_vec(), vec![(PONG, b"2".to_vec())])
    );
}

#[test]
fn nothing_has_begun_before_a_byte_was_written() {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    assert_eq!(write(&mut encoder, b"abcdef", 0, &mut out), 0);
    assert_eq!(write(&mut encoder, b"ab", 100, &mut out), 2);
    assert_eq!(read(&out).0, b"ab");
}

#[test]
fn nothing_follows_the_close_frame() {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    encoder.set_code(Some(1003));
    encoder.close();
    write(&mut encoder, b"last", 100, &mut out);
    write(&mut encoder, b"", 1, &mut out);
    encoder.pong(ping(b"late"));
    encoder.close();
    for _ in 0..9 {
        write(&mut encoder, b"", 1, &mut out);
    }
    assert!(encoder.has_closed() && encoder.next(0).is_empty());
    let close = (CLOSE, 1003_u16.to_be_bytes().to_vec());
    assert_eq!(read(&out), (b"last".to_vec(), vec![close]));
}

/// Frames that are mostly what they should be, and some that are not.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => Just(FIN | BINARY),
        2 => Just(BINARY),
        4 => Just(CONTINUATION),
        2 => Just(FIN | CONTINUATION),
        4 => Just(FIN | PING),
        2 => Just(FIN | PONG),
        1 => Just(FIN | CLOSE),
        1 => any::<u8>(),
    ];
    let length = prop_oneof![8 => 0..20_usize, 2 => 120..130_usize, 1 => 300..400_usize];
    let payload = length.prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    let frame = (first, payload).prop_map(|(first, payload)| frame(first, &payload));
    let broken = prop::collection::vec(any::<u8>(), 0..20);
    let part = prop_oneof![20 => frame, 1 => broken];
    prop::collection::vec(part, 0..20).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn every_split_of_a_stream_comes_to_the_same(
        stream in frames(),
        sizes in prop::collection::vec(1..40_usize, 1..10),
    ) {
        let (bytes, end, pings) = decode(&stream, &[usize::MAX]);
        let split = decode(&stream, &sizes);
        prop_assert_eq!((&split.0, split.1), (&bytes, end));
        // In pieces more of them are seen; the last is the same, unless the end came with it.
        if end.is_none() {
            prop_assert_eq!(split.2.last(), pings.last());
        }
    }

    #[test]
    fn whatever_was_written_in_parts_is_read_whole(
        steps in prop::collection::vec((0..300_usize, 0..200_usize, 0..4_u8), 1..40),
    ) {
        let mut encoder = Encoder::default();
        let (mut out, mut waiting, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        for (number, (appended, room, action)) in steps.into_iter().enumerate() {
            waiting.extend((0..appended).map(|byte| (byte + number) as u8));
            if action == 0 {
                encoder.pong(ping(&[number as u8; 9]));
                last = Some(vec![number as u8; 9]);
            }
            let taken = write(&mut encoder, &waiting, room, &mut out);
            sent.extend(waiting.drain(..taken));
        }
        encoder.close();
        while !waiting.is_empty() || !encoder.has_closed() || !encoder.next(0).is_empty() {
            let taken = write(&mut encoder, &waiting, 50, &mut out);
            sent.extend(waiting.drain(..taken));
        }
        let (data, mut control) = read(&out);
        prop_assert_eq!(data, sent);
        prop_assert_eq!(control.pop(), Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
        prop_assert_eq!(control.pop().map(|(_, payload)| payload), last);
    }
}
