//! What becomes of a QoS 1 message that a shared subscriber got but did not
//! acknowledge when its connection goes away.
//!
//! 1. M members subscribe to one `$share` filter; N messages are published;
//!    members withhold PUBACK (`--withhold all|victim`).
//! 2. Member 0, the victim, goes (`--kill rst|fin|disconnect`). From then on the
//!    others acknowledge, what they withheld included.
//! 3. For `--wait-ms`, the victim's messages are watched for at the survivors.
//! 4. N more are published while the victim is away: all must reach survivors.
//! 5. The victim returns with its session (or a clean one) and acknowledges
//!    everything: what was kept for it shows up now.

use crate::args::{Args, die};
use crate::codec::{self, Packet, Template};
use crate::net::{Close, Conn, Handler, Net};
use crate::procfs::now_ns;
use crate::report::Json;
use crate::setup::{Client, bring_up};
use std::collections::{HashSet, VecDeque};

struct Arrival {
    member: usize,
    seq: u32,
    dup: bool,
    at: u64,
}

struct Drop {
    members: usize,
    /// Connection ids of members, and of the victim after its return.
    base: usize,
    back: usize,
    withhold: Vec<bool>,
    held: Vec<Vec<u16>>,
    log: Vec<Arrival>,
    /// Times each message was acknowledged by a member.
    acks: Vec<u32>,
    published_acks: usize,
    session: bool,
    last: u64,
    gone: usize,
}

impl Drop {
    fn member(&self, id: usize) -> Option<usize> {
        if id == self.back {
            Some(0)
        } else {
            id.checked_sub(self.base).filter(|m| *m < self.members)
        }
    }

    /// Until `enough` have arrived, or for `quiet_ms` none has (at most twice as long in all).
    fn settle(&mut self, net: &mut Net, quiet_ms: u64, enough: usize) {
        let (t0, quiet) = (now_ns(), quiet_ms * 1_000_000);
        self.last = t0;
        while now_ns() - self.last < quiet && now_ns() - t0 < 2 * quiet && self.log.len() < enough {
            net.poll(5_000_000, self);
        }
    }

    fn publish(&mut self, net: &mut Net, conn: usize, t: &Template, from: u32, n: u32) {
        for s in from..from + n {
            t.emit(&mut net.conns[conn].out, s as u16 + 1, 0, s, 0);
        }
        net.flush(conn);
    }
}

impl Handler for Drop {
    fn packet(&mut self, c: &mut Conn, id: usize, p: Packet<'_>, now: u64) {
        match p {
            Packet::Publish(p) => {
                let (Some(m), Some((_, seq, _))) = (self.member(id), p.head()) else {
                    return;
                };
                self.last = now;
                self.log.push(Arrival {
                    member: m,
                    seq,
                    dup: p.dup,
                    at: now,
                });
                if id != self.back && self.withhold[m] {
                    self.held[m].push(p.pid);
                } else {
                    if p.qos > 0 {
                        codec::ack(&mut c.out, codec::PUBACK, p.pid);
                    }
                    self.acks[seq as usize] += 1;
                }
            }
            Packet::Puback { .. } => self.published_acks += 1,
            Packet::Connack { session, .. } => self.session = session,
            _ => {}
        }
    }
    fn closed(&mut self, _id: usize) {
        self.gone += 1;
    }
}

