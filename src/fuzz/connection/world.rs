//! The broker and everybody who is connected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::doubles::NoAlarm;
use crate::broker::{Broker, Dirty, Randomness};
use crate::codec::{
    OutgoingPublish, PacketId, QoS, ReasonCode, RetainHandling, SubscribeOptions, Version, client,
};
use crate::config::{Config, Overflow, Overlapping, ShareStrategy, User};
use crate::message::cause::Cause;

use super::owner::Pipe;
use super::script::{Action, SLOTS, Step};

/// Turns after which a broker that still has work is taken for one that never rests.
const TURNS: usize = 100_000;

/// Pauses that a client makes at most before its end is seen: there is one for each batch.
const PAUSES: usize = 10;

/// What an outbox may hold beyond its mark: the answers to one batch, and a packet.
const OUTBOX_SLACK: usize = 192 * 1024;

/// What all queues may hold beyond their bound: one batch for each receiver.
const MEMORY_SLACK: usize = 512 * 1024;

pub(super) struct World {
    broker: Broker,
    now: Instant,
    slots: [Option<Pipe>; SLOTS],
    /// Connections whose client has gone and whose end is not over yet.
    closing: Vec<Pipe>,
    is_tight: bool,
}

impl World {
    pub(super) fn new(choice: u8) -> Self {
        let is_tight = choice & 0x02 != 0;
        let now = Instant::now();
        Self {
            broker: Broker::new(
                config(choice),
                Randomness::from_seed(choice.into()),
                now,
                Arc::new(NoAlarm),
            ),
            now,
            slots: [const { None }; SLOTS],
            closing: Vec::new(),
            is_tight,
        }
    }

    pub(super) fn carry_out(&mut self, step: &Step) {
        match &step.action {
            Action::Open { room, bytes } => {
                self.leave(step.slot);
                let mut pipe = Pipe::new(&self.broker, *room, self.now);
                pipe.send(bytes);
                self.slots[step.slot] = Some(pipe);
            }
            Action::Kick(reason) => self.kick(step.slot, *reason),
            Action::Wait(millis) => self.advance(Duration::from_millis(*millis)),
            action => {
                let pipe = &mut self.slots[step.slot];
                let pipe = pipe.get_or_insert_with(|| Pipe::new(&self.broker, 1000, self.now));
                at_client(pipe, action);
            }
        }
        if !step.hold {
            self.settle();
            self.check_bounds();
        }
    }

    /// The client goes away without a word.
    fn leave(&mut self, slot: usize) {
        if let Some(mut pipe) = self.slots[slot].take() {
            pipe.close();
            self.closing.push(pipe);
        }
    }

    fn kick(&mut self, slot: usize, reason: Option<ReasonCode>) {
        let session = self.slots[slot]
            .as_ref()
            .and_then(|pipe| pipe.turn.session().cloned());
        if let Some(session) = session {
            let context = self.broker.context(self.now);
            let mut dirty = Dirty::default();
            let cause = reason.map_or(Cause::Dropped, |reason| Cause::Kicked {
                reason,
                text: "an operator",
            });
            self.broker
                .disconnect(&session, cause, &context, &mut dirty);
            self.broker.flush_all(&context, dirty);
        }
    }

