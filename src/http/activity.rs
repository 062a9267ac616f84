//! What each connection is doing and since when, so that none is kept that does nothing, and so that
//! the one that has kept its place longest gives way when all places are taken.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::protocol::wrong_door::Spoken;

/// A request may take so many times the idle limit, from its head to the end of its answer, however
/// busy the client is with it: a byte now and then is not enough to stay.
const REQUEST_LIMITS: u32 = 6;

/// For so long a connection keeps its place whatever happens: a request that is sent at once is
/// answered within.
const GRACE: Duration = Duration::from_millis(100);

/// A longer idle limit is as good as none.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A request is awaited, or its head has not all come.
    Head,
    /// A part of a body is awaited.
    Body,
    /// The broker is at work: nobody waits for the client.
    Work,
    /// The answer is on its way.
    Answer,
}

/// One connection.
pub(super) struct Activity {
    state: Mutex<State>,
    idle_limit: Duration,
    give_way: Notify,
    /// What the first bytes that came say is spoken.
    spoken: OnceLock<Option<Spoken>>,
}

struct State {
    step: Step,
    /// When the step that is a request, or the wait for one, began.
    since: Instant,
    /// When a byte moved, or the wait for one began.
    moved: Instant,
    /// Whether it was told to give way.
    gives_way: bool,
    /// Whether the stream took no more bytes.
    is_blocked: bool,
    /// What the request may take beyond others, because it asks to wait.
    patience: Duration,
    /// Wakes whoever reads, to whom the end of the stream is not told yet.
    reader: Option<Waker>,
}

impl State {
    /// Whether the end of the stream is told once the answer was handed over. A client that says that it will send no
    /// more has asked, and reads the answer; one that asked to wait, or has not sent all of its body, has gone away.
    fn answers_first(&self) -> bool {
        matches!(self.step, Step::Work | Step::Answer) && self.patience.is_zero()
    }

    /// Has the end of the stream told, if it was kept back.
    fn tell_end(&mut self) {
        if !self.answers_first()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// No byte moved for as long as the limit allows.
    Idle,
    /// One request took longer than any may.
    Request,
    /// Others wait for its place.
    GaveWay,
}

impl Expired {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Idle => "no byte moved for too long",
            Self::Request => "one request took too long",
            Self::GaveWay => "it gave way to others",
        }
    }
}

