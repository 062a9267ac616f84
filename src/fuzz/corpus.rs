//! Every input that fuzzing kept, once more in an ordinary test; and the seeds it began with.
//!
//! `fuzz/corpus` has a file for each target, with one input on a line, in hexadecimal.

use std::fmt::Write;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::codec::tests::wire_cases::wire_cases;
use crate::codec::{Sender, Version};

/// What of the corpora there is at least; a test that finds less has not found them.
const LEAST: usize = 50;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// The inputs that fuzzing kept for a target.
pub(super) fn kept(target: &str) -> Vec<Vec<u8>> {
    let path = folder().join(target).with_extension("hex");
    let text = fs::read_to_string(&path).expect("a file for each target");
    text.lines().map(from_hex).collect()
}

fn from_hex(line: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("hexadecimal digits");
    (0..line.len()).step_by(2).map(digits).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// Runs seeds and corpus of a target. Says which input it was that failed.
fn replay(target: &str, check: fn(&[u8]), seeds: Vec<Vec<u8>>) {
    let kept = kept(target);
    assert!(kept.len() >= LEAST, "{} inputs for {target}", kept.len());
    for input in seeds.into_iter().chain(kept) {
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&input)));
        assert!(outcome.is_ok(), "{target} fails with {}", to_hex(&input));
    }
}

/// MQTT-4.13.1-1: whatever arrives is a packet or an error.
#[test]
fn decoder_keeps_its_promises_on_what_fuzzing_kept() {
    replay("packet", super::packet, packet_seeds());
}

/// MQTT-2.2.2-1, MQTT-3.3.2-18.
#[test]
fn properties_are_read_by_the_book_in_what_fuzzing_kept() {
    replay("properties", super::properties, properties_seeds());
}

/// MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.2-1, MQTT-4.8.2-1, AWS-MQTT-12.
#[test]
fn topics_match_by_the_book_in_what_fuzzing_kept() {
    replay("topics", super::topics, topics_seeds());
}

/// MQTT-3.1.2-24, MQTT-3.1.2-26, MQTT-2.2.1-3, MQTT-3.3.4-9, MQTT-4.13.2-1.
#[test]
fn broker_outlives_what_fuzzing_kept() {
    replay("connection", super::connection, connection_seeds());
}

/// MQTT-6.0.0-1, MQTT-6.0.0-2.
#[test]
fn frames_are_read_by_the_book_in_what_fuzzing_kept() {
    replay("frames", super::frames, frames_seeds());
}

/// AWS-ID-12, AWS-ID-13, AWS-ID-62.
#[cfg(feature = "aws")]
#[test]
fn policies_keep_their_promises_on_what_fuzzing_kept() {
    replay("policy", super::policy, policy_seeds());
}

/// For `fuzz/run`, which lets the fuzzer start from them.
#[test]
#[ignore = "writes seeds into the folders of fuzz/corpus"]
fn write_seeds() {
    for (target, seeds) in [
        ("packet", packet_seeds()),
        ("properties", properties_seeds()),
        ("topics", topics_seeds()),
        ("connection", connection_seeds()),
        ("frames", frames_seeds()),
        #[cfg(feature = "aws")]
        ("policy", policy_seeds()),
    ] {
        let folder = folder().join(target);
        fs::create_dir_all(&folder).expect("a folder for seeds");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:04}")), seed).expect("a seed written");
        }
    }
}

fn packet_seeds() -> Vec<Vec<u8>> {
    let seeds = wire_cases().iter().map(|case| {
        let choice = match (case.sender, case.version) {
            (Sender::Client, Version::V311) => 0,
            (Sender::Client, Version::V5) => 1,
            (Sender::Server, Version::V311) => 2,
            (Sender::Server, Version::V5) => 3,
        };
        [&[choice], case.bytes.as_slice()].concat()
    });
    seeds.collect()
}

/// One of each property.
pub(super) const PROPERTIES: [&[u8]; 27] = [
    b"\x01\x01",
    b"\x02\0\0\0\x0a",
    b"\x03\0\x01c",
    b"\x08\0\x01r",
    b"\x09\0\x02\xff\0",
    b"\x0b\x80\x01",
    b"\x11\0\0\0\x0a",
    b"\x12\0\x01i",
    b"\x13\0\x0a",
    b"\x15\0\x01m",
    b"\x16\0\x01\xff",
    b"\x17\0",
    b"\x18\0\0\0\x0a",
    b"\x19\x01",
    b"\x1a\0\x01i",
    b"\x1c\0\x01s",
    b"\x1f\0\x01r",
    b"\x21\0\x0a",
    b"\x22\0\x0a",
    b"\x23\0\x0a",
    b"\x24\x01",
    b"\x25\x01",
    b"\x26\0\x01n\0\x02\xc3\xa9",
    b"\x27\0\0\0\x0a",
    b"\x28\x01",
    b"\x29\x01",
    b"\x2a\x01",
];

