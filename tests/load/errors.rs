//! Clients that break the rules, each in its own way, again and again.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerProcess, PACKET_SIZE, PATIENCE, say};
use crate::link::{DOORS, Door, Doors, Link, Manner, UPGRADE};
use crate::support::{
    Connect, Encode as _, PINGREQ, Packet, Publish, Subscribe, Version, Will, frame,
    session_expiry, utf8, varint,
};

const CLIENTS: usize = 200;

/// What a client does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Random bytes, some of them in the shape of a CONNECT.
    Garbage,
    /// A session, then packets of random bytes.
    GarbageBehindConnect,
    /// A packet that ends in the middle.
    Truncated,
    /// A connection without a byte.
    HalfOpen,
    /// A TLS or WebSocket handshake that stops.
    HalfHandshake,
    /// Behind the handshake of the door for everything: what is neither MQTT nor HTTP, or not what ALPN says.
    WrongProtocol,
    /// HTTP there: requests that end in the middle, or that two programs would read differently.
    BadRequest,
    /// One upgrade to WebSocket there after the other, with nothing behind them.
    EmptyUpgrade,
    /// CONNECT, a byte at a time.
    SlowConnect,
    /// A subscription to a busy topic, of which nothing is read.
    StalledReader,
    /// QoS 1 messages without end, whose PUBACKs are not read.
    FloodingAuthor,
    /// A packet that is too long, or that claims to be long and does not come.
    Oversize,
    /// Business as usual, and a reset in the middle.
    Reset,
}

const KINDS: [Kind; 13] = [
    Kind::Garbage,
    Kind::GarbageBehindConnect,
    Kind::Truncated,
    Kind::HalfOpen,
    Kind::HalfHandshake,
    Kind::WrongProtocol,
    Kind::BadRequest,
    Kind::EmptyUpgrade,
    Kind::SlowConnect,
    Kind::StalledReader,
    Kind::FloodingAuthor,
    Kind::Oversize,
    Kind::Reset,
];

/// The topic that stalled readers subscribe to.
const FEED: &str = "errors/feed";
const FEED_PERIOD: Duration = Duration::from_millis(5);
const FEED_PAYLOAD: usize = 8 * 1024;

/// Of the feed's size: more than a socket takes, whose reader takes nothing.
const STALLING_MESSAGES: usize = 768;

/// Room for bytes that a client does not read.
const SMALL_BUFFER: u32 = 4096;

/// Of a thousand messages each.
const FLOOD_BATCHES: usize = 5;

/// What the broker may take longer than [`PATIENCE`] to end a connection, on a busy machine.
const LENIENCE: Duration = Duration::from_secs(8);

/// Makes this binary the clients in error; says where the broker is, as JSON.
pub(crate) const ROLE_VARIABLE: &str = "ROUNDEL_LOAD_ERRORS";

/// A load of errors under way, in a process of its own.
pub(crate) struct Errors(Child);

impl Errors {
    /// Starts all clients.
    pub(crate) fn start(broker: &BrokerProcess) -> Self {
        let this = std::env::current_exe().expect("the path of this program");
        let child = Command::new("nice")
            .args(["-n", "19"])
            .arg(this)
            .env(ROLE_VARIABLE, broker.doors().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        Self(child)
    }

    /// Ends all of them, wherever they are, and says what they did.
    pub(crate) fn end(self) -> Report {
        // Closes their standard input.
        let output = self.0.wait_with_output().expect("they end");
        assert!(output.status.success(), "the feed of the readers stands");
        Report::from_json(&serde_json::from_slice(&output.stdout).expect("JSON"))
    }
}

/// The process of the clients in error: goes on until its standard input ends, then says what they
/// did.
pub(crate) fn run(doors: &str) -> ExitCode {
    let doors = Doors::from_json(&serde_json::from_str(doors).expect("JSON"));
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        stopped.cancel();
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let report = runtime.block_on(misbehave(doors, stop));
    say(&report.to_json());
    ExitCode::SUCCESS
}

async fn misbehave(doors: Doors, stop: CancellationToken) -> Report {
    let feed = tokio::spawn(feed(doors.clone(), stop.clone()));
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let client = Client {
            kind: KINDS[index % KINDS.len()],
            name: format!("error-{index}"),
            doors: doors.clone(),
            random: Rng::with_seed(index as u64),
            tally: Tally::default(),
        };
        clients.spawn(client.run(stop.clone()));
    }
    let mut report = Report::default();
    while let Some(client) = clients.join_next().await {
        let (kind, tally) = client.expect("errors are counted, not thrown");
        report.0.entry(kind).or_default().add(&tally);
    }
    feed.await.expect("the feed of the readers stands");
    report
}

