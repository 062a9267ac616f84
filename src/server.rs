//! A broker with its listeners, started and stopped from code.

mod clock;
mod counters;
mod expect;
mod handle;
mod journal;
mod messages;
#[cfg(feature = "aws")]
mod registry;
mod rules;
mod views;
mod waits;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use serde::{Serialize, Serializer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[cfg(all(feature = "aws", feature = "http"))]
use crate::aws::connectivity::Connectivity;
#[cfg(feature = "aws")]
use crate::aws::{authority::Authority, lifecycle::Lifecycle, versions::Versions};
use crate::broker::{Broker, Randomness};
#[cfg(feature = "tls")]
use crate::config::ClientCert;
use crate::config::{self, BadTls, Config, ListenerKind};
use crate::engine::{Engine, timekeeper};
#[cfg(feature = "tls")]
use crate::net::tls::Current;
#[cfg(unix)]
use crate::net::unix;
use crate::net::{Notices, Passwords, Shared, Tasks, listener};
use crate::time::Clock;

pub use self::clock::BrokerClock;
pub use self::counters::{Deadline, Stats};
pub use self::expect::{ClientExpectation, GroupExpectation};
pub use self::handle::Handle;
pub use self::journal::{AbsenceError, Journal};
pub use self::rules::Rules;
pub use self::views::{ClientInfo, GroupInfo, MemberInfo};
pub use self::waits::{ConnectionEnd, WaitError};

/// Handshakes that may wait for their next step; half of them from one address.
#[cfg(feature = "tls")]
const HANDSHAKES_WAITING: usize = 16_384;

/// Where a server listens; `None` where it has no such listener. It is written as `listeners` in the line of
/// `--ready json` and in `/v1/info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Addrs {
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// MQTT over TCP.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over WebSocket, path `/mqtt`; any path in the profile `standard`.
    pub ws: Option<SocketAddr>,
    /// MQTT over WebSocket over TLS, path `/mqtt`; any path in the profile `standard`.
    pub wss: Option<SocketAddr>,
    /// MQTT, WebSocket and the HTTP API of the service over TLS, told apart by ALPN.
    pub alpn: Option<SocketAddr>,
    /// The HTTP API of the service for devices, over TLS.
    pub https: Option<SocketAddr>,
    /// The HTTP control API.
    pub http: Option<SocketAddr>,
    /// MQTT over TLS with something wrong about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "by_name")]
    pub bad_tls: BTreeMap<BadTls, SocketAddr>,
    /// MQTT over TCP, for users with passwords.
    #[serde(rename = "mqtt-password", skip_serializing_if = "Option::is_none")]
    pub mqtt_password: Option<SocketAddr>,
    /// MQTT over WebSocket, for users with passwords.
    #[serde(rename = "ws-password", skip_serializing_if = "Option::is_none")]
    pub ws_password: Option<SocketAddr>,
    /// Those of [`Listeners::further`](crate::config::Listeners::further), in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<SocketAddr>,
    /// MQTT over a Unix socket; absolute.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    pub unix_socket: Option<PathBuf>,
}

impl Addrs {
    /// Has the ports that the system chose in the place of 0.
    fn note_ports(&self, listeners: &mut config::Listeners) {
        for (port, addr) in [
            (&mut listeners.mqtt, self.mqtt),
            (&mut listeners.mqtts, self.mqtts),
            (&mut listeners.ws, self.ws),
            (&mut listeners.wss, self.wss),
            (&mut listeners.http, self.http),
        ] {
            if let Some(addr) = addr {
                *port = Some(addr.port());
            }
        }
    }
}

fn by_name<S: Serializer>(
    addrs: &BTreeMap<BadTls, SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    // In the order of the names.
    let names: BTreeMap<_, _> = addrs
        .iter()
        .map(|(kind, addr)| (kind.name(), addr))
        .collect();
    names.serialize(serializer)
}

