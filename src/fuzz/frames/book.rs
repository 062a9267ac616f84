//! RFC 6455, section 5, read a second time: plainly, and over a stream that is there as a whole.

/// What a stream of frames comes to.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) bytes: Vec<u8>,
    pub(super) pings: Vec<Vec<u8>>,
    pub(super) pongs: Vec<Vec<u8>>,
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed(Option<u16>),
    /// A rule was broken; what a Close frame says to that.
    Fault(u16),
}

/// A stream of a client.
pub(super) fn read(stream: &[u8]) -> Read {
    read_frames(stream, true)
}

/// A stream of a server.
pub(super) fn read_unmasked(stream: &[u8]) -> Read {
    read_frames(stream, false)
}

fn read_frames(stream: &[u8], is_masked: bool) -> Read {
    let mut read = Read::default();
    let mut in_message = false;
    let mut at = 0;
    while read.end.is_none() && stream.len() >= at + 2 {
        let (first, second) = (stream[at], stream[at + 1]);
        at += 2;
        let (fin, opcode) = (first >= 0x80, first % 16);
        let is_control = opcode >= 8;
        let is_known = matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10);
        if first / 16 % 8 == 0 && opcode == 1 {
            read.end = Some(End::Fault(1003));
            break;
        }
        if first / 16 % 8 != 0
            || !is_known
            || (is_control && (!fin || second % 128 > 125))
            || (second >= 0x80) != is_masked
        {
            read.end = Some(End::Fault(1002));
            break;
        }
        let width = match second % 128 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_width = if is_masked { 4 } else { 0 };
        if stream.len() < at + width + mask_width {
            break;
        }
        let length = stream[at..at + width]
            .iter()
            .fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
        let is_long_enough = match width {
            2 => length >= 126,
            8 => (65_536..1 << 63).contains(&length),
            _ => true,
        };
        let length = if width == 0 {
            u64::from(second % 128)
        } else {
            length
        };
        let starts = opcode == 2;
        if !is_long_enough || (!is_control && starts == in_message) {
            read.end = Some(End::Fault(1002));
            break;
        }
        at += width;
        let mask = &stream[at..at + mask_width];
        at += mask_width;
        let there = (length.min(1 << 40) as usize).min(stream.len() - at);
        let mut payload = stream[at..at + there].to_vec();
        at += there;
        if is_masked {
            for (number, byte) in payload.iter_mut().enumerate() {
                *byte ^= mask[number % 4];
            }
        }
        if !is_control {
            in_message = !fin;
            read.bytes.extend(payload);
        } else if there as u64 == length {
            match opcode {
                8 => read.end = Some(close(&payload)),
                9 => read.pings.push(payload),
                _ => read.pongs.push(payload),
            }
        }
    }
    read
}

/// A Close frame (sections 5.5.1, 7.4.1, 7.4.2 and 8.1; IANA registered 1012 to 1014).
fn close(payload: &[u8]) -> End {
    if payload.is_empty() {
        return End::Closed(None);
    }
    if payload.len() == 1 {
        return End::Fault(1002);
    }
    let code = u16::from(payload[0]) * 256 + u16::from(payload[1]);
    let may_be_sent = match code {
        1004..=1006 | 1015 => false,
        1000..=1014 | 3000..=4999 => true,
        _ => false,
    };
    match (may_be_sent, String::from_utf8(payload[2..].to_vec())) {
        (false, _) => End::Fault(1002),
        (true, Err(_)) => End::Fault(1007),
        (true, Ok(_)) => End::Closed(Some(code)),
    }
}