/// Every property at every place.
fn properties_seeds() -> Vec<Vec<u8>> {
    let at_place = |place: u8| PROPERTIES.map(|property| [&[place], property].concat());
    (0..15).flat_map(at_place).collect()
}

fn topics_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "+a\n+a/+\n+a/#\n+#\n+/\n+/+\n?a\n?a/b\n?a/b/c\n?/\n?$SYS/x\n-a/#\n?a/b",
        "+$share/g/a/+\n+$share/g//\n+$SYS/#\n+$SYS/+\n-$share/g\n?$SYS/x\n?a/b\n?//",
        "=a\n=a/b\n=a/b/c\n=$SYS/a\n=/\n~a/b\n+a/#\n+#\n++\n++/b\n+$SYS/#",
        "+a-level-of-more-than-22-bytes/+\n?a-level-of-more-than-22-bytes/x\n+é/#\n?é/€\n+a#\n+a/+b",
    ];
    let seeds = texts
        .iter()
        .flat_map(|text| [0, 1].map(|choice| [&[choice], text.as_bytes()].concat()));
    seeds.collect()
}

/// A request to each policy, with a client of whom everything is known, nothing, or a bit.
#[cfg(feature = "aws")]
fn policy_seeds() -> Vec<Vec<u8>> {
    let resources = ["topic/a/b", "topicfilter/a/+", "client/a*", "thing/a", "*"];
    let seeds = POLICIES
        .iter()
        .enumerate()
        .flat_map(|(number, statements)| {
            let next = POLICIES[(number + 1) % POLICIES.len()];
            let documents = [*statements, next].map(|statements| {
                format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
            });
            let request = format!(
                "{}\0{}",
                resources[number % resources.len()],
                documents.join("\0")
            );
            [0x00, 0x7f, 0xff, 0x43]
                .map(|known| [&[number as u8, known], request.as_bytes()].concat())
        });
    seeds.collect()
}