    /// Moves the clock, from one deadline to the next.
    fn advance(&mut self, by: Duration) {
        let target = self.now + by;
        while let Some(due) = self.broker.next_deadline().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            let mut dirty = Dirty::default();
            self.broker.handle_deadline(self.now, &mut dirty);
            let context = self.broker.context(self.now);
            self.broker.flush_all(&context, dirty);
            self.settle();
        }
        self.now = target;
        while self.broker.sweep(self.now, &mut Dirty::default()) {}
        self.settle();
    }

    /// Lets everybody do what they can.
    fn settle(&mut self) {
        for _ in 0..TURNS {
            let mut is_moving = false;
            for pipe in self.slots.iter_mut().flatten().chain(&mut self.closing) {
                if pipe.end.has_work() {
                    pipe.turn(&self.broker, self.now);
                    is_moving = true;
                }
                if pipe.is_reading && pipe.end.wire.has_unread() {
                    pipe.read();
                    is_moving = true;
                }
            }
            if self.broker.has_work() {
                let mut dirty = Dirty::default();
                self.broker.work(self.now, &mut dirty);
                self.broker.flush_all(&self.broker.context(self.now), dirty);
                is_moving = true;
            }
            if !is_moving {
                self.closing.retain(|pipe| !pipe.end.is_done());
                return;
            }
        }
        panic!("the broker does not come to rest");
    }

    /// What the broker holds stays within its bounds.
    fn check_bounds(&self) {
        let limits = &self.broker.config().limits;
        if self.is_tight {
            let memory = self.broker.budget().used();
            assert!(
                memory <= limits.memory + MEMORY_SLACK,
                "{memory} bytes held"
            );
        }
        for session in self.broker.all_sessions() {
            let (queued, in_flight) = session.held();
            assert!(queued <= limits.session_queue, "{queued} messages wait");
            assert!(
                in_flight <= usize::from(limits.in_flight),
                "{in_flight} messages are in flight"
            );
            let (_, waiting) = self.broker.unwritten(&session, 0);
            assert!(
                waiting <= limits.outbox + OUTBOX_SLACK,
                "{waiting} bytes wait"
            );
        }
    }

    /// Everybody leaves, and the broker is as good as new: it serves a client, lets every session run
    /// out, and keeps nothing of those that did.
    pub(super) fn end(&mut self) {
        for slot in 0..SLOTS {
            self.leave(slot);
        }
        for pipe in &mut self.closing {
            pipe.is_reading = true;
        }
        self.settle();
        // A client that was paused for its rate is closed after the pause, or the next one.
        for _ in 0..PAUSES {
            self.advance(Duration::from_secs(100_000));
        }
        assert!(self.closing.is_empty(), "a connection does not end");
        self.serve_a_client();
        self.let_sessions_end();
    }

    /// MQTT-3.1.4-5, MQTT-3.8.4-1, MQTT-3.3.5-1.
    fn serve_a_client(&mut self) {
        let id = PacketId::new(1).expect("not 0");
        let options = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::DoNotSend,
        };
        let topic = "a/topic/of/its/own";
        let publish = OutgoingPublish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: topic.as_bytes(),
            packet_id: Some(id),
            topic_alias: None,
            message_expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload: b"x".into(),
        };
        let mut bytes = Vec::new();
        client::encode_subscribe(&mut bytes, Version::V5, id, None, &[(topic, options)]);
        publish.encode(Version::V5, &mut bytes);
        let is_exhausted = self.broker.is_exhausted();
        let pipe = self.visit("a client of its own", &bytes);
        let is_exhausted = is_exhausted || self.broker.is_exhausted();
        assert!(pipe.observer.is_connected());
        assert!(pipe.observer.messages == 1 || is_exhausted);
        self.closing.push(pipe);
        self.settle();
    }

    /// Connects a client with a clean start, which sends `bytes`. It is about to close.
    fn visit(&mut self, client_id: &str, bytes: &[u8]) -> Pipe {
        let mut connect = client::connect(Version::V5, client_id);
        (connect.username, connect.password) = (Some("u"), Some(b"p".as_slice()));
        let mut pipe = Pipe::new(&self.broker, 1_000_000, self.now);
        pipe.is_prompt = true;
        let mut out = Vec::new();
        client::encode_connect(&mut out, &connect);
        out.extend_from_slice(bytes);
        pipe.send(&out);
        while pipe.end.has_work() || pipe.end.wire.has_unread() {
            pipe.turn(&self.broker, self.now);
            pipe.read();
        }
        pipe.close();
        pipe
    }

    fn let_sessions_end(&mut self) {
        while let Some(due) = self.broker.next_deadline() {
            self.advance(due.saturating_duration_since(self.now));
        }
        for session in self.broker.all_sessions() {
            assert!(session.waits_forever(), "{}", session.client_id());
            // A rate may keep it out for a while.
            self.advance(Duration::from_secs(10));
            let pipe = self.visit(session.client_id(), &[]);
            self.closing.push(pipe);
            self.settle();
        }
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
        assert!(stats.retained > 0 || memory == 0, "{memory} bytes held");
    }
}

fn at_client(pipe: &mut Pipe, action: &Action) {
    match action {
        Action::Send(bytes) => pipe.send(bytes),
        Action::ToggleReading => pipe.is_reading = !pipe.is_reading,
        Action::Acknowledge => {
            pipe.is_prompt = !pipe.is_prompt;
            let acks = pipe.observer.acknowledge();
            pipe.send(&acks);
        }
        Action::Close => pipe.close(),
        Action::Break => {
            pipe.end.wire.break_off();
            pipe.close();
        }
        Action::Busy => pipe.end.wire.make_busy(),
        Action::Open { .. } | Action::Kick(_) | Action::Wait(_) => {}
    }
}

/// The broker's configuration, from eight choices.
fn config(choice: u8) -> Config {
    let has = |bit: u8| choice & (1 << bit) != 0;
    let mut config = if has(0) {
        Config::aws()
    } else {
        Config::standard()
    };
    let limits = &mut config.limits;
    if has(1) {
        limits.session_queue = 8;
        limits.group_queue = 5;
        limits.outbox = 2_000;
        limits.memory = 64 * 1024;
    }
    if has(2) {
        config.users.push(User {
            name: "u".to_owned(),
            password_hash: String::new(),
        });
    }
    if has(3) {
        limits.publish_rate = Some(5);
        limits.byte_rate = Some(500);
        limits.connect_rate = Some(2);
        limits.retained_rate = Some(1);
    }
    if has(4) {
        config.overlapping = Overlapping::CopyEach;
    }
    if has(5) {
        config.on_overflow = Overflow::Disconnect;
    }
    if has(6) {
        config.share_strategy = ShareStrategy::Random;
    }
    if has(7) {
        limits.resend_interval = Some(Duration::from_secs(500));
    }
    config
}
