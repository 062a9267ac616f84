//! A connection over TLS.
//!
//! tokio-rustls makes the handshake; afterwards socket and TLS state are taken apart, so that any
//! task can encrypt and write while the owner reads. The state lies behind a leaf lock that is held
//! for cryptography and the write of its records. A writer that finds it taken leaves its bytes to the
//! owner.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::auth::Source;
use crate::broker::{Link, Mailbox, Signal, Written};
use crate::client::Input;
use crate::message::cause::Cause;
use crate::time::Clock;

use super::gate::Gate;
use super::socket::{Inbound, Socket, describe, has_input, reset};
use super::tcp::Stream as _;
use super::tls::watched::{Seen, Watched, noting};

/// Ciphertext read in one go, at most.
const CIPHERTEXT: usize = 30 * 1024;

/// Ciphertext that may wait inside rustls; the rest of the plaintext stays in the outbox.
const PENDING_CIPHERTEXT: usize = 64 * 1024;

thread_local! {
    static CIPHERTEXT_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The half that anybody may write to.
pub(super) struct TlsLink {
    stream: TcpStream,
    state: Mutex<ServerConnection>,
    signal: Signal,
    mailbox: Mailbox,
}

/// How the server's side of a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With `close_notify`.
    Told,
    /// Without, as if somebody had cut it.
    Cut,
}

/// The half that the owner reads.
pub(super) struct TlsInbound {
    link: Arc<TlsLink>,
    /// Plaintext may wait in the TLS state: what came with the end of the handshake, or a record that
    /// was larger than the room for it.
    has_more: bool,
    ending: Ending,
    /// How the stream ended; what came before it may still wait.
    end: Option<Box<str>>,
}

/// Why there was no handshake.
pub(super) enum NoHandshake {
    Failed(io::Error),
    /// The client took longer than it may.
    Slow,
    /// Too many others wait for their next step.
    Crowded,
}

/// Makes the handshake with a client at `source`, who may take so long as `limit` for what it has to
/// send. What goes over the socket is noted in `seen`.
///
/// A step of it is cryptography and takes up to some milliseconds. Steps are made behind `gate`, and
/// whoever made one stays inside until the other tasks of the worker had their turn: they wait for one
/// step and not for as many as there are clients. Time before the gate is not the client's.
pub(super) async fn shake_hands(
    stream: TcpStream,
    seen: &Arc<Mutex<Seen>>,
    config: Arc<ServerConfig>,
    gate: &Gate,
    source: Source,
    limit: Duration,
    clock: &Clock,
) -> Result<TlsStream<Watched>, NoHandshake> {
    let stream = Watched::new(stream, seen.clone());
    let mut handshake = pin!(TlsAcceptor::from(config).accept(stream));
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut left = limit;
    loop {
        let inside = gate.enter(source).await;
        let inside = inside.map_err(|_| NoHandshake::Crowded)?;
        let step = noting(seen, || {
            handshake.as_mut().poll(&mut Context::from_waker(&waker))
        });
        tokio::task::yield_now().await;
        drop(inside);
        if let Poll::Ready(made) = step {
            let mut stream = made.map_err(NoHandshake::Failed)?;
            stream.get_mut().0.forget();
            return Ok(stream);
        }
        let since = clock.now().live;
        let rang = clock.timeout(left, bell.rang()).await;
        rang.map_err(|_| NoHandshake::Slow)?;
        left = left.saturating_sub(clock.now().live.saturating_duration_since(since));
    }
}

/// Tells a handshake that there is something for its next step.
#[derive(Default)]
struct Bell(Signal);

