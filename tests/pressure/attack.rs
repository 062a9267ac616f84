//! Bad clients, in a process of their own: this binary starts itself again.
//!
//! Each kind prepares what it needs, such as a queue that is full, says so, and is told how long to
//! go on. Every attacker is a thread that does one thing again and again.

use std::any::Any;
use std::env;
use std::fmt::Display;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::raw::{Manner, Raw, STALLED};
use crate::support::{
    Connect, Door, Encode as _, Frames, PINGREQ, Publish, Subscribe, TestBroker, Unsubscribe,
    Version, Will, masked_frame, message_expiry, puback, pubrel, receive_maximum, session_expiry,
    trust, user_property, utf8, varint,
};

/// Makes this binary the attackers of this kind.
pub(crate) const ROLE_VARIABLE: &str = "ROUNDEL_TEST_ATTACK";

/// Where they find the broker, as JSON.
const DOORS_VARIABLE: &str = "ROUNDEL_TEST_DOORS";

/// The only user where there are users. The hash is that of `roundel passwd`.
pub(crate) const CREDENTIALS: (&str, &str) = ("u", "secret");
const USERS: &str = "[[users]]\nname = \"u\"\npassword_hash = \
    \"$pbkdf2-sha256$i=20000$bwa1gXgZMroyD2xvGIixuw$8flVflBMMwBuCmhlgIvxis7IKN4m8hTzeYZm75g1bT8\"\n";

/// What an attacker that failed waits before it tries again: it is no flood of failures.
const PAUSE: Duration = Duration::from_millis(5);

/// They go on until one of them has come to the end of something, but not longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// One kind of bad client.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) attackers: usize,
    /// Users that the broker knows, if it asks for passwords.
    pub(crate) users: &'static str,
    /// The broker answers requests to shadows.
    with_shadows: bool,
    /// The broker may answer with threads of its own, beside the worker.
    pub(crate) uses_threads: bool,
    /// The pair's own messages go to the bad clients too and take more than a turn, so it waits in line
    /// with all connections that are busy: so many times as long as beside 30.
    pub(crate) in_line: u32,
    prepare: fn(&Doors) -> io::Result<Held>,
    act: fn(&Doors, usize) -> io::Result<()>,
}

/// Connections that stand while the attackers act.
type Held = Vec<Box<dyn Any>>;

const fn attack(
    name: &'static str,
    attackers: usize,
    prepare: fn(&Doors) -> io::Result<Held>,
    act: fn(&Doors, usize) -> io::Result<()>,
) -> Attack {
    Attack {
        name,
        attackers,
        users: "",
        with_shadows: false,
        uses_threads: false,
        in_line: 1,
        prepare,
        act,
    }
}

impl Attack {
    /// A broker with one worker, so that nobody is served while it is busy with another.
    pub(crate) fn broker(&self) -> TestBroker {
        let config = format!(
            "http_idle_timeout = \"1h\"\nsys_interval = \"1s\"\n[limits]\nretained = 10_000_000\n\
             memory = 4_294_967_296\nconnect_timeout = \"1h\"\n{}\
             [tls]\nhandshake_timeout = \"1h\"\n[aws]\nshadows = {}\n",
            self.users, self.with_shadows
        );
        let registry = if self.with_shadows { "memory" } else { "off" };
        let flags = ["--http-port", "0", "--registry", registry];
        let flags = [&Door::FLAGS[..], &flags].concat();
        TestBroker::start_in(&flags, &config, &[("TOKIO_WORKER_THREADS", "1")])
    }
}

