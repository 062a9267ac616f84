//! What is known about a connection besides its MQTT state.

use std::fmt;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::RwLock;

use crate::auth::Source;
#[cfg(feature = "aws")]
use crate::budget::Charge;
#[cfg(all(feature = "aws", feature = "websocket"))]
use crate::budget::Full;
use crate::codec::Version;
use crate::tap::Tap;
use crate::tap::line::{Line, Wake};

/// What stands for the listener of a session of this process.
pub(crate) const LOCAL: &str = "local";

/// The same for one that somebody has opened over HTTP: the journal tells of it.
pub(crate) const CONSOLE: &str = "console";

/// Facts of one connection, for logs and the HTTP API.
#[derive(Debug)]
pub(crate) struct ConnectionFacts {
    listener: Listener,
    ends: Ends,
    /// Boxed, because nothing comes before MQTT over plain TCP.
    before: Option<Box<Before>>,
    /// The listener is one of those for users with passwords.
    pub(crate) wants_password: bool,
    /// WebSocket carries it.
    #[cfg(feature = "aws")]
    pub(crate) is_websocket: bool,
    /// The client speaks MQTT 5, of one that is known.
    is_v5: AtomicBool,
    pub(crate) traffic: Traffic,
    /// Client Identifier, once it has its session.
    client: OnceLock<Arc<str>>,
    /// The connection as packet rules and the journal see it, once they do.
    line: OnceLock<Arc<Line>>,
}

/// The name of a listener, by its number among all that the program has had: a byte of each connection, not two words.
#[derive(Clone, Copy, Debug)]
struct Listener(u8);

/// Such names in the order in which they came. They stand in the program, so they are few.
static LISTENERS: RwLock<Vec<&str>> = RwLock::new(Vec::new());

impl Listener {
    fn named(name: &'static str) -> Self {
        let place_in = |names: &[&str]| names.iter().position(|other| *other == name);
        let known = place_in(&LISTENERS.read());
        let place = known.unwrap_or_else(|| {
            let mut names = LISTENERS.write();
            // Somebody else may have been faster.
            place_in(&names).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        });
        Self(u8::try_from(place).unwrap_or(u8::MAX))
    }

    fn name(self) -> &'static str {
        let names = LISTENERS.read();
        names.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// What came before MQTT on a connection, or may come.
#[derive(Debug, Default)]
struct Before {
    tls: Option<TlsFacts>,
    /// What the upgrade to WebSocket says of the client. Boxed, because nothing else comes over TLS mostly.
    #[cfg(feature = "aws")]
    upgrade: OnceLock<Box<Upgraded>>,
}

impl ConnectionFacts {
    /// Facts of a connection on which nothing has come in yet.
    pub(crate) fn new(listener: &'static str, peer: PeerAddr, tls: Option<TlsFacts>) -> Self {
        Self {
            listener: Listener::named(listener),
            ends: Ends::new(peer, None),
            before: tls.map(|tls| {
                Box::new(Before {
                    tls: Some(tls),
                    #[cfg(feature = "aws")]
                    upgrade: OnceLock::new(),
                })
            }),
            wants_password: false,
            #[cfg(feature = "aws")]
            is_websocket: false,
            is_v5: AtomicBool::new(false),
            traffic: Traffic::default(),
            client: OnceLock::new(),
            line: OnceLock::new(),
        }
    }

    /// The same where an upgrade to WebSocket may come.
    #[cfg(feature = "websocket")]
    pub(crate) fn upgradable(self) -> Self {
        Self {
            before: Some(self.before.unwrap_or_default()),
            ..self
        }
    }

    /// The same with WebSocket in between.
    #[cfg(feature = "websocket")]
    pub(crate) fn over_websocket(self) -> Self {
        #[cfg(feature = "aws")]
        return Self {
            is_websocket: true,
            ..self
        };
        #[cfg(not(feature = "aws"))]
        self
    }

