//! A client's connection over TCP, TLS or WebSocket, or through the door for everything, as bytes and as packets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roundel::{Authority, KeyKind};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::broker::BrokerProcess;
use crate::support::{Connect, Encode, Packet, Version, packet_length, read_packet, take_frame};

/// Where a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Tcp,
    Tls,
    WebSocket,
    /// The port of the service that takes HTTP as well.
    Alpn,
}

pub(crate) const DOORS: [Door; 4] = [Door::Tcp, Door::Tls, Door::WebSocket, Door::Alpn];

/// The broker's doors, and the key to the one that is locked.
#[derive(Clone)]
pub(crate) struct Doors {
    tcp: SocketAddr,
    tls: SocketAddr,
    web_socket: SocketAddr,
    alpn: SocketAddr,
    key: Arc<ClientConfig>,
}

/// How a client's socket behaves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Room for bytes that the client has not read.
    pub(crate) receive_buffer: Option<u32>,
    /// A close resets the connection.
    pub(crate) resets: bool,
}

/// The request of RFC 6455, section 1.3.
pub(crate) const UPGRADE: &str = "GET /mqtt HTTP/1.1\r\n\
     Host: localhost\r\n\
     Upgrade: websocket\r\n\
     Connection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Protocol: mqtt\r\n\
     Sec-WebSocket-Version: 13\r\n\r\n";

impl Doors {
    pub(crate) fn of(broker: &BrokerProcess) -> Self {
        Self::from_json(&broker.doors())
    }

    /// As [`BrokerProcess::doors`] describes them.
    pub(crate) fn from_json(doors: &Value) -> Self {
        let address = |listener: &str| {
            serde_json::from_value(doors[listener].clone()).expect("the listener is on")
        };
        let certs = doors["certs"].as_str().expect("a folder");
        Self {
            tcp: address("mqtt"),
            tls: address("mqtts"),
            web_socket: address("ws"),
            alpn: address("alpn"),
            key: Arc::new(client_config(
                &Authority::open(certs).expect("the broker's authority"),
            )),
        }
    }

    /// Opens a connection up to where MQTT begins.
    pub(crate) async fn open(&self, door: Door, manner: Manner) -> io::Result<Link> {
        let stream = self.dial(door, manner).await?;
        let (stream, frames): (Box<dyn Stream>, _) = match door {
            Door::Tcp => (Box::new(stream), None),
            Door::Tls => (Box::new(self.shake_hands(stream, &[]).await?), None),
            Door::Alpn => {
                let offered = ["x-amzn-mqtt-ca", "mqtt"];
                (Box::new(self.shake_hands(stream, &offered).await?), None)
            }
            Door::WebSocket => (Box::new(upgrade(stream).await?), Some(Vec::new())),
        };
        Ok(Link {
            stream,
            frames,
            unread: Vec::new(),
            is_closed: false,
        })
    }

    /// Makes the handshake of TLS, with an offer of these protocols.
    pub(crate) async fn shake_hands(
        &self,
        stream: TcpStream,
        alpn: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::clone(&self.key);
        config.alpn_protocols = alpn.iter().map(|name| (*name).into()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(server_name(), stream).await
    }

    /// Opens a connection as far as TCP goes.
    pub(crate) async fn dial(&self, door: Door, manner: Manner) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(size) = manner.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        let stream = socket
            .connect(match door {
                Door::Tcp => self.tcp,
                Door::Tls => self.tls,
                Door::WebSocket => self.web_socket,
                Door::Alpn => self.alpn,
            })
            .await?;
        stream.set_nodelay(true)?;
        if manner.resets {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        Ok(stream)
    }

    /// The first flight of a TLS handshake.
    pub(crate) fn client_hello(&self) -> Vec<u8> {
        let mut connection =
            ClientConnection::new(self.key.clone(), server_name()).expect("a configuration");
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).expect("a vector");
        bytes
    }
}

fn client_config(authority: &Authority) -> ClientConfig {
    let identity = authority
        .issue_pem("load", KeyKind::Ecdsa)
        .expect("a certificate");
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.ca_file()).expect("a certificate");
    roots.add(ca).expect("a CA");
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.private_key.as_bytes());
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that the provider knows")
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
        .expect("a key that fits")
}

fn server_name() -> ServerName<'static> {
    "localhost".try_into().expect("a name")
}

/// Asks for the upgrade and reads the head of the answer, byte by byte: frames follow it.
async fn upgrade(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.write_all(UPGRADE.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(stream)
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection on which MQTT is spoken.
pub(crate) struct Link {
    stream: Box<dyn Stream>,
    /// What came and is no complete frame, where frames carry the bytes.
    frames: Option<Vec<u8>>,
    /// What came and is no complete packet.
    unread: Vec<u8>,
    /// A Close frame came.
    is_closed: bool,
}

impl Link {
    /// Sends bytes, in a frame of their own over WebSocket.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.frames.is_some() {
            self.stream.write_all(&binary_frame(bytes)).await?;
        } else {
            self.stream.write_all(bytes).await?;
        }
        self.stream.flush().await
    }

    /// Sends CONNECT and reads CONNACK, which has to accept it.
    pub(crate) async fn connect(&mut self, version: Version, connect: &Connect) -> io::Result<()> {
        self.send(&connect.encode(version)).await?;
        match self.next_packet(version).await? {
            Some(Packet::Connack { reason: 0, .. }) => Ok(()),
            other => Err(io::Error::other(format!("instead of CONNACK: {other:?}"))),
        }
    }

    /// The next packet, or `None` at the end. Nothing is lost when this is called off.
    pub(crate) async fn next_packet(&mut self, version: Version) -> io::Result<Option<Packet>> {
        loop {
            if let Some(length) = packet_length(&self.unread)
                && self.unread.len() >= length
            {
                let bytes: Vec<u8> = self.unread.drain(..length).collect();
                return Ok(Some(read_packet(version, &bytes)));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// Reads and forgets everything up to the end of the connection.
    pub(crate) async fn drain(&mut self) {
        // A reset is an end as well.
        while let Ok(true) = self.read().await {
            self.unread.clear();
        }
    }

    /// Returns whether more may come.
    async fn read(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk).await?;
        let bytes = &chunk[..count];
        match &mut self.frames {
            Some(frames) => {
                frames.extend(bytes);
                while let Some((opcode, payload)) = take_frame(frames) {
                    match opcode {
                        CLOSE => self.is_closed = true,
                        _ => self.unread.extend(payload),
                    }
                }
            }
            None => self.unread.extend(bytes),
        }
        Ok(count > 0 && !self.is_closed)
    }
}

/// A complete binary frame of a client; the mask of zeros leaves the payload as it is.
fn binary_frame(payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![0x82];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0x80 | 126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The opcode of a Close frame.
const CLOSE: u8 = 8;
