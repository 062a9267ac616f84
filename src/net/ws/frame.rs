//! WebSocket frames (RFC 6455) around a stream of MQTT bytes, without IO.
//!
//! What frames and packets share is the order of their bytes and nothing else (MQTT-6.0.0-2), so no
//! frame is ever put together: the [`Decoder`] takes frames off in the buffer that they were read to,
//! whatever length they announce, and the [`Encoder`] says what to put in front of bytes that lie
//! elsewhere. All that either remembers is a header and the payload of one control frame.

/// The most that a control frame carries (RFC 6455, section 5.5).
const CONTROL_PAYLOAD: usize = 125;

/// The longest header of a client: two bytes, a length of eight, a mask.
const CLIENT_HEADER: usize = 14;

/// A control frame and the header of a data frame behind it, as a server writes them.
const HEAD: usize = 2 + CONTROL_PAYLOAD + 10;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Status codes of Close frames (RFC 6455, section 7.4.1).
pub(crate) const NORMAL_CLOSURE: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED_DATA: u16 = 1003;
const INVALID_PAYLOAD: u16 = 1007;

/// A rule of RFC 6455, or of MQTT about it, that the client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What the Close frame says.
    pub(crate) code: u16,
    pub(crate) rule: &'static str,
    pub(crate) text: &'static str,
}

impl Fault {
    const fn protocol(rule: &'static str, text: &'static str) -> Self {
        Self {
            code: PROTOCOL_ERROR,
            rule,
            text,
        }
    }
}

/// What ends the stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A Close frame came, with this status code if with any.
    Closed(Option<u16>),
    Fault(Fault),
}

/// What a buffer of frames came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Bytes of MQTT, now at the front of the buffer.
    pub(crate) bytes: usize,
    /// Frames that began or went on with their header in it.
    pub(crate) frames: usize,
    /// The end behind them; what follows it is nothing any more.
    pub(crate) end: Option<End>,
}

/// The payload of a control frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control {
    bytes: [u8; CONTROL_PAYLOAD],
    len: usize,
}

impl Control {
    const EMPTY: Self = Self {
        bytes: [0; CONTROL_PAYLOAD],
        len: 0,
    };

    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn extend(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        if let Some(space) = self.bytes.get_mut(self.len..end) {
            space.copy_from_slice(part);
            self.len = end;
        }
    }
}

/// Takes the frames of a client off what they carry.
pub(crate) struct Decoder {
    header: [u8; CLIENT_HEADER],
    header_len: usize,
    /// The payload that is under way.
    payload: Option<Payload>,
    /// A message in fragments has begun and not ended.
    in_message: bool,
    /// As far as the control frame that is under way has come.
    control: Control,
    /// The last ping that nobody took.
    ping: Option<Control>,
    has_ended: bool,
}

struct Payload {
    kind: Kind,
    /// Bytes that are still to come.
    left: u64,
    /// Turned so that it begins with the next byte's.
    mask: [u8; 4],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Close,
    Ping,
    Pong,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            header: [0; CLIENT_HEADER],
            header_len: 0,
            payload: None,
            in_message: false,
            control: Control::EMPTY,
            ping: None,
            has_ended: false,
        }
    }
}

impl Decoder {
    /// Decodes in place what was read behind all that came before.
    pub(crate) fn decode(&mut self, buf: &mut [u8]) -> Decoded {
        let mut bytes = 0;
        let mut frames = 0;
        let mut at = 0;
        let mut end = None;
        while at < buf.len() && !self.has_ended {
            let step = match &self.payload {
                None => {
                    frames += 1;
                    self.take_header(buf.get(at..).unwrap_or_default())
                }
                Some(payload) => {
                    let length = at_most(payload.left, buf.len() - at);
                    let mut start = at;
                    if payload.kind == Kind::Data {
                        // Behind the bytes that are there already.
                        start = bytes;
                        buf.copy_within(at..at + length, start);
                        bytes += length;
                    }
                    let part = buf.get_mut(start..start + length);
                    self.take_payload(part.unwrap_or_default())
                }
            };
            match step {
                Ok(step) => {
                    at += step.taken;
                    end = step.end;
                }
                Err(fault) => end = Some(End::Fault(fault)),
            }
            self.has_ended = end.is_some();
        }
        Decoded { bytes, frames, end }
    }

