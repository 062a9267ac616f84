//! Clients that come to the wrong listener, or with the wrong certificates: openssl, curl, mosquitto's programs and
//! Python's `ssl`. One line of the log at info says of each what it did and what to do.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Instant;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::broker::{Broker, Identity, Profile, Transport};
use crate::process::{DEADLINE, Process};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("wrong_door::each_has_its_line", each_has_its_line)]
}

/// A client of the service's one door asks for WebSocket elsewhere than at `/mqtt`.
const UPGRADE: [&str; 10] = [
    "--header",
    "Connection: upgrade",
    "--header",
    "Upgrade: websocket",
    "--header",
    "Sec-WebSocket-Version: 13",
    "--header",
    "Sec-WebSocket-Protocol: mqtt",
    "--header",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

/// It trusts whom the system trusts.
const PYTHON: &str = "
import socket, ssl, sys
try:
    ssl.create_default_context().wrap_socket(socket.create_connection(('localhost', int(sys.argv[1]))), server_hostname='localhost')
except ssl.SSLCertVerificationError:
    sys.exit(0)
sys.exit('it trusts the broker')
";

struct Stand {
    broker: Broker,
    identity: Identity,
}

impl Stand {
    fn start(profile: Profile, flags: &[&str]) -> Self {
        let flags: Vec<&OsStr> = flags.iter().map(OsStr::new).collect();
        let broker = Broker::start_with(profile, &flags);
        let identity = broker.issue("device");
        Self { broker, identity }
    }

    fn openssl(&self, transport: Transport, line: &[&str]) {
        let mut command = Command::new("openssl");
        let address = format!("127.0.0.1:{}", self.broker.port(transport));
        command.args(["s_client", "-connect", &address]).args(line);
        Process::start("openssl", &mut command).end();
    }

    fn curl(&self, listener: &str, scheme: &str, line: &[&str]) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--insecure", "--max-time", "20"]);
        command.arg("--cert").arg(&self.identity.cert);
        command.arg("--key").arg(&self.identity.key).args(line);
        let port = self.broker.port_of(listener);
        command.arg(format!("{scheme}://localhost:{port}/elsewhere"));
        Process::start("curl", &mut command).end();
    }

    fn mosquitto(&self, transport: Transport, line: &[&OsStr]) {
        let mut command = Command::new("mosquitto_pub");
        let port = self.broker.port(transport).to_string();
        command.args(["-h", "localhost", "-p", &port, "-t", "a", "-m", "b"]);
        Process::start("mosquitto_pub", command.args(line)).end();
    }
}