fn shown<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref()
        .map(|path| path.display().to_string())
        .serialize(serializer)
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address of a listener cannot be had.
    #[error("cannot listen on {addr} for {listener}: {source}")]
    Bind {
        /// `mqtt`, `mqtts`, `ws`, `wss`, `alpn`, `https`, `http`, `mqtt-password`, `ws-password`, or the name of a [`BadTls`] or
        /// a [further](crate::config::ListenerKind) listener.
        listener: &'static str,
        /// What was asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The Unix socket cannot be had.
    #[error("cannot listen at the Unix socket `{}`: {source}", path.display())]
    UnixSocket {
        /// What was asked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A listener needs a feature of the crate that was left out.
    #[error("the listener {listener} needs the crate's feature `{feature}`")]
    Feature {
        /// The listener.
        listener: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// The certificates cannot be made or read.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Certificates(#[from] crate::CertError),
    /// The registry cannot be read.
    #[cfg(feature = "aws")]
    #[error("the registry: {0}")]
    Registry(#[from] crate::aws::registry::StoreError),
    /// The fleet document cannot be applied.
    #[cfg(feature = "aws")]
    #[error("the fleet document: {0}")]
    Fleet(#[from] crate::aws::registry::fleet::FileError),
    /// TLS cannot be set up with them.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::TlsError),
    /// One of [`Config::rules`] cannot be set.
    #[error("rule {index} of `rules`: {reason}")]
    Rule {
        /// Which one, from 0 on.
        index: usize,
        /// Why not.
        reason: String,
    },
    /// The certificate of a listener with a fault cannot be made.
    #[cfg(feature = "tls")]
    #[error("cannot make the certificate of {}: {source}", kind.listener())]
    BadTls {
        /// The fault.
        kind: BadTls,
        /// Why not.
        source: crate::CertError,
    },
}

/// A running broker, and what ends it: dropping it ends all its tasks at once,
/// [`stop`](Handle::stop) lets clients know first.
///
/// Everything that a program does with it is a method of its [`Handle`], which it dereferences to. Any
/// number can run in one process.
///
/// ```
/// use roundel::{Config, Message, QoS, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::start(Config::standard().ephemeral()).await?;
/// assert!(server.addrs().mqtt.is_some());
///
/// let mut messages = server.subscribe("cars/+", QoS::AtLeastOnce)?;
/// server.publish(&Message::new("cars/1", "hello").with_qos(QoS::AtLeastOnce))?;
/// assert_eq!(messages.next().await.map(|message| message.payload), Some("hello".into()));
/// server.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    handle: Handle,
}

impl Server {
    /// Starts a broker: binds every listener of `config`, makes missing certificates, and returns
    /// when all of them accept.
    ///
    /// # Errors
    ///
    /// An address that is taken, certificates that cannot be made or read, or a listener whose
    /// feature was left out of the crate.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let clock = Clock::at_scale(config.time_scale);
        #[cfg_attr(
            not(feature = "http"),
            expect(unused_mut, reason = "one is taken out with HTTP")
        )]
        let mut listeners = bind_all(&config)?;
        #[cfg(feature = "tls")]
        let tls = match listeners.need_tls() {
            true => Some(read_certificates(&config).await?),
            false => None,
        };
        let addrs = listeners.addrs();
        // Clients at the wrong listener are told of others by their ports.
        let mut config = config;
        addrs.note_ports(&mut config.listeners);
        #[cfg(feature = "aws")]
        let (config, opened) = {
            // Files are read, and maybe mended.
            let date = clock.date();
            let http = addrs.http;
            let opened = tokio::task::spawn_blocking(move || {
                let opened = registry::open(&config, http, date)?;
                Ok::<_, StartError>((config, opened))
            });
            opened
                .await
                .unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))?
        };
        #[cfg(feature = "aws")]
        let (registry, announcement) = match opened {
            Some(opened) => (Some(opened.registry), opened.announcement),
            None => (None, None),
        };
        #[cfg(feature = "tls")]
        let tls = match tls {
            Some((certificates, trust)) => {
                let prepared = prepare(
                    certificates,
                    trust,
                    &config,
                    #[cfg(feature = "aws")]
                    registry.as_ref(),
                )?;
                Some(Arc::new(prepared))
            }
            None => None,
        };
        #[cfg(feature = "aws")]
        let authority = registry.map(|registry| registry::authority(registry, &config, &clock));
        let shared = share(
            config,
            clock,
            #[cfg(feature = "aws")]
            authority.as_ref(),
        );
        set_rules(&shared)?;
        shared.tasks.spawn(timekeeper::keep_time(
            shared.engine.clone(),
            shared.turns.clone(),
        ));
        if let Some(interval) = shared.engine.broker.config().sys_interval {
            let publishing = timekeeper::publish_sys(shared.engine.clone(), interval);
            shared.tasks.spawn(publishing);
        }
        let handle = Handle::new(
            shared.clone(),
            addrs,
            #[cfg(feature = "aws")]
            authority,
            #[cfg(feature = "tls")]
            tls.clone(),
        );
        #[cfg(feature = "http")]
        let http = listeners.need_http().then(|| {
            crate::http::Servers::new(handle.http_parts(
                #[cfg(feature = "aws")]
                announcement.as_ref().map(|said| said.token().into()),
            ))
        });
        #[cfg(feature = "http")]
        if let (Some(listener), Some(http)) = (listeners.http.take(), &http) {
            let server = http.own();
            shared.tasks.spawn(crate::http::listen(server, listener));
        }
        #[cfg(feature = "aws")]
        if let Some(announcement) = announcement {
            let stopping = shared.engine.stopping.clone();
            shared.tasks.spawn(async move {
                stopping.cancelled().await;
                drop(announcement);
            });
        }
        listeners.serve(
            &shared,
            #[cfg(feature = "tls")]
            tls.as_deref(),
            #[cfg(feature = "doors")]
            http.as_ref(),
        );
        Ok(Self { handle })
    }

    /// A handle on it that can be cloned and may outlive it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl std::ops::Deref for Server {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.kill();
    }
}

