//! A seeded run in which everything goes wrong: packet rules of every action at random, outages, a clock
//! that jumps, clients that leave, come back and are put out, over clients of five libraries.
//!
//! A run goes in rounds. After a hundred steps the rules are taken away, every connection is lost once more, and
//! everybody comes back: now nothing that the broker has acknowledged may be missing, by the ledger
//! (`chaos/ledger.rs`). After some rounds the broker is reset, and nothing may be left of them.
//!
//! `ROUNDEL_CHAOS_SEED` and `ROUNDEL_CHAOS_STEPS` choose the run; a failure writes the rows of its round to the file
//! that `ROUNDEL_CHAOS_JOURNAL` names. The order of the steps is that of the seed; how they
//! meet the packets is not.

#[path = "chaos/api.rs"]
mod api;
#[path = "chaos/fleet.rs"]
mod fleet;
#[path = "chaos/ledger.rs"]
mod ledger;
#[path = "chaos/rules.rs"]
mod rules;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::broker::{binary, without_settings};
use crate::trial;

use api::Api;
use fleet::{Fleet, GROUPS, MOSQUITTO_PUB, MOSQUITTO_TOPIC, NAMES, library};
use ledger::Ledger;

/// Steps of a round, and rounds between resets.
const ROUND: u64 = 100;
const ROUNDS: u64 = 4;

/// Rules that there are at a time.
const RULES: usize = 10;

/// Each thread of the broker holds back changes of what it counts, up to 10 KiB. What it leaks comes again with
/// every reset.
const SLACK: u64 = 40 * 1024;

/// How long something takes that is sure to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a client may take to come back before it is made anew.
const RETURN: Duration = Duration::from_millis(1500);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("chaos::promises_of_the_broker_hold", chaos)]
}

