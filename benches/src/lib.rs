//! What the micro benches and the instruction counts share: packets as clients send them, and
//! scenes, which are brokers with their clients in place.

mod packets;
mod scene;

pub use packets::{PAYLOAD, connect, puback, publish, retained, subscribe};
pub use scene::{RUN, Scene};

/// As many filters as a trie may hold where its size must not show.
pub const FILTERS: usize = 10_000;
