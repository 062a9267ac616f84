//! Subscriptions that somebody holds over HTTP: each is a client of this process, whose messages go to one stream of
//! server-sent events.
//!
//! Messages are taken, and so acknowledged, as they come, and wait in a ring for whoever reads the stream. What
//! does not fit makes room for what is newer, and the stream says how much that was: a reader that is slow or
//! asleep delays nobody.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::broker::Session;
use crate::budget::{Budget, Charge, Kind};
use crate::codec::SubscribeOptions;
use crate::local::{Arrived, Refused, Subscriber};
use crate::protocol::alias::InboundAliases;
use crate::protocol::violation::Violation;

use super::streams::{FRAME, NOTHING, NoStream, named};

/// Streams at one time, beside those of `/v1/events`.
const STREAMS: usize = 16;

/// Messages that wait for whoever reads a stream, and the same in bytes of its frames: one of them may go beyond.
const MESSAGES: usize = 500;
const BYTES: usize = 512 * 1024;

/// A stream is written to this often at most.
const PACE: Duration = Duration::from_millis(100);

/// Messages that are taken before others have a turn.
const RUN: u32 = 64;

/// All streams.
#[derive(Default)]
pub(super) struct Subscribers(Mutex<Vec<Arc<Subscription>>>);

/// One stream, and the client behind it.
pub(super) struct Subscription {
    pub(super) client_id: String,
    subscriber: Subscriber,
    /// What the topic aliases of its messages stand for.
    aliases: Mutex<InboundAliases>,
    last_id: AtomicU32,
    ring: Mutex<Ring>,
    waker: AtomicWaker,
    left: CancellationToken,
}

#[derive(Default)]
struct Ring {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Messages that made room since the last frame was taken.
    skipped: u64,
    is_closed: bool,
}

impl Ring {
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        while self.frames.len() > MESSAGES || (self.bytes > BYTES && self.frames.len() > 1) {
            self.pop();
            self.skipped += 1;
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    /// What goes out next: what was skipped, and as many messages as one frame has room for.
    fn take(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        if self.skipped > 0 {
            let count = std::mem::take(&mut self.skipped);
            out.extend_from_slice(&named("skipped", &json!({ "count": count })));
        }
        while let Some(next) = self.frames.front()
            && (out.is_empty() || out.len() + next.len() <= FRAME)
        {
            out.extend_from_slice(&self.pop()?);
        }
        (!out.is_empty()).then(|| out.into())
    }
}

impl Subscribers {
    /// A stream of a new client, which begins with `hello`.
    pub(super) fn open(
        self: &Arc<Self>,
        subscriber: Subscriber,
        client_id: String,
        hello: Bytes,
        quiet: Duration,
        budget: Budget,
    ) -> Result<(Arc<Subscription>, Events), NoStream> {
        let bytes = 2 * BYTES;
        let charge = Charge::new(budget, Kind::Http, bytes).map_err(|_| NoStream::NoMemory)?;
        let mut ring = Ring::default();
        ring.push(hello);
        let opened = Arc::new(Subscription {
            client_id,
            subscriber,
            aliases: Mutex::new(InboundAliases::new(Charge::none(budget, Kind::Http))),
            last_id: AtomicU32::new(0),
            ring: Mutex::new(ring),
            waker: AtomicWaker::new(),
            left: CancellationToken::new(),
        });
        let mut all = self.0.lock();
        if all.len() >= STREAMS {
            return Err(NoStream::TooMany);
        }
        all.push(opened.clone());
        drop(all);
        let now = Instant::now();
        let events = Events {
            subscription: opened.clone(),
            subscribers: self.clone(),
            sleep: Box::pin(sleep_until(now)),
            may_write_at: now,
            quiet_at: now + quiet,
            quiet,
            _charge: charge,
        };
        Ok((opened, events))
    }

    /// The one of this client.
    pub(super) fn find(&self, client_id: &str) -> Option<Arc<Subscription>> {
        let all = self.0.lock();
        all.iter().find(|own| own.client_id == client_id).cloned()
    }
}

impl Subscription {
    /// Subscribes; returns what `show` makes of the identifier that its messages come with. The stream says
    /// `subscribed` before any of them.
    pub(super) fn subscribe<T: Serialize>(
        &self,
        filter: &str,
        options: SubscribeOptions,
        show: impl FnOnce(u32) -> T,
    ) -> Result<T, Refused> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        // Whoever takes messages waits until it is said what they are for.
        let mut ring = self.ring.lock();
        self.subscriber.subscribe(filter, options, Some(id))?;
        let subscribed = show(id);
        ring.push(named("subscribed", &subscribed));
        drop(ring);
        self.waker.wake();
        Ok(subscribed)
    }

