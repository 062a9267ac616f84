//! Runs seeds, and prints what happened in the one that fails.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::world::World;

/// Seeds that run when nobody asks for others.
const SEEDS: u64 = 200;

/// Events that are shown of a seed that fails.
const SHOWN: usize = 100;

/// Design 3, rules 1 to 9; MQTT-2.2.1-4, MQTT-3.1.2-24, MQTT-3.2.2-2, MQTT-3.3.4-9, MQTT-4.3.2,
/// MQTT-4.3.3, MQTT-4.4.0-1, MQTT-4.6.0-5, MQTT-4.8.2-3 to -6.
#[test]
fn simulated_clients_get_what_is_due_to_them() {
    let number = |name: &str| Some(env::var(name).ok()?.parse().expect("a number"));
    if let Some(seed) = number("ROUNDEL_SIM_SEED") {
        assert!(holds(seed), "seed {seed} failed");
        return;
    }
    let seeds = number("ROUNDEL_SIM_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..workers {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    if !holds(seed) {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(!failed.into_inner(), "a seed failed");
}

/// Runs one seed. Prints what happened if it fails.
fn holds(seed: u64) -> bool {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    if outcome.is_err() {
        let first = world.log.len().saturating_sub(SHOWN);
        for event in &world.log[first..] {
            eprintln!("{event}");
        }
        eprintln!(
            "ROUNDEL_SIM_SEED={seed} fails after {} events",
            world.log.len()
        );
        // The broker may be in the middle of something: it is not worth taking apart.
        std::mem::forget(world);
    }
    outcome.is_ok()
}