    /// The payload of the last ping since this was called last. One answer is enough for all before it
    /// (RFC 6455, section 5.5.3).
    pub(crate) fn take_ping(&mut self) -> Option<Control> {
        self.ping.take()
    }

    /// Takes as much of a header as there is.
    fn take_header(&mut self, input: &[u8]) -> Result<Step, Fault> {
        let mut taken = 0;
        loop {
            let needed = match self.header() {
                [first, second, ..] => header_len(*first, *second)?,
                _ => 2,
            };
            let missing = needed - self.header_len;
            if missing == 0 && needed > 2 {
                let end = self.begin_payload()?;
                return Ok(Step { taken, end });
            }
            let rest = input.get(taken..).unwrap_or_default();
            let part = rest.get(..missing).unwrap_or(rest);
            if part.is_empty() {
                return Ok(Step { taken, end: None });
            }
            let end = self.header_len + part.len();
            if let Some(space) = self.header.get_mut(self.header_len..end) {
                space.copy_from_slice(part);
            }
            self.header_len = end;
            taken += part.len();
        }
    }

    fn header(&self) -> &[u8] {
        self.header.get(..self.header_len).unwrap_or_default()
    }

    /// The header is whole.
    fn begin_payload(&mut self) -> Result<Option<End>, Fault> {
        let (left, mask) = match *self.header() {
            [_, second, m0, m1, m2, m3] => (u64::from(second & LENGTH), [m0, m1, m2, m3]),
            [_, _, l0, l1, m0, m1, m2, m3] => {
                let length = u16::from_be_bytes([l0, l1]);
                (u64::from(length), [m0, m1, m2, m3])
            }
            [_, _, l0, l1, l2, l3, l4, l5, l6, l7, m0, m1, m2, m3] => {
                let length = u64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
                (length, [m0, m1, m2, m3])
            }
            _ => (0, [0; 4]),
        };
        let is_minimal = match self.header_len {
            6 => true,
            8 => left > CONTROL_PAYLOAD as u64,
            _ => left > u64::from(u16::MAX) && left <= i64::MAX as u64,
        };
        if !is_minimal {
            return Err(Fault::protocol(
                "RFC6455-5.2",
                "a WebSocket frame whose length is not in its only form",
            ));
        }
        let first = self.header().first().copied().unwrap_or_default();
        self.header_len = 0;
        let kind = self.kind(first)?;
        self.control.len = 0;
        self.payload = Some(Payload { kind, left, mask });
        self.end_payload()
    }

    /// What a frame is, by its first byte.
    fn kind(&mut self, first: u8) -> Result<Kind, Fault> {
        match first & OPCODE {
            BINARY if self.in_message => Err(Fault::protocol(
                "RFC6455-5.4",
                "a WebSocket message inside another one",
            )),
            CONTINUATION if !self.in_message => Err(Fault::protocol(
                "RFC6455-5.4",
                "a WebSocket continuation frame without a message",
            )),
            CONTINUATION | BINARY => {
                self.in_message = first & FIN == 0;
                Ok(Kind::Data)
            }
            CLOSE => Ok(Kind::Close),
            PING => Ok(Kind::Ping),
            _ => Ok(Kind::Pong),
        }
    }

