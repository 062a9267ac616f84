//! A connection over a stream of the system with nothing in between: TCP, or a Unix socket.

use std::io::{self, IoSlice, Read as _};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::Interest;

use crate::broker::{Link, Mailbox, Signal, Written};
use crate::client::Input;

use super::socket::{Inbound, Socket, has_input, plain_input, reset, written};

/// Whether a read that fills less than its buffer has emptied the socket, and the system tells of what comes then: so
/// it is where the runtime waits on epoll or kqueue.
const SHORT_READ_IS_LAST: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
));

/// A stream of the system. Its halves would be a further allocation: both directions need it only as it is.
pub(super) trait Stream: Send + Sync + 'static {
    /// Reads once into `buf`: no bytes at the end.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    fn raw(&self) -> SockRef<'_>;
}

/// Both kinds have the same methods and no trait for them.
macro_rules! stream {
    ($stream:ty) => {
        impl Stream for $stream {
            fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.poll_read_ready(cx))?;
                    let mut count = 0;
                    let read = self.try_io(Interest::READABLE, || {
                        count = (&*self.raw()).read(buf)?;
                        match SHORT_READ_IS_LAST && (1..buf.len()).contains(&count) {
                            // The next call would only find that out.
                            true => Err(io::ErrorKind::WouldBlock.into()),
                            false => Ok(()),
                        }
                    });
                    match read {
                        _ if count > 0 => return Poll::Ready(Ok(count)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        read => return Poll::Ready(read.map(|()| 0)),
                    }
                }
            }

            fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                match slices {
                    [one] => self.try_write(one),
                    several => self.try_write_vectored(several),
                }
            }

            fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
                self.poll_write_ready(cx).map(|_| ())
            }

            fn raw(&self) -> SockRef<'_> {
                SockRef::from(self)
            }
        }
    };
}

stream!(tokio::net::TcpStream);
#[cfg(unix)]
stream!(tokio::net::UnixStream);

/// The half that anybody may write to.
pub(super) struct TcpLink<S> {
    stream: S,
    signal: Signal,
    mailbox: Mailbox,
}

/// The half that the owner reads.
pub(super) struct TcpInbound<S>(Arc<TcpLink<S>>);

pub(super) fn split<S: Stream>(stream: S) -> (TcpInbound<S>, Arc<TcpLink<S>>) {
    let link = Arc::new(TcpLink {
        stream,
        signal: Signal::default(),
        mailbox: Mailbox::default(),
    });
    (TcpInbound(link.clone()), link)
}

impl<S: Stream> Link for TcpLink<S> {
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

impl<S: Stream> Socket for TcpLink<S> {
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

impl<S: Stream> Inbound for TcpInbound<S> {
    type Socket = TcpLink<S>;

    fn socket(&self) -> &TcpLink<S> {
        &self.0
    }

    fn read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Input {
        plain_input(self.0.stream.poll_read(cx, buf))
    }
}
