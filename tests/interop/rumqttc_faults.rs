//! rumqttc, for MQTT 3.1.1 and for MQTT 5, under each packet rule: what it tells its program, and what goes over
//! the wire by the journal.
//!
//! Where it does other than the standard has it, the test says what it does, and which statement that is
//! against.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use roundel::journal::{Journal, JournalQuery, PacketRow, RowKind};
use roundel::rules::{Action, Changes, Direction, Injected, Match, Rule, Rules, When};
use roundel::{
    Config, Message, PacketFields, PacketType, PropertyName, PropertyValue, QoS, ReasonCode, Server,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::trial;

/// How long a step may take.
const STEP: Duration = Duration::from_secs(10);

/// A step that does not happen is waited for so long. It would, within a few milliseconds.
const NEVER: Duration = Duration::from_millis(150);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = v4::trials();
    trials.extend(v5::trials());
    trials.extend(only_v5::trials());
    trials
}

/// A test that has a broker of its own, in this process.
fn case<F>(name: &str, body: impl FnOnce(Stand) -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    trial(format!("rumqttc_faults::{name}"), move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async { body(Stand::start().await).await });
    })
}

/// A broker, its rules and its journal.
struct Stand {
    server: Server,
    rules: Rules,
    journal: Journal,
}

impl Stand {
    async fn start() -> Self {
        let server = Server::start(Config::standard().ephemeral()).await;
        let server = server.expect("it starts");
        let (rules, journal) = (server.rules(), server.journal());
        journal.switch(true);
        Self {
            server,
            rules,
            journal,
        }
    }

    fn port(&self) -> u16 {
        let address = self.server.addrs().mqtt;
        address.expect("the listener is on").port()
    }

    /// Has a rule act once.
    fn once(&self, name: &str, matches: Match, action: Action) {
        let rule = Rule::new(matches, action).named(name).times(1);
        self.rules.add(rule).expect("a rule");
    }

    async fn hit(&self, name: &str) {
        let hit = self.rules.wait_for_hits(name, 1, STEP).await;
        hit.unwrap_or_else(|rule| panic!("{name} has not acted: {rule:?}\n{}", self.tail()));
    }

    /// The first `count` packets like this, once they are there.
    async fn packets(&self, matches: Match, count: usize) -> Vec<PacketRow> {
        let query = JournalQuery::from(matches.clone());
        match self.journal.wait(&query, 0, count, STEP).await {
            Ok(rows) => rows.into_iter().filter_map(packet).collect(),
            Err(error) => panic!("{error}\n{}", self.tail()),
        }
    }

    /// Those that are there.
    fn count(&self, matches: Match) -> usize {
        let query = JournalQuery::from(matches);
        self.journal.rows(&query, 0, 1000).len()
    }

    /// The connection of a client is not lost from here on.
    async fn expect_no_end(&self, since: u64) {
        let ends = JournalQuery::event("disconnected");
        let end = self.journal.wait(&ends, since, 1, NEVER).await;
        assert!(end.is_err(), "the connection ended: {end:?}");
    }

    /// The connection of the client ends.
    async fn expect_end(&self, since: u64) {
        let ends = JournalQuery::event("disconnected");
        let end = self.journal.wait(&ends, since, 1, STEP).await;
        assert!(end.is_ok(), "the connection goes on\n{}", self.tail());
    }

    fn publish(&self, payload: &str, qos: QoS) {
        let message = Message::new("t/1", payload.to_owned()).with_qos(qos);
        self.server.publish(&message).expect("a valid message");
    }

    /// A packet arrives at the client that the broker did not send.
    fn inject(&self, packet: PacketFields) {
        let packet = Injected::Fields(Box::new(packet));
        assert!(
            self.rules.inject("c", Direction::Out, &packet),
            "it is there"
        );
    }

