//! mosquitto as a bridge: a broker of its own that is a client of this one, in both protocol versions
//! and both profiles, with its defaults wherever a test needs nothing else.
//!
//! In 3.1.1 its first CONNECT has bit 0x80 in the protocol level (`try_private`). The `standard`
//! profile takes that for a wish to get no message of its own back; `aws` refuses it as the service
//! does, and the bridge goes on without.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::broker::{Broker, Endpoint, HOST, Identity, Profile, Transport};
use crate::matrix::Version;
use crate::mosquitto::client;
use crate::process::Process;
use crate::trial;

/// What the bridge is called; its state topic has its client identifier.
const NAME: &str = "uplink";
const CLIENT_ID: &str = "edge.uplink";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for profile in [Profile::Standard, Profile::Aws] {
        for version in [Version::V4, Version::V5] {
            let name = |claim: &str| format!("bridge::{profile}_{}_{claim}", version.mosquitto());
            trials.push(trial(name("carries_messages_once"), move || {
                carries_messages_once(profile, version);
            }));
            trials.push(trial(name("comes_back_to_a_new_broker"), move || {
                comes_back_to_a_new_broker(profile, version);
            }));
            trials.push(trial(name("comes_back_itself"), move || {
                comes_back_itself(profile, version);
            }));
        }
    }
    for version in [Version::V4, Version::V5] {
        let name = format!("bridge::standard_{}_tells_its_state", version.mosquitto());
        trials.push(trial(name, move || tells_its_state(version)));
    }
    trials.push(trial(
        "bridge::aws_reads_its_key_as_another_user",
        reads_its_key_as_another_user,
    ));
    trials
}

/// Messages go both ways and each arrives once: none comes back to where it was published.
fn carries_messages_once(profile: Profile, version: Version) {
    let broker = Broker::start(profile);
    let bridge = Bridge::start(&broker, profile, version);
    let (local, remote) = (bridge.endpoint(), remote(&broker, profile));
    let mut near = subscribe(&local, "#");
    let mut far = subscribe(&remote, "+/x");
    let mut expected = Vec::new();
    for round in 0..3 {
        for (endpoint, topic) in [(&local, "up/x"), (&remote, "down/x")] {
            let payload = format!("{topic} {round}");
            publish(endpoint, topic, &payload, &[]);
            expect_each([&mut near, &mut far], topic, 0, &payload, &mut expected);
        }
        if !has_no_local(profile, version) {
            // What goes both ways under one topic comes back here, as it does on the service.
            continue;
        }
        for endpoint in [&local, &remote] {
            let payload = format!("both {round}");
            publish(endpoint, "both/x", &payload, &[]);
            expect_each([&mut near, &mut far], "both/x", 0, &payload, &mut expected);
        }
    }
    if has_no_local(profile, version) {
        // RETAIN reaches the other side, so that its broker keeps the message too.
        publish(&remote, "both/x", "kept", &["-r"]);
        expect_each([&mut near, &mut far], "both/x", 0, "kept", &mut expected);
        let mut late = subscribe(&local, "both/#");
        assert_eq!(next(&mut late), "both/x 1 1 kept");
    }
    for side in [near, far] {
        let messages: Vec<String> = side.terminate().into_iter().filter_map(message).collect();
        assert_eq!(messages, expected, "{}", broker.log());
    }
}

/// This broker ends and another one takes its place: the bridge finds it and subscribes again.
fn comes_back_to_a_new_broker(profile: Profile, version: Version) {
    let broker = Broker::start(profile);
    let mut bridge = Bridge::start(&broker, profile, version);
    let broker = broker.restart();
    bridge.wait_until_subscribed();
    let (local, remote) = (bridge.endpoint(), remote(&broker, profile));
    let mut near = subscribe(&local, "down/#");
    let mut far = subscribe(&remote, "up/#");
    publish(&remote, "down/x", "one", &[]);
    assert_eq!(next(&mut near), "down/x 1 0 one");
    publish(&local, "up/x", "two", &[]);
    assert_eq!(next(&mut far), "up/x 1 0 two");
}

