//! The hot functions, one at a time, for an instruction counter.
//!
//! `instructions` lists the cases, `instructions CASE` runs one and prints the number of units
//! (messages, mostly) that it handled within [`measured`]. `run` beside this file counts the
//! instructions of that function with valgrind and compares them with the baseline.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use roundel::internals::{HashParent, Switchboard, Trie, decode_publish, encode_publish};
use roundel::policy::{
    Action, Attachment, Context, Document, Policies, Request, Scope, Thing, Verdict,
};
use roundel::{Config, Version};
use roundel_benches::{FILTERS, PAYLOAD, Scene, publish};

const TOPIC: &str = "plant/7/line/3/temperature";

/// Rounds that are counted, and those before them in which buffers grow.
const ROUNDS: usize = 50;
const WARM_UP: usize = 10;

/// Counts of functions that handle one unit in each call.
const CALLS: usize = 1_000;

/// A case sets itself up, runs, and returns the units it handled.
type Case = fn() -> usize;

const CASES: [(&str, Case); 19] = [
    ("decode_publish_qos0", || decode(None)),
    ("decode_publish_qos1", || decode(Some(7))),
    ("encode_publish_qos0", || encode(None)),
    ("encode_publish_qos1", || encode(Some(7))),
    ("trie_exact", || {
        trie(|number| format!("dev/{number}/state"))
    }),
    ("trie_wildcard", || trie(|number| format!("+/{number}/#"))),
    ("deliver_qos0", || offer("in/+", 1, 0)),
    ("deliver_qos1", || offer("in/+", 1, 1)),
    ("fan_out_100_qos0", || offer("in/+", 100, 0)),
    ("fan_out_100_qos1", || offer("in/+", 100, 1)),
    ("group_of_4_qos0", || offer("$share/group/in/+", 4, 0)),
    ("group_of_4_qos1", || offer("$share/group/in/+", 4, 1)),
    ("puback", puback),
    ("route_uncached", route_uncached),
    ("policies", policies),
    ("permitted_qos0", || permitted("in/+", 1, 0)),
    ("permitted_100_qos0", || permitted("in/+", 100, 0)),
    ("permitted_group_qos1", || {
        permitted("$share/group/in/+", 4, 1)
    }),
    ("permitted_new_topics", permitted_new_topics),
];

fn main() -> ExitCode {
    let Some(wanted) = env::args().nth(1) else {
        for (name, _) in CASES {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, case)) = CASES.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("no case {wanted}: `instructions` lists them");
        return ExitCode::FAILURE;
    };
    println!("{}", case());
    ExitCode::SUCCESS
}

/// What is done in here is counted.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

fn decode(packet_id: Option<u16>) -> usize {
    let packet = publish(TOPIC, packet_id);
    measured(&mut || {
        for _ in 0..CALLS {
            let sizes = decode_publish(black_box(&packet), Version::V5);
            assert_eq!(sizes, Some((TOPIC.len(), PAYLOAD.len())));
        }
    });
    CALLS
}

fn encode(packet_id: Option<u16>) -> usize {
    let mut out = Vec::with_capacity(publish(TOPIC, packet_id).len());
    measured(&mut || {
        for _ in 0..CALLS {
            out.clear();
            let topic = black_box(TOPIC);
            encode_publish(Version::V5, topic, &PAYLOAD, packet_id, &mut out);
        }
    });
    assert_eq!(out, publish(TOPIC, packet_id));
    CALLS
}

/// Matches a topic against many filters, of which one matches.
fn trie(filter: impl Fn(usize) -> String) -> usize {
    let mut trie = Trie::new(0x5eed);
    for number in 0..FILTERS {
        trie.get_or_insert_with(&filter(number), || number);
    }
    let topics: Vec<String> = (0..CALLS)
        .map(|number| format!("dev/{}/state", number * 7 % FILTERS))
        .collect();
    let mut matches = 0;
    measured(&mut || {
        for topic in &topics {
            trie.visit_matches(topic, HashParent::Matches, &mut |_| matches += 1);
        }
    });
    assert_eq!(matches, CALLS, "one filter for each topic");
    CALLS
}

/// Publishes runs of messages. The unit is a delivery.
fn offer(filter: &str, subscribers: usize, qos: u8) -> usize {
    let scene = Scene::new(filter, subscribers, qos, &["in/0"]);
    exchange_copies(scene, filter, subscribers, qos)
}

/// The same between clients whom a policy allows it.
fn permitted(filter: &str, subscribers: usize, qos: u8) -> usize {
    let scene = Scene::at(ruled(), filter, subscribers, qos, &["in/0"]);
    exchange_copies(scene, filter, subscribers, qos)
}

