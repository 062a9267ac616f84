//! The broker under test as a child process.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStderr, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, Connect, DEADLINE, Version, fresh};

/// Names the address of another broker to run the shared tests against.
const ADDRESS_VARIABLE: &str = "ROUNDEL_TEST_ADDR";

/// Names another binary of the broker to test than the one that cargo builds.
const BINARY_VARIABLE: &str = "ROUNDEL_BIN";

/// Sets the log filter of the brokers that the tests start.
const LOG_VARIABLE: &str = "ROUNDEL_TEST_LOG";

/// A running broker on free ports of the loopback interface; it ends with its handle or, where the
/// handle is never dropped, with the test process, whose end closes its standard input.
pub(crate) struct TestBroker {
    process: Option<Process>,
    mqtt: SocketAddr,
    ready: Value,
}

struct Process {
    child: Child,
    /// Held open: the broker stops when it closes.
    stdin: Option<ChildStdin>,
    directory: TempDir,
}

impl TestBroker {
    /// Starts a broker with plain MQTT on a free port and the given further flags.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with_config(flags, "")
    }

    /// Starts a broker that reads `config` (TOML) besides the given flags.
    pub(crate) fn start_with_config(flags: &[&str], config: &str) -> Self {
        Self::start_in(flags, config, &[])
    }

    /// Starts a broker that has these environment variables, too.
    pub(crate) fn start_in(flags: &[&str], config: &str, variables: &[(&str, &str)]) -> Self {
        let filter = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| "error".to_owned());
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = command(directory.path(), flags, config);
        command
            .args(["--log", &filter])
            .envs(variables.iter().copied());
        Self::launch(&mut command, directory)
    }

    /// Starts a broker whose log, from level `info` on, the test reads.
    pub(crate) fn start_with_log(flags: &[&str], config: &str) -> (Self, Log) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = command(directory.path(), flags, config);
        command.args(["--log", "info"]).stderr(Stdio::piped());
        let mut broker = Self::launch(&mut command, directory);
        let process = broker.process.as_mut().expect("a process of our own");
        let stderr = process.child.stderr.take();
        let log = Log::read(stderr.expect("standard error is piped"));
        (broker, log)
    }

    /// Starts the process and waits until it is ready.
    fn launch(command: &mut Command, directory: TempDir) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the broker binary starts");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a ready line");
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("ready line of {command:?} is {line:?}: {error}"));
        assert_eq!(
            ready["event"], "ready",
            "first line of standard output: {line}"
        );
        let mqtt = listener(&ready, "mqtt").expect("the plain MQTT listener is on");
        Self {
            process: Some(Process {
                child,
                stdin,
                directory,
            }),
            mqtt,
            ready,
        }
    }

    /// Takes a broker that somebody else runs.
    fn foreign(address: &str) -> Self {
        let mqtt = address.parse().expect("an address such as 127.0.0.1:1883");
        Self {
            process: None,
            mqtt,
            ready: Value::Null,
        }
    }

    /// Where it takes MQTT over plain TCP.
    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// Where the named listener of the ready line takes connections, if it is on.
    pub(crate) fn address(&self, name: &str) -> Option<SocketAddr> {
        listener(&self.ready, name)
    }

    /// Moves the clock; all that was due by then is done. Live connections do not notice. A broker that
    /// somebody else runs is waited for.
    pub(crate) fn advance(&self, time: Duration) {
        self.move_clock(time, false);
    }

    /// Moves the clock for live connections as well: their keep-alives and rates.
    pub(crate) fn advance_all(&self, time: Duration) {
        self.move_clock(time, true);
    }

    fn move_clock(&self, time: Duration, keep_alive: bool) {
        if self.process.is_none() {
            return thread::sleep(time);
        }
        let body = json!({ "seconds": time.as_secs_f64(), "keep_alive": keep_alive });
        let answer = self.post_json("/v1/clock/advance", &body);
        assert!(answer.contains("ahead_seconds"), "{answer}");
    }

    /// Asks the control API and returns the body of its answer.
    pub(crate) fn get(&self, target: &str) -> String {
        self.ask(&format!("GET {target}"), "", "")
    }

    /// Posts a body to an operation and returns that of its answer.
    pub(crate) fn post(&self, target: &str, body: &str) -> String {
        let head = format!("Content-Length: {}\r\n", body.len());
        self.ask(&format!("POST {target}"), &head, body)
    }

    /// The same with a body of JSON, declared as such.
    pub(crate) fn post_json(&self, target: &str, body: &Value) -> String {
        let body = body.to_string();
        let length = body.len();
        let kind = "Content-Type: application/json\r\n";
        let head = format!("{kind}Content-Length: {length}\r\n");
        self.ask(&format!("POST {target}"), &head, &body)
    }

    /// Has the control API delete something and returns the body of its answer.
    pub(crate) fn delete(&self, target: &str) -> String {
        self.ask(&format!("DELETE {target}"), "", "")
    }

    fn ask(&self, what: &str, head: &str, body: &str) -> String {
        let http = self.address("http").expect("the API is on");
        let mut stream = TcpStream::connect(http).expect("the API accepts");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        let request =
            format!("{what} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n{head}\r\n{body}");
        stream.write_all(request.as_bytes()).expect("the API reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        body.to_owned()
    }

    /// Connects with this CONNECT, which has to be accepted; also tells whether a session was present.
    #[track_caller]
    pub(crate) fn open(&self, version: Version, connect: &Connect) -> (Client, bool) {
        let mut client = Client::dial(self.mqtt, version);
        client.send_connect(connect);
        let (session_present, reason, _) = client.expect_connack();
        assert_eq!(reason, 0, "reason of CONNACK, {reason:#04x}");
        (client, session_present)
    }

    /// Connects with a clean session.
    #[track_caller]
    pub(crate) fn connect(&self, version: Version, client_id: &str) -> Client {
        let (client, session_present) = self.open(version, &Connect::new(client_id));
        assert!(!session_present, "Session Present with a clean session");
        client
    }

    /// Connects in MQTT 5 with Clean Start.
    #[track_caller]
    pub(crate) fn connect5(&self, client_id: &str) -> Client {
        self.connect(Version::V5, client_id)
    }

    /// A new client that is subscribed to `filter` at QoS 2.
    #[track_caller]
    pub(crate) fn watcher(&self, version: Version, filter: &str) -> Client {
        let mut client = self.connect(version, &fresh("watcher"));
        assert_eq!(client.subscribe(filter, 2), 2);
        client
    }

    /// The directory that lives as long as this broker; its certificates are in `certs` below it.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.process
            .as_ref()
            .map(|process| process.directory.path())
    }

    /// The process, if it is one of our own.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// Bytes of memory that are resident.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident(&self) -> usize {
        let process = self.process.as_ref().expect("a broker of our own");
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id()));
        let status = status.expect("the status of a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<usize>().ok())
            .expect("a number of KiB")
            * 1024
    }

    /// Threads of its process.
    #[cfg(target_os = "linux")]
    pub(crate) fn threads(&self) -> usize {
        let process = self.process.as_ref().expect("a broker of our own");
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.child.id()));
        tasks.expect("the threads of a process").count()
    }

    /// Closes the broker's standard input, which asks it to shut down, and returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let process = self.process.as_mut()?;
        process.stdin.take();
        process
            .child
            .wait()
            .expect("the broker can be waited for")
            .code()
    }

    /// Ends the broker with SIGTERM, and returns its exit code.
    #[cfg(unix)]
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let process = self.process.as_mut()?;
        let id = process.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("kill runs").success(), "the broker is there");
        let status = process.child.wait();
        status.expect("the broker can be waited for").code()
    }

    /// Asks for a shutdown like [`stop`](Self::stop), without waiting for it to finish.
    pub(crate) fn begin_stop(&mut self) {
        if let Some(process) = self.process.as_mut() {
            process.stdin.take();
        }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if let Some(process) = self.process.as_mut() {
            // Both fail only when the process is gone already.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// The broker of profile `standard` that the tests of one binary share, or the one that
/// `ROUNDEL_TEST_ADDR` names.
pub(crate) fn broker() -> &'static TestBroker {
    static SHARED: OnceLock<TestBroker> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var(ADDRESS_VARIABLE) {
        Ok(address) => TestBroker::foreign(&address),
        Err(_) => TestBroker::start(&["--profile", "standard"]),
    })
}