/// The author of what stalled readers do not read; it keeps the rules.
async fn feed(doors: Doors, stop: CancellationToken) {
    let version = Version::V5;
    let mut link = doors
        .open(Door::Tcp, Manner::default())
        .await
        .expect("the broker accepts");
    link.connect(version, &Connect::new("feed"))
        .await
        .expect("the broker lets it in");
    let message = Publish::new(FEED, [b'x'; FEED_PAYLOAD])
        .qos(1, 1)
        .encode(version);
    let mut ticks = interval(FEED_PERIOD);
    let mut is_free = true;
    while !stop.is_cancelled() {
        tokio::select! {
            _ = ticks.tick(), if is_free => {
                link.send(&message).await.expect("the broker reads");
                is_free = false;
            }
            packet = link.next_packet(version) => {
                let packet = packet.expect("a connection");
                assert!(matches!(packet, Some(Packet::Ack { id: 1, .. })), "{packet:?}");
                is_free = true;
            }
        }
    }
}

/// A client that breaks the rules.
struct Client {
    kind: Kind,
    name: String,
    doors: Doors,
    random: Rng,
    tally: Tally,
}

impl Client {
    async fn run(mut self, stop: CancellationToken) -> (Kind, Tally) {
        stop.run_until_cancelled(async {
            loop {
                self.pause(200..800).await;
                self.tally.begun += 1;
                match self.misbehave().await {
                    Ok(()) => {}
                    Err(_) => self.tally.cut_short += 1,
                }
            }
        })
        .await;
        (self.kind, self.tally)
    }

    /// Does it once. An error is the broker's answer before all was done.
    async fn misbehave(&mut self) -> io::Result<()> {
        match self.kind {
            Kind::Garbage => self.send_garbage().await,
            Kind::GarbageBehindConnect => self.send_garbage_behind_connect().await,
            Kind::Truncated => self.send_half_a_packet().await,
            Kind::HalfOpen => self.send_nothing().await,
            Kind::HalfHandshake => self.send_half_a_handshake().await,
            Kind::WrongProtocol => self.speak_wrongly().await,
            Kind::BadRequest => self.ask_wrongly().await,
            Kind::EmptyUpgrade => self.upgrade_for_nothing().await,
            Kind::SlowConnect => self.connect_slowly().await,
            Kind::StalledReader => self.subscribe_and_stall().await,
            Kind::FloodingAuthor => self.flood().await,
            Kind::Oversize => self.send_too_much().await,
            Kind::Reset => self.reset().await,
        }
    }

    async fn send_garbage(&mut self) -> io::Result<()> {
        let (door, manner) = (self.some_door(), self.some_manner());
        let mut stream = self.doors.dial(door, manner).await?;
        let bytes = self.some_bytes(4096);
        let bytes = if self.random.bool() {
            frame(0x10, bytes)
        } else {
            bytes
        };
        stream.write_all(&bytes).await?;
        self.expect_end(&mut stream).await;
        Ok(())
    }

    async fn send_garbage_behind_connect(&mut self) -> io::Result<()> {
        let (mut link, _) = self.enter(Manner::default()).await?;
        for _ in 0..self.random.usize(1..20) {
            let first = match self.random.u8(..) {
                // Not what stays: a retained message.
                publish @ 0x30..=0x3F => publish & !1,
                other => other,
            };
            let body = self.some_bytes(300);
            link.send(&frame(first, body)).await?;
        }
        let _ = timeout(Duration::from_millis(300), link.drain()).await; // it may be right by chance
        Ok(())
    }

    async fn send_half_a_packet(&mut self) -> io::Result<()> {
        let manner = self.some_manner();
        let (mut link, version) = self.enter(manner).await?;
        let whole = Publish::new("errors/half", self.some_bytes(2000))
            .qos(1, 1)
            .encode(version);
        link.send(&whole[..self.random.usize(1..whole.len())])
            .await?;
        self.pause(0..1000).await;
        Ok(())
    }

    async fn send_nothing(&mut self) -> io::Result<()> {
        let door = self.some_door();
        let mut stream = self.doors.dial(door, Manner::default()).await?;
        self.expect_end(&mut stream).await;
        Ok(())
    }

    async fn send_half_a_handshake(&mut self) -> io::Result<()> {
        let (door, whole) = match self.random.u8(0..3) {
            0 => (Door::Tls, self.doors.client_hello()),
            1 => (Door::Alpn, self.doors.client_hello()),
            _ => (Door::WebSocket, UPGRADE.as_bytes().to_vec()),
        };
        let mut stream = self.doors.dial(door, Manner::default()).await?;
        // All of it is half of a handshake as well: what has to follow does not.
        let half = &whole[..self.random.usize(1..=whole.len())];
        for piece in half.chunks(self.random.usize(20..200)) {
            stream.write_all(piece).await?;
            self.pause(0..100).await;
        }
        self.expect_end(&mut stream).await;
        Ok(())
    }