/// A broker whose clients have a policy.
fn ruled() -> Switchboard {
    let document = r#"{"Version":"2012-10-17","Statement":
        [{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
    let mut config = Config::standard();
    config.seed = Some(0x5eed);
    Switchboard::with_policy(config, Some(document))
}

fn exchange_copies(mut scene: Scene, filter: &str, subscribers: usize, qos: u8) -> usize {
    let copies = if filter.starts_with("$share/") {
        1
    } else {
        subscribers
    };
    let mut bytes = 0;
    exchange(&mut scene, qos, |scene| {
        measured(&mut || scene.publish());
        bytes += scene.read();
    });
    let units = ROUNDS * scene.messages() * copies;
    assert!(bytes > units * PAYLOAD.len(), "the messages arrive");
    units
}

/// Acknowledges runs of deliveries.
fn puback() -> usize {
    let mut scene = Scene::new("in/+", 1, 1, &["in/0"]);
    for round in 0..WARM_UP + ROUNDS {
        scene.publish();
        assert!(scene.read() > 0, "the messages arrive");
        match round < WARM_UP {
            true => scene.acknowledge(),
            false => measured(&mut || scene.acknowledge()),
        }
    }
    ROUNDS * scene.messages()
}

/// Publishes to topics that no publisher remembers.
fn route_uncached() -> usize {
    let topics: Vec<String> = (1000..2000).map(|number| format!("in/{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut scene = Scene::new("in/+", 1, 0, &topics).among(FILTERS);
    exchange(&mut scene, 0, |scene| {
        measured(&mut || scene.publish());
        assert!(scene.read() > 0, "the messages arrive");
    });
    ROUNDS * scene.messages()
}

/// Publishes to topics that a policy has not been asked about lately.
fn permitted_new_topics() -> usize {
    let topics: Vec<String> = (1000..2000).map(|number| format!("in/{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut scene = Scene::at(ruled(), "in/+", 1, 0, &topics).among(FILTERS);
    exchange(&mut scene, 0, |scene| {
        measured(&mut || scene.publish());
        assert!(scene.read() > 0, "the messages arrive");
    });
    ROUNDS * scene.messages()
}

/// Runs rounds in which `publish` is counted and the rest is not.
fn exchange(scene: &mut Scene, qos: u8, mut publish: impl FnMut(&mut Scene)) {
    for round in 0..WARM_UP + ROUNDS {
        if round < WARM_UP {
            scene.publish();
            scene.read();
        } else {
            publish(scene);
        }
        if qos > 0 {
            scene.acknowledge();
            scene.read();
        }
    }
}

/// Asks as many policies as a certificate may have, each about as long as it may be and half of them for any
/// account, about what none of them allows. The unit is an evaluation.
fn policies() -> usize {
    let documents: Vec<_> = (0..10)
        .map(|number| Arc::new(long_policy(number)))
        .collect();
    assert!(documents.iter().all(|document| document.length() > 1_800));
    let policies = Policies::new(documents, &Scope::default());
    let thing = Thing {
        name: "car1".to_owned(),
        ..Thing::default()
    };
    let context = Context {
        client_id: Some("car1".to_owned()),
        thing: Attachment::Attached(thing),
        ..Context::default()
    };
    let request = Request::new(Action::Publish, "topic/car1/part/elsewhere", &context);
    measured(&mut || {
        for _ in 0..CALLS {
            let decision = black_box(&policies).evaluate(black_box(&request));
            assert_eq!(decision.verdict, Verdict::ImplicitDeny);
        }
    });
    CALLS
}

/// Statements with four resources each, with variables, and with a condition.
fn long_policy(number: usize) -> Document {
    let account = ["123456789012", "*"][number % 2];
    let statement = |index: usize| {
        let resources = (0..4).map(|part| {
            format!(
                "\"arn:aws:iot:us-east-1:{account}:topic/${{iot:Connection.Thing.ThingName}}/part/{number}{index}{part}/*\""
            )
        });
        format!(
            r#"{{"Effect":"{}","Action":["iot:Publish","iot:Receive"],"Resource":[{}],
                "Condition":{{"Bool":{{"iot:Connection.Thing.IsAttached":"true"}}}}}}"#,
            ["Allow", "Deny"][index % 2],
            resources.collect::<Vec<_>>().join(",")
        )
    };
    let statements: Vec<_> = (0..4).map(statement).collect();
    let text = format!(
        r#"{{"Version":"2012-10-17","Id":"{}","Statement":[{}]}}"#,
        "x".repeat(50),
        statements.join(",")
    );
    Document::parse(&text).expect("a policy")
}
