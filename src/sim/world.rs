//! Everything that a simulation consists of, and what can happen in it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Display;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::broker::doubles::NoAlarm;
use crate::broker::{Broker, Dirty, Farewell, Link, Randomness, Session};
use crate::client::turn::QUIET;
use crate::codec::{
    AckKind, Frame, OutgoingPublish, Packet, QoS, ReasonCode, RetainHandling, Sender, Split,
    SubscribeOptions, Version, client as encode, connect, decode, decode_from, encode_ack, split,
};
use crate::message::cause::Cause;

use super::client::{Client, Habit, Peer, Publishing, Role};
use super::dice::Dice;
use super::end::End;
use super::ledger::{Ledger, Message, number_of};
use super::owner::{Pipe, Tap};
use super::plan::Plan;
use super::wire::Wire;

const TOPICS: [&str; 5] = ["a", "a/b", "a/c", "b", "c/long/topic"];
const PLAIN: [&str; 7] = ["a", "a/b", "a/#", "a/+", "#", "b", "+/long/+"];
const SHARED: [&str; 5] = [
    "$share/g/a/#",
    "$share/h/a/+",
    "$share/g/b",
    "$share/h/#",
    "$share/g/a/b",
];

/// Rounds after which a simulation that still moves is taken for one that never rests.
const ROUNDS: usize = 100_000;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    pub(super) broker: Arc<Broker>,
    pub(super) now: Instant,
    pub(super) pipes: Vec<Pipe>,
    pub(super) log: Vec<String>,
    start: Instant,
    ledger: Ledger,
    clients: Vec<Client>,
    /// Messages made so far.
    messages: u64,
    /// Subscription Identifiers given out so far.
    subscription_ids: u32,
    retirements: Arc<AtomicU64>,
    /// Messages that were published in the middle of a write.
    meanwhile: Arc<Mutex<Vec<u64>>>,
    /// Every session there was.
    sessions: Vec<Weak<Session>>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::new(&mut dice);
        let now = Instant::now();
        let mut broker = Broker::new(
            plan.config.clone(),
            Randomness::from_seed(seed),
            now,
            Arc::new(NoAlarm),
        );
        broker.set_batch(plan.batch);
        let clients = (0..plan.clients).map(|index| {
            let role = match dice.below(3) {
                _ if plan.one_group => Role::Shared(SHARED[0]),
                0 => Role::Mixed,
                1 => Role::Plain,
                _ => Role::Shared(dice.pick(&SHARED)),
            };
            Client::new(format!("c{index}"), role)
        });
        let clients = clients.collect();
        Self {
            ledger: Ledger::new(&plan, now),
            plan,
            dice,
            broker: Arc::new(broker),
            now,
            start: now,
            pipes: Vec::new(),
            log: Vec::new(),
            clients,
            messages: 0,
            subscription_ids: 0,
            retirements: Arc::default(),
            meanwhile: Arc::default(),
            sessions: Vec::new(),
        }
    }

    /// Lives through the seed, then lets everybody come back and take what is left.
    pub(super) fn run(&mut self) {
        for _ in 0..self.plan.steps {
            self.step();
        }
        self.come_to_rest();
        self.take_everything();
        self.end_everything();
    }

    fn step(&mut self) {
        match self
            .dice
            .weighted(&[24, 14, 30, 14, 5, 2, 5, 3, 1, 3, 2, 2, 1])
        {
            0 => self.on_pipe(|pipe| !pipe.end.is_closed, Self::publish_burst),
            1 => self.on_pipe(|pipe| pipe.end.wire.has_unread(), Self::read),
            2 => self.on_pipe(|pipe| pipe.end.has_work(), Self::turn),
            3 => self.on_pipe(|pipe| !pipe.end.is_closed, Self::acknowledge),
            4 => self.on_pipe(|pipe| !pipe.end.is_closed, Self::subscribe),
            5 => self.on_pipe(|pipe| !pipe.end.is_closed, Self::unsubscribe),
            6 => {
                let client = self.dice.below(self.clients.len());
                self.connect(client);
            }
            7 => self.on_pipe(|pipe| !pipe.end.is_closed, Self::leave),
            8 => self.on_pipe(|pipe| !pipe.end.is_done(), Self::kick),
            9 => self.pass_time(),
            10 => self.come_to_rest(),
            11 => self.on_pipe(|pipe| !pipe.end.is_done(), Self::disturb),
            _ => self.on_pipe(|pipe| !pipe.end.is_closed, Self::ping),
        }
    }

    /// Does something to one of the connections that are fit for it, if there is any.
    fn on_pipe(&mut self, is_fit: impl Fn(&Pipe) -> bool, act: impl Fn(&mut Self, usize)) {
        let fit: Vec<usize> = (0..self.pipes.len())
            .filter(|index| is_fit(&self.pipes[*index]))
            .collect();
        if !fit.is_empty() {
            let index = self.dice.pick(&fit);
            act(self, index);
        }
    }

    fn note(&mut self, event: impl Display) {
        let millis = self.now.duration_since(self.start).as_millis();
        self.log.push(format!("{millis:>7} ms  {event}"));
    }

    /// Sends bytes from a client.
    fn send(&mut self, index: usize, bytes: &[u8]) {
        if !self.pipes[index].end.is_closed {
            self.pipes[index].end.uplink.extend(bytes);
        }
    }

    fn next_message(&mut self, message: Message) -> (u64, Vec<u8>) {
        self.messages += 1;
        let mut payload = self.messages.to_be_bytes().to_vec();
        payload.resize(message.length, b'.');
        self.ledger.register(self.messages, message);
        (self.messages, payload)
    }

    fn message(
        &mut self,
        topic: &str,
        qos: QoS,
        retain: bool,
        expiry: Option<u32>,
    ) -> (u64, Vec<u8>) {
        let length = 8 + self.dice.below(self.plan.payload);
        self.next_message(Message {
            topic: topic.to_owned(),
            qos,
            retain,
            expiry,
            length,
            order: None,
            expires_at: None,
        })
    }

    fn qos(&mut self) -> QoS {
        self.dice.pick(&[
            QoS::AtMostOnce,
            QoS::AtLeastOnce,
            QoS::AtLeastOnce,
            QoS::ExactlyOnce,
        ])
    }
}