/// A broker that has not begun, and what its connections will share.
pub(crate) fn share(
    config: Config,
    clock: Clock,
    #[cfg(feature = "aws")] authority: Option<&Arc<Authority>>,
) -> Arc<Shared> {
    let timekeeper = Arc::new(timekeeper::Timekeeper::default());
    let randomness = match config.seed {
        Some(seed) => Randomness::from_seed(seed),
        None => Randomness::from_source(system_random),
    };
    let broker = Broker::new(config, randomness, clock.now().now, timekeeper.clone());
    #[cfg(feature = "aws")]
    let versions = Arc::<Versions>::default();
    #[cfg(feature = "aws")]
    let broker = match broker.config().aws.lifecycle_events {
        true => {
            let registry = authority.map(|authority| authority.registry().clone());
            let lifecycle = Lifecycle::new(clock.calendar(), system_random(), registry, &versions);
            broker.with_events(Arc::new(lifecycle))
        }
        false => broker,
    };
    #[cfg(all(feature = "aws", feature = "http"))]
    let (broker, connectivity) = {
        let connectivity = Arc::new(Connectivity::new(clock.calendar(), versions));
        let listeners = &broker.config().listeners;
        let asking = [listeners.http, listeners.alpn, listeners.https];
        // Nobody else asks for it.
        match asking.iter().any(Option::is_some) {
            true => (broker.with_events(connectivity.clone()), connectivity),
            false => (broker, connectivity),
        }
    };
    #[cfg(feature = "aws")]
    let desk = authority.and_then(|authority| registry::desk(authority, &broker, &clock));
    #[cfg(feature = "aws")]
    let broker = match authority {
        Some(authority) => {
            #[cfg(feature = "http")]
            let broker = broker.with_events(authority.clone());
            broker.with_access(authority.clone())
        }
        None => broker,
    };
    #[cfg(feature = "aws")]
    let broker = match desk {
        Some(desk) => broker.with_service(desk),
        None => broker,
    };
    let passwords = Passwords::new(&broker);
    #[cfg(feature = "aws")]
    let functions = Arc::new(crate::net::Functions::new(&broker.config().lambda));
    let engine = Arc::new(Engine {
        broker,
        clock,
        timekeeper,
        stopping: CancellationToken::new(),
    });
    #[cfg(feature = "aws")]
    if let Some(authority) = authority {
        registry::follow(authority.registry(), &engine);
    }
    Arc::new(Shared {
        engine,
        turns: Arc::default(),
        tasks: Tasks::default(),
        connections: AtomicUsize::new(0),
        passwords,
        #[cfg(feature = "tls")]
        handshakes: crate::net::Gate::new(handshake_steps(), HANDSHAKES_WAITING),
        #[cfg(feature = "aws")]
        enrolments: crate::net::enrolment_gate(),
        #[cfg(feature = "aws")]
        authorizers: crate::net::Authorizers::new(authority.cloned()),
        #[cfg(feature = "aws")]
        functions,
        #[cfg(all(feature = "aws", feature = "http"))]
        connectivity,
        notices: Notices::default(),
    })
}