    fn tail(&self) -> String {
        let rows = self.journal.rows(&JournalQuery::default(), 0, 1000);
        let lines = rows.iter().map(|row| match &row.what {
            RowKind::Event { name, text, .. } => format!("{} {name} {text}", row.number),
            RowKind::Packet(own) => format!(
                "{} {} {:?} {:?} {:?}",
                row.number,
                own.direction.name(),
                own.packet_type,
                own.packet().and_then(|packet| packet.packet_id),
                own.deed
            ),
            other => format!("{} {other:?}", row.number),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn packet(row: roundel::journal::JournalRow) -> Option<PacketRow> {
    match row.what {
        RowKind::Packet(packet) => Some(packet),
        _ => None,
    }
}

fn from_client(packet_type: PacketType) -> Match {
    Match::of(packet_type).from_clients()
}

fn to_client(packet_type: PacketType) -> Match {
    Match::of(packet_type).to_clients()
}

/// Identifiers and DUP of PUBLISH packets.
fn sent(rows: &[PacketRow]) -> Vec<(Option<u16>, bool)> {
    let packets = rows.iter().filter_map(PacketRow::packet);
    packets
        .map(|packet| (packet.packet_id, packet.dup))
        .collect()
}

fn fields(packet_type: PacketType, packet_id: u16) -> PacketFields {
    let mut packet = PacketFields::new(packet_type);
    packet.packet_id = Some(packet_id);
    packet
}

fn a_publish(qos: u8, packet_id: u16) -> PacketFields {
    let mut packet = fields(PacketType::Publish, packet_id);
    packet.topic = Some("t/injected".to_owned());
    packet.payload = "injected".into();
    packet.qos = qos;
    packet
}

fn replace(change: impl FnOnce(&mut Changes)) -> Action {
    let mut changes = Changes::default();
    change(&mut changes);
    Action::Replace(Box::new(changes))
}

/// Sets a property of the packet.
fn property(name: &str, value: u32) -> Action {
    let name = PropertyName::parse(name).expect("a property");
    replace(|changes| {
        changes.properties = vec![(name, Some(PropertyValue::Number(value)))];
    })
}

/// What a client tells its program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Note {
    /// CONNACK with Session Present.
    Up(bool),
    /// Payload, QoS and DUP.
    Message(String, u8, bool),
    /// An error of its event loop, which is polled on.
    Error(String),
    /// Its event loop has ended.
    Done,
}

/// What came of something that was published.
type Outcome = JoinHandle<Result<String, String>>;

/// What is told by a client.
struct Notes {
    incoming: UnboundedReceiver<Note>,
    seen: Vec<Note>,
}

impl Notes {
    /// Waits for a note.
    async fn until(&mut self, what: &str, is_it: impl Fn(&Note) -> bool) -> Note {
        let until = Instant::now() + STEP;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, self.incoming.recv()).await {
                Ok(Some(note)) => {
                    self.seen.push(note.clone());
                    if is_it(&note) {
                        return note;
                    }
                }
                _ => panic!("no {what} in {:#?}", self.seen),
            }
        }
    }

    async fn up(&mut self) -> bool {
        match self
            .until("CONNACK", |note| matches!(note, Note::Up(_)))
            .await
        {
            Note::Up(session_present) => session_present,
            _ => unreachable!(),
        }
    }

    async fn error(&mut self) -> String {
        match self
            .until("error", |note| matches!(note, Note::Error(_)))
            .await
        {
            Note::Error(error) => error,
            _ => unreachable!(),
        }
    }

    async fn message(&mut self, payload: &str) -> (u8, bool) {
        let is_it = |note: &Note| matches!(note, Note::Message(own, _, _) if own == payload);
        match self.until(payload, is_it).await {
            Note::Message(_, qos, dup) => (qos, dup),
            _ => unreachable!(),
        }
    }

    /// Payloads that it has told of so far.
    fn payloads(&self) -> Vec<&str> {
        let payloads = self.seen.iter().filter_map(|note| match note {
            Note::Message(payload, _, _) => Some(payload.as_str()),
            _ => None,
        });
        payloads.collect()
    }
}

/// Whether something that was published is still under way, although it would be done by now.
async fn is_open(outcome: &mut Outcome) -> bool {
    timeout(NEVER, outcome).await.is_err()
}

/// What came of it.
async fn outcome(outcome: Outcome) -> Result<String, String> {
    let outcome = timeout(STEP, outcome).await;
    outcome.expect("it comes to an end").expect("no panic")
}

/// The two crates have the same shape but share no type.
macro_rules! client {
    ($module:ident, $rumqttc:ident, $persist:expr) => {
        mod $module {
            use $rumqttc::{
                AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet,
                PublishOptions, QoS as Level,
            };

            use super::*;

            /// A client that connects again whenever its connection is lost.
            pub(super) struct Peer {
                pub(super) client: AsyncClient,
                pub(super) notes: Notes,
                pump: JoinHandle<()>,
            }

            impl Drop for Peer {
                fn drop(&mut self) {
                    self.pump.abort();
                }
            }

            impl Peer {
                /// Connects, with a session that lasts.
                pub(super) async fn connect(stand: &Stand) -> Self {
                    let mut peer = Self::open(stand, 60);
                    assert!(!peer.notes.up().await, "a new session");
                    peer
                }

                /// Connects and subscribes to everything.
                pub(super) async fn reader(stand: &Stand) -> Self {
                    let peer = Self::connect(stand).await;
                    let notice = peer
                        .client
                        .subscribe_tracked("t/#", Level::ExactlyOnce)
                        .await;
                    let suback = notice.expect("it is taken").wait_async().await;
                    suback.expect("SUBACK");
                    peer
                }

                pub(super) fn open(stand: &Stand, keep_alive: u16) -> Self {
                    let mut options = MqttOptions::new("c", ("127.0.0.1", stand.port()));
                    options.set_keep_alive(keep_alive);
                    let persist: fn(&mut MqttOptions) = $persist;
                    persist(&mut options);
                    let (client, events) = AsyncClient::builder(options).capacity(100).build();
                    let (tell, incoming) = unbounded_channel();
                    let pump = tokio::spawn(pump(events, move |note| {
                        // The test is over.
                        let _ = tell.send(note);
                    }));
                    let notes = Notes {
                        incoming,
                        seen: Vec::new(),
                    };
                    Self {
                        client,
                        notes,
                        pump,
                    }
                }

                /// Publishes; what comes of it.
                pub(super) async fn publish(&self, payload: &str, qos: u8) -> Outcome {
                    let level = match qos {
                        0 => Level::AtMostOnce,
                        1 => Level::AtLeastOnce,
                        _ => Level::ExactlyOnce,
                    };
                    let options = PublishOptions::new(level);
                    let notice = self
                        .client
                        .publish_tracked("t/1", payload.to_owned(), options);
                    let notice = notice.await.expect("it is taken");
                    tokio::spawn(async move {
                        let done = notice.wait_async().await;
                        done.map(|done| format!("{done:?}"))
                            .map_err(|error| format!("{error:?}"))
                    })
                }
            }

            async fn pump(mut events: EventLoop, tell: impl Fn(Note)) {
                loop {
                    match events.poll().await {
                        Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                            tell(Note::Up(connack.session_present));
                        }
                        Ok(Event::Incoming(Packet::Publish(publish))) => tell(Note::Message(
                            String::from_utf8_lossy(&publish.payload).into_owned(),
                            publish.qos as u8,
                            publish.dup,
                        )),
                        Ok(_) => {}
                        Err(ConnectionError::RequestsDone) => return tell(Note::Done),
                        Err(error) => {
                            tell(Note::Error(format!("{error:?}")));
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
            }

            pub(super) fn trials() -> Vec<Trial> {
                let name = |rule: &str| format!("{}::{rule}", stringify!($module));
                vec![
                    case(&name("hold"), hold),
                    case(&name("drop"), drop_puback),
                    case(&name("drop_qos2"), drop_pubrec_and_pubcomp),
                    case(&name("delay"), delay),
                    case(&name("duplicate"), duplicate),
                    case(&name("reorder"), reorder),
                    case(&name("corrupt"), corrupt),
                    case(&name("truncate"), truncate),
                    case(&name("replace_session_present"), replace_session_present),
                    case(&name("messages_before_a_fault"), messages_before_a_fault),
                    case(&name("inject"), inject),
                    case(
                        &name("inject_what_is_not_allowed"),
                        inject_what_is_not_allowed,
                    ),
                    case(&name("answer"), answer),
                    case(&name("close_reset_half_close"), ends),
                    case(&name("stop_reading"), stop_reading),
                    case(&name("mute_pings"), mute_pings),
                    case(&name("outage"), outage),
                    case(&name("messages_before_an_end"), messages_before_an_end),
                ]
            }

            /// PUBACK comes when it is let go, not before.
            async fn hold(stand: Stand) {
                let peer = Peer::connect(&stand).await;
                let puback = to_client(PacketType::Puback);
                stand.once("held", puback, Action::Hold);
                let mut published = peer.publish("x", 1).await;
                let held = stand.rules.wait_for_held(1, STEP).await;
                assert_eq!(held.map(|held| held.len()), Ok(1));
                assert!(is_open(&mut published).await);
                assert_eq!(stand.rules.release(1), 1);
                assert!(outcome(published).await.is_ok());
            }

            /// MQTT-4.4.0-1: the same identifier, with DUP, after it has connected again; not before.
            async fn drop_puback(stand: Stand) {
                let mut peer = Peer::connect(&stand).await;
                stand.once("lost", to_client(PacketType::Puback), Action::Drop);
                let published = peer.publish("x", 1).await;
                stand.hit("lost").await;
                stand.server.outage(Duration::from_millis(1)).await;
                assert!(peer.notes.up().await, "the session is there");
                assert!(outcome(published).await.is_ok());
                let rows = stand.packets(from_client(PacketType::Publish), 2).await;
                assert_eq!(sent(&rows), [(Some(1), false), (Some(1), true)]);
            }

            /// MQTT-4.3.3-4 and -5: PUBLISH again if PUBREC is lost, and PUBREL if PUBCOMP is.
            async fn drop_pubrec_and_pubcomp(stand: Stand) {
                let mut peer = Peer::connect(&stand).await;
                for packet_type in [PacketType::Pubrec, PacketType::Pubcomp] {
                    stand.once("lost", to_client(packet_type), Action::Drop);
                    let published = peer.publish("x", 2).await;
                    stand.hit("lost").await;
                    stand.server.outage(Duration::from_millis(1)).await;
                    assert!(peer.notes.up().await, "the session is there");
                    assert!(outcome(published).await.is_ok());
                }
                let rows = stand.packets(from_client(PacketType::Publish), 3).await;
                let (one, two) = (Some(1), sent(&rows)[2].0);
                assert_eq!(sent(&rows), [(one, false), (one, true), (two, false)]);
                let rows = stand.packets(from_client(PacketType::Pubrel), 3).await;
                assert_eq!(sent(&rows), [(one, false), (two, false), (two, false)]);
            }

            async fn delay(stand: Stand) {
                let peer = Peer::connect(&stand).await;
                stand.once("late", to_client(PacketType::Puback), Action::Delay(HOUR));
                let mut late = peer.publish("late", 1).await;
                stand.hit("late").await;
                let soon = peer.publish("soon", 1).await;
                assert!(outcome(soon).await.is_ok(), "it overtakes the other one");
                assert!(is_open(&mut late).await);
                stand.server.clock().advance(HOUR).await.expect("it moves");
                assert!(outcome(late).await.is_ok());
            }

            /// A PUBLISH of QoS 1 that comes twice is told twice, one of QoS 2 once (MQTT-4.3.3-10).
            async fn duplicate(stand: Stand) {
                let mut peer = Peer::reader(&stand).await;
                for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    stand.once("twice", to_client(PacketType::Publish), Action::Duplicate);
                    stand.publish(&format!("{qos:?}"), qos);
                }
                stand.publish("last", QoS::AtLeastOnce);
                peer.notes.message("last").await;
                let payloads = peer.notes.payloads();
                let count = |payload: &str| payloads.iter().filter(|own| **own == payload).count();
                assert_eq!((count("AtLeastOnce"), count("ExactlyOnce")), (2, 1));
                stand.packets(from_client(PacketType::Puback), 3).await;
                stand.packets(from_client(PacketType::Pubrec), 2).await;
                duplicate_puback(stand, peer).await;
            }

            /// Messages are told in the order in which they come, and acknowledged in it (MQTT-4.6.0-2).
            async fn reorder(stand: Stand) {
                let mut peer = Peer::reader(&stand).await;
                stand.once("later", to_client(PacketType::Publish), Action::Reorder);
                stand.publish("first", QoS::AtLeastOnce);
                stand.publish("second", QoS::AtLeastOnce);
                peer.notes.message("first").await;
                assert_eq!(peer.notes.payloads(), ["second", "first"]);
                let rows = stand.packets(from_client(PacketType::Puback), 2).await;
                assert_eq!(sent(&rows), [(Some(2), false), (Some(1), false)]);
            }

            /// A CONNACK whose type is another one, a PUBLISH with another payload, a PUBACK that nobody waits for.
            async fn corrupt(stand: Stand) {
                let action = |offset, bits| Action::Corrupt { offset, bits };
                stand.once("type", to_client(PacketType::Connack), action(0, 0x10));
                let mut peer = Peer::open(&stand, 60);
                peer.notes.error().await;
                // Without a state of its own it does not take up the session that there is now.
                stand.server.end_session("c").await;
                peer.notes.up().await;
                let notice = peer
                    .client
                    .subscribe_tracked("t/#", Level::AtLeastOnce)
                    .await;
                let suback = notice.expect("it is taken").wait_async().await;
                suback.expect("SUBACK");
                stand.once(
                    "payload",
                    to_client(PacketType::Publish),
                    action(usize::MAX, 1),
                );
                stand.publish("x", QoS::AtLeastOnce);
                peer.notes.message("y").await;
                stand.once("other", to_client(PacketType::Puback), action(3, 0x40));
                let published = peer.publish("z", 1).await;
                stand.hit("other").await;
                // It ends the connection, and so has its message acknowledged after all.
                let error = peer.notes.error().await;
                assert!(error.contains("Unsolicited"), "{error}");
                assert!(outcome(published).await.is_ok());
            }

            /// What comes behind half a packet is taken for the rest of it, which ends the connection.
            async fn truncate(stand: Stand) {
                let mut peer = Peer::connect(&stand).await;
                stand.once("half", to_client(PacketType::Puback), Action::Truncate(3));
                let first = peer.publish("x", 1).await;
                stand.hit("half").await;
                let second = peer.publish("y", 1).await;
                peer.notes.error().await;
                assert!(peer.notes.up().await);
                assert!(outcome(first).await.is_ok());
                assert!(outcome(second).await.is_ok());
            }

            async fn inject(stand: Stand) {
                let mut peer = Peer::reader(&stand).await;
                stand.inject(a_publish(1, 77));
                peer.notes.message("injected").await;
                let rows = stand.packets(from_client(PacketType::Puback), 1).await;
                assert_eq!(sent(&rows), [(Some(77), false)]);
                // PINGRESP without a PINGREQ harms nobody.
                let since = stand.journal.last();
                stand.inject(PacketFields::new(PacketType::Pingresp));
                stand.expect_no_end(since).await;
                // A PUBACK that nobody waits for ends the connection.
                stand.inject(fields(PacketType::Puback, 99));
                let error = peer.notes.error().await;
                assert!(error.contains("Unsolicited"), "{error}");
                peer.notes.up().await;
                let published = peer.publish("x", 1).await;
                assert!(outcome(published).await.is_ok());
            }

            /// Packets that a server does not send.
            async fn inject_what_is_not_allowed(stand: Stand) {
                let mut peer = Peer::reader(&stand).await;
                for (packet, is_refused) in not_allowed() {
                    let since = stand.journal.last();
                    let what = format!("{packet:?}");
                    stand.inject(packet);
                    match is_refused {
                        true => {
                            peer.notes.error().await;
                            stand.expect_end(since).await;
                            peer.notes.up().await;
                        }
                        false => {
                            let ends = JournalQuery::event("disconnected");
                            let end = stand.journal.wait(&ends, since, 1, NEVER).await;
                            assert!(end.is_err(), "it is refused now: {what}");
                        }
                    }
                }
            }

            /// The answer of a rule is taken for the broker's, which knows nothing of the message.
            async fn answer(stand: Stand) {
                let peer = Peer::connect(&stand).await;
                let mut subscription = stand
                    .server
                    .subscribe("t/#", QoS::AtLeastOnce)
                    .expect("a filter");
                let mut puback = PacketFields::new(PacketType::Puback);
                puback.reason = answered_reason();
                let packet = Injected::Fields(Box::new(puback));
                stand.once(
                    "answer",
                    from_client(PacketType::Publish),
                    Action::Answer(packet),
                );
                let published = peer.publish("x", 1).await;
                check_answered(outcome(published).await);
                assert_eq!(subscription.take(), None, "the broker has not got it");
            }

            /// However a connection ends, its client comes back, and sends what was not acknowledged.
            async fn ends(stand: Stand) {
                let mut peer = Peer::connect(&stand).await;
                for (number, when) in [When::Before, When::After].into_iter().enumerate() {
                    for action in [
                        Action::Close(when),
                        Action::Reset(when),
                        Action::HalfClose(when),
                    ] {
                        let before = stand.count(from_client(PacketType::Publish));
                        stand.once("end", from_client(PacketType::Publish), action.clone());
                        let published = peer.publish("x", 1).await;
                        stand.hit("end").await;
                        assert!(peer.notes.up().await, "{action:?} {number}");
                        assert!(outcome(published).await.is_ok(), "{action:?} {number}");
                        let after = stand.count(from_client(PacketType::Publish));
                        let is_again = after - before == 2;
                        assert!(is_again || number == 1, "{action:?}: {}", after - before);
                    }
                }
            }

            /// A broker that reads nothing answers no ping either.
            async fn stop_reading(stand: Stand) {
                let mut peer = Peer::open(&stand, 1);
                peer.notes.up().await;
                stand.once(
                    "deaf",
                    from_client(PacketType::Publish),
                    Action::StopReading,
                );
                let heard = peer.publish("heard", 1).await;
                assert!(outcome(heard).await.is_ok());
                let unheard = peer.publish("unheard", 1).await;
                let error = peer.notes.error().await;
                assert!(error.contains("AwaitPingResp"), "{error}");
                stand.rules.clear();
                assert!(peer.notes.up().await);
                assert!(outcome(unheard).await.is_ok());
            }

            /// It gives up one more Keep Alive after its PINGREQ.
            async fn mute_pings(stand: Stand) {
                // The broker waits for one and a half: a busy machine may make the client late by the half.
                const KEEP_ALIVE: u16 = 3;
                let mut peer = Peer::open(&stand, KEEP_ALIVE);
                peer.notes.up().await;
                let since = Instant::now();
                stand.once("mute", to_client(PacketType::Pingresp), Action::Drop);
                let error = peer.notes.error().await;
                assert!(error.contains("AwaitPingResp"), "{error}");
                assert!(
                    since.elapsed() < Duration::from_secs(u64::from(KEEP_ALIVE) * 3),
                    "{:?}",
                    since.elapsed()
                );
                assert!(peer.notes.up().await);
            }

            /// It comes back by itself when the network is there again, and what it took meanwhile is sent.
            async fn outage(stand: Stand) {
                let mut peer = Peer::connect(&stand).await;
                stand.server.outage(MINUTE).await;
                peer.notes.error().await;
                let meanwhile = peer.publish("meanwhile", 1).await;
                peer.notes.error().await;
                stand
                    .server
                    .clock()
                    .advance(MINUTE)
                    .await
                    .expect("it moves");
                assert!(peer.notes.up().await);
                assert!(outcome(meanwhile).await.is_ok());
            }

            /// What was acknowledged before the connection was lost has to be told.
            async fn messages_before_an_end(stand: Stand) {
                const COUNT: usize = 10;
                let mut peer = Peer::reader(&stand).await;
                let last = from_client(PacketType::Puback).nth(COUNT as u64);
                stand.once("end", last, Action::Close(When::After));
                for number in 0..COUNT {
                    stand.publish(&number.to_string(), QoS::AtLeastOnce);
                }
                stand.hit("end").await;
                peer.notes.up().await;
                stand.publish("last", QoS::AtLeastOnce);
                peer.notes.message("last").await;
                let told = peer.notes.payloads().len() - 1;
                let acknowledged = stand.count(from_client(PacketType::Puback));
                assert!(
                    told >= COUNT && acknowledged >= COUNT,
                    "{told} of {acknowledged}"
                );
            }

            /// The same where it is the client that ends it, because of what comes behind them.
            async fn messages_before_a_fault(stand: Stand) {
                const COUNT: usize = 10;
                let mut peer = Peer::reader(&stand).await;
                for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let packet = Injected::Fields(Box::new(fields(PacketType::Puback, 999)));
                    let inject = Action::Inject {
                        packet,
                        before: false,
                    };
                    let last = to_client(PacketType::Publish).nth(COUNT as u64);
                    stand.once("end", last, inject);
                    for number in 0..COUNT {
                        stand.publish(&format!("{qos:?} {number}"), qos);
                    }
                    stand.hit("end").await;
                    peer.notes.error().await;
                    peer.notes.up().await;
                    stand.publish("last", QoS::AtLeastOnce);
                    peer.notes.message("last").await;
                    let told = peer.notes.payloads();
                    let is_told =
                        |number: &usize| told.contains(&format!("{qos:?} {number}").as_str());
                    let count = (0..COUNT).filter(is_told).count();
                    check_told(qos, count, COUNT);
                    peer.notes.seen.clear();
                }
                // All of them are acknowledged.
                stand
                    .packets(from_client(PacketType::Puback), COUNT + 2)
                    .await;
                stand.packets(from_client(PacketType::Pubcomp), COUNT).await;
            }

            specifics!($module);
        }
    };
}

/// What the versions do not have in common.
macro_rules! specifics {
    (v4) => {
        async fn duplicate_puback(stand: Stand, mut peer: Peer) {
            stand.once("twice", to_client(PacketType::Puback), Action::Duplicate);
            let published = peer.publish("x", 1).await;
            assert!(outcome(published).await.is_ok());
            let error = peer.notes.error().await;
            assert!(error.contains("Unsolicited"), "{error}");
        }

        /// MQTT 3.1.1 leaves it to the client: this one goes on, as if the session was its own.
        async fn replace_session_present(stand: Stand) {
            let present = replace(|changes| changes.session_present = Some(true));
            stand.once("present", to_client(PacketType::Connack), present);
            let mut peer = Peer::open(&stand, 60);
            assert!(peer.notes.up().await);
            let published = peer.publish("x", 1).await;
            assert!(outcome(published).await.is_ok());
        }

        fn not_allowed() -> Vec<(PacketFields, bool)> {
            super::not_allowed()
        }

        /// MQTT 3.1.1 has no reasons: the message is lost, and counts as delivered.
        fn answered_reason() -> Option<u8> {
            None
        }

        fn check_told(qos: QoS, told: usize, all: usize) {
            assert_eq!(told, all, "{qos:?}");
        }

        fn check_answered(outcome: Result<String, String>) {
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    };
    (v5) => {
        async fn duplicate_puback(stand: Stand, mut peer: Peer) {
            stand.once("twice", to_client(PacketType::Puback), Action::Duplicate);
            let published = peer.publish("x", 1).await;
            assert!(outcome(published).await.is_ok());
            let error = peer.notes.error().await;
            assert!(error.contains("Unsolicited"), "{error}");
        }

        /// MQTT-3.2.2-4: a session of which the client has no state ends the connection. It asks for no new one,
        /// so it does not get in before the broker has none any more.
        async fn replace_session_present(stand: Stand) {
            let present = replace(|changes| changes.session_present = Some(true));
            stand.once("present", to_client(PacketType::Connack), present);
            let mut peer = Peer::open(&stand, 60);
            for _ in 0..3 {
                let error = peer.notes.error().await;
                assert!(error.contains("SessionStateMismatch"), "{error}");
            }
            stand.server.end_session("c").await;
            assert!(!peer.notes.up().await);
        }

        fn not_allowed() -> Vec<(PacketFields, bool)> {
            super::not_allowed()
        }

        fn answered_reason() -> Option<u8> {
            Some(0x97)
        }

        /// It forgets what it has not told when the connection ends, but not that it has it: messages of QoS 2 are
        /// acknowledged when they come again, and never told, against MQTT-4.3.3-8.
        fn check_told(qos: QoS, told: usize, all: usize) {
            match qos {
                QoS::ExactlyOnce => assert!(told < all, "nothing is lost any more"),
                QoS::AtLeastOnce | QoS::AtMostOnce => assert_eq!(told, all),
            }
        }

        fn check_answered(outcome: Result<String, String>) {
            // Its program has to look at the reason.
            let done = outcome.expect("an answer");
            assert!(done.contains("QuotaExceeded"), "{done}");
        }
    };
}

client!(v4, rumqttc_v4, |options| {
    options.set_session_mode(rumqttc_v4::SessionMode::Persistent);
});
client!(v5, rumqttc_v5, |options| {
    options.set_session_mode(rumqttc_v5::SessionMode::Persistent);
    options.set_session_expiry_interval(Some(300));
});

/// Packets that a server may not send, and whether the client refuses them.
fn not_allowed() -> Vec<(PacketFields, bool)> {
    let with_topic = |topic: &str| {
        let mut packet = a_publish(0, 1);
        packet.packet_id = None;
        packet.topic = Some(topic.to_owned());
        packet
    };
    vec![
        // MQTT-3.3.1-4
        (a_publish(3, 1), true),
        // MQTT-2.2.1-3 (3.1.1: MQTT-2.3.1-1)
        (a_publish(1, 0), true),
        // MQTT-3.3.2-2
        (with_topic("t/#"), true),
        (PacketFields::new(PacketType::Pingreq), true),
        (PacketFields::new(PacketType::Connack), true),
        (fields(PacketType::Suback, 9), true),
    ]
}

mod only_v5 {
    use super::v5::Peer;
    use super::*;

    pub(super) fn trials() -> Vec<Trial> {
        vec![
            case("v5::replace_reason_of_connack", reason_of_connack),
            case("v5::replace_receive_maximum", receive_maximum),
            case("v5::replace_server_keep_alive", server_keep_alive),
            case("v5::replace_maximum_packet_size", maximum_packet_size),
            case("v5::replace_maximum_qos", maximum_qos),
            case("v5::replace_suback", suback),
            case("v5::disconnect_with_a_reason", disconnect),
        ]
    }

    /// It says why it was refused, and tries again.
    async fn reason_of_connack(stand: Stand) {
        let refused = replace(|changes| changes.reason = Some(0x88));
        stand.once("refused", to_client(PacketType::Connack), refused);
        let mut peer = Peer::open(&stand, 60);
        let error = peer.notes.error().await;
        assert!(error.contains("ServerUnavailable"), "{error}");
        stand.server.end_session("c").await;
        peer.notes.up().await;
    }

    /// MQTT-3.3.4-7: one message at a time.
    async fn receive_maximum(stand: Stand) {
        stand.once(
            "one",
            to_client(PacketType::Connack),
            property("receive_maximum", 1),
        );
        let puback = Rule::new(to_client(PacketType::Puback), Action::Hold);
        stand.rules.add(puback).expect("a rule");
        let peer = Peer::connect(&stand).await;
        let mut published = Vec::new();
        for payload in ["1", "2", "3"] {
            published.push(peer.publish(payload, 1).await);
        }
        for count in 1..=3 {
            let held = stand.rules.wait_for_held(1, STEP).await;
            assert!(held.is_ok(), "{}", stand.tail());
            assert!(is_open(&mut published[count - 1]).await);
            let on_wire = stand.count(from_client(PacketType::Publish));
            assert_eq!(on_wire, count, "more than one is open");
            stand.rules.release(1);
        }
        for published in published {
            assert!(outcome(published).await.is_ok());
        }
    }

    /// MQTT-3.1.2-21: the server's Keep Alive takes the place of its own.
    async fn server_keep_alive(stand: Stand) {
        stand.once(
            "short",
            to_client(PacketType::Connack),
            property("server_keep_alive", 1),
        );
        let _peer = Peer::connect(&stand).await;
        stand.packets(from_client(PacketType::Pingreq), 1).await;
    }

    /// MQTT-3.2.2-15: what is larger is not sent. But it ends the connection, each time anew, and nothing
    /// comes to its end any more, whatever its size.
    async fn maximum_packet_size(stand: Stand) {
        let small = Rule::new(
            to_client(PacketType::Connack),
            property("maximum_packet_size", 50),
        );
        stand.rules.add(small).expect("a rule");
        let mut peer = Peer::connect(&stand).await;
        let mut large = peer.publish(&"x".repeat(100), 1).await;
        let mut small = peer.publish("small", 1).await;
        for _ in 0..3 {
            let error = peer.notes.error().await;
            assert!(error.contains("OutgoingPacketTooLarge"), "{error}");
        }
        assert!(is_open(&mut large).await && is_open(&mut small).await);
        let rows = stand.packets(from_client(PacketType::Publish), 1).await;
        assert!(rows.iter().all(|row| row.len <= 50), "{}", stand.tail());
    }

    /// It sends QoS 1 all the same, against MQTT-3.2.2-11.
    async fn maximum_qos(stand: Stand) {
        stand.once(
            "zero",
            to_client(PacketType::Connack),
            property("maximum_qos", 0),
        );
        let peer = Peer::connect(&stand).await;
        let published = peer.publish("x", 1).await;
        assert!(outcome(published).await.is_ok());
        assert_eq!(stand.count(from_client(PacketType::Publish)), 1);
    }

    /// A subscription that is refused is an error of its own; the connection goes on.
    async fn suback(stand: Stand) {
        let refused = replace(|changes| changes.reason = Some(0x87));
        stand.once("refused", to_client(PacketType::Suback), refused);
        let peer = Peer::connect(&stand).await;
        let since = stand.journal.last();
        let notice = peer
            .client
            .subscribe_tracked("t/#", rumqttc_v5::QoS::AtLeastOnce)
            .await;
        let suback = notice.expect("it is taken").wait_async().await;
        let suback = format!("{suback:?}");
        assert!(suback.contains("NotAuthorized"), "{suback}");
        stand.expect_no_end(since).await;
    }

    /// The reason is told, and it connects again.
    async fn disconnect(stand: Stand) {
        let mut peer = Peer::connect(&stand).await;
        let kicked = stand
            .server
            .disconnect("c", ReasonCode::ServerShuttingDown)
            .await;
        assert!(kicked);
        let error = peer.notes.error().await;
        assert!(error.contains("ServerShuttingDown"), "{error}");
        assert!(peer.notes.up().await);
    }
}