/// What clients do.
impl World {
    /// A client connects, whether or not it has a connection.
    fn connect(&mut self, client: usize) {
        let version = match self.clients[client].role {
            Role::Mixed => Version::V5,
            Role::Plain | Role::Shared(_) => self.dice.pick(&[Version::V311, Version::V5]),
        };
        let expiry = self.dice.pick(&[0, 3, 60, 3600, u32::MAX]);
        let receive_maximum = self.dice.pick(&[Some(1), Some(2), Some(5), Some(20), None]);
        let packet_size = match self.plan.packet_sizes {
            true => self.dice.pick(&[Some(64), Some(128), None]),
            false => None,
        };
        let habit = self
            .dice
            .pick(&[Habit::Prompt, Habit::Late, Habit::Shuffled, Habit::Never]);
        let mut connect = encode::connect(version, "");
        connect.clean_start = self.dice.chance(25);
        connect.keep_alive = self.dice.pick(&[0, 0, 0, 2, 30]);
        if version == Version::V5 {
            connect.properties.session_expiry = Some(expiry).filter(|secs| *secs > 0);
            connect.properties.receive_maximum = receive_maximum;
            connect.properties.maximum_packet_size = packet_size;
            connect.properties.topic_alias_maximum = self.dice.pick(&[None, Some(1), Some(3)]);
        }
        let (topic, qos) = (self.dice.pick(&TOPICS), self.qos());
        let will = self
            .dice
            .chance(20)
            .then(|| self.message(topic, qos, false, None).1);
        connect.will = will.as_deref().map(|payload| {
            let mut will = encode::will(topic, payload);
            will.qos = qos;
            if version == Version::V5 {
                will.delay_secs = self.dice.pick(&[0, 0, 5]);
            }
            will
        });
        self.open(client, &connect, habit);
    }

