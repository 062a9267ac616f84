//! A broker with one publisher and some subscribers.

use roundel::Config;
use roundel::internals::{Caller, Switchboard};

use crate::packets;

/// Messages that the publisher sends at a time: what the broker handles as one run.
pub const RUN: usize = 32;

/// A publisher that sends the same run again and again, and those who get it.
pub struct Scene {
    switchboard: Switchboard,
    publisher: Caller,
    subscribers: Vec<Caller>,
    qos: u8,
    topics: Vec<String>,
    run: Vec<u8>,
    /// PUBACKs that each subscriber owes.
    acks: Vec<Vec<u8>>,
}

impl Scene {
    /// `subscribers` clients subscribe to `filter` at `qos`; the messages of a run go to `topics` in
    /// turn.
    pub fn new(filter: &str, subscribers: usize, qos: u8, topics: &[&str]) -> Self {
        Self::under(Config::standard(), filter, subscribers, qos, topics)
    }

    /// The same with a broker of `config`.
    pub fn under(
        mut config: Config,
        filter: &str,
        subscribers: usize,
        qos: u8,
        topics: &[&str],
    ) -> Self {
        config.seed = Some(0x5eed);
        Self::at(Switchboard::new(config), filter, subscribers, qos, topics)
    }

    /// The same with this broker.
    pub fn at(
        switchboard: Switchboard,
        filter: &str,
        subscribers: usize,
        qos: u8,
        topics: &[&str],
    ) -> Self {
        let join = |name: String| {
            let mut caller = switchboard.dial();
            caller.send(&switchboard, &packets::connect(&name));
            caller
        };
        let publisher = join("publisher".to_owned());
        let subscribe = packets::subscribe(filter, qos);
        let subscribers = (0..subscribers).map(|number| {
            let mut caller = join(format!("subscriber-{number}"));
            caller.send(&switchboard, &subscribe);
            caller.receive(|_| ());
            caller
        });
        let subscribers: Vec<Caller> = subscribers.collect();
        let run = (1u16..)
            .zip(topics.iter().cycle())
            .take(RUN.max(topics.len()));
        let run = run.flat_map(|(id, topic)| packets::publish(topic, (qos > 0).then_some(id)));
        Self {
            acks: vec![Vec::new(); subscribers.len()],
            run: run.collect(),
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            switchboard,
            publisher,
            subscribers,
            qos,
        }
    }

    /// Subscribes somebody else to filters that no message of the run matches.
    #[must_use]
    pub fn among(mut self, filters: usize) -> Self {
        let mut other = self.switchboard.dial();
        other.send(&self.switchboard, &packets::connect("other"));
        for number in 0..filters {
            let filter = match number % 10 {
                0..7 => format!("other/{number}/state"),
                7 => format!("other/{number}/+/state"),
                8 => format!("other/{number}/#"),
                _ => format!("+/{number}/state"),
            };
            other.send(&self.switchboard, &packets::subscribe(&filter, 0));
        }
        self.subscribers.push(other);
        self.acks.push(Vec::new());
        self
    }

    /// Messages in a run.
    pub fn messages(&self) -> usize {
        RUN.max(self.topics.len())
    }

    /// Publishes a run, and lets everything go out that it leads to.
    pub fn publish(&mut self) {
        self.publisher.send(&self.switchboard, &self.run);
    }

    /// Reads what the clients got. Returns the bytes of the subscribers.
    pub fn read(&mut self) -> usize {
        self.publisher.receive(|_| ());
        let topic = &self.topics[0];
        let mut bytes = 0;
        for (subscriber, acks) in self.subscribers.iter().zip(&mut self.acks) {
            bytes += subscriber.receive(|deliveries| {
                if self.qos > 0 {
                    *acks = packets::puback(deliveries, topic);
                }
                deliveries.len()
            });
        }
        bytes
    }

    /// Has each subscriber acknowledge what it read.
    pub fn acknowledge(&mut self) {
        for (subscriber, acks) in self.subscribers.iter_mut().zip(&self.acks) {
            subscriber.send(&self.switchboard, acks);
        }
    }
}
