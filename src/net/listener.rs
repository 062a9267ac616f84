//! Listeners: bind, accept, and hand each connection to a task of its own.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "websocket")]
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
#[cfg(all(feature = "websocket", feature = "tls"))]
use tokio::io::AsyncBufReadExt as _;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpListener, TcpStream};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

use crate::broker::{ConnectionFacts, PeerAddr};
#[cfg(feature = "tls")]
use crate::config::BadTls;
#[cfg(feature = "tls")]
use crate::tap::journal::Happened;
#[cfg(feature = "tls")]
use crate::tap::tls::HandshakeCause;

#[cfg(feature = "doors")]
use super::doors::{self, Door, Opened};
#[cfg(any(feature = "tls", feature = "websocket"))]
use super::driver::Course;
use super::driver::drive;
use super::place::OpeningPlace;
#[cfg(feature = "websocket")]
use super::place::Place;
use super::seldom::Seldom;
#[cfg(feature = "websocket")]
use super::socket::{Inbound, Socket};
#[cfg(feature = "tls")]
use super::tls::{
    self,
    refusal::why_none,
    watched::{self, Came, Seen, Watched},
};
#[cfg(feature = "tls")]
use super::tls_link::{self, Ending, NoHandshake};
#[cfg(feature = "websocket")]
use super::ws;
use super::{Connection, Shared, memory, tcp};

/// Connections that the kernel keeps ready for us.
pub(super) const BACKLOG: i32 = 4096;

/// Pause after an accept that failed for want of a resource, such as file descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Connections that a listener takes before others have their turn. Each costs some ten microseconds,
/// and a flood of them brings as many as are taken.
const ACCEPTS_PER_TURN: usize = 16;

/// Bytes that a connection holds, idle and with a session, besides what is charged for what it sends
/// and gets: task, timers, buffers, state of TLS, and what the allocator leaves unused between them.
const PLAIN: u32 = 4 * 1024 + 512;
/// See [`PLAIN`]: what WebSocket adds.
#[cfg(feature = "websocket")]
const WEBSOCKET: u32 = 5 * 1024;
/// See [`PLAIN`]: what TLS adds.
#[cfg(feature = "tls")]
const TLS: u32 = 8 * 1024;
/// See [`PLAIN`]: what a TLS handshake adds until it has ended: certificates, keys, transcripts.
#[cfg(feature = "tls")]
const HANDSHAKE: u32 = 8 * 1024;
/// See [`PLAIN`]: what an upgrade to WebSocket adds until it has ended.
#[cfg(feature = "websocket")]
const UPGRADE: u32 = 24 * 1024;