/// The bridge ends and comes back. In 3.1.1 its session was kept, with what came meanwhile; in MQTT 5
/// this bridge asks for none.
fn comes_back_itself(profile: Profile, version: Version) {
    let broker = Broker::start(profile);
    let bridge = Bridge::start(&broker, profile, version);
    let remote = remote(&broker, profile);
    let stopped = bridge.stop();
    let missed = ["one", "three", "seventh"];
    for payload in missed {
        publish(&remote, "down/x", payload, &[]);
    }
    let mut bridge = stopped.start();
    if version == Version::V4 {
        for payload in missed {
            let line = bridge
                .log
                .wait_for(payload, |line| line.contains("Received PUBLISH from local"));
            let size = format!("'down/x', ... ({} bytes)", payload.len());
            assert!(line.contains(&size), "{line}: {payload}");
        }
    }
    bridge.wait_until_subscribed();
    let mut near = subscribe(&bridge.endpoint(), "down/#");
    let mut far = subscribe(&remote, "up/#");
    publish(&remote, "down/x", "down", &[]);
    assert_eq!(next(&mut near), "down/x 1 0 down");
    publish(&bridge.endpoint(), "up/x", "up", &[]);
    assert_eq!(next(&mut far), "up/x 1 0 up");
}

/// The bridge says under `$SYS/` that it is there, and its will that it is gone.
fn tells_its_state(version: Version) {
    let broker = Broker::start(Profile::Standard);
    let bridge = Bridge::start(&broker, Profile::Standard, version);
    let remote = remote(&broker, Profile::Standard);
    let mut watcher = subscribe(&remote, "$SYS/broker/connection/+/state");
    let state = |value: &str, retain: u8| {
        format!("$SYS/broker/connection/{CLIENT_ID}/state 1 {retain} {value}")
    };
    assert_eq!(next(&mut watcher), state("1", 1));
    bridge.log.signal("KILL");
    assert_eq!(next(&mut watcher), state("0", 0));
}

/// As a service it runs as a user of its own, which does not read a key that is its owner's only, and reads one that
/// `roundel cert --key-group` has given to its group. Only root's mosquitto becomes that user.
fn reads_its_key_as_another_user() {
    let broker = Broker::start(Profile::Aws);
    let open = TempDir::new().expect("a temporary folder");
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).expect("its own folder");
    let own = open.path().metadata().expect("its own folder");
    let ca = open.path().join("ca.pem");
    fs::copy(broker.ca_file(), &ca).expect("a file that everybody reads");
    let issue = |flags: &[&str]| Identity {
        ca: ca.clone(),
        ..broker.issue_in(open.path(), "bridge", flags)
    };
    let is_root = own.uid() == 0;
    let identity = issue(&[]);
    let mut setting = Setting::of("mosquitto", &broker, Profile::Aws, Version::V5, &identity);
    if is_root {
        let mut bridge = setting.start();
        bridge.log.wait_for("a key that it does not read", |line| {
            line.contains("Unable to load client key file")
        });
        setting = bridge.stop();
    }
    let group = match is_root {
        true => "mosquitto".to_owned(),
        false => own.gid().to_string(),
    };
    issue(&["--if-missing", "--key-group", &group]);
    let key = identity.key.metadata().expect("the key");
    assert_eq!(key.mode() & 0o777, 0o640);
    let mut bridge = setting.start();
    bridge.wait_until_subscribed();
    let remote = remote(&broker, Profile::Aws);
    let mut far = subscribe(&remote, "up/#");
    publish(&bridge.endpoint(), "up/x", "up", &[]);
    assert_eq!(next(&mut far), "up/x 1 0 up");
}

/// Whether the bridge can ask for none of its own messages: by an option of MQTT 5, or by bit 0x80.
fn has_no_local(profile: Profile, version: Version) -> bool {
    profile == Profile::Standard || version == Version::V5
}

/// A mosquitto broker with one bridge to the broker under test. It is killed when dropped.
struct Bridge {
    log: Process,
    setting: Setting,
}

/// What a bridge is started with, again and again.
struct Setting {
    folder: TempDir,
    port: u16,
}

impl Bridge {
    /// Starts mosquitto and returns when its bridge has its subscriptions.
    #[track_caller]
    fn start(broker: &Broker, profile: Profile, version: Version) -> Self {
        let setting = Setting::new(broker, profile, version);
        let mut bridge = setting.start();
        bridge.wait_until_subscribed();
        bridge
    }

    #[track_caller]
    fn wait_until_subscribed(&mut self) {
        // One for each of three topics.
        for topic in 0..2 {
            self.log.wait_for(&format!("SUBACK {topic}"), |line| {
                line.contains("Received SUBACK")
            });
        }
    }

    fn stop(self) -> Setting {
        self.log.terminate();
        self.setting
    }