pub fn run(a: &Args, j: &mut Json) {
    let t = a.target();
    let m = a.get("members", 4usize);
    let n = a.get("count", 400u32);
    let persistent = a.opt("session") == Some("persistent");
    let all = a.opt("withhold").unwrap_or("all") == "all";
    let kill = a.opt("kill").unwrap_or("rst").to_owned();
    let wait = a.get("wait-ms", 3000u64);
    let me = std::process::id();
    let filter = format!("$share/grp-{}/drop/t", std::process::id());
    // A persistent MQTT 5 session starts clean and has an expiry (`--start resume`: not even the
    // first connection is clean); 3.1.1 keeps a session only with clean = 0.
    let start_clean = a.opt("start") != Some("resume");
    let connect = |i: usize, first: bool| {
        let clean = !persistent || (t.v5 && first && start_clean);
        codec::connect(
            t.v5,
            &format!("ml{me}-d{i}"),
            clean,
            if persistent { 600 } else { 0 },
            60,
        )
    };
    let mut net = Net::new();
    // One at a time, so that members join in order.
    let mut base = 0;
    for i in 0..m {
        let c = Client {
            connect: connect(i, true),
            subscribe: VecDeque::from([codec::subscribe(
                t.v5,
                1,
                std::slice::from_ref(&filter),
                1,
            )]),
        };
        let up = bring_up(&mut net, &t, a, vec![c]);
        if i == 0 {
            base = up.first;
        }
    }
    let p = bring_up(&mut net, &t, a, vec![Client::new(&t, "dp")]).first;
    let mut d = Drop {
        members: m,
        base,
        back: usize::MAX,
        withhold: (0..m).map(|i| all || i == 0).collect(),
        held: vec![Vec::new(); m],
        log: Vec::new(),
        acks: vec![0; 2 * n as usize],
        published_acks: 0,
        session: false,
        last: 0,
        gone: 0,
    };
    let tmpl = Template::new(t.v5, "drop/t", 1, false, 64);
    d.publish(&mut net, p, &tmpl, 0, n);
    d.settle(&mut net, 1000, n as usize);
    d.settle(&mut net, 50, usize::MAX);
    let first = d.log.len();
    let victim: HashSet<u32> = d
        .log
        .iter()
        .filter(|x| x.member == 0)
        .map(|x| x.seq)
        .collect();
    let spread: Vec<usize> = (0..m)
        .map(|i| d.log.iter().filter(|x| x.member == i).count())
        .collect();
    let seen: HashSet<u32> = d.log.iter().map(|x| x.seq).collect();
    j.str("session", if persistent { "persistent" } else { "clean" })
        .str("kill", &kill);
    j.str("withhold", if all { "all" } else { "victim" });
    j.int("members", m as u64)
        .int("count", n as u64)
        .str("spread", &format!("{spread:?}"));
    j.int("delivered_before", first as u64)
        .int("held_back_before", n as u64 - seen.len() as u64);
    j.int("publisher_acks", d.published_acks as u64);

    // The victim goes.
    let t_kill = now_ns();
    match kill.as_str() {
        "rst" => net.close(base, Close::Rst, false),
        "fin" => net.close(base, Close::Fin, false),
        "disconnect" => {
            net.conns[base]
                .out
                .extend_from_slice(codec::disconnect(t.v5));
            net.flush(base);
            net.close(base, Close::Fin, false);
        }
        k => die(&format!("--kill {k}")),
    }
    for i in 1..m {
        d.withhold[i] = false;
        let held = std::mem::take(&mut d.held[i]);
        for pid in held {
            codec::ack(&mut net.conns[base + i].out, codec::PUBACK, pid);
        }
        net.flush(base + i);
    }
    for x in &d.log {
        if x.member != 0 && all {
            d.acks[x.seq as usize] += 1;
        }
    }
    d.settle(&mut net, wait, usize::MAX);
    let again: Vec<&Arrival> = d.log[first..]
        .iter()
        .filter(|x| victim.contains(&x.seq))
        .collect();
    let moved: HashSet<u32> = again.iter().map(|x| x.seq).collect();
    let late = d.log[first..]
        .iter()
        .filter(|x| !victim.contains(&x.seq) && !seen.contains(&x.seq))
        .count();
    let ms = |at: u64| (at - t_kill) as f64 / 1e6;
    j.int("victim_unacked", victim.len() as u64)
        .int("redelivered", moved.len() as u64);
    j.int(
        "redelivered_dup_flag",
        again.iter().filter(|x| x.dup).count() as u64,
    );
    j.int("redelivered_twice", (again.len() - moved.len()) as u64)
        .int("late_first_deliveries", late as u64);
    if let (Some(f), Some(l)) = (again.first(), again.last()) {
        j.num("redeliver_first_ms", ms(f.at))
            .num("redeliver_last_ms", ms(l.at));
        let in_order = again
            .windows(2)
            .all(|w| w[0].member != w[1].member || w[0].seq < w[1].seq);
        let to: Vec<usize> = (1..m)
            .map(|i| again.iter().filter(|x| x.member == i).count())
            .collect();
        j.bool("redelivered_in_order", in_order)
            .str("redelivered_to", &format!("{to:?}"));
    }

    // More messages while it is away.
    let second = d.log.len();
    d.publish(&mut net, p, &tmpl, n, n);
    d.settle(&mut net, 1500, second + n as usize);
    d.settle(&mut net, 50, usize::MAX);
    let post: HashSet<u32> = d.log[second..]
        .iter()
        .map(|x| x.seq)
        .filter(|s| *s >= n)
        .collect();
    j.int("post_published", n as u64)
        .int("post_delivered", post.len() as u64);
    let old = || d.log[second..].iter().filter(|x| x.seq < n);
    let moved_late: HashSet<u32> = old()
        .map(|x| x.seq)
        .filter(|s| victim.contains(s) && !moved.contains(s))
        .collect();
    j.int("redelivered_after_post", moved_late.len() as u64);
    j.int(
        "others_repeated_after_post",
        old().filter(|x| !victim.contains(&x.seq)).count() as u64,
    );
    let moved_all = moved.len() + moved_late.len() == victim.len();

    // And back.
    let third = d.log.len();
    d.back = net.open(&t, connect(0, false));
    d.settle(&mut net, a.get("back-ms", 1500), usize::MAX);
    let back = &d.log[third..];
    j.bool("session_present", d.session).int(
        "replayed_to_victim",
        back.iter().filter(|x| x.member == 0 && x.seq < n).count() as u64,
    );
    j.int(
        "replayed_dup_flag",
        back.iter().filter(|x| x.member == 0 && x.dup).count() as u64,
    );
    j.int(
        "post_kept_for_victim",
        back.iter().filter(|x| x.member == 0 && x.seq >= n).count() as u64,
    );
    let never = d.acks.iter().filter(|x| **x == 0).count();
    let twice = d.acks.iter().filter(|x| **x > 1).count();
    j.int("never_acked", never as u64)
        .int("acked_twice", twice as u64)
        .int("gone", d.gone as u64);
    let verdict = if never > 0 {
        "lost"
    } else if moved.len() == victim.len() {
        if post.len() == n as usize {
            "redelivered"
        } else {
            "redelivered, but later ones kept for the absent member"
        }
    } else if moved_all {
        "redelivered only once more was published"
    } else {
        "kept for the absent member until it returned"
    };
    j.str("verdict", verdict);
}
