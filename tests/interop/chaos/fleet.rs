//! The clients of the chaos run, of five libraries: workers that take commands line by line and tell
//! what happens in the same way (`clients/chaos.py` has the list), rumqttc in this process, and mosquitto's
//! programs.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rumqttc_v5::{
    AsyncClient, ConnectReturnCode, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS,
};
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::broker::{file, python};
use crate::process::Process;

/// Seconds; short enough for pings within a run.
const KEEP_ALIVE: u16 = 3;

/// Who is in the run. Those of one number are in the same groups.
pub(super) const NAMES: [&str; 9] = [
    "paho-0",
    "awscrt-0",
    "mqttjs-0",
    "rumqttc-0",
    "mosquitto-0",
    "paho-1",
    "awscrt-1",
    "mqttjs-1",
    "rumqttc-1",
];

/// The publisher of mosquitto; it has one topic.
pub(super) const MOSQUITTO_PUB: &str = "mosquitto-pub";
pub(super) const MOSQUITTO_TOPIC: &str = "p/mosquitto";

/// Shared groups: name, filter, and the number of their members.
pub(super) const GROUPS: [(&str, &str, &str); 3] = [
    ("a", "ga/#", "-0"),
    ("b", "gb/#", "-1"),
    ("c", "gb/#", "-0"),
];

/// What a client subscribes to, at QoS 2 if it has that.
pub(super) fn filters(name: &str) -> Vec<String> {
    let mut filters = vec!["p/#".to_owned(), "m/#".to_owned()];
    let groups = GROUPS
        .iter()
        .filter(|(_, _, number)| name.ends_with(number));
    filters.extend(groups.map(|(share, filter, _)| format!("$share/{share}/{filter}")));
    if name.ends_with("-1") {
        filters.extend(["keep/#".to_owned(), "will/#".to_owned()]);
    }
    filters
}