/// What a listener speaks.
#[derive(Clone)]
pub(crate) enum Kind {
    Mqtt,
    /// The same, for users with passwords.
    MqttPassword,
    #[cfg(feature = "tls")]
    Mqtts(Arc<tls::Current>),
    /// The same with something wrong about it.
    #[cfg(feature = "tls")]
    BadTls(BadTls, Arc<tls::Current>),
    #[cfg(feature = "websocket")]
    Ws,
    /// The same, for users with passwords.
    #[cfg(feature = "websocket")]
    WsPassword,
    #[cfg(all(feature = "websocket", feature = "tls"))]
    Wss(Arc<tls::Current>),
    /// `Mqtt` and `Ws`, told apart by the first byte.
    #[cfg(feature = "websocket")]
    MqttAndWs,
    /// `Mqtts` and `Wss`, told apart by the first byte.
    #[cfg(all(feature = "websocket", feature = "tls"))]
    MqttsAndWss(Arc<tls::Current>),
    /// Several of these, and HTTP.
    #[cfg(feature = "doors")]
    Door(Arc<Door>),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::MqttPassword => "mqtt-password",
            #[cfg(feature = "tls")]
            Self::Mqtts(_) => "mqtts",
            #[cfg(feature = "tls")]
            Self::BadTls(kind, _) => kind.listener(),
            #[cfg(feature = "websocket")]
            Self::Ws => "ws",
            #[cfg(feature = "websocket")]
            Self::WsPassword => "ws-password",
            #[cfg(all(feature = "websocket", feature = "tls"))]
            Self::Wss(_) => "wss",
            #[cfg(feature = "websocket")]
            Self::MqttAndWs => "mqtt+ws",
            #[cfg(all(feature = "websocket", feature = "tls"))]
            Self::MqttsAndWss(_) => "mqtts+wss",
            #[cfg(feature = "doors")]
            Self::Door(door) => door.name,
        }
    }

    /// Whether it is for users, beside others that are open.
    fn wants_password(&self) -> bool {
        match self {
            Self::MqttPassword => true,
            #[cfg(feature = "websocket")]
            Self::WsPassword => true,
            _ => false,
        }
    }

    /// Bytes to account for until MQTT begins.
    fn opening_bytes(&self) -> u32 {
        match self {
            Self::Mqtt | Self::MqttPassword => PLAIN,
            #[cfg(feature = "tls")]
            Self::Mqtts(_) | Self::BadTls(..) => PLAIN + TLS + HANDSHAKE,
            #[cfg(feature = "websocket")]
            Self::Ws | Self::WsPassword | Self::MqttAndWs => PLAIN + WEBSOCKET + UPGRADE,
            #[cfg(all(feature = "websocket", feature = "tls"))]
            Self::Wss(_) | Self::MqttsAndWss(_) => PLAIN + TLS + WEBSOCKET + HANDSHAKE.max(UPGRADE),
            // What HTTP needs besides, the upgrade included, is charged by who answers it.
            #[cfg(feature = "doors")]
            Self::Door(_) => PLAIN + TLS + WEBSOCKET + HANDSHAKE,
        }
    }

    /// Bytes to account for from then on.
    fn open_bytes(&self) -> u32 {
        match self {
            Self::Mqtt | Self::MqttPassword => PLAIN,
            #[cfg(feature = "tls")]
            Self::Mqtts(_) | Self::BadTls(..) => PLAIN + TLS,
            #[cfg(feature = "websocket")]
            Self::Ws | Self::WsPassword | Self::MqttAndWs => PLAIN + WEBSOCKET,
            #[cfg(all(feature = "websocket", feature = "tls"))]
            Self::Wss(_) | Self::MqttsAndWss(_) => PLAIN + TLS + WEBSOCKET,
            #[cfg(feature = "doors")]
            Self::Door(_) => PLAIN + TLS + WEBSOCKET,
        }
    }
}

/// Binds a listening socket; port 0 takes any free one.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option would let two brokers share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // There `::` would be IPv6 alone; elsewhere it is IPv4 as well.
    #[cfg(windows)]
    if addr.ip() == std::net::Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the server stops.
pub(crate) async fn accept(shared: Arc<Shared>, listener: TcpListener, kind: Kind) {
    let accept = || listener.accept();
    accept_each(&shared, kind.name(), accept, |(stream, peer)| {
        take(&shared, stream, peer, kind.clone());
    })
    .await;
}

