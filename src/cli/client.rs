//! What commands ask a running broker, over its control API. One request on a connection, and nothing that
//! waits for ever.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::Value;

/// For a connection to a broker, which is on this machine most often.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// For a request with its answer: a large document, on a slow disk.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// Bytes of an answer.
const ANSWER_MAX: usize = 256 << 20;

/// Where a control API listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpAddr(SocketAddr);

impl HttpAddr {
    /// A port of this machine.
    #[cfg(feature = "aws")]
    pub(crate) const fn loopback(port: u16) -> Self {
        let ip = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        Self(SocketAddr::new(ip, port))
    }

    /// Where what listens there is reached from this machine.
    pub(crate) fn reachable(self) -> Self {
        let Self(addr) = self;
        Self(SocketAddr::new(super::reachable(addr.ip()), addr.port()))
    }
}

impl From<SocketAddr> for HttpAddr {
    fn from(addr: SocketAddr) -> Self {
        Self(addr)
    }
}

impl FromStr for HttpAddr {
    type Err = String;

    /// An address and a port, or `localhost` and a port: no name is looked up.
    fn from_str(text: &str) -> Result<Self, String> {
        let numeric = text.strip_prefix("localhost:");
        let numeric = numeric.map(|port| format!("127.0.0.1:{port}"));
        let parsed = numeric.as_deref().unwrap_or(text).parse();
        parsed
            .map(Self)
            .map_err(|_| "an address with a port is wanted, such as 127.0.0.1:9883".to_owned())
    }
}

impl fmt::Display for HttpAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A broker that can be asked.
pub(crate) struct Client {
    addr: SocketAddr,
    /// What the broker that is meant is known by.
    token: Option<String>,
    limit: Duration,
}

/// A request.
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) target: &'a str,
    /// The kind of answer that is wanted.
    pub(crate) accept: &'static str,
    /// In JSON.
    pub(crate) body: Option<&'a str>,
}

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nobody answered.
    Unreachable(io::Error),
    /// An error.
    Refused(Refused),
}

/// What a broker says no with.
#[derive(Debug)]
pub(crate) struct Refused {
    #[cfg_attr(
        not(feature = "aws"),
        expect(dead_code, reason = "only what asks for a registry looks at it")
    )]
    pub(crate) status: u16,
    pub(crate) error: String,
    /// The part of the request that is wrong, if it is one.
    pub(crate) field: Option<String>,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => error.fmt(f),
            Self::Refused(Refused { error, field, .. }) => match field {
                Some(field) => write!(f, "{field}: {error}"),
                None => f.write_str(error),
            },
        }
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error)
    }
}

impl Client {
    /// Whatever broker listens there.
    pub(crate) fn new(HttpAddr(addr): HttpAddr) -> Self {
        Self {
            addr,
            token: None,
            limit: CALL_LIMIT,
        }
    }

    /// With so much time for connection and answer.
    #[cfg(feature = "http")]
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The broker with this token, and no other.
    #[cfg(feature = "aws")]
    pub(crate) fn known(addr: SocketAddr, token: String) -> Self {
        Self {
            token: Some(token),
            ..Self::new(HttpAddr(addr))
        }
    }

    /// What the broker answers with status 200.
    pub(crate) fn call(&self, call: &Call<'_>) -> Result<String, CallError> {
        let (status, body) = self.exchange(call)?;
        if status == 200 {
            return Ok(body);
        }
        let said: Value = serde_json::from_str(&body).unwrap_or_default();
        let text = |name: &str| said.get(name)?.as_str().map(str::to_owned);
        Err(CallError::Refused(Refused {
            status,
            error: text("error").unwrap_or_else(|| format!("the answer has status {status}")),
            field: text("field"),
        }))
    }

    fn exchange(&self, call: &Call<'_>) -> io::Result<(u16, String)> {
        let deadline = Instant::now() + self.limit;
        let connecting = CONNECT_LIMIT.min(self.limit);
        let mut stream = TcpStream::connect_timeout(&self.addr, connecting)?;
        stream.set_nodelay(true)?;
        let sent = write(&mut stream, self.head(call).as_bytes(), deadline);
        let body = call.body.unwrap_or_default();
        let sent = sent.and_then(|()| write(&mut stream, body.as_bytes(), deadline));
        // What is refused early is answered before all of it was read.
        match (sent, read(&mut stream, deadline)) {
            (Err(error), Err(_)) => Err(error),
            (_, answer) => answer,
        }
    }

    fn head(&self, call: &Call<'_>) -> String {
        let Call {
            method,
            target,
            accept,
            body,
        } = call;
        // By address a broker is reached wherever it listens; this name is one that it takes.
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: {accept}\r\n"
        );
        if let Some(token) = &self.token {
            head += &format!("Roundel-Registry: {token}\r\n");
        }
        if let Some(body) = body {
            let length = body.len();
            head += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        head + "\r\n"
    }
}