fn chaos() {
    let seed = number("ROUNDEL_CHAOS_SEED").unwrap_or(1);
    let steps = number("ROUNDEL_CHAOS_STEPS").unwrap_or(400);
    let mut run = Run::start(seed);
    run.live(steps);
    run.report(steps);
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// The broker, with its log in a file.
struct Broker {
    child: Child,
    folder: TempDir,
}

impl Broker {
    /// Starts it; its ports for MQTT and for the control API.
    fn start() -> (Self, u16, String) {
        let folder = TempDir::new().expect("a temporary folder");
        let log = File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new(binary());
        without_settings(&mut command);
        command.args(["serve", "--profile", "standard", "--ready", "json"]);
        command.args([
            "--mqtt-port",
            "0",
            "--http-port",
            "0",
            "--mqtts-port",
            "off",
        ]);
        command.args(["--die-with-parent", "--journal", "--log", "info"]);
        command.arg("--certs").arg(folder.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the broker starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = lines.next().and_then(Result::ok).expect("the ready line");
        let ready: Value = serde_json::from_str(&line).expect("JSON");
        let address = |name: &str| {
            let address = ready["listeners"][name].as_str();
            address.expect("the listener is on").to_owned()
        };
        let port = address("mqtt")
            .rsplit_once(':')
            .map(|(_, port)| port.parse());
        let port = port.and_then(Result::ok).expect("a port");
        (Self { child, folder }, port, address("http"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("a log")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Both fail only when it is gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Run {
    seed: u64,
    dice: Rng,
    broker: Broker,
    api: Api,
    fleet: Fleet,
    ledger: Ledger,
    /// The row up to which the journal was read.
    read: u64,
    /// Counts rules and messages.
    count: u64,
    /// What the broker holds while nothing happens.
    level: u64,
    begun: Instant,
    /// Clients that had to be made anew, by library.
    revived: BTreeMap<String, u64>,
    /// The last steps, and the rows of this round, for a report.
    steps: Vec<String>,
    kept: Vec<String>,
    resets: u64,
}

impl Run {
    fn start(seed: u64) -> Self {
        let begun = Instant::now();
        let (broker, port, http) = Broker::start();
        let mut api = Api::new(&http);
        api.json(
            "PUT",
            "/v1/journal",
            r#"{"on": true, "rows": 500000, "bytes": 536870912}"#,
        );
        let level = api.get("/v1/stats")["memory_bytes"].as_u64();
        let level = level.expect("a number");
        let mut run = Self {
            seed,
            dice: Rng::with_seed(seed),
            broker,
            api,
            fleet: Fleet::start(port),
            ledger: Ledger::new(),
            read: 0,
            count: 0,
            level,
            begun,
            revived: BTreeMap::new(),
            steps: Vec::new(),
            kept: Vec::new(),
            resets: 0,
        };
        run.begin();
        run
    }

    fn live(&mut self, steps: u64) {
        for step in 0..steps {
            self.step();
            if (step + 1).is_multiple_of(ROUND) || step + 1 == steps {
                self.settle();
                let is_last = step + 1 == steps;
                if is_last || (step + 1).is_multiple_of(ROUND * ROUNDS) {
                    for _ in 0..20 {
                        self.step();
                    }
                    self.reset();
                    self.begin();
                }
            }
        }
        self.settle();
        let (status, text) = self.api.call("GET", "/readyz", "");
        assert_eq!(status, 200, "{text}");
        self.check_log();
    }

    fn begin(&mut self) {
        for name in NAMES {
            self.fleet.open(name, true);
        }
        self.fleet.open_publisher();
        for name in NAMES {
            self.come_back(name, 0);
        }
    }

    fn note(&mut self, step: impl Into<String>) {
        let step = step.into();
        if env::var_os("ROUNDEL_CHAOS_PRINT").is_some() {
            eprintln!("{step}");
        }
        self.steps.push(step);
    }

    #[track_caller]
    fn fail(&mut self, what: &str) -> ! {
        if let Some(path) = env::var_os("ROUNDEL_CHAOS_JOURNAL") {
            fs::write(path, self.kept.join("\n")).expect("a file");
        }
        let last = |lines: &[String]| lines[lines.len().saturating_sub(60)..].join("\n  ");
        let log: Vec<_> = self.broker.log().lines().map(str::to_owned).collect();
        panic!(
            "seed {}: {what}\nthe last steps:\n  {}\nthe broker's log:\n  {}",
            self.seed,
            last(&self.steps),
            last(&log)
        );
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.dice.usize(..NAMES.len())]
    }
}

/// What goes wrong.
impl Run {
    fn step(&mut self) {
        match self.dice.u8(..100) {
            0..40 => self.publish(),
            40..68 => self.add_rule(),
            68..71 => self.remove_rule(),
            71..73 => {
                self.note("clear rules");
                self.api.json("DELETE", "/v1/rules", "");
            }
            73..79 => self.let_go(),
            79..83 => self.inject(),
            83..85 => self.outage(),
            85..89 => self.advance(),
            89..93 => {
                let name = self.name();
                if !self.fleet.known[name].is_away {
                    self.note(format!("cut {name}"));
                    self.fleet.cut(name);
                }
            }
            93..97 => self.leave_or_come_back(),
            _ => self.put_out(),
        }
        // What was done meets what is under way: a few packets, unless nothing comes.
        let rows = self.dice.u8(1..25);
        let path = format!("/v1/journal/wait?count={rows}&timeout=12ms");
        self.api.call("GET", &path, "");
        self.fleet.listen();
    }

    fn publish(&mut self) {
        let qos = self.dice.u8(..3);
        let topic = match self.dice.u8(..10) {
            0..4 => format!("p/{}", self.dice.u8(1..4)),
            4..7 => format!("ga/{}", self.dice.u8(1..3)),
            7..9 => format!("gb/{}", self.dice.u8(1..3)),
            _ => format!("keep/{}", self.dice.u8(1..4)),
        };
        let name = self.name();
        for _ in 0..self.dice.u8(1..5) {
            self.publish_one(name, &topic, qos, topic.starts_with("keep"));
        }
    }

    fn publish_one(&mut self, name: &'static str, topic: &str, qos: u8, retain: bool) -> String {
        let text = format!("message-{}", self.number());
        self.note(format!("publish {text} by {name} to {topic}, QoS {qos}"));
        self.fleet.publish(name, topic, qos, retain, &text);
        text
    }

    fn add_rule(&mut self) {
        let number = self.number();
        let rule = rules::rule(&mut self.dice, number).to_string();
        self.note(format!("rule {rule}"));
        self.api.json("POST", "/v1/rules", &rule);
        let rules = self.api.get("/v1/rules");
        let rules = rules["rules"].as_array().cloned().unwrap_or_default();
        let spent = rules.iter().filter(|rule| rule["spent"] == true);
        let surplus = rules.iter().take(rules.len().saturating_sub(RULES));
        for rule in spent.chain(surplus) {
            self.api
                .call("DELETE", &format!("/v1/rules/{}", rule["id"]), "");
        }
    }

    fn remove_rule(&mut self) {
        let rules = self.api.get("/v1/rules");
        let rules = rules["rules"].as_array().cloned().unwrap_or_default();
        if !rules.is_empty() {
            let id = rules[self.dice.usize(..rules.len())]["id"].clone();
            self.note(format!("remove rule {id}"));
            // Its time may be over.
            self.api.call("DELETE", &format!("/v1/rules/{id}"), "");
        }
    }

    fn let_go(&mut self) {
        let what = if self.dice.u8(..3) > 0 {
            "release"
        } else {
            "discard"
        };
        let n = self.dice.u8(1..6);
        self.note(format!("{what} {n}"));
        self.api.json("POST", &format!("/v1/held/{what}?n={n}"), "");
    }

    fn inject(&mut self) {
        let (name, number) = (self.name(), self.number());
        let direction = if self.dice.bool() { "in" } else { "out" };
        let packet = rules::packet(&mut self.dice, number);
        let body = json!({ "client": name, "direction": direction, "packet": packet });
        self.note(format!("inject {body}"));
        // It may be away.
        self.api.call("POST", "/v1/inject", &body.to_string());
    }

    fn outage(&mut self) {
        let seconds = f64::from(self.dice.u8(1..12)) / 100.0;
        self.note(format!("outage of {seconds} s"));
        let body = json!({ "seconds": seconds }).to_string();
        self.api.json("POST", "/v1/outage", &body);
    }

    fn advance(&mut self) {
        let seconds = f64::from(self.dice.u8(1..30)) / 10.0;
        let keep_alive = self.dice.u8(..5) == 0;
        self.note(format!("advance by {seconds} s, keep-alives {keep_alive}"));
        let body = json!({ "seconds": seconds, "keep_alive": keep_alive }).to_string();
        self.api.json("POST", "/v1/clock/advance", &body);
    }

    fn leave_or_come_back(&mut self) {
        let name = self.name();
        if self.fleet.known[name].is_away {
            self.note(format!("{name} comes back"));
            self.fleet.back(name);
        } else {
            self.note(format!("{name} leaves"));
            self.fleet.leave(name);
        }
    }

    fn put_out(&mut self) {
        let name = self.name();
        let with_session = self.dice.u8(..3) == 0;
        self.note(format!("put out {name}, session {with_session}"));
        let path = format!("/v1/clients/{name}?session={with_session}");
        // It may have no session.
        self.api.call("DELETE", &path, "");
    }
}

/// What has to be so.
impl Run {
    /// Nothing goes wrong any more, and everybody comes back: what was promised has to be there.
    fn settle(&mut self) {
        self.note("settle");
        self.api.json("DELETE", "/v1/rules", "");
        let what = if self.dice.bool() {
            "release"
        } else {
            "discard"
        };
        self.api.json("POST", &format!("/v1/held/{what}"), "");
        self.read_journal();
        let misled = self.ledger.misled();
        self.fleet.listen();
        let ups = NAMES.map(|name| self.fleet.known[name].ups);
        for name in NAMES {
            if misled.contains(&name) {
                // It takes its session for another one. What it has of that is gone with it.
                let path = format!("/v1/clients/{name}?session=true");
                self.api.call("DELETE", &path, "");
                self.fleet.open(name, true);
            } else if library(name) == "mosquitto" {
                self.fleet.open(name, false);
            } else if self.fleet.known[name].is_away {
                self.fleet.back(name);
            } else {
                let path = format!("/v1/clients/{name}");
                self.api.call("DELETE", &path, "");
            }
        }
        for (name, ups) in NAMES.into_iter().zip(ups) {
            self.come_back(name, ups);
        }
        self.end_strangers();
        self.mark();
        self.drain();
        self.read_journal();
        self.ledger.settle(&self.fleet.known);
        if !self.ledger.wrong.is_empty() {
            let wrong = self.ledger.wrong.join("\n  ");
            self.fail(&format!("promises were broken:\n  {wrong}"));
        }
        self.check_log();
        self.api.json("DELETE", "/v1/journal", "");
        let keep = self.steps.len().saturating_sub(300);
        self.steps.drain(..keep);
        self.kept.clear();
    }

    /// A CONNECT whose bytes were changed may have made a session under another name.
    fn end_strangers(&mut self) {
        let clients = self.api.get("/v1/clients?limit=100");
        let names = clients["clients"].as_array().into_iter().flatten();
        let names = names.filter_map(|client| client["client_id"].as_str());
        for name in names {
            if name != MOSQUITTO_PUB && !NAMES.contains(&name) {
                let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
                let path = format!("/v1/clients/{encoded}?session=true");
                self.api.call("DELETE", &path, "");
            }
        }
    }

    /// Waits until a client is connected and subscribed, and makes it anew if it is not in time.
    fn come_back(&mut self, name: &'static str, ups: u64) {
        for attempt in 0..4 {
            if attempt > 0 {
                self.note(format!("{name} is made anew"));
                *self.revived.entry(library(name).to_owned()).or_default() += 1;
                self.ledger.doubt(name, "the client was made anew");
                if attempt == 2 {
                    self.restart(name);
                }
                self.fleet.open(name, false);
            }
            let ups = if attempt == 0 {
                ups
            } else {
                self.fleet.known[name].ups
            };
            if library(name) == "mosquitto" {
                let filter = fleet::filters(name)
                    .pop()
                    .unwrap_or_default()
                    .replace('/', "%2F");
                let filter = filter.replace('#', "%23").replace('$', "%24");
                let path = format!("/v1/subscriptions?client={name}&filter={filter}&wait=5s");
                if self.api.call("GET", &path, "").0 == 200 {
                    return;
                }
                continue;
            }
            if !self.fleet.until(RETURN, |known| known[name].ups > ups) {
                continue;
            }
            let subacks = self.fleet.known[name].subacks;
            self.fleet.subscribe(name);
            if self
                .fleet
                .until(RETURN, |known| known[name].subacks > subacks)
            {
                return;
            }
        }
        let path = format!("/v1/clients/{name}");
        let seen = self.api.call("GET", &path, "");
        let notes = std::mem::take(&mut self.fleet.notes);
        self.read_journal();
        self.fail(&format!("{name} does not come back: {seen:?}, {notes:#?}"));
    }

    /// Starts the process of a client anew, if it has one.
    fn restart(&mut self, name: &'static str) {
        let own = library(name);
        self.note(format!("the process of {own} is started anew"));
        *self.revived.entry(format!("process of {own}")).or_default() += 1;
        for name in NAMES {
            if library(name) == own {
                self.ledger.doubt(name, "the client was made anew");
            }
        }
        self.fleet.restart(own);
    }

    /// Everybody sends a message that everybody gets.
    fn mark(&mut self) {
        self.fleet.open_publisher();
        let mut marks = Vec::new();
        for name in NAMES {
            let is_program = library(name) == "mosquitto";
            let topic = match is_program {
                true => MOSQUITTO_TOPIC.to_owned(),
                false => format!("m/{name}"),
            };
            let text = self.publish_one(name, &topic, 1, false);
            marks.push((topic, text));
        }
        for attempt in 0..3 {
            let is_there = self.fleet.until(PATIENCE / 4, |known| {
                let all = known.values();
                all.into_iter()
                    .all(|own| marks.iter().all(|mark| own.got.contains(mark)))
            });
            if is_there {
                return;
            }
            let missing: Vec<_> = self
                .fleet
                .known
                .iter()
                .map(|(name, own)| {
                    let missing = marks.iter().filter(|mark| !own.got.contains(*mark));
                    (*name, missing.cloned().collect::<Vec<_>>())
                })
                .filter(|(_, missing)| !missing.is_empty())
                .collect();
            if attempt == 2 {
                let stats = self.api.get("/v1/stats");
                self.fail(&format!("messages do not arrive: {missing:#?}; {stats:#}"));
            }
            self.note(format!("missing marks {missing:?}"));
            // Who does not publish or does not read any more is made anew, and says it again.
            for (name, (topic, text)) in NAMES.iter().zip(&marks) {
                let is_deaf = missing.iter().any(|(own, _)| own == name);
                let is_missed = |all: &[(String, String)]| all.iter().any(|own| own.1 == *text);
                let deaf = missing.iter().filter(|(_, all)| is_missed(all)).count();
                // Whom many do not hear may not have sent it.
                if is_deaf || deaf > 2 {
                    let path = format!("/v1/clients/{name}");
                    self.api.call("DELETE", &path, "");
                    *self.revived.entry(library(name).to_owned()).or_default() += 1;
                    self.ledger.doubt(name, "the client was made anew");
                    self.fleet.open(name, false);
                    self.come_back(name, self.fleet.known[name].ups);
                    if library(name) == "mosquitto" {
                        self.fleet.open_publisher();
                    }
                }
                if deaf > 0 {
                    self.fleet.publish(name, topic, 1, false, text);
                }
            }
        }
    }

    /// Waits until nothing is under way.
    fn drain(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let stats = self.api.get("/v1/stats");
            let left = ["queued", "in_flight", "group_queued"].map(|key| stats[key].as_u64());
            if left == [Some(0); 3] {
                break;
            }
            if Instant::now() > until {
                let clients = self.api.get("/v1/clients?limit=100");
                self.fail(&format!("left: {left:?} in {clients:#}"));
            }
            // Any acknowledgement may be the last one.
            let path = "/v1/journal/wait?direction=in&timeout=20ms";
            self.api.call("GET", path, "");
        }
        for (share, filter, _) in GROUPS {
            let filter = filter.replace('/', "%2F").replace('#', "%23");
            let group = self.api.get(&format!("/v1/groups/{share}/{filter}"));
            let members = group["members"].as_array().map_or(0, Vec::len);
            let present = NAMES.iter().filter(|name| {
                let full = GROUPS.iter().filter(|(own, _, _)| *own == share);
                full.into_iter()
                    .any(|(_, _, number)| name.ends_with(number))
            });
            assert_eq!(members, present.count(), "{group:#}");
        }
        self.fleet.listen();
    }

    fn read_journal(&mut self) {
        loop {
            let path = format!("/v1/journal?format=jsonl&limit=1000&since={}", self.read);
            let (status, text) = self.api.call("GET", &path, "");
            assert_eq!(status, 200, "{text}");
            if text.is_empty() {
                return;
            }
            for line in text.lines() {
                let row: Value = serde_json::from_str(line).expect("JSON");
                let number = row["number"].as_u64().expect("a number");
                assert!(
                    number == self.read + 1 || self.read == 0,
                    "rows are missing"
                );
                self.read = number;
                self.ledger.read(&row);
                self.kept.push(line.to_owned());
            }
        }
    }

    /// Everybody goes, and the broker forgets everything: nothing may be left.
    fn reset(&mut self) {
        self.note("reset");
        self.resets += 1;
        self.read_journal();
        // What the broker owed to those is forgotten with everything else.
        for own in self.fleet.stop_all() {
            self.note(format!(
                "{own} had taken its process down, there is another"
            ));
            *self.revived.entry(format!("process of {own}")).or_default() += 1;
        }
        // What clients sent before they went may be under way. A connection that a rule has nothing read from is
        // there until the reset.
        let quiet = "/v1/journal/wait?count=0&timeout=50ms";
        let until = Instant::now() + PATIENCE;
        while self.api.call("GET", quiet, "").0 != 200 && Instant::now() < until {}
        self.api.json("POST", "/v1/reset", "");
        let stats = self.api.get("/v1/stats");
        let zeros = [
            "clients_connected",
            "sessions",
            "subscriptions",
            "groups",
            "retained",
            "queued",
            "in_flight",
            "group_queued",
            "packets_received",
            "messages_dropped",
        ];
        for key in zeros {
            assert_eq!(stats[key], 0, "seed {}: {key} in {stats:#}", self.seed);
        }
        for (path, list) in [
            ("/v1/clients", "clients"),
            ("/v1/retained", "retained"),
            ("/v1/groups", "groups"),
            ("/v1/topics", "topics"),
            ("/v1/rules", "rules"),
            ("/v1/held", "held"),
            ("/v1/deadlines", "deadlines"),
            ("/v1/journal", "rows"),
        ] {
            let answer = self.api.get(path);
            assert_eq!(answer[list], json!([]), "seed {}: {path}", self.seed);
        }
        let held = stats["memory_bytes"].as_u64().unwrap_or(u64::MAX);
        if held > self.level + SLACK {
            let what = format!("{held} bytes are held, {} at first: {stats:#}", self.level);
            self.fail(&what);
        }
        self.ledger.forget();
        self.fleet.listen();
        self.read = 0;
    }

    fn check_log(&mut self) {
        let (status, text) = self.api.call("GET", "/healthz", "");
        assert_eq!(status, 200, "{text}");
        let log = self.broker.log();
        let bad = log
            .lines()
            .find(|line| line.contains("ERROR") || line.contains("panicked"));
        if let Some(line) = bad {
            self.fail(&format!("the broker logged: {line}"));
        }
    }

    fn report(&self, steps: u64) {
        let figures = &self.ledger.figures;
        eprintln!(
            "chaos: seed {}, {steps} steps in {:.1} s; {} messages published, {} acknowledged by the broker, \
             {} arrivals owed, {} excused; {} hand-overs in groups, {} turns checked; {} rows of the journal; \
             {} resets",
            self.seed,
            self.begun.elapsed().as_secs_f64(),
            self.fleet.messages,
            figures.promised,
            figures.owed,
            figures.excused.values().sum::<u64>(),
            figures.handed,
            figures.turns,
            figures.rows,
            self.resets,
        );
        eprintln!("  rules acted: {:?}", figures.hits);
        eprintln!("  excused: {:?}", figures.excused);
        eprintln!(
            "  acknowledged by a client, and kept quiet: {:?}",
            figures.kept_quiet
        );
        eprintln!("  made anew: {:?}", self.revived);
        eprintln!(
            "  {MOSQUITTO_PUB} and libraries said: {:#?}",
            self.fleet.notes
        );
    }
}
