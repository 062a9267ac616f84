//! Throughput and latency scenarios: who publishes where, and who listens.

use crate::args::{Args, die};
use crate::churn::Churn;
use crate::codec::Template;
use crate::engine::{Check, Engine, Pub, Sub};
use crate::net::Net;
use crate::procfs::usage;
use crate::report::Json;
use crate::setup::{Client, bring_up};

pub fn steady(kind: &str, a: &Args, j: &mut Json) {
    let t = a.target();
    let qos = a.get("qos", 0u8);
    let payload = a.get("size", 64usize);
    let groups = a.get("groups", 1usize);
    let members = a.get("members", 4usize);
    let (p, s) = match kind {
        "fanout" => (1, a.get("subs", 100usize)),
        "share" => (a.get("pubs", 1usize), groups * members),
        "fanin" => (a.get("pubs", 10usize), a.get("subs", 1usize)),
        _ => {
            let n = a.get("pairs", 10usize);
            (n, n)
        }
    };
    j.int("pubs", p as u64)
        .int("subs", s as u64)
        .int("qos", qos as u64)
        .int("size", payload as u64);
    if kind == "share" {
        j.int("groups", groups as u64);
    }
    let topics = match kind {
        "fanin" => a.get("topics", 1usize).max(1),
        _ => 1,
    };
    let mut net = Net::new();
    let clients = (0..s)
        .map(|i| {
            let f = match kind {
                "fanout" => "bench/fo".to_string(),
                "share" => format!("$share/g{}-{}/bench/sh", i % groups, std::process::id()),
                "fanin" => format!("bench/fi/{i}/+"),
                _ => format!("bench/pair/{i}"),
            };
            Client::subscribing(&t, &format!("s{i}"), &[f], qos)
        })
        .collect();
    let subs_up = bring_up(&mut net, &t, a, clients);
    let pubs_up = bring_up(
        &mut net,
        &t,
        a,
        (0..p).map(|i| Client::new(&t, &format!("p{i}"))).collect(),
    );
    let pubs = (0..p)
        .map(|i| {
            let topic = |n: usize| match kind {
                "fanout" => "bench/fo".to_string(),
                "share" => "bench/sh".to_string(),
                "fanin" if topics > 1 => format!("bench/fi/{}/{i}-{n}", i % s),
                "fanin" => format!("bench/fi/{}/{i}", i % s),
                _ => format!("bench/pair/{i}"),
            };
            let templates =
                (0..topics).map(|n| Template::new(t.v5, &topic(n), qos, false, payload));
            Pub::new(pubs_up.first + i, templates.collect())
        })
        .collect();
    let subs = (0..s)
        .map(|i| {
            Sub::new(
                if kind == "share" {
                    Check::Group(i % groups)
                } else {
                    Check::Every
                },
                p,
            )
        })
        .collect();
    let (fan, ng) = match kind {
        "fanout" => (s, 0),
        "share" => (groups, groups),
        _ => (1, 0),
    };
    let mut e = Engine::new(subs, pubs, ng, fan as u64, qos, subs_up.first);
    e.inflight_max = a.get("inflight", 100u32).min(pubs_up.receive_max as u32);
    e.churn = Churn::start(&mut net, &t, a);
    e.run(&mut net, a, j);
}

/// Many filters; every publish matches exactly one of them.
pub fn wild(a: &Args, j: &mut Json) {
    let t = a.target();
    let filters = a.get("filters", 100_000usize);
    let conns = a.get("conns", 100usize);
    let per_packet = a.get("per-packet", 20usize);
    let p = a.get("pubs", 10usize);
    let qos = a.get("qos", 0u8);
    let pid = a.get("broker-pid", 0i32);
    let filter = |d: usize| match d % 10 {
        0 => format!("dev/{d}/+/b/state"),
        1 => format!("dev/{d}/#"),
        2 => format!("+/{d}/a/b/state"),
        _ => format!("dev/{d}/a/b/state"),
    };
    let mut net = Net::new();
    let before = usage(pid);
    let clients = (0..conns)
        .map(|c| {
            let mine: Vec<String> = (c..filters).step_by(conns).map(filter).collect();
            let mut cl = Client::new(&t, &format!("s{c}"));
            for (i, chunk) in mine.chunks(per_packet).enumerate() {
                cl.subscribe.push_back(crate::codec::subscribe(
                    t.v5,
                    (i % 65000) as u16 + 1,
                    chunk,
                    qos,
                ));
            }
            cl
        })
        .collect();
    let up = bring_up(&mut net, &t, a, clients);
    let after = usage(pid);
    j.int("filters", filters as u64).int("conns", conns as u64);
    j.num("subscribe_secs", up.secs)
        .num("subscribe_rate", filters as f64 / up.secs);
    j.num("subscribe_cpu_s", after.cpu_s - before.cpu_s);
    j.num(
        "bytes_per_filter",
        (after.rss as f64 - before.rss as f64) / filters as f64,
    );
    let pubs_up = bring_up(
        &mut net,
        &t,
        a,
        (0..p).map(|i| Client::new(&t, &format!("p{i}"))).collect(),
    );
    let mut x = 12345u64;
    let pubs = (0..p)
        .map(|i| {
            let ts = (0..4096)
                .map(|_| {
                    x = x
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    let d = (x >> 33) as usize % filters;
                    Template::new(
                        t.v5,
                        &format!("dev/{d}/a/b/state"),
                        qos,
                        false,
                        a.get("size", 64),
                    )
                })
                .collect();
            Pub::new(pubs_up.first + i, ts)
        })
        .collect();
    let subs = (0..conns).map(|_| Sub::new(Check::Group(0), p)).collect();
    let mut e = Engine::new(subs, pubs, 1, 1, qos, up.first);
    e.inflight_max = a.get("inflight", 100u32).min(pubs_up.receive_max as u32);
    e.churn = Churn::start(&mut net, &t, a);
    if a.get("secs", 3.0f64) <= 0.0 {
        die("--secs must be positive");
    }
    e.run(&mut net, a, j);
}
