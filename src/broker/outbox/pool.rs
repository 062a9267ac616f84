//! Empty chunks to use again: a connection that has nothing to say holds none, and those in use stay
//! in the cache.
//!
//! Each thread has a pool of its own. A thread that writes what others composed gathers their chunks,
//! so what overflows goes to a depot where the pools that ran dry look first.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Chunks that a thread keeps, and bytes in all of them: a backlog that has left is not to be held
/// for good.
const POOLED: usize = 64;
const POOLED_BYTES: usize = 1024 * 1024;

/// The largest chunk worth keeping.
const POOLED_CAPACITY: usize = 128 * 1024;

/// Halves of pools that lie in the depot at most, which bounds its bytes as well.
const DEPOSITS: usize = 4;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

static DEPOT: Depot = Depot::new();

/// An empty buffer to encode into.
pub(crate) fn take() -> Vec<u8> {
    POOL.with_borrow_mut(|pool| pool.take(&DEPOT))
}

/// Takes a buffer back.
pub(crate) fn keep(chunk: Vec<u8>) {
    if (1..=POOLED_CAPACITY).contains(&chunk.capacity()) {
        POOL.with_borrow_mut(|pool| pool.keep(chunk, &DEPOT));
    }
}

/// The empty chunks of a thread.
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

    fn take(&mut self, depot: &Depot) -> Vec<u8> {
        if self.chunks.is_empty() {
            depot.withdraw(self);
        }
        let chunk = self.chunks.pop().unwrap_or_default();
        self.bytes -= chunk.capacity();
        chunk
    }

    fn keep(&mut self, mut chunk: Vec<u8>, depot: &Depot) {
        if !self.has_room(chunk.capacity()) {
            depot.deposit(self);
        }
        if self.has_room(chunk.capacity()) {
            chunk.clear();
            self.bytes += chunk.capacity();
            self.chunks.push(chunk);
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.chunks.len() < POOLED && self.bytes + bytes <= POOLED_BYTES
    }

    /// Parts with the half that was used least lately.
    fn split(&mut self) -> Self {
        let recent = self.chunks.split_off(self.chunks.len() / 2);
        let chunks = std::mem::replace(&mut self.chunks, recent);
        let bytes = chunks.iter().map(Vec::capacity).sum();
        self.bytes -= bytes;
        Self { chunks, bytes }
    }
}

/// Where threads leave chunks for each other.
struct Depot {
    deposits: Mutex<Vec<Pool>>,
    /// How many there are, for those who need not lock to see that there is nothing to do.
    len: AtomicUsize,
}

impl Depot {
    const fn new() -> Self {
        Self {
            deposits: Mutex::new(Vec::new()),
            len: AtomicUsize::new(0),
        }
    }

    /// Takes half of a pool, if there is room.
    #[cold]
    fn deposit(&self, pool: &mut Pool) {
        if self.len.load(Ordering::Relaxed) >= DEPOSITS {
            return;
        }
        let mut deposits = self.deposits.lock();
        if deposits.len() < DEPOSITS {
            deposits.push(pool.split());
            self.len.store(deposits.len(), Ordering::Relaxed);
        }
    }

    /// Fills an empty pool with what another has left, if there is something.
    #[cold]
    fn withdraw(&self, pool: &mut Pool) {
        if self.len.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut deposits = self.deposits.lock();
        if let Some(deposit) = deposits.pop() {
            *pool = deposit;
            self.len.store(deposits.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = POOLED_BYTES / 16;

    #[test]
    fn keeps_many_small_chunks_and_few_large_ones() {
        let (mut pool, full) = (Pool::new(), Depot::new());
        full.len.store(DEPOSITS, Ordering::Relaxed);
        for _ in 0..100 {
            pool.keep(Vec::with_capacity(LARGE), &full);
        }
        assert_eq!(pool.chunks.len(), POOLED_BYTES / LARGE);
        let empty = Depot::new();
        while pool.take(&empty).capacity() > 0 {}
        assert_eq!(pool.bytes, 0);
        for _ in 0..100 {
            pool.keep(Vec::with_capacity(256), &full);
        }
        assert_eq!(pool.chunks.len(), POOLED);
    }

    #[test]
    fn what_one_thread_takes_and_another_keeps_comes_back() {
        let (mut composer, mut writer, depot) = (Pool::new(), Pool::new(), Depot::new());
        let mut grown = 0;
        for _ in 0..10_000 {
            let mut chunk = composer.take(&depot);
            grown += usize::from(chunk.capacity() == 0);
            chunk.extend_from_slice(&[0; 256]);
            writer.keep(chunk, &depot);
        }
        assert!(grown <= POOLED + 1, "{grown}");
    }

    #[test]
    fn the_depot_is_bounded() {
        let (mut pool, depot) = (Pool::new(), Depot::new());
        for _ in 0..10 * POOLED {
            pool.keep(Vec::with_capacity(256), &depot);
        }
        let deposits = depot.deposits.lock();
        assert_eq!(deposits.len(), DEPOSITS);
        let chunks: usize = deposits.iter().map(|pool| pool.chunks.len()).sum();
        assert!(chunks <= DEPOSITS * POOLED, "{chunks}");
    }
}