/// The time until a deadline, of which there has to be some.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(late()),
        false => Ok(left),
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "there was no answer in time")
}

/// What a socket says when its time is over depends on the system.
fn timed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
        _ => error,
    }
}

fn write(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(timed(error)),
        }
    }
    Ok(())
}

/// Reads an answer: its status and its body.
fn read(stream: &mut TcpStream, deadline: Instant) -> io::Result<(u16, String)> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    let mut head = None;
    loop {
        if head.is_none() {
            head = Head::of(&bytes)?;
        }
        if let Some(head) = head.as_ref().filter(|head| bytes.len() >= head.end) {
            let body = bytes.get(head.start..head.end).unwrap_or_default().to_vec();
            let body = String::from_utf8(body).map_err(|_| strange("it is not UTF-8"))?;
            return Ok((head.status, body));
        }
        if bytes.len() > ANSWER_MAX {
            return Err(strange("it is too long"));
        }
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => bytes.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(timed(error)),
        }
    }
}

fn strange(reason: &str) -> io::Error {
    let reason = format!("the answer is none of a broker: {reason}");
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// What has to be known of the head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Where the body is.
    start: usize,
    end: usize,
}

impl Head {
    /// The head at the beginning of what was read; none while it is not complete.
    fn of(bytes: &[u8]) -> io::Result<Option<Self>> {
        /// Longer ones a broker does not send.
        const HEAD_MAX: usize = 16 << 10;
        let blank = bytes
            .windows(4)
            .take(HEAD_MAX)
            .position(|found| found == b"\r\n\r\n");
        let Some(blank) = blank else {
            return match bytes.len() > HEAD_MAX {
                true => Err(strange("its head is too long")),
                false => Ok(None),
            };
        };
        let text = bytes
            .get(..blank)
            .and_then(|head| std::str::from_utf8(head).ok());
        let mut lines = text.ok_or_else(|| strange("its head is no text"))?.lines();
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| strange("it has no status of HTTP/1.1"))?;
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|(_, length)| length.trim().parse::<usize>().ok());
        let length = length.filter(|length| *length <= ANSWER_MAX);
        let length =
            length.ok_or_else(|| strange("it does not say how long it is, or too much"))?;
        let start = blank + 4;
        let end = start + length;
        Ok(Some(Self { status, start, end }))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_numbers_or_this_machine() {
        let read = |text: &str| text.parse().map(|HttpAddr(addr)| addr.to_string());
        assert_eq!(read("localhost:1").as_deref(), Ok("127.0.0.1:1"));
        assert_eq!(read("[::1]:9883").as_deref(), Ok("[::1]:9883"));
        for text in [
            "localhost",
            "9883",
            "broker.example.com:1",
            "127.0.0.1:x",
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_head_is_read_when_all_of_it_has_come() {
        let head = "HTTP/1.1 404 Not Found\r\nContent-LENGTH:  7\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(Head::of(&head.as_bytes()[..end]).unwrap(), None);
        }
        let expected = Head {
            status: 404,
            start: head.len(),
            end: head.len() + 7,
        };
        assert_eq!(Head::of(head.as_bytes()).unwrap(), Some(expected));
    }

    #[test]
    fn what_is_no_answer_of_a_broker_is_an_error() {
        let long = "x".repeat(100_000);
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            &long,
        ] {
            assert!(Head::of(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_is_waited_for_beyond_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_silent, _) = listener.accept().unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = read(&mut stream, deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // Nor is one who takes nothing.
        let endless = vec![0; 64 << 20];
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = write(&mut stream, &endless, deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// The answer that a client gets from somebody who sends these bytes and closes.
    fn answered(bytes: &'static [u8]) -> Result<String, CallError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(bytes).unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        });
        let call = Call {
            method: "GET",
            target: "/x",
            accept: "application/json",
            body: None,
        };
        let answer = Client::known(addr, "t".to_owned()).call(&call);
        let request = peer.join().unwrap();
        assert!(request.starts_with("GET /x HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nRoundel-Registry: t\r\n"), "{request}");
        answer
    }

    #[test]
    fn errors_are_those_of_the_broker_and_half_an_answer_is_none() {
        let whole = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab");
        assert_eq!(whole.unwrap(), "ab");
        let half = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
        assert!(matches!(half, Err(CallError::Unreachable(_))), "{half:?}");
        let refused = answered(
            b"HTTP/1.1 400 B\r\nContent-Length: 28\r\n\r\n{\"error\":\"no\",\"field\":\"a.b\"}",
        );
        assert_eq!(refused.unwrap_err().to_string(), "a.b: no");
        let other = answered(b"HTTP/1.1 503 B\r\nContent-Length: 2\r\n\r\n{}");
        assert!(other.unwrap_err().to_string().contains("503"));
    }
}