pub(crate) const ATTACKS: &[Attack] = &[
    // Packets with much to do.
    attack("filters", 30, nothing, filters),
    attack("share_names", 30, nothing, share_names),
    attack("properties", 30, nothing, properties),
    attack("bush_of_filters", 30, bush, publish_through_bush),
    attack("filters_that_all_match", 10, matching, publish_to_matching),
    // Retained messages.
    attack("replays_nobody_reads", 30, retained, replay_stalled),
    attack("replays", 30, retained, replay),
    attack("replays_of_nothing", 30, retained, replay_nothing),
    // Queues.
    attack("full_queue", 30, full_queue, publish_to_full),
    attack("full_group_queue", 30, full_group, publish_to_full_group),
    attack("queues_that_expire", 30, nothing, expire),
    attack("stalled_receivers", 10, stalled, publish_to_stalled),
    attack("large_messages", 4, readers, publish_large),
    attack("departures_with_a_window", 4, nothing, depart_with_window),
    attack("members_that_leave", 30, full_group, join_and_leave),
    // Small packets without end.
    attack("acknowledgements", 30, nothing, acknowledgements),
    attack("pings", 30, nothing, pings),
    attack("qos_2", 30, nothing, qos_2),
    attack("single_bytes", 30, nothing, single_bytes),
    attack("websocket_frames", 30, nothing, frames),
    attack("websocket_pings", 30, nothing, frame_pings),
    attack("partial_packets", 30, nothing, partial_packets),
    // Connections.
    attack("connections", 30, nothing, connections),
    attack("beginnings", 30, beginnings, connections),
    attack("tls_handshakes", 30, nothing, handshakes),
    attack("websocket_upgrades", 30, nothing, upgrades),
    Attack {
        users: USERS,
        uses_threads: true,
        ..attack("passwords", 30, nothing, passwords)
    },
    attack("wills", 30, nothing, wills),
    attack("takeovers", 30, nothing, takeovers),
    attack("takeovers_of_many_filters", 10, nothing, takeovers_of_many),
    attack("sessions_that_expire", 30, nothing, expiring_sessions),
    // Requests to shadows.
    Attack {
        with_shadows: true,
        uses_threads: true,
        ..attack("shadows", 30, nothing, update_shadow)
    },
    // The control API.
    attack("lists_of_many_topics", 30, many_filters, lists),
    attack("publishing_over_http", 30, nothing, publish_over_http),
    // All of it, one kind for each attacker.
    // About 500 connections have something left at any time, and subscribe to what the pair sends.
    Attack {
        in_line: 16,
        ..attack("all_together", 30, everything, all_together)
    },
];

/// What those that mix do, in turns.
const MIXED: [fn(&Doors, usize) -> io::Result<()>; 22] = [
    filters,
    share_names,
    properties,
    publish_through_bush,
    replay_stalled,
    replay,
    publish_to_full,
    publish_to_full_group,
    expire,
    join_and_leave,
    depart_with_window,
    acknowledgements,
    pings,
    qos_2,
    single_bytes,
    frames,
    partial_packets,
    connections,
    handshakes,
    wills,
    takeovers_of_many,
    lists,
];

/// How often the attackers did what they do.
static ACTS: AtomicU64 = AtomicU64::new(0);

fn count(acts: u64) {
    ACTS.fetch_add(acts, Ordering::Relaxed);
}