    /// Takes a part of the payload that is under way; that of a data frame is left unmasked.
    fn take_payload(&mut self, part: &mut [u8]) -> Result<Step, Fault> {
        let Some(payload) = &mut self.payload else {
            return Ok(Step {
                taken: 0,
                end: None,
            });
        };
        unmask(part, payload.mask);
        payload.left -= part.len() as u64;
        payload.mask.rotate_left(part.len() % 4);
        if payload.kind != Kind::Data {
            self.control.extend(part);
        }
        let end = self.end_payload()?;
        let taken = part.len();
        Ok(Step { taken, end })
    }

    /// Ends the frame if its payload is whole.
    fn end_payload(&mut self) -> Result<Option<End>, Fault> {
        let Some(payload) = self.payload.take_if(|payload| payload.left == 0) else {
            return Ok(None);
        };
        match payload.kind {
            Kind::Data | Kind::Pong => {}
            Kind::Ping => self.ping = Some(self.control),
            Kind::Close => {
                return close_code(self.control.payload()).map(|code| Some(End::Closed(code)));
            }
        }
        Ok(None)
    }
}

/// How far a step of decoding came.
struct Step {
    taken: usize,
    end: Option<End>,
}

/// How much of a payload there may be in `available` bytes.
fn at_most(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

/// Checks the first two bytes of a header (RFC 6455, section 5.2). Returns how long it is.
fn header_len(first: u8, second: u8) -> Result<usize, Fault> {
    let opcode = first & OPCODE;
    let fault = |rule, text| Err(Fault::protocol(rule, text));
    if first & RESERVED != 0 {
        return fault("RFC6455-5.2", "a WebSocket frame with reserved bits");
    }
    match opcode {
        CONTINUATION | BINARY => {}
        TEXT => {
            return Err(Fault {
                code: UNSUPPORTED_DATA,
                rule: "MQTT-6.0.0-1",
                text: "a WebSocket text frame",
            });
        }
        CLOSE | PING | PONG if first & FIN == 0 => {
            return fault("RFC6455-5.5", "a WebSocket control frame in fragments");
        }
        CLOSE | PING | PONG if usize::from(second & LENGTH) > CONTROL_PAYLOAD => {
            return fault(
                "RFC6455-5.5",
                "a WebSocket control frame of more than 125 bytes",
            );
        }
        CLOSE | PING | PONG => {}
        _ => return fault("RFC6455-5.2", "a WebSocket frame with a reserved opcode"),
    }
    if second & MASKED == 0 {
        return fault("RFC6455-5.1", "a WebSocket frame without a mask");
    }
    Ok(match second & LENGTH {
        126 => 8,
        127 => 14,
        _ => 6,
    })
}

/// The status code in a Close frame (RFC 6455, sections 5.5.1, 7.4 and 8.1).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => {
            return Err(Fault::protocol(
                "RFC6455-5.5.1",
                "a WebSocket Close frame with half a status code",
            ));
        }
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    // 1004 means nothing, 1005, 1006 and 1015 are never sent; 1012 to 1014 were registered later.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Fault::protocol(
            "RFC6455-7.4",
            "a WebSocket Close frame with a status code that may not be sent",
        ));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Fault {
            code: INVALID_PAYLOAD,
            rule: "RFC6455-8.1",
            text: "a WebSocket Close frame whose reason is not UTF-8",
        });
    }
    Ok(Some(code))
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Puts what a server sends into frames.
///
/// [`next`](Self::next) says what goes in front of bytes that are there, and
/// [`advance`](Self::advance) how much of both was written. A frame that was written in part is gone
/// on with; control frames wait until it has ended.
pub(crate) struct Encoder {
    /// What is left of a head that was written in part.
    head: Head,
    /// Bytes that the frame under way announced and that are still to come.
    owed: usize,
    pong: Option<Control>,
    /// What the Close frame will say.
    code: Option<u16>,
    closing: Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// A Close frame is to be sent.
    Wanted,
    /// It is on its way, and the last of all.
    Sent,
}

/// What is written in front of the payload: headers, and control frames whole.
#[derive(Clone, Copy)]
struct Head {
    bytes: [u8; HEAD],
    sent: usize,
    len: usize,
}

