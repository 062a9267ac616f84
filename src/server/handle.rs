//! What a program does with a running broker.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(feature = "aws")]
use crate::aws::{authority::Authority, registry::Registry};
use crate::broker::Dirty;
use crate::codec::QoS;
use crate::config::User;
use crate::engine::Engine;
use crate::local::{Message, Reached, Refused, Subscription};
#[cfg(feature = "tls")]
use crate::net::ca::{CertError, IssuedPem, KeyKind, Signer};
use crate::net::{Connection, Shared, listener};

use super::{Addrs, BrokerClock, Journal, Rules};
#[cfg(feature = "tls")]
use super::{Prepared, StartError};

/// Connections have so long to read their DISCONNECT when the server stops.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Tasks that were dropped have so long to notice: a worker may be inside a long turn.
const KILL_LIMIT: Duration = Duration::from_millis(300);

/// A handle on a broker. Clones are handles on the same one.
///
/// It may outlive the [`Server`](super::Server), or [`stop`](Self::stop): then there are no listeners, no
/// network clients and no timers any more, and what the program publishes and subscribes to stays in the
/// program.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    /// Where its tasks run.
    runtime: tokio::runtime::Handle,
    addrs: Addrs,
    #[cfg(feature = "aws")]
    authority: Option<Arc<Authority>>,
    #[cfg(feature = "tls")]
    trust: Option<Trust>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<Prepared>>,
}

/// What the certificates of the TLS listeners come from.
#[cfg(feature = "tls")]
#[derive(Clone)]
pub(super) struct Trust {
    /// What clients trust, where it is in a file.
    pub(super) ca_file: Option<Arc<Path>>,
    /// The same, where it is in memory.
    pub(super) ca_pem: Option<Arc<str>>,
    /// What issues certificates of clients, unless that is done elsewhere.
    pub(super) signer: Option<Arc<Signer>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("addrs", &self.addrs)
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// A handle on a broker whose tasks run where this is called.
    pub(super) fn new(
        shared: Arc<Shared>,
        addrs: Addrs,
        #[cfg(feature = "aws")] authority: Option<Arc<Authority>>,
        #[cfg(feature = "tls")] tls: Option<Arc<Prepared>>,
    ) -> Self {
        Self {
            shared,
            runtime: tokio::runtime::Handle::current(),
            addrs,
            #[cfg(feature = "aws")]
            authority,
            #[cfg(feature = "tls")]
            trust: tls.as_ref().map(|tls| tls.trust.clone()),
            #[cfg(feature = "tls")]
            tls,
        }
    }

    /// Where it listens, with the ports that the system chose for port 0.
    #[must_use]
    pub fn addrs(&self) -> &Addrs {
        &self.addrs
    }

    /// Reads the certificates of the listeners again, from the files that they were read from, and makes what is
    /// missing, as at the start. Handshakes that begin from now on go by them; connections stay. Nothing happens
    /// without TLS, and where certificates are in memory only.
    ///
    /// # Errors
    ///
    /// Those of a start. The listeners go on with what they have then.
    #[cfg(feature = "tls")]
    pub async fn reload_certificates(&self) -> Result<(), StartError> {
        let config = self.shared.engine.broker.config();
        let Some(tls) = self.tls.as_ref().filter(|_| !config.tls.in_memory) else {
            return Ok(());
        };
        let (certificates, trust) = super::read_certificates(config).await?;
        let prepared = super::prepare(
            certificates,
            trust,
            config,
            #[cfg(feature = "aws")]
            self.registry(),
        )?;
        tls.take_over(&prepared);
        Ok(())
    }

    /// Has these users in the place of those of the configuration: from now on CONNECT needs a name and a password
    /// of theirs. Connections stay. Whether users are asked at all is as it was at the start: returns false, and
    /// changes nothing, where there were none then, or where there are to be none any more.
    #[must_use]
    pub fn set_users(&self, users: Vec<User>) -> bool {
        let had_some = !self.shared.engine.broker.config().users.is_empty();
        let may = had_some && !users.is_empty();
        if may {
            self.shared.passwords.set_users(users);
        }
        may
    }