/// The process of bad clients, as the test sees it.
pub(crate) struct Attackers {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Attackers {
    /// Starts to prepare.
    pub(crate) fn start(attack: &Attack, broker: &TestBroker) -> Self {
        let this = env::current_exe().expect("the path of this program");
        let doors = Doors::of(broker);
        // They take what the broker and the good pair leave: many threads would have their share of
        // the cores otherwise, however nice they are.
        let mut child = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(this)
            .env(ROLE_VARIABLE, attack.name)
            .env(DOORS_VARIABLE, doors.to_json().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        Self {
            ask: child.stdin.take().expect("standard input is piped"),
            answer: BufReader::new(child.stdout.take().expect("standard output is piped")),
            child,
        }
    }

    /// Waits until all is prepared, and says how long that took.
    pub(crate) fn prepared(&mut self) -> Duration {
        Duration::from_millis(self.read())
    }

    /// Lets them act for so long, and returns how often they did. They go on until this is dropped.
    pub(crate) fn act(&mut self, duration: Duration) -> u64 {
        writeln!(self.ask, "{}", duration.as_millis()).expect("they listen");
        self.read()
    }

    fn read(&mut self) -> u64 {
        let mut line = String::new();
        self.answer.read_line(&mut line).expect("a line");
        line.trim()
            .parse()
            .unwrap_or_else(|_| panic!("the attackers said {line:?}"))
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process of bad clients.
pub(crate) fn run(name: &str) -> ExitCode {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let attack = ATTACKS
        .iter()
        .find(|attack| attack.name == name)
        .expect("an attack");
    let doors = env::var(DOORS_VARIABLE).expect("where the broker is");
    let doors = Arc::new(Doors::from_json(&doors));
    let begun = Instant::now();
    let held = (attack.prepare)(&doors).expect("the broker takes what is prepared");
    say(begun.elapsed().as_millis());
    let mut line = String::new();
    io::stdin().read_line(&mut line).expect("a duration");
    let duration = Duration::from_millis(line.trim().parse().expect("milliseconds"));
    for index in 0..attack.attackers {
        let (doors, act) = (Arc::clone(&doors), attack.act);
        thread::spawn(move || {
            loop {
                match act(&doors, index) {
                    Ok(()) => count(1),
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        });
    }
    let begun = Instant::now();
    thread::sleep(duration);
    // On a machine that has no time for them they need longer to do anything at all.
    while ACTS.load(Ordering::Relaxed) == 0 && begun.elapsed() < LONGEST {
        thread::sleep(PAUSE);
    }
    say(ACTS.load(Ordering::Relaxed));
    // Until whoever started this ends it, or is gone.
    let _ = io::stdin().read_line(&mut line);
    drop(held);
    // Whatever they are waiting for.
    std::process::exit(0);
}

/// Says it on standard output, on a line.
fn say(what: impl Display) {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}")
        .and_then(|()| out.flush())
        .expect("somebody listens");
}

/// Where the broker takes connections.
struct Doors {
    mqtt: SocketAddr,
    mqtts: SocketAddr,
    ws: SocketAddr,
    http: SocketAddr,
    certs: PathBuf,
}

impl Doors {
    fn of(broker: &TestBroker) -> Self {
        let address = |name: &str| broker.address(name).expect("the door is open");
        Self {
            mqtt: broker.mqtt(),
            mqtts: address("mqtts"),
            ws: address("ws"),
            http: address("http"),
            certs: broker.directory().expect("our own").join("certs"),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "mqtt": self.mqtt, "mqtts": self.mqtts, "ws": self.ws, "http": self.http,
            "certs": self.certs,
        })
    }

    fn from_json(text: &str) -> Self {
        let doors: Value = serde_json::from_str(text).expect("JSON");
        let address = |name: &str| serde_json::from_value(doors[name].clone()).expect("an address");
        Self {
            mqtt: address("mqtt"),
            mqtts: address("mqtts"),
            ws: address("ws"),
            http: address("http"),
            certs: serde_json::from_value(doors["certs"].clone()).expect("a folder"),
        }
    }

    fn open(&self, connect: &Connect) -> io::Result<Raw> {
        Raw::open(self.mqtt, Manner::default(), connect)
    }

    fn subscriber(
        &self,
        manner: Manner,
        connect: &Connect,
        filter: &str,
        qos: u8,
    ) -> io::Result<Raw> {
        let (raw, _) = Raw::subscriber(self.mqtt, manner, connect, filter, qos)?;
        Ok(raw)
    }
}

/// A client identifier that nobody else has.
fn fresh(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Sends it and waits until the broker has dealt with it.
fn send_and_wait(raw: &mut Raw, bytes: &[u8]) -> io::Result<()> {
    raw.send(bytes)?;
    raw.send(&PINGREQ)?;
    while raw.next()?.0 != 0xD0 {}
    count(1);
    Ok(())
}

/// Reads for so long and looks at nothing.
fn drain(raw: &mut Raw, duration: Duration) -> io::Result<()> {
    let end = Instant::now() + duration;
    raw.stream
        .set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut chunk = vec![0; 64 * 1024];
    while Instant::now() < end {
        match raw.stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn drain_for_good(raw: &Raw) -> io::Result<()> {
    let mut stream = raw.stream.try_clone()?;
    stream.set_read_timeout(None)?;
    thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
    Ok(())
}

fn nothing(_: &Doors) -> io::Result<Held> {
    Ok(Vec::new())
}

// Packets with much to do.

fn subscribe_and_unsubscribe(
    doors: &Doors,
    name: &str,
    number: usize,
    filter: impl Fn(usize) -> String,
) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh(name)))?;
    let mut subscribe = Subscribe::new(1);
    let mut unsubscribe = Unsubscribe::new(2);
    for index in 0..number {
        subscribe = subscribe.filter(filter(index), 1);
        unsubscribe = unsubscribe.filter(filter(index));
    }
    send_and_wait(&mut raw, &subscribe.encode(Version::V5))?;
    send_and_wait(&mut raw, &unsubscribe.encode(Version::V5))
}

fn filters(doors: &Doors, index: usize) -> io::Result<()> {
    subscribe_and_unsubscribe(doors, "filters", 20_000, |number| {
        format!("filters/{index}/{number}")
    })
}

fn share_names(doors: &Doors, index: usize) -> io::Result<()> {
    subscribe_and_unsubscribe(doors, "shares", 20_000, |number| {
        format!("$share/g-{index}-{number}/x")
    })
}

fn properties(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("properties")))?;
    let message = (0..40_000).fold(Publish::new("properties", ""), |message, _| {
        message.with(user_property("key", "value"))
    });
    let bytes = message.encode(Version::V5);
    (0..20).try_for_each(|_| send_and_wait(&mut raw, &bytes))
}

/// All filters of thirteen levels that are `a` or `+`, and a fourteenth.
fn bush(doors: &Doors) -> io::Result<Held> {
    bush_of(doors, 13, "/z")
}

fn bush_of(doors: &Doors, levels: usize, end: &str) -> io::Result<Held> {
    let mut raw = doors.open(&Connect::new(fresh("bush")))?;
    for start in (0..1 << levels).step_by(1024.min(1 << levels)) {
        let subscribe = (start..(start + 1024).min(1 << levels)).fold(
            Subscribe::new(1),
            |subscribe, number: usize| {
                let filter = (0..levels).map(|level| match number >> level & 1 {
                    0 => "a",
                    _ => "+",
                });
                subscribe.filter(filter.collect::<Vec<_>>().join("/") + end, 0)
            },
        );
        send_and_wait(&mut raw, &subscribe.encode(Version::V5))?;
    }
    drain_for_good(&raw)?;
    Ok(vec![Box::new(raw)])
}

fn publish_through_bush(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("through")))?;
    let topic = ["a"; 13].join("/");
    let bytes: Vec<u8> = (0..200)
        .flat_map(|number| Publish::new(format!("{topic}/{number}"), "").encode(Version::V5))
        .collect();
    (0..10).try_for_each(|_| send_and_wait(&mut raw, &bytes))
}

