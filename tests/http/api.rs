//! A server in this process and a client for its HTTP listener.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use roundel::{Config, Server};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::description::DESCRIPTION;
use crate::support::{Client, Connect, DEADLINE, Version};

/// A running server with plain MQTT and HTTP on free ports.
pub(crate) struct Api {
    /// Ends before the runtime that it runs on.
    server: Option<Server>,
    runtime: Runtime,
    pub(crate) http: SocketAddr,
    pub(crate) mqtt: SocketAddr,
}

impl Api {
    /// Starts a server of the standard profile.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a server whose configuration `change` has changed.
    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::standard();
        config.listeners.mqtt = Some(0);
        config.listeners.mqtts = None;
        config.listeners.http = Some(0);
        config.sys_interval = None;
        change(&mut config);
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(Server::start(config)).expect("free ports");
        let addrs = server.addrs();
        let http = addrs.http.expect("HTTP is on");
        let mqtt = addrs.mqtt.expect("MQTT is on");
        Self {
            server: Some(server),
            runtime,
            http,
            mqtt,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it was not stopped")
    }

    /// Where MQTT clients connect.
    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// Runs a future on the server's runtime.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Stops the server and waits until it has ended.
    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }

    /// Connects an MQTT client with this CONNECT.
    #[track_caller]
    pub(crate) fn open(&self, version: Version, connect: &Connect) -> Client {
        let mut client = Client::dial(self.mqtt, version);
        client.send_connect(connect);
        assert_eq!(client.expect_connack().1, 0, "reason of CONNACK");
        client
    }

    /// Connects an MQTT 5 client with a clean session.
    #[track_caller]
    pub(crate) fn connect(&self, client_id: &str) -> Client {
        self.open(Version::V5, &Connect::new(client_id))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], "")
    }

    pub(crate) fn delete(&self, target: &str) -> Answer {
        self.send("DELETE", target, &[], "")
    }

    pub(crate) fn post(&self, target: &str, body: &str) -> Answer {
        self.send(
            "POST",
            target,
            &[("Content-Type", "application/json")],
            body,
        )
    }

    /// Sends a request and reads the answer, which has to be one that the description has. A Host header is added
    /// unless one is given.
    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head += &format!("Host: {}\r\n", self.http);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let answer = self.send_bytes(format!("{head}\r\n{body}").as_bytes());
        DESCRIPTION.check_answer(method, target, &answer);
        answer
    }

    /// Sends bytes as they are and reads until the server closes.
    pub(crate) fn send_bytes(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.http).expect("the API accepts");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        stream.write_all(request).expect("the API reads");
        let mut bytes = Vec::new();
        stream
            .read_to_end(&mut bytes)
            .expect("an answer and the end of the stream");
        Answer::parse(&bytes)
    }
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.expect("a status");
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub(crate) fn json_with(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.any_json()
    }

    /// The body of a successful answer.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        self.json_with(200)
    }

    /// Checks that this is an error of the form that all errors have.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, field: Option<&str>) {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.any_json();
        assert!(
            body["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{self:?}"
        );
        assert_eq!(body["field"].as_str(), field, "{self:?}");
    }

    #[track_caller]
    fn any_json(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        serde_json::from_str(&self.body).expect("JSON")
    }
}
