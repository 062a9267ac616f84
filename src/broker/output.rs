//! Encoded bytes on their way to one socket.
//!
//! They lie in chunks, so that a long backlog is neither moved nor grown in one piece. Chunks come
//! from a small pool of the thread and go back to it: a connection that has nothing to say holds none,
//! and those in use stay in the cache.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::link::Written;

/// A chunk that holds as much takes no further packet.
const CHUNK: usize = 64 * 1024;

/// Chunks that a thread keeps, and bytes in all of them: a backlog that has left is not to be held
/// for good.
const POOLED: usize = 64;
const POOLED_BYTES: usize = 1024 * 1024;

/// Bytes from which on a write is worth its system call at once.
const WORTH_A_WRITE: usize = 1024;

/// Bytes from which on a write that was put off falls to whoever appends.
const WELL_FILLED: usize = 16 * 1024;

/// The largest chunk worth keeping.
const POOLED_CAPACITY: usize = 2 * CHUNK;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

/// Empty chunks to use again.
struct Pool {
    chunks: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            bytes: 0,
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let chunk = self.chunks.pop().unwrap_or_default();
        self.bytes -= chunk.capacity();
        chunk
    }

    fn keep(&mut self, mut chunk: Vec<u8>) {
        let bytes = self.bytes + chunk.capacity();
        if self.chunks.len() < POOLED && bytes <= POOLED_BYTES {
            chunk.clear();
            self.chunks.push(chunk);
            self.bytes = bytes;
        }
    }
}

/// An empty buffer to encode into.
pub(super) fn pooled() -> Vec<u8> {
    POOL.with_borrow_mut(Pool::take)
}

/// Takes a buffer back.
pub(super) fn recycle(chunk: Vec<u8>) {
    if (1..=POOLED_CAPACITY).contains(&chunk.capacity()) {
        POOL.with_borrow_mut(|pool| pool.keep(chunk));
    }
}

/// Bytes composed and not yet written, and who is to write them.
#[derive(Default)]
pub(super) struct Output {
    /// The chunk that is appended to; the last one.
    last: Vec<u8>,
    /// Those before it, oldest first.
    full_chunks: VecDeque<Vec<u8>>,
    /// Bytes at the front of the oldest chunk that were written already.
    written: usize,
    /// Bytes in `full_chunks`.
    behind: usize,
    /// Bytes that a writer took away and has not reported on.
    taken: usize,
    /// Answers to the peer's own packets among the bytes, until all is written.
    answers: usize,
    /// Whether somebody is about to write.
    pub(super) held: Held,
    /// A task is writing; others only append.
    pub(super) writing: bool,
    /// The socket takes no more; the owner writes when it does.
    pub(super) full: bool,
    /// A write failed; the owner ends the connection when it has read what is left.
    pub(super) broken: bool,
}

/// Whether an outbox is in somebody's set of dirty ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Held {
    #[default]
    Nowhere,
    /// In the set of a turn, which writes it.
    ByTurn,
    /// In that of a turn which put the write off to the next.
    ForNextTurn,
}

/// Chunks that a writer took, and how much of the first had been written before.
pub(super) struct Batch {
    chunks: VecDeque<Vec<u8>>,
    last: Vec<u8>,
    written: usize,
}