    fn open(&mut self, client: usize, connect: &crate::codec::Connect<'_>, habit: Habit) {
        let id = self.clients[client].id.clone();
        let connect = crate::codec::Connect {
            client_id: &id,
            ..connect.clone()
        };
        let at = self.ledger.accept(connect.version);
        let will = connect.will.as_ref();
        self.note(format_args!(
            "#{at} connect {id} {:?}, clean {}, keep alive {}, will {:?}, {:?}, {habit:?}",
            connect.version,
            connect.clean_start,
            connect.keep_alive,
            will.map(|will| (
                number_of(will.payload),
                will.topic,
                will.qos,
                will.delay_secs
            )),
            (
                connect.properties.session_expiry,
                connect.properties.receive_maximum,
                connect.properties.maximum_packet_size,
                connect.properties.topic_alias_maximum
            ),
        ));
        let room = self.plan.socket / 4 + self.dice.below(self.plan.socket);
        let wire = Arc::new(Wire::new(room, self.retirements.clone()));
        let (mut end, mut turn) = End::open(&self.broker, wire, "sim", self.now);
        turn.set_unsent_answers(self.plan.unsent_answers);
        let expiry = connect.properties.session_expiry.unwrap_or(0);
        let mut uplink = Vec::new();
        encode::encode_connect(&mut uplink, &connect);
        end.uplink = VecDeque::from(uplink);
        self.pipes.push(Pipe {
            at,
            client,
            peer: Peer::new(connect.version, habit, expiry),
            end,
            turn,
            connect: Vec::new(),
            is_established: false,
            pending: Vec::new(),
            tap: Tap::default(),
        });
        let client = &mut self.clients[client];
        client.connection = Some(at);
        let is_unsure = std::mem::replace(&mut client.is_unsure, true);
        if connect.clean_start || is_unsure {
            client.publishing.clear();
        }
    }

    fn publish_burst(&mut self, index: usize) {
        for _ in 0..=self.dice.below(self.plan.burst) {
            self.publish(index);
        }
    }

