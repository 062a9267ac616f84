//! What the driver needs of a connection, whatever carries it.

use std::io;
use std::task::{Context, Poll};

use crate::broker::{Link, Written};

use super::signal::Signal;

/// A link as its owner sees it.
pub(super) trait Socket: Link + 'static {
    fn signal(&self) -> &Signal;

    /// Ready once the socket may take bytes again after [`Written::Full`].
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends the outbound direction, so that the peer reads to the end of what was sent.
    fn shut_down(&self);

    /// Whether bytes that were taken still wait inside the link (TLS records).
    fn holds_bytes(&self) -> bool {
        false
    }
}

/// The inbound half; only the owner has it.
pub(super) trait Inbound: Send + 'static {
    /// Reads into `buf`; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// Writes until all is taken or the socket is full.
pub(super) fn write_outcome(
    bytes: &[u8],
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> Written {
    let mut taken = 0;
    while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
        match write(rest) {
            Ok(0) => return Written::Broken,
            Ok(n) => taken += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Full(taken),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Written::Broken,
        }
    }
    Written::Bytes(taken)
}
