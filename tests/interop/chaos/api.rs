//! The control API over one connection that stays open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A client of the control API.
pub(super) struct Api {
    address: String,
    stream: BufReader<TcpStream>,
    used: Instant,
}

/// The broker closes connections that are idle for longer than this.
const IDLE: Duration = Duration::from_secs(3);

impl Api {
    /// Connects to `host:port`.
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: connect(address),
            used: Instant::now(),
        }
    }

    /// A call; its status and what was answered.
    pub(super) fn call(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        if self.used.elapsed() > IDLE {
            self.stream = connect(&self.address);
        }
        let answer = self.exchange(method, path, body);
        self.used = Instant::now();
        answer
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(request.as_bytes()).expect("it is read");
        let status = self.line();
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{method} {path}: no status"));
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = self.line().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a number"),
                Some(("transfer-encoding", value)) => is_chunked = value == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let mut bytes = Vec::new();
        if is_chunked {
            while let length @ 1.. = usize::from_str_radix(&self.line(), 16).expect("a length") {
                self.take(length, &mut bytes);
                self.line();
            }
            self.line();
        } else {
            self.take(length, &mut bytes);
        }
        (status, String::from_utf8(bytes).expect("text"))
    }

    /// The answer of a call that succeeds.
    #[track_caller]
    pub(super) fn json(&mut self, method: &str, path: &str, body: &str) -> Value {
        let (status, text) = self.call(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path} {body}: {status} {text}"
        );
        serde_json::from_str(&text).expect("JSON")
    }

    /// The same for GET.
    #[track_caller]
    pub(super) fn get(&mut self, path: &str) -> Value {
        self.json("GET", path, "")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    fn take(&mut self, length: usize, bytes: &mut Vec<u8>) {
        let from = bytes.len();
        bytes.resize(from + length, 0);
        self.stream
            .read_exact(&mut bytes[from..])
            .expect("the whole answer");
    }
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("the control API listens");
    stream.set_nodelay(true).expect("an option of every socket");
    let timeout = Some(Duration::from_secs(60));
    stream.set_read_timeout(timeout).expect("a time");
    BufReader::new(stream)
}
