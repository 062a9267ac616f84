//! SIGTERM ends the broker in two seconds, whatever bad clients do at the time.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::attack::{Attack, Attackers};
use crate::{beside_each, setting};

/// What a stop may take, in milliseconds.
const BOUND_VARIABLE: &str = "ROUNDEL_PRESSURE_STOP_MILLISECONDS";
const BOUND: u64 = 2000;

/// So long the bad clients have acted by then.
const BEFORE: Duration = Duration::from_secs(1);

pub(crate) fn trials() -> Vec<Trial> {
    beside_each("stop", stop_beside, |_| {
        Duration::from_millis(setting(BOUND_VARIABLE, BOUND))
    })
}

/// Stops a broker while they act, and returns how long it took to end.
fn stop_beside(attack: &Attack) -> Duration {
    let broker = attack.broker();
    let mut attackers = Attackers::start(attack, &broker);
    attackers.prepared();
    let acts = attackers.act(BEFORE);
    assert!(acts > 0, "{}: nobody did anything", attack.name);
    let told = Instant::now();
    let status = broker.terminate();
    let took = told.elapsed();
    eprintln!("{}: {acts} acts, ended within {took:.2?}", attack.name);
    assert_eq!(status, Some(0), "{}", attack.name);
    took
}
