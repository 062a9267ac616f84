//! The broker's doors, and what carries MQTT through them.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{Carrier, Client, Connect, DEADLINE, TestBroker, Version};

const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// Where a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Tcp,
    Tls,
    WebSocket,
}

impl Door {
    pub(crate) const ALL: [Self; 3] = [Self::Tcp, Self::Tls, Self::WebSocket];

    /// The flags with which a broker has all of them, open to clients without certificates.
    pub(crate) const FLAGS: [&str; 8] = [
        "--profile",
        "standard",
        "--mqtts-port",
        "0",
        "--client-cert",
        "none",
        "--ws-port",
        "0",
    ];

    /// As the ready line names its listener.
    pub(crate) fn listener(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
        }
    }

    /// Opens a connection up to where MQTT begins.
    #[track_caller]
    pub(crate) fn dial(self, broker: &TestBroker, version: Version) -> Client {
        let address = broker.address(self.listener()).expect("the door is open");
        let stream = TcpStream::connect(address).expect("the broker accepts");
        self.enter(broker, stream, version)
    }

    /// Goes on with a TCP connection up to where MQTT begins.
    #[track_caller]
    pub(crate) fn enter(self, broker: &TestBroker, stream: TcpStream, version: Version) -> Client {
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        match self {
            Self::Tcp => Client::over(stream, version),
            Self::Tls => {
                let folder = broker.directory().expect("a broker of our own");
                Client::over(handshake(stream, &folder.join("certs")), version)
            }
            Self::WebSocket => Client::over(Frames::upgrade(stream), version),
        }
    }

    /// Connects with this CONNECT, which has to be accepted; also tells whether a session was present.
    #[track_caller]
    pub(crate) fn open(
        self,
        broker: &TestBroker,
        version: Version,
        connect: &Connect,
    ) -> (Client, bool) {
        let mut client = self.dial(broker, version);
        client.send_connect(connect);
        let (session_present, reason, _) = client.expect_connack();
        assert_eq!(reason, 0, "reason of CONNACK, {reason:#04x}");
        (client, session_present)
    }
}

/// What a client without a certificate needs to trust the authority in this folder.
pub(crate) fn trust(certs: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(certs.join("ca.pem")).expect("a certificate");
    roots.add(authority).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that the provider knows")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Makes the handshake of TLS. Its state is set up by the first write or read otherwise, which a test
/// of what is in one segment could not tell apart.
pub(crate) fn handshake(mut stream: TcpStream, certs: &Path) -> Tls {
    let name = "localhost".try_into().expect("a name");
    let mut tls = ClientConnection::new(trust(certs), name).expect("a client");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).expect("a handshake");
    }
    StreamOwned::new(tls, stream)
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Carrier for Tls {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// MQTT in WebSocket frames: each write is a frame of its own.
pub(crate) struct Frames<S = TcpStream> {
    stream: S,
    /// What came and is no complete frame.
    raw: Vec<u8>,
    /// Payload that was not read yet.
    payload: Vec<u8>,
    is_closed: bool,
}

impl<S: Carrier> Frames<S> {
    /// Asks for the upgrade, which has to be granted.
    pub(crate) fn upgrade(stream: S) -> Self {
        Self::try_upgrade(stream).expect("an upgrade")
    }

    /// Asks for the upgrade, and reads the head of the answer byte by byte: frames follow it.
    pub(crate) fn try_upgrade(stream: S) -> io::Result<Self> {
        Self::try_upgrade_with(stream, "/mqtt", "")
    }

    /// The same with another target, and with headers, each of which ends its line.
    pub(crate) fn try_upgrade_with(mut stream: S, target: &str, headers: &str) -> io::Result<Self> {
        let host: SocketAddr = stream.socket().peer_addr()?;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
             Sec-WebSocket-Version: 13\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&head)));
        }
        Ok(Self {
            stream,
            raw: Vec::new(),
            payload: Vec::new(),
            is_closed: false,
        })
    }

    /// Moves the payload of complete frames to where it is read from.
    fn unpack(&mut self) {
        while let Some((opcode, payload)) = take_frame(&mut self.raw) {
            match opcode {
                CLOSE => self.is_closed = true,
                _ => self.payload.extend(payload),
            }
        }
    }
}

impl<S: Carrier> Read for Frames<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.payload.is_empty() && !self.is_closed {
            let mut chunk = [0; 16 * 1024];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Ok(0);
            }
            self.raw.extend(&chunk[..count]);
            self.unpack();
        }
        let count = self.payload.len().min(out.len());
        out[..count].copy_from_slice(&self.payload[..count]);
        self.payload.drain(..count);
        Ok(count)
    }
}

impl<S: Carrier> Write for Frames<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write_all(&masked_frame(BINARY, bytes, true))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Carrier> Carrier for Frames<S> {
    fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }
}

/// A frame of a client, masked as it has to be.
pub(crate) fn masked_frame(opcode: u8, payload: &[u8], last: bool) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = vec![u8::from(last) << 7 | opcode];
    match u16::try_from(payload.len()) {
        Ok(length @ ..126) => bytes.push(0x80 | length as u8),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Takes the first frame of a server if it is complete: its opcode and its payload.
pub(crate) fn take_frame(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let opcode = bytes.first()? & 0x0F;
    let number = |range| {
        let field: &[u8] = bytes.get(range)?;
        Some(
            field
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    };
    let (header, length) = match bytes.get(1)? {
        126 => (4, number(2..4)?),
        127 => (10, number(2..10)?),
        short => (2, usize::from(*short)),
    };
    if bytes.len() < header + length {
        return None;
    }
    let payload = bytes.drain(..header + length).skip(header).collect();
    Some((opcode, payload))
}