    /// Ends a subscription. Whether there was one.
    pub(super) fn unsubscribe(&self, filter: &str) -> Result<bool, Refused> {
        self.subscriber.unsubscribe(filter)
    }

    /// The topic of a message that comes with an alias, which stands for this topic from now on, or, where it is
    /// empty, for the one that it stood for.
    pub(super) fn resolve(
        &self,
        topic: &str,
        alias: u16,
        maximum: u16,
    ) -> Result<String, Violation> {
        let mut aliases = self.aliases.lock();
        aliases.bind(topic, alias, maximum)?;
        Ok(aliases.topic(alias).unwrap_or(topic).to_owned())
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        self.subscriber.session()
    }

    fn tell(&self, frame: Bytes) {
        self.ring.lock().push(frame);
        self.waker.wake();
    }

    /// Ends the stream once what waits has gone out.
    pub(super) fn close(&self) {
        self.ring.lock().is_closed = true;
        self.waker.wake();
    }

    /// Takes messages until its reader or its session is gone; `show` makes frames of them.
    pub(super) async fn run(&self, show: impl Fn(&Arrived) -> Bytes) {
        tokio::select! {
            biased;
            () = self.left.cancelled() => {}
            () = self.take_all(show) => {}
        }
        self.close();
    }

    async fn take_all(&self, show: impl Fn(&Arrived) -> Bytes) {
        let mut taken = 0_u32;
        while let Some(arrived) = poll_fn(|cx| self.subscriber.poll_arrived(cx)).await {
            self.tell(show(&arrived));
            taken = taken.wrapping_add(1);
            if taken.is_multiple_of(RUN) {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The body of an answer that is such a stream.
pub(super) struct Events {
    subscription: Arc<Subscription>,
    subscribers: Arc<Subscribers>,
    sleep: Pin<Box<Sleep>>,
    may_write_at: Instant,
    /// When a frame that says nothing is due, because nothing was said for `quiet`.
    quiet_at: Instant,
    quiet: Duration,
    _charge: Charge,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.subscription.waker.register(cx.waker());
        let now = Instant::now();
        let mut ring = this.subscription.ring.lock();
        let may_write = now >= this.may_write_at || ring.is_closed;
        let taken = if may_write { ring.take() } else { None };
        let is_over = taken.is_none() && ring.is_closed;
        let has_more = !ring.frames.is_empty();
        drop(ring);
        if is_over {
            return Poll::Ready(None);
        }
        let said = taken.or_else(|| (now >= this.quiet_at).then_some(NOTHING));
        if let Some(frame) = said {
            (this.may_write_at, this.quiet_at) = (now + PACE, now + this.quiet);
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        let wake_at = if has_more {
            this.may_write_at
        } else {
            this.quiet_at
        };
        this.sleep.as_mut().reset(wake_at);
        if this.sleep.as_mut().poll(cx).is_ready() {
            // It came while this was looked at.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.subscription.left.cancel();
        let mut all = self.subscribers.0.lock();
        all.retain(|other| !Arc::ptr_eq(other, &self.subscription));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_keeps_the_newest_and_says_how_many_it_skipped() {
        let mut ring = Ring::default();
        for number in 0..MESSAGES + 7 {
            ring.push(format!("<{number}>").into());
        }
        let first = ring.take().expect("frames");
        let text = String::from_utf8_lossy(&first).into_owned();
        assert!(
            text.starts_with("event: skipped\ndata: {\"count\":7}\n\n<7><8>"),
            "{text}"
        );
        assert!(text.ends_with("<506>"), "{text}");
        assert_eq!((ring.take(), ring.bytes), (None, 0));

        let large = Bytes::from(vec![b'x'; BYTES / 2 + 1]);
        for _ in 0..3 {
            ring.push(large.clone());
        }
        assert_eq!((ring.frames.len(), ring.skipped), (1, 2));
        ring.push(Bytes::from(vec![b'y'; 2 * BYTES]));
        assert_eq!(ring.frames.len(), 1, "one may go beyond");
    }
}
