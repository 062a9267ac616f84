//! Subscriptions that come and go beside a steady run, on a connection of their own.

use crate::args::Args;
use crate::codec;
use crate::net::{Net, State, Target};
use crate::procfs::now_ns;
use crate::report::Json;
use crate::setup::{Client, bring_up};

/// Different filters in turn, one in two with a wildcard; no message of the run matches one.
const FILTERS: u64 = 1000;

pub struct Churn {
    conn: usize,
    v5: bool,
    /// Nanoseconds from one packet to the next.
    step: f64,
    due: f64,
    sent: u64,
}

impl Churn {
    /// Connects, if `--churn` asks for so many SUBSCRIBE and UNSUBSCRIBE packets a second.
    pub fn start(net: &mut Net, t: &Target, a: &Args) -> Option<Self> {
        let rate = a.get("churn", 0.0f64);
        if rate <= 0.0 {
            return None;
        }
        let up = bring_up(net, t, a, vec![Client::new(t, "churn")]);
        Some(Churn {
            conn: up.first,
            v5: t.v5,
            step: 1e9 / rate,
            due: now_ns() as f64,
            sent: 0,
        })
    }

    /// Sends what is due. Returns the nanoseconds until the next.
    pub fn turn(&mut self, net: &mut Net) -> u64 {
        let now = now_ns() as f64;
        while self.due <= now && net.conns[self.conn].state == State::Open {
            let packet = self.packet();
            net.conns[self.conn].out.extend_from_slice(&packet);
            self.sent += 1;
            self.due += self.step;
        }
        net.flush(self.conn);
        (self.due - now).max(0.0) as u64
    }

    /// Every SUBSCRIBE is followed by the UNSUBSCRIBE that takes it back.
    fn packet(&self) -> Vec<u8> {
        let n = self.sent / 2 % FILTERS;
        let filter = if n % 2 == 0 {
            format!("churn/{n}/state")
        } else {
            format!("churn/{n}/+")
        };
        let pid = (self.sent % 65_000) as u16 + 1;
        if self.sent % 2 == 0 {
            codec::subscribe(self.v5, pid, &[filter], 0)
        } else {
            codec::unsubscribe(self.v5, pid, &[filter])
        }
    }

    pub fn figures(&self, j: &mut Json, secs: f64) {
        j.int("churned", self.sent)
            .num("churn_rate", self.sent as f64 / secs);
    }
}