/// Sets the packet rules of the configuration, before there is anybody.
#[cfg(feature = "http")]
fn set_rules(shared: &Shared) -> Result<(), StartError> {
    let broker = &shared.engine.broker;
    let now = shared.engine.clock.now().now;
    for (index, text) in broker.config().rules.iter().enumerate() {
        let rule = crate::tap::rule::Rule::from_json(text);
        let set = rule.and_then(|rule| {
            let set = broker.add_rule(rule, now);
            set.map_err(|error| error.to_string())
        });
        set.map_err(|reason| StartError::Rule { index, reason })?;
    }
    Ok(())
}

#[cfg(not(feature = "http"))]
fn set_rules(shared: &Shared) -> Result<(), StartError> {
    match shared.engine.broker.config().rules.is_empty() {
        true => Ok(()),
        false => Err(StartError::Rule {
            index: 0,
            reason: "it needs the crate's feature `http`".to_owned(),
        }),
    }
}

/// Bits of the operating system's randomness; six of them are not random.
fn system_random() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}

/// One worker stays free for traffic while clients connect.
#[cfg(feature = "tls")]
fn handshake_steps() -> usize {
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    workers.saturating_sub(1).max(1)
}

/// What the TLS listeners work with, each with a configuration of its own.
#[cfg(feature = "tls")]
struct Prepared {
    mqtts: Arc<Current>,
    #[cfg(feature = "websocket")]
    wss: Arc<Current>,
    #[cfg(feature = "doors")]
    alpn: Arc<Current>,
    #[cfg(feature = "doors")]
    https: Arc<Current>,
    bad: BTreeMap<BadTls, Arc<Current>>,
    /// Those of further listeners, in their order; `None` for one without TLS.
    further: Vec<Option<Arc<Current>>>,
    trust: handle::Trust,
}

#[cfg(feature = "tls")]
fn prepare_tls(
    certificates: &crate::net::tls::Certificates,
    trust: handle::Trust,
    client_cert: ClientCert,
    listeners: &config::Listeners,
) -> Result<Prepared, StartError> {
    let bad = listeners.bad_tls.keys().map(|kind| {
        let config = certificates.bad_config(*kind, client_cert)?;
        Ok((*kind, Current::new(config)))
    });
    let config = |terms| certificates.config(terms).map(Current::new);
    let further = listeners.further.iter().map(|one| {
        let terms = crate::net::tls::Terms {
            client_cert: one.client_cert.unwrap_or(client_cert),
            alpn: &[],
        };
        let over_tls = one.kind.is_tls().then(|| config(terms));
        Ok(over_tls.transpose()?)
    });
    let terms = crate::net::tls::Terms {
        client_cert,
        alpn: &[],
    };
    Ok(Prepared {
        mqtts: config(terms)?,
        #[cfg(feature = "websocket")]
        wss: config(terms)?,
        #[cfg(feature = "doors")]
        alpn: config(crate::net::tls::Terms {
            client_cert: ClientCert::Optional,
            alpn: &crate::net::doors::ALPN,
        })?,
        #[cfg(feature = "doors")]
        https: config(crate::net::tls::Terms {
            client_cert: ClientCert::Required,
            alpn: &[],
        })?,
        bad: bad.collect::<Result<_, StartError>>()?,
        further: further.collect::<Result<_, StartError>>()?,
        trust,
    })
}

