//! The one writer of a connection over every interleaving of its threads.
//!
//! `writer.rs` and `signal.rs` of the broker are compiled here once more, with loom's lock in place of
//! the usual one, and driven by what the rest of the broker does with them: publishers that append and
//! write, a session that leaves the connection, an owner that sleeps until it is woken. In the end
//! every byte has to be on the wire, in the order in which it was appended, and nobody may wait for a
//! wake-up that does not come (loom reports that as a deadlock).
//!
//! `interleavings/run` runs it.
#![cfg(loom)]

#[path = "../../src/broker/outbox/signal.rs"]
#[allow(dead_code, unreachable_pub)]
mod signal;
mod sync;
#[path = "../../src/broker/outbox/writer.rs"]
#[allow(dead_code, unreachable_pub)]
mod writer;

#[cfg(test)]
mod model;
