//! A connection in WebSocket frames, over whatever carries it.
//!
//! As on a plain connection, any task writes and the owner reads. What is under way in the outbound
//! direction lies behind a leaf lock that is held for one write; in the inbound direction it is the
//! owner's alone.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::broker::{Link, Mailbox, Signal, Written};
use crate::client::Input;
use crate::codec::{MAX_PACKET_SIZE, Split, split};
use crate::config::Config;
use crate::message::cause::Cause;
use crate::protocol::violation::Violation;

use super::super::socket::{Inbound, Socket};
use super::frame::{Decoded, Decoder, Encoder, End};

/// Slices of a write that need no allocation, with the head of the frame.
const SLICES: usize = 20;

/// Bytes read in one go: so many frames as they may hold are decoded before anything else happens.
const READ_SIZE: usize = 64 * 1024;

/// Bytes of a packet's fixed header, at most.
const MAX_HEADER: usize = 5;

/// What a frame costs, in bytes that could be read instead.
const FRAME_COST: usize = 20;

/// The half that anybody may write to.
pub(in super::super) struct WsLink<L> {
    inner: Arc<L>,
    outbound: Mutex<Outbound>,
}

struct Outbound {
    encoder: Encoder,
    framing: Framing,
    /// The client sends no frame any more: nothing is to be waited for once ours are sent.
    peer_ended: bool,
}

/// What goes into one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Whatever there is to write.
    Stream,
    /// One packet, of which so many bytes are still to come.
    Packet { owed: usize },
}

