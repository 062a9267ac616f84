//! Streams of server-sent events: pages that stay open and are told what has changed.
//!
//! A stream has one slot for each topic, and no queue: what its client has not taken is overwritten by what
//! is newer, so that a client that is slow or asleep costs a slot, and delays nobody. The [sampler](super::sampler)
//! fills the slots of all streams. It begins with the first stream and ends with the last: while nobody
//! looks there is no task and no timer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::broker::{Broker, Standing, Watching};
use crate::budget::{Charge, Kind};
use crate::engine::Engine;

/// Streams at one time, of the 256 connections that there may be.
const STREAMS: usize = 16;

/// What is put into one frame, in bytes.
pub(super) const FRAME: usize = 64 * 1024;

/// A frame that says nothing: its client sees that the connection stands, and the connection that its client
/// reads.
pub(super) const NOTHING: Bytes = Bytes::from_static(b":\n\n");

/// What a stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Hello,
    Stats,
    Clients,
    Groups,
    Topics,
    Turns,
    Journal,
}

/// As many as there are topics, of which this is the last.
const TOPICS: usize = Topic::Journal as usize + 1;

impl Topic {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Stats => "stats",
            Self::Clients => "clients",
            Self::Groups => "groups",
            Self::Topics => "topics",
            Self::Turns => "turns",
            Self::Journal => "journal",
        }
    }
}

/// What a client asks for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) stats: bool,
    pub(super) clients: bool,
    pub(super) groups: bool,
    /// The last values of topics.
    pub(super) topics: bool,
    pub(super) journal: bool,
    /// The turns of a group: its share name and filter.
    pub(super) turns: Option<(String, String)>,
}

/// One stream.
pub(super) struct Stream {
    pub(super) wanted: Wanted,
    slots: Mutex<Slots>,
    waker: AtomicWaker,
    /// What the sampler has told it.
    pub(super) told: Mutex<Told>,
}

struct Slots {
    frames: [Option<Bytes>; TOPICS],
    /// When the last frame was put in.
    filled: Instant,
    is_closed: bool,
}

/// What a stream was told last; the sampler alone looks at it.
#[derive(Default)]
pub(super) struct Told {
    pub(super) stats: bool,
    pub(super) clients: Option<u64>,
    pub(super) groups: Option<(usize, u64)>,
    pub(super) topics: Option<u64>,
    /// Keeps the last values of topics.
    pub(super) holding: Option<Holding>,
    /// `None` in it: there is no such group.
    pub(super) standing: Option<Option<Standing>>,
    pub(super) watching: Option<Watching>,
    /// Whether the journal is on, and its last row.
    pub(super) journal: Option<(bool, u64)>,
}

/// Keeps the last values of topics until this is dropped.
pub(super) struct Holding(Arc<Engine>);

impl Holding {
    pub(super) fn new(engine: &Arc<Engine>) -> Self {
        engine.broker.hold_values(engine.clock.now().now);
        Self(engine.clone())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.broker.release_values(self.0.clock.now().now);
    }
}

impl Told {
    /// Watches the group of these names, if there is one: what it does from now on is told.
    pub(super) fn watch(&mut self, broker: &Broker, share: &str, filter: &str) {
        let group = broker.group(share, filter);
        let is_watched = |group| self.watching.as_ref().is_some_and(|w| w.is_of(group));
        if !group.as_ref().is_some_and(is_watched) {
            self.watching = group.as_ref().map(|group| group.watch(broker.budget()));
        }
    }
}

impl Stream {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            slots: Mutex::new(Slots {
                frames: Default::default(),
                filled: Instant::now(),
                is_closed: false,
            }),
            waker: AtomicWaker::new(),
            told: Mutex::default(),
        }
    }

    /// Tells the client something about a topic, in the place of what it has not taken of that.
    pub(super) fn tell(&self, topic: Topic, frame: Bytes) {
        let mut slots = self.slots.lock();
        slots.filled = Instant::now();
        if let Some(slot) = slots.frames.get_mut(topic as usize) {
            *slot = Some(frame);
        }
        drop(slots);
        self.waker.wake();
    }

    /// Whether the client has taken what it was told last of a topic.
    pub(super) fn has_taken(&self, topic: Topic) -> bool {
        let slots = self.slots.lock();
        slots.frames.get(topic as usize).is_none_or(Option::is_none)
    }

    /// Sends a frame that says nothing, if there has been none since `before`.
    pub(super) fn keep_alive(&self, before: Instant) {
        let is_due = self.slots.lock().filled <= before;
        if is_due && self.has_taken(Topic::Hello) {
            self.tell(Topic::Hello, NOTHING);
        }
    }

    fn close(&self) {
        self.slots.lock().is_closed = true;
        self.waker.wake();
    }
}

