//! Packet rules at random: every action, for any packets.

use fastrand::Rng;
use serde_json::{Value, json};

use super::fleet::NAMES;

/// Every action, as `do` has it.
pub(super) const ACTIONS: [&str; 15] = [
    "hold",
    "drop",
    "delay",
    "duplicate",
    "reorder",
    "corrupt",
    "truncate",
    "replace",
    "inject",
    "answer",
    "close",
    "reset",
    "half_close",
    "stop_reading",
    "mute_pings",
];

const TYPES: [&str; 14] = [
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBLISH",
    "PUBLISH",
    "PUBACK",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "PINGREQ",
    "PINGRESP",
];

fn pick<'a>(dice: &mut Rng, all: &[&'a str]) -> &'a str {
    all[dice.usize(..all.len())]
}

fn is_so(dice: &mut Rng, percent: u32) -> bool {
    dice.u32(..100) < percent
}

/// A rule. Its name has its number, its action, and when it ends a connection: the ledger reads that.
pub(super) fn rule(dice: &mut Rng, number: u64) -> Value {
    let action = pick(dice, &ACTIONS);
    let mut rule = json!({ "do": action });
    let mut name = format!("{number}.{action}");
    let mut packet_type = pick(dice, &TYPES);
    let mut matches = json!({});
    match action {
        "mute_pings" => packet_type = "",
        "answer" => {
            packet_type = pick(
                dice,
                &[
                    "PUBLISH",
                    "PUBLISH",
                    "SUBSCRIBE",
                    "PINGREQ",
                    "CONNECT",
                    "PUBREL",
                ],
            );
            matches["direction"] = json!("in");
        }
        _ if is_so(dice, 10) => packet_type = "",
        _ => {}
    }
    if !packet_type.is_empty() {
        matches["type"] = json!(packet_type);
    } else if action != "mute_pings" && is_so(dice, 60) {
        matches["direction"] = json!(pick(dice, &["in", "out"]));
    }
    if packet_type == "PUBLISH" && action != "answer" && is_so(dice, 70) {
        matches["direction"] = json!(pick(dice, &["in", "out", "out"]));
    }
    if packet_type == "PUBLISH" && is_so(dice, 25) {
        matches["qos"] = json!(dice.u8(..3));
    }
    if packet_type == "PUBLISH" && is_so(dice, 10) {
        matches["dup"] = json!(dice.bool());
    }
    if is_so(dice, 40) {
        matches["client"] = match dice.u8(..3) {
            0 => json!(pick(dice, &NAMES)),
            1 => json!(pick(
                dice,
                &["paho-*", "awscrt-?", "mqttjs-*", "rumqttc-?", "mosquitto-*"]
            )),
            _ => json!(pick(dice, &["*-0", "*-1"])),
        };
    }
    if is_so(dice, 20) && packet_type.starts_with("PUB") {
        matches["topic"] = json!(pick(dice, &["p/#", "ga/#", "gb/#", "p/1", "+/2"]));
    }
    match dice.u8(..6) {
        0 => matches["nth"] = json!(dice.u8(1..6)),
        1 => matches["every"] = json!(dice.u8(1..5)),
        2 => {
            matches["probability"] = json!(f64::from(dice.u8(1..10)) / 10.0);
            rule["seed"] = json!(dice.u32(..));
        }
        _ => {}
    }
    if is_so(dice, 10) {
        matches["listener"] = json!("mqtt");
    }
    rule["match"] = matches;
    rule["times"] = json!(dice.u8(1..4));
    if is_so(dice, 20) {
        rule["expires_after_seconds"] = json!(f64::from(dice.u8(1..20)) / 10.0);
    }
    match action {
        "delay" => rule["delay_seconds"] = json!(f64::from(dice.u8(..20)) / 20.0),
        "corrupt" => {
            rule["offset"] = json!(dice.u8(..30));
            // No letter becomes a control character: a topic may have those, and mosquitto closes at each such message,
            // again and again (section 1.5.4 lets it).
            let bits = dice.u8(1..) & !0x60;
            rule["bits"] = json!(bits.max(1));
        }
        "truncate" => rule["length"] = json!(dice.u8(..20)),
        "replace" => rule["set"] = changes(dice, packet_type, number),
        "inject" => {
            if is_so(dice, 15) {
                let bytes: Vec<u8> = (0..dice.usize(1..6)).map(|_| dice.u8(..)).collect();
                rule["packet_base64"] = json!(base64(&bytes));
            } else {
                rule["packet"] = packet(dice, number);
            }
            rule["when"] = json!(pick(dice, &["before", "after"]));
        }
        "answer" => rule["packet"] = answer(dice, packet_type),
        "close" | "reset" | "half_close" => {
            let when = pick(dice, &["before", "after"]);
            rule["when"] = json!(when);
            name = format!("{name}.{when}");
        }
        _ => {}
    }
    rule["name"] = json!(name);
    rule
}