fn matching(doors: &Doors) -> io::Result<Held> {
    bush_of(doors, 10, "")
}

fn publish_to_matching(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("matching")))?;
    let topic = ["a"; 10].join("/");
    let bytes = Publish::new(topic, "x").encode(Version::V5).repeat(50);
    (0..10).try_for_each(|_| send_and_wait(&mut raw, &bytes))
}

// Retained messages.

fn retained(doors: &Doors) -> io::Result<Held> {
    let mut raw = doors.open(&Connect::new(fresh("retained")))?;
    for start in (0..200_000).step_by(10_000) {
        let bytes: Vec<u8> = (start..start + 10_000)
            .flat_map(|number| {
                let topic = format!("d/{}/{number}", number % 1000);
                Publish::new(topic, "1").retain().encode(Version::V5)
            })
            .collect();
        send_and_wait(&mut raw, &bytes)?;
    }
    Ok(Vec::new())
}

fn replay_stalled(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = Raw::open(doors.mqtt, STALLED, &Connect::new(fresh("stalled")))?;
    let subscribe = Subscribe::new(1).filter("#", 0).encode(Version::V5);
    raw.send(&subscribe.repeat(20))?;
    thread::sleep(Duration::from_millis(500));
    Ok(())
}

fn replay(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("replay")))?;
    let subscribe = (0..100).fold(Subscribe::new(1), |subscribe, _| subscribe.filter("#", 0));
    raw.send(&subscribe.encode(Version::V5))?;
    drain(&mut raw, Duration::from_millis(500))
}

/// Filters that look at every retained message, and match none.
fn replay_nothing(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("nothing")))?;
    let subscribe = Subscribe::new(1).filter("+/+/none", 0).encode(Version::V5);
    send_and_wait(&mut raw, &subscribe.repeat(20))
}

// Queues.

fn fill(doors: &Doors, topic: &str, messages: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("fill")))?;
    for _ in (0..messages).step_by(1000) {
        let bytes: Vec<u8> = (1..=1000)
            .flat_map(|id| Publish::new(topic, "x").qos(1, id).encode(Version::V5))
            .collect();
        raw.send(&bytes)?;
        raw.acknowledged(1000)?;
        count(1);
    }
    Ok(())
}

fn absent(doors: &Doors, filter: &str) -> io::Result<()> {
    let connect = Connect::new(fresh("absent")).with(session_expiry(600));
    doors.subscriber(Manner::default(), &connect, filter, 1)?;
    Ok(())
}