    fn publish(&mut self, index: usize) {
        let topic = self.dice.pick(&TOPICS);
        let mut qos = self.qos();
        let pipe = &self.pipes[index];
        let (version, client) = (pipe.peer.version, pipe.client);
        let is_present = self.clients[client].connection == Some(pipe.at);
        if qos == QoS::ExactlyOnce && !(is_present && pipe.peer.is_connected) {
            qos = QoS::AtLeastOnce;
        }
        let retain = self.plan.retained && self.dice.chance(20);
        let has_expiry = self.plan.expiries && version == Version::V5 && self.dice.chance(40);
        let expiry = has_expiry.then(|| self.dice.pick(&[1, 5, 100]));
        let (number, payload) = self.message(topic, qos, retain, expiry);
        let packet_id = (qos > QoS::AtMostOnce).then(|| self.clients[client].next_id());
        let mut packet = OutgoingPublish {
            dup: false,
            qos,
            retain,
            topic: topic.as_bytes(),
            packet_id,
            topic_alias: None,
            message_expiry: expiry,
            subscription_ids: &[],
            properties: &[],
            payload: (&payload).into(),
        };
        let uses_alias = version == Version::V5 && self.dice.chance(20);
        if uses_alias && qos < QoS::ExactlyOnce {
            let aliases = &mut self.pipes[index].peer.aliases;
            match aliases.iter().position(|known| *known == topic) {
                Some(place) => {
                    packet.topic_alias = Some(place as u16 + 1);
                    packet.topic = b"";
                }
                None => {
                    aliases.push(topic);
                    packet.topic_alias = Some(aliases.len() as u16);
                }
            }
        }
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes);
        if let Some(id) = packet_id.filter(|_| qos == QoS::ExactlyOnce) {
            let publishing = Publishing::Published(version, bytes.clone());
            self.clients[client].publishing.insert(id, publishing);
        }
        let at = self.pipes[index].at;
        self.note(format_args!(
            "#{at} publish {number} to {topic}, {qos:?}, {} bytes, id {packet_id:?}, expiry {expiry:?}",
            payload.len()
        ));
        self.send(index, &bytes);
    }

    /// Reads some of what the broker sent.
    fn read(&mut self, index: usize) {
        let limit = self.dice.pick(&[1, 50, 1000, usize::MAX]);
        self.read_at_most(index, limit);
    }

    fn read_at_most(&mut self, index: usize, limit: usize) {
        let pipe = &mut self.pipes[index];
        let bytes = pipe.end.wire.read(limit);
        let client = &mut self.clients[pipe.client];
        let client = Some(client).filter(|client| client.connection == Some(pipe.at));
        let answer = pipe.peer.read(&bytes, client);
        self.send(index, &answer);
        let client = self.pipes[index].client;
        // Another connection of its own may yet have the session, and end it, before the next one does.
        let mut own = self.pipes.iter().filter(|pipe| pipe.client == client);
        let is_contended = own.any(|pipe| !pipe.is_established);
        self.clients[client].is_unsure |= is_contended;
    }

    /// Sends one of the packets that the client owes.
    fn acknowledge(&mut self, index: usize) {
        let peer = &mut self.pipes[index].peer;
        let place = match peer.habit {
            _ if peer.acks.is_empty() => return,
            Habit::Never => return,
            Habit::Shuffled => self.dice.below(peer.acks.len()),
            Habit::Late | Habit::Prompt => 0,
        };
        let Some((kind, id)) = peer.acks.remove(place) else {
            return;
        };
        let is_refusal = matches!(kind, AckKind::Puback | AckKind::Pubrec)
            && peer.version == Version::V5
            && self.dice.chance(10);
        let reason = match is_refusal {
            true => ReasonCode::UnspecifiedError,
            false => ReasonCode::Success,
        };
        let mut bytes = Vec::new();
        encode_ack(&mut bytes, peer.version, kind, id, reason, None);
        let at = self.pipes[index].at;
        self.note(format_args!("#{at} {kind:?} {id} {reason:?}"));
        self.send(index, &bytes);
    }

    fn filter(&mut self, index: usize) -> &'static str {
        match self.clients[self.pipes[index].client].role {
            Role::Mixed if self.dice.chance(50) => self.dice.pick(&SHARED),
            Role::Mixed | Role::Plain => self.dice.pick(&PLAIN),
            Role::Shared(filter) => filter,
        }
    }

    fn subscribe(&mut self, index: usize) {
        let filter = self.filter(index);
        let pipe = &self.pipes[index];
        let (version, client) = (pipe.peer.version, pipe.client);
        let qos = self.qos();
        let has_id = self.clients[client].role == Role::Mixed || self.dice.chance(30);
        let mut options = SubscribeOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        if version == Version::V5 {
            options = SubscribeOptions {
                no_local: !filter.starts_with('$') && self.dice.chance(20),
                retain_as_published: self.dice.chance(50),
                retain_handling: self.dice.pick(&[
                    RetainHandling::Send,
                    RetainHandling::SendIfNew,
                    RetainHandling::DoNotSend,
                ]),
                ..options
            };
            self.subscription_ids += 1;
        }
        let has_id = has_id && version == Version::V5;
        let subscription_id = Some(self.subscription_ids).filter(|_| has_id);
        let id = self.clients[client].next_id();
        let mut bytes = Vec::new();
        encode::encode_subscribe(
            &mut bytes,
            version,
            id,
            subscription_id,
            &[(filter, options)],
        );
        let at = self.pipes[index].at;
        self.note(format_args!(
            "#{at} subscribe {filter}, {:?}, id {subscription_id:?}",
            options.qos
        ));
        self.send(index, &bytes);
    }

    fn unsubscribe(&mut self, index: usize) {
        let filter = self.filter(index);
        let pipe = &self.pipes[index];
        let id = self.clients[pipe.client].next_id();
        let mut bytes = Vec::new();
        encode::encode_unsubscribe(&mut bytes, pipe.peer.version, id, &[filter]);
        let at = pipe.at;
        self.note(format_args!("#{at} unsubscribe {filter}"));
        self.send(index, &bytes);
    }

    fn ping(&mut self, index: usize) {
        let mut bytes = Vec::new();
        encode::encode_pingreq(&mut bytes);
        self.send(index, &bytes);
    }

    /// A client leaves: with DISCONNECT, without, by a reset that swallows what it sent last, or by
    /// nonsense.
    fn leave(&mut self, index: usize) {
        let way = self.dice.below(4);
        let pipe = &mut self.pipes[index];
        let at = pipe.at;
        let mut bytes = Vec::new();
        match way {
            0 => {
                let with_will = self.dice.chance(30);
                let reason = match with_will && pipe.peer.version == Version::V5 {
                    true => ReasonCode::DisconnectWithWillMessage,
                    false => ReasonCode::Success,
                };
                let may_change = pipe.peer.session_expiry > 0 && self.dice.chance(30);
                let expiry = may_change.then(|| self.dice.pick(&[0, 5, 1000]));
                encode::encode_disconnect(&mut bytes, pipe.peer.version, reason, expiry);
                self.note(format_args!(
                    "#{at} disconnect {reason:?} expiry {expiry:?}"
                ));
            }
            1 => self.note(format_args!("#{at} close")),
            2 => {
                let lost = self.dice.below(pipe.end.uplink.len() + 1);
                pipe.end.uplink.truncate(pipe.end.uplink.len() - lost);
                pipe.end.wire.break_off();
                self.note(format_args!("#{at} reset, {lost} bytes lost"));
            }
            _ => {
                bytes.push(0);
                self.note(format_args!("#{at} nonsense"));
            }
        }
        self.send(index, &bytes);
        self.pipes[index].end.is_closed = true;
    }
}

