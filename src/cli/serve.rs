//! `roundel serve`: a broker from start to signal.

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

#[cfg(feature = "tls")]
use roundel::CertError;
#[cfg(feature = "aws")]
use roundel::aws::registry::fleet::FileError;
#[cfg(feature = "aws")]
use roundel::config::RegistryPlace;
use roundel::config::{Config, Loaded, Origin, Program, Ready};
use roundel::{Addrs, Server, StartError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::log::{self, Log};
use super::reload::Reload;
use super::{ServeArgs, print, ready};

/// A start that is under way when a signal comes may finish what it writes, for so long.
const START_LIMIT: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let Loaded { config, program } = args.sources()?.load().map_err(Failure::misuse)?;
    let log = start_logging(&program)?;
    raise_file_limit();
    let no_threads = |error| Failure::refused(format!("cannot start threads: {error}"));
    let workers = worker_runtime().build().map_err(no_threads)?;
    // Signals, the parent's end and the time that a stop may take are this thread's own business:
    // whatever the workers are busy with, the process ends when it is told to.
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_threads)?;
    let result = own.block_on(serve(config, &program, workers.handle(), args));
    own.shutdown_background();
    workers.shutdown_background();
    log.finish();
    result
}

/// A runtime with a worker for every second core, because the clients of a local broker run on the
/// same machine: more workers than are free only wait for each other. `TOKIO_WORKER_THREADS` says
/// otherwise.
fn worker_runtime() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        builder.worker_threads((cores / 2).max(1));
    }
    builder
}

/// Reads the filter of log messages.
pub(crate) fn log_filter(program: &Program) -> Result<EnvFilter, Failure> {
    let said = program.log.as_ref();
    let filter = said.map_or("info", |(filter, _)| filter);
    log::parse_filter(filter).map_err(|error| {
        let origin = said.map_or_else(String::new, |(_, origin)| format!("{origin}: "));
        Failure::misused(format!("{origin}`{filter}` is no filter: {error}"))
    })
}

