//! What the driver needs of a connection, whatever carries it.

use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};

use socket2::SockRef;

use crate::broker::{Link, Signal, Written};
use crate::client::Input;
use crate::message::cause::Cause;

/// A link as its owner sees it.
pub(super) trait Socket: Link + 'static {
    fn signal(&self) -> &Signal;

    /// Whether the system holds bytes of the peer, or the end of its stream, that were not read. The
    /// runtime may not have noticed.
    fn has_input(&self) -> bool;

    /// Ready once the socket may take bytes again after [`Written::Full`].
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Says the transport's own last words and ends the outbound direction, so that the peer reads to
    /// the end of what was sent.
    fn shut_down(&self);

    /// The same where the peer goes on: nothing is waited for.
    fn half_close(&self) {
        self.shut_down();
    }

    /// Resets the connection. Nothing can be read or written any more.
    fn reset(&self);
}

/// The inbound half; only the owner has it.
pub(super) trait Inbound: Send + Unpin + 'static {
    type Socket: Socket;

    /// The link of the connection.
    fn socket(&self) -> &Self::Socket;

    /// See [`Socket::shut_down`].
    fn shut_down(&self) {
        self.socket().shut_down();
    }

    /// See [`Socket::half_close`].
    fn half_close(&self) {
        self.socket().half_close();
    }

    /// Reads into `buf`. [`Input::Nothing`] wakes the task when there is more.
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Input;
}

/// Whether a read of this socket would have a result.
pub(super) fn has_input(socket: &SockRef<'_>) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    match socket.peek(&mut byte) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Resets the connection below a stream, and what of it has not been sent is lost.
pub(super) fn reset(socket: &SockRef<'_>) {
    #[cfg(target_os = "linux")]
    let is_reset = rustix::net::connect_unspec(&**socket).is_ok();
    // Elsewhere it is reset when the last who has it lets go of it: only Linux takes a connection of TCP apart.
    #[cfg(not(target_os = "linux"))]
    let is_reset = socket.set_linger(Some(std::time::Duration::ZERO)).is_ok();
    if !is_reset {
        // A socket that knows no reset just ends. The peer may have gone already: nobody is left to tell.
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
}

/// What a read from a stream with nothing in between came to, in bytes.
pub(super) fn plain_input(read: Poll<io::Result<usize>>) -> Input {
    match read {
        Poll::Pending => Input::Nothing,
        Poll::Ready(Ok(0)) => Input::Closed(Cause::Lost("connection closed by the client".into())),
        Poll::Ready(Ok(count)) => Input::plain(count),
        Poll::Ready(Err(error)) => Input::Closed(Cause::Lost(describe(&error).into())),
    }
}

/// Why a stream that failed has ended.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "connection reset by the client".to_owned(),
        // Only TLS knows this end: another stream just ends.
        io::ErrorKind::UnexpectedEof => {
            "connection closed by the client without the end of TLS (close_notify)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What a write of `length` bytes to a socket came to.
pub(super) fn written(length: usize, result: io::Result<usize>) -> Written {
    match result {
        Ok(count) if count < length => Written::Full(count),
        Ok(count) => Written::Bytes(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Written::Full(0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Written::Bytes(0),
        Err(_) => Written::Broken,
    }
}
