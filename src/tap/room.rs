//! What rules and the journal keep of packets, and the bound on all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be kept at a time; what is beyond that is lost, as in a network that is full.
const MOST: usize = 64 * 1024 * 1024;

/// Bytes that are counted for a packet besides its own, for what it takes to keep it: a PINGREQ has two.
const PACKET: usize = 256;

/// Counts what is kept.
#[derive(Default)]
pub(super) struct Store(Arc<AtomicUsize>);

/// So many bytes of it, for as long as it lives.
pub(crate) struct Room {
    store: Arc<AtomicUsize>,
    bytes: usize,
}

/// A packet, or several, and the room for them. Whoever has a clone of it has the same bytes.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) bytes: Arc<[u8]>,
    #[expect(dead_code, reason = "it counts for as long as it is there")]
    room: Arc<Room>,
}

impl Store {
    /// Room for so many bytes, if there is any.
    pub(super) fn room(&self, bytes: usize) -> Option<Room> {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let room = Room {
            store: self.0.clone(),
            bytes,
        };
        // Without room it is dropped here, and counted no more.
        (before + bytes <= MOST).then_some(room)
    }

    /// Keeps a copy of these bytes, if there is room.
    pub(super) fn keep(&self, bytes: &[u8]) -> Option<Kept> {
        let room = self.room(PACKET + bytes.len())?;
        Some(Kept {
            bytes: bytes.into(),
            room: Arc::new(room),
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.store.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_counted_until_it_is_dropped() {
        let store = Store::default();
        let half = store.room(MOST / 2).expect("room");
        let other = store.room(MOST / 2 - PACKET - 1).expect("room");
        drop(store.keep(&[0]).expect("room"));
        assert!(store.keep(&[0, 1]).is_none());
        drop((half, other));
        let kept = store.keep(&[1, 2]).expect("room");
        let again = kept.clone();
        drop(kept);
        assert_eq!(
            (&*again.bytes, store.0.load(Ordering::Relaxed)),
            (&[1, 2][..], PACKET + 2)
        );
        drop(again);
        assert_eq!(store.0.load(Ordering::Relaxed), 0);
    }
}