fn full_queue(doors: &Doors) -> io::Result<Held> {
    absent(doors, "full/queue")?;
    fill(doors, "full/queue", 101_000)?;
    Ok(Vec::new())
}

fn publish_to_full(doors: &Doors, _: usize) -> io::Result<()> {
    fill(doors, "full/queue", 2000)
}

fn full_group(doors: &Doors) -> io::Result<Held> {
    for _ in 0..10 {
        absent(doors, "$share/full/full/group")?;
    }
    fill(doors, "full/group", 501_000)?;
    Ok(Vec::new())
}

fn publish_to_full_group(doors: &Doors, _: usize) -> io::Result<()> {
    fill(doors, "full/group", 2000)
}

/// Fills a queue with messages of which each expires at another moment, and leaves it.
fn expire(doors: &Doors, _: usize) -> io::Result<()> {
    let name = fresh("expire");
    let connect = Connect::new(&name).with(session_expiry(1));
    drop(doors.subscriber(Manner::default(), &connect, &name, 1)?);
    let mut raw = doors.open(&Connect::new(fresh("author")))?;
    for round in 0..5 {
        let bytes: Vec<u8> = (1..=2000)
            .flat_map(|id| {
                let message = Publish::new(&name, "x").qos(1, id);
                let message = message.with(message_expiry(1 + (round + u32::from(id)) % 3));
                message.encode(Version::V5)
            })
            .collect();
        raw.send(&bytes)?;
        raw.acknowledged(2000)?;
    }
    Ok(())
}

fn stalled(doors: &Doors) -> io::Result<Held> {
    let mut held = Held::new();
    for _ in 0..50 {
        let connect = Connect::new(fresh("stalled"));
        held.push(Box::new(doors.subscriber(STALLED, &connect, "stalled", 1)?));
    }
    Ok(held)
}

fn publish_to_stalled(doors: &Doors, _: usize) -> io::Result<()> {
    fill(doors, "stalled", 2000)
}

fn readers(doors: &Doors) -> io::Result<Held> {
    let mut held = Held::new();
    for _ in 0..30 {
        let connect = Connect::new(fresh("reader"));
        let raw = doors.subscriber(Manner::default(), &connect, "large", 0)?;
        drain_for_good(&raw)?;
        held.push(Box::new(raw));
    }
    Ok(held)
}

fn publish_large(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("large")))?;
    let bytes = Publish::new("large", vec![b'x'; 4 << 20]).encode(Version::V5);
    (0..5).try_for_each(|_| send_and_wait(&mut raw, &bytes))
}

/// A receiver with its window full of messages vanishes, comes back and gets all of them again.
fn depart_with_window(doors: &Doors, _: usize) -> io::Result<()> {
    let name = fresh("window");
    let connect = Connect::new(&name).with(session_expiry(600));
    let connect = connect.with(receive_maximum(65_535));
    let receiver = doors.subscriber(Manner::default(), &connect, &name, 1)?;
    drain_for_good(&receiver)?;
    fill(doors, &name, 66_000)?;
    drop(receiver);
    for _ in 0..3 {
        let mut again = doors.open(&connect.clone().resume())?;
        drain(&mut again, Duration::from_millis(300))?;
    }
    doors.open(&Connect::new(&name))?;
    Ok(())
}

/// Joins a group whose queue is full, takes nothing and leaves.
fn join_and_leave(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("member")))?;
    for _ in 0..10 {
        let subscribe = Subscribe::new(1).filter("$share/full/full/group", 1);
        raw.send(&subscribe.encode(Version::V5))?;
        let unsubscribe = Unsubscribe::new(2).filter("$share/full/full/group");
        send_and_wait(&mut raw, &unsubscribe.encode(Version::V5))?;
    }
    Ok(())
}

// Small packets without end.

fn flood(doors: &Doors, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh(name)))?;
    drain_for_good(&raw)?;
    (0..100).try_for_each(|_| raw.send(bytes))
}

fn acknowledgements(doors: &Doors, _: usize) -> io::Result<()> {
    let acks = puback(1).encode(Version::V5).repeat(10_000);
    flood(doors, "acks", &acks)
}

fn pings(doors: &Doors, _: usize) -> io::Result<()> {
    flood(doors, "pings", &PINGREQ.repeat(10_000))
}

