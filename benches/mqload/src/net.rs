//! One epoll loop over many client connections, plain or TLS.
//!
//! Edge-triggered; reads land in one shared buffer, replies collect in each
//! connection's `out` and leave in one write after the batch that caused them.

use crate::codec::{self, Packet};
use crate::procfs::now_ns;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::SocketAddrV4;
use std::os::fd::RawFd;
use std::sync::Arc;

const READ_BUF: usize = 256 * 1024;

pub struct Target {
    pub addr: SocketAddrV4,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub v5: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Connecting,
    Handshake,
    Open,
    Closed,
}

pub struct Conn {
    fd: RawFd,
    gen: u32,
    pub state: State,
    pub v5: bool,
    /// Plain bytes to send.
    pub out: Vec<u8>,
    out_at: usize,
    /// Ciphertext to send.
    wire: Vec<u8>,
    wire_at: usize,
    /// An incomplete packet kept from the last read.
    rest: Vec<u8>,
    tls: Option<Box<ClientConnection>>,
    connect: Vec<u8>,
    writable: bool,
}

impl Conn {
    /// Nothing waits to be written, so more can be queued.
    pub fn idle(&self) -> bool {
        self.out.is_empty() && self.wire.is_empty()
    }

    fn flush(&mut self) -> bool {
        if let Some(tls) = &mut self.tls {
            if !self.out.is_empty() && self.state == State::Open {
                if tls.writer().write_all(&self.out).is_err() {
                    return false;
                }
                self.out.clear();
            }
            while tls.wants_write() {
                if tls.write_tls(&mut self.wire).is_err() {
                    return false;
                }
            }
            return self.writable_send(true);
        }
        self.writable_send(false)
    }

    fn writable_send(&mut self, wire: bool) -> bool {
        let (buf, at) = if wire {
            (&mut self.wire, &mut self.wire_at)
        } else {
            (&mut self.out, &mut self.out_at)
        };
        while self.writable && *at < buf.len() {
            // SAFETY: the pointer and length denote the unsent tail of `buf`.
            let n = unsafe {
                libc::send(
                    self.fd,
                    buf[*at..].as_ptr().cast(),
                    buf.len() - *at,
                    libc::MSG_NOSIGNAL,
                )
            };
            if n >= 0 {
                *at += n as usize;
            } else {
                match errno() {
                    libc::EAGAIN => self.writable = false,
                    libc::EINTR => {}
                    _ => return false,
                }
            }
        }
        if *at == buf.len() {
            buf.clear();
            *at = 0;
        }
        true
    }
}

