//! Encoded bytes on their way to one socket, in the order they were composed.
//!
//! They lie in chunks, so that a long backlog is neither moved nor grown in one piece. Chunks come
//! from a [`pool`] and go back to it. Who may take and write them is [`writer`](super::writer)'s.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::ControlFlow;

use smallvec::SmallVec;

use crate::message::publication::Message;

use super::link::{Link, Written};
use super::pool;
use super::writer::{Bytes, Outcome};

/// A chunk that holds as much takes no further packet.
const CHUNK: usize = 64 * 1024;

/// Bytes that one write takes before others get their turn.
const WRITE: usize = 256 * 1024;

/// Chunks that one system call writes.
const SLICES: usize = 16;

/// Bytes that were composed and not written yet.
#[derive(Default)]
pub(crate) struct Chunks {
    /// The chunk that is appended to; the last one.
    last: Vec<u8>,
    /// Those before it. Boxed, because few outboxes have any.
    before: Option<Box<Before>>,
    /// Bytes at the front of the oldest chunk that were written already; none is as large as this can count.
    written: u32,
    /// A write has left something, so that what is appended may lie here for long: it gets memory of
    /// its own size, and none from the pool.
    waits: bool,
}

/// The chunks that take no further packet.
#[derive(Default)]
struct Before {
    /// Oldest first; one at least.
    chunks: VecDeque<Chunk>,
    /// Bytes in them.
    len: usize,
    /// Bytes of those that lie in messages, which many outboxes may refer to.
    shared: usize,
}

impl Before {
    fn push(&mut self, chunk: Chunk) {
        self.len += chunk.len();
        self.shared += chunk.shared();
        self.chunks.push_back(chunk);
    }

    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len();
        self.shared -= chunk.shared();
        Some(chunk)
    }
}

/// A part of what was composed.
enum Chunk {
    Own(Vec<u8>),
    /// The payload of a message.
    Shared(Message),
}

impl Chunk {
    fn len(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.len(),
            Self::Shared(message) => message.payload().len(),
        }
    }

    fn shared(&self) -> usize {
        match self {
            Self::Own(_) => 0,
            Self::Shared(message) => message.payload().len(),
        }
    }

    fn recycle(self) {
        if let Self::Own(bytes) = self {
            pool::keep(bytes);
        }
    }

    /// Calls `f` with its pieces, without the first `skip` bytes, until that says to stop.
    fn visit<'c>(
        &'c self,
        mut skip: usize,
        mut f: impl FnMut(&'c [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (own, shared) = match self {
            Self::Own(bytes) => (Some(bytes.as_slice()), None),
            Self::Shared(message) => (None, Some(message.payload().pieces())),
        };
        for piece in own.into_iter().chain(shared.into_iter().flatten()) {
            if let Some(rest) = piece.get(skip..).filter(|rest| !rest.is_empty()) {
                f(rest)?;
            }
            skip = skip.saturating_sub(piece.len());
        }
        ControlFlow::Continue(())
    }
}

