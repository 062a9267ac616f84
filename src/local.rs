//! Publishing and subscribing in the same process.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::time::Instant;

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use futures_core::Stream;
use parking_lot::Mutex;

#[cfg(feature = "http")]
use crate::broker::Session;
use crate::broker::{Dirty, LOCAL, Link, LocalSession, Mailbox, OutsideMessage, Written};
use crate::codec::{
    self, DecodeError, Frame, MessageProperties, Packet, PacketId, PublishProperties, QoS,
    ReasonCode, RetainHandling, Sender, Split, SubscribeOptions, Version,
};
use crate::engine::Engine;
use crate::message::publication::{self, remaining_expiry};
use crate::protocol::rules;
use crate::protocol::violation::Violation;

/// Messages that wait for the program; more stay in the broker, bounded as for any client.
const WAITING: usize = 1024;

/// The same in bytes of their payloads.
const WAITING_BYTES: usize = 1 << 20;

/// A message that a [`Subscription`] received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The topic it was published to.
    pub topic: String,
    /// The Application Message.
    pub payload: Bytes,
    /// The QoS it was delivered at.
    pub qos: QoS,
    /// Whether it was published as retained, or came because of this subscription.
    pub retain: bool,
    /// Content Type, if the publisher gave one.
    pub content_type: Option<String>,
    /// Response Topic, if the publisher gave one.
    pub response_topic: Option<String>,
    /// Correlation Data, if the publisher gave some.
    pub correlation_data: Option<Bytes>,
    /// User Properties in the publisher's order.
    pub user_properties: Vec<(String, String)>,
    /// How long it is worth delivering, in seconds, of which a part counts as one; of a message that was
    /// received, what is left of that.
    pub expiry: Option<Duration>,
    /// Whether the payload is said to be UTF-8.
    pub is_utf8: bool,
}

/// Whom a message reached that this program published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reached {
    /// Clients and subscriptions of this program with a plain filter that matches.
    pub subscribers: usize,
    /// Shared groups that match; one member of each gets it.
    pub groups: usize,
}

impl Message {
    /// A message of QoS 0, not retained, without properties.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
            expiry: None,
            is_utf8: false,
        }
    }

    /// The same message with a Message Expiry Interval.
    #[must_use]
    pub fn with_expiry(self, expiry: Duration) -> Self {
        Self {
            expiry: Some(expiry),
            ..self
        }
    }

    /// The same message with a payload that is said to be UTF-8.
    #[must_use]
    pub fn as_utf8(self) -> Self {
        Self {
            is_utf8: true,
            ..self
        }
    }

    /// The same message with a Content Type.
    #[must_use]
    pub fn with_content_type(self, content_type: impl Into<String>) -> Self {
        Self {
            content_type: Some(content_type.into()),
            ..self
        }
    }

    /// The same message with a Response Topic, and Correlation Data for the response.
    #[must_use]
    pub fn with_response(self, topic: impl Into<String>, correlation_data: Option<Bytes>) -> Self {
        Self {
            response_topic: Some(topic.into()),
            correlation_data,
            ..self
        }
    }

    /// The same message with a further User Property.
    #[must_use]
    pub fn with_user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user_properties.push((name.into(), value.into()));
        self
    }

    /// The same message at another QoS.
    #[must_use]
    pub fn with_qos(self, qos: QoS) -> Self {
        Self { qos, ..self }
    }

    /// The same message, to be kept for later subscriptions.
    #[must_use]
    pub fn retained(self) -> Self {
        Self {
            retain: true,
            ..self
        }
    }

    /// A message that the broker has, as it was published; of its expiry, what is left.
    pub(crate) fn of(message: &publication::Message, now: Instant) -> Self {
        let payload = Bytes::from(message.payload().to_vec());
        let bare = Self {
            qos: message.qos(),
            retain: message.retain(),
            expiry: remaining_expiry(message.expires_at(), now).map(seconds),
            ..Self::new(message.topic(), payload)
        };
        match PublishProperties::parse(message.properties()) {
            Ok(properties) => bare.with_properties(&properties),
            // What is kept was read before.
            Err(_) => bare,
        }
    }

    /// The same message with the properties of a packet but the Message Expiry Interval.
    fn with_properties(self, properties: &PublishProperties<'_>) -> Self {
        let owned = |text: &str| text.to_owned();
        Self {
            content_type: properties.content_type.map(owned),
            response_topic: properties.response_topic.map(owned),
            correlation_data: properties.correlation_data.map(Bytes::copy_from_slice),
            user_properties: properties
                .user_properties()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            is_utf8: properties.payload_format_is_utf8,
            ..self
        }
    }

    /// Publishes the message on behalf of nobody.
    pub(crate) fn publish(&self, engine: &Engine) -> Result<Reached, Refused> {
        let broker = &engine.broker;
        let context = broker.context(engine.clock.now());
        let mut dirty = Dirty::default();
        let message = OutsideMessage {
            topic: &self.topic,
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            properties: MessageProperties {
                content_type: self.content_type.as_deref(),
                response_topic: self.response_topic.as_deref(),
                correlation_data: self.correlation_data.as_deref(),
                user_properties: &self.user_properties,
                // What is longer than the property can say never expires as far as anybody will know.
                message_expiry: self.expiry.map(|time| {
                    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
                    u32::try_from(seconds).unwrap_or(u32::MAX)
                }),
                payload_format_is_utf8: self.is_utf8.then_some(true),
            },
        };
        let mut publishing = broker.publish_message(&message, &context, &mut dirty)?;
        while !broker.go_on_publishing(&mut publishing, &context, &mut dirty) {
            broker.flush_some(usize::MAX, &context, &mut dirty);
            dirty.begin_turn();
        }
        broker.flush_all(&context, dirty);
        let reach = publishing.reach(&broker.config().limits)?;
        Ok(Reached {
            subscribers: reach.subscribers,
            groups: reach.groups,
        })
    }
}

