//! The floor: an epoll relay with no MQTT logic beyond framing. It remembers
//! which connection wants which topic and copies PUBLISH frames over; no
//! sessions, no retained messages, no property handling. Packets of an exchange
//! are answered by their identifiers, and nothing is kept of them: PUBLISH at
//! once, and the other steps of QoS 2, without which clients cannot go on. What it
//! costs, loopback and the system calls cost.

use crate::args::Args;
use crate::codec;
use crate::net::{set_opt, sockaddr};
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::os::fd::RawFd;

const BUF: usize = 256 * 1024;
/// A publisher is not read while one of the connections holds more than this.
const HIGH: usize = 4 << 20;

#[derive(Default)]
struct Conn {
    fd: RawFd,
    rest: Vec<u8>,
    out: Vec<u8>,
    at: usize,
    dirty: bool,
    next_pid: u16,
    /// Last topic published here and its route, until routes change.
    last: Vec<u8>,
    last_route: usize,
    last_gen: u64,
}

#[derive(Default)]
struct Route {
    every: Vec<usize>,
    shared: Vec<(Vec<usize>, usize)>,
}

#[derive(Default)]
struct Routes {
    exact: HashMap<Vec<u8>, usize>,
    prefix: HashMap<Vec<u8>, usize>,
    groups: HashMap<Vec<u8>, usize>,
    all: Vec<Route>,
    gen: u64,
}

impl Routes {
    fn slot(map: &mut HashMap<Vec<u8>, usize>, all: &mut Vec<Route>, k: &[u8]) -> usize {
        *map.entry(k.to_vec()).or_insert_with(|| {
            all.push(Route::default());
            all.len() - 1
        })
    }

    fn add(&mut self, filter: &[u8], id: usize) {
        self.gen += 1;
        let (full, mut f) = (filter, filter);
        let shared = f.starts_with(b"$share/");
        if shared {
            let rest = &f[7..];
            f = &rest[rest.iter().position(|b| *b == b'/').map_or(0, |i| i + 1)..];
        }
        let r = match f.last() {
            Some(b'+' | b'#') => Self::slot(&mut self.prefix, &mut self.all, &f[..f.len() - 1]),
            _ => Self::slot(&mut self.exact, &mut self.all, f),
        };
        if !shared {
            self.all[r].every.push(id);
            return;
        }
        let n = self.all[r].shared.len();
        let g = *self.groups.entry(full.to_vec()).or_insert(n);
        if g == n {
            self.all[r].shared.push((Vec::new(), 0));
        }
        self.all[r].shared[g].0.push(id);
    }

    fn find(&self, topic: &[u8]) -> Option<usize> {
        if let Some(r) = self.exact.get(topic) {
            return Some(*r);
        }
        let cut = topic.iter().rposition(|b| *b == b'/')? + 1;
        self.prefix.get(&topic[..cut]).copied()
    }
}

struct Relay {
    ep: RawFd,
    conns: Vec<Conn>,
    routes: Routes,
    dirty: Vec<usize>,
}

/// Serves for ever.
pub fn serve(a: &Args) -> ! {
    let addr = SocketAddrV4::new([127, 0, 0, 1].into(), a.get("port", 1883u16));
    // SAFETY: socket and epoll calls with valid addresses and buffers throughout.
    unsafe {
        let lfd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
        set_opt(lfd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
        let sa = sockaddr(addr);
        let r = libc::bind(
            lfd,
            (&raw const sa).cast(),
            size_of::<libc::sockaddr_in>() as u32,
        );
        assert!(r == 0, "bind: {}", std::io::Error::last_os_error());
        libc::listen(lfd, 4096);
        let ep = libc::epoll_create1(0);
        let mut ev = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: u64::MAX,
        };
        libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, lfd, &mut ev);
        let mut r = Relay {
            ep,
            conns: Vec::new(),
            routes: Routes::default(),
            dirty: Vec::new(),
        };
        let mut events = vec![ev; 1024];
        let mut buf = vec![0u8; BUF];
        loop {
            let n = libc::epoll_wait(ep, events.as_mut_ptr(), events.len() as i32, -1);
            for ev in &events[..n.max(0) as usize] {
                if ev.u64 == u64::MAX {
                    r.accept(lfd);
                    continue;
                }
                let id = ev.u64 as usize;
                if ev.events & libc::EPOLLOUT as u32 != 0 {
                    r.mark(id);
                }
                if ev.events & !(libc::EPOLLOUT as u32) != 0 && r.conns[id].fd >= 0 {
                    r.read(id, &mut buf);
                }
            }
            for id in std::mem::take(&mut r.dirty) {
                r.flush(id);
            }
        }
    }
}

impl Relay {
    fn accept(&mut self, lfd: RawFd) {
        loop {
            // SAFETY: accept without an address; epoll_ctl with a valid event.
            unsafe {
                let fd = libc::accept4(
                    lfd,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    libc::SOCK_NONBLOCK,
                );
                if fd < 0 {
                    return;
                }
                set_opt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
                let mut ev = libc::epoll_event {
                    events: (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32,
                    u64: self.conns.len() as u64,
                };
                libc::epoll_ctl(self.ep, libc::EPOLL_CTL_ADD, fd, &mut ev);
                self.conns.push(Conn {
                    fd,
                    last_gen: u64::MAX,
                    ..Default::default()
                });
            }
        }
    }

    fn mark(&mut self, id: usize) {
        if !std::mem::replace(&mut self.conns[id].dirty, true) {
            self.dirty.push(id);
        }
    }

    fn drop_conn(&mut self, id: usize) {
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(self.conns[id].fd) };
        self.conns[id] = Conn {
            fd: -1,
            ..Default::default()
        };
        for r in &mut self.routes.all {
            r.every.retain(|x| *x != id);
            r.shared
                .iter_mut()
                .for_each(|(m, _)| m.retain(|x| *x != id));
        }
    }

