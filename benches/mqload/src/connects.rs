//! Connection rate, idle memory, and time from exec to the first CONNACK.

use crate::args::{Args, die};
use crate::codec::{self, Packet};
use crate::net::{Close, Conn, Handler, Net};
use crate::procfs::{now_ns, self_cpu, usage};
use crate::report::{Json, percentiles};
use crate::setup::{Client, bring_up};
use std::process::{Command, Stdio};

#[derive(Default)]
struct Rate {
    done: Vec<usize>,
    failed: usize,
}

impl Handler for Rate {
    fn packet(&mut self, c: &mut Conn, id: usize, p: Packet<'_>, _now: u64) {
        if let Packet::Connack { code, .. } = p {
            self.failed += (code != 0) as usize;
            c.out.extend_from_slice(codec::disconnect(c.v5));
            self.done.push(id);
        }
    }
    fn closed(&mut self, _id: usize) {
        self.failed += 1;
    }
}

pub fn connect(a: &Args, j: &mut Json) {
    let t = a.target();
    let total = a.get("count", 5000usize);
    let conc = a.get("conc", 32usize);
    let pid = a.get("broker-pid", 0i32);
    let mut net = Net::new();
    net.spread = true;
    let mut h = Rate::default();
    let mut began = Vec::<u64>::new();
    let mut lat = Vec::new();
    let before = usage(pid);
    let own = self_cpu();
    let t0 = now_ns();
    let (mut opened, mut finished, mut last) = (0, 0, t0);
    while finished + h.failed < total {
        while opened < total && opened - finished - h.failed < conc {
            let id = net.open(
                &t,
                codec::connect(
                    t.v5,
                    &format!("ml{}-c{opened}", std::process::id()),
                    true,
                    0,
                    60,
                ),
            );
            if began.len() <= id {
                began.resize(id + 1, 0);
            }
            began[id] = now_ns();
            opened += 1;
        }
        net.poll(100_000_000, &mut h);
        for id in std::mem::take(&mut h.done) {
            last = now_ns();
            lat.push(last - began[id]);
            net.flush(id);
            net.close(id, Close::Fin, true);
            finished += 1;
        }
        if now_ns() - last > 10_000_000_000 {
            break;
        }
    }
    let took = (last - t0) as f64 / 1e9;
    let after = usage(pid);
    j.int("connected", finished as u64)
        .int("failed", h.failed as u64)
        .int("expected", total as u64);
    j.num("secs", took).num("rate", finished as f64 / took);
    if pid > 0 {
        j.num(
            "cpu_ms_per_connect",
            (after.cpu_s - before.cpu_s) * 1e3 / finished as f64,
        );
    }
    j.num(
        "load_cpu_ms_per_connect",
        (self_cpu() - own) * 1e3 / finished as f64,
    );
    percentiles(j, "", lat);
}

pub fn idle(a: &Args, j: &mut Json) {
    let t = a.target();
    let n = a.get("count", 10_000usize);
    let pid = a.get("broker-pid", 0i32);
    let subscribe = a.flag("subscribe");
    let mut net = Net::new();
    net.spread = true;
    // A little warm-up, so that lazily made pools are not charged to connections.
    bring_up(
        &mut net,
        &t,
        a,
        (0..20).map(|i| Client::new(&t, &format!("w{i}"))).collect(),
    );
    let before = usage(pid);
    let up = bring_up(
        &mut net,
        &t,
        a,
        (0..n)
            .map(|i| {
                let name = format!("i{i}");
                if subscribe {
                    Client::subscribing(&t, &name, &[format!("idle/{i}/cmd")], 1)
                } else {
                    Client::new(&t, &name)
                }
            })
            .collect(),
    );
    std::thread::sleep(std::time::Duration::from_millis(a.get("settle-ms", 1500)));
    let mid = usage(pid);
    std::thread::sleep(std::time::Duration::from_millis(1000));
    let after = usage(pid);
    let mut gone = Rate::default();
    net.poll(0, &mut gone);
    j.int("conns", n as u64).int("gone", gone.failed as u64);
    j.num("connect_secs", up.secs)
        .num("connect_rate", n as f64 / up.secs);
    j.num("rss_before_mb", before.rss as f64 / 1e6)
        .num("rss_mb", after.rss as f64 / 1e6);
    j.num("pss_mb", after.pss as f64 / 1e6);
    j.num(
        "bytes_per_conn",
        (after.rss as f64 - before.rss as f64) / n as f64,
    );
    j.num("idle_cpu_cores", after.cpu_s - mid.cpu_s);
}

/// Runs `--exec` and polls the port until a CONNECT is answered.
pub fn startup(a: &Args, j: &mut Json) {
    let t = a.target();
    let cmd = a.opt("exec").unwrap_or_else(|| die("--exec COMMAND"));
    let t0 = now_ns();
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("exec {cmd}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| die(&format!("exec: {e}")));
    let mut ok = false;
    while !ok && now_ns() - t0 < 60_000_000_000 {
        let mut net = Net::new();
        let mut h = Rate::default();
        let id = net.open(&t, codec::connect(t.v5, "startup", true, 0, 60));
        let s = now_ns();
        while h.done.is_empty() && h.failed == 0 && now_ns() - s < 1_000_000_000 {
            net.poll(50_000_000, &mut h);
        }
        ok = !h.done.is_empty();
        net.close(id, Close::Fin, false);
        net.shut();
        if !ok {
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
    }
    let took = now_ns() - t0;
    let u = usage(child.id() as i32);
    j.bool("ok", ok)
        .num("startup_ms", took as f64 / 1e6)
        .num("rss_mb", u.rss as f64 / 1e6);
    let _ = child.kill();
    let _ = child.wait();
}
