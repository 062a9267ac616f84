//! The broker under test, as a child process with its own folder and free ports.

use std::collections::HashMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;

/// The name under which clients reach the broker; the server certificate carries it.
pub(crate) const HOST: &str = "localhost";

/// Names another binary than the one cargo built, for example a released one.
const BINARY: &str = "ROUNDEL_BIN";

/// A running broker. It stops when dropped.
pub(crate) struct Broker {
    // Fields are dropped in this order: the process first, then its folder.
    process: Process,
    folder: TempDir,
    profile: Profile,
    flags: Vec<OsString>,
    ready: Value,
}

/// The two profiles of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Aws,
    Standard,
}

/// How a client reaches the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Tcp,
    Tls,
    Ws,
    Wss,
}

/// What a client needs to connect.
pub(crate) struct Endpoint {
    pub(crate) transport: Transport,
    pub(crate) port: u16,
    pub(crate) identity: Identity,
}

/// A client certificate and the authority that both sides trust.
pub(crate) struct Identity {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Broker {
    /// Starts a broker and returns when all its listeners accept.
    ///
    /// `aws` has the service's one door, MQTT over TLS; `standard` has all four.
    #[track_caller]
    pub(crate) fn start(profile: Profile) -> Self {
        Self::start_with(profile, &[])
    }

    /// Starts a broker with more flags.
    #[track_caller]
    pub(crate) fn start_with(profile: Profile, flags: &[&OsStr]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Self::start_in(folder, profile, flags, &HashMap::new())
    }

    /// Starts a broker with a registry in memory, this configuration, and more flags.
    #[track_caller]
    pub(crate) fn start_configured(profile: Profile, config: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("roundel.toml");
        fs::write(&file, config).expect("a file");
        let flags = ["--registry", "memory"].iter().chain(flags);
        let mut flags: Vec<OsString> = flags.map(OsString::from).collect();
        flags.extend(["--config".into(), file.into()]);
        Self::start_in(folder, profile, flags, &HashMap::new())
    }

    /// Ends the broker and starts another one with its certificates, at its ports.
    #[track_caller]
    pub(crate) fn restart(self) -> Self {
        let ports = profile_transports(self.profile)
            .iter()
            .map(|&transport| (transport, self.port(transport)))
            .collect();
        self.process.terminate();
        Self::start_in(self.folder, self.profile, self.flags, &ports)
    }

    /// Starts a broker with the given ports, or any free ones.
    #[track_caller]
    fn start_in(
        folder: TempDir,
        profile: Profile,
        flags: Vec<OsString>,
        ports: &HashMap<Transport, u16>,
    ) -> Self {
        let mut command = roundel();
        command
            .arg("serve")
            .args(["--ready", "json", "--die-with-parent", "--http-port", "0"]);
        command.arg("--certs").arg(folder.path());
        command.args(["--profile", &profile.to_string()]);
        for transport in profile_transports(profile) {
            let port = ports.get(transport).copied().unwrap_or(0);
            command.arg(format!("--{}-port", transport.listener()));
            command.arg(port.to_string());
        }
        command.args(&flags);
        let mut process = Process::start("roundel", &mut command);
        let line = process.wait_for("the ready line", |line| line.starts_with('{'));
        let ready = serde_json::from_str(&line).expect("the ready line is JSON");
        Self {
            process,
            folder,
            profile,
            flags,
            ready,
        }
    }

    /// Where it answers HTTP, as `--endpoint-url` of AWS clients has it.
    #[track_caller]
    pub(crate) fn http(&self) -> String {
        let address = &self.ready["listeners"]["http"];
        format!("http://{}", address.as_str().expect("the listener is on"))
    }

    /// Whom clients trust.
    #[track_caller]
    pub(crate) fn ca_file(&self) -> &Path {
        let file = self.ready["ca_file"].as_str();
        Path::new(file.expect("the ready line names the authority"))
    }

    /// The port of a listener.
    #[track_caller]
    pub(crate) fn port(&self, transport: Transport) -> u16 {
        self.port_of(transport.listener())
    }

    /// The same by its name in the ready line.
    #[track_caller]
    pub(crate) fn port_of(&self, listener: &str) -> u16 {
        port_in(&self.ready["listeners"][listener])
    }

    /// The port of a TLS listener with a fault.
    #[track_caller]
    pub(crate) fn port_with_fault(&self, kind: &str) -> u16 {
        port_in(&self.ready["listeners"]["bad_tls"][kind])
    }

    /// Issues a client certificate with `roundel cert`.
    #[track_caller]
    pub(crate) fn issue(&self, name: &str) -> Identity {
        self.issue_in(self.folder.path(), name, &[])
    }

    /// The same into a folder of its own, with more flags.
    #[track_caller]
    pub(crate) fn issue_in(&self, folder: &Path, name: &str, flags: &[&str]) -> Identity {
        let mut command = roundel();
        command
            .args(["cert", name, "--certs"])
            .arg(self.folder.path());
        command.arg("--out").arg(folder).args(flags);
        Process::start("roundel cert", &mut command).finish();
        Identity {
            ca: self.ca_file().to_owned(),
            cert: folder.join(format!("{name}.certificate.pem")),
            key: folder.join(format!("{name}.private.key")),
        }
    }

    /// All that a client needs for one transport, with a certificate of its own.
    #[track_caller]
    pub(crate) fn endpoint(&self, transport: Transport) -> Endpoint {
        Endpoint {
            transport,
            port: self.port(transport),
            identity: self.issue("device"),
        }
    }

    /// Ends the broker and returns all that it logged.
    #[track_caller]
    pub(crate) fn stop_for_log(self) -> Vec<String> {
        self.process.terminate_for_errors()
    }

    /// What the broker logged, for a failure message.
    pub(crate) fn log(&self) -> String {
        self.process.transcript()
    }
}

impl Transport {
    /// Its name in arguments and in the printed matrix.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Its name in flags and in the ready line.
    fn listener(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether the client shows a certificate.
    pub(crate) fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "aws",
            Self::Standard => "standard",
        })
    }
}

/// The port of an address in the ready line.
#[track_caller]
fn port_in(address: &Value) -> u16 {
    let address = address.as_str().expect("the listener is on");
    let (_, port) = address.rsplit_once(':').expect("an address has a port");
    port.parse().expect("a port is a number")
}

/// The doors of a profile in these tests.
fn profile_transports(profile: Profile) -> &'static [Transport] {
    match profile {
        Profile::Aws => &[Transport::Tls],
        Profile::Standard => &[
            Transport::Tcp,
            Transport::Tls,
            Transport::Ws,
            Transport::Wss,
        ],
    }
}

fn roundel() -> Command {
    let mut command = Command::new(binary());
    without_settings(&mut command);
    command
}

/// The binary under test.
pub(crate) fn binary() -> OsString {
    env::var_os(BINARY).unwrap_or_else(|| env!("CARGO_BIN_EXE_roundel").into())
}

/// Settings of whoever runs the tests are not those of the broker.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("ROUNDEL_") {
            command.env_remove(name);
        }
    }
}

/// A file of this folder, such as a client script.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(name)
}

/// Python with the packages of `requirements.txt`, as `tests/run` installs it.
pub(crate) fn python() -> Command {
    let mut command = Command::new(python_folder().join("python"));
    // Keeps the source folders free of compiled files.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Where `tests/run` installs it, and the programs of its packages.
pub(crate) fn python_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.env/bin")
}
