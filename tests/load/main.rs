//! The broker under a load of errors: 200 clients that break every rule, beside 20 pairs that keep
//! them. The pairs lose nothing and stay fast, and when the 200 are gone the broker holds no more
//! than before.
//!
//! The broker is a process of its own, so that its memory and its files are its alone: this binary
//! starts itself again, with the allocator of `roundel` inside a counter. So are the clients in error, at
//! the end of the queue for a core, so that what they compute is not taken for what the broker does. The
//! pairs have this process and its main thread for themselves.
//!
//! Runs without errors and runs with them take turns. Compared are the medians over the runs of each
//! kind, of the median and of the 99th percentile of the time from when a message was due to be sent
//! to its arrival. What is asked of a quiet machine, 1.5 times the 99th percentile or 2 ms more, is
//! asked for where `ROUNDEL_LOAD_STRICT` is set; otherwise only what no busy machine explains is an
//! error. In a debug build there is one run of each, and only memory, files and losses are of interest.
//!
//! ```text
//! ROUNDEL_LOAD_STRICT=1 cargo test --release --all-features --test load
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `broker` | the broker's process, and how it is asked what it holds |
//! | `link` | a client's connection over TCP, TLS or WebSocket |
//! | `pairs` | clients that keep the rules, and what they see |
//! | `errors` | clients that break them |

#[path = "../support/mod.rs"]
mod support;

mod broker;
mod errors;
mod link;
mod pairs;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};

use broker::{BrokerProcess, Figures};
use errors::{Errors, Report};
use link::Doors;
use pairs::{Latencies, Pairs};

#[cfg(not(target_os = "linux"))]
use std::alloc::System as Allocator;
#[cfg(target_os = "linux")]
use tikv_jemallocator::Jemalloc as Allocator;

/// What the broker's process allocates is counted, around the allocator of `roundel`.
#[global_allocator]
static ALLOCATOR: cap::Cap<Allocator> = cap::Cap::new(Allocator, usize::MAX);

/// How long the errors last in each run, in seconds; as long as without them before.
const SECONDS_VARIABLE: &str = "ROUNDEL_LOAD_SECONDS";
const SECONDS: u64 = if cfg!(debug_assertions) { 3 } else { 5 };

/// Runs without errors and with them.
const RUNS_VARIABLE: &str = "ROUNDEL_LOAD_RUNS";
const RUNS: u64 = if cfg!(debug_assertions) { 1 } else { 5 };

/// Set where the machine does nothing else.
const STRICT_VARIABLE: &str = "ROUNDEL_LOAD_STRICT";

/// What errors leave behind, such as connections that time out, does not count as a run without them.
const BETWEEN: Duration = Duration::from_secs(3);

/// After the errors the pairs go on for so long, while timeouts and expiries run out.
const RECOVERY: Duration = Duration::from_secs(4);

/// Then the broker has so long to have given everything back. The allocator alone takes ten seconds.
const RETURN_LIMIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    if let Some(folder) = env::var_os(broker::ROLE_VARIABLE) {
        return broker::run(folder.as_ref());
    }
    if let Ok(doors) = env::var(errors::ROLE_VARIABLE) {
        return errors::run(&doors);
    }
    let trials = vec![Trial::test(
        "errors_of_others_cost_a_client_nothing",
        || {
            errors_of_others_cost_a_client_nothing();
            Ok(())
        },
    )];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Messages, latency, memory and files under 200 clients of [`errors`].
fn errors_of_others_cost_a_client_nothing() {
    let broker = BrokerProcess::start();
    let doors = Doors::of(&broker);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(drive(&broker, &doors));
    eprint!("{outcome}");
    outcome.check();
}

/// What the pairs saw without errors, and then with them.
struct Run {
    without: Latencies,
    with: Latencies,
}

/// What was measured.
struct Outcome {
    load: Duration,
    runs: Vec<Run>,
    recovery: Latencies,
    before: Figures,
    at_the_end: Figures,
    after: Figures,
    errors: Report,
}

async fn drive(broker: &BrokerProcess, doors: &Doors) -> Outcome {
    let load = Duration::from_secs(setting(SECONDS_VARIABLE, SECONDS));
    let mut pairs = Pairs::connect(doors).await;
    // Whatever is there once, is there before.
    pairs.run(BETWEEN).await;
    let before = broker.figures();
    let (mut runs, mut errors) = (Vec::new(), Report::default());
    let mut at_the_end = broker.figures();
    for run in 0..setting(RUNS_VARIABLE, RUNS) {
        if run > 0 {
            pairs.run(BETWEEN).await;
        }
        let without = pairs.run(load).await;
        let under_way = Errors::start(broker);
        let with = pairs.run(load).await;
        at_the_end = broker.figures();
        errors.add(under_way.end());
        runs.push(Run { without, with });
    }

    let recovery = pairs.run(RECOVERY).await;
    let after = settled(broker, &before);
    pairs.disconnect().await;
    Outcome {
        load,
        runs,
        recovery,
        before,
        at_the_end,
        after,
        errors,
    }
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// The broker's figures once they are those from before, or the last ones when time is up.
fn settled(broker: &BrokerProcess, before: &Figures) -> Figures {
    let end = Instant::now() + RETURN_LIMIT;
    loop {
        let figures = broker.figures();
        if figures.have_returned_to(before).is_ok() || Instant::now() >= end {
            return figures;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Outcome {
    fn slowdown(&self) -> f64 {
        self.at_the_end.slowdown_since(&self.before)
    }

    fn without_errors(&self) -> Latencies {
        Latencies::median(self.runs.iter().map(|run| &run.without))
    }

    fn under_errors(&self) -> Latencies {
        Latencies::median(self.runs.iter().map(|run| &run.with))
    }

    fn check(&self) {
        self.errors.check();
        let is_strict = env::var_os(STRICT_VARIABLE).is_some();
        self.under_errors()
            .check_beside(&self.without_errors(), self.slowdown(), is_strict);
        if let Err(what) = self.after.have_returned_to(&self.before) {
            panic!("{what} did not return within {RETURN_LIMIT:?}");
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "\nunder a load of errors for {:?}", self.load)?;
        writeln!(f, "{}", self.errors)?;
        writeln!(
            f,
            "the broker waited for a core: {:.1} times slower than on an idle machine",
            self.slowdown()
        )?;
        for Run { without, with } in &self.runs {
            writeln!(f, "pairs without {without}")?;
            writeln!(f, "pairs with    {with}")?;
        }
        writeln!(f, "median without {}", self.without_errors())?;
        writeln!(f, "median with    {}", self.under_errors())?;
        writeln!(f, "pairs after   {}", self.recovery)?;
        writeln!(f, "broker before {}", self.before)?;
        writeln!(f, "broker during {}", self.at_the_end)?;
        writeln!(f, "broker after  {}", self.after)
    }
}