fn qos_2(doors: &Doors, _: usize) -> io::Result<()> {
    let mut bytes = Vec::new();
    for id in 1..=1000 {
        bytes.extend(Publish::new("two", "x").qos(2, id).encode(Version::V5));
        bytes.extend(pubrel(id).encode(Version::V5));
    }
    flood(doors, "two", &bytes)
}

/// Updates a shadow, of which every answer comes back.
fn update_shadow(doors: &Doors, index: usize) -> io::Result<()> {
    let shadow = format!("$aws/things/thing-{index}/shadow/update");
    let connect = Connect::new(fresh("shadow"));
    let answers = format!("{shadow}/+");
    let mut raw = doors.subscriber(Manner::default(), &connect, &answers, 0)?;
    drain_for_good(&raw)?;
    let parts: Vec<_> = (0..100)
        .map(|part| format!(r#""p{part}":{part}"#))
        .collect();
    let payload = format!(r#"{{"state":{{"desired":{{{}}}}}}}"#, parts.join(","));
    let update = Publish::new(shadow, payload.as_bytes()).encode(Version::V5);
    // Few, for they are answered more slowly than they can be sent.
    raw.send(&update.repeat(200))
}

fn single_bytes(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("bytes")))?;
    let message = Publish::new("bytes", [b'x'; 500]).encode(Version::V5);
    for _ in 0..10 {
        for byte in &message {
            raw.send(&[*byte])?;
        }
    }
    Ok(())
}

/// Opens a WebSocket connection and a session in it.
fn upgrade(doors: &Doors) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(doors.ws)?;
    stream.set_nodelay(true)?;
    let raw = stream.try_clone()?;
    let mut client = Frames::try_upgrade(stream)?;
    client.write_all(&Connect::new(fresh("frames")).encode(Version::V5))?;
    client.read_exact(&mut [0; 2])?;
    let mut reader = raw.try_clone()?;
    thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
    Ok(raw)
}

fn frames(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = upgrade(doors)?;
    let bytes: Vec<u8> = PINGREQ
        .iter()
        .flat_map(|byte| masked_frame(2, &[*byte], true))
        .collect();
    let bytes = bytes.repeat(2000);
    (0..100).try_for_each(|_| raw.write_all(&bytes))
}

fn frame_pings(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = upgrade(doors)?;
    let bytes = masked_frame(9, b"x", true).repeat(5000);
    (0..100).try_for_each(|_| raw.write_all(&bytes))
}

fn partial_packets(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = doors.open(&Connect::new(fresh("partial")))?;
    let mut start = vec![0x30];
    start.extend(varint(64 << 20));
    start.extend(utf8("partial"));
    start.push(0);
    raw.send(&start)?;
    let piece = vec![b'x'; 1 << 20];
    raw.stream
        .set_write_timeout(Some(Duration::from_millis(500)))?;
    for _ in 0..30 {
        raw.send(&piece)?;
        count(1);
    }
    Ok(())
}

// Connections.

fn connections(doors: &Doors, _: usize) -> io::Result<()> {
    doors.open(&Connect::new(fresh("connect")))?;
    Ok(())
}

/// What begins and is not gone on with, at every door.
fn beginnings(doors: &Doors) -> io::Result<Held> {
    let name = "localhost".try_into().expect("a name");
    let mut tls = rustls::ClientConnection::new(trust(&doors.certs), name).expect("a client");
    let mut hello = Vec::new();
    tls.write_tls(&mut hello)?;
    let request = b"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{";
    let kinds: [(_, &[u8], _); 6] = [
        (doors.mqtt, b"", 1000),
        (doors.mqtt, b"\x10\x20\0", 1000),
        (doors.mqtts, &hello[..hello.len() / 2], 500),
        (doors.mqtts, &hello, 500),
        (doors.ws, b"GET /mqtt HTTP/1.1\r\nHo", 500),
        (doors.http, request, 200),
    ];
    let mut held = Held::new();
    for (address, bytes, number) in kinds {
        for _ in 0..number {
            let mut raw = Raw::dial(address, Manner::default())?;
            raw.send(bytes)?;
            held.push(Box::new(raw));
        }
    }
    for _ in 0..1000 {
        held.push(Box::new(doors.open(&Connect::new(fresh("idle")))?));
    }
    Ok(held)
}