impl Output {
    /// Where encoders append.
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.last.len() >= CHUNK {
            // A backlog: the next chunk will be filled as well and need not grow up to it.
            let mut next = pooled();
            next.reserve(CHUNK + CHUNK / 4);
            self.behind += self.last.len();
            self.full_chunks
                .push_back(std::mem::replace(&mut self.last, next));
        } else if self.last.capacity() == 0 {
            self.last = pooled();
        }
        &mut self.last
    }

    /// Makes room for `bytes` that come in several packets, so that a chunk of large ones does not
    /// grow, and move, with each.
    #[cold]
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.buffer().reserve(bytes.min(CHUNK));
    }

    /// Appends answers to the peer's own packets.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        self.answers += bytes.len();
        self.buffer().extend_from_slice(bytes);
    }

    /// Bytes that wait for the socket.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.behind + self.last.len() - self.written + self.taken
    }

    /// Bytes of unsent answers, at most.
    pub(super) fn unsent_answers(&self) -> usize {
        self.answers
    }

    /// Whether somebody has to be found who writes: there are bytes, and nobody is about to.
    #[inline]
    pub(super) fn needs_writer(&self) -> bool {
        let is_awaited = match self.held {
            Held::Nowhere => false,
            Held::ByTurn => true,
            Held::ForNextTurn => self.len() < WELL_FILLED,
        };
        !is_awaited && !self.writing && !self.full && !self.broken
    }

    /// Puts the write off to the next turn of the task that holds this, if it is hardly worth its
    /// system call yet. Answers to the peer's own packets do not wait. Returns whether it did.
    pub(super) fn put_off(&mut self) -> bool {
        let may_wait = self.len() < WORTH_A_WRITE && self.answers == 0;
        if may_wait {
            self.held = Held::ForNextTurn;
        }
        may_wait
    }

    /// Takes the bytes for a write, if there are any and nobody else writes.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.writing || self.broken || self.behind + self.last.len() == self.written {
            return None;
        }
        self.writing = true;
        self.taken = self.behind + self.last.len() - self.written;
        self.behind = 0;
        Some(Batch {
            chunks: std::mem::take(&mut self.full_chunks),
            last: std::mem::take(&mut self.last),
            written: std::mem::take(&mut self.written),
        })
    }

    /// Puts back what a write left, in front of what was appended meanwhile.
    pub(super) fn put_back(&mut self, batch: Batch, outcome: Outcome) {
        self.writing = false;
        self.taken = 0;
        self.full |= outcome == Outcome::Full;
        self.broken |= outcome == Outcome::Broken;
        let Batch {
            mut chunks,
            last,
            written,
        } = batch;
        if !last.is_empty() {
            chunks.push_back(last);
        } else {
            recycle(last);
        }
        if outcome == Outcome::Broken {
            chunks.clear();
        }
        if chunks.is_empty() {
            if self.last.is_empty() && self.full_chunks.is_empty() {
                self.answers = 0;
            }
            return;
        }
        self.written = written;
        self.behind += chunks.iter().map(Vec::len).sum::<usize>();
        chunks.append(&mut self.full_chunks);
        self.full_chunks = chunks;
    }

    /// What waits for a write that nobody has begun, without the first `skip` bytes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn unwritten(&self, skip: usize) -> Vec<u8> {
        let mut skip = self.written + skip;
        let mut bytes = Vec::new();
        for chunk in self.full_chunks.iter().chain([&self.last]) {
            bytes.extend_from_slice(chunk.get(skip..).unwrap_or_default());
            skip = skip.saturating_sub(chunk.len());
        }
        bytes
    }

    /// What is left when the connection ends.
    pub(super) fn into_unwritten(mut self) -> Vec<u8> {
        let batch = Batch {
            chunks: std::mem::take(&mut self.full_chunks),
            last: std::mem::take(&mut self.last),
            written: self.written,
        };
        batch.into_bytes()
    }
}

/// How a write of a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All was taken, or the link asks for another try.
    Done,
    /// The socket is full.
    Full,
    /// Somebody else writes the rest.
    Deferred,
    Broken,
}

