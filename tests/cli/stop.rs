//! What ends `roundel serve`, and how long that takes.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::mqtt::{connected, packet, string};
use super::{PLAIN_MQTT, roundel};

#[test]
fn signals_stop_it_with_status_0() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start(folder.path(), &["--mqtts-port", "off", "--mqtt-port", "0"]);
        let _client = TcpStream::connect(broker.address("mqtt")).unwrap();
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn it_ends_with_status_0_however_often_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for twice in [false, true] {
        let flags = [
            "--mqtts-port",
            "off",
            "--mqtt-port",
            "0",
            "--die-with-parent",
        ];
        let mut broker = Broker::start(folder.path(), &flags);
        // It holds up the stop for a moment.
        let mut client = TcpStream::connect(broker.address("mqtt")).unwrap();
        client
            .write_all(b"\x10\x0D\0\x04MQTT\x05\x02\0\0\0\0\0")
            .unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 1);
        broker.signal("-TERM");
        drop(broker.input.take());
        if twice {
            broker.signal("-INT");
        }
        assert_eq!(broker.wait().code(), Some(0), "{twice}");
    }
}

#[test]
fn the_end_of_the_parent_stops_it_only_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--mqtts-port", "off", "--mqtt-port", "0"];
    let mut stays = Broker::start(folder.path(), &flags);
    stays.input = None;

    let mut goes = Broker::start(
        folder.path(),
        &[&flags[..], &["--die-with-parent"]].concat(),
    );
    goes.input = None;
    assert_eq!(goes.wait().code(), Some(0));
    assert_eq!(stays.child.try_wait().unwrap(), None);
}

#[test]
fn it_says_why_it_ends_with_a_parent_that_gives_it_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = roundel(folder.path(), &["serve", "--die-with-parent"]);
    command.args(PLAIN_MQTT).args(["--http-port", "off"]);
    // Standard input is /dev/null.
    let outcome = super::finish(&mut command);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let words = "stopping reason=\"standard input closed (--die-with-parent)";
    assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
}

/// Something that keeps the workers busy; what it returns keeps it up.
type Load = fn(&str) -> Vec<TcpStream>;

/// The lines of a broker under a load, which `end` ended.
fn ended_under(load: Load, end: impl FnOnce(&mut Broker)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = roundel(folder.path(), &["serve", "--ready", "json"]);
    command.args(["--profile", "standard", "--http-port", "off"]);
    command.args(["--mqtts-port", "off", "--mqtt-port", "0"]);
    command.args(["--die-with-parent", "--log", "warn,roundel=info"]);
    // The fewer workers, the less is left beside the load.
    command.env("TOKIO_WORKER_THREADS", "1");
    let mut broker = Broker::spawn(command.stderr(File::create(&log).unwrap()));
    let kept = load(broker.address("mqtt"));
    let told = Instant::now();
    end(&mut broker);
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
    let took = told.elapsed();
    // Two seconds, and some of the machine's slowness.
    assert!(took < Duration::from_secs(3), "{took:?}");
    drop(kept);
    fs::read_to_string(log).unwrap()
}

fn subscribe(filters: impl Iterator<Item = String>) -> Vec<u8> {
    let mut body = b"\0\x01\0".to_vec();
    for filter in filters {
        body.extend(string(&filter));
        body.push(0);
    }
    packet(0x82, &body)
}

fn publish(first: u8, topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(first, &[&string(topic)[..], b"\0", payload].concat())
}

/// Waits until the workers answer nobody, or seem to have got over it already.
fn wait_until_busy(address: &str) {
    let mut probe = TcpStream::connect(address).unwrap();
    probe
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let body = b"\0\x04MQTT\x05\x02\0\0\0\0\x05probe";
    probe.write_all(&packet(0x10, body)).unwrap();
    let _ = probe.read(&mut [0]); // an answer, or none in that time
}

fn one_huge_subscribe(address: &str) -> Vec<TcpStream> {
    let mut client = connected(address, "huge");
    let filters = (0..40_000).map(|number| format!("$share/g{number}/x"));
    client.write_all(&subscribe(filters)).unwrap();
    wait_until_busy(address);
    vec![client]
}

