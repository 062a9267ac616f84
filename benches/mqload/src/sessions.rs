//! Retained messages and queues for offline sessions.

use crate::args::Args;
use crate::codec::{self, Packet, Template};
use crate::net::{Close, Conn, Handler, Net};
use crate::procfs::{now_ns, usage};
use crate::report::Json;
use crate::setup::{Client, bring_up};
use std::collections::VecDeque;

/// Publishes with acknowledgements, and separately counts what arrives.
struct Flow {
    qos: u8,
    acked: u64,
    inflight: Vec<u32>,
    base: usize,
    seen: Vec<bool>,
    got: u64,
    dup: u64,
    sessions: u64,
    connacks: u64,
    errors: u64,
    last: u64,
}

impl Flow {
    fn new(qos: u8, n: usize) -> Self {
        Flow {
            qos,
            acked: 0,
            inflight: Vec::new(),
            base: 0,
            seen: vec![false; n],
            got: 0,
            dup: 0,
            sessions: 0,
            connacks: 0,
            errors: 0,
            last: now_ns(),
        }
    }

    /// Publishes templates 0..n in turn over `pubs` connections; sequence i carries id i.
    fn publish(
        &mut self,
        net: &mut Net,
        a: &Args,
        first: usize,
        pubs: usize,
        tmpl: impl Fn(usize) -> Template,
        n: usize,
    ) {
        let max = a.get("inflight", 100u32);
        self.base = first;
        self.inflight = vec![0; pubs];
        let mut pid = vec![0u16; pubs];
        let mut i = 0;
        self.last = now_ns();
        while i < n || (self.qos > 0 && self.acked + self.errors < n as u64) {
            for (k, pid) in pid.iter_mut().enumerate() {
                let c = &mut net.conns[first + k];
                if !c.idle() {
                    continue;
                }
                while i < n && self.inflight[k] < max && c.out.len() < 64 * 1024 {
                    *pid = if *pid == u16::MAX { 1 } else { *pid + 1 };
                    tmpl(i).emit(&mut c.out, *pid, 0, i as u32, 0);
                    self.inflight[k] += (self.qos > 0) as u32;
                    i += 1;
                }
                net.flush(first + k);
            }
            net.poll(10_000_000, self);
            if now_ns() - self.last > 10_000_000_000 {
                self.errors += 1;
                return;
            }
        }
    }

    /// Waits until `n` have arrived, or `quiet` ns pass without one.
    fn drain(&mut self, net: &mut Net, n: u64, quiet: u64) {
        self.last = now_ns();
        while self.got < n && now_ns() - self.last < quiet {
            net.poll(50_000_000, self);
        }
    }
}

impl Handler for Flow {
    fn packet(&mut self, c: &mut Conn, id: usize, p: Packet<'_>, now: u64) {
        match p {
            Packet::Publish(p) => {
                match p.qos {
                    0 => {}
                    1 => codec::ack(&mut c.out, codec::PUBACK, p.pid),
                    _ => codec::ack(&mut c.out, codec::PUBREC, p.pid),
                }
                self.last = now;
                match p.head().and_then(|h| self.seen.get_mut(h.1 as usize)) {
                    Some(s) if *s => self.dup += 1,
                    Some(s) => {
                        *s = true;
                        self.got += 1;
                    }
                    None => self.errors += 1,
                }
            }
            Packet::Puback { code, .. } => {
                self.last = now;
                if code >= 0x80 {
                    self.errors += 1;
                } else {
                    self.acked += 1;
                }
                self.inflight[id - self.base] -= 1;
            }
            Packet::Pubrec { pid, .. } => codec::ack(&mut c.out, codec::PUBREL, pid),
            Packet::Pubrel { pid } => codec::ack(&mut c.out, codec::PUBCOMP, pid),
            Packet::Pubcomp => {
                self.last = now;
                self.acked += 1;
                self.inflight[id - self.base] -= 1;
            }
            Packet::Connack { session, .. } => {
                self.connacks += 1;
                self.sessions += session as u64;
            }
            Packet::Disconnect { .. } => self.errors += 1,
            _ => {}
        }
    }
    fn closed(&mut self, _id: usize) {
        self.errors += 1;
    }
}

