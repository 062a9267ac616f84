//! What stands on standard error, whatever peers send.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::broker::Broker;
use super::mqtt::{connect, packet, string};
use super::{PLAIN_MQTT, roundel, run};

/// Ends of lines, quotes, an escape sequence, both kinds of hidden marks, and a line of the log.
/// CONNECT may not carry control characters below U+0020 and U+007F to U+009F everywhere; what it
/// does to them is the codec's business, and what arrives is the log's.
const HOSTILE: &str =
    "x\" y=z \u{202e}\u{2028}2026-01-01T00:00:00.000000Z  INFO connected client_id=\"admin\"";

/// The lines that a broker logs while hostile clients come and go.
fn logged(format: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = roundel(folder.path(), &["serve", "--ready", "json"]);
    command.args(["--profile", "standard", "--http-port", "off"]);
    command.args(["--mqtts-port", "off", "--mqtt-port", "0"]);
    command.args(["--log", "trace", "--log-format", format]);
    let broker = Broker::spawn(command.stderr(File::create(&log).unwrap()));
    let address = broker.address("mqtt");
    let raw = |bytes: &[u8]| {
        let mut client = TcpStream::connect(address).unwrap();
        let limit = Some(Duration::from_secs(10));
        client.set_read_timeout(limit).unwrap();
        client.write_all(bytes).unwrap();
        let _ = client.read(&mut [0; 512]); // an answer, or the end
        client
    };
    for id in [HOSTILE, "a\nb", "\u{1b}[2J", &"ä".repeat(32_767)] {
        raw(&connect(5, id));
        raw(&connect(4, id));
        // A user name, and no password.
        let body = [&b"\0\x04MQTT\x04\x82\0\0"[..], &string(id), &string(id)].concat();
        raw(&packet(0x10, &body));
    }
    // Topics: refused ones, and a filter that is none.
    let mut client = raw(&connect(5, "author"));
    for topic in [HOSTILE, "a/#\n"] {
        let _ = client.write_all(&packet(0x30, &[&string(topic)[..], b"\0"].concat()));
    }
    let mut client = raw(&connect(5, "reader"));
    let filter = string(&format!("#/{HOSTILE}"));
    let _ = client.write_all(&packet(0x82, &[b"\0\x01\0", &filter[..], b"\0"].concat()));
    let _ = client.read(&mut [0; 512]);
    raw(b"GET / HTTP/1.1\r\nHost: \"x\"\r\n\r\n");
    broker.signal("-TERM");
    assert_eq!(broker.wait().code(), Some(0));
    fs::read_to_string(log).unwrap()
}

#[track_caller]
fn assert_clean(line: &str) {
    let is_clean = |c: char| !c.is_control() && !"\u{202e}\u{2028}\u{2066}".contains(c);
    assert!(line.chars().all(is_clean), "{line:?}");
    assert!(line.len() < 8_000, "{} bytes", line.len());
}

/// Reads a line of text back: its message and its pairs.
fn parsed(line: &str) -> (String, Vec<(String, String)>) {
    let rest = &line[27..];
    let is_time = line[..27].ends_with('Z') && line.as_bytes()[10] == b'T';
    assert!(is_time, "{line}");
    let rest = rest.trim_start();
    let (level, rest) = rest.split_once(' ').unwrap();
    assert!(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level));
    let (message, mut rest) = if rest.starts_with('"') {
        quoted(rest)
    } else {
        let end = rest.find('=').map_or(rest.len(), |at| {
            rest[..at].rfind(' ').expect("a message before the pairs")
        });
        (rest[..end].to_owned(), &rest[end..])
    };
    let mut pairs = Vec::new();
    while let Some(pair) = rest.strip_prefix(' ') {
        let (key, value) = pair.split_once('=').unwrap();
        assert!(
            key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "{line}"
        );
        let value = if value.starts_with('"') {
            let (value, after) = quoted(value);
            rest = after;
            value
        } else {
            let end = value.find(' ').unwrap_or(value.len());
            rest = &value[end..];
            value[..end].to_owned()
        };
        pairs.push((key.to_owned(), value));
    }
    assert_eq!(rest, "", "{line}");
    (message, pairs)
}

