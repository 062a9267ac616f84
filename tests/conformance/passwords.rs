//! Many who guess passwords hold up nobody, and what a client sends while its own is checked is kept.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::support::*;

/// How many guess at a time from one address.
const GUESSES: usize = 200;

/// How many addresses many guesses come from, and how many from each.
const ADDRESSES: u8 = 16;
const GUESSES_EACH: usize = 15;

/// How many from one address may wait for the word on their password: see `docs/architecture.md`.
const WAITING: usize = 512;

/// How often a time is measured.
const TRIES: usize = 9;

/// Ann's password is `secret` and takes a thousand iterations.
const ANN: &str = "
[[users]]
name = \"ann\"
password_hash = \"$pbkdf2-sha256$i=1000$c2l4dGVlbiBieXRlcyBvaw$Yic6xB2Azj4fBhKstNB7WLaiOcN8ifBRJ7emnjo3D3c\"
";

/// Nobody knows Bob's, which takes 100,000: some ten milliseconds of a core.
const BOB: &str = "
[[users]]
name = \"bob\"
password_hash = \"$pbkdf2-sha256$i=100000$c2l4dGVlbiBieXRlcyBvaw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"
";

fn broker() -> TestBroker {
    TestBroker::start_with_config(&["--profile", "standard"], &[ANN, BOB].concat())
}

fn ann() -> Connect {
    Connect::new(fresh("ann")).user("ann").password("secret")
}

fn guess() -> Connect {
    Connect::new("guess").user("bob").password("guess")
}

/// Guesses wait behind one another, on a few threads, and somebody at another address comes between:
/// with the first few of them and not behind the last.
#[test]
fn a_flood_of_guesses_does_not_hold_up_who_comes_from_elsewhere() {
    let own = broker();
    let threads_before = own.threads();
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    let mut guessing = flood(own.mqtt(), &guess().encode(Version::V5), elsewhere, GUESSES);
    let mut client = Client::dial(own.mqtt(), Version::V5);
    client.send_connect(&ann());
    assert_eq!(client.expect_connack().1, 0);
    let answered = guessing.iter_mut().filter_map(answer_so_far).count();
    assert!(answered < GUESSES / 2, "{answered} guesses came first");
    assert_few_more(own.threads(), threads_before);
}

/// With guesses from many addresses, who comes from one more waits for one of each, about. Whoever is
/// connected notices nothing.
#[test]
fn a_flood_of_guesses_from_many_addresses_holds_up_neither_traffic_nor_who_connects() {
    // On a slow machine all of it takes long.
    let config = ["[limits]\nconnect_timeout = \"10m\"\n", ANN, BOB].concat();
    let own = TestBroker::start_with_config(&["--profile", "standard"], &config);
    let mut connected = Client::dial(own.mqtt(), Version::V5);
    connected.send_connect(&ann());
    assert_eq!(connected.expect_connack().1, 0);
    let threads_before = own.threads();
    let guess = guess().encode(Version::V5);
    let mut guessing: Vec<_> = (0..ADDRESSES)
        .flat_map(|number| {
            let source = Ipv4Addr::new(127, 0, 2, number);
            flood(own.mqtt(), &guess, source, GUESSES_EACH)
        })
        .collect();
    let mut newcomer = Client::dial(own.mqtt(), Version::V5);
    newcomer.send_connect(&ann());
    let mut pings = Vec::new();
    let connack = loop {
        let sent = Instant::now();
        connected.expect_only_pingresp();
        pings.push(sent.elapsed());
        assert_few_more(own.threads(), threads_before);
        if let Some(packet) = newcomer.next_within(Duration::from_millis(5)) {
            break packet;
        }
        guessing.retain_mut(|stream| answer_so_far(stream).is_none());
        let addresses = usize::from(ADDRESSES);
        let answered = addresses * GUESSES_EACH - guessing.len();
        assert!(answered < 2 * addresses, "{answered} guesses came first");
    };
    let is_in = matches!(connack, Some(Packet::Connack { reason: 0, .. }));
    assert!(is_in, "{connack:?}");
    // One in ten may have had to do with this machine.
    pings.sort_unstable();
    let ping = pings[pings.len() * 9 / 10];
    assert!(ping < Duration::from_millis(250), "{pings:?}");
}

