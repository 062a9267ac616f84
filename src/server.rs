//! A broker with its listeners, started and stopped from code.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, Dirty, Randomness};
use crate::codec::QoS;
use crate::config::Config;
use crate::local::{Message, Refused, Subscription};
use crate::net::{Notices, Passwords, Shared, Tasks, Turns, listener, timekeeper};
use crate::time::Clock;

/// Connections have so long to read their DISCONNECT when the server stops.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Handshakes that may wait for their next step; half of them from one address.
#[cfg(feature = "tls")]
const HANDSHAKES_WAITING: usize = 16_384;

/// Tasks that were dropped have so long to notice: a worker may be inside a long turn.
const KILL_LIMIT: Duration = Duration::from_millis(300);

/// Where a server listens; `None` where it has no such listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addrs {
    /// MQTT over TCP.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// MQTT over WebSocket, path `/mqtt`; any path in the profile `standard`.
    pub ws: Option<SocketAddr>,
    /// MQTT over WebSocket over TLS, path `/mqtt`; any path in the profile `standard`.
    pub wss: Option<SocketAddr>,
    /// The HTTP control API.
    pub http: Option<SocketAddr>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address of a listener cannot be had.
    #[error("cannot listen on {addr} for {listener}: {source}")]
    Bind {
        /// `mqtt`, `mqtts`, `ws`, `wss` or `http`.
        listener: &'static str,
        /// What was asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A listener needs a feature of the crate that was left out.
    #[error("--{listener}-port needs the crate's feature `{feature}`")]
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
    /// TLS cannot be set up with them.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::TlsError),
}

/// A running broker.
///
/// Dropping it ends all its tasks at once; [`stop`](Self::stop) lets clients know first. Any number
/// can run in one process.
///
/// ```
/// use roundel::{Config, Message, QoS, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::standard();
/// config.listeners = roundel::config::Listeners { mqtt: Some(0), ..roundel::config::Listeners::none() };
/// let server = Server::start(config).await?;
/// assert!(server.addrs().mqtt.is_some());
///
/// let mut messages = server.subscribe("cars/+", QoS::AtLeastOnce)?;
/// server.publish(&Message::new("cars/1", "hello").with_qos(QoS::AtLeastOnce))?;
/// assert_eq!(messages.next().await.map(|message| message.payload), Some("hello".into()));
/// server.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    shared: Arc<Shared>,
    addrs: Addrs,
    ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addrs", &self.addrs)
            .finish_non_exhaustive()
    }
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
        let listeners = bind_all(&config)?;
        #[cfg(feature = "tls")]
        let (tls, ca_file) = match listeners.mqtts.is_some() || listeners.wss.is_some() {
            true => {
                let tls = config.tls.clone();
                // Keys are made, and another process that makes them is waited for.
                let prepared = tokio::task::spawn_blocking(move || prepare_tls(&tls));
                let (tls, ca_file) = prepared
                    .await
                    .unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))?;
                (Some(tls), ca_file)
            }
            false => (None, None),
        };
        #[cfg(not(feature = "tls"))]
        let ca_file = None;
        let addrs = listeners.addrs();
        let shared = share(config);
        shared.tasks.spawn(timekeeper::keep_time(shared.clone()));
        if let Some(interval) = shared.broker.config().sys_interval {
            let publishing = timekeeper::publish_sys(shared.clone(), interval);
            shared.tasks.spawn(publishing);
        }
        listeners.serve(
            &shared,
            #[cfg(feature = "tls")]
            tls.as_ref(),
        );
        Ok(Self {
            shared,
            addrs,
            ca_file,
        })
    }

    /// Where it listens, with the ports that the system chose for port 0.
    #[must_use]
    pub fn addrs(&self) -> &Addrs {
        &self.addrs
    }

    /// The CA certificate that clients of the TLS listeners trust; absolute. `None` without TLS, and
    /// where a server certificate of one's own comes from another authority than the clients' ones.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Publishes a message in this process, under the rules that hold for clients.
    ///
    /// # Errors
    ///
    /// What a client would be told: a topic that is not valid or not allowed, a limit.
    pub fn publish(&self, message: &Message) -> Result<(), Refused> {
        message.publish(&self.shared)
    }

    /// Subscribes in this process, to a plain or a shared filter; retained messages come first.
    ///
    /// # Errors
    ///
    /// A filter that is not valid or not allowed, or a limit that is reached.
    pub fn subscribe(&self, filter: &str, qos: QoS) -> Result<Subscription, Refused> {
        Subscription::open(self.shared.clone(), filter, qos)
    }

    /// Stops: closes the listeners, sends every client DISCONNECT 0x8B, and returns when the last
    /// task has ended, after two seconds at most.
    ///
    /// It needs neither a timer nor a free worker of the runtime: where a worker is busy for longer,
    /// its task ends behind the caller's back, and a warning says that there was one.
    pub async fn stop(self) {
        let shared = &self.shared;
        shared.stopping.cancel();
        let dismissed = dismiss(shared.clone());
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
}

