//! The broker as a process of its own, and what it holds.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use roundel::config::Listeners;
use roundel::{Config, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ALLOCATOR;

/// Makes this binary the broker; names the folder for its certificates.
pub(crate) const ROLE_VARIABLE: &str = "ROUNDEL_LOAD_BROKER";

/// What a client may take for TLS, for CONNECT, and to read: short, so that many run out of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Threads of the broker: each keeps buffers, which the tolerance for its heap depends on.
const WORKERS: usize = 2;

/// Largest packet accepted: small enough to be exceeded often.
pub(crate) const PACKET_SIZE: u32 = 1024 * 1024;

/// The broker's process: says where it listens, then answers every line with its heap, until its
/// standard input ends.
pub(crate) fn run(folder: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime
        .block_on(Server::start(config(folder)))
        .expect("free ports");
    let addrs = server.addrs();
    say(&json!({
        "mqtt": addrs.mqtt,
        "mqtts": addrs.mqtts,
        "ws": addrs.ws,
        "alpn": addrs.alpn,
        "http": addrs.http,
    }));
    for _ in std::io::stdin().lines() {
        say(&json!({
            "live": ALLOCATOR.allocated(),
            "peak": ALLOCATOR.max_allocated(),
        }));
    }
    runtime.block_on(server.stop());
    ExitCode::SUCCESS
}

fn config(folder: &Path) -> Config {
    let mut config = Config::standard();
    config.listeners = Listeners::none();
    config.listeners.mqtt = Some(0);
    config.listeners.mqtts = Some(0);
    config.listeners.ws = Some(0);
    config.listeners.alpn = Some(0);
    config.listeners.http = Some(0);
    config.tls.certs = folder.to_owned();
    config.tls.handshake_timeout = PATIENCE;
    config.limits.connect_timeout = PATIENCE;
    config.http_idle_timeout = PATIENCE;
    config.limits.write_stall = PATIENCE;
    config.limits.packet_size = PACKET_SIZE;
    config
}

/// Says it on standard output, on a line.
pub(crate) fn say(value: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")
        .and_then(|()| out.flush())
        .expect("somebody listens");
}

/// The broker's process, as the load sees it.
pub(crate) struct BrokerProcess {
    child: Child,
    lines: Mutex<Lines>,
    addresses: Value,
    folder: TempDir,
}

/// A line asks, a line answers.
struct Lines {
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl BrokerProcess {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let this = std::env::current_exe().expect("the path of this program");
        let mut child = Command::new(this)
            .env(ROLE_VARIABLE, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let mut lines = Lines {
            ask: child.stdin.take().expect("standard input is piped"),
            answer: BufReader::new(child.stdout.take().expect("standard output is piped")),
        };
        let addresses = lines.read();
        Self {
            child,
            lines: Mutex::new(lines),
            addresses,
            folder,
        }
    }

    /// Where the named listener takes connections.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        serde_json::from_value(self.addresses[listener].clone()).expect("the listener is on")
    }

    /// Where it listens, and where the certificates are, for another process.
    pub(crate) fn doors(&self) -> Value {
        let mut doors = self.addresses.clone();
        doors["certs"] = json!(self.folder.path());
        doors
    }

    pub(crate) fn figures(&self) -> Figures {
        let stats = self.stats();
        let stat = |name: &str| stats[name].as_u64().expect("a counter");
        // The connection that asked for these has ended.
        let heap = self.lines.lock().expect("nobody panicked").ask_for_heap();
        let system = System::of(self.child.id());
        Figures {
            live: heap["live"].as_u64().expect("a number"),
            peak: heap["peak"].as_u64().expect("a number"),
            system,
            clients: stat("clients_connected"),
            sessions: stat("sessions"),
            subscriptions: stat("subscriptions"),
            retained: stat("retained"),
            queued: stat("queued") + stat("in_flight") + stat("group_queued"),
            accounted: stat("memory_bytes"),
            opened: stat("connections_opened"),
            refused: stat("connections_refused"),
        }
    }

    fn stats(&self) -> Value {
        let mut stream = TcpStream::connect(self.address("http")).expect("the broker accepts");
        let host = self.address("http");
        write!(
            stream,
            "GET /v1/stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .expect("the broker reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        let (_, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {response}"))
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn ask_for_heap(&mut self) -> Value {
        self.ask.write_all(b"heap\n").expect("the broker runs");
        self.read()
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.answer.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

/// What the broker holds at a moment.
pub(crate) struct Figures {
    /// Bytes that are allocated, and the most there ever were.
    live: u64,
    peak: u64,
    system: System,
    clients: u64,
    sessions: u64,
    subscriptions: u64,
    retained: u64,
    /// Messages that wait, and those in flight.
    queued: u64,
    /// Bytes that the budget of all queues counts.
    accounted: u64,
    opened: u64,
    refused: u64,
}

/// What the system says about the process; zeros where there is no `/proc`.
#[derive(Default)]
struct System {
    /// Resident memory, and the most there ever was; bytes.
    resident: u64,
    /// Of it, what no file is behind.
    anonymous: u64,
    resident_peak: u64,
    files: u64,
    /// How long its threads have run, and how long they were ready and waited for a core; nanoseconds.
    ran: u64,
    waited: u64,
}

impl System {
    #[cfg(target_os = "linux")]
    fn of(process: u32) -> Self {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let status = std::fs::read_to_string(folder.join("status")).expect("the process runs");
        let size = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kibibytes = line.and_then(|rest| rest.split_whitespace().next());
            1024 * kibibytes.map_or(0, |text| text.parse::<u64>().expect("a number"))
        };
        let mut times = [0; 2];
        for task in std::fs::read_dir(folder.join("task")).expect("the process runs") {
            let schedstat = task.expect("a thread").path().join("schedstat");
            // A thread may have ended, and the kernel may not keep these.
            let schedstat = std::fs::read_to_string(schedstat).unwrap_or_default();
            for (sum, field) in times.iter_mut().zip(schedstat.split_whitespace()) {
                *sum += field.parse::<u64>().expect("a number");
            }
        }
        let [ran, waited] = times;
        Self {
            ran,
            waited,
            resident: size("VmRSS:"),
            anonymous: size("RssAnon:"),
            resident_peak: size("VmHWM:"),
            files: std::fs::read_dir(folder.join("fd"))
                .expect("the process runs")
                .count() as u64,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn of(_process: u32) -> Self {
        Self::default()
    }
}

/// What the heap may have grown by: a mebibyte of buffers that each thread keeps to use again, and
/// tables that have grown.
const LIVE_TOLERANCE: u64 = WORKERS as u64 * 1024 * 1024 + 512 * 1024;

/// What a session may count in the budget and not hold: it is adjusted in steps.
const STEP: u64 = 8 * 1024;

/// Resident memory may be so many times what it was.
const RESIDENT_FACTOR: f64 = 1.3;

impl Figures {
    /// How much slower the broker was since `before` than with a core for every thread.
    pub(crate) fn slowdown_since(&self, before: &Self) -> f64 {
        let ran = self.system.ran.saturating_sub(before.system.ran);
        let waited = self.system.waited.saturating_sub(before.system.waited);
        1.0 + waited as f64 / ran.max(1) as f64
    }

    /// Whether all is as it was `before`; otherwise what is not.
    pub(crate) fn have_returned_to(&self, before: &Self) -> Result<(), String> {
        for (what, now, then) in [
            ("clients", self.clients, before.clients),
            ("sessions", self.sessions, before.sessions),
            ("subscriptions", self.subscriptions, before.subscriptions),
            ("retained messages", self.retained, before.retained),
            ("queued messages", self.queued, before.queued),
            (
                "accounted bytes",
                self.accounted,
                before.accounted + STEP * before.sessions,
            ),
            ("open files", self.system.files, before.system.files),
        ] {
            if now > then {
                return Err(format!("{what}: {then} before, {now} after;"));
            }
        }
        if self.live > before.live + LIVE_TOLERANCE {
            return Err(format!(
                "heap: {} before, {} after;",
                before.live, self.live
            ));
        }
        let (now, then) = (self.system.resident, before.system.resident);
        if now as f64 > then as f64 * RESIDENT_FACTOR {
            return Err(format!("resident memory: {then} before, {now} after;"));
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "heap {:.2} MiB (peak {:.1}), resident {:.1} MiB ({:.1} anonymous, peak {:.1}), {} files, \
             {} clients, {} sessions, {} queued, {} bytes accounted; \
             {} connected and {} refused so far",
            mib(self.live),
            mib(self.peak),
            mib(self.system.resident),
            mib(self.system.anonymous),
            mib(self.system.resident_peak),
            self.system.files,
            self.clients,
            self.sessions,
            self.queued,
            self.accounted,
            self.opened,
            self.refused,
        )
    }
}