    /// Things, certificates and policies; `None` where the configuration says that there are none. What
    /// changes there holds from the next packet and the next delivery, and a certificate that may not
    /// connect any more loses its connections at once.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn registry(&self) -> Option<&Arc<Registry>> {
        self.authority
            .as_ref()
            .map(|authority| authority.registry())
    }

    /// The CA certificate that clients of the TLS listeners trust; absolute. `None` without TLS, where
    /// it is in memory only, and where a server certificate of one's own comes from another authority
    /// than the clients' ones.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        #[cfg(feature = "tls")]
        if let Some(trust) = &self.trust {
            return trust.ca_file.as_deref();
        }
        None
    }

    /// The CA certificate that clients trust where it is in memory ([`Tls::in_memory`], PEM); `None`
    /// elsewhere.
    ///
    /// [`Tls::in_memory`]: crate::config::Tls::in_memory
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.trust.as_ref()?.ca_pem.as_deref()
    }

    /// Issues a client certificate with `CN=name` that its TLS listeners accept.
    ///
    /// ```
    /// use roundel::{Config, KeyKind, Server};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::start(Config::aws().ephemeral()).await?;
    /// let client = server.issue_pem("thermostat", KeyKind::Ecdsa)?;
    /// assert!(client.private_key.starts_with("-----BEGIN PRIVATE KEY-----"));
    /// assert!(server.ca_pem().is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A name that is empty, too long for a Common Name, or no file name; a broker without an authority
    /// of its own: one without TLS or with a PKI of one's own, or one whose authority's key is kept
    /// elsewhere.
    #[cfg(feature = "tls")]
    pub fn issue_pem(&self, name: &str, kind: KeyKind) -> Result<IssuedPem, CertError> {
        let signer = self.trust.as_ref().and_then(|trust| trust.signer.as_ref());
        signer.ok_or(CertError::NoAuthority)?.issue_pem(name, kind)
    }

    /// What the HTTP API works on.
    #[cfg(feature = "http")]
    pub(super) fn http_parts(
        &self,
        #[cfg(feature = "aws")] registry_token: Option<Arc<str>>,
    ) -> crate::http::Parts {
        crate::http::Parts {
            engine: self.shared.engine.clone(),
            tasks: self.shared.tasks.clone(),
            turns: self.shared.turns.clone(),
            cannot_accept: self.shared.notices.cannot_accept.clone(),
            place: Arc::new(crate::http::Place {
                addrs: self.addrs.clone(),
                ca_file: self.ca_file().map(Path::to_owned),
            }),
            #[cfg(feature = "aws")]
            authority: self.authority.clone(),
            #[cfg(feature = "aws")]
            registry_token,
            #[cfg(feature = "aws")]
            connectivity: self.shared.connectivity.clone(),
            #[cfg(feature = "aws")]
            functions: self.shared.functions.clone(),
            #[cfg(all(feature = "aws", feature = "tls"))]
            signer: self.trust.as_ref().and_then(|trust| trust.signer.clone()),
        }
    }

    /// Publishes a message in this process, under the rules that hold for clients. Returns whom it reached.
    ///
    /// # Errors
    ///
    /// What a client would be told: a topic that is not valid or not allowed, a limit.
    pub fn publish(&self, message: &Message) -> Result<Reached, Refused> {
        message.publish(&self.shared.engine)
    }

    /// Subscribes in this process, to a plain or a shared filter; retained messages come first.
    ///
    /// # Errors
    ///
    /// A filter that is not valid or not allowed, or a limit that is reached.
    pub fn subscribe(&self, filter: &str, qos: QoS) -> Result<Subscription, Refused> {
        Subscription::open(self.shared.engine.clone(), filter, qos)
    }

    /// Connects a client that runs in this process, without a socket: what this returns is handed to a client library
    /// that takes any stream. For the broker it is a connection of the listener `memory`, with all that there is to
    /// one: CONNECT, Keep Alive, limits, packet rules, journal. It needs no certificate and no TLS.
    ///
    /// With [`tokio::time::pause`](https://docs.rs/tokio/latest/tokio/time/fn.pause.html) no time passes in a test but that which it waits for: then Tokio's time is the
    /// broker's, too.
    ///
    /// ```
    /// use roundel::{Config, Server, config::Listeners};
    /// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut config = Config::standard().ephemeral();
    /// config.listeners = Listeners::none();
    /// let server = Server::start(config).await?;
    /// let mut connection = server.connect()?;
    /// connection.write_all(b"\x10\x0f\0\x04MQTT\x05\x02\0\0\0\0\x02me").await?;
    /// let mut connack = [0; 4];
    /// connection.read_exact(&mut connack).await?;
    /// assert_eq!((connack[0], connack[3]), (0x20, 0), "it is accepted");
    /// assert_eq!(server.client("me").and_then(|client| client.listener), Some("memory"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused) where a listener would close a connection at once:
    /// in an outage, beyond `limits.connections` and `limits.memory`; and when the broker has stopped.
    pub fn connect(&self) -> std::io::Result<Connection> {
        let _runtime = self.runtime.enter();
        listener::connect(&self.shared)
    }

    /// The packet rules, which have things go wrong on the way between clients and the broker.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules::new(self.shared.engine.clone())
    }

    /// The journal of packets and connections.
    #[must_use]
    pub fn journal(&self) -> Journal {
        let engine = self.shared.engine.clone();
        let calendar = engine.clock.calendar();
        Journal::new(engine, calendar)
    }

    /// The broker's clock.
    #[must_use]
    pub fn clock(&self) -> BrokerClock {
        BrokerClock::new(self.shared.engine.clone())
    }

    /// Stops: closes the listeners, sends every client DISCONNECT 0x8B, and returns when the last
    /// task has ended, after two seconds at most. A second call finds nothing left to do.
    ///
    /// It needs neither a timer nor a free worker of the runtime: where a worker is busy for longer,
    /// its task ends behind the caller's back, and a warning says that there was one.
    pub async fn stop(&self) {
        let shared = &self.shared;
        shared.engine.stopping.cancel();
        let dismissed = dismiss(shared.engine.clone());
        let ended = async {
            dismissed.await;
            shared.tasks.wait().await;
        };
        if within(FAREWELL_LIMIT, ended).await {
            tracing::info!("stopped");
            return;
        }
        shared.tasks.kill();
        if within(KILL_LIMIT, shared.tasks.wait()).await {
            tracing::info!("stopped, without waiting for every client to read its DISCONNECT");
        } else {
            tracing::warn!(
                tasks = shared.tasks.len(),
                connections = shared.connections.load(Ordering::Relaxed),
                "not everything stopped in time"
            );
        }
    }

    /// Ends all its tasks at once.
    pub(super) fn kill(&self) {
        self.shared.engine.stopping.cancel();
        self.shared.tasks.kill();
    }
}

