//! What the broker says of itself, and what the system says of its process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{DEADLINE, TestBroker};

/// Asks the control API and returns the body of its answer.
pub(crate) fn get(http: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(http).expect("the API accepts");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the API reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    body.to_owned()
}

/// What the broker counts.
#[derive(Clone, Debug)]
pub(crate) struct Stats(Value);

impl Stats {
    pub(crate) fn of(broker: &TestBroker) -> Self {
        let http = broker.address("http").expect("the API is on");
        let body = get(http, "/v1/stats");
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
