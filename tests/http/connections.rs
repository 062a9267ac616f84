//! What a connection may do and for how long, and that none of them keeps others out.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{
    api::Api,
    support::{DEADLINE, eventually},
};

/// The idle limit of most of these servers.
const IDLE: Duration = Duration::from_millis(400);

/// Connections that the API has at one time.
const PLACES: usize = 256;

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

const PUBLISH: &str =
    "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

fn start() -> Api {
    Api::start_with(|config| config.http_idle_timeout = IDLE)
}

/// A connection that reads in small pieces.
fn dial(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket option");
    socket.connect(&address.into()).expect("the API accepts");
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    stream
        .set_write_timeout(Some(Duration::from_millis(50)))
        .expect("a socket option");
    stream
}

/// Reads until the server closes.
fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return read,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return read,
            Err(error) => panic!("the server did not close: {error}"),
        }
    }
}

/// Whether the server has closed a connection whose answers nobody reads.
fn is_closed_unread(stream: &mut TcpStream) -> bool {
    match stream.write_all(b"\n") {
        Ok(()) => false,
        Err(error) => !matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
        ),
    }
}

/// Asks again and again, until nothing more can be sent.
fn ask_without_end(stream: &mut TcpStream, request: &[u8]) {
    let requests = request.repeat(200);
    while stream.write_all(&requests).is_ok() {}
}

