//! The API behind the doors of [`net`](crate::net::doors): TLS, and in reach of other machines.

use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::broker::ConnectionFacts;
use crate::net::doors::{Serving, Stream, Web};

use super::Server;
use super::listener::SEND_BUFFER;
use super::serve::{Connection, Ended};

impl Web for Server {
    fn serve<'a>(&'a self, stream: Stream, facts: &'a ConnectionFacts) -> Serving<'a> {
        Box::pin(serve(self, stream, facts))
    }
}

async fn serve(
    server: &Server,
    mut stream: Stream,
    facts: &ConnectionFacts,
) -> Option<(Bytes, Stream)> {
    let begun = tokio::select! {
        begun = begin(server, &mut stream, facts) => begun,
        () = server.engine().stopping.cancelled() => return None,
    };
    let connection = match begun {
        Ok(connection) => connection,
        Err(reason) => {
            let (peer, listener) = (facts.peer(), facts.listener());
            server.engine().broker.count_refused();
            tracing::info!(%peer, listener, reason, "connection refused");
            return None;
        }
    };
    // Without it a client counts as reading a little longer.
    let _ = SockRef::from(stream.get_ref().0.socket()).set_send_buffer_size(SEND_BUFFER);
    match connection.serve(Bytes::new(), stream, facts).await {
        Ended::Closed => None,
        // With a reset, as on the API's own port.
        Ended::Unread(stream) => {
            let socket = stream.get_ref().0.socket();
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            None
        }
        Ended::Switched(stream, read) => Some((read, stream)),
    }
}

/// Waits for a place. Whoever cannot have one, or has a certificate that may not be used, has so long as until
/// CONNECT on other connections.
async fn begin(
    server: &Server,
    stream: &mut Stream,
    facts: &ConnectionFacts,
) -> Result<Connection, &'static str> {
    let engine = server.engine();
    let limit = engine.broker.config().limits.connect_timeout;
    let begun = async {
        if let Some(reason) = turned_away(server, facts) {
            // AWS-HTTP-07: its request comes in, and nothing goes out but the end.
            let _ = stream.fill_buf().await;
            let _ = stream.shutdown().await;
            return Err(reason);
        }
        Ok(server.admit().await)
    };
    let begun = engine.clock.timeout(limit, begun).await;
    begun.unwrap_or(Err("there was no place in time"))
}

fn turned_away(server: &Server, facts: &ConnectionFacts) -> Option<&'static str> {
    let authority = server.parts.authority.as_ref()?;
    let id = facts.tls()?.certificate_id.as_deref()?;
    authority.turned_away(id, server.engine().clock.now().now)
}
