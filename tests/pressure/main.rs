//! The broker under pressure, from outside: what it counts against what it takes, how long a good client
//! waits beside bad ones, and how long the broker takes to end.
//!
//! The figures are those of an optimised broker, so in a debug build these tests count as ignored:
//!
//! ```text
//! cargo test --release --all-features --test pressure                  # all
//! cargo test --release --all-features --test pressure -- memory        # some
//! ROUNDEL_PRESSURE_MEMORY=1024 ROUNDEL_PRESSURE_SECONDS=20 ...         # more of it
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `raw` | a client that sends bytes as fast as it can |
//! | `stats` | what the broker says of itself |
//! | `memory` | every kind of thing that clients make the broker hold, until it refuses |
//! | `pair` | a pair of good clients, and how long each of their steps takes |
//! | `stop` | how long SIGTERM takes to end the broker, whatever bad clients do |
//! | `attack` | bad clients, in a process of their own: this binary starts itself again |

#[path = "../support/mod.rs"]
mod support;

mod attack;
mod memory;
mod pair;
mod raw;
mod stats;
mod stop;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use crate::attack::{ATTACKS, Attack};

fn main() -> ExitCode {
    if let Some(name) = env::var_os(attack::ROLE_VARIABLE) {
        return attack::run(&name.to_string_lossy());
    }
    let mut arguments = Arguments::from_args();
    // They measure time and memory, so one runs at a time.
    arguments.test_threads = Some(1);
    let trials: Vec<Trial> = [memory::trials(), pair::trials(), stop::trials()]
        .into_iter()
        .flatten()
        .map(|trial| trial.with_ignored_flag(cfg!(debug_assertions)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Of so many tries the best counts.
const TRIES: usize = 3;

/// A trial beside each kind of bad clients: the time that `measured` returns is within the bound.
fn beside_each(
    group: &str,
    measured: fn(&Attack) -> Duration,
    bound: fn(&Attack) -> Duration,
) -> Vec<Trial> {
    let trial = |attack: &'static Attack| {
        Trial::test(format!("{group}::{}", attack.name), move || {
            let _ = rlimit::increase_nofile_limit(u64::MAX);
            let (bound, mut best) = (bound(attack), Duration::MAX);
            for _ in 0..TRIES {
                best = best.min(measured(attack));
                if best <= bound {
                    return Ok(());
                }
            }
            panic!(
                "{}: {best:.1?} at best, {bound:?} is the bound",
                attack.name
            );
        })
    };
    ATTACKS.iter().map(trial).collect()
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
