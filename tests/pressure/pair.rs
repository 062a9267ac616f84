//! A pair of good clients beside bad ones: every step of theirs is timed, and the longest is what
//! counts.
//!
//! The broker has one worker, so that nobody is served while it is busy with another. The bad clients
//! are a process of their own, at the end of the queue for a core. What the broker's worker or the
//! pair's thread only waited for a core in a step is taken off, so that a machine that does other
//! things as well does not show, and of three tries the best counts. Where the broker's own threads
//! may be what the worker waits for, all of the wait counts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::attack::{Attack, Attackers, CREDENTIALS};
use crate::raw::{Manner, Raw};
use crate::stats::{Delay, turns};
use crate::support::{
    Connect, Encode as _, PINGREQ, Publish, Subscribe, TestBroker, Unsubscribe, Version, puback,
};
use crate::{beside_each, setting};

/// How long the bad clients go on, in seconds.
const SECONDS_VARIABLE: &str = "ROUNDEL_PRESSURE_SECONDS";
const SECONDS: u64 = 3;

/// What no step may take, in milliseconds. The target is 50, for a machine that does nothing else; by
/// default only what no busy machine explains is an error.
const BOUND_VARIABLE: &str = "ROUNDEL_PRESSURE_MILLISECONDS";
const BOUND: u64 = 500;

/// Between two rounds of the pair.
const PERIOD: Duration = Duration::from_millis(4);

/// So many rounds apart the pair subscribes anew.
const SUBSCRIBE_EVERY: usize = 16;

pub(crate) fn trials() -> Vec<Trial> {
    beside_each("pair", beside, |attack| {
        Duration::from_millis(setting(BOUND_VARIABLE, BOUND)) * attack.in_line
    })
}

/// Lets the bad clients do it once, and returns the longest wait of the pair.
fn beside(attack: &Attack) -> Duration {
    let broker = attack.broker();
    let pair = Pair::open(&broker, attack).expect("the broker lets the pair in");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let worker = Delay::of_worker(&broker);
    let thread = thread::spawn(move || pair.run(worker, &stopped));
    let mut attackers = Attackers::start(attack, &broker);
    let prepared = attackers.prepared();
    let acts = attackers.act(Duration::from_secs(setting(SECONDS_VARIABLE, SECONDS)));
    drop(attackers);
    stop.store(true, Ordering::Relaxed);
    let waits = thread.join().expect("the pair's thread");
    let waits = waits.unwrap_or_else(|error| panic!("{}: the pair lost: {error}", attack.name));
    let turns = turns(&broker);
    eprintln!(
        "{}: {} attackers, {acts} acts, prepared in {prepared:.1?}; the pair waited {waits}; \
         turns: {turns}",
        attack.name, attack.attackers
    );
    assert!(acts > 0, "{}: nobody did anything", attack.name);
    match attack.uses_threads {
        true => waits.gross,
        false => waits.longest.0,
    }
}

/// An author and the reader of its topic.
struct Pair {
    author: Raw,
    reader: Raw,
}

impl Pair {
    fn open(broker: &TestBroker, attack: &Attack) -> io::Result<Self> {
        let open = |name: &str| {
            let mut connect = Connect::new(name);
            if !attack.users.is_empty() {
                let (user, password) = CREDENTIALS;
                connect = connect.user(user).password(password);
            }
            let raw = Raw::open(broker.mqtt(), Manner::default(), &connect)?;
            // Longer than any wait that is worth a number.
            raw.stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            Ok::<_, io::Error>(raw)
        };
        let (author, mut reader) = (open("good author")?, open("good reader")?);
        let subscribe = Subscribe::new(1).filter("good/pair", 1);
        reader.send(&subscribe.encode(Version::V5))?;
        reader.acknowledged(1)?;
        Ok(Self { author, reader })
    }

