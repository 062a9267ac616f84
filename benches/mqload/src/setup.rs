//! Brings clients up: connect, and optionally subscribe, a few at a time.

use crate::args::{Args, die};
use crate::codec::{self, Packet};
use crate::net::{Conn, Handler, Net, State, Target};
use crate::procfs::now_ns;
use std::collections::VecDeque;

pub struct Client {
    pub connect: Vec<u8>,
    /// SUBSCRIBE packets, sent one after the other.
    pub subscribe: VecDeque<Vec<u8>>,
}

impl Client {
    pub fn new(t: &Target, name: &str) -> Self {
        // Unique across runs, so that no run meets another's session.
        let id = format!("ml{}-{name}", std::process::id());
        Client {
            connect: codec::connect(t.v5, &id, true, 0, 600),
            subscribe: VecDeque::new(),
        }
    }

    pub fn subscribing(t: &Target, name: &str, filters: &[String], qos: u8) -> Self {
        let mut c = Self::new(t, name);
        c.subscribe
            .push_back(codec::subscribe(t.v5, 1, filters, qos));
        c
    }
}

struct Up {
    base: usize,
    todo: Vec<VecDeque<Vec<u8>>>,
    pending: usize,
    receive_max: u16,
    refused: usize,
    sessions: usize,
    error: Option<String>,
}

impl Up {
    fn next(&mut self, c: &mut Conn, id: usize) {
        match self.todo[id - self.base].pop_front() {
            Some(p) => c.out.extend_from_slice(&p),
            None => self.pending -= 1,
        }
    }
}

impl Handler for Up {
    fn packet(&mut self, c: &mut Conn, id: usize, p: Packet<'_>, _now: u64) {
        match p {
            Packet::Connack {
                code,
                receive_max,
                session,
            } => {
                if code != 0 {
                    self.error = Some(format!("CONNACK code {code:#x}"));
                }
                self.receive_max = self.receive_max.min(receive_max);
                self.sessions += session as usize;
                self.next(c, id);
            }
            Packet::Suback { refused } => {
                self.refused += refused;
                self.next(c, id);
            }
            Packet::Disconnect { code } => self.error = Some(format!("DISCONNECT code {code:#x}")),
            _ => {}
        }
    }
    fn closed(&mut self, id: usize) {
        self.error
            .get_or_insert(format!("connection {id} closed during setup"));
    }
}

pub struct Ready {
    pub first: usize,
    pub receive_max: u16,
    pub secs: f64,
}

/// Connects all clients; their connections get consecutive ids from `first`.
pub fn bring_up(net: &mut Net, t: &Target, a: &Args, clients: Vec<Client>) -> Ready {
    let conc = a.get("conc", 64usize);
    let first = net.conns.len();
    let t0 = now_ns();
    let mut up = Up {
        base: first,
        todo: Vec::new(),
        pending: 0,
        receive_max: u16::MAX,
        refused: 0,
        sessions: 0,
        error: None,
    };
    let mut clients = clients.into_iter();
    let mut left = clients.len();
    let mut last = (now_ns(), left, 0usize);
    while left > 0 || up.pending > 0 {
        while left > 0 && up.pending < conc {
            let c = clients.next().unwrap();
            left -= 1;
            up.pending += 1;
            up.todo.push(c.subscribe);
            net.open(t, c.connect);
        }
        net.poll(100_000_000, &mut up);
        if let Some(e) = up.error.take() {
            die(&e);
        }
        let todo: usize = up.pending + up.todo.iter().map(VecDeque::len).sum::<usize>();
        if (left, todo) != (last.1, last.2) {
            last = (now_ns(), left, todo);
        } else if now_ns() - last.0 > 30_000_000_000 {
            let open = net.conns[first..]
                .iter()
                .filter(|c| c.state == State::Open)
                .count();
            die(&format!(
                "setup stuck: {left} not started, {} pending, {open} open",
                up.pending
            ));
        }
    }
    if up.refused > 0 {
        die(&format!("{} subscriptions refused", up.refused));
    }
    Ready {
        first,
        receive_max: up.receive_max,
        secs: (now_ns() - t0) as f64 / 1e9,
    }
}
