//! The broker's side of one network connection: how bytes leave, and how its owner is told.
//!
//! A link is owned by the task that reads the connection. Any task may write through it, one at a
//! time; the outbox's `writing` flag sees to that. When a session leaves its connection (takeover,
//! kick, protocol error, shutdown), what was not written yet moves to the link's [`Mailbox`] as a
//! [`Farewell`], and from there on the owner alone writes.

use parking_lot::Mutex;

use crate::codec::{ReasonCode, Version};

use super::budget::Held;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// So many bytes were taken; the socket may take more.
    Bytes(usize),
    /// So many bytes were taken and no more fit; the owner waits for room and flushes.
    Full(usize),
    /// Nothing was taken; the owner, or whoever holds the link's lock, flushes.
    Deferred,
    /// The connection is broken; its owner finds out by itself.
    Broken,
}

/// A way to the peer.
pub(crate) trait Link: Send + Sync {
    /// Writes without waiting.
    fn try_write(&self, bytes: &[u8]) -> Written;

    /// Tells the owner to look at its session and its mailbox.
    fn wake(&self);

    fn mailbox(&self) -> &Mailbox;
}

/// The end of a connection, as its owner carries it out.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) version: Version,
    /// What was composed and not written yet.
    pub(crate) bytes: Vec<u8>,
    /// The DISCONNECT to send, if any.
    pub(crate) reason: Option<ReasonCode>,
    /// Goes with the DISCONNECT as Reason String.
    pub(crate) reason_string: Option<String>,
    /// The client's Maximum Packet Size.
    pub(crate) packet_size: usize,
    /// Another task is in the middle of a write and will return what is left.
    pub(super) writing: bool,
    /// The outbox counts the bytes no longer; until they are written they are counted here.
    #[expect(dead_code, reason = "it counts for as long as it is there")]
    pub(super) held: Option<Held>,
}

impl Farewell {
    /// Just these bytes, and the end.
    pub(super) fn bytes(version: Version, bytes: Vec<u8>) -> Self {
        Self {
            version,
            bytes,
            reason: None,
            reason_string: None,
            packet_size: usize::MAX,
            writing: false,
            held: None,
        }
    }
}

/// Holds a connection's farewell until its owner takes it.
#[derive(Default)]
pub(crate) struct Mailbox(Mutex<Option<Farewell>>);

impl Mailbox {
    pub(super) fn retire(&self, farewell: Farewell) {
        *self.0.lock() = Some(farewell);
    }

    /// A write that was under way when the connection retired has ended.
    pub(super) fn return_unwritten(&self, unwritten: &[u8]) {
        if let Some(farewell) = &mut *self.0.lock() {
            farewell.bytes.splice(0..0, unwritten.iter().copied());
            farewell.writing = false;
        }
    }

    /// The farewell, once no other task writes any more.
    pub(crate) fn take(&self) -> Option<Farewell> {
        self.0.lock().take_if(|farewell| !farewell.writing)
    }

    /// What is left to write, once no other task writes any more.
    #[cfg(test)]
    pub(crate) fn peek_bytes(&self) -> Option<Vec<u8>> {
        let farewell = self.0.lock();
        let farewell = farewell.as_ref().filter(|farewell| !farewell.writing);
        farewell.map(|farewell| farewell.bytes.clone())
    }

    /// The reason that the farewell gives, if there is one.
    pub(crate) fn peek_reason(&self) -> Option<Option<ReasonCode>> {
        self.0.lock().as_ref().map(|farewell| farewell.reason)
    }

    /// Whether the session has left this connection.
    pub(crate) fn is_retired(&self) -> bool {
        self.0.lock().is_some()
    }
}