    fn read(&mut self, id: usize, buf: &mut [u8]) {
        loop {
            let kept = self.conns[id].rest.len();
            buf[..kept].copy_from_slice(&self.conns[id].rest);
            let room = &mut buf[kept..];
            // SAFETY: `room` is valid for its length.
            let n =
                unsafe { libc::recv(self.conns[id].fd, room.as_mut_ptr().cast(), room.len(), 0) };
            if n <= 0 {
                if n == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EAGAIN) {
                    self.drop_conn(id);
                }
                return;
            }
            let dry = (n as usize) < room.len();
            let have = kept + n as usize;
            let mut at = 0;
            while let Ok(Some((head, total))) = codec::frame(&buf[at..have]) {
                self.packet(id, &buf[at..at + total], head);
                at += total;
            }
            let rest = &mut self.conns[id].rest;
            rest.clear();
            rest.extend_from_slice(&buf[at..have]);
            if dry {
                return;
            }
        }
    }

    fn packet(&mut self, id: usize, f: &[u8], head: usize) {
        match f[0] >> 4 {
            1 => {
                let v5 = f[head + 6] == 5;
                let out: &[u8] = if v5 {
                    &[0x20, 3, 0, 0, 0]
                } else {
                    &[0x20, 2, 0, 0]
                };
                self.conns[id].out.extend_from_slice(out);
                // The version decides how SUBSCRIBE is read.
                self.conns[id].last = vec![v5 as u8];
                self.mark(id);
            }
            8 => {
                let v5 = self.conns[id].last.first() == Some(&1);
                let mut at = head + 2 + v5 as usize;
                let mut codes = Vec::new();
                while at + 2 < f.len() {
                    let n = u16::from_be_bytes([f[at], f[at + 1]]) as usize;
                    self.routes.add(&f[at + 2..at + 2 + n], id);
                    codes.push(f[at + 2 + n]);
                    at += 3 + n;
                }
                let c = &mut self.conns[id];
                c.out.extend_from_slice(&[
                    0x90,
                    (2 + v5 as usize + codes.len()) as u8,
                    f[head],
                    f[head + 1],
                ]);
                if v5 {
                    c.out.push(0);
                }
                c.out.extend_from_slice(&codes);
                self.mark(id);
            }
            3 => self.publish(id, f, head),
            5 => self.acknowledge(id, codec::PUBREL, [f[head], f[head + 1]]),
            6 => self.acknowledge(id, codec::PUBCOMP, [f[head], f[head + 1]]),
            12 => {
                self.conns[id].out.extend_from_slice(&[0xd0, 0]);
                self.mark(id);
            }
            _ => {}
        }
    }

    fn acknowledge(&mut self, id: usize, kind: u8, pid: [u8; 2]) {
        self.conns[id]
            .out
            .extend_from_slice(&[kind, 2, pid[0], pid[1]]);
        self.mark(id);
    }

    fn publish(&mut self, id: usize, f: &[u8], head: usize) {
        let tl = u16::from_be_bytes([f[head], f[head + 1]]) as usize;
        let topic = &f[head + 2..head + 2 + tl];
        let pid_at = head + 2 + tl;
        let qos = f[0] >> 1 & 3;
        if qos > 0 {
            let kind = if qos == 1 {
                codec::PUBACK
            } else {
                codec::PUBREC
            };
            self.acknowledge(id, kind, [f[pid_at], f[pid_at + 1]]);
        }
        let c = &mut self.conns[id];
        if c.last_gen != self.routes.gen || c.last != topic {
            let Some(r) = self.routes.find(topic) else {
                return;
            };
            c.last.clear();
            c.last.extend_from_slice(topic);
            c.last_route = r;
            c.last_gen = self.routes.gen;
        }
        let route = &mut self.routes.all[c.last_route];
        let (conns, dirty) = (&mut self.conns, &mut self.dirty);
        let mut copy = |to: usize| {
            let c = &mut conns[to];
            if c.out.len() - c.at > HIGH && qos == 0 {
                return;
            }
            let at = c.out.len();
            c.out.extend_from_slice(f);
            if qos > 0 {
                c.next_pid = c.next_pid.wrapping_add(1).max(1);
                c.out[at + pid_at..at + pid_at + 2].copy_from_slice(&c.next_pid.to_be_bytes());
            }
            if !std::mem::replace(&mut c.dirty, true) {
                dirty.push(to);
            }
        };
        route.every.iter().for_each(|to| copy(*to));
        for (members, turn) in &mut route.shared {
            if !members.is_empty() {
                *turn = if *turn + 1 >= members.len() {
                    0
                } else {
                    *turn + 1
                };
                copy(members[*turn]);
            }
        }
    }

    fn flush(&mut self, id: usize) {
        let c = &mut self.conns[id];
        c.dirty = false;
        while c.fd >= 0 && c.at < c.out.len() {
            // SAFETY: the unsent tail of `out`.
            let n = unsafe {
                libc::send(
                    c.fd,
                    c.out[c.at..].as_ptr().cast(),
                    c.out.len() - c.at,
                    libc::MSG_NOSIGNAL,
                )
            };
            if n <= 0 {
                return;
            }
            c.at += n as usize;
        }
        c.out.clear();
        c.at = 0;
    }
}