async fn serve(
    config: Config,
    program: &Program,
    workers: &Handle,
    args: &ServeArgs,
) -> Result<(), Failure> {
    // First of all, so that a signal during the start is not lost.
    let mut reload = Reload::watch(args)
        .map_err(|error| Failure::refused(format!("cannot listen for signals: {error}")))?;
    let mut ends = Ends::watch(program.die_with_parent)
        .map_err(|error| Failure::refused(format!("cannot listen for signals: {error}")))?;
    let mut start = workers.spawn(Server::start(config.clone()));
    let started = tokio::select! {
        started = &mut start => started,
        end = ends.next() => {
            end.log();
            // What has begun is ended as always, so that nothing of it is left.
            let stopped = async {
                if let Ok(Ok(server)) = start.await {
                    server.stop().await;
                }
            };
            tokio::select! {
                _ = tokio::time::timeout(START_LIMIT, stopped) => {}
                () = ends.urged() => {}
            }
            return Ok(());
        }
    };
    let server = started
        .map_err(|error| Failure::refused(format!("the start broke off: {error}")))?
        .map_err(|error| no_start(&error, &config, program))?;
    warn_of_open_doors(&config, server.addrs());
    if let Some(preset) = program.preset {
        for lack in preset.lacks {
            tracing::info!(preset = preset.name, "not there: {lack}");
        }
    }
    let page = match program.ready {
        Ready::Json => ready::json(&config, server.addrs(), server.ca_file()),
        Ready::Text => ready::text(&config, server.addrs(), server.ca_file(), &program_name()),
    };
    // On another thread: nobody may read standard output. The workers have one that has read certificates.
    let printed = workers.spawn_blocking(move || print(&page));
    let mut printed = Some(printed);
    let end = loop {
        let failed = async {
            match &mut printed {
                Some(printed) => printed.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = failed => {
                printed = None;
                if let Ok(Err(failure)) = outcome {
                    return Err(failure);
                }
            }
            end = ends.next() => break end,
            () = reload.asked() => reload.run(args, &server, workers).await,
        }
    };
    end.log();
    tokio::select! {
        () = server.stop() => {}
        () = ends.urged() => tracing::warn!("told again to stop, and not waiting any longer"),
    }
    Ok(())
}

/// Other machines can reach what listens on more than the loopback interface.
fn warn_of_open_doors(config: &Config, addrs: &Addrs) {
    let (host, http_host) = (config.listeners.host, config.listeners.http_host);
    let is_open = |host: IpAddr| !host.to_canonical().is_loopback();
    let takes_mqtt = !addrs.bad_tls.is_empty()
        || !addrs.further.is_empty()
        || [
            addrs.mqtt,
            addrs.mqtts,
            addrs.ws,
            addrs.wss,
            addrs.alpn,
            addrs.mqtt_password,
            addrs.ws_password,
        ]
        .iter()
        .any(Option::is_some);
    if takes_mqtt && is_open(host) {
        tracing::warn!(%host, "MQTT clients of other machines can connect (--host)");
    }
    if addrs.http.is_some() && is_open(http_host) {
        tracing::warn!(
            %http_host,
            "other machines can reach the control API, which knows no passwords (--http-host)"
        );
    }
}

/// Why there is no server, with whoever chose a port that cannot be had.
fn no_start(error: &StartError, config: &Config, program: &Program) -> Failure {
    let by = |failure: Failure, key: &str| match program.origins.get(key) {
        None | Some(Origin::Default { .. }) => failure,
        Some(origin) => failure.about(&origin.to_string()),
    };
    let listener = match error {
        StartError::Rule { index, reason } => {
            return Failure::misused(match program.rules.get(*index) {
                Some(origin) => format!("{origin}: {reason}"),
                None => error.to_string(),
            });
        }
        StartError::Bind { listener, addr, .. } => {
            let mut further = config.listeners.further.iter();
            match further.any(|one| one.port == addr.port() && one.kind.name() == *listener) {
                true => &"listener",
                false => listener,
            }
        }
        #[cfg(feature = "aws")]
        StartError::Fleet(FileError::Document { .. }) => {
            return by(Failure::misused(error.to_string()), "fleet");
        }
        #[cfg(feature = "aws")]
        StartError::Fleet(_) => return by(Failure::machine(error), "fleet"),
        #[cfg(feature = "aws")]
        StartError::Registry(_) if config.registry == RegistryPlace::Certs => {
            let hint = "the default place; --registry takes another, or `memory`";
            return Failure::machine(error).with_hint(hint);
        }
        #[cfg(feature = "aws")]
        StartError::Registry(_) => return by(Failure::machine(error), "registry"),
        StartError::UnixSocket { .. } => return by(Failure::machine(error), "unix_socket"),
        #[cfg(feature = "tls")]
        StartError::BadTls { .. } => return by(Failure::machine(error), "bad_tls"),
        #[cfg(feature = "tls")]
        StartError::Tls(roundel::TlsError::KeyLog { .. }) => {
            return by(Failure::machine(error), "keylog");
        }
        #[cfg(feature = "tls")]
        StartError::Certificates(
            CertError::NotCovered { .. } | CertError::NotPermitted { .. } | CertError::San { .. },
        ) => return by(Failure::machine(error), "san"),
        error => return Failure::machine(error),
    };
    match program.ports.get(listener) {
        Some(Origin::Default { .. }) | None => Failure::refused(format!(
            "{error} (the default port; --{listener}-port takes another)"
        )),
        Some(origin) => {
            let hint = hint_on_privilege(error).unwrap_or_default();
            Failure::refused(format!("{origin}: {error}{hint}"))
        }
    }
}

/// What there is to do about a port that the system keeps for the privileged (AWS-FLOW-83).
fn hint_on_privilege(error: &StartError) -> Option<String> {
    let StartError::Bind { addr, source, .. } = error else {
        return None;
    };
    let port = addr.port();
    let way_out = match std::env::consts::OS {
        "windows" => {
            "another program has it for itself, or it is in a range that the system keeps: `netsh interface ipv4 show \
             excludedportrange tcp` lists those; take another port"
                .to_owned()
        }
        "macos" => {
            "the system keeps those below 1024 for root, at one address: `--host 0.0.0.0` takes them without, or take \
             another port"
                .to_owned()
        }
        _ => format!(
            "allow it with `setcap cap_net_bind_service=+ep` on this program, or with `sysctl \
             net.ipv4.ip_unprivileged_port_start={port}`, or take another port"
        ),
    };
    (source.kind() == std::io::ErrorKind::PermissionDenied).then(|| {
        format!(
            " ({way_out} and have a container publish it: `docker run -p {port}:8444`; clients of the SDKs may use 8883 \
             with their option port=8883)"
        )
    })
}

fn start_logging(program: &Program) -> Result<Log, Failure> {
    let log = Log::install(log_filter(program)?, program.log_format)
        .map_err(|error| Failure::refused(format!("cannot start a thread: {error}")))?;
    if program.log.is_none() && std::env::var_os("RUST_LOG").is_some_and(|said| !said.is_empty()) {
        // Set for a program that is being tested, it would silence the broker.
        tracing::info!(
            "RUST_LOG is not looked at: --log, ROUNDEL_LOG or the key log says what is logged"
        );
    }
    // A panic is a line like any other, unless somebody looks for its backtrace.
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            let payload = panic.payload();
            let said = match payload.downcast_ref::<String>() {
                Some(said) => said.as_str(),
                None => payload.downcast_ref::<&str>().copied().unwrap_or_default(),
            };
            tracing::error!(place, "panic: {said}");
        }));
    }
    Ok(log)
}

