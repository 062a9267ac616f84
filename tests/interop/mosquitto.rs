//! The matrix with `mosquitto_sub` and `mosquitto_pub`, one process per client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use crate::broker::{Endpoint, HOST};
use crate::matrix::Version;
use crate::process::Process;
use crate::script::Outcome;

/// A mosquitto client with the flags that every transport and version needs.
///
/// `stdbuf` makes it print each line at once, as it does on a terminal.
pub(crate) fn client(program: &str, endpoint: &Endpoint) -> Command {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program]);
    if endpoint.transport.is_secure() {
        command.arg("--cafile").arg(&endpoint.identity.ca);
        command.arg("--cert").arg(&endpoint.identity.cert);
        command.arg("--key").arg(&endpoint.identity.key);
    }
    command.args(["-h", HOST, "-p", &endpoint.port.to_string()]);
    command
}

/// Runs the named cases one after the other.
pub(crate) fn outcomes(version: Version, endpoint: &Endpoint, cases: &[&str]) -> Vec<Outcome> {
    let clients = Clients { version, endpoint };
    let run = |case: &&str| {
        let result = catch_unwind(AssertUnwindSafe(|| clients.case(case)));
        let error = result.err().map(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            text.or_else(|| panic.downcast_ref().copied())
                .unwrap_or("panicked")
                .to_owned()
        });
        Outcome {
            case: (*case).to_owned(),
            error,
        }
    };
    cases.iter().map(run).collect()
}

struct Clients<'a> {
    version: Version,
    endpoint: &'a Endpoint,
}

impl Clients<'_> {
    fn case(&self, name: &str) {
        match name {
            "qos0" => self.one_message(0),
            "qos1" => self.one_message(1),
            "qos2" => self.one_message(2),
            "shared" => self.shared(),
            "will" => self.will(),
            "retained" => self.retained(),
            "resume" => self.resume(),
            other => panic!("unknown case {other:?}"),
        }
    }

    fn one_message(&self, qos: u8) {
        let topic = format!("qos{qos}/a");
        let mut receiver = self.subscribe("sub", &format!("qos{qos}/+"), qos, &[]);
        self.publish(&topic, qos, &["-m", "first"]);
        self.publish(&topic, qos, &["-m", "second"]);
        for payload in ["first", "second"] {
            expect(&mut receiver, &format!("{topic} {qos} 0 {payload}"));
        }
    }

    fn shared(&self) {
        let filter = "$share/group/shared/+";
        let mut members = [0, 1].map(|n| self.subscribe(&format!("shared-{n}"), filter, 1, &[]));
        let mut sender = self.publisher("shared/a", 1, &["-l"]);
        (0..10).for_each(|n| sender.send(&n.to_string()));
        sender.finish();
        for n in 0..10 {
            expect(&mut members[n % 2], &format!("shared/a 1 0 {n}"));
        }
    }

    fn will(&self) {
        let mut watcher = self.subscribe("watcher", "will/gone", 1, &[]);
        let will = [
            "--will-topic",
            "will/gone",
            "--will-payload",
            "gone",
            "--will-qos",
            "1",
        ];
        let owner = self.subscribe("owner", "will/other", 1, &will);
        owner.signal("KILL");
        expect(&mut watcher, "will/gone 1 0 gone");
    }

    fn retained(&self) {
        self.publish("retained/a", 1, &["-r", "-m", "kept"]);
        let mut receiver = self.subscribe("sub", "retained/a", 1, &[]);
        expect(&mut receiver, "retained/a 1 1 kept");
        self.publish("retained/a", 1, &["-r", "-m", "live"]);
        expect(&mut receiver, "retained/a 1 0 live");
        self.publish("retained/a", 1, &["-r", "-n"]);
        let mut late = self.subscribe("late", "retained/a", 1, &[]);
        self.publish("retained/a", 1, &["-m", "after"]);
        expect(&mut late, "retained/a 1 0 after");
    }

    fn resume(&self) {
        let session: &[&str] = match self.version {
            Version::V4 => &["-c"],
            Version::V5 => &["-c", "-x", "300"],
        };
        self.subscribe("resume", "resume/a", 1, session).terminate();
        for payload in ["0", "1", "2"] {
            self.publish("resume/a", 1, &["-m", payload]);
        }
        // Subscribing again, which this program always does, brings back no message: they can only
        // come from the session.
        let mut again = self.subscriber("resume", "resume/a", 1, session);
        for payload in ["0", "1", "2"] {
            expect(&mut again, &format!("resume/a 1 0 {payload}"));
        }
    }

    /// A subscriber that has its SUBACK.
    fn subscribe(&self, name: &str, filter: &str, qos: u8, more: &[&str]) -> Process {
        let mut process = self.subscriber(name, filter, qos, more);
        let suback = process.wait_for("SUBACK", |line| line.starts_with("Subscribed"));
        assert_eq!(suback, format!("Subscribed (mid: 1): {qos}"));
        process
    }

    fn subscriber(&self, name: &str, filter: &str, qos: u8, more: &[&str]) -> Process {
        let mut command = client("mosquitto_sub", self.endpoint);
        let id = format!("mosquitto-{name}");
        command.args([
            "-V",
            self.version.mosquitto(),
            "-d",
            "-F",
            "message %t %q %r %p",
        ]);
        command
            .args(["-i", &id, "-t", filter, "-q", &qos.to_string()])
            .args(more);
        Process::start(id, &mut command)
    }

    /// Publishes and returns when the exchange of this QoS is complete.
    fn publish(&self, topic: &str, qos: u8, more: &[&str]) {
        self.publisher(topic, qos, more).finish();
    }

    fn publisher(&self, topic: &str, qos: u8, more: &[&str]) -> Process {
        let mut command = client("mosquitto_pub", self.endpoint);
        command.args(["-V", self.version.mosquitto(), "-d", "-i", "mosquitto-pub"]);
        command
            .args(["-t", topic, "-q", &qos.to_string()])
            .args(more);
        Process::start("mosquitto_pub", &mut command)
    }
}

/// Fails unless the next message is the wanted one.
#[track_caller]
fn expect(subscriber: &mut Process, want: &str) {
    let line = subscriber.wait_for(want, |line| line.starts_with("message "));
    assert_eq!(line.strip_prefix("message "), Some(want));
}