/// A frame: an event of this name, with a JSON value.
pub(super) fn frame(topic: Topic, data: &impl Serialize) -> Bytes {
    named(topic.name(), data)
}

/// The same with a name of its own.
pub(super) fn named(event: &str, data: &impl Serialize) -> Bytes {
    let mut text = format!("event: {event}\ndata: ").into_bytes();
    // Keys are strings, and writing to memory succeeds. JSON has no line breaks.
    if serde_json::to_writer(&mut text, data).is_err() {
        return NOTHING;
    }
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// All streams.
#[derive(Default)]
pub(super) struct Streams(Mutex<Open>);

#[derive(Default)]
struct Open {
    streams: Vec<Arc<Stream>>,
    /// Whether the sampler runs.
    is_sampled: bool,
}

/// Why there is no stream.
#[derive(Debug)]
pub(super) enum NoStream {
    TooMany,
    NoMemory,
}

impl Streams {
    /// A further stream, which begins with `hello`, and whether somebody has to begin to sample.
    pub(super) fn open(
        self: &Arc<Self>,
        wanted: Wanted,
        hello: Bytes,
        broker: &Broker,
    ) -> Result<(Events, Option<Sampling>), NoStream> {
        // A frame that is made while the last one is written.
        let charge =
            Charge::new(broker.budget(), Kind::Http, 2 * FRAME).map_err(|_| NoStream::NoMemory)?;
        let stream = Arc::new(Stream::new(wanted));
        stream.tell(Topic::Hello, hello);
        // Now, and not with the first look: whoever comes back misses as little as can be.
        if let Some((share, filter)) = &stream.wanted.turns {
            stream.told.lock().watch(broker, share, filter);
        }
        let mut open = self.0.lock();
        if open.streams.len() >= STREAMS {
            return Err(NoStream::TooMany);
        }
        open.streams.push(stream.clone());
        let begins = !std::mem::replace(&mut open.is_sampled, true);
        drop(open);
        let events = Events {
            stream,
            streams: self.clone(),
            _charge: charge,
        };
        let sampling = begins.then(|| Sampling {
            streams: self.clone(),
            is_over: false,
        });
        Ok((events, sampling))
    }

    fn leave(&self, stream: &Arc<Stream>) {
        let mut open = self.0.lock();
        open.streams.retain(|other| !Arc::ptr_eq(other, stream));
    }
}

/// The duty to sample. Streams that there are when it is dropped before it is over end.
pub(super) struct Sampling {
    streams: Arc<Streams>,
    /// There were no streams left. Another one may have begun since.
    is_over: bool,
}

impl Sampling {
    /// The streams that there are; `None` once there are none, and this is over.
    pub(super) fn streams(&mut self) -> Option<Vec<Arc<Stream>>> {
        let mut open = self.streams.0.lock();
        if self.is_over || open.streams.is_empty() {
            open.is_sampled &= self.is_over;
            self.is_over = true;
            return None;
        }
        Some(open.streams.clone())
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        if !self.is_over {
            let mut open = self.streams.0.lock();
            open.is_sampled = false;
            open.streams.iter().for_each(|stream| stream.close());
        }
    }
}

/// The body of an answer that is a stream.
pub(super) struct Events {
    stream: Arc<Stream>,
    streams: Arc<Streams>,
    _charge: Charge,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.stream.waker.register(cx.waker());
        let mut slots = self.stream.slots.lock();
        if slots.is_closed {
            return Poll::Ready(None);
        }
        match slots.frames.iter_mut().find_map(Option::take) {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.streams.leave(&self.stream);
    }
}