#[test]
fn connection_that_does_nothing_is_closed_wherever_it_stands() {
    let api = start();
    let length = format!("{PUBLISH}Content-Length: 100\r\n\r\n{{");
    let nothing_of_it = format!("{PUBLISH}Content-Length: 100\r\n\r\n");
    let chunked = format!("{PUBLISH}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"top\r\n");
    let in_a_chunk = format!("{PUBLISH}Transfer-Encoding: chunked\r\n\r\nff\r\n{{");
    let expects = format!("{PUBLISH}Content-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    for (place, sent) in [
        ("nothing", &b""[..]),
        ("part of a head", b"GET /healthz HTTP/1.1\r\nHost: local"),
        ("between two requests", HEALTH),
        ("a body that was announced", nothing_of_it.as_bytes()),
        ("part of a body", length.as_bytes()),
        ("between two chunks", chunked.as_bytes()),
        ("part of a chunk", in_a_chunk.as_bytes()),
        ("100-continue", expects.as_bytes()),
    ] {
        let mut stream = dial(api.http);
        let start = Instant::now();
        stream.write_all(sent).expect("the API reads");
        let answer = read_to_close(&mut stream);
        let took = start.elapsed();
        assert!(took > IDLE * 3 / 4, "{place}: closed after {took:?}");
        // A body that is slow, but comes, has longer and is answered then.
        let answer = String::from_utf8(answer).expect("text");
        assert!(!answer.contains(" 408 "), "{place}: {answer}");
    }
}

#[test]
fn half_closed_connection_is_closed() {
    let api = start();
    for sent in [&b""[..], b"GET /healthz HTTP/1.1\r\nHo", HEALTH] {
        let mut stream = dial(api.http);
        stream.write_all(sent).expect("the API reads");
        stream.shutdown(Shutdown::Write).expect("a half-close");
        read_to_close(&mut stream);
    }
}

#[test]
fn client_that_asks_and_never_reads_is_closed() {
    let api = start();
    for path in ["/v1/openapi.json", "/healthz", "/metrics", "/no/such/path"] {
        let mut stream = dial(api.http);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        ask_without_end(&mut stream, request.as_bytes());
        eventually("it is closed", || is_closed_unread(&mut stream));
    }
}

#[test]
fn head_that_drips_is_not_waited_for() {
    let api = start();
    let mut stream = dial(api.http);
    let start = Instant::now();
    for byte in HEALTH.iter().cycle() {
        thread::sleep(IDLE / 4);
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    // Long before the head would be complete.
    assert!(start.elapsed() < IDLE * 8, "{:?}", start.elapsed());
}

#[test]
fn body_that_drips_is_not_waited_for() {
    let api = start();
    let mut stream = dial(api.http);
    let head = format!("{PUBLISH}Content-Length: 1000\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the API reads");
    let mut reader = stream.try_clone().expect("a second handle");
    let answer = thread::spawn(move || read_to_close(&mut reader));
    let start = Instant::now();
    while stream.write_all(b" ").is_ok() && !answer.is_finished() {
        thread::sleep(IDLE / 4);
        assert!(start.elapsed() < IDLE * 10, "the body is still taken");
    }
    let answer = answer.join().expect("the reader ends");
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// Bytes move all the time, but a request has its time in all.
#[test]
fn answer_that_is_read_too_slowly_is_given_up() {
    let api = start();
    let mut client = api.connect("a");
    client.retain("large", vec![b'x'; 1 << 20], 1);
    let mut stream = dial(api.http);
    stream
        .write_all(b"GET /v1/retained HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("the API reads");
    let start = Instant::now();
    let mut piece = [0; 16 * 1024];
    while stream.read_exact(&mut piece).is_ok() {
        thread::sleep(IDLE / 4);
        assert!(start.elapsed() < IDLE * 15, "it is still written to");
    }
}

/// A close alone would leave it with the system, which goes on offering it for minutes.
#[cfg(target_os = "linux")]
#[test]
fn answer_that_nobody_reads_is_not_kept_by_the_system() {
    let api = start();
    let mut client = api.connect("a");
    client.retain("large", vec![b'x'; 1 << 20], 1);
    let mut stream = dial(api.http);
    stream
        .write_all(b"GET /v1/retained HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("the API reads");
    stream.peek(&mut [0]).expect("the answer begins");
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let ends = [
        port(api.http),
        port(stream.local_addr().expect("an address")),
    ];
    let is_kept = || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").expect("the system's table");
        sockets.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            let mut ends = ends.iter();
            ends.all(|end| words.next().is_some_and(|word| word.ends_with(end)))
        })
    };
    assert!(is_kept(), "it is in the table while it is open");
    eventually("it is gone", || !is_kept());
}

/// What reads on is served to the end, however long that takes within a request's time.
#[test]
fn client_that_pauses_within_the_limit_reads_all() {
    let limit = Duration::from_millis(1500);
    let api = Api::start_with(|config| config.http_idle_timeout = limit);
    let mut client = api.connect("a");
    client.retain("large", vec![b'x'; 1 << 20], 1);
    let mut stream = dial(api.http);
    let request = "GET /v1/retained HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the API reads");
    let mut read = vec![0; 100_000];
    for _ in 0..4 {
        stream.read_exact(&mut read).expect("more of the answer");
        thread::sleep(limit / 3);
    }
    let rest = read_to_close(&mut stream);
    assert!(rest.ends_with(b"],\"total\":1}"), "{} bytes", rest.len());
}

/// Each kind of connection that can be had for nothing, in all places, with the limit at its default.
#[test]
fn full_house_does_not_keep_others_out() {
    let body = format!("{PUBLISH}Content-Length: 100\r\n\r\n");
    for sent in [
        &b""[..],
        b"GET /healthz HTTP/1.1\r\nHost: local",
        HEALTH,
        body.as_bytes(),
    ] {
        let api = Api::start();
        let _house: Vec<_> = (0..PLACES + 50)
            .map(|_| {
                let mut stream = dial(api.http);
                stream.write_all(sent).expect("the API reads");
                stream
            })
            .collect();
        let start = Instant::now();
        assert_eq!(api.get("/healthz").status, 200);
        assert!(start.elapsed() < DEADLINE / 2, "{:?}", start.elapsed());
    }
}

#[test]
fn house_full_of_clients_that_never_read_does_not_keep_others_out() {
    let api = Api::start();
    let request = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(300);
    let _house: Vec<_> = (0..PLACES + 10)
        .map(|_| {
            let mut stream = dial(api.http);
            // As much as it takes.
            let _ = stream.write_all(&request);
            stream
        })
        .collect();
    let start = Instant::now();
    assert_eq!(api.get("/healthz").status, 200);
    assert!(start.elapsed() < DEADLINE / 2, "{:?}", start.elapsed());
}

#[test]
fn bodies_together_are_bounded_and_their_room_comes_back() {
    // Half of it is for requests.
    let api = Api::start_with(|config| config.limits.memory = 128 << 20);
    // Each of them is charged twice as it comes; whole, with what is made of it, three times.
    let sizes: [usize; 2] = [20 << 20, 10 << 20];
    let held: Vec<_> = sizes
        .iter()
        .map(|size| {
            let head = format!("{PUBLISH}Content-Length: {size}\r\n\r\n");
            let mut stream = dial(api.http);
            stream
                .set_write_timeout(Some(DEADLINE))
                .expect("a socket option");
            stream.write_all(head.as_bytes()).expect("the API reads");
            stream
                .write_all(&vec![b' '; size - 1])
                .expect("the API reads");
            stream
        })
        .collect();
    // Another body that comes before all of them are there could take their room.
    eventually("all of the first bodies is held", || {
        let held = &api.get("/v1/stats").json()["memory_bytes_by_kind"]["http"];
        held.as_u64()
            .is_some_and(|held| held >= 2 * sizes.iter().map(|size| *size as u64 - 1).sum::<u64>())
    });
    let body = format!(r#"{{"topic":"a","payload":"{}"}}"#, "x".repeat(2 << 20));
    eventually("there is no room", || {
        let answer = api.post("/v1/publish", &body);
        if answer.status == 503 {
            answer.expect_error(503, None);
        }
        answer.status == 503
    });
    let small = r#"{"topic":"a","payload":"x"}"#;
    assert_eq!(api.post("/v1/publish", small).status, 200);
    drop(held);
    eventually("its room is free", || {
        api.post("/v1/publish", &body).status == 200
    });
}

#[test]
fn body_that_could_never_be_held_is_too_large() {
    let api = Api::start_with(|config| config.limits.memory = 128 << 20);
    let request = format!(
        "{PUBLISH}Connection: close\r\nContent-Length: {}\r\n\r\n",
        100 << 20
    );
    api.send_bytes(request.as_bytes()).expect_error(413, None);
}

#[test]
fn chunked_body_without_end_is_too_large() {
    let api = Api::start_with(|config| config.limits.payload_size = Some(100));
    let mut stream = dial(api.http);
    let head = format!("{PUBLISH}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the API reads");
    let mut reader = stream.try_clone().expect("a second handle");
    let answer = thread::spawn(move || read_to_close(&mut reader));
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let end = Instant::now() + DEADLINE;
    while !answer.is_finished() && Instant::now() < end {
        let _ = stream.write_all(chunk.as_bytes());
    }
    let answer = String::from_utf8(answer.join().expect("the reader ends")).expect("text");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn error_does_not_repeat_all_that_was_sent() {
    let api = Api::start();
    let long = "x".repeat(60_000);
    for target in [
        format!("/{long}"),
        format!("/v1/clients?{long}=1"),
        format!("/v1/clients/{long}"),
        format!("/v1/clients?limit={long}"),
        format!("/v1/retained?filter={long}%23"),
    ] {
        let answer = api.get(&target);
        assert!(answer.status >= 400, "{}", answer.status);
        assert!(answer.body.len() < 3000, "{} bytes", answer.body.len());
    }
    let body = format!(r#"{{"{}":1}}"#, "x".repeat(1 << 20));
    let answer = api.post("/v1/publish", &body);
    assert_eq!(answer.status, 400);
    assert!(answer.body.len() < 3000, "{} bytes", answer.body.len());
}
