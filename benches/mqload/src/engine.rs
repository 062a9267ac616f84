//! The steady-state run: publishers and subscribers that are already up, a
//! closed end-to-end window (or a fixed rate), and a check of every delivery.

use crate::args::Args;
use crate::churn::Churn;
use crate::codec::{self, Packet, Template};
use crate::net::{Conn, Handler, Net, State};
use crate::procfs::{now_ns, self_cpu, usage};
use crate::report::{Json, percentiles};

/// How a subscriber's deliveries are checked.
pub enum Check {
    /// It gets every message on its topics: sequence numbers per publisher have no gap.
    Every,
    /// Its group as a whole gets every message once.
    Group(usize),
}

pub struct Sub {
    pub check: Check,
    pub got: u64,
    /// Next expected (Every) or last seen + 1 (Group) sequence number, per publisher.
    next: Vec<u32>,
}

impl Sub {
    pub fn new(check: Check, publishers: usize) -> Self {
        Sub {
            check,
            got: 0,
            next: vec![0; publishers],
        }
    }
}

pub struct Pub {
    pub conn: usize,
    /// Sent in turn.
    pub templates: Vec<Template>,
    seq: u32,
    inflight: u32,
    pid: u16,
}

impl Pub {
    pub fn new(conn: usize, templates: Vec<Template>) -> Self {
        Pub {
            conn,
            templates,
            seq: 0,
            inflight: 0,
            pid: 0,
        }
    }
}

#[derive(Default)]
struct Group {
    /// Per publisher, a bit per sequence number seen.
    seen: Vec<Vec<u64>>,
    /// Member that got each message, with a single publisher.
    owner: Vec<u32>,
}

pub struct Engine {
    pub subs: Vec<Sub>,
    pub pubs: Vec<Pub>,
    /// Deliveries each message causes.
    pub fan: u64,
    pub qos: u8,
    pub sub_base: usize,
    pub inflight_max: u32,
    pub churn: Option<Churn>,
    groups: Vec<Group>,
    sample: bool,
    lat: Vec<u64>,
    published: u64,
    acked: u64,
    delivered: u64,
    dup: u64,
    reorder: u64,
    gaps: u64,
    errors: u64,
    gone: u64,
    last: u64,
}

impl Engine {
    pub fn new(
        subs: Vec<Sub>,
        pubs: Vec<Pub>,
        groups: usize,
        fan: u64,
        qos: u8,
        sub_base: usize,
    ) -> Self {
        let p = pubs.len();
        Engine {
            subs,
            pubs,
            fan,
            qos,
            sub_base,
            inflight_max: 100,
            churn: None,
            groups: (0..groups)
                .map(|_| Group {
                    seen: vec![Vec::new(); p],
                    owner: Vec::new(),
                })
                .collect(),
            sample: false,
            lat: Vec::new(),
            published: 0,
            acked: 0,
            delivered: 0,
            dup: 0,
            reorder: 0,
            gaps: 0,
            errors: 0,
            gone: 0,
            last: 0,
        }
    }

    /// Queues `n` messages on publisher `i` and writes them out.
    fn send(&mut self, net: &mut Net, i: usize, n: u64, ts: u64) {
        let p = &mut self.pubs[i];
        let c = &mut net.conns[p.conn];
        for _ in 0..n {
            if self.qos > 0 {
                p.pid = if p.pid == u16::MAX { 1 } else { p.pid + 1 };
                p.inflight += 1;
            }
            let t = &p.templates[p.seq as usize % p.templates.len()];
            t.emit(&mut c.out, p.pid, i as u32, p.seq, ts);
            p.seq += 1;
        }
        self.published += n;
        net.flush(p.conn);
    }