impl Activity {
    pub(super) fn new(idle_limit: Duration) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            state: Mutex::new(State {
                step: Step::Head,
                since: now,
                moved: now,
                gives_way: false,
                is_blocked: false,
                patience: Duration::ZERO,
                reader: None,
            }),
            idle_limit: idle_limit.min(LONGEST),
            give_way: Notify::new(),
            spoken: OnceLock::new(),
        })
    }

    /// What the client speaks, if it said so with its first bytes.
    pub(super) fn spoken(&self) -> Option<Spoken> {
        self.spoken.get().copied().flatten()
    }

    /// Waits until the connection is to be closed.
    pub(super) async fn expired(&self) -> Expired {
        loop {
            let due = match self.due(Instant::now()) {
                Ok(due) => due,
                Err(expired) => return expired,
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.give_way.notified() => return Expired::GaveWay,
            }
        }
    }

    /// When to look again.
    fn due(&self, now: Instant) -> Result<Instant, Expired> {
        let state = self.state.lock();
        let idle = match state.step {
            Step::Work => now + self.idle_limit,
            Step::Head | Step::Body | Step::Answer => state.moved + self.idle_limit,
        };
        let request = match state.step {
            Step::Head => idle,
            Step::Body | Step::Work | Step::Answer => {
                state.since + self.idle_limit * REQUEST_LIMITS + state.patience
            }
        };
        if idle <= now {
            Err(Expired::Idle)
        } else if request <= now {
            Err(Expired::Request)
        } else {
            Ok(idle.min(request))
        }
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        let mut state = self.state.lock();
        state.step = Step::Work;
        state.since = Instant::now();
        state.patience = Duration::ZERO;
    }

    /// The request that has come waits for something in the broker, for so long: that does not count.
    pub(super) fn grant(&self, patience: Duration) {
        let mut state = self.state.lock();
        state.patience = patience;
        state.tell_end();
    }

    /// More of its body is awaited.
    fn wait_for_body(&self) {
        let mut state = self.state.lock();
        if state.step == Step::Work {
            state.step = Step::Body;
            state.moved = Instant::now();
            state.tell_end();
        }
    }

    /// More of its body has come.
    fn take_body(&self) {
        let mut state = self.state.lock();
        if state.step == Step::Body {
            state.step = Step::Work;
        }
    }

    /// Its answer is to be written.
    fn answer(&self) {
        let mut state = self.state.lock();
        state.step = Step::Answer;
        state.moved = Instant::now();
    }

    /// Its answer was handed over, or given up.
    fn end(&self) {
        let mut state = self.state.lock();
        state.step = Step::Head;
        state.since = Instant::now();
        state.tell_end();
    }

    /// The stream has ended. Whether that is kept from whoever reads, who is woken when it is to be told.
    fn keeps_back_end(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        let keeps_back = state.answers_first();
        state.reader = keeps_back.then(|| cx.waker().clone());
        keeps_back
    }

    fn has_moved(&self) {
        self.state.lock().moved = Instant::now();
    }

    /// Whether the client of a connection that is to be closed may leave unread what it was sent.
    pub(super) fn is_unread(&self, expired: Expired) -> bool {
        self.state.lock().is_blocked || expired == Expired::GaveWay
    }

    /// Since when it keeps its place without the broker being at work for it.
    fn keeps_place_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.step != Step::Work && !state.gives_way).then_some(state.since)
    }

    fn send_away(&self) {
        self.state.lock().gives_way = true;
        self.give_way.notify_one();
    }
}

/// All connections: so many at one time.
pub(super) struct Places {
    count: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    by: HashMap<u64, Arc<Activity>>,
    /// Places given so far, by which they are numbered.
    given: u64,
}

/// One connection's place, free again when this is dropped.
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
}

impl Places {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            count,
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A place for a connection, as soon as there is one. When all are taken, the connection that
    /// has kept its place longest gives way.
    pub(super) async fn take(self: &Arc<Self>, activity: &Arc<Activity>) -> Place {
        loop {
            if let Some(place) = self.try_take(activity) {
                return place;
            }
            let again = self.make_room(Instant::now());
            // Whether one was told to go or is not yet old enough to be: each end is told of.
            let _ = tokio::time::timeout_at(again, self.freed.notified()).await;
        }
    }

    fn try_take(self: &Arc<Self>, activity: &Arc<Activity>) -> Option<Place> {
        let mut taken = self.taken.lock();
        if taken.by.len() >= self.count {
            return None;
        }
        taken.given += 1;
        let number = taken.given;
        taken.by.insert(number, activity.clone());
        Some(Place {
            number,
            places: self.clone(),
        })
    }

