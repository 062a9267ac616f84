//! What stands for a part of the server where there is none: for tests, fuzzing and benches.

#[cfg(any(test, feature = "internals"))]
use std::io::IoSlice;
#[cfg(test)]
use std::sync::Arc;
#[cfg(any(test, feature = "internals"))]
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(any(test, feature = "internals"))]
use parking_lot::Mutex;

#[cfg(test)]
use crate::{auth::Principal, codec::Version, message::will::Will};

#[cfg(test)]
use super::facts::{ConnectionFacts, PeerAddr};
#[cfg(test)]
use super::lifecycle::{ConnectRequest, Takeover};
#[cfg(test)]
use super::outbox::Peer;
#[cfg(any(test, feature = "internals"))]
use super::outbox::link::{Link, Mailbox, Written};
use super::schedule::Alarm;

/// For a broker whose deadlines are asked for.
pub(crate) struct NoAlarm;

impl Alarm for NoAlarm {
    fn deadline_moved(&self) {}
}

/// A link that keeps what it takes: everything, as a socket with room does, or nothing. One that is
/// full at times, or breaks, is `sim::wire::Wire`.
#[cfg(any(test, feature = "internals"))]
#[derive(Default)]
pub(crate) struct Sink {
    /// It takes nothing.
    is_full: bool,
    mailbox: Mailbox,
    taken: Mutex<Vec<u8>>,
    wakes: AtomicUsize,
}

#[cfg(any(test, feature = "internals"))]
impl Sink {
    #[cfg(test)]
    pub(crate) fn full() -> Self {
        Self {
            is_full: true,
            ..Self::default()
        }
    }

    /// How often the owner was woken.
    #[cfg(test)]
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }

    /// Looks at what was taken since the last call, and forgets it.
    pub(crate) fn take<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        let mut taken = self.taken.lock();
        let result = look(&taken);
        taken.clear();
        result
    }
}

#[cfg(any(test, feature = "internals"))]
impl Link for Sink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written {
        if self.is_full {
            return Written::Full(0);
        }
        let mut taken = self.taken.lock();
        let before = taken.len();
        for slice in slices {
            taken.extend_from_slice(slice);
        }
        Written::Bytes(taken.len() - before)
    }

    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

/// A CONNECT of MQTT 5 for a session that ends with its connection; a test changes what it is about.
#[cfg(test)]
pub(crate) fn connect_request<'a>(
    client_id: &'a str,
    will: &'a mut Option<Box<Will>>,
) -> ConnectRequest<'a> {
    ConnectRequest {
        client_id,
        principal: Principal::default(),
        version: Version::V5,
        clean_start: true,
        expiry: 0,
        keep_alive: 0,
        will,
        permissions: None,
        takeover: Takeover::Asked,
        peer: Peer {
            version: Version::V5,
            window: 10,
            packet_size: u32::MAX,
            topic_aliases: 0,
            problem_information: true,
            retain_as_published: true,
        },
        facts: Arc::new(ConnectionFacts::new("test", PeerAddr::Memory, None)),
    }
}