/// What happens to clients.
impl World {
    fn kick(&mut self, index: usize) {
        let Some(session) = self.pipes[index].turn.session().cloned() else {
            return;
        };
        let client = session.client_id().to_owned();
        self.note(format_args!("kick {client}"));
        self.begin();
        let mut dirty = Dirty::default();
        let context = self.broker.context(self.now);
        let cause = Cause::Kicked {
            reason: ReasonCode::AdministrativeAction,
            text: "",
        };
        self.broker
            .disconnect(&session, cause, &context, &mut dirty);
        self.account(&[], None);
        self.flush_all(dirty);
    }

    /// The socket is busy, or something happens in the middle of the next write.
    fn disturb(&mut self, index: usize) {
        let wire = self.pipes[index].end.wire.clone();
        if wire.is_broken() {
            return;
        }
        let at = self.pipes[index].at;
        if self.dice.chance(50) {
            self.note(format_args!("#{at} is busy"));
            wire.make_busy();
            return;
        }
        let Some(session) = self.pipes[index].turn.session().cloned() else {
            return;
        };
        // One at a time: of a kick and a message in the writes of one call, nobody knows which came first.
        if self.pipes.iter().any(|pipe| pipe.end.wire.has_meanwhile()) {
            return;
        }
        let now = self.now;
        let publishes = self.dice.chance(50);
        self.note(format_args!(
            "#{at} meanwhile: {}",
            if publishes { "a message" } else { "a kick" }
        ));
        if !publishes {
            let broker = self.broker.clone();
            wire.set_meanwhile(Some(Box::new(move || {
                let mut dirty = Dirty::default();
                let context = broker.context(now);
                broker.disconnect(&session, Cause::Dropped, &context, &mut dirty);
                broker.flush_all(&context, dirty);
            })));
        }
        #[cfg(feature = "http")]
        if publishes {
            let (topic, qos) = (self.dice.pick(&TOPICS), self.qos());
            let (number, payload) = self.message(topic, qos, false, None);
            let published = self.meanwhile.clone();
            let broker = self.broker.clone();
            wire.set_meanwhile(Some(Box::new(move || {
                // Who does not get one that may not wait is followed for clients only.
                if broker.is_exhausted() {
                    return;
                }
                let message = crate::broker::OutsideMessage {
                    topic,
                    payload: &payload,
                    qos,
                    retain: false,
                    properties: Default::default(),
                };
                let mut dirty = Dirty::default();
                let context = broker.context(now);
                if broker
                    .publish_message(&message, &context, &mut dirty)
                    .is_ok()
                {
                    published.lock().push(number);
                }
                broker.flush_all(&context, dirty);
            })));
        }
    }

