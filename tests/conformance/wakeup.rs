//! A client that only listens gets every message by itself: nothing that it sends, no PINGREQ either,
//! gives the broker another reason to look at its connection. Through every door.

use std::{
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::support::*;

/// Who publish to one receiver at the same time.
const SENDERS: usize = 4;

/// What a receiver has in its socket before the broker finds it full.
const SMALL_BUFFER: usize = 4096;

fn open_broker() -> &'static TestBroker {
    static SHARED: OnceLock<TestBroker> = OnceLock::new();
    SHARED.get_or_init(|| TestBroker::start(&Door::FLAGS))
}

fn connect(door: Door) -> Client {
    let connect = Connect::new(fresh("wakeup"));
    door.open(open_broker(), Version::V5, &connect).0
}

/// Rounds in each of which several senders post at once, as many messages as `burst` says and as long
/// as `length` says; then nobody does anything until all of them have come.
struct Load {
    rounds: usize,
    burst: fn(usize) -> usize,
    length: fn(usize) -> usize,
    /// The receiver waits so long before it reads each of the first few packets of a round.
    pause: Duration,
    receive_buffer: Option<usize>,
}

impl Load {
    fn run(&self, door: Door, senders: Door) {
        let topic = fresh("wakeup");
        let mut receiver = self.receiver(door);
        receiver.subscribe(&topic, 0);
        thread::scope(|scope| {
            // A round begins with a word to each sender; where this ends early, they end as well.
            let senders: Vec<_> = (0..SENDERS)
                .map(|_| {
                    let (start, started) = mpsc::channel();
                    let mut client = connect(senders);
                    let topic = &topic;
                    scope.spawn(move || {
                        for number in started {
                            let payload = format!("{number} {}", "x".repeat((self.length)(number)));
                            let message = Publish::new(topic, payload).encode(Version::V5);
                            for _ in 0..(self.burst)(number) {
                                client.send(message.clone());
                            }
                        }
                    });
                    start
                })
                .collect();
            for number in 0..self.rounds {
                for sender in &senders {
                    sender.send(number).expect("the sender runs");
                }
                self.take(&mut receiver, number, door);
            }
        });
    }

    fn receiver(&self, door: Door) -> Client {
        let broker = open_broker();
        let address = broker.address(door.listener()).expect("the door is open");
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size).expect("a socket option");
        }
        socket.connect(&address.into()).expect("the broker accepts");
        let mut receiver = door.enter(broker, socket.into(), Version::V5);
        receiver.send_connect(&Connect::new(fresh("receiver")));
        assert_eq!(receiver.expect_connack().1, 0);
        receiver
    }

    fn take(&self, receiver: &mut Client, number: usize, door: Door) {
        let expected = SENDERS * (self.burst)(number);
        let end = Instant::now() + DEADLINE;
        for taken in 0..expected {
            if taken < 3 && !self.pause.is_zero() {
                thread::sleep(self.pause);
            }
            let left = end.saturating_duration_since(Instant::now());
            match receiver.next_within(left) {
                Some(Some(Packet::Publish(delivery))) => {
                    let round = delivery.text().split(' ').next();
                    assert_eq!(round, Some(number.to_string().as_str()));
                }
                other => panic!(
                    "{door:?}: {taken} of {expected} messages of round {number} came, then {other:?}"
                ),
            }
        }
    }
}

/// Small messages that several senders post at the same moment: whoever finds another one writing
/// leaves its message to that one.
#[test]
fn no_message_stays_behind_among_concurrent_senders() {
    let load = Load {
        rounds: 400,
        burst: |number| 1 + number % 5,
        length: |_| 10,
        pause: Duration::ZERO,
        receive_buffer: None,
    };
    over_all_doors(&load);
}

/// Bursts that fill the socket of a receiver that reads slowly at first: what is left when there is room
/// again comes without further messages.
#[test]
fn no_message_stays_behind_a_full_socket() {
    let load = Load {
        rounds: 25,
        burst: |number| 20 + number % 7,
        length: |number| 500 + 997 * (number % 13),
        pause: Duration::from_millis(2),
        receive_buffer: Some(SMALL_BUFFER),
    };
    over_all_doors(&load);
}

/// Receivers behind every door, and senders through the same and through another one.
fn over_all_doors(load: &Load) {
    thread::scope(|scope| {
        let runs = Door::ALL.map(|door| {
            scope.spawn(move || {
                load.run(door, Door::Tcp);
                load.run(door, door);
            })
        });
        for run in runs {
            assert!(run.join().is_ok(), "a message stayed behind");
        }
    });
}