impl Chunks {
    /// Where encoders append.
    #[inline]
    pub(in crate::broker) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.last.len() >= CHUNK || self.last.capacity() == 0 {
            self.begin();
        }
        &mut self.last
    }

    /// Begins a chunk.
    #[cold]
    fn begin(&mut self) {
        let mut next = self.empty();
        if self.last.capacity() == 0 {
            self.last = next;
            return;
        }
        // A backlog: the next chunk will be filled as well and need not grow up to it.
        next.reserve(CHUNK + CHUNK / 4);
        self.push_last(next);
    }

    fn empty(&self) -> Vec<u8> {
        match self.waits {
            true => Vec::new(),
            false => pool::take(),
        }
    }

    /// Closes the chunk that is appended to; `next` takes its place.
    fn push_last(&mut self, next: Vec<u8>) {
        let last = std::mem::replace(&mut self.last, next);
        self.push_before(Chunk::Own(last));
    }

    /// Appends the payload of a message without copying it.
    pub(in crate::broker) fn refer_to(&mut self, message: Message) {
        if !self.last.is_empty() {
            self.push_last(Vec::new());
        }
        self.push_before(Chunk::Shared(message));
    }

    fn push_before(&mut self, chunk: Chunk) {
        self.before.get_or_insert_default().push(chunk);
    }

    /// Makes room for `bytes` that come in several packets, so that a chunk of large ones does not
    /// grow, and move, with each.
    #[inline]
    pub(in crate::broker) fn reserve(&mut self, bytes: usize) {
        self.buffer().reserve(bytes.min(CHUNK));
    }

    /// Writes to `link` until it takes no more or enough was written in one go. What it took goes
    /// back to the pool.
    pub(crate) fn write_to(&mut self, link: &dyn Link) -> Outcome {
        let mut left = WRITE;
        while self.len() > 0 {
            if left == 0 {
                return Outcome::More;
            }
            let (taken, outcome) = match self.write_once(link) {
                Written::Bytes(taken) => (taken, None),
                Written::Full(taken) => (taken, Some(Outcome::Full)),
                Written::Deferred => (0, Some(Outcome::Deferred)),
                Written::Broken => (0, Some(Outcome::Broken)),
            };
            self.advance(taken);
            left = left.saturating_sub(taken);
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
        Outcome::Done
    }

    fn write_once(&self, link: &dyn Link) -> Written {
        let mut room = WRITE;
        let mut slices: SmallVec<[IoSlice<'_>; SLICES]> = SmallVec::new();
        // Enough is as good as all of it.
        let _ = self.visit(self.written as usize, |piece| {
            let piece = piece.get(..room).unwrap_or(piece);
            room -= piece.len();
            slices.push(IoSlice::new(piece));
            match slices.len() == SLICES || room == 0 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        link.try_write(&slices)
    }

    /// Calls `f` with what waits, piece by piece, without the first `skip` bytes of it.
    fn visit<'c>(
        &'c self,
        mut skip: usize,
        mut f: impl FnMut(&'c [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for chunk in self.before.iter().flat_map(|before| &before.chunks) {
            chunk.visit(skip, &mut f)?;
            skip = skip.saturating_sub(chunk.len());
        }
        match self.last.get(skip..) {
            Some(rest) if !rest.is_empty() => f(rest),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Lets go of `taken` bytes at the front.
    fn advance(&mut self, taken: usize) {
        let mut written = self.written as usize + taken;
        if let Some(before) = &mut self.before {
            while let Some(chunk) = before.chunks.front() {
                let len = chunk.len();
                if written < len {
                    self.written = u32::try_from(written).unwrap_or(u32::MAX);
                    return;
                }
                written -= len;
                before.pop().into_iter().for_each(Chunk::recycle);
            }
            self.before = None;
        }
        if written >= self.last.len() {
            written = 0;
            self.waits = false;
            pool::keep(std::mem::take(&mut self.last));
        }
        self.written = u32::try_from(written).unwrap_or(u32::MAX);
    }

    /// A copy of what waits, without the first `skip` bytes.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn copy(&self, skip: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.visit(self.written as usize + skip, |piece| {
            bytes.extend_from_slice(piece);
            ControlFlow::Continue(())
        });
        bytes
    }
}

impl Bytes for Chunks {
    #[inline]
    fn len(&self) -> usize {
        let before = self.before.as_ref().map_or(0, |before| before.len);
        before + self.last.len() - self.written as usize
    }

    #[inline]
    fn held(&self) -> usize {
        let before = self.before.as_ref();
        before.map_or(0, |before| before.len - before.shared) + self.last.len()
    }

    fn put_back(&mut self, front: Self) {
        let Self {
            mut before,
            last,
            written,
            waits: _,
        } = front;
        if last.is_empty() {
            pool::keep(last);
        } else {
            let last = Chunk::Own(fitting(last));
            before.get_or_insert_default().push(last);
        }
        let Some(mut before) = before else {
            return;
        };
        self.waits = true;
        debug_assert_eq!(self.written, 0, "only the front is ever written");
        self.written = written;
        for chunk in self.before.take().into_iter().flat_map(|own| own.chunks) {
            before.push(chunk);
        }
        self.before = Some(before);
    }
}

/// A chunk that waits, in memory of about its size: the pool's may be much larger.
fn fitting(mut chunk: Vec<u8>) -> Vec<u8> {
    if chunk.capacity() > 2 * chunk.len() {
        chunk.shrink_to_fit();
    }
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_takes_memory_of_its_size() {
        let mut chunks = Chunks {
            last: Vec::with_capacity(CHUNK),
            ..Chunks::default()
        };
        chunks.buffer().extend_from_slice(&[1; 100]);
        let taken = std::mem::take(&mut chunks);
        chunks.put_back(taken);
        chunks.buffer().extend_from_slice(&[2; 100]);
        let capacity: usize = match &chunks.before.as_ref().unwrap().chunks[0] {
            Chunk::Own(bytes) => bytes.capacity() + chunks.last.capacity(),
            Chunk::Shared(_) => 0,
        };
        assert!((200..1000).contains(&capacity), "{capacity}");
        assert_eq!(chunks.held(), 200);
        chunks.advance(200);
        assert!(!chunks.waits && chunks.len() == 0);
    }

    #[test]
    fn a_long_backlog_leaves_in_order_however_it_is_cut() {
        let mut chunks = Chunks::default();
        let mut expected = Vec::new();
        for n in 0..100_000u32 {
            chunks.buffer().extend_from_slice(&n.to_be_bytes());
            expected.extend_from_slice(&n.to_be_bytes());
        }
        let mut seen = Vec::new();
        let mut cuts = [1, 77_777, 64 * 1024, 3, 100_000].into_iter().cycle();
        while chunks.len() > 0 {
            let mut taken = std::mem::take(&mut chunks);
            let cut = cuts.next().unwrap_or(1).min(taken.len());
            seen.extend_from_slice(&taken.copy(0)[..cut]);
            taken.advance(cut);
            chunks.put_back(taken);
            assert_eq!(seen.len() + chunks.len(), expected.len());
        }
        assert_eq!(seen, expected);
    }
}