    fn pass_time(&mut self) {
        let millis = self.dice.pick(&[1, 100, 1_000, 4_000, 61_000]);
        self.note(format_args!("{millis} ms pass"));
        self.advance(Duration::from_millis(millis));
    }

    /// Moves the clock, from one deadline to the next.
    fn advance(&mut self, by: Duration) {
        for pipe in &self.pipes {
            // It knows the old time.
            pipe.end.wire.set_meanwhile(None);
        }
        let target = self.now + by;
        while let Some(due) = self.broker.next_deadline().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            self.begin();
            let mut dirty = Dirty::default();
            self.broker.handle_deadline(self.now, &mut dirty);
            self.ledger.fire_timers();
            self.account(&[], None);
            self.flush_all(dirty);
        }
        self.now = target;
    }

    /// What is nobody's turn. Returns whether there was any.
    fn work(&mut self) -> bool {
        let has_work = self.broker.has_work();
        if has_work {
            self.begin();
            let mut dirty = Dirty::default();
            self.broker.work(self.now, &mut dirty);
            self.account(&[], None);
            self.flush_all(dirty);
        }
        has_work
    }

    fn flush_all(&mut self, mut dirty: Dirty) {
        while !dirty.is_empty() {
            self.begin();
            self.broker
                .flush_some(1, &self.broker.context(self.now), &mut dirty);
            self.account(&[], None);
        }
    }

    /// Lets the network and the owners do all they can. Clients read, and acknowledge as they do.
    fn come_to_rest(&mut self) {
        self.note("come to rest");
        for _ in 0..ROUNDS {
            let mut is_moving = false;
            for index in 0..self.pipes.len() {
                if self.pipes[index].end.has_work() {
                    self.turn(index);
                    is_moving = true;
                }
                if self.pipes[index].end.wire.has_unread() {
                    self.read_at_most(index, usize::MAX);
                    is_moving = true;
                }
            }
            is_moving |= self.work();
            if !is_moving {
                self.ledger.check_idle(&self.broker.stats(self.now));
                self.check_written();
                self.forget_closed();
                return;
            }
        }
        panic!("the simulation does not come to rest");
    }

    /// Lets everybody do all they can, until every session that is wanted has gone over and no reading is
    /// paused: where the older connection has just been heard of, that is a little later.
    fn hand_over(&mut self) {
        self.come_to_rest();
        for _ in 0..ROUNDS {
            let wants = |pipe: &Pipe| pipe.turn.waits_for_session();
            let is_paused = |pipe: &Pipe| pipe.turn.is_paused();
            let step = match self.broker.next_deadline() {
                _ if self.pipes.iter().any(wants) => QUIET,
                Some(due) if self.pipes.iter().any(is_paused) => due.duration_since(self.now),
                None if self.pipes.iter().any(is_paused) => panic!("a pause has no end"),
                _ => return,
            };
            self.advance(step.max(QUIET));
            self.come_to_rest();
        }
        panic!("a session does not go over, or a pause does not end");
    }

    fn forget_closed(&mut self) {
        for pipe in &self.pipes {
            let client = &mut self.clients[pipe.client];
            if pipe.end.is_done() && client.connection == Some(pipe.at) {
                client.connection = None;
            }
        }
        self.pipes.retain(|pipe| !pipe.end.is_done());
    }
}

