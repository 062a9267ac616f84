//! `roundel health`: an exit status for whoever waits for a broker.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::broker::Broker;
use super::{PLAIN_MQTT, finish, roundel, run};

#[test]
fn broker_that_runs_is_ready_and_one_that_is_in_an_outage_or_gone_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = roundel(folder.path(), &["serve", "--ready", "json"]);
    command.args(PLAIN_MQTT);
    let broker = Broker::spawn(command.args(["--http-port", "0"]));
    let address = broker.address("http").to_owned();
    let line = ["health", "--http", &address];
    let outcome = run(folder.path(), &line);
    outcome.assert_done();
    assert_eq!(outcome.stdout, "ready\n");

    // The same by the variables that a container has for both.
    let (_, port) = address.rsplit_once(':').unwrap();
    let mut command = roundel(folder.path(), &["health"]);
    command.env("ROUNDEL_HTTP_HOST", "0.0.0.0");
    finish(command.env("ROUNDEL_HTTP_PORT", port)).assert_done();

    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let body = r#"{"seconds": 60}"#;
    write!(
        stream,
        "POST /v1/outage HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    run(folder.path(), &line).assert_failed(1, &["not ready at", &address, "outage"]);

    drop(broker);
    run(folder.path(), &line).assert_failed(1, &["not ready at", &address, "nobody answers"]);
}

#[test]
fn what_is_no_broker_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .unwrap();
    });
    let outcome = run(folder.path(), &["health", "--http", &address]);
    outcome.assert_failed(1, &["not ready at", "none of a broker"]);
    answering.join().unwrap();
}

#[test]
fn address_that_cannot_be_known_is_misuse() {
    let folder = tempfile::tempdir().unwrap();
    for (port, words) in [("off", "off"), ("0", "--http"), ("x", "`x`")] {
        let mut command = roundel(folder.path(), &["health"]);
        let outcome = finish(command.env("ROUNDEL_HTTP_PORT", port));
        outcome.assert_failed(2, &["ROUNDEL_HTTP_PORT", words]);
    }
    run(folder.path(), &["health", "--http", "nowhere"]).assert_failed(2, &["--http", "--help"]);
}