    /// Sends the connection away that has kept its place longest. Returns when to look again.
    fn make_room(&self, now: Instant) -> Instant {
        let taken = self.taken.lock();
        let oldest = taken
            .by
            .values()
            .filter_map(|activity| Some((activity.keeps_place_since()?, activity)))
            .min_by_key(|(since, _)| *since);
        match oldest {
            Some((since, activity)) if since + GRACE <= now => {
                activity.send_away();
                now + GRACE
            }
            Some((since, _)) => since + GRACE,
            None => now + GRACE,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().by.remove(&self.number);
        self.places.freed.notify_one();
    }
}

/// A stream whose bytes are noticed as they move.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn noticed(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.state.lock().is_blocked = written.is_pending();
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.has_moved();
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        if !came.is_empty() {
            self.activity.spoken.get_or_init(|| Spoken::of(came));
            self.activity.has_moved();
        } else if room > 0 && self.activity.keeps_back_end(cx) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noticed(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.noticed(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A body, of a request or an answer, whose progress the connection knows of.
pub(super) struct Tracked<B> {
    body: B,
    activity: Arc<Activity>,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Request,
    Answer,
}

impl<B> Tracked<B> {
    pub(super) fn request(body: B, activity: Arc<Activity>) -> Self {
        Self {
            body,
            activity,
            role: Role::Request,
        }
    }

    /// The answer counts as written when the connection drops its body.
    pub(super) fn answer(body: B, activity: Arc<Activity>) -> Self {
        activity.answer();
        Self {
            body,
            activity,
            role: Role::Answer,
        }
    }
}

impl<B: hyper::body::Body + Unpin> hyper::body::Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if self.role == Role::Request {
            match frame {
                Poll::Pending => self.activity.wait_for_body(),
                Poll::Ready(_) => self.activity.take_body(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        if self.role == Role::Answer {
            self.activity.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn expires_after(activity: &Activity, at_most: Duration) -> Option<(Expired, Duration)> {
        let start = Instant::now();
        let expired = tokio::time::timeout(at_most, activity.expired()).await;
        expired.ok().map(|expired| (expired, start.elapsed()))
    }

    #[tokio::test(start_paused = true)]
    async fn connection_expires_when_no_byte_moves_in_any_step_but_work() {
        let steps: [fn(&Activity); 3] = [
            |_| {},
            |activity| {
                activity.begin();
                activity.wait_for_body();
            },
            |activity| {
                activity.begin();
                activity.answer();
            },
        ];
        for enter in steps {
            let activity = Activity::new(LIMIT);
            enter(&activity);
            tokio::time::advance(LIMIT / 2).await;
            activity.has_moved();
            let (expired, after) = expires_after(&activity, LIMIT * 2).await.expect("an end");
            assert_eq!(expired, Expired::Idle);
            assert!(
                after.abs_diff(LIMIT) < Duration::from_millis(10),
                "{after:?}"
            );
        }
        let activity = Activity::new(LIMIT);
        activity.begin();
        assert_eq!(expires_after(&activity, LIMIT * 2).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn request_that_drips_expires_all_the_same() {
        let activity = Activity::new(LIMIT);
        activity.begin();
        activity.wait_for_body();
        let dripping = activity.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LIMIT * 9 / 10).await;
                dripping.take_body();
                dripping.has_moved();
                dripping.wait_for_body();
            }
        });
        let (expired, after) = expires_after(&activity, LIMIT * 100).await.expect("an end");
        assert_eq!(expired, Expired::Request);
        assert!(after <= LIMIT * REQUEST_LIMITS + GRACE, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn oldest_connection_gives_way_when_all_places_are_taken() {
        let places = Places::new(2);
        let [old, new, late] = [0; 3].map(|_| Activity::new(LIMIT));
        let old_place = places.take(&old).await;
        let _new_place = places.take(&new).await;
        tokio::time::advance(GRACE).await;
        // It has just been answered.
        old.begin();
        old.answer();
        old.end();
        let waiting = {
            let (places, late) = (places.clone(), late.clone());
            tokio::spawn(async move { places.take(&late).await })
        };
        assert_eq!(new.expired().await, Expired::GaveWay);
        assert!(!waiting.is_finished(), "the place is not free yet");
        drop(old_place);
        waiting.await.expect("a place");
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_the_broker_works_for_does_not_give_way() {
        let places = Places::new(1);
        let (busy, late) = (Activity::new(LIMIT), Activity::new(LIMIT));
        let _place = places.take(&busy).await;
        busy.begin();
        let waiting = tokio::time::timeout(LIMIT / 2, places.take(&late));
        assert!(waiting.await.is_err());
        busy.answer();
        let waiting = tokio::time::timeout(LIMIT / 2, places.take(&late));
        let (expired, waited) = tokio::join!(busy.expired(), waiting);
        assert_eq!(expired, Expired::GaveWay);
        assert!(waited.is_err(), "its place was not dropped");
    }
}
