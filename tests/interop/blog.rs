//! The walk-through of the announcement of shared subscriptions (AWS-BLOG-03 to -05): five
//! terminals, each with its own certificate, the flags as they are printed there.

use libtest_mimic::Trial;

use crate::broker::{Broker, Endpoint, Profile, Transport};
use crate::mosquitto;
use crate::process::Process;
use crate::trial;

/// What the walk-through publishes from each car.
const SPEEDS: [u32; 3] = [75, 77, 79];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "blog::consumer3_sees_all_and_the_group_alternates",
            walk_through,
        ),
        trial("blog::two_cars_at_once_are_shared_evenly", two_cars_at_once),
    ]
}

/// Terminals 1 to 5 of the walk-through: car1 first, then car2.
fn walk_through() {
    let broker = Broker::start(Profile::Aws);
    let mut terminals = Terminals::open(&broker);
    let mut sent = Vec::new();
    for car in ["car1", "car2"] {
        let messages: Vec<_> = SPEEDS
            .map(|speed| format!(r#"{{"ID": "{car}", "speed": "{speed}"}}"#))
            .into();
        drive(&broker, car, &messages).finish();
        // The next car starts when consumer3 has everything from this one, so that the order of
        // all six is known.
        for message in &messages {
            terminals
                .consumer3
                .wait_for(message, |line| line == message);
        }
        sent.extend(messages);
    }
    let every_other = |first: usize| {
        sent.iter()
            .skip(first)
            .step_by(2)
            .cloned()
            .collect::<Vec<_>>()
    };
    let received = terminals.close(sent.len() / 2, &broker);
    assert_eq!(received.consumer3, sent);
    assert_eq!(received.subscriber2a, every_other(0));
    assert_eq!(received.subscriber2b, every_other(1));
}

/// Any two consecutive messages go to different members, whoever published them.
fn two_cars_at_once() {
    const EACH: usize = 500;
    let broker = Broker::start(Profile::Aws);
    let terminals = Terminals::open(&broker);
    let cars = ["car1", "car2"].map(|car| {
        let messages: Vec<_> = (0..EACH)
            .map(|n| format!(r#"{{"ID": "{car}", "speed": "{n}"}}"#))
            .collect();
        drive(&broker, car, &messages)
    });
    for car in cars {
        car.finish();
    }
    let received = terminals.close(EACH, &broker);
    assert_eq!(received.consumer3.len(), 2 * EACH);
    assert_eq!(
        (received.subscriber2a.len(), received.subscriber2b.len()),
        (EACH, EACH)
    );
    let mut shared = [received.subscriber2a, received.subscriber2b].concat();
    let mut all = received.consumer3;
    shared.sort_unstable();
    all.sort_unstable();
    assert_eq!(shared, all, "every message went to exactly one member");
}

/// The three subscribers of the walk-through.
struct Terminals {
    subscriber2a: Process,
    subscriber2b: Process,
    consumer3: Process,
}

/// The messages, in order, that each subscriber printed.
struct Received {
    subscriber2a: Vec<String>,
    subscriber2b: Vec<String>,
    consumer3: Vec<String>,
}

impl Terminals {
    /// Starts the three subscribers; each is subscribed before the next starts.
    fn open(broker: &Broker) -> Self {
        Self {
            subscriber2a: subscribe(broker, "subscriber2a", "$share/group2/cars/data"),
            subscriber2b: subscribe(broker, "subscriber2b", "$share/group2/cars/data"),
            consumer3: subscribe(broker, "consumer3", "cars/data"),
        }
    }

    /// Waits until each member of the group printed `each` messages and consumer3 all of them,
    /// then ends the subscribers.
    fn close(self, each: usize, broker: &Broker) -> Received {
        let collect = |mut terminal: Process, count: usize| {
            while terminal
                .seen()
                .iter()
                .filter(|line| is_message(line))
                .count()
                < count
            {
                terminal.wait_for(&format!("{count} messages{}", broker.log()), is_message);
            }
            // Reads on to the end: one more message would be one too many.
            terminal
                .terminate()
                .into_iter()
                .filter(|line| is_message(line))
                .collect()
        };
        Received {
            subscriber2a: collect(self.subscriber2a, each),
            subscriber2b: collect(self.subscriber2b, each),
            consumer3: collect(self.consumer3, 2 * each),
        }
    }
}

fn is_message(line: &str) -> bool {
    line.starts_with('{')
}

/// `mosquitto_sub` with the flags of terminals 1 to 3.
fn subscribe(broker: &Broker, name: &str, topic: &str) -> Process {
    let id = format!("{name}-sub");
    let mut command = mosquitto::client("mosquitto_sub", &endpoint(broker, name));
    command.args(["-q", "0", "-t", topic, "-i", &id]);
    command.args(["--tls-version", "tlsv1.2", "-d", "-V", "mqttv5"]);
    let mut process = Process::start(name, &mut command);
    let subscribed = process.wait_for("SUBACK", |line| line.starts_with("Subscribed"));
    assert_eq!(subscribed, "Subscribed (mid: 1): 0");
    process
}

/// `cat messages.json | mosquitto_pub` with the flags of terminals 4 and 5.
fn drive(broker: &Broker, car: &str, messages: &[String]) -> Process {
    let mut command = mosquitto::client("mosquitto_pub", &endpoint(broker, car));
    command.args([
        "-q",
        "0",
        "-t",
        "cars/data",
        "-i",
        car,
        "--tls-version",
        "tlsv1.2",
    ]);
    command.args([
        "-d",
        "-V",
        "mqttv5",
        "-D",
        "publish",
        "topic-alias",
        "2",
        "-l",
    ]);
    let mut process = Process::start(car, &mut command);
    for message in messages {
        process.send(message);
    }
    process.close_input();
    process
}

/// The one door of the service, with the certificate of this thing.
fn endpoint(broker: &Broker, thing: &str) -> Endpoint {
    let transport = Transport::Tls;
    Endpoint {
        transport,
        port: broker.port(transport),
        identity: broker.issue(thing),
    }
}