/// The library of a client.
pub(super) fn library(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

/// What is known of a client from what it says.
#[derive(Default)]
pub(super) struct Known {
    /// CONNACKs and SUBACKs so far.
    pub(super) ups: u64,
    pub(super) subacks: u64,
    /// How often it was stopped.
    gone: u64,
    /// It was told to stay away.
    pub(super) is_away: bool,
    /// Topics and payloads that it got.
    pub(super) got: HashSet<(String, String)>,
}

/// All clients.
pub(super) struct Fleet {
    port: u16,
    workers: BTreeMap<&'static str, Process>,
    rumqttc: BTreeMap<&'static str, UnboundedSender<Order>>,
    runtime: runtime::Runtime,
    subscriber: Option<Process>,
    publisher: Option<Process>,
    lines: Receiver<(usize, String)>,
    tell: Sender<(usize, String)>,
    pub(super) known: BTreeMap<&'static str, Known>,
    /// What libraries said of themselves, and how often.
    pub(super) notes: BTreeMap<String, u64>,
    pub(super) messages: u64,
}

impl Fleet {
    /// Starts the workers; nobody is connected yet.
    pub(super) fn start(port: u16) -> Self {
        let (tell, lines) = channel();
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let workers = ["paho", "awscrt", "mqttjs"].map(|library| {
            let worker = worker(library, port, &tell);
            (library, worker)
        });
        let workers = BTreeMap::from(workers);
        Self {
            port,
            workers,
            rumqttc: BTreeMap::new(),
            runtime,
            subscriber: None,
            publisher: None,
            lines,
            tell,
            known: NAMES.iter().map(|name| (*name, Known::default())).collect(),
            notes: BTreeMap::new(),
            messages: 0,
        }
    }

    /// Makes a client anew; it connects. With `is_clean`, to a new session; one of rumqttc does so always: it
    /// cannot subscribe in a session of which it has no state.
    pub(super) fn open(&mut self, name: &'static str, is_clean: bool) {
        self.of(name).is_away = false;
        let clean = u8::from(is_clean);
        match library(name) {
            "rumqttc" => {
                let (orders, taken) = unbounded_channel();
                let (tell, port) = (self.tell.clone(), self.port);
                self.runtime.spawn(rumqttc(name, port, taken, tell));
                self.rumqttc.insert(name, orders);
            }
            "mosquitto" => self.start_mosquitto(name),
            library => self.command(library, &format!("open {name} {clean}")),
        }
    }

    /// Starts the process of a library anew, with all its clients: a library may take its process down.
    pub(super) fn restart(&mut self, own: &'static str) {
        if let Some(process) = self.workers.get_mut(own) {
            *process = worker(own, self.port, &self.tell);
            let names = NAMES.iter().filter(|name| library(name) == own);
            names.for_each(|name| self.open(name, false));
        }
    }

    fn start_mosquitto(&mut self, name: &'static str) {
        self.stop_mosquitto();
        let mut command = self.mosquitto("mosquitto_sub", name);
        command.args(["-c", "-q", "2", "-F", &format!("got {name} %t %q %p")]);
        for filter in filters(name) {
            command.args(["-t", &filter]);
        }
        let mut process = Process::start(name, &mut command);
        process.forward(0, self.tell.clone());
        self.subscriber = Some(process);
    }

    /// It prints what it has before it ends.
    fn stop_mosquitto(&mut self) {
        if let Some(former) = self.subscriber.take() {
            former.terminate();
        }
    }

    /// Starts `mosquitto_pub`, in the place of the one before.
    pub(super) fn open_publisher(&mut self) {
        let mut command = self.mosquitto("mosquitto_pub", MOSQUITTO_PUB);
        command.args(["-q", "1", "-t", MOSQUITTO_TOPIC, "-l"]);
        let mut process = Process::start(MOSQUITTO_PUB, &mut command);
        process.forward(0, self.tell.clone());
        self.publisher = Some(process);
    }

    fn mosquitto(&self, program: &str, name: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-V", "mqttv5", "-i", name, "-k", "5"]);
        command
    }

    pub(super) fn subscribe(&mut self, name: &'static str) {
        let filters = filters(name);
        match library(name) {
            "mosquitto" => {}
            "rumqttc" => self.order(name, Order::Subscribe(filters)),
            library => self.command(library, &format!("sub {name} 2 {}", filters.join(" "))),
        }
    }

    pub(super) fn publish(
        &mut self,
        name: &'static str,
        topic: &str,
        qos: u8,
        retain: bool,
        text: &str,
    ) {
        self.messages += 1;
        match library(name) {
            "mosquitto" => {
                let publisher = self.publisher.as_mut();
                publisher.expect("it was started").send(text);
            }
            "rumqttc" => {
                let topic = topic.to_owned();
                let text = text.to_owned();
                self.order(name, Order::Publish(topic, qos, retain, text));
            }
            library => {
                let retain = u8::from(retain);
                self.command(
                    library,
                    &format!("pub {name} {topic} {qos} {retain} {text}"),
                );
            }
        }
    }

    /// Loses its connection. `mosquitto_sub` cannot be told to.
    pub(super) fn cut(&mut self, name: &'static str) {
        match library(name) {
            "mosquitto" => {}
            "rumqttc" => self.order(name, Order::Cut),
            library => self.command(library, &format!("cut {name}")),
        }
    }

    /// Goes with a DISCONNECT.
    pub(super) fn leave(&mut self, name: &'static str) {
        self.of(name).is_away = true;
        match library(name) {
            "mosquitto" => self.stop_mosquitto(),
            "rumqttc" => self.order(name, Order::Leave),
            library => self.command(library, &format!("leave {name}")),
        }
    }

    /// Comes back.
    pub(super) fn back(&mut self, name: &'static str) {
        self.of(name).is_away = false;
        match library(name) {
            "mosquitto" => self.open(name, false),
            "rumqttc" => self.order(name, Order::Back),
            library => self.command(library, &format!("back {name}")),
        }
    }

    /// Everybody is gone, without DISCONNECT where a library can do that. Returns the libraries that had taken
    /// their process down, of which there is another one now.
    pub(super) fn stop_all(&mut self) -> Vec<&'static str> {
        self.stop_mosquitto();
        self.publisher = None;
        let before: BTreeMap<_, _> = self
            .known
            .iter()
            .map(|(name, own)| (*name, own.gone))
            .collect();
        let is_left = |known: &BTreeMap<&str, Known>, name: &str| {
            library(name) != "mosquitto" && known[name].gone == before[name]
        };
        let mut replaced = self.replace_ended();
        let mut asked: Vec<_> = NAMES.to_vec();
        loop {
            for name in asked {
                match library(name) {
                    "mosquitto" => {}
                    "rumqttc" => drop(self.rumqttc.remove(name)),
                    library => self.command(library, &format!("stop {name}")),
                }
            }
            let within = Duration::from_secs(20);
            if self.until(within, |known| {
                !NAMES.iter().any(|name| is_left(known, name))
            }) {
                return replaced;
            }
            // One may have ended when it was asked.
            let ended = self.replace_ended();
            let left = NAMES.iter().filter(|name| is_left(&self.known, name));
            asked = left.copied().collect();
            assert!(!ended.is_empty(), "workers take no commands: {asked:?}");
            replaced.extend(ended);
        }
    }

    /// Starts the processes anew that their library took down. Returns the libraries.
    fn replace_ended(&mut self) -> Vec<&'static str> {
        let mut replaced = Vec::new();
        for (library, process) in &mut self.workers {
            let Some(status) = process.ended() else {
                continue;
            };
            // What it said on standard error has been shown.
            let what = format!("{library}: its process has ended, {status}");
            assert!(takes_its_process_down(library, status), "{what}");
            *self.notes.entry(what).or_default() += 1;
            *process = worker(library, self.port, &self.tell);
            replaced.push(*library);
        }
        replaced
    }

    fn command(&mut self, library: &str, line: &str) {
        let worker = self.workers.get_mut(library);
        worker.expect("a worker of each library").send(line);
    }

    fn order(&mut self, name: &'static str, order: Order) {
        if let Some(orders) = self.rumqttc.get(name) {
            // One that has left takes no more.
            let _ = orders.send(order);
        }
    }

    fn of(&mut self, name: &'static str) -> &mut Known {
        self.known.get_mut(name).expect("one of the clients")
    }

    /// Takes what the clients say until `is_so`, or until the time is over. Whether it is so.
    pub(super) fn until(
        &mut self,
        within: Duration,
        mut is_so: impl FnMut(&BTreeMap<&'static str, Known>) -> bool,
    ) -> bool {
        let until = Instant::now() + within;
        loop {
            while let Ok((_, line)) = self.lines.try_recv() {
                self.note(&line);
            }
            if is_so(&self.known) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((_, line)) => self.note(&line),
                Err(_) => return is_so(&self.known),
            }
        }
    }

    /// Takes what the clients have said so far.
    pub(super) fn listen(&mut self) {
        self.until(Duration::ZERO, |_| true);
    }

    fn note(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (event, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if let "note" | "down" = event {
            let rest = words.collect::<Vec<_>>().join(" ");
            if !rest.is_empty() {
                // Numbers differ from one time to the next.
                let kind: String = rest.chars().filter(|c| !c.is_ascii_digit()).collect();
                let kind = kind.chars().take(160).collect::<String>();
                *self
                    .notes
                    .entry(format!("{}: {kind}", library(name)))
                    .or_default() += 1;
            }
            return;
        }
        let Some(known) = self.known.get_mut(name) else {
            return;
        };
        match event {
            "up" => known.ups += 1,
            "suback" => known.subacks += 1,
            "gone" => known.gone += 1,
            "got" => {
                let topic = words.next().unwrap_or("").to_owned();
                let text = words.nth(1).unwrap_or("").to_owned();
                known.got.insert((topic, text));
            }
            _ => {}
        }
    }
}