/// A broker of profile `standard` whose clock one test moves, or the one that `ROUNDEL_TEST_ADDR` names.
pub(crate) fn clocked() -> TestBroker {
    match std::env::var(ADDRESS_VARIABLE) {
        Ok(address) => TestBroker::foreign(&address),
        Err(_) => TestBroker::start(&["--profile", "standard", "--http-port", "0"]),
    }
}

/// The broker of profile `aws` that the tests of one binary share.
pub(crate) fn aws_broker() -> &'static TestBroker {
    static SHARED: OnceLock<TestBroker> = OnceLock::new();
    SHARED.get_or_init(|| TestBroker::start(&["--profile", "aws"]))
}

/// What a broker writes to its log, line by line. All of it is taken from the broker, read or not.
pub(crate) struct Log(Receiver<String>);

impl Log {
    fn read(stderr: ChildStderr) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Whoever does not want it any more does not hold up the broker.
                let _ = sender.send(line);
            }
        });
        Self(lines)
    }

    /// The next line that contains all of these words; those before it are forgotten.
    #[track_caller]
    pub(crate) fn line_with(&self, words: &[&str]) -> String {
        let end = Instant::now() + DEADLINE;
        let mut passed = String::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.0.recv_timeout(left) else {
                panic!("no line with {words:?} in time, but:\n{passed}");
            };
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            passed += &line;
            passed.push('\n');
        }
    }

    /// The lines up to the end, which comes with that of the broker.
    pub(crate) fn rest(self) -> Vec<String> {
        self.0.into_iter().collect()
    }
}

/// `roundel serve` with its files in this directory, plain MQTT on a free port, the other listeners
/// off unless the flags say otherwise, and no setting of whoever runs the tests.
fn command(directory: &Path, flags: &[&str], config: &str) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROUNDEL_") {
            command.env_remove(name);
        }
    }
    command.args(["serve", "--ready", "json", "--die-with-parent"]);
    command.args(["--mqtt-port", "0"]);
    for listener in ["--http-port", "--mqtts-port"] {
        if !flags.contains(&listener) {
            command.args([listener, "off"]);
        }
    }
    command.arg("--certs").arg(directory.join("certs"));
    if !config.is_empty() {
        let file = directory.join("roundel.toml");
        std::fs::write(&file, config).expect("a configuration file");
        command.arg("--config").arg(file);
    }
    command.args(flags);
    command
}

fn binary() -> OsString {
    std::env::var_os(BINARY_VARIABLE).unwrap_or_else(|| env!("CARGO_BIN_EXE_roundel").into())
}

fn listener(ready: &Value, name: &str) -> Option<SocketAddr> {
    ready["listeners"][name].as_str()?.parse().ok()
}
