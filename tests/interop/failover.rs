//! QoS 1 in a shared group whose members die in mid-stream.
//!
//! Four `mosquitto_pub` send 10,000 messages to a group of five Paho members. Two members end one
//! after the other, each with messages that it received and did not acknowledge. Every message has
//! to be acknowledged by somebody, and what a dead member held has to reach another one as a new
//! delivery (AWS-SHARE-13, MQTT-4.8.2-4 to -6 leave it to the server).

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;

use crate::broker::{Broker, Endpoint, HOST, Profile, Transport, file, python};
use crate::process::{DEADLINE, Process};
use crate::{mosquitto, report, trial};

const MESSAGES: usize = 10_000;
const PUBLISHERS: usize = 4;
const MEMBERS: usize = 5;
const TOPIC: &str = "failover/data";

/// The window of each member.
const RECEIVE_MAXIMUM: usize = 100;
/// Messages that a member keeps unacknowledged, when it acknowledges at all.
const HELD: usize = 20;
/// Messages on their way: published, and neither acknowledged nor held by a member. Few, so that the
/// time to redelivery is the broker's and not that of clients that read a backlog.
const ON_THEIR_WAY: usize = 100;
/// In seconds; the broker waits one and a half times as long.
const KEEP_ALIVE: u32 = 3;

/// Who ends, and after how many acknowledged messages.
const VICTIMS: [(usize, usize); 2] = [(1, 2_500), (3, 6_000)];

pub(crate) fn trials() -> Vec<Trial> {
    [Cut::Kill, Cut::Reset, Cut::Takeover, Cut::KeepAlive]
        .into_iter()
        .map(|cut| trial(format!("failover::{cut}_loses_nothing"), move || run(cut)))
        .collect()
}

/// How a member's connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// SIGKILL, for members that acknowledge all but the newest messages.
    Kill,
    /// RST, for members that never acknowledge; so are the next two.
    Reset,
    /// Another client connects with the same identifier.
    Takeover,
    /// The process stops (SIGSTOP); its connection stays open and silent.
    KeepAlive,
}

fn run(cut: Cut) {
    let started = Instant::now();
    let broker = Broker::start(Profile::Standard);
    let mut group = Group::join(&broker, cut);
    for (victim, threshold) in VICTIMS {
        group.flow_until("the moment to end a member", |ledger| {
            ledger.acknowledged >= threshold && ledger.held[victim] >= cut.held()
        });
        group.cut(victim);
    }
    group.flow_until("the last message", |ledger| ledger.published == MESSAGES);
    group.release();
    group.flow_until("the last acknowledgement", Ledger::is_settled);
    let ledger = group.finish();
    ledger.assert_nothing_lost();
    report::figure(format!(
        "failover by {cut}: {}, {:.1?} in all",
        ledger.figures(),
        started.elapsed()
    ));
}

/// The publishers, the members and what is known about every message.
struct Group {
    cut: Cut,
    endpoint: Endpoint,
    publishers: Vec<Process>,
    members: Vec<Process>,
    /// Clients that took a member's identifier over.
    usurpers: Vec<Process>,
    lines: Receiver<(usize, String)>,
    ledger: Ledger,
}

impl Group {
    /// Starts the members, one after the other, and the publishers.
    fn join(broker: &Broker, cut: Cut) -> Self {
        let endpoint = broker.endpoint(Transport::Tcp);
        let (sender, lines) = channel();
        let members = (0..MEMBERS)
            .map(|n| member(&endpoint, n, cut, sender.clone()))
            .collect();
        let publishers = (0..PUBLISHERS).map(|n| publisher(&endpoint, n)).collect();
        let usurpers = Vec::new();
        Self {
            cut,
            endpoint,
            publishers,
            members,
            usurpers,
            lines,
            ledger: Ledger::new(),
        }
    }

    /// Publishes, and reads what the members say, until `reached`.
    #[track_caller]
    fn flow_until(&mut self, what: &str, reached: impl Fn(&Ledger) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !reached(&self.ledger) {
            self.publish();
            let left = until.saturating_duration_since(Instant::now());
            let Ok((member, line)) = self.lines.recv_timeout(left) else {
                panic!("{what}: did not come; {}", self.ledger.figures());
            };
            self.ledger.note(member, &line);
        }
    }

    /// Publishes what may be on its way.
    fn publish(&mut self) {
        let ledger = &mut self.ledger;
        let held: usize = ledger.held.iter().sum();
        let ahead = MESSAGES.min(ledger.acknowledged + held + ON_THEIR_WAY);
        for n in ledger.published..ahead {
            self.publishers[n % PUBLISHERS].send(&n.to_string());
        }
        ledger.published = ledger.published.max(ahead);
    }

