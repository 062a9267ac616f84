//! Encoded bytes on their way to one socket.
//!
//! Buffers come from a small pool of the thread and go back to it, so that a connection that has
//! nothing to say holds none, and the buffers in use stay in the cache.

use std::cell::RefCell;

use super::link::Written;

const POOLED: usize = 64;
const POOLED_CAPACITY: usize = 256 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn pooled() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

fn recycle(mut buffer: Vec<u8>) {
    if (1..=POOLED_CAPACITY).contains(&buffer.capacity()) {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < POOLED {
                buffer.clear();
                pool.push(buffer);
            }
        });
    }
}

/// Bytes composed and not yet written, and who is to write them.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Bytes at the front that were written already.
    written: usize,
    /// Bytes that a writer took away and has not reported on.
    taken: usize,
    /// Answers to the peer's own packets among the bytes, until all is written.
    answers: usize,
    /// Somebody holds this outbox in a set of dirty ones.
    pub(super) dirty: bool,
    /// A task is writing; others only append.
    pub(super) writing: bool,
    /// The socket takes no more; the owner writes when it does.
    pub(super) full: bool,
    /// A write failed; the owner ends the connection when it has read what is left.
    pub(super) broken: bool,
}

impl Output {
    /// Where encoders append.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = pooled();
        }
        &mut self.bytes
    }

    /// Appends answers to the peer's own packets.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        self.answers += bytes.len();
        self.buffer().extend_from_slice(bytes);
    }

    /// Bytes that wait for the socket.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written + self.taken
    }

    /// Bytes of unsent answers, at most.
    pub(super) fn unsent_answers(&self) -> usize {
        self.answers
    }

    /// Whether somebody has to be found who writes: there are bytes, and nobody is about to.
    pub(super) fn needs_writer(&self) -> bool {
        !self.dirty && !self.writing && !self.full && !self.broken
    }

    /// Takes the bytes for a write, if there are any and nobody else writes.
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, usize)> {
        if self.writing || self.broken || self.bytes.len() == self.written {
            return None;
        }
        self.writing = true;
        let written = std::mem::take(&mut self.written);
        let bytes = std::mem::take(&mut self.bytes);
        self.taken = bytes.len() - written;
        Some((bytes, written))
    }

    /// Puts back what a write left.
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>, mut from: usize, outcome: Written) {
        self.writing = false;
        self.taken = 0;
        match outcome {
            Written::Bytes(n) => from += n,
            Written::Full(n) => {
                from += n;
                self.full = true;
            }
            Written::Deferred => {}
            Written::Broken => {
                self.broken = true;
                from = bytes.len();
            }
        }
        if from >= bytes.len() {
            recycle(bytes);
            if self.bytes.is_empty() {
                self.answers = 0;
            }
            return;
        }
        // Written bytes are shed once they outweigh the rest: amortised, each byte moves once.
        if from > bytes.len() / 2 {
            bytes.drain(..from);
            from = 0;
        }
        bytes.extend_from_slice(&self.bytes);
        recycle(std::mem::replace(&mut self.bytes, bytes));
        self.written = from;
    }

    /// What is left when the connection ends.
    pub(super) fn into_unwritten(mut self) -> Vec<u8> {
        self.bytes.drain(..self.written);
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_appended_during_a_write_follow_what_it_left() {
        let mut output = Output::default();
        output.buffer().extend_from_slice(b"abcdef");
        let (bytes, from) = output.take().unwrap();
        assert!(output.take().is_none());
        output.buffer().extend_from_slice(b"gh");
        assert_eq!(output.len(), 8);
        output.put_back(bytes, from, Written::Full(2));
        assert_eq!(output.len(), 6);
        assert!(output.full && !output.needs_writer());
        assert_eq!(output.into_unwritten(), b"cdefgh");
    }

    #[test]
    fn a_failed_write_leaves_nothing_to_write() {
        let mut output = Output::default();
        output.buffer().extend_from_slice(b"abc");
        let (bytes, from) = output.take().unwrap();
        output.put_back(bytes, from, Written::Broken);
        output.buffer().extend_from_slice(b"def");
        assert!(output.take().is_none());
        assert!(!output.needs_writer());
    }
}