    fn run(mut self, worker: Delay, stop: &AtomicBool) -> io::Result<Waits> {
        let mut waits = Waits {
            delays: [Delay::own(), worker],
            all: Vec::new(),
            longest: (Duration::ZERO, "nothing"),
            gross: Duration::ZERO,
            ran: Duration::ZERO,
        };
        for round in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            waits.of("PINGREQ", || self.ping())?;
            waits.of("QoS 0", || self.publish(0))?;
            waits.of("QoS 1", || self.publish(1))?;
            if round % SUBSCRIBE_EVERY == 0 {
                waits.of("SUBSCRIBE", || self.subscribe())?;
                waits.of("UNSUBSCRIBE", || self.unsubscribe())?;
            }
            thread::sleep(PERIOD);
        }
        Ok(waits)
    }

    fn ping(&mut self) -> io::Result<()> {
        self.author.send(&PINGREQ)?;
        expect(&mut self.author, 0xD)
    }

    fn publish(&mut self, qos: u8) -> io::Result<()> {
        let mut message = Publish::new("good/pair", "x");
        if qos > 0 {
            message = message.qos(qos, 1);
        }
        self.author.send(&message.encode(Version::V5))?;
        let (first, body) = self.reader.next()?;
        if first >> 4 != 3 {
            return Err(io::Error::other(format!("{first:#04x} for a message")));
        }
        if qos > 0 {
            // Behind the topic.
            let at = 2 + "good/pair".len();
            let id = u16::from_be_bytes([body[at], body[at + 1]]);
            self.reader.send(&puback(id).encode(Version::V5))?;
            expect(&mut self.author, 4)?;
        }
        Ok(())
    }

    fn subscribe(&mut self) -> io::Result<()> {
        let subscribe = Subscribe::new(2).filter("good/more/+", 1);
        self.author.send(&subscribe.encode(Version::V5))?;
        expect(&mut self.author, 9)
    }

    fn unsubscribe(&mut self) -> io::Result<()> {
        let unsubscribe = Unsubscribe::new(3).filter("good/more/+");
        self.author.send(&unsubscribe.encode(Version::V5))?;
        expect(&mut self.author, 0xB)
    }
}

fn expect(raw: &mut Raw, kind: u8) -> io::Result<()> {
    match raw.next()? {
        (first, _) if first >> 4 == kind => Ok(()),
        (first, body) => Err(io::Error::other(format!("{first:#04x} {body:02x?}"))),
    }
}

/// How long the steps took.
struct Waits {
    /// Of this thread, and of the broker's worker.
    delays: [Delay; 2],
    all: Vec<Duration>,
    longest: (Duration, &'static str),
    /// The longest with what was only waiting for a core.
    gross: Duration,
    /// The longest that the worker ran during a step: what is more than this was not its work.
    ran: Duration,
}

impl Waits {
    fn of(&mut self, what: &'static str, step: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let before = self.delays.each_mut().map(Delay::so_far);
        let begun = Instant::now();
        let result = step();
        let gross = begun.elapsed();
        let after = self.delays.each_mut().map(Delay::so_far);
        let delays = after.iter().zip(before);
        let took = delays.fold(gross, |took, ([_, after], [_, before])| {
            took.saturating_sub(after.saturating_sub(before))
        });
        let ran = after[1][0].saturating_sub(before[1][0]);
        self.ran = self.ran.max(ran);
        self.all.push(took);
        self.longest = self.longest.max((took, what));
        self.gross = self.gross.max(gross);
        result.map_err(|error| io::Error::other(format!("{what} after {gross:.1?}: {error}")))
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all = self.all.clone();
        all.sort_unstable();
        let (longest, what) = self.longest;
        write!(
            f,
            "{longest:.1?} at most ({what}), with waits for a core {:.1?}, the worker ran {:.1?} at most, p99 {:.1?}, median {:.1?} of {} steps",
            self.gross,
            self.ran,
            all[all.len() * 99 / 100],
            all[all.len() / 2],
            all.len()
        )
    }
}