    fn cut(&mut self, victim: usize) {
        self.ledger.cuts.push((victim, nanoseconds()));
        match self.cut {
            Cut::Kill => self.members[victim].kill(),
            Cut::Reset => self.members[victim].send("reset"),
            Cut::KeepAlive => self.members[victim].signal("STOP"),
            Cut::Takeover => {
                let mut command = mosquitto::client("mosquitto_sub", &self.endpoint);
                command.args([
                    "-V",
                    "mqttv5",
                    "-d",
                    "-t",
                    "failover/other",
                    "-i",
                    &id(victim),
                ]);
                self.usurpers.push(Process::start("usurper", &mut command));
            }
        }
    }

    /// Has the members acknowledge what they hold, and everything from here on.
    fn release(&mut self) {
        let victims: Vec<_> = self.ledger.cuts.iter().map(|(victim, _)| *victim).collect();
        let alive = self
            .members
            .iter_mut()
            .enumerate()
            .filter(|(n, _)| !victims.contains(n));
        alive.for_each(|(_, member)| member.send("release"));
    }

    /// Ends everything in the regular way: each publisher had all its PUBACKs, and the members said
    /// all that they had to say.
    fn finish(mut self) -> Ledger {
        for publisher in self.publishers.drain(..) {
            publisher.finish();
        }
        let victims: Vec<_> = self.ledger.cuts.iter().map(|(victim, _)| *victim).collect();
        self.members.iter_mut().for_each(Process::close_input);
        let mut open = MEMBERS - victims.len();
        let until = Instant::now() + DEADLINE;
        while open > 0 {
            let left = until.saturating_duration_since(Instant::now());
            let (member, line) = self.lines.recv_timeout(left).expect("the members end");
            if line == "closed" && !victims.contains(&member) {
                open -= 1;
            }
            self.ledger.note(member, &line);
        }
        self.ledger
    }
}

/// A Paho member that is subscribed; its further lines go to `lines`.
fn member(endpoint: &Endpoint, n: usize, cut: Cut, lines: Sender<(usize, String)>) -> Process {
    let is_victim = VICTIMS.iter().any(|(victim, _)| *victim == n);
    let hold = if is_victim && cut != Cut::Kill {
        "all".to_owned()
    } else {
        HELD.to_string()
    };
    let mut command = python();
    command.arg(file("clients/share_member.py"));
    command.args([
        "--host",
        HOST,
        "--port",
        &endpoint.port.to_string(),
        "--id",
        &id(n),
    ]);
    command.args([
        "--filter",
        &format!("$share/group/{TOPIC}"),
        "--hold",
        &hold,
    ]);
    command.args(["--receive-maximum", &RECEIVE_MAXIMUM.to_string()]);
    command.args(["--keep-alive", &KEEP_ALIVE.to_string()]);
    let mut process = Process::start(id(n), &mut command);
    process.wait_for("SUBACK", |line| line == "ready");
    process.forward(n, lines);
    process
}

fn publisher(endpoint: &Endpoint, n: usize) -> Process {
    let mut command = mosquitto::client("mosquitto_pub", endpoint);
    command.args([
        "-V",
        "mqttv5",
        "-i",
        &format!("publisher-{n}"),
        "-t",
        TOPIC,
        "-q",
        "1",
        "-l",
    ]);
    Process::start(format!("publisher-{n}"), &mut command)
}

fn id(member: usize) -> String {
    format!("member-{member}")
}

/// Now, as the members print it.
fn nanoseconds() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_nanos()
}

/// What the members said about every message.
struct Ledger {
    published: usize,
    /// Messages that somebody acknowledged.
    acknowledged: usize,
    /// Messages that each member received and did not acknowledge.
    held: [usize; MEMBERS],
    /// The deliveries of each message, in the order in which the members' lines were read.
    messages: Vec<Vec<Delivery>>,
    /// The members that were ended, and when.
    cuts: Vec<(usize, u128)>,
}

#[derive(Clone)]
struct Delivery {
    member: usize,
    at: u128,
    dup: bool,
    puback: Puback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Puback {
    /// The member did not come to it.
    Unsent,
    /// The member was about to write it; if it said nothing more, only the broker knows.
    Undecided,
    /// It has left for the broker.
    Sent,
}

impl Ledger {
    fn new() -> Self {
        let messages = vec![Vec::new(); MESSAGES];
        Self {
            published: 0,
            acknowledged: 0,
            held: [0; MEMBERS],
            messages,
            cuts: Vec::new(),
        }
    }