    /// The connection as packet rules and the journal see it, which is made if there is none: `wake` is to
    /// wake its owner. There is none of a subscription of this process, which has no packets.
    pub(crate) fn line(
        &self,
        tap: &Tap,
        now: Instant,
        wake: impl FnOnce() -> Wake,
    ) -> Option<&Arc<Line>> {
        if self.is_local() {
            return None;
        }
        let line = self.line.get_or_init(|| {
            let line = tap.open(self.listener(), self.peer().to_string(), now, wake());
            self.identify_in(&line);
            line
        });
        Some(line)
    }

    /// What the journal writes rows for, where it is a session that was opened over HTTP. No rule sees its packets.
    pub(super) fn witness(&self, tap: &Tap, now: Instant) -> Option<&Arc<Line>> {
        if self.listener() != CONSOLE {
            return None;
        }
        let line = self.line.get_or_init(|| {
            let nobody: Wake = Box::new(|| {});
            tap.open(self.listener(), self.peer().to_string(), now, nobody)
        });
        self.identify_in(line);
        Some(line)
    }

    /// Says on the line who the client is, if that is known.
    fn identify_in(&self, line: &Line) {
        if let Some(client_id) = self.client.get() {
            let version = match self.is_v5.load(Ordering::Relaxed) {
                true => Version::V5,
                false => Version::V311,
            };
            line.identify(client_id, version);
        }
    }

    /// Whether it is a session of this process, without packets.
    pub(super) fn is_local(&self) -> bool {
        [LOCAL, CONSOLE].contains(&self.listener())
    }

    /// The connection has its session.
    pub(super) fn identify(&self, client_id: &Arc<str>, version: Version) {
        // It has one in its life.
        self.is_v5.store(version == Version::V5, Ordering::Relaxed);
        let _ = self.client.set(client_id.clone());
        if let Some(line) = self.line.get() {
            line.identify(client_id, version);
        }
    }

    /// The same, if it was ever looked at.
    pub(crate) fn open_line(&self) -> Option<&Arc<Line>> {
        self.line.get()
    }

    /// The same at a listener for users with passwords.
    pub(crate) fn for_users(self) -> Self {
        Self {
            wants_password: true,
            ..self
        }
    }

    /// The same on a socket with this address.
    pub(crate) fn at(self, local: Option<SocketAddr>) -> Self {
        Self {
            ends: Ends::new(self.peer(), local),
            ..self
        }
    }

    /// The listener: `mqtt`, `mqtts`, `ws`, `wss`, `alpn`, `https`, `http`, `unix`, `bad-tls:` and a fault,
    /// `mqtt-password`, `ws-password`, `local` or `console`.
    pub(crate) fn listener(&self) -> &'static str {
        self.listener.name()
    }

    /// What the TLS handshake settled, if there was one.
    pub(crate) fn tls(&self) -> Option<&TlsFacts> {
        self.before.as_ref()?.tls.as_ref()
    }

    pub(crate) fn peer(&self) -> PeerAddr {
        self.ends.both().0
    }

    /// The address that the other end reached, if it has one.
    #[cfg(all(feature = "http", feature = "aws"))]
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.ends.both().1
    }

    /// The id of the access key with which the upgrade to WebSocket was signed.
    #[cfg(feature = "aws")]
    pub(crate) fn access_key(&self) -> Option<&Arc<str>> {
        match &**self.before.as_ref()?.upgrade.get()? {
            Upgraded::Signed(id) => Some(id),
            Upgraded::Shown(_) => None,
        }
    }

    /// What came with the upgrade to WebSocket, where an authorizer may want to see it.
    #[cfg(feature = "aws")]
    pub(crate) fn upgrade(&self) -> Option<&Upgrade> {
        match &**self.before.as_ref()?.upgrade.get()? {
            Upgraded::Signed(_) => None,
            Upgraded::Shown(upgrade) => Some(upgrade),
        }
    }

    /// Notes with which access key the upgrade to WebSocket was signed.
    #[cfg(all(feature = "aws", feature = "websocket"))]
    pub(crate) fn note_access_key(&self, id: &str) {
        self.note(Upgraded::Signed(id.into()));
    }

    /// Notes what came with an upgrade that nobody has signed.
    #[cfg(all(feature = "aws", feature = "websocket"))]
    pub(crate) fn note_upgrade(&self, upgrade: Upgrade) {
        self.note(Upgraded::Shown(upgrade));
    }

    #[cfg(all(feature = "aws", feature = "websocket"))]
    fn note(&self, upgraded: Upgraded) {
        debug_assert!(
            self.before.is_some(),
            "an upgrade that nobody was to expect"
        );
        if let Some(before) = &self.before {
            // There is one upgrade.
            before.upgrade.get_or_init(|| Box::new(upgraded));
        }
    }
}

