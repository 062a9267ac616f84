//! A client that sends bytes as fast as it can, and looks at little of what comes back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::{Connect, DEADLINE, Encode as _, Subscribe, Version, packet_length};

/// MQTT 5 over a bare connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
    /// How far `unread` was taken.
    taken: usize,
}

/// How a socket is made.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Room for bytes that are not read.
    pub(crate) receive_buffer: Option<usize>,
}

/// A reader that is stalled soon.
pub(crate) const STALLED: Manner = Manner {
    receive_buffer: Some(4096),
};

impl Raw {
    /// Opens a connection.
    pub(crate) fn dial(address: SocketAddr, manner: Manner) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        if let Some(size) = manner.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        socket.connect(&address.into())?;
        socket.set_tcp_nodelay(true)?;
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self {
            stream,
            unread: Vec::new(),
            taken: 0,
        })
    }

    /// Opens a connection and connects; an error where the broker refuses.
    pub(crate) fn open(address: SocketAddr, manner: Manner, connect: &Connect) -> io::Result<Self> {
        let mut raw = Self::dial(address, manner)?;
        raw.send(&connect.encode(Version::V5))?;
        match raw.next()? {
            (0x20, body) if body.get(1) == Some(&0) => Ok(raw),
            (first, body) => Err(io::Error::other(format!("{first:#04x} {body:02x?}"))),
        }
    }

    /// The same, and subscribes. Also returns whether the broker refused that.
    pub(crate) fn subscriber(
        address: SocketAddr,
        manner: Manner,
        connect: &Connect,
        filter: &str,
        qos: u8,
    ) -> io::Result<(Self, bool)> {
        let mut raw = Self::open(address, manner, connect)?;
        raw.send(&Subscribe::new(1).filter(filter, qos).encode(Version::V5))?;
        let refused = raw.acknowledged(1)?;
        Ok((raw, refused > 0))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next packet: its first byte and what follows the length.
    pub(crate) fn next(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let rest = &self.unread[self.taken..];
            if let Some(length) = packet_length(rest)
                && rest.len() >= length
            {
                let header = 1 + rest[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
                let packet = (rest[0], rest[header..length].to_vec());
                self.taken += length;
                return Ok(packet);
            }
            self.unread.drain(..self.taken);
            self.taken = 0;
            let mut chunk = [0; 64 * 1024];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unread.extend(&chunk[..count]);
        }
    }

    /// Reads so many acknowledgements, past everything else. Returns how many of them refused.
    pub(crate) fn acknowledged(&mut self, count: usize) -> io::Result<usize> {
        let (mut seen, mut refused) = (0, 0);
        while seen < count {
            let (first, body) = self.next()?;
            match first >> 4 {
                4 | 5 => {
                    seen += 1;
                    refused += usize::from(body.get(2).is_some_and(|reason| *reason >= 0x80));
                }
                9 => {
                    seen += 1;
                    refused += usize::from(body.last().is_some_and(|reason| *reason >= 0x80));
                }
                14 => return Err(io::Error::other(format!("DISCONNECT {body:02x?}"))),
                _ => {}
            }
        }
        Ok(refused)
    }
}