impl Batch {
    /// Writes chunk by chunk until the link takes no more. What was taken goes back to the pool.
    pub(super) fn write(&mut self, mut write: impl FnMut(&[u8]) -> Written) -> Outcome {
        loop {
            let chunk = match self.chunks.front() {
                Some(chunk) => chunk,
                None => &self.last,
            };
            let rest = chunk.get(self.written..).unwrap_or_default();
            let (taken, outcome) = match write(rest) {
                Written::Bytes(taken) => (taken, Outcome::Done),
                Written::Full(taken) => (taken, Outcome::Full),
                Written::Deferred => return Outcome::Deferred,
                Written::Broken => return Outcome::Broken,
            };
            self.written += taken;
            if self.written >= chunk.len() {
                self.written = 0;
                match self.chunks.pop_front() {
                    Some(chunk) => recycle(chunk),
                    None => {
                        recycle(std::mem::take(&mut self.last));
                        return outcome;
                    }
                }
            }
            if outcome != Outcome::Done || (self.chunks.is_empty() && self.last.is_empty()) {
                return outcome;
            }
        }
    }

    /// What was not written, in one piece.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let Self {
            mut chunks,
            last,
            written,
        } = self;
        chunks.push_back(last);
        let mut bytes = chunks.pop_front().unwrap_or_default();
        bytes.drain(..written.min(bytes.len()));
        for chunk in chunks {
            bytes.extend_from_slice(&chunk);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_appended_during_a_write_follow_what_it_left() {
        let mut output = Output::default();
        output.buffer().extend_from_slice(b"abcdef");
        let mut batch = output.take().unwrap();
        assert!(output.take().is_none());
        output.buffer().extend_from_slice(b"gh");
        assert_eq!(output.len(), 8);
        let outcome = batch.write(|_| Written::Full(2));
        output.put_back(batch, outcome);
        assert_eq!(output.len(), 6);
        assert!(output.full && !output.needs_writer());
        assert_eq!(output.into_unwritten(), b"cdefgh");
    }

    #[test]
    fn a_write_is_put_off_while_there_is_little_to_write() {
        let mut output = Output::default();
        output.buffer().extend_from_slice(b"abc");
        output.held = Held::ByTurn;
        assert!(output.put_off() && !output.needs_writer());
        output.buffer().extend_from_slice(&[0; WELL_FILLED]);
        assert!(output.needs_writer(), "whoever appends so much writes");
        output.held = Held::ByTurn;
        assert!(!output.put_off() && !output.needs_writer());

        let mut output = Output::default();
        output.answer(b"abc");
        assert!(!output.put_off(), "answers do not wait");
    }

    #[test]
    fn a_failed_write_leaves_nothing_to_write() {
        let mut output = Output::default();
        output.buffer().extend_from_slice(b"abc");
        let mut batch = output.take().unwrap();
        let outcome = batch.write(|_| Written::Broken);
        output.put_back(batch, outcome);
        output.buffer().extend_from_slice(b"def");
        assert!(output.take().is_none());
        assert!(!output.needs_writer());
    }

    #[test]
    fn pool_keeps_many_small_chunks_and_few_large_ones() {
        let mut pool = Pool::new();
        for _ in 0..100 {
            pool.keep(Vec::with_capacity(CHUNK));
        }
        assert_eq!(pool.chunks.len(), POOLED_BYTES / CHUNK);
        while pool.take().capacity() > 0 {}
        for _ in 0..100 {
            pool.keep(Vec::with_capacity(256));
        }
        assert_eq!(pool.chunks.len(), POOLED);
    }

    #[test]
    fn a_long_backlog_leaves_in_order_however_it_is_cut() {
        let mut output = Output::default();
        let mut expected = Vec::new();
        for n in 0..100_000u32 {
            output.buffer().extend_from_slice(&n.to_be_bytes());
            expected.extend_from_slice(&n.to_be_bytes());
        }
        let mut seen = Vec::new();
        while output.len() > 0 {
            output.full = false;
            let mut batch = output.take().unwrap();
            let mut room = 77_777;
            let outcome = batch.write(|bytes| {
                let n = bytes.len().min(room);
                seen.extend_from_slice(&bytes[..n]);
                room -= n;
                if n < bytes.len() {
                    Written::Full(n)
                } else {
                    Written::Bytes(n)
                }
            });
            output.put_back(batch, outcome);
        }
        assert_eq!(seen, expected);
    }
}