impl Framing {
    /// How many of the bytes behind the first `taken` of `slices` the next frame has, and those of the packet that they
    /// are of. What is not the beginning of a packet goes as it comes.
    fn next(self, slices: &[IoSlice<'_>], taken: usize, available: usize) -> (usize, usize) {
        match self {
            Self::Stream => (available, available),
            Self::Packet { owed } => {
                let owed = match owed {
                    0 => packet_len(slices, taken).unwrap_or(available),
                    owed => owed,
                };
                (owed.min(available), owed)
            }
        }
    }

    /// Of a packet that had `owed` bytes to come, `count` were written.
    fn advance(&mut self, owed: usize, count: usize) {
        if let Self::Packet { owed: left } = self
            && count > 0
        {
            *left = owed.saturating_sub(count);
        }
    }
}

/// The length of the packet that begins behind the first `skip` bytes of `slices`.
fn packet_len(slices: &[IoSlice<'_>], mut skip: usize) -> Option<usize> {
    let mut header = [0; MAX_HEADER];
    let mut have = 0;
    for slice in slices {
        let rest = slice.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(slice.len());
        for (to, byte) in header.iter_mut().skip(have).zip(rest) {
            *to = *byte;
            have += 1;
        }
    }
    let header = header.get(..have)?;
    match split(header, MAX_PACKET_SIZE).ok()? {
        Split::Frame(frame) => Some(frame.len),
        Split::Partial { needed } => Some(needed),
    }
}

/// The half that the owner reads.
pub(in super::super) struct WsInbound<I, L> {
    inner: I,
    link: Arc<WsLink<L>>,
    /// Bytes that were read together with the request for the upgrade.
    front: Bytes,
    decoder: Decoder,
    /// What ended the stream, until it is told.
    end: Option<End>,
    /// The stream of frames has ended; what follows is nothing.
    is_deaf: bool,
    /// A pong waits for the socket.
    owes_pong: bool,
}

/// Puts frames around the bytes of a connection. `front` was read from it already.
pub(in super::super) fn join<I, L: Socket>(
    config: &Config,
    front: Bytes,
    inbound: I,
    link: Arc<L>,
) -> (WsInbound<I, L>, Arc<WsLink<L>>) {
    let link = Arc::new(WsLink {
        inner: link,
        outbound: Mutex::new(Outbound {
            encoder: Encoder::default(),
            framing: match config.ws_packet_frames {
                true => Framing::Packet { owed: 0 },
                false => Framing::Stream,
            },
            peer_ended: false,
        }),
    });
    let inbound = WsInbound {
        inner: inbound,
        link: link.clone(),
        front,
        decoder: Decoder::default(),
        end: None,
        is_deaf: false,
        owes_pong: false,
    };
    (inbound, link)
}

impl<L: Socket> WsLink<L> {
    /// Writes frames, and what stands before and behind them, until all is written or the link below
    /// takes no more. With no slice, what is held back.
    fn write(&self, outbound: &mut Outbound, slices: &[IoSlice<'_>]) -> Written {
        let Outbound {
            encoder, framing, ..
        } = outbound;
        let available: usize = slices.iter().map(|slice| slice.len()).sum();
        if available > 0 && encoder.has_closed() {
            return Written::Broken;
        }
        let mut taken = 0;
        loop {
            let (wanted, owed) = framing.next(slices, taken, available - taken);
            let next = encoder.next(wanted);
            if next.is_empty() {
                break;
            }
            let mut parts: SmallVec<[IoSlice<'_>; SLICES]> = SmallVec::new();
            parts.extend(
                [IoSlice::new(next.head())]
                    .into_iter()
                    .filter(|head| !head.is_empty()),
            );
            cut(slices, taken, next.payload(), &mut parts);
            match self.inner.try_write(&parts) {
                Written::Bytes(count) => {
                    let count = encoder.advance(&next, count);
                    framing.advance(owed, count);
                    taken += count;
                }
                Written::Full(count) => {
                    let count = encoder.advance(&next, count);
                    framing.advance(owed, count);
                    return Written::Full(taken + count);
                }
                Written::Deferred if taken == 0 => return Written::Deferred,
                Written::Deferred => return Written::Bytes(taken),
                Written::Broken => return Written::Broken,
            }
        }
        match taken {
            0 => self.inner.try_write(&[]),
            taken => Written::Bytes(taken),
        }
    }

    /// The client sends no more frames. `code` is what our Close frame says to that.
    fn end(&self, code: Option<u16>) {
        let mut outbound = self.outbound.lock();
        outbound.encoder.set_code(code);
        outbound.peer_ended = true;
        if outbound.encoder.has_closed() {
            self.inner.shut_down();
        }
    }
}

/// Appends the `length` bytes behind the first `skip` of `slices` to `parts`.
fn cut<'a>(
    slices: &'a [IoSlice<'_>],
    mut skip: usize,
    mut length: usize,
    parts: &mut SmallVec<[IoSlice<'a>; SLICES]>,
) {
    for slice in slices {
        let rest = slice.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(slice.len());
        let part = rest.get(..length).unwrap_or(rest);
        length -= part.len();
        if !part.is_empty() {
            parts.push(IoSlice::new(part));
        }
    }
}

impl<L: Socket> Link for WsLink<L> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written {
        // Whoever holds it is in the middle of a write that does not wait.
        self.write(&mut self.outbound.lock(), slices)
    }

    fn wake(&self) {
        self.inner.wake();
    }

    fn mailbox(&self) -> &Mailbox {
        self.inner.mailbox()
    }
}

impl<L: Socket> Socket for WsLink<L> {
    fn signal(&self) -> &Signal {
        self.inner.signal()
    }

    fn has_input(&self) -> bool {
        self.inner.has_input()
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.poll_writable(cx)
    }

    /// Sends a Close frame. The connection below ends once the client's has come as well (RFC 6455,
    /// section 7.1.1), or at once if none is to come.
    fn shut_down(&self) {
        let mut outbound = self.outbound.lock();
        outbound.encoder.close();
        // Best effort: the peer may be gone, or take nothing any more.
        let _ = self.write(&mut outbound, &[]);
        if outbound.peer_ended {
            self.inner.shut_down();
        }
    }

    /// Sends a Close frame, and ends the outbound direction below at once.
    fn half_close(&self) {
        self.shut_down();
        self.inner.half_close();
    }

    fn reset(&self) {
        self.inner.reset();
    }
}

impl<I: Inbound, L: Socket> Inbound for WsInbound<I, L> {
    type Socket = WsLink<L>;

    fn socket(&self) -> &WsLink<L> {
        &self.link
    }

    fn read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Input {
        self.send_pong(cx);
        if let Some(end) = self.end.take() {
            return told(end);
        }
        let read = match self.read_frames(cx, buf) {
            Ok(read) => read,
            Err(input) => return input,
        };
        let frames = buf.get_mut(..read).unwrap_or_default();
        if self.is_deaf {
            return Input::Bytes {
                count: 0,
                cost: read,
            };
        }
        let Decoded { bytes, frames, end } = self.decoder.decode(frames);
        if let Some(end) = end {
            self.is_deaf = true;
            self.link.end(match end {
                End::Closed(code) => code,
                End::Fault(fault) => Some(fault.code),
            });
        } else if let Some(ping) = self.decoder.take_ping() {
            self.link.outbound.lock().encoder.pong(ping);
            self.owes_pong = true;
            self.send_pong(cx);
        }
        match end {
            Some(end) if bytes == 0 => told(end),
            end => {
                // What came before is handled before.
                self.end = end;
                Input::Bytes {
                    count: bytes,
                    cost: read + frames * FRAME_COST,
                }
            }
        }
    }
}

impl<I: Inbound, L: Socket> WsInbound<I, L> {
    /// Reads frames as they come, first those that came with the upgrade.
    fn read_frames(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Result<usize, Input> {
        if self.front.has_remaining() {
            let count = self.front.len().min(buf.len());
            self.front
                .copy_to_slice(buf.get_mut(..count).unwrap_or_default());
            return Ok(count);
        }
        let size = buf.len().min(READ_SIZE);
        match self.inner.read(cx, buf.get_mut(..size).unwrap_or_default()) {
            Input::Bytes { count, .. } => Ok(count),
            Input::Closed(cause) if !self.is_deaf => {
                let text = format!("{cause}, without a WebSocket Close frame");
                Err(Input::Closed(Cause::Lost(text.into())))
            }
            input => Err(input),
        }
    }

    /// Writes a pong that is due, now or once the socket has room.
    fn send_pong(&mut self, cx: &mut Context<'_>) {
        while self.owes_pong && self.link.poll_writable(cx).is_ready() {
            // Behind a frame of another task's it leaves with the rest of that.
            self.owes_pong = matches!(self.link.try_write(&[]), Written::Full(_));
        }
    }
}

/// What the end of the stream is to the connection.
fn told(end: End) -> Input {
    match end {
        End::Closed(code) => Input::Closed(Cause::WebSocketClose(code)),
        End::Fault(fault) => Input::Refused(Violation::protocol(fault.rule, fault.text)),
    }
}