/// Statements with each of the elements, operators and variables in one of them.
#[cfg(feature = "aws")]
const POLICIES: [&str; 8] = [
    r#"{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:*:*:client/${iot:ClientId}"}"#,
    r#"{"Sid":"a","Effect":"Deny","NotAction":["iot:Pub*","*"],"NotResource":"arn:aws:iot:us-east-1:*"}"#,
    r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"iot:ConnectAttributes":["LastWill"]},"Null":{"iot:Topic":true}}}"#,
    r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:iot:us-east-1:123456789012:t?pic/${iot:Thing.ThingName}/*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","::/0"]}}}"#,
    r#"{"Effect":"Deny","Action":"iot:*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-11-28T17:38:11Z"},"NumericGreaterThanEqualsIfExists":{"aws:EpochTime":7.5}}}"#,
    r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:iot:us-east-1:123456789012:*${*}","Condition":{"ArnLike":{"iot:LastWillTopic":"arn:aws:iot:*:*:topic/a*"},"Bool":{"iot:Connection.Thing.IsAttached":"true"}}}"#,
    r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringLike":{"iot:Certificate.Subject.CommonName.List":"a*"},"StringNotEqualsIgnoreCase":{"iot:Connection.Thing.Attributes[a]":"${iot:Certificate.Subject.CommonName.1}"}}}"#,
    r#"{"Effect":"Deny","Action":"*","Resource":"arn:aws:iot:${iot:DomainName}:*:topic/${aws:EpochTime}","Condition":{"NotIpAddress":{"aws:SourceIp":"${iot:ClientId}"},"NumericNotEquals":{"iot:CertificateId":1}}}"#,
];

/// Messages whole and in fragments, control frames between them, and ends of all kinds.
fn frames_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        b"\x00\x03\x82\x83\x01\x02\x03\x04abc\x89\x80\0\0\0\0".to_vec(),
        b"\x00\x00\x82\xfe\x00\x7e\0\0\0\0abc".to_vec(),
        b"\x00\xff\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0abc".to_vec(),
        b"\x01\x04\x01\x02ab\x04\x01p\x02\x01c\x03\x00\x05\x00\x06\x00".to_vec(),
        b"\x01\x09\x00\x7fabcdefgh\x00\xbfabcdefghijk".to_vec(),
        b"\x01\xff\x06\x05\x03\xe8\xc3\xa9x".to_vec(),
        b"\x01\xff\x06\x03\x03\xed\xff".to_vec(),
        b"\x02\x00\x09\xff\x10\x05\x03\x1f\xff\x01\xf8\x00\x10\x00".to_vec(),
    ];
    // Every first byte, and every length in the second.
    seeds.extend((0..=255).map(|byte| vec![0, 0, byte, 0x81, 1, 2, 3, 4, 0]));
    seeds.extend((0..=255).map(|byte| vec![0, 7, 0x82, byte, 0, 200, 0, 0, 0, 0, 1, 0, 0, 0]));
    seeds
}

/// Each packet of a client, after CONNECT and as the first; and some scripts.
fn connection_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let cases = wire_cases()
        .iter()
        .filter(|case| case.sender == Sender::Client);
    for case in cases.filter(|case| case.bytes.len() < 256) {
        let who = if case.version == Version::V5 { 0 } else { 0x04 };
        let send = [&[0x02, case.bytes.len() as u8], case.bytes.as_slice()].concat();
        seeds.push([&[0x00, 0x00, who, 0, 0], send.as_slice()].concat());
        seeds.push([&[0x00], send.as_slice()].concat());
    }
    seeds.extend(SCRIPTS.iter().map(|script| script.concat()));
    seeds
}

/// The configuration, then steps as `connection::script` reads them.
const SCRIPTS: [&[&[u8]]; 6] = [
    // Two members and a plain subscriber; messages of all QoS; one member leaves before it acknowledges.
    &[
        &[0x00],
        &[0x00, 0x08, 0, 0x02, 0x10, 0x09, 0, 0x02, 0x20, 0x0a, 0, 0],
        &[0x06, 0x99, 0x02, 0x16, 0x99, 0x04, 0x26, 0x11, 0x04],
        &[
            0x24, 0x00, 0x00, 0x30, 1, 0x24, 0x01, 0x00, 0x31, 1, 0x24, 0x02, 0x00, 0x31, 1,
        ],
        &[0x09, 0x1b, 0x00, 0x09, 0x0d, 0x03],
    ],
    // Retained messages, a will, keep-alive, and a session that is resumed in the other version.
    &[
        &[0x00],
        &[
            0x00, 0x59, 0x29, 0x01, 0x04, 0x11, 0x00, 0x01, 2, 0x10, 0x0a, 0, 0,
        ],
        &[
            0x16, 0x33, 0x84, 0x0d, 0x02, 0x00, 0x01, 0, 0x02, 0x00, 0x05, 0, 0x02, 0x09,
        ],
    ],
    // Tight bounds, a client that does not read, and a takeover.
    &[
        &[0x22],
        &[
            0x00, 0x88, 0, 0x06, 0x06, 0x33, 0x04, 0x0a, 0x10, 0x09, 0, 0,
        ],
        &[
            0x14, 0x01, 0x00, 0xf1, 200, 0x14, 0x01, 0x00, 0xf1, 200, 0x14, 0x00, 0x00, 0xf1, 200,
        ],
        &[0x20, 0x00, 0, 0x06, 0x09, 0x0d, 0x03],
    ],
    // The service, with users and rates.
    &[
        &[0x0d],
        &[0x00, 0x28, 0, 0, 0x06, 0x22, 0x02, 0x10, 0x09, 0, 0],
        &[
            0x04, 0x01, 0x00, 0xf1, 20, 0x0d, 0x02, 0x0c, 0x8e, 0x0e, 0x00,
        ],
    ],
    // Answers whose Reason String does not fit into 20 bytes.
    &[
        &[0x00],
        &[0x00, 0x08, 0, 0x10, 0x06, 0xee, 0x00, 0x06, 0xff, 0x02],
        &[0x0c, 0x98, 0x00, 0x08, 0, 0x10, 0x04, 0x01, 0x06, 0x11, 1],
    ],
    // Aliases both ways, a Maximum Packet Size, an operator.
    &[
        &[0x90],
        &[
            0x00, 0x08, 0, 0xa4, 0x06, 0x13, 0x8a, 0x04, 0x01, 0x18, 0x11, 1, 0x04, 0x01, 0x1f,
            0x12, 1,
        ],
        &[
            0x08, 0x00, 0x01, 0x08, 0x01, 0x02, 0x0d, 0x02, 0x0f, 0x0c, 0x98, 0x07, 0x03, 0x0e,
            0x0a,
        ],
    ],
];
