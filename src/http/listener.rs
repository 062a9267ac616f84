//! The TCP listener of the API: accepts, and sees to the sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::broker::{ConnectionFacts, PeerAddr};
use crate::net::listener::back_off;

use super::Server;
use super::serve::{Connection, Ended};

pub(super) const NAME: &str = "http";

/// What the system keeps of answers on their way, as far as it follows the wish. A client counts as
/// reading when a good part of this has left.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// Serves the API on `listener` until the server stops. Requests that are being answered then are
/// answered to the end.
pub(crate) async fn listen(server: Arc<Server>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = accept(&server, &listener) => accepted,
            () = server.engine().stopping.cancelled() => return,
        };
        if let Some((connection, stream, peer)) = accepted {
            server.parts.tasks.spawn(serve(connection, stream, peer));
        }
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    server: &Server,
    listener: &TcpListener,
) -> Option<(Connection, TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => Some((server.admit().await, stream, peer)),
        Err(error) => {
            let now = server.engine().clock.now().live;
            back_off(&server.parts.cannot_accept, now, NAME, &error).await;
            None
        }
    }
}

async fn serve(connection: Connection, stream: TcpStream, peer: SocketAddr) {
    // A socket that fails here fails at its first read as well.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    let facts = ConnectionFacts::new(NAME, PeerAddr::Ip(peer), None);
    match connection.serve(Bytes::new(), stream, &facts).await {
        Ended::Closed => {}
        // Closed with a reset, or the system would keep what was not read for minutes, and so much of
        // each such client.
        Ended::Unread(stream) => {
            // Without it the close is as any other.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        // No path of the API does, and nothing else is spoken here.
        Ended::Switched(_, read) => {
            let bytes = read.len();
            tracing::debug!(listener = NAME, %peer, bytes, "connection closed: it switched protocols");
        }
    }
}