/// The end.
impl World {
    /// Everybody who has a session comes back and acknowledges everything: nothing may be left.
    fn take_everything(&mut self) {
        for pipe in &self.pipes {
            // A kick in the middle of a late write would throw out who has come back.
            pipe.end.wire.set_meanwhile(None);
        }
        // Who waits for a session that ends is not sure of its turn before who comes then.
        self.hand_over();
        for client in 0..self.clients.len() {
            if !self.ledger.has_session(&self.clients[client].id) {
                continue;
            }
            let mut connect = encode::connect(Version::V5, "");
            connect.clean_start = false;
            connect.properties.session_expiry = Some(u32::MAX);
            self.open(client, &connect, Habit::Prompt);
        }
        self.hand_over();
        let stats = self.broker.stats(self.now);
        let left = (stats.queued, stats.group_queued, stats.in_flight);
        assert_eq!(left, (0, 0, 0), "queued, waiting in groups, in flight");
        let slack = 8 * 1024 * (1 + stats.sessions + stats.groups);
        let memory = self.broker.budget().used();
        assert!(self.plan.retained || memory <= slack, "{memory} bytes held");
    }

    /// Everybody goes for good: nothing may be kept.
    fn end_everything(&mut self) {
        for index in 0..self.pipes.len() {
            let mut bytes = Vec::new();
            encode::encode_disconnect(&mut bytes, Version::V5, ReasonCode::Success, Some(0));
            self.send(index, &bytes);
        }
        self.hand_over();
        // Delayed wills and sessions whose clients did not come back.
        self.advance(Duration::from_secs(100_000));
        self.come_to_rest();
        assert!(self.pipes.is_empty());
        let stats = self.broker.stats(self.now);
        let left = (
            stats.sessions,
            stats.groups,
            stats.subscriptions,
            stats.clients_connected,
        );
        assert_eq!(
            left,
            (0, 0, 0, 0),
            "sessions, groups, subscriptions, connections"
        );
        let memory = self.broker.budget().used();
        assert!(self.plan.retained || memory == 0, "{memory} bytes held");
        assert_eq!(self.broker.next_deadline(), None);
        let leaked = self
            .sessions
            .iter()
            .filter(|session| session.strong_count() > 0);
        assert_eq!(leaked.count(), 0, "sessions are still referred to");
    }
}

/// Calls of the broker, and the ledger's view of them.
impl World {
    /// The broker is about to be called.
    pub(super) fn begin(&mut self) {
        let is_exhausted = self.broker.is_exhausted();
        self.ledger.begin(self.now, is_exhausted);
    }

    /// The broker has handled these packets of an established connection.
    pub(super) fn account_packets(&mut self, index: usize, mut handled: &[u8]) {
        let Pipe { at, peer, .. } = &self.pipes[index];
        let (at, version) = (*at, peer.version);
        while let Ok(Split::Frame(frame)) = split(handled, u32::MAX) {
            let packet = decode(&frame, version).expect("clients send valid packets");
            self.ledger.packet(at, &packet);
            handled = &handled[frame.len..];
        }
        self.account(&[], None);
    }

