//! Application Messages: [`Publication`] while it stands in a read buffer, [`Message`] once it has
//! to outlive it.

use std::cell::{OnceCell, RefCell};
use std::time::{Duration, Instant};

use triomphe::ThinArc;

use crate::codec::{QoS, Version};

/// An Application Message on its way through the broker, borrowed from wherever it was read.
///
/// Most messages are forwarded from here without a copy. What must wait (QoS above 0, queues,
/// retained messages) takes [`Publication::message`], which copies once, however many ask.
pub(crate) struct Publication<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    /// Property bytes as they are forwarded: without Topic Alias and Message Expiry Interval.
    pub(crate) properties: &'a [u8],
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// When the Message Expiry Interval runs out.
    pub(crate) expires_at: Option<Instant>,
    /// The whole packet and its version where its bytes may be sent on unchanged: QoS 0, DUP 0, and
    /// nothing in it that is the publisher's own (an alias) or changes (an expiry).
    pub(crate) verbatim: Option<(Version, &'a [u8])>,
    stored: OnceCell<Message>,
}

impl<'a> Publication<'a> {
    pub(crate) fn new(topic: &'a str, payload: &'a [u8], qos: QoS) -> Self {
        Self {
            topic,
            payload,
            properties: &[],
            qos,
            retain: false,
            expires_at: None,
            verbatim: None,
            stored: OnceCell::new(),
        }
    }

    /// Its bytes as they are sent, but for a few of the header.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len() + 8
    }

    /// The message in an allocation of its own, made at the first call.
    pub(crate) fn message(&self) -> &Message {
        self.stored.get_or_init(|| Message::copy(self))
    }
}

/// An Application Message in one shared allocation; a clone is a pointer.
#[derive(Clone)]
pub(crate) struct Message(ThinArc<Head, u8>);

struct Head {
    expires_at: Option<Instant>,
    properties: u32,
    topic: u16,
    qos: QoS,
    retain: bool,
}

/// What a message costs beyond its bytes, for the accounting of queues.
const OVERHEAD: usize = 48;

thread_local! {
    /// Where a message is put together before its one allocation is made.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A scratch buffer that grew beyond this is given back.
const SCRATCH_KEEP: usize = 64 * 1024;

impl Message {
    fn copy(from: &Publication<'_>) -> Self {
        let head = Head {
            expires_at: from.expires_at,
            properties: u32::try_from(from.properties.len()).unwrap_or(u32::MAX),
            topic: u16::try_from(from.topic.len()).unwrap_or(u16::MAX),
            qos: from.qos,
            retain: from.retain,
        };
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(from.topic.as_bytes());
            scratch.extend_from_slice(from.properties);
            scratch.extend_from_slice(from.payload);
            let message = Self(ThinArc::from_header_and_slice(head, scratch));
            if scratch.capacity() > SCRATCH_KEEP {
                *scratch = Vec::new();
            }
            message
        })
    }

    pub(crate) fn topic(&self) -> &str {
        let bytes = self.0.slice.get(..usize::from(self.0.header.header.topic));
        // The bytes were a str when they were copied.
        bytes
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// Property bytes to forward, Message Expiry Interval left out.
    pub(crate) fn properties(&self) -> &[u8] {
        let head = &self.0.header.header;
        let from = usize::from(head.topic);
        self.0
            .slice
            .get(from..from + head.properties as usize)
            .unwrap_or_default()
    }

    pub(crate) fn payload(&self) -> &[u8] {
        let head = &self.0.header.header;
        self.0
            .slice
            .get(usize::from(head.topic) + head.properties as usize..)
            .unwrap_or_default()
    }

    /// The QoS it was published at.
    pub(crate) fn qos(&self) -> QoS {
        self.0.header.header.qos
    }

    /// The RETAIN flag it was published with.
    pub(crate) fn retain(&self) -> bool {
        self.0.header.header.retain
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.0.header.header.expires_at
    }

    /// Whether the Message Expiry Interval has run out (MQTT-3.3.2-5).
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// Bytes that this message holds, for the bounds of queues.
    pub(crate) fn footprint(&self) -> usize {
        self.0.slice.len() + OVERHEAD
    }

    /// Whether both are the same publication, not merely equal.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.slice.as_ptr(), other.0.slice.as_ptr())
    }

    /// The message as a publication of its own, as a retained or queued one goes out again.
    pub(crate) fn publication(&self) -> Publication<'_> {
        Publication {
            topic: self.topic(),
            payload: self.payload(),
            properties: self.properties(),
            qos: self.qos(),
            retain: self.retain(),
            expires_at: self.expires_at(),
            verbatim: None,
            stored: OnceCell::from(self.clone()),
        }
    }
}

/// The Message Expiry Interval to send: what is left, in seconds, rounded up, so that a message
/// that did not wait keeps its full interval (MQTT-3.3.2-6).
pub(crate) fn remaining_expiry(expires_at: Option<Instant>, now: Instant) -> Option<u32> {
    let left = expires_at?.saturating_duration_since(now);
    let secs = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    Some(u32::try_from(secs).unwrap_or(u32::MAX))
}

/// When a Message Expiry Interval of `secs` that starts `now` runs out.
pub(crate) fn expiry_deadline(secs: u32, now: Instant) -> Option<Instant> {
    now.checked_add(Duration::from_secs(u64::from(secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_topic_properties_and_payload_apart() {
        let mut publication = Publication::new("a/b", b"payload", QoS::AtLeastOnce);
        publication.properties = b"props";
        let message = publication.message();
        assert_eq!(message.topic(), "a/b");
        assert_eq!(message.properties(), b"props");
        assert_eq!(message.payload(), b"payload");
        assert!(message.is_same(publication.message()));
    }

    #[test]
    fn expiry_counts_whole_seconds_that_passed() {
        let now = Instant::now();
        let at = expiry_deadline(10, now);
        assert_eq!(remaining_expiry(at, now), Some(10));
        assert_eq!(
            remaining_expiry(at, now + Duration::from_millis(2500)),
            Some(8)
        );
        assert_eq!(remaining_expiry(at, now + Duration::from_secs(11)), Some(0));
        assert_eq!(remaining_expiry(None, now), None);
    }
}
