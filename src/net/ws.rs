//! MQTT over WebSocket (MQTT-6.0.0-1 to -4): the upgrade, then a task that moves bytes between frames
//! and the broker.
//!
//! Frames need an owner that keeps their order, so nobody else writes here: a flush by another task
//! only wakes this one, once per batch.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_websockets::{CloseCode, Limits, Message, ServerBuilder, WebSocketStream};

use crate::broker::{
    Connection, ConnectionFacts, Dirty, Farewell, Flow, Link, Mailbox, Signal, Written,
};

use crate::conn::violation::Violation;

use super::{Shared, users};

/// The only path that is served.
const PATH: &str = "/mqtt";

/// The subprotocol that client and server agree on (MQTT-6.0.0-3).
const SUBPROTOCOL: &str = "mqtt";

/// Largest frame before the client has connected, and the least that is allowed after.
const FRAME_SIZE: usize = 256 * 1024;

/// Bytes that one turn reads, and what a frame counts besides its payload.
const READ_SIZE: usize = 64 * 1024;
const FRAME_COST: usize = 16;

/// For the last frames and the closing handshake.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A link that only its owner writes to.
#[derive(Default)]
struct WsLink {
    signal: Signal,
    mailbox: Mailbox,
}

impl Link for WsLink {
    fn try_write(&self, _slices: &[io::IoSlice<'_>]) -> Written {
        Written::Deferred
    }

    fn wake(&self) {
        self.signal.set();
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

/// Serves a TCP connection of the WebSocket listener.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, facts: ConnectionFacts) {
    let limit = shared.broker.config().limits.connect_timeout;
    let upgraded = tokio::time::timeout(limit, upgrade(stream)).await;
    finish_upgrade(shared, upgraded, facts).await;
}

/// Serves a TCP connection of the WebSocket listener over TLS.
#[cfg(feature = "tls")]
pub(super) async fn serve_tls(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: std::net::SocketAddr,
    config: Arc<rustls::ServerConfig>,
) {
    let limit = shared.broker.config().tls.handshake_timeout;
    let handshake = super::tls_link::shake_hands(stream, config, shared.handshakes.clone());
    let stream = match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::info!(%peer, listener = "wss", "TLS handshake failed: {error}");
            return;
        }
        Err(_) => {
            tracing::info!(%peer, listener = "wss", "TLS handshake took longer than {limit:?}");
            return;
        }
    };
    let tls = super::tls_link::facts(stream.get_ref().1);
    let facts = super::listener::facts("wss", peer, Some(tls));
    let limit = shared.broker.config().limits.connect_timeout;
    let upgraded = tokio::time::timeout(limit, upgrade(stream)).await;
    finish_upgrade(shared, upgraded, facts).await;
}

async fn finish_upgrade<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    shared: Arc<Shared>,
    upgraded: Result<Option<Rejoined<S>>, tokio::time::error::Elapsed>,
    facts: ConnectionFacts,
) {
    match upgraded {
        Ok(Some(stream)) => drive(shared, stream, facts).await,
        Ok(None) => {}
        Err(_) => {
            tracing::info!(peer = %facts.peer_name(), listener = facts.listener, "no upgrade in time");
        }
    }
}

/// Answers the HTTP request. Returns the stream once both sides speak WebSocket.
async fn upgrade<S>(stream: S) -> Option<Rejoined<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request);
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(sender) = sender.lock().ok().and_then(|mut sender| sender.take())
        {
            // The receiver is gone only if the connection is.
            let _ = sender.send(hyper::upgrade::on(request));
        }
        std::future::ready(Ok::<_, std::convert::Infallible>(answer))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!("upgrade: {error}");
        return None;
    }
    let parts = receiver
        .await
        .ok()?
        .await
        .ok()?
        .downcast::<TokioIo<S>>()
        .ok()?;
    Some(Rejoined {
        front: parts.read_buf,
        stream: parts.io.into_inner(),
    })
}