/// Why a subscription or a publish in the same process was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
#[non_exhaustive]
pub struct Refused {
    /// What a client on the network would be told.
    pub reason: ReasonCode,
    /// What is wrong.
    pub text: String,
}

impl Refused {
    /// A filter that cannot be used.
    pub(crate) fn filter(text: String) -> Self {
        Self {
            reason: ReasonCode::TopicFilterInvalid,
            text,
        }
    }
}

impl From<Violation> for Refused {
    fn from(violation: Violation) -> Self {
        Self {
            reason: violation.reason,
            text: violation.text.into_owned(),
        }
    }
}

/// A subscription in the same process. Dropping it unsubscribes.
///
/// A message of QoS 1 or 2 counts as acknowledged once [`next`](Self::next) returned it: a shared
/// group hands what was not taken to its other members. It is a [`Stream`] of messages, too.
pub struct Subscription(Subscriber);

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) fn open(engine: Arc<Engine>, filter: &str, qos: QoS) -> Result<Self, Refused> {
        // A filter that is refused leaves no trace of a client.
        rules::check_filter(filter, engine.broker.config())?;
        let id = format!("local-{}", engine.broker.uuid());
        let subscriber = Subscriber::open(engine, &id, LOCAL)?;
        let options = SubscribeOptions {
            qos,
            no_local: false,
            retain_as_published: true,
            retain_handling: RetainHandling::Send,
        };
        subscriber.subscribe(filter, options, None)?;
        Ok(Self(subscriber))
    }

    /// The next message; `None` once the broker has stopped or ended the subscription, and all that had
    /// arrived was taken.
    ///
    /// Cancel-safe: a message is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let arrived = self.0.poll_arrived(cx);
        arrived.map(|arrived| arrived.map(|arrived| arrived.message))
    }

    /// The next message if there is one already.
    pub fn take(&mut self) -> Option<Message> {
        self.0.take().map(|arrived| arrived.message)
    }
}

impl Stream for Subscription {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.get_mut().poll_message(cx)
    }
}

/// A client of this process: a session with any number of subscriptions, whose messages one task takes. It ends
/// when it is dropped.
pub(crate) struct Subscriber {
    engine: Arc<Engine>,
    inbox: Arc<Inbox>,
    local: LocalSession,
}

impl Subscriber {
    /// A session of this Client Identifier; `listener` is what stands for its listener.
    pub(crate) fn open(
        engine: Arc<Engine>,
        client_id: &str,
        listener: &'static str,
    ) -> Result<Self, Refused> {
        let inbox = Arc::new(Inbox::default());
        let link: Arc<dyn Link> = inbox.clone();
        let broker = &engine.broker;
        let context = broker.context(engine.clock.now());
        let mut dirty = Dirty::default();
        let opened = broker.open_local(client_id, listener, &link, &context, &mut dirty);
        broker.flush_all(&context, dirty);
        let local = opened?;
        Ok(Self {
            engine,
            inbox,
            local,
        })
    }

    /// Subscribes, or changes the options of what it subscribes to already; `id` is the Subscription Identifier.
    pub(crate) fn subscribe(
        &self,
        filter: &str,
        options: SubscribeOptions,
        id: Option<u32>,
    ) -> Result<(), Refused> {
        let broker = &self.engine.broker;
        let context = broker.context(self.engine.clock.now());
        let mut dirty = Dirty::default();
        let subscribed =
            broker.subscribe_local(&self.local, filter, options, id, &context, &mut dirty);
        broker.flush_all(&context, dirty);
        subscribed.map_err(Refused::from)
    }

