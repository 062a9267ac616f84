//! The few bytes of MQTT 3.1.1 and 5 that a load generator needs: pre-encoded
//! packets on the way out, a fixed-header walk on the way in.

pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;

/// Bytes at the head of every payload: publisher id (4), sequence (4), send time in ns (8).
pub const PAYLOAD_HEAD: usize = 16;

fn varint(out: &mut Vec<u8>, mut n: usize) {
    loop {
        let b = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(b);
            return;
        }
        out.push(b | 0x80);
    }
}

fn string(out: &mut Vec<u8>, s: &str) {
    out.extend_from_slice(&(s.len() as u16).to_be_bytes());
    out.extend_from_slice(s.as_bytes());
}

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(head);
    varint(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

pub fn connect(v5: bool, client_id: &str, clean: bool, expiry: u32, keepalive: u16) -> Vec<u8> {
    let mut b = Vec::new();
    string(&mut b, "MQTT");
    b.push(if v5 { 5 } else { 4 });
    b.push(if clean { 2 } else { 0 });
    b.extend_from_slice(&keepalive.to_be_bytes());
    if v5 {
        let mut props = Vec::new();
        if expiry > 0 {
            props.push(0x11);
            props.extend_from_slice(&expiry.to_be_bytes());
        }
        varint(&mut b, props.len());
        b.extend_from_slice(&props);
    }
    string(&mut b, client_id);
    packet(0x10, &b)
}

pub fn subscribe(v5: bool, pid: u16, filters: &[String], qos: u8) -> Vec<u8> {
    let mut b = Vec::new();
    b.extend_from_slice(&pid.to_be_bytes());
    if v5 {
        b.push(0);
    }
    for f in filters {
        string(&mut b, f);
        b.push(qos);
    }
    packet(0x82, &b)
}

pub fn unsubscribe(v5: bool, pid: u16, filters: &[String]) -> Vec<u8> {
    let mut b = Vec::new();
    b.extend_from_slice(&pid.to_be_bytes());
    if v5 {
        b.push(0);
    }
    for f in filters {
        string(&mut b, f);
    }
    packet(0xa2, &b)
}

pub fn disconnect(v5: bool) -> &'static [u8] {
    if v5 { &[0xe0, 2, 0, 0] } else { &[0xe0, 0] }
}

pub fn ack(out: &mut Vec<u8>, head: u8, pid: u16) {
    let p = pid.to_be_bytes();
    out.extend_from_slice(&[head, 2, p[0], p[1]]);
}

/// A PUBLISH encoded once; each send copies it and patches packet id and payload head.
#[derive(Clone)]
pub struct Template {
    bytes: Vec<u8>,
    pid_at: usize,
    payload_at: usize,
}

impl Template {
    pub fn new(v5: bool, topic: &str, qos: u8, retain: bool, payload: usize) -> Self {
        let payload = payload.max(PAYLOAD_HEAD);
        let mut b = Vec::new();
        string(&mut b, topic);
        let pid_rel = b.len();
        if qos > 0 {
            b.extend_from_slice(&[0, 0]);
        }
        if v5 {
            b.push(0);
        }
        let pay_rel = b.len();
        b.resize(pay_rel + payload, b'x');
        let bytes = packet(0x30 | qos << 1 | retain as u8, &b);
        let head = bytes.len() - b.len();
        Template {
            pid_at: if qos > 0 { head + pid_rel } else { 0 },
            payload_at: head + pay_rel,
            bytes,
        }
    }

    pub fn emit(&self, out: &mut Vec<u8>, pid: u16, publisher: u32, seq: u32, ts: u64) {
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        let m = &mut out[at..];
        if self.pid_at > 0 {
            m[self.pid_at..self.pid_at + 2].copy_from_slice(&pid.to_be_bytes());
        }
        let p = &mut m[self.payload_at..self.payload_at + PAYLOAD_HEAD];
        p[..4].copy_from_slice(&publisher.to_be_bytes());
        p[4..8].copy_from_slice(&seq.to_be_bytes());
        p[8..].copy_from_slice(&ts.to_be_bytes());
    }
}

pub struct Publish<'a> {
    pub qos: u8,
    pub dup: bool,
    pub pid: u16,
    pub payload: &'a [u8],
}

