//! Bytes that were read and not handled: an incomplete packet, or what a turn left.
//!
//! A packet that fits the thread's read buffer is put together there: its beginning waits in a *tail*
//! of its size. A larger one is assembled in pieces that are never moved; the payload of a PUBLISH goes
//! on to its receivers in them. Both are charged to the broker's budget before they grow, so a
//! connection whose packet finds no room is not read from.

use crate::budget::{Budget, Charge, Full, Kind};

use super::turn::READ_SIZE;

/// What a connection may hold of an incomplete packet although there is no room: so much of it is read
/// at a time, and small packets go on flowing.
const WITHOUT_ROOM: usize = 4 * 1024;

/// A tail up to this size is read on behind, in the thread's buffer; a longer one grows by itself.
const SHORT_TAIL: usize = 16 * 1024;

/// Bytes of each piece of a large packet.
const PIECE: usize = 256 * 1024;

/// What of it there is, which mostly is nothing. Boxed, because an idle connection has none.
#[derive(Default)]
pub(super) struct Pending {
    held: Option<Box<Held>>,
}

struct Held {
    tail: Vec<u8>,
    /// Bytes that the packet at the front needs in all, as far as that is known.
    needed: u32,
    /// There may be whole packets in the tail.
    has_packets: bool,
    /// Boxed, because hardly a client sends any.
    large: Option<Box<Large>>,
    /// Bytes of the tail that packet rules have let pass.
    passed: u32,
    charge: Charge,
}

/// A packet that is larger than the thread's read buffer.
struct Large {
    pieces: Vec<Vec<u8>>,
    /// Bytes in all of them.
    len: usize,
}

/// Where to read to.
pub(super) enum Space<'a> {
    /// Into the thread's buffer, behind the tail that was copied to its front.
    Scratch(&'a mut [u8]),
    /// Into a piece of a large packet.
    Piece(&'a mut [u8]),
}

impl Pending {
    fn held(&mut self, budget: Budget) -> &mut Held {
        self.held.get_or_insert_with(|| Box::new(Held::new(budget)))
    }

    /// Whether an incomplete packet is there.
    pub(super) fn is_partial(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_partial())
    }

    /// Bytes that were read and not handled, of packets that fit the thread's buffer.
    pub(super) fn waiting(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.tail.len())
    }

    /// Takes what was read before, if there may be whole packets in it.
    pub(super) fn take_packets(&mut self) -> Option<Bytes<'static>> {
        self.held.as_mut()?.take_packets()
    }

    /// Bytes at the front that packet rules have let pass.
    pub(super) fn passed(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.passed())
    }

    /// Has what waits handled although nothing has come: there is more to be put in front of it.
    pub(super) fn prompt(&mut self, budget: Budget) {
        let held = self.held(budget);
        held.has_packets |= held.large.is_none();
    }

    /// Puts together what is to be handled from an input: what rules have let pass before, packets that they
    /// release, and what `pass` lets pass of the rest. It is given bytes and where to append, and returns how
    /// many it has looked at; a packet that is not whole stays as it is.
    pub(super) fn admit(
        &mut self,
        input: &[u8],
        released: &[u8],
        budget: Budget,
        pass: impl FnOnce(&[u8], &mut Vec<u8>) -> usize,
    ) -> Vec<u8> {
        self.held(budget).admit(input, released, pass)
    }

    /// Where the next bytes go. Fails if there is no room for them.
    pub(super) fn space<'a>(
        &'a mut self,
        scratch: &'a mut [u8],
        budget: Budget,
    ) -> Result<Space<'a>, Full> {
        if let Some(held) = &mut self.held {
            return held.space(scratch);
        }
        let room = match budget.has_room(Kind::Packets, READ_SIZE) {
            true => READ_SIZE,
            false => WITHOUT_ROOM,
        };
        let end = scratch.len().min(room);
        scratch.get_mut(..end).map(Space::Scratch).ok_or(Full)
    }

    /// Takes note of `count` bytes that were read into a piece. Returns the packet once it is whole.
    pub(super) fn extend_large(&mut self, count: usize) -> Option<LargePacket> {
        let packet = self.held.as_mut()?.extend_large(count);
        self.held.take_if(|held| held.is_empty());
        packet
    }

    /// Puts the tail in front of the `count` bytes that were read behind it. Returns the input to
    /// handle, or `None` while a long packet grows.
    pub(super) fn input<'a>(&mut self, scratch: &'a mut [u8], count: usize) -> Option<Bytes<'a>> {
        match &mut self.held {
            Some(held) => held.input(scratch, count),
            None => scratch.get(..count).map(Bytes::Borrowed),
        }
    }

    /// Keeps what is left of an input; `needed` as [`Received`](super::machine::Received) has it: 0 where it
    /// may begin with a whole packet.
    pub(super) fn keep(
        &mut self,
        input: Bytes<'_>,
        consumed: usize,
        needed: usize,
        budget: Budget,
    ) {
        if self.held.is_none() && consumed >= input.len() {
            return;
        }
        self.held(budget).keep(input, consumed, needed);
        self.held.take_if(|held| held.is_empty());
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.held = None;
    }
}

impl Held {
    fn new(budget: Budget) -> Self {
        Self {
            tail: Vec::new(),
            needed: 0,
            has_packets: false,
            large: None,
            passed: 0,
            charge: Charge::none(budget, Kind::Packets),
        }
    }

    fn is_empty(&self) -> bool {
        let has_none = self.tail.is_empty() && self.large.is_none();
        has_none && self.passed == 0 && !self.has_packets
    }

    fn is_partial(&self) -> bool {
        self.large.is_some() || (!self.tail.is_empty() && !self.has_packets)
    }