    /// Ends a subscription. Whether there was one.
    #[cfg(feature = "http")]
    pub(crate) fn unsubscribe(&self, filter: &str) -> Result<bool, Refused> {
        let broker = &self.engine.broker;
        let context = broker.context(self.engine.clock.now());
        let mut dirty = Dirty::default();
        let ended = broker.unsubscribe_local(&self.local, filter, &context, &mut dirty);
        broker.flush_all(&context, dirty);
        ended.map_err(Refused::from)
    }

    /// Its session.
    #[cfg(feature = "http")]
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.local.session
    }

    /// The next message; `None` as [`Subscription::next`] has it.
    pub(crate) fn poll_arrived(&self, cx: &mut Context<'_>) -> Poll<Option<Arrived>> {
        if let Some(arrived) = self.take() {
            return Poll::Ready(Some(arrived));
        }
        self.inbox.waker.register(cx.waker());
        // From here on nothing comes unnoticed.
        match self.take() {
            Some(arrived) => Poll::Ready(Some(arrived)),
            None if self.inbox.mailbox.is_retired() || self.is_broken() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Whether nothing more can arrive: what was written could not be read.
    fn is_broken(&self) -> bool {
        self.engine.broker.output_state(&self.local.session).broken
    }

    /// The next message if there is one already. It counts as acknowledged.
    fn take(&self) -> Option<Arrived> {
        let arrived = self.inbox.pop();
        let broker = &self.engine.broker;
        let context = broker.context(self.engine.clock.now());
        let mut dirty = Dirty::default();
        if let Some(Arrived {
            message,
            id: Some(id),
            ..
        }) = &arrived
        {
            broker.acknowledge_local(&self.local, *id, message.qos, &context, &mut dirty);
        }
        let session = &self.local.session;
        let refill = self.inbox.has_room() && broker.output_state(session).full;
        if refill {
            broker.socket_has_room(session);
            broker.flush(session, &context, &mut dirty);
        }
        broker.flush_all(&context, dirty);
        match arrived {
            None if refill => self.take(),
            arrived => arrived,
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let broker = &self.engine.broker;
        let context = broker.context(self.engine.clock.now());
        let mut dirty = Dirty::default();
        broker.close_local(&self.local, &context, &mut dirty);
        broker.flush_all(&context, dirty);
    }
}

/// A message that a client of this process has got.
pub(crate) struct Arrived {
    pub(crate) message: Message,
    #[cfg(feature = "http")]
    pub(crate) dup: bool,
    /// The identifiers of the subscriptions that it came for.
    #[cfg(feature = "http")]
    pub(crate) subscription_ids: Vec<u32>,
    id: Option<PacketId>,
}

/// A link that ends in memory.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
    mailbox: Mailbox,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Arrived>,
    /// Bytes of their payloads.
    bytes: usize,
    /// The beginning of a packet that came in several writes.
    partial: Vec<u8>,
}

impl Inbox {
    fn pop(&self) -> Option<Arrived> {
        let mut waiting = self.waiting.lock();
        let arrived = waiting.messages.pop_front()?;
        waiting.bytes -= arrived.message.payload.len();
        Some(arrived)
    }

    fn has_room(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.messages.len() <= WAITING / 2 && waiting.bytes <= WAITING_BYTES / 2
    }
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.messages.len() >= WAITING || self.bytes >= WAITING_BYTES
    }

    /// Takes some of `bytes`, which are not empty: a packet, or as much of one as there is. Returns how
    /// many.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, DecodeError> {
        if self.partial.is_empty() {
            return match codec::split(bytes, codec::MAX_PACKET_SIZE)? {
                Split::Frame(frame) => {
                    self.take_packet(&frame)?;
                    Ok(frame.len)
                }
                Split::Partial { .. } => {
                    self.partial.extend_from_slice(bytes);
                    Ok(bytes.len())
                }
            };
        }
        let needed = match codec::split(&self.partial, codec::MAX_PACKET_SIZE)? {
            Split::Partial { needed } => needed,
            Split::Frame(frame) => frame.len,
        };
        let missing = needed.saturating_sub(self.partial.len());
        let more = bytes.get(..missing).unwrap_or(bytes);
        self.partial.extend_from_slice(more);
        let partial = std::mem::take(&mut self.partial);
        match codec::split(&partial, codec::MAX_PACKET_SIZE)? {
            Split::Frame(frame) => self.take_packet(&frame)?,
            Split::Partial { .. } => self.partial = partial,
        }
        Ok(more.len())
    }

    fn take_packet(&mut self, frame: &Frame<'_>) -> Result<(), DecodeError> {
        if let Packet::Publish(publish) = codec::decode_from(Sender::Server, frame, Version::V5)? {
            self.bytes += publish.payload.len();
            self.messages.push_back(arrived(&publish));
        }
        Ok(())
    }
}