/// Whether this is the end that a library is known to bring about (docs/client-faults.md): awscrt fails an
/// assertion of its own, or reads what it has freed. Any other end is a fault of the run.
fn takes_its_process_down(library: &str, status: ExitStatus) -> bool {
    const SIGABRT: i32 = 6;
    const SIGSEGV: i32 = 11;
    library == "awscrt" && matches!(status.signal(), Some(SIGABRT | SIGSEGV))
}

/// The process that has the clients of a library.
fn worker(library: &str, port: u16, tell: &Sender<(usize, String)>) -> Process {
    let mut command = if library == "mqttjs" {
        let mut command = Command::new("node");
        command.arg(file("clients/chaos.mjs"));
        command
    } else {
        let mut command = python();
        command.arg(file("clients/chaos.py"));
        command.args(["--library", library]);
        command
    };
    command.args(["--port", &port.to_string()]);
    command.args(["--keep-alive", &KEEP_ALIVE.to_string()]);
    let mut process = Process::start(library, &mut command);
    process.forward(0, tell.clone());
    process
}

/// What a client of rumqttc is told.
enum Order {
    Subscribe(Vec<String>),
    Publish(String, u8, bool, String),
    Cut,
    /// It does not come back before [`Order::Back`]. A DISCONNECT would be the end of its event loop.
    Leave,
    Back,
}

