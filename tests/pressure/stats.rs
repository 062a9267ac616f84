//! What the broker says of itself, and what the system says of its process.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::TestBroker;

/// What the broker counts.
#[derive(Clone, Debug)]
pub(crate) struct Stats(Value);

impl Stats {
    pub(crate) fn of(broker: &TestBroker) -> Self {
        let body = broker.get("/v1/stats");
        Self(serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().expect("a counter")
    }

    /// Bytes in all.
    pub(crate) fn memory(&self) -> u64 {
        self.number("memory_bytes")
    }

    /// Bytes by kind, those that are not none.
    pub(crate) fn kinds(&self) -> String {
        let kinds = self.0["memory_bytes_by_kind"].as_object();
        let mut text = String::new();
        for (name, bytes) in kinds.expect("kinds") {
            let mib = bytes.as_u64().expect("a number") >> 20;
            if mib > 0 {
                text += &format!("{name} {mib} ");
            }
        }
        text.trim_end().to_owned()
    }
}

/// Resident memory once it has settled: what was only for a moment is given back within a second or
/// so.
pub(crate) fn settled(broker: &TestBroker) -> u64 {
    let end = Instant::now() + Duration::from_secs(3);
    let mut last = broker.resident() as u64;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = broker.resident() as u64;
        if now.abs_diff(last) < (1 << 19) || Instant::now() >= end {
            return now;
        }
        last = now;
    }
}

/// How long the broker's turns were, as `/metrics` has it: by class.
pub(crate) fn turns(broker: &TestBroker) -> String {
    let body = broker.get("/metrics");
    let mut text = String::new();
    let mut below = 0;
    for line in body.lines() {
        let Some(class) = line.strip_prefix("roundel_turn_seconds_bucket{le=\"") else {
            continue;
        };
        let (bound, count) = class.split_once("\"} ").expect("a bound and a count");
        let count: u64 = count.parse().expect("a count");
        if count > below {
            text += &format!("{} up to {bound} s, ", count - below);
        }
        below = count;
    }
    text.trim_end_matches(", ").to_owned()
}

/// How long one thread ran, and was ready to run and waited for a core, as the kernel counts it.
pub(crate) struct Delay(Option<File>);

impl Delay {
    /// Of the thread that calls.
    pub(crate) fn own() -> Self {
        Self(File::open("/proc/thread-self/schedstat").ok())
    }

    /// Of the broker's only worker: the first of its threads with that name.
    pub(crate) fn of_worker(broker: &TestBroker) -> Self {
        let process = broker.process().expect("a broker of our own");
        let threads = std::fs::read_dir(format!("/proc/{process}/task"));
        let worker = threads
            .into_iter()
            .flatten()
            .flatten()
            .filter(|thread| {
                std::fs::read_to_string(thread.path().join("comm"))
                    .is_ok_and(|name| name.starts_with("tokio-rt-worker"))
            })
            .min_by_key(|thread| {
                let name = thread.file_name();
                name.to_str().and_then(|name| name.parse::<u32>().ok())
            });
        Self(worker.and_then(|thread| File::open(thread.path().join("schedstat")).ok()))
    }

    /// All of it so far. Nothing where the kernel does not count.
    pub(crate) fn so_far(&mut self) -> [Duration; 2] {
        self.read().unwrap_or_default().map(Duration::from_nanos)
    }

    fn read(&mut self) -> Option<[u64; 2]> {
        let file = self.0.as_mut()?;
        file.seek(SeekFrom::Start(0)).ok()?;
        let mut text = [0; 100];
        let count = file.read(&mut text).ok()?;
        let text = std::str::from_utf8(&text[..count]).ok()?;
        let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
        Some([numbers.next()??, numbers.next()??])
    }
}