impl Link for Inbox {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written {
        let mut waiting = self.waiting.lock();
        let mut taken = 0;
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                if waiting.is_full() {
                    return Written::Full(taken);
                }
                // The broker composes sound packets. Bytes that are none would be handed in again and
                // again, and a message that is passed over would keep its place in the window for good.
                let Ok(count) = waiting.take(rest) else {
                    tracing::error!("an in-process subscription ends: its packets cannot be read");
                    return Written::Broken;
                };
                taken += count;
                rest = rest.get(count..).unwrap_or_default();
            }
        }
        drop(waiting);
        self.waker.wake();
        Written::Bytes(taken)
    }

    fn wake(&self) {
        self.waker.wake();
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

fn arrived(publish: &codec::Publish<'_>) -> Arrived {
    let message = Message::new(publish.topic, Bytes::copy_from_slice(publish.payload));
    Arrived {
        #[cfg(feature = "http")]
        dup: publish.dup,
        #[cfg(feature = "http")]
        subscription_ids: publish.properties.subscription_ids().collect(),
        id: publish.packet_id,
        message: Message {
            qos: publish.qos,
            retain: publish.retain,
            expiry: publish.properties.message_expiry.map(seconds),
            ..message.with_properties(&publish.properties)
        },
    }
}

fn seconds(expiry: u32) -> Duration {
    Duration::from_secs(expiry.into())
}

#[cfg(test)]
mod tests {
    use crate::codec::OutgoingPublish;

    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let packet = OutgoingPublish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "t".as_bytes(),
            packet_id: None,
            topic_alias: None,
            message_expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload: payload.into(),
        };
        packet.encode(Version::V5, &mut bytes);
        bytes
    }

    fn write(inbox: &Inbox, bytes: &[u8]) -> Written {
        inbox.try_write(&[IoSlice::new(bytes)])
    }

    /// A writer that is told of neither progress nor failure comes again with the same bytes, for ever.
    #[test]
    fn bytes_that_are_no_packet_break_the_link() {
        let malformed: [&[u8]; 3] = [
            // A Remaining Length of five bytes.
            &[0x30, 0x80, 0x80, 0x80, 0x80, 0x01],
            // A topic that runs past the end of the packet.
            &[0x30, 3, 0, 9, b't'],
            &[0x00, 0],
        ];
        for bytes in malformed {
            let inbox = Inbox::default();
            let after_a_message = [&packet(b"x"), bytes].concat();
            assert_eq!(
                write(&inbox, &after_a_message),
                Written::Broken,
                "{bytes:02x?}"
            );
            assert!(inbox.pop().is_some(), "what came before is there");
            assert!(inbox.pop().is_none());
        }
    }

    #[test]
    fn packets_are_put_together_however_they_are_cut() {
        let bytes = [packet(&[b'x'; 300]), packet(b"y")].concat();
        for size in [1, 2, 3, 7, 150, 1000] {
            let inbox = Inbox::default();
            for part in bytes.chunks(size) {
                let halves = part.split_at(part.len() / 2);
                let slices = [IoSlice::new(halves.0), IoSlice::new(halves.1)];
                assert_eq!(inbox.try_write(&slices), Written::Bytes(part.len()));
            }
            let payloads =
                [inbox.pop(), inbox.pop()].map(|arrived| arrived.unwrap().message.payload);
            assert_eq!((payloads[0].len(), &*payloads[1]), (300, b"y".as_slice()));
            assert!(inbox.pop().is_none());
        }
    }

    #[test]
    fn full_inbox_takes_whole_packets_and_says_how_many_bytes() {
        let inbox = Inbox::default();
        let one = packet(b"x");
        let bytes = one.repeat(WAITING + 1);
        assert_eq!(write(&inbox, &bytes), Written::Full(one.len() * WAITING));
        assert_eq!(write(&inbox, &one), Written::Full(0));
        assert!(inbox.pop().is_some());
        assert_eq!(write(&inbox, &one), Written::Bytes(one.len()));

        let inbox = Inbox::default();
        let large = packet(&vec![b'x'; WAITING_BYTES]);
        assert_eq!(write(&inbox, &large), Written::Bytes(large.len()));
        assert_eq!(
            write(&inbox, &one),
            Written::Full(0),
            "payloads are bounded too"
        );
        assert!(inbox.pop().is_some() && inbox.has_room());
    }
}