/// Tells every client that the server shuts down, on a thread of its own: the locks of a session are
/// held for as long as a turn on it takes.
async fn dismiss(shared: Arc<Shared>) {
    let told = tokio::task::spawn_blocking(move || {
        let now = shared.clock.now();
        let mut dirty = Dirty::default();
        shared.broker.stop(now, &mut dirty);
        shared.broker.flush_all(&shared.broker.context(now), dirty);
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

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
        self.shared.tasks.kill();
    }
}

/// What the tasks of a server share.
pub(crate) fn share(config: Config) -> Arc<Shared> {
    let clock = Clock::default();
    let timekeeper = Arc::new(timekeeper::Timekeeper::default());
    let randomness = match config.seed {
        Some(seed) => Randomness::from_seed(seed),
        None => Randomness::from_source(system_random),
    };
    let broker = Broker::new(config, randomness, clock.now(), timekeeper.clone());
    let passwords = Passwords::new(&broker);
    Arc::new(Shared {
        broker,
        clock,
        timekeeper,
        turns: Turns::default(),
        tasks: Tasks::default(),
        stopping: CancellationToken::new(),
        connections: AtomicUsize::new(0),
        passwords,
        #[cfg(feature = "tls")]
        handshakes: crate::net::Gate::new(handshake_steps(), HANDSHAKES_WAITING),
        notices: Notices::default(),
    })
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

#[cfg(feature = "tls")]
fn prepare_tls(
    tls: &crate::config::Tls,
) -> Result<(Arc<rustls::ServerConfig>, Option<PathBuf>), StartError> {
    let files = crate::net::ca::ensure(tls)?;
    let config = crate::net::tls::server_config(tls, &files)?;
    Ok((config, files.ca_file))
}

/// The bound sockets of a configuration.
#[derive(Default)]
struct Listeners {
    mqtt: Option<TcpListener>,
    mqtts: Option<TcpListener>,
    ws: Option<TcpListener>,
    wss: Option<TcpListener>,
    http: Option<TcpListener>,
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
    Ok(Listeners {
        mqtt: bind("mqtt", wanted.host, wanted.mqtt, None)?,
        mqtts: bind("mqtts", wanted.host, wanted.mqtts, tls)?,
        ws: bind("ws", wanted.host, wanted.ws, websocket)?,
        wss: bind("wss", wanted.host, wanted.wss, tls.or(websocket))?,
        http: bind("http", wanted.http_host, wanted.http, http)?,
    })
}

impl Listeners {
    fn addrs(&self) -> Addrs {
        let addr = |listener: &Option<TcpListener>| {
            listener
                .as_ref()
                .and_then(|listener| listener.local_addr().ok())
        };
        Addrs {
            mqtt: addr(&self.mqtt),
            mqtts: addr(&self.mqtts),
            ws: addr(&self.ws),
            wss: addr(&self.wss),
            http: addr(&self.http),
        }
    }

    fn serve(
        self,
        shared: &Arc<Shared>,
        #[cfg(feature = "tls")] tls: Option<&Arc<rustls::ServerConfig>>,
    ) {
        let serve = |listener: Option<TcpListener>, kind: Option<listener::Kind>| {
            if let (Some(listener), Some(kind)) = (listener, kind) {
                shared
                    .tasks
                    .spawn(listener::accept(shared.clone(), listener, kind));
            }
        };
        serve(self.mqtt, Some(listener::Kind::Mqtt));
        #[cfg(feature = "tls")]
        serve(self.mqtts, tls.cloned().map(listener::Kind::Mqtts));
        #[cfg(feature = "websocket")]
        serve(self.ws, Some(listener::Kind::Ws));
        #[cfg(all(feature = "websocket", feature = "tls"))]
        serve(self.wss, tls.cloned().map(listener::Kind::Wss));
        #[cfg(feature = "http")]
        if let Some(listener) = self.http {
            shared
                .tasks
                .spawn(crate::http::serve(shared.clone(), listener));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;
    use crate::config;

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
        server.shared.tasks.spawn(async move {
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
}