    /// Reads a line of a member; `share_member.py` describes them.
    fn note(&mut self, member: usize, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["got", at, dup, message] => {
                let at = at.parse().expect("a time");
                let delivery = Delivery {
                    member,
                    at,
                    dup: dup == "1",
                    puback: Puback::Unsent,
                };
                self.messages[number(message)].push(delivery);
                self.held[member] += 1;
            }
            ["acking", message] => self.set_puback(member, number(message), Puback::Undecided),
            ["acked", message] => {
                let is_first = !self.is_acknowledged(number(message));
                self.acknowledged += usize::from(is_first);
                self.held[member] -= 1;
                self.set_puback(member, number(message), Puback::Sent);
            }
            _ => assert_eq!(line, "closed", "member {member} says"),
        }
    }

    fn set_puback(&mut self, member: usize, message: usize, puback: Puback) {
        let of_member = |delivery: &&mut Delivery| delivery.member == member;
        let delivery = self.messages[message].iter_mut().rev().find(of_member);
        delivery.expect("a member acknowledges what it got").puback = puback;
    }

    fn is_acknowledged(&self, message: usize) -> bool {
        self.messages[message]
            .iter()
            .any(|delivery| delivery.puback == Puback::Sent)
    }

    /// Messages whose only PUBACK was being written when the member died.
    fn undecided(&self) -> usize {
        let is_undecided = |deliveries: &&Vec<Delivery>| {
            deliveries
                .iter()
                .all(|delivery| delivery.puback != Puback::Sent)
                && deliveries
                    .iter()
                    .any(|delivery| delivery.puback == Puback::Undecided)
        };
        self.messages.iter().filter(is_undecided).count()
    }

    fn is_settled(&self) -> bool {
        let missing = MESSAGES - self.acknowledged;
        // A member writes one PUBACK at a time, so each can leave one undecided.
        missing <= self.cuts.len() && missing == self.undecided()
    }

    /// For each message that a member held when it was ended: nanoseconds from that moment to the
    /// message's arrival at another member.
    fn redeliveries(&self) -> Vec<u128> {
        let mut times = Vec::new();
        for (victim, cut) in &self.cuts {
            for deliveries in &self.messages {
                let held = |d: &&Delivery| d.member == *victim && d.puback == Puback::Unsent;
                let Some(held) = deliveries.iter().find(held) else {
                    continue;
                };
                let others = deliveries
                    .iter()
                    .filter(|d| d.member != *victim && d.at > held.at);
                times.extend(others.map(|d| d.at.saturating_sub(*cut)).min());
            }
        }
        times.sort_unstable();
        times
    }

    fn assert_nothing_lost(&self) {
        let figures = self.figures();
        let held: usize = self.cuts.iter().map(|(victim, _)| self.held[*victim]).sum();
        for (message, deliveries) in self.messages.iter().enumerate() {
            let count = |puback| deliveries.iter().filter(|d| d.puback == puback).count();
            let (unsent, undecided) = (count(Puback::Unsent), count(Puback::Undecided));
            assert!(
                self.is_acknowledged(message) || undecided > 0,
                "message {message} was lost; {figures}"
            );
            assert!(
                deliveries.len() <= 1 + unsent + undecided,
                "message {message} was sent again although it was acknowledged; {figures}"
            );
            assert!(
                deliveries.iter().all(|delivery| !delivery.dup),
                "message {message} came with DUP, but another member is another delivery; {figures}"
            );
        }
        assert!(
            self.redeliveries().len() + self.cuts.len() >= held,
            "{held} were held by members that ended; {figures}"
        );
    }

    fn figures(&self) -> String {
        let times = self.redeliveries();
        let after = |index: usize| match times.get(index) {
            Some(time) => format!("{:.1} ms", *time as f64 / 1e6),
            None => "-".to_owned(),
        };
        format!(
            "{} published, {} acknowledged, {} undecided; {} of {MEMBERS} members ended, \
             {} messages redelivered, the first after {}, the median {}, the last {}",
            self.published,
            self.acknowledged,
            self.undecided(),
            self.cuts.len(),
            times.len(),
            after(0),
            after(times.len() / 2),
            after(times.len().saturating_sub(1)),
        )
    }
}

fn number(payload: &str) -> usize {
    payload.parse().expect("payloads are numbers")
}

impl Cut {
    /// Messages that a member holds by the time it is ended.
    fn held(self) -> usize {
        match self {
            Self::Kill => HELD,
            Self::Reset | Self::Takeover | Self::KeepAlive => RECEIVE_MAXIMUM,
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "sigkill",
            Self::Reset => "reset",
            Self::Takeover => "takeover",
            Self::KeepAlive => "keep_alive",
        })
    }
}
