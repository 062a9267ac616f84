//! Many who guess passwords hold up nobody, and what a client sends while its own is checked is kept.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::support::*;

/// How many guess at a time.
const GUESSES: usize = 200;

/// Ann's password is `secret` and takes a thousand iterations. Nobody knows Bob's, which takes 200,000:
/// some ten milliseconds of a core.
const USERS: &str = "
[[users]]
name = \"ann\"
password_hash = \"$pbkdf2-sha256$i=1000$c2l4dGVlbiBieXRlcyBvaw$Yic6xB2Azj4fBhKstNB7WLaiOcN8ifBRJ7emnjo3D3c\"

[[users]]
name = \"bob\"
password_hash = \"$pbkdf2-sha256$i=200000$c2l4dGVlbiBieXRlcyBvaw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"
";

fn broker() -> TestBroker {
    TestBroker::start_with_config(&["--profile", "standard"], USERS)
}

fn ann() -> Connect {
    Connect::new(fresh("ann")).user("ann").password("secret")
}

/// Guesses wait behind one another, on a few threads, and somebody at another address comes between:
/// with the first few of them and not behind the last.
#[test]
fn a_flood_of_guesses_does_not_hold_up_who_comes_from_elsewhere() {
    let own = broker();
    let threads_before = own.threads();
    let guess = Connect::new("guess").user("bob").password("guess");
    let guess = guess.encode(Version::V5);
    let mut guessing: Vec<_> = (0..GUESSES)
        .map(|_| {
            let mut stream = dial_from(Ipv4Addr::new(127, 0, 0, 2), own.mqtt());
            stream.write_all(&guess).expect("CONNECT is sent");
            stream
                .set_nonblocking(true)
                .expect("a socket that does not wait");
            stream
        })
        .collect();
    let mut client = Client::dial(own.mqtt(), Version::V5);
    client.send_connect(&ann());
    assert_eq!(client.expect_connack().1, 0);
    let answered = guessing.iter_mut().filter_map(answer_so_far).count();
    assert!(answered < GUESSES / 2, "{answered} guesses came first");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = own.threads();
    assert!(
        threads <= threads_before + cores,
        "{threads} threads, {threads_before} before"
    );
}

/// A guess is refused, and the next ones are refused later, while the right password opens at once.
#[test]
fn guesses_are_answered_later_each_time() {
    let own = broker();
    let start = Instant::now();
    for _ in 0..5 {
        let mut client = Client::dial(own.mqtt(), Version::V5);
        client.send_connect(&Connect::new("g").user("ann").password("guess"));
        client.expect_refusal(0x86);
    }
    // 0, 50, 100, 200 and 400 ms.
    assert!(start.elapsed() >= Duration::from_millis(750));
    let mut client = Client::dial(own.mqtt(), Version::V5);
    client.send_connect(&ann());
    assert_eq!(client.expect_connack().1, 0);
}

/// 5:MQTT-3.1.4-5
/// Packets behind CONNECT wait for the word on the password, in one segment with it or later, and the
/// end of the stream behind them as well.
#[test]
fn packets_behind_connect_are_handled_once_the_password_was_checked() {
    let own = broker();
    let topic = fresh("behind");
    let mut watcher = Client::dial(own.mqtt(), Version::V5);
    watcher.send_connect(&ann());
    assert_eq!(watcher.expect_connack().1, 0);
    watcher.subscribe(&topic, 0);
    let mut client = Client::dial(own.mqtt(), Version::V5);
    let first = Publish::new(&topic, "first").encode(Version::V5);
    client.send([ann().encode(Version::V5), first].concat());
    client.send(Publish::new(&topic, "second"));
    client.half_close();
    assert_eq!(watcher.receive_texts(2), ["first", "second"]);
    // Refused, and what came behind CONNECT with it.
    let mut refused = Client::dial(own.mqtt(), Version::V5);
    let wrong = Connect::new(fresh("w")).user("ann").password("guess");
    let message = Publish::new(&topic, "refused").encode(Version::V5);
    refused.send([wrong.encode(Version::V5), message].concat());
    assert_eq!(refused.expect_connack().1, 0x86);
    refused.expect_closed();
    watcher.post(&topic, "last");
    assert_eq!(watcher.receive().text(), "last");
}

/// A connection from a certain address of the loopback interface.
fn dial_from(local: Ipv4Addr, broker: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let local = SocketAddr::from((local, 0));
    socket.bind(&local.into()).expect("an address of our own");
    socket.connect(&broker.into()).expect("the broker accepts");
    socket.into()
}

/// Whether there was an answer, or the end, on a socket that does not wait.
fn answer_so_far(stream: &mut TcpStream) -> Option<()> {
    match stream.read(&mut [0; 16]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        _ => Some(()),
    }
}