#[cfg(feature = "tls")]
impl Prepared {
    /// Has every listener go on with the certificates of another, which was prepared for the same ones.
    fn take_over(&self, other: &Self) {
        self.mqtts.take_over(&other.mqtts);
        #[cfg(feature = "websocket")]
        self.wss.take_over(&other.wss);
        #[cfg(feature = "doors")]
        self.alpn.take_over(&other.alpn);
        #[cfg(feature = "doors")]
        self.https.take_over(&other.https);
        for (kind, config) in &self.bad {
            if let Some(other) = other.bad.get(kind) {
                config.take_over(other);
            }
        }
        let further = self.further.iter().zip(&other.further);
        for (config, other) in
            further.filter_map(|(config, other)| config.as_ref().zip(other.as_ref()))
        {
            config.take_over(other);
        }
    }
}

#[cfg(feature = "doors")]
impl Prepared {
    /// The service's port 443.
    fn alpn(&self, http: &crate::http::Servers) -> listener::Kind {
        listener::Kind::Door(Arc::new(crate::net::doors::Door {
            name: "alpn",
            tls: self.alpn.clone(),
            takes_mqtt: true,
            web: http.door(),
        }))
    }

    /// Its port 8443.
    fn https(&self, http: &crate::http::Servers) -> listener::Kind {
        listener::Kind::Door(Arc::new(crate::net::doors::Door {
            name: "https",
            tls: self.https.clone(),
            takes_mqtt: false,
            web: http.device_door(),
        }))
    }
}

/// Sets up every listener of TLS with these certificates.
#[cfg(feature = "tls")]
fn prepare(
    certificates: crate::net::tls::Certificates,
    trust: handle::Trust,
    config: &Config,
    #[cfg(feature = "aws")] registry: Option<&Arc<crate::aws::registry::Registry>>,
) -> Result<Prepared, StartError> {
    let mut certificates = certificates.under(&config.aws);
    if let Some(file) = &config.tls.keylog {
        certificates = certificates.with_key_log(file)?;
    }
    #[cfg(feature = "aws")]
    let certificates = match registry {
        Some(registry) => certificates.with_registry(registry)?,
        None => certificates,
    };
    let client_cert = config.tls.client_cert;
    prepare_tls(&certificates, trust, client_cert, &config.listeners)
}

/// Makes the certificates of a configuration, or reads them.
#[cfg(feature = "tls")]
async fn read_certificates(
    config: &Config,
) -> Result<(crate::net::tls::Certificates, handle::Trust), StartError> {
    let mut tls = config.tls.clone();
    // Clients that are told this name find it in the certificate.
    tls.san.push(config.endpoint_name.clone());
    let bad: Vec<_> = config.listeners.bad_tls.keys().copied().collect();
    // Keys are made, and another process that makes them is waited for.
    let prepared = tokio::task::spawn_blocking(move || certificates(&tls, &bad));
    prepared
        .await
        .unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))
}

/// Makes the certificates, or reads them, and makes those that have a fault.
#[cfg(feature = "tls")]
fn certificates(
    tls: &config::Tls,
    bad: &[BadTls],
) -> Result<(crate::net::tls::Certificates, handle::Trust), StartError> {
    use crate::net::ca;

    let (mut certificates, trust) = sound_certificates(tls)?;
    for &kind in bad {
        let made = match &trust.signer {
            Some(signer) => signer.faulty(kind, &tls.san),
            None => ca::faulty_without_authority(kind, &tls.san),
        };
        let made = made.map_err(|source| StartError::BadTls { kind, source })?;
        if let Some(made) = made {
            certificates.add_faulty(kind, made)?;
        }
    }
    Ok((certificates, trust))
}

