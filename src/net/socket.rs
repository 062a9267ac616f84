//! What the driver needs of a connection, whatever carries it.

use std::io;
use std::task::{Context, Poll};

use crate::broker::{Link, Signal, Written};

/// A link as its owner sees it.
pub(super) trait Socket: Link + 'static {
    fn signal(&self) -> &Signal;

    /// Ready once the socket may take bytes again after [`Written::Full`].
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends the outbound direction, so that the peer reads to the end of what was sent.
    fn shut_down(&self);
}

/// The inbound half; only the owner has it.
pub(super) trait Inbound: Send + 'static {
    /// Reads into `buf`; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;
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
