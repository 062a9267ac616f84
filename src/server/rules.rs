//! Packet rules of a broker, as a program sets them.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::tap::rule::{Direction, Injected, Rule};
use crate::tap::rules::{HeldInfo, HeldPart, RuleError, RuleInfo};

use super::WaitError;
use super::waits::for_future;

/// The packet rules of a broker, and the packets that they hold.
///
/// ```
/// use std::time::Duration;
///
/// use roundel::rules::{Action, Match, Rule};
/// use roundel::{Config, PacketType, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::start(Config::standard().ephemeral()).await?;
/// let rules = server.rules();
/// // The first PUBACK that a client gets is lost, so that it has to send its message again.
/// let lost = Match::of(PacketType::Puback).to_clients();
/// rules.add(Rule::new(lost, Action::Drop).named("lost").times(1))?;
/// // ... the client under test publishes ...
/// let error = rules.wait_for_hits("lost", 1, Duration::from_millis(10)).await.unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "packet rule 'lost' is to act 1 times in all, but not within 10ms: it has 0 times"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Rules {
    engine: Arc<Engine>,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

impl Rules {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Sets a rule behind the others, or in the place of the one of its name, for all connections. Returns
    /// its number. The first rule that is for a packet acts, and no other.
    ///
    /// # Errors
    ///
    /// A field that has no such value, or too many rules.
    pub fn add(&self, rule: Rule) -> Result<u64, RuleError> {
        let now = self.engine.clock.now().now;
        self.engine.broker.add_rule(rule, now)
    }

    /// The rules, in their order.
    #[must_use]
    pub fn list(&self) -> Vec<RuleInfo> {
        let now = self.engine.clock.now().now;
        self.engine.broker.tap().rules(now)
    }

    /// Removes a rule by its name or its number; whether there was one. What it holds stays held.
    pub fn remove(&self, key: &str) -> bool {
        let now = self.engine.clock.now().now;
        self.engine.broker.remove_rule(key, now)
    }

    /// Removes all of them. What they hold stays held.
    pub fn clear(&self) {
        let now = self.engine.clock.now().now;
        self.engine.broker.clear_rules(now);
    }

    /// Waits until a rule, by its name or its number, has acted so often, and says how it stood then, although it may
    /// be gone since. By the name, the wait goes on with a rule that takes its place, which counts from 0.
    ///
    /// # Errors
    ///
    /// The time is up, the broker stops, or there is no such rule, or not any more.
    pub async fn wait_for_hits(
        &self,
        key: &str,
        hits: u64,
        within: Duration,
    ) -> Result<RuleInfo, WaitError> {
        let tap = self.engine.broker.tap();
        let now = || self.engine.clock.now().now;
        let found = for_future(
            &self.engine,
            within,
            tap.wait_for_hits(key, hits, now()),
            || format!("packet rule '{key}' is to act {hits} times in all"),
            || match tap.rule(key, now()) {
                Some(rule) => format!("it has {} times", rule.hits),
                None => "it is gone".to_owned(),
            },
        );
        found.await?.ok_or_else(|| WaitError::NoRule {
            key: key.to_owned(),
        })
    }

    /// The packets that are held, oldest first.
    #[must_use]
    pub fn held(&self) -> Vec<HeldInfo> {
        let held = self.engine.broker.tap().held(HeldPart::ALL);
        held.infos().collect()
    }

    /// Waits until so many packets are held at a time. Returns all that were then, although some may have been let go
    /// since, or be gone with their connections.
    ///
    /// # Errors
    ///
    /// The time is up, or the broker stops.
    pub async fn wait_for_held(
        &self,
        count: usize,
        within: Duration,
    ) -> Result<Vec<HeldInfo>, WaitError> {
        let tap = self.engine.broker.tap();
        let held = for_future(
            &self.engine,
            within,
            tap.wait_for_held(count, HeldPart::ALL),
            || format!("{count} packets are to be held"),
            || format!("{} are", tap.held(HeldPart::NONE).total),
        );
        Ok(held.await?.infos().collect())
    }

    /// Lets the oldest `count` of them go on. Returns how many went.
    pub fn release(&self, count: usize) -> usize {
        self.engine.broker.tap().release(count, |_, _| true)
    }

    /// Forgets the oldest `count` of them. Returns how many are forgotten.
    pub fn discard(&self, count: usize) -> usize {
        self.engine.broker.tap().discard(count, |_, _| true)
    }

    /// Has a packet arrive at a client, or from it, that nobody sent, past all rules. Whether the client is
    /// connected.
    pub fn inject(&self, client_id: &str, direction: Direction, packet: &Injected) -> bool {
        let now = self.engine.clock.now().now;
        self.engine.broker.inject(client_id, direction, packet, now)
    }
}
