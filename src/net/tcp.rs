//! A connection over plain TCP.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::broker::{Link, Mailbox, Signal, Written};
use crate::client::Input;
use crate::message::cause::Cause;

use super::socket::{Inbound, Socket, describe, has_input, reset, written};

/// The half that anybody may write to.
pub(super) struct TcpLink {
    stream: OwnedWriteHalf,
    signal: Signal,
    mailbox: Mailbox,
}

/// The half that the owner reads.
pub(super) struct TcpInbound(OwnedReadHalf);

pub(super) fn split(stream: TcpStream) -> (TcpInbound, TcpLink) {
    let (read, write) = stream.into_split();
    let link = TcpLink {
        stream: write,
        signal: Signal::default(),
        mailbox: Mailbox::default(),
    };
    (TcpInbound(read), link)
}

impl Link for TcpLink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Written {
        match slices {
            [one] => written(one.len(), self.stream.try_write(one)),
            several => {
                let length = several.iter().map(|slice| slice.len()).sum();
                written(length, self.stream.try_write_vectored(several))
            }
        }
    }

    fn wake(&self) {
        self.signal.set();
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl Socket for TcpLink {
    fn signal(&self) -> &Signal {
        &self.signal
    }

    fn has_input(&self) -> bool {
        has_input(self.stream.as_ref())
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.as_ref().poll_write_ready(cx).map(|_| ())
    }

    fn shut_down(&self) {
        // The peer may have gone already; there is nobody left to tell.
        let _ = socket2::SockRef::from(self.stream.as_ref()).shutdown(std::net::Shutdown::Write);
    }

    fn reset(&self) {
        reset(self.stream.as_ref());
    }
}

impl Inbound for TcpInbound {
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Input {
        let mut buf = ReadBuf::new(buf);
        match Pin::new(&mut self.0).poll_read(cx, &mut buf) {
            Poll::Pending => Input::Nothing,
            Poll::Ready(Ok(())) if buf.filled().is_empty() => {
                Input::Closed(Cause::Lost("connection closed by the client".into()))
            }
            Poll::Ready(Ok(())) => Input::plain(buf.filled().len()),
            Poll::Ready(Err(error)) => Input::Closed(Cause::Lost(describe(&error).into())),
        }
    }
}