pub trait Handler {
    fn packet(&mut self, c: &mut Conn, id: usize, p: Packet<'_>, now: u64);
    fn closed(&mut self, id: usize);
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Close {
    Fin,
    Rst,
}

pub struct Net {
    ep: RawFd,
    pub conns: Vec<Conn>,
    free: Vec<usize>,
    rbuf: Vec<u8>,
    cbuf: Vec<u8>,
    events: Vec<libc::epoll_event>,
    next_source: u32,
    /// Spread source addresses over 127.0.1.0/24 (many short connections).
    pub spread: bool,
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

pub fn sockaddr(a: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: a.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*a.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

pub fn set_opt(fd: RawFd, level: i32, opt: i32, v: i32) {
    // SAFETY: `v` outlives the call, and its size is given.
    unsafe { libc::setsockopt(fd, level, opt, (&raw const v).cast(), 4) };
}

impl Net {
    pub fn new() -> Self {
        // A fine timer, so that paced runs are paced.
        // SAFETY: plain system calls without pointers.
        let ep = unsafe {
            libc::prctl(libc::PR_SET_TIMERSLACK, 1_000);
            libc::epoll_create1(libc::EPOLL_CLOEXEC)
        };
        Net {
            ep,
            conns: Vec::new(),
            free: Vec::new(),
            rbuf: vec![0; READ_BUF],
            cbuf: vec![0; READ_BUF],
            events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024],
            next_source: 0,
            spread: false,
        }
    }

    /// Opens a connection; the CONNECT goes out by itself once the transport is up.
    pub fn open(&mut self, t: &Target, connect: Vec<u8>) -> usize {
        // SAFETY: socket calls on a fresh descriptor with valid addresses.
        let fd = unsafe {
            let fd = libc::socket(
                libc::AF_INET,
                libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
                0,
            );
            assert!(fd >= 0, "socket: {}", std::io::Error::last_os_error());
            set_opt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
            if self.spread {
                set_opt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
                self.next_source = (self.next_source + 1) % 200;
                let src = SocketAddrV4::new([127, 0, 1, 1 + self.next_source as u8].into(), 0);
                let sa = sockaddr(src);
                libc::bind(
                    fd,
                    (&raw const sa).cast(),
                    size_of::<libc::sockaddr_in>() as u32,
                );
            }
            let sa = sockaddr(t.addr);
            let r = libc::connect(
                fd,
                (&raw const sa).cast(),
                size_of::<libc::sockaddr_in>() as u32,
            );
            assert!(
                r == 0 || errno() == libc::EINPROGRESS,
                "connect: {}",
                std::io::Error::last_os_error()
            );
            fd
        };
        let tls = t.tls.as_ref().map(|cfg| {
            let name = ServerName::try_from("localhost").unwrap();
            let mut c = ClientConnection::new(cfg.clone(), name).expect("tls client");
            c.set_buffer_limit(None);
            Box::new(c)
        });
        let id = self.free.pop().unwrap_or(self.conns.len());
        let gen = self.conns.get(id).map_or(0, |c| c.gen + 1);
        let c = Conn {
            fd,
            gen,
            state: State::Connecting,
            v5: t.v5,
            out: Vec::new(),
            out_at: 0,
            wire: Vec::new(),
            wire_at: 0,
            rest: Vec::new(),
            tls,
            connect,
            writable: false,
        };
        if id == self.conns.len() {
            self.conns.push(c);
        } else {
            self.conns[id] = c;
        }
        let mut ev = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET | libc::EPOLLRDHUP) as u32,
            u64: (gen as u64) << 32 | id as u64,
        };
        // SAFETY: `ev` is valid for the call.
        unsafe { libc::epoll_ctl(self.ep, libc::EPOLL_CTL_ADD, fd, &mut ev) };
        id
    }

    pub fn flush(&mut self, id: usize) {
        let c = &mut self.conns[id];
        if c.state == State::Open {
            c.flush();
        }
    }

    /// Closes; a slot is reused by a later `open` only when `reuse`.
    pub fn close(&mut self, id: usize, how: Close, reuse: bool) {
        let c = &mut self.conns[id];
        if c.state == State::Closed {
            return;
        }
        c.state = State::Closed;
        c.tls = None;
        c.out = Vec::new();
        c.wire = Vec::new();
        // SAFETY: `fd` is ours and open; `l` outlives the call.
        unsafe {
            if how == Close::Rst {
                let l = libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                libc::setsockopt(
                    c.fd,
                    libc::SOL_SOCKET,
                    libc::SO_LINGER,
                    (&raw const l).cast(),
                    size_of_val(&l) as u32,
                );
            }
            libc::close(c.fd);
        }
        if reuse {
            self.free.push(id);
        }
    }

    /// Releases the epoll descriptor; connections are closed one by one before.
    pub fn shut(self) {
        // SAFETY: the descriptor is ours and not used again.
        unsafe { libc::close(self.ep) };
    }

    /// One round of events; waits at most `timeout_ns` for the first.
    pub fn poll<H: Handler>(&mut self, timeout_ns: u64, h: &mut H) {
        let ts = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as i64,
            tv_nsec: (timeout_ns % 1_000_000_000) as i64,
        };
        // SAFETY: the events buffer and timespec are valid for the call.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.ep,
                self.events.as_mut_ptr(),
                self.events.len() as i32,
                &raw const ts,
                std::ptr::null::<libc::sigset_t>(),
                8usize,
            )
        };
        for i in 0..n.max(0) as usize {
            let ev = self.events[i];
            let id = (ev.u64 & 0xffff_ffff) as usize;
            let c = &mut self.conns[id];
            if c.gen != (ev.u64 >> 32) as u32 || c.state == State::Closed {
                continue;
            }
            let bits = ev.events as i32;
            let mut ok = true;
            if bits & libc::EPOLLOUT != 0 {
                c.writable = true;
                if c.state == State::Connecting {
                    if c.tls.is_some() {
                        c.state = State::Handshake;
                    } else {
                        c.state = State::Open;
                        let p = std::mem::take(&mut c.connect);
                        c.out.extend_from_slice(&p);
                    }
                }
                ok = c.flush();
            }
            if ok
                && bits & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLRDHUP) != 0
            {
                ok = read_all(c, id, &mut self.rbuf, &mut self.cbuf, h);
                if ok && c.state != State::Closed {
                    ok = c.flush();
                }
            }
            if !ok {
                self.close(id, Close::Fin, false);
                h.closed(id);
            }
        }
    }
}

