//! The hand-written cases in `tests/wire_cases`. Its `README.md` explains the format.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::super::{
    ConnectError, Frame, MAX_PACKET_SIZE, Packet, PacketType, Sender, Split, Version, connect,
    decode_from, split,
};
use super::summary::summary;

/// One line of a file.
pub(crate) struct WireCase {
    /// File and name, for failures.
    pub(super) name: String,
    pub(crate) sender: Sender,
    pub(crate) version: Version,
    pub(crate) bytes: Vec<u8>,
    expected: String,
}

impl WireCase {
    pub(super) fn is_valid(&self) -> bool {
        !self.expected.starts_with("error") && !self.expected.starts_with("partial")
    }

    fn parse(file: &str, line: &str) -> Self {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, version, bytes, expected] = fields[..] else {
            panic!("{file}: not four fields: {line}");
        };
        let sender = match version.ends_with('s') {
            true => Sender::Server,
            false => Sender::Client,
        };
        let version = match version.trim_end_matches('s') {
            "4" => Version::V311,
            "5" => Version::V5,
            other => panic!("{file}: {name}: version {other}"),
        };
        Self {
            name: format!("{file}: {name}"),
            sender,
            version,
            bytes: parse_bytes(bytes),
            expected: expected.into(),
        }
    }
}

/// Hexadecimal bytes and texts in single quotes.
fn parse_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, part) in text.split('\'').enumerate() {
        match at % 2 {
            0 => bytes.extend(part.split_whitespace().map(|byte| {
                u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("no byte: {byte}"))
            })),
            _ => bytes.extend_from_slice(part.as_bytes()),
        }
    }
    bytes
}

/// All cases of all files.
pub(crate) fn wire_cases() -> &'static [WireCase] {
    static CASES: LazyLock<Vec<WireCase>> = LazyLock::new(read_wire_cases);
    &CASES
}

fn read_wire_cases() -> Vec<WireCase> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire_cases");
    let mut cases = Vec::new();
    for entry in fs::read_dir(&dir).expect("the directory of wire cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let file = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(&path).expect("a readable file");
            let lines = text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            cases.extend(lines.map(|line| WireCase::parse(&file, line)));
        }
    }
    cases
}

/// Splits and decodes as the broker does: a CONNECT by itself, everything else by version.
fn outcome(case: &WireCase) -> String {
    let frame = match split(&case.bytes, MAX_PACKET_SIZE) {
        Ok(Split::Frame(frame)) => frame,
        Ok(Split::Partial { needed }) => return format!("partial needed={needed}"),
        Err(error) => return format!("error {:02x} {error}", error.reason() as u8),
    };
    assert_eq!(
        frame.len,
        case.bytes.len(),
        "{}: bytes behind the packet",
        case.name
    );
    if frame.packet_type == PacketType::Connect {
        return connect_outcome(case, &frame);
    }
    match decode_from(case.sender, &frame, case.version) {
        Ok(packet) => summary(&packet),
        Err(error) => format!("error {:02x} {error}", error.reason() as u8),
    }
}

fn connect_outcome(case: &WireCase, frame: &Frame<'_>) -> String {
    match connect::decode(frame) {
        Ok(connect) => summary(&Packet::Connect(Box::new(connect))),
        Err(ConnectError::UnsupportedVersion { name_ok, level }) => {
            format!("error unsupported name_ok={name_ok} level={level}")
        }
        Err(error @ ConnectError::Invalid { version: None, .. }) => {
            format!("error unversioned {:02x} {error}", error.reason() as u8)
        }
        Err(error) => {
            assert_eq!(error.version(), Some(case.version), "{}", case.name);
            format!("error {:02x} {error}", error.reason() as u8)
        }
    }
}

#[test]
fn every_wire_case_decodes_as_expected() {
    let cases = wire_cases();
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .map(|case| (case, outcome(case)))
        .filter(|(case, outcome)| *outcome != case.expected)
        .map(|(case, got)| {
            format!(
                "{}\n  expected {}\n  got      {got}\n",
                case.name, case.expected
            )
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.concat());
}

#[test]
fn names_of_wire_cases_are_unique() {
    let mut names: Vec<String> = wire_cases().iter().map(|case| case.name.clone()).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn every_cut_off_wire_case_is_partial() {
    for case in wire_cases().iter().filter(|case| case.is_valid()) {
        for end in 0..case.bytes.len() {
            let split = split(&case.bytes[..end], MAX_PACKET_SIZE);
            let Ok(Split::Partial { needed }) = split else {
                panic!("{} cut at {end}: {split:?}", case.name);
            };
            assert!(
                end < needed && needed <= case.bytes.len(),
                "{} at {end}",
                case.name
            );
        }
    }
}

/// Shortens the body of every valid case byte by byte, with a Remaining Length that says so.
#[test]
fn every_shortened_wire_case_is_refused_or_a_shorter_form() {
    for case in wire_cases().iter().filter(|case| case.is_valid()) {
        let Ok(Split::Frame(frame)) = split(&case.bytes, MAX_PACKET_SIZE) else {
            panic!("{}: no frame", case.name);
        };
        for end in 0..frame.body.len() {
            let short = Frame {
                body: &frame.body[..end],
                ..frame
            };
            if let Ok(packet) = decode_from(case.sender, &short, case.version) {
                assert!(
                    is_shorter_form(&packet, &short, case),
                    "{} cut to {end}",
                    case.name
                );
            }
        }
    }
}

/// Whether `packet`, decoded from the first bytes of a case, is valid because the standard lets
/// this packet end there.
fn is_shorter_form(packet: &Packet<'_>, short: &Frame<'_>, case: &WireCase) -> bool {
    let end = short.body.len();
    match packet {
        // Cut within the payload, which is whatever is left.
        Packet::Publish(_) => case.expected.starts_with(summary(packet).as_str()),
        // Cut between two filters or reason codes.
        Packet::Subscribe(subscribe) => subscribe.filters().count() == 1,
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters().count() == 1,
        Packet::Suback(suback) => suback.reasons.len() < 4,
        Packet::Unsuback(unsuback) => unsuback.reasons.len() < 2,
        Packet::Puback(_) | Packet::Pubrec(_) | Packet::Pubrel(_) | Packet::Pubcomp(_) => {
            case.version == Version::V5 && (end == 2 || end == 3)
        }
        Packet::Disconnect(_) => end < 2,
        Packet::Auth(_) => end == 0,
        Packet::Connect(_) | Packet::Connack(_) | Packet::Pingreq | Packet::Pingresp => false,
    }
}