/// Both addresses of a connection. Nearly always they are two of IPv4, and take as much room as one.
#[derive(Debug)]
enum Ends {
    V4(SocketAddrV4, SocketAddrV4),
    Others(Box<(PeerAddr, Option<SocketAddr>)>),
}

impl Ends {
    fn new(peer: PeerAddr, local: Option<SocketAddr>) -> Self {
        match (peer, local) {
            (PeerAddr::Ip(SocketAddr::V4(peer)), Some(SocketAddr::V4(local))) => {
                Self::V4(peer, local)
            }
            both => Self::Others(Box::new(both)),
        }
    }

    fn both(&self) -> (PeerAddr, Option<SocketAddr>) {
        match self {
            Self::V4(peer, local) => (PeerAddr::Ip((*peer).into()), Some((*local).into())),
            Self::Others(both) => **both,
        }
    }
}

/// What an upgrade to WebSocket says of the client.
#[cfg(feature = "aws")]
#[derive(Debug)]
#[cfg_attr(
    not(feature = "websocket"),
    expect(dead_code, reason = "only WebSocket has an upgrade")
)]
enum Upgraded {
    /// The id of the access key with which it was signed.
    Signed(Arc<str>),
    /// It was not signed, and this came with it.
    Shown(Upgrade),
}

/// What came with an upgrade to WebSocket.
#[cfg(feature = "aws")]
pub(crate) struct Upgrade {
    pub(crate) headers: Vec<(String, String)>,
    /// As it was sent.
    pub(crate) query: String,
    /// Accounts for both.
    _charge: Charge,
}

#[cfg(all(feature = "aws", feature = "websocket"))]
impl Upgrade {
    /// Both, for which `charge` gets the bytes.
    pub(crate) fn new(
        headers: Vec<(String, String)>,
        query: String,
        mut charge: Charge,
    ) -> Result<Self, Full> {
        let header = |(name, value): &(String, String)| {
            size_of::<(String, String)>() + name.len() + value.len()
        };
        charge.grow(query.len() + headers.iter().map(header).sum::<usize>())?;
        Ok(Self {
            headers,
            query,
            _charge: charge,
        })
    }
}

/// There are secrets in it.
#[cfg(feature = "aws")]
impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// Where the other end of a connection is. Displayed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerAddr {
    Ip(SocketAddr),
    /// A process at a Unix socket, with its id where the system tells it.
    #[cfg(unix)]
    Unix(Option<i32>),
    /// In the memory of this process.
    Memory,
}

impl PeerAddr {
    /// The address of a socket; `None` where there is none.
    #[cfg(any(feature = "http", feature = "aws"))]
    pub(crate) fn socket_addr(self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(address),
            #[cfg(unix)]
            Self::Unix(_) => None,
            Self::Memory => None,
        }
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            #[cfg(unix)]
            Self::Unix(Some(pid)) => write!(f, "process {pid}"),
            #[cfg(unix)]
            Self::Unix(None) => f.write_str("this machine"),
            Self::Memory => f.write_str("this process"),
        }
    }
}

impl From<PeerAddr> for Source {
    fn from(peer: PeerAddr) -> Self {
        match peer {
            PeerAddr::Ip(address) => address.ip().into(),
            #[cfg(unix)]
            PeerAddr::Unix(_) => Self::UNIX,
            PeerAddr::Memory => Self::PROCESS,
        }
    }
}