    /// Where mosquitto takes its own clients.
    fn endpoint(&self) -> Endpoint {
        Endpoint {
            transport: Transport::Tcp,
            port: self.setting.port,
            identity: Identity {
                ca: PathBuf::new(),
                cert: PathBuf::new(),
                key: PathBuf::new(),
            },
        }
    }
}

impl Setting {
    fn new(broker: &Broker, profile: Profile, version: Version) -> Self {
        // Another user cannot read the key where root runs it.
        Self::of("root", broker, profile, version, &broker.issue("bridge"))
    }

    fn of(
        user: &str,
        broker: &Broker,
        profile: Profile,
        version: Version,
        identity: &Identity,
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let port = free_port();
        let mut text = format!(
            "listener {port} 127.0.0.1\n\
             allow_anonymous true\n\
             log_dest stdout\n\
             log_type all\n\
             user {user}\n\
             connection {NAME}\n\
             remote_clientid {CLIENT_ID}\n\
             # The defaults wait up to half a minute before they try again.\n\
             restart_timeout 1\n\
             topic up/# out 1\n\
             topic down/# in 1\n\
             topic both/# both 1\n"
        );
        let transport = transport(profile);
        let mut line = |line: String| writeln!(text, "{line}").expect("a string grows");
        line(format!("address {HOST}:{}", broker.port(transport)));
        if version == Version::V5 {
            line("bridge_protocol_version mqttv50".to_owned());
        }
        if transport.is_secure() {
            line(format!("bridge_cafile {}", identity.ca.display()));
            line(format!("bridge_certfile {}", identity.cert.display()));
            line(format!("bridge_keyfile {}", identity.key.display()));
        }
        if profile == Profile::Aws {
            // The state topic begins with $, which the service refuses.
            line("notifications false".to_owned());
        }
        let file = folder.path().join("mosquitto.conf");
        fs::write(&file, text).expect("a configuration file");
        Self { folder, port }
    }

    fn start(self) -> Bridge {
        // Without a terminal it would keep its lines to itself for a while.
        let mut command = Command::new("stdbuf");
        command
            .arg("-oL")
            .arg(mosquitto())
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"));
        Bridge {
            log: Process::start("mosquitto", &mut command),
            setting: self,
        }
    }
}

/// Debian puts it where only root's path leads.
fn mosquitto() -> &'static Path {
    let debian = Path::new("/usr/sbin/mosquitto");
    if debian.exists() {
        debian
    } else {
        Path::new("mosquitto")
    }
}

/// A port that was free a moment ago: mosquitto takes no port 0.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket").port()
}

/// How the bridge and other clients reach the broker under test.
fn transport(profile: Profile) -> Transport {
    match profile {
        Profile::Aws => Transport::Tls,
        Profile::Standard => Transport::Tcp,
    }
}

fn remote(broker: &Broker, profile: Profile) -> Endpoint {
    broker.endpoint(transport(profile))
}

/// A subscriber that has its SUBACK.
#[track_caller]
fn subscribe(endpoint: &Endpoint, filter: &str) -> Process {
    let mut command = client("mosquitto_sub", endpoint);
    command.args(["-d", "-q", "1", "-F", "message %t %q %r %p", "-t", filter]);
    let mut process = Process::start(format!("subscriber to {filter}"), &mut command);
    process.wait_for("SUBACK", |line| line.starts_with("Subscribed"));
    process
}

#[track_caller]
fn publish(endpoint: &Endpoint, topic: &str, payload: &str, more: &[&str]) {
    let mut command = client("mosquitto_pub", endpoint);
    command
        .args(["-q", "1", "-t", topic, "-m", payload])
        .args(more);
    Process::start("publisher", &mut command).finish();
}

#[track_caller]
fn next(subscriber: &mut Process) -> String {
    let line = subscriber.wait_for("a message", |line| line.starts_with("message "));
    message(line).expect("a message")
}

fn message(line: String) -> Option<String> {
    line.strip_prefix("message ").map(str::to_owned)
}

/// Both sides get this message next, and nothing else before it.
#[track_caller]
fn expect_each(
    sides: [&mut Process; 2],
    topic: &str,
    retain: u8,
    payload: &str,
    expected: &mut Vec<String>,
) {
    expected.push(format!("{topic} 1 {retain} {payload}"));
    for side in sides {
        assert_eq!(Some(next(side)).as_ref(), expected.last());
    }
}