impl Publish<'_> {
    /// (publisher, sequence, send time) from a payload of ours.
    pub fn head(&self) -> Option<(u32, u32, u64)> {
        let p = self.payload.get(..PAYLOAD_HEAD)?;
        Some((
            u32::from_be_bytes(p[..4].try_into().unwrap()),
            u32::from_be_bytes(p[4..8].try_into().unwrap()),
            u64::from_be_bytes(p[8..].try_into().unwrap()),
        ))
    }
}

pub enum Packet<'a> {
    Connack {
        code: u8,
        session: bool,
        receive_max: u16,
    },
    Suback {
        refused: usize,
    },
    Publish(Publish<'a>),
    Puback {
        code: u8,
    },
    Pubrec {
        pid: u16,
        code: u8,
    },
    Pubrel {
        pid: u16,
    },
    Pubcomp,
    Disconnect {
        code: u8,
    },
    Other,
}

/// Reads a variable byte integer: Ok(None) when more bytes are needed.
fn read_varint(b: &[u8]) -> Result<Option<(usize, usize)>, ()> {
    let mut n = 0usize;
    for i in 0..4 {
        let Some(&x) = b.get(i) else { return Ok(None) };
        n |= ((x & 0x7f) as usize) << (7 * i);
        if x < 0x80 {
            return Ok(Some((n, i + 1)));
        }
    }
    Err(())
}

/// Length of the header and of the whole packet at the head of `b`, once it is all there.
#[inline]
pub fn frame(b: &[u8]) -> Result<Option<(usize, usize)>, ()> {
    if b.len() < 2 {
        return Ok(None);
    }
    // The common one-byte length first.
    let (len, used) = if b[1] < 0x80 {
        (b[1] as usize, 1)
    } else {
        match read_varint(&b[1..])? {
            Some(x) => x,
            None => return Ok(None),
        }
    };
    let total = 1 + used + len;
    Ok((b.len() >= total).then_some((1 + used, total)))
}

#[inline]
fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(b.get(at..at + 2)?.try_into().unwrap()))
}

/// Decodes one packet; None means malformed.
#[inline]
pub fn decode(v5: bool, head: u8, body: &[u8]) -> Option<Packet<'_>> {
    Some(match head >> 4 {
        3 => {
            let tl = u16_at(body, 0)? as usize;
            let mut at = 2 + tl;
            let qos = head >> 1 & 3;
            let mut pid = 0;
            if qos > 0 {
                pid = u16_at(body, at)?;
                at += 2;
            }
            if v5 {
                let (n, used) = read_varint(body.get(at..)?).ok()??;
                at += used + n;
            }
            Packet::Publish(Publish {
                qos,
                dup: head & 8 != 0,
                pid,
                payload: body.get(at..)?,
            })
        }
        4 => Packet::Puback {
            code: body.get(2).copied().unwrap_or(0),
        },
        5 => Packet::Pubrec {
            pid: u16_at(body, 0)?,
            code: body.get(2).copied().unwrap_or(0),
        },
        6 => Packet::Pubrel {
            pid: u16_at(body, 0)?,
        },
        7 => Packet::Pubcomp,
        2 => {
            let mut receive_max = u16::MAX;
            if v5 {
                let (n, used) = read_varint(body.get(2..)?).ok()??;
                receive_max =
                    find_receive_max(body.get(2 + used..2 + used + n)?).unwrap_or(u16::MAX);
            }
            Packet::Connack {
                code: *body.get(1)?,
                session: body[0] & 1 != 0,
                receive_max,
            }
        }
        9 => {
            let mut at = 2;
            if v5 {
                let (n, used) = read_varint(body.get(at..)?).ok()??;
                at += used + n;
            }
            Packet::Suback {
                refused: body.get(at..)?.iter().filter(|c| **c >= 0x80).count(),
            }
        }
        14 => Packet::Disconnect {
            code: body.first().copied().unwrap_or(0),
        },
        _ => Packet::Other,
    })
}

/// Walks CONNACK properties for Receive Maximum (0x21).
fn find_receive_max(mut p: &[u8]) -> Option<u16> {
    while let Some((&id, rest)) = p.split_first() {
        let skip = match id {
            0x21 => return u16_at(rest, 0),
            0x13 | 0x22 => 2,
            0x11 | 0x27 => 4,
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            0x12 | 0x1a | 0x1c | 0x1f | 0x15 | 0x16 => 2 + u16_at(rest, 0)? as usize,
            0x26 => {
                let k = 2 + u16_at(rest, 0)? as usize;
                k + 2 + u16_at(rest, k)? as usize
            }
            _ => return None,
        };
        p = rest.get(skip..)?;
    }
    None
}