/// A client of rumqttc, until its orders end.
async fn rumqttc(
    name: &'static str,
    port: u16,
    mut orders: UnboundedReceiver<Order>,
    tell: Sender<(usize, String)>,
) {
    let mut options = MqttOptions::new(name, ("127.0.0.1", port));
    options.set_keep_alive(KEEP_ALIVE);
    options.set_session_expiry_interval(Some(u32::MAX));
    options.set_clean_start(true);
    options.set_connect_timeout(Duration::from_secs(2));
    let (client, events) = AsyncClient::builder(options).capacity(100_000).build();
    let (cut, cuts) = unbounded_channel();
    let pump = tokio::spawn(pump(name, events, cuts, tell.clone()));
    while let Some(order) = orders.recv().await {
        // What a library refuses to take shows in what it does.
        match order {
            Order::Subscribe(filters) => {
                let wanted = filters
                    .into_iter()
                    .map(|filter| rumqttc_v5::SubscribeFilter::new(filter, QoS::ExactlyOnce));
                let _ = client.try_subscribe_many(wanted);
            }
            Order::Publish(topic, qos, retain, text) => {
                let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)];
                let options = PublishOptions::new(qos).retain(retain);
                let _ = client.try_publish(topic, text, options);
            }
            order @ (Order::Cut | Order::Leave | Order::Back) => {
                let _ = cut.send(order);
            }
        }
    }
    pump.abort();
    // It ends by that.
    let _ = pump.await;
    let _ = tell.send((0, format!("gone {name}")));
}

async fn pump(
    name: &'static str,
    mut events: EventLoop,
    mut cuts: UnboundedReceiver<Order>,
    tell: Sender<(usize, String)>,
) {
    let say = |line: String| {
        // The run is over.
        let _ = tell.send((0, line));
    };
    let mut is_away = false;
    loop {
        let event = tokio::select! {
            Some(order) = cuts.recv() => {
                is_away = matches!(order, Order::Leave);
                if !matches!(order, Order::Back) {
                    events.clean();
                }
                continue;
            }
            event = events.poll(), if !is_away => event,
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                events.options.set_clean_start(false);
                if connack.code == ConnectReturnCode::Success {
                    say(format!("up {name}"));
                }
            }
            Ok(Event::Incoming(Packet::SubAck(suback))) => {
                let is_granted = |code: &rumqttc_v5::SubscribeReasonCode| {
                    matches!(code, rumqttc_v5::SubscribeReasonCode::Success(_))
                };
                if suback.return_codes.iter().all(is_granted) {
                    say(format!("suback {name}"));
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic).replace([' ', '\n'], "_");
                let text = String::from_utf8_lossy(&publish.payload).replace([' ', '\n'], "_");
                let qos = publish.qos as u8;
                say(format!("got {name} {topic} {qos} {text}"));
            }
            Ok(_) => {}
            Err(rumqttc_v5::ConnectionError::RequestsDone) => return,
            Err(error) => {
                say(format!("down {name} {error}"));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.rumqttc.clear();
        // The tasks of rumqttc end by themselves.
        thread::yield_now();
    }
}