    /// Runs to the end and writes the figures.
    pub fn run(&mut self, net: &mut Net, a: &Args, j: &mut Json) {
        let secs = a.get("secs", 3.0f64);
        let count = a.get("count", u64::MAX);
        let rate = a.get("rate", 0.0f64);
        let window = a.get("window", 2000u64).max(1) * self.fan;
        let burst = a.get("burst", 32u64);
        let stall = (a.get("stall", 3.0f64) * 1e9) as u64;
        let pid = a.get("broker-pid", 0i32);
        self.sample = rate > 0.0 || a.flag("lat");

        let before = usage(pid);
        let own = self_cpu();
        let t0 = now_ns();
        self.last = t0;
        let (mut written_off, mut stalls) = (0u64, 0u64);
        let mut stopped = false;
        let mut turn = 0usize;
        let np = self.pubs.len();
        let mut due = t0 as f64;
        let step = if rate > 0.0 { 1e9 / rate } else { 0.0 };
        // Credit that a dead publisher can no longer use would spin forever.
        loop {
            let now = now_ns();
            if !stopped && (self.published >= count || (now - t0) as f64 > secs * 1e9) {
                stopped = true;
            }
            let owed = (self.published * self.fan).saturating_sub(self.delivered + written_off);
            if stopped && owed == 0 && (self.qos == 0 || self.acked + self.errors >= self.published)
            {
                break;
            }
            let mut wait = 100_000_000;
            if !stopped && rate > 0.0 {
                while due <= now as f64 && self.published < count {
                    self.send(net, turn % np, 1, due as u64);
                    turn += 1;
                    due += step;
                }
                wait = (due - now_ns() as f64).max(0.0) as u64;
            } else if !stopped {
                let mut credit =
                    (window.saturating_sub(owed) / self.fan).min(count - self.published);
                let mut any = false;
                for _ in 0..np {
                    if credit == 0 {
                        break;
                    }
                    let i = turn % np;
                    turn += 1;
                    let p = &self.pubs[i];
                    let c = &net.conns[p.conn];
                    if c.state != State::Open || !c.idle() {
                        continue;
                    }
                    let mut n = credit.min(burst);
                    if self.qos > 0 {
                        n = n.min((self.inflight_max - p.inflight) as u64);
                    }
                    if n > 0 {
                        self.send(net, i, n, now);
                        credit -= n;
                        any = true;
                    }
                }
                if any && credit > 0 {
                    wait = 0;
                }
            }
            if let Some(churn) = &mut self.churn {
                if !stopped {
                    wait = churn.turn(net).min(wait);
                }
            }
            net.poll(wait, self);
            let quiet = now_ns().saturating_sub(self.last);
            if quiet > stall && owed > 0 {
                // These are lost; go on without them, but not for ever.
                written_off =
                    self.published * self.fan - self.delivered.min(self.published * self.fan);
                stalls += 1;
                self.last = now_ns();
                if stopped || stalls >= 2 {
                    break;
                }
            } else if quiet > stall && stopped {
                break;
            }
        }
        let t1 = self.last.max(t0 + 1);
        let took = (t1 - t0) as f64 / 1e9;
        let after = usage(pid);
        let expected = self.published * self.fan;
        let good = self.delivered - self.dup;
        j.int("expected", expected).int("delivered", self.delivered);
        j.int("lost", expected.saturating_sub(good))
            .int("dup", self.dup)
            .int("reordered", self.reorder);
        j.int("published", self.published).int("gaps", self.gaps);
        if self.qos > 0 {
            j.int("acked", self.acked);
        }
        j.int("errors", self.errors)
            .int("gone", self.gone)
            .int("stalls", stalls);
        j.num("secs", took)
            .num("rate", good as f64 / took)
            .num("pub_rate", self.published as f64 / took);
        if pid > 0 {
            let cpu = after.cpu_s - before.cpu_s;
            j.num("cpu_s", cpu)
                .num("cpu_s_per_m", cpu / (good as f64 / 1e6))
                .num("cpu_cores", cpu / took);
            j.num("cpu_s_per_m_pub", cpu / (self.published as f64 / 1e6));
            j.num("rss_mb", after.rss as f64 / 1e6);
        }
        if let Some(churn) = &self.churn {
            churn.figures(j, took);
        }
        let own = self_cpu() - own;
        j.num("load_cpu_s_per_m", own / (good as f64 / 1e6))
            .num("load_cores", own / took);
        percentiles(j, "", std::mem::take(&mut self.lat));
        self.share_figures(j);
    }