/// No more guesses wait than there are places for an address: the next are refused as the broker is
/// busy, which the log says once, and there is room for who comes from elsewhere.
#[test]
fn guesses_that_find_no_room_to_wait_are_refused_as_busy() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let users = [ANN, BOB].concat();
    let (own, log) = TestBroker::start_with_log(&["--profile", "standard"], &users);
    let here = Ipv4Addr::LOCALHOST;
    let bytes = guess().encode(Version::V5);
    let waiting = flood(own.mqtt(), &bytes, here, WAITING);
    // What a wrong one is answered with is 0x86 and 4, and that would be late.
    for (version, busy) in [(Version::V5, 0x89), (Version::V3, 3)] {
        let mut guessing = flood(own.mqtt(), &guess().encode(version), here, GUESSES);
        eventually("a guess is refused as the broker is busy", || {
            let mut answers = guessing.iter_mut().filter_map(answer_so_far);
            answers.any(|answer| matches!(answer[..], [0x20, _, 0, reason, ..] if reason == busy))
        });
    }
    let elsewhere = dial_from(Ipv4Addr::new(127, 0, 0, 2), own.mqtt());
    let mut client = Client::over(elsewhere, Version::V5);
    client.send_connect(&ann());
    assert_eq!(client.expect_connack().1, 0);
    assert_eq!(own.stop(), Some(0), "with the others still in line");
    drop(waiting);
    let said = "too many passwords wait to be checked";
    let mut lines = log.rest();
    lines.retain(|line| line.contains(said));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// Neither what the broker says nor how long it takes tells a name that nobody has from a wrong
/// password.
#[test]
fn a_refusal_does_not_tell_whether_there_is_such_a_user() {
    let own = TestBroker::start_with_config(&["--profile", "standard"], BOB);
    let mut sources = (0..=u8::MAX).map(|number| Ipv4Addr::new(127, 0, 3, number));
    let mut refusal = |version: Version, name: &str| {
        // The first one of its address, so that it is not put off.
        let source = sources.next().expect("an address");
        let mut stream = dial_from(source, own.mqtt());
        let connect = Connect::new("guess").user(name).password("guess");
        let begun = Instant::now();
        let sent = stream.write_all(&connect.encode(version));
        sent.expect("the broker reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("CONNACK, the end");
        (answer, begun.elapsed())
    };
    for version in [Version::V3, Version::V5] {
        // One right after the other, as this machine may get slower and faster.
        let mut ratios: Vec<_> = (0..TRIES)
            .map(|_| {
                let (of_known, known) = refusal(version, "bob");
                let (of_unknown, unknown) = refusal(version, "eve");
                assert_eq!(of_known, of_unknown, "{version:?}");
                assert_eq!(of_known[0], 0x20, "CONNACK");
                known.as_secs_f64() / unknown.as_secs_f64()
            })
            .collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let ratio = ratios[TRIES / 2];
        assert!((0.5..2.0).contains(&ratio), "{version:?}: {ratios:.2?}");
    }
}

/// A guess is refused, and the next ones from there are refused later each time, while others are
/// answered at once, and so is the right password: it ends that.
#[test]
fn guesses_are_answered_later_each_time() {
    let own = broker();
    let connect = |source: Ipv4Addr, connect: &Connect| {
        let mut client = Client::over(dial_from(source, own.mqtt()), Version::V5);
        client.send_connect(connect);
        client
    };
    let (here, elsewhere) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let guess = Connect::new("g").user("ann").password("guess");
    let start = Instant::now();
    for _ in 0..6 {
        connect(here, &guess).expect_refusal(0x86);
    }
    // 0, 50, 100, 200, 400 and 800 ms.
    assert!(start.elapsed() >= Duration::from_millis(1550));
    // This one waits for 1.6 s, and the others for nothing.
    let mut late = connect(here, &guess);
    connect(elsewhere, &guess).expect_refusal(0x86);
    assert_eq!(connect(elsewhere, &ann()).expect_connack().1, 0);
    assert_eq!(connect(here, &ann()).expect_connack().1, 0);
    connect(here, &guess).expect_refusal(0x86);
    let early = late.next_within(Duration::from_millis(1));
    assert!(early.is_none(), "{early:?}");
    late.expect_refusal(0x86);
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

/// What has been read by now, if it is anything or the end, on a socket that does not wait.
fn answer_so_far(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = [0; 16];
    match stream.read(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        read => Some(bytes[..read.unwrap_or(0)].to_vec()),
    }
}

/// So many connections from an address that send this and do not wait for an answer.
fn flood(broker: SocketAddr, bytes: &[u8], source: Ipv4Addr, count: usize) -> Vec<TcpStream> {
    let one = |_| {
        let mut stream = dial_from(source, broker);
        stream.write_all(bytes).expect("CONNECT is sent");
        let set = stream.set_nonblocking(true);
        set.expect("a socket that does not wait");
        stream
    };
    (0..count).map(one).collect()
}

/// Asserts that the broker checks passwords on a few threads: no more than there are cores, and some
/// whose check is over and that have not quite ended.
fn assert_few_more(threads: usize, before: usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bound = before + cores + 8;
    assert!(threads <= bound, "{threads} threads, {before} before");
}