/// Accepts connections of whatever kind, and has each taken, until the server stops.
pub(super) async fn accept_each<A, F: Future<Output = io::Result<A>>>(
    shared: &Shared,
    name: &'static str,
    accept: impl Fn() -> F,
    take: impl Fn(A),
) {
    loop {
        for _ in 0..ACCEPTS_PER_TURN {
            let accepted = tokio::select! {
                accepted = accept() => accepted,
                () = shared.engine.stopping.cancelled() => return,
            };
            match accepted {
                Ok(accepted) => take(accepted),
                Err(error) => {
                    let now = shared.engine.clock.now().live;
                    back_off(&shared.notices.cannot_accept, now, name, &error).await;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Waits a while after an accept that failed for want of a resource.
pub(crate) async fn back_off(
    notice: &Seldom,
    now: Instant,
    listener: &'static str,
    error: &io::Error,
) {
    if is_transient(error) {
        return;
    }
    if let Some(earlier) = notice.due(now) {
        tracing::error!(listener, earlier, "cannot accept: {error}");
    }
    tokio::time::sleep(BACK_OFF).await;
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
    let name = kind.name();
    let Some(place) = place(shared, &kind, name, &peer) else {
        return;
    };
    // A socket that fails here fails at its first read as well.
    let _ = stream.set_nodelay(true);
    let since = shared.engine.clock.now().live;
    let plain_facts = |stream: &TcpStream| {
        let facts = ConnectionFacts::new(name, PeerAddr::Ip(peer), None);
        let facts = facts.at(stream.local_addr().ok());
        match kind.wants_password() {
            true => facts.for_users(),
            false => facts,
        }
    };
    let tasks = &shared.tasks;
    match &kind {
        Kind::Mqtt | Kind::MqttPassword => {
            let facts = plain_facts(&stream);
            let (inbound, link) = tcp::split(stream);
            let place = place.begin_mqtt();
            tasks.spawn(drive(place, inbound, link, facts, since));
        }
        #[cfg(feature = "tls")]
        Kind::Mqtts(config) | Kind::BadTls(_, config) => {
            let ending = match kind {
                Kind::BadTls(BadTls::NoCloseNotify, _) => Ending::Cut,
                _ => Ending::Told,
            };
            let opening = open_tls(place, stream, peer, name, config.get(), ending);
            tasks.spawn(Course::new(opening));
        }
        #[cfg(feature = "websocket")]
        Kind::Ws | Kind::WsPassword => {
            let facts = plain_facts(&stream);
            tasks.spawn(Course::new(open_ws(place, stream, facts, since)));
        }
        #[cfg(all(feature = "websocket", feature = "tls"))]
        Kind::Wss(config) => {
            let opening = open_wss(place, stream, peer, name, config.get());
            tasks.spawn(Course::new(opening));
        }
        #[cfg(feature = "websocket")]
        Kind::MqttAndWs => {
            let facts = plain_facts(&stream);
            tasks.spawn(Course::new(open_either(place, stream, facts, since)));
        }
        #[cfg(all(feature = "websocket", feature = "tls"))]
        Kind::MqttsAndWss(config) => {
            let opening = open_either_tls(place, stream, peer, name, config.get());
            tasks.spawn(Course::new(opening));
        }
        #[cfg(feature = "doors")]
        Kind::Door(door) => {
            let opening = open_door(place, stream, peer, door.clone());
            tasks.spawn(Course::new(opening));
        }
    }
}

/// Takes a connection over a Unix socket, of the process with this id.
#[cfg(unix)]
pub(super) fn take_unix(shared: &Arc<Shared>, stream: UnixStream, pid: Option<i32>) {
    let (name, peer) = (super::unix::NAME, PeerAddr::Unix(pid));
    if let Some(place) = place(shared, &Kind::Mqtt, name, &peer) {
        let since = shared.engine.clock.now().live;
        let (inbound, link) = tcp::split(stream);
        let facts = ConnectionFacts::new(name, peer, None);
        let place = place.begin_mqtt();
        shared
            .tasks
            .spawn(drive(place, inbound, link, facts, since));
    }
}

/// Connects a client of this process.
///
/// # Errors
///
/// `ConnectionRefused` where there is no place for it, and where no connections are taken any more.
pub(crate) fn connect(shared: &Arc<Shared>) -> io::Result<Connection> {
    let refused = |text| io::Error::new(io::ErrorKind::ConnectionRefused, text);
    if shared.engine.stopping.is_cancelled() {
        return Err(refused("the broker has stopped"));
    }
    let place = place(shared, &Kind::Mqtt, memory::NAME, &PeerAddr::Memory);
    let place = place.ok_or_else(|| refused("the broker takes no further connection now"))?;
    let place = place.begin_mqtt();
    let since = shared.engine.clock.now().live;
    let (connection, inbound, link) = memory::pair();
    let facts = ConnectionFacts::new(memory::NAME, PeerAddr::Memory, None);
    shared
        .tasks
        .spawn(drive(place, inbound, link, facts, since));
    Ok(connection)
}

/// A place for a connection; one that there is none for, or that comes in an outage, is counted and logged.
fn place(
    shared: &Arc<Shared>,
    kind: &Kind,
    listener: &'static str,
    peer: &dyn Display,
) -> Option<OpeningPlace> {
    let note = |cause, text: &dyn Display| {
        let now = shared.engine.clock.now().now;
        let broker = &shared.engine.broker;
        broker.note_closed_at_once(listener, peer, cause, || text.to_string(), now);
    };
    if shared.engine.broker.has_outage() {
        shared.engine.broker.count_refused();
        note("outage", &"an outage");
        tracing::debug!(%peer, listener, "refused: an outage");
        return None;
    }
    let refused = match OpeningPlace::take(shared, kind.opening_bytes(), kind.open_bytes()) {
        Ok(place) => return Some(place),
        Err(refused) => refused,
    };
    shared.engine.broker.count_refused();
    note("no_place", &refused);
    if let Some(earlier) = shared.notices.no_place.due(shared.engine.clock.now().live) {
        tracing::warn!(%peer, listener, earlier, "refused: {refused}");
    }
    None
}

/// Shakes hands. Says with the stream what is known of the connection now, and when its time until CONNECT began.
#[cfg(feature = "tls")]
async fn secure(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    name: &'static str,
    config: Arc<rustls::ServerConfig>,
) -> Option<(TlsStream<Watched>, ConnectionFacts, Instant)> {
    let local = stream.local_addr().ok();
    let stream = shake_hands(shared, stream, peer, name, config).await?;
    let since = shared.engine.clock.now().live;
    let tls = tls::facts(stream.get_ref().1, shared.engine.broker.access());
    let facts = ConnectionFacts::new(name, PeerAddr::Ip(peer), Some(tls)).at(local);
    Some((stream, facts, since))
}

#[cfg(feature = "tls")]
async fn open_tls(
    place: OpeningPlace,
    stream: TcpStream,
    peer: SocketAddr,
    name: &'static str,
    config: Arc<rustls::ServerConfig>,
    ending: Ending,
) -> Option<Course> {
    let (stream, facts, since) = secure(place.shared(), stream, peer, name, config).await?;
    let (inbound, link) = tls_link::take_apart(stream, ending);
    let place = place.begin_mqtt();
    Some(drive(place, inbound, link, facts, since))
}

#[cfg(feature = "websocket")]
async fn open_ws(
    place: OpeningPlace,
    stream: TcpStream,
    facts: ConnectionFacts,
    since: Instant,
) -> Option<Course> {
    let facts = facts.upgradable();
    let (front, stream) = ws::upgrade(place.shared(), stream, &facts).await?;
    let (inbound, link) = tcp::split(stream);
    let place = place.begin_mqtt();
    Some(drive_ws(place, front, inbound, link, facts, since))
}

#[cfg(all(feature = "websocket", feature = "tls"))]
async fn open_wss(
    place: OpeningPlace,
    stream: TcpStream,
    peer: SocketAddr,
    name: &'static str,
    config: Arc<rustls::ServerConfig>,
) -> Option<Course> {
    let (stream, facts, since) = secure(place.shared(), stream, peer, name, config).await?;
    upgrade_tls(place, stream, facts, since).await
}

/// Takes the upgrade to WebSocket over TLS.
#[cfg(all(feature = "websocket", feature = "tls"))]
async fn upgrade_tls(
    place: OpeningPlace,
    stream: TlsStream<Watched>,
    facts: ConnectionFacts,
    since: Instant,
) -> Option<Course> {
    let (front, stream) = ws::upgrade(place.shared(), stream, &facts).await?;
    let (inbound, link) = tls_link::take_apart(stream, Ending::Told);
    let place = place.begin_mqtt();
    Some(drive_ws(place, front, inbound, link, facts, since))
}

/// Drives a connection over WebSocket, whose upgrade left `front` unread.
#[cfg(feature = "websocket")]
fn drive_ws<I: Inbound, S: Socket>(
    place: Place,
    front: Bytes,
    inbound: I,
    link: Arc<S>,
    facts: ConnectionFacts,
    since: Instant,
) -> Course {
    let config = place.shared.engine.broker.config();
    let (inbound, link) = ws::join(config, front, inbound, link);
    let facts = facts.over_websocket();
    drive(place, inbound, link, facts, since)
}

/// What a client begins with where it may be MQTT or HTTP. Every method of HTTP begins with a capital letter.
#[cfg(feature = "websocket")]
pub(super) fn begins_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}

/// Waits for the first byte of a client, and says whether it is that of HTTP. One that sends none, in the time that it
/// has for CONNECT, is left to MQTT, which says so.
#[cfg(feature = "websocket")]
async fn comes_with_http(shared: &Shared, first: impl Future<Output = Option<u8>>) -> bool {
    let limit = shared.engine.broker.config().limits.connect_timeout;
    let first = shared.engine.clock.timeout(limit, first);
    let first = tokio::select! {
        first = first => first.ok().flatten(),
        () = shared.engine.stopping.cancelled() => None,
    };
    first.is_some_and(begins_http)
}

/// Takes MQTT or WebSocket, up to where MQTT begins.
#[cfg(feature = "websocket")]
async fn open_either(
    mut place: OpeningPlace,
    stream: TcpStream,
    facts: ConnectionFacts,
    since: Instant,
) -> Option<Course> {
    let first = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1..) => Some(first[0]),
            _ => None,
        }
    };
    if comes_with_http(place.shared(), first).await {
        return open_ws(place, stream, facts, since).await;
    }
    place.will_hold(PLAIN);
    let place = place.begin_mqtt();
    let (inbound, link) = tcp::split(stream);
    Some(drive(place, inbound, link, facts, since))
}

/// The same over TLS.
#[cfg(all(feature = "websocket", feature = "tls"))]
async fn open_either_tls(
    mut place: OpeningPlace,
    stream: TcpStream,
    peer: SocketAddr,
    name: &'static str,
    config: Arc<rustls::ServerConfig>,
) -> Option<Course> {
    let (mut stream, facts, since) = secure(place.shared(), stream, peer, name, config).await?;
    let first = async { stream.fill_buf().await.ok()?.first().copied() };
    if comes_with_http(place.shared(), first).await {
        return upgrade_tls(place, stream, facts, since).await;
    }
    place.will_hold(PLAIN + TLS);
    let place = place.begin_mqtt();
    let (inbound, link) = tls_link::take_apart(stream, Ending::Told);
    Some(drive(place, inbound, link, facts, since))
}

#[cfg(feature = "doors")]
async fn open_door(
    mut place: OpeningPlace,
    stream: TcpStream,
    peer: SocketAddr,
    door: Arc<Door>,
) -> Option<Course> {
    let shared = place.shared().clone();
    let opening = secure(&shared, stream, peer, door.name, door.tls.get());
    let (stream, facts, since) = opening.await?;
    place.begin();
    Some(match doors::open(&shared, &door, stream, &facts).await? {
        Opened::Mqtt(stream) => {
            place.will_hold(PLAIN + TLS);
            let place = place.begin_mqtt();
            let (inbound, link) = tls_link::take_apart(stream, Ending::Told);
            drive(place, inbound, link, facts, since)
        }
        Opened::WebSocket(front, stream) => {
            // HTTP has bounds of its own, and may have taken a while.
            let since = shared.engine.clock.now().live;
            let (inbound, link) = tls_link::take_apart(stream, Ending::Told);
            drive_ws(place.begin_mqtt(), front, inbound, link, facts, since)
        }
    })
}

#[cfg(feature = "tls")]
async fn shake_hands(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    listener: &'static str,
    config: Arc<rustls::ServerConfig>,
) -> Option<TlsStream<Watched>> {
    let limit = shared.engine.broker.config().tls.handshake_timeout;
    let gate = &shared.handshakes;
    let clock = &shared.engine.clock;
    let seen = Seen::begin(shared.engine.broker.tap());
    let source = peer.ip().into();
    let made = tls_link::shake_hands(stream, &seen, config, gate, source, limit, clock).await;
    let refusal = match made {
        Ok(stream) => return Some(stream),
        Err(refusal) => refusal,
    };
    shared.engine.broker.count_refused();
    let came = watched::came(&seen);
    let (cause, alert, text) = match refusal {
        NoHandshake::Failed(error) => {
            let (cause, alert) = watched::cause_of(&error, &seen);
            let text = why_none(&error, came, listener, shared.engine.broker.config());
            tracing::info!(%peer, listener, "TLS handshake failed: {text}");
            (cause, alert, text)
        }
        NoHandshake::Slow => {
            let text = match came {
                Came::Nothing => "; the client has sent nothing",
                _ => "",
            };
            let text = format!("TLS handshake took longer than {limit:?}{text}");
            tracing::info!(%peer, listener, "{text}");
            (HandshakeCause::Timeout, None, text)
        }
        NoHandshake::Crowded => {
            let text = "refused: too many TLS handshakes wait";
            if let Some(earlier) = shared.notices.crowded.due(clock.now().live) {
                tracing::warn!(%peer, listener, earlier, "{text}");
            }
            (HandshakeCause::Crowded, None, text.to_owned())
        }
    };
    let what = || {
        let (info, failure) = watched::failure(&seen, cause, alert);
        Happened {
            name: "handshake_failed",
            text,
            end: None,
            tls: Some(info),
            failure: Some(failure),
        }
    };
    let tap = shared.engine.broker.tap();
    tap.note_early_end(listener, &peer, what, clock.now().now);
    None
}