/// 101 for a proper upgrade of the right path and subprotocol, else what is wrong with it.
fn answer(request: &Request<Incoming>) -> Response<String> {
    let refuse = |status: StatusCode, text: &str| {
        let mut response = Response::new(format!("{text}\n"));
        *response.status_mut() = status;
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        response
    };
    if request.uri().path() != PATH {
        return refuse(StatusCode::NOT_FOUND, "MQTT over WebSocket is at /mqtt");
    }
    if request.method() != Method::GET
        || !has_token(request, header::UPGRADE, "websocket")
        || !has_token(request, header::CONNECTION, "upgrade")
    {
        return refuse(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket endpoint");
    }
    if request.headers().get(header::SEC_WEBSOCKET_VERSION) != Some(&HeaderValue::from_static("13"))
    {
        return refuse(
            StatusCode::UPGRADE_REQUIRED,
            "the WebSocket version must be 13",
        );
    }
    if !has_token(request, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return refuse(StatusCode::BAD_REQUEST, "the subprotocol must be mqtt");
    }
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing");
    };
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    if let Ok(accept) = HeaderValue::from_str(&accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// Whether a comma-separated header has a token, in whatever case.
fn has_token(request: &Request<Incoming>, name: header::HeaderName, token: &str) -> bool {
    request
        .headers()
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// Sec-WebSocket-Accept (RFC 6455, section 4.2.2).
fn accept_key(key: &[u8]) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;

    let mut digest = sha1::Sha1::new();
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(digest.finalize())
}

/// A stream whose first bytes were read together with the HTTP request.
struct Rejoined<S> {
    front: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rejoined<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.front.has_remaining() {
            let n = self.front.len().min(buf.remaining());
            buf.put_slice(&self.front.split_to(n));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rejoined<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How a turn ended.
enum Step {
    Yield,
    Authenticate(crate::broker::Credentials),
    Pause(Duration),
    End,
}

/// A WebSocket connection being driven.
struct Driver<S> {
    shared: Arc<Shared>,
    stream: WebSocketStream<Rejoined<S>>,
    link: Arc<WsLink>,
    connection: Connection,
    dirty: Dirty,
    /// Bytes of packets that are not complete, or not handled yet: packets may span frames
    /// (MQTT-6.0.0-2).
    tail: Vec<u8>,
    /// Bytes that the packet at the front of the tail needs in all.
    needed: usize,
    unhandled: bool,
    /// The signal was set and is to be seen to.
    woken: bool,
    stalled: bool,
    /// Frames are on their way out.
    flushing: bool,
    flushing_since: Option<std::time::Instant>,
    /// What our Close frame says.
    close_code: CloseCode,
    /// Writing has failed or took too long: there is no farewell.
    mute: bool,
}

async fn drive<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    shared: Arc<Shared>,
    stream: Rejoined<S>,
    facts: ConnectionFacts,
) {
    let link = Arc::new(WsLink::default());
    let connection = Connection::new(&shared.broker, link.clone(), facts, shared.clock.now());
    let stream = ServerBuilder::new()
        .limits(Limits::default().max_payload_len(Some(FRAME_SIZE)))
        .serve(stream);
    let mut driver = Driver {
        shared,
        stream,
        link,
        connection,
        dirty: Dirty::default(),
        tail: Vec::new(),
        needed: 0,
        unhandled: false,
        woken: false,
        stalled: false,
        flushing: false,
        flushing_since: None,
        close_code: CloseCode::NORMAL_CLOSURE,
        mute: false,
    };
    loop {
        match poll_fn(|cx| driver.poll_turn(cx)).await {
            Step::Yield => tokio::task::yield_now().await,
            Step::Pause(wait) => {
                // What this task has not written by now is its receivers' own to write.
                driver.dirty = Dirty::default();
                tokio::time::sleep(wait).await;
            }
            Step::Authenticate(credentials) => driver.authenticate(credentials).await,
            Step::End => break,
        }
    }
    driver.finish().await;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Driver<S> {
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.dirty.begin_turn();
        self.woken |= self.link.signal.take(cx.waker());
        let mut step = None;
        let was_stalled = self.stalled;
        if !was_stalled {
            step = self.poll_input(cx);
        }
        let broker = &self.shared.broker;
        let context = broker.context(self.shared.clock.now());
        // Input may never end, so what else there is to do does not wait for that.
        if matches!(step, None | Some(Step::Yield))
            && std::mem::take(&mut self.woken)
            && let Flow::End = self
                .connection
                .handle_wake(broker, false, &context, &mut self.dirty)
        {
            step = Some(Step::End);
        }
        let flushed = broker.flush_due(64, &context, &mut self.dirty);
        if !matches!(step, Some(Step::End))
            && let Err(why) = self.poll_output(cx)
        {
            self.mute = true;
            step = Some(self.lost(&why));
        }
        // Nobody else would wake this task for what arrived while it did not read.
        let reads_on = was_stalled && !self.stalled;
        match step {
            Some(step) => Poll::Ready(step),
            None if !flushed || reads_on => Poll::Ready(Step::Yield),
            None => Poll::Pending,
        }
    }

    /// Takes frames until none is there, one calls for more than reading on, or the turn is over: a
    /// client that sends a packet per frame gets as much of a turn as one on a plain socket.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Option<Step> {
        let mut taken = 0;
        while taken < READ_SIZE && !self.stalled {
            let step = if std::mem::take(&mut self.unhandled) {
                self.handle(&[])
            } else {
                match Pin::new(&mut self.stream).poll_next(cx) {
                    Poll::Pending => return None,
                    Poll::Ready(frame) => self.take_frame(frame, &mut taken),
                }
            };
            if step.is_some() {
                return step;
            }
        }
        Some(Step::Yield)
    }

    fn take_frame(
        &mut self,
        frame: Option<Result<Message, tokio_websockets::Error>>,
        taken: &mut usize,
    ) -> Option<Step> {
        match frame {
            None => Some(self.lost("connection closed by the client")),
            Some(Err(error)) => Some(self.lost(&error.to_string())),
            Some(Ok(message)) if message.is_binary() => {
                let payload = message.into_payload();
                *taken += FRAME_COST + payload.len();
                self.handle(&payload)
            }
            Some(Ok(message)) if message.is_text() => Some(self.refuse_text()),
            Some(Ok(message)) if message.is_close() => {
                Some(self.lost("WebSocket closed by the client"))
            }
            // Its answer leaves with the next write.
            Some(Ok(_)) => Some(Step::Yield),
        }
    }

    /// Lets the broker handle what came; `None` is to read on.
    fn handle(&mut self, bytes: &[u8]) -> Option<Step> {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() < self.needed {
            return None;
        }
        let mut input = std::mem::take(&mut self.tail);
        let broker = &self.shared.broker;
        let context = broker.context(self.shared.clock.now());
        let was_connecting = self.connection.session().is_none();
        let received = self
            .connection
            .receive(broker, &input, &context, &mut self.dirty);
        if was_connecting && self.connection.session().is_some() {
            let size = broker.config().limits.packet_size as usize;
            self.stream
                .limits_mut()
                .set_max_payload_len(Some(size.max(FRAME_SIZE)));
        }
        self.needed = received.needed;
        // A packet that grows frame by frame is not moved; an idle connection keeps no buffer.
        self.tail = match received.consumed {
            0 => input,
            consumed => input.split_off(consumed.min(input.len())),
        };
        let is_left = !self.tail.is_empty();
        match received.flow {
            Flow::Continue => self.unhandled = is_left && received.needed == 0,
            Flow::Yield => {
                self.unhandled = is_left;
                return Some(Step::Yield);
            }
            Flow::Stall => {
                self.stalled = true;
                self.unhandled = is_left;
            }
            Flow::Pause(wait) => {
                self.unhandled = is_left;
                return Some(Step::Pause(wait));
            }
            Flow::Authenticate(credentials) => {
                self.unhandled = is_left;
                return Some(Step::Authenticate(credentials));
            }
            Flow::End => return Some(Step::End),
        }
        None
    }

    /// Puts what the outbox holds into a frame, one batch at a time.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let describe = |error: tokio_websockets::Error| error.to_string();
        loop {
            if self.flushing {
                match Pin::new(&mut self.stream)
                    .poll_flush(cx)
                    .map_err(describe)?
                {
                    Poll::Pending => return self.check_stall(),
                    Poll::Ready(()) => self.flushing = false,
                }
                self.flushing_since = None;
            }
            let Some(session) = self.connection.session() else {
                return Ok(());
            };
            match Pin::new(&mut self.stream)
                .poll_ready(cx)
                .map_err(describe)?
            {
                Poll::Pending => return self.check_stall(),
                Poll::Ready(()) => {}
            }
            let broker = &self.shared.broker;
            let Some(bytes) = broker.take_output(session) else {
                self.stalled = false;
                return Ok(());
            };
            let message = Message::binary(Bytes::from(bytes));
            Pin::new(&mut self.stream)
                .start_send(message)
                .map_err(describe)?;
            self.flushing = true;
            self.flushing_since = Some(self.shared.clock.now());
            let context = broker.context(self.shared.clock.now());
            let session = session.clone();
            broker.flush(&session, &context, &mut self.dirty);
        }
    }

    fn check_stall(&mut self) -> Result<(), String> {
        let broker = &self.shared.broker;
        let now = self.shared.clock.now();
        let Some(since) = self.flushing_since else {
            return Ok(());
        };
        if now.saturating_duration_since(since) >= broker.config().limits.write_stall {
            return Err("the client took no byte for too long".to_owned());
        }
        self.connection.watch_stall(broker, since, now);
        Ok(())
    }

    fn lost(&mut self, why: &str) -> Step {
        let broker = &self.shared.broker;
        let context = broker.context(self.shared.clock.now());
        self.connection
            .closed(broker, why, &context, &mut self.dirty);
        Step::End
    }

    /// Data in anything but a binary frame ends the connection (MQTT-6.0.0-1).
    fn refuse_text(&mut self) -> Step {
        self.close_code = CloseCode::UNSUPPORTED_DATA;
        let broker = &self.shared.broker;
        let context = broker.context(self.shared.clock.now());
        let violation = Violation::protocol("MQTT-6.0.0-1", "a WebSocket text frame");
        self.connection
            .refuse(broker, &violation, &context, &mut self.dirty);
        Step::End
    }

    async fn authenticate(&mut self, credentials: crate::broker::Credentials) {
        let shared = self.shared.clone();
        let check = tokio::task::spawn_blocking(move || {
            users::verify(&shared.broker.config().users, &credentials)
        });
        let is_valid = check.await.unwrap_or(false);
        let broker = &self.shared.broker;
        let context = broker.context(self.shared.clock.now());
        let flow = self
            .connection
            .authenticated(broker, is_valid, &context, &mut self.dirty);
        if let Flow::End = flow {
            self.link.signal.set();
        }
    }

    /// Sends what is left, DISCONNECT included, and closes.
    async fn finish(mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        let broker = &self.shared.broker;
        broker.flush_all(&broker.context(self.shared.clock.now()), dirty);
        if self.mute {
            return;
        }
        let Some(farewell) = self.link.mailbox.take() else {
            return;
        };
        let closing = close(&mut self.stream, farewell, self.close_code);
        let closing = tokio::time::timeout(CLOSE_LIMIT, closing);
        // Whether the client is slow or gone, the connection closes now.
        let _ = closing.await;
    }
}

async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<Rejoined<S>>,
    farewell: Farewell,
    code: CloseCode,
) -> Result<(), tokio_websockets::Error> {
    match say(stream, farewell, code).await {
        // The client closed first: the answer to its Close frame is all that may follow.
        Ok(()) | Err(tokio_websockets::Error::AlreadyClosed) => {}
        Err(error) => return Err(error),
    }
    // The client's own Close frame, and whatever it sent before it read ours.
    poll_fn(|cx| Pin::new(&mut *stream).poll_close(cx)).await
}

/// The last packets, and a Close frame of our own.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<Rejoined<S>>,
    mut farewell: Farewell,
    code: CloseCode,
) -> Result<(), tokio_websockets::Error> {
    farewell.compose();
    let bytes = farewell
        .writer
        .take()
        .map(|bytes| bytes.into_vec())
        .unwrap_or_default();
    if !bytes.is_empty() {
        send(stream, Message::binary(Bytes::from(bytes))).await?;
    }
    send(stream, Message::close(Some(code), "")).await
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut WebSocketStream<Rejoined<S>>,
    message: Message,
) -> Result<(), tokio_websockets::Error> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_ready(cx)).await?;
    Pin::new(&mut *stream).start_send(message)?;
    poll_fn(|cx| {
        ready!(Pin::new(&mut *stream).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    })
    .await
}