fn retained_messages_for_everybody(address: &str) -> Vec<TcpStream> {
    let mut author = connected(address, "author");
    let run: Vec<u8> = (0..5_000)
        .flat_map(|number| publish(0x31, &format!("a/{number}/b"), &[b'x'; 100]))
        .collect();
    author.write_all(&run).unwrap();
    let mut clients = vec![author];
    for number in 0..20 {
        let mut client = connected(address, &format!("reader{number}"));
        let filters = (0..100).map(|number| format!("a/+/{}#", "+/".repeat(number)));
        client.write_all(&subscribe(filters)).unwrap();
        clients.push(client);
    }
    wait_until_busy(address);
    clients
}

fn publishers_beside_readers_that_stall(address: &str) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = connected(address, &format!("reader{number}"));
        let filters = std::iter::once("#".to_owned());
        client.write_all(&subscribe(filters)).unwrap();
        clients.push(client);
    }
    for number in 0..4 {
        let mut author = connected(address, &format!("author{number}"));
        clients.push(author.try_clone().unwrap());
        let run = publish(0x30, "a/b", &[b'x'; 1000]).repeat(100);
        // Until the broker is gone.
        std::thread::spawn(move || while author.write_all(&run).is_ok() {});
    }
    wait_until_busy(address);
    clients
}

fn strangers_that_come_and_go(address: &str) -> Vec<TcpStream> {
    for _ in 0..4 {
        let address = address.to_owned();
        std::thread::spawn(move || {
            while let Ok(mut client) = TcpStream::connect(&address) {
                let _ = client.write_all(b"\x10\x0D\0\x04MQTT\x05\x02\0\0\0\0\0\x30\0");
            }
        });
    }
    wait_until_busy(address);
    Vec::new()
}

const LOADS: [Load; 4] = [
    one_huge_subscribe,
    retained_messages_for_everybody,
    publishers_beside_readers_that_stall,
    strangers_that_come_and_go,
];

#[test]
fn a_signal_ends_it_in_time_whatever_its_workers_do() {
    for load in LOADS {
        let log = ended_under(load, |broker| broker.signal("-TERM"));
        assert!(log.contains("stopping reason=SIGTERM"), "{log}");
    }
}

#[test]
fn the_end_of_the_parent_ends_it_in_time_whatever_its_workers_do() {
    let log = ended_under(one_huge_subscribe, |broker| drop(broker.input.take()));
    assert!(
        log.contains("stopping reason=\"standard input closed"),
        "{log}"
    );
}

/// Another broker makes keys in the folder, and does not come to an end with it.
#[test]
fn a_signal_ends_a_start_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("certs")).unwrap();
    let lock = File::create(folder.path().join("certs/.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = roundel(folder.path(), &["--mqtts-port", "0", "--http-port", "off"]);
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut broker = Broker {
        child,
        input: None,
        ready: serde_json::Value::Null,
    };
    wait_for_handler(broker.child.id());
    broker.signal("-TERM");
    let told = Instant::now();
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3));
}

/// What a start has made by then goes as at any other stop: the next broker finds its places free.
#[test]
fn a_signal_during_the_start_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let mut command = roundel(folder.path(), &["--mqtts-port", "0", "--http-port", "0"]);
        command.arg("--unix-socket=mqtt.socket");
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let broker = Broker {
            child,
            input: None,
            ready: serde_json::Value::Null,
        };
        wait_for_handler(broker.child.id());
        broker.signal("-TERM");
        assert_eq!(broker.wait().code(), Some(0));
        for name in ["mqtt.socket", "certs/registry.redb.http"] {
            assert!(!folder.path().join(name).exists(), "{name}");
        }
    }
}

/// Waits until a process catches SIGTERM.
fn wait_for_handler(pid: u32) {
    const TERM: u64 = 1 << 14;
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = Path::new("/proc").join(pid.to_string()).join("status");
    loop {
        let text = fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap());
        if caught.is_none_or(|mask| mask & TERM != 0) {
            return;
        }
        assert!(Instant::now() < deadline, "SIGTERM is not caught");
        std::thread::yield_now();
    }
}