    fn take_packets(&mut self) -> Option<Bytes<'static>> {
        let has_packets = std::mem::take(&mut self.has_packets);
        has_packets.then(|| Bytes::Owned(self.take_tail()))
    }

    fn passed(&self) -> usize {
        self.passed as usize
    }

    fn needed(&self) -> usize {
        self.needed as usize
    }

    fn admit(
        &mut self,
        input: &[u8],
        released: &[u8],
        pass: impl FnOnce(&[u8], &mut Vec<u8>) -> usize,
    ) -> Vec<u8> {
        let (passed, new) = input
            .split_at_checked(self.passed())
            .unwrap_or((input, &[]));
        let mut admitted = [passed, released].concat();
        let looked_at = pass(new, &mut admitted);
        self.passed = counted(admitted.len());
        admitted.extend_from_slice(new.get(looked_at..).unwrap_or_default());
        admitted
    }

    fn take_tail(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail)
    }

    fn space<'a>(&'a mut self, scratch: &'a mut [u8]) -> Result<Space<'a>, Full> {
        if self.needed() > READ_SIZE && self.large.is_none() {
            self.begin_large()?;
        }
        if self.large.is_some() {
            return self.piece().map(Space::Piece);
        }
        let mut room = READ_SIZE;
        if !self.charge.has_room(READ_SIZE) {
            room = WITHOUT_ROOM.checked_sub(self.tail.len()).ok_or(Full)?;
            if room == 0 {
                return Err(Full);
            }
        }
        let front = self.front();
        let end = scratch.len().min(front + room);
        scratch.get_mut(front..end).map(Space::Scratch).ok_or(Full)
    }

    /// Bytes of the tail that go in front of what is read; a long one grows by itself.
    fn front(&self) -> usize {
        match self.tail.len() <= SHORT_TAIL {
            true => self.tail.len(),
            false => 0,
        }
    }

    /// The beginning of a large packet becomes its first piece.
    fn begin_large(&mut self) -> Result<(), Full> {
        let pieces = self.tail.len().div_ceil(PIECE).max(1);
        self.charge.grow(pieces * PIECE)?;
        let tail = self.take_tail();
        self.charge.shrink(tail.capacity());
        let mut large = Large {
            pieces: Vec::new(),
            len: tail.len(),
        };
        for part in tail.chunks(PIECE) {
            let mut piece = vec![0; PIECE];
            if let Some(front) = piece.get_mut(..part.len()) {
                front.copy_from_slice(part);
            }
            large.pieces.push(piece);
        }
        self.large = Some(Box::new(large));
        Ok(())
    }

    /// The part of the last piece, or of a new one, that is to be read to.
    fn piece(&mut self) -> Result<&mut [u8], Full> {
        let Some(large) = &mut self.large else {
            return Err(Full);
        };
        if large.len == large.pieces.len() * PIECE {
            let size = PIECE.min(self.needed as usize - large.len);
            self.charge.grow(size)?;
            large.pieces.push(vec![0; size]);
        }
        let used = large.len % PIECE;
        let left = self.needed as usize - large.len;
        let piece = large.pieces.last_mut().map(Vec::as_mut_slice);
        let space = piece
            .unwrap_or_default()
            .get_mut(used..)
            .unwrap_or_default();
        let end = space.len().min(left);
        space.get_mut(..end).ok_or(Full)
    }

    fn extend_large(&mut self, count: usize) -> Option<LargePacket> {
        let large = self.large.as_mut()?;
        large.len += count;
        if large.len < self.needed as usize {
            return None;
        }
        let Large { mut pieces, len } = *self.large.take()?;
        if let Some(last) = pieces.last_mut() {
            last.truncate(len - (len - 1) / PIECE * PIECE);
        }
        self.needed = 0;
        let charge = self.charge.take();
        Some(LargePacket { pieces, charge })
    }

    fn input<'a>(&mut self, scratch: &'a mut [u8], count: usize) -> Option<Bytes<'a>> {
        let front = self.front();
        if front == self.tail.len() {
            let input = scratch.get_mut(..front + count)?;
            input.get_mut(..front)?.copy_from_slice(&self.tail);
            self.tail.clear();
            return Some(Bytes::Borrowed(input));
        }
        self.tail.extend_from_slice(scratch.get(..count)?);
        match self.tail.len() < self.needed() {
            true => {
                self.settle();
                None
            }
            false => Some(Bytes::Owned(self.take_tail())),
        }
    }

    fn keep(&mut self, input: Bytes<'_>, consumed: usize, needed: usize) {
        let is_used_up = consumed >= input.len();
        self.passed = self.passed.saturating_sub(counted(consumed));
        self.needed = counted(needed);
        self.has_packets = needed == 0 && !is_used_up;
        match input {
            // An idle connection keeps no buffer.
            _ if is_used_up => self.tail = Vec::new(),
            // A packet that is handled in part stays where it is.
            Bytes::Owned(mut bytes) => {
                bytes.drain(..consumed);
                self.tail = bytes;
            }
            Bytes::Borrowed(bytes) => {
                self.tail.clear();
                let rest = bytes.get(consumed..).unwrap_or_default();
                self.tail.extend_from_slice(rest);
            }
        }
        self.settle();
    }

    /// Charges what is held now. It was read already; a read asks for room before it.
    fn settle(&mut self) {
        if self.large.is_none() {
            // What is allocated counts, which is up to twice what has arrived.
            self.charge.set(self.tail.capacity());
        }
    }
}

/// So many bytes in the half of a word. No packet has more.
fn counted(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Bytes to handle.
pub(super) enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
}

/// A packet in pieces, of which none is empty.
pub(super) struct LargePacket {
    pub(super) pieces: Vec<Vec<u8>>,
    pub(super) charge: Charge,
}

impl std::ops::Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}
