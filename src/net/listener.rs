//! Listeners: bind, accept, and hand each connection to a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

use crate::broker::{ConnectionFacts, TlsFacts, Traffic};

use super::driver::Driver;
use super::socket::{Inbound, Socket};
#[cfg(feature = "tls")]
use super::tls_link;
#[cfg(feature = "websocket")]
use super::ws;
use super::{Shared, tcp};

/// Connections that the kernel keeps ready for us.
const BACKLOG: i32 = 4096;

/// Pause after an accept that failed for want of a resource, such as file descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What a listener speaks.
#[derive(Clone)]
pub(crate) enum Kind {
    Mqtt,
    #[cfg(feature = "tls")]
    Mqtts(Arc<rustls::ServerConfig>),
    #[cfg(feature = "websocket")]
    Ws,
    #[cfg(all(feature = "websocket", feature = "tls"))]
    Wss(Arc<rustls::ServerConfig>),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            #[cfg(feature = "tls")]
            Self::Mqtts(_) => "mqtts",
            #[cfg(feature = "websocket")]
            Self::Ws => "ws",
            #[cfg(all(feature = "websocket", feature = "tls"))]
            Self::Wss(_) => "wss",
        }
    }
}

/// Binds a listening socket; port 0 takes any free one.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option would let two brokers share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the server stops.
pub(crate) async fn accept(shared: Arc<Shared>, listener: TcpListener, kind: Kind) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => take(&shared, stream, peer, kind.clone()),
            Err(error) if is_transient(&error) => {}
            Err(error) => {
                tracing::error!(listener = kind.name(), "cannot accept: {error}");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// The connection ended before it was accepted; the next may be fine.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn take(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr, kind: Kind) {
    let limit = shared.broker.config().limits.connections;
    if shared.connections.fetch_add(1, Ordering::Relaxed) >= limit {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!(%peer, listener = kind.name(), limit, "refused: too many connections");
        return;
    }
    // A socket that fails here fails at its first read as well.
    let _ = stream.set_nodelay(true);
    let place = Place(shared.clone());
    shared.tasks.spawn(serve(place, stream, peer, kind));
}

/// Counts a connection for as long as it lives.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection. The future is kept as long as the connection, so what is large in it only
/// for a while is boxed.
async fn serve(place: Place, stream: TcpStream, peer: SocketAddr, kind: Kind) {
    let shared = &place.0;
    let name = kind.name();
    let since = shared.clock.now();
    match kind {
        Kind::Mqtt => {
            let (inbound, link) = tcp::split(stream);
            let facts = facts(name, peer, None);
            drive(shared, inbound, Arc::new(link), facts, since).await;
        }
        #[cfg(feature = "tls")]
        Kind::Mqtts(config) => {
            let handshake = Box::pin(shake_hands(shared, stream, peer, name, config));
            let Some(stream) = handshake.await else {
                return;
            };
            let (inbound, link, tls) = tls_link::take_apart(stream);
            let facts = facts(name, peer, Some(tls));
            drive(shared, inbound, link, facts, shared.clock.now()).await;
        }
        #[cfg(feature = "websocket")]
        Kind::Ws => {
            let facts = facts(name, peer, None);
            let upgrade = Box::pin(ws::upgrade(shared, stream, &facts));
            let Some((front, stream)) = upgrade.await else {
                return;
            };
            let (inbound, link) = tcp::split(stream);
            let (inbound, link) = ws::join(front, inbound, Arc::new(link));
            drive(shared, inbound, link, facts, since).await;
        }
        #[cfg(all(feature = "websocket", feature = "tls"))]
        Kind::Wss(config) => {
            let handshake = Box::pin(shake_hands(shared, stream, peer, name, config));
            let Some(stream) = handshake.await else {
                return;
            };
            let since = shared.clock.now();
            let facts = facts(name, peer, Some(tls_link::facts(stream.get_ref().1)));
            let upgrade = Box::pin(ws::upgrade(shared, stream, &facts));
            let Some((front, stream)) = upgrade.await else {
                return;
            };
            let (inbound, link, _) = tls_link::take_apart(stream);
            let (inbound, link) = ws::join(front, inbound, link);
            drive(shared, inbound, link, facts, since).await;
        }
    }
}

/// Drives a connection whose time until CONNECT runs since `since`. The driver is in a box, so that
/// nothing of it is in the future of every other kind.
fn drive<I: Inbound, S: Socket>(
    shared: &Arc<Shared>,
    inbound: I,
    socket: Arc<S>,
    facts: ConnectionFacts,
    since: Instant,
) -> impl Future<Output = ()> + Send + use<I, S> {
    Driver::new(shared.clone(), inbound, socket, facts, since).drive()
}

/// What is known of a connection before its first packet.
fn facts(listener: &'static str, peer: SocketAddr, tls: Option<TlsFacts>) -> ConnectionFacts {
    ConnectionFacts {
        listener,
        peer: Some(peer),
        tls: tls.map(Box::new),
        traffic: Traffic::default(),
    }
}

#[cfg(feature = "tls")]
async fn shake_hands(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    listener: &'static str,
    config: Arc<rustls::ServerConfig>,
) -> Option<TlsStream<TcpStream>> {
    let limit = shared.broker.config().tls.handshake_timeout;
    let handshake = tls_link::shake_hands(stream, config, shared.handshakes.clone());
    match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::info!(%peer, listener, "TLS handshake failed: {error}");
            None
        }
        Err(_) => {
            tracing::info!(%peer, listener, "TLS handshake took longer than {limit:?}");
            None
        }
    }
}