pub fn retained(a: &Args, j: &mut Json) {
    let t = a.target();
    let n = a.get("count", 100_000usize);
    let size = a.get("size", 64usize);
    let qos = a.get("qos", 1u8);
    let pid = a.get("broker-pid", 0i32);
    let pubs = a.get("pubs", 4usize);
    let mut net = Net::new();
    let up = bring_up(
        &mut net,
        &t,
        a,
        (0..pubs)
            .map(|i| Client::new(&t, &format!("p{i}")))
            .collect(),
    );
    let mut f = Flow::new(qos, n);
    let before = usage(pid);
    let t0 = now_ns();
    f.publish(
        &mut net,
        a,
        up.first,
        pubs,
        |i| Template::new(t.v5, &format!("ret/{}/{i}", i % 1000), qos, true, size),
        n,
    );
    let stored = now_ns() - t0;
    let after = usage(pid);
    j.int("count", n as u64)
        .num("store_secs", stored as f64 / 1e9)
        .num("store_rate", n as f64 / (stored as f64 / 1e9));
    j.num(
        "store_cpu_s_per_m",
        (after.cpu_s - before.cpu_s) / (n as f64 / 1e6),
    );
    j.num(
        "bytes_per_retained",
        (after.rss as f64 - before.rss as f64) / n as f64,
    );
    // The subscription is sent within the measured time.
    let c = Client::new(&t, "r");
    let sub = bring_up(&mut net, &t, a, vec![c]);
    let t1 = now_ns();
    net.conns[sub.first].out =
        codec::subscribe(t.v5, 1, &["ret/#".to_string()], a.get("sub-qos", 0u8));
    net.flush(sub.first);
    f.last = t1;
    f.drain(&mut net, n as u64, 5_000_000_000);
    let end = usage(pid);
    let secs = (f.last - t1) as f64 / 1e9;
    j.int("expected", n as u64)
        .int("delivered", f.got)
        .int("lost", n as u64 - f.got)
        .int("dup", f.dup)
        .int("errors", f.errors);
    j.num("secs", secs).num("rate", f.got as f64 / secs);
    j.num(
        "cpu_s_per_m",
        (end.cpu_s - after.cpu_s) / (f.got as f64 / 1e6),
    )
    .num("rss_mb", end.rss as f64 / 1e6);
}

pub fn offline(a: &Args, j: &mut Json) {
    let t = a.target();
    let n = a.get("count", 100_000usize);
    let k = a.get("subs", 100usize);
    let size = a.get("size", 64usize);
    let qos = a.get("qos", 1u8);
    let pid = a.get("broker-pid", 0i32);
    let pubs = a.get("pubs", 4usize);
    let mut net = Net::new();
    let me = std::process::id();
    let connect = |i: usize, fresh: bool| {
        codec::connect(t.v5, &format!("ml{me}-o{i}"), t.v5 && fresh, 3600, 600)
    };
    let clients = (0..k)
        .map(|i| Client {
            connect: connect(i, true),
            subscribe: VecDeque::from([codec::subscribe(t.v5, 1, &[format!("off/{i}")], qos)]),
        })
        .collect();
    let up = bring_up(&mut net, &t, a, clients);
    for id in up.first..up.first + k {
        net.conns[id].out.extend_from_slice(codec::disconnect(t.v5));
        net.flush(id);
        net.close(id, Close::Fin, false);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let p = bring_up(
        &mut net,
        &t,
        a,
        (0..pubs)
            .map(|i| Client::new(&t, &format!("p{i}")))
            .collect(),
    );
    let mut f = Flow::new(qos, n);
    let before = usage(pid);
    let t0 = now_ns();
    f.publish(
        &mut net,
        a,
        p.first,
        pubs,
        |i| Template::new(t.v5, &format!("off/{}", i % k), qos, false, size),
        n,
    );
    let queued = (now_ns() - t0) as f64 / 1e9;
    let mid = usage(pid);
    j.int("count", n as u64)
        .int("sessions", k as u64)
        .num("queue_secs", queued)
        .num("queue_rate", n as f64 / queued);
    j.num(
        "queue_cpu_s_per_m",
        (mid.cpu_s - before.cpu_s) / (n as f64 / 1e6),
    );
    j.num(
        "bytes_per_queued",
        (mid.rss as f64 - before.rss as f64) / n as f64,
    );
    let t1 = now_ns();
    for i in 0..k {
        net.open(&t, connect(i, false));
    }
    f.drain(&mut net, n as u64, 5_000_000_000);
    let end = usage(pid);
    let secs = (f.last - t1) as f64 / 1e9;
    j.int("expected", n as u64)
        .int("delivered", f.got)
        .int("lost", n as u64 - f.got)
        .int("dup", f.dup)
        .int("errors", f.errors);
    j.int("resumed", f.sessions)
        .num("secs", secs)
        .num("rate", f.got as f64 / secs);
    j.num(
        "cpu_s_per_m",
        (end.cpu_s - mid.cpu_s) / (f.got as f64 / 1e6),
    )
    .num("rss_mb", end.rss as f64 / 1e6);
}
