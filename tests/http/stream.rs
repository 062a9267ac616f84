//! A stream of server-sent events as a client reads it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;

use crate::api::Api;
use crate::support::DEADLINE;

pub(crate) struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Opens the one at `target`, which has to be there.
    #[track_caller]
    pub(crate) fn open(api: &Api, target: &str) -> Self {
        let mut stream = Self::ask(api, target);
        let first = stream.line();
        assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
        while !stream.line().is_empty() {}
        stream
    }

    pub(crate) fn ask(api: &Api, target: &str) -> Self {
        let mut socket = TcpStream::connect(api.http).expect("the API accepts");
        socket.set_read_timeout(Some(DEADLINE)).expect("an option");
        let http = api.http;
        let request = format!("GET {target} HTTP/1.1\r\nHost: {http}\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("the API reads");
        Self(BufReader::new(socket))
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// The data of the next event with this name; others, and the sizes of chunks, are passed over.
    #[track_caller]
    pub(crate) fn next(&mut self, name: &str) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < end, "no event '{name}'");
            let line = self.line();
            let event = line.strip_prefix("event: ").map(str::to_owned);
            let Some(event) = event else { continue };
            let data = self.line();
            let data = data.strip_prefix("data: ").expect("data");
            if event == name {
                return serde_json::from_str(data).expect("JSON");
            }
        }
    }

    /// Reads events until one of them is so.
    #[track_caller]
    pub(crate) fn until(&mut self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let found = self.next(name);
            if is_so(&found) {
                return found;
            }
            assert!(Instant::now() < end, "the last one: {found}");
        }
    }

    /// Reads on until there is nothing more.
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0
            .read_to_end(&mut rest)
            .expect("the end of the stream");
    }

    pub(crate) fn socket(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.0
    }
}