    fn share_figures(&self, j: &mut Json) {
        if self.groups.is_empty() {
            return;
        }
        let got: Vec<u64> = self.subs.iter().map(|s| s.got).collect();
        let (min, max) = (
            got.iter().min().copied().unwrap_or(0),
            got.iter().max().copied().unwrap_or(0),
        );
        j.int("member_min", min)
            .int("member_max", max)
            .num("fairness", min as f64 / max.max(1) as f64);
        // Turns bind within a group; a message more or less than another group's members is no fault.
        let mut ends = vec![(u64::MAX, 0u64); self.groups.len()];
        for s in &self.subs {
            if let Check::Group(g) = s.check {
                let (fewest, most) = &mut ends[g];
                *fewest = s.got.min(*fewest);
                *most = s.got.max(*most);
            }
        }
        let spread = ends
            .iter()
            .map(|(fewest, most)| most.saturating_sub(*fewest))
            .max();
        j.int("group_spread", spread.unwrap_or(0));
        if self.pubs.len() == 1 {
            // Exact turns: message i and i + M always go to the same member.
            let (mut bad, mut total, mut run, mut longest, mut prev) =
                (0u64, 0u64, 0u64, 0u64, u32::MAX);
            for (g, grp) in self.groups.iter().enumerate() {
                let m = self
                    .subs
                    .iter()
                    .filter(|s| matches!(s.check, Check::Group(x) if x == g))
                    .count();
                for (i, &o) in grp.owner.iter().enumerate() {
                    if i >= m {
                        total += 1;
                        bad += (grp.owner[i - m] != o) as u64;
                    }
                    run = if o == prev { run + 1 } else { 1 };
                    longest = longest.max(run);
                    prev = o;
                }
            }
            j.int("rr_breaks", bad)
                .num("rr_exact", 1.0 - bad as f64 / total.max(1) as f64)
                .int("longest_run", longest);
        }
    }

    fn deliver(&mut self, id: usize, p: &codec::Publish<'_>, now: u64) {
        let s = id - self.sub_base;
        let Some((who, seq, ts)) = p.head() else {
            self.errors += 1;
            return;
        };
        let Some(sub) = self.subs.get_mut(s) else {
            self.errors += 1;
            return;
        };
        if who as usize >= sub.next.len() {
            self.errors += 1;
            return;
        }
        self.delivered += 1;
        self.last = now;
        sub.got += 1;
        if self.sample {
            self.lat.push(now.saturating_sub(ts));
        }
        let next = &mut sub.next[who as usize];
        match sub.check {
            Check::Every => {
                if seq >= *next {
                    self.gaps += (seq - *next) as u64;
                    *next = seq + 1;
                } else if self.gaps > 0 {
                    // It fills a gap: late, not twice.
                    self.gaps -= 1;
                    self.reorder += 1;
                } else {
                    self.dup += 1;
                }
            }
            Check::Group(g) => {
                if seq < *next {
                    self.reorder += 1;
                } else {
                    *next = seq + 1;
                }
                let g = &mut self.groups[g];
                let (w, b) = (seq as usize / 64, 1u64 << (seq % 64));
                let seen = &mut g.seen[who as usize];
                if seen.len() <= w {
                    seen.resize(w + 1024, 0);
                }
                if seen[w] & b != 0 {
                    self.dup += 1;
                }
                seen[w] |= b;
                if self.pubs.len() == 1 {
                    if g.owner.len() <= seq as usize {
                        g.owner.resize(seq as usize + 1, u32::MAX);
                    }
                    g.owner[seq as usize] = s as u32;
                }
            }
        }
    }
}

impl Handler for Engine {
    #[inline]
    fn packet(&mut self, c: &mut Conn, id: usize, p: Packet<'_>, now: u64) {
        match p {
            Packet::Publish(p) => {
                match p.qos {
                    0 => {}
                    1 => codec::ack(&mut c.out, codec::PUBACK, p.pid),
                    _ => codec::ack(&mut c.out, codec::PUBREC, p.pid),
                }
                self.deliver(id, &p, now);
            }
            Packet::Puback { code, .. } => self.done(id, code),
            Packet::Pubrec { pid, code } if code < 0x80 => {
                codec::ack(&mut c.out, codec::PUBREL, pid)
            }
            Packet::Pubrec { code, .. } => self.done(id, code),
            Packet::Pubcomp => self.done(id, 0),
            Packet::Pubrel { pid } => codec::ack(&mut c.out, codec::PUBCOMP, pid),
            Packet::Disconnect { code } => {
                eprintln!("mqload: DISCONNECT {code:#x} on connection {id}");
                self.errors += 1;
            }
            _ => {}
        }
    }
    fn closed(&mut self, id: usize) {
        eprintln!("mqload: connection {id} closed by the broker");
        self.gone += 1;
    }
}

impl Engine {
    fn done(&mut self, id: usize, code: u8) {
        // Publishers are opened last, in order.
        let base = self.pubs[0].conn;
        if let Some(p) = id.checked_sub(base).and_then(|i| self.pubs.get_mut(i)) {
            p.inflight = p.inflight.saturating_sub(1);
        }
        if code >= 0x80 {
            self.errors += 1;
        } else {
            self.acked += 1;
        }
    }
}