fn each_has_its_line() {
    let stand = Stand::start(Profile::Standard, &[]);
    let (tcp, tls) = (Transport::Tcp, Transport::Tls);
    let (ws, wss) = (Transport::Ws, Transport::Wss);
    let ca = ["--cafile".as_ref(), stand.identity.ca.as_os_str()];
    let own = [
        "--cert".as_ref(),
        stand.identity.cert.as_os_str(),
        "--key".as_ref(),
        stand.identity.key.as_os_str(),
    ];

    stand.openssl(tcp, &[]);
    stand.openssl(ws, &[]);
    stand.curl("http", "https", &[]);
    stand.curl("mqtt", "http", &[]);
    stand.curl("mqtt", "http", &UPGRADE);
    stand.curl("http", "http", &UPGRADE);
    stand.curl("mqtts", "http", &[]);
    stand.curl("mqtts", "https", &[]);
    stand.curl("wss", "http", &[]);
    stand.curl("ws", "http", &[]);
    stand.mosquitto(tls, &[]);
    stand.mosquitto(ws, &[]);
    stand.mosquitto(wss, &[&ca[..], &own].concat());
    stand.mosquitto(tls, &ca);
    let mut python = Command::new("python3");
    let port = stand.broker.port(tls).to_string();
    Process::start("python", python.args(["-c", PYTHON, &port])).finish();
    stand.openssl(tls, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    stand.openssl(tls, &["-tls1_2", "-cipher", "AES128-SHA"]);
    // An address for a name, and it leaves before it shows a certificate; that is one line and no warning.
    stand.openssl(tls, &["-servername", "127.0.0.1"]);
    assert_lines(
        stand.broker,
        &[
            (
                "mqtt",
                "the client speaks TLS, and this listener does not: connect to the listener mqtts (port ",
            ),
            (
                "ws",
                "speaks TLS, and this listener does not: connect to the listener wss",
            ),
            (
                "http",
                "speaks TLS, and this listener does not: it is reached by http://",
            ),
            (
                "mqtt",
                "sends an HTTP request, and this listener speaks MQTT: the control API is at",
            ),
            (
                "mqtt",
                "asks for WebSocket, and this listener speaks MQTT without it: connect to the listener ws",
            ),
            (
                "http",
                "asks for WebSocket, and this is the control API: connect to the listener ws (port ",
            ),
            (
                "mqtts",
                "an HTTP request without TLS, and this listener speaks MQTT over TLS",
            ),
            (
                "mqtts",
                "sends an HTTP request, and this listener speaks MQTT: the control API is at",
            ),
            (
                "wss",
                "an HTTP request without TLS: this listener is reached by https:// or wss://",
            ),
            ("ws", "the request does not ask for WebSocket"),
            (
                "mqtts",
                "an MQTT CONNECT without TLS: turn TLS on in the client, or connect to the listener mqtt",
            ),
            (
                "ws",
                "speaks MQTT without WebSocket: connect to the listener mqtt (port ",
            ),
            (
                "wss",
                "speaks MQTT without WebSocket: connect to the listener mqtts (port ",
            ),
            ("mqtts", "the client shows no certificate, and has to here"),
            (
                "mqtts",
                "does not trust the authority of the server's certificate: give it `",
            ),
            (
                "mqtts",
                "the client offers TLS 1.1 at best, and here TLS 1.2 and 1.3 are spoken",
            ),
            (
                "mqtts",
                "no cipher suite that the client offers is spoken here",
            ),
            ("mqtts", "the client shows no certificate, and has to here"),
        ],
    );

    let flags = ["--ws-port", "0", "--alpn-port", "0", "--registry", "off"];
    let stand = Stand::start(Profile::Aws, &flags);
    stand.curl("ws", "http", &UPGRADE);
    let address = format!("localhost:{}", stand.broker.port_of("alpn"));
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &address, "-alpn", "h2"]);
    Process::start("openssl", &mut openssl).end();
    assert_lines(
        stand.broker,
        &[
            ("ws", "reason=\"MQTT over WebSocket is at /mqtt\""),
            (
                "alpn",
                "no protocol that the client offers (ALPN) is spoken here: offer x-amzn-mqtt-ca, mqtt, x-amzn-http-ca, \
                 http/1.1, or none",
            ),
        ],
    );
}

/// Some clients are gone before the broker has read why. The control API counts none of its own.
#[track_caller]
fn wait_for_refused(broker: &Broker, count: usize) {
    let until = Instant::now() + DEADLINE;
    loop {
        let mut command = Command::new("curl");
        let url = format!("{}/v1/stats", broker.http());
        let lines = Process::start("curl", command.args(["--silent", &url])).finish();
        let stats: Value = serde_json::from_str(&lines.concat()).expect("JSON");
        if stats["connections_refused"] == count {
            return;
        }
        let log = broker.log();
        assert!(Instant::now() < until, "not {count} refused: {stats}{log}");
    }
}

/// Each line is there, with the peer, and no other.
#[track_caller]
fn assert_lines(broker: Broker, wanted: &[(&str, &str)]) {
    let count = wanted.iter().filter(|(listener, _)| *listener != "http");
    wait_for_refused(&broker, count.count());
    let mut lines = broker.stop_for_log();
    let log = lines.join("\n");
    for (listener, words) in wanted {
        let listener = format!(" listener={listener}");
        let found = lines.iter().position(|line| {
            let is_there = line.contains(words) && line.contains(" INFO ");
            is_there && line.contains(" peer=127.0.0.1:") && {
                let mut parts = line.match_indices(&listener);
                parts.any(|(at, part)| {
                    line[at + part.len()..]
                        .chars()
                        .next()
                        .is_none_or(|c| c == ' ')
                })
            }
        });
        let found = found.unwrap_or_else(|| panic!("no {words:?} at{listener} in\n{log}"));
        lines.remove(found);
    }
    lines.retain(|line| !line.contains("stopping reason=SIGTERM") && !line.ends_with(" stopped"));
    assert!(lines.is_empty(), "besides:\n{}", lines.join("\n"));
}