/// What came in on one connection. Its owner adds to it once per batch, on a cache line that hardly
/// anybody else writes; summed up when somebody asks, and taken over by the broker when it ends.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    packets: AtomicU64,
    bytes: AtomicU64,
    messages: AtomicU64,
}

/// Sums of [`Traffic`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TrafficTotals {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
}

impl Traffic {
    pub(crate) fn add(&self, batch: TrafficTotals) {
        self.packets.fetch_add(batch.packets, Ordering::Relaxed);
        self.bytes.fetch_add(batch.bytes, Ordering::Relaxed);
        self.messages.fetch_add(batch.messages, Ordering::Relaxed);
    }

    /// Empties it. Whoever ends the connection does, perhaps while its owner adds.
    pub(super) fn take(&self) -> TrafficTotals {
        TrafficTotals {
            packets: self.packets.swap(0, Ordering::Relaxed),
            bytes: self.bytes.swap(0, Ordering::Relaxed),
            messages: self.messages.swap(0, Ordering::Relaxed),
        }
    }

    pub(super) fn totals(&self) -> TrafficTotals {
        TrafficTotals {
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
        }
    }
}

/// What the TLS handshake settled.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    /// SHA-256 of the client certificate, as the service's certificate id.
    pub(crate) certificate_id: Option<Arc<str>>,
    /// The client certificate (DER), where [`Access`](super::access::Access) may have it registered.
    #[cfg(feature = "aws")]
    pub(crate) certificate: Option<Box<[u8]>>,
    /// The server name that the client asked for.
    pub(crate) sni: Option<Box<str>>,
    pub(crate) details: TlsDetails,
}

/// What the HTTP API and the journal show of a TLS handshake besides.
#[derive(Clone, Debug)]
pub(crate) struct TlsDetails {
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The cipher suite, in IANA's spelling.
    pub(crate) cipher: &'static str,
    /// The application protocol agreed on.
    pub(crate) alpn: Option<Box<str>>,
    /// The first Common Name of the client certificate's subject.
    pub(crate) common_name: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_is_shown_as_its_address_or_as_this_process() {
        let peer = |text: &str| PeerAddr::Ip(text.parse().unwrap());
        assert_eq!(peer("[::1]:1883").to_string(), "[::1]:1883");
        assert_eq!(PeerAddr::Memory.to_string(), "this process");
        #[cfg(unix)]
        assert_eq!(PeerAddr::Unix(Some(42)).to_string(), "process 42");
    }

    #[test]
    fn listeners_keep_their_names() {
        let facts = |name| ConnectionFacts::new(name, PeerAddr::Memory, None);
        let all = ["mqtt", "mqtts", LOCAL, "mqtt", CONSOLE].map(|name| (name, facts(name)));
        for (name, facts) in &all {
            assert_eq!(facts.listener(), *name);
        }
        assert!(all[2].1.is_local() && all[4].1.is_local() && !all[3].1.is_local());
    }

    /// Clients in memory share their turns and their failures, and nobody on the network has a part in them.
    #[test]
    fn source_of_a_peer_is_its_host_or_this_process() {
        let source = |text: &str| Source::from(PeerAddr::Ip(text.parse().unwrap()));
        assert_eq!(source("127.0.0.1:1"), source("127.0.0.1:2"));
        assert_eq!(Source::from(PeerAddr::Memory), Source::PROCESS);
        for address in ["127.0.0.1:1", "0.0.0.0:1", "[::]:1"] {
            assert_ne!(source(address), Source::PROCESS, "{address}");
        }
        #[cfg(unix)]
        {
            let unix = |pid| Source::from(PeerAddr::Unix(pid));
            assert_eq!(unix(Some(1)), unix(Some(2)));
            assert_ne!(unix(None), Source::PROCESS);
            assert_ne!(unix(None), source("127.0.0.1:1"));
        }
    }
}