/// What is to be written next.
pub(crate) struct Next {
    head: Head,
    /// Bytes of the payload that are there.
    payload: usize,
    /// Bytes of the payload in all.
    owed: usize,
    /// The frame under way was not begun by this.
    goes_on: bool,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            head: Head::EMPTY,
            owed: 0,
            pong: None,
            code: Some(NORMAL_CLOSURE),
            closing: Closing::No,
        }
    }
}

impl Encoder {
    /// Answers a ping, in place of an answer that has not left.
    pub(crate) fn pong(&mut self, ping: Control) {
        self.pong = Some(ping);
    }

    /// Sets what the Close frame will say.
    #[cfg(any(feature = "websocket", test))]
    pub(crate) fn set_code(&mut self, code: Option<u16>) {
        self.code = code;
    }

    /// Lets a Close frame follow what was written.
    pub(crate) fn close(&mut self) {
        if self.closing == Closing::No {
            self.closing = Closing::Wanted;
        }
    }

    /// Whether the Close frame is on its way: no data may follow.
    pub(crate) fn has_closed(&self) -> bool {
        self.closing == Closing::Sent
    }

    /// What to write while `available` bytes of payload are there. Nothing counts as begun before a
    /// byte of it was written.
    pub(crate) fn next(&self, available: usize) -> Next {
        if !self.head.rest().is_empty() || self.owed > 0 {
            return Next {
                head: self.head,
                payload: self.owed.min(available),
                owed: self.owed,
                goes_on: true,
            };
        }
        let mut head = Head::EMPTY;
        let mut owed = 0;
        if !self.has_closed() {
            if let Some(pong) = &self.pong {
                head.append_control(PONG, pong.payload());
            }
            if available > 0 {
                owed = available;
                head.append_header(BINARY, available as u64);
            } else if self.closing == Closing::Wanted {
                match self.code {
                    Some(code) => head.append_control(CLOSE, &code.to_be_bytes()),
                    None => head.append_control(CLOSE, &[]),
                }
            }
        }
        Next {
            head,
            payload: owed,
            owed,
            goes_on: false,
        }
    }

    /// Of `next`, `count` bytes were written. Returns how many of them were payload.
    pub(crate) fn advance(&mut self, next: &Next, count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        if !next.goes_on {
            self.pong = None;
            if self.closing == Closing::Wanted && next.owed == 0 {
                self.closing = Closing::Sent;
            }
        }
        let of_head = count.min(next.head.rest().len());
        let of_payload = count - of_head;
        self.head = next.head;
        self.head.sent += of_head;
        self.owed = next.owed.saturating_sub(of_payload);
        of_payload
    }
}

impl Next {
    /// What goes in front of the payload.
    pub(crate) fn head(&self) -> &[u8] {
        self.head.rest()
    }

    /// How many of the bytes that are there follow.
    pub(crate) fn payload(&self) -> usize {
        self.payload
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head().is_empty() && self.payload == 0
    }
}

impl Head {
    const EMPTY: Self = Self {
        bytes: [0; HEAD],
        sent: 0,
        len: 0,
    };

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..self.len).unwrap_or_default()
    }

    fn append(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        if let Some(space) = self.bytes.get_mut(self.len..end) {
            space.copy_from_slice(part);
            self.len = end;
        }
    }

    fn append_control(&mut self, opcode: u8, payload: &[u8]) {
        self.append_header(opcode, payload.len() as u64);
        self.append(payload);
    }

    /// The header of a frame that is a message of its own.
    fn append_header(&mut self, opcode: u8, length: u64) {
        let first = FIN | opcode;
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length @ 0..=125), _) => self.append(&[first, length]),
            (_, Ok(length)) => {
                self.append(&[first, 126]);
                self.append(&length.to_be_bytes());
            }
            _ => {
                self.append(&[first, 127]);
                self.append(&length.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests;