impl Bell {
    async fn rang(&self) {
        poll_fn(|cx| match self.0.take(cx.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
}

/// Takes socket and TLS state apart.
pub(super) fn take_apart(stream: TlsStream<Watched>, ending: Ending) -> (TlsInbound, Arc<TlsLink>) {
    let (stream, mut state) = stream.into_inner();
    let stream = stream.into_socket();
    state.set_buffer_limit(Some(PENDING_CIPHERTEXT));
    // The last flight of the handshake may have brought the end with it.
    let end = take_end(&mut state);
    let link = Arc::new(TlsLink {
        stream,
        state: Mutex::new(state),
        signal: Signal::default(),
        mailbox: Mailbox::default(),
    });
    let inbound = TlsInbound {
        link: link.clone(),
        has_more: true,
        ending,
        end,
    };
    (inbound, link)
}

impl TlsLink {
    fn write(&self, state: &mut ServerConnection, slices: &[IoSlice<'_>]) -> Written {
        let mut taken = 0;
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                match state.writer().write(rest) {
                    // rustls holds back as much as it may.
                    Ok(0) => match self.push(state) {
                        Ok(true) => {}
                        Ok(false) => return Written::Full(taken),
                        Err(_) => return Written::Broken,
                    },
                    Ok(count) => {
                        taken += count;
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Err(_) => return Written::Broken,
                }
            }
        }
        match self.push(state) {
            Ok(true) => Written::Bytes(taken),
            Ok(false) => Written::Full(taken),
            Err(_) => Written::Broken,
        }
    }

    /// Ends the outbound direction.
    fn end(&self, ending: Ending) {
        let mut state = self.state.lock();
        if ending == Ending::Told {
            state.send_close_notify();
        }
        // Best effort: the peer may be gone, or take nothing any more.
        let _ = self.push(&mut state);
        let _ = self.stream.raw().shutdown(std::net::Shutdown::Write);
    }

    /// Writes pending ciphertext. Returns whether all of it left.
    fn push(&self, state: &mut ServerConnection) -> io::Result<bool> {
        while state.wants_write() {
            match state.write_tls(&mut Raw(&self.stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// The socket as rustls writes to it.
struct Raw<'a>(&'a TcpStream);

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for TlsLink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written {
        match self.state.try_lock() {
            Some(mut state) => self.write(&mut state, slices),
            // The owner decrypts; it is woken once this is reported.
            None => Written::Deferred,
        }
    }

    fn wake(&self) {
        self.signal.set();
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl Socket for TlsLink {
    fn signal(&self) -> &Signal {
        &self.signal
    }

    fn has_input(&self) -> bool {
        has_input(&self.stream.raw())
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_writable(cx)
    }

    fn shut_down(&self) {
        self.end(Ending::Told);
    }

    fn reset(&self) {
        reset(&self.stream.raw());
    }
}

impl Inbound for TlsInbound {
    type Socket = TlsLink;

    fn socket(&self) -> &TlsLink {
        &self.link
    }

    fn shut_down(&self) {
        self.link.end(self.ending);
    }

    fn half_close(&self) {
        self.shut_down();
    }

    fn read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Input {
        loop {
            if self.has_more {
                let count = read_plaintext(&mut self.link.state.lock(), buf);
                self.has_more = count == buf.len();
                if count > 0 {
                    return Input::plain(count);
                }
            }
            if let Some(end) = &self.end {
                return Input::Closed(Cause::Lost(end.to_string().into()));
            }
            match self.read_records(cx, buf) {
                Some(0) => {}
                Some(count) => return Input::plain(count),
                None => return Input::Nothing,
            }
        }
    }
}

impl TlsInbound {
    /// Reads once from the socket and decrypts. Returns the bytes of plaintext, or `None` if nothing
    /// is there.
    fn read_records(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<usize> {
        CIPHERTEXT_BUFFER.with_borrow_mut(|ciphertext| {
            if ciphertext.is_empty() {
                ciphertext.resize(CIPHERTEXT, 0);
            }
            // What it holds beyond the room for it is then less than a record, which rustls keeps.
            let room = ciphertext.len().min(buf.len());
            let ciphertext = ciphertext.get_mut(..room)?;
            match self.link.stream.poll_read(cx, ciphertext) {
                Poll::Pending => return None,
                Poll::Ready(Err(error)) => self.end = Some(describe(&error).into()),
                Poll::Ready(Ok(0)) => {
                    self.end = Some("connection closed by the client without close_notify".into());
                }
                Poll::Ready(Ok(count)) => {
                    return Some(self.decrypt(ciphertext.get(..count)?, buf));
                }
            }
            Some(0)
        })
    }

    /// Decrypts all of `ciphertext` into `buf`. Returns the bytes of plaintext, which come before the
    /// end of the stream, should that be in it too.
    fn decrypt(&mut self, mut ciphertext: &[u8], buf: &mut [u8]) -> usize {
        let mut state = self.link.state.lock();
        let mut bytes = 0;
        while !ciphertext.is_empty() && self.end.is_none() {
            self.end = take_records(&mut state, &mut ciphertext);
            bytes += read_plaintext(&mut state, buf.get_mut(bytes..).unwrap_or_default());
        }
        self.has_more = bytes == buf.len();
        // Alerts and key updates; what does not fit goes with the next write.
        let _ = self.link.push(&mut state);
        bytes
    }
}

/// Hands a part of `ciphertext` to the TLS state. Returns how the stream ended, if it did: what comes
/// behind close_notify is nothing.
fn take_records(state: &mut ServerConnection, ciphertext: &mut &[u8]) -> Option<Box<str>> {
    match state.read_tls(ciphertext) {
        Ok(_) => take_end(state),
        Err(error) => Some(error.to_string().into()),
    }
}

fn take_end(state: &mut ServerConnection) -> Option<Box<str>> {
    match state.process_new_packets() {
        Ok(seen) if seen.peer_has_closed() => Some("TLS closed by the client".into()),
        Ok(_) => None,
        Err(error) => Some(error.to_string().into()),
    }
}

/// Takes plaintext that waits in the TLS state.
fn read_plaintext(state: &mut ServerConnection, buf: &mut [u8]) -> usize {
    let mut bytes = 0;
    while let Some(room) = buf.get_mut(bytes..).filter(|room| !room.is_empty()) {
        match state.reader().read(room) {
            Ok(count @ 1..) => bytes += count,
            // The end of the stream is known from its records.
            Ok(0) | Err(_) => break,
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::server::ResolvesServerCertUsingSni;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use tokio::time::Instant;

    use super::*;

    fn config() -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        Arc::new(config)
    }

    /// The client's end, and the server's.
    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    fn source() -> Source {
        std::net::IpAddr::from([192, 0, 2, 1]).into()
    }

    #[test]
    fn other_tasks_have_a_turn_between_two_steps() {
        // A look at the sockets between tasks would mix their order; it comes once there is no task.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .event_interval(1_000_000)
            .enable_all()
            .build()
            .unwrap();
        let ends = runtime.block_on(turns_at_the_ends_of_handshakes());
        assert_eq!(ends.len(), 20);
        // The last step of one and the first of another may be made between the same two turns.
        let is_apart = ends.windows(3).all(|three| three.first() < three.last());
        assert!(is_apart, "{ends:?}");
    }

    /// How many turns another task had had by the end of each of 20 handshakes, in order.
    async fn turns_at_the_ends_of_handshakes() -> Vec<usize> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (gate, turns) = (Gate::new(1, 100), Arc::new(AtomicUsize::new(0)));
        let mut pairs = Vec::new();
        for _ in 0..20 {
            let (mut client, server) = pair(&listener).await;
            client.write_all(b"no handshake at all").await.unwrap();
            server.readable().await.unwrap();
            pairs.push((client, server));
        }
        let mut handshakes = JoinSet::new();
        let mut clients = Vec::new();
        for (client, server) in pairs {
            clients.push(client);
            let (gate, turns) = (gate.clone(), turns.clone());
            handshakes.spawn(async move {
                let limit = Duration::from_secs(60);
                let made = shake_hands(
                    server,
                    &Seen::with(None),
                    config(),
                    &gate,
                    source(),
                    limit,
                    &Clock::default(),
                )
                .await;
                assert!(matches!(made, Err(NoHandshake::Failed(_))));
                turns.load(Ordering::Relaxed)
            });
        }
        let other = tokio::spawn(async move {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let mut ends = handshakes.join_all().await;
        other.abort();
        ends.sort_unstable();
        ends
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_has_so_long_as_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_client, server) = pair(&listener).await;
        let (gate, start) = (Gate::new(1, 100), Instant::now());
        let limit = Duration::from_secs(10);
        let made = shake_hands(
            server,
            &Seen::with(None),
            config(),
            &gate,
            source(),
            limit,
            &Clock::default(),
        )
        .await;
        assert!(matches!(made, Err(NoHandshake::Slow)));
        let took = start.elapsed();
        assert!(took >= limit && took < limit + Duration::from_millis(100));
        assert_eq!(gate.waiting(), 0);
    }
}