#[cfg(feature = "tls")]
fn sound_certificates(
    tls: &config::Tls,
) -> Result<(crate::net::tls::Certificates, handle::Trust), StartError> {
    use crate::net::ca;
    use crate::net::tls::Certificates;

    if tls.in_memory {
        let own = ca::Ephemeral::new(&tls.san)?;
        let certificates = Certificates::in_memory(&own)?;
        let trust = handle::Trust {
            ca_file: None,
            ca_pem: Some(own.ca_pem.as_str().into()),
            signer: Some(Arc::new(ca::Signer::Memory(Box::new(own)))),
        };
        return Ok((certificates, trust));
    }
    let files = ca::ensure(tls)?;
    let certificates = Certificates::read(&files)?;
    // A PKI of one's own issues by itself.
    let folder = tls.server_cert.is_none().then(|| tls.certs.clone());
    let trust = handle::Trust {
        ca_file: files.ca_file.map(Into::into),
        ca_pem: None,
        signer: folder.map(|folder| Arc::new(ca::Signer::Folder(folder))),
    };
    Ok((certificates, trust))
}

/// The bound sockets of a configuration.
#[derive(Default)]
struct Listeners {
    mqtt: Option<TcpListener>,
    mqtts: Option<TcpListener>,
    ws: Option<TcpListener>,
    wss: Option<TcpListener>,
    alpn: Option<TcpListener>,
    https: Option<TcpListener>,
    http: Option<TcpListener>,
    bad_tls: BTreeMap<BadTls, TcpListener>,
    mqtt_password: Option<TcpListener>,
    ws_password: Option<TcpListener>,
    further: Vec<(ListenerKind, TcpListener)>,
    #[cfg(unix)]
    unix_socket: Option<unix::UnixSocket>,
}

/// Listens at a Unix socket.
#[cfg(unix)]
fn bind_unix(path: &Path) -> io::Result<unix::UnixSocket> {
    unix::UnixSocket::bind(path)
}

#[cfg(not(unix))]
fn bind_unix(_: &Path) -> io::Result<std::convert::Infallible> {
    Err(io::ErrorKind::Unsupported.into())
}

fn bind_all(config: &Config) -> Result<Listeners, StartError> {
    let wanted = &config.listeners;
    let bind = |listener, host, port: Option<u16>, feature: Option<&'static str>| {
        let Some(port) = port else { return Ok(None) };
        if let Some(feature) = feature {
            return Err(StartError::Feature { listener, feature });
        }
        let addr = SocketAddr::new(host, port);
        match listener::bind(addr) {
            Ok(bound) => Ok(Some(bound)),
            Err(source) => Err(StartError::Bind {
                listener,
                addr,
                source,
            }),
        }
    };
    let tls = (!cfg!(feature = "tls")).then_some("tls");
    let websocket = (!cfg!(feature = "websocket")).then_some("websocket");
    let http = (!cfg!(feature = "http")).then_some("http");
    let doors = (!cfg!(feature = "doors")).then_some("doors");
    let mut bad_tls = BTreeMap::new();
    for (kind, port) in &wanted.bad_tls {
        let bound = bind(kind.listener(), wanted.host, Some(*port), tls)?;
        bad_tls.extend(bound.map(|bound| (*kind, bound)));
    }
    let mut further = Vec::new();
    for one in &wanted.further {
        let lacks_tls = tls.filter(|_| one.kind.is_tls());
        let lacks_websocket = websocket.filter(|_| one.kind.takes_websocket());
        let lacks = lacks_tls.or(lacks_websocket);
        let bound = bind(one.kind.name(), wanted.host, Some(one.port), lacks)?;
        further.extend(bound.map(|bound| (one.kind, bound)));
    }
    let unix_socket = wanted.unix_socket.as_deref().map(|path| {
        bind_unix(path).map_err(|source| StartError::UnixSocket {
            path: path.to_owned(),
            source,
        })
    });
    let unix_socket = unix_socket.transpose()?;
    #[cfg(not(unix))]
    let None = unix_socket;
    Ok(Listeners {
        mqtt: bind("mqtt", wanted.host, wanted.mqtt, None)?,
        mqtts: bind("mqtts", wanted.host, wanted.mqtts, tls)?,
        ws: bind("ws", wanted.host, wanted.ws, websocket)?,
        wss: bind("wss", wanted.host, wanted.wss, tls.or(websocket))?,
        alpn: bind("alpn", wanted.host, wanted.alpn, doors)?,
        https: bind("https", wanted.host, wanted.https, doors)?,
        http: bind("http", wanted.http_host, wanted.http, http)?,
        bad_tls,
        mqtt_password: bind("mqtt-password", wanted.host, wanted.mqtt_password, tls)?,
        ws_password: bind(
            "ws-password",
            wanted.host,
            wanted.ws_password,
            tls.or(websocket),
        )?,
        further,
        #[cfg(unix)]
        unix_socket,
    })
}

