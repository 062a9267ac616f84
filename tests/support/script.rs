//! The words that tests are written in.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Client, Connect, DEADLINE, Version, broker};

/// A name that no other test of this process, and none of an earlier run, uses: for client
/// identifiers and topics.
pub(crate) fn fresh(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!(
        "{stem}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Runs a test in both versions at the same time.
pub(crate) fn both(test: impl Fn(Version) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        let versions = [Version::V3, Version::V5];
        let runs = versions.map(|version| (version, scope.spawn(move || test(version))));
        for (version, run) in runs {
            assert!(run.join().is_ok(), "the test fails in {version:?}");
        }
    });
}

/// Connects to the shared broker with a clean session.
#[track_caller]
pub(crate) fn connect(version: Version, client_id: &str) -> Client {
    broker().connect(version, client_id)
}

/// Connects to the shared broker in MQTT 5 with Clean Start.
#[track_caller]
pub(crate) fn connect5(client_id: &str) -> Client {
    connect(Version::V5, client_id)
}

/// Connects to the shared broker in MQTT 3.1.1 with CleanSession.
#[track_caller]
pub(crate) fn connect3(client_id: &str) -> Client {
    connect(Version::V3, client_id)
}

/// Connects to the shared broker with this CONNECT, which has to be accepted; also tells whether a
/// session was present.
#[track_caller]
pub(crate) fn open(version: Version, connect: &Connect) -> (Client, bool) {
    broker().open(version, connect)
}

/// A new client of the shared broker that is subscribed to `filter` at QoS 2.
#[track_caller]
pub(crate) fn watcher(version: Version, filter: &str) -> Client {
    broker().watcher(version, filter)
}

/// Repeats a check until it holds, for what no packet announces.
#[track_caller]
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !check() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
