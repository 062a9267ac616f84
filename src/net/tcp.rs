//! A connection over a stream of the system with nothing in between: TCP, or a Unix socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp;
#[cfg(unix)]
use tokio::net::unix;

use crate::broker::{Link, Mailbox, Signal, Written};
use crate::client::Input;

use super::socket::{Inbound, Socket, has_input, plain_input, reset, written};

/// A stream of the system.
pub(super) trait Stream {
    type Read: AsyncRead + Unpin + Send + 'static;
    type Write: WriteHalf;

    fn halve(self) -> (Self::Read, Self::Write);
}

/// What is done with the half of it that is written to.
pub(super) trait WriteHalf: Send + Sync + 'static {
    fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    fn raw(&self) -> SockRef<'_>;
}

/// Both kinds have the same methods and no trait for them.
macro_rules! stream {
    ($stream:ty, $kind:ident) => {
        impl Stream for $stream {
            type Read = $kind::OwnedReadHalf;
            type Write = $kind::OwnedWriteHalf;

            fn halve(self) -> (Self::Read, Self::Write) {
                self.into_split()
            }
        }

        impl WriteHalf for $kind::OwnedWriteHalf {
            fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                match slices {
                    [one] => self.try_write(one),
                    several => self.try_write_vectored(several),
                }
            }

            fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
                self.as_ref().poll_write_ready(cx).map(|_| ())
            }

            fn raw(&self) -> SockRef<'_> {
                SockRef::from(self.as_ref())
            }
        }
    };
}

stream!(tokio::net::TcpStream, tcp);
#[cfg(unix)]
stream!(tokio::net::UnixStream, unix);

/// The half that anybody may write to.
pub(super) struct TcpLink<W> {
    stream: W,
    signal: Signal,
    mailbox: Mailbox,
}

/// The half that the owner reads.
pub(super) struct TcpInbound<R>(R);

pub(super) fn split<S: Stream>(stream: S) -> (TcpInbound<S::Read>, TcpLink<S::Write>) {
    let (read, write) = stream.halve();
    let link = TcpLink {
        stream: write,
        signal: Signal::default(),
        mailbox: Mailbox::default(),
    };
    (TcpInbound(read), link)
}

impl<W: WriteHalf> Link for TcpLink<W> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written {
        let length = slices.iter().map(|slice| slice.len()).sum();
        written(length, self.stream.write_now(slices))
    }

    fn wake(&self) {
        self.signal.set();
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl<W: WriteHalf> Socket for TcpLink<W> {
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
        // The peer may have gone already; there is nobody left to tell.
        let _ = self.stream.raw().shutdown(std::net::Shutdown::Write);
    }

    fn reset(&self) {
        reset(&self.stream.raw());
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> Inbound for TcpInbound<R> {
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Input {
        let mut buf = ReadBuf::new(buf);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buf);
        plain_input(read, &buf)
    }
}