    /// Goes through the door for everything, up to where TLS is up.
    async fn enter_at_the_door(&mut self, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let manner = self.some_manner();
        let stream = self.doors.dial(Door::Alpn, manner).await?;
        self.doors.shake_hands(stream, alpn).await
    }

    async fn speak_wrongly(&mut self) -> io::Result<()> {
        let offers: [&[&str]; 4] = [&[], &["x-amzn-mqtt-ca"], &["mqtt"], &["http/1.1"]];
        let offer = offers[self.random.usize(..offers.len())];
        let mut stream = self.enter_at_the_door(offer).await?;
        let bytes = match self.random.u8(0..3) {
            0 => Vec::new(),
            1 => b"GET / HTTP/1.1\r\n".to_vec(),
            _ => self.some_bytes(4096),
        };
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        self.expect_end(&mut stream).await;
        Ok(())
    }

    async fn ask_wrongly(&mut self) -> io::Result<()> {
        let mut stream = self.enter_at_the_door(&["x-amzn-http-ca"]).await?;
        let head = "POST /topics/errors HTTP/1.1\r\nHost: localhost\r\n";
        let rest = match self.random.u8(0..4) {
            0 => "Content-Length: 4\r\nContent-Length: 5\r\n\r\nhello",
            1 => "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / ",
            2 => "Transfer-Encoding: chunked\r\n\r\nffffffffff\r\nhello",
            _ => "Content-Length: 1000\r\n\r\nhello",
        };
        stream.write_all(format!("{head}{rest}").as_bytes()).await?;
        stream.flush().await?;
        self.expect_end(&mut stream).await;
        Ok(())
    }

    async fn upgrade_for_nothing(&mut self) -> io::Result<()> {
        for _ in 0..self.random.usize(1..10) {
            let mut stream = self.enter_at_the_door(&["http/1.1"]).await?;
            stream.write_all(UPGRADE.as_bytes()).await?;
            stream.flush().await?;
            if self.random.bool() {
                self.expect_end(&mut stream).await;
            }
        }
        Ok(())
    }