/// Tells every client that the server shuts down, on a thread of its own: the locks of a session are
/// held for as long as a turn on it takes.
async fn dismiss(engine: Arc<Engine>) {
    let told = tokio::task::spawn_blocking(move || {
        let now = engine.clock.now();
        let mut dirty = Dirty::default();
        engine.broker.stop(now, &mut dirty);
        engine.broker.flush_all(&engine.broker.context(now), dirty);
    });
    // It fails only where the runtime ends, and takes the connections with it.
    let _ = told.await;
}

/// Waits for a future, at most so long; whether it ended.
///
/// A thread keeps the time. A runtime's own timers stand still while its workers are busy.
async fn within(limit: Duration, future: impl Future<Output = ()>) -> bool {
    let (cancel, cancelled) = std::sync::mpsc::channel::<()>();
    let (expire, expired) = tokio::sync::oneshot::channel();
    let watch = std::thread::Builder::new().name("stop".into());
    // A machine without threads left gets no time to wait either.
    let _watch = watch.spawn(move || {
        // An error is the time that ran out, or a caller that is gone.
        let _ = cancelled.recv_timeout(limit);
        let _ = expire.send(());
    });
    let in_time = tokio::select! {
        biased;
        () = future => true,
        _ = expired => false,
    };
    drop(cancel);
    in_time
}