    /// The broker has been called: `handled` was a CONNECT on connection `connecting`, if that is
    /// given.
    pub(super) fn account(&mut self, handled: &[u8], connecting: Option<usize>) {
        for number in std::mem::take(&mut *self.meanwhile.lock()) {
            self.ledger.publish_outside(number);
        }
        if connecting.is_some() {
            self.ledger.begin_connect();
        }
        let mut ended: Vec<(u64, usize, Vec<u8>)> = Vec::new();
        let mut standing: Vec<(usize, Vec<u8>)> = Vec::new();
        for index in 0..self.pipes.len() {
            if self.pipes[index].tap.has_ended {
                continue;
            }
            let composed = self.composed(index);
            let pipe = &self.pipes[index];
            if pipe.tap.has_ended {
                let order = pipe.end.wire.retired_at().unwrap_or(u64::MAX);
                ended.push((order, pipe.at, composed));
            } else {
                standing.push((pipe.at, composed));
            }
        }
        ended.sort();
        for (_, at, composed) in ended {
            self.ledger.begin_end(at);
            self.note_outputs(at, &composed);
            self.ledger.detach(at);
        }
        if let (Some(index), Ok(Split::Frame(frame))) = (connecting, split(handled, u32::MAX)) {
            let connect = connect::decode(&frame).expect("clients send valid packets");
            self.ledger.connect(self.pipes[index].at, &connect);
            let session = self.pipes[index].turn.session();
            self.sessions.extend(session.map(Arc::downgrade));
        }
        for (at, composed) in standing {
            self.note_outputs(at, &composed);
        }
        let mut stats = self.broker.stats(self.now);
        // One that has ended has a successor already, if somebody waits for it.
        stats.sessions -= self.promised();
        self.ledger.close(&stats);
    }

    /// Sessions that were made for those who wait for them, and have no connection yet.
    fn promised(&self) -> usize {
        let wanted = self
            .pipes
            .iter()
            .filter(|pipe| pipe.turn.waits_for_session());
        let ids: BTreeSet<&str> = wanted.map(|pipe| &*self.clients[pipe.client].id).collect();
        ids.into_iter()
            .filter(|id| !self.ledger.has_session(id) && self.broker.find(id).is_some())
            .count()
    }

    /// What has been composed for a connection since the last look.
    fn composed(&mut self, index: usize) -> Vec<u8> {
        let pipe = &mut self.pipes[index];
        let (taken, mut composed) = pipe.end.wire.take_latest();
        // What was taken has mostly been seen before, but not what was composed during the write.
        composed.drain(..composed.len() - taken.saturating_sub(pipe.tap.seen));
        if pipe.end.wire.take_failed() {
            self.ledger.broken(pipe.at);
        }
        let skip = pipe.tap.seen.saturating_sub(taken);
        let left = pipe.end.wire.mailbox().peek(Farewell::unwritten).flatten();
        pipe.tap.has_ended = left.is_some();
        let (unwritten, length) = match (left, pipe.turn.session()) {
            (Some(left), _) => (left.get(skip..).unwrap_or_default().to_vec(), left.len()),
            (None, Some(session)) => self.broker.unwritten(session, skip),
            (None, None) => Default::default(),
        };
        composed.extend(unwritten);
        assert!(
            taken + length >= pipe.tap.seen,
            "#{}: bytes that were composed are gone",
            pipe.at
        );
        pipe.tap.seen = taken + length;
        composed
    }

    fn note_outputs(&mut self, at: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Ok(Split::Frame(frame)) = split(bytes, u32::MAX) else {
                panic!("not a packet: {bytes:02x?}");
            };
            self.note_packet(at, &frame);
            self.ledger.output(at, &frame);
            bytes = &bytes[frame.len..];
        }
    }

    fn note_packet(&mut self, at: usize, frame: &Frame<'_>) {
        let version = self.ledger.version(at);
        match decode_from(Sender::Server, frame, version) {
            Ok(Packet::Publish(publish)) => self.note(format_args!(
                "    → #{at} Publish {} {:?}, id {:?}, dup {}, for {:?}",
                number_of(publish.payload),
                publish.qos,
                publish.packet_id,
                publish.dup,
                publish.properties.subscription_ids().collect::<Vec<_>>(),
            )),
            _ => self.note(format_args!(
                "    → #{at} {:?} {:02x?}",
                frame.packet_type, frame.body
            )),
        }
    }
}