fn handshakes(doors: &Doors, _: usize) -> io::Result<()> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let config = trust(&doors.certs);
        // Each handshake is a whole one.
        let mut config = Arc::unwrap_or_clone(config);
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    });
    let name = "localhost".try_into().expect("a name");
    let mut tls = rustls::ClientConnection::new(Arc::clone(config), name).expect("a client");
    let mut stream = TcpStream::connect(doors.mqtts)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_nodelay(true)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(())
}

fn upgrades(doors: &Doors, _: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(doors.ws)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        doors.ws
    );
    stream.write_all(request.as_bytes())?;
    stream.read_exact(&mut [0; 12])
}

fn passwords(doors: &Doors, _: usize) -> io::Result<()> {
    let mut raw = Raw::dial(doors.mqtt, Manner::default())?;
    let connect = Connect::new(fresh("guess")).user("u").password("wrong");
    raw.send(&connect.encode(Version::V5))?;
    raw.next()?;
    Ok(())
}

/// Connects with a will to many, and vanishes.
fn wills(doors: &Doors, _: usize) -> io::Result<()> {
    let will = Will::new("will", vec![b'x'; 10_000]).qos(1).retain();
    doors.open(&Connect::new(fresh("will")).will(will))?;
    Ok(())
}

fn takeovers(doors: &Doors, _: usize) -> io::Result<()> {
    let connect = Connect::new("taken").with(session_expiry(600)).resume();
    let raw = doors.subscriber(Manner::default(), &connect, "taken/over", 1)?;
    drop(raw);
    Ok(())
}

/// Two sessions by turns, each with many subscriptions, resumed and begun anew.
fn takeovers_of_many(doors: &Doors, index: usize) -> io::Result<()> {
    let connect = Connect::new(format!("many-{}", index % 5)).with(session_expiry(600));
    let mut raw = doors.open(&connect)?;
    let subscribe = (0..20_000).fold(Subscribe::new(1), |subscribe, number| {
        subscribe.filter(format!("many/{index}/{number}"), 1)
    });
    send_and_wait(&mut raw, &subscribe.encode(Version::V5))?;
    doors.open(&connect.resume())?;
    Ok(())
}

/// Sessions with subscriptions that end a second later, all of them together.
fn expiring_sessions(doors: &Doors, index: usize) -> io::Result<()> {
    let connect = Connect::new(fresh("soon")).with(session_expiry(1));
    let mut raw = doors.open(&connect)?;
    let subscribe = (0..500).fold(Subscribe::new(1), |subscribe, number| {
        subscribe.filter(format!("soon/{index}/{number}"), 1)
    });
    send_and_wait(&mut raw, &subscribe.encode(Version::V5))
}

// The control API.

fn many_filters(doors: &Doors) -> io::Result<Held> {
    let mut held = Held::new();
    for client in 0..20 {
        let mut raw = doors.open(&Connect::new(fresh("filters")))?;
        let subscribe = (0..20_000).fold(Subscribe::new(1), |subscribe, number| {
            subscribe.filter(format!("list/{client}/{number}"), 0)
        });
        send_and_wait(&mut raw, &subscribe.encode(Version::V5))?;
        held.push(Box::new(raw));
    }
    Ok(held)
}

fn request(doors: &Doors, request: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(doors.http)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.starts_with(b"HTTP/1.1 2") {
        true => Ok(()),
        false => Err(io::Error::other("no success")),
    }
}

fn lists(doors: &Doors, index: usize) -> io::Result<()> {
    const TARGETS: [&str; 7] = [
        "/v1/topics",
        "/v1/topics?limit=10000",
        "/v1/topics?q=nothing",
        "/v1/clients",
        "/v1/stats",
        "/v1/retained",
        "/metrics",
    ];
    let (host, target) = (doors.http, TARGETS[index % TARGETS.len()]);
    request(
        doors,
        &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
    )
}

fn publish_over_http(doors: &Doors, _: usize) -> io::Result<()> {
    let body = json!({ "topic": "over/http", "payload": "x".repeat(1000) }).to_string();
    let (host, length) = (doors.http, body.len());
    request(
        doors,
        &format!(
            "POST /v1/publish HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

// All of it.

fn everything(doors: &Doors) -> io::Result<Held> {
    let mut held = Held::new();
    for prepare in [bush, retained, full_queue, full_group, many_filters] {
        held.extend(prepare(doors)?);
    }
    Ok(held)
}

fn all_together(doors: &Doors, index: usize) -> io::Result<()> {
    MIXED[index % MIXED.len()](doors, index)
}