    async fn connect_slowly(&mut self) -> io::Result<()> {
        let door = self.some_door();
        let mut link = self.doors.open(door, Manner::default()).await?;
        let connect = Connect::new("slow".repeat(100)).encode(Version::V5);
        for byte in connect {
            // The end shows as a failure to write.
            if link.send(&[byte]).await.is_err() {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.tally.outstayed += 1;
        Ok(())
    }

    async fn subscribe_and_stall(&mut self) -> io::Result<()> {
        let manner = Manner {
            receive_buffer: Some(SMALL_BUFFER),
            ..self.some_manner()
        };
        let (mut link, version) = self.enter(manner).await?;
        let own = format!("errors/{}", self.name);
        let qos = self.random.u8(0..=1);
        let subscribe = Subscribe::new(1).filter(FEED, qos).filter(&own, qos);
        link.send(&subscribe.encode(version)).await?;
        link.next_packet(version).await?;
        // However slow the feed is on a busy machine, this fills the socket.
        let message = Publish::new(&own, [b'x'; FEED_PAYLOAD]).encode(version);
        for _ in 0..STALLING_MESSAGES {
            link.send(&message).await?;
        }
        if self.random.bool() {
            self.pause(1000..3000).await;
            return Ok(());
        }
        let is_ended = async {
            // Without reading, the end shows as a failure to write.
            while link.send(&PINGREQ).await.is_ok() {
                sleep(Duration::from_millis(200)).await;
            }
        };
        if timeout(PATIENCE + LENIENCE, is_ended).await.is_err() {
            self.tally.outstayed += 1;
        }
        Ok(())
    }

    async fn flood(&mut self) -> io::Result<()> {
        let manner = Manner {
            receive_buffer: Some(SMALL_BUFFER),
            resets: true,
        };
        let (mut link, version) = self.enter(manner).await?;
        let batch = Publish::new("f", []).qos(1, 1).encode(version).repeat(1000);
        for _ in 0..FLOOD_BATCHES {
            link.send(&batch).await?;
        }
        self.pause(500..2500).await;
        Ok(())
    }

    async fn send_too_much(&mut self) -> io::Result<()> {
        let (mut link, _) = self.enter(Manner::default()).await?;
        let size = PACKET_SIZE as usize;
        let start = |length: usize| [vec![0x30], varint(length), utf8("errors/long")].concat();
        match self.random.u8(0..3) {
            0 => link.send(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]).await?,
            1 => link.send(&start(size * self.random.usize(1..200))).await?,
            _ => {
                link.send(&start(size / 2)).await?;
                link.send(&vec![b'x'; self.random.usize(1..size / 4)])
                    .await?;
                self.pause(500..2000).await;
                return Ok(());
            }
        }
        self.expect_end_of(&mut link).await;
        Ok(())
    }

    async fn reset(&mut self) -> io::Result<()> {
        let manner = Manner {
            resets: true,
            ..Manner::default()
        };
        let (mut link, version) = self.enter(manner).await?;
        let topic = format!("errors/{}", self.name);
        link.send(&Subscribe::new(1).filter(&topic, 1).encode(version))
            .await?;
        for id in 1..=self.random.u16(1..20) {
            let publish = Publish::new(&topic, self.some_bytes(500)).qos(1, id);
            link.send(&publish.encode(version)).await?;
        }
        self.pause(0..50).await;
        Ok(())
    }

    /// Opens a connection and a session, in which this client has a will and which outlives it by a
    /// second. Where the same client was connected before, it is taken over.
    async fn enter(&mut self, manner: Manner) -> io::Result<(Link, Version)> {
        let door = self.some_door();
        let mut link = self.doors.open(door, manner).await?;
        let will = Will::new("errors/will", "x").qos(1);
        let mut connect = Connect::new(&self.name).will(will);
        let version = if self.random.bool() {
            Version::V3
        } else {
            Version::V5
        };
        if version == Version::V5 {
            connect = connect.resume().with(session_expiry(1));
        }
        link.connect(version, &connect).await?;
        Ok((link, version))
    }

    async fn expect_end(&mut self, stream: &mut (impl AsyncRead + Unpin)) {
        let mut nowhere = tokio::io::sink();
        let end = tokio::io::copy(stream, &mut nowhere);
        // A reset is an end as well.
        if timeout(PATIENCE + LENIENCE, end).await.is_err() {
            self.tally.outstayed += 1;
        }
    }

    async fn expect_end_of(&mut self, link: &mut Link) {
        if timeout(PATIENCE + LENIENCE, link.drain()).await.is_err() {
            self.tally.outstayed += 1;
        }
    }
    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.random.u64(milliseconds))).await;
    }

    fn some_door(&mut self) -> Door {
        DOORS[self.random.usize(..DOORS.len())]
    }

    fn some_manner(&mut self) -> Manner {
        Manner {
            resets: self.random.bool(),
            ..Manner::default()
        }
    }

    fn some_bytes(&mut self, limit: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.random.usize(1..limit)];
        self.random.fill(&mut bytes);
        bytes
    }
}

/// What clients of one kind did.
#[derive(Default)]
struct Tally {
    begun: u64,
    /// The broker ended it before.
    cut_short: u64,
    /// The broker should have ended it and did not.
    outstayed: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.cut_short += other.cut_short;
        self.outstayed += other.outstayed;
    }
}

/// What all of them did.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<Kind, Tally>);

impl Report {
    /// Adds what those of another run did.
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, tally) in other.0 {
            self.0.entry(kind).or_default().add(&tally);
        }
    }

    /// By the name of the kind: begun, cut short, outstayed.
    fn to_json(&self) -> Value {
        let tallies = self.0.iter().map(|(kind, tally)| {
            let tally = json!([tally.begun, tally.cut_short, tally.outstayed]);
            (format!("{kind:?}"), tally)
        });
        Value::Object(tallies.collect())
    }

    fn from_json(value: &Value) -> Self {
        let tallies = KINDS.into_iter().map(|kind| {
            let tally = &value[format!("{kind:?}")];
            let number = |index: usize| tally[index].as_u64().expect("a number");
            let tally = Tally {
                begun: number(0),
                cut_short: number(1),
                outstayed: number(2),
            };
            (kind, tally)
        });
        Self(tallies.collect())
    }

    /// Every kind of error was made, and the broker ended what it has to end.
    pub(crate) fn check(&self) {
        for kind in KINDS {
            let tally = &self.0[&kind];
            assert!(
                tally.begun - tally.cut_short >= 5,
                "{kind:?}: too few errors to speak of: {self}"
            );
            assert_eq!(
                tally.outstayed, 0,
                "{kind:?}: a connection stood too long: {self}"
            );
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CLIENTS} clients:")?;
        for (kind, tally) in &self.0 {
            write!(f, " {kind:?} {}", tally.begun)?;
            for (count, what) in [
                (tally.cut_short, "cut short"),
                (tally.outstayed, "stood too long"),
            ] {
                if count > 0 {
                    write!(f, " ({count} {what})")?;
                }
            }
        }
        Ok(())
    }
}
