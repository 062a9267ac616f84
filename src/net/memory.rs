//! A connection in the memory of this process: two pipes, of which the program has the ends of one side and the
//! broker those of the other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::broker::{Link, Mailbox, Signal, Written};
use crate::client::Input;

use super::socket::{Inbound, Socket, plain_input, written};

/// Bytes that one direction holds, as the buffers of a socket do.
const CAPACITY: usize = 64 * 1024;

/// What the listener is called.
pub(super) const NAME: &str = "memory";

/// A connection to a broker in the same process, without a socket: what a client library is handed that takes any
/// stream. [`Handle::connect`](crate::Handle::connect) makes it.
///
/// It behaves as a TCP connection does. Its end is read as the end of the stream, one that the broker or a packet rule
/// resets as an error of the kind [`ConnectionReset`](io::ErrorKind::ConnectionReset), and dropping it closes it. Each
/// direction holds 64 KiB; a writer waits for the other side to read them.
pub struct Connection {
    to_broker: Arc<Pipe>,
    from_broker: Arc<Pipe>,
}

/// The broker's end, as anybody may write to it.
pub(super) struct MemoryLink {
    to_broker: Arc<Pipe>,
    from_broker: Arc<Pipe>,
    signal: Signal,
    mailbox: Mailbox,
}

/// The broker's end, as its owner reads it.
pub(super) struct MemoryInbound(Arc<MemoryLink>);

/// Both ends of a new connection.
pub(super) fn pair() -> (Connection, MemoryInbound, Arc<MemoryLink>) {
    let (to_broker, from_broker) = (Arc::<Pipe>::default(), Arc::<Pipe>::default());
    let connection = Connection {
        to_broker: to_broker.clone(),
        from_broker: from_broker.clone(),
    };
    let link = Arc::new(MemoryLink {
        to_broker,
        from_broker,
        signal: Signal::default(),
        mailbox: Mailbox::default(),
    });
    (connection, MemoryInbound(link.clone()), link)
}

/// One direction.
#[derive(Default)]
struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    bytes: BytesMut,
    end: End,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How far a direction is at its end.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Nothing more is written; what was can be read.
    Written,
    /// Nobody reads any more.
    Unread,
    Reset,
}

impl Pipe {
    /// Takes as many of these bytes as there is room for.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.lock();
        state.check_writable()?;
        let (mut taken, wanted) = (0, slices.iter().map(|slice| slice.len()).sum::<usize>());
        for slice in slices {
            let room = CAPACITY - state.bytes.len();
            let fits = slice.get(..room).unwrap_or(slice);
            state.bytes.extend_from_slice(fits);
            taken += fits.len();
        }
        if taken == 0 && wanted > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(taken)
    }

    /// Ready when a write does something: it takes bytes, or fails.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.bytes.len() < CAPACITY || state.end != End::Open {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads what there is; no bytes at the end.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.end == End::Reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = state.bytes.len().min(buf.remaining());
        if count == 0 && state.end == End::Open && buf.remaining() > 0 {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf.put_slice(state.bytes.get(..count).unwrap_or_default());
        state.bytes.advance(count);
        let writer = state.writer.take();
        drop(state);
        wake(writer);
        Poll::Ready(Ok(()))
    }

    fn has_input(&self) -> bool {
        let state = self.0.lock();
        !state.bytes.is_empty() || state.end != End::Open
    }

    /// One side has done with it. A reset is the last word.
    fn end(&self, end: End) {
        let mut state = self.0.lock();
        if state.end == End::Reset {
            return;
        }
        state.end = end;
        if end != End::Written {
            state.bytes = BytesMut::new();
        }
        let (reader, writer) = (state.reader.take(), state.writer.take());
        drop(state);
        wake(reader);
        wake(writer);
    }
}

impl State {
    fn check_writable(&self) -> io::Result<()> {
        match self.end {
            End::Open => Ok(()),
            End::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            End::Written | End::Unread => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.to_broker.end(End::Written);
        self.from_broker.end(End::Unread);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.from_broker.poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.to_broker.write(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            std::task::ready!(self.to_broker.poll_writable(cx));
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to_broker.end(End::Written);
        Poll::Ready(Ok(()))
    }
}

impl Link for MemoryLink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written {
        let length = slices.iter().map(|slice| slice.len()).sum();
        written(length, self.from_broker.write(slices))
    }

    fn wake(&self) {
        self.signal.set();
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl Socket for MemoryLink {
    fn signal(&self) -> &Signal {
        &self.signal
    }

    fn has_input(&self) -> bool {
        self.to_broker.has_input()
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.from_broker.poll_writable(cx)
    }

    fn shut_down(&self) {
        self.from_broker.end(End::Written);
    }

    fn reset(&self) {
        self.to_broker.end(End::Reset);
        self.from_broker.end(End::Reset);
    }
}

/// Nobody else writes to the client once its owner is gone.
impl Drop for MemoryInbound {
    fn drop(&mut self) {
        self.0.to_broker.end(End::Unread);
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.from_broker.end(End::Written);
    }
}

impl Inbound for MemoryInbound {
    type Socket = MemoryLink;

    fn socket(&self) -> &MemoryLink {
        &self.0
    }

    fn read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Input {
        let mut buf = ReadBuf::new(buf);
        let read = self.0.to_broker.poll_read(cx, &mut buf);
        plain_input(read.map_ok(|()| buf.filled().len()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn write(link: &MemoryLink, bytes: &[u8]) -> Written {
        link.try_write(&[IoSlice::new(bytes)])
    }

    #[tokio::test]
    async fn broker_writes_until_there_is_no_room_and_is_woken_when_there_is() {
        let (mut client, _inbound, link) = pair();
        let chunk = vec![b'x'; CAPACITY - 1];
        assert_eq!(write(&link, &chunk), Written::Bytes(chunk.len()));
        assert_eq!(write(&link, b"yz"), Written::Full(1));
        assert_eq!(write(&link, b"z"), Written::Full(0));
        let mut read = vec![0; 10];
        let (room, _) = tokio::join!(
            std::future::poll_fn(|cx| link.poll_writable(cx)),
            client.read_exact(&mut read),
        );
        assert_eq!((room, &read[..]), ((), &chunk[..10]));
        assert_eq!(write(&link, b"z"), Written::Bytes(1));
        link.shut_down();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), chunk.len() - 10 + 2);
        assert!(rest.ends_with(b"xyz"));
        assert_eq!(write(&link, b"z"), Written::Broken);
    }

    #[tokio::test]
    async fn client_waits_for_room_and_fails_once_nobody_reads() {
        let (mut client, inbound, _link) = pair();
        client.write_all(&vec![0; CAPACITY]).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(1), client.write(b"x")).await;
        assert!(more.is_err(), "{more:?}");
        drop(inbound);
        let error = client.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn reset_is_read_as_one_and_loses_what_was_not_read() {
        let (mut client, _inbound, link) = pair();
        write(&link, b"lost");
        link.reset();
        link.shut_down();
        let error = client.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = client.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn client_that_is_gone_is_read_to_its_end_and_not_written_to() {
        let (mut client, mut inbound, link) = pair();
        client.write_all(b"bye").await.unwrap();
        drop(client);
        let mut cx = Context::from_waker(Waker::noop());
        let mut buf = [0; 8];
        assert!(link.has_input());
        let read = inbound.read(&mut cx, &mut buf);
        assert!(matches!(read, Input::Bytes { count: 3, .. }) && buf.starts_with(b"bye"));
        assert!(matches!(inbound.read(&mut cx, &mut buf), Input::Closed(_)));
        assert_eq!(write(&link, b"x"), Written::Broken);
    }
}