fn quoted(text: &str) -> (String, &str) {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = values.next().unwrap().unwrap();
    let end = values.byte_offset();
    (value, &text[end..])
}

#[test]
fn lines_of_text_read_back_whatever_peers_send() {
    let log = logged("text");
    let mut ids = Vec::new();
    for line in log.lines() {
        assert_clean(line);
        let (message, pairs) = parsed(line);
        if message == "connected" {
            let id = pairs.into_iter().find(|(key, _)| key == "client_id");
            ids.push(id.unwrap().1);
        }
    }
    assert!(ids.iter().any(|id| id == HOSTILE), "{ids:?}");
    assert!(ids.iter().any(|id| id.ends_with("… (65534 bytes)")));
    assert!(!ids.iter().any(|id| id == "admin"), "{ids:?}");
}

#[test]
fn lines_of_json_read_back_whatever_peers_send() {
    let log = logged("json");
    let mut ids = Vec::new();
    for line in log.lines() {
        assert_clean(line);
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["timestamp"].is_string() && event["level"].is_string());
        if event["fields"]["message"] == "connected" {
            ids.push(event["fields"]["client_id"].as_str().unwrap().to_owned());
        }
    }
    assert!(ids.iter().any(|id| id == HOSTILE), "{ids:?}");
    assert!(!ids.iter().any(|id| id == "admin"), "{ids:?}");
}

#[test]
fn closure_names_its_rule_in_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = roundel(folder.path(), &["serve", "--ready", "json"]);
    command.args(["--profile", "standard", "--http-port", "off"]);
    command.args(["--mqtts-port", "off", "--mqtt-port", "0"]);
    let broker = Broker::spawn(command.stderr(File::create(&log).unwrap()));
    for level in [4, 5] {
        let mut client = TcpStream::connect(broker.address("mqtt")).unwrap();
        let limit = Some(Duration::from_secs(10));
        client.set_read_timeout(limit).unwrap();
        let bad = packet(0x30, &[&string("a/#")[..], b"\0"].concat());
        client
            .write_all(&[connect(level, "c"), bad].concat())
            .unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
    }
    broker.signal("-TERM");
    assert_eq!(broker.wait().code(), Some(0));
    let text = fs::read_to_string(log).unwrap();
    for protocol in ["protocol=4", "protocol=5"] {
        let line = text
            .lines()
            .find(|line| line.contains(" disconnected ") && line.contains(protocol))
            .unwrap();
        assert!(line.contains(" by=broker rule=MQTT-3.3.2-2 "), "{line}");
    }
}

#[test]
fn variable_of_other_programs_is_not_looked_at_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, is_said) in [(&[][..], true), (&["--log", "info"][..], false)] {
        let mut command = roundel(folder.path(), &["serve", "--die-with-parent"]);
        command.args(PLAIN_MQTT).args(["--http-port", "off"]);
        let outcome = super::finish(command.args(flags).env("RUST_LOG", "my_tests=debug"));
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        assert_eq!(
            outcome.stderr.contains("RUST_LOG is not looked at"),
            is_said
        );
        assert!(outcome.stderr.contains("stopping"), "{}", outcome.stderr);
    }
}

#[test]
fn a_word_that_is_no_filter_is_named_by_who_gave_it() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["--log", "bananas"]).assert_failed(2, &["--log: ", "`bananas`", "info"]);
    let mut command = roundel(folder.path(), &[]);
    super::finish(command.env("ROUNDEL_LOG", "inf")).assert_failed(2, &["ROUNDEL_LOG: ", "`inf`"]);
    fs::write(folder.path().join("r.toml"), "\nlog = 'bananas'").unwrap();
    let line = ["check-config", "r.toml"];
    run(folder.path(), &line).assert_failed(2, &["r.toml:2: `log`: ", "`bananas`"]);
    let line = ["--log-format", "xml"];
    run(folder.path(), &line).assert_failed(2, &["--log-format: ", "`xml`", "json"]);
}
