//! The broker under a load of errors: 200 clients that break every rule, beside 20 pairs that keep
//! them. The pairs lose nothing and stay fast, and when the 200 are gone the broker holds no more
//! than before.
//!
//! The broker is a process of its own, so that its memory and its files are its alone: this binary
//! starts itself again, with the allocator of `roundel` inside a counter.
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

#[cfg(target_env = "msvc")]
use std::alloc::System as Allocator;
#[cfg(not(target_env = "msvc"))]
use tikv_jemallocator::Jemalloc as Allocator;

/// What the broker's process allocates is counted, around the allocator of `roundel`.
#[global_allocator]
static ALLOCATOR: cap::Cap<Allocator> = cap::Cap::new(Allocator, usize::MAX);

/// How long the errors last, in seconds.
const SECONDS_VARIABLE: &str = "ROUNDEL_LOAD_SECONDS";
const SECONDS: u64 = 10;

/// Traffic without errors, to compare with.
const BASELINE: Duration = Duration::from_secs(5);

/// After the errors the pairs go on for so long, while timeouts and expiries run out.
const RECOVERY: Duration = Duration::from_secs(4);

/// Then the broker has so long to have given everything back. The allocator alone takes ten seconds.
const RETURN_LIMIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    if let Some(folder) = env::var_os(broker::ROLE_VARIABLE) {
        return broker::run(folder.as_ref());
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

/// What was measured.
struct Outcome {
    load: Duration,
    baseline: Latencies,
    under_errors: Latencies,
    recovery: Latencies,
    before: Figures,
    at_the_end: Figures,
    after: Figures,
    errors: Report,
}

async fn drive(broker: &BrokerProcess, doors: &Doors) -> Outcome {
    let load = load_duration();
    let mut pairs = Pairs::connect(doors).await;
    let baseline = pairs.run(BASELINE).await;
    let before = broker.figures();

    let errors = Errors::start(doors);
    let under_errors = pairs.run(load).await;
    let at_the_end = broker.figures();
    let errors = errors.end();

    let recovery = pairs.run(RECOVERY).await;
    let after = settled(broker, &before);
    pairs.disconnect().await;
    Outcome {
        load,
        baseline,
        under_errors,
        recovery,
        before,
        at_the_end,
        after,
        errors,
    }
}

fn load_duration() -> Duration {
    let seconds = match env::var(SECONDS_VARIABLE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{SECONDS_VARIABLE}={text} is not a number of seconds")),
        Err(_) => SECONDS,
    };
    Duration::from_secs(seconds)
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

    fn check(&self) {
        self.errors.check();
        self.under_errors
            .check_beside(&self.baseline, self.slowdown());
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
        writeln!(f, "pairs before  {}", self.baseline)?;
        writeln!(f, "pairs during  {}", self.under_errors)?;
        writeln!(f, "pairs after   {}", self.recovery)?;
        writeln!(f, "broker before {}", self.before)?;
        writeln!(f, "broker during {}", self.at_the_end)?;
        writeln!(f, "broker after  {}", self.after)
    }
}