/// Each connection is a file: the soft limit is raised to the hard one.
fn raise_file_limit() {
    #[cfg(unix)]
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

/// What this program was called by.
fn program_name() -> String {
    std::env::args_os().next().map_or_else(
        || "roundel".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What asks the program to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// A signal, by its name.
    Signal(&'static str),
    /// Standard input closed.
    Parent,
}

impl End {
    /// Says why the program ends.
    fn log(self) {
        match self {
            Self::Signal(name) => tracing::info!(reason = name, "stopping"),
            Self::Parent => tracing::info!(
                reason = "standard input closed (--die-with-parent)",
                "stopping"
            ),
        }
    }
}

/// Whatever asks the program to end, one after the other.
struct Ends {
    asked: mpsc::UnboundedReceiver<End>,
    /// The first was a signal.
    signalled: bool,
}

impl Ends {
    fn watch(die_with_parent: bool) -> std::io::Result<Self> {
        let (ask, asked) = mpsc::unbounded_channel();
        watch_signals(&ask)?;
        if die_with_parent {
            // A thread, because a read from standard input cannot be called off; it ends with the
            // process.
            std::thread::Builder::new()
                .name("parent".into())
                .spawn(move || {
                    wait_for_end_of_input();
                    let _ = ask.send(End::Parent); // nobody listens: the program is ending
                })?;
        }
        let signalled = false;
        Ok(Self { asked, signalled })
    }

    async fn next(&mut self) -> End {
        let Some(end) = self.asked.recv().await else {
            return std::future::pending().await;
        };
        self.signalled |= end != End::Parent;
        end
    }

    /// Somebody cannot wait: a signal comes after a signal. A parent that sends one closes standard
    /// input as well, before or after.
    async fn urged(&mut self) {
        loop {
            let signalled = self.signalled;
            if self.next().await != End::Parent && signalled {
                return;
            }
        }
    }
}

#[cfg(unix)]
fn watch_signals(ask: &mpsc::UnboundedSender<End>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    for (kind, name) in [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
    ] {
        let (mut signal, ask) = (signal(kind)?, ask.clone());
        tokio::spawn(async move {
            while signal.recv().await.is_some() && ask.send(End::Signal(name)).is_ok() {}
        });
    }
    Ok(())
}

/// A program can send the second to those that it started in a process group of their own, and no other. The system
/// itself ends a program after the last two: in five seconds, or as soon as this one has stopped.
#[cfg(windows)]
fn watch_signals(ask: &mpsc::UnboundedSender<End>) -> std::io::Result<()> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

    macro_rules! watch {
        ($event:expr, $name:literal) => {{
            let (mut event, ask) = ($event?, ask.clone());
            tokio::spawn(async move {
                while event.recv().await.is_some() && ask.send(End::Signal($name)).is_ok() {}
            });
        }};
    }
    watch!(ctrl_c(), "Ctrl-C");
    watch!(ctrl_break(), "Ctrl-Break");
    watch!(ctrl_close(), "closed console");
    watch!(ctrl_shutdown(), "shutdown");
    Ok(())
}

fn wait_for_end_of_input() {
    let mut input = std::io::stdin().lock();
    let mut ignored = [0; 512];
    loop {
        match input.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn refusal(kind: io::ErrorKind) -> String {
        let loaded = roundel::config::Sources::new()
            .flag("alpn_port", "443")
            .load();
        let Loaded { config, program } = loaded.unwrap();
        let error = StartError::Bind {
            listener: "alpn",
            addr: "127.0.0.1:443".parse().unwrap(),
            source: kind.into(),
        };
        format!("{:?}", no_start(&error, &config, &program))
    }

    /// AWS-FLOW-83
    #[cfg(feature = "doors")]
    #[test]
    fn port_of_the_privileged_is_refused_with_the_ways_out() {
        let line = refusal(io::ErrorKind::PermissionDenied);
        for word in [
            "status: 1",
            "--alpn-port",
            "setcap",
            "ip_unprivileged_port_start=443",
            "-p 443:8444",
            "port=8883",
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
        let line = refusal(io::ErrorKind::AddrInUse);
        assert!(
            line.contains("--alpn-port") && !line.contains("setcap"),
            "{line}"
        );
    }
}
