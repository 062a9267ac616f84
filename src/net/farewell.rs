//! The last words of a connection: what was composed before, DISCONNECT, and a close that lets the
//! client read them.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::broker::{Farewell, Written};
use crate::codec::{ReasonCode, Version, encode_disconnect};

use super::socket::{Inbound, Socket};

/// For everything that is left to write.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// For the client to close its side, and what it may still send meanwhile. A close under unread input
/// would reset the connection, and the client would lose what it has not read.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
const DRAIN_BYTES: usize = 1 << 20;

/// Carries out the farewell that waits in the link's mailbox.
pub(super) async fn say(inbound: &mut impl Inbound, socket: &impl Socket) {
    let spoken = tokio::time::timeout(WRITE_LIMIT, async {
        let mut farewell = wait_for_farewell(socket).await;
        let bytes = last_bytes(&mut farewell);
        write_all(socket, &bytes).await
    });
    if !matches!(spoken.await, Ok(true)) {
        return;
    }
    socket.shut_down();
    // The time is up or the client is gone: either way the connection closes now.
    let _ = tokio::time::timeout(DRAIN_LIMIT, drain(inbound)).await;
}

/// Takes what is left to send, DISCONNECT included. The farewell accounts for it and has to live until
/// it is written.
pub(crate) fn last_bytes(farewell: &mut Farewell) -> Vec<u8> {
    let mut bytes = std::mem::take(&mut farewell.bytes);
    if let Some(reason) = farewell.reason.filter(|_| farewell.version == Version::V5) {
        let text = farewell.reason_string.as_deref();
        append_disconnect(&mut bytes, reason, text, farewell.packet_size);
    }
    bytes
}

/// With a Reason String if that stays within the client's Maximum Packet Size (MQTT-3.14.2-3).
fn append_disconnect(
    bytes: &mut Vec<u8>,
    reason: ReasonCode,
    text: Option<&str>,
    packet_size: usize,
) {
    let start = bytes.len();
    if encode_disconnect(bytes, Version::V5, reason, text) > packet_size {
        bytes.truncate(start);
        if encode_disconnect(bytes, Version::V5, reason, None) > packet_size {
            bytes.truncate(start);
        }
    }
}

/// Another task may be in the middle of a write; it returns what it could not write.
async fn wait_for_farewell(socket: &impl Socket) -> Farewell {
    poll_fn(|cx| {
        socket.signal().take(cx.waker());
        match socket.mailbox().take() {
            Some(farewell) => Poll::Ready(farewell),
            None => Poll::Pending,
        }
    })
    .await
}

/// Returns whether all was written.
async fn write_all(socket: &impl Socket, bytes: &[u8]) -> bool {
    let mut at = 0;
    loop {
        match socket.try_write(bytes.get(at..).unwrap_or_default()) {
            Written::Bytes(n) => {
                at += n;
                if at >= bytes.len() && !socket.holds_bytes() {
                    return true;
                }
            }
            Written::Full(n) => {
                at += n;
                poll_fn(|cx| socket.poll_writable(cx)).await;
            }
            Written::Deferred => tokio::task::yield_now().await,
            Written::Broken => return false,
        }
    }
}

async fn drain(inbound: &mut impl Inbound) {
    let mut buf = vec![0; 4096];
    let mut seen = 0;
    while seen < DRAIN_BYTES {
        match poll_fn(|cx| inbound.poll_read(cx, &mut buf)).await {
            Ok(0) | Err(_) => return,
            Ok(n) => seen += n,
        }
    }
}
