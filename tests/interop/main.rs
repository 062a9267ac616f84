//! The broker with clients that other people wrote: their programs and libraries, unchanged.
//!
//! Each test starts its own broker from the binary and drives clients as child processes (in this
//! process only rumqttc, which is a Rust library). `tests/run interop` installs the clients and
//! sets `ROUNDEL_INTEROP`; without that variable every test here counts as ignored. With it, a
//! missing client is a failure.
//!
//! | module | what it shows |
//! |---|---|
//! | `blog` | the walk-through of the announcement of shared subscriptions, with its exact flags |
//! | `aws` | the control plane with boto3, and its service model |
//! | `walkthrough` | the same walk-through from things to clean-up with the AWS CLI, as the documents have it |
//! | `sdk` | the SDK's shared-subscription sample, and what its client negotiates |
//! | `client_pages` | the programs of `docs/clients` for the shell, in Python, JavaScript and C, and what each prints |
//! | `sdk_page` | the programs of `docs/sdk.md`, with and without the CA in the system's store |
//! | `signed` | signatures of boto3 and of the AWS Common Runtime, right and wrong ones |
//! | `doors` | the SDK, boto3 and curl at the ports 443 and 8443 of the service |
//! | `bad_tls` | TLS listeners with a fault, and what Python's `ssl` and the AWS Common Runtime say of each |
//! | `wrong_door` | clients at the wrong listener, or with the wrong certificates: what the log says of each |
//! | `unix_socket` | mosquitto's programs and Paho Python over a Unix socket |
//! | `authorizer` | custom authorizers as the AWS IoT Device SDK names them, with signed tokens and without |
//! | `console` | the console in Chromium: its pages empty and filled, hostile names, keys, a broker that goes and comes |
//! | `chaos` | rules, outages and clients of five libraries at random: what the broker has promised holds |
//! | `failover` | QoS 1 messages of a group whose members die |
//! | `faults` | packet rules and the journal: what Paho does about faults, and what Wireshark makes of the capture |
//! | `rumqttc_faults` | rumqttc under each packet rule, in both protocol versions |
//! | `fixtures` | the packages of `fixtures/`, by their own tests |
//! | `testing_page` | the programs of `docs/testing.md` in Python, JavaScript and for the shell |
//! | `bridge` | mosquitto as a bridge: both versions, both profiles, either side restarted |
//! | `matrix` | every client: QoS 0, 1, 2, shared, will, retained, resume, over every transport |

mod authorizer;
mod aws;
mod bad_tls;
mod blog;
mod bridge;
mod broker;
mod chaos;
mod client_pages;
mod console;
mod doors;
mod failover;
mod faults;
mod fixtures;
mod matrix;
mod mosquitto;
mod process;
mod report;
mod rumqttc;
mod rumqttc_faults;
mod script;
mod sdk;
mod sdk_page;
mod signed;
#[path = "../support/store.rs"]
mod store;
mod testing_page;
mod unix_socket;
mod walkthrough;
mod wrong_door;

use std::env;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// Set by `tests/run` once all clients are installed.
const ENABLED: &str = "ROUNDEL_INTEROP";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let enabled = env::var_os(ENABLED).is_some();
    if !enabled && !arguments.list {
        eprintln!("{ENABLED} is not set: ignoring the tests with third-party clients.");
        eprintln!("`tests/run interop` installs the clients and runs these tests.");
    }
    let trials: Vec<Trial> = [
        blog::trials(),
        aws::trials(),
        walkthrough::trials(),
        sdk::trials(),
        client_pages::trials(),
        sdk_page::trials(),
        signed::trials(),
        doors::trials(),
        bad_tls::trials(),
        wrong_door::trials(),
        unix_socket::trials(),
        authorizer::trials(),
        chaos::trials(),
        console::trials(),
        failover::trials(),
        faults::trials(),
        rumqttc_faults::trials(),
        fixtures::trials(),
        testing_page::trials(),
        bridge::trials(),
        matrix::trials(),
    ]
    .into_iter()
    .flatten()
    .map(|trial| trial.with_ignored_flag(!enabled))
    .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if report::print().is_err() {
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// A test named `name` that fails when `body` panics.
fn trial(name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}
