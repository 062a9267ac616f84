//! mqload: drives an MQTT broker on 127.0.0.1 and prints one JSON line per run.

mod args;
mod churn;
mod codec;
mod connects;
mod engine;
mod net;
mod procfs;
mod relay;
mod report;
mod scenarios;
mod sessions;
mod setup;
mod sharedrop;

use args::{Args, die};
use report::Json;

const USAGE: &str = "usage: mqload SCENARIO [--key value ...]
scenarios: fanin fanout pairs share latency connect idle wild retained offline sharedrop
           startup relay limit        (README.md lists the keys)";

fn main() {
    let mut words = std::env::args().skip(1);
    let Some(kind) = words.next() else { die(USAGE) };
    let a = Args::parse(words);
    if kind == "relay" {
        relay::serve(&a);
    }
    let mut j = Json::default();
    j.str("scenario", &kind);
    if let Some(tag) = a.opt("tag") {
        j.str("tag", tag);
    }
    if let Some(tls) = a.opt("ca").map(|_| a.opt("tls").unwrap_or("1.3")) {
        j.str("tls", tls);
    }
    j.int("mqtt", a.get("mqtt", 5u64));
    match kind.as_str() {
        "limit" => limit(&a),
        "fanin" | "fanout" | "pairs" | "share" => scenarios::steady(&kind, &a, &mut j),
        "latency" => {
            if a.opt("rate").is_none() {
                die("latency needs --rate");
            }
            scenarios::steady(a.opt("pattern").unwrap_or("pairs"), &a, &mut j)
        }
        "wild" => scenarios::wild(&a, &mut j),
        "connect" => connects::connect(&a, &mut j),
        "idle" => connects::idle(&a, &mut j),
        "startup" => connects::startup(&a, &mut j),
        "retained" => sessions::retained(&a, &mut j),
        "offline" => sessions::offline(&a, &mut j),
        "sharedrop" => sharedrop::run(&a, &mut j),
        _ => die(USAGE),
    }
    j.print();
}

/// Starts the relay and runs the scenario named by `--of` (default fanin) against it.
fn limit(a: &Args) -> ! {
    let exe = std::env::current_exe().expect("own path");
    let port = a.opt("port").unwrap_or("18999");
    let mut relay = std::process::Command::new(&exe)
        .args(["relay", "--port", port])
        .spawn()
        .expect("relay");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let pid = relay.id().to_string();
    let skip = ["--of", "--port", "--tag", "--broker-pid"];
    let mut rest = Vec::new();
    let mut it = std::env::args().skip(2).peekable();
    while let Some(w) = it.next() {
        if skip.contains(&w.as_str()) {
            it.next();
        } else {
            rest.push(w);
        }
    }
    let status = std::process::Command::new(&exe)
        .args([
            a.opt("of").unwrap_or("fanin"),
            "--port",
            port,
            "--tag",
            "limit",
            "--broker-pid",
            &pid,
        ])
        .args(rest)
        .status();
    let _ = relay.kill();
    let _ = relay.wait();
    std::process::exit(status.ok().and_then(|s| s.code()).unwrap_or(1));
}