impl Listeners {
    fn addrs(&self) -> Addrs {
        let addr = |listener: &Option<TcpListener>| {
            listener
                .as_ref()
                .and_then(|listener| listener.local_addr().ok())
        };
        let bad_addr = |(kind, listener): (&BadTls, &TcpListener)| {
            let addr = listener.local_addr().ok()?;
            Some((*kind, addr))
        };
        let further_addr = |(_, listener): &(ListenerKind, TcpListener)| listener.local_addr().ok();
        Addrs {
            mqtt: addr(&self.mqtt),
            mqtts: addr(&self.mqtts),
            ws: addr(&self.ws),
            wss: addr(&self.wss),
            alpn: addr(&self.alpn),
            https: addr(&self.https),
            http: addr(&self.http),
            bad_tls: self.bad_tls.iter().filter_map(bad_addr).collect(),
            mqtt_password: addr(&self.mqtt_password),
            ws_password: addr(&self.ws_password),
            further: self.further.iter().filter_map(further_addr).collect(),
            #[cfg(unix)]
            unix_socket: self
                .unix_socket
                .as_ref()
                .map(|socket| socket.path().to_owned()),
            #[cfg(not(unix))]
            unix_socket: None,
        }
    }

    #[cfg(feature = "tls")]
    fn need_tls(&self) -> bool {
        let over_tls = [&self.mqtts, &self.wss, &self.alpn, &self.https];
        !self.bad_tls.is_empty()
            || self.further.iter().any(|(kind, _)| kind.is_tls())
            || over_tls.iter().any(|listener| listener.is_some())
    }

    #[cfg(feature = "http")]
    fn need_http(&self) -> bool {
        let over_http = [&self.http, &self.alpn, &self.https];
        over_http.iter().any(|listener| listener.is_some())
    }

