//! The broker's side of one network connection: how bytes leave, and how its owner is told.
//!
//! A link is owned by the task that reads the connection. Any task may write through it, one at a
//! time; the outbox's [`Writer`] sees to that. When a session leaves its connection (takeover, kick,
//! protocol error, shutdown), what was not written yet moves to the link's [`Mailbox`] as a
//! [`Farewell`], and from there on the owner alone writes.

use std::io::IoSlice;
use std::sync::Arc;

use crate::budget::{Budget, Charge, Kind};
use crate::codec::Version;
use crate::message::cause::Cause;
use crate::tap::line::Wake;

use super::chunks::Chunks;
use super::compose::{Outgoing, compose_within};
use super::writer::{self, Outcome, Writer};

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// So many bytes were taken; the socket may take more.
    Bytes(usize),
    /// So many bytes were taken and no more fit; the owner waits for room and flushes.
    Full(usize),
    /// Nothing was taken, because somebody is busy with the link; the owner flushes.
    #[cfg_attr(
        not(any(feature = "tls", test, fuzzing)),
        expect(dead_code, reason = "only TLS has a state that two may want at once")
    )]
    Deferred,
    /// The connection is broken; its owner finds out by itself.
    Broken,
}

/// A way to the peer.
pub(crate) trait Link: Send + Sync {
    /// Writes the slices, one after the other, without waiting. No slice at all: writes what the link
    /// itself holds back.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written;

    /// Tells the owner to look at its session and its mailbox.
    fn wake(&self);

    fn mailbox(&self) -> &Mailbox;
}

/// What wakes the owner of a link, for as long as there is the link.
pub(crate) fn waker(link: &Arc<dyn Link>) -> Wake {
    let link = Arc::downgrade(link);
    Box::new(move || {
        if let Some(link) = link.upgrade() {
            link.wake();
        }
    })
}

/// Holds a connection's farewell until its owner takes it.
pub(crate) type Mailbox = writer::Mailbox<Chunks, Words>;

/// The end of a connection, as its owner carries it out: what was composed and not written yet, and
/// what to say then.
pub(crate) type Farewell = writer::Retired<Chunks, Words>;

/// The last words on a connection.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) version: Version,
    /// Why it ends; `None` where there never was a session.
    pub(crate) cause: Option<Cause>,
    /// Goes with the DISCONNECT as Reason String.
    pub(crate) reason_string: Option<String>,
    /// The client's Maximum Packet Size.
    pub(crate) packet_size: usize,
    /// The outbox counts the bytes no longer; until they are written they are counted here.
    #[expect(dead_code, reason = "it counts for as long as it is there")]
    pub(in crate::broker) held: Charge,
}

impl Words {
    /// None at all: the connection just ends.
    pub(in crate::broker) fn none(version: Version, budget: Budget) -> Self {
        Self {
            version,
            cause: None,
            reason_string: None,
            packet_size: usize::MAX,
            held: Charge::none(budget, Kind::Queues),
        }
    }
}

impl Farewell {
    /// Just these bytes, and the end.
    pub(crate) fn bytes(version: Version, bytes: &[u8], budget: Budget) -> (Writer<Chunks>, Words) {
        let mut writer = Writer::<Chunks>::default();
        writer.bytes().buffer().extend_from_slice(bytes);
        (writer, Words::none(version, budget))
    }

    /// Appends DISCONNECT, where the version and the reason have one; with a Reason String if that
    /// stays within the client's Maximum Packet Size (MQTT-3.14.2-3). `show` is called with the last packets
    /// of the connection that nobody has seen: those behind so many bytes.
    pub(crate) fn compose(&mut self, show: impl FnOnce(&mut Vec<u8>, usize)) {
        let words = &self.words;
        let bytes = self.writer.bytes().buffer();
        let before = match words.cause {
            Some(_) => bytes.len(),
            // The CONNACK that refuses it is all that it gets.
            None => 0,
        };
        let reason = words.cause.as_ref().and_then(Cause::reason);
        if let Some(reason) = reason.filter(|_| words.version == Version::V5) {
            let text = words.reason_string.as_deref();
            compose_within(bytes, Version::V5, words.packet_size, text, |text| {
                Outgoing::Disconnect { reason, text }
            });
        }
        show(bytes, before);
    }

    /// Writes what is left, or as much as the link takes.
    pub(crate) fn write_to(&mut self, link: &dyn Link) -> Outcome {
        if self.writer.is_broken() {
            return Outcome::Broken;
        }
        if self.writer.is_full() {
            return Outcome::Full;
        }
        let Some(mut bytes) = self.writer.take() else {
            return Outcome::Done;
        };
        let outcome = bytes.write_to(link);
        self.writer.report(bytes, outcome);
        outcome
    }

    /// A copy of what is left, once no other task writes any more.
    #[cfg(test)]
    pub(crate) fn unwritten(&self) -> Option<Vec<u8>> {
        (!self.writer.is_writing()).then(|| self.writer.waiting().copy(0))
    }
}