/// Reads until the socket is dry. False: the peer is gone or sent nonsense.
fn read_all<H: Handler>(
    c: &mut Conn,
    id: usize,
    rbuf: &mut Vec<u8>,
    cbuf: &mut [u8],
    h: &mut H,
) -> bool {
    loop {
        let kept = c.rest.len();
        if rbuf.len() < kept + READ_BUF {
            rbuf.resize(kept + READ_BUF, 0);
        }
        rbuf[..kept].copy_from_slice(&c.rest);
        let room = if c.tls.is_some() {
            &mut cbuf[..]
        } else {
            &mut rbuf[kept..]
        };
        // SAFETY: `room` is a valid buffer of the given length.
        let n = unsafe { libc::recv(c.fd, room.as_mut_ptr().cast(), room.len(), 0) };
        if n == 0 {
            return false;
        }
        if n < 0 {
            return match errno() {
                libc::EAGAIN => true,
                libc::EINTR => continue,
                _ => false,
            };
        }
        let n = n as usize;
        let dry = n < room.len();
        let now = now_ns();
        let mut have = kept;
        if c.tls.is_some() {
            match decrypt(c, &cbuf[..n], rbuf, have) {
                Some(h) => have = h,
                None => return false,
            }
        } else {
            have += n;
        }
        // Walk whole packets.
        let mut at = 0;
        while at < have {
            match codec::frame(&rbuf[at..have]) {
                Ok(Some((head, total))) => {
                    let Some(p) = codec::decode(c.v5, rbuf[at], &rbuf[at + head..at + total])
                    else {
                        return false;
                    };
                    h.packet(c, id, p, now);
                    at += total;
                }
                Ok(None) => break,
                Err(()) => return false,
            }
        }
        c.rest.clear();
        c.rest.extend_from_slice(&rbuf[at..have]);
        if dry {
            return true;
        }
    }
}

/// Feeds ciphertext to rustls and appends what comes out to `rbuf[have..]`.
fn decrypt(c: &mut Conn, mut cipher: &[u8], rbuf: &mut Vec<u8>, mut have: usize) -> Option<usize> {
    let tls = c.tls.as_mut().unwrap();
    while !cipher.is_empty() {
        tls.read_tls(&mut cipher).ok()?;
        if let Err(e) = tls.process_new_packets() {
            eprintln!("tls: {e}");
            return None;
        }
        loop {
            if rbuf.len() < have + 32 * 1024 {
                rbuf.resize(have + READ_BUF, 0);
            }
            match tls.reader().read(&mut rbuf[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
    }
    if c.state == State::Handshake && !tls.is_handshaking() {
        c.state = State::Open;
        let p = std::mem::take(&mut c.connect);
        c.out.splice(0..0, p);
    }
    Some(have)
}