    fn serve(
        self,
        shared: &Arc<Shared>,
        #[cfg(feature = "tls")] tls: Option<&Prepared>,
        #[cfg(feature = "doors")] http: Option<&crate::http::Servers>,
    ) {
        let serve = |listener: Option<TcpListener>, kind: Option<listener::Kind>| {
            if let (Some(listener), Some(kind)) = (listener, kind) {
                shared
                    .tasks
                    .spawn(listener::accept(shared.clone(), listener, kind));
            }
        };
        serve(self.mqtt, Some(listener::Kind::Mqtt));
        serve(self.mqtt_password, Some(listener::Kind::MqttPassword));
        #[cfg(unix)]
        if let Some(socket) = self.unix_socket {
            shared.tasks.spawn(unix::accept(shared.clone(), socket));
        }
        #[cfg(feature = "tls")]
        serve(
            self.mqtts,
            tls.map(|tls| listener::Kind::Mqtts(tls.mqtts.clone())),
        );
        #[cfg(feature = "tls")]
        for (kind, listener) in self.bad_tls {
            let config = tls.and_then(|tls| tls.bad.get(&kind));
            let kind = config.map(|config| listener::Kind::BadTls(kind, config.clone()));
            serve(Some(listener), kind);
        }
        #[cfg(feature = "websocket")]
        {
            serve(self.ws, Some(listener::Kind::Ws));
            serve(self.ws_password, Some(listener::Kind::WsPassword));
        }
        #[cfg(all(feature = "websocket", feature = "tls"))]
        serve(
            self.wss,
            tls.map(|tls| listener::Kind::Wss(tls.wss.clone())),
        );
        #[cfg(feature = "tls")]
        let mut configs = tls.map_or(&[][..], |tls| &tls.further).iter();
        for (kind, listener) in self.further {
            #[cfg(feature = "tls")]
            let config = configs.next().cloned().flatten();
            let kind = further_kind(
                kind,
                #[cfg(feature = "tls")]
                config,
            );
            serve(Some(listener), kind);
        }
        #[cfg(feature = "doors")]
        if let (Some(tls), Some(http)) = (tls, http) {
            let alpn = self.alpn.is_some().then(|| tls.alpn(http));
            serve(self.alpn, alpn);
            let https = self.https.is_some().then(|| tls.https(http));
            serve(self.https, https);
        }
    }
}

/// What a further listener speaks; `None` where this build lacks it, and nothing was bound.
fn further_kind(
    kind: ListenerKind,
    #[cfg(feature = "tls")] tls: Option<Arc<Current>>,
) -> Option<listener::Kind> {
    match kind {
        ListenerKind::Mqtt => Some(listener::Kind::Mqtt),
        #[cfg(feature = "tls")]
        ListenerKind::Mqtts => tls.map(listener::Kind::Mqtts),
        #[cfg(feature = "websocket")]
        ListenerKind::Ws => Some(listener::Kind::Ws),
        #[cfg(feature = "websocket")]
        ListenerKind::MqttAndWs => Some(listener::Kind::MqttAndWs),
        #[cfg(all(feature = "websocket", feature = "tls"))]
        ListenerKind::Wss => tls.map(listener::Kind::Wss),
        #[cfg(all(feature = "websocket", feature = "tls"))]
        ListenerKind::MqttsAndWss => tls.map(listener::Kind::MqttsAndWss),
        #[cfg(not(all(feature = "websocket", feature = "tls")))]
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    /// As one worker that is inside a long turn: nobody looks at the runtime's timers, and no task
    /// gets to its end.
    #[test]
    fn stop_comes_back_in_time_while_the_only_worker_is_busy() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut config = Config::standard();
        config.listeners = config::Listeners {
            mqtt: Some(0),
            ..config::Listeners::none()
        };
        let server = runtime.block_on(Server::start(config)).unwrap();
        let (busy, is_busy) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let context = runtime.enter();
        server.handle.shared.tasks.spawn(async move {
            busy.send(()).unwrap();
            let _ = released.recv(); // its end is what is waited for
        });
        drop(context);
        is_busy.recv().unwrap();
        let start = Instant::now();
        runtime.block_on(server.stop());
        // Two seconds, and some of the machine's slowness.
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        drop(release);
    }

    /// SIGHUP and programs may ask for it any number of times.
    #[cfg(feature = "aws")]
    #[tokio::test]
    async fn certificates_that_are_read_again_leave_nobody_who_follows_the_registry() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::aws();
        config.tls.certs = folder.path().into();
        config.registry = config::RegistryPlace::Memory;
        config.listeners = config::Listeners {
            mqtts: Some(0),
            ..config::Listeners::none()
        };
        let server = Server::start(config).await.unwrap();
        let registry = server.registry().unwrap();
        let before = registry.listeners();
        for _ in 0..3 {
            server.reload_certificates().await.unwrap();
        }
        assert_eq!(registry.listeners(), before);
        server.stop().await;
    }
}
