//! What the broker allocates per message once it is warm: nothing for a QoS 0 delivery, and at most
//! one allocation for a QoS 1 or 2 message, however many receivers it has.
//!
//! The broker runs in this process, and the allocator counts for all of it. So the clients' side
//! works in buffers that are there beforehand, and the scenarios run one after the other.

#[path = "../support/mod.rs"]
mod support;

mod clients;

use std::alloc::System;

use libtest_mimic::{Arguments, Failed, Trial};
use roundel::config::Listeners;
use roundel::{Config, Server};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use clients::{Publisher, Subscriber};
use support::Version;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Deliveries that are counted, of all subscribers together.
const DELIVERIES: usize = 20_000;

/// How often they are counted before the broker counts as warm. Its threads keep buffers, a bounded
/// number, that grow to their size when a thread first needs them: that is no cost of a message.
const ATTEMPTS: usize = 8;

/// Messages that one publisher sends before all their deliveries are awaited. A multiple of the
/// members of a group, so that each gets the same number.
const BATCH: usize = 20;

/// Allocations that may happen for other reasons than messages, such as a deadline that moves: far
/// fewer than one per batch.
const SLACK: usize = 100;

/// Who publishes, and who gets it.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    publishers: usize,
    subscribers: usize,
    filter: &'static str,
    /// Subscribers that get each message.
    copies: usize,
    version: Version,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "fan_in",
        publishers: 10,
        subscribers: 1,
        filter: "in/+",
        copies: 1,
        version: Version::V5,
    },
    Scenario {
        name: "fan_out",
        publishers: 1,
        subscribers: 10,
        filter: "in/0",
        copies: 10,
        version: Version::V5,
    },
    Scenario {
        name: "fan_out_to_3_1_1",
        publishers: 1,
        subscribers: 10,
        filter: "in/0",
        copies: 10,
        version: Version::V3,
    },
    Scenario {
        name: "shared_group",
        publishers: 1,
        subscribers: 4,
        filter: "$share/group/in/0",
        copies: 1,
        version: Version::V5,
    },
];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = SCENARIOS.into_iter().flat_map(|scenario| {
        [0, 1, 2].map(|qos| {
            let bound = match qos {
                0 => "nothing_per_delivery",
                _ => "at_most_once_per_message",
            };
            let name = format!("{}_at_qos_{qos}_allocates_{bound}", scenario.name);
            Trial::test(name, move || check(scenario, qos))
        })
    });
    let idle = Trial::test("an_idle_connection_holds_little", idle);
    libtest_mimic::run(&arguments, trials.chain([idle]).collect()).exit();
}

/// Bytes that a connection over TCP asks the allocator for while it does nothing, with its session, its task and
/// its place in all tables.
const IDLE: usize = 1_580;

/// What is only needed while a connection begins or ends is not kept for as long as it lives.
fn idle() -> Result<(), Failed> {
    const CONNECTIONS: usize = 128;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let server = runtime.block_on(Server::start(config()))?;
    let address = server.addrs().mqtt.ok_or("no listener")?;
    let mut connections = Vec::with_capacity(2 * CONNECTIONS);
    let mut connect = || connections.extend((0..CONNECTIONS).map(|_| clients::idle(address)));
    connect();
    let region = Region::new(ALLOCATOR);
    connect();
    let change = region.change();
    let each = (change.bytes_allocated - change.bytes_deallocated) / CONNECTIONS;
    runtime.block_on(server.stop());
    if each > IDLE {
        return Err(format!("an idle connection holds {each} bytes").into());
    }
    Ok(())
}

fn check(scenario: Scenario, qos: u8) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let server = runtime.block_on(Server::start(config()))?;
    let address = server.addrs().mqtt.ok_or("no listener")?;

    let each = BATCH * scenario.publishers * scenario.copies / scenario.subscribers;
    let mut subscribers: Vec<Subscriber> = (0..scenario.subscribers)
        .map(|_| Subscriber::start(address, scenario.version, scenario.filter, qos, each))
        .collect();
    let mut publishers: Vec<Publisher> = (0..scenario.publishers)
        .map(|number| Publisher::start(address, &format!("in/{number}"), qos, BATCH))
        .collect();

    let messages = DELIVERIES / scenario.copies;
    let bound = SLACK + if qos == 0 { 0 } else { messages };
    let mut exchange = || {
        for _ in 0..messages / (BATCH * scenario.publishers) {
            publishers.iter_mut().for_each(Publisher::publish);
            subscribers.iter_mut().for_each(Subscriber::receive);
            publishers.iter_mut().for_each(Publisher::complete);
        }
    };
    exchange();
    let mut allocations = usize::MAX;
    for _ in 0..ATTEMPTS {
        let region = Region::new(ALLOCATOR);
        exchange();
        let counted = region.change();
        allocations = allocations.min(counted.allocations + counted.reallocations);
        if allocations <= bound {
            break;
        }
    }
    runtime.block_on(server.stop());
    if allocations > bound {
        return Err(format!("{messages} messages allocated {allocations} times").into());
    }
    Ok(())
}

fn config() -> Config {
    let mut config = Config::standard();
    config.listeners = Listeners::none();
    config.listeners.mqtt = Some(0);
    config.sys_interval = None;
    config
}