fn changes(dice: &mut Rng, packet_type: &str, number: u64) -> Value {
    match packet_type {
        "CONNACK" => match dice.u8(..8) {
            0 => json!({ "reason": dice.choice([136, 137, 151]) }),
            1 => json!({ "session_present": dice.bool() }),
            2 => json!({ "properties": { "receive_maximum": dice.u8(1..4) } }),
            3 => json!({ "properties": { "server_keep_alive": dice.u8(1..4) } }),
            4 => json!({ "properties": { "maximum_packet_size": dice.u8(40..) } }),
            5 => json!({ "properties": { "topic_alias_maximum": 5 } }),
            6 => json!({ "properties": { "maximum_qos": dice.u8(..2) } }),
            _ => json!({ "properties": { "retain_available": 0, "user_property": [["a", "b"]] } }),
        },
        "PUBLISH" => match dice.u8(..6) {
            0 => json!({ "packet_id": dice.u8(1..40) }),
            1 => json!({ "qos": dice.u8(..4) }),
            2 => json!({ "dup": true }),
            3 => json!({ "topic": "p/replaced" }),
            4 => json!({ "payload": format!("replaced-{number}") }),
            _ => json!({ "retain": true, "properties": { "user_property": [["a", "b"]] } }),
        },
        "SUBACK" => json!({ "reason": dice.choice([0, 1, 128, 135, 151]) }),
        _ => match dice.u8(..3) {
            0 => json!({ "packet_id": dice.u8(..40) }),
            _ => json!({ "reason": dice.choice([0, 16, 128, 135, 146, 151]) }),
        },
    }
}

/// A packet out of nowhere.
pub(super) fn packet(dice: &mut Rng, number: u64) -> Value {
    let id = dice.u8(1..40);
    match dice.u8(..8) {
        0 => json!({ "type": "PUBACK", "packet_id": id }),
        1 => json!({ "type": "PUBREC", "packet_id": id }),
        2 => json!({ "type": "PUBREL", "packet_id": id }),
        3 => json!({ "type": "PUBCOMP", "packet_id": id }),
        4 => json!({ "type": pick(dice, &["PINGREQ", "PINGRESP"]) }),
        5 => json!({ "type": "DISCONNECT", "reason": dice.choice([0, 129, 139, 141, 152]) }),
        _ => {
            let qos = dice.u8(..3);
            let id = (qos > 0).then_some(id);
            let text = format!("injected-{number}-{}", dice.u32(..));
            json!({ "type": "PUBLISH", "topic": "p/injected", "payload": text, "qos": qos, "packet_id": id })
        }
    }
}

fn answer(dice: &mut Rng, packet_type: &str) -> Value {
    match packet_type {
        "CONNECT" => json!({ "type": "CONNACK", "reason": dice.choice([0, 136, 137]) }),
        "SUBSCRIBE" => json!({ "type": "SUBACK", "reasons": [0, 0, 0, 0] }),
        "PINGREQ" => json!({ "type": "PINGRESP" }),
        "PUBREL" => json!({ "type": "PUBCOMP" }),
        _ => {
            let reason = dice.choice([0, 0, 16, 135, 151]);
            json!({ "type": pick(dice, &["PUBACK", "PUBREC"]), "reason": reason })
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let mut bits = 0;
        for at in 0..3 {
            bits = bits << 8 | u32::from(part.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= part.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}
